"""Messages between two people who hold accounts: kept for both, told at once to whoever listens.

The sender makes a message's id, so a repeat is the same message. Within a thread messages are in the order in which they were
kept. Each side has its own row for a thread: how much is unread, and whether it wants to hear no more. Whoever has no app gets
a message as a text, by the rules of `held`. What the scheme writes (see `announcements`) is a thread with an account of its own.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, func, select, update

from counterfoil.channels.announcement_tables import silenced
from counterfoil.channels.conversation_tables import messages, threads
from counterfoil.channels.held import MESSAGE, HeldText, HeldTexts, shortened
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, MessagesBlocked, PartyClosed, Refused, TooMany, WritingStopped
from counterfoil.i18n import Language
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.parties.readers import texted
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Holder, PartyState
from counterfoil.payments.hub import MESSAGE_RECEIVED, Hub, Told
from counterfoil.store.database import Store

TEXT_LENGTH_MAX = 1_000
"""Characters (code points, NFC) of a message."""
PER_MINUTE_MAX = 60
PER_DAY_MAX = 1_000
"""Messages by one sender, to whomever."""
PAGE_SIZE_MAX = 100
_LAST_AT = select(func.max(threads.c.last_at)).where(threads.c.account == bindparam("account"))
_MINUTE_NS, _DAY_NS = 60 * NANOSECONDS, 86_400 * NANOSECONDS


class Message(msgspec.Struct, frozen=True):
    """What somebody wrote. `sent_at` and `read_at` (None: not yet) in ns."""

    id: int
    sender: int
    recipient: int
    text: str
    sent_at: int
    read_at: int | None


class Thread(msgspec.Struct, frozen=True):
    """A thread as one side sees it. `blocked`: this side takes no messages from `other`."""

    account: int
    other: int
    last: Message | None
    last_at: int
    unread: int
    blocked: bool


class Conversations:
    """Keeps messages and tells `hub`. `scheme_account`: under which the scheme itself writes; nobody writes to it."""

    def __init__(self, *, store: Store, parties: Parties, clock: Clock, hub: Hub, held: HeldTexts, scheme_account: int) -> None:
        self.store = store
        self.parties = parties
        self.clock = clock
        self.hub = hub
        self.held = held
        self.scheme_account = scheme_account

    async def send(self, *, id: int, sender: int, recipient: int, text: str) -> Message:
        """Keeps a message. A repeat with the same id answers the same message; with other content it is IdReused.

        Refuses in this order: Malformed ("to", "text"), PartyNotFound, PartyClosed and AccountFrozen (sender), PartyClosed
        (recipient), MessagesBlocked, WritingStopped, TooMany with the seconds to wait.
        """
        if sender == recipient:
            raise Malformed("to", "must be somebody else")
        if recipient == self.scheme_account:
            raise Malformed("to", "must be a person: the scheme reads no answers")
        text = parse_text(text)
        to = await self.parties.holder(recipient)
        with await self.parties.admit(account_id=sender, amount=0):
            if to.state is not PartyState.OPEN:
                raise PartyClosed("This account has been closed: nobody reads what you write to it.")
            now = self.clock.now_ns()
            message = Message(id, sender, recipient, text, now, None)
            name = (await self.parties.holder(sender)).name
            kept = await self.store.write(lambda connection: self._keep(connection, message, now, name, to))
        if isinstance(kept, Refused):
            raise kept
        message, is_new = kept
        if is_new:
            ids = {"message": id_text(id), "from": id_text(sender)}
            self.hub.publish(recipient, Told(MESSAGE_RECEIVED, message.sent_at, ids))
        return message

    async def threads(self, account: int, *, before: int = 0, limit: int = PAGE_SIZE_MAX) -> list[Thread]:
        """Threads with messages, the one with the newest first. `before` is the `last_at` of the page before."""
        statement = select(threads).where(threads.c.account == account, threads.c.last_at > 0)
        if before:
            statement = statement.where(threads.c.last_at < before)
        statement = statement.order_by(threads.c.last_at.desc()).limit(min(limit, PAGE_SIZE_MAX))

        def read(connection: Connection) -> list[Thread]:
            rows = connection.execute(statement).all()
            last = connection.execute(select(messages).where(messages.c.id.in_([row.last_message for row in rows])))
            by_id = {row.id: _message(row) for row in last}
            return [_thread(row, by_id[row.last_message]) for row in rows]

        return await self.store.read(read)

    async def thread(self, account: int, other: int) -> Thread:
        """The thread of `account` with `other`, also one in which nobody has written so far. PartyNotFound when there is no `other`."""
        await self._check(other)

        def read(connection: Connection) -> Thread:
            row = _find_thread(connection, account, other)
            if row is None:
                return Thread(account, other, None, 0, 0, blocked=False)
            return _thread(row, _find(connection, row.last_message) if row.last_message else None)

        return await self.store.read(read)

    async def messages(self, account: int, other: int, *, before: int = 0, limit: int = PAGE_SIZE_MAX) -> list[Message]:
        """Messages between both, newest first. `before` is the `sent_at` of the last one of the page before."""
        statement = select(messages).where(messages.c.pair == pair_of(account, other))
        if before:
            statement = statement.where(messages.c.sent_at < before)
        statement = statement.order_by(messages.c.sent_at.desc()).limit(min(limit, PAGE_SIZE_MAX))
        return await self.store.read(lambda connection: [_message(row) for row in connection.execute(statement)])

    async def read(self, account: int, other: int) -> None:
        """`account` has read all that `other` wrote so far. A repeat changes nothing."""
        now = self.clock.now_ns()
        unread = (messages.c.pair == pair_of(account, other)) & (messages.c.recipient == account) & messages.c.read_at.is_(None)

        def write(connection: Connection) -> None:
            row = _find_thread(connection, account, other)
            if row is not None and row.unread:
                connection.execute(update(messages).where(unread).values(read_at=now))
                connection.execute(update(threads).where(_side(account, other)).values(unread=0))

        await self.store.write(write)

    async def block(self, account: int, other: int) -> None:
        """From now on neither writes to the other. A repeat changes nothing. PartyNotFound when there is no `other`.

        The scheme is only muted: what it writes is kept as read, and what is about security is told all the same.
        """
        if account == other:
            raise Malformed("account", "must be somebody else")
        await self._check(other)
        now = self.clock.now_ns()

        def write(connection: Connection) -> None:
            if _find_thread(connection, account, other) is None:
                connection.execute(threads.insert().values(account=account, other=other, last_at=0, unread=0, blocked_at=now))
            else:
                this = _side(account, other) & threads.c.blocked_at.is_(None)
                connection.execute(update(threads).where(this).values(blocked_at=now))

        await self.store.write(write)

    async def unblock(self, account: int, other: int) -> None:
        """Takes back this side's block. A repeat changes nothing."""
        await self.store.write(
            lambda connection: connection.execute(update(threads).where(_side(account, other)).values(blocked_at=None)),
        )

    async def _check(self, other: int) -> None:
        if other != self.scheme_account:
            await self.parties.holder(other)

    def _keep(self, connection: Connection, message: Message, now: int, name: str, to: Holder) -> tuple[Message, bool] | Refused:
        """As `_keep` below; a new message for somebody without an app goes as a text, too."""
        kept = _keep(connection, message, now)
        if isinstance(kept, tuple) and kept[1]:
            number = texted(connection, [to.party]).get(to.party)
            if number is not None:
                values = {"name": name, "text": shortened(name, message.text, Language(to.language))}
                self.held.hold(connection, [HeldText(message.id, to.party, number, MESSAGE, values)])
        return kept


def parse_text(text: str) -> str:
    """A message in NFC, spaces around it trimmed: any script, several lines, 1 to 1,000 characters. Malformed ("text") otherwise."""
    if len(text) > 4 * TEXT_LENGTH_MAX:  # before any work on it
        raise Malformed("text", f"must be at most {TEXT_LENGTH_MAX} characters")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if any(unicodedata.category(character) in ("Cc", "Cs") and character != "\n" for character in text):
        raise Malformed("text", "must not contain control characters")
    if not any(unicodedata.category(character)[0] in "LNPS" for character in text):
        raise Malformed("text", "must have something to read")
    if len(text) > TEXT_LENGTH_MAX:
        raise Malformed("text", f"must be at most {TEXT_LENGTH_MAX} characters")
    return text


def _keep(connection: Connection, message: Message, now: int) -> tuple[Message, bool] | Refused:
    """Writes a message unless it is there. `sent_at` rises for both sides, in all their threads, whatever the clock does."""
    if (kept := _find(connection, message.id)) is not None:
        same = (kept.sender, kept.recipient, kept.text) == (message.sender, message.recipient, message.text)
        return (kept, False) if same else IdReused()
    mine, theirs = _side(message.sender, message.recipient), _side(message.recipient, message.sender)
    blocked = select(func.count()).select_from(threads).where(mine | theirs, threads.c.blocked_at.is_not(None))
    if connection.execute(blocked).scalar_one():
        return MessagesBlocked()
    until = connection.execute(select(silenced.c.until).where(silenced.c.account == message.sender)).scalar()
    if until is not None and until > now:
        return WritingStopped(until=moment_text(until))
    for period_ns, count_max in ((_MINUTE_NS, PER_MINUTE_MAX), (_DAY_NS, PER_DAY_MAX)):
        sent = select(messages.c.sent_at).where(messages.c.sender == message.sender, messages.c.sent_at > now - period_ns)
        # The oldest of the last `count_max` messages: once it is too old, there is room for one more.
        oldest = connection.execute(sent.order_by(messages.c.sent_at.desc()).offset(count_max - 1).limit(1)).scalar()
        if oldest is not None:
            return TooMany(retry_after_s=max(-(-(oldest + period_ns - now) // NANOSECONDS), 1))
    last = [connection.execute(_LAST_AT, {"account": each}).scalar() or 0 for each in (message.sender, message.recipient)]
    message = msgspec.structs.replace(message, sent_at=max(message.sent_at, *(at + 1 for at in last)))
    pair = pair_of(message.sender, message.recipient)
    connection.execute(messages.insert().values(**msgspec.structs.asdict(message), pair=pair))
    for account, other, unread in ((message.sender, message.recipient, 0), (message.recipient, message.sender, 1)):
        if _find_thread(connection, account, other) is None:
            connection.execute(threads.insert().values(account=account, other=other, last_at=0, unread=0))
        values = {"last_message": message.id, "last_at": message.sent_at, "unread": threads.c.unread + unread}
        connection.execute(update(threads).where(_side(account, other)).values(values))
    return message, True


def _side(account: int, other: int) -> Any:
    return (threads.c.account == account) & (threads.c.other == other)


def _find_thread(connection: Connection, account: int, other: int) -> Row[Any] | None:
    return connection.execute(select(threads).where(_side(account, other))).first()


def _find(connection: Connection, id: int) -> Message | None:
    row = connection.execute(select(messages).where(messages.c.id == id)).first()
    return None if row is None else _message(row)


def pair_of(one: int, other: int) -> bytes:
    """Whose messages these are: both accounts, the lower first."""
    low, high = sorted((one, other))
    return low.to_bytes(16) + high.to_bytes(16)


def _message(row: Row[Any]) -> Message:
    return Message(row.id, row.sender, row.recipient, row.text, row.sent_at, row.read_at)


def _thread(row: Row[Any], last: Message | None) -> Thread:
    return Thread(row.account, row.other, last, row.last_at, row.unread, row.blocked_at is not None)
