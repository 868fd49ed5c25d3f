"""What happened to a party, as the party itself may read it: the journal without what is the staff's alone.

opened              the account was opened
device_added        a key may sign from now on (device); device_revoked: it may no longer
recovery_started    a new key waits for its time (device); recovery_done, recovery_cancelled
pin_set             the PIN was set or changed
number_changed      the account has another phone number
handle_set          it can be paid under a new handle (handle)
own_limits_set      limits of one's own (per_payment, per_day, per_month; minor units, null for none)
tier_changed        another tier (before, after)
frozen              nothing leaves the account (reason); unfrozen
token_created       a server may act for the account (label, scopes); token_revoked (label)
card_added          a card pays from the account (card: the end of its number); card_locked, card_unlocked, card_ended
closed              the account is closed
sim_changed         the number has another SIM; sim_change_lifted: payments by PIN are as before; number_released: the account has none
watcher_chosen, watcher_accepted, watcher_declined, watcher_left, watcher_taken_away, watcher_kept, watcher_ended
                    who watches over the account (watcher)
watch_asked, watch_taken_away, watch_kept, watch_ended
                    over whose account this party watches (name)
watched_paid, watched_received, watched_held, watched_released
                    money moved in an account that this party watches (name, amount, fee, receipt_code)
parking_ends        what is set aside for a stay in a car park is soon no longer enough (name, until in ns, stay)
watched_...         and what else happened to it (name)
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, select

from counterfoil.ids import id_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.journal import WATCHED
from counterfoil.parties.tables import accounts, devices, events
from counterfoil.store.database import Store

PAGE_SIZE_MAX = 100
TOLD: Final[dict[str, tuple[str, ...]]] = {
    "opened": (),
    "device_added": ("device",),
    "device_revoked": ("device",),
    "recovery_started": ("device",),
    "recovery_done": ("device",),
    "recovery_cancelled": (),
    "pin_set": (),
    "pin_allowed": ("device", "per_day"),
    "number_changed": (),
    "handle_set": ("handle",),
    "own_limits_set": ("per_payment", "per_day", "per_month"),
    "tier_changed": ("before", "after"),
    "frozen": ("reason",),
    "unfrozen": (),
    "token_created": ("label", "scopes"),
    "token_revoked": ("label",),
    **dict.fromkeys((f"card_{what}" for what in ("added", "locked", "unlocked", "ended")), ("card",)),
    "closed": (),
    "sim_changed": (),
    "sim_change_lifted": (),
    "number_released": (),
    **dict.fromkeys(
        (f"watcher_{what}" for what in ("chosen", "accepted", "declined", "left", "taken_away", "kept", "ended")), ("watcher",)
    ),
    **dict.fromkeys((f"watch_{what}" for what in ("asked", "taken_away", "kept", "ended")), ("name",)),
    **dict.fromkeys((f"watched_{what}" for what in ("paid", "received", "held", "released")), ("name", "amount", "fee", "receipt_code")),
    "parking_ends": ("name", "until", "stay"),
    **dict.fromkeys((f"watched_{kind}" for kind in sorted(WATCHED)), ("name",)),
}
"""The kinds that a party reads of itself, and which of their facts."""

SELF, STAFF, WATCHER, SCHEME = "self", "staff", "watcher", "scheme"
BY_WATCHERS = frozenset({"watcher_accepted", "watcher_declined", "watcher_left"})


class Happening(msgspec.Struct, frozen=True):
    """One thing that happened to a party. `by`: the party itself, a watcher, a member of staff, or the scheme by its rules; `at` in ns."""

    id: int
    kind: str
    at: int
    by: str
    facts: dict[str, str | int | None]


class NewHappening(msgspec.Struct, frozen=True):
    """That something happened to the holder of `account`. `number`: its place in the journal."""

    number: int
    id: int
    kind: str
    at: int
    account: int


class Happenings:
    """Reads the journal."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def of(self, party: int, *, before: int = 0, limit: int = PAGE_SIZE_MAX) -> list[Happening]:
        """What happened to `party`, newest first. `before` is the id of the last one of the page before."""
        assert 0 < limit <= PAGE_SIZE_MAX, limit
        query = select(events).where(events.c.party == party, events.c.kind.in_(TOLD))
        if before:
            older = select(events.c.at).where(events.c.id == before, events.c.party == party).scalar_subquery()
            query = query.where((events.c.at < older) | ((events.c.at == older) & (events.c.id < before)))
        query = query.order_by(events.c.at.desc(), events.c.id.desc()).limit(limit)

        def read(connection: Connection) -> list[Happening]:
            own = set(connection.execute(select(devices.c.id).where(devices.c.party == party)).scalars()) | {party}
            return [_happening(row, own) for row in connection.execute(query)]

        return await self.store.read(read)

    async def newest(self) -> int:
        """The number of the journal's last row, 0 before the first."""
        return await self.store.read(lambda connection: connection.execute(_NEWEST).scalar() or 0)

    async def after(self, number: int, *, limit: int = PAGE_SIZE_MAX) -> list[NewHappening]:
        """What happened to holders of accounts after the journal's row `number`, oldest first."""
        query = (
            select(events.c.number, events.c.id, events.c.kind, events.c.at, accounts.c.id.label("account"))
            .join(accounts, accounts.c.party == events.c.party)
            .where(events.c.number > number, events.c.kind.in_(TOLD))
            .order_by(events.c.number)
            .limit(limit)
        )
        return await self.store.read(
            lambda connection: [NewHappening(row.number, row.id, row.kind, row.at, row.account) for row in connection.execute(query)]
        )


_NEWEST = select(func.max(events.c.number))


def _happening(row: Row[Any], own: set[int]) -> Happening:
    facts: dict[str, str | int | None] = msgspec.json.decode(row.facts)
    told = {name: None if facts[name] == AMOUNT_MAX else facts[name] for name in TOLD[row.kind] if name in facts}
    if "device" in told:
        told["device"] = id_text(int(str(told["device"])))  # the journal has numbers, everybody else UUIDs
    other = WATCHER if row.kind in BY_WATCHERS else STAFF
    by = SCHEME if row.by is None else SELF if row.by in own else other
    return Happening(row.id, row.kind, row.at, by, told)
