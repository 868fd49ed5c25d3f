"""The tools of the browser tests that come by npm: installed by `make tests`, versions and hashes in package-lock.json."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
STATIC = HERE.parents[1] / "src/counterfoil/web/static"


def tool(path: str) -> Path:
    """A file of an installed package. Skips the test, in plain sight, where it is not installed."""
    found = MODULES / path
    if not found.is_file():
        pytest.skip(f"no {path.partition('/')[0]}: `make test` installs it where npm is")
    return found
