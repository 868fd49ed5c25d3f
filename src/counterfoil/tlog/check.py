"""The operator's own check of everything published: every byte of every file is read again, and must be the one it should be.

Others check with `counterfoil-verify`, which shares no code with this. Here every fault is collected, none stops the check.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint, open_checkpoint
from counterfoil.tlog.entry import EntryType, decode_entry
from counterfoil.tlog.keys import VerifierKey
from counterfoil.tlog.log import check_public, day_path
from counterfoil.tlog.merkle import HASH_SIZE, Frontier, leaf_hash, root_of
from counterfoil.tlog.note import Note
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.published import CHECKPOINT, HEADS, POLICY, PUBLIC, WITNESSED, records
from counterfoil.tlog.tiles import TILE_WIDTH, TileReader, entries_path, tile_path, width_at
from counterfoil.tlog.types import NotProven

PUBLIC_TYPES = frozenset({EntryType.ISSUE, EntryType.REDEEM, EntryType.RULES, EntryType.FREEZE})
"""Entries of these types always have a public part."""
T = TypeVar("T")
FAULTS_MAX = 100
"""Faults that a report lists; the check ends there."""


class FolderReport(msgspec.Struct, frozen=True):
    """What was read, and what is wrong (`faults` empty: nothing). `size` is that of the checkpoint; `heads` those kept by day."""

    size: int
    tiles: int
    bundles: int
    partials: int
    publics: int
    heads: int
    faults: tuple[str, ...]
    unchecked: tuple[str, ...]


def verify_folder(public: Path, *, key: VerifierKey, policy: str | None = None) -> FolderReport:
    """Reads the public folder `public` of the log whose key is `key`, whole: about 300,000 entries in a few seconds.

    `policy`: the scheme's policy as the operator keeps it; without it cosignatures cannot be checked, and the report says so.
    Never raises for what is in the files. Nobody may write to the folder meanwhile. Not seen: whole heads missing at the end of
    an earlier day's file, and partial files of earlier sizes that are gone, for no file says that they were there.
    """
    return _Check(public, key, policy).run()


class _Enough(Exception):
    """More faults than a report lists."""


class _Check:
    def __init__(self, public: Path, key: VerifierKey, policy: str | None) -> None:
        self.public = public
        self.key = key
        self.policy_text = policy
        self.policy = Policy.parse(policy) if policy is not None else None
        self.faults: list[str] = []
        self.known: set[str] = set()
        self.size = 0
        self.tiles = self.bundles = self.partials = self.publics = self.heads = 0
        self.with_public: set[int] = set()
        self.grown: dict[str, str] = {}  # where a tile of this tree lies, by the path of the full one
        self.reader = TileReader(self.read, keep=64)

    def run(self) -> FolderReport:
        with contextlib.suppress(_Enough):
            self.steps()
        unchecked = () if self.policy else ("cosignatures: no policy was given",)
        counts = (self.tiles, self.bundles, self.partials, self.publics, self.heads)
        return FolderReport(self.size, *counts, tuple(self.faults), unchecked)

    def steps(self) -> None:
        head = self.attempt(CHECKPOINT, self.open, CHECKPOINT)
        if head is None:
            return
        checkpoint, note = head
        self.size = checkpoint.size
        self.attempt(CHECKPOINT, self.only_signed_by_known, note)
        self.tree(checkpoint)
        self.other_files()
        self.witnessed_heads()

    def fault(self, what: str) -> None:
        self.faults.append(what)
        if len(self.faults) >= FAULTS_MAX:
            raise _Enough

    def attempt(self, where: str, do: Callable[..., T], *arguments: object) -> T | None:
        """What `do` gives, or None and a fault."""
        try:
            return do(*arguments)
        except FileNotFoundError:
            self.fault(f"{where}: is missing")
        except (Malformed, NotProven) as error:
            self.fault(f"{where}: {error}")
        return None

    def read(self, path: str) -> bytes:
        return (self.public / path).read_bytes()

    # The tree

    def tree(self, checkpoint: Checkpoint) -> None:
        """Entries to level 0, each level to the next, all to the root; only one level's hashes of full tiles are in memory."""
        frontier, row = Frontier(), []
        for index in range(-(-self.size // TILE_WIDTH)):
            width = width_at(0, index, self.size)
            path = entries_path(index, width)
            hashes = self.attempt(path, self.bundle, path, index, width) or []
            for each in hashes:
                frontier.append(each)
            self.tile(0, index, hashes)
            if len(hashes) == TILE_WIDTH:
                row.append(root_of(hashes))
        level = 1
        while row:
            for index in range(0, len(row), TILE_WIDTH):
                self.tile(level, index // TILE_WIDTH, row[index : index + TILE_WIDTH])
            row = [root_of(row[at : at + TILE_WIDTH]) for at in range(0, len(row) - TILE_WIDTH + 1, TILE_WIDTH)]
            level += 1
        if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
            self.fault(f"{CHECKPOINT}: the entries have another root than the one signed")

    def bundle(self, path: str, index: int, width: int) -> list[bytes]:
        self.add(path, entries_path(index))
        self.bundles += 1
        entries = TileReader(self.exactly).bundle(index, width)
        for at, entry in enumerate(entries, index * TILE_WIDTH):
            if decode_entry(entry)[0] in PUBLIC_TYPES:
                self.with_public.add(at)
        return [leaf_hash(entry) for entry in entries]

    def add(self, path: str, full: str) -> None:
        self.known.add(path)
        self.grown[full] = path

    def exactly(self, path: str) -> bytes:
        """Reads a file of the tree of this size; another size's does not serve."""
        if path not in self.known:
            raise FileNotFoundError(path)
        return self.read(path)

    def tile(self, level: int, index: int, hashes: list[bytes]) -> None:
        if not hashes:
            return
        path = tile_path(level, index, len(hashes))
        self.add(path, tile_path(level, index))
        self.tiles += 1
        data = self.attempt(path, self.read, path)
        if data is not None and data != b"".join(hashes):
            self.fault(f"{path}: has other hashes than the entries below it")

    # Everything else in the folder

    def other_files(self) -> None:
        for place in sorted(each for each in self.public.rglob("*") if not each.is_dir()):
            path = place.relative_to(self.public).as_posix()
            if path not in self.known and path not in (CHECKPOINT, WITNESSED):
                self.other_file(path)
        for index in sorted(self.with_public):
            if f"{PUBLIC}/{index}" not in self.known:
                self.fault(f"{PUBLIC}/{index}: is missing")

    def other_file(self, path: str) -> None:
        folder, _, name = path.partition("/")
        if match := _PARTIAL.fullmatch(path):
            self.attempt(path, self.partial, path, match["full"], int(match["width"]))
        elif folder == PUBLIC and re.fullmatch("0|[1-9][0-9]*", name) and int(name) < self.size:
            self.attempt(path, self.public_part, path, int(name))
        elif path == POLICY:
            if self.policy_text is None:
                self.attempt(path, self.any_policy, path)
            elif self.read(path) != self.policy_text.encode():
                self.fault(f"{path}: is not the scheme's policy")
        elif folder != HEADS or not _DAY.fullmatch(name):
            self.fault(f"{path}: is not a file of this log")

    def partial(self, path: str, full: str, width: int) -> None:
        """A partial file of an earlier size: the beginning of the one that grew from it, exactly `width` hashes or entries."""
        self.partials += 1
        grown = self.grown.get(full)
        if grown is None:
            raise NotProven("belongs to no tile of this tree")
        data, whole = self.read(path), self.read(grown)
        if full.startswith("tile/entries/"):
            expected = _entries_prefix(whole, width)
        else:
            expected = whole[: HASH_SIZE * width] if len(whole) >= HASH_SIZE * width else None
        if not 1 <= width < TILE_WIDTH or data != expected:
            raise NotProven(f"is not the beginning of {grown}")

    def any_policy(self, path: str) -> None:
        try:
            Policy.parse(self.read(path).decode())
        except UnicodeDecodeError:
            raise Malformed(path, "must be UTF-8") from None

    def public_part(self, path: str, index: int) -> None:
        self.known.add(path)
        self.publics += 1
        check_public(self.read(path), self.reader.entries(index, index + 1, self.size)[0], index)

    # Witnessed heads

    def witnessed_heads(self) -> None:
        last: dict[str, bytes] = {}
        folder = self.public / HEADS
        for place in sorted(folder.iterdir()) if folder.is_dir() else ():
            self.attempt(f"{HEADS}/{place.name}", self.day, f"{HEADS}/{place.name}", last)
        if not (self.public / WITNESSED).exists():
            if last:
                self.fault(f"{WITNESSED}: is missing")
            return
        self.attempt(WITNESSED, self.newest, last)

    def newest(self, last: dict[str, bytes]) -> None:
        data = self.read(WITNESSED)
        self.head(data)
        path = day_path(Note.parse(data))
        if path and last.get(path) != data:
            raise NotProven(f"is not the last head in {path}")

    def day(self, path: str, last: dict[str, bytes]) -> None:
        before = -1
        for data in records(self.read(path)):
            self.heads += 1
            checkpoint, note = self.head(data)
            if day_path(note) != path:
                raise NotProven(f"head {checkpoint.size} is of another day")
            if checkpoint.size < before:
                raise NotProven(f"head {checkpoint.size} follows the larger head {before}")
            if data == last.get(path):
                raise NotProven(f"head {checkpoint.size} is kept twice")
            before = checkpoint.size
            last[path] = data
        if before < 0:
            raise Malformed(path, "must not be empty")

    def head(self, data: bytes) -> tuple[Checkpoint, Note]:
        """One witnessed head: signed by the log and a quorum, by nobody unknown, and a state that this tree went through."""
        checkpoint, note = open_checkpoint(data, self.key)
        if self.policy:
            self.policy.satisfied(note)
            self.only_signed_by_known(note)
        if checkpoint.size > self.size or self.reader.root(checkpoint.size, within=self.size) != checkpoint.root:
            raise NotProven(f"the log does not have the root that was signed at {checkpoint.size} entries")
        return checkpoint, note

    def open(self, path: str) -> tuple[Checkpoint, Note]:
        return open_checkpoint(self.read(path), self.key)

    def only_signed_by_known(self, note: Note) -> None:
        """What we publish carries signatures of the log and of the policy's witnesses, each once."""
        keys = [self.key, *(witness.key for witness in self.policy.witnesses.values())] if self.policy else [self.key]
        if len(note.verified_by(keys)) != len(note.signatures):
            raise NotProven("carries a signature by nobody known, or one twice")


_PARTIAL = re.compile(r"(?P<full>tile/(?:entries|[0-7])/(?:x[0-9]{3}/)*[0-9]{3})\.p/(?P<width>[1-9][0-9]{0,2})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _entries_prefix(bundle: bytes, width: int) -> bytes | None:
    at = 0
    for _ in range(width):
        if at + 2 > len(bundle):
            return None
        at += 2 + int.from_bytes(bundle[at : at + 2])
    return bundle[:at]
