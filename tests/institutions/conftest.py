"""Lines and books made for the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from counterfoil.institutions.book.types import Line

DAY = 86_400
FIRST_DAY = 1_767_571_200
"""2026-01-05, a Monday."""


@pytest.fixture
def pkdd99(vectors: Path) -> Path:
    """The real book."""
    file = vectors / "data" / "pkdd99" / "transactions-1993-01-01-to-1994-03-30.asc"
    if not file.is_file():
        pytest.skip(f"no file {file}: set COUNTERFOIL_VECTORS")
    return file


@pytest.fixture
def make_lines() -> Callable[[Sequence[tuple[int, int, int]]], list[Line]]:
    """Lines from (day, amount, balance); their numbers count from 2, behind the header."""

    def make(rows: Sequence[tuple[int, int, int]]) -> list[Line]:
        return [
            Line(number, FIRST_DAY + day * DAY, amount, balance, 0, number.to_bytes(10))
            for number, (day, amount, balance) in enumerate(rows, start=2)
        ]

    return make


@pytest.fixture
def write_plain(tmp_path: Path) -> Callable[[str], Path]:
    """Writes rows in the plain layout behind its header."""

    def write(rows: str, name: str = "book.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(b"transaction,account,date,amount,balance,category\n" + rows.encode())
        return path

    return write
