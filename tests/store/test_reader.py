"""Reading the general database from beside its writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import OperationalError

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


async def test_sees_what_was_committed_and_nothing_else(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
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


async def test_never_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
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


async def test_a_wrong_statement_is_a_bug_and_not_an_outage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    async with running(url):
        with StoreReader(url) as reader:
            with pytest.raises(OperationalError, match="no such table"):
                reader.read(lambda connection: connection.execute(text("SELECT 1 FROM no_such_numbers")))
            assert reader.read(read_numbers) == []
