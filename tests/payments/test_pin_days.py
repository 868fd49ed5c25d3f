"""What is told of payments by PIN: all of them and no others, by day, as the log has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx2
import pytest

from counterfoil.errors import Unavailable
from counterfoil.folder import log_folder, openings_path
from counterfoil.ledger.types import QueryFilter
from counterfoil.parties.pin_payments import MARK
from counterfoil.payments import pin_days
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.pin_days import DAYS, LOOK_INTERVAL_S, PinDays
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.published import PublishedLog
from counterfoil.web.app import create_app
from tests.scheme import DAY_S, MovedClock, Scheme, opened


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path / "data", publishing=True) as scheme:
        yield scheme


def days_of(scheme: Scheme) -> PinDays:
    return PinDays(openings_path(scheme.services.config), origin=scheme.services.config.origin, zone=ZoneInfo("UTC"), clock=scheme.clock)


async def published(scheme: Scheme, payment: int, account: int) -> int:
    """The size of the log whose last entry is the payment."""
    receipts = scheme.services.receipts
    assert receipts is not None
    async with asyncio.timeout(120):
        while receipts.status(payment, account).index is None:
            await asyncio.sleep(0.05)
    note = PublishedLog(log_folder(scheme.services.config)).checkpoint()
    assert note is not None
    return Checkpoint.parse(note.text).size


async def test_debits_by_pin_are_counted_by_day_and_nothing_else_is(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    kofi, agent, friend = await scheme.simple_phone(funds=50_000), await scheme.merchant(), await scheme.customer(funds=9_000)
    began = scheme.clock.now_ns()
    bought = await kofi.pay_by_pin(agent, 1_500)
    await agent.countersign(bought)
    sent = await kofi.pay_by_pin(friend, 700)
    hold = await kofi.pay_by_pin(agent, 900, kind=OrderKind.HOLD, timeout_s=600)
    await agent.answer(OrderKind.CAPTURE, hold, 400)
    await friend.pay(kofi, 300)
    await friend.allow_pin(0)
    last = await friend.pay(agent, 10)
    size = await published(scheme, last.payment.id, agent.account)

    found = await days_of(scheme).last(size)
    assert found is not None
    assert len(found) == DAYS
    assert sum(day.count for day in found) == 3
    fees = sum(r.payment.fee for r in (sent, hold) if r.payment.fee_paid_by.value == "payer")
    assert sum(day.amount for day in found) == 1_500 + 700 + 900 + fees
    by_ledger = await scheme.services.ledger.query_transfers(QueryFilter(limit=500, user_data_32=MARK))
    assert sum(transfer.amount for transfer in by_ledger if transfer.debit_account_id == kofi.account) == sum(
        day.amount for day in found
    ), "as the limits count them"
    assert [sum(getattr(day, name) for day in found) for name in ("purchases", "purchased", "countersigned")] == [1, 1_500, 1]
    assert found[-2].start < began
    assert all(later.start - day.start == DAY_S * 10**9 for day, later in pairwise(found))

    monkeypatch.setattr(pin_days, "PAGE_SIZE", 1)
    monkeypatch.setattr(pin_days, "PAGES_MAX", 3)
    slow = days_of(scheme)
    assert [await slow.last(size) for _ in range(2)] == [None, found], "a little at each look, and each once"
    assert await slow.last(size) == found
    with pytest.raises(Unavailable):
        await days_of(scheme).last(size + 1_000)

    transport = httpx2.ASGITransport(app=create_app(scheme.services))
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        for language, title in (("en", "By PIN"), ("ko", "비밀번호로 보낸 돈"), ("fr", "Par code PIN")):
            page = (await client.get(f"/proof?lang={language}")).text
            assert title in page
        english = (await client.get("/proof?lang=en")).text
    assert '<td class="amount">3</td>' in english
    assert '<td class="amount">1</td><td class="amount">15.00</td><td class="amount">1</td>' in english
    assert "Counted by this server from the entries of the log" in english

    scheme.clock.offset_s += DAYS * DAY_S
    later = await slow.last(size)
    assert later is not None
    assert sum(day.count for day in later) == 0


async def test_a_countersignature_counts_for_the_day_of_its_payment(scheme: Scheme) -> None:
    kofi, shop = await scheme.simple_phone(funds=50_000), await scheme.merchant()
    bought = [await kofi.pay_by_pin(shop, amount) for amount in (100, 200)]
    days = days_of(scheme)
    before = await days.last(await published(scheme, bought[-1].payment.id, shop.account))
    scheme.clock.offset_s += DAY_S
    await shop.countersign(bought[1])
    later = await kofi.pay_by_pin(shop, 400)
    await shop.countersign(later)
    last = await kofi.pay_by_pin(shop, 1)
    size = await published(scheme, last.payment.id, shop.account)
    monotonic = scheme.clock.monotonic_ns()
    scheme.clock.monotonic_ns = lambda: monotonic + LOOK_INTERVAL_S * 10**9
    after = await days.last(size)
    assert before is not None
    assert after is not None
    assert [(day.purchases, day.purchased, day.countersigned) for day in before[-1:]] == [(2, 300, 0)]
    assert [(day.purchases, day.purchased, day.countersigned) for day in after[-2:]] == [(2, 300, 1), (2, 401, 1)]


async def test_without_a_log_nothing_is_told(tmp_path: Path) -> None:
    assert await PinDays(tmp_path / "none", origin="o", zone=ZoneInfo("UTC"), clock=MovedClock()).last(5) is None
