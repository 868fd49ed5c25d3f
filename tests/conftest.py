"""What every test shares: how often random tests try, the shared vectors, and that a skip is seen."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
import structlog

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("COUNTERFOIL_REQUIRE_ALL") == "1"

# Random histories search anew on a developer's machine, and are the same each time where a failure would stop somebody
# else's change. No deadline anywhere: a busy machine is not a bug.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=200)
hypothesis.settings.load_profile("ci" if REQUIRE_ALL else "dev")


@pytest.fixture(autouse=True)
def logs_as_before() -> Generator[None]:
    """A command that runs in this process sets up its logs; the next test does not inherit them."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder with `vectors/`, `specs/` and `data/`: COUNTERFOIL_VECTORS, else `shared` beside the checkout."""
    folder = Path(os.environ.get("COUNTERFOIL_VECTORS", ROOT.parent / "shared"))
    if not (folder / "vectors").is_dir():
        pytest.skip(f"no folder with vectors at {folder}: set COUNTERFOIL_VECTORS")
    return folder


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under COUNTERFOIL_REQUIRE_ALL=1 a skip is a failure. Only TigerBeetle may be missing, unless TIGERBEETLE_BIN is set."""
    if not REQUIRE_ALL or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "TIGERBEETLE" in reason.upper() and not os.environ.get("TIGERBEETLE_BIN"):
        return
    report.outcome = "failed"
    report.longrepr = f"Nothing may be skipped under COUNTERFOIL_REQUIRE_ALL=1. {reason}"
