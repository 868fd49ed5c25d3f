"""The bytes of the purse: certificate, receipt, what SELECT answers, what PAY carries. Pure.

    terms       = version (1) || alg (1) || issuer_alg (1) || issuer_key_id (8) || card_id (16) || epoch (4) || currency (3)
               || flags (1) || ceiling (8) || max_tx (8) || max_ctr (4) || not_before (8) || not_after (8) || key_len (1) || public_key
    certificate = terms || the issuer's signature over "COUNTERFOIL-CRT1" || terms
    body        = version (1) || alg (1) || card_id (16) || epoch (4) || ctr (4) || cum (8) || amount (8) || currency (3)
               || terminal_id (16) || nonce (16)
    receipt     = body || the card's signature over "COUNTERFOIL-PAY1" || body
    selected    = version (1) || alg (1) || state (1) || card_id (16) || epoch (4) || ctr (4) || cum (8) || ceiling (8)
    payment     = amount (8) || currency (3) || terminal_id (16) || nonce (16)

Integers are unsigned and big-endian, amounts minor units, moments seconds since 1970. Every meaning has one encoding, and decoders
take no other: `encode(decode(data)) == data`, which is why what was decoded may be encoded again to check its signature.

Source: docs/reference/purse.md, which carries a byte-exact example.
"""

from __future__ import annotations

import enum
import re
import struct

import msgspec

from counterfoil.acceptance.purse.signatures import Algorithm, IssuerKey, PrivateKey, check_public_key, check_signature_form, verify
from counterfoil.errors import Malformed
from counterfoil.money import check_amount

VERSION = 1
CERTIFICATE_DOMAIN = b"COUNTERFOIL-CRT1"
RECEIPT_DOMAIN = b"COUNTERFOIL-PAY1"
CERTIFICATE_SIZE_MAX = 177
RECEIPT_SIZE_MAX = 149
FLAG_BLOCK = 1

_TERMS = struct.Struct(">BBB8s16sI3sBQQIQQB")
_BODY = struct.Struct(">BB16sIIQQ3s16s16s")
_SELECTED = struct.Struct(">BBB16sIIQQ")
_PAYMENT = struct.Struct(">Q3s16s16s")
BODY_SIZE = _BODY.size
SELECTED_SIZE = _SELECTED.size
PAYMENT_SIZE = _PAYMENT.size
assert (_TERMS.size, BODY_SIZE, SELECTED_SIZE, PAYMENT_SIZE) == (72, 77, 43, 43)

COUNT_MAX = 2**32 - 1
"""The largest epoch and counter."""


class State(enum.IntEnum):
    """What a card can do; it never goes back."""

    EMPTY = 0
    """No certificate yet."""
    ACTIVE = 1
    BLOCKED = 2
    """For ever. The last receipt can still be read."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an issuer says of a card.

    Attributes:
        algorithm, public_key: what the card signs with.
        issuer_algorithm, issuer_key_id: of the key behind the certificate's signature.
        card_id: 16 bytes.
        epoch: 1 to 2^32-1, higher in each certificate of a card.
        currency: ISO 4217 code, the same for the card's whole life.
        block: the card stops for ever when it reads this.
        ceiling: minor units that the card may have spent in its whole life; never falls.
        max_tx: minor units of one payment.
        max_ctr: payments in the card's whole life.
        not_before, not_after: seconds since 1970; valid from the first to just before the second. The card itself has no clock.
    """

    algorithm: Algorithm
    issuer_algorithm: Algorithm
    issuer_key_id: bytes
    card_id: bytes
    epoch: int
    currency: str
    block: bool = False
    ceiling: int
    max_tx: int
    max_ctr: int
    not_before: int
    not_after: int
    public_key: bytes


class Certificate(msgspec.Struct, frozen=True):
    """Terms and the issuer's signature; not verified by being read."""

    terms: Terms
    signature: bytes


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a card says of one payment. Two receipts are of the same payment when their bodies are equal.

    Attributes:
        epoch: of the certificate that the card held.
        ctr: number of this payment in the card's life, from 1.
        cum: minor units spent in the card's life, this payment included.
        terminal_id: 16 bytes, who is paid.
        nonce: 16 random bytes that the terminal drew for this payment.
    """

    algorithm: Algorithm
    card_id: bytes
    epoch: int
    ctr: int
    cum: int
    amount: int
    currency: str
    terminal_id: bytes
    nonce: bytes


class Receipt(msgspec.Struct, frozen=True):
    """A body and the card's signature; not verified by being read."""

    body: Body
    signature: bytes


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """What a card says of itself, without a signature: good to plan with, no ground to release goods on."""

    algorithm: Algorithm
    state: State
    card_id: bytes
    epoch: int
    ctr: int
    cum: int
    ceiling: int


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal asks the card to pay."""

    amount: int
    currency: str
    terminal_id: bytes
    nonce: bytes


# Certificates


def sign_certificate(terms: Terms, issuer: PrivateKey) -> Certificate:
    return Certificate(terms, issuer.sign(CERTIFICATE_DOMAIN + encode_terms(terms)))


def verify_certificate(certificate: Certificate, issuer: IssuerKey) -> bool:
    """Whether the certificate names this key of an issuer and was signed with it. Says nothing of time, block or denylist."""
    terms = certificate.terms
    return (
        (terms.issuer_algorithm, terms.issuer_key_id) == (issuer.algorithm, issuer.key_id)
        and verify(issuer.algorithm, issuer.key, CERTIFICATE_DOMAIN + encode_terms(terms), certificate.signature)
    )  # fmt: skip


def encode_terms(terms: Terms) -> bytes:
    return (
        _TERMS.pack(
            VERSION, terms.algorithm, terms.issuer_algorithm, terms.issuer_key_id, terms.card_id, terms.epoch, terms.currency.encode(),
            FLAG_BLOCK if terms.block else 0, terms.ceiling, terms.max_tx, terms.max_ctr, terms.not_before, terms.not_after,
            len(terms.public_key),
        )
        + terms.public_key
    )  # fmt: skip


def encode_certificate(certificate: Certificate) -> bytes:
    return encode_terms(certificate.terms) + certificate.signature


def decode_certificate(data: bytes) -> Certificate:
    """The certificate in `data`; Malformed for anything that no issuer may sign, naming the field. The signature is not verified."""
    if len(data) < _TERMS.size:
        raise Malformed("certificate", "is cut short")
    (version, alg, issuer_alg, key_id, card_id, epoch, currency, flags, ceiling, max_tx, max_ctr, not_before, not_after, key_len) = (
        _TERMS.unpack_from(data)
    )
    _check_version(version, "certificate")
    algorithm = _algorithm(alg, "certificate.alg")
    issuer_algorithm = _algorithm(issuer_alg, "certificate.issuer_alg")
    if flags & ~FLAG_BLOCK:
        raise Malformed("certificate.flags", "must have no bits but bit 0")
    if not not_before < not_after < 2**63:
        raise Malformed("certificate.not_after", "must be later than not_before, and below 2^63")
    public_key = data[_TERMS.size : _TERMS.size + key_len]
    if len(public_key) != key_len:
        raise Malformed("certificate.key_len", "is beyond the certificate's end")
    terms = Terms(
        algorithm=algorithm,
        issuer_algorithm=issuer_algorithm,
        issuer_key_id=key_id,
        card_id=card_id,
        epoch=_count(epoch, "certificate.epoch"),
        currency=_currency(currency, "certificate.currency"),
        block=bool(flags & FLAG_BLOCK),
        ceiling=check_amount(ceiling, "certificate.ceiling"),
        max_tx=check_amount(max_tx, "certificate.max_tx"),
        max_ctr=_count(max_ctr, "certificate.max_ctr"),
        not_before=not_before,
        not_after=not_after,
        public_key=check_public_key(algorithm, public_key, "certificate.public_key"),
    )
    return Certificate(terms, check_signature_form(issuer_algorithm, data[_TERMS.size + key_len :], "certificate.signature"))


# Receipts


def sign_receipt(body: Body, card: PrivateKey) -> Receipt:
    assert body.algorithm is card.algorithm, (body.algorithm, card.algorithm)
    return Receipt(body, card.sign(RECEIPT_DOMAIN + encode_body(body)))


def verify_receipt(receipt: Receipt, terms: Terms) -> bool:
    """Whether the card of `terms` signed this receipt, under whichever of its certificates: the epoch is not compared."""
    body = receipt.body
    return (
        (body.card_id, body.algorithm) == (terms.card_id, terms.algorithm)
        and verify(terms.algorithm, terms.public_key, RECEIPT_DOMAIN + encode_body(body), receipt.signature)
    )  # fmt: skip


def encode_body(body: Body) -> bytes:
    return _BODY.pack(
        VERSION, body.algorithm, body.card_id, body.epoch, body.ctr, body.cum, body.amount, body.currency.encode(),
        body.terminal_id, body.nonce,
    )  # fmt: skip


def encode_receipt(receipt: Receipt) -> bytes:
    return encode_body(receipt.body) + receipt.signature


def decode_body(data: bytes) -> Body:
    """The body in `data`, 77 bytes; Malformed for anything that no card that keeps the rules signs."""
    if len(data) != BODY_SIZE:
        raise Malformed("receipt", f"must have a body of {BODY_SIZE} bytes")
    version, alg, card_id, epoch, ctr, cum, amount, currency, terminal_id, nonce = _BODY.unpack(data)
    _check_version(version, "receipt")
    body = Body(
        algorithm=_algorithm(alg, "receipt.alg"),
        card_id=card_id,
        epoch=_count(epoch, "receipt.epoch"),
        ctr=_count(ctr, "receipt.ctr"),
        cum=check_amount(cum, "receipt.cum"),
        amount=check_amount(amount, "receipt.amount"),
        currency=_currency(currency, "receipt.currency"),
        terminal_id=terminal_id,
        nonce=nonce,
    )
    if cum - amount < ctr - 1 or (ctr == 1 and cum != amount):
        raise Malformed("receipt.cum", "must be this amount and at least 1 for each payment before it")
    return body


def decode_receipt(data: bytes) -> Receipt:
    """The receipt in `data`; Malformed for anything that no card signs, naming the field. The signature is not verified."""
    if len(data) < BODY_SIZE:
        raise Malformed("receipt", "is cut short")
    body = decode_body(data[:BODY_SIZE])
    return Receipt(body, check_signature_form(body.algorithm, data[BODY_SIZE:], "receipt.signature"))


# What is not signed


def encode_selected(selected: Selected) -> bytes:
    return _SELECTED.pack(
        VERSION, selected.algorithm, selected.state, selected.card_id, selected.epoch, selected.ctr, selected.cum, selected.ceiling
    )


def decode_selected(data: bytes) -> Selected:
    """What the card says of itself; Malformed, naming the field, when no card that keeps the rules could say it."""
    if len(data) != SELECTED_SIZE:
        raise Malformed("selected", f"must be {SELECTED_SIZE} bytes")
    version, alg, state, card_id, epoch, ctr, cum, ceiling = _SELECTED.unpack(data)
    _check_version(version, "selected")
    algorithm = _algorithm(alg, "selected.alg")
    if state not in list(State):
        raise Malformed("selected.state", "must be 0 (empty), 1 (active) or 2 (blocked)")
    if (state == State.EMPTY) != (epoch == 0) or (state == State.EMPTY) != (ceiling == 0):
        raise Malformed("selected.epoch", "must be 0, as the ceiling, for an empty card and for no other")
    check_amount(ceiling, "selected.ceiling", minimum=0)
    if not ctr <= cum <= ceiling or (ctr == 0) != (cum == 0):
        raise Malformed("selected.cum", "must be at most the ceiling, and at least 1 for each payment")
    return Selected(algorithm=algorithm, state=State(state), card_id=card_id, epoch=epoch, ctr=ctr, cum=cum, ceiling=ceiling)


def encode_payment(payment: Payment) -> bytes:
    return _PAYMENT.pack(payment.amount, payment.currency.encode(), payment.terminal_id, payment.nonce)


def decode_payment(data: bytes) -> Payment:
    if len(data) != PAYMENT_SIZE:
        raise Malformed("payment", f"must be {PAYMENT_SIZE} bytes")
    amount, currency, terminal_id, nonce = _PAYMENT.unpack(data)
    return Payment(
        amount=check_amount(amount, "payment.amount"),
        currency=_currency(currency, "payment.currency"),
        terminal_id=terminal_id,
        nonce=nonce,
    )


def _check_version(version: int, what: str) -> None:
    if version != VERSION:
        raise Malformed(f"{what}.version", f"must be {VERSION}")


def _algorithm(number: int, field: str) -> Algorithm:
    if number not in list(Algorithm):
        raise Malformed(field, "must be 1 (P-256, DER), 2 (Ed25519) or 3 (P-256, raw)")
    return Algorithm(number)


def _count(number: int, field: str) -> int:
    if number == 0:
        raise Malformed(field, f"must be from 1 to {COUNT_MAX}")
    return number


def _currency(code: bytes, field: str) -> str:
    if not re.fullmatch(rb"[A-Z]{3}", code):
        raise Malformed(field, "must be three capital letters")
    return code.decode("ascii")
