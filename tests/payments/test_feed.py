"""The feed's promises: each event once, in order, whether live, replayed, or written by a consumer; after any crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace
from sqlalchemy import Column, Connection, MetaData, Table, Text, func, select

from counterfoil.errors import Malformed, TooMany, Unavailable
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import ChangeEventType
from counterfoil.payments import feed as feed_module
from counterfoil.payments.events import AccountEvent, EventType, account_event
from counterfoil.payments.feed import keep_position
from counterfoil.payments.feed_tables import feed_positions
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.subscription import BUFFER_SIZE_MAX, REPLAY_PAGE_SIZE, Subscription
from counterfoil.payments.types import Payment
from counterfoil.store.schema import Id, Nanoseconds
from tests.payments.books import ALICE, BANK, BOB, FEES, ISSUANCE, SHOP, Books, ShiftedClock, books_in, until

E = EventType


@pytest.fixture(params=["memory", "sqlite"])
async def books(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Books]:
    engine = MemoryEngine() if request.param == "memory" else SqliteEngine.open(tmp_path / "ledger.sqlite")
    async with books_in(tmp_path, engine) as books:
        yield books
    engine.close()


async def take(subscription: Subscription, count: int) -> list[AccountEvent]:
    async with asyncio.timeout(10):
        return [await anext(subscription) for _ in range(count)]


def told(events: list[AccountEvent]) -> list[tuple[EventType, int, int, int]]:
    return [(event.type, event.amount, event.balance, event.available) for event in events]


async def test_payer_and_payee_hear_of_a_payment_with_the_balance_after_it(books: Books) -> None:
    async with books.feed.subscribe(ALICE) as alice, books.feed.subscribe(SHOP) as shop:
        payment = await books.pay(ALICE, SHOP, 300, fee=5, memo="two loaves")
        sent, fee = await take(alice, 2)
        (received,) = await take(shop, 1)
    assert told([sent, fee]) == [(E.PAYMENT_SENT, 300, 499_700, 499_700), (E.FEE_CHARGED, 5, 499_695, 499_695)]
    assert told([received]) == [(E.PAYMENT_RECEIVED, 300, 300, 300)]
    assert (sent.outgoing, received.outgoing) == (True, False)
    assert (sent.counterparty, fee.counterparty, received.counterparty) == (SHOP, FEES, ALICE)
    assert sent.timestamp == received.timestamp < fee.timestamp
    assert {event.payment_id for event in (sent, fee, received)} == {payment.id}
    assert all(event.payment is not None and event.payment.memo == "two loaves" for event in (sent, fee, received))


async def test_every_kind_of_movement_has_its_name_on_both_sides(books: Books) -> None:
    await books.pay(ALICE, SHOP, 1_000, fee=2, paid_by=PaidBy.PAYEE)
    bought = await books.pay(ALICE, SHOP, 50, fee=3)
    await books.pay(SHOP, ALICE, 40, kind=OrderKind.REFUND)
    await books.pay(SHOP, ALICE, 50, kind=OrderKind.REVERSAL, earlier=bought)
    await books.pay(BANK, ISSUANCE, 7, kind=OrderKind.WITHDRAWAL)
    alice, shop, bank = [await books.feed.replay(account, after=0) for account in (ALICE, SHOP, BANK)]
    assert [event.type for event in alice[1:]] == [
        E.PAYMENT_SENT, E.PAYMENT_SENT, E.FEE_CHARGED, E.REFUND_RECEIVED, E.FEE_REFUNDED, E.REVERSAL_RECEIVED,
    ]  # fmt: skip
    assert [event.type for event in shop] == [E.PAYMENT_RECEIVED, E.FEE_CHARGED, E.PAYMENT_RECEIVED, E.REFUND_SENT, E.REVERSAL_SENT]
    assert [event.type for event in bank] == [E.ISSUE_RECEIVED, E.PAYMENT_SENT, E.WITHDRAWAL_SENT]


async def test_a_hold_is_told_from_beginning_to_end(books: Books) -> None:
    async with books.feed.subscribe(ALICE) as alice, books.feed.subscribe(SHOP) as shop:
        hold = await books.pay(ALICE, SHOP, 900, kind=OrderKind.HOLD, fee=10, timeout_s=600)
        capture = await books.pay(ALICE, SHOP, 400, kind=OrderKind.CAPTURE, fee=4, earlier=hold)
        other = await books.pay(ALICE, SHOP, 70, kind=OrderKind.HOLD, fee=1, timeout_s=600)
        await books.pay(ALICE, SHOP, 70, kind=OrderKind.RELEASE, earlier=other)
        live, at_the_shop = await take(alice, 8), await take(shop, 4)
    assert told(live) == [
        (E.HOLD_CREATED, 900, 500_000, 499_100), (E.FEE_HELD, 10, 500_000, 499_090),
        (E.HOLD_CAPTURED, 400, 499_600, 499_590), (E.FEE_CHARGED, 4, 499_596, 499_596),
        (E.HOLD_CREATED, 70, 499_596, 499_526), (E.FEE_HELD, 1, 499_596, 499_525),
        (E.HOLD_RELEASED, 70, 499_596, 499_595), (E.FEE_RELEASED, 1, 499_596, 499_596),
    ]  # fmt: skip
    assert told(at_the_shop) == [
        (E.HOLD_CREATED, 900, 0, 0), (E.HOLD_CAPTURED, 400, 400, 400), (E.HOLD_CREATED, 70, 400, 400), (E.HOLD_RELEASED, 70, 400, 400),
    ]  # fmt: skip
    assert live[2].payment_id == capture.id
    assert await books.feed.replay(ALICE, after=live[0].timestamp - 1) == live


async def test_an_expiry_is_told_live_and_again_in_a_replay(books: Books) -> None:
    async with books.feed.subscribe(ALICE) as alice:
        hold = await books.pay(ALICE, SHOP, 900, kind=OrderKind.HOLD, fee=10, timeout_s=60)
        created = await take(alice, 2)
        books.clock.forward(61)
        expired = await take(alice, 2)
        await books.pay(ALICE, SHOP, 1)
        (after,) = await take(alice, 1)
    assert told(expired) == [(E.HOLD_EXPIRED, 900, 500_000, 499_990), (E.FEE_RELEASED, 10, 500_000, 500_000)]
    assert {event.payment_id for event in expired} == {hold.id}
    everything = [*created, *expired, after]
    start = created[0].timestamp - 1
    assert await books.feed.replay(ALICE, after=start) == everything
    assert [event.type for event in await books.feed.replay(SHOP, after=start)] == [E.HOLD_CREATED, E.HOLD_EXPIRED, E.PAYMENT_RECEIVED]
    for size in (1, 2, 3, 4):  # pages cut anywhere between transfers and expiries join up again
        position, pages = start, list[AccountEvent]()
        while page := await books.feed.replay(ALICE, after=position, limit=size):
            assert len(page) <= size
            pages += page
            position = page[-1].timestamp
        assert pages == everything


async def test_a_listener_that_resumes_misses_nothing_and_hears_nothing_twice(books: Books) -> None:
    """It leaves and comes back with its last event, over and over, while payments go on."""
    count = 400
    finished = asyncio.Event()

    async def traffic() -> None:
        for number in range(count):
            await books.pay(ALICE, SHOP, 1, memo=str(number))
        finished.set()

    paying = asyncio.create_task(traffic())
    heard: list[AccountEvent] = []
    position, stay = 0, 1
    while len(heard) < count:
        async with asyncio.timeout(20), books.feed.subscribe(SHOP, after=position) as shop:
            heard += [await anext(shop) for _ in range(min(stay, count - len(heard)))]
            position = shop.position
        stay = stay * 3 % 61
    await paying
    assert [event.payment.memo for event in heard if event.payment] == [str(number) for number in range(count)]
    assert [event.balance for event in heard] == list(range(1, count + 1))
    assert books.feed.subscribed == 0


async def test_a_long_absence_is_replayed_page_by_page_and_then_goes_live(books: Books) -> None:
    missed = REPLAY_PAGE_SIZE * 2  # the last page is full: only the next, empty one says that it was the last
    for _ in range(missed):
        await books.pay(ALICE, SHOP, 1)
    async with books.feed.subscribe(SHOP, after=0) as shop:
        first = await take(shop, 10)
        await books.pay(ALICE, SHOP, 1)  # while we are behind
        rest = await take(shop, missed - 9)
        await books.pay(ALICE, SHOP, 1)
        rest += await take(shop, 1)
    assert [event.balance for event in first + rest] == list(range(1, missed + 3))


async def test_what_happens_during_a_replay_is_heard_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told live and found in the replay as well: the narrow moment in which a payment could be heard twice."""
    real = books.feed.replay
    listeners: list[Subscription] = []

    async def replay(account: int, *, after: int, limit: int) -> list[AccountEvent]:
        await books.pay(ALICE, SHOP, 2)
        await until(lambda: len(listeners[0]._buffer) > 0)
        return await real(account, after=after, limit=limit)

    await books.pay(ALICE, SHOP, 1)
    monkeypatch.setattr(books.feed, "replay", replay)
    async with books.feed.subscribe(SHOP, after=0) as shop:
        listeners.append(shop)
        heard = await take(shop, 2)
        await books.pay(ALICE, SHOP, 3)
        heard += await take(shop, 1)
    assert [event.amount for event in heard] == [1, 2, 3]


async def test_a_slow_listener_is_cut_off_and_can_resume(books: Books) -> None:
    slow, quick = books.feed.subscribe(SHOP), books.feed.subscribe(SHOP)
    heard = asyncio.create_task(take(quick, BUFFER_SIZE_MAX + 20))
    for _ in range(BUFFER_SIZE_MAX + 20):
        await books.pay(ALICE, SHOP, 1)
    assert len(await heard) == BUFFER_SIZE_MAX + 20  # nobody else is disturbed
    first = await take(slow, BUFFER_SIZE_MAX)
    with pytest.raises(Unavailable) as refusal:
        await anext(slow)
    assert refusal.value.facts["resume_after"] == first[-1].timestamp == slow.position
    assert books.feed.subscribed == 1
    async with books.feed.subscribe(SHOP, after=slow.position) as again:
        assert [event.balance for event in await take(again, 20)] == [BUFFER_SIZE_MAX + number for number in range(1, 21)]
    quick.close()


async def test_only_what_concerns_the_account_is_heard(books: Books) -> None:
    async with books.feed.subscribe(BOB) as bob:
        await books.pay(ALICE, SHOP, 5)
        await books.pay(ALICE, BOB, 6)
        (event,) = await take(bob, 1)
    assert (event.account, event.amount, event.counterparty) == (BOB, 6, ALICE)


async def test_a_place_that_this_ledger_never_had_is_refused(books: Books) -> None:
    for after in (-1, books.ledger.last_timestamp + 10**12):
        with pytest.raises(Malformed):
            books.feed.subscribe(ALICE, after=after)
    with pytest.raises(Malformed):
        await books.feed.replay(ALICE, after=-1)
    for limit in (0, feed_module.REPLAY_SIZE_MAX + 1):
        with pytest.raises(Malformed):
            await books.feed.replay(ALICE, after=0, limit=limit)
    assert await books.feed.replay(12345, after=0) == []


async def test_listeners_are_bounded_and_leave_no_trace(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SUBSCRIPTIONS_PER_ACCOUNT_MAX", 3)
    listeners = [books.feed.subscribe(ALICE) for _ in range(3)]
    with pytest.raises(TooMany):
        books.feed.subscribe(ALICE)
    listeners[0].close()
    listeners[0].close()
    listeners.append(books.feed.subscribe(ALICE))
    books.feed.stop()
    for listener in listeners:
        assert [event async for event in listener] == []
    assert books.feed.subscribed == 0


# Consumers that write

heard = MetaData()
notes = Table("notes", heard, Column("account", Id), Column("timestamp", Nanoseconds), Column("type", Text))


class Notebook:
    """Writes down what it hears, without looking whether it is there already: doubling would show."""

    name = "notebook"

    def __init__(self, *accounts: int) -> None:
        self.accounts: Collection[int] = set(accounts)
        self.told = 0
        self.fail: BaseException | None = None

    def write(self, connection: Connection, events: list[AccountEvent]) -> None:
        connection.execute(notes.insert(), [{"account": e.account, "timestamp": e.timestamp, "type": e.type} for e in events])
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure

    def written(self) -> None:
        self.told += 1


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(notes)).scalar_one()


async def prepare(books: Books) -> None:
    await books.store.write(lambda connection: heard.create_all(connection))


async def noted(books: Books, wanted: int) -> list[int]:
    async with asyncio.timeout(10):
        while await books.store.read(count) < wanted:
            await asyncio.sleep(0.005)
    return await books.store.read(lambda c: list(c.execute(select(notes.c.timestamp).order_by(notes.c.timestamp)).scalars()))


async def test_a_consumer_writes_each_event_once_however_often_it_is_broken_off(tmp_path: Path) -> None:
    """Killed at random moments of its loop; what it wrote and where it stands move together."""
    engine, clock = MemoryEngine(), ShiftedClock()
    async with books_in(tmp_path, engine, clock=clock) as books:
        await prepare(books)
        begin = books.ledger.last_timestamp
        await books.store.write(lambda connection: keep_position(connection, "notebook", begin))

        async def traffic() -> None:
            for _ in range(150):
                await books.pay(ALICE, SHOP, 1)

        paying = asyncio.create_task(traffic())
        lives = 0
        while not paying.done():
            life = asyncio.create_task(books.feed.consume(Notebook(SHOP, ALICE)))
            await asyncio.sleep(0.003 * (lives % 5))
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            lives += 1
        await paying
        last = asyncio.create_task(books.feed.consume(Notebook(SHOP, ALICE)))
        found = await noted(books, 300)
        expected = [event.timestamp for event in await books.feed.replay(SHOP, after=begin)]
        books.feed.stop()
        await last
    assert lives > 3
    assert found == sorted(expected * 2)  # payer and payee: two notes for each movement


async def test_a_consumer_goes_on_after_a_restart_of_everything(tmp_path: Path) -> None:
    engine, clock = MemoryEngine(), ShiftedClock()
    async with books_in(tmp_path, engine, clock=clock) as books:
        await prepare(books)
        life = asyncio.create_task(books.feed.consume(Notebook(SHOP)))
        await until(lambda: not life.done() and books.store.waiting == 0)
        await asyncio.sleep(0.05)
        await books.pay()
        await noted(books, 1)
        books.feed.stop()
        await life
        await books.pay()  # while nobody follows
    async with books_in(tmp_path, engine, clock=clock, fresh=False) as books:
        life = asyncio.create_task(books.feed.consume(Notebook(SHOP)))
        await books.pay()
        assert len(set(await noted(books, 3))) == 3
        await asyncio.sleep(0.1)
        assert await books.store.read(count) == 3
        books.feed.stop()
        await life


async def test_trouble_with_the_store_delays_a_consumer_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY_S", 0.01)
    async with books_in(tmp_path) as books:
        await prepare(books)
        notebook = Notebook(SHOP)
        await books.store.write(lambda connection: keep_position(connection, "notebook", books.ledger.last_timestamp))
        notebook.fail = Unavailable("the disk is full")
        life = asyncio.create_task(books.feed.consume(notebook))
        await books.pay()
        assert len(await noted(books, 1)) == 1
        await until(lambda: notebook.told == 1)

        lost = books.store.write

        async def written_but_not_told(fn: object) -> object:  # the answer is lost on the way back, as by a lost connection
            await lost(fn)  # type: ignore[arg-type]
            monkeypatch.setattr(books.store, "write", lost)
            raise Unavailable("the connection was lost")

        monkeypatch.setattr(books.store, "write", written_but_not_told)
        await books.pay()
        await noted(books, 2)
        await books.pay()
        await noted(books, 3)
        await asyncio.sleep(0.1)
        assert await books.store.read(count) == 3
        books.feed.stop()
        await life


async def test_a_bug_in_a_consumer_ends_it_and_nothing_of_it_stays(tmp_path: Path) -> None:
    async with books_in(tmp_path) as books:
        await prepare(books)
        notebook = Notebook(SHOP)
        notebook.fail = ZeroDivisionError()
        begin = books.ledger.last_timestamp
        await books.store.write(lambda connection: keep_position(connection, "notebook", begin))
        life = asyncio.create_task(books.feed.consume(notebook))
        await books.pay()
        with pytest.raises(ZeroDivisionError):
            await life
        assert await books.store.read(count) == 0
        assert await books.store.read(lambda connection: keep_position(connection, "notebook", 0)) == begin


async def test_the_position_of_an_idle_consumer_is_kept_now_and_then(tmp_path: Path) -> None:
    async with books_in(tmp_path) as books:
        await prepare(books)
        life = asyncio.create_task(books.feed.consume(Notebook()))
        position = select(feed_positions.c.timestamp).where(feed_positions.c.name == "notebook")
        async with asyncio.timeout(10):
            while await books.store.read(lambda connection: connection.execute(position).scalar()) is None:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            books.clock.forward(feed_module.POSITION_INTERVAL_S + 1)
            await books.pay()
            while await books.store.read(lambda connection: connection.execute(position).scalar()) != books.ledger.last_timestamp:
                await asyncio.sleep(0.005)
        assert await books.store.read(count) == 0
        books.feed.stop()
        await life


async def test_expiries_that_happened_while_nobody_followed_are_found(tmp_path: Path) -> None:
    engine, clock = MemoryEngine(), ShiftedClock()
    async with books_in(tmp_path, engine, clock=clock, follow=False) as books:
        await books.pay(ALICE, SHOP, 900, kind=OrderKind.HOLD, timeout_s=60)
        clock.forward(61)
        await until(lambda: engine.get_change_events(timestamp_min=0, limit=100)[-1].type == ChangeEventType.TWO_PHASE_EXPIRED)
    async with books_in(tmp_path, engine, clock=clock, fresh=False) as books:
        assert [event.type for event in await books.feed.replay(SHOP, after=0)] == [E.HOLD_CREATED, E.HOLD_EXPIRED]


async def test_replays_say_what_the_feed_said_whatever_happened(books: Books) -> None:
    """A random history of payments, holds, captures, releases and expiries; all accounts, all pages, all starting points."""
    random = Random(20261121)
    open_holds: list[Payment] = []
    for _ in range(120):
        chance = random.random()
        payer, payee = random.sample([ALICE, BOB, SHOP], 2)
        if chance < 0.35:
            payee = BOB if payer == ALICE else SHOP
            await books.pay(ALICE, payee, random.randint(1, 50), fee=random.randint(0, 2))
        elif chance < 0.7:
            timeout = random.choice([20, 40, 60])
            fee = random.randint(0, 2)
            open_holds.append(
                await books.pay(ALICE, random.choice([BOB, SHOP]), random.randint(1, 50), kind=OrderKind.HOLD, fee=fee, timeout_s=timeout)
            )
        elif chance < 0.85 and open_holds:
            hold = open_holds.pop(random.randrange(len(open_holds)))
            kind, amount = (
                (OrderKind.CAPTURE, random.randint(1, hold.amount)) if random.random() < 0.5 else (OrderKind.RELEASE, hold.amount)
            )
            fee = random.randint(0, hold.fee) if kind is OrderKind.CAPTURE else 0
            await books.pay(hold.payer, hold.payee, amount, kind=kind, fee=fee, earlier=hold)
        elif chance < 0.9:
            books.clock.forward(random.choice([61, 70]))
            await asyncio.sleep(0.3)  # the ledger looks for what is due four times a second
            open_holds.clear()
    changes = books.engine.get_change_events(timestamp_min=0, limit=8_000)
    assert sum(change.type is ChangeEventType.TWO_PHASE_EXPIRED for change in changes) > 5
    for account in (ALICE, BOB, SHOP, BANK):
        sides = [(c, c.debit_account if c.debit_account.id == account else c.credit_account) for c in changes]
        said = [account_event(account, c.timestamp, c.type, c.transfer, side, None) for c, side in sides if side.id == account]
        whole = [replace(event, payment=None) for event in await books.feed.replay(account, after=0)]
        assert whole == said
        for size in (1, 7):
            start = random.randrange(len(said))
            position, pages = said[start].timestamp, list[AccountEvent]()
            while page := await books.feed.replay(account, after=position, limit=size):
                pages += page
                position = page[-1].timestamp
            assert [replace(event, payment=None) for event in pages] == said[start + 1 :]
