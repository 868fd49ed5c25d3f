"""Phones that sleep are woken: once for each thing, encrypted, and by SMS instead where nobody says that it was shown."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from counterfoil.channels.push import messages as messages_module
from counterfoil.channels.push.encryption import private_key, public_point
from counterfoil.channels.push.messages import ACKNOWLEDGED_WITHIN_S, NOTICE_S_MAX, OPEN_MAX, SMS_PER_DAY_MAX
from counterfoil.channels.push.service import Push
from counterfoil.channels.push.tables import push_messages, push_subscriptions
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed, Unavailable, UnknownDevice
from counterfoil.ids import id_text
from counterfoil.payments.hub import MESSAGE_RECEIVED, REQUEST_RECEIVED
from counterfoil.payments.orders import OrderKind
from tests.channels.push.browser import PushService, push_service, vapid
from tests.channels.push.lives import Town, eventually, party_of
from tests.channels.receiver import Request
from tests.payments.books import ALICE, BANK, BOB, SHOP, books_in


@pytest.fixture
def service() -> Iterator[PushService]:
    with push_service() as service:
        yield service


@pytest.fixture
async def town(tmp_path: Path, service: PushService) -> AsyncIterator[Town]:
    async with books_in(tmp_path) as books:
        town = Town(books, service)
        await town.open()
        yield town


@pytest.fixture
async def push(town: Town) -> AsyncIterator[Push]:
    async with town.life() as push:
        yield push


async def acknowledged(push: Push, service: PushService, at: int = -1) -> None:
    await push.acknowledge(int.from_bytes(service.ids[at]))


# What wakes whom


async def test_money_that_comes_in_wakes_every_phone_of_its_receiver_and_says_nothing_of_it(
    town: Town, push: Push, service: PushService
) -> None:
    await town.subscribed(push, BOB, "old")
    await town.subscribed(push, BOB, "new")
    await town.subscribed(push, ALICE, "payer")
    await town.books.pay(ALICE, BOB, 250, memo="rent")
    await eventually(lambda: len(service.ids) == 2)
    assert sorted(service.told) == ["new", "old"]
    one, other = service.ids
    assert one != other
    assert len(one) == len(other) == 16
    for request in service.requests:
        assert (request.headers["ttl"], request.headers["urgency"]) == ("60", "high")
        token = vapid(request.headers["authorization"])
        assert token.claims["sub"] == "https://money.example"
        assert token.key == public_point(private_key(b"\x07" * 32)) == push.public_key
    assert town.secrets == 1
    await eventually(lambda: _in_states(town, "sent", "sent"))
    await acknowledged(push, service)
    await acknowledged(push, service)
    await acknowledged(push, service, 0)
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert [state for _, state in await town.messages()] == ["acknowledged"] * 2
    assert await town.texts() == []


async def _in_states(town: Town, *states: str) -> bool:
    return sorted(state for _, state in await town.messages()) == sorted(states)


async def test_an_app_that_listens_is_not_woken_and_a_server_that_listens_is_no_app(town: Town, push: Push, service: PushService) -> None:
    await town.subscribed(push, SHOP, "shop")
    await town.subscribed(push, BOB, "bob")
    app = town.hub.subscribe(SHOP)
    server = town.hub.subscribe(BOB, (REQUEST_RECEIVED, MESSAGE_RECEIVED))
    await town.books.pay(ALICE, SHOP, 1)
    await town.books.pay(ALICE, BOB, 2)
    await eventually(lambda: service.told == ["bob"])
    app.close()
    await town.books.pay(ALICE, SHOP, 3)
    await eventually(lambda: service.told == ["bob", "shop"])
    server.close()


@pytest.mark.parametrize(("kind", "wakes"), [(OrderKind.PAY, True), (OrderKind.REFUND, True), (OrderKind.HOLD, False)])
async def test_only_money_that_is_there_counts(town: Town, push: Push, service: PushService, kind: OrderKind, wakes: bool) -> None:
    await town.subscribed(push, BOB, "bob")
    await town.books.pay(ALICE, BOB, 5, kind=kind, timeout_s=60 if kind is OrderKind.HOLD else 0)
    await town.notice(BOB)
    await eventually(lambda: len(service.ids) == 1 + wakes)
    assert sorted(request.headers["ttl"] for request in service.requests) == sorted(["300"] + ["60"] * wakes)


async def test_a_security_notice_is_pushed_for_five_minutes_and_its_sms_is_the_one_that_went_at_once(
    town: Town, push: Push, service: PushService
) -> None:
    await town.subscribed(push, ALICE, "phone")
    await town.device(ALICE, "none")
    await town.notice(ALICE)
    await eventually(lambda: len(service.ids) == 1)
    assert service.requests[0].headers["ttl"] == "300"
    await eventually(lambda: _in_states(town, "sent"))
    town.books.clock.forward(NOTICE_S_MAX + 1)
    await eventually(town.settled)
    assert await town.messages() == [("phone", "unheard")]
    assert [(kind, number) for number, kind, _ in await town.texts(security=True)] == [("frozen", "+254712000101")]
    assert await town.waiting_notices() == 0, "nor does the device without a subscription wait for ever"


async def test_a_request_wakes_whom_it_asks(town: Town, push: Push, service: PushService) -> None:
    await town.subscribed(push, ALICE, "asked")
    await town.subscribed(push, BOB, "asks")
    request = await town.request(push, BOB, ALICE, 1_250)
    await town.books.store.write(lambda connection: push.asked(connection, request))  # told twice, a message once
    push.written()
    await eventually(lambda: service.told == ["asked"])
    await eventually(lambda: _in_states(town, "sent"))
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert await town.texts() == [("+254712000101", "request_received", {"name": "Bo", "amount": 1_250})]
    assert service.told == ["asked"]


# By SMS instead


async def test_money_that_no_phone_has_acknowledged_in_time_is_told_by_one_sms(town: Town, push: Push, service: PushService) -> None:
    for seed in ("one", "two"):
        await town.subscribed(push, BOB, seed)
    payment = await town.books.pay(ALICE, BOB, 250)
    await eventually(lambda: _in_states(town, "sent", "sent"))
    assert await town.texts() == []
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert [state for _, state in await town.messages()] == ["by_sms"] * 2
    ((number, kind, values),) = await town.texts()
    (event,) = await town.books.feed.replay(BOB, after=0)
    assert (number, kind) == ("+254712000102", "received")
    payment_id, account = id_text(payment.id), id_text(BOB)  # by which the receipt's code is told
    assert values == {
        "name": "Amina", "amount": 250, "fee": 0, "balance": 250, "held": 0, "at": event.timestamp, "payment": payment_id, "account": account,
    }  # fmt: skip
    await acknowledged(push, service)  # too late: said is said
    assert [state for _, state in await town.messages()] == ["by_sms"] * 2
    assert len(service.ids) == 2


async def test_one_phone_that_answers_is_enough(town: Town, push: Push, service: PushService) -> None:
    for seed in ("one", "two"):
        await town.subscribed(push, BOB, seed)
    await town.books.pay(ALICE, BOB, 250)
    await eventually(lambda: _in_states(town, "sent", "sent"))
    await acknowledged(push, service)
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert sorted(state for _, state in await town.messages()) == ["acknowledged", "unheard"]
    assert await town.texts() == []


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_over_is_removed_and_its_news_goes_by_sms_at_once(
    town: Town, push: Push, service: PushService, status: int
) -> None:
    await town.subscribed(push, BOB, "gone")
    service.answer = status
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: _in_states(town, "by_sms"))
    assert len(await town.texts()) == 1
    assert await _subscribed(town) == []
    await town.books.pay(ALICE, BOB, 8)
    await town.notice(BOB)
    await eventually(lambda: _nothing_waits(town))
    assert len(service.ids) == 1


async def _nothing_waits(town: Town) -> bool:
    return await town.waiting_notices() == 0


async def _subscribed(town: Town) -> list[int]:
    query = select(push_subscriptions.c.device)
    return await town.books.store.read(lambda connection: list(connection.execute(query).scalars()))


@pytest.mark.parametrize("status", [400, 401, 403, 413])
async def test_a_push_service_that_refuses_for_good_is_not_asked_again_and_the_subscription_stays(
    town: Town, push: Push, service: PushService, status: int
) -> None:
    device = await town.subscribed(push, BOB, "phone")
    service.answer = status
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: _in_states(town, "by_sms"))
    assert (len(service.ids), len(await town.texts())) == (1, 1)
    assert await _subscribed(town) == [device.id]


async def test_a_busy_push_service_is_asked_again_when_it_said_and_under_the_same_id(town: Town, push: Push, service: PushService) -> None:
    await town.subscribed(push, BOB, "phone")
    service.answer, service.receiver.headers = 429, {"retry-after": "9"}
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: _attempts(town, 1))
    service.answer, service.receiver.headers = 201, {}
    row = await _row(town)
    assert 9 * NANOSECONDS <= row.next_attempt_at - row.created_at <= 25 * NANOSECONDS
    town.books.clock.forward(12)
    push.written()
    await eventually(lambda: _in_states(town, "sent"))
    assert len(service.ids) == 2
    assert service.ids[0] == service.ids[1]
    assert service.requests[0].headers["topic"] == service.requests[1].headers["topic"]
    assert service.requests[0].body != service.requests[1].body, "keys and salt are used once"


async def _row(town: Town) -> Any:
    return await town.books.store.read(lambda connection: connection.execute(select(push_messages)).one())


async def _attempts(town: Town, count: int) -> bool:
    rows = await town.books.store.read(lambda connection: connection.execute(select(push_messages.c.attempts)).scalars().all())
    return bool(sum(rows) == count)


async def test_what_could_only_be_tried_too_late_is_not_tried_again(town: Town, push: Push, service: PushService) -> None:
    await town.subscribed(push, BOB, "phone")
    service.answer, service.receiver.headers = 503, {"retry-after": "3600"}
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: _attempts(town, 1))
    assert (await _row(town)).next_attempt_at is None
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    push.written()
    await eventually(lambda: _in_states(town, "by_sms"))
    assert (len(service.ids), len(await town.texts())) == (1, 1)


async def test_a_push_service_that_hangs_holds_up_neither_the_sms_nor_others(town: Town, service: PushService) -> None:
    async with town.life(timeout_s=60) as push:
        await town.subscribed(push, BOB, "hangs")
        asked = threading.Event()

        def hang(request: Request) -> int:
            if request.path == "/push/hangs":
                asked.set()
                service.receiver.let_go.wait(60)
            return 201

        service.answer = hang
        await town.books.pay(ALICE, BOB, 7)
        await eventually(asked.is_set)
        await town.subscribed(push, SHOP, "works")
        await town.books.pay(ALICE, SHOP, 8)
        await eventually(lambda: "works" in service.told)
        await eventually(lambda: _in_states(town, "sent", "waiting"))
        await acknowledged(push, service)
        town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
        await eventually(town.settled)
        assert sorted(await town.messages()) == [("hangs", "by_sms"), ("works", "acknowledged")]
        service.receiver.let_go.set()
        await eventually(lambda: not push._under_way)
        assert sorted(await town.messages()) == [("hangs", "by_sms"), ("works", "acknowledged")]


async def test_what_is_recorded_as_sent_while_somebody_looks_is_not_sent_again(
    town: Town, push: Push, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that began before that still shows it as waiting, and ends when it is under way no more."""
    read, goes_on = push.store.read, threading.Event()

    def late(_: Request) -> int:
        goes_on.wait(30)
        return 201

    async def look(what: Callable[[Connection], Any]) -> Any:
        found = await read(what)
        if isinstance(found, list) and any(getattr(each, "id", 0) == int.from_bytes(service.ids[0]) for each in found):
            goes_on.set()
            await eventually(lambda: _in_states(town, "sent", "waiting"))
            await eventually(lambda: not push._under_way)
        return found

    service.answer = late
    await town.subscribed(push, BOB, "bob")
    await town.books.pay(ALICE, BOB, 1)
    await eventually(lambda: len(service.ids) == 1)
    monkeypatch.setattr(push.store, "read", look)
    await town.books.pay(ALICE, BOB, 2)
    await eventually(lambda: _in_states(town, "sent", "sent"))
    assert len(service.ids) == len(set(service.ids)) == 2


async def test_silence_is_tried_again(town: Town, push: Push, service: PushService) -> None:
    await town.subscribed(push, BOB, "phone")
    service.answer = 0
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: _attempts(town, 1))
    service.answer = 201
    town.books.clock.forward(4)
    push.written()
    await eventually(lambda: _in_states(town, "sent"))
    assert len(set(service.ids)) == 1


async def test_a_phone_that_was_told_often_enough_is_left_alone_and_texts_have_a_bound(
    town: Town, push: Push, service: PushService
) -> None:
    await town.subscribed(push, BOB, "phone")
    for _ in range(OPEN_MAX + 5):
        await town.books.pay(ALICE, BOB, 1)
    await town.subscribed(push, SHOP, "later")
    await town.books.pay(ALICE, SHOP, 1)
    await eventually(lambda: "later" in service.told)
    await eventually(lambda: _in_states(town, *["sent"] * (OPEN_MAX + 1)))
    await acknowledged(push, service, service.told.index("later"))
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    await town.books.pay(ALICE, BOB, 1)
    await eventually(lambda: _in_states(town, "acknowledged", *["by_sms"] * OPEN_MAX, "sent"))
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert len(await town.texts()) == SMS_PER_DAY_MAX == OPEN_MAX
    town.books.clock.forward(86_400)
    await town.books.pay(ALICE, BOB, 1)
    await eventually(lambda: _in_states(town, "acknowledged", *["by_sms"] * OPEN_MAX, "unheard", "sent"))
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert len(await town.texts()) == SMS_PER_DAY_MAX + 1


# Subscriptions


async def test_a_revoked_device_is_forgotten_and_not_woken_any_more(town: Town, push: Push, service: PushService) -> None:
    lost = await town.subscribed(push, BOB, "lost")
    kept = await town.subscribed(push, BOB, "kept")
    await town.revoke(lost)
    await eventually(lambda: service.told == ["kept"])
    await eventually(lambda: _has_subscribed(town, kept.id))
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: service.told == ["kept", "kept"])
    with pytest.raises(UnknownDevice):
        await push.subscriptions.put(town.subscription(lost))


async def _has_subscribed(town: Town, *devices: int) -> bool:
    return sorted(await _subscribed(town)) == sorted(devices)


async def test_what_was_written_for_a_device_that_is_revoked_before_it_is_sent_never_leaves(town: Town, service: PushService) -> None:
    async with town.life() as push:
        lost = await town.subscribed(push, BOB, "lost")
        service.answer = 503
        await town.books.pay(ALICE, BOB, 7)
        await eventually(lambda: _attempts(town, 1))
    await town.revoke(lost)
    await town.books.store.write(lambda c: c.execute(update(push_messages).values(next_attempt_at=1)))
    (due,) = await town.books.store.read(lambda connection: messages_module.due(connection, 2, 10))
    assert due.subscription is None, "whoever looks first, the sender or what forgets it"
    async with town.life():
        await eventually(lambda: _in_states(town, "by_sms"))
        assert (len(service.ids), await _subscribed(town)) == (1, [])


async def test_a_subscription_replaces_the_one_before_and_an_endpoint_is_one_phones(town: Town, push: Push, service: PushService) -> None:
    first = await town.subscribed(push, BOB, "first")
    await push.subscriptions.put(town.subscription(first))
    service.phone("renewed")
    renewed = service.phones["/push/renewed"]
    await push.subscriptions.put(town.subscription(first, endpoint=service.url("renewed"), p256dh=renewed.p256dh, auth=renewed.auth))
    await town.books.pay(ALICE, BOB, 1)
    await eventually(lambda: service.told == ["renewed"])
    heir = await town.device(SHOP, "heir")  # the same browser, with another account
    await push.subscriptions.put(town.subscription(heir, endpoint=service.url("renewed"), p256dh=renewed.p256dh, auth=renewed.auth))
    assert await _subscribed(town) == [heir.id]
    assert await push.subscriptions.is_subscribed(heir.id)
    await push.subscriptions.remove(heir.id)
    await push.subscriptions.remove(heir.id)
    assert await _subscribed(town) == []


BAD: list[tuple[str, Any]] = [
    ("endpoint", "ftp://127.0.0.1/x"),
    ("endpoint", "http://192.0.2.1:1/x"),
    ("endpoint", "https://10.0.0.1/x"),
    ("endpoint", "https://[::ffff:192.168.0.1]/x"),
    ("endpoint", "https://a:b@127.0.0.1/x"),
    ("endpoint", "https://127.0.0.1/" + "x" * 1_000),
    ("p256dh", b""),
    ("p256dh", bytes(65)),
    ("p256dh", b"\x04" + b"\x01" * 64),
    ("auth", bytes(15)),
    ("auth", bytes(17)),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_what_is_no_subscription_is_refused(town: Town, push: Push, field: str, value: Any) -> None:
    device = await town.device(BOB, "phone")
    with pytest.raises(Malformed) as refused:
        await push.subscriptions.put(town.subscription(device, **{field: value}))
    assert refused.value.facts["field"] == field
    assert await _subscribed(town) == []


async def test_nobody_learns_from_acknowledging_what_is_not_there(town: Town, push: Push) -> None:
    for unknown in (0, 1, 2**128 - 1):
        await push.acknowledge(unknown)
    assert await town.messages() == []


# The process dies


class DyingStore:
    """A store whose process dies at one of its writes, before or after it is durable."""

    def __init__(self, town: Town, at: int, *, after: bool) -> None:
        self._store = town.books.store
        self._left = at
        self._after = after
        self.died = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, fn: Callable[[Connection], Any]) -> Any:
        self._left -= 1
        if self._left >= 0:
            return await self._store.write(fn)
        if self._left == -1 and self._after:
            await self._store.write(fn)
        self.died.set()
        return await asyncio.Event().wait()  # until the life is broken off


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(9))
async def test_a_process_that_dies_at_any_write_loses_nothing_and_tells_nothing_twice(
    town: Town, service: PushService, at: int, after: bool
) -> None:
    """Money, a notice and a request; the phone never answers. Three lives end by a crash, the last one comes to the end."""
    async with town.life() as push:
        await town.subscribed(push, BOB, "phone")
    store = DyingStore(town, at, after=after)
    async with town.life(town.push(store=store)) as push:
        await town.books.pay(ALICE, BOB, 250)
        await town.notice(BOB)
        await town.request(push, ALICE, BOB, 99)
        push.written()
        done = asyncio.create_task(eventually(lambda: _sent_all(town)))
        dead = asyncio.create_task(store.died.wait())
        await asyncio.wait((done, dead), return_when=asyncio.FIRST_COMPLETED)
        for task in (done, dead):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    async with town.life():
        await eventually(lambda: _sent_all(town))
    causes = await town.books.store.read(lambda c: list(c.execute(select(push_messages.c.cause)).scalars()))
    assert sorted(cause.split()[0] for cause in causes) == ["event", "notice", "request"]
    assert len(set(service.ids)) == 3, "whatever was handed over twice, was so under its own id"
    store = DyingStore(town, 1, after=after)
    town.books.clock.forward(NOTICE_S_MAX + 1)
    async with town.life(town.push(store=store)):
        await asyncio.wait_for(store.died.wait(), 60)
    async with town.life():
        await eventually(town.settled)
    assert sorted(kind for _, kind, _ in await town.texts()) == ["received", "request_received"]
    assert len(set(service.ids)) == 3


async def _sent_all(town: Town) -> bool:
    return await _in_states(town, "sent", "sent", "sent")


async def test_a_request_is_told_after_the_next_start_although_the_process_died_right_after_it_was_kept(
    town: Town, service: PushService
) -> None:
    async with town.life() as push:
        await town.subscribed(push, BOB, "phone")
    await town.request(push, ALICE, BOB, 99)  # and nobody says `written`: that life is over
    app = town.hub.subscribe(BOB)
    await town.request(push, ALICE, BOB, 100)
    app.close()
    async with town.life():
        await eventually(lambda: _in_states(town, "sent"))
    assert service.told == ["phone"], "an app that listens has heard of its request itself"


class LosingStore(DyingStore):
    """A store that cannot be written for a while."""

    def __init__(self, town: Town) -> None:
        super().__init__(town, 0, after=False)
        self.is_out = False
        self.refused = 0

    async def write(self, fn: Callable[[Connection], Any]) -> Any:
        if self.is_out:
            self.refused += 1
            raise Unavailable("the disk is full")
        return await self._store.write(fn)


async def test_a_store_that_is_out_for_a_while_is_waited_for(town: Town, service: PushService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfoil.channels.push.service.RETRY_S", 0.05)
    store = LosingStore(town)
    async with town.life(town.push(store=store)) as push:
        await town.subscribed(push, BOB, "phone")
        store.is_out = True
        await town.notice(BOB)
        await eventually(lambda: store.refused > 1)
        store.is_out = False
        await eventually(lambda: _in_states(town, "sent"))
    assert service.told == ["phone"]


async def test_what_ended_long_ago_is_deleted_and_what_is_open_is_not(town: Town, push: Push, service: PushService) -> None:
    await town.subscribed(push, BOB, "phone")
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: len(service.ids) == 1)
    await eventually(lambda: _in_states(town, "sent"))
    await acknowledged(push, service)
    now = town.books.clock.now_ns()
    store = town.books.store
    assert await store.write(lambda connection: messages_module.prune(connection, now)) == 0
    late = now + (messages_module.KEPT_S + 1) * NANOSECONDS
    assert await store.write(lambda connection: messages_module.prune(connection, late)) == 1
    await town.books.pay(ALICE, BOB, 7)
    await eventually(lambda: _in_states(town, "sent"))
    assert await store.write(lambda connection: messages_module.prune(connection, late)) == 0
    assert await store.read(lambda connection: connection.execute(select(func.count()).select_from(push_messages)).scalar_one()) == 1


async def test_a_holder_without_a_number_is_told_by_push_alone(town: Town, push: Push, service: PushService) -> None:
    from counterfoil.parties.tables import parties

    await town.subscribed(push, BOB, "phone")
    await town.books.store.write(lambda c: c.execute(update(parties).where(parties.c.id == party_of(BOB)).values(number=None)))
    await town.books.pay(BANK, BOB, 7)
    await eventually(lambda: _in_states(town, "sent"))
    town.books.clock.forward(ACKNOWLEDGED_WITHIN_S + 1)
    await eventually(town.settled)
    assert (await town.messages(), await town.texts()) == ([("phone", "unheard")], [])
