"""The devices that people hold: two sizes, the languages, both themes, and a camera that sees what a test shows it.

async with device(browser, size=PHONE, language="ko", theme="dark") as context:
    page = await context.new_page()

async with camera_browser(folder) as (browser, camera):
    camera.show("00020101...")                                 # before the page opens its camera
    async with device(browser, camera=True) as context: ...    # camera=False: the person refuses it
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import segno
from playwright.async_api import Browser, BrowserContext, Error, ViewportSize, async_playwright

PHONE: ViewportSize = {"width": 360, "height": 640}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SIZES = {"360x640": PHONE, "1280x800": DESKTOP}
LOCALES = {"en": "en-GB", "ko": "ko-KR", "fr": "fr-FR"}
ARGUMENTS = ["--no-sandbox"]
"""Without a sandbox of its own: in containers it cannot have one, and it sees only our own pages here."""

WITHOUT_ED25519 = """for (const name of ["importKey", "generateKey"]) {
  const own = SubtleCrypto.prototype[name];
  SubtleCrypto.prototype[name] = function (...given) {
    const unknown = given.some((each) => each === "Ed25519" || each?.name === "Ed25519");
    return unknown ? Promise.reject(new DOMException("Algorithm: Unrecognized name", "NotSupportedError")) : own.apply(this, given);
  };
}"""
"""A script that makes of this browser one from before WebCrypto had Ed25519: Chromium until 136, Firefox until 128, Safari until 16."""

Theme = Literal["light", "dark"]

FRAME = (640, 480)
"""Pixels of the camera's picture."""
FRAMES_PER_S = 5


def chromium(*, camera: bool = False) -> str:
    """Debian's Chromium. Skips the test, in plain sight, where there is none.

    Without a camera it is the one that has no window to draw, where that is installed: it takes half the processor's time.
    """
    program = (None if camera else shutil.which("chromium-headless-shell")) or shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on PATH: see debian-packages.txt")
    return program


@asynccontextmanager
async def device(
    browser: Browser,
    *,
    size: ViewportSize = PHONE,
    language: str = "en",
    theme: Theme = "light",
    camera: bool = False,
    **options: Any,
) -> AsyncIterator[BrowserContext]:
    """A device of somebody who prefers this language and theme, with storage of its own.

    `camera`: whether its pages may use the camera. Without, it is refused where the browser has one, and absent elsewhere.
    """
    given: dict[str, Any] = {"viewport": size, "locale": LOCALES[language], "color_scheme": theme, "has_touch": size is PHONE}
    context = await browser.new_context(**(given | options))
    if camera:
        await context.grant_permissions(["camera"])
    told: list[str] = []
    context.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    context.on("requestfailed", lambda request: told.append(f"failed: {request.method} {request.url} {request.failure}"))
    try:
        yield context
    except Exception:
        await _tell_what_it_shows(context, told)
        raise
    finally:
        await put_away(context)


async def _tell_what_it_shows(context: BrowserContext, told: list[str]) -> None:
    """For whoever reads why a test failed: what the pages say, and what the browser had to say last."""
    for page in context.pages:
        with contextlib.suppress(Error):
            print(f"\n{page.url} showed:\n{await page.locator('body').inner_text(timeout=2_000)}")
    print("\n".join(["The browser said last:", *told[-20:]]))


async def put_away(context: BrowserContext) -> None:
    """Closes a device. What a test's routes are still answering for its pages is not a failure of the test that comes next."""
    for page in context.pages:
        await page.unroute_all(behavior="ignoreErrors")
    await context.unroute_all(behavior="ignoreErrors")
    await context.close()


class Camera:
    """What the camera of a browser sees. A page sees the change when it opens the camera the next time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.cover()

    def show(self, *texts: str, seconds: float = 1.0) -> None:
        """Shows QR codes, each for `seconds`, over and over."""
        self._write([_picture(text) for text in texts], seconds)

    def cover(self) -> None:
        """Shows a grey wall."""
        self._write([bytes([128]) * (FRAME[0] * FRAME[1])], 1)

    def _write(self, pictures: list[bytes], seconds: float) -> None:
        width, height = FRAME
        grey = bytes([128]) * (width * height // 2)  # both colour planes
        frames = b"".join(b"FRAME\n" + picture + grey for picture in pictures for _ in range(max(1, round(seconds * FRAMES_PER_S))))
        data = f"YUV4MPEG2 W{width} H{height} F{FRAMES_PER_S}:1 Ip A1:1 C420jpeg\n".encode() + frames
        other = self.file.with_suffix(".new")
        other.write_bytes(data)
        other.replace(self.file)  # a page that has the camera open keeps the picture that it has


def _picture(text: str) -> bytes:
    """The luma plane of a frame: the code, upright, as large as fits."""
    width, height = FRAME
    code = segno.make_qr(text, encoding="utf-8", error="m", boost_error=False)
    modules = [bytes(row) for row in code.matrix_iter(border=4)]
    scale = height // len(modules)
    assert scale >= 3, "too much for a code that this camera can read"
    side = scale * len(modules)
    left, top = (width - side) // 2, (height - side) // 2
    blank = bytes([200]) * width
    lines = [blank] * top
    for row in modules:
        line = b"".join((b"\x10" if dark else b"\xeb") * scale for dark in row)
        lines += [bytes([200]) * left + line + bytes([200]) * (width - left - side)] * scale
    return b"".join([*lines, *[blank] * (height - len(lines))])


@asynccontextmanager
async def camera_phone(folder: Path, **options: Any) -> AsyncIterator[tuple[BrowserContext, Camera]]:
    """A phone with a camera whose browser keeps what it has in `folder`, as people's do.

    A browser's other contexts are private windows: they keep everything in memory, and fetch a page's icon anew for each address.
    """
    camera = Camera(folder / "camera.y4m")
    given: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "permissions": ["camera"]}
    async with async_playwright() as playwright:
        phone = await playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=chromium(camera=True),
            args=_with(camera),
            **(given | options),
        )
        try:
            yield phone, camera
        finally:
            await phone.close()


@asynccontextmanager
async def camera_browser(folder: Path) -> AsyncIterator[tuple[Browser, Camera]]:
    """A browser process of its own, with a camera. The file that it sees is kept in `folder`."""
    camera = Camera(folder / "camera.y4m")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(camera=True), args=_with(camera))
        try:
            yield browser, camera
        finally:
            await browser.close()


def _with(camera: Camera) -> list[str]:
    return [*ARGUMENTS, "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera.file}"]
