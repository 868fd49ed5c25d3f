"""The proof pages as people use them: with a pointer, a keyboard, a small screen, without a network, and without being sent anywhere."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from counterfoil.i18n import Language
from counterfoil.ids import id_text
from counterfoil.web.proof_words import words
from tests.browser.device import WITHOUT_ED25519
from tests.browser.forge import WITNESSES
from tests.payments.publish.logbook import ORIGIN
from tests.web.logged import LoggedSite, logged, policy

STATIC = Path(__file__).parents[2] / "src/counterfoil/web/static/proof"
asynchronous = pytest.mark.asyncio(loop_scope="module")


class Shown:
    """Two receipts of one account's, one after the other."""

    def __init__(self, site: LoggedSite, receipts: list[str], codes: list[str]) -> None:
        self.site = site
        self.first, self.second = receipts
        self.code = codes[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    async with logged(tmp_path_factory.mktemp("scheme")) as site:
        payer, payee = await site.scheme.customer("Rose", funds=900_000), await site.scheme.customer("Joon")
        paid = [(await payer.pay(payee, amount)).payment.id for amount in (7_000, 123_456)]
        site.settle()
        views = [await site.ok(payer, "GET", f"/v1/payments/{id_text(each)}/proof") for each in paid]
        yield Shown(site, [view["proof"] for view in views], [view["qr"] for view in views])


@asynccontextmanager
async def opened_page(browser: Browser, shown: Shown, path: str = "/proof/check", script: str = "", **options: Any) -> AsyncIterator[Page]:
    """A page, loaded and then without a network; nothing may be asked for or complained about after that."""
    context = await browser.new_context(**({"locale": "en"} | options))
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.text} {message.location['url']}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    if script:
        await page.add_init_script(script)
    await page.goto(f"http://127.0.0.1:{shown.site.port}{path}", wait_until="networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await context.set_offline(True)
    try:
        yield page
    finally:
        await context.close()
    # The browser fetches the icon in its tab when it likes.
    assert [each for each in asked + complaints if not each.endswith("/static/mark.svg")] == []


async def check(page: Page, receipt: str) -> str:
    await page.fill("#receipt", receipt)
    await page.click("button[type=submit]")
    return await verdict(page)


async def verdict(page: Page) -> str:
    await expect(page.locator("#verdict")).to_be_focused()
    return await page.inner_text("#verdict")


async def fields(page: Page) -> dict[str, str]:
    names, values = await page.locator("#fields dt").all_inner_texts(), await page.locator("#fields dd").all_inner_texts()
    return dict(zip(names, values, strict=True))


@asynchronous
async def test_a_pasted_receipt_is_proven_step_by_step_without_a_network(browser: Browser, shown: Shown) -> None:
    async with opened_page(browser, shown) as page:
        for pasted in (shown.second, shown.second.strip(), f"\n  {shown.second}\n\n", shown.second.replace("\n", "\r\n"), shown.code):
            assert await check(page, pasted) == "Proven"
        assert await page.locator("#steps .mark").all_inner_texts() == ["proven"] * 7
        told = await fields(page)
        assert (told["Amount"], told["Direction"]) == ("1,234.56 USD", "out")
        assert re.fullmatch(r"7,69\d\.\d\d USD", told["Balance after it"])
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", told["When (UTC)"])
        steps = await page.inner_text("#steps")
        assert all(witness.name in steps for witness in WITNESSES[:4])


@asynchronous
async def test_a_changed_receipt_says_which_step_is_false_and_tells_nothing_of_it(browser: Browser, shown: Shown) -> None:
    index = re.search(r"\nindex (\d+)\n", shown.second)
    assert index is not None
    async with opened_page(browser, shown) as page:
        assert await check(page, shown.second) == "Proven"
        changed = shown.second.replace(index[0], f"\nindex {int(index[1]) - 1}\n")
        assert await check(page, changed) == "Not proven: step 6 is false"
        marks = await page.locator("#steps .mark").all_inner_texts()
        assert marks == ["proven"] * 5 + ["false", "not reached"]
        assert "this payment is not in the log" in await page.inner_text("#steps .bad")
        assert not await page.is_visible("#says")
        assert await page.inner_html("#fields") == ""
        assert await check(page, "hello") == "Cannot be checked: step 1"


@asynchronous
async def test_the_holders_own_list_counts_and_not_the_operators(browser: Browser, shown: Shown, tmp_path: Path) -> None:
    async with opened_page(browser, shown) as page:
        assert await page.input_value("#policy") == policy()
        await page.click("text=Whom you trust")
        own = tmp_path / "policy.txt"
        own.write_text(policy(quorum=5))
        await page.set_input_files("#policy-file", own)
        assert await check(page, shown.second) == "Not proven: step 4 is false"
        assert "Only 4 of the witnesses that you trust confirmed it; 5 are needed." in await page.inner_text("#steps .bad")
        await page.fill("#policy", "log nobody\n")
        assert await check(page, shown.second) == "Cannot be checked: step 2"


@asynchronous
async def test_a_file_is_checked_as_it_is(browser: Browser, shown: Shown, tmp_path: Path) -> None:
    async with opened_page(browser, shown) as page:
        for data, expected in [
            (shown.second.encode(), "Proven"),
            (shown.code.encode(), "Proven"),
            (shown.second.replace("\n", "\r\n").encode(), "Cannot be checked: step 1"),
            (b"\xef\xbb\xbf" + shown.second.encode(), "Cannot be checked: step 1"),
            (shown.second.encode() + b"\n", "Cannot be checked: step 1"),
        ]:
            file = tmp_path / "receipt.tlog-proof"
            file.write_bytes(data)
            await page.evaluate("document.activeElement.blur()")
            await page.set_input_files("#file", file)
            assert await verdict(page) == expected
        (tmp_path / "picture.bin").write_bytes(b"\xff\xfe\x00")
        await page.set_input_files("#file", tmp_path / "picture.bin")
        await expect(page.locator("#hint")).not_to_be_empty()
        assert await page.inner_text("#hint") == "This file is not a receipt."


@asynchronous
async def test_two_receipts_show_that_nothing_lies_between_them(browser: Browser, shown: Shown) -> None:
    async with opened_page(browser, shown) as page:
        await page.click("text=Does nothing lie between two receipts?")
        await page.fill("#before", shown.first)
        assert await check(page, shown.second) == "Proven"
        assert "directly after the other, and 8,930." in await page.inner_text("#steps li:last-child")
        await page.fill("#before", shown.second)
        assert await check(page, shown.first) == "Proven"  # of its own
        assert await page.inner_text("#steps li:last-child .mark") == "cannot be checked"


CODE_READER = """
globalThis.BarcodeDetector = class {
  static getSupportedFormats() { return Promise.resolve(['qr_code']); }
  detect(source) { return Promise.resolve([{rawValue: 'https://elsewhere.example'}, {rawValue: '%s'}].slice(0, globalThis.codes ?? 2)); }
};
navigator.mediaDevices.getUserMedia = async () => {
  const canvas = document.createElement('canvas');
  const picture = canvas.getContext('2d');
  setInterval(() => picture.fillRect(0, 0, Math.random() * 100, 100), 50);
  return globalThis.stream = canvas.captureStream(5);
};
"""
"""A camera in front of a QR code, and a reader, as some browsers have it."""


@asynchronous
async def test_a_qr_code_in_front_of_the_camera_is_read_and_the_camera_let_go(browser: Browser, shown: Shown) -> None:
    async with opened_page(browser, shown, script=CODE_READER % shown.code) as page:
        await page.evaluate("globalThis.codes = 1")
        await page.click("#scan")
        await page.wait_for_selector("#video", state="visible")
        await page.evaluate("globalThis.codes = 2")
        assert await verdict(page) == "Proven"
        assert not await page.is_visible("#video")
        assert await page.evaluate("stream.getTracks().every((track) => track.readyState === 'ended')")


@asynchronous
async def test_without_a_code_reader_or_a_camera_the_page_says_what_to_do(browser: Browser, shown: Shown) -> None:
    none = "delete globalThis.BarcodeDetector"
    broken = CODE_READER % "" + "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));"
    for script, told in [(none, "This browser cannot read QR codes."), (broken, "The camera cannot be used.")]:
        async with opened_page(browser, shown, script=script) as page:
            await page.click("#scan")
            await expect(page.locator("#hint")).not_to_be_empty()
            assert (await page.inner_text("#hint")).startswith(told)


@asynchronous
async def test_a_browser_that_cannot_check_says_so(browser: Browser, shown: Shown) -> None:
    script = "Object.defineProperty(Crypto.prototype, 'subtle', { get: () => undefined });"
    async with opened_page(browser, shown, script=script) as page:
        assert await check(page, shown.second) == "This browser cannot check receipts"
        assert not await page.is_visible("#says")


@asynchronous
async def test_a_browser_without_ed25519_checks_as_well(browser: Browser, shown: Shown) -> None:
    async with opened_page(browser, shown, script=WITHOUT_ED25519) as page:
        assert await check(page, shown.second) == "Proven"
        head, line, rest = shown.second.partition(f"\n\u2014 {ORIGIN} ")
        forged = base64.b64encode((data := base64.b64decode(rest.split("\n")[0]))[:-1] + bytes([data[-1] ^ 1])).decode()
        assert await check(page, "".join([head, line, forged, "\n", rest.partition("\n")[2]])) == "Not proven: step 3 is false"


@asynchronous
async def test_everything_can_be_done_with_the_keyboard(browser: Browser, shown: Shown) -> None:
    async with opened_page(browser, shown) as page:
        reached = []
        for _ in range(14):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        order = ["To the content", "receipt", "Check", "file", "scan", "Does nothing lie between two receipts?", "Whom you trust"]
        assert [each for each in reached if each in order][: len(order)] == order
        await page.focus("#receipt")
        await page.keyboard.insert_text(shown.code)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await verdict(page) == "Proven"


@asynchronous
@pytest.mark.parametrize("language", ["en", "ko", "fr"])
@pytest.mark.parametrize("path", ["/proof", "/proof/check"])
async def test_a_small_phone_shows_it_whole_in_every_language(browser: Browser, shown: Shown, path: str, language: str) -> None:
    size = {"width": 360, "height": 740}
    async with opened_page(browser, shown, f"{path}?lang={language}", viewport=size, locale=language) as page:
        if path == "/proof/check":
            assert await check(page, shown.second)
            shown_words = await page.inner_text("main")
            assert all(word not in shown_words for word in ("undefined", "%(", "null", "NaN"))
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        small = await page.evaluate(
            "[...document.querySelectorAll('button, .button, .file, summary')].filter((e) => e.getClientRects().length)"
            ".filter((e) => e.getBoundingClientRect().height < 36).map((e) => e.textContent)"
        )
        assert small == []


@asynchronous
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, shown: Shown, scheme: str) -> None:
    """Source: WCAG 2.2, 1.4.3: contrast of at least 4.5."""
    for path in ("/proof", "/proof/check"):
        async with opened_page(browser, shown, path, color_scheme=scheme) as page:
            if path == "/proof/check":
                await check(page, shown.second.replace("\nindex ", "\nindex 9"))
            assert await page.evaluate(LOW_CONTRAST) == []


LOW_CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } };
  const texts = [...document.querySelectorAll('body *')].filter((e) => e.getClientRects().length && !e.closest('script, svg') &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
  if (texts.length < 20) return ['hardly any text'];
  return texts.map((e) => {
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    return [e.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
  }).filter(([, ratio]) => ratio < 4.5);
}"""


@asynchronous
async def test_the_picture_has_words_for_those_who_do_not_see_it(browser: Browser, shown: Shown) -> None:
    async with opened_page(browser, shown, "/proof") as page:
        name = await page.get_by_role("img").evaluate("(e) => document.getElementById(e.getAttribute('aria-labelledby')).textContent")
        assert re.search(r"Entries in each ten minutes of the last six hours, at most \d+\. Ten minutes without a confirmation: 0\.", name)
        await page.click("summary")
        assert await page.locator("table.narrow tbody tr").count() >= 1


def codes() -> set[str]:
    """Every finding that the check can make."""
    text = "".join((STATIC / name).read_text("utf-8") for name in ("verify.js", "views.js", "code.js"))
    steps = set(re.findall(r'"([a-z]+)"', re.search(r"STEPS = \[(.*?)\]", text)[1]))  # type: ignore[index]
    found = set(re.findall(r'Finding\(\s*"\w+",\s*"([a-z0-9_.]+)"', text)) | set(re.findall(r'step\("\w+", "([a-z0-9_.]+)"', text))
    found |= set(re.findall(r'fromBase64\([^"]*"([a-z0-9_.]+)"\)', text)) | {"skipped"}
    return found | {f"{step}.proven" for step in steps}


def test_there_are_words_for_every_finding_and_no_others() -> None:
    table = words(Language("en"))
    assert codes() == set(table["findings"])
    assert len(codes()) > 40


def test_there_are_words_for_every_field_and_choice_and_no_others() -> None:
    table, text = words(Language("en")), (STATIC / "views.js").read_text("utf-8")
    named = set(re.findall(r'reader\.(?:choice|id|unsigned|signed|show)\("(\w+)"', text)) | set(
        re.findall(r'this\.(?:id|unsigned)\("(\w+)"', text)
    )
    assert named | {"index", "leaf"} == set(table["fields"])
    bounds = re.findall(r'reader\.choice\("(\w+)", (\d), (\d)\)', text)
    bounds += [(name, low, high) for high, name in re.findall(r"view\.what > (\d).*?`(\w+)\.", text, re.DOTALL) for low in "1"]
    expected = {f"{name}.{value}" for name, low, high in bounds for value in range(int(low), int(high) + 1)}
    types = {f"type.{value}" for value in re.findall(r"^const [A-Z]+ = (\d+);$", text, re.MULTILINE)[:7]}
    assert expected | types == set(table["choices"])
