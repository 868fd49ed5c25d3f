"""The simple telephone in a real browser, over a real callback and the real USSD service: fingers, a keyboard, time and faults."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, ViewportSize, expect

from counterfoil.gateway_settings import SmsGateway, UssdGateway
from counterfoil.i18n import Language
from counterfoil.web.app import create_app
from counterfoil.web.server import listening
from counterfoil.web.simulator import CODE, GATEWAY, KIND, PATH, Telephone, Telephones
from tests.browser.audit import audit, tidy
from tests.browser.device import DESKTOP, PHONE, device
from tests.scheme import Person, Scheme, opened
from tests.web.site import Site, serving

PIN = "2580"
SECRET = "the-simulators-own-secret"
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Street:
    """A scheme with telephones in the browser."""

    def __init__(self, scheme: Scheme, address: str, holder: Person, other: Person) -> None:
        self.scheme = scheme
        self.address = address
        self.holder = holder
        self.other = other


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    ussd, sms = UssdGateway(name=GATEWAY, kind=KIND, secret=SECRET), SmsGateway(name="sandbox", kind="sandbox")
    async with opened(tmp_path_factory.mktemp("scheme"), ussd=(ussd,), sms=(sms,), scheme_name="Halyard Pay") as scheme:
        holder, other = await scheme.simple_phone("Mabel Norwood", funds=10_000), await scheme.simple_phone("이순자")
        telephones = Telephones([Telephone("Mabel Norwood", holder.address, "en"), Telephone("이순자", other.address, "ko")], PIN)
        async with listening(create_app(scheme.services, telephones), host="127.0.0.1", port=0) as address:
            yield Street(scheme, address, holder, other)


@asynccontextmanager
async def telephone(browser: Browser, street: Street, *, whose: Person | None = None, **look: Any) -> AsyncIterator[Page]:
    """A page with a telephone, which must not raise an error or be refused anything by its policy."""
    wrong: list[str] = []
    async with device(browser, reduced_motion="reduce", **look) as context:
        page = await context.new_page()
        page.on("pageerror", lambda error: wrong.append(error.message))
        page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
        await page.goto(f"{street.address}{PATH}?number={(whose or street.holder).address.replace('+', '%2B')}")
        await expect(page.locator(".telephone").first).to_be_visible()
        yield page
    assert not wrong


async def keys(page: Page, text: str) -> None:
    """By the telephone's own keys."""
    for key in text:
        await page.click(f'[data-key="{key}"]')


async def shows(page: Page, state: str, text: str | re.Pattern[str] = "") -> None:
    await expect(page.locator(".telephone").first).to_have_attribute("data-state", state)
    await expect(page.locator(".shown").first).to_contain_text(text)


async def dial(page: Page) -> None:
    await keys(page, CODE)
    await page.click('[data-does="green"]')


async def send(page: Page, text: str) -> None:
    await keys(page, text)
    await page.click('[data-does="green"]')


@pytest.mark.parametrize(("language", "size", "theme"), [("en", DESKTOP, "light"), ("ko", PHONE, "dark")])
async def test_a_person_looks_at_the_balance_and_sends_money(
    browser: Browser, street: Street, language: str, size: ViewportSize, theme: str
) -> None:
    payer, payee = await street.scheme.simple_phone("Kofi", funds=10_000), await street.scheme.simple_phone("Ama")
    await street.scheme.services.parties.enrolment.set_language(payer.party, language)
    async with telephone(browser, street, language=language, size=size, theme=theme) as page:
        await page.select_option("#whose-1", "")
        await audit(page)
        await tidy(page, catalogue="simulator", names=["Mabel Norwood", "Halyard Pay"])
        await page.fill("#number-1", payer.address)
        await page.press("#number-1", "Tab")
        await dial(page)
        await shows(page, "running", Language(language).text("USSD running…"))
        await shows(page, "menu", "Halyard Pay")
        await tidy(page)
        await audit(page)
        menu = await page.locator(".shown").first.inner_text()
        balance = next(line for line in menu.splitlines() if Language(language).text("Balance") in line)
        await send(page, balance[0])
        await shows(page, "menu", Language(language).text("Your PIN:"))
        await send(page, PIN)
        await shows(page, "menu", "100.00")
        await send(page, "00")
        await shows(page, "menu", "Halyard Pay")
        await send(page, "1")
        await shows(page, "menu", "@")
        await send(page, payee.address.removeprefix("+"))
        await shows(page, "menu", "Ama")
        await keys(page, "12")
        await page.click('[data-does="letters"]')
        await page.click('[data-key="1"]')  # a full stop, among the letters
        await expect(page.locator(".typed").first).to_have_value("12.")
        await page.click('[data-does="letters"]')
        await page.click('[data-does="letters"]')
        await send(page, "50")
        await shows(page, "menu", "12.50")
        await send(page, PIN)
        await shows(page, "last", "87.50")
        await audit(page)
        assert (payer.balance(), payee.balance()) == (8_750, 1_250)
        await expect(page.locator(".texts li:not(.soft)").first).to_contain_text("12.50")
        await page.click('[data-does="red"]')
        await shows(page, "idle", CODE)


async def test_a_computers_keyboard_is_all_one_needs(browser: Browser, street: Street) -> None:
    async with telephone(browser, street, size=DESKTOP, whose=street.other) as page:
        await page.keyboard.press("Enter")
        await expect(page.locator(".typed").first).to_have_value(CODE)
        await page.keyboard.press("Backspace")
        await page.keyboard.type("x!#")
        await expect(page.locator(".typed").first).to_have_value(CODE)
        await page.keyboard.press("Enter")
        await shows(page, "menu", "Halyard Pay")
        await page.keyboard.type("12é")
        await expect(page.locator(".typed").first).to_have_value("12é")
        await page.keyboard.press("Escape")
        await shows(page, "idle")
        await page.locator('[data-does="clear"]').first.focus()
        await page.keyboard.type(CODE)
        await expect(page.locator(".typed").first).to_have_value(CODE)
        await page.locator('[data-key="7"]').first.focus()
        await page.keyboard.press("Space")
        await expect(page.locator(".typed").first).to_have_value(f"{CODE}7")


async def test_two_telephones_stand_beside_each_other_and_one_pays_the_other(browser: Browser, street: Street) -> None:
    async with telephone(browser, street, size=DESKTOP) as page:
        first, second = page.locator(".set").first, page.locator(".set").nth(1)
        for one, other in ((first, street.other), (second, street.holder)):
            await expect(one.locator(f'.whose option[value="{other.address}"]')).to_be_disabled()
        await expect(second.locator(".mine .code")).to_have_text(street.other.address)
        await expect(second.locator(".texts")).to_have_attribute("aria-live", "polite")  # what was there has been fetched
        await second.locator('[data-key="5"]').click()
        await page.keyboard.type("6")
        await expect(second.locator(".typed")).to_have_value("56")
        await expect(first.locator(".typed")).to_have_value("")
        await second.locator('[data-does="red"]').click()
        await dial(page)
        await expect(first.locator(".typed")).to_be_focused()
        for typed in ("1", street.other.address.removeprefix("+"), "5", PIN):
            await shows(page, "menu")
            await page.keyboard.type(typed)
            await page.keyboard.press("Enter")
            await shows(page, "running")
        await shows(page, "last", "5.00")
        text = second.locator(".texts li").first
        await expect(text).to_contain_text("Mabel Norwood")
        await expect(second.locator(".news")).to_contain_text("5.00")
        await expect(second.locator(".status .letter")).to_be_visible()
        await tidy(page)
        await audit(page)
        async with page.context.expect_page() as opening:
            await text.locator("a").click()
        await expect((await opening.value).locator("#code")).to_have_text(await text.locator("a").inner_text())
        await second.locator('[data-does="red"]').click()
        await expect(second.locator(".news")).to_be_hidden()
        await page.set_viewport_size(PHONE)
        await expect(second.locator(".telephone")).to_be_hidden()
        await expect(first.locator(f'.whose option[value="{street.other.address}"]')).to_be_enabled()


async def test_the_first_telephone_is_one_whose_holder_reads_the_pages_language(browser: Browser, street: Street) -> None:
    async with device(browser, language="ko") as context:
        page = await context.new_page()
        await page.goto(f"{street.address}{PATH}")
        await expect(page.locator(".whose").first).to_have_value(street.other.address)


async def test_letters_come_by_pressing_again_and_a_held_key_is_its_digit(browser: Browser, street: Street) -> None:
    async with telephone(browser, street) as page:
        await page.clock.install()
        await dial(page)
        await page.clock.run_for(2_000)
        await shows(page, "menu")
        await page.click('[data-does="letters"]')
        for key in ("22", "2", "33", "0", "7777"):
            await keys(page, key)
            await page.clock.run_for(1_000)
        await expect(page.locator(".typed").first).to_have_value("bae s")
        await page.click('[data-does="letters"]')
        await keys(page, "9")
        await expect(page.locator(".typed").first).to_have_value("bae sW")
        await page.locator('[data-key="5"]').first.dispatch_event("pointerdown")
        await page.clock.run_for(700)
        await page.locator('[data-key="5"]').first.dispatch_event("pointerup")
        await expect(page.locator(".typed").first).to_have_value("bae sW5")
        await page.click('[data-does="clear"]')
        await expect(page.locator(".typed").first).to_have_value("bae sW")


async def test_a_minute_without_a_key_ends_the_call_and_the_gateway_tells_it(browser: Browser, street: Street) -> None:
    told: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and "durationInMillis" in (request.post_data or ""):
            told.append(request.post_data or "")

    async with telephone(browser, street) as page:
        page.on("request", note)
        await page.clock.install()
        await dial(page)
        await page.clock.run_for(2_000)
        await shows(page, "menu")
        await page.clock.run_for(50_000)
        await keys(page, "1")
        await page.clock.run_for(50_000)
        await shows(page, "menu")
        async with page.expect_request(lambda request: "durationInMillis" in (request.post_data or "")) as waiting:
            await page.clock.run_for(11_000)
        answer = await (await waiting.value).response()
        assert answer is not None
        assert answer.status == 200
        await shows(page, "last", "Time is up")
        assert len(told) == 1
        assert "status=Incomplete" in told[0]


async def test_what_a_network_says_when_something_is_wrong(browser: Browser, street: Street) -> None:
    async with telephone(browser, street) as page:
        await keys(page, "*100#")
        await page.click('[data-does="green"]')
        await shows(page, "last", "invalid MMI code")
        await page.click('[data-does="green"]')
        await shows(page, "idle")
        mode = "refuse"

        async def broken(route: Route) -> None:
            if mode == "refuse":
                await route.abort()
            elif mode == "mute":
                await route.fulfill(status=200, body="1 Send")
            else:
                await route.fulfill(status=502, body="CON 1 Send")

        await page.route("**/ussd/**", broken)
        for each, words in (("refuse", "does not answer"), ("mute", "invalid MMI code"), ("fail", "invalid MMI code")):
            mode = each
            await dial(page)
            await shows(page, "last", words)
            await page.click('[data-does="red"]')
            await shows(page, "idle")


async def test_the_red_key_is_final_while_an_answer_is_on_its_way(browser: Browser, street: Street) -> None:
    async with telephone(browser, street) as page:
        await page.clock.install()
        async with page.expect_response("**/ussd/**") as coming:
            await dial(page)
            await shows(page, "running")
            await page.click('[data-does="red"]')
        await (await coming.value).finished()
        await page.clock.run_for(2_000)
        await shows(page, "idle", CODE)
        await page.clock.resume()
        await dial(page)
        await shows(page, "menu", "Halyard Pay")
        await page.select_option("#whose-1", street.other.address)
        await shows(page, "idle", CODE)


async def test_outside_a_sandbox_or_without_its_gateway_there_is_no_telephone(tmp_path_factory: pytest.TempPathFactory) -> None:
    ours = UssdGateway(name=GATEWAY, kind=KIND, secret=SECRET)
    others = UssdGateway(name="main", kind=KIND, secret=SECRET)
    for sandbox, ussd in ((False, (ours,)), (True, ()), (True, (others,))):
        async with serving(tmp_path_factory.mktemp("scheme"), sandbox=sandbox, ussd=ussd) as site:
            await nothing(site)


async def nothing(site: Site) -> None:
    for path in (PATH, f"{PATH}/texts?number=%2B254711000111"):
        answer = await site.client.get(path)
        assert answer.status_code == 404
        assert SECRET not in answer.text
    assert PATH not in (await site.client.get("/")).text
