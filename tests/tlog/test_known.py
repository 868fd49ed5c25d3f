"""Heads that people name: known ones of this log, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from nacl.signing import SigningKey

from counterfoil.errors import Unavailable
from counterfoil.tlog import known
from counterfoil.tlog.keys import Signer
from counterfoil.tlog.known import KnownHeads
from counterfoil.tlog.log import Log
from counterfoil.tlog.merkle import EMPTY_ROOT, leaf_hash, root_of
from counterfoil.tlog.published import PublishedLog

ENTRIES = [index.to_bytes(34) for index in range(600)]
ROOTS = {size: root_of([leaf_hash(entry) for entry in ENTRIES[:size]]) for size in (1, 2, 255, 256, 257, 599, 600)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Log.open(tmp_path, Signer("known.example/log", SigningKey(bytes(32)))) as log:
        for begin in range(0, 600, 200):
            log.append(ENTRIES[begin : begin + 200])
            log.publish()
    return tmp_path


def test_every_size_that_the_log_ever_had_is_known(folder: Path) -> None:
    is_head = KnownHeads(PublishedLog(folder))
    for _ in range(2):  # from the tiles, then from memory
        assert all(is_head(size, root) for size, root in ROOTS.items())
        assert not any(is_head(size, EMPTY_ROOT) for size in ROOTS)
        assert not is_head(256, ROOTS[255])


def test_the_empty_log_is_known_before_there_is_a_log(tmp_path: Path) -> None:
    is_head = KnownHeads(PublishedLog(tmp_path))
    assert is_head(0, EMPTY_ROOT)
    assert not is_head(0, bytes(32))
    assert not is_head(1, ROOTS[1])


def test_a_head_beyond_the_newest_is_not_known_until_it_is_signed(folder: Path) -> None:
    is_head = KnownHeads(PublishedLog(folder))
    more = [*ENTRIES, b"\1" * 34]
    root = root_of([leaf_hash(entry) for entry in more])
    assert not is_head(601, root)
    with Log.open(folder, Signer("known.example/log", SigningKey(bytes(32)))) as log:
        log.append(more[600:])
        log.publish()
    assert is_head(601, root)


def test_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "ROOTS_MAX", 2)
    is_head = KnownHeads(PublishedLog(folder))
    for _ in range(2):
        assert all(is_head(size, root) for size, root in ROOTS.items())
    assert len(is_head._roots) == 2


def test_files_that_cannot_be_read_are_no_answer(folder: Path) -> None:
    is_head = KnownHeads(PublishedLog(folder))
    for path in (folder / "public" / "tile" / "0").iterdir():
        if path.is_file():
            path.unlink()
    with pytest.raises(Unavailable, match="the log cannot be read"):
        is_head(257, ROOTS[257])
