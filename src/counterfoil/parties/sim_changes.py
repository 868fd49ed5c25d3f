"""A number that changes hands: another SIM, or another person to whom the network has given a number that nobody used.

    told (a gateway, an operator's token, staff) ──> for `recovery_delay_s` PINs take no more than `recovery_spend_max` a day
                                                     all old channels are told: number, devices, watchers
    lifted early: a device that was there before, or two members of staff who have seen the holder

Whoever has the SIM has neither the PIN nor a device, so nothing opens by it: a code by SMS alone neither opens an account nor
sets a PIN, and for a key it needs the PIN and a delay. What this guards against is a PIN that was seen before the SIM was swapped.

A number that the network has given to somebody else still belongs to the account of before: who comes with it cannot enrol
(AlreadyTaken), and sees nothing of that account. Staff give the number free once the account was not used for IDLE_S; the account
and its money stay whose they are, reached by its devices, its handle, or at the counter.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed, NotFound, NotInThisState, UnknownDevice
from counterfoil.ids import ID_MAX, new_id
from counterfoil.ledger.types import AccountFilter, AccountFilterFlags
from counterfoil.parties.context import Context, check_reason, find_party, get_party
from counterfoil.parties.journal import record, tell_everywhere
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.staff import require
from counterfoil.parties.tables import accounts, devices, events, parties, pin_attempts, pins, sim_changes
from counterfoil.parties.types import DeviceState, Party, PartyKind, Permission, Proposal

IDLE_S: Final = 180 * 24 * 3600
"""Seconds without any use after which a number may be given free: networks keep a number back for 90 days or more."""
KIND: Final = "sim_change_lift"
"""The kind of proposal by which two members of staff end it early."""
SOURCE: Final = re.compile(r"[a-z0-9_.:-]+( [a-z0-9_.:-]+)?", re.ASCII)
SAME_S: Final = 24 * 3600
"""Seconds in which the same source may tell the same change again without prolonging anything."""


class SimChange(msgspec.Struct, frozen=True, kw_only=True):
    """That a party's number has another SIM. PINs are held back until `until` (ns); `source`: who told us."""

    id: int
    party: int
    source: str
    at: int
    until: int


class LiftPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What two members of staff agree on: PINs take as much as before from the accounts of `party` (an id in hex)."""

    party: str


class SimChanges:
    """What changes of SIM do. `spend_max`: minor units a day that PINs may take while one stands."""

    def __init__(self, context: Context, *, spend_max: int) -> None:
        self.spend_max = spend_max
        self._context = context

    async def tell(self, number: str, *, source: str, reason: str, by: int | None = None) -> SimChange | None:
        """The SIM of `number` was changed. None, and nothing happens, when nobody has it: never to be told to who asks.

        `source` such as "gateway kannel" or "operator"; `by`: whose token it was. The number, the devices and the watchers are told.
        A repeat by the same source within a day answers the same. Raises Malformed.
        """
        context, reason = self._context, check_reason(reason)
        number = parse_number(number, context.region)
        if len(source) > 48 or not SOURCE.fullmatch(source):
            raise Malformed("source", "must be a kind and a name, in small letters")
        party = await context.store.read(lambda connection: find_party(connection, parties.c.number == number))
        if party is None or party.kind is PartyKind.STAFF:
            return None

        def write(connection: Connection) -> SimChange | None:
            now = context.clock.now_ns()
            if get_party(connection, party.id).number != number:
                return None
            known = _newest(connection, party.id, now)
            if known is not None and known.source == source and known.at > now - SAME_S * NANOSECONDS:
                return known
            until = now + context.recovery_delay_s * NANOSECONDS
            row = {
                "id": new_id(context.clock), "party": party.id, "source": source, "by": by, "reason": reason, "at": now, "until": until,
                "lifted_at": None, "lifted_by": None,
            }  # fmt: skip
            connection.execute(insert(sim_changes), row)
            record(connection, context.clock, party.id, "sim_changed", by=by, source=source, reason=reason)
            tell_everywhere(connection, context.clock, party.id, "sim_changed", until=until)
            return _newest(connection, party.id, now)

        return await context.store.write(write)

    async def tell_by_staff(self, number: str, *, reason: str, by: int) -> SimChange:
        """As `tell`, on the word of somebody who calls or stands at the counter (permission recover). NotFound when nobody has the number."""
        await self._context.store.read(lambda connection: require(connection, by, Permission.RECOVER))
        found = await self.tell(number, source="staff", reason=reason, by=by)
        if found is None:
            raise NotFound("nobody has this number")
        return found

    async def standing(self, party: int) -> SimChange | None:
        """The change of SIM that holds the party's PINs back now, the one that lasts longest; or None."""
        now = self._context.clock.now_ns()
        return await self._context.store.read(lambda connection: _newest(connection, party, now))

    async def lift(self, party: int, *, device: int) -> None:
        """Ends it early on the word of a device that could sign before the change; the caller has checked its signature.

        A repeat changes nothing. UnknownDevice when the device is the party's no more, or came after the change.
        """

        def write(connection: Connection) -> None:
            now = self._context.clock.now_ns()
            row = connection.execute(select(devices).where(devices.c.id == device, devices.c.party == party)).one_or_none()
            if row is None or row.state != DeviceState.ACTIVE:
                raise UnknownDevice
            first = select(func.min(sim_changes.c.at)).where(*_standing(party, now))
            at = connection.execute(first).scalar_one()
            if at is None:
                return
            if row.created_at >= at:
                raise UnknownDevice("This device came after the change. Another device has to say so, or the staff.")
            self._lift(connection, party, now, by=device)

        await self._context.store.write(write)

    async def check_lift(self, kind: str, payload: bytes) -> None:
        """For `approvals.Kind.check`: Malformed, or NotInThisState when nothing is held back."""
        if await self.standing(_party_in(payload)) is None:
            raise NotInThisState("No change of SIM stands.")

    async def lift_by_staff(self, proposal: Proposal) -> None:
        """For `approvals.Kind.execute`: ends it early when one has proposed who saw the holder, and another has approved."""
        party = _party_in(proposal.payload)

        def write(connection: Connection) -> None:
            now = self._context.clock.now_ns()
            if _newest(connection, party, now) is not None:
                self._lift(connection, party, now, by=proposal.decided_by)

        await self._context.store.write(write)

    async def release_number(self, party: int, *, reason: str, by: int) -> Party:
        """Takes the number away from an account that was not used for IDLE_S, so that whoever has it now can enrol.

        Permission close_party. The devices, the watchers and the journal are told, not the number: it is another person's. A repeat changes
        nothing. Refusals: Forbidden, PartyNotFound, NotInThisState (it was used, or there would be no way left to the account).
        """
        context, reason = self._context, check_reason(reason)
        await context.store.read(lambda connection: require(connection, by, Permission.CLOSE_PARTY))
        debited = 0
        for account in await context.store.read(
            lambda connection: list(connection.execute(select(accounts.c.id).where(accounts.c.party == party)).scalars())
        ):
            flags = AccountFilterFlags.DEBITS | AccountFilterFlags.REVERSED
            last = await context.ledger.get_account_transfers(AccountFilter(account_id=account, limit=1, flags=flags))
            debited = max([debited, *(transfer.timestamp for transfer in last)])

        def write(connection: Connection) -> Party:
            found = get_party(connection, party)
            if found.number is None:
                return found
            used = max(debited, _used(connection, found))
            if used > context.clock.now_ns() - IDLE_S * NANOSECONDS:
                raise NotInThisState("This account was used within the last 180 days.", used_at=used)
            number, moved = found.number, update(parties).where(parties.c.id == party).values(number=None)
            connection.execute(moved)
            tell_everywhere(connection, context.clock, party, "number_released")
            record(connection, context.clock, party, "number_released", by=by, reason=reason, number=number)
            return get_party(connection, party)

        return await context.change(write, party)

    def _lift(self, connection: Connection, party: int, now: int, *, by: int | None) -> None:
        connection.execute(update(sim_changes).where(*_standing(party, now)).values(lifted_at=now, lifted_by=by))
        record(connection, self._context.clock, party, "sim_change_lifted", by=by)
        tell_everywhere(connection, self._context.clock, party, "sim_change_lifted")


def _standing(party: int | BindParameter[int], now: int | BindParameter[int]) -> tuple[ColumnElement[bool], ...]:
    return sim_changes.c.party == party, sim_changes.c.until > now, sim_changes.c.lifted_at.is_(None)


_NEWEST = select(sim_changes).where(*_standing(bindparam("of"), bindparam("now"))).order_by(sim_changes.c.until.desc()).limit(1)


def _newest(connection: Connection, party: int, now: int) -> SimChange | None:
    row: Row[tuple[object, ...]] | None = connection.execute(_NEWEST, {"of": party, "now": now}).one_or_none()
    return None if row is None else SimChange(id=row.id, party=row.party, source=row.source, at=row.at, until=row.until)


def _used(connection: Connection, party: Party) -> int:
    """When (ns) the party itself last did something to its account, its opening included."""
    own = select(devices.c.id).where(devices.c.party == party.id)
    did = select(func.max(events.c.at)).where(events.c.party == party.id, (events.c.by == party.id) | events.c.by.in_(own))
    pin = select(func.max(pins.c.set_at)).where(pins.c.party == party.id)
    right = select(func.max(pin_attempts.c.last_at)).where(pin_attempts.c.subject == party.id, pin_attempts.c.wrong_count == 0)
    return max(party.created_at, *(connection.execute(query).scalar() or 0 for query in (did, pin, right)))


def _party_in(payload: bytes) -> int:
    try:
        party = int(msgspec.json.decode(payload, type=LiftPayload).party.replace("-", ""), 16)
    except (msgspec.DecodeError, ValueError) as error:
        raise Malformed("payload", "must name a party") from error
    if not 0 < party <= ID_MAX:
        raise Malformed("payload", "must name a party")
    return party
