"""Behind workers a client sees what it sees of one process: the same bytes, for whatever it sends."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from counterfoil.config import FILE_NAME
from counterfoil.payments.orders import OrderKind, decode
from tests.serving.town import Answer, Served, Town, Wire, payment, request, served, wire
from tests.web.site import signed_body

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORWARDED = "203.0.113."
JSON = {"Content-Type": "application/json"}
GATEWAY_SECRET = "0123456789abcdef"
DIALLED = b"sessionId=same&phoneNumber=%2B254711000111&text="


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = await Town.built(tmp_path_factory.mktemp("town") / "data", 4)
    (town.folder / FILE_NAME).write_text(f'[[ussd]]\nname = "main"\nkind = "africastalking"\nsecret = "{GATEWAY_SECRET}"\n', "utf-8")
    return town


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without what differs from one moment to the next: date, request id, and what its digits add to the length."""
    named = re.search(rb'"request_id":"([0-9a-f]+-[0-9a-f]+)"', answer.body)
    request_id = named[1].decode() if named else answer.header("x-request-id") or ""
    is_problem = answer.header("content-type") == "application/problem+json"
    headers = []
    for name, value in answer.headers:
        if name == "content-length" and is_problem:
            headers.append((name, str(int(value) - len(request_id))))
        elif name not in ("date", "x-request-id"):
            headers.append((name, value))
    return answer.status, headers, answer.body.replace(request_id.encode(), b"-") if request_id else answer.body


Exchange = Callable[[Wire], AsyncIterator[Answer]]


def whole(*asked: bytes) -> Exchange:
    """Each request after the answer to the one before."""

    async def exchange(on: Wire) -> AsyncIterator[Answer]:
        for each in asked:
            yield await on.ask(each, head_only=each.startswith(b"HEAD"))

    return exchange


def in_pieces(data: bytes, *at: int) -> Exchange:
    async def exchange(on: Wire) -> AsyncIterator[Answer]:
        ends = [0, *at, len(data)]
        yield await on.ask(*(data[a:b] for a, b in itertools.pairwise(ends)))

    return exchange


def ahead(*asked: bytes) -> Exchange:
    """All requests at once, then the answers."""

    async def exchange(on: Wire) -> AsyncIterator[Answer]:
        await on.send(b"".join(asked))
        for _ in asked:
            yield await on.answer()

    return exchange


def expected(data: bytes) -> Exchange:
    """A body that is sent only once the server has said that it wants it."""

    async def exchange(on: Wire) -> AsyncIterator[Answer]:
        end = data.index(b"\r\n\r\n") + 4
        yield await on.ask(data[: end - 2] + b"Expect: 100-continue\r\n\r\n", head_only=True)
        yield await on.ask(data[end:])

    return exchange


def then_closed(asked: bytes) -> Exchange:
    async def exchange(on: Wire) -> AsyncIterator[Answer]:
        yield await on.ask(asked)
        assert await on.is_closed()

    return exchange


def chunked(body: bytes, *sizes: int) -> bytes:
    parts, at = [], 0
    for size in (*sizes, len(body)):
        piece = body[at : at + size]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"")
        at += size
    return b"".join(parts) + b"0\r\n\r\n"


def exchanges(town: Town) -> dict[str, Exchange]:
    """Everything that is compared. What moves money has been carried out before, so that both sides answer the same receipt."""
    payer, payee, other, poor = town.people
    paid = [town.order(payer, payee, amount) for amount in (100, 200, 300)]
    held = town.order(payer, payee, 50, kind=OrderKind.HOLD, timeout_s=3_600)
    to_payee: dict[str, Any] = {"payer": payer.account, "reference": _id(held.order)}
    taken = town.order(payee, payee, 30, kind=OrderKind.CAPTURE, **to_payee)
    refund = town.order(payee, payer, 100, kind=OrderKind.REFUND, reference=_id(paid[0].order))
    by_browser = town.order_by_browser(payee, 3)
    browser = payment(by_browser)
    forged_by_browser = payment(
        json.dumps(signed_body(town.order_by_browser(payee, 4)) | {"signature": signed_body(by_browser)["signature"]}).encode()
    )
    good = payment(paid[0])
    end = good.index(b"\r\n\r\n") + 4
    body = good[end:]
    stranger = town.stranger()
    wrong = payer.sign(payer.order(payee, 5))
    forged = payment(json.dumps(signed_body(wrong) | {"signature": signed_body(paid[0])["signature"]}).encode())
    signed_in = town.signature(payer, "GET", "/v1/account")
    head = b"POST /v1/payments HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    return {
        "a payment, and again": whole(good, good),
        "a hold, taken by the payee": whole(payment(held), payment(taken)),
        "a refund": whole(good, payment(refund)),
        "by a key of P-256": whole(browser, browser, forged_by_browser, browser),
        "payments ahead, and others between": ahead(good, request("GET", "/health"), payment(paid[1]), request("GET", "/nowhere"), payment(paid[2])),
        "a payment in pieces": in_pieces(good, 20, end, end + 1),
        "a payment in chunks": whole(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 1, 100)),
        "chunks in pieces": in_pieces(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 10), len(head) + 40),
        "a payment that is expected": expected(good),
        "a payment by an old client": then_closed(good.replace(b"HTTP/1.1", b"HTTP/1.0")),
        "the last on its connection": then_closed(payment(paid[0], Connection="close")),
        "an upgrade": whole(payment(paid[0], Connection="Upgrade", Upgrade="h2c")),
        "another content type": whole(payment(paid[0]).replace(b"application/json", b'Application/JSON; charset="utf-8"')),
        "no content type": whole(request("POST", "/v1/payments", body)),
        "a wrong content type": whole(request("POST", "/v1/payments", body, headers={"Content-Type": "text/plain"})),
        "no JSON": whole(payment(b"{"), payment(b""), payment(b"\xff"), payment(b"[" * 5_000), good),
        "wrong fields": whole(*(payment(json.dumps(signed_body(paid[0]) | change).encode()) for change in ({"more": 1}, {"device": 1}, {"order": "="}, {"signature": "x"}))),
        "no order": whole(payment(payer.sign(b"nothing")), payment(payer.sign(b"counterfoil/order/v1\0\0"))),
        "another scheme": whole(payment(town.order(payer, payee, 5, origin="elsewhere.example/log"))),
        "nobody": whole(payment(payer.sign(payer.order(1, 5))), payment(stranger.sign(stranger.order(payee, 5)))),
        "not theirs": whole(payment(town.order(payer, payee, 5, payer=other.account))),
        "no money": whole(payment(town.order(poor, payee, 900_000)), payment(town.order(poor, payee, 900_000), Accept_Language="ko,en;q=0.5")),
        "expired": whole(payment(town.order(payer, payee, 5, expiry_ms=1))),
        "an id twice": whole(payment(town.order(payer, payee, 101, id=_id(paid[0].order)))),
        "a wrong signature": whole(forged, payment(paid[0])),
        "too large": whole(payment(b" " * 70_000), good),
        "too large, in pieces": in_pieces(payment(b" " * 200_000), 100, 100_000),
        "HEAD": whole(request("HEAD", "/health"), request("HEAD", "/"), request("GET", "/health")),
        "pages": whole(request("GET", "/"), request("GET", "/staff"), request("GET", "/log/nothing"), request("GET", "/wallet/"), request("GET", "/nowhere")),
        "signed": whole(request("GET", "/v1/account", headers=signed_in), request("GET", "/v1/account")),
        "metrics are there": whole(request("OPTIONS", "/metrics"), request("DELETE", "/v1/payments"), request("GET", "/v1/payments?x=1")),
        "a gateway": whole(*(request("POST", f"/ussd/main/{secret}", DIALLED) for secret in (GATEWAY_SECRET, "wrong", GATEWAY_SECRET))),
        "no HTTP": then_closed(b"nonsense\r\n\r\n"),
        "two lengths": then_closed(head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
        "close": then_closed(request("GET", "/health", headers={"Connection": "close"})),
        "old": then_closed(request("GET", "/", version="1.0")),
    }  # fmt: skip


def _id(order: bytes) -> int:
    return decode(order).id


async def _all(on: Served, town_exchanges: dict[str, Exchange]) -> dict[str, list[tuple[int, list[tuple[str, str]], bytes]]]:
    found = {}
    for name, exchange in town_exchanges.items():
        async with wire(on) as connection:
            found[name] = [seen(answer) async for answer in exchange(connection)]
    return found


async def test_whatever_is_sent_is_answered_with_the_same_bytes(town: Town) -> None:
    asked = exchanges(town)
    async with served(town.folder, 2, body_size_max=65_536) as behind_workers:
        first = await _all(behind_workers, asked)
        again = await _all(behind_workers, asked)  # now with keys that the workers know
    async with served(town.folder, 0, body_size_max=65_536) as alone:
        expected = await _all(alone, asked)
    for name in ("a payment, and again", "a hold, taken by the payee", "a refund"):
        assert [answer[0] for answer in expected[name]] == [200, 200], expected[name]
    assert [answer[0] for answer in expected["by a key of P-256"]] == [200, 200, 401, 200]
    assert [answer[0] for answer in expected["a gateway"]] == [200, 404, 200]
    assert expected["a gateway"][0][2].startswith(b"CON ")
    assert {answer[0] for answers in expected.values() for answer in answers} >= {200, 400, 401, 403, 404, 405, 409, 413, 415, 422}
    for name, answers in expected.items():
        assert first[name] == answers, name
        assert again[name] == answers, name


async def test_who_asks_is_told_as_in_one_process(town: Town) -> None:
    """Guesses are counted against the caller: with a trusted proxy whom it names, without one the peer, whatever a caller says."""
    payer, payee = town.people[:2]
    right = town.order(payer, payee, 1)
    wrong = payment(json.dumps(signed_body(town.order(payer, payee, 2)) | {"signature": signed_body(right)["signature"]}).encode())

    async def codes(on: Served, ask: list[bytes]) -> list[int]:
        async with wire(on) as connection:
            return [(await connection.ask(each)).status for each in ask]

    def from_(data: bytes, address: str) -> bytes:
        named = b"X-Counterfoil-Caller: %b 1 1.1.1.1 1\r\nHost: test\r\nX-Forwarded-For: %b\r\n" % ((address.encode(),) * 2)
        return data.replace(b"Host: test\r\n", named)

    def long(data: bytes) -> bytes:
        return data.replace(b"application/json", b"Application/JSON")

    long_way = long(from_(wrong, FORWARDED + "7"))
    trusting = [
        *[from_(wrong, FORWARDED + "7")] * 5,
        *[long_way] * 5,
        from_(payment(right), FORWARDED + "7"),
        from_(payment(right), FORWARDED + "8"),
    ]
    doubting = [
        *(from_(wrong, f"{FORWARDED}{number}") for number in range(5)),
        *(long(from_(wrong, f"{FORWARDED}{number}")) for number in range(5, 10)),
        from_(payment(right), FORWARDED + "99"),
    ]
    async with served(town.folder, 2) as on:
        await codes(on, [payment(right)])
        assert await codes(on, trusting) == [*[401] * 10, 429, 200]
        async with wire(on) as connection:
            text = (await connection.ask(request("GET", "/metrics"))).body.decode()
        assert re.findall(r'counterfoil_payments_total\{outcome="(\w+)"\} (\d+)', text) == [
            ("completed", "2"),
            ("wrong_signature", "10"),
            ("too_many", "1"),
        ], text
    assert await _doubted(town, doubting, codes) == [*[401] * 10, 429]


async def _doubted(town: Town, ask: list[bytes], codes: Callable[[Served, list[bytes]], object]) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
        async with served(town.folder, 1) as on:
            answer = codes(on, ask)
            assert asyncio.iscoroutine(answer)
            return await answer
