"""Values of an imported book: lines, what came of an account, and the report."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any, NamedTuple

import msgspec

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second. Not the clock's: these values and all that is computed from them are pure."""


class Counter(enum.IntEnum):
    """The other side of a line: where the money came from or went to."""

    CASH = 0
    BANKS = 1
    INTEREST = 2
    OTHER = 3


class Line(NamedTuple):
    """One transaction as the old system wrote it. A tuple, because a book has millions.

    Attributes:
        number: line in the file, the first is 1.
        moment: seconds since 1970-01-01T00:00:00Z; midnight when the book has only dates.
        amount: minor units, negative when it was taken from the account.
        balance: what the old system stated after it, minor units; negative when overdrawn.
        counter: the other side, a `Counter`.
        key: 10 bytes that stand for (book, account, old transaction number).
    """

    number: int
    moment: int
    amount: int
    balance: int
    counter: int
    key: bytes

    @property
    def event_time(self) -> int:
        """Nanoseconds since 1970."""
        return self.moment * NANOSECONDS


class Reason(enum.StrEnum):
    """Why an account was left out."""

    BALANCE = "balance"
    """The stated balance does not follow from the balance before and the amount, in any order of that day's lines."""
    DATE = "date"
    """The line does not fit on its date, but would on another; or the file goes back in time at it."""
    ORDER_NOT_FOUND = "order_not_found"
    """An order may exist, but the search stopped at its bound."""
    CONFLICT = "conflict"
    """The ledger already has other entries for this account."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An account that was left out, and its first difference.

    Attributes:
        account: the old account number.
        line: line in the file.
        date: of that line, ISO 8601.
        stated: the balance that the line states, minor units.
        computed: the balance that follows from the lines before and this line's amount, minor units.
        reason: what does not fit.
        detail: a sentence for a person.
    """

    account: str
    line: int
    date: str
    stated: int
    computed: int
    reason: Reason
    detail: str


class AccountRounding(msgspec.Struct, frozen=True, kw_only=True):
    """Rounding booked for one account: how many entries, and their sum in minor units (positive: in the customer's favour)."""

    account: str
    entries: int
    net: int


class BookReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the import found. A second run of the same file gives the same report.

    Attributes:
        accounts: accounts in the file.
        transactions: transactions in the file.
        exact: accounts whose every stated balance is the one computed.
        rounded: accounts that agree within the tolerance. exact + rounded + failed = accounts.
        rounding_entries: transfers between accounts and the rounding account.
        rounding_net: their sum in minor units; positive is in the customers' favour.
        failed: accounts left out.
        closing_total: sum of the closing balances of the accounts that were booked, minor units.
        roundings: `rounded` in detail, one per account; not part of the JSON object.
    """

    accounts: int
    transactions: int
    exact: int
    rounded: int
    rounding_entries: int
    rounding_net: int
    failed: tuple[Difference, ...]
    closing_total: int
    roundings: tuple[AccountRounding, ...] = ()

    def __post_init__(self) -> None:
        assert self.exact + self.rounded + len(self.failed) == self.accounts, (self.exact, self.rounded, len(self.failed), self.accounts)
        assert self.rounding_entries == sum(r.entries for r in self.roundings), self.rounding_entries
        assert self.rounding_net == sum(r.net for r in self.roundings), self.rounding_net

    @property
    def exit_code(self) -> int:
        """0 when every account was booked, 1 when any was left out."""
        return 1 if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints. Amounts are minor units."""
        return {
            "accounts": self.accounts,
            "transactions": self.transactions,
            "exact": self.exact,
            "rounded": self.rounded,
            "rounding_entries": self.rounding_entries,
            "rounding_net": self.rounding_net,
            "failed": [msgspec.to_builtins(difference) for difference in self.failed],
            "closing_total": self.closing_total,
        }


def date_text(moment: int) -> str:
    """ISO 8601 date of a moment, with the time of day where it is not midnight."""
    when = dt.datetime.fromtimestamp(moment, dt.UTC)
    return when.date().isoformat() if moment % 86_400 == 0 else when.strftime("%Y-%m-%dT%H:%M:%SZ")
