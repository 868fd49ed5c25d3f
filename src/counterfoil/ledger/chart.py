"""The chart of accounts: the kinds of account, and every transfer that may happen between them. Pure.

What is not declared here is refused before an engine sees it: a programming error cannot move money along a way that
nobody decided on. An account's balance is credits less debits; what holders have is the scheme's liability.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from counterfoil.ledger.types import AMOUNT_ALL, Account, AccountFlags, Transfer, TransferFlags
from counterfoil.money import AMOUNT_MAX


class AccountCode(enum.IntEnum):
    """The kind of an account."""

    ISSUANCE = 1
    """The scheme's own: its debits less its credits are the money in circulation."""
    CUSTOMER = 10
    MERCHANT = 11
    AGENT = 12
    """An agent's float."""
    INSTITUTION = 13
    FEES = 20
    """What the scheme has earned."""
    ROUNDING = 21
    """Differences that an imported book's old system rounded away."""
    IMPORT_BOOK = 30
    """An account of an imported institution's own customer."""
    IMPORT_CASH = 31
    IMPORT_BANKS = 32
    IMPORT_INTEREST = 33
    IMPORT_OTHER = 34


class TransferCode(enum.IntEnum):
    """Why money moves."""

    PAYMENT = 1
    FEE = 2
    HOLD = 3
    REFUND = 4
    REVERSAL = 5
    CASH_IN = 6
    CASH_OUT = 7
    ISSUE = 8
    WITHDRAWAL = 9
    BATCH_PAYMENT = 10
    STANDING_ORDER = 11
    FEE_REFUND = 12
    IMPORT = 20
    IMPORT_ROUNDING = 21


_A, _T = AccountCode, TransferCode
_HOLDERS: Final = (_A.CUSTOMER, _A.MERCHANT, _A.AGENT, _A.INSTITUTION)
_IMPORT_COUNTERS: Final = (_A.IMPORT_CASH, _A.IMPORT_BANKS, _A.IMPORT_INTEREST, _A.IMPORT_OTHER)

_NEVER_BELOW_ZERO: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_NEVER_ABOVE_ZERO: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_HISTORY: Final = int(AccountFlags.HISTORY)

ACCOUNT_FLAGS: Final[Mapping[int, tuple[int, ...]]] = {
    _A.ISSUANCE: (_NEVER_ABOVE_ZERO | _HISTORY,),
    **dict.fromkeys(_HOLDERS, (_NEVER_BELOW_ZERO | _HISTORY,)),
    _A.FEES: (_NEVER_BELOW_ZERO | _HISTORY,),
    _A.ROUNDING: (_HISTORY,),
    _A.IMPORT_BOOK: (_NEVER_BELOW_ZERO | _HISTORY, _HISTORY),  # without the limit where the old book allowed an overdraft
    **dict.fromkeys(_IMPORT_COUNTERS, (0,)),
}
"""Flags that an account of each kind may have."""

# Debited, credited, why. Everything that may happen, and nothing else.
MOVEMENTS: Final[tuple[tuple[tuple[AccountCode, ...], tuple[AccountCode, ...], tuple[TransferCode, ...]], ...]] = (
    (_HOLDERS, _HOLDERS, (_T.PAYMENT, _T.HOLD, _T.REFUND, _T.REVERSAL, _T.BATCH_PAYMENT, _T.STANDING_ORDER)),
    ((_A.AGENT,), (_A.CUSTOMER,), (_T.CASH_IN,)),
    ((_A.CUSTOMER,), (_A.AGENT,), (_T.CASH_OUT,)),
    (_HOLDERS, (_A.FEES,), (_T.FEE,)),
    ((_A.FEES,), _HOLDERS, (_T.FEE_REFUND,)),
    ((_A.FEES,), (_A.INSTITUTION,), (_T.PAYMENT,)),
    ((_A.ISSUANCE,), (_A.INSTITUTION, _A.AGENT), (_T.ISSUE,)),
    ((_A.INSTITUTION, _A.AGENT), (_A.ISSUANCE,), (_T.WITHDRAWAL,)),
    (_IMPORT_COUNTERS, (_A.IMPORT_BOOK,), (_T.IMPORT,)),
    ((_A.IMPORT_BOOK,), _IMPORT_COUNTERS, (_T.IMPORT,)),
    ((_A.ROUNDING,), (_A.IMPORT_BOOK,), (_T.IMPORT_ROUNDING,)),
    ((_A.IMPORT_BOOK,), (_A.ROUNDING,), (_T.IMPORT_ROUNDING,)),
)

_RESOLVES: Final = int(TransferFlags.POST_PENDING_TRANSFER | TransferFlags.VOID_PENDING_TRANSFER)


class Chart:
    """Which accounts and transfers are declared. The default is the scheme's whole chart."""

    def __init__(self, movements: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = MOVEMENTS) -> None:
        self._declared = frozenset(
            (int(debit), int(credit), int(code))
            for debited, credited, reasons in movements
            for debit in debited
            for credit in credited
            for code in reasons
        )

    def account_refusal(self, account: Account) -> str | None:
        """Why `account` may not be created, or None."""
        declared = ACCOUNT_FLAGS.get(account.code)
        if declared is None:
            return f"the chart has no account code {account.code}"
        if account.flags & ~AccountFlags.LINKED not in declared:
            return f"accounts of code {account.code} cannot have flags {account.flags}"
        return None

    def transfer_refusal(self, transfer: Transfer, debit_code: int, credit_code: int) -> str | None:
        """Why `transfer` between accounts of these codes may not happen, or None.

        A post or void moves along its pending transfer's declared way, so only its amount is looked at.
        """
        if transfer.amount > AMOUNT_MAX and transfer.amount != AMOUNT_ALL:
            return f"amounts are at most {AMOUNT_MAX}"
        if transfer.flags & _RESOLVES:
            return None
        if transfer.amount > AMOUNT_MAX:
            return f"amounts are at most {AMOUNT_MAX}"
        if (debit_code, credit_code, transfer.code) not in self._declared:
            return f"the chart has no transfer of code {transfer.code} from account code {debit_code} to {credit_code}"
        return None
