"""A stay in a car park on a phone's screens: what it costs, until when that is covered, and setting more aside for it.

A stay is in the list of requests of whoever set money aside for it, or paid: there waits what somebody can agree to. More is set
aside as any payment is: shown as an order, agreed to by PIN.
"""

from __future__ import annotations

from counterfoil.acceptance.parking.values import Parked
from counterfoil.channels.consent import Problem
from counterfoil.channels.ussd import screens
from counterfoil.channels.ussd.filling import Filled, Filling, Next
from counterfoil.channels.ussd.fitting import cut
from counterfoil.channels.ussd.sessions import Due
from counterfoil.errors import NotFound, PinNotAllowed, Refused
from counterfoil.ids import id_text, parse_id
from counterfoil.payments.orders import encode

STAYS_SHOWN_MAX = 3


class ParkingFlows(Filling):
    """What the screen of a stay is filled with, and what is done on it."""

    async def _stay_lines(self) -> list[str]:
        """The caller's stays, for the top of their requests."""
        found = await self.house.stays.of_payer(self.consent.account, limit=STAYS_SHOWN_MAX)
        self.state.parked = [id_text(stay.id) for stay in found]
        return [self.say(screens.PARKING, name=cut(stay.plate or await self.house.stays.name(stay))) for stay in found]

    def choose_stay(self, number: int) -> Next:
        """`number` from 0: one of the caller's stays."""
        self.state.stay = self.state.parked[number]
        return Next("parking")

    async def _fill_parking(self) -> Filled | Next:
        parked = await self._parked()
        if parked is None:
            return Next("requests", self.say(screens.CAR_GONE))
        money, until = self.consent.money, parked.covered_until
        values = {"name": cut(await self.house.stays.name(parked.stay)), "fee": money(parked.fee), "held": money(parked.held)}
        if until is None:
            return Next("parking_due", values=values | {"due": money(parked.due)})
        return Filled(values | {"time": self.consent.time(until)})

    async def _fill_parking_due(self) -> Filled | Next:
        parked = await self._parked()
        if parked is None:
            return Next("requests", self.say(screens.CAR_GONE))
        values = {"name": cut(await self.house.stays.name(parked.stay)), "due": self.consent.money(parked.due)}
        return Filled(values)

    async def do_park(self) -> Next:
        """(park): the terms of a further sale that sets money aside. However often it is asked for, it is one while nobody has agreed."""
        parked = await self._parked()
        if parked is None:
            return Next("requests", self.say(screens.CAR_GONE))
        if not await self.consent.may_pay():
            return Next("requests", self.say(PinNotAllowed.sentence()))
        house = self.house
        try:
            more = await house.stays.extend(parked.stay, await house.tills.find(parked.stay.till))
            assert more.wanted is not None, parked.stay.id
            request = await house.requests.find(more.wanted.id, self.consent.account)
            draft = await self.consent.draft_for(request, "")
        except Problem as problem:
            return Next("requests", problem.sentence)
        except Refused as refusal:
            return Next("requests", self.consent.sentence(refusal))
        self.state.begun = "requests"
        self.state.due = Due(encode(self.consent.order(draft)), draft.payee_name, is_cash=False)
        return Next("confirm_hold")

    async def _parked(self) -> Parked | None:
        """The stay that was chosen, while its car is inside."""
        stays = self.house.stays
        if not self.state.stay:
            return None
        try:
            stay = await stays.find(parse_id(self.state.stay))
        except NotFound:
            return None
        return None if stay.left_at is not None else await stays.look(stay)
