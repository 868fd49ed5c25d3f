"""Tax contained in prices: rounded once for each rate of a sale, and exact in every sum."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.tax import RATE_MAX, Rated, Shelved, by_rate, by_shelf, left_of, shares, spread, tax_in
from counterfoil.acceptance.types import Back, Line

RATES = st.integers(0, RATE_MAX)
LINES = st.lists(
    st.builds(
        Line,
        st.just("x"),
        st.integers(0, 10**9),
        st.integers(1, 99),
        department=st.sampled_from([None, "", "Food", "Shoes"]),
        tax=st.sampled_from([None, 0, 550, 1600, RATE_MAX]),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize(
    ("gross", "rate", "tax"),
    [
        (0, 1600, 0), (1, 1600, 0), (116, 1600, 16), (11_600, 1600, 1_600), (1_000, 0, 0),
        (3, 10_000 // 2, 1),
        (100, 550, 5),
        (105, 500, 5), (52, 500, 2), (53, 500, 3),
        (25, 2_500, 5),
        (1, RATE_MAX, 0), (2, RATE_MAX, 1),
    ],
)  # fmt: skip
def test_tax_is_contained_and_rounded_half_up(gross: int, rate: int, tax: int) -> None:
    assert tax_in(gross, rate) == tax


@given(st.integers(0, 2**63 - 1), RATES)
def test_tax_is_what_exact_arithmetic_rounds_to(gross: int, rate: int) -> None:
    exact = Decimal(gross) * rate / (10_000 + rate) if gross < 10**12 else None
    if exact is not None:
        assert tax_in(gross, rate) == exact.quantize(Decimal(1), ROUND_HALF_UP)
    assert 0 <= tax_in(gross, rate) <= gross


def test_half_a_unit_is_rounded_up() -> None:
    assert tax_in(21, 2_000) == 4  # 3.5 exactly
    assert tax_in(9, 2_000) == 2  # 1.5 exactly


@given(LINES, st.integers(0, 10**12), st.integers(0, 10**12))
def test_every_sum_is_exact_whatever_was_taken_and_given_back(lines: list[Line], taken: int, back: int) -> None:
    total = sum(line.price * line.quantity for line in lines)
    taken = min(taken, total)
    left = left_of(lines, taken, min(back, taken))
    assert sum(left) == taken - min(back, taken)
    assert all(0 <= part <= share for part, share in zip(left, shares(lines, taken), strict=True))
    rates, shelves = by_rate(lines, left), by_shelf(lines, left)
    assert sum(part.gross for part in rates) == sum(left)
    assert all(part.net + part.tax == part.gross for part in rates)
    for part in rates:
        same = [each for each in shelves if each.rate == part.rate]
        assert (sum(each.gross for each in same), sum(each.tax for each in same)) == (part.gross, part.tax)
        assert all(0 <= each.tax <= each.gross for each in same)
    assert len({(each.department, each.rate) for each in shelves}) == len(shelves)


@given(LINES, st.data())
def test_named_lines_lose_what_they_cost_and_the_rest_is_spread(lines: list[Line], data: st.DataObject) -> None:
    total = sum(line.price * line.quantity for line in lines)
    named = [Back(number, data.draw(st.integers(0, line.quantity))) for number, line in enumerate(lines)]
    by_line = sum(lines[each.line].price * each.quantity for each in named)
    back = data.draw(st.integers(by_line, total))
    left = left_of(lines, total, back, named)
    assert sum(left) == total - back
    for each, line, part in zip(named, lines, left, strict=True):
        assert 0 <= part <= line.price * (line.quantity - each.quantity)
    if back == by_line:
        assert left == [line.price * (line.quantity - each.quantity) for each, line in zip(named, lines, strict=True)]


@given(LINES)
def test_what_was_given_back_whole_leaves_no_tax(lines: list[Line]) -> None:
    total = sum(line.price * line.quantity for line in lines)
    assert by_rate(lines, left_of(lines, total, total)) == []


def test_lines_of_one_rate_are_rounded_together_and_rates_apart() -> None:
    lines = [Line("a", 9, 1, tax=2_000, department="Food"), Line("b", 9, 1, tax=2_000), Line("c", 9, 1, tax=500)]
    assert by_rate(lines, [9, 9, 9]) == [Rated(2_000, 18, 3), Rated(500, 9, 0)]
    assert by_shelf(lines, [9, 9, 9]) == [Shelved("Food", 2_000, 9, 1), Shelved("", 2_000, 9, 2), Shelved("", 500, 9, 0)]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.integers(0, 10**10))
def test_what_is_spread_is_all_there(weights: list[int], amount: int) -> None:
    if not any(weights):
        amount = 0
    parts = spread(weights, amount)
    assert sum(parts) == amount
    if amount <= sum(weights):
        assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
