"""From the outbox to a gateway: each notice one row, each row at least once, nothing lost, nobody held up."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, select

from counterfoil.channels.sms import queue
from counterfoil.channels.sms import sender as sender_module
from counterfoil.channels.sms.queue import OTHERS_PER_DAY_MAX, UNSURE_S, State
from counterfoil.channels.sms.sender import SCHEDULE_S
from counterfoil.channels.sms.tables import messages
from counterfoil.channels.sms.types import Delivery, Outbound, Report
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Unavailable
from counterfoil.parties.notices import hand_over as hand_over_notices
from counterfoil.parties.tables import notices
from counterfoil.store.database import Store
from counterfoil.store.migrations import migrate
from tests.channels.sms.texting import (
    AMA,
    DOWN,
    KOFI,
    NO,
    Post,
    eventually,
    in_the_outbox,
    kept,
    life,
    open_party,
    sender,
    settled,
    states,
    store_in,
    tell,
    way,
)
from tests.payments.books import ShiftedClock


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


async def test_a_notice_becomes_a_text_in_its_readers_language_and_is_paid_by_the_part(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    party = await open_party(store, clock, AMA, "ko")
    await open_party(store, clock, KOFI, "fr", "Kofi")
    await tell(store, clock, "unfrozen", AMA)  # by the number
    await tell(store, clock, "closed", "+254700000009", party=party)  # by the party, whatever the number
    await tell(store, clock, "closed", KOFI)
    await tell(store, clock, "closed", "+254700000008")  # nobody's
    async with life(sender(store, clock, way(post, clock))) as one:
        await settled(store, *["sent"] * 4)
        await eventually(lambda: _equal(one.waiting, 0))
    assert sorted(post.texts) == sorted(
        ["계좌 동결이 풀렸어요.", "계좌가 해지됐어요.", "Votre compte est fermé.", "Your account is closed."]
    )
    first = (await kept(store))[0]
    assert (first.number, first.language, first.alphabet, first.parts, first.cost) == (AMA, "ko", "ucs2", 1, 3)
    assert (first.gateway, first.attempts, first.next_attempt_at) == ("one", 1, None)
    assert first.reference.startswith("one-")
    assert post.given[0].sender == "4567"
    assert await in_the_outbox(store) == 0


async def test_without_a_gateway_notices_stay_where_staff_see_them(store: Store, clock: ShiftedClock) -> None:
    await tell(store, clock)
    await sender(store, clock).run()
    assert await in_the_outbox(store) == 1
    assert await kept(store) == []


async def test_what_goes_to_devices_or_is_of_no_known_kind_stays(store: Store, clock: ShiftedClock) -> None:
    await tell(store, clock, "a_kind_of_tomorrow")
    await tell(store, clock)
    await store.write(lambda connection: connection.execute(notices.update().where(notices.c.kind == "frozen").values(channel="push")))
    await tell(store, clock, "closed")
    post = Post()
    async with life(sender(store, clock, way(post, clock))):
        await settled(store, "sent")
    assert await in_the_outbox(store) == 2


async def test_texts_to_one_number_keep_their_order_within_a_rank_though_some_fail_first(store: Store, clock: ShiftedClock) -> None:
    post, shaky = Post(), itertools.cycle([True, False, False])

    async def answer(text: Outbound) -> None:
        await asyncio.sleep(0)
        if next(shaky):
            raise DOWN

    post.answer = answer
    for number in range(12):
        await tell(store, clock, "pin_allowed", AMA if number % 2 else KOFI, per_day=100 * (number + 1))
    async with life(sender(store, clock, way(post, clock))):
        async with asyncio.timeout(60):
            while await states(store) != ["sent"] * 12:
                clock.forward(1)
                await asyncio.sleep(0.02)
    for whose in (AMA, KOFI):
        seen = [text for text, _ in itertools.groupby(each.text for each in post.given if each.number == whose)]
        assert seen == [message.text for message in await kept(store) if message.number == whose]


async def test_a_code_does_not_wait_for_a_shops_texts(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    for number in range(OTHERS_PER_DAY_MAX):
        await tell(store, clock, "slip", f"+25470000001{number}", shop="Shop", amount="1.00 USD", link="https://x.example/1")
    await tell(store, clock, "code", AMA, code="123456", purpose="enrol", minutes=10)
    async with life(sender(store, clock, way(post, clock, rate_per_s=100))):
        await settled(store, *["sent"] * (OTHERS_PER_DAY_MAX + 1))
    assert post.given[0].number == AMA


async def test_a_gateway_is_given_no_more_in_a_second_than_its_rate(store: Store, clock: ShiftedClock) -> None:
    post, at = Post(), list[float]()

    async def answer(_: Outbound) -> None:
        at.append(time.monotonic())

    post.answer = answer
    for number in range(30):
        await tell(store, clock, "closed", f"+2547000001{number:02}")
    async with life(sender(store, clock, way(post, clock, rate_per_s=25))):
        await settled(store, *["sent"] * 30)
    assert at[-1] - at[0] >= 29 / 25 * 0.95


async def test_the_next_gateway_takes_over_and_the_first_is_tried_again_after_growing_pauses(store: Store, clock: ShiftedClock) -> None:
    first, second = Post("first"), Post("second")
    first.answer = DOWN
    ways = way(first, clock, part_cost=1), way(second, clock, part_cost=5)
    rests = []
    async with life(sender(store, clock, *ways)):
        for number in range(4):
            await tell(store, clock, "closed", f"+25470000000{number}")
            await settled(store, *["sent"] * (number + 1))
            assert len(first.given) == number + 1
            rests.append(round(ways[0].rests_s))
            clock.forward(ways[0].rests_s)
        first.answer = None
        await tell(store, clock, "frozen")
        await settled(store, *["sent"] * 5)
    assert rests == [1, 2, 4, 8]
    assert [message.gateway for message in await kept(store)] == ["second"] * 4 + ["first"]
    assert [message.cost for message in await kept(store)] == [5] * 4 + [1]
    assert {each.id for each in second.given} <= {each.id for each in first.given}


async def test_nothing_is_lost_while_no_gateway_works_and_one_text_at_a_time_asks(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    post.answer = Unavailable("slow down", retry_after_s=700)
    lone = way(post, clock)
    async with life(sender(store, clock, lone)):
        for number in range(20):
            await tell(store, clock, "closed", f"+2547000001{number:02}")
        await eventually(lambda: _equal(lone.rests_s > 0 and not lone.under_way, True))
        assert lone.rests_s > 600
        given = len(post.given)
        clock.forward(650)
        await asyncio.sleep(0.2)
        assert len(post.given) == given, "it asked for more time"
        clock.forward(60)
        await eventually(lambda: _equal(len(post.given), given + 1))
        await eventually(lambda: _equal(lone.rests_s > 600, True))
        assert len(post.given) == given + 1, "one asks for all"
        post.answer = None
        clock.forward(3_000)
        await settled(store, *["sent"] * 20)
    assert len({each.id for each in post.given}) == 20


async def test_a_look_is_made_beside_the_event_loop(store: Store, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Payments do not stand still meanwhile, however much is held up."""
    seen, due = set[threading.Thread](), queue.due

    def looking(*arguments: Any, **named: Any) -> list[queue.Message]:
        seen.add(threading.current_thread())
        return due(*arguments, **named)

    monkeypatch.setattr(queue, "due", looking)
    await tell(store, clock)
    async with life(sender(store, clock, way(Post(), clock))):
        await settled(store, "sent")
    assert threading.current_thread() not in seen


async def test_a_look_at_a_long_queue_costs_what_one_at_a_short_queue_does(store: Store, clock: ShiftedClock) -> None:
    """In steps of the database's machine, which depend on no clock; also after texts that nobody ever reported."""
    await tell(store, clock, count=2)
    await sender(store, clock, way(Post(), clock)).take_over()
    model, now = (await kept(store))[0], clock.now_ns()
    old = {"state": State.SENT, "gateway": "one", "sent_at": now - 2 * UNSURE_S * NANOSECONDS, "next_attempt_at": None}

    def fill(connection: Connection, first: int, count: int) -> None:
        for place in range(first, first + count):
            for sequence, values in ((2 * place, old), (2 * place + 1, {})):
                own = {"id": sequence, "sequence": sequence, "number": f"+2547{place:08}", "next_attempt_at": now}
                connection.execute(messages.insert(), msgspec.structs.asdict(model) | own | values)

    def steps(connection: Connection) -> int:
        count, driver = itertools.count(), connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(lambda: next(count) < 0, 10)
        found = queue.due(connection, now, without=(), limit=16, reporting=["one"])
        driver.set_progress_handler(None, 0)
        assert len(found) == 16
        return next(count)

    await store.write(partial(fill, first=100, count=40))
    short = await store.read(steps)
    await store.write(partial(fill, first=200, count=4_000))
    assert await store.read(steps) < 2 * short


def test_texts_that_fail_together_are_one_failure(clock: ShiftedClock) -> None:
    lone, began = way(Post(), clock), clock.monotonic_ns()
    for _ in range(16):
        lone.failed(0, began)
    assert 0 < lone.rests_s <= 1
    assert lone.trouble == 16
    lone.failed(0, clock.monotonic_ns())
    assert 1 < lone.rests_s <= 2


async def test_a_refused_text_is_given_up_once_the_gateway_has_taken_another(store: Store, clock: ShiftedClock) -> None:
    post = Post()

    async def answer(text: Outbound) -> None:
        if text.number == KOFI:
            raise NO

    post.answer = answer
    await tell(store, clock, "closed", KOFI)
    one = sender(store, clock, way(post, clock))
    async with life(one):
        await eventually(lambda: _equal(len(post.given) > 0, True))
        assert await states(store) == ["waiting"], "nobody knows yet whether it is the text or our password"
        await tell(store, clock, "closed", AMA)
        await settled(store, "waiting", "sent")
        clock.forward(SCHEDULE_S[-1])
        await settled(store, "failed", "sent")
    assert (await kept(store))[0].reason == "one: no such number"
    assert one.ended[State.FAILED] == 1


async def test_a_gateway_that_refuses_everything_loses_nothing(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    post.answer = NO
    async with life(sender(store, clock, way(post, clock))):
        await tell(store, clock, "closed", AMA)
        await tell(store, clock, "closed", KOFI)
        for _ in range(6):
            clock.forward(SCHEDULE_S[-1])
            await eventually(partial(_more_than, post, len(post.given)))
        post.answer = None
        clock.forward(SCHEDULE_S[-1])
        await settled(store, "sent", "sent")


async def test_a_bug_in_a_gateway_is_a_failure_of_that_gateway_alone(store: Store, clock: ShiftedClock) -> None:
    first, second = Post("first"), Post("second")
    first.answer = RuntimeError(f"{AMA} said 123456")
    await tell(store, clock, "closed")
    async with life(sender(store, clock, way(first, clock), way(second, clock))):
        await settled(store, "sent")
    assert (await kept(store))[0].gateway == "second"


async def test_a_code_is_removed_when_it_has_left_and_when_it_is_too_old_to_leave(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    await tell(store, clock, "code", AMA, code="123456", purpose="enrol", minutes=10)
    async with life(sender(store, clock, way(post, clock))):
        await settled(store, "sent")
        assert "123456" in post.texts[0]
        post.answer = DOWN
        await tell(store, clock, "code", KOFI, code="654321", purpose="enrol", minutes=10)
        await settled(store, "sent", "waiting")
        assert "654321" in (await kept(store))[1].text
        await eventually(lambda: _is_tried(store))
        clock.forward(599)
        await eventually(lambda: _equal(len(post.given) > 2, True))
        clock.forward(2)
        post.answer = None
        await settled(store, "sent", "expired")
        count = len(post.given)
        clock.forward(600)
        await tell(store, clock, "closed")
        await settled(store, "sent", "expired", "sent")
    assert len(post.given) == count + 1, "a code that is too old is not sent"
    assert [message.text for message in await kept(store)] == ["", "", "Your account is closed."]
    bodies = await store.read(lambda connection: connection.execute(select(notices.c.body).where(notices.c.kind == "code")).scalars().all())
    assert set(bodies) == {"{}"}


async def test_a_sandboxes_texts_stay_to_be_looked_at(store: Store, clock: ShiftedClock) -> None:
    await tell(store, clock, "code", AMA, code="123456", purpose="enrol", minutes=10)
    async with life(sender(store, clock, way(Post(), clock, shown=True))):
        await settled(store, "delivered")
    assert "123456" in (await kept(store))[0].text


async def test_only_what_is_neither_money_nor_security_is_capped(store: Store, clock: ShiftedClock) -> None:
    slip: dict[str, Any] = {"shop": "Shop", "amount": "1.00 USD", "link": "https://x.example/1"}
    await tell(store, clock, "slip", count=OTHERS_PER_DAY_MAX + 2, **slip)
    await tell(store, clock, "closed", count=30)
    await tell(store, clock, "slip", KOFI, **slip)
    post = Post()
    async with life(sender(store, clock, way(post, clock))) as one:
        await settled(store, *["sent"] * OTHERS_PER_DAY_MAX, "capped", "capped", *["sent"] * 31)
        clock.forward(86_401)
        await tell(store, clock, "slip", **slip)
        await eventually(lambda: _equal(len(post.given), OTHERS_PER_DAY_MAX + 32))
    assert one.ended[State.CAPPED] == 2


# Reports


async def test_reports_are_taken_in_any_order_any_number_of_times(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    await tell(store, clock, "closed", AMA)
    await tell(store, clock, "closed", KOFI)
    async with life(sender(store, clock, way(post, clock))):
        await settled(store, "sent", "sent")
    first, second = await kept(store)

    async def report(delivery: Delivery, *, id: int | None = None, reference: str = "", gateway: str = "one") -> State | None:
        said = Report(gateway=gateway, id=id, reference=reference, delivery=delivery)
        return await store.write(lambda connection: queue.reported(connection, said, clock.now_ns()))

    assert await report(Delivery.ON_ITS_WAY, id=first.id, gateway="another") is None
    assert await report(Delivery.ON_ITS_WAY, id=first.id) is State.SENT
    assert await report(Delivery.ON_ITS_WAY, id=first.id) is None
    assert await report(Delivery.FAILED, id=first.id, gateway="another") is None, "only who took it knows that it failed"
    assert await report(Delivery.DELIVERED, id=first.id) is State.DELIVERED
    assert await report(Delivery.DELIVERED, id=first.id) is None
    assert await report(Delivery.FAILED, id=first.id) is None
    assert await report(Delivery.FAILED, reference=second.reference, gateway="another") is None
    assert await report(Delivery.FAILED, reference=second.reference) is State.FAILED
    assert await report(Delivery.DELIVERED, reference=second.reference) is State.DELIVERED, "the phone has it, whatever was said before"
    assert await report(Delivery.DELIVERED, id=12345) is None
    assert await report(Delivery.DELIVERED) is None
    assert await states(store) == ["delivered", "delivered"]


async def test_a_report_that_is_quicker_than_our_own_note_stands(store: Store, clock: ShiftedClock) -> None:
    post = Post()

    async def answer(text: Outbound) -> None:
        said = Report(gateway="one", id=text.id, delivery=Delivery.DELIVERED)
        await store.write(lambda connection: queue.reported(connection, said, clock.now_ns()))

    post.answer = answer
    await tell(store, clock, "code", code="123456", purpose="enrol", minutes=10)
    async with life(sender(store, clock, way(post, clock))):
        await settled(store, "delivered")
        await eventually(lambda: _is_paid(store))
    (message,) = await kept(store)
    assert (message.cost, message.text, message.gateway) == (3, "", "one")


# Dying


STEPS = ("notice read", "text written", "outbox emptied", "text found", "given", "taken", "written down")


@pytest.mark.parametrize("step", STEPS)
async def test_whatever_dies_whenever_a_notice_is_one_row_and_is_given_under_one_id(
    step: str, tmp_path: Path, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies at each step of the way, three lives in a row, and then lives."""
    post = Post()
    async with store_in(tmp_path) as store:
        await tell(store, clock, "closed", AMA)
        await tell(store, clock, "closed", KOFI)
    for number in range(3):
        dying = Dying(step, post, monkeypatch)
        async with store_in(tmp_path, fresh=False) as store, life(sender(store, clock, way(dying.post, clock))):
            async with asyncio.timeout(60):
                await dying.dead.wait()
        monkeypatch.undo()
        assert dying.deaths > 0, (step, number)
    async with store_in(tmp_path, fresh=False) as store:
        async with life(sender(store, clock, way(post, clock))):
            async with asyncio.timeout(60):
                while await states(store) != ["sent", "sent"]:
                    clock.forward(1)
                    await asyncio.sleep(0.02)
        rows = await kept(store)
        assert await in_the_outbox(store) == 0
    given = [each.id for each in post.given]
    assert set(given) == {row.id for row in rows}, "one row, one id"
    assert all(given.count(row.id) >= 1 for row in rows)
    if step not in ("taken", "written down"):
        assert len(given) == 2, "what dies before a gateway has taken it is given once"


class Dying:
    """Cuts a life off at one step: from then on, nothing more is done."""

    def __init__(self, step: str, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dead = asyncio.Event()
        self.deaths = 0
        self.post = _Cut(post, self, step)
        take_over, hand_over, due, sent = queue.take_over, hand_over_notices, queue.due, queue.sent

        def cut(name: str, fn: object, *, after: bool) -> object:
            def cutting(*arguments: object, **named: object) -> object:
                result = fn(*arguments, **named) if after else None  # type: ignore[operator]
                self.die()
                return result

            return cutting if step == name else fn

        monkeypatch.setattr(queue, "take_over", cut("notice read", take_over, after=False))
        monkeypatch.setattr(queue, "hand_over", cut("text written", hand_over, after=False))
        if step == "outbox emptied":
            monkeypatch.setattr(queue, "hand_over", cut("outbox emptied", hand_over, after=True))
        monkeypatch.setattr(queue, "due", cut("text found", due, after=True))
        monkeypatch.setattr(queue, "sent", cut("written down", sent, after=True))

    def die(self) -> None:
        self.deaths += 1
        self.dead.set()
        raise Unavailable("the process is no more")


class _Cut(Post):
    """The same gateway, as a process sees it that dies before or after it was asked."""

    def __init__(self, post: Post, dying: Dying, step: str) -> None:
        super().__init__(post.name)
        self._post, self._dying, self._step = post, dying, step

    async def send(self, text: Outbound) -> str:
        if self._step == "given":
            self._dying.dead.set()
            self._dying.deaths += 1
            await asyncio.Event().wait()  # until the life ends
        reference = await self._post.send(text)
        if self._step == "taken":
            self._dying.dead.set()
            self._dying.deaths += 1
            await asyncio.Event().wait()
        return reference


async def test_an_outage_of_the_store_does_not_send_twice(store: Store, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    post, failures, sent = Post(), iter([True, True]), queue.sent

    def failing(connection: Connection, taken: queue.Taken) -> None:
        if next(failures, False):
            raise Unavailable("the disk is full")
        sent(connection, taken)

    monkeypatch.setattr(queue, "sent", failing)
    await tell(store, clock, "closed")
    async with life(sender(store, clock, way(post, clock))):
        await settled(store, "sent")
    assert len(post.given) == 1


async def test_stopping_lets_what_is_under_way_come_to_its_end(store: Store, clock: ShiftedClock) -> None:
    post, begun, may = Post(), asyncio.Event(), asyncio.Event()

    async def answer(_: Outbound) -> None:
        begun.set()
        await may.wait()

    post.answer = answer
    await tell(store, clock, "closed")
    one = sender(store, clock, way(post, clock))
    running = asyncio.create_task(one.run())
    await begun.wait()
    one.stop()
    may.set()
    await running
    assert await states(store) == ["sent"]


async def test_old_texts_are_forgotten_and_waiting_ones_never(store: Store, clock: ShiftedClock) -> None:
    post = Post()
    await tell(store, clock, "closed", AMA)
    async with life(sender(store, clock, way(post, clock))):
        await settled(store, "sent")
    clock.forward(queue.KEPT_S - 10)
    assert await store.write(lambda connection: queue.prune(connection, clock.now_ns())) == 0
    await store.write(lambda connection: queue.take_over(connection, sender(store, clock).speaker, lambda *_: "", clock.now_ns()))
    clock.forward(20)
    assert await store.write(lambda connection: queue.prune(connection, clock.now_ns())) == 1
    assert await store.read(lambda connection: connection.execute(select(messages.c.id)).all()) == []


async def _equal(value: object, expected: object) -> bool:
    return value == expected


async def _more_than(post: Post, count: int) -> bool:
    return len(post.given) > count


async def _is_tried(store: Store) -> bool:
    return (await kept(store))[-1].attempts == 1


async def _is_paid(store: Store) -> bool:
    return (await kept(store))[0].cost > 0


async def test_on_postgresql_it_is_the_same(postgres_url: str, clock: ShiftedClock) -> None:
    migrate(postgres_url)
    store = Store.open(postgres_url)
    writer = asyncio.create_task(store.run())
    post, second = Post(), Post("second")
    post.answer = DOWN
    try:
        await open_party(store, clock, AMA, "ko")
        await tell(store, clock, "closed", AMA)
        await tell(store, clock, "code", KOFI, code="123456", purpose="enrol", minutes=10)
        await tell(store, clock, "slip", KOFI, OTHERS_PER_DAY_MAX + 1, shop="Shop", amount="1.00 USD", link="https://x.example/1")
        async with life(sender(store, clock, way(post, clock), way(second, clock))):
            await settled(store, *["sent"] * (OTHERS_PER_DAY_MAX + 2), "capped")
        first, code, *_ = await kept(store)
        assert (first.text, first.gateway, code.text) == ("계좌가 해지됐어요.", "second", "")
        said = Report(gateway="second", reference=first.reference, delivery=Delivery.DELIVERED)
        assert await store.write(lambda connection: queue.reported(connection, said, clock.now_ns())) is State.DELIVERED
        assert await store.write(lambda connection: queue.expire(connection, clock.now_ns())) == 0
        clock.forward(queue.KEPT_S + 1)
        assert await store.write(lambda connection: queue.prune(connection, clock.now_ns())) == OTHERS_PER_DAY_MAX + 3
    finally:
        await store.stop()
        await writer
