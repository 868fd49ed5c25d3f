"""Whose a card is: added by a tap, locked, opened again, taken away for good; and how far its counter has come.

    a tap (e, c) ── add ──> active ── lock ──> locked ── unlock ──> active
                              └──────────── end ───────────> ended, for good

A card says who it is in a message that changes with every reading. It is taken once: the counter in it has to be above
every one before, and is kept in the transaction that takes it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.acceptance.cards.ntag424 import CardError, Tap
from counterfoil.acceptance.cards.presence import next_command
from counterfoil.acceptance.cards.tables import cards
from counterfoil.clock import Clock
from counterfoil.errors import AlreadyTaken, CardNotHere, CardUnknown, NotFound, NotInThisState, TapUsed, TooManyCards
from counterfoil.ids import new_id
from counterfoil.parties.journal import record, tell_everywhere
from counterfoil.parties.pins import Pins
from counterfoil.parties.staff import require
from counterfoil.parties.types import Holder, Permission
from counterfoil.store.database import Store

CARDS_MAX: Final = 5
"""Cards of one account that have not ended. `TooManyCards` says it in words."""


class CardState(enum.StrEnum):
    ACTIVE = "active"
    LOCKED = "locked"
    ENDED = "ended"


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A card that somebody has. `label`: the end of its UID, as holders see it; `counter`: of its newest tap; moments in ns."""

    id: int
    uid: bytes
    account: int
    party: int
    state: CardState
    counter: int
    added_at: int
    used_at: int

    @property
    def label(self) -> str:
        return self.uid[-2:].hex().upper()


class Cards:
    """Who has which card. The callers have checked who asks; `secret` finds that of the scheme's cards, None while none was made."""

    def __init__(self, *, store: Store, pins: Pins, clock: Clock, secret: Callable[[], bytes | None]) -> None:
        self.store = store
        self.pins = pins
        self.clock = clock
        self._secret = secret
        self._keys: BatchKeys | None = None

    def read(self, e: str, c: str) -> Tap:
        """The tap behind the two values of a card's message. CardUnknown for what no card of this scheme has said."""
        keys = self._found_keys()
        tap = keys.read(e, c) if keys is not None else None
        if tap is None:
            raise CardUnknown
        return tap

    def next_command(self, card: Card, challenge: bytes, answers: Sequence[bytes]) -> bytes | None:
        """As `presence.next_command`. CardNotHere for what this card does not answer."""
        keys = self._found_keys()
        assert keys is not None, "it has been tapped"
        try:
            return next_command(keys, card.uid, random=challenge, answers=answers)
        except CardError as error:
            raise CardNotHere(str(error)) from None

    async def add(self, holder: Holder, e: str, c: str, *, by: int) -> Card:
        """The tapped card pays from the holder's account from now on; the holder is told everywhere. `by`: a device, or staff.

        A repeat changes nothing. Refusals: CardUnknown, AlreadyTaken (by anybody, or ended), TapUsed, TooManyCards.
        """
        tap = self.read(e, c)

        def write(connection: Connection) -> Card:
            row = _find(connection, cards.c.uid == tap.uid)
            if row is not None:
                known = _card(row)
                if known.account != holder.account or known.state is CardState.ENDED:
                    raise AlreadyTaken("This card belongs to somebody, or was taken away for good.")
                return known
            standing = select(func.count()).where(cards.c.account == holder.account, cards.c.state != CardState.ENDED)
            if connection.execute(standing).scalar_one() >= CARDS_MAX:
                raise TooManyCards
            now = self.clock.now_ns()
            card = Card(
                id=new_id(self.clock), uid=tap.uid, account=holder.account, party=holder.party, state=CardState.ACTIVE,
                counter=tap.counter, added_at=now, used_at=now,
            )  # fmt: skip
            connection.execute(insert(cards), msgspec.structs.asdict(card))
            record(connection, self.clock, holder.party, "card_added", by=by, card=card.label)
            tell_everywhere(connection, self.clock, holder.party, "card_added", card=card.label)
            return card

        return await self.store.write(write)

    async def add_at_counter(self, holder: Holder, pin: str, e: str, c: str, *, by: int) -> Card:
        """As `add`, at the counter of a member of staff (permission open_party): the holder types the PIN. WrongPin, PinLocked besides."""
        await self.store.read(lambda connection: require(connection, by, Permission.OPEN_PARTY))
        await self.pins.check(holder.party, pin)
        return await self.add(holder, e, c, by=by)

    async def of(self, account: int) -> list[Card]:
        """The cards of an account that have not ended, oldest first."""
        query = select(cards).where(cards.c.account == account, cards.c.state != CardState.ENDED).order_by(cards.c.added_at, cards.c.id)
        return await self.store.read(lambda connection: [_card(row) for row in connection.execute(query)])

    async def get(self, id: int) -> Card:
        """A card, ended or not. NotFound."""
        return await self.store.read(lambda connection: _get(connection, cards.c.id == id))

    async def lock(self, id: int, account: int, *, by: int) -> Card:
        """Nothing can be paid with it until it is unlocked. A repeat changes nothing. NotFound; NotInThisState when it has ended."""
        return await self._change(id, account, CardState.LOCKED, "card_locked", by)

    async def lock_all(self, holder: Holder, *, by: int) -> int:
        """Locks every card of the holder's account, such as for somebody who calls; returns how many were open. A repeat changes nothing."""
        open_cards = [card for card in await self.of(holder.account) if card.state is CardState.ACTIVE]
        for card in open_cards:
            await self.lock(card.id, holder.account, by=by)
        return len(open_cards)

    async def unlock(self, id: int, account: int, *, by: int) -> Card:
        """It pays again. As `lock`."""
        return await self._change(id, account, CardState.ACTIVE, "card_unlocked", by)

    async def end(self, id: int, account: int, *, by: int) -> Card:
        """It never pays again, and nobody can add it. A repeat changes nothing. NotFound."""
        return await self._change(id, account, CardState.ENDED, "card_ended", by)

    def _found_keys(self) -> BatchKeys | None:
        if self._keys is None and (secret := self._secret()) is not None:
            self._keys = BatchKeys(secret)
        return self._keys

    async def _change(self, id: int, account: int, state: CardState, kind: str, by: int) -> Card:
        def write(connection: Connection) -> Card:
            card = _get(connection, cards.c.id == id, cards.c.account == account)
            if card.state is state:
                return card
            if card.state is CardState.ENDED:
                raise NotInThisState("This card was taken away for good.")
            connection.execute(update(cards).where(cards.c.id == id).values(state=state))
            record(connection, self.clock, card.party, kind, by=by, card=card.label)
            return msgspec.structs.replace(card, state=state)

        return await self.store.write(write)


def card_of(connection: Connection, tap: Tap) -> Card:
    """Whose card was tapped, in the caller's transaction. CardUnknown where nobody has it, or has it any more."""
    row = _find(connection, cards.c.uid == tap.uid)
    if row is None or row.state == CardState.ENDED:
        raise CardUnknown
    return _card(row)


def take(connection: Connection, card: Card, tap: Tap, now: int) -> None:
    """Rolls the counter on to this tap's, in the transaction that does something with it. TapUsed for one that is not newer."""
    newer = update(cards).where(cards.c.id == card.id, cards.c.counter < tap.counter)
    if connection.execute(newer.values(counter=tap.counter, used_at=now)).rowcount != 1:
        raise TapUsed


def _find(connection: Connection, *conditions: ColumnElement[bool]) -> Row[Any] | None:
    return connection.execute(select(cards).where(*conditions)).first()


def _get(connection: Connection, *conditions: ColumnElement[bool]) -> Card:
    row = _find(connection, *conditions)
    if row is None:
        raise NotFound("there is no card with this id")
    return _card(row)


def _card(row: Row[Any]) -> Card:
    return Card(
        id=row.id, uid=row.uid, account=row.account, party=row.party, state=CardState(row.state), counter=row.counter,
        added_at=row.added_at, used_at=row.used_at,
    )  # fmt: skip
