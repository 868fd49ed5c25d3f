"""One fill, in every order of reports that there is: what it costs, what it can never cost, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.fuel.pump import MILLILITRES_MAX, PRICE_MAX, Event, Report, Run, State, begun, cost, step, volume_limit
from counterfoil.errors import FillContradicted, FillOutOfOrder, Malformed, Refused

BEFORE = 1_000_000
AUTHORISED = Report(event=Event.AUTHORISED)
STARTED = Report(event=Event.STARTED)
SILENT = Report(event=Event.SILENT)

prices = st.integers(1, PRICE_MAX)
limits = st.integers(1, 10**12)
volumes = st.integers(0, MILLILITRES_MAX)


def progress(millilitres: int) -> Report:
    return Report(event=Event.PROGRESS, millilitres=millilitres)


def done(millilitres: int, totaliser: int | None = None) -> Report:
    return Report(event=Event.DONE, millilitres=millilitres, totaliser=BEFORE + millilitres if totaliser is None else totaliser)


def aborted(totaliser: int | None = BEFORE) -> Report:
    return Report(event=Event.ABORTED, totaliser=totaliser)


def after(*reports: Report, price: int = 1_799, limit: int = 5_000) -> Run:
    fill = begun(price=price, limit=limit, before=BEFORE)
    for report in reports:
        fill = step(fill, report)
    return fill


@pytest.mark.parametrize(
    ("millilitres", "price", "amount"),
    [(0, 1_799, 0), (1_000, 1_799, 1_799), (500, 1, 1), (499, 1, 0), (1_500, 1, 2), (2_500, 1, 3), (33_333, 1_799, 59_966)],
)
def test_half_a_minor_unit_counts_as_a_whole_one(millilitres: int, price: int, amount: int) -> None:
    assert cost(millilitres, price) == amount


@given(volumes, prices)
def test_a_fill_costs_its_volume_times_the_price_to_within_half_a_minor_unit(millilitres: int, price: int) -> None:
    off = cost(millilitres, price) - Fraction(millilitres * price, 1000)
    assert Fraction(-1, 2) < off <= Fraction(1, 2)


@given(volumes, volumes, prices)
def test_more_never_costs_less(one: int, other: int, price: int) -> None:
    assert cost(min(one, other), price) <= cost(max(one, other), price)


@given(limits, prices)
def test_the_pump_stops_at_the_most_that_the_limit_buys(limit: int, price: int) -> None:
    most = volume_limit(limit, price)
    assert cost(most, price) <= limit
    assert most == MILLILITRES_MAX or cost(most + 1, price) > limit


def test_a_fill_is_allowed_starts_runs_and_is_done() -> None:
    states = []
    reports = (AUTHORISED, STARTED, progress(700), progress(2_000), done(2_500))
    for count in range(len(reports) + 1):
        fill = after(*reports[:count])
        states.append((fill.state.value, fill.millilitres, fill.charge))
    assert states == [
        ("idle", 0, 0),
        ("authorised", 0, 0),
        ("dispensing", 0, 0),
        ("dispensing", 700, 0),
        ("dispensing", 2_000, 0),
        ("done", 2_500, 4_498),
    ]


@pytest.mark.parametrize(
    ("before", "report"),
    [
        ((), STARTED),
        ((), SILENT),
        ((), done(0)),
        ((AUTHORISED,), progress(1)),
        ((AUTHORISED,), done(0)),
        ((AUTHORISED, STARTED), AUTHORISED),
        ((AUTHORISED, STARTED), aborted()),
        ((AUTHORISED, SILENT), aborted()),
        ((AUTHORISED, SILENT), STARTED),
        ((AUTHORISED, STARTED, SILENT), progress(1)),
        ((AUTHORISED, STARTED, done(5)), SILENT),
        ((AUTHORISED, STARTED, done(5)), STARTED),
        ((AUTHORISED, STARTED, done(0)), aborted()),
        ((AUTHORISED, aborted()), AUTHORISED),
        ((AUTHORISED, aborted()), done(0)),
    ],
)
def test_what_cannot_follow_is_refused(before: tuple[Report, ...], report: Report) -> None:
    with pytest.raises(FillOutOfOrder):
        step(after(*before), report)


@pytest.mark.parametrize(
    ("before", "report"),
    [
        ((AUTHORISED, STARTED, progress(100)), progress(99)),
        ((AUTHORISED, STARTED, progress(100)), done(99)),
        ((AUTHORISED, STARTED), done(100, BEFORE + 99)),
        ((AUTHORISED, STARTED, SILENT), done(100, BEFORE + 101)),
        ((AUTHORISED, STARTED, done(100)), done(101)),
        ((AUTHORISED, STARTED, done(100)), done(99)),
        ((AUTHORISED,), aborted(BEFORE + 1)),
        ((AUTHORISED,), aborted(BEFORE - 1)),
    ],
)
def test_another_volume_than_before_or_than_the_totaliser_is_refused(before: tuple[Report, ...], report: Report) -> None:
    with pytest.raises(FillContradicted):
        step(after(*before), report)


@pytest.mark.parametrize(
    "report",
    [
        Report(event=Event.DONE, totaliser=BEFORE),
        Report(event=Event.DONE, millilitres=5),
        Report(event=Event.PROGRESS),
        progress(-1),
        progress(MILLILITRES_MAX + 1),
        aborted(-1),
    ],
)
def test_a_reading_that_is_missing_or_impossible_is_malformed(report: Report) -> None:
    with pytest.raises(Malformed):
        step(after(AUTHORISED, STARTED), report)
    with pytest.raises(Malformed):
        step(after(AUTHORISED), aborted(None))


def test_nothing_can_be_asked_for_that_buys_nothing() -> None:
    for price, limit, before in ((0, 1, 0), (1, 0, 0), (1, 1, -1), (5_000_000, 1, 0)):
        with pytest.raises(Malformed):
            begun(price=price, limit=limit, before=before)


reports = st.one_of(
    st.sampled_from([AUTHORISED, STARTED, SILENT, aborted(), aborted(None), aborted(BEFORE + 1)]),
    st.integers(0, 6).map(progress),
    st.builds(lambda run, off: done(run, BEFORE + run + off), st.integers(0, 6), st.sampled_from([0, 0, 0, 1, -1])),
)


@given(st.lists(reports, max_size=30), st.integers(1, 3_000), st.integers(1, 20))
def test_in_any_order_of_reports_a_fill_ends_once_and_costs_what_the_totaliser_says(given: list[Report], price: int, limit: int) -> None:
    try:
        fill = begun(price=price, limit=limit, before=BEFORE)
    except Malformed:
        assert volume_limit(limit, price) == 0
        return
    was_allowed = False
    for report in given:
        try:
            found = step(fill, report)
        except Refused:
            continue
        assert step(found, report) == found, "a repeat changes nothing"
        assert found.millilitres >= fill.millilitres
        assert (found.price, found.limit, found.before) == (fill.price, fill.limit, fill.before)
        was_allowed = was_allowed or found.state is State.AUTHORISED
        if fill.is_over:
            assert found == fill, "what is over stays as it is"
        if found.state is State.DONE:
            assert report.totaliser == BEFORE + found.millilitres
            assert found.charge == min(limit, cost(found.millilitres, price))
        else:
            assert found.charge == 0
        if found.state not in (State.IDLE, State.ABORTED):
            assert was_allowed
        fill = found
