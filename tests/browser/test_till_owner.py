"""What the owner of a shop does in the wallet, and what its tills do then: clerks who change, get locked and unlocked, and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from counterfoil.ids import id_text
from counterfoil.web.values import base64_text
from tests.browser.audit import audit, tidy
from tests.browser.counter import NAMES, PINS, Counter, Till, shop
from tests.browser.device import DESKTOP, PHONE, device

asynchronous = pytest.mark.asyncio(loop_scope="module")

DEVICES = [pytest.param(DESKTOP, "en", id="desktop-en"), pytest.param(PHONE, "ko", id="phone-ko")]
LEFT = {"en": "Attempts left: {}", "ko": "{}"}
OWN = [*NAMES, "Aïcha B.", "Corner"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    async with shop(tmp_path_factory.mktemp("shop")) as found:
        yield found


async def look(page: Page, catalogue: str) -> None:
    await audit(page)
    await tidy(page, catalogue=catalogue, names=OWN, cut={".clerk-name": "a long name"})


async def wrong_pins(till: Till, times: int) -> None:
    for _ in range(times):
        async with till.page.expect_response("**/v1/till/sign-in"):
            await till.page.fill("#pin", "1111")
            await till.page.keyboard.press("Enter")
        await expect(till.page.locator("#pin-error")).not_to_be_empty()


@asynchronous
@pytest.mark.parametrize(("size", "language"), DEVICES)
async def test_what_the_owner_changes_of_a_clerk_holds_at_the_till_at_once(
    browser: Browser, counter: Counter, size: ViewportSize, language: str
) -> None:
    seed, tabs = base64_text(bytes(counter.shop.key)), {"en": 5, "ko": 5}[language]
    async with device(browser, size=size, language=language) as context, counter.till(browser, size=size, language=language) as till:
        owner, page = await context.new_page(), till.page
        await owner.goto(f"http://localhost:{counter.port}/wallet/#/borrow?device={id_text(counter.shop.device)}&seed={seed}")
        await expect(owner.locator(".balance .amount-large")).to_be_visible()
        await owner.evaluate("location.hash = '#/tills'")
        await expect(owner.locator(".row:has-text('Aïcha')")).to_be_visible()

        # Wrong PINs: the till says how many are left, then that it is locked; the owner sees it and unlocks.
        await page.click(".people .row:has-text('Aïcha')")
        await wrong_pins(till, 3)
        await expect(page.locator("#pin-error")).to_contain_text(LEFT[language].format(2))
        await look(page, "till")
        await wrong_pins(till, 2)
        await page.fill("#pin", PINS["Aïcha"])
        await page.keyboard.press("Enter")
        await expect(page.locator("#pin-error")).to_contain_text({"en": "The owner can unlock it", "ko": "주인"}[language])
        await look(page, "till")
        await owner.reload()
        await expect(owner.locator(".row:has-text('Aïcha') .wait")).to_be_visible()
        await look(owner, "wallet")
        await owner.click(".row:has-text('Aïcha')")
        await look(owner, "wallet")
        await owner.click(".notice button")
        await expect(owner.locator(".notice-wait")).to_have_count(0)
        await page.fill("#pin", PINS["Aïcha"])
        await page.keyboard.press("Enter")
        await expect(page.locator(".clerk-name")).to_have_text("Aïcha")
        await expect(page.locator(".tabs a")).to_have_count(3)

        # Name and rights: the one at the till has them without doing anything.
        await owner.fill("#f-clerk", "Aïcha B.")
        for right in ("goods", "see_takings"):
            await owner.check(f"[name={right}]")
        await counter.payer.pay(counter.shop, 700)
        await expect(owner.get_by_text("7.00").first).to_be_visible()  # everything is drawn anew, and nothing that was filled in is lost
        await owner.fill("#f-pin", "1234")
        await owner.click("main > form > .button-wide")
        await expect(owner.locator("[role=alert] .notice-bad")).to_be_visible()  # a PIN that everybody guesses
        await owner.fill("#f-pin", "")
        await owner.click("main > form > .button-wide")
        await expect(owner.locator(".row:has-text('Aïcha B.')")).to_be_visible()
        await expect(page.locator(".clerk-name")).to_have_text("Aïcha B.")
        await expect(page.locator(".tabs a")).to_have_count(tabs)
        await till.go("goods")
        await expect(page.locator(".low .button")).to_be_visible()
        await look(page, "till")

        # A new PIN: whoever is signed in with the old one is not any more.
        await owner.click(".row:has-text('Aïcha B.')")
        await owner.fill("#f-clerk", "Aïcha")
        for right in ("goods", "see_takings"):
            await owner.uncheck(f"[name={right}]")
        await owner.fill("#f-pin", PINS["Aïcha"])
        await owner.click("main > form > .button-wide")
        await expect(page.locator(".people .row").first).to_be_visible()


@asynchronous
async def test_a_till_that_is_ended_in_the_middle_of_a_sale_says_so_and_keeps_what_was_not_sent(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, size=PHONE, language="ko", name="Corner") as till:
        page = till.page
        await till.sign_in()
        await till.enter("8")
        code = await till.charge()
        tills = (await counter.site.ok(counter.shop, "GET", "/v1/tills"))["tills"]
        ended = next(each["id"] for each in tills if each["name"] == "Corner")
        await counter.site.ok(counter.shop, "DELETE", f"/v1/tills/{ended}")
        await expect(page.locator("#code")).to_be_visible()  # nobody touched it
        await expect(page.locator(".notice-wait")).to_have_count(1)
        await look(page, "till")
        balance = counter.shop.balance()
        assert (await counter.pay(code)).status_code < 300
        assert counter.shop.balance() > balance  # it is the shop's money, till or not

        # What waited on the device when the till ended finds its way once it is paired with the same shop.
        await page.fill("#code", await counter.new_code("Corner"))
        await page.click("form .button-wide")
        await till.sign_in()
        await till.context.set_offline(True)
        await till.enter("7")
        await till.charge()
        sale = await till.sale_id()
        tills = (await counter.site.ok(counter.shop, "GET", "/v1/tills"))["tills"]
        ended = next(each["id"] for each in tills if each["name"] == "Corner")
        await counter.site.ok(counter.shop, "DELETE", f"/v1/tills/{ended}")
        await till.context.set_offline(False)
        await expect(page.locator(".notice-wait")).to_have_count(2)
        await look(page, "till")
        await page.fill("#code", await counter.new_code("Corner"))
        await page.click("form .button-wide")
        await till.sign_in()
        await expect(page.locator(".waiting .chip")).to_have_count(1)
        while (answer := await counter.site.call(counter.shop, "GET", f"/v1/requests/{sale}")).status_code == 404:
            await asyncio.sleep(0.05)  # the till shows it already, and is sending it
        made: dict[str, Any] = answer.json()
        assert (made["amount"], made["state"]) == (700, "open")
