"""A customer's wallet in front of a shop's till: both real pages, the code seen by a camera, the money in a real ledger."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.browser.counter import Counter, Till, shop
from tests.browser.device import DESKTOP, PHONE, Camera, device
from tests.browser.wallets import enrol

asynchronous = pytest.mark.asyncio(loop_scope="module")

SHOP = "항구 카페"
NUMBERS = itertools.count(254_744_000_001)
PLACES = [
    pytest.param("en", PHONE, DESKTOP, id="phone-to-desktop-en"),
    pytest.param("ko", DESKTOP, PHONE, id="desktop-to-phone-ko"),
]
Seeing = tuple[Browser, Camera]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    async with shop(tmp_path_factory.mktemp("shop"), SHOP) as found:
        yield found


@asynccontextmanager
async def met(
    seeing: Seeing, counter: Counter, language: str, wallet: ViewportSize, till: ViewportSize
) -> AsyncIterator[tuple[Page, Till]]:
    """Somebody with 80.00 on their wallet, and the till in front of them."""
    counter.site.wait(3_600)  # for whoever limits how often somebody may enrol
    number = f"+{next(NUMBERS)}"
    async with device(seeing[0], size=wallet, language=language, camera=True) as context:
        page = await context.new_page()
        await page.goto(f"http://localhost:{counter.port}/wallet/")
        await enrol(page, number, "Rose")
        account = (await counter.site.services.parties.resolve(number)).account
        await counter.payer.pay(account, 8_000)
        await expect(page.locator(".balance .amount-large")).to_contain_text("80.00")
        async with counter.till(seeing[0], size=till, language=language) as found:
            await found.sign_in()
            yield page, found


async def scan_and_agree(page: Page, camera: Camera, code: str) -> None:
    """Points the wallet's camera at the till and agrees, as with a keyboard."""
    camera.show(code)
    await page.evaluate("location.hash = '/scan'")
    await expect(page.locator(".payee")).to_have_text(SHOP)
    await page.locator(".consent button").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".outcome")).to_have_attribute("data-state", "done")


@asynchronous
@pytest.mark.parametrize(("language", "wallet", "till"), PLACES)
async def test_a_customer_scans_the_till_pays_is_given_back_and_fills_up(
    seeing: Seeing, counter: Counter, language: str, wallet: ViewportSize, till: ViewportSize
) -> None:
    async with met(seeing, counter, language, wallet, till) as (page, at_till):
        await at_till.enter("12.50")
        await scan_and_agree(page, seeing[1], await at_till.charge())
        await expect(at_till.page.locator(".paid")).to_contain_text("12.50")
        await expect(at_till.page.locator(".paid")).to_contain_text("Rose")
        await home(page, lambda text: "67.50" in text)
        await at_till.page.click(".paid .button-quiet")
        await at_till.page.click(".sale-actions .button-danger")
        await at_till.page.fill("#amount", "2.50")
        await at_till.page.keyboard.press("Enter")
        await at_till.approve("Min-jun")
        await expect(at_till.page.locator(".sale-state.good")).to_be_visible()
        await home(page, lambda text: "70.00" in text)

        await at_till.go("")
        await at_till.enter("40")
        await scan_and_agree(page, seeing[1], await at_till.charge(hold=True))
        await expect(at_till.page.locator(".paid-held")).to_contain_text("40.00")
        await at_till.page.click(".paid .button-quiet")
        await at_till.page.click(".sale-actions .button >> nth=0")
        await at_till.page.fill("#amount", "31.50")
        await at_till.page.keyboard.press("Enter")
        await expect(at_till.page.locator(".sale-state.good")).to_be_visible()
        await home(page, lambda text: "38.50" in text)


@asynchronous
async def test_a_code_that_the_till_made_without_a_network_is_paid_and_found(seeing: Seeing, counter: Counter) -> None:
    async with met(seeing, counter, "en", PHONE, DESKTOP) as (page, at_till):
        await at_till.page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        await at_till.context.set_offline(True)
        await at_till.enter("6.30")
        code = await at_till.charge()
        await scan_and_agree(page, seeing[1], code)
        assert not await at_till.page.locator(".paid").count()
        await at_till.context.set_offline(False)
        await expect(at_till.page.locator(".paid")).to_contain_text("6.30")
        await home(page, lambda text: "73.70" in text)


async def home(page: Page, is_shown: Callable[[str], bool]) -> None:
    """The balance, once the wallet knows it."""
    await page.evaluate("location.hash = '/'")
    balance = page.locator(".balance .amount-large")
    await expect(balance).to_be_visible()
    for _ in range(60):
        if is_shown(await balance.inner_text()):
            return
        await page.wait_for_timeout(250)
    assert is_shown(await balance.inner_text()), await balance.inner_text()
