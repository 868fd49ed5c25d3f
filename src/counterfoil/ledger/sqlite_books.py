"""The sqlite engine's file and the writer's memory: reading the books back, and flushing balances."""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import sqlite3
from typing import Any

from counterfoil.ledger import cache as caches
from counterfoil.ledger.cache import Cache, CachedAccount
from counterfoil.ledger.rows import BURNT, number_from, wide
from counterfoil.ledger.sqlite_schema import FLUSH, FLUSH_COLUMNS, FLUSH_MANY, FLUSH_ROWS


def load(db: sqlite3.Connection) -> Cache:
    """Reads the books from the file: each account's last flush, then every event since."""
    cache = Cache()
    begun = not db.in_transaction
    if begun:
        db.execute("BEGIN")  # one snapshot for all of it
    try:
        _load_accounts(cache, db)
        _load_state(cache, db)
        _replay(cache, db)
        _load_newest(cache, db)
        cache.expires_next = next_expiry(db)
    finally:
        if begun and db.in_transaction:
            db.execute("ROLLBACK")
    return cache


def is_current(cache: Cache, db: sqlite3.Connection) -> bool:
    """Whether nobody else has written to the file since."""
    (last_event,) = db.execute("SELECT coalesce(max(timestamp), 0) FROM events").fetchone()
    (accounts,) = db.execute("SELECT coalesce(max(number), 0) FROM accounts").fetchone()
    (last_timestamp,) = db.execute("SELECT last_timestamp FROM state").fetchone()
    return bool(last_event == cache.last_event and accounts == len(cache.numbered) and last_timestamp <= cache.last_timestamp)


def is_recorded(cache: Cache, id: int, db: sqlite3.Connection) -> bool:
    """Whether the id belongs to a transfer in the file, or is burnt."""
    return id in cache.newest or (
        id <= cache.floor and db.execute("SELECT 1 FROM events WHERE id = ?", (id.to_bytes(16),)).fetchone() is not None
    )


def flush(cache: Cache, db: sqlite3.Connection, changed: list[CachedAccount]) -> None:
    """Writes the balances of these accounts, and how far the flushes have come."""
    values: list[Any] = []
    for a in changed:
        values += (a.number, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.flags, a.last, a.count)
    if cache.wide:
        values = [wide(value) for value in values]
    many = FLUSH_ROWS * FLUSH_COLUMNS
    full = len(values) // many * many
    db.executemany(FLUSH_MANY, [values[start : start + many] for start in range(0, full, many)])
    db.executemany(FLUSH, [values[start : start + FLUSH_COLUMNS] for start in range(full, len(values), FLUSH_COLUMNS)])
    db.execute(
        "UPDATE state SET flush_cursor = ?, cycle_start = ?, replay_from = ?", (cache.flush_cursor, cache.cycle_start, cache.replay_from)
    )


def next_expiry(db: sqlite3.Connection) -> int:
    """When the first pending transfer expires; 0 if none does."""
    (expires_next,) = db.execute("SELECT coalesce(min(expires_at), 0) FROM pending WHERE status = 1 AND expires_at > 0").fetchone()
    return int(expires_next)


def _load_accounts(cache: Cache, db: sqlite3.Connection) -> None:
    query = """
        SELECT number, id, ledger, code, b.flags, debits_pending, debits_posted, credits_pending, credits_posted,
               user_data_128, user_data_64, user_data_32, timestamp, last, count
        FROM accounts JOIN balances b ON b.account = number ORDER BY number
    """
    for row in db.execute(query):
        number, id_bytes, ledger, code, flags, dp, dpo, cp, cpo, user_data_128, user_data_64, user_data_32, timestamp, last, count = row
        account = CachedAccount(
            number,
            int.from_bytes(id_bytes),
            ledger,
            code,
            flags,
            number_from(dp),
            number_from(dpo),
            number_from(cp),
            number_from(cpo),
            number_from(user_data_128),
            number_from(user_data_64),
            user_data_32,
            timestamp,
            last,
            count,
            last,
        )
        cache.add(account)
        if account.is_wide():
            cache.wide.add(account.id)


def _load_state(cache: Cache, db: sqlite3.Connection) -> None:
    (last_event,) = db.execute("SELECT coalesce(max(timestamp), 0) FROM events").fetchone()
    (last_account,) = db.execute("SELECT coalesce(max(timestamp), 0) FROM accounts").fetchone()
    last_timestamp, cache.flush_cursor, cache.cycle_start, cache.replay_from = db.execute(
        "SELECT last_timestamp, flush_cursor, cycle_start, replay_from FROM state"
    ).fetchone()
    cache.last_event = last_event
    cache.last_timestamp = max(last_timestamp, last_event, last_account)


def _replay(cache: Cache, db: sqlite3.Connection) -> None:
    query = f"""
        SELECT timestamp, debit_account, credit_account, debit_previous, credit_previous, closed,
               debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
               credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted
        FROM events WHERE timestamp > ? AND kind <> {BURNT} ORDER BY timestamp
    """
    cache.replay(db.execute(query, (cache.replay_from,)))


def _load_newest(cache: Cache, db: sqlite3.Connection) -> None:
    query = "SELECT id FROM events WHERE id IS NOT NULL ORDER BY id DESC LIMIT ?"
    cache.add_newest([int.from_bytes(id_bytes) for (id_bytes,) in db.execute(query, (caches.NEWEST_IDS_MAX // 2 + 1,))])
