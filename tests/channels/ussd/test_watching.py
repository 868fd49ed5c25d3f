"""Watchers by USSD alone: chosen, asked, told of what moves, taken away and told for the delay; and what a wrong key or PIN does not do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from counterfoil.i18n import Language
from counterfoil.parties.tables import notices
from counterfoil.parties.watchers import Watcher, WatcherState
from tests.channels.ussd.phone import Phone
from tests.scheme import Person, Scheme, opened

PIN = "2580"
PATIENCE_S = 60
ACCOUNT, WATCHERS = "7", "4"
MINE, CHOOSE, WATCHED = "1", "2", "3"


async def told(scheme: Scheme, person: Person) -> list[str]:
    """What kinds of texts somebody was sent about movements of another, oldest first."""
    query = select(notices.c.kind).where(notices.c.number == person.address, notices.c.kind.like("watched_%"))
    query = query.order_by(notices.c.created_at, notices.c.id)
    return await scheme.services.store.read(lambda connection: list(connection.execute(query).scalars()))


async def hears(scheme: Scheme, person: Person, *kinds: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await told(scheme, person) != [*kinds]:
            await asyncio.sleep(0.01)


async def only(scheme: Scheme, person: Person) -> Watcher:
    [watcher] = await scheme.services.parties.watchers.of(person.party)
    return watcher


async def phones(scheme: Scheme, *, whole: bool = True) -> tuple[Person, Phone, Person, Phone]:
    """Ama, who chooses, and Kofi, who watches."""
    ama, kofi = await scheme.simple_phone("Ama Mensah", funds=50_000), await scheme.simple_phone("Kofi Boateng")
    return ama, Phone(scheme.services.ussd, ama.address, whole=whole), kofi, Phone(scheme.services.ussd, kofi.address, whole=whole)


@pytest.mark.asyncio
@pytest.mark.parametrize(("code", "whole"), [("en", True), ("ko", False), ("fr", True)])
async def test_somebody_is_chosen_told_taken_away_and_told_until_the_delay_is_over(tmp_path: Path, code: str, whole: bool) -> None:
    words = Language(code)
    async with opened(tmp_path / "scheme", languages=("en", "ko", "fr")) as scheme:
        watchers, shop = scheme.services.parties.watchers, await scheme.merchant("Corner shop")
        ama, hers, kofi, his = await phones(scheme, whole=whole)
        for each in (ama, kofi):
            await scheme.services.parties.enrolment.set_language(each.party, code)

        # The name is shown before the PIN, and a wrong one asks nobody
        assert "Kofi Boateng" in await hers.go(ACCOUNT, WATCHERS, CHOOSE, kofi.address)
        await hers.type("1357")
        assert await watchers.of(ama.party) == []
        assert words.text("%(name)s was asked, and has not answered.", name="Kofi Boateng")[:20] in await hers.type(PIN)
        assert (await only(scheme, ama)).state is WatcherState.ASKED
        await hers.ussd.answer(hers.hop())
        assert len(await watchers.of(ama.party)) == 1
        await ama.pay_by_pin(shop, 100)

        # Kofi agrees, and hears of what moves from now on
        assert "Ama Mensah" in await his.go(ACCOUNT, WATCHERS, WATCHED, PIN)
        await his.type("1", "1")
        assert (await only(scheme, ama)).state is WatcherState.WATCHING
        await ama.pay_by_pin(shop, 200)
        await hears(scheme, kofi, "watched_paid")

        # Taken away: by the PIN alone, told at once, and for the delay
        await hers.go(ACCOUNT, WATCHERS, MINE, PIN, "1", "1")
        assert str(watchers.notice_s // 3_600) in hers.screen.text
        await hers.type("1357")
        assert (await only(scheme, ama)).until is None
        await hers.type(PIN)
        until = (await only(scheme, ama)).until
        assert until is not None
        await his.go(ACCOUNT, WATCHERS, WATCHED, PIN, "1")
        scheme.clock.offset_s += watchers.notice_s - 60
        await ama.pay_by_pin(shop, 300)
        await hears(scheme, kofi, "watched_paid", "watched_paid")
        scheme.clock.offset_s += 120
        await ama.pay_by_pin(shop, 400)
        assert words.text("Nobody watches over your account.")[:10] in await hers.go(ACCOUNT, WATCHERS, MINE, PIN)
        later = await scheme.simple_phone("Later")
        await watchers.accept((await watchers.choose(ama.party, later.address, by=ama.party)).id, watcher=later.party)
        await ama.pay_by_pin(shop, 500)
        await hears(scheme, later, "watched_paid")  # so what went before has been looked at, too
        assert await told(scheme, kofi) == ["watched_paid", "watched_paid"]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_was_taken_away_can_be_kept_and_who_was_asked_can_be_asked_no_longer(scheme: Scheme) -> None:
    ama, hers, kofi, his = await phones(scheme)
    await hers.go(ACCOUNT, WATCHERS, CHOOSE, kofi.address, PIN, "1")
    assert "PIN to no longer ask Kofi Boateng:" in hers.screen.text
    await his.go(ACCOUNT, WATCHERS, WATCHED, PIN, "1", "1")  # agrees while the PIN is typed
    assert "Kofi Boateng is told of all" in await hers.type(PIN)
    assert (await only(scheme, ama)).until is None
    await hers.type("1", PIN)
    assert (await only(scheme, ama)).until is not None
    assert "Kofi Boateng is told of all" in await hers.type("1")
    assert (await only(scheme, ama)).until is None
    union = await scheme.simple_phone("Union")
    await hers.go(ACCOUNT, WATCHERS, CHOOSE, union.address, PIN)
    assert "1 Kofi Boateng\n2 Union (asked)" in await hers.type("0")
    assert "No longer asked." in await hers.type("2", "1", PIN)
    assert [each.watcher for each in await scheme.services.parties.watchers.of(ama.party)] == [kofi.party]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_is_asked_may_decline_and_who_watches_may_stop(scheme: Scheme) -> None:
    ama, hers, kofi, his = await phones(scheme)
    watchers = scheme.services.parties.watchers
    assert "You watch over nobody." in await his.go(ACCOUNT, WATCHERS, WATCHED, PIN)
    for keys, left in ((("2",), "Declined."), (("1", "1", "1"), "You no longer watch.")):
        await hers.go(ACCOUNT, WATCHERS, CHOOSE, kofi.address, PIN)
        assert "1 Ama Mensah (asked)" in await his.go(ACCOUNT, WATCHERS, WATCHED, PIN)
        assert left in await his.type("1", *keys)
        assert "You watch over nobody." in his.screen.text
        assert await watchers.of(ama.party) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_answered_elsewhere_is_said_and_not_done_again(scheme: Scheme) -> None:
    _, hers, kofi, his = await phones(scheme)
    watchers = scheme.services.parties.watchers
    await hers.go(ACCOUNT, WATCHERS, CHOOSE, kofi.address, PIN)
    await his.go(ACCOUNT, WATCHERS, WATCHED, PIN, "1")
    await hers.type("1", PIN)
    assert "This has been answered, or has ended." in await his.type("1")
    assert await watchers.watched_by(kofi.party) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_lists_are_shown_after_the_pin_and_a_dropped_session_asks_for_it_again(scheme: Scheme) -> None:
    ama, hers, kofi, _ = await phones(scheme)
    await hers.go(ACCOUNT, WATCHERS, CHOOSE, kofi.address)
    await hers.dial()
    assert "Kofi Boateng" in await hers.type("1")  # goes on where it broke off
    await hers.type(PIN)
    for way in (MINE, WATCHED):
        assert "Kofi" not in await hers.go(ACCOUNT, WATCHERS, way)
        assert "Kofi" not in await hers.type("1357")
    assert len(await scheme.services.parties.watchers.of(ama.party)) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_nonsense_oneself_and_a_fourth_are_refused_in_words(scheme: Scheme) -> None:
    ama, hers, kofi, _ = await phones(scheme)
    assert "Nobody has an account" in await hers.go(ACCOUNT, WATCHERS, CHOOSE, "+254799999999")
    assert "somebody else" in await hers.type(ama.address)
    assert "was asked" in await hers.type(kofi.address, PIN)
    for name in ("Union", "Church"):
        await hers.go(ACCOUNT, WATCHERS, CHOOSE, (await scheme.simple_phone(name)).address, PIN)
    assert "three watchers at most" in await hers.go(ACCOUNT, WATCHERS, CHOOSE, (await scheme.simple_phone("One more")).address, PIN)
    assert len(await scheme.services.parties.watchers.of(ama.party)) == 3


@pytest.mark.asyncio(loop_scope="module")
async def test_an_agent_chooses_nobody_and_watches_all_the_same(scheme: Scheme) -> None:
    ama, hers, _, _ = await phones(scheme)
    agent = await scheme.agent("Kiosk")
    await scheme.services.parties.pins.set(agent.party, PIN, by=agent.party)
    desk = Phone(scheme.services.ussd, agent.address)
    assert "people's own accounts" in await desk.go(ACCOUNT, WATCHERS, CHOOSE)
    await hers.go(ACCOUNT, WATCHERS, CHOOSE, agent.address, PIN)
    await desk.go(ACCOUNT, WATCHERS, WATCHED, PIN, "1", "1")
    assert (await only(scheme, ama)).state is WatcherState.WATCHING


@pytest.mark.asyncio(loop_scope="module")
async def test_who_waits_for_an_answer_stands_before_those_over_whom_somebody_watches(scheme: Scheme) -> None:
    ama, _, kofi, his = await phones(scheme)
    watchers = scheme.services.parties.watchers
    others = [await scheme.simple_phone(f"Other {number}") for number in range(8)]
    for other in others:
        await watchers.accept((await watchers.choose(other.party, kofi.address, by=other.party)).id, watcher=kofi.party)
    await watchers.choose(ama.party, kofi.address, by=ama.party)
    assert "1 Ama Mensah (asked)\n2 Other 7\n" in await his.go(ACCOUNT, WATCHERS, WATCHED, PIN)
