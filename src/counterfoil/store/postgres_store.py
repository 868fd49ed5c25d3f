"""The store on a PostgreSQL server: the same promises, kept by threads, since every statement waits for another machine.

    write, write_together -> waiting -> the writer's thread: BEGIN, all that waits, COMMIT -> every caller is answered
    read, read_long       -> one of READERS_MAX threads, each with a connection of its own and one view of the data

So the event loop never waits for the server, and functions run beside it: they use what they were given, and what is not
changed while somebody else may look at it. One batch is under way at a time and on one connection, so numbers that a
function takes one higher than the last are in the order of commits, and whoever reads beside sees no gap that is filled later.

A server that is gone, restarts, has no room, or answers nothing within `BATCH_S_MAX` is `Unavailable` for the callers of that
batch, who ask again with the same ids; the next batch connects anew. When COMMIT's answer is lost, nobody knows whether it was
done: that is `Unavailable`, too. A read that finds its connection dead makes a new one by itself, once.

One thing a server cannot hold that a file can: the character U+0000 in a text. Whoever sends it hears `Malformed`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DataError, DBAPIError

from counterfoil.clock import Clock, SystemClock
from counterfoil.errors import Malformed, Unavailable
from counterfoil.store.database import QUEUE_SIZE_MAX, READERS_MAX, Store, Work, answer, discard, lose, run_all
from counterfoil.store.outages import is_outage
from counterfoil.store.postgres import Server, ServerConnection, TakenOverError

T = TypeVar("T")

BATCH_S_MAX: Final = 20.0
"""Seconds that the server has for a whole batch, COMMIT included, before the connection is cut."""
READ_S_MAX: Final = 10.0
READ_LONG_S_MAX: Final = 60.0
"""Seconds from the asking to the answer."""


class PostgresStore(Store):
    """The general database on a server. Only one process writes it: see `postgres`."""

    def __init__(self, url: str, *, queue_size_max: int = QUEUE_SIZE_MAX, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._server = Server(url, clock)
        self._reads: set[_Read] = set()
        super().__init__(make_url("postgresql+psycopg://"), queue_size_max=queue_size_max, clock=clock)

    @classmethod
    def open(cls, url: str, *, queue_size_max: int = QUEUE_SIZE_MAX) -> Self:
        store = cls(url, queue_size_max=queue_size_max)
        try:
            store._connect_writer()
        except BaseException as error:
            store.close()
            if isinstance(error, DBAPIError):
                raise Unavailable(store._server.unreachable(error)) from error
            raise
        return store

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """`fn`'s result from one consistent view, which has every write that was answered before."""
        return await self._read(fn, READ_S_MAX)

    async def read_long(self, fn: Callable[[Connection], T]) -> T:
        """As `read`, for searches, lists and reports that may take longer."""
        return await self._read(fn, READ_LONG_S_MAX)

    def close(self) -> None:
        if not self._closed:
            for reading in list(self._reads):
                reading.cut()  # or closing would wait for a server that answers nothing
        super().close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        assert not self._running, "the writer is running"
        connection = self._connect_writer()
        try:
            self._server.take_time()
            with connection.begin():
                yield connection
            self._server.take_no_time()
        except BaseException:
            self._forget_writer()
            raise

    async def run(self) -> None:
        """As every store's. Raises Unavailable once another process has written: what this one remembers may be wrong."""
        try:
            await super().run()
        except TakenOverError as error:
            raise Unavailable(str(error)) from error

    # The writer's parts

    async def _commit_batch(self, batch: list[Work]) -> None:
        """Has the batch done in the writer's thread, and answers every caller."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._commit_thread, self._carry_out, batch)
        late = loop.call_later(BATCH_S_MAX, self._server.cut_writer)
        try:
            outcomes = await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])  # the thread has the connection: nobody closes it meanwhile
            raise
        except Unavailable as error:
            lose(batch, error.detail)
            return
        except DBAPIError as error:
            if not is_outage(error):
                raise
            lose(batch, self._server.plain(error))
            return
        finally:
            late.cancel()
        answer(outcomes)

    def _carry_out(self, batch: list[Work]) -> list[tuple[Work, Any, Exception | None]]:
        try:
            connection = self._connect_writer()
            transaction = connection.begin()
            outcomes = run_all(connection, batch)
            transaction.commit()
        except BaseException:
            self._forget_writer()
            raise
        return [(work, result, _told(failure)) for work, result, failure in outcomes]

    def _forget_writer(self) -> None:
        discard(self._writer)
        self._writer = None

    async def _keep_log_short(self) -> None:
        """The server looks after its own log."""

    def _engine(self, *, writer: bool) -> Engine:
        return self._server.engine(writer=writer, pool_size=READERS_MAX)

    # Reading

    async def _read(self, fn: Callable[[Connection], T], seconds: float) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        loop, reading = asyncio.get_running_loop(), _Read()
        late = loop.call_later(seconds, reading.cut)
        self._reads.add(reading)
        try:
            return await loop.run_in_executor(self._read_threads, self._read_once_or_twice, fn, reading)
        finally:
            late.cancel()
            self._reads.discard(reading)

    def _read_once_or_twice(self, fn: Callable[[Connection], T], reading: _Read) -> T:
        try:
            return self._read_once(fn, reading)
        except DBAPIError as error:
            if not is_outage(error):
                raise
            if reading.is_cut or not error.connection_invalidated:
                raise Unavailable(f"the database does not answer: {self._server.plain(error)}") from error
        try:  # the connection was from before a restart; the pool has forgotten all of those
            return self._read_once(fn, reading)
        except DBAPIError as error:
            if not is_outage(error):
                raise
            raise Unavailable(f"the database does not answer: {self._server.plain(error)}") from error

    def _read_once(self, fn: Callable[[Connection], T], reading: _Read) -> T:
        if reading.is_cut:
            raise Unavailable("the database does not answer: too much is being read")
        with self._reader_engine.connect() as connection:
            reading.begin(connection)
            try:
                return fn(connection)
            finally:
                reading.end()


def _told(failure: Exception | None) -> Exception | None:
    """What the caller hears."""
    if isinstance(failure, DataError) and "NUL (0x00)" in str(failure.orig):
        return Malformed("text", "must not contain the character U+0000")
    return failure


class _Read:
    """A read under way, which the event loop can break off."""

    __slots__ = ("is_cut", "_connection")

    def __init__(self) -> None:
        self.is_cut = False
        self._connection: ServerConnection | None = None

    def begin(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, ServerConnection), driver
        self._connection = driver
        if self.is_cut:  # just now
            driver.cut()

    def end(self) -> None:
        self._connection = None

    def cut(self) -> None:
        self.is_cut = True
        if (connection := self._connection) is not None:
            connection.cut()
