"""A parking ticket on a telephone: what the stay costs until now, and how it is paid.

    /parking/{ticket}       for whoever scans the ticket; its button asks for what is due, and leads to the payment link
    /parking/{ticket}/more  its other button asks for more to be set aside, and leads to where that is agreed to

The ticket is the stay's id: whoever has it sees the plate, pays, and can do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from counterfoil.acceptance.parking.values import Parked
from counterfoil.errors import CounterfoilError, Malformed, NotFound
from counterfoil.i18n import Language
from counterfoil.ids import parse_id
from counterfoil.web.page_forms import check_same_site
from counterfoil.web.services import Services
from counterfoil.web.stay_facts import StayFacts

PREFIX = "/parking/"

Render = Callable[..., Response]


def is_ticket(path: str) -> bool:
    """Whether an address belongs to this page."""
    return path.startswith(PREFIX)


class ParkingPages:
    """The routes, for `web.pages`, which renders them."""

    def __init__(
        self,
        services: Services,
        *,
        render: Render,
        language: Callable[[Request], Language],
        problem: Callable[[Request, CounterfoilError], Response],
    ) -> None:
        self.acceptance = services.acceptance
        self.stays = services.acceptance.stays
        self.facts = StayFacts(services.acceptance, services.parties)
        self._render = render
        self._language = language
        self._problem = problem

    def routes(self) -> list[BaseRoute]:
        more = Route(f"{PREFIX}{{ticket}}/more", self.more, methods=["POST"])
        return [Route(f"{PREFIX}{{ticket}}", self.show), Route(f"{PREFIX}{{ticket}}", self.pay, methods=["POST"]), more]

    async def show(self, request: Request) -> Response:
        try:
            parked = await self._parked(request)
        except CounterfoilError as error:
            return self._problem(request, error)
        return self._render(request, "ticket.html", home="/", **await self.facts.of(self._language(request), parked))

    async def pay(self, request: Request) -> Response:
        """Asks for what is due and leads to where it is paid; back to the ticket where nothing is. A repeat asks for nothing more."""
        try:
            check_same_site(request)
            stay = (await self._parked(request)).stay
            parked = await self.stays.charge(stay, await self.acceptance.tills.find(stay.till))
            there = request.url.path if parked.asked is None else await self.facts.link(parked.asked[1])
        except CounterfoilError as error:
            return self._problem(request, error)
        return RedirectResponse(there, status_code=303, headers={"Cache-Control": "no-store"})

    async def more(self, request: Request) -> Response:
        """Asks for more to be set aside and leads to where that is agreed to. While nobody has, a repeat leads to the same."""
        try:
            check_same_site(request)
            stay = (await self._parked(request)).stay
            parked = await self.stays.extend(stay, await self.acceptance.tills.find(stay.till))
            assert parked.wanted is not None, stay.id
            there = await self.facts.link(parked.wanted)
        except CounterfoilError as error:
            return self._problem(request, error)
        return RedirectResponse(there, status_code=303, headers={"Cache-Control": "no-store"})

    # Parts

    async def _parked(self, request: Request) -> Parked:
        try:
            ticket = parse_id(request.path_params["ticket"], "ticket")
        except Malformed:
            raise NotFound("there is no ticket at this address") from None
        return await self.stays.look(await self.stays.find(ticket))
