"""When a text may be sent that is neither about a payment nor about security. Pure.

    quiet hours     from the hour `quiet_from` until the hour `quiet_until`, by the clocks of the scheme's time zone
    weekly limit    `per_week` texts to one person from Monday to Sunday; the next one waits for a later week

Where clocks are put forwards or back, what counts is the hour that they show: an hour that comes twice is quiet twice.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.clock import NANOSECONDS

WEEKS_MAX: Final = 4
"""A text that finds no place in this week and the three after it is not sent at all."""


class QuietRules(msgspec.Struct, frozen=True, kw_only=True):
    """A scheme's rules.

    Attributes:
        zone: whose hours and weeks count.
        quiet_from, quiet_until: hours, 0 to 23; the same for both: no quiet hours.
        per_week: texts to one person in a week; 0 for none at all.
    """

    zone: ZoneInfo
    quiet_from: int = 21
    quiet_until: int = 7
    per_week: int = 3

    def __post_init__(self) -> None:
        assert 0 <= self.quiet_from <= 23, self.quiet_from
        assert 0 <= self.quiet_until <= 23, self.quiet_until
        assert self.per_week >= 0, self.per_week


def is_quiet(now_ns: int, rules: QuietRules) -> bool:
    """Whether people sleep at `now_ns`."""
    hour = datetime.fromtimestamp(now_ns // NANOSECONDS, rules.zone).hour
    start, end = rules.quiet_from, rules.quiet_until
    return start <= hour < end if start <= end else hour >= start or hour < end


def after_quiet(now_ns: int, rules: QuietRules) -> int:
    """The first moment from `now_ns` on that is not quiet."""
    if not is_quiet(now_ns, rules):
        return now_ns
    today = datetime.fromtimestamp(now_ns // NANOSECONDS, rules.zone)
    ends = [
        _ns((today + timedelta(days=days)).replace(hour=rules.quiet_until, minute=0, second=0, microsecond=0, fold=fold))
        for days in range(3)
        for fold in (0, 1)
    ]
    return min(end for end in ends if end > now_ns and not is_quiet(end, rules))


def week_of(now_ns: int, zone: ZoneInfo) -> tuple[int, int]:
    """Monday's first moment, and that of the Monday after it."""
    today = datetime.fromtimestamp(now_ns // NANOSECONDS, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    monday = today - timedelta(days=today.weekday())
    return _ns(monday), _ns(monday + timedelta(days=7))


def when(now_ns: int, taken: Collection[int], rules: QuietRules) -> int | None:
    """The first moment from `now_ns` on at which a text may go to somebody to whom others go, or went, at the moments `taken`.

    None: there is no place for it in WEEKS_MAX weeks.
    """
    moment = now_ns
    for _ in range(WEEKS_MAX):
        moment = after_quiet(moment, rules)
        start, end = week_of(moment, rules.zone)
        if sum(start <= each < end for each in taken) < rules.per_week:
            return moment
        moment = end
    return None


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NANOSECONDS
