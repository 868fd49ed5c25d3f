"""Connections to a PostgreSQL server, and the lease of the one process that writes a store.

Every connection has bounds of its own on connecting, on waiting for a lock, on a statement and on idling; beyond them the server
gives up. Against a server that stands still, or a network that swallows what is sent, a connection can be `cut` from another thread.

The lease is a session's advisory lock, held by the very connection that writes: a process that has lost the connection cannot
write, and the server frees the lease when that connection's other end is gone. What others may have written meanwhile is seen
by `store_lease.term`, which every new holder raises. A pooler in between must keep one session for one client.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from typing import Any, Final

import psycopg
import structlog
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool, QueuePool

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.config import without_password
from counterfoil.errors import Refused, Unavailable, UnknownFormat

CONNECT_S_MAX: Final = 5
LOCK_S_MAX: Final = 5
STATEMENT_S_MAX: Final = 60
"""Seconds that the server works on one statement. Migrations, which may take longer, are without it."""
IDLE_S_MAX: Final = 60
"""Seconds between two statements of one transaction."""
LEASE_S_MAX: Final = 5.0
"""Seconds that a new writer waits for the one before it."""
LEASE_LOOK_S: Final = 0.05
SILENCE_S_MAX: Final = 20
"""Seconds after which either side takes a network that answers nothing for gone."""
VERSION_MIN: Final = 140_000

_NETWORK: Final = {
    "connect_timeout": str(CONNECT_S_MAX),
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": str(SILENCE_S_MAX * 1_000),
}
"""libpq's own; what the operator's URL says of them counts more."""
_SESSION: Final = {
    "lock_timeout": f"{LOCK_S_MAX}s",
    "idle_in_transaction_session_timeout": f"{IDLE_S_MAX}s",
    "statement_timeout": f"{STATEMENT_S_MAX}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": f"{SILENCE_S_MAX}s",
}
"""How the server sees to it that nothing of a machine that has gone stays: neither its locks nor the lease."""
_PREPARE: Final = "SELECT current_setting('server_version_num'), current_setting('server_encoding')" + "".join(
    f", set_config('{name}', '{value}', false)" for name, value in _SESSION.items()
)
_LEASE: Final = "1129730164, ('x' || left(md5(coalesce(current_schema(), '')), 8))::bit(32)::int"
"""The advisory lock's two numbers: "CfSt", and the schema that the tables are in."""
_HOLDER: Final = """
    SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'this machine'), to_char(a.backend_start, 'YYYY-MM-DD HH24:MI')
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint, l.objid::bigint) = (1129730164, (('x' || left(md5(coalesce(current_schema(), '')), 8))::bit(32))::bigint)
"""

log = structlog.get_logger(__name__)


class TakenOverError(Exception):
    """Another process writes this store now: this one must not go on with what it remembers."""


class _WholeNumeric(Loader):
    """Sums of whole numbers are numeric on PostgreSQL; here they are what they are on every other database."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


class ServerConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that another thread can cut."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._guard = threading.Lock()

    def cut(self) -> None:
        """Ends whatever waits for the server, at once and with an outage. From any thread; safe to repeat."""
        with self._guard, contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._guard:  # the number of a closed socket may be another's already
            super().close()


class Server:
    """A database on a server, as the setting `store` names it."""

    def __init__(self, url: str, clock: Clock) -> None:
        """`url`: libpq's, such as "postgresql://counterfoil@db.internal/counterfoil". Raises Refused when it is none."""
        self.shown = without_password(url)
        self._clock = clock
        self._parameters: dict[str, Any] = _NETWORK | _parsed(url)
        self._secrets = [value for name, value in self._parameters.items() if "password" in name and value]
        self._name = f"counterfoil store {clock.random_bytes(8).hex()}"
        self._writing: ServerConnection | None = None
        self._term: int | None = None
        self._held_before = False

    def engine(self, *, writer: bool, pool_size: int = 1) -> Engine:
        """Connections for SQLAlchemy; the one for writing takes the lease as soon as it is made, and may wait for it."""
        if writer:
            return create_engine("postgresql+psycopg://", creator=self._writer, poolclass=NullPool, use_native_hstore=False)
        return create_engine(
            "postgresql+psycopg://", creator=self._reader, poolclass=QueuePool, pool_size=pool_size, max_overflow=0, use_native_hstore=False
        )

    def plain(self, error: BaseException) -> str:
        """What `error` says, on one line and without the password."""
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def unreachable(self, error: BaseException) -> str:
        """Why there is no connection, and what to look at."""
        text = self.plain(error)
        if "password" in text or "authentication" in text:
            advice = "check user and password: the password may stand in the URL, in PGPASSWORD or in ~/.pgpass"
        elif "database" in text and "does not exist" in text:
            advice = "make it first: CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'"
        elif "read-only" in text:
            advice = "this is a standby: name the primary, or all of them with ?target_session_attrs=read-write"
        elif "role" in text and "does not exist" in text:
            advice = "make the user first: CREATE ROLE ... LOGIN"
        else:
            advice = "check that the server runs and takes connections, and that the setting `store` names its host and port"
        return f"the store at {self.shown} cannot be reached: {text}. What to do: {advice}"

    def cut_writer(self) -> None:
        """Breaks off what the writer's connection is waiting for. From any thread."""
        if (db := self._writing) is not None:
            db.cut()

    def take_time(self) -> None:
        """From now on a statement of the writer's connection may take as long as it takes."""
        self._limit("0")

    def take_no_time(self) -> None:
        """The opposite."""
        self._limit(_SESSION["statement_timeout"])

    def _limit(self, statement_timeout: str) -> None:
        assert self._writing is not None
        self._writing.autocommit = True
        self._writing.execute("SELECT set_config('statement_timeout', %s, false)", (statement_timeout,))
        self._writing.autocommit = False

    def _connect(self) -> ServerConnection:
        db = ServerConnection.connect(**self._parameters | {"application_name": self._name}, autocommit=True)
        try:
            version, encoding, *_ = db.execute(_PREPARE.encode()).fetchone() or ()
            self._check(int(version), encoding if isinstance(encoding, str) else encoding.decode())
            db.adapters.register_loader("numeric", _WholeNumeric)
        except BaseException:
            db.close()
            raise
        return db

    def _check(self, version: int, encoding: str) -> None:
        if version < VERSION_MIN:
            raise UnknownFormat(f"the store at {self.shown} is on PostgreSQL {version // 10_000}: 14 or later is needed")
        if encoding != "UTF8":
            raise UnknownFormat(
                f"the database at {self.shown} has the encoding {encoding}: make one with CREATE DATABASE ... TEMPLATE template0 "
                "ENCODING 'UTF8'"
            )

    def _reader(self) -> ServerConnection:
        db = self._connect()
        db.autocommit = False
        db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one view for all statements of a transaction
        db.read_only = True
        return db

    def _writer(self) -> ServerConnection:
        db = self._writing = self._connect()
        try:
            if _one(db, "SHOW synchronous_commit") == "off":
                db.execute("SET synchronous_commit = on")  # what was acknowledged is kept
            if _one(db, "SHOW fsync") == "off":
                log.warning("store_is_not_durable", why="fsync is off on the PostgreSQL server: a crash of its machine loses payments")
            self._take_lease(db)
        except BaseException:
            db.close()
            raise
        db.autocommit = False
        db.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return db

    # The lease

    def _take_lease(self, db: ServerConnection) -> None:
        """Raises Unavailable when another holds it, TakenOverError when another has held it since we did."""
        until = self._clock.monotonic_ns() + int(LEASE_S_MAX * NANOSECONDS)
        pause = threading.Event()
        while not _one(db, f"SELECT pg_try_advisory_lock({_LEASE})"):
            holder = db.execute(_HOLDER.encode()).fetchone()
            if holder is not None and holder[1] == self._name:
                db.execute("SELECT pg_terminate_backend(%s)", (holder[0],))  # our own, which we have lost and the server has not
            elif holder is not None and self._held_before:
                raise TakenOverError(f"another process has taken over the store at {self.shown}: {_described(holder)}")
            if self._clock.monotonic_ns() > until:
                whom = "unknown" if holder is None else _described(holder)
                raise Unavailable(
                    f"the store at {self.shown} is being written by another process ({whom}): stop that one first, "
                    "or start this one again when it has gone"
                )
            pause.wait(LEASE_LOOK_S)
        if _one(db, "SELECT to_regclass('store_lease') IS NOT NULL"):
            if self._term is None:
                self._term = _one(db, "UPDATE store_lease SET term = term + 1 RETURNING term")
            elif self._term != (term := _one(db, "SELECT term FROM store_lease")):
                raise TakenOverError(f"another process has written the store at {self.shown} meanwhile (term {term}, ours is {self._term})")
        self._held_before = True


def _one(db: ServerConnection, statement: str) -> Any:
    row = db.execute(statement.encode()).fetchone()
    return None if row is None else row[0]


def _described(holder: tuple[Any, ...]) -> str:
    pid, name, address, since = holder
    return f"{name or 'without a name'}, server process {pid}, from {address}, since {since}"


def _parsed(url: str) -> dict[str, str]:
    """libpq's parameters. What libpq says of a wrong URL may be a piece of a password: it is told to nobody."""
    parsed: dict[str, str] = {}
    with contextlib.suppress(psycopg.Error):
        parsed = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    if not parsed or not re.fullmatch(r"[0-9,]*", parsed.get("port", "")):
        raise Refused(
            "the setting `store` is not a URL that PostgreSQL takes, such as postgresql://user@host:5432/database: "
            "in user, password and database, other characters than letters and digits are written as %-codes"
        )
    return parsed
