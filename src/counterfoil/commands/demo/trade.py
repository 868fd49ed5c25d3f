"""What the town does all day: buying, filling up, paying bills, sending money, asking for it, cash in and out, giving back.

Each step is drawn from the dice and carried out with real signed orders. What the scheme refuses (no money, above a limit)
stays refused, as in life; people then go to an agent, agents and employers to their bank, and merchants bring theirs back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from counterfoil.clock import Clock
from counterfoil.commands.demo.cast import Actor, Cast, id_of
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.town import Merchant, Trade
from counterfoil.commands.signing import Terms
from counterfoil.errors import Refused, Unavailable
from counterfoil.ids import new_id
from counterfoil.payments.forms import RequestToPay
from counterfoil.payments.orders import OrderKind
from counterfoil.web.services import Services

log = structlog.get_logger(__name__)

REMEMBERED_MAX = 100
"""Purchases that may still be brought back."""
POCKET_MIN = 3_000
"""Minor units below which people pay cash in before they buy anything else."""
FLOAT_MIN = 60_000
"""Minor units below which an agent, or an employer, asks the bank."""
TILL_MAX = 400_000
"""Minor units above which a merchant brings money to the bank."""
PUMP_SECONDS = 1_800
REQUEST_MS = 24 * 3600 * 1000
MEMOS = {
    "department store": ("shirt", "coat", "pan", "lamp", "shoes"),
    "car park": ("1 h", "2 h", "day"),
    "market stall": ("mangoes", "rice, 2 kg", "고등어", "tomates", "cumin"),
    "pharmacy": ("aspirin", "감기약", "sirop"),
    "bakery": ("bread", "croissants", "2 baguettes"),
    "transport": ("single", "return"),
    "school": ("term fees", "lunches"),
    "utility": ("water", "electricity"),
}
_GIFTS = ("", "", "lunch", "merci !", "고마워", "شكرا", "asante", "for the boat", "🎂")


class Trading:
    """Makes things happen, one `step` at a time. With `id_seed`, ids follow from it; otherwise from clock and chance."""

    def __init__(self, services: Services, cast: Cast, terms: Terms, dice: Dice, clock: Clock, *, id_seed: str = "") -> None:
        self.services = services
        self.cast = cast
        self.terms = terms
        self.dice = dice
        self.clock = clock
        self.refused = 0
        self.steps = 0
        self._id_seed = id_seed
        self._ids = 0
        self._bought: deque[tuple[int, Actor, Actor, int]] = deque(maxlen=REMEMBERED_MAX)
        self._shops = [(actor, actor.who.weight) for actor in cast.merchants if isinstance(actor.who, Merchant)]
        self._doings: list[tuple[Callable[[Actor], Awaitable[None]], int]] = [
            (self._buy, 70),
            (self._send, 14),
            (self._ask, 6),
            (self._cash_out, 4),
            (self._bring_back, 3),
            (self._clear_tills, 3),
        ]

    async def run(self, pace: float) -> None:
        """About `pace` steps a second, for ever; nothing at a pace of 0."""
        assert pace >= 0, pace
        if not pace:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(self.dice.between(500, 1_500) / 1_000 / pace)
            await self.step()

    async def step(self) -> None:
        """One thing happens, or is refused."""
        self.steps += 1
        person, doing = self.dice.pick(self.cast.people), self.dice.weighted(self._doings)
        try:
            if self._available(person) < POCKET_MIN:
                await self._cash_in(person)
            else:
                await doing(person)
        except Refused as refusal:
            self.refused += 1
            log.debug("town_refused", code=refusal.code)
        except Unavailable as error:
            log.info("town_waits", detail=error.detail)

    # People

    async def _buy(self, person: Actor) -> None:
        shop = self.dice.weighted(self._shops)
        assert isinstance(shop.who, Merchant)
        low, high = shop.who.price_min, shop.who.price_max
        price = low + self.dice.below(self.dice.between(1, high - low + 1))  # small baskets are the usual ones
        price = min(price, self._available(person))
        memo = self.dice.pick(MEMOS.get(shop.who.kind, ("",)))
        if shop.who.trade is Trade.PUMP:
            await self._fill_up(person, shop, price)
        elif shop.who.trade is Trade.BILL:
            await self._answer(person, await self._request(shop, person, price, memo), shop, price)
        else:
            payment = await self._pay(person, shop, price, memo)
            self._bought.append((payment, person, shop, price))

    async def _fill_up(self, person: Actor, pump: Actor, price: int) -> None:
        """Sets aside more than is needed, then the pump takes what was filled; sometimes nobody fills up after all."""
        held = min(self._available(person), price + price // 2)
        hold = await self._order(person, OrderKind.HOLD, pump, held, timeout_s=PUMP_SECONDS, memo=f"pump {self.dice.between(1, 6)}")
        if self.dice.chance(90):
            await self._order(pump, OrderKind.CAPTURE, person, min(price, held), reference=hold)
        else:
            await self._order(pump, OrderKind.RELEASE, person, held, reference=hold)

    async def _send(self, person: Actor) -> None:
        other = self._somebody_else(person)
        await self._pay(person, other, min(self.dice.between(2, 60) * 50, self._available(person)), self.dice.pick(_GIFTS))

    async def _ask(self, person: Actor) -> None:
        """Asks somebody for money: most pay, some decline, some leave it open."""
        other, amount = self._somebody_else(person), self.dice.between(2, 40) * 50
        request = await self._request(person, other, amount, self.dice.pick(_GIFTS))
        if self.dice.chance(70) and self._available(other) > amount:
            await self._answer(other, request, person, amount)
        elif self.dice.chance(50):
            await self.services.requests.decline(request, other.account)

    async def _cash_in(self, person: Actor) -> None:
        agent, amount = self.dice.pick(self.cast.agents), self.dice.between(4, 30) * 1_000
        if self._available(agent) < max(FLOAT_MIN, amount):
            await self._pay(self.dice.pick(self.cast.banks), agent, 5 * FLOAT_MIN, "float")
        request = await self._request(person, agent, amount, "", purpose=1)
        await self._pay(agent, person, amount, "", reference=request)

    async def _cash_out(self, person: Actor) -> None:
        """The customer sets the amount aside, the agent takes it when handing over the cash."""
        agent, amount = self.dice.pick(self.cast.agents), min(self.dice.between(1, 8) * 1_000, self._available(person) * 9 // 10)
        hold = await self._order(person, OrderKind.HOLD, agent, amount, timeout_s=PUMP_SECONDS)
        await self._order(agent, OrderKind.CAPTURE, person, amount, reference=hold)

    async def _bring_back(self, person: Actor) -> None:
        """Something bought before comes back, whole or in part."""
        if self._bought:
            payment, buyer, shop, price = self._bought.popleft()
            amount = price if self.dice.chance(60) else max(price // 2, 1)
            await self._order(shop, OrderKind.REFUND, buyer, amount, reference=payment, memo="returned")

    async def _clear_tills(self, person: Actor) -> None:
        """A merchant brings money to the bank; an employer that is short gets some."""
        shop, bank = self.dice.pick(self.cast.merchants), self.dice.pick(self.cast.banks)
        if (till := self._available(shop)) > TILL_MAX:
            await self._pay(shop, bank, till - TILL_MAX // 4, "takings")

    # The forms that all of it takes

    async def _pay(self, payer: Actor, payee: Actor, amount: int, memo: str, *, reference: int = 0) -> int:
        return await self._order(payer, OrderKind.PAY, payee, amount, memo=memo, reference=reference)

    async def _order(
        self, signer: Actor, kind: OrderKind, other: Actor, amount: int, *, reference: int = 0, timeout_s: int = 0, memo: str = ""
    ) -> int:
        """Signs under the fee that is quoted, and sends. Returns the payment's id."""
        taking = kind in (OrderKind.CAPTURE, OrderKind.RELEASE)
        payer, payee = (other, signer) if taking else (signer, other)
        quote = await self.services.payments.quote(payer=payer.account, payee=payee.account, amount=amount, kind=kind, reference=reference)
        order_id = self._new_id()
        await self.services.payments.pay(
            signer.signs.order(
                kind,
                other.account,
                amount,
                id=order_id,
                now_ns=self.clock.now_ns(),
                max_fee=quote.fee,
                reference=reference,
                timeout_s=timeout_s,
                memo=memo,
            )
        )
        return order_id

    async def _request(self, payee: Actor, payer: Actor, amount: int, memo: str, *, purpose: int = 0) -> int:
        form = RequestToPay(
            origin=self.terms.origin,
            asset=self.terms.asset,
            payee=payee.account,
            payer=payer.account,
            amount=amount,
            id=self._new_id(),
            expiry_ms=self.clock.now_ns() // 1_000_000 + REQUEST_MS,
            purpose=purpose,
            memo=memo,
        )
        await self.services.requests.create(payee.signs.form(form))
        return form.id

    async def _answer(self, payer: Actor, request: int, payee: Actor, amount: int) -> None:
        await self._pay(payer, payee, amount, "", reference=request)

    def _available(self, actor: Actor) -> int:
        """Minor units that `actor` can spend now, with room for a fee."""
        account = self.services.ledger.account_now(actor.account)
        assert account is not None, actor.label
        balance = account.credits_posted - account.debits_posted - account.debits_pending
        return max(balance - balance // 50 - 50, 1)

    def _somebody_else(self, person: Actor) -> Actor:
        other = self.dice.pick(self.cast.people)
        return other if other is not person else self.cast.people[0 if person is not self.cast.people[0] else 1]

    def _new_id(self) -> int:
        if not self._id_seed:
            return new_id(self.clock)
        self._ids += 1
        return id_of(self._id_seed, f"day/{self._ids}")
