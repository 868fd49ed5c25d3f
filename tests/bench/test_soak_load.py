"""The book that a client keeps: what was acknowledged has moved, once, and a contradiction is a fault."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bench.soak_load import PAID, REFUSED, Book
from counterfoil.ids import id_text
from counterfoil.payments.orders import Order, encode

PAYER, PAYEE = 7 << 100, 8 << 100


def request(order_id: int, amount: int = 300) -> bytes:
    order = Order(
        origin="a.example/log", asset="USD", payer=PAYER, payee=PAYEE, amount=amount, max_fee=0, id=order_id, expiry_ms=10**12,
        rules_hash=bytes(32),
    )  # fmt: skip
    body = json.dumps({"order": base64.urlsafe_b64encode(encode(order)).rstrip(b"=").decode(), "device": "d", "signature": "s"})
    return b"POST /v1/payments HTTP/1.1\r\nContent-Length: 1\r\n\r\n" + body.encode()


def receipt(order_id: int, **changes: Any) -> bytes:
    told = {"id": id_text(order_id), "state": "completed", "amount": 300, "fee": 3, "fee_paid_by": "payee", "memo": ""}
    return json.dumps(told | changes).encode()


ID = 5 << 100


def test_an_acknowledged_order_has_moved_its_amount_and_its_fee() -> None:
    book = Book()
    book.note(request(ID), PAID, receipt(ID))
    book.note(request(ID + 1), PAID, receipt(ID + 1, fee_paid_by="payer", fee=4))
    assert book.moved == {PAYER: -604, PAYEE: 597}
    assert book.fees == 7
    assert sum(book.moved.values()) + book.fees == 0
    assert book.faults == []


def test_a_repeat_moves_nothing_and_a_refusal_neither() -> None:
    book = Book()
    for _ in range(3):
        book.note(request(ID), PAID, receipt(ID))
        book.note(request(ID + 1), REFUSED, b"{}")
    assert book.moved == {PAYER: -300, PAYEE: 297}
    assert book.repeats == 4
    assert book.faults == []


@pytest.mark.parametrize(
    "answers",
    [
        [(PAID, receipt(ID)), (REFUSED, b"{}")],
        [(REFUSED, b"{}"), (PAID, receipt(ID))],
        [(PAID, receipt(ID + 1))],
        [(PAID, receipt(ID, amount=301))],
        [(PAID, receipt(ID, state="held"))],
        [(b"503", b"later")],
        [(b"500", b"oops")],
    ],
)
def test_whatever_contradicts_the_order_or_itself_is_a_fault(answers: list[tuple[bytes, bytes]]) -> None:
    book = Book()
    for status, answer in answers:
        book.note(request(ID), status, answer)
    assert len(book.faults) == 1
