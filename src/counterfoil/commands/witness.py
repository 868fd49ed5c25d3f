"""Commands of whoever runs a witness: make its file and key, and run it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop

from counterfoil.assurance import witness_settings
from counterfoil.assurance.witness import Witness
from counterfoil.assurance.witness_settings import WitnessSettings
from counterfoil.clock import SystemClock
from counterfoil.commands.output import Answer, Output, WrongUse, pairs, plain
from counterfoil.errors import Malformed
from counterfoil.web.server import listening, told_to_stop
from counterfoil.web.witness import WitnessApplication


def witness(arguments: argparse.Namespace, output: Output) -> Answer:
    """With --new makes a witness; else runs the one of the file until it is told to stop (SIGTERM, Ctrl-C)."""
    try:
        if arguments.new is not None:
            return _create(arguments)
        if arguments.log:
            raise WrongUse("--log goes with --new: for a witness that is there already, add the key to `logs` in its file")
        return _run(arguments, output)
    except Malformed as error:
        raise WrongUse(error.detail) from None


def _create(arguments: argparse.Namespace) -> Answer:
    file: Path = arguments.file
    given = {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}
    folder = f"{file.stem}-data"
    settings = WitnessSettings(name=arguments.new, data=folder, key=f"{folder}/witness.ed25519", logs=tuple(arguments.log or ()), **given)
    signer = witness_settings.create(file, settings, SystemClock())
    vkey = str(signer.vkey)
    rows = [
        ("Witness", plain(settings.name)),
        ("File", str(file)),
        ("Memory and key", str(file.parent / folder)),
        ("Logs", len(settings.logs)),
    ]
    lines = [*pairs(rows), "", "Its key, for the policies of those who want to rely on it:", vkey]
    if not settings.logs:
        lines += ["", f"Add the keys of the logs that it shall watch to `logs` in {file}."]
    lines += ["", f"Run it with: counterfoil witness {file}"]
    return Answer({"name": settings.name, "file": str(file), "data": str(file.parent / folder), "vkey": vkey}, lines)


def _run(arguments: argparse.Namespace, output: Output) -> Answer:
    if not arguments.file.is_file():
        raise WrongUse(f"there is no file {arguments.file}: make one with `counterfoil witness --new NAME {arguments.file}`")
    settings, clock = witness_settings.load(arguments.file), SystemClock()
    host = arguments.host if arguments.host is not None else settings.host
    port = arguments.port if arguments.port is not None else settings.port
    if not 0 <= port <= 65_535:
        raise Malformed("--port", "must be 0 to 65535")
    signer = witness_settings.signer_of(settings, clock)
    core = Witness.open(Path(settings.data), signer, settings.log_keys, clock)

    async def run() -> None:
        async with listening(WitnessApplication(core), host=host, port=port) as address:
            output.line(f"{plain(settings.name)} listens on {address}")
            output.line(f"Its key: {core.vkey}")
            if not settings.logs:
                output.note(f"it knows no log yet: add the key of one to `logs` in {arguments.file}")
            waits = [asyncio.create_task(told_to_stop())]
            if arguments.with_parent:
                waits.append(asyncio.create_task(_parent_gone()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    try:
        uvloop.run(run())
    finally:
        core.close()
    return Answer({"stopped": True}, ["Stopped."])


async def _parent_gone() -> None:
    """Returns when nobody holds the other end of stdin any more: whoever started this witness has died."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1_024):
        pass
