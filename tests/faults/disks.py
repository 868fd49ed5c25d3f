"""A small disk for a test: an ext4 file system in a file, which can be filled, and held still. Needs root.

It is gone with the test, also where pytest is killed: the shell that mounted it sees that, and takes it away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_PIECE: Final = 64 * 1024
# Commands come line by line; when there are no more, however that came about, nothing is left.
_HAND: Final = """
while read -r line; do if eval "$line" 2>&1; then echo "done"; else echo "failed"; fi; done
fsfreeze --unfreeze "$1/disk"
umount --lazy "$1/disk"
rm -rf --one-file-system -- "$1"
"""


class Disk:
    """An ext4 file system.

    Attributes:
        path: where it is mounted; anybody may write there.
    """

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.path = folder / "disk"
        self._ballast = self.path / "ballast"
        self._lock = threading.Lock()
        self._hand = subprocess.Popen(
            ["sh", "-c", _HAND, "hand", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        self._do(f"truncate --size={size_mb}M {folder}/image")
        self._do(f"mkfs.ext4 -q -m 0 -E lazy_itable_init=0 {folder}/image")
        self._do(f"mount -o loop {folder}/image {self.path}", may_be_refused=True)
        self._do(f"chmod 1777 {self.path}")

    def fill(self, *, leave: int = 0) -> None:
        """Takes all room but `leave` bytes, as another program's file does."""
        with self._ballast.open("ab") as file, contextlib.suppress(OSError):
            while True:
                free = os.statvfs(self.path)
                room = free.f_bavail * free.f_frsize - leave
                if room < _PIECE:
                    break
                os.posix_fallocate(file.fileno(), file.tell(), room - room % 4_096)
                file.seek(0, os.SEEK_END)
        if not leave:
            with self._ballast.open("ab", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4_096))
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error

    def free(self) -> None:
        """Gives back what `fill` took."""
        self._ballast.unlink()

    def freeze(self) -> None:
        """From now on whoever writes waits. Whoever reads what is not in memory may."""
        self._do(f"fsfreeze --freeze {self.path}", may_be_refused=True)

    def thaw(self) -> None:
        self._do(f"fsfreeze --unfreeze {self.path}")

    def close(self) -> None:
        assert self._hand.stdin is not None
        assert self._hand.stdout is not None
        self._hand.stdin.close()
        self._hand.wait(60)
        self._hand.stdout.close()

    def _do(self, command: str, *, may_be_refused: bool = False) -> None:
        assert self._hand.stdin is not None
        assert self._hand.stdout is not None
        said: list[str] = []
        with self._lock:
            self._hand.stdin.write(command + "\n")
            self._hand.stdin.flush()
            while (line := self._hand.stdout.readline().strip()) not in ("done", "failed", ""):
                said.append(line)
        if line != "done" and may_be_refused:
            pytest.skip(f"The kernel refuses {command!r}: {' '.join(said)}")
        assert line == "done", (command, said)


@contextlib.contextmanager
def small_disk(size_mb: int) -> Iterator[Disk]:
    """An empty disk. Skips the test where nothing can be mounted."""
    if shutil.which("mkfs.ext4") is None or shutil.which("fsfreeze") is None:
        pytest.skip("mkfs.ext4 or fsfreeze is not installed (e2fsprogs, util-linux)")
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    folder.chmod(0o755)
    (folder / "disk").mkdir()
    with contextlib.closing(Disk(folder, size_mb)) as disk:
        yield disk
