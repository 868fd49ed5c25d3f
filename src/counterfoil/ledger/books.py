"""What the rules work on: accounts as they stand, everything a batch can touch, and what it did. Pure."""

from __future__ import annotations

import msgspec

from counterfoil.ledger.types import Account, CreateTransferResult, PendingStatus, Transfer

Balances = tuple[int, int, int, int]
"""debits_pending, debits_posted, credits_pending, credits_posted, in minor units."""


class AccountState:
    """An account while rules run over it: the one mutable record of the ledger."""

    __slots__ = (
        "id",
        "ledger",
        "code",
        "flags",
        "debits_pending",
        "debits_posted",
        "credits_pending",
        "credits_posted",
        "user_data_128",
        "user_data_64",
        "user_data_32",
        "timestamp",
    )

    def __init__(self, account: Account) -> None:
        self.id = account.id
        self.ledger = account.ledger
        self.code = account.code
        self.flags = int(account.flags)  # plain int: bit tests on IntFlag cost more than the rest of a rule
        self.debits_pending = account.debits_pending
        self.debits_posted = account.debits_posted
        self.credits_pending = account.credits_pending
        self.credits_posted = account.credits_posted
        self.user_data_128 = account.user_data_128
        self.user_data_64 = account.user_data_64
        self.user_data_32 = account.user_data_32
        self.timestamp = account.timestamp

    def balances(self) -> Balances:
        return (self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted)

    def freeze(self) -> Account:
        """The account as it stands now."""
        return self.freeze_at(self.balances(), self.flags)

    def freeze_at(self, balances: Balances, flags: int) -> Account:
        """The account as it stood when it had these balances and flags; nothing else of an account ever changes."""
        debits_pending, debits_posted, credits_pending, credits_posted = balances
        return Account(
            id=self.id,
            ledger=self.ledger,
            code=self.code,
            flags=flags,
            debits_pending=debits_pending,
            debits_posted=debits_posted,
            credits_pending=credits_pending,
            credits_posted=credits_posted,
            user_data_128=self.user_data_128,
            user_data_64=self.user_data_64,
            user_data_32=self.user_data_32,
            timestamp=self.timestamp,
        )


class Books:
    """Everything that a batch can touch, filled by the engine before the rules run (TigerBeetle's `prefetch`).

    Attributes:
        accounts: by id: every account that exists and that an event of the batch (or a pending transfer it resolves) names.
        transfers: by id: every recorded transfer that an event names by its own id or by pending_id.
        pending: by id of a recorded pending transfer: its status now.
        failed: ids that were burnt by a transient refusal, among those the batch names.
    """

    __slots__ = ("accounts", "transfers", "pending", "failed")

    def __init__(self) -> None:
        self.accounts: dict[int, AccountState] = {}
        self.transfers: dict[int, Transfer] = {}
        self.pending: dict[int, PendingStatus] = {}
        self.failed: set[int] = set()


class Movement(msgspec.Struct, frozen=True, gc=False):
    """A recorded transfer (or an expiry) and both accounts' balances right after it.

    Attributes:
        transfer: as recorded, with its timestamp and resolved fields; for an expiry, the pending transfer.
        timestamp: of the event: the transfer's own, or the expiry's.
        debit_balances, credit_balances: (debits_pending, debits_posted, credits_pending, credits_posted) after it.
        debit_flags, credit_flags: the accounts' flags after it.
        resolved: the status that the pending transfer got by it (POSTED, VOIDED, EXPIRED), else NONE.
    """

    transfer: Transfer
    timestamp: int
    debit_balances: Balances
    credit_balances: Balances
    debit_flags: int
    credit_flags: int
    resolved: PendingStatus


class Outcome:
    """What a batch did: `results` per event, `movements` to record in order, ids newly `failed`. Changed accounts are in the Books."""

    __slots__ = ("results", "movements", "failed")

    def __init__(self) -> None:
        self.results: list[CreateTransferResult] = []
        self.movements: list[Movement] = []
        self.failed: list[int] = []
