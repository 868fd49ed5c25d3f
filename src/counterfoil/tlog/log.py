"""The sequencer: the one process that appends to a log and signs its heads, and never two that contradict each other.

    publish: write entries, tiles, public parts -> fsync -> recompute the root from what is on the disk
             -> compare-and-swap the head (fsync) -> sign -> publish the checkpoint

    <folder>/public/     the static files that everybody reads (docs/reference/log.md)
    <folder>/state/head  the last head for which a signature was or is to be made: the truth after a crash
    <folder>/.lock       held while a Log is open

Whatever stops the process, `open` finds the log at the last head, publishes its checkpoint if that is missing (Ed25519
signs the same bytes again), and removes files beyond it; entries that were appended and not signed have to be appended
again. After an error inside `publish` or `keep_witnessed` a Log takes nothing more: close it and open it anew.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from counterfoil.errors import Conflict, Malformed
from counterfoil.tlog import checkpoint as heads
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.cosignature import time_of
from counterfoil.tlog.edge import Edge
from counterfoil.tlog.entry import Opening, Role
from counterfoil.tlog.files import Files, no_step
from counterfoil.tlog.head import decode_head, encode_head
from counterfoil.tlog.keys import Signer
from counterfoil.tlog.merkle import EMPTY_ROOT, leaf_hash, root_of, verify_consistency
from counterfoil.tlog.note import Note
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.published import CHECKPOINT, HEADS, POLICY, PUBLIC, WITNESSED, PublishedLog, record, records
from counterfoil.tlog.tiles import (
    DATA_SIZE_MAX,
    LEVEL_MAX,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileReader,
    entries_path,
    hashes_in,
    tile_path,
    width_at,
)
from counterfoil.tlog.types import NotProven

__all__ = ["Log", "PublishedLog"]

HEAD = "state/head"
TIDIED = "state/tidied"
_GAP_MAX = 4
"""Tiles that may be missing between two leftovers of a crash. One that is left is overwritten, or tidied away, when the log gets there."""
_TIME_MAX_S = 253_402_300_799
"""The last second of the year 9999."""


class Log:
    """A log open for appending. One at a time, by a lock on the folder; not safe for several threads."""

    def __init__(self, files: Files, signer: Signer, lock: int) -> None:
        """`open` makes one."""
        self._files = files
        self._signer = signer
        self._lock = lock
        self._public: dict[int, bytes] = {}
        self._broken = False
        self.reader = PublishedLog(files.root).reader
        """Tiles of what is published."""
        self._head = self._read_head()
        self._edge = self._recover()

    @classmethod
    def open(cls, folder: Path, signer: Signer, *, on_step: Callable[[str], None] = no_step) -> Log:
        """The log in `folder`, made when there is none, at its last head. `on_step` hears of every operation on the disk.

        Conflict: another process has it open; it is another origin's; the head is missing, or older than what is published.
        NotProven, Malformed, FileNotFoundError: the files of the signed part are not those that were signed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / "state").mkdir(mode=0o700, exist_ok=True)
            (folder / "public").mkdir(exist_ok=True)
            return cls(Files(folder, on_step), signer, lock)
        except BlockingIOError:
            os.close(lock)
            raise Conflict(f"another process has the log in {folder} open") from None
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        """Gives the folder free. What was appended and not published is gone."""
        self._broken = True
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def head(self) -> Checkpoint:
        """The last signed head."""
        return self._head

    @property
    def appended(self) -> int:
        """Entries given; may be ahead of the head."""
        return self._edge.size

    def append(self, entries: Sequence[bytes], public: Mapping[int, bytes] | None = None) -> range:
        """Takes entries (1 to 65,535 bytes each) and answers with their indexes. Nothing is on the disk before `publish`.

        `public`: encoded openings in role 4, by index in the log, of those entries that have a public part. Malformed when
        one of them does not open its entry; then nothing was taken.
        """
        self._check_usable()
        begin = self._edge.size
        for offset, entry in enumerate(entries):
            if not 1 <= len(entry) <= DATA_SIZE_MAX:
                raise Malformed(f"entries[{offset}]", f"must be 1 to {DATA_SIZE_MAX} bytes")
        for index, opening in (public or {}).items():
            if not begin <= index < begin + len(entries):
                raise Malformed(f"public/{index}", "must belong to one of the entries given with it")
            check_public(opening, entries[index - begin], index)
        for entry in entries:
            self._edge.append(entry)
        self._public.update(public or {})
        return range(begin, self._edge.size)

    def publish(self) -> Note | None:
        """Signs and publishes a head over everything appended, once it is durable and its root was computed twice; None without news.

        NotProven when the files on the disk do not have the root of what was appended, or do not continue the last head;
        Conflict when somebody else moved the head; OSError when the disk fails. In none of these cases is anything signed.
        """
        self._check_usable()
        if self._edge.size == self._head.size:
            return None
        self._broken = True  # until the end is reached
        new = Checkpoint(self._head.origin, self._edge.size, self._edge.frontier.root())
        paths = [self._write(f"public/{path}", data) for path, data in self._edge.files()]
        paths += [self._write(f"public/{PUBLIC}/{index}", data) for index, data in self._public.items()]
        self._files.sync(paths)
        self._recompute(new)
        self._swap_head(new)
        note = heads.sign(new, self._signer)
        self._files.replace(f"public/{CHECKPOINT}", note.encode())
        self._edge.close()
        self._public.clear()
        self._tidy()
        self._broken = False
        return note

    def keep_witnessed(self, note: Note) -> None:
        """Publishes `note`, a head of this log that reached the quorum, as `witnessed`, and adds it to the file of its day (UTC).

        The day is that of the newest cosignature in it; without any it is in no day's file. Whether the quorum was reached is the
        caller's to check. Malformed, NotProven: not a head that this log signed, or smaller than the last one witnessed. The
        same note again changes nothing.
        """
        self._check_usable()
        checkpoint = self._own(note)
        before = self._witnessed()
        if before is not None:
            if note == before:
                return
            if checkpoint.size < (size := Checkpoint.parse(before.text).size):
                raise NotProven(f"a head of {size} entries is witnessed already: {checkpoint.size} would be a step back")
        if checkpoint.size > self._head.size or self.reader.root(checkpoint.size, within=self._head.size) != checkpoint.root:
            raise NotProven(f"this log has never had that root at {checkpoint.size} entries")
        path = day_path(note)
        self._broken = True
        self._files.replace(f"public/{WITNESSED}", note.encode())
        if path:
            self._files.append(f"public/{path}", record(note.encode()))
        self._tidy()
        self._broken = False

    def keep_policy(self, text: str) -> None:
        """Publishes the scheme's policy beside the log; Malformed when it is none."""
        self._check_usable()
        Policy.parse(text)
        self._files.replace(f"public/{POLICY}", text.encode())

    def _check_usable(self) -> None:
        if self._broken:
            raise Conflict("this log stopped at an error or was closed: open it anew")

    def _write(self, path: str, data: bytes) -> str:
        self._files.write(path, data)
        return path

    # The second path to the root

    def _recompute(self, new: Checkpoint) -> None:
        """Reads back what was written: entries hash to tiles, tiles to the tiles above, and the right edge to the root and from the old one."""
        reader = TileReader(self._read_public)
        old = self._head
        for index in range(old.size // TILE_WIDTH, -(-new.size // TILE_WIDTH)):
            width = width_at(0, index, new.size)
            if b"".join(map(leaf_hash, reader.bundle(index, width))) != reader.tile(0, index, width):
                raise NotProven(f"bundle {index} does not hash to its tile: nothing was signed")
        for level in range(1, LEVEL_MAX + 1):
            before, after = old.size >> (TILE_HEIGHT * level), new.size >> (TILE_HEIGHT * level)
            for index in range(before, after):
                above = reader.tile(level, index // TILE_WIDTH, width_at(level, index // TILE_WIDTH, new.size))
                if root_of(hashes_in(reader.tile(level - 1, index, TILE_WIDTH))) != hashes_in(above)[index % TILE_WIDTH]:
                    raise NotProven(f"tile {index} of level {level - 1} does not hash to the one above: nothing was signed")
        for index, opening in self._public.items():
            if self._read_public(f"{PUBLIC}/{index}") != opening:
                raise NotProven(f"public/{index} is not what was written: nothing was signed")
        if reader.root(new.size) != new.root:
            raise NotProven("the files on the disk have another root than the entries appended: nothing was signed")
        proof = reader.consistency_proof(old.size, new.size)
        verify_consistency(old_size=old.size, new_size=new.size, proof=proof, old_root=old.root, new_root=new.root)

    def _read_public(self, path: str) -> bytes:
        return self._files.read(f"public/{path}")

    # The head, and what a crash leaves

    def _swap_head(self, new: Checkpoint) -> None:
        """The only place where the head moves: from exactly the one known, to a larger one."""
        if self._files.read(HEAD) != encode_head(self._head):
            raise Conflict("somebody else moved the head of the log")
        assert new.size > self._head.size, (new.size, self._head.size)
        self._files.replace(HEAD, encode_head(new))
        self._head = new

    def _read_head(self) -> Checkpoint:
        try:
            head = decode_head(self._files.read(HEAD))
        except FileNotFoundError:
            if self._files.names("public"):
                raise Conflict("there is a log here, and its head (state/head) is gone: restore it, never begin anew") from None
            head = Checkpoint(self._signer.name, 0, EMPTY_ROOT)
            self._files.replace(HEAD, encode_head(head))
        if head.origin != self._signer.name:
            raise Conflict(f"this is the log {head.origin}, not {self._signer.name}")
        return head

    def _recover(self) -> Edge:
        """Brings the folder to the head, whatever happened; raises when the signed part is not what was signed."""
        for name in self._files.names("state"):
            if name.endswith(".draft"):
                self._files.remove(f"state/{name}")
        size = self._head.size
        for path in (CHECKPOINT, WITNESSED):
            self._check_not_ahead(path)
        self._remove_beyond(size)
        edge = Edge.read(self.reader, size)
        hashes = self.reader.leaf_hashes(size // TILE_WIDTH * TILE_WIDTH, size, size)
        if edge.frontier.root() != self._head.root or edge.leaf_hashes() != hashes or self.reader.root(size) != self._head.root:
            raise NotProven(f"the files of the log do not have the root that was signed at {size} entries")
        note = heads.sign(self._head, self._signer).encode()
        if self._read_or_none(CHECKPOINT) != note:
            self._files.replace(f"public/{CHECKPOINT}", note)
        self._mend_heads()
        self._tidy()
        return edge

    def _check_not_ahead(self, path: str) -> None:
        """A published head that the own state does not know: the state was set back, and going on would be a fork."""
        data = self._read_or_none(path)
        if data is None:
            return
        try:
            published = self._own(Note.parse(data))
        except (Malformed, NotProven):
            if path == CHECKPOINT:
                return  # torn or foreign: it is written anew
            raise
        if published.size > self._head.size or (published.size == self._head.size and published.root != self._head.root):
            raise Conflict(f"public/{path} names a head that state/head does not know: state/head is older than what was published")

    def _own(self, note: Note) -> Checkpoint:
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin != self._signer.name:
            raise NotProven(f"the checkpoint is of {checkpoint.origin}, not of {self._signer.name}")
        note.verified_by([self._signer.vkey])
        return checkpoint

    def _read_or_none(self, path: str) -> bytes | None:
        try:
            return self._read_public(path)
        except FileNotFoundError:
            return None

    def _witnessed(self) -> Note | None:
        data = self._read_or_none(WITNESSED)
        return None if data is None else Note.parse(data)

    def _mend_heads(self) -> None:
        """`witnessed` is written before its record: a record that is torn or missing is written again."""
        note = self._witnessed()
        path = day_path(note) if note else None
        if note is None or path is None:
            return
        whole = self._read_or_none(path) or b""
        kept, last = 0, b""
        try:
            for last in records(whole):
                kept += len(record(last))
        except Malformed:
            self._files.cut(f"public/{path}", kept)
        if last != note.encode():
            self._files.append(f"public/{path}", record(note.encode()))

    def _remove_beyond(self, size: int) -> None:
        """Takes away what an unfinished publish wrote beyond the head."""
        kinds: list[tuple[int, Callable[[int, int], str]]] = [(0, entries_path)]
        kinds += [(level, partial(tile_path, level)) for level in range(LEVEL_MAX + 1)]
        for level, path_of in kinds:
            index, missed = (size >> (TILE_HEIGHT * level)) // TILE_WIDTH, 0
            while missed < _GAP_MAX:
                width = width_at(level, index, size)
                missed = 0 if self._remove_tile_beyond(path_of(index, TILE_WIDTH), width) else missed + 1
                index += 1
        for name in self._files.names(f"public/{PUBLIC}"):
            if name.isdecimal() and int(name) >= size:
                self._files.remove(f"public/{PUBLIC}/{name}")

    def _remove_tile_beyond(self, full: str, width: int) -> bool:
        """Removes the full tile and the partial ones wider than `width`; whether there was anything."""
        names = self._files.names(f"public/{full}.p")
        there = bool(names) or (self._files.root / "public" / full).exists()
        if there:
            self._files.remove(f"public/{full}")
        for name in names:
            if int(name) > width:
                self._files.remove(f"public/{full}.p/{name}")
        if names and int(min(names, key=int)) > width:
            self._files.remove_folder(f"public/{full}.p")
        return there

    # Partial tiles that have grown full

    def _tidy(self) -> None:
        """Removes the partial files of tiles that are full in both the newest and the witnessed head: nobody needs them any more."""
        note = self._witnessed()
        size = min(self._head.size, Checkpoint.parse(note.text).size) if note else 0
        tidied = self._tidied()
        if size // TILE_WIDTH <= tidied // TILE_WIDTH:
            return
        for index in range(tidied // TILE_WIDTH, size // TILE_WIDTH):
            self._files.remove_folder(f"public/{entries_path(index)}.p")
        for level in range(LEVEL_MAX + 1):
            shift = TILE_HEIGHT * (level + 1)
            for index in range(tidied >> shift, size >> shift):
                self._files.remove_folder(f"public/{tile_path(level, index)}.p")
        self._files.write(TIDIED, str(size).encode())

    def _tidied(self) -> int:
        try:
            return int(self._files.read(TIDIED))
        except (FileNotFoundError, ValueError):
            return 0  # all of it is looked at again


def check_public(opening: bytes, entry: bytes, index: int) -> None:
    """Malformed unless `opening` is the public part (role 4) of `entry`."""
    decoded = Opening.decode(opening)
    if decoded.role is not Role.PUBLIC:
        raise Malformed(f"public/{index}", "must be an opening in role 4 (public)")
    if decoded.entry() != entry:
        raise Malformed(f"public/{index}", "does not open its entry")


def day_path(note: Note) -> str | None:
    """heads/<YYYY-MM-DD> of the newest cosignature of `note`, or None without one. Malformed for a time beyond the year 9999."""
    times = [time for signature in note.signatures if (time := time_of(signature)) is not None]
    if not times:
        return None
    if max(times) > _TIME_MAX_S:
        raise Malformed("note.signature", "names a time beyond the year 9999")
    return f"{HEADS}/{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d}"
