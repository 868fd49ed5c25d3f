"""`counterfoil gate` and `counterfoil gate pair`: what they are told, put together."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from counterfoil.channels.signatures import secret_key
from counterfoil.clock import SystemClock
from counterfoil.commands import pairing
from counterfoil.commands.client import Client
from counterfoil.commands.gate.barrier import Barrier
from counterfoil.commands.gate.folder import Folder
from counterfoil.commands.gate.lane import Lane
from counterfoil.commands.output import Answer, Output, WrongUse
from counterfoil.commands.pairing import Caller
from counterfoil.errors import Malformed


class Lines:
    """A `lane.Console` on this program's own input and output. What comes while a car is served waits for its turn."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def say(self, text: str) -> None:
        self._output.line(text)

    def ask(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line


def gate(arguments: argparse.Namespace, output: Output) -> Answer:
    """Lets cars in or out until the input ends.

    Unavailable (3) when a passage is left of which nobody knows what became: it is looked up at the next start.
    """
    folder, clock = Folder(Path(arguments.data)), SystemClock()
    if arguments.way == "in" and not arguments.car_park:
        raise WrongUse("--car-park: which one do cars come into?")
    if not folder.path.is_dir():
        raise folder.not_paired()
    with folder.alone():
        paired = folder.paired()
        client = Client(paired.server, None, clock)
        secret = None if arguments.barrier_secret is None else _secret(arguments.barrier_secret)
        barrier = None if arguments.barrier is None else Barrier(arguments.barrier, secret, clock=clock, pause=client.pause)
        Lane(
            folder=folder, pairing=paired, gate=Caller(client, paired.token), barrier=barrier, console=Lines(output), clock=clock,
            way=arguments.way, car_park=arguments.car_park or "", hold=arguments.hold,
        ).run()  # fmt: skip
    return Answer({}, ["The gate is closed."])


def pair(arguments: argparse.Namespace, output: Output) -> Answer:
    """As `pairing.pair`."""
    return pairing.pair(arguments, Folder(Path(arguments.data)))


def _secret(path: str) -> str:
    try:
        text = Path(path).read_text("ascii").strip()
        secret_key(text)
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"--barrier-secret: {path} cannot be read: {error}") from None
    except Malformed as error:
        raise WrongUse(f"--barrier-secret: {path} {error.facts['rule']}") from None
    return text
