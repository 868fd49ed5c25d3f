"""Books reconciled accounts into the ledger, whatever of them is already there.

An account is one linked chain of transfers, so that nobody ever sees it half imported; one with more than
`entries.CHAIN_SIZE_MAX` transfers is several chains, booked in order. Nothing is remembered beside the ledger: what an
account has there must be the beginning of what the file says, and the rest is booked. So an import can be stopped or
killed anywhere and run again, a second run books nothing, and a book that has grown since is continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from counterfoil.errors import Conflict
from counterfoil.institutions.book.entries import book_account, book_transfers, chains, counter_accounts, transfer_id
from counterfoil.institutions.book.reader import Book, Progress
from counterfoil.institutions.book.types import Difference, Line, Reason, date_text
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    AccountFilter,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
)

GROUP_SIZE_MAX = 8_000
"""Transfers of several accounts that are sent in one list, and committed at once."""

IMPORT_CODES = frozenset({TransferCode.IMPORT, TransferCode.IMPORT_ROUNDING})


class Summary(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a reconciled account until it is booked; its lines wait packed in the book, in the order found.

    Attributes:
        rounding_entries, rounding_net: its rounding transfers and their sum, minor units.
        closing: its last stated balance, minor units.
        overdrawn: whether a stated balance is below zero.
    """

    rounding_entries: int
    rounding_net: int
    closing: int
    overdrawn: bool


async def book_accounts(ledger: Ledger, book: Book, summaries: Mapping[str, Summary], progress: Progress | None) -> dict[str, Difference]:
    """Books what is missing of the accounts in `summaries`. Those that the ledger contradicts are left alone and returned."""
    for result in await ledger.create_accounts(counter_accounts(book.name, book.currency)):
        if result.status not in (CreateAccountStatus.CREATED, CreateAccountStatus.EXISTS):
            raise Conflict(f"the ledger has a book named {book.name} of another kind ({result.status.name.lower()})", book=book.name)
    refused: dict[str, Difference] = {}
    total, done = sum(book.count(account) for account in summaries), 0
    for group in _groups(book, summaries):
        refused |= await _book_group(ledger, book, group, summaries)
        done += sum(book.count(account) for account in group)
        if progress is not None:
            progress("booking", done, total)
    return refused


def _groups(book: Book, summaries: Mapping[str, Summary]) -> Iterator[list[str]]:
    """Accounts that together fit into one list of transfers; an account too large for that stands alone."""
    group: list[str] = []
    size = 0
    for account, summary in summaries.items():
        entries = book.count(account) + summary.rounding_entries
        if group and size + entries > GROUP_SIZE_MAX:
            yield group
            group, size = [], 0
        group.append(account)
        size += entries
    if group:
        yield group


async def _book_group(ledger: Ledger, book: Book, group: Sequence[str], summaries: Mapping[str, Summary]) -> dict[str, Difference]:
    records = [book_account(book.name, book.currency, account, overdrawn=summaries[account].overdrawn) for account in group]
    created = await ledger.create_accounts(records)
    refused: dict[str, Difference] = {}
    missing: dict[str, list[Transfer]] = {}
    other_movements: dict[str, int] = {}
    for account, record, result in zip(group, records, created, strict=True):
        lines = book.lines(account)
        transfers = book_transfers(book.name, book.currency, account, lines)
        other_movements[account] = 0
        if result.status == CreateAccountStatus.EXISTS:
            history = await _history(ledger, record.id)
            present = [transfer for transfer in history if transfer.code in IMPORT_CODES]
            other_movements[account] = sum(_signed(transfer, record.id) for transfer in history if transfer.code not in IMPORT_CODES)
            unlike = _first_unlike(present, transfers)
            if unlike is not None:
                detail = "the ledger has other entries for this account from an earlier import"
                refused[account] = _conflict(account, lines, transfers[min(unlike, len(transfers) - 1)], detail)
                continue
            transfers = transfers[len(present) :]
        elif result.status != CreateAccountStatus.CREATED:
            detail = f"the ledger has this account with other properties: {result.status.name.lower()}"
            refused[account] = _conflict(account, lines, transfers[0], detail)
            continue
        missing[account] = transfers
    for account, (transfer, status) in (await _book_chains(ledger, missing)).items():
        detail = f"the ledger refused a transfer of this account: {status.name.lower()}"
        refused[account] = _conflict(account, book.lines(account), transfer, detail)
    balances = {a.id: a.credits_posted - a.debits_posted for a in await ledger.lookup_accounts([record.id for record in records])}
    for account, record in zip(group, records, strict=True):
        if account not in refused:
            balance = balances[record.id] - other_movements[account]
            assert balance == summaries[account].closing, (account, balance, summaries[account])  # where the old system stood
    return refused


async def _book_chains(ledger: Ledger, missing: Mapping[str, Sequence[Transfer]]) -> dict[str, tuple[Transfer, CreateTransferStatus]]:
    """Sends all chains, several in one list where they fit. Returns the first refusal of each account that has one."""
    refusals: dict[str, tuple[Transfer, CreateTransferStatus]] = {}
    waiting: list[tuple[str, list[Transfer]]] = []
    size = 0

    async def send() -> None:
        results = iter(await ledger.create_transfers([transfer for _, chain in waiting for transfer in chain]))
        for account, chain in waiting:
            for transfer in chain:
                status = next(results).status
                # the one at fault, not those that were left out because of it
                if status not in (CreateTransferStatus.CREATED, CreateTransferStatus.LINKED_EVENT_FAILED):
                    refusals.setdefault(account, (transfer, status))

    for account, transfers in missing.items():
        for chain in chains(transfers):
            if waiting and size + len(chain) > GROUP_SIZE_MAX:
                await send()
                waiting, size = [], 0
            if account not in refusals:
                waiting.append((account, chain))
                size += len(chain)
    if waiting:
        await send()
    return refusals


async def _history(ledger: Ledger, id: int) -> list[Transfer]:
    """All transfers of an account, oldest first."""
    history: list[Transfer] = []
    while True:
        after = history[-1].timestamp + 1 if history else 0
        page = await ledger.get_account_transfers(AccountFilter(account_id=id, limit=BATCH_SIZE_MAX, timestamp_min=after))
        history += page
        if len(page) < BATCH_SIZE_MAX:
            return history


def _first_unlike(present: Sequence[Transfer], planned: Sequence[Transfer]) -> int | None:
    """Where what the ledger has is no longer what the file says; None when it is the beginning of it."""
    for index, transfer in enumerate(present):
        if index >= len(planned) or _content(transfer) != _content(planned[index]):
            return index
    return None


def _content(transfer: Transfer) -> Transfer:
    """A transfer without what the ledger or the chain added."""
    return msgspec.structs.replace(transfer, flags=0, timestamp=0)


def _signed(transfer: Transfer, id: int) -> int:
    return transfer.amount if transfer.credit_account_id == id else -transfer.amount


def _conflict(account: str, lines: Sequence[Line], transfer: Transfer, detail: str) -> Difference:
    """The difference at the line that `transfer` was made from."""
    before = 0
    for line in lines:
        if transfer_id(line) == transfer.user_data_128:
            break
        before = line.balance
    else:
        raise AssertionError(transfer)
    return Difference(
        account=account,
        line=line.number,
        date=date_text(line.moment),
        stated=line.balance,
        computed=before + line.amount,
        reason=Reason.CONFLICT,
        detail=detail,
    )
