"""Cards on a phone's screens: which the holder has, and locking one that was lost. All of it comes after the PIN, once in each session."""

from __future__ import annotations

from counterfoil.acceptance.cards.registry import Card, CardState
from counterfoil.channels.ussd import screens
from counterfoil.channels.ussd.filling import Filled, Filling, Next
from counterfoil.errors import NotFound, NotInThisState
from counterfoil.ids import id_text, parse_id


class CardFlows(Filling):
    """What the screens below "My cards" are filled with, and what is done on them. Whatever comes twice is done once."""

    async def _fill_cards(self) -> Filled | Next:
        found = await self.house.cards.of(self.consent.account)
        if not found:
            return Next("no_cards")
        self.state.listed = [id_text(card.id) for card in found][: screens.CHOICES_MAX]
        return Filled({}, tuple(self._card_line(card) for card in found))

    async def choose_card(self, number: int) -> Next:
        """`number` from 0: one of the holder's cards."""
        self.state.card = self.state.listed[number]
        return Next("card_open")

    async def _fill_one_card(self) -> Filled | Next:
        """The screen that belongs to the state in which the card is by now."""
        card = await self._card()
        if card is None:
            return Next("cards", self.say(screens.CARD_GONE))
        fitting = "card_open" if card.state is CardState.ACTIVE else "card_locked"
        return Filled({"card": card.label}) if self.aim == fitting else Next(fitting)

    _fill_card_open = _fill_card_locked = _fill_one_card

    async def do_card(self, action: str) -> Next:
        """(lock_card) or (unlock_card): the card that was chosen."""
        change = self.house.cards.lock if action == "(lock_card)" else self.house.cards.unlock
        assert self.holder is not None
        try:
            await change(parse_id(self.state.card), self.consent.account, by=self.holder.party)
        except (NotFound, NotInThisState):
            return Next("cards", self.say(screens.CARD_GONE))
        return Next("card_locked" if action == "(lock_card)" else "card_open")

    def _card_line(self, card: Card) -> str:
        return card.label if card.state is CardState.ACTIVE else self.say(screens.LOCKED, card=card.label)

    async def _card(self) -> Card | None:
        return next((card for card in await self.house.cards.of(self.consent.account) if id_text(card.id) == self.state.card), None)
