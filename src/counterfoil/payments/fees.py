"""What a payment costs, by the published tariff. Pure.

A tariff is public, part of the scheme rules that every order names by hash, and shown before consent. An amount's fee is
flat + amount x rate, within a minimum and a maximum; a band may replace flat and rate for amounts up to its bound. The
rate is in basis points (1/100 of a percent). Fractions of a minor unit are dropped, to the advantage of whoever pays.
"""

from __future__ import annotations

import enum

import msgspec

from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX

RATE_BASIS_POINTS_MAX = 10_000


class Service(enum.StrEnum):
    """What the scheme does for people, as the tariff names it."""

    TRANSFER = "transfer"
    """From person to person."""
    PURCHASE = "purchase"
    """To a merchant, at once or by hold and capture."""
    CASH_IN = "cash_in"
    CASH_OUT = "cash_out"
    DISBURSEMENT = "disbursement"
    """To people from a merchant, an institution or an aid programme: wages, benefits, pay-outs."""
    REFUND = "refund"
    INTERNAL = "internal"
    """Between agents and institutions: float, settlement."""


class PaidBy(enum.StrEnum):
    PAYER = "payer"
    PAYEE = "payee"


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For amounts up to and including `up_to`: these numbers instead of the line's own."""

    up_to: int
    flat: int = 0
    rate_basis_points: int = 0


class FeeLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the tariff. Amounts in minor units.

    Attributes:
        service: what the line is for; at most one line a service. A service without a line is free.
        paid_by: the payer's fee comes on top of the amount, the payee's out of it.
        bands: ascending by `up_to`; the first that reaches the amount applies.
    """

    service: Service
    paid_by: PaidBy = PaidBy.PAYER
    flat: int = 0
    rate_basis_points: int = 0
    minimum: int = 0
    maximum: int = AMOUNT_MAX
    bands: tuple[Band, ...] = ()

    def __post_init__(self) -> None:
        terms: tuple[FeeLine | Band, ...] = (self, *self.bands)
        for band in terms:
            if not 0 <= band.flat <= AMOUNT_MAX:
                raise Malformed("tariff.flat", f"must be 0 to {AMOUNT_MAX}")
            if not 0 <= band.rate_basis_points <= RATE_BASIS_POINTS_MAX:
                raise Malformed("tariff.rate_basis_points", f"must be 0 to {RATE_BASIS_POINTS_MAX}")
        if not 0 <= self.minimum <= self.maximum <= AMOUNT_MAX:
            raise Malformed("tariff.minimum", f"must be 0 to the maximum, and that at most {AMOUNT_MAX}")
        if any(not 0 < band.up_to <= AMOUNT_MAX for band in self.bands):
            raise Malformed("tariff.bands.up_to", f"must be 1 to {AMOUNT_MAX}")
        if any(low.up_to >= high.up_to for low, high in zip(self.bands, self.bands[1:], strict=False)):
            raise Malformed("tariff.bands.up_to", "must rise from band to band")


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lines: tuple[FeeLine, ...] = ()

    def __post_init__(self) -> None:
        if len({line.service for line in self.lines}) != len(self.lines):
            raise Malformed("tariff.lines", "must have at most one line a service")


class Fee(msgspec.Struct, frozen=True, gc=False):
    amount: int
    paid_by: PaidBy


FREE = Fee(0, PaidBy.PAYER)


def fee(tariff: Tariff, service: Service, amount: int) -> Fee:
    """The fee for moving `amount` (minor units) under `tariff`. A payee's fee never exceeds the amount."""
    assert amount > 0, amount
    for line in tariff.lines:
        if line.service is service:
            terms: FeeLine | Band = next((band for band in line.bands if amount <= band.up_to), line)
            charge = terms.flat + drop_fraction(amount, terms.rate_basis_points)
            charge = min(max(charge, line.minimum), line.maximum)
            if line.paid_by is PaidBy.PAYEE:
                charge = min(charge, amount)
            return Fee(charge, line.paid_by) if charge else FREE
    return FREE


def drop_fraction(amount: int, rate_basis_points: int) -> int:
    """`amount` x rate, rounded down to a whole minor unit."""
    return amount * rate_basis_points // 10_000
