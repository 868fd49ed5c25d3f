"""The server is killed at random moments under load, at least 200 times; the client's own book decides what must be there.

Every order that was acknowledged is there once, with the receipt that was given. An order whose answer never came is
there whole, or not at all. Nothing else is there, and no money was made or lost.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from counterfoil.config import Config
from counterfoil.errors import CounterfoilError
from counterfoil.ids import id_text, leg_id
from counterfoil.ledger.check import check
from counterfoil.payments.orders import Order, OrderKind, encode
from tests.commands.desk import run
from tests.scheme import Person, Scheme, opened
from tests.simulation.processes import servers

KILLS = 200
PEOPLE = 12
FUNDS = 5_000_000
WORKERS = 12
ANSWERS_MAX = 40
"""A server lives for at most this many answers, and a moment: so it dies in the middle of work, however slow the machine is."""
MOMENT_S_MAX = 0.01
ABANDONED = 0.1
"""How many of the orders without an answer are never sent again."""


class Book:
    """What the client knows: every order it sent, and every answer it got."""

    def __init__(self) -> None:
        self.sent: dict[int, Order] = {}
        self.answered: dict[int, dict[str, Any]] = {}
        self.refused: dict[int, str] = {}
        self.abandoned: set[int] = set()


class Client:
    """Sends orders to whichever server is up, and the same order again until there is an answer."""

    def __init__(self, people: list[Person], shop: Person, seed: int) -> None:
        self.people = people
        self.shop = shop
        self.random = random.Random(seed)
        self.book = Book()
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stopped = False

    async def work(self) -> None:
        while not self.stopped:
            payer, order = self._order()
            self.book.sent[order.id] = order
            body = self._body(payer, order)
            while True:
                answer = await self._post(body)
                if answer is not None:
                    status, content = answer
                    if status == 200:
                        self._keep(order, content)
                        break
                    if status != 503:
                        self.book.refused[order.id] = content["code"]
                        break
                if self.random.random() < ABANDONED:
                    self.book.abandoned.add(order.id)
                    break

    def _keep(self, order: Order, receipt: dict[str, Any]) -> None:
        before = self.book.answered.setdefault(order.id, receipt)
        assert before == receipt, "a repeat must get the same receipt"

    def _order(self) -> tuple[Person, Order]:
        payer = self.random.choice(self.people)
        payee = self.random.choice([person for person in (*self.people, self.shop) if person is not payer])
        amount = self.random.choice((1, 50, 999, 12_000))  # the last one has a fee: two transfers in a chain
        changes: dict[str, Any] = {}
        if self.random.random() < 0.15:
            changes = {"kind": OrderKind.HOLD, "timeout_s": 86_400}
        if self.random.random() < 0.03:
            amount = 90_000_000  # more than anybody has, and more than a limit allows
        return payer, payer.order(payee, amount, **changes)

    @staticmethod
    def _body(payer: Person, order: Order) -> bytes:
        signed = payer.sign(encode(order))
        text = {"order": signed.order, "signature": signed.signature}
        coded = {name: base64.urlsafe_b64encode(data).rstrip(b"=").decode() for name, data in text.items()}
        return json.dumps(coded | {"device": id_text(signed.device)}).encode()

    async def _post(self, body: bytes) -> tuple[int, dict[str, Any]] | None:
        """(status, content), or None when the server went away."""
        port = await asyncio.shield(self.port)
        head = f"POST /v1/payments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            answer = await reader.read()
        except OSError:
            return None
        finally:
            if writer is not None:
                writer.close()
        top, _, content = answer.partition(b"\r\n\r\n")
        if not content:
            return None
        return int(top.split(b" ", 2)[1]), json.loads(content)


async def _run(data: Path, client: Client, kills: int) -> None:
    config = Config(data=str(data), port=0, sandbox=True, check_interval_s=0)
    async with servers() as forked:
        workers = [asyncio.create_task(client.work()) for _ in range(WORKERS)]
        for kill in range(kills + 1):
            server = await forked.start(config)
            client.port.set_result(server.port)
            last = kill == kills
            enough = len(client.book.answered) + (ANSWERS_MAX if last else client.random.randint(0, ANSWERS_MAX))
            while len(client.book.answered) < enough:
                await asyncio.sleep(0.001)
                assert server.exit_code is None, f"the server ended by itself: {server.exit_code}"
                for worker in workers:
                    if worker.done():
                        worker.result()
            await asyncio.sleep(client.random.uniform(0, MOMENT_S_MAX))
            if last:
                client.stopped = True
                await asyncio.gather(*workers)
                assert await server.end(signal.SIGTERM) == 0
            else:
                client.port = asyncio.get_running_loop().create_future()
                assert await server.end(signal.SIGKILL) == -signal.SIGKILL


async def _settled(scheme: Scheme, client: Client, before: dict[int, int], earned_before: int) -> None:
    """Compares the scheme with the client's book."""
    services, book = scheme.services, client.book
    expected = dict(before)
    held = dict.fromkeys(before, 0)
    fees = carried_out = 0
    for id, order in book.sent.items():  # noqa: A001
        try:
            receipt = await services.payments.receipt(id, order.payer)
        except CounterfoilError as error:
            assert id not in book.answered, f"an acknowledged payment is gone: {error!r}"
            assert id in book.abandoned or id in book.refused, error
            legs = await services.ledger.lookup_transfers([id, leg_id(id, 1)])
            assert legs == [], "half a payment"
            continue
        assert id not in book.refused, book.refused.get(id)
        if id in book.answered:
            statement = base64.urlsafe_b64encode(receipt.acknowledgement.statement).rstrip(b"=").decode()
            assert book.answered[id]["acknowledgement"]["statement"] == statement
        else:
            assert id in book.abandoned
        carried_out += 1
        payment = receipt.payment
        on_top = payment.fee if payment.fee_paid_by == "payer" else 0
        if payment.kind is OrderKind.HOLD:
            held[payment.payer] += payment.amount + on_top
            continue
        expected[payment.payer] -= payment.amount + on_top
        expected[payment.payee] += payment.amount - (payment.fee - on_top)
        fees += payment.fee
    for account, balance in expected.items():
        now = services.ledger.account_now(account)
        assert now is not None
        assert now.credits_posted - now.debits_posted == balance, id_text(account)
        assert now.debits_pending == held[account]
    assert _earned(scheme) - earned_before == fees
    report = check(services.ledger._engine)
    assert report.passed, report.findings
    assert carried_out > 10 * KILLS, "too little happened to say anything"


def _earned(scheme: Scheme) -> int:
    """The scheme's fees so far, minor units."""
    account = scheme.services.ledger.account_now(scheme.services.payments.fees_account)
    assert account is not None
    return account.credits_posted


@pytest.mark.slow(minutes=2)
@pytest.mark.timeout(1_200)
async def test_nothing_acknowledged_is_lost_doubled_or_half_done_in_200_kills(disk: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    data = disk / "data"
    async with opened(data) as scheme:
        bank = await scheme.institution(funds=FUNDS * (PEOPLE + 2))
        people = [await scheme.customer(f"Person {number}") for number in range(PEOPLE)]
        shop = await scheme.merchant()
        for person in (*people, shop):
            await bank.pay(person, FUNDS)
        before = {person.account: person.balance() for person in (*people, shop)}
        earned_before = _earned(scheme)
    for person in (*people, shop):
        person.scheme = scheme  # its settings and rules stay readable; the scheme itself is closed
    client = Client(people, shop, seed)
    await _run(data, client, KILLS)
    async with opened(data) as scheme:
        await _settled(scheme, client, before, earned_before)
    checked = await asyncio.to_thread(run, "check", "--data", data, "--json")
    assert checked.code == 0, checked
    assert checked.json["log"]["entries"] >= checked.json["log"]["size"] > len(client.book.answered), "the log was killed as often"
    book = client.book
    print(f"{len(book.sent)} orders, {len(book.answered)} acknowledged, {len(book.refused)} refused, {len(book.abandoned)} abandoned")
