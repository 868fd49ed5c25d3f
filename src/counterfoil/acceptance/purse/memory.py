"""A card's memory in a file: what it keeps is there whole, or as it was before.

    commit   write the draft -> fsync it -> rename it over the file -> fsync the folder
    load     read -> check -> fsync file and folder

A rename that was seen but not synced may be undone by a power cut. A card that signed what it read after such a rename, and then
lost it, would count twice: so what is loaded is made durable first. A file that is missing or damaged is never taken for a new card.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from counterfoil.acceptance.purse.card import Kept, NotKept

_DIGEST_SIZE = 32
FILE_SIZE_MAX = 1_024


class FileMemory:
    """One card's file, for one process at a time; its drafts are beside it. Raises NotKept for whatever the disk refuses."""

    def __init__(self, path: Path, on_step: Callable[[str], None] = lambda step: None) -> None:
        """`on_step` hears what comes next ("write", "fsync", "rename", "fsync folder", "done"); tests take the power away there."""
        self._path = path
        self._draft = path.with_name(path.name + ".draft")
        self._on_step = on_step

    def issue(self) -> None:
        """Begins the life of a card: counter and sum are zero. NotKept when there is a file already, since no card begins twice."""
        if self._path.exists():
            raise NotKept(f"{self._path.name} is there already")
        self.commit(Kept())

    def load(self) -> Kept:
        try:
            data = self._path.read_bytes()
            _sync(self._path)
            _sync(self._path.parent)
        except OSError as error:
            raise NotKept(f"{self._path.name} cannot be read: {error.strerror}") from error
        if len(data) > FILE_SIZE_MAX or hashlib.sha256(data[_DIGEST_SIZE:]).digest() != data[:_DIGEST_SIZE]:
            raise NotKept(f"{self._path.name} is damaged")
        try:
            return msgspec.msgpack.decode(data[_DIGEST_SIZE:], type=Kept)
        except msgspec.DecodeError as error:
            raise NotKept(f"{self._path.name} is of another version") from error

    def commit(self, kept: Kept) -> None:
        data = msgspec.msgpack.encode(kept)
        try:
            self._on_step("write")
            descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
                file.flush()
                self._on_step("fsync")
                os.fsync(file.fileno())
            self._on_step("rename")
            self._draft.replace(self._path)
            self._on_step("fsync folder")
            _sync(self._path.parent)
            self._on_step("done")
        except OSError as error:
            raise NotKept(f"{self._path.name} cannot be written: {error.strerror}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
