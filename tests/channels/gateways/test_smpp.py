"""Texts by SMPP, against other people's SMSC and one that misbehaves: each is sent at least once, kept before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from counterfoil.channels.gateways.smpp import Heard, Smpp
from counterfoil.channels.gateways.smpp_connection import Account, Waits
from counterfoil.channels.gateways.smpp_parts import KEPT_NS, TEXTS_MAX, Parts
from counterfoil.channels.gateways.smpp_pdu import Part
from counterfoil.channels.sms.encoding import septets
from counterfoil.channels.sms.types import Delivery, Inbound, Outbound, Report
from counterfoil.clock import NANOSECONDS, Clock, SystemClock
from counterfoil.errors import Malformed, Refused, Unavailable
from counterfoil.store.database import missing_driver
from tests.channels.gateways.smsc import (
    DELIVER,
    ENQUIRE,
    NACK,
    RESPONSE,
    SUBMIT,
    BareSmsc,
    Smsc,
    deliver_body,
    eventually,
    option,
)

NUMBER = "+254712345678"
GSM7, UCS2 = 0, 8
THROTTLED, QUEUE_FULL, WRONG_DESTINATION, WRONG_PASSWORD, WRONG_USER, VENDORS_OWN = 0x58, 0x14, 0x0B, 0x0E, 0x0F, 0x0512
REJECTED = 0x66

QUICK = Waits(pause_s=0.005, pause_s_max=0.02)


class Hands(SystemClock):
    """A clock whose hands the test moves."""

    at = 0

    def monotonic_ns(self) -> int:
        return self.at


class Kept:
    """What was told, in order. `hold` is awaited before a text is kept."""

    def __init__(self) -> None:
        self.texts: list[Inbound] = []
        self.reports: list[Report] = []
        self.hold: Callable[[Inbound], Awaitable[None]] | None = None

    async def received(self, text: Inbound) -> None:
        if self.hold is not None:
            await self.hold(text)
        self.texts.append(text)

    async def reported(self, report: Report) -> None:
        self.reports.append(report)


@contextlib.asynccontextmanager
async def connected(
    port: int, kept: Kept | None = None, *, url: str = "", waits: Waits = QUICK, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Smpp]:
    kept = kept or Kept()
    heard = Heard(received=kept.received, reported=kept.reported)
    account = Account.at(url or f"smpp://127.0.0.1:{port}", user="counterfoil", password="s3cret99")
    gateway = Smpp("operator", account, heard, clock=clock or SystemClock(), region="KE", waits=waits, **settings)
    running = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        await gateway.stop()
        await running


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    smsc = Smsc()
    await smsc.start()
    yield smsc
    await smsc.close()


@pytest.fixture
async def bare() -> AsyncIterator[BareSmsc]:
    async with BareSmsc().running() as bare:
        yield bare


def outbound(text: str, id: int = 0x1234, sender: str = "") -> Outbound:
    return Outbound(id=id, number=NUMBER, sender=sender, text=text)


def count(logs: list[Any], event: str) -> int:
    return [each["event"] for each in logs].count(event)


# Out


async def test_a_text_goes_out_as_it_is_and_its_id_comes_back(smsc: Smsc) -> None:
    smsc.decide = lambda event: event.accept("00c0ffee")
    async with connected(smsc.port, sender="22345") as gateway:
        assert await gateway.send(outbound("Paid 5 € [ok]")) == "C0FFEE"
        assert await gateway.send(outbound("Paid 5 € [ok]", sender="Counterfoil")) == "C0FFEE"
        assert await gateway.send(outbound("Paid 5 € [ok]", sender=NUMBER)) == "C0FFEE"
    event = smsc.submits[0]
    assert (event.destination_addr, event.dest_addr_ton, event.dest_addr_npi) == ("254712345678", 1, 1)
    assert (event.data_coding, event.short_message) == (GSM7, b"Paid 5 \x1be \x1b<ok\x1b>")
    assert (event.registered_delivery, event.esm_class, event.tlvs) == (1, 0, [])
    assert [(each.source_addr, each.source_addr_ton) for each in smsc.submits] == [("22345", 3), ("Counterfoil", 5), ("254712345678", 1)]


async def test_what_gsm7_lacks_goes_out_as_ucs2(smsc: Smsc) -> None:
    async with connected(smsc.port) as gateway:
        await gateway.send(outbound("보냈어요 🎉"))
    event = smsc.submits[0]
    assert (event.data_coding, event.short_message) == (UCS2, "보냈어요 🎉".encode("utf-16-be"))


@pytest.mark.parametrize(
    ("text", "alphabet"), [("x" * 152 + "€" * 100 + "y" * 60, GSM7), ("요" * 66 + "🎉" * 40 + "끝", UCS2)], ids=["gsm7", "ucs2"]
)
@pytest.mark.parametrize("in_options", [False, True], ids=["header", "options"])
async def test_a_long_text_goes_out_in_parts_that_are_the_same_each_time(smsc: Smsc, text: str, alphabet: int, in_options: bool) -> None:
    async with connected(smsc.port, in_options=in_options) as gateway:
        first = await gateway.send(outbound(text))
        assert first == f"{len(smsc.submits):X}", "the id of the last part"
        second = await gateway.send(outbound(text))
        assert first != second
    half = len(smsc.submits) // 2
    parts, again = smsc.submits[:half], smsc.submits[half:]
    assert len(parts) in (3, 4)
    assert [(each.short_message, [(t.tag, t.value) for t in each.tlvs]) for each in parts] == [
        (each.short_message, [(t.tag, t.value) for t in each.tlvs]) for each in again
    ]
    whole = b""
    for number, part in enumerate(parts, 1):
        assert part.registered_delivery == (number == half)
        assert part.data_coding == alphabet
        if in_options:
            assert {each.tag: each.as_int() for each in part.tlvs} == {0x020C: 0x1234, 0x020E: half, 0x020F: number}
            content = part.short_message
        else:
            assert part.esm_class == 0x40
            assert part.short_message[:6] == bytes([5, 0, 3, 0x34, half, number])
            content = part.short_message[6:]
        assert len(content) <= (153 if alphabet == GSM7 else 134)
        whole += content
    assert whole == (septets(text) if alphabet == GSM7 else text.encode("utf-16-be"))


@pytest.mark.parametrize("status", [THROTTLED, QUEUE_FULL])
async def test_an_smsc_that_has_too_much_gets_a_pause(smsc: Smsc, status: int) -> None:
    accept, smsc.decide = smsc.decide, lambda event: event.reject(status)
    async with connected(smsc.port) as gateway:
        with pytest.raises(Unavailable) as caught:
            await gateway.send(outbound("a"))
        assert caught.value.facts["retry_after_s"] > 0
        smsc.decide = accept
        assert await gateway.send(outbound("a")) == "2"


async def test_what_is_never_taken_is_refused_and_what_nobody_knows_is_tried_again(smsc: Smsc) -> None:
    async with connected(smsc.port) as gateway:
        smsc.decide = lambda event: event.reject(WRONG_DESTINATION)
        with pytest.raises(Refused, match="Invalid Dest Addr"):
            await gateway.send(outbound("a"))
        with pytest.raises(Refused, match="none that SMPP can carry"):
            await gateway.send(outbound("a", sender="a name that is too long"))
        assert len(smsc.submits) == 1


async def test_a_status_of_the_vendors_own_leaves_the_connection_alone(bare: BareSmsc) -> None:
    bare.answers = lambda bare, command, sequence, _: bare.send(command | RESPONSE, sequence, status=VENDORS_OWN)
    async with connected(bare.port) as gateway:
        for _ in range(2):
            with pytest.raises(Unavailable, match="status 0x00000512"):
                await gateway.send(outbound("a"))
        bare.answers = lambda bare, _, sequence, __: bare.send(NACK, sequence, status=3)
        with pytest.raises(Unavailable, match="Invalid Command ID"):
            await gateway.send(outbound("a"))
    assert bare.binds == 1


async def test_texts_go_on_where_they_were_when_the_smsc_was_killed_mid_queue(smsc: Smsc) -> None:
    texts = [f"text {number}" for number in range(30)]

    async def send_all(gateway: Smpp) -> None:
        for number, text in enumerate(texts):
            while True:
                with contextlib.suppress(Unavailable):
                    await gateway.send(outbound(text, id=number))
                    break
                await asyncio.sleep(0.001)

    async with connected(smsc.port) as gateway:
        sending = asyncio.create_task(send_all(gateway))
        await eventually(lambda: len(smsc.submits) >= 10)
        await smsc.stop()
        assert not sending.done()
        await smsc.start()
        await sending
    arrived = [event.short_message.decode() for event in smsc.submits]
    assert list(dict.fromkeys(arrived)) == texts, "all, in order; what was not answered may have come twice"
    assert len(arrived) <= len(texts) + 1
    assert smsc.binds >= 2


async def test_a_text_whose_answer_never_came_is_not_known_and_goes_out_again_alike(bare: BareSmsc) -> None:
    async with connected(bare.port) as gateway:
        sending = asyncio.create_task(gateway.send(outbound("x" * 200)))
        await eventually(lambda: bare.count(SUBMIT) == 1)
        bare.hang_up()
        with pytest.raises(Unavailable, match="ended"):
            await sending
        bare.answers = lambda bare, command, sequence, _: bare.send(command | RESPONSE, sequence, b"7\x00")
        await eventually(lambda: bare.binds == 2)
        while True:
            with contextlib.suppress(Unavailable):
                assert await gateway.send(outbound("x" * 200)) == "7"
                break
            await asyncio.sleep(0.001)
    bodies = [body for command, _, _, body in bare.heard if command == SUBMIT]
    assert bodies[0] == bodies[1]
    assert len(bodies) == 3


async def test_an_answer_that_takes_too_long_is_not_waited_for(bare: BareSmsc) -> None:
    async with connected(bare.port, waits=Waits(answer_s=0.3, pause_s=0.001)) as gateway:
        reasons: list[str] = []
        while "the SMSC has not answered within 0.3 s" not in reasons:  # a busy machine may be too slow for the bind
            with pytest.raises(Unavailable) as caught:
                await gateway.send(outbound("a"))
            reasons.append(caught.value.detail)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("status", [WRONG_PASSWORD, WRONG_USER])
async def test_a_wrong_password_is_refused_in_clear_words_and_not_tried_again_soon(bare: BareSmsc, status: int) -> None:
    bare.bind_status = status
    async with connected(bare.port) as gateway:
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                with pytest.raises(Refused, match=r"does not know this user, password or system type: Invalid"):
                    await gateway.send(outbound("a"))
        assert [each["pause_s"] for each in logs] == [60.0]
    assert bare.binds == 1


async def test_pauses_grow_while_there_is_no_smsc_and_texts_are_told_at_once(smsc: Smsc) -> None:
    await smsc.stop()
    with structlog.testing.capture_logs() as logs:
        async with connected(smsc.port, waits=Waits(pause_s=0.001, pause_s_max=0.004), clock=Hands()) as gateway:
            with pytest.raises(Unavailable, match="cannot be reached"):
                await gateway.send(outbound("a"))
            await eventually(lambda: len(logs) >= 5)
            await smsc.start()
            await smsc.esme()
            await eventually(lambda: logs[-1]["event"] == "smpp_bound")
            assert await gateway.send(outbound("a")) == "1"
    assert [each["pause_s"] for each in logs[:5]] == [0.001, 0.002, 0.004, 0.004, 0.004]


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_name_that_nobody_has_stops_nothing(host: str) -> None:
    async with connected(0, url=f"smpp://{host}") as gateway:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await gateway.send(outbound("a"))


async def test_a_connection_that_lasted_is_begun_anew_soon(bare: BareSmsc) -> None:
    hands = Hands()
    with structlog.testing.capture_logs() as logs:
        async with connected(bare.port, waits=Waits(pause_s=0.001, pause_s_max=0.004), clock=hands):
            for turn, lasted_s in enumerate((0, 0, 0, 1, 0), 1):
                await eventually(lambda turn=turn: count(logs, "smpp_bound") == turn)  # type: ignore[misc]
                hands.at += lasted_s * NANOSECONDS
                bare.hang_up()
                await eventually(lambda turn=turn: count(logs, "smpp_disconnected") == turn)  # type: ignore[misc]
    pauses = [each["pause_s"] for each in logs if each["event"] == "smpp_disconnected"]
    assert pauses[:5] == [0.001, 0.002, 0.004, 0.001, 0.002]


async def test_an_smsc_that_answers_nothing_does_not_hold_up_the_end(bare: BareSmsc) -> None:
    bare.bind_status = None
    async with connected(bare.port, waits=Waits(answer_s=86_400)) as gateway:
        sending = asyncio.create_task(gateway.send(outbound("a")))
        await eventually(lambda: bare.binds == 1)
    with pytest.raises(Unavailable):
        await sending


async def test_what_is_in_hand_at_the_end_is_kept_and_acknowledged(smsc: Smsc) -> None:
    kept, let_go, seen = Kept(), asyncio.Event(), asyncio.Event()

    async def hold(_: Inbound) -> None:
        seen.set()
        await let_go.wait()

    kept.hold = hold
    async with connected(smsc.port, kept) as gateway:
        saying = asyncio.create_task(smsc.say(b"BAL"))
        await seen.wait()
        stopping = asyncio.create_task(gateway.stop())
        await asyncio.sleep(0.05)  # a stop that waits for nobody would be over by then
        let_go.set()
        assert await saying == 0
        await stopping
    assert [each.text for each in kept.texts] == ["BAL"]


async def test_silence_is_noticed(bare: BareSmsc) -> None:
    with structlog.testing.capture_logs() as logs:
        async with connected(bare.port, waits=Waits(answer_s=0.05, quiet_s=0.01, pause_s=0.001)):
            await eventually(lambda: "the SMSC has not answered within 0.05 s" in [each.get("reason") for each in logs])
            before = bare.binds
            await eventually(lambda: bare.binds > before)
    assert bare.count(ENQUIRE) >= 1


async def test_an_smsc_that_answers_is_left_alone_and_answered(bare: BareSmsc) -> None:
    bare.answers = lambda bare, command, sequence, _: bare.send(command | RESPONSE, sequence)
    async with connected(bare.port, waits=Waits(quiet_s=0.005)):
        await eventually(lambda: bare.count(ENQUIRE) >= 3)
        bare.send(ENQUIRE, 77)
        await eventually(lambda: bare.answer_to(77) == (ENQUIRE | RESPONSE, 0))
    assert bare.binds == 1


async def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "smsc.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem)
    async with BareSmsc().running(tls) as bare:
        bare.answers = lambda bare, command, sequence, _: bare.send(command | RESPONSE, sequence, b"5\x00")
        url = f"smpps://localhost:{bare.port}"
        async with connected(0, url=url) as gateway:
            with pytest.raises(Unavailable, match="certificate is not good"):
                await gateway.send(outbound("a"))
        assert bare.binds == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        async with connected(0, url=url) as gateway:
            assert await gateway.send(outbound("a")) == "5"


# Receipts


@pytest.mark.parametrize(
    ("answered", "receipted"),
    [("0000C0DE", "49374"), ("49374", "C0DE"), ("0000c0de", "C0DE"), ("49374", "0000049374"), ("a-b-17", "a-b-17")],
)
async def test_a_receipt_is_matched_whatever_way_it_writes_the_id(smsc: Smsc, answered: str, receipted: str) -> None:
    smsc.decide = lambda event: event.accept(answered)
    kept = Kept()
    receipt = f"id:{receipted} sub:001 dlvrd:001 submit date:261122184500 done date:2611221846 stat:DELIVRD err:0A1 text:PIN 1234"
    async with connected(smsc.port, kept) as gateway:
        reference = await gateway.send(outbound("a"))
        assert await smsc.say(receipt.encode(), esm_class=4) == 0
    assert kept.reports == [Report(gateway="operator", id=0x1234, reference=reference, delivery=Delivery.DELIVERED)]
    assert kept.texts == []


async def test_receipts_of_texts_from_before_a_restart_are_read_as_those_after_it(smsc: Smsc) -> None:
    kept = Kept()
    smsc.decide = lambda event: event.accept("0000C0DE")
    async with connected(smsc.port, kept) as gateway:
        await gateway.send(outbound("a"))
        await smsc.say(b"id:49374 stat:DELIVRD", esm_class=4)
        await smsc.say(b"id:49373 stat:UNDELIV", esm_class=4)
    told = [(each.id, each.reference, each.delivery) for each in kept.reports]
    assert told == [(0x1234, "C0DE", Delivery.DELIVERED), (None, "C0DD", Delivery.FAILED)]


@pytest.mark.parametrize(
    ("state", "delivery"),
    [
        (1, Delivery.ON_ITS_WAY),
        (2, Delivery.DELIVERED),
        (3, Delivery.FAILED),
        (5, Delivery.FAILED),
        (8, Delivery.FAILED),
        (99, Delivery.ON_ITS_WAY),
    ],
)
async def test_a_receipt_may_be_in_options_alone(smsc: Smsc, state: int, delivery: Delivery) -> None:
    kept = Kept()
    async with connected(smsc.port, kept):
        assert await smsc.say(b"", tlvs=[option(0x001E, b"beef\x00"), option(0x0427, bytes([state]))]) == 0
        assert await smsc.say(b"no id here", esm_class=4) == 0
    assert kept.reports == [Report(gateway="operator", reference="BEEF", delivery=delivery)]


# In


async def test_a_text_is_acknowledged_only_when_it_is_kept(smsc: Smsc) -> None:
    kept, let_go, seen = Kept(), asyncio.Event(), asyncio.Event()

    async def hold(_: Inbound) -> None:
        seen.set()
        await let_go.wait()

    kept.hold = hold
    async with connected(smsc.port, kept) as gateway:
        saying = asyncio.create_task(smsc.say(b"BAL"))
        await seen.wait()
        assert await gateway.send(outbound("other things go on")) == "1"
        assert not saying.done()
        let_go.set()
        assert await saying == 0
    assert kept.texts == [Inbound(gateway="operator", number=NUMBER, text="BAL")]


async def test_texts_of_one_sender_keep_their_order_and_wait_for_nobody_else(smsc: Smsc) -> None:
    kept, let_go, seen = Kept(), asyncio.Event(), asyncio.Event()

    async def hold(text: Inbound) -> None:
        if text.text == "PAY":
            seen.set()
            await let_go.wait()

    kept.hold = hold
    async with connected(smsc.port, kept):
        first = asyncio.create_task(smsc.say(b"PAY"))
        await seen.wait()
        second = asyncio.create_task(smsc.say(b"CODE"))
        await smsc.say(b"BAL", source_addr="254700000001")
        assert [each.text for each in kept.texts] == ["BAL"]
        let_go.set()
        await first
        await second
    assert [each.text for each in kept.texts] == ["BAL", "PAY", "CODE"]


async def test_a_text_that_could_not_be_kept_comes_again(smsc: Smsc) -> None:
    kept = Kept()
    failures: list[Inbound] = []

    async def hold(text: Inbound) -> None:
        if not failures:
            failures.append(text)
            raise Unavailable("the disk is full")

    kept.hold = hold
    async with connected(smsc.port, kept):
        lost = asyncio.create_task(smsc.say(b"PAY 200"))
        await eventually(lambda: smsc.binds == 2)
        assert kept.texts == []
        with contextlib.suppress(Exception):  # what smpp34 makes of a connection that ends before the acknowledgement
            assert await lost != 0
        assert await smsc.say(b"PAY 200") == 0
    assert [each.text for each in kept.texts] == ["PAY 200"]


@pytest.mark.parametrize(
    ("source", "ton", "number"),
    [
        ("254712345678", 1, "+254712345678"),
        ("+254712345678", 0, "+254712345678"),
        ("0712345678", 2, "+254712345678"),
        ("254712345678", 0, "+254712345678"),
        ("821012345678", 0, "+821012345678"),
        ("22345", 3, None),
        ("MyBank", 5, None),
        ("12345678901234567890", 1, None),
    ],
)
async def test_the_sender_is_a_telephone_number_or_nobody(smsc: Smsc, source: str, ton: int, number: str | None) -> None:
    kept = Kept()
    async with connected(smsc.port, kept):
        assert await smsc.say(b"BAL", source_addr=source, source_addr_ton=ton) == 0
    assert [each.number for each in kept.texts] == ([number] if number else [])


@pytest.mark.parametrize(
    ("content", "coding", "text"),
    [
        (b"5 \x1be \x1b<a\x1b> \x1bz \x00", 0, "5 € [a] z @"),
        ("잔액".encode("utf-16-be"), 8, "잔액"),
        ("잔액".encode("euc_kr"), 14, "잔액"),
        ("solde dû".encode("latin-1"), 3, "solde dû"),
        ("잔액".encode("utf-16-be"), 0x18, "잔액"),
        (b"BAL", 0xF1, "BAL"),
        (b"BAL", 15, "BAL"),
        (b"\xd8", 8, "\ufffd"),
        (b"\x00\x01", 4, None),
        (b"\x00\x01", 0xF5, None),
    ],
)
async def test_a_text_is_read_in_its_alphabet(smsc: Smsc, content: bytes, coding: int, text: str | None) -> None:
    kept = Kept()
    async with connected(smsc.port, kept):
        assert await smsc.say(content, data_coding=coding) == 0
    assert [each.text for each in kept.texts] == ([text] if text else [])


async def test_a_text_in_the_long_field_is_a_text(smsc: Smsc) -> None:
    kept = Kept()
    async with connected(smsc.port, kept):
        assert await smsc.say(b"", tlvs=[option(0x0424, b"x" * 400), option(0x001E, b"17\x00")]) == 0
    assert kept.texts == [Inbound(gateway="operator", number=NUMBER, text="x" * 400, reference="17")]


def short(reference: int, total: int, number: int, content: bytes) -> dict[str, Any]:
    return {"text": bytes([5, 0, 3, reference, total, number]) + content, "esm_class": 0x40}


def long(reference: int, total: int, number: int, content: bytes) -> dict[str, Any]:
    ports = bytes([5, 4, 0, 1, 0, 2])
    header = ports + bytes([8, 4]) + reference.to_bytes(2, "big") + bytes([total, number])
    return {"text": bytes([len(header)]) + header + content, "esm_class": 0x40}


def in_options(reference: int, total: int, number: int, content: bytes) -> dict[str, Any]:
    told = [option(0x020C, reference.to_bytes(2, "big")), option(0x020E, bytes([total])), option(0x020F, bytes([number]))]
    return {"text": content, "tlvs": told}


@pytest.mark.parametrize("way", [short, long, in_options])
async def test_parts_are_put_together_whatever_their_order_and_those_of_two_senders_never_meet(smsc: Smsc, way: Any) -> None:
    kept = Kept()
    whole = "🎉" * 12  # a part ends in the middle of a character
    raw = whole.encode("utf-16-be")
    parts = [raw[at : at + 4 * 1 + 2] for at in range(0, len(raw), 6)]
    async with connected(smsc.port, kept):
        saying = []
        for number in (3, 1, 2, *range(len(parts), 3, -1)):
            for source in ("254712345678", "254700000001"):
                content = parts[number - 1] if source == "254712345678" else b"\x00" + bytes([64 + number])
                saying.append(smsc.say(**way(7, len(parts), number, content), data_coding=8, source_addr=source))
        assert set(await asyncio.gather(*saying)) == {0}
    assert sorted((each.number, each.text) for each in kept.texts) == [("+254700000001", "ABCDEFGH"), (NUMBER, whole)]


async def test_parts_are_acknowledged_when_the_whole_is_kept(smsc: Smsc) -> None:
    kept = Kept()
    async with connected(smsc.port, kept, waits=Waits(part_s=3_600)):
        first = asyncio.create_task(smsc.say(**short(7, 2, 1, b"PAY ")))
        assert await smsc.say(b"BAL", source_addr="254700000001") == 0
        assert not first.done()
        assert await smsc.say(**short(7, 2, 2, b"200")) == 0
        assert await first == 0
    assert [each.text for each in kept.texts] == ["BAL", "PAY 200"]


async def test_an_smsc_that_sends_one_part_at_a_time_gets_its_acknowledgements(smsc: Smsc) -> None:
    kept = Kept()
    async with connected(smsc.port, kept, waits=Waits(part_s=0.01)) as gateway:
        for number in range(1, 11):
            assert await smsc.say(**short(7, 10, number, bytes([64 + number]))) == 0
        assert gateway._part_s == 0.0, "only the first part has to wait for it"
    assert [each.text for each in kept.texts] == ["ABCDEFGHIJ"]


async def test_a_part_that_comes_again_makes_no_second_text_and_another_text_may_have_its_reference(smsc: Smsc) -> None:
    kept = Kept()
    async with connected(smsc.port, kept, waits=Waits(part_s=0.01)):
        for content in (b"1st ", b"2nd "):
            for _ in range(2):
                assert await smsc.say(**short(7, 2, 1, content + b"a")) == 0
                assert await smsc.say(**short(7, 2, 2, content + b"b")) == 0
    assert [each.text for each in kept.texts] == ["1st a1st b", "2nd a2nd b"]


def test_what_is_left_of_an_older_text_is_never_mixed_into_another_one() -> None:
    parts = Parts()
    for number, content, whole in [(1, b"old a", None), (2, b"old b", None), (1, b"a", None), (3, b"c", None), (2, b"b", b"abc")]:
        assert parts.add("key", Part("short7", number, 3), content, 0) == whole
    assert parts.add("key", Part("short7", 1, 2), b"two parts, not three: ", 0) is None
    assert parts.add("key", Part("short7", 2, 2), b"another", 0) == b"two parts, not three: another"


def test_parts_are_kept_for_an_hour_and_not_without_end() -> None:
    parts = Parts()
    assert parts.add("early", Part("short7", 1, 2), b"a", 0) is None
    assert parts.add("late", Part("short7", 1, 2), b"a", KEPT_NS - 1) is None
    assert parts.add("late", Part("short7", 2, 2), b"b", KEPT_NS) == b"ab"
    assert parts.add("early", Part("short7", 2, 2), b"b", KEPT_NS) is None, "its first part is forgotten"
    for number in range(TEXTS_MAX + 10):
        parts.add(number, Part("short7", 1, 2), b"a", KEPT_NS)
    assert len(parts) == TEXTS_MAX
    assert parts.add(TEXTS_MAX + 9, Part("short7", 2, 2), b"b", KEPT_NS) == b"ab"


async def test_parts_of_a_text_that_could_not_be_kept_make_it_whole_again(smsc: Smsc) -> None:
    kept = Kept()
    failures: list[Inbound] = []

    async def hold(text: Inbound) -> None:
        if not failures:
            failures.append(text)
            raise RuntimeError("a bug")

    kept.hold = hold
    async with connected(smsc.port, kept, waits=Waits(part_s=0.01, pause_s=0.005)):
        assert await smsc.say(**short(7, 2, 1, b"PAY ")) == 0
        again = asyncio.create_task(smsc.say(**short(7, 2, 2, b"200")))
        await eventually(lambda: smsc.binds == 2)
        with contextlib.suppress(Exception):
            await again
        assert await smsc.say(**short(7, 2, 2, b"200")) == 0
    assert [each.text for each in kept.texts] == ["PAY 200"]


# Bad input


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xff" * 300,
        deliver_body(b"BAL")[:-1],
        deliver_body(b"BAL", options=b"\x05\x01\x00"),
        deliver_body(b"BAL", options=b"\x05\x01\xff\xff\x00"),
        deliver_body(b"BAL", options=b"\x14\x00\x00\x00" * 65 + b"".join((0x1400 + n).to_bytes(2, "big") + b"\0\0" for n in range(65))),
        deliver_body(b"BAL", source=b"\xe9"),
        deliver_body(b"BAL", source=b"9" * 80),
        deliver_body(b"", esm_class=0x40),
        deliver_body(b"\xff\x00\x03", esm_class=0x40),
        deliver_body(b"\x03\x00\x09\x01BAL", esm_class=0x40),
        deliver_body(b"\x05\x00\x03\x07\x02\x03BAL", esm_class=0x40),
        deliver_body(b"\x05\x00\x03\x07\x02\x00BAL", esm_class=0x40),
        deliver_body(b"\x05\x00\x03\x07\xff\x01BAL", esm_class=0x40),
        deliver_body(b"", options=b"\x04\x24\x30\x00" + b"x" * 0x3000),
    ],
)
async def test_garbage_is_refused_and_disturbs_nothing(bare: BareSmsc, body: bytes) -> None:
    kept = Kept()
    async with connected(bare.port, kept):
        await eventually(lambda: bare.binds == 1)
        bare.send(DELIVER, 11, body)
        await eventually(lambda: bare.answer_to(11) == (DELIVER | RESPONSE, REJECTED))
        bare.send(0x1234, 12, b"what is this")
        await eventually(lambda: bare.answer_to(12) == (NACK, 3))
        bare.send(SUBMIT | RESPONSE, 4_000_000_000, b"an answer to nothing")
        bare.send(DELIVER, 13, deliver_body(b"BAL"))
        await eventually(lambda: bare.answer_to(13) == (DELIVER | RESPONSE, 0))
    assert [each.text for each in kept.texts] == ["BAL"]
    assert bare.binds == 1


@pytest.mark.parametrize("data", [b"\x00" * 16, b"\xff" * 16, b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x0f" + b"\x00" * 12])
async def test_a_peer_that_speaks_something_else_is_left(bare: BareSmsc, data: bytes) -> None:
    async with connected(bare.port):
        await eventually(lambda: bare.binds == 1)
        bare.send_bytes(data)
        await eventually(lambda: bare.binds == 2)


async def test_no_late_acknowledgement_reaches_the_next_connection(bare: BareSmsc) -> None:
    kept, let_go, seen = Kept(), asyncio.Event(), asyncio.Event()

    async def hold(text: Inbound) -> None:
        if text.text == "FIRST":
            seen.set()
            await let_go.wait()

    kept.hold = hold
    async with connected(bare.port, kept):
        await eventually(lambda: bare.binds == 1)
        bare.send(DELIVER, 1, deliver_body(b"FIRST"))
        await seen.wait()
        bare.hang_up()
        await eventually(lambda: bare.binds == 2)
        let_go.set()
        await eventually(lambda: len(kept.texts) == 1)
        bare.send(DELIVER, 2, deliver_body(b"SECOND"))
        await eventually(lambda: bare.answer_to(2) is not None)
    assert bare.answer_to(1) is None


# What is logged, and what is missing


async def test_no_log_has_what_was_said_or_whose_number_or_the_password(
    smsc: Smsc, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(1)
    logging.getLogger().setLevel(1)
    kept = Kept()
    failures: list[Inbound] = []

    async def hold(text: Inbound) -> None:
        if not failures:
            failures.append(text)
            raise RuntimeError(f"cannot keep {text.text} of {text.number}")

    kept.hold = hold
    with structlog.testing.capture_logs() as logs:
        async with connected(smsc.port, kept, waits=Waits(part_s=0.01, pause_s=0.005)) as gateway:
            smsc.decide = lambda event: event.reject(THROTTLED)
            with pytest.raises(Unavailable):
                await gateway.send(outbound("PIN 90817"))
            lost = asyncio.create_task(smsc.say(b"PAY PIN 90817"))
            await eventually(lambda: smsc.binds == 2)
            with contextlib.suppress(Exception):
                await lost
            await smsc.say(b"PAY PIN 90817")
            await smsc.say(b"PIN 90817", source_addr="MyBank", source_addr_ton=5)
            await smsc.say(b"\x05\x00\x03\x07\x02\x03PIN 90817", esm_class=0x40)
            await smsc.say(b"PIN 90817", esm_class=4)
    assert [each["event"] for each in logs].count("smpp_not_kept") == 1
    said = f"{logs} {caplog.text} {capfd.readouterr()} {Account.at('smpp://h', user='u', password='s3cret99')!r}"
    for secret in ("90817", "712345678", "s3cret99", "MyBank", "cannot keep"):
        assert secret not in said
    assert "test_smpp.py" not in said
    assert any("hold" in str(each.get("where")) for each in logs), "where it failed is told"


def test_a_library_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("counterfoil.channels.gateways.smpp")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "aiosmpplib", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        import counterfoil.channels.gateways.smpp  # noqa: F401
    with pytest.raises(Refused, match=r"pip install 'counterfoil\[smpp\]'"):
        raise missing_driver(caught.value)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"url": "http://127.0.0.1"}, "sms.url"),
        ({"url": "smpp://"}, "sms.url"),
        ({"url": "smpp://h:99999"}, "sms.url"),
        ({"url": "smpp://h:0"}, "sms.url"),
        ({"password": "ninechars"}, "sms.password"),
        ({"user": "sixteen letters!"}, "sms.user"),
        ({"system_type": "vérité"}, "sms.system_type"),
    ],
)
def test_what_smpp_has_no_room_for_is_refused_before_anything_starts(changes: dict[str, str], setting: str) -> None:
    with pytest.raises(Malformed) as caught:
        Account.at(**{"url": "smpp://h", "user": "u", "password": "p", **changes})
    assert caught.value.facts["field"] == setting


def test_the_port_is_the_registered_one_where_none_is_given() -> None:
    assert [Account.at(f"{scheme}://h", user="u", password="p").port for scheme in ("smpp", "smpps")] == [2775, 3550]
