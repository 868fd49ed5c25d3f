"""From a payment to the transfers that carry it out: one linked chain, all or nothing. Pure.

    pay       payer -> payee                      and the fee: payer or payee -> fees
    hold      payer -> payee, pending             and the payer's fee, pending, so that it cannot be missing later
    capture   post the hold, in full or in part   and post the payer's fee, or payee -> fees
    release   void the hold                       and void the payer's fee
    refund    payee of before -> payer of before
    reversal  fees -> who paid the fee            and payee of before -> payer of before
    issue     issuance -> payee                   withdrawal: payer -> issuance

The first transfer has the payment's id; the fee's id follows from it (`ids.leg_id`). Every leg carries the payment's id
in user_data_128 and the class of authorisation in user_data_32.
"""

from __future__ import annotations

from counterfoil.ids import leg_id
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.types import Transfer, TransferFlags
from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Payment

_LINKED = int(TransferFlags.LINKED)
_PENDING = int(TransferFlags.PENDING)
_POST = int(TransferFlags.POST_PENDING_TRANSFER)
_VOID = int(TransferFlags.VOID_PENDING_TRANSFER)

_KIND_CODES = {
    OrderKind.REFUND: TransferCode.REFUND,
    OrderKind.REVERSAL: TransferCode.REVERSAL,
    OrderKind.ISSUE: TransferCode.ISSUE,
    OrderKind.WITHDRAWAL: TransferCode.WITHDRAWAL,
}
_SERVICE_CODES = {
    Service.TRANSFER: TransferCode.PAYMENT,
    Service.PURCHASE: TransferCode.PAYMENT,
    Service.CASH_IN: TransferCode.CASH_IN,
    Service.CASH_OUT: TransferCode.CASH_OUT,
    Service.DISBURSEMENT: TransferCode.PAYMENT,
    Service.REFUND: TransferCode.REFUND,
    Service.INTERNAL: TransferCode.PAYMENT,
}


def plan(payment: Payment, earlier: Payment | None, *, ledger: int, fees_account: int) -> list[Transfer]:
    """The transfers of `payment`, in order, all but the last linked.

    `earlier` is the hold that a capture or release ends, or the payment that a reversal takes back.
    """
    if payment.kind is OrderKind.HOLD:
        return _hold(payment, ledger, fees_account)
    if payment.kind not in (OrderKind.CAPTURE, OrderKind.RELEASE, OrderKind.REVERSAL):
        return _pay(payment, ledger, fees_account)
    assert earlier is not None, payment.id
    assert earlier.id == payment.reference, (earlier.id, payment.reference)
    if payment.kind is OrderKind.CAPTURE:
        return _capture(payment, earlier, ledger, fees_account)
    if payment.kind is OrderKind.RELEASE:
        return _release(payment, earlier)
    return _reversal(payment, earlier, ledger, fees_account)


def _pay(payment: Payment, ledger: int, fees_account: int) -> list[Transfer]:
    code = int(_KIND_CODES.get(payment.kind) or _SERVICE_CODES[payment.service])
    tag = int(payment.authorisation)
    flags = _LINKED if payment.fee else 0
    first = Transfer(payment.id, payment.payer, payment.payee, payment.amount, 0, payment.id, 0, tag, 0, ledger, code, flags)
    if not payment.fee:
        return [first]
    return [first, _fee(payment, ledger, fees_account)]


def _hold(payment: Payment, ledger: int, fees_account: int) -> list[Transfer]:
    tag, timeout = int(payment.authorisation), payment.timeout_s
    reserved_fee = payment.fee if payment.fee_paid_by is PaidBy.PAYER else 0
    flags = _PENDING | (_LINKED if reserved_fee else 0)
    legs = [
        Transfer(payment.id, payment.payer, payment.payee, payment.amount, 0, payment.id, 0, tag, timeout, ledger, TransferCode.HOLD, flags)
    ]
    if reserved_fee:
        fee_id = leg_id(payment.id, 1)
        legs.append(
            Transfer(fee_id, payment.payer, fees_account, reserved_fee, 0, payment.id, 0, tag, timeout, ledger, TransferCode.FEE, _PENDING)
        )
    return legs


def _capture(payment: Payment, hold: Payment, ledger: int, fees_account: int) -> list[Transfer]:
    assert payment.amount <= hold.amount, (payment.amount, hold.amount)
    tag = int(payment.authorisation)
    reserved_fee = hold.fee if hold.fee_paid_by is PaidBy.PAYER else 0
    payee_fee = payment.fee if payment.fee_paid_by is PaidBy.PAYEE else 0
    flags = _POST | (_LINKED if reserved_fee or payee_fee else 0)
    legs = [Transfer(payment.id, amount=payment.amount, pending_id=hold.id, user_data_128=payment.id, user_data_32=tag, flags=flags)]
    if reserved_fee:
        assert payment.fee <= reserved_fee, (payment.fee, reserved_fee)
        legs.append(
            Transfer(
                leg_id(payment.id, 1),
                amount=payment.fee,
                pending_id=leg_id(hold.id, 1),
                user_data_128=payment.id,
                user_data_32=tag,
                flags=_POST,
            )
        )
    elif payee_fee:
        legs.append(_fee(payment, ledger, fees_account))
    return legs


def _release(payment: Payment, hold: Payment) -> list[Transfer]:
    tag = int(payment.authorisation)
    reserved_fee = hold.fee if hold.fee_paid_by is PaidBy.PAYER else 0
    flags = _VOID | (_LINKED if reserved_fee else 0)
    legs = [Transfer(payment.id, pending_id=hold.id, user_data_128=payment.id, user_data_32=tag, flags=flags)]
    if reserved_fee:
        fee_id = leg_id(payment.id, 1)
        legs.append(Transfer(fee_id, pending_id=leg_id(hold.id, 1), user_data_128=payment.id, user_data_32=tag, flags=_VOID))
    return legs


def _reversal(payment: Payment, original: Payment, ledger: int, fees_account: int) -> list[Transfer]:
    """The fee first: a merchant who paid it may need it to give the whole amount back."""
    back = _pay(payment, ledger, fees_account)
    if not original.fee:
        return back
    who_paid = original.payer if original.fee_paid_by is PaidBy.PAYER else original.payee
    tag, code = int(payment.authorisation), int(TransferCode.FEE_REFUND)
    fee_id = leg_id(payment.id, 1)
    return [Transfer(fee_id, fees_account, who_paid, original.fee, 0, payment.id, 0, tag, 0, ledger, code, _LINKED), *back]


def _fee(payment: Payment, ledger: int, fees_account: int) -> Transfer:
    debtor = payment.payer if payment.fee_paid_by is PaidBy.PAYER else payment.payee
    tag = int(payment.authorisation)
    return Transfer(leg_id(payment.id, 1), debtor, fees_account, payment.fee, 0, payment.id, 0, tag, 0, ledger, TransferCode.FEE, 0)
