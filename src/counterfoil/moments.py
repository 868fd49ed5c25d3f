"""Moments as text: RFC 3339 in UTC, the one form that leaves the house. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_text(nanoseconds: int) -> str:
    """Text with microseconds, such as "2026-11-21T18:30:00.123456Z", of a moment in ns since 1970; what is below is dropped."""
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1_000)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
