"""The only clock and the only randomness.

Everything that needs the time or a random number is given a `Clock`, so a test can hold time still, jump it
backwards, or replay a town from a seed.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""


class Clock(Protocol):
    """Wall-clock time and randomness."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z. May jump backwards: never build an order on it."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed moment. Never goes backwards: for durations and deadlines."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        ...


class SystemClock:
    """The machine's clock and the kernel's randomness."""

    # The functions themselves: a payment asks for the time five times.
    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)
