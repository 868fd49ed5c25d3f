"""A thousand USSD sessions at once: how long a phone waits for its next screen.

Everybody dials, chooses "send", types a number and an amount, reads name and fee, and types the PIN; between two screens they
think, for five seconds on average. All of it is done: sessions kept, PINs checked by argon2id, money moved, durably. Once
through the service alone, once as a gateway of Africa's Talking's kind calls over HTTP; and beside them the same with nobody
else there. Amounts are different for everybody, and whoever sees another's amount, or ends with another balance, stops the run.

python -m bench.ussd FOLDER COUNT    is the server: it answers each line of its standard input with one of JSON
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
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
THINK_S = 5.0
"""Mean seconds between a screen and what is typed on it."""
PIN, FUNDS = "2580", 1_000_000
GATEWAY = {"name": "bench", "kind": "africastalking", "secret": "the-secret-of-the-bench"}
ROOT = Path(__file__).parent.parent
OPENED_AT_ONCE = 50
STOP_S_MAX = 120
SETTLE_S_MAX = 60
LATE = ("takes longer", "on its way")
"""What is said where a hop takes more than some seconds. What it has begun goes on."""
BUSY = "Too many requests"
"""What is said above the same screen where too many PINs wait to be checked."""

Ask = Callable[[list[str]], Awaitable[tuple[str, bool]]]
"""All that was typed so far, to the next screen and whether it is the last."""


class Load:
    """What many people do at once. `people`: number by number, in the order in which each pays the next."""

    def __init__(self, numbers: list[str], seed: int) -> None:
        self.numbers = numbers
        self.latencies: list[float] = []
        self.paid: list[int] = []
        self.late = self.busy = 0
        self._chance = random.Random(seed)

    async def run(self, line: Callable[[int], Ask], *, think_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            for who in range(len(self.numbers)):
                group.create_task(self._session(who, line, think_s))

    async def one_by_one(self, line: Callable[[int], Ask]) -> None:
        for who in range(len(self.numbers)):
            await self._session(who, line, 0)

    async def _session(self, who: int, line: Callable[[int], Ask], think_s: float) -> None:
        ask = line(who)
        payee, amount = self.numbers[(who + 1) % len(self.numbers)], f"{amount_of(who) // 100}.{amount_of(who) % 100:02}"
        typed: list[str] = []
        answers = deque(["", "1", payee, amount, PIN])
        while answers:
            answer = answers.popleft()
            await asyncio.sleep(self._chance.expovariate(1 / think_s) if think_s else 0)
            typed += [answer] if answer else []
            began = time.perf_counter()
            text, ends = await ask(typed)
            self.latencies.append(time.perf_counter() - began)
            if ends and not answer:  # how the last payment ended, for somebody who was told that it takes longer
                ask = line(who)
                answers.appendleft(answer)
                continue
            if ends and any(word in text for word in LATE):
                self.late += 1
            else:
                assert answer not in (amount, PIN) or amount in text, f"not the screen of {amount}: {text}"
                if BUSY in text:
                    self.busy += 1
                    answers.append(PIN)
                assert ends == (not answers), f"ends too early or too late: {text}"
            if ends:
                self.paid += [who] if answer == PIN else []
                return

    def found(self) -> dict[str, Any]:
        """`p50` and `p99` of a hop in milliseconds, who has paid, and how many were told that it takes longer, or to type the PIN again."""
        times = sorted(self.latencies)
        p50, p99 = times[len(times) // 2] * 1_000, times[len(times) * 99 // 100] * 1_000
        return {"p50": p50, "p99": p99, "paid": self.paid, "late": self.late, "busy": self.busy, "count": len(self.numbers)}


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

    def over_http(self, *, seed: int, think_s: float) -> dict[str, Any]:
        """The load from this process: one connection a session, as from a gateway that keeps none."""
        load = Load(self.numbers, seed)
        uvloop.run(load.run(self._http_line, think_s=think_s))
        return load.found()

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
    """All ways in turns; afterwards everybody has what they should have."""
    count, think_s, runs = (10, 0.02, 1) if options.quick else (SESSIONS, THINK_S, 3)
    found: dict[str, dict[str, list[float]]] = {
        each: {f"ussd.{way}.{each}": [] for way in ("alone", "engine", "http")} for each in ("p50", "p99")
    }
    expected, late, busy = [FUNDS] * count, 0, 0
    with server(count) as served:
        for seed in range(runs):
            ways = {
                "alone": served.do("alone"),
                "engine": served.do("engine", seed=seed, think_s=think_s),
                "http": served.over_http(seed=seed, think_s=think_s),
            }
            for way, times in ways.items():
                for each, values in found.items():
                    values[f"ussd.{way}.{each}"].append(times[each])
                for who in times["paid"]:
                    expected[who] -= amount_of(who)
                    expected[(who + 1) % times["count"]] += amount_of(who)
                late, busy = late + times["late"], busy + times["busy"]
        check(served, expected)
    lines: list[Measure] = []
    for each, values in found.items():
        lines += measures(values, unit="ms", baseline=f"ussd.alone.{each}")
    said = f"{count:,} sessions at once, {2 * runs} times: none crossed, every payment made once. "
    said += f"Told that it takes longer: {late}; to type the PIN again: {busy}"
    return [*lines, Note(said)]


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
