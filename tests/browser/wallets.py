"""A wallet in a browser, brought to where a test or a measure begins: through its own screens, as its holder would."""

from __future__ import annotations

from playwright.async_api import Page, expect


async def enrol(page: Page, number: str, name: str, pin: str = "2580") -> None:
    """Opens an account on the page's wallet, which shows its first screen, in a sandbox. `number`: with +, not known yet."""
    await page.locator(".low button").first.click()
    await page.locator("input[name=number]").fill(number)
    await page.locator("form button:not([type=button])").click()
    await page.locator("input[name=code]").fill(await page.locator("strong.amount").inner_text())
    await page.locator("form button:not([type=button])").click()
    await page.locator("input[name=name]").fill(name)
    await page.locator("input[name=pin]").fill(pin)
    await page.locator("form button:not([type=button])").click()
    await expect(page.locator(".stub").first).to_be_visible(timeout=20_000)
