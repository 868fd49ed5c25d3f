"""A shop's day as it looks in JSON. Amounts in minor units, rates in hundredths of a percent."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.acceptance.days import Day
from counterfoil.moments import moment_text
from counterfoil.web.goods_views import Department, Rate
from counterfoil.web.values import AmountOrZero, Cursor, Difference, Moment, UuidText, uuid_text

DayText = Annotated[
    str,
    msgspec.Meta(
        max_length=10,
        description="a day where the scheme is",
        examples=["2026-11-22"],
        extra_json_schema={"pattern": "^(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"},
    ),
]


class ByClerkView(msgspec.Struct, frozen=True):
    """What one clerk sold; `clerk` null where nobody was named."""

    clerk: UuidText | None
    name: str
    count: int
    amount: AmountOrZero


class ByGoodsView(msgspec.Struct, frozen=True):
    """What was sold of one thing; `goods` null for amounts without goods. What went back by line is not taken off."""

    goods: UuidText | None
    name: str
    quantity: int
    amount: AmountOrZero
    returned: int
    returned_amount: AmountOrZero


class ByRateView(msgspec.Struct, frozen=True):
    """What was sold at one tax rate: `tax` is contained in `gross` - `refunded`. Negative where more went back than was taken."""

    rate: Rate
    gross: AmountOrZero
    refunded: Difference
    tax: Difference


class ByDepartmentView(msgspec.Struct, frozen=True):
    """What was sold of one department at one tax rate, as in `by_rate`."""

    department: Department
    rate: Rate
    gross: AmountOrZero
    refunded: Difference
    tax: Difference


class ClosedView(msgspec.Struct, frozen=True):
    """A closing: numbered without gaps, never changed."""

    number: int
    at: Moment


class DayView(msgspec.Struct, frozen=True):
    """A day's sums. `net` = gross - refunded - fees; the account's entries from `since` to `until` are in it.

    Attributes:
        sales: how many payments and captures; `unrung` of them, worth `unrung_amount`, name no sale of a till: a poster's code.
        available: what the owner could pay out now; null for who may not see takings.
        by_rate, by_department: each adds up to what was taken for sales of tills, and to what of these went back.
        closed: null while the day is open.
    """

    day: str
    since: Moment
    until: Moment
    sales: int
    refunds: int
    holds_open: int
    gross: AmountOrZero
    refunded: AmountOrZero
    fees: Difference
    net: Difference
    unrung: int
    unrung_amount: AmountOrZero
    available: AmountOrZero | None
    by_clerk: list[ByClerkView]
    by_goods: list[ByGoodsView]
    by_rate: list[ByRateView]
    by_department: list[ByDepartmentView]
    closed: ClosedView | None


class DaySalesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sales of which day (today when none is named), newest first; `cursor` from the page before."""

    day: DayText | None = None
    cursor: Cursor | None = None


class DayQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which day; today when none is named."""

    day: DayText | None = None


def day_view(day: Day, *, available: int | None) -> DayView:
    closed = None if day.number is None or day.closed_at is None else ClosedView(day.number, moment_text(day.closed_at))
    return DayView(
        day=day.day,
        since=moment_text(day.since),
        until=moment_text(day.until),
        sales=day.sales,
        refunds=day.refunds,
        holds_open=day.holds_open,
        gross=day.gross,
        refunded=day.refunded,
        fees=day.fees,
        net=day.net,
        unrung=day.unrung,
        unrung_amount=day.unrung_amount,
        available=available,
        by_clerk=[ByClerkView(uuid_text(row.clerk) if row.clerk else None, row.name, row.count, row.amount) for row in day.by_clerk],
        by_goods=[ByGoodsView(*msgspec.structs.astuple(row)) for row in day.by_goods],
        by_rate=[ByRateView(row.rate, row.gross, row.refunded, row.tax) for row in day.by_rate],
        by_department=[ByDepartmentView(row.department, row.rate, row.gross, row.refunded, row.tax) for row in day.by_department],
        closed=closed,
    )
