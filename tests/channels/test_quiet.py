"""When people are left alone: hours by their own clocks, weeks from Monday, and no more texts in one than the rules say."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.quiet import WEEKS_MAX, QuietRules, after_quiet, is_quiet, week_of, when

NS = 1_000_000_000
ZONES = (
    "UTC",
    "Africa/Nairobi",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Pacific/Apia",
    "America/St_Johns",
)
"""Among them clocks that change at midnight, by half an hour, and by a whole day."""

hours = st.integers(0, 23)
rules = st.builds(QuietRules, zone=st.sampled_from(ZONES).map(ZoneInfo), quiet_from=hours, quiet_until=hours, per_week=st.integers(0, 5))
moments = st.integers(1_000_000_000 * NS, 1_900_000_000 * NS)


def at(text: str, zone: str = "Africa/Nairobi", *, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * NS


def nairobi(**changes: int) -> QuietRules:
    return QuietRules(zone=ZoneInfo("Africa/Nairobi"), **changes)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-22T20:59:59", "2026-11-22T20:59:59"),
        ("2026-11-22T21:00:00", "2026-11-23T07:00:00"),
        ("2026-11-23T06:59:59", "2026-11-23T07:00:00"),
        ("2026-11-23T07:00:00", "2026-11-23T07:00:00"),
    ],
)
def test_what_comes_at_night_waits_until_morning(now: str, until: str) -> None:
    assert after_quiet(at(now), nairobi()) == at(until)


def test_quiet_hours_may_lie_within_a_day_or_not_be_at_all() -> None:
    siesta = nairobi(quiet_from=12, quiet_until=15)
    assert after_quiet(at("2026-11-23T12:30:00"), siesta) == at("2026-11-23T15:00:00")
    assert not is_quiet(at("2026-11-23T23:30:00"), siesta)
    assert not any(is_quiet(at(f"2026-11-23T{hour:02}:00:00"), nairobi(quiet_from=9, quiet_until=9)) for hour in range(24))


def test_the_hour_that_a_clock_skips_or_shows_twice() -> None:
    paris = QuietRules(zone=ZoneInfo("Europe/Paris"), quiet_from=22, quiet_until=2)
    # 2026-03-29: 02:00 becomes 03:00; 2026-10-25: 03:00 becomes 02:00.
    assert after_quiet(at("2026-03-29T01:30:00", "Europe/Paris"), paris) == at("2026-03-29T03:00:00", "Europe/Paris")
    late = QuietRules(zone=ZoneInfo("Europe/Paris"), quiet_from=22, quiet_until=3)
    first = at("2026-10-25T02:30:00", "Europe/Paris")
    assert after_quiet(first, late) - first == 5_400 * NS
    assert is_quiet(at("2026-10-25T02:30:00", "Europe/Paris", fold=1), late)


@given(now=moments, rules=rules)
def test_quiet_ends_at_the_first_moment_that_is_not_quiet(now: int, rules: QuietRules) -> None:
    end = after_quiet(now, rules)
    assert end >= now
    assert not is_quiet(end, rules)
    assert end == now or end - now <= 49 * 3600 * NS
    step = 600 * NS
    assert all(is_quiet(moment, rules) for moment in range(now, end, step))


@given(now=moments, zone=st.sampled_from(ZONES).map(ZoneInfo))
def test_a_week_begins_on_monday_and_the_next_one_where_it_ends(now: int, zone: ZoneInfo) -> None:
    start, end = week_of(now, zone)
    assert start <= now < end
    assert week_of(end, zone)[0] == end
    assert week_of(end - NS, zone) == (start, end)
    first = datetime.fromtimestamp(start // NS, zone)
    assert first.weekday() == 0
    assert timedelta(days=6) <= timedelta(seconds=(end - start) // NS) <= timedelta(days=7, hours=2)


@given(start=moments, pauses=st.lists(st.integers(0, 3 * 86_400), max_size=25), rules=rules)
def test_whoever_is_written_to_is_never_woken_and_never_gets_more_than_a_week_has(start: int, pauses: list[int], rules: QuietRules) -> None:
    now, given_out = start, list[int]()
    for pause in pauses:
        now += pause * NS
        moment = when(now, given_out, rules)
        if moment is None:
            assert rules.per_week * WEEKS_MAX <= len(given_out)
            continue
        assert moment >= now
        assert not is_quiet(moment, rules)
        given_out.append(moment)
    for moment in given_out:
        first, last = week_of(moment, rules.zone)
        assert sum(first <= each < last for each in given_out) <= rules.per_week


def test_beyond_the_limit_the_next_monday_morning_and_beyond_four_weeks_never() -> None:
    now, taken = at("2026-11-25T10:00:00"), list[int]()
    for _ in range(3 * WEEKS_MAX):
        moment = when(now, taken, nairobi())
        assert moment is not None
        taken.append(moment)
    assert taken[:3] == [now] * 3
    assert taken[3] == at("2026-11-30T07:00:00")
    assert when(now, taken, nairobi()) is None
    assert when(now, (), nairobi(per_week=0)) is None


def test_a_text_of_next_mondays_first_moment_is_not_this_weeks() -> None:
    rules = nairobi(per_week=1, quiet_from=0, quiet_until=0)
    now, monday = at("2026-11-25T10:00:00"), at("2026-11-30T00:00:00")
    assert when(now, [monday], rules) == now
    assert when(monday, [monday - 1], rules) == monday
