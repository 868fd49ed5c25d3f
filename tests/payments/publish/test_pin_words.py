"""What devices say about payments by PIN goes into the log, before whatever is done under it; and the auditor's program agrees."""

from __future__ import annotations

from pathlib import Path

from counterfoil.parties import statements
from counterfoil.payments.views import KeyChange, KeyReason, KeyView
from counterfoil.tlog.entry import EntryType
from counterfoil_verify.report import Refuted
from tests.payments.publish.logbook import Logbook
from tests.scheme import opened

PIN = "2580"


async def test_the_words_are_in_the_log_and_payments_follow_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, shop = await scheme.customer(funds=40_000), await scheme.merchant()
        kofi = await scheme.simple_phone(funds=5_000)
        await scheme.services.parties.pins.set(payer.party, PIN, by=None)
        await payer.allow_pin(700)
        await payer.pay_by_pin(shop, 400)
        await kofi.pay_by_pin(shop, 300)
        scheme.clock.offset_s += 1
        await payer.allow_pin(0)
        with Logbook.of(scheme) as book:
            size = book.publish()
            first, last = [view for view in book.about(payer.account, EntryType.KEY) if view.what == KeyChange.PIN_ALLOWED]
            assert isinstance(first, KeyView)
            assert isinstance(last, KeyView)
            assert (first.device, first.public_key, first.reason, first.by) == (
                payer.device, bytes(payer.key.verify_key), KeyReason.PIN_CONSENT, 0,
            )  # fmt: skip
            origin = scheme.services.config.origin
            assert statements.read_allow_pin(first.statement, origin=origin)[:2] == (payer.account, 700)
            assert statements.read_allow_pin(last.statement, origin=origin)[:2] == (payer.account, 0)
            assert payer.key.verify_key.verify(first.statement, first.possession)
            assert book.about(kofi.account, EntryType.KEY) == []
            assert book.rebuild().difference is None
            assert book.replayed(scheme) == size
            book.check_laws()


async def test_words_and_payments_of_a_page_that_came_late_are_lawful(tmp_path: Path) -> None:
    """The publisher was away for an hour in which much was said: nobody is called a liar for it."""
    async with opened(tmp_path) as scheme:
        payer, shop = await scheme.customer(funds=40_000), await scheme.merchant()
        await scheme.services.parties.pins.set(payer.party, PIN, by=None)
        for per_day, amount in ((700, 400), (500, 100), (0, 0), (900, 300)):
            await payer.allow_pin(per_day)
            if amount:
                await payer.pay_by_pin(shop, amount)
            scheme.clock.offset_s += 600
        await scheme.customer("Somebody new")
        with Logbook.of(scheme) as book:
            size = book.publish()
            assert book.replayed(scheme) == size
            assert book.rebuild().difference is None


async def test_a_consent_that_was_not_in_force_is_found_by_the_auditor(tmp_path: Path) -> None:
    """An operator that lets a PIN take more than the device allows."""
    async with opened(tmp_path) as scheme:
        payer, shop = await scheme.customer(funds=40_000), await scheme.merchant()
        await scheme.services.parties.pins.set(payer.party, PIN, by=None)
        await payer.allow_pin(100)
        scheme.services.parties.pin_payments._check = lambda *_, **__: None  # type: ignore[method-assign]
        await payer.pay_by_pin(shop, 101)
        with Logbook.of(scheme) as book:
            book.publish()
            try:
                book.replayed(scheme)
            except Refuted as lie:
                assert "PINs took 101 in a day, and the payer's own key allows 100" in str(lie)
            else:
                raise AssertionError("not noticed")


async def test_a_word_that_was_changed_in_the_store_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer = await scheme.customer()
        await payer.allow_pin(100)
        with Logbook.of(scheme) as book:
            book.publish()
            assert book.rebuild().difference is None
            before = statements.allow_pin(origin=scheme.services.config.origin, account=payer.account, per_day=100, made_at_ms=0)[
                :-16
            ].hex()
            text = f"UPDATE party_events SET facts = replace(facts, '{before}', '{before[:-2]}00') WHERE kind = 'pin_allowed'"
            await scheme.services.store.write(lambda connection: connection.exec_driver_sql(text))
            difference = book.rebuild().difference or ""
            assert "statement is" in difference, difference
