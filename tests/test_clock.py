"""The machine's clock and randomness."""

from __future__ import annotations

import time

import pytest

from counterfoil.clock import NANOSECONDS, SystemClock


def test_the_time_is_nanoseconds_since_1970() -> None:
    before = int(time.time())
    now = SystemClock().now_ns()
    assert before * NANOSECONDS <= now <= (int(time.time()) + 1) * NANOSECONDS


def test_durations_never_run_backwards() -> None:
    clock = SystemClock()
    moments = [clock.monotonic_ns() for _ in range(1_000)]
    assert moments == sorted(moments)
    before = clock.monotonic_ns()
    time.sleep(0.01)
    assert 0.01 * NANOSECONDS <= clock.monotonic_ns() - before < 10 * NANOSECONDS


@pytest.mark.parametrize("count", [0, 1, 16, 32])
def test_random_bytes_are_as_many_as_asked(count: int) -> None:
    assert len(SystemClock().random_bytes(count)) == count


def test_random_bytes_differ_each_time() -> None:
    clock = SystemClock()
    assert len({clock.random_bytes(16) for _ in range(1_000)}) == 1_000
