"""The verifier is a distribution of its own: its tests find it in verifier/src, whether or not it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "verifier" / "src"
sys.path.insert(0, str(SOURCE))


@pytest.fixture
def trust(vectors: Path) -> Path:
    """The outside vectors of the trust layer."""
    return vectors / "vectors" / "trust"


@pytest.fixture
def placed(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Writes a file and answers its path."""

    def place(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return place
