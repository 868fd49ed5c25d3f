"""Pure: an account's days one after another, each in an order that fits, with the fewest rounding entries.

A day can close with different balances when its lines fit in more than one order. All of them (at most
`order.ENDINGS_MAX`) are carried on, and the cheapest way through all days wins: a dynamic programme over the days, as
`order` is one over the lines of a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from counterfoil.institutions.book.order import ENDINGS_MAX, FREE, Cost, find_orders
from counterfoil.institutions.book.types import Line


class Way(NamedTuple):
    """A way through the days so far: the balance where it stands, what it cost, and the lines of its last day in order."""

    balance: int
    cost: Cost
    previous: Way | None
    lines: tuple[Line, ...]


class Replay(NamedTuple):
    """How far the days could be followed.

    Attributes:
        days: days that fit. All of them, or the day with this index does not.
        ways: the ways to the end of those days, cheapest first; never empty.
        complete: false when the search of the day that did not fit stopped at its bound.
    """

    days: int
    ways: tuple[Way, ...]
    complete: bool = True


def split_days(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines grouped by moment (a day, where the book has only dates), in time order; within a day as in the file."""
    ordered = sorted(lines, key=itemgetter(1, 0))
    return [list(day) for _, day in groupby(ordered, key=itemgetter(1))]


def replay(days: Sequence[Sequence[Line]], start: int, tolerance: int) -> Replay:
    """Follows the days from balance `start` until one does not fit."""
    ways: tuple[Way, ...] = (Way(start, FREE, None, ()),)
    for index, day in enumerate(days):
        reached: dict[int, Way] = {}
        complete = True
        for way in ways:
            orders = find_orders(day, way.balance, tolerance)
            complete = complete and orders.complete
            for ending in orders.endings:
                cost = Cost(way.cost.roundings + ending.cost.roundings, way.cost.rounded + ending.cost.rounded)
                known = reached.get(ending.balance)
                if known is None or cost < known.cost:
                    reached[ending.balance] = Way(ending.balance, cost, way, tuple([day[i] for i in ending.order]))
        if not reached:
            return Replay(index, ways, complete)
        ways = (
            tuple(reached.values())
            if len(reached) == 1
            else tuple(sorted(reached.values(), key=lambda w: (w.cost, w.balance))[:ENDINGS_MAX])
        )
    return Replay(len(days), ways)


def lines_of(way: Way) -> list[Line]:
    """All lines along a way, in the order found."""
    parts: list[tuple[Line, ...]] = []
    step: Way | None = way
    while step is not None:
        parts.append(step.lines)
        step = step.previous
    return [line for part in reversed(parts) for line in part]
