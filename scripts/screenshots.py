"""Picture every page of a demo town, in both sizes, in English and Korean, light and dark: `python -m scripts.screenshots`.

Fills a town, serves it, and walks through it in Debian's Chromium as people of the town would: wallet, till, the pages without
JavaScript, the pages of everybody and those of staff. The pictures go to screenshots/, which is not in the repository:

    screenshots/wallet-pay-consent.360x640.ko.dark.png

`--only wallet` takes those whose name begins so. A page that could not be reached is told at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from nacl.signing import SigningKey
from playwright.async_api import Browser, Error, Page, expect

from counterfoil.acceptance import emv
from counterfoil.clock import SystemClock
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.moments import moment_text
from counterfoil.parties import statements
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments import forms
from counterfoil.payments.orders import Order, encode
from counterfoil.web import signatures
from counterfoil.web.values import base64_text, parse_base64
from tests.browser.device import SIZES, Camera, Theme, camera_browser, device

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "screenshots"
LANGUAGES = ("en", "ko")
THEMES: tuple[Theme, ...] = ("light", "dark")
AT_ONCE = 2
"""Walks beside each other: one for each core of a small machine."""
PATIENCE_MS = 15_000
SETTLED_MS = 350
"""After a heading has come, for pictures, codes and lists to come, too."""
HOLDERS = {"en": "noah_barlow", "ko": "16715550108"}
CLERKS = {"Neema": ["sell", "refund", "capture", "goods", "close_day", "see_takings"], "Juma": ["sell"]}
CLERK_PIN = "4826"
GOODS = {"Mango": 45, "Papaya": 120, "Oranges, 1 kg": 180, "Bananas": 60, "Pineapple": 210, "Passion fruit": 90}
SHOP, STAFF, PIN = "neema_fruit", "osborne", "2580"
"""A stall of the town, a treasurer, and the PIN of the first people: what the demo prints."""


class Town:
    """A demo town that is being served."""

    def __init__(self, base: str, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self.clock = SystemClock()
        self.client = httpx2.AsyncClient(base_url=base, timeout=20)
        self._numbers = iter(range(900, 999))

    def key(self, name: str) -> dict[str, Any]:
        """The key file of somebody."""
        found: dict[str, Any] = json.loads((self.folder / "wallets" / f"{name}.key").read_text("utf-8"))
        return found

    def new_id(self) -> str:
        return id_text(new_id(self.clock))

    def new_number(self) -> str:
        """One that nobody in the town has."""
        return f"+1671555{next(self._numbers):04}"

    async def furnish(self) -> None:
        """What the pictures need beside the town's own trade: a stall with clerks and goods, a request, a conversation."""
        for name, rights in CLERKS.items():
            await self.call(SHOP, "POST", "/v1/clerks", {"id": self.new_id(), "name": name, "pin": CLERK_PIN, "rights": rights})
        made = await self.call(SHOP, "POST", "/v1/tills", {"id": self.new_id(), "name": "Till 1"})
        token = (await self.plain("POST", "/v1/tills/pair", {"code": made["pairing_code"], "label": "Phone"}))["token"]
        shop = await self.plain("GET", "/v1/till", token=token)
        clerk = next(each["id"] for each in shop["clerks"] if each["name"] == next(iter(CLERKS)))
        session = (await self.plain("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": CLERK_PIN}, token=token))["session"]
        for position, (name, price) in enumerate(GOODS.items()):
            body = {"name": name, "price": price, "unit": "", "shown": True, "position": position}
            await self.plain("PUT", f"/v1/till/goods/{self.new_id()}", body, token=token, session=session)
        for holder in HOLDERS.values():
            account, key = self.key(holder)["account"], self.key(SHOP)
            request = forms.RequestToPay(
                origin=key["origin"],
                asset=key["currency"],
                payee=parse_id(key["account"]),
                payer=parse_id(account),
                amount=1_250,
                id=new_id(self.clock),
                expiry_ms=self.clock.now_ns() // 1_000_000 + 86_400_000,
                purpose=0,
                memo="two crates of oranges",
            )
            await self.call(SHOP, "POST", "/v1/requests", self.signed(SHOP, forms.encode(request)))
            allowed = statements.allow_pin(
                origin=key["origin"], account=parse_id(account), per_day=5_000, made_at_ms=self.clock.now_ns() // 1_000_000
            )
            consent = self.signed(holder, allowed)
            await self.call(holder, "POST", "/v1/pin-consent", {"statement": consent.pop("order"), **consent})
            for sender, reader, text in (
                (SHOP, account, "Your oranges are here."),
                (holder, key["account"], "I come by at five. Thank you!"),
            ):
                await self.call(sender, "POST", "/v1/messages", {"id": self.new_id(), "to": reader, "text": text})

    async def pay(self, name: str, code: str) -> None:
        """Somebody of the town scans a till's code and pays it."""
        read = emv.read(code)
        assert isinstance(read, emv.Code), read
        assert read.amount is not None
        key = self.key(name)
        scheme = await self.plain("GET", "/v1/scheme")
        amount = emv.minor(read.amount, key["digits"])
        order = Order(
            origin=key["origin"],
            asset=key["currency"],
            payer=parse_id(key["account"]),
            payee=read.account,
            amount=amount,
            max_fee=amount,
            id=new_id(self.clock),
            expiry_ms=self.clock.now_ns() // 1_000_000 + 600_000,
            rules_hash=parse_base64(scheme["rules_hash"], "rules_hash"),
            reference=read.request or 0,
        )
        await self.plain("POST", "/v1/payments", self.signed(name, encode(order)))

    def signed(self, name: str, data: bytes) -> dict[str, str]:
        """An order or a form of somebody's, as it is sent."""
        key = self.key(name)
        signature = SigningKey(parse_base64(key["seed"], "seed")).sign(data).signature
        return {"order": base64_text(data), "device": key["device"], "signature": base64_text(signature)}

    async def plain(self, method: str, path: str, body: Any = None, *, token: str = "", session: str = "") -> Any:
        """A request with a till's token, or without any."""
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Counterfoil-Clerk": session} if session else {})
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def call(self, name: str, method: str, path: str, body: Any = None) -> Any:
        """A request signed by somebody of the town; its JSON."""
        key = self.key(name)
        content = b"" if body is None else json.dumps(body).encode()
        secret = SigningKey(parse_base64(key["seed"], "seed"))
        signed = signatures.headers(
            method=method,
            path=path,
            query="",
            body=content,
            device=parse_id(key["device"]),
            algorithm=KeyAlgorithm.ED25519,
            sign=lambda message: secret.sign(message).signature,
            now_ns=self.clock.now_ns(),
        )
        answer = await self.client.request(method, path, content=content or None, headers={"Content-Type": "application/json", **signed})
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """A town of its own on a free port, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-screenshots-") as folder:
        command = [sys.executable, "-m", "counterfoil", "demo", "--data", folder, "--port", "0"]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert process.stdout is not None
        told = ""
        while "Ctrl-C ends it" not in told:
            line = (await process.stdout.readline()).decode()
            assert line, f"the town did not start:\n{told}"
            told += line
        front = re.search(r"http://[^\s/]+:(\d+)", told)
        assert front is not None, told
        found = Town(f"http://localhost:{front[1]}", Path(folder))
        try:
            await found.furnish()
            yield found
        finally:
            await found.client.aclose()
            process.terminate()
            await process.communicate()


class Album:
    """The pictures of one size, language and theme."""

    def __init__(self, town: Town, page: Page, camera: Camera, *, language: str, suffix: str, only: str) -> None:
        self.town = town
        self.page = page
        self.camera = camera
        self.language = language
        self.suffix = suffix
        self.only = only
        self.taken = 0
        self.missed: list[str] = []

    def wants(self, part: str) -> bool:
        return part.startswith(self.only) or self.only.startswith(part)

    async def take(self, name: str) -> None:
        """Pictures what is shown, to its end."""
        if name.startswith(self.only):
            size = self.page.viewport_size
            assert size is not None
            await self.page.wait_for_timeout(SETTLED_MS)
            # A screen as high as all of it, so that what is fixed to the bottom stands there.
            high = max(size["height"], await self.page.evaluate("document.documentElement.scrollHeight"))
            await self.page.set_viewport_size({"width": size["width"], "height": high})
            await self.page.screenshot(path=FOLDER / f"{name}.{self.suffix}.png", animations="disabled")
            await self.page.set_viewport_size(size)
            self.taken += 1

    @contextlib.asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[None]:
        """What goes wrong inside is told at the end, and the walk goes on."""
        try:
            yield
        except (AssertionError, Error) as error:
            self.missed.append(f"{name}.{self.suffix}: {str(error).strip().splitlines()[0]}")

    async def open(self, name: str, address: str) -> None:
        """A page made on the server."""
        async with self.part(name):
            answer = await self.page.goto(self.town.base + address)
            assert answer is not None
            assert answer.status < 400, f"{address} answered {answer.status}"
            await self.take(name)

    async def screen(self, name: str, address: str, ready: str = "#app h1") -> None:
        """A screen of an app that is open: `address` is what stands behind the #."""
        async with self.part(name):
            await self.go(address, ready)
            await self.take(name)

    async def go(self, address: str, ready: str = "#app h1") -> None:
        await self.page.evaluate("(address) => { location.hash = `#${address}`; }", address)
        await expect(self.page.locator(ready).first).to_be_visible(timeout=PATIENCE_MS)
        await self.page.wait_for_timeout(SETTLED_MS)


async def everybody(album: Album) -> None:
    """What needs no log-in."""
    address = f"@{SHOP}"
    await album.open("front", "/")
    await album.open("proof", "/proof")
    await album.open("proof-check", "/proof/check")
    await album.open("pay-link", f"/pay/{address}?amount=2.50&memo=mangoes")
    await album.open("pay-poster", f"/pay/{address}/poster")
    async with album.part("proof-check-done"):
        holder = HOLDERS[album.language]
        history = await album.town.call(holder, "GET", "/v1/history")
        payment = next(entry["payment"] for entry in history["entries"] if entry["payment"])
        proof = await album.town.call(holder, "GET", f"/v1/payments/{payment}/proof")
        await album.page.goto(f"{album.town.base}/proof/check")
        await album.page.fill("#receipt", proof["proof"])
        await album.page.click("button[type=submit]")
        await expect(album.page.locator("#verdict")).to_be_focused(timeout=PATIENCE_MS)
        await album.take("proof-check-done")


async def staff(album: Album) -> None:
    """What a treasurer sees."""
    link = await album.town.call(STAFF, "POST", "/v1/staff/sign-in-links")
    await album.open("staff-sign-in", link["path"])
    await album.page.click("main form button")
    for name in ("", "accounts", "transfers", "proposals", "messages"):
        await album.open(f"staff-{name or 'overview'}", f"/staff/{name}".rstrip("/"))
    for name in ("accounts", "transfers"):
        async with album.part(f"staff-{name}-one"):
            await album.page.goto(f"{album.town.base}/staff/{name}")
            await album.page.locator(f"main a[href^='/staff/{name}/']").first.click(timeout=PATIENCE_MS)
            await album.take(f"staff-{name}-one")


async def basic(album: Album) -> None:
    """The wallet without JavaScript."""
    page, number = album.page, album.town.key(HOLDERS[album.language])["number"]
    await album.open("basic-sign-in", "/basic/")
    await page.fill("input[name=number]", number)
    await page.fill("input[name=pin]", PIN)
    await page.click("form[action='/basic/sign-in'] button")
    await album.open("basic-home", "/basic/")
    await album.open("basic-history", "/basic/history")
    await album.open("basic-requests", "/basic/requests")
    await album.open("basic-pay", f"/basic/pay?to=%40{SHOP}&amount=2.50&memo=mangoes")
    async with album.part("basic-confirm"):
        await page.click("main form button")
        await expect(page.locator("input[name=pin]")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("basic-confirm")
    async with album.part("basic-payment"):
        await page.goto(f"{album.town.base}/basic/history")
        await page.locator("a[href*='payments/']").first.click(timeout=PATIENCE_MS)
        await album.take("basic-payment")


async def wallet(album: Album) -> None:
    """From the first start to a receipt, and through all settings."""
    page, town = album.page, album.town
    await page.goto(f"{town.base}/wallet/")
    await album.screen("wallet-welcome", "/", "#app .low")
    for name, address in (("about", "/about"), ("join-device", "/join/device"), ("join-recover", "/join/recover")):
        await album.screen(f"wallet-{name}", address)
    async with album.part("wallet-welcome-number"):
        await album.go("/", "#app .low")
        await page.locator(".low button").first.click()
        await album.take("wallet-welcome-number")
        await page.fill("input[name=number]", town.new_number())
        await page.click("form button:not([type=button])")
        await expect(page.locator("input[name=code]")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("wallet-welcome-code")
        await page.fill("input[name=code]", await page.locator("strong.amount").inner_text())
        await page.click("form button:not([type=button])")
        await expect(page.locator("input[name=pin]")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("wallet-welcome-name")
    key = town.key(HOLDERS[album.language])
    await page.goto("about:blank")
    await page.goto(f"{town.base}/wallet/#/borrow?device={key['device']}&seed={key['seed']}")
    await expect(page.locator(".stub").first).to_be_visible(timeout=PATIENCE_MS)
    await page.wait_for_timeout(2_000)
    await album.screen("wallet-home", "/", ".stub")
    album.camera.cover()
    await album.screen("wallet-scan", "/scan", "#app video")
    await album.screen("wallet-pay", "/pay")
    await album.screen("wallet-pay-amount", f"/pay?to=@{SHOP}", ".keypad")
    async with album.part("wallet-pay-consent"):
        await album.go(f"/pay?to=@{SHOP}&amount=2.50&memo=mangoes", ".consent")
        await album.take("wallet-pay-consent")
        await page.locator(".consent button").click()
        await expect(page.locator(".outcome[data-state=done]")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("wallet-paid")
        await page.locator("a[href^='#/payment/']").first.click()
        await page.wait_for_timeout(1_000)
        await album.take("wallet-payment")
    async with album.part("wallet-request"):
        await album.go("/", ".stub")
        await page.locator("a[href^='#/request/']").first.click()
        await album.take("wallet-request")
    month = moment_text(town.clock.now_ns())[:7]
    for name in ("receive", "ask", "cash", "activity", "messages", "notices", "settings", "security", "devices", "tills"):
        await album.screen(f"wallet-{name}", f"/{name}")
    await album.screen("wallet-month", f"/month/{month}")
    async with album.part("wallet-thread"):
        account = (await town.call(HOLDERS[album.language], "POST", "/v1/resolve", {"address": f"@{SHOP}"}))["account"]
        await album.go(f"/thread/{account}")
        await album.take("wallet-thread")
    async with album.part("wallet-payment-proven"):
        await album.go("/activity")
        rows = page.locator("a[href^='#/payment/']")
        await rows.nth(min(3, await rows.count() - 1)).click(timeout=PATIENCE_MS)
        await page.locator("main .low .button, main .button").first.click()
        await expect(page.locator("ol.steps")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("wallet-payment-proven")
    async with album.part("wallet-offline"):
        await page.context.set_offline(True)
        await album.go("/", ".stub")
        await page.wait_for_timeout(1_000)
        await album.take("wallet-offline")
    await page.context.set_offline(False)


async def till(album: Album) -> None:
    """A stall's counter: paired, a clerk signed in, a sale until it is paid, and the day."""
    page, town = album.page, album.town
    clerk = next(iter(CLERKS))
    made = await town.call(SHOP, "POST", "/v1/tills", {"id": town.new_id(), "name": f"Till {town.new_number()[-3:]}"})
    await page.goto(f"{town.base}/till/")
    await album.screen("till-pair", "/pair")
    await page.goto("about:blank")
    await page.goto(f"{town.base}{made['link']}")
    await page.locator("form .button-wide").click(timeout=PATIENCE_MS)
    await expect(page.locator(".people .row").first).to_be_visible(timeout=PATIENCE_MS)
    await album.take("till-people")
    await page.locator(".people .row", has_text=clerk).first.click()
    await album.take("till-pin")
    await page.fill("#pin", CLERK_PIN)
    await page.keyboard.press("Enter")
    await expect(page.locator(".clerk-name")).to_be_visible(timeout=PATIENCE_MS)
    await album.take("till-sell")
    async with album.part("till-charge"):
        if await page.locator(".sides").is_visible():
            await page.click(".sides button:first-child")
        for digit in "2.50":
            await page.click(f".keypad-sell button:text-is('{digit}')")
        await album.take("till-amount")
        await page.click(".charge-row .charge")
        await expect(page.locator(".till-qr[data-code] svg")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("till-charge")
        await town.pay(HOLDERS[album.language], await page.locator(".till-qr[data-code]").get_attribute("data-code") or "")
        await expect(page.locator(".paid")).to_be_visible(timeout=PATIENCE_MS)
        await album.take("till-paid")
    for name in ("sales", "day", "goods", "settings"):
        await album.screen(f"till-{name}", f"/{name}")
    async with album.part("till-sale"):
        await album.go("/sales")
        await page.locator("a[href^='#/sales/']").first.click(timeout=PATIENCE_MS)
        await album.take("till-sale")


WALKS: dict[str, Callable[[Album], Awaitable[None]]] = {
    "wallet": wallet,
    "till": till,
    "basic": basic,
    "staff": staff,
    "": everybody,
}
"""By how the names of their pictures begin; what everybody sees has none."""


async def walk(town: Town, browser: Browser, camera: Camera, only: str, size: str, language: str, theme: Theme) -> Album:
    """All pictures of one size, language and theme."""
    suffix = f"{size}.{language}.{theme}"
    async with device(browser, size=SIZES[size], language=language, theme=theme, camera=True, reduced_motion="reduce") as context:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        album = Album(town, page, camera, language=language, suffix=suffix, only=only)
        for name, part in WALKS.items():
            if album.wants(name):
                async with album.part(name or "everybody"):
                    await part(album)
        return album


async def run(only: str) -> list[Album]:
    """All walks, a few beside each other."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    (FOLDER / ".gitignore").write_text("*\n", "utf-8")
    combinations = [(size, language, theme) for size in SIZES for language in LANGUAGES for theme in THEMES]
    taking_turns = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory(prefix="counterfoil-camera-") as folder:
        async with town() as found, camera_browser(Path(folder)) as (browser, camera):

            async def one(size: str, language: str, theme: Theme) -> Album:
                async with taking_turns:
                    return await walk(found, browser, camera, only, size, language, theme)

            return await asyncio.gather(*[one(*each) for each in combinations])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.screenshots", description="Pictures every page of a demo town.")
    parser.add_argument("--only", metavar="NAME", default="", help="those whose name begins so, such as wallet or till-sell")
    began = time.monotonic()
    albums = asyncio.run(run(parser.parse_args(arguments).only))
    print(f"{sum(album.taken for album in albums)} pictures in {FOLDER.relative_to(ROOT)}/, in {time.monotonic() - began:.0f} s")
    missed = [line for album in albums for line in album.missed]
    for line in missed:
        print(f"not taken: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
