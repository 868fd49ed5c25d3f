"""Payments and what surrounds them as they look in JSON. Amounts in minor units."""

from __future__ import annotations

import functools
from typing import Annotated

import msgspec

from counterfoil.clock import NANOSECONDS
from counterfoil.moments import moment_text
from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Acknowledgement, PaymentState, Receipt
from counterfoil.web.values import (
    AmountOrZero,
    Base64Url,
    Moment,
    Signature,
    UuidText,
    base64_text,
    parse_base64,
    parse_signature,
    parse_uuid,
    uuid_text,
)

KINDS = {kind: kind.name.lower() for kind in OrderKind}


class SignedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that a device has signed.

    Attributes:
        order: the exact bytes that were signed.
        device: whose key signed them.
        signature: over exactly these bytes, Ed25519 or ES256 (r || s).
    """

    order: Annotated[
        str,
        msgspec.Meta(
            min_length=1, max_length=1_400, description="base64url, no padding", extra_json_schema={"pattern": "^[A-Za-z0-9_-]*$"}
        ),
    ]
    device: UuidText
    signature: Signature

    def parts(self) -> tuple[bytes, int, bytes]:
        """Order, device and signature. Raises Malformed, naming the field."""
        return parse_base64(self.order, "order"), parse_uuid(self.device, "device"), parse_signature(self.signature, "signature")


class AcknowledgementView(msgspec.Struct, frozen=True, gc=False):
    """The operator's signed word: evidence that anybody can check (`counterfoil/ack/v1`)."""

    statement: Base64Url
    signature: Signature
    key: Base64Url


class ReceiptView(msgspec.Struct, frozen=True, gc=False):
    """What became of a payment, for one of those it concerns. The same on every repeat.

    Attributes:
        id: the order's id.
        payer, payee: account ids. Money went from the first to the second.
        reference: the request, hold or payment that this answers.
        account: whose receipt this is; `balance` and `available` are that account's, right after this payment.
        order_hash: SHA-256 of what was authorised.
        held_until: when a hold ends by itself; null for everything else.
    """

    id: UuidText
    kind: str
    state: PaymentState
    service: Service
    payer: UuidText
    payee: UuidText
    amount: AmountOrZero
    fee: AmountOrZero
    fee_paid_by: PaidBy
    reference: UuidText | None
    memo: str
    completed_at: Moment
    account: UuidText
    balance: AmountOrZero
    available: AmountOrZero
    order_hash: Base64Url
    acknowledgement: AcknowledgementView
    held_until: Moment | None = None


def receipt_view(receipt: Receipt) -> ReceiptView:
    payment = receipt.payment
    payer, payee = uuid_text(payment.payer), uuid_text(payment.payee)
    return ReceiptView(
        id=uuid_text(payment.id),
        kind=KINDS[payment.kind],
        state=receipt.state,
        service=payment.service,
        payer=payer,
        payee=payee,
        amount=payment.amount,
        fee=payment.fee,
        fee_paid_by=payment.fee_paid_by,
        reference=uuid_text(payment.reference) if payment.reference else None,
        memo=payment.memo,
        completed_at=moment_text(receipt.completed_at),
        account=payer if receipt.account == payment.payer else payee,
        balance=receipt.balance,
        available=receipt.available,
        order_hash=base64_text(payment.order_hash),
        acknowledgement=acknowledgement_view(receipt.acknowledgement),
        held_until=moment_text(receipt.completed_at + payment.timeout_s * NANOSECONDS) if payment.timeout_s else None,
    )


def acknowledgement_view(acknowledgement: Acknowledgement) -> AcknowledgementView:
    return AcknowledgementView(
        base64_text(acknowledgement.statement), base64_text(acknowledgement.signature), _key_text(acknowledgement.key)
    )


@functools.lru_cache(maxsize=8)
def _key_text(key: bytes) -> str:
    """The operator's key, the same in every receipt."""
    return base64_text(key)
