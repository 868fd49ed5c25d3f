"""Watchers: asked and not forced, told of everything, and not to be blinded by whoever has learnt the PIN."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from counterfoil.errors import Forbidden, Malformed, NotFound, NotInThisState, PartyNotFound, TooMany, TooManyWatchers, WrongPin
from counterfoil.parties import tables
from counterfoil.parties.happenings import TOLD, Happenings
from counterfoil.parties.journal import WATCHED
from counterfoil.parties.service import NewParty
from counterfoil.parties.types import Holder, Notice, PartyKind, StaffRole
from counterfoil.parties.watchers import ASKED_MAX, WATCHERS_MAX, Watcher, WatcherState
from tests.parties.conftest import PIN, Scheme, StillClock, scheme_in

NOTICE_S = 72 * 3600


async def opened(scheme: Scheme, by: int, kind: PartyKind = PartyKind.CUSTOMER, name: str = "Kofi", *, handle: str | None = None) -> Holder:
    """Somebody without a device, opened at the counter; with a handle only, when one is given."""
    number = None if handle else scheme.next_number()
    new = NewParty(id=scheme.new_id(), kind=kind, name=name, language="en", number=number, handle=handle, pin=PIN)
    return await scheme.parties.holder_of_party((await scheme.parties.enrolment.open_by_staff(new, by=by)).id)


@pytest.fixture
async def supervisor(scheme: Scheme) -> int:
    return (await scheme.team())[1].id


@pytest.fixture
async def kofi(scheme: Scheme, supervisor: int) -> Holder:
    return await opened(scheme, supervisor)


@pytest.fixture
async def union(scheme: Scheme, supervisor: int) -> Holder:
    return await opened(scheme, supervisor, PartyKind.INSTITUTION, "Union")


def address(holder: Holder) -> str:
    return holder.number or holder.merchant_code or f"@{holder.handle}"


async def watched(scheme: Scheme, holder: Holder, watcher: Holder) -> Watcher:
    asked = await scheme.parties.watchers.choose_by_pin(holder.party, address(watcher), PIN)
    return await scheme.parties.watchers.accept(asked.id, watcher=watcher.party)


async def heard(scheme: Scheme, holder: Holder, *kinds: str) -> list[Notice]:
    """Notices that speak of watching, oldest first; those of `kinds` when they are named."""
    notices = reversed(await scheme.parties.notices.of(holder.party, limit=500))
    return [each for each in notices if (each.kind in kinds if kinds else each.kind.startswith("watch"))]


async def kinds(scheme: Scheme, holder: Holder) -> list[str]:
    return [each.kind for each in await heard(scheme, holder)]


async def test_a_watcher_is_asked_and_watches_from_their_consent_on(scheme: Scheme, kofi: Holder, union: Holder) -> None:
    asked = await scheme.parties.watchers.choose_by_pin(kofi.party, address(union), PIN)
    assert (asked.state, asked.name, asked.watcher_name) == (WatcherState.ASKED, "Kofi", "Union")
    await scheme.parties.pins.set(kofi.party, "1379", by=kofi.party)
    assert await kinds(scheme, union) == ["watch_asked"], "who was only asked is told nothing"
    assert kofi.account not in scheme.parties.watchers.accounts
    watching = await scheme.parties.watchers.accept(asked.id, watcher=union.party)
    assert await scheme.parties.watchers.accept(asked.id, watcher=union.party) == watching
    assert kofi.account in scheme.parties.watchers.accounts
    await scheme.parties.pins.set(kofi.party, PIN, by=kofi.party)
    (told,) = await heard(scheme, union, "watched_pin_set")
    assert (told.channel, told.number, told.values) == ("sms", union.number, {"name": "Kofi"})
    assert await kinds(scheme, kofi) == ["watcher_chosen", "watcher_accepted"]
    assert await scheme.parties.watchers.of(kofi.party) == await scheme.parties.watchers.watched_by(union.party) == [watching]


async def test_the_pin_is_asked_for_first_and_staff_need_the_permission(
    scheme: Scheme, kofi: Holder, union: Holder, supervisor: int
) -> None:
    for refused in (
        scheme.parties.watchers.choose_by_pin(kofi.party, address(union), "1111"),
        scheme.parties.watchers.choose_at_counter(kofi.party, address(union), "1111", by=supervisor),
    ):
        with pytest.raises(WrongPin):
            await refused
    with pytest.raises(Forbidden):
        await scheme.parties.watchers.choose_at_counter(kofi.party, address(union), PIN, by=kofi.party)
    assert await scheme.parties.watchers.of(kofi.party) == []
    chosen = await scheme.parties.watchers.choose_at_counter(kofi.party, address(union), PIN, by=supervisor)
    with pytest.raises(WrongPin):
        await scheme.parties.watchers.take_away_by_pin(chosen.id, party=kofi.party, pin="1111")
    rows = select(tables.events.c.by).where(tables.events.c.kind == "watcher_chosen")
    assert await scheme.store.read(lambda connection: connection.execute(rows).scalars().all()) == [supervisor]


async def test_whoever_takes_a_watcher_away_cannot_blind_them(scheme: Scheme, kofi: Holder, union: Holder) -> None:
    watching = await watched(scheme, kofi, union)
    before = scheme.clock.now
    leaving = await scheme.parties.watchers.take_away_by_pin(watching.id, party=kofi.party, pin=PIN)
    assert leaving.until is not None
    assert 0 < leaving.until - before - NOTICE_S * 10**9 < 10**6
    (told,) = await heard(scheme, union, "watch_taken_away")
    assert told.values == {"name": "Kofi", "until": leaving.until}
    assert await scheme.parties.watchers.take_away_by_pin(watching.id, party=kofi.party, pin=PIN) == leaving
    assert len(await heard(scheme, union, "watch_taken_away")) == len(await heard(scheme, kofi, "watcher_taken_away")) == 1
    scheme.clock.pass_seconds(NOTICE_S - 60)
    assert await scheme.parties.watchers.end_due() == 0
    await scheme.parties.pins.set(kofi.party, "1379", by=kofi.party)
    assert len(await heard(scheme, union, "watched_pin_set")) == 1
    scheme.clock.pass_seconds(60)
    await scheme.parties.pins.set(kofi.party, PIN, by=kofi.party)
    assert len(await heard(scheme, union, "watched_pin_set")) == 1, "the delay is over"
    assert await scheme.parties.watchers.of(kofi.party) == []
    assert (await scheme.parties.watchers.end_due(), await scheme.parties.watchers.end_due()) == (1, 0)
    assert len(await heard(scheme, union, "watch_ended")) == 1


async def test_choosing_again_keeps_who_was_taken_away(scheme: Scheme, kofi: Holder, union: Holder) -> None:
    watching = await watched(scheme, kofi, union)
    await scheme.parties.watchers.take_away(watching.id, party=kofi.party, by=kofi.party)
    assert await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party) == watching
    assert await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party) == watching
    assert (await kinds(scheme, union))[-2:] == ["watch_taken_away", "watch_kept"]
    scheme.clock.pass_seconds(NOTICE_S + 1)
    assert await scheme.parties.watchers.end_due() == 0
    await scheme.parties.pins.set(kofi.party, "1379", by=kofi.party)
    assert len(await heard(scheme, union, "watched_pin_set")) == 1


async def test_a_watcher_declines_and_leaves_at_once_and_the_holder_hears_of_it(scheme: Scheme, kofi: Holder, union: Holder) -> None:
    asked = await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party)
    for _ in range(2):
        await scheme.parties.watchers.decline(asked.id, watcher=union.party)
    with pytest.raises(NotInThisState):
        await scheme.parties.watchers.accept(asked.id, watcher=union.party)
    watching = await watched(scheme, kofi, union)
    with pytest.raises(NotInThisState):
        await scheme.parties.watchers.decline(watching.id, watcher=union.party)
    for _ in range(2):
        await scheme.parties.watchers.leave(watching.id, watcher=union.party)
    await scheme.parties.pins.set(kofi.party, "1379", by=kofi.party)
    assert await heard(scheme, union, "watched_pin_set") == []
    assert await kinds(scheme, kofi) == ["watcher_chosen", "watcher_declined", "watcher_chosen", "watcher_accepted", "watcher_left"]


async def test_who_was_only_asked_is_taken_away_at_once(scheme: Scheme, kofi: Holder, union: Holder) -> None:
    asked = await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party)
    ended = await scheme.parties.watchers.take_away(asked.id, party=kofi.party, by=kofi.party)
    assert ended.state is WatcherState.ENDED
    with pytest.raises(NotInThisState):
        await scheme.parties.watchers.accept(asked.id, watcher=union.party)


async def test_another_ones_watching_is_nobodys_to_see_or_touch(scheme: Scheme, kofi: Holder, union: Holder, supervisor: int) -> None:
    watching = await watched(scheme, kofi, union)
    stranger = await opened(scheme, supervisor, name="Zola")
    for touched in (
        scheme.parties.watchers.accept(watching.id, watcher=stranger.party),
        scheme.parties.watchers.decline(watching.id, watcher=kofi.party),
        scheme.parties.watchers.leave(watching.id, watcher=stranger.party),
        scheme.parties.watchers.take_away(watching.id, party=stranger.party, by=stranger.party),
        scheme.parties.watchers.take_away(watching.id, party=union.party, by=union.party),
    ):
        with pytest.raises(NotFound):
            await touched
    assert await scheme.parties.watchers.of(stranger.party) == await scheme.parties.watchers.watched_by(stranger.party) == []


async def test_watchers_are_for_people_and_three_at_most(scheme: Scheme, kofi: Holder, supervisor: int) -> None:
    bodies = [await opened(scheme, supervisor, PartyKind.INSTITUTION, f"Body {n}") for n in range(WATCHERS_MAX + 1)]
    for kind in (PartyKind.MERCHANT, PartyKind.AGENT, PartyKind.INSTITUTION):
        other = await opened(scheme, supervisor, kind, "Not a person")
        with pytest.raises(Forbidden):
            await scheme.parties.watchers.choose(other.party, address(bodies[0]), by=other.party)
    with pytest.raises(Malformed):
        await scheme.parties.watchers.choose(kofi.party, address(kofi), by=kofi.party)
    with pytest.raises(PartyNotFound):
        await scheme.parties.watchers.choose(kofi.party, "+254799999999", by=kofi.party)
    chosen = [await scheme.parties.watchers.choose(kofi.party, address(body), by=kofi.party) for body in bodies[:WATCHERS_MAX]]
    with pytest.raises(TooManyWatchers):
        await scheme.parties.watchers.choose(kofi.party, address(bodies[-1]), by=kofi.party)
    await scheme.parties.watchers.accept(chosen[0].id, watcher=bodies[0].party)
    await scheme.parties.watchers.take_away(chosen[0].id, party=kofi.party, by=kofi.party)
    with pytest.raises(TooManyWatchers):  # who is on their way out still has the place: three new ones would have pushed nobody out
        await scheme.parties.watchers.choose(kofi.party, address(bodies[-1]), by=kofi.party)
    scheme.clock.pass_seconds(NOTICE_S)
    await scheme.parties.watchers.choose(kofi.party, address(bodies[-1]), by=kofi.party)


async def test_strangers_are_not_asked_over_and_over(scheme: Scheme, kofi: Holder, union: Holder) -> None:
    for _ in range(ASKED_MAX):
        asked = await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party)
        await scheme.parties.watchers.take_away(asked.id, party=kofi.party, by=kofi.party)
    with pytest.raises(TooMany):
        await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party)
    assert len(await heard(scheme, union, "watch_asked")) == ASKED_MAX
    scheme.clock.pass_seconds(24 * 3600)
    await scheme.parties.watchers.choose(kofi.party, address(union), by=kofi.party)


async def test_a_watcher_with_a_device_reads_it_there_and_gets_no_text(scheme: Scheme, kofi: Holder) -> None:
    phone = scheme.phone()
    amina = await scheme.customer(phone)
    await watched(scheme, kofi, amina)
    newest = await Happenings(scheme.store).newest()
    await scheme.parties.pins.set(kofi.party, "1379", by=kofi.party)
    (told,) = await heard(scheme, amina, "watched_pin_set")
    assert (told.channel, told.device) == ("push", phone.id)
    happened = (await Happenings(scheme.store).of(amina.party))[0]
    assert (happened.kind, happened.by, happened.facts) == ("watched_pin_set", "scheme", {"name": "Kofi"})
    assert [(each.kind, each.account) for each in await Happenings(scheme.store).after(newest)] == [
        ("pin_set", kofi.account),
        ("watched_pin_set", amina.account),
    ], "open apps hear of it"


async def test_a_body_with_neither_device_nor_number_is_no_reason_to_fail(scheme: Scheme, kofi: Holder, supervisor: int) -> None:
    body = await opened(scheme, supervisor, PartyKind.INSTITUTION, "Church", handle="church")
    await watched(scheme, kofi, body)
    await scheme.parties.pins.set(kofi.party, "1379", by=kofi.party)
    assert await heard(scheme, body) == []


async def test_all_that_is_done_to_an_account_is_told(scheme: Scheme, union: Holder, supervisor: int) -> None:
    phone, other, lost = scheme.phone(), scheme.phone(), scheme.phone()
    amina = await scheme.customer(phone)
    await watched(scheme, amina, union)
    devices, staff = scheme.parties.devices, scheme.parties.staff
    statement = other.add_statement(amina.party)
    await devices.add(other.new_key(statement), by_device=phone.id, signature=phone.sign(statement))
    await devices.revoke_by_staff(other.id, reason="lost it", by=supervisor)
    sent = await scheme.parties.enrolment.send_code(amina.number or "", "recover")
    recovery = await scheme.parties.recoveries.begin(
        number=amina.number or "", code=sent.code or "", pin=PIN, key=lost.recover_key(amina.number or "")
    )
    await scheme.parties.recoveries.cancel_by_staff(recovery.id, reason="not her", by=supervisor)
    freeze = scheme.new_id()
    await staff.freeze(freeze, amina.party, reason="lost phone", by=amina.party)
    await staff.unfreeze(freeze, reason="found it", by=amina.party)
    await scheme.parties.sim_changes.tell(amina.number or "", source="operator", reason="SIM replaced")
    await scheme.parties.sim_changes.lift(amina.party, device=phone.id)
    number = scheme.next_number()
    code = await scheme.parties.enrolment.send_code(number, "number")
    await scheme.parties.enrolment.set_number(amina.party, number, code.code or "")
    await staff.close(amina.party, reason="moves away", by=amina.party)
    said = [kind.removeprefix("watched_") for kind in await kinds(scheme, union) if kind.startswith("watched_")]
    assert said == [
        "device_added", "device_revoked", "recovery_started", "recovery_cancelled", "frozen", "unfrozen", "sim_changed",
        "sim_change_lifted", "number_changed", "closed",
    ]  # fmt: skip
    assert set(said) < WATCHED
    assert all(values.values == {"name": "Amina"} for values in await heard(scheme, union) if values.kind.startswith("watched_"))


async def test_who_has_the_pin_and_more_cannot_make_an_account_unseen(scheme: Scheme, kofi: Holder, union: Holder, supervisor: int) -> None:
    """All that a thief with PIN and SIM can do within the delay, in whatever order: the watcher hears of what comes after."""
    watching = await watched(scheme, kofi, union)
    thief = await opened(scheme, supervisor, name="Thief")
    own = await watched(scheme, kofi, thief)
    await scheme.parties.watchers.take_away_by_pin(watching.id, party=kofi.party, pin=PIN)
    await scheme.parties.watchers.take_away_by_pin(own.id, party=kofi.party, pin=PIN)
    await scheme.parties.pins.change(kofi.party, PIN, "1379")
    number = scheme.next_number()
    code = await scheme.parties.enrolment.send_code(number, "number")
    await scheme.parties.enrolment.set_number(kofi.party, number, code.code or "")
    assert (await kinds(scheme, union))[-3:] == ["watch_taken_away", "watched_pin_set", "watched_number_changed"]


def test_every_kind_that_is_told_can_be_read() -> None:
    assert {f"watched_{kind}" for kind in WATCHED} <= set(TOLD)
    assert set(TOLD) >= WATCHED, "what others hear of an account, its holder can read"


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["choose", "accept", "decline", "leave", "take", "wait", "due"]), st.integers(0, 4)), max_size=25
)


@given(ACTIONS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_the_order_three_at_most_watch_and_none_is_lost_from_sight(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    async with scheme_in(Path(tmp_path_factory.mktemp("watch")), StillClock()) as scheme:
        administrator = await scheme.staff(StaffRole.ADMINISTRATOR)
        supervisor = (await scheme.staff(StaffRole.SUPERVISOR, by=administrator.id)).id
        kofi = await opened(scheme, supervisor)
        others = [await opened(scheme, supervisor, name=f"Other {n}") for n in range(5)]
        mine = scheme.parties.watchers
        for action, place in actions:
            other = others[place]
            found = next((each for each in await mine.of(kofi.party) if each.watcher == other.party), None)
            before = {each.watcher for each in await mine.of(kofi.party) if each.state is WatcherState.WATCHING}
            try:
                if action == "choose":
                    await mine.choose(kofi.party, address(other), by=kofi.party)
                elif action == "wait":
                    scheme.clock.pass_seconds(3600 * (1 + 40 * place))
                elif action == "due":
                    await mine.end_due()
                elif found is not None:
                    if action == "take":
                        await mine.take_away(found.id, party=kofi.party, by=kofi.party)
                    else:
                        await getattr(mine, action)(found.id, watcher=other.party)
            except (TooMany, TooManyWatchers, NotInThisState):
                pass
            after = await mine.of(kofi.party)
            watching = {each.watcher for each in after if each.state is WatcherState.WATCHING}
            assert len(after) <= WATCHERS_MAX
            assert len({each.watcher for each in after}) == len(after)
            assert kofi.account in mine.accounts or not watching
            if action in ("choose", "accept", "take", "decline", "due"):
                assert before <= watching, "only leaving, and time, end a watcher"
