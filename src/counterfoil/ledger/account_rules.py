"""The rules for creating accounts: every reason to refuse one. Pure; a part of `rules`.

Source: TigerBeetle 0.17 `src/state_machine.zig` (commit 52ad553), `create_account`.
"""
# ruff: noqa: E701 - one refusal a line, so that the order can be read down the page

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from counterfoil.ledger.books import AccountState, Books
from counterfoil.ledger.types import U128_MAX, Account, AccountFlags, CreateAccountResult, CreateAccountStatus

_LINKED: Final = int(AccountFlags.LINKED)
_LIMITS: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_FLAGS_UNKNOWN: Final = ~(_LINKED | _LIMITS | int(AccountFlags.HISTORY | AccountFlags.CLOSED))


def apply_accounts(accounts: Sequence[Account], *, timestamp: int, books: Books) -> list[CreateAccountResult]:
    """Creates accounts; the last event has `timestamp`. New ones are in `books.accounts`. Chains and repeats as for transfers."""
    results: list[CreateAccountResult] = []
    index_last = len(accounts) - 1
    timestamp_event = timestamp - len(accounts)
    assert timestamp_event >= 0, (timestamp, len(accounts))
    chain_start = -1
    chain_broken = False

    for index, account in enumerate(accounts):
        timestamp_event += 1
        linked = account.flags & _LINKED
        if linked and chain_start < 0:
            chain_start = index

        if linked and index == index_last:
            status = CreateAccountStatus.LINKED_EVENT_CHAIN_OPEN
        elif chain_broken:
            status = CreateAccountStatus.LINKED_EVENT_FAILED
        elif account.timestamp != 0:
            status = CreateAccountStatus.TIMESTAMP_MUST_BE_ZERO
        else:
            status = _create_account(account, timestamp_event, books)

        # Looked up before the chain is taken back: the record may be an earlier event of this very chain.
        existing = status is CreateAccountStatus.EXISTS
        timestamp_result = books.accounts[account.id].timestamp if existing else timestamp_event
        if status is not CreateAccountStatus.CREATED and chain_start >= 0 and not chain_broken:
            chain_broken = True
            for earlier in range(chain_start, index):
                del books.accounts[accounts[earlier].id]
                results[earlier] = CreateAccountResult(results[earlier].timestamp, CreateAccountStatus.LINKED_EVENT_FAILED)
        results.append(CreateAccountResult(timestamp_result, status))

        if not linked:
            chain_start = -1
            chain_broken = False

    assert len(results) == len(accounts), (len(results), len(accounts))
    return results


def _create_account(a: Account, timestamp: int, books: Books) -> CreateAccountStatus:  # noqa: C901 - one list of refusals
    # fmt: off
    if a.reserved != 0: return CreateAccountStatus.RESERVED_FIELD
    if a.flags & _FLAGS_UNKNOWN: return CreateAccountStatus.RESERVED_FLAG

    if a.id == 0: return CreateAccountStatus.ID_MUST_NOT_BE_ZERO
    if a.id == U128_MAX: return CreateAccountStatus.ID_MUST_NOT_BE_INT_MAX

    e = books.accounts.get(a.id)
    if e is not None:
        if a.flags != e.flags: return CreateAccountStatus.EXISTS_WITH_DIFFERENT_FLAGS  # also when it was closed since
        if a.user_data_128 != e.user_data_128: return CreateAccountStatus.EXISTS_WITH_DIFFERENT_USER_DATA_128
        if a.user_data_64 != e.user_data_64: return CreateAccountStatus.EXISTS_WITH_DIFFERENT_USER_DATA_64
        if a.user_data_32 != e.user_data_32: return CreateAccountStatus.EXISTS_WITH_DIFFERENT_USER_DATA_32
        if a.ledger != e.ledger: return CreateAccountStatus.EXISTS_WITH_DIFFERENT_LEDGER
        if a.code != e.code: return CreateAccountStatus.EXISTS_WITH_DIFFERENT_CODE
        return CreateAccountStatus.EXISTS

    if a.flags & _LIMITS == _LIMITS: return CreateAccountStatus.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if a.debits_pending != 0: return CreateAccountStatus.DEBITS_PENDING_MUST_BE_ZERO
    if a.debits_posted != 0: return CreateAccountStatus.DEBITS_POSTED_MUST_BE_ZERO
    if a.credits_pending != 0: return CreateAccountStatus.CREDITS_PENDING_MUST_BE_ZERO
    if a.credits_posted != 0: return CreateAccountStatus.CREDITS_POSTED_MUST_BE_ZERO
    if a.ledger == 0: return CreateAccountStatus.LEDGER_MUST_NOT_BE_ZERO
    if a.code == 0: return CreateAccountStatus.CODE_MUST_NOT_BE_ZERO
    # fmt: on

    # After this point, the account must be created.
    state = AccountState(a)
    state.timestamp = timestamp
    books.accounts[a.id] = state
    return CreateAccountStatus.CREATED
