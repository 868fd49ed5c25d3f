"""What a ledger has to offer so that its books can be carried to another engine, and to take those of another.

Books are three rows of records, each in order of time: accounts as they were opened, events (the feed), and the ids that
were refused for good. Whatever else an engine keeps follows from them. Nothing that is appended is asked of the rules
again: it was recorded once, and has its time, its id and the balances that came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import msgspec

from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFlags,
    ChangeEvent,
    QueryFilter,
)


class Burnt(msgspec.Struct, frozen=True, gc=False):
    """A transfer id that was refused for good, and the timestamp that the refusal used up."""

    timestamp: int
    id: int


class Missing(msgspec.Struct, kw_only=True):
    """What a ledger does not have yet of the books that it is to hold. Moments in ns, 0 for none.

    Attributes:
        account_first: when the first of the accounts that are missing was opened.
        event_first, event_last: when the first and the last of the missing events happened.
        timed: missing reservations with a time-out, whatever became of them.
        open_timed: of all reservations with a time-out, those that nothing has resolved yet.
        open_until: when the last of these is over.
        ledgers: the numbers of all ledgers, also of accounts that are there.
    """

    account_first: int = 0
    event_first: int = 0
    event_last: int = 0
    timed: int = 0
    open_timed: int = 0
    open_until: int = 0
    ledgers: set[int] = msgspec.field(default_factory=set)


class Movable(Protocol):
    """A ledger whose books can be carried away, and which can take others. One caller; nobody else writes meanwhile.

    Reads and `append_...` raise Unavailable when file or server fail: of one call, all was done or nothing, and an
    append that was done may be the last that happened. What was appended is durable.

    Attributes:
        foretold: whether `foretell` has to hear of all missing events before the first of them is appended.
    """

    foretold: ClassVar[bool]

    @property
    def last_timestamp(self) -> int: ...

    def expire_pending_transfers(self, now: int) -> int: ...

    def query_accounts(self, filter: QueryFilter) -> list[Account]: ...

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance: ...

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]: ...

    def burnt(self) -> Iterator[Burnt]:
        """All ids that were refused for good and that this engine can name, in order of time."""
        ...

    def refuse(self, missing: Missing) -> None:
        """Raises Conflict, in words that say what to do, if this engine cannot hold that. Changes nothing."""
        ...

    def begin(self, missing: Missing) -> None:
        """Makes ready for it. A repeat does no harm."""
        ...

    def append_accounts(self, accounts: Sequence[Account]) -> None:
        """Opens accounts with the timestamps that they have. At most BATCH_SIZE_MAX, all later than those that are here."""
        ...

    def foretell(self, events: Sequence[ChangeEvent]) -> None:
        """What will be appended. All accounts are here already."""
        ...

    def append_events(self, events: Sequence[ChangeEvent]) -> None:
        """Records events as they happened. At most BATCH_SIZE_MAX, all later than those that are here, and no chain cut in two."""
        ...

    def append_burnt(self, burnt: Sequence[Burnt]) -> None:
        """Refuses these ids for good. At most BATCH_SIZE_MAX."""
        ...

    def append_time(self, timestamp: int) -> None:
        """Sets the ledger's time to `timestamp`, ns, if it is earlier: refused events have used up times of which nothing is recorded."""
        ...

    def close(self) -> None: ...


class TakesAll:
    """The part of `Movable` of an engine that holds whatever another has held."""

    foretold: ClassVar[bool] = False

    def refuse(self, missing: Missing) -> None:
        return None

    def begin(self, missing: Missing) -> None:
        return None

    def foretell(self, events: Sequence[ChangeEvent]) -> None:
        return None


def accounts_of(ledger: Movable) -> Iterator[tuple[Account, Account]]:
    """All accounts in order of time: as each was opened, and as it stands."""
    after = 0
    while page := ledger.query_accounts(QueryFilter(limit=BATCH_SIZE_MAX, timestamp_min=after)):
        for account in page:
            flags = int(account.flags)
            # Closed from the beginning, nothing ever happened to it; else a transfer has closed it, which is an event.
            if flags & AccountFlags.CLOSED and ledger.balance_at(account.id, TIMESTAMP_MAX).timestamp:
                flags &= ~int(AccountFlags.CLOSED)
            yield (
                msgspec.structs.replace(account, flags=flags, debits_pending=0, debits_posted=0, credits_pending=0, credits_posted=0),
                account,
            )
        after = page[-1].timestamp + 1


def events_of(ledger: Movable, *, timestamp_min: int = 0) -> Iterator[list[ChangeEvent]]:
    """The feed, in pages."""
    while page := ledger.get_change_events(timestamp_min=timestamp_min, limit=BATCH_SIZE_MAX):
        yield page
        timestamp_min = page[-1].timestamp + 1
