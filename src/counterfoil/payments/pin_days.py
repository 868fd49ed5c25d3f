"""How much was paid on the word of a PIN, day by day: counted from what opens the log's entries.

A PIN is told to us whenever it is used, so this is the class of payments that an operator could forge (see
docs/explanation/trust.md); so everybody is told how large it is. These sums are the operator's own word: the entries say it of
each payment to its two sides, and of all to an auditor, who can add them up.

Nothing is kept, and nothing is counted while nobody asks: what was counted is remembered, and each look goes on from there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Unavailable
from counterfoil.parties.periods import period_of
from counterfoil.payments.openings import Openings
from counterfoil.payments.types import AuthorisationClass
from counterfoil.payments.views import AuditView

DAYS: Final = 7
"""Days that are shown, today included."""
LOOK_INTERVAL_S: Final = 10
PAGE_SIZE: Final = 500
PAGES_MAX: Final = 10
"""Pages of one look: some 100 ms beside the event loop. What remains is counted by the next looks."""


class PinDay(msgspec.Struct, frozen=True):
    """Payments and holds by PIN on one day of the scheme's time zone. `amount`: minor units, with the payers' fees. `start` in ns."""

    start: int
    count: int
    amount: int


class PinDays:
    """`openings`: the publisher's file. `zone`: whose days."""

    def __init__(self, openings: Path, *, zone: ZoneInfo, clock: Clock) -> None:
        self._path = openings
        self._zone = zone
        self._clock = clock
        self._lock = asyncio.Lock()
        self._next: int | None = None
        self._days: dict[int, list[int]] = {}
        self._looked_at: int | None = None
        self._complete = False

    async def last(self, size: int) -> tuple[PinDay, ...] | None:
        """The last days, oldest first, of the log's entries below `size`, at most LOOK_INTERVAL_S old.

        None where there is no log, and while it is still being counted: ask again. Raises Unavailable.
        """
        async with self._lock:
            now = self._clock.monotonic_ns()
            if self._looked_at is None or not self._complete or now - self._looked_at >= LOOK_INTERVAL_S * NANOSECONDS:
                self._complete = await asyncio.to_thread(self._look, size)
                self._looked_at = now
            if not self._complete:
                return None
            return tuple(PinDay(start, *self._days.get(start, (0, 0))) for start in self._starts())

    def _starts(self) -> list[int]:
        """When each of the last days began, oldest first."""
        starts, moment = [], self._clock.now_ns()
        for _ in range(DAYS):
            starts.append(period_of(moment, self._zone).day_start)
            moment = starts[-1] - 1
        return starts[::-1]

    def _look(self, size: int) -> bool:
        """Counts some entries more; whether those below `size` are all counted."""
        if not self._path.exists():
            return False
        first = self._starts()[0]
        with Openings.reading(self._path) as openings:
            if size > openings.size:
                raise Unavailable(f"the log has {size} entries, and only {openings.size} can be opened")
            if self._next is None:
                self._next = openings.first_since(first)
            for _ in range(PAGES_MAX):
                page = openings.debits(AuthorisationClass.PIN, self._next, size, PAGE_SIZE)
                for entry in page:
                    self._count(AuditView.decode(entry.audit))
                self._next = page[-1].index + 1 if len(page) == PAGE_SIZE else max(size, self._next)
                if len(page) < PAGE_SIZE:
                    break
        self._days = {start: sums for start, sums in self._days.items() if start >= first}
        return self._next >= size

    def _count(self, entry: AuditView) -> None:
        payer = entry.legs[entry.principal].debit
        day = self._days.setdefault(period_of(entry.time, self._zone).day_start, [0, 0])
        day[0] += 1
        day[1] += sum(leg.amount for leg in entry.legs if leg.debit == payer)
