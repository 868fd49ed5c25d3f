"""The postgres engine where the server, the network or the disk fails: what was acknowledged is there once, and it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from counterfoil import errors
from counterfoil.clock import SystemClock
from counterfoil.ledger import postgres_connection
from counterfoil.ledger.check import check
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection
from counterfoil.ledger.types import AccountFilter, Transfer
from counterfoil.ledger.writer import Writer
from tests.ledger.cutting import CuttingProxy
from tests.ledger.postgres_tables import audit
from tests.ledger.sqlite_file import ACCOUNTS, SECOND, START, timeless
from tests.postgres import Cluster, cluster

WARM = ["CREATED"] * 4


def plain(id: int, amount: int = 1, *, debit: int = 1, credit: int = 2, flags: int = 0, **more: int) -> Transfer:
    return Transfer(id=id, debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1, flags=flags, **more)


def many(first: int, count: int) -> list[Transfer]:
    return [plain(id_new) for id_new in range(first, first + count)]


@pytest.fixture
def engine(postgres_url: str) -> Iterator[PostgresEngine]:
    engine = PostgresEngine.open(postgres_url)
    engine.create_accounts(ACCOUNTS, START)
    yield engine
    engine.close()


@pytest.fixture
def sql(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, options="-c search_path=ledger", autocommit=True) as db:
        yield db


@pytest.fixture
def proxy(postgres: Cluster) -> Iterator[CuttingProxy]:
    with tempfile.TemporaryDirectory(prefix="cut-") as folder, CuttingProxy(postgres.socket, Path(folder)) as made:
        yield made


@pytest.fixture
def proxied(proxy: CuttingProxy, postgres_url: str) -> Iterator[PostgresEngine]:
    """An engine whose every connection goes through `proxy`."""
    engine = PostgresEngine.open(f"{proxy.url(postgres_url.split('/')[3].partition('?')[0])}&connect_timeout=2", lease_timeout_s=60)
    engine.create_accounts(ACCOUNTS, START)
    yield engine
    engine.close()


def cut_backends(sql: psycopg.Connection) -> None:
    """Ends all connections of ledgers on this database, and waits until they are gone."""
    sql.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'counterfoil-ledger-%' AND datname = current_database()"
    )


# The connection


def test_connection_cut_at_any_byte_of_a_write_leaves_all_of_it_or_nothing(proxied: PostgresEngine, proxy: CuttingProxy) -> None:
    ids = iter(range(1, 10**6))
    pending = [plain(next(ids), flags=2) for _ in range(60)]
    proxied.create_transfers(pending, START)

    def batch() -> list[Transfer]:
        """Something of everything: it reads what it resolves before it writes."""
        resolved = pending.pop().id
        return [
            plain(next(ids)),
            plain(next(ids), flags=2),
            Transfer(id=next(ids), pending_id=resolved, flags=4, amount=1),
            plain(next(ids)),
        ]

    for statement in (WARM, WARM):  # prepared statements are there
        assert timeless(proxied.create_transfers(batch(), START)) == statement
    proxy.arm(from_client=10**9)
    proxied.create_transfers(batch(), START)
    sent, answered = proxy.passed
    cuts = [("from_client", sent * part // 10) for part in range(10)] + [("from_client", sent - 1)]
    cuts += [("from_server", answered * part // 4) for part in range(3)] + [("from_server", answered - left) for left in (60, 30, 6, 1)]
    done = {"CREATED": 0, "EXISTS": 0}
    for direction, size in cuts:
        events = batch()
        proxy.arm(**{direction: size})
        with pytest.raises(errors.Unavailable):
            proxied.create_transfers(events, START)
        proxy.arm()
        again = timeless(proxied.create_transfers(events, START))
        assert again in (WARM, ["EXISTS"] * 4), (direction, size)
        done[again[0]] += 1
        assert timeless(proxied.create_transfers(events, START)) == ["EXISTS"] * 4
    assert proxy.cuts == len(cuts)
    assert done["CREATED"] > 5, "never cut before it was done"
    assert done["EXISTS"] > 2, "never cut after it was done"
    assert check(proxied).passed


def test_replies_that_never_come_are_given_up(proxied: PostgresEngine, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    proxied.create_transfers([plain(1)], START)
    assert proxied.lookup_transfers([1])
    monkeypatch.setattr(Connection, "deadline_s", 0.3)
    proxy.hold()
    for attempt in (lambda: proxied.create_transfers([plain(2)], START), lambda: proxied.lookup_transfers([1])):
        with pytest.raises(errors.Unavailable, match=r"does not answer|Check that PostgreSQL runs there"):
            attempt()
    assert proxied.balances_now(2) == (0, 0, 0, 1)  # quick reads go on
    monkeypatch.setattr(Connection, "deadline_s", 60)
    proxy.release()
    assert timeless(proxied.create_transfers([plain(2), plain(3)], START))[1] == "CREATED"
    assert proxied.balances_now(2) == (0, 0, 0, 3)
    assert [t.id for t in proxied.lookup_transfers([1, 2, 3])] == [1, 2, 3]


def test_idle_connections_that_were_cut_hurt_no_read_and_one_write(engine: PostgresEngine, sql: psycopg.Connection) -> None:
    engine.create_transfers([plain(1)], START)
    readers = [threading.Thread(target=engine.lookup_transfers, args=([1],)) for _ in range(4)]
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join()
    cut_backends(sql)
    assert [t.id for t in engine.lookup_transfers([1])] == [1]
    assert len(engine.get_account_transfers(AccountFilter(account_id=2, limit=9))) == 1
    with pytest.raises(errors.Unavailable):
        engine.create_transfers([plain(2)], START)
    assert timeless(engine.create_transfers([plain(1), plain(2)], START)) == ["EXISTS", "CREATED"]


def test_pulse_connects_again_and_releases_what_is_due(engine: PostgresEngine, sql: psycopg.Connection) -> None:
    engine.create_transfers([plain(1, 7, flags=2, timeout=1)], START)
    cut_backends(sql)
    with pytest.raises(errors.Unavailable):
        engine.expire_pending_transfers(START + 2 * SECOND)
    assert engine.expire_pending_transfers(START + 2 * SECOND) == 1
    assert engine.balances_now(2) == (0, 0, 0, 0)
    cut_backends(sql)
    with pytest.raises(errors.Unavailable):
        engine.create_transfers([plain(2)], START)
    assert engine.expire_pending_transfers(START) == 0  # nothing is due, and it is connected
    assert timeless(engine.create_transfers([plain(2)], START)) == ["CREATED"]


def test_what_is_left_of_an_own_connection_does_not_hold_the_lease(
    proxied: PostgresEngine, proxy: CuttingProxy, sql: psycopg.Connection
) -> None:
    """The proxy's side to the server stays open while ours is gone: as when a router forgets a connection."""
    assert proxied._db is not None
    old = proxied._db.info.backend_pid
    proxied._disconnect()
    proxied._stale = True
    holder = psycopg.connect(sql.info.dsn, autocommit=True, application_name=proxied._connector.name)
    holder.execute("SELECT pg_advisory_lock(%s, hashtext('ledger'))", (postgres_connection.LEASE,))
    assert timeless(proxied.create_transfers([plain(1)], START)) == ["CREATED"]
    assert proxied._db.info.backend_pid != old
    with pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")
    holder.close()


# The server


def test_killed_server_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with cluster(durable=True) as server:
        engine = PostgresEngine.open(server.new_database(), lease_timeout_s=60)
        engine.create_accounts(ACCOUNTS, START)
        acknowledged: list[int] = []
        first = 1
        for _ in range(2):
            enough = threading.Event()
            lost: list[list[Transfer]] = []

            def write(start: int, enough: threading.Event, lost: list[list[Transfer]]) -> None:
                for begin in range(start, start + 10**6, 200):
                    batch = many(begin, 200)
                    try:
                        assert set(timeless(engine.create_transfers(batch, START))) == {"CREATED"}
                    except errors.Unavailable:
                        lost.append(batch)
                        return
                    acknowledged.append(begin)
                    if begin >= start + 2_000:
                        enough.set()

            writing = threading.Thread(target=write, args=(first, enough, lost))
            writing.start()
            assert enough.wait(120)
            server.kill()
            writing.join(120)
            assert lost
            with pytest.raises(errors.Unavailable, match="Check that PostgreSQL runs there"):
                engine.create_transfers(lost[0], START)
            with pytest.raises(errors.Unavailable):
                engine.lookup_transfers([1])
            assert engine.account_now(2) is not None
            server.start()
            again = timeless(engine.create_transfers(lost[0], START))
            assert again in (["EXISTS"] * 200, ["CREATED"] * 200)
            acknowledged.append(lost[0][0].id)
            for begin in acknowledged:
                assert timeless(engine.create_transfers(many(begin, 200), START)) == ["EXISTS"] * 200
            first = lost[0][0].id + 200
        assert engine.balances_now(2) == (0, 0, 0, first - 1)
        assert check(engine).passed
        engine.close()
        with psycopg.connect(server.url("test_1"), options="-c search_path=ledger") as db:
            assert audit(db) == first - 1


WRITING = """
import itertools, sys
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.types import Transfer
from tests.ledger.sqlite_file import ACCOUNTS, START
engine = PostgresEngine.open(sys.argv[1])
engine.create_accounts(ACCOUNTS, START)
for first in itertools.count(1, 100):
    engine.create_transfers([Transfer(id, 1, 2, 1, ledger=1, code=1) for id in range(first, first + 100)], START)
    print("acknowledged", first, flush=True)
"""


def test_another_takes_over_when_the_writer_dies_in_the_middle_of_its_work(postgres_url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITING, postgres_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged: list[int] = []
        for line in process.stdout:
            if line.startswith("acknowledged"):
                acknowledged.append(int(line.split()[1]))
            if len(acknowledged) == 5:
                with pytest.raises(errors.Unavailable, match="Another process"):
                    PostgresEngine.open(postgres_url, lease_timeout_s=0.05)
            if len(acknowledged) == 20:
                break
        opened: list[PostgresEngine] = []
        waiting = threading.Thread(target=lambda: opened.append(PostgresEngine.open(postgres_url, lease_timeout_s=120)))
        waiting.start()
        process.kill()
        acknowledged += [int(line.split()[1]) for line in process.stdout if line.startswith("acknowledged")]
        waiting.join()
    (engine,) = opened
    for first in acknowledged:
        assert timeless(engine.create_transfers(many(first, 100), START)) == ["EXISTS"] * 100
    done = engine.balances_now(2)
    assert done in ((0, 0, 0, 100 * len(acknowledged)), (0, 0, 0, 100 * len(acknowledged) + 100))  # perhaps one more than it could say
    assert set(timeless(engine.create_transfers(many(10**6, 5), START))) == {"CREATED"}
    assert check(engine).passed
    engine.close()


def test_stopped_server_process_is_given_up_and_its_batch_is_there_once(engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine._db is not None
    engine.create_transfers([plain(1)], START)
    pid = engine._db.info.backend_pid
    monkeypatch.setattr(Connection, "deadline_s", 0.3)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(errors.Unavailable):
            engine.create_transfers([plain(2)], START)
        monkeypatch.setattr(Connection, "deadline_s", 60)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert timeless(engine.create_transfers([plain(2), plain(3)], START)) in (["CREATED"] * 2, ["EXISTS", "CREATED"])
    assert engine.balances_now(2) == (0, 0, 0, 3)


def test_statement_that_takes_too_long_is_ended_by_the_server(
    postgres_url: str, engine: PostgresEngine, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.close()
    monkeypatch.setattr(postgres_connection, "STATEMENT_S_MAX", 1)
    engine = PostgresEngine.open(postgres_url)
    with sql.transaction():
        sql.execute("LOCK TABLE events")
        for attempt in (lambda: engine.create_transfers([plain(1)], START), lambda: engine.lookup_transfers([1])):
            with pytest.raises(errors.Unavailable, match="statement timeout"):
                attempt()
    assert timeless(engine.create_transfers([plain(1)], START)) == ["CREATED"]
    engine.close()


@pytest.mark.parametrize(
    ("code", "words"), [("disk_full", "No space left"), ("io_error", "could not fsync"), ("read_only_sql_transaction", "read-only")]
)
def test_full_disk_and_a_server_that_became_a_standby_are_survived(
    engine: PostgresEngine, sql: psycopg.Connection, code: str, words: str
) -> None:
    """As the server says it; `code` is PostgreSQL's condition name."""
    sql.execute(
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE {code} USING MESSAGE = 'here: {words}'; END $$;"
        "CREATE TRIGGER fails BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fail()".format(table="marks")
    )
    for _ in range(2):
        with pytest.raises(errors.Unavailable, match=words):
            engine.create_transfers([plain(1), plain(2, flags=2)], START)
        assert engine.balances_now(2) == (0, 0, 0, 0)
    sql.execute("DROP TRIGGER fails ON marks")
    assert timeless(engine.create_transfers([plain(1), plain(2, flags=2)], START)) == ["CREATED", "CREATED"]
    assert engine.balances_now(2) == (0, 0, 1, 1)
    assert audit(sql) == 2


def test_session_that_may_only_read_is_left_for_one_that_may_write(engine: PostgresEngine) -> None:
    assert engine._db is not None
    engine._db.execute("SET default_transaction_read_only = on")
    with pytest.raises(errors.Unavailable, match="standby"):
        engine.create_transfers([plain(1)], START)
    assert timeless(engine.create_transfers([plain(1)], START)) == ["CREATED"]


def test_database_that_lost_what_was_acknowledged_is_not_gone_on_with(engine: PostgresEngine, sql: psycopg.Connection) -> None:
    engine.create_transfers([plain(1)], START)
    ((time,),) = sql.execute("SELECT last_timestamp FROM counterfoil_ledger").fetchall()
    engine.create_transfers([plain(2)], START + 5)
    sql.execute("DELETE FROM events WHERE timestamp > %s", (time,))
    sql.execute("UPDATE counterfoil_ledger SET last_timestamp = %s", (time,))
    cut_backends(sql)
    with pytest.raises(errors.Unavailable):
        engine.create_transfers([plain(3)], START + 6)
    for _ in range(2):
        with pytest.raises(errors.Unavailable, match=r"lost what was acknowledged.*Bring back the newer"):
            engine.create_transfers([plain(3)], START + 7)
    assert audit(sql) == 1


# Opening


def test_refusals_at_the_door_say_what_to_do(postgres: Cluster, postgres_url: str, tmp_path: Path) -> None:
    database = postgres_url.split("/")[3].partition("?")[0]
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("DROP ROLE IF EXISTS guarded")
        db.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    guarded = postgres.url(database, user="guarded")
    cases: list[tuple[str, str]] = [
        (f"{guarded}&password=wrong", "password authentication failed.*Check user and password"),
        (guarded, "password.*Check user and password"),
        (f"{guarded}&password=right", "permission denied.*needs the right to create a schema"),
        (postgres.url(database, user="nobody-here"), "nobody-here.*Check the user in its URL"),
        (postgres.url("no_such_database"), "no_such_database.*createdb"),
        (f"postgresql://postgres@/x?host={tmp_path}", "Check that PostgreSQL runs there"),
        ("postgresql://postgres@127.0.0.1:1/x", "Check that PostgreSQL runs there"),
        ("postgresql://postgres@/x?colour=blue", "colour"),
        ("no url at all", "The ledger's database cannot be named like this"),
    ]
    for url, words in cases:
        with pytest.raises(errors.Unavailable, match=words) as refused:
            PostgresEngine.open(url).close()
        assert "right" not in refused.value.detail.replace("the right to", "")
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"GRANT CREATE ON DATABASE {database} TO guarded")
        PostgresEngine.open(f"{guarded}&password=right").close()
        db.execute("DROP OWNED BY guarded; DROP ROLE guarded")


# Under the writer


async def test_writer_goes_on_through_an_outage(postgres_url: str) -> None:
    engine = PostgresEngine.open(postgres_url)
    writer = Writer(engine, SystemClock(), lambda _: None, queue_size_max=20_000, pulse_interval_s=0.01)
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    await writer.create_accounts(ACCOUNTS)

    async def insist(transfers: list[Transfer]) -> list[str]:
        while True:
            try:
                return timeless(await writer.create_transfers(transfers))
            except errors.Unavailable:
                await asyncio.sleep(0.001)

    with psycopg.connect(postgres_url, autocommit=True) as sql:
        for round_number in range(3):
            answers = [
                asyncio.create_task(insist(many(first, 5))) for first in range(1 + 1_000 * round_number, 1_000 * round_number + 900, 5)
            ]
            await asyncio.sleep(0.001 * round_number)
            await asyncio.to_thread(cut_backends, sql)
            for answer in answers:
                assert set(await answer) in ({"CREATED"}, {"EXISTS"})
    assert engine.balances_now(2) == (0, 0, 0, 3 * 900)
    await writer.stop()
    await task
    assert check(engine).passed
    engine.close()
