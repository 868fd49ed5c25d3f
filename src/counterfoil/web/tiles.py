"""The log's public tree over HTTP: static files below /log/, for monitors, witnesses, mirrors and whoever wants to look.

    /log/checkpoint, /log/witnessed, /log/policy, /log/heads/<day>
    /log/tile/<level>/<index>[.p/<width>], /log/tile/entries/<index>[.p/<width>]
    /log/public/<index>

Any web server can serve the same folder. Only addresses of these exact shapes lead to a file, so that nothing else of the
folder can be reached, and what can be kept for ever says so. Source: C2SP tlog-tiles v1; RFC 9110, 9111.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from counterfoil.errors import CounterfoilError, MethodNotAllowed, NotFound
from counterfoil.web import problems
from counterfoil.web.incoming import Answer, Incoming, Receive, Scope, Send
from counterfoil.web.metrics import Metrics

PREFIX = "/log/"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
NO_CACHE = b"no-cache"
"""Ask each time; an ETag makes the answer short."""
FOR_EVER = b"public, max-age=31536000, immutable"
A_DAY = b"public, max-age=86400"
"""A partial tile never changes either, but a full one takes its place."""

_NUMBER = "(?:0|[1-9][0-9]{0,19})"
_TILE = "(?!x000)(?:x[0-9]{3}/){0,6}[0-9]{3}"
_WIDTH = r"\.p/(?:[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_LEVEL = "(?:[0-9]|[1-5][0-9]|6[0-3]|entries)"
_SHAPES = [
    (re.compile(shape, re.ASCII), media_type, kept)
    for shape, media_type, kept in [
        ("checkpoint|witnessed|policy", TEXT, NO_CACHE),
        ("heads/[0-9]{4}-[0-9]{2}-[0-9]{2}", TEXT, NO_CACHE),
        (f"tile/{_LEVEL}/{_TILE}", BINARY, FOR_EVER),
        (f"tile/{_LEVEL}/{_TILE}{_WIDTH}", BINARY, A_DAY),
        (f"public/{_NUMBER}", BINARY, FOR_EVER),
    ]
]
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})", re.ASCII)


def shape_of(path: str) -> tuple[str, bytes] | None:
    """Media type and Cache-Control of a path below the tree's root; None for a path that no file of a log has."""
    return next(((media_type, kept) for shape, media_type, kept in _SHAPES if shape.fullmatch(path)), None)


class Tiles:
    """An ASGI application over `folder`, the log's public tree; every path in it begins with PREFIX. It may not be there yet."""

    def __init__(
        self, folder: Path, *, metrics: Metrics, next_request_id: Callable[[], str], common_headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.folder = folder
        self.metrics = metrics
        self.next_request_id = next_request_id
        # Anybody's page may read what is public: a monitor can run in a browser.
        self._common_headers = (*common_headers, (b"access-control-allow-origin", b"*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Incoming(scope, self.next_request_id())
        try:
            answer = await self._answer(request)
        except CounterfoilError as error:
            status, headers, body = problems.render(error, request.request_id)
            kept = tuple(header for header in headers if header[0] not in (b"content-type", b"content-length"))
            answer = Answer(body, status=status, media_type=problems.MEDIA_TYPE, headers=kept)
        self.metrics.request(request.method if request.method in ("GET", "HEAD") else "", PREFIX, answer.status)
        size = str(len(answer.body)).encode()
        headers = [(b"content-type", answer.media_type.encode()), *self._common_headers, *answer.headers]
        if answer.status != 304:
            headers.append((b"content-length", size))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    async def _answer(self, request: Incoming) -> Answer:
        path = request.path.removeprefix(PREFIX)
        shape = shape_of(path)
        if shape is None:
            raise NotFound("no file of a log has this address")
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(allow=["GET", "HEAD"])
        # Whoever follows a day's file asks for the rest only. "If-Range" is answered whole, as RFC 9110 lets a server.
        asked = None if request.header("if-range") else _RANGE.fullmatch(request.header("range") or "")
        start, end = (int(asked[1]), int(asked[2]) + 1 if asked[2] else None) if asked else (0, None)
        found = await asyncio.to_thread(_read, self.folder / path, start, end)
        if found is None:
            raise NotFound("the log has no such file, or not yet")
        (media_type, kept), tag = shape, found.tag
        headers = ((b"cache-control", kept), (b"etag", tag), (b"accept-ranges", b"bytes"))
        if tag in (request.header("if-none-match") or "").encode("latin-1").replace(b"W/", b"").replace(b" ", b"").split(b","):
            return Answer(status=304, media_type=media_type, headers=headers)
        if not asked:
            return Answer(found.body, media_type=media_type, headers=headers)
        if not found.body:
            return Answer(status=416, media_type=media_type, headers=(*headers, (b"content-range", b"bytes */%d" % found.size)))
        content_range = b"bytes %d-%d/%d" % (start, start + len(found.body) - 1, found.size)
        return Answer(found.body, status=206, media_type=media_type, headers=(*headers, (b"content-range", content_range)))


class _File(msgspec.Struct, frozen=True):
    """Part of a file, the file's size and its entity tag."""

    body: bytes
    size: int
    tag: bytes


def _read(path: Path, start: int, end: int | None) -> _File | None:
    """Bytes `start` to `end` (to the end of the file for None); None when there is no such file."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            tag = f'"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"'.encode()
            size = state.st_size if end is None else min(end, state.st_size)
            return _File(os.pread(file.fileno(), max(0, size - start), start), state.st_size, tag)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
