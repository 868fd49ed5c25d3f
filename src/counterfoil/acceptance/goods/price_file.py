"""Reads a shop's price list. Pure: bytes in, wanted goods out, or every line that is wrong, by its number, field and rule.

    name,price,unit,barcode,department,tax,id
    Boots,116.00,pair,4006381333931,Shoes,16,

CSV (RFC 4180) in UTF-8, with or without a byte order mark, lines ending in LF or CRLF. `name` and `price` have to be there, in any
order with the others; what a file has no column for stays as it is. A line is known by its id, or without one by its barcode.
One line of the file is one thing: a line end inside quotes is refused, and so is a last line without one, since it may have been cut.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from counterfoil.acceptance.goods.rules import GOODS_MAX, OFF_TILL, checked
from counterfoil.acceptance.tax import RATE_MAX
from counterfoil.acceptance.types import Goods
from counterfoil.errors import Malformed
from counterfoil.ids import parse_id
from counterfoil.money import Currency, parse_amount

COLUMNS: Final = ("name", "price", "unit", "barcode", "department", "tax", "id")
WRONG_LINES_MAX: Final = 50
"""Wrong lines that are told; how many there are is told, too."""
_NEEDED = ("name", "price")
_MARK = b"\xef\xbb\xbf"
_TAX = re.compile(r"([0-9]{1,2})(?:\.([0-9]{1,2}))?", re.ASCII)


class Wrong(msgspec.Struct, frozen=True):
    """A line that cannot be taken. `line` from 1, the header's."""

    line: int
    field: str
    rule: str


class Wanted(msgspec.Struct, frozen=True):
    """Goods as a line wants them. `goods.id` is 0 where the line has none."""

    line: int
    goods: Goods


class PriceFile(msgspec.Struct, frozen=True):
    """What a file wants, line by line. `fields`: those that it says anything about."""

    wanted: list[Wanted]
    fields: frozenset[str]


def read_price_file(content: bytes, currency: Currency) -> PriceFile:
    """The goods in a file. Raises Malformed as `refusal` makes it, or naming the file where it cannot be read at all."""
    lines = _lines(content)
    columns = _columns(lines[0])
    if len(lines) < 2:
        raise Malformed("file", "must have a line after the header")
    if len(lines) - 1 > GOODS_MAX:
        raise Malformed("file", f"must have at most {GOODS_MAX} lines after the header")
    wanted, wrong = [], []
    for number, line in enumerate(lines[1:], 2):
        try:
            wanted.append(Wanted(number, _goods(_cells(line), columns, currency)))
        except Malformed as error:
            wrong.append(Wrong(number, str(error.facts["field"]), str(error.facts["rule"])))
    wrong += list(_twice(wanted))
    if wrong:
        raise refusal(wrong)
    return PriceFile(wanted, frozenset(columns) - {"id"})


def refusal(wrong: list[Wrong]) -> Malformed:
    """Malformed with the first WRONG_LINES_MAX wrong lines as its facts, in the order of the file."""
    told = sorted(wrong, key=lambda each: (each.line, each.field))[:WRONG_LINES_MAX]
    first, count = told[0], len(wrong)
    more = f" ({count} wrong lines in all)" if count > 1 else ""
    return Malformed("file", f"line {first.line}, {first.field}: {first.rule}{more}", wrong=count, lines=msgspec.to_builtins(told))


def _lines(content: bytes) -> list[str]:
    try:
        text = content.removeprefix(_MARK).decode()
    except UnicodeDecodeError as error:
        raise Malformed("file", f"line {content[: error.start].count(10) + 1} must be UTF-8") from None
    if not text:
        raise Malformed("file", "must not be empty")
    if not text.endswith("\n"):
        raise Malformed("file", "must end with a line end: its last line may have been cut")
    return [line.removesuffix("\r") for line in text[:-1].split("\n")]


def _columns(header: str) -> list[str]:
    columns = [name.strip().lower() for name in _cells(header)]
    if len(set(columns)) != len(columns) or not set(columns) <= set(COLUMNS) or not set(_NEEDED) <= set(columns):
        raise Malformed("file", f"line 1 must name the columns, {' and '.join(_NEEDED)} at least, of {','.join(COLUMNS)}")
    return columns


def _cells(line: str) -> list[str]:
    if "\r" in line:
        raise Malformed("line", "must not contain a carriage return")
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error:
        raise Malformed("line", "must have its quotes closed, on the same line") from None
    return rows[0] if rows else []


def _goods(cells: list[str], columns: list[str], currency: Currency) -> Goods:
    if len(cells) != len(columns):
        raise Malformed("line", f"must have {len(columns)} fields")
    said: dict[str, Any] = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    said["id"] = parse_id(said["id"], "id") if said.get("id") else 0
    said["price"] = parse_amount(said["price"], currency, "price")
    if "tax" in said:
        said["tax"] = _rate(said["tax"])
    values: dict[str, Any] = {"unit": "", "shown": False, "position": OFF_TILL}
    goods = checked(Goods(**(values | said)))
    if not goods.id and not goods.barcode:
        raise Malformed("barcode", "must be there, or an id")
    return goods


def _rate(text: str) -> int:
    """Percent with at most two decimal places as hundredths of a percent; none is 0."""
    if not text:
        return 0
    match = _TAX.fullmatch(text)
    if match is None:
        raise Malformed("tax", f"must be percent, 0 to {RATE_MAX / 100:.2f}, with at most 2 decimal places")
    return int(match[1] + (match[2] or "").ljust(2, "0"))


def _twice(wanted: list[Wanted]) -> Iterator[Wrong]:
    for field in ("id", "barcode"):
        lines: dict[object, int] = {}
        for each in wanted:
            value = getattr(each.goods, field)
            if value and lines.setdefault(value, each.line) != each.line:
                yield Wrong(each.line, field, f"is that of line {lines[value]}")
