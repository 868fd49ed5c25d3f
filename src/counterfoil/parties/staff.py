"""What members of staff do about parties, each with a permission and a reason, each written down."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Forbidden, IdReused, Malformed, NotFound, NotInThisState, Unavailable
from counterfoil.ids import ID_MAX
from counterfoil.parties.context import Context, check_reason, find_party, get_party
from counterfoil.parties.directory import freeze_of
from counterfoil.parties.journal import record, tell_everywhere
from counterfoil.parties.tables import accounts, devices, freezes, own_limits, parties, recoveries, staff_roles, tiers
from counterfoil.parties.tiers import all_tiers
from counterfoil.parties.types import (
    ROLE_PERMISSIONS,
    DeviceState,
    Freeze,
    Limits,
    Party,
    PartyKind,
    PartyState,
    Permission,
    RecoveryState,
    StaffRole,
    Tier,
)

FREEZE_LIFETIME_S_MAX = 366 * 24 * 3600
"""Seconds that a freeze may last before somebody has to decide anew, unless it has no end at all."""


def require(connection: Connection, staff: int, permission: Permission) -> None:
    """Forbidden unless `staff` is an open member of staff with a role that has `permission`."""
    party = find_party(connection, parties.c.id == staff)
    if party is None or party.kind is not PartyKind.STAFF or party.state is not PartyState.OPEN:
        raise Forbidden("You are not a member of staff.", permission=permission)
    if not any(permission in ROLE_PERMISSIONS[role] for role in roles_of(connection, staff)):
        raise Forbidden("Your role does not allow this.", permission=permission)


def roles_of(connection: Connection, staff: int) -> frozenset[StaffRole]:
    """The roles that a member of staff has now."""
    rows = connection.execute(select(staff_roles.c.role).where(staff_roles.c.party == staff))
    return frozenset(StaffRole(role) for role in rows.scalars())


class Staff:
    """Freezes, tiers, roles and closing. Every method refuses (Forbidden) whoever has not the permission."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def roles(self, staff: int) -> frozenset[StaffRole]:
        return await self._context.store.read(lambda connection: roles_of(connection, staff))

    async def require(self, staff: int, permission: Permission) -> None:
        """Returns when `staff` has `permission`; Forbidden otherwise."""
        await self._context.store.read(lambda connection: require(connection, staff, permission))

    async def give_role(self, staff: int, role: StaffRole, *, by: int) -> None:
        """Gives a role. Nobody gives one to themselves. A repeat changes nothing."""

        def write(connection: Connection) -> None:
            self._check_role_change(connection, staff, by)
            if role not in roles_of(connection, staff):
                connection.execute(insert(staff_roles), {"party": staff, "role": role})
                record(connection, self._context.clock, staff, "role_given", by=by, role=role)

        await self._context.change(write, staff)

    async def take_role(self, staff: int, role: StaffRole, *, by: int) -> None:
        """Takes a role away. A repeat changes nothing."""

        def write(connection: Connection) -> None:
            self._check_role_change(connection, staff, by)
            removed = connection.execute(delete(staff_roles).where(staff_roles.c.party == staff, staff_roles.c.role == role))
            if removed.rowcount:
                record(connection, self._context.clock, staff, "role_taken", by=by, role=role)

        await self._context.change(write, staff)

    @staticmethod
    def _check_role_change(connection: Connection, staff: int, by: int) -> None:
        require(connection, by, Permission.MANAGE_STAFF)
        if staff == by:
            raise Forbidden("Nobody changes their own roles.")
        if get_party(connection, staff).kind is not PartyKind.STAFF:
            raise Malformed("party", "must be a member of staff")

    async def freeze(
        self,
        freeze_id: int,
        party: int,
        *,
        reason: str,
        by: int,
        lifetime_s: int | None = None,
        account: int | None = None,
        incoming: bool = False,
    ) -> Freeze:
        """Stops a party's accounts, or one of them, from the next payment on. `freeze_id` is the caller's; a repeat answers the same.

        `lifetime_s`: seconds until it ends by itself, None until somebody lifts it. `incoming`: nothing comes in, either.
        A party may freeze itself (by its own id: a lost phone), others need the permission. The party is told.
        """
        reason, now = check_reason(reason), self._context.clock.now_ns()
        if not 0 < freeze_id <= ID_MAX:
            raise Malformed("id", "must be an id")
        if lifetime_s is not None and not 0 < lifetime_s <= FREEZE_LIFETIME_S_MAX:
            raise Malformed("lifetime_s", f"must be 1 to {FREEZE_LIFETIME_S_MAX}")

        def write(connection: Connection) -> Freeze:
            if by != party:
                require(connection, by, Permission.FREEZE)
            get_party(connection, party)
            if account is not None and _owner(connection, account) != party:
                raise Malformed("account", "must be an account of the party")
            known = connection.execute(select(freezes).where(freezes.c.id == freeze_id)).one_or_none()
            if known is not None:
                if (known.party, known.reason, known.account) != (party, reason, account):
                    raise IdReused
                return freeze_of(known)
            freeze = Freeze(
                id=freeze_id, party=party, account=account, reason=reason, incoming=incoming, by=by,
                created_at=now, expires_at=None if lifetime_s is None else now + lifetime_s * NANOSECONDS,
            )  # fmt: skip
            connection.execute(insert(freezes), {name: getattr(freeze, name) for name in Freeze.__struct_fields__})
            record(connection, self._context.clock, party, "frozen", by=by, reason=reason, freeze=str(freeze_id))
            tell_everywhere(connection, self._context.clock, party, "frozen", reason=reason)
            return freeze

        return await self._context.change(write, party)

    async def unfreeze(self, freeze_id: int, *, reason: str, by: int) -> None:
        """Lifts a freeze. A party lifts only its own; whoever calls has checked its PIN. A repeat changes nothing."""
        reason, now = check_reason(reason), self._context.clock.now_ns()
        party = await self._context.store.read(lambda connection: _frozen_party(connection, freeze_id))

        def write(connection: Connection) -> None:
            freeze = connection.execute(select(freezes).where(freezes.c.id == freeze_id)).one()
            if freeze.by != by or by != party:
                require(connection, by, Permission.FREEZE)
            if freeze.lifted_at is not None:
                return
            lifted = {"lifted_at": now, "lifted_by": by, "lifted_reason": reason}
            connection.execute(update(freezes).where(freezes.c.id == freeze_id).values(lifted))
            record(connection, self._context.clock, party, "unfrozen", by=by, reason=reason, freeze=str(freeze_id))
            tell_everywhere(connection, self._context.clock, party, "unfrozen")

        await self._context.change(write, party)

    async def change_tier(self, party: int, tier: str, *, reason: str, by: int) -> None:
        """Moves a party to another tier of its kind, from the next payment on."""
        reason = check_reason(reason)

        def write(connection: Connection) -> None:
            require(connection, by, Permission.CHANGE_TIER)
            found = get_party(connection, party)
            if connection.execute(select(tiers.c.name).where(tiers.c.name == tier, tiers.c.kind == found.kind)).first() is None:
                raise Malformed("tier", f"must be a tier for {found.kind}s")
            connection.execute(update(parties).where(parties.c.id == party).values(tier=tier))
            record(connection, self._context.clock, party, "tier_changed", by=by, reason=reason, before=found.tier, after=tier)

        await self._context.change(write, party)

    async def tiers(self) -> list[Tier]:
        """All tiers, by kind and rising limits."""

        return await self._context.store.read(all_tiers)

    async def set_own_limits(self, party: int, limits: Limits) -> None:
        """The holder's own limits below the tier's (`balance_max` is not theirs to set). The caller has asked for the PIN."""

        def write(connection: Connection) -> None:
            get_party(connection, party)
            values = {name: getattr(limits, name) for name in ("per_payment", "per_day", "per_month")}
            if connection.execute(update(own_limits).where(own_limits.c.party == party).values(values)).rowcount == 0:
                connection.execute(insert(own_limits), values | {"party": party})
            record(connection, self._context.clock, party, "own_limits_set", by=party, **values)

        await self._context.change(write, party)

    async def close(self, party: int, *, reason: str, by: int) -> Party:
        """Closes a party whose accounts are empty, for good; its number is free again, its handle and keys never are.

        The party closes itself, or staff do. NotInThisState while there is money in an account, or held. A repeat changes nothing.
        """
        reason = check_reason(reason)

        def write(connection: Connection) -> Party:
            if by != party:
                require(connection, by, Permission.CLOSE_PARTY)
            found = get_party(connection, party)
            if found.state is PartyState.CLOSED:
                return found
            self._check_empty(connection, party)  # a payment already on its way to this account can still arrive
            now = self._context.clock.now_ns()
            tell_everywhere(connection, self._context.clock, party, "closed")
            connection.execute(update(parties).where(parties.c.id == party).values(state=PartyState.CLOSED, number=None))
            gone = {"state": DeviceState.REVOKED, "revoked_at": now}
            connection.execute(update(devices).where(devices.c.party == party, devices.c.state != DeviceState.REVOKED).values(gone))
            ended = {"state": RecoveryState.CANCELLED, "ended_at": now}
            connection.execute(update(recoveries).where(recoveries.c.party == party, recoveries.c.state == "waiting").values(ended))
            record(connection, self._context.clock, party, "closed", by=by, reason=reason)
            return get_party(connection, party)

        return await self._context.change(write, party)

    def _check_empty(self, connection: Connection, party: int) -> None:
        for account in connection.execute(select(accounts.c.id).where(accounts.c.party == party)).scalars():
            now = self._context.ledger.account_now(account)
            if now is None:
                raise Unavailable("the ledger does not know this account yet")
            if now.credits_posted != now.debits_posted or now.credits_pending or now.debits_pending:
                raise NotInThisState("There is money in this account, or held for it.")


def _owner(connection: Connection, account: int) -> int | None:
    return connection.execute(select(accounts.c.party).where(accounts.c.id == account)).scalar_one_or_none()


def _frozen_party(connection: Connection, freeze: int) -> int:
    party: int | None = connection.execute(select(freezes.c.party).where(freezes.c.id == freeze)).scalar_one_or_none()
    if party is None:
        raise NotFound("there is no such freeze")
    return party
