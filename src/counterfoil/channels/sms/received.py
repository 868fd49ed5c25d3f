"""Keeping count of texts that came in, and of what waits for a code: plain functions over a connection."""

from __future__ import annotations

import enum
import hmac
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from counterfoil.channels.sms.received_tables import drafts, received
from counterfoil.clock import NANOSECONDS

DRAFT_S: Final = 600
"""Seconds in which a question can be answered."""
HOUR_NS: Final = 3_600 * NANOSECONDS
WRONG_PER_HOUR_MAX: Final = 3
"""Wrong answers of one number in an hour; then nothing that it asks for is drafted until the hour is over."""
ANSWERABLE: Final = ("open", "right")
"""Outcomes of a question that can be answered, or answered again."""
KEPT_S: Final = 30 * 86_400
"""Seconds for which rows are kept, so that a late repeat is known."""


class DraftKind(enum.StrEnum):
    PAY = "pay"
    ASK = "ask"
    JOIN = "join"
    PIN = "pin"
    UNLOCK = "unlock"
    WATCH = "watch"


class Begun(enum.Enum):
    """What became of a text that was to be begun."""

    NEW = "new"
    AGAIN = "again"
    """It was begun before and broken off."""
    DONE = "done"
    """It was answered before."""


class Waiting(msgspec.Struct, frozen=True):
    """What a number is asked to agree to."""

    id: int
    kind: DraftKind
    body: bytes


def begin(connection: Connection, *, id: int, gateway: str, reference: str, number: str, kind: str, now: int) -> tuple[int, Begun]:
    """Writes down that a text came in; returns its id, that of the first time where this is a repeat."""
    if reference:
        this = select(received).where(received.c.gateway == gateway, received.c.reference == reference)
        row = connection.execute(this).one_or_none()
        if row is not None:
            return row.id, Begun.AGAIN if row.done_at is None and row.number == number else Begun.DONE
    values = {"id": id, "gateway": gateway, "reference": reference or None, "number": number, "kind": kind, "received_at": now}
    connection.execute(insert(received), values | {"done_at": None})
    return id, Begun.NEW


def end(connection: Connection, id: int, kind: str, now: int) -> bool:
    """Writes down that a text has been answered, or needs no answer. False when it was before."""
    this = update(received).where(received.c.id == id, received.c.done_at.is_(None)).values(kind=kind, done_at=now)
    return connection.execute(this).rowcount == 1


def count(connection: Connection, number: str, kind: str, since: int) -> int:
    """Texts of a number since `since` (ns) that ended as `kind`."""
    this = (received.c.number == number) & (received.c.kind == kind) & (received.c.received_at > since) & received.c.done_at.is_not(None)
    return connection.execute(select(func.count()).where(this)).scalar_one()


def prune(connection: Connection, now: int) -> None:
    """Deletes what is older than KEPT_S."""
    before = max(now - KEPT_S * NANOSECONDS, 0)
    connection.execute(delete(received).where(received.c.received_at < before))
    connection.execute(delete(drafts).where(drafts.c.created_at < before))


# What waits for a code


def draft(connection: Connection, *, id: int, number: str, kind: DraftKind, code: str, body: bytes, now: int) -> None:
    """Keeps what a number is asked to agree to. What it was asked before can no longer be agreed to: only the newest question counts."""
    mine = (drafts.c.number == number) & drafts.c.outcome.in_(ANSWERABLE)
    connection.execute(update(drafts).where(mine).values(outcome="replaced"))
    values = {"id": id, "number": number, "kind": kind, "code": code, "body": body, "created_at": now}
    connection.execute(insert(drafts), values | {"expires_at": now + DRAFT_S * NANOSECONDS, "outcome": "open"})


def wrong_codes(connection: Connection, number: str, now: int) -> int:
    """Wrong answers of a number in the last hour."""
    mine = (drafts.c.number == number) & (drafts.c.outcome == "wrong") & (drafts.c.created_at > now - HOUR_NS)
    return connection.execute(select(func.count()).where(mine)).scalar_one()


def answer(connection: Connection, *, number: str, code: str, now: int) -> Waiting | None:
    """What the number agrees to with `code`; None when the code is not the one it was asked for, or too late.

    One try: a wrong code ends the question. The right one may come again, for what was broken off: it is the same order.
    """
    mine = select(drafts).where(drafts.c.number == number, drafts.c.outcome.in_(ANSWERABLE))  # one at most, whatever the clock did
    row = connection.execute(mine.order_by(drafts.c.created_at.desc()).limit(1)).one_or_none()
    if row is None or row.expires_at <= now:
        return None
    is_right = hmac.compare_digest(row.code, code)
    if row.outcome == "open":
        connection.execute(update(drafts).where(drafts.c.id == row.id).values(outcome="right" if is_right else "wrong"))
    return Waiting(row.id, DraftKind(row.kind), row.body) if is_right else None
