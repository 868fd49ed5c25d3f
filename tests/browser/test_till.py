"""The till as a clerk uses it, with a real server behind it: sales, holds, refunds, days, and networks that go away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, ViewportSize, expect

from counterfoil.acceptance import emv
from counterfoil.ids import new_id
from counterfoil.web.values import parse_uuid, uuid_text
from tests.browser.audit import audit, tidy
from tests.browser.counter import GOODS, NAMES, PINS, Counter, shop
from tests.browser.device import DESKTOP, PHONE

asynchronous = pytest.mark.asyncio(loop_scope="module")

CUT = {".clerk-name": "a long name", ".bar h1": "a long name of a shop", ".goods-name": "goods with a very long name"}
DEVICES = [pytest.param(DESKTOP, "en", "light", id="desktop-en"), pytest.param(PHONE, "ko", "dark", id="phone-ko")]
WORDS = {
    "en": {"paid": "Paid", "held": "Held", "taken": "taken"},
    "ko": {"paid": "결제 완료", "held": "예약 완료", "taken": "예약 결제됨"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    async with shop(tmp_path_factory.mktemp("shop")) as found:
        yield found


async def look(page: Page) -> None:
    """What every state of every screen must be."""
    await audit(page)
    await tidy(page, catalogue="till", names=NAMES, cut=CUT)


@asynchronous
@pytest.mark.parametrize(("size", "language", "theme"), DEVICES)
async def test_a_customer_pays_for_goods_and_the_till_says_so(
    browser: Browser, counter: Counter, size: ViewportSize, language: str, theme: Any
) -> None:
    async with counter.till(browser, size=size, language=language, theme=theme) as till:
        page = till.page
        await look(page)
        await page.click(".people .row:has-text('Min-jun')")
        await look(page)
        await page.fill("#pin", "0000")
        await page.keyboard.press("Enter")
        await expect(page.locator("#pin-error")).not_to_be_empty()
        await look(page)
        await page.fill("#pin", PINS["Min-jun"])
        await page.keyboard.press("Enter")
        await expect(page.locator(".charge-row")).to_be_visible()
        await look(page)

        # Goods are added by the one who has the right, and sold at once.
        await till.go("goods")
        for name, price, unit in GOODS if not await page.locator(".goods-row").count() else []:
            await page.click(".low .button")
            await page.fill("#goods-name", name)
            await page.fill("#goods-price", f"{price / 100:.2f}")
            await page.fill("#goods-unit", unit)
            await page.click("dialog form .button-wide")
            await expect(page.locator(f".goods-row:has-text('{name}')")).to_be_visible()
        await look(page)
        await till.go("")
        if size is PHONE:
            await page.click(".sides button:last-child")
        await page.click(".grid button:has-text('Coffee')")
        await page.click(".grid button:has-text('Coffee')")
        await page.click(".grid button:has-text('Bread')")
        await expect(page.locator(".total output")).to_contain_text("11.20")
        await look(page)
        await till.enter("2.5")
        await expect(page.locator(".total output")).to_contain_text("13.70")
        await look(page)

        code = await till.charge()
        read = emv.read(code)
        assert isinstance(read, emv.Code)
        assert (read.amount, read.name, read.hold, read.amount_signed) == ("13.70", "Harbour Café", False, True)
        assert emv.is_signed_by(read, counter.site.services.payments.acknowledger.public_key)
        await look(page)
        assert not await page.locator(".paid").count()
        before = counter.shop.balance()
        assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".paid h1")).to_have_text(WORDS[language]["paid"], timeout=2_000)
        await expect(page.locator(".paid")).to_contain_text("13.70")
        await expect(page.locator(".paid")).to_contain_text("Rose")
        assert await page.evaluate("globalThis.sounds") == 1
        assert counter.shop.balance() - before > 1_300
        await look(page)
        await page.click(".paid button")
        await expect(page.locator(".total output")).to_contain_text("0.00")


@asynchronous
@pytest.mark.parametrize(("size", "language", "theme"), DEVICES)
async def test_money_is_held_and_a_part_of_it_taken(
    browser: Browser, counter: Counter, size: ViewportSize, language: str, theme: Any
) -> None:
    async with counter.till(browser, size=size, language=language, theme=theme) as till:
        page = till.page
        await till.sign_in()
        available, balance = counter.payer.available(), counter.payer.balance()
        await till.enter("40")
        code = await till.charge(hold=True)
        await look(page)
        assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".paid h1")).to_have_text(WORDS[language]["held"], timeout=2_000)
        assert available - counter.payer.available() >= 4_000
        assert counter.payer.balance() == balance
        await page.click(".paid .button-quiet")
        await look(page)
        await page.click(".sale-actions .button >> nth=0")
        await look(page)
        await page.fill("#amount", "40.01")
        await page.keyboard.press("Enter")
        await expect(page.locator("#amount-error")).not_to_be_empty()
        await look(page)
        await page.fill("#amount", "31.50")
        await page.keyboard.press("Enter")
        await expect(page.locator(".sale-state strong")).to_have_text(WORDS[language]["taken"])
        await expect(page.locator(".facts")).to_contain_text("31.50")
        taken = balance - counter.payer.balance()
        assert 3_150 <= taken < 3_200
        assert counter.payer.available() == counter.payer.balance()
        await look(page)


@asynchronous
async def test_who_has_no_right_needs_a_colleague_to_give_money_back(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, size=PHONE) as till:
        page = till.page
        await till.sign_in("Aïcha")
        assert [name.strip() for name in await page.locator(".tabs a").all_inner_texts()] == ["Sell", "Sales", "Settings"]
        await till.sold("20")
        await page.click(".paid .button-quiet")
        balance = counter.payer.balance()
        await page.click(".sale-actions .button-danger")
        await page.fill("#amount", "7.25")
        await page.fill("#memo", "cold")
        await look(page)
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog .notice-wait")).to_be_visible()
        assert await page.locator("#approver").count() == 0  # only Min-jun has the right
        await look(page)
        await till.approve(pin="1111")
        await expect(page.locator("#pin-error")).not_to_be_empty()
        assert counter.payer.balance() == balance
        await till.approve("Min-jun")
        await expect(page.locator(".sale-state strong")).to_have_text("partly refunded")
        assert counter.payer.balance() == balance + 725
        await expect(page.locator(".clerk-name")).to_have_text("Aïcha")  # who stays at the till

        # Nor does the server give her what the screen does not: her own PIN opens nothing more.
        refused = await page.evaluate(
            """async ([sale, id]) => {
              const kept = await new Promise((done) => { const open = indexedDB.open("counterfoil-till"); open.onsuccess = () => {
                const self = open.result.transaction("self").objectStore("self");
                const pairing = self.get("pairing"), session = self.get("session");
                session.onsuccess = () => done([pairing.result.token, session.result.session]); }; });
              const headers = { Authorization: `Bearer ${kept[0]}`, "Counterfoil-Clerk": kept[1], "Content-Type": "application/json" };
              const body = JSON.stringify({ id, amount: 100, memo: "" });
              return (await (await fetch(`/v1/till/sales/${sale}/refunds`, { method: "POST", headers, body })).json()).code;
            }""",
            [await till.sale_id(), uuid_text(new_id(counter.site.scheme.clock))],
        )
        assert refused == "forbidden"
        assert counter.payer.balance() == balance + 725


@asynchronous
@pytest.mark.parametrize(("size", "language", "theme"), DEVICES)
async def test_a_sale_without_a_network_is_kept_and_finds_its_payment(
    browser: Browser, counter: Counter, size: ViewportSize, language: str, theme: Any
) -> None:
    async with counter.till(browser, size=size, language=language, theme=theme) as till:
        page = till.page
        await till.sign_in()
        await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        await till.context.set_offline(True)
        await page.reload()  # it opens without a network
        await expect(page.locator(".charge-row")).to_be_visible()
        await till.enter("6.30")
        code = await till.charge()
        await expect(page.locator(".charge-sheet .notice-wait")).to_be_visible()
        await expect(page.locator(".strip")).to_be_visible()
        await look(page)
        sale = await till.sale_id()
        read = emv.read(code)
        assert isinstance(read, emv.Code)
        assert (read.amount, uuid_text(read.request or 0), read.amount_signed) == ("6.30", sale, False)
        assert emv.is_signed_by(read, counter.site.services.payments.acknowledger.public_key)  # the name still is

        assert (await counter.pay(code)).status_code < 300  # the customer has a network
        await page.wait_for_timeout(1_500)
        assert not await page.locator(".paid").count()
        await page.click(".charge-end .button:last-child")
        await expect(page.locator(".waiting .chip")).to_be_visible()
        await page.reload()
        await expect(page.locator(".waiting .chip")).to_be_visible()  # and is still there
        await till.context.set_offline(False)
        await expect(page.locator(".toast")).to_contain_text("6.30")
        await expect(page.locator(".waiting .chip")).to_have_count(0)
        await till.go(f"sales/{sale}")
        await expect(page.locator(".sale-state.good")).to_be_visible()
        await expect(page.locator(".facts")).to_contain_text("Rose")


@asynchronous
async def test_without_a_network_nobody_signs_in_but_selling_goes_on(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, size=PHONE) as till:
        page = till.page
        await expect(page.locator(".people .row")).to_have_count(2)
        await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        await till.context.set_offline(True)
        await page.click(".people .row:has-text('Aïcha')")
        await page.fill("#pin", PINS["Aïcha"])
        await page.keyboard.press("Enter")
        await expect(page.locator("#pin-error")).to_contain_text("no network")
        await look(page)
        await page.click(".notice .button")
        assert [name.strip() for name in await page.locator(".tabs a").all_inner_texts()] == ["Sell", "Sales", "Settings"]
        await till.enter("3")
        await till.charge()
        sale = await till.sale_id()
        await page.click(".clerk")
        await till.context.set_offline(False)
        await expect(page.locator(".strip")).to_contain_text("1 thing waits until somebody signs in.")
        await till.sign_in("Min-jun")
        await till.go(f"charge/{sale}")
        code = await till.code()
        await expect(page.locator(".charge-sheet .notice-wait")).to_have_count(0)
        read = emv.read(await page.locator(".till-qr").get_attribute("data-code") or code)
        assert isinstance(read, emv.Code)
        assert read.amount_signed
        made = await counter.site.services.acceptance.sales.find(parse_uuid(sale, "sale"), counter.shop.account)
        assert made.clerk == parse_uuid(counter.clerks["Aïcha"], "clerk")


@asynchronous
async def test_a_server_that_starts_again_in_the_middle_loses_nothing(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till:
        page = till.page
        await till.sign_in()
        await till.enter("9.90")
        code = await till.charge()
        await counter.stop()
        await expect(page.locator(".strip")).to_be_visible(timeout=10_000)
        assert not await page.locator(".paid").count()
        await counter.start()
        assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".paid")).to_contain_text("9.90")
        assert await page.evaluate("globalThis.sounds") == 1


def answers_lost(times: int, method: str, path: str) -> Any:
    """A network that loses the first answers to one request after the server has done what it was asked."""
    left = [times]

    async def lose(route: Route, request: Request) -> None:
        if request.method != method or not request.url.endswith(path) or not left[0]:
            await route.fallback()
            return
        left[0] -= 1
        await route.fetch()
        await route.abort()

    return lose


@asynchronous
async def test_lost_answers_make_no_second_sale_and_no_second_refund(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till:
        page = till.page
        await till.sign_in()
        await page.route("**/v1/**", answers_lost(2, "POST", "/v1/till/sales"))
        await till.enter("12")
        first = await till.charge()
        sale = await till.sale_id()
        await expect(page.locator(".charge-sheet .notice-wait")).to_have_count(0, timeout=15_000)
        read = emv.read(await till.code())
        assert isinstance(read, emv.Code)
        assert read.amount_signed
        assert (await counter.pay(first)).status_code < 300
        await expect(page.locator(".paid")).to_be_visible()
        assert (await counter.pay(await _code_of(counter, sale))).status_code >= 400  # it is paid once

        balance = counter.payer.balance()
        await page.route("**/v1/**", answers_lost(1, "POST", "/refunds"))
        await till.go(f"sales/{sale}")
        await page.click(".sale-actions .button-danger")
        await page.fill("#amount", "5")  # a part: a second one would fit beside it
        await page.keyboard.press("Enter")
        await till.approve("Min-jun")
        await expect(page.locator(".sale-actions")).to_have_count(0)
        await expect(page.locator(".notice-wait")).to_be_visible()
        await expect(page.locator(".sale-state strong")).to_have_text("partly refunded")
        await expect(page.locator(".notice-wait")).to_have_count(0)
        assert counter.payer.balance() == balance + 500


async def _code_of(counter: Counter, sale_id: str) -> str:
    sale = await counter.site.services.acceptance.sales.find(parse_uuid(sale_id, "sale"), counter.shop.account)
    scheme = counter.site.services
    return emv.write(
        emv.Code(
            scheme=emv.scheme_mark(scheme.config.origin), account=sale.account, name="Harbour", amount=emv.major(sale.amount, 2),
            currency="840", country="KE", request=sale.id,
        )
    )  # fmt: skip


@asynchronous
async def test_several_sales_wait_at_once_and_two_tills_serve_one_shop(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till, counter.till(browser, size=PHONE, name="Back") as other:
        page = till.page
        await till.sign_in()
        await other.sign_in("Aïcha")
        codes = []
        for amount in ("1.11", "2.22"):
            await till.enter(amount)
            codes.append(await till.charge())
            await page.click(".charge-end .button:last-child")
        await expect(page.locator(".waiting .chip")).to_have_count(2)
        await look(page)
        await other.enter("3.33")
        third = await other.charge()
        assert (await counter.pay(codes[0])).status_code < 300
        await expect(page.locator(".toast")).to_contain_text("1.11")
        await expect(page.locator(".toast")).to_contain_text("Rose")
        await expect(page.locator(".waiting .chip")).to_have_count(1)
        assert not await other.page.locator(".toast, .paid").count()  # it was not this till's customer
        await page.click(".waiting .chip")
        await page.click(".charge-end .button-danger")
        await expect(page.locator(".empty")).to_contain_text("cancelled")
        assert (await counter.pay(codes[1])).status_code >= 400
        assert (await counter.pay(third)).status_code < 300
        await expect(other.page.locator(".paid")).to_contain_text("3.33")
        await till.go("sales")
        await expect(page.locator(".list .row").first).to_contain_text("3.33")
        assert (await till.states())[:3] == ["paid", "cancelled", "paid"]
        await page.fill("#search", "1.11")
        await expect(page.locator(".list .row")).to_have_count(1)
        await look(page)


@asynchronous
async def test_the_day_is_added_up_and_closed(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, size=PHONE, language="ko") as till:
        page = till.page
        await till.sign_in()
        await till.sold("5")
        await till.go("day")
        await expect(page.locator(".amount-large")).to_be_visible()
        await look(page)
        shown = await page.locator(".facts dd").first.inner_text()
        await page.click(".button-wide:has-text('하루 마감')")
        await look(page)
        await page.click("dialog .button-wide >> nth=0")
        await expect(page.locator(".sale-state")).to_contain_text("번")
        assert await page.locator(".facts dd").first.inner_text() == shown
        assert await page.locator(".button-wide:has-text('하루 마감')").count() == 0
        await look(page)


@asynchronous
async def test_everything_at_the_counter_works_with_the_keyboard(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till:
        page = till.page
        await till.sign_in()
        await page.keyboard.type("12.5")
        await page.keyboard.press("+")
        await page.keyboard.type("99")
        await page.keyboard.press("Escape")
        await page.keyboard.type("1,255")  # the third digit is no amount
        await page.keyboard.press("Backspace")
        await expect(page.locator(".total output")).to_contain_text("13.70")
        await page.keyboard.press("Enter")
        code = await till.code()
        assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".paid button")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator(".total output")).to_contain_text("0.00")
        await page.keyboard.type("4")
        await page.keyboard.press("Enter")
        await till.code()
        await page.keyboard.press("Escape")
        await expect(page.locator(".waiting .chip")).to_have_count(1)


@asynchronous
async def test_a_till_that_nobody_touches_locks_and_one_that_was_ended_says_so(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, name="Corner") as till:
        page = till.page
        await page.clock.install()
        await till.sign_in()
        await till.go("settings")
        await look(page)
        await page.select_option("#lock", "1")
        await page.clock.run_for(70_000)
        await expect(page.locator(".people .row").first).to_be_visible()
        await till.sign_in("Aïcha")
        tills = (await counter.site.ok(counter.shop, "GET", "/v1/tills"))["tills"]
        ended = next(each["id"] for each in tills if each["name"] == "Corner")
        await counter.site.ok(counter.shop, "DELETE", f"/v1/tills/{ended}")
        await till.open("#/")
        await page.reload()
        await expect(page.locator("#code")).to_be_visible()
        await expect(page.locator(".notice-wait")).to_contain_text("ended")
        await look(page)


@asynchronous
async def test_a_till_that_leaves_the_shop_keeps_nothing_of_it(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, size=PHONE) as till:
        page = till.page
        await till.sign_in()
        await till.sold("2")
        await till.go("settings")
        await page.click(".button-danger")
        await look(page)
        await page.click("dialog .button-danger")
        await expect(page.locator("#code")).to_be_visible()
        left = await page.evaluate(
            """() => new Promise((done) => { const open = indexedDB.open("counterfoil-till"); open.onsuccess = async () => {
              const stores = [...open.result.objectStoreNames];
              const all = (name) => new Promise((found) => { const request = open.result.transaction(name).objectStore(name).getAllKeys();
                request.onsuccess = () => found(request.result); });
              done((await Promise.all(stores.map(all))).flat()); }; })"""
        )
        assert left in ([], ["settings"])
        await page.fill("#code", "ZZZZ-ZZZZ")
        await page.click("form .button-wide")
        await expect(page.locator("[role=alert] .notice-bad")).to_be_visible()
        await look(page)
