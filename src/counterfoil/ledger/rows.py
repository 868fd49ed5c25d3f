"""How an event is written down by engines that keep events as rows: kinds, closed accounts, numbers of 128 bits. Pure.

Accounts have a number (1, 2, ... in order of creation), so that an event's row stays small. An event carries both
accounts' balances after it, and for each of them the timestamp of the account's previous event: a chain through time
without any index to keep. Every MARK_INTERVAL-th event of an account is a place where a walk back may begin.
"""

from __future__ import annotations

from typing import Final

from counterfoil.ledger.types import ChangeEventType, TransferFlags

TRANSFER: Final = 0
EXPIRY: Final = 1
BURNT: Final = 2

DEBIT_CLOSED: Final = 1
CREDIT_CLOSED: Final = 2
"""Bits of an event's `closed`: which of the accounts was closed after it."""

MARK_INTERVAL: Final = 64
"""Events of an account between two of its marks: a walk to any past moment takes fewer steps than this. A power of two."""
NARROW_MAX: Final = 2**63 - 1
"""The largest number that a database keeps as an integer."""

EVENT_COLUMNS: Final = 24
ACCEPTED_COLUMNS: Final = EVENT_COLUMNS - 3
"""Of a transfer of the fast path: kind, pending and closed are 0, and left out."""


def wide(number: int) -> int | bytes:
    """A number of up to 128 bits as it stands in a row: beyond 63 bits as 16 big-endian bytes."""
    return number if number <= NARROW_MAX else number.to_bytes(16)


def number_from(value: int | bytes) -> int:
    """The number behind a value of a row."""
    return value if type(value) is int else int.from_bytes(value)  # type: ignore[arg-type]


def change_event_type(flags: int) -> ChangeEventType:
    """Of a transfer with these flags."""
    if flags & TransferFlags.POST_PENDING_TRANSFER:
        return ChangeEventType.TWO_PHASE_POSTED
    if flags & TransferFlags.VOID_PENDING_TRANSFER:
        return ChangeEventType.TWO_PHASE_VOIDED
    if flags & TransferFlags.PENDING:
        return ChangeEventType.TWO_PHASE_PENDING
    return ChangeEventType.SINGLE_PHASE
