"""Slowing down whoever guesses: a token bucket for each key, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import TooMany

KEYS_MAX = 50_000
"""Keys remembered at once (about 10 MB); beyond it the one unused for longest is forgotten."""


class Throttle:
    """Allows each key `burst` events at once, and `per_minute` in the long run. For the event loop's thread only."""

    def __init__(self, clock: Clock, *, burst: int, per_minute: int, keys_max: int = KEYS_MAX) -> None:
        assert burst > 0, burst
        assert per_minute > 0, per_minute
        self._clock = clock
        self._burst_ns = burst * 60 * NANOSECONDS // per_minute
        self._event_ns = 60 * NANOSECONDS // per_minute
        self._keys_max = keys_max
        self._full_at: OrderedDict[Hashable, int] = OrderedDict()

    def spend(self, key: Hashable) -> None:
        """Counts one event of `key`; raises TooMany, with the seconds to wait, when there is none left. Then nothing is counted."""
        self.check(key)
        now = self._clock.monotonic_ns()
        self._full_at[key] = max(self._full_at.get(key, 0), now) + self._event_ns
        self._full_at.move_to_end(key)
        while len(self._full_at) > self._keys_max:
            self._full_at.popitem(last=False)

    def check(self, key: Hashable) -> None:
        """Raises TooMany when `key` has no event left; counts nothing."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return
        wait = full_at + self._event_ns - self._burst_ns - self._clock.monotonic_ns()
        if wait > 0:
            raise TooMany(retry_after_s=-(-wait // NANOSECONDS))

    def __len__(self) -> int:
        return len(self._full_at)
