"""The wallet as people hold it: a real server with its log, a real browser with a camera, in two sizes and two languages.

Each test is one thing that somebody does from beginning to end; at what they see on the way, nothing may be untidy or unusable.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from counterfoil.acceptance import emv
from counterfoil.acceptance.emv_objects import checksum
from counterfoil.ids import id_text
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Receipt
from tests.browser.audit import audit, tidy
from tests.browser.device import DESKTOP, PHONE, Camera, device
from tests.browser.holders import NAMES, borrowing, holding, site_in
from tests.payments.publish.logbook import KEY
from tests.scheme import Person
from tests.web.logged import LoggedSite

pytestmark = pytest.mark.asyncio(loop_scope="module")

Seeing = tuple[Browser, Camera]
LET_GO = """async () => {
  while (stream.getTracks().some((track) => track.readyState !== 'ended')) await new Promise((resolve) => setTimeout(resolve, 25));
}"""
"""Until nothing sees through the camera any more."""

HIDES = """() => new Promise((done) => {
  const opening = indexedDB.open('counterfoil');
  opening.onsuccess = () => {
    const asking = opening.result.transaction('self').objectStore('self').get('settings');
    asking.onsuccess = () => { opening.result.close(); done(asking.result?.hideBalance === true); };
  };
})"""
"""Whether the phone has kept that the balance is hidden."""


class Words(NamedTuple):
    """What the wallet says in one language, of that which tests look for."""

    size: ViewportSize
    paid: str
    kept: str
    refused: str
    reserved: str
    damaged: str
    foreign: str
    proven: str
    unknown: str


EN = Words(
    PHONE, "Paid", "Kept on this phone", "Not paid", "Kept for Lighthouse Fuel", "checksum", "another payment scheme",
    "Proven: this payment is in the log", "Nobody has an account",
)  # fmt: skip
KO = Words(
    DESKTOP, "결제 완료", "이 휴대폰에 보관됨", "결제되지 않음", "Lighthouse Fuel님 앞으로 예약됨", "검사 숫자", "다른 결제 서비스",
    "증명됨", "계좌가 없어요",
)  # fmt: skip
BOTH = pytest.mark.parametrize(("language", "words"), [("en", EN), ("ko", KO)], ids=["en-360x640", "ko-1280x800"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: LoggedSite) -> Person:
    return await site.scheme.merchant("Lighthouse Fuel", funds=1_000_000)


@BOTH
async def test_somebody_opens_an_account_and_is_told_when_money_comes(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    async with device(seeing[0], size=words.size, language=language) as context:
        page = await context.new_page()
        await page.goto(f"http://localhost:{site.port}/wallet/")
        await expect(page.locator(".low .button").first).to_be_visible()
        await audit(page)
        await tidy(page, catalogue="wallet", names=NAMES)
    async with holding(seeing[0], site, None, language, words.size) as rose:
        await rose.looks_right()
        await rose.go("/receive")
        await expect(rose.page.locator(".qr svg")).to_be_visible()
        await rose.looks_right()
        text = await rose.page.locator(".qr").get_attribute("data-text")
        code = emv.read(text or "")
        assert isinstance(code, emv.Code)
        assert (code.account, code.name, code.amount) == (rose.account, "Rose", None)
        await shop.pay(rose.account, 1_250)
        await expect(rose.page.locator(".outcome h2")).to_have_text(words.paid, timeout=3_000)
        await expect(rose.page.locator(".outcome .amount")).to_contain_text("12.50")
        await rose.looks_right()
        await rose.go("/")
        await expect(rose.page.locator(".balance .amount-large")).to_contain_text("12.50")
        await rose.page.locator(".balance-now").click()
        await expect(rose.page.locator(".balance .amount-large")).not_to_contain_text("12.50")
        await rose.page.wait_for_function(HIDES)  # the picture comes first, and is kept then
        await rose.page.reload()
        await expect(rose.page.locator(".balance .amount-large")).to_have_text("•••")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["360x640", "1280x800"])
async def test_nothing_moves_under_a_finger_when_the_server_answers(seeing: Seeing, site: LoggedSite, size: ViewportSize) -> None:
    """Whoever opens an account taps in the moment in which the answer comes: what they tapped has to be there still."""
    answer = asyncio.Event()

    async def wait(route: Route) -> None:
        await answer.wait()
        await route.continue_()

    async with device(seeing[0], size=size) as context:
        page = await context.new_page()
        await page.route("**/v1/scheme", wait)
        await page.goto(f"http://localhost:{site.port}/wallet/")
        ways = page.locator(".bar, .chips button, .low .button")
        await expect(page.locator(".low .button").first).to_be_visible()
        before = [await way.bounding_box() for way in await ways.all()]
        async with page.expect_response("**/v1/scheme") as asked:
            answer.set()
        await (await asked.value).finished()
        await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
        assert [await way.bounding_box() for way in await ways.all()] == before
        await expect(page.locator(".strip")).to_be_visible()


@BOTH
async def test_a_code_in_front_of_the_camera_is_paid_by_one_slide(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    browser, camera = seeing
    async with holding(browser, site, shop, language, words.size, camera=True) as rose:
        rules = site.services.payments.rules
        code = emv.Code(
            scheme=emv.scheme_mark(rules.origin), account=shop.account, address=shop.address, name="Lighthouse Fuel", amount="12.50",
            currency="840", country="KE", memo="Pump 4",
        )  # fmt: skip
        camera.show(emv.write(code, sign=lambda data: KEY.sign(data).signature))
        await rose.page.evaluate(
            """() => {
              const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              navigator.mediaDevices.getUserMedia = async (wish) => (globalThis.stream = await open(wish));
            }"""
        )
        await rose.go("/scan")
        await expect(rose.page.locator(".payee")).to_have_text("Lighthouse Fuel", timeout=15_000)
        await rose.page.evaluate(LET_GO)
        await expect(rose.page.locator(".stub")).to_contain_text("12.50")
        await expect(rose.page.locator(".notice")).to_have_count(0)  # the operator has signed the name
        await rose.looks_right()
        await slide(rose.page, 0.4)
        await expect(rose.page.locator(".outcome")).to_have_count(0)  # half a slide is no consent
        await slide(rose.page, 1.1)
        await rose.outcome("done")
        await expect(rose.page.locator(".outcome h2")).to_have_text(words.paid)
        await rose.looks_right()
        assert rose.balance() == 6_750


async def slide(page: Page, share: float) -> None:
    """Drags the thumb along this share of its way."""
    thumb, track = await page.locator(".slide-thumb").bounding_box(), await page.locator(".slide").bounding_box()
    assert thumb is not None
    assert track is not None
    x, y = thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + share * (track["width"] - thumb["width"]), y, steps=8)
    await page.mouse.up()


@BOTH
async def test_codes_that_are_damaged_forged_or_of_others_are_refused_in_words(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    browser, camera = seeing
    async with holding(browser, site, None, language, words.size, camera=True) as rose:
        code = emv.Code(
            scheme=emv.scheme_mark(site.services.config.origin), account=shop.account, name="Lighthouse Fuel", currency="840", country="KE"
        )  # fmt: skip
        good = emv.write(code, sign=lambda data: KEY.sign(data).signature)
        camera.show(good.replace("Lighthouse Fuel", "Lighthouse Fuet"))
        await rose.go("/scan")
        await expect(rose.page.locator(".notice-bad")).to_contain_text(words.damaged, timeout=15_000)
        await rose.looks_right()
        await rose.go("/")
        stranger = good.replace("Lighthouse Fuel", "Lighthouse Fuet")[:-4]
        camera.show(stranger + checksum(stranger))  # the name was changed, the checksum made good again
        await rose.go("/scan")
        await expect(rose.page.locator(".empty")).to_be_visible(timeout=15_000)
        await expect(rose.page.locator(".consent")).to_have_count(0)
        await rose.go("/")
        elsewhere = emv.write(emv.Code(scheme=emv.scheme_mark("other.example/log"), account=1, name="X", currency="840", country="KE"))
        camera.show(elsewhere)
        await rose.go("/scan")
        await expect(rose.page.locator(".empty")).to_contain_text(words.foreign, timeout=15_000)
        await rose.looks_right()


@BOTH
async def test_paying_by_number_shows_name_and_fee_before_consent(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    amina = await site.scheme.customer("Amina")
    async with holding(seeing[0], site, shop, language, words.size) as rose:
        page = rose.page
        await rose.go("/pay")
        await page.locator("[name=address]").fill("+254799999999")
        await page.keyboard.press("Enter")
        await expect(page.locator("[role=alert] .notice")).to_contain_text(words.unknown)
        await rose.looks_right()
        await page.locator("[name=address]").fill(amina.address)
        await page.keyboard.press("Enter")
        await expect(page.locator(".to")).to_contain_text("Amina")
        await expect(page.locator("form .button")).to_be_disabled()
        if words.size is PHONE:
            for key in ("1", "0", "0", "0"):
                await page.get_by_role("button", name=key, exact=True).click()
        else:
            await page.locator("h1").focus()  # nobody looks for the field with a real keyboard
            for key in ("1", "0", "0", "0", "9", "Backspace"):
                await page.keyboard.press(key)
        await expect(page.locator("[name=amount]")).to_have_value("1,000")
        await rose.looks_right()
        await page.locator("[name=amount]").fill("7.125")
        await expect(page.locator("[name=amount]")).to_have_value("7.12")
        await page.locator("[name=memo]").fill("8 l")
        await page.locator("form .button").click()
        await expect(page.locator(".payee")).to_have_text("Amina")
        quote = await site.services.payments.quote(payer=rose.account, payee=amina.account, amount=712, kind=OrderKind.PAY)
        await expect(page.locator(".facts")).to_contain_text(f"{quote.total / 100:.2f}")
        await rose.looks_right()
        await rose.agree()
        await rose.outcome("done")
        assert amina.balance() == 712
        # Too much: nothing moves, and it says so.
        await rose.go(f"/pay?to={amina.address.replace('+', '%2B')}&amount=79.00")
        await rose.agree()
        await rose.outcome("refused")
        await expect(page.locator(".outcome h2")).to_have_text(words.refused)
        await rose.looks_right()
        assert amina.balance() == 712


@BOTH
async def test_a_request_is_asked_answered_and_declined(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    async with holding(seeing[0], site, shop, language, words.size) as rose:
        page = rose.page
        amina = await site.scheme.customer("Amina", funds=5_000)
        holder = Person(site.scheme, party=0, account=rose.account, device=0, key=amina.key, address=rose.number)
        await amina.ask(holder, 1_500, memo="8 l")
        row = page.locator("a.row[href*=request]")
        await expect(row).to_contain_text("Amina")
        await rose.looks_right()
        await row.click()
        await expect(page.locator(".stub")).to_contain_text("15.00")
        await rose.looks_right()
        await page.locator(".low a.button").click()
        await rose.agree()
        await rose.outcome("done")
        assert amina.balance() == 6_500
        await amina.ask(holder, 900)
        await rose.go("/")
        await page.locator("a.row[href*=request]", has_text="9.00").click()
        await page.locator(".low form .button").click()
        await expect(page.locator(".stub")).to_have_attribute("data-state", "declined")
        await rose.looks_right()
        # The other way round.
        await rose.go("/ask")
        await page.locator("[name=address]").fill(amina.address)
        await page.keyboard.press("Enter")
        await page.locator("[name=amount]").fill("3.25")
        await page.locator("form .button").click()
        await expect(page.locator(".stub")).to_have_attribute("data-state", "open")
        asked = uuid.UUID(page.url.rpartition("/")[2])
        await amina.pay(rose.account, 325, reference=asked.int)
        await expect(page.locator(".stub")).to_have_attribute("data-state", "paid")
        await rose.looks_right()


@BOTH
async def test_what_is_kept_for_somebody_stands_apart_until_they_take_it_and_a_refund_comes_back(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    async with holding(seeing[0], site, shop, language, words.size) as rose:
        page = rose.page
        held = await rose.pay_by_link(shop, "30.00", more="&hold=1")
        await rose.looks_right()
        await rose.go("/")
        await expect(page.locator("section .row", has_text=words.reserved)).to_contain_text("30.00")
        await expect(page.locator(".balance .facts")).to_contain_text("50.00")
        await rose.looks_right()
        receipt = await shop_receipt(site, shop, held)
        taken = await shop.answer(OrderKind.CAPTURE, receipt, 2_000)
        await expect(page.locator(".row", has_text=words.reserved)).to_have_count(0)
        await expect(page.locator(".balance .amount-large")).to_contain_text("60.00")
        await shop.answer(OrderKind.REFUND, taken, 500)
        await expect(page.locator(".balance .amount-large")).to_contain_text("65.00")
        await rose.go("/activity")
        await expect(page.locator(".row .amount.in").first).to_contain_text("5.00")
        await rose.looks_right()


async def shop_receipt(site: LoggedSite, shop: Person, payment: str) -> Receipt:
    return await site.services.payments.receipt(uuid.UUID(payment).int, shop.account)


@BOTH
async def test_without_a_network_an_order_waits_and_can_be_taken_back_or_goes_out_once(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    async with holding(seeing[0], site, shop, language, words.size) as rose:
        page = rose.page
        await rose.pay_by_link(shop, "1.00")
        await page.evaluate("navigator.serviceWorker.ready")
        await expect(page.locator(".outcome")).to_be_visible()
        await page.context.set_offline(True)
        await page.reload()
        for round_ in (0, 1):
            await rose.go("/")
            await rose.go("/pay")
            await page.locator(".list button.row").first.click()
            await page.locator("[name=amount]").fill("5")
            await page.locator("form .button").click()
            await rose.agree()
            await rose.outcome("kept")
            await expect(page.locator(".outcome h2")).to_have_text(words.kept)
            await rose.looks_right()
            if round_ == 0:
                await page.locator(".low form .button").click()
                await expect(page.locator(".balance")).to_be_visible()
                await expect(page.locator("a.row[href*='/out/']")).to_have_count(0)
        await rose.go("/")
        await expect(page.locator("a.row[href*='/out/']")).to_have_count(1)
        await expect(page.locator(".strip .icon")).to_be_visible()
        await rose.looks_right()
        assert rose.balance() == 7_900
        await page.context.set_offline(False)
        await expect(page.locator("a.row[href*='/out/']")).to_have_count(0, timeout=15_000)
        await expect(page.locator(".balance .amount-large")).to_contain_text("74.00")
        assert rose.balance() == 7_400


@BOTH
async def test_two_people_write_to_each_other_and_see_their_payments_there(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    async with (
        holding(seeing[0], site, shop, language, words.size) as rose,
        holding(seeing[0], site, None, language, words.size, name="Amina") as amina,
    ):
        await rose.go("/messages")
        await expect(rose.page.locator(".empty")).to_be_visible()
        await rose.looks_right()
        thread = id_text(amina.account)
        await rose.go(f"/thread/{thread}?name=Amina")
        await rose.page.locator("textarea").fill("Nairobi?")
        await rose.page.locator(".write .button").click()
        await expect(rose.page.locator(".talk .mine")).to_contain_text("Nairobi?")
        await amina.go("/messages")
        await expect(amina.page.locator("a.row")).to_contain_text("Nairobi?")
        await amina.looks_right()
        await amina.page.locator("a.row").click()
        await expect(amina.page.locator(".talk .theirs")).to_contain_text("Nairobi?")
        await rose.go(f"/pay?account={thread}&name=Amina&amount=2.00")
        await rose.agree()
        await rose.outcome("done")
        await expect(amina.page.locator(".talk-money")).to_contain_text("2.00")
        await amina.looks_right()
        await rose.go(f"/thread/{thread}")
        await expect(rose.page.locator(".talk-money")).to_contain_text("2.00")
        await rose.page.locator(".talk-form .link").click()
        await expect(rose.page.locator(".write")).to_have_count(0)
        await rose.looks_right()


@BOTH
async def test_a_receipt_is_checked_on_the_phone_when_the_server_is_gone(
    seeing: Seeing, tmp_path: Path, language: str, words: Words
) -> None:
    async with site_in(tmp_path / "scheme") as own:
        shop = await own.scheme.merchant("Lighthouse Fuel", funds=20_000)
        holding_rose = holding(seeing[0], own, shop, language, words.size)
        rose = await holding_rose.__aenter__()
        payment = await rose.pay_by_link(shop, "12.50")
        own.settle()
        await rose.go(f"/payment/{payment}")
        await expect(rose.page.locator(".bar button").last).to_be_visible()
        await rose.page.evaluate("navigator.serviceWorker.ready")
        await rose.page.reload()
        await expect(rose.page.locator(".stub")).to_contain_text("12.50")
        await rose.page.locator("#main section button").last.click()  # the proof comes onto the phone, if it had not come yet
        await expect(rose.page.locator("section[data-outcome]")).to_have_attribute("data-outcome", "proven")
    try:
        page = rose.page
        await page.reload()
        await expect(page.locator(".stub")).to_contain_text("12.50")
        await page.locator("#main section button").last.click()
        await expect(page.locator("section[data-outcome]")).to_have_attribute("data-outcome", "proven")
        await expect(page.locator("section[data-outcome] h2")).to_contain_text(words.proven)
        states = await page.locator(".steps li").evaluate_all("(all) => all.map((each) => each.dataset.state)")
        assert states == ["proven"] * 9
        await rose.looks_right()
    finally:
        await holding_rose.__aexit__(None, None, None)


@BOTH
async def test_somebody_who_has_lost_their_phone_gets_the_account_back_after_the_delay(
    seeing: Seeing, tmp_path: Path, language: str, words: Words
) -> None:
    async with site_in(tmp_path / "scheme") as own:
        shop = await own.scheme.merchant("Lighthouse Fuel", funds=20_000)
        async with (
            holding(seeing[0], own, shop, language, words.size) as rose,
            device(seeing[0], size=words.size, language=language) as other,
        ):
            page = await other.new_page()
            await page.goto(f"http://localhost:{own.port}/wallet/#/join/recover")
            await page.locator("[name=number]").fill(rose.number)
            await page.keyboard.press("Enter")
            await page.locator("[name=code]").fill(await page.locator(".notice .amount").inner_text())
            await page.locator("[name=pin]").fill("1357")
            await page.keyboard.press("Enter")
            await expect(page.locator("[role=alert] .notice")).to_contain_text(re.compile(r"[2-9]"))  # attempts left
            await page.locator("[name=pin]").fill("2580")
            await page.keyboard.press("Enter")
            await expect(page.locator(".empty .icon")).to_be_visible()
            await audit(page)
            await tidy(page, catalogue="wallet", names=NAMES)
            # The phone that is still there is told.
            await rose.go("/")
            await expect(rose.page.locator(".notice-bad .button")).to_be_visible()
            await rose.looks_right()
            waiting = await own.services.parties.holder(rose.account)
            assert waiting.recovery is not None
            own.scheme.clock.offset_s += (waiting.recovery.effective_at - own.services.clock.now_ns()) / 1e9 + 1
            await own.services.parties.recoveries.complete_due()
            await page.reload()
            await expect(page.locator(".balance .amount-large")).to_contain_text("80.00", timeout=20_000)


@BOTH
async def test_a_further_phone_is_let_in_by_its_code_and_taken_away_again(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    browser, camera = seeing
    async with (
        holding(browser, site, shop, language, words.size, camera=True) as rose,
        device(browser, size=words.size, language=language) as other,
    ):
        page = await other.new_page()
        await page.goto(f"http://localhost:{site.port}/wallet/#/join/device")
        await expect(page.locator(".qr svg")).to_be_visible()
        await audit(page)
        await tidy(page, catalogue="wallet", names=NAMES)
        camera.show(await page.locator(".qr").get_attribute("data-text") or "")
        await rose.go("/scan")
        await expect(rose.page.locator(".low form .button")).to_be_visible(timeout=15_000)
        await rose.looks_right()
        await rose.page.locator(".low form .button").click()
        await expect(page.locator(".balance .amount-large")).to_contain_text("80.00", timeout=15_000)
        await rose.go("/devices")
        await expect(rose.page.locator(".list .row")).to_have_count(2)
        await rose.looks_right()
        # And taken away again: it says so, and can be left empty, whatever waits on it.
        await rose.page.locator(".remove summary").click()
        await rose.page.locator(".remove form .button").click()
        await expect(rose.page.locator(".list .row")).to_have_count(1)
        await page.reload()
        await page.locator(".notice a[href='#/security/leave']").click()
        await page.locator("details[open] form .button").click()
        await expect(page.locator(".welcome")).to_be_visible()


@BOTH
async def test_the_holder_locks_and_unlocks_and_changes_language_and_look(
    seeing: Seeing, site: LoggedSite, shop: Person, language: str, words: Words
) -> None:
    async with holding(seeing[0], site, shop, language, words.size) as rose:
        page = rose.page
        for path in ("/settings", "/security", "/about", "/notices", "/cash", f"/month/{'2026-11'}"):
            await rose.go(path)
            await expect(page.locator(".bar h1")).to_be_focused()
            await page.wait_for_timeout(200)
            await rose.looks_right()
        await rose.go("/security")
        await page.locator("section .button-danger").click()
        await expect(page.locator("section [name=pin]")).to_be_visible()
        await rose.go(f"/pay?to={shop.address.replace('+', '%2B')}&amount=1.00")
        await rose.agree()
        await rose.outcome("refused")
        await rose.go("/security")
        await page.locator("section [name=pin]").fill("2580")
        await page.keyboard.press("Enter")
        await expect(page.locator("section .button-danger")).to_be_visible()
        await rose.pay_by_link(shop, "1.00")
        await rose.go("/settings")
        await page.locator("[lang=fr].chip").click()
        await expect(page.locator("html")).to_have_attribute("lang", "fr")
        await expect(page.locator(".bar h1")).to_have_text("Réglages")
        await rose.looks_right(catalogue=None)  # French and English share too many words
        await page.locator("ul[aria-labelledby=s-theme] .chip").last.click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await rose.looks_right(catalogue=None)


@BOTH
async def test_the_owner_of_a_shop_makes_a_till_and_a_clerk_takes_what_is_kept_and_pays_back(
    seeing: Seeing, site: LoggedSite, language: str, words: Words
) -> None:
    own = await site.scheme.merchant("Lighthouse Fuel")
    amina = await site.scheme.customer("Amina", funds=9_000)
    paid = await amina.pay(own, 2_000)
    held = await amina.hold(own, 1_000)
    async with borrowing(seeing[0], site, own, language, words.size) as shop:
        page = shop.page
        await expect(page.locator(".balance .amount-large")).to_contain_text("19.90")  # less the fee of a sale
        await shop.go("/tills")
        await page.locator("summary .icon").first.click()
        await page.locator("details[open] [name=till]").fill("Nairobi 1")
        await page.keyboard.press("Enter")
        await expect(page.locator(".qr svg")).to_be_visible()
        await shop.looks_right()
        await page.locator(".low button.button").click()
        await expect(page.locator(".row", has_text="Nairobi 1")).to_be_visible()
        await page.locator("summary .icon").last.click()
        await page.locator("details[open] [name=clerk]").fill("Amina")
        await page.locator("details[open] [name=pin]").fill("2580")
        await page.locator("details[open] [name=refund]").check()
        await page.keyboard.press("Enter")
        await expect(page.locator(".row", has_text="Amina")).to_be_visible()
        await shop.looks_right()
        await shop.go(f"/payment/{id_text(held.payment.id)}")
        await page.locator(".low button.button").first.click()
        await expect(page.locator("[name=amount]")).to_have_value("10.00")
        await page.locator("[name=amount]").fill("6.00")
        await shop.looks_right()
        await page.locator("form .button").click()
        await shop.outcome("done")
        await shop.looks_right()
        await shop.go(f"/payment/{id_text(paid.payment.id)}")
        await page.locator(".low button.button").first.click()
        await page.locator("[name=amount]").fill("5.00")
        await page.locator("form .button").click()
        await shop.outcome("done")
        assert amina.balance() == 9_000 - 2_000 - 600 + 500
