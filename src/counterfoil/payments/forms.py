"""Other statements that a device signs: requests to pay, batches, standing orders. Pure.

Each is a domain separator and its fields in order: integers big-endian and unsigned, texts with a u16 length before them,
the last text without. No text contains U+0000. As with orders, the bytes are verified as they came, then parsed strictly.

    counterfoil/request-to-pay/v1   origin, asset, payee, payer (0: anyone), amount (0: the payer decides), id, expiry_ms,
                                    purpose (0: pay, 1: cash in, "I give you cash, pay me the same", 2: hold), memo
    counterfoil/batch/v1            origin, asset, payer, id, count, total, max_fee (of each line), expiry_ms, lines_hash, memo
    counterfoil/standing-order/v1   origin, asset, payer, payee, amount, max_fee, id, first_at_ms, every (1 day, 2 week,
                                    3 month), count_max (0: until cancelled), memo

Source: docs/reference/order.md, which carries byte-exact examples.
"""

from __future__ import annotations

import enum
from typing import Any, TypeVar, cast

import msgspec

from counterfoil.errors import Malformed
from counterfoil.ids import ID_MAX
from counterfoil.money import check_amount
from counterfoil.payments.orders import parse_memo

FORM_SIZE_MAX = 1_024
"""Bytes of a form."""


class Purpose(enum.IntEnum):
    """What a request asks for, and so what may answer it."""

    PAY = 0
    CASH_IN = 1
    """"I give you this cash, pay me the same": asks an agent."""
    HOLD = 2
    """Money that is set aside until the payee captures or releases it."""


class Every(enum.IntEnum):
    DAY = 1
    WEEK = 2
    MONTH = 3


class RequestToPay(msgspec.Struct, frozen=True):
    """Signed by the payee. Amounts in minor units."""

    origin: str
    asset: str
    payee: int
    payer: int
    amount: int
    id: int
    expiry_ms: int
    purpose: int
    memo: str

    def check(self) -> None:
        _check_id(self.payee, "request.payee")
        _check_id(self.id, "request.id")
        check_amount(self.amount, "request.amount", minimum=0)
        if self.purpose not in list(Purpose):
            raise Malformed("request.purpose", "must be 0 (pay), 1 (cash in) or 2 (hold)")
        if self.purpose == Purpose.CASH_IN and not (self.amount and self.payer):
            raise Malformed("request.purpose", "1 (cash in) needs an amount and an agent")
        if self.purpose == Purpose.HOLD and not self.amount:
            raise Malformed("request.purpose", "2 (hold) needs an amount")


class Batch(msgspec.Struct, frozen=True):
    """Signed by the payer. `lines_hash` is the SHA-256 of the file as it is sent."""

    origin: str
    asset: str
    payer: int
    id: int
    count: int
    total: int
    max_fee: int
    expiry_ms: int
    lines_hash: bytes
    memo: str

    def check(self) -> None:
        _check_id(self.payer, "batch.payer")
        _check_id(self.id, "batch.id")
        check_amount(self.total, "batch.total")
        check_amount(self.max_fee, "batch.max_fee", minimum=0)


class StandingOrder(msgspec.Struct, frozen=True):
    """Signed by the payer."""

    origin: str
    asset: str
    payer: int
    payee: int
    amount: int
    max_fee: int
    id: int
    first_at_ms: int
    every: int
    count_max: int
    memo: str

    def check(self) -> None:
        for name in ("payer", "payee", "id"):
            _check_id(getattr(self, name), f"standing_order.{name}")
        check_amount(self.amount, "standing_order.amount")
        check_amount(self.max_fee, "standing_order.max_fee", minimum=0)
        if self.every not in list(Every):
            raise Malformed("standing_order.every", "must be 1 (day), 2 (week) or 3 (month)")


Form = TypeVar("Form", RequestToPay, Batch, StandingOrder)

_DOMAINS: dict[type, bytes] = {
    RequestToPay: b"counterfoil/request-to-pay/v1",
    Batch: b"counterfoil/batch/v1",
    StandingOrder: b"counterfoil/standing-order/v1",
}
_SIZES = {
    "payee": 16, "payer": 16, "id": 16, "amount": 8, "total": 8, "max_fee": 8, "expiry_ms": 8, "first_at_ms": 8,
    "count": 4, "count_max": 4, "purpose": 1, "every": 1, "lines_hash": 32,
}  # fmt: skip
_TEXTS = ("origin", "asset")


def encode(form: RequestToPay | Batch | StandingOrder) -> bytes:
    """The exact bytes to sign."""
    parts = [_DOMAINS[type(form)]]
    for name, value in msgspec.structs.asdict(form).items():
        if name in _TEXTS:
            parts += [len(value.encode()).to_bytes(2), value.encode()]
        elif name == "memo":
            parts.append(value.encode())
        else:
            parts.append(value if isinstance(value, bytes) else value.to_bytes(_SIZES[name]))
    return b"".join(parts)


def decode(data: bytes, form: type[Form]) -> Form:
    """The `form` in `data`. Refuses (Malformed, naming the field) whatever `encode` would not have produced."""
    domain, name = _DOMAINS[form], _DOMAINS[form].decode().split("/")[1]
    if len(data) > FORM_SIZE_MAX:
        raise Malformed(name, f"must be at most {FORM_SIZE_MAX} bytes")
    if not data.startswith(domain):
        raise Malformed(name, f"must begin with {domain.decode()}")
    at, values = len(domain), {}
    for field in form.__struct_fields__:
        if field == "memo":
            size = len(data) - at
        elif field in _TEXTS:
            size, at = int.from_bytes(data[at : at + 2]), at + 2
        else:
            size = _SIZES[field]
        part, at = data[at : at + size], at + size
        if at > len(data):
            raise Malformed(name, "is cut short")
        values[field] = _value(field, part, f"{name}.{field}")
    result = form(**cast(Any, values))
    result.check()
    return result


def _value(field: str, part: bytes, where: str) -> int | str | bytes:
    if field == "lines_hash":
        return part
    if field == "memo":
        return parse_memo(part, where)
    if field not in _TEXTS:
        return int.from_bytes(part)
    if 0 in part:
        raise Malformed(where, "must not contain the character U+0000")
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise Malformed(where, "must be UTF-8") from None


def _check_id(value: int, field: str) -> None:
    if not 0 < value <= ID_MAX:
        raise Malformed(field, "must be an id other than zero")
