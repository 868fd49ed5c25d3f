"""Watchers hear of each movement once: with fees, holds and refunds, over crashes at every step, and from consent to the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from sqlalchemy import Connection, Row, insert, select, update

from counterfoil.channels.sms.texts import KINDS
from counterfoil.ids import new_id
from counterfoil.parties import tables
from counterfoil.parties.happenings import TOLD
from counterfoil.parties.service import Parties
from counterfoil.parties.watchers import Watcher
from counterfoil.payments import watching as watching_module
from counterfoil.payments.feed import Feed, keep_position
from counterfoil.payments.feed_tables import feed_positions
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipt_codes import ReceiptCodes, code_key, parse_code
from counterfoil.payments.watching import CONSUMER, Watching
from counterfoil.store.database import Store
from tests.parties.conftest import QUICK
from tests.payments.books import ALICE, SHOP, Books, books_in
from tests.scheme import Person, Scheme, opened

T = TypeVar("T")
HOLDER, UNION, CHURCH = 1001, 2001, 2002
PIN = "2580"


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with books_in(tmp_path) as books:
        await books.store.write(_people)
        yield books


def _people(connection: Connection) -> None:
    """Who holds Alice's account, and two who may watch it."""
    connection.execute(
        insert(tables.tiers), {"name": "t", "kind": "customer", "per_payment": 1, "per_day": 1, "per_month": 1, "balance_max": 1}
    )
    for party in (HOLDER, UNION, CHURCH):
        row = {"id": party, "kind": "customer", "name": f"N{party}", "number": f"+25470000{party}", "tier": "t", "language": "en"}
        connection.execute(insert(tables.parties), row | {"state": "open", "created_at": 1})
    connection.execute(insert(tables.accounts), {"id": ALICE, "party": HOLDER, "code": 1, "ledger": 840})


async def watch(books: Books, watcher: int, *, after: int | None = None, until: int | None = None) -> None:
    row = {
        "id": new_id(books.clock), "party": HOLDER, "account": ALICE, "watcher": watcher, "state": "watching", "by": HOLDER, "asked_at": 1,
        "after": books.ledger.last_timestamp if after is None else after, "until": until,
    }  # fmt: skip

    def accept(connection: Connection) -> None:
        connection.execute(insert(tables.watchers), row)
        keep_position(connection, CONSUMER, books.ledger.last_timestamp)

    await books.store.write(accept)


async def told(store: Store, party: int | None = None) -> list[Row[Any]]:
    """What was told of movements, oldest first."""
    query = select(tables.notices).where(tables.notices.c.kind.like("watched%"))
    query = query if party is None else query.where(tables.notices.c.party == party)
    return await store.read(lambda connection: list(connection.execute(query.order_by(tables.notices.c.created_at, tables.notices.c.id))))


class DyingStore:
    """The store as a process has it that dies at its write number `left`: before it, or after it was written and before it knows."""

    def __init__(self, store: Store, *, left: int, after: bool) -> None:
        self.store = store
        self.left = left
        self.after = after
        self.dead = asyncio.Event()

    async def write(self, fn: Callable[[Connection], T]) -> T:
        self.left -= 1
        if self.left == 0:
            if self.after:
                await self.store.write(fn)
            self.dead.set()
            await asyncio.Event().wait()
        return await self.store.write(fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self.store.read(fn)


@contextlib.asynccontextmanager
async def a_life(books: Books, store: Any) -> AsyncIterator[Watching]:
    """What follows the ledger, broken off at the end like by a crash."""
    parties = Parties(books.store, books.ledger, books.clock, origin="o", region="KE", languages=("en",), currency_ledger=840, hasher=QUICK)
    watching = Watching(
        parties.watchers,
        feed=Feed(ledger=books.ledger, store=store, clock=books.clock),
        clock=books.clock,
        receipt_codes=ReceiptCodes(code_key(bytes(32)), store=books.store, clock=books.clock),
    )
    life = asyncio.create_task(watching.run())
    try:
        yield watching
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life
        parties.close()


async def eventually(books: Books, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await told(books.store)) < count:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_each_is_told_once_although_the_process_dies_at_every_step(books: Books, after: bool) -> None:
    await watch(books, UNION)
    await watch(books, CHURCH)
    amounts: list[int] = []
    for step in range(1, 6):
        amounts += [1_000 + step, 2_000 + step]
        dying = DyingStore(books.store, left=step, after=after)
        async with a_life(books, dying):
            await books.pay(ALICE, SHOP, amounts[-2])
            pays = asyncio.create_task(_pay_on(books, amounts, until=dying.dead))
            await asyncio.wait_for(dying.dead.wait(), 60)
            await pays
        await books.pay(ALICE, SHOP, amounts[-1])  # while nobody lives
    async with a_life(books, books.store):
        await eventually(books, 2 * len(amounts))
        amounts.append(9_999)
        await books.pay(ALICE, SHOP, amounts[-1])
        await eventually(books, 2 * len(amounts))
    for party in (UNION, CHURCH):
        assert [int(_values(row)["amount"]) for row in await told(books.store, party)] == await _moved(books)


async def _pay_on(books: Books, amounts: list[int], *, until: asyncio.Event) -> None:
    """Something to write for whoever shall die at a later write."""
    last = amounts.pop()
    while not until.is_set():
        amounts.append(5_000 + len(amounts))
        await books.pay(ALICE, SHOP, amounts[-1])
        await asyncio.sleep(0.05)
    amounts.append(last)


async def _moved(books: Books) -> list[int]:
    return [event.amount for event in await books.feed.replay(ALICE, after=0) if event.outgoing]


def _values(row: Row[Any]) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.json.decode(row.body)
    return values


async def test_fees_holds_refunds_and_expiries_are_told_as_what_they_are(books: Books) -> None:
    await watch(books, UNION)
    async with a_life(books, books.store):
        bought = await books.pay(ALICE, SHOP, 500, fee=5)
        await books.pay(ALICE, SHOP, 300, fee=3, paid_by=PaidBy.PAYEE)
        await books.pay(SHOP, ALICE, 100, kind=OrderKind.REFUND)
        await books.pay(SHOP, ALICE, 500, kind=OrderKind.REVERSAL, earlier=bought)
        hold = await books.pay(ALICE, SHOP, 900, kind=OrderKind.HOLD, fee=10, timeout_s=600)
        await books.pay(ALICE, SHOP, 400, kind=OrderKind.CAPTURE, fee=4, earlier=hold)
        other = await books.pay(ALICE, SHOP, 70, kind=OrderKind.HOLD, timeout_s=600)
        await books.pay(ALICE, SHOP, 70, kind=OrderKind.RELEASE, earlier=other)
        await eventually(books, 9)
    rows = [(row.kind.removeprefix("watched_"), _values(row)["amount"], _values(row)["fee"]) for row in await told(books.store)]
    assert rows == [
        ("paid", 500, 5), ("paid", 300, 0), ("received", 100, 0), ("received", 5, 0), ("received", 500, 0), ("held", 900, 10),
        ("paid", 400, 4), ("held", 70, 0), ("released", 70, 0),
    ]  # fmt: skip
    out = sum(amount + fee for kind, amount, fee in rows if kind == "paid") - sum(amount for kind, amount, _ in rows if kind == "received")
    balance = books.ledger.account_now(ALICE)
    assert balance is not None
    assert balance.credits_posted - balance.debits_posted == 500_000 - out, "what is told adds up to what has left"


async def test_nothing_from_before_their_consent_and_nothing_after_the_end(books: Books) -> None:
    await books.pay(ALICE, SHOP, 1)
    await watch(books, UNION)
    await books.pay(ALICE, SHOP, 2)
    await watch(books, CHURCH, after=0, until=books.ledger.last_timestamp + 1)
    await books.pay(ALICE, SHOP, 3)
    async with a_life(books, books.store):
        await books.pay(ALICE, SHOP, 4)
        await eventually(books, 4)
    assert [_values(row)["amount"] for row in await told(books.store, CHURCH)] == [2], "until the end, though it came before we looked"
    assert [_values(row)["amount"] for row in await told(books.store, UNION)] == [2, 3, 4]


async def test_who_joins_others_hears_nothing_of_what_they_have_not_been_told_yet(books: Books) -> None:
    await watch(books, UNION)
    await books.pay(ALICE, SHOP, 1)
    await watch(books, CHURCH)
    await books.pay(ALICE, SHOP, 2)
    async with a_life(books, books.store):
        await eventually(books, 3)
    assert sorted((row.party, _values(row)["amount"]) for row in await told(books.store)) == [(UNION, 1), (UNION, 2), (CHURCH, 2)]


def test_what_watchers_are_told_has_its_words_and_can_be_read() -> None:
    kinds = {watching_module.PAID, watching_module.RECEIVED, watching_module.HELD, watching_module.RELEASED}
    assert kinds <= set(KINDS)
    assert kinds <= set(TOLD)


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "data") as scheme:
        yield scheme


async def watched(scheme: Scheme, holder: Person, watcher: Person) -> Watcher:
    watchers = scheme.services.parties.watchers
    asked = await watchers.choose_by_pin(holder.party, watcher.address, PIN)
    return await watchers.accept(asked.id, watcher=watcher.party)


async def test_a_union_sees_that_kofi_paid_by_pin_and_when_but_not_whom(scheme: Scheme) -> None:
    kofi, union, shop = await scheme.simple_phone(funds=50_000), await scheme.simple_phone("Union"), await scheme.merchant("Secret shop")
    await watched(scheme, kofi, union)
    receipt = await kofi.pay_by_pin(shop, 1_500, memo="very private")
    async with asyncio.timeout(60):
        while not (rows := await told(scheme.services.store, union.party)):
            await asyncio.sleep(0.01)
    (row,) = rows
    values = _values(row)
    assert (row.channel, row.number, row.kind) == ("sms", union.address, "watched_paid")
    assert (values["name"], values["amount"], values["fee"]) == ("Kofi", 1_500, 0), "the shop pays the fee"
    assert 0 <= receipt.completed_at - int(values["at"]) < 10, "the first leg's time"
    (coded,) = await scheme.services.receipt_codes.find(parse_code(values["receipt_code"]))
    assert (coded.payment, coded.account) == (receipt.payment.id, kofi.account)
    assert set(values) == {"name", "amount", "fee", "at", "receipt_code"}
    assert "Secret" not in row.body
    assert "private" not in row.body


async def test_a_thief_with_the_pin_spends_in_sight_of_the_watcher(scheme: Scheme) -> None:
    kofi, union, thief = await scheme.simple_phone(funds=50_000), await scheme.customer("Union"), await scheme.customer("Thief")
    watching = await watched(scheme, kofi, union)
    watchers = scheme.services.parties.watchers
    await watchers.take_away_by_pin(watching.id, party=kofi.party, pin=PIN)
    scheme.clock.offset_s += 71 * 3600
    await kofi.pay_by_pin(thief, 1_500)
    async with asyncio.timeout(60):
        while not (rows := [row for row in await told(scheme.services.store, union.party) if row.kind == "watched_paid"]):
            await asyncio.sleep(0.01)
    assert [(row.channel, row.device) for row in rows] == [("push", union.device)]
    happened = await scheme.services.happenings.of(union.party)
    assert happened[0].kind == "watched_paid"
    assert happened[0].facts["amount"] == 1_500


async def test_the_ledger_is_not_followed_while_nobody_watches(scheme: Scheme) -> None:
    """And whoever is the first to watch, also after others have left, does not make us read what happened meanwhile."""
    store, ledger = scheme.services.store, scheme.services.ledger
    kofi, union, shop = await scheme.simple_phone(funds=50_000), await scheme.simple_phone("Union"), await scheme.merchant()
    position = select(feed_positions.c.timestamp).where(feed_positions.c.name == CONSUMER)

    async def kept() -> int | None:
        return await store.read(lambda connection: connection.execute(position).scalar())

    assert await kept() is None
    before = ledger.last_timestamp
    await watched(scheme, kofi, union)
    assert await kept() == before
    await kofi.pay_by_pin(shop, 100)
    async with asyncio.timeout(60):
        while len(await told(store, union.party)) < 1:
            await asyncio.sleep(0.01)


async def test_what_came_before_the_end_is_told_after_a_restart_too(books: Books) -> None:
    await watch(books, UNION)
    await books.pay(ALICE, SHOP, 7)
    ended = {"state": "ended", "until": books.ledger.last_timestamp + 1}
    await books.store.write(lambda connection: connection.execute(update(tables.watchers).values(ended)).rowcount)
    await books.pay(ALICE, SHOP, 8)
    async with a_life(books, books.store):
        await eventually(books, 1)
        await watch(books, CHURCH)
        await books.pay(ALICE, SHOP, 9)
        await eventually(books, 2)
    assert [(row.party, _values(row)["amount"]) for row in await told(books.store)] == [(UNION, 7), (CHURCH, 9)]


async def test_nobody_reads_what_happened_while_nobody_watched(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    await watch(books, UNION)
    ended = {"state": "ended", "until": 1}
    await books.store.write(lambda connection: connection.execute(update(tables.watchers).values(ended)).rowcount)
    for amount in range(1, 20):
        await books.pay(ALICE, SHOP, amount)
    asked = {"id": 77, "party": HOLDER, "account": ALICE, "watcher": CHURCH, "state": "asked", "by": HOLDER, "asked_at": 1}
    await books.store.write(lambda connection: connection.execute(insert(tables.watchers), asked).rowcount)
    read: list[int] = []
    async with a_life(books, books.store) as watching:
        events = watching.feed.ledger.get_change_events

        async def counted(**chosen: Any) -> Any:
            read.append(chosen["timestamp_min"])
            return await events(**chosen)

        monkeypatch.setattr(watching.feed.ledger, "get_change_events", counted)
        before = books.ledger.last_timestamp
        await watching.watchers.accept(77, watcher=CHURCH)
        await books.pay(ALICE, SHOP, 77)
        await eventually(books, 1)
    assert min(read) > before
