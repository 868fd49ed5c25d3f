"""Messages between people, and what happened to one's account."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.channels import conversations as conversations_module
from counterfoil.channels.conversations import TEXT_LENGTH_MAX, Conversations, Message
from counterfoil.channels.reports import NOTE_LENGTH_MAX, ReportReason, Reports
from counterfoil.errors import AccountFrozen, IdReused, MessagesBlocked, NotFound, PartyNotFound, TooMany, WritingStopped
from counterfoil.moments import moment_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties import happenings as happenings_module
from counterfoil.parties.happenings import Happening, Happenings
from counterfoil.parties.service import Parties
from counterfoil.web.access import HOLDER, Principal
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import Cursor, Moment, UuidText, cursor_text, parse_cursor, parse_uuid, uuid_text


class MessageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message. `id` is made by the sender, `to` is the account of whoever shall read it."""

    id: UuidText
    to: UuidText
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4 * TEXT_LENGTH_MAX, description="at most 1,000 characters in NFC")]


class TextView(msgspec.Struct, frozen=True):
    """What somebody wrote. `read`: when it was read, null until then."""

    id: UuidText
    from_: UuidText = msgspec.field(name="from")
    to: UuidText
    text: str
    at: Moment
    read: Moment | None


class ThreadView(msgspec.Struct, frozen=True):
    """The messages with one person, in short. `blocked`: by the caller. `scheme`: the scheme itself writes, and reads no answers."""

    account: UuidText
    name: str
    last: TextView
    unread: Annotated[int, msgspec.Meta(ge=0)]
    blocked: bool
    scheme: bool


class ThreadsView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    threads: list[ThreadView]
    next: Cursor | None


class ConversationView(msgspec.Struct, frozen=True):
    """A page of the messages with one person, newest first. `blocked`, `scheme`: as in the list of threads."""

    account: UuidText
    name: str
    blocked: bool
    scheme: bool
    messages: list[TextView]
    next: Cursor | None


class ReportBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a message is reported. `id` is made by the caller."""

    id: UuidText
    reason: ReportReason
    note: Annotated[str, msgspec.Meta(max_length=4 * NOTE_LENGTH_MAX, description="at most 300 characters")] = ""


class ReportView(msgspec.Struct, frozen=True):
    """What was reported."""

    id: UuidText
    message: UuidText
    reason: ReportReason
    at: Moment


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, newest first."""

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=conversations_module.PAGE_SIZE_MAX)] = 50


class NoticeView(msgspec.Struct, frozen=True):
    """Something that happened to the account.

    Attributes:
        kind: opened, device_added, device_revoked, recovery_started, recovery_done, recovery_cancelled, pin_set, pin_allowed,
            number_changed, handle_set, own_limits_set, tier_changed, frozen, unfrozen, token_created, token_revoked, closed;
            card_added, card_locked, card_unlocked, card_ended; sim_changed, sim_change_lifted, number_released;
            parking_ends. Of the caller's own
            watchers: watcher_chosen, watcher_accepted, watcher_declined, watcher_left, watcher_taken_away, watcher_kept,
            watcher_ended. Of accounts that the caller watches: watch_asked, watch_taken_away, watch_kept, watch_ended, watched_paid,
            watched_received, watched_held, watched_released, watched_closed, watched_device_added, watched_device_revoked,
            watched_frozen, watched_unfrozen, watched_number_changed, watched_number_released, watched_own_limits_set,
            watched_pin_allowed, watched_pin_set, watched_recovery_started,
            watched_recovery_done, watched_recovery_cancelled, watched_sim_changed, watched_sim_change_lifted.
        by: self, watcher, staff, or scheme (by its rules: a recovery whose time had come).
        facts: by kind: device; handle; per_payment, per_day, per_month (minor units, null for none); before, after; reason; label, scopes;
            card; watcher; until (ns) and stay, the ticket; name, and of money that moved amount, fee (minor units) and receipt_code.
    """

    id: UuidText
    kind: str
    at: Moment
    by: str
    facts: dict[str, str | int | None]


class NoticesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, newest first."""

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=happenings_module.PAGE_SIZE_MAX)] = 50


class NoticesView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    notices: list[NoticeView]
    next: Cursor | None


class MessageEndpoints:
    """Conversations and notices of the caller."""

    def __init__(
        self, *, conversations: Conversations, reports: Reports, happenings: Happenings, parties: Parties, scheme_name: str
    ) -> None:
        self.scheme_name = scheme_name
        self.conversations = conversations
        self.reports = reports
        self.happenings = happenings
        self.parties = parties

    def endpoints(self) -> list[Endpoint]:
        refusals = (PartyNotFound, AccountFrozen, MessagesBlocked, WritingStopped, TooMany, IdReused)
        reporting = (NotFound, IdReused, TooMany)
        nobody = (PartyNotFound,)
        return [
            Endpoint("POST", "/v1/messages", self.send, access=HOLDER, errors=refusals, status=201, tag="messages"),
            Endpoint("POST", "/v1/messages/{id}/report", self.report, access=HOLDER, errors=reporting, status=201, tag="messages"),
            Endpoint("GET", "/v1/threads", self.threads, access=HOLDER, tag="messages"),
            Endpoint("GET", "/v1/threads/{account}", self.thread, access=HOLDER, errors=nobody, tag="messages"),
            Endpoint("POST", "/v1/threads/{account}/read", self.read, access=HOLDER, status=204, tag="messages"),
            Endpoint("POST", "/v1/threads/{account}/block", self.block, access=HOLDER, errors=nobody, status=204, tag="messages"),
            Endpoint("POST", "/v1/threads/{account}/unblock", self.unblock, access=HOLDER, status=204, tag="messages"),
            Endpoint("GET", "/v1/notices", self.notices, access=HOLDER, tag="messages"),
        ]

    async def send(self, caller: Principal, body: MessageBody) -> TextView:
        """Write to somebody who holds an account. A repeat with the same id answers the same message."""
        sent = await self.conversations.send(
            id=parse_uuid(body.id, "id"), sender=caller.account, recipient=parse_uuid(body.to, "to"), text=body.text
        )
        return message_view(sent)

    async def report(self, caller: Principal, id: int, body: ReportBody) -> ReportView:
        """Report a message that the caller received to the scheme's staff, who get a copy. A repeat answers the same report."""
        made = await self.reports.report(
            id=parse_uuid(body.id, "id"), message=id, reporter=caller.account, reason=body.reason, note=body.note
        )
        return ReportView(uuid_text(made.id), uuid_text(made.message), made.reason, moment_text(made.created_at))

    async def threads(self, caller: Principal, query: PageQuery) -> ThreadsView:
        """With whom the caller has messages, the newest first."""
        found = await self.conversations.threads(caller.account, before=parse_cursor(query.cursor, maximum=AMOUNT_MAX), limit=query.limit)
        views = []
        for each in found:
            assert each.last is not None, each
            name, scheme = await self._who(each.other)
            views.append(ThreadView(uuid_text(each.other), name, message_view(each.last), each.unread, each.blocked, scheme))
        return ThreadsView(views, cursor_text(found[-1].last_at) if len(found) == query.limit else None)

    async def thread(self, caller: Principal, account: int, query: PageQuery) -> ConversationView:
        """The messages with one person, newest first; none so far is an empty page."""
        before = parse_cursor(query.cursor, maximum=AMOUNT_MAX)
        name, scheme = await self._who(account)
        thread = await self.conversations.thread(caller.account, account)
        found = await self.conversations.messages(caller.account, account, before=before, limit=query.limit)
        following = cursor_text(found[-1].sent_at) if len(found) == query.limit else None
        texts = [message_view(each) for each in found]
        return ConversationView(uuid_text(account), name, thread.blocked, scheme, texts, following)

    async def read(self, caller: Principal, account: int) -> None:
        """The caller has read what this person wrote so far. A repeat changes nothing."""
        await self.conversations.read(caller.account, account)

    async def block(self, caller: Principal, account: int) -> None:
        """No more messages between the caller and this person; the scheme is only muted. A repeat changes nothing."""
        await self.conversations.block(caller.account, account)

    async def unblock(self, caller: Principal, account: int) -> None:
        """Messages again, as far as the caller is concerned. A repeat changes nothing."""
        await self.conversations.unblock(caller.account, account)

    async def _who(self, account: int) -> tuple[str, bool]:
        """Who writes in a thread: a name, and whether that is the scheme itself."""
        if account == self.conversations.scheme_account:
            return self.scheme_name, True
        return (await self.parties.holder(account)).name, False

    async def notices(self, caller: Principal, query: NoticesQuery) -> NoticesView:
        """What happened to the caller's account, newest first: devices, PIN, limits, freezes."""
        found = await self.happenings.of(caller.party, before=parse_cursor(query.cursor), limit=query.limit)
        return NoticesView([notice_view(each) for each in found], cursor_text(found[-1].id) if len(found) == query.limit else None)


def message_view(message: Message) -> TextView:
    return TextView(
        id=uuid_text(message.id),
        from_=uuid_text(message.sender),
        to=uuid_text(message.recipient),
        text=message.text,
        at=moment_text(message.sent_at),
        read=None if message.read_at is None else moment_text(message.read_at),
    )


def notice_view(happening: Happening) -> NoticeView:
    return NoticeView(uuid_text(happening.id), happening.kind, moment_text(happening.at), happening.by, happening.facts)
