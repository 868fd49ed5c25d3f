"""What a worker and the house say to each other about orders: MessagePack in frames, each side one frame for each turn of its loop.

    worker -> house   Asked:     orders, numbered by the worker      Left: nothing more comes until the next welcome
    house -> worker   Welcome:   how answers look                    Leaving: hold what arrives, and say Left
                      Answered:  receipts and refusals by number

A worker belongs to the operator as the house does: the same user, the same machine, a socket that nobody else can open. So
the house believes a worker which key a signature was checked with, and who asks; whether this key is the device's, and
everything else, it decides itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.types import PaymentState

M = TypeVar("M")

FRAME_SIZE_MAX = 64 * 2**20
"""Bytes of one frame; a longer one is a fault of ours."""
_LENGTH_SIZE = 4


class SentOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One signed order on its way to the house.

    Attributes:
        number: the worker's, for the answer.
        order, device, signature: as the request has them; the device as text.
        peer: address of whoever is connected to the worker.
        forwarded: what X-Forwarded-For says, if the request has one; believed or not as everywhere.
        language: what Accept-Language says, if the request has one.
        key: with which the worker has checked the signature; None when it has not, or when it was wrong.
    """

    number: int
    order: bytes
    device: str
    signature: bytes
    peer: str
    forwarded: bytes | None
    language: bytes | None
    key: bytes | None


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What a worker tells of, besides its orders, is for the metrics.

    Attributes:
        unavailable: requests since the last frame that the worker answered itself, with Unavailable.
        waited_us: how long each order took that was answered since the last frame, from its asking, microseconds.
    """

    orders: list[SentOrder]
    unavailable: int = 0
    waited_us: list[int] = []


class Left(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The worker holds whatever it has not sent so far."""


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What a worker needs to answer as the house does.

    Attributes:
        head: the headers of a receipt, as they go over the wire, without date and length.
        common: those of them that every answer has.
    """

    head: bytes
    common: bytes


class Completed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a receipt says beyond its order; fields as in `Receipt`. The worker signs it and makes it JSON.

    Attributes:
        to_payee: whether the receipt is the payee's.
        key: the device's, where the worker did not name it.
    """

    number: int
    state: PaymentState
    service: Service
    fee: int
    fee_paid_by: PaidBy
    completed_at: int
    to_payee: bool
    balance: int
    available: int
    key: bytes | None = None


class Refused(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An answer that the house has made whole: `head` is its headers, without date and length."""

    number: int
    status: int
    head: bytes
    body: bytes


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=2):
    completed: list[Completed]
    refused: list[Refused]


class Leaving(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The house takes nothing new: another follows soon."""


ToHouse = Asked | Left
ToWorker = Welcome | Answered | Leaving


class Frames(asyncio.Protocol):
    """One end of a connection.

    `on_message` hears each message of the other end, `on_lost` that the connection has ended, `on_made` that it is there.
    """

    def __init__(
        self, kind: object, on_message: Callable[[M], None], on_lost: Callable[[], None], on_made: Callable[[], None] | None = None
    ) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()
        self._on_message: Callable[[M], None] = on_message
        self._on_lost = on_lost
        self._on_made = on_made
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if self._on_made is not None:
            self._on_made()

    def data_received(self, data: bytes) -> None:
        """A message that is not in the form above ends the connection: it comes from another version, or from a bug."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _LENGTH_SIZE:
            size = int.from_bytes(buffer[at : at + _LENGTH_SIZE])
            end = at + _LENGTH_SIZE + size
            if size > FRAME_SIZE_MAX:
                self.close()
                return
            if len(buffer) < end:
                break
            try:
                message = self._decoder.decode(buffer[at + _LENGTH_SIZE : end])
            except msgspec.DecodeError:
                self.close()
                return
            at = end
            self._on_message(message)
        del buffer[:at]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._on_lost()

    def send(self, message: ToHouse | ToWorker) -> None:
        """Sends a message; nothing happens when the connection has ended."""
        if self._transport is not None:
            data = self._encoder.encode(message)
            assert len(data) <= FRAME_SIZE_MAX, len(data)
            self._transport.write(len(data).to_bytes(_LENGTH_SIZE) + data)

    def close(self) -> None:
        """Ends the connection, once what was sent has left. Safe to repeat."""
        if self._transport is not None:
            self._transport.close()
