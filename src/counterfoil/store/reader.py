"""The general database read from beside its writer, in this or another process: synchronous, and never a write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from counterfoil.errors import Unavailable
from counterfoil.store.database import SQLITE_OUTAGES

T = TypeVar("T")

LOCK_WAIT_MS_MAX = 1_000
"""Milliseconds that a read waits for another process to let go of the database."""


class StoreReader:
    """One connection for reading. Sees what is committed; has one caller at a time.

    `url` as for `Store.open`; the database must have been migrated. Connects with the first read.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:  # a file that is not there must not come to be
            parsed = parsed.set(database=Path(parsed.database).absolute().as_uri(), query={"mode": "rw", "uri": "true"})
        self._engine = create_engine(parsed, pool_size=1, max_overflow=0, poolclass=QueuePool)
        self._connection: Connection | None = None
        if self._engine.dialect.name == "sqlite":

            @event.listens_for(self._engine, "connect")
            def prepare(connection: Any, _: Any) -> None:
                connection.isolation_level = None  # transactions are begun below, not guessed by the driver
                connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS_MAX}")
                connection.execute("PRAGMA query_only = ON")

            @event.listens_for(self._engine, "begin")
            def begin(connection: Connection) -> None:
                connection.exec_driver_sql("BEGIN")

    def read(self, fn: Callable[[Connection], T]) -> T:
        """`fn`'s result from one consistent view of all that is committed now. Raises Unavailable when the database does not answer."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                return fn(self._connection)
        except DBAPIError as error:
            self.close()
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
            if code and code not in SQLITE_OUTAGES:
                raise  # the statement is wrong
            raise Unavailable(f"the database does not answer: {error.orig}") from error

    def close(self) -> None:
        """Lets go of the file; the next read opens it again. Safe to repeat."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
