"""The parent of a house and its workers: it binds the sockets, starts both, and starts anew whatever ends. It serves nothing itself.

    SIGTERM, SIGINT   workers end, then the house
    SIGHUP            another house, then one worker after the other; no payment is lost or refused
    a process dies    another one takes its place, after a pause that grows while it dies before it was ready

A process is ready when it says so on its standard output, and ends when its standard input does: none outlives the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

import msgspec
import structlog

from counterfoil.config import Config
from counterfoil.errors import CounterfoilError, Unavailable
from counterfoil.serving.places import BACKLOG, FOLDER, HTTP, ORDERS, bind
from counterfoil.serving.settings import HouseSettings, Said, WorkerSettings

WORKERS_MAX = 64
RESTART_S = 0.05
"""Seconds before a process that died is started again; twice as long after each time that it did not get ready."""
RESTART_S_MAX = 10.0
READY_S_MAX = 120
"""Seconds that a process may take to get ready: a large ledger is read meanwhile."""
END_S_MAX = 90
"""Seconds that a process that was told to end may take; the publisher beside the house has sixty."""
GO = b"go\n"

log = structlog.get_logger(__name__)


class _Process:
    """One house or worker."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self.is_leaving = False

    @classmethod
    async def start(cls, name: str, module: str, settings: msgspec.Struct, *descriptors: int) -> _Process:
        """Starts it; `settings` are the first line of its standard input."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=descriptors
        )
        started = cls(name, process)
        started.tell(msgspec.json.encode(settings) + b"\n")
        return started

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(line)

    async def wait_until_ready(self) -> None:
        """Raises Unavailable, with the reason, when it ends or takes too long instead."""
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S_MAX):
                line = await self._process.stdout.readline()
        said = msgspec.json.decode(line, type=Said) if line else Said(ready=False, why=f"the {self.name} does not start")
        if not said.ready:
            raise Unavailable(said.why)

    async def wait(self) -> int:
        return await self._process.wait()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, number: int = SIGTERM) -> None:
        """Tells it to end, waits, and kills it when that takes too long."""
        self.is_leaving = True
        self.signal(number)
        try:
            async with asyncio.timeout(END_S_MAX):
                await self.wait()
        except TimeoutError:
            log.error("killed", process=self.name, pid=self.pid, after_s=END_S_MAX)  # noqa: TRY400 - there is nothing to trace
            self.signal(SIGKILL)
            await self.wait()


class Parent:
    """Keeps one house and `workers` workers. `house_module`: what to run as the house; `settings`: read anew at each SIGHUP."""

    def __init__(self, settings: Callable[[], Config], *, workers: int, house_module: str, sockets: _Sockets) -> None:
        self._settings = settings
        self._config = settings()
        self._house_module = house_module
        self._sockets = sockets
        self._count = workers
        self._house: _Process | None = None
        self._workers: dict[int, _Process] = {}
        self._told_to_stop = asyncio.Event()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ready = False

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT. Raises Unavailable when house or workers cannot be started the first time."""
        loop = asyncio.get_running_loop()
        for number in (SIGTERM, SIGINT):
            loop.add_signal_handler(number, self._told_to_stop.set)
        loop.add_signal_handler(SIGHUP, self._told_to_replace)
        try:
            self._house = await self._start_house()
            self._house.tell(GO)
            await self._house.wait_until_ready()
            for slot in range(self._count):
                self._workers[slot] = await self._start_worker()
            for worker in self._workers.values():
                await worker.wait_until_ready()
            self._spawn(self._keep_house())
            for slot in self._workers:
                self._spawn(self._keep_worker(slot))
            self._is_ready = True
            on_ready()
            await self._told_to_stop.wait()
        finally:
            await self._stop()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Starting, and starting again

    async def _start_house(self) -> _Process:
        """Loaded, and waiting for GO: the folder may still be another's."""
        http, orders = self._sockets.http.fileno(), self._sockets.orders.fileno()
        return await _Process.start("house", self._house_module, HouseSettings(self._config, http, orders), http, orders)

    async def _start_worker(self) -> _Process:
        config, listening = self._config, self._sockets.listening.fileno()
        settings = WorkerSettings(
            data=str(config.folder),
            listening=listening,
            origin=config.origin,
            languages=config.languages,
            body_size_max=config.body_size_max,
            in_flight_max=-(-config.queue_size_max // self._count),
        )
        return await _Process.start("worker", "counterfoil.serving", settings, listening)

    async def _keep_house(self) -> None:
        """Starts another house whenever this one ends by itself."""
        pause_s = RESTART_S
        while True:
            house = self._house
            assert house is not None
            code = await house.wait()
            async with self._changing:
                if self._told_to_stop.is_set():
                    return
                if house is not self._house:
                    continue  # it was replaced
                log.error("house_ended", pid=house.pid, exit_code=code)
                pause_s = await self._again(self._take_house, pause_s)

    async def _keep_worker(self, slot: int) -> None:
        """As `_keep_house`, for one of the workers."""
        pause_s = RESTART_S
        while True:
            worker = self._workers[slot]
            code = await worker.wait()
            if self._told_to_stop.is_set():
                return
            if worker is not self._workers[slot]:
                continue
            log.error("worker_ended", pid=worker.pid, exit_code=code)

            async def take() -> None:
                self._workers[slot] = await self._ready_worker()

            pause_s = await self._again(take, pause_s)

    async def _again(self, start: Callable[[], Awaitable[None]], pause_s: float) -> float:
        """Tries until it is ready, or until all is told to stop; the pause before the next time."""
        while not self._told_to_stop.is_set():
            try:
                await start()
            except Unavailable as error:
                pause_s = min(pause_s * 2, RESTART_S_MAX)
                log.error("not_ready", why=error.detail, again_in_s=pause_s)  # noqa: TRY400 - the reason is all there is
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._told_to_stop.wait()
            else:
                break
        return RESTART_S

    async def _take_house(self) -> None:
        house = await self._start_house()
        house.tell(GO)
        self._house = house
        await house.wait_until_ready()

    async def _ready_worker(self) -> _Process:
        worker = await self._start_worker()
        try:
            await worker.wait_until_ready()
        except Unavailable:
            await worker.end(SIGKILL)
            raise
        return worker

    # Replacing

    def _told_to_replace(self) -> None:
        if self._is_ready:  # before, everything is new
            self._spawn(self._replace_all())

    async def _replace_all(self) -> None:
        """Another house, then other workers, each ready before the next goes; with the settings as they are now."""
        async with self._changing:
            try:
                self._config = self._settings()
            except CounterfoilError as error:
                log.error("settings_not_taken", why=error.detail)  # noqa: TRY400 - the reason is all there is
                return
            if self._told_to_stop.is_set():
                return
            following = await self._start_house()  # it loads while the other one works on
            old, self._house = self._house, following
            assert old is not None
            await old.end()
            following.tell(GO)
            try:
                await following.wait_until_ready()
            except Unavailable as error:
                log.error("not_ready", why=error.detail)  # noqa: TRY400 - `_keep_house` tries again when it has ended
                following.signal(SIGKILL)
                return
            for slot in list(self._workers):
                if self._told_to_stop.is_set():
                    return
                try:
                    worker, self._workers[slot] = self._workers[slot], await self._ready_worker()
                except Unavailable as error:
                    log.error("not_ready", why=error.detail)  # noqa: TRY400 - the old one goes on
                    return
                self._spawn(worker.end(SIGHUP))
        log.info("replaced")

    async def _stop(self) -> None:
        self._told_to_stop.set()
        await asyncio.gather(*(worker.end() for worker in self._workers.values()))
        if self._house is not None:
            await self._house.end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Sockets(msgspec.Struct, frozen=True):
    """`listening` is for clients; the others are for the workers."""

    listening: socket.socket
    http: socket.socket
    orders: socket.socket


@contextmanager
def _sockets(config: Config) -> Iterator[_Sockets]:
    folder = config.folder
    with contextlib.ExitStack() as stack:
        try:
            (folder / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / FOLDER / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"{folder} cannot be used: {error.strerror}") from error
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"{folder} is in use by another process") from None
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        try:
            listening = socket.create_server((config.host, config.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise Unavailable(f"cannot listen on {config.host}, port {config.port}: {error.strerror}") from None
        yield _Sockets(
            stack.enter_context(listening), stack.enter_context(bind(folder, HTTP)), stack.enter_context(bind(folder, ORDERS))
        )  # fmt: skip


def serve(settings: Callable[[], Config], *, workers: int, house_module: str, on_ready: Callable[[str], None]) -> None:
    """Serves with `workers` processes for HTTP and one house until SIGTERM or SIGINT. `on_ready` hears the address.

    Raises Unavailable when the port or the folder cannot be had, or the first house or worker does not start.
    """
    assert 0 < workers <= WORKERS_MAX, workers
    with _sockets(settings()) as sockets:
        name, number = sockets.listening.getsockname()[:2]
        address = f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"

        async def run() -> None:
            parent = Parent(settings, workers=workers, house_module=house_module, sockets=sockets)
            await parent.run(lambda: on_ready(address))

        asyncio.run(run())
