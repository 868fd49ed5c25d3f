"""Money is told by text to whom no device tells it: in a whole scheme, each movement once, with a balance that is right."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from counterfoil.channels.sms.money import MoneyTexts
from counterfoil.channels.sms.queue import Message, State
from counterfoil.channels.sms.texts import OTHER_LIFETIME_S
from counterfoil.errors import Unavailable
from counterfoil.payments.events import AccountEvent
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipt_codes import parse_code
from tests.scheme import MovedClock, Person, Scheme, opened

BOX: dict[str, Any] = {"sms": [{"name": "box", "kind": "sandbox", "part_cost": 4}], "pin_per_payment": 50_000, "pin_per_day": 100_000}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfoil.channels.sms.sender.PACE_S", 0.05)


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with opened(tmp_path, **BOX) as scheme:
        yield scheme


async def told(scheme: Scheme, person: Person, *kinds: str) -> list[Message]:
    """What a number was told of money, oldest first, once it is these kinds."""
    found: list[Message] = []
    try:
        async with asyncio.timeout(60):
            while [message.kind for message in found] != list(kinds) or any(message.state is not State.DELIVERED for message in found):
                await asyncio.sleep(0.02)
                found = [message for message in reversed(await scheme.services.sms.to_number(person.address)) if message.kind != "welcome"]
    except TimeoutError:
        raise AssertionError([message.kind for message in found]) from None
    return found


async def kinds_of(scheme: Scheme, person: Person) -> list[str]:
    """What a number was told of money so far: whoever is told later in the same payment is told already."""
    return [message.kind for message in await scheme.services.sms.to_number(person.address) if message.kind != "welcome"]


def money(amount: int) -> str:
    return f"{amount / 100:,.2f}"


async def test_a_payment_is_told_to_both_sides_with_fee_balance_and_receipt_code(scheme: Scheme) -> None:
    kofi, ama = await scheme.simple_phone("Kofi", funds=50_000), await scheme.simple_phone("Ama")
    receipt = await kofi.pay_by_pin(ama, 20_000)
    paid = (await told(scheme, kofi, "received", "paid"))[1]
    (received,) = await told(scheme, ama, "received")
    assert receipt.payment.fee > 0
    assert paid.text.startswith(f"You paid Ama 200.00 USD. Fee {money(receipt.payment.fee)}. Balance {money(kofi.available())}. ")
    assert received.text.startswith(f"You received 200.00 USD from Kofi. Balance {money(ama.available())}. ")
    assert received.cost == 4 * received.parts
    for person, text in ((kofi, paid.text), (ama, received.text)):
        (coded,) = await scheme.services.receipt_codes.find(parse_code(text.rpartition(" ")[2]))
        assert (coded.payment, coded.account) == (receipt.payment.id, person.account)


async def test_whoever_has_a_device_hears_of_money_there(scheme: Scheme) -> None:
    with_device, without = await scheme.customer(funds=10_000), await scheme.simple_phone()
    await with_device.pay(without, 500)
    await told(scheme, without, "received")
    assert await kinds_of(scheme, with_device) == []


async def test_what_is_set_aside_is_told_with_what_can_be_spent(scheme: Scheme) -> None:
    kofi, shop, agent = await scheme.simple_phone("Kofi", funds=50_000), await scheme.merchant(), await scheme.agent(funds=1_000)
    spendable = [("Balance", kofi.available())]
    kinds = ["received"]

    async def after(kind: str) -> None:
        kinds.append(kind)
        await told(scheme, kofi, *kinds)
        spendable.append(("Balance" if kofi.available() == kofi.balance() else "To spend", kofi.available()))

    for captured in (5_000, 2_000):
        held = await kofi.pay_by_pin(agent, 5_000, kind=OrderKind.HOLD, timeout_s=3_600)
        await after("held")
        await agent.answer(OrderKind.CAPTURE, held, captured)
        await after("cash_out")
    held = await kofi.pay_by_pin(shop, 800, kind=OrderKind.HOLD, timeout_s=3_600)
    await after("held")
    await shop.answer(OrderKind.CAPTURE, held, 700)
    await after("captured")
    held = await kofi.pay_by_pin(agent, 3_000, kind=OrderKind.HOLD, timeout_s=3_600)
    assert held.payment.fee > 0
    await after("held")
    await agent.answer(OrderKind.RELEASE, held, 3_000)
    await after("released")
    paid = await kofi.pay_by_pin(shop, 900)
    await after("paid")
    await shop.answer(OrderKind.REFUND, paid, 400)
    await after("refunded")
    found = [re.search(r"(Balance|To spend) ([0-9,.]+)\.", message.text) for message in await told(scheme, kofi, *kinds)]
    assert [(each[1], round(100 * float(each[2].replace(",", "")))) for each in found if each] == spendable


async def test_every_movement_is_told_once_though_the_store_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each first try writes all of it and then fails: what remains is the second try's."""
    write, broken = MoneyTexts.write, list[int]()

    def breaking(self: MoneyTexts, connection: Connection, events: list[AccountEvent]) -> None:
        write(self, connection, events)
        if len(broken) < 2:
            broken.append(len(events))
            raise Unavailable("the disk is full")

    monkeypatch.setattr(MoneyTexts, "write", breaking)
    monkeypatch.setattr("counterfoil.payments.feed.RETRY_S", 0.02)
    async with opened(tmp_path, **BOX) as scheme:
        kofi = await scheme.simple_phone(funds=10_000)
        ama = await scheme.simple_phone()
        for _ in range(3):
            await kofi.pay_by_pin(ama, 100)
    assert broken
    async with opened(tmp_path, **BOX) as scheme:
        await kofi_again(scheme, kofi).pay_by_pin(kofi_again(scheme, ama), 100)
        await told(scheme, ama, *["received"] * 4)
        await told(scheme, kofi, "received", *["paid"] * 4)


def kofi_again(scheme: Scheme, person: Person) -> Person:
    return Person(scheme, party=person.party, account=person.account, device=0, key=person.key, address=person.address)


async def test_a_request_is_told_once_with_its_amount_and_only_where_no_device_tells_it(scheme: Scheme) -> None:
    shop, kofi, modern = await scheme.merchant("Corner shop"), await scheme.simple_phone(), await scheme.customer()
    request = await shop.ask(kofi, 1_250)
    assert await shop.ask(
        kofi, 1_250, id=request, expiry_ms=(await scheme.services.requests.find(request, shop.account)).expires_at // 10**6
    )
    await shop.ask(modern, 900)
    await shop.ask(None, 800)
    await shop.ask(kofi, 0)
    first, second = await told(scheme, kofi, "request_received", "request_received")
    assert first.text == "You are asked for 12.50 USD by Corner shop. Pay only whom you know."
    assert second.text == "You are asked for money by Corner shop. Pay only whom you know."
    assert await kinds_of(scheme, modern) == []


async def test_without_a_gateway_nothing_follows_money_and_later_the_old_is_not_told(tmp_path: Path) -> None:
    clock = MovedClock()
    async with opened(tmp_path, clock, **BOX) as scheme:
        kofi, ama, shop = await scheme.simple_phone(funds=10_000), await scheme.simple_phone(), await scheme.merchant()
        await told(scheme, kofi, "received")
    async with opened(tmp_path, clock) as scheme:
        await kofi_again(scheme, kofi).pay_by_pin(ama, 100)
        await Person(scheme, party=shop.party, account=shop.account, device=shop.device, key=shop.key, address="").ask(ama, 100)
        waiting = await scheme.services.parties.notices.waiting()
        assert {notice.kind for notice in waiting} <= {"welcome"}  # of the life before, where it ended first
    clock.offset_s += OTHER_LIFETIME_S + 60
    async with opened(tmp_path, clock, **BOX) as scheme:
        await kofi_again(scheme, kofi).pay_by_pin(kofi_again(scheme, ama), 200)
        (received,) = await told(scheme, ama, "received")
        assert " 2.00 USD" in received.text
        await told(scheme, kofi, "received", "paid")
