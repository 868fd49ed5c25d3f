"""Payments by PIN: who may be debited, how much, and what a device says about it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from counterfoil.errors import (
    AccountFrozen,
    LimitExceeded,
    Malformed,
    NotInThisState,
    NotYourAccount,
    PinLocked,
    PinNotAllowed,
    RequestTooOld,
    UnknownDevice,
    WrongPin,
    WrongSignature,
)
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.types import CreateTransferStatus, Transfer, TransferFlags
from counterfoil.parties import statements, tables
from counterfoil.parties.pin_payments import MARK, PinConsent
from counterfoil.parties.service import NewParty, PinLimits
from counterfoil.parties.types import Holder, Party, PartyKind
from counterfoil.payments.types import AuthorisationClass
from tests.parties.conftest import DAY, LEDGER, ORIGIN, PIN, Phone, Scheme, StillClock, scheme_in


async def simple_phone(scheme: Scheme, *, funds: int = 50_000, clerk: Party | None = None) -> Holder:
    """Somebody without a device, opened at the counter."""
    clerk = clerk or (await scheme.team())[1]
    new = NewParty(id=scheme.new_id(), kind=PartyKind.CUSTOMER, name="Kofi", language="en", number=scheme.next_number(), pin=PIN)
    holder = await scheme.parties.holder_of_party((await scheme.parties.enrolment.open_by_staff(new, by=clerk.id)).id)
    await scheme.fund(holder.account, funds)
    return holder


async def customer(scheme: Scheme, *, funds: int = 50_000) -> tuple[Holder, Phone]:
    phone = scheme.phone()
    holder = await scheme.customer(phone)
    await scheme.fund(holder.account, funds)
    return holder, phone


async def pays(scheme: Scheme, payer: Holder, payee: Holder, amount: int, *, fee: int = 0, flags: int = 0) -> None:
    """What a payment by PIN does: permission, then the ledger, then release."""
    with await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=amount, fee=fee):
        transfer = Transfer(
            id=scheme.new_id(), debit_account_id=payer.account, credit_account_id=payee.account, amount=amount + fee, user_data_32=MARK,
            ledger=LEDGER, code=TransferCode.HOLD if flags else TransferCode.PAYMENT, flags=flags,
        )  # fmt: skip
        assert (await scheme.ledger.create_transfers([transfer]))[0].status is CreateTransferStatus.CREATED


def word(scheme: Scheme, holder: Holder, per_day: int, *, origin: str = ORIGIN, made_at_ms: int | None = None) -> bytes:
    made_at_ms = scheme.clock.now // 1_000_000 if made_at_ms is None else made_at_ms
    return statements.allow_pin(origin=origin, account=holder.account, per_day=per_day, made_at_ms=made_at_ms)


async def allow(scheme: Scheme, phone: Phone, statement: bytes) -> PinConsent:
    return await scheme.parties.pin_payments.allow(statement, device=phone.id, signature=phone.sign(statement))


async def per_day(scheme: Scheme, holder: Holder) -> int | None:
    return (await scheme.parties.holder(holder.account)).pin_per_day


def test_the_mark_in_the_ledger_is_the_class_of_payments() -> None:
    assert MARK == AuthorisationClass.PIN


async def test_a_pin_stands_in_for_a_signature(scheme: Scheme) -> None:
    payer = await simple_phone(scheme)
    with await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=1) as authorisation:
        assert authorisation.holder == payer
        assert authorisation.device is None
    with pytest.raises(WrongPin):
        await scheme.parties.authorise_by_pin(account_id=payer.account, pin="1111", amount=1)
    with pytest.raises(WrongPin):
        await scheme.parties.authorise_by_pin(account_id=77, pin=PIN, amount=1)
    for _ in range(4):
        with pytest.raises(WrongPin):
            await scheme.parties.authorise_by_pin(account_id=payer.account, pin="1111", amount=1)
    with pytest.raises(PinLocked):
        await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=1)


async def test_limits_of_payments_by_pin_are_the_schemes_own(tmp_path: Path) -> None:
    async with scheme_in(tmp_path, StillClock(), pin_limits=PinLimits(per_payment=3_000, per_day=5_000)) as scheme:
        payer, (payee, _) = await simple_phone(scheme), await customer(scheme)
        with pytest.raises(LimitExceeded) as caught:
            await pays(scheme, payer, payee, 3_001)
        assert (caught.value.facts["limit"], caught.value.facts["left"], caught.value.facts["whose"]) == ("pin_per_payment", 3_000, "tier")
        await pays(scheme, payer, payee, 3_000)
        await pays(scheme, payer, payee, 1_500, fee=100, flags=TransferFlags.PENDING)
        with pytest.raises(LimitExceeded) as caught:
            await pays(scheme, payer, payee, 300, fee=101)
        assert (caught.value.facts["limit"], caught.value.facts["left"]) == ("pin_per_day", 400)
        await pays(scheme, payer, payee, 300, fee=100)
        await scheme.transfer(payer.account, payee.account, 5_000)  # of another class: does not count
        scheme.clock.now += DAY
        await pays(scheme, payer, payee, 3_000)


async def test_payments_by_pin_at_once_do_not_pass_the_limit_together(tmp_path: Path) -> None:
    async with scheme_in(tmp_path, StillClock(), pin_limits=PinLimits(per_day=5_000)) as scheme:
        payer, (payee, _) = await simple_phone(scheme), await customer(scheme)
        outcomes = await asyncio.gather(*(pays(scheme, payer, payee, 2_000) for _ in range(4)), return_exceptions=True)
        assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["LimitExceeded", "LimitExceeded", "NoneType", "NoneType"]
        assert scheme.parties.pin_payments._turns._locks == {}


async def test_who_goes_away_while_waiting_gives_the_turn_back(scheme: Scheme) -> None:
    payer = await simple_phone(scheme)
    first = await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=1)
    waiting = asyncio.create_task(scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=1))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.release()
    first.release()
    (await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=1)).release()
    assert scheme.parties.pin_payments._turns._locks == {}


async def test_the_other_limits_hold_too(scheme: Scheme) -> None:
    payer = await simple_phone(scheme)
    with pytest.raises(LimitExceeded) as caught:
        await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=10_001)
    assert caught.value.facts["limit"] == "per_payment"
    await scheme.parties.staff.freeze(scheme.new_id(), payer.party, reason="lost", by=payer.party)
    with pytest.raises(AccountFrozen):
        await scheme.parties.authorise_by_pin(account_id=payer.account, pin=PIN, amount=1)


async def test_who_has_a_device_is_debited_by_pin_only_as_far_as_it_allows(scheme: Scheme) -> None:
    payer, phone = await customer(scheme)
    payee = await simple_phone(scheme)
    assert await per_day(scheme, payer) == 0
    assert await per_day(scheme, payee) is None
    with pytest.raises(PinNotAllowed):
        await pays(scheme, payer, payee, 1)
    statement = word(scheme, payer, 700)
    assert (await allow(scheme, phone, statement)).per_day == 700
    assert await per_day(scheme, payer) == 700
    await pays(scheme, payer, payee, 500, fee=50)
    with pytest.raises(LimitExceeded) as caught:
        await pays(scheme, payer, payee, 151)
    assert (caught.value.facts["limit"], caught.value.facts["left"], caught.value.facts["whose"]) == ("pin_per_day", 150, "own")
    scheme.clock.pass_seconds(1)
    await allow(scheme, phone, word(scheme, payer, 0))
    with pytest.raises(PinNotAllowed):
        await pays(scheme, payer, payee, 1)


async def test_a_wrong_pin_says_nothing_of_what_is_allowed(scheme: Scheme) -> None:
    payer, _ = await customer(scheme)
    with pytest.raises(WrongPin):
        await scheme.parties.authorise_by_pin(account_id=payer.account, pin="1111", amount=1)


async def test_a_repeat_changes_nothing_and_an_old_word_is_not_shown_again(scheme: Scheme) -> None:
    payer, phone = await customer(scheme)
    allowed = word(scheme, payer, 700)
    await allow(scheme, phone, allowed)
    notices = len(await scheme.parties.notices.of(payer.party))
    await allow(scheme, phone, allowed)
    assert len(await scheme.parties.notices.of(payer.party)) == notices
    scheme.clock.pass_seconds(1)
    await allow(scheme, phone, word(scheme, payer, 0))
    with pytest.raises(NotInThisState):
        await allow(scheme, phone, allowed)
    assert await per_day(scheme, payer) == 0
    told = [notice for notice in await scheme.parties.notices.of(payer.party) if notice.kind == "pin_allowed"]
    assert [notice.values["per_day"] for notice in told] == [0, 0, 700, 700]  # number and device, twice


@pytest.mark.parametrize(("seconds", "accepted"), [(-7 * 86_400, True), (-7 * 86_400 - 1, False), (300, True), (301, False)])
async def test_a_word_is_neither_too_old_nor_ahead_of_its_time(scheme: Scheme, seconds: int, accepted: bool) -> None:
    payer, phone = await customer(scheme)
    statement = word(scheme, payer, 700, made_at_ms=(scheme.clock.now // 1_000_000_000 + seconds) * 1_000)
    if accepted:
        await allow(scheme, phone, statement)
    else:
        with pytest.raises(RequestTooOld):
            await allow(scheme, phone, statement)
        assert await per_day(scheme, payer) == 0


async def test_only_a_device_of_the_account_itself_can_say_it(scheme: Scheme) -> None:
    payer, phone = await customer(scheme)
    other, others_phone = await customer(scheme)
    statement = word(scheme, payer, 700)
    with pytest.raises(NotYourAccount):
        await allow(scheme, others_phone, statement)
    with pytest.raises(WrongSignature):
        await scheme.parties.pin_payments.allow(statement, device=phone.id, signature=others_phone.sign(statement))
    with pytest.raises(UnknownDevice):
        await allow(scheme, scheme.phone(), statement)
    revoke = statements.revoke_device(origin=ORIGIN, party=other.party, device=others_phone.id)
    await scheme.parties.devices.revoke(others_phone.id, by_device=others_phone.id, signature=others_phone.sign(revoke))
    with pytest.raises(UnknownDevice):
        await allow(scheme, others_phone, word(scheme, other, 700))
    assert await per_day(scheme, payer) == 0


@pytest.mark.parametrize("change", ["origin", "domain", "short", "long", "amount"])
async def test_what_is_signed_is_read_strictly(scheme: Scheme, change: str) -> None:
    payer, phone = await customer(scheme)
    good = word(scheme, payer, 700)
    statement = {
        "origin": word(scheme, payer, 700, origin="other.example/log"),
        "domain": good.replace(b"allow-pin", b"allow-pit"),
        "short": good[:-1],
        "long": good + b"\0",
        "amount": word(scheme, payer, 2**63),
    }[change]
    with pytest.raises(Malformed) as caught:
        await allow(scheme, phone, statement)
    assert caught.value.facts["field"].startswith("statement")


async def test_a_recovery_ends_what_was_allowed_before_it(scheme: Scheme) -> None:
    payer, phone = await customer(scheme)
    assert payer.number is not None
    await allow(scheme, phone, word(scheme, payer, 700))
    sent = await scheme.parties.enrolment.send_code(payer.number, "recover")
    new = scheme.phone()
    await scheme.parties.recoveries.begin(number=payer.number, code=sent.code or "", pin=PIN, key=new.recover_key(payer.number))
    scheme.clock.pass_seconds(72 * 3600)
    await scheme.parties.recoveries.complete_due()
    assert await per_day(scheme, payer) == 0
    await allow(scheme, new, word(scheme, payer, 300))
    assert await per_day(scheme, payer) == 300


async def test_who_gets_a_first_device_decides_from_then_on(scheme: Scheme) -> None:
    _, clerk = await scheme.team()
    payer, payee = await simple_phone(scheme, clerk=clerk), (await customer(scheme))[0]
    await pays(scheme, payer, payee, 100)
    assert payer.number is not None
    await scheme.parties.recoveries.begin_by_staff(payer.party, scheme.phone().recover_key(payer.number), reason="new phone", by=clerk.id)
    scheme.clock.pass_seconds(72 * 3600)
    await scheme.parties.recoveries.complete_due()
    with pytest.raises(PinNotAllowed):
        await pays(scheme, payer, payee, 100)


async def test_the_journal_keeps_the_exact_words_and_no_pin(scheme: Scheme) -> None:
    payer, phone = await customer(scheme)
    statement = word(scheme, payer, 700)
    await allow(scheme, phone, statement)
    query = select(tables.events.c.facts, tables.events.c.by).where(tables.events.c.kind == "pin_allowed")
    ((text, by),) = await scheme.store.read(lambda connection: connection.execute(query).all())
    facts = msgspec.json.decode(text)
    assert (by, bytes.fromhex(facts["statement"]), bytes.fromhex(facts["signature"])) == (phone.id, statement, phone.sign(statement))
    assert facts.keys() == {"device", "account", "per_day", "made_at_ms", "statement", "signature"}
