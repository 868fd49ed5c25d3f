"""Where the vectors of the trust layer are."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trust(vectors: Path) -> Path:
    """`vectors/trust` of the shared folder."""
    return vectors / "vectors/trust"
