"""The auditor's replay: an honest town passes, and for each lie of an operator there is a sentence."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

import counterfoil_verify.book
from counterfoil_verify.audit import Replay, records, replay
from counterfoil_verify.keys import verify
from counterfoil_verify.log import Files, LogCheck
from counterfoil_verify.policy import Policy
from counterfoil_verify.report import Report, Unchecked
from counterfoil_verify.spending import NS, Calendar
from tests.verifier.maker import (
    CUSTOMER,
    ISSUE,
    MERCHANT,
    ORIGIN,
    PAY,
    POLICY,
    REFUND,
    REVERSAL,
    RULES,
    TARIFF,
    Account,
    Leg,
    canonical,
    h,
    sized,
)  # fmt: skip
from tests.verifier.town import Town

policy = Policy.parse(POLICY.encode())
DAY_S = 86_400


def audit(town: Town, folder: Path, openings: bytes | None = None, sizes: list[int] | None = None) -> Report:
    town.publish(folder, sizes)
    files, report = Files(str(folder)), Report()
    check = LogCheck(files, policy, report)
    check.run()
    assert report.exit_code == 0, report.text()
    replay(files, check.witnessed, check.rules, io.BytesIO(town.openings() if openings is None else openings), report)
    return report


def test_an_honest_town_passes_with_entries_of_every_type(tmp_path: Path) -> None:
    town = Town().live()
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()
    assert {entry.type for entry in town.entries} == {1, 2, 3, 4, 5, 6, 10}
    assert report.fields["replayed"] == len(town.entries)
    assert report.fields["accounts"] == 11
    assert report.fields["open_holds"] == 0
    assert report.fields["balances"] == 1_000_000 - 1_234
    assert report.fields["recoveries"] == 1
    ways = report.fields["authorisations"]
    assert {name: way["count"] for name, way in ways.items()} == {
        "none": 1, "device": 18, "PIN": 1, "staff": 3, "mandate": 4, "token": 1,
    }  # fmt: skip
    assert ways["PIN"]["sum"] == 250


def change_leg_amount(by: int) -> Callable[[bytes], bytes]:
    """Rewrites the amount of the first leg in the audit payload, and nothing else."""

    def change(audit: bytes) -> bytes:
        at = 61 + 48
        (amount,) = struct.unpack_from(">Q", audit, at)
        return audit[:at] + struct.pack(">Q", amount + by) + audit[at + 8 :]

    return change


def wrong_fee(town: Town) -> None:
    town.pay(20_000, fee=21)


def no_fee(town: Town) -> None:
    town.pay(20_000)


def fee_of_the_wrong_side(town: Town) -> None:
    town.payment(PAY, [Leg(town.amina, town.shop, 2_000), Leg(town.amina, town.fees, 10)], service=2)


def fee_to_somebody_else(town: Town) -> None:
    town.payment(PAY, [Leg(town.amina, town.bayo, 20_000), Leg(town.amina, town.agent, 20)], service=1)


def fee_above_what_was_agreed(town: Town) -> None:
    town.pay(20_000, fee=20, max_fee=19)


def service_with_a_kinder_tariff(town: Town) -> None:
    town.payment(PAY, [Leg(town.amina, town.shop, 2_000)], service=7)


def unsigned_debit(town: Town) -> None:
    town.pay(signature=bytes(64))


def debit_without_signature(town: Town) -> None:
    town.pay(signature=b"")


def debit_without_order(town: Town) -> None:
    town.pay(order=b"", signature=b"")


def debit_by_nobody(town: Town) -> None:
    town.pay(way=0, order=b"")


def debit_of_kind_none(town: Town) -> None:
    town.payment(0, [Leg(town.amina, town.bayo, 1_000)], service=0, way=0, order=b"")


def debit_by_staff(town: Town) -> None:
    town.pay(way=4)


def class_that_does_not_exist(town: Town) -> None:
    town.pay(way=7)


def signed_by_another_holder(town: Town) -> None:
    town.amina.devices = town.bayo.devices
    town.pay()


def revoked_key(town: Town) -> None:
    town.revoke(town.amina)
    town.tick(61)
    town.pay()


def swapped_key(town: Town) -> None:
    town.bind(town.amina, reason=1)


def further_key_nobody_agreed_to(town: Town) -> None:
    town.bind(town.amina, reason=2)


def further_key_agreed_by_a_revoked_one(town: Town) -> None:
    town.revoke(town.amina)
    town.tick(61)
    town.bind(town.amina, reason=2, by=0)


def key_that_is_not_there(town: Town) -> None:
    town.bind(town.shop, reason=3, possession=bytes(64))


def small_order_key(town: Town) -> None:
    class Odd(SigningKey):
        def __init__(self) -> None:
            super().__init__(bytes(32))
            self.verify_key = type("Key", (), {"__bytes__": lambda _: b"\1" + bytes(31)})()

    town.bind(town.shop, reason=3, key=Odd())


def negative_balance(town: Town) -> None:
    town.pay(39_000, fee=20)
    town.pay(2_000)


def spending_what_is_held(town: Town) -> None:
    town.hold(town.amina, town.shop, 39_000, service=2)
    town.pay(2_000)


def account_without_its_limit(town: Town) -> None:
    town.open(CUSTOMER, "basic", flags=0)


def money_from_nothing(town: Town) -> None:
    town.payment(PAY, [Leg(town.issuance, town.amina, 1_000)], service=5, order=b"", way=2)


def money_from_an_import(town: Town) -> None:
    cash = town.open(31)
    town.payment(0, [Leg(cash, town.amina, 1_000)], service=0, way=0, order=b"")


def issue_that_says_less(town: Town) -> None:
    town.payment(ISSUE, [Leg(town.issuance, town.bank, 5_000)], service=7, way=4, public={"amount": 500})


def issue_by_a_holder_alone(town: Town) -> None:
    town.payment(ISSUE, [Leg(town.issuance, town.bank, 5_000)], service=7, way=1)


def issue_that_is_logged_as_a_transfer(town: Town) -> None:
    town.payment(ISSUE, [Leg(town.issuance, town.bank, 5_000)], service=7, way=4)
    town.entries[-1].type, town.entries[-1].payloads[3] = 1, b""


def payment_that_is_logged_as_a_capture(town: Town) -> None:
    town.pay(event=2)


def issue_the_wrong_way(town: Town) -> None:
    town.payment(ISSUE, [Leg(town.bank, town.issuance, 5_000)], service=7, way=4)


def rewritten_amount(town: Town) -> None:
    town.pay(1_000, change=change_leg_amount(-500))


def amount_above_the_order(town: Town) -> None:
    town.pay(1_001, order_amount=1_000)


def another_payee_than_ordered(town: Town) -> None:
    payment = town.new_id()
    town.pay(order=town.order(PAY, town.amina, town.agent, 1_000, payment, expiry=town.now // 10**6 + 10_000), payment=payment)


def another_id_than_ordered(town: Town) -> None:
    town.pay(order=town.order(PAY, town.amina, town.bayo, 1_000, town.new_id()))


def an_order_to_another_scheme(town: Town) -> None:
    town.pay(origin="log.example.org/other")


def replayed_order(town: Town) -> None:
    payment = town.new_id()
    order = town.order(PAY, town.amina, town.bayo, 1_000, payment)
    town.pay(order=order, payment=payment)
    town.pay(order=order, payment=payment)


def replayed_after_it_expired(town: Town) -> None:
    payment = town.new_id()
    order = town.order(PAY, town.amina, town.bayo, 1_000, payment)
    town.pay(order=order, payment=payment)
    town.tick(3 * 3_600)
    town.pay(payer=town.agent, payee=town.shop, service=2, amount=100)
    town.pay(order=order, payment=payment)


def an_order_that_lives_for_ever(town: Town) -> None:
    town.pay(expiry=town.now // 10**6 + 8 * DAY_S * 1_000)


def above_the_limit_of_one_payment(town: Town) -> None:
    town.payment(PAY, [Leg(town.agent, town.amina, 60_000)], service=3)
    town.pay(50_001, fee=20)


def pin_debit_of_somebody_with_a_key(town: Town) -> None:
    town.pay(way=2, signature=b"", device=bytes(16), order=b"")


def by_pin(town: Town, amount: int = 250, *, fee: int = 0, payer: Account | None = None, payee: Account | None = None) -> None:
    town.pay(amount, payer=payer, payee=payee, fee=fee, way=2, signature=b"", device=bytes(16), order=b"")


def pin_debit_above_what_the_key_allows(town: Town) -> None:
    town.allow_pin(town.amina, 600)
    by_pin(town, 400)
    by_pin(town, 201)


def pin_debit_whose_fee_is_above_what_the_key_allows(town: Town) -> None:
    town.allow_pin(town.amina, 20_019)
    by_pin(town, 20_000, fee=20)


def pin_hold_above_what_the_key_allows(town: Town) -> None:
    town.allow_pin(town.amina, 1_000)
    town.hold(town.amina, town.shop, 1_001, service=2, way=2, order=b"")


def pin_debit_after_it_was_taken_back(town: Town) -> None:
    town.allow_pin(town.amina, 600)
    town.allow_pin(town.amina, 0)
    town.tick(61)
    by_pin(town)


def pin_debit_after_a_recovery(town: Town) -> None:
    town.allow_pin(town.amina, 600)
    town.revoke(town.amina)
    town.bind(town.amina, reason=3)
    town.tick(61)
    by_pin(town)


def pin_debit_right_after_the_recovery_of_somebody_with_a_key(town: Town) -> None:
    town.bind(town.amina, reason=3)
    by_pin(town)


def card_debit_of_somebody_who_allows_a_pin(town: Town) -> None:
    town.allow_pin(town.amina, 600)
    town.pay(250, way=3, signature=b"", device=bytes(16), order=b"")


def refund_by_pin(town: Town) -> None:
    town.payment(REFUND, [Leg(town.amina, town.bayo, 100)], service=6, way=2, order=b"")


def an_old_word_shown_again(town: Town) -> None:
    town.allow_pin(town.amina, 600, made_at=1_000)
    town.allow_pin(town.amina, 0, made_at=2_000)
    town.allow_pin(town.amina, 600, made_at=1_000)


def a_word_about_pins_that_nobody_signed(town: Town) -> None:
    town.allow_pin(town.amina, 600, signature=bytes(64))


def a_word_about_pins_by_another_holder(town: Town) -> None:
    town.amina.devices = town.bayo.devices
    town.allow_pin(town.amina, 600)


def a_word_about_pins_by_a_key_of_the_operator(town: Town) -> None:
    own = SigningKey(h(b"operator"))
    town.amina.devices = [(town.amina.devices[0][0], own)]
    town.allow_pin(town.amina, 600)


def a_word_about_pins_by_a_revoked_key(town: Town) -> None:
    town.revoke(town.amina)
    town.tick(61)
    town.allow_pin(town.amina, 600)


def a_word_about_pins_of_another_account(town: Town) -> None:
    town.allow_pin(town.amina, 600, about=town.bayo)


def an_order_as_a_word_about_pins(town: Town) -> None:
    town.allow_pin(town.amina, 600, statement=town.order(PAY, town.amina, town.bayo, 100, town.new_id()))


def a_word_about_pins_that_calls_itself_an_enrolment(town: Town) -> None:
    town.allow_pin(town.amina, 600, reason=b"\1")


def token_debit_of_a_customer(town: Town) -> None:
    town.pay(way=6, signature=b"", device=bytes(16))


def revocation_dated_ahead(town: Town) -> None:
    town.tick(10 * 86_400)
    town.revoke(town.amina)
    town.tick(-9 * 86_400)
    town.pay()


def rich(town: Town) -> None:
    town.bank_pays(town.amina, 200_000)


def recovery_that_leaves_the_lost_key_in_force(town: Town) -> None:
    town.bind(town.amina, reason=3, alone=True)


def above_the_highest_balance(town: Town) -> None:
    town.tick(180)
    town.bank_pays(town.amina, 260_001)  # who has 40,000, and may have 300,000


def above_the_highest_balance_in_small_steps(town: Town) -> None:
    for _ in range(6):
        town.tick(180)
        town.bank_pays(town.amina, 43_334)


def above_the_highest_balance_by_what_is_held(town: Town) -> None:
    rich(town)
    town.tick(180)
    town.hold(town.bank, town.amina, 60_001, 5, town.fees, service=5)


def above_the_highest_balance_with_what_was_held(town: Town) -> None:
    rich(town)
    town.hold(town.bank, town.amina, 60_000, 5, town.fees, service=5)
    town.tick(180)
    town.bank_pays(town.amina, 1)


def above_the_highest_balance_by_pin(town: Town) -> None:
    kofi = town.open(CUSTOMER, "basic")
    town.bank_pays(kofi, 1_000)
    town.bank_pays(town.amina, 259_900)
    town.tick(180)
    by_pin(town, 101, payer=kofi, payee=town.amina)


def above_the_highest_balance_by_a_batch(town: Town) -> None:
    town.bank_pays(town.amina, 259_900)
    town.tick(180)
    name, form = town.batch()
    town.under(form, name, 1, Leg(town.bank, town.amina, 101), fee=5, service=5, max_fee=100)


def above_the_highest_balance_after_the_tier_was_lowered(town: Town) -> None:
    town.account_event(town.amina, 3, "shop")
    town.bank_pays(town.amina, 300_000)
    town.account_event(town.amina, 3, "basic")
    town.tick(180)
    town.bank_pays(town.amina, 1)


def payee_of_a_tier_without_limits(town: Town) -> None:
    town.account_event(town.bayo, 3, "kings")
    town.pay()


def above_the_limit_of_the_day(town: Town) -> None:
    rich(town)
    town.pay(50_000, fee=20)
    town.pay(9_981)


def above_the_limit_of_the_day_by_what_is_held(town: Town) -> None:
    rich(town)
    town.pay(50_000, fee=20)
    town.hold(town.amina, town.shop, 9_981, service=2)


def above_the_limit_of_the_month(town: Town) -> None:
    rich(town)
    for amount in (50_000, 39_000, 961):
        town.pay(amount, fee=0 if amount < 10_000 else 20)
        town.tick(86_400)


def rules_that_are_not_in_the_log(town: Town) -> None:
    town.pay(rules=b"r" * 32)


def broken_chain(town: Town) -> None:
    town.amina.seq += 1
    town.pay()


def forked_chain(town: Town) -> None:
    town.amina.prev = bytes(32)
    town.pay()


def back_dated(town: Town) -> None:
    town.tick(-5)
    town.pay()


def wrong_balance(town: Town) -> None:
    town.bayo.balance += 1
    town.pay()


def wrong_held(town: Town) -> None:
    town.amina.held += 1
    town.pay()


def two_currencies(town: Town) -> None:
    town.payment(PAY, [Leg(town.amina, town.bayo, 1_000, ledger=978)], service=1)


def account_that_was_never_opened(town: Town) -> None:
    town.bayo.id = town.new_id()
    town.pay()


def account_that_was_closed(town: Town) -> None:
    town.account_event(town.bayo, 2)
    town.pay()


def account_opened_twice(town: Town) -> None:
    town.bayo.id = town.amina.id
    town._event(10, town.bayo, 1, struct.pack(">HIH", CUSTOMER, 840, 10))


def pending_money(town: Town) -> bytes:
    return town.hold(town.amina, town.shop, 5_000, service=2)


def capture_above_the_hold(town: Town) -> None:
    town.capture(pending_money(town), town.amina, town.shop, 5_001, held=5_000, fee=25, service=2)


def capture_twice(town: Town) -> None:
    hold = pending_money(town)
    town.capture(hold, town.amina, town.shop, 1_000, held=5_000, fee=5, service=2)
    town.capture(hold, town.amina, town.shop, 1_000, held=0, fee=5, service=2)


def capture_by_the_payer(town: Town) -> None:
    hold = pending_money(town)
    town.shop.devices = town.amina.devices
    town.capture(hold, town.amina, town.shop, 1_000, held=5_000, fee=5, service=2)


def capture_of_another_hold_than_ordered(town: Town) -> None:
    hold, other = pending_money(town), pending_money(town)
    town.capture(hold, town.amina, town.shop, 1_000, held=5_000, fee=5, service=2, reference=other)


def capture_for_somebody_else(town: Town) -> None:
    town.capture(pending_money(town), town.amina, town.agent, 1_000, held=5_000, fee=5, service=2)


def capture_after_the_time(town: Town) -> None:
    hold = pending_money(town)
    town.tick(3_700)
    town.capture(hold, town.amina, town.shop, 1_000, held=5_000, fee=5, service=2)


def expiry_before_the_time(town: Town) -> None:
    town.expire(pending_money(town), town.amina, town.shop, 5_000, wait=3_000)


def expiry_of_less(town: Town) -> None:
    hold = pending_money(town)
    town.tick(3_600)
    legs = [Leg(town.amina, town.shop, 4_000, id=hold, flags=2, of_pending=5_000)]
    town.payment(0, legs, service=0, event=4, way=0, payment=hold, order=b"")


def hold_longer_than_ordered(town: Town) -> None:
    town.hold(town.amina, town.shop, 5_000, service=2, timeout=60)


def release_of_nothing(town: Town) -> None:
    town.release(town.new_id(), town.amina, town.shop, 0)


def capture_fee_above_what_was_reserved(town: Town) -> None:
    hold = town.hold(town.amina, town.agent, 2_000, 20, town.fees, service=4)
    town.fees_held[hold] = (town.fees_held[hold][0], 20)
    town.capture(hold, town.amina, town.agent, 1_000, held=2_000, fee=20, service=4)


def reversal_by_a_holder(town: Town) -> None:
    town.payment(REVERSAL, [Leg(town.amina, town.bayo, 100)], service=6, way=1)


def reversal_with_a_fee(town: Town) -> None:
    town.payment(REVERSAL, [Leg(town.amina, town.bayo, 300), Leg(town.amina, town.fees, 2)], service=6, way=4)


def batch_above_its_total(town: Town) -> None:
    name, form = town.batch(total=500)
    town.under(form, name, 1, Leg(town.bank, town.bayo, 200), fee=5, service=5, max_fee=100)
    town.under(form, name, 2, Leg(town.bank, town.amina, 301), fee=5, service=5, max_fee=100)


def batch_line_paid_twice(town: Town) -> None:
    name, form = town.batch(count=3)
    for _ in range(2):
        town.under(form, name, 1, Leg(town.bank, town.bayo, 200), fee=5, service=5, max_fee=100)


def batch_of_another_payer(town: Town) -> None:
    name, form = town.batch()
    town.agent.devices = town.bank.devices
    town.under(form, name, 1, Leg(town.agent, town.amina, 200), fee=0, service=3)


def batch_at_a_higher_fee_than_signed(town: Town) -> None:
    name, form = town.batch()
    town.under(form, name, 1, Leg(town.bank, town.bayo, 200), fee=5, service=5, max_fee=101)


def batch_that_nobody_signed(town: Town) -> None:
    name, form = town.batch()
    town.under(form, name, 1, Leg(town.bank, town.bayo, 200), fee=5, service=5, signature=bytes(64))


def standing_order_of_another_amount(town: Town) -> None:
    name, form = town.standing(300)
    town.under(form, name, 1, Leg(town.amina, town.bayo, 301), fee=0, service=1)


def standing_order_before_its_time(town: Town) -> None:
    name, form = town.standing(300)
    town.under(form, name, 1, Leg(town.amina, town.bayo, 300), fee=0, service=1)
    town.tick(DAY_S - 100)
    town.under(form, name, 2, Leg(town.amina, town.bayo, 300), fee=0, service=1)


def standing_order_twice(town: Town) -> None:
    name, form = town.standing(300)
    town.under(form, name, 1, Leg(town.amina, town.bayo, 300), fee=0, service=1)
    town.under(form, name, 1, Leg(town.amina, town.bayo, 300), fee=0, service=1)


def a_letter_as_a_mandate(town: Town) -> None:
    town.pay(way=5, document=b"please pay", rules=bytes(32))


def freeze_that_says_less(town: Town) -> None:
    town.freeze(town.amina, sum=1)


def freeze_of_more_than_it_says(town: Town) -> None:
    town.freeze(town.amina)
    town.freeze(town.bayo, freeze=b"g" * 16)


def unfreeze_of_nothing(town: Town) -> None:
    town.freeze(town.amina, 2)


def payment_out_of_a_frozen_account(town: Town) -> None:
    town.freeze(town.amina)
    town.tick(120)
    town.pay(100)


def capture_by_a_frozen_merchant(town: Town) -> None:
    hold = town.hold(town.amina, town.shop, 5_000, service=2)
    town.freeze(town.shop)
    town.tick(120)
    town.capture(hold, town.amina, town.shop, 3_000, held=5_000, fee=15, service=2)


def payment_into_an_account_that_is_closed_to_money(town: Town) -> None:
    town.freeze(town.bayo, incoming=True)
    town.tick(120)
    town.pay(100)


def payment_before_the_freeze_is_over(town: Town) -> None:
    town.freeze(town.amina, lasts_s=3_600)
    town.tick(1_800)
    town.pay(100)


def cash_out_that_the_agent_has_not_signed(town: Town) -> None:
    kofi = town.kofi()
    hold = town.hold(kofi, town.agent, 500, 10, town.fees, service=4, way=2)
    town.capture(hold, kofi, town.agent, 500, held=500, fee=10, service=4, signature=bytes(64))


def cash_out_by_token(town: Town) -> None:
    kofi = town.kofi()
    hold = town.hold(kofi, town.agent, 500, 10, town.fees, service=4, way=2)
    town.capture(hold, kofi, town.agent, 500, held=500, fee=10, service=4, way=6)


def cash_out_at_once(town: Town) -> None:
    kofi = town.kofi()
    town.payment(PAY, [Leg(kofi, town.agent, 500), Leg(kofi, town.fees, 10)], service=4, way=2)


def countersigned(**lies: Any) -> Callable[[Town], None]:
    """A purchase by PIN, and a countersignature of it that is true but for `lies`."""

    def lie(town: Town) -> None:
        town.countersign(town.shop, town.buys(town.kofi()), **lies)

    lie.__name__ = f"countersigned with another {' and '.join(lies)}"
    return lie


def countersigned_by_another_holder(town: Town) -> None:
    town.countersign(town.shop, town.buys(town.kofi()), signer=town.agent)


def countersigned_by_a_revoked_key(town: Town) -> None:
    paid = town.buys(town.kofi())
    town.revoke(town.shop)
    town.tick(62)
    town.countersign(town.shop, paid)


def countersigned_twice(town: Town) -> None:
    paid = town.buys(town.kofi())
    town.countersign(town.shop, paid)
    town.countersign(town.shop, paid)


def countersigned_for_another_shop(town: Town) -> None:
    town.countersign(town.agent, town.buys(town.kofi()))


def countersigned_though_a_key_paid(town: Town) -> None:
    paid = town.payment(PAY, [Leg(town.amina, town.shop, 200), Leg(town.shop, town.fees, 1)], service=2)
    town.buys(town.kofi())
    town.countersign(town.shop, paid)


def countersigned_after_more_than_a_month(town: Town) -> None:
    kofi = town.kofi()
    paid = town.buys(kofi)
    town.tick(31 * DAY_S + 1)
    town.buys(kofi)
    town.countersign(town.shop, paid)


def a_word_about_pins_as_a_countersignature(town: Town) -> None:
    town.buys(town.kofi())
    statement = b"counterfoil/allow-pin/v1" + sized(ORIGIN.encode()) + town.shop.id + bytes(66)
    town.countersign(town.shop, list(town.entries)[-1].payloads[1][36:52], statement=statement)


def tier_without_limits(town: Town) -> None:
    town.account_event(town.amina, 3, "kings")
    town.pay()


def transfer_with_a_public_part(town: Town) -> None:
    town.pay()
    town.entries[-1].payloads[3] = b"x"


def cut_short(town: Town) -> None:
    town.pay(change=lambda audit: audit[:-30])


def trailing_bytes(town: Town) -> None:
    town.pay(change=lambda audit: audit + b"x")


def another_account_in_the_table(town: Town) -> None:
    town.pay(change=lambda audit: audit.replace(town.bayo.id + struct.pack(">Q", town.bayo.seq), town.shop.id + struct.pack(">Q", 3), 1))


LIES: dict[Callable[[Town], None], str] = {
    wrong_fee: "the fee is 21 for the payer and 0 for the payee; by the tariff it is 20",
    no_fee: "the fee is 0 for the payer and 0 for the payee; by the tariff it is 20",
    fee_of_the_wrong_side: "the fee is 10 for the payer and 0 for the payee",
    fee_to_somebody_else: "a fee goes to an account that is not the scheme's",
    fee_above_what_was_agreed: "the fee of 20 is above the 19 that the order allows",
    service_with_a_kinder_tariff: "service 7 is not what these two accounts do",
    unsigned_debit: "the signature by the holder's device is missing or false",
    debit_without_signature: "the signature by the holder's device is missing or false",
    debit_without_order: "its order is not an order to this scheme",
    debit_by_nobody: "money moves without an order",
    debit_of_kind_none: "without any order",
    debit_by_staff: "staff decide what only a holder can",
    class_that_does_not_exist: "money moves without an order",
    signed_by_another_holder: "no key of device",
    revoked_key: "was revoked before",
    swapped_key: "the key was swapped",
    further_key_nobody_agreed_to: "on the word of a key that is not in force",
    further_key_agreed_by_a_revoked_one: "on the word of a key that is not in force",
    key_that_is_not_there: "the signature by the new key is missing or false",
    recovery_that_leaves_the_lost_key_in_force: "leaves an older key in force",
    above_the_highest_balance: "the payee had 40000, 260001 come in, and 300000 is the most",
    above_the_highest_balance_in_small_steps: "the payee had 256670, 43334 come in, and 300000 is the most",
    above_the_highest_balance_by_what_is_held: "the payee had 240000, 60001 come in, and 300000 is the most",
    above_the_highest_balance_with_what_was_held: "the payee had 300000, 1 come in, and 300000 is the most",
    above_the_highest_balance_by_pin: "the payee had 299900, 101 come in, and 300000 is the most",
    above_the_highest_balance_by_a_batch: "the payee had 299900, 101 come in, and 300000 is the most",
    above_the_highest_balance_after_the_tier_was_lowered: "the payee had 340000, 1 come in, and 300000 is the most",
    payee_of_a_tier_without_limits: "no limits for the tier kings",
    issue_that_is_logged_as_a_transfer: "event, kind and type do not fit together",
    payment_that_is_logged_as_a_capture: "event, kind and type do not fit together",
    small_order_key: "not 32 canonical bytes of a point of the main subgroup",
    negative_balance: "passes its limit",
    spending_what_is_held: "passes its limit",
    account_without_its_limit: "without the limit that it must have",
    money_from_nothing: "money comes from nothing",
    money_from_an_import: "between an imported book and the scheme",
    issue_that_says_less: "what was published about the money issued or withdrawn",
    issue_by_a_holder_alone: "staff decide what only a holder can",
    issue_the_wrong_way: "money comes from nothing",
    rewritten_amount: "and the entry says",
    amount_above_the_order: "the order says 1000",
    another_payee_than_ordered: "or other accounts",
    another_id_than_ordered: "or other accounts",
    an_order_to_another_scheme: "not an order to this scheme",
    replayed_order: "a second time",
    replayed_after_it_expired: "the order had expired",
    an_order_that_lives_for_ever: "lives for too long",
    above_the_limit_of_one_payment: "the payment of 50001 is above the limit of 50000",
    rules_that_are_not_in_the_log: "rules that are not in the log",
    broken_chain: "the chain of account",
    forked_chain: "the chain of account",
    back_dated: "is dated before",
    wrong_balance: "and the entry says",
    wrong_held: "and the entry says",
    two_currencies: "between two currencies",
    account_that_was_never_opened: "never opened",
    account_that_was_closed: "was closed before",
    account_opened_twice: "is opened twice",
    capture_above_the_hold: "takes 5001 out of a hold of 5000",
    capture_twice: "a hold that is not open",
    capture_by_the_payer: "no key of device",
    capture_of_another_hold_than_ordered: "about another hold",
    capture_for_somebody_else: "a hold that is not open, or one of others",
    capture_after_the_time: "used after it",
    expiry_before_the_time: "a hold ends before its time",
    expiry_of_less: "takes 4000 out of a hold of 5000",
    hold_longer_than_ordered: "or for another time",
    release_of_nothing: "a hold that is not open",
    capture_fee_above_what_was_reserved: "the fee is 20 for the payer",
    reversal_by_a_holder: "staff decide what only a holder can",
    reversal_with_a_fee: "staff took a fee",
    batch_above_its_total: "does not cover it",
    batch_line_paid_twice: "does not cover it",
    batch_of_another_payer: "no key of device",
    batch_at_a_higher_fee_than_signed: "does not cover it",
    batch_that_nobody_signed: "the signature by the holder's device is missing or false",
    standing_order_of_another_amount: "does not cover it",
    standing_order_before_its_time: "does not cover it",
    standing_order_twice: "does not cover it",
    a_letter_as_a_mandate: "neither a batch nor a standing order",
    freeze_that_says_less: "what was published about the freeze",
    freeze_of_more_than_it_says: "what was published about the freeze",
    unfreeze_of_nothing: "lifts a freeze that is not there",
    payment_out_of_a_frozen_account: "was frozen before, and its money moves all the same",
    capture_by_a_frozen_merchant: "was frozen before, and its money moves all the same",
    payment_into_an_account_that_is_closed_to_money: "was frozen before, and its money moves all the same",
    payment_before_the_freeze_is_over: "was frozen before, and its money moves all the same",
    pin_debit_of_somebody_with_a_key: "the payer has a key of their own",
    pin_debit_above_what_the_key_allows: "PINs took 601 in a day, and the payer's own key allows 600",
    pin_debit_whose_fee_is_above_what_the_key_allows: "PINs took 20020 in a day, and the payer's own key allows 20019",
    pin_hold_above_what_the_key_allows: "PINs took 1001 in a day",
    pin_debit_after_it_was_taken_back: "the payer has a key of their own",
    pin_debit_after_a_recovery: "the payer has a key of their own",
    pin_debit_right_after_the_recovery_of_somebody_with_a_key: "the payer has a key of their own",
    card_debit_of_somebody_who_allows_a_pin: "the payer has a key of their own",
    refund_by_pin: "a PIN or a card takes what only a key gives",
    an_old_word_shown_again: "an older word about payments by PIN is shown again",
    a_word_about_pins_that_nobody_signed: "the signature by the holder's device is missing or false",
    a_word_about_pins_by_another_holder: "by a key that was never bound",
    a_word_about_pins_by_a_key_of_the_operator: "by a key that was never bound",
    a_word_about_pins_by_a_revoked_key: "by a key that was revoked before",
    a_word_about_pins_of_another_account: "not about payments by PIN from this account",
    an_order_as_a_word_about_pins: "not about payments by PIN from this account",
    a_word_about_pins_that_calls_itself_an_enrolment: "not about payments by PIN from this account",
    token_debit_of_a_customer: "a customer does not pay by token",
    revocation_dated_ahead: "stands after a revocation that is dated after it",
    above_the_limit_of_the_day: "60001 left the account, and the limit is 60000 for a day",
    above_the_limit_of_the_day_by_what_is_held: "60001 left the account, and the limit is 60000 for a day",
    above_the_limit_of_the_month: "90001 left the account, and the limit is 90000 for a month",
    cash_out_that_the_agent_has_not_signed: "the signature by the holder's device is missing or false",
    cash_out_by_token: "the agent's own key has not signed",
    cash_out_at_once: "the agent has not signed that it was handed over",
    countersigned(amount=99): "the shop has countersigned 99, and the entry moves 100",
    countersigned(order_hash=bytes(31) + b"1"): "or it is about another payment",
    countersigned(time=7): "or it is about another payment",
    countersigned(name=bytes(16)): "no purchase by PIN of the last month",
    countersigned(origin="other.example/log"): "not about a payment to this account",
    countersigned(reason=b"\5"): "not about a payment to this account",
    countersigned(seq=1): "claims a place in its chain",
    countersigned(prev=b"1" * 32): "claims a place in its chain",
    countersigned(signature=bytes(64)): "the signature by the payee's device is missing or false",
    countersigned(public_key=bytes(32)): "by a key that was never bound",
    countersigned_by_another_holder: "by a key that was never bound",
    countersigned_by_a_revoked_key: "by a key that was revoked before",
    countersigned_twice: "or was countersigned before",
    countersigned_for_another_shop: "or it is about another payment",
    countersigned_though_a_key_paid: "no purchase by PIN of the last month",
    countersigned_after_more_than_a_month: "no purchase by PIN of the last month",
    a_word_about_pins_as_a_countersignature: "not about a payment to this account",
    tier_without_limits: "no limits for the tier kings",
    transfer_with_a_public_part: "a transfer has a public part",
    cut_short: "cut short",
    trailing_bytes: "has bytes after its end",
    another_account_in_the_table: "are not those of its legs",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_each_lie_of_an_operator_is_noticed_at_its_entry(lie: Callable[[Town], None], tmp_path: Path) -> None:
    """The liar's log is whole, and its commitments open: only what is in them is false."""
    town = Town()
    lie(town)
    report = audit(town, tmp_path)
    assert report.exit_code == 1, report.text()
    assert LIES[lie] in report.refuted[0]
    assert report.refuted[0].startswith(f"entry {len(town.entries) - 1}: ")


def test_payments_by_pin_to_shops_are_counted_and_those_without_a_second_word_are_named(tmp_path: Path) -> None:
    town = Town()
    kofi, without = town.kofi(20_000), town.open(MERCHANT, "shop")
    unsigned = town.buys(kofi, 110)
    signed, of_nobody = town.buys(kofi, 120), town.buys(kofi, 130, shop=without)
    town.countersign(town.shop, signed)
    hold = town.hold(kofi, town.agent, 500, 10, town.fees, service=4, way=2)
    town.capture(hold, kofi, town.agent, 500, held=500, fee=10, service=4)
    for way in (1, 6):
        hold = town.hold(kofi, town.shop, 150, service=2, way=2)
        town.capture(hold, kofi, town.shop, 100 + way, held=150, fee=0, service=2, way=way)
    town.tick(2 * DAY_S)
    town.buys(kofi, 140)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()
    told = {name: (each["count"], each["sum"]) for name, each in report.fields["to_shops_by_pin"].items()}
    assert told == {
        "purchases": (4, 500), "countersigned": (1, 120), "no_key": (1, 130), "no_word": (1, 110), "waiting": (1, 140),
        "cash_signed": (1, 500), "purchases_signed": (1, 101), "purchases_by_token": (1, 106),
    }  # fmt: skip
    (note,) = [each for each in report.noticed if "countersigned" in each]
    assert note == f"1 payments by PIN, 110 in all, to shops whose own key has not countersigned them: {unsigned.hex()}"
    assert of_nobody.hex() not in note


def test_what_was_given_up_after_a_month_stays_counted_and_is_forgotten(tmp_path: Path) -> None:
    town = Town()
    kofi = town.kofi(20_000)
    paid = [town.buys(kofi, 100) for _ in range(25)]
    town.tick(32 * DAY_S)
    town.buys(kofi, 100)
    report = audit(town, tmp_path)
    assert report.fields["to_shops_by_pin"]["no_word"] == {"count": 25, "sum": 2_500}
    (note,) = [each for each in report.noticed if "countersigned" in each]
    assert note.endswith(f"{paid[19].hex()} and 5 more")
    run = Replay(ORIGIN, [])
    check = LogCheck(Files(str(tmp_path)), policy, Report())
    check.run()
    run.rules = {rules.index: rules for rules in check.rules}
    for record in records(io.BytesIO(town.openings())):
        run.entry(*record)
    assert len(run.book.shops.open) == 1


def test_a_countersignature_may_come_before_its_payment_and_never_without_it(tmp_path: Path) -> None:
    for follows in (True, False):
        town = Town()
        kofi = town.kofi()
        paid = town.buys(kofi)
        town.countersign(town.shop, paid)
        payment, word = town.entries[-2:]
        if follows:
            town.entries[-2:] = [word, payment]
            town.salt_again(len(town.entries) - 2)
        else:
            del town.entries[-2]
            town.salt_again(len(town.entries) - 1)
            kofi.seq, kofi.balance, kofi.prev = kofi.seq - 1, kofi.balance + 100, payment.payloads[0][132:]
            town.pay(10)
        report = audit(town, tmp_path / str(follows))
        assert report.exit_code == (0 if follows else 1), report.text()
        if not follows:
            assert f"a shop has countersigned payment {paid.hex()} of 100, and the log does not have it" in report.refuted[0]


def test_what_a_freeze_leaves_free_is_honest(tmp_path: Path) -> None:
    town = Town()
    town.freeze(town.amina)
    town.pay(100)  # was on its way
    town.tick(120)
    town.pay(50, payer=town.bayo, payee=town.amina)  # money may come in
    town.freeze(town.amina, 2)
    town.pay(100)
    town.freeze(town.amina, lasts_s=3_600)
    town.tick(3_700)
    town.pay(100)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()


def test_the_town_itself_is_honest_before_it_lies(tmp_path: Path) -> None:
    assert audit(Town(), tmp_path).exit_code == 0


def test_what_may_lift_a_balance_above_its_highest_is_honest(tmp_path: Path) -> None:
    """The operator looks at what the payee has, and pays: what comes in meanwhile is nobody's lie. Some things it never looks at."""
    town = Town()
    town.payment(ISSUE, [Leg(town.issuance, town.bank, 5_000_000)], service=7, way=4)
    town.tick(180)
    for _ in range(3):
        town.bank_pays(town.amina, 250_000)  # on their way in the same moment
    town.tick(180)
    town.payment(ISSUE, [Leg(town.issuance, town.amina, 1_000)], service=7, way=4)
    bought = town.payment(PAY, [Leg(town.amina, town.shop, 1_000), Leg(town.shop, town.fees, 5)], service=2)
    town.payment(REFUND, [Leg(town.shop, town.amina, 500)], service=6, reference=bought)
    town.payment(REVERSAL, [Leg(town.fees, town.shop, 2), Leg(town.shop, town.amina, 300)], service=6, way=4, principal=1)
    hold = town.hold(town.bank, town.bayo, 290_000, 5, town.fees, service=5)
    town.capture(hold, town.bank, town.bayo, 290_000, held=290_000, fee=5, service=5)
    town.account_event(town.bayo, 3, "shop")
    town.tick(30)
    town.bank_pays(town.bayo, 50_000)
    town.account_event(town.bayo, 3, "basic")
    town.tick(55)
    town.bank_pays(town.bayo, 50_000)  # was admitted before
    hold = town.hold(town.amina, town.shop, 2_000, service=2)
    town.tick(180)
    town.release(hold, town.amina, town.shop, 2_000)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()


def test_room_that_was_there_within_the_last_minute_counts_and_no_longer(tmp_path: Path) -> None:
    """250,000 were there and left; they may come back at once, and what came in since then does not."""
    for wait, refuted in ((58, False), (180, True)):
        town = Town()
        town.bank_pays(town.amina, 259_000)
        town.tick(180)
        town.pay(40_000, fee=20)
        town.bank_pays(town.amina, 41_000)
        town.tick(wait)
        town.bank_pays(town.amina, 41_000)
        assert bool(audit(town, tmp_path / str(wait)).refuted) == refuted


def test_the_least_of_a_minute_counts_and_exactly_the_highest_balance_is_honest(tmp_path: Path) -> None:
    town = Town()
    town.bank_pays(town.amina, 240_000)
    town.tick(180 - town.now // NS % 60)
    town.bank_pays(town.amina, 20_000)  # 300,000
    town.pay(40_000, fee=20)
    town.bank_pays(town.amina, 40_000)
    town.bank_pays(town.amina, 40_000)  # 259,980 were there in this minute
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()


def test_rules_that_name_no_highest_balance_set_none(tmp_path: Path) -> None:
    town = Town(rules=RULES | {"limits": {tier: {"per_payment": 5_000_000} for tier in ("basic", "shop")}})
    town.bank_pays(town.amina, 800_000)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()


def test_what_is_not_replayed_is_said(tmp_path: Path) -> None:
    notes = " ".join(audit(Town(), tmp_path).noticed)
    for what in ("refund", "reversal", "recovery waited", "key is revoked", "limits for PINs", "files behind batches"):
        assert what in notes


def test_a_false_signature_further_up_comes_before_what_else_is_false(tmp_path: Path) -> None:
    """Signatures are checked together, some time after their entries were read."""
    for number, more in enumerate((0, 300)):
        town = Town()
        town.pay(signature=bytes(64))
        first = len(town.entries) - 1
        for _ in range(more):
            town.pay(1)
        town.pay(1, signature=bytes(63))
        town.pay(fee=1)
        report = audit(town, tmp_path / str(number))
        assert report.refuted == [f"entry {first}: the signature by the holder's device is missing or false"]


def test_a_false_signature_before_openings_that_end_too_early_is_found(tmp_path: Path) -> None:
    town = Town()
    town.pay(signature=bytes(64))
    openings = town.openings()
    town.pay()
    assert "the signature by the holder's device" in audit(town, tmp_path, openings).refuted[0]


def test_a_new_day_a_new_limit_and_a_payment_on_its_way_keeps_the_tier_that_it_had(tmp_path: Path) -> None:
    town = Town()
    rich(town)
    town.pay(50_000, fee=20)
    town.tick(86_400)
    town.pay(39_000, fee=20)
    town.account_event(town.bayo, 3, "shop")
    town.payment(PAY, [Leg(town.bank, town.bayo, 60_000), Leg(town.bank, town.fees, 5)], service=5)
    town.account_event(town.bayo, 3, "basic")
    town.pay(50_001, payer=town.bayo, payee=town.amina, fee=20)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()


def test_a_pin_takes_so_much_a_day_as_the_key_allows_and_the_next_day_again(tmp_path: Path) -> None:
    town = Town()
    town.allow_pin(town.amina, 600)
    by_pin(town, 400)
    by_pin(town, 200)
    town.tick(86_400)
    by_pin(town, 600)
    town.allow_pin(town.amina, 700)
    by_pin(town, 100)
    town.allow_pin(town.amina, 0)
    town.tick(58)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()
    assert report.fields["authorisations"]["PIN"] == {"count": 4, "sum": 1_300}


def test_a_payment_by_pin_on_its_way_is_lawful_for_a_minute_after_the_word_was_taken_back(tmp_path: Path) -> None:
    town = Town()
    town.allow_pin(town.amina, 600)
    town.allow_pin(town.amina, 0)
    town.tick(58)
    by_pin(town)
    assert audit(town, tmp_path).exit_code == 0


def test_words_that_came_into_the_log_before_older_payments_do_not_make_them_lies(tmp_path: Path) -> None:
    """A page of the log may have all words before the movements: the payment's own time says which of them it was under."""
    town = Town()
    town.allow_pin(town.amina, 600)
    town.tick(1_000)
    town.allow_pin(town.amina, 0)
    town.tick(1_000)
    town.allow_pin(town.amina, 100)
    town.tick(-1_500)
    by_pin(town, 600)
    assert audit(town, tmp_path).exit_code == 0


def test_who_had_no_key_pays_by_pin_until_a_recovery_gives_one_and_for_a_minute_more(tmp_path: Path) -> None:
    town = Town()
    kofi = town.open(CUSTOMER, "basic")
    town.payment(PAY, [Leg(town.agent, kofi, 900)], service=3, reference=town.new_id())
    by_pin(town, payer=kofi)
    town.bind(kofi, reason=3)
    town.tick(55)
    by_pin(town, payer=kofi)
    assert audit(town, tmp_path / "one").exit_code == 0
    town.tick(10)
    by_pin(town, payer=kofi)
    assert "a key of their own" in audit(town, tmp_path / "two").refuted[0]


def test_days_end_where_the_scheme_lives() -> None:
    calendar = Calendar("Asia/Pyongyang")  # nine hours ahead
    noon = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()) * NS
    day_end, month_end = calendar.ends(noon)
    assert (day_end, month_end) == (noon + 3 * 3_600 * NS, noon + 3 * 3_600 * NS)
    assert calendar.ends(day_end) == (day_end + 86_400 * NS, day_end + 31 * 86_400 * NS)
    assert calendar.ends(noon) == (day_end, month_end)
    with pytest.raises(Unchecked, match="time zone"):
        Calendar("Nowhere/Never")


def test_a_key_revoked_within_the_last_minute_still_signs(tmp_path: Path) -> None:
    town = Town()
    town.revoke(town.amina)
    town.tick(58)
    town.pay()
    assert audit(town, tmp_path).exit_code == 0


def test_holders_were_given_another_view_than_the_auditor(tmp_path: Path) -> None:
    town = Town()
    town.pay()
    payload = town.entries[-1].payloads[0]
    town.entries[-1].payloads[0] = payload[:84] + struct.pack(">Q", 999) + payload[92:]
    report = audit(town, tmp_path)
    assert "does not open the commitment" in report.refuted[0]


@pytest.mark.parametrize("role", [0, 1, 2, 3])
def test_every_salt_and_every_payload_counts(role: int, tmp_path: Path) -> None:
    town = Town()
    town.pay()
    good = town.openings()
    at = len(good) - len(town.entries[-1].payloads[2]) - 4 - 128 + 32 * role
    wrong = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    assert "does not open the commitment" in audit(town, tmp_path, wrong).refuted[0]


def test_an_entry_hidden_from_the_auditor_and_another_shown_in_its_place(tmp_path: Path) -> None:
    town = Town()
    town.pay()
    town.pay()
    shown = Town()
    shown.pay()
    assert "the openings end before entry 17 of 18" in audit(town, tmp_path / "1", shown.openings()).unchecked[0]
    shown.pay(999)
    report = audit(town, tmp_path / "2", shown.openings())
    assert report.refuted[0].startswith("entry 17: ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"x" + data[1:], "do not begin with"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[:24] + data[28:], "cut short"),
        (lambda data: data[:24], "end before entry 0"),
    ],
)
def test_openings_that_are_no_openings(change: Callable[[bytes], bytes], why: str, tmp_path: Path) -> None:
    town = Town()
    report = audit(town, tmp_path, change(town.openings()))
    assert report.exit_code
    assert why in (report.refuted + report.unchecked)[0]


def test_more_openings_than_witnessed_entries_are_left_for_the_next_time(tmp_path: Path) -> None:
    town = Town()
    openings = town.openings() + b"\0\0\1\0unfinished"
    assert audit(town, tmp_path, openings).fields["replayed"] == len(town.entries)


DEARER = RULES | {"tariff": {"lines": [TARIFF[0] | {"bands": [{"up_to": 100_000, "flat": 30}]}, *TARIFF[1:]]}}
CHEAPER = RULES | {"tariff": {"lines": TARIFF[1:]}}


def changed_rules(rules: dict[str, Any], days: float) -> tuple[Town, list[int]]:
    town = Town()
    old = town.rules_hash
    town.tick()
    town.rules(rules)
    new, town.rules_hash = town.rules_hash, old
    town.pay(20_000, fee=20)
    sizes = [10, len(town.entries)]
    town.tick(days * DAY_S)
    town.rules_hash = new
    return town, sizes


def test_dearer_rules_are_used_only_after_their_notice(tmp_path: Path) -> None:
    town, sizes = changed_rules(DEARER, 29)
    town.pay(1_000, fee=30)
    assert "whose notice is not over" in audit(town, tmp_path / "early", sizes=[*sizes, len(town.entries)]).refuted[0]
    town, sizes = changed_rules(DEARER, 31)
    town.pay(1_000, fee=30)
    report = audit(town, tmp_path / "late", sizes=[*sizes, len(town.entries)])
    assert report.exit_code == 0, report.text()
    assert report.fields["rules"][1]["in_force_from_entry"] == sizes[1]


def test_kinder_rules_may_be_used_at_once_and_older_ones_no_more(tmp_path: Path) -> None:
    town, sizes = changed_rules(CHEAPER, 0)
    town.pay(15_000)
    assert audit(town, tmp_path / "kind", sizes=[*sizes, len(town.entries)]).exit_code == 0
    town.rules_hash = h(town.entries[0].payloads[3])
    town.pay(100)
    assert "rules that were replaced" in audit(town, tmp_path / "back", sizes=[*sizes, len(town.entries)]).refuted[0]


def test_a_mandate_stands_under_the_rules_in_use_or_newer_ones_whose_notice_is_over(tmp_path: Path) -> None:
    town, sizes = changed_rules(DEARER, 31)
    name, form = town.standing(300)
    town.under(form, name, 1, Leg(town.amina, town.bayo, 300), fee=0, service=1)
    assert audit(town, tmp_path / "old", sizes=[*sizes, len(town.entries)]).exit_code == 0
    town.pay_by_pin(order=b"", given_under=h(canonical(RULES)))
    town.pay(1_000, fee=30)
    town.tick(DAY_S)
    town.under(form, name, 2, Leg(town.amina, town.bayo, 300), fee=0, service=1)
    report = audit(town, tmp_path / "new", sizes=[*sizes, len(town.entries)])
    assert "the fee of 30 is above" in report.refuted[0], "what is in use only moves forward"


def p256_town() -> Town:
    """Amina's second device has a P-256 key, and she pays with it."""
    town = Town()
    secret = ec.derive_private_key(12_345, ec.SECP256R1())
    public = secret.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(secret.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    device = town.new_id()
    statement = b"counterfoil/add-device/v1" + sized(ORIGIN.encode()) + bytes(16) + device + sized(b"es256") + sized(public)
    older, key = town.amina.devices[0]
    rest = device + b"\2" + sized(public) + older + b"\2" + sized(statement) + sized(sign(statement)) + sized(key.sign(statement).signature)
    town._event(4, town.amina, 1, rest)
    payment = town.new_id()
    order = town.order(PAY, town.amina, town.bayo, 1_000, payment)
    town.amina.devices = [(device, key)]
    town.pay(order=order, payment=payment, signature=sign(order))
    return town


def test_p256_orders_are_checked_where_the_library_is_there_and_told_where_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town = p256_town()
    assert audit(town, tmp_path / "with").exit_code == 0
    monkeypatch.setattr(counterfoil_verify.book, "verify", lambda algorithm, *rest: None if algorithm == 2 else verify(algorithm, *rest))
    report = audit(town, tmp_path / "without")
    assert report.exit_code == 2
    assert "P-256 signatures: install the extra p256 (2)" in report.unchecked
    town.pay(signature=bytes(64))
    monkeypatch.undo()
    assert "is missing or false" in audit(town, tmp_path / "false").refuted[0]


def test_accounts_without_a_tier_are_told(tmp_path: Path) -> None:
    town = Town()
    town.account_event(town.amina, 3, "")
    town.pay()
    report = audit(town, tmp_path)
    assert report.exit_code == 2
    assert "accounts without a tier" in report.unchecked[0]


def test_memory_does_not_grow_with_history(tmp_path: Path) -> None:
    """Nothing that the replay keeps has as many members as there were payments, once their orders have expired."""
    town = Town()
    for _ in range(40):
        town.tick(3 * 3_600)
        hold = town.hold(town.amina, town.shop, 200, service=2)
        town.capture(hold, town.amina, town.shop, 100, held=200, fee=0, service=2)
    report = audit(town, tmp_path)
    assert report.exit_code == 0, report.text()
    run = Replay(ORIGIN, [])
    check = LogCheck(Files(str(tmp_path)), policy, Report())
    check.run()
    run.rules = {rules.index: rules for rules in check.rules}
    for record in records(io.BytesIO(town.openings())):
        run.entry(*record)
    assert len(run.book.accounts) == 7
    assert len(run.book.holds) == 0
    assert sum(len(each) for each in run.law.recent.values()) < 5
