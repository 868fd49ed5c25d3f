"""Stays, the tries to settle them, and how it stands with one, as values. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from counterfoil.acceptance.parking import marks
from counterfoil.acceptance.parking.cover import covered_until
from counterfoil.acceptance.parking.tariff import Tariff, fee
from counterfoil.acceptance.types import Sale, SaleState, Standing
from counterfoil.clock import NANOSECONDS


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A car's stay; moments in ns, amounts in minor units.

    Attributes:
        id: the ticket; also the sale that sets `hold` aside, where that is not 0.
        plate: as it is compared; None for who came with a card or a ticket alone.
        passage: the one going out that ended it.
        unpaid: what was due when somebody was let out, for `reason`.
    """

    id: int
    car_park: int
    account: int
    till: int
    mark: str | None
    hold: int
    grace_minutes: int
    tariff: Tariff
    entered_at: int
    lost: bool
    left_at: int | None
    passage: int | None
    unpaid: int
    reason: str

    @property
    def plate(self) -> str | None:
        return marks.plate_of(self.mark)


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A try to settle a stay, as it was reckoned `at` (ns): "sale" asks for `amount`, "hold" sets it aside, "capture" takes it of `sale`."""

    id: int
    kind: str
    amount: int
    at: int
    sale: int


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a stay, in minor units.

    Attributes:
        at: the moment (ns) that the fee is for: now, or when it was paid for whoever has paid and may still leave.
        settled: what was taken of the hold, and paid.
        due: what has to be paid before it may leave; what is held counts as paid.
        leave_by: until when (ns) whoever has paid may leave for that; None where time goes on.
        covered_until: the first moment (ns) at which something will be due; None where something is, or no end is in sight.
        entry: the sale that sets money aside at the entry; None where none does.
        holds: it and the further ones that set money aside, in the order in which they are taken of.
        asked: the sale that asks for what is due; None before there is one.
    """

    stay: Stay
    at: int
    fee: int
    settled: int
    due: int
    leave_by: int | None
    covered_until: int | None
    entry: tuple[Sale, Standing] | None
    holds: Sequence[tuple[Sale, Standing]]
    asked: tuple[Charge, Sale, Standing] | None
    paid: Sequence[tuple[Sale, Standing]]
    charges: Sequence[Charge]

    @property
    def held(self) -> int:
        return sum(sale.amount for sale, _ in self.standing)

    @property
    def standing(self) -> list[tuple[Sale, Standing]]:
        """What is set aside now."""
        return [each for each in self.holds if each[1].state is SaleState.HELD]

    @property
    def wanted(self) -> Sale | None:
        """The sale that waits for somebody who sets money aside; None where none does."""
        return next((sale for sale, standing in self.holds if standing.state is SaleState.OPEN), None)

    @property
    def payer(self) -> int | None:
        """Whose account set money aside last, or else paid last; None where nobody has."""
        asked = [each[1] for each in self.paid]
        last = max((standing for _, standing in self.standing), key=_paid_at, default=max(asked, key=_paid_at, default=None))
        return None if last is None or last.payment is None else last.payment.payer


def fee_of(stay: Stay, at: int) -> int:
    """Minor units for a stay until `at` (ns)."""
    price = fee(stay.tariff, stay.entered_at, at)
    return max(price, stay.tariff.lost_ticket) if stay.lost else price


def cover_of(parked: Parked, at: int) -> int | None:
    stay, leave_by = parked.stay, parked.leave_by
    held = [(sale.amount, until) for sale, standing in parked.standing if (until := expires_at(standing)) is not None]
    since = max(at, leave_by or at)
    return covered_until(lambda moment: fee_of(stay, moment), entered_at=stay.entered_at, start=since, settled=parked.settled, held=held)


def expires_at(standing: Standing) -> int | None:
    """When (ns) what is set aside goes back by itself."""
    if standing.payment is None or standing.paid_at is None:
        return None
    return standing.paid_at + standing.payment.timeout_s * NANOSECONDS


def _paid_at(standing: Standing) -> int:
    return standing.paid_at or 0


def grace(stay: Stay) -> int:
    return stay.grace_minutes * 60 * NANOSECONDS
