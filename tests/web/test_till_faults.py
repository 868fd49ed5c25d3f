"""A till and its shop where something was broken off, or an id was used for something else."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.errors import Unavailable
from counterfoil.ids import id_text
from tests.web.site import Site
from tests.web.test_tills import paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_id_that_names_a_request_of_somebody_else_makes_no_sale(site: Site) -> None:
    """Whoever pays that request would otherwise have paid the sale."""
    till, friend = await paired(site, await site.scheme.merchant("Bakery")), await site.scheme.customer()
    asked = await friend.ask(None, 1_250)
    assert (await till.refused("POST", "/v1/till/sales", till.body(1_250, id=id_text(asked))))["code"] == "id_reused"
    assert (await till.refused("GET", f"/v1/till/sales/{id_text(asked)}"))["code"] == "not_found"
    payer = await site.scheme.customer(funds=5_000)
    await payer.pay(friend, 1_250, reference=asked)
    assert friend.balance() == 1_250


async def test_a_clerks_session_is_good_at_the_till_where_it_began_and_nowhere_else(site: Site) -> None:
    shop = await site.scheme.merchant("Bakery")
    till, second, elsewhere = await paired(site, shop), await paired(site, shop), await paired(site, await site.scheme.merchant("Butcher"))
    for other in (second, elsewhere):
        said = await other.refused("POST", "/v1/till/sales", other.body(), session=till.session)
        assert (said["code"], said["facts"]["session"]) == ("not_authenticated", False)
        assert (await other.ok("POST", "/v1/till/sales", other.body()))["state"] == "open"
        await other.call("POST", "/v1/till/sign-out", session=till.session)
    assert (await till.sell())["state"] == "open"


async def test_a_refund_that_was_broken_off_is_repeated_as_it_was_or_not_at_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    till, payer = await paired(site, await site.scheme.merchant("Bakery", funds=1_000)), await site.scheme.customer(funds=5_000)
    sale = await till.sell(1_250)
    await till.pay(payer, sale)
    path, body = f"/v1/till/sales/{sale['id']}/refunds", {"id": till.fresh(), "amount": 400, "memo": "stale"}

    async def broken_off(*arguments: Any) -> None:
        raise Unavailable("the server died here")

    monkeypatch.setattr(site.services.payments, "pay_under_mandate", broken_off)
    assert (await till.refused("POST", path, body))["retry"] == "same_id"
    monkeypatch.undo()
    for change in ({"amount": 500}, {"memo": "another"}):
        assert (await till.refused("POST", path, body | change))["code"] == "id_reused"
    assert (await till.ok("POST", path, body))["refunded"] == 400
    assert (await till.sale(sale["id"]))["state"] == "refunded_part"
