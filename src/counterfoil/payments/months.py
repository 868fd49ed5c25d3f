"""A month of an account, added up: what there was, what came and went, and with whom. Pure but for `read`.

    opening + in - out = closing        of all entries, or it is a bug of ours

Months are the calendar months of the scheme's time zone. A month that is not over ends now.
"""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed, TooLarge
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import AccountBalance
from counterfoil.parties.periods import period_of
from counterfoil.payments.history import Entry, History

ENTRIES_MAX = 100_000
"""Entries of a month that are added up: some four seconds, a page at a time beside everything else."""
COUNTERPARTIES_TOLD_MAX = 20
COUNTERPARTIES_MAX = 20_000
"""Counterparties kept apart while adding up; those that first appear later are with the others."""
_MONTH = re.compile(r"(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])", re.ASCII)


class Span(msgspec.Struct, frozen=True):
    """A month, "2026-11", and its bounds in ns: `start` inclusive, `end` exclusive."""

    month: str
    start: int
    end: int


class Sums(msgspec.Struct):
    """How often, and how much came in and went out, minor units."""

    count: int = 0
    incoming: int = 0
    outgoing: int = 0

    def add(self, change: int) -> None:
        self.count += 1
        self.incoming += max(change, 0)
        self.outgoing += max(-change, 0)


class Month(msgspec.Struct, frozen=True):
    """A month added up. Amounts in minor units.

    Attributes:
        until: ledger time up to which entries are in it, ns, inclusive.
        opening, closing: balances before the first and after the last entry.
        fees: fees charged to the account less fees given back; below zero when more came back than was charged.
        by_kind: by the code of the movement, most frequent first.
        by_counterparty: those with whom most money moved, the most first; the account of each.
        others: all counterparties that are not among them.
    """

    span: Span
    until: int
    opening: int
    closing: int
    incoming: int
    outgoing: int
    fees: int
    by_kind: list[tuple[TransferCode, Sums]]
    by_counterparty: list[tuple[int, Sums]]
    others: Sums


def span_of(text: str, zone: ZoneInfo, field: str = "month") -> Span:
    """The month "2026-11" in `zone`. Malformed for anything else than a month from 1970 to 2199."""
    match = _MONTH.fullmatch(text)
    if match is None:
        raise Malformed(field, "must be a month like 2026-11")
    middle = datetime(int(match[1]), int(match[2]), 15, tzinfo=zone)
    period = period_of(int(middle.timestamp()) * NANOSECONDS, zone)
    return Span(text, max(period.month_start, 1), period.month_end)


class Adding:
    """Adds up entries as they come, in bounded memory."""

    def __init__(self, span: Span, *, until: int, opening: int) -> None:
        self.span = span
        self.until = until
        self.opening = opening
        self._sums = Sums()
        self._fees = 0
        self._kinds: dict[TransferCode, Sums] = {}
        self._counterparties: dict[int, Sums] = {}
        self._others = Sums()

    def add(self, entry: Entry) -> None:
        """One more entry. TooLarge when there are more than `ENTRIES_MAX`."""
        if self._sums.count >= ENTRIES_MAX:
            raise TooLarge(f"a month with more than {ENTRIES_MAX} entries is not added up", entries_max=ENTRIES_MAX)
        change, other = entry.change, entry.counterparty
        if entry.code in (TransferCode.FEE, TransferCode.FEE_REFUND):
            self._fees -= change
        known = self._counterparties
        sums = known.get(other) or (known.setdefault(other, Sums()) if len(known) < COUNTERPARTIES_MAX else self._others)
        for each in (self._sums, self._kinds.setdefault(entry.code, Sums()), sums):
            each.add(change)

    def month(self, closing: int) -> Month:
        """The month, now that all entries are in. `closing` is what the ledger says."""
        sums = self._sums
        assert self.opening + sums.incoming - sums.outgoing == closing, (self.opening, sums, closing)
        ranked = sorted(self._counterparties.items(), key=lambda item: (-item[1].incoming - item[1].outgoing, -item[1].count, item[0]))
        others = self._others
        for _, each in ranked[COUNTERPARTIES_TOLD_MAX:]:
            others = Sums(others.count + each.count, others.incoming + each.incoming, others.outgoing + each.outgoing)
        return Month(
            span=self.span,
            until=self.until,
            opening=self.opening,
            closing=closing,
            incoming=sums.incoming,
            outgoing=sums.outgoing,
            fees=self._fees,
            by_kind=sorted(self._kinds.items(), key=lambda item: (-item[1].count, item[0])),
            by_counterparty=ranked[:COUNTERPARTIES_TOLD_MAX],
            others=others,
        )


class Bounds(msgspec.Struct, frozen=True):
    """What of a month there is: entries from `since` to `until` (ledger time, ns, inclusive), and the balances around them."""

    span: Span
    since: int
    until: int
    opening: int
    closing: int


async def bounds_of(ledger: Ledger, account: int, span: Span) -> Bounds:
    """The part of `span` that lies in the past, by the ledger's own time: what happens from now on is not in it."""
    until = min(span.end - 1, ledger.last_timestamp)
    opening = await ledger.balance_at(account, min(span.start - 1, until))
    closing = await ledger.balance_at(account, until)
    return Bounds(span, span.start, until, _balance(opening), _balance(closing))


async def read(ledger: Ledger, history: History, account: int, span: Span) -> Month:
    """The month of `account`. Raises TooLarge when it has more than `ENTRIES_MAX` entries."""
    bounds = await bounds_of(ledger, account, span)
    adding = Adding(span, until=bounds.until, opening=bounds.opening)
    async for page in history.between(account, since=bounds.since, until=bounds.until):
        for entry in page:
            adding.add(entry)
    return adding.month(bounds.closing)


def _balance(balance: AccountBalance) -> int:
    return balance.credits_posted - balance.debits_posted
