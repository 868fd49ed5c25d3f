"""What a scheme writes to many, and what its people report: the staff's side of messages."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from counterfoil.channels.announcements import (
    KIND,
    LIST_SIZE_MAX,
    TEXT_LENGTH_MAX,
    Announcement,
    Announcements,
    Group,
    Progress,
    Reach,
    parse,
)
from counterfoil.channels.reports import PAGE_SIZE_MAX, Report, ReportReason, Reports
from counterfoil.errors import IdReused, Malformed, NotFound, NotInThisState
from counterfoil.moments import moment_text
from counterfoil.parties.approvals import Approvals
from counterfoil.parties.types import Permission, Proposal, ProposalState
from counterfoil.web.access import Principal, staff
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import AmountOrZero, Moment, Text, UuidText, parse_uuid, uuid_text

Count = Annotated[int, msgspec.Meta(ge=0)]
Addresses = Annotated[list[Annotated[str, msgspec.Meta(max_length=40)]], msgspec.Meta(max_length=LIST_SIZE_MAX)]
Word = Annotated[str, msgspec.Meta(max_length=500, description="3 to 500 characters; kept for good")]


class AnnouncementBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to many. `id` is made by the caller.

    Attributes:
        texts: by language; the scheme's first language must be among them.
        to: all, or those of one kind of party, tier or language, which `value` names; or those on `list`.
        list: numbers, @handles or codes.
        security: goes at once, in quiet hours too, and also to those who have muted the scheme.
    """

    id: UuidText
    reason: Word
    texts: Annotated[
        dict[
            Annotated[str, msgspec.Meta(max_length=8)],
            Annotated[str, msgspec.Meta(max_length=4 * TEXT_LENGTH_MAX, description="at most 300 characters")],
        ],
        msgspec.Meta(min_length=1, max_length=16),
    ]
    to: Group
    value: Text = ""
    list: Addresses = []
    security: bool = False


class ReachView(msgspec.Struct, frozen=True):
    """Whom it would reach now.

    Attributes:
        people: in the group; in_app: of these, who reads it in an app; muted: of those, who is not told.
        by_text: who gets a text, now or later; parts: what these are on the air.
        later: texts that wait for another week, since this one's limit is used up.
        unreached: who has neither an app nor a number, or gets no such texts.
        texts_from: when the first texts go, where quiet hours hold them up; null: at once, or there are none.
        cost: of the texts by the first gateway of the settings, in minor units; null where it is not known.
    """

    people: Count
    in_app: Count
    muted: Count
    by_text: Count
    parts: Count
    later: Count
    unreached: Count
    texts_from: Moment | None
    cost: AmountOrZero | None


class ProgressView(msgspec.Struct, frozen=True):
    """How far it is: `people` have it, `texts` go or went, `left_out` have no app and get no text."""

    people: Count
    texts: Count
    left_out: Count
    done_at: Moment | None


class AnnouncementView(msgspec.Struct, frozen=True):
    """A message to many, exactly as it is sent. `reach`: only while it waits for a second person; `progress`: from approval on."""

    id: UuidText
    state: ProposalState
    reason: str
    proposer: UuidText
    decided_by: UuidText | None
    created_at: Moment
    texts: dict[str, str]
    to: Group
    value: str
    count: Count
    security: bool
    reach: ReachView | None
    progress: ProgressView | None


class StaffReportView(msgspec.Struct, frozen=True):
    """A reported message. `days`: for how long its sender was stopped from writing."""

    id: UuidText
    reason: ReportReason
    note: str
    text: str
    sent_at: Moment
    sender: UuidText
    reporter: UuidText
    created_at: Moment
    closed_at: Moment | None
    word: str
    days: Count


class ReportsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open ones, oldest first; or the newest closed ones."""

    state: Literal["open", "closed"] = "open"


class StaffReportsView(msgspec.Struct, frozen=True):
    """At most 100."""

    reports: list[StaffReportView]


class CloseReportBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found; `days` (0, 1, 7 or 30): for how long the sender writes to nobody."""

    word: Word
    days: Annotated[int, msgspec.Meta(ge=0, le=30)] = 0


class AnnouncementEndpoints:
    """Messages to many are approved as any proposal: see `/v1/staff/proposals/{id}/approve`."""

    def __init__(self, *, announcements: Announcements, approvals: Approvals, reports: Reports, part_cost: int | None) -> None:
        """`part_cost`: minor units of each part of a text; None where it is not known."""
        self.announcements = announcements
        self.approvals = approvals
        self.reports = reports
        self.part_cost = part_cost

    def endpoints(self) -> list[Endpoint]:
        read, propose, close, tag = (
            staff(Permission.READ),
            staff(Permission.PROPOSE_ANNOUNCEMENT),
            staff(Permission.CLOSE_REPORT),
            "staff",
        )
        closing = (NotFound, NotInThisState)
        return [
            Endpoint("POST", "/v1/staff/announcements", self.propose, access=propose, errors=(IdReused,), status=201, tag=tag),
            Endpoint("GET", "/v1/staff/announcements/{id}", self.announcement, access=read, errors=(NotFound,), tag=tag),
            Endpoint("GET", "/v1/staff/reports", self.all_reports, access=read, tag=tag),
            Endpoint("POST", "/v1/staff/reports/{id}/close", self.close_report, access=close, errors=closing, tag=tag),
        ]

    async def propose(self, caller: Principal, body: AnnouncementBody) -> AnnouncementView:
        """Propose a message to many. Another member of staff approves it. A repeat answers the same."""
        value, count = body.value, 0
        if body.to == "list":
            if value:
                raise Malformed("value", "must be empty for a list")
            value, count = await self.announcements.list_of(body.list)
        elif body.list:
            raise Malformed("list", "is only for a list")
        announcement = Announcement(texts=body.texts, to=body.to, value=value, count=count, security=body.security)
        payload = msgspec.json.encode(announcement)
        return await self._view(await self.approvals.propose(parse_uuid(body.id, "id"), KIND, payload, reason=body.reason, by=caller.party))

    async def announcement(self, caller: Principal, id: int) -> AnnouncementView:
        """A message to many: what is sent, to how many, and how far it is."""
        proposal = await self.approvals.find(id)
        if proposal is None or proposal.kind != KIND:
            raise NotFound("there is no message to many with this id")
        return await self._view(proposal)

    async def all_reports(self, caller: Principal, query: ReportsQuery) -> StaffReportsView:
        """Messages that people have reported."""
        return StaffReportsView([_report(each) for each in await self.reports.all(is_open=query.state == "open", limit=PAGE_SIZE_MAX)])

    async def close_report(self, caller: Principal, id: int, body: CloseReportBody) -> StaffReportView:
        """Close a report, and stop its sender from writing if need be. A repeat answers the same."""
        return _report(await self.reports.close(id, word=body.word, days=body.days, by=caller.party))

    async def _view(self, proposal: Proposal) -> AnnouncementView:
        announcement = parse(proposal.payload)
        waits = proposal.state is ProposalState.PROPOSED
        progress = await self.announcements.progress(proposal.id)
        return AnnouncementView(
            id=uuid_text(proposal.id),
            state=proposal.state,
            reason=proposal.reason,
            proposer=uuid_text(proposal.proposer),
            decided_by=uuid_text(proposal.decided_by) if proposal.decided_by else None,
            created_at=moment_text(proposal.created_at),
            texts=announcement.texts,
            to=announcement.to,
            value=announcement.value,
            count=announcement.count,
            security=announcement.security,
            reach=_reach(await self.announcements.reach(announcement), self.part_cost) if waits else None,
            progress=None if progress is None else _progress(progress),
        )


def _reach(reach: Reach, part_cost: int | None) -> ReachView:
    return ReachView(
        people=reach.people,
        in_app=reach.in_app,
        muted=reach.muted,
        by_text=reach.by_text,
        parts=reach.parts,
        later=reach.later,
        unreached=reach.unreached,
        texts_from=None if reach.texts_from is None else moment_text(reach.texts_from),
        cost=None if part_cost is None else reach.parts * part_cost,
    )


def _progress(progress: Progress) -> ProgressView:
    done_at = None if progress.done_at is None else moment_text(progress.done_at)
    return ProgressView(progress.people, progress.texts, progress.left_out, done_at)


def _report(report: Report) -> StaffReportView:
    return StaffReportView(
        id=uuid_text(report.id),
        reason=report.reason,
        note=report.note,
        text=report.text,
        sent_at=moment_text(report.sent_at),
        sender=uuid_text(report.sender),
        reporter=uuid_text(report.reporter),
        created_at=moment_text(report.created_at),
        closed_at=None if report.closed_at is None else moment_text(report.closed_at),
        word=report.word,
        days=report.days,
    )
