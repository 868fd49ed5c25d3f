"""Heads that people name: whether this log ever had them."""

from __future__ import annotations

from collections.abc import Callable

from counterfoil.errors import Unavailable
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.merkle import EMPTY_ROOT
from counterfoil.tlog.published import PublishedLog

ROOTS_MAX = 10_000
"""Roots remembered."""

IsHead = Callable[[int, bytes], bool]
"""Whether a size and root are a head of the log."""


class KnownHeads:
    """Answers from memory, else from the published tiles (some milliseconds). The empty log's head is always known."""

    def __init__(self, published: PublishedLog) -> None:
        self._published = published
        self._roots: dict[int, bytes] = {}

    def __call__(self, size: int, root: bytes) -> bool:
        """Whether the log's first `size` entries have this root. Raises Unavailable when its files cannot be read."""
        if size == 0:
            return root == EMPTY_ROOT
        known = self._roots.get(size)
        if known is None:
            known = self._root(size)
            if known is None:
                return False
            if len(self._roots) >= ROOTS_MAX:
                del self._roots[next(iter(self._roots))]
            self._roots[size] = known
        return known == root

    def _root(self, size: int) -> bytes | None:
        try:
            newest = self._published.checkpoint()
            if newest is None or size > (signed := Checkpoint.parse(newest.text).size):
                return None
            return self._published.reader.root(size, within=signed)
        except OSError as error:
            raise Unavailable(f"the log cannot be read: {error.strerror}") from error
