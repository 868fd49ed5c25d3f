"""Random days of a department store, on every store: closings add up to what is left of each sale, as a clerk with a pencil knows it."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.acceptance.tax import by_rate, left_of
from counterfoil.acceptance.types import Back, Line, Sale
from counterfoil.ids import new_id
from tests.acceptance.test_days import shop_of
from tests.scheme import DAY_S, opened

RATES = (0, 550, 1600)


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
@pytest.mark.parametrize("seed", range(2))
async def test_closings_add_up_to_what_is_left_of_every_sale(tmp_path: Path, request: pytest.FixtureRequest, where: str, seed: int) -> None:
    settings: dict[str, Any] = {}
    if where == "postgres":
        url = request.getfixturevalue("postgres").new_database()
        settings = {"store": url, "ledger": url}
    chance = random.Random(seed)
    async with opened(tmp_path, **settings) as scheme:
        acceptance, clock = scheme.services.acceptance, scheme.clock
        payer, shop = await scheme.customer(funds=90_000), await scheme.merchant(funds=90_000)
        till, clerk = await shop_of(scheme, shop)
        sold: list[Sale] = []
        back: dict[int, Counter[int]] = {}
        amounts: Counter[int] = Counter()
        closed = []
        for step in range(45):
            if step % 15 == 14:
                closed.append(await acceptance.days.close(till, clerk, id=new_id(clock)))
                clock.offset_s += DAY_S
            elif not sold or chance.random() < 0.4:
                lines = [
                    Line("x", chance.randint(1, 400), chance.randint(1, 4), None, chance.choice(["", "A", "B"]), chance.choice(RATES))
                    for _ in range(chance.randint(1, 4))
                ]
                total, now = sum(line.price * line.quantity for line in lines), clock.now_ns()
                sale, _ = await acceptance.sales.make(till, clerk.id, id=new_id(clock), lines=lines, amount=total, hold=False, made_at=now)
                await payer.pay(shop, total, reference=sale.id)
                sold.append(sale)
                back[sale.id] = Counter()
            else:
                sale = chance.choice(sold)
                given = amounts[sale.id] + sum(sale.lines[line].price * count for line, count in back[sale.id].items())
                if chance.random() < 0.5:
                    which, count = chance.randrange(len(sale.lines)), chance.randint(1, 4)
                    line, wanted = sale.lines[which], Back(which, count)
                    fits = back[sale.id][which] + count <= line.quantity and given + count * line.price <= sale.amount
                    try:
                        await acceptance.sales.refund_lines(sale, till, clerk, id=new_id(clock), lines=[wanted], memo="")
                    except errors.AboveOriginal:
                        assert not fits
                    else:
                        assert fits
                        back[sale.id][which] += count
                elif given < sale.amount:
                    amount = chance.randint(1, sale.amount - given)
                    await acceptance.sales.refund(sale, till, clerk, id=new_id(clock), amount=amount, memo="")
                    amounts[sale.id] += amount
        closed.append(await acceptance.days.close(till, clerk, id=new_id(clock)))
        kept: Counter[int] = Counter()
        taxes: Counter[int] = Counter()
        for sale in sold:
            named = [Back(line, count) for line, count in back[sale.id].items()]
            given = amounts[sale.id] + sum(sale.lines[each.line].price * each.quantity for each in named)
            for part in by_rate(sale.lines, left_of(sale.lines, sale.amount, given, named)):
                kept[part.rate] += part.gross
                taxes[part.rate] += part.tax
        rows = [row for day in closed for row in day.by_rate]
        assert {rate: sum(row.gross - row.refunded for row in rows if row.rate == rate) for rate in RATES} == {r: kept[r] for r in RATES}
        assert {rate: sum(row.tax for row in rows if row.rate == rate) for rate in RATES} == {r: taxes[r] for r in RATES}
        for day in closed:
            assert sum(row.gross for row in day.by_rate) == sum(row.gross for row in day.by_department) == day.gross - day.unrung_amount
            assert sum(row.refunded for row in day.by_rate) == sum(row.refunded for row in day.by_department) == day.refunded
            assert sum(row.tax for row in day.by_rate) == sum(row.tax for row in day.by_department)
        assert sum(each.returned for day in closed for each in day.by_goods) == sum(sum(lines.values()) for lines in back.values())
