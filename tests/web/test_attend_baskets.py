"""The attendant's pages of baskets: a sale of a till is paid in parts with any telephone, given up, and refunded by line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from counterfoil.errors import Unavailable
from tests.web.forms import Forms
from tests.web.site import Site
from tests.web.test_attend import Handheld, browser
from tests.web.test_baskets import LINES, TOTAL
from tests.web.test_department_store import slip
from tests.web.test_tills import RIGHTS, Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def till(site: Site) -> Counter:
    return await paired(site, await site.scheme.merchant("Grand Magasin", funds=20_000))


@pytest_asyncio.fixture(loop_scope="module")
async def mine(till: Counter) -> AsyncIterator[Handheld]:
    clerk = await till.clerk("Njeri", rights=RIGHTS)
    async with browser(till.site) as found:
        await found.pair(till.shop)
        await found.sign_in(clerk)
        yield found


async def parted(till: Counter, mine: Handheld) -> tuple[str, dict[str, Any]]:
    """A sale of the till that a form has made a basket of; the basket's id."""
    sale = await till.sell(TOTAL, lines=LINES)
    assert "Shirt, Milk, Bag" in await mine.open("/attend/baskets")
    await mine.send("/attend/baskets", sale=sale["id"])
    return mine.address.rsplit("/", 1)[1], sale


async def pay(till: Counter, basket: str) -> Any:
    """Somebody pays the first part that is open."""
    now = await till.ok("GET", f"/v1/till/baskets/{basket}")
    payer = await till.site.scheme.customer(funds=50_000)
    await till.pay(payer, next(part["sale"] for part in now["parts"] if part["sale"]["state"] == "open"))
    return payer


async def test_two_people_pay_a_sale_of_the_till(till: Counter, mine: Handheld) -> None:
    basket, sale = await parted(till, mine)
    assert (await till.sale(sale["id"]))["state"] == "cancelled"
    assert "Not paid whole yet" in mine.words
    action, fields = Forms(mine.text).to(f"/attend/baskets/{basket}/ask")
    assert "17.93" in await mine.send(action, people="2")
    again = await mine.client.post(action, data=fields | {"people": "2"})
    assert again.status_code == 303, "a form that is sent twice asks once"
    assert mine.text.count("<svg role") == 2
    await pay(till, basket)
    assert "Not paid whole yet" in await mine.open(mine.address)
    await pay(till, basket)
    assert "Paid whole" in await mine.open(mine.address)
    now = await till.ok("GET", f"/v1/till/baskets/{basket}")
    assert (now["state"], [line["tax"] for line in now["lines"]]) == ("paid", [1600, 500, 0])


async def test_a_sale_is_parted_once_and_a_paid_one_not_at_all(till: Counter, mine: Handheld) -> None:
    basket, sale = await parted(till, mine)
    await mine.open("/attend/baskets")
    _, fields = Forms(mine.text).to("/attend/sign-out")
    again = await mine.client.post("/attend/baskets", data={"t": fields["t"], "sale": sale["id"]})
    assert again.headers["location"].endswith(basket)
    paid = await till.sell(10)
    await till.pay(await till.site.scheme.customer(funds=10_000), paid)
    assert (await mine.client.post("/attend/baskets", data={"t": fields["t"], "sale": paid["id"]})).status_code == 409
    now = await till.ok("POST", f"/v1/till/baskets/{basket}/parts", {"parts": [{"id": till.fresh()}]})
    part = now["parts"][0]["id"]
    assert (await mine.client.post("/attend/baskets", data={"t": fields["t"], "sale": part})).status_code == 409


async def test_a_part_is_taken_back_and_another_asked_for_and_what_was_typed_wrong_is_said(till: Counter, mine: Handheld) -> None:
    basket, _ = await parted(till, mine)
    ask = f"/attend/baskets/{basket}/ask"
    for typed, status in (
        ({"amount": "99.00"}, 400),
        ({"people": "0"}, 400),
        ({"people": "51"}, 400),
        ({"people": "2", "amount": "1"}, 400),
        ({}, 400),
    ):
        await mine.send(ask, status=status, **typed)
        assert 'aria-invalid="true"' in mine.text
        await mine.open(f"/attend/baskets/{basket}")
    await mine.send(ask, amount="10.00")
    await mine.send(f"/attend/baskets/{basket}/take-back")
    now = await till.ok("GET", f"/v1/till/baskets/{basket}")
    assert (now["asked"], now["left"]) == (0, TOTAL)
    other, _ = await parted(till, mine)
    await mine.send(f"/attend/baskets/{other}/ask", people="1")
    _, fields = Forms(mine.text).to(f"/attend/baskets/{other}/take-back")
    strange = await mine.client.post(f"/attend/baskets/{basket}/take-back", data=fields)
    assert strange.status_code == 404


async def test_given_up_the_money_goes_back_and_lines_go_back_by_number(till: Counter, mine: Handheld) -> None:
    basket, _ = await parted(till, mine)
    await mine.send(f"/attend/baskets/{basket}/ask", people="3")
    ada = await pay(till, basket)
    await mine.open(f"/attend/baskets/{basket}")
    assert "All of it was given back" in await mine.send(f"/attend/baskets/{basket}/give-up")
    assert ada.balance() == 50_000
    basket, _ = await parted(till, mine)
    await mine.send(f"/attend/baskets/{basket}/ask", people="1")
    ben = await pay(till, basket)
    await mine.open(f"/attend/baskets/{basket}")
    refund = f"/attend/baskets/{basket}/refund"
    await mine.send(refund, status=400, **{"line-0": "x"})
    assert "Type how many go back" in mine.words
    assert "Given back in part" in await mine.send(refund, status=200, **{"line-0": "1", "line-1": "1"})
    assert ben.balance() == 50_000 - 2 * 1_160
    rest = next(fields for action, fields in Forms(mine.text).found if action == refund and "rest" in fields)
    await mine.client.post(refund, data=rest)
    assert "All of it was given back" in await mine.open(f"/attend/baskets/{basket}")
    assert ben.balance() == 50_000


async def test_a_form_whose_outcome_is_not_known_keeps_its_id(till: Counter, mine: Handheld, monkeypatch: pytest.MonkeyPatch) -> None:
    basket, _ = await parted(till, mine)
    await mine.send(f"/attend/baskets/{basket}/ask", people="1")
    ben = await pay(till, basket)
    await mine.open(f"/attend/baskets/{basket}")
    refund = f"/attend/baskets/{basket}/refund"

    async def died(*_: Any, **__: Any) -> Any:
        raise Unavailable("the server died here")

    with monkeypatch.context() as patched:
        patched.setattr(till.site.services.payments, "pay_under_mandate", died)
        await mine.send(refund, status=503, **{"line-0": "1"})
    await mine.send(refund, status=200, **{"line-0": "1"})
    assert ben.balance() == 50_000 - TOTAL + 1_160


async def test_who_may_only_look_sees_no_forms_and_another_shop_nothing(till: Counter, mine: Handheld) -> None:
    basket, _ = await parted(till, mine)
    await mine.send(f"/attend/baskets/{basket}/ask", people="2")
    address, (_, fields) = mine.address, Forms(mine.text).to(f"/attend/baskets/{basket}/give-up")
    await mine.send("/attend/sign-out")
    await mine.sign_in(await till.clerk("Seller", rights=["sell"]))
    await mine.open(address)
    assert "Give up" not in mine.words
    assert (await mine.client.post(f"{address}/give-up", data=fields)).status_code == 403
    other = await paired(till.site, await till.site.scheme.merchant("Other"))
    async with browser(till.site) as theirs:
        await theirs.pair(other.shop)
        await theirs.sign_in(await other.clerk("Kin"))
        await theirs.open(address, status=404)


async def test_the_slip_of_a_part_is_that_of_its_basket(till: Counter, mine: Handheld) -> None:
    basket, _ = await parted(till, mine)
    await mine.send(f"/attend/baskets/{basket}/ask", people="2")
    await pay(till, basket)
    part = (await till.ok("GET", f"/v1/till/baskets/{basket}"))["parts"][0]["sale"]
    shown = await slip(till, part)
    assert all(text in shown for text in ("Shirt", "35.85", "Part 1", "17.92", "this slip", "Part 2", "17.93", "Not paid yet", "4.80"))
