"""What a scheme writes to many: two persons want it, everybody has it once whatever dies, nobody is woken, and nobody is flooded."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import Connection, func, select

from counterfoil.channels import announcements as module
from counterfoil.channels.announcement_tables import announcements as table
from counterfoil.channels.announcement_tables import held_texts
from counterfoil.channels.announcements import KIND, LIST_SIZE_MAX, TEXT_LENGTH_MAX, Announcement, Announcements, message_id
from counterfoil.channels.conversation_tables import messages, threads
from counterfoil.channels.held import HeldText, HeldTexts
from counterfoil.channels.reports import ReportReason
from counterfoil.errors import Forbidden, IdReused, Malformed, NeedsSecondPerson, PartyNotFound, WritingStopped
from counterfoil.ids import id_text, new_id
from counterfoil.parties.tables import devices, notices, parties
from counterfoil.parties.types import Proposal, ProposalState
from counterfoil.payments.hub import MESSAGE_RECEIVED, Listener, Told
from tests.scheme import MovedClock, Person, Scheme, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN, KO = "We are closed on Friday.", "금요일에는 쉬어요."


def wednesday(clock: MovedClock, *, hour: int = 10, weeks: int = 0) -> None:
    """Moves a clock to a Wednesday that has not been yet."""
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
    day = now.replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=(2 - now.weekday()) % 7 + 7 * (weeks or 1))
    clock.offset_s += (day - now).total_seconds()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    clock = MovedClock()
    wednesday(clock)
    async with opened(tmp_path_factory.mktemp("scheme"), clock) as running:
        running.services.announcements.stop()  # each test hands out itself
        yield running


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def another_week(scheme: Scheme) -> AsyncIterator[None]:
    """Each test begins on a Wednesday of its own, with nothing under way."""
    wednesday(scheme.clock)
    yield
    while await scheme.services.announcements.hand_out():
        pass


async def announcement(scheme: Scheme, people: list[Person], **changes: Any) -> Announcement:
    value, count = await scheme.services.announcements.list_of([person.address for person in people])
    values: dict[str, Any] = {"texts": {"en": EN, "ko": KO}, "to": "list", "value": value, "count": count} | changes
    return Announcement(**values)


async def approved(scheme: Scheme, what: Announcement) -> Proposal:
    proposal: Proposal = await scheme.propose(KIND, json.loads(msgspec.json.encode(what)), scheme.supervisors)
    assert proposal.state is ProposalState.EXECUTED, proposal
    return proposal


async def handed_out(scheme: Scheme) -> None:
    while await scheme.services.announcements.hand_out():
        pass


async def rows(scheme: Scheme, query: Any) -> list[Any]:
    return await scheme.services.store.read(lambda connection: list(connection.execute(query).all()))


async def inbox(scheme: Scheme, person: Person) -> list[str]:
    """What the scheme has written to somebody, newest first."""
    talk = scheme.services.conversations
    return [each.text for each in await talk.messages(person.account, talk.scheme_account)]


async def heard(listener: Listener) -> Told | None:
    """What a listener hears next, however busy the machine is."""
    async with asyncio.timeout(60):
        return await listener.next()


async def texts(scheme: Scheme, person: Person, kind: str = "announcement") -> list[dict[str, Any]]:
    found = await rows(
        scheme, select(notices).where(notices.c.party == person.party, notices.c.kind == kind).order_by(notices.c.created_at)
    )
    return [json.loads(row.body) for row in found]


async def test_it_is_read_in_the_app_and_sent_to_those_who_have_none(scheme: Scheme) -> None:
    rose, kofi, other = await scheme.customer("Rose"), await scheme.simple_phone("Kofi"), await scheme.customer("Nobody")
    with_ears = scheme.services.hub.subscribe(rose.account, (MESSAGE_RECEIVED,))
    await approved(scheme, await announcement(scheme, [rose, kofi]))
    await handed_out(scheme)
    event = await heard(with_ears)
    with_ears.close()
    talk = scheme.services.conversations
    assert event is not None
    assert (event.type, event.ids["from"]) == (MESSAGE_RECEIVED, id_text(talk.scheme_account))
    assert await inbox(scheme, rose) == [EN]
    assert (await talk.thread(rose.account, talk.scheme_account)).unread == 1
    await talk.read(rose.account, talk.scheme_account)
    assert (await talk.thread(rose.account, talk.scheme_account)).unread == 0
    assert await texts(scheme, rose) == []
    assert await texts(scheme, kofi) == [{"text": EN}]
    assert await inbox(scheme, kofi) == [EN]  # for the day on which they have an app
    assert await inbox(scheme, other) == []


async def test_pages_that_are_handed_out_at_the_same_time_reach_each_once(scheme: Scheme) -> None:
    people = [await scheme.customer(f"Rose {number}") for number in range(3)]
    await approved(scheme, await announcement(scheme, people))
    await asyncio.gather(*[scheme.services.announcements.hand_out() for _ in range(8)])
    assert [await inbox(scheme, each) for each in people] == [[EN]] * 3


async def test_it_cannot_be_answered(scheme: Scheme) -> None:
    rose = await scheme.customer("Rose")
    talk = scheme.services.conversations
    with pytest.raises(Malformed, match="reads no answers"):
        await talk.send(id=new_id(scheme.clock), sender=rose.account, recipient=talk.scheme_account, text="Why?")


async def test_each_reads_it_in_their_language_or_else_in_the_first_one(scheme: Scheme) -> None:
    people = [await scheme.customer(name) for name in ("Ha-eun", "Rose", "Chloé")]
    for person, language in zip(people, ("ko", "en", "fr"), strict=True):
        await set_language(scheme, person, language)
    await approved(scheme, await announcement(scheme, people))
    await handed_out(scheme)
    assert [await inbox(scheme, person) for person in people] == [[KO], [EN], [EN]]


async def set_language(scheme: Scheme, person: Person, language: str) -> None:
    statement = parties.update().where(parties.c.id == person.party).values(language=language)
    await scheme.services.parties.directory.change(lambda connection: connection.execute(statement), person.party)


@pytest.mark.parametrize("to", ["all", "kind", "tier", "language"])
async def test_a_group_is_everybody_in_it_and_nobody_else(scheme: Scheme, to: Any) -> None:
    rose, shop = await scheme.customer("Rose", tier="identity_seen"), await scheme.merchant()
    await set_language(scheme, shop, "ko")
    value = {"all": "", "kind": "merchant", "tier": "identity_seen", "language": "ko"}[to]
    what = Announcement(texts={"en": EN}, to=to, value=value)
    reach = await scheme.services.announcements.reach(what)
    proposal = await approved(scheme, what)
    late = await scheme.customer("Late")  # after the approval
    await handed_out(scheme)
    got = [bool(await inbox(scheme, person)) for person in (rose, shop, late)]
    assert (
        got
        == {"all": [True, True, False], "kind": [False, True, False], "tier": [True, False, False], "language": [False, True, False]}[to]
    )
    progress = await scheme.services.announcements.progress(proposal.id)
    assert progress is not None
    assert (progress.people, progress.done_at is not None) == (reach.people, True)


# Two persons


async def test_one_person_is_not_enough_and_only_the_right_ones_may(scheme: Scheme) -> None:
    approvals, rose = scheme.services.approvals, await scheme.customer("Rose")
    payload = msgspec.json.encode(await announcement(scheme, [rose]))
    for by in (scheme.clerk, scheme.administrator, *scheme.treasurers, rose.party):
        with pytest.raises(Forbidden):
            await approvals.propose(new_id(scheme.clock), KIND, payload, reason="in the test", by=by)
    one = scheme.supervisors[0]
    proposal = await approvals.propose(new_id(scheme.clock), KIND, payload, reason="in the test", by=one)
    with pytest.raises(NeedsSecondPerson):
        await approvals.approve(proposal.id, by=one)
    for by in (scheme.clerk, *scheme.treasurers):
        with pytest.raises(Forbidden):
            await approvals.approve(proposal.id, by=by)
    await handed_out(scheme)
    assert await inbox(scheme, rose) == []
    for _ in range(3):
        assert (await approvals.approve(proposal.id, by=scheme.administrator)).state is ProposalState.EXECUTED
        await scheme.services.announcements.execute(proposal_decided(proposal))
        await handed_out(scheme)
    assert await inbox(scheme, rose) == [EN]


def proposal_decided(proposal: Proposal) -> Proposal:
    return msgspec.structs.replace(proposal, decided_at=proposal.created_at, decided_by=1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"texts": {"ko": KO}}, "texts"),
        ({"texts": {"en": EN, "xx": "x"}}, "texts"),
        ({"texts": {"en": ""}}, "texts.en"),
        ({"texts": {"en": "x" * (TEXT_LENGTH_MAX + 1)}}, "texts.en"),
        ({"texts": {"en": " x"}}, "texts.en"),
        ({"texts": {"en": "a\x00b"}}, "texts.en"),
        ({"value": "00" * 32}, "value"),
        ({"value": "zz"}, "value"),
        ({"count": 7}, "value"),
        ({"to": "all"}, "count"),
        ({"to": "all", "count": 0}, "value"),
        ({"to": "kind", "count": 0, "value": "staff"}, "value"),
        ({"to": "tier", "count": 0, "value": "platinum"}, "value"),
        ({"to": "language", "count": 0, "value": "xx"}, "value"),
    ],
)
async def test_what_cannot_be_sent_cannot_be_proposed(scheme: Scheme, changes: dict[str, Any], field: str) -> None:
    rose = await scheme.customer("Rose")
    what = await announcement(scheme, [rose], **changes)
    with pytest.raises(Malformed) as refused:
        await scheme.propose(KIND, json.loads(msgspec.json.encode(what)), scheme.supervisors)
    assert refused.value.facts["field"] == field


async def test_a_list_is_of_people_who_are_there_and_is_kept_as_it_was(scheme: Scheme) -> None:
    rose, kofi = await scheme.customer("Rose"), await scheme.customer("Kofi")
    listed = scheme.services.announcements.list_of
    one = await listed([rose.address, kofi.address])
    assert await listed([kofi.address, rose.address, kofi.address]) == one == (module.hash_of([rose.party, kofi.party]).hex(), 2)
    assert (await listed([rose.address]))[0] != one[0]
    with pytest.raises(Malformed) as refused:
        await listed([rose.address, "@nobody_at_all"])
    assert refused.value.facts["field"] == "list[1]"
    for wrong in ([], ["@x"] * (LIST_SIZE_MAX + 1)):
        with pytest.raises(Malformed) as refused:
            await listed(wrong)
        assert refused.value.facts["field"] == "list"


# Once, whatever dies


class DyingError(Exception):
    """The process is gone."""


class Dying:
    """A connection that breaks after so many statements, as a process that is killed leaves a transaction."""

    def __init__(self, connection: Connection, statements: int) -> None:
        self.connection = connection
        self.left = statements

    def execute(self, *arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise DyingError
        return self.connection.execute(*arguments)


class DyingStore:
    """A store in whose writes the process dies after so many statements."""

    def __init__(self, scheme: Scheme, statements: int) -> None:
        self.store = scheme.services.store
        self.read = self.store.read
        self.statements = statements

    async def write(self, fn: Any) -> Any:
        return await self.store.write(lambda connection: fn(Dying(connection, self.statements)))


def life(scheme: Scheme, store: Any) -> Announcements:
    """The part as a new process has it."""
    services = scheme.services
    held = HeldTexts(store=store, clock=scheme.clock, rules=services.announcements.held.rules)
    return Announcements(
        store=store, parties=services.parties, clock=scheme.clock, hub=services.hub, held=held,
        account=services.announcements.account, languages=services.config.languages,
    )  # fmt: skip


async def test_everybody_has_it_once_although_the_process_dies_at_every_step(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 3)
    people = [await scheme.customer(f"Person {number}") for number in range(5)] + [await scheme.simple_phone() for _ in range(3)]
    proposal = await approved(scheme, await announcement(scheme, people))
    deaths, pages, statements = 0, 0, 0
    while True:
        try:
            if not await life(scheme, DyingStore(scheme, statements)).hand_out():
                break
            pages, statements = pages + 1, 0
        except DyingError:
            deaths, statements = deaths + 1, statements + 1
    assert (pages, deaths > 20) == (4, True)  # three of people, one that finds nobody left
    sent = await rows(
        scheme,
        select(messages.c.id, messages.c.recipient).where(messages.c.text == EN, messages.c.recipient.in_([p.account for p in people])),
    )
    assert Counter(row.recipient for row in sent) == dict.fromkeys([person.account for person in people], 1)
    assert {row.id for row in sent} == {message_id(proposal.id, person.party) for person in people}
    unread = await rows(scheme, select(threads.c.unread).where(threads.c.account.in_([person.account for person in people])))
    assert [row.unread for row in unread] == [1] * 8
    assert [await texts(scheme, person) for person in people] == [[]] * 5 + [[{"text": EN}]] * 3
    progress = await scheme.services.announcements.progress(proposal.id)
    assert progress is not None
    assert (progress.people, progress.texts, progress.left_out) == (8, 3, 0)


async def test_a_process_that_dies_between_approval_and_sending_sends_it_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        first.services.announcements.stop()
        rose = await first.customer("Rose")
        await approved(first, await announcement(first, [rose]))
        assert await inbox(first, rose) == []
    async with opened(tmp_path, first.clock) as second:
        async with asyncio.timeout(60):
            while not await inbox(second, rose):
                await asyncio.sleep(0.01)
        assert await inbox(second, rose) == [EN]


async def test_the_same_id_is_one_announcement_and_with_other_words_it_is_refused(scheme: Scheme) -> None:
    rose = await scheme.customer("Rose")
    what, number = await announcement(scheme, [rose]), new_id(scheme.clock)
    approvals = scheme.services.approvals
    first = await approvals.propose(number, KIND, msgspec.json.encode(what), reason="in the test", by=scheme.supervisors[0])
    again = await approvals.propose(number, KIND, msgspec.json.encode(what), reason="in the test", by=scheme.supervisors[0])
    assert again == first
    other = msgspec.json.encode(msgspec.structs.replace(what, texts={"en": "Something else."}))
    with pytest.raises(IdReused):
        await approvals.propose(number, KIND, other, reason="in the test", by=scheme.supervisors[0])


# Muted


async def test_whoever_has_muted_the_scheme_is_not_told_but_of_security(scheme: Scheme) -> None:
    rose, talk = await scheme.customer("Rose"), scheme.services.conversations
    await talk.block(rose.account, talk.scheme_account)
    ears = scheme.services.hub.subscribe(rose.account, (MESSAGE_RECEIVED,))
    what = await announcement(scheme, [rose])
    assert (await scheme.services.announcements.reach(what)).muted == 1
    await approved(scheme, what)
    await handed_out(scheme)
    assert (await talk.thread(rose.account, talk.scheme_account)).unread == 0
    assert await inbox(scheme, rose) == [EN]
    await approved(scheme, await announcement(scheme, [rose], security=True, texts={"en": "Change your PIN."}))
    await handed_out(scheme)
    thread = await talk.thread(rose.account, talk.scheme_account)
    event = await heard(ears)
    ears.close()
    assert thread.last is not None
    assert event is not None
    assert (thread.unread, event.ids["message"]) == (1, id_text(thread.last.id))
    with pytest.raises(PartyNotFound):
        await talk.block(rose.account, 77)


# Quiet hours and the week's limit


async def released(scheme: Scheme) -> None:
    while await scheme.services.announcements.held.release():
        pass


async def test_at_night_texts_wait_for_the_morning_and_security_does_not(scheme: Scheme) -> None:
    kofi = await scheme.simple_phone()
    wednesday(scheme.clock, hour=23)
    what = await announcement(scheme, [kofi])
    reach = await scheme.services.announcements.reach(what)
    morning = datetime.fromtimestamp(scheme.clock.now_ns() / 1e9, UTC).replace(hour=7, minute=0, second=0, microsecond=0) + timedelta(
        days=1
    )
    assert (reach.by_text, reach.parts, reach.texts_from) == (1, 1, int(morning.timestamp()) * 10**9)
    proposal = await approved(scheme, what)
    await handed_out(scheme)
    progress = await scheme.services.announcements.progress(proposal.id)
    assert progress is not None
    assert progress.texts == 1
    scheme.clock.offset_s += 7 * 3600
    await released(scheme)
    assert await texts(scheme, kofi) == []
    await approved(scheme, await announcement(scheme, [kofi], security=True, texts={"en": "Change your PIN."}))
    await handed_out(scheme)
    assert await texts(scheme, kofi, "announcement_security") == [{"text": "Change your PIN."}]
    assert await texts(scheme, kofi) == []
    scheme.clock.offset_s += 2 * 3600
    for _ in range(3):
        await released(scheme)
    assert await texts(scheme, kofi) == [{"text": EN}]


async def test_beyond_the_weeks_limit_texts_wait_for_monday_and_the_proposer_sees_how_many(scheme: Scheme) -> None:
    kofi, rose = await scheme.simple_phone(), await scheme.customer("Rose")
    for number in range(4):
        what = await announcement(scheme, [kofi, rose], texts={"en": f"News {number}"})
        reach = await scheme.services.announcements.reach(what)
        assert (reach.people, reach.in_app, reach.by_text, reach.later) == (2, 1, 1, int(number == 3))
        await approved(scheme, what)
        await handed_out(scheme)
    assert await texts(scheme, kofi) == [{"text": f"News {number}"} for number in range(3)]
    scheme.clock.offset_s += 3 * 86_400
    await released(scheme)
    assert len(await texts(scheme, kofi)) == 3  # Saturday
    scheme.clock.offset_s += 2 * 86_400
    await released(scheme)
    assert [each["text"] for each in await texts(scheme, kofi)][3:] == ["News 3"]
    assert len(await inbox(scheme, rose)) == 4


async def test_after_a_month_without_a_process_nobody_gets_more_than_a_week_has(scheme: Scheme) -> None:
    kofi = await scheme.simple_phone()
    for number in range(9):
        await approved(scheme, await announcement(scheme, [kofi], texts={"en": f"News {number}"}))
    await handed_out(scheme)
    wednesday(scheme.clock, weeks=5)
    await released(scheme)
    assert len(await texts(scheme, kofi)) == 3 + 3
    wednesday(scheme.clock)
    await released(scheme)
    assert len(await texts(scheme, kofi)) == 9


async def test_a_text_that_waited_is_not_sent_to_whoever_has_an_app_by_then_or_is_gone(scheme: Scheme) -> None:
    kofi, gone = await scheme.simple_phone(), await scheme.simple_phone("Gone")
    wednesday(scheme.clock, hour=23)
    await approved(scheme, await announcement(scheme, [kofi, gone]))
    await handed_out(scheme)
    await scheme.services.parties.staff.close(gone.party, reason="in the test", by=scheme.supervisors[0])
    rose = await scheme.customer("Rose")
    statement = devices.update().where(devices.c.id == rose.device).values(party=kofi.party)
    await scheme.services.parties.directory.change(lambda connection: connection.execute(statement))
    scheme.clock.offset_s += 10 * 3600
    await released(scheme)
    assert await texts(scheme, kofi) == await texts(scheme, gone) == []
    states = await rows(scheme, select(held_texts.c.state, held_texts.c.body).where(held_texts.c.party.in_([kofi.party, gone.party])))
    assert [tuple(row) for row in states] == [("dropped", "{}")] * 2


async def test_a_scheme_without_such_texts_says_whom_it_does_not_reach(tmp_path: Path) -> None:
    clock = MovedClock()
    wednesday(clock)
    async with opened(tmp_path, clock, texts_per_week=0) as scheme:
        kofi = await scheme.simple_phone()
        what = await announcement(scheme, [kofi])
        reach = await scheme.services.announcements.reach(what)
        assert (reach.people, reach.by_text, reach.parts, reach.unreached, reach.texts_from) == (1, 0, 0, 1, None)
        proposal = await approved(scheme, what)
        await handed_out(scheme)
        async with asyncio.timeout(60):
            while (progress := await scheme.services.announcements.progress(proposal.id)) is None or progress.done_at is None:
                await asyncio.sleep(0.01)
        assert (progress.people, progress.texts, progress.left_out) == (1, 0, 1)
        assert await texts(scheme, kofi) == []


async def test_a_text_is_released_once_although_the_process_dies_at_every_step(scheme: Scheme) -> None:
    kofi = await scheme.simple_phone()
    wednesday(scheme.clock, hour=23)
    await approved(scheme, await announcement(scheme, [kofi]))
    await handed_out(scheme)
    scheme.clock.offset_s += 10 * 3600
    statements = 0
    while True:
        try:
            store: Any = DyingStore(scheme, statements)
            if not await HeldTexts(store=store, clock=scheme.clock, rules=scheme.services.announcements.held.rules).release():
                break
        except DyingError:
            statements += 1
    assert statements >= 4
    assert await texts(scheme, kofi) == [{"text": EN}]


# Flood


async def test_a_flood_of_announcements_and_messages_is_bounded_for_whoever_has_no_app(scheme: Scheme) -> None:
    kofi, rose = await scheme.simple_phone(), await scheme.customer("Rose")
    for number in range(20):
        await scheme.services.conversations.send(
            id=new_id(scheme.clock), sender=rose.account, recipient=kofi.account, text=f"Hello {number}"
        )
        scheme.clock.offset_s += 1
    count = select(held_texts.c.state, func.count()).where(held_texts.c.party == kofi.party).group_by(held_texts.c.state)
    assert {row[0]: row[1] for row in await rows(scheme, count)} == {"sent": 3, "waiting": 9, "dropped": 8}
    assert await texts(scheme, kofi, "message") == [{"name": "Rose", "text": f"Hello {number}"} for number in range(3)]
    what = await announcement(scheme, [kofi])
    await approved(scheme, what)
    await handed_out(scheme)
    assert await texts(scheme, kofi) == []
    pages = await rows(scheme, select(func.count()).select_from(table).where(table.c.done_at.is_(None)))
    assert pages[0][0] == 0


async def test_holding_more_than_a_page_at_once_is_a_bug_of_ours(scheme: Scheme) -> None:
    many = [HeldText(number, number, "+254712000000", "message", {}) for number in range(1, 102)]
    with pytest.raises(AssertionError):
        await scheme.services.store.write(lambda connection: scheme.services.announcements.held.hold(connection, many))


async def test_on_a_server_everybody_has_it_once_too(postgres_url: str, tmp_path: Path) -> None:
    clock = MovedClock()
    wednesday(clock, hour=22)
    async with opened(tmp_path, clock, store=postgres_url) as scheme:
        rose, kofi = await scheme.customer("Rose"), await scheme.simple_phone()
        what = await announcement(scheme, [rose, kofi])
        reach = await scheme.services.announcements.reach(what)
        assert (reach.people, reach.in_app, reach.by_text, reach.later) == (2, 1, 1, 0)
        assert reach.texts_from is not None
        proposal = await approved(scheme, what)
        async with asyncio.timeout(120):
            while (progress := await scheme.services.announcements.progress(proposal.id)) is None or progress.done_at is None:
                await asyncio.sleep(0.01)
        assert (progress.people, progress.texts) == (2, 1)
        assert await inbox(scheme, rose) == await inbox(scheme, kofi) == [EN]
        assert await texts(scheme, kofi) == []
        clock.offset_s += 10 * 3600
        await released(scheme)
        assert await texts(scheme, kofi) == [{"text": EN}]
        (sent,) = await scheme.services.conversations.messages(rose.account, scheme.services.conversations.scheme_account)
        assert sent.id == message_id(proposal.id, rose.party)
        written = await scheme.services.conversations.send(id=new_id(clock), sender=kofi.account, recipient=rose.account, text="Your PIN?")
        report = await scheme.services.reports.report(
            id=new_id(clock), message=written.id, reporter=rose.account, reason=ReportReason.FRAUD, note=""
        )
        await scheme.services.reports.close(report.id, word="fraud", days=30, by=scheme.clerk)
        with pytest.raises(WritingStopped):
            await scheme.services.conversations.send(id=new_id(clock), sender=kofi.account, recipient=rose.account, text="Hello")


async def test_several_texts_held_at_once_for_one_person_are_counted_too(scheme: Scheme) -> None:
    kofi, held = await scheme.simple_phone(), scheme.services.announcements.held
    many = [HeldText(new_id(scheme.clock), kofi.party, kofi.address, "message", {"name": "Rose", "text": str(n)}) for n in range(14)]
    assert await scheme.services.store.write(lambda connection: held.hold(connection, many)) == 2
    assert [each["text"] for each in await texts(scheme, kofi, "message")] == ["0", "1", "2"]
