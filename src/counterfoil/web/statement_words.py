"""What a statement says, in one language: the words of its lines and of its head, dates and amounts."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_date, format_skeleton

from counterfoil.clock import NANOSECONDS
from counterfoil.i18n import Language
from counterfoil.ledger.chart import TransferCode
from counterfoil.money import Currency
from counterfoil.payments.statement import Line, Statement, Step


class About(msgspec.Struct, frozen=True):
    """Whose statement it is, and of what. `made_at` in ns."""

    scheme: str
    origin: str
    currency: Currency
    zone: ZoneInfo
    holder: str
    number: str
    account: str
    made_at: int


class Words:
    """The texts of one statement."""

    def __init__(self, language: Language, about: About) -> None:
        self.language = language
        self.about = about
        self._days: dict[date, str] = {}
        text = language.text
        self.date, self.what, self.with_, self.memo = text("Date"), text("What"), text("With"), text("Memo")
        self.incoming, self.outgoing, self.balance = text("In"), text("Out"), text("Balance")
        self.set_aside, self.payment, self.currency = text("Set aside"), text("Payment"), text("Currency")
        self.opening, self.closing = text("Opening balance"), text("Closing balance")
        self._kinds = {
            TransferCode.PAYMENT: self.payment,
            TransferCode.FEE: text("Fee"),
            TransferCode.HOLD: text("Taken from what was set aside"),
            TransferCode.REFUND: text("Refund of a payment"),
            TransferCode.REVERSAL: text("Reversal"),
            TransferCode.CASH_IN: text("Cash in"),
            TransferCode.CASH_OUT: text("Cash out"),
            TransferCode.ISSUE: text("Money issued"),
            TransferCode.WITHDRAWAL: text("Money withdrawn"),
            TransferCode.BATCH_PAYMENT: text("Payment from a batch"),
            TransferCode.STANDING_ORDER: text("Standing order"),
            TransferCode.FEE_REFUND: text("Fee refunded"),
            TransferCode.IMPORT: text("From the earlier book"),
            TransferCode.IMPORT_ROUNDING: text("Rounding in the earlier book"),
        }
        self._steps = {
            (Step.SET_ASIDE, False): self.set_aside,
            (Step.SET_ASIDE, True): text("Fee set aside"),
            (Step.GIVEN_BACK, False): text("No longer set aside"),
            (Step.GIVEN_BACK, True): text("Fee no longer set aside"),
        }

    def kind(self, line: Line) -> str:
        """What kind of entry it is."""
        if line.step is Step.MOVED:
            return self._kinds[line.code]
        return self._steps[line.step, line.code is TransferCode.FEE]

    def title(self, statement: Statement) -> str:
        """What it is, with the month in words: "Statement, November 2026"."""
        middle = (statement.span.start + statement.span.end) // 2
        month = format_skeleton("yMMMM", self._moment(middle), locale=self.language.locale)
        return self.language.text("Statement, %(month)s", month=month)

    def head(self, statement: Statement) -> list[tuple[str, str]]:
        """Names and values of what stands above the lines, and of the sums."""
        text, about = self.language.text, self.about
        until = min(statement.span.end - 1, max(statement.until, about.made_at))
        period = f"{self.day(statement.span.start)} – {self.day(until)} ({about.zone.key})"
        rows = [
            (text("Holder"), " ".join(filter(None, (about.holder, about.number)))),
            (text("Account"), about.account),
            (text("Scheme"), f"{about.scheme} ({about.origin})"),
            (text("Period"), period),
            (text("Made on"), f"{self.day(about.made_at)} {self.time(about.made_at)}"),
        ]
        sums = [
            (self.opening, statement.opening),
            (text("Total in"), statement.incoming),
            (text("Total out"), statement.outgoing),
            (self.closing, statement.closing),
        ]
        return rows + [(name, f"{self.money(amount)} {about.currency.code}") for name, amount in sums]

    def proof(self) -> str:
        return self.language.text(
            "Each entry with a payment number has a receipt, which anybody can check against the scheme's public log: "
            "in the wallet, open the entry. This page by itself proves nothing."
        )

    def page(self, page: int, pages: int) -> str:
        return self.language.text("Page %(page)s of %(pages)s", page=page, pages=pages)

    def empty(self) -> str:
        return self.language.text("Nothing happened in this month.")

    def money(self, amount: int) -> str:
        return self.language.money(amount, self.about.currency)

    def day(self, nanoseconds: int) -> str:
        day = self._moment(nanoseconds).date()
        if day not in self._days:  # a few dozen a statement, and slow to write
            self._days[day] = format_date(day, format="medium", locale=self.language.locale)
        return self._days[day]

    def time(self, nanoseconds: int) -> str:
        """Hours and minutes, 00:00 to 23:59 in every language."""
        return self._moment(nanoseconds).strftime("%H:%M")

    def _moment(self, nanoseconds: int) -> datetime:
        return datetime.fromtimestamp(nanoseconds // NANOSECONDS, self.about.zone)


def one_line(text: str) -> str:
    """`text` on one line, in NFC: breaks and control characters become spaces."""
    if text.isprintable() and text.isascii():
        return " ".join(text.split())
    plain = "".join(" " if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") else character for character in text)
    return unicodedata.normalize("NFC", " ".join(plain.split()))
