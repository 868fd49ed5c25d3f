"""What a worker answers by itself: receipts, from what the house says of them, and Unavailable when there is no house to ask."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Unavailable
from counterfoil.payments.acknowledgement import Acknowledger
from counterfoil.payments.orders import decode, order_hash
from counterfoil.payments.types import AuthorisationClass, Payment, Receipt
from counterfoil.serving.frames import Completed, Welcome
from counterfoil.web.views import receipt_view

if TYPE_CHECKING:
    from counterfoil.web.problems import Titles

Header = tuple[bytes, bytes]

INVALID = b"Invalid HTTP request received."
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Answers:
    """Makes answers as the house would. `acknowledger` signs for the operator; `request_prefix` is this worker's own.

    Attributes:
        welcome: what the house has said last about its answers.
    """

    def __init__(self, *, acknowledger: Acknowledger, clock: Clock, languages: tuple[str, ...], request_prefix: str) -> None:
        self.welcome = Welcome(b"", b"")
        self._acknowledger = acknowledger
        self._clock = clock
        self._languages = languages
        self._titles: Titles | None = None
        self._prefix = request_prefix
        self._number = 0
        self._encoder = msgspec.json.Encoder()

    def receipt(self, order: bytes, completed: Completed) -> bytes:
        """The body of a receipt for an order that was carried out: the same bytes as the house's own, which say nothing of the device."""
        read, name = decode(order), order_hash(order)
        account = read.payee if completed.to_payee else read.payer
        acknowledgement = self._acknowledger.sign(
            order_hash=name,
            account=account,
            amount=read.amount,
            fee=completed.fee,
            balance=completed.balance,
            completed_at=completed.completed_at,
        )
        payment = Payment(
            read.id, name, read.kind, completed.service, read.payer, read.payee, read.amount, completed.fee, completed.fee_paid_by,
            read.reference, read.timeout_s, read.memo, AuthorisationClass.DEVICE, 0, 0, order, b"", 0, 0,
        )  # fmt: skip
        receipt = Receipt(
            payment, completed.state, completed.completed_at, account, completed.balance, completed.available, acknowledgement
        )  # fmt: skip
        return self._encoder.encode(receipt_view(receipt))

    def whole(self, status: int, head: bytes, body: bytes, *, keep_alive: bool) -> bytes:
        """An answer as it goes over the wire."""
        return b"%bdate: %b\r\n%bcontent-length: %d\r\n%b\r\n%b" % (
            status_line(status),
            self._date(),
            head,
            len(body),
            b"" if keep_alive else b"connection: close\r\n",
            body,
        )

    def unavailable(self, headers: list[Header], why: str, *, keep_alive: bool) -> bytes:
        """The whole answer to a caller who shall ask again with the same id."""
        from counterfoil.web import problems  # with all languages, and needed only in trouble

        self._number += 1
        self._titles = self._titles or problems.Titles(self._languages)
        language = self._titles.language(headers)
        status, made, body = problems.render(Unavailable(why), f"{self._prefix}-{self._number:x}", language)
        head = b"".join(b"%b: %b\r\n" % header for header in made if header[0] != b"content-length")
        return self.whole(status, head + self.welcome.common, body, keep_alive=keep_alive)

    def invalid(self) -> bytes:
        """The whole answer to what is not HTTP; the connection ends with it."""
        return b"%bdate: %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
            status_line(400),
            self._date(),
            len(INVALID),
            INVALID,
        )

    def _date(self) -> bytes:
        return _date(self._clock.now_ns() // NANOSECONDS)


@lru_cache(maxsize=64)
def status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    """A moment as HTTP has it, "Sun, 22 Nov 2026 08:00:00 GMT", whatever the locale. Source: RFC 9110 §5.6.7."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT".encode()
