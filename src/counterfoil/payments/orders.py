"""The signed order: the exact bytes that a device signs when its holder wants money to move.

    order = "counterfoil/order/v1"            20 bytes, so that no other signature can be taken for an order
         || u16 length || origin              the scheme, such as "money.example.org/log"
         || u16 length || asset               ISO 4217 code of the currency
         || payer (16) || payee (16)          account ids
         || amount (8) || max_fee (8)         minor units; the highest fee that the payer agrees to
         || id (16)                           made by the device, kept before sending
         || expiry (8)                        milliseconds since 1970: never carried out after it
         || payer_last (8)                    ledger time (ns) of the payer's newest entry that the device has seen, 0 none
         || checkpoint_size (8) || checkpoint_root (32)    the last log head that the device has seen
         || rules_hash (32)                   SHA-256 of the scheme rules that the holder saw
         || kind (1) || reference (16) || timeout_s (4)
         || memo                              UTF-8 without U+0000, to the end

Integers are big-endian and unsigned. The signature is over these bytes (Ed25519, or ES256 as raw r || s), and
order_hash = SHA256(order) names the order; never the signature, which for ECDSA is malleable. The bytes are verified as
they came, then parsed strictly: nothing is ever serialised again to be verified.

Source: docs/reference/order.md, which carries byte-exact examples.
"""

from __future__ import annotations

import enum
import hashlib
import struct

import msgspec

from counterfoil.errors import Malformed
from counterfoil.ids import ID_MAX
from counterfoil.money import AMOUNT_MAX, check_amount

DOMAIN = b"counterfoil/order/v1"
ORDER_SIZE_MAX = 1_024
"""Bytes of an order."""
ORDER_LIFETIME_MAX_MS = 7 * 24 * 3600 * 1000
"""An order may wait at most this long between signature and expiry; after it, nothing is carried out any more."""
MEMO_SIZE_MAX = 256
"""Bytes of a memo in UTF-8."""
EMPTY_LOG_ROOT = hashlib.sha256(b"").digest()
"""Root of a log without entries. Source: RFC 6962 §2.1."""

_FIXED = struct.Struct(">16s16sQQ16sQQQ32s32sB16sI")
_U16 = struct.Struct(">H")


class OrderKind(enum.IntEnum):
    """What is asked for. Who signs: the payer; for CAPTURE and RELEASE the payee."""

    PAY = 1
    """Money moves at once. `reference` is the request that is being answered, or 0."""
    HOLD = 2
    """Money is set aside for the payee for `timeout_s` seconds; nobody else can have it. `reference` as for PAY."""
    CAPTURE = 3
    """The payee takes the held money (`reference`), in full or in part; the rest returns to the payer."""
    RELEASE = 4
    """The payee gives the whole hold (`reference`) back."""
    REFUND = 5
    """A payee returns an earlier payment (`reference`), in full or in part."""
    REVERSAL = 6
    """The scheme takes a payment back, fee included. Never in a signed order: two members of staff approve it."""
    ISSUE = 7
    """The scheme puts money into circulation. Approved by two."""
    WITHDRAWAL = 8
    """The scheme takes money out of circulation. Approved by two."""


class Order(msgspec.Struct, frozen=True, gc=False):
    """One signed wish. Fields as in the module's drawing; accounts and ids are 128-bit integers."""

    origin: str
    asset: str
    payer: int
    payee: int
    amount: int
    max_fee: int
    id: int
    expiry_ms: int
    rules_hash: bytes
    kind: OrderKind = OrderKind.PAY
    reference: int = 0
    timeout_s: int = 0
    memo: str = ""
    payer_last: int = 0
    checkpoint_size: int = 0
    checkpoint_root: bytes = EMPTY_LOG_ROOT


_SIGNED_KINDS = {int(kind): kind for kind in OrderKind if kind <= OrderKind.REFUND}


def encode(order: Order) -> bytes:
    """The exact bytes to sign. A value that does not fit its field is an assertion or `struct.error`: a bug of the signer."""
    origin, asset = order.origin.encode(), order.asset.encode()
    assert len(order.rules_hash) == 32, len(order.rules_hash)
    assert len(order.checkpoint_root) == 32, len(order.checkpoint_root)
    return b"".join((
        DOMAIN, _U16.pack(len(origin)), origin, _U16.pack(len(asset)), asset,
        _FIXED.pack(
            order.payer.to_bytes(16), order.payee.to_bytes(16), order.amount, order.max_fee, order.id.to_bytes(16),
            order.expiry_ms, order.payer_last, order.checkpoint_size, order.checkpoint_root, order.rules_hash,
            order.kind, order.reference.to_bytes(16), order.timeout_s,
        ),
        order.memo.encode(),
    ))  # fmt: skip


def decode(data: bytes) -> Order:
    """The order in `data`. Refuses (Malformed) anything that `encode` would not have produced, naming the field."""
    if len(data) > ORDER_SIZE_MAX:
        raise Malformed("order", f"must be at most {ORDER_SIZE_MAX} bytes")
    if not data.startswith(DOMAIN):
        raise Malformed("order", f"must begin with {DOMAIN.decode()}")
    origin, at = _variable(data, len(DOMAIN), "order.origin")
    asset, at = _variable(data, at, "order.asset")
    if len(data) < at + _FIXED.size:
        raise Malformed("order", "is cut short")
    fields = _FIXED.unpack_from(data, at)
    payer, payee, amount, max_fee, order_id, expiry_ms, payer_last, size, root, rules_hash, kind, reference, timeout_s = fields
    memo = data[at + _FIXED.size :]
    if kind not in _SIGNED_KINDS:
        raise Malformed("order.kind", "must be 1 (pay), 2 (hold), 3 (capture), 4 (release) or 5 (refund)")
    order = Order(
        origin, asset, _account(payer, "order.payer"), _account(payee, "order.payee"), amount, max_fee, _account(order_id, "order.id"),
        expiry_ms, rules_hash, _SIGNED_KINDS[kind], int.from_bytes(reference), timeout_s, parse_memo(memo, "order.memo") if memo else "",
        payer_last, size, root,
    )  # fmt: skip
    if not 0 < amount <= AMOUNT_MAX or max_fee > AMOUNT_MAX:
        check_amount(amount, "order.amount")
        check_amount(max_fee, "order.max_fee", minimum=0)
    if order.kind is not OrderKind.PAY or order.reference or timeout_s:
        _check_shape(order)
    return order


def parse_memo(data: bytes, field: str) -> str:
    """The memo in `data`: UTF-8, at most MEMO_SIZE_MAX bytes, without U+0000, which not every database can keep. Malformed otherwise."""
    if len(data) > MEMO_SIZE_MAX:
        raise Malformed(field, f"must be at most {MEMO_SIZE_MAX} bytes")
    if 0 in data:
        raise Malformed(field, "must not contain the character U+0000")
    return _text(data, field)


def _check_shape(order: Order) -> None:
    """What a kind needs and what it must leave empty. A payment that answers nothing needs nothing."""
    if order.kind in (OrderKind.CAPTURE, OrderKind.RELEASE, OrderKind.REFUND) and not order.reference:
        raise Malformed("order.reference", "must name the hold or payment")
    if order.reference > ID_MAX:
        raise Malformed("order.reference", "must be below 2^128-1")
    if (order.kind is OrderKind.HOLD) != (order.timeout_s > 0):
        raise Malformed("order.timeout_s", "must be above zero for a hold and zero for everything else")


def _variable(data: bytes, at: int, field: str) -> tuple[str, int]:
    if len(data) < at + 2:
        raise Malformed("order", "is cut short")
    end = at + 2 + _U16.unpack_from(data, at)[0]
    if len(data) < end:
        raise Malformed("order", "is cut short")
    return _text(data[at + 2 : end], field), end


def _text(data: bytes, field: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed(field, "must be UTF-8") from None


def _account(data: bytes, field: str) -> int:
    value = int.from_bytes(data)
    if not 0 < value <= ID_MAX:
        raise Malformed(field, "must be an id other than zero")
    return value


def order_hash(data: bytes) -> bytes:
    """SHA-256 of the order's bytes: its name in acknowledgements and in the log."""
    return hashlib.sha256(data).digest()
