"""The pages without scripts against whoever means ill, and against what happens between two clicks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from counterfoil.errors import CounterfoilError, PinLocked, WrongPin
from counterfoil.ids import new_id
from counterfoil.parties.pins import ATTEMPTS_MAX
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Receipt
from counterfoil.web.guesses import LOOK_UPS_PER_MINUTE
from tests.web.forms import Forms
from tests.web.site import Site, serving
from tests.web.test_basic import PIN, phone

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("scheme")) as found:
        yield found


async def test_the_same_order_at_once_near_a_limit_is_never_refused_and_done(site: Site) -> None:
    """While the first is carried out, its amount counts against the limit that the others then do not have."""
    payer, payee = await site.scheme.simple_phone(funds=20_000), await site.scheme.merchant()
    order = payer.order(payee, 5_000)
    tries = (site.services.payments.pay_by_pin(order, PIN) for _ in range(4))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, CounterfoilError) and answer.retry != "same_id"]
    assert refused == []
    assert any(isinstance(answer, Receipt) for answer in answers)
    assert payer.balance() == 15_000
    async with phone(site, payer) as mine:
        await mine.asked(payee.address, "50")
        form = mine.address
        places = {answer.headers["location"] for answer in await asyncio.gather(*(mine.post("/basic/pay/", pin=PIN) for _ in range(4)))}
        receipt = form.replace("/pay/", "/payments/")
        assert places <= {receipt, form}
        await mine.open(form)
        assert mine.address == receipt
        assert payer.balance() == 10_000


@pytest.mark.parametrize("change", ["frozen", "own limit", "no PIN any more", "declined"])
async def test_what_changes_between_the_page_and_the_consent_pays_nothing(site: Site, change: str) -> None:
    payer, payee = await site.scheme.customer(funds=10_000), await site.scheme.merchant()
    await site.services.parties.pins.set(payer.party, PIN, by=None)
    await payer.allow_pin(9_000)
    asked = await payee.ask(payer, 2_000)
    staff = site.services.parties.staff
    async with phone(site, payer) as mine:
        await mine.open("/basic/requests")
        await mine.send("/basic/requests/", do="pay")
        if change == "frozen":
            await staff.freeze(new_id(site.scheme.clock), payer.party, reason="asked by the police", by=site.scheme.supervisors[0])
        elif change == "own limit":
            await site.ok(payer, "POST", "/v1/limits", {"pin": PIN, "per_payment": 1_000, "per_day": None, "per_month": None})
        elif change == "no PIN any more":
            await payer.allow_pin(0, made_at_ms=site.services.clock.now_ns() // 1_000_000 + 1)
        else:
            await site.services.requests.decline(asked, payer.account)
        await mine.send("/basic/pay/", pin=PIN)
        sentence = {
            "frozen": "This account is frozen.",
            "own limit": "One payment may be 10.00 USD at most.",
            "no PIN any more": "This account pays with its own device.",
            "declined": "This is no longer possible",
        }[change]
        assert sentence in mine.words
        assert mine.address == "/basic/requests"
        assert (payer.balance(), payee.balance()) == (10_000, 0)


async def test_a_form_of_somebody_else_and_one_of_two_phones_pays_nothing_twice(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone(funds=6_000), await site.scheme.merchant()
    other = await site.scheme.simple_phone(funds=9_000)
    async with phone(site, payer) as mine, phone(site, payer) as second, phone(site, other) as stranger:
        await mine.asked(payee.address, "40")
        action, fields = Forms(mine.text).to("/basic/pay/")
        await stranger.open("/basic/pay")
        token = Forms(stranger.text).to("/basic/pay")[1]["t"]
        answer = await stranger.client.post(action, data=fields | {"t": token, "pin": PIN})
        await stranger.open(answer.headers["location"])
        assert "Nothing was paid with it." in stranger.words
        assert (payer.balance(), other.balance()) == (6_000, 9_000)
        await second.asked(payee.address, "40")
        places = [(await each.post("/basic/pay/", pin=PIN)).headers["location"] for each in (mine, second)]
        assert places[0].startswith("/basic/payments/")
        await second.open(places[1])
        assert "There is not enough money" in second.words
        assert payer.balance() == 2_000
        await mine.open("/basic/")
        await mine.send("/basic/sign-out")
        await second.open("/basic/history")
        assert "History" in second.words


async def test_a_session_is_made_at_sign_in_and_ends_with_the_pin_that_opened_it(site: Site) -> None:
    person = await site.scheme.simple_phone()
    async with phone(site) as mine, phone(site) as thief:
        planted = "planted-by-somebody-else"
        mine.client.cookies.set("counterfoil_basic", planted, path="/basic")
        await mine.sign_in(person)
        assert "Balance" in mine.words
        thief.client.cookies.set("counterfoil_basic", planted, path="/basic")
        await thief.open("/basic/")
        assert "Sign in" in thief.words
    async with phone(site, person) as mine, phone(site, person) as thief:
        await site.services.parties.pins.change(person.party, PIN, "135790")
        for each in (mine, thief):
            await each.open("/basic/history")
            assert "Sign in" in each.words
            assert "+" not in each.words


async def test_whoever_signs_in_cannot_copy_the_directory(site: Site) -> None:
    person = await site.scheme.simple_phone()
    async with phone(site, person) as mine:
        tries = 0
        while "Too many requests" not in mine.words:
            assert tries < 3 * LOOK_UPS_PER_MINUTE  # a slow machine takes minutes for them
            tries += 1
            await mine.asked(f"+2547990{tries:05}", "1")
        assert tries > LOOK_UPS_PER_MINUTE
        assert Forms(mine.text).to("/basic/pay")[1]["amount"] == "1"
        site.wait(60)
        await mine.asked("+254799099999", "1")
        assert "Nobody has an account" in mine.words


async def test_however_a_number_is_spelled_guesses_at_it_are_counted_together(site: Site) -> None:
    """Otherwise who is locked and who is not would tell who has an account."""
    person = await site.scheme.simple_phone()
    for number in (person.address, "+254799111222"):
        spelled = [number, number.replace("+254", "0"), f" {number}", f"{number[:7]} {number[7:]}", f"{number[:7]}-{number[7:]}"]
        for text in spelled[:ATTEMPTS_MAX]:
            with pytest.raises(WrongPin):
                await site.services.parties.sign_in(text, "1111")
        with pytest.raises(PinLocked):
            await site.services.parties.sign_in(number, "1111")


async def test_names_notes_and_addresses_are_text_and_nothing_else(site: Site) -> None:
    evil = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'"
    payer, payee = await site.scheme.simple_phone("<b>Kofi</b>", funds=10_000), await site.scheme.merchant("</title><i>Duka")
    await payee.ask(payer, 100, memo=evil)
    await payer.pay_by_pin(payee, 100, memo=evil)
    await payer.pay_by_pin(payee, 200, kind=OrderKind.HOLD, timeout_s=600)
    async with phone(site, payer) as mine:
        for address in ("", "history", "requests", "pay?" + "&".join(f"{name}=%22%3E%3Cscript%3E" for name in ("to", "amount", "memo"))):
            await mine.open(f"/basic/{address}")  # looks for scripts and handlers in every page
            assert "<script>" not in mine.text
            assert "<i>Duka" not in mine.text
            assert "<b>Kofi" not in mine.text
        await mine.asked('"><script>x', "1", evil)
        assert Forms(mine.text).to("/basic/pay")[1]["memo"] == evil
        await mine.asked(payee.address, "1", evil)
        await mine.send("/basic/pay/", pin=PIN)
        assert "alert(1)" in mine.words
    async with phone(site) as nobody:
        await nobody.open("/basic/?then=%22%3E%3Cscript%3E&wrong=%3Cscript%3E&lang=%3Cscript%3E")


@pytest.mark.parametrize(
    "language", ["ko;q=1e9", "*" * 600, ",,;q=,;;", "ko-KR;q=0.99999999999", "\xff\xfe", "fr;q=-1, ko;q=0", "x" * 4_000]
)
async def test_a_browser_that_asks_for_no_language_gets_one(site: Site, language: str) -> None:
    async with phone(site) as mine:
        answer = await mine.client.get("/basic/", headers=[(b"Accept-Language", language.encode("latin-1"))])
        assert answer.status_code == 200
        assert answer.headers["content-language"] in ("en", "ko", "fr")
