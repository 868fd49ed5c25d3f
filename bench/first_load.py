"""What the wallet and the till cost on slow networks: bytes, requests and seconds until the first screen.

python -m bench.first_load              measure, print, and write the table into docs/reference/first-load.md
python -m bench.first_load --quick      once each, fast networks only, and write nothing: whether it works

In Debian's Chromium with its throttling: a latency before each answer, a rate for all together, and a processor six times
slower than this one. Not in it: finding the server's address and TLS, two or three more round trips at the very first time.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from bench.payments import server
from tests.browser.device import ARGUMENTS, PHONE, chromium, device

PAGE = Path(__file__).parent.parent / "docs/reference/first-load.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
APPS = ("wallet", "till")
SLOWDOWN = 6
"""How many times slower than this machine's a phone's processor is taken to be. Source: Chromium's own preset for low-end phones."""
RUNS = 3
WAIT_S = 120

FIRST_SCREEN = """
globalThis.firstScreen = new Promise((shown) => {
  new MutationObserver((_, observer) => {
    if (!document.querySelector('#app h1')) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => shown(performance.now())));
  }).observe(document, { childList: true, subtree: true });
});
"""
CONTROLLED = """new Promise((controlled) => {
  if (navigator.serviceWorker.controller) controlled();
  else navigator.serviceWorker.addEventListener('controllerchange', () => controlled());
})"""


class Profile(msgspec.Struct, frozen=True):
    """A network. `rate`: bits a second, in each direction; `latency_ms`: from a request to its answer's first byte, at least."""

    name: str
    rate: int
    latency_ms: int

    def __str__(self) -> str:
        return f"{self.name}, {self.rate // 1_000} kbit/s, {self.latency_ms:,} ms"


PROFILES = (
    Profile("Worst", 50_000, 1_000),
    Profile("GPRS", 50_000, 700),
    Profile("EDGE", 200_000, 400),
    Profile("3G", 750_000, 150),
)


class Load(msgspec.Struct, frozen=True):
    """One opening of an app: seconds until its first screen, and what came over the network until then."""

    seconds: float
    requests: int
    bytes: int


class Traffic:
    """What a page has fetched over the network so far; what its service worker or the cache had does not count."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self._local: set[str] = set()

    async def watch(self, chromium_: CDPSession) -> None:
        chromium_.on("Network.responseReceived", self._received)
        chromium_.on("Network.requestServedFromCache", lambda event: self._local.add(event["requestId"]))
        chromium_.on("Network.loadingFinished", self._finished)
        await chromium_.send("Network.enable")

    def _received(self, event: dict[str, Any]) -> None:
        response = event["response"]
        if response.get("fromServiceWorker") or response.get("fromDiskCache") or not response["url"].startswith("http"):
            self._local.add(event["requestId"])

    def _finished(self, event: dict[str, Any]) -> None:
        if event["requestId"] not in self._local:
            self.requests += 1
            self.bytes += int(event["encodedDataLength"])


async def opened(page: Page, address: str, profile: Profile) -> Load:
    """Opens an app on a slow network and processor."""
    throttle = await page.context.new_cdp_session(page)
    traffic = Traffic()
    await traffic.watch(throttle)
    conditions = {
        "offline": False,
        "latency": profile.latency_ms,
        "downloadThroughput": profile.rate / 8,
        "uploadThroughput": profile.rate / 8,
    }
    await throttle.send("Network.emulateNetworkConditions", conditions)
    await throttle.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    await page.add_init_script(FIRST_SCREEN)
    await page.goto(address, wait_until="commit", timeout=WAIT_S * 1_000)
    async with asyncio.timeout(WAIT_S):
        seen_ms: float = await page.evaluate("globalThis.firstScreen")
    load = Load(seen_ms / 1_000, traffic.requests, traffic.bytes)
    await throttle.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    await throttle.detach()
    return load


async def first_and_second(browser: Browser, address: str, profile: Profile) -> tuple[Load, Load]:
    """The first load on a new phone, and the next one, when the service worker has everything."""
    async with device(browser, size=PHONE) as phone:
        page = await phone.new_page()
        first = await opened(page, address, profile)
        await page.close()
        page = await phone.new_page()
        await page.goto(address)
        async with asyncio.timeout(WAIT_S):
            await page.evaluate(CONTROLLED)
        await page.close()
        page = await phone.new_page()
        return first, await opened(page, address, profile)


async def kept_for_later(base: str, app: str) -> tuple[int, int]:
    """Files and bytes, compressed, that the service worker fetches behind the first screen, so that the app works offline."""
    async with httpx2.AsyncClient(base_url=base, headers={"Accept-Encoding": "br"}) as client:
        text = (await client.get(f"/{app}/sw.js")).text
        files: dict[str, str] = msgspec.json.decode(text[text.index("{") : text.index("};\n") + 1])["files"]
        return len(files), sum([int((await client.get(path)).headers["content-length"]) for path in files])


async def measure(port: int, profiles: tuple[Profile, ...], runs: int) -> list[str]:
    """The lines of the table."""
    base = f"http://localhost:{port}"
    lines = [
        "| App | Network | First time: seconds | requests | bytes | Again: seconds | requests | bytes |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(camera=True), args=ARGUMENTS)
        for app in APPS:
            for profile in profiles:
                sys.stderr.write(f"{app}, {profile} ...\n")
                loads = [await first_and_second(browser, f"{base}/{app}/", profile) for _ in range(runs)]
                cells = [cell for pick in (0, 1) for cell in _cells([load[pick] for load in loads])]
                lines.append(f"| {app.capitalize()} | {profile} | {' | '.join(cells)} |")
        version = browser.version
        await browser.close()
    lines.append("")
    for app in APPS:
        count, size = await kept_for_later(base, app)
        lines.append(f"Behind its first screen the {app} fetches what it needs to work offline: {count} files, {size:,} bytes in all.")
    machine = f"{platform.machine()}, Chromium {version.split('.')[0]}, processor slowed down {SLOWDOWN} times"
    return [*lines, "", f"Medians of {runs}, in brackets the slowest; {machine}."]


def _cells(loads: list[Load]) -> list[str]:
    seconds = [load.seconds for load in loads]
    return [
        f"{statistics.median(seconds):.1f} ({max(seconds):.1f})",
        str(round(statistics.median(load.requests for load in loads))),
        f"{round(statistics.median(load.bytes for load in loads)):,}",
    ]


def write_between_markers(page: Path, begin: str, end: str, lines: list[str]) -> None:
    """Puts `lines` in place of what stands between two markers of a page."""
    text = page.read_text("utf-8")
    assert text.count(begin) == text.count(end) == 1, f"{page} has no place for it"
    page.write_text("\n".join([text[: text.index(begin)] + begin, *lines, text[text.index(end) :]]), "utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.first_load", description="Measures the first load on slow networks.")
    parser.add_argument("--quick", action="store_true", help="once each, on the fastest of the networks; writes nothing")
    quick = parser.parse_args(arguments).quick
    with server(people=1) as running:
        lines = asyncio.run(measure(running.port, PROFILES[-1:] if quick else PROFILES, 1 if quick else RUNS))
    print("\n".join(lines))
    if not quick:
        write_between_markers(PAGE, BEGIN, END, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
