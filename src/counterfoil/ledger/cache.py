"""What the one writer of a database keeps in memory: every account with its balances, and the newest ids. No I/O.

All of it can be read back from the database at any time, and is, whenever a write has failed.

Transfers are durable in every batch and carry the balances after them, so the balances of accounts may be written later:
each flush takes the changed accounts of the next range of numbers, in order, and opening replays the events after
`replay_from`. That is what keeps a batch quick with a million accounts: their rows would be a million pages apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from counterfoil.ledger.rows import CREDIT_CLOSED, DEBIT_CLOSED, NARROW_MAX, number_from
from counterfoil.ledger.rules import AccountState, Balances
from counterfoil.ledger.types import Account, AccountFlags

FLUSH_INTERVAL_EVENTS: Final = 8_192
"""Events between two flushes."""
FLUSH_RANGES: Final = 256
"""Flushes in which all accounts come round once."""
FLUSH_RANGE_SIZE_MIN: Final = 1_024
"""Accounts in a range, at least."""
NEWEST_IDS_MAX: Final = 131_072
"""Ids kept in memory; half of them after a cut."""

_CLOSED: Final = int(AccountFlags.CLOSED)


class CachedAccount(msgspec.Struct, gc=False):
    """An account as it stands after the last event of the last batch: a `rules.AccountState`, and its place in the database.

    A struct outside of the garbage collector's care, so that a million of them cost no pauses.

    Attributes:
        number: its row in the database.
        last: timestamp of its newest event, 0 for none.
        count: its events so far; every MARK_INTERVAL-th gets a mark.
        flushed: `last`, as of its last flush.
    """

    number: int
    id: int
    ledger: int
    code: int
    flags: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    user_data_128: int
    user_data_64: int
    user_data_32: int
    timestamp: int
    last: int = 0
    count: int = 0
    flushed: int = 0

    def balances(self) -> Balances:
        return (self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted)

    def copy(self) -> CachedAccount:
        """Itself as it stands now, in one step: no other thread sees half of a change."""
        return cast("CachedAccount", self.__copy__())  # type: ignore[attr-defined]

    def freeze(self) -> Account:
        """The account as it stands now."""
        return self.freeze_at(self.balances(), self.flags)

    def freeze_at(self, balances: Balances, flags: int) -> Account:
        """The account as it stood when it had these balances and flags; nothing else of an account ever changes."""
        debits_pending, debits_posted, credits_pending, credits_posted = balances
        return Account(
            id=self.id,
            ledger=self.ledger,
            code=self.code,
            flags=flags,
            debits_pending=debits_pending,
            debits_posted=debits_posted,
            credits_pending=credits_pending,
            credits_posted=credits_posted,
            user_data_128=self.user_data_128,
            user_data_64=self.user_data_64,
            user_data_32=self.user_data_32,
            timestamp=self.timestamp,
        )

    def flags_with(self, *, closed: bool) -> int:
        """Its flags at a moment when it was `closed`, or was not."""
        return self.flags | _CLOSED if closed else self.flags & ~_CLOSED

    def is_wide(self) -> bool:
        """Whether a balance is beyond 63 bits, which only the slow path writes."""
        return max(self.balances()) > NARROW_MAX

    def state(self) -> AccountState:
        """Itself, for the rules: they change it in place, and have the same fields."""
        return cast("AccountState", self)


class Cache:
    """The writer's memory.

    Attributes:
        accounts: all, by id.
        numbered: the same, in order of their numbers, which begin at 1.
        wide: ids of accounts with a balance beyond 63 bits.
        newest: the ids (of transfers, and burnt) above `floor`: all of them. Older ones are looked up in the database.
        last_timestamp: the ledger's time, ns.
        last_event: timestamp of the newest event.
        expires_next: no pending transfer expires before this moment; 0 if none ever does.
        flush_cursor, cycle_start, replay_from: how far the flushes have come; see `next_flush`.
        events_unflushed: events since the last flush.
        replayed: events that `replay` has gone through.
    """

    __slots__ = (
        "accounts",
        "cycle_start",
        "events_unflushed",
        "expires_next",
        "floor",
        "flush_cursor",
        "last_event",
        "last_timestamp",
        "newest",
        "numbered",
        "replay_from",
        "replayed",
        "wide",
    )

    def __init__(self) -> None:
        self.accounts: dict[int, CachedAccount] = {}
        self.numbered: list[CachedAccount] = []
        self.wide: set[int] = set()
        self.newest: dict[int, None] = {}
        self.floor = 0
        self.last_timestamp = 0
        self.last_event = 0
        self.expires_next = 0
        self.flush_cursor = 0
        self.cycle_start = 0
        self.replay_from = 0
        self.events_unflushed = 0
        self.replayed = 0

    def account(self, number: int) -> CachedAccount:
        return self.numbered[number - 1]

    def add(self, account: CachedAccount) -> None:
        assert account.number == len(self.numbered) + 1, account.number
        assert account.id not in self.accounts, account.id
        self.accounts[account.id] = account
        self.numbered.append(account)

    def create(self, states: Iterable[AccountState]) -> list[CachedAccount]:
        """Adds accounts that the rules have just created."""
        created = [
            CachedAccount(
                number, state.id, +state.ledger, +state.code, +state.flags, 0, 0, 0, 0,
                state.user_data_128, state.user_data_64, state.user_data_32, state.timestamp,
            )
            for number, state in enumerate(states, len(self.numbered) + 1)
        ]  # fmt: skip
        for account in created:
            self.add(account)
        return created

    def note_events(self, timestamp: int, count: int) -> None:
        """`count` rows of `events` were written, up to `timestamp`."""
        self.last_event = max(self.last_event, timestamp)
        self.events_unflushed += count

    def note_wide(self, account: CachedAccount) -> None:
        """Keeps `wide` true after a change that may have crossed the border of 63 bits."""
        if account.is_wide():
            self.wide.add(account.id)
        else:
            self.wide.discard(account.id)

    def trim_newest(self) -> None:
        """Forgets the older half of the ids once there are too many."""
        if len(self.newest) > NEWEST_IDS_MAX:
            ids = sorted(self.newest)  # nearly in order already: ids are ordered by time
            keep = NEWEST_IDS_MAX // 2
            self.floor = max(self.floor, ids[-keep - 1])
            self.newest = dict.fromkeys(ids[-keep:])

    def add_newest(self, ids: list[int]) -> None:
        """`ids`: the greatest in the database, from the greatest down, one more than are kept."""
        keep = NEWEST_IDS_MAX // 2
        if len(ids) > keep:
            self.floor = ids[keep]
        self.newest = dict.fromkeys(reversed(ids[:keep]))

    def next_flush(self) -> list[CachedAccount]:
        """The changed accounts of the next range, to be written now; once round, the replay may begin one round later."""
        size = max(FLUSH_RANGE_SIZE_MIN, -(-len(self.numbered) // FLUSH_RANGES))
        changed = _changed(self.numbered[self.flush_cursor : self.flush_cursor + size])
        self.flush_cursor += size
        if self.flush_cursor >= len(self.numbered):
            # Every account has been flushed after `cycle_start`, so no balances lack an event up to it.
            self.flush_cursor = 0
            self.replay_from = self.cycle_start
            self.cycle_start = self.last_event
        self.events_unflushed = 0
        return changed

    def last_flush(self) -> list[CachedAccount]:
        """All changed accounts: once they are written, nothing is left to replay."""
        self.flush_cursor = 0
        self.replay_from = self.cycle_start = self.last_event
        self.events_unflushed = 0
        return _changed(self.numbered)

    def replay(self, events: Iterable[tuple[Any, ...]]) -> None:
        """Brings accounts from their flush to now: timestamp, both accounts, previous events, closed, balances of each event."""
        touched: set[int] = set()
        for row in events:
            timestamp, debit_account, credit_account, debit_previous, credit_previous, closed = row[:6]
            self._replay_side(debit_account, timestamp, debit_previous, row[6:10], closed=bool(closed & DEBIT_CLOSED))
            self._replay_side(credit_account, timestamp, credit_previous, row[10:14], closed=bool(closed & CREDIT_CLOSED))
            touched.add(debit_account)
            touched.add(credit_account)
            self.replayed += 1
        for number in touched:
            self.note_wide(self.account(number))

    def _replay_side(self, number: int, timestamp: int, previous: int, balances: tuple[int | bytes, ...], *, closed: bool) -> None:
        account = self.account(number)
        if timestamp <= account.last:
            return  # its flush came later
        assert account.last == previous, (number, account.last, previous)
        account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted = map(number_from, balances)
        account.flags = account.flags_with(closed=closed)
        account.last = timestamp
        account.count += 1


def _changed(accounts: list[CachedAccount]) -> list[CachedAccount]:
    changed = [account for account in accounts if account.last != account.flushed]
    for account in changed:
        account.flushed = account.last
    return changed
