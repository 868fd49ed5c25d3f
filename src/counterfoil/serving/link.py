"""A worker's way to the house for orders: numbered, one frame for each turn of the loop, and sent again to the next house.

    ask ──> waiting ──frame──> house ──frame──> answered, in whatever order

While there is no house (it is being replaced, or has died) orders wait here, and go to the next one together with those that
the last one has not answered. An order sent twice is carried out once, and both answers are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.serving.frames import Answered, Asked, Completed, Frames, Leaving, Left, Refused, SentOrder, ToWorker, Welcome
from counterfoil.serving.places import ORDERS, address_of

HOLD_S_MAX = 15
"""Seconds that a request waits for a house; then its caller hears Unavailable."""
ANSWER_S_MAX = 30
"""Seconds that an order waits for the answer of a house that is there, but stands still; then its caller hears Unavailable."""
RECONNECT_S = 0.05
FRAME_ORDERS_MAX = 1_000
"""Orders in one frame."""
FULL = "The ledger has more waiting than it can take. Ask again with the same id."
AWAY = "The ledger is not taking anything at the moment. Ask again with the same id."
SLOW = "The ledger has not answered in time. Ask again with the same id."


class Asking(Protocol):
    """Who waits for the answer to an order."""

    def completed(self, sent: SentOrder, completed: Completed) -> None: ...

    def refused(self, refused: Refused) -> None: ...

    def unavailable(self, why: str) -> None: ...


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    sent: SentOrder
    who: Asking
    asked_at: int


class Link:
    """The connection to the house. `run()` keeps it, until cancelled.

    Attributes:
        is_up: whether there is a house that takes requests now.
        down_since: monotonic ns; while it is not up.
        on_up: called when a house is there again, after what waits here was sent.
        on_leaving: called when the house is about to leave.
        welcomed: called with each house's welcome.
    """

    def __init__(self, folder: Path, clock: Clock, *, in_flight_max: int) -> None:
        self.is_up = False
        self.down_since = clock.monotonic_ns()
        self.on_up: Callable[[], None] = _nothing
        self.on_leaving: Callable[[], None] = _nothing
        self.welcomed: Callable[[Welcome], None] = lambda welcome: None
        self._folder = folder
        self._clock = clock
        self._in_flight_max = in_flight_max
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: list[SentOrder] = []
        self._unavailable = 0
        self._waited_us: list[int] = []
        self._number = 0
        self._frames: Frames | None = None
        self._lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def in_flight(self) -> int:
        """Orders that have no answer so far."""
        return len(self._waiting)

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def ask(self, sent: SentOrder, who: Asking) -> None:
        """Asks the house; `who` hears its answer in a later turn of the loop, or Unavailable: at once when too much waits already."""
        if len(self._waiting) >= self._in_flight_max:
            self._unavailable += 1
            self._loop.call_soon(who.unavailable, FULL)
            return
        self._waiting[sent.number] = _Waiting(sent, who, self._clock.monotonic_ns())
        if self.is_up:
            self._unsent.append(sent)
            if len(self._unsent) == 1:
                self._loop.call_soon(self._send)

    def count_unavailable(self) -> None:
        """For the metrics: a caller was told Unavailable here."""
        self._unavailable += 1

    def is_overdue(self, since: int) -> bool:
        """Whether something that waits for a house since then (monotonic ns) has waited long enough."""
        return not self.is_up and self._clock.monotonic_ns() - max(since, self.down_since) > HOLD_S_MAX * NANOSECONDS

    def give_up_overdue(self) -> None:
        """Tells whoever has waited too long, for a house or for its answer; to be called now and then."""
        answered_from = self._clock.monotonic_ns() - ANSWER_S_MAX * NANOSECONDS
        overdue = [
            number
            for number, waiting in self._waiting.items()
            if (waiting.asked_at < answered_from if self.is_up else self.is_overdue(waiting.asked_at))
        ]
        for number in overdue:
            self._unavailable += 1
            self._waiting.pop(number).who.unavailable(SLOW if self.is_up else AWAY)

    def tell(self) -> None:
        """Sends what is for the metrics, if no order has taken it along; to be called now and then."""
        self._send()

    async def run(self) -> None:
        while True:
            self._lost.clear()
            self._frames = frames = Frames(ToWorker, self._hear, self._lost.set)  # a welcome may be here before we hear of the connection
            try:
                with address_of(self._folder, ORDERS) as address:
                    await self._loop.create_unix_connection(lambda: frames, address)  # noqa: B023 - called before the next turn
            except OSError:  # none is there, or too many wait for it
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                await self._lost.wait()
            finally:
                frames.close()
            self._go_down()

    # What the house says

    def _hear(self, message: ToWorker) -> None:
        if isinstance(message, Answered):
            now = self._clock.monotonic_ns()
            for completed in message.completed:
                if waiting := self._waiting.pop(completed.number, None):
                    self._waited_us.append((now - waiting.asked_at) // 1_000)
                    waiting.who.completed(waiting.sent, completed)
            for refused in message.refused:
                if waiting := self._waiting.pop(refused.number, None):
                    self._waited_us.append((now - waiting.asked_at) // 1_000)
                    waiting.who.refused(refused)
        elif isinstance(message, Welcome):
            self.welcomed(message)
            self.is_up = True
            self._unsent = [waiting.sent for waiting in self._waiting.values()]
            self._send()
            self.on_up()
        else:
            assert isinstance(message, Leaving), message
            self._send()
            assert self._frames is not None
            self._frames.send(Left())
            self._go_down()
            self.on_leaving()

    def _go_down(self) -> None:
        if self.is_up:
            self.is_up = False
            self.down_since = self._clock.monotonic_ns()
            self._unsent = []  # they wait, and the next house gets all that waits

    def _send(self) -> None:
        if self._frames is None or not self.is_up:
            return
        unsent, self._unsent = self._unsent, []
        to_tell = 1 if self._unavailable or self._waited_us else 0
        for at in range(0, max(len(unsent), to_tell), FRAME_ORDERS_MAX):
            self._frames.send(Asked(unsent[at : at + FRAME_ORDERS_MAX], self._unavailable, self._waited_us))
            self._unavailable, self._waited_us = 0, []


def _nothing() -> None:
    pass
