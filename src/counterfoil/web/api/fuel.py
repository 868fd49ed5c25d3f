"""Fuel stations: what the till behind the pumps does with its token alone, and the prices, which somebody sets who is signed in."""

from __future__ import annotations

from counterfoil.acceptance.fuel.fills import Filled
from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Right
from counterfoil.errors import (
    AlreadyTaken,
    FeeAboveMaximum,
    FillContradicted,
    FillOutOfOrder,
    Forbidden,
    IdReused,
    NotAuthenticated,
    NotFound,
    NotInThisState,
    OrderExpired,
    PaymentRefused,
    PumpBusy,
    TooLarge,
)
from counterfoil.parties.tokens import Scope
from counterfoil.web.access import Principal, server
from counterfoil.web.desk import ASKING, Desk
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.fuel_views import (
    FillBody,
    FillReportBody,
    FillsQuery,
    FillsView,
    FillView,
    PumpBody,
    PumpsView,
    PumpView,
    fill_view,
    fills_view,
    pump_of,
    pump_view,
    report_of,
)
from counterfoil.web.incoming import Incoming
from counterfoil.web.values import parse_cursor, parse_uuid


class FuelEndpoints:
    """Everything under /v1/till/pumps and /v1/till/fills."""

    def __init__(self, *, acceptance: Acceptance, desk: Desk) -> None:
        self.acceptance = acceptance
        self.fills = acceptance.fills
        self.desk = desk

    def endpoints(self) -> list[Endpoint]:
        till, tag, pumps, fills = server(Scope.TILL), "fuel", "/v1/till/pumps", "/v1/till/fills"
        changing = (NotAuthenticated, Forbidden, AlreadyTaken, IdReused, TooLarge)
        asking = (Forbidden, NotFound, PumpBusy, FillContradicted, IdReused, *ASKING)
        ending = (Forbidden, IdReused, NotInThisState, OrderExpired, PaymentRefused, FeeAboveMaximum, *ASKING)
        reporting = (FillOutOfOrder, FillContradicted, *ending)
        return [
            Endpoint("PUT", f"{pumps}/{{id}}", self.put_pump, access=till, errors=changing, tag=tag),
            Endpoint("GET", pumps, self.list_pumps, access=till, errors=(Forbidden,), tag=tag),
            Endpoint("POST", fills, self.authorise, access=till, errors=asking, tag=tag),
            Endpoint("GET", fills, self.list_fills, access=till, errors=(Forbidden,), tag=tag),
            Endpoint("GET", f"{fills}/{{id}}", self.fill, access=till, errors=ending, tag=tag),
            Endpoint("POST", f"{fills}/{{id}}/permit", self.permit, access=till, errors=(FillOutOfOrder, *ending), tag=tag),
            Endpoint("POST", f"{fills}/{{id}}/report", self.report, access=till, errors=reporting, tag=tag),
            Endpoint("POST", f"{fills}/{{id}}/ask-rest", self.ask_rest, access=till, errors=(FillOutOfOrder, *ending), tag=tag),
        ]

    # With a clerk

    async def put_pump(self, caller: Principal, request: Incoming, id: int, body: PumpBody) -> PumpView:
        """Add a pump, or change it and its prices. Fills keep the price that they were asked for under. Needs the right `goods`."""
        till, _ = await self.desk.at(caller, request, Right.GOODS)
        return pump_view(await self.acceptance.pumps.put(pump_of(body, id, till.account)))

    # Behind the pumps

    async def list_pumps(self, caller: Principal) -> PumpsView:
        """The pumps, what they give, and at which price."""
        till = await self.acceptance.tills.of_token(caller.token)
        return PumpsView([pump_view(pump) for pump in await self.acceptance.pumps.list(till.account)])

    async def authorise(self, caller: Principal, body: FillBody) -> FillView:
        """Ask for money to be set aside for a fill: `sale` can be agreed to by anybody. Nothing may run yet. A repeat answers the same."""
        till = await self.acceptance.tills.of_token(caller.token)
        filled = await self.fills.authorise(
            till,
            id=parse_uuid(body.id, "id"),
            pump=parse_uuid(body.pump, "pump"),
            product=body.product,
            amount=body.amount,
            totaliser=body.totaliser,
        )
        return await self._view(filled)

    async def list_fills(self, caller: Principal, query: FillsQuery) -> FillsView:
        """The fills, the newest first, or those that are open."""
        till = await self.acceptance.tills.of_token(caller.token)
        before = None if query.cursor is None else parse_cursor(query.cursor)
        return fills_view(await self.fills.list(till.account, only_open=query.state == "open", before=before))

    async def fill(self, caller: Principal, id: int) -> FillView:
        """How it stands with a fill, and with its money."""
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.fills.look(await self.fills.find(id, till.account), till))

    async def permit(self, caller: Principal, id: int) -> FillView:
        """Let the pump run, once the money is set aside: where `state` is then `authorised`, and only there. A repeat answers the same.

        Where the money is set aside for too short a time it is given back, and `state` is `aborted`.
        """
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.fills.permit(await self.fills.find(id, till.account), till))

    async def report(self, caller: Principal, id: int, body: FillReportBody) -> FillView:
        """Tell what the pump has done. Once it is over, exactly what ran is taken and the rest goes back; a repeat takes nothing more."""
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.fills.report(await self.fills.find(id, till.account), till, report_of(body)))

    async def ask_rest(self, caller: Principal, id: int) -> FillView:
        """Ask for what is `unpaid`: `rest` can be paid by anybody. A repeat asks for nothing more."""
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.fills.ask_rest(await self.fills.find(id, till.account), till))

    # Parts

    async def _view(self, filled: Filled) -> FillView:
        sale = None if filled.sale is None else await self.desk.view(*filled.sale)
        rest = None if filled.rest is None else await self.desk.view(*filled.rest)
        return fill_view(filled, sale=sale, rest=rest)
