"""Replies that are lost, come twice, or come late: the caller hears Unavailable or the one right answer, never another's."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from counterfoil import errors
from counterfoil.ledger.check import check
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.payments.orders import decode
from counterfoil.payments.types import SignedOrder
from counterfoil.serving.frames import Completed, Refused, SentOrder
from counterfoil.serving.link import AWAY, HOLD_S_MAX, Link
from counterfoil.serving.places import FOLDER, ORDERS, address_of
from counterfoil.web.values import uuid_text
from tests import tigerbeetle
from tests.faults.messages import ReplyProxy
from tests.faults.paying import Payer, insisted, now, open_accounts, transfers
from tests.ledger.cutting import CuttingProxy
from tests.postgres import Cluster
from tests.scheme import Person, Scheme, opened
from tests.serving.test_house import house
from tests.web.site import PatientClock

WAIT_S = 120


# PostgreSQL


@pytest.fixture
def proxy(postgres: Cluster) -> Iterator[CuttingProxy]:
    with tempfile.TemporaryDirectory(prefix="cut-") as folder, CuttingProxy(postgres.socket, Path(folder)) as made:
        yield made


@pytest.fixture
def engine(proxy: CuttingProxy, postgres_url: str) -> Iterator[PostgresEngine]:
    """Every connection goes through `proxy`."""
    database = postgres_url.split("/")[3].partition("?")[0]
    engine = PostgresEngine.open(f"{proxy.url(database)}&connect_timeout=2", lease_timeout_s=60)
    open_accounts(engine)
    for first in (1, 6):  # its statement is prepared
        engine.create_transfers(transfers(first, 5), now())
    yield engine
    engine.close()


@pytest.mark.parametrize("fault", [CuttingProxy.lose_replies, lambda proxy: proxy.hold(replies_only=True)], ids=["lost", "late"])
def test_a_reply_of_postgres_that_is_lost_or_late_is_nobodys_answer(
    engine: PostgresEngine, proxy: CuttingProxy, fault: Callable[[CuttingProxy], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "deadline_s", 0.3)
    fault(proxy)
    with pytest.raises(errors.Unavailable):
        engine.create_transfers(transfers(11, 5), now())
    assert engine.balances_now(2) == (0, 0, 0, 10)
    monkeypatch.setattr(Connection, "deadline_s", 60)
    proxy.release()
    again = insisted(lambda: engine.create_transfers([*transfers(16, 1), *transfers(11, 5)], now()))
    assert again[0].status.name == "CREATED"
    assert {result.status.name for result in again[1:]} in ({"CREATED"}, {"EXISTS"})
    assert engine.balances_now(2) == (0, 0, 0, 16)
    assert check(engine).passed


def test_a_reply_of_postgres_that_comes_twice_is_not_the_next_ones(engine: PostgresEngine, proxy: CuttingProxy) -> None:
    proxy.double_a_reply()
    assert {result.status.name for result in engine.create_transfers(transfers(11, 5), now())} == {"CREATED"}
    with pytest.raises(errors.Unavailable, match="answer"):
        engine.create_transfers(transfers(16, 5), now())
    assert engine.balances_now(2) == (0, 0, 0, 15)
    insisted(lambda: engine.create_transfers(transfers(16, 5), now()))
    assert engine.balances_now(2) == (0, 0, 0, 20)
    assert check(engine).passed


# TigerBeetle


@pytest.mark.slow(minutes=0.2)
def test_replies_of_tigerbeetle_that_are_lost_doubled_and_swapped() -> None:
    with tigerbeetle.cluster() as servers:
        servers.start()
        faults = itertools.cycle(("pass", "double", "swap", "pass", "lose", "double"))
        with ReplyProxy(servers.ports[0], itertools.repeat("pass")) as proxy:
            engine = TigerBeetleEngine.open(f"127.0.0.1:{proxy.port}", servers.number, deadline_s=1.0, start_deadline_s=120)
            open_accounts(engine)
            proxy.faults = faults
            payer = Payer(engine)
            payer.start()
            while min(proxy.done.values()) < 4:
                payer.wait_for_more()
            proxy.faults = itertools.repeat("pass")
            payer.end()
            payer.check()
            engine.close()


# A worker and its house


class Caller:
    """Whoever sent an order. Its one answer, which nobody may give twice."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Completed | str] = asyncio.get_running_loop().create_future()

    def completed(self, sent: SentOrder, completed: Completed) -> None:
        assert sent.number == completed.number
        self.answer.set_result(completed)

    def refused(self, refused: Refused) -> None:
        raise AssertionError(refused)

    def unavailable(self, why: str) -> None:
        self.answer.set_result(why)


class Between:
    """Passes frames on between a worker and the house, and does to the house's as it is told."""

    def __init__(self) -> None:
        self.faults: Iterator[str] = itertools.repeat("pass")
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.done = dict.fromkeys(("pass", "double", "cut"), 0)

    async def meet(self, house_folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with address_of(house_folder, ORDERS) as address:
            to_read, to_write = await asyncio.open_unix_connection(address)

        async def ask() -> None:
            while data := await reader.read(65_536):
                to_write.write(data)
            to_write.close()

        async def answer() -> None:
            while True:
                head = await to_read.readexactly(4)
                frame = head + await to_read.readexactly(int.from_bytes(head))
                await self.go_on.wait()
                fault = next(self.faults)
                self.done[fault] += 1
                if fault == "cut":
                    break
                writer.write(frame * (2 if fault == "double" else 1))

        asking = asyncio.create_task(ask())
        try:
            await answer()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            asking.cancel()
            to_write.close()
            writer.close()


@asynccontextmanager
async def linked(house_folder: Path, folder: Path, clock: PatientClock) -> AsyncIterator[tuple[Link, Between]]:
    """A worker's link to the house, and what stands between."""
    (folder / FOLDER).mkdir(parents=True)
    between, link = Between(), Link(folder, clock, in_flight_max=1_000)
    with address_of(folder, ORDERS) as address:
        server = await asyncio.start_unix_server(lambda reader, writer: between.meet(house_folder, reader, writer), address)
    running = asyncio.create_task(link.run())
    try:
        yield link, between
    finally:
        running.cancel()
        server.close()


def sent(link: Link, order: SignedOrder) -> SentOrder:
    return SentOrder(link.next_number(), order.order, uuid_text(order.device), order.signature, "192.0.2.7", None, None, None)


async def told_rightly(scheme: Scheme, order: SignedOrder, payer: Person, answer: Completed) -> None:
    receipt = await scheme.services.payments.receipt(decode(order.order).id, payer.account)
    assert (answer.completed_at, answer.balance) == (receipt.completed_at, receipt.balance)


async def test_answers_of_the_house_that_are_cut_off_doubled_or_late_reach_their_callers_once(tmp_path: Path) -> None:
    clock = PatientClock()
    (tmp_path / "house").mkdir()
    async with (
        asyncio.timeout(WAIT_S),
        opened(tmp_path / "data") as scheme,
        house(scheme, tmp_path / "house"),
        linked(tmp_path / "house", tmp_path / "worker", clock) as (link, between),
    ):
        payer, payee = await scheme.customer(funds=10_000), await scheme.customer()
        between.faults = itertools.cycle(("pass", "cut", "double", "pass", "cut"))
        asked: list[tuple[SignedOrder, Caller]] = []
        while min(between.done.values()) < 5 or len(asked) < 60:
            for _ in range(3):
                order = payer.sign(payer.order(payee, 1 + len(asked)))
                asked.append((order, Caller()))
                link.ask(sent(link, order), asked[-1][1])
            await asyncio.wait([caller.answer for _, caller in asked[-2:]], return_when=asyncio.FIRST_COMPLETED)
        between.faults = itertools.repeat("pass")
        for order, caller in asked:
            answer = await caller.answer
            assert isinstance(answer, Completed)
            await told_rightly(scheme, order, payer, answer)
        assert payee.balance() == sum(range(1, len(asked) + 1)), "each once"

        between.go_on.clear()  # the answer is on its way, until its caller has given up
        order, caller, again = payer.sign(payer.order(payee, 7)), Caller(), Caller()
        link.ask(sent(link, order), caller)
        while payee.balance() == sum(range(1, len(asked) + 1)):
            await asyncio.sleep(0.01)
        between.faults = itertools.chain(("cut",), itertools.repeat("pass"))
        assert not caller.answer.done()
        between.go_on.set()
        while link.is_up:
            await asyncio.sleep(0)
        clock.waited_s = HOLD_S_MAX + 2
        link.give_up_overdue()
        assert await caller.answer == AWAY
        link.ask(sent(link, order), again)
        answer = await again.answer
        assert isinstance(answer, Completed)
        await told_rightly(scheme, order, payer, answer)
        assert payee.balance() == sum(range(1, len(asked) + 1)) + 7
        assert link.in_flight == 0
