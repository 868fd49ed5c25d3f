"""Server and publisher as processes of their own, forked from one that has imported them already (see `warm`).

What runs in them is the programs' own start code, from its first line: `app.serve`, and `python -m counterfoil.publishing`, for which
the server asks as it always does. Its `sys.executable` is a small script beside this, which has them run in a forked process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from counterfoil import app
from counterfoil.config import Config

ARGUMENTS_SIZE_MAX = 4_096

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.simulation.warm", "tests.simulation.processes"])

PYTHON = Path(__file__).with_name("python")


def _serve(config: Config, address: str, ready: Connection, before: Callable[[], None] | None) -> None:
    if before is not None:
        before()
    os.environ.update(SIMULATION_PYTHON=sys.executable, SIMULATION_ADDRESS=address)
    sys.executable = str(PYTHON)
    app.serve(config, on_ready=ready.send)


def _run_module(arguments: list[str], stdin: Connection, stdout: Connection, before: Callable[[], None] | None) -> None:
    """`python -m` in this process, with the input and the output of whoever asked for it."""
    if before is not None:
        before()
    option, module, *rest = arguments
    assert option == "-m", arguments
    os.dup2(stdin.fileno(), 0)
    os.dup2(stdout.fileno(), 1)
    stdin.close()
    stdout.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.argv[1:] = rest
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        with suppress(BrokenPipeError):  # whoever asked is gone
            sys.stdout.close()


class Server:
    """One server's life, from its readiness on."""

    def __init__(self, process: ForkServerProcess, port: int) -> None:
        self._process = process
        self._end = asyncio.create_task(_end_of(process))
        self.port = port

    @property
    def exit_code(self) -> int | None:
        """None while it lives; below zero the signal that ended it."""
        return self._process.exitcode if self._end.done() else None

    def kill(self) -> None:
        """From any thread."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        await self._end
        assert self.exit_code is not None
        return self.exit_code

    async def end(self, number: signal.Signals) -> int:
        """Sends the signal, and returns its exit code when it has ended; after a SIGKILL its publisher publishes what there is, and ends later."""
        assert self._process.pid is not None
        assert self.exit_code is None, f"it has ended by itself: {self.exit_code}"
        os.kill(self._process.pid, number)
        await self._end
        assert self.exit_code is not None
        return self.exit_code


class Servers:
    """Starts servers, and the publishers that they ask for; in these `before_publisher` is called first."""

    def __init__(self, listening: socket.socket, before_publisher: Callable[[], None] | None) -> None:
        self._listening = listening
        self._before_publisher = before_publisher
        self._servers = list[Server]()
        self._publishers = set[asyncio.Task[None]]()

    async def start(self, config: Config, before: Callable[[], None] | None = None) -> Server:
        """A new process, in which `before` is called first; returns when it answers, or has ended without: then its port is 0."""
        parent, child = _context.Pipe(duplex=False)
        process = _context.Process(target=_serve, args=(config, self._listening.getsockname(), child, before), daemon=True)
        process.start()
        child.close()
        try:
            address = await asyncio.to_thread(parent.recv)
        except EOFError:
            address = ":0"
        finally:
            parent.close()
        server = Server(process, int(address.rsplit(":", 1)[1]))
        self._servers.append(server)
        return server

    async def close(self) -> None:
        """Kills what still lives, and returns when the last publisher has ended."""
        for server in self._servers:
            if server.exit_code is None:
                await server.end(signal.SIGKILL)
        await asyncio.gather(*self._publishers)

    def asked(self) -> None:
        """Somebody asks for a publisher."""
        asking, _ = self._listening.accept()
        arguments, files, _, _ = socket.recv_fds(asking, ARGUMENTS_SIZE_MAX, 2)
        stdin, stdout = (Connection(file) for file in files)
        process = _context.Process(
            target=_run_module, args=(arguments.decode().split("\0"), stdin, stdout, self._before_publisher), daemon=True
        )
        process.start()
        stdin.close()
        stdout.close()
        task = asyncio.create_task(self._tell_end(process, asking))
        self._publishers.add(task)
        task.add_done_callback(self._publishers.discard)

    @staticmethod
    async def _tell_end(process: ForkServerProcess, asking: socket.socket) -> None:
        await _end_of(process)
        with asking, suppress(OSError):  # nobody is left to hear it
            asking.sendall(bytes([(process.exitcode or 0) & 255]))


@asynccontextmanager
async def servers(before_publisher: Callable[[], None] | None = None) -> AsyncIterator[Servers]:
    """At its end all that was started here has ended."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/asked")
        listening.listen()
        found = Servers(listening, before_publisher)
        loop.add_reader(listening, found.asked)
        try:
            yield found
        finally:
            await found.close()
            loop.remove_reader(listening)


async def _end_of(process: ForkServerProcess) -> None:
    """Returns when it has ended. multiprocessing must not be asked from two threads at once."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()
