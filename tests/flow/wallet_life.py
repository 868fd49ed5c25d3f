"""Somebody who has lived by a simple phone, and gets the wallet: the same account, in a browser."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.browser.holders import Holder
from tests.flow.life import NAME, NUMBER, Town


class InWallet:
    """The steps of a life (`life.Way`) that are taken in the wallet."""

    def __init__(self, town: Town, page: Page) -> None:
        self.town = town
        self.page = page
        self._holder: Holder

    async def arrive(self, pin: str) -> None:
        """Wants to open an account, learns that there is one, brings it here, and allows the PIN to go on."""
        page, town = self.page, self.town
        town.site.wait(3_600)
        await page.goto(f"http://localhost:{town.site.port}/wallet/")
        await page.locator(".low button").first.click()
        await page.locator("input[name=number]").fill(NUMBER)
        await page.keyboard.press("Enter")
        await page.locator("input[name=code]").fill(await page.locator("strong.amount").inner_text())
        await page.keyboard.press("Enter")
        await page.locator("input[name=name]").fill(NAME)
        await page.locator("input[name=pin]").fill(pin)
        await page.keyboard.press("Enter")
        await expect(page.locator("main p strong")).to_contain_text("has an account already")
        await expect(page.locator("input[name=number]")).to_have_value(NUMBER)
        self._holder = Holder(page, town.site, NUMBER, town.ama.account)
        await self._holder.looks_right()
        await page.locator("form .button").click()
        await page.locator("input[name=code]").fill(await page.locator("strong.amount").inner_text())
        await page.locator("input[name=pin]").fill(pin)
        await page.keyboard.press("Enter")
        await expect(page.locator(".empty .icon")).to_be_visible()
        await town.services.parties.recoveries.complete_due()
        await page.reload()
        await expect(page.locator(".balance .amount-large")).to_contain_text(town.money(town.ama.balance()))
        await self._holder.go("/security")
        form = await self._unfolded(2)
        await form.locator("[name=per_day]").fill("100.00")
        await page.keyboard.press("Enter")
        await expect(form.locator("xpath=..")).to_contain_text("100.00 USD")

    async def buy(self, code: str, amount: int, pin: str, *, shows: str) -> str:
        await self._holder.go(f"/pay?to={code}&amount={self.town.typed(amount)}")
        return await self._agree(shows)

    async def ask(self, whom: str, amount: int, pin: str, *, shows: str) -> str:
        await self._holder.go("/ask")
        await self._find(whom)
        await self.page.locator("[name=amount]").fill(self.town.typed(amount))
        await self.page.locator("form .button").click()
        await expect(self.page.locator(".stub")).to_have_attribute("data-state", "open")
        return await self.page.locator(".stub").inner_text()

    async def accept(self, who: str, amount: int, pin: str, *, is_open: bool = False) -> str:
        await self._holder.go("/")
        await self.page.locator("a.row[href*=request]").click()
        await expect(self.page.locator(".stub")).to_contain_text(who)
        await self.page.locator(".low a.button").click()
        return await self._agree(self.town.money(amount))

    async def fetch_cash(self, agent: str, amount: int, pin: str, *, shows: str) -> str:
        await self._holder.go("/cash")
        await self.page.locator("a[href*='cash=out']").click()
        await self._find(agent)
        await self.page.locator("[name=amount]").fill(self.town.typed(amount))
        await self.page.locator("form .button").click()
        return await self._agree(shows)

    async def change_pin(self, old: str, new: str) -> str:
        await self._holder.go("/security")
        form = await self._unfolded(1)
        await form.locator("[name=old]").fill(old)
        await form.locator("[name=fresh]").fill(new)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator("p.good")).not_to_be_empty()
        return ""

    async def _agree(self, shows: str) -> str:
        await expect(self.page.locator(".consent")).to_be_visible()
        await expect(self.page.locator("main")).to_contain_text(shows)
        await self._holder.agree()
        await self._holder.outcome("done")
        return await self.page.locator("main").inner_text()

    async def _find(self, address: str) -> None:
        await self.page.locator("[name=address]").fill(address)
        await self.page.keyboard.press("Enter")

    async def _unfolded(self, at: int) -> Locator:
        await self.page.locator("details > summary").nth(at).click()
        return self.page.locator("details").nth(at).locator("form")
