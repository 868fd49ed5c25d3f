"""Messages that people report: kept with a copy until a member of staff closes the report with a word.

Only who received a message can report it, and once. Closing it may stop the sender from writing to anybody for a while.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from counterfoil.channels.announcement_tables import reports, silenced
from counterfoil.channels.conversation_tables import messages
from counterfoil.channels.conversations import parse_text
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState, TooMany
from counterfoil.ids import ID_MAX, id_text
from counterfoil.parties.context import check_reason
from counterfoil.parties.journal import record
from counterfoil.parties.readers import party_of
from counterfoil.parties.staff import require
from counterfoil.parties.types import Permission
from counterfoil.store.database import Store

NOTE_LENGTH_MAX: Final = 300
PER_DAY_MAX: Final = 20
"""Reports by one person."""
PAGE_SIZE_MAX: Final = 100
DAYS: Final = (0, 1, 7, 30)
"""For how long the sender may be stopped from writing; 0: not at all."""
_DAY_NS: Final = 86_400 * NANOSECONDS


class ReportReason(enum.StrEnum):
    FRAUD = "fraud"
    """Asks for money, a PIN or a code under a false name."""
    THREAT = "threat"
    SPAM = "spam"
    OTHER = "other"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report. `text`, `sent_at`: a copy of the message. Moments in ns; `closed_at` None: open; `days`: how long the sender was stopped."""

    id: int
    message: int
    reporter: int
    sender: int
    reason: ReportReason
    note: str
    text: str
    sent_at: int
    created_at: int
    closed_at: int | None = None
    closed_by: int | None = None
    word: str = ""
    days: int = 0


class Reports:
    """Keeps reports. `scheme_account`: of the scheme's own messages, which cannot be reported to itself."""

    def __init__(self, *, store: Store, clock: Clock, scheme_account: int) -> None:
        self.store = store
        self.clock = clock
        self.scheme_account = scheme_account

    async def report(self, *, id: int, message: int, reporter: int, reason: ReportReason, note: str) -> Report:
        """`reporter` (an account) reports a message that it received. A repeat, also under another id, answers the same report.

        Refusals in this order: Malformed ("id", "note"), IdReused, NotFound (no such message, or not theirs), TooMany with the seconds to wait.
        """
        if not 0 < id <= ID_MAX:
            raise Malformed("id", "must be an id")
        note = _parse_note(note)
        now = self.clock.now_ns()

        def write(connection: Connection) -> Report:
            same_id = connection.execute(select(reports).where(reports.c.id == id)).first()
            if same_id is not None and (same_id.message, same_id.reporter) != (message, reporter):
                raise IdReused
            mine = (reports.c.message == message) & (reports.c.reporter == reporter)
            known = connection.execute(select(reports).where(mine)).first()
            if known is not None:
                return _report(known)
            found = connection.execute(select(messages).where(messages.c.id == message, messages.c.recipient == reporter)).first()
            if found is None or found.sender == self.scheme_account:
                raise NotFound
            recent = select(reports.c.created_at).where(reports.c.reporter == reporter, reports.c.created_at > now - _DAY_NS)
            oldest = connection.execute(recent.order_by(reports.c.created_at.desc()).offset(PER_DAY_MAX - 1).limit(1)).scalar()
            if oldest is not None:
                raise TooMany(retry_after_s=max(-(-(oldest + _DAY_NS - now) // NANOSECONDS), 1))
            made = Report(
                id=id, message=message, reporter=reporter, sender=found.sender, reason=reason, note=note, text=found.text,
                sent_at=found.sent_at, created_at=now,
            )  # fmt: skip
            connection.execute(insert(reports), msgspec.structs.asdict(made))
            return made

        return await self.store.write(write)

    async def all(self, *, is_open: bool = True, limit: int = PAGE_SIZE_MAX) -> list[Report]:
        """Open ones, oldest first; or closed ones, the newest first."""
        assert 0 < limit <= PAGE_SIZE_MAX, limit
        query = select(reports).where(reports.c.closed_at.is_(None) if is_open else reports.c.closed_at.is_not(None))
        query = query.order_by(reports.c.created_at if is_open else reports.c.closed_at.desc(), reports.c.id).limit(limit)
        return await self.store.read(lambda connection: [_report(row) for row in connection.execute(query)])

    async def open_count(self) -> int:
        query = select(func.count()).select_from(reports).where(reports.c.closed_at.is_(None))
        return int(await self.store.read(lambda connection: connection.execute(query).scalar_one()))

    async def close(self, id: int, *, word: str, days: int, by: int) -> Report:
        """Closes a report with a word of why; the sender writes to nobody for `days`. A repeat answers the same.

        Refusals in this order: Malformed, Forbidden, NotFound, NotInThisState (closed by somebody else, or otherwise).
        """
        word = check_reason(word)
        if days not in DAYS:
            raise Malformed("days", f"must be one of {', '.join(map(str, DAYS))}")
        now = self.clock.now_ns()

        def write(connection: Connection) -> Report:
            require(connection, by, Permission.CLOSE_REPORT)
            row = connection.execute(select(reports).where(reports.c.id == id)).first()
            if row is None:
                raise NotFound("there is no such report")
            if row.closed_at is not None:
                if (row.closed_by, row.word, row.days) != (by, word, days):
                    raise NotInThisState(state="closed")
                return _report(row)
            connection.execute(update(reports).where(reports.c.id == id).values(closed_at=now, closed_by=by, word=word, days=days))
            party = party_of(connection, row.sender)
            if days:
                _silence(connection, row.sender, now + days * _DAY_NS, by, now)
            record(connection, self.clock, party, "report_closed", by=by, report=id_text(id), reason=word, days=days)
            return _report(connection.execute(select(reports).where(reports.c.id == id)).one())

        return await self.store.write(write)


def _silence(connection: Connection, account: int, until: int, by: int, now: int) -> None:
    """A second time never shortens the first."""
    known = connection.execute(select(silenced.c.until).where(silenced.c.account == account)).scalar()
    if known is None:
        connection.execute(insert(silenced), {"account": account, "until": until, "by": by, "at": now})
    elif known < until:
        connection.execute(update(silenced).where(silenced.c.account == account).values(until=until, by=by, at=now))


def _parse_note(note: str) -> str:
    if not note.strip():
        return ""
    try:
        note = parse_text(note)
    except Malformed as error:
        raise Malformed("note", str(error.facts["rule"])) from None
    if len(note) > NOTE_LENGTH_MAX:
        raise Malformed("note", f"must be at most {NOTE_LENGTH_MAX} characters")
    return note


def _report(row: Row[Any]) -> Report:
    return Report(
        id=row.id,
        message=row.message,
        reporter=row.reporter,
        sender=row.sender,
        reason=ReportReason(row.reason),
        note=row.note,
        text=row.text,
        sent_at=row.sent_at,
        created_at=row.created_at,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        word=row.word,
        days=row.days,
    )
