"""The page behind a code in a text message, as the server makes it: for whom, and for whom not."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import insert, select
from starlette.requests import Request

from counterfoil.errors import NotFound, TooMany
from counterfoil.payments.receipt_code_tables import receipt_codes
from counterfoil.payments.receipt_codes import ReceiptCodes, belongs, parse_code
from counterfoil.web import receipt_pages
from counterfoil.web.receipt_pages import WRONG_PER_MINUTE, ReceiptPages
from counterfoil.web.values import uuid_text
from tests.scheme import Person
from tests.web.logged import LoggedSite, logged

asynchronous = pytest.mark.asyncio(loop_scope="module")


class Told:
    """A site on which Rose has paid Joon 70.00, and both were told their codes."""

    def __init__(self, site: LoggedSite, payer: Person, payee: Person, payment: int, codes: list[str]) -> None:
        self.site = site
        self.payer = payer
        self.payee = payee
        self.payment = payment
        self.payers, self.payees = codes


async def tell(codes: ReceiptCodes, site: LoggedSite, payment: int, account: int) -> str:
    return parse_code(await site.services.store.write(lambda connection: codes.tell(connection, payment, account)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    async with logged(tmp_path_factory.mktemp("scheme")) as site:
        payer, payee = await site.scheme.customer("Rose", funds=900_000), await site.scheme.customer("Joon")
        payment = (await payer.pay(payee, 7_000)).payment.id
        codes = site.services.receipt_codes
        yield Told(site, payer, payee, payment, [await tell(codes, site, payment, each.account) for each in (payer, payee)])


@asynchronous
async def test_before_it_is_in_the_log_the_page_says_so_and_whose_word_it_is(told: Told) -> None:
    answer = await told.site.client.get(f"/r/{told.payees}")
    assert answer.status_code == 200
    assert "Nobody has checked it yet." in answer.text
    assert "Look again in a minute." in answer.text
    assert "70.00 USD" in answer.text
    assert ">in<" in answer.text
    assert "<script" not in answer.text
    assert (await told.site.client.get(f"/r/{told.payees}/proof")).status_code == 404
    assert ">out<" in (await told.site.client.get(f"/r/{told.payers}")).text


@asynchronous
async def test_once_witnessed_the_page_carries_the_receipt_and_what_shows_that_the_code_is_its_own(told: Told) -> None:
    told.site.settle()
    answer = await told.site.client.get(f"/r/{told.payees}")
    data = re.search(r'<script type="application/json" id="words">(.*?)</script>', answer.text, re.DOTALL)
    assert data is not None
    (given,) = json.loads(data[1])["receipts"]
    (coded,) = await told.site.services.receipt_codes.find(told.payees)
    assert given["proof"] == coded.proof.hex()
    assert belongs(told.payees, coded)
    assert (coded.payment, coded.account) == (told.payment, told.payee.account)
    file = await told.site.client.get(f"/r/{told.payees}/proof")
    assert (file.text, file.headers["content-type"]) == (given["receipt"], "text/plain; charset=utf-8")
    mine = await told.site.ok(told.payee, "GET", f"/v1/payments/{uuid_text(told.payment)}/proof")
    assert file.text == mine["proof"]
    for header, value in (("cache-control", "no-store"), ("referrer-policy", "no-referrer")):
        assert answer.headers[header] == value
    assert "connect-src" not in answer.headers["content-security-policy"]


@asynchronous
async def test_two_payments_of_one_code_are_both_told(told: Told) -> None:
    told.site.settle()
    store = told.site.services.store
    other = (await told.payer.pay(told.payee, 1_100)).payment.id
    value = select(receipt_codes.c.value).where(receipt_codes.c.account == told.payer.account).scalar_subquery()
    row = {"payment": other, "account": told.payer.account, "value": value, "told_at": 2**62}
    await store.write(lambda connection: connection.execute(insert(receipt_codes).values(**row)))
    text = (await told.site.client.get(f"/r/{told.payers}")).text
    assert text.index("70.00 USD") < text.index("11.00 USD")


@asynchronous
async def test_nobody_named_and_no_number_stands_on_the_page(told: Told) -> None:
    told.site.settle()
    text = (await told.site.client.get(f"/r/{told.payees}")).text
    for each in ("Rose", "Joon", told.payer.address, told.payee.address, told.payer.address[1:], told.payee.address[1:]):
        assert each not in text


@asynchronous
async def test_a_code_is_typed_as_people_do_and_leads_to_its_own_address(told: Told) -> None:
    client = told.site.client
    for typed in (told.payees.lower(), f"{told.payees[:4]} {told.payees[4:8]} {told.payees[8:]}"):
        answer = await client.post("/r", data={"code": typed})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/r/{told.payees}")
    assert (await client.get(f"/r/{told.payees.lower()}")).headers["location"] == f"/r/{told.payees}"
    wrong = await client.post("/r", data={"code": "hello"})
    assert wrong.status_code == 422
    assert "12 letters and digits" in wrong.text
    assert 'value="hello"' in wrong.text
    forged = await client.post("/r", data={"code": told.payees}, headers={"Sec-Fetch-Site": "cross-site"})
    assert forged.status_code == 403


@asynchronous
@pytest.mark.parametrize("path", ["/r/hello", "/r/000000000000", "/r/%3Cscript%3E", "/r/" + "A" * 300, "/r/000000000000/proof"])
async def test_what_stands_for_nothing_is_said_in_words(told: Told, path: str) -> None:
    told.site.wait(60)
    answer = await told.site.client.get(path)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


@asynchronous
async def test_whoever_guesses_is_slowed_down_and_nothing_is_lost(told: Told) -> None:
    told.site.wait(120)
    client = told.site.client
    statuses = [(await client.get("/r/000000000000")).status_code for _ in range(WRONG_PER_MINUTE + 3)]
    assert statuses == [404] * WRONG_PER_MINUTE + [429] * 3
    assert (await client.get(f"/r/{told.payees}")).status_code == 429, "no way to tell a right code from a wrong one while it lasts"
    told.site.wait(61)
    assert (await client.get(f"/r/{told.payees}")).status_code == 200


@asynchronous
async def test_many_who_guess_do_not_close_the_page_to_whoever_has_a_code(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt_pages, "WRONG_IN_ALL_PER_MINUTE", 2 * WRONG_PER_MINUTE)
    unused: Any = None
    pages = ReceiptPages(told.site.services, unused, render=unused, language=unused, problem=unused, script_policy="")

    async def ask(address: str, code: str = "000000000000") -> str:
        request = Request({"type": "http", "client": (address, 1), "headers": []})
        try:
            return f"found {len(await pages._find(request, code))}"
        except (NotFound, TooMany) as error:
            return type(error).__name__

    first = [await ask(f"2001:db8::{n}") for n in range(WRONG_PER_MINUTE + 1)]
    assert first == ["NotFound"] * WRONG_PER_MINUTE + ["TooMany"], "one network is one guesser"
    assert {await ask("192.0.2.1") for _ in range(WRONG_PER_MINUTE)} == {"NotFound"}
    assert await ask("198.51.100.1", told.payees) == "found 1"
    assert await ask("198.51.100.1") == "NotFound"
    assert await ask("198.51.100.1", told.payees) == "TooMany", "one wrong code is enough now"
    assert await ask("198.51.100.2", told.payees) == "found 1"


@asynchronous
@pytest.mark.parametrize(("language", "said"), [("ko", "문자 메시지 확인하기"), ("fr", "Vérifier un SMS"), ("en", "Check a text message")])
async def test_the_page_speaks_the_visitors_language(told: Told, language: str, said: str) -> None:
    told.site.wait(61)
    for path in ("/r", f"/r/{told.payees}", "/r/nothing"):
        text = (await told.site.client.get(path, headers={"Accept-Language": language})).text
        assert f"<h1>{said}</h1>" in text


@asynchronous
async def test_a_payment_by_pin_to_a_shop_says_whether_the_shop_has_countersigned_it(told: Told) -> None:
    site, scheme = told.site, told.site.scheme
    kofi, shop = await scheme.simple_phone(funds=9_000), await scheme.merchant()
    paid = await kofi.pay_by_pin(shop, 100)
    code = await tell(site.services.receipt_codes, site, paid.payment.id, kofi.account)
    assert "The shop has not countersigned this payment so far." in (await site.client.get(f"/r/{code}")).text
    await shop.countersign(paid)
    for settled in (False, True):
        if settled:
            site.settle()
        page = (await site.client.get(f"/r/{code}")).text
        assert "Countersigned by the shop: its own device has signed" in page
        assert page.index("Countersigned by the shop") > page.index('id="said"') + page[page.index('id="said"') :].index("</div>"), (
            "not in the part that goes away when the browser has proven the payment"
        )
    assert "Contresigné" in (await site.client.get(f"/r/{code}?lang=fr")).text
    assert "ountersigned" not in (await site.client.get(f"/r/{told.payees}")).text, "people are not asked"
