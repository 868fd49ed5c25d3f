"""The accounting rules: what every event does to the books, and every reason to refuse it.

Pure: no clock, no randomness, no I/O. An engine fills `Books` with everything that a batch names, lets the rules run,
and keeps the outcome in one transaction. Source: TigerBeetle 0.17 `src/state_machine.zig` (commit 52ad553).
"""

from __future__ import annotations

from collections.abc import Sequence

from counterfoil.ledger.types import (
    Account,
    CreateAccountResult,
    CreateTransferResult,
    PendingStatus,
    Transfer,
)


class AccountState:
    """An account while rules run over it: the one mutable record of the ledger."""

    __slots__ = (
        "code",
        "credits_pending",
        "credits_posted",
        "debits_pending",
        "debits_posted",
        "flags",
        "id",
        "ledger",
        "timestamp",
        "user_data_128",
        "user_data_32",
        "user_data_64",
    )

    def __init__(self, account: Account) -> None: ...

    def freeze(self) -> Account: ...


class Books:
    """Everything that a batch can touch, filled by the engine before the rules run (TigerBeetle's `prefetch`).

    Attributes:
        accounts: by id: every account that exists and that an event of the batch (or a pending transfer it resolves) names.
        transfers: by id: every recorded transfer that an event names by its own id or by pending_id.
        pending: by id of a recorded pending transfer: its status now.
        failed: ids that were burnt by a transient refusal, among those the batch names.
    """

    __slots__ = ("accounts", "failed", "pending", "transfers")

    def __init__(self) -> None:
        self.accounts: dict[int, AccountState] = {}
        self.transfers: dict[int, Transfer] = {}
        self.pending: dict[int, PendingStatus] = {}
        self.failed: set[int] = set()


class Movement:
    """A recorded transfer (or an expiry) and both accounts' balances right after it.

    Attributes:
        transfer: as recorded, with its timestamp and resolved fields; for an expiry, the pending transfer.
        timestamp: of the event: the transfer's own, or the expiry's.
        debit_balances, credit_balances: (debits_pending, debits_posted, credits_pending, credits_posted) after it.
        debit_flags, credit_flags: the accounts' flags after it.
        resolved: the status that the pending transfer got by it (POSTED, VOIDED, EXPIRED), else NONE.
    """


class Outcome:
    """What a batch did: `results` per event, `movements` to record in order, ids newly `failed`. Changed accounts are in the Books."""


def apply_transfers(transfers: Sequence[Transfer], *, timestamp: int, books: Books) -> Outcome:
    """Applies a batch whose last event has `timestamp`. Changes `books` in place."""
    raise NotImplementedError


def apply_accounts(accounts: Sequence[Account], *, timestamp: int, books: Books) -> list[CreateAccountResult]:
    """Creates accounts. New ones are in `books.accounts`."""
    raise NotImplementedError


