"""What a stay costs. Pure: whole numbers in, whole numbers out.

    free_minutes | band | band | last band | last band | ...      one day: 24 h from the entry, at most `day_cap`
    then the same bands again from the first, without the free minutes, for every day that begins

Only whole minutes count: 60 min 59 s are 60 minutes. A stay of at most `free_minutes` costs nothing, a longer one is charged
from its entry. A band is charged as soon as a minute of it is used; the last one repeats until the day is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX, check_amount

BANDS_MAX: Final = 24
DAY_MINUTES: Final = 24 * 60
_MINUTE_NS: Final = 60 * 10**9


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`price` in minor units for up to `minutes` more."""

    minutes: int
    price: int


class Tariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of a car park, in minor units. `day_cap` None: a day costs what its bands do. `lost_ticket`: the least without a ticket."""

    free_minutes: int = 0
    bands: tuple[Band, ...]
    day_cap: int | None = None
    lost_ticket: int = 0


def check(tariff: Tariff, field: str = "tariff") -> None:
    """Raises Malformed, naming the part of `field` and the rule, for what is no tariff."""
    if not 0 <= tariff.free_minutes <= DAY_MINUTES:
        raise Malformed(f"{field}.free_minutes", f"must be 0 to {DAY_MINUTES}")
    if not 0 < len(tariff.bands) <= BANDS_MAX:
        raise Malformed(f"{field}.bands", f"must be 1 to {BANDS_MAX}")
    for number, band in enumerate(tariff.bands):
        if not 0 < band.minutes <= DAY_MINUTES:
            raise Malformed(f"{field}.bands[{number}].minutes", f"must be 1 to {DAY_MINUTES}")
        check_amount(band.price, f"{field}.bands[{number}].price", minimum=0)
    if tariff.day_cap is not None:
        check_amount(tariff.day_cap, f"{field}.day_cap", minimum=0)
    check_amount(tariff.lost_ticket, f"{field}.lost_ticket", minimum=0)


def whole_minutes(entered_at: int, left_at: int) -> int:
    """Minutes from one moment (ns) to another; 0 when a clock went back."""
    return max(0, (left_at - entered_at) // _MINUTE_NS)


def fee(tariff: Tariff, entered_at: int, left_at: int) -> int:
    """Minor units for a stay between two moments (ns); never falls with time, at most AMOUNT_MAX."""
    minutes = whole_minutes(entered_at, left_at)
    if minutes <= tariff.free_minutes:
        return 0
    days, rest = divmod(minutes, DAY_MINUTES)
    return min(AMOUNT_MAX, days * _of_day(tariff, DAY_MINUTES) + _of_day(tariff, rest))


def _of_day(tariff: Tariff, minutes: int) -> int:
    price = _of_bands(tariff.bands, minutes)
    return price if tariff.day_cap is None else min(price, tariff.day_cap)


def _of_bands(bands: Sequence[Band], minutes: int) -> int:
    price = 0
    for band in bands:
        if minutes <= 0:
            return price
        price += band.price
        minutes -= band.minutes
    last = bands[-1]
    return price + last.price * -(-max(0, minutes) // last.minutes)
