"""What happened to one account: a movement of the ledger, told from one side. Pure.

    ledger              payer hears                              payee hears
    a payment           payment.sent (cash_in, refund, ...)      payment.received (cash_in, refund, ...)
    a hold begins       hold.created, fee.held                   hold.created
    it is captured      hold.captured, fee.charged               hold.captured, fee.charged where the payee pays it
    it is given back    hold.released, fee.released              hold.released
    its time runs out   hold.expired, fee.released               hold.expired

An account hears of each movement once, under the movement's ledger time: unique, rising, and the same whether the event is
seen live, replayed from the account's history, or sent to a merchant's server.
"""

from __future__ import annotations

import enum

import msgspec

from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.types import Account, AccountBalance, ChangeEventType, Transfer, TransferFlags
from counterfoil.payments.types import Payment


class EventType(enum.StrEnum):
    """What happened, as the field's clients name it: subject, full stop, what became of it."""

    PAYMENT_RECEIVED = "payment.received"
    PAYMENT_SENT = "payment.sent"
    CASH_IN_RECEIVED = "cash_in.received"
    CASH_IN_SENT = "cash_in.sent"
    CASH_OUT_RECEIVED = "cash_out.received"
    CASH_OUT_SENT = "cash_out.sent"
    HOLD_CREATED = "hold.created"
    HOLD_CAPTURED = "hold.captured"
    HOLD_RELEASED = "hold.released"
    HOLD_EXPIRED = "hold.expired"
    REFUND_RECEIVED = "refund.received"
    REFUND_SENT = "refund.sent"
    REVERSAL_RECEIVED = "reversal.received"
    REVERSAL_SENT = "reversal.sent"
    FEE_HELD = "fee.held"
    FEE_CHARGED = "fee.charged"
    FEE_RELEASED = "fee.released"
    FEE_REFUNDED = "fee.refunded"
    ISSUE_RECEIVED = "issue.received"
    WITHDRAWAL_SENT = "withdrawal.sent"
    ENTRY_RECEIVED = "entry.received"
    """Money in by something that is not an order of this scheme, such as an imported book."""
    ENTRY_SENT = "entry.sent"
    """Money out by something that is not an order of this scheme."""


class AccountEvent(msgspec.Struct, frozen=True, gc=False):
    """One movement as one account saw it. Amounts in minor units.

    Attributes:
        account: whose event this is.
        timestamp: ledger time, ns since 1970. Names the event: an account has at most one at a time, and they rise.
        type: what happened.
        payment_id: the payment, capture, refund, ... that did it; for an expiry the hold. 0 for none.
        transfer_id: the ledger's transfer; for an expiry the pending one.
        counterparty: the other account.
        outgoing: True for the side that pays (or would have paid).
        amount: what moved, was set aside, or was given back.
        balance: of the account right after it; `available` is that less what is set aside.
        payment: the order behind it as it was kept; None for entries that no order of this scheme made.
    """

    account: int
    timestamp: int
    type: EventType
    payment_id: int
    transfer_id: int
    counterparty: int
    outgoing: bool
    amount: int
    balance: int
    available: int
    payment: Payment | None = None


_ENTRY = (EventType.ENTRY_SENT, EventType.ENTRY_RECEIVED)
_PAYMENT = (EventType.PAYMENT_SENT, EventType.PAYMENT_RECEIVED)
_SENT_AND_RECEIVED: dict[int, tuple[EventType, EventType]] = {
    TransferCode.PAYMENT: _PAYMENT,
    TransferCode.BATCH_PAYMENT: _PAYMENT,
    TransferCode.STANDING_ORDER: _PAYMENT,
    TransferCode.CASH_IN: (EventType.CASH_IN_SENT, EventType.CASH_IN_RECEIVED),
    TransferCode.CASH_OUT: (EventType.CASH_OUT_SENT, EventType.CASH_OUT_RECEIVED),
    TransferCode.REFUND: (EventType.REFUND_SENT, EventType.REFUND_RECEIVED),
    TransferCode.REVERSAL: (EventType.REVERSAL_SENT, EventType.REVERSAL_RECEIVED),
    TransferCode.ISSUE: (EventType.ENTRY_SENT, EventType.ISSUE_RECEIVED),
    TransferCode.WITHDRAWAL: (EventType.WITHDRAWAL_SENT, EventType.ENTRY_RECEIVED),
    TransferCode.FEE: (EventType.FEE_CHARGED, EventType.ENTRY_RECEIVED),
    TransferCode.FEE_REFUND: (EventType.ENTRY_SENT, EventType.FEE_REFUNDED),
}
_HOLD = {
    ChangeEventType.TWO_PHASE_PENDING: EventType.HOLD_CREATED,
    ChangeEventType.TWO_PHASE_POSTED: EventType.HOLD_CAPTURED,
    ChangeEventType.TWO_PHASE_VOIDED: EventType.HOLD_RELEASED,
    ChangeEventType.TWO_PHASE_EXPIRED: EventType.HOLD_EXPIRED,
}
_HELD_FEE = {
    ChangeEventType.TWO_PHASE_PENDING: EventType.FEE_HELD,
    ChangeEventType.TWO_PHASE_POSTED: EventType.FEE_CHARGED,
    ChangeEventType.TWO_PHASE_VOIDED: EventType.FEE_RELEASED,
    ChangeEventType.TWO_PHASE_EXPIRED: EventType.FEE_RELEASED,
}


def account_event(
    account: int, timestamp: int, change: ChangeEventType, transfer: Transfer, after: Account | AccountBalance, payment: Payment | None
) -> AccountEvent:
    """The event of `account`, debit or credit side of `transfer`. `after` has the account's balances right after it."""
    outgoing = transfer.debit_account_id == account
    assert outgoing or transfer.credit_account_id == account, (account, transfer.id)
    balance = after.credits_posted - after.debits_posted
    return AccountEvent(
        account=account,
        timestamp=timestamp,
        type=event_type(change, transfer.code, outgoing=outgoing),
        payment_id=transfer.user_data_128,
        transfer_id=transfer.id,
        counterparty=transfer.credit_account_id if outgoing else transfer.debit_account_id,
        outgoing=outgoing,
        amount=transfer.amount,
        balance=balance,
        available=balance - after.debits_pending,
        payment=payment,
    )


def event_type(change: ChangeEventType, code: int, *, outgoing: bool) -> EventType:
    """What one side calls a movement with this transfer code."""
    if change is not ChangeEventType.SINGLE_PHASE:
        return (_HELD_FEE if code == TransferCode.FEE else _HOLD)[change]
    sent, received = _SENT_AND_RECEIVED.get(code, _ENTRY)
    return sent if outgoing else received


def change_type(transfer: Transfer) -> ChangeEventType:
    """What the feed called a recorded transfer. An expiry has no transfer of its own."""
    if transfer.flags & TransferFlags.PENDING:
        return ChangeEventType.TWO_PHASE_PENDING
    if transfer.flags & TransferFlags.POST_PENDING_TRANSFER:
        return ChangeEventType.TWO_PHASE_POSTED
    if transfer.flags & TransferFlags.VOID_PENDING_TRANSFER:
        return ChangeEventType.TWO_PHASE_VOIDED
    return ChangeEventType.SINGLE_PHASE
