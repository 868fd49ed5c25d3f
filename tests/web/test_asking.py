"""Requests to pay, batches, standing orders, quotes and history over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from typing import Any

import pytest

from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.payments import forms
from tests.scheme import Person
from tests.web.site import Site, signed_body

pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(site: Site, payee: Person, payer: Person | None, amount: int, **changes: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "origin": site.services.config.origin,
        "asset": "USD",
        "payee": payee.account,
        "payer": payer.account if payer else 0,
        "amount": amount,
        "id": new_id(site.services.clock),
        "expiry_ms": site.services.clock.now_ns() // 1_000_000 + 60_000,
        "purpose": 0,
        "memo": "lunch",
    }
    form = forms.RequestToPay(**(values | changes))
    return signed_body(payee.sign(forms.encode(form)))


async def test_a_request_is_made_seen_paid_and_not_paid_twice(site: Site) -> None:
    payee, payer, other = await site.scheme.customer(), await site.scheme.customer(funds=1_000), await site.scheme.customer()
    body = asked(site, payee, payer, 250)
    made = await site.ok(None, "POST", "/v1/requests", body)
    assert (made["state"], made["amount"], made["memo"], made["payer"]) == ("open", 250, "lunch", id_text(payer.account))
    assert await site.ok(None, "POST", "/v1/requests", body) == made
    path = f"/v1/requests/{made['id']}"
    assert await site.ok(payer, "GET", path) == made
    assert (await site.refused(other, "GET", path))["code"] == "not_found"
    assert [each["id"] for each in (await site.ok(payer, "GET", "/v1/requests"))["requests"]] == [made["id"]]
    order = payer.order(payee, 250, reference=parse_id(made["id"]))
    assert (await site.pay(payer.sign(order))).status_code == 200
    assert (await site.ok(payee, "GET", path))["state"] == "paid"
    again = payer.order(payee, 250, reference=parse_id(made["id"]))
    assert (await site.pay(payer.sign(again))).json()["code"] == "not_in_this_state"
    assert (await site.refused(payer, "POST", f"{path}/decline"))["code"] == "not_in_this_state"
    assert payee.balance() == 250


async def test_a_request_is_declined_by_its_payer_and_cancelled_by_its_payee(site: Site) -> None:
    payee, payer = await site.scheme.customer(), await site.scheme.customer()
    first, second = [await site.ok(None, "POST", "/v1/requests", asked(site, payee, payer, 5)) for _ in range(2)]
    assert (await site.refused(payee, "POST", f"/v1/requests/{first['id']}/decline"))["code"] == "not_found"
    for _ in range(2):
        assert (await site.ok(payer, "POST", f"/v1/requests/{first['id']}/decline"))["state"] == "declined"
        assert (await site.ok(payee, "POST", f"/v1/requests/{second['id']}/cancel"))["state"] == "cancelled"


async def test_a_request_signed_by_somebody_else_is_refused(site: Site) -> None:
    payee, other = await site.scheme.customer(), await site.scheme.customer()
    body = asked(site, payee, None, 5)
    forged = body | {"device": id_text(other.device)}
    assert (await site.refused(None, "POST", "/v1/requests", forged))["code"] == "wrong_signature"


async def test_a_servers_request_is_paged_newest_first(site: Site) -> None:
    shop, payer = await site.scheme.merchant(), await site.scheme.customer()
    token = await site.token(shop, "requests:write", "payments:read")
    made = []
    for number in range(5):
        body = {
            "id": id_text(new_id(site.services.clock)),
            "expires_at": site.in_seconds(60),
            "amount": number + 1,
            "payer": id_text(payer.account),
        }
        made.append(await site.ok(token, "POST", "/v1/merchant/requests", body))
        assert await site.ok(token, "POST", "/v1/merchant/requests", body) == made[-1]
        await asyncio.sleep(0.002)  # the next millisecond: ids are in time order
    seen, cursor = [], ""
    while cursor is not None:
        page = await site.ok(token, "GET", "/v1/requests", query=f"limit=2{cursor and f'&cursor={cursor}'}")
        seen += page["requests"]
        cursor = page["next"]
    assert seen == made[::-1]
    past = {"id": id_text(new_id(site.services.clock)), "expires_at": site.in_seconds(-1)}
    assert (await site.refused(token, "POST", "/v1/merchant/requests", past))["code"] == "malformed"


async def test_a_quote_is_what_the_payment_then_costs(site: Site) -> None:
    payer, payee, shop = await site.scheme.customer(funds=90_000), await site.scheme.customer("Tomás"), await site.scheme.merchant()
    for whom, amount, fee, paid_by in ((payee, 20_000, 20, "payer"), (payee, 100, 0, "payer"), (shop, 1_000, 5, "payee")):
        quote = await site.ok(payer, "GET", "/v1/quote", query=f"payee={id_text(whom.account)}&amount={amount}")
        assert (quote["fee"], quote["fee_paid_by"]) == (fee, paid_by)
        before = payer.balance()
        receipt = (await site.pay(payer.sign(payer.order(whom, amount)))).json()
        assert receipt["fee"] == quote["fee"]
        assert before - payer.balance() == quote["total"]
    assert (await site.refused(payer, "GET", "/v1/quote", query=f"payee={id_text(payer.account)}&amount=5"))[
        "code"
    ] == "same_payer_and_payee"


async def test_the_history_is_paged_without_gaps_and_ends_at_the_balance(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=1_000), await site.scheme.customer("Li 李")
    for number in range(7):
        await payer.pay(payee, 10 + number)
    seen, cursor = [], ""
    while cursor is not None:
        page = await site.ok(payer, "GET", "/v1/history", query=f"limit=3{cursor and f'&cursor={cursor}'}")
        seen += page["entries"]
        cursor = page["next"]
    assert [entry["change"] for entry in seen] == [-16, -15, -14, -13, -12, -11, -10, 1_000]
    assert seen[0]["balance"] == payer.balance()
    assert all(later["balance"] == earlier["balance"] + later["change"] for later, earlier in itertools.pairwise(seen))
    assert (seen[0]["counterparty_name"], seen[0]["code"], seen[0]["kind"]) == ("Li 李", "payment", "pay")


async def test_a_batch_pays_each_line_once_with_its_own_result(site: Site) -> None:
    payer, first, second = await site.scheme.merchant(funds=10_000), await site.scheme.customer(), await site.scheme.customer()
    file = f"to,amount,memo\n{first.address},12.50,wage\n{second.address},3.00,\n+254799999999,1.00,nobody\n"
    form = forms.Batch(
        origin=site.services.config.origin,
        asset="USD",
        payer=payer.account,
        id=new_id(site.services.clock),
        count=3,
        total=1_650,
        max_fee=10,
        expiry_ms=site.services.clock.now_ns() // 1_000_000 + 60_000,
        lines_hash=hashlib.sha256(file.encode()).digest(),
        memo="November",
    )
    body = signed_body(payer.sign(forms.encode(form))) | {"file": file}
    assert (await site.refused(None, "POST", "/v1/batches", body | {"file": file.replace("3.00", "4.00")}))["code"] == "malformed"
    path = f"/v1/batches/{id_text(form.id)}"
    for _ in range(2):
        await site.ok(None, "POST", "/v1/batches", body)
    async with asyncio.timeout(20):
        while (status := await site.ok(payer, "GET", path))["state"] != "done":
            await asyncio.sleep(0.05)
    assert (status["completed"], status["completed_amount"], status["refused"], status["memo"]) == (2, 1_550, 1, "November")
    lines = await site.ok(payer, "GET", f"{path}/lines", query="limit=2")
    rest = await site.ok(payer, "GET", f"{path}/lines", query=f"cursor={lines['next']}")
    assert [line["outcome"] for line in lines["lines"] + rest["lines"]] == ["completed", "completed", "party_not_found"]
    assert (first.balance(), second.balance()) == (1_250, 300)
    assert (await site.refused(first, "GET", path))["code"] == "not_found"


async def test_a_standing_order_is_made_carried_out_and_cancelled(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=1_000), await site.scheme.customer()
    form = forms.StandingOrder(
        origin=site.services.config.origin,
        asset="USD",
        payer=payer.account,
        payee=payee.account,
        amount=100,
        max_fee=0,
        id=new_id(site.services.clock),
        first_at_ms=site.services.clock.now_ns() // 1_000_000,
        every=forms.Every.MONTH,
        count_max=0,
        memo="rent",
    )
    body = signed_body(payer.sign(forms.encode(form)))
    made = await site.ok(None, "POST", "/v1/standing-orders", body)
    assert (made["every"], made["state"], made["count_max"]) == ("month", "active", None)
    path = f"/v1/standing-orders/{made['id']}"
    async with asyncio.timeout(20):
        while (await site.ok(payer, "GET", path))["done"] == 0:
            await asyncio.sleep(0.05)
    assert (await site.refused(payee, "GET", path))["code"] == "not_found"
    for _ in range(2):
        assert (await site.ok(payer, "POST", f"{path}/cancel"))["state"] == "cancelled"
    listed = (await site.ok(payer, "GET", "/v1/standing-orders"))["standing_orders"]
    assert [(each["id"], each["last_outcome"]) for each in listed] == [(made["id"], "completed")]
    assert payee.balance() == 100
