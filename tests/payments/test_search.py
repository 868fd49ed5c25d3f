"""Looking for entries: what matches, all of it over all pages, and how far one look goes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from counterfoil.ledger.chart import TransferCode
from counterfoil.payments import search as search_module
from counterfoil.payments.history import Entry
from counterfoil.payments.search import Found, Wanted, folded, search
from tests.scheme import Person, Scheme, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    async with opened(tmp_path_factory.mktemp("scheme")) as running:
        yield running


async def look(person: Person, wanted: Wanted, *, before: int = 0, limit: int = 50) -> Found:
    services = person.scheme.services

    async def name(account: int) -> str | None:
        holder = await services.parties.directory.holder(account)
        return holder.name if holder else None

    return await search(services.history, name, person.account, wanted, before=before, limit=limit)


async def all_pages(person: Person, wanted: Wanted, *, limit: int) -> list[Entry]:
    found: list[Entry] = []
    before = 0
    while True:
        page = await look(person, wanted, before=before, limit=limit)
        assert len(page.entries) <= limit
        found += page.entries
        if not page.next:
            return found
        assert not before or page.next < before, "every look goes further"
        before = page.next


def memos(entries: list[Entry]) -> list[str]:
    return [entry.payment.memo if entry.payment else "" for entry in entries]


async def busy(scheme: Scheme) -> tuple[Person, Person, Person]:
    """Ha-eun, who paid Zoë and a shop by turns, and held something."""
    one, zoe, shop = await scheme.customer(funds=10_000), await scheme.customer("ZOE\u0308 Straße"), await scheme.merchant("한가람 시장")
    for number in range(6):
        await one.pay(zoe, 10, memo=f"Lunch {number}")
        await one.pay(shop, 20, memo=f"mangoes {number}")
    await one.hold(shop, 30, memo="lunch, held")
    return one, zoe, shop


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("LUNCH", 7),
        ("zoë", 6),
        ("zoe\u0308", 6),
        ("STRASSE", 6),
        ("한가람", 7),
        ("\u1112\u1161\u11ab가람", 7),
        ("4", 2),
        ("nothing like it", 0),
    ],
)
async def test_words_are_found_in_names_and_memos_whatever_their_case_and_form(scheme: Scheme, text: str, count: int) -> None:
    one, _, _ = await busy(scheme)
    assert len((await look(one, Wanted(text=text))).entries) == count


async def test_conditions_are_all_to_be_met(scheme: Scheme) -> None:
    one, zoe, shop = await busy(scheme)
    assert memos((await look(one, Wanted(code=TransferCode.HOLD))).entries) == ["lunch, held"]
    assert len((await look(one, Wanted(counterparty=zoe.account))).entries) == 6
    assert (await look(one, Wanted(counterparty=zoe.account, code=TransferCode.HOLD))).entries == []
    assert memos((await look(one, Wanted(counterparty=shop.account, text="lunch"))).entries) == ["lunch, held"]
    entries = (await look(one, Wanted())).entries
    since, until = entries[8].timestamp, entries[2].timestamp
    assert (await look(one, Wanted(since=since, until=until))).entries == entries[3:9]
    assert (await look(one, Wanted(since=until, until=until))).entries == []


@pytest.mark.parametrize("looked_at_max", [1, 4, 1_000])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_all_pages_together_are_the_whole(scheme: Scheme, monkeypatch: pytest.MonkeyPatch, limit: int, looked_at_max: int) -> None:
    one, zoe, _ = await busy(scheme)
    monkeypatch.setattr(search_module, "LOOKED_AT_MAX", looked_at_max)
    page_size = 50 if looked_at_max == 1_000 else 3
    monkeypatch.setattr(search_module, "PAGE_SIZE_MAX", page_size)
    found = await all_pages(one, Wanted(text="lunch"), limit=min(limit, page_size))
    assert memos(found) == ["lunch, held", *(f"Lunch {number}" for number in range(5, -1, -1))]
    found = await all_pages(one, Wanted(counterparty=zoe.account), limit=min(limit, page_size))
    assert memos(found) == [f"Lunch {number}" for number in range(5, -1, -1)]


async def test_a_look_that_found_nothing_says_how_far_it_came(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _, _ = await busy(scheme)
    entries = (await look(one, Wanted())).entries
    monkeypatch.setattr(search_module, "LOOKED_AT_MAX", 4)
    monkeypatch.setattr(search_module, "PAGE_SIZE_MAX", 2)
    found = await look(one, Wanted(text="not there"), limit=2)
    assert found == Found([], entries[3].timestamp, entries[3].timestamp)
    assert (await look(one, Wanted(text="not there"), before=entries[-1].timestamp, limit=2)) == Found([], 0, 0)


async def test_text_is_folded_to_one_form() -> None:
    assert folded("Straße É") == folded("STRASSE e\u0301") == folded("strasse \u00c9")
