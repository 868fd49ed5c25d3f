"""What the parent and its processes tell each other: settings, once, and whether they are ready."""

from __future__ import annotations

import msgspec

from counterfoil.config import Config


class WorkerSettings(msgspec.Struct, frozen=True):
    """What a worker is told when it starts.

    Attributes:
        data: the scheme's data folder.
        listening: descriptor of the socket that all workers accept from.
        in_flight_max: orders that may wait for the house at a time.
    """

    data: str
    listening: int
    origin: str
    languages: tuple[str, ...]
    body_size_max: int
    in_flight_max: int


class HouseSettings(msgspec.Struct, frozen=True):
    """What the house is told when it starts. `http`, `orders`: descriptors of its listening sockets."""

    config: Config
    http: int
    orders: int


class Said(msgspec.Struct, frozen=True):
    """What a process says on its standard output, once: ready, or why not."""

    ready: bool = True
    why: str = ""

    def line(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"
