"""The question before a payment: what it may show before the server was asked, and what happens when the server says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from counterfoil.acceptance import emv
from counterfoil.acceptance.codes import address_of
from counterfoil.ids import id_text
from tests.browser.device import PHONE
from tests.browser.holders import Holder, holding, site_in
from tests.browser.test_wallet_engine import payments_posted
from tests.payments.publish.logbook import KEY
from tests.scheme import Person
from tests.web.logged import LoggedSite

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = "Lighthouse Fuel"
FORMER = "A" * 43
"""The hash of rules that are not in force."""
KEPT_TERMS = """new Promise((resolve, reject) => {
  const opening = indexedDB.open('counterfoil');
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const store = opening.result.transaction('self', 'readwrite').objectStore('self');
    const asking = store.get('scheme');
    asking.onsuccess = () => {
      if (hash) store.put({ ...asking.result, rulesHash: hash }, 'scheme');
      store.transaction.oncomplete = () => { opening.result.close(); resolve(asking.result.rulesHash); };
    };
  };
})"""
"""The rules that the phone knows; with a hash, others from then on."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: LoggedSite) -> Person:
    return await site.scheme.merchant(SHOP, funds=1_000_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rose(browser: Browser, site: LoggedSite, shop: Person) -> AsyncIterator[Holder]:
    async with holding(browser, site, shop, "en", PHONE) as found:
        yield found


@asynccontextmanager
async def held(page: Page, path: str) -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """Requests to one path wait: whether there is one, and what lets them go on."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await go_on.wait()
        await route.continue_()

    await page.route(f"**{path}", hold)
    yield arrived, go_on
    go_on.set()
    await page.unroute_all(behavior="wait")


async def code(site: LoggedSite, who: Person, name: str, *, signed: bool = True) -> str:
    """Path of the wallet's screen for somebody's code over 2.50, with the address that the operator's codes have."""
    holder = await site.services.parties.resolve(who.address)
    said = emv.Code(
        scheme=emv.scheme_mark(site.services.payments.rules.origin), account=who.account, address=address_of(holder), name=name, amount="2.50",
        currency="840", country="KE",
    )  # fmt: skip
    sign: Callable[[bytes], bytes] | None = (lambda data: KEY.sign(data).signature) if signed else None
    return f"/pay?code={quote(emv.write(said, sign=sign))}"


async def test_a_signed_code_is_asked_about_before_the_server_has_answered(rose: Holder, site: LoggedSite, shop: Person) -> None:
    page, before = rose.page, rose.balance()
    async with held(page, "/v1/quote?*"):
        await rose.go(await code(site, shop, SHOP))
        await expect(page.locator(".payee")).to_have_text(SHOP)
        await expect(page.locator(".stub")).to_contain_text("2.50")
        await expect(page.locator(".facts")).to_contain_text("none for you")
        await expect(page.locator(".notice")).to_have_count(0)
        await rose.looks_right()
        await rose.agree()
        await rose.outcome("done")
    assert rose.balance() == before - 250


async def test_two_touches_at_once_pay_once(rose: Holder, site: LoggedSite, shop: Person) -> None:
    before, posted = rose.balance(), payments_posted(rose.page)
    await rose.go(await code(site, shop, SHOP))
    await rose.page.locator(".consent button").evaluate("(button) => { button.click(); button.click(); }")
    await rose.outcome("done")
    assert len(posted) == 1
    assert rose.balance() == before - 250


async def test_what_is_drawn_anew_leaves_the_page_around_it_alone(rose: Holder, site: LoggedSite, shop: Person) -> None:
    """A language or theme that is told to the page once more makes the browser work out the look of all that is on it."""
    page = rose.page
    await page.evaluate(
        """() => {
          globalThis.told = [];
          const watch = new MutationObserver((records) => told.push(...records.map(({ attributeName }) => attributeName)));
          watch.observe(document.documentElement, { attributes: true });
        }"""
    )
    await rose.go("/")
    await expect(page.locator(".balance")).to_be_visible()
    await rose.go(await code(site, shop, SHOP))
    await expect(page.locator(".payee")).to_have_text(SHOP)
    assert await page.evaluate("told") == []


async def test_the_name_in_an_unsigned_code_waits_for_the_server(rose: Holder, site: LoggedSite, shop: Person) -> None:
    page = rose.page
    async with held(page, "/v1/quote?*") as (arrived, go_on):
        await rose.go(await code(site, shop, "Somebody else", signed=False))
        await arrived.wait()
        await expect(page.locator(".payee")).to_have_count(0)
        go_on.set()
        await expect(page.locator(".payee")).to_have_text(SHOP)
        await expect(page.locator(".notice-bad")).to_contain_text("Somebody else")


async def test_what_the_server_refuses_behind_the_question_replaces_it(rose: Holder, site: LoggedSite) -> None:
    """Agents have codes as shops have, and are paid by what both sides sign only."""
    agent = await site.scheme.agent("Kiosk")
    await rose.go(await code(site, agent, "Kiosk"))
    await expect(rose.page.locator(".empty [role=alert]")).not_to_be_empty()
    await expect(rose.page.locator(".consent")).to_have_count(0)
    await rose.looks_right()


async def test_a_price_by_rules_that_are_no_longer_in_force_is_not_paid(rose: Holder, site: LoggedSite, shop: Person) -> None:
    """The server is not heard before consent; then its refusal is what makes the wallet ask for the rules of today."""
    page, before = rose.page, rose.balance()
    await rose.go("/")
    await page.route("**/v1/quote?*", lambda route: route.abort())
    await page.evaluate(f"(hash) => {KEPT_TERMS}", FORMER)
    await page.reload()
    await rose.go(await code(site, shop, SHOP))
    await rose.agree()
    await rose.outcome("refused")
    await expect(page.locator(".outcome")).to_contain_text("look at the new fee and agree again")
    assert rose.balance() == before
    async with asyncio.timeout(15):
        while await page.evaluate(f"(hash) => {KEPT_TERMS}", None) == FORMER:
            await asyncio.sleep(0.05)
    await rose.go("/")
    await rose.go(await code(site, shop, SHOP))
    await rose.agree()
    await rose.outcome("done")
    assert rose.balance() == before - 250
    await page.unroute("**/v1/quote?*")


async def test_a_quote_by_other_rules_makes_the_wallet_ask_for_them(rose: Holder, site: LoggedSite, shop: Person) -> None:
    page, before = rose.page, rose.balance()
    await rose.go("/")
    await page.evaluate(f"(hash) => {KEPT_TERMS}", FORMER)
    await page.reload()
    await rose.go(f"/pay?account={id_text(shop.account)}&amount=1.00")
    await rose.agree()
    await rose.outcome("done")
    assert rose.balance() == before - 100
