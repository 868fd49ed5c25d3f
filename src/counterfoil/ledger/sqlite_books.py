"""What the sqlite engine's one writer keeps in memory: every account with its balances, and the newest ids.

All of it can be read back from the file at any time (`Cache.load`), and is, whenever a write has failed.

Transfers are durable in every batch and carry the balances after them, so the balances of `balances` may follow later:
each flush writes the changed accounts of the next range of numbers, in order, and opening replays the events after
`replay_from`. That is what keeps a batch quick with a million accounts: their rows would be a million pages apart.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import sqlite3
from typing import Any, Final, cast

import msgspec

from counterfoil.ledger.rules import AccountState, Balances
from counterfoil.ledger.sqlite_schema import BURNT, FLUSH, FLUSH_COLUMNS, FLUSH_MANY, FLUSH_ROWS, NARROW_MAX, number_from, wide
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
DEBIT_CLOSED: Final = 1
CREDIT_CLOSED: Final = 2
"""Bits of `events.closed`: which of the accounts was closed after the event."""


class CachedAccount(msgspec.Struct, gc=False):
    """An account as it stands after the last event of the last batch: a `rules.AccountState`, and its place in the file.

    A struct outside of the garbage collector's care, so that a million of them cost no pauses.

    Attributes:
        number: its row in `accounts` and `balances`.
        last: timestamp of its newest event, 0 for none.
        count: its events so far; every MARK_INTERVAL-th gets a mark.
        flushed: `last`, as of the row in `balances`.
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
        newest: the ids (of transfers, and burnt) above `floor`: all of them. Older ones are looked up in the file.
        last_timestamp: the ledger's time, ns.
        last_event: the newest row of `events`.
        expires_next: no pending transfer expires before this moment; 0 if none ever does.
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

    @classmethod
    def load(cls, db: sqlite3.Connection) -> Cache:
        """Reads the books from the file: each account's last flush, then every event since."""
        cache = cls()
        begun = not db.in_transaction
        if begun:
            db.execute("BEGIN")  # one snapshot for all of it
        try:
            cache._load_accounts(db)
            cache._load_state(db)
            cache._replay(db)
            cache._load_newest(db)
            cache.load_expiry(db)
        finally:
            if begun and db.in_transaction:
                db.execute("ROLLBACK")
        return cache

    def account(self, number: int) -> CachedAccount:
        return self.numbered[number - 1]

    def add(self, account: CachedAccount) -> None:
        assert account.number == len(self.numbered) + 1, account.number
        assert account.id not in self.accounts, account.id
        self.accounts[account.id] = account
        self.numbered.append(account)

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

    def is_current(self, db: sqlite3.Connection) -> bool:
        """Whether nobody else has written to the file since."""
        (last_event,) = db.execute("SELECT coalesce(max(timestamp), 0) FROM events").fetchone()
        (accounts,) = db.execute("SELECT coalesce(max(number), 0) FROM accounts").fetchone()
        (last_timestamp,) = db.execute("SELECT last_timestamp FROM state").fetchone()
        return bool(last_event == self.last_event and accounts == len(self.numbered) and last_timestamp <= self.last_timestamp)

    def trim_newest(self) -> None:
        """Forgets the older half of the ids once there are too many."""
        if len(self.newest) > NEWEST_IDS_MAX:
            ids = sorted(self.newest)  # nearly in order already: ids are ordered by time
            keep = NEWEST_IDS_MAX // 2
            self.floor = max(self.floor, ids[-keep - 1])
            self.newest = dict.fromkeys(ids[-keep:])

    def is_recorded(self, id: int, db: sqlite3.Connection) -> bool:
        """Whether the id belongs to a transfer in the file, or is burnt."""
        return id in self.newest or (
            id <= self.floor and db.execute("SELECT 1 FROM events WHERE id = ?", (id.to_bytes(16),)).fetchone() is not None
        )

    def flush(self, db: sqlite3.Connection) -> None:
        """Writes the changed accounts of the next range; once round, the replay may begin one round later."""
        size = max(FLUSH_RANGE_SIZE_MIN, -(-len(self.numbered) // FLUSH_RANGES))
        self._flush_accounts(db, self.numbered[self.flush_cursor : self.flush_cursor + size])
        self.flush_cursor += size
        if self.flush_cursor >= len(self.numbered):
            # Every account has been flushed after `cycle_start`, so no row of `balances` lacks an event up to it.
            self.flush_cursor = 0
            self.replay_from = self.cycle_start
            self.cycle_start = self.last_event
        self.events_unflushed = 0
        self._save_flush(db)

    def flush_all(self, db: sqlite3.Connection) -> None:
        """Writes all changed accounts: nothing is left to replay."""
        self._flush_accounts(db, self.numbered)
        self.flush_cursor = 0
        self.replay_from = self.cycle_start = self.last_event
        self.events_unflushed = 0
        self._save_flush(db)

    def load_expiry(self, db: sqlite3.Connection) -> None:
        (expires_next,) = db.execute("SELECT coalesce(min(expires_at), 0) FROM pending WHERE status = 1 AND expires_at > 0").fetchone()
        self.expires_next = expires_next

    def _flush_accounts(self, db: sqlite3.Connection, accounts: list[CachedAccount]) -> None:
        changed = [account for account in accounts if account.last != account.flushed]
        values: list[Any] = []
        for a in changed:
            values += (a.number, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.flags, a.last, a.count)
        if self.wide:
            values = [wide(value) for value in values]
        many = FLUSH_ROWS * FLUSH_COLUMNS
        full = len(values) // many * many
        db.executemany(FLUSH_MANY, [values[start : start + many] for start in range(0, full, many)])
        db.executemany(FLUSH, [values[start : start + FLUSH_COLUMNS] for start in range(full, len(values), FLUSH_COLUMNS)])
        for account in changed:
            account.flushed = account.last

    def _save_flush(self, db: sqlite3.Connection) -> None:
        db.execute(
            "UPDATE state SET flush_cursor = ?, cycle_start = ?, replay_from = ?", (self.flush_cursor, self.cycle_start, self.replay_from)
        )

    def _load_accounts(self, db: sqlite3.Connection) -> None:
        query = """
            SELECT number, id, ledger, code, b.flags, debits_pending, debits_posted, credits_pending, credits_posted,
                   user_data_128, user_data_64, user_data_32, timestamp, last, count
            FROM accounts JOIN balances b ON b.account = number ORDER BY number
        """
        for row in db.execute(query):
            number, id_bytes, ledger, code, flags, dp, dpo, cp, cpo, user_data_128, user_data_64, user_data_32, timestamp, last, count = row
            account = CachedAccount(
                number,
                int.from_bytes(id_bytes),
                ledger,
                code,
                flags,
                number_from(dp),
                number_from(dpo),
                number_from(cp),
                number_from(cpo),
                number_from(user_data_128),
                number_from(user_data_64),
                user_data_32,
                timestamp,
                last,
                count,
                last,
            )
            self.add(account)
            if account.is_wide():
                self.wide.add(account.id)

    def _load_state(self, db: sqlite3.Connection) -> None:
        (last_event,) = db.execute("SELECT coalesce(max(timestamp), 0) FROM events").fetchone()
        (last_account,) = db.execute("SELECT coalesce(max(timestamp), 0) FROM accounts").fetchone()
        last_timestamp, self.flush_cursor, self.cycle_start, self.replay_from = db.execute(
            "SELECT last_timestamp, flush_cursor, cycle_start, replay_from FROM state"
        ).fetchone()
        self.last_event = last_event
        self.last_timestamp = max(last_timestamp, last_event, last_account)

    def _replay(self, db: sqlite3.Connection) -> None:
        query = f"""
            SELECT timestamp, debit_account, credit_account, debit_previous, credit_previous, closed,
                   debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
                   credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted
            FROM events WHERE timestamp > ? AND kind <> {BURNT} ORDER BY timestamp
        """
        touched: set[int] = set()
        for row in db.execute(query, (self.replay_from,)):
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

    def _load_newest(self, db: sqlite3.Connection) -> None:
        query = "SELECT id FROM events WHERE id IS NOT NULL ORDER BY id DESC LIMIT ?"
        keep = NEWEST_IDS_MAX // 2
        ids = [int.from_bytes(id_bytes) for (id_bytes,) in db.execute(query, (keep + 1,))]
        if len(ids) > keep:
            self.floor = ids.pop()
        self.newest = dict.fromkeys(reversed(ids))
