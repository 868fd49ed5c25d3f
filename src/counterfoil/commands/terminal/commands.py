"""`counterfoil terminal` and `counterfoil terminal pair`: what they are told, put together."""

from __future__ import annotations

import argparse
from pathlib import Path

from counterfoil.clock import SystemClock
from counterfoil.commands import pairing
from counterfoil.commands.client import Client
from counterfoil.commands.output import Answer, Output
from counterfoil.commands.pcsc import Readers
from counterfoil.commands.terminal.desk import Desk
from counterfoil.commands.terminal.folder import Folder
from counterfoil.commands.terminal.keyboard import Keyboard
from counterfoil.commands.terminal.reading import Reading
from counterfoil.commands.terminal.till import Till


def terminal(arguments: argparse.Namespace, output: Output) -> Answer:
    """Takes payments by card until the clerk ends it.

    Unavailable (3) when a sale is left of which nobody knows whether it was paid: it is looked up at the next start.
    """
    folder, clock = Folder(Path(arguments.data)), SystemClock()
    if not folder.path.is_dir():
        raise folder.not_paired()
    with folder.alone():
        paired = folder.paired()
        console, client = Keyboard(output), Client(paired.server, None, clock)
        reading = Reading(Readers, arguments.reader, say=console.say, pause=client.pause)
        till = Till(client, paired.token)
        with console.silent():
            Desk(folder=folder, pairing=paired, till=till, reading=reading, console=console, clock=clock).run()
    return Answer({}, ["The terminal is closed."])


def pair(arguments: argparse.Namespace, output: Output) -> Answer:
    """As `pairing.pair`."""
    return pairing.pair(arguments, Folder(Path(arguments.data)))
