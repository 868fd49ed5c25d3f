"""A whole life by USSD alone, by SMS alone, and mixed with the wallet ends in the same balances and the same receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import Browser, expect

from counterfoil.gateway_settings import UssdGateway
from tests.browser.conftest import browser as browser
from tests.browser.device import PHONE, device
from tests.channels.gateways.smsc import Smsc
from tests.flow.life import DEBITS, PIN, Way, check_after, check_books, live, town_in
from tests.flow.simple_phones import Dialled, KannelLine, SmscLine, Texted, dialled_at
from tests.flow.wallet_life import InWallet
from tests.kannel import PASSWORD, SENDER, USER, kannel
from tests.web.test_callbacks import SECRETS

SECRET = "a-secret-of-the-gateway-of-texts"


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts leave soon, for those who wait for them."""
    monkeypatch.setattr("counterfoil.channels.sms.sender.PACE_S", 0.1)


@pytest.mark.parametrize(("kind", "language"), [("africastalking", "en"), ("hollatags", "ko")])
async def test_by_ussd_alone_through_a_gateways_callback(tmp_path: Path, kind: str, language: str) -> None:
    gateway = UssdGateway(name=kind, kind=kind, secret=SECRETS[kind])
    async with town_in(tmp_path, language, ussd=[gateway], sms=[{"name": "shown", "kind": "sandbox"}]) as town:
        way = dialled_at(town, kind)
        await live(town, way)
        await check_books(town, way, by_pin=DEBITS)
    check_after(tmp_path / "scheme", by_pin=DEBITS)


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize(("by", "language"), [("ussd", "fr"), ("texts", "ko")])
async def test_by_ussd_alone_and_by_texts_alone_through_an_smsc(tmp_path: Path, by: str, language: str) -> None:
    smsc = Smsc()
    await smsc.start()
    settings = {"name": "operator", "kind": "smpp", "url": f"smpp://127.0.0.1:{smsc.port}", "user": "scheme", "password": "s3cret99"}
    try:
        async with town_in(tmp_path, language, sms=[settings | {"rate_per_s": 1_000}]) as town:
            line = SmscLine(smsc)
            way = Dialled(town, lambda: line, told=line.told) if by == "ussd" else Texted(town, line)
            await live(town, way)
            await check_books(town, way, by_pin=DEBITS)
    finally:
        await smsc.close()
    check_after(tmp_path / "scheme", by_pin=DEBITS)


@pytest.mark.usefixtures("quick_looks")
async def test_by_texts_alone_through_kannel(tmp_path: Path) -> None:
    with kannel(tmp_path / "kannel", "http://not-known-yet/") as boxes:
        settings = {
            "name": "main", "kind": "kannel", "url": boxes.url, "user": USER, "password": PASSWORD, "sender": SENDER, "secret": SECRET,
            "addresses": ["127.0.0.0/8"], "rate_per_s": 1_000,
        }  # fmt: skip
        async with town_in(tmp_path, "fr", sms=[settings]) as town:
            boxes.call(f"http://127.0.0.1:{town.site.port}/sms/main/{SECRET}")
            boxes.start()
            async with KannelLine(boxes).running() as line:
                way = Texted(town, line)
                await live(town, way)
                await check_books(town, way, by_pin=DEBITS)
    check_after(tmp_path / "scheme", by_pin=DEBITS)


class Mixed:
    """Each step in one of several ways; where a step comes twice, they take turns."""

    def __init__(self, **ways: list[Any]) -> None:
        self._ways = ways

    def __getattr__(self, step: str) -> Any:
        way = self._ways[step].pop(0) if len(self._ways[step]) > 1 else self._ways[step][0]
        return getattr(way, step)


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.asyncio(loop_scope="module")
async def test_by_simple_phone_first_and_then_with_the_wallet_as_well(tmp_path: Path, browser: Browser) -> None:
    smsc = Smsc()
    await smsc.start()
    settings = {"name": "operator", "kind": "smpp", "url": f"smpp://127.0.0.1:{smsc.port}", "user": "scheme", "password": "s3cret99"}
    gateway = UssdGateway(name="africastalking", kind="africastalking", secret=SECRETS["africastalking"])
    by_pin = ("send", "accept_open", "send_again")
    try:
        async with (
            town_in(tmp_path, "en", ussd=[gateway], sms=[settings | {"rate_per_s": 1_000}], recovery_delay_s=0) as town,
            device(browser, size=PHONE, language="en") as context,
        ):
            wallet, ussd, texts = InWallet(town, await context.new_page()), dialled_at(town, "africastalking"), Texted(town, SmscLine(smsc))
            mixed = Mixed(
                join=[ussd], bring_cash=[texts], send=[texts, ussd], buy=[wallet], ask=[wallet], accept=[wallet, ussd], decline=[texts],
                fetch_cash=[wallet], balance=[ussd], latest=[texts], change_pin=[wallet], lock=[texts], fail_to_send=[ussd],
                unlock=[ussd], told=[texts],
            )  # fmt: skip
            way = cast(Way, mixed)
            await live(town, way, after_sending=lambda: wallet.arrive(PIN))
            codes = await check_books(town, way, by_pin=by_pin, codes=[0, 1])
            page = await context.new_page()
            for code in codes:
                await page.goto(f"http://localhost:{town.site.port}/r/{code}", wait_until="networkidle")
                await expect(page.locator("#verdict")).to_have_text("Proven")
    finally:
        await smsc.close()
    check_after(tmp_path / "scheme", by_pin=by_pin)
