"""Two SMSCs on the loopback: smpp34's server, which is other people's code; and a bare socket, which misbehaves as a test wants.

smpp34's server keeps its connections when it is stopped. So there is a line before it, which can be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import smpp34
from smpp34 import Esme, Server, SubmitSmEvent, Tlv, Unbound

HEADER = struct.Struct("!IIII")
BIND, SUBMIT, DELIVER, ENQUIRE, UNBIND, NACK, RESPONSE = 0x09, 0x04, 0x05, 0x15, 0x06, 0x80000000, 0x80000000


async def eventually(holds: Callable[[], bool]) -> None:
    """Waits until it is so; the test's own time limit is the only end."""
    while not holds():
        await asyncio.sleep(0.002)


class Smsc:
    """smpp34's server. `decide` answers each submit_sm; what was decided on is in `submits`, who is bound in `bound`."""

    def __init__(self) -> None:
        self.port = 0
        self.submits: list[SubmitSmEvent] = []
        self.bound: list[Esme] = []
        self.binds = 0
        self.decide: Callable[[SubmitSmEvent], None] = lambda event: event.accept(f"{len(self.submits):08X}")
        self._behind = free_port()
        self._server = Server("127.0.0.1", self._behind)
        self._line: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._copying: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Also after `stop`, at the same port."""
        if self._pump is None:
            await self._server.start()
            self._pump = asyncio.create_task(self._read())
        self._line = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._line.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cuts every connection, in the middle of whatever is under way, and takes no more."""
        if self._line is not None:
            self._line.close()
            for end in self._ends:
                end.transport.abort()
            await self._line.wait_closed()
            self._line = None
            await eventually(lambda: not self.bound)

    async def close(self) -> None:
        await self.stop()
        if self._copying:
            await asyncio.wait(self._copying)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        await self._server.stop()

    async def esme(self) -> Esme:
        """Whoever is bound last, once somebody is."""
        await eventually(lambda: bool(self.bound))
        return self.bound[-1]

    async def say(self, text: bytes, **fields: Any) -> int:
        """Delivers a message; the status of its acknowledgement."""
        esme = await self.esme()
        fields = {"source_addr": "254712345678", "source_addr_ton": 1, "source_addr_npi": 1, **fields}
        return (await esme.deliver_sm("22345", text, **fields)).command_status

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_it = await asyncio.open_connection("127.0.0.1", self._behind)
        for source, target in ((reader, to_it), (behind, writer)):
            self._ends.add(target)
            task = asyncio.create_task(self._copy(source, target))
            self._copying.add(task)
            task.add_done_callback(self._copying.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                target.write(data)
        with contextlib.suppress(OSError):
            target.close()
            await target.wait_closed()
        self._ends.discard(target)

    async def _read(self) -> None:
        while True:
            match await self._server.next():
                case SubmitSmEvent() as event:
                    self.submits.append(event)
                    self.decide(event)
                case Unbound() as gone:
                    self.bound = [esme for esme in self.bound if esme.session_id != gone.session_id]
                case esme:
                    assert isinstance(esme, Esme)
                    self.binds += 1
                    self.bound.append(esme)


def free_port() -> int:
    """A port that nobody has at the moment: smpp34 does not tell which one it took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def option(tag: int, value: bytes) -> Tlv:
    return smpp34.Tlv(tag, value)


class BareSmsc:
    """A socket that answers binds with `bind_status`, None for no answer, and otherwise only what `answers` says. All that it hears is in `heard`."""

    def __init__(self) -> None:
        self.bind_status: int | None = 0
        self.answers: Callable[[BareSmsc, int, int, bytes], None] = lambda *_: None
        self.heard: list[tuple[int, int, int, bytes]] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[BareSmsc]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await server.wait_closed()

    @property
    def binds(self) -> int:
        return self.count(BIND)

    def count(self, command: int) -> int:
        return sum(1 for heard, *_ in self.heard if heard == command)

    def answer_to(self, sequence: int) -> tuple[int, int] | None:
        """(command, status) of the answer to something that we sent."""
        return next(((command, status) for command, status, its, _ in self.heard if its == sequence and command & RESPONSE), None)

    def send(self, command: int, sequence: int, body: bytes = b"", status: int = 0) -> None:
        self.send_bytes(HEADER.pack(HEADER.size + len(body), command, status, sequence) + body)

    def send_bytes(self, data: bytes) -> None:
        self._writers[-1].write(data)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size, command, status, sequence = HEADER.unpack(await reader.readexactly(HEADER.size))
                body = await reader.readexactly(size - HEADER.size)
                self.heard.append((command, status, sequence, body))
                if command == BIND and self.bind_status is not None:
                    self.send(BIND | RESPONSE, sequence, b"bare\x00", self.bind_status)
                elif command == UNBIND:
                    self.send(UNBIND | RESPONSE, sequence)
                else:
                    self.answers(self, command, sequence, body)


def deliver_body(text: bytes, *, source: bytes = b"254712345678", esm_class: int = 0, data_coding: int = 0, options: bytes = b"") -> bytes:
    """The body of a deliver_sm."""
    return (
        b"\x00\x01\x01" + source + b"\x00\x00\x0022345\x00" + bytes([esm_class, 0, 0]) + b"\x00\x00\x00\x00"
        + bytes([data_coding, 0, len(text)]) + text + options
    )  # fmt: skip
