"""A text of which nobody knows whether a gateway took it: what that gateway can tell is waited for before another one gets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from counterfoil.channels.sms import queue
from counterfoil.channels.sms import sender as sender_module
from counterfoil.channels.sms.queue import UNSURE_S, State
from counterfoil.channels.sms.types import Delivery, Doubt, Outbound, Report
from counterfoil.errors import Unavailable
from counterfoil.store.database import Store
from tests.channels.sms.texting import AMA, DOWN, KOFI, Post, eventually, kept, life, sender, settled, store_in, tell, way
from tests.payments.books import ShiftedClock

LOST = Unavailable("no answer", perhaps_taken=True)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "PACE_S", 0.05)


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with store_in(tmp_path) as store:
        yield store


def post(name: str, doubt: Doubt) -> Post:
    found = Post(name)
    found.doubt = doubt
    return found


async def report(store: Store, clock: ShiftedClock, delivery: Delivery, *, gateway: str = "one", part_cost: int = 3) -> State | None:
    """What a gateway says of the first text."""
    said = Report(gateway=gateway, id=(await kept(store))[0].id, delivery=delivery)
    return await store.write(lambda connection: queue.reported(connection, said, clock.now_ns(), part_cost=part_cost))


async def tried(store: Store, attempts: int = 1) -> None:
    """Returns when so many attempts at the first text are written down."""
    await eventually(lambda: _is_tried(store, attempts))


async def _is_tried(store: Store, attempts: int) -> bool:
    rows = await kept(store)
    return bool(rows) and rows[0].attempts == attempts


async def forward_until(clock: ShiftedClock, store: Store, *expected: str) -> None:
    async with asyncio.timeout(60):
        while [str(message.state) for message in await kept(store)] != list(expected):
            clock.forward(1)
            await asyncio.sleep(0.02)


class Dies(Post):
    """The process dies when this gateway has the text."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__()
        self.doubt = doubt
        self.dead = asyncio.Event()

    async def send(self, text: Outbound) -> str:
        self.given.append(text)
        self.dead.set()
        await asyncio.Event().wait()
        raise AssertionError


async def died(store: Store, clock: ShiftedClock, doubt: Doubt, kind: str = "closed", number: str = AMA) -> Outbound:
    """A life that ended with the text in a gateway's hands."""
    values: dict[str, Any] = {"code": "123456", "purpose": "enrol", "minutes": 10} if kind == "code" else {}
    await tell(store, clock, kind, number, **values)
    gateway = Dies(doubt)
    async with life(sender(store, clock, way(gateway, clock))):
        async with asyncio.timeout(60):
            await gateway.dead.wait()
    (given,) = gateway.given
    return given


async def test_the_report_of_a_text_that_was_given_when_the_process_died_is_its_answer(store: Store, clock: ShiftedClock) -> None:
    await died(store, clock, Doubt.REPORT)
    one = post("one", Doubt.REPORT)
    async with life(sender(store, clock, way(one, clock))):
        clock.forward(UNSURE_S / 2)
        await tell(store, clock, "closed", KOFI)
        await settled(store, "waiting", "sent")
        assert await report(store, clock, Delivery.ON_ITS_WAY, gateway="another") is None
        assert await report(store, clock, Delivery.ON_ITS_WAY) is State.SENT
        assert await report(store, clock, Delivery.ON_ITS_WAY) is None
        clock.forward(UNSURE_S)
        await tell(store, clock, "closed", KOFI)
        await settled(store, "sent", "sent", "sent")
    assert [each.number for each in one.given] == [KOFI, KOFI]
    message = (await kept(store))[0]
    assert (message.gateway, message.attempts, message.cost) == ("one", 1, 3), "what a gateway took is paid"
    assert message.sent_at is not None
    assert await report(store, clock, Delivery.DELIVERED) is State.DELIVERED


async def test_without_a_report_it_is_given_again_under_its_id(store: Store, clock: ShiftedClock) -> None:
    before = await died(store, clock, Doubt.REPORT)
    other = post("other", Doubt.REPORT)
    async with life(sender(store, clock, way(other, clock))):
        await tell(store, clock, "closed", KOFI)
        await settled(store, "waiting", "sent")
        await forward_until(clock, store, "sent", "sent")
    assert other.given[1] == before


async def test_a_gateway_that_knows_ids_is_given_it_again_at_once_and_no_other_one(store: Store, clock: ShiftedClock) -> None:
    before = await died(store, clock, Doubt.ASK)
    first, one = post("first", Doubt.ASK), post("one", Doubt.ASK)
    async with life(sender(store, clock, way(first, clock), way(one, clock))):
        await settled(store, "sent")
    assert (first.given, one.given) == ([], [before])


async def test_a_doubt_ends_when_its_gateway_stays_away(store: Store, clock: ShiftedClock) -> None:
    """Until then others' texts go by the spare one, and a doubt does not end because nobody listens."""
    await died(store, clock, Doubt.ASK)
    one, spare = post("one", Doubt.ASK), post("spare", Doubt.ASK)
    one.answer = DOWN
    async with life(sender(store, clock, way(one, clock), way(spare, clock))):
        await tried(store)
        await tell(store, clock, "closed", KOFI)
        await settled(store, "waiting", "sent")
        assert [each.number for each in spare.given] == [KOFI]
        clock.forward(5)
        await tried(store, 2)
        assert [each.number for each in spare.given] == [KOFI]
        await forward_until(clock, store, "sent", "sent")
    assert {each.number for each in spare.given} == {AMA, KOFI}


@pytest.mark.parametrize("doubt", [Doubt.ASK, Doubt.REPORT])
async def test_an_answer_that_was_lost_is_a_doubt_too_and_holds_up_nobody_else(store: Store, clock: ShiftedClock, doubt: Doubt) -> None:
    one, spare = post("one", doubt), post("spare", doubt)
    one.answer = LOST
    async with life(sender(store, clock, way(one, clock), way(spare, clock))):
        await tell(store, clock, "closed", AMA)
        await tried(store)
        await tell(store, clock, "closed", AMA)
        await tell(store, clock, "closed", KOFI)
        await settled(store, "waiting", "waiting", "sent")
        assert [each.number for each in spare.given] == [KOFI], "what it perhaps has, and what comes after it, waits"
        one.answer = None
        if doubt is Doubt.REPORT:
            assert await report(store, clock, Delivery.DELIVERED) is State.DELIVERED
            await settled(store, "delivered", "sent", "sent")
        else:
            clock.forward(5)
            await forward_until(clock, store, "sent", "sent", "sent")
    rows = await kept(store)
    assert rows[0].gateway == "one"
    assert rows[0].cost == 3
    assert rows[0].sent_at is not None


async def test_a_gateway_that_never_answers_keeps_no_text(store: Store, clock: ShiftedClock) -> None:
    """It has perhaps taken it, again and again: once the doubt is old, the next one gets it."""
    for doubt in (Doubt.ASK, Doubt.REPORT):
        one, spare = post("one", doubt), post("spare", doubt)
        one.answer = LOST
        count = len(await kept(store))
        async with life(sender(store, clock, way(one, clock), way(spare, clock))):
            await tell(store, clock, "closed", AMA)
            await forward_until(clock, store, *["sent"] * (count + 1))
        assert len(spare.given) == 1
        assert (await kept(store))[-1].gateway == "spare"


@pytest.mark.parametrize("doubt", list(Doubt))
async def test_a_code_does_not_wait_for_certainty(store: Store, clock: ShiftedClock, doubt: Doubt) -> None:
    before = await died(store, clock, doubt, "code")
    one, spare = post("one", doubt), post("spare", doubt)
    one.answer = LOST
    async with life(sender(store, clock, way(one, clock), way(spare, clock))):
        await settled(store, "sent")
    assert (one.given, spare.given) == ([before], [before])


async def test_a_report_that_is_quicker_than_the_answer_is_paid_once(store: Store, clock: ShiftedClock) -> None:
    one = post("one", Doubt.REPORT)

    async def answer(text: Outbound) -> None:
        assert await report(store, clock, Delivery.ON_ITS_WAY) is State.SENT

    one.answer = answer
    async with life(sender(store, clock, way(one, clock))):
        await tell(store, clock, "closed", AMA)
        await eventually(lambda: _has_reference(store))
    (message,) = await kept(store)
    assert (message.state, message.cost, message.attempts) == (State.SENT, 3, 1)


async def _has_reference(store: Store) -> bool:
    return any(message.reference for message in await kept(store))


async def test_a_text_that_the_network_refuses_after_the_process_died_has_failed(store: Store, clock: ShiftedClock) -> None:
    await died(store, clock, Doubt.REPORT)
    assert await report(store, clock, Delivery.FAILED, gateway="another") is None
    assert await report(store, clock, Delivery.FAILED) is State.FAILED
    one = post("one", Doubt.REPORT)
    clock.forward(2 * UNSURE_S)
    async with life(sender(store, clock, way(one, clock))):
        await tell(store, clock, "closed", KOFI)
        await settled(store, "failed", "sent")
    assert [each.number for each in one.given] == [KOFI]


async def test_a_store_that_is_full_gives_nothing_away_and_ends_nothing(
    store: Store, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written down before is not given."""
    monkeypatch.setattr(sender_module, "RETRY_S", 0.02)
    failures, giving = iter([True, True]), queue.giving

    def failing(connection: object, given: list[queue.Given]) -> list[bool]:
        if next(failures, False):
            assert one.given == []
            raise Unavailable("the disk is full")
        return giving(connection, given)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "giving", failing)
    one = post("one", Doubt.REPORT)
    async with life(sender(store, clock, way(one, clock))):
        await tell(store, clock, "closed", AMA)
        await settled(store, "sent")
    assert len(one.given) == 1


async def test_what_a_queue_of_others_could_put_in_another_order_is_given_one_by_one(store: Store, clock: ShiftedClock) -> None:
    """To one number, and within a rank; a code waits for nobody, and nothing waits for ever."""
    one = post("one", Doubt.REPORT)
    async with life(sender(store, clock, way(one, clock))):
        for kind, number in (("closed", AMA), ("frozen", AMA), ("closed", KOFI), ("unfrozen", AMA)):
            await tell(store, clock, kind, number)
        await tell(store, clock, "code", AMA, code="123456", purpose="enrol", minutes=10)
        await settled(store, "sent", "waiting", "sent", "waiting", "waiting")
        for count in (1, 2, 3):  # looks go by
            await tell(store, clock, "closed", f"+25470000010{count}")
            await settled(store, "sent", "waiting", "sent", "waiting", "waiting", *["sent"] * count)
        assert [each.number for each in one.given].count(AMA) == 1
        assert await report(store, clock, Delivery.ON_ITS_WAY) is State.SENT
        await settled(store, "sent", "sent", "sent", "waiting", "waiting", *["sent"] * 3)
        clock.forward(UNSURE_S)
        await settled(store, *["sent"] * 8)
        await tell(store, clock, "code", AMA, code="654321", purpose="enrol", minutes=10)
        await settled(store, *["sent"] * 9)
    assert [each.text[:6] for each in one.given if each.number == AMA][-1] == "654321"


async def test_what_is_urgent_does_not_wait_for_the_report_of_what_is_not(store: Store, clock: ShiftedClock) -> None:
    slip: dict[str, Any] = {"shop": "Shop", "amount": "1.00 USD", "link": "https://x.example/1"}
    async with life(sender(store, clock, way(post("one", Doubt.REPORT), clock))):
        await tell(store, clock, "slip", AMA, count=2, **slip)
        await settled(store, "sent", "waiting")
        await tell(store, clock, "closed", AMA)
        await settled(store, "sent", "waiting", "sent")
