"""Processes that die, go and come while people pay, and what crosses from one worker to the house and to another worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from counterfoil.config import Config
from counterfoil.folder import only_process
from counterfoil.ids import id_text
from counterfoil.parties import statements
from counterfoil.payments.types import SignedOrder
from counterfoil.serving.link import HOLD_S_MAX
from counterfoil.web.values import base64_text
from tests.serving.town import FUNDS, WAIT_S, Answer, Served, Town, Wire, payment, request, served, stopped, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = 8
ORIGIN = Config().origin


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return await Town.built(tmp_path_factory.mktemp("town") / "data", PEOPLE)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def on(town: Town) -> AsyncIterator[Served]:
    async with served(town.folder, 2) as found:
        yield found


class Book:
    """What the people's own devices have kept: every order before it was sent, and every answer."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.receipts: dict[str, bytes] = {}
        self.orders: dict[str, SignedOrder] = {}
        self.refused: list[Answer] = []
        self.broken = 0
        self.unavailable = 0
        self.is_over = False

    async def pay_on(self, on: Served, number: int) -> None:
        """One person pays the next one, again and again, and repeats what has no answer, until told that it is over."""
        people = self.town.people
        payer, payee = people[number], people[(number + 1) % len(people)]
        connection: Wire | None = None
        while not self.is_over:
            signed = self.town.order(payer, payee, number + 1)
            while True:
                try:
                    connection = connection or await Wire.connect(on)
                    answer = await connection.ask(payment(signed))
                except (ConnectionError, asyncio.IncompleteReadError):
                    self.broken += 1
                    if connection is not None:
                        connection.close()
                    connection = None
                    continue
                if answer.header("connection") == "close":
                    connection.close()
                    connection = None
                if answer.status != 503:
                    break
                self.unavailable += 1
            if answer.status == 200:
                found = answer.json
                self.orders[found["id"]] = signed
                self.receipts[found["id"]] = answer.body
            else:
                self.refused.append(answer)
        if connection is not None:
            connection.close()

    def expected(self) -> list[int]:
        """What each has, by the book."""
        left = [FUNDS] * PEOPLE
        for body in self.receipts.values():
            paid = json.loads(body)
            accounts = [id_text(person.account) for person in self.town.people]
            left[accounts.index(paid["payer"])] -= paid["amount"] + (paid["fee"] if paid["fee_paid_by"] == "payer" else 0)
            left[accounts.index(paid["payee"])] += paid["amount"]
        return left


@asynccontextmanager
async def under_load(on: Served, town: Town) -> AsyncIterator[Book]:
    """People pay while the block runs."""
    book = Book(town)
    paying = [asyncio.create_task(book.pay_on(on, number)) for number in range(PEOPLE)]
    try:
        yield book
    finally:
        book.is_over = True
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*paying)


async def some_more(book: Book, on: Served, count: int = 40) -> None:
    until = len(book.receipts) + count
    await on.wait_for(lambda: len(book.receipts) >= until)


@asynccontextmanager
async def unnoticed(book: Book, on: Served) -> AsyncIterator[None]:
    """What happens in the block breaks no connection, and nobody hears Unavailable unless it takes longer than workers wait."""
    broken, unavailable, started = book.broken, book.unavailable, time.monotonic()
    yield
    await some_more(book, on)
    assert book.broken == broken
    assert book.unavailable == unavailable or time.monotonic() - started > HOLD_S_MAX


async def test_nothing_is_lost_doubled_or_refused_whatever_dies_or_is_replaced(tmp_path_factory: pytest.TempPathFactory) -> None:
    town = await Town.built(tmp_path_factory.mktemp("killed") / "data", PEOPLE)
    async with served(town.folder, 2) as on:
        async with under_load(on, town) as book:
            await some_more(book, on)
            # The house dies: nobody notices more than a pause.
            house = on.house()
            async with unnoticed(book, on):
                os.kill(house, signal.SIGKILL)
                await on.wait_for(lambda: _house(on) not in (None, house))
            # All are replaced, one after the other.
            house, workers = on.house(), set(on.workers())
            async with unnoticed(book, on):
                on.process.send_signal(signal.SIGHUP)
                await on.wait_for(lambda: _house(on) not in (None, house))
                await some_more(book, on)
                await on.wait_for(lambda: len(on.workers()) == 2 and not workers & set(on.workers()))
            # A worker dies: its connections break, and whoever was on them repeats.
            dead = on.workers()[0]
            os.kill(dead, signal.SIGKILL)
            await on.wait_for(lambda: len(on.workers()) == 2 and dead not in on.workers())
            await some_more(book, on)
            assert book.broken <= PEOPLE
        assert [(answer.status, answer.body) for answer in book.refused] == []
        async with wire(on) as connection:
            for name in list(book.receipts)[::7]:
                assert (await connection.ask(payment(book.orders[name]))).body == book.receipts[name]
    assert await town.balances() == book.expected()


def _house(on: Served) -> int | None:
    """The house's process, or None while there is none or one more."""
    try:
        return on.house()
    except ValueError:
        return None


async def test_an_event_is_heard_through_another_worker_than_the_payers(town: Town, on: Served) -> None:
    payer, payee = town.people[:2]
    first, second = on.workers()
    async with AsyncExitStack() as open_wires:
        with stopped(first):  # so the second has it
            listening = await open_wires.enter_async_context(wire(on))
            listening_to = await listening.ask(
                request("GET", "/v1/events", headers=town.signature(payee, "GET", "/v1/events")), head_only=True
            )
            assert (listening_to.status, listening_to.header("content-type")) == (200, "text/event-stream")
        with stopped(second):
            async with wire(on) as paying:
                assert (await paying.ask(payment(town.order(payer, payee, 5)))).status == 200
        async with asyncio.timeout(WAIT_S):
            while b"event: payment.received" not in await listening.reader.readline():
                pass
        assert await _metric(on, "counterfoil_event_subscribers") == 1
    await _until(on, "counterfoil_event_subscribers", 0)  # who hung up is not listened for any more


async def _metric(on: Served, name: str) -> float:
    async with wire(on) as connection:
        text = (await connection.ask(request("GET", "/metrics"))).body.decode()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


async def _until(on: Served, name: str, value: float) -> None:
    async with asyncio.timeout(WAIT_S):
        while await _metric(on, name) != value:
            await asyncio.sleep(0.05)


async def test_a_device_that_was_revoked_is_refused_at_once_although_a_worker_knows_its_key(town: Town, on: Served) -> None:
    lost, payee = town.people[2], town.people[3]
    async with wire(on) as connection:
        for _ in range(2):  # the worker has the key from the first, and checks the second with it
            assert (await connection.ask(payment(town.order(lost, payee, 5)))).status == 200
        device, statement = id_text(lost.device), statements.revoke_device(origin=ORIGIN, party=lost.party, device=lost.device)
        said = {"by_device": device, "signature": base64_text(lost.key.sign(statement).signature)}
        path, body = f"/v1/devices/{device}/revoke", json.dumps(said).encode()
        revoked = await connection.ask(request("POST", path, body, headers={"Content-Type": "application/json"}))
        assert revoked.status == 204, revoked.body
        answer = await connection.ask(payment(town.order(lost, payee, 5)))
        assert (answer.status, answer.json["code"]) == (401, "unknown_device")


async def test_a_slow_reader_gets_all_of_a_long_answer_and_holds_up_nobody(town: Town, on: Served) -> None:
    async with wire(on) as slow, wire(on) as quick:
        asked = request("GET", "/openapi.json")
        whole = (await quick.ask(asked)).body
        assert len(whole) > 100_000
        ahead = 60
        await slow.send(asked * ahead)  # far more than fits into all the buffers between
        assert (await quick.ask(payment(town.order(town.people[6], town.people[7], 1)))).status == 200
        for _ in range(ahead):
            assert (await slow.answer()).body == whole


async def test_what_a_worker_cannot_take_is_refused_at_once_and_what_it_has_taken_is_answered(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    town = await Town.built(tmp_path_factory.mktemp("full") / "data", 2)
    payer, payee = town.people
    orders = [town.order(payer, payee, amount) for amount in (1, 2, 3, 4)]
    async with served(town.folder, 1, queue_size_max=3) as on:
        wires = [await Wire.connect(on) for _ in orders]
        with stopped(on.house()):
            for connection, order in zip(wires, orders, strict=True):
                await connection.send(payment(order, Accept_Language="fr"))
            refused = await wires[3].answer()
        assert (refused.status, refused.json["code"], refused.json["retry"]) == (503, "unavailable", "same_id")
        assert (refused.header("retry-after"), refused.header("content-language"), refused.header("server")) == ("1", "fr", "counterfoil")
        assert [(await connection.answer()).status for connection in wires[:3]] == [200] * 3
        assert (await wires[3].ask(payment(orders[3]))).status == 200
        async with wire(on) as connection:
            text = (await connection.ask(request("GET", "/metrics"))).body.decode()
            assert 'counterfoil_payments_total{outcome="unavailable"} 1.0' in text
            # A worker tells how long it waited with its next order, or within a second or so.
            async with asyncio.timeout(WAIT_S):
                while "counterfoil_worker_payment_seconds_count 4.0" not in text:
                    text = (await connection.ask(request("GET", "/metrics"))).body.decode()
        # Told to stop, all end, after the answers under way.
        with stopped(on.house()):
            for connection in wires[:3]:
                await connection.send(payment(town.order(payer, payee, 5)))
            assert (await wires[3].ask(payment(orders[3]))).status == 503, "the three are under way"
            on.process.terminate()
            assert await wires[3].is_closed()
        for connection in wires[:3]:
            answer = await connection.answer()
            assert (answer.status, answer.header("connection")) == (200, "close")
            assert await connection.is_closed()
        for connection in wires:
            connection.close()


async def test_all_end_with_the_parent_even_if_it_is_killed(tmp_path: Path) -> None:
    async with served(tmp_path, 1, exit_code=-signal.SIGKILL) as on:
        async with wire(on) as connection:
            assert (await connection.ask(request("GET", "/health"))).status == 200
        children = [on.house(), *on.workers()]
        on.process.kill()
        await on.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    with only_process(tmp_path):
        pass  # what they held is free


async def test_a_folder_and_a_port_have_one_server(town: Town, on: Served, tmp_path: Path) -> None:
    async def code(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "counterfoil", "serve", "--workers", "1", "--json", *arguments]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        return ran.returncode, json.loads(ran.stdout)["detail"]

    assert await code("--data", str(town.folder), "--port", "0") == (3, f"{town.folder} is in use by another process")
    exit_code, why = await code("--data", str(tmp_path / "other"), "--port", str(on.port))
    assert (exit_code, why.startswith(f"cannot listen on 127.0.0.1, port {on.port}: ")) == (3, True), why
    (tmp_path / "one").mkdir()
    with only_process(tmp_path / "one"):  # by a server without workers: the house says so, and the parent with it
        assert await code("--data", str(tmp_path / "one"), "--port", "0") == (3, f"{tmp_path / 'one'} is in use by another process")
    async with wire(on) as connection:
        assert (await connection.ask(request("GET", "/health"))).status == 200
