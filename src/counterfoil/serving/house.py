"""The house's side: orders from workers go the way of every payment, with what the workers have done already left out.

Two pieces of a payment need no knowledge and much computing: checking the order's signature and signing the receipt. A worker
does both. It names the key that it checked with; where that is the device's key at this moment, the check is not made again,
and in every other case it is made here as always. What is refused is refused, counted and told here.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from counterfoil.clock import Clock
from counterfoil.errors import Unavailable, UnknownDevice, WrongSignature
from counterfoil.parties.keys import verify
from counterfoil.parties.service import Parties
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.acknowledgement import Acknowledger
from counterfoil.payments.service import Payments
from counterfoil.payments.types import Acknowledgement, Receipt, SignedOrder
from counterfoil.serving.frames import Answered, Completed, Frames, Leaving, Left, Refused, SentOrder, ToHouse, Welcome
from counterfoil.web.app import COMMON_HEADERS, WebApplication
from counterfoil.web.hot import COMPLETED, HotPayments
from counterfoil.web.server import answering_workers
from counterfoil.web.values import parse_uuid

LEAVE_S_MAX = 5
"""Seconds that workers and payments under way have when the house stops."""


class CheckedSignatures:
    """Signatures that a worker has checked, while their orders are under way: for `Parties.verify_by`."""

    def __init__(self) -> None:
        self._keys: dict[bytes, tuple[bytes, bytes]] = {}

    def put(self, signature: bytes, message: bytes, key: bytes) -> None:
        """`key` has been found to have made `signature` over `message`. Good for one question."""
        self._keys[signature] = (key, message)

    def drop(self, signature: bytes) -> None:
        """Nobody has asked. Safe to repeat."""
        self._keys.pop(signature, None)

    async def verify(self, algorithm: KeyAlgorithm, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """As `parties.keys.verify`, which answers wherever a worker has not checked exactly this."""
        if self._keys.pop(signature, None) == (public_key, message):
            return True
        return verify(algorithm, public_key, message, signature)


class _LeftToWorkers(Acknowledger):
    """Signs nothing: the worker does, from the same facts."""

    def __init__(self, *, public_key: bytes) -> None:
        self.public_key = public_key

    async def acknowledge(
        self, *, order_hash: bytes, account: int, amount: int, fee: int, balance: int, completed_at: int
    ) -> Acknowledgement:
        assert balance >= 0, balance
        return _NONE


_NONE = Acknowledgement(b"", b"", b"")


class Desk:
    """Carries out what workers send. One for each house.

    `address_of` tells who asks, from the peer of a worker's connection and what X-Forwarded-For says.
    """

    def __init__(
        self, hot: HotPayments, payments: Payments, parties: Parties, clock: Clock, address_of: Callable[[str, list[bytes]], str]
    ) -> None:
        self.hot = hot
        self.parties = parties
        self.clock = clock
        self.address_of = address_of
        self.checked = CheckedSignatures()
        self.ends: set[End] = set()
        self.moved = asyncio.Event()
        parties.verify_by(self.checked.verify)
        self.payments = copy.copy(payments)  # the same in everything but the signing: what is under way is shared
        self.payments.acknowledger = _LeftToWorkers(public_key=payments.acknowledger.public_key)
        self.welcome = Welcome(_wire(hot.receipt_headers), _wire(COMMON_HEADERS))

    async def leave(self) -> None:
        """Lets the workers hold what comes, and answers what they have sent."""
        for end in list(self.ends):
            end.frames.send(Leaving())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S_MAX):
                while any(end.is_busy for end in self.ends):
                    self.moved.clear()
                    await self.moved.wait()
        for end in list(self.ends):
            end.frames.close()


class End:
    """One worker's connection, as the house has it."""

    def __init__(self, desk: Desk) -> None:
        self.frames = Frames(ToHouse, self._hear, self._lost, self._met)
        self._desk = desk
        self._has_left = False
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._completed: list[Completed] = []
        self._refused: list[Refused] = []
        self._loop = asyncio.get_running_loop()

    def _met(self) -> None:
        self._desk.ends.add(self)
        self.frames.send(self._desk.welcome)

    @property
    def is_busy(self) -> bool:
        """Whether there is something to answer, or may be."""
        return bool(self._under_way or not self._has_left or self._completed or self._refused)

    def _hear(self, message: ToHouse) -> None:
        if isinstance(message, Left):
            self._has_left = True
            self._desk.moved.set()
            return
        started, create_task, under_way = self._desk.clock.monotonic_ns(), self._loop.create_task, self._under_way
        for sent in message.orders:
            under_way[sent.number] = create_task(self._carry_out(sent, started))
        for _ in range(message.unavailable):
            self._desk.hot.metrics.payment(Unavailable.code, 0)
        for microseconds in message.waited_us:
            self._desk.hot.metrics.answered_by_worker(microseconds * 1_000)

    async def _carry_out(self, sent: SentOrder, started: int) -> None:
        desk, key = self._desk, sent.key
        hot = desk.hot
        ip = sent.peer if sent.forwarded is None else desk.address_of(sent.peer, [sent.forwarded])
        try:
            device = parse_uuid(sent.device, "device")
            hot.guesses.check(ip, sent.device)
            if key is not None:
                desk.checked.put(sent.signature, sent.order, key)
            receipt = await desk.payments.pay(SignedOrder(sent.order, device, sent.signature))
        except Exception as error:  # as the short way in one process: told, and logged where it is a bug
            desk.checked.drop(sent.signature)
            if isinstance(error, WrongSignature | UnknownDevice):
                hot.guesses.count(ip, sent.device, error)
            headers = [] if sent.language is None else [(b"accept-language", sent.language)]
            outcome, (status, answer_headers, body) = hot.refusal(error, headers)
            self._refused.append(Refused(sent.number, status, _wire(answer_headers), body))
        else:
            outcome = COMPLETED
            self._completed.append(self._told(sent, device, receipt))
        hot.metrics.payment(outcome, desk.clock.monotonic_ns() - started)
        self._under_way.pop(sent.number, None)  # the same frame may have come twice
        if len(self._completed) + len(self._refused) == 1:
            self._loop.call_soon(self._send)

    def _told(self, sent: SentOrder, device: int, receipt: Receipt) -> Completed:
        payment = receipt.payment
        known = self._desk.parties.directory.found_device(device)
        return Completed(
            sent.number, receipt.state, payment.service, payment.fee, payment.fee_paid_by, receipt.completed_at,
            receipt.account != payment.payer, receipt.balance, receipt.available,
            None if known is None or known.public_key == sent.key else known.public_key,
        )  # fmt: skip

    def _send(self) -> None:
        completed, self._completed = self._completed, []
        refused, self._refused = self._refused, []
        self.frames.send(Answered(completed, refused))
        self._desk.moved.set()

    def _lost(self) -> None:
        """What is under way goes on: the orders were received."""
        self._desk.ends.discard(self)
        self._desk.moved.set()


def _wire(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


@asynccontextmanager
async def answering(
    application: WebApplication, payments: Payments, parties: Parties, clock: Clock, *, http: socket.socket, orders: socket.socket
) -> AsyncIterator[None]:
    """Answers workers on two listening Unix sockets while the block runs. What they have sent until then is answered at the end."""
    async with answering_workers(application, http) as address_of:
        desk = Desk(application.hot, payments, parties, clock, address_of)
        server = await asyncio.get_running_loop().create_unix_server(lambda: End(desk).frames, sock=orders)
        try:
            yield
        finally:
            server.close()
            await desk.leave()
