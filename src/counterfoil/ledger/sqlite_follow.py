"""The sqlite engine's file read from beside its writer, in this or another process: the feed, and accounts as they were opened.

The writer's memory of all accounts is not needed here: those that a page names are looked up and remembered for a while,
so this costs the same with a million accounts as with ten. Nothing is ever written, and no lock is held between two calls.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from counterfoil import errors
from counterfoil.ledger import filters
from counterfoil.ledger.cache import CachedAccount
from counterfoil.ledger.rows import BURNT, CREDIT_CLOSED, DEBIT_CLOSED, EXPIRY, number_from
from counterfoil.ledger.sqlite_schema import (
    APPLICATION_ID,
    BUSY_TIMEOUT_MS,
    VERSION,
    prepare_reader,
    snapshot,
)
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    Transfer,
    TransferFlags,
)

ACCOUNTS_MAX: Final = 100_000
"""Accounts remembered; some 300 bytes each."""
_FIND_SIZE: Final = 500
"""Numbers in one look-up."""

_COLUMNS: Final = """
    e.timestamp, e.kind, e.id, e.debit_account, e.credit_account, e.amount, e.pending, e.user_data_128, e.user_data_64, e.user_data_32,
    e.timeout, e.code, e.flags, e.closed, e.debit_debits_pending, e.debit_debits_posted, e.debit_credits_pending, e.debit_credits_posted,
    e.credit_debits_pending, e.credit_debits_posted, e.credit_credits_pending, e.credit_credits_posted
"""
_FEED: Final = f"SELECT {_COLUMNS} FROM events e WHERE e.timestamp BETWEEN ? AND ? AND e.kind <> {BURNT} ORDER BY e.timestamp LIMIT ?"
_ACCOUNT_COLUMNS: Final = "number, id, ledger, code, flags, user_data_128, user_data_64, user_data_32, timestamp"
_NOTHING: Final = (0, 0, 0, 0)
_KINDS: Final = {
    int(TransferFlags.PENDING): ChangeEventType.TWO_PHASE_PENDING,
    int(TransferFlags.POST_PENDING_TRANSFER): ChangeEventType.TWO_PHASE_POSTED,
    int(TransferFlags.VOID_PENDING_TRANSFER): ChangeEventType.TWO_PHASE_VOIDED,
}
_TWO_PHASE: Final = sum(_KINDS)
_CLOSED: Final = int(AccountFlags.CLOSED)

_Row = tuple[Any, ...]


class SqliteFollower:
    """Follows the ledger in one file. Has one caller at a time.

    Every read raises Unavailable when the file cannot be read at the moment.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._accounts: dict[int, CachedAccount] = {}

    @classmethod
    def open(cls, path: Path) -> SqliteFollower:
        """Opens the ledger that a `SqliteEngine` has made at `path`. Raises Unavailable, or UnknownFormat for another file."""
        try:
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False,
                timeout=BUSY_TIMEOUT_MS / 1_000,
            )  # fmt: skip
        except sqlite3.OperationalError as error:
            raise errors.Unavailable(f"The ledger could not be opened: {error}.") from error
        try:
            prepare_reader(db)
            (application_id,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            db.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise errors.UnknownFormat(f"{path} is not a ledger.") from error
            raise errors.Unavailable(f"The ledger could not be opened: {error}.") from error
        if (application_id, version) != (APPLICATION_ID, VERSION):
            db.close()
            raise errors.UnknownFormat(f"{path} is not a ledger of version {VERSION}", version=version)
        return cls(db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def last_event(self) -> int:
        """Timestamp of the newest event, ns; 0 before the first. One step down an index: for a follower that looks often."""
        with snapshot(self._db):
            (timestamp,) = self._db.execute("SELECT coalesce(max(timestamp), 0) FROM events").fetchone()
        return int(timestamp)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts found, in the order asked, as they were opened: without balances."""
        keys = [account_id.to_bytes(16) for account_id in ids]
        with snapshot(self._db):
            found = {account.id: account for account in self._select("id", keys)}
        return [found[account_id].freeze() for account_id in ids if account_id in found]

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        """The feed: committed movements and expiries in timestamp order. Both bounds inclusive; 0 is no bound."""
        if not filters.selection_valid(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit):
            return []
        with snapshot(self._db):
            rows = self._db.execute(_FEED, (timestamp_min, timestamp_max or TIMESTAMP_MAX, min(limit, BATCH_SIZE_MAX))).fetchall()
            pending = self._pending({row[6] for row in rows if row[6]})
            self._load({number for row in rows for number in row[3:5]} | {number for row in pending.values() for number in row[3:5]})
        return [self._event(row, pending) for row in rows]

    def _event(self, row: _Row, pending: dict[int, _Row]) -> ChangeEvent:
        flags = row[12]
        if row[1] == EXPIRY:
            kind, transfer = ChangeEventType.TWO_PHASE_EXPIRED, self._transfer(pending[row[6]], pending)
        else:
            kind, transfer = ChangeEventType.SINGLE_PHASE, self._transfer(row, pending)
            if flags & _TWO_PHASE:
                kind = _KINDS[flags & _TWO_PHASE]
        debit, credit, closed = self._accounts[row[3]], self._accounts[row[4]], row[13]
        d1, d2, d3, d4, c1, c2, c3, c4 = map(number_from, row[14:])
        return ChangeEvent(
            row[0], kind, transfer,
            debit.freeze_at((d1, d2, d3, d4), debit.flags | _CLOSED if closed & DEBIT_CLOSED else debit.flags),
            credit.freeze_at((c1, c2, c3, c4), credit.flags | _CLOSED if closed & CREDIT_CLOSED else credit.flags),
        )  # fmt: skip

    def _transfer(self, row: _Row, pending: dict[int, _Row]) -> Transfer:
        timestamp, _, id_bytes, debit_number, credit_number, amount, resolves, data_128, data_64, data_32, timeout, code, flags = row[:13]
        debit = self._accounts[debit_number]
        return Transfer(
            int.from_bytes(id_bytes), debit.id, self._accounts[credit_number].id, number_from(amount),
            int.from_bytes(pending[resolves][2]) if resolves else 0,
            number_from(data_128), number_from(data_64), data_32, timeout, debit.ledger, code, flags, timestamp,
        )  # fmt: skip

    def _pending(self, timestamps: Collection[int]) -> dict[int, _Row]:
        """The rows of pending transfers, by timestamp."""
        return {row[0]: row for row in self._in(f"SELECT {_COLUMNS} FROM events e WHERE e.timestamp IN", list(timestamps))}

    def _load(self, numbers: Collection[int]) -> None:
        """Makes sure that these accounts are remembered."""
        if len(self._accounts) + len(numbers) > ACCOUNTS_MAX:
            self._accounts.clear()
        missing = [number for number in numbers if number not in self._accounts]
        if missing:
            self._accounts |= {account.number: account for account in self._select("number", missing)}

    def _select(self, column: str, values: Sequence[Any]) -> list[CachedAccount]:
        found = []
        for row in self._in(f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE {column} IN", values):
            number, id_bytes, ledger, code, flags, data_128, data_64, data_32, timestamp = row
            wide = number_from(data_128), number_from(data_64)
            found.append(CachedAccount(number, int.from_bytes(id_bytes), ledger, code, flags, *_NOTHING, *wide, data_32, timestamp))
        return found

    def _in(self, query: str, values: Sequence[Any]) -> Iterator[_Row]:
        for start in range(0, len(values), _FIND_SIZE):
            part = list(values[start : start + _FIND_SIZE])
            if len(part) > 1:
                part += part[-1:] * (
                    (1 << (len(part) - 1).bit_length()) - len(part)
                )  # few different statements, so that they stay prepared
            yield from self._db.execute(f"{query} ({', '.join('?' * len(part))})", part)
