"""Payments by PIN take the one way of every payment: once for each id, with the same receipt, and nothing of the PIN stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from counterfoil import errors
from counterfoil.ledger.check import check
from counterfoil.payments.orders import OrderKind, order_hash
from counterfoil.payments.service import PinMandate
from counterfoil.payments.types import AuthorisationClass, PaymentState
from tests.scheme import Person, Scheme, opened

PIN = "2580"


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "data") as scheme:
        yield scheme
        report = check(scheme.services.ledger._engine)
        assert report.passed, report.findings


async def pair(scheme: Scheme) -> tuple[Person, Person]:
    return await scheme.simple_phone(funds=40_000), await scheme.merchant()


async def test_a_simple_phone_pays_by_pin(scheme: Scheme) -> None:
    payer, shop = await pair(scheme)
    receipt = await payer.pay_by_pin(shop, 2_000, memo="rice")
    assert (payer.balance(), shop.balance()) == (38_000, 1_990)
    assert (receipt.state, receipt.account, receipt.balance) == (PaymentState.COMPLETED, payer.account, 38_000)
    payment = receipt.payment
    assert (payment.authorisation, payment.device, payment.mandate, payment.signature) == (AuthorisationClass.PIN, 0, 0, b"")
    assert payment.order_hash == order_hash(payment.order)


async def test_the_same_order_again_gets_the_same_receipt_and_moves_nothing(scheme: Scheme) -> None:
    payer, shop = await pair(scheme)
    order = payer.order(shop, 4_000)
    pay = scheme.services.payments.pay_by_pin
    receipts = await asyncio.gather(*(pay(order, PIN) for _ in range(3)))
    assert receipts[0] == receipts[1] == receipts[2]
    assert payer.balance() == 36_000
    await pay(payer.order(shop, 5_000), PIN)  # the day's limit is nearly used up: the repeat alone would be above it
    assert await pay(order, PIN) == receipts[0]
    scheme.clock.offset_s += 3_600  # expired by now
    assert await pay(order, PIN) == receipts[0]
    with pytest.raises(errors.IdReused):
        await pay(msgspec.structs.replace(order, amount=1), PIN)
    assert payer.balance() == 31_000


async def test_a_repeat_needs_the_pin_too(scheme: Scheme) -> None:
    payer, shop = await pair(scheme)
    order = payer.order(shop, 100)
    pay = scheme.services.payments.pay_by_pin
    await pay(order, PIN)
    for _ in range(5):
        with pytest.raises(errors.WrongPin):
            await pay(order, "1111")
    with pytest.raises(errors.PinLocked):
        await pay(order, PIN)


async def test_a_repeat_hears_the_refusal_of_before(scheme: Scheme) -> None:
    payer, shop = await scheme.simple_phone(funds=100), await scheme.merchant()
    order = payer.order(shop, 200)
    for _ in range(2):
        with pytest.raises(errors.InsufficientFunds):
            await scheme.services.payments.pay_by_pin(order, PIN)
    assert payer.balance() == 100


async def test_the_scheme_sets_limits_for_pins(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", pin_per_payment=3_000, pin_per_day=5_000) as scheme:
        payer, shop = await pair(scheme)
        with pytest.raises(errors.LimitExceeded) as caught:
            await payer.pay_by_pin(shop, 3_001)
        assert caught.value.facts["limit"] == "pin_per_payment"
        await payer.pay_by_pin(shop, 3_000)
        await payer.pay_by_pin(shop, 1_500, kind=OrderKind.HOLD, timeout_s=600)
        with pytest.raises(errors.LimitExceeded) as caught:
            await payer.pay_by_pin(shop, 501)
        assert (caught.value.facts["limit"], caught.value.facts["left"]) == ("pin_per_day", 500)


async def test_who_has_a_device_allows_it_first(scheme: Scheme) -> None:
    payer, shop = await scheme.customer(funds=40_000), await scheme.merchant()
    await scheme.services.parties.pins.set(payer.party, PIN, by=None)
    with pytest.raises(errors.PinNotAllowed):
        await payer.pay_by_pin(shop, 100)
    await payer.allow_pin(300)
    await payer.pay_by_pin(shop, 300)
    await payer.pay(shop, 5_000)  # the device itself pays what it likes
    with pytest.raises(errors.LimitExceeded):
        await payer.pay_by_pin(shop, 1)


@pytest.mark.parametrize("kind", [OrderKind.CAPTURE, OrderKind.RELEASE, OrderKind.REFUND])
async def test_a_pin_takes_nothing_back(scheme: Scheme, kind: OrderKind) -> None:
    payer, shop = await pair(scheme)
    with pytest.raises(errors.Malformed) as caught:
        await payer.pay_by_pin(shop, 100, kind=kind, reference=7)
    assert caught.value.facts["field"] == "order.kind"


async def test_terms_hold_for_orders_under_a_pin(scheme: Scheme) -> None:
    payer, shop = await pair(scheme)
    now_ms = scheme.clock.now_ns() // 1_000_000
    with pytest.raises(errors.OrderExpired):
        await payer.pay_by_pin(shop, 100, expiry_ms=now_ms - 1)
    with pytest.raises(errors.Malformed):
        await payer.pay_by_pin(shop, 100, expiry_ms=now_ms + 8 * 86_400_000)
    with pytest.raises(errors.Malformed):
        await payer.pay_by_pin(shop, 100, memo="x" * 257)
    assert payer.balance() == 40_000


async def test_the_fee_is_at_most_what_was_shown(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", pin_per_payment=50_000, pin_per_day=50_000) as scheme:
        payer, other = await scheme.simple_phone(funds=40_000), await scheme.customer()
        with pytest.raises(errors.FeeAboveMaximum):
            await payer.pay_by_pin(other, 20_000, max_fee=19)
        assert (await payer.pay_by_pin(other, 20_000, max_fee=20)).payment.fee == 20
        assert payer.balance() == 19_980


async def test_the_pin_is_kept_nowhere(scheme: Scheme, capsys: pytest.CaptureFixture[str]) -> None:
    payer, shop = await scheme.simple_phone(funds=40_000, pin="86420975"), await scheme.merchant()
    await payer.pay_by_pin(shop, 100, pin="86420975")
    with pytest.raises(errors.WrongPin):
        await payer.pay_by_pin(shop, 100, pin="97531864")
    folder = scheme.services.config.folder
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"86420975" not in kept
    assert b"97531864" not in kept
    printed = capsys.readouterr()
    assert "86420975" not in printed.out + printed.err + repr(PinMandate(0, AuthorisationClass.PIN, "86420975"))
