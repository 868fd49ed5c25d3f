"""What a stay costs: examples by hand, and laws for any tariff."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.parking.tariff import DAY_MINUTES, Band, Tariff, check, fee, whole_minutes
from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX

MINUTE = 60 * 10**9
ENTRY = 1_795_000_000 * 10**9
TOWN = Tariff(free_minutes=10, bands=(Band(60, 200), Band(30, 50)), day_cap=1_000, lost_ticket=1_500)

tariffs = st.builds(
    Tariff,
    free_minutes=st.integers(0, DAY_MINUTES),
    bands=st.lists(st.builds(Band, st.integers(1, DAY_MINUTES), st.integers(0, 10_000)), min_size=1, max_size=6).map(tuple),
    day_cap=st.none() | st.integers(0, 20_000),
    lost_ticket=st.integers(0, 10_000),
)
minutes = st.integers(0, 5 * DAY_MINUTES)


def cost(tariff: Tariff, after: int, *, seconds: int = 0) -> int:
    return fee(tariff, ENTRY, ENTRY + after * MINUTE + seconds * 10**9)


@pytest.mark.parametrize(
    ("after", "price"),
    [
        (0, 0), (10, 0), (11, 200), (60, 200), (61, 250), (90, 250), (91, 300), (120, 300),
        (60 + 16 * 30, 1_000), (60 + 17 * 30, 1_000), (DAY_MINUTES, 1_000),
        (DAY_MINUTES + 1, 1_200), (DAY_MINUTES + 60, 1_200), (DAY_MINUTES + 61, 1_250), (2 * DAY_MINUTES + 5, 2_200),
    ],
)  # fmt: skip
def test_a_town_s_tariff(after: int, price: int) -> None:
    assert cost(TOWN, after) == price


def test_seconds_do_not_count_and_a_clock_that_went_back_costs_nothing() -> None:
    assert cost(TOWN, 60, seconds=59) == 200
    assert (cost(TOWN, -5), whole_minutes(ENTRY, ENTRY - MINUTE)) == (0, 0)


@given(tariffs, minutes, minutes)
def test_it_never_falls_with_time(tariff: Tariff, one: int, other: int) -> None:
    assert cost(tariff, min(one, other)) <= cost(tariff, max(one, other))


@given(tariffs, minutes)
def test_it_is_free_for_the_free_minutes_and_never_above_the_caps_of_the_days_that_began(tariff: Tariff, after: int) -> None:
    if after <= tariff.free_minutes:
        assert cost(tariff, after) == 0
    if tariff.day_cap is not None:
        assert cost(tariff, after) <= -(-after // DAY_MINUTES) * tariff.day_cap


@given(tariffs, minutes)
def test_it_is_what_counting_minute_by_minute_says(tariff: Tariff, after: int) -> None:
    if after <= tariff.free_minutes:
        return
    total = day = left = 0
    following = iter(tariff.bands)
    for minute in range(after):
        if minute % DAY_MINUTES == 0:
            total, day, left, following = total + day, 0, 0, iter(tariff.bands)
        if left == 0:
            band = next(following, tariff.bands[-1])
            left = band.minutes
            day += band.price
            day = day if tariff.day_cap is None else min(day, tariff.day_cap)
        left -= 1
    assert cost(tariff, after) == total + day


def test_years_at_a_price_that_nobody_has_do_not_overflow() -> None:
    dear = Tariff(bands=(Band(1, AMOUNT_MAX),))
    check(dear)
    assert cost(dear, 10 * 365 * DAY_MINUTES) == AMOUNT_MAX


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"free_minutes": -1}, "tariff.free_minutes"),
        ({"free_minutes": DAY_MINUTES + 1}, "tariff.free_minutes"),
        ({"bands": ()}, "tariff.bands"),
        ({"bands": (Band(1, 1),) * 25}, "tariff.bands"),
        ({"bands": (Band(60, 1), Band(0, 1))}, "tariff.bands[1].minutes"),
        ({"bands": (Band(60, -1),)}, "tariff.bands[0].price"),
        ({"bands": (Band(60, AMOUNT_MAX + 1),)}, "tariff.bands[0].price"),
        ({"day_cap": -1}, "tariff.day_cap"),
        ({"lost_ticket": -1}, "tariff.lost_ticket"),
    ],
)
def test_what_is_no_tariff_is_refused_by_field(changes: dict[str, object], field: str) -> None:
    check(TOWN)
    with pytest.raises(Malformed) as refused:
        check(msgspec.structs.replace(TOWN, **changes))
    assert refused.value.facts["field"] == field
