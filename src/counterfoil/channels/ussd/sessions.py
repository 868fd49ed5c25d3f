"""What the server remembers of a session: where it is, and how far what was typed has been heard. No PIN, and nothing of one.

heard     all that was typed, as gateways of the `whole` kind send it, with "•" for every character that may be secret
marks     of the last hops, where the gateway has such
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from counterfoil.channels.ussd.tables import ussd_sessions
from counterfoil.channels.ussd.types import TYPED_SIZE_MAX, Hop
from counterfoil.payments.orders import Order, decode

HIDDEN = "•"
MARKS_MAX = 20
"""Hops that are known again by their mark."""
MARK_SIZE_MAX = 64
"""Characters of a mark that are looked at."""
KEPT_S = 24 * 3600
"""Seconds that a session is kept after its last hop."""


class Due(msgspec.Struct, frozen=True):
    """A payment as it is shown before the PIN: the exact order, the payee's name, whether it is for cash."""

    data: bytes
    payee_name: str
    is_cash: bool

    @property
    def order(self) -> Order:
        return decode(self.data)


class State(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a session is.

    Attributes:
        screen: the screen's name in `screens.SCREENS`; `pages` of it are kept as they were made, `page` is the one shown;
            `choices` is how many it offers.
        party: whose session it is, an id in hex; "" before they have an account.
        is_open: the PIN was right in this session, so that private things may be shown.
        then: the screen that waits for that PIN.
        name, language: of somebody who is opening an account.
        begun, payee, amount: of a payment that is being put together: the screen that it began with, an account in hex, minor units.
        request, watcher, card: a request's id in hex, a watcher's, and a card's; `listed` those on the screen.
        stay: a stay in a car park; `parked` those on the screen, above the requests.
        due: a payment whose terms were shown. `is_sent`: its PIN came, and the outcome was not shown so far.
        told: what became of a payment, in a few words: whoever dials again at once may never have seen it.
        before: the session that broke off, while it is asked whether to go on with it.
    """

    screen: str = ""
    pages: list[str] = []
    page: int = 0
    choices: int = 0
    hops: int = 0
    heard: str = ""
    heard_size: int = 0
    marks: list[str] = []
    party: str = ""
    is_open: bool = False
    then: str = ""
    name: str = ""
    language: str = ""
    begun: str = ""
    payee: str = ""
    amount: int = 0
    request: str = ""
    watcher: str = ""
    card: str = ""
    listed: list[str] = []
    stay: str = ""
    parked: list[str] = []
    due: Due | None = None
    is_sent: bool = False
    told: str = ""
    before: State | None = None

    def hear(self, hop: Hop, typed: str, *, secret: bool) -> None:
        """Notes that a hop has come. `typed`: what is new in it."""
        self.hops += 1
        if hop.mark:
            self.marks = [*self.marks[1 - MARKS_MAX :], _mark(hop)]
        if hop.whole:
            old = len(hop.typed) - len(typed)
            known = self.heard + "*" if self.heard_size and old == self.heard_size + 1 else HIDDEN * old
            self.heard = (known + (HIDDEN * len(typed) if secret else typed))[:TYPED_SIZE_MAX]
            self.heard_size = len(hop.typed)

    def is_repeat(self, hop: Hop) -> bool:
        """Whether this hop, or a later one, has been heard: it is answered as the last one was, and changes nothing."""
        if hop.mark and _mark(hop) in self.marks:
            return True
        if not hop.whole:
            return hop.begins is True and self.hops == 1 and not hop.mark
        size = len(hop.typed)
        if size in (0, self.heard_size):
            return self._begins_with(hop.typed)
        return size < len(self.heard) and self.heard[size] == "*" and self._begins_with(hop.typed)

    def new_in(self, hop: Hop) -> str | None:
        """What was typed on this screen; None when the hop does not follow the one before."""
        if not hop.whole:
            return hop.typed
        if self.heard_size == 0:
            return hop.typed
        if len(hop.typed) > self.heard_size and hop.typed[self.heard_size] == "*" and self._begins_with(hop.typed):
            return hop.typed[self.heard_size + 1 :]
        return None

    def _begins_with(self, text: str) -> bool:
        return all(one in (HIDDEN, other) for one, other in zip(self.heard, text, strict=False))


class Kept(msgspec.Struct):
    """A session as the store has it. `answer` None: the last hop has not been answered so far."""

    gateway: str
    session: str
    number: str
    state: State
    answer: str | None
    ends: bool
    seen_at: int


def find(connection: Connection, gateway: str, session: str) -> Kept | None:
    """The session, or None."""
    row = connection.execute(_FIND, {"this_gateway": gateway, "this_session": session}).one_or_none()
    return None if row is None else _kept(row)


def newest(connection: Connection, number: str, since: int) -> Kept | None:
    """The newest session of a number, unless it was seen before `since` (ns)."""
    row = connection.execute(_NEWEST, {"number": number, "since": since}).one_or_none()
    return None if row is None else _kept(row)


def keep(connection: Connection, batch: list[Kept]) -> list[None]:
    """Writes the sessions as they are now."""
    for kept in batch:
        values = {
            "number": kept.number,
            "state": msgspec.json.encode(kept.state).decode(),
            "answer": kept.answer,
            "ends": kept.ends,
            "seen_at": kept.seen_at,
        }
        if connection.execute(_CHANGE, values | {"this_gateway": kept.gateway, "this_session": kept.session}).rowcount == 0:
            connection.execute(_ADD, values | {"gateway": kept.gateway, "session": kept.session})
    return [None] * len(batch)


def remove_old(connection: Connection, before: int) -> int:
    """Removes sessions that were last seen before `before` (ns); returns how many."""
    return connection.execute(delete(ussd_sessions).where(ussd_sessions.c.seen_at < before)).rowcount


def _kept(row: Row[tuple[object, ...]]) -> Kept:
    state = msgspec.json.decode(row.state, type=State)
    return Kept(row.gateway, row.session, row.number, state, row.answer, row.ends, row.seen_at)


def _mark(hop: Hop) -> str:
    return hop.mark[:MARK_SIZE_MAX].encode("ascii", "backslashreplace").decode()


# Made once: to put one together takes Core longer than the database takes to carry it out.
_THIS = (ussd_sessions.c.gateway == bindparam("this_gateway")) & (ussd_sessions.c.session == bindparam("this_session"))
_FIND = select(ussd_sessions).where(_THIS)
_NEWEST = (
    select(ussd_sessions)
    .where(ussd_sessions.c.number == bindparam("number"), ussd_sessions.c.seen_at >= bindparam("since"))
    .order_by(ussd_sessions.c.seen_at.desc())
    .limit(1)
)
_CHANGE = update(ussd_sessions).where(_THIS).values({name: bindparam(name) for name in ("number", "state", "answer", "ends", "seen_at")})
_ADD = insert(ussd_sessions)
