"""What a worker passes on: long bodies both ways, slow ends, and a house that dies in the middle. The house here is moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from counterfoil.clock import SystemClock
from counterfoil.serving.frames import Frames, ToHouse, Welcome
from counterfoil.serving.places import FOLDER, HTTP, ORDERS, bind
from counterfoil.serving.settings import WorkerSettings
from counterfoil.serving.worker import Worker

WAIT_S = 60
PIECE = bytes(range(256)) * 256
PIECES = 400
"""26 MB: more than all the buffers on the way can hold."""
HELD_MAX = 16 * 2**20

House = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def worker(folder: Path, house: House) -> AsyncIterator[int]:
    """A worker in this loop whose requests `house` answers, each connection by itself; yields its port."""
    loop = asyncio.get_running_loop()
    (folder / FOLDER).mkdir()
    with bind(folder, HTTP) as http, bind(folder, ORDERS) as orders, socket.create_server(("127.0.0.1", 0)) as listening:

        def met() -> Frames:
            frames = Frames(ToHouse, lambda message: None, lambda: None, lambda: frames.send(Welcome(b"", b"")))
            return frames

        desk = await loop.create_unix_server(met, sock=orders)
        answering: set[asyncio.Task[None]] = set()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            answering.add(task)
            with contextlib.suppress(ConnectionError):
                await house(reader, writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

        door = await asyncio.start_unix_server(answer, sock=http)
        settings = WorkerSettings(
            data=str(folder), listening=listening.fileno(), origin="test.example/log", languages=("en",), body_size_max=1_000, in_flight_max=9
        )  # fmt: skip
        port: int = listening.getsockname()[1]
        listening.detach()
        found, ready = Worker(settings, SystemClock()), asyncio.Event()
        running = asyncio.create_task(found.run(ready))
        try:
            async with asyncio.timeout(WAIT_S):
                await ready.wait()
            yield port
        finally:
            found.stop()
            await running
            await asyncio.gather(*answering)
            desk.close()
            door.close()


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def standing_still(count: Callable[[], int]) -> int:
    """A number once it has stopped growing."""
    before = -1
    while (now := count()) != before or now == 0:
        before = now
        await asyncio.sleep(0.5)
    return before


async def test_a_slow_reader_stops_the_house_and_gets_all(tmp_path: Path) -> None:
    sent = 0

    async def house(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)
        await reader.read()

    async with asyncio.timeout(WAIT_S), worker(tmp_path, house) as port:
        reader, writer = await connected(port)
        writer.write(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n")
        assert await standing_still(lambda: sent) < HELD_MAX
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(PIECES):
            assert await reader.readexactly(len(PIECE)) == PIECE
        await gone(writer)


@pytest.mark.parametrize("pause_s", [0.0, 0.005], ids=["ahead", "one by one"])
async def test_whoever_reads_no_answer_gets_so_many_and_all_in_the_end(tmp_path: Path, pause_s: float) -> None:
    """Each answer comes in one piece: its end is there when the reader's way is found to be full."""
    answer, count, sent = PIECE + PIECE[:40_000], 300, 0

    async def house(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
                await writer.drain()
                sent += len(answer)

    async with asyncio.timeout(WAIT_S), worker(tmp_path, house) as port:
        reader, writer = await connected(port)
        for _ in range(count):
            writer.write(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n")
            await asyncio.sleep(pause_s)
        assert await standing_still(lambda: sent) < HELD_MAX
        for _ in range(count):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(answer)) == answer
        await gone(writer)


async def test_a_slow_house_stops_the_sender_and_gets_all(tmp_path: Path) -> None:
    go_on, got = asyncio.Event(), bytearray()

    async def house(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            got.extend((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()

    sent = 0

    async def send(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"POST /long HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(PIECES):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
            await writer.drain()
            sent += len(PIECE)
        writer.write(b"0\r\n\r\n")

    async with asyncio.timeout(WAIT_S), worker(tmp_path, house) as port:
        reader, writer = await connected(port)
        sending = asyncio.create_task(send(writer))
        assert await standing_still(lambda: sent) < HELD_MAX
        go_on.set()
        await sending
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 204 No Content\r\n\r\n"
        assert got == PIECE * PIECES
        await gone(writer)


async def test_what_only_reads_is_asked_again_when_the_house_dies_and_the_rest_is_broken(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def house(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ", 1)[0])
        if len(asked) == 2:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback")

    async with asyncio.timeout(WAIT_S), worker(tmp_path, house) as port:
        reader, writer = await connected(port)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await reader.readuntil(b"back")).startswith(b"HTTP/1.1 200 OK\r\n")
        await gone(writer)
        reader, writer = await connected(port)
        writer.write(b"GET /twice HTTP/1.1\r\nHost: test\r\n\r\n")
        assert await reader.read() == b""  # dies each time: nobody asks for ever
        await gone(writer)
        asked.clear()
        reader, writer = await connected(port)
        writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}")
        assert await reader.read() == b""
        await gone(writer)
        assert asked == [b"POST"]
