"""Standing orders and claims: what happens while nobody looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterfoil import errors
from counterfoil.ids import new_id
from counterfoil.payments import forms, records
from counterfoil.payments.forms import Every
from counterfoil.payments.orders import ORDER_LIFETIME_MAX_MS, OrderKind
from counterfoil.payments.recovery import MARGIN_S, Recovery
from counterfoil.payments.service import Payments
from counterfoil.payments.standing import StandingOrder, StandingState
from counterfoil.payments.types import AuthorisationClass, Payment
from tests.scheme import DAY_S, Person, Scheme, opened


async def stand(payer: Person, payee: Person, amount: int, /, **changes: Any) -> StandingOrder:
    services = payer.scheme.services
    values: dict[str, Any] = {
        "origin": services.config.origin,
        "asset": services.config.currency_code,
        "payer": payer.account,
        "payee": payee.account,
        "amount": amount,
        "max_fee": 100,
        "id": new_id(services.clock),
        "first_at_ms": services.clock.now_ns() // 1_000_000 + 60_000,
        "every": Every.DAY,
        "count_max": 0,
        "memo": "rent",
    }
    return await services.standing.create(payer.sign(forms.encode(forms.StandingOrder(**(values | changes)))))


async def run_all(scheme: Scheme) -> None:
    while await scheme.services.standing.run_due():
        pass


async def test_what_is_due_is_paid_once_and_what_was_missed_is_made_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer("Ha-eun", funds=100_000), await scheme.customer("Landlord")
        order = await stand(payer, payee, 1_000, count_max=4)
        await run_all(scheme)
        assert payee.balance() == 0
        scheme.clock.offset_s += 61
        await run_all(scheme)
        await run_all(scheme)
        assert payee.balance() == 1_000
        scheme.clock.offset_s += 2 * DAY_S
        await run_all(scheme)
        assert payee.balance() == 3_000
        scheme.clock.offset_s += 30 * DAY_S
        await run_all(scheme)
        ended = await scheme.services.standing.find(order.id, payer.account)
        assert (payee.balance(), ended.done, ended.state) == (4_000, 4, StandingState.ENDED)
        with pytest.raises(errors.NotInThisState):
            await scheme.services.standing.cancel(order.id, payer.account)


async def test_one_without_money_is_recorded_and_the_next_comes(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer("Ha-eun", funds=500), await scheme.customer("Landlord")
        order = await stand(payer, payee, 1_000)
        scheme.clock.offset_s += 61
        await run_all(scheme)
        assert (await scheme.services.standing.find(order.id, payer.account)).last_outcome == "insufficient_funds"
        await scheme.fund(payer, 5_000)
        scheme.clock.offset_s += DAY_S
        await run_all(scheme)
        assert payee.balance() == 1_000


async def test_a_cancelled_one_pays_no_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer("Ha-eun", funds=5_000), await scheme.customer("Landlord")
        order = await stand(payer, payee, 1_000)
        with pytest.raises(errors.NotFound):
            await scheme.services.standing.cancel(order.id, payee.account)
        assert (await scheme.services.standing.cancel(order.id, payer.account)).state is StandingState.CANCELLED
        scheme.clock.offset_s += 10 * DAY_S
        await run_all(scheme)
        assert payee.balance() == 0


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"payee": 99}, errors.PartyNotFound),
        ({"first_at_ms": 1}, errors.Malformed),
        ({"every": 4}, errors.Malformed),
        ({"asset": "EUR"}, errors.WrongScheme),
    ],
)
async def test_a_wrong_one_is_refused_at_once(tmp_path: Path, changes: dict[str, Any], refusal: type[errors.Refused]) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer("Ha-eun", funds=5_000), await scheme.customer("Landlord")
        with pytest.raises(refusal):
            await stand(payer, payee, 1_000, **changes)
        assert await scheme.services.standing.of_account(payer.account) == []


async def test_a_claim_that_a_crash_left_behind_is_given_back(tmp_path: Path) -> None:
    """A refund was kept, the process died before the ledger was asked, and the order never came again."""
    async with opened(tmp_path) as scheme:
        payer, shop = await scheme.customer("Ha-eun", funds=50_000), await scheme.merchant(funds=20_000)
        bought = await payer.pay(shop, 10_000)
        done = await shop.answer(OrderKind.REFUND, bought, 1_000)
        left_behind = await keep_only(scheme.services.payments, shop, payer, 9_000, bought.payment.id)
        with pytest.raises(errors.AboveOriginal):
            await shop.answer(OrderKind.REFUND, bought, 9_000)
        recovery = Recovery(scheme.services.payments, scheme.clock)
        assert await recovery.run_once() == 0
        scheme.clock.offset_s += ORDER_LIFETIME_MAX_MS // 1_000 + MARGIN_S + 1
        assert await recovery.run_once() == 2
        assert await recovery.run_once() == 0
        await shop.answer(OrderKind.REFUND, bought, 9_000)
        assert payer.balance() == 50_000
        with pytest.raises(errors.OrderExpired):
            await scheme.services.payments.receipt(left_behind.id, shop.account)
        assert (await scheme.services.payments.receipt(done.payment.id, shop.account)).payment.amount == 1_000


async def keep_only(payments: Payments, shop: Person, payer: Person, amount: int, reference: int) -> Payment:
    """What a process that dies between store and ledger leaves: the payment is kept, and nothing else happened."""
    order = shop.order(payer, amount, kind=OrderKind.REFUND, reference=reference)
    signed = shop.sign(order)
    original = await payments.find(reference)
    assert original is not None
    payment = Payment(
        id=order.id,
        order_hash=bytes(32),
        kind=OrderKind.REFUND,
        service=original.service,
        payer=shop.account,
        payee=payer.account,
        amount=amount,
        fee=0,
        fee_paid_by=original.fee_paid_by,
        reference=reference,
        timeout_s=0,
        memo="",
        authorisation=AuthorisationClass.DEVICE,
        device=shop.device,
        mandate=0,
        order=signed.order,
        signature=signed.signature,
        created_at=payments.clock.now_ns(),
        expires_at=order.expiry_ms * 1_000_000,
    )
    assert await payments.store.write_together(records.keep, payment) == payment
    return payment
