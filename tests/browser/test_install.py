"""The wallet and the till can be put on a home screen, and start there without a network: what Chromium asks of such an app."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.browser.device import PHONE, device
from tests.browser.network import Network, network
from tests.web.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

APPS = ("wallet", "till")
FIRST_LOAD_MAX = 50_000
"""Bytes, compressed, of all that an app needs to show its first screen. Every kilobyte is a sixth of a second on GPRS."""
FIRST_SCREEN = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('#app h1')) return;
  observer.disconnect();
  globalThis.firstScreen = performance.now();
}).observe(document, { childList: true, subtree: true });
"""
NO_POLICY = "/log/policy"
"""A scheme without witnesses has none, and the wallet asks; the answer comes before the first screen, or after it."""
NOT_OURS = {"in-incognito"}
"""What Chromium complains about that no page can change: a test's profile is one of which nothing is kept."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def line(site: Site) -> AsyncIterator[Network]:
    """A fast way to the server that can be cut."""
    async with network(site.port, rate=100_000_000, round_trip_s=0, loss=0) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser: Browser) -> AsyncIterator[BrowserContext]:
    async with device(browser, size=PHONE) as context:
        yield context


async def started(phone: BrowserContext, address: str) -> Page:
    """A page that shows the app's first screen, without a complaint."""
    page = await phone.new_page()
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].endswith(NO_POLICY):
            complaints.append(f"{message.text} {message.location['url']}")

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", complain)
    await page.goto(address)
    with suppress(AssertionError):  # what the page complained about says more
        await expect(page.locator("#app h1").first).to_be_visible()
    assert complaints == []
    assert await page.locator("#app h1").first.is_visible()
    return page


@pytest.mark.parametrize("app", APPS)
async def test_chromium_would_install_it(site: Site, phone: BrowserContext, app: str) -> None:
    page = await started(phone, f"http://localhost:{site.port}/{app}/")
    chromium = await phone.new_cdp_session(page)
    manifest: dict[str, Any] = await chromium.send("Page.getAppManifest")
    assert manifest["errors"] == []
    document = json.loads(manifest["data"])
    assert document["start_url"] == document["scope"] == document["id"] == f"/{app}/"
    assert document["display"] == "standalone"
    assert document["name"]
    errors: dict[str, Any] = await chromium.send("Page.getInstallabilityErrors")
    assert [each["errorId"] for each in errors["installabilityErrors"] if each["errorId"] not in NOT_OURS] == []


@pytest.mark.parametrize("app", APPS)
async def test_its_icons_are_as_large_as_it_says(site: Site, app: str) -> None:
    document = (await site.client.get(f"/{app}/manifest.webmanifest")).json()
    sizes = set()
    for icon in document["icons"]:
        answer = await site.client.get(icon["src"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, icon["type"]), icon
        if icon["type"] == "image/png":
            assert answer.content[:8] == b"\x89PNG\r\n\x1a\n"
            width, height = struct.unpack(">II", answer.content[16:24])
            assert icon["sizes"] == f"{width}x{height}"
            sizes.add((width, icon.get("purpose", "any")))
    assert {(192, "any"), (512, "any"), (512, "maskable")} <= sizes


@pytest.mark.parametrize("app", APPS)
async def test_it_starts_without_a_network_once_it_has_been_opened(line: Network, phone: BrowserContext, app: str) -> None:
    address = f"http://localhost:{line.port}/{app}/"
    page = await started(phone, address)
    title = await page.inner_text("#app h1 >> nth=0")
    await page.evaluate("navigator.serviceWorker.ready")
    await expect_kept(page, app)
    asked = await quiet(line)
    line.down = True
    again = await phone.new_page()
    await again.goto(address)
    await expect(again.locator("#app h1").first).to_have_text(title)
    assert await again.evaluate("navigator.serviceWorker.controller?.scriptURL") == f"{address}sw.js"
    await page.close()
    await again.reload()
    await expect(again.locator("#app h1").first).to_have_text(title)
    assert len(line.requests) == asked


async def quiet(line: Network) -> int:
    """How many requests there were, once none has come for a second: screens are fetched ahead behind the first one."""
    asked = -1
    while asked != len(line.requests):
        asked = len(line.requests)
        await asyncio.sleep(1)
    return asked


async def expect_kept(page: Page, app: str) -> None:
    """Waits until the service worker has all files of this version."""
    files = await page.evaluate(
        "async (app) => JSON.parse((await (await fetch(`/${app}/sw.js`)).text()).match(/^self\\.counterfoil = (.*);$/m)[1]).files", app
    )
    assert len(files) > 10
    kept = "async () => (await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).length)))"
    counts: list[int] = []
    for _ in range(100):
        counts = await page.evaluate(kept)
        if counts == [len(files)] and await page.evaluate("Boolean(navigator.serviceWorker.controller)"):
            return
        await page.wait_for_timeout(100)
    raise AssertionError(f"{counts} of {len(files)} files are kept")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("app", APPS)
async def test_its_first_load_is_small(site: Site, browser: Browser, app: str, language: str) -> None:
    async with device(browser, language=language) as context:
        await context.add_init_script(FIRST_SCREEN)
        page = await started(context, f"http://localhost:{site.port}/{app}/")
        loaded = await page.evaluate("""() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
          .filter((entry) => !entry.name.includes('/v1/') && entry.transferSize && entry.startTime < globalThis.firstScreen)
          .map((entry) => [entry.name.replace(location.origin, ''), entry.encodedBodySize])""")
        size = sum(bytes_ for _, bytes_ in loaded)
        assert size <= FIRST_LOAD_MAX, "\n".join(f"{bytes_:7,} {name}" for name, bytes_ in [*loaded, ("all", size)])
        assert size > 10_000
