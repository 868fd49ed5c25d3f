"""The thread that checkpoints the write-ahead log ends when it is told to, whatever it is in the middle of."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from counterfoil.ledger import sqlite_checkpoint
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.sqlite_checkpoint import Checkpointer


def test_a_stop_in_the_narrowest_moment_ends_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause after a write has just run out, and the thread has not yet taken note of the write."""
    SqliteEngine.open(tmp_path / "ledger.sqlite").close()
    arrived, go_on = threading.Event(), threading.Event()

    class HeldUp(threading.Event):
        def clear(self) -> None:
            arrived.set()
            assert go_on.wait(10)
            super().clear()

    monkeypatch.setattr(sqlite_checkpoint, "INTERVAL_S", 0.0)
    monkeypatch.setattr(sqlite_checkpoint, "threading", SimpleNamespace(Event=HeldUp, Thread=threading.Thread))
    checkpointer = Checkpointer(tmp_path / "ledger.sqlite")
    checkpointer.notify()
    assert arrived.wait(10)
    stopping = threading.Thread(target=checkpointer.stop, daemon=True)
    stopping.start()
    while not checkpointer._stopping.is_set():
        time.sleep(0.001)
    time.sleep(0.05)  # `stop` waits for the thread now
    go_on.set()
    stopping.join(5)
    assert not stopping.is_alive(), "the thread waits for a write that never comes"
