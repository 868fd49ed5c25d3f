"""Requests say what may answer them: a payment, an agent's cash in, or a hold. And payments that name a request before it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.ids import new_id
from counterfoil.ledger.check import check
from counterfoil.payments import forms, records
from counterfoil.payments.fees import Fee, Service
from counterfoil.payments.forms import Purpose
from counterfoil.payments.orders import ORDER_LIFETIME_MAX_MS, OrderKind
from counterfoil.payments.recovery import MARGIN_S, Recovery
from counterfoil.payments.requests import RequestState
from counterfoil.payments.types import AuthorisationClass, Payment, PaymentState
from tests.scheme import Person, Scheme, opened

HOLD = {"kind": OrderKind.HOLD, "timeout_s": 600}


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "data") as scheme:
        yield scheme
        report = check(scheme.services.ledger._engine)
        assert report.passed, report.findings


async def payer_and_shop(scheme: Scheme) -> tuple[Person, Person]:
    return await scheme.customer("Amina", funds=50_000), await scheme.merchant("Fuel station")


async def state(payer: Person, request: int) -> RequestState:
    return (await payer.scheme.services.requests.find(request, payer.account)).state


async def test_a_hold_answers_a_request_for_a_hold_once(scheme: Scheme) -> None:
    payer, shop = await payer_and_shop(scheme)
    request = await shop.ask(None, 6_000, purpose=Purpose.HOLD)
    hold = await payer.pay(shop, 6_000, reference=request, **HOLD)
    found = await scheme.services.requests.find(request, payer.account)
    assert (found.state, found.paid_by, found.purpose) == (RequestState.PAID, hold.payment.id, Purpose.HOLD)
    with pytest.raises(errors.NotInThisState):
        await payer.pay(shop, 6_000, reference=request, **HOLD)
    await shop.answer(OrderKind.CAPTURE, hold, 4_000)
    assert (payer.balance(), payer.available()) == (46_000, 46_000)
    with pytest.raises(errors.NotInThisState):
        await payer.pay(shop, 6_000, reference=request, **HOLD)


@pytest.mark.parametrize(("purpose", "order"), [(Purpose.HOLD, {}), (Purpose.PAY, HOLD)])
async def test_the_other_kind_does_not_answer(scheme: Scheme, purpose: Purpose, order: dict[str, Any]) -> None:
    payer, shop = await payer_and_shop(scheme)
    request = await shop.ask(None, 6_000, purpose=purpose)
    with pytest.raises(errors.Malformed, match=r"order\.kind"):
        await payer.pay(shop, 6_000, reference=request, **order)
    assert await state(payer, request) is RequestState.OPEN


async def test_an_agents_hold_is_no_cash_in(scheme: Scheme) -> None:
    customer, agent = await scheme.customer(), await scheme.agent(funds=50_000)
    request = await customer.ask(agent, 5_000, purpose=Purpose.HOLD)
    with pytest.raises(errors.CustomerMustAsk):
        await agent.pay(customer, 5_000, reference=request, **HOLD)


async def test_a_request_for_a_hold_needs_an_amount(scheme: Scheme) -> None:
    _, shop = await payer_and_shop(scheme)
    with pytest.raises(errors.Malformed, match=r"request\.purpose"):
        await shop.ask(None, 0, purpose=Purpose.HOLD)
    with pytest.raises(errors.Malformed, match=r"request\.purpose"):
        await shop.ask(None, 100, purpose=3)


async def test_a_refused_hold_gives_the_request_back(scheme: Scheme) -> None:
    payer, shop = await payer_and_shop(scheme)
    request = await shop.ask(None, 60_000, purpose=Purpose.HOLD)
    with pytest.raises(errors.InsufficientFunds):
        await payer.pay(shop, 60_000, reference=request, **HOLD)
    assert await state(payer, request) is RequestState.OPEN
    await scheme.fund(payer, 20_000)
    await payer.pay(shop, 60_000, reference=request, **HOLD)
    assert await state(payer, request) is RequestState.PAID


@pytest.mark.parametrize("purpose", [Purpose.PAY, Purpose.HOLD])
async def test_what_a_crash_left_between_keeping_and_committing(scheme: Scheme, purpose: Purpose) -> None:
    """The same order again is carried out; without it, the claim is given back after the order's time."""
    payer, shop = await payer_and_shop(scheme)
    kind = HOLD if purpose is Purpose.HOLD else {}
    requests = [await shop.ask(None, 1_000, purpose=purpose, expiry_ms=scheme.clock.now_ns() // 10**6 + 80 * 86_400_000) for _ in range(2)]
    orders = [payer.order(shop, 1_000, reference=request, **kind) for request in requests]
    kept = [await keep_only(payer, shop, order) for order in orders]
    for request in requests:
        with pytest.raises(errors.NotInThisState):
            await payer.pay(shop, 1_000, reference=request, **kind)
    receipt = await scheme.services.payments.pay(payer.sign(orders[0]))
    assert receipt.state is (PaymentState.HELD if purpose is Purpose.HOLD else PaymentState.COMPLETED)
    scheme.clock.offset_s += ORDER_LIFETIME_MAX_MS // 1_000 + MARGIN_S + 1
    await Recovery(scheme.services.payments, scheme.clock).run_once()
    assert await state(payer, requests[0]) is RequestState.PAID
    assert await state(payer, requests[1]) is RequestState.OPEN
    with pytest.raises(errors.OrderExpired):
        await scheme.services.payments.receipt(kept[1].id, payer.account)
    await payer.pay(shop, 1_000, reference=requests[1], **kind)


# A request that comes after its payment


async def test_a_request_finds_the_payment_that_came_before_it(scheme: Scheme) -> None:
    payer, shop = await payer_and_shop(scheme)
    request = new_id(scheme.clock)
    receipt = await payer.pay(shop, 820, reference=request)
    with pytest.raises(errors.NotInThisState):
        await payer.pay(shop, 820, reference=request)
    await shop.ask(None, 820, id=request)
    found = await scheme.services.requests.find(request, payer.account)
    assert (found.state, found.paid_by) == (RequestState.PAID, receipt.payment.id)
    with pytest.raises(errors.NotInThisState):
        await payer.pay(shop, 820, reference=request)


@pytest.mark.parametrize("wrong", [{"amount": 1}, {"kind": OrderKind.HOLD, "timeout_s": 60}, {"elsewhere": True}])
async def test_another_payment_is_in_nobodys_way(scheme: Scheme, wrong: dict[str, Any]) -> None:
    payer, shop = await payer_and_shop(scheme)
    stranger, other = await scheme.customer("Eve", funds=5_000), await scheme.merchant("Other shop")
    request, wrong = new_id(scheme.clock), dict(wrong)
    payee = other if wrong.pop("elsewhere", False) else shop
    await stranger.pay(payee, wrong.pop("amount", 820), reference=request, **wrong)
    receipt = await payer.pay(shop, 820, reference=request)
    await shop.ask(None, 820, id=request)
    assert (await scheme.services.requests.find(request, payer.account)).paid_by == receipt.payment.id


async def test_a_refused_payment_leaves_the_coming_request_open(scheme: Scheme) -> None:
    payer, shop = await payer_and_shop(scheme)
    request = new_id(scheme.clock)
    with pytest.raises(errors.InsufficientFunds):
        await payer.pay(shop, 90_000, reference=request)
    await shop.ask(None, 90_000, id=request)
    assert await state(payer, request) is RequestState.OPEN


async def test_only_merchants_are_paid_ahead_of_a_request(scheme: Scheme) -> None:
    payer, friend = await scheme.customer(funds=5_000), await scheme.customer("Friend")
    with pytest.raises(errors.NotFound):
        await payer.pay(friend, 100, reference=new_id(scheme.clock))


def test_the_bytes_of_a_request_carry_its_purpose() -> None:
    form = forms.RequestToPay("x/log", "USD", 1, 2, 3, 4, 5, Purpose.HOLD, "pump 4")
    data = forms.encode(form)
    assert data[-7:] == b"\x02pump 4"
    assert forms.decode(data, forms.RequestToPay) == form
    with pytest.raises(errors.Malformed, match=r"request\.purpose"):
        forms.decode(data[:-7] + b"\x03pump 4", forms.RequestToPay)


async def keep_only(payer: Person, shop: Person, order: Any) -> Payment:
    """What a process that dies between store and ledger leaves: the payment is kept, and nothing else happened."""
    payments = payer.scheme.services.payments
    signed = payer.sign(order)
    quote = await payments.quote(payer=payer.account, payee=shop.account, amount=order.amount, kind=order.kind)
    draft = payments._draft(order, signed, None, Service.PURCHASE, Fee(quote.fee, quote.fee_paid_by))
    assert draft.authorisation is AuthorisationClass.DEVICE
    assert await payments.store.write_together(records.keep, draft) == draft
    return draft
