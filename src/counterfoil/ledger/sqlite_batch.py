"""A batch on its way into the sqlite engine's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from counterfoil.ledger import sqlite_books, sqlite_reads
from counterfoil.ledger.batch import Batch
from counterfoil.ledger.cache import Cache, CachedAccount
from counterfoil.ledger.rows import ACCEPTED_COLUMNS, wide
from counterfoil.ledger.sqlite_schema import ACCEPTED_ROWS, INSERT_ACCEPTED, INSERT_EVENT, INSERT_MANY_ACCEPTED
from counterfoil.ledger.types import BATCH_SIZE_MAX, PendingStatus, Transfer


class SqliteBatch(Batch):
    """Only used inside of a transaction."""

    def __init__(self, db: sqlite3.Connection, *, fast_path: bool) -> None:
        super().__init__(fast_path=fast_path)
        self._db = db

    def is_recorded(self, cache: Cache, id: int) -> bool:
        return sqlite_books.is_recorded(cache, id, self._db)

    def find_transfers(self, cache: Cache, ids: Collection[int]) -> tuple[list[tuple[Transfer, PendingStatus]], set[int]]:
        self.write(cache)  # so that what came earlier in this batch is found in the file, too
        return sqlite_reads.find_transfers(self._db, cache, ids)

    def find_due(self, time: int) -> list[int]:
        query = """
            SELECT e.id FROM pending p JOIN events e USING (timestamp)
            WHERE p.status = 1 AND p.expires_at > 0 AND p.expires_at <= ? ORDER BY p.expires_at, p.timestamp LIMIT ?
        """
        return [int.from_bytes(id_bytes) for (id_bytes,) in self._db.execute(query, (time, BATCH_SIZE_MAX))]

    def next_expiry(self, cache: Cache) -> int:
        self.write(cache)
        return sqlite_books.next_expiry(self._db)

    def write(self, cache: Cache) -> None:
        """Hands the rows gathered so far to SQLite, inside of the transaction."""
        db = self._db
        if self._accepted:
            accepted = self._accepted
            many = ACCEPTED_ROWS * ACCEPTED_COLUMNS
            full = len(accepted) // many * many
            if full:
                db.executemany(INSERT_MANY_ACCEPTED, [accepted[start : start + many] for start in range(0, full, many)])
            rest = [accepted[start : start + ACCEPTED_COLUMNS] for start in range(full, len(accepted), ACCEPTED_COLUMNS)]
            if rest:
                db.executemany(INSERT_ACCEPTED, rest)
            cache.note_events(accepted[-ACCEPTED_COLUMNS], len(accepted) // ACCEPTED_COLUMNS)
            accepted.clear()
        if self._rows:
            db.executemany(INSERT_EVENT, self._rows)
            cache.note_events(max(row[0] for row in self._rows), len(self._rows))
            self._rows.clear()
        if self._pending_rows:
            db.executemany("INSERT INTO pending VALUES (?, ?, ?)", self._pending_rows)
            self._pending_rows.clear()
        if self._resolved_rows:
            cursor = db.executemany("UPDATE pending SET status = ? WHERE timestamp = ? AND status = 1", self._resolved_rows)
            assert cursor.rowcount == len(self._resolved_rows), (cursor.rowcount, len(self._resolved_rows))  # each is resolved once
            self._resolved_rows.clear()
        if self._mark_rows:
            db.executemany("INSERT INTO marks VALUES (?, ?)", self._mark_rows)
            self._mark_rows.clear()

    def insert_accounts(self, accounts: Sequence[CachedAccount]) -> None:
        self._db.executemany(
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    a.number,
                    a.id.to_bytes(16),
                    a.ledger,
                    a.code,
                    a.flags,
                    wide(a.user_data_128),
                    wide(a.user_data_64),
                    a.user_data_32,
                    a.timestamp,
                )
                for a in accounts
            ],
        )
        self._db.executemany("INSERT INTO balances VALUES (?, 0, 0, 0, 0, ?, 0, 0)", [(a.number, a.flags) for a in accounts])
