"""The engines: every test that asks for `engine` or `new_engine` runs on each of them."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.sqlite import SqliteEngine

_schemas = itertools.count()


@pytest.fixture(params=["memory", "sqlite", "postgres"], scope="module")
def new_engine(request: pytest.FixtureRequest) -> Iterator[Callable[[], Engine]]:
    """Makes an empty ledger, anew each time it is called. Whoever calls it closes it."""
    # Histories commit thousands of times: in memory, where there is such a folder. test_sqlite has the tests of durability.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        numbers = itertools.count()
        engines: dict[str, Callable[[], Engine]] = {
            "memory": MemoryEngine,
            "sqlite": lambda: SqliteEngine.open(Path(folder) / f"ledger-{next(numbers)}.sqlite"),
        }
        if request.param == "postgres":
            engines["postgres"] = functools.partial(_new_postgres_engine, request.getfixturevalue("postgres").url())
        yield engines[request.param]


@pytest.fixture
def engine(new_engine: Callable[[], Engine]) -> Iterator[Engine]:
    """An empty ledger."""
    engine = new_engine()
    yield engine
    engine.close()


def _new_postgres_engine(url: str) -> Engine:
    """A schema of its own in a database for all: quicker than a database."""
    return PostgresEngine.open(url, schema=f"ledger_{next(_schemas)}")
