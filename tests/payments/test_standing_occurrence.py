"""When a standing order is due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.payments.forms import Every
from counterfoil.payments.standing import occurrence


def ns(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000_000  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("first", "every", "number", "due"),
    [
        (ns(2026, 1, 31, 9), Every.MONTH, 1, ns(2026, 2, 28, 9)),
        (ns(2026, 1, 31, 9), Every.MONTH, 2, ns(2026, 3, 31, 9)),
        (ns(2027, 12, 31, 9), Every.MONTH, 2, ns(2028, 2, 29, 9)),
        (ns(2026, 11, 30, 23), Every.MONTH, 14, ns(2028, 1, 30, 23)),
        (ns(2026, 12, 29), Every.WEEK, 1, ns(2027, 1, 5)),
        (ns(2028, 2, 28), Every.DAY, 2, ns(2028, 3, 1)),
    ],
)
def test_the_calendar_is_kept(first: int, every: Every, number: int, due: int) -> None:
    assert occurrence(first, every, number) == due


@given(st.integers(ns(1970, 1, 2), ns(2200, 1, 1)), st.sampled_from(Every), st.integers(0, 400))
def test_occurrences_rise_and_keep_the_time_of_day(first: int, every: Every, number: int) -> None:
    this, following = occurrence(first, every, number), occurrence(first, every, number + 1)
    assert this < following
    assert this % 86_400_000_000_000 == first % 86_400_000_000_000
    assert occurrence(first, every, 0) == first
