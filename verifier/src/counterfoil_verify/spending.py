"""What has left an account in a day and a month of the scheme's own time zone, beside what its tier allows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from counterfoil_verify.report import Unchecked

NS = 10**9


class Calendar:
    """When the day and the month end that a time lies in (ns); counted as the server does, in the rules' time zone."""

    def __init__(self, zone: str) -> None:
        try:
            self.zone = ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise Unchecked(f"the time zone {zone} of the rules is not known here: install tzdata") from None
        self.begin = self.day_end = self.month_end = 0

    def ends(self, time: int) -> tuple[int, int]:
        if not self.begin <= time < self.day_end:
            today = datetime.fromtimestamp(time // NS, self.zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
            month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            moments = (today, today + timedelta(days=1), month)
            self.begin, self.day_end, self.month_end = (int(moment.timestamp()) * NS for moment in moments)
        return self.day_end, self.month_end


class Spending:
    """One account's debits so far, and how much that was when its day and its month began."""

    __slots__ = ("total", "day_end", "before_day", "month_end", "before_month")

    def __init__(self) -> None:
        self.total = self.day_end = self.before_day = self.month_end = self.before_month = 0

    def at(self, time: int, calendar: Calendar) -> Spending:
        """The same, with day and month those of `time`, which never goes back."""
        if time >= self.day_end:
            day_end, month_end = calendar.ends(time)
            self.day_end, self.before_day = day_end, self.total
            if time >= self.month_end:
                self.month_end, self.before_month = month_end, self.total
        return self

    def above(self, limits: dict[str, Any], held: int) -> str | None:
        """Which limit all that left, and what is held on its way out, is above; None for none."""
        total = self.total + held
        if total - self.before_day > limits.get("per_day", total):
            return f"{total - self.before_day} left the account, and the limit is {limits['per_day']} for a day"
        if total - self.before_month > limits.get("per_month", total):
            return f"{total - self.before_month} left the account, and the limit is {limits['per_month']} for a month"
        return None
