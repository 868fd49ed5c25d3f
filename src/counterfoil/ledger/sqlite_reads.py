"""What is read from the sqlite engine's file: transfers, histories, balances at a past time, and the feed.
See `histories` for how an account's past is found.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from counterfoil.ledger import filters
from counterfoil.ledger.cache import Cache, CachedAccount
from counterfoil.ledger.histories import KIND, WIDTH, Histories, Row, balance_of
from counterfoil.ledger.movable import Burnt
from counterfoil.ledger.rows import BURNT, CREDIT_CLOSED, DEBIT_CLOSED, EXPIRY, TRANSFER, change_event_type, number_from, wide
from counterfoil.ledger.sqlite_schema import snapshot
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    PendingStatus,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
)

_COLUMNS: Final = """
    e.timestamp, e.id, e.debit_account, e.credit_account, e.amount,
    CASE e.pending WHEN 0 THEN 0 ELSE (SELECT p.id FROM events p WHERE p.timestamp = e.pending) END,
    e.user_data_128, e.user_data_64, e.user_data_32, e.timeout, e.code, e.flags
"""
_BALANCES: Final = """
    e.debit_debits_pending, e.debit_debits_posted, e.debit_credits_pending, e.debit_credits_posted,
    e.credit_debits_pending, e.credit_debits_posted, e.credit_credits_pending, e.credit_credits_posted
"""
_STEP_COLUMNS: Final = f"{_COLUMNS}, {_BALANCES}, e.kind, e.debit_previous, e.credit_previous"
_STEP: Final = f"SELECT {_STEP_COLUMNS} FROM events e WHERE e.timestamp = ?"
_BALANCES_AT: Final = f"SELECT e.timestamp, e.debit_account, e.credit_account, {_BALANCES} FROM events e WHERE e.timestamp = ?"
# From an event (1) of an account (2) back along its pointers, to the first event before a moment (3): all of them, and it.
_WALK: Final = """
    WITH RECURSIVE walk (timestamp) AS (
        VALUES (?1)
        UNION ALL
        SELECT CASE e.debit_account WHEN ?2 THEN e.debit_previous ELSE e.credit_previous END
        FROM walk JOIN events e USING (timestamp) WHERE walk.timestamp >= ?3
    )
"""
_LAST: Final = f"{_WALK} SELECT min(timestamp) FROM walk"
_PAGE: Final = f"{_WALK} SELECT {_STEP_COLUMNS} FROM (SELECT timestamp FROM walk LIMIT ?4) JOIN events e USING (timestamp)"
_WINDOW: Final = "SELECT max(timestamp) FROM (SELECT timestamp FROM events WHERE timestamp > ? ORDER BY timestamp LIMIT ?)"
_BURNT: Final = f"SELECT timestamp, id FROM events WHERE timestamp > ? AND timestamp <= ? AND kind = {BURNT} ORDER BY timestamp"
_PAGE_SIZE: Final = 64
_FIND_SIZE: Final = 64
"""Ids in one look-up."""
BURNT_WINDOW: Final = 50_000
"""Events looked through at a time for ids that were refused for good: no index leads to them."""


def find_transfers(db: sqlite3.Connection, cache: Cache, ids: Collection[int]) -> tuple[list[tuple[Transfer, PendingStatus]], set[int]]:
    """The recorded transfers among `ids`, each with the status of its reservation, and those ids that are burnt."""
    found: list[tuple[Transfer, PendingStatus]] = []
    burnt: set[int] = set()
    keys = [transfer_id.to_bytes(16) for transfer_id in ids]
    for start in range(0, len(keys), _FIND_SIZE):
        part = keys[start : start + _FIND_SIZE]
        if len(part) > 1:
            part += part[-1:] * (_FIND_SIZE - len(part))  # few different statements, so that they stay prepared
        query = f"""
            SELECT {_COLUMNS}, e.kind, (SELECT s.status FROM pending s WHERE s.timestamp = e.timestamp AND e.flags & 2)
            FROM events e WHERE e.id IN ({", ".join("?" * len(part))})
        """
        for row in db.execute(query, part):
            kind, status = row[WIDTH:]
            if kind == BURNT:
                burnt.add(int.from_bytes(row[1]))
            else:
                found.append((transfer_from(row, cache), PendingStatus(status or 0)))
    return found, burnt


def transfer_from(row: Row, cache: Cache) -> Transfer:
    """The transfer whose row begins with `_COLUMNS`."""
    (
        timestamp,
        id_bytes,
        debit_number,
        credit_number,
        amount,
        pending_id,
        user_data_128,
        user_data_64,
        user_data_32,
        timeout,
        code,
        flags,
    ) = row[:WIDTH]
    debit = cache.account(debit_number)
    return Transfer(
        int.from_bytes(id_bytes), debit.id, cache.account(credit_number).id, number_from(amount), number_from(pending_id),
        number_from(user_data_128), number_from(user_data_64), user_data_32, timeout, debit.ledger, code, flags, timestamp,
    )  # fmt: skip


class Reads(Histories):
    """Reads on a connection of their own: they see what is committed, and never stand in the writer's way."""

    def __init__(self, db: sqlite3.Connection, books: Callable[[], Cache]) -> None:
        self._db = db
        self._books = books

    def close(self) -> None:
        self._db.close()

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        with snapshot(self._db):
            known, _ = find_transfers(self._db, self._books(), set(ids))
        transfers = {t.id: t for t, _ in known}
        return [transfers[transfer_id] for transfer_id in ids if transfer_id in transfers]

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        cache = self._books()
        account = cache.accounts.get(filter.account_id)
        if account is None:
            return []
        with snapshot(self._db):
            return [transfer_from(row, cache) for row in self.history(account, filter)]

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        cache = self._books()
        account = cache.accounts.get(filter.account_id)
        if account is None or not account.flags & AccountFlags.HISTORY:
            return []
        with snapshot(self._db):
            return [balance_of(row, account) for row in self.history(account, filter)]

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        account = self._books().accounts.get(account_id)
        if account is not None:
            if account.last <= timestamp:
                return AccountBalance(account.last, *account.balances())  # nothing has happened to it since
            # A receipt asks for the moment of a movement of the account: one look-up, which is its own snapshot.
            row = self._db.execute(_BALANCES_AT, (timestamp,)).fetchone()
            if row is not None and account.number in row[1:3]:
                start = 3 if row[1] == account.number else 7
                return AccountBalance(row[0], *map(number_from, row[start : start + 4]))
            with snapshot(self._db):
                start = self.first_mark(account, timestamp)
                (last,) = self._db.execute(_LAST, (start, account.number, timestamp + 1)).fetchone()
                if last:
                    assert last <= timestamp, (last, timestamp)
                    return balance_of(self._step(last), account)
        return AccountBalance(0, 0, 0, 0, 0)

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        if not filters.query_filter_valid(filter):
            return []
        cache = self._books()
        clauses, values = _conditions(filter, "")
        if filter.ledger:
            clauses.append("ledger = ?")
            values.append(filter.ledger)
        query = f"SELECT number FROM accounts WHERE {' AND '.join(clauses)} ORDER BY timestamp {_direction(filter)} LIMIT ?"
        with snapshot(self._db):
            return [cache.account(number).freeze() for (number,) in self._db.execute(query, (*values, min(filter.limit, BATCH_SIZE_MAX)))]

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        if not filters.query_filter_valid(filter):
            return []
        cache = self._books()
        clauses, values = _conditions(filter, "e.")
        clauses.append(f"e.kind = {TRANSFER}")
        if filter.ledger:
            clauses.append("(SELECT a.ledger FROM accounts a WHERE a.number = e.debit_account) = ?")
            values.append(filter.ledger)
        query = f"SELECT {_COLUMNS} FROM events e WHERE {' AND '.join(clauses)} ORDER BY e.timestamp {_direction(filter)} LIMIT ?"
        with snapshot(self._db):
            return [transfer_from(row, cache) for row in self._db.execute(query, (*values, min(filter.limit, BATCH_SIZE_MAX)))]

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int, limit: int) -> list[ChangeEvent]:
        if not filters.selection_valid(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit):
            return []
        cache = self._books()
        # An expiry shows the pending transfer it released, and its own moment, accounts and balances.
        query = f"""
            SELECT {_COLUMNS}, {_BALANCES}, e.kind, e.closed, e.pending FROM events e
            WHERE e.timestamp BETWEEN ? AND ? AND e.kind <> {BURNT} ORDER BY e.timestamp LIMIT ?
        """
        with snapshot(self._db):
            rows = self._db.execute(query, (timestamp_min, timestamp_max or TIMESTAMP_MAX, min(limit, BATCH_SIZE_MAX))).fetchall()
            return [self._change_event(row, cache) for row in rows]

    def _change_event(self, row: Row, cache: Cache) -> ChangeEvent:
        kind, closed, pending = row[KIND:]
        debit, credit = cache.account(row[2]), cache.account(row[3])
        if kind == EXPIRY:
            transfer = transfer_from(self._step(pending), cache)
            event_type = ChangeEventType.TWO_PHASE_EXPIRED
        else:
            transfer = transfer_from(row, cache)
            event_type = change_event_type(transfer.flags)
        d1, d2, d3, d4, c1, c2, c3, c4 = map(number_from, row[WIDTH:KIND])
        return ChangeEvent(
            timestamp=row[0],
            type=event_type,
            transfer=transfer,
            debit_account=debit.freeze_at((d1, d2, d3, d4), debit.flags_with(closed=bool(closed & DEBIT_CLOSED))),
            credit_account=credit.freeze_at((c1, c2, c3, c4), credit.flags_with(closed=bool(closed & CREDIT_CLOSED))),
        )

    def burnt(self) -> Iterator[Burnt]:
        """All ids that were refused for good, in order of time."""
        after = 0
        while True:
            with snapshot(self._db):
                (last,) = self._db.execute(_WINDOW, (after, BURNT_WINDOW)).fetchone()
                rows = self._db.execute(_BURNT, (after, last)).fetchall() if last else []
            if not last:
                return
            yield from (Burnt(timestamp, int.from_bytes(id_bytes)) for timestamp, id_bytes in rows)
            after = last

    def page(self, account: CachedAccount, timestamp: int, timestamp_min: int) -> list[Row]:
        page = self._db.execute(_PAGE, (timestamp, account.number, timestamp_min, _PAGE_SIZE)).fetchall()
        page.sort(reverse=True)  # by timestamp, which comes first
        return page

    def mark_from(self, account: CachedAccount, timestamp: int) -> int | None:
        query = "SELECT timestamp FROM marks WHERE account = ? AND timestamp >= ? ORDER BY timestamp LIMIT 1"
        row = self._db.execute(query, (account.number, timestamp)).fetchone()
        return None if row is None else int(row[0])

    def stored(self, number: int) -> int | bytes:
        return wide(number)

    def _step(self, timestamp: int) -> Row:
        row: Row | None = self._db.execute(_STEP, (timestamp,)).fetchone()
        assert row is not None, timestamp
        return row


def _conditions(filter: QueryFilter, table: str) -> tuple[list[str], list[int | bytes]]:
    clauses = [f"{table}timestamp BETWEEN ? AND ?"]
    values: list[int | bytes] = [filter.timestamp_min, filter.timestamp_max or TIMESTAMP_MAX]
    for column in ("user_data_128", "user_data_64", "user_data_32", "code"):
        value = getattr(filter, column)
        if value:
            clauses.append(f"{table}{column} = ?")
            values.append(wide(value))
    return clauses, values


def _direction(filter: QueryFilter) -> str:
    return "DESC" if filter.flags & QueryFilterFlags.REVERSED else "ASC"
