"""Accounts, transfers, filters and status numbers: TigerBeetle's, verbatim.

Every edge case has a name here, and the engine below can be exchanged. Amounts are unsigned 128-bit integers of minor
units, timestamps nanoseconds since 1970. Source: TigerBeetle 0.17 `src/tigerbeetle.zig` (commit 52ad553).
"""

from __future__ import annotations

import enum

import msgspec

U16_MAX = 2**16 - 1
U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1
U128_MAX = 2**128 - 1
TIMESTAMP_MAX = 2**63 - 1
"""Timestamps, and timestamp + timeout, stay below 2^63 ns (the year 2262)."""

BATCH_SIZE_MAX = 8_189
"""Events in one batch, and records in one answer."""

AMOUNT_ALL = U128_MAX
"""As the amount of a post: everything that was reserved."""


class AccountFlags(enum.IntFlag):
    LINKED = 1 << 0
    DEBITS_MUST_NOT_EXCEED_CREDITS = 1 << 1
    CREDITS_MUST_NOT_EXCEED_DEBITS = 1 << 2
    HISTORY = 1 << 3
    IMPORTED = 1 << 4
    CLOSED = 1 << 5


class TransferFlags(enum.IntFlag):
    LINKED = 1 << 0
    PENDING = 1 << 1
    POST_PENDING_TRANSFER = 1 << 2
    VOID_PENDING_TRANSFER = 1 << 3
    BALANCING_DEBIT = 1 << 4
    BALANCING_CREDIT = 1 << 5
    CLOSING_DEBIT = 1 << 6
    CLOSING_CREDIT = 1 << 7
    IMPORTED = 1 << 8


class AccountFilterFlags(enum.IntFlag):
    DEBITS = 1 << 0
    CREDITS = 1 << 1
    REVERSED = 1 << 2


class QueryFilterFlags(enum.IntFlag):
    REVERSED = 1 << 0


class PendingStatus(enum.IntEnum):
    NONE = 0
    PENDING = 1
    POSTED = 2
    VOIDED = 3
    EXPIRED = 4


class ChangeEventType(enum.IntEnum):
    SINGLE_PHASE = 0
    TWO_PHASE_PENDING = 1
    TWO_PHASE_POSTED = 2
    TWO_PHASE_VOIDED = 3
    TWO_PHASE_EXPIRED = 4


class CreateAccountStatus(enum.IntEnum):
    """Outcome of creating an account, listed in order of precedence: the first that applies is returned."""

    CREATED = 4294967295
    LINKED_EVENT_FAILED = 1
    LINKED_EVENT_CHAIN_OPEN = 2
    IMPORTED_EVENT_EXPECTED = 22
    IMPORTED_EVENT_NOT_EXPECTED = 23
    TIMESTAMP_MUST_BE_ZERO = 3
    IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE = 24
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE = 25
    RESERVED_FIELD = 4
    RESERVED_FLAG = 5
    ID_MUST_NOT_BE_ZERO = 6
    ID_MUST_NOT_BE_INT_MAX = 7
    EXISTS_WITH_DIFFERENT_FLAGS = 15
    EXISTS_WITH_DIFFERENT_USER_DATA_128 = 16
    EXISTS_WITH_DIFFERENT_USER_DATA_64 = 17
    EXISTS_WITH_DIFFERENT_USER_DATA_32 = 18
    EXISTS_WITH_DIFFERENT_LEDGER = 19
    EXISTS_WITH_DIFFERENT_CODE = 20
    EXISTS = 21
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = 8
    DEBITS_PENDING_MUST_BE_ZERO = 9
    DEBITS_POSTED_MUST_BE_ZERO = 10
    CREDITS_PENDING_MUST_BE_ZERO = 11
    CREDITS_POSTED_MUST_BE_ZERO = 12
    LEDGER_MUST_NOT_BE_ZERO = 13
    CODE_MUST_NOT_BE_ZERO = 14
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS = 26


class CreateTransferStatus(enum.IntEnum):
    """Outcome of creating a transfer, listed in order of precedence: the first that applies is returned.

    Those in `TRANSIENT` burn the id for good: every later use of it is `ID_ALREADY_FAILED`.
    """

    CREATED = 4294967295
    LINKED_EVENT_FAILED = 1
    LINKED_EVENT_CHAIN_OPEN = 2
    IMPORTED_EVENT_EXPECTED = 56
    IMPORTED_EVENT_NOT_EXPECTED = 57
    TIMESTAMP_MUST_BE_ZERO = 3
    IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE = 58
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE = 59
    RESERVED_FLAG = 4
    ID_MUST_NOT_BE_ZERO = 5
    ID_MUST_NOT_BE_INT_MAX = 6
    EXISTS_WITH_DIFFERENT_FLAGS = 36
    EXISTS_WITH_DIFFERENT_PENDING_ID = 40
    EXISTS_WITH_DIFFERENT_TIMEOUT = 44
    EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID = 37
    EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID = 38
    EXISTS_WITH_DIFFERENT_AMOUNT = 39
    EXISTS_WITH_DIFFERENT_USER_DATA_128 = 41
    EXISTS_WITH_DIFFERENT_USER_DATA_64 = 42
    EXISTS_WITH_DIFFERENT_USER_DATA_32 = 43
    EXISTS_WITH_DIFFERENT_LEDGER = 67
    EXISTS_WITH_DIFFERENT_CODE = 45
    EXISTS = 46
    ID_ALREADY_FAILED = 68
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = 7
    DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO = 8
    DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX = 9
    CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO = 10
    CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX = 11
    ACCOUNTS_MUST_BE_DIFFERENT = 12
    PENDING_ID_MUST_BE_ZERO = 13
    PENDING_ID_MUST_NOT_BE_ZERO = 14
    PENDING_ID_MUST_NOT_BE_INT_MAX = 15
    PENDING_ID_MUST_BE_DIFFERENT = 16
    TIMEOUT_RESERVED_FOR_PENDING_TRANSFER = 17
    CLOSING_TRANSFER_MUST_BE_PENDING = 64
    LEDGER_MUST_NOT_BE_ZERO = 19
    CODE_MUST_NOT_BE_ZERO = 20
    DEBIT_ACCOUNT_NOT_FOUND = 21
    CREDIT_ACCOUNT_NOT_FOUND = 22
    ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER = 23
    TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS = 24
    PENDING_TRANSFER_NOT_FOUND = 25
    PENDING_TRANSFER_NOT_PENDING = 26
    PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID = 27
    PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID = 28
    PENDING_TRANSFER_HAS_DIFFERENT_LEDGER = 29
    PENDING_TRANSFER_HAS_DIFFERENT_CODE = 30
    EXCEEDS_PENDING_TRANSFER_AMOUNT = 31
    PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT = 32
    PENDING_TRANSFER_ALREADY_POSTED = 33
    PENDING_TRANSFER_ALREADY_VOIDED = 34
    PENDING_TRANSFER_EXPIRED = 35
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS = 60
    IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT = 61
    IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT = 62
    IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO = 63
    DEBIT_ACCOUNT_ALREADY_CLOSED = 65
    CREDIT_ACCOUNT_ALREADY_CLOSED = 66
    OVERFLOWS_DEBITS_PENDING = 47
    OVERFLOWS_CREDITS_PENDING = 48
    OVERFLOWS_DEBITS_POSTED = 49
    OVERFLOWS_CREDITS_POSTED = 50
    OVERFLOWS_DEBITS = 51
    OVERFLOWS_CREDITS = 52
    OVERFLOWS_TIMEOUT = 53
    EXCEEDS_CREDITS = 54
    EXCEEDS_DEBITS = 55


TRANSIENT = frozenset({
    CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND,
    CreateTransferStatus.CREDIT_ACCOUNT_NOT_FOUND,
    CreateTransferStatus.PENDING_TRANSFER_NOT_FOUND,
    CreateTransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED,
    CreateTransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED,
    CreateTransferStatus.EXCEEDS_CREDITS,
    CreateTransferStatus.EXCEEDS_DEBITS,
})  # fmt: skip
"""Refusals that depend on the moment, and therefore burn the transfer id."""


class Account(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An account as it is created, and as it is read.

    Attributes:
        id: 1 to 2^128-2, unique over all ledgers; made by the caller.
        debits_pending, debits_posted, credits_pending, credits_posted: minor units; 0 at creation, then the ledger's.
        user_data_128, user_data_64, user_data_32: the caller's; 0 is none.
        ledger: the currency, not 0. Transfers never cross ledgers.
        code: the kind of account, not 0; see `chart`.
        flags: `AccountFlags`.
        timestamp: when it was created, ns; 0 when sent.
    """

    id: int
    ledger: int
    code: int
    flags: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    reserved: int = 0
    timestamp: int = 0


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One debit and one credit, as it is asked for, and as it is recorded. It is never changed afterwards.

    Attributes:
        id: 1 to 2^128-2; made by the caller, kept before sending. Time-ordered ids are much faster.
        debit_account_id, credit_account_id: the amount moves from the first to the second.
        amount: minor units, 0 to 2^128-1. A ceiling when balancing; `AMOUNT_ALL` posts all that was reserved.
        pending_id: the pending transfer that a post or void resolves; else 0.
        timeout: seconds after which a pending transfer expires by itself; 0 never.
        ledger: the currency.
        code: the reason, not 0; see `chart`.
        flags: `TransferFlags`.
        timestamp: when it was committed, ns, unique and rising; 0 when sent.
    """

    id: int
    debit_account_id: int = 0
    credit_account_id: int = 0
    amount: int = 0
    pending_id: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    timeout: int = 0
    ledger: int = 0
    code: int = 0
    flags: int = 0
    timestamp: int = 0


class CreateAccountResult(msgspec.Struct, frozen=True, gc=False):
    """`timestamp` is the record's own for CREATED and EXISTS; for a refusal, the one that the event used up."""

    timestamp: int
    status: CreateAccountStatus


class CreateTransferResult(msgspec.Struct, frozen=True, gc=False):
    """`timestamp` is the record's own for CREATED and EXISTS; for a refusal, the one that the event used up."""

    timestamp: int
    status: CreateTransferStatus


class AccountBalance(msgspec.Struct, frozen=True, gc=False):
    """An account's four balances right after the transfer with the same timestamp."""

    timestamp: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


class AccountFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which transfers (or balances) of one account. 0 disables a field; both timestamps are inclusive.

    An invalid filter (limit 0 or above BATCH_SIZE_MAX's cut, min above max, neither side, unknown flag bits) selects nothing.
    """

    account_id: int
    limit: int
    flags: int = AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    code: int = 0
    timestamp_min: int = 0
    timestamp_max: int = 0


class QueryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts or transfers, fields combined by AND. 0 disables a field; both timestamps are inclusive."""

    limit: int
    flags: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    ledger: int = 0
    code: int = 0
    timestamp_min: int = 0
    timestamp_max: int = 0


class ChangeEvent(msgspec.Struct, frozen=True, gc=False):
    """One committed movement with both accounts as they stood right after it.

    Attributes:
        timestamp: of the event, ns; strictly rising along the feed. An expiry has one of its own.
        type: what happened.
        transfer: the recorded transfer; for an expiry, the pending transfer that expired (with its own timestamp).
        debit_account, credit_account: both accounts right after the event.
    """

    timestamp: int
    type: ChangeEventType
    transfer: Transfer
    debit_account: Account
    credit_account: Account
