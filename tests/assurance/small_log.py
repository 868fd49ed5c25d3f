"""A log of any history, small enough to keep in a list, whose operator signs what he likes: also two histories."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from nacl.signing import SigningKey

from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.checkpoint import sign as sign_checkpoint
from counterfoil.tlog.merkle import EMPTY_ROOT
from counterfoil.tlog.note import COSIGNATURE, ED25519, Note, Signer

ORIGIN = "money.example/log"


def key(name: str) -> SigningKey:
    """A private key that follows from a name."""
    return SigningKey(hashlib.sha256(name.encode()).digest())


def log_signer(origin: str = ORIGIN) -> Signer:
    return Signer(origin, key(f"log {origin}"), ED25519)


def witness_signer(name: str = "witness.example/w1") -> Signer:
    return Signer(name, key(name), COSIGNATURE)


class SmallLog:
    """Leaves are hashes of `story` and their number: two logs agree as far as they were given the same leaves."""

    def __init__(self, size: int = 0, *, story: str = "true", origin: str = ORIGIN, leaves: Sequence[bytes] = ()) -> None:
        self.origin = origin
        self.signer = log_signer(origin)
        self.leaves = list(leaves)
        self.story = story
        self.grow(size)

    def grow(self, size: int) -> None:
        """Has `size` entries from here on."""
        self.leaves += [hashlib.sha256(f"{self.story} {index}".encode()).digest() for index in range(len(self.leaves), size)]

    def fork(self, *, at: int, story: str) -> SmallLog:
        """Another history: the same up to `at`, then as long as this one, and different."""
        other = SmallLog(story=story, origin=self.origin, leaves=self.leaves[:at])
        other.grow(len(self.leaves))
        return other

    def root(self, size: int) -> bytes:
        return _root(self.leaves[:size])

    def head(self, size: int | None = None, *, signer: Signer | None = None) -> Note:
        size = len(self.leaves) if size is None else size
        return sign_checkpoint(Checkpoint(self.origin, size, self.root(size)), signer or self.signer)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """PROOF(old, D[new]). Source: RFC 6962 §2.1.2."""
        return _subproof(old, self.leaves[:new], complete=True) if 0 < old < new else []

    def request(self, old: int, size: int | None = None, *, signer: Signer | None = None) -> bytes:
        """What this log sends to a witness whose last size is `old`."""
        size = len(self.leaves) if size is None else size
        return body(old, self.consistency(old, size), self.head(size, signer=signer).encode())


def body(old: object, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """A request, written by hand: independent of what the product writes."""
    lines = b"".join(base64.b64encode(node) + b"\n" for node in proof)
    return f"old {old}\n".encode() + lines + b"\n" + checkpoint


def hash_pair(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = _middle(len(leaves))
    return hash_pair(_root(leaves[:middle]), _root(leaves[middle:]))


def _middle(size: int) -> int:
    middle = 1
    while middle * 2 < size:
        middle *= 2
    return middle


def _subproof(old: int, leaves: Sequence[bytes], *, complete: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if complete else [_root(leaves)]
    middle = _middle(len(leaves))
    if old <= middle:
        return [*_subproof(old, leaves[:middle], complete=complete), _root(leaves[middle:])]
    return [*_subproof(old - middle, leaves[middle:], complete=False), _root(leaves[:middle])]
