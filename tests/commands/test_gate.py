"""`counterfoil gate`: lanes of a car park, with a barrier, a network and a machine to which everything can happen."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.server
import io
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from counterfoil.channels.signatures import secret_key, secret_text
from counterfoil.clock import SystemClock
from counterfoil.commands.gate.barrier import ATTEMPTS, Barrier
from counterfoil.commands.gate.folder import Folder
from counterfoil.commands.gate.lane import PATIENCE, Lane
from counterfoil.commands.output import UNAVAILABLE, Failure, WrongUse
from counterfoil.commands.pairing import Caller
from counterfoil.errors import Unavailable
from counterfoil.ids import id_text
from tests.commands.counter import Killed, Network, Steps
from tests.commands.desk import Desk, run
from tests.scheme import Person
from tests.web.test_parking import TERMS, Gate
from tests.web.test_tills import paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = secret_text(bytes(range(32)))
Way = Literal["in", "out"]


class Controller:
    """A barrier's controller, over HTTP. `answers`: what it answers, one after the other; then 204."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.told: list[tuple[dict[str, str], bytes]] = []
        controller = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                controller.told.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = controller.answers.pop(0) if controller.answers else 204
                if status:
                    self.send_response(status)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/open?lane=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def opened(self) -> list[dict[str, Any]]:
        """What it opened for: each passage once."""
        found = {headers["webhook-id"]: json.loads(body) for headers, body in self.told}
        return list(found.values())


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


class Lines:
    """What is read, one line after the other; an exception is what happens instead."""

    def __init__(self, typed: list[str | type[BaseException]]) -> None:
        self.typed = list(typed)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def ask(self) -> str:
        if not self.typed:
            raise EOFError
        typed = self.typed.pop(0)
        if isinstance(typed, str):
            return f"{typed}\n"
        raise typed


class Waiting(Network):
    """A network on which something may happen while the lane waits."""

    def __init__(self, server: str, steps: Steps, meanwhile: Callable[[], None]) -> None:
        super().__init__(server, steps)
        self.meanwhile = meanwhile
        self.waited = 0

    def pause(self, seconds: float) -> None:
        self.waited += 1
        self.meanwhile()


class Ran:
    """What a lane has said, and how it ended."""

    def __init__(self, said: list[str], error: BaseException | None, waited: int) -> None:
        self.said = said
        self.text = "\n".join(said)
        self.error = error
        self.waited = waited


class Lanes:
    """Both lanes of a car park."""

    def __init__(self, gate: Gate, controller: Controller, path: Path) -> None:
        self.gate = gate
        self.site = gate.site
        self.controller = controller
        self.path = path
        self.server = f"http://127.0.0.1:{gate.site.port}"

    async def pair(self, way: Way, *more: str) -> Any:
        made = await self.site.ok(self.gate.office.shop, "POST", "/v1/tills", {"id": self.gate.office.fresh(), "name": f"Way {way}"})
        argv = ["gate", "pair", "--server", self.server, "--code", made["pairing_code"], "--label", way, "--data", str(self.path / way)]
        return await asyncio.to_thread(run, *argv, *more)

    async def run(
        self,
        way: Way,
        typed: list[str | type[BaseException]],
        *,
        hold: bool = False,
        network: Steps | None = None,
        disk: Steps | None = None,
        barrier: bool = True,
        meanwhile: Callable[[], None] = lambda: None,
        car_park: str = "Market",
    ) -> Ran:
        folder, lines = Dying(self.path / way, disk or Steps()), Lines(typed)
        client = Waiting(self.server, network or Steps(), meanwhile)
        opener = Barrier(self.controller.url, SECRET, clock=SystemClock(), pause=client.pause) if barrier else None
        pairing = folder.paired()
        lane = Lane(
            folder=folder, pairing=pairing, gate=Caller(client, pairing.token), barrier=opener, console=lines, clock=SystemClock(),
            way=way, car_park=car_park, hold=hold,
        )  # fmt: skip

        def caught() -> BaseException | None:
            try:
                lane.run()
            except (Killed, Failure) as error:
                return error
            return None

        async with asyncio.timeout(60):
            error = await asyncio.to_thread(caught)
        return Ran(lines.lines, error, client.waited)

    async def inside(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.gate.call("GET", "/v1/till/stays", query=f"car_park={self.gate.park}"))["stays"]
        return found

    def is_open(self, way: Way) -> bool:
        """Whether the lane's disk has a passage that was not told."""
        return (self.path / way / "passage.json").exists()


@pytest.fixture
def controller() -> Iterator[Controller]:
    controller = Controller()
    yield controller
    controller.server.shutdown()
    controller.server.server_close()


@pytest_asyncio.fixture(loop_scope="module")
async def lanes(desk: Desk, controller: Controller, tmp_path: Path) -> AsyncIterator[Lanes]:
    office = await paired(desk.site, await desk.site.scheme.merchant("Garage"))
    park = office.fresh()
    await office.ok("PUT", f"/v1/till/car-parks/{park}", TERMS)
    lanes = Lanes(Gate(office, park), controller, tmp_path)
    for way in ("in", "out"):
        assert (await lanes.pair(way)).code == 0
    yield lanes


def in_loop(call: Callable[[], Any]) -> Callable[[], None]:
    """Does something in the test's own loop, from the lane's thread, once."""
    loop = asyncio.get_running_loop()
    done: list[bool] = []

    def meanwhile() -> None:
        if not done:
            done.append(True)
            asyncio.run_coroutine_threadsafe(call(), loop).result(30)

    return meanwhile


async def agree(lanes: Lanes, person: Person) -> None:
    """The driver of the car that came last agrees to the hold."""
    stay = await lanes.gate.call("GET", f"/v1/till/stays/{(await lanes.inside())[-1]['id']}")
    await lanes.gate.office.pay(person, stay["hold"], timeout_s=12 * 3600)


async def test_a_car_comes_in_and_goes_out_and_the_barrier_hears_of_both(lanes: Lanes) -> None:
    ada = await lanes.site.scheme.customer("Ada", funds=5_000)
    ran = await lanes.run("in", ["kaa 123b"], hold=True)
    assert (ran.error, ran.said[1]) == (None, "Open.")
    assert ran.said[2].startswith(f"To set 5.00 USD aside: {lanes.server}/pay/")
    [stay] = await lanes.inside()
    assert ran.said[3] == f"Ticket KAA123B: {lanes.server}/parking/{stay['id']}"
    await agree(lanes, ada)
    lanes.gate.wait(20)
    ran = await lanes.run("out", ["KAA-123-B", "KAA 123B"])
    assert ran.said[1:] == ["Open.", "Left KAA123B: 20 min, 2.00 USD.", "Closed: nobody is inside with this"]
    assert ada.available() == 4_800
    came, left = lanes.controller.opened
    assert (came["way"], came["stay"], came["passage"], came["plate"]) == ("in", stay["id"], stay["id"], "KAA123B")
    assert (left["way"], left["stay"], left["plate"]) == ("out", stay["id"], "KAA123B")
    assert left["passage"] == lanes.controller.told[-1][0]["webhook-id"] != stay["id"]


async def test_what_the_barrier_is_told_is_signed(lanes: Lanes) -> None:
    await lanes.run("in", [""])
    [(headers, body)] = lanes.controller.told
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(secret_key(SECRET), content, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"


async def test_a_ticket_that_is_paid_while_the_car_waits_opens_by_itself(lanes: Lanes) -> None:
    ada = await lanes.site.scheme.customer("Ada", funds=5_000)
    ran = await lanes.run("in", [""])
    ticket = ran.said[-1].partition(": ")[2]
    lanes.gate.wait(20)

    async def pay() -> None:
        stay = await lanes.gate.call("GET", f"/v1/till/stays/{ticket[-36:]}")
        await lanes.gate.office.pay(ada, stay["asked"])

    ran = await lanes.run("out", [ticket], meanwhile=in_loop(pay))
    assert ran.said[1].startswith(f"To pay: 2.00 USD at {lanes.server}/pay/")
    assert ran.said[2:] == ["Open.", "Left: 20 min, 2.00 USD."]
    assert (ran.waited, ada.balance(), await lanes.inside()) == (1, 4_800, [])


async def test_who_does_not_pay_is_not_let_out_and_the_next_car_is_served(lanes: Lanes) -> None:
    await lanes.run("in", ["AA 1", "BB 2"])
    lanes.gate.wait(20)
    before = len(lanes.controller.opened)
    ran = await lanes.run("out", ["AA 1"])
    assert ran.said[-1] == "Closed: 2.00 USD are not paid yet. Come again with the ticket."
    assert ran.waited == PATIENCE
    assert (len(lanes.controller.opened), len(await lanes.inside()), lanes.is_open("out")) == (before, 2, False)


async def test_what_is_refused_is_said_and_nothing_opens(lanes: Lanes) -> None:
    ran = await lanes.run("in", ["AA 1", "aa1", "?"])
    assert ran.said[-2:] == ["Closed: Somebody is inside with this plate or card. Let them out first.", ran.said[-1]]
    assert ran.said[-1].startswith("Closed: plate: must have 2 to 12")
    assert len(lanes.controller.opened) == 1
    ran = await lanes.run("out", ["ZZ 9", id_text(7), " "])
    assert ran.said[1:] == ["Closed: nobody is inside with this", "Closed: there is no stay with this id"]
    ran = await lanes.run("in", [], car_park="Elsewhere")
    assert isinstance(ran.error, WrongUse)
    assert "none has the name Elsewhere; there are: Market" in str(ran.error)


@pytest.mark.parametrize("answers", [[500], [0, 503], [500] * (ATTEMPTS - 1)])
async def test_a_barrier_that_stumbles_is_told_again(lanes: Lanes, answers: list[int]) -> None:
    lanes.controller.answers = [*answers]
    ran = await lanes.run("in", [""])
    assert ran.said[1] == "Open."
    assert len(lanes.controller.told) == len(answers) + 1
    assert len(lanes.controller.opened) == 1


async def test_a_barrier_that_does_not_answer_is_opened_by_hand(lanes: Lanes) -> None:
    lanes.controller.answers = [500] * ATTEMPTS
    ran = await lanes.run("in", [""])
    assert ran.said[1] == "The barrier does not answer: open it by hand."
    assert ran.said[2].startswith("Ticket: ")
    lanes.controller.server.server_close()
    lanes.controller.server.shutdown()
    ran = await lanes.run("out", [ran.said[2]])
    assert ran.said[1:] == ["The barrier does not answer: open it by hand.", "Left: 0 min, 0.00 USD."]


async def test_a_lane_without_a_barrier_tells_whoever_reads_it(lanes: Lanes) -> None:
    assert (await lanes.run("in", [""], barrier=False)).said[1] == "Open."
    assert lanes.controller.told == []


async def test_lost_answers_charge_nobody_twice_and_let_nobody_in_twice(lanes: Lanes) -> None:
    ada = await lanes.site.scheme.customer("Ada", funds=50_000)
    whole_in, whole_out = Steps(), Steps()
    await lanes.run("in", ["AA 1"], hold=True, network=whole_in)
    await lanes.run("out", ["AA 1"], network=whole_out)
    for number in range(max(len(whole_in.names), len(whole_out.names))):
        for is_done in (False, True):
            ran = await lanes.run("in", ["AA 1"], hold=True, network=Steps((number, is_done), error=Unavailable))
            assert ran.error is None, ran.text
            assert len(await lanes.inside()) == 1
            await agree(lanes, ada)
            lanes.gate.wait(20)
            before = ada.available()
            ran = await lanes.run("out", ["AA 1"], network=Steps((number, is_done), error=Unavailable))
            assert ran.said[-1] == "Left AA1: 20 min, 2.00 USD.", ran.text
            assert (ada.available() - before, await lanes.inside()) == (300, [])


async def test_a_lane_that_dies_anywhere_tells_at_the_next_start_what_became_of_the_car(lanes: Lanes) -> None:
    ada = await lanes.site.scheme.customer("Ada", funds=500_000)
    seen = set()
    for way in ("in", "out"):
        network, disk = Steps(), Steps()
        if way == "out":
            await lanes.run("in", ["AA 1"])
        await lanes.run(way, ["AA 1"], hold=way == "in", network=network, disk=disk)
        if way == "in":
            await lanes.run("out", ["AA 1"])
        assert disk.names == ["write passage.json", "forget"]
        places = [("network", number) for number in range(len(network.names))] + [("disk", number) for number in range(len(disk.names))]
        for where, number in places:
            for is_done in (False, True):
                if way == "out":
                    await lanes.run("in", ["AA 1"], hold=True)
                    await agree(lanes, ada)
                    lanes.gate.wait(20)
                deaths, opened = Steps((number, is_done)), len(lanes.controller.opened)
                died = await lanes.run(way, ["AA 1"], hold=way == "in", **{where: deaths})  # type: ignore[arg-type]
                assert isinstance(died.error, Killed), died.text
                was_under_way, inside = lanes.is_open(way), len(await lanes.inside())
                again = await lanes.run(way, [])
                assert again.error is None, again.text
                assert not lanes.is_open(way)
                assert was_under_way == ("when the gate stopped" in again.text)
                if deaths.names[-1] == "forget":
                    assert died.said[-1].startswith(("Ticket AA1", "Left AA1")), "it is told before it is forgotten"
                assert len(await lanes.inside()) == inside, "a lane that starts again lets nobody in or out"
                assert len(lanes.controller.opened) - opened == ("Open." in died.text), "and opens for nobody"
                seen.add((way, was_under_way, inside, again.said[-1].partition(" AA1")[2].partition(" when")[0]))
                if inside:
                    if way == "in":
                        await lanes.run("out", ["AA 1"])
                    else:
                        assert (await lanes.run("out", ["AA 1"])).said[-1] == "Left AA1: 20 min, 2.00 USD."
                assert await lanes.inside() == []
    assert ada.balance() == ada.available()
    for way, inside, words in (("in", 1, "was let in"), ("out", 0, "was let out"), ("out", 1, "was not let out")):
        assert any(each[:3] == (way, True, inside) and words in each[3] for each in seen), (way, seen)


async def test_whoever_interrupts_a_passage_is_told_that_it_is_not_known(lanes: Lanes) -> None:
    network = Steps(*((number, False) for number in range(3, 40)), error=Unavailable)

    def interrupt() -> None:
        raise KeyboardInterrupt

    ran = await lanes.run("in", ["AA 1"], network=network, meanwhile=interrupt)
    assert isinstance(ran.error, Failure)
    assert ran.error.exit_code == UNAVAILABLE
    assert lanes.is_open("in")
    assert (await lanes.run("in", [KeyboardInterrupt])).said[-1] == "The last car AA 1 was not let in when the gate stopped."


async def test_a_till_that_was_ended_lets_nobody_pass(lanes: Lanes) -> None:
    tills = (await lanes.site.ok(lanes.gate.office.shop, "GET", "/v1/tills"))["tills"]
    for till in tills:
        if till["name"] == "Way in":
            await lanes.site.ok(lanes.gate.office.shop, "DELETE", f"/v1/tills/{till['id']}")
    ran = await lanes.run("in", [""])
    assert isinstance(ran.error, Failure)
    assert "pair it again" in str(ran.error)


async def test_the_command_itself_lets_a_car_in(lanes: Lanes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "barrier.secret"
    secret.write_text(SECRET)
    monkeypatch.setattr("sys.stdin", io.StringIO("KAA 1\n"))
    argv: list[str | Path] = ["gate", "--data", lanes.path / "in", "--way", "in", "--car-park", "Market", "--barrier", lanes.controller.url]
    ran = await asyncio.to_thread(run, *argv, "--barrier-secret", secret)
    assert "webhook-signature" in lanes.controller.told[0][0]
    [(headers, _)] = lanes.controller.told
    assert headers["webhook-id"] == lanes.controller.opened[0]["passage"]
    assert (ran.code, ran.out.splitlines()[1], ran.out.splitlines()[-1]) == (0, "Open.", "The gate is closed."), ran.err


async def test_wrong_use_is_told_before_anybody_drives_up(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("whsec_short")
    data: list[str | Path] = ["--data", lanes.path / "in"]
    wrong: list[tuple[list[str | Path], str]] = [
        ([*data, "--way", "in"], "--car-park"),
        ([*data, "--way", "out", "--barrier", "file:///open"], "is not the address of a barrier"),
        ([*data, "--way", "out", "--barrier", lanes.controller.url, "--barrier-secret", tmp_path / "bad"], "24 to 64 bytes"),
        ([*data, "--way", "out", "--barrier", lanes.controller.url, "--barrier-secret", tmp_path / "none"], "cannot be read"),
        (["--data", tmp_path / "nowhere", "--way", "out"], "counterfoil gate pair"),
    ]
    for argv, words in wrong:
        ran = await asyncio.to_thread(run, "gate", *argv)
        assert (ran.code, words in ran.err) == (2, True), ran.err
    assert (await lanes.pair("in")).code == 2, "paired already"
    assert (await lanes.pair("in", "--again")).code == 0
