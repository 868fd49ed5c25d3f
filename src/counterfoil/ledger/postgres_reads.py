"""What is read from the postgres engine's tables: transfers, histories, balances at a past time, and the feed.

On connections of their own, several beside each other and beside the writer. Rows of events and accounts never change once
they are committed, so a read of several steps needs no transaction. See `histories` for how an account's past is found.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import psycopg

from counterfoil.ledger import filters
from counterfoil.ledger.cache import CachedAccount
from counterfoil.ledger.histories import KIND, WIDTH, Histories, Row, balance_of
from counterfoil.ledger.movable import Burnt
from counterfoil.ledger.postgres_batch import transfer_from
from counterfoil.ledger.postgres_books import ACCOUNT_COLUMNS, account_from
from counterfoil.ledger.postgres_connection import Connection, Connector, ids, int4s, int8s, unavailable
from counterfoil.ledger.postgres_schema import CLOSED, COLUMNS, PENDING, plain, signed
from counterfoil.ledger.rows import BURNT, CREDIT_CLOSED, DEBIT_CLOSED, EXPIRY, TRANSFER, change_event_type
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    U64_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
)

_PAGE_SIZE: Final = 64
BURNT_WINDOW: Final = 50_000
"""Events looked through at a time for ids that were refused for good: no index leads to them."""
_WINDOW: Final = "SELECT max(w.timestamp) FROM (SELECT timestamp FROM events WHERE timestamp > %s ORDER BY timestamp LIMIT %s) w"
_BURNT: Final = (
    f"SELECT e.timestamp, e.id FROM events e WHERE e.timestamp > %s AND e.timestamp <= %s AND e.kind = {BURNT} ORDER BY e.timestamp"
)
_PAGE: Final = f"""
    WITH RECURSIVE walk (timestamp) AS (
        SELECT %s::bigint
        UNION ALL
        SELECT CASE e.debit_account WHEN %s THEN e.debit_previous ELSE e.credit_previous END
        FROM walk JOIN events e USING (timestamp) WHERE walk.timestamp >= %s
    )
    SELECT {COLUMNS} FROM (SELECT timestamp FROM walk LIMIT %s) w JOIN events e USING (timestamp) ORDER BY e.timestamp DESC
"""
_MARK: Final = "SELECT timestamp FROM marks WHERE account = %s AND timestamp >= %s ORDER BY timestamp LIMIT 1"
_AT: Final = f"SELECT {COLUMNS} FROM events e WHERE e.timestamp = ANY (%s)"
_FIND: Final = f"SELECT {COLUMNS} FROM events e WHERE e.id = ANY (%s) AND e.kind = {TRANSFER}"
_FEED: Final = f"SELECT {COLUMNS} FROM events e WHERE e.timestamp BETWEEN %s AND %s AND e.kind <> {BURNT} ORDER BY e.timestamp LIMIT %s"
_ACCOUNTS: Final = f"SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE number = ANY (%s)"


class Shown(Protocol):
    """The books as of the last committed batch, whatever the writer is doing meanwhile."""

    def shown(self, id: int) -> CachedAccount | None:
        """A copy of the account."""
        ...

    def shown_together(self, ids: Iterable[int]) -> list[CachedAccount]:
        """Copies of those accounts that there are, all as of the same batch."""
        ...

    def shown_number(self, number: int) -> CachedAccount | None:
        """What the account is, by its number; its balances may be those of any moment."""
        ...


class Reads(Histories):
    """Raises Unavailable from every read that the server did not answer."""

    def __init__(self, connector: Connector, books: Shown) -> None:
        self._connector = connector
        self._books = books
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()  # at most as many as there are reads at a time

    def close(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def lookup_transfers(self, ids_wanted: Sequence[int]) -> list[Transfer]:
        assert len(ids_wanted) <= BATCH_SIZE_MAX, len(ids_wanted)
        if not ids_wanted:
            return []
        rows = self._events(_FIND, ids([id_wanted.to_bytes(16) for id_wanted in set(ids_wanted)]))
        found = {transfer.id: transfer for transfer in self._transfers(rows)}
        return [found[id_wanted] for id_wanted in ids_wanted if id_wanted in found]

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        account = self._books.shown(filter.account_id)
        return [] if account is None else self._transfers(list(self.history(account, filter)))

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        account = self._books.shown(filter.account_id)
        if account is None or not account.flags & AccountFlags.HISTORY:
            return []
        return [balance_of(row, account) for row in self.history(account, filter)]

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        account = self._books.shown(account_id)
        if account is not None:
            if account.last <= timestamp:
                return AccountBalance(account.last, *account.balances())  # nothing has happened to it since
            for row in self._newest_first(account, 0, timestamp):
                return balance_of(row, account)
        return AccountBalance(0, 0, 0, 0, 0)

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        if not filters.query_filter_valid(filter):
            return []
        clauses, values = _conditions(filter, "a.")
        if filter.ledger:
            clauses.append("a.ledger = %s")
            values.append(filter.ledger)
        query = f"SELECT a.id FROM accounts a WHERE {' AND '.join(clauses)} ORDER BY a.timestamp {_direction(filter)} LIMIT %s"
        found = [account_id for (account_id,) in self._select(query, *values, min(filter.limit, BATCH_SIZE_MAX))]
        return [account.freeze() for account in self._books.shown_together(found)]

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        if not filters.query_filter_valid(filter):
            return []
        clauses, values = _conditions(filter, "e.")
        clauses.append(f"e.kind = {TRANSFER}")
        if filter.ledger:
            clauses.append("(SELECT a.ledger FROM accounts a WHERE a.number = e.debit_account) = %s")
            values.append(filter.ledger)
        query = f"SELECT {COLUMNS} FROM events e WHERE {' AND '.join(clauses)} ORDER BY e.timestamp {_direction(filter)} LIMIT %s"
        return self._transfers(self._events(query, *values, min(filter.limit, BATCH_SIZE_MAX)))

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int, limit: int) -> list[ChangeEvent]:
        if not filters.selection_valid(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit):
            return []
        rows = self._events(_FEED, timestamp_min, timestamp_max or TIMESTAMP_MAX, min(limit, BATCH_SIZE_MAX))
        # An expiry shows the pending transfer it released, and its own moment, accounts and balances.
        expired = [row[PENDING] for row in rows if row[KIND] == EXPIRY]
        released = {row[0]: row for row in self._events(_AT, int8s(expired))} if expired else {}
        account = self._accounts(rows)
        return [_change_event(row, released, account) for row in rows]

    def burnt(self) -> Iterator[Burnt]:
        """All ids that were refused for good, in order of time."""
        after = 0
        while True:
            ((last,),) = self._select(_WINDOW, after, BURNT_WINDOW)
            if not last:
                return
            yield from (Burnt(timestamp, burnt_id) for timestamp, burnt_id in self._select(_BURNT, after, last))
            after = last

    # What `histories` asks

    def page(self, account: CachedAccount, timestamp: int, timestamp_min: int) -> list[Row]:
        return self._events(_PAGE, timestamp, account.number, timestamp_min, _PAGE_SIZE)

    def mark_from(self, account: CachedAccount, timestamp: int) -> int | None:
        rows = self._select(_MARK, account.number, timestamp)
        return int(rows[0][0]) if rows else None

    def stored(self, number: int) -> int | bytes:
        return number

    # Connections

    def _transfers(self, rows: Sequence[Row]) -> list[Transfer]:
        account = self._accounts(rows)
        return [transfer_from(row, account) for row in rows]

    def _accounts(self, rows: Iterable[Row]) -> Callable[[int], CachedAccount]:
        """All accounts that these rows name, by number: from memory, or else from the table, where another process made them."""
        found: dict[int, CachedAccount] = {}
        missing = []
        for number in {number for row in rows for number in row[2:4]}:
            account = self._books.shown_number(number)
            if account is None:
                missing.append(number)
            else:
                found[number] = account
        if missing:
            found |= {account.number: account for account in map(account_from, self._select(_ACCOUNTS, int4s(missing)))}
        return found.__getitem__

    def _events(self, query: str, *parameters: Any) -> list[Row]:
        return [plain(row) for row in self._select(query, *parameters)]

    def _select(self, query: str, *parameters: Any) -> list[Row]:
        with unavailable("The ledger cannot be read at the moment"):
            with contextlib.suppress(queue.Empty):
                db = self._idle.get_nowait()
                try:
                    return self._ask(db, query, parameters)
                except psycopg.OperationalError as error:
                    if error.sqlstate is not None and not error.sqlstate.startswith("57P"):  # the server's answer, and it did not end
                        raise
                # It was cut while nobody used it. A new one tells whether the server is there; those beside it are as old.
                self.close()
            return self._ask(self._connector.connect(), query, parameters)

    def _ask(self, db: Connection, query: str, parameters: Sequence[Any]) -> list[Row]:
        try:
            rows = db.select(query, parameters)
        except BaseException:
            db.close()
            raise
        self._idle.put(db)
        return rows


def _change_event(row: Row, released: dict[int, Row], account: Callable[[int], CachedAccount]) -> ChangeEvent:
    debit, credit, closed = account(row[2]), account(row[3]), row[CLOSED]
    if row[KIND] == EXPIRY:
        transfer, event_type = transfer_from(released[row[PENDING]], account), ChangeEventType.TWO_PHASE_EXPIRED
    else:
        transfer = transfer_from(row, account)
        event_type = change_event_type(transfer.flags)
    d1, d2, d3, d4, c1, c2, c3, c4 = row[WIDTH:KIND]
    return ChangeEvent(
        timestamp=row[0],
        type=event_type,
        transfer=transfer,
        debit_account=debit.freeze_at((d1, d2, d3, d4), debit.flags_with(closed=bool(closed & DEBIT_CLOSED))),
        credit_account=credit.freeze_at((c1, c2, c3, c4), credit.flags_with(closed=bool(closed & CREDIT_CLOSED))),
    )


def _conditions(filter: QueryFilter, table: str) -> tuple[list[str], list[Any]]:
    clauses = [f"{table}timestamp BETWEEN %s AND %s"]
    values: list[Any] = [filter.timestamp_min, filter.timestamp_max or TIMESTAMP_MAX]
    if filter.user_data_128:
        clauses.append(f"{table}user_data_128 = (%s::uuid[])[1]")
        values.append(ids([filter.user_data_128.to_bytes(16)]))
    if filter.user_data_64:
        clauses.append(f"{table}user_data_64 = %s")
        values.append(signed(filter.user_data_64 & U64_MAX))
    for column in ("user_data_32", "code"):
        value = getattr(filter, column)
        if value:
            clauses.append(f"{table}{column} = %s")
            values.append(value)
    return clauses, values


def _direction(filter: QueryFilter) -> str:
    return "DESC" if filter.flags & QueryFilterFlags.REVERSED else "ASC"
