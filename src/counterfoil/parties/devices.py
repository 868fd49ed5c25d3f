"""Keys over time: a further device, a new key for an old one, a lost one; and recovery when all are lost.

A new key needs an older key's signature, or a recovery: a code by SMS and the PIN (or staff who have seen the person),
then a delay in which every device and number is told, little can be spent, and any device that is still there can say no.
A SIM swap alone is never enough. Source: docs/explanation/trust.md "Admission rules" 2.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import AlreadyTaken, Forbidden, NotFound, NotInThisState, PartyClosed, TooMany, UnknownDevice, WrongSignature
from counterfoil.ids import new_id
from counterfoil.parties import statements
from counterfoil.parties.codes import use
from counterfoil.parties.context import Context, NewKey, check_reason, find_party, get_party
from counterfoil.parties.directory import device_of, recovery_of
from counterfoil.parties.enrolment import insert_device
from counterfoil.parties.journal import record, tell_everywhere
from counterfoil.parties.keys import verify
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.staff import require
from counterfoil.parties.tables import devices, parties, recoveries
from counterfoil.parties.types import Device, DeviceState, PartyKind, PartyState, Permission, Recovery, RecoveryState

DEVICES_MAX = 10
"""Devices of one party that may sign at the same time."""
DUE_MAX = 500
"""Recoveries that take effect in one transaction."""


class Devices:
    """Adds, replaces and revokes keys."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def of(self, party: int) -> list[Device]:
        """The party's devices, revoked ones too, oldest first."""
        query = select(devices).where(devices.c.party == party).order_by(devices.c.created_at, devices.c.id)
        return await self._context.store.read(lambda connection: [device_of(row) for row in connection.execute(query)])

    async def add(self, key: NewKey, *, by_device: int, signature: bytes) -> Device:
        """Enrols a further device: the new key and one that the party has both sign `statements.add_device`.

        A repeat answers the same device. Refusals in this order: UnknownDevice, WrongSignature, Malformed, AlreadyTaken, TooMany.
        """
        return await self._bind(key, by_device=by_device, signature=signature, replace=False)

    async def rotate(self, key: NewKey, *, by_device: int, signature: bytes) -> Device:
        """As `add`, and the device that signed is revoked in the same moment."""
        return await self._bind(key, by_device=by_device, signature=signature, replace=True)

    async def _bind(self, key: NewKey, *, by_device: int, signature: bytes, replace: bool) -> Device:
        context = self._context
        signer = await context.directory.device(by_device)
        if signer is None:
            raise UnknownDevice
        statement = statements.add_device(
            origin=context.origin, party=signer.party, device=key.device, algorithm=key.algorithm, public_key=key.public_key
        )
        if not verify(signer.algorithm, signer.public_key, statement, signature):
            raise WrongSignature
        key.check(statement)

        def write(connection: Connection) -> Device:
            now = context.clock.now_ns()
            known = _find(connection, key.device)
            if known is not None:
                if (known.party, known.public_key, known.state) != (signer.party, key.public_key, DeviceState.ACTIVE):
                    raise AlreadyTaken(field="device")
                return known
            check_active(connection, by_device)
            active = select(func.count()).where(devices.c.party == signer.party, devices.c.state == DeviceState.ACTIVE)
            if connection.execute(active).scalar_one() >= DEVICES_MAX + replace:
                raise TooMany(f"At most {DEVICES_MAX} devices at a time. Remove one first.")
            tell_everywhere(connection, context.clock, signer.party, "device_added", label=key.label)
            insert_device(
                connection, signer.party, key, statement,
                state=DeviceState.ACTIVE, now=now, bound_by=by_device, bound_signature=signature,
            )  # fmt: skip
            record(connection, context.clock, signer.party, "device_added", by=by_device, device=str(key.device))
            if replace:
                _revoke(connection, by_device, now)
                record(connection, context.clock, signer.party, "device_revoked", by=by_device, device=str(by_device))
            found = _find(connection, key.device)
            assert found is not None
            return found

        return await context.change(write, signer.party)

    async def revoke(self, device: int, *, by_device: int, signature: bytes) -> None:
        """Takes a device away for good; any device of the party signs `statements.revoke_device`, the device itself too.

        Signing with it ends at once. A repeat changes nothing. Refusals in this order: UnknownDevice, WrongSignature.
        """
        context = self._context
        signer = await context.directory.device(by_device)
        target = await context.directory.device(device)
        if signer is None or target is None or signer.party != target.party:
            raise UnknownDevice
        statement = statements.revoke_device(origin=context.origin, party=signer.party, device=device)
        if not verify(signer.algorithm, signer.public_key, statement, signature):
            raise WrongSignature

        def write(connection: Connection) -> None:
            current = _find(connection, device)
            assert current is not None
            if current.state is DeviceState.REVOKED:
                return
            check_active(connection, by_device)
            tell_everywhere(connection, context.clock, signer.party, "device_revoked", label=target.label)
            _revoke(connection, device, context.clock.now_ns())
            record(connection, context.clock, signer.party, "device_revoked", by=by_device, device=str(device))

        await context.change(write, signer.party)

    async def revoke_by_staff(self, device: int, *, reason: str, by: int) -> None:
        """Takes a device away that its owner has reported as lost. A repeat changes nothing."""
        context, reason = self._context, check_reason(reason)
        target = await context.directory.device(device)
        if target is None:
            raise NotFound("there is no such device")

        def write(connection: Connection) -> None:
            require(connection, by, Permission.RECOVER)
            current = _find(connection, device)
            assert current is not None
            if current.state is not DeviceState.REVOKED:
                tell_everywhere(connection, context.clock, target.party, "device_revoked", label=target.label)
                _revoke(connection, device, context.clock.now_ns())
                record(connection, context.clock, target.party, "device_revoked", by=by, device=str(device), reason=reason)

        await context.change(write, target.party)


class Recoveries:
    """A new key for somebody whose devices are all gone."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def begin(self, *, number: str, code: str, pin: str, key: NewKey) -> Recovery:
        """Begins a recovery on the proof of a code (purpose "recover") and the PIN; `key.possession` signs `statements.recover`.

        A repeat by the same device answers the same recovery. Refusals in this order: Malformed, WrongSignature, WrongCode,
        PinLocked, WrongPin, NotInThisState (another one waits), AlreadyTaken.
        """
        context = self._context
        number = parse_number(number, context.region)
        statement = self._statement(number, key)
        key.check(statement)
        party = await context.store.read(lambda connection: find_party(connection, parties.c.number == number))
        if party is not None and (same := await self._same(party.id, key)):
            return same
        code_id = await context.codes.check(number, "recover", code)
        await context.pins.check(None if party is None else party.id, pin, address=number)
        assert party is not None, "nobody's PIN is never right"
        return await self._begin(party.id, key, statement, by=None, code_id=code_id)

    async def begin_by_staff(self, party: int, key: NewKey, *, reason: str, by: int) -> Recovery:
        """Begins a recovery for somebody who stands at the counter; the delay is the same. The key signs with the party's number."""
        context, reason = self._context, check_reason(reason)
        await context.store.read(lambda connection: require(connection, by, Permission.RECOVER))
        found = await context.party(party)
        statement = self._statement(found.number or "", key)
        key.check(statement)
        if same := await self._same(party, key):
            return same
        return await self._begin(party, key, statement, by=by, code_id=None, reason=reason)

    async def cancel(self, recovery: int, *, by_device: int, signature: bytes) -> None:
        """Ends a recovery that its owner did not ask for: any device that the party still has signs `statements.cancel_recovery`.

        A repeat changes nothing. Refusals: UnknownDevice, NotFound, WrongSignature, NotInThisState (it has taken effect).
        """
        context = self._context
        signer = await context.directory.device(by_device)
        if signer is None or signer.state is not DeviceState.ACTIVE:
            raise UnknownDevice
        statement = statements.cancel_recovery(origin=context.origin, party=signer.party, recovery=recovery)
        if not verify(signer.algorithm, signer.public_key, statement, signature):
            raise WrongSignature
        await self._cancel(recovery, signer.party, by=by_device)

    async def cancel_by_staff(self, recovery: int, *, reason: str, by: int) -> None:
        """Ends a recovery on the word of somebody at the counter. A repeat changes nothing."""
        context, reason = self._context, check_reason(reason)
        await context.store.read(lambda connection: require(connection, by, Permission.RECOVER))
        party = await context.store.read(
            lambda connection: connection.execute(select(recoveries.c.party).where(recoveries.c.id == recovery)).scalar_one_or_none()
        )
        if party is None:
            raise NotFound("there is no such recovery")
        await self._cancel(recovery, party, by=by, reason=reason)

    async def complete_due(self) -> int:
        """Lets recoveries whose delay is over take effect: the new key signs, all older ones no more. Returns how many."""
        context = self._context
        now = context.clock.now_ns()
        query = select(recoveries).where(recoveries.c.state == RecoveryState.WAITING, recoveries.c.effective_at <= now)
        query = query.order_by(recoveries.c.effective_at).limit(DUE_MAX)
        due = await context.store.read(lambda connection: [recovery_of(row) for row in connection.execute(query)])

        def write(connection: Connection) -> int:
            return sum(self._complete(connection, recovery, now) for recovery in due)

        return await context.change(write, *(recovery.party for recovery in due)) if due else 0

    def _complete(self, connection: Connection, recovery: Recovery, now: int) -> bool:
        ended = {"state": RecoveryState.DONE, "ended_at": now}
        still = update(recoveries).where(recoveries.c.id == recovery.id, recoveries.c.state == RecoveryState.WAITING)
        if connection.execute(still.values(ended)).rowcount == 0:
            return False  # cancelled in the last moment
        clock = self._context.clock
        tell_everywhere(connection, clock, recovery.party, "recovery_done")
        mine = (devices.c.party == recovery.party, devices.c.state == DeviceState.ACTIVE)
        connection.execute(update(devices).where(*mine).values(state=DeviceState.REVOKED, revoked_at=now))
        connection.execute(update(devices).where(devices.c.id == recovery.device).values(state=DeviceState.ACTIVE))
        record(connection, clock, recovery.party, "recovery_done", by=None, device=str(recovery.device))
        return True

    async def _begin(self, party: int, key: NewKey, statement: bytes, *, by: int | None, code_id: int | None, reason: str = "") -> Recovery:
        context = self._context
        recovery_id = new_id(context.clock)

        def write(connection: Connection) -> Recovery:
            now = context.clock.now_ns()
            found = get_party(connection, party)
            if found.state is not PartyState.OPEN:
                raise PartyClosed
            if found.kind is PartyKind.STAFF:
                raise Forbidden("Staff get a new key from another member of staff.")
            if connection.execute(_waiting(party)).first() is not None:
                raise NotInThisState("A recovery of this account is waiting already.")
            if code_id is not None:
                use(connection, code_id, now)
            insert_device(connection, party, key, statement, state=DeviceState.WAITING, now=now)
            effective_at = now + context.recovery_delay_s * NANOSECONDS
            row = {
                "id": recovery_id, "party": party, "device": key.device, "state": RecoveryState.WAITING, "by": by,
                "created_at": now, "effective_at": effective_at,
            }  # fmt: skip
            connection.execute(insert(recoveries), row)
            tell_everywhere(connection, context.clock, party, "recovery_started", recovery=str(recovery_id), effective_at=effective_at)
            record(connection, context.clock, party, "recovery_started", by=by, device=str(key.device), reason=reason)
            return Recovery(
                id=recovery_id, party=party, device=key.device, state=RecoveryState.WAITING, created_at=now, effective_at=effective_at
            )

        return await context.change(write, party)

    async def _cancel(self, recovery: int, party: int, *, by: int, reason: str = "") -> None:
        context = self._context

        def write(connection: Connection) -> None:
            row = connection.execute(select(recoveries).where(recoveries.c.id == recovery, recoveries.c.party == party)).one_or_none()
            if row is None:
                raise NotFound("there is no such recovery")
            if row.state == RecoveryState.CANCELLED:
                return
            if row.state != RecoveryState.WAITING:
                raise NotInThisState
            now = context.clock.now_ns()
            connection.execute(update(recoveries).where(recoveries.c.id == recovery).values(state=RecoveryState.CANCELLED, ended_at=now))
            _revoke(connection, row.device, now)
            record(connection, context.clock, party, "recovery_cancelled", by=by, reason=reason)
            tell_everywhere(connection, context.clock, party, "recovery_cancelled")

        await context.change(write, party)

    def _statement(self, number: str, key: NewKey) -> bytes:
        return statements.recover(
            origin=self._context.origin, number=number, device=key.device, algorithm=key.algorithm, public_key=key.public_key
        )

    async def _same(self, party: int, key: NewKey) -> Recovery | None:
        """The recovery that waits for exactly this key: a repeat."""
        waiting = await self._context.store.read(lambda connection: connection.execute(_waiting(party)).one_or_none())
        known = await self._context.directory.device(key.device)
        if waiting is None or known is None or waiting.device != key.device or known.public_key != key.public_key:
            return None
        return recovery_of(waiting)


def _waiting(party: int) -> Select[Any]:
    return select(recoveries).where(recoveries.c.party == party, recoveries.c.state == RecoveryState.WAITING)


def _find(connection: Connection, device: int) -> Device | None:
    row = connection.execute(select(devices).where(devices.c.id == device)).one_or_none()
    return None if row is None else device_of(row)


def check_active(connection: Connection, device: int) -> None:
    """What was remembered may be old: who signs must be active in the transaction itself. Raises UnknownDevice."""
    found = _find(connection, device)
    if found is None or found.state is not DeviceState.ACTIVE:
        raise UnknownDevice


def _revoke(connection: Connection, device: int, now: int) -> None:
    connection.execute(update(devices).where(devices.c.id == device).values(state=DeviceState.REVOKED, revoked_at=now))
