"""Connections of the postgres engine: with deadlines, settings of their own, ids as numbers, and the writer's lease.

Nothing here waits for ever. The server ends a statement after STATEMENT_S_MAX; where the server does not answer at all
(it is stopped, or the network swallows everything), the client gives up after DEADLINE_S. A server learns within about
10 seconds that a client's machine is gone, and lets its lease go.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors as sql_errors
from psycopg import sql
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Format

from counterfoil import errors
from counterfoil.clock import Clock

CONNECT_S_MAX: Final = 5
STATEMENT_S_MAX: Final = 20
"""Above it the server ends a statement."""
DEADLINE_S: Final = 30
"""Above it the client closes the connection."""
SERVER_VERSION_MIN: Final = 130_000
LEASE: Final = 0x43464C47
"""The first half of the advisory lock that the writer holds; the second is the schema."""

_INT4, _INT8, _UUID = 23, 20, 2950
_ID_SIZE: Final = 16

R = TypeVar("R")
Row = tuple[Any, ...]


class Int4s(bytes):
    """An int4[] as PostgreSQL takes it."""


class Int8s(bytes):
    """An int8[]."""


class Ids(bytes):
    """A uuid[]: ids of 128 bits."""


def int4s(numbers: Sequence[int]) -> Int4s:
    return Int4s(_packed(array("i", numbers), _INT4))


def int8s(numbers: Sequence[int]) -> Int8s:
    """Raises TypeError where one of them is not a number, OverflowError beyond 63 bits."""
    return Int8s(_packed(array("q", numbers), _INT8))


def ids(keys: Sequence[bytes]) -> Ids:
    """`keys`: 16 big-endian bytes each."""
    return Ids(_array(b"".join(keys), _ID_SIZE, _UUID))


def _packed(numbers: array[int], oid: int) -> bytes:
    numbers.byteswap()
    return _array(numbers.tobytes(), numbers.itemsize, oid)


def _array(values: bytes, size: int, oid: int) -> bytes:
    """The binary form of an array of values of one size. Byte by byte across all of them: a tenth of the time of one by one."""
    count = len(values) // size
    if not count:
        return struct.pack(">iii", 0, 0, oid)
    elements = bytearray((4 + size) * count)
    elements[3 :: 4 + size] = bytes([size]) * count
    for index in range(size):
        elements[4 + index :: 4 + size] = values[index::size]
    return struct.pack(">iiiii", 1, 0, oid, count, 1) + elements


class _Packed(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer:
        assert isinstance(obj, bytes), type(obj)
        return obj


class _Int4s(_Packed):
    oid = 1007


class _Int8s(_Packed):
    oid = 1016


class _Ids(_Packed):
    oid = 2951


class _Id(Loader):
    """A uuid as a number."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int.from_bytes(data)


class Connection(psycopg.Connection[Row]):
    """In autocommit mode: a statement is a transaction. No wait for the server is longer than `deadline_s`."""

    deadline_s: float = DEADLINE_S

    def wait(self, gen: PQGen[R], interval: float = 1.0, timeout: float | None = None) -> R:
        try:
            return super().wait(gen, interval, self.deadline_s if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # not the server's answer, which may come later: nobody may take it for another's
                self.pgconn.finish()
            raise

    def select(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows. `query` is a constant of this package."""
        return self.execute(query, parameters, prepare=True, binary=True).fetchall()


class Connector:
    """Makes the connections of one engine.

    Attributes:
        name: how the engine's connections are called in pg_stat_activity: no two engines have the same.
    """

    def __init__(self, url: str, schema: str, clock: Clock) -> None:
        """Raises Unavailable if `url` is not one."""
        self.schema = schema
        self.name = f"counterfoil-ledger-{clock.random_bytes(8).hex()}"
        # Where there are several servers, the one that can be written; and no half-open connection is waited for.
        defaults: dict[str, Any] = {
            "connect_timeout": CONNECT_S_MAX, "target_session_attrs": "read-write", "tcp_user_timeout": 10_000,
            "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
        }  # fmt: skip
        with unavailable("The ledger's database cannot be named like this"):
            given = conninfo_to_dict(url)
            self._conninfo = make_conninfo(**(defaults | given | {"application_name": self.name}))

    def connect(self) -> Connection:
        """A connection with our settings. Raises psycopg.Error."""
        db = Connection.connect(self._conninfo, autocommit=True)
        try:
            for dumped, dumper in ((Int4s, _Int4s), (Int8s, _Int8s), (Ids, _Ids)):
                db.adapters.register_dumper(dumped, dumper)
            db.adapters.register_loader("uuid", _Id)
            settings = {
                "search_path": sql.Identifier(self.schema).as_string(db),
                "synchronous_commit": "on",  # a payment acknowledged is a payment kept
                "statement_timeout": f"{STATEMENT_S_MAX}s",
                "idle_in_transaction_session_timeout": f"{DEADLINE_S}s",
                "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3", "tcp_user_timeout": "10s",
                # All that we ask has an index. Statistics, which may be old or missing, could only lead to worse ways.
                "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
                "plan_cache_mode": "force_generic_plan",  # or it would plan around megabytes of arrays, each time anew
            }  # fmt: skip
            calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            db.execute(f"SELECT {calls}", [part for setting in settings.items() for part in setting])
        except BaseException:
            db.close()
            raise
        return db

    def connect_writer(self, lease_timeout_s: float | None) -> Connection:
        """A connection that holds the lease. Raises psycopg.Error, Unavailable if another process holds it for longer than that."""
        db = self.connect()
        try:
            _check_version(db.info.server_version)
            if lease_timeout_s is not None:
                # What is left of a connection of our own that was cut holds the lease until it notices.
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = %s AND usename = current_user AND pid <> pg_backend_pid() AND pid IN (SELECT pid FROM pg_locks"
                    f" WHERE locktype = 'advisory' AND classid = {LEASE} AND granted)",
                    (self.name,),
                )
                self._take_lease(db, lease_timeout_s)
        except BaseException:
            db.close()
            raise
        return db

    def _take_lease(self, db: Connection, timeout_s: float) -> None:
        timeout_ms = round(timeout_s * 1_000)
        limits = "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)"
        db.execute(limits, (f"{max(1, timeout_ms)}ms", f"{timeout_ms + STATEMENT_S_MAX * 1_000}ms"))
        db.deadline_s = timeout_s + DEADLINE_S
        try:
            db.execute(f"SELECT pg_advisory_lock({LEASE}, hashtext(%s))", (self.schema,))
        except sql_errors.LockNotAvailable as error:
            raise errors.Unavailable(
                f"Another process writes to this ledger: {self._holder(db)}. Stop it first; the lease ends with its connection."
            ) from error
        del db.deadline_s  # that of its class
        db.execute(limits, ("0", f"{STATEMENT_S_MAX}s"))

    def _holder(self, db: Connection) -> str:
        rows = db.execute(
            "SELECT a.application_name, coalesce(host(a.client_addr), 'the same machine'), to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS OF')"
            f" FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.classid = {LEASE}"
            " AND l.objid = (hashtext(%s)::bigint & 4294967295)::oid AND l.granted",
            (self.schema,),
        ).fetchall()
        return ", ".join(f"{name}, on {host}, since {since}" for name, host, since in rows) or "it has just ended"


def _check_version(version: int) -> None:
    if version < SERVER_VERSION_MIN:
        raise errors.Unavailable(f"The ledger needs PostgreSQL {SERVER_VERSION_MIN // 10_000} or later.")


@contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Raises Unavailable, with words that begin with `what`, for all that a server, a disk or the network can do to us."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, sql_errors.ReadOnlySqlTransaction, sql_errors.InsufficientPrivilege) as error:
        raise errors.Unavailable(f"{what}: {_words(error)}") from error
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise  # a statement of ours is wrong
        raise errors.Unavailable(f"{what}: {_words(error)}") from error


_ADVICE: Final = {
    "password": "Check user and password in its URL.",
    "authentication": "Check user and password in its URL, and pg_hba.conf.",
    "pg_hba.conf": "Check user and password in its URL, and pg_hba.conf.",
    "role ": "Check the user in its URL.",
    "does not exist": "Create the database first (createdb), or check its name in the URL.",
    "permission denied": "Its user needs the right to create a schema there (GRANT CREATE ON DATABASE ... TO ...), or to own the schema.",
    "read-only": "It is a standby: name the primary in the URL, or all servers.",
    "Connection refused": "Check that PostgreSQL runs there, and host and port in its URL.",
    "No such file": "Check that PostgreSQL runs there, and host and port in its URL.",
    "timeout expired": "Check that PostgreSQL runs there, and host and port in its URL.",
    "name resolution": "Check host and port in its URL.",
    "not known": "Check host and port in its URL.",
}


def _words(error: psycopg.Error) -> str:
    text = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split()).rstrip(".")
    advice = next((advice for sign, advice in _ADVICE.items() if sign in text), "")
    return f"{text}. {advice}".rstrip()
