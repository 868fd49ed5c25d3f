"""How it stands with a sale: asked of requests, payments and the ledger each time, and kept nowhere.

request open ──> paid ──> refunded in part, refunded
    │       └──> held ──> captured ──> refunded in part, refunded
    │               └──> released, expired
    └──> cancelled, expired
"""

from __future__ import annotations

from sqlalchemy import select

from counterfoil.acceptance.tables import sale_actions
from counterfoil.acceptance.types import Action, Sale, SaleState, Standing
from counterfoil.clock import Clock
from counterfoil.errors import NotFound, Refused, Unavailable
from counterfoil.payments import records
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.requests import PaymentRequest, Requests, RequestState
from counterfoil.payments.service import Payments
from counterfoil.payments.types import Payment, PaymentState, Receipt
from counterfoil.store.database import Store

_GIVES_BACK = (OrderKind.REFUND, OrderKind.REVERSAL)
_OF_HOLD = {
    PaymentState.HELD: SaleState.HELD,
    PaymentState.CAPTURED: SaleState.CAPTURED,
    PaymentState.RELEASED: SaleState.RELEASED,
    PaymentState.EXPIRED: SaleState.EXPIRED,
}


class Standings:
    """Asks."""

    def __init__(self, *, store: Store, payments: Payments, requests: Requests, clock: Clock) -> None:
        self.store = store
        self.payments = payments
        self.requests = requests
        self.clock = clock

    async def request(self, sale: Sale) -> PaymentRequest | None:
        """The request to pay of a sale; None when it was not made."""
        try:
            return await self.requests.find(sale.id, sale.account)
        except NotFound:
            return None

    async def of(self, sale: Sale) -> Standing:
        """How it stands with `sale` now. What was claimed but not carried out counts as open: nothing is paid that is not."""
        request = await self.request(sale)
        if request is not None and request.paid_by is not None:
            receipt = await self._receipt(request.paid_by, sale.account)
            if receipt is not None:
                return await self._answered(receipt)
        if request is not None and request.state is RequestState.CANCELLED:
            return Standing(state=SaleState.CANCELLED)
        over = sale.expires_at <= self.clock.now_ns()
        return Standing(state=SaleState.EXPIRED if over else SaleState.OPEN)

    async def _receipt(self, payment: int, account: int) -> Receipt | None:
        try:
            return await self.payments.receipt(payment, account)
        except (Refused, Unavailable):
            return None

    async def _answered(self, receipt: Receipt) -> Standing:
        payment = receipt.payment
        if payment.kind is not OrderKind.HOLD:
            return await self._taken(payment, payment, receipt.completed_at, captured=0, actions=[])
        ended = await self._carried_out(payment.id)
        actions = await self._actions(ended)
        state = _OF_HOLD[receipt.state]
        capture = next((each for each in ended if each.kind is OrderKind.CAPTURE), None)
        if state is not SaleState.CAPTURED or capture is None:
            return Standing(state=state, payment=payment, paid_at=receipt.completed_at, actions=tuple(actions))
        return await self._taken(payment, capture, receipt.completed_at, captured=capture.amount, actions=actions)

    async def _taken(self, payment: Payment, original: Payment, paid_at: int, *, captured: int, actions: list[Action]) -> Standing:
        back = [each for each in await self._carried_out(original.id) if each.kind in _GIVES_BACK]
        refunded = sum(each.amount for each in back)
        if refunded:
            state = SaleState.REFUNDED if refunded >= original.amount else SaleState.REFUNDED_PART
        else:
            state = SaleState.CAPTURED if original is not payment else SaleState.PAID
        return Standing(
            state=state,
            payment=payment,
            original=original,
            captured=captured,
            refunded=refunded,
            paid_at=paid_at,
            actions=(*actions, *await self._actions(back)),
        )

    async def _carried_out(self, reference: int) -> list[Payment]:
        answers = await self.store.read(lambda connection: records.answers_to(connection, reference))
        return [answer for answer in answers if await self.payments.was_carried_out(answer)]

    async def _actions(self, done: list[Payment]) -> list[Action]:
        if not done:
            return []
        query = select(sale_actions.c.payment, sale_actions.c.clerk).where(sale_actions.c.payment.in_([each.id for each in done]))
        clerks = await self.store.read(lambda connection: {row.payment: row.clerk for row in connection.execute(query)})
        return [
            Action(payment=each.id, kind=each.kind.name.lower(), amount=each.amount, clerk=clerks.get(each.id), at=each.created_at)
            for each in done
        ]
