"""A holder's cards in the wallet: added from the page that a tap opens, locked with one touch, taken away; refused, and without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, ViewportSize, expect

from counterfoil.acceptance.cards.registry import Card, CardState
from counterfoil.ids import id_text
from counterfoil.parties.types import StaffRole
from tests.acceptance.cards.plastic import Plastic
from tests.browser.audit import audit, tidy
from tests.browser.device import DESKTOP, PHONE, device
from tests.browser.holders import CUT, NUMBERS, Holder, borrowing, holding, site_in
from tests.browser.test_wallet_account import BOTH, said
from tests.browser.wallets import enrol
from tests.web.logged import LoggedSite
from tests.web.test_cards import NOBODYS

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/cards"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


async def of(holder: Holder) -> list[Card]:
    """A holder's cards, as the server has them."""
    return await holder.site.services.acceptance.cards.of(holder.account)


def link(tap: dict[str, str]) -> str:
    """Where the page of a tap leads in the wallet."""
    return f"{PATH}?e={tap['e']}&c={tap['c']}"


async def held(holder: Holder, card: Plastic) -> None:
    """The card is held to the holder's phone, which opens its page; its link is followed into the wallet, which asks."""
    tap = card.tap()
    await holder.page.goto(f"http://localhost:{holder.site.port}/t?e={tap['e']}&c={tap['c']}")
    await holder.page.locator("main a.button[href*='?e=']").click()
    await expect(holder.page.locator("main .stub form .button")).to_be_visible()


@BOTH
async def test_a_tapped_card_is_added_locked_with_one_touch_unlocked_and_taken_away(
    browser: Browser, site: LoggedSite, language: str, size: ViewportSize
) -> None:
    card = Plastic(site.scheme)
    async with holding(browser, site, None, language, size) as rose:
        page = rose.page
        rows, asked, told = page.locator("main .list li"), page.locator("main .stub form .button"), page.locator("main p[role=status]")
        await rose.go("/settings")
        await page.locator("a[href='#/cards']").click()
        await expect(page.locator("main > p.soft")).to_have_count(1)  # the screen before has more of them
        await expect(page.locator("main > p.soft")).to_be_visible()
        await expect(page.locator("main .notice-wait a.button")).to_be_visible()  # no PIN is allowed
        await rose.looks_right()

        tap = card.tap()
        await page.goto(f"http://localhost:{site.port}/t?e={tap['e']}&c={tap['c']}")
        await audit(page)
        await tidy(page, catalogue="pages", names=("Halyard", "Test", "Counterfoil"), cut=CUT)
        assert await of(rose) == []
        await page.locator("main a.button[href*='?e=']").click()
        await expect(asked).to_have_text(said(language, "Add the card"))
        assert await of(rose) == [], "a link alone adds nothing"
        await rose.looks_right()
        await asked.click()
        await expect(told).to_contain_text(card.label)
        await expect(asked).to_have_count(0)
        await expect(rows).to_contain_text(card.label)
        assert tap["e"] not in page.url
        assert [each.label for each in await of(rose)] == [card.label]
        await rose.looks_right()

        await rows.locator("form .button-danger").first.click()
        await expect(rows).to_contain_text(said(language, "Locked: it pays nothing"))
        assert [each.state for each in await of(rose)] == [CardState.LOCKED]
        await rose.looks_right()
        await rows.locator("form .button-quiet").click()
        await expect(rows).to_contain_text(said(language, "Pays with the PIN"))
        assert [each.state for each in await of(rose)] == [CardState.ACTIVE]

        await rows.locator("summary").click()
        await rose.looks_right()
        await rows.locator("details .button").click()
        await expect(rows).to_have_count(0)
        await expect(told).to_contain_text(card.label)
        assert await of(rose) == []
        await rose.looks_right()
        await rose.go("/notices")
        await expect(page.locator("a.row[href='#/cards']")).to_have_count(4)
        await rose.looks_right()


async def test_whoever_allows_no_pin_is_led_to_where_it_is_allowed(browser: Browser, site: LoggedSite) -> None:
    async with holding(browser, site, None, "en", PHONE) as rose:
        await rose.go(PATH)
        await rose.page.locator("main .notice-wait a.button").click()
        field = rose.page.locator("details[open] [name=per_day]")
        await expect(field).to_be_visible()
        await rose.looks_right()
        await field.fill("25")
        await field.press("Enter")
        await expect(rose.page.locator("p.good .icon")).to_be_visible()
        await rose.go(PATH)
        await expect(rose.page.locator("main > p.small")).to_contain_text("25.00")
        await expect(rose.page.locator("main .notice-wait")).to_have_count(0)
        await rose.looks_right()


async def test_somebody_new_opens_an_account_first_and_is_then_asked(browser: Browser, site: LoggedSite) -> None:
    card = Plastic(site.scheme)
    tap, number = card.tap(), f"+{next(NUMBERS)}"
    site.wait(3_600)
    async with device(browser, size=PHONE) as context:
        page = await context.new_page()
        await page.goto(f"http://localhost:{site.port}/t?e={tap['e']}&c={tap['c']}")
        await page.locator("main a.button[href*='?e=']").click()
        await enrol(page, number, "Rose")
        await page.locator("main .stub form .button").click()
        await expect(page.locator("main .list li")).to_contain_text(card.label)
        account = (await site.services.parties.resolve(number)).account
        assert [each.label for each in await site.services.acceptance.cards.of(account)] == [card.label]


async def test_every_refusal_is_said_and_the_tap_is_kept(browser: Browser, site: LoggedSite) -> None:
    amina = await site.scheme.customer("Amina")
    taken, sixth = Plastic(site.scheme), Plastic(site.scheme)
    await site.ok(amina, "POST", "/v1/cards", taken.tap())
    async with holding(browser, site, None, "en", PHONE) as rose:
        page, holder = rose.page, await site.services.parties.holder(rose.account)
        add, refused = page.locator("main .stub form .button"), page.locator("main .stub [role=alert] .notice")
        for tap, words in (
            (dict(zip("ec", NOBODYS, strict=True)), "no card of"),
            (taken.tap(), "belongs to somebody"),
        ):
            await rose.go(link(tap))
            await add.click()
            await expect(refused).to_contain_text(words)
            await rose.looks_right()
        for _ in range(5):
            tap = Plastic(site.scheme).tap()
            await site.services.acceptance.cards.add(holder, tap["e"], tap["c"], by=holder.party)
        tap = sixth.tap()
        await rose.go(link(tap))
        await add.click()
        await expect(refused).to_contain_text("five cards at most")
        rows = page.locator("main .list li")
        await expect(rows).to_have_count(5)
        await rose.looks_right()
        await rows.first.locator("summary").click()
        await rows.first.locator("details .button").click()
        await expect(rows).to_have_count(4)
        await add.click()  # the same tap is still there
        await expect(rows).to_have_count(5)
        assert sixth.label in [each.label for each in await of(rose)]

        # What was declined is asked no more, and what is no card's is not asked at all
        await rose.go(link(Plastic(site.scheme).tap()))
        await page.locator("main .stub p .button").click()
        await expect(add).to_have_count(0)
        await page.reload()
        await expect(rows).to_have_count(5)
        await expect(add).to_have_count(0)
        await rose.go(f"{PATH}?e=12&c=34")
        await expect(rows).to_have_count(5)
        await expect(add).to_have_count(0)


async def test_without_a_network_nothing_is_claimed_and_nothing_is_lost(browser: Browser, site: LoggedSite) -> None:
    async with holding(browser, site, None, "en", PHONE) as rose:
        page, first, second = rose.page, Plastic(site.scheme), Plastic(site.scheme)
        rows, asked = page.locator("main .list li"), page.locator("main .stub form .button")
        await held(rose, first)
        await asked.click()
        await expect(rows).to_contain_text(first.label)

        # The answer to the lock is lost twice: it is done, but nobody here knows
        tries = 0

        async def lose(route: Route) -> None:
            nonlocal tries
            tries += 1
            await route.fetch()
            await route.abort()

        await page.route("**/v1/cards/*/lock", lose)
        await rows.locator("form .button-danger").first.click()
        await expect(rows).to_contain_text("Locked: it pays nothing")  # as the list says, which is asked for again
        assert tries == 2
        await page.unroute_all(behavior="wait")

        await page.evaluate("navigator.serviceWorker.ready")
        await page.context.set_offline(True)
        await rows.locator("form .button-quiet").click()
        await expect(rows.locator("[role=alert] .notice")).to_contain_text("not known")
        await expect(page.locator("main > [role=alert].notice-wait")).to_contain_text("what the phone knew last")
        await rose.go("/settings")
        await rose.go(link(second.tap()))
        await expect(rows).to_contain_text(first.label)
        await asked.click()
        await expect(page.locator("main .stub [role=alert] .notice")).to_contain_text("not known")
        await rose.looks_right()
        await page.context.set_offline(False)
        await expect(page.locator("main > [role=alert].notice-wait")).to_have_count(0)
        await asked.click()
        await expect(rows).to_have_count(2)
        assert [(each.label, each.state) for each in await of(rose)] == [
            (first.label, CardState.LOCKED),
            (second.label, CardState.ACTIVE),
        ]


async def test_what_the_staff_do_for_somebody_who_calls_shows_at_once(browser: Browser, site: LoggedSite) -> None:
    rose, card = await site.scheme.customer("Rose", funds=1_000), Plastic(site.scheme)
    await site.ok(rose, "POST", "/v1/cards", card.tap())
    clerk = await site.staff_member(StaffRole.CLERK)
    async with borrowing(browser, site, rose, "ko", DESKTOP) as wallet:
        await wallet.go(PATH)
        rows = wallet.page.locator("main .list li")
        await expect(rows).to_contain_text(said("ko", "Pays with the PIN"))
        await site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(rose.party)}/cards/lock")
        await expect(rows).to_contain_text(said("ko", "Locked: it pays nothing"))
        await wallet.looks_right()
