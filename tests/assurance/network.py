"""Witnesses and the way to them, without sockets: real witnesses, each with its memory in a folder, behind a network that a test can break."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from counterfoil.assurance.witness import Witness, remember
from counterfoil.assurance.witnesses import Witnesses
from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.tlog.note import Note
from counterfoil.tlog.policy import Policy
from tests.assurance.small_log import SmallLog, witness_signer

NOW_S = 1_800_000_000

Answer = Callable[[bytes], Awaitable[tuple[int, bytes]]]


class HandClock(SystemClock):
    """Moves only by hand; both its faces at once, or the wall clock alone."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s
        self.passed_s = 0.0

    def now_ns(self) -> int:
        return int(self.now_s * 1_000_000_000)

    def monotonic_ns(self) -> int:
        return int(self.passed_s * 1_000_000_000)

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        self.passed_s += seconds


def key_name(number: int) -> str:
    return f"body{number}.example/witness"


def policy_of(count: int, threshold: int, *, log: SmallLog | None = None, without_url: int = 0) -> Policy:
    """`threshold` of w1 ... w`count`; the last `without_url` have no address."""
    names = [f"w{number}" for number in range(1, count + 1)]
    lines = [f"log {(log or SmallLog()).signer.vkey}"]
    for number, name in enumerate(names, 1):
        url = f" https://{name}.example/sub/" if number <= count - without_url else ""
        lines.append(f"witness {name} {witness_signer(key_name(number)).vkey}{url}")
    return Policy.parse("\n".join([*lines, f"group all-of-them {threshold} {' '.join(names)}", "quorum all-of-them"]) + "\n")


class Network:
    """`answers` by URL: what is set there answers instead of the witness."""

    def __init__(self, folder: Path, count: int, *, logs: tuple[SmallLog, ...] = (), clock: HandClock | None = None) -> None:
        self.clock = clock or HandClock()
        self.clocks = [HandClock(self.clock.now_s) for _ in range(count)]
        self.witnesses: list[Witness] = []
        self.asked: list[tuple[str, bytes]] = []
        self.answers: dict[str, Answer] = {}
        for number in range(1, count + 1):
            remember(folder / f"w{number}")
            keys = [log.signer.vkey for log in logs or (SmallLog(),)]
            self.witnesses.append(Witness.open(folder / f"w{number}", witness_signer(key_name(number)), keys, self.clocks[number - 1]))

    async def post(self, url: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        name = url.removeprefix("https://").partition(".")[0]
        assert url == f"https://{name}.example/sub/add-checkpoint", url
        self.asked.append((name, body))
        if name in self.answers:
            return await self.answers[name](body)
        return await self.real(name, body)

    async def real(self, name: str, body: bytes) -> tuple[int, bytes]:
        verdict = self.witnesses[int(name[1:]) - 1].add_checkpoint(body)
        return verdict.status, verdict.body

    def break_(self, name: str, status: int, body: bytes) -> None:
        """The witness answers like this from here on."""

        async def answer(_: bytes) -> tuple[int, bytes]:
            return status, body

        self.answers[name] = answer

    def cut(self, name: str) -> None:
        async def answer(_: bytes) -> tuple[int, bytes]:
            raise Unavailable("Cannot connect to host")

        self.answers[name] = answer

    def hang(self, name: str) -> None:
        async def answer(_: bytes) -> tuple[int, bytes]:
            await asyncio.Event().wait()
            raise AssertionError

        self.answers[name] = answer

    def close(self) -> None:
        for witness in self.witnesses:
            witness.close()


class Way(Protocol):
    """How a log reaches its witnesses."""

    @property
    def clock(self) -> HandClock: ...

    async def post(self, url: str, body: bytes, timeout_s: float, /) -> tuple[int, bytes]: ...


class Publishing:
    """A log that is witnessed: what reached the quorum stands in `kept`."""

    def __init__(self, network: Way, policy: Policy, log: SmallLog, *, timeout_s: float = 5.0, grace_s: float = 0.05) -> None:
        self.log = log
        self.kept: list[Note] = []
        self.asker = Witnesses(
            policy=policy,
            newest=self.newest,
            consistency=lambda old, new: self.log.consistency(old, new),
            keep=self.keep,
            post=network.post,
            clock=network.clock,
            timeout_s=timeout_s,
            grace_s=grace_s,
        )

    def newest(self) -> Note | None:
        return self.log.head() if self.log.leaves else None

    async def keep(self, note: Note) -> None:
        self.kept.append(note)
