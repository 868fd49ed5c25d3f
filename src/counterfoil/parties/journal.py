"""What happened to a party, and what people are told of it: rows written in the transaction of the change itself."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import Connection, func, insert, select

from counterfoil.clock import Clock
from counterfoil.ids import new_id
from counterfoil.parties.tables import devices, events, notices, parties, watchers
from counterfoil.parties.types import DeviceState, PartyState

WATCHED: Final = frozenset(
    {
        "pin_set", "pin_allowed", "own_limits_set", "frozen", "unfrozen", "number_changed", "number_released", "device_added",
        "device_revoked", "recovery_started", "recovery_done", "recovery_cancelled", "sim_changed", "sim_change_lifted", "closed",
    }
)  # fmt: skip
"""What happens to a party that those who watch over it are told, each as the kind `watched_...`."""
WATCHING: Final = "watching"
"""`watchers.WatcherState.WATCHING`."""

_RECORD = insert(events).values(number=select(func.coalesce(func.max(events.c.number), 0) + 1).scalar_subquery())
"""The next number is one more than the last: there is one writer, so the numbers are in the order of commits."""


def record(connection: Connection, clock: Clock, party: int, kind: str, *, by: int | None, **facts: str | int | bool | None) -> None:
    """Writes down what was done to `party`, and by whom (a party or a device; None is the scheme itself). No secrets in `facts`."""
    connection.execute(
        _RECORD,
        {
            "id": new_id(clock),
            "party": party,
            "kind": kind,
            "by": by,
            "facts": msgspec.json.encode(facts).decode(),
            "at": clock.now_ns(),
        },
    )
    if kind in WATCHED:
        tell_watchers(connection, clock, party, f"watched_{kind}")


def send_sms(connection: Connection, clock: Clock, number: str, kind: str, *, party: int | None = None, **values: str | int) -> None:
    """Puts an SMS for `number` (E.164) into the outbox."""
    _put(connection, clock, channel="sms", number=number, device=None, party=party, kind=kind, values=values)


def tell_watchers(connection: Connection, clock: Clock, party: int, kind: str) -> None:
    """Tells whoever watches over `party` now, by its name, that `kind` happened to it."""
    chosen = (watchers.c.party == party, watchers.c.state == WATCHING, watchers.c.until.is_(None) | (watchers.c.until > clock.now_ns()))
    query = select(watchers.c.watcher, parties.c.name).join(parties, parties.c.id == watchers.c.party).where(*chosen)
    for row in connection.execute(query).all():
        tell_nearest(connection, clock, row.watcher, kind, name=row.name)


def tell_nearest(connection: Connection, clock: Clock, party: int, kind: str, **values: str | int) -> None:
    """Tells a party that reads by app on its devices and in its journal, so that open apps hear it; any other by SMS on its number."""
    found = connection.execute(select(parties.c.number, parties.c.state).where(parties.c.id == party)).one()
    if found.state == PartyState.CLOSED:
        return
    mine = select(devices.c.id).where(devices.c.party == party, devices.c.state == DeviceState.ACTIVE)
    for device in (active := connection.execute(mine).scalars().all()):
        _put(connection, clock, channel="push", number=None, device=device, party=party, kind=kind, values=values)
    if active:
        record(connection, clock, party, kind, by=None, **values)
    elif found.number is not None:
        send_sms(connection, clock, found.number, kind, party=party, **values)


def tell_everywhere(connection: Connection, clock: Clock, party: int, kind: str, **values: str | int) -> int:
    """Tells a party on its number and on every device that may sign for it; returns how many notices that were."""
    number = connection.execute(select(parties.c.number).where(parties.c.id == party)).scalar_one()
    mine = select(devices.c.id).where(devices.c.party == party, devices.c.state == DeviceState.ACTIVE)
    told = 0
    if number is not None:
        send_sms(connection, clock, number, kind, party=party, **values)
        told += 1
    for device in connection.execute(mine).scalars().all():
        _put(connection, clock, channel="push", number=None, device=device, party=party, kind=kind, values=values)
        told += 1
    return told


def _put(
    connection: Connection,
    clock: Clock,
    *,
    channel: str,
    number: str | None,
    device: int | None,
    party: int | None,
    kind: str,
    values: dict[str, str | int],
) -> None:
    connection.execute(
        insert(notices),
        {
            "id": new_id(clock),
            "party": party,
            "channel": channel,
            "number": number,
            "device": device,
            "kind": kind,
            "body": msgspec.json.encode(values).decode(),
            "created_at": clock.now_ns(),
        },
    )
