"""Slowing down whoever guesses."""

from __future__ import annotations

import pytest

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import TooMany, UnknownDevice, WrongSignature
from counterfoil.web.guesses import UNKNOWN_PER_MINUTE, WRONG_SIGNATURES_PER_MINUTE, Guesses
from counterfoil.web.throttle import Throttle, counted_as


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 5

    def now_ns(self) -> int:
        raise AssertionError("the wall clock may jump")

    def monotonic_ns(self) -> int:
        return self.now

    def random_bytes(self, count: int) -> bytes:
        raise AssertionError(count)


def test_a_burst_is_allowed_and_then_one_at_a_time() -> None:
    clock = Clock()
    throttle = Throttle(clock, burst=3, per_minute=6)
    for _ in range(3):
        throttle.spend("a")
    with pytest.raises(TooMany) as caught:
        throttle.spend("a")
    assert caught.value.facts["retry_after_s"] == 10
    throttle.spend("b")
    clock.now += 10 * NANOSECONDS
    throttle.spend("a")
    with pytest.raises(TooMany):
        throttle.check("a")
    clock.now += 3600 * NANOSECONDS
    for _ in range(3):
        throttle.spend("a")
    with pytest.raises(TooMany):
        throttle.spend("a")


def test_a_refused_event_costs_nothing() -> None:
    clock = Clock()
    throttle = Throttle(clock, burst=1, per_minute=60)
    throttle.spend("a")
    for _ in range(100):
        with pytest.raises(TooMany):
            throttle.spend("a")
    clock.now += NANOSECONDS
    throttle.check("a")


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    throttle = Throttle(Clock(), burst=1, per_minute=1, keys_max=10)
    for key in range(1_000):
        throttle.spend(key)
    assert len(throttle) == 10
    throttle.spend(1)
    with pytest.raises(TooMany):
        throttle.check(999)


def test_wrong_signatures_block_that_device_from_that_address_only() -> None:
    guesses = Guesses(Clock())
    for _ in range(WRONG_SIGNATURES_PER_MINUTE):
        guesses.check("1.2.3.4", "phone")
        guesses.count("1.2.3.4", "phone", WrongSignature())
    with pytest.raises(TooMany):
        guesses.check("1.2.3.4", "phone")
    guesses.check("5.6.7.8", "phone")  # its owner, elsewhere
    guesses.check("1.2.3.4", "another")


def test_unknown_devices_block_the_address() -> None:
    guesses = Guesses(Clock())
    for number in range(UNKNOWN_PER_MINUTE):
        guesses.count("1.2.3.4", f"phone {number}", UnknownDevice())
    with pytest.raises(TooMany):
        guesses.check("1.2.3.4", "a known phone")
    guesses.check("5.6.7.8", "a known phone")


@pytest.mark.parametrize(
    ("ip", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_one_home_has_all_addresses_of_its_network(ip: str, whose: str) -> None:
    assert counted_as(ip) == whose
