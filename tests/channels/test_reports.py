"""Messages that were reported, and messages that go as texts to whoever has no app."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from counterfoil.channels.reports import DAYS, NOTE_LENGTH_MAX, PER_DAY_MAX, Report, ReportReason, Reports
from counterfoil.errors import Forbidden, IdReused, Malformed, NotFound, NotInThisState, TooMany, WritingStopped
from counterfoil.ids import new_id
from counterfoil.parties.tables import notices
from tests.channels.test_announcements import announcement, approved, handed_out, wednesday
from tests.scheme import MovedClock, Person, Scheme, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    clock = MovedClock()
    wednesday(clock)
    async with opened(tmp_path_factory.mktemp("scheme"), clock) as running:
        yield running


def reports(scheme: Scheme) -> Reports:
    return scheme.services.reports


async def write(sender: Person, recipient: Person, text: str = "Send me your PIN", *, id: int = 0) -> int:
    scheme = sender.scheme
    sent = await scheme.services.conversations.send(
        id=id or new_id(scheme.clock), sender=sender.account, recipient=recipient.account, text=text
    )
    return sent.id


async def report(reporter: Person, message: int, *, id: int = 0, **changes: Any) -> Report:
    values: dict[str, Any] = {"reason": ReportReason.FRAUD, "note": "A stranger."} | changes
    scheme = reporter.scheme
    return await reports(scheme).report(id=id or new_id(scheme.clock), message=message, reporter=reporter.account, **values)


async def two(scheme: Scheme) -> tuple[Person, Person]:
    return await scheme.customer("Ha-eun"), await scheme.customer("Rose")


async def test_a_report_keeps_a_copy_until_it_is_closed_with_a_word(scheme: Scheme) -> None:
    one, other = await two(scheme)
    message = await write(one, other)
    made = await report(other, message)
    assert (made.text, made.sender, made.reporter, made.reason, made.note) == (
        "Send me your PIN", one.account, other.account, ReportReason.FRAUD, "A stranger."
    )  # fmt: skip
    assert await report(other, message, reason=ReportReason.SPAM) == made  # once is enough
    assert made in await reports(scheme).all()
    count = await reports(scheme).open_count()
    closed = await reports(scheme).close(made.id, word="A warning by telephone", days=0, by=scheme.clerk)
    assert await reports(scheme).close(made.id, word="A warning by telephone", days=0, by=scheme.clerk) == closed
    assert made not in await reports(scheme).all()
    assert (await reports(scheme).all(is_open=False))[0] == closed
    assert await reports(scheme).open_count() == count - 1
    for by, word in ((scheme.clerk, "Another word"), (scheme.supervisors[0], "A warning by telephone")):
        with pytest.raises(NotInThisState):
            await reports(scheme).close(made.id, word=word, days=0, by=by)
    await write(one, other, "Sorry")  # nothing was taken from the sender


async def test_only_what_one_received_can_be_reported(scheme: Scheme) -> None:
    one, other = await two(scheme)
    third = await scheme.customer()
    message = await write(one, other)
    for reporter, what in ((one, message), (third, message), (other, 77)):
        with pytest.raises(NotFound):
            await report(reporter, what)
    await approved(scheme, await announcement(scheme, [other]))
    await handed_out(scheme)
    talk = scheme.services.conversations
    (theirs,) = await talk.messages(other.account, talk.scheme_account)
    with pytest.raises(NotFound):
        await report(other, theirs.id)


async def test_an_id_is_one_report_and_notes_have_bounds(scheme: Scheme) -> None:
    one, other = await two(scheme)
    made = await report(other, await write(one, other))
    second = await write(one, other)
    with pytest.raises(IdReused):
        await report(other, second, id=made.id)
    for wrong, field in (({"id": -1}, "id"), ({"note": "x" * (NOTE_LENGTH_MAX + 1)}, "note"), ({"note": "\x00"}, "note")):
        with pytest.raises(Malformed) as refused:
            await report(other, second, **wrong)
        assert refused.value.facts["field"] == field
    assert (await report(other, second, note=" \n ")).note == ""


async def test_reports_are_so_many_a_day(scheme: Scheme) -> None:
    one, other = await two(scheme)
    sent = [await write(one, other) for _ in range(PER_DAY_MAX + 1)]
    for message in sent[:-1]:
        await report(other, message)
    with pytest.raises(TooMany) as refused:
        await report(other, sent[-1])
    scheme.clock.offset_s += refused.value.facts["retry_after_s"]
    await report(other, sent[-1])


@pytest.mark.parametrize("days", DAYS[1:])
async def test_a_sender_who_was_stopped_writes_to_nobody_until_the_days_are_over(scheme: Scheme, days: int) -> None:
    one, other = await two(scheme)
    third = await scheme.customer()
    kept = await write(one, other)
    made = await report(other, kept)
    await reports(scheme).close(made.id, word="Fraud", days=days, by=scheme.supervisors[0])
    for recipient in (other, third):
        with pytest.raises(WritingStopped):
            await write(one, recipient)
    assert await write(one, other, id=kept) == kept  # a repeat is the message that was sent
    await write(other, one, "I can still write.")
    scheme.clock.offset_s += days * 86_400 - 60
    with pytest.raises(WritingStopped):
        await write(one, third)
    scheme.clock.offset_s += 61
    await write(one, third, "Hello")


async def test_a_second_report_never_shortens_the_first_ones_days(scheme: Scheme) -> None:
    one, other = await two(scheme)
    made = [await report(other, await write(one, other)) for _ in range(2)]
    for each, days in zip(made, (30, 1), strict=True):
        await reports(scheme).close(each.id, word="Fraud", days=days, by=scheme.clerk)
    scheme.clock.offset_s += 2 * 86_400
    with pytest.raises(WritingStopped):
        await write(one, other)


async def test_only_who_may_closes_a_report(scheme: Scheme) -> None:
    one, other = await two(scheme)
    made = await report(other, await write(one, other))
    for by in (one.party, scheme.administrator, scheme.treasurers[0]):
        with pytest.raises(Forbidden):
            await reports(scheme).close(made.id, word="Nothing in it", days=0, by=by)
    with pytest.raises(NotFound):
        await reports(scheme).close(77, word="Nothing in it", days=0, by=scheme.clerk)
    for wrong in ({"days": 2, "word": "Nothing in it"}, {"days": 0, "word": " "}):
        with pytest.raises(Malformed):
            await reports(scheme).close(made.id, by=scheme.clerk, **wrong)  # type: ignore[arg-type]


# Messages as texts


async def texts(scheme: Scheme, person: Person) -> list[dict[str, str]]:
    query = select(notices.c.body).where(notices.c.party == person.party, notices.c.kind == "message").order_by(notices.c.created_at)
    return await scheme.services.store.read(lambda connection: [json.loads(row.body) for row in connection.execute(query)])


async def test_whoever_has_no_app_gets_a_message_as_a_text_once(scheme: Scheme) -> None:
    wednesday(scheme.clock)
    rose, kofi, ama = await scheme.customer("Rose"), await scheme.simple_phone(), await scheme.customer("Ama")
    sent = await write(rose, kofi, "Lunch?\nAt one.")
    assert await write(rose, kofi, "Lunch?\nAt one.", id=sent) == sent
    assert await texts(scheme, kofi) == [{"name": "Rose", "text": "Lunch? At one."}]
    await write(rose, ama, "Lunch?")
    assert await texts(scheme, ama) == []


async def test_a_message_at_night_waits_for_the_morning(tmp_path: Path) -> None:
    clock = MovedClock()
    wednesday(clock, hour=22)
    async with opened(tmp_path, clock) as scheme:
        rose, kofi = await scheme.customer("Rose"), await scheme.simple_phone()
        await write(rose, kofi, "Are you awake?")
        assert await texts(scheme, kofi) == []
        clock.offset_s += 10 * 3600
        await scheme.services.announcements.held.release()
        assert await texts(scheme, kofi) == [{"name": "Rose", "text": "Are you awake?"}]
