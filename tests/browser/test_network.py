"""The lossy network itself: as slow as it says, as lossy as it says, and what it lets through is what was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest

from counterfoil.web.incoming import Receive, Scope, Send
from counterfoil.web.server import listening
from tests.browser.network import Network, network


class Counting:
    """Answers with what it was sent, or streams; counts what it has heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.heard.append(scope["path"])
        if scope["path"] == "/none":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        parts = [b"one", b"two", b"three"] if scope["path"] == "/stream" else [body or b"x" * 5_000]
        headers = [] if scope["path"] == "/stream" else [(b"content-length", str(len(parts[0])).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})


@asynccontextmanager
async def carried(**options: Any) -> AsyncIterator[tuple[Counting, Network, httpx2.AsyncClient]]:
    app = Counting()
    async with (
        listening(app, host="127.0.0.1", port=0) as address,
        network(int(address.rpartition(":")[2]), **options) as found,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{found.port}", timeout=60) as client,
    ):
        yield app, found, client


async def test_what_gets_through_is_what_was_sent() -> None:
    async with carried(rate=10_000_000, round_trip_s=0.01, loss=0) as (app, found, client):
        data = bytes(range(256)) * 300
        assert (await client.post("/echo", content=data)).content == data
        assert (await client.get("/stream")).content == b"onetwothree"
        assert (await client.get("/none")).status_code == 204
        assert (await client.head("/echo")).status_code == 200
        assert [(await client.get("/echo")).content for _ in range(3)] == [b"x" * 5_000] * 3
        assert len(app.heard) == len(found.requests) == 7


async def test_it_is_as_slow_as_it_says() -> None:
    async with carried(rate=50_000, round_trip_s=1.0, loss=0) as (_, _, client):
        began = time.monotonic()
        await client.get("/echo")  # 1 s handshake, 1 s there and back, 5,000 bytes and heads: 0.8 s and a little
        assert 2.8 <= time.monotonic() - began < 10
        began = time.monotonic()
        await asyncio.gather(client.get("/echo"), client.get("/echo"))  # one link for all; one of them needs a new connection
        assert 2.8 <= time.monotonic() - began < 10


async def test_a_request_is_cut_off_before_or_after_the_server_has_heard_it() -> None:
    async with carried(rate=10_000_000, round_trip_s=0, loss=0) as (app, found, client):
        found.fates = ["cut before", "cut after", "through"]
        for _ in range(2):
            with pytest.raises(httpx2.TransportError):
                await client.post("/pay", content=b"1")
        assert (await client.post("/pay", content=b"1")).content == b"1"
        assert app.heard == ["/pay", "/pay"]
        assert found.of("POST", "/pay") == ["cut before", "cut after", "through"]
        found.only, found.fates = ("POST /pay",), ["cut before"]
        assert (await client.get("/echo")).status_code == 200
        found.down = True
        with pytest.raises(httpx2.TransportError):
            await client.get("/echo")


async def test_as_many_are_cut_off_as_it_says_and_the_same_ones_each_time() -> None:
    async def run() -> list[str]:
        async with carried(rate=100_000_000, round_trip_s=0, loss=0.1, seed=3) as (app, found, client):
            for _ in range(150):
                with suppress(httpx2.TransportError):
                    await client.post("/pay", content=b"1")
            fates: list[str] = list(found.of("POST", "/pay"))
            assert len(app.heard) == 150 - fates.count("cut before")
            return fates

    first = await run()
    assert 8 <= first.count("cut before") + first.count("cut after") <= 25
    assert min(first.count("cut before"), first.count("cut after")) > 2
    assert await run() == first
