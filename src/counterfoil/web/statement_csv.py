"""A statement as a file for spreadsheets: every line, and the balances around them.

RFC 4180, UTF-8 with a byte order mark (spreadsheets guess otherwise), amounts as plain decimals. A text in which a spreadsheet
would see a formula has an apostrophe in front. Source: RFC 4180; OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
from datetime import datetime

from counterfoil.clock import NANOSECONDS
from counterfoil.money import format_amount
from counterfoil.payments.statement import Statement
from counterfoil.web.statement_words import Words, one_line
from counterfoil.web.values import uuid_text

_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20\t"
"""First characters in which some spreadsheet sees a formula, the wide forms included."""


def csv_file(statement: Statement, words: Words) -> bytes:
    """The statement as CSV: a line of names, the opening balance, each entry, the closing balance."""
    about = words.about
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(
        [words.date, words.what, words.with_, words.memo, words.incoming, words.outgoing, words.balance, words.set_aside,
         words.currency, words.payment]
    )  # fmt: skip

    def moment(nanoseconds: int) -> str:
        return datetime.fromtimestamp(nanoseconds // NANOSECONDS, about.zone).strftime("%Y-%m-%d %H:%M:%S")

    def money(amount: int) -> str:
        return format_amount(amount, about.currency)

    def balance(at: int, what: str, amount: int) -> list[str]:
        return [moment(at), what, "", "", "", "", money(amount), "", about.currency.code, ""]

    writer.writerow(balance(statement.span.start, words.opening, statement.opening))
    for line in statement.lines:
        writer.writerow(
            [
                moment(line.at),
                words.kind(line),
                harmless(line.counterparty),
                harmless(line.memo),
                money(line.incoming) if line.incoming else "",
                money(line.outgoing) if line.outgoing else "",
                money(line.balance),
                money(line.set_aside) if line.set_aside else "",
                about.currency.code,
                uuid_text(line.payment) if line.payment else "",
            ]
        )
    writer.writerow(balance(max(statement.span.start, statement.until), words.closing, statement.closing))
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "replace")


def harmless(text: str) -> str:
    """`text` on one line, with an apostrophe in front where a spreadsheet would see a formula."""
    text = one_line(text)
    return f"'{text}" if text[:1] and text[0] in _FORMULA else text
