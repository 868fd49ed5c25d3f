"""Baskets that several people, or several means, pay together. Each part is a sale: its code, cards and slip are those of sales."""

from __future__ import annotations

import msgspec

from counterfoil.acceptance.baskets.service import PAGE_SIZE_MAX
from counterfoil.acceptance.baskets.types import Parted
from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Back, Line, Right
from counterfoil.errors import (
    AboveOriginal,
    Forbidden,
    IdReused,
    InsufficientFunds,
    LimitExceeded,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotInThisState,
    PaymentRefused,
    TooLarge,
)
from counterfoil.moments import moment_text
from counterfoil.parties.tokens import Scope
from counterfoil.web.access import Principal, server
from counterfoil.web.basket_views import (
    BasketBody,
    BasketLine,
    BasketRefundBody,
    BasketsQuery,
    BasketsView,
    BasketView,
    PartsBody,
    basket_view,
)
from counterfoil.web.desk import ASKING, Desk
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Incoming
from counterfoil.web.till_views import ActionBody
from counterfoil.web.values import cursor_text, parse_cursor, parse_uuid, uuid_text


class BasketEndpoints:
    """Everything under /v1/till/baskets."""

    def __init__(self, *, acceptance: Acceptance, desk: Desk) -> None:
        self.baskets = acceptance.baskets
        self.desk = desk

    def endpoints(self) -> list[Endpoint]:
        till, tag, basket = server(Scope.TILL), "baskets", "/v1/till/baskets/{id}"
        signed_in = (NotAuthenticated, Forbidden)
        asking = (*signed_in, *ASKING, IdReused)
        back = (*signed_in, IdReused, NotInThisState, PaymentRefused, InsufficientFunds, LimitExceeded)
        return [
            Endpoint("POST", "/v1/till/baskets", self.make, access=till, errors=asking, tag=tag),
            Endpoint("GET", "/v1/till/baskets", self.list, access=till, errors=signed_in, tag=tag),
            Endpoint("GET", basket, self.basket, access=till, errors=signed_in, tag=tag),
            Endpoint("POST", f"{basket}/parts", self.ask, access=till, errors=(*asking, NotInThisState, TooLarge), tag=tag),
            Endpoint("POST", f"{basket}/give-up", self.give_up, access=till, errors=back, tag=tag),
            Endpoint("POST", f"{basket}/refunds", self.refund, access=till, errors=(*back, AboveOriginal, NotFound), tag=tag),
        ]

    async def make(self, caller: Principal, request: Incoming, body: BasketBody) -> BasketView:
        """Ring up a basket that is paid in parts. Nobody is asked yet. A repeat answers the same basket."""
        till, clerk = await self.desk.at(caller, request, Right.SELL)
        lines = [Line(*msgspec.structs.astuple(line)) for line in body.lines]
        return await self._view(await self.baskets.make(till, clerk, id=parse_uuid(body.id, "id"), lines=lines, amount=body.amount))

    async def list(self, caller: Principal, request: Incoming, query: BasketsQuery) -> BasketsView:
        """Baskets of the shop, newest first."""
        till, _ = await self.desk.at(caller, request)
        found = await self.baskets.of_account(till.account, before=parse_cursor(query.cursor))
        lines = [BasketLine(uuid_text(basket.id), basket.amount, moment_text(basket.created_at)) for basket in found]
        return BasketsView(lines, cursor_text(found[-1].id) if len(found) == PAGE_SIZE_MAX else None)

    async def basket(self, caller: Principal, request: Incoming, id: int) -> BasketView:
        """A basket with its parts, as they stand in the ledger now."""
        till, _ = await self.desk.at(caller, request)
        return await self._view(await self.baskets.look(await self.baskets.find(id, till.account)))

    async def ask(self, caller: Principal, request: Incoming, id: int, body: PartsBody) -> BasketView:
        """Ask for parts: each is a sale that anybody can pay once, by any means. A repeat asks for nothing more.

        Parts that are open or paid never exceed the basket. One that was taken back, or expired, leaves its amount to others.
        """
        till, clerk = await self.desk.at(caller, request, Right.SELL)
        basket = await self.baskets.find(id, till.account)
        parts = [(parse_uuid(part.id, f"parts[{number}].id"), part.amount or 0) for number, part in enumerate(body.parts)]
        return await self._view(await self.baskets.ask(basket, till, clerk, parts=parts))

    async def give_up(self, caller: Principal, request: Incoming, id: int, body: ActionBody) -> BasketView:
        """End a basket that is not paid whole: nobody can pay any more, and all that was paid goes back. A repeat goes on with it."""
        till, clerk = await self.desk.at(caller, request, Right.REFUND)
        basket = await self.baskets.find(id, till.account)
        return await self._view(await self.baskets.give_up(basket, till, clerk, id=parse_uuid(body.id, "id")))

    async def refund(self, caller: Principal, request: Incoming, id: int, body: BasketRefundBody) -> BasketView:
        """Give back of a basket that was paid whole: to its parts in their order, never more to one than it paid.

        A repeat gives back nothing more. What is refused for one part leaves standing what went back to others; give back the rest
        with a new id.
        """
        till, clerk = await self.desk.at(caller, request, Right.REFUND)
        basket = await self.baskets.find(id, till.account)
        if body.amount is not None and body.lines is not None:
            raise Malformed("amount", "must not be given together with lines")
        parted = await self.baskets.refund(
            basket,
            till,
            clerk,
            id=parse_uuid(body.id, "id"),
            amount=body.amount or 0,
            lines=[Back(each.line, each.quantity) for each in body.lines or ()],
            part=0 if body.part is None else parse_uuid(body.part, "part"),
            memo=body.memo,
        )
        return await self._view(parted)

    async def _view(self, parted: Parted) -> BasketView:
        return basket_view(parted, {sale.id: await self.desk.view(sale, standing) for sale, standing in parted.sales.values()})
