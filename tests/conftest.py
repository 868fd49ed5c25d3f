"""What every test shares: how often random tests try, where their files are, their order, the shared vectors, and that a skip is seen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.postgres import postgres as postgres
from tests.postgres import postgres_tables_url as postgres_tables_url
from tests.postgres import postgres_url as postgres_url

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("COUNTERFOIL_REQUIRE_ALL") == "1"

# Random histories search anew on a developer's machine, and are the same each time where a failure would stop somebody
# else's change. No deadline anywhere: a busy machine is not a bug.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=200)
hypothesis.settings.load_profile("ci" if REQUIRE_ALL else "dev")

KERNEL_REFUSES = "The kernel refuses"
"""How the reason of such a skip begins."""

MEMORY = Path("/dev/shm")
MEMORY_FREE_MIN = 3 * 2**30
"""Bytes. A whole run keeps less than a tenth of it at a time."""
DISK = tempfile.gettempdir()


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Tests' files lie in memory where there is room: half of a run's time is otherwise waiting for a disk to sync. TMPDIR overrules it."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_FREE_MIN:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
        os.environ["TESTS_DISK"] = DISK


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: a third of the time that a test takes it waits, for a browser, a kill or a retry."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left with one of them at the end. Modules stay together."""
    minutes = dict.fromkeys((item.path for item in items), 0.0)
    for item in items:
        if marker := item.get_closest_marker("slow"):
            minutes[item.path] = max(minutes[item.path], float(marker.kwargs.get("minutes", 0.1)))
    items.sort(key=lambda item: -minutes[item.path])


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk, for tests of what a process that is killed has synced."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TESTS_DISK")) as folder:
        yield Path(folder)


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
    """Under COUNTERFOIL_REQUIRE_ALL=1 a skip is a failure.

    Only TigerBeetle may be missing, unless TIGERBEETLE_BIN is set; and what this machine's kernel refuses to a test, nobody can install.
    """
    if not REQUIRE_ALL or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "TIGERBEETLE" in reason.upper() and not os.environ.get("TIGERBEETLE_BIN"):
        return
    if reason.removeprefix("Skipped: ").startswith(KERNEL_REFUSES):
        return
    report.outcome = "failed"
    report.longrepr = f"Nothing may be skipped under COUNTERFOIL_REQUIRE_ALL=1. {reason}"
