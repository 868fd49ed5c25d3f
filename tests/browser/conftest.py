"""A real browser: Debian's Chromium, driven by Playwright. Skipped in plain sight where there is none.

What else browser tests share: `device` (sizes, languages, themes, cameras), `audit` (axe-core, tidiness), `network` (a lossy
one), `tools` (what npm installed).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from tests.browser.device import ARGUMENTS, Camera, camera_browser, chromium
from tests.browser.tools import STATIC

HOST = "http://localhost"  # a secure context without a certificate
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}

Ask = Callable[..., Coroutine[Any, Any, Any]]

expect.set_options(timeout=30_000)  # as long as everything else in Playwright: a busy machine is ten times slower


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = chromium()
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield found
        await found.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Browser, Camera]]:
    """A browser with a camera, and what the camera sees: see `device`."""
    async with camera_browser(tmp_path_factory.mktemp("camera")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def verifier(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that has imported verify.js as `verify`, and is offline from then on."""
    context = await browser.new_context()
    page = await context.new_page()
    await serve_static(page)
    await page.evaluate("async () => { globalThis.verify = await import('/static/proof/verify.js'); }")
    await context.set_offline(True)
    await page.evaluate(PLAIN)
    yield page
    await context.close()


async def serve_static(page: Page, *, policy: str = "") -> None:
    """Opens an empty page at HOST that has our static files beside it, without a server, under a content security policy."""

    async def serve(route: Route) -> None:
        path = STATIC / route.request.url.removeprefix(f"{HOST}/static/")
        if path.is_file():
            await route.fulfill(body=path.read_bytes(), content_type=TYPES[path.suffix])
        else:
            headers = {"Content-Type": "text/html"} | ({"Content-Security-Policy": policy} if policy else {})
            await route.fulfill(body="<!doctype html><title>empty</title>", headers=headers)

    await page.route("**/*", serve)
    await page.goto(f"{HOST}/")


PLAIN = """() => {
  const plain = (value) => value instanceof Uint8Array ? verify.hex(value)
    : typeof value === 'bigint' ? String(value)
    : Array.isArray(value) ? value.map(plain)
    : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)])) : value;
  globalThis.plain = plain;
  globalThis.bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}"""
