"""The postgres engine's tables read from beside its writer, in this or another process: the feed, and accounts as they were opened.

Accounts that a page names are looked up and remembered for a while, so this costs the same with a million accounts as with
ten. Rows of events and accounts never change, and the writer commits them in the order of their timestamps: what was read
up to some moment is complete, and needs no transaction around it. A lost connection is made anew by the next read.
"""

# ruff: noqa: S608 - statements are put together from constants of this package, never from what somebody sent

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import errors as sql_errors

from counterfoil import errors
from counterfoil.clock import SystemClock
from counterfoil.ledger import filters
from counterfoil.ledger.cache import CachedAccount
from counterfoil.ledger.histories import KIND
from counterfoil.ledger.postgres_books import ACCOUNT_COLUMNS, account_from
from counterfoil.ledger.postgres_connection import Connection, Connector, Row, ids, int4s, int8s, unavailable
from counterfoil.ledger.postgres_schema import CLOSED, COLUMNS, PENDING, VERSION, plain
from counterfoil.ledger.rows import BURNT, CREDIT_CLOSED, DEBIT_CLOSED, EXPIRY, change_event_type
from counterfoil.ledger.types import BATCH_SIZE_MAX, TIMESTAMP_MAX, Account, ChangeEvent, ChangeEventType, Transfer

ACCOUNTS_MAX: Final = 100_000
"""Accounts remembered; some 300 bytes each."""

_FEED: Final = f"SELECT {COLUMNS} FROM events e WHERE e.timestamp BETWEEN %s AND %s AND e.kind <> {BURNT} ORDER BY e.timestamp LIMIT %s"
_AT: Final = f"SELECT {COLUMNS} FROM events e WHERE e.timestamp = ANY (%s)"
_ACCOUNTS: Final = f"SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE"


class PostgresFollower:
    """Follows the ledger of one schema. Has one caller at a time, and never writes.

    Every read raises Unavailable when the server does not answer.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._db: Connection | None = None
        self._accounts: dict[int, CachedAccount] = {}

    @classmethod
    def open(cls, url: str, *, schema: str = "ledger") -> PostgresFollower:
        """Opens the ledger that a `PostgresEngine` has made at `url`. Raises Unavailable, or UnknownFormat where there is none."""
        follower = cls(Connector(url, schema, SystemClock()))
        try:
            found = follower._select("SELECT version FROM counterfoil_ledger")
        except (sql_errors.UndefinedTable, sql_errors.UndefinedColumn):
            follower.close()
            raise errors.UnknownFormat(f"There is no ledger in schema {schema}: the server makes it when it starts.") from None
        if found != [(VERSION,)]:
            follower.close()
            raise errors.UnknownFormat(f"The ledger in schema {schema} is not of version {VERSION}: {found}.")
        return follower

    def close(self) -> None:
        """Lets go of the connection; the next read makes a new one. Safe to repeat."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def last_event(self) -> int:
        """Timestamp of the newest event, ns; 0 before the first. One step down an index: for a follower that looks often."""
        ((timestamp,),) = self._select("SELECT coalesce(max(timestamp), 0) FROM events")
        return int(timestamp)

    def lookup_accounts(self, ids_asked: Sequence[int]) -> list[Account]:
        """The accounts found, in the order asked, as they were opened: without balances."""
        keys = ids([account_id.to_bytes(16) for account_id in ids_asked])
        found = {account.id: account for account in map(account_from, self._select(f"{_ACCOUNTS} id = ANY (%s)", keys))}
        return [found[account_id].freeze() for account_id in ids_asked if account_id in found]

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        """The feed: committed movements and expiries in timestamp order. Both bounds inclusive; 0 is no bound."""
        if not filters.selection_valid(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit):
            return []
        bounds = timestamp_min, timestamp_max or TIMESTAMP_MAX, min(limit, BATCH_SIZE_MAX)
        rows = [plain(row) for row in self._select(_FEED, *bounds)]
        expired = [row[PENDING] for row in rows if row[KIND] == EXPIRY]
        pending = {row[0]: plain(row) for row in self._select(_AT, int8s(expired))} if expired else {}
        self._load({number for row in rows for number in row[2:4]})
        return [self._event(row, pending) for row in rows]

    def _event(self, row: Row, pending: dict[int, Row]) -> ChangeEvent:
        if row[KIND] == EXPIRY:
            kind, transfer = ChangeEventType.TWO_PHASE_EXPIRED, self._transfer(pending[row[PENDING]])
        else:
            kind, transfer = change_event_type(row[11]), self._transfer(row)
        debit, credit, closed = self._accounts[row[2]], self._accounts[row[3]], row[CLOSED]
        d1, d2, d3, d4, c1, c2, c3, c4 = row[12:KIND]
        return ChangeEvent(
            row[0], kind, transfer,
            debit.freeze_at((d1, d2, d3, d4), debit.flags_with(closed=bool(closed & DEBIT_CLOSED))),
            credit.freeze_at((c1, c2, c3, c4), credit.flags_with(closed=bool(closed & CREDIT_CLOSED))),
        )  # fmt: skip

    def _transfer(self, row: Row) -> Transfer:
        timestamp, transfer_id, debit_number, credit_number, *rest = row[:12]
        debit = self._accounts[debit_number]
        amount, pending_id, user_data_128, user_data_64, user_data_32, timeout, code, flags = rest
        return Transfer(
            transfer_id, debit.id, self._accounts[credit_number].id, amount, pending_id,
            user_data_128, user_data_64, user_data_32, timeout, debit.ledger, code, flags, timestamp,
        )  # fmt: skip

    def _load(self, numbers: Collection[int]) -> None:
        """Makes sure that these accounts are remembered."""
        if len(self._accounts) + len(numbers) > ACCOUNTS_MAX:
            self._accounts.clear()
        missing = [number for number in numbers if number not in self._accounts]
        if missing:
            found = map(account_from, self._select(f"{_ACCOUNTS} number = ANY (%s)", int4s(missing)))
            self._accounts |= {account.number: account for account in found}

    def _select(self, query: str, *parameters: Any) -> list[Row]:
        with unavailable("The ledger cannot be read at the moment"):
            try:
                if self._db is None:
                    self._db = self._connector.connect()
                    self._db.execute("SET default_transaction_read_only = on")
                return self._db.select(query, parameters)
            except psycopg.OperationalError:
                self.close()
                raise
