"""A slow and lossy network between a browser and the server: what a browser cannot be told to do to itself.

    async with network(site.port, loss=0.1, seed=7) as lossy:
        await page.goto(f"http://localhost:{lossy.port}/wallet/")

All connections share one link with a rate in each direction and a round trip. Of the requests, a share is cut off: half of them
before the server has heard of them, half after it has answered, so that the answer is lost; a connection that is cut is closed
without a word, as when a phone leaves its cell. Which ones is drawn from the seed, in the order in which requests arrive.
HTTP/1.1 without upgrades, as uvicorn speaks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

Fate = Literal["through", "cut before", "cut after"]

PIECE = 1_024
"""Bytes that are sent at a time."""
HEAD_MAX = 65_536


class Cut(Exception):
    """The network has lost this connection."""


class Link:
    """One direction: bytes leave one after the other, at a rate, and arrive half a round trip later.

    Args:
        rate: bits a second.
        delay_s: seconds from leaving to arriving.
    """

    def __init__(self, rate: int, delay_s: float) -> None:
        self.rate = rate
        self.delay_s = delay_s
        self._free_at = 0.0

    async def carry(self, data: bytes, to: asyncio.StreamWriter) -> None:
        """Returns when all of it has arrived."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._free_at = max(self._free_at, loop.time()) + len(piece) * 8 / self.rate
            await asyncio.sleep(self._free_at - loop.time())
            arrival = self._free_at + self.delay_s
            if start + PIECE >= len(data):
                await asyncio.sleep(max(0.0, arrival - loop.time()))
                to.write(piece)
                await to.drain()
            else:
                loop.call_at(arrival, _write, to, piece)


def _write(to: asyncio.StreamWriter, data: bytes) -> None:
    if not to.is_closing():
        to.write(data)


class Network:
    """What happened is told in `requests` ((method, path, fate) in order); rates and loss may be changed while it runs.

    Attributes:
        port: where it listens, on 127.0.0.1.
        loss: share of the requests that are cut off, 0 to 1.
        only: the requests that may be cut off, such as "POST /v1/payments"; all if empty.
        fates: what happens to the next requests that `only` allows, before chance is asked again.
        down: whether nothing gets through at all.
    """

    def __init__(self, upstream: int, *, rate: int, round_trip_s: float, loss: float, seed: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.loss = loss
        self.only: tuple[str, ...] = ()
        self.fates: list[Fate] = []
        self.down = False
        self.requests: list[tuple[str, str, Fate]] = []
        self.round_trip_s = round_trip_s
        self.up = Link(rate, round_trip_s / 2)
        self.back = Link(rate, round_trip_s / 2)
        self._random = random.Random(seed)

    def become(self, *, rate: int, round_trip_s: float, loss: float) -> None:
        """Another network from now on, as when somebody walks out of the town."""
        self.round_trip_s, self.loss = round_trip_s, loss
        for link in (self.up, self.back):
            link.rate, link.delay_s = rate, round_trip_s / 2

    def of(self, method: str, path: str) -> list[Fate]:
        """What became of the requests to one path."""
        return [fate for each, at, fate in self.requests if (each, at) == (method, path)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries the requests of one connection of a browser's, until one of them is cut off or either side has enough."""
        if self.down:
            return _cut(writer)
        await asyncio.sleep(self.round_trip_s)  # the handshake
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            return _cut(writer)
        try:
            while await self._one(reader, writer, server_reader, server_writer):
                pass
            writer.close()
        except (Cut, OSError, asyncio.IncompleteReadError):
            _cut(writer)
        finally:
            server_writer.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> bool:
        """Carries one request and its answer; whether the connection lives on."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return False
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        fate = self._fate(f"{method} {path}")
        self.requests.append((method, path, fate))
        body = await reader.readexactly(int(_field(head, b"content-length") or 0))
        if fate == "cut before" or self.down:
            raise Cut
        await self.up.carry(head + body, server_writer)
        answer = await server_reader.readuntil(b"\r\n\r\n")
        parts = _body(server_reader, method, answer)
        if fate == "cut after":
            async for _ in parts:  # the server has done all of it, and nobody hears
                pass
            raise Cut
        await self._back(answer, writer)
        async for part in parts:
            await self._back(part, writer)
        return (_field(answer, b"connection") or b"keep-alive").lower() != b"close"

    async def _back(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.down or writer.is_closing():
            raise Cut
        await self.back.carry(data, writer)

    def _fate(self, request: str) -> Fate:
        if self.only and request not in self.only:
            return "through"
        if self.fates:
            return self.fates.pop(0)
        if self._random.random() >= self.loss:
            return "through"
        return self._random.choice(("cut before", "cut after"))


async def _body(reader: asyncio.StreamReader, method: str, head: bytes) -> AsyncIterator[bytes]:
    """An answer's body as it comes, framing included. Source: RFC 9112 §6.3."""
    status = int(head.split(b" ", 2)[1])
    if method == "HEAD" or status in (204, 304) or status < 200:
        return
    if (_field(head, b"transfer-encoding") or b"").lower() == b"chunked":
        size = -1
        while size != 0:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line + await reader.readexactly(size + 2)
    elif (length := _field(head, b"content-length")) is not None:
        left = int(length)
        while left:
            part = await reader.read(min(left, 16 * PIECE))
            if not part:
                raise Cut
            left -= len(part)
            yield part
    else:
        while part := await reader.read(16 * PIECE):
            yield part


def _field(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def _cut(writer: asyncio.StreamWriter) -> None:
    """Closes a connection so that the browser sees a reset, not an end."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


@asynccontextmanager
async def network(
    upstream: int, *, rate: int = 50_000, round_trip_s: float = 1.0, loss: float = 0.1, seed: int = 1
) -> AsyncIterator[Network]:
    """A network in front of the server on port `upstream` of this machine.

    Args:
        rate: bits a second, in each direction, for all connections together.
        round_trip_s: seconds to the server and back; a new connection costs one, too.
        loss: share of the requests that are cut off.
    """
    found = Network(upstream, rate=rate, round_trip_s=round_trip_s, loss=loss, seed=seed)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await found.serve(reader, writer)
        except asyncio.CancelledError:
            _cut(writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEAD_MAX)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
