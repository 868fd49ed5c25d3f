"""What is said of what was asked again after a move to TigerBeetle: the same as before it.

A record that was imported has a flag that no caller sends, so a repeat differs from it in the servers' eyes; and the void
that stands for an expiry is a void to them. Where they answer with one of these two words, the record is read, and the
rules say what it comes to. Nothing else depends on either: a repeat changes nothing, and breaks a chain whatever it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from counterfoil.ledger import rules
from counterfoil.ledger import tigerbeetle_imports as imports
from counterfoil.ledger.books import AccountState, Books
from counterfoil.ledger.tigerbeetle_reads import Reads
from counterfoil.ledger.types import (
    TIMESTAMP_MAX,
    Account,
    AccountFlags,
    CreateAccountResult,
    CreateAccountStatus,
    CreateTransferResult,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)

_OTHER_FLAGS: Final = CreateTransferStatus.EXISTS_WITH_DIFFERENT_FLAGS
_VOIDED: Final = CreateTransferStatus.PENDING_TRANSFER_ALREADY_VOIDED
_LINKED: Final = int(TransferFlags.LINKED)
"""A chain has been dealt with: the rules are asked about one event alone."""
assert int(AccountFlags.LINKED) == _LINKED


class Repeats:
    """Both raise Unavailable when the servers do not answer: whoever repeats what he asked hears it then."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def transfers(self, transfers: Sequence[Transfer], results: list[CreateTransferResult]) -> list[CreateTransferResult]:
        """The results of a batch, those of repeats corrected in place."""
        again = [index for index, result in enumerate(results) if result.status is _OTHER_FLAGS]
        voided = [index for index, result in enumerate(results) if result.status is _VOIDED]
        if again:
            found = {t.id: t for t in self._reads.lookup_transfers(list({transfers[index].id for index in again}))}
            pending_ids = {t.pending_id for t in found.values() if t.pending_id}
            found |= {t.id: t for t in self._reads.lookup_transfers(list(pending_ids))}
            for index in again:
                results[index] = _again(transfers[index], found, results[index])
        if voided:
            ids = [imports.release_id(transfers[index].pending_id) for index in voided]
            expired = {t.pending_id for t in self._reads.lookup_raw(list(set(ids))) if imports.is_release(t)}
            for index in voided:
                if transfers[index].pending_id in expired:
                    results[index] = CreateTransferResult(results[index].timestamp, CreateTransferStatus.PENDING_TRANSFER_EXPIRED)
        return results

    def accounts(self, accounts: Sequence[Account], results: list[CreateAccountResult]) -> list[CreateAccountResult]:
        """As `transfers`."""
        again = [index for index, result in enumerate(results) if result.status is CreateAccountStatus.EXISTS_WITH_DIFFERENT_FLAGS]
        found = {account.id: account for account in self._reads.lookup_accounts(list({accounts[index].id for index in again}))}
        for index in again:
            asked, recorded, result = accounts[index], found.get(accounts[index].id), results[index]
            if recorded is not None and int(asked.flags) == recorded.flags:
                books = Books()
                books.accounts[asked.id] = AccountState(msgspec.structs.replace(recorded, flags=recorded.flags & ~_LINKED))
                asked = msgspec.structs.replace(asked, flags=asked.flags & ~_LINKED)
                [said] = rules.apply_accounts([asked], timestamp=TIMESTAMP_MAX, books=books)
                results[index] = said if said.status is CreateAccountStatus.EXISTS else CreateAccountResult(result.timestamp, said.status)
        return results


def _again(asked: Transfer, found: dict[int, Transfer], result: CreateTransferResult) -> CreateTransferResult:
    recorded = found.get(asked.id)
    if recorded is None or int(asked.flags) != recorded.flags:
        return result  # they do differ; or the record was one of the same chain, which has been taken back
    books = Books()
    books.transfers = found | {asked.id: msgspec.structs.replace(recorded, flags=recorded.flags & ~_LINKED)}
    alone = msgspec.structs.replace(asked, flags=asked.flags & ~_LINKED)
    [said] = rules.apply_transfers([alone], timestamp=TIMESTAMP_MAX, books=books).results
    return said if said.status is CreateTransferStatus.EXISTS else CreateTransferResult(result.timestamp, said.status)
