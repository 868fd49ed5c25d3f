"""Inserting and finding many rows at once for the hot path, on every database, at nearly the driver's own cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Dialect, LargeBinary, Table, bindparam, insert, select

FIND_SIZE: Final = 64
"""Keys in one statement that finds."""

Processor = Callable[[Sequence[Any]], Sequence[Any]]
"""A column's values, as the driver takes them."""


class BulkInsert:
    """Inserts rows given as tuples, in the order of the table's columns.

    The same INSERT that Core writes, compiled once for each dialect, and the same conversions by the column types, made
    column by column instead of value by value: 12 columns cost 12 us a row instead of 19. No defaults are filled in:
    every column must be given. Raises what the database raises, IntegrityError first of all; then no row remains.
    """

    def __init__(self, table: Table) -> None:
        assert all(column.default is None and column.autoincrement is not True for column in table.columns), table.name
        self.table = table
        self._compiled: dict[Dialect, tuple[str, list[tuple[int, Processor]], list[str] | None]] = {}

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        sql, processors, names = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        assert len(columns) == len(self.table.columns), (len(columns), self.table.name)
        for index, processor in processors:
            columns[index] = processor(columns[index])
        values = list(zip(*columns, strict=True))
        if names is None:
            connection.exec_driver_sql(sql, values)
        else:
            connection.exec_driver_sql(sql, [dict(zip(names, value, strict=True)) for value in values])

    def _compile(self, dialect: Dialect) -> tuple[str, list[tuple[int, Processor]], list[str] | None]:
        columns = list(self.table.columns)
        compiled: Any = insert(self.table).compile(dialect=dialect, column_keys=[column.key for column in columns])
        found = ((index, _processor(column, dialect)) for index, column in enumerate(columns))
        processors = [(index, processor) for index, processor in found if processor is not None]
        keys = [column.key for column in columns]
        assert not compiled.positional or compiled.positiontup == keys, compiled.positiontup
        result = (str(compiled), processors, None if compiled.positional else keys)
        self._compiled[dialect] = result
        return result


class BulkFind:
    """Which of many values a column has. Keys are asked for in statements of one size, so that the database knows them already."""

    def __init__(self, column: Column[int]) -> None:
        self.column = column
        names = [f"key_{number}" for number in range(FIND_SIZE)]
        self._names = names
        self._query = select(column).where(column.in_([bindparam(name, type_=column.type) for name in names]))
        self._compiled: dict[Dialect, tuple[str, bool, Processor | None, Callable[[Any], Any] | None]] = {}

    def __call__(self, connection: Connection, values: Sequence[int]) -> set[int]:
        """Those of `values` that are there."""
        if not values:
            return set()
        sql, positional, to_driver, from_driver = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        keys = list(to_driver(values) if to_driver else values)
        keys += keys[-1:] * (-len(keys) % FIND_SIZE)
        found: set[Any] = set()
        for start in range(0, len(keys), FIND_SIZE):
            part = tuple(keys[start : start + FIND_SIZE])
            found.update(connection.exec_driver_sql(sql, part if positional else dict(zip(self._names, part, strict=True))).scalars())
        return set(map(from_driver, found)) if from_driver else found

    def _compile(self, dialect: Dialect) -> tuple[str, bool, Processor | None, Callable[[Any], Any] | None]:
        compiled: Any = self._query.compile(dialect=dialect)
        assert not compiled.positional or compiled.positiontup == self._names, compiled.positiontup
        back = self.column.type.dialect_impl(dialect).result_processor(dialect, None)
        result = (str(compiled), bool(compiled.positional), _processor(self.column, dialect), back)
        self._compiled[dialect] = result
        return result


def _processor(column: Column[Any], dialect: Dialect) -> Processor | None:
    """What a column's values go through on their way to the driver; None where it takes them as they are."""
    if isinstance(column.type, LargeBinary):
        return None
    if (of_many := getattr(column.type, "bulk_processor", None)) is not None:
        processor: Processor = of_many
        return processor
    of_one = column.type.dialect_impl(dialect).bind_processor(dialect)
    return None if of_one is None else lambda values: list(map(of_one, values))
