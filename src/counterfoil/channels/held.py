"""Texts that are neither about a payment nor about security: sent when the rules of `quiet` allow it, kept until then.

A text is held in the transaction of what it tells of, and goes into the outbox of notices in the transaction that takes it
out of here: it is sent once, whenever the process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from counterfoil.channels.announcement_tables import held_texts
from counterfoil.channels.quiet import QuietRules, is_quiet, week_of, when
from counterfoil.channels.sms.encoding import measure, plain_marks
from counterfoil.channels.sms.texts import said_by
from counterfoil.clock import Clock
from counterfoil.errors import Unavailable
from counterfoil.i18n import Language
from counterfoil.parties.journal import send_sms
from counterfoil.parties.readers import texted
from counterfoil.store.database import Store

ANNOUNCEMENT, SECURITY, MESSAGE = "announcement", "announcement_security", "message"
"""Kinds of texts: see `sms.texts`."""
PARTS_MAX: Final = 2
"""Parts of the text that carries a message from one person to another; what is longer ends with "..."."""
NAME_SHOWN_MAX: Final = 30
PAGE_SIZE = 100
PACE_S: Final = 15.0
"""Seconds between two looks at what is due."""
PAUSE_S: Final = 0.02
"""Seconds between two pages."""
RETRY_S: Final = 5.0

log = structlog.get_logger(__name__)


class HeldText(msgspec.Struct, frozen=True):
    """A text to hold. `id`: the message's; `now`: it is about security, so no rule holds it back."""

    id: int
    party: int
    number: str
    kind: str
    values: dict[str, str]
    now: bool = False


class HeldTexts:
    """Holds texts and lets them go; `run()` beside the server."""

    def __init__(self, *, store: Store, clock: Clock, rules: QuietRules) -> None:
        self.store = store
        self.clock = clock
        self.rules = rules
        self._stopping = asyncio.Event()

    def hold(self, connection: Connection, texts: Sequence[HeldText]) -> int:
        """Sends these texts in this transaction, or holds them; how many have no place and will never be sent.

        Each id once: the caller has seen that they are new. At most PAGE_SIZE at a time.
        """
        assert len(texts) <= PAGE_SIZE, len(texts)
        now = self.clock.now_ns()
        taken = self._taken(connection, [text.party for text in texts if not text.now], now)
        rows = []
        for text in texts:
            due = now if text.now else when(now, taken[text.party], self.rules)
            state = "dropped" if due is None else "sent" if due <= now else "waiting"
            if state == "sent":
                send_sms(connection, self.clock, text.number, text.kind, party=text.party, **text.values)
            if text.now:
                continue  # nobody counts these
            if due is not None:
                taken[text.party].append(due)
            row = {"id": text.id, "party": text.party, "kind": text.kind, "created_at": now, "due_at": now if due is None else due}
            rows.append(row | {"body": msgspec.json.encode(text.values).decode() if state == "waiting" else "{}", "state": state})
        if rows:
            connection.execute(insert(held_texts), rows)
        return sum(row["state"] == "dropped" for row in rows)

    async def run(self) -> None:
        """Returns after `stop()`."""
        while not self._stopping.is_set():
            pause = PACE_S
            try:
                if await self.release() == PAGE_SIZE:
                    pause = PAUSE_S
            except Unavailable as error:
                log.warning("held_texts_wait", error=str(error))
                pause = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()

    async def release(self) -> int:
        """Lets a page of what is due go, and returns how many that were; 0 in quiet hours, whatever is due."""
        now = self.clock.now_ns()
        if is_quiet(now, self.rules):
            return 0
        due = (
            select(held_texts)
            .where(held_texts.c.state == "waiting", held_texts.c.due_at <= now)
            .order_by(held_texts.c.due_at, held_texts.c.id)
            .limit(PAGE_SIZE)
        )
        if not await self.store.read(lambda connection: connection.execute(due.limit(1)).first()):
            return 0
        return await self.store.write(lambda connection: self._release(connection, connection.execute(due).all(), now))

    def _release(self, connection: Connection, rows: Sequence[Row[Any]], now: int) -> int:
        """After a time in which nothing ran, more may be due than a week has room for: the rest waits on."""
        people = [row.party for row in rows]
        sent, numbers = self._taken(connection, people, now, state="sent"), texted(connection, people)
        changes = []
        for row in rows:
            change = {"this": row.id, "state": "dropped", "due_at": row.due_at, "body": "{}"}
            if row.party in numbers:  # neither gone nor with an app by now
                at = when(now, sent[row.party], self.rules)
                if at is not None and at <= now:
                    send_sms(connection, self.clock, numbers[row.party], row.kind, party=row.party, **msgspec.json.decode(row.body))
                    change |= {"state": "sent", "due_at": now}
                elif at is not None:
                    change |= {"state": "waiting", "due_at": at, "body": row.body}
                if at is not None:
                    sent[row.party].append(at)
            changes.append(change)
        if changes:
            connection.execute(_CHANGE, changes)
        return len(rows)

    def _taken(self, connection: Connection, people: Collection[int], now: int, *, state: str = "") -> defaultdict[int, list[int]]:
        """For each of these parties the moments of their texts, sent and to be sent, from this week on."""
        start, _ = week_of(now, self.rules.zone)
        found: defaultdict[int, list[int]] = defaultdict(list)
        if not people:
            return found
        chosen = held_texts.c.state == state if state else held_texts.c.state != "dropped"
        query = select(held_texts.c.party, held_texts.c.due_at).where(
            held_texts.c.party.in_(set(people)), held_texts.c.due_at >= start, chosen
        )
        for row in connection.execute(query):
            found[row.party].append(row.due_at)
        return found


_CHANGE = (
    update(held_texts)
    .where(held_texts.c.id == bindparam("this"))
    .values(state=bindparam("state"), due_at=bindparam("due_at"), body=bindparam("body"))
)


def shortened(sender: str, text: str, language: Language) -> str:
    """`text` as it goes by SMS behind its sender's name: as much as PARTS_MAX parts hold, on one line; what was longer ends with "...".

    `language`: the reader's.
    """
    text = plain_marks(" ".join(text.split()))
    before = said_by(language, sender[:NAME_SHOWN_MAX], "")
    if _parts(before + text) <= PARTS_MAX:
        return text
    low, high = 0, len(text)
    while low < high:  # the most characters that fit; the alphabet only ever changes for the worse with more of them
        middle = (low + high + 1) // 2
        if _parts(f"{before}{text[:middle]}...") <= PARTS_MAX:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low].rstrip()}..."


def _parts(text: str) -> int:
    return measure(plain_marks(text))[2]
