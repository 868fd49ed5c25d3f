"""The tax that is contained in what was sold. Pure: whole minor units in, whole minor units out.

Prices include tax. The tax of a sale is computed once for each rate, of the sum of its lines at this rate, and rounded half up
to the minor unit; the net amount is the rest, so that net and tax are the gross amount to the unit. What went back is taken
away from the sums first: the tax of what is left follows by the same rule, and what was given back whole leaves none.
A day is the sum of its sales, to the unit: nothing is rounded a second time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from counterfoil.acceptance.types import Back, Line

RATE_MAX: Final = 9_999
"""Hundredths of a percent: 1600 is 16 %."""
_WHOLE = 10_000


class Rated(msgspec.Struct, frozen=True):
    """The part of a sale at one `rate`, hundredths of a percent: `tax` is contained in `gross`, both in minor units."""

    rate: int
    gross: int
    tax: int

    @property
    def net(self) -> int:
        return self.gross - self.tax


class Shelved(msgspec.Struct, frozen=True):
    """The part of a sale of one department at one rate. "" for no department."""

    department: str
    rate: int
    gross: int
    tax: int


def tax_in(gross: int, rate: int) -> int:
    """The tax contained in `gross` minor units, rounded half up."""
    assert gross >= 0, gross
    assert 0 <= rate <= RATE_MAX, rate
    divisor = _WHOLE + rate
    return (2 * gross * rate + divisor) // (2 * divisor)


def by_rate(lines: Sequence[Line], amounts: Sequence[int]) -> list[Rated]:
    """What `amounts`, one for each line, come to at each rate, the highest first. Rates of which nothing is left are not listed."""
    sums: dict[int, int] = defaultdict(int)
    for line, amount in zip(lines, amounts, strict=True):
        sums[line.tax or 0] += amount
    return [Rated(rate, gross, tax_in(gross, rate)) for rate, gross in sorted(sums.items(), reverse=True) if gross]


def by_shelf(lines: Sequence[Line], amounts: Sequence[int]) -> list[Shelved]:
    """As `by_rate`, spread over the departments as they were rung up: each rate's tax is exactly that of `by_rate`."""
    shelves: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line, amount in zip(lines, amounts, strict=True):
        shelves[line.tax or 0][line.department or ""] += amount
    found = []
    for part in by_rate(lines, amounts):
        departments = shelves[part.rate]
        taxes = spread(list(departments.values()), part.tax)
        found += [Shelved(name, part.rate, gross, tax) for (name, gross), tax in zip(departments.items(), taxes, strict=True) if gross]
    return found


def left_of(lines: Sequence[Line], amount: int, back: int, named: Iterable[Back] = (), *, taken: Sequence[int] | None = None) -> list[int]:
    """What is left of each line of a sale of which `amount` was taken, and `back` of that was given back.

    `taken` says how much of each line was; without, `amount` is spread over them.

    What went back of `named` lines is taken off these, the rest is spread over what is left of all. Lines are named only where the
    whole sale was taken, and never more of them than was sold.
    """
    assert 0 <= back <= amount, (back, amount)
    left = shares(lines, amount) if taken is None else list(taken)
    for each in named:
        left[each.line] -= lines[each.line].price * each.quantity
    assert min(left) >= 0, left
    rest = back - (amount - sum(left))
    assert rest >= 0, (back, amount, left)
    return [part - less for part, less in zip(left, spread(left, rest), strict=True)]


def shares(lines: Sequence[Line], amount: int) -> list[int]:
    """`amount` spread over the lines as they were rung up; to the last minor unit, which the later lines get."""
    return spread([line.price * line.quantity for line in lines], amount)


def spread(weights: Sequence[int], amount: int) -> list[int]:
    """`amount` in parts that are to each other as `weights`, to the last unit. No part exceeds its weight unless `amount` exceeds all."""
    total = sum(weights)
    assert total or not amount, amount
    parts, reached, spent = [], 0, 0
    for weight in weights:
        reached += weight
        part = amount * reached // total - spent if total else 0
        parts.append(part)
        spent += part
    return parts
