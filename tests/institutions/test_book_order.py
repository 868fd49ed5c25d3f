"""The order of a day's lines: found when there is one, refused when there is none, beside brute force."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.institutions.book import order as order_module
from counterfoil.institutions.book.order import find_orders, out_of_date_order
from counterfoil.institutions.book.types import Line

MakeLines = Callable[[Sequence[tuple[int, int, int]]], list[Line]]


def lines_from(rows: Sequence[tuple[int, int]]) -> list[Line]:
    return [Line(number, 1, amount, balance, 0, number.to_bytes(10)) for number, (amount, balance) in enumerate(rows, start=2)]


def follow(start: int, amounts: Sequence[int], noise: Sequence[int]) -> list[tuple[int, int]]:
    """What an old system would have written, rounding by `noise`."""
    rows, balance = [], start
    for amount, rounding in zip(amounts, noise, strict=True):
        balance += amount + rounding
        rows.append((amount, balance))
    return rows


def check_fits(day: Sequence[Line], start: int, tolerance: int, order: Sequence[int]) -> tuple[int, int]:
    """Fails unless `order` uses each line once and each step is within the tolerance. Returns (roundings, their sizes)."""
    assert sorted(order) == list(range(len(day)))
    balance, roundings, size = start, 0, 0
    for index in order:
        difference = abs(balance + day[index].amount - day[index].balance)
        assert difference <= tolerance
        roundings, size = roundings + (difference > 0), size + difference
        balance = day[index].balance
    return roundings, size


def cheapest_by_brute_force(day: Sequence[Line], start: int, tolerance: int) -> tuple[int, int] | None:
    costs = []
    for candidate in permutations(range(len(day))):
        try:
            costs.append(check_fits(day, start, tolerance, candidate))
        except AssertionError:
            continue
    return min(costs, default=None)


AMOUNTS = st.lists(st.integers(-5, 5).map(lambda n: n * 100) | st.integers(-99_999, 99_999), min_size=1, max_size=40)


@given(start=st.integers(-1000, 10_000), amounts=AMOUNTS, seed=st.integers(0, 2**32))
def test_a_shuffled_day_gets_an_exact_order(start: int, amounts: list[int], seed: int) -> None:
    rows = follow(start, amounts, [0] * len(amounts))
    random.Random(seed).shuffle(rows)
    day = lines_from(rows)
    found = find_orders(day, start, 10)
    assert check_fits(day, start, 0, found.endings[0].order) == (0, 0)
    assert found.endings[0].balance == start + sum(amounts)


@given(
    start=st.integers(-1000, 10_000),
    steps=st.lists(
        st.tuples(st.integers(-3, 3).map(lambda n: n * 100) | st.integers(-9999, 9999), st.sampled_from([0, 0, -10, 10, 3])),
        min_size=1,
        max_size=12,
    ),
    seed=st.integers(0, 2**32),
)
def test_a_shuffled_day_with_rounding_gets_an_order_within_the_tolerance(start: int, steps: list[tuple[int, int]], seed: int) -> None:
    rows = follow(start, [amount for amount, _ in steps], [noise for _, noise in steps])
    random.Random(seed).shuffle(rows)
    day = lines_from(rows)
    found = find_orders(day, start, 10)
    roundings, size = check_fits(day, start, 10, found.endings[0].order)
    assert (roundings, size) == found.endings[0].cost
    assert roundings <= sum(noise != 0 for _, noise in steps)  # never more than the old system made


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3).map(lambda n: n * 10), st.integers(-3, 3).map(lambda n: n * 5)), min_size=1, max_size=6),
    start=st.integers(-2, 2).map(lambda n: n * 5),
    tolerance=st.sampled_from([0, 5, 10]),
)
def test_the_answer_is_that_of_brute_force(rows: list[tuple[int, int]], start: int, tolerance: int) -> None:
    """Small round numbers, so that many orders nearly fit: the search finds the cheapest, and refuses only the impossible."""
    day = lines_from(rows)
    cheapest = cheapest_by_brute_force(day, start, tolerance)
    found = find_orders(day, start, tolerance)
    assert found.complete
    if cheapest is None:
        assert found.endings == ()
    else:
        assert check_fits(day, start, tolerance, found.endings[0].order) == cheapest


def test_the_order_of_the_file_is_kept_when_it_fits() -> None:
    day = lines_from([(100, 100), (-100, 0), (100, 100), (-100, 0)])
    assert find_orders(day, 0, 0).endings[0].order == (0, 1, 2, 3)


def test_an_impossible_day_says_how_far_it_came(make_lines: MakeLines) -> None:
    day = make_lines([(0, -50, 170), (0, 100, 200), (0, 20, 220)])  # 100, +100 = 200, +20 = 220, -50 should be 170: fits
    assert find_orders(day, 100, 0).endings[0].order == (1, 2, 0)
    day = make_lines([(0, -50, 171), (0, 100, 200), (0, 20, 220)])
    found = find_orders(day, 100, 0)
    assert found.endings == ()
    assert found.complete
    assert found.furthest == (1, 2)


def test_a_day_of_ten_thousand_lines_is_put_in_order() -> None:
    randomness = random.Random(5)
    amounts = [randomness.choice([-500, -100, 100, 500, 2000, randomness.randrange(-9000, 9000)]) for _ in range(10_000)]
    rows = follow(7, amounts, [0] * len(amounts))
    randomness.shuffle(rows)
    day = lines_from(rows)
    assert check_fits(day, 7, 0, find_orders(day, 7, 10).endings[0].order) == (0, 0)


def test_a_long_day_with_rounding_is_put_in_order_beyond_the_bound_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_module, "STATES_MAX", 50)
    randomness = random.Random(6)
    amounts = [randomness.choice([-10_000, 10_000]) for _ in range(300)] + [777]
    rows = follow(0, amounts, [0] * 300 + [10])
    randomness.shuffle(rows)
    day = lines_from(rows)
    found = find_orders(day, 0, 10)
    assert not found.complete  # found all the same, but perhaps not the cheapest
    assert check_fits(day, 0, 10, found.endings[0].order) == (1, 10)


def test_lines_that_hang_together_but_do_not_begin_at_the_start_are_no_order() -> None:
    """Each balance is reached and left, yet whoever leaves 1 for 2 cannot come back for the line from 1 to 0."""
    assert find_orders(lines_from([(1, 1), (-1, 0), (1, 2)]), 0, 0).endings == ()


def test_a_group_of_balances_wider_than_the_tolerance_is_not_taken_for_one() -> None:
    day = lines_from([(484, 500), (-492, 8)])  # 0 and 16 are each within 10 of 8, not of each other
    assert order_module._grouped_trail(day, 0, 10) is None
    assert order_module._grouped_trail(day, 0, 16) is not None


def test_lines_that_say_the_same_do_not_make_the_search_explode() -> None:
    rows = [(100, 100), (-100, 0)] * 20 + [(5, 6)]
    random.Random(7).shuffle(rows)
    day = lines_from(rows)
    found = find_orders(day, 0, 1)
    assert found.complete
    assert check_fits(day, 0, 1, found.endings[0].order) == (1, 1)


def test_the_search_says_when_it_stopped_at_its_bound() -> None:
    """Thirty independent rounds of one coin each through the same balance, and one line that fits nowhere."""
    rows = [row for coin in range(1, 31) for row in ((coin, 1000 + coin), (-coin, 1000))] + [(1, 5)]
    found = find_orders(lines_from(rows), 1000, 0)
    assert found.endings == ()
    assert not found.complete


@given(moments=st.lists(st.integers(0, 1000), min_size=3, max_size=60, unique=True).map(sorted), data=st.data())
def test_a_single_line_out_of_date_order_is_named(moments: list[int], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(moments) - 1))
    moved = data.draw(st.integers(0, 1000))
    changed = [*moments[:index], moved, *moments[index + 1 :]]
    suspects = out_of_date_order(changed)
    if changed == sorted(changed):
        assert suspects == []
    else:
        assert index in suspects
        assert len(suspects) <= 2


def test_a_file_in_date_order_has_no_suspects() -> None:
    assert out_of_date_order([1, 1, 2, 5, 5, 9]) == []
    assert out_of_date_order([]) == []
