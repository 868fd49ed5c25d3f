"""Further devices, rotation, revocation, and recovery with its delay."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import (
    AlreadyTaken,
    Forbidden,
    Malformed,
    NotFound,
    NotInThisState,
    PinLocked,
    Refused,
    TooMany,
    UnknownDevice,
    WrongCode,
    WrongPin,
    WrongSignature,
)
from counterfoil.parties import statements
from counterfoil.parties.types import DeviceState, Holder, KeyAlgorithm, Recovery, RecoveryState
from tests.parties.conftest import ORIGIN, PIN, Phone, Scheme

DELAY_S = 72 * 3600


async def add(scheme: Scheme, holder: Holder, old: Phone, new: Phone) -> None:
    statement = new.add_statement(holder.party)
    await scheme.parties.devices.add(new.new_key(statement, "tablet"), by_device=old.id, signature=old.sign(statement))


async def revoke(scheme: Scheme, holder: Holder, by: Phone, device: Phone) -> None:
    statement = statements.revoke_device(origin=ORIGIN, party=holder.party, device=device.id)
    await scheme.parties.devices.revoke(device.id, by_device=by.id, signature=by.sign(statement))


async def may_sign(scheme: Scheme, holder: Holder, phone: Phone) -> bool:
    try:
        with await scheme.parties.authorise(
            account_id=holder.account, device_id=phone.id, message=b"m", signature=phone.sign(b"m"), amount=0
        ):
            return True
    except UnknownDevice:
        return False


async def begin(scheme: Scheme, holder: Holder, phone: Phone, pin: str = PIN) -> Recovery:
    assert holder.number is not None
    sent = await scheme.parties.enrolment.send_code(holder.number, "recover")
    return await scheme.parties.recoveries.begin(number=holder.number, code=sent.code or "", pin=pin, key=phone.recover_key(holder.number))


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
async def test_a_further_device_signs_beside_the_first(scheme: Scheme, algorithm: KeyAlgorithm) -> None:
    old, new = scheme.phone(), scheme.phone(algorithm)
    holder = await scheme.customer(old)
    assert not await may_sign(scheme, holder, new)
    await add(scheme, holder, old, new)
    await add(scheme, holder, old, new)  # a repeat
    assert await may_sign(scheme, holder, new)
    assert await may_sign(scheme, holder, old)
    assert [d.label for d in await scheme.parties.devices.of(holder.party)] == ["phone", "tablet"]
    told = [(n.channel, n.device) for n in await scheme.parties.notices.of(holder.party) if n.kind == "device_added"]
    assert sorted(told, key=str) == sorted([("sms", None), ("push", old.id)], key=str)


async def test_both_keys_must_sign_the_same_statement(scheme: Scheme) -> None:
    old, new, other = scheme.phone(), scheme.phone(), scheme.phone()
    holder = await scheme.customer(old)
    stranger = await scheme.customer(other)
    statement = new.add_statement(holder.party)
    key = new.new_key(statement)
    with pytest.raises(UnknownDevice):
        await scheme.parties.devices.add(key, by_device=new.id, signature=new.sign(statement))
    for by, signature in ((old, new.sign(statement)), (other, other.sign(statement)), (old, old.sign(statement[:-1])), (old, b"")):
        with pytest.raises(WrongSignature):
            await scheme.parties.devices.add(key, by_device=by.id, signature=signature)
    foreign = new.add_statement(stranger.party)
    with pytest.raises(WrongSignature):  # possession of the key is shown for another party
        await scheme.parties.devices.add(new.new_key(foreign), by_device=old.id, signature=old.sign(statement))
    assert not await may_sign(scheme, holder, new)


async def test_a_device_of_another_party_cannot_be_added_again(scheme: Scheme) -> None:
    old, other = scheme.phone(), scheme.phone()
    holder = await scheme.customer(old)
    await scheme.customer(other)
    with pytest.raises(AlreadyTaken):
        await add(scheme, holder, old, other)


async def test_after_rotation_only_the_new_key_signs(scheme: Scheme) -> None:
    old, new, late = scheme.phone(), scheme.phone(), scheme.phone()
    holder = await scheme.customer(old)
    statement = new.add_statement(holder.party)
    for _ in range(2):  # and a repeat
        await scheme.parties.devices.rotate(new.new_key(statement), by_device=old.id, signature=old.sign(statement))
    assert (await may_sign(scheme, holder, old), await may_sign(scheme, holder, new)) == (False, True)
    with pytest.raises(UnknownDevice):
        await add(scheme, holder, old, late)


async def test_a_revoked_device_stays_revoked(scheme: Scheme) -> None:
    first, second, other = scheme.phone(), scheme.phone(), scheme.phone()
    holder = await scheme.customer(first)
    await scheme.customer(other)
    await add(scheme, holder, first, second)
    with pytest.raises(UnknownDevice):
        await revoke(scheme, holder, other, second)
    with pytest.raises(UnknownDevice):
        await revoke(scheme, holder, first, other)
    statement = statements.revoke_device(origin=ORIGIN, party=holder.party, device=second.id)
    with pytest.raises(WrongSignature):
        await scheme.parties.devices.revoke(second.id, by_device=first.id, signature=second.sign(statement))
    await revoke(scheme, holder, first, second)
    await revoke(scheme, holder, first, second)
    assert not await may_sign(scheme, holder, second)
    with pytest.raises(UnknownDevice):
        await revoke(scheme, holder, second, first)
    with pytest.raises(AlreadyTaken):
        await add(scheme, holder, first, second)


async def test_devices_at_the_same_time_are_bounded(scheme: Scheme) -> None:
    first = scheme.phone()
    holder = await scheme.customer(first)
    for _ in range(9):
        await add(scheme, holder, first, scheme.phone())
    with pytest.raises(TooMany):
        await add(scheme, holder, first, scheme.phone())
    new = scheme.phone()
    statement = new.add_statement(holder.party)
    await scheme.parties.devices.rotate(new.new_key(statement), by_device=first.id, signature=first.sign(statement))


async def test_staff_revoke_a_lost_device(scheme: Scheme) -> None:
    phone = scheme.phone()
    holder = await scheme.customer(phone)
    administrator, supervisor = await scheme.team()
    with pytest.raises(Forbidden):
        await scheme.parties.devices.revoke_by_staff(phone.id, reason="reported lost", by=administrator.id)
    with pytest.raises(NotFound):
        await scheme.parties.devices.revoke_by_staff(99, reason="reported lost", by=supervisor.id)
    await scheme.parties.devices.revoke_by_staff(phone.id, reason="reported lost", by=supervisor.id)
    assert not await may_sign(scheme, holder, phone)


async def test_a_recovery_takes_effect_after_its_delay_and_ends_the_old_keys(scheme: Scheme) -> None:
    lost, new = scheme.phone(), scheme.phone()
    holder = await scheme.customer(lost)
    recovery = await begin(scheme, holder, new)
    assert recovery.effective_at - recovery.created_at == DELAY_S * 1_000_000_000
    told = {n.channel for n in await scheme.parties.notices.of(holder.party) if n.kind == "recovery_started"}
    assert told == {"sms", "push"}
    scheme.clock.pass_seconds(DELAY_S - 10)
    assert await scheme.parties.recoveries.complete_due() == 0
    assert (await may_sign(scheme, holder, lost), await may_sign(scheme, holder, new)) == (True, False)
    scheme.clock.pass_seconds(11)
    assert await scheme.parties.recoveries.complete_due() == 1
    assert await scheme.parties.recoveries.complete_due() == 0
    assert (await may_sign(scheme, holder, lost), await may_sign(scheme, holder, new)) == (False, True)
    assert (await scheme.parties.holder(holder.account)).recovery is None


async def test_the_owner_cancels_a_recovery_and_the_thiefs_key_never_signs(scheme: Scheme) -> None:
    mine, thief, stranger = scheme.phone(), scheme.phone(), scheme.phone()
    holder = await scheme.customer(mine)
    other = await scheme.customer(stranger)
    recovery = await begin(scheme, holder, thief)

    async def cancel(phone: Phone, party: int, recovery: int) -> None:
        statement = statements.cancel_recovery(origin=ORIGIN, party=party, recovery=recovery)
        await scheme.parties.recoveries.cancel(recovery, by_device=phone.id, signature=phone.sign(statement))

    with pytest.raises(UnknownDevice):
        await cancel(thief, holder.party, recovery.id)
    with pytest.raises(NotFound):
        await cancel(stranger, other.party, recovery.id)
    with pytest.raises(WrongSignature):
        await cancel(stranger, holder.party, recovery.id)
    with pytest.raises(NotFound):
        await cancel(mine, holder.party, recovery.id + 1)
    await cancel(mine, holder.party, recovery.id)
    await cancel(mine, holder.party, recovery.id)
    scheme.clock.pass_seconds(DELAY_S + 1)
    assert await scheme.parties.recoveries.complete_due() == 0
    assert (await may_sign(scheme, holder, mine), await may_sign(scheme, holder, thief)) == (True, False)


async def test_what_has_taken_effect_cannot_be_cancelled(scheme: Scheme) -> None:
    lost, new = scheme.phone(), scheme.phone()
    holder = await scheme.customer(lost)
    recovery = await begin(scheme, holder, new)
    scheme.clock.pass_seconds(DELAY_S + 1)
    await scheme.parties.recoveries.complete_due()
    statement = statements.cancel_recovery(origin=ORIGIN, party=holder.party, recovery=recovery.id)
    with pytest.raises(NotInThisState):
        await scheme.parties.recoveries.cancel(recovery.id, by_device=new.id, signature=new.sign(statement))


async def test_a_stolen_sim_alone_begins_no_recovery(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    thief = scheme.phone()
    assert holder.number is not None
    with pytest.raises(WrongPin):
        await begin(scheme, holder, thief, "1111")
    with pytest.raises(WrongCode):
        await scheme.parties.recoveries.begin(number=holder.number, code="nothing", pin=PIN, key=thief.recover_key(holder.number))
    with pytest.raises(WrongSignature):
        await scheme.parties.recoveries.begin(number=holder.number, code="1", pin=PIN, key=thief.enrol_key(holder.number))
    for _ in range(4):
        scheme.clock.pass_seconds(1000)
        with pytest.raises((WrongPin, PinLocked)):
            await begin(scheme, holder, thief, "1111")
    assert (await scheme.parties.holder(holder.account)).recovery is None


async def test_nobodys_recovery_is_a_wrong_pin(scheme: Scheme) -> None:
    number, phone = "+254712345678", scheme.phone()
    sent = await scheme.parties.enrolment.send_code(number, "recover")
    with pytest.raises(WrongPin):
        await scheme.parties.recoveries.begin(number=number, code=sent.code or "", pin=PIN, key=phone.recover_key(number))


async def test_one_recovery_waits_at_a_time_and_a_repeat_is_the_same(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    new = scheme.phone()
    first = await begin(scheme, holder, new)
    assert await begin(scheme, holder, new) == first
    with pytest.raises(NotInThisState):
        await begin(scheme, holder, scheme.phone())


async def test_staff_recover_for_somebody_at_the_counter_with_the_same_delay(scheme: Scheme) -> None:
    lost, new = scheme.phone(), scheme.phone()
    holder = await scheme.customer(lost)
    administrator, supervisor = await scheme.team()
    key = new.recover_key(holder.number or "")
    with pytest.raises(Forbidden):
        await scheme.parties.recoveries.begin_by_staff(holder.party, key, reason="seen with passport", by=administrator.id)
    with pytest.raises(Malformed):
        await scheme.parties.recoveries.begin_by_staff(holder.party, key, reason="", by=supervisor.id)
    recovery = await scheme.parties.recoveries.begin_by_staff(holder.party, key, reason="seen with passport", by=supervisor.id)
    assert recovery.state is RecoveryState.WAITING
    await scheme.parties.recoveries.cancel_by_staff(recovery.id, reason="a mistake", by=supervisor.id)
    with pytest.raises(AlreadyTaken):  # a key is tried once
        await scheme.parties.recoveries.begin_by_staff(holder.party, key, reason="seen with passport", by=supervisor.id)
    states = {device.id: device.state for device in await scheme.parties.devices.of(holder.party)}
    assert states == {lost.id: DeviceState.ACTIVE, new.id: DeviceState.REVOKED}
    with pytest.raises(Forbidden):
        await scheme.parties.recoveries.begin_by_staff(
            administrator.id, scheme.phone().recover_key(""), reason="forgot it", by=supervisor.id
        )


async def test_the_pulse_completes_what_is_due(scheme: Scheme) -> None:
    lost, new = scheme.phone(), scheme.phone()
    holder = await scheme.customer(lost)
    await begin(scheme, holder, new)
    scheme.clock.pass_seconds(DELAY_S + 1)
    run = asyncio.create_task(scheme.parties.run())
    while not await may_sign(scheme, holder, new):
        await asyncio.sleep(0.01)
    await scheme.parties.stop()
    await run


@given(
    origin=st.text(min_size=1, max_size=20),
    number=st.text(max_size=20),
    ids=st.lists(st.integers(1, 2**128 - 1), min_size=2, max_size=2),
    key=st.binary(max_size=65),
)
def test_no_statement_can_be_taken_for_another(origin: str, number: str, ids: list[int], key: bytes) -> None:
    a, b = ids
    ed = KeyAlgorithm.ED25519
    made = [
        statements.enrol(origin=origin, number=number, device=a, algorithm=ed, public_key=key),
        statements.recover(origin=origin, number=number, device=a, algorithm=ed, public_key=key),
        statements.add_device(origin=origin, party=a, device=b, algorithm=ed, public_key=key),
        statements.revoke_device(origin=origin, party=a, device=b),
        statements.cancel_recovery(origin=origin, party=a, recovery=b),
        statements.enrol(origin=origin + "x", number=number, device=a, algorithm=ed, public_key=key),
        statements.enrol(origin=origin, number=number + "1", device=a, algorithm=ed, public_key=key),
        statements.enrol(origin=origin, number=number, device=a, algorithm=KeyAlgorithm.ES256, public_key=key),
        statements.enrol(origin=origin, number=number, device=a, algorithm=ed, public_key=key + b"\0"),
    ]
    for index, one in enumerate(made):
        assert not any(one.startswith(other) for other in made[:index] + made[index + 1 :] if len(other) <= len(one) and other != one)
    assert len(set(made)) == len(made)


def test_the_bytes_of_an_enrolment_are_these() -> None:
    made = statements.enrol(origin="a.b/log", number="+1", device=0x0102, algorithm=KeyAlgorithm.ED25519, public_key=b"\xaa\xbb")
    assert made.hex() == (
        b"counterfoil/enrol/v1".hex() + "0007" + b"a.b/log".hex() + "0002" + "2b31" + "00" * 14 + "0102" + "0007" + b"ed25519".hex() + "0002aabb"
    )  # fmt: skip


async def test_every_refused_change_leaves_the_devices_as_they_were(scheme: Scheme) -> None:
    phone = scheme.phone()
    holder = await scheme.customer(phone)
    before = await scheme.parties.devices.of(holder.party)
    new = scheme.phone()
    statement = new.add_statement(holder.party)
    attempts = [
        scheme.parties.devices.add(new.new_key(statement), by_device=phone.id, signature=bytes(64)),
        scheme.parties.devices.rotate(new.new_key(statement), by_device=phone.id, signature=bytes(64)),
        scheme.parties.devices.revoke(phone.id, by_device=phone.id, signature=bytes(64)),
        scheme.parties.recoveries.cancel(1, by_device=phone.id, signature=bytes(64)),
    ]
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        assert isinstance(outcome, Refused), outcome
    assert await scheme.parties.devices.of(holder.party) == before
