"""The pages without scripts: who is signed in, what is paid once, what is said when it is not, and in which words."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from counterfoil.channels.consent import read_amount
from counterfoil.errors import TooMany, Unavailable
from counterfoil.i18n import Language
from counterfoil.ids import id_text, new_id
from counterfoil.money import Currency
from counterfoil.payments.acknowledgement import verify
from counterfoil.payments.forms import Purpose
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Acknowledgement
from counterfoil.web.basic import SIGN_INS_PER_MINUTE
from counterfoil.web.basic_views import PAGE_SIZE
from counterfoil.web.holder_sessions import DRAFTS_MAX, IDLE_S_MAX, LIFETIME_S_MAX, SESSIONS_MAX, HolderSessions
from counterfoil.web.values import parse_base64
from tests.scheme import MovedClock, Person
from tests.web.forms import Forms
from tests.web.site import Site, serving

PIN = "2580"
PAGE_BYTES_MAX = 6_000
asynchronous = pytest.mark.asyncio(loop_scope="module")


class Phone:
    """An old phone: one browser that keeps cookies, shows pages and sends forms."""

    def __init__(self, site: Site, client: httpx2.AsyncClient, language: str = "en") -> None:
        self.site = site
        self.client = client
        self.language = language
        self.text = ""
        self.address = ""

    async def open(self, address: str, status: int = 200) -> str:
        """A page, after all redirections."""
        return await self._show(await self.client.get(address, headers={"Accept-Language": self.language}), status)

    async def _show(self, answer: httpx2.Response, status: int = 200) -> str:
        while answer.status_code == 303:
            assert answer.headers["cache-control"] == "no-store"
            answer = await self.client.get(answer.headers["location"], headers={"Accept-Language": self.language})
        assert answer.status_code == status, answer.text
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        if status == 200:
            assert len(answer.content) < PAGE_BYTES_MAX, len(answer.content)
        self.text, self.address = answer.text, str(answer.url.raw_path.decode())
        assert Forms(self.text).methods <= {"post"}
        return self.text

    async def send(self, begins: str, **values: str) -> str:
        """Fills in the form of this page whose address begins so, sends it, and shows what comes."""
        return await self._show(await self.post(begins, **values))

    async def post(self, begins: str, **values: str) -> httpx2.Response:
        action, fields = Forms(self.text).to(begins)
        answer = await self.client.post(action, data=fields | values, headers={"Accept-Language": self.language})
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return answer

    async def sign_in(self, person: Person, pin: str = PIN) -> str:
        await self.open("/basic/")
        return await self.send("/basic/sign-in", number=person.address, pin=pin)

    async def asked(self, to: str, amount: str, memo: str = "") -> str:
        """Step 1 of paying."""
        await self.open("/basic/pay")
        return await self.send("/basic/pay", to=to, amount=amount, memo=memo)

    @property
    def words(self) -> str:
        """The page as it is read: without tags."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text)))


@asynccontextmanager
async def phone(site: Site, person: Person | None = None, *, language: str = "en") -> AsyncIterator[Phone]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", timeout=60) as client:
        found = Phone(site, client, language)
        if person is not None:
            await found.sign_in(person)
        yield found


@asynchronous
async def test_somebody_signs_in_pays_once_and_keeps_the_receipt(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000), await site.scheme.customer("Min-jun <b>")
    async with phone(site, payer) as mine:
        assert "100.00" in mine.words
        assert payer.address in mine.words
        await mine.asked(payee.address, "12.50", "rice")
        assert "Min-jun <b>" in mine.words
        assert re.search(r"Leaves your account 12\.50", mine.words)
        await mine.send("/basic/pay/", pin=PIN)
        assert mine.address.startswith("/basic/payments/")
        assert "12.50" in mine.words
        assert "rice" in mine.words
        assert (payer.balance(), payee.balance()) == (8_750, 1_250)
        statement, signature, key = re.findall(r"<code>([^<]+)<br>([^<]+)<br>([^<]+)</code>", mine.text)[0]
        parts = [parse_base64(part, "code") for part in (statement, signature, key)]
        assert verify(Acknowledgement(*parts), key=site.services.payments.acknowledger.public_key).amount == 1_250
        kept = await mine.client.get(f"{mine.address}/acknowledgement")
        assert kept.json() == {"statement": statement, "signature": signature, "key": key}
        await mine.open("/basic/history")
        assert "Min-jun <b>" in mine.words
        assert "\u221212.50" in mine.words


@asynchronous
async def test_a_double_click_a_reload_and_the_way_back_pay_once(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
    async with phone(site, payer) as mine:
        await mine.asked(payee.address, "10")
        confirm = mine.address
        answers = await asyncio.gather(*(mine.post("/basic/pay/", pin=PIN) for _ in range(3)))
        assert len({answer.headers["location"] for answer in answers}) == 1
        again = await mine.post("/basic/pay/", pin=PIN)
        assert again.headers["location"] == answers[0].headers["location"]
        await mine.open(confirm)
        assert mine.address == answers[0].headers["location"]
        assert payer.balance() == 9_000


@asynchronous
async def test_after_a_new_sign_in_a_form_that_was_sent_before_shows_its_payment(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
    async with phone(site, payer) as mine:
        await mine.asked(payee.address, "10")
        confirm = mine.address
        await mine.send("/basic/pay/", pin=PIN)
        receipt = mine.address
        await mine.send("/basic/sign-out")
        await mine.sign_in(payer)
        await mine.open(confirm)
        assert mine.address == receipt
        await mine.open(f"/basic/pay/{id_text(new_id(site.scheme.clock))}")
        assert "too old" in mine.words
        assert payer.balance() == 9_000


@asynchronous
async def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_stays(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
    async with phone(site, payer) as mine:
        for to, amount, sentence in (
            ("nobody", "1", "Type a phone number"),
            ("+254799999999", "1", "Nobody has an account"),
            (payee.address, "a lot", "Type an amount above zero, like 12.50."),
            (payee.address, "0", "Type an amount above zero"),
            (payee.address, "1.005", "Type an amount above zero"),
            (payer.address, "1", "Payer and payee are the same account."),
        ):
            await mine.asked(to, amount, "hello")
            assert mine.address == "/basic/pay"
            assert sentence in mine.words, sentence
            fields = Forms(mine.text).to("/basic/pay")[1]
            assert (fields["to"], fields["amount"], fields["memo"]) == (to, amount, "hello")
            assert 'aria-invalid="true"' in mine.text
            await mine.open("/basic/pay")
            assert sentence not in mine.words
        await mine.asked(payee.address, "60")
        await mine.send("/basic/pay/", pin=PIN)
        assert "One payment by PIN may be 50.00 USD at most." in mine.words
        assert mine.address == "/basic/pay"
        poor = await site.scheme.simple_phone(funds=100)
    async with phone(site, poor) as mine:
        await mine.asked(payee.address, "2")
        await mine.send("/basic/pay/", pin=PIN)
        assert "There is not enough money" in mine.words
        await mine.asked(payee.address, "1")  # another payment, with an id of its own
        await mine.send("/basic/pay/", pin=PIN)
        assert mine.address.startswith("/basic/payments/")
    assert (payer.balance(), poor.balance()) == (10_000, 0)


@asynchronous
async def test_a_wrong_pin_pays_nothing_and_three_more_lock_it(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
    async with phone(site, payer) as mine:
        await mine.asked(payee.address, "10")
        for left in (4, 3, 2, 1, 0):
            await mine.send("/basic/pay/", pin="1111")
            assert f"The PIN is not right. Tries left: {left}." in mine.words
        await mine.send("/basic/pay/", pin=PIN)
        assert "The PIN is locked" in mine.words
        assert payer.balance() == 10_000


@asynchronous
async def test_who_has_a_device_sees_everything_and_pays_only_what_it_allows(site: Site) -> None:
    payer, payee = await site.scheme.customer(funds=10_000), await site.scheme.merchant()
    await site.services.parties.pins.set(payer.party, PIN, by=None)
    asked = await payee.ask(payer, 300, memo="tea")
    async with phone(site, payer) as mine:
        for address in ("/basic/", "/basic/pay", "/basic/requests"):
            await mine.open(address)
            assert "allow payments by PIN in its settings" in mine.words
        assert "tea" in mine.words
        forged = {"t": Forms(mine.text).to("/basic/sign-out")[1]["t"], "to": payee.address, "amount": "1", "memo": ""}
        answer = await mine.client.post("/basic/pay", data=forged)
        mine.text = (await mine.client.get(answer.headers["location"])).text
        await mine.send("/basic/pay/", pin=PIN)
        assert "allow payments by PIN in its settings" in mine.words
        assert payer.balance() == 10_000
        await payer.allow_pin(500)
        await mine.open("/basic/requests")
        await mine.send(f"/basic/requests/{id_text(asked)}", do="pay")
        await mine.send("/basic/pay/", pin=PIN)
        assert mine.address.startswith("/basic/payments/")
        await mine.asked(payee.address, "2.01")
        await mine.send("/basic/pay/", pin=PIN)
        assert "Payments by PIN have a limit for a day. 2.00 USD are left today." in mine.words
        assert payer.balance() == 9_700


@asynchronous
async def test_requests_are_paid_or_declined(site: Site) -> None:
    payer, shop = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant("Corner shop")
    paid, declined = await shop.ask(payer, 700, memo="bread"), await shop.ask(payer, 900)
    opened = await shop.ask(payer, 0, memo="what you like")
    async with phone(site, payer) as mine:
        assert "Requests that wait for you: 3" in mine.words
        await mine.open("/basic/requests")
        await mine.send(f"/basic/requests/{id_text(paid)}", do="pay")
        assert re.search(r"Leaves your account 7\.00", mine.words)
        await mine.send("/basic/pay/", pin=PIN)
        await mine.open("/basic/requests")
        await mine.send(f"/basic/requests/{id_text(declined)}", do="decline")
        assert "Declined." in mine.words
        assert "9.00" not in mine.words
        await mine.send(f"/basic/requests/{id_text(opened)}", do="pay", amount="")
        assert "Type an amount above zero." in mine.words
        await mine.send(f"/basic/requests/{id_text(opened)}", do="pay", amount="3")
        await mine.send("/basic/pay/", pin=PIN)
        await mine.open("/basic/requests")
        assert "Nobody asks you for money." in mine.words
        assert (await site.services.requests.find(paid, shop.account)).state == "paid"
        assert (await site.services.requests.find(declined, shop.account)).state == "declined"
        assert payer.balance() == 9_000


@asynchronous
async def test_a_link_that_names_a_request_leads_to_name_and_fee(site: Site) -> None:
    payer, shop = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant("Corner shop")
    asked, held = await shop.ask(None, 700), await shop.ask(None, 900, purpose=Purpose.HOLD)
    async with phone(site) as mine:
        await mine.open(f"/basic/pay?request={id_text(asked)}")
        await mine.send("/basic/sign-in", number=payer.address, pin=PIN)
        assert "Corner shop" in mine.words
        await mine.send("/basic/pay/", pin=PIN)
        assert payer.balance() == 9_300
        await mine.open(f"/basic/pay?request={id_text(asked)}")
        assert "This request has been answered" in mine.words
        await mine.open(f"/basic/pay?request={id_text(held)}")
        assert "It is set aside until" in mine.words
        await mine.send("/basic/pay/", pin=PIN)
        assert "Set aside" in mine.words
        assert (payer.balance(), payer.available()) == (9_300, 8_400)
        await mine.open(f"/basic/pay?request={id_text(new_id(site.scheme.clock))}", status=404)


@asynchronous
async def test_cash_is_set_aside_until_the_agent_has_given_it(site: Site) -> None:
    payer, agent = await site.scheme.simple_phone(funds=10_000), await site.scheme.agent("Duka la Asha")
    async with phone(site, payer) as mine:
        await mine.asked(agent.address, "20")
        assert "It is set aside until" in mine.words
        await mine.send("/basic/pay/", pin=PIN)
        assert (payer.balance(), payer.available()) == (10_000, 10_000 - 2_000 - 20)
        (hold,) = [entry for entry in await site.services.history.page(payer.account, limit=2) if entry.set_aside == 2_000]
        assert hold.payment is not None
        receipt = await site.services.payments.receipt(hold.payment.id, agent.account)
        await agent.answer(OrderKind.CAPTURE, receipt, 2_000)
        await mine.open(mine.address)
        assert "Taken from what was set aside" in mine.words


@asynchronous
async def test_the_history_has_pages_under_six_kilobytes(site: Site) -> None:
    payer, shop = await site.scheme.customer(funds=90_000), await site.scheme.merchant("A merchant with a long name and more " * 2)
    await site.services.parties.pins.set(payer.party, PIN, by=None)
    for number in range(PAGE_SIZE):
        await payer.pay(shop, 100 + number, memo="a note that is longer than others, and longer than the page wants it")
    async with phone(site, payer) as mine:
        await mine.open("/basic/history")
        assert "Newest" not in mine.words
        older = re.findall(r'href="(/basic/history\?before=\d+)"', mine.text)
        assert len(older) == 1
        await mine.open(older[0])
        assert "+900.00" in mine.words
        assert "Newest" in mine.words
        await mine.open("/basic/history?before=x", status=404)


@asynchronous
async def test_others_payments_are_not_there(site: Site) -> None:
    payer, shop = await site.scheme.customer(funds=9_000), await site.scheme.merchant()
    receipt = await payer.pay(shop, 100)
    other = await site.scheme.simple_phone()
    async with phone(site, other) as mine:
        for tail in ("", "/acknowledgement", "/proof"):
            await mine.open(f"/basic/payments/{id_text(receipt.payment.id)}{tail}", status=404)
        await mine.open("/basic/payments/1", status=404)
    async with phone(site) as nobody:
        await nobody.open(f"/basic/payments/{id_text(receipt.payment.id)}")
        assert "Sign in" in nobody.words


@asynchronous
async def test_signing_in_goes_on_to_the_page_that_was_asked_for_and_to_no_other_site(site: Site) -> None:
    person = await site.scheme.simple_phone()
    async with phone(site) as mine:
        await mine.open("/basic/pay?to=%40shop&amount=3.50")
        await mine.send("/basic/sign-in", number=person.address, pin=PIN)
        assert mine.address == "/basic/pay?to=%40shop&amount=3.50"
        assert Forms(mine.text).to("/basic/pay")[1]["amount"] == "3.50"
        await mine.open("/basic/")
        await mine.send("/basic/sign-out")
        assert "Sign in" in mine.words
        for elsewhere in ("https://evil.example/", "//evil.example/basic/", "/staff"):
            await mine.open("/basic/")
            answer = await mine.post("/basic/sign-in", number=person.address, pin=PIN, then=elsewhere)
            assert answer.headers["location"] == "/basic/"
            await mine.open("/basic/")
            await mine.send("/basic/sign-out")


@asynchronous
@pytest.mark.parametrize("case", ["wrong PIN", "nobody", "no address", "staff"])
async def test_whether_somebody_has_a_number_is_not_told(site: Site, case: str) -> None:
    person = await site.scheme.simple_phone()
    number, pin = {"wrong PIN": (person.address, "1111"), "nobody": ("+254799999998", PIN), "no address": ("?", PIN)}.get(case, ("", PIN))
    if case == "staff":
        await site.services.parties.pins.set(site.scheme.clerk, PIN, by=None)
        number = "@clerk_1"
    async with phone(site) as mine:
        await mine.open("/basic/")
        answer = await mine.post("/basic/sign-in", number=number, pin=pin)
        assert answer.headers["location"] == "/basic/?wrong=pin&then=%2Fbasic%2F"
        assert "counterfoil_basic" not in answer.headers.get("set-cookie", "")
        await mine.open(answer.headers["location"])
        assert "Number and PIN do not fit together." in mine.words
        assert person.address not in mine.text


@asynchronous
async def test_forms_of_other_sites_do_nothing(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
    async with phone(site, payer) as mine:
        await mine.asked(payee.address, "10")
        action, fields = Forms(mine.text).to("/basic/pay/")
        for changes, headers in (({"t": "guessed"}, {}), ({"t": ""}, {}), ({}, {"Sec-Fetch-Site": "cross-site"})):
            answer = await mine.client.post(action, data=fields | {"pin": PIN} | changes, headers=headers)
            assert (answer.status_code, answer.headers["location"]) == (303, "/basic/")
        answer = await mine.client.post("/basic/sign-out", data={"t": "guessed"})
        await mine.open("/basic/")
        assert "Nothing was done." in mine.words
        assert payer.balance() == 10_000
    async with phone(site) as mine:
        await mine.open("/basic/")
        mine.client.cookies.clear()
        await mine.send("/basic/sign-in", number=payer.address, pin=PIN)
        assert "keep a cookie" in mine.words


@asynchronous
async def test_the_cookie_is_only_for_these_pages_and_not_for_scripts(site: Site) -> None:
    person = await site.scheme.simple_phone()
    async with phone(site) as mine:
        await mine.open("/basic/")
        answer = await mine.post("/basic/sign-in", number=person.address, pin=PIN)
        cookie = answer.headers["set-cookie"]
        for part in ("HttpOnly", "Path=/basic", "SameSite=strict", f"Max-Age={LIFETIME_S_MAX}"):
            assert part in cookie


@asynchronous
async def test_somebody_who_was_away_is_signed_out_and_what_they_send_is_not_done(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
        async with phone(site, payer) as mine:
            await mine.asked(payee.address, "10")
            site.scheme.clock.offset_s += IDLE_S_MAX - 5
            await mine.open(mine.address)
            site.scheme.clock.offset_s += IDLE_S_MAX + 5
            await mine.send("/basic/pay/", pin=PIN)
            assert "signed out after ten minutes" in mine.words
            assert payer.balance() == 10_000


@asynchronous
async def test_when_the_outcome_is_not_known_the_same_form_is_shown_and_pays_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = await site.scheme.simple_phone(funds=10_000), await site.scheme.merchant()
    payments = site.services.payments
    real = payments._settle

    async def lost(*arguments: Any) -> int:
        await real(*arguments)
        raise Unavailable("the answer was lost")

    async with phone(site, payer) as mine:
        await mine.asked(payee.address, "10")
        monkeypatch.setattr(payments, "_settle", lost)
        await mine.send("/basic/pay/", pin=PIN)
        monkeypatch.undo()
        assert mine.address.startswith("/basic/payments/")  # the page looked again: it was paid
        assert payer.balance() == 9_000


@asynchronous
async def test_many_who_guess_from_one_place_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, phone(site) as mine:
        await mine.open("/basic/")
        tries = 0
        while "Too many people are signing in from here." not in mine.words:
            assert tries < 3 * SIGN_INS_PER_MINUTE  # a slow machine takes minutes for them
            tries += 1
            await mine.send("/basic/sign-in", number=f"+2547990{tries:05}", pin=PIN)
        assert tries > SIGN_INS_PER_MINUTE
        site.wait(60)
        await mine.send("/basic/sign-in", number="+254799099999", pin=PIN)
        assert "Number and PIN do not fit together." in mine.words


@asynchronous
@pytest.mark.parametrize(("language", "title"), [("ko", "잔액"), ("fr", "Solde")])
async def test_the_pages_speak_the_browsers_language(site: Site, language: str, title: str) -> None:
    payer, payee = await site.scheme.simple_phone(funds=1_234_500), await site.scheme.merchant()
    async with phone(site, payer, language=language) as mine:
        assert title in mine.words
        assert f'<html lang="{language}">' in mine.text
        await mine.asked(payee.address, {"ko": "10.50", "fr": "10,50"}[language])
        await mine.send("/basic/pay/", pin=PIN)
        assert mine.address.startswith("/basic/payments/")
        assert payer.balance() == 1_233_450


@pytest.mark.parametrize(
    ("language", "text", "amount"),
    [
        ("en", "12.50", 1_250), ("en", " 1,250 ", 125_000), ("en", "1,250.5", 125_050), ("en", "12,50", None), ("en", "1.250", None),
        ("en", "-1", None), ("en", "0.00", None), ("en", "", None), ("en", "1e3", None), ("en", "١", None),
        ("fr", "12,50", 1_250), ("fr", "1\u202f250,5", 125_050), ("fr", "1 250", 125_000), ("fr", "12.50", 1_250), ("fr", "1.250,00", None),
        ("ko", "1,250", 125_000), ("ko", "12.5", 1_250),
    ],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(language: str, text: str, amount: int | None) -> None:
    assert read_amount(text, Language(language), Currency(code="USD", digits=2, ledger=840)) == amount


def test_amounts_without_decimals() -> None:
    won = Currency(code="KRW", digits=0, ledger=410)
    assert read_amount("12,500", Language("ko"), won) == 12_500
    assert read_amount("12.5", Language("ko"), won) is None


def test_sessions_end_by_themselves_and_are_bounded() -> None:
    clock = MovedClock()
    sessions = HolderSessions(clock)
    first = sessions.begin(party=1, account=2, name="A")
    for _ in range(LIFETIME_S_MAX // (IDLE_S_MAX - 1)):
        clock.offset_s += IDLE_S_MAX - 1
        assert sessions.find(first) is not None
    clock.offset_s += IDLE_S_MAX - 1
    assert sessions.find(first) is None, "an hour in all"
    for _ in range(SESSIONS_MAX):
        sessions.begin(party=1, account=2, name="A")
    with pytest.raises(TooMany):
        sessions.begin(party=1, account=2, name="A")
    clock.offset_s += IDLE_S_MAX + 1
    last = sessions.begin(party=1, account=2, name="A")
    assert len(sessions._sessions) == 1
    sessions.end(last)
    sessions.end(last)
    assert sessions.find(last) is None
    assert DRAFTS_MAX > 1
