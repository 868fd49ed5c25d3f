"""An aggregator by HTTP, the addresses that gateways call, what reaches logs, and the settings of both."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from counterfoil.channels.gateways import http_sms
from counterfoil.channels.gateways.http_sms import HttpSms
from counterfoil.channels.peers import Peers
from counterfoil.channels.sms.types import Delivery, Inbound, Outbound, Report
from counterfoil.config import Config, load
from counterfoil.errors import Malformed, Refused, Unavailable
from counterfoil.gateway_settings import SmsGateway
from counterfoil.ids import id_text
from counterfoil.web.metrics import Metrics
from counterfoil.web.server import listening
from counterfoil.web.sms_callbacks import BODY_SIZE_MAX, SmsCallbacks
from tests.channels.receiver import Receiver, receiving
from tests.channels.sms.texting import AMA
from tests.payments.books import ShiftedClock
from tests.scheme import opened
from tests.web.site import serving

SECRET = "a-secret-of-a-gateway"
PASSWORD = "a-token-of-the-aggregator"
TEXT = Outbound(id=0x018F3A5C7D1E7C3A9B1F0123456789AB, number=AMA, sender="4567", text="1.00 USD 하은")


def settings(kind: str = "http", **values: Any) -> SmsGateway:
    return SmsGateway(**{"name": "main", "kind": kind, "url": "http://127.0.0.1/", "password": PASSWORD, "secret": SECRET} | values)


# An aggregator


@contextlib.asynccontextmanager
async def aggregator(answer: int = 200, body: bytes = b"{}", **values: Any) -> AsyncIterator[tuple[HttpSms, Receiver]]:
    peers = Peers()
    with receiving() as receiver:
        receiver.answer, receiver.body = answer, body
        yield HttpSms(settings(url=receiver.url("/texts"), **values), peers), receiver
    await peers.close()


async def test_an_aggregator_is_given_a_text_as_json_under_its_id() -> None:
    async with aggregator(202, b'{"reference": "ab-1", "more": [1]}', callback="https://money.example.org") as (gateway, receiver):
        assert await gateway.send(TEXT) == "ab-1"
        (request,) = receiver.requests
        assert request.path == "/texts"
        assert request.headers["authorization"] == f"Bearer {PASSWORD}"
        assert request.headers["content-type"] == "application/json"
        assert request.json == {
            "id": id_text(TEXT.id), "to": AMA, "from": "4567", "text": "1.00 USD 하은",
            "report_url": f"https://money.example.org/sms/main/{SECRET}/report",
        }  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"OK", b"[]", b'{"reference": 7}', b"\xff"])
async def test_what_an_aggregator_says_beside_yes_does_not_matter(body: bytes) -> None:
    async with aggregator(200, body) as (gateway, receiver):
        assert await gateway.send(msg_without_sender()) == ""
        assert "from" not in receiver.requests[0].json
        assert "report_url" not in receiver.requests[0].json


def msg_without_sender() -> Outbound:
    return Outbound(id=TEXT.id, number=AMA, sender="", text="x")


@pytest.mark.parametrize("status", http_sms.NEVER)
async def test_what_will_never_be_taken_is_refused(status: int) -> None:
    async with aggregator(status) as (gateway, _):
        with pytest.raises(Refused, match=str(status)):
            await gateway.send(TEXT)


@pytest.mark.parametrize("status", [301, 401, 403, 429, 500, 503, 0])
async def test_everything_else_is_tried_again(status: int) -> None:
    async with aggregator(status) as (gateway, receiver):
        receiver.headers["Retry-After"] = "7"
        with pytest.raises(Unavailable) as error:
            await gateway.send(TEXT)
        assert error.value.facts.get("retry_after_s", 7) == 7
        assert PASSWORD not in error.value.detail


# The addresses that gateways call


class Heard:
    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.texts: list[Inbound] = []
        self.error: Exception | None = None

    async def reported(self, report: Report) -> None:
        if self.error:
            raise self.error
        self.reports.append(report)

    async def received(self, text: Inbound) -> None:
        if self.error:
            raise self.error
        self.texts.append(text)


@contextlib.asynccontextmanager
async def called(heard: Heard, *gateways: SmsGateway) -> AsyncIterator[httpx2.AsyncClient]:
    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    app = SmsCallbacks(
        gateways, reported=heard.reported, received=heard.received, clock=ShiftedClock(),
        metrics=Metrics(lambda: pytest.fail("nobody reads here")), elsewhere=nobody, common_headers=(),
    )  # fmt: skip
    async with (
        listening(app, host="127.0.0.1", port=0) as address,
        httpx2.AsyncClient(base_url=address, trust_env=False) as client,
    ):
        yield client


def boxed(kind: str = 'text/plain; charset="UTF-8"', number: str = "254700000001") -> dict[str, str]:
    """Headers as smsbox has them."""
    return {"Content-Type": kind, "X-Kannel-From": number, "X-Kannel-To": "4567", "X-Kannel-Service": "default"}


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ('text/plain; charset="UTF-8"', "밥 é".encode(), "밥 é"),
        ("text/plain;charset=utf-8", b"BAL", "BAL"),
        ("text/plain", b"BAL", "BAL"),
        ('text/plain; charset="UTF-16BE"', "밥 é".encode("utf-16-be"), "밥 é"),
        ('text/plain; charset="ISO-8859-1"', b"\xe9", "é"),
        ('text/plain; charset="UTF-8"', b"\xe9\xff BAL", "\ufffd\ufffd BAL"),
        ('text/plain; charset="UTF-16BE"', b"\xd8\x00 ", "\ufffd"),
        ('text/plain; charset="KLINGON"', b"BAL", "BAL"),
        ("application/octet-stream", b"\x00\xffBAL", ""),
        ("", b"BAL", ""),
    ],
)
async def test_smsboxes_texts_are_read_in_the_charset_that_it_names_and_none_is_refused(kind: str, body: bytes, text: str) -> None:
    heard = Heard()
    async with called(heard, settings("kannel", name="box", url="http://127.0.0.1/x")) as client:
        answer = await client.post(f"/sms/box/{SECRET}/in?id=r1", headers=boxed(kind), content=body)
    assert answer.status_code == 200
    assert [each.text for each in heard.texts] == [text]


async def test_the_longest_text_of_a_phone_is_taken() -> None:
    heard = Heard()
    async with called(heard, settings("kannel", name="box", url="http://127.0.0.1/x")) as client:
        await client.post(f"/sms/box/{SECRET}/in?id=r1", headers=boxed(), content=("€" * 153 * 255).encode())
    assert len(heard.texts[0].text) == 153 * 255


async def test_reports_and_texts_are_read_in_each_gateways_form() -> None:
    heard = Heard()
    async with called(heard, settings(), settings("kannel", name="box", url="http://127.0.0.1/x")) as client:
        mine = id_text(TEXT.id)
        answers = [
            await client.get(f"/sms/box/{SECRET}/report?id={mine}&type=1"),
            await client.get(f"/sms/box/{SECRET}/report?id={mine}&type=8"),
            await client.get(f"/sms/box/{SECRET}/report?id={mine}&type=16"),
            await client.post(f"/sms/main/{SECRET}/report", content=json.dumps({"id": mine, "state": "delivered"})),
            await client.post(f"/sms/main/{SECRET}/report", content=json.dumps({"reference": "ab-1", "state": "failed"})),
            await client.post(f"/sms/box/{SECRET}/in?id=r1", headers=boxed(), content="PAY 0700 밥".encode()),
            await client.post(f"/sms/box/{SECRET}/in?id=r2", headers=boxed()),
            await client.post(f"/sms/main/{SECRET}/in", content=json.dumps({"from": AMA, "text": "BAL", "reference": "r3"})),
        ]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 8
    assert [(report.gateway, report.id, report.reference, report.delivery) for report in heard.reports] == [
        ("box", TEXT.id, "", Delivery.DELIVERED),
        ("box", TEXT.id, "", Delivery.ON_ITS_WAY),
        ("box", TEXT.id, "", Delivery.FAILED),
        ("main", TEXT.id, "", Delivery.DELIVERED),
        ("main", None, "ab-1", Delivery.FAILED),
    ]
    assert [(text.gateway, text.number, text.text, text.reference) for text in heard.texts] == [
        ("box", "254700000001", "PAY 0700 밥", "r1"),
        ("box", "254700000001", "", "r2"),
        ("main", AMA, "BAL", "r3"),
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sms/box/wrong-secret-wrong-secret/report?id=x&type=1"),
        ("GET", "/sms/box//report"),
        ("GET", f"/sms/elsewhere/{SECRET}/report"),
        ("GET", f"/sms/box/{SECRET}"),
        ("GET", f"/sms/box/{SECRET}/reports"),
        ("GET", f"/sms/box/{SECRET}/report/"),
        ("PUT", f"/sms/box/{SECRET}/report?type=1"),
        ("GET", f"/sms/open/{SECRET}/report?type=1"),
        ("GET", "/sms/quiet//report?type=1"),
        ("GET", f"/sms/{'x' * 5000}/{SECRET}/report"),
    ],
)
async def test_whoever_knows_no_secret_or_calls_from_elsewhere_finds_nothing(method: str, path: str) -> None:
    heard = Heard()
    box = settings("kannel", name="box", url="http://127.0.0.1/x")
    elsewhere = settings("kannel", name="open", url="http://127.0.0.1/x", addresses=("203.0.113.0/24",))
    async with called(heard, box, elsewhere, settings("kannel", name="quiet", secret="", url="http://127.0.0.1/x")) as client:
        assert (await client.request(method, path)).status_code == 404
    assert not heard.reports


@pytest.mark.parametrize(
    ("gateway", "method", "rest", "body", "status"),
    [
        ("box", "GET", "report", b"", 400),
        ("box", "GET", "report?type=1", b"", 400),
        ("box", "GET", "report?id=x&type=1", b"", 400),
        ("box", "GET", f"report?id={id_text(TEXT.id)}&type=3", b"", 400),
        ("box", "GET", "report?" + "a=1&" * 40, b"", 400),
        ("box", "POST", "in?id=1", b"BAL", 400),
        ("box", "GET", "in?id=1&from=254700000001&text=x", b"", 400),
        ("main", "POST", "report", b"", 400),
        ("main", "POST", "report", b"\xff\xfe", 400),
        ("main", "POST", "report", b'{"state": "delivered"}', 400),
        ("main", "POST", "report", b'{"id": "x", "state": "delivered"}', 400),
        ("main", "POST", "report", b'{"id": "x", "state": "eaten"}', 400),
        ("main", "POST", "in", b'{"text": "BAL"}', 400),
        ("main", "POST", "in", b"[" * 5_000, 400),
        ("main", "POST", "in", b"x" * (BODY_SIZE_MAX + 1), 413),
    ],
)
async def test_garbage_is_refused_and_changes_nothing(gateway: str, method: str, rest: str, body: bytes, status: int) -> None:
    heard = Heard()
    async with called(heard, settings(), settings("kannel", name="box", url="http://127.0.0.1/x")) as client:
        answer = await client.request(method, f"/sms/{gateway}/{SECRET}/{rest}", content=body)
    assert answer.status_code == status
    assert not heard.reports
    assert not heard.texts


async def test_what_cannot_be_kept_is_to_be_sent_again_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    async with called(heard, settings("kannel", name="box", url="http://127.0.0.1/x")) as client:
        for error, status in ((Unavailable("the PIN is 2580"), 503), (Refused("the PIN is 2580"), 400)):
            heard.error = error
            answer = await client.post(f"/sms/box/{SECRET}/in?id=1", headers=boxed(number=AMA), content="BAL 2580")
            assert (answer.status_code, answer.content) == (status, b"")
    printed = "".join(capfd.readouterr())
    assert "callback_waits" in printed
    assert not any(secret in printed for secret in (SECRET, "2580", AMA, AMA[1:]))


async def test_a_whole_server_takes_reports_and_counts_texts_without_numbers(tmp_path: Path) -> None:
    gateways = [
        {"name": "box", "kind": "sandbox", "part_cost": 4},
        {"name": "main", "kind": "kannel", "url": "http://127.0.0.1:9/x", "secret": SECRET},
    ]
    async with serving(tmp_path, sms=gateways) as site:
        kofi = await site.scheme.simple_phone(funds=5_000)
        async with asyncio.timeout(60):
            texts = await site.services.sms.to_number(kofi.address)
            while [text.state for text in texts] != ["delivered", "delivered"] or site.services.sms.reading().waiting:
                await asyncio.sleep(0.05)
                texts = await site.services.sms.to_number(kofi.address)
        answer = await site.call(None, "GET", f"/sms/main/{SECRET}/report", query=f"id={id_text(texts[0].id)}&type=1")
        assert answer.status_code == 200
        numbers = site.app.hot.metrics.render().decode()
    assert 'counterfoil_sms_texts_total{gateway="box"}' in numbers
    assert 'counterfoil_sms_cost_minor_units_total{gateway="main"} 0.0' in numbers
    assert "counterfoil_sms_waiting 0.0" in numbers
    assert kofi.address not in numbers
    assert kofi.address[1:] not in numbers


# Settings

FILE = f"""
sandbox = true
[[sms]]
name = "main"
kind = "kannel"
url = "http://127.0.0.1:13013/cgi-bin/sendsms"
user = "counterfoil"
password = "{PASSWORD}"
sender = "4567"
callback = "http://127.0.0.1:8480"
secret = "{SECRET}"
addresses = ["127.0.0.0/8"]
rate_per_s = 20
part_cost = 2

[[sms]]
name = "spare"
kind = "http"
url = "https://texts.example.org/v1"
password = "{PASSWORD}"
"""


def config(folder: Path, text: str) -> Config:
    (folder / "counterfoil.toml").write_text(text, "utf-8")
    return load({}, data=str(folder))


def test_gateways_are_tables_of_the_file_and_their_secrets_are_not_shown(tmp_path: Path) -> None:
    read = config(tmp_path, FILE)
    assert [(gateway.name, gateway.kind, gateway.rate_per_s, gateway.part_cost) for gateway in read.sms] == [
        ("main", "kannel", 20, 2), ("spare", "http", 10, 0),
    ]  # fmt: skip
    assert "spare" in repr(read)
    assert PASSWORD not in repr(read)
    assert SECRET not in repr(read)


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('name = "spare"', 'name = "main"', "sms.name"),
        ('name = "spare"', 'name = "Spare 1"', "sms.name"),
        ('kind = "http"', 'kind = "pigeon"', "sms.kind"),
        ('"https://texts.example.org/v1"', '"ftp://texts.example.org/v1"', "sms.url"),
        ('"https://texts.example.org/v1"', '"https://user:pass@texts.example.org/v1"', "sms.url"),
        ('"https://texts.example.org/v1"', '"https://texts.example.org/v1?key=1"', "sms.url"),
        ('"https://texts.example.org/v1"', '""', "sms.url"),
        ('kind = "http"', 'kind = "sandbox"', "sms.url"),
        ('sender = "4567"', 'sender = "much too long a name"', "sms.sender"),
        ('callback = "http://127.0.0.1:8480"', 'callback = "http://127.0.0.1:8480/here"', "sms.callback"),
        (f'secret = "{SECRET}"', 'secret = "short"', "sms.secret"),
        (f'secret = "{SECRET}"', "", "sms.secret"),
        ('"127.0.0.0/8"', '"gateway.example"', "sms.addresses"),
        ("rate_per_s = 20", "rate_per_s = 0", "sms.rate_per_s"),
        ("part_cost = 2", "part_cost = -1", "sms.part_cost"),
    ],
)
def test_a_gateway_that_cannot_be_is_refused_without_its_secrets(tmp_path: Path, before: str, after: str, field: str) -> None:
    assert before in FILE
    with pytest.raises(Malformed) as refusal:
        config(tmp_path, FILE.replace(before, after))
    assert refusal.value.facts["field"] == field
    assert not any(secret in refusal.value.detail for secret in (SECRET, PASSWORD))


def test_a_sandboxes_gateway_is_for_sandboxes(tmp_path: Path) -> None:
    box = '[[sms]]\nname = "box"\nkind = "sandbox"\n'
    assert config(tmp_path, f"sandbox = true\n{box}").sms[0].kind == "sandbox"
    with pytest.raises(Malformed, match="for sandboxes only"):
        config(tmp_path, f"sandbox = false\n{box}")


async def test_a_gateway_that_nobody_listens_at_holds_up_neither_payments_nor_the_end(tmp_path: Path) -> None:
    async with opened(tmp_path, sms=[{"name": "main", "kind": "kannel", "url": "http://127.0.0.1:9/x"}]) as scheme:
        kofi = await scheme.simple_phone(funds=5_000)
        await kofi.pay_by_pin(await scheme.simple_phone(), 100)
