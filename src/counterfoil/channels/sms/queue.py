"""Keeping, finding and accounting for text messages: plain functions over a connection.

    notices ── take_over, one transaction ──> waiting ──> sent ──> delivered      the phone has it
                                                 │          └────> failed         the network says: never
                                                 ├──> expired                     too old to be of use
                                                 ├──> failed                      no gateway takes it
                                                 └    capped                      from the start: too many of rank OTHER that day

A text is looked at when everything older of its number and rank has left: the order of texts to one number is kept within a
rank. Between ranks it is not: a code does not wait for a shop's greetings. A gateway with a queue of its own, such as Kannel's,
comes out of a crash with that queue in another order: where it reports, an older text has left when a report says that the network
has it, or after UNSURE_S. Codes do not wait for that.

A text that waits and has a `sent_at` is in doubt: it was given to `gateway`, and nobody has heard what became of it. For UNSURE_S
no other gateway is given it, so that a phone does not show it twice.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, case, delete, exists, func, insert, select, update

from counterfoil.channels.sms.encoding import measure
from counterfoil.channels.sms.tables import messages
from counterfoil.channels.sms.texts import KINDS, Rank, Speaker, text_of
from counterfoil.channels.sms.types import Delivery, Report
from counterfoil.clock import NANOSECONDS
from counterfoil.ids import parse_id
from counterfoil.parties.notices import hand_over, waiting_for

CHANNEL = "sms"
OTHERS_PER_DAY_MAX = 10
"""Texts of rank OTHER to one number within a day. Codes, what concerns security and money are not counted."""
DAY_NS = 86_400 * NANOSECONDS
UNSURE_S = 60
"""Seconds that a text in doubt stays with the gateway that may have it. What is secret does not: a code is needed now."""
SECRET = tuple(kind for kind, shape in KINDS.items() if shape.secret)
KEPT_S = 90 * 86_400
"""Seconds that texts which are done with are kept, for people to look at and to account for."""
PAGE_SIZE_MAX = 200
"""Rows of one transaction."""
TAKEN_MAX = 25
"""Notices that become texts in one transaction: some 20 ms, most of it for receipt codes."""
REASON_SIZE_MAX = 200
REFERENCE_SIZE_MAX = 128


Codes = Callable[[Connection, int, int], str]
"""The code of a payment for an account, as it is shown, kept from now on (`payments.receipt_codes`)."""


class State(enum.StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    """A gateway has it."""
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CAPPED = "capped"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One text message as it is kept; the columns are described in `tables`."""

    id: int
    sequence: int
    number: str
    kind: str
    rank: int
    language: str
    text: str
    alphabet: str
    parts: int
    state: State
    reason: str
    gateway: str
    reference: str
    cost: int
    attempts: int
    next_attempt_at: int | None
    expires_at: int
    created_at: int
    sent_at: int | None
    reported_at: int | None

    def __repr__(self) -> str:
        """For logs and traces: neither what is said nor to whom."""
        return f"Message(id={self.id:032x}, kind={self.kind!r}, state={self.state!r})"

    def is_bound(self, now: int) -> bool:
        """Whether it is in doubt, and no other gateway may have it yet."""
        return self.sent_at is not None and self.sent_at > now - UNSURE_S * NANOSECONDS

    @property
    def lane(self) -> tuple[str, int]:
        """Within it, the order is kept."""
        return self.number, self.rank


class Taken(msgspec.Struct, frozen=True):
    """What a gateway took: by whom, under which reference, for how much. `shown`: it is a sandbox's, where nothing is removed."""

    id: int
    gateway: str
    reference: str
    cost: int
    attempts: int
    at: int
    shown: bool = False


def take_over(connection: Connection, speaker: Callable[[str], Speaker], codes: Codes, now: int, limit: int = TAKEN_MAX) -> list[Message]:
    """Makes texts of the oldest notices that wait, and takes them out of the outbox: both, or neither. In order of time."""
    taken = []
    last = connection.execute(select(func.coalesce(func.max(messages.c.sequence), 0))).scalar_one()
    for place, (notice, language) in enumerate(waiting_for(connection, CHANNEL, KINDS, limit), start=1):
        assert notice.number is not None, notice.id
        kind, voice = KINDS[notice.kind], speaker(language)
        text = text_of(notice.kind, _with_code(connection, notice.values, codes), voice)
        alphabet, _, parts = measure(text)
        is_capped = kind.rank is Rank.OTHER and _others_today(connection, notice.number, now) >= OTHERS_PER_DAY_MAX
        message = Message(
            id=notice.id, sequence=last + place, number=notice.number, kind=notice.kind, rank=kind.rank, language=voice.language.code,
            text=text, alphabet=alphabet, parts=parts, state=State.CAPPED if is_capped else State.WAITING, reason="", gateway="",
            reference="", cost=0, attempts=0, next_attempt_at=None if is_capped else now,
            expires_at=notice.created_at + kind.lifetime_s * NANOSECONDS, created_at=now, sent_at=None, reported_at=None,
        )  # fmt: skip
        connection.execute(insert(messages), msgspec.structs.asdict(message))
        taken.append(message)
    if taken:
        hand_over(connection, [message.id for message in taken], now)
    return taken


def _with_code(connection: Connection, values: dict[str, str | int], codes: Codes) -> dict[str, str | int]:
    """With the receipt's code in place of what it is made of: half a millisecond, so not where money is followed."""
    if "payment" not in values:
        return values
    said = dict(values)
    payment, account = parse_id(str(said.pop("payment"))), parse_id(str(said.pop("account")))
    return said | {"receipt_code": codes(connection, payment, account)}


def _others_today(connection: Connection, number: str, now: int) -> int:
    query = select(func.count()).where(
        messages.c.number == number,
        messages.c.rank == int(Rank.OTHER),
        messages.c.state != State.CAPPED,
        messages.c.created_at > now - DAY_NS,
    )
    return connection.execute(query).scalar_one()


def due(
    connection: Connection,
    now: int,
    *,
    without: Collection[tuple[str, int]],
    limit: int,
    resting: Collection[str] = (),
    reporting: Collection[str] = (),
) -> list[Message]:
    """What may be sent now, most urgent first: of each number and rank the oldest, and none of the lanes `without`.

    `resting`: gateways that get nothing now; what is bound to one of them waits. `reporting`: those whose reports are waited for.
    Some milliseconds however long the queue is, but where thousands of texts in its front are held up: then 2 to 4 µs for each of them.
    """
    since = now - UNSURE_S * NANOSECONDS
    earlier = messages.alias("earlier")
    is_older = (earlier.c.number == messages.c.number) & (earlier.c.rank == messages.c.rank) & (earlier.c.sequence < messages.c.sequence)
    # In the order of the index over (state, rank, sequence): `+ 0` keeps a database from taking the one over `expires_at`, and sorting all.
    query = (
        select(messages)
        .where(messages.c.state == State.WAITING, messages.c.next_attempt_at <= now, messages.c.expires_at + 0 > now)
        .where(~exists(earlier.c.sequence).where(is_older, earlier.c.state == State.WAITING))
        .order_by(messages.c.rank, messages.c.sequence)
        .limit(limit + len(without))
    )
    if resting:
        is_free = messages.c.sent_at.is_(None) | (messages.c.sent_at <= since)
        query = query.where(is_free | messages.c.gateway.not_in(resting))
    if reporting:
        is_unreported = (earlier.c.state == State.SENT) & earlier.c.reported_at.is_(None) & (earlier.c.sent_at > since)
        is_held_up = exists(earlier.c.sequence).where(is_older, is_unreported, earlier.c.gateway.in_(reporting))
        query = query.where(messages.c.kind.in_(SECRET) | ~is_held_up)
    found = [message_of(row) for row in connection.execute(query)]
    return [message for message in found if message.lane not in without][:limit]


def waiting(connection: Connection) -> int:
    """How many texts wait."""
    return connection.execute(select(func.count()).where(messages.c.state == State.WAITING)).scalar_one()


def is_anything_new(connection: Connection) -> bool:
    """Whether notices wait that `take_over` would take over."""
    return bool(waiting_for(connection, CHANNEL, KINDS, 1))


def is_anything_old(connection: Connection, now: int) -> bool:
    """Whether texts wait that `expire` would give up."""
    old = select(messages.c.id).where(messages.c.state == State.WAITING, messages.c.expires_at <= now).limit(1)
    return connection.execute(old).first() is not None


def find(connection: Connection, id: int) -> Message | None:
    row = connection.execute(select(messages).where(messages.c.id == id)).one_or_none()
    return None if row is None else message_of(row)


def newest(connection: Connection, number: str, limit: int) -> list[Message]:
    """The newest texts to a number, newest first."""
    query = select(messages).where(messages.c.number == number).order_by(messages.c.sequence.desc()).limit(limit)
    return [message_of(row) for row in connection.execute(query)]


# What becomes of a text


class Given(msgspec.Struct, frozen=True):
    """A text that is about to be given to a gateway, which is written down before: should the process die, it is in doubt.

    `next_attempt_at`: when it is due again should nobody ever say what became of it.
    """

    id: int
    gateway: str
    at: int
    next_attempt_at: int


def giving(connection: Connection, given: list[Given]) -> list[bool]:
    """Writes down what is given to a gateway now, unless it does not wait any more; whether it does. A doubt that is there keeps its age."""
    return [_giving(connection, each) for each in given]


def _giving(connection: Connection, given: Given) -> bool:
    this = (messages.c.id == given.id) & (messages.c.state == State.WAITING)
    since = case((messages.c.gateway == given.gateway, func.coalesce(messages.c.sent_at, given.at)), else_=given.at)
    values = {"gateway": given.gateway, "sent_at": since, "next_attempt_at": given.next_attempt_at}
    return connection.execute(update(messages).where(this).values(**values)).rowcount == 1


def sent(connection: Connection, taken: Taken) -> None:
    """A gateway took it. A report that was quicker than this stands; each gateway that took it is paid."""
    this = messages.c.id == taken.id
    after = State.DELIVERED if taken.shown else State.SENT
    row = connection.execute(select(messages.c.kind, messages.c.state, messages.c.gateway, messages.c.sent_at).where(this)).one()
    if row.state != State.WAITING and row.sent_at is not None and row.gateway == taken.gateway:
        taken = msgspec.structs.replace(taken, cost=0, attempts=taken.attempts - 1)  # its own report accounted for it
    values: dict[str, Any] = {
        "gateway": taken.gateway,
        "reference": taken.reference[:REFERENCE_SIZE_MAX],
        "cost": messages.c.cost + taken.cost,
        "attempts": messages.c.attempts + taken.attempts,
        "sent_at": taken.at,
        "next_attempt_at": None,
        "reason": "",
        "state": after if row.state == State.WAITING else row.state,
    }
    connection.execute(update(messages).where(this).values(**values | ({} if taken.shown else _without_secret(row.kind))))


def tried(connection: Connection, id: int, *, attempts: int, next_attempt_at: int, reason: str, in_doubt: bool = False) -> None:
    """No gateway took it so far, or, `in_doubt`, the last one perhaps: it waits until then."""
    this = (messages.c.id == id) & (messages.c.state == State.WAITING)
    values = {"attempts": messages.c.attempts + attempts, "next_attempt_at": next_attempt_at, "reason": reason[:REASON_SIZE_MAX]}
    connection.execute(update(messages).where(this).values(**values | ({} if in_doubt else {"sent_at": None})))


def failed(connection: Connection, id: int, *, attempts: int, reason: str) -> None:
    """No gateway ever will take it."""
    this = messages.c.id == id
    kind = connection.execute(select(messages.c.kind).where(this)).scalar_one()
    values = {
        "state": State.FAILED,
        "next_attempt_at": None,
        "sent_at": None,
        "attempts": messages.c.attempts + attempts,
        "reason": reason[:REASON_SIZE_MAX],
    }
    connection.execute(update(messages).where(this, messages.c.state == State.WAITING).values(**values | _without_secret(kind)))


def expire(connection: Connection, now: int, limit: int = PAGE_SIZE_MAX) -> int:
    """Gives up what is too old to be of use; returns how many that were."""
    query = select(messages.c.id, messages.c.kind).where(messages.c.state == State.WAITING, messages.c.expires_at <= now).limit(limit)
    rows = connection.execute(query).all()
    for row in rows:
        values: dict[str, Any] = {"state": State.EXPIRED, "next_attempt_at": None, "sent_at": None} | _without_secret(row.kind)
        connection.execute(update(messages).where(messages.c.id == row.id).values(**values))
    return len(rows)


def reported(connection: Connection, report: Report, now: int, *, part_cost: int = 0) -> State | None:
    """The state into which a delivery report brought a text; None when it changed nothing: unknown, a repeat, or overtaken.

    "Delivered" stands whoever says it. Anything else is believed of the gateway that took the text last, or that may have it: then
    any report says that it did, and `part_cost` is what that gateway takes for a part.
    """
    if report.id is not None:
        this = messages.c.id == report.id
    elif report.reference:
        this = (messages.c.gateway == report.gateway) & (messages.c.reference == report.reference)
    else:
        return None
    row = connection.execute(select(messages).where(this).order_by(messages.c.sequence.desc()).limit(1)).one_or_none()
    if row is None or row.state == State.DELIVERED:
        return None
    is_its = row.gateway == report.gateway
    resolved = row.state == State.WAITING and row.sent_at is not None and is_its
    if report.delivery is Delivery.DELIVERED:
        after = State.DELIVERED
    elif report.delivery is Delivery.FAILED and is_its and (row.state == State.SENT or resolved):
        after = State.FAILED
    elif resolved or (row.state == State.SENT and is_its and row.reported_at is None):
        after = State.SENT
    else:
        return None
    values: dict[str, Any] = {"state": after, "next_attempt_at": None, "reported_at": now} | _without_secret(row.kind)
    if resolved:
        values |= {"cost": row.cost + row.parts * part_cost, "attempts": row.attempts + 1, "reason": ""}
    elif row.state == State.WAITING:
        values["sent_at"] = None  # of another gateway, which will say so itself
    connection.execute(update(messages).where(messages.c.id == row.id).values(**values))
    return after


def prune(connection: Connection, now: int, limit: int = PAGE_SIZE_MAX) -> int:
    """Forgets some of what is done with and old; returns how many."""
    old = (messages.c.created_at < now - KEPT_S * NANOSECONDS) & (messages.c.state != State.WAITING)
    ids = connection.execute(select(messages.c.id).where(old).limit(limit)).scalars().all()
    connection.execute(delete(messages).where(messages.c.id.in_(ids)))
    return len(ids)


def _without_secret(kind: str) -> dict[str, str]:
    """What is secret is not kept any longer than it is needed; neither is what this version does not know."""
    shape = KINDS.get(kind)
    return {} if shape and not shape.secret else {"text": ""}


def message_of(row: Row[Any]) -> Message:
    values = row._asdict()
    return Message(**values | {"state": State(values["state"])})
