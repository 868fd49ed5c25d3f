"""Bad input over HTTP: each kind has its own clear error, nothing changes, and the server lives."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from nacl.signing import SigningKey

from counterfoil.ids import id_text, new_id
from counterfoil.payments.orders import Order, OrderKind, encode
from counterfoil.web.values import base64_text
from tests.scheme import Person
from tests.web.site import Site, problem, signed_body

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAYMENTS = "/v1/payments"
AMOUNT_AT = -(8 + 8 + 16 + 8 + 8 + 8 + 32 + 32 + 1 + 16 + 4)  # of an order without memo: amount, max_fee, id, expiry, ...


class People:
    """Two who pay each other, a shop, and what they had before."""

    def __init__(self, payer: Person, payee: Person, shop: Person) -> None:
        self.payer = payer
        self.payee = payee
        self.shop = shop
        self.before = self.balances()

    def balances(self) -> list[tuple[int, int]]:
        return [(person.balance(), person.available()) for person in (self.payer, self.payee, self.shop)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(site: Site) -> People:
    payer, payee = await site.scheme.customer(funds=100_000), await site.scheme.customer(funds=50_000)
    return People(payer, payee, await site.scheme.merchant(funds=10_000))


@pytest_asyncio.fixture(loop_scope="module")
async def people(site: Site, known: People) -> AsyncIterator[People]:
    """The same people for every case: whatever a case sends, afterwards all is as before, and the server answers."""
    transfers = await site.services.ledger.get_change_events(timestamp_min=1, limit=8_000)
    site.wait(120)  # what was guessed in other cases is forgiven
    yield known
    assert known.balances() == known.before
    assert await site.services.ledger.get_change_events(timestamp_min=1, limit=8_000) == transfers
    assert (await site.ok(None, "GET", "/health")) == {"status": "alive"}
    assert (await site.ok(None, "GET", "/ready"))["status"] == "ready"


async def refused(site: Site, body: Any, *, headers: dict[str, str] | None = None) -> tuple[int, str, dict[str, Any]]:
    found = await site.refused(None, "POST", PAYMENTS, body, headers=headers)
    return found["status"], found["code"], found["facts"]


def raw(person: Person, data: bytes) -> dict[str, str]:
    return {
        "order": base64_text(data),
        "device": id_text(person.device),
        "signature": base64_text(person.key.sign(data).signature),
    }


def with_amount(data: bytes, amount: int) -> bytes:
    at = len(data) + AMOUNT_AT
    return data[:at] + struct.pack(">Q", amount) + data[at + 8 :]


# The order itself


@pytest.mark.parametrize("amount", [0, 2**63, 2**64 - 1])
async def test_an_amount_in_an_order_is_1_to_2_63_less_1(site: Site, people: People, amount: int) -> None:
    data = with_amount(encode(people.payer.order(people.payee, 100)), amount)
    status, code, facts = await refused(site, raw(people.payer, data))
    assert (status, code, facts["field"]) == (400, "malformed", "order.amount")


ORDERS: dict[str, tuple[Callable[[People], Order], int, str, str | None]] = {
    "an unknown currency": (lambda p: p.payer.order(p.payee, 100, asset="XTS"), 422, "wrong_scheme", None),
    "another scheme": (lambda p: p.payer.order(p.payee, 100, origin="elsewhere.example/log"), 422, "wrong_scheme", None),
    "the own account": (lambda p: p.payer.order(p.payer, 100), 422, "same_payer_and_payee", None),
    "expired": (lambda p: p.payer.order(p.payee, 100, expiry_ms=1_000), 422, "order_expired", None),
    "an expiry too far ahead": (lambda p: p.payer.order(p.payee, 100, expiry_ms=2**60), 400, "malformed", "order.expiry"),
    "more than there is": (lambda p: p.payer.order(p.payee, 100_001), 422, "insufficient_funds", None),
    "more than a limit": (lambda p: p.payer.order(p.payee, 2**63 - 1), 422, "limit_exceeded", None),
    "nobody's account": (lambda p: p.payer.order(12_345, 100), 404, "party_not_found", None),
    "from somebody else's account": (lambda p: p.payer.order(p.shop, 100, payer=p.payee.account), 403, "not_your_account", None),
    "other rules": (lambda p: p.payer.order(p.payee, 100, rules_hash=bytes(32)), 422, "rules_changed", None),
    "a fee above the agreed": (lambda p: p.payer.order(p.payee, 50_000, max_fee=19), 422, "fee_above_maximum", None),
    "a capture of nothing": (lambda p: p.payer.order(p.payee, 100, kind=OrderKind.CAPTURE, reference=5), 404, "payment_not_found", None),
    "a refund of nothing": (lambda p: p.payer.order(p.payee, 100, kind=OrderKind.REFUND, reference=5), 404, "payment_not_found", None),
    "an answer to no request": (lambda p: p.payer.order(p.payee, 100, reference=77), 404, "not_found", None),
    "a hold without time": (lambda p: p.payer.order(p.shop, 100, kind=OrderKind.HOLD), 400, "malformed", "order.timeout_s"),
    "a log head that is not": (lambda p: p.payer.order(p.payee, 100, checkpoint_size=9), 400, "malformed", "order.checkpoint_root"),
    "an entry that is not": (lambda p: p.payer.order(p.payee, 100, payer_last=2**62), 400, "malformed", "order.payer_last"),
    "a memo too long": (lambda p: p.payer.order(p.payee, 100, memo="é" * 129), 400, "malformed", "order.memo"),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
async def test_an_order_with(site: Site, people: People, name: str) -> None:
    make, status, code, field = ORDERS[name]
    found = await refused(site, raw(people.payer, encode(make(people))))
    assert found[:2] == (status, code), found
    if field:
        assert found[2]["field"] == field


async def test_an_expired_order_stays_refused_however_often(site: Site, people: People) -> None:
    body = raw(people.payer, encode(people.payer.order(people.payee, 100, expiry_ms=1_000)))
    assert [(await refused(site, body))[1] for _ in range(3)] == ["order_expired"] * 3


async def test_an_altered_order_is_not_what_was_signed(site: Site, people: People) -> None:
    data = encode(people.payer.order(people.payee, 100))
    body = raw(people.payer, data) | {"order": base64_text(with_amount(data, 101))}
    assert (await refused(site, body))[:2] == (401, "wrong_signature")


async def test_a_wrong_signature_a_wrong_key_and_an_unknown_device(site: Site, people: People) -> None:
    data = encode(people.payer.order(people.payee, 100))
    body = raw(people.payer, data)
    stranger = base64_text(SigningKey.generate().sign(data).signature)
    assert (await refused(site, body | {"signature": base64_text(bytes(64))}))[:2] == (401, "wrong_signature")
    assert (await refused(site, body | {"signature": stranger}))[:2] == (401, "wrong_signature")
    assert (await refused(site, body | {"device": id_text(new_id(site.services.clock))}))[:2] == (401, "unknown_device")


async def test_a_good_signature_by_anothers_key_spends_only_their_own(site: Site, people: People) -> None:
    data = encode(people.payer.order(people.shop, 100))
    assert (await refused(site, raw(people.payee, data)))[:2] == (403, "not_your_account")
    theirs = raw(people.payee, data) | {"device": id_text(people.payer.device)}
    assert (await refused(site, theirs))[:2] == (401, "wrong_signature")


async def test_a_signature_over_another_kind_of_statement_is_no_order(site: Site, people: People) -> None:
    data = b"counterfoil/batch/v1" + encode(people.payer.order(people.payee, 100))[20:]
    status, code, facts = await refused(site, raw(people.payer, data))
    assert (status, code, facts["field"]) == (400, "malformed", "order")


@pytest.mark.parametrize("size", [0, 1, 19, 20, 50, 200])
async def test_an_order_cut_short(site: Site, people: People, size: int) -> None:
    data = encode(people.payer.order(people.payee, 100))[:size]
    status, code, facts = await refused(site, raw(people.payer, data))
    assert (status, code) == (400, "malformed")
    assert facts["field"] == "order"


# The envelope

BODIES: dict[str, tuple[bytes | Callable[[dict[str, str]], Any], str]] = {
    "nothing": (b"", "body"),
    "no JSON": (b"{", "body"),
    "two values": (lambda good: json.dumps(good).encode() + b" {}", "body"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "body"),
    "not UTF-8": (b'{"order": "\xff"}', "body"),
    "half a surrogate": (b'{"order": "\\ud800"}', "body"),
    "not a number": (b'{"order": NaN}', "body"),
    "a list": (b"[]", "body"),
    "a text": (b'"order"', "body"),
    "null": (b"null", "body"),
    "deep nesting": (b"[" * 30_000, "body"),
    "deep nesting in a field": (b'{"order":' + b"[" * 30_000, "order"),
    "deep nesting in an unknown field": (b'{"x":' + b'{"x":' * 10_000, "x"),
    "nothing in it": (b"{}", "order"),
    "an unknown field": (lambda good: good | {"amount": 5}, "amount"),
    "a number for a text": (lambda good: good | {"order": 5}, "order"),
    "null for a text": (lambda good: good | {"order": None}, "order"),
    "padding": (lambda good: good | {"order": good["order"] + "="}, "order"),
    "the other base64": (lambda good: good | {"order": "+/+/"}, "order"),
    "loose last bits": (lambda good: good | {"signature": good["signature"][:-1] + "_"}, "signature"),
    "an order above its size": (lambda good: good | {"order": "A" * 2_000}, "order"),
    "a signature of 60 bytes": (lambda good: good | {"signature": good["signature"][:80]}, "signature"),
    "a signature of no bytes": (lambda good: good | {"signature": ""}, "signature"),
    "a signature with a line end": (lambda good: good | {"signature": good["signature"] + "\n"}, "signature"),
    "a device in capitals": (lambda good: good | {"device": good["device"].upper()}, "device"),
    "a device without hyphens": (lambda good: good | {"device": good["device"].replace("-", "")}, "device"),
    "a device with underscores": (lambda good: good | {"device": "0_0" + good["device"][3:]}, "device"),
    "device zero": (lambda good: good | {"device": "00000000-0000-0000-0000-000000000000"}, "device"),
    "the highest device": (lambda good: good | {"device": "ffffffff-ffff-ffff-ffff-ffffffffffff"}, "device"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_with(site: Site, people: People, name: str) -> None:
    make, field = BODIES[name]
    good = signed_body(people.payer.sign(people.payer.order(people.payee, 100)))
    body = make if isinstance(make, bytes) else make(good)
    status, code, facts = await refused(site, body, headers={"Content-Type": "application/json"})
    assert (status, code, facts["field"]) == (400, "malformed", field), facts


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""])
async def test_a_body_in_another_format(site: Site, people: People, media_type: str) -> None:
    good = json.dumps(signed_body(people.payer.sign(people.payer.order(people.payee, 100)))).encode()
    assert (await refused(site, good, headers={"Content-Type": media_type}))[:2] == (415, "unsupported_format")


@pytest.mark.parametrize("path", [PAYMENTS, "/v1/codes", "/v1/requests"])
async def test_a_body_above_the_limit_by_its_own_word(site: Site, people: People, path: str) -> None:
    found = await site.refused(None, "POST", path, b" " * 65_537)
    assert (found["status"], found["code"], found["facts"]) == (413, "too_large", {"size_max": 65_536})


@pytest.mark.parametrize("path", [PAYMENTS, "/v1/codes", "/v1/pin"])
async def test_a_body_above_the_limit_that_does_not_say_so(site: Site, people: People, path: str) -> None:
    """Chunked, without a length: counted while it comes; the rest is not read."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 8_192

    answer = await site.client.post(path, content=chunks(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, problem(answer)["code"]) == (413, "too_large")


async def test_a_length_that_lies_is_no_way_around_the_limit(site: Site, people: People) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999999\r\n\r\n")
    line = await asyncio.wait_for(reader.readline(), 60)
    assert line.split()[1] in (b"400", b"413"), line
    writer.close()


async def test_garbage_instead_of_http_ends_the_connection_only(site: Site, people: People) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 60)).split()[1] == b"400"
    writer.close()


async def test_a_caller_who_hangs_up_in_the_middle_does_no_harm(site: Site, people: People) -> None:
    for path in (b"/v1/payments", b"/v1/requests"):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def test_unknown_addresses_and_methods_are_problems_too(site: Site, people: People) -> None:
    for path in ("/nowhere", "/v1", "/v1/", "/v1/payments/", "/v1//payments", "/v1/payments/x/y/z", "/v1/%2e%2e/health", "/v1/history/"):
        assert (await site.refused(None, "GET", path))["code"] == "not_found", path
    answer = await site.call(None, "DELETE", "/v1/payments")
    assert (answer.status_code, problem(answer)["code"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert (await site.refused(None, "GET", "/v1/payments"))["code"] == "method_not_allowed"
    assert (await site.refused(None, "PATCH", "/v1/rules"))["code"] == "method_not_allowed"
    assert (await site.refused(None, "GET", "/v1/" + "x" * 600))["facts"]["field"] == "path"
    assert (await site.refused(None, "POST", "/v1/payments", {}, query="x=1"))["code"] == "malformed"


# Amounts, and other fields, as JSON numbers

AMOUNTS = [0, -1, 1.5, 5.0, True, "5", None, 2**63, 2**64, 10**40, [5]]


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_an_amount_in_json_is_a_whole_number_above_zero(site: Site, people: People, amount: Any) -> None:
    token = await site.token(people.shop, "refunds:write", "requests:write")
    body = {"id": id_text(new_id(site.services.clock)), "payment": id_text(5), "amount": amount}
    found = await site.refused(token, "POST", "/v1/merchant/refunds", body)
    assert (found["status"], found["code"], found["facts"]["field"]) == (400, "malformed", "amount")


@pytest.mark.parametrize("text", ["1e3", "1E2", "5.00", "0x10", "1_000", "+5", "05", "Infinity", "-0"])
async def test_an_amount_in_another_notation(site: Site, people: People, text: str) -> None:
    token = await site.token(people.shop, "refunds:write")
    body = f'{{"id":"{id_text(6)}","payment":"{id_text(5)}","amount":{text}}}'.encode()
    found = await site.refused(token, "POST", "/v1/merchant/refunds", body)
    assert (found["status"], found["code"]) == (400, "malformed")


@pytest.mark.parametrize(
    "query", ["amount=0", "amount=-1", "amount=1.5", "amount=1e3", "amount=9223372036854775808", "amount=%205", "amount=", "amount=%D9%A5"]
)
async def test_an_amount_in_a_query(site: Site, people: People, query: str) -> None:
    query = f"payee={id_text(people.payee.account)}&{query}"
    found = await site.refused(people.payer, "GET", "/v1/quote", query=query)
    assert (found["status"], found["code"], found["facts"]["field"]) == (400, "malformed", "amount")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "other=1", "limit", "cursor=x", "cursor=" + "A" * 22, "%ff=1", "limit=%ff"],
)
async def test_a_page_that_is_none(site: Site, people: People, query: str) -> None:
    found = await site.refused(people.payer, "GET", "/v1/history", query=query)
    assert (found["status"], found["code"]) == (400, "malformed")


@pytest.mark.parametrize("id", ["x", "5", "018F3A5C-7D1E-7C3A-9B1F-0123456789AB", "%00", "%ff", "018f3a5c7d1e7c3a9b1f0123456789ab", "..;"])
async def test_an_id_in_another_form(site: Site, people: People, id: str) -> None:
    found = await site.refused(people.payer, "GET", f"/v1/payments/{id}")
    assert found["code"] in ("malformed", "not_found"), found


# Numbers and names

NUMBERS = [
    "",
    "12",
    "+",
    "abc",
    "+254",
    "+1 555",
    "0712 34567x",
    "+254712345678;ext=1",
    "\u0660\u0661\u0662",
    "+2547123456789012345678901234567890",
    "٠٧١٢٣٤٥٦٧٨",
    "+254712345678\n",
    "' OR 1=1",
    "tel:+254712345678",
]


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_number_in_the_wrong_form(site: Site, people: People, number: str) -> None:
    found = await site.refused(None, "POST", "/v1/codes", {"number": number})
    assert (found["status"], found["code"], found["facts"]["field"]) == (400, "malformed", "number")


NAMES_REFUSED = ["", " ", "\u200b", "\u202eevil", "a\x00b", "a\nb", "x" * 10_000, "e" + "\u0301" * 60, "\u3164", "\ud83d"]
NAMES_TAKEN = [
    "하은",
    "Nguyễn Thị Ánh",
    "محمد علي",
    "שרה",
    "👩‍🌾 Farm",
    "தமிழ்",
    "O'Brien-Smith Jr.",
    "Ж",
    "<script>alert(1)</script>",
    "'; DROP TABLE parties;--",
]


@pytest.mark.parametrize("name", NAMES_REFUSED)
async def test_a_name_that_is_none(site: Site, people: People, name: str) -> None:
    body = json.dumps(await site.enrolment(name)).encode()
    found = await site.refused(None, "POST", "/v1/accounts", body)
    assert (found["status"], found["code"]) == (400, "malformed")
    assert found["facts"]["field"] in ("name", "body")


@pytest.mark.parametrize("name", NAMES_TAKEN)
async def test_a_name_in_any_script_is_kept_as_it_is(site: Site, people: People, name: str) -> None:
    opened = await site.ok(None, "POST", "/v1/accounts", await site.enrolment(name))
    assert opened["name"] == name
    found = await site.services.parties.holder(int(opened["account"].replace("-", ""), 16))
    assert found.name == name
