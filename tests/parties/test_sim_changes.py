"""A number that changes hands: what a swapped SIM, and a number that the network gives to somebody else, open: nothing."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import update

from counterfoil.errors import (
    AlreadyTaken,
    Forbidden,
    LimitExceeded,
    Malformed,
    NeedsSecondPerson,
    NotFound,
    NotInThisState,
    PartyNotFound,
    UnknownDevice,
    WrongPin,
)
from counterfoil.ids import id_text
from counterfoil.parties.approvals import Approvals, Kind
from counterfoil.parties.enrolment import NewParty
from counterfoil.parties.pin_brake import asked_from
from counterfoil.parties.sim_changes import IDLE_S, LiftPayload, SimChange
from counterfoil.parties.tables import devices
from counterfoil.parties.types import Holder, PartyKind, Permission, ProposalState, StaffRole
from tests.parties.conftest import DAY, PIN, Phone, Scheme
from tests.parties.test_pin_payments import allow, customer, pays, simple_phone, word

SPEND_MAX = 2_000
DELAY_S = 72 * 3600


async def changed(scheme: Scheme, holder: Holder, source: str = "operator") -> SimChange:
    told = await scheme.parties.sim_changes.tell(holder.number or "", source=source, reason="SIM replaced")
    assert told is not None
    return told


async def kinds(scheme: Scheme, party: int) -> list[tuple[str, str]]:
    return [(each.kind, each.channel) for each in await scheme.parties.notices.of(party)]


async def test_pins_take_little_until_the_delay_is_over_and_devices_what_they_did(scheme: Scheme) -> None:
    (payer, phone), (payee, _) = await customer(scheme), await customer(scheme)
    await allow(scheme, phone, word(scheme, payer, 9_000))
    payer = await scheme.parties.holder(payer.account)
    await pays(scheme, payer, payee, 1_500)
    change = await changed(scheme, payer)
    assert change.until == pytest.approx(scheme.clock.now + DELAY_S * 10**9, abs=10**6)
    with pytest.raises(LimitExceeded) as caught:
        await pays(scheme, payer, payee, 500, fee=1)
    assert (caught.value.facts["limit"], caught.value.facts["limit_amount"], caught.value.facts["left"]) == ("pin_per_day", SPEND_MAX, 500)
    await pays(scheme, payer, payee, 490, fee=10)
    order = b"order"
    with await scheme.parties.authorise(
        account_id=payer.account, device_id=phone.id, message=order, signature=phone.sign(order), amount=8_000
    ) as authorisation:
        assert authorisation.holder.party == payer.party
    scheme.clock.pass_seconds(DELAY_S)
    await pays(scheme, payer, payee, 4_000)
    assert await scheme.parties.sim_changes.standing(payer.party) is None


async def test_all_old_channels_and_the_number_are_told_once(scheme: Scheme) -> None:
    holder, _ = await customer(scheme)
    change = await changed(scheme, holder)
    assert await changed(scheme, holder) == change
    assert [each for each in await kinds(scheme, holder.party) if each[0] == "sim_changed"] == [
        ("sim_changed", "push"),
        ("sim_changed", "sms"),
    ]
    scheme.clock.pass_seconds(3600)
    again = await changed(scheme, holder, "gateway kannel")
    assert again.until > change.until, "another source may know of another change"
    scheme.clock.pass_seconds(DELAY_S - 3600 + 1)
    assert await scheme.parties.sim_changes.standing(holder.party) == again


async def test_whoever_tells_learns_nothing_and_cannot_tell_nonsense(scheme: Scheme) -> None:
    assert await scheme.parties.sim_changes.tell("+254799999999", source="operator", reason="SIM replaced") is None
    for source in ("", "Two Words Here", "a" * 49, "x\n"):
        with pytest.raises(Malformed):
            await scheme.parties.sim_changes.tell("+254799999999", source=source, reason="SIM replaced")
    with pytest.raises(Malformed):
        await scheme.parties.sim_changes.tell("12", source="operator", reason="SIM replaced")


async def test_staff_tell_with_a_permission_and_a_reason(scheme: Scheme) -> None:
    administrator, supervisor = await scheme.team()
    holder = await simple_phone(scheme, clerk=supervisor)
    number = holder.number or ""
    with pytest.raises(Forbidden):
        await scheme.parties.sim_changes.tell_by_staff(number, reason="called us", by=administrator.id)
    with pytest.raises(Malformed):
        await scheme.parties.sim_changes.tell_by_staff(number, reason="", by=supervisor.id)
    with pytest.raises(NotFound):
        await scheme.parties.sim_changes.tell_by_staff("+254799999999", reason="called us", by=supervisor.id)
    assert (await scheme.parties.sim_changes.tell_by_staff(number, reason="called us", by=supervisor.id)).source == "staff"


async def test_the_pin_is_not_set_anew_by_whoever_has_the_sim(scheme: Scheme) -> None:
    holder, phone = await customer(scheme)
    await changed(scheme, holder)
    number = holder.number or ""
    with pytest.raises(WrongPin):
        await scheme.parties.pins.change(holder.party, "1111", "1379")
    for purpose in ("enrol", "recover", "number"):
        sent = await scheme.parties.enrolment.send_code(number, purpose)
        thief = scheme.phone()
        if purpose == "recover":
            with pytest.raises(WrongPin):
                await scheme.parties.recoveries.begin(number=number, code=sent.code or "", pin="1111", key=thief.recover_key(number))
        elif purpose == "enrol":
            with pytest.raises(AlreadyTaken):
                await scheme.parties.enrolment.open_customer(
                    number=number, code=sent.code or "", name="Thief", language="en", pin="1379", key=thief.enrol_key(number)
                )
    await scheme.parties.pins.check(holder.party, PIN)
    assert [device.id for device in await scheme.parties.devices.of(holder.party)] == [phone.id]


async def test_a_device_from_before_lifts_it(scheme: Scheme) -> None:
    holder, phone = await customer(scheme)
    _, other = await customer(scheme)
    await scheme.parties.sim_changes.lift(holder.party, device=phone.id)  # nothing to lift
    await changed(scheme, holder)
    late = scheme.phone()
    statement = late.add_statement(holder.party)
    await scheme.parties.devices.add(late.new_key(statement), by_device=phone.id, signature=phone.sign(statement))
    for device in (other.id, late.id, 77):
        with pytest.raises(UnknownDevice):
            await scheme.parties.sim_changes.lift(holder.party, device=device)
    assert await scheme.parties.sim_changes.standing(holder.party) is not None
    await changed(scheme, holder, "gateway kannel")
    with pytest.raises(UnknownDevice):
        await scheme.parties.sim_changes.lift(holder.party, device=late.id)  # from before the second, and not the first
    for _ in range(2):
        await scheme.parties.sim_changes.lift(holder.party, device=phone.id)
    assert await scheme.parties.sim_changes.standing(holder.party) is None
    assert [each for each in await kinds(scheme, holder.party) if each[0] == "sim_change_lifted"] == [
        ("sim_change_lifted", "push"),
        ("sim_change_lifted", "push"),
        ("sim_change_lifted", "sms"),
    ]


async def test_a_device_of_the_same_moment_lifts_nothing(scheme: Scheme) -> None:
    holder, phone = await customer(scheme)
    change = await changed(scheme, holder)
    same = update(devices).where(devices.c.id == phone.id).values(created_at=change.at)
    await scheme.store.write(lambda connection: connection.execute(same))
    with pytest.raises(UnknownDevice):
        await scheme.parties.sim_changes.lift(holder.party, device=phone.id)


async def test_a_device_that_was_revoked_lifts_nothing(scheme: Scheme) -> None:
    _, supervisor = await scheme.team()
    holder, phone = await customer(scheme)
    await changed(scheme, holder)
    await scheme.parties.devices.revoke_by_staff(phone.id, reason="stolen", by=supervisor.id)
    with pytest.raises(UnknownDevice):
        await scheme.parties.sim_changes.lift(holder.party, device=phone.id)


async def test_two_members_of_staff_lift_it_and_one_does_not(scheme: Scheme) -> None:
    administrator, supervisor = await scheme.team()
    clerk = await scheme.staff(StaffRole.CLERK, by=administrator.id)
    holder = await simple_phone(scheme, clerk=supervisor)
    changes = scheme.parties.sim_changes
    kind = Kind(propose=Permission.RECOVER, approve=Permission.FREEZE, execute=changes.lift_by_staff, check=changes.check_lift)
    approvals = Approvals(scheme.store, scheme.clock, {"sim_change_lift": kind})
    payload = msgspec.json.encode(LiftPayload(id_text(holder.party)))
    with pytest.raises(NotInThisState):
        await approvals.propose(scheme.new_id(), "sim_change_lift", payload, reason="seen in person", by=clerk.id)
    await changed(scheme, holder)
    for wrong in (b"{}", b'{"party": "x"}', b'{"party": "0"}'):
        with pytest.raises(Malformed):
            await approvals.propose(scheme.new_id(), "sim_change_lift", wrong, reason="seen in person", by=clerk.id)
    mine = await approvals.propose(scheme.new_id(), "sim_change_lift", payload, reason="seen in person", by=supervisor.id)
    with pytest.raises(NeedsSecondPerson):
        await approvals.approve(mine.id, by=supervisor.id)
    proposal = await approvals.propose(scheme.new_id(), "sim_change_lift", payload, reason="seen in person", by=clerk.id)
    assert await changes.standing(holder.party) is not None
    assert (await approvals.approve(proposal.id, by=supervisor.id)).state is ProposalState.EXECUTED
    assert await changes.standing(holder.party) is None


# A number that the network has given to somebody else


async def newcomer(scheme: Scheme, number: str) -> tuple[Holder, Phone]:
    phone = scheme.phone()
    return await scheme.customer(phone, number, "Newcomer"), phone


async def test_a_number_given_to_another_opens_nothing_of_the_account_before(scheme: Scheme) -> None:
    """Who has it now cannot enrol either, until staff give it free: they are never taken for the holder of before."""
    _, supervisor = await scheme.team()
    old, watcher = await simple_phone(scheme, clerk=supervisor), await simple_phone(scheme, clerk=supervisor)
    watching = await scheme.parties.watchers.choose(old.party, watcher.number or "", by=old.party)
    await scheme.parties.watchers.accept(watching.id, watcher=watcher.party)
    number = old.number or ""
    scheme.clock.pass_seconds(IDLE_S + 1)
    with pytest.raises(AlreadyTaken):
        await newcomer(scheme, number)
    with pytest.raises(AlreadyTaken):
        await scheme.parties.enrolment.open_by_number(number=number, name="Newcomer", language="en", pin="1379", channel="ussd")
    for _ in range(2):
        released = await scheme.parties.sim_changes.release_number(old.party, reason="recycled by the network", by=supervisor.id)
        assert released.number is None
    assert (await scheme.parties.notices.of(watcher.party))[0].kind == "watched_number_released"
    assert [each for each in await kinds(scheme, old.party) if each[0] == "number_released"] == [], "the number is another's by now"
    with pytest.raises(PartyNotFound):
        await scheme.parties.resolve(number)
    new, _ = await newcomer(scheme, number)
    assert (await scheme.parties.resolve(number)).account == new.account != old.account
    balances = scheme.ledger.account_now(new.account)
    assert balances is not None
    assert balances.credits_posted == 0
    with pytest.raises(WrongPin):
        await scheme.parties.sign_in(number, "1379")
    kept = await scheme.parties.holder(old.account)
    await pays(scheme, kept, new, 700)  # the PIN at the counter, and the money, are still the old holder's


async def test_a_number_in_use_is_not_given_free(scheme: Scheme) -> None:
    administrator, supervisor = await scheme.team()
    old, other = await simple_phone(scheme, clerk=supervisor), await simple_phone(scheme, clerk=supervisor)

    async def release(by: int = supervisor.id) -> None:
        await scheme.parties.sim_changes.release_number(old.party, reason="recycled by the network", by=by)

    with pytest.raises(Forbidden):
        await release(by=administrator.id)
    scheme.clock.pass_seconds(IDLE_S - 60)
    with pytest.raises(NotInThisState):
        await release()
    scheme.clock.pass_seconds(61)
    with pytest.raises(WrongPin):
        await scheme.parties.pins.check(old.party, "1111")  # somebody's guess is no use of the account
    await scheme.transfer(other.account, old.account, 5)  # nor is money that others send
    await scheme.parties.pins.check(old.party, PIN)
    with pytest.raises(NotInThisState):
        await release()
    scheme.clock.pass_seconds(IDLE_S)
    with asked_from("web", "192.0.2.1"):
        await scheme.parties.pins.check(old.party, PIN)  # on a page, too
    await scheme.parties.pins.forget_old_attempts()
    with pytest.raises(NotInThisState):
        await release()
    scheme.clock.pass_seconds(IDLE_S)
    await scheme.transfer(old.account, other.account, 2)
    scheme.clock.pass_seconds(IDLE_S)
    await scheme.transfer(old.account, other.account, 3)
    with pytest.raises(NotInThisState):
        await release()
    scheme.clock.now += 180 * DAY
    await release()


async def test_staff_have_no_sim_to_change(scheme: Scheme) -> None:
    administrator, _ = await scheme.team()
    number = scheme.next_number()
    new = NewParty(id=scheme.new_id(), kind=PartyKind.STAFF, name="Clerk", language="en", number=number, roles=frozenset({StaffRole.CLERK}))
    await scheme.parties.enrolment.open_by_staff(new, by=administrator.id)
    assert await scheme.parties.sim_changes.tell(number, source="operator", reason="SIM replaced") is None
