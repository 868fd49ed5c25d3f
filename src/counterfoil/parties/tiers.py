"""The tiers that a new scheme begins with. What is in the table counts; it is published with the scheme rules."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.tables import tiers
from counterfoil.parties.types import Limits, PartyKind, Tier

_MAJOR = 100
"""Minor units of one major unit, as most currencies have."""


def _limits(per_payment: int, per_day: int, per_month: int, balance_max: int) -> Limits:
    """Limits given in major units."""
    return Limits(
        per_payment=per_payment * _MAJOR, per_day=per_day * _MAJOR, per_month=per_month * _MAJOR, balance_max=balance_max * _MAJOR
    )


TIERS = (
    Tier(name="number_only", kind=PartyKind.CUSTOMER, limits=_limits(100, 200, 1_000, 500)),
    Tier(name="identity_seen", kind=PartyKind.CUSTOMER, limits=_limits(1_000, 2_000, 10_000, 5_000)),
    Tier(name="identity_verified", kind=PartyKind.CUSTOMER, limits=_limits(10_000, 20_000, 100_000, 100_000)),
    Tier(name="merchant", kind=PartyKind.MERCHANT, limits=_limits(50_000, 200_000, 2_000_000, 5_000_000)),
    Tier(name="agent", kind=PartyKind.AGENT, limits=_limits(10_000, 100_000, 1_000_000, 1_000_000)),
    Tier(name="institution", kind=PartyKind.INSTITUTION, limits=Limits()),
)
"""For a currency with two decimal places."""

DEFAULT_TIER = {
    PartyKind.CUSTOMER: "number_only",
    PartyKind.MERCHANT: "merchant",
    PartyKind.AGENT: "agent",
    PartyKind.INSTITUTION: "institution",
}


def scaled(tier: Tier, digits: int) -> Tier:
    """A default tier for a currency with `digits` decimal places."""
    amounts = {
        name: amount if amount == AMOUNT_MAX else amount * 10**digits // _MAJOR
        for name in Limits.__struct_fields__
        for amount in [getattr(tier.limits, name)]
    }
    return Tier(name=tier.name, kind=tier.kind, limits=Limits(**amounts))


def add_missing(connection: Connection, digits: int) -> int:
    """Adds the default tiers that are not there; returns how many. Those that are there stay as they are."""
    present = set(connection.execute(select(tiers.c.name)).scalars())
    missing = [scaled(tier, digits) for tier in TIERS if tier.name not in present]
    for tier in missing:
        connection.execute(insert(tiers), {"name": tier.name, "kind": tier.kind} | values_of(tier.limits))
    return len(missing)


def all_tiers(connection: Connection) -> list[Tier]:
    """All tiers, by kind and rising limits."""
    rows = connection.execute(select(tiers).order_by(tiers.c.kind, tiers.c.per_payment, tiers.c.name))
    return [
        Tier(name=row.name, kind=PartyKind(row.kind), limits=Limits(**{name: getattr(row, name) for name in Limits.__struct_fields__}))
        for row in rows
    ]


def values_of(limits: Limits) -> dict[str, int]:
    """The columns of a tier's limits."""
    return {name: getattr(limits, name) for name in Limits.__struct_fields__}
