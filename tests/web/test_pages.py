"""The pages for people: who may look, what they show, and in which words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import httpx2
import pytest

from counterfoil.assurance.running_check import CheckResult
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import TooMany
from counterfoil.i18n import Language, languages, negotiate
from counterfoil.ids import id_text
from counterfoil.ledger.chart import AccountCode
from counterfoil.ledger.types import QueryFilter
from counterfoil.money import Currency
from counterfoil.parties.types import StaffRole
from counterfoil.payments.orders import OrderKind
from counterfoil.web import staff_views
from counterfoil.web.sessions import KEPT_MAX, LINK_LIFETIME_S, SESSION_LIFETIME_S, StaffSessions
from counterfoil.web.staff_views import StaffViews
from tests.scheme import MovedClock
from tests.web.site import Site

asynchronous = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def browser(site: Site, role: StaffRole | None = StaffRole.AUDITOR) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser of somebody of the staff who has signed in, or of anybody."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", timeout=60) as client:
        if role is not None:
            member = await site.staff_member(role)
            link = await site.ok(member, "POST", "/v1/staff/sign-in-links")
            signed_in = await client.post("/staff/sign-in", data={"token": link["path"].partition("token=")[2]})
            assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/staff")
        yield client


async def page(client: httpx2.AsyncClient, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    check_form(answer.text)
    return answer.text


class Outline(HTMLParser):
    """What a page is made of, strictly: every tag is closed in its turn."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag, tag


def check_form(html: str) -> None:
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    names = [name for name, _ in outline.tags]
    assert [names.count(name) for name in ("html", "main", "h1", "title")] == [1, 1, 1, 1]
    assert "script" not in names
    assert dict(outline.tags)["html"]["lang"]
    assert not any(name.startswith("on") or name == "style" for _, attributes in outline.tags for name in attributes)
    for name, attributes in outline.tags:
        if name == "form":
            assert attributes["method"] == "post"


# Who may look


@asynchronous
@pytest.mark.parametrize("path", ["/staff", "/staff/accounts", "/staff/transfers", "/staff/proposals", "/staff/messages"])
async def test_only_staff_see_the_staff_pages(site: Site, path: str) -> None:
    async with browser(site, None) as anybody:
        assert "members of staff" in await page(anybody, path, 403)
        anybody.cookies.set("counterfoil_staff", "A" * 43)
        await page(anybody, path, 403)
    async with browser(site) as auditor:
        await page(auditor, path)


@asynchronous
async def test_only_who_may_read_the_books_gets_a_link(site: Site) -> None:
    customer = await site.scheme.customer()
    assert (await site.refused(customer, "POST", "/v1/staff/sign-in-links"))["code"] == "forbidden"
    assert (await site.refused(None, "POST", "/v1/staff/sign-in-links"))["code"] == "not_authenticated"


@asynchronous
async def test_opening_a_link_does_not_use_it_up_and_using_it_does(site: Site) -> None:
    token = site.app.sessions.invite((await site.staff_member(StaffRole.AUDITOR)).party)
    async with browser(site, None) as client:
        for _ in range(2):
            assert token in await page(client, f"/staff/sign-in?token={token}")
        answer = await client.post("/staff/sign-in", data={"token": token})
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/staff", f"max-age={SESSION_LIFETIME_S}"))
        await page(client, "/staff")
    async with browser(site, None) as another:
        assert (await another.post("/staff/sign-in", data={"token": token})).status_code == 403
        await page(another, "/staff", 403)


@asynchronous
async def test_signing_out_ends_the_session_also_for_a_copied_cookie(site: Site) -> None:
    async with browser(site) as client:
        copied = dict(client.cookies)
        assert (await client.post("/staff/sign-out")).status_code == 303
        client.cookies.update(copied)
        await page(client, "/staff", 403)


@asynchronous
async def test_another_sites_page_cannot_sign_anybody_in_or_out(site: Site) -> None:
    token = site.app.sessions.invite((await site.staff_member(StaffRole.AUDITOR)).party)
    async with browser(site) as client:
        for path in ("/staff/sign-in", "/staff/sign-out"):
            answer = await client.post(path, data={"token": token}, headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 403
        await page(client, "/staff")
    assert site.app.sessions.redeem(token) is not None


@asynchronous
async def test_a_role_that_was_taken_away_sees_nothing_more(site: Site) -> None:
    member = await site.staff_member(StaffRole.AUDITOR)
    async with browser(site, None) as client:
        await client.post("/staff/sign-in", data={"token": site.app.sessions.invite(member.party)})
        await page(client, "/staff")
        await site.services.parties.staff.take_role(member.party, StaffRole.AUDITOR, by=site.scheme.administrator)
        await page(client, "/staff", 403)


def test_a_link_and_a_session_end_by_themselves() -> None:
    clock = MovedClock()
    sessions = StaffSessions(clock)
    late, used = sessions.invite(7), sessions.redeem(sessions.invite(8))
    assert used is not None
    assert sessions.party(used) == 8
    clock.offset_s = LINK_LIFETIME_S
    assert sessions.redeem(late) is None
    clock.offset_s = SESSION_LIFETIME_S
    assert sessions.party(used) is None


def test_links_are_bounded_and_room_comes_back_with_time() -> None:
    clock = MovedClock()
    sessions = StaffSessions(clock)
    for _ in range(KEPT_MAX):
        sessions.invite(1)
    with pytest.raises(TooMany):
        sessions.invite(1)
    clock.offset_s = LINK_LIFETIME_S
    assert sessions.redeem(sessions.invite(2)) is not None


# What they show


@asynchronous
async def test_the_overview_shows_circulation_the_check_and_the_latest_transfers(site: Site) -> None:
    payer, payee = await site.scheme.customer("<b>Ünal</b> & فاطمة", funds=123_456), await site.scheme.customer("정수아")
    await payer.pay(payee, 1_250)
    async with browser(site) as client:
        html = await page(client, "/staff")
    accounts = await site.services.ledger.query_accounts(QueryFilter(limit=10, code=AccountCode.ISSUANCE))
    issued = sum(account.debits_posted - account.credits_posted for account in accounts)
    assert f"{issued // 100:,}.{issued % 100:02} USD" in html
    assert "Not checked yet since the start." in html
    assert "12.50" in html
    assert "&lt;b&gt;Ünal&lt;/b&gt; &amp; فاطمة" in html
    assert "<b>" not in html
    assert "<bdi>정수아</bdi>" in html


@asynchronous
async def test_the_check_is_told_as_it_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [CheckResult(True, 1_795_287_600 * NANOSECONDS, "fine", 1_063, 240), CheckResult(False, NANOSECONDS, "T7 is twice", 1, 2)]
    original = StaffViews.overview

    async def overview(self: StaffViews) -> dict[str, object]:
        return await original(self) | {"check": outcomes.pop(0)}

    monkeypatch.setattr(StaffViews, "overview", overview)
    async with browser(site) as client:
        good, bad = await page(client, "/staff"), await page(client, "/staff")
    assert "The books add up." in good
    assert "1,063 transfers of 240 accounts recomputed" in good
    assert "2026-11-21 19:00:00" in good
    assert "The books do not add up." in bad
    assert "T7 is twice" in bad


@asynchronous
async def test_a_transfer_leads_to_its_payment_its_legs_and_its_accounts(site: Site) -> None:
    payer, shop = await site.scheme.customer("Rose", funds=10_000), await site.scheme.merchant("Lamp shop")
    held = await payer.hold(shop, 4_000, memo="pump 3")
    captured = await shop.answer(OrderKind.CAPTURE, held, 3_000)
    async with browser(site) as client:
        html = await page(client, f"/staff/transfers/{id_text(captured.payment.id)}")
        assert "30.00 USD" in html
        assert "captured" in html
        assert f"/staff/transfers/{id_text(held.payment.id)}" in html
        assert captured.payment.order_hash.hex() in html
        assert "The scheme: fees" in html
        account = await page(client, f"/staff/accounts/{id_text(payer.account)}")
        assert "−30.00" in account
        assert "pump 3" in account
        assert "70.00 USD" in account
        for link in set(re.findall(r'href="(/staff/[^"]+)"', account + html)):
            await page(client, link.replace("&amp;", "&"))


@asynchronous
async def test_lists_go_on_where_the_page_before_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff_views, "PAGE_SIZE", 4)
    payer, payee = await site.scheme.customer(funds=50_000), await site.scheme.customer()
    for amount in range(1, 10):
        await payer.pay(payee, amount)
    accounts = await site.services.ledger.query_accounts(QueryFilter(limit=1_000))
    transfers = await site.services.ledger.query_transfers(QueryFilter(limit=1_000))
    expected = {"/staff/transfers": len(transfers), "/staff/accounts": len(accounts), f"/staff/accounts/{id_text(payer.account)}": 10}
    async with browser(site) as client:
        for path, count in expected.items():
            seen: list[str] = []
            following: str | None = path
            while following:
                html = await page(client, following)
                seen += re.findall(r'<tr role="row"><td.*?href="(/staff/[^"]+)"', html)
                found = re.search(r'href="([^"]+)" rel="next"', html)
                following = found[1].replace("&amp;", "&") if found else None
            assert len(seen) == len(set(seen)) == count, path


@asynchronous
async def test_codes_are_shown_in_a_sandbox_and_proposals_wait_for_a_second_person(site: Site) -> None:
    sent = await site.ok(None, "POST", "/v1/codes", {"number": "+254712999123"})
    bank = await site.scheme.institution("Bank")
    payload = f'{{"account": "{id_text(bank.account)}", "amount": 5000000}}'.encode()
    await site.services.approvals.propose(12_345, "issue", payload, reason="market days", by=site.scheme.treasurers[0])
    async with browser(site) as client:
        messages = await page(client, "/staff/messages")
        assert sent["code"] in messages
        assert "+254712999123" in messages
        proposals = await page(client, "/staff/proposals")
        assert "issue of money: 50,000.00 USD" in proposals
        assert "waits for a second person" in proposals
        assert "market days" in proposals


@asynchronous
@pytest.mark.parametrize(
    "path",
    [
        "/staff/nothing",
        "/staff/transfers/00000000-0000-7000-8000-000000000001",
        "/staff/accounts/00000000-0000-7000-8000-000000000001",
        "/staff/accounts?kind=kings",
        "/staff/transfers?before=x",
        "/staff/transfers?before=99999999999999999999",
        "/static/%2e%2e/pages.py",
        "/static/nothing.css",
    ],
)
async def test_a_wrong_address_is_told_as_a_page(site: Site, path: str) -> None:
    async with browser(site) as client:
        await page(client, path, 404)


@asynchronous
async def test_the_front_page_says_what_this_is_and_which_key_to_trust(site: Site) -> None:
    scheme = await site.ok(None, "GET", "/v1/scheme")
    async with browser(site, None) as client:
        html = await page(client, "/")
        assert scheme["operator_key"] in html
        assert scheme["origin"] in html
        assert "Sandbox" in html
        for link in set(re.findall(r'href="(/[^"]*)"', html)):
            assert (await client.get(link)).status_code == 200, link


@asynchronous
async def test_a_form_beyond_its_bound_is_refused(site: Site) -> None:
    async with browser(site, None) as client:
        assert (await client.post("/staff/sign-in", data={"token": "x" * 5_000})).status_code == 413
        assert (await client.post("/staff/sign-in", content=b"\xff\xfe=%")).status_code == 403


# In which words


@asynchronous
async def test_a_page_speaks_the_language_that_is_asked_for_and_remembers_it(site: Site) -> None:
    async with browser(site) as client:
        assert "유통 중인 돈" in await page(client, "/staff?lang=ko")
        korean = await page(client, "/staff")
        assert '<html lang="ko">' in korean
        assert "En circulation" in await page(client, "/staff?lang=fr")
        await page(client, "/staff?lang=xx")
    async with browser(site, None) as client:
        answer = await client.get("/", headers={"Accept-Language": "de, fr-CA;q=0.8, ko;q=0.3"})
        assert answer.headers["content-language"] == "fr"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("ko", "ko"),
        ("KO-kr", "ko"),
        ("fr;q=0.2, ko;q=0.9", "ko"),
        ("de, *;q=0.5", "en"),
        ("ko;q=0, fr", "fr"),
        (";;;,q=", "en"),
    ],
)
def test_the_language_that_a_browser_likes_best_is_taken(header: str, code: str) -> None:
    assert negotiate(header, languages(("en", "ko", "fr"))).code == code


def test_amounts_are_written_as_the_language_does() -> None:
    dollars, won = Currency(code="USD", digits=2, ledger=840), Currency(code="KRW", digits=0, ledger=410)
    assert Language("en").money(123_456_789, dollars) == "1,234,567.89"
    assert Language("fr").money(123_456_789, dollars) == "1\u202f234\u202f567,89"
    assert Language("ko").money(1_234_567, won) == "1,234,567"
    assert [Language("en").signed_money(amount, dollars) for amount in (5, 0, -5)] == ["+0.05", "0.00", "\u22120.05"]
