"""How much was paid on the word of a PIN, day by day: counted from what opens the log's entries.

A PIN is told to us whenever it is used, so this is the class of payments that an operator could forge (see
docs/explanation/trust.md); so everybody is told how large it is. These sums are the operator's own word: the entries say it of
each payment to its two sides, and of all to an auditor, who can add them up. A payment to a shop that the shop's own device has countersigned is the word of two.

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
from counterfoil.parties.statements import read_countersign
from counterfoil.payments.fees import Service
from counterfoil.payments.openings import KeptEntry, Openings
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.views import SERVICE_CODES, AuditView, KeyView
from counterfoil.tlog.entry import EntryType

DAYS: Final = 7
"""Days that are shown, today included."""
LOOK_INTERVAL_S: Final = 10
PAGE_SIZE: Final = 500
PAGES_MAX: Final = 10
"""Pages of one look: some 100 ms beside the event loop. What remains is counted by the next looks."""


class PinDay(msgspec.Struct, frozen=True):
    """Payments and holds by PIN on one day of the scheme's time zone. `start` in ns, amounts in minor units.

    Attributes:
        amount: of all, with the payers' fees.
        purchases, purchased: of those, the ones done at once to a shop, and their sum without fees.
        countersigned: how many of the purchases a device of the shop has countersigned so far.
    """

    start: int
    count: int = 0
    amount: int = 0
    purchases: int = 0
    purchased: int = 0
    countersigned: int = 0


class PinDays:
    """`openings`: the publisher's file. `origin`: the scheme's. `zone`: whose days."""

    def __init__(self, openings: Path, *, origin: str, zone: ZoneInfo, clock: Clock) -> None:
        self._path = openings
        self._origin = origin
        self._zone = zone
        self._clock = clock
        self._lock = asyncio.Lock()
        self._next: int | None = None
        self._days: dict[int, PinDay] = {}
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
            return tuple(self._days.get(start) or PinDay(start) for start in self._starts())

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
                page = openings.by_pin(self._next, size, PAGE_SIZE)
                for entry in page:
                    self._count(entry)
                self._next = page[-1].index + 1 if len(page) == PAGE_SIZE else max(size, self._next)
                if len(page) < PAGE_SIZE:
                    break
        self._days = {start: day for start, day in self._days.items() if start >= first}
        return self._next >= size

    def _count(self, entry: KeptEntry) -> None:
        if entry.type is EntryType.KEY:
            said = read_countersign(KeyView.decode(entry.audit).statement, origin=self._origin)
            self._add(said.completed_at, countersigned=1)
            return
        view = AuditView.decode(entry.audit)
        leg = view.legs[view.principal]
        self._add(view.time, count=1, amount=sum(each.amount for each in view.legs if each.debit == leg.debit))
        if view.kind == OrderKind.PAY and view.service == SERVICE_CODES[Service.PURCHASE]:
            self._add(view.time, purchases=1, purchased=leg.amount)

    def _add(self, time: int, **numbers: int) -> None:
        """Adds to the day that `time` (ns) lies in."""
        start = period_of(time, self._zone).day_start
        day = self._days.get(start) or PinDay(start)
        self._days[start] = msgspec.structs.replace(day, **{name: getattr(day, name) + number for name, number in numbers.items()})
