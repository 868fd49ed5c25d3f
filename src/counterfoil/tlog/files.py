"""Durable file operations of the log, each announced when it is done, so that a test can stop the world between any two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path


def no_step(step: str) -> None:
    """Nobody is listening."""


class Files:
    """Writes below `root`. Paths are relative to it; `on_step` hears "<verb> <path>" after each operation."""

    def __init__(self, root: Path, on_step: Callable[[str], None] = no_step) -> None:
        self.root = root
        self._on_step = on_step

    def read(self, path: str) -> bytes:
        """The file's bytes; FileNotFoundError when there is none."""
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Puts `data` at `path`, not yet durable, and visible in pieces: for files that no signed head names yet."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self._on_step(f"write {path}")

    def append(self, path: str, data: bytes) -> None:
        """Adds `data` to the end of the file by one write, durable on return."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(descriptor, data)
            self._on_step(f"write {path}")
            if written != len(data):
                raise OSError(f"only {written} of {len(data)} bytes fit into {place}")
        finally:
            os.close(descriptor)
        self.sync([path])

    def cut(self, path: str, size: int) -> None:
        """Takes what is beyond `size` bytes from the file's end, durable on return."""
        os.truncate(self.root / path, size)
        self._on_step(f"cut {path}")
        self.sync([path])

    def replace(self, path: str, data: bytes) -> None:
        """Puts `data` at `path` whole or not at all, durable on return."""
        place, draft = self.root / path, f"state/{Path(path).name}.draft"
        place.parent.mkdir(parents=True, exist_ok=True)
        self.write(draft, data)
        self._sync_one(self.root / draft)
        self._on_step(f"sync {draft}")
        (self.root / draft).rename(place)
        self._on_step(f"rename {path}")
        self._sync_one(place.parent)
        self._on_step(f"sync {path}")

    def sync(self, paths: Iterable[str]) -> None:
        """Makes files, their names and the folders above them durable."""
        folders: dict[Path, None] = {}
        for path in paths:
            place = self.root / path
            self._sync_one(place)
            self._on_step(f"sync {path}")
            for folder in place.parents:
                if folder in folders:
                    break
                folders[folder] = None
                if folder == self.root:
                    break
        for folder in folders:
            self._sync_one(folder)
        self._on_step("sync folders")

    def remove(self, path: str) -> None:
        """Takes the file away; nothing when there is none. Not durable: whoever removes again finds it again."""
        place = self.root / path
        place.unlink(missing_ok=True)
        self._on_step(f"remove {path}")

    def remove_folder(self, path: str) -> None:
        """Takes a folder of files away; nothing when there is none."""
        place = self.root / path
        for name in self.names(path):
            self.remove(f"{path}/{name}")
        if place.is_dir():
            place.rmdir()

    def names(self, path: str) -> list[str]:
        """What is in the folder, sorted; empty when there is none."""
        try:
            return sorted(each.name for each in (self.root / path).iterdir())
        except FileNotFoundError:
            return []

    @staticmethod
    def _sync_one(place: Path) -> None:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
