"""On which terms an order is carried out, and how the ledger's refusals are told. Pure."""

from __future__ import annotations

from counterfoil.errors import (
    AboveHold,
    AgentMustConfirm,
    CustomerMustAsk,
    HoldNotOpen,
    IdAlreadyFailed,
    IdReused,
    InsufficientFunds,
    PayeeCannotReceive,
    PaymentRefused,
    Refused,
)
from counterfoil.ledger.types import CreateTransferStatus as Status
from counterfoil.parties.types import PartyKind
from counterfoil.payments.fees import FREE, Fee, PaidBy, Service, Tariff, fee
from counterfoil.payments.orders import Order, OrderKind
from counterfoil.payments.types import Payment


def service_of(order: Order, payer: PartyKind, payee: PartyKind, earlier: Payment | None) -> Service:
    """Which line of the tariff an order comes under. Refuses cash movements that only one side has signed."""
    if order.kind is OrderKind.REFUND:
        return Service.REFUND
    if earlier is not None:
        return earlier.service
    if payee is PartyKind.MERCHANT:
        return Service.PURCHASE
    if payer is PartyKind.AGENT and payee is PartyKind.CUSTOMER:
        if not order.reference or order.kind is OrderKind.HOLD:
            raise CustomerMustAsk
        return Service.CASH_IN
    if payer is PartyKind.CUSTOMER and payee is PartyKind.AGENT:
        if order.kind is not OrderKind.HOLD:
            raise AgentMustConfirm
        return Service.CASH_OUT
    if payer is PartyKind.CUSTOMER:
        return Service.TRANSFER
    return Service.DISBURSEMENT if payee is PartyKind.CUSTOMER else Service.INTERNAL


def cost_of(order: Order, service: Service, earlier: Payment | None, tariff: Tariff) -> Fee:
    """The fee of an order. What a capture costs the payer is at most what was set aside for it with the hold."""
    if order.kind is OrderKind.RELEASE:
        return FREE
    cost = fee(tariff, service, order.amount)
    if order.kind is not OrderKind.CAPTURE:
        return cost
    assert earlier is not None, order.id
    if earlier.fee_paid_by is PaidBy.PAYEE:
        return Fee(cost.amount, PaidBy.PAYEE)
    return Fee(min(cost.amount, earlier.fee), PaidBy.PAYER)


_HOLD_ENDED = frozenset({
    Status.PENDING_TRANSFER_NOT_FOUND, Status.PENDING_TRANSFER_NOT_PENDING, Status.PENDING_TRANSFER_ALREADY_POSTED,
    Status.PENDING_TRANSFER_ALREADY_VOIDED, Status.PENDING_TRANSFER_EXPIRED,
})  # fmt: skip
_CLOSED = frozenset({Status.DEBIT_ACCOUNT_ALREADY_CLOSED, Status.CREDIT_ACCOUNT_ALREADY_CLOSED})


def refusal_of(status: Status, payment: Payment) -> Refused:
    """The ledger's word as a refusal for a person. `status` is not one that moved money."""
    assert status not in (Status.CREATED, Status.EXISTS, Status.LINKED_EVENT_FAILED), status
    if status is Status.EXCEEDS_CREDITS:
        return InsufficientFunds(amount=payment.amount, fee=payment.fee)
    if status in _HOLD_ENDED:
        return HoldNotOpen()
    if status is Status.EXCEEDS_PENDING_TRANSFER_AMOUNT:
        return AboveHold()
    if status in _CLOSED:
        return PayeeCannotReceive()
    if status is Status.ID_ALREADY_FAILED:
        return IdAlreadyFailed()
    if status.name.startswith("EXISTS_WITH_DIFFERENT"):
        return IdReused()
    return PaymentRefused(f"the ledger refused it: {status.name.lower()}", status=status.name.lower())
