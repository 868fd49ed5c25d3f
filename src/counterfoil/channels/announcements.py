"""What a scheme writes to all of its people or to a group of them: proposed by one member of staff, approved by another.

    proposed (parties.approvals) -> approved: a row in `announcements` -> handed out page by page -> done

Everybody in the group whose account was open when it was approved finds it in the app, in a thread of the scheme's own that
cannot be answered, in their language or else in the scheme's first one. Whoever has no app gets it as a text, by the rules of
`held`. A page is written in one transaction with the position after it, so each person has it once, whenever the process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgspec
import structlog
from sqlalchemy import Connection, Row, Subquery, bindparam, func, insert, select, update

from counterfoil.channels.announcement_tables import announcement_lists, announcements, held_texts
from counterfoil.channels.conversation_tables import messages, threads
from counterfoil.channels.conversations import pair_of, parse_text
from counterfoil.channels.held import ANNOUNCEMENT, PAGE_SIZE, SECURITY, HeldText, HeldTexts
from counterfoil.channels.quiet import week_of, when
from counterfoil.channels.sms.encoding import measure, plain_marks
from counterfoil.clock import Clock
from counterfoil.errors import Malformed, Unavailable
from counterfoil.ids import id_text
from counterfoil.parties.readers import readers
from counterfoil.parties.service import Parties
from counterfoil.parties.types import PartyKind, Proposal
from counterfoil.payments.hub import MESSAGE_RECEIVED, Hub, Told
from counterfoil.store.database import Store

KIND: Final = "announcement"
"""As a kind of proposal."""
TEXT_LENGTH_MAX: Final = 300
"""Characters of the text in each language."""
LIST_SIZE_MAX: Final = 10_000
PULSE_S: Final = 5.0
"""Seconds between two looks when nobody has said that there is something to do."""
PAUSE_S: Final = 0.02
"""Seconds between two pages: payments have the store to themselves meanwhile."""

log = structlog.get_logger(__name__)

Group = Literal["all", "kind", "tier", "language", "list"]


class Announcement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is proposed, and approved as it is.

    Attributes:
        texts: by language; the scheme's first language is among them.
        to, value: everybody; or those of a kind, tier or language; or a list by its hash (hexadecimal).
        count: how many are on the list; 0 for other groups.
        security: goes at once, also to those who have muted the scheme, and is not counted.
    """

    texts: dict[str, str]
    to: Group
    value: str = ""
    count: int = 0
    security: bool = False


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an announcement would reach if it were approved now.

    Attributes:
        people: in the group.
        in_app: of these, who reads it in an app.
        muted: of those in the app, who has muted the scheme and is not told.
        by_text: who gets a text, now or later.
        parts: what these texts are on the air.
        later: of those texts, how many wait for a later week, since this one's limit is used up.
        unreached: neither an app nor a number, or a scheme that sends no such texts: they find it once they have an app.
        texts_from: ns; when the first texts go, where quiet hours hold them up; None: at once, or there are none.
    """

    people: int = 0
    in_app: int = 0
    muted: int = 0
    by_text: int = 0
    parts: int = 0
    later: int = 0
    unreached: int = 0
    texts_from: int | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far it is. `done_at` in ns; None: not yet."""

    people: int
    texts: int
    left_out: int
    done_at: int | None


class Announcements:
    """Checks, counts and hands out. `run()` beside the server; `account` is the scheme's own in conversations."""

    def __init__(
        self, *, store: Store, parties: Parties, clock: Clock, hub: Hub, held: HeldTexts, account: int, languages: Sequence[str]
    ) -> None:
        self.store = store
        self.parties = parties
        self.clock = clock
        self.hub = hub
        self.held = held
        self.account = account
        self.languages = languages
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    # Proposing

    async def list_of(self, addresses: Collection[str]) -> tuple[str, int]:
        """Keeps a list of people; its value and count in an `Announcement`. Malformed and PartyNotFound, naming the place in the list."""
        if not 0 < len(addresses) <= LIST_SIZE_MAX:
            raise Malformed("list", f"must be 1 to {LIST_SIZE_MAX} addresses")
        found = set[int]()
        for place, address in enumerate(addresses):
            holder = await self.parties.directory.resolve(address)
            if holder is None:
                raise Malformed(f"list[{place}]", "must be the number, @handle or code of somebody with an account")
            found.add(holder.party)
        digest = hash_of(found)
        rows = [{"hash": digest, "party": party} for party in sorted(found)]

        def write(connection: Connection) -> None:
            kept = select(announcement_lists.c.party).where(announcement_lists.c.hash == digest).limit(1)
            if connection.execute(kept).first() is None:
                connection.execute(insert(announcement_lists), rows)

        await self.store.write(write)
        return digest.hex(), len(found)

    async def check(self, kind: str, payload: bytes) -> None:
        """For `parties.approvals`: refuses (Malformed) what could not be sent."""
        assert kind == KIND, kind
        announcement = parse(payload)
        self.check_texts(announcement.texts)
        if announcement.to == "list":
            if await self.store.read(lambda connection: _list_size(connection, announcement.value)) != announcement.count:
                raise Malformed("value", "must be a list that was kept")
        elif announcement.count:
            raise Malformed("count", "is for lists")
        if announcement.to == "kind" and announcement.value not in {*PartyKind} - {PartyKind.STAFF}:
            raise Malformed("value", "must be a kind of party that holds accounts")
        if announcement.to == "tier" and announcement.value not in {tier.name for tier in await self.parties.staff.tiers()}:
            raise Malformed("value", "must be a tier")
        if announcement.to == "language" and announcement.value not in self.languages:
            raise Malformed("value", f"must be one of {', '.join(self.languages)}")
        if announcement.to == "all" and announcement.value:
            raise Malformed("value", "must be empty for all")

    def check_texts(self, texts: dict[str, str]) -> None:
        """Refuses (Malformed) texts that are too long, empty, not in the form in which they are kept, or not in a language of the scheme."""
        if self.languages[0] not in texts:
            raise Malformed("texts", f"must have {self.languages[0]}, the scheme's first language")
        for code, text in texts.items():
            if code not in self.languages:
                raise Malformed("texts", f"must be in {', '.join(self.languages)}")
            try:
                kept = parse_text(text)
            except Malformed as error:
                raise Malformed(f"texts.{code}", str(error.facts["rule"])) from None
            if kept != text or len(text) > TEXT_LENGTH_MAX:
                raise Malformed(f"texts.{code}", f"must be at most {TEXT_LENGTH_MAX} characters, in NFC, without spaces around it")

    async def reach(self, announcement: Announcement) -> Reach:
        """Counts the group as it is now."""
        now = self.clock.now_ns()
        return await self.store.read_long(lambda connection: self._reach(connection, announcement, now))

    def _reach(self, connection: Connection, announcement: Announcement, now: int) -> Reach:
        people = _people(announcement, now)
        texted = people.c.number.is_not(None) & ~people.c.has_app
        reader = select(func.count()).select_from(people)
        muted = select(threads.c.account).where(threads.c.other == self.account, threads.c.blocked_at.is_not(None))
        by_language = select(people.c.language, func.count()).where(texted).group_by(people.c.language)
        counted: dict[str, int] = {row[0]: row[1] for row in connection.execute(by_language)}
        total = connection.execute(reader).scalar_one()
        in_app = connection.execute(reader.where(people.c.has_app)).scalar_one()
        silent = connection.execute(reader.where(people.c.has_app, people.c.account.in_(muted))).scalar_one()
        first = now if announcement.security else when(now, (), self.held.rules)
        by_text = sum(counted.values()) if first is not None else 0
        later = 0
        if first is not None and not announcement.security:
            start, end = week_of(first, self.held.rules.zone)
            full = (
                select(held_texts.c.party)
                .where(held_texts.c.state != "dropped", held_texts.c.due_at >= start, held_texts.c.due_at < end)
                .group_by(held_texts.c.party)
                .having(func.count() >= self.held.rules.per_week)
            )
            later = connection.execute(reader.where(texted, people.c.id.in_(full))).scalar_one()
        return Reach(
            people=total,
            in_app=in_app,
            muted=0 if announcement.security else silent,
            by_text=by_text,
            parts=sum(count * parts_of(self._said(announcement, code)) for code, count in counted.items()) if by_text else 0,
            later=later,
            unreached=total - in_app - by_text,
            texts_from=first if by_text and first != now else None,
        )

    # Sending

    async def execute(self, proposal: Proposal) -> None:
        """For `parties.approvals`: hands it out from now on. A repeat changes nothing."""
        announcement = parse(proposal.payload)
        assert proposal.decided_at is not None, proposal.id
        row = {
            "id": proposal.id, "payload": msgspec.json.encode(announcement).decode(), "approved_at": proposal.decided_at,
            "people": 0, "texts": 0, "left_out": 0,
        }  # fmt: skip

        def write(connection: Connection) -> None:
            if connection.execute(select(announcements.c.id).where(announcements.c.id == proposal.id)).first() is None:
                connection.execute(insert(announcements), row)

        await self.store.write(write)
        self._wake.set()

    async def progress(self, id: int) -> Progress | None:
        """How far an approved one is; None for any other."""
        query = select(announcements).where(announcements.c.id == id)
        row = await self.store.read(lambda connection: connection.execute(query).first())
        return None if row is None else Progress(row.people, row.texts, row.left_out, row.done_at)

    async def run(self) -> None:
        """Returns after `stop()`; what is under way goes on from its position with the next process."""
        while not self._stopping.is_set():
            self._wake.clear()
            more = False
            try:
                more = await self.hand_out()
            except Unavailable as error:
                log.warning("announcement_waits", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S if more else PULSE_S):
                    await (self._stopping if more else self._wake).wait()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    async def hand_out(self) -> bool:
        """Gives the next page of people the oldest announcement that is under way; False when there is none."""
        query = select(announcements).where(announcements.c.done_at.is_(None)).order_by(announcements.c.approved_at, announcements.c.id)
        if await self.store.read(lambda connection: connection.execute(query.limit(1)).first()) is None:
            return False

        def write(connection: Connection) -> list[tuple[int, Told]] | None:
            row = connection.execute(query.limit(1)).first()  # again: another call may have ended it in between
            return None if row is None else self._hand_out(connection, row)

        told = await self.store.write(write)
        for account, event in told or ():
            self.hub.publish(account, event)
        return told is not None

    def _hand_out(self, connection: Connection, row: Row[Any]) -> list[tuple[int, Told]]:
        """One page, and the position after it. Returns whom to tell of it."""
        announcement, now = parse(row.payload.encode()), self.clock.now_ns()
        people = _people(announcement, row.approved_at)
        query = select(people).order_by(people.c.id).limit(PAGE_SIZE)
        if row.position is not None:
            query = query.where(people.c.id > row.position)
        page = connection.execute(query).all()
        this = update(announcements).where(announcements.c.id == row.id)
        if not page:
            connection.execute(this.values(done_at=now))
            return []
        muted, newest = self._threads(connection, [each.account for each in page])
        kept, told, texts = [], [], []
        for person in page:
            silent = person.account in muted and not announcement.security
            copy, at = message_id(row.id, person.id), max(now, newest.get(person.account, 0) + 1)
            text = self._said(announcement, person.language)
            kept.append(
                {
                    "id": copy, "pair": pair_of(self.account, person.account), "sender": self.account, "recipient": person.account,
                    "text": text, "sent_at": at, "read_at": at if silent else None, "unread": int(not silent),
                }
            )  # fmt: skip
            if person.has_app:
                ids = {"message": id_text(copy), "from": id_text(self.account)}
                told += [] if silent else [(person.account, Told(MESSAGE_RECEIVED, at, ids))]
            elif person.number is not None:
                kind = SECURITY if announcement.security else ANNOUNCEMENT
                texts.append(HeldText(copy, person.id, person.number, kind, {"text": text}, announcement.security))
        self._keep(connection, kept)
        dropped = self.held.hold(connection, texts)
        unreached = sum(not person.has_app and person.number is None for person in page)
        counts = {
            "people": row.people + len(page), "texts": row.texts + len(texts) - dropped, "left_out": row.left_out + dropped + unreached
        }  # fmt: skip
        connection.execute(this.values(position=page[-1].id, **counts))
        return told

    def _threads(self, connection: Connection, of: Sequence[int]) -> tuple[set[int], dict[int, int]]:
        """Who has muted the scheme; and of each account the moment of its newest message with anybody."""
        blocked = select(threads.c.account).where(
            threads.c.other == self.account, threads.c.account.in_(of), threads.c.blocked_at.is_not(None)
        )
        newest = select(threads.c.account, func.max(threads.c.last_at)).where(threads.c.account.in_(of)).group_by(threads.c.account)
        return set(connection.execute(blocked).scalars()), {row[0]: row[1] for row in connection.execute(newest)}

    def _keep(self, connection: Connection, kept: list[dict[str, Any]]) -> None:
        fields = ("id", "pair", "sender", "recipient", "text", "sent_at", "read_at")
        connection.execute(insert(messages), [{name: each[name] for name in fields} for each in kept])
        there = select(threads.c.account).where(
            threads.c.other == self.account, threads.c.account.in_([each["recipient"] for each in kept])
        )
        known = set(connection.execute(there).scalars())
        fresh = [
            {"account": each["recipient"], "other": self.account, "last_at": 0, "unread": 0}
            for each in kept
            if each["recipient"] not in known
        ]
        if fresh:
            connection.execute(insert(threads), fresh)
        changes = [
            {"of": each["recipient"], "with": self.account, "message": each["id"], "at": each["sent_at"], "more": each["unread"]}
            for each in kept
        ]
        connection.execute(_WRITTEN, changes)

    def _said(self, announcement: Announcement, language: str) -> str:
        return announcement.texts.get(language) or announcement.texts[self.languages[0]]


_WRITTEN = (
    update(threads)
    .where(threads.c.account == bindparam("of"), threads.c.other == bindparam("with"))
    .values(last_message=bindparam("message"), last_at=bindparam("at"), unread=threads.c.unread + bindparam("more"))
)


def parse(payload: bytes) -> Announcement:
    """The particulars of a proposal. Malformed ("payload") when they are none."""
    try:
        return msgspec.json.decode(payload, type=Announcement)
    except msgspec.ValidationError as error:
        raise Malformed("payload", str(error)) from error


def parts_of(text: str) -> int:
    """Parts of the text that carries an announcement."""
    return measure(plain_marks(text))[2]


def message_id(announcement: int, party: int) -> int:
    """The id of one person's copy: the same whenever it is made, with the announcement's time bits."""
    digest = hashlib.sha256(b"counterfoil/announcement/v1" + announcement.to_bytes(16) + party.to_bytes(16)).digest()
    return announcement >> 80 << 80 | int.from_bytes(digest[:10])


def hash_of(people: Collection[int]) -> bytes:
    """SHA-256 of the ids of a list's members, each once, in their order."""
    return hashlib.sha256(b"".join(party.to_bytes(16) for party in sorted(set(people)))).digest()


def _list_size(connection: Connection, value: str) -> int:
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        return -1
    query = select(func.count()).select_from(announcement_lists).where(announcement_lists.c.hash == digest)
    return int(connection.execute(query).scalar_one()) or -1


def _people(announcement: Announcement, at: int) -> Subquery:
    """The group: see `parties.readers`."""
    if announcement.to == "list":
        listed = select(announcement_lists.c.party).where(announcement_lists.c.hash == bytes.fromhex(announcement.value))
        return readers(at, among=listed)
    return readers(at) if announcement.to == "all" else readers(at, by=announcement.to, value=announcement.value)
