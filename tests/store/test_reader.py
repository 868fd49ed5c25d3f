"""Reading the general database from beside its writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from counterfoil.errors import Unavailable
from counterfoil.store.database import Store
from counterfoil.store.reader import StoreReader

metadata = MetaData()
numbers = Table("numbers", metadata, Column("n", Integer, primary_key=True))


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Store]:
    store = Store.open(url)
    with store.writing() as connection:
        metadata.create_all(connection)
    writer = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        await store.stop()
        await writer


def read_numbers(connection: Connection) -> list[int]:
    return list(connection.execute(select(numbers.c.n).order_by(numbers.c.n)).scalars())


async def test_sees_what_was_committed_and_nothing_else(empty_url: str) -> None:
    url = empty_url
    async with running(url) as store:
        with StoreReader(url) as reader:
            assert reader.read(read_numbers) == []
            for n in range(3):
                await store.write(lambda connection, n=n: connection.execute(insert(numbers), {"n": n}).rowcount)  # type: ignore[misc]
                assert reader.read(read_numbers) == list(range(n + 1))

            def uncommitted(connection: Connection) -> list[int]:
                connection.execute(insert(numbers), {"n": 99})
                return reader.read(read_numbers)

            assert await store.write(uncommitted) == [0, 1, 2]
            assert reader.read(read_numbers) == [0, 1, 2, 99]


async def test_never_writes(empty_url: str) -> None:
    url = empty_url
    async with running(url) as store:
        with StoreReader(url) as reader, pytest.raises(Unavailable):
            reader.read(lambda connection: connection.execute(insert(numbers), {"n": 1}))
        assert await store.read(read_numbers) == []


async def test_a_file_that_is_not_there_is_unavailable_and_does_not_come_to_be(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with StoreReader(url) as reader:
        with pytest.raises(Unavailable):
            reader.read(read_numbers)
        assert list(tmp_path.iterdir()) == []
        async with running(url):
            assert reader.read(read_numbers) == [], "the same reader finds it once it is there"


async def test_a_wrong_statement_is_a_bug_and_not_an_outage(empty_url: str) -> None:
    url = empty_url
    async with running(url):
        with StoreReader(url) as reader:
            with pytest.raises(DBAPIError, match="no_such_numbers"):
                reader.read(lambda connection: connection.execute(text("SELECT 1 FROM no_such_numbers")))
            assert reader.read(read_numbers) == []


async def test_rows_that_are_numbered_one_higher_than_the_last_appear_in_their_order(empty_url: str) -> None:
    """As the parties' journal numbers them. A reader that goes on from the last number it saw has missed nothing, ever."""
    following = (select(func.coalesce(func.max(numbers.c.n), 0) + 1)).scalar_subquery()

    def take(connection: Connection) -> None:
        connection.execute(insert(numbers).values(n=following))

    async with running(empty_url) as store:
        writes = asyncio.gather(*(store.write(take) for _ in range(300)))
        last, looks = 0, 0
        with StoreReader(empty_url) as reader:
            while last < 300:
                assert looks < 1_000_000
                looks += 1
                seen = await asyncio.to_thread(reader.read, lambda connection, last=last: read_after(connection, last))
                assert seen == list(range(last + 1, last + 1 + len(seen)))
                last += len(seen)
        await writes
        assert looks > 1


def read_after(connection: Connection, last: int) -> list[int]:
    return list(connection.execute(select(numbers.c.n).where(numbers.c.n > last).order_by(numbers.c.n)).scalars())
