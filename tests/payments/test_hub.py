"""Telling those who listen: only them, only what they asked for, and nobody who does not read."""

from __future__ import annotations

import asyncio

from counterfoil.payments.hub import BUFFER_SIZE_MAX, MESSAGE_RECEIVED, NOTICE, Hub, Told


def event(number: int, kind: str = NOTICE) -> Told:
    return Told(kind, number, {"notice": str(number)})


async def test_a_listener_hears_what_is_its_own_in_order() -> None:
    hub = Hub()
    listener = hub.subscribe(1)
    for number, account in ((1, 1), (2, 9), (3, 1)):
        hub.publish(account, event(number))
    assert [await listener.next(), await listener.next()] == [event(1), event(3)]


async def test_a_listener_hears_only_the_types_that_it_asked_for() -> None:
    hub = Hub()
    listener = hub.subscribe(1, [MESSAGE_RECEIVED])
    hub.publish(1, event(1))
    hub.publish(1, event(2, MESSAGE_RECEIVED))
    assert await listener.next() == event(2, MESSAGE_RECEIVED)


async def test_two_devices_hear_the_same() -> None:
    hub = Hub()
    both = [hub.subscribe(1), hub.subscribe(1)]
    hub.publish(1, event(1))
    assert [await each.next() for each in both] == [event(1)] * 2
    both[0].close()
    hub.publish(1, event(2))
    assert await both[1].next() == event(2)


async def test_who_waits_is_woken_by_an_event_and_by_the_end() -> None:
    hub = Hub()
    listener = hub.subscribe(1)
    waiting = asyncio.create_task(listener.next())
    await asyncio.sleep(0)
    hub.publish(1, event(1))
    assert await waiting == event(1)
    waiting = asyncio.create_task(listener.next())
    await asyncio.sleep(0)
    listener.close()
    listener.close()
    assert await waiting is None
    assert not hub.accounts


async def test_who_does_not_read_is_cut_off_and_costs_nothing_more() -> None:
    hub = Hub()
    slow, other = hub.subscribe(1), hub.subscribe(2)
    for number in range(BUFFER_SIZE_MAX):
        hub.publish(1, event(number))
    assert set(hub.accounts) == {1, 2}
    hub.publish(1, event(BUFFER_SIZE_MAX))
    assert set(hub.accounts) == {2}
    assert await slow.next() is None
    hub.publish(2, event(0))
    assert await other.next() == event(0)
