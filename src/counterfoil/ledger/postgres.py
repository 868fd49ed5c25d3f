"""The ledger in PostgreSQL: what it has answered is on the server's disk (`synchronous_commit = on`).

The books are held in memory by the writer, and a batch is written by one statement; see `postgres_batch`. One process
writes at a time: a lease (an advisory lock, held by the writer's connection) makes any other wait. It ends with that
connection, so another process takes over when the writer dies. Should two write nevertheless, each notices the other's
batches in the very statement that would write on stale books, reads them anew, and applies its batch again. After a lost
connection the books in memory are gone on with where the tables say that nothing was written meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, Final, NamedTuple

import structlog

from counterfoil import errors
from counterfoil.clock import Clock, SystemClock
from counterfoil.ledger import postgres_books, postgres_schema, rules
from counterfoil.ledger.cache import Cache, CachedAccount
from counterfoil.ledger.movable import Burnt, TakesAll
from counterfoil.ledger.postgres_batch import OvertakenError, PostgresBatch
from counterfoil.ledger.postgres_connection import Connection, Connector, unavailable
from counterfoil.ledger.postgres_reads import Reads
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

log = structlog.get_logger()

LEASE_TIMEOUT_S: Final = 10.0
"""How long a writer waits for another's lease, unless it is told otherwise."""
ATTEMPTS_MAX: Final = 16
"""How often a batch is applied while others write before it each time."""


FLUSH_AT_CLOSE_MAX: Final = 100_000
"""Accounts flushed when the ledger is closed, some seconds' work. Where more have changed, the next opening replays their events."""


class _View(NamedTuple):
    """The books as of the last committed batch. Never changed, only replaced.

    Attributes:
        cache: the writer's memory, in which a batch may be under way.
        before: the accounts that this batch touches, as they were before it.
        accounts: how many there are.
        last_timestamp: the ledger's time.
    """

    cache: Cache
    before: dict[int, CachedAccount]
    accounts: int
    last_timestamp: int


class PostgresEngine(TakesAll):
    """A ledger in a schema of a PostgreSQL database. Implements `engine.Engine`, which waits for a server, and `movable.Movable`.

    Raises Unavailable from any write that the server, the network or another writer prevented: nothing of the batch was
    done, or (where the connection was lost meanwhile) it was done whole; the next write finds out. All else that it raises is a bug.
    """

    waits: ClassVar[bool] = True

    def __init__(self, connector: Connector, *, lease_timeout_s: float | None, fast_path: bool) -> None:
        self._connector = connector
        self._lease_timeout_s = lease_timeout_s
        self._fast_path = fast_path
        self._closed = False
        self._db: Connection | None = None
        self._stale = True  # the books are not, or may not be, the server's
        self._cache = Cache()
        self._view = _View(self._cache, {}, 0, 0)
        self._reads = Reads(connector, self)
        with unavailable("The ledger could not be opened"):
            self._connect()
        self._warn()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        schema: str = "ledger",
        lease_timeout_s: float | None = LEASE_TIMEOUT_S,
        fast_path: bool = True,
        clock: Clock | None = None,
    ) -> PostgresEngine:
        """Opens the ledger at `url` (any libpq URL or connection string), and makes it if there is none.

        A `url` with several hosts finds the one that can be written. A pooler in between must leave a session to its client.
        All tables are in `schema`, so that the store may live in the same database. One process at a time writes: it
        holds a lease, which ends with its connection. `lease_timeout_s` is how long to wait for another's; None does
        without, and several may write beside each other, more slowly. Without `fast_path` every event goes through the rules.
        `clock` gives random bytes, for a name that no other writer has.

        Raises UnknownFormat for a schema of somebody else or of a later version, Unavailable (with words that say what to
        do) if the server cannot be reached, refuses the log-in, cannot be written, or another process holds the lease.
        """
        return cls(Connector(url, schema, clock or SystemClock()), lease_timeout_s=lease_timeout_s, fast_path=fast_path)

    @property
    def last_timestamp(self) -> int:
        """The last one given out, ns; refused events use one up, too. 0 before the first event."""
        return self._view.last_timestamp

    # Writes

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        assert len(transfers) <= BATCH_SIZE_MAX, len(transfers)
        results: list[CreateTransferResult] = []

        def write(batch: PostgresBatch, db: Connection, cache: Cache) -> bool:
            nonlocal results
            batch.begin(db, transfers)
            released = batch.expire(cache, now)
            if transfers:
                timestamp = rules.batch_timestamp(now=now, last=cache.last_timestamp, count=len(transfers))
                results = batch.apply(cache, transfers, timestamp)
                cache.last_timestamp = timestamp
            return batch.write() if transfers or released else True

        self._write(now, write)
        return results

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        assert len(accounts) <= BATCH_SIZE_MAX, len(accounts)
        results: list[CreateAccountResult] = []
        if not accounts:
            return results

        def write(batch: PostgresBatch, db: Connection, cache: Cache) -> bool:
            nonlocal results
            results, created = batch.create_accounts(cache, accounts, now)
            return batch.write_accounts(db, created)

        self._write(now, write)
        return results

    def expire_pending_transfers(self, now: int) -> int:
        """As every engine. After a lost connection it connects again, whether or not anything is due."""
        if not self._stale and not self._is_due(self._cache, now):
            return 0
        released = 0

        def write(batch: PostgresBatch, db: Connection, cache: Cache) -> bool:
            nonlocal released
            batch.begin(db, [])
            released = batch.expire(cache, now)
            return batch.write() if released else True

        self._write(now, write)
        return released

    # Books of another engine: see `movable.Movable`

    def append_accounts(self, accounts: Sequence[Account]) -> None:
        self._write(0, lambda batch, db, cache: batch.write_accounts(db, batch.record_accounts(cache, accounts)))

    def append_events(self, events: Sequence[ChangeEvent]) -> None:
        self._append(lambda batch, cache: batch.record_events(cache, events))

    def append_burnt(self, burnt: Sequence[Burnt]) -> None:
        self._append(lambda batch, cache: batch.record_burnt(cache, burnt))

    def append_time(self, timestamp: int) -> None:
        def record(batch: PostgresBatch, cache: Cache) -> None:
            cache.last_timestamp = max(cache.last_timestamp, timestamp)

        self._append(record)

    def _append(self, record: Callable[[PostgresBatch, Cache], None]) -> None:
        def write(batch: PostgresBatch, db: Connection, cache: Cache) -> bool:
            batch.begin(db, [])
            record(batch, cache)
            return batch.write()

        self._write(0, write)

    def burnt(self) -> Iterator[Burnt]:
        return self._reads.burnt()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        changed = sum(account.last != account.flushed for account in self._cache.numbered)
        if self._db is not None and not self._stale and 0 < changed <= FLUSH_AT_CLOSE_MAX:

            def flush(batch: PostgresBatch, db: Connection, cache: Cache) -> bool:
                batch.begin(db, [])
                return batch.write(everything=True)

            with contextlib.suppress(errors.Unavailable):  # the next opening has nothing to replay; if this fails, it has
                self._attempt(flush)
        self._disconnect()
        self._reads.close()

    # Quick reads, beside a write

    def account_now(self, id: int) -> Account | None:
        """The account as of the last committed batch, from memory."""
        account = self.shown(id)
        return None if account is None else account.freeze()

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        account = self.shown(id)
        return None if account is None else account.balances()

    def account_code(self, id: int) -> int:
        """The account's code, from memory; 0 if there is no such account."""
        view = self._view
        account = view.cache.accounts.get(id)
        return 0 if account is None or account.number > view.accounts else account.code

    def shown(self, id: int) -> CachedAccount | None:
        while True:
            view = self._view
            account = view.before.get(id)
            if account is not None:
                return account
            account = view.cache.accounts.get(id)
            if account is None or account.number > view.accounts:
                return None
            account = account.copy()
            if self._view is view:  # else the writer may have begun with it meanwhile
                return account

    def shown_together(self, ids: Iterable[int]) -> list[CachedAccount]:
        ids = list(ids)
        found: list[CachedAccount | None] = []
        for _ in range(ATTEMPTS_MAX):
            last_timestamp = self._view.last_timestamp
            found = [self.shown(account_id) for account_id in ids]
            if self._view.last_timestamp == last_timestamp:  # else a batch was committed in between
                break
        return [account for account in found if account is not None]

    def shown_number(self, number: int) -> CachedAccount | None:
        view = self._view
        return view.cache.account(number) if number <= view.accounts else None

    # Other reads

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        return [account.freeze() for account in self.shown_together(ids)]

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

    # The statement

    def _write(self, now: int, write: Callable[[PostgresBatch, Connection, Cache], bool]) -> None:
        """Applies and writes one batch, again each time another process was quicker."""
        assert 0 <= now <= TIMESTAMP_MAX, now
        for _ in range(ATTEMPTS_MAX):
            if self._stale:
                with unavailable("The ledger is not writable at the moment"):
                    self._connect()
            if self._attempt(write):
                return
        raise errors.Unavailable("Other processes write to this ledger all the time. Ask again with the same id.")

    def _attempt(self, write: Callable[[PostgresBatch, Connection, Cache], bool]) -> bool:
        assert self._db is not None
        cache = self._cache
        batch = PostgresBatch(cache, fast_path=self._fast_path, touched=lambda: self._show_before(batch))
        try:
            with unavailable("The ledger could not write"):
                written = write(batch, self._db, cache)
        except OvertakenError:
            written = False
        except BaseException:
            self._undo(batch)
            self._disconnect()
            raise
        if not written:
            self._undo(batch)
            return False
        self._view = _View(cache, {}, len(cache.numbered), cache.last_timestamp)
        cache.trim_newest()
        return True

    def _undo(self, batch: PostgresBatch) -> None:
        """The books are where they were, and may not be the server's."""
        self._stale = True
        batch.undo()
        self._view = self._view._replace(before={})

    def _show_before(self, batch: PostgresBatch) -> None:
        self._view = self._view._replace(before=batch.before)

    def _connect(self) -> None:
        """Connects if need be, and reads the books unless those in memory are still right. Raises psycopg.Error, Unavailable, UnknownFormat."""
        try:
            if self._db is None or self._db.closed:
                self._db = self._connector.connect_writer(self._lease_timeout_s)
                postgres_schema.prepare(self._db, self._connector.schema)
            cache = self._cache
            if not self._view.last_timestamp or not postgres_books.is_current(self._db, cache):
                _refuse_older(self._db, cache)
                cache = postgres_books.load(self._db)
        except BaseException:
            self._disconnect()
            raise
        self._cache = cache
        self._view = _View(cache, {}, len(cache.numbered), cache.last_timestamp)
        self._stale = False

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _is_due(self, cache: Cache, now: int) -> bool:
        return bool(cache.expires_next) and cache.expires_next <= max(now, cache.last_timestamp)

    def _warn(self) -> None:
        """Says so where the server itself is set up to lose what it has acknowledged."""
        assert self._db is not None
        with unavailable("The ledger could not be opened"):
            for (name,) in self._db.select("SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'"):
                log.warning("ledger_postgres_not_durable", setting=name)


def _refuse_older(db: Connection, cache: Cache) -> None:
    if not postgres_books.has_all_of(db, cache):
        raise errors.Unavailable(
            "The ledger's database has lost what was acknowledged: it is older than it was (a backup, or a standby that was behind),"
            " or another one. Bring back the newer one, or start this program anew to go on from the older."
        )
