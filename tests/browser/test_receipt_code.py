"""A stranger with a phone types the code of somebody's text message: the page proves it, and a server that lies is caught."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from counterfoil.payments.receipt_codes import parse_code
from tests.web.logged import LoggedSite, logged

pytestmark = pytest.mark.asyncio(loop_scope="module")
PHONE: dict[str, Any] = {"width": 360, "height": 740}
Lie = Callable[[dict[str, Any]], None]


class Told:
    """A site on which one payment was made that was told to both, and one to somebody else."""

    def __init__(self, site: LoggedSite, code: str, other: str) -> None:
        self.site = site
        self.code = code
        self.other = other

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.site.port}"


async def tell(site: LoggedSite, payment: int, account: int) -> str:
    codes = site.services.receipt_codes
    return await site.services.store.write(lambda connection: codes.tell(connection, payment, account))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    async with logged(tmp_path_factory.mktemp("scheme")) as site:
        payer, payee = await site.scheme.customer("Rose", funds=900_000), await site.scheme.customer("Joon")
        found = [await tell(site, (await payer.pay(payee, amount)).payment.id, payee.account) for amount in (123_456, 7_000)]
        site.settle()
        yield Told(site, *found)


async def opened(browser: Browser, told: Told, path: str, lie: Lie | None = None, **options: Any) -> tuple[Page, list[str]]:
    """A page of that address, and what the browser complained of. `lie` changes what the server put into the page."""
    context = await browser.new_context(**({"locale": "en", "viewport": PHONE} | options))
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    async def changed(route: Route) -> None:
        answer = await route.fetch()
        text = await answer.text()
        found = re.search(r'(<script type="application/json" id="words">)(.*?)(</script>)', text, re.DOTALL)
        assert found is not None, text
        assert lie is not None
        data = json.loads(found[2])
        lie(data)
        await route.fulfill(response=answer, body=text.replace(found[2], json.dumps(data).replace("<", "\\u003c")))

    if lie is not None:
        await page.route("**/r/*", changed)
    await page.goto(f"{told.address}{path}", wait_until="networkidle")
    return page, complaints


async def verdict(page: Page) -> str:
    await expect(page.locator("#verdict")).to_be_focused()
    return await page.inner_text("#verdict")


async def test_a_stranger_types_the_code_on_a_small_phone_and_sees_it_proven(browser: Browser, told: Told) -> None:
    page, complaints = await opened(browser, told, "/proof")
    await page.fill("#typed", told.code.lower().replace("-", " "))
    await page.click("text=Check a text message")
    assert await verdict(page) == "Proven"
    assert page.url == f"{told.address}/r/{parse_code(told.code)}"
    assert await page.inner_text("#code") == told.code
    assert await page.locator("#steps .mark").all_inner_texts() == ["proven"] * 8
    names, values = await page.locator("#fields dt").all_inner_texts(), await page.locator("#fields dd").all_inner_texts()
    says = dict(zip(names, values, strict=True))
    assert (says["Amount"], says["Direction"], says["Balance after it"]) == ("1,234.56 USD", "in", "1,234.56 USD")
    assert not await page.is_visible("#said"), "the server's word has no place beside what was proven"
    text = await page.inner_text("main")
    assert "Rose" not in text
    assert "Joon" not in text
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
    await page.context.close()


@pytest.mark.parametrize("language", ["ko", "fr"])
async def test_in_other_languages_it_fits_as_well(browser: Browser, told: Told, language: str) -> None:
    page, complaints = await opened(browser, told, f"/r/{parse_code(told.code)}?lang={language}", locale=language)
    await verdict(page)
    text = await page.inner_text("main")
    assert all(word not in text for word in ("undefined", "%(", "null", "NaN", "Proven"))
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
    await page.context.close()


async def the_others(told: Told) -> dict[str, str]:
    """The true receipt, with its true proof, of another code."""
    (coded,) = await told.site.services.receipt_codes.find(parse_code(told.other))
    file = (await told.site.client.get(f"/r/{parse_code(told.other)}/proof")).text
    return {"receipt": file, "proof": coded.proof.hex()}


async def test_a_server_that_shows_another_true_receipt_is_caught(browser: Browser, told: Told) -> None:
    other = await the_others(told)

    def swap(data: dict[str, Any]) -> None:
        data["receipts"] = [other]

    def borrow(data: dict[str, Any]) -> None:
        data["receipts"] = [{"receipt": other["receipt"], "proof": data["receipts"][0]["proof"]}]

    def nothing(data: dict[str, Any]) -> None:
        data["receipts"][0]["proof"] = ""

    for lie in (swap, borrow, nothing):
        page, _ = await opened(browser, told, f"/r/{parse_code(told.code)}", lie)
        assert await verdict(page) == "Not proven: step 8 is false"
        assert "the receipt of another payment" in await page.inner_text("#steps .bad")
        assert not await page.is_visible("#says")
        assert await page.is_visible("#said")
        await page.context.close()


async def test_a_server_that_changes_the_receipt_is_caught(browser: Browser, told: Told) -> None:
    def earlier(data: dict[str, Any]) -> None:
        text = data["receipts"][0]["receipt"]
        index = re.search(r"\nindex (\d+)\n", text)
        assert index is not None
        data["receipts"][0]["receipt"] = text.replace(index[0], f"\nindex {int(index[1]) - 1}\n")

    page, _ = await opened(browser, told, f"/r/{parse_code(told.code)}", earlier)
    assert await verdict(page) == "Not proven: step 6 is false"
    assert await page.locator("#steps .mark").all_inner_texts() == ["proven"] * 5 + ["false", "not reached", "not reached"]
    await page.context.close()


async def test_without_scripts_the_page_says_whose_word_it_is(browser: Browser, told: Told) -> None:
    page, _ = await opened(browser, told, f"/r/{parse_code(told.code)}", java_script_enabled=False)
    text = await page.inner_text("main")
    assert "Nobody has checked it yet." in text
    assert "1,234.56 USD" in text
    assert "Your browser cannot check this by itself" in text
    assert "Proven" not in text
    await page.context.close()


async def test_the_browser_computes_the_code_as_we_do(browser: Browser, told: Told) -> None:
    (coded,) = await told.site.services.receipt_codes.find(parse_code(told.code))
    page, _ = await opened(browser, told, f"/r/{parse_code(told.code)}")
    ids = [coded.proof.hex(), f"{coded.payment:032x}", f"{coded.account:032x}"]
    found = await page.evaluate("async (ids) => (await import('/static/proof/code.js')).codeOf(...ids)", ids)
    assert found == parse_code(told.code)
    await page.context.close()
