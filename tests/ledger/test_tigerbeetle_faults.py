"""The tigerbeetle engine when its servers die, stand still or come back: what was acknowledged is there once, the rest can be repeated.

Nothing here waits for a time: a request that is not answered in time is Unavailable, and is repeated with the same id until it is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.clock import SystemClock
from counterfoil.ledger.chart import ACCOUNT_FLAGS, AccountCode, Chart, TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.ledger.types import (
    Account,
    AccountFlags,
    CreateTransferResult,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)
from tests.tigerbeetle import Cluster, cluster

pytestmark = pytest.mark.slow(minutes=1)

DONE = (CreateTransferStatus.CREATED, CreateTransferStatus.EXISTS)
PENDING, POST = int(TransferFlags.PENDING), int(TransferFlags.POST_PENDING_TRANSFER)


@pytest.fixture
def one() -> Iterator[Cluster]:
    with cluster() as made:
        made.start()
        yield made


@pytest.fixture
def three() -> Iterator[Cluster]:
    with cluster(replicas=3) as made:
        made.start()
        yield made


def opened(servers: Cluster, *, raw: bool = True, deadline_s: float = 1.0) -> TigerBeetleEngine:
    engine = TigerBeetleEngine.open(servers.addresses, servers.number, deadline_s=deadline_s, start_deadline_s=120, raw=raw)
    if not len(engine._mirror):
        results = repeated(engine.create_accounts, [Account(id=number, ledger=1, code=10, flags=AccountFlags.HISTORY) for number in (1, 2)])
        assert {result.status.name for result in results} <= {"CREATED", "EXISTS"}
    return engine


def move(id: int, amount: int = 1, **fields: int) -> Transfer:
    return Transfer(id=id, debit_account_id=1, credit_account_id=2, amount=amount, ledger=1, code=1, **fields)


def repeated(write: Callable[[list[Any], int], list[Any]], events: list[Any]) -> list[Any]:
    """What a caller does: the same ids until there is an answer."""
    while True:
        try:
            return write(events, 0)
        except errors.Unavailable:
            time.sleep(0.05)


def standing(engine: TigerBeetleEngine) -> list[tuple[int, int, int, int] | None]:
    """What the servers say, after seeing that the mirror says the same."""
    repeated(lambda _, now: [engine.expire_pending_transfers(now)], [])
    found = repeated(lambda ids, _: engine.lookup_accounts(ids), [1, 2])
    balances = [(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) for a in found]
    assert balances == [engine.balances_now(number) for number in (1, 2)]
    return list(balances)


@pytest.mark.parametrize("raw", [True, False])
def test_a_server_that_is_killed_makes_unavailable_in_time_and_the_same_id_settles_once(one: Cluster, raw: bool) -> None:
    engine = opened(one, raw=raw)
    engine.create_transfers([move(1, 5), move(2, 7, flags=PENDING)], 0)
    one.kill()
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match="same id"):
        engine.create_transfers([Transfer(id=3, pending_id=2, flags=POST, amount=2**128 - 1)], 0)
    for ask in (
        lambda: engine.lookup_accounts([1]),
        lambda: engine.expire_pending_transfers(0),
        lambda: engine.create_transfers([move(4)], 0),
    ):
        with pytest.raises(errors.Unavailable):
            ask()
    assert time.monotonic() - began < 60  # four deadlines of a second, on a busy machine
    assert engine.balances_now(1) == (7, 5, 0, 0)  # as of the last batch that was answered

    one.start()
    [again] = repeated(engine.create_transfers, [Transfer(id=3, pending_id=2, flags=POST, amount=2**128 - 1)])
    assert again.status in DONE  # the first attempt was still under way, or it was lost
    assert standing(engine) == [(0, 12, 0, 0), (0, 0, 0, 12)]
    assert repeated(engine.create_transfers, [move(4)])[0].status in DONE
    assert standing(engine) == [(0, 13, 0, 0), (0, 0, 0, 13)]
    engine.close()


def test_an_answer_that_comes_too_late_is_taken_in_before_anything_else(one: Cluster) -> None:
    engine = opened(one, deadline_s=0.5)
    one.pause(0)
    with pytest.raises(errors.Unavailable):
        engine.create_transfers(
            [move(1, 5), move(2, 3, flags=PENDING, timeout=1000), Transfer(id=3, pending_id=2, flags=POST, amount=1)], 0
        )
    with pytest.raises(errors.Unavailable):
        engine.create_accounts([Account(id=3, ledger=1, code=10)], 0)  # not sent: the other is still under way
    assert engine.balances_now(1) == (0, 0, 0, 0)
    one.go_on(0)
    while True:
        try:
            assert engine.lookup_accounts([3]) == []  # any question does, from any thread
            break
        except errors.Unavailable:
            time.sleep(0.05)
    assert engine.balances_now(1) == (0, 6, 0, 0)
    assert engine.balances_now(2) == (0, 0, 0, 6)
    assert engine.last_timestamp == engine.lookup_transfers([3])[0].timestamp
    engine.close()


def test_a_closed_engine_is_unavailable_also_while_a_server_stands_still(one: Cluster) -> None:
    for raw in (True, False):
        engine = opened(one, raw=raw, deadline_s=0.5)
        one.pause(0)
        with pytest.raises(errors.Unavailable):
            engine.create_transfers([move(9)], 0)
        engine.close()
        engine.close()
        with pytest.raises(errors.Unavailable, match="closed"):
            engine.lookup_accounts([1])
        one.go_on(0)


async def test_callers_of_a_ledger_hear_unavailable_and_settle_once(one: Cluster) -> None:
    """The whole way: many callers, the chart, the writer and its thread, and reads beside it."""
    engine = TigerBeetleEngine.open(one.addresses, one.number, deadline_s=1.0)
    ledger = Ledger(engine, Chart(), SystemClock())
    running = asyncio.create_task(ledger.run())

    async def settled(write: Callable[[list[Any]], Awaitable[list[Any]]], event: Any) -> list[Any]:
        while True:
            try:
                return await write([event])
            except errors.Unavailable:
                await asyncio.sleep(0.05)

    people = [
        Account(id=number, ledger=1, code=AccountCode.CUSTOMER, flags=ACCOUNT_FLAGS[AccountCode.CUSTOMER][0]) for number in range(2, 22)
    ]
    issuance = Account(id=1, ledger=1, code=AccountCode.ISSUANCE, flags=ACCOUNT_FLAGS[AccountCode.ISSUANCE][0])
    agent = Account(id=30, ledger=1, code=AccountCode.AGENT, flags=ACCOUNT_FLAGS[AccountCode.AGENT][0])
    for account in (issuance, agent, *people):
        await settled(ledger.create_accounts, account)
    await settled(ledger.create_transfers, Transfer(1, 1, 30, 10_000, ledger=1, code=TransferCode.ISSUE))
    cash_ins = [Transfer(100 + a.id, 30, a.id, 100, ledger=1, code=TransferCode.CASH_IN) for a in people]
    await asyncio.gather(*(settled(ledger.create_transfers, each) for each in cash_ins))
    with pytest.raises(errors.TransferNotDeclared):
        await ledger.create_transfers([Transfer(99, 1, 2, 1, ledger=1, code=TransferCode.CASH_IN)])

    async def pay_on(payer: int) -> None:
        for turn in range(20):
            [result] = await settled(
                ledger.create_transfers,
                Transfer(payer * 1000 + turn, payer, 2 + (payer + turn) % 20, 1, ledger=1, code=TransferCode.PAYMENT),
            )
            assert result.status in (*DONE, CreateTransferStatus.ACCOUNTS_MUST_BE_DIFFERENT)
            if turn == 10 and payer == 2:
                await asyncio.to_thread(one.kill)
                with pytest.raises(errors.Unavailable):
                    await ledger.lookup_accounts([1])
                await asyncio.to_thread(one.start)

    await asyncio.gather(*(pay_on(account.id) for account in people))
    found = await settled_read(lambda: ledger.lookup_accounts([account.id for account in people]))
    assert [(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) for a in found] == [
        ledger.balances_now(account.id) for account in people
    ]
    assert sum(a.credits_posted - a.debits_posted for a in found) == 2_000
    assert sum(a.debits_posted for a in found) == 380  # one payment in 20 is to oneself
    await ledger.stop()
    await running
    engine.close()


async def settled_read(read: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
    while True:
        try:
            return await read()
        except errors.Unavailable:
            await asyncio.sleep(0.05)


class Payer(threading.Thread):
    """Pays all the time, a few in a batch, and repeats what was not answered, as callers do. Keeps what was acknowledged."""

    def __init__(self, engine: TigerBeetleEngine, first: int) -> None:
        super().__init__()
        self.engine = engine
        self.next = first
        self.acknowledged: list[int] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            batch = [move(number) for number in range(self.next, self.next + 5)]
            results: list[CreateTransferResult] = repeated(self.engine.create_transfers, batch)
            assert {result.status for result in results} <= set(DONE), results
            self.acknowledged += [transfer.id for transfer in batch]
            self.next += 5

    def wait_for_more(self) -> None:
        """Until a batch that began after now has been acknowledged."""
        count = len(self.acknowledged) + 10
        while len(self.acknowledged) < count:
            assert self.is_alive()
            time.sleep(0.01)

    def end(self) -> None:
        self.stopping.set()
        self.join()


def test_three_servers_lose_one_then_two_and_nothing_that_was_acknowledged(three: Cluster) -> None:
    engine = opened(three)
    payer = Payer(engine, 1)
    payer.start()
    payer.wait_for_more()
    three.kill(0)  # it leads, as the first of all does
    payer.wait_for_more()
    three.start(0)
    three.pause(1)  # it leads now, or will: stands still, with open connections
    payer.wait_for_more()
    three.go_on(1)
    payer.wait_for_more()

    three.kill(1, 2)  # no majority is left
    while True:
        try:
            engine.lookup_transfers([1])
        except errors.Unavailable:
            break
    with pytest.raises(errors.Unavailable):
        engine.expire_pending_transfers(0)
    three.start(1)
    payer.wait_for_more()

    three.kill()
    three.start()
    payer.wait_for_more()
    payer.end()
    paid = len(payer.acknowledged)
    assert payer.acknowledged == list(range(1, paid + 1))
    found = [t.id for start in range(1, paid + 1, 8000) for t in engine.lookup_transfers(range(start, min(start + 8000, paid + 1)))]
    assert found == payer.acknowledged
    assert standing(engine) == [(0, paid, 0, 0), (0, 0, 0, paid)]  # each once
    engine.close()
