"""A worker's process: settings as JSON in the first line of its standard input, `Said` on its standard output."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

import msgspec

from counterfoil.serving.settings import Said, WorkerSettings
from counterfoil.serving.worker import serve


def main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the parent, which ends its workers
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerSettings)

    def say_ready() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), Said().line())

    serve(settings, standard_input=sys.stdin.fileno(), on_ready=say_ready)


if __name__ == "__main__":
    main()
