"""The tree in static files: where each tile and bundle lies, and roots and proofs read from them. Pure: reading arrives as an argument.

    tile/<L>/<N>[.p/<W>]          256 (or W) hashes of 32 bytes of level 8 L
    tile/entries/<N>[.p/<W>]      256 (or W) entries, each after its u16 length

What is read here is not authenticated by itself: a root or proof from these files counts once it agrees with a signed head.

Source: C2SP tlog-tiles v1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from counterfoil.errors import Malformed
from counterfoil.tlog.merkle import EMPTY_ROOT, HASH_SIZE, node_hash, root_of, split

TILE_WIDTH = 256
"""Hashes in a full tile, entries in a full bundle."""
TILE_HEIGHT = 8
LEVEL_MAX = 7
"""Highest level of a tile in a tree of at most 2^63-1 entries."""
DATA_SIZE_MAX = 65_535
"""Bytes of an entry."""


def index_path(index: int) -> str:
    """`index` in groups of three digits, all but the last after an x: 1234067 is x001/x234/067."""
    path = f"{index % 1000:03d}"
    while index := index // 1000:
        path = f"x{index % 1000:03d}/{path}"
    return path


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Where the tile lies, relative to the public folder. `width` below 256 names a partial tile."""
    return f"tile/{level}/{_with_width(index, width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Where the bundle of entries lies, relative to the public folder."""
    return f"tile/entries/{_with_width(index, width)}"


def _with_width(index: int, width: int) -> str:
    assert 1 <= width <= TILE_WIDTH, width
    return index_path(index) if width == TILE_WIDTH else f"{index_path(index)}.p/{width}"


def width_at(level: int, index: int, size: int) -> int:
    """Hashes (0 to 256) that tile `index` of `level` has in a tree of `size` entries; of bundles those of level 0."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def decode_bundle(data: bytes, field: str = "bundle") -> list[bytes]:
    """The entries of a bundle, to its last byte; Malformed when it is cut short."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data) or at + 2 > len(data):
            raise Malformed(field, "is cut short")
        entries.append(data[at + 2 : end])
        at = end
    return entries


class TileReader:
    """Hashes, entries, roots and proofs from files that `read` (path -> bytes, FileNotFoundError) gives.

    Where a partial file is gone, the full one that grew from it serves. Malformed when a file has the wrong length;
    FileNotFoundError when neither is there. `keep` full tiles stay in memory: a full tile never changes.

    Every method takes `within`, the size of a later tree whose files are there, when those of `size` itself may not be.
    """

    def __init__(self, read: Callable[[str], bytes], *, keep: int = 0) -> None:
        self._read = read
        self._keep = keep
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def root(self, size: int, *, within: int | None = None) -> bytes:
        """Root of the first `size` entries, by the recursive definition over tiles."""
        return _Tree(self, size if within is None else within).root(0, size) if size else EMPTY_ROOT

    def peaks(self, size: int) -> list[bytes]:
        """Roots of the complete subtrees of the tree of `size`, largest first: what `merkle.Frontier` begins with."""
        tree, peaks, begin = _Tree(self, size), [], 0
        for height in reversed(range(size.bit_length())):
            if size >> height & 1:
                peaks.append(tree.node(height, begin >> height))
                begin += 1 << height
        return peaks

    def inclusion_proof(self, index: int, size: int, *, within: int | None = None) -> list[bytes]:
        """Proof that entry `index` is in the tree of `size`: the leaf's sibling first."""
        assert 0 <= index < size, (index, size)
        tree, begin, end = _Tree(self, size if within is None else within), 0, size
        proof: list[bytes] = []
        while end - begin > 1:
            middle = begin + split(end - begin)
            if index < middle:
                proof.append(tree.root(middle, end))
                end = middle
            else:
                proof.append(tree.root(begin, middle))
                begin = middle
        return proof[::-1]

    def consistency_proof(self, old_size: int, new_size: int, *, within: int | None = None) -> list[bytes]:
        """Proof that the tree of `new_size` continues that of `old_size`. Source: RFC 6962 §2.1.2."""
        assert 0 <= old_size <= new_size, (old_size, new_size)
        if old_size in (0, new_size):
            return []
        tree, begin, end = _Tree(self, new_size if within is None else within), 0, new_size
        proof: list[bytes] = []
        while old_size < end:
            middle = begin + split(end - begin)
            if old_size <= middle:
                proof.append(tree.root(middle, end))
                end = middle
            else:
                proof.append(tree.root(begin, middle))
                begin = middle
        if begin:
            proof.append(tree.root(begin, end))
        return proof[::-1]

    def leaf_hashes(self, begin: int, end: int, size: int) -> list[bytes]:
        """Hashes of the entries `begin` to `end` (not included) as the level 0 tiles of the tree of `size` have them."""
        assert 0 <= begin <= end <= size, (begin, end, size)
        hashes: list[bytes] = []
        for index in range(begin // TILE_WIDTH, -(-end // TILE_WIDTH)):
            hashes += hashes_in(self.tile(0, index, width_at(0, index, size)))
        first = begin // TILE_WIDTH * TILE_WIDTH
        return hashes[begin - first : end - first]

    def entries(self, begin: int, end: int, size: int) -> list[bytes]:
        """The entries `begin` to `end` (not included) of the tree of `size`."""
        assert 0 <= begin <= end <= size, (begin, end, size)
        entries: list[bytes] = []
        for index in range(begin // TILE_WIDTH, -(-end // TILE_WIDTH)):
            entries += self.bundle(index, width_at(0, index, size))
        first = begin // TILE_WIDTH * TILE_WIDTH
        return entries[begin - first : end - first]

    def bundle(self, index: int, width: int) -> list[bytes]:
        """The first `width` entries of bundle `index`."""
        path, data = self._partial_or_full(entries_path(index, width), entries_path(index))
        entries = decode_bundle(data, path)
        if len(entries) != (TILE_WIDTH if path == entries_path(index) else width):
            raise Malformed(path, "has the wrong number of entries")
        return entries[:width]

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile, joined."""
        full = tile_path(level, index)
        kept = self._kept.get(full)
        if kept is None:
            path, kept = self._partial_or_full(tile_path(level, index, width), full)
            if len(kept) != HASH_SIZE * (TILE_WIDTH if path == full else width):
                raise Malformed(path, "has the wrong length")
            if self._keep and path == full:
                self._kept[full] = kept
                if len(self._kept) > self._keep:
                    self._kept.popitem(last=False)
        return kept[: HASH_SIZE * width]

    def _partial_or_full(self, path: str, full: str) -> tuple[str, bytes]:
        try:
            return path, self._read(path)
        except FileNotFoundError:
            if path == full:
                raise
            try:
                return full, self._read(full)
            except FileNotFoundError:
                raise FileNotFoundError(f"there is neither {path} nor {full}") from None


class _Tree:
    """One tree of `size` entries while one answer is computed: each tile is read once."""

    def __init__(self, reader: TileReader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._tiles: dict[tuple[int, int], bytes] = {}

    def root(self, begin: int, end: int) -> bytes:
        """Root of the subtree over the leaves `begin` to `end`, as the recursive definition cuts them."""
        count = end - begin
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            return self.node(height, begin >> height)
        middle = begin + split(count)
        return node_hash(self.root(begin, middle), self.root(middle, end))

    def node(self, height: int, index: int) -> bytes:
        """Root of the complete subtree number `index` of 2^height leaves."""
        level, rest = divmod(height, TILE_HEIGHT)
        first = index << rest
        number, offset = divmod(first, TILE_WIDTH)
        tile = self._tiles.get((level, number))
        if tile is None:
            tile = self._reader.tile(level, number, width_at(level, number, self._size))
            self._tiles[level, number] = tile
        return root_of(hashes_in(tile[HASH_SIZE * offset : HASH_SIZE * (offset + (1 << rest))]))


def hashes_in(tile: bytes) -> list[bytes]:
    """The hashes of a tile, one by one."""
    return [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]
