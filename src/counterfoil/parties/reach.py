"""How channels reach a party: which of its devices may still sign, its number, and what waits to be pushed. Over a connection."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from counterfoil.parties.tables import devices, notices, parties
from counterfoil.parties.types import DeviceState


def active_devices(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of these devices that may sign now."""
    query = select(devices.c.id).where(devices.c.id.in_(ids), devices.c.state == DeviceState.ACTIVE)
    return set(connection.execute(query).scalars()) if ids else set()


def number_of(connection: Connection, party: int) -> str | None:
    """The party's phone number, None where it has none."""
    return connection.execute(select(parties.c.number).where(parties.c.id == party)).scalar()


def waiting_pushes(connection: Connection, limit: int) -> list[tuple[int, int]]:
    """The oldest notices for the channel "push" that nobody has taken over yet: (notice, device)."""
    query = select(notices.c.id, notices.c.device).where(notices.c.channel == "push", notices.c.delivered_at.is_(None))
    return [(row.id, row.device) for row in connection.execute(query.order_by(notices.c.created_at, notices.c.id).limit(limit))]
