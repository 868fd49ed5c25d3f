"""Shops of the town with tills: goods, clerks, and sales that customers pay by the code, while the town trades.

Everything goes the way of a real till: a code that pairs, a clerk's PIN, a sale, the payer's signed order that names it.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from counterfoil.acceptance import emv
from counterfoil.acceptance.service import Acceptance
from counterfoil.acceptance.types import Clerk, Goods, Line, Right, Till
from counterfoil.clock import Clock
from counterfoil.commands.demo.cast import Actor, Cast, id_of
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.signing import Terms
from counterfoil.errors import Refused, Unavailable
from counterfoil.ids import id_text, new_id
from counterfoil.payments.orders import OrderKind
from counterfoil.web.services import Services

log = structlog.get_logger(__name__)

PIN = "2580"
PUMP_S = 1_800
SHARE = 4
"""One sale at a till for so many steps of the town."""
ALL = frozenset(Right)
SELLER = frozenset({Right.SELL, Right.CAPTURE})


class Shop(msgspec.Struct, frozen=True):
    """A shop's goods (name, minor units, unit) and clerks (name, rights). `pump`: it sets money aside first."""

    handle: str
    till: str
    goods: tuple[tuple[str, int, str], ...]
    clerks: tuple[tuple[str, frozenset[Right]], ...]
    pump: bool = False


SHOPS = (
    Shop(
        "marchand",
        "Rez-de-chaussée",
        (("Chemise", 2_450, ""), ("Manteau", 8_900, ""), ("Lampe", 3_200, ""), ("Poêle", 1_890, ""), ("Écharpe", 1_250, "")),
        (("Solange", ALL), ("Didier", SELLER)),
    ),
    Shop(
        "lighthouse_fuel",
        "Pump 1",
        (("Petrol", 135, "l"), ("Diesel", 128, "l"), ("Oil", 950, ""), ("Car wash", 600, "")),
        (("Kamau", ALL), ("Joyce", SELLER)),
        pump=True,
    ),
    Shop(
        "neema_fruit",
        "Stall",
        (("Mangoes", 120, "kg"), ("Pineapple", 150, ""), ("Bananas", 80, "kg"), ("Passion fruit", 200, "kg"), ("Coconut", 90, "")),
        (("Neema", ALL), ("Salim", frozenset({Right.SELL}))),
    ),
    Shop(
        "fontaine_pain",
        "Comptoir",
        (("Baguette", 110, ""), ("Croissant", 120, ""), ("Pain de campagne", 340, ""), ("Tarte aux pommes", 280, ""), ("Café", 150, "")),
        (("Margaux", ALL), ("Émile", SELLER)),
    ),
)


class Shops:
    """Sets the shops up, once, and sells. `pairing` gives a link for a till in a browser."""

    def __init__(self, services: Services, cast: Cast, terms: Terms, seed: str, dice: Dice, clock: Clock) -> None:
        self.services = services
        self.acceptance: Acceptance = services.acceptance
        self.cast = cast
        self.terms = terms
        self.seed = seed
        self.dice = dice
        self.clock = clock
        self._open: dict[str, tuple[Till, list[Clerk]]] = {}

    async def settle(self) -> None:
        """Adds what is not there yet: a town that was made before goes on with what it has."""
        for shop in SHOPS:
            owner = self.cast.find(shop.handle)
            clerks = [await self._clerk(owner, shop, name, rights) for name, rights in shop.clerks]
            if not await self.acceptance.catalogue.list(owner.account):
                for place, (name, price, unit) in enumerate(shop.goods):
                    wanted = Goods(id=self._id(shop, name), name=name, price=price, unit=unit, shown=True, position=place)
                    await self.acceptance.catalogue.put(owner.account, wanted)
            self._open[shop.handle] = await self._till(owner, shop), clerks

    async def pairing(self, handle: str, server: str) -> str:
        """A link that makes the browser which opens it a further till of the shop: the town's own one goes on."""
        owner = self.cast.find(handle)
        holder = await self.services.parties.holder(owner.account)
        id_ = id_of(self.seed, f"till/{handle}/visitor")
        _, code = await self.acceptance.tills.add(holder, id=id_, name="Visitor", device=owner.device)
        host = server.replace("//127.0.0.1:", "//localhost:")  # as for wallets: one origin, whichever way people open it
        return f"{host}/till/#/pair?code={code}"

    async def run(self, pace: float) -> None:
        """About one sale for `SHARE` steps of the town at `pace`; nothing at a pace of 0."""
        if not pace:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(self.dice.between(500, 1_500) * SHARE / 1_000 / pace)
            await self.sell()

    async def sell(self) -> None:
        """One sale: rung up, paid by the code, now and then brought back. What is refused stays refused."""
        shop, payer = self.dice.pick(SHOPS), self.dice.pick(self.cast.people)
        till, clerks = self._open[shop.handle]
        try:
            await self._sell(shop, till, self.dice.pick(clerks), payer)
        except Refused as refusal:
            log.debug("till_refused", code=refusal.code)
        except Unavailable as error:
            log.info("till_waits", detail=error.detail)

    async def _sell(self, shop: Shop, till: Till, clerk: Clerk, payer: Actor) -> None:
        lines = [self._line(shop) for _ in range(self.dice.between(1, 1 if shop.pump else 3))]
        amount, now = sum(line.price * line.quantity for line in lines), self.clock.now_ns()
        sale, _ = await self.acceptance.sales.make(
            till, clerk.id, id=new_id(self.clock), lines=lines, amount=amount, hold=shop.pump, made_at=now
        )
        holder = await self.services.parties.holder(till.account)
        code = emv.read(self.acceptance.codes.of_sale(sale, holder))
        assert isinstance(code, emv.Code)
        assert code.amount is not None
        asked = emv.minor(code.amount, self.acceptance.codes.currency.digits)
        kind = OrderKind.HOLD if code.hold else OrderKind.PAY
        payments = self.services.payments
        quote = await payments.quote(payer=payer.account, payee=code.account, amount=asked, kind=kind)
        await payments.pay(
            payer.signs.order(
                kind,
                code.account,
                asked,
                id=new_id(self.clock),
                now_ns=self.clock.now_ns(),
                max_fee=quote.fee,
                reference=code.request or 0,
                timeout_s=PUMP_S if code.hold else 0,
            )
        )
        if shop.pump:
            filled = max(asked * self.dice.between(40, 100) // 100, 1)
            await self.acceptance.sales.capture(sale, till, clerk, id=new_id(self.clock), amount=filled)
        elif self.dice.chance(4):
            await self.acceptance.sales.refund(sale, till, clerk, id=new_id(self.clock), amount=lines[0].price, memo="")

    def _line(self, shop: Shop) -> Line:
        name, price, unit = self.dice.pick(shop.goods)
        quantity = self.dice.between(10, 45) if unit == "l" else self.dice.between(1, 3)
        return Line(name, price, quantity, id_text(self._id(shop, name)))

    async def _clerk(self, owner: Actor, shop: Shop, name: str, rights: frozenset[Right]) -> Clerk:
        wanted = self._id(shop, f"clerk/{name}")
        for clerk in await self.acceptance.clerks.list(owner.account):
            if clerk.id == wanted:
                return clerk
        return await self.acceptance.clerks.add(
            id=wanted, account=owner.account, party=owner.party, name=name, pin=PIN, rights=rights, device=owner.device
        )

    async def _till(self, owner: Actor, shop: Shop) -> Till:
        wanted = self._id(shop, "till")
        for till in await self.acceptance.tills.list(owner.account):
            if till.id == wanted and till.token is not None:
                return till
        holder = await self.services.parties.holder(owner.account)
        _, code = await self.acceptance.tills.add(holder, id=wanted, name=shop.till, device=owner.device)
        till, _ = await self.acceptance.tills.pair(code, "town")
        return till

    def _id(self, shop: Shop, label: str) -> int:
        return id_of(self.seed, f"shop/{shop.handle}/{label}")
