"""One writer with group commit, and readers beside it.

    write, write_together -> waiting -> BEGIN, all that waits, each in its own savepoint, COMMIT -> every caller is answered

What is answered is durable. Speed comes from the batch: the flush to disk is paid once for all that waits, and never
waited for. A function that fails takes only its own work with it. A full disk, a lock that does not go away or a lost
connection is `Unavailable` for the callers of that batch; the store lives on and tries anew with the next.

All SQL runs in the thread of the event loop, since handing over costs more than the work. COMMIT alone moves to a thread
once the disk has shown that it needs longer than `COMMIT_INLINE_S_MAX`: a disk with a battery answers in 0.1 ms, a phone's
memory card in 20 ms. Functions are plain: no I/O of their own, no waiting, at most about a millisecond.

That is SQLite, which answers in microseconds. A server is waited for: see `postgres_store`, which does the same in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from counterfoil.clock import NANOSECONDS, Clock, SystemClock
from counterfoil.errors import Refused, Unavailable
from counterfoil.store.outages import SQLITE_BUSY, is_outage, reason, sqlite_code

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item, as in the signature that everybody knows
R = TypeVar("R")

QUEUE_SIZE_MAX = 20_000
"""Pieces of work that may wait for the writer; beyond it callers hear Unavailable at once."""
POSTGRES = "postgresql://"
BATCH_SIZE_MAX = 2_000
"""Pieces of work in one transaction."""
READERS_MAX = 4
"""Connections for reads that are worth a thread."""
LOCK_WAIT_S_MAX = 5.0
"""Seconds that a batch waits for another process to let go of the database."""
COMMIT_INLINE_S_MAX = 0.001
"""Seconds of COMMIT that the event loop bears; beyond, COMMIT is handed to a thread."""
CHECKPOINT_INTERVAL_S = 0.25
"""Seconds between two checkpoints while there are writes; a background connection makes them."""
WAL_SIZE_MAX = 64 * 2**20
"""Bytes of write-ahead log after which the writer waits until it could be started anew."""

log = structlog.get_logger(__name__)


class Work:
    """One caller's work and the future that the caller waits for."""

    __slots__ = ("fn", "item", "together", "future")

    def __init__(self, fn: Callable[..., Any], item: Any, together: bool, future: asyncio.Future[Any]) -> None:
        self.fn = fn
        self.item = item
        self.together = together
        self.future = future


class Store:
    """The general database.

    `run()` must be running for writes to be answered. Reads see every write that has been answered.
    """

    def __init__(self, url: URL, *, queue_size_max: int = QUEUE_SIZE_MAX, clock: Clock | None = None) -> None:
        self.url = url
        self._clock = clock or SystemClock()
        self._queue_size_max = queue_size_max
        self._writer_engine = self._engine(writer=True)
        self._reader_engine = self._engine(writer=False)
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._waiting: list[Work] = []
        self._wake = asyncio.Event()
        self._finished = asyncio.Event()
        self._running = False
        self._stopping = False
        self._closed = False
        self._commit_s = 0.0
        self._commit_thread = ThreadPoolExecutor(1, "store-commit")
        self._checkpoint_thread = ThreadPoolExecutor(1, "store-checkpoint")
        self._read_threads = ThreadPoolExecutor(READERS_MAX, "store-read")
        self._checkpoint: asyncio.Future[None] | None = None
        self._checkpoint_at = 0.0

    @classmethod
    def open(cls, url: str, *, queue_size_max: int = QUEUE_SIZE_MAX) -> Store:
        """The database at `url`, such as "sqlite:////var/lib/counterfoil/store.sqlite", or "postgresql://..." as libpq takes it.

        It must have been migrated. A SQLite file that does not exist is created, readable by its owner only. Raises Unavailable
        when it cannot be opened; of a server also when another process writes it, and Refused or UnknownFormat for one that we
        cannot work with.
        """
        if url.startswith(POSTGRES):
            return open_postgres(url, queue_size_max=queue_size_max)
        store = cls(make_url(url), queue_size_max=queue_size_max)
        try:
            if store.url.database:
                os.close(os.open(store.url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            store._connect_writer()
        except (DBAPIError, OSError) as error:
            store.close()
            raise Unavailable(f"the database cannot be opened: {error}") from error
        return store

    # Writing

    async def write_together(self, fn: Callable[[Connection, list[I]], list[R]], item: I) -> R:
        """`fn`'s result for `item`, durable on return. One call of `fn` serves all items that wait with the same `fn`.

        For the hot path: `fn` gets the items in order of arrival and returns as many results in the same order, typically
        from one executemany. When it raises, the items are tried again in halves, so that only the culprit hears of it:
        `fn` must do nothing but SQL, and should answer expected conflicts with values instead of raising.
        """
        result: R = await self._enqueue(fn, item, together=True)
        return result

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """`fn`'s result, durable on return. Raises what `fn` raises; then nothing that `fn` wrote remains."""
        result: T = await self._enqueue(fn, None, together=False)
        return result

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """`fn`'s result from one consistent view. Runs in the event loop's thread: for indexed reads well below 1 ms.

        A small read costs about 0.1 ms here and twice that through a thread, so there is nothing to gain by handing over.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            if self._reader is None:
                self._reader = self._reader_engine.connect()
            transaction = self._reader.begin()
            try:
                return fn(self._reader)
            finally:
                transaction.close()
        except DBAPIError as error:
            if not is_outage(error):
                raise
            discard(self._reader)
            self._reader = None
            raise Unavailable(f"the database does not answer: {reason(error)}") from error

    async def read_long(self, fn: Callable[[Connection], T]) -> T:
        """As `read`, in a thread of its own: for searches, lists and reports that may take longer."""
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self._read_in_thread, fn)

    async def run(self) -> None:
        """The writer's loop. Returns once `stop()` was called and all that waited is done. A bug here ends it with the bug."""
        assert not self._running, "one writer"
        if self._closed:
            return  # stopped before it began
        self._running = True
        try:
            while True:
                if not self._waiting:
                    if self._stopping:
                        break
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                batch = self._waiting[:BATCH_SIZE_MAX]
                del self._waiting[: len(batch)]
                try:
                    await self._commit_batch(batch)
                except BaseException:
                    _fail(batch, "the store has stopped")  # those already answered are not touched
                    raise
                await self._keep_log_short()
                await asyncio.sleep(0)  # callers and their next work get their turn, and join the next batch
        finally:
            self._running = False
            self._stopping = True
            _fail(self._waiting, "the store has stopped")
            self._waiting = []
            self.close()
            self._finished.set()

    async def stop(self) -> None:
        """Takes no new work, lets `run()` finish what waits, and returns when everything is closed. Safe to repeat."""
        self._stopping = True
        self._wake.set()
        if self._running:
            await self._finished.wait()
        else:
            self.close()

    def close(self) -> None:
        """Lets go of files and threads at once; `stop()` is the polite way. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        for threads in (self._commit_thread, self._checkpoint_thread, self._read_threads):
            threads.shutdown(wait=True)
        discard(self._writer)
        self._writer = None
        discard(self._reader)
        self._reader = None
        self._writer_engine.dispose()
        self._reader_engine.dispose()

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for the writer now."""
        return len(self._waiting)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction of one's own, for migrations and command lines: synchronous, and only while `run()` is not running."""
        assert not self._running, "the writer is running"
        connection = self._connect_writer()
        connection.connection.cursor().execute(f"PRAGMA busy_timeout = {int(LOCK_WAIT_S_MAX * 1_000)}")
        try:
            with connection.begin():
                yield connection
        finally:
            discard(self._writer)
            self._writer = None

    def _engine(self, *, writer: bool) -> Engine:
        return _create_engine(self.url, writer=writer)

    # The writer's parts

    def _enqueue(self, fn: Callable[..., Any], item: Any, *, together: bool) -> asyncio.Future[Any]:
        if self._stopping:
            raise Unavailable("the store has stopped")
        if len(self._waiting) >= self._queue_size_max:
            raise Unavailable("too much is waiting to be stored")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Work(fn, item, together, future))
        if len(self._waiting) == 1:  # else the writer is awake already
            self._wake.set()
        return future

    async def _commit_batch(self, batch: list[Work]) -> None:
        """Runs the batch in one transaction, commits it, and answers every caller."""
        try:
            connection, transaction = await self._begin()
            outcomes = run_all(connection, batch)
            await self._commit(transaction)
        except DBAPIError as error:
            if not is_outage(error):
                raise
            # Not even a rollback can be trusted now (SQLite may have rolled back by itself when the disk is full): a new connection can.
            discard(self._writer)
            self._writer = None
            lose(batch, reason(error))
            return
        answer(outcomes)

    async def _begin(self) -> tuple[Connection, RootTransaction]:
        """An open transaction that holds the write lock. Waits for another process without holding up the event loop."""
        deadline = self._monotonic_s() + LOCK_WAIT_S_MAX
        while True:
            try:
                connection = self._connect_writer()
                return connection, connection.begin()
            except DBAPIError as error:
                if sqlite_code(error) != SQLITE_BUSY or self._monotonic_s() > deadline:
                    raise
                discard(self._writer)
                self._writer = None
            await asyncio.sleep(0.005)

    async def _commit(self, transaction: RootTransaction) -> None:
        def commit() -> float:
            started = self._monotonic_s()
            transaction.commit()
            return self._monotonic_s() - started

        if self._commit_s <= COMMIT_INLINE_S_MAX:
            seconds = commit()
        else:
            future = asyncio.get_running_loop().run_in_executor(self._commit_thread, commit)
            try:
                seconds = await asyncio.shield(future)
            except asyncio.CancelledError:
                await asyncio.wait([future])  # the thread has the connection: nobody closes it meanwhile
                raise
        self._commit_s += (seconds - self._commit_s) / 8  # a moving average, so that one slow flush does not decide

    async def _keep_log_short(self) -> None:
        """Starts a checkpoint now and then, beside the writes; waits for it only when the log has become long."""
        if self._checkpoint is not None and not self._checkpoint.done():
            if self._log_is_long():
                await asyncio.wait([self._checkpoint])
            return
        now = self._monotonic_s()
        if now - self._checkpoint_at < CHECKPOINT_INTERVAL_S:
            return
        self._checkpoint_at = now
        is_long = self._log_is_long()
        mode = "RESTART" if is_long else "PASSIVE"
        self._checkpoint = asyncio.get_running_loop().run_in_executor(self._checkpoint_thread, self._make_checkpoint, mode)
        if is_long:
            await asyncio.wait([self._checkpoint])

    def _log_is_long(self) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"{self.url.database}-wal").stat().st_size > WAL_SIZE_MAX
        return False

    def _make_checkpoint(self, mode: str) -> None:
        try:
            connection = self._reader_engine.raw_connection()
            try:
                connection.cursor().execute(f"PRAGMA wal_checkpoint({mode})")  # outside any transaction
            finally:
                connection.close()
        except Exception as error:  # a full disk, a lock: the next one will do it
            log.warning("store_checkpoint_failed", mode=mode, error=str(error))

    def _monotonic_s(self) -> float:
        return self._clock.monotonic_ns() / NANOSECONDS

    def _connect_writer(self) -> Connection:
        if self._writer is None:
            self._writer = self._writer_engine.connect()
        return self._writer

    def _read_in_thread(self, fn: Callable[[Connection], T]) -> T:
        try:
            with self._reader_engine.connect() as connection:
                return fn(connection)
        except DBAPIError as error:
            if not is_outage(error):
                raise
            raise Unavailable(f"the database does not answer: {reason(error)}") from error


def open_postgres(url: str, *, queue_size_max: int) -> Store:
    """The store on a server. Raises Refused where the driver is not installed."""
    try:
        from counterfoil.store.postgres_store import PostgresStore
    except ModuleNotFoundError as error:
        raise missing_driver(error) from None
    return PostgresStore.open(url, queue_size_max=queue_size_max)


def missing_driver(error: ModuleNotFoundError) -> Refused:
    """What to tell where an optional driver is needed and not there. Raises `error` itself when something else is missing."""
    extra = {"psycopg": "postgres", "tigerbeetle": "tigerbeetle", "aiosmpplib": "smpp"}.get(error.name or "")
    if extra is None:
        raise error
    return Refused(f"the settings need a driver that is not installed: pip install 'counterfoil[{extra}]'")


def run_all(connection: Connection, batch: list[Work]) -> list[tuple[Work, Any, Exception | None]]:
    """Runs everything in the open transaction; for each work its result or its own failure. Raises only outages."""
    outcomes: list[tuple[Work, Any, Exception | None]] = []
    groups: dict[Callable[..., Any], list[Work]] = {}
    for work in batch:
        if work.together:
            groups.setdefault(work.fn, []).append(work)
    for work in batch:
        if not work.together:
            result, failure = _run_in_savepoint(connection, work.fn)
            outcomes.append((work, result, failure))
        elif work.fn in groups:
            outcomes += _run_group(connection, work.fn, groups.pop(work.fn))
    assert len(outcomes) == len(batch), (len(outcomes), len(batch))
    return outcomes


def _run_group(connection: Connection, fn: Callable[..., Any], works: list[Work]) -> list[tuple[Work, Any, Exception | None]]:
    def call(connection: Connection) -> list[Any]:
        results: list[Any] = fn(connection, [work.item for work in works])
        assert len(results) == len(works), (fn, len(results), len(works))
        return results

    results, failure = _run_in_savepoint(connection, call)
    if failure is None:
        assert results is not None
        return [(work, result, None) for work, result in zip(works, results, strict=True)]
    if len(works) == 1:
        return [(works[0], None, failure)]
    middle = len(works) // 2
    return _run_group(connection, fn, works[:middle]) + _run_group(connection, fn, works[middle:])


def _run_in_savepoint(connection: Connection, fn: Callable[[Connection], T]) -> tuple[T | None, Exception | None]:
    """The result of `fn`, or what it raised after undoing what it wrote. Raises outages: they concern the whole batch."""
    _carry_out(connection, "SAVEPOINT work")
    try:
        result = fn(connection)
        assert connection.in_transaction(), "a function of the store neither commits nor rolls back"
        _carry_out(connection, "RELEASE SAVEPOINT work")
    except Exception as error:  # the caller is told; the others in the batch are not concerned
        if isinstance(error, DBAPIError) and is_outage(error):
            raise
        _carry_out(connection, "ROLLBACK TO SAVEPOINT work")
        _carry_out(connection, "RELEASE SAVEPOINT work")
        return None, error
    return result, None


def _carry_out(connection: Connection, sql: str) -> None:
    """A statement that frames others, at the driver's own cost: there are three to every small write. Raises what SQLAlchemy raises."""
    driver: Any = connection.connection.driver_connection
    base: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        driver.execute(sql)
    except base as error:
        raise DBAPIError.instance(sql, None, error, base, dialect=connection.dialect) from error


def answer(outcomes: list[tuple[Work, Any, Exception | None]]) -> None:
    for work, result, failure in outcomes:
        if work.future.done():
            continue  # the caller has gone; the work stands
        if failure is None:
            work.future.set_result(result)
        else:
            work.future.set_exception(failure)


def lose(batch: list[Work], why: str) -> None:
    """Tells everybody in the batch that it is not known what became of it."""
    log.warning("store_batch_lost", size=len(batch), error=why)
    _fail(batch, f"could not be stored: {why}")


def _fail(works: list[Work], why: str) -> None:
    for work in works:
        if not work.future.done():
            work.future.set_exception(Unavailable(why))


def discard(connection: Connection | None) -> None:
    """Closes a connection whatever state it is in; the file's locks go with it."""
    if connection is not None:
        with contextlib.suppress(DBAPIError):
            connection.invalidate()
        with contextlib.suppress(DBAPIError):
            connection.close()


def _create_engine(url: URL, *, writer: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("the store needs a file: reads run beside the writer")
    arguments = {"check_same_thread": False}  # COMMIT may run in another thread; never two at once
    if writer:
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    else:
        engine = create_engine(url, poolclass=QueuePool, pool_size=READERS_MAX + 2, max_overflow=0, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not guessed by the driver
        connection.execute("PRAGMA busy_timeout = 1000")  # another process that ends may hold the file for a moment
        connection.execute("PRAGMA journal_mode = WAL")
        if writer:
            connection.execute("PRAGMA busy_timeout = 0")  # from here on it waits without blocking the event loop
        connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged is kept
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # a background connection does it, or COMMIT would stall now and then
        connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_MAX}")  # or a log that was long once would look long for ever
        if not writer:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        _carry_out(connection, "BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine
