"""A thousand USSD sessions at once: how long a phone waits for its next screen.

Everybody dials, chooses "send", types a number and an amount, reads name and fee, and types the PIN; between two screens they
think, for five seconds on average, for seven and a half, for ten. All of it is done: sessions kept, PINs checked by argon2id,
money moved, durably. Once through the service alone, else as a gateway of Africa's Talking's kind calls over HTTP; and beside
them the same with nobody else there. Whoever is told to dial again does, and looks what became of their payment. Amounts are
different for everybody, and whoever sees another's amount or name, or ends with another balance, stops the run.

A session on a telephone may last two to three minutes in all (ITU-T Focus Group Digital Financial Services, "Technology,
innovation and competition", 2017, 5.1), and people with menus on basic phones were seen to need half a minute for a task
(Wafula and others, East African Journal of Information Technology, 2024): five of our screens at six seconds each.

python -m bench.ussd FOLDER COUNT    is the server: it answers each line of its standard input with one of JSON
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import uvloop

from bench.measure import Found, Measure, Note, Options, Workload, measures
from counterfoil.app import collect_garbage_rarely
from counterfoil.channels.ussd.types import Hop
from counterfoil.commands import logs
from counterfoil.parties.pin_brake import asked_from
from counterfoil.web.app import create_app
from counterfoil.web.server import listening
from tests.scheme import Person, Scheme, opened

SESSIONS = 1_000
ALONE = 20
"""Sessions one after the other, for the baseline."""
THINKS_S = (5.0, 7.5, 10.0)
"""Mean seconds between a screen and what is typed on it."""
PIN, FUNDS = "2580", 1_000_000
GATEWAY = {"name": "bench", "kind": "africastalking", "secret": "the-secret-of-the-bench"}
ROOT = Path(__file__).parent.parent
OPENED_AT_ONCE = 50
EACH = ("p50", "p99", "pin-p99", "processor")
STOP_S_MAX = 120
SETTLE_S_MAX = 60
LATE = ("takes longer", "is on its way. An SMS", "We do not know yet", "Too many people are calling", "Try again in a minute")
"""What ends a session whose outcome is not known: dial again."""
BUSY = "Too many requests"
"""What is said above the same screen where too many PINs wait to be checked."""
HOPS = 5
"""Of a session that nothing comes between."""
HOPS_MAX = 100
"""Of one person, until their payment counts as lost."""

Ask = Callable[[list[str]], Awaitable[tuple[str, bool]]]
"""All that was typed so far, to the next screen and whether it is the last."""


class Load:
    """What many people do at once. `people`: number by number, in the order in which each pays the next."""

    def __init__(self, numbers: list[str], seed: int) -> None:
        self.numbers = numbers
        self.latencies: list[float] = []
        self.pin_latencies: list[float] = []
        self.late = self.busy = 0
        self._chance = random.Random(seed)

    async def run(self, line: Callable[[int], Ask], *, think_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            for who in range(len(self.numbers)):
                group.create_task(self._person(who, line, think_s))

    async def one_by_one(self, line: Callable[[int], Ask]) -> None:
        for who in range(len(self.numbers)):
            await self._person(who, line, 0)

    async def _person(self, who: int, line: Callable[[int], Ask], think_s: float) -> None:
        """Types what the screen asks for until it says that the payment is made; once, and nobody else's."""
        payee = (who + 1) % len(self.numbers)
        ours = Screens(amount=f"{amount_of(who) // 100}.{amount_of(who) % 100:02} USD", name=f"Person {payee}")
        ask, typed, answer, text, is_smooth, has_agreed = line(who), list[str](), "", "", True, False
        for hops in range(1, HOPS_MAX):
            await asyncio.sleep(self._chance.expovariate(1 / think_s) if think_s else 0)
            typed += [answer] if answer else []
            began = time.perf_counter()
            text, ends = await ask(typed)
            self.latencies.append(time.perf_counter() - began)
            if answer == PIN:
                self.pin_latencies.append(self.latencies[-1])
                has_agreed = True
            if has_agreed and ours.is_paid(text):
                assert not is_smooth or hops == HOPS, f"{hops} hops: {typed[:-1]}"
                return
            if ends:
                assert any(words in text for words in LATE), f"ends without a payment: {text}"
                self.late += 1
                ask, typed, answer, is_smooth = line(who), [], "", False
                continue
            if BUSY in text:
                self.busy += 1
                is_smooth = False
            answer = ours.answer(text, self.numbers[payee], amount_of(who))
        raise AssertionError(f"lost: {text}")

    def found(self) -> dict[str, Any]:
        """`p50` and `p99` of a hop and `pin-p99` of those with a PIN in milliseconds, hops, and how many were told to dial or type again."""
        return {
            "p50": _quantile(self.latencies, 50), "p99": _quantile(self.latencies, 99), "pin-p99": _quantile(self.pin_latencies, 99),
            "hops": len(self.latencies), "late": self.late, "busy": self.busy, "count": len(self.numbers),
        }  # fmt: skip


class Screens(NamedTuple):
    """What one person's screens say, and nobody else's: the amount that they pay, and to whom."""

    amount: str
    name: str

    def is_paid(self, text: str) -> bool:
        """Whether the payment was made; said in the end, or above the menu to whoever dials again."""
        return re.search(rf"^Paid: {re.escape(self.amount)} to {self.name}\b", text) is not None

    def answer(self, text: str, number: str, amount: int) -> str:
        """What is typed on a screen. Stops the run at a screen that is not theirs."""
        if "1 Send money" in text:
            return "1"
        if "To whom?" in text:
            return number
        if "Your last session broke off." in text:
            return "1"
        assert re.search(rf"\b{self.name}\b", text), f"not the screen of who pays {self.name}: {text}"
        if "how much, in" in text:
            return f"{amount // 100}.{amount % 100:02}"
        assert self.amount in text, f"not the screen of {self.amount}: {text}"
        if "PIN to agree:" in text:
            return PIN
        assert "1 Look again" in text, text
        return "1"


def _quantile(times: list[float], percent: int) -> float:
    """Milliseconds."""
    return sorted(times)[len(times) * percent // 100] * 1_000


def amount_of(who: int) -> int:
    """Minor units that this person pays, each time: nobody else's."""
    return 101 + who


class House:
    """The server's side: the people, and what they are asked to do within this process."""

    def __init__(self, scheme: Scheme, people: list[Person]) -> None:
        self.scheme = scheme
        self.people = people
        self.numbers = [person.address for person in people]
        self._sessions = 0

    @classmethod
    async def opened(cls, scheme: Scheme, count: int) -> House:
        people: list[Person] = []
        for first in range(0, count, OPENED_AT_ONCE):  # more PINs than so many at a time are refused
            these = range(first, min(first + OPENED_AT_ONCE, count))
            people += await asyncio.gather(*(scheme.simple_phone(f"Person {who}", pin=PIN) for who in these))
        bank = await scheme.institution("Bank", funds=(FUNDS + 100) * count)
        await asyncio.gather(*(bank.pay(person, FUNDS) for person in people))
        return cls(scheme, people)

    def line(self, who: int) -> Ask:
        """A phone that speaks to the service itself."""
        self._sessions += 1
        session, number = f"inside-{self._sessions}", self.numbers[who]

        async def ask(typed: list[str]) -> tuple[str, bool]:
            with asked_from("ussd", "bench"):
                hop = Hop(gateway="bench", session=session, number=number, typed="*".join(typed), whole=True)
                screen = await self.scheme.services.ussd.answer(hop)
            return screen.text, screen.ends

        return ask

    async def do(self, what: str, seed: int, think_s: float) -> dict[str, Any]:
        """What was found, and the processor time of this process so far, s."""
        return await self._done(what, seed, think_s) | {"processor_s": time.process_time()}

    async def _done(self, what: str, seed: int, think_s: float) -> dict[str, Any]:
        if what == "alone":
            load = Load(self.numbers[:ALONE], seed)
            await load.one_by_one(self.line)
            return load.found()
        if what == "engine":
            load = Load(self.numbers, seed)
            await load.run(self.line, think_s=think_s)
            return load.found()
        return {"balances": [person.balance() for person in self.people]}


async def serve(folder: Path, count: int) -> None:
    async with (
        opened(folder, ussd=[GATEWAY], pin_per_payment=100_000_000, pin_per_day=100_000_000) as scheme,
        listening(create_app(scheme.services), host="127.0.0.1", port=0) as address,
    ):
        house = await House.opened(scheme, count)
        collect_garbage_rarely()
        print(json.dumps({"port": int(address.rpartition(":")[2]), "numbers": house.numbers}), flush=True)
        while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await house.do(**json.loads(line))), flush=True)


class Server:
    """The other process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        known = self._line()
        self.port: int = known["port"]
        self.numbers: list[str] = known["numbers"]
        self._sessions = 0

    def do(self, what: str, *, seed: int = 0, think_s: float = 0.0) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, "seed": seed, "think_s": think_s}) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has stopped"
        found: dict[str, Any] = json.loads(line)
        return found

    def measured(self, way: str, *, seed: int, think_s: float) -> dict[str, Any]:
        """As `Load.found`, and the server's processor time of a hop in milliseconds as `processor`. "http": the load is in this process."""
        before = self.do("balances")["processor_s"]
        if way == "http":
            load = Load(self.numbers, seed)
            uvloop.run(load.run(self._http_line, think_s=think_s))  # one connection a hop, as from a gateway that keeps none
            found = load.found()
        else:
            found = self.do(way, seed=seed, think_s=think_s)
        return found | {"processor": (self.do("balances")["processor_s"] - before) / found["hops"] * 1_000}

    def _http_line(self, who: int) -> Ask:
        self._sessions += 1
        fields = {"sessionId": f"http-{self._sessions}", "phoneNumber": self.numbers[who], "serviceCode": "*384#", "networkCode": "1"}

        async def ask(typed: list[str]) -> tuple[str, bool]:
            body = urlencode(fields | {"text": "*".join(typed)}).encode()
            head = f"POST /ussd/bench/{GATEWAY['secret']} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(head.encode() + body)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            status, _, text = answer.partition(b"\r\n\r\n")
            assert b" 200 " in status.splitlines()[0], status
            word, _, screen = text.decode().partition(" ")
            assert word in ("CON", "END"), text
            return screen, word == "END"

        return ask


@contextmanager
def server(count: int) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        command = [sys.executable, "-m", "bench.ussd", folder, str(count)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Server(process)
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(STOP_S_MAX)


def ussd(options: Options) -> list[Found]:
    """All ways in turns; after each everybody has what they should have."""
    count, thinks_s, runs = (10, (0.02,), 1) if options.quick else (SESSIONS, THINKS_S, 3)
    ways = {"alone": ("alone", 0.0), f"engine-{thinks_s[0]:g}s": ("engine", thinks_s[0])}
    ways |= {f"http-{think_s:g}s": ("http", think_s) for think_s in thinks_s}
    found: dict[str, dict[str, list[float]]] = {each: {f"ussd.{name}.{each}": [] for name in ways} for each in EACH}
    expected, again = [FUNDS] * count, dict.fromkeys(ways, (0, 0))
    with server(count) as served:
        for seed in range(runs):
            for name, (way, think_s) in ways.items():
                seen = served.measured(way, seed=seed, think_s=think_s)
                for each, values in found.items():
                    values[f"ussd.{name}.{each}"].append(seen[each])
                for who in range(seen["count"]):
                    expected[who] -= amount_of(who)
                    expected[(who + 1) % seen["count"]] += amount_of(who)
                again[name] = again[name][0] + seen["late"], again[name][1] + seen["busy"]
                check(served, expected)
    lines: list[Measure] = []
    for each, values in found.items():
        lines += measures(values, unit="ms", baseline=f"ussd.alone.{each}")
    said = f"{count:,} sessions at once, {runs * (len(ways) - 1)} times: none lost, none crossed, every payment made once, every balance exact."
    told = [
        f"{name}: {late} times to dial again, {busy} times to type the PIN again" for name, (late, busy) in again.items() if late or busy
    ]
    return [*lines, Note(said), Note(f"Told under load: {'; '.join(told) or 'nobody had to do anything again'}.")]


def check(served: Server, expected: list[int]) -> None:
    """Everybody has what they should have, once what was on its way has arrived."""
    deadline = time.monotonic() + SETTLE_S_MAX
    while (balances := served.do("balances")["balances"]) != expected:
        assert time.monotonic() < deadline, [who for who, balance in enumerate(balances) if balance != expected[who]]
        time.sleep(0.1)


WORKLOADS = [Workload("ussd", ussd)]

if __name__ == "__main__":
    logs.configure(level=logging.WARNING)  # to stderr: stdout has the answers
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
