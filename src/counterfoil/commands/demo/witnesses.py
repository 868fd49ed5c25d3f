"""The demo's five witnesses: real ones, each a process with a key and a memory of its own, and the policy that names them.

    <folder>/w1 ... w5.toml     settings; the port is a free one at each start, and kept while the demo runs
    <folder>/w1-data ...        memory and key: the same at the next start
    <folder>/policy             C2SP tlog-policy: 4 of the 5

Whoever begins the log anew clears the folder away, too: the five would refuse another log under the same origin.
A witness that dies is started again on its port. They end with the demo, also when it is killed: they live only as long
as the demo holds the other end of their standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from counterfoil.assurance import witness_settings
from counterfoil.assurance.witness_settings import WitnessSettings
from counterfoil.clock import Clock, SystemClock
from counterfoil.errors import Unavailable

NAMES = (
    ("w1", "central-bank.example/witness"),
    ("w2", "consumers.example/witness"),
    ("w3", "university.example/witness"),
    ("w4", "newspaper.example/witness"),
    ("w5", "rival-operator.example/witness"),
)
"""Of each witness: its name in the policy, and that of its key."""
QUORUM = 4
START_S_MAX = 60.0
"""Seconds within which a witness says where it listens: five Pythons on a small machine."""
STOP_S_MAX = 5.0
RESTART_S = 1.0
"""Seconds before a witness that died is started again."""
_LISTENS = re.compile(rb" listens on (http://\S+:([0-9]+))\n")


class DemoWitness:
    """One of the five. `process` is the one that runs, `url` where it is asked, `listening` whether it can be."""

    def __init__(self, folder: Path, short: str, name: str, log_vkey: str, clock: Clock) -> None:
        self.short = short
        self.file = folder / f"{short}.toml"
        data = f"{short}-data"
        self._settings = WitnessSettings(name=name, port=0, data=data, key=f"{data}/witness.ed25519", logs=(log_vkey,))
        self._write(self._settings)
        self.vkey = str(witness_settings.signer_of(witness_settings.load(self.file), clock).vkey)
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self.listening = False

    async def start(self) -> None:
        """Runs it until it listens. Raises Unavailable when it does not."""
        command = (sys.executable, "-m", "counterfoil", "witness", str(self.file), "--with-parent")
        with (self.file.parent / f"{self.short}.log").open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the demo, which ends them in its own order
            )
        assert self.process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S_MAX):
                line = await self.process.stdout.readline()
        found = _LISTENS.search(line)
        if found is None:
            await self.stop()
            raise Unavailable(f"the witness {self.short} did not start: see {self.file.parent / f'{self.short}.log'}")
        self.url, self.listening = found[1].decode(), True
        self._write(msgspec.structs.replace(self._settings, port=int(found[2])))

    async def stop(self) -> None:
        """Ends the process. Safe to repeat."""
        process, self.process, self.listening = self.process, None, False
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _write(self, settings: WitnessSettings) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(witness_settings.render(settings), "utf-8")
        draft.rename(self.file)


class DemoWitnesses:
    """The five, running.

    Attributes:
        policy: the policy file, with where each witness is asked.
    """

    def __init__(self, folder: Path, witnesses: list[DemoWitness], on_note: Callable[[str], None]) -> None:
        self.policy = folder / "policy"
        self.witnesses = witnesses
        self._on_note = on_note

    async def keep(self, witness: DemoWitness) -> None:
        """Starts it again whenever it dies. Ends only when cancelled."""
        while True:
            if witness.process is not None:
                code = await witness.process.wait()
                witness.process, witness.listening = None, False
                self._on_note(f"witness {witness.short} ended (exit code {code}); it is started again")
            await asyncio.sleep(RESTART_S)
            try:
                await witness.start()
            except Unavailable as error:  # its port is taken for the moment: its memory is whole, the next start may do
                self._on_note(error.detail)


@asynccontextmanager
async def five_witnesses(
    folder: Path, log_vkey: str, *, log_url: str = "", on_note: Callable[[str], None] = print, clock: Clock | None = None
) -> AsyncIterator[DemoWitnesses]:
    """Runs the five while the block does, for the log of `log_vkey`; they are reachable, and the policy is written, when it begins.

    Raises Unavailable when one does not start. `on_note` hears, in words, of one that died.
    """
    witnesses = _cast(folder, log_vkey, clock or SystemClock())
    all_ = DemoWitnesses(folder, witnesses, on_note)
    keepers: list[asyncio.Task[None]] = []
    try:
        started = await asyncio.gather(*(witness.start() for witness in witnesses), return_exceptions=True)
        for outcome in started:
            if outcome is not None:
                raise outcome
        _write_policy(all_.policy, policy_text(witnesses, log_vkey, log_url))
        keepers = [asyncio.create_task(all_.keep(witness)) for witness in witnesses]
        yield all_
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(witness.stop() for witness in witnesses))


def _cast(folder: Path, log_vkey: str, clock: Clock) -> list[DemoWitness]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [DemoWitness(folder, short, name, log_vkey, clock) for short, name in NAMES]


def policy_text(witnesses: list[DemoWitness], log_vkey: str, log_url: str = "") -> str:
    """The policy: this log, these witnesses, and how many of them must have cosigned. Source: C2SP tlog-policy."""
    lines = [
        "# Which log this town's wallets believe, and whose cosignatures they ask for.",
        f"log {log_vkey} {log_url}".rstrip(),
        *(f"witness {witness.short} {witness.vkey} {witness.url}" for witness in witnesses),
        f"group witnesses {QUORUM} {' '.join(witness.short for witness in witnesses)}",
        "quorum witnesses",
    ]
    return "\n".join(lines) + "\n"


def _write_policy(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)
