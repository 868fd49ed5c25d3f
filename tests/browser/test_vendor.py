"""The vendored modules, loaded in the browser as it loads them from the server, and doing what we have them for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nacl.signing import SigningKey
from playwright.async_api import Browser, Page

from tests.browser.conftest import serve_static
from tests.browser.tools import STATIC

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = "default-src 'none'; script-src 'self'"
"""Stricter than that of any page of ours: none of them needs eval, a style or a network."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    found = await context.new_page()
    await serve_static(found, policy=POLICY)
    yield found
    await context.close()


async def test_every_vendored_file_is_a_module_that_loads(page: Page) -> None:
    files = json.loads((STATIC / "vendor/vendor.json").read_text("utf-8"))
    for file in files:
        names = await page.evaluate("async (address) => Object.keys(await import(address))", f"/static/vendor/{file}")
        assert names, file


async def test_preact_and_htm_show_and_update(page: Page) -> None:
    shown = await page.evaluate("""async () => {
      const { h, render, Component } = await import('/static/vendor/preact.mjs');
      const html = (await import('/static/vendor/htm.mjs')).default.bind(h);
      class Count extends Component {
        state = { count: 1 };
        render() { return html`<button onClick=${() => this.setState({ count: this.state.count + 1 })}>${this.state.count}</button>`; }
      }
      render(html`<main><${Count} /></main>`, document.body);
      const before = document.body.innerHTML;
      document.querySelector('button').click();
      await new Promise((resume) => setTimeout(resume, 50));
      return [before, document.body.innerHTML];
    }""")
    assert shown == ["<main><button>1</button></main>", "<main><button>2</button></main>"]


@pytest.mark.parametrize(
    "text", ["CF1:0123456789", "https://money.example/pay/@stall?amount=12.50", "결제 요청: 가을 시장, 귤 한 상자", "0002" + "9" * 500]
)
async def test_what_uqr_draws_is_what_qr_reads(page: Page, text: str) -> None:
    read = await page.evaluate(
        """async (text) => {
          const { encode } = await import('/static/vendor/uqr.mjs');
          const { decodeQR } = await import('/static/vendor/qr/decode.js');
          const { data, size } = encode(text, { border: 4 });
          const width = size * 4;
          const pixels = new Uint8Array(width * width * 4).fill(255);
          for (let y = 0; y < width; y++) {
            for (let x = 0; x < width; x++) if (data[y >> 2][x >> 2]) pixels.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
          }
          return decodeQR({ width, height: width, data: pixels });
        }""",
        text,
    )
    assert read == text


async def test_noble_verifies_what_the_server_signs_and_nothing_else(page: Page) -> None:
    key = SigningKey(b"\x07" * 32)
    message = b"counterfoil"
    signature = key.sign(message).signature
    ask = """async ([key, signature, message]) => {
      const { verifyAsync } = await import('/static/vendor/noble-ed25519.mjs');
      return verifyAsync(Uint8Array.from(signature), Uint8Array.from(message), Uint8Array.from(key));
    }"""
    assert await page.evaluate(ask, [list(bytes(key.verify_key)), list(signature), list(message)]) is True
    assert await page.evaluate(ask, [list(bytes(key.verify_key)), list(signature), list(message + b"!")]) is False
