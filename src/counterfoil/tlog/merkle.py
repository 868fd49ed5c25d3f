"""The Merkle tree: hashes, roots, and whether a proof of inclusion or of consistency holds. Pure.

    leaf_hash = SHA256(0x00 || data)        node_hash = SHA256(0x01 || left || right)        empty root = SHA256("")

Source: RFC 6962 §2.1 (trees and proofs), RFC 9162 §2.1.3.2 and §2.1.4.2 (how to verify them).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from counterfoil.errors import Malformed
from counterfoil.tlog.types import NotProven

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root of the tree over `leaf_hashes`, by the recursive definition: the left half is the largest power of two below the size."""
    if not leaf_hashes:
        return EMPTY_ROOT
    return _range_root(leaf_hashes, 0, len(leaf_hashes))


def _range_root(hashes: Sequence[bytes], begin: int, end: int) -> bytes:
    if end - begin == 1:
        return hashes[begin]
    middle = begin + split(end - begin)
    return node_hash(_range_root(hashes, begin, middle), _range_root(hashes, middle, end))


def split(size: int) -> int:
    """Leaves of the left half of a tree of `size` leaves: the largest power of two below `size`, which is at least 2."""
    assert size >= 2, size
    return 1 << ((size - 1).bit_length() - 1)


class Frontier:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first. Appending costs two hashes on average."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        """Leaves so far."""
        self._peaks = list(peaks)
        assert len(self._peaks) == size.bit_count(), (size, len(self._peaks))

    def append(self, leaf_hash: bytes) -> None:
        """Adds one leaf."""
        size, node, peaks = self.size, leaf_hash, self._peaks
        while size & 1:
            node = sha256(b"\1" + peaks.pop() + node).digest()
            size >>= 1
        peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node

    def copy(self) -> Frontier:
        """A frontier that grows on its own from here."""
        return Frontier(self.size, self._peaks)

    def encode(self) -> bytes:
        """u64 size || the subtrees' roots, largest first: at most 2 kB."""
        return self.size.to_bytes(8) + b"".join(self._peaks)

    @classmethod
    def decode(cls, data: bytes) -> Frontier:
        """What `encode` wrote; Malformed otherwise. That the hashes belong to the tree has to be checked by its root."""
        size = int.from_bytes(data[:8])
        if len(data) != 8 + HASH_SIZE * size.bit_count():
            raise Malformed("frontier", "must be a u64 size and one hash for each bit set in it")
        return cls(size, (data[at : at + HASH_SIZE] for at in range(8, len(data), HASH_SIZE)))


def verify_inclusion(*, index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Returns when `proof` (leaf's sibling first) shows that leaf `index` of the tree of `size` leaves and `root` has `leaf_hash`.

    NotProven otherwise. Source: RFC 9162 §2.1.3.2.
    """
    if not 0 <= index < size:
        raise NotProven(f"there is no entry {index} in a log of {size} entries")
    _check_hashes(leaf_hash, root, *proof)
    here, last, node = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise NotProven("the inclusion proof is too long")
        if here & 1 or here == last:
            node = node_hash(sibling, node)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise NotProven("the inclusion proof is too short")
    if node != root:
        raise NotProven(f"entry {index} is not in the log of {size} entries with this root")


def verify_consistency(*, old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Returns when `proof` shows that the tree of `new_size` leaves only adds to the one of `old_size`.

    NotProven otherwise. The empty tree is the beginning of every tree, by an empty proof; so is each tree of itself.
    Source: RFC 9162 §2.1.4.2.
    """
    if not 0 <= old_size <= new_size:
        raise NotProven(f"the log shrank from {old_size} to {new_size} entries")
    _check_hashes(old_root, new_root, *proof)
    if old_size in (0, new_size):
        if proof:
            raise NotProven("the consistency proof must be empty")
        if old_size == new_size and old_root != new_root:
            raise NotProven(f"two roots for the same {new_size} entries")
        if old_size == 0 and old_root != EMPTY_ROOT:
            raise NotProven("a log without entries has another root")
        return
    if not proof:
        raise NotProven("the consistency proof is empty")
    here, last = old_size - 1, new_size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    nodes = iter(proof)
    # A tree of a power of two leaves is a subtree of the new one, and its root needs no repetition.
    old_node = new_node = old_root if old_size & (old_size - 1) == 0 else next(nodes)
    for sibling in nodes:
        if last == 0:
            raise NotProven("the consistency proof is too long")
        if here & 1 or here == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise NotProven("the consistency proof is too short")
    if old_node != old_root or new_node != new_root:
        raise NotProven(f"the log of {new_size} entries does not continue the one of {old_size}")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_SIZE for each in hashes):
        raise NotProven(f"a hash is not {HASH_SIZE} bytes")
