"""A worker: accepts connections, speaks HTTP with clients, checks and makes signatures, and leaves the deciding to the house."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvloop

from counterfoil.clock import NANOSECONDS, Clock, SystemClock
from counterfoil.folder import operator_key
from counterfoil.payments.acknowledgement import Acknowledger
from counterfoil.serving.answers import Answers
from counterfoil.serving.connection import Connection
from counterfoil.serving.frames import Welcome
from counterfoil.serving.link import Link
from counterfoil.serving.relay import Relay
from counterfoil.serving.settings import WorkerSettings

KEYS_MAX = 50_000
"""Devices whose keys a worker remembers, about 200 bytes each; beyond it the one learnt first is forgotten."""
KEEP_ALIVE_S = 5
"""Seconds between two looks for connections that are silent: the second closes them."""
PULSE_S = 1.0
STOP_S_MAX = 5
"""Seconds that answers under way have when the worker is told to stop."""
RETIRE_S_MAX = 30
"""Seconds that connections have to come to their end when another worker takes over."""


class Worker:
    """One worker's state.

    Attributes:
        keys: public keys of devices by their id's text, as the house has told them.
        is_retiring: every connection ends after its next answer.
    """

    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        folder = Path(settings.data)
        self.body_size_max = settings.body_size_max
        self.keys: dict[str, bytes] = {}
        self.connections: set[Connection] = set()
        self.is_retiring = False
        self.answers = Answers(
            acknowledger=Acknowledger(origin=settings.origin, key=operator_key(folder, clock)),
            clock=clock,
            languages=settings.languages,
            request_prefix=clock.random_bytes(6).hex(),
        )
        self.link = Link(folder, clock, in_flight_max=settings.in_flight_max)
        self.relay = Relay(folder, self.link, clock)
        self.link.welcomed = self._welcomed
        self.link.on_up = self.relay.pass_on_held
        self.link.on_leaving = self.relay.leave
        self._clock = clock
        self._listening: socket.socket | None = socket.socket(fileno=settings.listening)
        self._listening.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._accepting: set[asyncio.Task[object]] = set()
        self._told_to_stop = asyncio.Event()
        self._is_welcome = asyncio.Event()
        self._until = 0
        self._moved = asyncio.Event()

    def learn(self, device: str, key: bytes) -> None:
        """Remembers a device's key. Whether it still is, the house says with each order."""
        if len(self.keys) >= KEYS_MAX and device not in self.keys:
            del self.keys[next(iter(self.keys))]
        self.keys[device] = key

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self._moved.set()

    async def run(self, ready: asyncio.Event) -> None:
        """Serves until it is told to stop or to retire; sets `ready` when the first connection can come."""
        linking = self._loop.create_task(self.link.run())
        pulsing = self._loop.create_task(self._pulse())
        self._loop.add_signal_handler(signal.SIGTERM, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self.retire)
        try:
            await self._is_welcome.wait()
            if self._listening is not None:
                self._loop.add_reader(self._listening, self._accept)
            ready.set()
            await self._told_to_stop.wait()
            await self._end()
        finally:
            for task in (linking, pulsing):
                task.cancel()
            await asyncio.gather(linking, pulsing, return_exceptions=True)
            self.relay.close()

    def stop(self) -> None:
        """Ends what is silent now, and the rest after the answers under way."""
        self._stop_listening()
        self.is_retiring = self.relay.is_retiring = True
        self.relay.end_streams()
        for connection in list(self.connections):
            connection.stop()
        self._until = self._clock.monotonic_ns() + STOP_S_MAX * NANOSECONDS
        self._is_welcome.set()
        self._told_to_stop.set()
        self._moved.set()

    def retire(self) -> None:
        """Leaves new connections to others. Each of its own ends after the next answer, or after some silence."""
        self._stop_listening()
        self.is_retiring = self.relay.is_retiring = True
        self.relay.end_streams()
        self._until = self._clock.monotonic_ns() + RETIRE_S_MAX * NANOSECONDS
        self._is_welcome.set()
        self._told_to_stop.set()

    async def _end(self) -> None:
        while (self.connections or self._accepting) and (left_ns := self._until - self._clock.monotonic_ns()) > 0:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_ns / NANOSECONDS):
                    await self._moved.wait()
        for connection in list(self.connections):
            connection.abort()

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def _accept(self) -> None:
        """One connection for each turn of the loop: whoever has less to do takes more of them."""
        assert self._listening is not None
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another worker was quicker
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._connected(accepted))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connected(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Connection(self), accepted)
        except OSError:  # the client has gone already
            accepted.close()

    def _welcomed(self, welcome: Welcome) -> None:
        self.answers.welcome = welcome
        self._is_welcome.set()

    async def _pulse(self) -> None:
        looked_at = self._clock.monotonic_ns()
        while True:
            await asyncio.sleep(PULSE_S)
            self.link.give_up_overdue()
            self.link.tell()
            self.relay.give_up_overdue()
            if self._clock.monotonic_ns() - looked_at >= KEEP_ALIVE_S * NANOSECONDS:
                looked_at = self._clock.monotonic_ns()
                for connection in list(self.connections):
                    connection.look(is_last=self.is_retiring)


def serve(settings: WorkerSettings, *, standard_input: int, on_ready: Callable[[], None]) -> None:
    """Runs a worker until SIGTERM (stop), SIGHUP (retire) or the end of its standard input, which the parent holds."""

    async def run() -> None:
        worker, ready = Worker(settings, SystemClock()), asyncio.Event()
        loop = asyncio.get_running_loop()

        def parent_is_gone() -> None:
            if not os.read(standard_input, 4_096):
                loop.remove_reader(standard_input)
                worker.stop()

        loop.add_reader(standard_input, parent_is_gone)

        async def tell() -> None:
            await ready.wait()
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)  # as the house: hardly a cycle is ever made
            on_ready()

        telling = loop.create_task(tell())
        try:
            await worker.run(ready)
        finally:
            telling.cancel()

    uvloop.run(run())
