"""What fails during the day, at random: requests and their answers, devices, and the server with all that it was doing."""

from __future__ import annotations

import contextlib
import mmap
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from counterfoil.clock import NANOSECONDS, SystemClock
from counterfoil.commands.client import Client
from counterfoil.errors import Unavailable
from tests.commands.counter import Killed, Steps
from tests.scheme import MovedClock

UP_S_MAX = 60
"""Seconds that somebody waits for a server that was killed, before its test fails."""


class SharedClock(MovedClock):
    """The machine's clock, moved by what the file at `path` says: all processes that have it live at the same moment of the day."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)
        self._of_machine = SystemClock.now_ns  # which `live_at` replaces

    def now_ns(self) -> int:
        return self._of_machine() + int.from_bytes(self._offset[:8], signed=True)

    @property
    def offset_s(self) -> float:
        return int.from_bytes(self._offset[:8], signed=True) / NANOSECONDS

    @offset_s.setter
    def offset_s(self, seconds: float) -> None:
        self._offset[:8] = int(seconds * NANOSECONDS).to_bytes(8, signed=True)


class Weather(Steps):
    """Before or after a step, something may fail. Shared by threads; what it does is in no order that could be repeated.

    Attributes:
        counts: what happened how often, by name.
    """

    def __init__(self, seed: int, *, loses: float, dies: float) -> None:
        """`loses`: how often a step is lost, before it is done or after; `dies`: how often the device loses its power there."""
        super().__init__()
        self.random = random.Random(seed)
        self.loses = loses
        self.dies = dies
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def happens(self, how_often: float) -> bool:
        with self._lock:
            return self.random.random() < how_often

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        with self._lock:
            before, drawn = self.random.random() < 0.5, self.random.random()
        if before:
            self._fail(drawn)
        yield
        if not before:
            self._fail(drawn)

    def _fail(self, drawn: float) -> None:
        if drawn < self.loses:
            self.count("lost")
            raise Unavailable("the network has lost it")
        if drawn < self.loses + self.dies:
            self.count("died")
            raise Killed("the device has lost its power")


class Disk(Weather):
    """As `Weather`, for writes: none is lost, and the device may die at each."""

    def __init__(self, weather: Weather, *, dies: float) -> None:
        super().__init__(weather.random.getrandbits(32), loses=0, dies=dies)
        self.counts = weather.counts


class House:
    """Where the server is, as long as it is up."""

    def __init__(self) -> None:
        self.address = ""
        self.up = threading.Event()

    def open(self, address: str) -> None:
        self.address = address
        self.up.set()


class Wire(Client):
    """The programs' client, over a network on which things get lost, to a server that may be away."""

    def __init__(self, house: House, weather: Weather, clock: SystemClock) -> None:
        super().__init__("http://127.0.0.1:1", None, clock)
        self.house = house
        self.weather = weather

    def pause(self, seconds: float) -> None:
        """Nobody waits: the day is short."""

    def until_done(self, method: str, path: str, **call: Any) -> Any:
        """What the server says, however often it has to be asked. ServerRefused for a no."""
        while True:
            with contextlib.suppress(Unavailable):
                return self.call(method, path, signed=False, **call)

    def _exchange(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        with self.weather.step(f"{method} {target}"):
            assert self.house.up.wait(UP_S_MAX), "the server did not come back"
            self._address = urlsplit(self.house.address)
            return super()._exchange(method, target, body, headers)
