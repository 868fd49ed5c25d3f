"""HTTP/1.1 on one connection: uvicorn's protocol, with a short way for payments.

    connection ── httptools ─┬─ POST /v1/payments, arrived whole ──> hot.answer ──> one write
                             └─ everything else ──> ASGI ──> application (where the same `hot` serves payments, too)

A phone's payment fits into one packet, so nearly all of them take the short way: no ASGI messages, no second write, a
seventh less of the server's time. A body in pieces, a pipelined request, an expectation or an upgrade goes the long way.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from counterfoil.web.hot import PATH, HotPayments
from counterfoil.web.problems import Header

CALLER = b"x-counterfoil-caller"
"""The header in which a worker names the caller's address and its own: "IP PORT IP PORT". See `HouseProtocol`."""
_URL = PATH.encode()


class _Exchange:
    """The payment in progress on a connection, or the last one: what uvicorn's protocol asks of it."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self) -> None:
        self.keep_alive = True
        self.message_event = asyncio.Event()
        self.disconnected = False
        self.response_complete = True


class PaymentProtocol(HttpToolsProtocol):
    """One connection of the server. Time-outs, back-pressure and a graceful end are uvicorn's."""

    def __init__(self, hot: HotPayments, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._hot = hot
        self._gathering = False
        self._gathered = b""
        self._exchange = _Exchange()
        self._paying: asyncio.Task[None]
        self._is_idle = self._has_answered = False

    # What arrives

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._gathering:  # the rest is still under way: the long way can wait for it
            self._gathering = False
            if not self.transport.is_closing():
                self._go_the_long_way()
                if self._gathered:
                    super().on_body(self._gathered)

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        parser = self.parser
        cycle: Any = self.cycle  # None before the first request, whatever its annotation says
        if (
            self.url == _URL
            and parser.get_method() == b"POST"
            and (cycle is None or cycle.response_complete)
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
        ):
            self._gathering = True
            self._gathered = b""
        else:
            self._go_the_long_way()

    def _go_the_long_way(self) -> None:
        """Makes the scope, which only ASGI needs, and hands the request to the application."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers  # the list is the scope's, too
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._gathering:
            self._gathered += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._gathering:
            super().on_message_complete()
            return
        self._gathering = False
        exchange = self._exchange
        exchange.keep_alive = self.parser.should_keep_alive()
        exchange.response_complete = False
        self.cycle = exchange  # type: ignore[assignment]
        self._paying = self.loop.create_task(self._pay(exchange, self.headers, self._gathered))
        self.tasks.add(self._paying)

    # What leaves

    async def _pay(self, exchange: _Exchange, headers: list[Header], body: bytes) -> None:
        try:
            status, answer_headers, answer = await self._hot.answer(headers, self._address(headers), body)
            if self.flow.write_paused and not exchange.disconnected:
                await self.flow.drain()
        finally:
            self.tasks.discard(self._paying)
        if exchange.disconnected:
            return
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\n%b\r\n%b"
            % (
                STATUS_LINE[status],
                _head(tuple(self.server_state.default_headers)),
                _head(answer_headers),
                len(answer),
                b"" if exchange.keep_alive else b"connection: close\r\n",
                answer,
            )
        )
        exchange.response_complete = True
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _address(self, headers: list[Header]) -> str:
        """Who asks: the caller, or whom a proxy that uvicorn trusts names."""
        host = self.client[0] if self.client else ""
        for name, _ in headers:
            if name == b"x-forwarded-for":
                return address_of(self.app, host, [value for name, value in headers if name == b"x-forwarded-for"])
        return host

    # Keep-alive. One timer a connection that looks now and then, since making and unmaking one for each answer costs more. What
    # has been silent from one look to the next is closed: after one to two time-outs.

    def on_response_complete(self) -> None:
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._is_idle = self._has_answered = True
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._is_idle:
            return  # something is in progress, and its answer makes a new timer
        if self._has_answered:
            self._has_answered = False
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _unset_keepalive_if_required(self) -> None:
        self._is_idle = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None


class HouseProtocol(PaymentProtocol):
    """A worker's connection, on which it passes on what others ask: the first header names whose connection it has, and its own.

    From there on it is that caller's request, and X-Forwarded-For is believed or not as in one process.
    """

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == CALLER and not self.headers:
            words = value.decode("ascii").split(" ")
            self.client, self.server = (words[0], int(words[1])), (words[2], int(words[3]))
        else:
            super().on_header(name, value)


def address_of(app: Any, host: str, forwarded: list[bytes]) -> str:
    """Who asks through `host`: itself, or, where uvicorn trusts it as a proxy, whom the values of X-Forwarded-For name."""
    if isinstance(app, ProxyHeadersMiddleware) and host in app.trusted_hosts:
        named, _ = app.trusted_hosts.get_trusted_client_address(b", ".join(forwarded).decode("latin-1"))
        return named or host
    return host


@lru_cache(maxsize=64)
def _head(headers: tuple[Header, ...]) -> bytes:
    """Headers as they go over the wire: nearly every payment gets the same."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)
