"""Cards: what their holders do with them, and what a member of staff does for somebody who stands at the counter or calls."""

from __future__ import annotations

from counterfoil.acceptance.cards.registry import Cards
from counterfoil.errors import AlreadyTaken, CardUnknown, NotFound, NotInThisState, PinLocked, TapUsed, TooManyCards, WrongPin
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Permission
from counterfoil.web.access import HOLDER, Principal, staff
from counterfoil.web.card_views import CardsView, CardView, CounterCardBody, LockedView, TapBody, card_view
from counterfoil.web.endpoint import Endpoint


class CardEndpoints:
    """Everything under /v1/cards, and the staff's."""

    def __init__(self, *, cards: Cards, parties: Parties) -> None:
        self.cards = cards
        self.parties = parties

    def endpoints(self) -> list[Endpoint]:
        adding, tag, desk = (CardUnknown, AlreadyTaken, TapUsed, TooManyCards), "cards", staff(Permission.OPEN_PARTY)
        changing = (NotFound, NotInThisState)
        at_counter = (*adding, WrongPin, PinLocked)
        return [
            Endpoint("GET", "/v1/cards", self.list, access=HOLDER, tag=tag),
            Endpoint("POST", "/v1/cards", self.add, access=HOLDER, errors=adding, status=201, tag=tag),
            Endpoint("POST", "/v1/cards/{id}/lock", self.lock, access=HOLDER, errors=changing, tag=tag),
            Endpoint("POST", "/v1/cards/{id}/unlock", self.unlock, access=HOLDER, errors=changing, tag=tag),
            Endpoint("DELETE", "/v1/cards/{id}", self.end, access=HOLDER, errors=(NotFound,), status=204, tag=tag),
            Endpoint("POST", "/v1/staff/parties/{id}/cards", self.add_at_counter, access=desk, errors=at_counter, status=201, tag="staff"),
            Endpoint("POST", "/v1/staff/parties/{id}/cards/lock", self.lock_by_staff, access=desk, tag="staff"),
        ]

    async def list(self, caller: Principal) -> CardsView:
        """The cards that pay from the caller's account."""
        return CardsView([card_view(card) for card in await self.cards.of(caller.account)])

    async def add(self, caller: Principal, body: TapBody) -> CardView:
        """Let a card pay from one's account. Its holder is told by SMS and on every device. A repeat changes nothing."""
        holder = await self.parties.holder(caller.account)
        return card_view(await self.cards.add(holder, body.e, body.c, by=caller.device))

    async def lock(self, caller: Principal, id: int) -> CardView:
        """Let a card pay nothing, at once, until it is unlocked. A repeat changes nothing."""
        return card_view(await self.cards.lock(id, caller.account, by=caller.device))

    async def unlock(self, caller: Principal, id: int) -> CardView:
        """Let a card pay again. A repeat changes nothing."""
        return card_view(await self.cards.unlock(id, caller.account, by=caller.device))

    async def end(self, caller: Principal, id: int) -> None:
        """Take a card away, for good: nobody can add it again. A repeat changes nothing."""
        await self.cards.end(id, caller.account, by=caller.device)

    async def add_at_counter(self, caller: Principal, id: int, body: CounterCardBody) -> CardView:
        """Let a card pay from the account of a person who stands at the counter and types the PIN."""
        holder = await self.parties.directory.holder_of_party(id)
        return card_view(await self.cards.add_at_counter(holder, body.pin, body.e, body.c, by=caller.party))

    async def lock_by_staff(self, caller: Principal, id: int) -> LockedView:
        """Lock every card of a person who has lost one. Only the person unlocks them. A repeat changes nothing."""
        return LockedView(await self.cards.lock_all(await self.parties.directory.holder_of_party(id), by=caller.party))
