"""Baskets over HTTP: several people, or several means, pay one basket; nobody twice, never more than it costs, and all of it or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from counterfoil.acceptance.baskets.service import PARTS_MAX
from counterfoil.acceptance.sales import SALE_LIFETIME_S
from counterfoil.errors import AccountFrozen, InsufficientFunds, Unavailable
from counterfoil.moments import moment_text
from tests.scheme import Person
from tests.web.site import Site
from tests.web.test_cards import PIN, card_of
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINES = [
    {"name": "Shirt", "price": 1_160, "quantity": 3, "department": "Shirts", "tax": 1600},
    {"name": "Milk", "price": 105, "quantity": 1, "department": "Food", "tax": 500},
    {"name": "Bag", "price": 0, "quantity": 2},
]
TOTAL = 3 * 1_160 + 105


class Baskets:
    """Baskets at a till."""

    def __init__(self, till: Counter) -> None:
        self.till = till

    async def make(self) -> str:
        body = {"id": self.till.fresh(), "lines": LINES, "amount": TOTAL}
        return str((await self.till.ok("POST", "/v1/till/baskets", body))["id"])

    async def look(self, basket: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.till.ok("GET", f"/v1/till/baskets/{basket}")
        return found

    def parts(self, *amounts: int | None) -> dict[str, Any]:
        return {"parts": [{"id": self.till.fresh(), "amount": amount} for amount in amounts]}

    async def ask(self, basket: str, *amounts: int | None) -> list[dict[str, Any]]:
        """Asks for parts; the sales that ask for them."""
        body = self.parts(*amounts)
        ids = {part["id"] for part in body["parts"]}
        now = await self.till.ok("POST", f"/v1/till/baskets/{basket}/parts", body)
        return [part["sale"] for part in now["parts"] if part["id"] in ids]

    async def payer(self, funds: int = 50_000) -> Person:
        return await self.till.site.scheme.customer(funds=funds)

    async def paid(self, *amounts: int | None) -> tuple[str, list[Person]]:
        """A basket that was paid in such parts, and who paid them."""
        basket, payers = await self.make(), list[Person]()
        for sale in await self.ask(basket, *amounts):
            payers.append(await self.payer())
            await self.till.pay(payers[-1], sale)
        return basket, payers

    async def refund(self, basket: str, **changes: Any) -> dict[str, Any]:
        now: dict[str, Any] = await self.till.ok("POST", f"/v1/till/baskets/{basket}/refunds", {"id": self.till.fresh()} | changes)
        return now


@pytest_asyncio.fixture(loop_scope="module")
async def shop(site: Site) -> Baskets:
    return Baskets(await paired(site, await site.scheme.merchant("Grand Magasin", funds=20_000)))


def back(*lines: tuple[int, int]) -> list[dict[str, int]]:
    return [{"line": line, "quantity": quantity} for line, quantity in lines]


async def test_two_people_pay_half_each_and_the_last_takes_the_odd_unit(shop: Baskets) -> None:
    basket = await shop.make()
    body = shop.parts(None, None)
    asked = await shop.till.ok("POST", f"/v1/till/baskets/{basket}/parts", body)
    assert await shop.till.ok("POST", f"/v1/till/baskets/{basket}/parts", body) == asked
    assert ([part["amount"] for part in asked["parts"]], asked["asked"], asked["left"]) == ([1_792, 1_793], TOTAL, 0)
    ada, ben = await shop.payer(), await shop.payer()
    await shop.till.pay(ada, asked["parts"][0]["sale"])
    half = await shop.look(basket)
    assert (half["state"], half["paid"], half["asked"]) == ("open", 1_792, 1_793)
    await shop.till.pay(ben, asked["parts"][1]["sale"])
    whole = await shop.look(basket)
    assert (whole["state"], whole["paid"], whole["asked"], whole["left"]) == ("paid", TOTAL, 0, 0)
    assert [(tax["rate"], tax["gross"], tax["tax"]) for tax in whole["taxes"]] == [(1600, 3_480, 480), (500, 105, 5)]
    assert (ada.balance(), ben.balance()) == (50_000 - 1_792, 50_000 - 1_793)


async def test_a_wallet_and_a_card_pay_one_after_the_other(shop: Baskets) -> None:
    basket = await shop.make()
    [first] = await shop.ask(basket, 3_000)
    await shop.till.pay(await shop.payer(), first)
    [rest] = await shop.ask(basket, None)
    assert rest["amount"] == 585
    kofi = await shop.till.site.scheme.simple_phone(funds=5_000)
    card = await card_of(shop.till.site, kofi)
    path = f"/v1/till/sales/{rest['id']}/card"
    asked = await shop.till.ok("POST", path, card.tap())
    await shop.till.ok("POST", f"{path}/pay", {"tap": asked["tap"], "pin": PIN})
    assert ((await shop.look(basket))["state"], kofi.balance()) == ("paid", 4_415)


async def test_parts_never_ask_for_more_than_is_left(shop: Baskets) -> None:
    basket = await shop.make()
    path = f"/v1/till/baskets/{basket}/parts"
    assert (await shop.till.refused("POST", path, shop.parts(3_000, 586)))["facts"]["field"] == "parts"
    [first, _] = await shop.ask(basket, 3_000, 584)
    assert (await shop.till.refused("POST", path, shop.parts(2)))["facts"]["field"] == "parts"
    assert (await shop.till.refused("POST", path, shop.parts(None, None)))["facts"]["field"] == "parts"
    await shop.ask(basket, 1)
    assert (await shop.till.refused("POST", path, shop.parts(None)))["code"] == "not_in_this_state"
    await shop.till.ok("POST", f"/v1/till/sales/{first['id']}/cancel")
    assert ((await shop.look(basket))["left"], (await shop.ask(basket, None))[0]["amount"]) == (3_000, 3_000)


async def test_two_tills_that_ask_for_the_rest_at_once_ask_for_it_once(shop: Baskets) -> None:
    basket = await shop.make()
    path = f"/v1/till/baskets/{basket}/parts"
    answers = await asyncio.gather(*(shop.till.call("POST", path, shop.parts(2_000)) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert (await shop.look(basket))["asked"] == 2_000


async def test_what_expired_or_was_taken_back_leaves_the_others_standing(shop: Baskets) -> None:
    basket = await shop.make()
    paid, over, _ = await shop.ask(basket, 1_000, 1_000, None)
    ada = await shop.payer()
    await shop.till.pay(ada, paid)
    await shop.till.ok("POST", f"/v1/till/sales/{over['id']}/cancel")
    clock = shop.till.site.scheme.clock
    clock.offset_s += SALE_LIFETIME_S
    shop.till.session = await shop.till.sign_in(await shop.till.clerk("Njeri"))
    now = await shop.look(basket)
    assert (now["state"], now["paid"], now["asked"], now["left"]) == ("open", 1_000, 0, TOTAL - 1_000)
    assert [part["over"] for part in now["parts"]] == [False, True, True]
    [rest] = await shop.ask(basket, None)
    await shop.till.pay(ada, rest)
    assert (await shop.look(basket))["state"] == "paid"
    assert ada.balance() == 50_000 - TOTAL


async def test_an_order_that_was_late_pays_nothing_once_its_amount_was_left_to_others(shop: Baskets) -> None:
    """It was made before the part expired, and arrives after the basket looked."""
    basket, ada = await shop.make(), await shop.payer()
    [part] = await shop.ask(basket, 1_000)
    payments, clock = shop.till.site.services.payments, shop.till.site.scheme.clock
    carry_out = payments.carry_out

    async def late(*arguments: Any) -> Any:
        payments.carry_out = carry_out  # type: ignore[method-assign]
        clock.offset_s += SALE_LIFETIME_S
        shop.till.session = await shop.till.sign_in(await shop.till.clerk("Njeri"))
        assert (await shop.look(basket))["left"] == TOTAL
        return await carry_out(*arguments)

    payments.carry_out = late  # type: ignore[assignment,method-assign]
    with pytest.raises(AssertionError, match="not_in_this_state"):
        await shop.till.pay(ada, part)
    assert ada.balance() == 50_000


async def test_given_up_everybody_has_their_money_back_once(shop: Baskets) -> None:
    basket = await shop.make()
    first, second, _ = await shop.ask(basket, 1_000, 1_000, None)
    ada, ben = await shop.payer(), await shop.payer()
    await shop.till.pay(ada, first)
    await shop.till.pay(ben, second)
    path, body = f"/v1/till/baskets/{basket}/give-up", {"id": shop.till.fresh()}
    now = await shop.till.ok("POST", path, body)
    assert await shop.till.ok("POST", path, body) == now
    assert (now["state"], now["refunded"], now["left"], [part["over"] for part in now["parts"]]) == (
        "refunded",
        2_000,
        0,
        [False, False, True],
    )
    assert (ada.balance(), ben.balance()) == (50_000, 50_000)
    assert (await shop.till.refused("POST", path, {"id": shop.till.fresh()}))["code"] == "not_in_this_state"
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", shop.parts(1)))["code"] == "not_in_this_state"
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/refunds", {"id": shop.till.fresh()}))["code"] == "not_in_this_state"


async def test_one_that_nobody_paid_is_cancelled_and_one_that_is_paid_cannot_be_given_up(shop: Baskets) -> None:
    basket = await shop.make()
    await shop.ask(basket, 1)
    assert (await shop.till.ok("POST", f"/v1/till/baskets/{basket}/give-up", {"id": shop.till.fresh()}))["state"] == "cancelled"
    basket, _ = await shop.paid(None)
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/give-up", {"id": shop.till.fresh()}))["code"] == "not_in_this_state"


async def test_who_pays_while_the_clerk_gives_up_has_paid_nothing_or_has_it_back(shop: Baskets) -> None:
    for _ in range(4):
        basket, ada, ben = await shop.make(), await shop.payer(), await shop.payer()
        first, second = await shop.ask(basket, None, None)
        body = {"id": shop.till.fresh()}
        orders = [
            who.order(shop.till.shop, sale["amount"], reference=int(sale["id"].replace("-", ""), 16))
            for who, sale in ((ada, first), (ben, second))
        ]
        await asyncio.gather(
            shop.till.site.pay(ada.sign(orders[0])),
            shop.till.call("POST", f"/v1/till/baskets/{basket}/give-up", body),
            shop.till.site.pay(ben.sign(orders[1])),
        )
        now = await shop.look(basket)
        if now["state"] == "open":  # the give-up came while somebody was paying, or both had paid
            now = await shop.till.ok("POST", f"/v1/till/baskets/{basket}/give-up", body)
        if now["state"] == "paid":
            assert (ada.balance(), ben.balance()) == (50_000 - 1_792, 50_000 - 1_793)
        else:
            assert now["state"] in ("cancelled", "refunded")
            assert (ada.balance(), ben.balance()) == (50_000, 50_000)


async def test_lines_go_back_to_the_parts_in_their_order_with_their_tax(shop: Baskets) -> None:
    basket, (ada, ben) = await shop.paid(1_000, None)
    body = {"id": shop.till.fresh(), "lines": back((0, 1), (2, 1))}
    path = f"/v1/till/baskets/{basket}/refunds"
    now = await shop.till.ok("POST", path, body)
    assert await shop.till.ok("POST", path, body) == now
    assert (now["state"], now["refunded"], [line["returned"] for line in now["lines"]]) == ("refunded_part", 1_160, [1, 0, 1])
    assert (ada.balance(), ben.balance()) == (50_000, 50_000 - 2_585 + 160)
    assert [(tax["rate"], tax["gross"], tax["tax"]) for tax in now["taxes"]] == [(1600, 2_320, 320), (500, 105, 5)]
    assert now["parts"][0]["sale"]["actions"][0]["clerk"] is not None
    assert (await shop.till.refused("POST", path, {"id": shop.till.fresh(), "lines": back((0, 3))}))["facts"] == {"line": 0, "left": 2}
    assert (await shop.till.refused("POST", path, body | {"memo": "x"}))["code"] == "id_reused"
    assert (await shop.refund(basket))["state"] == "refunded"
    assert (ada.balance(), ben.balance()) == (50_000, 50_000)
    assert (await shop.till.refused("POST", path, {"id": shop.till.fresh()}))["code"] == "not_in_this_state"


async def test_a_refund_may_name_the_part_it_goes_to_and_never_exceeds_it(shop: Baskets) -> None:
    basket, (ada, ben) = await shop.paid(1_000, None)
    part = (await shop.look(basket))["parts"][0]["id"]
    await shop.refund(basket, amount=200, part=part)
    path = f"/v1/till/baskets/{basket}/refunds"
    assert (await shop.till.refused("POST", path, {"id": shop.till.fresh(), "amount": 801, "part": part}))["facts"]["left"] == 800
    assert (await shop.till.refused("POST", path, {"id": shop.till.fresh(), "amount": 1, "part": shop.till.fresh()}))["facts"][
        "field"
    ] == "part"
    await shop.refund(basket, part=part)
    assert (ada.balance(), ben.balance()) == (50_000, 50_000 - 2_585)


async def test_a_part_alone_is_not_refunded_as_a_sale(shop: Baskets) -> None:
    basket, _ = await shop.paid(1_000, None)
    sale = (await shop.look(basket))["parts"][0]["id"]
    for change in ({"amount": 1}, {"lines": back((0, 1))}):
        refused = await shop.till.refused("POST", f"/v1/till/sales/{sale}/refunds", {"id": shop.till.fresh()} | change)
        assert (refused["code"], refused["facts"]["basket"]) == ("not_in_this_state", basket)


async def test_refunds_that_are_asked_for_at_once_give_each_line_back_once(shop: Baskets) -> None:
    basket, (ada, ben) = await shop.paid(1_000, None)
    path = f"/v1/till/baskets/{basket}/refunds"
    bodies = [{"id": shop.till.fresh(), "lines": back((0, 2))} for _ in range(4)]
    answers = await asyncio.gather(*(shop.till.call("POST", path, body) for body in [bodies[0], *bodies]))
    assert {answer.status_code for answer in answers} == {200, 422}
    assert (await shop.look(basket))["refunded"] == 2_320
    assert ada.balance() + ben.balance() == 100_000 - TOTAL + 2_320


async def test_who_refunds_while_another_does_waits(shop: Baskets, monkeypatch: pytest.MonkeyPatch) -> None:
    basket, [ada] = await shop.paid(None)
    baskets, path = shop.till.site.services.acceptance.baskets, f"/v1/till/baskets/{basket}/refunds"
    bodies, others = [{"id": shop.till.fresh(), "lines": back((1, 1))} for _ in range(2)], list[asyncio.Task[httpx2.Response]]()
    settle = baskets._settle

    async def meanwhile(*arguments: Any) -> Any:
        parted = await settle(*arguments)
        if not others:
            others.append(asyncio.create_task(shop.till.call("POST", path, bodies[1])))
            for _ in range(5):  # long enough for the other one, if nothing held it up
                await shop.till.sell()
        return parted

    with monkeypatch.context() as patched:
        patched.setattr(baskets, "_settle", meanwhile)
        await shop.till.ok("POST", path, bodies[0])
        assert (await others[0]).json()["code"] == "above_original"
    assert ada.balance() == 50_000 - TOTAL + 105


async def test_a_basket_is_no_sale_of_another_shop_and_says_no_before_it_is_paid(shop: Baskets) -> None:
    basket = await shop.make()
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/refunds", {"id": shop.till.fresh()}))["code"] == "not_in_this_state"
    other = Baskets(await paired(shop.till.site, await shop.till.site.scheme.merchant("Other")))
    assert (await other.till.refused("GET", f"/v1/till/baskets/{basket}"))["code"] == "not_found"
    theirs = await other.make()
    body = shop.parts(10)
    await shop.till.ok("POST", f"/v1/till/baskets/{basket}/parts", body)
    assert (await other.till.refused("POST", f"/v1/till/baskets/{theirs}/parts", body))["code"] == "id_reused"
    body["parts"][0]["amount"] = 11
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", body))["code"] == "id_reused"
    sale = await shop.till.sell(10)
    taken = {"parts": [{"id": sale["id"], "amount": 10}]}
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", taken))["code"] == "id_reused"
    seller = await shop.till.sign_in(await shop.till.clerk("Seller", rights=["sell"]))
    answer = await shop.till.call("POST", f"/v1/till/baskets/{basket}/give-up", {"id": shop.till.fresh()}, session=seller)
    assert answer.status_code == 403


async def test_there_are_fifty_parts_at_most(shop: Baskets) -> None:
    basket = await shop.make()
    await shop.ask(basket, *([1] * PARTS_MAX))
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", shop.parts(1)))["code"] == "too_large"


async def test_a_part_that_the_server_died_before_it_asked_for_is_asked_for_by_whoever_looks(
    shop: Baskets, monkeypatch: pytest.MonkeyPatch
) -> None:
    basket, body = await shop.make(), shop.parts(None)

    async def died(*_: Any, **__: Any) -> Any:
        raise Unavailable("the server died here")

    with monkeypatch.context() as patched:
        patched.setattr(shop.till.site.services.acceptance.sales, "make", died)
        assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", body))["code"] == "unavailable"
    made_at = moment_text(shop.till.site.services.clock.now_ns())
    strange = {"id": body["parts"][0]["id"], "lines": [{"name": "", "price": 1, "quantity": 1}], "amount": 1, "made_at": made_at}
    assert (await shop.till.refused("POST", "/v1/till/sales", strange))["code"] == "id_reused"
    now = await shop.look(basket)
    assert (now["asked"], now["parts"][0]["sale"]["state"]) == (TOTAL, "open")
    assert await shop.till.ok("POST", f"/v1/till/baskets/{basket}/parts", body) == now


async def test_a_part_that_was_never_asked_for_is_over_after_an_hour(shop: Baskets, monkeypatch: pytest.MonkeyPatch) -> None:
    basket = await shop.make()

    async def died(*_: Any, **__: Any) -> Any:
        raise Unavailable("the server died here")

    with monkeypatch.context() as patched:
        patched.setattr(shop.till.site.services.acceptance.sales, "make", died)
        await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", shop.parts(None))
    shop.till.site.scheme.clock.offset_s += SALE_LIFETIME_S + 1
    shop.till.session = await shop.till.sign_in(await shop.till.clerk("Njeri"))
    now = await shop.look(basket)
    assert (now["left"], [(part["over"], part["sale"]) for part in now["parts"]]) == (TOTAL, [(True, None)])


async def test_a_part_that_the_shop_may_not_ask_for_leaves_its_amount(shop: Baskets, monkeypatch: pytest.MonkeyPatch) -> None:
    basket, body = await shop.make(), shop.parts(1_000)

    async def refused(*_: Any) -> None:
        raise AccountFrozen

    with monkeypatch.context() as patched:
        patched.setattr(shop.till.site.services.acceptance.sales, "check_asker", refused)
        assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/parts", body))["code"] == "account_frozen"
    now = await shop.till.ok("POST", f"/v1/till/baskets/{basket}/parts", body)
    assert (now["left"], [(part["over"], part["sale"]) for part in now["parts"]]) == (TOTAL, [(True, None)])
    assert (await shop.ask(basket, None))[0]["amount"] == TOTAL


async def test_an_id_that_gave_up_one_basket_refunds_no_other(shop: Baskets) -> None:
    (given_up, (paid, _)), body = (await shop.make(), await shop.paid(None)), {"id": shop.till.fresh()}
    await shop.till.ok("POST", f"/v1/till/baskets/{given_up}/give-up", body)
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{paid}/refunds", body))["code"] == "id_reused"
    other, refund = await shop.make(), {"id": shop.till.fresh()}
    await shop.till.ok("POST", f"/v1/till/baskets/{paid}/refunds", refund)
    for used in (body, refund):
        assert (await shop.till.refused("POST", f"/v1/till/baskets/{other}/give-up", used))["code"] == "id_reused"


@pytest.mark.parametrize("ending", ["give-up", "expiry"])
async def test_a_payment_whose_outcome_is_unknown_keeps_its_part(shop: Baskets, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """It was kept, and may still be carried out: nobody else is asked for its amount, and nothing is given up without it."""
    basket, ada = await shop.make(), await shop.payer()
    [part] = await shop.ask(basket, 1_000)
    order = ada.sign(ada.order(shop.till.shop, 1_000, reference=int(part["id"].replace("-", ""), 16)))

    async def away(*_: Any) -> Any:
        raise Unavailable("the ledger does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(shop.till.site.services.payments.ledger, "create_transfers", away)
        assert (await shop.till.site.pay(order)).status_code == 503
    path, body = f"/v1/till/baskets/{basket}/give-up", {"id": shop.till.fresh()}
    if ending == "give-up":
        assert (await shop.till.refused("POST", path, body))["code"] == "unavailable"
        assert ((await shop.look(basket))["asked"], ada.balance()) == (1_000, 50_000)
    else:
        shop.till.site.scheme.clock.offset_s += SALE_LIFETIME_S
        shop.till.session = await shop.till.sign_in(await shop.till.clerk("Njeri"))
        assert ((await shop.look(basket))["asked"], (await shop.ask(basket, None))[0]["amount"]) == (1_000, TOTAL - 1_000)
        shop.till.site.scheme.clock.offset_s -= SALE_LIFETIME_S
    assert (await shop.till.site.pay(order)).status_code < 300
    if ending == "give-up":
        assert (await shop.till.ok("POST", path, body))["state"] == "refunded"
        assert ada.balance() == 50_000
    else:
        assert ((await shop.look(basket))["paid"], ada.balance()) == (1_000, 49_000)


@pytest.mark.parametrize("legs", [0, 1])
async def test_what_a_server_that_died_has_not_given_back_goes_back_when_it_starts_again(
    shop: Baskets, monkeypatch: pytest.MonkeyPatch, legs: int
) -> None:
    basket, ada, ben = await shop.make(), await shop.payer(), await shop.payer()
    first, second, _ = await shop.ask(basket, 1_000, 1_000, None)
    await shop.till.pay(ada, first)
    await shop.till.pay(ben, second)
    payments, given = shop.till.site.services.payments, list[Any]()
    pay = payments.pay_under_mandate

    async def dying(*arguments: Any) -> Any:
        if len(given) == legs:
            raise Unavailable("the server died here")
        given.append(arguments)
        return await pay(*arguments)

    body, path = {"id": shop.till.fresh()}, f"/v1/till/baskets/{basket}/give-up"
    with monkeypatch.context() as patched:
        patched.setattr(payments, "pay_under_mandate", dying)
        assert (await shop.till.refused("POST", path, body))["code"] == "unavailable"
        assert ((await shop.look(basket))["state"], ada.balance() + ben.balance()) == ("giving_back", 98_000 + 1_000 * legs)
    assert await shop.till.site.services.acceptance.baskets.resume() == 1
    assert (ada.balance(), ben.balance()) == (50_000, 50_000)
    assert (await shop.till.ok("POST", path, body))["state"] == "refunded"
    assert await shop.till.site.services.acceptance.baskets.resume() == 0


async def test_what_is_refused_for_one_part_is_given_back_with_a_new_id(site: Site) -> None:
    shop = Baskets(await paired(site, await site.scheme.merchant("Poor shop")))
    basket, (ada, ben) = await shop.paid(1_000, None)
    path, body = f"/v1/till/baskets/{basket}/refunds", {"id": shop.till.fresh()}
    refused = await shop.till.refused("POST", path, body)  # the fee is missing
    assert (refused["code"], ada.balance(), ben.balance()) == ("insufficient_funds", 50_000, 47_415)
    assert (await shop.till.refused("POST", path, body))["code"] == "insufficient_funds"
    now = await shop.look(basket)
    assert (now["state"], now["refunded"]) == ("refunded_part", 1_000)
    await ben.pay(shop.till.shop, 5_000)
    assert (await shop.till.refused("POST", path, body))["code"] == "insufficient_funds"
    assert ((await shop.refund(basket))["state"], ben.balance()) == ("refunded", 45_000)


async def test_a_leg_that_was_refused_for_good_is_not_tried_again_when_the_others_are(
    shop: Baskets, monkeypatch: pytest.MonkeyPatch
) -> None:
    basket, (ada, ben) = await shop.paid(1_000, None)
    answers: list[Exception] = [InsufficientFunds(), Unavailable("the server died here")]

    async def failing(*_: Any) -> Any:
        raise answers.pop(0)

    body = {"id": shop.till.fresh()}
    with monkeypatch.context() as patched:
        patched.setattr(shop.till.site.services.payments, "pay_under_mandate", failing)
        assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/refunds", body))["code"] == "unavailable"
    assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/refunds", body))["code"] == "insufficient_funds"
    assert (ada.balance(), ben.balance()) == (49_000, 50_000)
    assert ((await shop.refund(basket))["state"], ada.balance()) == ("refunded", 50_000)


async def test_a_leg_that_may_still_be_carried_out_is_not_called_refused(shop: Baskets, monkeypatch: pytest.MonkeyPatch) -> None:
    basket, [ada] = await shop.paid(None)
    payments, body = shop.till.site.services.payments, {"id": shop.till.fresh()}

    async def away(*_: Any) -> Any:
        raise Unavailable("the ledger does not answer")

    async def frozen(*_: Any) -> Any:
        raise AccountFrozen

    for where, name, answer in ((payments.ledger, "create_transfers", away), (payments, "pay_under_mandate", frozen)):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, answer)
            assert (await shop.till.refused("POST", f"/v1/till/baskets/{basket}/refunds", body))["code"] == "unavailable"
    assert (await shop.till.ok("POST", f"/v1/till/baskets/{basket}/refunds", body))["state"] == "refunded"
    assert ada.balance() == 50_000


async def test_the_day_counts_a_basket_by_its_lines_whoever_paid_which_part(site: Site) -> None:
    shop = Baskets(await paired(site, await site.scheme.merchant("Day shop", funds=20_000)))
    till = shop.till
    await till.ok("POST", "/v1/till/day/close", {"id": till.fresh()})
    site.scheme.clock.offset_s += 86_400
    till.session = await till.sign_in(await till.clerk("Njeri"))
    basket, _ = await shop.paid(1_000, 7, None)
    await shop.refund(basket, lines=back((0, 2)))
    day = await till.ok("GET", "/v1/till/day")
    goods = {each["name"]: (each["quantity"], each["amount"], each["returned"], each["returned_amount"]) for each in day["by_goods"]}
    assert goods == {"Shirt": (3, 3_480, 2, 2_320), "Milk": (1, 105, 0, 0), "Bag": (2, 0, 0, 0)}
    assert (day["sales"], day["gross"], day["refunded"], day["unrung"]) == (3, TOTAL, 2_320, 0)
    assert [(each["rate"], each["gross"], each["refunded"], each["tax"]) for each in day["by_rate"]] == [
        (1600, 3_480, 2_320, 160),
        (500, 105, 0, 5),
    ]
    [clerk] = day["by_clerk"]
    assert (clerk["count"], clerk["amount"]) == (3, TOTAL)


async def test_a_basket_that_is_paid_on_two_days_adds_up_over_both(site: Site) -> None:
    shop = Baskets(await paired(site, await site.scheme.merchant("Night shop", funds=20_000)))
    till, clock = shop.till, site.scheme.clock
    basket, ada = await shop.make(), await shop.payer()
    [first] = await shop.ask(basket, 1_001)
    await till.pay(ada, first)
    before = await till.ok("POST", "/v1/till/day/close", {"id": till.fresh()})
    clock.offset_s += 86_400
    till.session = await till.sign_in(await till.clerk("Njeri"))
    [rest] = await shop.ask(basket, None)
    await till.pay(ada, rest)
    await shop.refund(basket, lines=back((0, 3)))
    after = await till.ok("GET", "/v1/till/day")
    for name in ("gross", "refunded", "tax"):
        sums = {1600: 0, 500: 0}
        for each in (*before["by_rate"], *after["by_rate"]):
            sums[each["rate"]] += each[name]
        assert sums == {"gross": {1600: 3_480, 500: 105}, "refunded": {1600: 3_480, 500: 0}, "tax": {1600: 0, 500: 5}}[name]
    assert sum(each["gross"] for each in before["by_rate"]) == before["gross"] - before["unrung_amount"] == 1_001
    sold = {each["name"]: each["quantity"] for each in before["by_goods"]}
    assert sold == {"Shirt": 0, "Milk": 0, "Bag": 0}


async def test_baskets_are_listed_newest_first(shop: Baskets) -> None:
    made = [await shop.make() for _ in range(22)]
    first = await shop.till.ok("GET", "/v1/till/baskets")
    second = await shop.till.ok("GET", "/v1/till/baskets", query=f"cursor={first['next']}")
    assert [line["id"] for line in (*first["baskets"], *second["baskets"])] == made[::-1]
    assert second["next"] is None
