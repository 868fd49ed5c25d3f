"""Pure: the order of one day's lines in which each stated balance follows from the one before.

Old systems export the lines of a day in any order. A line with amount `a` and stated balance `b` leads from balance
b - a to balance b, so an order that fits is a walk that uses every line once. Without rounding that is an Euler trail;
with rounding each step may miss by the tolerance, and we look for the walk with the fewest roundings, then the smallest.

Three attempts, cheapest first:

1. the order of the file, when it fits exactly;
2. an exact Euler trail (Hierholzer): any number of lines, linear time. An exact order is always preferred;
3. a search over (lines used, balance), layer by layer, that keeps the cheapest way to each state. It is exhaustive, so
   "no order fits" is then a proof, as long as it meets at most STATES_MAX states. Real days meet a handful. Beyond the
   bound, an Euler trail over balances grouped by the tolerance is tried: it finds an order for most large days, but not
   always the one with the fewest roundings.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from counterfoil.institutions.book.types import Line

STATES_MAX = 20_000
"""States that the search of one day may meet: some tens of milliseconds."""

ENDINGS_MAX = 16
"""Different closing balances of one day that are carried to the next day, cheapest first."""


class Cost(NamedTuple):
    """What an order costs; fewer roundings first, then smaller ones (sum of their sizes, minor units)."""

    roundings: int
    rounded: int


FREE = Cost(0, 0)


class Ending(NamedTuple):
    """A closing balance of the day, and the cheapest order found that leads to it (indexes into the day's lines)."""

    balance: int
    cost: Cost
    order: tuple[int, ...]


class Orders(NamedTuple):
    """What the search found.

    Attributes:
        endings: cheapest first; empty when no order fits.
        complete: false when the search stopped at its bound, so that an empty answer is no proof.
        furthest: when no order fits, the longest beginning of an order that does.
    """

    endings: tuple[Ending, ...]
    complete: bool = True
    furthest: tuple[int, ...] = ()


class Doubt(NamedTuple):
    """A line of the day that is not taken at its word: used to find out which line was altered.

    `line` is its index; with `amount` in doubt it may follow any balance, else its stated balance is in doubt and the
    balance after it is the one computed.
    """

    line: int
    amount: bool


def find_orders(day: Sequence[Line], start: int, tolerance: int, doubt: Doubt | None = None) -> Orders:
    """The orders of `day` that fit from balance `start`, each step within `tolerance` minor units."""
    if doubt is None:
        if len(day) == 1:
            difference = abs(start + day[0].amount - day[0].balance)
            if difference > tolerance:
                return Orders(())
            return Orders((Ending(day[0].balance, Cost(1, difference) if difference else FREE, (0,)),))
        if _follows(day, start):
            return Orders((Ending(day[-1].balance, FREE, tuple(range(len(day)))),))
        trail = _euler_trail([(line.balance - line.amount, line.balance) for line in day], start)
        if trail is not None:
            return Orders((Ending(day[trail[-1]].balance, FREE, trail),))
    orders = _search(day, start, tolerance, doubt)
    if orders.complete or doubt is not None:
        return orders
    grouped = _grouped_trail(day, start, tolerance)
    return orders if grouped is None else Orders((grouped,), complete=False)


def _follows(day: Sequence[Line], start: int) -> bool:
    """Whether the order of the file fits exactly."""
    balance = start
    for line in day:
        if balance + line.amount != line.balance:
            return False
        balance = line.balance
    return True


def _search(day: Sequence[Line], start: int, tolerance: int, doubt: Doubt | None) -> Orders:
    """Every order, by dynamic programming over (lines used, balance). One layer per line."""
    doubted = doubt.line if doubt is not None else -1
    openings = sorted((line.balance - line.amount, index) for index, line in enumerate(day))
    values = [opening for opening, _ in openings]
    # state -> (cost, previous state, line taken); the first found wins a tie, so the result is the same on every machine
    layer: dict[tuple[int, int], tuple[Cost, tuple[int, int] | None, int]] = {(0, start): (FREE, None, -1)}
    layers = [layer]
    states = 1
    for _ in day:
        following: dict[tuple[int, int], tuple[Cost, tuple[int, int] | None, int]] = {}
        for state, (cost, _, _) in layer.items():
            used, balance = state
            candidates = [i for _, i in openings[bisect_left(values, balance - tolerance) : bisect_right(values, balance + tolerance)]]
            candidates.sort()  # the order of the file is tried first
            if doubted >= 0 and doubted not in candidates:
                candidates.append(doubted)
            twins = set()
            for index in candidates:
                line = day[index]
                twin = (line.amount, line.balance)
                if used >> index & 1 or (twin in twins and index != doubted):
                    continue  # of lines that say the same, the first unused stands for all: otherwise 20 of them are 2^20 states
                if index != doubted:
                    twins.add(twin)
                following_balance, difference = line.balance, abs(balance + line.amount - line.balance)
                if index == doubted:
                    difference = 0
                    if doubt is not None and not doubt.amount:
                        following_balance = balance + line.amount
                reached = Cost(cost.roundings + (difference > 0), cost.rounded + difference)
                key = (used | 1 << index, following_balance)
                known = following.get(key)
                if known is None or reached < known[0]:
                    following[key] = (reached, state, index)
        states += len(following)
        if not following or states > STATES_MAX:
            best = min(layer, key=lambda key: layer[key][0])
            return Orders((), complete=not following, furthest=_way(layers, best))
        layers.append(following)
        layer = following
    endings = sorted((cost, balance) for (_, balance), (cost, _, _) in layer.items())[:ENDINGS_MAX]
    everything = (1 << len(day)) - 1
    return Orders(tuple(Ending(balance, cost, _way(layers, (everything, balance))) for cost, balance in endings))


def _way(
    layers: Sequence[dict[tuple[int, int], tuple[Cost, tuple[int, int] | None, int]]], state: tuple[int, int] | None
) -> tuple[int, ...]:
    """The lines taken on the cheapest way to `state`."""
    order: list[int] = []
    depth = state[0].bit_count() if state is not None else 0
    while state is not None and depth > 0:
        _, previous, index = layers[depth][state]
        order.append(index)
        state, depth = previous, depth - 1
    order.reverse()
    return tuple(order)


def _euler_trail(edges: Sequence[tuple[int, int]], start: int) -> tuple[int, ...] | None:
    """The indexes of all edges as one trail from `start`, or None. Hierholzer's algorithm, without recursion."""
    leaving: dict[int, list[int]] = {}
    surplus: dict[int, int] = {}
    for index in range(len(edges) - 1, -1, -1):  # backwards, so that pop() takes the first line of the file
        opening, closing = edges[index]
        leaving.setdefault(opening, []).append(index)
        surplus[opening] = surplus.get(opening, 0) + 1
        surplus[closing] = surplus.get(closing, 0) - 1
    uneven = {node: value for node, value in surplus.items() if value}
    if uneven and (uneven.get(start) != 1 or sorted(uneven.values()) != [-1, 1]):
        return None
    stack: list[tuple[int, int]] = [(start, -1)]
    trail: list[int] = []
    while stack:
        node, index = stack[-1]
        edge_list = leaving.get(node)
        if edge_list:
            edge = edge_list.pop()
            stack.append((edges[edge][1], edge))
        else:
            stack.pop()
            if index >= 0:
                trail.append(index)
    if len(trail) != len(edges):
        return None  # the rest is not connected with the start
    trail.reverse()
    return tuple(trail)


def _grouped_trail(day: Sequence[Line], start: int, tolerance: int) -> Ending | None:
    """An Euler trail over groups of balances that lie within the tolerance of a neighbour, checked step by step."""
    values = sorted({start, *(line.balance for line in day), *(line.balance - line.amount for line in day)})
    group = {values[0]: 0}
    for before, value in pairwise(values):
        group[value] = group[before] + (value - before > tolerance)
    trail = _euler_trail([(group[line.balance - line.amount], group[line.balance]) for line in day], group[start])
    if trail is None:
        return None
    balance, cost = start, FREE
    for index in trail:
        difference = abs(balance + day[index].amount - day[index].balance)
        if difference > tolerance:
            return None  # a group can be wider than the tolerance
        cost = Cost(cost.roundings + (difference > 0), cost.rounded + difference)
        balance = day[index].balance
    return Ending(balance, cost, trail)


def out_of_date_order(moments: Sequence[int]) -> list[int]:
    """Indexes of the lines without which the moments rise: where a file that is in order of date goes back in time.

    Where two neighbours contradict each other and either could be the wrong one, both are named.
    """
    suspects: list[int] = []
    before, previous = -1, -1
    for index, moment in enumerate(moments):
        if previous < 0 or moment >= moments[previous]:
            before, previous = previous, index
            continue
        previous_is_high = before < 0 or moments[before] <= moment
        this_is_low = index + 1 == len(moments) or moments[index + 1] >= moments[previous]
        if previous_is_high:
            suspects.append(previous)
        if this_is_low or not previous_is_high:
            suspects.append(index)
        if previous_is_high and not this_is_low:
            previous = index
    return suspects
