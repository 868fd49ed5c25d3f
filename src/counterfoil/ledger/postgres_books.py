"""The postgres engine's books: read from the tables into the writer's memory."""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from counterfoil.ledger import cache as caches
from counterfoil.ledger.cache import Cache, CachedAccount
from counterfoil.ledger.postgres_connection import Connection, Row
from counterfoil.ledger.postgres_schema import COLUMNS, plain
from counterfoil.ledger.rows import BURNT
from counterfoil.ledger.types import U64_MAX

PAGE_SIZE: Final = 10_000
"""Rows fetched at a time while the books are read."""

ACCOUNT_COLUMNS: Final = "number, id, ledger, code, flags, user_data_128, user_data_64, user_data_32, timestamp"


def load(db: Connection) -> Cache:
    """Reads the books: each account's last flush, then every event since. Raises psycopg.Error."""
    cache = Cache()
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")  # one snapshot for all of it
        db.execute("SET LOCAL enable_mergejoin = on")  # two whole tables in the same order
        for row in _rows(db, f"""
            SELECT {ACCOUNT_COLUMNS.replace("flags", "b.flags")},
                   debits_pending, debits_posted, credits_pending, credits_posted, last, count, wide
            FROM accounts JOIN balances b ON b.account = number ORDER BY number
        """):  # fmt: skip
            account = account_from(row[:9])
            account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted = map(int, row[15] or row[9:13])
            account.last, account.count = row[13:15]
            account.flushed = account.last
            cache.add(account)
            cache.note_wide(account)
        ((cache.last_timestamp, cache.flush_cursor, cache.cycle_start, cache.replay_from),) = db.select(
            "SELECT last_timestamp, flush_cursor, cycle_start, replay_from FROM counterfoil_ledger"
        )
        ((cache.last_event,),) = db.select("SELECT coalesce(max(timestamp), 0) FROM events")
        events = _rows(
            db, f"SELECT {COLUMNS} FROM events e WHERE e.timestamp > {cache.replay_from} AND e.kind <> {BURNT} ORDER BY e.timestamp"
        )
        cache.replay((row[0], row[2], row[3], row[21], row[22], row[23], *row[12:20]) for row in map(plain, events))
        keep = caches.NEWEST_IDS_MAX // 2 + 1
        cache.add_newest([id for (id,) in db.select("SELECT id FROM events WHERE id IS NOT NULL ORDER BY id DESC LIMIT %s", (keep,))])  # noqa: A001
        ((cache.expires_next,),) = db.select("SELECT coalesce(min(expires_at), 0) FROM pending WHERE status = 1 AND expires_at > 0")
    return cache


def is_current(db: Connection, cache: Cache) -> bool:
    """Whether the tables are where `cache` is: nobody has written meanwhile, and nothing was lost. Raises psycopg.Error."""
    ((*cursors, last_event, accounts),) = db.select(
        "SELECT last_timestamp, flush_cursor, cycle_start, replay_from, (SELECT coalesce(max(timestamp), 0) FROM events),"
        " (SELECT coalesce(max(number), 0) FROM accounts) FROM counterfoil_ledger"
    )
    return (*cursors, last_event, accounts) == (
        cache.last_timestamp, cache.flush_cursor, cache.cycle_start, cache.replay_from, cache.last_event, len(cache.numbered)
    )  # fmt: skip


def has_all_of(db: Connection, cache: Cache) -> bool:
    """Whether the newest that `cache` knows is there. Raises psycopg.Error."""
    newest = cache.numbered[-1] if cache.numbered else None
    ((has_event, account),) = db.select(
        "SELECT %s = 0 OR EXISTS (SELECT FROM events WHERE timestamp = %s), (SELECT id FROM accounts WHERE number = %s)",
        (cache.last_event, cache.last_event, len(cache.numbered)),
    )
    return bool(has_event) and account == (None if newest is None else newest.id)


def account_from(row: Row) -> CachedAccount:
    """The account whose row is ACCOUNT_COLUMNS, without balances."""
    number, account_id, ledger, code, flags, user_data_128, user_data_64, user_data_32, timestamp = row
    return CachedAccount(
        number, account_id, ledger, code, flags, 0, 0, 0, 0, user_data_128 or 0, (user_data_64 or 0) & U64_MAX, user_data_32 or 0, timestamp
    )


def _rows(db: Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """All rows, a page at a time."""
    with db.cursor("books", binary=True) as cursor:
        cursor.itersize = PAGE_SIZE
        yield from cursor.execute(query.encode())
