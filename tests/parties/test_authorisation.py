"""Step 1 of a payment: whose order, and within which limit; each refusal, their order, and two orders at once."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import (
    AccountFrozen,
    LimitExceeded,
    NotYourAccount,
    PartyClosed,
    PartyNotFound,
    PayeeCannotReceive,
    PayeeLimitExceeded,
    RecoveryWaiting,
    Refused,
    UnknownDevice,
    WrongSignature,
)
from counterfoil.ledger.types import TransferFlags
from counterfoil.parties import statements
from counterfoil.parties.authorisation import Authorisation
from counterfoil.parties.types import Holder, Limits
from tests.parties.conftest import DAY, ORIGIN, PIN, Phone, Scheme, StillClock, scheme_in

MESSAGE = b"counterfoil/order/v1 pay"
PER_PAYMENT, PER_DAY, PER_MONTH = 10_000, 20_000, 100_000  # the tier "number_only"


async def ask(scheme: Scheme, holder: Holder, phone: Phone, amount: int, fee: int = 0) -> Authorisation:
    return await scheme.parties.authorise(
        account_id=holder.account, device_id=phone.id, message=MESSAGE, signature=phone.sign(MESSAGE), amount=amount, fee=fee
    )


async def pair(scheme: Scheme) -> tuple[Holder, Phone, Holder]:
    phone = scheme.phone()
    payer = await scheme.customer(phone)
    payee = await scheme.customer(scheme.phone())
    await scheme.fund(payer.account, 50_000)
    return payer, phone, payee


async def test_the_holders_device_may_pay(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    with await ask(scheme, payer, phone, 500, 5) as authorisation:
        assert authorisation.holder == payer
        assert authorisation.device is not None
        assert authorisation.device.id == phone.id


async def test_who_is_not_known_did_not_sign_or_does_not_own_is_refused_in_this_order(scheme: Scheme) -> None:
    payer, phone, payee = await pair(scheme)
    stranger = scheme.phone()
    with pytest.raises(UnknownDevice):
        await ask(scheme, payer, stranger, 1)
    for signature in (b"", bytes(64), stranger.sign(MESSAGE), phone.sign(MESSAGE + b"."), phone.sign(MESSAGE) + b"."):
        with pytest.raises(WrongSignature):
            await scheme.parties.authorise(account_id=payer.account, device_id=phone.id, message=MESSAGE, signature=signature, amount=1)
    with pytest.raises(WrongSignature):  # before anything is said about the account
        await scheme.parties.authorise(account_id=payee.account, device_id=phone.id, message=MESSAGE, signature=bytes(64), amount=1)
    with pytest.raises(NotYourAccount):
        await ask(scheme, payee, phone, 1)
    for account in (12345, scheme.issuance):
        with pytest.raises(NotYourAccount):
            await scheme.parties.authorise(account_id=account, device_id=phone.id, message=MESSAGE, signature=phone.sign(MESSAGE), amount=1)


async def test_a_revoked_device_is_unknown_from_the_next_order_on(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    (await ask(scheme, payer, phone, 1)).release()
    statement = statements.revoke_device(origin="money.example.org/log", party=payer.party, device=phone.id)
    await scheme.parties.devices.revoke(phone.id, by_device=phone.id, signature=phone.sign(statement))
    with pytest.raises(UnknownDevice):
        await ask(scheme, payer, phone, 1)


async def test_limits_of_one_payment_day_and_month(scheme: Scheme) -> None:
    payer, phone, payee = await pair(scheme)
    with pytest.raises(LimitExceeded) as caught:
        await ask(scheme, payer, phone, PER_PAYMENT + 1)
    assert caught.value.facts["limit"] == "per_payment"
    await scheme.fund(payer.account, 200_000)
    for _ in range(PER_MONTH // PER_DAY):
        for _ in range(2):
            with await ask(scheme, payer, phone, PER_PAYMENT):
                await scheme.transfer(payer.account, payee.account, PER_PAYMENT)
        with pytest.raises(LimitExceeded) as caught:
            await ask(scheme, payer, phone, 1)
        assert (caught.value.facts["limit"], caught.value.facts["left"]) == ("per_day", 0)
        assert caught.value.facts["resets_at"] % DAY == 0
        scheme.clock.now += DAY
    with pytest.raises(LimitExceeded) as caught:
        await ask(scheme, payer, phone, 1)
    assert caught.value.facts["limit"] == "per_month"
    # 18 November and five days on: the month begins anew on 1 December.
    resets_at = datetime.fromtimestamp(caught.value.facts["resets_at"] / NANOSECONDS, UTC)
    assert (resets_at.month, resets_at.day, resets_at.hour) == (12, 1, 0)
    scheme.clock.now = caught.value.facts["resets_at"]
    (await ask(scheme, payer, phone, PER_PAYMENT)).release()


async def test_the_fee_counts_for_the_day_and_not_for_the_payment(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    first = await ask(scheme, payer, phone, PER_PAYMENT, 100)
    with pytest.raises(LimitExceeded) as caught:
        await ask(scheme, payer, phone, PER_PAYMENT)
    assert (caught.value.facts["limit"], caught.value.facts["left"]) == ("per_day", PER_DAY - PER_PAYMENT - 100)
    first.release()


async def test_holds_count_until_they_are_released(scheme: Scheme) -> None:
    payer, phone, payee = await pair(scheme)
    hold = await scheme.transfer(payer.account, payee.account, 15_000, flags=TransferFlags.PENDING)
    with pytest.raises(LimitExceeded):
        await ask(scheme, payer, phone, 5_001)
    (await ask(scheme, payer, phone, 5_000)).release()
    await scheme.void(hold)
    (await ask(scheme, payer, phone, PER_PAYMENT)).release()


async def test_two_orders_at_once_cannot_pass_a_limit_together(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    outcomes = await asyncio.gather(*(ask(scheme, payer, phone, 3_000) for _ in range(20)), return_exceptions=True)
    granted = [outcome for outcome in outcomes if isinstance(outcome, Authorisation)]
    assert len(granted) == PER_DAY // 3_000
    assert all(isinstance(outcome, (Authorisation, LimitExceeded)) for outcome in outcomes)
    for authorisation in granted:
        authorisation.release()
        authorisation.release()  # a second time gives nothing back
    again = await asyncio.gather(*(ask(scheme, payer, phone, 3_000) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, Authorisation) for outcome in again) == PER_DAY // 3_000


async def test_an_error_on_the_way_gives_the_reserved_amount_back(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), await ask(scheme, payer, phone, PER_PAYMENT):
            raise ZeroDivisionError
    assert scheme.parties._authoriser._in_flight == {}


async def test_own_limits_are_the_lower_ones_and_say_so(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    await scheme.parties.staff.set_own_limits(payer.party, Limits(per_payment=100))
    with pytest.raises(LimitExceeded) as caught:
        await ask(scheme, payer, phone, 101)
    assert (caught.value.facts["whose"], caught.value.facts["left"]) == ("own", 100)
    await scheme.parties.staff.set_own_limits(payer.party, Limits(per_payment=PER_PAYMENT * 5))
    with pytest.raises(LimitExceeded) as caught:
        await ask(scheme, payer, phone, PER_PAYMENT + 1)
    assert caught.value.facts["whose"] == "tier"


async def test_an_amount_of_nothing_only_asks_whose_account_it_is(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    await scheme.parties.staff.set_own_limits(payer.party, Limits(per_payment=0, per_day=0, per_month=0))
    (await ask(scheme, payer, phone, 0)).release()
    with pytest.raises(LimitExceeded):
        await ask(scheme, payer, phone, 1)


async def test_a_frozen_party_pays_nothing_and_may_still_be_paid(scheme: Scheme) -> None:
    payer, phone, payee = await pair(scheme)
    _, supervisor = await scheme.team()
    with await ask(scheme, payer, phone, 1):  # everything is remembered now
        await scheme.transfer(payer.account, payee.account, 1)
    freeze = scheme.new_id()
    await scheme.parties.staff.freeze(freeze, payer.party, reason="court order 17", by=supervisor.id, lifetime_s=3600)
    with pytest.raises(AccountFrozen) as caught:
        await ask(scheme, payer, phone, 1)
    assert (caught.value.facts["reason"], caught.value.facts["own"]) == ("court order 17", False)
    scheme.parties.check_payee(await scheme.parties.holder(payer.account), 1)
    scheme.clock.pass_seconds(3601)
    (await ask(scheme, payer, phone, 1)).release()


async def test_a_freeze_of_what_comes_in_refuses_payees(scheme: Scheme) -> None:
    payer, _, _ = await pair(scheme)
    _, supervisor = await scheme.team()
    await scheme.parties.staff.freeze(scheme.new_id(), payer.party, reason="fraud case", by=supervisor.id, incoming=True)
    with pytest.raises(PayeeCannotReceive) as caught:
        scheme.parties.check_payee(await scheme.parties.holder(payer.account), 1)
    assert caught.value.facts == {}


async def test_a_closed_party_neither_pays_nor_is_paid(scheme: Scheme) -> None:
    empty_phone = scheme.phone()
    empty = await scheme.customer(empty_phone)
    await scheme.parties.staff.close(empty.party, reason="no longer wanted", by=empty.party)
    closed = await scheme.parties.holder(empty.account)
    with pytest.raises(UnknownDevice):
        await ask(scheme, empty, empty_phone, 1)
    with pytest.raises(PartyClosed):
        await scheme.parties.admit(account_id=empty.account, amount=1)
    with pytest.raises(PayeeCannotReceive):
        scheme.parties.check_payee(closed, 1)


async def test_while_a_recovery_waits_little_can_be_spent(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    assert payer.number is not None
    sent = await scheme.parties.enrolment.send_code(payer.number, "recover")
    await scheme.parties.recoveries.begin(number=payer.number, code=sent.code or "", pin=PIN, key=scheme.phone().recover_key(payer.number))
    first = await ask(scheme, payer, phone, 1_500)
    with pytest.raises(RecoveryWaiting) as caught:
        await ask(scheme, payer, phone, 501)
    assert (caught.value.facts["limit_amount"], caught.value.facts["left"]) == (2_000, 500)
    first.release()


async def test_a_payee_cannot_hold_more_than_its_tier(scheme: Scheme) -> None:
    payer, _, payee = await pair(scheme)  # payer holds 50,000 of at most 50,000
    assert payer.limits.balance_max == 50_000
    with pytest.raises(PayeeLimitExceeded):
        scheme.parties.check_payee(payer, 1)
    scheme.parties.check_payee(payee, 50_000)
    await scheme.transfer(payer.account, payee.account, 10_000, flags=TransferFlags.PENDING)
    with pytest.raises(PayeeLimitExceeded):  # what is on its way in counts, too
        scheme.parties.check_payee(payee, 40_001)
    scheme.parties.check_payee(payee, 40_000)


async def test_without_a_signature_the_same_limits_hold(scheme: Scheme) -> None:
    payer, _, _ = await pair(scheme)
    with await scheme.parties.admit(account_id=payer.account, amount=1) as authorisation:
        assert authorisation.device is None
    with pytest.raises(LimitExceeded):
        await scheme.parties.admit(account_id=payer.account, amount=PER_PAYMENT + 1)
    with pytest.raises(PartyNotFound):
        await scheme.parties.admit(account_id=77, amount=1)


async def test_days_are_those_of_the_time_zone(tmp_path: Path) -> None:
    async with scheme_in(tmp_path, StillClock(), time_zone="Asia/Seoul") as scheme:  # 20:06 there
        payer, phone, payee = await pair(scheme)
        with await ask(scheme, payer, phone, PER_PAYMENT):
            await scheme.transfer(payer.account, payee.account, PER_PAYMENT)
        scheme.clock.pass_seconds(3 * 3600)
        with pytest.raises(LimitExceeded):
            await ask(scheme, payer, phone, PER_PAYMENT, 1)
        scheme.clock.pass_seconds(3600)  # past midnight in Seoul, 15:06 in UTC
        (await ask(scheme, payer, phone, PER_PAYMENT, 1)).release()


async def test_a_clock_that_jumps_back_opens_no_limit(scheme: Scheme) -> None:
    payer, phone, payee = await pair(scheme)
    for _ in range(2):
        with await ask(scheme, payer, phone, PER_PAYMENT):
            await scheme.transfer(payer.account, payee.account, PER_PAYMENT)
    for back in (3600 * NANOSECONDS, DAY, 3 * DAY):
        scheme.clock.now -= back
        with pytest.raises(LimitExceeded):
            await ask(scheme, payer, phone, 1)


async def test_after_a_restart_the_same_is_left(scheme: Scheme) -> None:
    payer, phone, payee = await pair(scheme)
    with await ask(scheme, payer, phone, 7_000):
        await scheme.transfer(payer.account, payee.account, 7_000)
    scheme.parties._authoriser._spent_before.clear()
    scheme.parties.directory.forget()
    await ask(scheme, payer, phone, PER_PAYMENT)
    with pytest.raises(LimitExceeded) as caught:
        await ask(scheme, payer, phone, PER_PAYMENT)
    assert caught.value.facts["left"] == PER_DAY - 7_000 - PER_PAYMENT


class _Model:
    """What an accountant with a list of payments would allow."""

    def __init__(self) -> None:
        self.spent: list[tuple[int, int]] = []  # (day, amount)

    def allows(self, day: int, month_start: int, amount: int) -> bool:
        today = sum(a for d, a in self.spent if d == day)
        month = sum(a for d, a in self.spent if d >= month_start)
        return amount <= PER_PAYMENT and today + amount <= PER_DAY and month + amount <= PER_MONTH


steps = st.lists(st.tuples(st.sampled_from(["pay", "pay", "pay", "receive", "tick", "day", "week"]), st.integers(1, 12_000)), max_size=40)


@settings(max_examples=25)
@given(steps=steps)
async def test_limits_agree_with_a_list_of_payments(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    async with scheme_in(tmp_path_factory.mktemp("scheme"), StillClock()) as scheme:
        payer, phone, payee = await pair(scheme)
        await scheme.fund(payer.account, 1_000_000)
        model = _Model()
        for action, amount in steps:
            if action == "pay":
                now = datetime.fromtimestamp(scheme.clock.now // NANOSECONDS, UTC)
                day = now.toordinal()
                expected = model.allows(day, now.replace(day=1).toordinal(), amount)
                try:
                    with await ask(scheme, payer, phone, amount):
                        await scheme.transfer(payer.account, payee.account, amount)
                    assert expected
                    model.spent.append((day, amount))
                except LimitExceeded:
                    assert not expected
            elif action == "receive":
                if model.spent:
                    await scheme.transfer(payee.account, payer.account, 1)
            else:
                scheme.clock.now += {"tick": amount * NANOSECONDS, "day": DAY, "week": 7 * DAY}[action]


async def test_all_in_memory_costs_little_besides_the_signature(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, phone, _ = await pair(scheme)
    signature = phone.sign(MESSAGE)
    (await ask(scheme, payer, phone, 1)).release()

    async def forbidden(*_: Any) -> Any:
        raise AssertionError("no SQL on the hot path")

    monkeypatch.setattr(scheme.store, "read", forbidden)
    monkeypatch.setattr("counterfoil.parties.authorisation.verify", lambda *_: True)
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(200):
            coroutine = scheme.parties.authorise(
                account_id=payer.account, device_id=phone.id, message=MESSAGE, signature=signature, amount=1
            )
            with pytest.raises(StopIteration) as stopped:  # it never waits
                coroutine.send(None)
            stopped.value.value.release()
        best = min(best, (time.perf_counter() - started) / 200)
    assert best < 0.001


async def test_revoked_while_its_signature_is_checked_is_still_revoked(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    devices, checked = scheme.parties.devices, []

    async def slow(*signed: Any) -> bool:
        statement = statements.revoke_device(origin=ORIGIN, party=payer.party, device=phone.id)
        await devices.revoke(phone.id, by_device=phone.id, signature=phone.sign(statement))
        checked.append(signed)
        return True

    scheme.parties.verify_by(slow)
    with pytest.raises(UnknownDevice):
        await ask(scheme, payer, phone, 1)
    assert len(checked) == 1


async def test_frozen_while_the_past_is_looked_up_is_still_frozen(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, phone, _ = await pair(scheme)
    _, supervisor = await scheme.team()
    balance_at = scheme.ledger.balance_at

    async def slow(account: int, timestamp: int) -> Any:
        await scheme.parties.staff.freeze(payer.party, payer.party, reason="in between", by=supervisor.id)
        return await balance_at(account, timestamp)

    monkeypatch.setattr(scheme.ledger, "balance_at", slow)
    with pytest.raises(AccountFrozen):
        await ask(scheme, payer, phone, 1)


async def test_a_refusal_reserves_nothing(scheme: Scheme) -> None:
    payer, phone, _ = await pair(scheme)
    for amount in (PER_PAYMENT + 1, 2**63 - 1):
        with pytest.raises(Refused):
            await ask(scheme, payer, phone, amount)
    assert scheme.parties._authoriser._in_flight == {}
