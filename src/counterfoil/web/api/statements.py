"""A month of the caller's account: added up, and as a statement to keep."""

from __future__ import annotations

import asyncio
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.errors import Malformed
from counterfoil.i18n import Language, languages
from counterfoil.ledger.service import Ledger
from counterfoil.moments import moment_text
from counterfoil.money import Currency
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Scope
from counterfoil.payments import months, statement
from counterfoil.payments.history import History
from counterfoil.payments.months import Month, Sums
from counterfoil.payments.statement import Statement
from counterfoil.web.accept import preferred
from counterfoil.web.access import Principal, holder_or
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.incoming import Answer, Incoming
from counterfoil.web.statement_csv import csv_file
from counterfoil.web.statement_words import About, Words
from counterfoil.web.throttle import Throttle
from counterfoil.web.values import AmountOrZero, Difference, Moment, MonthText, UuidText, uuid_text

CSV, PDF = "text/csv", "application/pdf"
CSV_LINES_MAX = 100_000
"""Lines of a CSV file: some 20 MB."""
PDF_LINES_MAX = 2_000
"""Lines of a PDF file: some 100 pages, and a few seconds of one core."""
PER_MINUTE = 20
"""Months and statements that one account may ask for."""
Count = Annotated[int, msgspec.Meta(ge=0)]


class KindSums(msgspec.Struct, frozen=True):
    """Entries of one kind: how many, and how much came in and went out."""

    kind: str
    count: Count
    in_: AmountOrZero = msgspec.field(name="in")
    out: AmountOrZero


class CounterpartySums(msgspec.Struct, frozen=True):
    """Entries with one account. `name` null: the scheme itself."""

    account: UuidText
    name: str | None
    count: Count
    in_: AmountOrZero = msgspec.field(name="in")
    out: AmountOrZero


class OtherSums(msgspec.Struct, frozen=True):
    """Entries with everybody else."""

    count: Count
    in_: AmountOrZero = msgspec.field(name="in")
    out: AmountOrZero


class MonthView(msgspec.Struct, frozen=True):
    """A month added up: `opening` + `in` - `out` = `closing`. Minor units.

    Attributes:
        until: the newest entry that may be in it: the end of the month, or now.
        fees: charged less given back.
        by_kind: by the code of the entries, most frequent first.
        by_counterparty: the 20 with whom most money moved, most first; `others` is the rest.
    """

    month: MonthText
    until: Moment
    opening: Difference
    closing: Difference
    in_: AmountOrZero = msgspec.field(name="in")
    out: AmountOrZero
    fees: Difference
    by_kind: list[KindSums]
    by_counterparty: list[CounterpartySums]
    others: OtherSums


class StatementQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`lang`: one of the scheme's languages; the holder's own when it is left out."""

    lang: Annotated[str, msgspec.Meta(min_length=2, max_length=8)] | None = None


class StatementEndpoints:
    """Months and statements."""

    def __init__(self, *, config: Config, clock: Clock, currency: Currency, parties: Parties, ledger: Ledger, history: History) -> None:
        self.config = config
        self.clock = clock
        self.currency = currency
        self.parties = parties
        self.ledger = ledger
        self.history = history
        self.zone = ZoneInfo(config.time_zone)
        self.languages = languages(config.languages)
        self._writing = asyncio.Lock()  # one file at a time: it takes from everybody else's share of the machine
        self._throttle = Throttle(clock, burst=PER_MINUTE, per_minute=PER_MINUTE)

    def endpoints(self) -> list[Endpoint]:
        read = holder_or(Scope.PAYMENTS_READ)
        return [
            Endpoint("GET", "/v1/months/{month}", self.month, access=read, tag="account"),
            Endpoint("GET", "/v1/statements/{month}", self.statement, access=read, media_type=CSV, other_media_types=(PDF,), tag="account"),
        ]

    async def month(self, caller: Principal, month: MonthText) -> MonthView:
        """What came and went in a month of the scheme's time zone, and with whom. A month that is not over ends now.

        A month with more than 100,000 entries is refused (too_large).
        """
        span = months.span_of(month, self.zone)
        self._throttle.spend(caller.account)
        return await self._view(await months.read(self.ledger, self.history, caller.account, span))

    async def statement(self, caller: Principal, request: Incoming, month: MonthText, query: StatementQuery) -> Answer:
        """Every entry of a month with the balance after it: CSV, or PDF where Accept asks for it.

        At most 100,000 entries as CSV and 2,000 as PDF; more is refused (too_large).
        """
        span = months.span_of(month, self.zone)
        holder = await self.parties.holder(caller.account)
        language = self._language(query.lang, holder.language)
        media_type = preferred(request.header("accept"), (CSV, PDF))
        self._throttle.spend(caller.account)
        lines_max = PDF_LINES_MAX if media_type == PDF else CSV_LINES_MAX
        found = await statement.read(self.ledger, self.history, self._name, caller.account, span, lines_max=lines_max)
        about = About(
            scheme=self.config.scheme_name,
            origin=self.config.origin,
            currency=self.currency,
            zone=self.zone,
            holder=holder.name,
            number=holder.number or "",
            account=uuid_text(caller.account),
            made_at=self.clock.now_ns(),
        )
        write = _pdf_file if media_type == PDF else csv_file
        async with self._writing:
            data = await asyncio.to_thread(write, found, Words(language, about))
        name = f"statement-{month}.{'pdf' if media_type == PDF else 'csv'}"
        return Answer(
            data,
            media_type=media_type if media_type == PDF else f"{CSV}; charset=utf-8",
            headers=((b"content-disposition", f'attachment; filename="{name}"'.encode()), (b"vary", b"Accept")),
        )

    def _language(self, wanted: str | None, own: str) -> Language:
        if wanted is not None and wanted not in self.languages:
            raise Malformed("lang", f"must be one of {', '.join(self.languages)}")
        return self.languages.get(wanted or own) or next(iter(self.languages.values()))

    async def _name(self, account: int) -> str | None:
        holder = await self.parties.directory.holder(account)
        return holder.name if holder else None

    async def _view(self, month: Month) -> MonthView:
        return MonthView(
            month=month.span.month,
            until=moment_text(month.until),
            opening=month.opening,
            closing=month.closing,
            in_=month.incoming,
            out=month.outgoing,
            fees=month.fees,
            by_kind=[KindSums(code.name.lower(), *_sums(sums)) for code, sums in month.by_kind],
            by_counterparty=[
                CounterpartySums(uuid_text(account), await self._name(account), *_sums(sums)) for account, sums in month.by_counterparty
            ],
            others=OtherSums(*_sums(month.others)),
        )


def _sums(sums: Sums) -> tuple[int, int, int]:
    return sums.count, sums.incoming, sums.outgoing


def _pdf_file(found: Statement, words: Words) -> bytes:
    from counterfoil.web.statement_pdf import pdf_file  # with all that draws: 5 MB that most servers at rest have no use for

    return pdf_file(found, words)
