"""Moments, spans and volumes as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal

from counterfoil.clock import NANOSECONDS
from counterfoil.i18n import Language


def moment(language: Language, moment_ns: int, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """Day and time where the scheme is, to the minute or to the second."""
    when = datetime.fromtimestamp(moment_ns // NANOSECONDS, UTC).astimezone(zone)
    return f"{format_date(when, 'medium', locale=language.locale)} {when:{'%H:%M:%S' if seconds else '%H:%M'}}"


def span(language: Language, minutes: int) -> str:
    """Whole minutes, above an hour as hours and minutes."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return language.text("%(minutes)s min", minutes=rest)
    return language.text("%(hours)s h %(minutes)s min", hours=language.whole(hours), minutes=rest)


def litres(language: Language, millilitres: int) -> str:
    """To the millilitre, without the unit."""
    return format_decimal(Decimal(millilitres).scaleb(-3), format="#,##0.000", locale=language.locale)
