"""Who stands behind an account, an address or a device: a bounded cache in front of the store.

    on the hot path   found(...) answers from memory, without waiting
    on a miss         load(...) reads the store and remembers
    on a change       change(...) writes, and forgets the party whatever becomes of the caller

There is one process for each store, so forgetting here is forgetting everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, Row, bindparam, select

from counterfoil.errors import Malformed, PartyNotFound
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.limits import lower
from counterfoil.parties.numbers import parse_address
from counterfoil.parties.tables import accounts, devices, events, freezes, own_limits, parties, recoveries, tiers
from counterfoil.parties.types import (
    Device,
    DeviceState,
    Freeze,
    Holder,
    KeyAlgorithm,
    Limits,
    PartyKind,
    PartyState,
    Recovery,
    RecoveryState,
)
from counterfoil.store.database import Store

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

HOLDERS_MAX = 20_000
"""Accounts, and devices, kept in memory; about 1 kB each."""


class Directory:
    """Holders and devices by what people and requests call them. `region`: the country of numbers without country code."""

    def __init__(self, store: Store, *, region: str, holders_max: int = HOLDERS_MAX) -> None:
        self.store = store
        self.region = region
        self._holders: _Cache[int, Holder] = _Cache(holders_max)
        self._devices: _Cache[int, Device] = _Cache(holders_max)
        self._addresses: _Cache[str, int] = _Cache(holders_max)
        self._generation = 0
        self._changes: set[asyncio.Task[Any]] = set()

    def found_holder(self, account: int) -> Holder | None:
        """The holder if remembered: no waiting, no I/O."""
        return self._holders.values.get(account)

    def found_device(self, device: int) -> Device | None:
        """The device if remembered: no waiting, no I/O."""
        return self._devices.values.get(device)

    async def holder(self, account: int) -> Holder | None:
        """The holder of `account`, or None."""
        if holder := self._holders.values.get(account):
            return holder
        generation = self._generation
        holder = await self.store.read(lambda connection: _load_holder(connection, account))
        if holder is not None and generation == self._generation:  # nothing was changed since we looked
            self._holders.put(holder.party, account, holder)
        return holder

    async def device(self, device_id: int) -> Device | None:
        """The device, in whatever state, or None."""
        if device := self._devices.values.get(device_id):
            return device
        generation = self._generation
        device = await self.store.read(lambda connection: _load_device(connection, device_id))
        if device is not None and generation == self._generation:
            self._devices.put(device.party, device_id, device)
        return device

    async def resolve(self, address: str) -> Holder | None:
        """Whom an address means: a phone number, `@handle` or merchant code. None when nobody; Malformed when it is none of them."""
        account = self._addresses.values.get(address)
        if account is None:
            kind, value = parse_address(address, self.region)
            generation = self._generation
            found = await self.store.read(lambda connection: _find_account(connection, kind, value))
            if found is None:
                return None
            account, party = found
            if generation == self._generation:
                self._addresses.put(party, address, account)
        return await self.holder(account)

    def spelled(self, address: str) -> str:
        """The one way in which an address is written, however somebody typed it; what is none, as it stands."""
        try:
            return " ".join(parse_address(address, self.region))
        except Malformed:
            return address

    async def party_at(self, address: str) -> int | None:
        """The id of the party behind an address, staff included; None when nobody, or when it is no address at all."""
        try:
            kind, value = parse_address(address, self.region)
        except Malformed:
            return None
        return await self.store.read(lambda connection: connection.execute(_PARTY_AT[kind], {"value": value}).scalar_one_or_none())

    async def holder_of_party(self, party: int) -> Holder:
        """The holder by party id. PartyNotFound when there is none, or for staff, who hold no account."""
        first = select(accounts.c.id).where(accounts.c.party == party).order_by(accounts.c.id).limit(1)
        account = await self.store.read(lambda connection: connection.execute(first).scalar_one_or_none())
        holder = None if account is None else await self.holder(account)
        if holder is None:
            raise PartyNotFound
        return holder

    async def change(self, fn: Callable[[Connection], T], *changed: int) -> T:
        """Writes with `fn` and forgets the parties `changed` (all of them when none is named), even if the caller goes away."""
        task = asyncio.create_task(self._change(fn, changed))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _change(self, fn: Callable[[Connection], T], changed: tuple[int, ...]) -> T:
        try:
            return await self.store.write(fn)
        finally:  # also when the outcome is not known
            self.forget(*changed)

    def forget(self, *changed: int) -> None:
        """Takes parties out of memory; all of them when none is named."""
        self._generation += 1
        for cache in (self._holders, self._devices, self._addresses):
            cache.forget(changed)


class _Cache(Generic[K, V]):
    """`values` by key, and for each party the keys that concern it. When full, the oldest entry goes."""

    __slots__ = ("values", "_keys", "_parties", "_size_max")

    def __init__(self, size_max: int) -> None:
        self.values: dict[K, V] = {}
        self._keys: dict[int, set[K]] = {}
        self._parties: dict[K, int] = {}
        self._size_max = size_max

    def put(self, party: int, key: K, value: V) -> None:
        if len(self.values) >= self._size_max and key not in self.values:
            self._drop(next(iter(self.values)))
        self.values[key] = value
        self._parties[key] = party
        self._keys.setdefault(party, set()).add(key)
        assert len(self.values) == len(self._parties) <= self._size_max, len(self.values)

    def forget(self, parties: tuple[int, ...]) -> None:
        if not parties:
            self.values.clear()
            self._keys.clear()
            self._parties.clear()
        for party in parties:
            for key in list(self._keys.get(party, ())):
                self._drop(key)

    def _drop(self, key: K) -> None:
        del self.values[key]
        party = self._parties.pop(key)
        keys = self._keys[party]
        keys.discard(key)
        if not keys:
            del self._keys[party]


def _load_holder(connection: Connection, account: int) -> Holder | None:
    row = connection.execute(_HOLDER.where(accounts.c.id == account)).one_or_none()
    if row is None:
        return None
    tier = Limits(per_payment=row.per_payment, per_day=row.per_day, per_month=row.per_month, balance_max=row.balance_max)
    own = Limits(
        per_payment=AMOUNT_MAX if row.own_per_payment is None else row.own_per_payment,
        per_day=AMOUNT_MAX if row.own_per_day is None else row.own_per_day,
        per_month=AMOUNT_MAX if row.own_per_month is None else row.own_per_month,
    )
    limits, names = lower(tier, own)
    frozen = connection.execute(
        select(freezes).where(
            freezes.c.party == row.party, freezes.c.lifted_at.is_(None), (freezes.c.account == account) | freezes.c.account.is_(None)
        )
    )
    waiting = connection.execute(
        select(recoveries).where(recoveries.c.party == row.party, recoveries.c.state == RecoveryState.WAITING)
    ).one_or_none()
    return Holder(
        account=account,
        party=row.party,
        kind=PartyKind(row.kind),
        state=PartyState(row.state),
        name=row.name,
        number=row.number,
        handle=row.handle,
        merchant_code=row.merchant_code,
        language=row.language,
        tier=row.tier,
        limits=limits,
        own=names,
        freezes=tuple(freeze_of(freeze) for freeze in frozen),
        recovery=None if waiting is None else recovery_of(waiting),
        pin_per_day=_pin_per_day(connection, row.party, account),
    )


def _pin_per_day(connection: Connection, party: int, account: int) -> int | None:
    """`Holder.pin_per_day`. A recovery ends what was allowed before it: who had the lost device may have said it."""
    active = select(devices.c.id).where(devices.c.party == party, devices.c.state == DeviceState.ACTIVE).limit(1)
    if connection.execute(active).first() is None:
        return None
    told = select(events.c.kind, events.c.facts).where(events.c.party == party, events.c.kind.in_(("pin_allowed", "recovery_done")))
    for kind, text in connection.execute(told.order_by(events.c.number.desc())):
        facts = msgspec.json.decode(text)
        if kind == "recovery_done":
            break
        if facts["account"] == str(account):
            return int(facts["per_day"])
    return 0


def _load_device(connection: Connection, device: int) -> Device | None:
    row = connection.execute(select(devices).where(devices.c.id == device)).one_or_none()
    return None if row is None else device_of(row)


def _find_account(connection: Connection, kind: str, value: str) -> tuple[int, int] | None:
    row = connection.execute(_ACCOUNT_AT[kind], {"value": value}).one_or_none()
    return None if row is None else (row.id, row.party)


def device_of(row: Row[Any]) -> Device:
    """A row of `devices` as a value."""
    return Device(
        id=row.id,
        party=row.party,
        algorithm=KeyAlgorithm(row.algorithm),
        public_key=bytes(row.public_key),
        label=row.label,
        state=DeviceState(row.state),
        created_at=row.created_at,
    )


def freeze_of(row: Row[Any]) -> Freeze:
    """A row of `freezes` as a value."""
    return Freeze(
        id=row.id,
        party=row.party,
        account=row.account,
        reason=row.reason,
        incoming=row.incoming,
        by=row.by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def recovery_of(row: Row[Any]) -> Recovery:
    """A row of `recoveries` as a value."""
    return Recovery(
        id=row.id,
        party=row.party,
        device=row.device,
        state=RecoveryState(row.state),
        created_at=row.created_at,
        effective_at=row.effective_at,
    )


_HOLDER = (
    select(
        accounts.c.party,
        parties.c.kind,
        parties.c.state,
        parties.c.name,
        parties.c.number,
        parties.c.handle,
        parties.c.merchant_code,
        parties.c.language,
        parties.c.tier,
        tiers.c.per_payment,
        tiers.c.per_day,
        tiers.c.per_month,
        tiers.c.balance_max,
        own_limits.c.per_payment.label("own_per_payment"),
        own_limits.c.per_day.label("own_per_day"),
        own_limits.c.per_month.label("own_per_month"),
    )
    .select_from(accounts)
    .join(parties, parties.c.id == accounts.c.party)
    .join(tiers, tiers.c.name == parties.c.tier)
    .outerjoin(own_limits, own_limits.c.party == parties.c.id)
)
_COLUMNS = {"handle": parties.c.handle, "merchant_code": parties.c.merchant_code, "number": parties.c.number}
_PARTY_AT = {kind: select(parties.c.id).where(column == bindparam("value")) for kind, column in _COLUMNS.items()}
_ACCOUNT_AT = {
    kind: select(accounts.c.id, accounts.c.party)
    .join(parties, parties.c.id == accounts.c.party)
    .where(column == bindparam("value"))
    .order_by(accounts.c.id)
    .limit(1)
    for kind, column in _COLUMNS.items()
}
