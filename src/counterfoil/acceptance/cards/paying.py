"""A sale is paid by a card: the tap says from which account, the payer reads the fee and agrees with the PIN.

    tap (e, c) ── `ask` ──> the tap is this sale's, once; what it will cost ── PIN ── `pay` ──> one payment, whose id is the tap's
                              └── `prove`: answers the challenge, on a reader ──┘

A tap proves that the card was read, not when, and not for how much: so nothing moves without the PIN, the limits for PINs
hold, and above `unproved_max` the card itself has to answer a challenge that was made for this tap. A tap belongs to one sale.
The same tap, its answers and the PIN for it may come as often as the network wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from counterfoil.acceptance.cards.ntag424 import Tap
from counterfoil.acceptance.cards.registry import Card, Cards, CardState, card_of, take
from counterfoil.acceptance.cards.tables import card_taps
from counterfoil.acceptance.sales import Sales
from counterfoil.acceptance.types import Sale, SaleState, Standing
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import CardLocked, CardNotHere, NotFound, NotInThisState, OrderExpired, TapUsed
from counterfoil.ids import new_id
from counterfoil.payments.orders import Order, OrderKind
from counterfoil.payments.service import Payments
from counterfoil.payments.types import Quote

TAP_LIFETIME_S: Final = 300
"""Seconds in which the PIN has to follow the tap."""
HOLD_S: Final = 24 * 3_600
"""How long money that a card sets aside waits for the merchant."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A tap for a sale, until the payer agrees. `fee`: minor units that the payer pays on top; moments in ns.

    Attributes:
        challenge: what the card has to answer to prove that it is here; `proved_at`: when it had.
    """

    id: int
    card: Card
    counter: int
    sale: int
    fee: int
    rules_hash: bytes
    expires_at: int
    challenge: bytes
    proved_at: int | None = None


class CardPayments:
    """Pays sales by card. Whether a clerk may sell is the caller's to check."""

    def __init__(self, *, cards: Cards, sales: Sales, payments: Payments, clock: Clock, unproved_max: int) -> None:
        """`unproved_max`: minor units above which a card has to prove that it is here."""
        self.unproved_max = unproved_max
        self.cards = cards
        self.sales = sales
        self.payments = payments
        self.clock = clock

    async def ask(self, sale: Sale, e: str, c: str) -> Asked:
        """Takes a tap for a sale: what it will cost the payer. Nothing moves yet. A repeat answers the same.

        Refusals: CardUnknown, CardLocked, NotInThisState (nobody can pay the sale any more), TapUsed (for another sale, or
        older than one that was taken), and those of `Payments.quote`.
        """
        tap = self.cards.read(e, c)
        standing = await self.sales.standing(sale)
        card = await self.cards.store.read(lambda connection: card_of(connection, tap))
        known = await self._known(card, tap.counter)
        if known is None or known.sale != sale.id:
            _check(card)
            if standing.state is not SaleState.OPEN:
                raise NotInThisState
            known = await self._take(sale, card, tap)
        return known

    def needs_proof(self, sale: Sale, asked: Asked) -> bool:
        """Whether the card has to prove that it is here, and has not so far."""
        return sale.amount > self.unproved_max and asked.proved_at is None

    async def prove(self, sale: Sale, id: int, answers: Sequence[bytes]) -> bytes | None:
        """The next command for the card, which has answered the ones before with `answers`; None once it has proved to be here.

        A repeat answers the same. Refusals: NotFound, OrderExpired, CardNotHere.
        """
        asked = await self._of_sale(sale, id)
        now = self.clock.now_ns()
        if now >= asked.expires_at:
            raise OrderExpired
        command = self.cards.next_command(asked.card, asked.challenge, answers)
        if command is None and asked.proved_at is None:
            proved = update(card_taps).where(card_taps.c.id == id).values(proved_at=now)
            await self.cards.store.write(lambda connection: connection.execute(proved))
        return command

    async def pay(self, sale: Sale, id: int, pin: str) -> Standing:
        """Pays the sale on the word of the PIN, from the account of the card whose tap is `id`. A repeat pays nothing more.

        Refusals: NotFound, CardLocked, CardNotHere, OrderExpired (tap it again), and those of `Payments.pay_by_pin`.
        """
        asked = await self._of_sale(sale, id)
        standing = await self.sales.standing(sale)
        if standing.payment is not None and standing.payment.id == id:
            return standing
        _check(asked.card)
        if self.needs_proof(sale, asked):
            raise CardNotHere(above=self.unproved_max)
        await self.payments.pay_by_pin(self._order(sale, asked), pin)
        return await self.sales.standing(sale)

    # Parts

    async def _take(self, sale: Sale, card: Card, tap: Tap) -> Asked:
        quote, now = await self._quote(sale, card), self.clock.now_ns()
        asked = Asked(
            id=new_id(self.clock), card=card, counter=tap.counter, sale=sale.id, fee=quote.total - quote.amount,
            rules_hash=quote.rules_hash, expires_at=now + TAP_LIFETIME_S * NANOSECONDS, challenge=self.clock.random_bytes(16),
        )  # fmt: skip

        def write(connection: Connection) -> Asked:
            current = card_of(connection, tap)
            known = _of_tap(connection, current, tap.counter)
            if known is not None:
                if known.sale != sale.id:
                    raise TapUsed
                return known
            take(connection, current, tap, now)
            connection.execute(insert(card_taps), msgspec.structs.asdict(asked) | {"card": card.id})
            return asked

        return await self.cards.store.write(write)

    async def _quote(self, sale: Sale, card: Card) -> Quote:
        return await self.payments.quote(payer=card.account, payee=sale.account, amount=sale.amount, kind=_kind(sale), reference=sale.id)

    def _order(self, sale: Sale, asked: Asked) -> Order:
        """Always the same bytes for a tap."""
        rules = self.payments.rules
        return Order(
            origin=rules.origin, asset=rules.currency.code, payer=asked.card.account, payee=sale.account, amount=sale.amount,
            max_fee=asked.fee, id=asked.id, expiry_ms=asked.expires_at // 1_000_000, rules_hash=asked.rules_hash, kind=_kind(sale),
            reference=sale.id, timeout_s=HOLD_S if sale.hold else 0,
        )  # fmt: skip

    async def _known(self, card: Card, counter: int) -> Asked | None:
        return await self.cards.store.read(lambda connection: _of_tap(connection, card, counter))

    async def _of_sale(self, sale: Sale, id: int) -> Asked:
        chosen = select(card_taps).where(card_taps.c.id == id, card_taps.c.sale == sale.id)
        row = await self.cards.store.read(lambda connection: connection.execute(chosen).first())
        if row is None:
            raise NotFound("there is no tap with this id for this sale")
        return _asked(row, await self.cards.get(row.card))


def _check(card: Card) -> None:
    if card.state is not CardState.ACTIVE:
        raise CardLocked


def _kind(sale: Sale) -> OrderKind:
    return OrderKind.HOLD if sale.hold else OrderKind.PAY


def _of_tap(connection: Connection, card: Card, counter: int) -> Asked | None:
    row = connection.execute(select(card_taps).where(card_taps.c.card == card.id, card_taps.c.counter == counter)).first()
    return None if row is None else _asked(row, card)


def _asked(row: Row[Any], card: Card) -> Asked:
    return Asked(
        id=row.id,
        card=card,
        counter=row.counter,
        sale=row.sale,
        fee=row.fee,
        rules_hash=row.rules_hash,
        expires_at=row.expires_at,
        challenge=row.challenge,
        proved_at=row.proved_at,
    )
