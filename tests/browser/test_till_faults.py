"""The till when things come late, twice, in the wrong order or not at all: modules, answers, tabs, clocks, room on the device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, expect

from counterfoil.acceptance import emv
from tests.browser.audit import audit, tidy
from tests.browser.counter import GOODS, NAMES, PINS, Counter, Till, shop
from tests.browser.device import DESKTOP, PHONE

asynchronous = pytest.mark.asyncio(loop_scope="module")

CUT = {".clerk-name": "a long name", ".bar h1": "a long name of a shop", ".goods-name": "goods with a very long name"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    async with shop(tmp_path_factory.mktemp("shop")) as found:
        yield found


async def look(page: Page) -> None:
    await audit(page)
    await tidy(page, catalogue="till", names=NAMES, cut=CUT)


FULL = """{ const put = IDBObjectStore.prototype.put; IDBObjectStore.prototype.put = function (...given) {
  if (globalThis.full) throw new DOMException("no room", "QuotaExceededError");
  return put.apply(this, given); }; }"""
"""A disk that is full whenever a test says so."""


class Held:
    """Answers that are held back: the server has done what it was asked, and `release` lets the till know."""

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.taken = False
        self.arrived = asyncio.Event()
        self.release = asyncio.Event()
        self.through = asyncio.Event()

    async def __call__(self, route: Route, request: Request) -> None:
        if request.method != self.method or not request.url.endswith(self.path) or self.taken:
            await route.fallback()
            return
        self.taken = True
        answer = await route.fetch()
        self.arrived.set()
        await self.release.wait()
        await route.fulfill(response=answer)
        self.through.set()


@asynchronous
async def test_money_that_comes_before_the_modules_is_shown_when_they_are_there(browser: Browser, counter: Counter) -> None:
    """The note of a payment is a module; the network fails, and is slow, before it brings it."""
    asked, come = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if not asked.is_set():
            asked.set()
            await route.abort()
            return
        await come.wait()
        await route.continue_()

    async def before(page: Page) -> None:
        await page.route("**/static/till/screens/toast.js", late)
        await page.route("**/static/phone/events.js", late_events)

    events_asked: list[str] = []

    async def late_events(route: Route) -> None:
        events_asked.append(route.request.url)
        await (route.abort() if len(events_asked) == 1 else route.continue_())

    async with counter.till(browser, size=PHONE, language="ko", before=before) as till:
        page = till.page
        await till.sign_in()
        codes = []
        for amount in ("4.20", "5.30"):
            await till.enter(amount)
            codes.append(await till.charge())
            await till.leave()
        await asyncio.wait_for(asked.wait(), 15)
        for code in codes:
            assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".waiting .chip")).to_have_count(0)  # the till knows
        assert await page.evaluate("globalThis.sounds") == 2
        assert len(events_asked) == 2  # it listens although the first try to fetch that failed
        await expect(page.locator(".toast")).to_have_count(0)
        come.set()
        await expect(page.locator(".toast")).to_have_count(2)
        shown = " ".join(await page.locator(".toast").all_inner_texts())  # in either order
        assert "4.20" in shown
        assert "5.30" in shown
        assert shown.count("결제 완료") == 2


@asynchronous
async def test_answers_that_come_late_or_twice_turn_nothing_back(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till:
        page = till.page
        await till.sign_in()

        # "Open" arrives after "paid".
        await till.enter("3.10")
        code = await till.charge()
        first = await till.sale_id()
        old = Held("GET", f"/v1/till/sales/{first}")
        await page.route("**/v1/till/sales/*", old)
        await asyncio.wait_for(old.arrived.wait(), 15)
        assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".paid")).to_contain_text("3.10")
        old.release.set()
        await asyncio.wait_for(old.through.wait(), 15)
        await till.leave()
        await till.go(f"sales/{first}")
        await expect(page.locator(".sale-state.good")).to_be_visible()
        assert await page.evaluate("globalThis.sounds") == 1

        # The PIN is checked while the question is closed: nothing is paid back.
        await page.click(".sale-actions .button-danger")
        await page.fill("#amount", "1")
        await page.keyboard.press("Enter")
        proof = Held("POST", "/v1/till/sign-in")
        await page.route("**/v1/till/sign-in", proof)
        balance = counter.payer.balance()
        await till.approve("Min-jun")
        await asyncio.wait_for(proof.arrived.wait(), 15)
        await page.click("dialog .sheet-close")
        await expect(page.locator("dialog")).to_have_count(0)
        async with page.expect_response("**/v1/till/sign-out"):  # the session that nobody wants is ended
            proof.release.set()
        assert counter.payer.balance() == balance

        # The question about one sale is not asked of another.
        second = await till.sold("2.60")
        await till.go(f"sales/{first}")
        await till.go(f"sales/{second}")
        await expect(page.locator(".stub .amount-large")).to_contain_text("2.60")
        await page.click(".sale-actions .button-danger")
        await page.fill("#amount", "2.60")
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog #pin")).to_be_visible()
        await page.go_back()
        await expect(page.locator(".stub .amount-large")).to_contain_text("3.10")
        await expect(page.locator("dialog")).to_have_count(0)

        # Back in two parts up to the rest, and no further.
        for part, state in (("1.10", "partly refunded"), ("2.00", "refunded")):
            await page.click(".sale-actions .button-danger")
            await page.fill("#amount", "3.11")
            await page.keyboard.press("Enter")
            await expect(page.locator("#amount-error")).not_to_be_empty()
            await page.fill("#amount", part)
            await page.keyboard.press("Enter")
            await till.approve("Min-jun")
            await expect(page.locator(".sale-state strong")).to_have_text(state)
        await expect(page.locator(".sale-actions .button-danger")).to_have_count(0)
        assert counter.payer.balance() == balance - 260 + 310

        # The server starts again while money goes back: the answer is asked for again, and it went back once.
        again = Held("POST", f"/v1/till/sales/{second}/refunds")
        await page.route(f"**/v1/till/sales/{second}/refunds", again)
        await till.go(f"sales/{second}")
        await page.click(".sale-actions .button-danger")
        await page.fill("#amount", "0.60")
        await page.keyboard.press("Enter")
        await till.approve("Min-jun")
        await asyncio.wait_for(again.arrived.wait(), 15)
        await counter.stop()
        await counter.start()
        await page.unroute(f"**/v1/till/sales/{second}/refunds")
        await till.open(f"#/sales/{second}")
        await page.reload()
        await expect(page.locator(".sale-state strong")).to_have_text("partly refunded")
        await expect(page.locator(".notice-wait")).to_have_count(0)
        assert counter.payer.balance() == balance - 260 + 310 + 60


@asynchronous
async def test_two_tabs_are_one_till(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser) as till:
        page, other = till.page, await till.context.new_page()
        await other.clock.install()
        second = Till(counter, till.context, other)
        await second.open()
        await expect(other.locator(".people .row").first).to_be_visible()
        await till.sign_in()
        await expect(other.locator(".clerk-name")).to_have_text("Min-jun")

        # A sale of one is a sale of the other; each has a cart of its own. Whichever hears first that it is paid, both say so.
        await second.enter("9")
        await till.enter("1.40")
        code = await till.charge()
        unheard = Held("GET", f"/v1/till/sales/{await till.sale_id()}")
        await till.leave()
        await expect(other.locator(".waiting .chip")).to_contain_text("1.40")
        await expect(other.locator(".total output")).to_contain_text("9.00")
        await other.click(".waiting .chip")
        await page.route("**/v1/till/sales/*", unheard)
        told = asyncio.create_task(expect(page.locator(".toast")).to_contain_text("1.40"))  # it is gone after some seconds
        assert (await counter.pay(code)).status_code < 300
        await expect(other.locator(".paid")).to_contain_text("1.40")
        await told
        unheard.release.set()
        await asyncio.wait_for(unheard.through.wait(), 15)
        await expect(page.locator(".toast")).to_have_count(0)
        assert await page.evaluate("globalThis.sounds") == 1
        await second.leave()

        # The tab that nobody touches does not lock the one that is in use.
        now = datetime.now(UTC)
        await page.clock.set_system_time(now + timedelta(seconds=200))
        await page.evaluate("dispatchEvent(new PointerEvent('pointerdown'))")
        await other.clock.set_system_time(now + timedelta(seconds=310))
        await other.clock.run_for(6_000)
        await expect(page.locator(".clerk-name")).to_have_text("Min-jun")
        await expect(other.locator(".clerk-name")).to_have_text("Min-jun")
        await page.click(".clerk")
        await expect(other.locator(".people .row").first).to_be_visible()


@asynchronous
async def test_a_device_without_room_says_so_and_rings_up_nothing_that_it_cannot_keep(browser: Browser, counter: Counter) -> None:
    async def before(page: Page) -> None:
        await page.add_init_script(FULL)

    async with counter.till(browser, size=PHONE, language="ko", before=before) as till:
        page = till.page
        await till.sign_in()
        await till.enter("5")
        waiting = await till.charge()
        await till.leave()
        await page.evaluate("globalThis.full = true")
        await till.enter("6.66")
        await page.click(".charge-row .charge")
        await expect(page.locator(".sell-sale [role=alert] .notice-bad")).to_be_visible()
        await expect(page.locator(".strip")).to_contain_text("공간")
        await look(page)
        await expect(page.locator(".waiting .chip")).to_have_count(1)  # the first one, and no other
        await expect(page.locator(".total output")).to_contain_text("6.66")

        # What the server says is shown although it cannot be kept.
        assert (await counter.pay(waiting)).status_code < 300
        await expect(page.locator(".toast")).to_contain_text("5.00")
        await page.evaluate("globalThis.full = false")
        await till.go("")
        await page.click(".charge-row .charge")
        assert (await counter.pay(await till.code())).status_code < 300
        await expect(page.locator(".paid")).to_contain_text("6.66")
        await till.leave()
        await expect(page.locator(".strip")).to_have_count(0)


@asynchronous
async def test_a_clock_that_is_wrong_makes_no_sale_wrong(browser: Browser, counter: Counter) -> None:
    async def next_year(page: Page) -> None:
        await page.clock.set_system_time(datetime.now(UTC) + timedelta(days=400))

    async with counter.till(browser, before=next_year) as till:
        page = till.page
        await till.sign_in()
        await page.wait_for_timeout(5_500)  # the till looks whether to lock
        await expect(page.locator(".clerk-name")).to_have_text("Min-jun")
        await till.sold("1.90")
        await till.leave()

        # Opened without a network, the till does not know how wrong its clock is until the server says so.
        await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        await till.context.set_offline(True)
        await page.reload()
        await expect(page.locator(".charge-row, .people .row").first).to_be_visible()
        locked = not await page.locator(".charge-row").count()
        if locked:
            await page.click(".people .row:has-text('Min-jun')")
            await page.click(".notice .button")
        await till.enter("2.90")
        code = await till.charge()
        sale = await till.sale_id()
        read = emv.read(code)
        assert isinstance(read, emv.Code)
        assert (await counter.pay(code)).status_code < 300
        await till.context.set_offline(False)
        if locked:  # without a session nothing is sent
            await page.click(".clerk")
            await page.click(".people .row:has-text('Min-jun')")
            await page.fill("#pin", PINS["Min-jun"])
            await page.keyboard.press("Enter")
            await expect(page.locator(".paid")).to_be_visible()
        await till.go(f"sales/{sale}")
        await expect(page.locator(".sale-state.good")).to_be_visible()
        today = datetime.now(UTC).year
        await expect(page.locator(".facts")).to_contain_text(str(today))


@asynchronous
async def test_goods_change_while_they_are_rung_up_and_the_slip_is_printed(browser: Browser, counter: Counter) -> None:
    async with counter.till(browser, size=PHONE, language="ko") as till, counter.till(browser, size=DESKTOP, name="Back") as boss:
        page = till.page
        await till.sign_in("Aïcha")
        await boss.sign_in()
        await boss.go("goods")
        for name, price, unit in GOODS:
            await boss.page.click(".low .button")
            await boss.page.fill("#goods-name", name)
            await boss.page.fill("#goods-price", f"{price / 100:.2f}")
            await boss.page.fill("#goods-unit", unit)
            await boss.page.click("dialog form .button-wide")
            await expect(boss.page.locator(f".goods-row:has-text('{name}')")).to_be_visible()
        await page.click(".sides button:last-child")
        await expect(page.locator(".grid button")).to_have_count(3)
        for name in ("Coffee", "Coffee", "Bread"):
            await page.click(f".grid button:has-text('{name}')")

        # Order, price and hiding reach the other till by themselves; what is in the cart stays as it was rung up.
        await boss.page.click(".goods-row:has-text('Bread') .move >> nth=0")
        await expect(page.locator(".grid li").first).to_contain_text("Bread")
        await boss.page.click(".goods-row:has-text('Coffee') .row")
        await boss.page.fill("#goods-price", "3.80")
        await boss.page.click("dialog form .button-wide")
        await boss.page.click(".goods-row:has-text('Bread') .row")
        await boss.page.uncheck("dialog [type=checkbox]")
        await boss.page.click("dialog form .button-wide")
        await expect(page.locator(".grid button")).to_have_count(2)
        await expect(page.locator(".lines li").first).to_contain_text("3.80")
        await expect(page.locator(".total output")).to_contain_text("11.20")
        await page.click(".grid button:has-text('Coffee')")
        await expect(page.locator(".total output")).to_contain_text("15.00")
        await page.click(".sides button:first-child")
        await expect(page.locator(".lines li")).to_have_count(3)
        await look(page)
        await page.click(".lines li >> nth=0")
        await look(page)
        await page.click("dialog .button-quiet.button-wide")
        await expect(page.locator(".total output")).to_contain_text("15.60")
        await expect(page.locator(".lines .wait")).to_have_count(0)

        # The slip: as a text message that somebody else has to send, as a code, and 80 mm wide.
        code = await till.charge()
        assert (await counter.pay(code)).status_code < 300
        await expect(page.locator(".paid")).to_be_visible()
        await page.click(".paid .button-quiet")
        await page.click(".sale-actions .button-quiet")
        await expect(page.locator("dialog .till-qr svg")).to_be_visible()
        await page.fill("#number", "12")
        await page.click("dialog form .button-quiet")
        await expect(page.locator("dialog .notice-bad")).to_be_visible()
        await page.fill("#number", "")
        await page.click("dialog form .button-quiet")
        await expect(page.locator("dialog .notice-good")).to_contain_text(counter.payer.address[-2:])
        await look(page)
        slip = await till.context.new_page()
        await slip.goto(str(await page.get_attribute("dialog a.button", "href")))
        await audit(slip)
        await tidy(slip, catalogue="slips", names=[*NAMES, "Sandbox"], cut={"caption": "for screen readers"})
        await slip.emulate_media(media="print")
        width = await slip.evaluate("document.querySelector('.slip').getBoundingClientRect().width / 96 * 25.4")
        assert 70 < width <= 72
        for text in ("Coffee", "Bread", "15.60"):
            await expect(slip.locator(".slip")).to_contain_text(text)
