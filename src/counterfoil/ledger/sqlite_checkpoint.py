"""Moves committed pages from the write-ahead log into the database file, beside the writer, so that commits do not pay.

Source: performance.md §1.5; https://sqlite.org/wal.html §2.1. A PASSIVE checkpoint never waits and never makes the
writer wait. Under constant load it never reaches the log's end, so the log grows; above a bound, a RESTART waits for
the writer's next pause and lets it begin at the front again.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final

from counterfoil.ledger import sqlite_schema

INTERVAL_S: Final = 0.25
BUSY_TIMEOUT_MS: Final = 10
"""How long a RESTART may wait for readers: it holds up the writer meanwhile. Then it gives up until the next interval."""


class Checkpointer:
    """A thread with a connection of its own, asleep while nothing is written."""

    def __init__(self, path: Path) -> None:
        self._wal = path.with_name(path.name + "-wal")
        self._db = sqlite_schema.connect(path)
        self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        self._written = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-checkpoint", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Something was committed."""
        if not self._written.is_set():
            self._written.set()

    def stop(self) -> None:
        """Ends the thread, after the checkpoint that it may be in the middle of."""
        self._stopping.set()
        self._written.set()
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while True:
            self._written.wait()
            if self._stopping.wait(INTERVAL_S):
                return
            self._written.clear()
            if self._stopping.is_set():
                return  # `stop` came between the pause and here: what it set has just been cleared, and nobody sets it again
            try:
                self._checkpoint()
            except sqlite3.OperationalError:
                # The disk is full, or somebody holds a lock. Nothing is lost: the log keeps the pages, and we come again.
                self._written.set()

    def _checkpoint(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if self._wal.stat().st_size > sqlite_schema.WAL_SIZE_MAX_BYTES:
            # Most was moved a moment ago, so the writer hardly waits. Somebody who reads for long makes it give up: next time.
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
