"""That the checks of pages find what they are for: a page with each fault, and one with none."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.audit import audit, english, tidy
from tests.browser.conftest import HOST, serve_static
from tests.browser.device import DESKTOP, PHONE, Camera, device

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = """
<main>
  <h1>Pay</h1>
  <style>
    * { box-sizing: border-box } body { margin: 0; font: 17px/1.5 sans-serif } button, .wide { min-height: 48px; min-width: 48px }
    .cut { width: 5rem; overflow: hidden; white-space: nowrap } .off { position: absolute; width: 1px; height: 1px; overflow: hidden }
    label { display: block; padding: 12px }
  </style>
  <p>A sentence with <a href="#there">a link</a> in it. <span class="off">For those who listen: a very long sentence indeed.</span></p>
  <button type="button">Pay</button>
  <label><input type="checkbox"> Remember</label>
  <div style="overflow-x: auto" tabindex="0" role="group" aria-label="Wide"><div class="wide" style="width: 900px">Wide</div></div>
</main>
"""


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with device(browser, size=PHONE) as context:
        found = await context.new_page()
        await serve_static(found)
        await found.evaluate("document.documentElement.lang = 'en'")
        yield found


async def put(page: Page, html: str) -> None:
    await page.evaluate("(html) => { document.body.innerHTML = html; }", html)


async def test_a_good_page_passes(page: Page) -> None:
    await put(page, GOOD)
    await audit(page)
    await tidy(page)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ('<p style="color: #aaa; background: #fff">Pale</p>', "color-contrast"),
        ('<button type="button" style="width: 48px"></button>', "button-name"),
        ('<input class="wide">', "label"),
        ('<p><img src="data:,"></p>', "image-alt"),
        ("<h4>Deep</h4>", "heading-order"),
        ('<div role="buton">x</div>', "aria-roles"),
    ],
)
async def test_axe_finds(page: Page, fault: str, found: str) -> None:
    await put(page, GOOD.replace("</main>", f"{fault}</main>"))
    with pytest.raises(AssertionError, match=found):
        await audit(page)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ('<p style="width: 400px">Wide</p>', "wider than the screen"),
        ('<p style="white-space: nowrap">One line that is much longer than a narrow screen can ever show to anybody</p>', "wider"),
        ('<p class="cut">Settlement account</p>', "cut off: p.cut"),
        ('<p style="height: 20px; overflow: hidden">Two<br>lines</p>', "cut off below"),
        ('<button type="button" style="width: 60px; white-space: nowrap">Ask for money</button>', "cut off: button"),
        ('<button type="button" style="min-height: 0; height: 30px">Pay</button>', "too small to touch, .*x30"),
        ('<p><a href="#x">Alone</a></p>', "too small to touch"),
        ('<label style="padding: 0"><input type="radio"> One</label>', "too small to touch"),
        ('<input value="a very long value indeed, and longer" class="wide" style="width: 90px">', "more in it than it shows"),
    ],
)
async def test_tidy_finds(page: Page, fault: str, found: str) -> None:
    await put(page, GOOD.replace("</main>", f"{fault}</main>"))
    with pytest.raises(AssertionError, match=found):
        await tidy(page)


async def test_an_exception_is_named_with_its_reason(page: Page) -> None:
    await put(page, GOOD.replace("</main>", '<p class="cut">Settlement account</p></main>'))
    await tidy(page, cut={".cut": "the whole name stands on the page behind it"})
    with pytest.raises(AssertionError, match="reason"):
        await tidy(page, cut={".cut": ""})


async def test_english_words_of_the_catalogue_are_found_and_names_are_not(page: Page) -> None:
    await page.evaluate("document.documentElement.lang = 'ko'")
    await put(page, '<main><h1 title="Sign out">Sally Accounts</h1><p>PIN QR 3분 sally@money.example</p></main>')
    with pytest.raises(AssertionError, match=r"English left \(Accounts\)") as told:
        await tidy(page, catalogue="pages", names=["Sally"])
    assert "title of h1" in str(told.value)
    await page.evaluate("document.querySelector('h1').removeAttribute('title')")
    await tidy(page, catalogue="pages", names=["Sally Accounts"])
    assert english([["Accounts", "p"]], "pages", []) != []
    assert english([["C6AS-W8DC-DR47", "p"], ["3as9 in2", "p"]], "pages", []) == [], "codes can have any letters"


async def test_the_camera_sees_what_it_is_shown(seeing: tuple[Browser, Camera]) -> None:
    browser, camera = seeing
    async with device(browser, camera=True) as context:
        page = await context.new_page()
        await serve_static(page)
        assert await page.evaluate(SCAN) == []
        for text in ("hello", "0002" + "9" * 300):
            camera.show(text)
            assert await page.evaluate(SCAN) == [text]
        camera.show("one", "two", seconds=0.4)
        assert sorted(await page.evaluate(SCAN)) == ["one", "two"]
    async with device(browser, camera=False) as context:
        page = await context.new_page()
        await serve_static(page)
        assert await page.evaluate(SCAN) == "NotAllowedError"


async def test_a_browser_without_a_camera_says_so(page: Page) -> None:
    assert await page.evaluate(SCAN) == "NotFoundError"


async def test_a_device_has_its_size_language_and_theme(browser: Browser) -> None:
    told = "[innerWidth, innerHeight, navigator.language, matchMedia('(prefers-color-scheme: dark)').matches, navigator.maxTouchPoints > 0]"
    async with device(browser, size=DESKTOP, language="ko", theme="dark") as context:
        page = await context.new_page()
        await serve_static(page)
        assert page.url.startswith(HOST)
        assert await page.evaluate(told) == [1280, 800, "ko-KR", True, False]
    async with device(browser) as context:
        assert await (await context.new_page()).evaluate(told) == [360, 640, "en-GB", False, True]


SCAN = """async () => {
  const { decodeQR } = await import('/static/vendor/qr/decode.js');
  const video = document.createElement('video');
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    return error.name;
  }
  await video.play();
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const picture = canvas.getContext('2d');
  const texts = new Set();
  for (let tries = 0; tries < 15; tries++) {
    picture.drawImage(video, 0, 0);
    try {
      texts.add(decodeQR(picture.getImageData(0, 0, canvas.width, canvas.height)));
    } catch {
      // no code in this frame
    }
    await new Promise((resume) => setTimeout(resume, 100));
  }
  video.srcObject.getTracks().forEach((track) => track.stop());
  return [...texts];
}"""
