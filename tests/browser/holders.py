"""People with a wallet in a browser, on a real server with its log: what the wallet's tests have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, expect

from counterfoil.ids import id_text
from counterfoil.web.values import base64_text
from tests.browser.audit import audit, tidy
from tests.browser.device import device
from tests.browser.wallets import enrol
from tests.payments.publish.logbook import KEY
from tests.scheme import Person
from tests.web.logged import LoggedSite, logged

NAMES = ("Rose", "Lighthouse Fuel", "Amina", "Kiosk", "Counterfoil", "Linux", "Chrome", "USD", "English", "Français", "Nairobi")
NUMBERS = iter(range(254_733_000_000, 254_733_001_000))
CUT = {".one-line": "the beginning of a message: all of it is one touch away"}


LEAVE = """(path) => new Promise((resolve) => {
  if (location.hash === `#${path}`) return resolve();
  addEventListener("hashchange", () => requestAnimationFrame(() => requestAnimationFrame(resolve)), { once: true });
  location.hash = path;
})"""
"""Changes the address, and waits until the page has heard of it and drawn: a list of the screen before would answer for the new one."""


class Holder:
    """Somebody with a wallet in a browser."""

    def __init__(self, page: Page, site: LoggedSite, number: str, account: int) -> None:
        self.page = page
        self.site = site
        self.number = number
        self.account = account
        self.broken: list[str] = []
        page.on("pageerror", lambda error: self.broken.append(str(error)))

    async def go(self, path: str) -> None:
        """Opens a screen by its address; what was shown before is gone when this returns."""
        await self.page.evaluate(LEAVE, path)

    async def looks_right(self, *, catalogue: str | None = "wallet") -> None:
        """Nothing is untidy or unusable in what is shown, and no script has broken so far."""
        await expect(self.page.locator(".bar h1")).to_be_visible()
        await audit(self.page)
        await tidy(self.page, catalogue=catalogue, names=[*NAMES, self.number], cut=CUT)
        assert not self.broken

    async def outcome(self, state: str) -> str:
        """Waits until the order on the screen has come to this; returns its id."""
        await expect(self.page.locator(".outcome")).to_have_attribute("data-state", state)
        return self.page.url.rpartition("/")[2]

    async def agree(self) -> None:
        """Consents without sliding, as with a keyboard."""
        await self.page.locator(".consent button").focus()
        await self.page.keyboard.press("Enter")

    async def pay_by_link(self, payee: Person, major: str, *, more: str = "") -> str:
        await self.go(f"/pay?to={payee.address.replace('+', '%2B')}&amount={major}{more}")
        await self.agree()
        return await self.outcome("done")

    def balance(self) -> int:
        account = self.site.services.ledger.account_now(self.account)
        assert account is not None
        return account.credits_posted - account.debits_posted


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[LoggedSite]:
    """A site whose operator signs receipts and log with one key, as outside tests."""
    (folder / "keys").mkdir(mode=0o700, parents=True)
    (folder / "keys" / "operator.ed25519").write_bytes(bytes(KEY))
    async with logged(folder) as found:
        yield found


@asynccontextmanager
async def holding(
    browser: Browser, site: LoggedSite, shop: Person | None, language: str, size: ViewportSize, *, name: str = "Rose", camera: bool = False
) -> AsyncIterator[Holder]:
    """Somebody who has just opened an account, with 80.00 from the shop if there is one."""
    site.wait(3_600)  # for whoever limits how often somebody may enrol
    number = f"+{next(NUMBERS)}"
    async with device(browser, size=size, language=language, camera=camera) as context:
        page = await context.new_page()
        await page.goto(f"http://localhost:{site.port}/wallet/")
        await enrol(page, number, name)
        holder = Holder(page, site, number, (await site.services.parties.resolve(number)).account)
        if shop is not None:
            await shop.pay(holder.account, 8_000, memo="8 l")
            await expect(page.locator(".balance .amount-large")).to_contain_text("80.00")
        yield holder


@asynccontextmanager
async def borrowing(
    browser: Browser, site: LoggedSite, person: Person, language: str, size: ViewportSize, *, script: str = ""
) -> AsyncIterator[Holder]:
    """Somebody who was there before, on a phone that the sandbox lends their key. `script` runs in every page before anything of ours."""
    async with device(browser, size=size, language=language) as context:
        if script:
            await context.add_init_script(script)
        page = await context.new_page()
        seed = base64_text(bytes(person.key))
        await page.goto(f"http://localhost:{site.port}/wallet/#/borrow?device={id_text(person.device)}&seed={seed}")
        await expect(page.locator(".balance .amount-large")).to_be_visible()
        assert seed not in page.url
        yield Holder(page, site, person.address, person.account)
