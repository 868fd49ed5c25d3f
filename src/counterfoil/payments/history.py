"""An account's own history: every entry of the ledger with the balance after it, newest first.

The ledger is asked, not a copy: what is shown is what is. The store only adds the words (who, why).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from counterfoil.errors import Malformed
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import AccountBalance, AccountFilter, AccountFilterFlags, Transfer, TransferFlags
from counterfoil.payments import records
from counterfoil.payments.types import Payment
from counterfoil.store.database import Store

PAGE_SIZE_MAX = 200

_RELEASED = TransferFlags.VOID_PENDING_TRANSFER
_BOTH = AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS


class Entry(msgspec.Struct, frozen=True):
    """One line of a history. Amounts in minor units.

    Attributes:
        timestamp: ledger time, ns since 1970; unique, and the page's cursor.
        change: of the balance: positive in, negative out, 0 when money was only set aside or given back.
        set_aside: of what is held: positive when a hold begins, negative when it ends.
        balance, available: right after this entry.
        counterparty: the other account.
        payment: what it belongs to, None for entries that no order of this scheme made (an imported book).
    """

    timestamp: int
    code: TransferCode
    change: int
    set_aside: int
    balance: int
    available: int
    counterparty: int
    transfer: Transfer
    payment: Payment | None


class History:
    def __init__(self, *, ledger: Ledger, store: Store) -> None:
        self.ledger = ledger
        self.store = store

    async def page(self, account: int, *, before: int = 0, since: int = 0, limit: int = 50) -> list[Entry]:
        """Entries of `account` older than `before` (0: from the newest) and not older than `since`, newest first."""
        if not 1 <= limit <= PAGE_SIZE_MAX:
            raise Malformed("limit", f"must be 1 to {PAGE_SIZE_MAX}")
        if before == 1 or (before and before <= since):
            return []
        return await self._entries(
            AccountFilter(
                account_id=account,
                limit=limit,
                flags=_BOTH | AccountFilterFlags.REVERSED,
                timestamp_min=since,
                timestamp_max=max(before - 1, 0),
            )
        )

    async def between(self, account: int, *, since: int, until: int) -> AsyncIterator[list[Entry]]:
        """All entries of `account` from ledger time `since` to `until` (ns, both inclusive), oldest first, by pages.

        Between two pages everybody else has a turn.
        """
        while 0 < since <= until:
            chosen = AccountFilter(account_id=account, limit=PAGE_SIZE_MAX, flags=_BOTH, timestamp_min=since, timestamp_max=until)
            page = await self._entries(chosen)
            if page:
                yield page
            if len(page) < PAGE_SIZE_MAX:
                return
            since = page[-1].timestamp + 1
            await asyncio.sleep(0)

    async def _entries(self, chosen: AccountFilter) -> list[Entry]:
        account = chosen.account_id
        transfers = await self.ledger.get_account_transfers(chosen)
        balances = {balance.timestamp: balance for balance in await self.ledger.get_account_balances(chosen)}
        ids = {transfer.user_data_128 for transfer in transfers}
        payments = await self.store.read(lambda connection: records.find_many(connection, sorted(ids))) if ids else {}
        pending_ids = [transfer.pending_id for transfer in transfers if transfer.pending_id]
        pending = {transfer.id: transfer for transfer in await self.ledger.lookup_transfers(pending_ids)} if pending_ids else {}
        return [
            _entry(account, transfer, balances.get(transfer.timestamp), pending.get(transfer.pending_id), payments)
            for transfer in transfers
        ]


def _entry(account: int, transfer: Transfer, after: AccountBalance | None, pending: Transfer | None, payments: dict[int, Payment]) -> Entry:
    outgoing = transfer.debit_account_id == account
    moved = 0 if transfer.flags & (TransferFlags.PENDING | _RELEASED) else transfer.amount
    held = 0
    if outgoing and transfer.flags & TransferFlags.PENDING:
        held = transfer.amount
    elif outgoing and pending is not None:
        held = -pending.amount
    balance = after.credits_posted - after.debits_posted if after else 0
    return Entry(
        timestamp=transfer.timestamp,
        code=TransferCode(transfer.code),
        change=-moved if outgoing else moved,
        set_aside=held,
        balance=balance,
        available=balance - (after.debits_pending if after else 0),
        counterparty=transfer.credit_account_id if outgoing else transfer.debit_account_id,
        transfer=transfer,
        payment=payments.get(transfer.user_data_128),
    )
