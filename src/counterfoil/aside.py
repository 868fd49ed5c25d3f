"""Pure computing for many callers, on a thread beside the event loop.

Checking or making a signature keeps libsodium busy for a tenth of a millisecond, in which it needs nothing of the interpreter: the
loop can go on meanwhile, on another core. A hand-over costs as much as it gains, so whatever is asked for in one turn of the
loop goes over together, and what comes alone is done at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, TypeVarTuple

R = TypeVar("R")
A = TypeVarTuple("A")

TOGETHER_MIN: Final = 3
"""Calls in one turn of the loop from which on a hand-over gains something."""
PIECE: Final = 64
"""Calls after which the thread tells what it has: whoever asked first need not wait for the last."""
UNDER_WAY_MAX: Final = 128
"""Calls that the thread may have before it; the loop does what is above itself, so both end at the same time."""

_Asked = tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]
_Outcome = tuple[Any, Exception | None]


class Aside:
    """One thread beside one event loop. It does what the caller would have done: the same result, or the same exception.

    `cores`: that this process may use; with one, nothing is handed over.
    """

    def __init__(self, *, cores: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if cores is None else cores
        self._thread = ThreadPoolExecutor(1, "aside") if cores > 1 else None
        self._asked: list[_Asked] = []
        self._under_way = 0

    def run(self, call: Callable[[*A], R], *arguments: *A) -> asyncio.Future[R]:
        """The result of `call`, which computes without waiting, and touches nothing that others change."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._hand_over, loop)
        self._asked.append((call, arguments, future))
        return future

    def close(self) -> None:
        """Returns when the thread has ended. What is asked afterwards is done by the loop. Safe to repeat."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._asked = self._asked, []
        if self._thread is not None and len(asked) >= TOGETHER_MIN:
            room = UNDER_WAY_MAX - self._under_way
            given, asked = asked[:room], asked[room:]
            self._under_way += len(given)
            for at in range(0, len(given), PIECE):
                self._thread.submit(self._do, loop, given[at : at + PIECE])
        _answer(asked, _outcomes(asked))

    def _do(self, loop: asyncio.AbstractEventLoop, piece: list[_Asked]) -> None:
        """On the thread."""
        loop.call_soon_threadsafe(self._done, piece, _outcomes(piece))

    def _done(self, piece: list[_Asked], outcomes: list[_Outcome]) -> None:
        self._under_way -= len(piece)
        _answer(piece, outcomes)


def _outcomes(asked: Sequence[_Asked]) -> list[_Outcome]:
    outcomes = list[_Outcome]()
    for call, arguments, _ in asked:
        try:
            outcomes.append((call(*arguments), None))
        except Exception as error:  # the caller's to hear
            outcomes.append((None, error))
    return outcomes


def _answer(asked: Sequence[_Asked], outcomes: Sequence[_Outcome]) -> None:
    for (_, _, future), (result, error) in zip(asked, outcomes, strict=True):
        if future.done():
            continue  # its caller gave up waiting
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
