"""Servers that tests start end with the tests: also where pytest is killed, no server and no folder is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

# Reads nothing until whoever holds the other end of its input is gone, however that came about.
_SCRIPT = """
read -r _
kill -s CONT "$2" && kill -s "$1" "$2"
tries=0
while kill -s 0 "$2" && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
rm -rf --one-file-system -- "$3"
"""


class Watch:
    """Ends process `pid` with `signal`, and removes `folder`, when this process has ended without a word."""

    def __init__(self, pid: int, folder: Path, *, signal: str = "KILL") -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", _SCRIPT, "watch", signal, str(pid), folder],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def end(self) -> None:
        """The process that was watched ends in good order, or has."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
