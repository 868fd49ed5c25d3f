"""Webhooks from the ledger to a merchant's server: nothing lost, doubles recognisable, nobody held up, nothing forged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from counterfoil.channels import delivery as delivery_module
from counterfoil.channels import outbox
from counterfoil.channels.outbox import SCHEDULE_S, EndpointState
from counterfoil.channels.outgoing import Outgoing
from counterfoil.channels.tables import attempts, endpoints
from counterfoil.channels.tables import outbox as messages
from counterfoil.channels.webhooks import ENDPOINTS_PER_PARTY_MAX, SECRET_OVERLAP_S, Endpoint, Webhooks
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState, TooLarge, Unavailable
from counterfoil.ids import id_text, parse_id
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.moments import moment_text
from counterfoil.payments.events import AccountEvent
from counterfoil.payments.feed import keep_position
from counterfoil.payments.orders import OrderKind
from tests.channels.receiver import Receiver, Request, receiving
from tests.channels.test_signatures import verify
from tests.payments.books import ALICE, BOB, SHOP, Books, ShiftedClock, books_in, until

OWNER, STRANGER = 7001, 7002
ONE, TWO, THREE = 9001, 9002, 9003


@contextlib.asynccontextmanager
async def webhooks_of(books: Books, *, timeout_s: float = 5.0) -> AsyncIterator[Webhooks]:
    """One life of the server's webhooks. Broken off at the end like by a crash: nothing is brought to an end."""
    webhooks = Webhooks(store=books.store, feed=books.feed, clock=books.clock, outgoing=Outgoing(sandbox=True, timeout_s=timeout_s))
    life = asyncio.create_task(webhooks.run())
    try:
        yield webhooks
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life
        await webhooks.outgoing.close()


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with books_in(tmp_path) as books:
        yield books


@pytest.fixture
async def webhooks(books: Books) -> AsyncIterator[Webhooks]:
    async with webhooks_of(books) as webhooks:
        yield webhooks


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


async def open_endpoint(
    webhooks: Webhooks, receiver: Receiver, id: int = ONE, *types: str, account: int = SHOP, party: int = OWNER
) -> Endpoint:
    return await webhooks.create(id=id, party=party, account=account, url=receiver.url(f"/{id}"), event_types=types)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def all_settled(books: Books) -> bool:
    """Nothing is due any more, and what was answered has been written down."""
    due = select(func.count()).select_from(messages).where(messages.c.next_attempt_at.is_not(None))
    return await books.store.read(lambda connection: connection.execute(due).scalar_one()) == 0


async def state_of(webhooks: Webhooks, id: int = ONE) -> EndpointState:
    return (await webhooks.find(OWNER, id)).state


async def test_a_merchant_hears_of_a_payment_signed_and_addressed_to_itself(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    payment = await books.pay(ALICE, SHOP, 300, memo="twö loaves 🍞")
    await until(lambda: len(receiver.requests) == 1)
    request = receiver.requests[0]
    assert verify(await webhooks.secret(OWNER, ONE), request.headers, request.body)
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 5
    assert request.headers["content-type"] == "application/json"
    (event,) = await books.feed.replay(SHOP, after=0)
    assert request.json == {
        "type": "payment.received",
        "timestamp": moment_text(event.timestamp),
        "receiver": {"endpoint": id_text(ONE), "party": id_text(OWNER)},
        "data": {
            "event": str(event.timestamp), "account": id_text(SHOP), "payment": id_text(payment.id), "transfer": id_text(payment.id),
            "counterparty": id_text(ALICE), "direction": "in", "amount": 300, "balance": 300, "available": 300,
            "kind": "pay", "service": "purchase", "reference": None, "memo": "twö loaves 🍞",
        },
    }  # fmt: skip
    assert moment_text(0) == "1970-01-01T00:00:00.000000Z"
    assert moment_text(1_795_285_800_123_456_789) == "2026-11-21T18:30:00.123456Z"


async def test_only_the_chosen_types_of_the_own_account_are_sent(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver, ONE, "refund.sent", "payment.received")
    await open_endpoint(webhooks, receiver, TWO)
    await open_endpoint(webhooks, receiver, THREE, account=BOB)
    await books.pay(ALICE, BOB, 5)
    await books.pay(ALICE, SHOP, 6)
    await books.pay(ALICE, SHOP, 1, kind=OrderKind.HOLD, timeout_s=60)
    await books.pay(SHOP, ALICE, 2, kind=OrderKind.REFUND)
    await until(lambda: len(receiver.requests) == 6)
    await eventually(lambda: all_settled(books))
    heard = sorted((int(request.path[1:]), request.json["type"]) for request in receiver.requests)
    assert heard == [
        (ONE, "payment.received"), (ONE, "refund.sent"),
        (TWO, "hold.created"), (TWO, "payment.received"), (TWO, "refund.sent"),
        (THREE, "payment.received"),
    ]  # fmt: skip


async def test_what_happened_before_the_endpoint_is_not_sent_by_itself(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    for _ in range(5):
        await books.pay()
    await open_endpoint(webhooks, receiver)
    await books.pay(amount=42)
    await until(lambda: len(receiver.requests) == 1)
    await asyncio.sleep(0.1)
    assert [request.json["data"]["amount"] for request in receiver.requests] == [42]


async def test_a_failure_is_tried_again_under_the_same_id_until_it_is_taken(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    answers = [500, 0, 404, 301, 204]
    receiver.headers = {"location": "http://127.0.0.1:1/"}
    receiver.answer = lambda _: answers[min(len(receiver.requests), len(answers)) - 1]
    await open_endpoint(webhooks, receiver)
    await books.pay()
    for number in range(1, len(answers)):
        await eventually(lambda number=number: failed(webhooks, number))  # type: ignore[misc]
        books.clock.forward(SCHEDULE_S[number - 1] * (1 + delivery_module.JITTER))
        webhooks.delivery.wake([])
    await until(lambda: len(receiver.requests) == len(answers))
    await eventually(lambda: all_settled(books))
    assert len(set(receiver.ids)) == 1
    assert len({request.body for request in receiver.requests}) == 1
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps == sorted(stamps)
    assert stamps[-1] - stamps[0] > SCHEDULE_S[2]  # each attempt is signed with its own time
    log = await webhooks.attempts(OWNER, ONE)
    assert [(line.number, line.status) for line in reversed(log)] == [(1, 500), (2, None), (3, 404), (4, 301), (5, 204)]
    assert [bool(line.error) for line in reversed(log)] == [True, True, True, True, False]
    (message,) = await webhooks.messages(OWNER, ONE)
    assert (message.attempts, message.last_status, message.delivered_at is not None) == (5, 204, True)
    assert (await webhooks.find(OWNER, ONE)).failing_since is None


async def failed(webhooks: Webhooks, number: int) -> bool:
    return [message.attempts for message in await webhooks.messages(OWNER, ONE)] == [number]


async def test_the_delays_grow_as_the_standard_says_with_some_chance(books: Books, webhooks: Webhooks) -> None:
    now = books.clock.now_ns()
    for retries, seconds in enumerate(SCHEDULE_S):
        for _ in range(20):
            when = webhooks.delivery._next_attempt_at(retries, 0)
            assert when is not None
            assert seconds <= (when - now) / NANOSECONDS < seconds * (1 + delivery_module.JITTER) + 2
    assert webhooks.delivery._next_attempt_at(len(SCHEDULE_S), 0) is None
    assert 3 * 86_400 < sum(SCHEDULE_S) < 3.5 * 86_400
    asked = webhooks.delivery._next_attempt_at(0, 900)
    assert asked is not None
    assert (asked - now) / NANOSECONDS >= 900


async def test_who_never_answers_is_disabled_after_three_days_and_the_party_is_told(
    books: Books, webhooks: Webhooks, receiver: Receiver
) -> None:
    with receiving() as other:
        await open_endpoint(webhooks, receiver)
        await open_endpoint(webhooks, other, TWO, "refund.sent")
        receiver.answer = 500
        await books.pay()
        for number in range(1, len(SCHEDULE_S) + 1):
            await eventually(lambda number=number: failed(webhooks, number))  # type: ignore[misc]
            assert await state_of(webhooks) is EndpointState.ACTIVE
            books.clock.forward(SCHEDULE_S[number - 1] * 1.3)
            webhooks.delivery.wake([])
        await eventually(lambda: is_disabled(webhooks))
        assert len(receiver.requests) == len(SCHEDULE_S) + 1 == 10
        disabled = await webhooks.find(OWNER, ONE)
        assert "nothing could be delivered since" in disabled.reason
        await until(lambda: len(other.requests) == 1)
        notice = other.requests[0].json
        assert (notice["type"], notice["receiver"]["endpoint"]) == ("endpoint.disabled", id_text(TWO))
        assert notice["data"] == {"endpoint": id_text(ONE), "reason": disabled.reason}
        await books.pay()  # nothing goes out to it any more
        await asyncio.sleep(0.15)
        assert len(receiver.requests) == 10


async def is_disabled(webhooks: Webhooks, id: int = ONE) -> bool:
    return await state_of(webhooks, id) is EndpointState.DISABLED


async def test_one_message_that_is_never_taken_does_not_disable_an_endpoint_that_takes_others(
    books: Books, webhooks: Webhooks, receiver: Receiver
) -> None:
    await open_endpoint(webhooks, receiver)
    receiver.answer = lambda request: 500 if request.json["data"]["amount"] == 13 else 204
    await books.pay(amount=13)
    for number in range(1, len(SCHEDULE_S) + 2):
        await eventually(lambda number=number: poison_tried(webhooks, number))  # type: ignore[misc]
        await books.pay(amount=1)
        await eventually(lambda number=number: taken(webhooks, number))  # type: ignore[misc]
        if number <= len(SCHEDULE_S):
            books.clock.forward(SCHEDULE_S[number - 1] * 1.3)
            webhooks.delivery.wake([])
    assert await state_of(webhooks) is EndpointState.ACTIVE
    assert await all_settled(books)  # given up, and there to be asked for
    poison = (await webhooks.messages(OWNER, ONE))[-1]
    assert (poison.delivered_at, poison.next_attempt_at, poison.attempts) == (None, None, 10)
    receiver.answer = 204
    await webhooks.replay_message(OWNER, ONE, poison.id)
    await eventually(lambda: taken(webhooks, len(SCHEDULE_S) + 2))


async def poison_tried(webhooks: Webhooks, number: int) -> bool:
    found = await webhooks.messages(OWNER, ONE)
    return bool(found) and found[-1].attempts == number


async def taken(webhooks: Webhooks, number: int) -> bool:
    return sum(message.delivered_at is not None for message in await webhooks.messages(OWNER, ONE)) == number


async def test_gone_means_gone_at_once_and_enabling_sends_all_that_was_missed(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    await books.pay(amount=1)
    await until(lambda: len(receiver.requests) == 1)
    receiver.answer = 410
    await books.pay(amount=2)
    await eventually(lambda: is_disabled(webhooks))
    assert "410" in (await webhooks.find(OWNER, ONE)).reason
    for amount in range(3, 9):
        await books.pay(amount=amount)
    await asyncio.sleep(0.15)
    assert len(receiver.requests) == 2
    with pytest.raises(NotInThisState):
        await webhooks.ping(OWNER, ONE)
    receiver.answer = 204
    enabled = await webhooks.enable(OWNER, ONE)
    assert (enabled.state, enabled.reason, enabled.failing_since) == (EndpointState.ACTIVE, "", None)
    await books.pay(amount=9)
    await until(lambda: {request.json["data"]["amount"] for request in receiver.requests} == set(range(1, 10)))
    await eventually(lambda: all_settled(books))
    assert [request.json["data"]["amount"] for request in receiver.requests].count(1) == 1  # what was taken is not sent again
    assert len(set(receiver.ids)) == 9
    assert (await webhooks.enable(OWNER, ONE)).state is EndpointState.ACTIVE


async def test_an_event_between_the_last_page_and_the_enabling_is_not_lost(
    books: Books, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer passes it by, since the endpoint is still disabled; the page was read before it happened."""
    await open_endpoint(webhooks, receiver)
    receiver.answer = 410
    await books.pay(amount=1)
    await eventually(lambda: is_disabled(webhooks))
    receiver.answer = 204
    real = books.feed.replay

    async def position() -> int:
        return await books.store.read(lambda connection: keep_position(connection, outbox.CONSUMER, 0))

    async def replay(account: int, *, after: int, limit: int) -> list[AccountEvent]:
        page = await real(account, after=after, limit=limit)
        monkeypatch.setattr(books.feed, "replay", real)
        await books.pay(amount=2)
        happened = books.ledger.last_timestamp
        async with asyncio.timeout(60):
            while await position() < happened:
                await asyncio.sleep(0.005)
        return page

    monkeypatch.setattr(books.feed, "replay", replay)
    await webhooks.enable(OWNER, ONE)
    await books.pay(amount=3)
    await until(lambda: {request.json["data"]["amount"] for request in receiver.requests} == {1, 2, 3})


async def test_enabling_under_traffic_leaves_no_gap(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    receiver.answer = 410
    total = 120

    async def traffic() -> None:
        for amount in range(1, total + 1):
            await books.pay(amount=amount)
            await asyncio.sleep(0.002)

    paying = asyncio.create_task(traffic())
    for _ in range(4):
        await eventually(lambda: is_disabled(webhooks))
        await webhooks.enable(OWNER, ONE)
    receiver.answer = 204
    await eventually(lambda: is_settled_or_disabled(books, webhooks))
    await paying
    await webhooks.enable(OWNER, ONE)
    await eventually(lambda: all_taken(webhooks, total))
    (found,) = [len({message.id for message in await webhooks.messages(OWNER, ONE, limit=200)})]
    assert found == total


async def is_settled_or_disabled(books: Books, webhooks: Webhooks) -> bool:
    return await is_disabled(webhooks) or await all_settled(books)


async def all_taken(webhooks: Webhooks, total: int) -> bool:
    found = await webhooks.messages(OWNER, ONE, limit=200)
    return len(found) == total and all(message.delivered_at for message in found)


async def test_who_hangs_holds_up_nobody_else(books: Books, receiver: Receiver) -> None:
    """Five receivers that never answer, each with more waiting than all places together; a sixth that does."""
    with receiving() as hanging:
        hanging.answer = hanging.hang
        async with webhooks_of(books, timeout_s=600) as webhooks:  # longer than anything here is waited for
            for number in range(5):
                await open_endpoint(webhooks, hanging, 100 + number, account=BOB, party=STRANGER)
            for _ in range(30):
                await books.pay(ALICE, BOB, 1)
            await until(lambda: len(hanging.requests) == 10)
            await open_endpoint(webhooks, receiver)
            for _ in range(40):
                await books.pay(ALICE, SHOP, 1)
            await until(lambda: len(receiver.requests) == 40)
            assert len(hanging.requests) == 10  # two each: nobody who has not answered gets more
            hanging.let_go.set()


async def test_a_failing_endpoint_is_asked_one_at_a_time_and_catches_up_when_it_is_well(
    books: Books, webhooks: Webhooks, receiver: Receiver
) -> None:
    at_once, most = 0, 0

    def fail(_: Request) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return 500

    await open_endpoint(webhooks, receiver)
    receiver.answer = fail
    await books.pay()
    await eventually(lambda: failed(webhooks, 1))
    most = 0
    for _ in range(20):
        await books.pay()
    await until(lambda: len(receiver.requests) == 21)
    assert most == 1
    receiver.answer = 204
    await asyncio.sleep(0.1)
    books.clock.forward(SCHEDULE_S[0] * 1.3)
    webhooks.delivery.wake([])
    await eventually(lambda: all_settled(books))
    assert set(receiver.ids[21:]) == set(receiver.ids[:21])


async def test_a_crash_between_outbox_and_delivery_loses_nothing(books: Books, receiver: Receiver) -> None:
    """Broken off again and again, at any moment, with requests under way; ids tell doubles."""
    async with webhooks_of(books) as webhooks:
        await open_endpoint(webhooks, receiver)

    def slowly(_: Request) -> int:
        time.sleep(0.003)
        return 204

    receiver.answer = slowly

    async def traffic() -> None:
        for amount in range(1, 81):
            await books.pay(amount=amount)

    paying = asyncio.create_task(traffic())
    lives = 0
    while not paying.done() or lives < 8:
        async with webhooks_of(books):
            await asyncio.sleep(0.012 * (lives % 6))
        lives += 1
    await paying
    async with webhooks_of(books):
        await eventually(lambda: taken_by(receiver, 80))
        await eventually(lambda: all_settled(books))
    amounts = {request.id: request.json["data"]["amount"] for request in receiver.requests}
    assert sorted(amounts.values()) == list(range(1, 81))  # as many ids as events: no event ever has two


async def taken_by(receiver: Receiver, number: int) -> bool:
    return len(set(receiver.ids)) == number


async def test_what_waits_when_everything_stops_is_delivered_after_the_restart(tmp_path: Path, receiver: Receiver) -> None:
    engine, clock = MemoryEngine(), ShiftedClock()
    receiver.answer = 500
    async with books_in(tmp_path, engine, clock=clock) as books, webhooks_of(books) as webhooks:
        await open_endpoint(webhooks, receiver)
        secret = await webhooks.secret(OWNER, ONE)
        await books.pay(amount=1)
        await eventually(lambda: failed(webhooks, 1))
    receiver.answer = 204
    clock.forward(SCHEDULE_S[0] * 1.3)
    async with books_in(tmp_path, engine, clock=clock, fresh=False) as books:
        await books.pay(amount=2)  # before anybody delivers
        async with webhooks_of(books):
            await until(lambda: len(receiver.requests) == 3)
            await eventually(lambda: all_settled(books))
    assert sorted(request.json["data"]["amount"] for request in receiver.requests[1:]) == [1, 2]
    assert receiver.ids[0] in receiver.ids[1:]
    assert all(verify(secret, request.headers, request.body) for request in receiver.requests)


async def test_stopping_waits_for_what_is_under_way(books: Books, receiver: Receiver) -> None:
    receiver.answer = receiver.hang
    webhooks = Webhooks(store=books.store, feed=books.feed, clock=books.clock, outgoing=Outgoing(sandbox=True))
    life = asyncio.create_task(webhooks.run())
    await open_endpoint(webhooks, receiver)
    await books.pay()
    await until(lambda: len(receiver.requests) == 1)
    books.feed.stop()
    webhooks.stop()
    await asyncio.sleep(0.05)
    assert not life.done()
    receiver.let_go.set()
    await asyncio.wait_for(life, 60)
    assert await all_settled(books)


async def test_an_outcome_that_could_not_be_written_down_is_delivered_again(
    books: Books, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "RETRY_S", 0.01)
    await open_endpoint(webhooks, receiver)
    real, failures = books.store.write_together, [Unavailable("the disk is full"), Unavailable("the disk is full")]

    async def write_together(fn: object, item: object) -> object:
        if fn is outbox.record and failures:
            raise failures.pop()
        return await real(fn, item)  # type: ignore[arg-type]

    monkeypatch.setattr(books.store, "write_together", write_together)
    await books.pay()
    await eventually(lambda: failed(webhooks, 1))
    assert len(receiver.requests) == 3
    assert len(set(receiver.ids)) == 1


async def test_both_secrets_sign_for_a_day_after_a_rotation(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    old = await webhooks.secret(OWNER, ONE)
    new = await webhooks.rotate_secret(OWNER, ONE)
    assert new == await webhooks.secret(OWNER, ONE) != old
    await webhooks.ping(OWNER, ONE)
    await until(lambda: len(receiver.requests) == 1)
    assert [verify(secret, receiver.requests[0].headers, receiver.requests[0].body) for secret in (old, new)] == [True, True]
    books.clock.forward(SECRET_OVERLAP_S + 1)
    await webhooks.ping(OWNER, ONE)
    await until(lambda: len(receiver.requests) == 2)
    assert [verify(secret, receiver.requests[1].headers, receiver.requests[1].body) for secret in (old, new)] == [False, True]


async def test_a_ping_is_found_in_the_log(webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    message = await webhooks.ping(OWNER, ONE)
    await until(lambda: len(receiver.requests) == 1)
    assert receiver.requests[0].json["type"] == "ping"
    assert parse_id(receiver.ids[0]) == message
    await eventually(lambda: failed(webhooks, 1))
    (line,) = await webhooks.attempts(OWNER, ONE, message=message)
    assert (line.message, line.status, line.error) == (message, 204, "")
    assert 0 <= line.duration_ms < 5_000


async def test_everything_since_a_moment_can_be_asked_for_again(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    for amount in (1, 2):
        await books.pay(amount=amount)  # before there was an endpoint
    await open_endpoint(webhooks, receiver, ONE, "payment.received")
    for amount in (3, 4):
        await books.pay(amount=amount)
    await until(lambda: len(receiver.requests) == 2)
    await eventually(lambda: all_settled(books))
    events = await books.feed.replay(SHOP, after=0)
    replayed = await webhooks.replay_since(OWNER, ONE, events[1].timestamp)
    assert (replayed.count, replayed.next_since) == (3, None)
    await until(lambda: len(receiver.requests) == 5)
    assert sorted(request.json["data"]["amount"] for request in receiver.requests[2:]) == [2, 3, 4]
    assert set(receiver.ids[:2]) < set(receiver.ids[2:])  # under the ids they had
    assert {request.body for request in receiver.requests[:2]} < {request.body for request in receiver.requests[2:]}
    await eventually(lambda: all_settled(books))
    await books.store.write(lambda connection: [connection.execute(table.delete()) for table in (attempts, messages)])
    assert (await webhooks.replay_since(OWNER, ONE, 0)).count == 4  # the ledger has what the outbox has forgotten
    await until(lambda: len(receiver.requests) == 9)
    assert set(receiver.ids[2:5]) < set(receiver.ids[5:])


async def test_a_message_asked_for_again_while_it_is_under_way_is_sent_again(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    receiver.answer = receiver.hang
    await open_endpoint(webhooks, receiver)
    await books.pay()
    await until(lambda: len(receiver.requests) == 1)
    (message,) = await webhooks.messages(OWNER, ONE)
    await webhooks.replay_message(OWNER, ONE, message.id)
    receiver.let_go.set()
    await until(lambda: len(receiver.requests) == 2)
    await eventually(lambda: all_settled(books))
    (message,) = await webhooks.messages(OWNER, ONE)
    assert (message.attempts, message.delivered_at is not None) == (2, True)


async def test_nobody_sees_or_touches_an_endpoint_of_somebody_else(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    message = await webhooks.ping(OWNER, ONE)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: webhooks.find(STRANGER, ONE),
        lambda: webhooks.secret(STRANGER, ONE),
        lambda: webhooks.rotate_secret(STRANGER, ONE),
        lambda: webhooks.change(STRANGER, ONE, url=receiver.url("/stolen")),
        lambda: webhooks.enable(STRANGER, ONE),
        lambda: webhooks.ping(STRANGER, ONE),
        lambda: webhooks.replay_message(STRANGER, ONE, message),
        lambda: webhooks.replay_since(STRANGER, ONE, 0),
        lambda: webhooks.messages(STRANGER, ONE),
        lambda: webhooks.attempts(STRANGER, ONE),
        lambda: webhooks.delete(STRANGER, ONE),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call()
    assert await webhooks.endpoints_of(STRANGER) == []
    assert [endpoint.id for endpoint in await webhooks.endpoints_of(OWNER)] == [ONE]


async def test_creating_is_repeatable_and_bounded(webhooks: Webhooks, receiver: Receiver) -> None:
    first = await open_endpoint(webhooks, receiver, ONE, "payment.received")
    secret = await webhooks.secret(OWNER, ONE)
    assert await open_endpoint(webhooks, receiver, ONE, "payment.received") == first
    assert await webhooks.secret(OWNER, ONE) == secret
    with pytest.raises(IdReused):
        await open_endpoint(webhooks, receiver, ONE)
    with pytest.raises(IdReused):
        await open_endpoint(webhooks, receiver, ONE, "payment.received", party=STRANGER)
    for number in range(ENDPOINTS_PER_PARTY_MAX - 1):
        await open_endpoint(webhooks, receiver, 100 + number)
    with pytest.raises(TooLarge):
        await open_endpoint(webhooks, receiver, TWO)
    await webhooks.delete(OWNER, 100)
    await open_endpoint(webhooks, receiver, TWO)


@pytest.mark.parametrize(
    ("url", "types"), [("https://user@shop.example/", ()), ("ftp://shop.example/", ()), (None, ("payment.lost",)), (None, ("payment.*",))]
)
async def test_a_wrong_address_or_type_is_refused_and_nothing_is_kept(
    webhooks: Webhooks, receiver: Receiver, url: str | None, types: tuple[str, ...]
) -> None:
    with pytest.raises(Malformed):
        await webhooks.create(id=ONE, party=OWNER, account=SHOP, url=url or receiver.url(), event_types=types)
    assert await webhooks.endpoints_of(OWNER) == []
    for limit in (0, 201):
        with pytest.raises(Malformed):
            await webhooks.messages(OWNER, ONE, limit=limit)
        with pytest.raises(Malformed):
            await webhooks.attempts(OWNER, ONE, limit=limit)


async def test_a_changed_address_gets_what_waits(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    receiver.answer = 500
    await open_endpoint(webhooks, receiver)
    await books.pay()
    await eventually(lambda: failed(webhooks, 1))
    with receiving() as other:
        changed = await webhooks.change(OWNER, ONE, url=other.url(), event_types=["refund.sent"])
        assert (changed.url, changed.event_types) == (other.url(), ("refund.sent",))
        books.clock.forward(SCHEDULE_S[0] * 1.3)
        webhooks.delivery.wake([])
        await until(lambda: len(other.requests) == 1)
        assert other.ids == receiver.ids


async def test_a_deleted_endpoint_hears_nothing_and_its_traces_go(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    receiver.answer = 500
    await open_endpoint(webhooks, receiver)
    await books.pay()
    await eventually(lambda: failed(webhooks, 1))
    await webhooks.delete(OWNER, ONE)
    with pytest.raises(NotFound):
        await webhooks.delete(OWNER, ONE)
    books.clock.forward(SCHEDULE_S[0] * 1.3)
    webhooks.delivery.wake([ONE])
    await books.pay()
    await asyncio.sleep(0.15)
    assert len(receiver.requests) == 1
    assert webhooks.accounts == {}
    while await books.store.write(lambda connection: outbox.prune(connection, ONE, books.clock.now_ns())):
        pass
    for table in (endpoints, messages, attempts):
        assert await books.store.read(lambda connection, table=table: connection.execute(select(table)).all()) == []  # type: ignore[misc]


async def test_what_is_old_and_done_with_is_pruned_and_what_waits_is_not(books: Books, webhooks: Webhooks, receiver: Receiver) -> None:
    await open_endpoint(webhooks, receiver)
    await webhooks.ping(OWNER, ONE)
    await eventually(lambda: failed(webhooks, 1))
    receiver.answer = 500
    await books.pay()
    await until(lambda: len(receiver.requests) == 2)
    await asyncio.sleep(0.1)

    async def prune() -> int:
        return await books.store.write(lambda connection: outbox.prune(connection, ONE, books.clock.now_ns()))

    assert await prune() == 0
    webhooks.stop()
    books.clock.forward(outbox.KEPT_S + 60)
    assert await prune() == 1
    assert await prune() == 0
    assert [message.type for message in await webhooks.messages(OWNER, ONE)] == ["payment.received"]


async def test_the_delivery_log_is_bounded(books: Books, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "ATTEMPTS_KEPT_MAX", 3)
    await open_endpoint(webhooks, receiver)
    for number in range(1, 6):
        await webhooks.ping(OWNER, ONE)
        await eventually(lambda number=number: attempts_are(webhooks, number))  # type: ignore[misc]
    newest = (await webhooks.attempts(OWNER, ONE))[:3]
    while await books.store.write(lambda connection: outbox.prune(connection, ONE, books.clock.now_ns())):
        pass
    assert await webhooks.attempts(OWNER, ONE) == newest
    assert await webhooks.attempts(OWNER, ONE, before=newest[1].at) == newest[2:]


async def attempts_are(webhooks: Webhooks, number: int) -> bool:
    return len(await webhooks.attempts(OWNER, ONE)) == number
