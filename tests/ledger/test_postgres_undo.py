"""The postgres engine's memory after a batch that was not written: exactly what it was, so that it need not be read anew."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from counterfoil import errors
from counterfoil.ledger import postgres_books
from counterfoil.ledger.cache import Cache
from counterfoil.ledger.check import check
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection, Row
from counterfoil.ledger.types import Account, QueryFilter, Transfer
from tests.ledger.postgres_tables import audit, small_bounds
from tests.ledger.sqlite_file import ACCOUNTS, MARKS_EVERY, START, History, timeless
from tests.postgres import Cluster

schemas = itertools.count()


class Line:
    """The line of all engines, which is cut at a statement that changes or finds something: before it is sent, or after it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cut_at = 0  # which statement from now on; 0: none
        self.after = False
        self.cuts = 0
        self.wrote = False  # what the last cut came after
        select = Connection.select

        def cut(db: Connection, query: str, parameters: Any = ()) -> list[Row]:
            if self.cut_at:
                self.cut_at -= 1
                if not self.cut_at:
                    self.cuts += 1
                    self.wrote = self.after and "WITH fence" in query
                    if self.after:
                        select(db, query, parameters)
                    raise psycopg.OperationalError("the connection is lost")
            return select(db, query, parameters)

        monkeypatch.setattr(Connection, "select", cut)


class Loads:
    """How often books are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        load = postgres_books.load

        def counted(db: Connection) -> Cache:
            self.count += 1
            return load(db)

        monkeypatch.setattr(postgres_books, "load", counted)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    return Loads(monkeypatch)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[PostgresEngine]:
    engine = PostgresEngine.open(postgres_url, lease_timeout_s=60)
    engine.create_accounts(ACCOUNTS, START)
    yield engine
    engine.close()


def plain(id: int, amount: int = 1, **more: int) -> Transfer:
    return Transfer(id=id, debit_account_id=1, credit_account_id=2, amount=amount, ledger=1, code=1, **more)


def compare(cache: Cache, db: Connection) -> None:
    """What is in memory is what would be read."""
    read = postgres_books.load(db)

    def told(books: Cache) -> list[Any]:
        accounts = [(a.number, a.freeze(), a.last, a.count) for a in books.numbered]
        assert {a.id: a for a in books.numbered} == books.accounts
        return [
            accounts, books.wide, books.last_timestamp, books.last_event, books.flush_cursor, books.cycle_start, books.replay_from,
        ]  # fmt: skip

    assert told(cache) == told(read)
    assert cache.expires_next == 0 == read.expires_next or 0 < cache.expires_next <= (read.expires_next or cache.expires_next)
    ids = {id_found for (id_found,) in db.select("SELECT id FROM events WHERE id IS NOT NULL")}
    assert {each for each in ids if each > cache.floor} <= set(cache.newest) <= ids
    flushed = dict[int, int](db.select("SELECT account, last FROM balances"))
    for account in cache.numbered:
        if account.last == account.flushed:
            assert flushed[account.number] == account.last, "it would never be flushed again"


@pytest.mark.parametrize("seed", range(4))
def test_books_after_a_lost_batch_are_what_they_were(postgres: Cluster, seed: int, line: Line, loads: Loads) -> None:
    history, chance, schema = History(seed), random.Random(seed), f"undo_{next(schemas)}"
    url = postgres.url()
    with small_bounds():
        memory, engine = MemoryEngine(), PostgresEngine.open(url, schema=schema, lease_timeout_s=60, fast_path=seed % 2 == 0)
        assert engine.create_accounts(ACCOUNTS, history.now) == memory.create_accounts(ACCOUNTS, history.now)
        for number in range(60):
            batch = history.batch()
            line.after = chance.random() < 0.2
            line.cut_at = chance.choice((1, 1, 2, 3))
            cuts, loaded = line.cuts, loads.count
            try:
                results = engine.create_transfers(batch, history.now)
            except errors.Unavailable:
                assert line.cuts == cuts + 1
                assert engine._db is None
                engine._connect()
                assert loads.count == loaded + line.wrote, "where nothing was written, nothing has to be read"
                assert engine._db is not None
                compare(engine._cache, engine._db)
                if line.wrote:
                    memory.create_transfers(batch, history.now)
                results = engine.create_transfers(batch, history.now)
            line.cut_at = 0
            assert results == memory.create_transfers(batch, history.now)
            if number % 10 == 0:
                created = [Account(id=10_000 + number, ledger=1, code=1)]
                line.cut_at, line.after = 1, False
                with pytest.raises(errors.Unavailable):
                    engine.create_accounts(created, history.now)
                engine._connect()
                assert engine._db is not None
                compare(engine._cache, engine._db)
                assert [result.status.name for result in engine.create_accounts(created, history.now)] == ["CREATED"]
                memory.create_accounts(created, history.now)
        assert line.cuts > 20
        assert check(engine).passed
        engine.close()
    with psycopg.connect(url, options=f"-c search_path={schema}") as db:
        audit(db, marks_every=MARKS_EVERY)
        db.execute(f"DROP SCHEMA {schema} CASCADE")


def test_lost_connection_costs_no_reading_unless_another_has_written(
    engine: PostgresEngine, postgres_url: str, line: Line, loads: Loads
) -> None:
    engine.create_transfers([plain(1)], START)
    before = loads.count
    for _ in range(3):
        line.cut_at, line.after = 1, False
        with pytest.raises(errors.Unavailable):
            engine.create_transfers([plain(2)], START)
        assert engine.balances_now(2) == (0, 0, 0, 1)
    assert timeless(engine.create_transfers([plain(2)], START)) == ["CREATED"]
    assert loads.count == before
    line.cut_at, line.after = 1, True  # it was done, and nobody heard
    with pytest.raises(errors.Unavailable):
        engine.create_transfers([plain(3)], START)
    assert timeless(engine.create_transfers([plain(3)], START)) == ["EXISTS"]
    assert loads.count == before + 1
    engine._disconnect()
    engine._stale = True
    other = PostgresEngine.open(postgres_url, lease_timeout_s=60)
    assert timeless(other.create_transfers([plain(4, 5)], START)) == ["CREATED"]
    other.close()
    before = loads.count
    assert timeless(engine.create_transfers([plain(4, 5), plain(5)], START)) == ["EXISTS", "CREATED"]
    assert loads.count == before + 1
    assert engine.balances_now(2) == (0, 0, 0, 9)


def test_lost_part_of_a_move_leaves_the_books_as_they_were(postgres_url: str, line: Line) -> None:
    source, engine = MemoryEngine(), PostgresEngine.open(postgres_url, lease_timeout_s=60)
    source.create_accounts(ACCOUNTS, START)
    source.create_transfers([plain(1, 7), plain(2, 5, flags=2), plain(3, 2)], START)
    events = source.get_change_events(timestamp_min=0, limit=10)
    engine.append_accounts(source.query_accounts(QueryFilter(limit=10)))
    for part in (events[:2], events[2:]):
        line.cut_at = 1
        with pytest.raises(errors.Unavailable):
            engine.append_events(part)
        engine._connect()
        assert engine._db is not None
        compare(engine._cache, engine._db)
        engine.append_events(part)
    assert engine.balances_now(2) == source.balances_now(2) == (0, 0, 5, 9)
    assert check(engine).passed
    engine.close()


def test_another_database_in_place_of_ours_is_noticed_whatever_its_time_is(engine: PostgresEngine, postgres_url: str, line: Line) -> None:
    """A primary that has gone on alone, while ours was elsewhere: it is later than we are, and has not what we have."""
    engine.create_transfers([plain(1)], START)
    line.cut_at = 1
    with pytest.raises(errors.Unavailable):
        engine.create_transfers([plain(2)], START)
    with psycopg.connect(postgres_url, options="-c search_path=ledger", autocommit=True) as sql:
        sql.execute("UPDATE events SET timestamp = timestamp + 7")
        sql.execute("UPDATE counterfoil_ledger SET last_timestamp = last_timestamp + 7")
        for _ in range(2):
            with pytest.raises(errors.Unavailable, match="lost what was acknowledged"):
                engine.create_transfers([plain(2)], START)
        sql.execute("UPDATE events SET timestamp = timestamp - 7")
        assert timeless(engine.create_transfers([plain(2)], START)) == ["CREATED"]
