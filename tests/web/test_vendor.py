"""The files of others that we serve: theirs to the byte, named with their licence, and needing nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.browser.tools import HERE, tool

VENDOR = Path(__file__).parents[2] / "src/counterfoil/web/static/vendor"
FILES = json.loads((VENDOR / "vendor.json").read_text("utf-8"))
LICENCES = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0"}
"""That we may serve beside our own."""
IMPORT = re.compile(
    r"""(?:^|[;}])\s*(?:import|export)\b(?:[^;"'()]*\bfrom)?\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)""", re.MULTILINE
)


def test_nothing_else_lies_there() -> None:
    found = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert found == {*FILES, "vendor.json", "LICENSES"}


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_what_its_entry_says(file: str) -> None:
    entry = FILES[file]
    assert entry.keys() == {"package", "version", "licence", "sha256", "origin"}
    assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == entry["sha256"]
    assert entry["licence"] in LICENCES
    assert f"\n{entry['package']} {entry['version']}: {entry['licence']}\n" in (VENDOR / "LICENSES").read_text("utf-8")


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_its_packages_own(file: str) -> None:
    """The lock file has the package's hash, so this says where our copy is from."""
    entry = FILES[file]
    assert (VENDOR / file).read_bytes() == tool(f"{entry['package']}/{entry['origin']}").read_bytes()
    wanted = json.loads((HERE / "package.json").read_text("utf-8"))["devDependencies"]
    assert wanted[entry["package"]] == entry["version"]


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_lies_beside_it(file: str) -> None:
    code = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", (VENDOR / file).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for address in (first or second for first, second in IMPORT.findall(code)):
        assert address.startswith("./"), address
        target = (VENDOR / file).parent / address
        assert target.relative_to(VENDOR).as_posix() in FILES, address


@pytest.mark.parametrize(
    "code",
    ["import a from 'b';", 'var a;import{c}from"b"', "export * from 'b'", "import 'b'", "x = await import('b')", "}export{c}from'b'"],
)
def test_the_search_for_imports_finds(code: str) -> None:
    assert [first or second for first, second in IMPORT.findall(code)] == ["b"]


def test_the_lock_of_the_tools_has_hashes_and_names_no_place() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"]
    assert len(packages) > 5
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name
        assert not name or package["license"] in {*LICENCES, "(MIT OR Apache-2.0)"}, name
    wanted = packages[""]["devDependencies"]
    assert wanted == json.loads((HERE / "package.json").read_text("utf-8"))["devDependencies"]
    assert all(packages[f"node_modules/{name}"]["version"] == version for name, version in wanted.items())
