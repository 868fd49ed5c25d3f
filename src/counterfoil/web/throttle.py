"""Slowing down whoever guesses: a token bucket for each key, in bounded memory."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import TooMany

KEYS_MAX = 50_000
"""Keys remembered at once (about 10 MB); beyond it the one unused for longest is forgotten."""


def counted_as(ip: str) -> str:
    """Whose requests count together: an IPv4 address; of an IPv6 address its network of 64 bits, all of which anybody may have.

    What is no address stays as it is.
    """
    if ":" not in ip:
        return ip
    try:
        address = ipaddress.IPv6Address(ip.partition("%")[0])
    except ValueError:
        return ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


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
        wait = self._wait_ns(key)
        if wait > 0:
            raise TooMany(retry_after_s=-(-wait // NANOSECONDS))

    def has_room(self, key: Hashable) -> bool:
        """Whether `key` has an event left; counts nothing."""
        return self._wait_ns(key) <= 0

    def _wait_ns(self, key: Hashable) -> int:
        full_at = self._full_at.get(key)
        return 0 if full_at is None else full_at + self._event_ns - self._burst_ns - self._clock.monotonic_ns()

    def __len__(self) -> int:
        return len(self._full_at)
