"""A request as it arrives: headers, client and a body of bounded size; and the answer as it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from counterfoil.errors import Malformed, TooLarge, UnsupportedFormat
from counterfoil.web.throttle import counted_as

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = "application/json"
BODY_TIMEOUT_S = 30.0
"""Seconds within which a body must have arrived whole."""


class ClientGone(Exception):
    """The caller hung up before the request was complete: nobody is left to answer."""


class Incoming:
    """One request.

    Attributes:
        method, path, query: as they came over the wire; `query` without "?".
        ip: of the caller, or of the proxy in front as uvicorn was told to trust it; "" when not known.
        counted_as: whose requests count together where somebody guesses.
        request_id: names this exchange in answers and logs.
        body: whole, within the limit.
        route: the path's template, for logs and metrics; party: who asked, once known.
    """

    __slots__ = ("body", "headers", "ip", "method", "party", "path", "query", "request_id", "route")

    def __init__(self, scope: Scope, request_id: str) -> None:
        self.method: str = scope["method"]
        self.path: str = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        client = scope.get("client")
        self.ip: str = client[0] if client else ""
        self.request_id = request_id
        self.body = b""
        self.route = ""
        self.party = 0

    @property
    def counted_as(self) -> str:
        return counted_as(self.ip)

    def header(self, name: str) -> str | None:
        """The one value of a header. One that was sent twice is refused: proxies disagree on which counts."""
        values = [value for key, value in self.headers if key == name.encode()]
        if len(values) > 1:
            raise Malformed(name, "must be sent once")
        return values[0].decode("latin-1") if values else None

    async def read_body(self, receive: Receive, size_max: int) -> None:
        """Reads the body whole. Raises TooLarge as soon as it is known to be; ClientGone."""
        self.body = await read_body(self.headers, receive, size_max)

    def check_json(self) -> None:
        """Raises UnsupportedFormat for a body that does not say it is JSON in UTF-8."""
        self.check_media_type(JSON)

    def check_media_type(self, wanted: str) -> None:
        """Raises UnsupportedFormat for a body that does not say it is `wanted`, in UTF-8."""
        media_type = self.header("content-type")
        if media_type is None or not _is(media_type, wanted):
            raise UnsupportedFormat(f"the Content-Type must be {wanted}", content_type=wanted)


def is_json(media_type: str) -> bool:
    return _is(media_type, JSON)


def _is(media_type: str, wanted: str) -> bool:
    kind, _, parameters = media_type.lower().partition(";")
    return kind.strip() == wanted and parameters.replace(" ", "").replace('"', "") in ("", "charset=utf-8")


async def read_body(headers: list[tuple[bytes, bytes]], receive: Receive, size_max: int) -> bytes:
    """The whole body, counted while it streams in, whatever Content-Length says."""
    for name, value in headers:
        if name == b"content-length" and len(value) < 20 and value.isdigit() and int(value) > size_max:
            raise TooLarge(size_max=size_max)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read_rest(body, receive, size_max)
        except TimeoutError:
            raise Malformed("body", f"did not arrive within {BODY_TIMEOUT_S:.0f} seconds") from None
    if len(body) > size_max:
        raise TooLarge(size_max=size_max)
    return body


async def _read_rest(first: bytes, receive: Receive, size_max: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        if size > size_max:
            raise TooLarge(size_max=size_max)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)


class Answer:
    """What leaves: status, media type and body. `stream` instead of a body for what has no end."""

    __slots__ = ("body", "headers", "media_type", "status", "stream")

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        media_type: str = "application/json",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        stream: Callable[[Receive, Send], Awaitable[None]] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.media_type = media_type
        self.headers = headers
        self.stream = stream

    def start(self) -> Iterator[tuple[bytes, bytes]]:
        if self.status != 204:
            yield b"content-type", self.media_type.encode()
        if self.stream is None and self.status != 204:
            yield b"content-length", str(len(self.body)).encode()
        yield from self.headers

    async def send(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.start())})
        if self.stream is not None:
            await self.stream(receive, send)
        else:
            await send({"type": "http.response.body", "body": self.body})


def request_ids(prefix: str) -> Callable[[], str]:
    """A source of request ids: unique in this process by number, and among processes by `prefix`."""
    number = 0

    def next_id() -> str:
        nonlocal number
        number += 1
        return f"{prefix}-{number:x}"

    return next_id
