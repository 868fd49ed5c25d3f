"""The pictures of one size, language and theme, and what was found wrong on their pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Error, Page, Request, expect

from scripts.pictures.town import Town
from tests.browser.audit import audit, tidy
from tests.browser.device import Camera

FOLDER = Path(__file__).resolve().parents[2] / "screenshots"
PATIENCE_MS = 60_000
"""For a page to come. Machines that do other things meanwhile are slow, and a picture that is missing costs a whole walk."""
CALM_MS = 400
"""A page is whole when nothing on it has changed for so long, and nothing is being fetched."""
RESTLESS_MS = 15_000
"""A page that never comes to rest is pictured after that."""
CUT = {
    ".one-line": "the beginning of a message",
    ".clerk-name": "a long name",
    ".bar h1": "a long name of a shop",
    ".goods-name": "goods with a very long name",
}
"""What may be cut off, and why."""
SMALL = {"table.rows a": "lines of a table, 24 pixels high as WCAG 2.2 §2.5.8 asks"}
"""What may be small to touch, and why."""
ASKED_FOREVER = ("/events",)
"""Requests that stay open."""

CALM = """({ calm, restless }) => new Promise((resolve) => {
  const began = performance.now();
  let changed = began;
  const observer = new MutationObserver(() => { changed = performance.now(); });
  observer.observe(document.documentElement, { subtree: true, childList: true, attributes: true, characterData: true });
  const busy = () => document.querySelector('[aria-busy=true], .toast') || document.fonts.status !== 'loaded'
    || [...document.images].some((image) => !image.complete);
  const look = () => {
    const now = performance.now();
    if ((!busy() && now - changed >= calm) || now - began >= restless) {
      observer.disconnect();
      resolve();
    } else setTimeout(look, 50);
  };
  look();
})"""


class Album:
    """The pictures of one walk.

    Args:
        only: how the names of those that are wanted begin.
        audited: whether axe-core and the rules of `tests.browser.audit` are asked on every page, too.
        whole: whether a page is pictured to its end; else what a person sees without scrolling.
    """

    def __init__(
        self, town: Town, page: Page, camera: Camera, *, language: str, suffix: str, only: str, audited: bool, whole: bool
    ) -> None:
        self.town = town
        self.page = page
        self.camera = camera
        self.language = language
        self.suffix = suffix
        self.only = only
        self.audited = audited
        self.whole = whole
        self.taken = 0
        self.missed: list[str] = []
        self.faults: list[str] = []
        self._asked: set[Request] = set()
        page.on("request", self._request)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)
        page.on("pageerror", self._broken)

    def _request(self, request: Request) -> None:
        if not request.url.split("?")[0].endswith(ASKED_FOREVER):
            self._asked.add(request)

    def _answered(self, request: Request) -> None:
        self._asked.discard(request)

    def _broken(self, error: Error) -> None:
        self.faults.append(f"error on {self.page.url.split('?')[0].removeprefix(self.town.base)}.{self.suffix}: {error.message}")

    async def take(self, name: str) -> None:
        """Pictures what is shown, once it is whole."""
        if not name.startswith(self.only):
            return
        await self.page.mouse.move(0, 0)  # nothing is hovered
        await self.calm()
        size = self.page.viewport_size
        assert size is not None
        if self.whole:
            # A screen as high as all of it, so that what is fixed to the bottom stands there.
            high = max(size["height"], await self.page.evaluate("document.documentElement.scrollHeight"))
            await self.page.set_viewport_size({"width": size["width"], "height": high})
        await self.page.screenshot(path=self.path(name), animations="disabled")
        await self.page.set_viewport_size(size)
        self.taken += 1
        if self.audited:
            await self._look(name)

    def path(self, name: str) -> Path:
        """Where the picture of this name is kept."""
        return FOLDER / f"{name}.{self.suffix}.png"

    async def _look(self, name: str) -> None:
        for looked in (audit(self.page), tidy(self.page, cut=CUT, small=SMALL)):
            try:
                await looked
            except AssertionError as error:
                self.faults += [f"{name}.{self.suffix}: {line}" for line in str(error).splitlines()[1:]]

    async def calm(self) -> None:
        """Waits until the page is whole: nothing is fetched, and nothing changes any more."""
        async with asyncio.timeout(PATIENCE_MS / 1_000):
            waited_s = 0.0
            while self._asked and waited_s * 1_000 < RESTLESS_MS:
                await asyncio.sleep(0.05)
                waited_s += 0.05
            await self.page.evaluate(CALM, {"calm": CALM_MS, "restless": RESTLESS_MS})

    @asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[None]:
        """What goes wrong inside is told at the end, and the walk goes on. A part of which nothing is wanted may be left out by then."""
        try:
            yield
        except (AssertionError, Error, TimeoutError) as error:
            self.missed.append(f"{name}.{self.suffix}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")

    async def open(self, name: str, address: str, *, status: int = 200) -> None:
        """A page made on the server, which answers with this status."""
        async with self.part(name):
            answer = await self.page.goto(self.town.base + address, wait_until="load")
            assert answer is not None
            assert answer.status == status, f"{address} answered {answer.status}"
            await self.take(name)

    async def screen(self, name: str, address: str, ready: str = "#app h1") -> None:
        """A screen of an app that is open: `address` is what stands behind the #."""
        async with self.part(name):
            await self.go(address, ready)
            await self.take(name)

    async def go(self, address: str, ready: str = "#app h1") -> None:
        await self.page.evaluate("(address) => { location.hash = `#${address}`; }", address)
        await self.calm()
        await expect(self.page.locator(ready).first).to_be_visible(timeout=PATIENCE_MS)
