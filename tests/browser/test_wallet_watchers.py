"""Two wallets, one of which watches over the other: asked by name, told live, taken away, kept; and on a network that loses answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, ViewportSize, expect

from counterfoil.parties.watchers import Watcher, WatcherState
from tests.browser.device import PHONE
from tests.browser.holders import Holder, borrowing, holding, site_in
from tests.browser.test_wallet_account import BOTH, find, said
from tests.scheme import Person
from tests.web.logged import LoggedSite

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/security/watchers"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: LoggedSite) -> Person:
    return await site.scheme.merchant("Lighthouse Fuel", funds=1_000_000)


async def of(holder: Holder) -> list[Watcher]:
    """Who watches over a holder, as the server has it."""
    parties = holder.site.services.parties
    return await parties.watchers.of((await parties.holder(holder.account)).party)


async def ask(rose: Holder, amina: Holder) -> None:
    """Rose finds Amina by number, sees the name, and asks."""
    page = rose.page
    await rose.go(PATH)
    await page.locator("main a.button").click()
    await find(page, amina.number)
    await expect(page.locator(".stub .payee")).to_have_text("Amina")
    assert not await of(rose)
    await page.locator(".low form .button").click()


@BOTH
async def test_somebody_is_asked_by_name_agrees_is_told_and_is_taken_away(
    browser: Browser, site: LoggedSite, shop: Person, language: str, size: ViewportSize
) -> None:
    async with (
        holding(browser, site, shop, language, size) as rose,
        holding(browser, site, None, language, size, name="Amina") as amina,
    ):
        hers, theirs = rose.page.locator("main .list li"), amina.page.locator("main .list li")
        await rose.go("/settings")
        await rose.page.locator("a[href='#/security/watchers']").click()
        await expect(rose.page.locator("main > p.soft")).to_have_count(2)  # nobody, and over nobody
        await rose.looks_right()
        await rose.page.locator("main a.button").click()
        await rose.looks_right()
        await find(rose.page, "+254799999999")
        await expect(rose.page.locator("[role=alert] .notice")).to_be_visible()
        await find(rose.page, amina.number)
        await expect(rose.page.locator(".stub .payee")).to_have_text("Amina")
        await rose.looks_right()
        await rose.page.locator(".low form .button").click()
        await expect(hers).to_contain_text(said(language, "Asked %(time)s, has not answered"))
        await rose.looks_right()

        # A notice leads to the answer
        await expect(amina.page.locator(".bar .dot")).to_be_visible()
        await amina.page.locator(".bar a").click()
        await amina.page.locator("a.row[href='#/security/watchers']").press("Enter")
        await expect(amina.page.locator("a.row")).to_have_count(0)  # the list of notices, which could answer for the next one
        await expect(theirs).to_contain_text("Rose")
        await amina.looks_right()
        await theirs.locator("form .button").first.click()
        await expect(theirs).to_contain_text(said(language, "You are told of all that happens"))
        await expect(hers).to_contain_text(said(language, "Is told of all that happens"))  # without being asked for
        await amina.looks_right()
        await rose.pay_by_link(shop, "12.50")
        await amina.go("/notices")
        paid = amina.page.locator("a.row[href^='/r/']")
        await expect(paid).to_contain_text("12.50")
        await amina.looks_right()

        # Taken away, kept, taken away for good
        await rose.go(PATH)
        await hers.locator("summary").click()
        await expect(hers.locator("details p")).to_contain_text("72")
        await rose.looks_right()
        await hers.locator("details .button").click()
        until = said(language, "Is told everything until %(time)s, then no more")
        await expect(hers).to_contain_text(until)
        await rose.looks_right()
        await amina.go(PATH)
        await expect(theirs).to_contain_text(said(language, "Has taken you away; you are told everything until %(time)s"))
        await amina.looks_right()
        await hers.locator("form .button").click()
        await expect(hers).to_contain_text(said(language, "Is told of all that happens"))
        await expect(theirs).to_contain_text(said(language, "You are told of all that happens"))
        await theirs.locator("summary").click()
        await amina.looks_right()
        await theirs.locator("details .button").click()
        await expect(theirs).to_have_count(0)
        await expect(hers).to_have_count(0)
        await rose.go("/notices")
        await expect(rose.page.locator("a.row[href='#/security/watchers']")).to_have_count(5)
        await rose.looks_right()


async def test_an_answer_that_is_lost_is_not_known_and_asking_again_asks_once(browser: Browser, site: LoggedSite) -> None:
    async with (
        holding(browser, site, None, "en", PHONE) as rose,
        holding(browser, site, None, "en", PHONE, name="Amina") as amina,
    ):
        page, tries = rose.page, 0

        async def lose(route: Route) -> None:
            nonlocal tries
            is_order = route.request.method == "POST"
            tries += is_order
            if is_order:
                await route.fetch()
            await (route.abort() if is_order else route.continue_())

        await page.route("**/v1/watchers**", lose)
        await ask(rose, amina)
        await expect(page.locator("[role=alert] .notice")).to_contain_text("it is done only once")
        assert tries == 2
        await page.unroute_all(behavior="wait")
        await page.locator(".low form .button").click()
        rows = page.locator("main .list li")
        await expect(rows).to_contain_text("Amina")
        [asked] = await of(rose)
        party = (await site.services.parties.holder(amina.account)).party
        notices = await site.services.parties.notices.of(party, limit=100)
        assert [each.kind for each in notices].count("watch_asked") == 1

        # Without a network what was known last stays, and nothing that is pressed is done later
        await page.evaluate("navigator.serviceWorker.ready")
        await page.context.set_offline(True)
        await rows.locator("summary").click()
        await rows.locator("details .button").click()
        await expect(rows.locator("[role=alert] .notice")).to_be_visible()
        await rose.go("/settings")
        await rose.go(PATH)
        await expect(page.locator("[role=alert].notice-wait")).to_contain_text("what the phone knew last")
        await expect(rows).to_contain_text("Amina")
        await page.context.set_offline(False)
        await expect(page.locator("[role=alert].notice-wait")).to_have_count(0)
        assert [(each.id, each.state) for each in await of(rose)] == [(asked.id, WatcherState.ASKED)]


async def test_a_shop_watches_and_is_watched_by_nobody_and_three_are_enough(browser: Browser, site: LoggedSite) -> None:
    people = [await site.scheme.customer(name, funds=1_000) for name in ("Amina", "Nairobi", "Kiosk", "Rose")]
    kiosk = await site.scheme.merchant("Lighthouse Fuel", funds=1_000)
    watchers = site.services.parties.watchers
    for each in (*people[:2], kiosk):
        await watchers.choose(people[3].party, each.address, by=people[3].party)
    await watchers.choose(people[0].party, people[3].address, by=people[0].party)
    async with borrowing(browser, site, people[3], "en", PHONE) as rose, borrowing(browser, site, kiosk, "en", PHONE) as keeper:
        await rose.go(PATH)
        await expect(rose.page.locator("main .list li")).to_have_count(4)
        await expect(rose.page.locator("main .list li").first).to_contain_text("Asks you to watch")
        await expect(rose.page.locator("main a.button")).to_have_count(0)
        await rose.looks_right()
        await keeper.go(PATH)
        await expect(keeper.page.locator("main .list li")).to_have_count(1)
        await expect(keeper.page.locator("main h2")).to_have_count(1)
        await keeper.looks_right()


async def test_a_server_that_refuses_the_list_is_not_asked_again_and_again(browser: Browser, site: LoggedSite) -> None:
    async with holding(browser, site, None, "en", PHONE) as rose:
        problem = {"code": "unavailable", "title": "Not now.", "detail": "", "status": 503, "retry": "later", "facts": {}}
        tries = 0

        async def refuse(route: Route) -> None:
            nonlocal tries
            tries += 1
            await route.fulfill(status=503, json=problem)

        await rose.page.route("**/v1/watchers", refuse)
        await rose.go(PATH)
        await expect(rose.page.locator("main > [role=alert].notice-wait")).to_have_text("Not now.")
        for _ in range(3):  # as each thing that happens draws the screen anew
            await rose.page.evaluate("new Promise(requestAnimationFrame)")
        assert tries == 1
