"""A clerk's phone reads the customer's card. There is no Web NFC in the Chromium of a test, so what the radio hears is given to the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.acceptance.cards.plastic import Plastic
from tests.browser.audit import audit, tidy
from tests.browser.counter import NAMES, Counter, shop
from tests.browser.device import DESKTOP, PHONE
from tests.scheme import Person

asynchronous = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"
RADIO = """globalThis.NDEFReader = class {
  async scan({ signal }) { globalThis.radio = this; signal.addEventListener("abort", () => { globalThis.radio = null; }); }
};"""
HEAR = """(text) => globalThis.radio.onreading({ message: { records: [
  { recordType: "url", data: new DataView(new TextEncoder().encode(text).buffer) }] } })"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    async with shop(tmp_path_factory.mktemp("shop")) as found:
        yield found


async def look(page: Page) -> None:
    await audit(page)
    await tidy(page, catalogue="till", names=[*NAMES, "Kofi"], cut={".clerk-name": "a long name", ".bar h1": "a long name of a shop"})


async def customer(counter: Counter) -> tuple[Person, Plastic]:
    """Somebody with a simple phone, money, and a card."""
    scheme, services = counter.site.scheme, counter.site.services
    kofi, card = await scheme.simple_phone("Kofi", funds=50_000), Plastic(scheme)
    said = card.tap()
    await services.acceptance.cards.add(await services.parties.holder(kofi.account), said["e"], said["c"], by=scheme.clerk)
    return kofi, card


async def hold(page: Page, card: Plastic) -> None:
    """The card at the back of the phone."""
    await page.wait_for_function("globalThis.radio")
    said = card.tap()
    await page.evaluate(HEAR, f"https://money.example.org/t?e={said['e']}&c={said['c']}")


@asynchronous
@pytest.mark.parametrize(
    ("size", "language", "theme"), [pytest.param(DESKTOP, "en", "light", id="desktop-en"), pytest.param(PHONE, "ko", "dark", id="phone-ko")]
)
async def test_a_card_at_the_back_of_the_till_pays_with_its_pin(
    browser: Browser, counter: Counter, size: ViewportSize, language: str, theme: Any
) -> None:
    kofi, card = await customer(counter)

    async def before(page: Page) -> None:
        await page.add_init_script(RADIO)

    async with counter.till(browser, size=size, language=language, theme=theme, before=before) as till:
        page = till.page
        await till.sign_in()
        await till.enter("4.20")
        await till.charge()
        await look(page)
        await page.click(".charge-card")
        await look(page)
        await page.wait_for_function("globalThis.radio")
        await page.evaluate(HEAR, "https://money.example.org/another")
        await expect(page.locator("dialog .notice-bad")).to_be_visible()
        await hold(page, card)
        await expect(page.locator("dialog .amount")).to_contain_text("4.20")
        await expect(page.locator("dialog")).to_contain_text(card.label)
        await look(page)
        await page.fill("dialog #pin", "1111")
        await page.keyboard.press("Enter")
        await expect(page.locator("#pin-error")).not_to_be_empty()
        await look(page)
        await expect(page.locator(".clerk-name")).to_have_text("Min-jun")  # a customer's wrong PIN sends no clerk away
        await page.fill("dialog #pin", PIN)
        await page.keyboard.press("Enter")
        await expect(page.locator(".paid")).to_contain_text("4.20")
        await expect(page.locator(".paid")).to_contain_text("Kofi")
        await expect(page.locator("dialog")).to_have_count(0)
        assert kofi.balance() == 49_580
        await till.leave()

        # A lost answer: the same tap and PIN again, and it is paid once.
        await till.enter("5")
        await till.charge()
        await page.click(".charge-card")
        await hold(page, card)
        await expect(page.locator("dialog #pin")).to_be_visible()
        await page.route("**/card/pay", lambda route: route.abort())
        await page.route("**/v1/till/sales/*", lambda route: route.abort())
        await page.fill("dialog #pin", PIN)
        await page.keyboard.press("Enter")
        await expect(page.locator("#pin-error")).not_to_be_empty()
        await look(page)
        await page.unroute("**/card/pay")
        await page.unroute("**/v1/till/sales/*")
        await page.fill("dialog #pin", PIN)
        await page.keyboard.press("Enter")
        await expect(page.locator(".paid")).to_contain_text("5.00")
        assert kofi.balance() == 49_080
        await till.leave()

        # More than a card may pay that only said something.
        await till.enter("30")
        await till.charge()
        await page.click(".charge-card")
        await hold(page, card)
        await expect(page.locator("dialog .notice-wait")).to_be_visible()
        await look(page)
        await page.click("dialog .sheet-close")
        await page.wait_for_function("globalThis.radio === null")
        await expect(page.locator(".till-qr svg")).to_be_visible()


@asynchronous
async def test_a_device_that_reads_no_cards_offers_none(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till:
        await till.sign_in()
        await till.enter("4.20")
        await till.charge()
        await expect(till.page.locator(".charge-card")).to_have_count(0)
