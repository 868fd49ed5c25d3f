"""A private file is replaced in one step: whatever fails on the way, the old bytes or the new ones are there, for its owner alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from counterfoil.commands import private_file
from counterfoil.commands.terminal.folder import Folder
from counterfoil.errors import Unavailable


def test_it_is_another_file_in_the_old_ones_place(tmp_path: Path) -> None:
    path, before = tmp_path / "kept.json", tmp_path / "before"
    private_file.write(path, b"old")
    os.link(path, before)
    private_file.write(path, b"new")
    assert (path.read_bytes(), before.read_bytes()) == (b"new", b"old"), "nobody ever sees half of it"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_is_full_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.json"
    private_file.write(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            private_file.write(path, b"new")
    assert path.read_bytes() == b"old"
    private_file.write(path, b"newer")  # the draft that was left is in nobody's way
    assert path.read_bytes() == b"newer"


def test_a_desks_folder_has_room_for_one_desk(tmp_path: Path) -> None:
    folder = tmp_path / "terminal"
    with Folder(folder).alone(), pytest.raises(Unavailable, match="in use by another process"), Folder(folder).alone():
        pytest.fail("two desks would each keep a sale of their own there")
    with Folder(folder).alone():
        assert folder.stat().st_mode & 0o777 == 0o700
