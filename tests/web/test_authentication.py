"""Who may call what: devices by signatures, servers by tokens, staff by roles; and who guesses waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from counterfoil.ids import id_text, new_id
from counterfoil.parties import statements
from counterfoil.parties.tokens import TOKENS_MAX, Scope
from counterfoil.parties.types import StaffRole
from counterfoil.web.guesses import WRONG_SIGNATURES_PER_MINUTE
from counterfoil.web.values import base64_text
from tests.scheme import Person
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

ME = "/v1/accounts/me"


async def code(site: Site, who: Person | str | None, method: str, path: str, body: Any = None, **more: Any) -> str:
    return str((await site.refused(who, method, path, body, **more))["code"])


# Devices


async def test_a_device_sees_its_own_account(site: Site) -> None:
    person = await site.scheme.customer("Ha-eun 하은", funds=700)
    me = await site.ok(person, "GET", ME)
    assert (me["account"], me["party"], me["name"]) == (id_text(person.account), id_text(person.party), "Ha-eun 하은")
    assert (me["balance"], me["available"], me["currency"], me["tier"]) == (700, 700, "USD", "identity_verified")
    assert (me["limits"]["per_payment"], me["limits"]["own"], me["freezes"], me["recovery"]) == (1_000_000, [], [], None)


async def test_nobody_and_both_kinds_at_once_are_nobody(site: Site) -> None:
    person = await site.scheme.customer()
    answer = await site.call(None, "GET", ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "Bearer" in answer.headers["www-authenticate"]
    assert await code(site, person, "GET", ME, headers={"Authorization": "Bearer cft_x"}) == "not_authenticated"
    assert await code(site, None, "GET", ME, headers={"Authorization": "Basic dTpw"}) == "not_authenticated"


async def test_a_signature_is_for_one_request_only(site: Site) -> None:
    person = await site.scheme.customer()
    signed = site.signature(person, "GET", ME)
    assert (await site.call(None, "GET", ME, headers=signed)).status_code == 200
    assert await code(site, None, "GET", "/v1/history", headers=signed) == "wrong_signature"
    assert await code(site, None, "GET", ME, query="x=1", headers=signed) == "wrong_signature"
    body = b'{"handle":"@somebody_1"}'
    signed = site.signature(person, "POST", "/v1/handle", body)
    assert await code(site, None, "POST", "/v1/handle", body.replace(b"1", b"2"), headers=signed) == "wrong_signature"
    unsigned = {name: value for name, value in signed.items() if name != "Content-Digest"}
    assert await code(site, None, "POST", "/v1/handle", body, headers=unsigned) == "wrong_signature"
    assert (await site.ok(person, "GET", ME))["handle"] is None


async def test_an_old_signature_and_another_persons_are_refused(site: Site) -> None:
    person, other = await site.scheme.customer(), await site.scheme.customer()
    old = await site.refused(None, "GET", ME, headers=site.signature(person, "GET", ME, age_s=301))
    assert (old["code"], old["retry"], old["facts"]["age_max_s"]) == ("request_too_old", "change", 300)
    stolen = Person(site.scheme, party=person.party, account=person.account, device=person.device, key=other.key, address="")
    assert await code(site, stolen, "GET", ME) == "wrong_signature"
    unknown = Person(site.scheme, party=1, account=1, device=new_id(site.services.clock), key=other.key, address="")
    assert await code(site, unknown, "GET", ME) == "unknown_device"


async def test_a_header_that_comes_twice_counts_for_nothing(site: Site) -> None:
    person = await site.scheme.customer()
    signed = site.signature(person, "GET", ME)
    headers = [*signed.items(), ("Signature", signed["Signature"])]
    answer = await site.client.get(ME, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["facts"]["field"]) == (400, "malformed", "signature")


async def test_a_revoked_device_is_out_at_once(site: Site) -> None:
    person = await site.scheme.customer(funds=100)
    revoke = statements.revoke_device(origin=site.services.config.origin, party=person.party, device=person.device)
    body = {"by_device": id_text(person.device), "signature": base64_text(person.key.sign(revoke).signature)}
    assert await site.ok(None, "POST", f"/v1/devices/{id_text(person.device)}/revoke", body) is None
    assert await code(site, person, "GET", ME) == "unknown_device"
    shop = await site.scheme.merchant()
    assert (await site.pay(person.sign(person.order(shop, 50)))).json()["code"] == "unknown_device"
    assert person.balance() == 100


async def test_whoever_guesses_signatures_has_to_wait(site: Site) -> None:
    person, other, shop = await site.scheme.customer(funds=500), await site.scheme.customer(), await site.scheme.merchant()
    forged = person.sign(person.order(shop, 100))
    forged = type(forged)(forged.order, forged.device, bytes(64))
    answers = [await site.pay(forged) for _ in range(WRONG_SIGNATURES_PER_MINUTE + 1)]
    assert [answer.status_code for answer in answers] == [401] * WRONG_SIGNATURES_PER_MINUTE + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert (await site.pay(other.sign(other.order(shop, 100)))).json()["code"] == "insufficient_funds"
    site.wait(60)
    assert (await site.pay(person.sign(person.order(shop, 100)))).status_code == 200


async def test_requests_signed_wrongly_are_counted_too(site: Site) -> None:
    person, other = await site.scheme.customer(), await site.scheme.customer()
    stolen = Person(site.scheme, party=1, account=1, device=person.device, key=other.key, address="")
    codes = [await code(site, stolen, "GET", ME) for _ in range(WRONG_SIGNATURES_PER_MINUTE + 1)]
    assert codes == ["wrong_signature"] * WRONG_SIGNATURES_PER_MINUTE + ["too_many"]
    site.wait(60)


async def test_enrolment_from_one_address_is_slowed_down(site: Site) -> None:
    site.wait(600)
    answers = [await site.call(None, "POST", "/v1/codes", {"number": "+254"}) for _ in range(25)]
    assert {answer.status_code for answer in answers[:20]} == {400}
    assert {answer.status_code for answer in answers[20:]} == {429}
    site.wait(600)


async def test_the_directory_cannot_be_copied(site: Site) -> None:
    person, other = await site.scheme.customer(), await site.scheme.customer("Ada")
    found = await site.ok(person, "POST", "/v1/resolve", {"address": other.address})
    assert (found["account"], found["name"]) == (id_text(other.account), "Ada")
    assert other.address not in str(found)
    codes = {(await site.call(person, "POST", "/v1/resolve", {"address": "+254712999999"})).status_code for _ in range(80)}
    assert codes == {404, 429}
    assert await code(site, None, "POST", "/v1/resolve", {"address": other.address}) == "not_authenticated"


# Tokens


async def test_a_token_does_what_its_scopes_say_and_nothing_else(site: Site) -> None:
    shop, payer = await site.scheme.merchant(funds=1_000), await site.scheme.customer(funds=1_000)
    reader = await site.token(shop, "payments:read")
    assert (await site.ok(reader, "GET", ME))["account"] == id_text(shop.account)
    assert (await site.ok(reader, "GET", "/v1/history"))["entries"]
    assert await code(site, reader, "POST", "/v1/merchant/refunds", {}) == "forbidden"
    assert await code(site, reader, "GET", "/v1/webhooks") == "forbidden"
    for path in ("/v1/tokens", "/v1/devices"):
        assert await code(site, reader, "GET", path) == "forbidden"
    assert await code(site, reader, "GET", "/v1/staff/accounts") == "forbidden"
    refunder = await site.token(shop, "refunds:write")
    assert await code(site, refunder, "GET", ME) == "forbidden"
    paid = (await site.pay(payer.sign(payer.order(shop, 400)))).json()
    refund = {"id": id_text(new_id(site.services.clock)), "payment": paid["id"], "amount": 300}
    first = await site.ok(refunder, "POST", "/v1/merchant/refunds", refund)
    assert (first["kind"], first["amount"], first["reference"]) == ("refund", 300, paid["id"])
    assert await site.ok(refunder, "POST", "/v1/merchant/refunds", refund) == first
    assert await code(site, refunder, "POST", "/v1/merchant/refunds", refund | {"amount": 100}) == "id_reused"
    again = refund | {"id": id_text(new_id(site.services.clock)), "amount": 101}
    above = await site.refused(refunder, "POST", "/v1/merchant/refunds", again)
    assert (above["code"], above["facts"]["left"]) == ("above_original", 100)
    assert payer.balance() == 900


async def test_a_token_of_another_shop_sees_and_refunds_nothing_here(site: Site) -> None:
    shop, other, payer = await site.scheme.merchant(), await site.scheme.merchant(funds=900), await site.scheme.customer(funds=1_000)
    paid = (await site.pay(payer.sign(payer.order(shop, 400)))).json()
    token, before = await site.token(other, *(scope for scope in Scope if scope is not Scope.TILL)), other.balance()
    refund = {"id": id_text(new_id(site.services.clock)), "payment": paid["id"], "amount": 100}
    assert await code(site, token, "POST", "/v1/merchant/refunds", refund) == "payment_not_found"
    assert await code(site, token, "GET", f"/v1/payments/{paid['id']}") == "payment_not_found"
    assert other.balance() == before


async def test_a_servers_captures_and_releases(site: Site) -> None:
    shop, payer = await site.scheme.merchant(), await site.scheme.customer(funds=1_000)
    token = await site.token(shop, "holds:write")
    holds = [(await payer.hold(shop, 300)).payment.id for _ in range(2)]
    capture = {"id": id_text(new_id(site.services.clock)), "hold": id_text(holds[0]), "amount": 200}
    captured = await site.ok(token, "POST", "/v1/merchant/captures", capture)
    assert (captured["kind"], captured["amount"], captured["account"]) == ("capture", 200, id_text(shop.account))
    assert await site.ok(token, "POST", "/v1/merchant/captures", capture) == captured
    release = {"id": id_text(new_id(site.services.clock)), "hold": id_text(holds[1])}
    assert (await site.ok(token, "POST", "/v1/merchant/releases", release))["kind"] == "release"
    assert (payer.balance(), payer.available(), shop.balance()) == (800, 800, 199)
    gone = {"id": id_text(new_id(site.services.clock)), "hold": id_text(holds[1]), "amount": 1}
    assert await code(site, token, "POST", "/v1/merchant/captures", gone) == "hold_not_open"


async def test_a_token_ends_when_it_is_revoked_and_when_its_time_is_over(site: Site) -> None:
    shop = await site.scheme.merchant()
    token = await site.token(shop, "payments:read")
    listed = (await site.ok(shop, "GET", "/v1/tokens"))["tokens"]
    assert [(each["label"], each["scopes"], each["revoked_at"]) for each in listed] == [("till", ["payments:read"], None)]
    assert token not in str(listed)
    path = f"/v1/tokens/{listed[0]['id']}"
    other = await site.scheme.merchant()
    assert await code(site, other, "DELETE", path) == "not_found"
    assert (await site.ok(token, "GET", ME))["name"] == "Corner shop"
    for _ in range(2):
        assert await site.ok(shop, "DELETE", path) is None
    assert await code(site, token, "GET", ME) == "wrong_token"
    short = await site.token(shop, "payments:read")
    site.scheme.clock.offset_s += 3_601
    try:
        assert await code(site, short, "GET", ME) == "wrong_token"
    finally:
        site.scheme.clock.offset_s -= 3_601


@pytest.mark.parametrize("change", ["x", "cft_", "cut", "other secret", "other id", "prefix"])
async def test_a_token_that_is_not_exactly_right(site: Site, change: str) -> None:
    shop = await site.scheme.merchant()
    good = await site.token(shop, "payments:read")
    flipped = "B" if good[-1] == "A" else "A"
    wrong = {
        "cut": good[:-1],
        "other secret": good[:-1] + flipped,
        "other id": f"{good[:6]}{'A' if good[6] != 'A' else 'B'}{good[7:]}",
        "prefix": "tok_" + good[4:],
    }.get(change, change)
    assert await code(site, wrong, "GET", ME) in ("wrong_token", "not_authenticated")


async def test_tokens_are_for_shops_and_bounded_in_number_scope_and_time(site: Site) -> None:
    person, shop = await site.scheme.customer(), await site.scheme.merchant()
    good = {"label": "till", "scopes": ["payments:read"], "expires_at": site.in_seconds(60)}
    assert await code(site, person, "POST", "/v1/tokens", good) == "forbidden"
    too_early, too_late = site.in_seconds(-1), site.in_seconds(400 * 86_400)
    wrong: list[dict[str, Any]] = [{"scopes": []}, {"scopes": ["all"]}, {"expires_at": too_early}, {"expires_at": too_late}]
    for changes in wrong:
        assert await code(site, shop, "POST", "/v1/tokens", good | changes) == "malformed"
    answers = await asyncio.gather(*(site.call(shop, "POST", "/v1/tokens", good) for _ in range(TOKENS_MAX + 1)))
    assert sorted(answer.status_code for answer in answers) == [201] * TOKENS_MAX + [413]


# Staff


async def test_staff_do_what_their_role_allows(site: Site) -> None:
    auditor, clerk = await site.staff_member(StaffRole.AUDITOR), await site.staff_member(StaffRole.CLERK)
    customer = await site.scheme.customer()
    assert (await site.ok(auditor, "GET", "/v1/staff/accounts"))["accounts"]
    freeze = {"id": id_text(new_id(site.services.clock)), "party": id_text(customer.party), "reason": "looks odd"}
    refused = await site.refused(auditor, "POST", "/v1/staff/freezes", freeze)
    assert (refused["code"], refused["facts"]["permission"]) == ("forbidden", "freeze")
    assert await code(site, clerk, "POST", "/v1/staff/freezes", freeze) == "forbidden"
    assert await code(site, customer, "GET", "/v1/staff/accounts") == "forbidden"
    assert await code(site, clerk, "GET", ME) == "forbidden"
    proposal = {
        "id": id_text(new_id(site.services.clock)),
        "kind": "issue",
        "reason": "new money",
        "circulation": {"account": id_text(customer.account), "amount": 5},
    }
    assert await code(site, auditor, "POST", "/v1/staff/proposals", proposal) == "forbidden"
