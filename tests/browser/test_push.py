"""A wallet that is closed is woken: its worker shows that there is news, in the holder's language, and tells the server so.

Chromium without a window has no push service to subscribe to. So two functions of the browser are stood in for, those that would give
out a subscription, and what the server sends to the subscription's address is carried to the worker by the browser's own
debugger. All between is real: the switch, the signed request, the payment, the encryption, the worker, the notification.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright, expect
from sqlalchemy import select

from counterfoil.channels.push.tables import push_messages, push_subscriptions
from counterfoil.i18n import Language
from tests.browser.device import ARGUMENTS, DESKTOP, PHONE, chromium
from tests.browser.holders import borrowing, site_in
from tests.channels.push.browser import PushService, push_service, text
from tests.channels.push.lives import eventually
from tests.scheme import Person
from tests.web.logged import LoggedSite

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUBSCRIBES = """
const given = %s;
let mine = null;
PushManager.prototype.getSubscription = async () => mine;
PushManager.prototype.subscribe = async (options) => {
  if (!options.userVisibleOnly || options.applicationServerKey.byteLength !== 65) throw new TypeError("no key");
  const { endpoint, keys } = given;
  const unsubscribe = async () => { mine = null; return true; };
  mine = { endpoint, options: { applicationServerKey: options.applicationServerKey.buffer }, toJSON: () => ({ endpoint, keys }), unsubscribe };
  return mine;
};
"""
"""What a browser with a push service does when it is asked to subscribe."""
REGISTRATION = "navigator.serviceWorker.getRegistration('/wallet/')"
SHOWN = (
    f"async () => (await (await {REGISTRATION}).getNotifications()).map(({{ title, body, lang, tag }}) => ({{ title, body, lang, tag }}))"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The Chromium that could draw windows: the other one shows no notifications."""
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=chromium(camera=True), args=ARGUMENTS)
        yield found
        await found.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("push")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def service() -> AsyncIterator[PushService]:
    with push_service() as found:
        yield found


def subscribes(service: PushService, seed: str) -> str:
    """A script for every page: the browser has a push service, which is the test's."""
    phone = service.phone(seed)
    return SUBSCRIBES % json.dumps({"endpoint": service.url(seed), "keys": {"p256dh": text(phone.p256dh), "auth": text(phone.auth)}})


async def subscribed(site: LoggedSite, person: Person) -> bool:
    query = select(push_subscriptions.c.device).where(push_subscriptions.c.device == person.device)
    return await site.services.store.read(lambda connection: connection.execute(query).first() is not None)


class Pusher:
    """The browser's own way to hand a push message to a service worker."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self.origin = f"http://localhost:{port}"
        self._registration: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def begin(self, context: BrowserContext) -> None:
        self._chromium = await context.new_cdp_session(self.page)

        def updated(event: dict[str, Any]) -> None:
            for each in event["registrations"]:
                if each["scopeURL"] == f"{self.origin}/wallet/" and not self._registration.done():
                    self._registration.set_result(each["registrationId"])

        self._chromium.on("ServiceWorker.workerRegistrationUpdated", updated)
        await self._chromium.send("ServiceWorker.enable")

    async def deliver(self, data: str) -> None:
        message = {"origin": self.origin, "registrationId": await self._registration, "data": data}
        await self._chromium.send("ServiceWorker.deliverPushMessage", message)


async def test_a_closed_wallet_is_woken_and_says_so(browser: Browser, site: LoggedSite, service: PushService) -> None:
    rose, shop = await site.scheme.customer("Rose", funds=10_000), await site.scheme.merchant("Lighthouse Fuel", funds=50_000)
    async with borrowing(browser, site, rose, "fr", PHONE, script=subscribes(service, "rose")) as holder:
        page, context = holder.page, holder.page.context
        await context.grant_permissions(["notifications"])
        await page.evaluate("navigator.serviceWorker.ready")
        await holder.go("/settings")
        switch = page.locator("input[name=push]")
        await expect(switch).not_to_be_checked()
        await page.locator(".chip[lang=ko]").click()
        await expect(page.locator("html")).to_have_attribute("lang", "ko")
        await switch.check()
        await eventually(lambda: subscribed(site, rose))
        await expect(switch).to_be_checked()
        await expect(switch).to_be_enabled()
        await holder.looks_right()
        await page.reload()
        await expect(switch).to_be_checked()

        await page.goto(f"http://localhost:{site.port}/proof")  # the wallet is closed
        await eventually(lambda: not site.services.hub.accounts)
        pusher = Pusher(page, site.port)
        await pusher.begin(context)
        await shop.pay(rose, 1_234)
        await eventually(lambda: len(service.ids) == 1)
        await pusher.deliver(text(service.ids[0]))
        await eventually(lambda: _is(site, service.ids[0], "acknowledged"))
        title = Language("ko").text("You have news in %(scheme)s", scheme=site.services.config.scheme_name)
        assert await page.evaluate(SHOWN) == [{"title": title, "body": "", "lang": "ko", "tag": "news"}]
        assert title != f"You have news in {site.services.config.scheme_name}"

        await shop.pay(rose, 200)  # once more, and there is still one notification
        await eventually(lambda: len(service.ids) == 2)
        await pusher.deliver(text(service.ids[1]))
        await eventually(lambda: _is(site, service.ids[1], "acknowledged"))
        assert len(await page.evaluate(SHOWN)) == 1
        worker = context.service_workers[0]
        opened = await worker.evaluate(
            """async () => {
              const [notification] = await registration.getNotifications();
              const opened = new Promise((resolve) => { Clients.prototype.openWindow = async (url) => resolve(url); });
              dispatchEvent(new NotificationEvent("notificationclick", { notification }));
              return opened;
            }"""
        )
        assert opened == "/wallet/"
        await eventually(lambda: _shows(page, 0))

        # Switched off while the wallet looks whether its subscription is still right: it stays off.
        looking, look = asyncio.Event(), asyncio.Event()

        async def late(route: Route) -> None:
            looking.set()
            await look.wait()
            await route.continue_()

        await page.route("**/v1/push", late)
        await page.goto(f"http://localhost:{site.port}/wallet/#/settings")
        await expect(switch).to_be_checked()
        await asyncio.wait_for(looking.wait(), 60)
        await switch.uncheck()
        await page.wait_for_timeout(300)
        look.set()
        await eventually(lambda: _not_subscribed(site, rose))
        await expect(switch).to_be_enabled()
        await expect(switch).not_to_be_checked()
        await page.wait_for_timeout(300)
        assert await _not_subscribed(site, rose)
        assert not holder.broken


async def _is(site: LoggedSite, id: bytes, state: str) -> bool:
    query = select(push_messages.c.state).where(push_messages.c.id == int.from_bytes(id))
    return await site.services.store.read(lambda connection: bool(connection.execute(query).scalar() == state))


async def _not_subscribed(site: LoggedSite, person: Person) -> bool:
    return not await subscribed(site, person)


@pytest.mark.parametrize("data", ["", "nonsense"])
async def test_what_is_no_message_of_ours_is_shown_like_any_other(browser: Browser, site: LoggedSite, data: str) -> None:
    """A browser takes the permission away from whoever shows nothing. This phone has no wallet yet, and so no chosen language."""
    context = await browser.new_context(locale="ko-KR", permissions=["notifications"])
    try:
        page = await context.new_page()
        await page.goto(f"http://localhost:{site.port}/wallet/")
        await page.evaluate("navigator.serviceWorker.ready")
        await page.evaluate("async () => { await new Promise((ok) => { indexedDB.deleteDatabase('counterfoil').onsuccess = ok; }); }")
        await page.goto(f"http://localhost:{site.port}/proof")
        pusher = Pusher(page, site.port)
        await pusher.begin(context)
        await pusher.deliver(data)
        await eventually(lambda: _shows(page, 1))
        (shown,) = await page.evaluate(SHOWN)
        assert shown["title"] == Language("ko").text("You have news in %(scheme)s", scheme=site.services.config.scheme_name)
        assert await page.evaluate("async () => (await indexedDB.databases()).map(({ name }) => name)") == []
    finally:
        await context.close()


async def _shows(page: Page, count: int) -> bool:
    return len(await page.evaluate(SHOWN)) == count


@pytest.mark.parametrize("refuses", ["person", "browser"])
async def test_where_the_browser_does_not_allow_it_the_switch_stays_off_and_says_why(
    browser: Browser, site: LoggedSite, service: PushService, refuses: str
) -> None:
    rose = await site.scheme.customer("Rose", funds=100)
    denied = "Notification.requestPermission = async () => 'denied';"
    # Chromium without a window refuses to subscribe by itself: for want of a push service.
    script = denied if refuses == "person" else "Notification.requestPermission = async () => 'granted';"
    async with borrowing(browser, site, rose, "en", DESKTOP, script=script) as holder:
        page = holder.page
        await page.evaluate("navigator.serviceWorker.ready")
        await holder.go("/settings")
        switch = page.locator("input[name=push]")
        await switch.click()
        await expect(page.get_by_text("This browser does not allow it. Look at its settings for this page.")).to_be_visible()
        await expect(switch).to_be_enabled()
        await expect(switch).not_to_be_checked()
        await holder.looks_right()
        assert not await subscribed(site, rose)


async def test_where_the_browser_cannot_there_is_no_switch(browser: Browser, site: LoggedSite) -> None:
    rose = await site.scheme.customer("Rose", funds=100)
    async with borrowing(browser, site, rose, "en", PHONE, script="delete globalThis.PushManager;") as holder:
        await holder.page.evaluate("navigator.serviceWorker.ready")
        await holder.go("/settings")
        await expect(holder.page.locator("input[type=checkbox]")).to_have_count(1)
        assert await holder.page.evaluate("async () => (await import('/static/wallet/push.js')).isOffered(null)") is False
        await expect(holder.page.locator("input[name=push]")).to_have_count(0)
