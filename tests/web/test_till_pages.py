"""Posters, slips and payment links as people get them: three languages, nothing told that is not theirs to know."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from counterfoil.acceptance import emv
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = {"en": "Scan to pay", "ko": "찍어서 결제하세요", "fr": "Scannez pour payer"}


async def code_of(site: Site, account: int) -> str:
    holder = await site.services.parties.holder(account)
    assert holder.merchant_code is not None
    return holder.merchant_code


@pytest.mark.parametrize("language", WORDS)
async def test_a_poster_has_the_code_and_what_to_type_without_a_camera(site: Site, language: str) -> None:
    shop = await site.scheme.merchant("Crêperie & Fils <b>")
    code = await code_of(site, shop.account)
    page = await site.client.get(f"/pay/{code}/poster?lang={language}")
    assert page.status_code == 200
    assert WORDS[language] in page.text
    assert f"{code[:3]} {code[3:]}" in page.text
    assert "Crêperie &amp; Fils &lt;b&gt;" in page.text
    assert "<b>" not in page.text
    assert re.search(r'<svg role="img" aria-label="[^"]*Crêperie', page.text)
    assert "script" not in page.headers["content-security-policy"]


async def test_a_customer_has_no_poster_and_is_not_named(site: Site) -> None:
    customer = await site.scheme.customer("Amina Private")
    number = customer.address
    assert (await site.client.get(f"/pay/{number}/poster")).status_code == 404
    there, nobody = await site.client.get(f"/pay/{number}"), await site.client.get("/pay/+254799999999")
    assert "Private" not in there.text
    assert there.text.replace(number, "N").replace(number.replace("+", "%2B"), "N") == nobody.text.replace("+254799999999", "N").replace(
        "%2B254799999999", "N"
    )


async def test_a_link_leads_to_the_wallet_and_to_the_pages_without_scripts(site: Site) -> None:
    shop = await site.scheme.merchant("Corner Bakery")
    code = await code_of(site, shop.account)
    request = "018f3a5c-7d1e-7c3a-9b1f-0123456789ab"
    page = await site.client.get(f"/pay/{code}?amount=12.50&memo=table%207&request={request}")
    links = [link.replace("&amp;", "&") for link in re.findall(r'<a class="button[^"]*" href="([^"]+)"', page.text)]
    wallet, basic = links[:2]
    assert parse_qs(wallet.removeprefix("/wallet/#/pay?")) == {
        "to": [code], "amount": ["12.50"], "memo": ["table 7"], "request": [request],
    }  # fmt: skip
    assert (urlsplit(basic).path, parse_qs(urlsplit(basic).query)) == ("/basic/pay", {"request": [request]})
    assert "12.50" in page.text
    assert "table 7" in page.text


async def test_nobody_gets_the_operators_word_on_an_amount_of_their_own(site: Site) -> None:
    shop = await site.scheme.merchant("Corner Bakery")
    holder = await site.services.parties.holder(shop.account)
    code = emv.read(site.services.acceptance.codes.asking(holder, "999.00", None, hold=False))
    assert isinstance(code, emv.Code)
    assert emv.is_signed_by(code, site.services.payments.acknowledger.public_key)
    assert (code.amount, code.amount_signed) == ("999.00", False)


@pytest.mark.parametrize(
    "query", ["amount=0", "amount=-1", "amount=1.005", "amount=x", "memo=%E2%80%AEabc", "request=1", "hold=1", "hold=2&amount=1"]
)
async def test_a_link_that_cannot_be_is_no_page(site: Site, query: str) -> None:
    code = await code_of(site, (await site.scheme.merchant()).account)
    assert (await site.client.get(f"/pay/{code}?{query}")).status_code == 404


@pytest.mark.parametrize("path", ["/pay/", "/pay/nonsense!", "/pay/slip/1?k=x", "/pay/slip/018f3a5c-7d1e-7c3a-9b1f-0123456789ab?k=AAAA"])
async def test_other_addresses_are_no_pages(site: Site, path: str) -> None:
    assert (await site.client.get(path)).status_code == 404
