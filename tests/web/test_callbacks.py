"""USSD gateways at their real addresses: whole sessions in each form, and everything that is not as it should be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
import structlog

from counterfoil.channels.ussd.fitting import fits, writable
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.gateway_settings import USSD_KINDS, UssdGateway
from counterfoil.i18n import Language
from counterfoil.web import callbacks
from counterfoil.web.callbacks import ANSWER_S_MAX, BODY_SIZE_MAX, BROKEN, BUSY, LATE, UNREAD, Callbacks
from counterfoil.web.metrics import Metrics
from tests.scheme import Person
from tests.web.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"
SECRETS = {kind: f"{kind}-its-own-secret-0123456789" for kind in USSD_KINDS}
GATEWAYS = (
    *(UssdGateway(name=kind, kind=kind, secret=secret) for kind, secret in SECRETS.items()),
    UssdGateway(name="far", kind="africastalking", secret=SECRETS["africastalking"], addresses=("203.0.113.0/24", "2001:db8::/32")),
)
AT = "africastalking"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("scheme"), ussd=GATEWAYS) as served:
        yield served


def path(kind: str, *, name: str = "", secret: str = "", rest: str = "") -> str:
    return f"/ussd/{name or kind}/{secret or SECRETS[kind]}{rest}"


class Phone:
    """Somebody's phone behind one kind of gateway: `dial`, then `type`. Each returns (text, whether it ends)."""

    def __init__(self, site: Site, kind: str, number: str, session: str) -> None:
        self.site, self.kind, self.number, self.session = site, kind, number, session
        self.typed: list[str] = []
        self.hops = 0

    async def dial(self) -> tuple[str, bool]:
        return await self._hop("")

    async def type(self, text: str) -> tuple[str, bool]:
        self.typed.append(text)
        return await self._hop(text)

    async def _hop(self, text: str) -> tuple[str, bool]:
        self.hops += 1
        answer = await self.site.client.request(**self.request(text))
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return self.read(answer.text)

    def request(self, text: str) -> dict[str, Any]:
        """The request that tells of `text`, the newest thing that was typed."""
        bare, whole, begins = self.number.lstrip("+"), "*".join(self.typed), self.hops == 1
        if self.kind == AT:
            form = {"sessionId": self.session, "phoneNumber": self.number, "networkCode": "1", "serviceCode": "*384#", "text": whole}
            return {"method": "POST", "url": path(AT), "content": urlencode(form), "headers": FORM}
        if self.kind == "crossgate":
            query = {"session_id": self.session, "msisdn": bare, "network_code": "1", "service_code": "1", "ussd_string": whole}
            return {"method": "GET", "url": f"{path(self.kind)}?{urlencode(query)}"}
        if self.kind == "hollatags":
            query = {
                "session_msisdn": bare, "session_operation": "begin" if begins else "continue", "session_msg": "*7006#" if begins else text,
                "session_id": self.session, "session_from": "*7006#", "session_type": "1", "session_mno": "MTN",
            }  # fmt: skip
            return {"method": "GET", "url": f"{path(self.kind)}?{urlencode(query)}"}
        if self.kind == "sendexa":
            document = {
                "sessionId": self.session, "phone": bare, "network": "MTN", "serviceCode": "*1#", "type": "new" if begins else "continue",
                "input": None if begins else text, "timestamp": f"2026-01-15T10:30:{self.hops:02}Z",
            }  # fmt: skip
            return {"method": "POST", "url": path(self.kind), "json": document}
        document = {"msisdn": bare, "text": "*123#" if begins else text, "shortCode": "*123#"}
        rest = f"/session/{self.session}/{'start' if begins else 'response'}"
        return {"method": "POST", "url": path(self.kind, rest=rest), "json": document}

    def read(self, answer: str) -> tuple[str, bool]:
        if self.kind in (AT, "crossgate"):
            assert answer[:4] in ("CON ", "END "), answer
            return answer[4:], answer.startswith("END ")
        document = json.loads(answer)
        if self.kind == "hollatags":
            assert document["session_id"] == self.session
            assert document["session_type"] == (4 if document["session_operation"] == "end" else 1)
            return document["session_msg"].replace("\r\n", "\n"), document["session_operation"] == "end"
        if self.kind == "sendexa":
            return document["message"], document["shouldClose"]
        assert document["responseExitCode"] == 200, document
        return document["ussdMenu"], document["shouldClose"]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DIAL = b"sessionId=1&phoneNumber=%2B254711000111&text="
_sessions = iter(range(1, 10_000))


def phone(site: Site, person: Person, kind: str = AT) -> Phone:
    return Phone(site, kind, person.address, f"session-{next(_sessions)}")


async def until_pin(calling: Phone, payee: Person, amount: str) -> str:
    """Goes as far as the PIN for a payment; returns the screen that asks for it."""
    await calling.dial()
    await calling.type("1")
    await calling.type(payee.address)
    shown, ends = await calling.type(amount)
    assert not ends
    assert amount in shown
    return shown


async def at(site: Site, content: str | bytes, *, url: str = "", headers: dict[str, str] | None = None) -> str:
    """What Africa's Talking's address says to a body, with status 200."""
    answer = await site.client.post(url or path(AT), content=content, headers=FORM | (headers or {}))
    assert answer.status_code == 200, answer.text
    return answer.text


# As it should be


@pytest.mark.parametrize("kind", USSD_KINDS)
async def test_a_payment_through_every_kind_of_gateway(site: Site, kind: str) -> None:
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000), await site.scheme.customer("Ama")
    calling = phone(site, payer, kind)
    shown = await until_pin(calling, payee, "12.50")
    assert "Ama" in shown
    shown, ends = await calling.type(PIN)
    assert ends
    assert "12.50" in shown
    assert (payer.balance(), payee.balance()) == (8_750, 1_250)


async def test_infobip_asks_whether_a_session_goes_on_and_ends_it(site: Site) -> None:
    person = await site.scheme.simple_phone()
    calling = phone(site, person, "infobip")
    status, end = (path("infobip", rest=f"/session/{calling.session}/{step}") for step in ("status", "end"))
    assert (await site.client.get(status)).json() == {"responseExitCode": 400, "responseMessage": "Invalid USSD session"}
    await calling.dial()
    assert (await site.client.get(status)).json() == {"sessionActive": True, "responseExitCode": 200, "responseMessage": ""}
    for _ in range(2):
        answer = await site.client.put(end, json={"exitCode": 0, "reason": "ok"})
        assert (answer.status_code, answer.json()) == (200, {"responseExitCode": 200, "responseMessage": ""})


async def test_a_hollatags_end_is_acknowledged(site: Site) -> None:
    calling = phone(site, await site.scheme.simple_phone(), "hollatags")
    await calling.dial()
    request = calling.request("")
    request["url"] = request["url"].replace("session_operation=begin", "session_operation=end")
    answer = (await site.client.request(**request)).json()
    assert (answer["session_operation"], answer["session_msg"]) == ("end", "")


# Whoever is not the gateway


async def test_a_wrong_secret_name_or_address_is_a_404_like_any_other(site: Site) -> None:
    expected = await site.refused(None, "POST", "/nothing/here/at-all", b"x")
    right = SECRETS[AT]
    for wrong in (
        path(AT, secret="x"), path(AT, secret=right[:-1]), path(AT, secret=f"{right}x"), path(AT, secret=right.upper()),
        path(AT, name="nobody"), path(AT, name="crossgate"), f"/ussd/{AT}", f"/ussd/{AT}/", "/ussd/", f"/ussd//{right}",
        f"/ussd/{AT}/%61{right[1:]}", path(AT, secret="é" * 20), path(AT, name="far"), path(AT, secret=f"{right}x" * 40),
    ):  # fmt: skip
        answer = await site.client.post(wrong, content=b"x" * 100_000, headers=FORM)
        if len(wrong) > 512:
            assert answer.status_code == 400
            continue
        assert answer.status_code == 404, wrong
        assert answer.json() | {"request_id": ""} == expected | {"request_id": ""}, wrong


async def test_without_gateways_there_is_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as bare:
        await bare.refused(None, "POST", path(AT), b"text=")


@pytest.mark.parametrize(
    ("forwarded", "known"),
    [
        ("203.0.113.9", True),
        ("::ffff:203.0.113.9", True),
        ("2001:db8::7", True),
        ("203.0.114.9", False),
        ("nonsense", False),
        ("::1", False),
    ],
)
async def test_a_gateway_with_networks_calls_from_them_only(site: Site, forwarded: str, known: bool) -> None:
    answer = await site.client.post(path(AT, name="far"), content=b"", headers=FORM | {"X-Forwarded-For": forwarded})
    assert answer.status_code == (200 if known else 404)


# What is not as it should be


GARBAGE: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("noise", bytes(range(256)) * 16),
    ("json", b'{"sessionId": "1"}'),
    ("no-number", b"sessionId=1&text="),
    ("no-session", b"phoneNumber=%2B254711000111&text="),
    ("twice", b"sessionId=1&sessionId=2&phoneNumber=%2B254711000111&text="),
    ("another-encoding", b"sessionId=1&phoneNumber=%2B254711000111&text=%ff%fe"),
    ("control-characters", b"sessionId=1&phoneNumber=%2B254711000111&text=1%00%1b"),
    ("a-number-of-nowhere", b"sessionId=1&phoneNumber=%2B99912345678&text="),
    ("too-long-a-session", b"sessionId=" + b"x" * 129 + b"&phoneNumber=%2B254711000111&text="),
    ("too-much-typed", b"sessionId=1&phoneNumber=%2B254711000111&text=" + b"1" * 1_025),
    ("a-number-that-never-ends", b"sessionId=1&text=&phoneNumber=" + b"1" * 5_000),
    ("huge", DIAL + b"&more=" + b"x" * BODY_SIZE_MAX),
]


@pytest.mark.parametrize(("name", "body"), GARBAGE, ids=[name for name, _ in GARBAGE])
async def test_garbage_ends_in_words_that_name_the_field(site: Site, name: str, body: bytes) -> None:
    shown = await at(site, body)
    assert shown.startswith(f"END {UNREAD}")
    if name != "huge":
        assert ": " in shown.splitlines()[1]


async def test_a_body_that_grows_beyond_the_limit_is_not_read_to_its_end(site: Site) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b"x" * 1_000

    answer = await site.client.post(path(AT), content=pieces(), headers=FORM)
    assert (answer.status_code, answer.text[:4]) == (200, "END ")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_ends_in_words_too(site: Site, method: str) -> None:
    answer = await site.client.request(method, path(AT))
    assert (answer.status_code, answer.text.splitlines()[1]) == (200, "method: must be POST")


@pytest.mark.parametrize(
    ("kind", "said"), [("sendexa", '"shouldClose":true'), ("hollatags", '"session_operation":"end"'), ("infobip", '"responseExitCode":400')]
)
async def test_garbage_is_refused_in_each_gateways_own_form(site: Site, kind: str, said: str) -> None:
    method = "GET" if kind == "hollatags" else "POST"
    for rest in ("", "/session/1/start"):
        answer = await site.client.request(method, path(kind, rest=rest), content=b"[[[")
        assert (answer.status_code, said in answer.text) == (200, True), answer.text


async def test_a_hop_that_comes_twice_at_once_and_later_pays_once(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000), await site.scheme.customer("Ama")
    calling = phone(site, payer)
    await until_pin(calling, payee, "12.50")
    calling.typed.append(PIN)
    request = calling.request(PIN)
    answers = await asyncio.gather(*[site.client.request(**request) for _ in range(5)])
    answers.append(await site.client.request(**request))
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].text.startswith("END ")
    assert payer.balance() == 8_750


async def test_hops_in_another_order_never_pay(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000), await site.scheme.customer("Ama")
    calling = phone(site, payer)
    await until_pin(calling, payee, "12.50")
    for transcript in (["1"], ["2", payee.address, "12.50", PIN], ["1", payee.address], [PIN]):
        calling.typed = transcript
        shown, _ = calling.read((await site.client.request(**calling.request(""))).text)
        assert shown
    calling = phone(site, payer)
    calling.typed = ["1", payee.address, "12.50", PIN]
    shown, _ = await calling._hop(PIN)
    assert "1 " in shown, "an unknown session begins with the menu"
    assert payer.balance() == 10_000


async def test_a_hop_after_the_end_changes_nothing(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000), await site.scheme.customer("Ama")
    calling = phone(site, payer)
    await until_pin(calling, payee, "12.50")
    await calling.type(PIN)
    await at(site, urlencode(ended(calling)))
    for late in (PIN, "1", "00"):
        await calling.type(late)
    assert payer.balance() == 8_750


async def test_a_session_that_another_number_goes_on_with_is_not_theirs(site: Site) -> None:
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000), await site.scheme.customer("Ama")
    thief = await site.scheme.simple_phone("Thief")
    calling = phone(site, payer)
    await until_pin(calling, payee, "12.50")
    calling.number = thief.address
    _, ends = await calling.type(PIN)
    assert ends
    assert payer.balance() == 10_000


def ended(calling: Phone) -> dict[str, str]:
    return {
        "date": "2026-01-15 10:30:05", "sessionId": calling.session, "serviceCode": "*384#", "networkCode": "1",
        "phoneNumber": calling.number, "status": "Success", "cost": "KES 0.10", "durationInMillis": "41250", "hopsCount": "5",
        "input": "*".join(calling.typed), "lastAppResponse": "END Paid.",
    }  # fmt: skip


async def test_neither_pin_nor_secret_nor_what_was_typed_is_logged_counted_or_kept(site: Site) -> None:
    pin = "73914628"
    payer, payee = await site.scheme.simple_phone("Kofi", funds=10_000, pin=pin), await site.scheme.customer("Ama")
    with structlog.testing.capture_logs() as logs:
        calling = phone(site, payer)
        await until_pin(calling, payee, "12.34")
        await calling.type(pin)
        assert await at(site, urlencode(ended(calling))) == " "[:0]
        await at(site, f"sessionId={pin}%00&phoneNumber=%2B254711000111&text={pin}")
        await site.client.get(f"{path(AT)}?text={pin}")
    assert payer.balance() < 10_000
    assert [entry["gateway"] for entry in logs if entry.get("route") == callbacks.ROUTE] == [AT] * 8
    told = json.dumps(logs, default=str) + site.app.hot.metrics.render().decode()
    assert callbacks.ROUTE in told
    for secret in (pin, SECRETS[AT], payee.address, "12.34"):
        assert secret not in told
    kept = b"".join(file.read_bytes() for file in Path(site.services.config.data).glob("store.sqlite*"))
    assert calling.session.encode() in kept
    assert pin.encode() not in kept


# When the house is not well


class Ailing:
    """An engine that waits until it is let go, or breaks."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.let_go = asyncio.Event()
        self.finished = 0

    async def answer(self, hop: Hop) -> Screen:
        if self.error is not None:
            raise self.error
        await self.let_go.wait()
        self.finished += 1
        return Screen("Paid.", ends=True)

    async def ended(self, gateway: str, session: str) -> None:
        if self.error is not None:
            raise self.error

    async def is_open(self, gateway: str, session: str) -> bool:
        if self.error is not None:
            raise self.error
        return False


def ailing(site: Site, engine: Ailing, language: str = "en") -> Callable[..., Any]:
    """The callbacks over an engine that is not well: what a gateway hears."""

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a gateway's address is ours")

    found = Callbacks(
        GATEWAYS, ussd=engine, region="KE", language=Language(language), clock=SystemClock(), metrics=Metrics(lambda: None),  # type: ignore[arg-type, return-value]
        elsewhere=elsewhere, common_headers=(),
    )  # fmt: skip

    async def ask(kind: str, body: bytes, rest: str = "", method: str = "POST") -> tuple[int, str]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": method, "path": path(kind, rest=rest), "raw_path": path(kind, rest=rest).encode(),
            "query_string": b"", "headers": [], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await found(scope, receive, send)
        return sent[0]["status"], sent[1]["body"].decode()

    return ask


async def test_an_engine_that_hangs_is_answered_in_time_and_goes_on(site: Site) -> None:
    engine = Ailing()
    ask, clock = ailing(site, engine), SystemClock()
    began = clock.monotonic_ns()
    assert ANSWER_S_MAX < 4
    assert await ask(AT, DIAL) == (200, f"END {LATE}")
    assert clock.monotonic_ns() - began >= ANSWER_S_MAX * 0.9 * 1e9
    engine.let_go.set()
    async with asyncio.timeout(30):
        while not engine.finished:
            await asyncio.sleep(0.01)
    assert await ask(AT, DIAL) == (200, "END Paid.")


@pytest.mark.parametrize(("error", "words"), [(Unavailable("the ledger is away"), LATE), (ValueError("no such PIN: 4321"), BROKEN)])
async def test_an_error_is_an_end_in_words_and_its_own_are_not_logged(site: Site, error: Exception, words: str) -> None:
    ask = ailing(site, Ailing(error))
    with structlog.testing.capture_logs() as logs:
        assert await ask(AT, DIAL) == (200, f"END {words}")
        assert await ask(AT, b"sessionId=1&status=Success&durationInMillis=1") == (200, f"END {words}")
        status, body = await ask("infobip", b"", "/session/1/status", "GET")
        assert (status, json.loads(body)["responseMessage"]) == (200, words)
    failed = [entry for entry in logs if entry["event"] == "callback_failed"]
    assert len(failed) == (3 if words is BROKEN else 0)
    assert all(entry["error"] == "ValueError" and "in answer" in entry["where"] for entry in failed[:1])
    assert "4321" not in json.dumps(logs, default=str)


async def test_a_flood_is_told_to_come_back_and_other_gateways_are_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "HOPS_BURST", 3)
    engine = Ailing()
    engine.let_go.set()
    ask = ailing(site, engine)
    heard = [(await ask(AT, DIAL))[1] for _ in range(40)]
    assert heard[:3] == ["END Paid."] * 3
    assert f"END {BUSY}" in heard
    assert json.loads((await ask("sendexa", b'{"sessionId":"1","phone":"254711000111","type":"new"}'))[1])["message"] == "Paid."


async def test_hops_that_wait_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "HOPS_AT_ONCE_MAX", 2)
    engine = Ailing()
    ask = ailing(site, engine)
    waiting = [asyncio.create_task(ask(AT, DIAL)) for _ in range(2)]
    await asyncio.sleep(0)
    for _ in range(20):  # until both have come as far as the engine
        await asyncio.sleep(0)
    assert await ask(AT, DIAL) == (200, f"END {BUSY}")
    engine.let_go.set()
    assert [await task for task in waiting] == [(200, "END Paid.")] * 2


@pytest.mark.parametrize("language", ["en", "ko", "fr"])
async def test_our_own_words_fit_a_screen_in_every_language(language: str) -> None:
    for words in (LATE, BUSY, UNREAD, BROKEN):
        assert fits(writable(Language(language).text(words))), words
