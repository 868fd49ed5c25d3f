"""Imports a book: reads and reconciles the whole file first, then books account by account."""

from __future__ import annotations

from pathlib import Path

from counterfoil.institutions.book.booking import Summary, book_accounts
from counterfoil.institutions.book.mapping import Mapping
from counterfoil.institutions.book.reader import Book, Progress, read_book
from counterfoil.institutions.book.reconcile import Reconciled, reconcile
from counterfoil.institutions.book.types import AccountRounding, BookReport, Difference
from counterfoil.ledger.service import Ledger
from counterfoil.money import Currency, check_amount

PROGRESS_ACCOUNTS = 1_000
"""Accounts between two calls of the progress callback while reconciling."""


async def import_book(
    ledger: Ledger,
    path: Path,
    mapping: Mapping,
    *,
    tolerance: int,
    currency: Currency,
    name: str | None = None,
    progress: Progress | None = None,
) -> BookReport:
    """Replays the book in the file at `path` into the ledger, and says what agreed.

    Args:
        tolerance: minor units by which a stated balance may miss the computed one: the old system's rounding.
        currency: the scheme's; used when the mapping names none.
        name: the book's name when it is not the mapping's. Ids depend on it: always give the same book the same name.
        progress: called now and then with stage, done, total.

    A repeat books what is missing and gives the same report. Raises Malformed, before anything is booked, when the file is
    not in the layout; Conflict when the book's name is taken by a book in another currency; Unavailable when the ledger is
    (run it again). An account that does not agree is left out whole and is in `failed`.
    """
    check_amount(tolerance, "tolerance", minimum=0)
    book = read_book(path, mapping, currency, name=name, progress=progress)
    summaries, failed = _reconcile_all(book, tolerance, progress)
    refused = await book_accounts(ledger, book, summaries, progress)
    booked = {account: summary for account, summary in summaries.items() if account not in refused}
    position = {account: index for index, account in enumerate(book.accounts)}
    rounded = [AccountRounding(account=a, entries=s.rounding_entries, net=s.rounding_net) for a, s in booked.items() if s.rounding_entries]
    return BookReport(
        accounts=len(position),
        transactions=book.transactions,
        exact=len(booked) - len(rounded),
        rounded=len(rounded),
        rounding_entries=sum(r.entries for r in rounded),
        rounding_net=sum(r.net for r in rounded),
        failed=tuple(sorted([*failed, *refused.values()], key=lambda d: position[d.account])),
        closing_total=sum(s.closing for s in booked.values()),
        roundings=tuple(rounded),
    )


def _reconcile_all(book: Book, tolerance: int, progress: Progress | None) -> tuple[dict[str, Summary], list[Difference]]:
    summaries: dict[str, Summary] = {}
    failed: list[Difference] = []
    accounts = book.accounts
    for done, account in enumerate(accounts):
        found = book.out_of_date_order.get(account) or reconcile(account, book.lines(account), tolerance)
        if isinstance(found, Reconciled):
            book.reorder(account, found.lines)
            summaries[account] = Summary(found.rounding_entries, found.rounding_net, found.closing, found.lowest < 0)
        else:
            failed.append(found)
        if progress is not None and done % PROGRESS_ACCOUNTS == 0:
            progress("reconciling", done, len(accounts))
    if progress is not None:
        progress("reconciling", len(accounts), len(accounts))
    return summaries, failed
