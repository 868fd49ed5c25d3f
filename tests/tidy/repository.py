"""The files of this repository, as the tidy tests look at them."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def files() -> list[Path]:
    """Every file that is, or is about to be, in the repository: relative to its root, without what .gitignore names."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(Path(name) for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


def ours(*suffixes: str, under: tuple[str, ...] = ()) -> list[Path]:
    """Those with one of `suffixes` below one of the folders `under`, without code that others wrote."""
    return [path for path in files() if path.suffix in suffixes and "vendor" not in path.parts and (not under or path.parts[0] in under)]


@functools.cache
def text(path: Path) -> str:
    """The text of a file of the repository; empty for one that is not text."""
    try:
        return (ROOT / path).read_text("utf-8")
    except UnicodeDecodeError:
        return ""


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), str(path))


def none(found: Iterable[object], advice: str = "") -> None:
    """Assert that nothing was found; else show all of it."""
    listed = [str(item) for item in found]
    assert not listed, "\n".join([advice, *listed])
