"""A real browser: Debian's Chromium, driven by Playwright. Skipped in plain sight where there is none."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright

STATIC = Path(__file__).parents[2] / "src/counterfoil/web/static"
HOST = "http://localhost"  # a secure context without a certificate
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}

Ask = Callable[..., Coroutine[Any, Any, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on PATH: see debian-packages.txt")
    async with async_playwright() as playwright:
        # Without a sandbox of its own: in containers it cannot have one, and it sees only our own pages here.
        found = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        await found.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def verifier(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that has imported verify.js as `verify`, and is offline from then on."""
    context = await browser.new_context()
    page = await context.new_page()

    async def serve(route: Route) -> None:
        path = STATIC / route.request.url.removeprefix(f"{HOST}/static/")
        if path.is_file():
            await route.fulfill(body=path.read_bytes(), content_type=TYPES[path.suffix])
        else:
            await route.fulfill(body="<!doctype html><title>verify</title>", content_type="text/html")

    await page.route("**/*", serve)
    await page.goto(f"{HOST}/")
    await page.evaluate("async () => { globalThis.verify = await import('/static/proof/verify.js'); }")
    await context.set_offline(True)
    await page.evaluate(PLAIN)
    yield page
    await context.close()


PLAIN = """() => {
  const plain = (value) => value instanceof Uint8Array ? verify.hex(value)
    : typeof value === 'bigint' ? String(value)
    : Array.isArray(value) ? value.map(plain)
    : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)])) : value;
  globalThis.plain = plain;
  globalThis.bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}"""
