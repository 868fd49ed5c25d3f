"""Opening: a customer by code and key, everybody else by staff; repeats open nothing twice."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import func, select

from counterfoil.errors import (
    AlreadyTaken,
    Forbidden,
    IdReused,
    Malformed,
    NotInThisState,
    PartyNotFound,
    TooMany,
    WrongCode,
    WrongSignature,
)
from counterfoil.parties import tables
from counterfoil.parties.codes import LIFETIME_S
from counterfoil.parties.numbers import parse_merchant_code
from counterfoil.parties.service import NewParty
from counterfoil.parties.types import Holder, KeyAlgorithm, PartyKind, StaffRole
from tests.parties.conftest import PIN, Scheme, scheme_in

NUMBER = "+254712345678"


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
async def test_a_customer_opens_an_account_and_is_found_by_number(scheme: Scheme, algorithm: KeyAlgorithm) -> None:
    phone = scheme.phone(algorithm)
    holder = await scheme.customer(phone, NUMBER, "아미나 🌸")
    assert (holder.name, holder.number, holder.kind, holder.tier) == ("아미나 🌸", NUMBER, PartyKind.CUSTOMER, "number_only")
    for written in (NUMBER, "0712 345678", "+254-712-345678"):
        assert await scheme.parties.resolve(written) == holder
    assert await scheme.parties.holder(holder.account) == holder
    account = scheme.ledger.account_now(holder.account)
    assert account is not None
    assert account.credits_posted == 0
    await scheme.parties.pins.check(holder.party, PIN)


async def test_a_repeat_by_the_same_device_opens_nothing_twice(scheme: Scheme) -> None:
    phone = scheme.phone()
    first = await scheme.customer(phone, NUMBER)
    again = await scheme.parties.enrolment.open_customer(
        number=NUMBER, code="000000", name="Amina", language="en", pin=PIN, key=phone.enrol_key(NUMBER)
    )
    assert again == first
    count = select(func.count()).select_from(tables.parties)
    assert await scheme.store.read(lambda connection: connection.execute(count).scalar_one()) == 1


async def test_whoever_comes_by_a_number_of_the_networks_word_has_a_pin_and_no_device(scheme: Scheme) -> None:
    enrolment = scheme.parties.enrolment
    holder = await enrolment.open_by_number(number="0712 345678", name="Amina", language="en", pin=PIN, channel="ussd")
    assert (holder.name, holder.number, holder.kind, holder.tier) == ("Amina", NUMBER, PartyKind.CUSTOMER, "number_only")
    assert holder.pin_per_day is None, "nothing but the scheme's own limit for PINs"
    assert scheme.ledger.account_now(holder.account) is not None
    await scheme.parties.pins.check(holder.party, PIN)
    journal = select(tables.events.c.facts).where(tables.events.c.party == holder.party)
    assert '"channel":"ussd"' in await scheme.store.read(lambda connection: connection.execute(journal).scalar_one())
    assert [(each.kind, each.number) for each in await scheme.parties.notices.waiting()] == [("welcome", NUMBER)]
    with pytest.raises(AlreadyTaken):
        await enrolment.open_by_number(number=NUMBER, name="Amina", language="en", pin=PIN, channel="ussd")
    for wrong in ({"number": "12"}, {"name": ""}, {"language": "xx"}, {"pin": "1234"}):
        given = {"number": "+254712345679", "name": "Amina", "language": "en", "pin": PIN, "channel": "ussd"} | wrong
        with pytest.raises(Malformed):
            await enrolment.open_by_number(**given)
    assert await scheme.parties.directory.party_at("+254712345679") is None


async def test_the_code_goes_to_the_outbox_and_to_the_caller_in_a_sandbox_only(scheme: Scheme) -> None:
    sent = await scheme.parties.enrolment.send_code("0712345678")
    notice = (await scheme.parties.notices.waiting())[0]
    assert (notice.kind, notice.channel, notice.number, notice.values["code"]) == ("code", "sms", NUMBER, sent.code)
    await scheme.parties.notices.delivered(notice.id)
    assert await scheme.parties.notices.waiting() == []
    kept = await scheme.store.read(lambda connection: connection.execute(select(tables.notices.c.body)).scalar_one())
    assert str(sent.code) not in kept


async def test_people_who_look_see_the_newest_messages_first(scheme: Scheme) -> None:
    numbers = [f"+25471234567{last}" for last in range(3)]
    for number in numbers:
        await scheme.parties.enrolment.send_code(number)

    notices = scheme.parties.notices
    assert [notice.number for notice in await notices.waiting(2)] == numbers[:2]
    assert [notice.number for notice in await notices.newest_waiting(2)] == [numbers[2], numbers[1]]


async def test_without_a_sandbox_the_code_is_not_told(tmp_path_factory: pytest.TempPathFactory, scheme: Scheme) -> None:
    async with scheme_in(tmp_path_factory.mktemp("real"), scheme.clock, sandbox=False) as real:
        assert (await real.parties.enrolment.send_code(NUMBER)).code is None


async def test_a_wrong_code_is_refused_and_after_five_the_right_one_too(scheme: Scheme) -> None:
    phone = scheme.phone()
    sent = await scheme.parties.enrolment.send_code(NUMBER)
    wrong = "000000" if sent.code != "000000" else "000001"
    for code in (wrong, "", "12345678901234567890", "١٢٣٤٥٦", wrong, str(sent.code)):
        with pytest.raises(WrongCode):
            await scheme.parties.enrolment.open_customer(
                number=NUMBER, code=code, name="Amina", language="en", pin=PIN, key=phone.enrol_key(NUMBER)
            )
    with pytest.raises(PartyNotFound):
        await scheme.parties.resolve(NUMBER)


async def test_a_code_is_too_old_after_ten_minutes_and_ends_with_the_next(scheme: Scheme) -> None:
    phone = scheme.phone()
    first = await scheme.parties.enrolment.send_code(NUMBER)
    second = await scheme.parties.enrolment.send_code(NUMBER)

    async def enrol(code: str | None) -> None:
        await scheme.parties.enrolment.open_customer(
            number=NUMBER, code=code or "", name="Amina", language="en", pin=PIN, key=phone.enrol_key(NUMBER)
        )

    with pytest.raises(WrongCode):
        await enrol(first.code)
    scheme.clock.pass_seconds(LIFETIME_S + 1)
    with pytest.raises(WrongCode):
        await enrol(second.code)


async def test_a_code_is_used_up_by_what_it_was_for(scheme: Scheme) -> None:
    sent = await scheme.parties.enrolment.send_code(NUMBER)

    async def enrol() -> int:
        holder = await scheme.parties.enrolment.open_customer(
            number=NUMBER, code=sent.code or "", name="Amina", language="en", pin=PIN, key=scheme.phone().enrol_key(NUMBER)
        )
        return holder.party

    first = await enrol()
    await scheme.parties.staff.close(first, reason="wants to go", by=first)
    with pytest.raises(WrongCode):
        await enrol()


async def test_one_code_at_the_same_time_opens_one_account(scheme: Scheme) -> None:
    sent = await scheme.parties.enrolment.send_code(NUMBER)
    attempts = (
        scheme.parties.enrolment.open_customer(
            number=NUMBER, code=sent.code or "", name="Amina", language="en", pin=PIN, key=scheme.phone().enrol_key(NUMBER)
        )
        for _ in range(4)
    )
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, Holder) for outcome in outcomes) == 1
    assert all(isinstance(outcome, (Holder, WrongCode, AlreadyTaken)) for outcome in outcomes), outcomes


async def test_a_code_for_something_else_opens_nothing(scheme: Scheme) -> None:
    sent = await scheme.parties.enrolment.send_code(NUMBER, "recover")
    with pytest.raises(WrongCode):
        await scheme.parties.enrolment.open_customer(
            number=NUMBER, code=sent.code or "", name="Amina", language="en", pin=PIN, key=scheme.phone().enrol_key(NUMBER)
        )


async def test_codes_to_one_number_are_rationed(scheme: Scheme) -> None:
    for _ in range(5):
        await scheme.parties.enrolment.send_code(NUMBER)
    with pytest.raises(TooMany):
        await scheme.parties.enrolment.send_code(NUMBER)
    await scheme.parties.enrolment.send_code("+254712345679")
    scheme.clock.pass_seconds(3601)
    await scheme.parties.enrolment.send_code(NUMBER)


async def test_a_taken_number_is_refused_even_with_a_right_code(scheme: Scheme) -> None:
    await scheme.customer(scheme.phone(), NUMBER)
    with pytest.raises(AlreadyTaken) as caught:
        await scheme.customer(scheme.phone(), NUMBER)
    assert caught.value.facts == {"field": "number"}


async def test_a_key_or_device_id_cannot_be_enrolled_for_another(scheme: Scheme) -> None:
    phone = scheme.phone()
    await scheme.customer(phone, NUMBER)
    with pytest.raises(AlreadyTaken):
        await scheme.customer(phone, "+254712345679")
    phone.id = scheme.new_id()
    with pytest.raises(AlreadyTaken) as caught:
        await scheme.customer(phone, "+254712345679")
    assert caught.value.facts == {"field": "device"}


async def test_a_key_that_did_not_sign_itself_is_refused(scheme: Scheme) -> None:
    phone, other = scheme.phone(), scheme.phone()
    key = phone.enrol_key(NUMBER)
    for wrong in (
        msgspec.structs.replace(key, possession=other.sign(b"x")),
        msgspec.structs.replace(key, public_key=other.public_key),
        msgspec.structs.replace(key, device=other.id),
        phone.enrol_key("+254712345679"),
        phone.recover_key(NUMBER),
    ):
        with pytest.raises(WrongSignature):
            await scheme.parties.enrolment.open_customer(number=NUMBER, code="1", name="A", language="en", pin=PIN, key=wrong)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("number", {"number": "12"}),
        ("name", {"name": "A" * 10_000}),
        ("language", {"language": "tlh"}),
        ("pin", {"pin": "1234"}),
    ],
)
async def test_bad_input_is_named(scheme: Scheme, field: str, change: dict[str, str]) -> None:
    good = {"number": NUMBER, "code": "1", "name": "Amina", "language": "en", "pin": PIN}
    with pytest.raises(Malformed) as caught:
        await scheme.parties.enrolment.open_customer(**(good | change), key=scheme.phone().enrol_key(NUMBER))
    assert caught.value.facts["field"] == field


async def test_a_shop_gets_a_code_that_finds_it(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    new = NewParty(id=scheme.new_id(), kind=PartyKind.MERCHANT, name="Duka la Kona", language="en", handle="Duka_1")
    shop = await scheme.parties.enrolment.open_by_staff(new, by=supervisor.id)
    assert shop.merchant_code is not None
    assert parse_merchant_code(shop.merchant_code) == shop.merchant_code
    holder = await scheme.parties.resolve(shop.merchant_code)
    assert (holder.party, holder.tier) == (shop.id, "merchant")
    assert (await scheme.parties.resolve("@duka_1")).account == holder.account
    assert await scheme.parties.enrolment.open_by_staff(new, by=supervisor.id) == shop
    with pytest.raises(IdReused):
        await scheme.parties.enrolment.open_by_staff(msgspec.structs.replace(new, name="Other"), by=supervisor.id)


@pytest.mark.parametrize("kind", list(PartyKind))
async def test_who_opens_whom(scheme: Scheme, kind: PartyKind) -> None:
    administrator, supervisor = await scheme.team()
    auditor = await scheme.staff(StaffRole.AUDITOR, by=administrator.id)
    right, wrong = (administrator, supervisor) if kind is PartyKind.STAFF else (supervisor, administrator)
    new = NewParty(id=scheme.new_id(), kind=kind, name="New", language="fr", handle="newcomer")
    customer = await scheme.customer(scheme.phone())
    for by in (wrong.id, auditor.id, customer.party, 12345):
        with pytest.raises(Forbidden):
            await scheme.parties.enrolment.open_by_staff(new, by=by)
    assert (await scheme.parties.enrolment.open_by_staff(new, by=right.id)).kind is kind


async def test_the_first_member_of_staff_is_the_only_one_that_nobody_opens(scheme: Scheme) -> None:
    await scheme.staff(StaffRole.ADMINISTRATOR)
    with pytest.raises(NotInThisState):
        await scheme.staff(StaffRole.ADMINISTRATOR)


async def test_staff_hold_no_account(scheme: Scheme) -> None:
    staff = await scheme.staff(StaffRole.AUDITOR)
    with pytest.raises(PartyNotFound):
        await scheme.parties.holder_of_party(staff.id)
    with pytest.raises(PartyNotFound):
        await scheme.parties.resolve(f"@{staff.handle}")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("tier", {"tier": "institution"}),
        ("roles", {"roles": frozenset({StaffRole.CLERK})}),
        ("handle", {"handle": "12345"}),
        ("id", {"id": 0}),
        ("number", {"handle": None}),
    ],
)
async def test_staff_cannot_open_what_makes_no_sense(scheme: Scheme, field: str, change: dict[str, object]) -> None:
    _, supervisor = await scheme.team()
    new = NewParty(id=scheme.new_id(), kind=PartyKind.CUSTOMER, name="New", language="en", handle="newcomer")
    with pytest.raises(Malformed) as caught:
        await scheme.parties.enrolment.open_by_staff(msgspec.structs.replace(new, **change), by=supervisor.id)
    assert caught.value.facts["field"] == field


async def test_a_handle_is_chosen_once_and_its_lookalike_is_taken(scheme: Scheme) -> None:
    first, second = await scheme.customer(scheme.phone()), await scheme.customer(scheme.phone())
    await scheme.parties.enrolment.set_handle(first.party, "@Bello")
    await scheme.parties.enrolment.set_handle(first.party, "bello")
    assert (await scheme.parties.resolve("@BELLO")).account == first.account
    with pytest.raises(NotInThisState):
        await scheme.parties.enrolment.set_handle(first.party, "other")
    for lookalike in ("bello", "be11o", "bell0", "b_e_l_l_o"):
        with pytest.raises(AlreadyTaken):
            await scheme.parties.enrolment.set_handle(second.party, lookalike)


async def test_a_new_number_needs_its_own_code_and_the_old_one_is_told(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone(), NUMBER)
    sent = await scheme.parties.enrolment.send_code("+254712345679", "number")
    with pytest.raises(WrongCode):
        await scheme.parties.enrolment.set_number(holder.party, "+254712345670", sent.code or "")
    await scheme.parties.enrolment.set_number(holder.party, "+254712345679", sent.code or "")
    assert (await scheme.parties.resolve("+254712345679")).account == holder.account
    with pytest.raises(PartyNotFound):
        await scheme.parties.resolve(NUMBER)
    told = [(n.number, n.kind) for n in await scheme.parties.notices.of(holder.party)]
    assert (NUMBER, "number_changed") in told
