"""Bulk inserts write what Core would have written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Connection, LargeBinary, MetaData, SmallInteger, Table, Text, delete, insert, select
from sqlalchemy.exc import IntegrityError

from counterfoil.store.bulk import FIND_SIZE, BulkFind, BulkInsert
from counterfoil.store.database import Store
from counterfoil.store.schema import Amount, Id

tables = MetaData()


def kinds(name: str) -> Table:
    return Table(
        name,
        tables,
        Column("id", Id, primary_key=True),
        Column("amount", Amount),
        Column("order", LargeBinary),
        Column("select", Text),
        Column("kind", SmallInteger),
        Column("good", Boolean),
    )


core, bulk = kinds("core"), kinds("bulk")
insert_bulk = BulkInsert(bulk)
find_bulk = BulkFind(bulk.c.id)

rows = st.lists(
    st.tuples(
        st.integers(0, 2**128 - 1),
        st.none() | st.integers(0, 2**63 - 1),
        st.none() | st.binary(max_size=300),
        st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        st.none() | st.integers(0, 100),
        st.none() | st.booleans(),
    ),
    max_size=8,
    unique_by=lambda row: row[0],
)


@pytest.fixture
def store(empty_url: str) -> Any:
    store = Store.open(empty_url)
    with store.writing() as connection:
        tables.create_all(connection)
    yield store
    store.close()


def stored(connection: Connection, table: Table) -> list[Any]:
    return sorted(tuple(row) for row in connection.execute(select(table)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_bulk_and_core_store_the_same(store: Store, rows: list[tuple[Any, ...]]) -> None:
    with store.writing() as connection:
        for table in (core, bulk):
            connection.execute(delete(table))
        insert_bulk(connection, rows)
        if rows:
            connection.execute(insert(core), [dict(zip(core.columns.keys(), row, strict=True)) for row in rows])
        assert stored(connection, core) == stored(connection, bulk) == sorted(rows)


def test_a_doubled_key_is_an_integrity_error(store: Store) -> None:
    row = (1, 1, b"", "", 1, True)
    with pytest.raises(IntegrityError), store.writing() as connection:
        insert_bulk(connection, [row, row])
    with store.writing() as connection:
        assert stored(connection, bulk) == []


def test_a_row_of_the_wrong_width_is_a_bug(store: Store) -> None:
    with pytest.raises(AssertionError), store.writing() as connection:
        insert_bulk(connection, [(1, 1)])


@pytest.mark.parametrize("asked", [0, 1, FIND_SIZE, FIND_SIZE + 1, 3 * FIND_SIZE - 1])
def test_it_finds_those_that_are_there(store: Store, asked: int) -> None:
    there = [(number, 1, b"", "", 1, True) for number in range(0, 4 * FIND_SIZE, 2)]
    with store.writing() as connection:
        insert_bulk(connection, there)
        assert find_bulk(connection, list(range(asked))) == set(range(0, asked, 2))
        assert find_bulk(connection, [1, 2**128 - 1]) == set()


@pytest.mark.parametrize("amount", [-1, 2**63, True, 1.0, "1"])
def test_an_amount_that_is_none_never_reaches_the_database(store: Store, amount: Any) -> None:
    with pytest.raises(AssertionError), store.writing() as connection:
        insert_bulk(connection, [(1, 5, b"", "", 1, True), (2, amount, b"", "", 1, True), (3, None, b"", "", 1, True)])
    with pytest.raises(AssertionError), store.writing() as connection:
        insert_bulk(connection, [(1, 5, b"", "", 1, True), (2, amount, b"", "", 1, True)])
