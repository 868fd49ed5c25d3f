"""The embedded ledger: one SQLite file, no server. What it has answered is on the disk.

WAL with `synchronous=FULL`, STRICT tables, CHECKs; see `sqlite_schema` for the file. One process at a time is the
intended use; should a second one write, each notices the other's commits and reads the books anew, so that neither
can spoil them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from counterfoil import errors
from counterfoil.ledger import rules, sqlite_books, sqlite_reads, sqlite_schema
from counterfoil.ledger.cache import FLUSH_INTERVAL_EVENTS, Cache
from counterfoil.ledger.movable import Burnt, TakesAll
from counterfoil.ledger.sqlite_batch import SqliteBatch
from counterfoil.ledger.sqlite_checkpoint import Checkpointer
from counterfoil.ledger.sqlite_schema import Connect
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    ChangeEvent,
    CreateAccountResult,
    CreateTransferResult,
    QueryFilter,
    Transfer,
)


class SqliteEngine(TakesAll):
    """A ledger in one file. Implements `engine.Engine`, and `movable.Movable`.

    Raises Unavailable from any write that the disk or a lock prevented: nothing of the batch was done, or (where the
    commit itself failed) it was done whole; the books in memory are read anew from the file. All else that it raises is a bug.
    """

    waits: ClassVar[bool] = False

    def __init__(self, path: Path, *, fast_path: bool = True, connect: Connect = sqlite_schema.connect) -> None:
        self._path = path
        self._db = connect(path)
        self._closed = False
        try:
            sqlite_schema.prepare_writer(self._db, path)
            self._data_version = self._read_data_version()
            self._cache = sqlite_books.load(self._db)
            reader = sqlite_schema.connect(path)
        except BaseException:
            self._db.close()
            raise
        sqlite_schema.prepare_reader(reader)
        self._stale = False  # a failed write could not be followed by reading the books anew
        self._reads = sqlite_reads.Reads(reader, self._books)
        self._writer = SqliteBatch(self._db, fast_path=fast_path)
        self._checkpointer = Checkpointer(path)

    @classmethod
    def open(cls, path: Path | str, *, fast_path: bool = True, connect: Connect = sqlite_schema.connect) -> SqliteEngine:
        """Opens the ledger at `path`, makes it if there is none, and replays what the last flush did not cover.

        Without `fast_path` every event goes through the rules: for tests, and to measure.
        Raises UnknownFormat for a file of another program or a later version, Unavailable if it is locked or cannot be read.
        """
        try:
            return cls(Path(path), fast_path=fast_path, connect=connect)
        except sqlite3.OperationalError as error:
            raise errors.Unavailable(f"The ledger could not be opened: {error}.") from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise errors.UnknownFormat(f"{path} is not a ledger.") from error
            raise

    @property
    def last_timestamp(self) -> int:
        """The last one given out, ns; refused events use one up, too. 0 before the first event."""
        return self._books().last_timestamp

    # Writes

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        assert len(transfers) <= BATCH_SIZE_MAX, len(transfers)
        with self._transaction(now) as cache:
            self._writer.expire(cache, now)
            if not transfers:
                return []
            timestamp = rules.batch_timestamp(now=now, last=cache.last_timestamp, count=len(transfers))
            results = self._writer.apply(cache, transfers, timestamp)
            cache.last_timestamp = timestamp
        return results

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        assert len(accounts) <= BATCH_SIZE_MAX, len(accounts)
        if not accounts:
            return []
        with self._transaction(now) as cache:
            results, created = self._writer.create_accounts(cache, accounts, now)
            self._writer.insert_accounts(created)
        return results

    def expire_pending_transfers(self, now: int) -> int:
        cache = self._books()
        if not cache.expires_next or cache.expires_next > max(now, cache.last_timestamp):
            return 0  # without a transaction: the pulse asks every second
        with self._transaction(now) as cache:
            return self._writer.expire(cache, now)

    # Books of another engine: see `movable.Movable`

    def append_accounts(self, accounts: Sequence[Account]) -> None:
        with self._transaction(0) as cache:
            self._writer.insert_accounts(self._writer.record_accounts(cache, accounts))

    def append_events(self, events: Sequence[ChangeEvent]) -> None:
        with self._transaction(0) as cache:
            self._writer.record_events(cache, events)

    def append_burnt(self, burnt: Sequence[Burnt]) -> None:
        with self._transaction(0) as cache:
            self._writer.record_burnt(cache, burnt)

    def append_time(self, timestamp: int) -> None:
        with self._transaction(0) as cache:
            cache.last_timestamp = max(cache.last_timestamp, timestamp)

    def burnt(self) -> Iterator[Burnt]:
        return self._reads.burnt()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._checkpointer.stop()
        with contextlib.suppress(sqlite3.OperationalError, errors.Unavailable), self._transaction(0) as cache:
            sqlite_books.flush(cache, self._db, cache.last_flush())  # the next opening has nothing to replay; if this fails, it has
        self._reads.close()
        self._db.close()

    # Reads

    def account_now(self, id: int) -> Account | None:
        """The account as of the last committed batch, from memory."""
        account = self._books().accounts.get(id)
        return None if account is None else account.freeze()

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        account = self._books().accounts.get(id)
        return None if account is None else account.balances()

    def account_code(self, id: int) -> int:
        """The account's code, from memory; 0 if there is no such account."""
        account = self._cache.accounts.get(id)  # after a failed write this may know an account too many, which the next write will not
        return 0 if account is None else account.code

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        accounts = self._books().accounts
        return [accounts[account_id].freeze() for account_id in ids if account_id in accounts]

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        return self._reads.lookup_transfers(ids)

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        return self._reads.get_account_transfers(filter)

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        return self._reads.get_account_balances(filter)

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        """The balances right after the account's last event up to `timestamp`, ns, inclusive; zeros before the first."""
        return self._reads.balance_at(account_id, timestamp)

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        return self._reads.query_accounts(filter)

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        return self._reads.query_transfers(filter)

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        return self._reads.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)

    # The transaction

    @contextlib.contextmanager
    def _transaction(self, now: int) -> Iterator[Cache]:
        """One batch: all of it on the disk when this ends, or none of it and the books read anew."""
        assert 0 <= now <= TIMESTAMP_MAX, now
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:  # nothing has changed yet, in the file or in memory
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise errors.Unavailable(f"The ledger is not writable at the moment: {error}.") from error
        try:
            cache = self._books_in_transaction()
            last_timestamp = cache.last_timestamp
            yield cache
            self._writer.write(cache)
            if cache.last_timestamp not in (last_timestamp, cache.last_event):
                # The ledger's time outlives a restart even where a refused event was the last to use it.
                self._db.execute("UPDATE state SET last_timestamp = ?", (cache.last_timestamp,))
            if cache.events_unflushed >= FLUSH_INTERVAL_EVENTS:
                sqlite_books.flush(cache, self._db, cache.next_flush())
            self._db.execute("COMMIT")
        except BaseException as error:
            self._recover()
            if isinstance(error, sqlite3.OperationalError):
                raise errors.Unavailable(f"The ledger could not write: {error}.") from error
            raise
        cache.trim_newest()
        self._checkpointer.notify()

    def _recover(self) -> None:
        """After a failed write: what the file says is true, whatever was in memory."""
        self._writer.forget()
        self._stale = True
        with contextlib.suppress(sqlite3.OperationalError):  # whoever asks next tries again
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._reload()

    def _reload(self) -> None:
        self._data_version = self._read_data_version()
        self._cache = sqlite_books.load(self._db)
        self._stale = False

    def _books(self) -> Cache:
        if self._stale:
            try:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._reload()
            except sqlite3.OperationalError as error:
                raise errors.Unavailable(f"The ledger cannot be read at the moment: {error}.") from error
        return self._cache

    def _books_in_transaction(self) -> Cache:
        """The books, after making sure that they are the file's: another process may have written since."""
        data_version = self._read_data_version()
        if self._stale or (data_version != self._data_version and not sqlite_books.is_current(self._cache, self._db)):
            self._stale = True
            self._reload()
        self._data_version = data_version
        return self._cache

    def _read_data_version(self) -> int:
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        assert isinstance(version, int), version
        return version
