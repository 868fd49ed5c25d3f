"""The store's promises: what is answered is durable, a failure takes only its own work, trouble passes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from counterfoil.errors import AlreadyTaken, Unavailable
from counterfoil.store import database
from counterfoil.store.database import Store
from counterfoil.store.reader import StoreReader
from counterfoil.store.schema import Amount, Id, Nanoseconds

tables = MetaData()
things = Table(
    "things",
    tables,
    Column("id", Id, primary_key=True),
    Column("amount", Amount, nullable=False),
    Column("name", Text),
    Column("at", Nanoseconds),
)


def create(url: str) -> None:
    store = Store.open(url)
    with store.writing() as connection:
        tables.create_all(connection)
    store.close()


@contextlib.asynccontextmanager
async def running(url: str, **arguments: Any) -> AsyncIterator[Store]:
    store = Store.open(url, **arguments)
    async with asyncio.TaskGroup() as group:
        group.create_task(store.run())
        try:
            yield store
        finally:
            await store.stop()


@pytest.fixture
def url(empty_url: str) -> str:
    create(empty_url)
    return empty_url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with running(url) as store:
        yield store


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[Store]:
    """For what concerns files alone."""
    create(f"sqlite:///{tmp_path}/store.sqlite")
    async with running(f"sqlite:///{tmp_path}/store.sqlite") as store:
        yield store


def put(number: int, amount: int = 1) -> Any:
    def fn(connection: Connection) -> int:
        connection.execute(insert(things), {"id": number, "amount": amount})
        return number

    return fn


def put_all(connection: Connection, numbers: list[int]) -> list[int]:
    connection.execute(insert(things), [{"id": number, "amount": 1} for number in numbers])
    return numbers


def numbers(connection: Connection) -> list[int]:
    return list(connection.execute(select(things.c.id).order_by(things.c.id)).scalars())


async def test_a_write_is_seen_by_the_next_read_and_by_another_process(url: str, store: Store) -> None:
    assert await store.write(put(2**128 - 2)) == 2**128 - 2
    assert await store.read(numbers) == [2**128 - 2]
    assert await store.read_long(numbers) == [2**128 - 2]
    with StoreReader(url) as other:
        rows = other.read(lambda connection: connection.exec_driver_sql("SELECT id, amount FROM things").all())
    assert [tuple(row) for row in rows] == [((2**128 - 2).to_bytes(16), 1)]


async def test_values_come_back_as_they_were_at_their_bounds(store: Store) -> None:
    rows = [
        (0, 0, "", None),
        (1, 2**63 - 1, None, 0),
        (2**127, 1, "한국어 𝄞 é é \u202e", 2**63 - 1),
        (2**128 - 1, 2**62, "a\nb\t'\"%s \\", 1),
    ]

    def write(connection: Connection) -> None:
        connection.execute(insert(things), [dict(zip(("id", "amount", "name", "at"), row, strict=True)) for row in rows])

    await store.write(write)
    found = await store.read(lambda connection: [tuple(row) for row in connection.execute(select(things).order_by(things.c.id))])
    assert found == rows
    total = select(func.sum(things.c.amount)).where(things.c.id < 2)
    assert repr(await store.read(lambda connection: connection.execute(total).scalar_one())) == str(2**63 - 1), "a whole number as ever"


async def test_a_read_has_one_view_of_the_data(store: Store) -> None:
    """Of which others cannot change anything between its statements."""
    await store.write(put(1))
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def twice(connection: Connection) -> tuple[list[int], list[int]]:
        before = numbers(connection)
        loop.call_soon_threadsafe(first.set)
        asyncio.run_coroutine_threadsafe(second.wait(), loop).result()
        return before, numbers(connection)

    reading = asyncio.create_task(store.read_long(twice))
    await first.wait()
    await store.write(put(2))
    second.set()
    assert await reading == ([1], [1])
    assert await store.read(numbers) == [1, 2]


async def test_work_that_waits_together_is_committed_together(store: Store) -> None:
    calls: list[int] = []

    def counted(connection: Connection, items: list[int]) -> list[int]:
        calls.append(len(items))
        return put_all(connection, items)

    assert await asyncio.gather(*(store.write_together(counted, n) for n in range(1, 301))) == list(range(1, 301))
    assert sum(calls) == 300
    assert len(calls) < 5, calls
    assert await store.read(numbers) == list(range(1, 301))


async def test_a_failure_takes_only_its_own_work(store: Store) -> None:
    def half(connection: Connection) -> None:
        put(50)(connection)
        raise AlreadyTaken

    results = await asyncio.gather(store.write(put(1)), store.write(half), store.write(put(1)), store.write(put(2)), return_exceptions=True)
    assert [type(result) for result in results] == [int, AlreadyTaken, IntegrityError, int]
    assert await store.read(numbers) == [1, 2]


async def test_one_bad_item_of_many_is_found_and_the_others_stand(store: Store) -> None:
    await store.write(put(7))
    results = await asyncio.gather(*(store.write_together(put_all, n) for n in range(1, 65)), return_exceptions=True)
    assert [n for n, result in enumerate(results, 1) if isinstance(result, BaseException)] == [7]
    assert isinstance(results[6], IntegrityError)
    assert await store.read(numbers) == list(range(1, 65))


async def test_a_function_with_too_few_results_writes_nothing(store: Store) -> None:
    def forgetful(connection: Connection, items: list[int]) -> list[int]:
        put_all(connection, items)
        return []

    with pytest.raises(AssertionError):
        await store.write_together(forgetful, 1)
    assert await store.read(numbers) == []


async def test_a_function_that_commits_is_stopped_and_nobody_hears_of_success(url: str) -> None:
    def commits(connection: Connection) -> None:
        put(1)(connection)
        connection.commit()

    store = Store.open(url)
    task = asyncio.create_task(store.run())
    results = await asyncio.gather(store.write(commits), store.write(put(2)), return_exceptions=True)
    assert all(isinstance(result, (AssertionError, Unavailable)) for result in results), results
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], Exception)
    with pytest.raises(Unavailable):
        await store.write(put(3))


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(Unavailable):
        await store.read(put(1))
    assert await store.write(numbers) == []


async def test_a_wrong_statement_is_a_bug_and_not_an_outage(store: Store) -> None:
    def wrong(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")

    with pytest.raises(DBAPIError, match="nowhere"):
        await store.write(wrong)
    with pytest.raises(DBAPIError, match="nowhere"):
        await store.read(wrong)
    assert await store.write(put(1)) == 1


async def test_a_full_queue_refuses_at_once(url: str) -> None:
    store = Store.open(url, queue_size_max=2)
    waiting = [asyncio.create_task(store.write(put(n))) for n in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await store.write(put(3))
    run = asyncio.create_task(store.run())
    assert await asyncio.gather(*waiting) == [1, 2]
    await store.stop()
    await run


async def test_stop_finishes_what_waits_and_takes_nothing_new(url: str) -> None:
    store = Store.open(url)
    run = asyncio.create_task(store.run())
    waiting = [asyncio.create_task(store.write(put(n))) for n in range(1, 11)]
    await asyncio.sleep(0)
    await store.stop()
    assert await asyncio.gather(*waiting) == list(range(1, 11))
    await run
    with pytest.raises(Unavailable):
        await store.write(put(11))
    with pytest.raises(Unavailable):
        await store.read(numbers)


async def test_a_full_disk_loses_the_batch_and_not_the_store(on_sqlite: Store) -> None:
    store = on_sqlite

    def fill(connection: Connection) -> None:
        connection.execute(insert(things), {"id": 2, "amount": 1, "name": "x" * 1_000_000})

    await store.write(put(1))
    assert store._writer is not None
    store._writer.connection.cursor().execute("PRAGMA max_page_count = 10")  # SQLite answers as if the disk were full
    results = await asyncio.gather(store.write(put(3)), store.write(fill), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert await store.read(numbers) == [1]
    assert await store.write(put(4)) == 4


async def test_a_locked_database_is_waited_for_without_stopping_the_loop(on_sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = on_sqlite
    with contextlib.closing(sqlite3.connect(store.url.database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(store.write(put(1)))
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert not write.done()
        assert await store.read(numbers) == []
        other.execute("ROLLBACK")
        assert await write == 1

        monkeypatch.setattr(database, "LOCK_WAIT_S_MAX", 0.1)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await store.write(put(2))
        other.execute("ROLLBACK")
    assert await store.write(put(3)) == 3
    assert await store.read(numbers) == [1, 3]


async def test_a_slow_disk_moves_commit_to_a_thread(on_sqlite: Store) -> None:
    store = on_sqlite
    store._commit_s = 1.0
    assert await asyncio.gather(*(store.write(put(n)) for n in range(1, 20))) == list(range(1, 20))
    assert len(store._commit_thread._threads) == 1
    assert await store.read(numbers) == list(range(1, 20))


async def test_a_cancelled_writer_answers_everybody_and_lets_go(url: str) -> None:
    store = Store.open(url)
    store._commit_s = 1.0
    run = asyncio.create_task(store.run())
    writes = [asyncio.create_task(store.write(put(n))) for n in range(1, 5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.cancel()
    outcomes = await asyncio.gather(run, *writes, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    acknowledged = [outcome for outcome in outcomes[1:] if isinstance(outcome, int)]
    assert all(isinstance(outcome, (int, Unavailable)) for outcome in outcomes[1:])
    async with running(url) as again:
        assert set(acknowledged) <= set(await again.read(numbers))


async def test_the_log_is_kept_short_under_load(on_sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = on_sqlite
    monkeypatch.setattr(database, "CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(database, "WAL_SIZE_MAX", 200_000)

    def much(connection: Connection) -> int:
        count = connection.execute(select(func.count()).select_from(things)).scalar_one()
        connection.execute(insert(things), {"id": count + 1, "amount": 1, "name": "x" * 50_000})
        return int(count)

    for _ in range(40):
        await store.write(much)
    assert Path(f"{store.url.database}-wal").stat().st_size < 600_000


async def test_a_long_log_waits_for_a_checkpoint_that_lags(on_sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = on_sqlite
    monkeypatch.setattr(database, "CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(database, "WAL_SIZE_MAX", 1)
    lagging, go_on = asyncio.Event(), threading.Event()
    loop, make = asyncio.get_running_loop(), store._make_checkpoint

    def lags(mode: str) -> None:
        loop.call_soon_threadsafe(lagging.set)
        go_on.wait(60)
        make(mode)

    monkeypatch.setattr(store, "_make_checkpoint", lags)
    store._checkpoint = loop.run_in_executor(store._checkpoint_thread, lags, "PASSIVE")
    await lagging.wait()
    assert await store.write(put(1)) == 1  # its own answer waits for nothing
    second = asyncio.create_task(store.write(put(2)))
    for _ in range(50):
        await asyncio.sleep(0)
    went_on = second.done()
    go_on.set()
    assert await second == 2
    assert not went_on, "the log grows beside a checkpoint that lags"


async def test_a_new_file_is_its_owners_only(on_sqlite: Store) -> None:
    assert Path(on_sqlite.url.database or "").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"not a database" * 1_000)
    with pytest.raises(Unavailable):
        Store.open(f"sqlite:///{tmp_path}/store.sqlite")
    with pytest.raises(Unavailable):
        Store.open(f"sqlite:///{tmp_path}/no/such/folder/store.sqlite")


@pytest.mark.parametrize("value", [-1, 2**63, True, 1.0, "1"])
async def test_only_whole_amounts_reach_a_table(store: Store, value: Any) -> None:
    with pytest.raises(StatementError, match="AssertionError"):
        await store.write(put(1, value))
    assert await store.read(numbers) == []
