"""TigerBeetle's records as bytes: little-endian, without padding, 128-bit numbers low half first.

Pure. Source: TigerBeetle 0.17 `src/tigerbeetle.zig`; `tigerbeetle_client` compares it with the installed client at every start.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from counterfoil.ledger.types import (
    U64_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    CreateAccountResult,
    CreateAccountStatus,
    CreateTransferResult,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
    TransferFlags,
)


class Operation(enum.IntEnum):
    """What a request asks for."""

    GET_CHANGE_EVENTS = 137
    LOOKUP_ACCOUNTS = 140
    LOOKUP_TRANSFERS = 141
    GET_ACCOUNT_TRANSFERS = 142
    GET_ACCOUNT_BALANCES = 143
    QUERY_ACCOUNTS = 144
    QUERY_TRANSFERS = 145
    CREATE_ACCOUNTS = 146
    CREATE_TRANSFERS = 147


CHANGE_EVENTS_MAX: Final = 2_730
"""Change events in one reply: each has the size of three other records."""

RECORD_SIZE: Final = 128
"""Bytes of an account, a transfer or a balance."""
_FLAGS_PLACE: Final = 118
CHANGE_EVENT_SIZE: Final = 384
CHANGE_EVENTS_FILTER_SIZE: Final = 64

_RECORD: Final = Struct("<13Q3I2HQ")  # a transfer, and just as well an account
_TRANSFER: Final = Struct("<16s16s16s2Q16s16sQ3I2HQ")  # the quicker one to write
_ID: Final = Struct("<2Q")
_BALANCE: Final = Struct("<9Q56x")
_ACCOUNT_FILTER: Final = Struct("<5QIH58x2Q2I")
_QUERY_FILTER: Final = Struct("<3Q2IH6x2Q2I")
_CHANGE_EVENTS_FILTER: Final = Struct("<2QI44x")
_CHANGE_EVENT: Final = Struct("<9Q2I2HIB39x" + 2 * "13QI2H" + "4Q")
assert _RECORD.size == _TRANSFER.size == _BALANCE.size == _ACCOUNT_FILTER.size == RECORD_SIZE, _RECORD.size
assert _QUERY_FILTER.size == _CHANGE_EVENTS_FILTER.size == CHANGE_EVENTS_FILTER_SIZE, _QUERY_FILTER.size
assert _CHANGE_EVENT.size == CHANGE_EVENT_SIZE, _CHANGE_EVENT.size

_RESERVED_FLAG: Final = 1 << 15
"""Refused by the server with RESERVED_FLAG, which is our answer to `imported`: timestamps are the ledger's alone."""
_ACCOUNT_IMPORTED: Final = int(AccountFlags.IMPORTED)
"""Not shown: how an account came here makes no difference. Of transfers it is shown; see `tigerbeetle_imports`."""
_TRANSFER_IMPORTED: Final = int(TransferFlags.IMPORTED)

TRANSFER_STATUS: Final = {int(status): status for status in CreateTransferStatus}
ACCOUNT_STATUS: Final = {int(status): status for status in CreateAccountStatus}
_CHANGE_TYPE: Final = {int(kind): kind for kind in ChangeEventType}
_CREATED: Final = CreateTransferStatus.CREATED


# What is sent


def encode_transfers(transfers: Sequence[Transfer]) -> bytes:
    pack, low = _TRANSFER.pack, U64_MAX
    return b"".join([
        pack(
            t.id.to_bytes(16, "little"), t.debit_account_id.to_bytes(16, "little"), t.credit_account_id.to_bytes(16, "little"),
            t.amount & low, t.amount >> 64, t.pending_id.to_bytes(16, "little"), t.user_data_128.to_bytes(16, "little"),
            t.user_data_64, t.user_data_32, t.timeout, t.ledger, t.code,
            flags if (flags := +t.flags) & _TRANSFER_IMPORTED == 0 else flags & ~_TRANSFER_IMPORTED | _RESERVED_FLAG,
            t.timestamp,
        )
        for t in transfers
    ])  # fmt: skip


def encode_imported_transfers(transfers: Sequence[Transfer]) -> bytes:
    """With their own timestamps: for a move, never for a caller."""
    return _with_flag(encode_transfers(transfers), _TRANSFER_IMPORTED)


def encode_imported_accounts(accounts: Sequence[Account]) -> bytes:
    """As `encode_imported_transfers`."""
    return _with_flag(encode_accounts(accounts), _ACCOUNT_IMPORTED)


def _with_flag(data: bytes, flag: int) -> bytes:
    changed, low, high = bytearray(data), flag & 0xFF, flag >> 8
    for place in range(_FLAGS_PLACE, len(changed), RECORD_SIZE):
        changed[place] |= low
        changed[place + 1] |= high
    return bytes(changed)


def encode_accounts(accounts: Sequence[Account]) -> bytes:
    pack, low = _RECORD.pack, U64_MAX
    return b"".join([
        pack(
            a.id & low, a.id >> 64,
            a.debits_pending & low, a.debits_pending >> 64,
            a.debits_posted & low, a.debits_posted >> 64,
            a.credits_pending & low, a.credits_pending >> 64,
            a.credits_posted & low, a.credits_posted >> 64,
            a.user_data_128 & low, a.user_data_128 >> 64,
            a.user_data_64, a.user_data_32, a.reserved, a.ledger, a.code,
            flags if (flags := +a.flags) & _ACCOUNT_IMPORTED == 0 else flags & ~_ACCOUNT_IMPORTED | _RESERVED_FLAG,
            a.timestamp,
        )
        for a in accounts
    ])  # fmt: skip


def encode_ids(ids: Iterable[int]) -> bytes:
    pack, low = _ID.pack, U64_MAX
    return b"".join([pack(number & low, number >> 64) for number in ids])


def encode_account_filter(f: AccountFilter, limit: int) -> bytes:
    low = U64_MAX
    return _ACCOUNT_FILTER.pack(
        f.account_id & low, f.account_id >> 64, f.user_data_128 & low, f.user_data_128 >> 64, f.user_data_64, f.user_data_32,
        f.code, f.timestamp_min, f.timestamp_max, limit, int(f.flags),
    )  # fmt: skip


def encode_query_filter(f: QueryFilter, limit: int) -> bytes:
    low = U64_MAX
    return _QUERY_FILTER.pack(
        f.user_data_128 & low, f.user_data_128 >> 64, f.user_data_64, f.user_data_32, f.ledger,
        f.code, f.timestamp_min, f.timestamp_max, limit, int(f.flags),
    )  # fmt: skip


def encode_change_events_filter(*, timestamp_min: int, timestamp_max: int, limit: int) -> bytes:
    return _CHANGE_EVENTS_FILTER.pack(timestamp_min, timestamp_max, limit)


# What comes back


def decode_results(data: bytes) -> tuple[array[int], array[int]]:
    """Timestamps and status numbers, one per event."""
    words = array("Q", data)
    return words[0::2], words[1::2]  # the half word above the status is reserved, and 0


def transfer_results(timestamps: array[int], statuses: array[int]) -> list[CreateTransferResult]:
    if statuses.count(_CREATED) == len(statuses):
        return [CreateTransferResult(timestamp, _CREATED) for timestamp in timestamps]
    return [CreateTransferResult(timestamp, TRANSFER_STATUS[status]) for timestamp, status in zip(timestamps, statuses, strict=True)]


def account_results(timestamps: array[int], statuses: array[int]) -> list[CreateAccountResult]:
    return [CreateAccountResult(timestamp, ACCOUNT_STATUS[status]) for timestamp, status in zip(timestamps, statuses, strict=True)]


def decode_transfers(data: bytes) -> list[Transfer]:
    # fmt: off
    return [
        Transfer(
            id_low | id_high << 64, debit_low | debit_high << 64, credit_low | credit_high << 64, amount_low | amount_high << 64,
            pending_low | pending_high << 64, user_low | user_high << 64, user_data_64, user_data_32, timeout, ledger, code, flags,
            timestamp,
        )
        for (
            id_low, id_high, debit_low, debit_high, credit_low, credit_high, amount_low, amount_high, pending_low, pending_high,
            user_low, user_high, user_data_64, user_data_32, timeout, ledger, code, flags, timestamp,
        ) in _RECORD.iter_unpack(data)
    ]
    # fmt: on


def decode_accounts(data: bytes) -> list[Account]:
    # fmt: off
    return [
        Account(
            id=id_low | id_high << 64, ledger=ledger, code=code, flags=flags & ~_ACCOUNT_IMPORTED,
            debits_pending=dp_low | dp_high << 64, debits_posted=d_low | d_high << 64,
            credits_pending=cp_low | cp_high << 64, credits_posted=c_low | c_high << 64,
            user_data_128=user_low | user_high << 64, user_data_64=user_data_64, user_data_32=user_data_32,
            reserved=reserved, timestamp=timestamp,
        )
        for (
            id_low, id_high, dp_low, dp_high, d_low, d_high, cp_low, cp_high, c_low, c_high,
            user_low, user_high, user_data_64, user_data_32, reserved, ledger, code, flags, timestamp,
        ) in _RECORD.iter_unpack(data)
    ]
    # fmt: on


def decode_balances(data: bytes) -> list[AccountBalance]:
    # fmt: off
    return [
        AccountBalance(timestamp, dp_low | dp_high << 64, d_low | d_high << 64, cp_low | cp_high << 64, c_low | c_high << 64)
        for dp_low, dp_high, d_low, d_high, cp_low, cp_high, c_low, c_high, timestamp in _BALANCE.iter_unpack(data)
    ]
    # fmt: on


def decode_change_events(data: bytes) -> list[ChangeEvent]:
    return [_change_event(fields) for fields in _CHANGE_EVENT.iter_unpack(data)]


def _change_event(fields: tuple[int, ...]) -> ChangeEvent:
    # fmt: off
    (
        id_low, id_high, amount_low, amount_high, pending_low, pending_high, user_low, user_high, user_data_64,
        user_data_32, timeout, code, flags, ledger, kind,
    ) = fields[:15]
    timestamp, transfer_timestamp, debit_timestamp, credit_timestamp = fields[47:]
    debit_account = _side(fields[15:31], ledger, debit_timestamp)
    credit_account = _side(fields[31:47], ledger, credit_timestamp)
    transfer = Transfer(
        id_low | id_high << 64, debit_account.id, credit_account.id, amount_low | amount_high << 64, pending_low | pending_high << 64,
        user_low | user_high << 64, user_data_64, user_data_32, timeout, ledger, code, flags, transfer_timestamp,
    )
    # fmt: on
    return ChangeEvent(timestamp, _CHANGE_TYPE[kind], transfer, debit_account, credit_account)


def _side(fields: tuple[int, ...], ledger: int, timestamp: int) -> Account:
    # fmt: off
    (
        id_low, id_high, dp_low, dp_high, d_low, d_high, cp_low, cp_high, c_low, c_high,
        user_low, user_high, user_data_64, user_data_32, code, flags,
    ) = fields
    return Account(
        id=id_low | id_high << 64, ledger=ledger, code=code, flags=flags & ~_ACCOUNT_IMPORTED,
        debits_pending=dp_low | dp_high << 64, debits_posted=d_low | d_high << 64,
        credits_pending=cp_low | cp_high << 64, credits_posted=c_low | c_high << 64,
        user_data_128=user_low | user_high << 64, user_data_64=user_data_64, user_data_32=user_data_32, timestamp=timestamp,
    )
    # fmt: on
