"""Every kind of payment and every change of a party becomes the right entries, in an order that holders and auditors can follow."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

from counterfoil.ids import id_text, leg_id, new_id
from counterfoil.institutions.book.mapping import load_mapping
from counterfoil.institutions.book.service import import_book
from counterfoil.ledger.chart import AccountCode, TransferCode
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments import forms
from counterfoil.payments.orders import OrderKind, decode, encode
from counterfoil.payments.publish.service import LogMismatch
from counterfoil.payments.service import Mandate
from counterfoil.payments.types import AuthorisationClass
from counterfoil.payments.views import AuditView, Event, FreezeView, KeyReason, KeyView, holder_view
from counterfoil.tlog.entry import EntryType, Opening, Role
from tests.payments.publish.logbook import Logbook, balances_follow
from tests.payments.test_batches import finished, form_for
from tests.payments.test_standing import run_all, stand
from tests.scheme import Person, Scheme, opened

FEES = 840 << 16 | AccountCode.FEES
ISSUANCE = 840 << 16 | AccountCode.ISSUANCE


def newest(book: Logbook, payment: int) -> AuditView:
    book.publish()
    (view,) = [view for view in book.movements() if view.payment == payment]
    return view


async def test_the_first_entry_is_the_rules_and_the_same_rules_come_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        await scheme.customer()
        with Logbook.of(scheme) as book:
            book.publish()
            assert [entry.index for entry in book.entries() if entry.type is EntryType.RULES] == [0]
            opening = Opening.decode((tmp_path / "log/public/public/0").read_bytes())
            assert opening.payload == scheme.services.payments.rules.document
            assert opening.role is Role.PUBLIC
        with Logbook.of(scheme) as book:
            assert book.publisher.step() == 0
        with Logbook.of(scheme, rules=lambda: b'{"new":1}') as book:
            assert book.publish() == book.openings.size
            assert book.entries()[-1].public == b'{"new":1}'
            assert book.entries()[-1].type is EntryType.RULES
            book.check_laws()
            assert book.rebuild().difference is None


async def test_a_payment_with_its_fee_is_one_entry_that_both_sides_see(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer(funds=1_000_000), await scheme.customer("Bob")
        receipt = await payer.pay(payee, 20_000, memo="rent")
        with Logbook.of(scheme) as book:
            view = newest(book, receipt.payment.id)
            assert (view.event, view.kind, view.authorisation, view.service) == (Event.DONE, 1, 1, 1)
            assert [leg.code for leg in view.legs] == [TransferCode.PAYMENT, TransferCode.FEE]
            assert [leg.amount for leg in view.legs] == [20_000, 20]
            assert [leg.transfer for leg in view.legs] == [receipt.payment.id, leg_id(receipt.payment.id, 1)]
            assert [each.account for each in view.accounts] == [payer.account, payee.account, FEES]
            assert (view.order, view.signature, view.device) == (receipt.payment.order, receipt.payment.signature, payer.device)
            assert view.order_hash == hashlib.sha256(view.order).digest()
            assert view.time == receipt.completed_at
            mine, theirs = holder_view(view, incoming=False), holder_view(view, incoming=True)
            assert (mine.amount, mine.fee, mine.balance) == (20_000, -20, 1_000_000 - 20_020) == (20_000, -20, receipt.balance)
            assert (theirs.amount, theirs.fee, theirs.balance) == (20_000, 0, 20_000)
            assert (mine.counterparty, theirs.counterparty) == (payee.account, payer.account)
            shown = book.check_laws()
            for person in (payer, payee):
                balances_follow(shown[person.account])


async def test_a_merchants_fee_is_the_payees(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, shop = await scheme.customer(funds=100_000), await scheme.merchant()
        receipt = await payer.pay(shop, 10_000)
        with Logbook.of(scheme) as book:
            view = newest(book, receipt.payment.id)
            assert (holder_view(view, incoming=False).fee, holder_view(view, incoming=True).fee) == (0, -50)
            balances_follow(book.check_laws()[shop.account])


async def test_holds_and_what_becomes_of_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, shop, agent = await scheme.customer(funds=1_000_000), await scheme.merchant(), await scheme.agent(funds=1_000)
        first = await payer.hold(shop, 5_000)
        captured = await shop.answer(OrderKind.CAPTURE, first, 3_000)
        second = await payer.hold(agent, 10_000)  # a cash-out: its fee is reserved, too
        released = await agent.answer(OrderKind.RELEASE, second, 10_000)
        third = await payer.hold(agent, 20_000, timeout_s=60)
        with Logbook.of(scheme) as book:
            view = newest(book, first.payment.id)
            assert (view.event, view.kind, holder_view(view, incoming=False).held) == (Event.HELD, OrderKind.HOLD, 5_000)
            assert holder_view(view, incoming=False).balance == 1_000_000
            view = newest(book, captured.payment.id)
            assert (view.event, view.kind, view.legs[0].amount, view.legs[0].pending) == (Event.CAPTURED, 3, 3_000, first.payment.id)
            assert (view.legs[0].debit, view.legs[0].credit, view.device) == (payer.account, shop.account, shop.device)
            assert (holder_view(view, incoming=False).held, holder_view(view, incoming=False).balance) == (0, 997_000)
            view = newest(book, second.payment.id)
            assert (holder_view(view, incoming=False).fee, holder_view(view, incoming=False).held) == (-100, 10_100)
            view = newest(book, released.payment.id)
            assert (view.event, view.kind, len(view.legs), [leg.amount for leg in view.legs]) == (Event.RELEASED, 4, 2, [10_000, 100])
            assert (holder_view(view, incoming=False).fee, holder_view(view, incoming=False).held) == (0, 0)
            scheme.clock.offset_s += 61
            for _ in range(100):
                if payer.available() == payer.balance():
                    break
                await asyncio.sleep(0.05)
            book.publish()
            begun, *expiries = [view for view in book.movements() if view.payment == third.payment.id]
            assert begun.event == Event.HELD
            assert [(view.event, view.legs[0].amount, len(view.legs)) for view in expiries] == [
                (Event.EXPIRED, 20_000, 1),
                (Event.EXPIRED, 200, 1),
            ]
            assert [view.legs[0].transfer for view in expiries] == [third.payment.id, leg_id(third.payment.id, 1)]
            assert holder_view(expiries[1], incoming=False).held == 0
            shown = book.check_laws()
            balances_follow(shown[payer.account])
            balances_follow(shown[shop.account])
            assert book.rebuild().difference is None


async def test_refund_and_reversal(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, shop = await scheme.customer(funds=100_000), await scheme.merchant(funds=10_000)
        paid = await payer.pay(shop, 4_000)
        back = await shop.answer(OrderKind.REFUND, paid, 1_000)
        proposal = await scheme.propose("reversal", {"payment": id_text(paid.payment.id)}, scheme.supervisors)
        with Logbook.of(scheme) as book:
            view = newest(book, back.payment.id)
            assert (view.kind, view.service, view.legs[0].code) == (OrderKind.REFUND, 6, TransferCode.REFUND)
            view = newest(book, proposal.id)
            assert (view.kind, view.authorisation, view.principal) == (OrderKind.REVERSAL, AuthorisationClass.STAFF, 1)
            assert (view.order, view.signature, view.device) == (b"", b"", 0)
            kept = await scheme.services.payments.find(proposal.id)
            assert kept is not None
            assert view.order_hash == kept.order_hash != bytes(32)
            assert (holder_view(view, incoming=False).amount, holder_view(view, incoming=False).fee) == (3_000, 20)
            shown = book.check_laws()
            balances_follow(shown[shop.account])
            balances_follow(shown[payer.account])


async def test_issue_and_withdrawal_are_public(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        bank = await scheme.institution(funds=70_000)
        await scheme.circulate("withdrawal", bank, 20_000)
        with Logbook.of(scheme) as book:
            book.publish()
            issue, redeem = [entry for entry in book.entries() if entry.type in (EntryType.ISSUE, EntryType.REDEEM)]
            assert (issue.type, redeem.type) == (EntryType.ISSUE, EntryType.REDEEM)
            for entry, amount, kind in ((issue, 70_000, 7), (redeem, 20_000, 8)):
                view = AuditView.decode(entry.audit)
                assert view.kind == kind
                expected = f'{{"amount":{amount},"asset":"USD","at":{view.time},"payment":"{view.payment:032x}"}}'
                published = Opening.decode((tmp_path / f"log/public/public/{entry.index}").read_bytes())
                assert published.payload == expected.encode() == entry.public
                assert published.leaf_hash() == book.opening(entry, Role.AUDIT).leaf_hash()
            assert holder_view(AuditView.decode(issue.audit), incoming=False).balance == -70_000
            assert holder_view(AuditView.decode(redeem.audit), incoming=True).balance == -50_000
            book.check_laws()


async def test_batch_and_standing_order_carry_the_form_that_was_signed(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        employer, worker = await scheme.merchant("Bakery", funds=100_000), await scheme.customer("Worker")
        file = f"to,amount,memo\n{worker.address},12.50,November\n{worker.address},2.50,\n"
        form = form_for(employer, file)
        signed = employer.sign(forms.encode(form))
        await scheme.services.batches.create(signed, file)
        await finished(scheme, form.id, employer)
        order = await stand(employer, worker, 700, first_at_ms=scheme.clock.now_ns() // 1_000_000 - 1_000, count_max=1)
        await run_all(scheme)
        with Logbook.of(scheme) as book:
            for line, amount in ((1, 1_250), (2, 250)):
                view = newest(book, leg_id(form.id, line))
                assert (view.authorisation, view.device, view.signature) == (5, employer.device, signed.signature)
                assert (view.document, decode(view.order).amount, view.order_hash) == (
                    signed.order, amount, hashlib.sha256(view.order).digest(),
                )  # fmt: skip
            view = newest(book, leg_id(order.id, 1))
            assert forms.decode(view.document, forms.StandingOrder).amount == 700
            employer.key.verify_key.verify(view.document, view.signature)
            book.check_laws()


async def test_a_tokens_payment_has_no_signature(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        shop, payee = await scheme.merchant(funds=10_000), await scheme.customer()
        order = shop.order(payee, 500)
        receipt = await scheme.services.payments.pay_under_mandate(order, Mandate(new_id(scheme.clock), AuthorisationClass.TOKEN))
        with Logbook.of(scheme) as book:
            view = newest(book, receipt.payment.id)
            assert (view.authorisation, view.device, view.signature, view.order) == (6, 0, b"", encode(order))


async def test_imported_books_are_entries_without_an_order(tmp_path: Path) -> None:
    book_file = tmp_path / "old.csv"
    book_file.write_text(
        "transaction,account,date,amount,balance,category\n1,A,2026-01-05,100.00,100.00,cash\n2,A,2026-01-06,-30.00,70.01,cash\n"
    )
    async with opened(tmp_path) as scheme:
        services = scheme.services
        report = await import_book(services.ledger, book_file, load_mapping("plain"), tolerance=1, currency=services.config.currency)
        assert (report.transactions, report.rounding_entries) == (2, 1)
        with Logbook.of(scheme) as book:
            book.publish()
            first, second = book.movements()
            for view in (first, second):
                assert (view.event, view.kind, view.authorisation, view.service, view.order_hash) == (0, 0, 0, 0, bytes(32))
                assert view.payment == view.legs[view.principal].transfer
                assert view.legs[view.principal].code == TransferCode.IMPORT
            assert (len(first.legs), len(second.legs)) == (1, 2)
            assert second.legs[1 - second.principal].code == TransferCode.IMPORT_ROUNDING
            assert {each.balance for each in second.accounts} >= {7_001, -1}
            book.check_laws()
            assert book.rebuild().difference is None


def key_for(scheme: Scheme, person: Person) -> tuple[NewKey, SigningKey, bytes]:
    """A further key for somebody, and what both sign."""
    key, device = SigningKey.generate(), new_id(scheme.clock)
    public = bytes(key.verify_key)
    statement = statements.add_device(
        origin=scheme.services.config.origin, party=person.party, device=device, algorithm=KeyAlgorithm.ED25519, public_key=public
    )
    return (
        NewKey(device=device, algorithm=KeyAlgorithm.ED25519, public_key=public, possession=key.sign(statement).signature),
        key,
        statement,
    )


async def test_keys_are_bound_and_revoked_in_the_account_s_chain(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        person, payee = await scheme.customer(funds=10_000), await scheme.customer("Bob")
        devices = scheme.services.parties.devices
        new, key, statement = key_for(scheme, person)
        await devices.add(new, by_device=person.device, signature=person.key.sign(statement).signature)
        paid = await scheme.services.payments.pay(
            msgspec.structs.replace(
                person.sign(order := person.order(payee, 100)), device=new.device, signature=key.sign(encode(order)).signature
            )
        )
        gone = statements.revoke_device(origin=scheme.services.config.origin, party=person.party, device=new.device)
        await devices.revoke(new.device, by_device=person.device, signature=person.key.sign(gone).signature)
        with Logbook.of(scheme) as book:
            view = newest(book, paid.payment.id)
            assert view.device == new.device
            first, second, third = book.about(person.account, EntryType.KEY)
            assert isinstance(first, KeyView)
            assert isinstance(second, KeyView)
            assert isinstance(third, KeyView)
            assert (first.what, first.device, first.reason, first.by, first.consent) == (1, person.device, KeyReason.ENROLMENT, 0, b"")
            person.key.verify_key.verify(first.statement, first.possession)
            assert (second.what, second.device, second.reason, second.by) == (1, new.device, KeyReason.FURTHER_DEVICE, person.device)
            key.verify_key.verify(second.statement, second.possession)
            person.key.verify_key.verify(second.statement, second.consent)
            assert (third.what, third.device, third.reason, third.by) == (2, new.device, KeyReason.REVOKED, person.device)
            seq = next(each.seq for each in view.accounts if each.account == person.account)
            assert second.seq < seq < third.seq
            book.check_laws()


async def test_recovery_revokes_all_keys_and_binds_the_new_one(tmp_path: Path) -> None:
    async with opened(tmp_path, recovery_delay_s=10) as scheme:
        person = await scheme.customer(funds=10_000)
        key, device = SigningKey.generate(), new_id(scheme.clock)
        statement = statements.recover(
            origin=scheme.services.config.origin, number=person.address, device=device, algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(key.verify_key),
        )  # fmt: skip
        new = NewKey(
            device=device, algorithm=KeyAlgorithm.ED25519, public_key=bytes(key.verify_key), possession=key.sign(statement).signature
        )
        devices, recoveries = scheme.services.parties.devices, scheme.services.parties.recoveries
        second, _, agreed = key_for(scheme, person)
        await devices.add(second, by_device=person.device, signature=person.key.sign(agreed).signature)
        other = await scheme.customer("Bob")  # whose new key is taken away before it was ever in force
        key_of_other, device_of_other = SigningKey.generate(), new_id(scheme.clock)
        wish = statements.recover(
            origin=scheme.services.config.origin, number=other.address, device=device_of_other, algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(key_of_other.verify_key),
        )  # fmt: skip
        never = NewKey(
            device=device_of_other,
            algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(key_of_other.verify_key),
            possession=key_of_other.sign(wish).signature,
        )
        await recoveries.begin_by_staff(other.party, never, reason="phone lost", by=scheme.clerk)
        await devices.revoke_by_staff(device_of_other, reason="a lie", by=scheme.clerk)
        await recoveries.begin_by_staff(person.party, new, reason="phone lost", by=scheme.clerk)
        with Logbook.of(scheme) as book:
            book.publish()
            assert len(book.about(person.account, EntryType.KEY)) == 2, "a key that waits is not in force"
            assert len(book.about(other.account, EntryType.KEY)) == 1
            scheme.clock.offset_s += 11
            await recoveries.complete_due()
            book.publish()
            _, _, old, older, bound = book.about(person.account, EntryType.KEY)
            assert isinstance(old, KeyView)
            assert isinstance(older, KeyView)
            assert isinstance(bound, KeyView)
            assert (old.what, old.device, old.reason) == (2, person.device, KeyReason.RECOVERY)
            assert (older.what, older.device) == (2, second.device)
            assert (bound.what, bound.device, bound.reason, bound.by) == (1, device, KeyReason.RECOVERY, 0)
            key.verify_key.verify(bound.statement, bound.possession)
            book.check_laws()
            assert book.rebuild().difference is None


async def test_freezes_are_public_with_count_and_sum(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        first, second = await scheme.customer(funds=7_000), await scheme.customer("Bob", funds=500)
        staff = scheme.services.parties.staff
        one, two = new_id(scheme.clock), new_id(scheme.clock)
        await staff.freeze(one, first.party, reason="court order 12", by=scheme.supervisors[0], lifetime_s=1_000)
        await staff.freeze(two, second.party, reason="phone lost", by=scheme.supervisors[0], incoming=True)
        await staff.unfreeze(two, reason="found", by=scheme.supervisors[0])
        with Logbook.of(scheme) as book:
            book.publish()
            entries = [entry for entry in book.entries() if entry.type is EntryType.FREEZE]
            public = [msgspec.json.decode(entry.public) for entry in entries]
            assert [(each["what"], each["accounts"], each["sum"]) for each in public] == [
                ("freeze", 1, 7_000), ("freeze", 2, 7_500), ("unfreeze", 1, 7_000),
            ]  # fmt: skip
            begun, _, ended = [FreezeView.decode(entry.audit) for entry in entries]
            assert public[0]["reason_hash"] == begun.reason_hash.hex()
            assert begun.reason_hash == hashlib.sha256(one.to_bytes(16) + b"court order 12").digest()
            assert (begun.account, begun.incoming, begun.expires_at > begun.time) == (first.account, False, True)
            assert public[0]["expires_at"] == begun.expires_at
            assert ended.reason_hash == hashlib.sha256(two.to_bytes(16) + b"found").digest()
            assert (ended.what, ended.account, ended.incoming) == (2, second.account, True)
        scheme.clock.offset_s += 2_000
        await staff.freeze(new_id(scheme.clock), second.party, reason="again", by=scheme.supervisors[0])
        with Logbook.of(scheme) as book:
            book.publish()
            again = msgspec.json.decode([entry for entry in book.entries() if entry.type is EntryType.FREEZE][-1].public)
            assert (again["accounts"], again["sum"], again["expires_at"]) == (1, 500, 0), "the first has run out"
            book.check_laws()
            assert book.rebuild().difference is None


async def test_accounts_open_close_and_change_tier(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        person = await scheme.customer(tier="number_only")
        other = await scheme.customer("Bob", tier="identity_seen")
        staff = scheme.services.parties.staff
        await staff.change_tier(person.party, "identity_seen", reason="papers", by=scheme.supervisors[0])
        await staff.change_tier(person.party, "identity_verified", reason="more papers", by=scheme.supervisors[0])
        await staff.close(person.party, reason="moved away", by=scheme.supervisors[0])
        with Logbook.of(scheme) as book:
            book.publish()
            accounts = book.about(person.account, EntryType.ACCOUNT)
            assert [(view.what, view.tier) for view in accounts] == [  # type: ignore[union-attr]
                (1, "number_only"), (3, "identity_seen"), (3, "identity_verified"), (2, ""),
            ]  # fmt: skip
            assert [view.tier for view in book.about(other.account, EntryType.ACCOUNT)] == ["identity_seen"]  # type: ignore[union-attr]
            kept = scheme.services.ledger.account_now(person.account)
            assert kept is not None
            assert (accounts[0].time, accounts[0].code, accounts[0].ledger, accounts[0].flags) == (  # type: ignore[union-attr]
                kept.timestamp, AccountCode.CUSTOMER, 840, 2 | 8,
            )  # fmt: skip
            _, revoked = book.about(person.account, EntryType.KEY)
            assert isinstance(revoked, KeyView)
            assert (revoked.what, revoked.device, revoked.seq) == (2, person.device, accounts[-1].seq - 1)
            book.check_laws()
            assert book.rebuild().difference is None


async def test_a_key_comes_before_the_payments_that_it_signed_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        bank = await scheme.institution(funds=1_000_000)
        with Logbook.of(scheme) as book:
            book.publish()
            scheme.clock.offset_s += 3_600
            person = await scheme.customer()
            scheme.clock.offset_s -= 3_600
            await bank.pay(person, 5_000)
            paid = await person.pay(bank, 100)
            view = newest(book, paid.payment.id)
            (bound,) = book.about(person.account, EntryType.KEY)
            assert bound.time > view.time, "by the clocks it came later"
            assert bound.seq < holder_view(view, incoming=False).seq
            scheme.clock.offset_s -= 7_200
            late = await scheme.customer("Late")
            book.publish()
            assert len(book.about(late.account, EntryType.KEY, EntryType.ACCOUNT)) == 2, "nothing is missed"
            book.check_laws()
            assert book.rebuild().difference is None


@pytest.mark.parametrize("page_size", [33, 40, 2_048])
async def test_the_size_of_pages_changes_nothing_that_matters(tmp_path: Path, page_size: int) -> None:
    """A log that begins long after the scheme catches up page by page; chains are never cut in two."""
    async with opened(tmp_path) as scheme:
        payer = await scheme.customer(funds=1_000_000)
        people = [await scheme.customer(f"Person {number}") for number in range(10)]
        for number in range(16):
            for _ in range(2):  # more happens to parties than to money: a page of theirs is full sooner
                await scheme.customer("Quiet person")
            people.append(await scheme.customer(f"Late person {number}"))
            await payer.pay(people[-1], 20_000)
            await people[-1].pay(people[number % 10], 10)
        with Logbook.of(scheme, page_size=page_size) as book:
            book.publish()
            views = [view for view in book.movements() if view.legs[view.principal].code == TransferCode.PAYMENT and view.kind == 1]
            assert len([view for view in views if len(view.legs) == 2 and view.accounts[0].account == payer.account]) == 16
            shown = book.check_laws()
            balances_follow(shown[payer.account])
            assert book.rebuild().difference is None
            bound = {view.account: view.seq for entry in book.entries() if entry.type == 4 for view in [KeyView.decode(entry.audit)]}
            for person in (payer, *people[10:]):
                assert bound[person.account] < next(view for view in shown[person.account] if not view.incoming).seq


async def test_a_log_without_its_openings_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        await scheme.customer()
        with Logbook.of(scheme) as book:
            book.publish()
        for path in list((tmp_path / "log").glob("openings.sqlite*")):
            path.rename(tmp_path / path.name)
        with pytest.raises(LogMismatch, match=r"restore openings\.sqlite"):
            Logbook.of(scheme)


async def test_a_log_with_the_openings_of_another_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        await scheme.customer()
        with Logbook.of(scheme) as book:
            book.publish()
        (tmp_path / "log").rename(tmp_path / "first")
        with Logbook.of(scheme) as book:  # the same entries under other salts
            book.publish()
        (tmp_path / "first/openings.sqlite").rename(tmp_path / "log/openings.sqlite")
        with pytest.raises(LogMismatch, match="is not the one that was kept"):
            Logbook.of(scheme)
