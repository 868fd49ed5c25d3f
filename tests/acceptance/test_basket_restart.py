"""A server that dies while it gives a basket's money back goes on with it when it starts again, before anybody looks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from counterfoil.acceptance.types import Line
from counterfoil.errors import Unavailable
from counterfoil.ids import new_id
from tests.acceptance.test_days import shop_of
from tests.scheme import opened


@pytest.mark.parametrize("legs", [0, 1])
async def test_a_server_that_starts_again_gives_back_what_it_has_begun_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legs: int
) -> None:
    async with opened(tmp_path) as scheme:
        ada, ben, shop = await scheme.customer(funds=5_000), await scheme.customer(funds=5_000), await scheme.merchant(funds=5_000)
        till, clerk = await shop_of(scheme, shop)
        baskets, payments = scheme.services.acceptance.baskets, scheme.services.payments
        basket = (await baskets.make(till, clerk, id=new_id(scheme.clock), lines=[Line("x", 900, 1)], amount=900)).basket
        parts = [(new_id(scheme.clock), amount) for amount in (300, 200, 0)]
        await baskets.ask(basket, till, clerk, parts=parts)
        await ada.pay(shop, 300, reference=parts[0][0])
        await ben.pay(shop, 200, reference=parts[1][0])
        pay, given = payments.pay_under_mandate, list[Any]()

        async def dying(*arguments: Any) -> Any:
            if len(given) == legs:
                raise Unavailable("the server died here")
            given.append(arguments)
            return await pay(*arguments)

        monkeypatch.setattr(payments, "pay_under_mandate", dying)
        with pytest.raises(Unavailable):
            await baskets.give_up(basket, till, clerk, id=new_id(scheme.clock))
        assert (ada.balance(), ben.balance()) == (4_700 + 300 * legs, 4_800)
    async with opened(tmp_path) as scheme:
        ledger, balances = scheme.services.ledger, list[int]()
        for _ in range(1_500):  # a busy machine
            accounts = [ledger.account_now(who.account) for who in (ada, ben)]
            balances = [account.credits_posted - account.debits_posted for account in accounts if account is not None]
            if balances == [5_000, 5_000]:
                break
            await asyncio.sleep(0.02)
        assert balances == [5_000, 5_000]
        assert await scheme.services.acceptance.baskets.resume() == 0
