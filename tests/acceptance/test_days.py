"""Days: each entry of the account is in exactly one closing, whoever forgot to close."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil import errors
from counterfoil.acceptance.tax import shares
from counterfoil.acceptance.types import Clerk, Line, Right, Till
from counterfoil.ids import new_id
from tests.scheme import DAY_S, Person, Scheme, opened


async def shop_of(scheme: Scheme, shop: Person) -> tuple[Till, Clerk]:
    acceptance = scheme.services.acceptance
    holder = await scheme.services.parties.holder(shop.account)
    _, code = await acceptance.tills.add(holder, id=new_id(scheme.clock), name="Front", device=shop.device)
    till, _ = await acceptance.tills.pair(code, "Tablet")
    clerk = await acceptance.clerks.add(
        id=new_id(scheme.clock), account=shop.account, party=shop.party, name="Wanjiru", pin="2580", rights=set(Right), device=shop.device
    )
    return till, clerk


async def sell(scheme: Scheme, payer: Person, shop: Person, till: Till, clerk: Clerk, amount: int) -> None:
    now = scheme.clock.now_ns()
    sale, _ = await scheme.services.acceptance.sales.make(
        till, clerk.id, id=new_id(scheme.clock), lines=[Line("Bread", amount, 1)], amount=amount, hold=False, made_at=now
    )
    await payer.pay(shop, amount, reference=sale.id)


async def test_forgotten_days_are_closed_first_and_every_entry_is_in_one_closing(tmp_path: Path) -> None:
    async with opened(tmp_path, time_zone="Africa/Nairobi") as scheme:
        days = scheme.services.acceptance.days
        payer, shop = await scheme.customer(funds=50_000), await scheme.merchant()
        till, clerk = await shop_of(scheme, shop)
        opening = shop.balance()
        first = days.today()
        await sell(scheme, payer, shop, till, clerk, 1_000)
        closed = await days.close(till, clerk, id=new_id(scheme.clock))
        assert (closed.number, closed.gross) == (1, 1_000)
        await sell(scheme, payer, shop, till, clerk, 200)  # on the evening after the closing
        scheme.clock.offset_s += 3 * DAY_S  # nobody closes; the second day has nothing of its own, the third is forgotten
        await sell(scheme, payer, shop, till, clerk, 30)
        third = days.today()
        scheme.clock.offset_s += DAY_S
        await sell(scheme, payer, shop, till, clerk, 4)
        last = await days.close(till, clerk, id=new_id(scheme.clock))
        assert (last.number, last.gross) == (4, 4)
        assert [(each.number, each.gross) for each in [await days.of(shop.account, day) for day in (first, third, last.day)]] == [
            (1, 1_000), (3, 30), (4, 4),
        ]  # fmt: skip
        fees = sum([(await days.of(shop.account, day)).fees for day in (first, third, last.day)])
        evening = 200
        assert shop.balance() - opening == 1_234 - fees - (await _fee(scheme, shop, evening))
        with pytest.raises(errors.NotInThisState):
            await days.close(till, clerk, id=new_id(scheme.clock))


async def _fee(scheme: Scheme, shop: Person, amount: int) -> int:
    payer = await scheme.customer("Other")
    return (await scheme.services.payments.quote(payer=payer.account, payee=shop.account, amount=amount)).fee


@pytest.mark.parametrize("day", ["2026-2-1", "2026-02-30", "today", "1969-12-31", "9999-01-01", ""])
async def test_what_is_no_day_is_refused(tmp_path: Path, day: str) -> None:
    async with opened(tmp_path) as scheme:
        with pytest.raises(errors.Malformed, match="day"):
            await scheme.services.acceptance.days.of(1, day)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 99)), min_size=1, max_size=20), st.integers(0, 10**12))
def test_what_was_taken_is_spread_to_the_last_unit(lines: list[tuple[int, int]], amount: int) -> None:
    rung = [Line("x", price, quantity) for price, quantity in lines]
    if not any(line.price for line in rung):
        return
    parts = shares(rung, amount)
    assert sum(parts) == amount
    assert all(part >= 0 for part in parts)
    assert shares(rung, sum(line.price * line.quantity for line in rung)) == [line.price * line.quantity for line in rung]
