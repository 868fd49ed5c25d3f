"""Through a real Kannel: what phones show, reports on our own route, nothing lost when its boxes are killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from counterfoil.channels.gateways.kannel import Kannel as KannelGateway
from counterfoil.channels.peers import Peers
from counterfoil.channels.sms import queue
from counterfoil.channels.sms.encoding import split
from counterfoil.channels.sms.queue import State
from counterfoil.channels.sms.types import Inbound, Outbound, Report
from counterfoil.errors import Refused, Unavailable
from counterfoil.gateway_settings import SmsGateway
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
    async def sending(self) -> AsyncIterator[None]:
        gateway = KannelGateway(self.settings, self.peers)
        async with life(sender(self.store, self.clock, way(gateway, self.clock))):
            yield

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


async def test_what_comes_in_is_brought_again_until_it_is_kept(house: House) -> None:
    house.is_away = True
    house.kannel.start_network("254700000001 4567 text BAL")
    async with asyncio.timeout(60):
        while not house.refused:
            await asyncio.sleep(0.05)
    house.is_away = False
    async with asyncio.timeout(60):
        while not house.heard:
            await asyncio.sleep(0.05)
    (text,) = house.heard
    assert (text.gateway, text.number, text.text) == ("main", "254700000001", "BAL")
    assert len(text.reference) == 36


async def _is_tried(house: House) -> bool:
    return any(message.attempts for message in await kept(house.store))
