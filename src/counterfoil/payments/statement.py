"""The lines of a statement: every entry of a month in the order of the ledger, with what a person wants to know of each.

Opening balance, plus what came in, less what went out, is the closing balance; and each line's balance is the one before plus
or less its own amount. A line that only sets money aside, or gives it back, moves no balance.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator

import msgspec

from counterfoil.errors import TooLarge
from counterfoil.ledger.chart import TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import TransferFlags
from counterfoil.payments.history import Entry, History
from counterfoil.payments.months import Bounds, Span, bounds_of
from counterfoil.payments.search import Names


class Step(enum.StrEnum):
    """What a line does with money."""

    MOVED = "moved"
    SET_ASIDE = "set_aside"
    GIVEN_BACK = "given_back"


class Line(msgspec.Struct, frozen=True):
    """One entry. Amounts in minor units.

    Attributes:
        at: ledger time, ns.
        code, step: what kind of movement it was.
        counterparty: the other side's name; "" for the scheme itself.
        incoming, outgoing: what the balance changed by; both 0 when money was only set aside or given back.
        set_aside: what of the account's money was set aside (positive) or is no longer (negative).
        payment: id of the payment, which has a receipt; 0 for entries that no order of this scheme made.
    """

    at: int
    code: TransferCode
    step: Step
    counterparty: str
    memo: str
    incoming: int
    outgoing: int
    set_aside: int
    balance: int
    payment: int


class Statement(msgspec.Struct, frozen=True):
    """A month's statement. `until`: ledger time, ns, up to which it goes; before the month's end when that is not over."""

    span: Span
    until: int
    opening: int
    closing: int
    incoming: int
    outgoing: int
    lines: list[Line]


async def read(ledger: Ledger, history: History, names: Names, account: int, span: Span, *, lines_max: int) -> Statement:
    """The statement of `account` for `span`. Raises TooLarge when it has more than `lines_max` lines."""
    bounds = await bounds_of(ledger, account, span)
    lines: list[Line] = []
    async for line in _lines(history, names, account, bounds):
        if len(lines) == lines_max:
            raise TooLarge(f"a statement in this form has at most {lines_max} lines", lines_max=lines_max)
        lines.append(line)
    incoming, outgoing = sum(line.incoming for line in lines), sum(line.outgoing for line in lines)
    assert bounds.opening + incoming - outgoing == bounds.closing, (bounds, incoming, outgoing)
    return Statement(span, bounds.until, bounds.opening, bounds.closing, incoming, outgoing, lines)


async def _lines(history: History, names: Names, account: int, bounds: Bounds) -> AsyncIterator[Line]:
    balance = bounds.opening
    async for page in history.between(account, since=bounds.since, until=bounds.until):
        for entry in page:
            balance += entry.change
            assert entry.balance == balance, (entry, balance)
            yield line_of(entry, await names(entry.counterparty) or "")


def line_of(entry: Entry, counterparty: str) -> Line:
    """The line of an entry."""
    step = Step.MOVED
    if entry.transfer.flags & TransferFlags.PENDING:
        step = Step.SET_ASIDE
    elif entry.transfer.flags & TransferFlags.VOID_PENDING_TRANSFER:
        step = Step.GIVEN_BACK
    return Line(
        at=entry.timestamp,
        code=entry.code,
        step=step,
        counterparty=counterparty,
        memo=entry.payment.memo if entry.payment else "",
        incoming=max(entry.change, 0),
        outgoing=max(-entry.change, 0),
        set_aside=entry.set_aside,
        balance=entry.balance,
        payment=entry.payment.id if entry.payment else 0,
    )
