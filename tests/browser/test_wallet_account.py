"""What holders do with their account besides paying: cash at an agent, papers to take along, PIN and limits, and leaving a phone.

As in test_wallet.py: a real server with its log, a real browser, in two sizes and two languages.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nacl.signing import SigningKey
from playwright.async_api import Browser, Page, ViewportSize, expect
from pypdf import PdfReader

from counterfoil.errors import LimitExceeded, PinNotAllowed
from counterfoil.i18n import catalogue_words
from counterfoil.ids import id_text, new_id
from counterfoil.web.values import base64_text
from tests.browser.device import DESKTOP, PHONE, WITHOUT_ED25519
from tests.browser.holders import Holder, borrowing, holding, site_in
from tests.scheme import Person
from tests.web.logged import LoggedSite, policy

pytestmark = pytest.mark.asyncio(loop_scope="module")


BOTH = pytest.mark.parametrize(("language", "size"), [("en", DESKTOP), ("ko", PHONE)], ids=["en-1280x800", "ko-360x640"])


def said(language: str, text: str, *, domain: str = "wallet") -> re.Pattern[str]:
    """What the wallet says in this language for a text of its sources, whatever is filled in."""
    found = text if language == "en" else catalogue_words(domain, language)["texts"][text]
    parts = re.split(r"%\(\w+\)s(?:\{.*?\})?", found)
    return re.compile(".*".join(map(re.escape, parts)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: LoggedSite) -> Person:
    return await site.scheme.merchant("Lighthouse Fuel", funds=1_000_000)


async def find(page: Page, address: str) -> None:
    """Types whom is meant, and goes on to the amount."""
    await page.locator("[name=address]").fill(address)
    await page.keyboard.press("Enter")


async def saved(page: Page, button: str, folder: Path) -> Path:
    """Presses what saves a file; the file."""
    async with page.expect_download() as coming:
        await page.locator(button).click()
    download = await coming.value
    path = folder / download.suggested_filename
    await download.save_as(path)
    return path


async def verified(path: Path, folder: Path) -> dict[str, Any]:
    """What the independent verifier says of a receipt that somebody was given."""
    (folder / "policy.txt").write_text(policy())
    program = [sys.executable, "-m", "counterfoil_verify", "receipt", str(path), "--policy", str(folder / "policy.txt"), "--json"]
    run = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    said, _ = await run.communicate()
    found: dict[str, Any] = json.loads(said)
    return found


LEFT = """async () => {
  const request = indexedDB.open("counterfoil");
  const database = await new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
  const names = [...database.objectStoreNames];
  const keys = names.map((name) => new Promise((resolve) => {
    const asked = database.transaction(name).objectStore(name).getAllKeys();
    asked.onsuccess = () => resolve([name, asked.result]);
  }));
  return Object.fromEntries(await Promise.all(keys));
}"""
"""The keys of all that the phone keeps, by store."""


@BOTH
async def test_cash_is_brought_to_an_agent_and_fetched_again_and_both_sign(
    browser: Browser, site: LoggedSite, shop: Person, language: str, size: ViewportSize
) -> None:
    kiosk = await site.scheme.agent("Kiosk", funds=50_000)
    async with (
        holding(browser, site, shop, language, size) as rose,
        # The agent's phone is an old one, whose browser has no Ed25519 for the key that it was lent.
        borrowing(browser, site, kiosk, language, size, script=WITHOUT_ED25519) as agent,
    ):
        page = rose.page
        await page.locator("a[href='#/cash']").click()
        await page.locator(".list button.row").click()
        await find(page, shop.address)
        await expect(page.locator("[role=alert] .notice")).to_contain_text("Lighthouse Fuel")  # a shop is no agent
        await rose.looks_right()
        await find(page, kiosk.address)
        await page.locator("[name=amount]").fill("20.00")
        await page.locator("form .button").click()
        await expect(page.locator(".stub")).to_have_attribute("data-state", "open")
        await rose.looks_right()
        row = agent.page.locator("a.row[href*=request]")
        await expect(row).to_contain_text(said(language, "Cash in"))
        await row.click()
        await expect(agent.page.locator(".stub")).to_contain_text("20.00")
        await agent.looks_right()
        assert rose.balance() == 8_000, "nothing moves before the agent has the cash in hand"
        await agent.page.locator(".low a.button").click()
        await agent.agree()
        await agent.outcome("done")
        await expect(page.locator(".stub")).to_have_attribute("data-state", "paid")
        assert rose.balance() == 10_000
        await page.locator(".low a.button").click()
        await expect(page.locator(".bar button")).to_have_count(2)  # the payment, which can be shared
        await expect(page.locator(".stub .amount-large")).to_contain_text("20.00")
        await rose.looks_right()

        await rose.go("/cash")
        await page.locator("a[href*='cash=out']").click()
        await find(page, kiosk.address)
        await page.locator("[name=amount]").fill("30.00")
        await page.locator("form .button").click()
        await expect(page.locator(".stub .payee")).to_have_text("Kiosk")
        fee = (await page.locator(".stub .facts dd").nth(1).inner_text()).split()[0]
        await rose.looks_right()
        await rose.agree()
        await rose.outcome("done")
        assert rose.balance() == 10_000, "it is set aside until the agent has handed the cash over"
        await agent.go("/")
        await agent.page.locator("a.row[href*=payment]:has(> .icon)").click()
        await expect(agent.page.locator(".stub")).to_have_attribute("data-state", "held")
        await agent.page.locator(".low button.button").first.click()
        await agent.page.locator("form .button").click()
        await agent.outcome("done")
        await agent.looks_right()
        for each in (rose, agent):
            await each.go("/activity")
            await expect(each.page.locator(".row", has_text=said(language, "From what was set aside"))).to_contain_text("30.00")
        await agent.looks_right()
        await rose.go("/")
        await expect(page.locator(".row .icon + .row-title")).to_have_count(0)  # nothing is kept any more
        cost = round(float(fee) * 100) if fee[0].isdigit() else 0
        assert rose.balance() == 10_000 - 3_000 - cost
        assert kiosk.balance() >= 50_000 - 2_000 + 3_000


@BOTH
async def test_a_month_a_receipt_and_everything_else_can_be_taken_along(
    browser: Browser, site: LoggedSite, shop: Person, tmp_path: Path, language: str, size: ViewportSize
) -> None:
    async with holding(browser, site, shop, language, size) as rose:
        page = rose.page
        payment = await rose.pay_by_link(shop, "12.50", more="&memo=8%20mangoes")
        await rose.go(f"/thread/{id_text(shop.account)}")
        await page.locator("textarea").fill("Nairobi?")
        await page.locator(".write .button").click()
        await expect(page.locator(".talk .mine").last).to_contain_text("Nairobi?")
        site.settle()

        await rose.go(f"/payment/{payment}")
        await expect(page.locator(".stub .amount-large")).to_contain_text("12.50")
        receipt = await saved(page, ".bar button:last-child", tmp_path)
        assert receipt.suffix == ".tlog-proof"
        said = await verified(receipt, tmp_path)
        assert (said["verdict"], said["fields"]["payment"]) == ("proven", uuid.UUID(payment).hex), said
        await rose.looks_right()

        await rose.go("/activity")
        await page.locator(".bar a").click()
        facts = page.locator(".stub .facts dd")
        await expect(facts).to_have_count(5)
        balance = f"{rose.balance() / 100:.2f}"
        await expect(facts.last).to_contain_text(balance)
        await expect(page.locator(".bars").first).to_contain_text("Lighthouse Fuel")
        await expect(page.locator(".bars").first).to_contain_text("12.50")
        await rose.looks_right()
        table = await saved(page, ".buttons .button:last-child", tmp_path)
        assert table.suffix == ".csv"
        rows = list(csv.reader(io.StringIO(table.read_text("utf-8-sig"))))
        assert [row for row in rows if "8 mangoes" in row and "12.50" in row], rows
        assert rows[-1][-1] == balance or any(balance in row for row in rows[-3:]), rows
        paper = await saved(page, ".buttons .button:first-child", tmp_path)
        text = "\n".join(each.extract_text() for each in PdfReader(paper).pages)
        assert all(each in text for each in ("Rose", "Lighthouse Fuel", "8 mangoes", "12.50", balance)), text
        before = await page.locator("h1").inner_text()
        await page.locator(".months a").first.click()
        await expect(page.locator("h1")).not_to_have_text(before)
        await expect(facts).to_have_count(5)
        await expect(page.locator(".bars")).to_have_count(0)
        await rose.looks_right()

        await rose.go("/settings")
        everything = json.loads((await saved(page, "h2 + .button", tmp_path)).read_text("utf-8"))
        assert everything["account"]["account"] == id_text(rose.account)
        assert [each["memo"] for each in everything["entries"] if each["code"] == "payment"] == ["8 mangoes", "8 l"]
        assert [each["text"] for each in everything["messages"][id_text(shop.account)]] == ["Nairobi?"]
        assert len(everything["devices"]) == 1
        assert {each["payment"] for each in everything["entries"]} == set(everything["receipts"])
        for number, each in enumerate(everything["receipts"].values()):
            (tmp_path / f"{number}.tlog-proof").write_text(each["proof"])
            assert (await verified(tmp_path / f"{number}.tlog-proof", tmp_path))["verdict"] == "proven"
        await rose.looks_right()


async def test_a_search_finds_what_the_phone_no_longer_has_as_long_as_there_is_a_network(browser: Browser, site: LoggedSite) -> None:
    amina, friend = await site.scheme.customer("Amina", funds=80_000), await site.scheme.customer("Daniel")
    old = await amina.pay(friend, 1_234, memo="Nairobi mangoes")
    other = await site.scheme.customer("Joon")
    for _ in range(505):  # more than a phone keeps
        await amina.pay(other, 1)
    async with borrowing(browser, site, amina, "en", PHONE) as holder:
        page = holder.page
        await holder.go("/activity")
        rows = page.locator(".list .row")
        await expect(rows).to_have_count(500)
        await page.locator("[name=wanted]").fill("MANGOES")
        await expect(rows).to_have_count(1)
        await holder.looks_right()
        await page.locator("[name=wanted]").fill("12.34")
        await expect(rows).to_have_count(1)
        await page.locator(".chip").nth(1).click()  # what came in
        await expect(rows).to_have_count(0)
        await page.locator(".chip").first.click()
        await rows.click()
        await expect(page).to_have_url(f"http://localhost:{site.port}/wallet/#/payment/{id_text(old.payment.id)}")
        await expect(page.locator(".stub .payee")).to_have_text("Daniel")
        await holder.looks_right()
        await page.reload()  # then nothing of the search is left
        await expect(page.locator(".stub .payee")).to_have_text("Daniel")
        await page.evaluate("navigator.serviceWorker.ready")
        await holder.go("/activity")
        await expect(rows).to_have_count(500)
        await page.context.set_offline(True)
        await page.locator("[name=wanted]").fill("mangoes")
        await expect(page.locator("p.small[role=status]")).to_have_text("No network: only what is on this phone was searched.")
        await expect(rows).to_have_count(0)
        await page.context.set_offline(False)
        await expect(rows).to_have_count(1)  # without being asked again


@BOTH
async def test_requests_are_taken_back_and_declined_and_somebody_is_blocked(
    browser: Browser, site: LoggedSite, shop: Person, language: str, size: ViewportSize
) -> None:
    async with (
        holding(browser, site, shop, language, size) as rose,
        holding(browser, site, None, language, size, name="Amina") as amina,
    ):
        stub, row = amina.page.locator(".stub"), rose.page.locator("a.row[href*=request]")
        for turn in ("declined", "cancelled"):
            await amina.go("/ask")
            await find(amina.page, rose.number)
            await amina.page.locator("[name=amount]").fill("3.25")
            await amina.page.locator("form .button").click()
            await expect(stub).to_have_attribute("data-state", "open")
            await rose.go("/")
            await row.click()
            await expect(rose.page.locator(".low form .button")).to_be_visible()
            await (rose if turn == "declined" else amina).page.locator(".low form .button").click()
            for page in (rose.page, amina.page):
                await expect(page.locator(".stub")).to_have_attribute("data-state", turn)
                await expect(page.locator(".low form")).to_have_count(0)
        await rose.looks_right()
        await amina.go("/ask")
        await expect(amina.page.locator("a.row[href*=request]")).to_have_count(2)
        await amina.looks_right()

        thread, back = id_text(amina.account), id_text(rose.account)
        await rose.go(f"/thread/{thread}?name=Amina")
        await rose.page.locator(".talk-form .link").click()  # before a word was said
        await expect(rose.page.locator(".write")).to_have_count(0)
        await rose.looks_right()
        await amina.go(f"/thread/{back}?name=Rose")
        await amina.page.locator("textarea").fill("Nairobi?")
        await amina.page.locator(".write .button").click()
        await expect(amina.page.locator("[role=alert] .notice-bad")).to_contain_text(
            said(language, "One of you has blocked messages between you.", domain="errors")
        )
        await expect(amina.page.locator(".talk .mine")).to_have_count(0)
        await amina.looks_right()
        await rose.page.reload()
        await rose.page.locator(".talk-form .link").click()
        await expect(rose.page.locator(".write")).to_be_visible()
        await amina.page.locator(".write .button").click()  # what was typed is still there
        await expect(rose.page.locator(".talk .theirs")).to_contain_text("Nairobi?")
        for number in range(51):  # nobody may write more than 60 messages a minute
            for sender, recipient in ((amina.account, rose.account), (rose.account, amina.account)):
                text, new = f"Nairobi {number}", new_id(site.scheme.clock)
                await site.services.conversations.send(id=new, sender=sender, recipient=recipient, text=text)
        await rose.page.reload()
        lines = rose.page.locator(".talk bdi")
        await expect(lines).to_have_count(100)
        await rose.page.locator("main > .button").click()
        await expect(lines).to_have_count(103)
        await expect(lines.first).to_have_text("Nairobi?")
        await amina.page.locator("textarea").fill("Nairobi!")
        await amina.page.locator(".write .button").click()
        await expect(lines).to_have_count(104)
        await expect(lines.first).to_have_text("Nairobi?")
        assert rose.balance() == 8_000


@BOTH
async def test_the_account_is_kept_safe_and_at_last_taken_off_the_phone(
    browser: Browser, tmp_path: Path, language: str, size: ViewportSize
) -> None:
    async with site_in(tmp_path / "scheme") as own:
        shop = await own.scheme.merchant("Lighthouse Fuel", funds=50_000)
        async with holding(browser, own, shop, language, size) as rose:
            await change_pin(rose, language)
            await limit(rose, shop, language)
            await allow_pin(rose, shop)
            await lock(rose, shop)
            await other_witnesses(rose, language)
            await leave(rose, shop, await own.scheme.customer("Amina", funds=4_200))


async def change_pin(rose: Holder, language: str) -> None:
    """And is told of it by the bell, once."""
    page, dot = rose.page, rose.page.locator(".bar .dot")
    await expect(dot).to_have_count(0)  # that the account was opened here is no news
    await rose.go("/security")
    form = await opened(page, 1)
    wrong, easy = "The PIN is not right. Attempts left: %(count)s.", "This PIN is too easy to guess."
    for old, fresh, told in (("1357", "86420", wrong), ("2580", "4321", easy)):
        await form.locator("[name=old]").fill(old)
        await form.locator("[name=fresh]").fill(fresh)
        await page.keyboard.press("Enter")
        await expect(form.locator("[role=alert] .notice")).to_contain_text(said(language, told))
    await rose.looks_right()
    await form.locator("[name=old]").fill("2580")
    await form.locator("[name=fresh]").fill("86420")
    await page.keyboard.press("Enter")
    await expect(page.locator("p.good")).not_to_be_empty()
    await expect(form.locator("[name=old]")).to_have_value("")
    await rose.go("/")
    await expect(dot).to_be_visible()
    await rose.looks_right()
    await page.locator(".bar a").click()
    await expect(page.locator(".row strong")).to_have_count(1)
    await rose.looks_right()
    await rose.go("/")
    await expect(page.locator(".balance")).to_be_visible()
    await expect(dot).to_have_count(0)
    await page.reload()
    await expect(page.locator(".balance")).to_be_visible()
    await expect(dot).to_have_count(0)


async def limit(rose: Holder, shop: Person, language: str) -> None:
    """Below the scheme's, and a payment above it is refused in words."""
    page = rose.page
    await rose.go("/security")
    form = await opened(page, 0)
    await form.locator("[name=per_payment]").fill("5,0,0")
    await form.locator("[name=pin]").fill("86420")
    await page.keyboard.press("Enter")
    await expect(form.locator("[role=alert] .notice")).to_contain_text("5,0,0")
    await form.locator("[name=per_payment]").fill("5.00")
    await form.locator("[name=pin]").fill("86420")
    await page.keyboard.press("Enter")
    await expect(form.locator(".hint").first).to_contain_text("5.00")
    await rose.looks_right()
    await rose.go(f"/pay?to={shop.address.replace('+', '%2B')}&amount=5.01")
    await rose.agree()
    await rose.outcome("refused")
    await expect(page.locator(".outcome p")).to_contain_text(
        said(language, "This is above the limit of your account; %(left)s is left. Nothing was paid.")
    )
    await rose.looks_right()
    await rose.pay_by_link(shop, "5.00")
    assert rose.balance() == 7_500


async def allow_pin(rose: Holder, shop: Person) -> None:
    """The number and the PIN alone pay from a borrowed phone: nothing before it was allowed, and then so much a day."""
    page, site = rose.page, rose.site
    borrowed = Person(site.scheme, party=0, account=rose.account, device=0, key=SigningKey.generate(), address=rose.number)
    with pytest.raises(PinNotAllowed):
        await borrowed.pay_by_pin(shop, 100, "86420")
    await rose.go("/security")
    form = await opened(page, 2)
    await form.locator(".button").click()
    await expect(form.locator("[role=alert] .notice")).to_be_visible()  # nothing was typed: that is not zero
    await form.locator("[name=per_day]").fill("3.00")
    await page.keyboard.press("Enter")
    await expect(form.locator("xpath=..")).to_contain_text("3.00 USD")
    await rose.looks_right()
    await borrowed.pay_by_pin(shop, 200, "86420")
    with pytest.raises(LimitExceeded):
        await borrowed.pay_by_pin(shop, 200, "86420")
    await form.locator("[name=per_day]").fill("0")
    await page.keyboard.press("Enter")
    await expect(form.locator("xpath=..")).not_to_contain_text("3.00 USD")
    with pytest.raises(PinNotAllowed):
        await borrowed.pay_by_pin(shop, 100, "86420")
    assert rose.balance() == 7_300


async def lock(rose: Holder, shop: Person) -> None:
    """At once, without a PIN; and open again by it."""
    page = rose.page
    await page.locator("section .button-danger").click()
    await expect(page.locator("section [name=pin]")).to_be_visible()
    await rose.looks_right()
    await rose.go("/")
    await expect(page.locator(".notice a[href='#/security']")).to_be_visible()
    await rose.looks_right()
    await rose.go(f"/pay?to={shop.address.replace('+', '%2B')}&amount=1.00")
    await rose.agree()
    await rose.outcome("refused")
    await rose.go("/security")
    await page.locator("section [name=pin]").fill("86420")
    await page.keyboard.press("Enter")
    await expect(page.locator("section .button-danger")).to_be_visible()
    await rose.pay_by_link(shop, "1.00")


async def other_witnesses(rose: Holder, language: str) -> None:
    """The scheme names others: the phone asks, and trusts them when its holder does."""
    page, site = rose.page, rose.site
    first, second, *others = policy().splitlines()
    kept = [line for line in others if not line.startswith(("witness W5", "group", "quorum"))]
    changed = "\n".join([first, second, *kept, "group four 3 W1 W2 W3 W4", "quorum four", ""])
    site.book.log.keep_policy(changed)
    site.scheme.clock.offset_s += 3_700  # the terms are asked for again after an hour
    await page.reload()
    await rose.go("/")
    notice = page.locator(".notice a[href='#/about/witnesses']")
    await expect(notice).to_be_visible()
    await rose.looks_right()
    await notice.click()
    needed = said(language, "%(needed)s of %(count)s witnesses must confirm")
    await expect(page.locator(".facts dd").last).to_have_text(needed)
    await expect(page.locator(".facts dd").last).to_contain_text("3")
    await expect(page.locator(".list").first.locator(".row")).to_have_count(1)  # the one that is gone
    await expect(page.locator(".list").last.locator(".row")).to_have_count(4)
    await rose.looks_right()
    await page.locator(".low a.button").click()  # not now
    await notice.click()
    await page.locator(".low form .button").click()
    await expect(page.locator(".balance")).to_be_visible()
    await expect(notice).to_have_count(0)
    await rose.go("/about/witnesses")
    await expect(page.locator("h2")).to_have_text(needed)
    await expect(page.locator(".low")).to_have_count(0)  # nothing to agree to
    await rose.looks_right()


async def leave(rose: Holder, shop: Person, amina: Person) -> None:
    """Not while a payment waits; then nothing of the account is left, and the phone is free for another."""
    page, site = rose.page, rose.site
    await page.evaluate("navigator.serviceWorker.ready")
    await page.context.set_offline(True)
    await rose.go(f"/pay?account={id_text(shop.account)}&amount=2.00")
    await rose.agree()
    await rose.outcome("kept")
    await rose.go("/security")
    form = await opened(page, 3)
    await form.locator(".button").click()
    await expect(form.locator("[role=alert] .notice")).to_be_visible()
    await rose.looks_right()
    await rose.go("/")
    await page.locator("a.row[href*='/out/']").first.click()
    await page.locator(".low form .button").click()
    await expect(page.locator(".balance")).to_be_visible()
    await rose.go("/security")
    await (await opened(page, 3)).locator(".button").click()
    await expect(page.locator(".welcome")).to_be_visible()
    await page.context.set_offline(False)
    left = await page.evaluate(LEFT)
    assert set(left.pop("self")) <= {"settings", "scheme", "skewMs"}  # the look of the phone, and whose server this is
    assert not any(left.values()), left
    await page.goto(f"http://localhost:{site.port}/wallet/#/borrow?device={id_text(amina.device)}&seed={base64_text(bytes(amina.key))}")
    await expect(page.locator(".balance .amount-large")).to_contain_text("42.00")
    await expect(page.locator(".list .row")).to_have_count(1)
    assert await page.locator(".toast").count() == 0  # what she has had for long has not just come in


async def opened(page: Page, at: int) -> Any:
    """The form of one of the parts that are folded away, unfolded."""
    await page.locator("details > summary").nth(at).click()
    form = page.locator("details").nth(at).locator("form")
    await expect(form).to_be_visible()
    return form
