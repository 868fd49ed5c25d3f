"""The general database read from beside its writer, in this or another process: synchronous, and never a write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.store.database import POSTGRES, missing_driver
from counterfoil.store.outages import is_outage, reason

T = TypeVar("T")

LOCK_WAIT_MS_MAX = 1_000
"""Milliseconds that a read waits for another process to let go of the database."""


class StoreReader:
    """One connection for reading. Sees what is committed; has one caller at a time.

    `url` as for `Store.open`; the database must have been migrated. Connects with the first read.
    """

    def __init__(self, url: str) -> None:
        self._engine = _postgres(url) if url.startswith(POSTGRES) else _sqlite(url)
        self._connection: Connection | None = None

    def read(self, fn: Callable[[Connection], T]) -> T:
        """`fn`'s result from one consistent view of all that is committed now. Raises Unavailable when the database does not answer."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                return fn(self._connection)
        except DBAPIError as error:
            self.close()
            if not is_outage(error):
                raise  # the statement is wrong
            raise Unavailable(f"the database does not answer: {reason(error)}") from error

    def close(self) -> None:
        """Lets go of the file, or the connection; the next read opens it again. Safe to repeat."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _postgres(url: str) -> Engine:
    try:
        from counterfoil.store.postgres import Server
    except ModuleNotFoundError as error:
        raise missing_driver(error) from None
    return Server(url, SystemClock()).engine(writer=False)


def _sqlite(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.database:  # a file that is not there must not come to be
        parsed = parsed.set(database=Path(parsed.database).absolute().as_uri(), query={"mode": "rw", "uri": "true"})
    engine = create_engine(parsed, pool_size=1, max_overflow=0, poolclass=QueuePool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not guessed by the driver
        connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS_MAX}")
        connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine
