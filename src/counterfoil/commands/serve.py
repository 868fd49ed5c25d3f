"""`counterfoil serve`: one process, or with `--workers` a house and its workers; run as a module it is the house's process.

The house's standard input: settings as JSON in the first line, then "go", once the folder is free. It ends when its standard
input does.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading

import msgspec

from counterfoil.commands.output import Answer, Output, WrongUse, plain
from counterfoil.config import Config, load
from counterfoil.errors import CounterfoilError, Malformed
from counterfoil.serving import parent
from counterfoil.serving.settings import HouseSettings, Said


def serve(arguments: argparse.Namespace, output: Output) -> Answer:
    """Runs the server until it is told to stop (SIGTERM, Ctrl-C)."""
    config = _config(arguments)
    workers = arguments.workers
    if not 0 <= workers <= parent.WORKERS_MAX:
        raise WrongUse(f"--workers must be 0 to {parent.WORKERS_MAX}")
    name = plain(config.scheme_name)

    def on_ready(address: str) -> None:
        output.line(f"{name} listens on {address}")
        _tell_service_manager()

    if workers:
        parent.serve(lambda: _config(arguments), workers=workers, house_module=__name__, on_ready=on_ready)
    else:
        from counterfoil import app
        from counterfoil.commands.scheme import unwrapped

        unwrapped(lambda: app.serve(config, on_ready=on_ready))
    return Answer({"stopped": True}, ["Stopped."])


def _tell_service_manager() -> None:
    """Tells systemd that we are ready, where it waits for that (`Type=notify`). Source: sd_notify(3) of systemd 252."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.sendto(b"READY=1", f"\0{address[1:]}" if address.startswith("@") else address)


def _config(arguments: argparse.Namespace) -> Config:
    try:
        return load(os.environ, **{name: getattr(arguments, name, None) for name in ("data", "host", "port")})
    except Malformed as error:
        raise WrongUse(error.detail) from None


def house() -> None:
    """The house's process. Says on its standard output that it is ready, or why it cannot be."""
    from counterfoil import app
    from counterfoil.commands import logs
    from counterfoil.commands.scheme import unwrapped

    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the parent, which ends its house last
    logs.configure(level=logging.INFO)
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=HouseSettings)
    if not sys.stdin.buffer.readline():
        return  # it is not needed any more

    descriptor = sys.stdin.fileno()

    def end_with_the_parent() -> None:
        while os.read(descriptor, 4_096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    def say(said: Said) -> None:
        try:
            sys.stdout.buffer.write(said.line())
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            pass  # the parent is gone, and this process ends for that reason

    def run() -> None:
        app.serve_workers(
            settings.config,
            http=socket.socket(fileno=settings.http),
            orders=socket.socket(fileno=settings.orders),
            on_ready=lambda: say(Said()),
        )

    threading.Thread(target=end_with_the_parent, daemon=True).start()
    try:
        unwrapped(run)
    except CounterfoilError as error:
        say(Said(ready=False, why=error.detail))
        sys.exit(1)


if __name__ == "__main__":
    house()
