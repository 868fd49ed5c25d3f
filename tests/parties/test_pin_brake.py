"""PINs guessed across numbers: a place that guesses is slowed, and whoever gives right ones there notices nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from structlog.testing import capture_logs

from counterfoil.errors import PinLocked, TooMany, WrongPin
from counterfoil.parties import pin_brake
from counterfoil.parties.pin_brake import (
    BRAKE_S,
    PLACES_MAX,
    RIGHT_FOR_WRONG,
    SLOW_PER_MINUTE,
    WRONG_LATELY_S,
    WRONG_PER_CHANNEL,
    WRONG_PER_PLACE,
    PinBrake,
    Place,
    asked_from,
    place,
)
from tests.parties.conftest import PIN, Scheme, StillClock

GATEWAY = Place("ussd", "kannel")


async def guess(scheme: Scheme, party: int | None, pin: str = "1111", *, address: str = "", by: Place = GATEWAY) -> None:
    with asked_from(*by):
        await scheme.parties.pins.check(party, pin, address=address)


async def spray(scheme: Scheme, count: int, *, by: Place = GATEWAY, prefix: str = "x") -> None:
    """Wrong PINs of `count` people whom nobody knows, one each."""
    for number in range(count):
        with pytest.raises(WrongPin):
            await guess(scheme, None, address=f"{prefix}{number}", by=by)


async def someone(scheme: Scheme) -> int:
    return (await scheme.customer(scheme.phone())).party


async def test_the_place_is_that_of_the_innermost_caller_and_of_all_it_starts() -> None:
    assert place() is None
    with asked_from("web", "192.0.2.1"):
        with asked_from("ussd", "kannel"):
            assert place() == GATEWAY
            assert await asyncio.create_task(_place()) == GATEWAY
        assert place() == Place("web", "192.0.2.1")
    assert place() is None


async def _place() -> Place | None:
    return place()


async def test_a_few_wrong_pins_slow_nobody(scheme: Scheme) -> None:
    await spray(scheme, WRONG_PER_PLACE)
    await guess(scheme, await someone(scheme), PIN)
    assert scheme.parties.pins.brake.places_on == 0


async def test_spraying_is_slowed_and_whoever_gave_a_right_pin_there_goes_on(scheme: Scheme) -> None:
    regular, mistyped, other = await someone(scheme), await someone(scheme), await someone(scheme)
    await guess(scheme, regular, PIN)
    with pytest.raises(WrongPin):
        await guess(scheme, mistyped)
    with capture_logs() as logs:
        await spray(scheme, WRONG_PER_PLACE)
    assert [(line["event"], line["channel"], line["place"]) for line in logs] == [("pins_guessed", "ussd", "kannel")]
    brake = scheme.parties.pins.brake
    assert brake.places_on == 1
    with pytest.raises(TooMany) as caught:
        await guess(scheme, mistyped, PIN)
    assert caught.value.facts["retry_after_s"] == 60
    for _ in range(3):
        await guess(scheme, regular, PIN)
    with pytest.raises(WrongPin):
        await guess(scheme, regular)
    await guess(scheme, regular, PIN)  # their own mistake is still their own
    await guess(scheme, mistyped, PIN, by=Place("ussd", "another"))  # and nobody is held up elsewhere
    await guess(scheme, other, PIN)  # new here: one of the few that are looked at
    refused = brake.refused
    outcomes = [await _outcome(guess(scheme, None, address=f"late {number}")) for number in range(SLOW_PER_MINUTE + 1)]
    assert set(outcomes) == {WrongPin, TooMany}
    assert outcomes[-1] is TooMany
    assert brake.refused == refused + outcomes.count(TooMany)
    assert brake.wrong_by_channel["ussd"] <= WRONG_PER_PLACE + 2 + SLOW_PER_MINUTE


async def _outcome(attempt: Awaitable[None]) -> type[Exception]:
    with pytest.raises((WrongPin, TooMany)) as caught:
        await attempt
    return caught.type


async def test_what_is_not_looked_at_is_not_counted_against_its_owner(scheme: Scheme) -> None:
    victim = await someone(scheme)
    with pytest.raises(WrongPin):
        await guess(scheme, victim)
    await spray(scheme, WRONG_PER_PLACE)
    for _ in range(20):
        with pytest.raises(TooMany):
            await guess(scheme, victim)
    await scheme.parties.pins.check(victim, PIN)  # on their own device: no lock, no brake


async def test_a_locked_pin_says_that_it_is_locked(scheme: Scheme) -> None:
    victim = await someone(scheme)
    for _ in range(5):
        with pytest.raises(WrongPin):
            await guess(scheme, victim)
    await spray(scheme, WRONG_PER_PLACE)
    with pytest.raises(PinLocked):
        await guess(scheme, victim)


async def test_the_brake_comes_off_by_itself(scheme: Scheme) -> None:
    mistyped = await someone(scheme)
    await spray(scheme, WRONG_PER_PLACE)
    with pytest.raises(WrongPin):
        await guess(scheme, mistyped)
    assert scheme.parties.pins.brake.places_on == 1
    scheme.clock.pass_seconds(BRAKE_S + 1)
    assert scheme.parties.pins.brake.places_on == 0
    await guess(scheme, mistyped, PIN)


async def test_a_wrong_pin_of_long_ago_is_not_held_against_anybody(scheme: Scheme) -> None:
    mistyped = await someone(scheme)
    with pytest.raises(WrongPin):
        await guess(scheme, mistyped)
    scheme.clock.pass_seconds(WRONG_LATELY_S)
    await spray(scheme, WRONG_PER_PLACE + 1)
    await guess(scheme, mistyped, PIN)


def test_many_addresses_of_one_channel_are_one_guesser() -> None:
    brake = PinBrake(StillClock())
    for number in range(WRONG_PER_CHANNEL + 1):
        brake.was_wrong(Place("web", f"192.0.2.{number}"))
    assert brake.places_on == 1
    assert brake.holds(Place("web", "198.51.100.9"), 1)
    assert not brake.holds(Place("ussd", "kannel"), 1)


def test_of_those_without_a_right_one_a_few_are_looked_at_in_each_minute() -> None:
    clock = StillClock()
    brake = PinBrake(clock)
    for _ in range(WRONG_PER_PLACE + 1):
        brake.was_wrong(GATEWAY)
    for minute in range(3):
        for person in range(SLOW_PER_MINUTE):
            assert brake.holds(GATEWAY, 100 * minute + person)
        with pytest.raises(TooMany):
            brake.holds(GATEWAY, 99)
        brake.not_looked_at(GATEWAY)
        assert brake.holds(GATEWAY, 99)
        clock.pass_seconds(60)


def test_a_busy_place_with_its_share_of_mistakes_is_no_guesser() -> None:
    brake = PinBrake(StillClock())
    for number in range(RIGHT_FOR_WRONG * 200):
        brake.was_right(GATEWAY, number)
        if number % RIGHT_FOR_WRONG == RIGHT_FOR_WRONG - 1:
            brake.was_wrong(GATEWAY)
    assert brake.places_on == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin_brake, "RIGHT_MAX", 100)
    monkeypatch.setattr(pin_brake, "PLACES_MAX", 50)
    brake = PinBrake(StillClock())
    for number in range(1_000):
        brake.was_right(Place("web", str(number)), number)
        brake.was_wrong(Place("web", str(number)))
    assert len(brake._right) == 100
    assert (Place("web", "999"), 999) in brake._right
    brake.was_right(Place("web", "900"), 900)
    for number in range(2_000, 2_000 + 99):
        brake.was_right(Place("web", str(number)), number)
    assert (Place("web", "900"), 900) in brake._right, "who was here lately is remembered longest"
    assert len(brake._counts) == 50
    assert PLACES_MAX == 20_000


async def test_who_is_not_looked_at_takes_no_place_from_others(scheme: Scheme) -> None:
    mistyped, locked = await someone(scheme), await someone(scheme)
    with pytest.raises(WrongPin):
        await guess(scheme, mistyped)
    for _ in range(5):
        with pytest.raises(WrongPin):
            await guess(scheme, locked, by=Place("ussd", "another"))
    await spray(scheme, WRONG_PER_PLACE)
    for _ in range(SLOW_PER_MINUTE):
        with pytest.raises(TooMany):
            await guess(scheme, mistyped)
        with pytest.raises(PinLocked):
            await guess(scheme, locked)
    await guess(scheme, await someone(scheme), PIN)
