"""`counterfoil terminal` and `counterfoil terminal pair`: what they are told, put together."""

from __future__ import annotations

import argparse
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from counterfoil.clock import SystemClock
from counterfoil.commands.client import Client, ServerRefused
from counterfoil.commands.output import Answer, Failure, Output, WrongUse, pairs, plain
from counterfoil.commands.pcsc import Readers
from counterfoil.commands.terminal.desk import Desk
from counterfoil.commands.terminal.folder import Folder, Pairing
from counterfoil.commands.terminal.keyboard import Keyboard
from counterfoil.commands.terminal.reading import Reading
from counterfoil.commands.terminal.till import Till
from counterfoil.errors import Retry


def terminal(arguments: argparse.Namespace, output: Output) -> Answer:
    """Takes payments by card until the clerk ends it.

    Unavailable (3) when a sale is left of which nobody knows whether it was paid: it is looked up at the next start.
    """
    folder, clock = Folder(Path(arguments.data)), SystemClock()
    if not folder.path.is_dir():
        raise _not_paired(folder)
    with folder.alone():
        pairing = folder.pairing()
        if pairing is None:
            raise _not_paired(folder)
        console, client = Keyboard(output), Client(pairing.server, None, clock)
        reading = Reading(Readers, arguments.reader, say=console.say, pause=client.pause)
        till = Till(client, pairing.token)
        with console.silent():
            Desk(folder=folder, pairing=pairing, till=till, reading=reading, console=console, clock=clock).run()
    return Answer({}, ["The terminal is closed."])


def pair(arguments: argparse.Namespace, output: Output) -> Answer:
    """Makes this machine the till that a code stands for, and keeps its token. The code is used up, also when the answer gets lost."""
    server, folder = _server(arguments.server), Folder(Path(arguments.data))
    client = Client(server, None, SystemClock())
    with folder.alone():
        before = folder.pairing()
        if before is not None and not arguments.again:
            raise WrongUse(f"{folder.path} is paired with {plain(before.merchant)}: use another folder, or --again to pair it anew")
        try:
            paired = client.post("/v1/tills/pair", {"code": arguments.code, "label": arguments.label}, signed=False)
        except ServerRefused as no:
            if no.code == "wrong_code" and no.after_unknown:
                detail = "the answer to this code got lost, and it is used up: make another one in the shop's wallet"
                raise Failure(detail, code=no.code, retry=Retry.CHANGE) from None
            raise
        left = folder.sale()
        if left is not None and left.account != paired["account"]:
            detail = f"a sale of another shop is open in {folder.path}: pair this terminal with that shop, or use another folder"
            raise Failure(detail, code="conflict", retry=Retry.CHANGE)
        folder.keep_pairing(
            Pairing(
                server=server, token=paired["token"], till=paired["till"], till_name=paired["name"], account=paired["account"],
                merchant=paired["merchant_name"],
            )
        )  # fmt: skip
    facts = {"merchant": paired["merchant_name"], "till": paired["name"], "folder": str(folder.path)}
    return Answer(facts, pairs([("Shop", plain(paired["merchant_name"])), ("Till", plain(paired["name"])), ("Kept in", str(folder.path))]))


def _not_paired(folder: Folder) -> WrongUse:
    return WrongUse(f"{folder.path} is paired with no shop yet: make a code in the shop's wallet, and run `counterfoil terminal pair`")


def _server(text: str) -> str:
    """The server's address. WrongUse where PINs would go over a network for everybody to read."""
    text = text if "://" in text else f"https://{text}"
    address = urlsplit(text)
    if address.scheme == "http" and not _is_here(address.hostname or ""):
        raise WrongUse(f"{text}: PINs are sent there, so it has to begin with https://")
    return text.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
