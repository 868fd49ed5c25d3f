"""One fill at a pump, from the wish to the last drop. Pure: a state, what is reported, and the state after it.

    idle ── authorised ──> authorised ── started ──> dispensing ── done ──> done
     │                       │    └──────── silent ──────┴──> timed_out ── done ──┘
     └────── aborted ────────┴──> aborted

Volumes are whole millilitres, prices minor units per litre. What ran is the difference of two readings of the pump's totaliser,
a counter that nobody can set back: one before the permission, one after the nozzle is back. A pump that fell silent is neither
done nor aborted; what it gave is unknown until its totaliser has been read.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from counterfoil.errors import FillContradicted, FillOutOfOrder, Malformed
from counterfoil.money import AMOUNT_MAX

PRICE_MAX: Final = 10**9
"""Minor units per litre."""
MILLILITRES_MAX: Final = 10**7
"""Of one fill: ten cubic metres."""
TOTALISER_MAX: Final = 10**15


class State(enum.StrEnum):
    IDLE = "idle"
    """Asked for; nothing may run."""
    AUTHORISED = "authorised"
    """The pump may start."""
    DISPENSING = "dispensing"
    TIMED_OUT = "timed_out"
    """It may have started, and has not said what it gave."""
    DONE = "done"
    ABORTED = "aborted"
    """Nothing ran, and nothing will."""


class Event(enum.StrEnum):
    """What is reported of a fill."""

    AUTHORISED = "authorised"
    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    ABORTED = "aborted"
    SILENT = "silent"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One report. `millilitres` of progress and done; `totaliser`, in millilitres, of done, and of aborted after a permission."""

    event: Event
    millilitres: int | None = None
    totaliser: int | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as the pump knows it.

    Attributes:
        price: minor units per litre, for all of it.
        limit: minor units that are set aside at most.
        before: the totaliser, in millilitres, before anything could run.
        millilitres: what ran so far, as it was told.
    """

    price: int
    limit: int
    before: int
    state: State = State.IDLE
    millilitres: int = 0

    @property
    def is_over(self) -> bool:
        return self.state in (State.DONE, State.ABORTED)

    @property
    def charge(self) -> int:
        """Minor units that the fill costs its payer: never above the limit, also where a pump did not stop in time."""
        return min(cost(self.millilitres, self.price), self.limit) if self.state is State.DONE else 0


def cost(millilitres: int, price: int) -> int:
    """Minor units for a volume, at `price` per litre; half a minor unit counts as a whole one."""
    return (millilitres * price + 500) // 1000


def volume_limit(limit: int, price: int) -> int:
    """Millilitres at which the pump has to stop: the most that costs no more than `limit`, and that one fill may be."""
    return min((limit * 1000 + 499) // price, MILLILITRES_MAX)


def begun(*, price: int, limit: int, before: int) -> Run:
    """A fill that is asked for. Malformed, naming the field, where it could never be charged right."""
    _within(price, "price", 1, PRICE_MAX)
    _within(limit, "amount", 1, AMOUNT_MAX)
    _within(before, "totaliser", 0, TOTALISER_MAX)
    if volume_limit(limit, price) == 0:
        raise Malformed("amount", "buys not even a millilitre")
    return Run(price=price, limit=limit, before=before)


def step(fill: Run, report: Report) -> Run:
    """The fill after a report. What was reported last may come again, and changes nothing.

    FillOutOfOrder: it cannot follow what was reported before. FillContradicted: it tells another volume than the totaliser, or
    than the report before. Malformed: a reading is missing, or none that a pump can have.
    """
    _check(report)
    event, state = report.event, fill.state
    if event is Event.AUTHORISED and state in (State.IDLE, State.AUTHORISED):
        return _moved(fill, State.AUTHORISED)
    if event is Event.STARTED and state in (State.AUTHORISED, State.DISPENSING):
        return _moved(fill, State.DISPENSING)
    if event is Event.PROGRESS and state is State.DISPENSING:
        return _run(fill, report, State.DISPENSING)
    if event is Event.SILENT and state in (State.AUTHORISED, State.DISPENSING, State.TIMED_OUT):
        return _moved(fill, State.TIMED_OUT)
    if event is Event.DONE and state in (State.DISPENSING, State.TIMED_OUT, State.DONE):
        return _run(fill, report, State.DONE)
    if event is Event.ABORTED and state in (State.IDLE, State.AUTHORISED, State.ABORTED):
        if state is State.AUTHORISED and report.totaliser is None:
            raise Malformed("totaliser", "is needed: the pump was allowed to start")
        if report.totaliser is not None and report.totaliser != fill.before:
            raise FillContradicted
        return _moved(fill, State.ABORTED)
    raise FillOutOfOrder(state=state)


def ran_by(fill: Run, totaliser: int) -> int:
    """Millilitres that ran, where somebody reads this from the pump. FillContradicted, Malformed: no pump of this fill shows that."""
    ran = totaliser - fill.before
    if ran < fill.millilitres:
        raise FillContradicted
    _within(totaliser, "totaliser", fill.before, fill.before + MILLILITRES_MAX)
    return ran


def _run(fill: Run, report: Report, state: State) -> Run:
    millilitres = report.millilitres
    assert millilitres is not None, report
    if millilitres < fill.millilitres or (fill.is_over and millilitres != fill.millilitres):
        raise FillContradicted
    if report.totaliser is not None and report.totaliser - fill.before != millilitres:
        raise FillContradicted
    return msgspec.structs.replace(fill, state=state, millilitres=millilitres)


def _moved(fill: Run, state: State) -> Run:
    return msgspec.structs.replace(fill, state=state)


def _check(report: Report) -> None:
    if report.event in (Event.PROGRESS, Event.DONE):
        if report.millilitres is None:
            raise Malformed("millilitres", "is needed")
        _within(report.millilitres, "millilitres", 0, MILLILITRES_MAX)
    if report.event is Event.DONE and report.totaliser is None:
        raise Malformed("totaliser", "is needed")
    if report.totaliser is not None:
        _within(report.totaliser, "totaliser", 0, TOTALISER_MAX + MILLILITRES_MAX)


def _within(value: int, field: str, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Malformed(field, f"must be {least} to {most}")
