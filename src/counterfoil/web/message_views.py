"""What the staff pages show of messages to many and of reported messages, in words. Reads only."""

from __future__ import annotations

from typing import Any

import msgspec

from counterfoil.channels.announcements import KIND, Announcement, Reach, parse
from counterfoil.channels.reports import Report, ReportReason
from counterfoil.errors import NotFound
from counterfoil.i18n import Language
from counterfoil.ids import id_text, parse_id
from counterfoil.parties.types import PartyKind, Proposal, ProposalState
from counterfoil.web.services import Services
from counterfoil.web.staff_views import PROPOSAL_STATES, AccountView

CLOSED_SHOWN = 20


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


KINDS = {
    PartyKind.CUSTOMER: N_("all customers"),
    PartyKind.MERCHANT: N_("all merchants"),
    PartyKind.AGENT: N_("all agents"),
    PartyKind.INSTITUTION: N_("all institutions"),
}
REASONS = {
    ReportReason.FRAUD: N_("fraud"),
    ReportReason.THREAT: N_("threat or insult"),
    ReportReason.SPAM: N_("unwanted advertising"),
    ReportReason.OTHER: N_("another reason"),
}


class SaidView(msgspec.Struct, frozen=True):
    """A text in one language, by the language's own name."""

    code: str
    language: str
    text: str


class MessageViews:
    """Each method is one page's content, in `language`."""

    def __init__(self, services: Services, language: Language) -> None:
        self.services = services
        self.language = language

    async def announcement(self, id: str) -> dict[str, Any]:
        """One message to many, exactly as it is sent, with whom it reaches."""
        proposal = await self.services.approvals.find(parse_id(id))
        if proposal is None or proposal.kind != KIND:
            raise NotFound
        announcement = parse(proposal.payload)
        state, tone = PROPOSAL_STATES[proposal.state]
        waits = proposal.state is ProposalState.PROPOSED
        reach = await self.services.announcements.reach(announcement) if waits else None
        return {
            "id": id_text(proposal.id),
            "said": [SaidView(code, Language(code).own_name, announcement.texts[code]) for code in self._ordered(announcement)],
            "state": self.language.text(state),
            "tone": tone,
            "waits": waits,
            "facts": [*await self._facts(proposal, announcement), *(self._reach(reach) if reach else await self._progress(proposal))],
        }

    async def reports(self) -> dict[str, Any]:
        """Open reports, oldest first, and those that were closed last."""
        reports = self.services.reports
        return {
            "reports": [await self._report(report) for report in await reports.all()],
            "closed": [await self._report(report) for report in await reports.all(is_open=False, limit=CLOSED_SHOWN)],
        }

    def _ordered(self, announcement: Announcement) -> list[str]:
        return [code for code in self.services.config.languages if code in announcement.texts]

    async def _facts(self, proposal: Proposal, announcement: Announcement) -> list[tuple[str, str]]:
        text, parties = self.language.text, self.services.parties
        found = [
            (text("To"), self._group(announcement)),
            (text("Reason"), proposal.reason),
            (text("Proposed by"), (await parties.party(proposal.proposer)).name),
        ]
        if proposal.decided_by is not None:
            found.append((text("Decided by"), (await parties.party(proposal.decided_by)).name))
        if announcement.security:
            found.append((text("Security"), text("goes at once, also at night and to those who have muted the scheme")))
        return found

    def _group(self, announcement: Announcement) -> str:
        text = self.language.text
        if announcement.to == "all":
            return text("everybody")
        if announcement.to == "kind":
            return text(KINDS[PartyKind(announcement.value)])
        if announcement.to == "tier":
            return text("the tier %(tier)s", tier=announcement.value)
        if announcement.to == "language":
            return text("all who read %(language)s", language=Language(announcement.value).own_name)
        return text("a list of %(count)s", count=self.language.whole(announcement.count))

    def _reach(self, reach: Reach) -> list[tuple[str, str]]:
        text, whole = self.language.text, self.language.whole
        found = [(text("People"), whole(reach.people)), (text("In the app"), whole(reach.in_app))]
        if reach.muted:
            found.append((text("Of these not told, by their own wish"), whole(reach.muted)))
        found.append((text("By SMS"), text("%(texts)s (parts: %(parts)s)", texts=whole(reach.by_text), parts=whole(reach.parts))))
        if reach.by_text:
            cost = self.services.config.text_part_cost
            currency = self.services.config.currency
            said = text("not known") if cost is None else f"{self.language.money(cost * reach.parts, currency)} {currency.code}"
            found.append((text("Cost of the SMS"), said))
        if reach.texts_from is not None:
            found.append((text("First SMS at (UTC)"), self.language.moment(reach.texts_from)))
        if reach.later:
            found.append((text("SMS that wait for another week"), whole(reach.later)))
        if reach.unreached:
            found.append((text("Without app and without SMS"), whole(reach.unreached)))
        return found

    async def _progress(self, proposal: Proposal) -> list[tuple[str, str]]:
        text, whole = self.language.text, self.language.whole
        progress = await self.services.announcements.progress(proposal.id)
        if progress is None:
            return []
        done = text("under way") if progress.done_at is None else self.language.moment(progress.done_at)
        return [
            (text("People"), whole(progress.people)),
            (text("By SMS"), whole(progress.texts)),
            (text("Without app and without SMS"), whole(progress.left_out)),
            (text("Done at (UTC)"), done),
        ]

    async def _report(self, report: Report) -> dict[str, Any]:
        text = self.language.text
        closed = ""
        if report.closed_by is not None:
            days = text("Sender stopped (days: %(days)s)", days=report.days) if report.days else text("Sender not stopped")
            closed = f"{report.word} · {days}"
        return {
            "id": id_text(report.id),
            "created_at": report.created_at,
            "sender": await self._side(report.sender),
            "reporter": await self._side(report.reporter),
            "reason": text(REASONS[report.reason]),
            "note": report.note,
            "text": report.text,
            "closed": closed,
        }

    async def _side(self, account: int) -> AccountView:
        holder = await self.services.parties.holder(account)
        return AccountView(id_text(account), holder.name, holder.kind)
