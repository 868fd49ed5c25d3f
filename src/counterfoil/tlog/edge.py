"""The growing edge of the tree: what of the tiles and bundles is not full yet, and which files a larger size needs. Pure.

Each entry costs one leaf hash and, on average, two node hashes: one in the frontier and one in a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from counterfoil.tlog.merkle import Frontier, leaf_hash, root_of
from counterfoil.tlog.tiles import (
    LEVEL_MAX,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileReader,
    encode_bundle,
    entries_path,
    hashes_in,
    tile_path,
    width_at,
)


class Edge:
    """Entries and hashes from the first tile that was not full at size `written`, and everything appended since."""

    def __init__(self, size: int, entries: Sequence[bytes], rows: Sequence[Sequence[bytes]], frontier: Frontier) -> None:
        assert frontier.size == size, (frontier.size, size)
        self.written = size
        """Entries whose files are there."""
        self.frontier = frontier
        self._entries = list(entries)
        self._rows = [list(row) for row in rows]  # by level: the hashes of the tile that is not full

    @classmethod
    def read(cls, reader: TileReader, size: int) -> Edge:
        """The edge of the tree of `size` entries, from its files. That they are the right ones shows in the frontier's root."""
        first = size // TILE_WIDTH * TILE_WIDTH
        rows = []
        level = 0
        while size >> (TILE_HEIGHT * level):
            index = (size >> (TILE_HEIGHT * level)) // TILE_WIDTH
            width = width_at(level, index, size)
            rows.append(hashes_in(reader.tile(level, index, width)) if width else [])
            level += 1
        return cls(size, reader.entries(first, size, size), rows, Frontier(size, reader.peaks(size)))

    @property
    def size(self) -> int:
        """Entries so far, written or not."""
        return self.frontier.size

    def leaf_hashes(self) -> list[bytes]:
        """Hashes of the entries of the bundle that is not full, computed from the entries."""
        return [leaf_hash(entry) for entry in self._entries]

    def append(self, entry: bytes) -> None:
        """Adds one entry."""
        node = leaf_hash(entry)
        self.frontier.append(node)
        self._entries.append(entry)
        for level in range(LEVEL_MAX + 1):
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row.append(node)
            if len(row) % TILE_WIDTH:
                return
            node = root_of(row[-TILE_WIDTH:])  # a full tile is one hash of the level above

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(path, bytes) of each bundle and tile of the tree of `size` that the tree of `written` does not have, in rising order."""
        for index, entries in self._grown(0, self._entries):
            yield entries_path(index, len(entries)), encode_bundle(entries)
        for level, row in enumerate(self._rows):
            for index, hashes in self._grown(level, row):
                yield tile_path(level, index, len(hashes)), b"".join(hashes)

    def _grown(self, level: int, row: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
        """(index, content) of the tiles in `row` that have more than at size `written`."""
        before = self.written >> (TILE_HEIGHT * level)
        first = before // TILE_WIDTH
        for at in range(0, len(row), TILE_WIDTH):
            index, content = first + at // TILE_WIDTH, row[at : at + TILE_WIDTH]
            if index * TILE_WIDTH + len(content) > before:
                yield index, content

    def close(self) -> None:
        """Everything appended is in files: what is full is forgotten."""
        for row in (self._entries, *self._rows):
            del row[: len(row) // TILE_WIDTH * TILE_WIDTH]
        self.written = self.size
