"""Countersignatures over HTTP: a shop's device is asked, signs, and is not asked again; nobody says anything for another."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.payments.types import Receipt
from counterfoil.web.values import base64_text
from tests.scheme import Person
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/countersignatures"


def body(shop: Person, *paid: Receipt, **changes: Any) -> dict[str, Any]:
    signed = [shop.countersignature(each, **changes) for each in paid]
    return {"countersignatures": [{"statement": base64_text(s.statement), "signature": base64_text(s.signature)} for s in signed]}


async def test_a_shop_is_asked_countersigns_and_is_not_asked_again(site: Site) -> None:
    kofi, shop, other = await site.scheme.simple_phone(funds=9_000), await site.scheme.merchant(), await site.scheme.merchant()
    paid = [await kofi.pay_by_pin(shop, 100 + n) for n in range(50)]
    asked = (await site.ok(shop, "GET", PATH))["receipts"]
    assert [receipt["amount"] for receipt in asked] == [receipt.payment.amount for receipt in reversed(paid)]
    assert {(each["kind"], each["service"], each["account"] == each["payee"]) for each in asked} == {("pay", "purchase", True)}
    assert (await site.refused(shop, "POST", PATH, body(shop, paid[0], amount=1)))["code"] == "payment_not_found"
    assert (await site.refused(other, "POST", PATH, body(other, paid[0])))["code"] == "payment_not_found"
    assert (await site.refused(other, "POST", PATH, body(shop, paid[0])))["code"] == "wrong_signature"
    assert (await site.refused(None, "POST", PATH, body(shop, paid[0])))["code"] == "not_authenticated"
    wrongs: list[dict[str, Any]] = [{"countersignatures": []}, body(shop, *paid, paid[0]), body(shop) | {"device": "x"}]
    for wrong in wrongs:
        assert (await site.refused(shop, "POST", PATH, wrong))["code"] == "malformed"
    for _ in range(2):
        assert await site.ok(shop, "POST", PATH, body(shop, *paid)) is None
    assert (await site.ok(shop, "GET", PATH))["receipts"] == []


async def test_a_token_is_no_key(site: Site) -> None:
    kofi, shop = await site.scheme.simple_phone(funds=9_000), await site.scheme.merchant()
    paid = await kofi.pay_by_pin(shop, 100)
    token = await site.token(shop, "payments:read", "refunds:write")
    for method, content in (("GET", None), ("POST", body(shop, paid))):
        assert (await site.refused(token, method, PATH, content))["code"] == "forbidden"
    assert len((await site.ok(shop, "GET", PATH))["receipts"]) == 1
