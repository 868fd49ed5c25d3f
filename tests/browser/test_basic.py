"""The pages without scripts in a real browser whose JavaScript is switched off, on the screen of a small phone."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, expect

from counterfoil.i18n import Language
from counterfoil.ids import id_text
from counterfoil.payments.orders import OrderKind
from tests.browser.audit import audit, tidy
from tests.browser.device import DESKTOP, PHONE, device
from tests.scheme import Person
from tests.web.logged import LoggedSite, logged

PIN = "2580"
asynchronous = pytest.mark.asyncio(loop_scope="module")
pytestmark = asynchronous


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with logged(tmp_path_factory.mktemp("scheme")) as site:
        yield site


async def signed_in(context: BrowserContext, site: LoggedSite, person: Person) -> Page:
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{site.port}/basic/")
    await page.fill("#number", person.address)
    await page.fill("#pin", PIN)
    await page.press("#pin", "Enter")
    await page.wait_for_load_state()
    return page


async def begin(page: Page, to: Person, amount: str, memo: str) -> None:
    await page.click("a.button[href='/basic/pay'] >> nth=0")
    await page.fill("#to", to.address)
    await page.fill("#amount", amount)
    await page.fill("#memo", memo)
    await page.press("#memo", "Enter")
    await expect(page.locator("#pin")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ko"])
async def test_sign_in_pay_receipt_history(browser: Browser, served: LoggedSite, language: str) -> None:
    payer, payee = await served.scheme.simple_phone("Kofi", funds=10_000), await served.scheme.customer("하은")
    text = Language(language).text
    async with device(browser, size=PHONE, language=language, java_script_enabled=False) as context:
        page = await signed_in(context, served, payer)
        await expect(page.locator("h1")).to_have_text("Kofi")
        await expect(page.locator(".amount-large")).to_contain_text("100.00")
        await begin(page, payee, "12.50", "쌀")
        await expect(page.locator(".stub strong").first).to_have_text("하은")
        await page.fill("#pin", PIN)
        await page.press("#pin", "Enter")
        await expect(page.locator("h1")).to_have_text(text("Paid"))
        await expect(page.locator(".amount-large")).to_contain_text("12.50")
        assert (payer.balance(), payee.balance()) == (8_750, 1_250)
        receipt = page.url
        served.settle()
        await page.reload()
        await expect(page.locator("main")).to_contain_text(text("In the public log, and confirmed by its witnesses."))
        async with page.expect_download() as waiting:
            await page.click("a[href$='/proof']")
        assert Path(await (await waiting.value).path()).read_text().startswith("c2sp.org/tlog-proof@v1\n")
        await page.goto(receipt.rpartition("/payments/")[0] + "/history")
        row = page.locator("a.row").first
        await expect(row).to_contain_text("하은")
        await expect(row).to_contain_text("12.50")
        await row.click()
        await page.wait_for_load_state()
        assert page.url == receipt
        assert payer.balance() == 8_750


async def test_a_double_click_and_the_way_back_pay_once(browser: Browser, served: LoggedSite) -> None:
    payer, payee = await served.scheme.simple_phone(funds=10_000), await served.scheme.merchant()
    async with device(browser, size=PHONE, java_script_enabled=False) as context:
        page = await signed_in(context, served, payer)
        await begin(page, payee, "10", "twice")
        await page.fill("#pin", PIN)
        await page.locator("form[action^='/basic/pay/'] button").dblclick()
        await expect(page.locator("h1")).to_have_text("Paid")
        receipt = page.url
        await page.reload()
        assert page.url == receipt
        await page.go_back()
        await page.reload()
        assert page.url == receipt, "the form that was sent is gone"
        assert payer.balance() == 9_000


async def test_somebody_with_a_wallet_is_told_how_to_allow_it_and_then_pays(browser: Browser, served: LoggedSite) -> None:
    payer, payee = await served.scheme.customer(funds=10_000), await served.scheme.merchant()
    await served.services.parties.pins.set(payer.party, PIN, by=None)
    async with device(browser, size=PHONE, java_script_enabled=False) as context:
        page = await signed_in(context, served, payer)
        await expect(page.locator("main")).to_contain_text("allow payments by PIN in its settings")
        await page.click("form a[href='/basic/pay']")
        await expect(page.locator("#to")).to_have_count(0)
        await payer.allow_pin(500)
        await page.goto(f"http://127.0.0.1:{served.port}/basic/")
        await begin(page, payee, "5", "")
        await page.fill("#pin", PIN)
        await page.press("#pin", "Enter")
        await expect(page.locator("h1")).to_have_text("Paid")
        assert payer.balance() == 9_500


async def test_the_picture_of_a_receipt_is_read_by_another_program(browser: Browser, served: LoggedSite) -> None:
    """Drawn by the browser, read by a reader that shares nothing with what made it."""
    payer, payee = await served.scheme.customer(funds=10_000), await served.scheme.merchant()
    path = f"/v1/payments/{id_text((await payer.pay(payee, 1_250)).payment.id)}/proof"
    served.settle()
    picture = await served.call(payer, "GET", path, headers={"Accept": "image/svg+xml"})
    side = re.search(r'viewBox="0 0 (\d+) \1"', picture.text)
    assert side is not None
    async with device(browser, size=DESKTOP) as context:
        page = await context.new_page()
        data = base64.b64encode(picture.content).decode()
        await page.set_content(f'<img width="{4 * int(side[1])}" alt="" src="data:image/svg+xml;base64,{data}">')
        seen = await page.locator("img").screenshot()
    receipt = (await served.ok(payer, "GET", path))["qr"]
    assert receipt.startswith("CF1:")
    assert [found.text for found in zxingcpp.read_barcodes(Image.open(io.BytesIO(seen)))] == [receipt]


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("ko", "dark"), ("fr", "light")])
async def test_every_page_is_for_everybody(browser: Browser, served: LoggedSite, language: str, theme: Any) -> None:
    """What looks at the pages is a script of the test's; they are the same pages."""
    payer, payee = await served.scheme.simple_phone("Kofi", funds=10_000), await served.scheme.merchant("Duka")
    await payer.pay_by_pin(payee, 100, memo="mkate")
    await payer.pay_by_pin(payee, 200, kind=OrderKind.HOLD, timeout_s=600)
    await payee.ask(payer, 700, memo="chai")
    await payee.ask(payer, 0, memo="chai")
    names = ["Kofi", "Duka", "mkate", "chai", "Counterfoil"]
    async with device(browser, size=PHONE, language=language, theme=theme, bypass_csp=True) as context:
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{served.port}/basic/")
        await look(page, names)
        await page.goto(f"http://127.0.0.1:{served.port}/basic/?wrong=pin")
        await look(page, names)
        page = await signed_in(context, served, payer)
        await look(page, names)
        await begin(page, payee, "3", "mkate")
        await look(page, names)
        await page.fill("#pin", "1111")
        await page.press("#pin", "Enter")
        await expect(page.locator(".error")).to_be_visible()
        await look(page, names)
        await page.fill("#pin", PIN)
        await page.press("#pin", "Enter")
        await expect(page.locator("code").first).to_be_visible()
        await look(page, names)
        for address in ("history", "requests", "pay"):
            await page.goto(f"http://127.0.0.1:{served.port}/basic/{address}")
            await look(page, names)


async def look(page: Page, names: list[str]) -> None:
    await page.wait_for_load_state()
    await audit(page)
    french = await page.locator("html").get_attribute("lang") == "fr"  # "code", "minutes", "place" are words there, too
    await tidy(page, catalogue=None if french else "basic", names=names)
