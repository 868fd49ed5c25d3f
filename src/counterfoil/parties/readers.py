"""Who is to be written to, and where they read it: in an app, which is a device that may sign, or else by text on their number."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, exists, select

from counterfoil.parties.tables import accounts, devices, parties
from counterfoil.parties.types import DeviceState, PartyKind, PartyState

_HAS_APP = exists().where(devices.c.party == parties.c.id, devices.c.state == DeviceState.ACTIVE)
_ACCOUNT = select(accounts.c.id).where(accounts.c.party == parties.c.id).order_by(accounts.c.id).limit(1).scalar_subquery()
_COLUMNS: dict[str, ColumnElement[str]] = {"kind": parties.c.kind, "tier": parties.c.tier, "language": parties.c.language}
GROUPS = tuple(_COLUMNS)
"""By what people can be chosen."""


def readers(at_ns: int, *, by: str = "", value: str = "", among: Select[Any] | None = None) -> Subquery:
    """Everybody with an account that was open at `at_ns` and is, as id, language, number, account and has_app.

    `by` one of GROUPS: only those with that `value`. `among`: only the parties that it selects.
    """
    query = select(parties.c.id, parties.c.language, parties.c.number, _ACCOUNT.label("account"), _HAS_APP.label("has_app")).where(
        parties.c.state == PartyState.OPEN, parties.c.kind != PartyKind.STAFF, parties.c.created_at <= at_ns
    )
    if by:
        query = query.where(_COLUMNS[by] == value)
    if among is not None:
        query = query.where(parties.c.id.in_(among))
    return query.subquery()


def texted(connection: Connection, people: Collection[int]) -> dict[int, str]:
    """Of these parties those who read by text, with their numbers: open, with a number, without an app."""
    query = select(parties.c.id, parties.c.number).where(
        parties.c.id.in_(set(people)), parties.c.state == PartyState.OPEN, parties.c.number.is_not(None), ~_HAS_APP
    )
    return {row.id: row.number for row in connection.execute(query)}


def party_of(connection: Connection, account: int) -> int:
    """Whose account it is; the caller knows that it is somebody's."""
    return int(connection.execute(select(accounts.c.party).where(accounts.c.id == account)).scalar_one())
