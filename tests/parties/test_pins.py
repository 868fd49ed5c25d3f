"""PINs: counted before they are checked, locked with growing delay, the same for nobody, seen in no log."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest
import structlog
from argon2 import PasswordHasher
from sqlalchemy import select

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed, PinLocked, TooMany, Unavailable, WrongPin
from counterfoil.parties import pins as pins_module
from counterfoil.parties import tables
from counterfoil.parties.pin_brake import asked_from
from counterfoil.parties.pins import LOCK_S_MAX, LOCK_S_MIN, Pins
from tests.parties.conftest import PIN, Scheme


async def test_the_right_pin_is_right_however_often(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    for _ in range(8):
        await scheme.parties.pins.check(holder.party, PIN)


async def test_five_wrong_pins_lock_and_the_right_one_waits_too(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(WrongPin) as caught:
            await scheme.parties.pins.check(holder.party, "1111")
        assert caught.value.facts == {"attempts_left": left}
    with pytest.raises(PinLocked) as locked:
        await scheme.parties.pins.check(holder.party, PIN)
    assert 0 < locked.value.facts["locked_until"] - scheme.clock.now <= LOCK_S_MIN * NANOSECONDS
    scheme.clock.pass_seconds(LOCK_S_MIN - 1)
    with pytest.raises(PinLocked):
        await scheme.parties.pins.check(holder.party, PIN)
    scheme.clock.pass_seconds(2)
    await scheme.parties.pins.check(holder.party, PIN)
    with pytest.raises(WrongPin) as caught:  # and everything is forgiven
        await scheme.parties.pins.check(holder.party, "1111")
    assert caught.value.facts == {"attempts_left": 4}


async def test_each_further_wrong_pin_doubles_the_delay_up_to_a_day(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    delays = []
    for _ in range(14):
        with pytest.raises(WrongPin):
            await scheme.parties.pins.check(holder.party, "1111")
        try:
            await scheme.parties.pins.check(holder.party, PIN[::-1])
        except PinLocked as locked:
            delays.append(round((locked.facts["locked_until"] - scheme.clock.now) / NANOSECONDS))
            scheme.clock.pass_seconds(delays[-1] + 1)
        except WrongPin:
            continue
    assert delays == [min(LOCK_S_MIN * 2**n, LOCK_S_MAX) for n in range(12)]


async def test_many_guesses_at_once_get_five_chances(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    guesses = [f"{n:04}" for n in range(40)] + [PIN]
    outcomes = await asyncio.gather(*(scheme.parties.pins.check(holder.party, guess) for guess in guesses), return_exceptions=True)
    assert sum(isinstance(outcome, WrongPin) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, PinLocked) for outcome in outcomes) == 36


async def test_an_attempt_that_nobody_waits_for_counts(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    for _ in range(5):
        task = asyncio.create_task(scheme.parties.pins.check(holder.party, "1111"))
        await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with pytest.raises((PinLocked, WrongPin)):
        await scheme.parties.pins.check(holder.party, "2222")
    with pytest.raises(PinLocked):
        await scheme.parties.pins.check(holder.party, PIN)


async def test_nobodys_pin_is_wrong_locks_and_takes_as_long(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    pins = Pins(scheme.store, scheme.clock, hasher=PasswordHasher(time_cost=2, memory_cost=8_192, parallelism=1))
    await pins.set(holder.party, PIN, by=None)
    times: dict[int | None, list[float]] = {None: [], holder.party: []}
    for round_ in range(12):
        for party, measured in times.items():
            started = time.perf_counter()
            with pytest.raises(WrongPin):
                await pins.check(party, "1111", address=f"+2547{round_}")
            measured.append(time.perf_counter() - started)
        await pins.check(holder.party, PIN)
    known, nobody = statistics.median(times[holder.party]), statistics.median(times[None])
    assert 0.5 < known / nobody < 2, (known, nobody)
    for _ in range(5):
        with pytest.raises(WrongPin):
            await pins.check(None, PIN, address="+254700000000")
    with pytest.raises(PinLocked):
        await pins.check(None, PIN, address="+254700000000")
    pins.close()


async def test_sign_in_says_the_same_for_a_wrong_address_and_a_wrong_pin(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone(), "+254712345678")
    assert (await scheme.parties.sign_in("0712345678", PIN)).id == holder.party
    staff = await scheme.staff()
    await scheme.parties.pins.set(staff.id, PIN, by=None)
    assert (await scheme.parties.sign_in(f"@{staff.handle}", PIN)).id == staff.id
    for address in ("0712345678", "0712345679", "@nobody_here", "no address at all", ""):
        with pytest.raises(WrongPin) as caught:
            await scheme.parties.sign_in(address, "1111")
        assert caught.value.facts == {"attempts_left": 4}


async def test_without_a_pin_every_pin_is_wrong(scheme: Scheme) -> None:
    staff = await scheme.staff()
    for pin in ("", PIN, "\ud800", "1" * 1_000_000, "١٢٣٤"):
        with pytest.raises(WrongPin):
            await scheme.parties.pins.check(staff.id, pin)


async def test_a_new_pin_needs_the_old_one_and_ends_it(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    with pytest.raises(WrongPin):
        await scheme.parties.pins.change(holder.party, "1111", "9753")
    with pytest.raises(Malformed):
        await scheme.parties.pins.change(holder.party, PIN, "1111")
    await scheme.parties.pins.change(holder.party, PIN, "9753")
    await scheme.parties.pins.check(holder.party, "9753")
    with pytest.raises(WrongPin):
        await scheme.parties.pins.check(holder.party, PIN)


async def test_too_many_at_once_are_told_so(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = await scheme.customer(scheme.phone())
    monkeypatch.setattr(pins_module, "WAITING_MAX", 0)
    for _ in range(6):
        with pytest.raises(TooMany):
            await scheme.parties.pins.check(holder.party, PIN)
    monkeypatch.undo()
    await scheme.parties.pins.check(holder.party, PIN)  # none of them counted
    scheme.parties.close()
    with pytest.raises(Unavailable):
        await scheme.parties.pins.check(holder.party, PIN)


async def test_a_right_pin_in_a_crowd_is_looked_at_or_not_counted(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    """All arrive before the first is looked at: nobody with the right PIN comes nearer to a lock because many ask."""
    people = [(await scheme.customer(scheme.phone())).party for _ in range(7)]
    monkeypatch.setattr(pins_module, "WAITING_MAX", 4)
    found = await asyncio.gather(*(scheme.parties.pins.check(party, PIN) for party in people), return_exceptions=True)
    assert [type(each) for each in found] == [type(None)] * 4 + [TooMany] * 3
    for party in people:
        with pytest.raises(WrongPin) as wrong:
            await scheme.parties.pins.check(party, "1111")
        assert wrong.value.facts == {"attempts_left": 4}, party


async def test_a_pin_is_in_no_log_no_table_and_no_error(scheme: Scheme, tmp_path: Path) -> None:
    pin = "86420975"
    holder = await scheme.customer(scheme.phone())
    with structlog.testing.capture_logs() as logs:
        await scheme.parties.pins.set(holder.party, pin, by=None)
        await scheme.parties.pins.check(holder.party, pin)
        with pytest.raises(WrongPin) as wrong:
            await scheme.parties.pins.check(holder.party + 1, pin)
    assert pin not in str(logs) + repr(wrong.value) + repr(wrong.value.facts)
    for file in tmp_path.iterdir():
        assert pin.encode() not in file.read_bytes(), file
    kept = await scheme.store.read(lambda connection: connection.execute(select(tables.pins.c.hash)).scalar_one())
    assert kept.startswith("$argon2id$")


async def test_old_guesses_at_nobody_are_forgotten_and_locks_of_people_are_not(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    for party in (holder.party, None):
        with pytest.raises(WrongPin):
            await scheme.parties.pins.check(party, "1111", address="x")
    assert await scheme.parties.pins.forget_old_attempts() == 0
    scheme.clock.pass_seconds(8 * 24 * 3600)
    assert await scheme.parties.pins.forget_old_attempts() == 1
    with pytest.raises(WrongPin) as caught:
        await scheme.parties.pins.check(holder.party, "1111")
    assert caught.value.facts == {"attempts_left": 3}


async def tried(scheme: Scheme, party: int, pin: str, channel: str) -> None:
    with asked_from(channel, "one"):
        await scheme.parties.pins.check(party, pin)


@pytest.mark.parametrize("channel", ["web", "sms"])
async def test_whoever_types_anothers_number_does_not_lock_their_telephone(scheme: Scheme, channel: str) -> None:
    """One wrong PIN a day on a page, or in a text in somebody's name, would otherwise keep them from their money for good."""
    victim = (await scheme.customer(scheme.phone())).party
    for _ in range(5):
        with pytest.raises(WrongPin):
            await tried(scheme, victim, "1111", channel)
    for other in ("web", "sms"):
        with pytest.raises(PinLocked):
            await tried(scheme, victim, PIN, other)
    await tried(scheme, victim, PIN, "ussd")
    await scheme.parties.pins.check(victim, PIN)
    with pytest.raises(PinLocked):
        await tried(scheme, victim, PIN, channel)  # a right one by telephone gives strangers no new tries


async def test_whoever_has_the_sim_does_not_lock_pages(scheme: Scheme) -> None:
    victim = (await scheme.customer(scheme.phone())).party
    for _ in range(5):
        with pytest.raises(WrongPin):
            await tried(scheme, victim, "1111", "ussd")
    with pytest.raises(PinLocked):
        await tried(scheme, victim, PIN, "ussd")
    await tried(scheme, victim, PIN, "web")
    with pytest.raises(PinLocked):
        await tried(scheme, victim, PIN, "ussd")


async def test_a_new_pin_unlocks_every_channel(scheme: Scheme) -> None:
    victim = (await scheme.customer(scheme.phone())).party
    for channel in ("web", "ussd"):
        for _ in range(5):
            with pytest.raises(WrongPin):
                await tried(scheme, victim, "1111", channel)
    await scheme.parties.pins.set(victim, "86420", by=None)
    for channel in ("web", "ussd"):
        await tried(scheme, victim, "86420", channel)
