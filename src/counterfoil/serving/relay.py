"""Everything but payments: a worker passes it on to the house over HTTP on a Unix socket, and the answer back as it comes.

    client ── request, parsed, with the caller's address ──> house
    client <──────────── answer, untouched ──────────────── house

Both ways stream, and whoever reads slowly slows the other down. One request at a time is on a connection to the house; idle
connections are kept for the next. While there is no house, requests wait for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import httptools

from counterfoil.clock import Clock
from counterfoil.serving.link import AWAY, Link
from counterfoil.serving.places import HTTP, address_of

CALLER = b"x-counterfoil-caller"
"""As in `web.protocol`, which a worker does not load: it brings the whole server. From a caller this header is dropped."""
IDLE_MAX = 32
"""Connections to the house that are kept for later."""
TRIES_MAX = 3
CONNECT_PAUSE_S = 0.05
EVENT_STREAM = b"text/event-stream"
_SAFE = (b"GET", b"HEAD", b"OPTIONS")
_CONTINUE = 200
"""Statuses below are not the answer yet."""

Header = tuple[bytes, bytes]


class Client(Protocol):
    """The connection that a request came on, as far as it concerns passing it on."""

    caller: bytes
    is_gone: bool

    def answered(self, exchange: Exchange, *, keep_alive: bool) -> None:
        """The answer has come whole, and the request has gone whole."""

    def broken(self) -> None:
        """There will be no (further) answer."""

    def given_up(self, exchange: Exchange, why: str) -> None:
        """Nobody has taken the request."""

    def started(self) -> None:
        """A house has taken the request, with what was read of it."""

    def relay(self, data: bytes) -> None: ...

    def pause(self, *, paused: bool) -> None:
        """Whether the house cannot take more of the request at the moment."""


class Exchange:
    """One request and its answer.

    Attributes:
        body: what has come and not been passed on.
        is_complete: the request has come whole.
        may_pay: it looks like a payment that can take the short way.
        may_repeat: it can be asked again of the next house if this one dies.
        upstream: the connection to the house that has it.
    """

    __slots__ = (
        "body", "client", "headers", "is_complete", "keep_alive", "may_pay", "may_repeat", "method", "since", "tries", "upstream", "url",
        "version",
    )  # fmt: skip

    def __init__(self, client: Client) -> None:
        self.client = client
        self.url = b""
        self.headers: list[Header] = []
        self.method = b""
        self.version = ""
        self.keep_alive = True
        self.body = b""
        self.is_complete = False
        self.may_pay = False
        self.may_repeat = False
        self.upstream: Upstream | None = None
        self.tries = 0
        self.since = 0


class Relay:
    """A worker's connections to the house for HTTP. While `is_retiring`, the house is told that no connection goes on."""

    def __init__(self, folder: Path, link: Link, clock: Clock) -> None:
        self.link = link
        self.is_retiring = False
        self._folder = folder
        self._clock = clock
        self._idle: list[Upstream] = []
        self._held: dict[Exchange, None] = {}
        self._busy: set[Upstream] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def pass_on(self, exchange: Exchange) -> None:
        """Passes a request on as soon as there is a house; `exchange.client` hears of the answer."""
        exchange.since = self._clock.monotonic_ns()
        if not self.link.is_up:
            self._held[exchange] = None
        elif self._idle:
            self._begin(self._idle.pop(), exchange)
        else:
            task = self._loop.create_task(self._connect(exchange))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def forget(self, exchange: Exchange) -> None:
        """The client has gone: so has the request, and the house sees that."""
        self._held.pop(exchange, None)
        if exchange.upstream is not None:
            exchange.upstream.abandon()

    def pass_on_held(self) -> None:
        """A house is there again."""
        held, self._held = self._held, {}
        for exchange in held:
            self.pass_on(exchange)

    def leave(self) -> None:
        """The house is leaving: streams of events end, as when a server stops, and their listeners come back to the next house."""
        for upstream in list(self._idle):
            upstream.abandon()
        self.end_streams()

    def end_streams(self) -> None:
        for upstream in [upstream for upstream in self._busy if upstream.is_stream]:
            assert upstream.exchange is not None
            client = upstream.exchange.client
            upstream.abandon()
            client.broken()

    def close(self) -> None:
        """Ends all connections to the house."""
        for upstream in [*self._idle, *self._busy]:
            upstream.abandon()

    def give_up_overdue(self) -> None:
        """Tells whoever has waited too long for a house; to be called now and then."""
        for exchange in [exchange for exchange in self._held if self.link.is_overdue(exchange.since)]:
            del self._held[exchange]
            exchange.client.given_up(exchange, AWAY)

    async def _connect(self, exchange: Exchange) -> None:
        upstream = Upstream(self._released, self._lost)
        try:
            with address_of(self._folder, HTTP) as address:
                await self._loop.create_unix_connection(lambda: upstream, address)
        except OSError:  # too many wait already
            await asyncio.sleep(CONNECT_PAUSE_S)
            if not exchange.client.is_gone:
                self.pass_on(exchange)
            return
        if exchange.client.is_gone:
            upstream.abandon()
        elif not self.link.is_up:  # it is leaving meanwhile
            upstream.abandon()
            self.pass_on(exchange)
        else:
            self._begin(upstream, exchange)

    def _begin(self, upstream: Upstream, exchange: Exchange) -> None:
        self._busy.add(upstream)
        exchange.tries += 1
        upstream.begin(exchange, last=self.is_retiring)
        exchange.client.started()

    def _released(self, upstream: Upstream) -> None:
        self._busy.discard(upstream)
        if len(self._idle) < IDLE_MAX:
            self._idle.append(upstream)
        else:
            upstream.abandon()

    def _lost(self, upstream: Upstream, exchange: Exchange | None) -> None:
        """A connection to the house has ended; `exchange` is the one that has no answer so far."""
        self._busy.discard(upstream)
        if upstream in self._idle:
            self._idle.remove(upstream)
        if exchange is None:
            return
        if exchange.may_repeat and not upstream.has_answered and exchange.tries < TRIES_MAX:
            exchange.upstream = None
            self._loop.call_soon(self._again, exchange)
        else:
            exchange.client.broken()

    def _again(self, exchange: Exchange) -> None:
        if not exchange.client.is_gone:
            self.pass_on(exchange)


class Upstream(asyncio.Protocol):
    """One connection to the house.

    Attributes:
        exchange: the one under way.
        has_answered: something of its answer has come.
        is_stream: its answer is a stream of events.
    """

    def __init__(self, released: Callable[[Upstream], None], lost: Callable[[Upstream, Exchange | None], None]) -> None:
        self.exchange: Exchange | None = None
        self.has_answered = False
        self.is_stream = False
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_chunked = False
        self._is_whole = False
        self._keep_alive = False
        self._head = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    # The request

    def begin(self, exchange: Exchange, *, last: bool) -> None:
        """Sends head and body as far as they have come. With `last`, the house is told that nothing follows on the connection."""
        assert self._transport is not None
        self.exchange, exchange.upstream = exchange, self
        self.has_answered = self.is_stream = self._is_whole = self._is_chunked = False
        self._head = b""
        lines = [
            b"%b %b HTTP/%b\r\n%b: %b\r\n" % (exchange.method, exchange.url, exchange.version.encode(), CALLER, exchange.client.caller)
        ]
        for name, value in exchange.headers:
            if name == b"transfer-encoding":
                self._is_chunked = True
            if name != CALLER and not (last and name == b"connection"):
                lines.append(b"%b: %b\r\n" % (name, value))
        lines.append(b"connection: close\r\n\r\n" if last else b"\r\n")
        body = exchange.body
        exchange.may_repeat = exchange.is_complete and exchange.method in _SAFE and not body
        exchange.body = b""
        self._transport.write(b"".join((*lines, self._piece(body))))
        if exchange.is_complete:
            self.end_body()

    def send_body(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(self._piece(data))

    def end_body(self) -> None:
        """The request has gone whole."""
        if self._transport is not None and self._is_chunked:
            self._transport.write(b"0\r\n\r\n")
        self._finish()

    def _piece(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked and data else data

    # The answer

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # nothing was asked
            self.abandon()
            return
        self.has_answered = True
        exchange.client.relay(data)
        if exchange.method == b"HEAD":
            self._head += data
            if self._head.endswith(b"\r\n\r\n"):
                self._is_whole = True
                self._keep_alive = b"\r\nconnection: close\r\n" not in self._head
        else:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                exchange.client.broken()
                return
        self._finish()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"content-type" and value.startswith(EVENT_STREAM):
            self.is_stream = True

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= _CONTINUE:
            self._is_whole = True
            self._keep_alive = self._parser.should_keep_alive()

    def _finish(self) -> None:
        exchange = self.exchange
        if exchange is None or not self._is_whole or not exchange.is_complete:
            return
        self.exchange = exchange.upstream = None
        if self._keep_alive and self._transport is not None:
            self.pause_answer(paused=False)  # whoever was slow is not the next one's matter
            self._released(self)
        else:
            self._lost(self, None)
            self.abandon()
        exchange.client.answered(exchange, keep_alive=self._keep_alive)

    # Flow and end

    def pause_answer(self, *, paused: bool) -> None:
        """Whether the client cannot take more of the answer at the moment."""
        if self._transport is not None and not self._transport.is_closing():
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause(paused=True)

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause(paused=False)

    def abandon(self) -> None:
        """Ends the connection at once; nobody hears of it. Safe to repeat."""
        if self.exchange is not None:
            self.exchange.upstream = None
            self.exchange = None
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.upstream = None
        self._lost(self, exchange)
