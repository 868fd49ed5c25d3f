"""Messages between two people: kept once, in order, for these two only, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from counterfoil.channels.conversations import PER_DAY_MAX, PER_MINUTE_MAX, TEXT_LENGTH_MAX, Conversations, Message, parse_text
from counterfoil.errors import AccountFrozen, IdReused, Malformed, MessagesBlocked, PartyClosed, PartyNotFound, TooMany
from counterfoil.ids import new_id
from tests.scheme import Person, Scheme, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scheme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheme]:
    async with opened(tmp_path_factory.mktemp("scheme")) as running:
        yield running


def talk(scheme: Scheme) -> Conversations:
    return scheme.services.conversations


async def write(sender: Person, recipient: Person, text: str = "hello", *, id: int = 0) -> Message:
    scheme = sender.scheme
    return await talk(scheme).send(id=id or new_id(scheme.clock), sender=sender.account, recipient=recipient.account, text=text)


async def two(scheme: Scheme) -> tuple[Person, Person]:
    return await scheme.customer("Ha-eun"), await scheme.customer("Rose")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  hello \n", "hello"),
        ("one\r\ntwo", "one\ntwo"),
        ("A\u030a", "\u00c5"),
        ("\ud55c\uae00 👩‍👩‍👧 שלום", "\ud55c\uae00 👩‍👩‍👧 שלום"),
        ("x" * TEXT_LENGTH_MAX, "x" * TEXT_LENGTH_MAX),
        ("e\u0301" * TEXT_LENGTH_MAX, "\u00e9" * TEXT_LENGTH_MAX),
    ],
)
async def test_a_text_is_kept_in_its_normal_form(text: str, kept: str) -> None:
    assert parse_text(text) == kept


@pytest.mark.parametrize("text", ["", " \n ", "a\x00b", "a\tb", "\ud800", "\u200d", "x" * (TEXT_LENGTH_MAX + 1), "x" * 100_000])
async def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_text(text)
    assert refused.value.facts["field"] == "text"


async def test_both_read_the_same_newest_first(scheme: Scheme) -> None:
    one, other = await two(scheme)
    sent = [await write(one, other, "1"), await write(other, one, "2"), await write(one, other, "3")]
    for reader, partner in ((one, other), (other, one)):
        assert await talk(scheme).messages(reader.account, partner.account) == sent[::-1]
    (thread,) = await talk(scheme).threads(other.account)
    assert (thread.other, thread.last, thread.unread, thread.blocked) == (one.account, sent[2], 2, False)
    (thread,) = await talk(scheme).threads(one.account)
    assert (thread.other, thread.last, thread.unread) == (other.account, sent[2], 1)


async def test_a_repeat_is_the_same_message_and_other_content_is_refused(scheme: Scheme) -> None:
    one, other = await two(scheme)
    first = await write(one, other, "cafe\u0301")
    assert await write(one, other, "café", id=first.id) == first
    with pytest.raises(IdReused):
        await write(one, other, "tea", id=first.id)
    with pytest.raises(IdReused):
        await write(other, one, "café", id=first.id)
    assert await talk(scheme).messages(one.account, other.account) == [first]
    assert (await talk(scheme).thread(other.account, one.account)).unread == 1


async def test_order_and_pages_hold_when_the_clock_stands_still_or_goes_back(scheme: Scheme) -> None:
    one, others = await scheme.customer(), [await scheme.customer() for _ in range(4)]
    try:
        for number, other in enumerate(others):
            scheme.clock.offset_s -= 3600 * number
            for text in ("a", "b", "c"):
                await write(one, other, text)
    finally:
        scheme.clock.offset_s = 0
    texts, before = [], 0
    while page := await talk(scheme).messages(one.account, others[3].account, before=before, limit=2):
        texts += [message.text for message in page]
        before = page[-1].sent_at
    assert texts == ["c", "b", "a"]
    found, before = [], 0
    while some := await talk(scheme).threads(one.account, before=before, limit=1):
        found += [thread.other for thread in some]
        before = some[-1].last_at
    assert found == [other.account for other in others[::-1]]


async def test_reading_empties_the_count_and_says_when(scheme: Scheme) -> None:
    one, other = await two(scheme)
    await write(one, other, "1")
    await write(other, one, "2")
    for _ in range(2):
        await talk(scheme).read(other.account, one.account)
    assert (await talk(scheme).thread(other.account, one.account)).unread == 0
    assert (await talk(scheme).thread(one.account, other.account)).unread == 1, "the other side has not read anything"
    second, first = await talk(scheme).messages(one.account, other.account)
    assert first.read_at is not None
    assert second.read_at is None


async def test_a_block_silences_both_until_it_is_taken_back(scheme: Scheme) -> None:
    one, other = await two(scheme)
    await write(one, other, "before")
    for _ in range(2):
        await talk(scheme).block(other.account, one.account)
    assert (await talk(scheme).thread(other.account, one.account)).blocked
    assert not (await talk(scheme).thread(one.account, other.account)).blocked, "nobody is told who blocked"
    for sender, recipient in ((one, other), (other, one)):
        with pytest.raises(MessagesBlocked):
            await write(sender, recipient)
    await talk(scheme).unblock(one.account, other.account)  # not theirs to take back
    with pytest.raises(MessagesBlocked):
        await write(one, other)
    await talk(scheme).unblock(other.account, one.account)
    assert (await write(one, other, "after")).text == "after"


async def test_somebody_can_be_blocked_before_they_ever_wrote(scheme: Scheme) -> None:
    one, other = await two(scheme)
    await talk(scheme).block(other.account, one.account)
    with pytest.raises(MessagesBlocked):
        await write(one, other)
    assert await talk(scheme).threads(other.account) == []
    await talk(scheme).unblock(other.account, one.account)
    await write(one, other)
    assert [thread.unread for thread in await talk(scheme).threads(other.account)] == [1]


async def test_nobody_writes_to_themselves_to_nobody_or_to_who_is_gone(scheme: Scheme) -> None:
    one, other = await two(scheme)
    with pytest.raises(Malformed):
        await write(one, one)
    with pytest.raises(Malformed):
        await talk(scheme).block(one.account, one.account)
    with pytest.raises(PartyNotFound):
        await talk(scheme).send(id=1, sender=one.account, recipient=12345, text="hello")
    with pytest.raises(PartyNotFound):
        await talk(scheme).thread(one.account, 12345)
    with pytest.raises(PartyNotFound):
        await talk(scheme).block(one.account, 12345)
    await scheme.services.parties.staff.close(other.party, reason="in a test", by=scheme.supervisors[0])
    with pytest.raises(PartyClosed):
        await write(one, other)
    with pytest.raises(PartyClosed):
        await write(other, one)


async def test_a_frozen_account_writes_nothing_and_is_written_to(scheme: Scheme) -> None:
    one, other = await two(scheme)
    await scheme.services.parties.staff.freeze(new_id(scheme.clock), one.party, reason="in a test", by=scheme.supervisors[0])
    with pytest.raises(AccountFrozen):
        await write(one, other)
    assert (await write(other, one)).recipient == one.account


async def test_a_minute_has_room_for_sixty_messages(scheme: Scheme) -> None:
    one, other = await two(scheme)
    last = 0
    for number in range(PER_MINUTE_MAX):
        last = (await write(one, other, str(number))).id
    with pytest.raises(TooMany) as refused:
        await write(one, other, "one more")
    assert 1 <= refused.value.facts["retry_after_s"] <= 60
    assert (await write(one, other, str(PER_MINUTE_MAX - 1), id=last)).id == last, "a repeat is nothing new"
    assert (await write(other, one)).sender == other.account, "others have room of their own"
    scheme.clock.offset_s += refused.value.facts["retry_after_s"]
    try:
        assert (await write(one, other, "one more")).text == "one more"
    finally:
        scheme.clock.offset_s = 0


async def test_a_day_has_room_for_a_thousand(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PER_DAY_MAX == 1_000
    monkeypatch.setattr("counterfoil.channels.conversations.PER_DAY_MAX", 5)
    one, other = await two(scheme)
    try:
        for number in range(5):
            scheme.clock.offset_s += 61 * number
            await write(one, other, str(number))
        scheme.clock.offset_s += 61
        with pytest.raises(TooMany) as refused:
            await write(one, other, "one more")
        assert 3_600 < refused.value.facts["retry_after_s"] <= 86_400
        scheme.clock.offset_s += refused.value.facts["retry_after_s"]
        await write(one, other, "one more")
    finally:
        scheme.clock.offset_s = 0


async def test_many_at_once_are_all_kept_in_one_order(scheme: Scheme) -> None:
    one, other = await two(scheme)
    await asyncio.gather(*(write(*pair, str(number)) for number in range(15) for pair in ((one, other), (other, one))))
    found = await talk(scheme).messages(one.account, other.account)
    assert len(found) == 30
    assert [message.sent_at for message in found] == sorted({message.sent_at for message in found}, reverse=True)
    assert [(await talk(scheme).thread(a.account, b.account)).unread for a, b in ((one, other), (other, one))] == [15, 15]


async def test_messages_are_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        one, other = await two(scheme)
        sent = await write(one, other, "still there")
    async with opened(tmp_path) as scheme:
        assert await talk(scheme).messages(other.account, one.account) == [sent]
