"""USSD over SMPP, against other people's SMSC: each hop is answered once, in its own session, whatever way the network counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from smpp34 import SubmitSmEvent

from counterfoil.channels.gateways.smpp import Heard, Smpp
from counterfoil.channels.gateways.smpp_connection import Account, Waits
from counterfoil.channels.gateways.smpp_pdu import Garbage, part_of, read_delivered, receipt_of, text_of
from counterfoil.channels.gateways.smpp_ussd import Sequences, read_dialogue
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.parties.pin_brake import place
from tests.channels.gateways.smsc import DELIVER, RESPONSE, BareSmsc, Smsc, deliver_body, eventually, option

DIALS, SHOWS, ENDS, ANSWERS, HAS_SEEN = 1, 2, 17, 18, 19
OPERATION, SESSION_INFO = 0x0501, 0x1383
THROTTLED, TEMPORARY, REJECTED, NO_SUCH_SERVICE = 0x58, 0x64, 0x66, 0x15

MENU = ["1 Send\n2 Balance", "Number?", "잔액 확인: PIN", "Done"]


class Engine:
    """Goes through MENU in each session, one screen a hop; a hop that comes again gets the same screen."""

    def __init__(self) -> None:
        self.hops: list[Hop] = []
        self.ended: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self.hold: dict[str, asyncio.Event] = {}
        self._shown: dict[tuple[str, str], Screen] = {}
        self._at: dict[str, int] = {}

    async def answer(self, hop: Hop) -> Screen:
        if hop.number in self.hold:
            await self.hold[hop.number].wait()
        if self.failures:
            raise self.failures.pop()
        assert place() == ("ussd", "ussd"), "wrong PINs are counted where they come from"
        self.hops.append(hop)
        if hop.begins:
            self._at[hop.session] = -1
        key = (hop.session, hop.mark)
        if not hop.mark or key not in self._shown:
            self._at[hop.session] = at = self._at.get(hop.session, -1) + 1
            self._shown[key] = Screen(MENU[at], at == len(MENU) - 1)
        return self._shown[key]

    async def end(self, gateway: str, session: str) -> None:
        self.ended.append((gateway, session))


async def nothing(_: Any) -> None:
    raise AssertionError("no text came")


@contextlib.asynccontextmanager
async def connected(port: int, engine: Engine | None) -> AsyncIterator[Smpp]:
    heard = Heard(received=nothing, reported=nothing)
    if engine is not None:
        heard = Heard(received=nothing, reported=nothing, answer=engine.answer, ended=engine.end)
    account = Account.at(f"smpp://127.0.0.1:{port}", user="counterfoil", password="s3cret99")
    gateway = Smpp("ussd", account, heard, clock=SystemClock(), region="KE", waits=Waits(pause_s=0.005, pause_s_max=0.02))
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


async def hop(smsc: Smsc, operation: int, info: bytes | None, typed: bytes = b"", source: str = "254712345678") -> int:
    tlvs = [option(OPERATION, bytes([operation]))] + ([] if info is None else [option(SESSION_INFO, info)])
    return await smsc.say(typed, service_type="USSD", tlvs=tlvs, source_addr=source)


def shown(event: SubmitSmEvent) -> tuple[str, str, int, bytes]:
    """(to whom, what, the operation, the session) of a screen."""
    options = {each.tag: each.value for each in event.tlvs}
    text = event.short_message.decode("utf-16-be" if event.data_coding == 8 else "ascii")
    assert (event.service_type, event.source_addr, event.registered_delivery) == ("USSD", "22345", 0)
    return event.destination_addr, text, options[OPERATION][0], options.get(SESSION_INFO, b"")


@pytest.mark.parametrize("step", [0, 1, 2], ids=["keeps its sequence", "counts by one", "counts by two"])
@pytest.mark.parametrize("number", [3, 0xC8])
async def test_four_screens_and_an_end(smsc: Smsc, step: int, number: int) -> None:
    engine = Engine()
    session = f"+254712345678/{number}"
    async with connected(smsc.port, engine) as gateway:
        for at, typed in enumerate([b"*123#", b"1", b"1", b"90817"]):
            info = bytes([number, (126 + at * step) % 128 << 1])
            assert await hop(smsc, ANSWERS if at else DIALS, info, typed) == 0
            await eventually(lambda: gateway._sequences._sessions[session].shown)  # nobody types before there is a screen
    infos = [bytes([number, (126 + at * step) % 128 << 1 | (at == 3)]) for at in range(4)]
    assert [shown(event) for event in smsc.submits] == [
        ("254712345678", text, ENDS if at == 3 else SHOWS, infos[at]) for at, text in enumerate(MENU)
    ]
    assert [(each.typed, each.begins, each.whole) for each in engine.hops] == [
        ("", True, False),
        ("1", False, False),
        ("1", False, False),
        ("90817", False, False),
    ]
    assert {each.session for each in engine.hops} == {session}
    assert {(each.gateway, each.number) for each in engine.hops} == {("ussd", "+254712345678")}


async def test_a_network_without_sessions_has_one_for_each_telephone(smsc: Smsc) -> None:
    engine = Engine()
    async with connected(smsc.port, engine):
        assert await hop(smsc, DIALS, None) == 0
        assert await hop(smsc, ANSWERS, None, b"1") == 0
        await eventually(lambda: len(smsc.submits) == 2)
    assert [(each.session, each.mark) for each in engine.hops] == [("+254712345678", ""), ("+254712345678", "")]
    assert sorted(shown(each)[1] for each in smsc.submits) == sorted(MENU[:2])


async def test_a_hop_that_comes_again_gets_the_same_screen_and_one_that_comes_late_gets_none(smsc: Smsc) -> None:
    engine = Engine()
    async with connected(smsc.port, engine):
        for info, typed in ((b"\x07\x02", b"*123#"), (b"\x07\x04", b"1"), (b"\x07\x04", b"1"), (b"\x07\x06", b"200")):
            seen = len(smsc.submits)
            assert await hop(smsc, DIALS if info == b"\x07\x02" else ANSWERS, info, typed) == 0
            await eventually(lambda seen=seen: len(smsc.submits) == seen + 1)  # type: ignore[misc]
        assert await hop(smsc, ANSWERS, b"\x07\x04", b"1") == 0
        assert await hop(smsc, ANSWERS, b"\x07\x08", b"90817") == 0
        await eventually(lambda: len(smsc.submits) == 5)
    assert [shown(each)[1] for each in smsc.submits] == [MENU[0], MENU[1], MENU[1], MENU[2], MENU[3]]


async def test_a_screen_that_the_network_did_not_take_is_shown_again_when_the_hop_comes_again(smsc: Smsc) -> None:
    engine = Engine()
    accept, smsc.decide = smsc.decide, lambda event: event.reject(THROTTLED)
    with structlog.testing.capture_logs() as logs:
        async with connected(smsc.port, engine):
            assert await hop(smsc, DIALS, b"\x07\x00") == 0
            await eventually(lambda: "smpp_screen_not_shown" in [each["event"] for each in logs])
            smsc.decide = accept
            assert await hop(smsc, DIALS, b"\x07\x00") == 0
            await eventually(lambda: len(smsc.submits) == 2)
    assert [shown(each)[1] for each in smsc.submits] == [MENU[0], MENU[0]]
    assert {each.mark for each in engine.hops} == {"0"}


async def test_sessions_with_one_number_on_two_telephones_are_two_and_a_slow_one_holds_up_nobody(smsc: Smsc) -> None:
    engine = Engine()
    engine.hold["+254712345678"] = asyncio.Event()
    async with connected(smsc.port, engine):
        slow = asyncio.create_task(hop(smsc, DIALS, b"\x07\x00"))
        assert await hop(smsc, DIALS, b"\x07\x00", source="254700000001") == 0
        assert await hop(smsc, ANSWERS, b"\x07\x02", b"1", source="254700000001") == 0
        await eventually(lambda: len(smsc.submits) == 2)
        assert not slow.done()
        engine.hold["+254712345678"].set()
        assert await slow == 0
        await eventually(lambda: len(smsc.submits) == 3)
    screens = [shown(each)[:2] for each in smsc.submits]
    assert sorted(screens[:2]) == [("254700000001", MENU[0]), ("254700000001", MENU[1])]
    assert screens[2] == ("254712345678", MENU[0])


async def test_an_end_by_the_network_is_told_and_its_number_may_be_given_again(smsc: Smsc) -> None:
    engine = Engine()
    async with connected(smsc.port, engine):
        assert await hop(smsc, DIALS, b"\x07\x00") == 0
        assert await hop(smsc, ANSWERS, b"\x07\x01", b"90817") == 0
        assert await hop(smsc, HAS_SEEN, b"\x07\x02") == 0
        assert engine.ended == [("ussd", "+254712345678/7")]
        assert await hop(smsc, DIALS, b"\x07\x00") == 0
        await eventually(lambda: len(smsc.submits) == 2)
    assert [(each.typed, each.begins) for each in engine.hops] == [("", True), ("", True)]


async def test_an_engine_that_fails_ends_that_session_alone(smsc: Smsc) -> None:
    engine = Engine()
    with structlog.testing.capture_logs() as logs:
        async with connected(smsc.port, engine):
            engine.failures += [Unavailable("the ledger does not answer"), ValueError("90817")]
            assert await hop(smsc, DIALS, b"\x07\x00") == TEMPORARY
            assert await hop(smsc, ANSWERS, b"\x07\x02", b"90817") == TEMPORARY
            assert await hop(smsc, DIALS, b"\x07\x00") == 0
            await eventually(lambda: len(smsc.submits) == 1)
    assert smsc.binds == 1
    assert [each["error"] for each in logs if each["event"] == "smpp_ussd_failed"] == ["ValueError", "Unavailable"]
    assert "90817" not in str(logs)


async def test_what_is_no_hop_is_refused(smsc: Smsc) -> None:
    engine = Engine()
    async with connected(smsc.port, engine):
        for tlvs in (
            [],
            [option(OPERATION, b"")],
            [option(OPERATION, b"\x02")],
            [option(OPERATION, b"\x01"), option(SESSION_INFO, b"\x01")],
        ):
            assert await smsc.say(b"1", service_type="USSD", tlvs=tlvs) == REJECTED
        assert await hop(smsc, DIALS, b"\x07\x00", source="MyBank") == REJECTED
        assert await smsc.say(b"\x00", service_type="USSD", tlvs=[option(OPERATION, b"\x12")], data_coding=4) == REJECTED
    assert (engine.hops, smsc.binds) == ([], 1)


async def test_without_ussd_in_the_settings_there_is_no_such_service(smsc: Smsc) -> None:
    async with connected(smsc.port, None):
        assert await hop(smsc, DIALS, b"\x07\x00") == NO_SUCH_SERVICE


async def test_a_long_name_of_the_service_disturbs_nothing() -> None:
    engine = Engine()
    async with BareSmsc().running() as bare, connected(bare.port, engine):
        await eventually(lambda: bare.binds == 1)
        options = b"\x05\x01\x00\x01\x01\x13\x83\x00\x02\x07\x00"
        body = deliver_body(b"*123#", options=options)
        bare.send(DELIVER, 5, body.replace(b"22345", b"2" * 21))
        await eventually(lambda: bare.answer_to(5) == (DELIVER | RESPONSE, REJECTED))
        bare.send(DELIVER, 6, body)
        await eventually(lambda: bare.answer_to(6) == (DELIVER | RESPONSE, 0))
    assert len(engine.hops) == 1


# Whatever the bytes

FRAMES = st.one_of(
    st.binary(max_size=80),
    st.builds(
        deliver_body,
        st.binary(max_size=40),
        esm_class=st.integers(0, 255),
        data_coding=st.integers(0, 255),
        options=st.lists(
            st.tuples(
                st.sampled_from([OPERATION, SESSION_INFO, 0x020C, 0x020E, 0x020F, 0x001E, 0x0427, 0x0424, 0x1400]), st.binary(max_size=5)
            ),
            max_size=6,
        ).map(lambda pairs: b"".join(tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for tag, value in pairs)),
    ),
)


@given(FRAMES)
def test_no_bytes_are_more_than_garbage(body: bytes) -> None:
    """Each step reads it or says Garbage; nothing else is ever raised, since that would end the connection of everybody."""
    with contextlib.suppress(Garbage):
        message = read_delivered(body)
        receipt_of(message)
        with contextlib.suppress(Garbage):
            _, content = part_of(message)
            assert isinstance(text_of(content, message.data_coding), str | None)
        dialogue = read_dialogue("g", "+254712345678", message)
        if dialogue.hop is not None:
            assert Sequences().mark(dialogue) is not None
