"""What a log has published, for every process that reads: newest head, witnessed head, tiles, public parts, heads of each day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from counterfoil.errors import Malformed
from counterfoil.tlog.note import NOTE_SIZE_MAX, Note
from counterfoil.tlog.text import parse_decimal
from counterfoil.tlog.tiles import TileReader

CHECKPOINT = "checkpoint"
WITNESSED = "witnessed"
POLICY = "policy"
HEADS = "heads"
PUBLIC = "public"
TILES_KEPT = 256
"""Full tiles that a reader keeps in memory, 8 kB each."""


class PublishedLog:
    """Reads the public folder of the log at `folder` (the same that `Log.open` takes). Holds no lock and no open file.

    Nothing is verified here: notes are parsed, their signatures are for the caller to check.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "public"
        self.reader = TileReader(self.read, keep=TILES_KEPT)

    def read(self, path: str) -> bytes:
        """The published file; FileNotFoundError when there is none."""
        return (self.folder / path).read_bytes()

    def checkpoint(self) -> Note | None:
        """The newest head, or None before there is a log."""
        return self._note(CHECKPOINT)

    def witnessed(self) -> Note | None:
        """The newest head that reached the quorum, or None before there is one."""
        return self._note(WITNESSED)

    def public(self, index: int) -> bytes | None:
        """The opening (role 4) of entry `index`, or None when its public part is empty."""
        try:
            return self.read(f"{PUBLIC}/{index}")
        except FileNotFoundError:
            return None

    def days(self) -> list[str]:
        """The days (YYYY-MM-DD) that have witnessed heads, oldest first."""
        try:
            return sorted(path.name for path in (self.folder / HEADS).iterdir())
        except FileNotFoundError:
            return []

    def heads(self) -> Iterator[Note]:
        """Every witnessed head, day by day, in the order in which they were kept."""
        for day in self.days():
            yield from map(Note.parse, records(self.read(f"{HEADS}/{day}")))

    def _note(self, path: str) -> Note | None:
        try:
            return Note.parse(self.read(path))
        except FileNotFoundError:
            return None


def record(note: bytes) -> bytes:
    """A note as it stands in a day's file of heads: its length in decimal, a newline, its bytes."""
    return b"%d\n%s" % (len(note), note)


def records(data: bytes) -> Iterator[bytes]:
    """The notes in a day's file of heads. Malformed at the first byte that `record` would not have written."""
    at = 0
    while at < len(data):
        newline = data.find(b"\n", at, at + 8)
        if newline < 0:
            raise Malformed("heads", "must give each note's length on a line of its own")
        try:
            size = parse_decimal(data[at:newline].decode("ascii"), "heads.length", maximum=NOTE_SIZE_MAX)
        except (UnicodeDecodeError, IndexError):
            raise Malformed("heads.length", "must be a decimal number") from None
        at = newline + 1 + size
        if at > len(data):
            raise Malformed("heads", "is cut short")
        yield data[newline + 1 : at]
