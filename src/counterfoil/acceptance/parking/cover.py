"""Until when a stay is covered by what was paid and what is set aside. Pure: whole numbers in, whole numbers out.

Cover ends at the first moment at which the fee is more than what was settled and what is still set aside then: because the fee
grows, or because something that was set aside goes back to whoever it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from counterfoil.acceptance.parking.tariff import DAY_MINUTES

MINUTE_NS: Final = 60 * 10**9
AHEAD_MINUTES_MAX: Final = 400 * DAY_MINUTES
"""How far it is looked ahead. A stay that is covered for longer has no end of its cover."""


def covered_until(fee: Callable[[int], int], *, entered_at: int, start: int, settled: int, held: Sequence[tuple[int, int]]) -> int | None:
    """The first moment (ns) from `start` on that is not covered; `start` itself where it is not, None where no end is in sight.

    `fee(at)` never falls, and changes only with whole minutes from `entered_at`; `held`: amounts, and when each goes back (ns).
    """
    standing = sorted((until, amount) for amount, until in held if until > start)
    at = start
    while True:
        paid = settled + sum(amount for _, amount in standing)
        if fee(at) > paid:
            return at
        grows = _first_above(fee, entered_at, at, paid)
        if not standing or (grows is not None and grows <= standing[0][0]):
            return grows
        at = standing[0][0]
        standing = [each for each in standing if each[0] > at]


def _first_above(fee: Callable[[int], int], entered_at: int, at: int, paid: int) -> int | None:
    """The first moment at which it costs more than was paid; at `at` it does not."""
    low = max(0, (at - entered_at) // MINUTE_NS)
    high = low + AHEAD_MINUTES_MAX
    if fee(entered_at + high * MINUTE_NS) <= paid:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if fee(entered_at + middle * MINUTE_NS) <= paid:
            low = middle
        else:
            high = middle
    return entered_at + high * MINUTE_NS
