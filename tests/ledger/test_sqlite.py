"""The sqlite engine: fast and slow path agree, a restart changes nothing, and no failing write loses or doubles anything."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import errors
from counterfoil.ledger import sqlite_checkpoint, sqlite_schema
from counterfoil.ledger.check import Auditor, Report, check
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import (
    Account,
    AccountBalance,
    AccountFilter,
    CreateTransferResult,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
)
from tests.ledger.sqlite_file import ACCOUNTS, MARKS_EVERY, SECOND, START, History, audit, books, small_bounds, timeless

CREATED, EXISTS = CreateTransferStatus.CREATED, CreateTransferStatus.EXISTS
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of commits: none of these tests is about the medium


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        yield Path(name)


def plain(id: int, amount: int = 1, *, debit: int = 1, credit: int = 2, flags: int = 0, **more: int) -> Transfer:
    return Transfer(id=id, debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1, flags=flags, **more)


# Histories


@settings(max_examples=max(10, settings().max_examples // 4))
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 25))
def test_fast_and_slow_path_and_a_restart_after_every_step_agree_with_memory(seed: int, steps: int) -> None:
    history = History(seed)
    with small_bounds(), tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        folder = Path(name)
        memory = MemoryEngine()
        engines = {
            "fast": SqliteEngine.open(folder / "fast"),
            "slow": SqliteEngine.open(folder / "slow", fast_path=False),
            "closed": SqliteEngine.open(folder / "closed"),
            "killed": SqliteEngine.open(folder / "killed-0"),
        }
        accounts = memory.create_accounts(ACCOUNTS, history.now)
        for engine in engines.values():
            assert engine.create_accounts(ACCOUNTS, history.now) == accounts
        for step in range(1, steps + 1):
            batch = history.batch()
            expected = memory.create_transfers(batch, history.now)
            for which, engine in engines.items():
                assert engine.create_transfers(batch, history.now) == expected, which
            engines["closed"].close()
            engines["closed"] = SqliteEngine.open(folder / "closed")
            for suffix in ("", "-wal"):  # as the files are found after a SIGKILL: nothing is flushed, nothing is closed
                shutil.copy(folder / f"killed-{step - 1}{suffix}", folder / f"killed-{step}{suffix}")
            engines["killed"].close()
            engines["killed"] = SqliteEngine.open(folder / f"killed-{step}")
        expected_books = books(memory)
        for which, engine in engines.items():
            assert books(engine) == expected_books, which
            assert engine.last_timestamp == memory.last_timestamp, which
            assert check(engine).passed, which
            engine.close()
            audit(folder / (f"killed-{steps}" if which == "killed" else which), marks_every=MARKS_EVERY)


def test_full_batches_with_every_kind_of_event_agree_on_both_paths(folder: Path) -> None:
    rng = random.Random(7)
    fast, slow = SqliteEngine.open(folder / "fast"), SqliteEngine.open(folder / "slow", fast_path=False)
    accounts = [Account(id=number, ledger=1, code=1, flags=8 if number < 5 else 10) for number in range(1, 60)]
    id_last = 0
    asked: list[Transfer] = []
    results: list[CreateTransferResult] = []
    for engine in (fast, slow):
        engine.create_accounts(accounts, START)
    for step in range(4):
        batch: list[Transfer] = []
        while len(batch) < 8_000:
            id_last += 1
            if asked and rng.random() < 0.01:
                batch.append(rng.choice(asked))
            elif asked and rng.random() < 0.05:
                batch.append(Transfer(id=id_last, pending_id=rng.choice(asked).id, flags=rng.choice([4, 8, 5]), amount=2**128 - 1))
            else:
                debit, credit = rng.sample(range(1, 60), 2)
                batch.append(plain(id_last, rng.randrange(1, 50), debit=debit, credit=credit, flags=rng.choice([0, 0, 0, 0, 1, 2])))
        asked += rng.sample(batch, 500)
        results = fast.create_transfers(batch, START + step)
        assert results == slow.create_transfers(batch, START + step)
        statuses = {result.status for result in results}
        assert {CREATED, CreateTransferStatus.EXCEEDS_CREDITS, CreateTransferStatus.LINKED_EVENT_FAILED} <= statuses
    moments = [1, START, *(result.timestamp for result in results[::40])]
    for chosen in (AccountFilter(account_id=3, limit=8189), AccountFilter(account_id=30, limit=8189, flags=7, timestamp_max=moments[50])):
        assert fast.get_account_transfers(chosen) == slow.get_account_transfers(chosen)
        assert fast.get_account_balances(chosen) == slow.get_account_balances(chosen)
    for moment in moments:
        assert fast.balance_at(3, moment) == slow.balance_at(3, moment)
        assert fast.get_change_events(timestamp_min=moment, limit=30) == slow.get_change_events(timestamp_min=moment, limit=30)
    assert fast.query_accounts(QueryFilter(limit=8189)) == slow.query_accounts(QueryFilter(limit=8189))
    for engine in (fast, slow):
        assert check(engine).passed
        engine.close()
    assert audit(folder / "fast") == audit(folder / "slow")


def test_plain_and_pending_events_and_closed_chains_never_need_the_rules(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SqliteEngine.open(path)
    engine.create_accounts(ACCOUNTS, START)
    monkeypatch.setattr("counterfoil.ledger.rules.apply_transfers", None)  # a call would be a TypeError
    batch = [plain(1, 10), plain(2, 3, flags=1), plain(3, 1, debit=2, credit=3), plain(4, 2, flags=2, timeout=5)]
    assert timeless(engine.create_transfers(batch, START)) == ["CREATED"] * 4
    engine.close()


# The file


def test_ids_burnt_and_pending_transfers_and_time_outlive_a_restart(path: Path) -> None:
    engine = SqliteEngine.open(path)
    engine.create_accounts(ACCOUNTS, START)
    batch = [plain(1, 5, debit=2, credit=3), plain(2, 10), plain(3, 4, flags=2, timeout=2), plain(4, 0, credit=1)]
    results = engine.create_transfers(batch, START)
    assert timeless(results) == ["EXCEEDS_CREDITS", "CREATED", "CREATED", "ACCOUNTS_MUST_BE_DIFFERENT"]
    last = engine.last_timestamp
    engine.close()
    engine = SqliteEngine.open(path)
    assert engine.last_timestamp == last == results[-1].timestamp  # used up by a refusal, which leaves no row
    assert timeless(engine.create_transfers(batch, START)) == ["ID_ALREADY_FAILED", "EXISTS", "EXISTS", "ACCOUNTS_MUST_BE_DIFFERENT"]
    assert engine.expire_pending_transfers(START + SECOND) == 0
    assert engine.expire_pending_transfers(START + 3 * SECOND) == 1
    (account,) = engine.lookup_accounts([2])
    assert (account.credits_pending, account.credits_posted) == (0, 10)
    engine.close()
    assert audit(path) == 4


def test_what_is_due_first_is_released_first_whichever_was_made_first(path: Path) -> None:
    engine = SqliteEngine.open(path)
    engine.create_accounts(ACCOUNTS, START)
    engine.create_transfers([plain(1, 1, flags=2, timeout=9), plain(2, 2, flags=2, timeout=1), plain(3, 4, flags=2, timeout=5)], START)
    for seconds, left in ((0, 7), (2, 5), (6, 1), (8, 1), (10, 0)):
        engine.expire_pending_transfers(START + seconds * SECOND)
        assert [account.credits_pending for account in engine.lookup_accounts([2])] == [left], seconds
    engine.close()
    assert audit(path) == 6


def test_timestamps_rise_though_the_clock_goes_back(path: Path) -> None:
    engine = SqliteEngine.open(path)
    engine.create_accounts(ACCOUNTS, START)
    seen = [engine.last_timestamp]
    for id_new, now in enumerate([START + 50, START + 20, 1, START + 20, 0], 1):
        seen += [result.timestamp for result in engine.create_transfers([plain(id_new)], now)]
        engine.close()
        engine = SqliteEngine.open(path)
    assert seen == sorted(set(seen))
    engine.close()


def test_balance_at_any_moment_of_a_long_history_is_what_the_history_says(folder: Path) -> None:
    engine = SqliteEngine.open(folder / "ledger")
    engine.create_accounts(ACCOUNTS, START)
    ids = iter(range(1, 10_000))
    results = [result for step in range(10) for result in engine.create_transfers([plain(next(ids), 2) for _ in range(500)], START + step)]
    balances = engine.get_account_balances(AccountFilter(account_id=2, limit=8189))
    assert [balance.timestamp for balance in balances] == [result.timestamp for result in results]
    for index in random.Random(1).sample(range(5_000), 300):
        assert engine.balance_at(2, results[index].timestamp) == balances[index]
    assert engine.balance_at(2, results[0].timestamp - 1) == AccountBalance(0, 0, 0, 0, 0)
    assert engine.balance_at(2, 2**63 - 1) == balances[-1]
    assert engine.balance_at(99, START) == AccountBalance(0, 0, 0, 0, 0)
    newest = engine.get_account_transfers(AccountFilter(account_id=2, limit=3, flags=7, timestamp_max=results[2_000].timestamp))
    assert [t.timestamp for t in newest] == [results[index].timestamp for index in (2_000, 1_999, 1_998)]
    oldest = engine.get_account_transfers(AccountFilter(account_id=2, limit=3, timestamp_min=results[2_000].timestamp))
    assert [t.timestamp for t in oldest] == [results[index].timestamp for index in (2_000, 2_001, 2_002)]
    engine.close()


def test_files_of_others_and_of_later_versions_are_left_alone(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "other")
    db.execute("CREATE TABLE people (name TEXT)")
    db.commit()
    db.close()
    SqliteEngine.open(tmp_path / "later").close()
    db = sqlite3.connect(tmp_path / "later")
    db.execute(f"PRAGMA user_version = {sqlite_schema.VERSION + 1}")
    db.close()
    for name in ("other", "later"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(errors.UnknownFormat):
            SqliteEngine.open(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    (tmp_path / "text").write_text("This is not a database, but it is long enough to be mistaken for one.\n" * 100)
    with pytest.raises(errors.UnknownFormat):
        SqliteEngine.open(tmp_path / "text")


def test_commit_waits_for_the_disk(path: Path) -> None:
    engine = SqliteEngine.open(path)
    full = 2  # a kill does not show the difference, a power cut would: so it is asked for
    assert engine._db.execute("PRAGMA synchronous").fetchone() == (full,)
    assert engine._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    engine.close()


def test_table_refuses_what_no_code_should_write(path: Path) -> None:
    engine = SqliteEngine.open(path)
    engine.create_accounts(ACCOUNTS, START)
    engine.create_transfers([plain(1, 5)], START)
    engine.close()
    db = sqlite3.connect(path)
    for statement in (
        "UPDATE balances SET debits_posted = 6 WHERE account = 2",  # more than it has
        "UPDATE balances SET credits_posted = -1 WHERE account = 2",
        "UPDATE events SET amount = -5",
        "UPDATE events SET credit_account = debit_account",
        "UPDATE events SET debit_previous = timestamp",
        "UPDATE events SET id = x'01'",
        "INSERT INTO events SELECT timestamp + 1, 2, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM events",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)
    db.close()


def test_log_is_moved_into_the_file_while_writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "INTERVAL_S", 0.005)
    monkeypatch.setattr(sqlite_schema, "WAL_SIZE_MAX_BYTES", 500_000)
    engine = SqliteEngine.open(folder / "ledger")
    engine.create_accounts(ACCOUNTS, START)
    ids = iter(range(1, 10**9))
    written, largest, until = 0, 0, time.monotonic() + 60
    while written < 20_000 or (folder / "ledger").stat().st_size < 1_000_000:
        assert time.monotonic() < until, "nothing is moved"
        assert timeless(engine.create_transfers([plain(next(ids)) for _ in range(200)], START)) == ["CREATED"] * 200
        written += 200
        largest = max(largest, (folder / "ledger-wal").stat().st_size)
        time.sleep(0.001)
    wal_bytes_written = written * 300  # at the very least: rows, index, and whole pages for both
    assert largest < wal_bytes_written, "the log is never begun anew"
    engine.close()
    assert audit(folder / "ledger") == written


def test_long_reader_holds_up_no_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "INTERVAL_S", 0.001)
    monkeypatch.setattr(sqlite_schema, "WAL_SIZE_MAX_BYTES", 1)
    engine = SqliteEngine.open(
        folder / "ledger", connect=lambda p: sqlite3.connect(p, isolation_level=None, check_same_thread=False, timeout=5)
    )
    engine.create_accounts(ACCOUNTS, START)
    reader = sqlite3.connect(folder / "ledger", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (0,)
    for id_new in range(1, 100):
        assert timeless(engine.create_transfers([plain(id_new)], START)) == ["CREATED"]
        time.sleep(0.005)
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (0,)
    longest = (folder / "ledger-wal").stat().st_size
    reader.close()
    ids = iter(range(100, 10**9))
    until = time.monotonic() + 60
    while (folder / "ledger-wal").stat().st_size > longest / 2:
        assert time.monotonic() < until, "the log is never cut"
        assert timeless(engine.create_transfers([plain(next(ids))], START)) == ["CREATED"]
        time.sleep(0.005)
    engine.close()
    assert audit(folder / "ledger") == next(ids) - 1


# Faults


class FailingConnection(sqlite3.Connection):
    """Fails one write on purpose: the `fail_at`-th, before it is done or after."""

    writes = 0
    fail_at = 0
    fail_after = False

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        return self._do(sql, super().execute, rest)

    def executemany(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        return self._do(sql, super().executemany, rest)

    def _do(self, sql: str, do: Callable[..., sqlite3.Cursor], rest: tuple[Any, ...]) -> sqlite3.Cursor:
        if sql.split()[0] not in ("BEGIN", "INSERT", "REPLACE", "UPDATE", "COMMIT") or sql == "BEGIN":
            return do(sql, *rest)
        self.writes += 1
        failing = self.writes == self.fail_at
        if failing and not self.fail_after:
            raise sqlite3.OperationalError("disk I/O error")
        cursor = do(sql, *rest)
        if failing:
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


def failing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=FailingConnection)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_failing_write_leaves_nothing_half_done_and_a_repeat_completes_it(folder: Path, after: bool) -> None:
    failures = 0
    for fail_at in range(1, 100):
        history = History(3)
        path = folder / f"ledger-{fail_at}"
        with small_bounds():
            engine = SqliteEngine.open(path, connect=failing)
            memory = MemoryEngine()
            for each in (engine, memory):
                each.create_accounts(ACCOUNTS, START)
            db: FailingConnection = engine._db  # type: ignore[assignment]
            db.writes, db.fail_at, db.fail_after = 0, fail_at, after
            failed = False
            for _ in range(6):
                batch = [t for t in history.batch() if not t.flags & 1]  # a repeated chain does not answer EXISTS
                if not batch:
                    continue
                before, last = books(memory), memory.last_timestamp
                expected = memory.create_transfers(batch, history.now)
                try:
                    assert engine.create_transfers(batch, history.now) == expected
                except errors.Unavailable:
                    assert not failed
                    failed = True
                    done = engine.last_timestamp == memory.last_timestamp  # the commit itself was done, and then reported as failed
                    assert books(engine) == (books(memory) if done else before)
                    assert done or engine.last_timestamp == last
                    results = engine.create_transfers(batch, history.now)
                    if done:
                        memory.create_transfers(batch, history.now)  # uses up the same timestamps
                        for was, now in zip(expected, results, strict=True):
                            if was.status in (CREATED, EXISTS):
                                assert (now.status, now.timestamp) == (EXISTS, was.timestamp)
                    else:
                        assert results == expected
            assert books(engine) == books(memory)
            engine.close()
            audit(path, marks_every=MARKS_EVERY)
            engine = SqliteEngine.open(path)
            assert books(engine) == books(memory)
            engine.close()
        if not failed:
            break
        failures += 1
    assert 15 < failures < 99, failures


def test_full_disk_is_unavailable_and_the_engine_goes_on_when_there_is_room(folder: Path) -> None:
    engine = SqliteEngine.open(folder / "ledger")
    engine.create_accounts(ACCOUNTS, START)
    engine.create_transfers([plain(1, 7)], START)
    (pages,) = engine._db.execute("PRAGMA page_count").fetchone()
    engine._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    batch = [plain(id_new) for id_new in range(10, 2_000)]
    before = books(engine)
    for _ in range(2):
        with pytest.raises(errors.Unavailable, match="full"):
            engine.create_transfers(batch, START)
        assert books(engine) == before
        assert [account.credits_posted for account in engine.lookup_accounts([2])] == [7]
    assert timeless(engine.create_transfers([plain(2, 1)], START)) == ["CREATED"]  # what still fits is still done
    engine._db.execute("PRAGMA max_page_count = 1000000")
    assert set(timeless(engine.create_transfers(batch, START))) == {"CREATED"}
    assert set(timeless(engine.create_transfers(batch, START))) == {"EXISTS"}
    engine.close()
    assert audit(folder / "ledger") == 2 + len(batch)


def test_locked_file_is_unavailable_until_the_lock_is_gone(path: Path) -> None:
    engine = SqliteEngine.open(path, connect=lambda p: sqlite3.connect(p, isolation_level=None, check_same_thread=False, timeout=0.05))
    engine.create_accounts(ACCOUNTS, START)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.Unavailable, match="locked"):
        engine.create_transfers([plain(1)], START)
    assert engine.lookup_transfers([1]) == []
    other.execute("ROLLBACK")
    other.close()
    assert timeless(engine.create_transfers([plain(1)], START)) == ["CREATED"]
    engine.close()


def test_bug_in_a_batch_is_rolled_back_and_raised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SqliteEngine.open(path)
    engine.create_accounts(ACCOUNTS, START)
    engine.create_transfers([plain(1, 5)], START)
    before = books(engine)
    with monkeypatch.context() as patch:
        patch.setattr("counterfoil.ledger.rules.apply_transfers", None)
        with pytest.raises(TypeError):
            engine.create_transfers([plain(2), Transfer(id=3)], START)
    assert books(engine) == before
    engine.close()
    assert audit(path) == 1


def test_two_openers_of_one_file_cannot_spoil_it(path: Path) -> None:
    engines = [SqliteEngine.open(path), SqliteEngine.open(path)]
    memory = MemoryEngine()
    memory.create_accounts(ACCOUNTS, START)
    engines[0].create_accounts(ACCOUNTS, START)
    history = History(11)
    for step in range(30):
        batch = history.batch()
        assert timeless(engines[step % 3 % 2].create_transfers(batch, history.now)) == timeless(memory.create_transfers(batch, history.now))
    for engine in engines:
        engine.close()
    engine = SqliteEngine.open(path)
    found, expected = engine.lookup_accounts([1, 2, 3, 4]), memory.lookup_accounts([1, 2, 3, 4])
    assert [msgspec.structs.replace(account, timestamp=0) for account in found] == [
        msgspec.structs.replace(account, timestamp=0) for account in expected
    ]
    assert check(engine).passed
    engine.close()
    audit(path)


# SIGKILL

CHILD = """
import random, struct, sys, time
from counterfoil.ledger import sqlite
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import Account, CreateTransferStatus, QueryFilter, Transfer
sqlite.FLUSH_INTERVAL_EVENTS = 300  # so that kills meet flushes, too
path, first, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
choose = random.Random(seed)
engine = SqliteEngine.open(path)
engine.create_accounts([Account(id=n, ledger=1, code=1, flags=8) for n in range(1, 30)], time.time_ns())
while True:
    pairs = choose.choice([1, 3, 40, 200])
    batch = []
    for payment in range(first, first + pairs):
        debit, credit = choose.sample(range(1, 30), 2)
        batch.append(Transfer(2 * payment, debit, credit, 5, ledger=1, code=1, flags=1 | choose.choice([0, 2])))
        batch.append(Transfer(2 * payment + 1, debit, 29 if debit != 29 else 28, 1, ledger=1, code=2))
    results = engine.create_transfers(batch, time.time_ns())
    assert all(result.status is CreateTransferStatus.CREATED for result in results)
    first += pairs
    sys.stdout.buffer.write(struct.pack(">Q", first))
    sys.stdout.buffer.flush()
"""


class Resumed(Auditor):
    """An audit that goes on after each restart: it reads the events that are new, and every account anew."""

    def report_on(self, engine: SqliteEngine) -> Report:
        self._engine = engine
        self._feed_read = False
        self._accounts = self._account_timestamp = 0
        self._accounts_by_ledger = {}
        for tally in self._tallies.values():
            tally.seen = False
        while self.step():
            pass
        return self.report()


def test_sigkill_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half_done(folder: Path) -> None:
    choose = random.Random()
    path = folder / "ledger"
    first, stored = 1, 0
    auditor: Resumed | None = None
    report: Report | None = None
    for kill in range(max(6, settings().max_examples // 10)):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), str(first), str(kill)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        told = child.stdout.read(8)
        time.sleep(choose.random() * 0.3)
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read()
        child.stdout.close()
        child.wait()
        (acknowledged,) = struct.unpack(">Q", told[len(told) // 8 * 8 - 8 : len(told) // 8 * 8])
        assert acknowledged > first
        engine = SqliteEngine.open(path)
        try:
            for start in range(first, acknowledged, 4_000):
                ids = [leg for payment in range(start, min(start + 4_000, acknowledged)) for leg in (2 * payment, 2 * payment + 1)]
                assert [t.id for t in engine.lookup_transfers(ids)] == ids
            beyond = [leg for payment in range(acknowledged, acknowledged + 1_000) for leg in (2 * payment, 2 * payment + 1)]
            found = [t.id for t in engine.lookup_transfers(beyond)]  # committed, but killed before it could be told
            assert found == beyond[: len(found)]
            assert len(found) % 2 == 0
            last = engine.lookup_transfers([2 * acknowledged - 1])
            repeated = [Transfer(t.id, t.debit_account_id, t.credit_account_id, t.amount, ledger=1, code=t.code) for t in last]
            assert timeless(engine.create_transfers(repeated, time.time_ns())) == ["EXISTS"]
            auditor = auditor or Resumed(engine)
            report = auditor.report_on(engine)
            assert report.passed, report.findings
            stored += 2 * (acknowledged - first) + len(found)
            assert report.transfers == stored
            first = acknowledged + 1_000
        finally:
            engine.close()
    engine = SqliteEngine.open(path)
    assert check(engine) == report, "the whole at once says what it said bit by bit"
    engine.close()
    audit(path)
