"""Payments, receipts and what surrounds them, as values."""

from __future__ import annotations

import enum

import msgspec

from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.orders import OrderKind


class AuthorisationClass(enum.IntEnum):
    """How a debit was authorised: stored with every transfer (user_data_32), counted and capped by class."""

    DEVICE = 1
    """Signed by the holder's device key."""
    PIN = 2
    CARD = 3
    STAFF = 4
    """Two members of staff, with a reason."""
    SYSTEM = 5
    """Under a mandate that the holder signed before: standing order, batch."""
    TOKEN = 6
    """A merchant's server, within the scopes of its token."""


class PaymentState(enum.StrEnum):
    COMPLETED = "completed"
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"
    """A hold whose time ran out (the money is back), or an order that was never carried out and never will be."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """Kept, but not carried out so far: repeat it with the same id."""


class SignedOrder(msgspec.Struct, frozen=True, gc=False):
    """An order as it came: its exact bytes, whose device signed it, and the signature over the bytes."""

    order: bytes
    device: int
    signature: bytes


class Payment(msgspec.Struct, frozen=True, gc=False):
    """The system of reference's record of one order: written before the ledger is asked, never changed.

    Attributes:
        id: the order's id, and of the first transfer.
        order_hash: SHA-256 of what was authorised (the order's bytes; for a token, the canonical request).
        payer, payee: account ids. Money moves from the first to the second, whoever signed.
        amount: minor units. fee: minor units, on top of it or out of it according to `fee_paid_by`.
        reference: request, hold or payment that this answers; 0 none.
        device: the device that signed; 0 none.
        mandate: token, proposal, batch or standing order that authorised it without a signature of its own; 0 none.
    """

    id: int
    order_hash: bytes
    kind: OrderKind
    service: Service
    payer: int
    payee: int
    amount: int
    fee: int
    fee_paid_by: PaidBy
    reference: int
    timeout_s: int
    memo: str
    authorisation: AuthorisationClass
    device: int
    mandate: int
    order: bytes
    signature: bytes
    created_at: int
    expires_at: int


class Acknowledgement(msgspec.Struct, frozen=True, gc=False):
    """The operator's signed word that an order was carried out: transferable evidence against it. See `acknowledgement`."""

    statement: bytes
    signature: bytes
    key: bytes


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What became of a payment, for one of those it concerns.

    Attributes:
        payment: the record.
        state: what became of it.
        completed_at: ledger time, ns since 1970.
        account: whose receipt this is: payer or payee.
        balance: that account's balance right after this payment, minor units. The same on every repeat.
        available: that balance less what is held, minor units.
        acknowledgement: signed by the operator, the same bytes on every repeat.
    """

    payment: Payment
    state: PaymentState
    completed_at: int
    account: int
    balance: int
    available: int
    acknowledgement: Acknowledgement


class Quote(msgspec.Struct, frozen=True):
    """What a payment would cost, before consent.

    Attributes:
        payee_name: the name to show before the payer agrees.
        fee: minor units; `total` is what leaves the payer's account.
        received: what the payee gets, minor units.
        rules_hash: to be named in the order.
    """

    payee: int
    payee_name: str
    service: Service
    amount: int
    fee: int
    fee_paid_by: PaidBy
    total: int
    received: int
    rules_hash: bytes
