"""Reads a book's file into accounts and lines, refusing anything that is not exactly in the layout.

One line of the file is one transaction; a line end inside quotes is refused, so that a line number is always what an
editor shows, and so that a file which was cut can be recognised: its last line has no line end. A cut just behind a
line end leaves a shorter but whole book; only a comparison with the old system's own totals can show that.

Each error is `Malformed` and carries file, line, column and rule as facts. Nothing has been booked at that point.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import struct
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from counterfoil.errors import Malformed
from counterfoil.institutions.book.mapping import Mapping
from counterfoil.institutions.book.order import out_of_date_order
from counterfoil.institutions.book.types import Counter, Difference, Line, Reason, date_text
from counterfoil.money import Currency

LINE_BYTES_MAX = 65_536
"""Bytes of one line."""

LINES_MAX = 50_000_000
"""Lines of one file; at 39 bytes each in memory, and 16 more when the mapping says sorted_by_date."""

NAME_LENGTH_MAX = 128
"""Characters of an account number or a transaction number."""

PROGRESS_LINES = 20_000
"""Lines between two calls of the progress callback."""

_LINE = struct.Struct("<IqqqB10s")  # number, moment, amount, balance, counter, key: 39 bytes, beside 250 as a Python object

Progress = Callable[[str, int, int], None]
"""Called with the stage ("reading", "reconciling", "booking"), how much is done and how much there is in all."""


class Book:
    """The lines of a book, account by account, as read.

    Lines are kept packed, since a book has millions of them; `lines` unpacks one account.
    """

    def __init__(self, name: str, currency: Currency) -> None:
        self.name = name
        self.currency = currency
        self.transactions = 0
        self.out_of_date_order: dict[str, Difference] = {}
        self._packed: dict[str, bytearray] = {}

    @property
    def accounts(self) -> list[str]:
        """The old account numbers, in order of first appearance."""
        return list(self._packed)

    def count(self, account: str) -> int:
        """Lines of one account."""
        return len(self._packed[account]) // _LINE.size

    def add(self, account: str, line: Line) -> None:
        """Appends a line of the file."""
        packed = self._packed.get(account)
        if packed is None:
            packed = self._packed[account] = bytearray()
        packed += _LINE.pack(*line)
        self.transactions += 1

    def lines(self, account: str) -> list[Line]:
        """The lines of one account: as in the file, or in the order given by `reorder`."""
        return [Line._make(values) for values in _LINE.iter_unpack(self._packed[account])]

    def reorder(self, account: str, ordered: list[Line]) -> None:
        """Keeps the account's lines in the order found."""
        packed = bytearray().join([_LINE.pack(*line) for line in ordered])
        assert len(packed) == len(self._packed[account]), account
        self._packed[account] = packed


def read_book(path: Path, mapping: Mapping, currency: Currency, *, name: str | None = None, progress: Progress | None = None) -> Book:
    """The book in the file at `path`. Raises Malformed for the first line that is not in the layout."""
    book = Book(name or mapping.book, mapping.currency or currency)
    if not path.is_file():
        raise Malformed("file", f"there is no file {path}", file=str(path))
    moments, owners = array("q"), array("I")  # in order of the file, only for a mapping with sorted_by_date
    with path.open("rb") as file:
        size = path.stat().st_size
        source = _Source(path.name, file, mapping)
        for number, account, line in _lines(source, mapping, book.currency, book.name):
            book.add(account, line)
            if book.transactions > LINES_MAX:
                source.refuse(number, "", f"must have at most {LINES_MAX} lines")
            if mapping.sorted_by_date:
                moments.append(line.moment)
                owners.append(number)
            if progress is not None and book.transactions % PROGRESS_LINES == 0:
                progress("reading", source.bytes_read, size)
    if book.transactions == 0:
        source.refuse(source.number, "", "must have a line after the header")
    _refuse_repeated_transactions(book, source, mapping)
    _find_out_of_date_order(book, moments, owners)
    if progress is not None:
        progress("reading", size, size)
    return book


def line_key(book: str, account: str, transaction: str) -> bytes:
    """10 bytes that stand for an old transaction: SHA-256 of its length-prefixed names, cut to 80 bits."""
    digest = hashlib.sha256(b"counterfoil/book/line/v1")
    for part in (book, account, transaction):
        data = part.encode()
        digest.update(len(data).to_bytes(4) + data)
    return digest.digest()[:10]


class _Source:
    """The file's lines as text, with their numbers, and the one way to refuse one."""

    def __init__(self, name: str, file: BinaryIO, mapping: Mapping) -> None:
        self.name, self.number, self.bytes_read = name, 0, 0
        self._file, self._encoding = file, mapping.encoding
        self._rows = csv.reader(self._texts(), delimiter=mapping.delimiter, quotechar=mapping.quote, strict=True)

    def refuse(self, line: int, column: str, rule: str) -> NoReturn:
        where = f"{self.name} line {line}" + (f" column {column}" if column else "")
        raise Malformed(where, rule, file=self.name, line=line, column=column)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each line that is not blank."""
        while True:
            before = self.number
            try:
                row = next(self._rows)
            except StopIteration:
                return
            except csv.Error as error:
                # an open quote swallows the lines behind it: the error is at the first of them
                self.refuse(min(before + 1, self.number), "", f"is not well-formed: {error}")
            if self.number > before + 1:
                self.refuse(before + 1, "", "has a quote that is not closed on the same line")
            if len(row) > 1 or (row and row[0].strip()):
                yield self.number, row

    def _texts(self) -> Iterator[str]:
        while raw := self._file.readline(LINE_BYTES_MAX + 1):
            self.number += 1
            self.bytes_read += len(raw)
            if self.number == 1:
                if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    self.refuse(1, "", "is UTF-16; save the file as UTF-8")
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if not raw.endswith(b"\n"):
                if len(raw) > LINE_BYTES_MAX:
                    self.refuse(self.number, "", f"must be at most {LINE_BYTES_MAX} bytes")
                # The last field of a cut line can look complete: 24730.6 was 24730.60. Only a line end proves that it is.
                self.refuse(self.number, "", "has no line end: the file was cut here. If the line is complete, end it with a line end")
            raw = raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]
            try:
                text = raw.decode(self._encoding)
            except UnicodeDecodeError as error:
                self.refuse(self.number, "", f"must be {self._encoding}: byte {error.start + 1} of the line is not")
            if "\r" in text:
                self.refuse(self.number, "", "has a carriage return inside; line ends must be LF or CRLF")
            yield text


def _lines(source: _Source, mapping: Mapping, currency: Currency, name: str) -> Iterator[tuple[int, str, Line]]:
    """Line number, account and line of each row behind the header."""
    rows = source.rows()
    first = next(rows, None)
    if first is None:
        source.refuse(1, "", "must be a header line; the file is empty")
    header_number, header = first
    header = [column.strip() for column in header]
    for column, key in mapping.needed().items():
        if header.count(column) != 1:
            rule = "is named twice" if column in header else f"is missing (mapping.{key})"
            source.refuse(header_number, column, rule)
    columns = mapping.columns
    at_transaction, at_account, at_date = (header.index(c) for c in (columns.transaction, columns.account, columns.date))
    at_amount, at_balance = header.index(columns.amount), header.index(columns.balance)
    parse_amount, parse_date = mapping.amount_parser(currency), mapping.date_parser()
    direction = mapping.direction
    at_direction = header.index(direction.column) if direction is not None else -1
    signs = dict.fromkeys(direction.credit, 1) | dict.fromkeys(direction.debit, -1) if direction is not None else {}
    categories = [(header.index(c.column), frozenset(c.values), Counter[c.counter.upper()]) for c in mapping.category]
    width = len(header)
    for number, row in rows:
        if len(row) != width:
            source.refuse(number, "", f"must have {width} columns, as the header has; it has {len(row)}")
        account, transaction = row[at_account].strip(), row[at_transaction].strip()
        for text, column in ((account, columns.account), (transaction, columns.transaction)):
            if not 0 < len(text) <= NAME_LENGTH_MAX or not text.isprintable():
                source.refuse(number, column, f"must be 1 to {NAME_LENGTH_MAX} printable characters")
        column = columns.date
        try:
            moment = parse_date(row[at_date].strip())
            column = columns.amount
            amount = parse_amount(row[at_amount].strip())
            column = columns.balance
            balance = parse_amount(row[at_balance].strip())
        except ValueError as error:
            source.refuse(number, column, str(error))
        if direction is not None:
            sign = signs.get(row[at_direction].strip())
            if sign is None:
                source.refuse(number, direction.column, f"must be one of {', '.join(signs)}")
            if amount < 0:
                source.refuse(number, columns.amount, f"must not be negative: {direction.column} gives the direction")
            amount *= sign
        counter = Counter.OTHER
        for position, values, of_category in categories:
            if row[position].strip() in values:
                counter = of_category
                break
        yield number, account, Line(number, moment, amount, balance, counter, line_key(name, account, transaction))


def _refuse_repeated_transactions(book: Book, source: _Source, mapping: Mapping) -> None:
    """The transaction number is what makes a repeat harmless, so within an account it must be unique."""
    for account in book.accounts:
        first: dict[bytes, int] = {}
        for line in book.lines(account):
            if line.key in first:
                rule = f"repeats the transaction number of line {first[line.key]} of the same account {account}"
                source.refuse(line.number, mapping.columns.transaction, rule)
            first[line.key] = line.number


def _find_out_of_date_order(book: Book, moments: array[int], numbers: array[int]) -> None:
    """In a file that is sorted by date: the first line of each account at which it goes back in time."""
    suspects = {numbers[index] for index in out_of_date_order(moments)}
    if not suspects:
        return
    for account in book.accounts:
        before = 0
        for line in book.lines(account):
            if line.number in suspects:
                book.out_of_date_order[account] = Difference(
                    account=account,
                    line=line.number,
                    date=date_text(line.moment),
                    stated=line.balance,
                    computed=before + line.amount,
                    reason=Reason.DATE,
                    detail="the file is in order of date, but goes back in time at this line or its neighbour",
                )
                break
            before = line.balance
