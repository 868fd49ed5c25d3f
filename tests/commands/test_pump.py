"""`counterfoil pump`: a driver at a pump, a line, a network and a machine to which everything can happen; charged once, to the drop."""

from __future__ import annotations

import asyncio
import io
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from counterfoil.acceptance.fuel.fills import PAGE_SIZE_MAX
from counterfoil.acceptance.fuel.pump import cost
from counterfoil.clock import SystemClock
from counterfoil.commands.output import Failure, WrongUse
from counterfoil.commands.pairing import Caller
from counterfoil.commands.pump.controller import SILENT_ROUNDS, Controller
from counterfoil.commands.pump.folder import Folder
from counterfoil.commands.pump.protocol import Line, Status
from counterfoil.commands.pump.simulator import Pump, Serving
from counterfoil.errors import Unavailable
from counterfoil.ids import new_id
from tests.commands.counter import Killed, Network, Steps
from tests.commands.desk import Desk, run
from tests.scheme import Person
from tests.web.test_tills import Counter, paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE, FULL_TANK, NUMBER = 1_799, 9_000, 3
ROUNDS_MAX = 60


class Dying(Folder):
    """The program's folder, on a machine that dies at a write."""

    def __init__(self, path: Path, steps: Steps) -> None:
        super().__init__(path)
        self.steps = steps

    def write(self, path: Path, kept: Any) -> None:
        with self.steps.step(f"write {path.name}"):
            super().write(path, kept)

    def forget(self, path: Path) -> None:
        with self.steps.step("forget"):
            super().forget(path)


class Cut(Line):
    """The program's line to the pump, which breaks: before a question arrives, or before its answer does."""

    def __init__(self, address: str, steps: Steps) -> None:
        super().__init__(address)
        self.steps = steps

    def _exchange(self, line: bytes) -> Status:
        with self.steps.step(line.decode()):
            return super()._exchange(line)


class Forecourt:
    """One pump of a station, its controller, and a driver who does the next thing as soon as it is possible."""

    def __init__(self, shop: Counter, path: Path, pump: Pump, serving: Serving) -> None:
        self.shop = shop
        self.site = shop.site
        self.path = path
        self.pump = pump
        self.serving = serving
        self.server = f"http://127.0.0.1:{shop.site.port}"
        self.said: list[str] = []

    def controller(self, *, network: Steps | None = None, disk: Steps | None = None, line: Steps | None = None) -> Controller:
        folder, client = Dying(self.path, disk or Steps()), Network(self.server, network or Steps())
        pairing = folder.paired()
        return Controller(
            folder=folder, pairing=pairing, till=Caller(client, pairing.token), line=Cut(self.serving.address, line or Steps()),
            say=self.said.append, clock=SystemClock(), number=NUMBER,
        )  # fmt: skip

    def start(self, **steps: Steps) -> Controller:
        """A controller that has begun: the rounds are the test's. Whatever breaks while it begins, it begins again."""
        while True:
            controller = self.controller(**steps)
            try:
                begin(controller)
            except Killed:
                continue
            return controller

    async def ids(self) -> list[str]:
        """Of the fills, newest first."""
        return [fill["id"] for fill in (await self.shop.ok("GET", "/v1/till/fills", session=""))["fills"]]

    async def fill(self) -> dict[str, Any]:
        """The newest."""
        found: dict[str, Any] = await self.shop.ok("GET", f"/v1/till/fills/{(await self.ids())[0]}", session="")
        return found

    async def agree(self, person: Person) -> bool:
        """The driver agrees to what the pump shows, if it shows anything; whether there was something."""
        if not self.pump.shown or not await self.ids():
            return False
        fill = await self.fill()
        if fill["state"] == "idle" and fill["sale"]["state"] == "open":
            await self.shop.pay(person, fill["sale"], timeout_s=7_200)
            return True
        return False

    async def fill_up(
        self, person: Person, millilitres: int, *, amount: int | None = None, steps: dict[str, Steps] | None = None, power_cut: int = 0
    ) -> dict[str, Any]:
        """A whole fill, round by round; controllers that die are started again. `power_cut`: the pump's, after so many millilitres."""
        given, before, ran = dict(steps or {}), await self.ids(), 0
        self.pump.choose("Diesel", amount)
        controller = await asyncio.to_thread(self.start, **given)
        for _ in range(ROUNDS_MAX):
            try:
                await asyncio.to_thread(died_in, controller)
            except Dead:
                controller.line.close()
                controller = await asyncio.to_thread(self.start, **given)
            await self.agree(person)
            if self.pump.lift() and ran < millilitres:
                part = min(millilitres - ran, power_cut if power_cut and not ran else max(1, millilitres // 2))
                gave = self.pump.run(part)
                ran = ran + gave if gave == part else millilitres
                if power_cut and ran == power_cut:
                    self.pump.lose_power()
                    ran = millilitres
            elif ran >= millilitres:
                self.pump.hang_up()
            if ran >= millilitres and not controller.folder.fill() and await self.ids() != before:
                break
        controller.line.close()
        now = await self.ids()
        assert now[1:] == before[: len(now) - 1], (before, now)
        assert len(now) == min(len(before) + 1, PAGE_SIZE_MAX)
        return await self.fill()


class Dead(Exception):
    """What `Killed` is when it comes out of a thread."""


def died_in(controller: Controller) -> None:
    try:
        controller.round()
    except Killed as died:
        raise Dead(str(died)) from died


def begin(controller: Controller) -> None:
    """What `run` does before its rounds."""
    rounds = controller.round

    def stop() -> None:
        raise KeyboardInterrupt

    controller.round = stop  # type: ignore[method-assign]
    try:
        controller.run()
    except Failure as left:
        assert left.code == "unavailable", left
    finally:
        controller.round = rounds  # type: ignore[method-assign]


@contextmanager
def served(pump: Pump) -> Iterator[Serving]:
    with Serving(pump, 0) as serving:
        threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield serving
        finally:
            serving.shutdown()


@pytest_asyncio.fixture(loop_scope="module")
async def forecourt(desk: Desk, tmp_path: Path) -> AsyncIterator[Forecourt]:
    shop = await paired(desk.site, await desk.site.scheme.merchant("Fuel"))
    body = {"number": NUMBER, "products": [{"name": "Diesel", "price": PRICE}], "full_tank": FULL_TANK}
    await shop.ok("PUT", f"/v1/till/pumps/{shop.fresh()}", body)
    made = await shop.site.ok(shop.shop, "POST", "/v1/tills", {"id": shop.fresh(), "name": "Pumps"})
    (tmp_path / "totaliser").write_text("1000000")
    pump = Pump(tmp_path / "totaliser", SystemClock())
    with served(pump) as serving:
        forecourt = Forecourt(shop, tmp_path / "pump", pump, serving)
        argv = ["pump", "pair", "--server", forecourt.server, "--code", made["pairing_code"], "--label", "P", "--data", forecourt.path]
        assert (await asyncio.to_thread(run, *argv)).code == 0
        yield forecourt


async def test_a_driver_chooses_agrees_fills_up_and_has_paid_for_what_ran(forecourt: Forecourt) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    fill = await forecourt.fill_up(ada, 2_500)
    assert (fill["state"], fill["millilitres"], fill["charge"], fill["unpaid"]) == ("done", 2_500, cost(2_500, PRICE), 0)
    assert (ada.balance(), ada.available()) == (50_000 - 4_498, 50_000 - 4_498)
    assert forecourt.said[-1] == "2.500 L Diesel: 44.98 USD."
    assert any(line.startswith(f"Asked for 90.00 USD at {forecourt.server}/pay/") for line in forecourt.said)
    assert forecourt.pump.totaliser == 1_002_500


async def test_the_pump_stops_at_what_the_amount_buys(forecourt: Forecourt) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    fill = await forecourt.fill_up(ada, 50_000, amount=2_000)
    assert (fill["state"], fill["charge"], fill["millilitres"]) == ("done", 2_000, fill["millilitres_max"])
    assert ada.balance() == 48_000


async def test_a_driver_who_goes_away_gets_all_back(forecourt: Forecourt) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    for before_agreeing in (True, False):
        forecourt.pump.choose("Diesel")
        controller = await asyncio.to_thread(forecourt.start)
        await asyncio.to_thread(controller.round)
        if not before_agreeing:
            assert await forecourt.agree(ada)
            for _ in range(3):
                await asyncio.to_thread(controller.round)
            assert forecourt.pump.state == "authorised"
        forecourt.pump.walk_away()
        for _ in range(3):
            await asyncio.to_thread(controller.round)
        controller.line.close()
        assert controller.folder.fill() is None
        assert ((await forecourt.fill())["state"], ada.available()) == ("aborted", 50_000)


async def test_what_the_station_does_not_sell_is_refused_at_the_pump_once(forecourt: Forecourt) -> None:
    forecourt.pump.choose("Petrol")
    controller = await asyncio.to_thread(forecourt.start)
    for _ in range(3):
        await asyncio.to_thread(controller.round)
    controller.line.close()
    assert [line for line in forecourt.said if line.startswith("Refused")] == ["Refused: this pump does not give this product"]
    assert (forecourt.pump.shown, forecourt.pump.wanted) == ("this pump does not give this product", None)


@pytest.mark.parametrize("cut", [1, 700, 2_500])
async def test_a_pump_that_lost_its_power_is_charged_by_its_totaliser(forecourt: Forecourt, cut: int) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    fill = await forecourt.fill_up(ada, 2_500, power_cut=cut)
    assert (fill["state"], fill["millilitres"], ada.balance()) == ("done", cut, 50_000 - cost(cut, PRICE))


async def test_a_pump_that_lost_its_power_before_a_drop_ran_is_allowed_again(forecourt: Forecourt) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    forecourt.pump.choose("Diesel")
    controller = await asyncio.to_thread(forecourt.start)
    await asyncio.to_thread(controller.round)
    await forecourt.agree(ada)
    for _ in range(2):
        await asyncio.to_thread(controller.round)
    forecourt.pump.lose_power()
    await asyncio.to_thread(controller.round)
    assert forecourt.pump.lift()
    forecourt.pump.run(1_000)
    forecourt.pump.hang_up()
    for _ in range(3):
        await asyncio.to_thread(controller.round)
    controller.line.close()
    assert ada.balance() == 50_000 - PRICE


async def test_a_pump_that_does_not_answer_is_told_as_silent_and_waited_for(forecourt: Forecourt) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    forecourt.pump.choose("Diesel")
    line = Steps()
    controller = await asyncio.to_thread(forecourt.start, line=line)
    await asyncio.to_thread(controller.round)
    await forecourt.agree(ada)
    for _ in range(2):
        await asyncio.to_thread(controller.round)
    assert forecourt.pump.lift()
    forecourt.pump.run(500)
    line.error = Unavailable
    line.deaths = dict.fromkeys(range(len(line.names), len(line.names) + SILENT_ROUNDS), False)
    for _ in range(SILENT_ROUNDS):
        await asyncio.to_thread(controller.round)
    assert (await forecourt.fill())["state"] == "timed_out"
    forecourt.pump.run(500)
    await asyncio.to_thread(controller.round)
    assert (await forecourt.fill())["state"] == "timed_out", "what it tells while it runs is not the end"
    forecourt.pump.hang_up()
    for _ in range(2):
        await asyncio.to_thread(controller.round)
    controller.line.close()
    assert ((await forecourt.fill())["state"], ada.balance()) == ("done", 50_000 - PRICE)


async def test_a_refusal_while_a_fill_is_under_way_forgets_no_fill(forecourt: Forecourt) -> None:
    """Such as of a shop that is frozen meanwhile: what ran is taken as soon as it may be."""
    scheme, staff = forecourt.site.scheme, forecourt.site.services.parties.staff
    ada = await scheme.customer("Ada", funds=50_000)
    forecourt.pump.choose("Diesel")
    controller = await asyncio.to_thread(forecourt.start)
    await asyncio.to_thread(controller.round)
    await forecourt.agree(ada)
    for _ in range(2):
        await asyncio.to_thread(controller.round)
    forecourt.pump.lift()
    forecourt.pump.run(1_000)
    forecourt.pump.hang_up()
    by, other = scheme.supervisors[:2]
    freeze = await staff.freeze(new_id(scheme.clock), forecourt.shop.shop.party, reason="a court", by=by, lifetime_s=3_600)
    for _ in range(3):
        await asyncio.to_thread(controller.round)
    assert (controller.folder.fill() is None, ada.balance()) == (False, 50_000)
    await staff.unfreeze(freeze.id, reason="the court again", by=other)
    for _ in range(2):
        await asyncio.to_thread(controller.round)
    controller.line.close()
    assert (controller.folder.fill(), ada.balance()) == (None, 50_000 - PRICE)


async def test_a_pump_that_contradicts_its_totaliser_is_for_somebody_to_read(forecourt: Forecourt) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    forecourt.pump.choose("Diesel")
    controller = await asyncio.to_thread(forecourt.start)
    await asyncio.to_thread(controller.round)
    await forecourt.agree(ada)
    for _ in range(2):
        await asyncio.to_thread(controller.round)
    forecourt.pump.lift()
    forecourt.pump.run(500)
    forecourt.pump.millilitres += 1
    forecourt.pump.hang_up()
    with pytest.raises(Failure, match="Read it, and report the fill by hand"):
        await asyncio.to_thread(controller.round)
    controller.line.close()
    assert (ada.balance(), controller.folder.fill() is None) == (50_000, False)


@pytest.mark.parametrize(("where", "error"), [("line", OSError), ("network", Unavailable)])
async def test_every_third_line_or_request_may_be_lost(forecourt: Forecourt, where: str, error: type[BaseException]) -> None:
    ada = await forecourt.site.scheme.customer("Ada", funds=50_000)
    for seed in range(6):
        chance = random.Random(seed)
        deaths = [(number, chance.random() < 0.5) for number in range(1_000) if chance.random() < 0.34]
        before, lost = ada.balance(), Steps(*deaths, error=error)
        fill = await forecourt.fill_up(ada, 1_000, steps={where: lost})
        assert (fill["state"], fill["millilitres"]) == ("done", 1_000), lost.names
        assert (before - ada.balance(), ada.balance()) == (PRICE, ada.available())


@pytest.mark.parametrize("where", ["line", "network", "disk"])
async def test_the_controller_may_die_anywhere_and_goes_on_where_it_was(forecourt: Forecourt, where: str) -> None:
    """A whole fill, with one death at each place: before something is done, or before it is known."""
    ada, whole = await forecourt.site.scheme.customer("Ada", funds=5_000_000), Steps()
    await forecourt.fill_up(ada, 1_000, steps={where: whole})
    assert len(whole.names) > 1, whole.names
    for number in range(len(whole.names)):
        for is_done in (False, True):
            before, deaths = ada.balance(), Steps((number, is_done))
            fill = await forecourt.fill_up(ada, 1_000, steps={where: deaths})
            assert len(deaths.names) > number
            assert (fill["state"], fill["millilitres"]) == ("done", 1_000), deaths.names[number]
            assert (before - ada.balance(), ada.balance()) == (PRICE, ada.available()), deaths.names[number]


# The line itself


async def test_answers_to_older_questions_are_dropped_and_nonsense_hangs_up(forecourt: Forecourt) -> None:
    status = forecourt.pump.status(2)
    with line_to(lambda: b'{"seq":1,"state":"idle","totaliser":5}\n' + b'{"seq":2,"state":"idle","totaliser":6}\n') as line:
        assert line.ask("status").totaliser == 5
        assert line.ask("status").totaliser == 6, "the second answer to the first question"
    for nonsense in (b"no json\n", b'{"seq":1}\n', b"x" * 9_000, b""):
        with line_to(lambda nonsense=nonsense: nonsense) as line, pytest.raises(Unavailable, match="the pump does not answer"):  # type: ignore[misc]
            line.ask("status")
    assert status.totaliser == 1_000_000


@contextmanager
def line_to(answer: Callable[[], bytes]) -> Iterator[Line]:
    """A line to something that gives the same answer to whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # who hears nonsense hangs up
                while connection.recv(4_096) and answer():
                    connection.sendall(answer())

        threading.Thread(target=serve, daemon=True).start()
        line = Line(f"127.0.0.1:{server.getsockname()[1]}")
        yield line
        line.close()


@pytest.mark.parametrize("address", ["10.0.0.1:9100", "example.org:9100", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", ":9100"])
async def test_a_pump_that_is_not_on_this_machine_is_not_called(address: str) -> None:
    with pytest.raises(WrongUse, match="is not a pump on this machine"):
        Line(address)


async def test_the_simulator_answers_what_is_no_question_and_keeps_its_totaliser(forecourt: Forecourt, tmp_path: Path) -> None:
    host, port = forecourt.serving.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(b"what?\n")
        assert b'"trouble":"malformed"' in line.recv(4_096)
    with pytest.raises(WrongUse, match="there is no Milk here"):
        forecourt.pump.choose("Milk")
    (tmp_path / "broken").write_text("a lot")
    with pytest.raises(WrongUse, match="is no totaliser"):
        Pump(tmp_path / "broken", SystemClock())


async def test_the_simulator_s_driver_types_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("choose Diesel 2000\nlift\nchoose Milk\nrun 5\nhang up\nwalk away\npower cut\nwhat\n"))
    ran = await asyncio.to_thread(run, "pump", "simulate", "--port", "0", "--data", tmp_path / "simulated")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[1:5] == [
        "idle, 0 ml, totaliser 0 ml.",
        "It gives nothing.",
        "there is no Milk here; there are: Petrol, Diesel",
        "0 ml ran.",
    ]
    assert lines[-1] == "The pump is gone."


async def test_wrong_use_is_told_before_anybody_drives_up(forecourt: Forecourt, tmp_path: Path) -> None:
    wrong: list[tuple[list[str | Path], str]] = [
        (["--data", forecourt.path, "--number", "7", "--at", forecourt.serving.address], "the station has no pump 7; there are: 3"),
        (["--data", forecourt.path, "--at", "10.0.0.1:9100"], "is not a pump on this machine"),
        (["--data", tmp_path / "nowhere"], "counterfoil pump pair"),
    ]
    for argv, words in wrong:
        ran = await asyncio.to_thread(run, "pump", *argv)
        assert (ran.code, words in ran.err) == (2, True), ran.err
