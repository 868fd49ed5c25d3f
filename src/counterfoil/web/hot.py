"""POST /v1/payments: the way that every payment takes, as a plain ASGI function in front of everything else.

The order carries the signature that authenticates it, so nothing else is asked. Types, errors and rules are those of every
other endpoint; what is missing is only what the others need and this one does not: routing, principals, a log line.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.errors import (
    AccountFrozen,
    CounterfoilError,
    IdReused,
    InternalError,
    NotFound,
    NotInThisState,
    PartyClosed,
    PartyNotFound,
    PaymentNotFound,
    PaymentRefused,
    RecoveryWaiting,
    TooLarge,
    UnknownDevice,
    UnsupportedFormat,
    WrongSignature,
)
from counterfoil.payments.service import Payments
from counterfoil.payments.types import SignedOrder
from counterfoil.web import problems
from counterfoil.web.access import PUBLIC
from counterfoil.web.endpoint import Endpoint, Operation, decode_body
from counterfoil.web.guesses import Guesses
from counterfoil.web.incoming import ClientGone, Receive, Scope, Send, is_json, read_body
from counterfoil.web.metrics import Metrics
from counterfoil.web.views import ReceiptView, SignedBody, receipt_view

PATH = "/v1/payments"
COMPLETED = "completed"
_REFUSALS: tuple[type[CounterfoilError], ...] = (
    PaymentRefused, AccountFrozen, PartyClosed, RecoveryWaiting, PartyNotFound, PaymentNotFound, NotFound, IdReused, NotInThisState,
)  # fmt: skip
"""Besides what follows from the form of the request: signature, body, load."""

Answer = tuple[int, tuple[problems.Header, ...], bytes]
"""Status, headers without Content-Length, body."""

log = structlog.get_logger("counterfoil.web")


class HotPayments:
    """The hot route. `common_headers` go with every answer.

    Attributes:
        receipt_headers: those of a receipt, without its length.
    """

    def __init__(
        self,
        *,
        payments: Payments,
        clock: Clock,
        guesses: Guesses,
        metrics: Metrics,
        next_request_id: Callable[[], str],
        titles: problems.Titles,
        body_size_max: int,
        common_headers: list[problems.Header],
    ) -> None:
        self.payments = payments
        self.clock = clock
        self.guesses = guesses
        self.metrics = metrics
        self.next_request_id = next_request_id
        self.titles = titles
        self.body_size_max = body_size_max
        self._common_headers = common_headers
        self.receipt_headers = (*common_headers, (b"content-type", b"application/json"), (b"cache-control", b"no-store"))
        self._decoder = msgspec.json.Decoder(SignedBody)
        self._encoder = msgspec.json.Encoder()

    def operation(self) -> Operation:
        """For the description: what this function does, and every way it can answer."""
        errors = (*_REFUSALS, *problems.classes(PaymentRefused))
        return Operation(Endpoint("POST", PATH, self.pay, access=PUBLIC, errors=errors, tag="payments", own_signature=True))

    async def pay(self, body: SignedBody) -> ReceiptView:
        """Move money, once, by a signed order: pay, hold, capture, release or refund.

        The order's own signature is the authentication. However often the same order arrives, the answer is the same receipt.
        """
        order, device, signature = body.parts()
        return receipt_view(await self.payments.pay(SignedOrder(order, device, signature)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One payment, as ASGI has it."""
        headers: list[problems.Header] = scope["headers"]
        client = scope["client"]
        try:
            body: bytes | CounterfoilError = await read_body(headers, receive, self.body_size_max)
        except CounterfoilError as error:
            body = error
        except ClientGone:
            return
        status, answer_headers, answer = await self.answer(headers, client[0] if client else "", body)
        answer_headers += ((b"content-length", b"%d" % len(answer)),)
        await send({"type": "http.response.start", "status": status, "headers": answer_headers})
        await send({"type": "http.response.body", "body": answer})

    async def answer(self, headers: list[problems.Header], ip: str, body: bytes | CounterfoilError) -> Answer:
        """One payment: status, headers and body of the answer. Waits for the ledger; everything else runs through.

        `body` is an error where it could not be read.
        """
        started = self.clock.monotonic_ns()
        try:
            _check_format(headers)
            signed = decode_body(self._readable(body), self._decoder)
            self.guesses.check(ip, signed.device)
            try:
                result = self._encoder.encode(await self.pay(signed))
            except (WrongSignature, UnknownDevice) as refusal:
                self.guesses.count(ip, signed.device, refusal)
                raise
            outcome, answer = COMPLETED, (200, self.receipt_headers, result)
        except Exception as error:  # a refusal, or a bug that is logged
            outcome, answer = self.refusal(error, headers)
        self.metrics.payment(outcome, self.clock.monotonic_ns() - started)
        return answer

    def refusal(self, error: Exception, headers: list[problems.Header]) -> tuple[str, Answer]:
        """The outcome for the metrics, and the answer, in the language that `headers` ask for."""
        request_id = self.next_request_id()
        if isinstance(error, CounterfoilError):
            return error.code, self._problem(error, request_id, headers)
        log.error("payment_failed", request_id=request_id, exc_info=error)
        return InternalError.code, self._problem(InternalError(), request_id, headers)

    def _readable(self, body: bytes | CounterfoilError) -> bytes:
        if isinstance(body, CounterfoilError):
            raise body
        if len(body) > self.body_size_max:
            raise TooLarge(size_max=self.body_size_max)
        return body

    def _problem(self, error: CounterfoilError, request_id: str, headers: list[problems.Header]) -> Answer:
        status, answer_headers, body = problems.render(error, request_id, self.titles.language(headers))
        kept = (header for header in answer_headers if header[0] != b"content-length")
        return status, (*kept, *self._common_headers), body


def _check_format(headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"content-type" and (value == b"application/json" or is_json(value.decode("latin-1"))):
            return
    raise UnsupportedFormat("the Content-Type must be application/json", content_type="application/json")
