"""A shop's wallet countersigns what was paid by PIN, without a question: as it comes, after days away, once, and nothing but what came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Request, Route

from counterfoil.ids import id_text
from counterfoil.payments.types import Receipt
from counterfoil.payments.views import KeyChange, KeyView
from counterfoil.tlog.entry import EntryType
from counterfoil.web.values import base64_text
from tests.browser.engine import Phone, phone
from tests.browser.holders import site_in
from tests.scheme import DAY_S, Person
from tests.web.logged import LoggedSite

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "**/v1/countersignatures"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with site_in(tmp_path_factory.mktemp("scheme")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def kofi(site: LoggedSite) -> Person:
    return await site.scheme.simple_phone(funds=9_000)


@asynccontextmanager
async def counter(browser: Browser, site: LoggedSite, person: Person) -> AsyncIterator[Phone]:
    """The person's wallet, brought up to date once; `sent` counts what it has posted."""
    async with phone(browser, site) as found:
        link = f"#/borrow?device={id_text(person.device)}&seed={base64_text(bytes(person.key))}"
        await found.run("await w.importSandboxKey(given); await w.refresh();", link)
        yield found


def posts(found: Phone) -> list[Request]:
    sent: list[Request] = []
    found.page.on("request", lambda request: sent.append(request) if request.method == "POST" and "countersign" in request.url else None)
    return sent


async def is_countersigned(site: LoggedSite, *paid: Receipt) -> list[bool]:
    return [await site.services.countersigning.is_countersigned(each.payment.id) for each in paid]


async def test_a_payment_by_pin_is_countersigned_as_it_comes_and_the_log_and_the_auditor_have_it(
    browser: Browser, site: LoggedSite, kofi: Person
) -> None:
    shop = await site.scheme.merchant()
    async with counter(browser, site, shop) as wallet:
        await wallet.run("await w.followEvents(); await until(() => w.api.reached)")
        paid = await kofi.pay_by_pin(shop, 250)
        async with asyncio.timeout(60):
            while not all(await is_countersigned(site, paid)):
                await asyncio.sleep(0.05)
        await wallet.run("w.stop()")
        assert await wallet.run("w.alarms") == []
    size = site.publish()
    (word,) = [
        view for view in site.book.about(shop.account, EntryType.KEY) if isinstance(view, KeyView) and view.what == KeyChange.COUNTERSIGNED
    ]
    signed = shop.countersignature(paid)
    assert (word.statement, word.possession, word.device) == (signed.statement, signed.signature, shop.device), "byte for byte"
    assert site.book.replayed(site.scheme) == size
    assert site.book.rebuild().difference is None


async def test_a_shop_that_was_away_for_days_makes_up_for_all_of_it_once(browser: Browser, site: LoggedSite) -> None:
    shop, kofi = await site.scheme.merchant(), await site.scheme.simple_phone(funds=9_000)
    async with counter(browser, site, shop) as wallet:
        sent = posts(wallet)
        await wallet.offline()
        paid = [await kofi.pay_by_pin(shop, 10 + n) for n in range(60)]
        site.scheme.clock.offset_s += 5 * DAY_S
        await wallet.offline(False)
        await wallet.run("await w.refresh()")
        assert all(await is_countersigned(site, *paid))
        assert len(sent) == 2
        await wallet.run("await w.refresh(); await w.refresh();")
        assert len(sent) == 2, "nothing is said twice"
    async with counter(browser, site, shop) as tablet:  # another browser of the shop
        assert len(await tablet.run("w.entries")) >= 60


async def test_a_lost_answer_is_made_up_for_in_the_next_round(browser: Browser, site: LoggedSite, kofi: Person) -> None:
    shop = await site.scheme.merchant()
    async with counter(browser, site, shop) as wallet:
        paid = await kofi.pay_by_pin(shop, 70)

        async def lose(route: Route) -> None:
            if route.request.method == "POST":
                await route.fetch()
                await route.abort()
            else:
                await route.continue_()

        await wallet.page.route(PATH, lose)
        await wallet.run("await w.refresh()")
        await wallet.page.unroute_all(behavior="wait")
        sent = posts(wallet)
        await wallet.run("await w.refresh()")
        assert (await is_countersigned(site, paid), sent) == ([True], [])


async def test_a_wallet_that_is_no_shops_is_not_asked(browser: Browser, site: LoggedSite, kofi: Person) -> None:
    rose, asked = await site.scheme.customer(), []
    async with phone(browser, site) as wallet:
        wallet.page.on("request", lambda request: asked.append(request.url) if "countersign" in request.url else None)
        link = f"#/borrow?device={id_text(rose.device)}&seed={base64_text(bytes(rose.key))}"
        await kofi.pay_by_pin(rose, 30)
        await wallet.run("await w.importSandboxKey(given); await w.refresh();", link)
        assert len(await wallet.run("w.entries")) == 1
    assert asked == []


def another_amount(receipt: dict[str, Any]) -> None:
    receipt["amount"] += 1


def another_signature(receipt: dict[str, Any]) -> None:
    receipt["acknowledgement"]["signature"] = base64_text(bytes(64))


def another_account(receipt: dict[str, Any]) -> None:
    receipt["account"] = receipt["payer"]


def another_order(receipt: dict[str, Any]) -> None:
    receipt["order_hash"] = base64_text(bytes(32))


def another_payer(receipt: dict[str, Any]) -> None:
    receipt["payer"] = receipt["payee"]


def a_payment_that_is_not_in_the_list(receipt: dict[str, Any]) -> None:
    receipt["id"] = "0199f3a8-5d6e-7a1b-b2c3-d4e5f6071829"


def lying(lie: Callable[[dict[str, Any]], None]) -> Callable[[Route], Awaitable[None]]:
    async def answer(route: Route) -> None:
        true = await route.fetch()
        content = await true.json()
        for receipt in content["receipts"]:
            lie(receipt)
        await route.fulfill(response=true, json=content)

    return answer


LIES = {
    another_amount: "acknowledgement_wrong",
    another_signature: "acknowledgement_wrong",
    another_account: "acknowledgement_wrong",
    another_order: "acknowledgement_wrong",
    another_payer: "receipt_contradicts",
    a_payment_that_is_not_in_the_list: None,
}


async def test_what_the_operators_word_and_the_own_list_do_not_say_is_not_signed(browser: Browser, site: LoggedSite, kofi: Person) -> None:
    shop = await site.scheme.merchant()
    async with counter(browser, site, shop) as wallet:
        paid, sent = await kofi.pay_by_pin(shop, 90), posts(wallet)
        for lie, alarm in LIES.items():
            await wallet.page.route(PATH, lying(lie))
            await wallet.run("await w.refresh()")
            await wallet.page.unroute_all(behavior="wait")
            assert (sent, await wallet.run("w.alarms[0]?.code ?? null")) == ([], alarm), lie.__name__
            await wallet.run("await w.database.clear('alarms'); await w.reload();")

        async def another_list(route: Route) -> None:
            answer = await route.fetch()
            content = await answer.json()
            for entry in content["entries"]:
                entry["change"] += 1
            await route.fulfill(response=answer, json=content)

        await wallet.run("await w.database.clear('entries'); await w.reload();")
        await wallet.page.route("**/v1/history*", another_list)
        await wallet.run("await w.refresh()")
        await wallet.page.unroute_all(behavior="wait")
        assert (sent, await wallet.run("w.problem")) == ([], "receipt_contradicts")
        assert await is_countersigned(site, paid) == [False]
        await wallet.run("await w.database.clear('entries'); await w.database.clear('alarms'); await w.reload(); await w.refresh();")
        assert (len(sent), await is_countersigned(site, paid)) == (1, [True])


async def test_a_device_that_was_taken_away_signs_nothing_more(browser: Browser, site: LoggedSite, kofi: Person) -> None:
    shop = await site.scheme.merchant()
    async with counter(browser, site, shop) as wallet:
        supervisor = site.scheme.supervisors[0]
        await site.services.parties.devices.revoke_by_staff(shop.device, reason="lost", by=supervisor)
        paid = await kofi.pay_by_pin(shop, 40)
        await wallet.run("await w.refresh()")
        assert (await is_countersigned(site, paid), await wallet.run("w.problem")) == ([False], "unknown_device")
