"""One client's connection to a worker: HTTP/1.1, with the short way for payments.

    connection ── httptools ─┬─ POST /v1/payments, arrived whole and well formed ──> link ──> house
                             └─ everything else ──> relay ──> house

What is not exactly a well-formed payment takes the long way, so that the house alone knows how to refuse it. One request at a
time is under way; what a client sends ahead waits, and is answered in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import httptools
import msgspec
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from counterfoil.errors import Malformed
from counterfoil.parties.types import ED25519_KEY_SIZE, KeyAlgorithm
from counterfoil.serving.frames import Completed, Refused, SentOrder
from counterfoil.serving.relay import Exchange
from counterfoil.web.views import SignedBody

if TYPE_CHECKING:
    from counterfoil.serving.worker import Worker

PATH = b"/v1/payments"
JSON = b"application/json"
READ_AHEAD_MAX = 65_536
"""Bytes of a body that are read before somebody takes them."""

_decode = msgspec.json.Decoder(SignedBody).decode


class Connection(asyncio.Protocol):
    """One client.

    Attributes:
        caller: addresses of the client and of this end, for the house.
        is_gone: the connection has ended.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.caller = b""
        self.is_gone = False
        self._peer = ""
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn: an answer to what came before it
        self._incoming: Exchange | None = None
        self._gathering: Exchange | None = None
        self._current: Exchange | None = None
        self._ahead: deque[Exchange] = deque()
        self._house_is_slow = False
        self._client_is_slow = False
        self._is_paused = False
        self._has_answered = False
        self._was_silent = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._peer = peer[0] if peer else ""
        self.caller = f"{peer[0]} {peer[1]} {own[0]} {own[1]}".encode() if peer and own else b""
        self.worker.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_gone = True
        self.worker.forget(self)
        if self._current is not None:
            self.worker.relay.forget(self._current)
            self._current = None
        self._ahead.clear()

    # What arrives

    def data_received(self, data: bytes) -> None:
        self._was_silent = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it is answered as if it had not asked for that
        except httptools.HttpParserError:
            self._transport.write(self.worker.answers.invalid())
            self._transport.close()
            return
        if self._gathering is not None:  # the rest is still under way: the long way can wait for it
            exchange, self._gathering = self._gathering, None
            exchange.may_pay = False
            self._enqueue(exchange)

    def on_message_begin(self) -> None:
        self._incoming = Exchange(self)

    def on_url(self, url: bytes) -> None:
        if self._incoming is not None:
            self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is not None and not self._incoming.method:  # else it is a trailer, which nobody reads
            self._incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, exchange = self._parser, self._incoming
        assert exchange is not None
        exchange.method = parser.get_method()
        exchange.version = parser.get_http_version()
        exchange.keep_alive = parser.should_keep_alive()
        if exchange.url == PATH and exchange.method == b"POST" and exchange.version == "1.1" and not parser.should_upgrade():
            exchange.may_pay = True
            self._gathering = exchange
        else:
            self._enqueue(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self._incoming
        if exchange is None:
            return
        if exchange.upstream is not None:
            exchange.upstream.send_body(body)
        else:
            exchange.body += body
            self._flow()

    def on_message_complete(self) -> None:
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            return
        exchange.is_complete = True
        if self._gathering is not None:
            self._gathering = None
            self._enqueue(exchange)
        elif exchange.upstream is not None:
            exchange.upstream.end_body()

    # What is under way

    def _enqueue(self, exchange: Exchange) -> None:
        if self._current is None and not self._client_is_slow:
            self._begin(exchange)
        else:
            self._ahead.append(exchange)
            self._flow()

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        if not (exchange.may_pay and self._pay(exchange)):
            self.worker.relay.pass_on(exchange)

    def _pay(self, exchange: Exchange) -> bool:
        """Sends the order to the house; False for what has to take the long way."""
        is_json, forwarded, language = False, None, None
        for name, value in exchange.headers:
            if name == b"content-type":
                is_json = is_json or value == JSON
            elif name == b"x-forwarded-for":
                forwarded = value if forwarded is None else forwarded + b", " + value
            elif name == b"accept-language":
                language = value if language is None else language
            elif name == b"expect":
                return False
        if not is_json or len(exchange.body) > self.worker.body_size_max:
            return False
        try:
            signed = _decode(exchange.body)
            order, _, signature = signed.parts()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Malformed):
            return False
        link = self.worker.link
        key = self._checked(signed.device, order, signature)
        link.ask(SentOrder(link.next_number(), order, signed.device, signature, self._peer, forwarded, language, key), self)
        return True

    def _checked(self, device: str, order: bytes, signature: bytes) -> bytes | None:
        """The key of the device, if it is known here and the signature was made with it. Else the house looks for itself."""
        key = self.worker.keys.get(device)
        if key is None:
            return None
        if len(key) == ED25519_KEY_SIZE:
            try:
                crypto_sign_open(signature + order, key)
            except BadSignatureError:
                return None
            return key
        # P-256 is rarer, and its library a third of a worker's memory.
        from counterfoil.parties.keys import verify

        return key if verify(KeyAlgorithm.ES256, key, order, signature) else None

    def completed(self, sent: SentOrder, completed: Completed) -> None:
        exchange, worker = self._current, self.worker
        if completed.key is not None:
            worker.learn(sent.device, completed.key)
        if exchange is None:
            return  # nobody is here to hear it
        answers = worker.answers
        body = answers.receipt(sent.order, completed)
        self._answer(exchange, answers.whole(200, answers.welcome.head, body, keep_alive=self._goes_on(exchange)))

    def refused(self, refused: Refused) -> None:
        exchange = self._current
        if exchange is not None:
            answer = self.worker.answers.whole(refused.status, refused.head, refused.body, keep_alive=self._goes_on(exchange))
            self._answer(exchange, answer)

    def unavailable(self, why: str) -> None:
        exchange = self._current
        if exchange is not None:
            self._answer(exchange, self.worker.answers.unavailable(exchange.headers, why, keep_alive=self._goes_on(exchange)))

    def given_up(self, exchange: Exchange, why: str) -> None:
        """Nobody has taken the request: its body, if it has one, is not waited for."""
        if exchange.url == PATH and exchange.method == b"POST":
            self.worker.link.count_unavailable()
        exchange.keep_alive = exchange.keep_alive and exchange.is_complete
        self.unavailable(why)

    def _goes_on(self, exchange: Exchange) -> bool:
        return exchange.keep_alive and not self.worker.is_retiring

    def _answer(self, exchange: Exchange, answer: bytes) -> None:
        self._transport.write(answer)
        self.answered(exchange, keep_alive=self._goes_on(exchange))

    def relay(self, data: bytes) -> None:
        self._transport.write(data)

    def answered(self, exchange: Exchange, *, keep_alive: bool) -> None:
        self._current = None
        self._house_is_slow = False
        self._has_answered = True
        if not keep_alive or self._transport.is_closing():
            self._transport.close()
        elif not self._client_is_slow:
            self._go_on()

    def _go_on(self) -> None:
        if self._current is None and self._ahead and not self.is_gone:
            self._begin(self._ahead.popleft())
        self._flow()

    def broken(self) -> None:
        """The client sees that its answer ended in the middle, as when a server dies."""
        if self._current is not None:
            self.worker.relay.forget(self._current)
            self._current = None
        self._transport.close()

    # Flow and end

    def pause(self, *, paused: bool) -> None:
        self._house_is_slow = paused
        self._flow()

    def _flow(self) -> None:
        """Reads from the client only what can be taken on."""
        incoming = self._incoming
        is_ahead = incoming is not None and incoming.upstream is None and len(incoming.body) > READ_AHEAD_MAX
        paused = bool(self._ahead) or self._house_is_slow or is_ahead
        if paused is not self._is_paused and not self._transport.is_closing():
            self._is_paused = paused
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._client_is_slow = True
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.pause_answer(paused=True)

    def resume_writing(self) -> None:
        self._client_is_slow = False
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.pause_answer(paused=False)
        elif self._current is None:
            self._go_on()

    def started(self) -> None:
        self._flow()

    def look(self, *, is_last: bool) -> None:
        """To be called now and then: closes what was silent since the last look. With `is_last`, also what has never asked."""
        if self._current is not None or self._incoming is not None or self._ahead:
            return
        if self._was_silent:
            self._transport.close()
        self._was_silent = self._has_answered or is_last

    def stop(self) -> None:
        """Ends the connection, after the answer under way."""
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive = False

    def abort(self) -> None:
        self._transport.abort()
