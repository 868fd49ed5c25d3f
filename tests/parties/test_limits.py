"""Limits and the calendar behind them, as laws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import LimitExceeded, PayeeLimitExceeded
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties import limits
from counterfoil.parties.periods import period_of
from counterfoil.parties.types import Limits

amounts = st.integers(0, 1_000) | st.integers(0, AMOUNT_MAX)
some_limits = st.builds(Limits, per_payment=amounts, per_day=amounts, per_month=amounts, balance_max=amounts)


@given(
    amount=amounts,
    fee=st.integers(0, 50),
    today=amounts,
    earlier=amounts,
    bounds=some_limits,
    own=st.sets(st.sampled_from(["per_day", "per_month"])),
)
def test_what_is_left_can_be_spent_and_one_unit_more_cannot(
    amount: int, fee: int, today: int, earlier: int, bounds: Limits, own: set[str]
) -> None:
    def ask(amount: int) -> LimitExceeded | None:
        try:
            limits.check(
                amount=amount, fee=fee, spent_today=today, spent_month=today + earlier, limits=bounds, own=own, day_ends_at=1, month_ends_at=2
            )  # fmt: skip
        except LimitExceeded as refusal:
            return refusal
        return None

    refusal = ask(amount)
    room = min(bounds.per_payment, bounds.per_day - today - fee, bounds.per_month - today - earlier - fee)
    assert (refusal is None) == (amount <= room)
    if refusal is not None:
        facts = refusal.facts
        assert facts["limit_amount"] == getattr(bounds, facts["limit"])
        assert facts["left"] == max(
            0,
            {"per_payment": bounds.per_payment, "per_day": bounds.per_day - today, "per_month": bounds.per_month - today - earlier}[
                facts["limit"]
            ],
        )
        assert facts["resets_at"] == {"per_payment": None, "per_day": 1, "per_month": 2}[facts["limit"]]
        assert facts["whose"] == ("own" if facts["limit"] in own else "tier")


@given(tier=some_limits, own=some_limits)
def test_the_lower_of_two_limits_counts(tier: Limits, own: Limits) -> None:
    both, names = limits.lower(tier, own)
    for name in Limits.__struct_fields__:
        assert getattr(both, name) == min(getattr(tier, name), getattr(own, name))
        assert (name in names) == (getattr(own, name) < getattr(tier, name))


@given(balance=amounts, amount=amounts, bounds=some_limits)
def test_a_balance_never_passes_its_maximum(balance: int, amount: int, bounds: Limits) -> None:
    if balance + amount <= bounds.balance_max:
        limits.check_balance(amount=amount, balance=balance, limits=bounds)
        return
    with pytest.raises(PayeeLimitExceeded) as caught:
        limits.check_balance(amount=amount, balance=balance, limits=bounds)
    assert caught.value.facts == {}  # the payer learns nothing of the payee's balance


zones = st.sampled_from(
    ["UTC", "Africa/Nairobi", "Africa/Cairo", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "America/Havana", "Asia/Seoul"]
).map(ZoneInfo)


@given(moment=st.datetimes(datetime(2005, 1, 3), datetime(2100, 1, 1)), zone=zones)
def test_every_moment_lies_in_one_day_and_days_meet(moment: datetime, zone: ZoneInfo) -> None:
    now = int(moment.replace(tzinfo=UTC).timestamp()) * NANOSECONDS
    period = period_of(now, zone)
    assert period.month_start <= period.day_start <= now < period.day_end <= period.month_end
    assert period_of(period.day_start, zone) == period_of(period.day_end - 1, zone) == period
    tomorrow = period_of(period.day_end, zone)
    assert tomorrow.day_start == period.day_end
    assert tomorrow.month_start in (period.month_start, period.month_end)
    assert period_of(period.month_end, zone).month_start == period.month_end
    day = timedelta(microseconds=(period.day_end - period.day_start) // 1_000)
    assert timedelta(hours=22) <= day <= timedelta(hours=26)


def test_a_month_in_nairobi_begins_three_hours_before_utc() -> None:
    now = int(datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()) * NANOSECONDS
    period = period_of(now, ZoneInfo("Africa/Nairobi"))
    assert datetime.fromtimestamp(period.month_start / NANOSECONDS, UTC) == datetime(2026, 10, 31, 21, tzinfo=UTC)
    assert datetime.fromtimestamp(period.day_end / NANOSECONDS, UTC) == datetime(2026, 11, 18, 21, tzinfo=UTC)


@pytest.mark.parametrize("name", ["per_payment", "per_day", "per_month", "balance_max"])
@pytest.mark.parametrize("value", [-1, 2**63, True, 1.0])
def test_limits_are_whole_amounts(name: str, value: object) -> None:
    with pytest.raises(Exception, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]
