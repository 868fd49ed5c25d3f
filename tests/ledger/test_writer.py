"""The writer: whole lists, in order, in batches that nobody waits for; and what stops it, and what does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import BATCH_SIZE_MAX, Account, CreateAccountResult, CreateTransferResult, Transfer
from counterfoil.ledger.writer import Writer
from tests.ledger.sqlite_file import SECOND, START, timeless


class HeldClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)


class ObservedEngine(MemoryEngine):
    """The memory engine; keeps what it was asked, and raises once what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []
        self.fault: BaseException | None = None
        self.create_accounts([Account(id=id_new, ledger=1, code=1) for id_new in (1, 2)], START)
        self.batches.clear()

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        self.batches.append([t.id for t in transfers])
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return super().create_transfers(transfers, now)

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        self.batches.append([-a.id for a in accounts])
        return super().create_accounts(accounts, now)


def plain(id: int, amount: int = 1, *, flags: int = 0, timeout: int = 0) -> Transfer:
    return Transfer(id=id, debit_account_id=1, credit_account_id=2, amount=amount, ledger=1, code=1, flags=flags, timeout=timeout)


def list_of(first: int, count: int) -> list[Transfer]:
    return [plain(id_new) for id_new in range(first, first + count)]


def no_refusal(_: Sequence[Transfer]) -> errors.Refused | None:
    return None


class WaitingEngine(ObservedEngine):
    """As an engine with a server: on the writer's thread, and held up there when a test wants it."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.threads: set[int] = set()

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        self.threads.add(threading.get_ident())
        assert self.may_go_on.wait(60)
        return super().create_transfers(transfers, now)


@pytest.fixture(params=[ObservedEngine, WaitingEngine], ids=["on the loop", "on a thread"])
def engine(request: pytest.FixtureRequest) -> ObservedEngine:
    made = request.param()
    assert isinstance(made, ObservedEngine)
    return made


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def make(engine: ObservedEngine, clock: HeldClock) -> Callable[..., Writer]:
    def writer(
        refusal: Callable[[Sequence[Transfer]], errors.Refused | None] = no_refusal,
        queue_size_max: int = 20_000,
        pulse_interval_s: float = 60,
    ) -> Writer:
        return Writer(engine, clock, refusal, queue_size_max=queue_size_max, pulse_interval_s=pulse_interval_s)

    return writer


@asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    yield task
    await writer.stop()
    await task


async def test_all_that_waits_goes_as_one_batch_and_each_hears_its_own(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        first, second, third = (
            writer.create_transfers([plain(1), plain(2)]),
            writer.create_transfers([plain(1)]),
            writer.create_transfers([plain(3)]),
        )
        assert writer.waiting == 4
        assert timeless(await first) == ["CREATED", "CREATED"]
        assert timeless(await second) == ["EXISTS"]
        assert timeless(await third) == ["CREATED"]
        assert writer.waiting == 0
    assert engine.batches == [[1, 2, 1, 3]]


async def test_batch_has_at_most_its_maximum_and_never_cuts_a_list(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        sizes = [5_000, 3_000, 190, BATCH_SIZE_MAX, 1]
        starts = [1, 10_000, 20_000, 30_000, 40_000]
        for answer in [writer.create_transfers(list_of(start, size)) for start, size in zip(starts, sizes, strict=True)]:
            assert set(timeless(await answer)) == {"CREATED"}
    assert [len(batch) for batch in engine.batches] == [8_000, 190, BATCH_SIZE_MAX, 1]


async def test_accounts_and_transfers_keep_their_order_of_arrival(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        waiting: list[asyncio.Future[Any]] = [
            writer.create_transfers([plain(1)]),
            writer.create_accounts([Account(id=8, ledger=1, code=1)]),
            writer.create_accounts([Account(id=9, ledger=1, code=1)]),
            writer.create_transfers([Transfer(id=2, debit_account_id=8, credit_account_id=9, amount=1, ledger=1, code=1)]),
        ]
        results = await asyncio.gather(*waiting)
        assert [result.status.name for (result,) in results] == ["CREATED"] * 4
    assert engine.batches == [[1], [-8, -9], [2]]


async def test_full_queue_is_unavailable_at_once_and_what_fits_still_goes(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make(queue_size_max=3)
    async with running(writer):
        waiting = writer.create_transfers([plain(1), plain(2)])
        with pytest.raises(errors.Unavailable):
            writer.create_transfers([plain(3), plain(4)])
        fits = writer.create_transfers([plain(5)])
        with pytest.raises(errors.Unavailable):
            writer.create_transfers([plain(6)])
        await waiting
        await fits
        assert timeless(await writer.create_transfers([plain(7), plain(8), plain(9)])) == ["CREATED"] * 3
    assert engine.batches == [[1, 2, 5], [7, 8, 9]]


async def test_stop_drains_what_waits_and_takes_nothing_new(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer) as task:
        waiting = [writer.create_transfers(list_of(start, 8_000)) for start in (1, 10_001)]
        stopping = asyncio.create_task(writer.stop())
        await asyncio.sleep(0)
        with pytest.raises(errors.Unavailable):
            writer.create_transfers([plain(50_000)])
        await stopping
        await task
        assert [len(await answer) for answer in waiting] == [8_000, 8_000]
    assert writer.waiting == 0


async def test_writer_that_never_ran_leaves_nobody_waiting(make: Callable[..., Writer]) -> None:
    writer = make()
    waiting = writer.create_transfers([plain(1)])
    await writer.stop()
    with pytest.raises(errors.Unavailable):
        await waiting


async def test_refusal_concerns_its_caller_alone(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make(lambda transfers: errors.TransferNotDeclared() if any(t.amount == 13 for t in transfers) else None)
    async with running(writer):
        waiting = [writer.create_transfers(batch) for batch in ([plain(1)], [plain(2), plain(3, 13)], [plain(4)])]
        assert timeless(await waiting[0]) == timeless(await waiting[2]) == ["CREATED"]
        with pytest.raises(errors.TransferNotDeclared):
            await waiting[1]
        with pytest.raises(errors.TransferNotDeclared):
            await writer.create_transfers([plain(5, 13)])
        assert timeless(await writer.create_transfers([plain(6)])) == ["CREATED"]
    assert engine.batches == [[1, 4], [6]]


async def test_unavailable_concerns_its_batch_and_the_writer_goes_on(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        engine.fault = errors.Unavailable("The disk is full.")
        waiting = [writer.create_transfers([plain(1)]), writer.create_transfers([plain(2)])]
        for answer in waiting:
            with pytest.raises(errors.Unavailable, match="disk"):
                await answer
        assert timeless(await writer.create_transfers([plain(1)])) == ["CREATED"]


async def test_bug_stops_the_writer_and_everyone_who_waits_hears_unavailable(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    engine.fault = ZeroDivisionError("a bug")
    waiting = [writer.create_transfers(list_of(1, 5_000)), writer.create_transfers(list_of(9_000, 5_000))]  # two batches
    follower = writer.wait_for_changes(engine.last_timestamp)
    with pytest.raises(ZeroDivisionError):
        await task
    everyone: list[asyncio.Future[Any]] = [*waiting, follower]
    for answer in everyone:
        with pytest.raises(errors.Unavailable):
            await answer
    with pytest.raises(errors.Unavailable):
        writer.create_transfers([plain(1)])
    assert len(engine.batches) == 1
    await writer.stop()


async def test_cancelling_the_writer_leaves_nobody_waiting(make: Callable[..., Writer]) -> None:
    writer = make()
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    waiting = writer.create_transfers([plain(1)])
    task.cancel()
    await asyncio.wait([task])
    follower = writer.wait_for_changes(2**62)
    both: list[asyncio.Future[Any]] = [waiting, follower]
    for answer in both:
        with pytest.raises(errors.Unavailable):
            await answer


async def test_caller_who_gives_up_disturbs_nobody(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        impatient, patient = writer.create_transfers([plain(1)]), writer.create_transfers([plain(2)])
        impatient.cancel()
        assert timeless(await patient) == ["CREATED"]
    assert [t.id for t in engine.lookup_transfers([1, 2])] == [1, 2]  # it was in the queue, so it was done


async def test_pending_transfers_expire_though_nobody_asks(make: Callable[..., Writer], engine: ObservedEngine, clock: HeldClock) -> None:
    writer = make(pulse_interval_s=0.005)
    async with running(writer):
        await writer.create_transfers([plain(1, 7, flags=2, timeout=2)])
        after = engine.last_timestamp
        follower = asyncio.ensure_future(writer.wait_for_changes(after))
        await asyncio.sleep(0.05)
        assert not follower.done()
        (account,) = engine.lookup_accounts([2])
        assert account.credits_pending == 7
        clock.now += 3 * SECOND
        assert await asyncio.wait_for(follower, 60) > after
        (account,) = engine.lookup_accounts([2])
        assert account.credits_pending == 0


async def test_follower_hears_of_changes_once_they_are_there(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        start = engine.last_timestamp
        assert await writer.wait_for_changes(start - 1) == start
        late = writer.wait_for_changes(start + 10)
        soon = writer.wait_for_changes(start)
        await writer.create_transfers([plain(1)])
        assert await soon == engine.last_timestamp == start + 1
        assert not late.done()
        await writer.create_transfers(list_of(2, 10))
        assert await late == start + 11


async def test_nobody_waits_for_a_fuller_batch(make: Callable[..., Writer], engine: ObservedEngine) -> None:
    writer = make()
    async with running(writer):
        for id_new in range(1, 6):
            await asyncio.wait_for(writer.create_transfers([plain(id_new)]), 1)
    assert engine.batches == [[1], [2], [3], [4], [5]]


async def test_full_disk_under_the_writer_is_answered_and_survived(tmp_path: Path, clock: HeldClock) -> None:
    engine = SqliteEngine.open(tmp_path / "ledger.sqlite")
    writer = Writer(engine, clock, no_refusal, queue_size_max=20_000)
    async with running(writer):
        await writer.create_accounts([Account(id=id_new, ledger=1, code=1) for id_new in (1, 2)])
        (pages,) = engine._db.execute("PRAGMA page_count").fetchone()
        engine._db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(errors.Unavailable, match="full"):
            await writer.create_transfers(list_of(1, 3_000))
        engine._db.execute("PRAGMA max_page_count = 1000000")
        assert set(timeless(await writer.create_transfers(list_of(1, 3_000)))) == {"CREATED"}
    engine.close()


# An engine that waits for a server


@pytest.fixture
def waiting_engine(clock: HeldClock) -> WaitingEngine:
    return WaitingEngine()


async def test_loop_goes_on_while_a_batch_waits_for_the_server(waiting_engine: WaitingEngine, clock: HeldClock) -> None:
    writer = Writer(waiting_engine, clock, no_refusal, queue_size_max=3)
    async with running(writer):
        waiting_engine.may_go_on.clear()
        first = writer.create_transfers([plain(1)])
        while not waiting_engine.threads:
            await asyncio.sleep(0.001)
        others = [writer.create_transfers([plain(id_new)]) for id_new in (2, 3, 4)]
        with pytest.raises(errors.Unavailable):
            writer.create_transfers([plain(5)])
        assert writer.waiting == 3
        assert not first.done()
        waiting_engine.may_go_on.set()
        for answer in (first, *others):
            assert timeless(await answer) == ["CREATED"]
    assert waiting_engine.batches == [[1], [2, 3, 4]]
    assert len(waiting_engine.threads) == 1
    assert threading.get_ident() not in waiting_engine.threads


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_writer_ends_when_the_batch_has_ended_that_is_under_way(waiting_engine: WaitingEngine, clock: HeldClock, how: str) -> None:
    writer = Writer(waiting_engine, clock, no_refusal, queue_size_max=3)
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    waiting_engine.may_go_on.clear()
    answer = writer.create_transfers([plain(1)])
    while not waiting_engine.threads:
        await asyncio.sleep(0.001)
    ending = asyncio.create_task(writer.stop())
    if how == "cancel":
        task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    waiting_engine.may_go_on.set()
    await ending
    await asyncio.wait([task])
    assert [t.id for t in waiting_engine.lookup_transfers([1])] == [1]
    if how == "cancel":  # done, but who asked cannot be told any more
        with pytest.raises(errors.Unavailable):
            await answer
    else:
        assert timeless(await answer) == ["CREATED"]
