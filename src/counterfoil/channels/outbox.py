"""Keeping, finding and accounting for messages: plain functions over a connection.

A message is due at `next_attempt_at` as long as its endpoint is active. After each attempt it is delivered, due again
later by SCHEDULE_S, or given up. When it is given up and nothing else reached the endpoint meanwhile, or the endpoint
answered 410 Gone, the endpoint is disabled, and the other endpoints of the same party are told so.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from counterfoil.channels.tables import attempts, endpoints, outbox
from counterfoil.clock import NANOSECONDS
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.payments.feed import keep_position

SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between the first attempt and the second, and so on: 10 attempts in 3 days and 4 hours, before jitter.
Source: Standard Webhooks 1.0.0, "Deliverability and reliability"."""
KEPT_S = 30 * 86_400
"""Seconds that messages which are done with, and attempts, are kept for people to look at. The ledger keeps the events."""
ATTEMPTS_KEPT_MAX = 1_000
"""Attempts kept for one endpoint."""
PRUNE_SIZE_MAX = 500
"""Rows deleted in one transaction."""
GONE = 410
CONSUMER = "webhooks"
"""The name of the position in the feed up to which messages were written."""


class EndpointState(enum.StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"
    """Nothing is sent, until it is enabled again; then what happened meanwhile is sent as well."""
    DELETED = "deleted"


class Message(msgspec.Struct, frozen=True):
    """What is to be sent, or was. Times in ns since 1970; `timestamp` is when it happened, by the ledger for its events."""

    id: int
    endpoint: int
    timestamp: int
    type: str
    body: bytes
    attempts: int
    retries: int
    next_attempt_at: int | None
    delivered_at: int | None
    last_status: int | None
    created_at: int


class Target(msgspec.Struct, frozen=True):
    """Where to, and with which secrets: the current one first."""

    id: int
    url: str
    secrets: tuple[str, ...]
    failing: bool


class Outcome(msgspec.Struct, frozen=True):
    """What one attempt came to.

    Attributes:
        status: HTTP status, None when nobody answered.
        delivered: True for 200 to 299.
        due_at: what the message's `next_attempt_at` was when the attempt began.
        next_attempt_at: ns; None when delivered or given up.
    """

    message: int
    endpoint: int
    due_at: int
    at: int
    duration_ms: int
    status: int | None
    error: str
    delivered: bool
    next_attempt_at: int | None


class Recorded(msgspec.Struct, frozen=True):
    """What an attempt led to: whether its endpoint is still active, and which other endpoints have something new to be sent."""

    active: bool
    told: list[int] = []


def message_id(endpoint: int, timestamp: int) -> int:
    """The id of the message that tells `endpoint` of its account's event at `timestamp`: the same whenever it is asked for."""
    digest = hashlib.sha256(b"counterfoil/webhook/v1" + endpoint.to_bytes(16) + timestamp.to_bytes(8)).digest()
    return (timestamp // 1_000_000) << 80 | int.from_bytes(digest[:10])


def body(*, type: str, timestamp: int, endpoint: int, party: int, data: dict[str, Any]) -> bytes:
    """The JSON that is signed and sent. It names its receiver, so that nobody can pass it on as somebody else's."""
    receiver = {"endpoint": id_text(endpoint), "party": id_text(party)}
    return msgspec.json.encode({"type": type, "timestamp": moment_text(timestamp), "receiver": receiver, "data": data})


# Writing


def add(connection: Connection, messages: Sequence[Message]) -> int:
    """Keeps those that are not there yet; returns how many."""
    ids = [message.id for message in messages]
    known = set(connection.execute(select(outbox.c.id).where(outbox.c.id.in_(ids))).scalars()) if ids else set()
    rows = {message.id: _row(message) for message in messages if message.id not in known}
    if rows:
        connection.execute(outbox.insert(), list(rows.values()))
    return len(rows)


def send_again(connection: Connection, endpoint: int, ids: Sequence[int], now: int) -> int:
    """Makes messages due now, with a whole schedule before them, delivered or not; returns how many there were."""
    this = (outbox.c.endpoint == endpoint) & outbox.c.id.in_(ids)
    fresh = {"next_attempt_at": now, "delivered_at": None, "retries": 0, "round_began_at": None}
    return connection.execute(update(outbox).where(this).values(fresh)).rowcount


def send_waiting_again(connection: Connection, endpoint: int, now: int) -> None:
    """Makes everything that is not delivered due now, what was given up included."""
    this = (outbox.c.endpoint == endpoint) & outbox.c.delivered_at.is_(None)
    connection.execute(update(outbox).where(this).values(next_attempt_at=now, retries=0, round_began_at=None))


def record(connection: Connection, outcomes: list[Outcome]) -> list[Recorded]:
    """Accounts for attempts, in order."""
    ids = [outcome.message for outcome in outcomes]
    there = set(connection.execute(_KNOWN, {"ids": ids}).scalars())  # a deleted endpoint's messages may be gone by now
    return [_record(connection, outcome) if outcome.message in there else Recorded(active=False) for outcome in outcomes]


def _record(connection: Connection, outcome: Outcome) -> Recorded:
    row = connection.execute(_FOR_RECORD, {"message": outcome.message}).one()
    began, number = row.round_began_at or outcome.at, row.attempts + 1
    connection.execute(_LOG, {"number": number} | {name: getattr(outcome, name) for name in _LOGGED})
    values = {"this": outcome.message, "attempts": number, "last_status": outcome.status}
    if row.next_attempt_at == outcome.due_at:
        delivered_at = outcome.at if outcome.delivered else None
        after = {
            "delivered_at": delivered_at,
            "next_attempt_at": outcome.next_attempt_at,
            "retries": row.retries + 1,
            "round_began_at": began,
        }
        connection.execute(_ACCOUNT_FOR, values | after)
    else:  # asked for again while this attempt was under way: it is sent again
        connection.execute(_COUNT, values)
    if row.state != EndpointState.ACTIVE:
        return Recorded(active=False)
    failing_since = None if outcome.delivered else outcome.at if row.failing_since is None else row.failing_since
    if outcome.status == GONE:
        return Recorded(active=False, told=disable(connection, outcome.endpoint, "it answered 410 Gone", outcome.at))
    if failing_since is not None and outcome.next_attempt_at is None and failing_since <= began:
        reason = f"nothing could be delivered since {moment_text(failing_since)}"
        return Recorded(active=False, told=disable(connection, outcome.endpoint, reason, outcome.at))
    if failing_since != row.failing_since:
        connection.execute(update(endpoints).where(endpoints.c.id == outcome.endpoint).values(failing_since=failing_since))
    return Recorded(active=True)


_KNOWN = select(outbox.c.id).where(outbox.c.id.in_(bindparam("ids", expanding=True)))
_LOG = attempts.insert()
_LOGGED = ("message", "endpoint", "at", "duration_ms", "status", "error")
_COUNT = update(outbox).where(outbox.c.id == bindparam("this")).values(attempts=bindparam("attempts"), last_status=bindparam("last_status"))
_ACCOUNT_FOR = _COUNT.values({name: bindparam(name) for name in ("delivered_at", "next_attempt_at", "retries", "round_began_at")})
_FOR_RECORD = (
    select(
        outbox.c.attempts, outbox.c.retries, outbox.c.round_began_at, outbox.c.next_attempt_at, endpoints.c.state, endpoints.c.failing_since
    )
    .join(endpoints, endpoints.c.id == outbox.c.endpoint)
    .where(outbox.c.id == bindparam("message"))
)


def disable(connection: Connection, endpoint: int, reason: str, now: int) -> list[int]:
    """Stops sending to an endpoint. The other active endpoints of its party are sent `endpoint.disabled`: they are the answer."""
    written = keep_position(connection, CONSUMER, 0)
    values = {"state": EndpointState.DISABLED, "reason": reason, "disabled_after": written}
    connection.execute(update(endpoints).where(endpoints.c.id == endpoint).values(values))
    party = connection.execute(select(endpoints.c.party).where(endpoints.c.id == endpoint)).scalar_one()
    this = (endpoints.c.party == party) & (endpoints.c.state == EndpointState.ACTIVE)
    others = list(connection.execute(select(endpoints.c.id).where(this)).scalars())
    data = {"endpoint": id_text(endpoint), "reason": reason}
    add(connection, [notice(other, party, "endpoint.disabled", data, now) for other in others])
    return others


def notice(endpoint: int, party: int, type: str, data: dict[str, Any], now: int) -> Message:
    """A message that no movement of the ledger caused, due now."""
    text = body(type=type, timestamp=now, endpoint=endpoint, party=party, data=data)
    return fresh_message(message_id(endpoint, now), endpoint, now, type, text, now)


def fresh_message(id: int, endpoint: int, timestamp: int, type: str, body: bytes, now: int) -> Message:
    """A message that was never sent, due at `now`."""
    return Message(id, endpoint, timestamp, type, body, 0, 0, now, None, None, now)


def prune(connection: Connection, endpoint: int, now: int) -> int:
    """Deletes some of what nobody needs any more: old and done with, or of a deleted endpoint. 0 when there is nothing left."""
    state = connection.execute(select(endpoints.c.state).where(endpoints.c.id == endpoint)).scalar()
    statement = select(outbox.c.id).where(outbox.c.endpoint == endpoint)
    if state != EndpointState.DELETED:
        before = max(now - KEPT_S * NANOSECONDS, 0)
        statement = statement.where(outbox.c.timestamp < before, outbox.c.created_at < before, outbox.c.next_attempt_at.is_(None))
    ids = list(connection.execute(statement.order_by(outbox.c.timestamp).limit(PRUNE_SIZE_MAX)).scalars())
    if ids:
        connection.execute(delete(attempts).where(attempts.c.message.in_(ids)))
        connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))
    elif state == EndpointState.DELETED:
        connection.execute(delete(endpoints).where(endpoints.c.id == endpoint))
    else:
        return _prune_attempts(connection, endpoint)
    return len(ids)


def _prune_attempts(connection: Connection, endpoint: int) -> int:
    newest = select(attempts.c.message, attempts.c.number).where(attempts.c.endpoint == endpoint).order_by(attempts.c.at.desc())
    rows = connection.execute(newest.offset(ATTEMPTS_KEPT_MAX).limit(PRUNE_SIZE_MAX)).all()
    if rows:
        this = delete(attempts).where(attempts.c.message == bindparam("m"), attempts.c.number == bindparam("n"))
        connection.execute(this, [{"m": row.message, "n": row.number} for row in rows])
    return len(rows)


def all_endpoints(connection: Connection) -> list[int]:
    """Every endpoint there is, deleted ones included."""
    return list(connection.execute(select(endpoints.c.id)).scalars())


# Finding


def waiting(connection: Connection) -> list[tuple[int, int]]:
    """Active endpoints with something to be sent, and when the first of it is due, ns."""
    first = func.min(outbox.c.next_attempt_at)
    statement = select(outbox.c.endpoint, first).join(endpoints, endpoints.c.id == outbox.c.endpoint)
    statement = statement.where(outbox.c.next_attempt_at.is_not(None), endpoints.c.state == EndpointState.ACTIVE)
    return [(row[0], row[1]) for row in connection.execute(statement.group_by(outbox.c.endpoint))]


def next_messages(connection: Connection, endpoint: int, *, without: Collection[int], limit: int) -> list[Message]:
    """What an endpoint is to be sent next, first due first, due or not yet."""
    rows = connection.execute(_NEXT, {"endpoint": endpoint, "limit": limit + len(without)})
    return [message(row) for row in rows if row.id not in without][:limit]


_NEXT = (
    select(outbox)
    .where(outbox.c.endpoint == bindparam("endpoint"), outbox.c.next_attempt_at.is_not(None))
    .order_by(outbox.c.next_attempt_at, outbox.c.id)
    .limit(bindparam("limit"))
)


def target(connection: Connection, endpoint: int, now: int) -> Target | None:
    """Where to send; None when the endpoint is not active."""
    row = connection.execute(_ENDPOINT, {"endpoint": endpoint}).first()
    if row is None or row.state != EndpointState.ACTIVE:
        return None
    previous = (row.previous_secret,) if row.previous_secret and now < row.previous_until else ()
    return Target(row.id, row.url, (row.secret, *previous), row.failing_since is not None)


_ENDPOINT = select(endpoints).where(endpoints.c.id == bindparam("endpoint"))


def message(row: Row[Any]) -> Message:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    del values["round_began_at"]
    return Message(**values)


def _row(message: Message) -> dict[str, Any]:
    return msgspec.structs.asdict(message) | {"round_began_at": None}
