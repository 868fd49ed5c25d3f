"""PINs that are guessed across numbers: many people's, a few tries each, so that no single PIN is ever locked.

Counted in memory for each place that PINs come from (a gateway, a network address) and for each channel. Where wrong ones come
too thick, for a while whoever has given a right one from there goes on as before; whoever had a wrong one lately is refused, and
of all others only a few a minute are looked at. Nothing is counted where no place is named: behind a device's signature a PIN is
its owner's to guess.

    with asked_from("ussd", gateway.name):
        ... anything that checks a PIN, however far down
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

import structlog

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import TooMany

WRONG_PER_PLACE: Final = 30
"""Wrong PINs a minute from one place that are still people's own mistakes."""
WRONG_PER_CHANNEL: Final = 300
"""The same for all places of a channel together."""
RIGHT_FOR_WRONG: Final = 5
"""So many right ones for each wrong one are a busy place, whatever the numbers are."""
BRAKE_S: Final = 600
"""Seconds that a brake stays on after the last minute that was too thick."""
SLOW_PER_MINUTE: Final = 10
"""PINs of people without a right one from there that are looked at in a minute while the brake is on."""
WRONG_LATELY_S: Final = 3_600
"""Seconds for which a wrong PIN keeps its person's further ones from being looked at while the brake is on."""
PLACES_MAX: Final = 20_000
RIGHT_MAX: Final = 50_000
"""Right PINs that are remembered, without the PIN: some 10 MB. Beyond it the oldest is forgotten."""

log = structlog.get_logger(__name__)


class Place(NamedTuple):
    """Where PINs come from: "ussd" and the gateway's name, "web" and the network address."""

    channel: str
    name: str


_FROM: ContextVar[Place | None] = ContextVar("pins_asked_from", default=None)


@contextmanager
def asked_from(channel: str, name: str = "") -> Iterator[None]:
    """PINs that are checked within come from this place."""
    token = _FROM.set(Place(channel, name))
    try:
        yield
    finally:
        _FROM.reset(token)


def place() -> Place | None:
    """The place named by the innermost `asked_from`, None outside of any."""
    return _FROM.get()


class _Count:
    """What came within one minute."""

    __slots__ = ("minute", "wrong", "right", "slow", "on_until")

    def __init__(self) -> None:
        self.minute = self.wrong = self.right = self.slow = self.on_until = 0


class PinBrake:
    """For the event loop's thread only.

    Attributes:
        wrong_by_channel: wrong PINs since the start.
        refused: PINs that were not looked at.
    """

    def __init__(self, clock: Clock) -> None:
        self.wrong_by_channel: dict[str, int] = {}
        self.refused = 0
        self._clock = clock
        self._counts: OrderedDict[Place, _Count] = OrderedDict()
        self._right: OrderedDict[Hashable, None] = OrderedDict()

    @property
    def places_on(self) -> int:
        """Places and channels whose brake is on now."""
        now = self._clock.monotonic_ns()
        return sum(count.on_until > now for count in self._counts.values())

    def holds(self, place: Place, subject: int) -> bool:
        """Whether `subject`'s PIN from there is to be looked at with care: see `pins._begin_attempt`. TooMany when not at all for now."""
        now = self._clock.monotonic_ns()
        on = [count for each in _levels(place) if (count := self._counts.get(each)) is not None and count.on_until > now]
        if not on or (place, subject) in self._right:
            return False
        for count in on:
            self._in_this_minute(count, now)
            if count.slow >= SLOW_PER_MINUTE:
                raise self.refusal()
        for count in on:
            count.slow += 1
        return True

    def not_looked_at(self, place: Place) -> None:
        """A PIN that `holds` let through was refused unseen: another's is looked at instead. So nobody uses up what is for all."""
        for each in _levels(place):
            if (count := self._counts.get(each)) is not None and count.slow:
                count.slow -= 1

    def refusal(self) -> TooMany:
        """What is to be raised for a PIN that is not looked at; it is counted."""
        self.refused += 1
        return TooMany(retry_after_s=60)

    def was_right(self, place: Place, subject: int) -> None:
        """Who has given a right PIN from there is not held up there."""
        for each in _levels(place):
            self._count(each).right += 1
        self._right[place, subject] = None
        self._right.move_to_end((place, subject))
        if len(self._right) > RIGHT_MAX:
            self._right.popitem(last=False)

    def was_wrong(self, place: Place) -> None:
        """Counts, and puts the brake on, or keeps it on, where it was one too many."""
        self.wrong_by_channel[place.channel] = self.wrong_by_channel.get(place.channel, 0) + 1
        now = self._clock.monotonic_ns()
        for each, limit in zip(_levels(place), (WRONG_PER_PLACE, WRONG_PER_CHANNEL), strict=True):
            count = self._count(each)
            count.wrong += 1
            if count.wrong > limit and count.wrong * RIGHT_FOR_WRONG > count.right:
                if count.on_until <= now:
                    log.warning("pins_guessed", channel=each.channel, place=each.name, wrong=count.wrong, right=count.right)
                count.on_until = now + BRAKE_S * NANOSECONDS

    def _count(self, place: Place) -> _Count:
        count = self._counts.get(place)
        if count is None:
            count = self._counts[place] = _Count()
        self._counts.move_to_end(place)
        if len(self._counts) > PLACES_MAX:
            self._counts.popitem(last=False)
        self._in_this_minute(count, self._clock.monotonic_ns())
        return count

    @staticmethod
    def _in_this_minute(count: _Count, now: int) -> None:
        minute = now // (60 * NANOSECONDS)
        if count.minute != minute:
            count.minute, count.wrong, count.right, count.slow = minute, 0, 0, 0


def _levels(place: Place) -> tuple[Place, Place]:
    """The place itself and all of its channel, which has no name of its own."""
    return place, Place(place.channel, "*")
