"""A shop with its tills and clerks, behind a server that can be stopped and started again; and a clerk's hands.

async with shop(folder) as counter:
    async with counter.till(browser, size=PHONE, language="ko") as till:
        await till.sign_in("Min-jun")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect

from counterfoil.acceptance import emv
from counterfoil.ids import new_id
from counterfoil.payments.orders import OrderKind
from counterfoil.web.app import create_app
from counterfoil.web.server import listening
from counterfoil.web.values import uuid_text
from tests.browser.device import DESKTOP, Theme, device
from tests.scheme import Person, opened
from tests.web.site import PatientClock, Site

PINS = {"Min-jun": "4826", "Aïcha": "9173"}
RIGHTS = {"Min-jun": ["sell", "refund", "capture", "goods", "close_day", "see_takings"], "Aïcha": ["sell"]}
GOODS = [("Coffee", 350, ""), ("Bread", 420, ""), ("Unleaded 95", 189, "litre")]
NAMES = [*PINS, *[name for name, _, _ in GOODS], "litre", "Harbour Café", "Rose", "Front", "Back", "Sandbox"]
SOUND = """navigator.vibrate = () => { globalThis.sounds = (globalThis.sounds ?? 0) + 1; return true; };"""
"""Counts what the till does when money comes."""


class Counter:
    """The shop. `site` is another one after a restart; people stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._running = AsyncExitStack()
        self.site: Site
        self.shop: Person
        self.payer: Person
        self.clerks: dict[str, str] = {}

    async def start(self) -> None:
        """Serves at the address that it had before, if it had one."""
        scheme = await self._running.enter_async_context(opened(self.folder, PatientClock()))
        app = create_app(scheme.services)
        address = await self._running.enter_async_context(listening(app, host="127.0.0.1", port=self.port))
        client = await self._running.enter_async_context(httpx2.AsyncClient(base_url=address, timeout=60))
        self.port = int(address.rpartition(":")[2])
        self.site = Site(scheme, app, self.port, client)
        for person in (self.shop, self.payer) if hasattr(self, "shop") else ():
            person.scheme = scheme

    async def stop(self) -> None:
        await self._running.aclose()

    async def furnish(self, name: str) -> None:
        """A shop with clerks, and a customer with money."""
        scheme = self.site.scheme
        self.shop, self.payer = await scheme.merchant(name, funds=50_000), await scheme.customer("Rose", funds=500_000)
        for clerk, pin in PINS.items():
            self.clerks[clerk] = uuid_text(new_id(scheme.clock))
            body = {"id": self.clerks[clerk], "name": clerk, "pin": pin, "rights": RIGHTS[clerk]}
            await self.site.ok(self.shop, "POST", "/v1/clerks", body)

    async def new_code(self, name: str = "Front") -> str:
        """The code that pairs another till."""
        body = {"id": uuid_text(new_id(self.site.scheme.clock)), "name": name}
        return str((await self.site.ok(self.shop, "POST", "/v1/tills", body))["pairing_code"])

    async def pay(self, code: str, amount: int | None = None) -> httpx2.Response:
        """What a customer's phone does with a code: reads it, and pays or holds what it asks for."""
        read = emv.read(code)
        assert isinstance(read, emv.Code), read
        assert read.account == self.shop.account
        assert read.amount is not None
        asked = emv.minor(read.amount, 2)
        changes: dict[str, Any] = {"reference": read.request}
        if read.hold:
            changes |= {"kind": OrderKind.HOLD, "timeout_s": 3_600}
        return await self.site.pay(self.payer.sign(self.payer.order(self.shop, amount or asked, **changes)))

    @asynccontextmanager
    async def till(
        self,
        browser: Browser,
        *,
        size: ViewportSize = DESKTOP,
        language: str = "en",
        theme: Theme = "light",
        name: str = "Front",
        before: Callable[[Page], Awaitable[Any]] | None = None,
    ) -> AsyncIterator[Till]:
        """A device that was paired by the owner's link. `before` is done with its page while that is still empty."""
        async with device(browser, size=size, language=language, theme=theme) as context:
            page = await context.new_page()
            await page.add_init_script(SOUND)
            if before is not None:
                await before(page)
            till = Till(self, context, page)
            await till.open(f"#/pair?code={await self.new_code(name)}")
            await page.click("form .button-wide")
            await expect(page.locator(".people .row").first).to_be_visible()
            yield till


class Till:
    """A clerk's hands and eyes."""

    def __init__(self, counter: Counter, context: BrowserContext, page: Page) -> None:
        self.counter = counter
        self.context = context
        self.page = page

    async def open(self, screen: str = "#/") -> None:
        await self.page.goto(f"http://localhost:{self.counter.port}/till/{screen}")

    async def go(self, screen: str) -> None:
        """To a screen, as a link does."""
        await self.page.evaluate("(screen) => { location.hash = `#/${screen}`; }", screen)

    async def sign_in(self, name: str = "Min-jun") -> None:
        await self.page.click(f".people .row:has-text('{name}')")
        await self.page.fill("#pin", PINS[name])
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator(".clerk-name")).to_have_text(name)

    async def enter(self, amount: str) -> None:
        """An amount on the keypad."""
        if await self.page.locator(".sides").is_visible():
            await self.page.click(".sides button:first-child")
        for key in amount:
            await self.page.click(f".keypad-sell button:text-is('{key}')")

    async def charge(self, *, hold: bool = False) -> str:
        """Asks for what was rung up; the text of the code that the customer sees."""
        await self.page.click(".charge-row .button-quiet" if hold else ".charge-row .charge")
        return await self.code()

    async def code(self) -> str:
        shown = self.page.locator(".till-qr[data-code]")
        await expect(shown.locator("svg")).to_be_visible()
        return await shown.get_attribute("data-code") or ""

    async def sale_id(self) -> str:
        return str(await self.page.evaluate("location.hash.split('/')[2]"))

    async def leave(self) -> None:
        """Back to selling, from a code or from "paid"."""
        await self.page.click(".charge-end .button:last-child, .paid-end button")
        await expect(self.page.locator(".charge-row")).to_be_visible()

    async def sold(self, amount: str, *, hold: bool = False) -> str:
        """A sale, paid; its id. The screen says so."""
        await self.go("")
        await self.enter(amount)
        code = await self.charge(hold=hold)
        sale = await self.sale_id()
        assert (await self.counter.pay(code)).status_code < 300
        await expect(self.page.locator(".paid")).to_be_visible()
        return sale

    async def approve(self, name: str | None = None, pin: str | None = None) -> None:
        """The PIN for one thing."""
        if name and await self.page.locator("#approver").is_visible():
            await self.page.select_option("#approver", label=name)
        await self.page.fill("dialog #pin", pin or PINS[name or "Min-jun"])
        await self.page.keyboard.press("Enter")

    async def states(self) -> list[str]:
        """What the day's list says of each sale, newest first."""
        return [text.rpartition("·")[2].strip() for text in await self.page.locator(".list .row-note").all_inner_texts()]


@asynccontextmanager
async def shop(folder: Path, name: str = "Harbour Café") -> AsyncIterator[Counter]:
    """A furnished shop, open."""
    counter = Counter(folder)
    try:
        await counter.start()
        await counter.furnish(name)
        yield counter
    finally:
        await counter.stop()
