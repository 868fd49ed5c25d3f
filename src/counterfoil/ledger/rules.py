"""The accounting rules: what every event does to the books, and every reason to refuse it.

Pure: no clock, no randomness, no I/O. An engine fills `Books` with everything that a batch names, lets the rules run,
and keeps the outcome in one transaction. Source: TigerBeetle 0.17 `src/state_machine.zig` (commit 52ad553); of its
rules only `imported` is left out: that flag is answered RESERVED_FLAG.

An engine's write, in words: release what is due (`expiry_timestamp`, `expire`), then apply the batch
(`batch_timestamp`, `apply_transfers`). The last timestamp given out is the ledger's, and the next batch starts after it.
"""

# ruff: noqa: E701 - one refusal a line, so that the order can be read down the page

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from counterfoil.ledger.account_rules import apply_accounts
from counterfoil.ledger.books import AccountState, Balances, Books, Movement, Outcome
from counterfoil.ledger.types import (
    AMOUNT_ALL,
    TIMESTAMP_MAX,
    TRANSIENT,
    U128_MAX,
    AccountFlags,
    CreateTransferResult,
    CreateTransferStatus,
    PendingStatus,
    Transfer,
    TransferFlags,
)

__all__ = [
    "apply_transfers",
    "apply_accounts",
    "expire",
    "batch_timestamp",
    "expiry_timestamp",
    "expires_at",
    "AccountState",
    "Balances",
    "Books",
    "Movement",
    "Outcome",
    "NANOSECONDS_PER_SECOND",
]

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

# Flags as plain integers, for speed.
_LINKED: Final = int(TransferFlags.LINKED)
_PENDING: Final = int(TransferFlags.PENDING)
_POST: Final = int(TransferFlags.POST_PENDING_TRANSFER)
_VOID: Final = int(TransferFlags.VOID_PENDING_TRANSFER)
_BALANCING_DEBIT: Final = int(TransferFlags.BALANCING_DEBIT)
_BALANCING_CREDIT: Final = int(TransferFlags.BALANCING_CREDIT)
_CLOSING_DEBIT: Final = int(TransferFlags.CLOSING_DEBIT)
_CLOSING_CREDIT: Final = int(TransferFlags.CLOSING_CREDIT)
_POST_OR_VOID: Final = _POST | _VOID
_BALANCING: Final = _BALANCING_DEBIT | _BALANCING_CREDIT
_CLOSING: Final = _CLOSING_DEBIT | _CLOSING_CREDIT
_NOT_WITH_POST_OR_VOID: Final = _PENDING | _BALANCING | _CLOSING
_TRANSFER_FLAGS_UNKNOWN: Final = ~(_LINKED | _PENDING | _POST_OR_VOID | _BALANCING | _CLOSING)

_DEBITS_MUST_NOT_EXCEED_CREDITS: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_CREDITS_MUST_NOT_EXCEED_DEBITS: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_CLOSED: Final = int(AccountFlags.CLOSED)

_CREATED: Final = CreateTransferStatus.CREATED
_EXISTS: Final = CreateTransferStatus.EXISTS
_NOT_PENDING: Final = PendingStatus.NONE

_Undo = tuple[AccountState, Balances, int, AccountState, Balances, int]
"""Debit account with its balances and flags before an event of an open chain, and the same of the credit account."""


def batch_timestamp(*, now: int, last: int, count: int) -> int:
    """The timestamp of the last of `count` events: the clock's, or right after `last` if the clock stands or goes back."""
    assert count > 0, count
    timestamp = max(now, last + count)
    assert timestamp <= TIMESTAMP_MAX, timestamp
    return timestamp


def expiry_timestamp(*, now: int, last: int, count: int) -> int:
    """The timestamp of the last of `count` expiries, all due at max(now, last): each comes after it, so none is early."""
    assert count > 0, count
    timestamp = max(now, last) + count
    assert timestamp <= TIMESTAMP_MAX, timestamp
    return timestamp


def apply_transfers(transfers: Sequence[Transfer], *, timestamp: int, books: Books) -> Outcome:
    """Applies a batch whose last event has `timestamp`. Changes `books` in place.

    Each event sees those before it. A chain of linked events is applied whole or not at all. A repeat of a recorded id
    answers EXISTS, or names the first field that differs, and changes nothing. A refusal in `TRANSIENT` burns its id.
    """
    outcome = Outcome()
    results = outcome.results
    movements = outcome.movements
    failed = books.failed
    index_last = len(transfers) - 1
    timestamp_event = timestamp - len(transfers)
    assert timestamp_event >= 0, (timestamp, len(transfers))
    chain_start = -1  # index of the first event of the open chain
    chain_movements = 0  # movements recorded before it
    chain_broken = False
    undo: list[_Undo] | None = None

    for index, transfer in enumerate(transfers):
        timestamp_event += 1
        flags = int(transfer.flags)  # an IntFlag's operators cost more than all the rules
        linked = flags & _LINKED
        if linked and chain_start < 0:
            chain_start = index
            chain_movements = len(movements)
            undo = []

        if linked and index == index_last:
            status = CreateTransferStatus.LINKED_EVENT_CHAIN_OPEN
        elif chain_broken:
            status = CreateTransferStatus.LINKED_EVENT_FAILED
        elif transfer.timestamp != 0:
            status = CreateTransferStatus.TIMESTAMP_MUST_BE_ZERO
        else:
            status = _create_transfer(transfer, flags, timestamp_event, books, movements, undo)

        if status is _CREATED:
            results.append(CreateTransferResult(timestamp_event, status))
        else:
            # Looked up before the chain is taken back: the record may be an earlier event of this very chain.
            timestamp_result = books.transfers[transfer.id].timestamp if status is _EXISTS else timestamp_event
            if chain_start >= 0 and not chain_broken:
                chain_broken = True
                assert undo is not None
                _roll_back(books, movements, chain_movements, undo)
                for earlier in range(chain_start, index):
                    assert results[earlier].status is _CREATED, results[earlier]
                    results[earlier] = CreateTransferResult(results[earlier].timestamp, CreateTransferStatus.LINKED_EVENT_FAILED)
            if status in TRANSIENT:
                failed.add(transfer.id)
                outcome.failed.append(transfer.id)
            results.append(CreateTransferResult(timestamp_result, status))

        if not linked and chain_start >= 0:
            chain_start = -1
            chain_broken = False
            undo = None

    assert len(results) == len(transfers), (len(results), len(transfers))
    return outcome


def _create_transfer(  # noqa: C901 - one list of refusals, in the order that is documented
    t: Transfer, flags: int, timestamp: int, books: Books, movements: list[Movement], undo: list[_Undo] | None
) -> CreateTransferStatus:
    # fmt: off
    if flags & _TRANSFER_FLAGS_UNKNOWN: return CreateTransferStatus.RESERVED_FLAG

    transfer_id = t.id
    if transfer_id == 0: return CreateTransferStatus.ID_MUST_NOT_BE_ZERO
    if transfer_id == U128_MAX: return CreateTransferStatus.ID_MUST_NOT_BE_INT_MAX

    recorded = books.transfers.get(transfer_id)
    if recorded is not None: return _exists(t, flags, recorded, books)
    if transfer_id in books.failed: return CreateTransferStatus.ID_ALREADY_FAILED

    if flags & _POST_OR_VOID:
        return _post_or_void_pending_transfer(t, flags, timestamp, books, movements, undo)

    debit_account_id = t.debit_account_id
    credit_account_id = t.credit_account_id
    if debit_account_id == 0: return CreateTransferStatus.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if debit_account_id == U128_MAX: return CreateTransferStatus.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if credit_account_id == 0: return CreateTransferStatus.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if credit_account_id == U128_MAX: return CreateTransferStatus.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if credit_account_id == debit_account_id: return CreateTransferStatus.ACCOUNTS_MUST_BE_DIFFERENT

    pending = flags & _PENDING
    timeout = t.timeout
    if t.pending_id != 0: return CreateTransferStatus.PENDING_ID_MUST_BE_ZERO
    if timeout != 0 and not pending: return CreateTransferStatus.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
    if flags & _CLOSING and not pending: return CreateTransferStatus.CLOSING_TRANSFER_MUST_BE_PENDING

    ledger = t.ledger
    if ledger == 0: return CreateTransferStatus.LEDGER_MUST_NOT_BE_ZERO
    if t.code == 0: return CreateTransferStatus.CODE_MUST_NOT_BE_ZERO

    debit_account = books.accounts.get(debit_account_id)
    if debit_account is None: return CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND
    credit_account = books.accounts.get(credit_account_id)
    if credit_account is None: return CreateTransferStatus.CREDIT_ACCOUNT_NOT_FOUND
    assert debit_account.id == debit_account_id, debit_account.id
    assert credit_account.id == credit_account_id, credit_account.id
    assert debit_account.timestamp < timestamp > credit_account.timestamp, timestamp

    if debit_account.ledger != credit_account.ledger: return CreateTransferStatus.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER
    if ledger != debit_account.ledger: return CreateTransferStatus.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS

    debit_flags = debit_account.flags
    credit_flags = credit_account.flags
    if debit_flags & _CLOSED: return CreateTransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED
    if credit_flags & _CLOSED: return CreateTransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED

    amount = t.amount
    assert 0 <= amount <= U128_MAX, amount
    debits_total = debit_account.debits_pending + debit_account.debits_posted
    credits_total = credit_account.credits_pending + credit_account.credits_posted
    if flags & _BALANCING_DEBIT:
        amount = min(amount, max(0, debit_account.credits_posted - debits_total))
    if flags & _BALANCING_CREDIT:
        amount = min(amount, max(0, credit_account.debits_posted - credits_total))

    if debits_total + amount > U128_MAX or credits_total + amount > U128_MAX:  # no narrower sum can overflow unless one of these does
        if pending and amount + debit_account.debits_pending > U128_MAX: return CreateTransferStatus.OVERFLOWS_DEBITS_PENDING
        if pending and amount + credit_account.credits_pending > U128_MAX: return CreateTransferStatus.OVERFLOWS_CREDITS_PENDING
        if amount + debit_account.debits_posted > U128_MAX: return CreateTransferStatus.OVERFLOWS_DEBITS_POSTED
        if amount + credit_account.credits_posted > U128_MAX: return CreateTransferStatus.OVERFLOWS_CREDITS_POSTED
        if amount + debits_total > U128_MAX: return CreateTransferStatus.OVERFLOWS_DEBITS
        return CreateTransferStatus.OVERFLOWS_CREDITS

    if timeout != 0 and timestamp + timeout * NANOSECONDS_PER_SECOND > TIMESTAMP_MAX: return CreateTransferStatus.OVERFLOWS_TIMEOUT

    if debit_flags & _DEBITS_MUST_NOT_EXCEED_CREDITS and debits_total + amount > debit_account.credits_posted:
        return CreateTransferStatus.EXCEEDS_CREDITS
    if credit_flags & _CREDITS_MUST_NOT_EXCEED_DEBITS and credits_total + amount > credit_account.debits_posted:
        return CreateTransferStatus.EXCEEDS_DEBITS

    # After this point, the transfer must succeed.
    if undo is not None:
        undo.append((debit_account, debit_account.balances(), debit_flags, credit_account, credit_account.balances(), credit_flags))

    if pending:
        debit_account.debits_pending += amount
        credit_account.credits_pending += amount
        books.pending[transfer_id] = PendingStatus.PENDING
        if flags & _CLOSING_DEBIT: debit_account.flags = debit_flags = debit_flags | _CLOSED
        if flags & _CLOSING_CREDIT: credit_account.flags = credit_flags = credit_flags | _CLOSED
    else:
        debit_account.debits_posted += amount
        credit_account.credits_posted += amount

    books.transfers[transfer_id] = record = Transfer(
        transfer_id, debit_account_id, credit_account_id, amount, 0,
        t.user_data_128, t.user_data_64, t.user_data_32, timeout, ledger, t.code, flags, timestamp,
    )
    movements.append(Movement(
        record, timestamp,
        (debit_account.debits_pending, debit_account.debits_posted, debit_account.credits_pending, debit_account.credits_posted),
        (credit_account.debits_pending, credit_account.debits_posted, credit_account.credits_pending, credit_account.credits_posted),
        debit_flags, credit_flags, _NOT_PENDING,
    ))
    # fmt: on
    return _CREATED


def _post_or_void_pending_transfer(  # noqa: C901 - one list of refusals, in the order that is documented
    t: Transfer, flags: int, timestamp: int, books: Books, movements: list[Movement], undo: list[_Undo] | None
) -> CreateTransferStatus:
    # fmt: off
    void = flags & _VOID
    if flags & _POST and void: return CreateTransferStatus.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if flags & _NOT_WITH_POST_OR_VOID: return CreateTransferStatus.FLAGS_ARE_MUTUALLY_EXCLUSIVE

    if t.pending_id == 0: return CreateTransferStatus.PENDING_ID_MUST_NOT_BE_ZERO
    if t.pending_id == U128_MAX: return CreateTransferStatus.PENDING_ID_MUST_NOT_BE_INT_MAX
    if t.pending_id == t.id: return CreateTransferStatus.PENDING_ID_MUST_BE_DIFFERENT
    if t.timeout != 0: return CreateTransferStatus.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER

    p = books.transfers.get(t.pending_id)
    if p is None: return CreateTransferStatus.PENDING_TRANSFER_NOT_FOUND
    assert p.timestamp < timestamp, (p.timestamp, timestamp)
    if not p.flags & _PENDING: return CreateTransferStatus.PENDING_TRANSFER_NOT_PENDING

    if t.debit_account_id not in (0, p.debit_account_id): return CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID
    if t.credit_account_id not in (0, p.credit_account_id): return CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID
    if t.ledger not in (0, p.ledger): return CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER
    if t.code not in (0, p.code): return CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_CODE

    amount = _amount_resolved(t, flags, p)
    assert amount >= 0, amount
    if amount > p.amount: return CreateTransferStatus.EXCEEDS_PENDING_TRANSFER_AMOUNT
    if void and amount < p.amount: return CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT

    status = books.pending[p.id]
    assert status != PendingStatus.NONE, p.id
    if status == PendingStatus.POSTED: return CreateTransferStatus.PENDING_TRANSFER_ALREADY_POSTED
    if status == PendingStatus.VOIDED: return CreateTransferStatus.PENDING_TRANSFER_ALREADY_VOIDED
    if status == PendingStatus.EXPIRED: return CreateTransferStatus.PENDING_TRANSFER_EXPIRED
    # The balances may still show the reservation: releasing it is the pulse's work.
    if p.timeout != 0 and expires_at(p) <= timestamp: return CreateTransferStatus.PENDING_TRANSFER_EXPIRED

    debit_account = books.accounts[p.debit_account_id]
    credit_account = books.accounts[p.credit_account_id]
    # Voiding is the only movement that a closed account allows.
    if debit_account.flags & _CLOSED and not void: return CreateTransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED
    if credit_account.flags & _CLOSED and not void: return CreateTransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED

    # After this point, the transfer must succeed.
    if undo is not None:
        undo.append((
            debit_account, debit_account.balances(), debit_account.flags,
            credit_account, credit_account.balances(), credit_account.flags,
        ))

    _release(p, debit_account, credit_account)
    if void:
        assert amount == p.amount, (amount, p.amount)
        _reopen(p, debit_account, credit_account)
        resolved = PendingStatus.VOIDED
    else:
        assert not p.flags & _CLOSING, p.flags  # its account is closed, so a post was refused above
        debit_account.debits_posted += amount
        credit_account.credits_posted += amount
        resolved = PendingStatus.POSTED
    books.pending[p.id] = resolved

    books.transfers[t.id] = record = Transfer(
        t.id, p.debit_account_id, p.credit_account_id, amount, p.id,
        t.user_data_128 or p.user_data_128, t.user_data_64 or p.user_data_64, t.user_data_32 or p.user_data_32,
        0, p.ledger, p.code, flags, timestamp,
    )
    # fmt: on
    movements.append(_movement(record, timestamp, debit_account, credit_account, resolved))
    return _CREATED


def expire(due: Sequence[Transfer], *, timestamp: int, books: Books) -> list[Movement]:
    """Releases pending transfers that are due, in the order given; the last release has `timestamp`.

    The caller gives them in order of expiry, then creation. Reopens an account that the transfer had closed. Makes no
    transfer, so an account's history shows nothing at this timestamp; the feed does.
    """
    movements: list[Movement] = []
    timestamp_event = timestamp - len(due)
    for p in due:
        timestamp_event += 1
        assert p.flags & _PENDING, p.flags
        assert p.timeout > 0, p.timeout
        assert expires_at(p) <= timestamp_event, (expires_at(p), timestamp_event)
        assert books.pending[p.id] == PendingStatus.PENDING, books.pending[p.id]
        debit_account = books.accounts[p.debit_account_id]
        credit_account = books.accounts[p.credit_account_id]
        _release(p, debit_account, credit_account)
        _reopen(p, debit_account, credit_account)
        books.pending[p.id] = PendingStatus.EXPIRED
        movements.append(_movement(p, timestamp_event, debit_account, credit_account, PendingStatus.EXPIRED))
    return movements


def expires_at(pending: Transfer) -> int:
    """The first nanosecond at which a pending transfer with a timeout can no longer be posted or voided."""
    assert pending.timeout > 0, pending.timeout
    return pending.timestamp + pending.timeout * NANOSECONDS_PER_SECOND


def _amount_resolved(t: Transfer, flags: int, p: Transfer) -> int:
    """What a post or void asks for: of a void, 0 means the reserved amount; of a post, AMOUNT_ALL does."""
    inherited = 0 if flags & _VOID else AMOUNT_ALL
    return p.amount if t.amount == inherited else t.amount


def _release(p: Transfer, debit_account: AccountState, credit_account: AccountState) -> None:
    assert debit_account.debits_pending >= p.amount, (debit_account.debits_pending, p.amount)
    assert credit_account.credits_pending >= p.amount, (credit_account.credits_pending, p.amount)
    debit_account.debits_pending -= p.amount
    credit_account.credits_pending -= p.amount


def _reopen(p: Transfer, debit_account: AccountState, credit_account: AccountState) -> None:
    """Undoes the closing that `p` did. Nothing else reopens an account, so it must still be closed."""
    if p.flags & _CLOSING_DEBIT:
        assert debit_account.flags & _CLOSED, debit_account.flags
        debit_account.flags &= ~_CLOSED
    if p.flags & _CLOSING_CREDIT:
        assert credit_account.flags & _CLOSED, credit_account.flags
        credit_account.flags &= ~_CLOSED


def _movement(
    transfer: Transfer, timestamp: int, debit_account: AccountState, credit_account: AccountState, resolved: PendingStatus
) -> Movement:
    return Movement(
        transfer, timestamp, debit_account.balances(), credit_account.balances(), debit_account.flags, credit_account.flags, resolved
    )


def _roll_back(books: Books, movements: list[Movement], count: int, undo: list[_Undo]) -> None:
    """Takes back all movements after the first `count`, newest first: the books are as if the chain had never begun."""
    assert len(movements) - count == len(undo), (len(movements), count, len(undo))
    while undo:
        movement = movements.pop()
        debit_account, debit_balances, debit_flags, credit_account, credit_balances, credit_flags = undo.pop()
        _restore(debit_account, debit_balances, debit_flags)
        _restore(credit_account, credit_balances, credit_flags)
        transfer = movement.transfer
        del books.transfers[transfer.id]
        if transfer.flags & _PENDING:
            del books.pending[transfer.id]
        if transfer.pending_id:
            books.pending[transfer.pending_id] = PendingStatus.PENDING
    assert len(movements) == count, (len(movements), count)


def _restore(account: AccountState, balances: Balances, flags: int) -> None:
    account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted = balances
    account.flags = flags


def _exists(t: Transfer, flags: int, e: Transfer, books: Books) -> CreateTransferStatus:
    """A repeat of the recorded `e`: EXISTS, or the first field that differs. Flags first: they change how the rest compares."""
    # fmt: off
    assert t.id == e.id, (t.id, e.id)
    if flags != e.flags: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_FLAGS
    if t.pending_id != e.pending_id: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_PENDING_ID
    if t.timeout != e.timeout: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_TIMEOUT
    if flags & _POST_OR_VOID: return _exists_post_or_void(t, flags, e, books.transfers[t.pending_id])

    if t.debit_account_id != e.debit_account_id: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
    if t.credit_account_id != e.credit_account_id: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
    # The amount of a balancing transfer is a ceiling; what was recorded depended on the balances of that moment.
    if flags & _BALANCING and t.amount < e.amount: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_AMOUNT
    if not flags & _BALANCING and t.amount != e.amount: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_AMOUNT
    if t.user_data_128 != e.user_data_128: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_128
    if t.user_data_64 != e.user_data_64: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_64
    if t.user_data_32 != e.user_data_32: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_32
    if t.ledger != e.ledger: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_LEDGER
    if t.code != e.code: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_CODE
    # fmt: on
    return _EXISTS


def _exists_post_or_void(t: Transfer, flags: int, e: Transfer, p: Transfer) -> CreateTransferStatus:
    """A repeat of the post or void `e` of `p`, compared after inheritance."""
    # fmt: off
    assert t.pending_id == e.pending_id == p.id, (t.pending_id, e.pending_id, p.id)
    if t.debit_account_id not in (0, e.debit_account_id): return CreateTransferStatus.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
    if t.credit_account_id not in (0, e.credit_account_id): return CreateTransferStatus.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
    if _amount_resolved(t, flags, p) != e.amount: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_AMOUNT
    if (t.user_data_128 or p.user_data_128) != e.user_data_128: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_128
    if (t.user_data_64 or p.user_data_64) != e.user_data_64: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_64
    if (t.user_data_32 or p.user_data_32) != e.user_data_32: return CreateTransferStatus.EXISTS_WITH_DIFFERENT_USER_DATA_32
    if t.ledger not in (0, e.ledger): return CreateTransferStatus.EXISTS_WITH_DIFFERENT_LEDGER
    if t.code not in (0, e.code): return CreateTransferStatus.EXISTS_WITH_DIFFERENT_CODE
    # fmt: on
    return _EXISTS
