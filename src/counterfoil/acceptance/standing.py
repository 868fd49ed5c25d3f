"""How it stands with sales: asked of requests, payments and the ledger each time, and kept nowhere.

request open ──> paid ──> refunded in part, refunded
    │       └──> held ──> captured ──> refunded in part, refunded
    │               └──> released, expired
    └──> cancelled, expired

A page of sales is asked about at once: the number of reads does not grow with the number of sales.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import select

from counterfoil.acceptance.tables import sale_actions
from counterfoil.acceptance.types import Action, Back, Sale, SaleState, Standing
from counterfoil.clock import Clock
from counterfoil.payments import records
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.requests import PaymentRequest, Requests, RequestState
from counterfoil.payments.service import Payments
from counterfoil.payments.types import Payment, PaymentState
from counterfoil.store.database import Store

_GIVES_BACK = (OrderKind.REFUND, OrderKind.REVERSAL)
_OF_HOLD = {
    PaymentState.HELD: SaleState.HELD,
    PaymentState.CAPTURED: SaleState.CAPTURED,
    PaymentState.RELEASED: SaleState.RELEASED,
    PaymentState.EXPIRED: SaleState.EXPIRED,
}


class _Known(msgspec.Struct, frozen=True):
    """What was read for some sales.

    Attributes:
        paid: payments and holds that answered them and were carried out, by id.
        completed_at: ledger time of each of `paid`.
        answers: what was carried out about each of `paid`, and about each capture of theirs, oldest first.
        done: who did an answer at a till, and what went back of which line, by the answer's id.
    """

    paid: Mapping[int, Payment]
    completed_at: Mapping[int, int]
    answers: Mapping[int, Sequence[Payment]]
    done: Mapping[int, tuple[int | None, tuple[Back, ...]]]


class Standings:
    """Asks."""

    def __init__(self, *, store: Store, payments: Payments, requests: Requests, clock: Clock) -> None:
        self.store = store
        self.payments = payments
        self.requests = requests
        self.clock = clock

    async def requests_of(self, sales: Sequence[Sale]) -> dict[int, PaymentRequest]:
        """Their requests to pay, by id; those that were not made are missing. All sales are of one account."""
        assert len({sale.account for sale in sales}) <= 1, "sales of several accounts"
        return await self.requests.find_many([sale.id for sale in sales], sales[0].account) if sales else {}

    async def of(self, sales: Sequence[Sale]) -> dict[int, Standing]:
        """How it stands with `sales`, all of one account, now. What was claimed but not carried out counts as open."""
        requests = await self.requests_of(sales)
        known = await self._known([request.paid_by for request in requests.values() if request.paid_by is not None])
        return {sale.id: self._standing(sale, requests.get(sale.id), known) for sale in sales}

    async def refunds_of(self, ids: Collection[int]) -> dict[int, list[tuple[Payment, int]]]:
        """What was given back of each of these payments and captures, with its ledger time in ns."""
        answers = await self.store.read(lambda connection: records.answers_to_many(connection, list(ids))) if ids else {}
        wanted = [answer for each in answers.values() for answer in each if answer.kind in _GIVES_BACK]
        done = await self.payments.carried_out(wanted)
        return {about: [(answer, done[answer.id]) for answer in each if answer.id in done] for about, each in answers.items()}

    # Reading

    async def _known(self, ids: Sequence[int]) -> _Known:
        if not ids:
            return _Known({}, {}, {}, {})
        claimed = await self.store.read(lambda connection: records.find_many(connection, ids))
        completed_at = await self.payments.carried_out(list(claimed.values()))
        paid = {payment.id: payment for payment in claimed.values() if payment.id in completed_at}
        answers = await self._carried_out(paid.keys())
        captures = [answer.id for each in answers.values() for answer in each if answer.kind is OrderKind.CAPTURE]
        answers |= await self._carried_out(captures)
        done = await self._done([answer.id for each in answers.values() for answer in each])
        return _Known(paid, completed_at, answers, done)

    async def _carried_out(self, references: Collection[int]) -> dict[int, list[Payment]]:
        if not references:
            return {}
        answers = await self.store.read(lambda connection: records.answers_to_many(connection, list(references)))
        done = await self.payments.carried_out([answer for each in answers.values() for answer in each])
        return {reference: [answer for answer in each if answer.id in done] for reference, each in answers.items()}

    async def _done(self, ids: Sequence[int]) -> dict[int, tuple[int | None, tuple[Back, ...]]]:
        if not ids:
            return {}
        query = select(sale_actions).where(sale_actions.c.payment.in_(ids))
        rows = await self.store.read(lambda connection: connection.execute(query).all())
        return {row.payment: (row.clerk, lines_back(row.lines)) for row in rows}

    # Telling

    def _standing(self, sale: Sale, request: PaymentRequest | None, known: _Known) -> Standing:
        payment = None if request is None or request.paid_by is None else known.paid.get(request.paid_by)
        if payment is not None:
            return self._answered(payment, known)
        if request is not None and request.state is RequestState.CANCELLED:
            return Standing(state=SaleState.CANCELLED)
        is_claimed = request is not None and request.paid_by is not None  # by an order that can still be carried out
        over = sale.expires_at <= self.clock.now_ns() and not is_claimed
        return Standing(state=SaleState.EXPIRED if over else SaleState.OPEN)

    def _answered(self, payment: Payment, known: _Known) -> Standing:
        completed_at, answers = known.completed_at[payment.id], known.answers[payment.id]
        if payment.kind is not OrderKind.HOLD:
            return _taken(payment, payment, completed_at, known)
        state = _OF_HOLD[self.payments.state_of_hold(payment, completed_at, answers)]
        capture = next((answer for answer in answers if answer.kind is OrderKind.CAPTURE), None)
        if capture is not None:
            return _taken(payment, capture, completed_at, known)
        return Standing(state=state, payment=payment, paid_at=completed_at, actions=_actions(answers, known))


def _taken(payment: Payment, original: Payment, paid_at: int, known: _Known) -> Standing:
    """Money is with the shop: the payment itself, or the capture of a hold; less what went back."""
    captured = original is not payment
    back = [answer for answer in known.answers[original.id] if answer.kind in _GIVES_BACK]
    refunded = sum(answer.amount for answer in back)
    if refunded:
        state = SaleState.REFUNDED if refunded >= original.amount else SaleState.REFUNDED_PART
    else:
        state = SaleState.CAPTURED if captured else SaleState.PAID
    return Standing(
        state=state,
        payment=payment,
        original=original,
        captured=original.amount if captured else 0,
        refunded=refunded,
        paid_at=paid_at,
        actions=_actions([*(known.answers[payment.id] if captured else ()), *back], known),
    )


def lines_back(text: str | None) -> tuple[Back, ...]:
    """What went back of which line, as `sale_actions` keeps it."""
    return () if text is None else msgspec.json.decode(text, type=tuple[Back, ...])


def returned_of(standing: Standing) -> Counter[int]:
    """How many of each line of a sale went back by line."""
    returned: Counter[int] = Counter()
    for action in standing.actions:
        for each in action.lines:
            returned[each.line] += each.quantity
    return returned


def _actions(done: Sequence[Payment], known: _Known) -> tuple[Action, ...]:
    actions = []
    for each in done:
        clerk, lines = known.done.get(each.id, (None, ()))
        kind = each.kind.name.lower()
        actions.append(Action(payment=each.id, kind=kind, amount=each.amount, clerk=clerk, at=each.created_at, lines=lines))
    return tuple(actions)
