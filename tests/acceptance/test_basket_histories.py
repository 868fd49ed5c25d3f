"""Random lives of baskets, on every store, against a clerk with a pencil: what was asked, paid and given back, and days that add up."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.acceptance.baskets.types import BasketState
from counterfoil.acceptance.sales import SALE_LIFETIME_S
from counterfoil.acceptance.types import Back, Line
from counterfoil.errors import Unavailable
from counterfoil.ids import new_id
from tests.acceptance.test_days import shop_of
from tests.scheme import DAY_S, Person, Scheme, opened

RATES = (0, 550, 1600)


class Pencil:
    """What a clerk has written down of one basket."""

    def __init__(self, basket: Any) -> None:
        self.basket = basket
        self.open: dict[int, tuple[int, int]] = {}  # part: amount, when it was asked for
        self.paid: dict[int, tuple[Person, int]] = {}
        self.order: list[int] = []
        self.back: Counter[int] = Counter()
        self.lines: Counter[int] = Counter()
        self.given_up = False

    @property
    def asked(self) -> int:
        return sum(amount for amount, _ in self.open.values())

    @property
    def sum_paid(self) -> int:
        return sum(amount for _, amount in self.paid.values())

    def give(self, amount: int) -> None:
        for part, (_, paid) in sorted(self.paid.items(), key=lambda each: self.order.index(each[0])):
            leg = min(amount, paid - self.back[part])
            self.back[part] += leg
            amount -= leg
        assert not amount


class Life:
    def __init__(self, scheme: Scheme, shop: Person, payers: list[Person], chance: random.Random, till: Any, clerk: Any) -> None:
        self.scheme = scheme
        self.shop = shop
        self.payers = payers
        self.chance = chance
        self.till = till
        self.clerk = clerk
        self.baskets = scheme.services.acceptance.baskets
        self.pencils: list[Pencil] = []

    def fresh(self) -> int:
        return new_id(self.scheme.clock)

    async def make(self) -> None:
        chance = self.chance
        lines = [
            Line("x", chance.randint(1, 400), chance.randint(1, 4), None, chance.choice(["", "A", "B"]), chance.choice(RATES))
            for _ in range(chance.randint(1, 4))
        ]
        total = sum(line.price * line.quantity for line in lines)
        parted = await self.baskets.make(self.till, self.clerk, id=self.fresh(), lines=lines, amount=total)
        self.pencils.append(Pencil(parted.basket))

    async def ask(self, pencil: Pencil) -> None:
        left = pencil.basket.amount - pencil.asked - pencil.sum_paid
        said = [self.chance.choice([0, 0, self.chance.randint(1, max(1, left * 2 // 3))]) for _ in range(self.chance.randint(1, 3))]
        parts = [(self.fresh(), each) for each in said]
        rest = left - sum(said)
        fits = not pencil.given_up and left > 0 and rest >= 0 and (not said.count(0) or rest >= said.count(0))
        try:
            parted = await self.baskets.ask(pencil.basket, self.till, self.clerk, parts=parts)
        except (errors.Malformed, errors.NotInThisState):
            assert not fits
        else:
            assert fits
            asked = {part.id: part.amount for part in parted.parts}
            now = self.scheme.clock.now_ns()
            pencil.order += [part for part, _ in parts]
            pencil.open |= {part: (asked[part], now) for part, _ in parts}
            assert pencil.asked + pencil.sum_paid <= pencil.basket.amount
            if said[-1] == 0:
                assert pencil.asked + pencil.sum_paid == pencil.basket.amount

    async def pay(self, pencil: Pencil) -> None:
        part, (amount, _) = self.chance.choice(list(pencil.open.items()))
        payer = self.chance.choice(self.payers)
        await payer.pay(self.shop, amount, reference=part)
        del pencil.open[part]
        pencil.paid[part] = (payer, amount)

    async def take_back(self, pencil: Pencil) -> None:
        part = self.chance.choice(list(pencil.open))
        sales = self.baskets.sales
        await sales.cancel(await sales.find(part, self.shop.account))
        del pencil.open[part]

    async def give_up(self, pencil: Pencil) -> None:
        try:
            await self.broken_off(lambda fresh: self.baskets.give_up(pencil.basket, self.till, self.clerk, id=fresh))
        except errors.NotInThisState:
            assert pencil.given_up or pencil.sum_paid == pencil.basket.amount
        else:
            assert not pencil.given_up
            pencil.given_up = True
            pencil.open.clear()
            pencil.give(pencil.sum_paid)

    async def refund(self, pencil: Pencil) -> None:
        left = pencil.sum_paid - sum(pencil.back.values())
        may = pencil.sum_paid == pencil.basket.amount and not pencil.given_up
        lines, amount = list[Back](), 0
        if self.chance.random() < 0.6:
            which = self.chance.randrange(len(pencil.basket.lines))
            lines = [Back(which, self.chance.randint(1, 2))]
            wanted = pencil.basket.lines[which].price * lines[0].quantity
            fits = may and pencil.lines[which] + lines[0].quantity <= pencil.basket.lines[which].quantity and wanted <= left
        else:
            amount = wanted = self.chance.randint(1, pencil.basket.amount)
            fits = may and wanted <= left
        try:
            await self.broken_off(
                lambda fresh: self.baskets.refund(pencil.basket, self.till, self.clerk, id=fresh, amount=amount, lines=lines)
            )
        except (errors.AboveOriginal, errors.NotInThisState):
            assert not fits
        else:
            assert fits
            pencil.give(wanted)
            for each in lines:
                pencil.lines[each.line] += each.quantity

    async def broken_off(self, deed: Any) -> None:
        """Does it; one time in three the server dies before, or after, one of its legs, and it is done again, or found done."""
        payments, id_ = self.scheme.services.payments, self.fresh()
        pay, dies_at = payments.pay_under_mandate, self.chance.choice([None, None, 0, 1, 2])
        is_after, legs = self.chance.random() < 0.5, 0

        async def dying(*arguments: Any) -> Any:
            nonlocal legs
            legs += 1
            if legs - 1 == dies_at:
                if is_after:
                    await pay(*arguments)
                raise Unavailable("the server died here")
            return await pay(*arguments)

        payments.pay_under_mandate = dying  # type: ignore[assignment,method-assign]
        try:
            await deed(id_)
        except Unavailable:
            payments.pay_under_mandate = pay  # type: ignore[method-assign]
            assert await self.baskets.resume() == 1
            await deed(id_)
        finally:
            payments.pay_under_mandate = pay  # type: ignore[method-assign]

    def pass_time(self, seconds: int) -> None:
        self.scheme.clock.offset_s += seconds
        over = self.scheme.clock.now_ns() - SALE_LIFETIME_S * 1_000_000_000
        for pencil in self.pencils:
            pencil.open = {part: each for part, each in pencil.open.items() if each[1] > over}

    async def check(self, pencil: Pencil) -> None:
        parted = await self.baskets.look(await self.baskets.find(pencil.basket.id, self.shop.account))
        assert (parted.paid, parted.refunded) == (pencil.sum_paid, sum(pencil.back.values()))
        assert {part.id: standing.refunded for part, standing in parted.paid_parts} == {part: pencil.back[part] for part in pencil.paid}
        assert sum(part.amount for part in parted.parts if part.ended is None) <= pencil.basket.amount
        assert parted.asked == pencil.asked
        whole = pencil.sum_paid == pencil.basket.amount
        if pencil.given_up:
            assert parted.state is (BasketState.REFUNDED if pencil.paid else BasketState.CANCELLED)
        elif not whole:
            assert parted.state is BasketState.OPEN
        else:
            assert {line: count for line, count in parted.returned.items() if count} == {k: v for k, v in pencil.lines.items() if v}


@pytest.mark.parametrize(("where", "seed"), [("sqlite", 0), ("sqlite", 1), ("postgres", 2)])
async def test_baskets_are_what_a_clerk_with_a_pencil_knows(tmp_path: Path, request: pytest.FixtureRequest, where: str, seed: int) -> None:
    settings: dict[str, Any] = {}
    if where == "postgres":
        url = request.getfixturevalue("postgres").new_database()
        settings = {"store": url, "ledger": url}
    chance = random.Random(seed)
    async with opened(tmp_path, **settings) as scheme:
        payers, shop = [await scheme.customer(funds=90_000) for _ in range(3)], await scheme.merchant(funds=90_000)
        till, clerk = await shop_of(scheme, shop)
        life, days, closed = Life(scheme, shop, payers, chance, till, clerk), scheme.services.acceptance.days, list[Any]()
        await days.close(till, clerk, id=new_id(scheme.clock))
        scheme.clock.offset_s += DAY_S
        first = date.fromisoformat(days.today())
        for step in range(81):
            if step % 27 == 26:
                await days.close(till, clerk, id=new_id(scheme.clock))
                life.pass_time(DAY_S)
                continue
            if not life.pencils or chance.random() < 0.08:
                await life.make()
            pencil = chance.choice(life.pencils[-3:])
            if chance.random() < 0.06:
                await life.give_up(pencil)
            elif pencil.open:
                await chance.choice([life.pay] * 12 + [life.take_back, life.ask, life.refund])(pencil)
            else:
                await chance.choice([life.ask, life.refund, life.refund])(pencil)
            if chance.random() < 0.03:
                life.pass_time(SALE_LIFETIME_S // 2)
            await life.check(pencil)
        for pencil in life.pencils:
            if not pencil.given_up and pencil.sum_paid < pencil.basket.amount:
                await life.give_up(pencil)
        await days.close(till, clerk, id=new_id(scheme.clock))
        while first <= date.fromisoformat(days.today()):
            closed.append(await days.of(shop.account, first.isoformat()))
            first += timedelta(days=1)
        assert any(len(pencil.paid) > 1 and pencil.lines for pencil in life.pencils), "nothing happened"
        spent: Counter[int] = Counter()
        kept: Counter[int] = Counter()
        taxes: Counter[int] = Counter()
        for pencil in life.pencils:
            await life.check(pencil)
            for part, (payer, amount) in pencil.paid.items():
                spent[payer.account] += amount - pencil.back[part]
            parted = await life.baskets.look(pencil.basket)
            for rate in parted.taxes:
                taxes[rate.rate] += rate.tax
            kept[0] += pencil.sum_paid - sum(pencil.back.values())
        assert [payer.balance() for payer in payers] == [90_000 - spent[payer.account] for payer in payers]
        rows = [row for day in closed for row in day.by_rate]
        assert sum(row.gross - row.refunded for row in rows) == kept[0] == sum(day.gross - day.refunded for day in closed)
        assert {rate: sum(row.tax for row in rows if row.rate == rate) for rate in RATES} == {rate: taxes[rate] for rate in RATES}
        assert sum(row.amount for day in closed for row in day.by_goods) == sum(day.gross for day in closed)
        assert sum(row.amount for day in closed for row in day.by_clerk) == sum(day.gross for day in closed)
        assert all(row.gross >= 0 for row in rows)
