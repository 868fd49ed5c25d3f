"""Merkle trees: one hash stands for all entries in their order. Source: RFC 6962 §2.1, RFC 9162 §2.1.3."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from counterfoil_verify.report import Refuted

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: enough to append and to know the root. Memory grows with log2(size)."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        before, edge = self.size, self._edge
        self.size += 1
        while before & 1:
            leaf = sha256(b"\1" + edge.pop() + leaf).digest()
            before >>= 1
        edge.append(leaf)

    def root(self) -> bytes:
        if not self._edge:
            return EMPTY_ROOT
        root = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            root = node_hash(left, root)
        return root


def check_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Refuted unless `proof` (leaf's sibling first) leads from `leaf` at `index` to the `root` of `size` entries."""
    if not 0 <= index < size or len(leaf) != 32:
        raise Refuted(f"entry {index} cannot be in a log of {size} entries")
    position, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != 32:
            raise Refuted("the inclusion proof is too long, or not made of 32-byte hashes")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or found != root:
        raise Refuted("the inclusion proof does not lead to the root that the witnesses signed: the entry is not in the log")
