"""Through a real Kannel: what phones show, reports on our own route, nothing lost when its boxes are killed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, quote_plus

import pytest
from sqlalchemy import Connection

from counterfoil.channels.gateways.kannel import Kannel as KannelGateway
from counterfoil.channels.peers import Peers
from counterfoil.channels.sms import queue
from counterfoil.channels.sms.encoding import split
from counterfoil.channels.sms.queue import State
from counterfoil.channels.sms.types import Inbound, Outbound, Report
from counterfoil.errors import Refused, Unavailable
from counterfoil.gateway_settings import SmsGateway
from counterfoil.parties.journal import send_sms
from counterfoil.store.database import Store
from counterfoil.web.metrics import Metrics
from counterfoil.web.server import listening
from counterfoil.web.sms_callbacks import SmsCallbacks
from tests.channels.sms.texting import AMA, KOFI, eventually, kept, life, sender, states, store_in, tell, way
from tests.kannel import PASSWORD, SENDER, USER, Kannel, kannel
from tests.payments.books import ShiftedClock

SECRET = "a-secret-of-a-gateway"


class House:
    """The sender with its table, and the web's own route for what the gateway calls."""

    def __init__(self, store: Store, clock: ShiftedClock, peers: Peers) -> None:
        self.store = store
        self.clock = clock
        self.peers = peers
        self.heard: list[Inbound] = []
        self.is_away = False
        self.refused = 0
        self.callback = ""
        self.kannel: Kannel

    async def reported(self, report: Report) -> None:
        if self.is_away:
            self.refused += 1
            raise Unavailable
        await self.store.write(lambda connection: queue.reported(connection, report, self.clock.now_ns()))

    async def received(self, text: Inbound) -> None:
        if self.is_away:
            self.refused += 1
            raise Unavailable
        self.heard.append(text)

    @property
    def settings(self) -> SmsGateway:
        return SmsGateway(
            name="main", kind="kannel", url=self.kannel.url, user=USER, password=PASSWORD, sender=SENDER, callback=self.callback,
            secret=SECRET, addresses=("127.0.0.0/8",), part_cost=2,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[Counted]:
        gateway = Counted(self.settings, self.peers)
        async with life(sender(self.store, self.clock, way(gateway, self.clock))):
            yield gateway

    def texts(self) -> list[str]:
        return [each.text for each in self.kannel.shown()]

    async def come_to(self, state: State, count: int) -> None:
        async with asyncio.timeout(60):
            while await states(self.store) != [state] * count:
                self.clock.forward(0.5)
                await asyncio.sleep(0.05)


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfoil.channels.sms.sender.PACE_S", 0.05)


def metrics() -> Metrics:
    return Metrics(lambda: pytest.fail("nobody reads here"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        yield lambda callback: stack.enter_context(kannel(tmp_path / "kannel", callback))


@pytest.fixture
async def house(tmp_path: Path, running: Any) -> AsyncIterator[House]:
    peers, clock = Peers(), ShiftedClock()
    async with store_in(tmp_path) as store:
        house = House(store, clock, peers)
        settings = SmsGateway(name="main", kind="kannel", url="http://127.0.0.1/", secret=SECRET, addresses=("127.0.0.0/8",))
        app = SmsCallbacks(
            [settings], reported=house.reported, received=house.received, clock=clock, metrics=metrics(), elsewhere=nobody, common_headers=(),
        )  # fmt: skip
        async with listening(app, host="127.0.0.1", port=0) as address:
            house.callback = address.rstrip("/")
            house.kannel = running(f"{house.callback}/sms/main/{SECRET}")
            house.kannel.start()
            yield house
    await peers.close()


async def test_texts_reach_phones_as_they_were_written_and_their_reports_come_back(house: House) -> None:
    house.kannel.start_network()
    slip: dict[str, Any] = {"shop": "Ñandú {€} ^~[x]|\\", "amount": "1.00 USD", "link": "https://x.example/1?a=1&b=%20+#z"}
    await tell(house.store, house.clock, "slip", AMA, **slip)
    await tell(house.store, house.clock, "welcome", KOFI, name="하은 😀")
    await tell(house.store, house.clock, "closed", KOFI)
    await tell(house.store, house.clock, "code", KOFI, code="123456", purpose="enrol", minutes=10)
    async with house.sending():
        await house.come_to(State.DELIVERED, 4)
    texts = house.texts()
    assert "Your account is closed." in texts
    assert "".join(each.text for each in house.kannel.shown() if each.is_part) == (
        "Welcome, 하은 😀. Your account is open. Tell nobody your PIN, not even us."
    )
    assert "Ñandu {€} ^~[x]|\\: receipt for 1.00 USD, https://x.example/1?a=1&b=%20+#z" in texts
    assert "123456 is your code to open an account, for 10 minutes. Tell nobody." in texts
    assert {each.sender for each in house.kannel.shown()} == {SENDER}
    assert {each.number for each in house.kannel.shown()} == {AMA, KOFI}
    code = (await kept(house.store))[3]
    assert (code.text, code.cost) == ("", 3)
    assert code.reported_at is not None


async def test_a_long_text_arrives_in_the_parts_that_were_counted(house: House) -> None:
    house.kannel.start_network()
    gateway = KannelGateway(house.settings, house.peers)
    long = {1: "abcd€" * 60, 2: "하은에게 " * 30, 3: "a" * 305}
    for place, text in long.items():
        await gateway.send(Outbound(id=place, number=f"+25470000000{place}", sender=SENDER, text=text))
    for place, text in long.items():
        parts = [each.text for each in await parts_of(house, f"+25470000000{place}", len(text))]
        assert "".join(parts) == text
        assert parts == split(text)


async def parts_of(house: House, number: str, length: int) -> list[Any]:
    async with asyncio.timeout(60):
        while True:
            found = [each for each in house.kannel.shown() if each.number == number]
            if sum(len(each.text) for each in found) >= length:
                return found
            await asyncio.sleep(0.05)


async def test_a_wrong_password_waits_and_a_number_that_is_none_is_refused(house: House) -> None:
    settings = house.settings
    wrong = SmsGateway(name="main", kind="kannel", url=settings.url, user=USER, password="wrong & ?", sender=SENDER)
    text = Outbound(id=1, number=AMA, sender=SENDER, text="x")
    with pytest.raises(Unavailable, match="answered 403"):
        await KannelGateway(wrong, house.peers).send(text)
    with pytest.raises(Refused, match="answered 400"):
        await KannelGateway(settings, house.peers).send(Outbound(id=1, number="nobody", sender=SENDER, text="x"))


async def test_a_smsbox_that_is_away_loses_nothing_and_tells_nothing(house: House) -> None:
    house.kannel.start_network()
    house.kannel.kill("smsbox")
    gateway = KannelGateway(house.settings, house.peers)
    with pytest.raises(Unavailable) as error:
        await gateway.send(Outbound(id=1, number=AMA, sender=SENDER, text="a secret text"))
    assert not any(secret in str(error.value) for secret in (PASSWORD, AMA, "secret text", SECRET))
    for number in range(5):
        await tell(house.store, house.clock, "closed", f"+25470000010{number}")
    async with house.sending():
        await eventually(lambda: _is_tried(house))
        house.kannel.start_smsbox()
        await house.come_to(State.DELIVERED, 5)


async def test_a_bearerbox_killed_with_its_queue_full_loses_nothing(house: House) -> None:
    """No network: what Kannel accepts waits in its store. It is killed twice, and what we gave it goes out in the end."""
    async with house.sending():
        for number in range(12):
            await tell(house.store, house.clock, "closed", f"+2547000002{number:02}")
            if number == 5:
                house.kannel.kill("bearerbox")
                house.kannel.start_bearerbox()
        async with asyncio.timeout(60):
            while await states(house.store) != ["sent"] * 12:
                house.clock.forward(0.5)
                await asyncio.sleep(0.05)
        house.kannel.kill("smsbox")
        house.kannel.kill("bearerbox")
        house.kannel.start()
        house.kannel.start_network()
        async with asyncio.timeout(90):
            while {each.number for each in house.kannel.shown()} != {f"+2547000002{number:02}" for number in range(12)}:
                await asyncio.sleep(0.05)
        await house.come_to(State.DELIVERED, 12)


QUEUED, NUMBERS = 200, 40
DEATHS = [("bearerbox", 60), ("network", 100), ("smsbox", 140)]
"""Each when phones have so many texts."""
QUIET_S, SKIPPED_S = 3.0, 20.0


async def test_every_box_killed_in_the_middle_of_a_long_queue_loses_nothing_and_keeps_the_order(house: House) -> None:
    """Twice comes only what bearerbox had given to the network and not yet crossed out when it died: it gives that again by itself."""
    one, numbers = house.kannel, [f"+2547000003{place:02}" for place in range(NUMBERS)]

    def write(connection: Connection) -> None:
        for place in range(QUEUED):
            send_sms(connection, house.clock, numbers[place % NUMBERS], "pin_allowed", per_day=100 * (place + 1))

    await house.store.write(write)
    deaths, ends = [*DEATHS], list[int]()
    async with house.sending() as given, asyncio.timeout(120):
        while (await states(house.store)).count(State.SENT) < NUMBERS:
            await asyncio.sleep(0.05)
        one.kill("bearerbox")  # with as many as it is given in its store
        one.start_bearerbox()
        one.start_network()
        quiet = Quiet(house.clock)
        while True:
            now = await states(house.store)
            if deaths and len(one.shown()) >= deaths[0][1]:
                assert State.WAITING in now, "or it is no longer the middle"
                if deaths[0][0] == "bearerbox":
                    ends.append(len(one.shown_by_life()))
                one.kill_and_start(deaths.pop(0)[0])
            elif not deaths and not {State.WAITING} & {*now} and len({each.text for each in one.shown()}) == QUEUED:
                break
            one.keep_up()
            quiet.see(now, len(one.shown()))
            await asyncio.sleep(0.02)
    rows, lives = await kept(house.store), one.shown_by_life()
    assert {row.state for row in rows} <= {State.SENT, State.DELIVERED}
    for number in numbers:
        firsts = list(dict.fromkeys(each.text for each in one.shown() if each.number == number))
        assert firsts == [row.text for row in rows if row.number == number]
    texts = Counter(each.text for each in one.shown())
    twice = {text for text, count in texts.items() if count > 1}
    around = [{each.text for each in life} for life in (lives[ends[0] - 1], lives[ends[0]])]
    assert twice <= around[0] & around[1], "only by the bearerbox that died with it"
    assert max(texts.values()) <= 2
    assert {given.texts[text] for text in twice} <= {1}, "by us, once"


class Quiet:
    """Lets time pass when nothing has happened for some seconds: then no report is on its way any more."""

    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self._seen: object = None
        self._since = 0.0

    def see(self, *what: object) -> None:
        if what != self._seen:
            self._seen, self._since = what, time.monotonic()
        elif time.monotonic() - self._since > QUIET_S:
            self._clock.forward(SKIPPED_S)
            self._since = time.monotonic()


class Counted(KannelGateway):
    """Knows how often it was given each text."""

    def __init__(self, settings: SmsGateway, peers: Peers) -> None:
        super().__init__(settings, peers)
        self.texts: Counter[str] = Counter()

    async def send(self, text: Outbound) -> str:
        self.texts[text.text] += 1
        return await super().send(text)


def typed(text: str, kind: str = "text", number: str = "254700000001") -> str:
    """A text of a phone, as the fake SMSC is told it."""
    return f"{number} 4567 {kind} {text}"


async def heard(house: House, count: int = 1) -> list[Inbound]:
    async with asyncio.timeout(60):
        while len(house.heard) < count:
            await asyncio.sleep(0.05)
    return house.heard


async def test_what_comes_in_is_brought_again_until_it_is_kept(house: House) -> None:
    house.is_away = True
    house.kannel.start_network(typed("BAL"))
    async with asyncio.timeout(60):
        while house.refused < 2:
            await asyncio.sleep(0.05)
    house.is_away = False
    (text,) = await heard(house)
    assert (text.gateway, text.number, text.text) == ("main", "254700000001", "BAL")
    assert len(text.reference) == 36


async def test_what_comes_in_is_what_was_typed_whatever_its_alphabet(house: House) -> None:
    long = "PAY 0712345678 200 " + "né€ " * 60
    texts = ["BAL 2580", "PAY 0700 000 002 1,50 rice & beans +5%", "Ñandú {€} ^~[x]|\\", "  송금 010-1234-5678 200 밥 😀", long, "?"]
    for number, text in enumerate(texts):
        kind, said = ("text", text) if text.isascii() else ("ucs2", quote_plus(text.encode("utf-16-be")))
        house.kannel.take(typed(said, kind, f"25470000000{number}"))
        await heard(house, number + 1)
    assert [(text.number[-1], text.text.strip()) for text in house.heard] == [
        (str(place), text.strip()) for place, text in enumerate(texts)
    ]
    assert len({text.reference for text in house.heard}) == len(texts)


async def test_the_parts_of_a_long_text_come_in_as_one(house: House) -> None:
    parts = ["PAY 0712345678 200 " + "a" * 100, "b" * 80]
    heads = [bytes((5, 0, 3, 77, 2, place)) for place in (1, 2)]
    for head, part in reversed([*zip(heads, parts, strict=True)]):
        house.kannel.take(typed(f"{quote_from_bytes(head)} {part}", "udh-text"))
    (text,) = await heard(house)
    assert text.text == "".join(parts)


async def test_what_is_no_text_is_taken_once_and_not_brought_again(house: House) -> None:
    tone = f"{quote_from_bytes(bytes((6, 5, 4, 0x15, 0x81, 0, 0)))} %00%FF+tone"
    house.kannel.take(typed(tone, "udh-data"))
    (ringing,) = await heard(house)
    house.kannel.take(typed("BAL"))
    await heard(house, 2)
    assert [each.text for each in house.heard if each.reference != ringing.reference] == ["BAL"]
    assert house.refused == 0


async def test_no_log_has_a_pin_that_came_in_or_a_code_that_left(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    """Also of texts that could not be brought at first. The same boxes' full output shows that there was something to find."""
    house.is_away = True
    house.kannel.take(typed("PIN 739154"))
    house.kannel.take(typed(quote_plus("송금 0700000002 200 739154".encode("utf-16-be")), "ucs2"))
    async with asyncio.timeout(60):
        while house.refused < 4:
            await asyncio.sleep(0.05)
    house.is_away = False
    await heard(house, 2)
    house.kannel.start_network()
    await tell(house.store, house.clock, "code", KOFI, code="846213", purpose="enrol", minutes=10)
    async with house.sending():
        await house.come_to(State.DELIVERED, 1)
    assert all("739154" in each.text for each in house.heard)
    secrets = ("739154", "846213", "254700000001", KOFI[1:], PASSWORD)
    printed = house.kannel.everything()
    assert all(secret in printed for secret in secrets)
    logs = house.kannel.logs()
    ours = "".join(capfd.readouterr())
    assert "callback_waits" in ours
    assert not any(secret in text for secret in secrets for text in (logs, ours))
    assert SECRET not in ours


async def _is_tried(house: House) -> bool:
    return any(message.attempts for message in await kept(house.store))
