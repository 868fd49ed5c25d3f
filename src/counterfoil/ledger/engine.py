"""What every ledger engine does. Engines do not know each other; only `app` knows them by name.

An engine is synchronous and has one caller, the writer. What it has answered is durable: that is the commit point.
Reads may be made at any time between two writes. Timestamps: event i (from 0) of a batch of n has timestamp
batch - n + i + 1, where batch is the greater of the given time and the last timestamp + n, so time never goes
back inside the ledger whatever the machine's clock does; refused events use a timestamp up too.

An engine says by `waits` whether a call may wait for somebody else (a server, the network). One that does not (memory,
sqlite) is only ever called on the event loop's thread. One that does is called from three kinds of threads, beside each other:

    writes   `create_accounts`, `create_transfers`, `expire_pending_transfers`: one thread, the writer's, one call at a time
    quick    `last_timestamp`, `account_now`, `balances_now`, `account_code`: the event loop's thread, also while a write
             is under way. They never wait: no I/O, no lock that a write holds. They answer from the last committed batch,
             never from half of the one under way, and go on answering from it while the server cannot be reached
    reads    everything else: at most READS_MAX threads, also while a write is under way. They see committed batches only

`close` comes after the last write and read have returned. Such an engine has deadlines of its own: no call waits for ever.
When the outcome of a write is not known it raises errors.Unavailable, connects again by itself at the next write (the
writer's pulse makes one several times a second), finds out there what was committed, and goes on from that: a repeat of
the same ids answers EXISTS where the first attempt was done, and does it where it was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

from counterfoil.ledger.types import (
    Account,
    AccountBalance,
    AccountFilter,
    ChangeEvent,
    CreateAccountResult,
    CreateTransferResult,
    QueryFilter,
    Transfer,
)

READS_MAX: Final = 4
"""Reads of an engine that waits, at a time."""


class Engine(Protocol):
    """A ledger's storage and rules.

    What a full disk, a lock or a lost connection prevents is raised as errors.Unavailable, and the engine goes on;
    anything else is a bug.

    Attributes:
        waits: whether a call may wait for a server: see above for what follows from it.
    """

    waits: ClassVar[bool]

    @property
    def last_timestamp(self) -> int:
        """The last timestamp given out, ns; refused events use one up, too. 0 before the first event."""
        ...

    def account_now(self, id: int) -> Account | None:
        """The account with its balances as of the last committed batch. Quick: on the path of every payment."""
        ...

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        """Of `account_now` the balances alone: debits pending and posted, credits pending and posted. None if there is no such account."""
        ...

    def account_code(self, id: int) -> int:
        """The account's code; 0 if there is no such account. Quick: asked twice for every transfer."""
        ...

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        """The balances right after the account's last event (expiries, too) up to `timestamp`, ns, inclusive; zeros before it."""
        ...

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        """Creates accounts in order, durably, one result per event. At most BATCH_SIZE_MAX."""
        ...

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        """Applies transfers in order, each seeing those before it, durably, one result per event.

        Due expiries are released first. A repeat of an id answers EXISTS and changes nothing. At most BATCH_SIZE_MAX.
        """
        ...

    def expire_pending_transfers(self, now: int) -> int:
        """Releases pending transfers that are due, in order of expiry, then creation. Returns how many (at most BATCH_SIZE_MAX)."""
        ...

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts found, in the order asked; the missing are left out."""
        ...

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers found, in the order asked; the missing are left out."""
        ...

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]: ...

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        """Balances after each transfer that the filter selects; only for accounts with the HISTORY flag."""
        ...

    def query_accounts(self, filter: QueryFilter) -> list[Account]: ...

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]: ...

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        """The feed: committed movements and expiries in timestamp order. Both bounds inclusive; 0 is no bound."""
        ...

    def close(self) -> None:
        """Makes everything durable and lets go of files. Safe to repeat."""
        ...
