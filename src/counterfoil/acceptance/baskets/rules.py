"""How a basket is parted, and which of its parts a refund goes back to. Pure: whole minor units."""

from __future__ import annotations

from collections.abc import Sequence

from counterfoil.acceptance.tax import left_of, spread
from counterfoil.acceptance.types import Back, Line
from counterfoil.errors import AboveOriginal, Malformed


def amounts_of(said: Sequence[int], left: int) -> list[int]:
    """The amounts of new parts: as `said`; each 0 is an even share of what `left` has besides, the last ones get the odd units.

    Malformed where they exceed what is left, or a share would be nothing.
    """
    assert said, "no part"
    rest, shares = left - sum(said), said.count(0)
    if rest < 0:
        raise Malformed("parts", f"must not exceed what is left, {left}")
    if shares and rest < shares:
        raise Malformed("parts", f"must be at least 1 each of what is left, {left}")
    even = iter(spread([1] * shares, rest if shares else 0))
    return [amount or next(even) for amount in said]


def legs_of(amount: int, left: Sequence[int]) -> list[int]:
    """What goes back to each of the parts, of which so much is `left`: in their order, and never more than is left of one."""
    if amount > sum(left):
        raise AboveOriginal(f"{sum(left)} are left", left=sum(left))
    legs = []
    for each in left:
        legs.append(min(each, amount))
        amount -= legs[-1]
    return legs


class Course:
    """What happened to a basket's lines so far: parts paid, and given back, in the order of the ledger."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self._unpaid = [line.price * line.quantity for line in lines]
        self.paid = [0] * len(lines)
        self.back = 0
        self.named: list[Back] = []

    def pay(self, amount: int) -> list[int]:
        """A part was paid: what of each line it paid for. All parts of a basket together pay for exactly its lines."""
        shares = spread(self._unpaid, amount)
        self._unpaid = [each - share for each, share in zip(self._unpaid, shares, strict=True)]
        self.paid = [each + share for each, share in zip(self.paid, shares, strict=True)]
        return shares

    @property
    def is_paid(self) -> bool:
        return not any(self._unpaid)

    def left(self) -> list[int]:
        """What is left of each line, of what was paid. As `left_of`, for what was paid in parts."""
        return left_of(self.lines, sum(self.paid), self.back, self.named, taken=self.paid)
