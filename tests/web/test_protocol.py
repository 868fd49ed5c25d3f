"""The short way of payments through HTTP, and everything that must take the long one: the same answers, byte for byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from counterfoil.payments.types import SignedOrder
from counterfoil.web.protocol import PaymentProtocol
from counterfoil.web.server import listening
from tests.scheme import Person
from tests.web.site import Site, signed_body

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, site: Site) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", site.port))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.02)  # the server reads each piece by itself

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def is_closed(self) -> bool:
        async with asyncio.timeout(60):
            return await self.reader.read(1) == b""

    def close(self) -> None:
        self.writer.close()


def request(signed: SignedOrder | bytes, *headers: str, version: str = "1.1") -> bytes:
    body = signed if isinstance(signed, bytes) else json.dumps(signed_body(signed)).encode()
    lines = [f"POST /v1/payments HTTP/{version}", "Host: test", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def funded(site: Site) -> tuple[Person, Person]:
    return await site.scheme.customer(funds=5_000), await site.scheme.customer()


def without_date(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "date"}


async def test_a_request_in_pieces_gets_what_a_whole_one_gets(site: Site) -> None:
    payer, payee = await funded(site)
    signed = payer.sign(payer.order(payee, 100))
    whole = request(signed)
    wire = await Wire.connect(site)
    await wire.send(whole)
    status, headers, body = await wire.answer()
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    end = whole.index(b"\r\n\r\n") + 4
    for at in (1, 20, end - 2, end, end + 1, len(whole) - 1):
        await wire.send(whole[:at], whole[at:])
        again = await wire.answer()
        assert (again[0], without_date(again[1]), again[2]) == (200, without_date(headers), body), at
    wire.close()
    assert payee.balance() == 100


async def test_the_body_byte_by_byte(site: Site) -> None:
    payer, payee = await funded(site)
    whole = request(payer.sign(payer.order(payee, 100)))
    wire = await Wire.connect(site)
    end = whole.index(b"\r\n\r\n") + 4
    await wire.send(whole[:end])
    for at in range(end, len(whole)):
        wire.writer.write(whole[at : at + 1])
        await asyncio.sleep(0)
    assert (await wire.answer())[0] == 200
    wire.close()


async def test_pipelined_payments_are_answered_in_order(site: Site) -> None:
    payer, payee = await funded(site)
    orders = [payer.order(payee, amount) for amount in (100, 200, 300)]
    wire = await Wire.connect(site)
    await wire.send(b"".join(request(payer.sign(order)) for order in orders) + b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
    amounts = []
    for _ in orders:
        status, _, body = await wire.answer()
        assert status == 200
        amounts.append(json.loads(body)["amount"])
    assert amounts == [100, 200, 300]
    assert (await wire.answer())[0] == 200
    wire.close()


async def test_a_connection_goes_on_after_a_refusal(site: Site) -> None:
    payer, payee = await funded(site)
    wire = await Wire.connect(site)
    await wire.send(request(b"{"))
    status, headers, body = await wire.answer()
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["code"] == "malformed"
    await wire.send(request(payer.sign(payer.order(payee, 9_000))))
    status, _, body = await wire.answer()
    assert (status, json.loads(body)["code"]) == (422, "insufficient_funds")
    await wire.send(request(payer.sign(payer.order(payee, 100))))
    assert (await wire.answer())[0] == 200
    wire.close()


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_body_above_the_limit_is_refused_both_ways(site: Site, pieces: int) -> None:
    wire = await Wire.connect(site)
    whole = request(b" " * 65_537)
    at = len(whole) // pieces
    await wire.send(whole[:at], whole[at:])
    status, _, body = await wire.answer()
    assert (status, json.loads(body)["code"]) == (413, "too_large")
    wire.close()


async def test_a_silent_connection_is_closed_and_one_in_use_is_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = await funded(site)
    whole = request(payer.sign(payer.order(payee, 100)))
    made: list[PaymentProtocol] = []
    connection_made = PaymentProtocol.connection_made

    def remembered(self: PaymentProtocol, transport: asyncio.Transport) -> None:
        connection_made(self, transport)
        self.timeout_keep_alive = 3_600  # the timer rings when we say so
        made.append(self)

    monkeypatch.setattr(PaymentProtocol, "connection_made", remembered)
    wire = await Wire.connect(site)
    for _ in range(3):  # used from ring to ring
        await wire.send(whole)
        assert (await wire.answer())[0] == 200
        made[0].timeout_keep_alive_handler()
    await wire.send(whole[:8])
    while made[0].url != b"/v1":  # until the server has read it
        await asyncio.sleep(0.01)
    for _ in range(2):  # in the middle of a request
        made[0].timeout_keep_alive_handler()
    await wire.send(whole[8:])
    assert (await wire.answer())[0] == 200
    assert made[0].timeout_keep_alive_task is not None
    for _ in range(2):  # silent from ring to ring
        made[0].timeout_keep_alive_handler()
    assert await wire.is_closed()
    wire.close()


async def test_who_wants_the_connection_closed_gets_it_closed(site: Site) -> None:
    payer, payee = await funded(site)
    for version, headers in (("1.1", ("Connection: close",)), ("1.0", ())):
        wire = await Wire.connect(site)
        await wire.send(request(payer.sign(payer.order(payee, 100)), *headers, version=version))
        status, answered, _ = await wire.answer()
        assert (status, answered["connection"]) == (200, "close")
        assert await wire.is_closed()
        wire.close()


async def test_an_expectation_is_met_before_the_body(site: Site) -> None:
    payer, payee = await funded(site)
    whole = request(payer.sign(payer.order(payee, 100)), "Expect: 100-continue")
    end = whole.index(b"\r\n\r\n") + 4
    wire = await Wire.connect(site)
    await wire.send(whole[:end])
    assert (await wire.answer())[0] == 100
    await wire.send(whole[end:])
    assert (await wire.answer())[0] == 200
    wire.close()


async def test_nonsense_after_the_headers_moves_nothing(site: Site) -> None:
    payer, payee = await funded(site)
    body = json.dumps(signed_body(payer.sign(payer.order(payee, 100)))).encode()
    chunked = b"POST /v1/payments HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    wire = await Wire.connect(site)
    await wire.send(chunked + body)
    assert (await wire.answer())[0] == 400
    assert await wire.is_closed()
    wire.close()
    assert payee.balance() == 0
    good = b"POST /v1/payments HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire = await Wire.connect(site)
    await wire.send(good + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    assert (await wire.answer())[0] == 200
    wire.close()


async def test_who_hangs_up_has_paid_all_the_same(site: Site) -> None:
    payer, payee = await funded(site)
    signed = payer.sign(payer.order(payee, 100))
    wire = await Wire.connect(site)
    wire.writer.write(request(signed))
    await wire.writer.drain()
    wire.writer.transport.abort()
    assert (await site.pay(signed)).status_code == 200
    assert payee.balance() == 100


async def test_wrong_signatures_count_against_the_address_behind_the_proxy(site: Site) -> None:
    payer, payee = await funded(site)
    order = payer.order(payee, 100)
    right = payer.sign(order)
    wrong = SignedOrder(right.order, right.device, bytes(64))

    async def ask(signed: SignedOrder, address: str) -> tuple[int, Any]:
        wire = await Wire.connect(site)
        await wire.send(request(signed, f"X-Forwarded-For: {address}"))
        status, _, body = await wire.answer()
        wire.close()
        return status, json.loads(body).get("code")

    for _ in range(10):
        assert await ask(wrong, "203.0.113.7") == (401, "wrong_signature")
    assert await ask(right, "203.0.113.7") == (429, "too_many")
    assert (await ask(right, "203.0.113.8"))[0] == 200


async def test_a_connection_that_was_accepted_in_the_moment_of_the_stop_is_not_answered_any_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaymentProtocol, "shutdown", lambda self: None)  # the server has not heard of it yet
    async with listening(site.app, host="127.0.0.1", port=0) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 ")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(60):
            await reader.readuntil(b"never")
    writer.close()
