"""`counterfoil pump`, `pump pair` and `pump simulate`: what they are told, put together."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from counterfoil.clock import SystemClock
from counterfoil.commands import pairing
from counterfoil.commands.client import Client
from counterfoil.commands.output import Answer, Output, WrongUse
from counterfoil.commands.pairing import Caller
from counterfoil.commands.pump.controller import Controller
from counterfoil.commands.pump.folder import Folder
from counterfoil.commands.pump.protocol import Line
from counterfoil.commands.pump.simulator import Pump, Serving


def pump(arguments: argparse.Namespace, output: Output) -> Answer:
    """Serves one pump until it is interrupted.

    Unavailable (3) when a fill is left: it is gone on with at the next start.
    """
    folder, clock, line = Folder(Path(arguments.data)), SystemClock(), Line(arguments.at)
    if not folder.path.is_dir():
        raise folder.not_paired()
    with folder.alone():
        paired = folder.paired()
        till = Caller(Client(paired.server, None, clock), paired.token)
        Controller(folder=folder, pairing=paired, till=till, line=line, say=output.line, clock=clock, number=arguments.number).run()
    return Answer({}, ["The pump is served no more."])


def pair(arguments: argparse.Namespace, output: Output) -> Answer:
    """As `pairing.pair`."""
    return pairing.pair(arguments, Folder(Path(arguments.data)))


def simulate(arguments: argparse.Namespace, output: Output) -> Answer:
    """A pump to try: each line that is typed is something that its driver does. Ends with the input."""
    folder = Path(arguments.data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pump = Pump(folder / "totaliser", SystemClock())
    with Serving(pump, arguments.port) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        output.line(f"A pump at {serving.address}. Its driver types: choose Diesel 2000, lift, run 1500, hang up, walk away, power cut")
        for line in sys.stdin:
            try:
                output.line(_done(pump, line.split()))
            except WrongUse as error:
                output.line(str(error))
        serving.shutdown()
    return Answer({}, ["The pump is gone."])


def _done(pump: Pump, words: list[str]) -> str:
    match words:
        case ["choose", product, *amount] if len(amount) <= 1 and all(each.isdecimal() for each in amount):
            pump.choose(product, int(amount[0]) if amount else None)
        case ["lift"]:
            return "It runs when you press." if pump.lift() else "It gives nothing."
        case ["run", millilitres] if millilitres.isdecimal():
            return f"{pump.run(int(millilitres))} ml ran."
        case ["hang", "up"]:
            pump.hang_up()
        case ["walk", "away"]:
            pump.walk_away()
        case ["power", "cut"]:
            pump.lose_power()
        case _:
            pass
    return f"{pump.state}, {pump.millilitres} ml, totaliser {pump.totaliser} ml. {pump.shown}".rstrip()
