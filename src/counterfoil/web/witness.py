"""What a witness answers over HTTP, as a small ASGI application. Source: C2SP tlog-witness v1.0.0, "HTTP Interface".

    POST /add-checkpoint           asks for a cosignature
    GET  /                         who the witness is and what it has seen, in words
    GET  /<origin hash>/checkpoint the newest checkpoint that it cosigned of a log

Requests that wait for the witness's disk are bounded: beyond that callers hear 503 at once.
"""

from __future__ import annotations

import asyncio
import base64
import re

import structlog

from counterfoil.assurance.witness import REQUEST_SIZE_MAX, TEXT, Seen, Verdict, Witness
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed, TooLarge, Unavailable
from counterfoil.moments import moment_text
from counterfoil.web.incoming import Answer, ClientGone, Receive, Scope, Send, read_body

log = structlog.get_logger(__name__)

WAITING_MAX = 64
"""Requests for a cosignature at one time."""
HEADERS = ((b"server", b"counterfoil"), (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint", re.ASCII)


class WitnessApplication:
    """A witness behind a web server; run it with `lifespan="off"`."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            verdict = await self._answer(scope, receive)
        except ClientGone:
            return
        except Unavailable as error:
            log.exception("witness_unavailable", error=error.detail)
            verdict = _text(503, "the witness cannot answer at the moment: ask again")
        headers: tuple[tuple[bytes, bytes], ...] = HEADERS
        if verdict.status == 405:
            headers += ((b"allow", b"POST" if scope["path"] == "/add-checkpoint" else b"GET"),)
        if verdict.status == 503:
            headers += ((b"retry-after", b"1"),)
        await Answer(verdict.body, status=verdict.status, media_type=verdict.media_type, headers=headers).send(receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Verdict:
        method, path = scope["method"], scope["path"]
        if path == "/add-checkpoint":
            return await self._add_checkpoint(scope, receive) if method == "POST" else _text(405, "ask with POST")
        found = _CHECKPOINT.fullmatch(path)
        if path != "/" and not found:
            return _text(404, "there is nothing here: a log sends POST /add-checkpoint")
        if method != "GET":
            return _text(405, "ask with GET")
        if not found:
            return _text(200, describe(self._witness.vkey, await asyncio.to_thread(self._witness.seen)))
        note = await asyncio.to_thread(self._witness.newest, found[1])
        return Verdict(200, note) if note is not None else _text(404, "this witness has cosigned nothing of this log")

    async def _add_checkpoint(self, scope: Scope, receive: Receive) -> Verdict:
        if self._waiting >= WAITING_MAX:
            return _text(503, "too many requests at one time: ask again")
        self._waiting += 1
        try:
            body = await read_body(scope["headers"], receive, REQUEST_SIZE_MAX)
            verdict = await asyncio.to_thread(self._witness.add_checkpoint, body)
        except TooLarge:
            return _text(413, f"a request must be at most {REQUEST_SIZE_MAX} bytes")
        except Malformed as error:
            return _text(400, error.detail)
        finally:
            self._waiting -= 1
        if verdict.status == 422:  # possibly two histories of one log: what was sent is the evidence
            log.error("witness_refused", status=422, why=verdict.body.decode().strip(), request=body.decode("utf-8", "replace"))
        return verdict


def describe(vkey: str, seen: list[Seen]) -> str:
    """Who the witness is and what it has seen, for a person."""
    lines = [
        "This is a witness. It cosigns the heads of public logs, and never two that contradict each other.",
        "",
        f"Its key: {vkey}",
        "",
        "What it has seen:" if seen else "It has not seen any log yet.",
    ]
    for head in seen:
        lines += [
            f"  {head.origin}: {head.size} {'entry' if head.size == 1 else 'entries'}, cosigned last at {moment_text(head.time_s * NANOSECONDS)[:19]}Z",
            f"    root {base64.b64encode(head.root).decode()}",
        ]
    return "\n".join(lines)


def _text(status: int, text: str) -> Verdict:
    return Verdict(status, f"{text}\n".encode(), TEXT)
