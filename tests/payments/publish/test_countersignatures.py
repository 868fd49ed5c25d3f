"""What shops countersign goes into the log as entries of its own, whenever it comes; and the auditor's program counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterfoil.parties import statements
from counterfoil.parties.journal import record
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.views import KeyChange, KeyReason, KeyView
from counterfoil.tlog.entry import EntryType
from counterfoil_verify.report import Refuted
from tests.payments.publish.logbook import Logbook
from tests.payments.publish.test_crash import StopAt, run_until_stopped
from tests.scheme import DAY_S, Person, Scheme, opened


def words_of(book: Logbook, shop: Person) -> list[KeyView]:
    found = [view for view in book.about(shop.account, EntryType.KEY) if view.what == KeyChange.COUNTERSIGNED]
    return [view for view in found if isinstance(view, KeyView)]


async def test_a_countersignature_is_an_entry_that_leaves_the_shops_chain_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        kofi, shop, agent = await scheme.simple_phone(funds=9_000), await scheme.merchant(), await scheme.agent(funds=1_000)
        paid, late = await kofi.pay_by_pin(shop, 300), await kofi.pay_by_pin(shop, 200)
        hold = await kofi.pay_by_pin(agent, 500, kind=OrderKind.HOLD, timeout_s=600)
        await agent.answer(OrderKind.CAPTURE, hold, 500)
        await shop.countersign(paid)
        await kofi.pay_by_pin(shop, 100)
        with Logbook.of(scheme) as book:
            book.publish()
            scheme.clock.offset_s += 3 * DAY_S
            await shop.countersign(late)
            await shop.countersign(late)
            size = book.publish()
            first, last = words_of(book, shop)
            assert (first.device, first.public_key, first.reason, first.by, first.consent) == (
                shop.device, bytes(shop.key.verify_key), KeyReason.COUNTERSIGNATURE, 0, b"",
            )  # fmt: skip
            said = statements.read_countersign(first.statement, origin=scheme.services.config.origin)
            assert (said.payment, said.amount, said.completed_at) == (paid.payment.id, 300, paid.completed_at)
            assert shop.key.verify_key.verify(first.statement, first.possession)
            assert last.time > first.time + 2 * DAY_S * 10**9
            assert [entry.payment for entry in book.openings.entries_of_payment(late.payment.id)] == [late.payment.id] * 2
            book.check_laws()
            assert book.rebuild().difference is None
            assert book.replayed(scheme) == size


async def test_a_countersignature_that_is_published_before_its_payment_is_lawful(tmp_path: Path) -> None:
    """Much was paid while the publisher was away: a page of movements is full, and the parties' page runs ahead of it."""
    async with opened(tmp_path) as scheme:
        kofi, shop, rose = await scheme.simple_phone(funds=9_000), await scheme.merchant(), await scheme.customer(funds=9_000)
        for _ in range(40):
            await rose.pay(kofi, 1)
        paid = [await kofi.pay_by_pin(shop, 300 + n) for n in range(3)]
        for receipt in paid:
            await shop.countersign(receipt)
        with Logbook.of(scheme, page_size=33) as book:
            size = book.publish()
            payment = paid[0].payment.id
            assert [entry.type for entry in book.openings.entries_of_payment(payment)] == [EntryType.KEY, EntryType.TRANSFER]
            assert book.rebuild().difference is None
            assert book.replayed(scheme) == size
            book.check_laws()


async def test_a_publisher_stopped_between_keeping_and_publishing_puts_each_into_the_log_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        kofi, shop = await scheme.simple_phone(funds=9_000), await scheme.merchant()
        with Logbook.of(scheme) as book:
            book.publish()
        names: set[str] = set()
        for at in range(1, 10_000):
            await shop.countersign(await kofi.pay_by_pin(shop, 10 + at))
            stop = StopAt(at)
            if not run_until_stopped(scheme, stop):
                break
            names.add(stop.steps[-1].split(" ")[0])
            with Logbook.of(scheme) as book:
                size = book.publish()
                assert len(words_of(book, shop)) == at
                assert book.rebuild().difference is None
                assert book.replayed(scheme) == size
        assert {"read", "keep", "append", "publish"} <= names


async def test_a_countersignature_changed_in_the_store_or_taken_out_of_it_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        kofi, shop = await scheme.simple_phone(funds=9_000), await scheme.merchant()
        paid = await kofi.pay_by_pin(shop, 300)
        await shop.countersign(paid)
        with Logbook.of(scheme) as book:
            book.publish()
            assert book.rebuild().difference is None
            before = shop.countersignature(paid).statement.hex()
            text = "UPDATE party_events SET facts = replace(facts, '{}', '{}') WHERE kind = 'countersigned'"

            async def write(sql: str) -> str:
                await scheme.services.store.write(lambda connection: connection.exec_driver_sql(sql))
                return book.rebuild().difference or ""

            assert "statement is" in await write(text.format(before, before[:-2] + "00"))
            assert await write(text.format(before[:-2] + "00", before)) == ""
            assert "is of a change of a party" in await write("DELETE FROM party_events WHERE kind = 'countersigned'")


async def forged(scheme: Scheme, shop: Person, signer: Person, **changes: Any) -> None:
    """A countersignature that the operator puts into its own books: `keep` would have refused it."""
    (paid,) = await scheme.services.countersigning.waiting(shop.account)
    signed = Person(
        scheme, party=shop.party, account=shop.account, device=signer.device, key=signer.key, address=""
    ).countersignature(paid, **changes)  # fmt: skip
    facts = {"device": str(shop.device), "account": str(shop.account), "payment": str(paid.payment.id)}
    facts |= {"statement": signed.statement.hex(), "signature": signed.signature.hex()}
    await scheme.services.store.write(
        lambda connection: record(connection, scheme.clock, shop.party, "countersigned", by=shop.device, **facts)
    )


@pytest.mark.parametrize(
    ("who", "changes", "words"),
    [
        ("operator", {}, "the signature by the payee's device is missing or false"),
        ("shop", {"amount": 299}, "the shop has countersigned 299, and the entry moves 300"),
        ("shop", {"payment": 7}, "no purchase by PIN of the last month"),
    ],
)
async def test_a_countersignature_that_the_operator_made_up_is_found_by_the_auditor(
    tmp_path: Path, who: str, changes: dict[str, int], words: str
) -> None:
    async with opened(tmp_path) as scheme:
        kofi, shop, operator = await scheme.simple_phone(funds=9_000), await scheme.merchant(), await scheme.customer()
        await kofi.pay_by_pin(shop, 300)
        await forged(scheme, shop, {"operator": operator, "shop": shop}[who], **changes)
        with Logbook.of(scheme) as book:
            book.publish()
            assert book.rebuild().difference is None, "the books and the log agree: the operator has written both"
            with pytest.raises(Refuted, match=words):
                book.replayed(scheme)
