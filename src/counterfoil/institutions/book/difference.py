"""Pure: in an account that does not fit, which line to look at.

The first day without a fitting order says that something is wrong, not where: an altered amount breaks the chain at its
own line, a line that was moved to another date breaks it where it is missing. So each line is doubted in turn, and the
doubt that lets most of the following days fit names the line. One alteration per account is found by this; with several,
the first day that fails is right, and the line within it is the best guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from counterfoil.institutions.book.order import Doubt, find_orders
from counterfoil.institutions.book.replay import Replay, replay
from counterfoil.institutions.book.types import Difference, Line, Reason, date_text

DAYS_AHEAD_MAX = 60
"""Following days that are replayed to judge a doubt."""

DOUBTED_LINES_MAX = 64
"""Lines of the failing day that are doubted in turn; on a longer day the first line that cannot be placed is named."""


class Suspicion(NamedTuple):
    """A line to look at; a greater `days` (following days that fit if it is wrong) is the stronger suspicion."""

    days: int
    line: Line
    before: int


def first_difference(account: str, days: Sequence[Sequence[Line]], found: Replay, tolerance: int) -> Difference:
    """The line to look at in the first day that does not fit, with the balance that it states and the one computed."""
    assert found.days < len(days), (found.days, len(days))
    day, start = days[found.days], found.ways[0].balance
    moved = _line_of_another_day(days, found.days, start, tolerance)
    if moved is not None:
        before = _balance_before(days, moved)
        detail = f"fits on {date_text(day[0].moment)}, not on its own date"
        return _difference(account, moved, before + moved.amount, Reason.DATE, detail)
    if not found.complete:
        # The search has already cost its bound; doubting each line would cost it many times over.
        line, before = _first_unplaced(day, start, tolerance)
        detail = f"no order of this day's {len(day)} lines was found within the search's bound"
        return _difference(account, line, before + line.amount, Reason.ORDER_NOT_FOUND, detail)
    suspicions = []
    if len(day) <= DOUBTED_LINES_MAX:
        ahead = days[found.days + 1 : found.days + 1 + DAYS_AHEAD_MAX]
        for index in range(len(day)):
            suspicions += _suspicions(day, index, start, ahead, tolerance)
    if suspicions:
        strongest = max(suspicions, key=lambda s: s.days)  # the first of equals: the order in which they were tried
        line, before = strongest.line, strongest.before
    else:
        line, before = _first_unplaced(day, start, tolerance)
    detail = "the stated balance does not follow from the balance before and the amount"
    return _difference(account, line, before + line.amount, Reason.BALANCE, detail)


def _difference(account: str, line: Line, computed: int, reason: Reason, detail: str) -> Difference:
    return Difference(
        account=account,
        line=line.number,
        date=date_text(line.moment),
        stated=line.balance,
        computed=computed,
        reason=reason,
        detail=detail,
    )


def _suspicions(day: Sequence[Line], index: int, start: int, ahead: Sequence[Sequence[Line]], tolerance: int) -> list[Suspicion]:
    """What follows if line `index` has a wrong amount, a wrong balance, or does not belong to this day."""
    suspicions = []
    line = day[index]
    for amount in (True, False):
        for ending in find_orders(day, start, tolerance, Doubt(index, amount=amount)).endings:
            place = ending.order.index(index)
            before = day[ending.order[place - 1]].balance if place else start
            suspicions.append(Suspicion(replay(ahead, ending.balance, tolerance).days, line, before))
    others = [other for other in day if other is not line]
    endings = [e.balance for e in find_orders(others, start, tolerance).endings] if others else [start]
    suspicions += [Suspicion(replay(ahead, balance, tolerance).days, line, balance) for balance in endings]
    return suspicions


def _line_of_another_day(days: Sequence[Sequence[Line]], failing: int, start: int, tolerance: int) -> Line | None:
    """The one line of another day that, put into the failing day, makes the account fit as far as its own day or further."""
    day = days[failing]
    openings = [start, *(line.balance for line in day)]
    for other in range(failing + 1, len(days)):
        for line in days[other]:
            opening = line.balance - line.amount
            if not any(abs(opening - balance) <= tolerance for balance in openings):
                continue
            rest = [list(d) for d in days[failing : other + 1 + DAYS_AHEAD_MAX]]
            rest[0].append(line)
            rest[other - failing].remove(line)
            rest = [d for d in rest if d]
            if replay(rest, start, tolerance).days == len(rest):
                return line
    return None


def _balance_before(days: Sequence[Sequence[Line]], line: Line) -> int:
    """The balance stated last before `line` in order of date and file."""
    before = 0
    for day in days:
        for other in day:
            if other is line:
                return before
            before = other.balance
    raise AssertionError(line)


def _first_unplaced(day: Sequence[Line], start: int, tolerance: int) -> tuple[Line, int]:
    """The first line of the file that the longest fitting beginning leaves over, and the balance where that stands."""
    furthest = find_orders(day, start, tolerance).furthest
    left = [line for index, line in enumerate(day) if index not in set(furthest)]
    return left[0], day[furthest[-1]].balance if furthest else start
