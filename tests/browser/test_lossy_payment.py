"""A wallet on the worst network: 50 kbit/s, a round trip of a second, one request in ten lost. It pays exactly once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.device import device
from tests.browser.network import Network, network
from tests.browser.wallets import enrol
from tests.scheme import Person
from tests.web.site import Site, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FUNDS = 50_000
PATIENCE_MS = 90_000


class Payer:
    """Somebody with a wallet in a browser, a shop, and the network between them and the server."""

    def __init__(self, page: Page, site: Site, line: Network, shop: Person) -> None:
        self.page = page
        self.site = site
        self.line = line
        self.shop = shop

    async def agree(self, major: str) -> None:
        """Consents to a payment to the shop, from a link to its number."""
        await self.page.goto(f"http://localhost:{self.line.port}/wallet/#/pay?to={self.shop.address.replace('+', '%2B')}&amount={major}")
        await self.page.locator(".consent button").click(timeout=PATIENCE_MS)
        await expect(self.page.locator(".outcome")).to_be_visible(timeout=PATIENCE_MS)

    async def told(self, state: str) -> None:
        await expect(self.page.locator(".outcome")).to_have_attribute("data-state", state, timeout=PATIENCE_MS)

    async def received(self) -> list[int]:
        """Amounts of all payments that the shop has received, oldest first."""
        entries = await self.site.services.history.page(self.shop.account)
        return [entry.change for entry in reversed(entries) if entry.change > 0]  # without its fees


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def payer(site: Site, browser: Browser) -> AsyncIterator[Payer]:
    """Enrolled on a good network, with money."""
    number = f"+2547330{next(NUMBERS):05d}"
    async with (
        network(site.port, rate=100_000_000, round_trip_s=0, loss=0, seed=11) as line,
        device(browser, reduced_motion="reduce") as phone,
    ):
        page = await phone.new_page()
        await page.goto(f"http://localhost:{line.port}/wallet/")
        await enrol(page, number, "Rose")
        holder = await site.services.parties.resolve(number)
        shop = await site.scheme.merchant("Corner shop")
        bank = await site.scheme.institution("Bank", funds=FUNDS + 1_000)
        await bank.pay(holder.account, FUNDS)
        await page.reload()
        await expect(page.locator(".stub")).to_contain_text("500.00")
        yield Payer(page, site, line, shop)


NUMBERS = iter(range(100))


async def test_a_payment_whose_answers_are_lost_is_done_once(payer: Payer) -> None:
    """The first try never arrives; the second is carried out, and nobody hears of it; the third hears that it was."""
    payer.line.become(rate=50_000, round_trip_s=1.0, loss=0)
    payer.line.only, payer.line.fates = ("POST /v1/payments",), ["cut before", "cut after", "through"]
    await payer.agree("12.50")
    await payer.told("done")
    assert payer.line.of("POST", "/v1/payments")[:3] == ["cut before", "cut after", "through"]
    assert await payer.received() == [1_250]


async def test_a_payment_whose_answers_are_lost_is_never_shown_as_done_before_it_is_known(payer: Payer) -> None:
    payer.line.become(rate=50_000, round_trip_s=1.0, loss=0)
    payer.line.only = ("POST /v1/payments",)
    payer.line.fates = ["cut after"]
    payer.line.loss = 1.0  # and nothing after it
    await payer.agree("3.00")
    await payer.told("unsure")
    assert await payer.received() == [300]  # it was carried out, but this phone cannot know
    payer.line.loss = 0
    await payer.told("done")
    assert await payer.received() == [300]


async def test_a_link_whose_payee_is_not_told_at_first_is_asked_about_again(payer: Payer) -> None:
    """Nobody has to open it a second time. A browser itself tries once more on each connection that it had kept, so nine are cut."""
    payer.line.become(rate=50_000, round_trip_s=0.2, loss=0)
    payer.line.only, payer.line.fates = ("POST /v1/resolve",), ["cut before"] * 9
    await payer.agree("4.00")
    await payer.told("done")
    assert await payer.received() == [400]


async def test_many_payments_over_a_network_that_loses_one_request_in_ten_are_each_done_once(payer: Payer) -> None:
    payer.line.become(rate=50_000, round_trip_s=1.0, loss=0.1)
    amounts = [100 + n for n in range(6)]
    for amount in amounts:
        await payer.agree(f"{amount // 100}.{amount % 100:02}")
        await payer.told("done")
    fates = [fate for _, _, fate in payer.line.requests]
    assert fates.count("cut before") + fates.count("cut after") > 0
    assert await payer.received() == amounts
