"""What happened to one account since a moment, from the ledger's own history.

The ledger lists an account's transfers, but a hold that runs out is no transfer. It shows, though: what is set aside before
the next transfer is then less than after the one before. Only where it shows, the ledger is asked for the expiries in
between, one by one backwards, so an account without them costs four reads, however large the ledger is.
"""

from __future__ import annotations

import asyncio

import msgspec

from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import AccountBalance, AccountFilter, ChangeEventType, Transfer, TransferFlags
from counterfoil.payments.events import change_type

_RESOLVES = TransferFlags.POST_PENDING_TRANSFER | TransferFlags.VOID_PENDING_TRANSFER
_BREATH = 64
"""Expiries read before others get their turn."""


class Movement(msgspec.Struct, frozen=True, gc=False):
    """One change of the account: a transfer, or the end of a pending one whose time ran out; and the balances right after it."""

    timestamp: int
    type: ChangeEventType
    transfer: Transfer
    after: AccountBalance


async def movements_of(ledger: Ledger, account: int, *, after: int, until: int, limit: int) -> list[Movement]:
    """Movements of `account` in (after, until], ledger time, oldest first, at most `limit`. Fewer means: that is all.

    `until` must be in the ledger's past. The account has a history, as all holders' accounts do.
    """
    assert after <= until <= ledger.last_timestamp, (after, until)
    chosen = AccountFilter(account_id=account, limit=limit, timestamp_min=after + 1, timestamp_max=until)
    transfers = await ledger.get_account_transfers(chosen)
    balances = await ledger.get_account_balances(chosen)
    assert [transfer.timestamp for transfer in transfers] == [balance.timestamp for balance in balances], account
    pending_ids = [transfer.pending_id for transfer in transfers if transfer.pending_id]
    pending = {transfer.id: transfer.amount for transfer in await ledger.lookup_transfers(pending_ids)} if pending_ids else {}

    found: list[Movement] = []
    position, before = after, await ledger.balance_at(account, after)
    for transfer, balance in zip(transfers, balances, strict=True):
        if _set_aside(balance) != _set_aside(before) + _change(transfer, pending):
            found += await _expiries(ledger, account, after=position, until=transfer.timestamp - 1)
        found.append(Movement(transfer.timestamp, change_type(transfer), transfer, balance))
        position, before = transfer.timestamp, balance
    if len(transfers) < limit:
        found += await _expiries(ledger, account, after=position, until=until)
    return found[:limit]


def _set_aside(balance: AccountBalance) -> int:
    return balance.debits_pending + balance.credits_pending


def _change(transfer: Transfer, pending: dict[int, int]) -> int:
    """By how much a transfer changes what is set aside on either side."""
    if transfer.flags & TransferFlags.PENDING:
        return transfer.amount
    return -pending[transfer.pending_id] if transfer.flags & _RESOLVES else 0


async def _expiries(ledger: Ledger, account: int, *, after: int, until: int) -> list[Movement]:
    """Those in (after, until], where the account has no transfers."""
    found: list[Movement] = []
    while (balance := await ledger.balance_at(account, until)).timestamp > after:
        (event,) = await ledger.get_change_events(timestamp_min=balance.timestamp, timestamp_max=balance.timestamp, limit=1)
        assert event.type is ChangeEventType.TWO_PHASE_EXPIRED, event
        found.append(Movement(event.timestamp, event.type, event.transfer, balance))
        until = event.timestamp - 1
        if len(found) % _BREATH == 0:
            await asyncio.sleep(0)
    found.reverse()
    return found
