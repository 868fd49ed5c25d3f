"""Pure: one account of a book, replayed from nothing to its last stated balance, or refused with its first difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from counterfoil.institutions.book.difference import first_difference
from counterfoil.institutions.book.replay import lines_of, replay, split_days
from counterfoil.institutions.book.types import Difference, Line


class Reconciled(NamedTuple):
    """An account that fits.

    Attributes:
        lines: in the order found.
        rounding_entries: lines whose stated balance needs a rounding entry.
        rounding_net: sum of those entries, minor units; positive is in the customer's favour.
        closing: the last stated balance.
        lowest: the lowest stated balance; below zero the account was overdrawn.
    """

    lines: list[Line]
    rounding_entries: int
    rounding_net: int
    closing: int
    lowest: int


def reconcile(account: str, lines: Sequence[Line], tolerance: int) -> Reconciled | Difference:
    """The account's lines in an order in which every stated balance follows within `tolerance` minor units; else why not.

    An account opens with a balance of zero: a book that begins later has a line for the opening balance. The tolerance is
    per line, between a stated balance and the stated balance before it plus the amount, so rounding never accumulates.
    """
    assert tolerance >= 0, tolerance
    assert lines, account
    days = split_days(lines)
    found = replay(days, 0, tolerance)
    if found.days < len(days):
        return first_difference(account, days, found, tolerance)
    ordered = lines_of(found.ways[0])
    differences = [rounding for _, rounding in roundings(ordered)]
    closing = ordered[-1].balance
    assert len(ordered) == len(lines), (len(ordered), len(lines))
    assert all(abs(difference) <= tolerance for difference in differences), account
    assert sum(line.amount for line in lines) + sum(differences) == closing, account
    return Reconciled(ordered, sum(map(bool, differences)), sum(differences), closing, min(line.balance for line in ordered))


def roundings(ordered: Sequence[Line]) -> list[tuple[Line, int]]:
    """Each line with what the old system's rounding added to (positive) or took from (negative) the account, minor units."""
    pairs = []
    balance = 0
    for line in ordered:
        pairs.append((line, line.balance - balance - line.amount))
        balance = line.balance
    return pairs
