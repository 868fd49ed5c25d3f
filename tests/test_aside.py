"""Computing beside the event loop: the same results and the same errors, wherever it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from counterfoil.aside import PIECE, TOGETHER_MIN, UNDER_WAY_MAX, Aside


@pytest.fixture(params=[1, 2], ids=["one core", "two cores"])
async def aside(request: pytest.FixtureRequest) -> AsyncIterator[Aside]:
    aside = Aside(cores=request.param)
    yield aside
    aside.close()


def halve(number: int) -> int:
    if number % 2:
        raise ValueError(number)
    return number // 2


@pytest.mark.parametrize("count", [1, TOGETHER_MIN, PIECE + 1, UNDER_WAY_MAX + TOGETHER_MIN, 1_000])
async def test_each_caller_gets_its_own_result_or_error(aside: Aside, count: int) -> None:
    found = await asyncio.gather(*(aside.run(halve, number) for number in range(count)), return_exceptions=True)
    assert [each if isinstance(each, int) else each.args for each in found] == [
        number // 2 if number % 2 == 0 else (number,) for number in range(count)
    ]


async def test_what_is_asked_together_is_done_beside_the_loop_and_what_comes_alone_on_it() -> None:
    aside = Aside(cores=2)
    here = threading.get_ident()
    assert await aside.run(threading.get_ident) == here
    together = await asyncio.gather(*(aside.run(threading.get_ident) for _ in range(TOGETHER_MIN)))
    assert here not in together
    assert len(set(together)) == 1
    aside.close()


async def test_the_loop_goes_on_meanwhile() -> None:
    aside = Aside(cores=2)
    go_on = threading.Event()
    waiting = [aside.run(go_on.wait) for _ in range(TOGETHER_MIN)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    go_on.set()
    assert await asyncio.gather(*waiting) == [True] * TOGETHER_MIN
    aside.close()


async def test_the_loop_does_what_would_be_too_much_for_the_thread() -> None:
    aside = Aside(cores=2)
    found = await asyncio.gather(*(aside.run(threading.get_ident) for _ in range(UNDER_WAY_MAX + 5)))
    assert found.count(threading.get_ident()) == 5
    again = await asyncio.gather(*(aside.run(threading.get_ident) for _ in range(UNDER_WAY_MAX)))
    assert threading.get_ident() not in again  # there is room again
    aside.close()


async def test_who_gives_up_waiting_disturbs_nobody(aside: Aside) -> None:
    waiting = [aside.run(halve, 2 * number) for number in range(10)]
    waiting[3].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found.pop(3), asyncio.CancelledError)
    assert found == [0, 1, 2, 4, 5, 6, 7, 8, 9]


async def test_after_the_end_the_loop_does_it(aside: Aside) -> None:
    waiting = [aside.run(halve, 4) for _ in range(10)]
    await asyncio.sleep(0)
    aside.close()
    aside.close()
    assert await asyncio.gather(*waiting, aside.run(halve, 8)) == [2] * 10 + [4]
