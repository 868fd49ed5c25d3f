"""TigerBeetle for tests: replicas on the loopback from the program that TIGERBEETLE_BIN names, in a temporary folder.

No package holds the server, so without that variable such tests are skipped, and say so, even where everything else is required.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.orphans import Watch

START_S_MAX = 120
"""How long a busy machine may take until a replica listens."""
CACHE_GRID = "128MiB"
"""A replica's own: less than the default, and enough for tests. Some 2 GB each are left, which the server locks."""


def server_program() -> str:
    """The program. Skips the test where there is none."""
    program = os.environ.get("TIGERBEETLE_BIN", "")
    if not program:
        pytest.skip("TIGERBEETLE_BIN is not set: no TigerBeetle server to test with")
    found = shutil.which(program)
    assert found, f"TIGERBEETLE_BIN: {program} is not a program"
    return found


def server_version() -> str:
    """What the program says of itself."""
    return subprocess.run([server_program(), "version"], check=True, capture_output=True, text=True).stdout.strip()


class Cluster:
    """Replicas of one cluster, each in a process of its own.

    Attributes:
        number: the cluster's.
        ports: one for each replica.
    """

    def __init__(self, folder: Path, program: str, *, hosts: list[str], ports: list[int], number: int, options: list[str]) -> None:
        self.number = number
        self.ports = ports
        self._hosts = hosts
        self._folder = folder
        self._program = program
        self._options = options
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._watches: dict[int, Watch] = {}

    @property
    def addresses(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in zip(self._hosts, self.ports, strict=True))

    def file(self, replica: int) -> Path:
        """Where a replica keeps everything."""
        return self._folder / f"{replica}.tigerbeetle"

    def format(self) -> None:
        for replica in range(len(self.ports)):
            self._run(
                "format", f"--cluster={self.number}", f"--replica={replica}", f"--replica-count={len(self.ports)}", str(self.file(replica))
            )

    def start(self, *replicas: int) -> None:
        """Starts these, or all. Returns when they listen."""
        chosen = replicas or range(len(self.ports))
        for replica in chosen:
            assert replica not in self._processes, replica
            command = [self._program, "start", f"--addresses={self.addresses}", *self._options, str(self.file(replica))]
            with (self._folder / f"{replica}.log").open("ab") as log:
                self._processes[replica] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            self._watches[replica] = Watch(self._processes[replica].pid, self._folder)
        until = time.monotonic() + START_S_MAX
        for replica in chosen:
            while not _listens(self._hosts[replica], self.ports[replica]):
                assert self._processes[replica].poll() is None, self.log(replica)
                assert time.monotonic() < until, self.log(replica)
                time.sleep(0.05)

    def kill(self, *replicas: int) -> None:
        """Kills these, or all, without a word."""
        for replica in replicas or list(self._processes):
            process = self._processes.pop(replica)
            process.kill()
            process.wait()
            self._watches.pop(replica).end()

    def is_running(self, replica: int) -> bool:
        """False where it has ended by itself."""
        return self._processes[replica].poll() is None

    def pause(self, replica: int) -> None:
        """Holds it still: its connections stay open, and nobody answers."""
        self._processes[replica].send_signal(signal.SIGSTOP)

    def go_on(self, replica: int) -> None:
        self._processes[replica].send_signal(signal.SIGCONT)

    def log(self, replica: int) -> str:
        return (self._folder / f"{replica}.log").read_text(errors="replace")[-4000:]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([self._program, *arguments], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def cluster(
    *,
    replicas: int = 1,
    number: int = 7,
    options: tuple[str, ...] = (),
    cache_grid: str = CACHE_GRID,
    hosts: Sequence[str] = (),
    place: Path | None = None,
) -> Iterator[Cluster]:
    """A cluster that is formatted and not started yet. It and its files are gone afterwards.

    `hosts`: an address for each replica, in networks where nobody else has a port; without, all are on the loopback.
    `place`: the folder for its folder.
    """
    program = server_program()
    # The server writes past the system's cache, which not every file system in memory can do: so on a disk.
    with tempfile.TemporaryDirectory(dir=place or os.environ.get("TESTS_DISK")) as folder, contextlib.ExitStack() as stack:
        ports = [3001] * replicas if hosts else _take_ports(replicas, stack)
        options = (f"--cache-grid={cache_grid}", *options)
        made = Cluster(
            Path(folder), program, hosts=list(hosts) or ["127.0.0.1"] * replicas, ports=ports, number=number, options=list(options)
        )
        stack.callback(made.kill)
        made.format()
        yield made


def _take_ports(count: int, stack: contextlib.ExitStack) -> list[int]:
    """Ports that stay ours until `stack` ends: bound but not listening, so that the server may bind them besides, and nobody else does."""
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    return [each.getsockname()[1] for each in sockets]


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
