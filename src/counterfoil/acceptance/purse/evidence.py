"""Proof that a card broke its rules: two of its own receipts that no card can have signed that only counts up. Pure.

A card's payments are numbered 1, 2, 3, ..., and each adds its amount to what was spent before. Of two receipts, therefore:

    same ctr                     the bodies are equal
    ctr of the second is next    cum before it is the cum after the first
    k payments lie between       cum before it is at least the cum after the first, and k: each of them moved 1 or more
    later ctr                    the epoch is not lower

Whoever shows two receipts that break one of these, with a certificate of the card, proves it to anyone who has the issuer's key; no
trust in who shows them is needed. A card that keeps the rules never signs two such, whatever is torn, repeated or cut.

    evidence = "COUNTERFOIL-EVD1" || length (1) || certificate || length (1) || first receipt || length (1) || second receipt

Source: docs/reference/purse.md "Evidence".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from counterfoil.acceptance.purse.messages import (
    Body,
    Certificate,
    Receipt,
    decode_certificate,
    decode_receipt,
    encode_body,
    encode_certificate,
    encode_receipt,
    verify_certificate,
    verify_receipt,
)
from counterfoil.acceptance.purse.signatures import IssuerKey
from counterfoil.errors import Malformed

DOMAIN = b"COUNTERFOIL-EVD1"
EVIDENCE_SIZE_MAX = 16 + 3 + 177 + 2 * 149


class Contradiction(enum.StrEnum):
    """Which rule two receipts break."""

    SAME_COUNTER = "same_counter"
    """One number, two payments."""
    BROKEN_SUM = "broken_sum"
    """What the second says was spent before it does not follow from the first."""
    EPOCH_FELL = "epoch_fell"
    """The later payment was made under an earlier certificate."""


class Evidence(msgspec.Struct, frozen=True):
    """Two receipts of one card, in the order of (ctr, body), and a certificate that names its key: of any epoch, expired or not."""

    certificate: Certificate
    first: Receipt
    second: Receipt


def contradiction(one: Body, other: Body) -> Contradiction | None:
    """Which rule the two bodies break if one card signed both, in either order; None when they go together."""
    first, second = sorted((one, other), key=_place)
    if first.ctr == second.ctr:
        return None if first == second else Contradiction.SAME_COUNTER
    between = second.ctr - first.ctr - 1
    added = second.cum - second.amount - first.cum
    if added < between or (between == 0 and added != 0):
        return Contradiction.BROKEN_SUM
    return Contradiction.EPOCH_FELL if second.epoch < first.epoch else None


def find(certificate: Certificate, receipt: Receipt, known: Iterable[Receipt]) -> Evidence | None:
    """Evidence from `receipt` and the first of `known` that it contradicts. All are verified receipts of the certificate's card."""
    for other in known:
        if contradiction(receipt.body, other.body):
            return Evidence(certificate, *sorted((receipt, other), key=lambda each: _place(each.body)))
    return None


def verify(evidence: Evidence, issuer: IssuerKey) -> Contradiction | None:
    """What the evidence proves to whoever holds the issuer's key; None when it proves nothing.

    The certificate's time, block flag and epoch do not matter: it only says whose key it is.
    """
    terms = evidence.certificate.terms
    if not verify_certificate(evidence.certificate, issuer):
        return None
    if not (verify_receipt(evidence.first, terms) and verify_receipt(evidence.second, terms)):
        return None
    return contradiction(evidence.first.body, evidence.second.body)


def encode(evidence: Evidence) -> bytes:
    parts = encode_certificate(evidence.certificate), encode_receipt(evidence.first), encode_receipt(evidence.second)
    return DOMAIN + b"".join(bytes([len(part)]) + part for part in parts)


def decode(data: bytes) -> Evidence:
    """The evidence in `data`, which proves nothing before `verify` says so. Malformed for anything that `encode` does not write."""
    if not data.startswith(DOMAIN):
        raise Malformed("evidence", f"must begin with {DOMAIN.decode()}")
    parts, at = [], len(DOMAIN)
    for _ in range(3):
        size = data[at] if at < len(data) else 0
        parts.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    if at != len(data):
        raise Malformed("evidence", "must be a certificate and two receipts, each behind its length")
    certificate, first, second = decode_certificate(parts[0]), decode_receipt(parts[1]), decode_receipt(parts[2])
    if _place(first.body) >= _place(second.body):
        raise Malformed("evidence", "must have the receipts in the order of ctr and body, and not one twice")
    return Evidence(certificate, first, second)


def _place(body: Body) -> tuple[int, bytes]:
    return body.ctr, encode_body(body)
