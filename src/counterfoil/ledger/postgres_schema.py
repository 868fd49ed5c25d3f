"""The postgres engine's tables, in a schema of their own, and how a row is read.

    counterfoil_ledger  one row: version of the tables, the ledger's time, and from where on `events` must be replayed
    accounts            what an account is; a row never changes
    events              everything that ever happened, one row per ledger timestamp: transfers, expiries, burnt ids. The truth
    pending             the status of each pending transfer, and when it expires
    marks               every 64th event of an account: where a walk back in time may begin
    balances            where each account stood at its last flush: a short cut for opening, never newer than `events`

See `rows` for what an event's row holds. An id is a uuid: 128 bits, compared as quickly as a number. What an event does not
have is NULL, which takes no room. Amounts and balances are bigint; where one of an event's is beyond 63 bits, `wide` holds
all of them exactly, and the bigint says 2^63-1. user_data_64 is the same 64 bits, signed.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors as sql_errors
from psycopg import sql

from counterfoil import errors
from counterfoil.ledger.histories import KIND, WIDTH
from counterfoil.ledger.postgres_connection import LEASE, Connection, Row
from counterfoil.ledger.rows import NARROW_MAX
from counterfoil.ledger.types import U64_MAX

VERSION: Final = 1

_WIDE: Final = "wide IS NULL OR (cardinality(wide) = {} AND 0 <= ALL (wide) AND 340282366920938463463374607431768211455 >= ALL (wide))"
_TABLES: Final = f"""
    CREATE TABLE accounts (
        number integer PRIMARY KEY CHECK (number > 0),
        id uuid NOT NULL UNIQUE,
        ledger bigint NOT NULL CHECK (ledger BETWEEN 1 AND 4294967295),
        code integer NOT NULL CHECK (code BETWEEN 1 AND 65535),
        flags integer NOT NULL CHECK (flags BETWEEN 0 AND 65535 AND flags & 6 <> 6),
        user_data_128 uuid,
        user_data_64 bigint,
        user_data_32 bigint CHECK (user_data_32 BETWEEN 0 AND 4294967295),
        timestamp bigint NOT NULL UNIQUE CHECK (timestamp > 0)
    );
    CREATE TABLE balances (
        account integer PRIMARY KEY REFERENCES accounts (number),
        debits_pending bigint NOT NULL CHECK (debits_pending >= 0),
        debits_posted bigint NOT NULL CHECK (debits_posted >= 0),
        credits_pending bigint NOT NULL CHECK (credits_pending >= 0),
        credits_posted bigint NOT NULL CHECK (credits_posted >= 0),
        last bigint NOT NULL CHECK (last >= 0),
        count bigint NOT NULL CHECK (count >= 0),
        flags integer NOT NULL CHECK (flags BETWEEN 0 AND 65535),
        wide numeric(39)[] CHECK ({_WIDE.format(4)}),
        CHECK (flags & 2 = 0 OR wide IS NOT NULL OR debits_pending::numeric + debits_posted <= credits_posted),
        CHECK (flags & 4 = 0 OR wide IS NOT NULL OR credits_pending::numeric + credits_posted <= debits_posted)
    ) WITH (fillfactor = 80);
    CREATE TABLE events (
        timestamp bigint PRIMARY KEY CHECK (timestamp > 0),
        amount bigint NOT NULL CHECK (amount >= 0),
        debit_previous bigint NOT NULL,
        credit_previous bigint NOT NULL,
        debit_debits_pending bigint NOT NULL,
        debit_debits_posted bigint NOT NULL,
        debit_credits_pending bigint NOT NULL,
        debit_credits_posted bigint NOT NULL,
        credit_debits_pending bigint NOT NULL,
        credit_debits_posted bigint NOT NULL,
        credit_credits_pending bigint NOT NULL,
        credit_credits_posted bigint NOT NULL,
        debit_account integer NOT NULL,
        credit_account integer NOT NULL,
        code integer NOT NULL,
        flags integer NOT NULL,
        kind smallint NOT NULL,
        closed smallint NOT NULL,
        id uuid UNIQUE,
        pending bigint CHECK (pending < timestamp),
        user_data_128 uuid,
        user_data_64 bigint,
        user_data_32 bigint CHECK (user_data_32 BETWEEN 0 AND 4294967295),
        timeout bigint CHECK (timeout BETWEEN 0 AND 4294967295),
        wide numeric(39)[] CHECK ({_WIDE.format(9)}),
        CHECK ((kind = 0 AND id IS NOT NULL AND code > 0) OR (kind = 1 AND id IS NULL AND pending > 0) OR (kind = 2 AND id IS NOT NULL)),
        CHECK (debit_account <> credit_account OR kind = 2),
        CHECK (debit_previous < timestamp AND credit_previous < timestamp),
        CHECK (least(debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
                     credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted) >= 0)
    );
    CREATE TABLE pending (
        timestamp bigint PRIMARY KEY REFERENCES events (timestamp),
        expires_at bigint NOT NULL CHECK (expires_at = 0 OR expires_at > timestamp),
        status smallint NOT NULL CHECK (status BETWEEN 1 AND 4)
    );
    CREATE INDEX pending_expiry ON pending (expires_at, timestamp) WHERE status = 1 AND expires_at > 0;
    CREATE TABLE marks (account integer NOT NULL, timestamp bigint NOT NULL, PRIMARY KEY (account, timestamp));
    CREATE TABLE counterfoil_ledger (
        one integer PRIMARY KEY CHECK (one = 1),
        version integer NOT NULL,
        last_timestamp bigint NOT NULL CHECK (last_timestamp >= 0),
        flush_cursor bigint NOT NULL CHECK (flush_cursor >= 0),
        cycle_start bigint NOT NULL CHECK (cycle_start >= replay_from),
        replay_from bigint NOT NULL CHECK (replay_from >= 0)
    ) WITH (fillfactor = 50);
    INSERT INTO counterfoil_ledger VALUES (1, {VERSION}, 0, 0, 0, 0);
"""

_NO_ID: Final = "'00000000-0000-0000-0000-000000000000'::uuid"
COLUMNS: Final = f"""
    e.timestamp, coalesce(e.id, {_NO_ID}), e.debit_account, e.credit_account, e.amount,
    coalesce((SELECT p.id FROM events p WHERE p.timestamp = e.pending), {_NO_ID}),
    coalesce(e.user_data_128, {_NO_ID}), coalesce(e.user_data_64, 0), coalesce(e.user_data_32, 0), coalesce(e.timeout, 0), e.code, e.flags,
    e.debit_debits_pending, e.debit_debits_posted, e.debit_credits_pending, e.debit_credits_posted,
    e.credit_debits_pending, e.credit_debits_posted, e.credit_credits_pending, e.credit_credits_posted,
    e.kind, e.debit_previous, e.credit_previous, e.closed, coalesce(e.pending, 0), e.wide
"""
"""What `histories` expects, and after it: closed, timestamp of the pending transfer, wide."""
CLOSED: Final = KIND + 3
PENDING: Final = CLOSED + 1
_USER_DATA_64: Final = 7
_AMOUNT: Final = 4


def plain(row: Row) -> Row:
    """The row of COLUMNS with all numbers as they are."""
    exact = row[PENDING + 1]
    if exact is None and row[_USER_DATA_64] >= 0:
        return row
    values = list(row)
    values[_USER_DATA_64] &= U64_MAX
    if exact is not None:
        assert len(exact) == 1 + KIND - WIDTH, exact
        values[_AMOUNT] = int(exact[0])
        values[WIDTH:KIND] = map(int, exact[1:])
    return tuple(values)


def signed(number: int) -> int:
    """A number of 64 bits as a bigint of the same bits."""
    return number if number <= NARROW_MAX else number - 2**64


def prepare(db: Connection, schema: str) -> None:
    """Makes the schema a ledger if it is new. Raises UnknownFormat if it belongs to somebody else or to a later version."""
    version = _version(db, schema)
    if version is None:
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (LEASE << 32,))  # nobody else makes it meanwhile
            version = _version(db, schema)
            if version is None:
                if db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is None:
                    db.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
                db.execute(_TABLES.encode())
                version = VERSION
    if version != VERSION:
        raise errors.UnknownFormat(
            f"The ledger in schema {schema} was written by version {version}, this program knows {VERSION}: start the program of that version.",
            version=version,
        )


def _version(db: Connection, schema: str) -> int | None:
    """Of the tables in the schema; None if it is new or empty."""
    rows = db.execute(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %s AND relkind IN ('r', 'p', 'v', 'm', 'f')",
        (schema,),
    ).fetchall()
    names = {name for (name,) in rows}
    if not names:
        return None
    if "counterfoil_ledger" not in names:
        raise errors.UnknownFormat(
            f"Schema {schema} is somebody else's: it has the table {min(names)}, and no ledger. Name another database or schema."
        )
    try:
        row = db.execute("SELECT version FROM counterfoil_ledger").fetchone()
    except (sql_errors.UndefinedColumn, psycopg.DataError):
        row = None
    if row is None:
        raise errors.UnknownFormat(f"Schema {schema} has a table counterfoil_ledger that is no ledger's. Name another database or schema.")
    return int(row[0])
