"""A skip is seen: under COUNTERFOIL_REQUIRE_ALL=1 it fails the run, wherever it was said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = """
import pytest

def test_passes():
    pass

def test_skips():
    pytest.skip("no card reader")

@pytest.mark.skip(reason="no gateway")
def test_marked():
    pass

@pytest.fixture
def reader():
    pytest.skip("no fixture")

def test_fixture_skips(reader):
    pass

def test_tigerbeetle():
    pytest.skip("TIGERBEETLE_BIN is not set")

@pytest.mark.xfail
def test_known():
    assert False
"""


def run(folder: Path, source: str, **environment: str) -> str:
    """The closing line of a pytest run over `source`, in a folder of its own with our conftest."""
    shutil.copy(Path(__file__).parent / "conftest.py", folder)
    (folder / "test_it.py").write_text(source, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COUNTERFOIL_", "TIGERBEETLE_", "PYTEST_"))}
    clean["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a third of the time
    clean["PYTHONPATH"] = str(Path(__file__).parents[1])  # for what our conftest takes from elsewhere in the tests
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", str(folder)]
    done = subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True, check=False, timeout=60)
    return re.sub(r" in [0-9.]+s.*", "", done.stdout.strip().splitlines()[-1])


def test_a_skip_is_only_shown_by_default(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPS) == "1 passed, 4 skipped, 1 xfailed"


def test_a_skip_fails_when_everything_is_required_except_tigerbeetle(tmp_path: Path) -> None:
    closing = run(tmp_path, SKIPS, COUNTERFOIL_REQUIRE_ALL="1")
    # A skip inside a fixture fails while the test is set up, which pytest counts as an error.
    assert closing in ("3 failed, 1 passed, 1 skipped, 1 xfailed", "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors")


def test_tigerbeetle_is_required_where_its_program_is_given(tmp_path: Path) -> None:
    source = "import pytest\ndef test_tigerbeetle():\n    pytest.skip('TigerBeetle did not start')\n"
    assert run(tmp_path, source, COUNTERFOIL_REQUIRE_ALL="1") == "1 skipped"
    assert run(tmp_path, source, COUNTERFOIL_REQUIRE_ALL="1", TIGERBEETLE_BIN="tigerbeetle") == "1 failed"


def test_what_the_kernel_refuses_is_said_and_required_nowhere(tmp_path: Path) -> None:
    source = "import pytest\ndef test_cut_off():\n    pytest.skip('The kernel refuses a network namespace: not permitted')\n"
    assert run(tmp_path, source, COUNTERFOIL_REQUIRE_ALL="1") == "1 skipped"
    assert run(tmp_path, source.replace("The kernel", "Somebody"), COUNTERFOIL_REQUIRE_ALL="1") == "1 failed"


@pytest.mark.parametrize("skip", ["pytest.importorskip('no_such_module')", "pytest.skip('not here', allow_module_level=True)"])
def test_a_whole_file_that_skips_fails_too(tmp_path: Path, skip: str) -> None:
    source = f"import pytest\n{skip}\ndef test_passes():\n    pass\n"
    assert run(tmp_path, source) == "1 skipped"
    assert "1 error" in run(tmp_path, source, COUNTERFOIL_REQUIRE_ALL="1")
