"""The cache: it answers what the store says, stays small, and forgets what was changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from counterfoil.errors import Malformed, PartyNotFound
from counterfoil.parties import directory as directory_module
from counterfoil.parties.directory import Directory
from counterfoil.parties.types import Limits
from tests.parties.conftest import PIN, Scheme, StillClock, scheme_in


async def test_the_second_look_asks_no_store(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = scheme.phone()
    holder = await scheme.customer(phone)
    await scheme.parties.resolve(holder.number or "")
    await scheme.parties.device(phone.id)
    monkeypatch.setattr(scheme.store, "read", None)
    assert await scheme.parties.resolve(holder.number or "") == holder
    assert scheme.parties.directory.found_holder(holder.account) == holder
    found = scheme.parties.directory.found_device(phone.id)
    assert found is not None
    assert found.public_key == phone.public_key


async def test_memory_is_bounded_and_everybody_is_still_found(tmp_path: Path) -> None:
    async with scheme_in(tmp_path, StillClock(), holders_max=3) as scheme:
        holders = [await scheme.customer(scheme.phone()) for _ in range(8)]
        for _ in range(2):
            for holder in holders:
                assert await scheme.parties.resolve(holder.number or "") == holder
        directory = scheme.parties.directory
        assert [len(cache.values) for cache in (directory._holders, directory._addresses)] == [3, 3]
        assert sum(len(keys) for keys in directory._holders._keys.values()) == 3
        directory.forget(*(holder.party for holder in holders))
        assert (directory._holders.values, directory._holders._keys, directory._holders._parties) == ({}, {}, {})


async def test_a_change_by_a_caller_who_goes_away_is_seen(scheme: Scheme) -> None:
    holder = await scheme.customer(scheme.phone())
    task = asyncio.create_task(scheme.parties.staff.set_own_limits(holder.party, Limits(per_payment=7)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.gather(*scheme.parties.directory._changes, return_exceptions=True)
    assert (await scheme.parties.holder(holder.account)).limits.per_payment == 7


async def test_what_was_read_before_a_change_is_not_remembered_after_it(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = await scheme.customer(scheme.phone())
    directory: Directory = scheme.parties.directory
    directory.forget()
    load = directory_module._load_holder

    def change_meanwhile(connection: object, account: int) -> object:
        found = load(connection, account)  # type: ignore[arg-type]
        directory.forget(holder.party)
        return found

    monkeypatch.setattr(directory_module, "_load_holder", change_meanwhile)
    assert await scheme.parties.holder(holder.account) == holder
    assert directory.found_holder(holder.account) is None


async def test_nobody_is_nobody(scheme: Scheme) -> None:
    for address in ("+254712000000", "@nobody_here", "1234561"):
        with pytest.raises((PartyNotFound, Malformed)):
            await scheme.parties.resolve(address)
    with pytest.raises(Malformed):
        await scheme.parties.resolve("nobody")
    with pytest.raises(PartyNotFound):
        await scheme.parties.holder(77)
    assert await scheme.parties.device(77) is None


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    clock = StillClock()
    async with scheme_in(tmp_path, clock) as scheme:
        phone = scheme.phone()
        holder = await scheme.customer(phone)
    async with scheme_in(tmp_path, clock) as again:
        assert await again.parties.resolve(holder.number or "") == holder
        await again.parties.pins.check(holder.party, PIN)
        device = await again.parties.device(phone.id)
        assert device is not None
        assert device.public_key == phone.public_key
