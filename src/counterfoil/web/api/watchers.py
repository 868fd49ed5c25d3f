"""Watchers: whom a holder chooses to be told of all that happens to the account, and over whom a holder watches."""

from __future__ import annotations

import msgspec

from counterfoil.errors import (
    Malformed,
    NotFound,
    NotInThisState,
    PartyClosed,
    PartyNotFound,
    PinLocked,
    TooMany,
    TooManyWatchers,
    WrongPin,
)
from counterfoil.moments import moment_text
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Permission
from counterfoil.parties.watchers import Watcher, WatcherState
from counterfoil.web.access import HOLDER, Principal, staff
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.guesses import Guesses
from counterfoil.web.values import Moment, PinText, Text, UuidText, parse_uuid, uuid_text


class WatcherBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to watch: a phone number, @handle or merchant code as `watcher`; or, once the name was shown, as `account`."""

    watcher: Text | None = None
    account: UuidText | None = None


class CounterWatcherBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to watch, as the holder says at the counter; the holder types the PIN."""

    watcher: Text
    pin: PinText


class WatcherView(msgspec.Struct, frozen=True):
    """Somebody who watches over an account, or is asked to.

    Attributes:
        holder: whose account it is, by name; `watcher` who watches.
        until: when it ends, once the holder has taken the watcher away; else null.
    """

    id: UuidText
    holder: str
    watcher: str
    state: WatcherState
    asked_at: Moment
    until: Moment | None


class WatchersView(msgspec.Struct, frozen=True):
    """Those who watch over the caller's account, and those over whom the caller watches, oldest first; those asked, too.

    Attributes:
        notice_s: seconds for which a watcher who was taken away is still told everything.
    """

    watchers: list[WatcherView]
    watched: list[WatcherView]
    notice_s: int


class WatcherEndpoints:
    """Choosing, and being chosen."""

    def __init__(self, *, parties: Parties, guesses: Guesses) -> None:
        self.parties = parties
        self.watchers = parties.watchers
        self.guesses = guesses

    def endpoints(self) -> list[Endpoint]:
        chosen = (PartyNotFound, PartyClosed, TooManyWatchers, TooMany)
        asked = (NotFound, NotInThisState)
        at_counter = (*chosen, WrongPin, PinLocked)
        tag = "people"
        return [
            Endpoint("GET", "/v1/watchers", self.list, access=HOLDER, tag=tag),
            Endpoint("POST", "/v1/watchers", self.choose, access=HOLDER, errors=chosen, status=201, tag=tag),
            Endpoint("POST", "/v1/watchers/{id}/take-away", self.take_away, access=HOLDER, errors=(NotFound,), tag=tag),
            Endpoint("POST", "/v1/watchers/{id}/keep", self.keep, access=HOLDER, errors=asked, tag=tag),
            Endpoint("POST", "/v1/watchers/{id}/accept", self.accept, access=HOLDER, errors=(*asked, PartyClosed, TooMany), tag=tag),
            Endpoint("POST", "/v1/watchers/{id}/decline", self.decline, access=HOLDER, errors=asked, status=204, tag=tag),
            Endpoint("POST", "/v1/watchers/{id}/leave", self.leave, access=HOLDER, errors=(NotFound,), status=204, tag=tag),
            Endpoint(
                "POST",
                "/v1/staff/parties/{id}/watchers",
                self.choose_at_counter,
                access=staff(Permission.OPEN_PARTY),
                errors=at_counter,
                status=201,
                tag="staff",
            ),
        ]

    async def list(self, caller: Principal) -> WatchersView:
        """Who watches over the caller's account, and over whom the caller watches."""
        return WatchersView(
            [_view(each) for each in await self.watchers.of(caller.party)],
            [_view(each) for each in await self.watchers.watched_by(caller.party)],
            self.watchers.notice_s,
        )

    async def choose(self, caller: Principal, body: WatcherBody) -> WatcherView:
        """Ask somebody to watch over one's account. They are told of every movement once they accept. Again: keep who was taken away."""
        self.guesses.look_ups.spend(caller.party)
        if (body.watcher is None) == (body.account is None):
            raise Malformed("watcher", "must be given, or else the account")
        if body.account is None:
            return _view(await self.watchers.choose(caller.party, body.watcher or "", by=caller.device))
        found = await self.parties.holder(parse_uuid(body.account, "account"))
        return _view(await self.watchers.ask(caller.party, found, by=caller.device))

    async def take_away(self, caller: Principal, id: int) -> WatcherView:
        """Take a watcher away. They are told at once, and watch until a delay is over. A repeat changes nothing."""
        return _view(await self.watchers.take_away(id, party=caller.party, by=caller.device))

    async def keep(self, caller: Principal, id: int) -> WatcherView:
        """Take back that a watcher was taken away, while they still watch. A repeat changes nothing."""
        return _view(await self.watchers.keep(id, party=caller.party, by=caller.device))

    async def accept(self, caller: Principal, id: int) -> WatcherView:
        """Watch over an account from now on. A repeat changes nothing."""
        return _view(await self.watchers.accept(id, watcher=caller.party))

    async def decline(self, caller: Principal, id: int) -> None:
        """Do not watch over an account. A repeat changes nothing."""
        await self.watchers.decline(id, watcher=caller.party)

    async def leave(self, caller: Principal, id: int) -> None:
        """Watch over an account no more, at once; its holder is told. A repeat changes nothing."""
        await self.watchers.leave(id, watcher=caller.party)

    async def choose_at_counter(self, caller: Principal, id: int, body: CounterWatcherBody) -> WatcherView:
        """Ask somebody to watch over the account of a person who stands at the counter and types the PIN."""
        await self.parties.directory.holder_of_party(id)
        return _view(await self.watchers.choose_at_counter(id, body.watcher, body.pin, by=caller.party))


def _view(watcher: Watcher) -> WatcherView:
    return WatcherView(
        id=uuid_text(watcher.id),
        holder=watcher.name,
        watcher=watcher.watcher_name,
        state=watcher.state,
        asked_at=moment_text(watcher.asked_at),
        until=moment_text(watcher.until) if watcher.until is not None else None,
    )
