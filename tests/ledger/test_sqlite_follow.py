"""The follower tells of the ledger's file what the engine tells of it, from another connection and while it grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import errors
from counterfoil.ledger import sqlite_follow
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.sqlite_follow import SqliteFollower
from counterfoil.ledger.types import Account, AccountFlags, ChangeEventType, Transfer, TransferFlags

NOW = 1_700_000_000_000_000_000
POST, VOID = int(TransferFlags.POST_PENDING_TRANSFER), int(TransferFlags.VOID_PENDING_TRANSFER)
PENDING, LINKED = int(TransferFlags.PENDING), int(TransferFlags.LINKED)
CLOSING = int(TransferFlags.CLOSING_DEBIT)


def opened(path: Path, accounts: int = 4) -> SqliteEngine:
    engine = SqliteEngine.open(path)
    engine.create_accounts(
        [
            Account(
                id=n << 100 | n, ledger=7, code=10, flags=AccountFlags.HISTORY, user_data_128=2**100, user_data_64=2**64 - 1, user_data_32=9
            )
            for n in range(1, accounts + 1)
        ],
        NOW,
    )
    return engine


def account(n: int) -> int:
    return n << 100 | n


def test_tells_every_kind_of_event_as_the_engine_does(tmp_path: Path) -> None:
    engine = opened(tmp_path / "ledger.sqlite")
    with SqliteFollower.open(tmp_path / "ledger.sqlite") as follower:
        assert (follower.last_event, follower.get_change_events(timestamp_min=1, limit=10)) == (0, [])
        transfers = [
            Transfer(1, account(1), account(2), 50, user_data_128=2**127, user_data_64=2**64 - 1, user_data_32=5, ledger=7, code=1),
            Transfer(2, account(1), account(2), 2**70, ledger=7, code=1),  # wider than SQLite's numbers
            Transfer(3, account(2), account(3), 30, timeout=10, ledger=7, code=3, flags=PENDING | LINKED),
            Transfer(4, account(2), account(4), 3, timeout=10, ledger=7, code=2, flags=PENDING),
            Transfer(5, account(2), account(3), 20, timeout=10, ledger=7, code=3, flags=PENDING),
            Transfer(6, account(2), account(3), 20, timeout=10, ledger=7, code=3, flags=PENDING),
            Transfer(7, amount=10, pending_id=5, user_data_128=7, flags=POST),
            Transfer(8, pending_id=6, user_data_128=8, flags=VOID),
            Transfer(9, account(4), account(9), 1, ledger=7, code=1),  # refused, and its id burnt
            Transfer(10, account(4), account(1), 0, ledger=7, code=1, flags=PENDING | CLOSING),
        ]
        engine.create_transfers(transfers, NOW)
        engine.expire_pending_transfers(NOW + 11 * 10**9)
        events = engine.get_change_events(timestamp_min=1, limit=100)
        assert {event.type for event in events} == set(ChangeEventType)
        assert follower.get_change_events(timestamp_min=1, limit=100) == events
        assert follower.last_event == events[-1].timestamp
        middle = events[4].timestamp
        assert follower.get_change_events(timestamp_min=middle, limit=3) == events[4:7]
        assert follower.get_change_events(timestamp_min=1, timestamp_max=middle, limit=100) == events[:5]
        assert follower.get_change_events(timestamp_min=1, limit=0) == []
    engine.close()


def test_accounts_are_as_they_were_opened(tmp_path: Path) -> None:
    engine = opened(tmp_path / "ledger.sqlite")
    ids = [account(3), account(9), account(1)]
    with SqliteFollower.open(tmp_path / "ledger.sqlite") as follower:
        assert follower.lookup_accounts(ids) == engine.lookup_accounts(ids)
        assert [found.id for found in follower.lookup_accounts(ids)] == [account(3), account(1)]
        assert follower.lookup_accounts([]) == []
    engine.close()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**65)), max_size=60), st.integers(1, 7))
def test_random_feeds_in_pages_with_hardly_any_memory(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int, int]], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    engine = opened(folder / "ledger.sqlite", accounts=40)
    with pytest.MonkeyPatch.context() as patch, SqliteFollower.open(folder / "ledger.sqlite") as follower:
        patch.setattr(sqlite_follow, "ACCOUNTS_MAX", 5)
        seen, after = [], 0
        for number, (debit, credit, amount) in enumerate(moves, 1):
            engine.create_transfers([Transfer(number, account(debit), account(credit), amount, ledger=7, code=1)], NOW)
            page = follower.get_change_events(timestamp_min=after + 1, limit=limit)
            seen += page
            after = page[-1].timestamp if page else after
        assert seen == engine.get_change_events(timestamp_min=1, limit=100)
    engine.close()


def test_only_a_ledger_is_followed(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable):
        SqliteFollower.open(tmp_path / "nothing.sqlite")
    assert list(tmp_path.iterdir()) == [], "nothing comes to be"
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one\n" * 40)
    with pytest.raises(errors.UnknownFormat):
        SqliteFollower.open(tmp_path / "text")
    engine = opened(tmp_path / "ledger.sqlite")
    engine._db.execute("PRAGMA user_version = 2")
    with pytest.raises(errors.UnknownFormat, match="version 1"):
        SqliteFollower.open(tmp_path / "ledger.sqlite")
    engine.close()


def test_nothing_is_ever_written(tmp_path: Path) -> None:
    engine = opened(tmp_path / "ledger.sqlite")
    with SqliteFollower.open(tmp_path / "ledger.sqlite") as follower, pytest.raises(Exception, match="readonly"):
        follower._db.execute("DELETE FROM accounts")
    engine.close()


def test_a_ledger_that_cannot_be_read_now_is_unavailable(tmp_path: Path) -> None:
    engine = opened(tmp_path / "ledger.sqlite")
    with SqliteFollower.open(tmp_path / "ledger.sqlite") as follower:
        engine._db.execute("ALTER TABLE events RENAME TO gone")
        with pytest.raises(errors.Unavailable):
            follower.get_change_events(timestamp_min=1, limit=1)
        engine._db.execute("ALTER TABLE gone RENAME TO events")
        assert follower.get_change_events(timestamp_min=1, limit=1) == []
    engine.close()
