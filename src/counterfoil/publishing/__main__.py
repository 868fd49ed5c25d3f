"""The publisher's process: settings as JSON in the first line of its standard input, "ready" on its standard output.

It ends when its standard input does, so it never outlives the server; what was committed until then is published first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

import msgspec
import structlog

from counterfoil.clock import SystemClock
from counterfoil.config import Config
from counterfoil.errors import CounterfoilError
from counterfoil.publishing.work import publish_until

READY = b"ready\n"
NICENESS = 4
"""How much later than the server it gets a processor that both want. Even of a single one it is left 29 %, which it needs to keep
up with as many payments as the rest can take."""


def main() -> None:
    os.nice(NICENESS)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the server, which ends its publisher last
    settings = sys.stdin.buffer.readline()
    if not settings.endswith(b"\n"):  # the server was gone before it had said what to do
        sys.exit(1)
    config = msgspec.json.decode(settings, type=Config)
    stop = threading.Event()

    def wait_for_the_end() -> None:
        while os.read(sys.stdin.fileno(), 1):  # past Python's buffer, whose lock would outlive this thread when the process ends
            pass
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()

    def say_ready() -> None:
        with contextlib.suppress(BrokenPipeError):  # the server is gone: what it committed is published all the same
            sys.stdout.buffer.write(READY)
            sys.stdout.buffer.flush()

    try:
        publish_until(config, stop, SystemClock(), say_ready)
    except CounterfoilError as error:  # another publisher has the log still, or a disk is full: the server starts us again
        structlog.get_logger(__name__).error("publisher_cannot_work", why=error.detail)
        sys.exit(1)


if __name__ == "__main__":
    main()
