"""The engines: every test that asks for `engine` or `new_engine` runs on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.sqlite import SqliteEngine


@pytest.fixture(params=["memory", "sqlite"], scope="module")
def new_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Engine]:
    """Makes an empty ledger, anew each time it is called. Whoever calls it closes it."""
    engines: dict[str, Callable[[], Engine]] = {
        "memory": MemoryEngine,
        "sqlite": lambda: SqliteEngine.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite"),
    }
    return engines[request.param]


@pytest.fixture
def engine(new_engine: Callable[[], Engine]) -> Iterator[Engine]:
    """An empty ledger."""
    engine = new_engine()
    yield engine
    engine.close()
