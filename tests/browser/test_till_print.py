"""What a shop prints: the poster of a stall on A4, the slip of a sale on a roll of 80 mm; read back by another program."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page
from pypdf import PdfReader

from counterfoil.acceptance import emv
from counterfoil.ids import id_text, new_id
from counterfoil.moments import moment_text
from tests.browser.audit import audit, tidy
from tests.browser.counter import Counter, shop
from tests.browser.device import PHONE, device

asynchronous = pytest.mark.asyncio(loop_scope="module")

POINT_MM = 25.4 / 72


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    async with shop(tmp_path_factory.mktemp("shop"), name="Marché du Fleuve & Fils, poissons") as found:
        yield found


async def read(page: Page) -> list[str]:
    """The codes on the page as it would be printed."""
    await page.emulate_media(media="print")
    picture = Image.open(io.BytesIO(await page.screenshot(full_page=True))).convert("L")
    await page.emulate_media(media="null")
    return [found.text for found in zxingcpp.read_barcodes(picture)]


async def printed(page: Page, **paper: str) -> tuple[list[tuple[float, float]], str, float]:
    """The sheets (mm), their text, and how far to the right any of it begins (mm)."""
    sheets = PdfReader(io.BytesIO(await page.pdf(prefer_css_page_size=not paper, **paper)))  # type: ignore[arg-type]  # sizes as texts
    right = [0.0]

    def seen(text: str, page: list[float], matrix: list[float], *_: object) -> None:
        if text.strip():
            right.append(matrix[4] * page[0] + matrix[5] * page[2] + page[4])

    text = "\n".join(sheet.extract_text(visitor_text=seen) for sheet in sheets.pages)
    sizes = [(float(sheet.mediabox.width) * POINT_MM, float(sheet.mediabox.height) * POINT_MM) for sheet in sheets.pages]
    return sizes, text, max(right) * POINT_MM


@asynchronous
@pytest.mark.parametrize("language", ["en", "ko", "fr"])
async def test_a_poster_is_one_sheet_and_its_code_is_the_shops(browser: Browser, counter: Counter, language: str) -> None:
    code = (await counter.site.services.parties.holder(counter.shop.account)).merchant_code or ""
    async with device(browser, size=PHONE, language=language) as context:
        page = await context.new_page()
        await page.goto(f"http://localhost:{counter.port}/pay/{code}/poster?lang={language}")
        await audit(page)
        words = None if language == "fr" else "slips"  # "code" is a French word, too
        await tidy(page, catalogue=words, names=["Marché du Fleuve & Fils, poissons", "Sandbox"])
        sheets, text, _ = await printed(page, format="A4")
        assert len(sheets) == 1
        assert "Marché du Fleuve" in text
        assert f"{code[:3]} {code[3:]}" in text
        await page.set_viewport_size({"width": 703, "height": 1032})  # A4 less its margins, at 96 points an inch
        (found,) = await read(page)
    fixed = emv.read(found)
    assert isinstance(fixed, emv.Code)
    assert (fixed.account, fixed.amount, fixed.request) == (counter.shop.account, None, None)
    assert emv.is_signed_by(fixed, counter.site.services.payments.acknowledger.public_key)


@asynchronous
async def test_a_slip_fits_a_roll_of_80_mm_and_its_code_leads_back_to_it(browser: Browser, counter: Counter) -> None:
    clerk = {"clerk": counter.clerks["Min-jun"], "pin": "4826"}
    token = (await counter.site.ok(None, "POST", "/v1/tills/pair", {"code": await counter.new_code()}))["token"]
    session = (await counter.site.ok(token, "POST", "/v1/till/sign-in", clerk))["session"]
    lines = [{"name": "Smoked barracuda, whole, from the morning's boat", "price": 123_450, "quantity": 2}]
    made_at = moment_text(counter.site.services.clock.now_ns())
    body = {"id": id_text(new_id(counter.site.scheme.clock)), "lines": lines, "amount": 246_900, "made_at": made_at}
    sale = (await counter.site.call(token, "POST", "/v1/till/sales", body, headers={"Counterfoil-Clerk": session})).json()
    async with device(browser, size=PHONE, device_scale_factor=3) as context:  # printers have more dots than screens
        page = await context.new_page()
        await page.goto(f"http://localhost:{counter.port}{sale['slip']}")
        (asked,) = await read(page)
        assert asked == sale["code"]  # not paid yet: the slip asks for it
        assert (await counter.pay(sale["code"])).status_code < 300
        await page.reload()
        (address,) = await read(page)
        assert address.endswith(sale["slip"])
        sheets, text, right = await printed(page, width="80mm", height="200mm")
        assert [(round(width), round(height)) for width, height in sheets] == [(80, 200)]
        assert "2,469.00" in text
        assert "Smoked barracuda" in text
        assert right < 76  # nothing begins where the roll is not printed on
        assert await page.evaluate("document.querySelector('.slip').scrollWidth <= document.querySelector('.slip').clientWidth")
