"""The postgres engine: fast and slow path agree, a restart changes nothing, several writers cannot spoil the books."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from counterfoil import errors
from counterfoil.ledger import postgres, postgres_schema
from counterfoil.ledger.check import check
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection
from counterfoil.ledger.types import Account, CreateTransferStatus, QueryFilter, Transfer
from tests.ledger.postgres_tables import audit, small_bounds
from tests.ledger.sqlite_file import ACCOUNTS, MARKS_EVERY, SECOND, START, History, books, timeless
from tests.postgres import Cluster

CREATED, EXISTS = CreateTransferStatus.CREATED, CreateTransferStatus.EXISTS
schemas = itertools.count()

Open = Callable[..., PostgresEngine]


def plain(id: int, amount: int = 1, *, debit: int = 1, credit: int = 2, flags: int = 0, **more: int) -> Transfer:
    return Transfer(id=id, debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1, flags=flags, **more)


@pytest.fixture
def open_engine(postgres_url: str) -> Iterator[Open]:
    """Opens the same ledger as often as it is called."""
    opened: list[PostgresEngine] = []

    def open_one(**options: Any) -> PostgresEngine:
        opened.append(PostgresEngine.open(postgres_url, **options))
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: Open) -> PostgresEngine:
    engine = open_engine()
    engine.create_accounts(ACCOUNTS, START)
    return engine


@pytest.fixture
def sql(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Somebody else's connection, into the ledger's schema."""
    with psycopg.connect(postgres_url, options="-c search_path=ledger", autocommit=True) as db:
        yield db


# Histories


@settings(max_examples=max(3, settings().max_examples // 50), phases=[Phase.explicit, Phase.generate])  # a seed cannot shrink
@given(seed=st.integers(0, 2**32), steps=st.integers(5, 20))
def test_paths_restarts_and_turns_of_two_writers_agree_with_memory(postgres: Cluster, seed: int, steps: int) -> None:
    history, url = History(seed), postgres.url()
    names = {which: f"many_{next(schemas)}" for which in ("fast", "slow", "closed", "killed", "two")}
    with small_bounds():
        memory = MemoryEngine()
        opened = {
            which: PostgresEngine.open(url, schema=schema, lease_timeout_s=None, fast_path=which != "slow")
            for which, schema in names.items()
        }
        other = PostgresEngine.open(url, schema=names["two"], lease_timeout_s=None)
        expected_accounts = memory.create_accounts(ACCOUNTS, history.now)
        for engine in opened.values():
            assert engine.create_accounts(ACCOUNTS, history.now) == expected_accounts
        for _ in range(steps):
            batch = history.batch()
            expected = memory.create_transfers(batch, history.now)
            for which, engine in opened.items():
                assert engine.create_transfers(batch, history.now) == expected, which
            opened["closed"].close()
            opened["closed"] = PostgresEngine.open(url, schema=names["closed"])
            opened["killed"]._disconnect()  # nothing is flushed
            opened["killed"].close()
            opened["killed"] = PostgresEngine.open(url, schema=names["killed"])
            opened["two"], other = other, opened["two"]
        other.close()
        expected_books = books(memory)
        for which, engine in opened.items():
            if which == "two":  # what the other wrote, it hears of when it writes
                assert engine.create_transfers([plain(2**100)], history.now) == memory.create_transfers([plain(2**100)], history.now)
                expected_books = books(memory)
            assert engine.last_timestamp == memory.last_timestamp, which
            if which in ("slow", "killed"):  # all that can be read; of the others, what it comes from
                assert books(engine) == expected_books, which
            assert engine.query_accounts(QueryFilter(limit=8189)) == expected_books[0], which
            assert engine.get_change_events(timestamp_min=0, limit=8189) == expected_books[2], which
            assert check(engine).passed, which
            engine.close()
            with psycopg.connect(url, options=f"-c search_path={names[which]}") as db:
                audit(db, marks_every=MARKS_EVERY)
                db.execute(f"DROP SCHEMA {names[which]} CASCADE")


def test_full_batches_with_every_kind_of_event_agree_with_memory(open_engine: Open, sql: psycopg.Connection) -> None:
    rng = random.Random(7)
    memory, engine = MemoryEngine(), open_engine()
    accounts = [Account(id=number, ledger=1, code=1, flags=8 if number < 5 else 10) for number in range(1, 60)]
    for each in (memory, engine):
        each.create_accounts(accounts, START)
    asked: list[Transfer] = []
    id_last = 0
    for step in range(3):
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
        assert engine.create_transfers(batch, START + step) == memory.create_transfers(batch, START + step)
    assert engine.query_accounts(QueryFilter(limit=8189)) == memory.query_accounts(QueryFilter(limit=8189))
    assert check(engine).passed
    engine.close()
    assert audit(sql) > 10_000
    again = open_engine()
    assert again.query_accounts(QueryFilter(limit=8189)) == memory.query_accounts(QueryFilter(limit=8189))


def test_batch_of_new_transfers_is_one_round_trip_and_one_that_names_old_ones_two(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = Connection.execute

    def observed(self: Connection, query: Any, *rest: Any, **more: Any) -> Any:
        asked.append(str(query).split()[0])
        return execute(self, query, *rest, **more)

    monkeypatch.setattr(Connection, "execute", observed)
    engine.create_transfers([plain(id_new, flags=2) for id_new in range(1, 1_000)], START)
    assert asked == ["WITH"]
    asked.clear()
    batch = [Transfer(id=1_000 + pending, pending_id=pending, flags=4, amount=1) for pending in range(1, 100)]
    batch += [plain(5_000, flags=2), Transfer(id=5_001, pending_id=5_000, flags=8), plain(7, flags=2)]
    assert timeless(engine.create_transfers(batch, START)) == ["CREATED"] * 101 + ["EXISTS"]
    assert asked == ["SELECT", "WITH"]
    again = [Transfer(id=6_000, pending_id=5_000, flags=4, amount=1), Transfer(id=6_001, pending_id=1, flags=8)]
    assert timeless(engine.create_transfers(again, START)) == ["PENDING_TRANSFER_ALREADY_VOIDED", "PENDING_TRANSFER_ALREADY_POSTED"]
    asked.clear()
    assert engine.account_now(1) is not None
    assert engine.expire_pending_transfers(START) == 0
    assert asked == []


# The schema


def test_books_outlive_a_restart_also_without_a_flush(open_engine: Open) -> None:
    engine = open_engine()
    engine.create_accounts(ACCOUNTS, START)
    batch = [plain(1, 5, debit=2, credit=3), plain(2, 10), plain(3, 4, flags=2, timeout=2), plain(4, 0, credit=1), plain(5, 2**100)]
    results = engine.create_transfers(batch, START)
    assert timeless(results) == ["EXCEEDS_CREDITS", "CREATED", "CREATED", "ACCOUNTS_MUST_BE_DIFFERENT", "CREATED"]
    before, last = books(engine), engine.last_timestamp
    assert timeless(engine.create_transfers([plain(6, 0, credit=1)], START)) == ["ACCOUNTS_MUST_BE_DIFFERENT"]
    engine._disconnect()
    engine.close()
    engine = open_engine()
    assert engine.last_timestamp == last + 1  # used up by a refusal, which leaves no row
    assert books(engine) == before
    assert timeless(engine.create_transfers(batch, START)) == [
        "ID_ALREADY_FAILED", "EXISTS", "EXISTS", "ACCOUNTS_MUST_BE_DIFFERENT", "EXISTS",
    ]  # fmt: skip
    assert engine.expire_pending_transfers(START + SECOND) == 0
    assert engine.expire_pending_transfers(START + 3 * SECOND) == 1
    (account,) = engine.lookup_accounts([2])
    assert (account.credits_pending, account.credits_posted) == (0, 10 + 2**100)


def test_closing_leaves_nothing_to_replay_unless_that_took_too_long(open_engine: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine()
    engine.create_accounts(ACCOUNTS, START)
    engine.create_transfers([plain(id_new, 2**64) for id_new in range(1, 50)], START)
    before = engine.lookup_accounts([1, 2, 3])
    engine.close()
    engine.close()
    engine = open_engine()
    assert engine._cache.replayed == 0
    assert engine.lookup_accounts([1, 2, 3]) == before
    engine.create_transfers([plain(100), plain(101)], START)
    before = engine.lookup_accounts([1, 2, 3])
    monkeypatch.setattr(postgres, "FLUSH_AT_CLOSE_MAX", 1)
    engine.close()
    engine = open_engine()
    assert engine._cache.replayed == 2
    assert engine.lookup_accounts([1, 2, 3]) == before


def test_commit_waits_for_the_disk(engine: PostgresEngine) -> None:
    assert engine._db is not None
    assert engine._db.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_server_that_does_not_keep_its_word_is_warned_of(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    PostgresEngine.open(postgres_url).close()
    assert "fsync" in capsys.readouterr().out


def test_tables_refuse_what_no_code_should_write(engine: PostgresEngine, sql: psycopg.Connection) -> None:
    engine.create_transfers([plain(1, 5)], START)
    engine.close()
    for statement in (
        "UPDATE balances SET debits_posted = 6 WHERE account = 2",  # more than it has
        "UPDATE balances SET credits_posted = -1 WHERE account = 2",
        "UPDATE balances SET wide = '{1,2,3}' WHERE account = 2",
        "UPDATE balances SET wide = ARRAY[0, 0, 0, 340282366920938463463374607431768211456] WHERE account = 2",
        "UPDATE events SET amount = -5",
        "UPDATE events SET credit_debits_pending = -5",
        "UPDATE events SET credit_account = debit_account",
        "UPDATE events SET debit_previous = timestamp",
        "UPDATE events SET id = NULL",
        "UPDATE events SET wide = ARRAY[1, 2]",
        "INSERT INTO events (SELECT (jsonb_populate_record(e, '{\"timestamp\": 99}')).* FROM events e)",  # the same id
        "INSERT INTO pending VALUES (5, 0, 1)",
        "UPDATE accounts SET ledger = 0",
        "INSERT INTO counterfoil_ledger VALUES (2, 1, 0, 0, 0, 0)",
    ):
        with pytest.raises(psycopg.IntegrityError):
            sql.execute(statement)


def test_schemas_of_others_and_of_later_versions_are_left_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("CREATE SCHEMA theirs")
        db.execute("CREATE TABLE theirs.people (name text)")
        db.execute("CREATE SCHEMA odd")
        db.execute("CREATE TABLE odd.counterfoil_ledger (name text)")
        db.execute("CREATE SCHEMA prepared")
        PostgresEngine.open(postgres_url, schema="prepared").close()  # an empty one is nobody's
        PostgresEngine.open(postgres_url, schema='La "Banque"').close()
        PostgresEngine.open(postgres_url, schema="later").close()
        db.execute("UPDATE later.counterfoil_ledger SET version = %s", (postgres_schema.VERSION + 1,))
        for schema, words in (
            ("theirs", "people.*another database or schema"),
            ("odd", "no ledger"),
            ("later", "version 2.*start the program"),
        ):
            with pytest.raises(errors.UnknownFormat, match=words):
                PostgresEngine.open(postgres_url, schema=schema)
        tables = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname IN ('theirs', 'odd')").fetchone()
        assert tables == (2,)
        assert db.execute("SELECT count(*) FROM later.accounts").fetchone() == (0,)


def test_two_that_make_the_same_ledger_at_once_make_one(open_engine: Open) -> None:
    made: list[object] = []
    ready = threading.Barrier(4)

    def make() -> None:
        ready.wait()
        made.append(open_engine(lease_timeout_s=None).last_timestamp)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [0] * 4


# Several writers


def test_second_writer_is_refused_with_words_and_waits_where_it_may(open_engine: Open, engine: PostgresEngine) -> None:
    with pytest.raises(errors.Unavailable, match=r"Another process writes to this ledger: counterfoil-ledger-.*Stop it first"):
        open_engine(lease_timeout_s=0.1)
    other: list[PostgresEngine] = []
    waiting = threading.Thread(target=lambda: other.append(open_engine(lease_timeout_s=60)))
    waiting.start()
    assert timeless(engine.create_transfers([plain(1)], START)) == ["CREATED"]
    engine.close()
    waiting.join()
    assert timeless(other[0].create_transfers([plain(1), plain(2)], START)) == ["EXISTS", "CREATED"]


def test_ledgers_in_other_schemas_of_the_same_database_have_leases_of_their_own(open_engine: Open, engine: PostgresEngine) -> None:
    other = open_engine(schema="other", lease_timeout_s=0.1)
    assert other.last_timestamp == 0 < engine.last_timestamp


def test_writer_that_lost_its_lease_writes_nothing_and_goes_on_after_the_other(
    open_engine: Open, engine: PostgresEngine, sql: psycopg.Connection
) -> None:
    engine.create_transfers([plain(1)], START)
    engine._lease_timeout_s = 0.1
    sql.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory'")
    other = open_engine(lease_timeout_s=60)
    other.create_accounts([Account(id=50, ledger=1, code=1)], START)
    assert timeless(other.create_transfers([plain(2), plain(9, credit=50)], START)) == ["CREATED"] * 2
    for id_new in (3, 3):
        with pytest.raises(errors.Unavailable):
            engine.create_transfers([plain(id_new)], START)
    assert [event.transfer.id for event in engine.get_change_events(timestamp_min=0, limit=10)] == [1, 2, 9]  # though its memory is older
    assert engine.account_now(50) is None
    other.close()
    assert timeless(engine.create_transfers([plain(2), plain(3), plain(4, credit=50)], START)) == ["EXISTS", "CREATED", "CREATED"]
    assert check(engine).passed


def test_stale_books_are_never_written_even_without_a_lease(open_engine: Open) -> None:
    """The limited account has 10: two writers who each believe so let it pay 10 once."""
    one, two = open_engine(lease_timeout_s=None), open_engine(lease_timeout_s=None)
    one.create_accounts(ACCOUNTS, START)
    one.create_transfers([plain(1, 10)], START)
    assert timeless(two.create_transfers([plain(2, 10, debit=2, credit=3)], START)) == ["CREATED"]
    assert timeless(one.create_transfers([plain(3, 10, debit=2, credit=3)], START)) == ["EXCEEDS_CREDITS"]
    assert timeless(two.create_transfers([plain(3, 10), plain(2, 10, debit=2, credit=3)], START)) == ["ID_ALREADY_FAILED", "EXISTS"]
    accounts = [Account(id=number, ledger=1, code=1) for number in (70, 71)]
    assert [result.status.name for engine in (one, two) for result in engine.create_accounts(accounts, START)] == ["CREATED"] * 2 + [
        "EXISTS"
    ] * 2
    for engine in (one, two):
        engine.expire_pending_transfers(0)
        assert timeless(engine.create_transfers([plain(2, 10, debit=2, credit=3)], START)) == ["EXISTS"]
        assert check(engine).passed


def test_what_another_writer_made_is_resolved_and_released_though_the_books_do_not_know_it(open_engine: Open) -> None:
    one, two = open_engine(lease_timeout_s=None), open_engine(lease_timeout_s=None)
    one.create_accounts(ACCOUNTS, START)
    two.create_transfers([plain(1)], START)
    one.create_accounts([Account(id=50, ledger=1, code=1)], START)
    one.create_transfers([plain(2, 5, credit=50, flags=2), plain(3, 7, credit=50, flags=2, timeout=1)], START)
    assert timeless(two.create_transfers([Transfer(id=4, pending_id=2, flags=4, amount=2)], START)) == ["CREATED"]
    one.create_accounts([Account(id=51, ledger=1, code=1)], START)
    one.create_transfers([plain(5, 9, credit=51, flags=2, timeout=1)], START)
    assert two.expire_pending_transfers(START + 2 * SECOND) == 2
    assert (two.balances_now(50), two.balances_now(51)) == ((0, 0, 0, 2), (0, 0, 0, 0))
    assert check(two).passed


def test_writers_at_the_same_time_lose_and_double_nothing(open_engine: Open, sql: psycopg.Connection) -> None:
    engines = [open_engine(lease_timeout_s=None) for _ in range(3)]
    engines[0].create_accounts(ACCOUNTS, START)
    done: list[int] = []

    def write(engine: PostgresEngine, first: int) -> None:
        for start in range(first, first + 100, 5):
            batch = [plain(id_new) for id_new in (*range(start, start + 5), 1_000)]
            while True:
                try:
                    results = timeless(engine.create_transfers(batch, START))
                    break
                except errors.Unavailable:  # overtaken too often
                    continue
            done.append(sum(result == "CREATED" for result in results))

    threads = [threading.Thread(target=write, args=(engine, 100 * number + 1)) for number, engine in enumerate(engines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 301
    for engine in engines:
        engine.close()
    assert audit(sql) == 301
    assert check(open_engine()).passed


# Reads beside a write


def test_quick_reads_show_committed_books_while_a_batch_is_under_way(engine: PostgresEngine, sql: psycopg.Connection) -> None:
    engine.create_transfers([plain(1, 100), plain(2, 7, flags=2)], START)

    def shown() -> tuple[Any, ...]:
        accounts = (engine.account_now(number) for number in (1, 2, 3, 99))
        return (engine.last_timestamp, *accounts, engine.balances_now(2), engine.account_code(99))

    before = shown()
    results: list[object] = []
    batch = [plain(3, 5), plain(4, 6, debit=2, credit=3, flags=1), plain(5, 1), Transfer(id=6, pending_id=2, flags=4, amount=7)]
    with sql.transaction():
        sql.execute("LOCK TABLE marks")
        writing = threading.Thread(target=lambda: results.append(engine.create_transfers(batch, START)))
        writing.start()
        while not sql.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert shown() == before
        assert engine._cache.accounts[2].balances() != engine.balances_now(2), "the batch has not begun"
        assert shown() == before
        assert engine.lookup_accounts([1, 2, 3]) == list(before[1:4])
        assert [t.id for t in engine.query_transfers(QueryFilter(limit=9))] == [1, 2]
        assert len(engine.get_change_events(timestamp_min=0, limit=9)) == 2
        assert engine.balance_at(2, 2**62).credits_posted == 100
    writing.join()
    assert results
    assert engine.balances_now(2) == (0, 6, 0, 100 + 5 + 1 + 7)
    assert engine.last_timestamp > START
    with sql.transaction():
        sql.execute("LOCK TABLE balances")
        opening = threading.Thread(target=lambda: engine.create_accounts([Account(id=99, ledger=1, code=5)], START))
        opening.start()
        while not sql.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            pass
        assert (engine.account_now(99), engine.account_code(99), engine.lookup_accounts([99])) == (None, 0, [])
    opening.join()
    assert engine.account_code(99) == 5


def test_batch_that_begins_in_the_middle_of_a_quick_read_is_not_seen(engine: PostgresEngine, sql: psycopg.Connection) -> None:
    engine.create_transfers([plain(1, 100)], START)
    writing = threading.Thread(target=engine.create_transfers, args=([plain(2, 5)], START))

    class Beginning(dict[int, Any]):
        """What the read looks into first: right behind it the writer begins, and goes as far as it can."""

        def get(self, key: int, default: Any = None) -> Any:
            found = super().get(key, default)
            if writing.ident is None:
                writing.start()
                while not sql.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                    pass
            return found

    with sql.transaction():
        sql.execute("LOCK TABLE marks")
        engine._view = engine._view._replace(before=Beginning())
        assert engine.balances_now(2) == (0, 0, 0, 100)
        assert engine._cache.accounts[2].credits_posted == 105
    writing.join()
    assert engine.balances_now(2) == (0, 0, 0, 105)


def test_no_quick_read_sees_half_a_batch(engine: PostgresEngine) -> None:
    """Each batch moves as much into account 2 as out of it, in many steps."""
    engine.create_transfers([plain(1, 1_000)], START)
    ended = threading.Event()
    seen: list[tuple[int, int, int, int]] = []

    def read() -> None:
        while not ended.is_set():
            balances = engine.balances_now(2)
            assert balances is not None
            if not seen or seen[-1] != balances:
                seen.append(balances)

    reader = threading.Thread(target=read)
    reader.start()
    ids = itertools.count(2)
    for _ in range(30):
        batch = [plain(next(ids), debit=debit, credit=credit) for debit, credit in [(2, 3), (1, 2)] * 300]
        assert set(timeless(engine.create_transfers(batch, START))) == {"CREATED"}
    ended.set()
    reader.join()
    assert len(seen) > 1
    assert {posted - debited for _, debited, _, posted in seen} == {1_000}
    assert {debited % 300 for _, debited, _, _ in seen} == {0}
