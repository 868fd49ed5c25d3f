"""The one collection of tables, and the column types that everybody uses.

A package keeps its own tables in its `tables.py` and adds them to `metadata`. Constraints have names by rule, so that a
migration can name them on every database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Dialect, LargeBinary, MetaData, SmallInteger, Table
from sqlalchemy.types import TypeDecorator

from counterfoil.money import AMOUNT_MAX

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)
"""Every table of the store. SQL names of constraints follow from table and column names."""

store_lease = Table(
    "store_lease",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("term", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""Of a store on a server: how often somebody began to write it (see `postgres`). One row."""

NANOSECONDS_MAX = 2**63 - 1
"""The last moment that fits: in the year 2262."""


def _id_bytes(value: int | None) -> bytes | None:
    return None if value is None else value.to_bytes(16)


def _ids_bytes(values: Sequence[Any]) -> Sequence[Any]:
    return list(map(_id_bytes, values)) if None in values else [value.to_bytes(16) for value in values]


def _id_int(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value)


class Id(TypeDecorator[int]):
    """A 128-bit id: `int` in Python, 16 big-endian bytes in the table, so that the index is in time order."""

    impl = LargeBinary(16)
    cache_ok = True

    bulk_processor = staticmethod(_ids_bytes)

    # The processors are overridden whole: TypeDecorator's wrappers cost a second call for each value of the hot path.
    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _id_bytes

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return _id_int


def _whole(value: int | None) -> int | None:
    assert value is None or (type(value) is int and 0 <= value <= AMOUNT_MAX), value
    return value


def _all_whole(values: Sequence[Any]) -> Sequence[Any]:
    if set(map(type, values)) != {int} or min(values) < 0 or max(values) > AMOUNT_MAX:
        return list(map(_whole, values))
    return values


class Amount(TypeDecorator[int]):
    """Minor units, 0 to 2^63-1. Anything else that reaches the database is a bug of ours, and stops there."""

    impl = BigInteger()
    cache_ok = True
    bulk_processor = staticmethod(_all_whole)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _whole


class Nanoseconds(TypeDecorator[int]):
    """A moment, or a duration, in nanoseconds; moments since 1970-01-01T00:00:00Z. 0 to 2^63-1."""

    impl = BigInteger()
    cache_ok = True
    bulk_processor = staticmethod(_all_whole)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _whole
