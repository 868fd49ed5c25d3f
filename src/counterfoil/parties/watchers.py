"""Watchers: a person or body whom somebody has chosen to be told of all that happens to their account.

    choose ──> asked ── accept ──> watching ── leave ───────────────────────> ended
                 │                    │  ▲                                       ▲
                 └── decline ──> ended│  └── keep, choose again                  │
                                      └─ take_away ── told at once, ends after ──┘

For those without a key of their own: who has learnt their PIN can spend, but not unseen. So a watcher stays for
`watcher_notice_s` after having been taken away, and knows it. A watcher sees that money moved, how much and when, under which
receipt, and what was done to the account; not with whom, and not the balance.

What happens to the account itself, `journal.record` tells in the transaction of the change; movements of money are told by
`payments.watching`, which follows the ledger.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Forbidden, Malformed, NotFound, NotInThisState, PartyClosed, PartyNotFound, TooMany, TooManyWatchers
from counterfoil.ids import new_id
from counterfoil.parties.context import Context, get_party
from counterfoil.parties.journal import WATCHING, record, tell_everywhere, tell_nearest
from counterfoil.parties.staff import require
from counterfoil.parties.tables import parties, watchers
from counterfoil.parties.types import Holder, Party, PartyKind, PartyState, Permission

WATCHERS_MAX: Final = 3
"""Watchers of one account, those included who have not answered. `TooManyWatchers` says it in words."""
WATCHED_MAX: Final = 1_000
"""Accounts that one party watches."""
ASKED_MAX: Final = 10
"""Times that somebody may be asked for one account within `ASKED_WITHIN_S`: each is a message to a stranger."""
ASKED_WITHIN_S: Final = 24 * 3600
DUE_MAX: Final = 500
"""Watchers whose time is over that are ended in one transaction."""


class WatcherState(enum.StrEnum):
    ASKED = "asked"
    WATCHING = "watching"
    """Also after having been taken away, until the delay is over."""
    ENDED = "ended"
    """Declined, left, or taken away."""


assert str(WatcherState.WATCHING) == WATCHING


class Watcher(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who watches over an account, or is asked to.

    Attributes:
        party, account, name: whose account it is.
        watcher, watcher_name: who watches.
        asked_at: ns.
        until: ns from which they are told nothing any more, once they have been taken away; else None.
    """

    id: int
    party: int
    account: int
    name: str
    watcher: int
    watcher_name: str
    state: WatcherState
    asked_at: int
    until: int | None


class Watchers:
    """Who watches over whom. The callers have checked who asks: a device's signature, or the PIN.

    Attributes:
        accounts: those that are watched: perhaps one too many, never one too few. `load` fills it.
        on_accept: written in the transaction in which somebody begins to watch; hears from which ledger time on, and whether they
            are the only one.
        begun: set once somebody watches.
    """

    def __init__(self, context: Context, *, notice_s: int) -> None:
        """`notice_s`: seconds for which a watcher who was taken away is still told everything."""
        self.notice_s = notice_s
        self.accounts: set[int] = set()
        self.on_accept: Callable[[Connection, int, bool], object] = lambda connection, after, alone: None
        self.begun = asyncio.Event()
        self._context = context

    async def choose(self, party: int, address: str, *, by: int) -> Watcher:
        """Asks whoever is behind `address` (number, @handle, merchant code) to watch over the party's account.

        They are asked, and the party itself is told everywhere. A repeat answers the same; choosing somebody again who was taken
        away, and still watches, keeps them. Refusals in this order: Malformed, PartyNotFound, Forbidden (not a person's own account),
        PartyClosed, TooManyWatchers, TooMany.
        """
        found = await self._context.directory.resolve(address)
        if found is None:
            raise PartyNotFound
        return await self.ask(party, found, by=by)

    async def ask(self, party: int, found: Holder, *, by: int) -> Watcher:
        """As `choose`, for somebody whose name was shown to the holder: exactly them, whoever has the address by now."""
        context = self._context
        if found.state is not PartyState.OPEN:
            raise PartyNotFound
        holder = await context.directory.holder_of_party(party)
        if holder.party == found.party:
            raise Malformed("watcher", "must be somebody else")
        watcher_id = new_id(context.clock)

        def write(connection: Connection) -> Watcher:
            now = context.clock.now_ns()
            _check_able(get_party(connection, party))
            known = _find(connection, watchers.c.party == party, watchers.c.watcher == found.party, _open(now))
            if known is not None:
                if known.until is not None:
                    self._keep(connection, known, by=by)
                return _get(connection, known.id)
            self._check_room(connection, holder, found.party, now)
            row = {
                "id": watcher_id, "party": party, "account": holder.account, "watcher": found.party, "state": WatcherState.ASKED,
                "by": by, "asked_at": now, "after": None, "until": None,
            }  # fmt: skip
            connection.execute(insert(watchers), row)
            record(connection, context.clock, party, "watcher_chosen", by=by, watcher=found.name)
            tell_everywhere(connection, context.clock, party, "watcher_chosen", name=found.name)
            tell_nearest(connection, context.clock, found.party, "watch_asked", name=holder.name)
            return _get(connection, watcher_id)

        return await context.store.write(write)

    async def choose_by_pin(self, party: int, address: str, pin: str) -> Watcher:
        """As `choose`, for somebody without a device, on the word of the PIN: WrongPin and PinLocked come first."""
        await self._context.pins.check(party, pin)
        return await self.choose(party, address, by=party)

    async def choose_at_counter(self, party: int, address: str, pin: str, *, by: int) -> Watcher:
        """As `choose_by_pin`, at the counter of a member of staff (permission open_party), who is written down."""
        context = self._context
        await context.store.read(lambda connection: require(connection, by, Permission.OPEN_PARTY))
        await context.pins.check(party, pin)
        return await self.choose(party, address, by=by)

    async def accept(self, id: int, *, watcher: int) -> Watcher:
        """From now on `watcher`, who was asked, is told. A repeat changes nothing. Refusals: NotFound, NotInThisState, PartyClosed, TooMany."""
        context = self._context
        asked = await context.store.read(lambda connection: _get(connection, id, watchers.c.watcher == watcher))
        self.accounts.add(asked.account)  # before the ledger's time is read: no movement falls between
        after = context.ledger.last_timestamp

        def write(connection: Connection) -> Watcher:
            known = _get(connection, id, watchers.c.watcher == watcher)
            if known.state is WatcherState.WATCHING:
                return known
            if known.state is not WatcherState.ASKED:
                raise NotInThisState
            if get_party(connection, known.party).state is not PartyState.OPEN:
                raise PartyClosed
            watched = select(func.count()).where(watchers.c.watcher == watcher, watchers.c.state == WatcherState.WATCHING)
            if connection.execute(watched).scalar_one() >= WATCHED_MAX:
                raise TooMany(f"At most {WATCHED_MAX} accounts at a time.")
            alone = connection.execute(select(watchers.c.id).where(watchers.c.state == WatcherState.WATCHING).limit(1)).first() is None
            _set(connection, id, state=WatcherState.WATCHING, after=after)
            self.on_accept(connection, after, alone)
            record(connection, context.clock, known.party, "watcher_accepted", by=watcher, watcher=known.watcher_name)
            tell_everywhere(connection, context.clock, known.party, "watcher_accepted", name=known.watcher_name)
            return _get(connection, id)

        accepted = await context.store.write(write)
        self.begun.set()
        return accepted

    async def decline(self, id: int, *, watcher: int) -> None:
        """`watcher`, who was asked, does not want to. A repeat changes nothing. Refusals: NotFound, NotInThisState (they watch: `leave`)."""
        await self._end(id, "watcher_declined", WatcherState.ASKED, watcher=watcher)

    async def leave(self, id: int, *, watcher: int) -> None:
        """`watcher` is told nothing more from now on, and the account's holder hears of it. A repeat changes nothing. Refusals: NotFound."""
        await self._end(id, "watcher_left", WatcherState.WATCHING, watcher=watcher)

    async def take_away(self, id: int, *, party: int, by: int) -> Watcher:
        """Ends a watcher of `party` after `notice_s`; the watcher and the party are told at once. Who has not accepted ends at once.

        A repeat changes nothing. Refusals: NotFound.
        """
        context = self._context

        def write(connection: Connection) -> Watcher:
            known = _get(connection, id, watchers.c.party == party)
            now = context.clock.now_ns()
            if known.state is WatcherState.ENDED or known.until is not None:
                return known
            if known.state is WatcherState.ASKED:
                _set(connection, id, state=WatcherState.ENDED, until=now)
                record(connection, context.clock, party, "watcher_taken_away", by=by, watcher=known.watcher_name)
                return _get(connection, id)
            until = now + self.notice_s * NANOSECONDS
            _set(connection, id, until=until)
            record(connection, context.clock, party, "watcher_taken_away", by=by, watcher=known.watcher_name)
            tell_everywhere(connection, context.clock, party, "watcher_taken_away", name=known.watcher_name, until=until)
            tell_nearest(connection, context.clock, known.watcher, "watch_taken_away", name=known.name, until=until)
            return _get(connection, id)

        return await context.store.write(write)

    async def keep(self, id: int, *, party: int, by: int) -> Watcher:
        """Takes back that a watcher of `party` was taken away. A repeat changes nothing. Refusals: NotFound, NotInThisState (ended)."""

        def write(connection: Connection) -> Watcher:
            known = _get(connection, id, watchers.c.party == party)
            if not _is_open(known, self._now()):
                raise NotInThisState
            if known.until is not None:
                self._keep(connection, known, by=by)
            return _get(connection, id)

        return await self._context.store.write(write)

    async def take_away_by_pin(self, id: int, *, party: int, pin: str) -> Watcher:
        """As `take_away`, on the word of the PIN: WrongPin and PinLocked come first."""
        await self._context.pins.check(party, pin)
        return await self.take_away(id, party=party, by=party)

    async def of(self, party: int) -> list[Watcher]:
        """Who watches over the party's account, or is asked to, oldest first."""
        return await self._context.store.read(lambda connection: _find_all(connection, watchers.c.party == party, _open(self._now())))

    async def watched_by(self, watcher: int) -> list[Watcher]:
        """Over whom `watcher` watches, or is asked to, oldest first."""
        return await self._context.store.read(lambda connection: _find_all(connection, watchers.c.watcher == watcher, _open(self._now())))

    async def load(self, since: int) -> None:
        """Fills `accounts` with those of whose movements after the ledger time `since` somebody is to be told. Before the ledger is followed."""
        query = select(watchers.c.account).distinct().where(watchers.c.after.is_not(None))
        query = query.where(watchers.c.until.is_(None) | (watchers.c.until > since))
        self.accounts.update(await self._context.store.read(lambda connection: list(connection.execute(query).scalars())))
        if self.accounts:
            self.begun.set()

    async def end_due(self) -> int:
        """Ends those whose delay after having been taken away is over; both sides are told. Returns how many."""
        context, now = self._context, self._now()
        due = watchers.c.until <= now

        def write(connection: Connection) -> int:
            ended = _find_all(connection, watchers.c.state == WatcherState.WATCHING, due, limit=DUE_MAX)
            for each in ended:
                _set(connection, each.id, state=WatcherState.ENDED)
                record(connection, context.clock, each.party, "watcher_ended", by=None, watcher=each.watcher_name)
                tell_nearest(connection, context.clock, each.watcher, "watch_ended", name=each.name)
            return len(ended)

        waiting = select(watchers.c.id).where(watchers.c.state == WatcherState.WATCHING, due).limit(1)
        if await context.store.read(lambda connection: connection.execute(waiting).first()) is None:
            return 0
        return await context.store.write(write)

    async def _end(self, id: int, kind: str, expected: WatcherState, *, watcher: int) -> None:
        context = self._context

        def write(connection: Connection) -> None:
            known = _get(connection, id, watchers.c.watcher == watcher)
            if known.state is WatcherState.ENDED:
                return
            if known.state is not expected and expected is WatcherState.ASKED:
                raise NotInThisState
            _set(connection, id, state=WatcherState.ENDED, until=context.clock.now_ns())
            record(connection, context.clock, known.party, kind, by=watcher, watcher=known.watcher_name)
            tell_everywhere(connection, context.clock, known.party, kind, name=known.watcher_name)

        await context.store.write(write)

    def _keep(self, connection: Connection, known: Watcher, *, by: int) -> None:
        _set(connection, known.id, until=None)
        record(connection, self._context.clock, known.party, "watcher_kept", by=by, watcher=known.watcher_name)
        tell_everywhere(connection, self._context.clock, known.party, "watcher_kept", name=known.watcher_name)
        tell_nearest(connection, self._context.clock, known.watcher, "watch_kept", name=known.name)

    def _check_room(self, connection: Connection, holder: Holder, watcher: int, now: int) -> None:
        count = select(func.count())
        if connection.execute(count.where(watchers.c.account == holder.account, _open(now))).scalar_one() >= WATCHERS_MAX:
            raise TooManyWatchers
        recent = watchers.c.asked_at > now - ASKED_WITHIN_S * NANOSECONDS
        asked = max(
            connection.execute(count.where(watchers.c.account == holder.account, recent)).scalar_one(),
            connection.execute(count.where(watchers.c.watcher == watcher, recent, watchers.c.state == WatcherState.ASKED)).scalar_one(),
        )
        if asked >= ASKED_MAX:
            raise TooMany("Too many were asked. Try again tomorrow.", retry_after_s=ASKED_WITHIN_S)

    def _now(self) -> int:
        return self._context.clock.now_ns()


def told_of(connection: Connection, accounts: set[int]) -> list[Row[Any]]:
    """Who is told of movements of `accounts`: rows with account, watcher, name (the account's holder), after and until (ledger times)."""
    query = select(watchers.c.account, watchers.c.watcher, parties.c.name, watchers.c.after, watchers.c.until)
    query = query.join(parties, parties.c.id == watchers.c.party).where(watchers.c.account.in_(accounts), watchers.c.after.is_not(None))
    return [*connection.execute(query.order_by(watchers.c.id))]


def _check_able(party: Party) -> None:
    if party.kind is not PartyKind.CUSTOMER:
        raise Forbidden("Watchers are for people's own accounts.")
    if party.state is not PartyState.OPEN:
        raise PartyClosed


def _open(now: int) -> ColumnElement[bool]:
    """Asked or watching, and not at the end of the delay."""
    return (watchers.c.state != WatcherState.ENDED) & or_(watchers.c.until.is_(None), watchers.c.until > now)


def _is_open(watcher: Watcher, now: int) -> bool:
    return watcher.state is not WatcherState.ENDED and (watcher.until is None or watcher.until > now)


_HOLDER, _WATCHER = parties.alias("holder"), parties.alias("watching")
_QUERY = (
    select(watchers, _HOLDER.c.name, _WATCHER.c.name.label("watcher_name"))
    .join(_HOLDER, _HOLDER.c.id == watchers.c.party)
    .join(_WATCHER, _WATCHER.c.id == watchers.c.watcher)
)


def _find_all(connection: Connection, *conditions: ColumnElement[bool], limit: int = WATCHED_MAX) -> list[Watcher]:
    query = _QUERY.where(*conditions).order_by(watchers.c.asked_at, watchers.c.id).limit(limit)
    return [
        Watcher(
            id=row.id,
            party=row.party,
            account=row.account,
            name=row.name,
            watcher=row.watcher,
            watcher_name=row.watcher_name,
            state=WatcherState(row.state),
            asked_at=row.asked_at,
            until=row.until,
        )
        for row in connection.execute(query)
    ]


def _find(connection: Connection, *conditions: ColumnElement[bool]) -> Watcher | None:
    return next(iter(_find_all(connection, *conditions, limit=1)), None)


def _get(connection: Connection, id: int, *conditions: ColumnElement[bool]) -> Watcher:
    found = _find(connection, watchers.c.id == id, *conditions)
    if found is None:
        raise NotFound("there is no such watcher")
    return found


def _set(connection: Connection, id: int, **values: object) -> None:
    connection.execute(update(watchers).where(watchers.c.id == id).values(**values))
