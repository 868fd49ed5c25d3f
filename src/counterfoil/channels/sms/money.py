"""Tells holders without a device what their accounts pay and are paid: from the feed into the outbox of notices, each movement once.

    ledger's feed ── exactly once, with the position ──> notices ── `sender` ──> sms_messages ── at least once ──> gateway

Whoever has an active device hears of money by the app's events, and is no concern of this. Who that is, is asked when a movement
is looked at, a moment after it. A text tells what can be spent: the balance, or, where something of it is set aside, what is left
to spend, and calls it so. What happened longer ago than a text is of use is not told any more: a scheme that sets up a gateway again
does not tell the months without one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from counterfoil.channels.sms.texts import OTHER_LIFETIME_S
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.ids import id_text
from counterfoil.parties.journal import send_sms
from counterfoil.parties.notices import names_of, reached_by_text_only
from counterfoil.payments import records
from counterfoil.payments.events import AccountEvent, EventType
from counterfoil.payments.fees import PaidBy, Service
from counterfoil.payments.requests import PaymentRequest
from counterfoil.payments.types import Payment
from counterfoil.store.database import Store

OUT: Final = {
    EventType.PAYMENT_SENT: "paid",
    EventType.CASH_IN_SENT: "paid",
    EventType.CASH_OUT_SENT: "cash_out",
    EventType.HOLD_CREATED: "held",
    EventType.HOLD_CAPTURED: "captured",
    EventType.HOLD_RELEASED: "released",
    EventType.HOLD_EXPIRED: "released",
    EventType.REFUND_SENT: "paid",
    EventType.REVERSAL_SENT: "taken_back",
    EventType.WITHDRAWAL_SENT: "paid",
    EventType.ENTRY_SENT: "paid",
}
"""The kinds of text (`texts.KINDS`) for money that leaves, or would have. Fees are told with what they are for."""
IN: Final = {
    EventType.PAYMENT_RECEIVED: "received",
    EventType.CASH_IN_RECEIVED: "cash_in",
    EventType.CASH_OUT_RECEIVED: "received",
    EventType.HOLD_CAPTURED: "received",
    EventType.REFUND_RECEIVED: "refunded",
    EventType.REVERSAL_RECEIVED: "given_back",
    EventType.ISSUE_RECEIVED: "received",
    EventType.ENTRY_RECEIVED: "received",
}


class MoneyTexts:
    """Writes the notices. Implements `feed.Consumer`; `among` is for `Feed.consume`."""

    name = "sms_money"
    accounts: Collection[int] = ()

    def __init__(self, store: Store, clock: Clock, *, scheme_name: str) -> None:
        """`scheme_name`: what the other side is called where it is an account of the scheme itself."""
        self.store = store
        self.clock = clock
        self.scheme_name = scheme_name

    async def among(self, account_ids: set[int]) -> Collection[int]:
        """Those of the accounts whose holders hear of it by text."""
        return await self.store.read(lambda connection: reached_by_text_only(connection, account_ids))

    def write(self, connection: Connection, events: list[AccountEvent]) -> None:
        since = self.clock.now_ns() - OTHER_LIFETIME_S * NANOSECONDS
        told = [
            (event, kind)
            for event in events
            if event.timestamp > since and (kind := (OUT if event.outgoing else IN).get(event.type)) is not None
        ]
        reached = reached_by_text_only(connection, {event.account for event, _ in told})
        names = names_of(connection, {event.counterparty for event, _ in told})
        subjects = {
            event.payment.reference
            for event, _ in told
            if event.payment and event.type in (EventType.HOLD_CAPTURED, EventType.HOLD_RELEASED)
        }
        holds = records.find_many(connection, sorted(subjects)) if subjects else {}
        for event, kind in told:
            if (to := reached.get(event.account)) is None:
                continue
            hold = holds.get(event.payment.reference) if event.payment else None
            # Cash is handed over by capturing a hold: both sides have signed.
            said = "cash_out" if kind == "captured" and hold is not None and hold.service is Service.CASH_OUT else kind
            values = values_of(event, hold)
            name = names.get(event.counterparty, self.scheme_name)
            send_sms(connection, self.clock, to.number, said, party=to.party, name=name, **values)

    def asked(self, connection: Connection, request: PaymentRequest) -> None:
        """Tells whom a new request asks, in the transaction that keeps it, where no device would."""
        if request.payer is None or (to := reached_by_text_only(connection, [request.payer]).get(request.payer)) is None:
            return
        name = names_of(connection, [request.payee]).get(request.payee, self.scheme_name)
        send_sms(connection, self.clock, to.number, "request_received", party=to.party, name=name, amount=request.amount or 0)

    def written(self) -> None:
        """The next look finds it."""


def values_of(event: AccountEvent, hold: Payment | None) -> dict[str, str | int]:
    """What the text of a movement says, without the other side's name. `hold`: the one that was captured or released."""
    payment = event.payment
    paid_by = PaidBy.PAYER if event.outgoing else PaidBy.PAYEE
    fee = payment.fee if payment is not None and payment.fee_paid_by is paid_by else 0
    values: dict[str, str | int] = {
        "amount": event.amount,
        "fee": fee,
        **_left_after(event, hold, fee),
        "at": event.timestamp,
    }
    if payment is None:
        return values | {"receipt_code": ""}
    return values | {"payment": id_text(payment.id), "account": id_text(event.account)}


def _left_after(event: AccountEvent, hold: Payment | None, fee: int) -> dict[str, int]:
    """What can be spent, and what is set aside, when the whole payment is through: the fee moves right after the event, in the same
    chain (see `plan`)."""
    reserved = hold.fee if hold is not None and event.outgoing and hold.fee_paid_by is PaidBy.PAYER else 0
    match event.type:
        case EventType.HOLD_RELEASED:
            available, balance = event.available + reserved, event.balance
        case EventType.HOLD_CAPTURED:
            available, balance = event.available + reserved - fee, event.balance - fee
        case EventType.HOLD_EXPIRED:
            available, balance = event.available, event.balance
        case EventType.HOLD_CREATED:  # its fee is set aside with it
            available, balance = event.available - fee, event.balance
        case _:
            available, balance = event.available - fee, event.balance - fee
    return {"balance": available, "held": balance - available}
