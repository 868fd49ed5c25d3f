"""Inserting and finding many rows at once for the hot path, on every database, at nearly the driver's own cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Dialect, LargeBinary, Table, bindparam, insert, select
from sqlalchemy.exc import DBAPIError

from counterfoil.store.schema import Id

FIND_SIZE: Final = 32
"""Keys in one statement that finds."""

Processor = Callable[[Sequence[Any]], Sequence[Any]]
"""A column's values, as the driver takes them."""


class BulkInsert:
    """Inserts rows given as tuples, in the order of the table's columns.

    The same INSERT that Core writes, compiled once for each dialect, and the same conversions by the column types, made
    column by column instead of value by value: 12 columns cost 12 us a row instead of 19. PostgreSQL is sent a binary COPY
    instead, which takes a quarter of an INSERT's time and checks the same. No defaults are filled in: every column must be
    given. Raises what the database raises, IntegrityError first of all; then no row remains.
    """

    def __init__(self, table: Table) -> None:
        assert all(column.default is None and column.autoincrement is not True for column in table.columns), table.name
        self.table = table
        self._compiled: dict[Dialect, tuple[str, list[tuple[int, Processor]], list[str] | None]] = {}

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        sql, processors, copied = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        assert len(columns) == len(self.table.columns), (len(columns), self.table.name)
        for index, processor in processors:
            columns[index] = processor(columns[index])
        values = list(zip(*columns, strict=True))
        if copied is None:
            connection.exec_driver_sql(sql, values)
        else:
            _copy(connection, sql, copied, values)

    def _compile(self, dialect: Dialect) -> tuple[str, list[tuple[int, Processor]], list[str] | None]:
        """The statement, what columns go through on their way to the driver, and for a COPY their types."""
        columns = list(self.table.columns)
        compiled: Any = insert(self.table).compile(dialect=dialect, column_keys=[column.key for column in columns])
        found = ((index, _processor(column, dialect)) for index, column in enumerate(columns))
        processors = [(index, processor) for index, processor in found if processor is not None]
        sql, copied = str(compiled), None
        if dialect.name == "postgresql":
            sql = f"COPY {sql[len('INSERT INTO ') : sql.index(' VALUES ')]} FROM STDIN (FORMAT BINARY)"  # noqa: S608 - names of our own table
            copied = [column.type.compile(dialect).lower().partition("(")[0] for column in columns]
        else:
            assert compiled.positiontup == [column.key for column in columns], compiled.positiontup
        result = (sql, processors, copied)
        self._compiled[dialect] = result
        return result


def _copy(connection: Connection, sql: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """A COPY that raises what a statement of SQLAlchemy's raises."""
    driver: Any = connection.connection.driver_connection
    base: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    except base as error:
        raise DBAPIError.instance(sql, None, error, base, dialect=connection.dialect) from error


class BulkFind:
    """Which of many values a column has. Keys are asked for in statements of one size, so that the database knows them already.

    PostgreSQL is asked for all of them at once, by an array.
    """

    def __init__(self, column: Column[int]) -> None:
        self.column = column
        names = [f"key_{number}" for number in range(FIND_SIZE)]
        self._names = names
        self._query = select(column).where(column.in_([bindparam(name, type_=column.type) for name in names]))
        self._compiled: dict[Dialect, tuple[str, int, Processor | None, Callable[[Any], Any] | None]] = {}

    def __call__(self, connection: Connection, values: Sequence[int]) -> set[int]:
        """Those of `values` that are there."""
        if not values:
            return set()
        sql, size, to_driver, from_driver = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        keys = list(to_driver(values) if to_driver else values)
        found: set[Any] = set()
        if not size:
            found.update(connection.exec_driver_sql(sql, (keys,)).scalars())
        else:
            keys += keys[-1:] * (-len(keys) % size)
            for start in range(0, len(keys), size):
                found.update(connection.exec_driver_sql(sql, tuple(keys[start : start + size])).scalars())
        return set(map(from_driver, found)) if from_driver else found

    def _compile(self, dialect: Dialect) -> tuple[str, int, Processor | None, Callable[[Any], Any] | None]:
        """The statement, how many keys it takes (0: an array of any number), and what they go through on their way there and back."""
        if dialect.name == "postgresql":
            name = dialect.identifier_preparer.format_column(self.column)
            table = dialect.identifier_preparer.format_table(self.column.table)
            sql, size = f"SELECT {name} FROM {table} WHERE {name} = ANY(%s::{self.column.type.compile(dialect)}[])", 0  # noqa: S608 - as above
        else:
            compiled: Any = self._query.compile(dialect=dialect)
            assert compiled.positiontup == self._names, compiled.positiontup
            sql, size = str(compiled), FIND_SIZE
        back = self.column.type.dialect_impl(dialect).result_processor(dialect, None)
        result = (sql, size, _processor(self.column, dialect), back)
        self._compiled[dialect] = result
        return result


def _processor(column: Column[Any], dialect: Dialect) -> Processor | None:
    """What a column's values go through on their way to the driver; None where it takes them as they are.

    Python's sqlite3 looks for an adapter of each `bytes` that it is given, and for none of a bytearray: that is half of an
    INSERT's time.
    """
    processor = _conversion(column, dialect)
    if dialect.name != "sqlite" or not isinstance(column.type, LargeBinary | Id):
        return processor
    return lambda values: _bytearrays(values if processor is None else processor(values))


def _bytearrays(values: Sequence[bytes | None]) -> Sequence[bytearray | None]:
    return [None if value is None else bytearray(value) for value in values]


def _conversion(column: Column[Any], dialect: Dialect) -> Processor | None:
    """What the column's type asks for."""
    if isinstance(column.type, LargeBinary):
        return None
    if (of_many := getattr(column.type, "bulk_processor", None)) is not None:
        processor: Processor = of_many
        return processor
    of_one = column.type.dialect_impl(dialect).bind_processor(dialect)
    return None if of_one is None else lambda values: list(map(of_one, values))
