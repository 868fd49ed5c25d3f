"""What is particular to a store on a server: it is waited for, it goes away, and more than one process can reach it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, func, insert, select

from counterfoil.errors import Malformed, Refused, Unavailable, UnknownFormat
from counterfoil.store import postgres as server
from counterfoil.store import postgres_store
from counterfoil.store.database import Store
from counterfoil.store.migrations import migrate
from counterfoil.store.reader import StoreReader
from tests.commands.desk import run
from tests.postgres import Cluster, cluster
from tests.store.test_database import create, numbers, put, running, tables, things

PATIENCE_S = 120
LOCK = 4242


@pytest.fixture
def url(postgres_url: str) -> str:
    create(postgres_url)
    return postgres_url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with running(url) as store:
        yield store


@pytest.fixture
def other(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else on the same database."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def put_once(number: int) -> Callable[[Connection], str]:
    """As everything that is asked for with an id: whoever repeats it hears that it was done."""

    def fn(connection: Connection) -> str:
        if connection.execute(select(func.count()).where(things.c.id == number)).scalar_one():
            return "was there"
        connection.execute(insert(things), {"id": number, "amount": 1})
        return "new"

    return fn


def wait_for_lock(connection: Connection) -> str:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({LOCK})")
    return "done"


# The event loop goes on


async def test_the_loop_goes_on_while_the_server_is_waited_for(store: Store, other: psycopg.Connection[Any]) -> None:
    """Were it to wait, nobody would let go of the lock."""
    other.execute(f"SELECT pg_advisory_lock({LOCK})")
    waiting = [
        asyncio.create_task(each) for each in (store.write(wait_for_lock), store.read(wait_for_lock), store.read_long(wait_for_lock))
    ]
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
    while (await asyncio.to_thread(lambda: other.execute(blocked).fetchone())) != (3,):
        assert not any(task.done() for task in waiting)
        await asyncio.sleep(0.01)
    other.execute(f"SELECT pg_advisory_unlock({LOCK})")
    assert await asyncio.gather(*waiting) == ["done"] * 3


async def test_every_wait_on_the_server_has_an_end(store: Store) -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

    def limits(connection: Connection) -> list[str]:
        return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]

    assert await store.read(limits) == await store.write(limits) == ["5s", "1min", "1min"]
    assert await store.write(lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()) == "on"


async def test_a_server_that_answers_nothing_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it still works on what it was told, and has our lease: the next batch does not wait for that."""
    monkeypatch.setattr(postgres_store, "BATCH_S_MAX", 0.3)
    monkeypatch.setattr(postgres_store, "READ_S_MAX", 0.3)

    def stand_still(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(50)")

    def put_and_stand_still(connection: Connection) -> None:
        put(1)(connection)
        stand_still(connection)

    with pytest.raises(Unavailable, match="could not be stored"):
        await store.write(put_and_stand_still)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.read(stand_still)
    monkeypatch.undo()
    assert await store.write(put_once(2)) == "new"
    assert await store.read(numbers) == [2]


# When the answer to COMMIT is lost


@pytest.fixture
def slow_commit(url: str, other: psycopg.Connection[Any]) -> None:
    """COMMIT waits as long as `other` has the lock."""
    other.execute(f"""
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
    """)
    other.execute(f"SELECT pg_advisory_lock({LOCK})")


@pytest.mark.parametrize("is_done", [True, False])
async def test_an_outcome_that_nobody_knows_is_unavailable_and_a_repeat_is_safe(
    url: str, slow_commit: None, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    async with running(url) as store:
        monkeypatch.setattr(postgres_store, "BATCH_S_MAX", 0.3)
        with pytest.raises(Unavailable):
            await store.write(put_once(1))
        monkeypatch.undo()
        if is_done:
            other.execute(f"SELECT pg_advisory_unlock({LOCK})")
            count = "SELECT count(*) FROM things"
            await asyncio.to_thread(until, lambda: other.execute(count).fetchone() == (1,), "the server commits what it was told to")
            assert await store.write(put_once(1)) == "was there"
        else:
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
            (first,) = other.execute(waiting).fetchall()
            repeated = asyncio.create_task(store.write(put_once(1)))  # ends the connection before, and so undoes its work
            await asyncio.to_thread(until, lambda: other.execute(waiting).fetchall() not in ([], [first]), "it commits")
            other.execute(f"SELECT pg_advisory_unlock({LOCK})")
            assert await repeated == "new"
        assert await store.read(numbers) == [1]


# Outages


async def test_a_server_that_restarts_is_waited_out(tmp_path: Path) -> None:
    with cluster() as own:
        url = own.new_database()
        create(url)
        async with running(url) as store:
            assert await store.write(put(1)) == 1
            assert await store.read(numbers) == [1]
            await asyncio.to_thread(own.kill)
            for attempt in (store.write(put(2)), store.read(numbers), store.read_long(numbers), store.write(put(2))):
                with pytest.raises(Unavailable):
                    await attempt
            await asyncio.to_thread(own.start)
            assert await store.read(numbers) == [1], "at once, and by itself"
            assert await store.write(put(2)) == 2
            await asyncio.to_thread(own.stop)
            await asyncio.to_thread(own.start)
            assert await store.read(numbers) == [1, 2], "also where nobody has noticed that it was away"


async def test_a_server_that_became_a_standby_is_waited_out(url: str, store: Store, other: psycopg.Connection[Any]) -> None:
    await store.write(put(1))
    name = other.info.dbname
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    other.execute(others)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await store.write(put(2))
    assert await store.read(numbers) == [1]
    other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
    other.execute(others)
    await written(store, 2)
    assert await store.read(numbers) == [1, 2]


async def written(store: Store, number: int) -> None:
    """Repeats it as a caller would."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(Unavailable):
                await store.write(put_once(number))
                return


async def test_no_room_on_the_server_loses_the_batch_and_not_the_store(store: Store) -> None:
    def sort(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL temp_file_limit = 0")  # as if its disk were full
        connection.exec_driver_sql("SET LOCAL work_mem = '64kB'")
        connection.exec_driver_sql("SELECT n FROM generate_series(1, 100000) n ORDER BY random()").all()

    results = await asyncio.gather(store.write(put(1)), store.write(sort), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert await store.write(put(2)) == 2
    assert await store.read(numbers) == [2]


async def test_a_text_that_no_server_can_hold_is_its_senders_to_change(store: Store) -> None:
    def put_name(connection: Connection) -> None:
        connection.execute(insert(things), {"id": 1, "amount": 1, "name": "a\0b"})

    results = await asyncio.gather(store.write(put_name), store.write(put(2)), return_exceptions=True)
    assert isinstance(results[0], Malformed)
    assert results[1] == 2
    assert await store.read(numbers) == [2]


# One process writes


def test_a_second_process_is_refused_and_told_by_whom(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LEASE_S_MAX", 0.2)
    first = Store.open(url)
    with pytest.raises(Unavailable, match=r"being written by another process \(counterfoil store .*this machine.*stop that one first"):
        Store.open(url)
    with pytest.raises(Unavailable, match="being written by another process"):
        migrate(url)
    with StoreReader(url) as reader:
        assert reader.read(numbers) == [], "whoever only reads needs no lease"
    first.close()
    Store.open(url).close()


def test_it_takes_over_when_the_first_one_dies(url: str) -> None:
    holding = (
        "import sys; from counterfoil.store.database import Store; store = Store.open(sys.argv[1]); print('holds', flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", holding, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdin is not None
    while child.stdout.readline() != "holds\n":  # what it logs comes first
        assert child.poll() is None
    opened: list[Store] = []
    second = threading.Thread(target=lambda: opened.append(Store.open(url)))
    second.start()
    child.send_signal(signal.SIGKILL)
    second.join(PATIENCE_S)
    assert opened
    opened[0].close()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        pipe.close()


def end_the_writer(connection: Connection) -> None:
    """As if its connection had been lost."""
    ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = oid_of"
    connection.exec_driver_sql(ended.replace("oid_of", "(SELECT oid FROM pg_database WHERE datname = current_database())")).all()


@pytest.mark.parametrize("still_there", [True, False])
async def test_whoever_was_taken_over_stops(postgres_url: str, *, still_there: bool) -> None:
    """What it remembers of people and limits may not be so any more."""
    migrate(postgres_url)
    store = Store.open(postgres_url)
    with store.writing() as connection:
        tables.create_all(connection)
    task = asyncio.create_task(store.run())
    await store.write(put(1))
    await store.read(end_the_writer)
    second = Store.open(postgres_url)
    if not still_there:
        second.close()
    outcomes = await asyncio.gather(store.write(put(2)), store.write(put(3)), return_exceptions=True)
    if isinstance(outcomes[0], Unavailable) and not task.done():  # its batch found the connection dead, and the next one why
        outcomes = await asyncio.gather(store.write(put(2)), store.write(put(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    with pytest.raises(Unavailable, match="another process has"):
        await task
    with pytest.raises(Unavailable):
        await store.write(put(4))
    second.close()
    with StoreReader(postgres_url) as reader:
        assert reader.read(numbers) == [1]


async def test_a_connection_that_was_cut_is_made_anew_by_the_same_process(postgres_url: str) -> None:
    migrate(postgres_url)
    create(postgres_url)
    async with running(postgres_url) as store:
        for number in (1, 2, 3):
            await written(store, number)
            await store.read(end_the_writer)
        assert await store.read(numbers) == [1, 2, 3]


# What is wrong at the start

SECRET = "geh/eim@nis"
SPELLED = "geh%2Feim%40nis"


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        ("postgresql://somebody:{spelled}@/{database}?host={host}", 3, "role .somebody. does not exist.*CREATE ROLE"),
        ("postgresql://postgres:{spelled}@/nowhere?host={host}", 3, "database .nowhere. does not exist.*CREATE DATABASE"),
        ("postgresql://postgres:{spelled}@/{database}?host=/nowhere", 3, "cannot be reached.*check that the server runs"),
        ("postgresql://postgres@/{database}?host={host}&password={spelled}&connect_timeout=2&port=1", 3, "check that the server runs"),
        ("postgresql://postgres:{secret}@localhost/x", 2, "special characters as %-codes"),
        ("postgresql://postgres:geh%zznis@localhost/x", 2, "special characters as %-codes"),
        ("postgresql://postgres:geh:nis@localhost/x", 2, "special characters as %-codes"),
        ("postgresql://localhost:geh/x", 2, "special characters as %-codes"),
        ("postgresql://postgres:{spelled}@/{database}?no_such_thing=1", 1, "not a URL that PostgreSQL takes"),
        ("mysql://postgres:{spelled}@/{database}", 2, "must be empty, or begin with postgresql://"),
        ("postgres:{spelled}", 2, "must be empty, or begin with postgresql://"),
    ],
)
def test_a_wrong_setting_is_refused_with_words_and_without_the_password(
    postgres: Cluster, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, code: int, words: str
) -> None:
    database = postgres_url.partition("@/")[2].partition("?")[0]
    host = str(postgres.socket_folder)
    filled = setting.format(spelled=SPELLED, secret=SECRET, database=database, host=host)
    monkeypatch.setenv("COUNTERFOIL_STORE", filled)
    for command in (("migrate",), ("serve", "--port", "0")):
        ran = run(*command, "--data", tmp_path, "--json")
        assert ran.code == code, ran
        assert re.search(words, ran.json["detail"]), ran.json["detail"]
        for secret in (SECRET, SPELLED, "geh", "nis@"):
            assert secret not in ran.out + ran.err


def test_a_wrong_password_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster() as own:
        own.sql("CREATE ROLE teller LOGIN PASSWORD 'right'")
        data = own.socket_folder.parent / "data"
        (data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        own.sql("SELECT pg_reload_conf()")
        url = own.new_database().replace("postgres@", f"teller:{SPELLED}@")
        refusals: list[str] = []

        def is_refused() -> bool:
            try:
                Store.open(url).close()
            except Unavailable as error:
                refusals.append(error.detail)
            return bool(refusals) and "authentication failed" in refusals[-1]

        until(is_refused, "the server reads its file again")
        message = refusals[-1]
        assert "check user and password" in message
        assert SECRET not in message
        assert SPELLED not in message
        assert "teller:***@" in message


def test_a_user_who_may_not_make_tables_is_told_so(postgres: Cluster, postgres_url: str) -> None:
    name = f"reader_{os.getpid()}"
    postgres.sql(f"CREATE ROLE {name} LOGIN")
    postgres.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", postgres_url.partition("@/")[2].partition("?")[0])
    with pytest.raises(Unavailable, match=r"permission denied.*must own the schema"):
        migrate(postgres_url.replace("postgres@", f"{name}@"))


def test_a_database_that_cannot_hold_all_text_is_refused(postgres: Cluster) -> None:
    postgres.sql("CREATE DATABASE of_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(UnknownFormat, match=r"encoding SQL_ASCII.*ENCODING 'UTF8'"):
        Store.open(postgres.url("of_bytes"))


def test_a_driver_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("psycopg", "counterfoil.store.postgres", "counterfoil.store.postgres_store"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Refused, match=r"pip install 'counterfoil\[postgres\]'"):
        Store.open("postgresql:///x")
    with pytest.raises(Refused, match=r"pip install 'counterfoil\[postgres\]'"):
        StoreReader("postgresql:///x")
