"""Both databases that a store can lie on: what is promised of one is promised of the other."""

from __future__ import annotations

from pathlib import Path

import pytest

BOTH = ("sqlite", "postgresql")


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url
