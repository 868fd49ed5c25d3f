"""The file of the sqlite engine: tables, connections, version, and how a number of 128 bits is written down.

    accounts   what an account is; a row never changes
    events     everything that ever happened, one row per ledger timestamp: transfers, expiries, burnt ids. The truth
    pending    the status of each pending transfer, and when it expires
    marks      every 64th event of an account: where a walk back in time may begin
    balances   where each account stood at its last flush: a short cut for opening, never newer than `events`
    state      one row: the ledger's time, and from where on `events` must be replayed over `balances`

See `rows` for what an event's row holds. A number up to 2^63-1 is an INTEGER, a larger one a BLOB of 16 big-endian bytes, in a column of type ANY. SQLite sorts
every BLOB after every INTEGER, so comparisons hold across the border. Ids are always 16 bytes.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from counterfoil import errors
from counterfoil.ledger.rows import EVENT_COLUMNS

APPLICATION_ID: Final = 0x43464C47  # "CFLG", read by file(1)
VERSION: Final = 1
BUSY_TIMEOUT_MS: Final = 1_000
"""How long a write waits for another's lock (a backup, our own checkpoint) before the answer is Unavailable."""
CACHE_SIZE_KIB: Final = 32_768
WAL_SIZE_MAX_BYTES: Final = 64 * 1024 * 1024
"""Above it the write-ahead log is begun anew; it may be larger for a moment."""

Connect = Callable[[Path], sqlite3.Connection]

_TABLES: Final = (
    """
    CREATE TABLE accounts (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        ledger INTEGER NOT NULL CHECK (ledger BETWEEN 1 AND 4294967295),
        code INTEGER NOT NULL CHECK (code BETWEEN 1 AND 65535),
        flags INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 65535 AND flags & 6 <> 6),
        user_data_128 ANY NOT NULL,
        user_data_64 ANY NOT NULL,
        user_data_32 INTEGER NOT NULL,
        timestamp INTEGER NOT NULL UNIQUE CHECK (timestamp > 0)
    ) STRICT
    """,
    # The limits are compared only where all numbers are narrow; a BLOB has no sum in SQL.
    """
    CREATE TABLE balances (
        account INTEGER PRIMARY KEY REFERENCES accounts (number),
        debits_pending ANY NOT NULL CHECK (debits_pending >= 0),
        debits_posted ANY NOT NULL CHECK (debits_posted >= 0),
        credits_pending ANY NOT NULL CHECK (credits_pending >= 0),
        credits_posted ANY NOT NULL CHECK (credits_posted >= 0),
        flags INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 65535),
        last INTEGER NOT NULL CHECK (last >= 0),
        count INTEGER NOT NULL CHECK (count >= 0),
        CHECK (flags & 2 = 0 OR typeof(debits_pending) = 'blob' OR typeof(debits_posted) = 'blob'
               OR debits_pending + debits_posted <= credits_posted),
        CHECK (flags & 4 = 0 OR typeof(credits_pending) = 'blob' OR typeof(credits_posted) = 'blob'
               OR credits_pending + credits_posted <= debits_posted)
    ) STRICT
    """,
    """
    CREATE TABLE events (
        timestamp INTEGER PRIMARY KEY CHECK (timestamp > 0),
        kind INTEGER NOT NULL,
        id BLOB CHECK (length(id) = 16),
        debit_account INTEGER NOT NULL,
        credit_account INTEGER NOT NULL,
        amount ANY NOT NULL CHECK (amount >= 0),
        pending INTEGER NOT NULL,
        user_data_128 ANY NOT NULL,
        user_data_64 ANY NOT NULL,
        user_data_32 INTEGER NOT NULL,
        timeout INTEGER NOT NULL,
        code INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        debit_previous INTEGER NOT NULL,
        credit_previous INTEGER NOT NULL,
        debit_debits_pending ANY NOT NULL,
        debit_debits_posted ANY NOT NULL,
        debit_credits_pending ANY NOT NULL,
        debit_credits_posted ANY NOT NULL,
        credit_debits_pending ANY NOT NULL,
        credit_debits_posted ANY NOT NULL,
        credit_credits_pending ANY NOT NULL,
        credit_credits_posted ANY NOT NULL,
        closed INTEGER NOT NULL,
        CHECK ((kind = 0 AND id IS NOT NULL AND code > 0) OR (kind = 1 AND id IS NULL AND pending > 0) OR (kind = 2 AND id IS NOT NULL)),
        CHECK (debit_account <> credit_account OR kind = 2),
        CHECK (debit_previous < timestamp AND credit_previous < timestamp AND pending < timestamp)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX events_id ON events (id) WHERE id IS NOT NULL",
    """
    CREATE TABLE pending (
        timestamp INTEGER PRIMARY KEY REFERENCES events (timestamp),
        expires_at INTEGER NOT NULL CHECK (expires_at = 0 OR expires_at > timestamp),
        status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 4)
    ) STRICT
    """,
    "CREATE INDEX pending_expiry ON pending (expires_at, timestamp) WHERE status = 1 AND expires_at > 0",
    "CREATE TABLE marks (account INTEGER NOT NULL, timestamp INTEGER NOT NULL, PRIMARY KEY (account, timestamp)) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        last_timestamp INTEGER NOT NULL CHECK (last_timestamp >= 0),
        flush_cursor INTEGER NOT NULL CHECK (flush_cursor >= 0),
        cycle_start INTEGER NOT NULL CHECK (cycle_start >= replay_from),
        replay_from INTEGER NOT NULL CHECK (replay_from >= 0)
    ) STRICT
    """,
    "INSERT INTO state VALUES (1, 0, 0, 0, 0)",
)

INSERT_EVENT: Final = f"INSERT INTO events VALUES ({', '.join('?' * EVENT_COLUMNS)})"

# A transfer of the fast path: kind, pending and closed are 0, and need no binding. Many rows in one statement: measured
# 20 to 25 % less than a statement per row, which pays for every step with the interpreter's lock.
ACCEPTED_ROWS: Final = 64
_ACCEPTED: Final = f"(?, 0, {', '.join('?' * 4)}, 0, {', '.join('?' * 16)}, 0)"
INSERT_ACCEPTED: Final = f"INSERT INTO events VALUES {_ACCEPTED}"
INSERT_MANY_ACCEPTED: Final = f"INSERT INTO events VALUES {', '.join([_ACCEPTED] * ACCEPTED_ROWS)}"


FLUSH_COLUMNS: Final = 8
FLUSH_ROWS: Final = 64
_FLUSHED: Final = f"({', '.join('?' * FLUSH_COLUMNS)})"
FLUSH: Final = f"REPLACE INTO balances VALUES {_FLUSHED}"
FLUSH_MANY: Final = f"REPLACE INTO balances VALUES {', '.join([_FLUSHED] * FLUSH_ROWS)}"


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun by hand, and belong to the engine alone."""
    return sqlite3.connect(path, isolation_level=None, cached_statements=64, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1_000)


def prepare_writer(db: sqlite3.Connection, path: Path) -> None:
    """Makes the file a ledger if it is new. Raises UnknownFormat if it belongs to something else or to a later version."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    new = (application_id, version, tables) == (0, 0, 0)
    if not new and (application_id, version) != (APPLICATION_ID, VERSION):
        raise errors.UnknownFormat(f"{path} is not a ledger of version {VERSION}", version=version)
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    assert mode == "wal", mode
    db.execute("PRAGMA synchronous = FULL")  # a payment acknowledged is a payment kept
    db.execute("PRAGMA fullfsync = ON")  # macOS: its fsync alone does not reach the medium; elsewhere without effect
    db.execute("PRAGMA wal_autocheckpoint = 0")  # commits must not pay for checkpoints; see sqlite_checkpoint
    db.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_MAX_BYTES}")  # a log that was long once is cut when it begins anew
    db.execute(f"PRAGMA cache_size = -{CACHE_SIZE_KIB}")
    if new:
        db.execute("BEGIN IMMEDIATE")
        try:
            (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if tables == 0:  # nobody else was quicker
                for statement in _TABLES:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        _sync_folder(path.parent)


def prepare_reader(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA query_only = ON")


def _sync_folder(folder: Path) -> None:
    """Makes the new file's name as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """One read transaction: a consistent view, and no lock to take for every step of a walk. Raises Unavailable."""
    try:
        db.execute("BEGIN")
        try:
            yield
        finally:
            db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise errors.Unavailable(f"The ledger cannot be read at the moment: {error}.") from error
