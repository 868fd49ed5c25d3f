"""The publisher's process: settings as JSON in the first line of its standard input, "ready" on its standard output.

It ends when its standard input does, so it never outlives the server; what was committed until then is published first.
"""

from __future__ import annotations

import signal
import sys
import threading

import msgspec

from counterfoil.clock import SystemClock
from counterfoil.config import Config
from counterfoil.publishing.work import publish_until

READY = b"ready\n"


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the server, which ends its publisher last
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=Config)
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()

    def say_ready() -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()

    publish_until(config, stop, SystemClock(), say_ready)


if __name__ == "__main__":
    main()
