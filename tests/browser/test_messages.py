"""Messages in the wallet: what the scheme writes, and reporting what somebody else wrote. Two sizes, two languages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, expect

from counterfoil.channels.announcements import KIND, Announcement
from counterfoil.channels.reports import ReportReason
from counterfoil.ids import new_id
from tests.browser.holders import Holder, holding, site_in
from tests.browser.test_wallet_account import BOTH, said
from tests.scheme import Person
from tests.web.logged import LoggedSite

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = {
    "en": "The office in Nairobi is closed on Friday.\nPayments work as always.",
    "ko": "금요일에는 사무실이 쉬어요.\n결제는 그대로 할 수 있어요.",
}
WRITTEN = {"en": "Send me your PIN, I am from the bank.", "ko": "은행인데 PIN을 보내 주세요."}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: LoggedSite) -> Person:
    return await site.scheme.merchant("Lighthouse Fuel", funds=1_000_000)


async def announce(site: LoggedSite, holder: Holder, *, security: bool = False) -> None:
    """Proposed by one supervisor and approved by another; the server hands it out by itself."""
    value, count = await site.services.announcements.list_of([holder.number])
    what = Announcement(texts=TEXTS, to="list", value=value, count=count, security=security)
    await site.scheme.propose(KIND, json.loads(msgspec.json.encode(what)), site.scheme.supervisors)


@BOTH
async def test_what_the_scheme_writes_is_told_at_once_read_and_muted(
    browser: Browser, site: LoggedSite, shop: Person, language: str, size: ViewportSize
) -> None:
    async with holding(browser, site, shop, language, size) as rose:
        page = rose.page
        await rose.go("/messages")
        await announce(site, rose)
        row = page.locator("a.row[href*=thread]")
        await expect(row).to_contain_text("Counterfoil")
        await expect(row.locator(".count")).to_contain_text("1")
        await rose.looks_right()
        await row.click()
        await expect(page.locator(".talk .theirs")).to_contain_text(TEXTS[language].split("\n")[1])
        await expect(page.locator(".talk-form .notice")).to_contain_text(said(language, "The scheme writes here. It reads no answers."))
        await expect(page.locator("textarea, .talk-flag, .bar a")).to_have_count(0)  # no answer, no report, no payment
        await rose.looks_right()
        mute = page.locator(".talk-form button")
        await expect(mute).to_have_text(said(language, "Mute"))
        await mute.click()
        await expect(page.locator(".talk-form .notice")).to_contain_text(
            said(language, "Muted: you are only told of what is about security.")
        )
        await rose.looks_right()
        await announce(site, rose)
        await announce(site, rose, security=True)
        await rose.go("/messages")
        await expect(row.locator(".count")).to_contain_text("1")  # the one that is about security
        await row.click()
        await expect(page.locator(".talk .theirs")).to_have_count(3)
        await mute.click()
        await expect(mute).to_have_text(said(language, "Mute"))


@BOTH
async def test_a_message_is_reported_with_a_reason(
    browser: Browser, site: LoggedSite, shop: Person, language: str, size: ViewportSize
) -> None:
    stranger = await site.scheme.customer("Amina")
    async with holding(browser, site, shop, language, size) as rose:
        page = rose.page
        await site.services.conversations.send(
            id=new_id(site.scheme.clock), sender=stranger.account, recipient=rose.account, text=WRITTEN[language]
        )
        await rose.go("/messages")
        await page.locator("a.row[href*=thread]").click()
        flag = page.locator(".talk-flag")
        await expect(flag).to_have_attribute("aria-label", said(language, "Report this message"))
        await rose.looks_right()
        await flag.click()
        report = page.locator(".talk-report")
        await expect(report.locator("input[type=radio]")).to_have_count(4)
        await rose.looks_right()
        await report.locator("button").click()
        await expect(report.locator("[role=alert]")).to_contain_text(said(language, "Choose a reason."))
        await report.locator("label", has_text=said(language, "Fraud: wants money, a PIN or a code")).click()
        await report.locator("textarea").fill("Nairobi")
        await report.locator("button").click()
        await expect(report).to_contain_text(said(language, "Reported. The scheme’s staff will look at it."))
        await expect(flag).to_have_count(0)
        await rose.looks_right()
        (kept,) = [each for each in await site.services.reports.all() if each.reporter == rose.account]
        assert (kept.text, kept.reason, kept.note, kept.sender) == (WRITTEN[language], ReportReason.FRAUD, "Nairobi", stranger.account)
