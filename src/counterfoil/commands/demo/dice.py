"""Seeded chance: the same seed draws the same town, on every machine and in every version of Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws that follow from `seed` alone: SHA-256 in counter mode. Never for anything that must be secret outside a sandbox."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def bytes(self, count: int) -> bytes:
        parts = []
        for _ in range(-(-count // 32)):
            parts.append(hashlib.sha256(self._seed + self._count.to_bytes(8)).digest())
            self._count += 1
        return b"".join(parts)[:count]

    def below(self, bound: int) -> int:
        """0 to bound - 1. 128 bits are drawn, so that the bias for small bounds is beyond notice."""
        assert bound > 0, bound
        return int.from_bytes(self.bytes(16)) % bound

    def between(self, low: int, high: int) -> int:
        """low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of (item, weight), each as often as its weight says."""
        at = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            if at < weight:
                return item
            at -= weight
        raise AssertionError(at)
