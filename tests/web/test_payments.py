"""Payments over HTTP: what a person sends, what comes back, and what does not happen."""

from __future__ import annotations

import asyncio

import pytest

from counterfoil.ids import id_text, new_id
from counterfoil.payments import acknowledgement
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Acknowledgement
from counterfoil.web.values import parse_base64
from tests.web.site import Site, hold, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_signed_order_moves_money_and_answers_the_receipt(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=5_000), await site.scheme.merchant()
    order = payer.order(payee, 1_000, memo="Kopi ☕ 안녕")
    answer = await site.pay(payer.sign(order))
    assert answer.status_code == 200, answer.text
    receipt = answer.json()
    assert (receipt["amount"], receipt["fee"], receipt["fee_paid_by"]) == (1_000, 5, "payee")
    assert (receipt["state"], receipt["kind"], receipt["service"]) == ("completed", "pay", "purchase")
    assert (receipt["id"], receipt["memo"]) == (id_text(order.id), "Kopi ☕ 안녕")
    assert (receipt["account"], receipt["balance"], receipt["available"]) == (id_text(payer.account), 4_000, 4_000)
    assert (payer.balance(), payee.balance()) == (4_000, 995)
    assert answer.headers["cache-control"] == "no-store"


async def test_the_receipt_carries_the_operators_word(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
    receipt = (await site.pay(payer.sign(payer.order(payee, 200)))).json()
    key = parse_base64((await site.ok(None, "GET", "/v1/scheme"))["operator_key"], "operator_key")
    word = Acknowledgement(**{name: parse_base64(text, name) for name, text in receipt["acknowledgement"].items()})
    statement = acknowledgement.verify(word, key=key)
    assert (statement.amount, statement.balance, statement.account) == (200, 300, payer.account)
    assert statement.order_hash == parse_base64(receipt["order_hash"], "order_hash")


async def test_a_repeat_gets_the_same_bytes_and_moves_nothing(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
    signed = payer.sign(payer.order(payee, 200))
    first = await site.pay(signed)
    await site.pay(payer.sign(payer.order(payee, 100)))
    again = await asyncio.gather(*(site.pay(signed) for _ in range(5)))
    assert {answer.content for answer in again} == {first.content}
    assert (payer.balance(), payee.balance()) == (200, 300)


async def test_a_hold_is_captured_in_part_over_http(site: Site) -> None:
    payer, shop = await site.scheme.customer(funds=1_000), await site.scheme.merchant()
    held = (await site.pay(payer.sign(hold(payer, shop, 600)))).json()
    assert (held["state"], held["balance"], held["available"]) == ("held", 1_000, 400)
    captured = await site.pay(
        shop.sign(shop.order(shop, 500, kind=OrderKind.CAPTURE, payer=payer.account, reference=int(held["id"].replace("-", ""), 16)))
    )
    assert captured.status_code == 200, captured.text
    assert (payer.balance(), payer.available(), shop.balance()) == (500, 500, 498)
    assert (await site.ok(payer, "GET", f"/v1/payments/{held['id']}"))["state"] == "captured"


async def test_a_receipt_is_for_payer_and_payee_only(site: Site) -> None:
    payer, payee, other = await site.scheme.customer(funds=500), await site.scheme.customer(), await site.scheme.customer()
    paid = (await site.pay(payer.sign(payer.order(payee, 200)))).json()
    path = f"/v1/payments/{paid['id']}"
    assert await site.ok(payer, "GET", path) == paid
    received = await site.ok(payee, "GET", path)
    assert (received["account"], received["balance"]) == (id_text(payee.account), 200)
    assert (await site.refused(other, "GET", path))["code"] == "payment_not_found"
    assert (await site.refused(None, "GET", path))["code"] == "not_authenticated"


async def test_a_refusal_by_the_ledger_is_told_again_to_a_repeat(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
    signed = payer.sign(payer.order(payee, 501))
    first = problem(await site.pay(signed))
    assert (first["code"], first["status"], first["retry"]) == ("insufficient_funds", 422, "change")
    await site.scheme.fund(payer, 1_000)
    again = problem(await site.pay(signed))
    assert again["code"] == "insufficient_funds"
    assert (payer.balance(), payee.balance()) == (1_500, 0)


async def test_many_at_once_all_arrive_once(site: Site) -> None:
    payers = [await site.scheme.customer(funds=1_000) for _ in range(4)]
    payee = await site.scheme.merchant()
    signed = [payer.sign(payer.order(payee, 10)) for payer in payers for _ in range(20)]
    answers = await asyncio.gather(*(site.pay(each) for each in [*signed, *signed[:10]]))
    assert {answer.status_code for answer in answers} == {200}
    assert [payer.balance() for payer in payers] == [800] * 4
    assert payee.balance() == 80 * 10


async def test_an_id_used_for_something_else_is_a_conflict(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
    taken = new_id(site.services.clock)
    await site.pay(payer.sign(payer.order(payee, 100, id=taken)))
    assert problem(await site.pay(payer.sign(payer.order(payee, 101, id=taken))))["code"] == "id_reused"
    assert (payer.balance(), payee.balance()) == (400, 100)
