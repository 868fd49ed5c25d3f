"""The service worker: the app starts without a network, from one version whole, and nothing of the server's is ever kept."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from counterfoil.web.apps import APPS
from tests.web.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSTALL = """async (app) => (await import('/static/phone/worker.js')).install(app)"""
WAITING = """async () => {
  const registration = await navigator.serviceWorker.getRegistration('/wallet/');
  while (!registration.waiting) await new Promise((resolve) => setTimeout(resolve, 50));
}"""
TAKE_OVER = """async () => {
  const { waiting } = await navigator.serviceWorker.getRegistration('/wallet/');
  setTimeout(() => waiting.postMessage({ type: 'activate' }), 50);  // this page loads anew, too
}"""
KEPT = """async () => {
  const names = await caches.keys();
  const kept = await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname)));
  return Object.fromEntries(names.map((name, at) => [name, kept[at]]));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("worker")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    found = await browser.new_context(locale="ko-KR")
    yield found
    await found.close()


async def installed(context: BrowserContext, site: Site, app: str = "wallet") -> Page:
    """A page of the app, whose worker has kept everything."""
    page = await context.new_page()
    await page.goto(f"http://localhost:{site.port}/{app}/")
    assert await page.evaluate(INSTALL, app) is True
    await page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    return page


async def version_kept(page: Page) -> str:
    """The version that the page's caches hold."""
    names = [str(name) for name in await page.evaluate(KEPT) if name.startswith("counterfoil-")]
    assert len(names) == 1, names
    return names[0]


@pytest.mark.parametrize("app", APPS)
async def test_the_app_starts_without_a_network_in_every_part(context: BrowserContext, site: Site, app: str) -> None:
    page = await installed(context, site, app)
    await context.set_offline(True)
    asked: list[str] = []
    page.on("requestfailed", lambda request: asked.append(request.url))
    await page.reload()
    await page.wait_for_selector("#app > *")
    assert await page.evaluate("document.documentElement.lang") == "ko"
    lost = await page.evaluate(
        """async () => {
          const { files } = await (await caches.open((await caches.keys())[0])).keys().then((keys) => ({ files: keys.map(({ url }) => url) }));
          const lost = [];
          for (const url of files) if (!url.includes('?') && !(await fetch(url).then((answer) => answer.ok, () => false))) lost.push(url);
          return lost;
        }"""
    )
    assert lost == []
    assert [url for url in asked if "/static/" in url or "/words/" in url] == []


async def test_what_the_server_says_is_never_kept(context: BrowserContext, site: Site) -> None:
    page = await installed(context, site)
    await page.evaluate("() => Promise.all(['/v1/scheme', '/log/policy', '/proof'].map((path) => fetch(path)))")
    kept = [path for paths in (await page.evaluate(KEPT)).values() for path in paths]
    assert len(kept) > 30
    assert not any(path.startswith(("/v1", "/log", "/proof", "/basic")) for path in kept)
    await context.set_offline(True)
    assert await page.evaluate("() => fetch('/v1/scheme').then(() => 'answered', () => 'failed')") == "failed"


@contextmanager
def changed_worker(site: Site, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """The server gives out another worker for the wallet: what it is told of the app is changed."""
    resources = site.app.apps._resources
    kept = resources["/wallet/sw.js"]
    found = re.match(r"self\.counterfoil = (\{.*\});\n", kept.body.decode())
    assert found is not None
    told = json.loads(found[1])
    change(told)
    body = f"self.counterfoil = {json.dumps(told)};\n{kept.body.decode()[found.end() :]}".encode()
    resources["/wallet/sw.js"] = msgspec.structs.replace(kept, body=body)
    try:
        yield
    finally:
        resources["/wallet/sw.js"] = kept


async def test_a_newer_version_waits_and_then_takes_over_whole(context: BrowserContext, site: Site) -> None:
    page = await installed(context, site)
    before = await version_kept(page)
    with changed_worker(site, lambda told: told.update(version="LATERLATERLATER1")):
        await page.evaluate("async () => { await (await navigator.serviceWorker.getRegistration('/wallet/')).update(); }")
        await page.evaluate(WAITING)
    assert set(await page.evaluate(KEPT)) == {before, "counterfoil-wallet-LATERLATERLATER1"}
    again = await context.new_page()
    await again.goto(f"http://localhost:{site.port}/wallet/")
    assert await again.evaluate("() => navigator.serviceWorker.controller.state") == "activated"
    assert await page.evaluate("async () => Boolean((await navigator.serviceWorker.getRegistration('/wallet/')).waiting)"), (
        "the old one still serves"
    )
    assert await again.evaluate(INSTALL, "wallet") is True  # it listens for the change of versions by now
    async with again.expect_navigation():  # a page that the old version served loads anew
        await page.evaluate(TAKE_OVER)
    await again.wait_for_load_state()
    assert await version_kept(again) == "counterfoil-wallet-LATERLATERLATER1"


async def test_a_page_that_was_open_before_there_was_a_worker_loads_anew_with_the_next_version(context: BrowserContext, site: Site) -> None:
    """Otherwise it would go on with modules of one version and load those of another beside them."""
    page = await installed(context, site)
    await page.evaluate("() => { globalThis.first = true; }")
    with changed_worker(site, lambda told: told.update(version="LATERLATERLATER3")):
        await page.evaluate("async () => { await (await navigator.serviceWorker.getRegistration('/wallet/')).update(); }")
        await page.evaluate(WAITING)
    async with page.expect_navigation():
        await page.evaluate(TAKE_OVER)
    await page.wait_for_load_state()
    assert await page.evaluate("globalThis.first") is None
    assert await version_kept(page) == "counterfoil-wallet-LATERLATERLATER3"


async def test_files_of_two_versions_are_never_kept_together(context: BrowserContext, site: Site) -> None:
    page = await installed(context, site)
    before = await version_kept(page)

    def another(told: dict[str, Any]) -> None:
        told["version"] = "LATERLATERLATER2"
        told["files"]["/static/wallet/wallet.js"] = "A" * 16  # the server has another one than this worker was told of

    with changed_worker(site, another):
        outcome = await page.evaluate(
            """async () => {
              const registration = await navigator.serviceWorker.getRegistration('/wallet/');
              const found = new Promise((resolve) => registration.addEventListener('updatefound', () => {
                const worker = registration.installing;
                worker.addEventListener('statechange', () => worker.state !== 'installing' && resolve(worker.state));
              }));
              await registration.update().catch(() => {});
              return found;
            }"""
        )
    assert outcome == "redundant"
    assert await version_kept(page) == before
    await context.set_offline(True)
    await page.reload()
    await page.wait_for_selector("#app > *")


async def test_a_cleared_cache_falls_back_to_the_network(context: BrowserContext, site: Site) -> None:
    page = await installed(context, site)
    await page.evaluate("async () => { for (const name of await caches.keys()) await caches.delete(name); }")
    await page.reload()
    await page.wait_for_selector("#app > *")
