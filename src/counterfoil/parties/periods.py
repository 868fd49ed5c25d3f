"""The calendar day and month that a moment lies in, in one time zone. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.clock import NANOSECONDS


class Period(msgspec.Struct, frozen=True):
    """Bounds in ns: a day and a month, from `*_start` (inclusive) to `*_end` (exclusive)."""

    day_start: int
    day_end: int
    month_start: int
    month_end: int


def period_of(now_ns: int, zone: ZoneInfo) -> Period:
    """The day and month of `zone` that contain `now_ns`. Days of 23 or 25 hours are as long as they are."""
    today = datetime.fromtimestamp(now_ns // NANOSECONDS, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = today.replace(day=1)
    next_month = (first + timedelta(days=32)).replace(day=1)
    period = Period(*(int(moment.timestamp()) * NANOSECONDS for moment in (today, today + timedelta(days=1), first, next_month)))
    assert period.month_start <= period.day_start <= now_ns < period.day_end <= period.month_end, (now_ns, period)
    return period
