"""What the house takes from a worker and what it decides itself, frame by frame; and how long a worker waits for a house."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.types import PaymentState, SignedOrder
from counterfoil.serving.frames import Answered, Asked, Completed, Frames, Leaving, Left, Refused, SentOrder, ToWorker, Welcome
from counterfoil.serving.house import CheckedSignatures, answering
from counterfoil.serving.link import ANSWER_S_MAX, AWAY, FULL, HOLD_S_MAX, SLOW, Link
from counterfoil.serving.places import FOLDER, HTTP, ORDERS, address_of, bind
from counterfoil.web.app import create_app
from counterfoil.web.values import uuid_text
from tests.scheme import Person, Scheme, opened
from tests.web.site import PatientClock

WAIT_S = 60


class Hand:
    """A worker's end of the connection, moved by hand."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[ToWorker | None] = asyncio.Queue()
        self.frames: Frames = Frames(ToWorker, self.heard.put_nowait, lambda: self.heard.put_nowait(None))
        self._number = 0

    async def hear(self) -> ToWorker | None:
        async with asyncio.timeout(WAIT_S):
            return await self.heard.get()

    def send(self, signed: SignedOrder, key: bytes | None) -> None:
        self._number += 1
        sent = SentOrder(
            self._number, signed.order, uuid_text(signed.device), signed.signature, "192.0.2.7", None, None, key
        )  # fmt: skip
        self.frames.send(Asked([sent]))

    async def ask(self, signed: SignedOrder, key: bytes | None) -> Completed | Refused:
        self.send(signed, key)
        answered = await self.hear()
        assert isinstance(answered, Answered)
        found: list[Completed | Refused] = [*answered.completed, *answered.refused]
        assert [answer.number for answer in found] == [self._number]
        return found[0]


@asynccontextmanager
async def house(scheme: Scheme, folder: Path) -> AsyncIterator[Hand]:
    """The house answers on its sockets while the block runs; a hand is connected to it."""
    services = scheme.services
    (folder / FOLDER).mkdir()
    with bind(folder, HTTP) as http, bind(folder, ORDERS) as orders:
        async with answering(create_app(services), services.payments, services.parties, services.clock, http=http, orders=orders):
            hand = Hand()
            with address_of(folder, ORDERS) as address:
                await asyncio.get_running_loop().create_unix_connection(lambda: hand.frames, address)
            welcome = await hand.hear()
            assert isinstance(welcome, Welcome)
            assert b"content-type: application/json\r\n" in welcome.head
            yield hand
        assert isinstance(await hand.hear(), Leaving | None)


def forged(signed: SignedOrder) -> SignedOrder:
    return msgspec.structs.replace(signed, signature=bytes(64))


async def test_a_signature_counts_as_checked_only_with_the_devices_key_of_this_moment(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as scheme, house(scheme, tmp_path) as hand:
        payer, payee = await scheme.customer(funds=1_000), await scheme.customer()
        key, other = bytes(payer.key.verify_key), bytes(SigningKey.generate().verify_key)

        def order(amount: int) -> SignedOrder:
            return payer.sign(payer.order(payee, amount))

        for named, told in ((None, key), (other, key), (key, None)):
            answer = await hand.ask(order(10), named)
            assert isinstance(answer, Completed)
            assert (answer.state, answer.key, answer.to_payee) == (PaymentState.COMPLETED, told, False), named
        for named in (None, other):
            answer = await hand.ask(forged(order(20)), named)
            assert isinstance(answer, Refused), named
            assert (answer.status, b"wrong_signature" in answer.body) == (401, True)
        assert isinstance(await hand.ask(forged(order(40)), key), Completed), "this is what a worker is trusted with"
        assert payee.balance() == 70


async def test_an_order_that_comes_twice_in_one_frame_is_answered_twice_and_carried_out_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as scheme:
        payer, payee = await scheme.customer(funds=1_000), await scheme.customer()
        async with house(scheme, tmp_path) as hand:
            faults = list[object]()
            asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
            signed = payer.sign(payer.order(payee, 10))
            sent = SentOrder(7, signed.order, uuid_text(signed.device), signed.signature, "192.0.2.7", None, None, None)
            hand.frames.send(Asked([sent, sent]))
            found = list[Completed]()
            while len(found) < 2:
                answered = await hand.hear()
                assert isinstance(answered, Answered)
                found += answered.completed
            assert found[0] == found[1]
            assert payee.balance() == 10
            await asyncio.sleep(0)
            assert faults == []


async def test_what_was_checked_is_good_for_one_question_about_the_same() -> None:
    secret, other = SigningKey.generate(), SigningKey.generate()
    key, message, wrong = bytes(secret.verify_key), b"message", bytes(64)
    checked = CheckedSignatures()

    async def verified(public_key: bytes, about: bytes) -> bool:
        return await checked.verify(KeyAlgorithm.ED25519, public_key, about, wrong)

    checked.put(wrong, message, key)
    assert (await verified(key, message), await verified(key, message)) == (True, False)
    for public_key, about in ((bytes(other.verify_key), message), (key, b"another")):
        checked.put(wrong, message, key)
        assert not await verified(public_key, about)
        assert not await verified(key, message)
    checked.put(wrong, message, key)
    checked.drop(wrong)
    assert not await verified(key, message)


async def test_a_leaving_house_answers_what_was_sent_and_takes_nothing_new(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as scheme:
        payer, payee = await scheme.customer(funds=1_000), await scheme.customer()
        async with house(scheme, tmp_path) as hand:
            leaving = asyncio.create_task(_until_leaving(hand, payer, payee))
            await asyncio.sleep(0)
        answered, end = await leaving
        assert isinstance(answered, Answered)
        assert [completed.state for completed in answered.completed] == [PaymentState.COMPLETED]
        assert end is None
        assert payee.balance() == 10


async def _until_leaving(hand: Hand, payer: Person, payee: Person) -> tuple[ToWorker | None, ToWorker | None]:
    """A worker's part: what it was about to send goes before it says that it holds the rest."""
    assert isinstance(await hand.hear(), Leaving)
    hand.send(payer.sign(payer.order(payee, 10)), None)
    hand.frames.send(Left())
    found = await hand.hear(), await hand.hear()
    hand.heard.put_nowait(None)
    return found


async def test_noise_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as scheme, house(scheme, tmp_path) as hand:
        payer, payee = await scheme.customer(funds=1_000), await scheme.customer()
        for noise in (b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2\x91\x09"):
            with socket.socket(socket.AF_UNIX) as connected:
                connected.setblocking(False)
                loop = asyncio.get_running_loop()
                with address_of(tmp_path, ORDERS) as address:
                    await loop.sock_connect(connected, address)
                await loop.sock_sendall(connected, noise)
                async with asyncio.timeout(WAIT_S):
                    while await loop.sock_recv(connected, 4_096):
                        pass
        assert isinstance(await hand.ask(payer.sign(payer.order(payee, 10)), None), Completed)


def test_nobody_else_can_open_the_sockets(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)  # longer than a socket's address may be
    (folder / FOLDER).mkdir(parents=True, mode=0o700)
    for _ in range(2):  # the second replaces what an earlier parent has left
        with bind(folder, ORDERS):
            assert (folder / FOLDER / ORDERS).stat().st_mode & 0o777 == 0o600


def test_a_worker_does_without_what_would_double_its_memory() -> None:
    """P-256 is rarely needed, and SQLAlchemy never: a worker that has just started has loaded neither."""
    loaded = "import counterfoil.serving.worker, sys; print({'cryptography', 'sqlalchemy', 'starlette'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], check=True, stdout=subprocess.PIPE, text=True).stdout == "set()\n"


class Caller:
    """Who waits for an answer."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def completed(self, sent: SentOrder, completed: Completed) -> None:
        raise AssertionError(completed)

    def refused(self, refused: Refused) -> None:
        raise AssertionError(refused)

    def unavailable(self, why: str) -> None:
        self.told.append(why)


@pytest.fixture
def numbers() -> Iterator[SentOrder]:
    return (SentOrder(number, b"", "", b"", "", None, None, None) for number in range(1, 100))


async def test_an_order_waits_for_a_house_so_long_and_not_longer(tmp_path: Path, numbers: Iterator[SentOrder]) -> None:
    clock, caller, later = PatientClock(), Caller(), Caller()
    link = Link(tmp_path, clock, in_flight_max=10)
    link.ask(next(numbers), caller)
    clock.waited_s = HOLD_S_MAX - 1
    link.give_up_overdue()
    link.ask(next(numbers), later)
    assert (caller.told, link.in_flight) == ([], 2)
    clock.waited_s = HOLD_S_MAX + 2
    link.give_up_overdue()
    assert (caller.told, later.told, link.in_flight) == ([AWAY], [], 1)


async def test_an_answer_is_waited_for_so_long_and_not_longer(tmp_path: Path, numbers: Iterator[SentOrder]) -> None:
    """A house that stands still, with its connection open: what comes of the order later, a repeat finds out."""
    clock, caller, later = PatientClock(), Caller(), Caller()
    link = Link(tmp_path, clock, in_flight_max=2)
    link.is_up = True
    link.ask(next(numbers), caller)
    clock.waited_s = ANSWER_S_MAX - 1
    link.give_up_overdue()
    link.ask(next(numbers), later)
    assert (caller.told, link.in_flight) == ([], 2)
    clock.waited_s = ANSWER_S_MAX + 1
    link.give_up_overdue()
    assert (caller.told, later.told, link.in_flight) == ([SLOW], [], 1)


async def test_so_many_orders_wait_and_not_more(tmp_path: Path, numbers: Iterator[SentOrder]) -> None:
    link, callers = Link(tmp_path, PatientClock(), in_flight_max=2), [Caller() for _ in range(3)]
    for caller in callers:
        link.ask(next(numbers), caller)
    assert callers[2].told == []  # in a later turn, so that answers do not pile up on the stack
    await asyncio.sleep(0)
    assert [caller.told for caller in callers] == [[], [], [FULL]]
