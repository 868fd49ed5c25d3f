"""Car parks: what a gate does with its till's token alone, for nobody stands there; and what somebody does who is signed in."""

from __future__ import annotations

from counterfoil.acceptance.parking.parks import CarPark
from counterfoil.acceptance.parking.stays import PAGE_SIZE_MAX
from counterfoil.acceptance.parking.values import Parked
from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Right
from counterfoil.errors import (
    AlreadyInside,
    CardLocked,
    CardUnknown,
    CarParkFull,
    FeeAboveMaximum,
    Forbidden,
    IdReused,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotInThisState,
    OrderExpired,
    PaymentRefused,
    TapUsed,
    TooLarge,
)
from counterfoil.moments import moment_text
from counterfoil.parties.tokens import Scope
from counterfoil.web.access import Principal, server
from counterfoil.web.desk import ASKING, Desk
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Incoming
from counterfoil.web.parking_views import (
    CarParkBody,
    CarParksView,
    CarParkView,
    EntryBody,
    FindBody,
    InsideQuery,
    LeaveBody,
    LetOutBody,
    StayLine,
    StaysView,
    StayView,
    car_park_view,
    stay_view,
    tariff_of,
)
from counterfoil.web.values import cursor_text, parse_cursor, parse_moment, parse_uuid, uuid_text


class ParkingEndpoints:
    """Everything under /v1/till/car-parks and /v1/till/stays."""

    def __init__(self, *, acceptance: Acceptance, desk: Desk) -> None:
        self.acceptance = acceptance
        self.stays = acceptance.stays
        self.desk = desk

    def endpoints(self) -> list[Endpoint]:
        gate, tag, stay, parks = server(Scope.TILL), "parking", "/v1/till/stays/{id}", "/v1/till/car-parks"
        signed_in = (NotAuthenticated, Forbidden)
        tapping = (CardUnknown, CardLocked, TapUsed)
        entering = (Forbidden, NotFound, CarParkFull, AlreadyInside, IdReused, *tapping, *ASKING)
        leaving = (*signed_in, IdReused, NotInThisState, OrderExpired, PaymentRefused, FeeAboveMaximum, *ASKING)
        return [
            Endpoint("PUT", f"{parks}/{{id}}", self.put_car_park, access=gate, errors=(*signed_in, IdReused, TooLarge), tag=tag),
            Endpoint("GET", parks, self.list_car_parks, access=gate, errors=(Forbidden,), tag=tag),
            Endpoint("POST", "/v1/till/stays", self.enter, access=gate, errors=entering, tag=tag),
            Endpoint("GET", "/v1/till/stays", self.list_stays, access=gate, errors=(Forbidden,), tag=tag),
            Endpoint("POST", "/v1/till/stays/find", self.find, access=gate, errors=(Forbidden, NotFound, *tapping), tag=tag),
            Endpoint("GET", stay, self.stay, access=gate, errors=(Forbidden,), tag=tag),
            Endpoint("POST", f"{stay}/charge", self.charge, access=gate, errors=(Forbidden, *ASKING), tag=tag),
            Endpoint("POST", f"{stay}/extend", self.extend, access=gate, errors=(Forbidden, NotInThisState, TooLarge, *ASKING), tag=tag),
            Endpoint("POST", f"{stay}/leave", self.leave, access=gate, errors=leaving, tag=tag),
            Endpoint("POST", f"{stay}/let-out", self.let_out, access=gate, errors=leaving, tag=tag),
            Endpoint("POST", f"{stay}/lost-ticket", self.lose_ticket, access=gate, errors=(*signed_in, NotInThisState), tag=tag),
        ]

    # With a clerk

    async def put_car_park(self, caller: Principal, request: Incoming, id: int, body: CarParkBody) -> CarParkView:
        """Open a car park, or change it. Who is inside keeps the prices of the entry. Needs the right `goods`."""
        till, _ = await self.desk.at(caller, request, Right.GOODS)
        wanted = CarPark(
            id=id,
            account=till.account,
            name=body.name,
            places=body.places,
            hold=body.hold,
            grace_minutes=body.grace_minutes,
            tariff=tariff_of(body.tariff),
        )
        return car_park_view(await self.acceptance.car_parks.put(wanted))

    async def let_out(self, caller: Principal, request: Incoming, id: int, body: LetOutBody) -> StayView:
        """Open the barrier although not all is paid, and say why; what is held is taken all the same. Needs the right `capture`."""
        till, clerk = await self.desk.at(caller, request, Right.CAPTURE)
        stay = await self.stays.find(id, till.account)
        passage, at = parse_uuid(body.passage, "passage"), _moment(body.at)
        return await self._view(await self.stays.let_out(stay, till, clerk, passage=passage, reason=body.reason, at=at))

    async def lose_ticket(self, caller: Principal, request: Incoming, id: int) -> StayView:
        """The ticket of this stay is lost: it costs what that costs, at the least. Needs the right `sell`. A repeat changes nothing."""
        till, _ = await self.desk.at(caller, request, Right.SELL)
        return await self._view(await self.stays.lose_ticket(await self.stays.find(id, till.account)))

    # At the gate

    async def list_car_parks(self, caller: Principal) -> CarParksView:
        """The car parks, and how full they are."""
        till = await self.acceptance.tills.of_token(caller.token)
        return CarParksView([car_park_view(park) for park in await self.acceptance.car_parks.list(till.account)])

    async def enter(self, caller: Principal, body: EntryBody) -> StayView:
        """Let a car in, as soon as this has answered. A repeat answers the same stay."""
        if body.plate is not None and body.tap is not None:
            raise Malformed("tap", "must not stand beside a plate")
        till = await self.acceptance.tills.of_token(caller.token)
        parked = await self.stays.enter(
            till,
            id=parse_uuid(body.id, "id"),
            car_park=parse_uuid(body.car_park, "car_park"),
            entered_at=parse_moment(body.entered_at, "entered_at"),
            plate=body.plate,
            tap=None if body.tap is None else (body.tap.e, body.tap.c),
            hold=body.hold,
        )
        return await self._view(parked)

    async def list_stays(self, caller: Principal, query: InsideQuery) -> StaysView:
        """Who is inside."""
        till = await self.acceptance.tills.of_token(caller.token)
        after = parse_cursor(query.cursor)
        found = await self.stays.inside(till.account, parse_uuid(query.car_park, "car_park"), after=after)
        lines = [StayLine(uuid_text(stay.id), stay.plate, moment_text(stay.entered_at)) for stay in found]
        return StaysView(lines, cursor_text(found[-1].id) if len(found) == PAGE_SIZE_MAX else None)

    async def find(self, caller: Principal, body: FindBody) -> StayView:
        """Who is inside with a plate, or with the card that is tapped now."""
        if (body.plate is None) == (body.tap is None):
            raise Malformed("plate", "must be given, or a tap; not both")
        till = await self.acceptance.tills.of_token(caller.token)
        if body.tap is not None:
            stay = await self.stays.of_tap(till.account, body.tap.e, body.tap.c)
        else:
            stay = await self.stays.of_plate(till.account, body.plate or "")
        return await self._view(await self.stays.look(stay))

    async def stay(self, caller: Principal, id: int) -> StayView:
        """A stay, what it costs until now, and what is due."""
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.stays.look(await self.stays.find(id, till.account)))

    async def charge(self, caller: Principal, id: int) -> StayView:
        """Ask for what is due, such as at a pay station: `asked` can be paid by anybody. A repeat asks for nothing more."""
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.stays.charge(await self.stays.find(id, till.account), till))

    async def extend(self, caller: Principal, id: int) -> StayView:
        """Ask for more to be set aside: `wanted` can be agreed to by anybody. While nobody has, a repeat answers the same sale."""
        till = await self.acceptance.tills.of_token(caller.token)
        return await self._view(await self.stays.extend(await self.stays.find(id, till.account), till))

    async def leave(self, caller: Principal, id: int, body: LeaveBody) -> StayView:
        """A car is at the way out: open the barrier where `may_leave` is true, else `asked` has to be paid. A repeat answers the same."""
        till = await self.acceptance.tills.of_token(caller.token)
        stay = await self.stays.find(id, till.account)
        return await self._view(await self.stays.leave(stay, till, passage=parse_uuid(body.passage, "passage"), at=_moment(body.at)))

    # Parts

    async def _view(self, parked: Parked) -> StayView:
        hold = None if parked.entry is None else await self.desk.view(*parked.entry)
        asked = None if parked.asked is None else await self.desk.view(*parked.asked[1:])
        wanted = next((each for each in parked.holds if each[0] == parked.wanted), None)
        return stay_view(parked, hold=hold, asked=asked, wanted=None if wanted is None else await self.desk.view(*wanted))


def _moment(text: str | None) -> int | None:
    return None if text is None else parse_moment(text, "at")
