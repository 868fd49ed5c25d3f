"""What happened to a party, and what people are told of it: rows written in the transaction of the change itself."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, insert, select

from counterfoil.clock import Clock
from counterfoil.ids import new_id
from counterfoil.parties.tables import devices, events, notices, parties
from counterfoil.parties.types import DeviceState

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


def send_sms(connection: Connection, clock: Clock, number: str, kind: str, *, party: int | None = None, **values: str | int) -> None:
    """Puts an SMS for `number` (E.164) into the outbox."""
    _put(connection, clock, channel="sms", number=number, device=None, party=party, kind=kind, values=values)


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
