"""The engines: every test that asks for `engine` runs on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine


@pytest.fixture(params=["memory"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty ledger."""
    engines = {
        "memory": lambda: MemoryEngine(),
    }
    engine: Engine = engines[request.param]()
    yield engine
    engine.close()
