"""How books that were carried to TigerBeetle from another engine lie there, and how they are shown as they were. Pure.

TigerBeetle takes records with the timestamps that they have had (`imported`), but no reservation with a time-out, and nothing
that is not a transfer. So three kinds of records are added, which nobody ever sees:

    time-out   a transfer of 0 in a ledger of its own, made before the imported reservation whose time-out it keeps
    release    stands for an expiry: a void, at the moment of the expiry, of the reservation that expired
    refused    a transfer of 0 in the ledger of the time-outs for an id that was refused for good, so that it can be named.
               (That it stays refused is the servers' own knowledge: the id was sent once more, to fail.)

Their ids follow from those that they belong to by exclusive-or with a random number, so they can be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from counterfoil.ledger.types import (
    U32_MAX,
    Account,
    ChangeEvent,
    ChangeEventType,
    Transfer,
    TransferFlags,
)

NOTES_LEDGER: Final = U32_MAX
"""The ledger of what is never shown."""
_TIMEOUT: Final = 0x8F0C_2A6D_51B7_4E93_A4D8_36F1_9E05_7BC2
_RELEASE: Final = 0xC35A_9174_0FD2_46E8_B16B_D80E_2C94_F3A7
_REFUSED: Final = 0x64D1_E8B3_972F_4C05_9A7E_041D_B5F6_8E29
NOTES: Final = tuple(
    Account(id=number ^ _TIMEOUT ^ _RELEASE, ledger=NOTES_LEDGER, code=1) for number in (1, 2, 3)
)  # time-outs, refused ids, and the other side of both
NOBODY: Final = 4 ^ _TIMEOUT ^ _RELEASE
"""An account that never exists."""

IMPORTED: Final = int(TransferFlags.IMPORTED)
_PENDING: Final = int(TransferFlags.PENDING)
_VOID: Final = int(TransferFlags.VOID_PENDING_TRANSFER)
_IMPORTED_VOID: Final = IMPORTED | _VOID


def timeout_id(pending_id: int) -> int:
    """Of what keeps the time-out of this reservation."""
    return pending_id ^ _TIMEOUT


def release_id(pending_id: int) -> int:
    """Of the void that stands for the expiry of this reservation."""
    return pending_id ^ _RELEASE


def timeout_note(pending: Transfer, timestamp: int) -> Transfer:
    """To be imported at `timestamp`."""
    return Transfer(
        id=timeout_id(pending.id), debit_account_id=NOTES[0].id, credit_account_id=NOTES[2].id, user_data_128=pending.id,
        user_data_32=pending.timeout, ledger=NOTES_LEDGER, code=1, timestamp=timestamp,
    )  # fmt: skip


def refused_note(id: int, timestamp: int) -> Transfer:
    """Of an id that was refused at `timestamp`."""
    return Transfer(
        id=id ^ _REFUSED, debit_account_id=NOTES[1].id, credit_account_id=NOTES[2].id, user_data_128=id, user_data_64=timestamp,
        ledger=NOTES_LEDGER, code=1,
    )  # fmt: skip


def as_imported(event: ChangeEvent) -> Transfer:
    """The transfer with which an event is imported, at the event's own time."""
    t = event.transfer
    if event.type is ChangeEventType.TWO_PHASE_EXPIRED:
        return Transfer(
            id=release_id(t.id), debit_account_id=t.debit_account_id, credit_account_id=t.credit_account_id, amount=t.amount,
            pending_id=t.id, user_data_128=_RELEASE, ledger=t.ledger, code=t.code, flags=_VOID, timestamp=event.timestamp,
        )  # fmt: skip
    return msgspec.structs.replace(t, timeout=0)


def is_hidden(t: Transfer) -> bool:
    return t.ledger == NOTES_LEDGER or is_release(t)


def is_release(t: Transfer) -> bool:
    return t.flags & _IMPORTED_VOID == _IMPORTED_VOID and t.user_data_128 == _RELEASE


def may_have_timeout(t: Transfer) -> bool:
    """Whether it is a reservation whose time-out was not imported, if it had one."""
    return t.flags & (IMPORTED | _PENDING) == IMPORTED | _PENDING


def timeouts_in(notes: Sequence[Transfer]) -> dict[int, int]:
    """Time-outs by the id of their reservation."""
    return {note.user_data_128: note.user_data_32 for note in notes if note.ledger == NOTES_LEDGER}


def as_recorded(t: Transfer, timeouts: dict[int, int]) -> Transfer:
    """An imported transfer as it was."""
    return msgspec.structs.replace(t, flags=t.flags & ~IMPORTED, timeout=timeouts.get(t.id, t.timeout))
