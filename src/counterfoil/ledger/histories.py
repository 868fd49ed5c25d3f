"""An account's history, read from rows of events that point back in time.

A history is a walk along the events' own pointers, from the newest event of the account back in time. Marks say where
to step in: the walk to any moment begins at the first mark after it, at most MARK_INTERVAL events too late. A history
from old to new is a row of such walks, one from mark to mark.

A row holds, in this order: timestamp, id, debit and credit account (numbers), amount, pending_id, user_data_128, _64 and _32,
timeout, code, flags; four balances of the debit account, four of the credit account; kind, and both accounts' previous events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from counterfoil.ledger import filters
from counterfoil.ledger.cache import CachedAccount
from counterfoil.ledger.rows import TRANSFER, number_from
from counterfoil.ledger.types import BATCH_SIZE_MAX, TIMESTAMP_MAX, AccountBalance, AccountFilter, AccountFilterFlags

WIDTH: Final = 12
"""Columns of the transfer itself."""
KIND: Final = WIDTH + 8
_DEBIT_PREVIOUS, _CREDIT_PREVIOUS = KIND + 1, KIND + 2

Row = tuple[Any, ...]


class Histories(ABC):
    """Walks; whoever reads a page and a mark is the engine's own class."""

    @abstractmethod
    def page(self, account: CachedAccount, timestamp: int, timestamp_min: int) -> list[Row]:
        """The next rows on the walk from the account's event at `timestamp` back to the first before `timestamp_min`, newest first.

        At least one; the engine decides how many.
        """

    @abstractmethod
    def mark_from(self, account: CachedAccount, timestamp: int) -> int | None:
        """The account's first mark at or after `timestamp`."""

    @abstractmethod
    def stored(self, number: int) -> int | bytes:
        """A number of a filter as it stands in a row."""

    def history(self, account: CachedAccount, filter: AccountFilter) -> Iterator[Row]:
        """The rows of the account's transfers that the filter selects, in the order it asks for, at most its limit."""
        if not filters.account_filter_valid(filter):
            return
        flags = int(filter.flags)
        user_data_128, user_data_64 = self.stored(filter.user_data_128), self.stored(filter.user_data_64)
        timestamp_max = filter.timestamp_max or TIMESTAMP_MAX
        limit = min(filter.limit, BATCH_SIZE_MAX)
        walk = self._newest_first if flags & AccountFilterFlags.REVERSED else self._oldest_first
        for row in walk(account, filter.timestamp_min, timestamp_max):
            side = AccountFilterFlags.DEBITS if row[2] == account.number else AccountFilterFlags.CREDITS
            if (
                row[KIND] == TRANSFER
                and flags & side
                and user_data_128 in (0, row[6])
                and user_data_64 in (0, row[7])
                and filter.user_data_32 in (0, row[8])
                and filter.code in (0, row[10])
            ):
                yield row
                limit -= 1
                if limit == 0:
                    return

    def _newest_first(self, account: CachedAccount, timestamp_min: int, timestamp_max: int) -> Iterator[Row]:
        for row in self._walk(account, self.first_mark(account, timestamp_max), timestamp_min):
            if row[0] <= timestamp_max:
                yield row

    def _oldest_first(self, account: CachedAccount, timestamp_min: int, timestamp_max: int) -> Iterator[Row]:
        while timestamp_min <= timestamp_max:
            mark = self.first_mark(account, timestamp_min)
            for row in reversed(list(self._walk(account, mark, timestamp_min))):
                if row[0] > timestamp_max:
                    return
                yield row
            if mark >= account.last:
                return
            timestamp_min = mark + 1

    def _walk(self, account: CachedAccount, start: int, timestamp_min: int) -> Iterator[Row]:
        """The rows of the account's events from `start` back to `timestamp_min`, newest first."""
        timestamp = start
        while timestamp and timestamp >= timestamp_min:
            page = self.page(account, timestamp, timestamp_min)
            for row in page:
                if row[0] < timestamp_min:
                    return
                yield row
            timestamp = page[-1][_DEBIT_PREVIOUS] if page[-1][2] == account.number else page[-1][_CREDIT_PREVIOUS]

    def first_mark(self, account: CachedAccount, timestamp: int) -> int:
        """The first event at or after `timestamp` that a walk may begin with; else the newest of all."""
        if timestamp >= account.last:
            return account.last
        mark = self.mark_from(account, timestamp)
        return account.last if mark is None else mark


def balance_of(row: Row, account: CachedAccount) -> AccountBalance:
    """The balances of `account` after the event of this row."""
    start = WIDTH if row[2] == account.number else WIDTH + 4
    return AccountBalance(row[0], *map(number_from, row[start : start + 4]))
