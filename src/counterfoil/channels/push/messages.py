"""Each message to each device in the store: written with its cause, sent, acknowledged, or told by SMS instead.

waiting ── the push service takes it ──> sent ── the device says so ──> acknowledged
   └────────────┬───────────────────────────┘
             `until` passes (unheard), or there is no way to the device (gone): once that is so for all
             devices of the party, what is money goes out as one SMS (by_sms)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from counterfoil.channels.push.news import News
from counterfoil.channels.push.subscriptions import Subscription, forget
from counterfoil.channels.push.tables import OPEN, PushState, push_messages, push_subscriptions
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.ids import ID_MAX, id_text
from counterfoil.parties.journal import send_sms
from counterfoil.parties.notices import hand_over, names_of
from counterfoil.parties.reach import active_devices, number_of, waiting_pushes

ACKNOWLEDGED_WITHIN_S: Final = 30
"""Seconds after which news of money is told by SMS unless a device has acknowledged it."""
NOTICE_S_MAX: Final = 300
"""Seconds for which it is tried to push a notice; its SMS, where there is a number, went at once."""
TTL_MONEY_S: Final = 60
"""Seconds for which a push service keeps news of money for a phone that is out of reach."""
OPEN_MAX: Final = 20
"""Messages to one device that may be open: a phone that was told so often that there is news need not hear it again."""
SMS_PER_DAY_MAX: Final = 20
"""Texts in place of pushes to one party in 24 hours. Codes and security are not among them."""
TAKEN_MAX: Final = 200
"""Notices taken over in one transaction."""
KEPT_S: Final = 7 * 86_400
"""Seconds for which a message that has ended is kept: whoever looks again at what caused it finds it."""
PRUNED_MAX: Final = 1_000


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent now, and how; `subscription` is None where there is no way to the device any more."""

    id: int
    device: int
    attempts: int
    until: int
    subscription: Subscription | None
    is_money: bool

    @property
    def ttl_s(self) -> int:
        """Seconds for which the push service keeps it."""
        return TTL_MONEY_S if self.is_money else NOTICE_S_MAX


def add(connection: Connection, clock: Clock, news: News, *, scheme_name: str) -> int:
    """A message for each subscribed device of the account; how many. Those that are there already are left as they are.

    `scheme_name`: what the other side is called where it is an account of the scheme itself.
    """
    now = clock.now_ns()
    added = 0
    name = names_of(connection, [news.counterparty]).get(news.counterparty, scheme_name)
    body = msgspec.json.encode(news.values | {"name": name}).decode()
    mine = select(push_subscriptions.c.device, push_subscriptions.c.party).where(push_subscriptions.c.account == news.account)
    for row in connection.execute(mine).all():
        this = push_messages.c.device == row.device
        if connection.execute(select(push_messages.c.id).where(this, push_messages.c.cause == news.cause)).first():
            continue
        is_open = select(func.count()).where(this, push_messages.c.state.in_(OPEN))
        if connection.execute(is_open).scalar_one() >= OPEN_MAX:
            continue
        values = _fresh(clock, row.device, row.party, news.cause, news.kind, body, now, now + ACKNOWLEDGED_WITHIN_S * NANOSECONDS)
        connection.execute(insert(push_messages), values)
        added += 1
    return added


def take_notices(connection: Connection, clock: Clock) -> tuple[int, int]:
    """Takes what waits for the channel "push" out of the outbox of notices; how many that were, and how many devices are told.

    A device without a subscription cannot be: what is in such a notice went by SMS, too, and stands in the app's list.
    """
    now, told = clock.now_ns(), 0
    waiting = waiting_pushes(connection, TAKEN_MAX)
    for notice, device in waiting:
        mine = select(push_subscriptions.c.party).where(push_subscriptions.c.device == device)
        party = connection.execute(mine).scalar()
        if party is not None:
            cause = f"notice {id_text(notice)}"
            values = _fresh(clock, device, party, cause, "", "{}", now, now + NOTICE_S_MAX * NANOSECONDS)
            connection.execute(insert(push_messages), values)
            told += 1
    if waiting:
        hand_over(connection, [notice for notice, _ in waiting], now)
    return len(waiting), told


def _fresh(clock: Clock, device: int, party: int, cause: str, kind: str, body: str, now: int, until: int) -> dict[str, Any]:
    return {
        "id": int.from_bytes(clock.random_bytes(16)) % ID_MAX + 1, "device": device, "party": party, "cause": cause, "kind": kind,
        "body": body, "state": PushState.WAITING, "attempts": 0, "next_attempt_at": now, "until": until, "created_at": now,
        "ended_at": None,
    }  # fmt: skip


def due(connection: Connection, now: int, limit: int) -> list[Due]:
    """What is to be sent now, the longest due first."""
    at = push_messages.c.next_attempt_at
    query = (
        select(push_messages, push_subscriptions.c.endpoint, push_subscriptions.c.p256dh, push_subscriptions.c.auth)
        .select_from(push_messages)
        .outerjoin(push_subscriptions, push_subscriptions.c.device == push_messages.c.device)
        .where(push_messages.c.state == PushState.WAITING, at <= now)
        .order_by(at, push_messages.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    active = active_devices(connection, {row.device for row in rows})
    return [_due(row, row.device in active) for row in rows]


def _due(row: Row[Any], is_active: bool) -> Due:
    subscription = None
    if row.endpoint is not None and is_active:
        subscription = Subscription(device=row.device, party=row.party, account=0, endpoint=row.endpoint, p256dh=row.p256dh, auth=row.auth)
    return Due(id=row.id, device=row.device, attempts=row.attempts, until=row.until, subscription=subscription, is_money=bool(row.kind))


def next_moment(connection: Connection) -> int | None:
    """When something is to be done next; None while nothing is open."""
    waiting = select(func.min(push_messages.c.next_attempt_at)).where(push_messages.c.state == PushState.WAITING)
    over = [select(func.min(push_messages.c.until)).where(push_messages.c.state == state) for state in OPEN]
    moments = [connection.execute(query).scalar() for query in (waiting, *over)]
    return min((moment for moment in moments if moment is not None), default=None)


def sent(connection: Connection, id: int) -> None:
    """The push service has taken it. Without effect on what has ended."""
    _attempted(connection, id, {"state": PushState.SENT, "next_attempt_at": None})


def put_off(connection: Connection, id: int, next_attempt_at: int | None) -> None:
    """The push service did not take it; None: it is not tried again."""
    _attempted(connection, id, {"next_attempt_at": next_attempt_at})


def _attempted(connection: Connection, id: int, values: dict[str, Any]) -> None:
    this = (push_messages.c.id == id) & (push_messages.c.state == PushState.WAITING)
    connection.execute(update(push_messages).where(this).values(**values, attempts=push_messages.c.attempts + 1))


def gone(connection: Connection, clock: Clock, id: int, *, device: int, endpoint: str) -> None:
    """There is no way to the device; with `endpoint`, that subscription is over."""
    if endpoint:
        forget(connection, device, endpoint)
    _end(connection, clock, [id], PushState.GONE)


def acknowledge(connection: Connection, id: int, now: int) -> None:
    """The device has shown it. A repeat, and an id that is not known or has ended, changes nothing."""
    this = (push_messages.c.id == id) & push_messages.c.state.in_(OPEN)
    connection.execute(update(push_messages).where(this).values(state=PushState.ACKNOWLEDGED, next_attempt_at=None, ended_at=now))


def give_up(connection: Connection, clock: Clock, limit: int) -> int:
    """Ends what nobody has acknowledged in time, at most `limit`; how many."""
    late: list[int] = []
    for state in OPEN:
        query = select(push_messages.c.id).where(push_messages.c.state == state, push_messages.c.until <= clock.now_ns())
        late += connection.execute(query.limit(limit - len(late))).scalars().all()
    _end(connection, clock, late, PushState.UNHEARD)
    return len(late)


def _end(connection: Connection, clock: Clock, ids: Sequence[int], state: PushState) -> None:
    """Ends these, and tells by SMS whose last hope was among them."""
    open_ones = push_messages.c.id.in_(ids) & push_messages.c.state.in_(OPEN)
    rows = connection.execute(select(push_messages).where(open_ones)).all()
    values = {"state": state, "next_attempt_at": None, "ended_at": clock.now_ns()}
    connection.execute(update(push_messages).where(open_ones).values(values))
    for party, cause in dict.fromkeys((row.party, row.cause) for row in rows if row.kind):
        _tell_by_sms(connection, clock, party, cause)


def _tell_by_sms(connection: Connection, clock: Clock, party: int, cause: str) -> None:
    """Once for a party and a cause, and only when none of its devices was heard of or may still be."""
    these = (push_messages.c.party == party) & (push_messages.c.cause == cause)
    rows = connection.execute(select(push_messages).where(these)).all()
    if any(row.state not in (PushState.UNHEARD, PushState.GONE) for row in rows):
        return
    number = number_of(connection, party)
    if number is None:
        return
    now = clock.now_ns()
    today = (
        (push_messages.c.party == party)
        & (push_messages.c.state == PushState.BY_SMS)
        & (push_messages.c.ended_at > now - 86_400 * NANOSECONDS)
    )
    if connection.execute(select(func.count(func.distinct(push_messages.c.cause))).where(today)).scalar_one() >= SMS_PER_DAY_MAX:
        return
    values: dict[str, str | int] = msgspec.json.decode(rows[0].body)
    send_sms(connection, clock, number, rows[0].kind, party=party, **values)
    connection.execute(update(push_messages).where(these).values(state=PushState.BY_SMS))


def prune(connection: Connection, now: int) -> int:
    """Deletes some of what ended long ago; how many."""
    old = select(push_messages.c.id).where(push_messages.c.ended_at < now - KEPT_S * NANOSECONDS).limit(PRUNED_MAX)
    ids = connection.execute(old).scalars().all()
    if ids:
        connection.execute(delete(push_messages).where(push_messages.c.id.in_(ids)))
    return len(ids)
