"""How a book's file is laid out: a small TOML file, so that a new layout needs no program.

`docs/reference/book-csv.md` explains every key. The package ships `plain` (our documented CSV) and `pkdd99` (the Czech
bank's book of the PKDD'99 Discovery Challenge).
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from counterfoil.errors import Malformed
from counterfoil.institutions.book.types import Counter
from counterfoil.money import AMOUNT_MAX, Currency

MAPPING_BYTES_MAX = 65_536
"""Bytes of a mapping file."""

MOMENTS_MAX = 2**63 // 1_000_000_000
"""Seconds since 1970 that still fit the ledger's event time (the year 2262)."""

_DAY = dt.datetime(2001, 2, 3, tzinfo=dt.UTC)


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names in the file's header line of what we need. Other columns are allowed, and read only by `category`."""

    transaction: str
    account: str
    date: str
    amount: str
    balance: str


class Direction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column whose value says whether the (never negative) amount was paid in (`credit`) or taken out (`debit`)."""

    column: str
    credit: tuple[str, ...]
    debit: tuple[str, ...]


class Category(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines with one of `values` in `column` have `counter` (cash, banks, interest or other) as the other side."""

    counter: str
    column: str
    values: tuple[str, ...]


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file layout.

    Attributes:
        book: the book's name; part of every id, so the same book must always be imported under the same name.
        columns: the header's names.
        description: for people.
        delimiter, quote: one character each.
        encoding: of the text; one in which a line end is the byte 0A, so not UTF-16. A UTF-8 byte order mark is skipped.
        decimal_separator, grouping_separator: of amounts; no grouping when empty.
        date_format: as of C's strftime. Times are UTC; without a time of day all lines of a day may be in any order.
        sorted_by_date: the file goes forward in time; a line that goes back is an error of its account.
        currency: of all amounts; without it the scheme's.
        direction: without it the amount itself has a sign, negative when taken out.
        category: the first that matches a line gives its other side; without a match it is `other`.
    """

    book: str
    columns: Columns
    description: str = ""
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    decimal_separator: str = "."
    grouping_separator: str = ""
    date_format: str = "%Y-%m-%d"
    sorted_by_date: bool = False
    currency: Currency | None = None
    direction: Direction | None = None
    category: tuple[Category, ...] = ()

    def __post_init__(self) -> None:
        _check(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", self.book) is not None, "book", "must be 1 to 64 of a-z 0-9 . _ -")
        for name in ("delimiter", "quote", "decimal_separator"):
            value = getattr(self, name)
            _check(len(value) == 1 and value.isascii() and value not in "\r\n", name, "must be one ASCII character")
            _check(not value.isdigit() and value not in "+-", name, "must not be part of a number")
        _check(self.delimiter != self.quote, "quote", "must differ from delimiter")
        grouping = self.grouping_separator
        _check(
            len(grouping) <= 1 and not grouping.isdigit() and grouping not in tuple("+-\r\n"),
            "grouping_separator",
            "must be one character that is not part of a number, or empty",
        )
        _check(grouping != self.decimal_separator, "grouping_separator", "must differ from decimal_separator")
        _check(
            _ascii_compatible(self.encoding),
            "encoding",
            "must be a known encoding in which a line end is the byte 0A, like utf-8 or cp1250",
        )
        _check(_round_trip(self.date_format), "date_format", "must give day, month and year, like %Y-%m-%d")
        for index, category in enumerate(self.category):
            _check(category.counter.upper() in Counter.__members__, f"category[{index}].counter", "must be cash, banks, interest or other")
            _check(bool(category.values), f"category[{index}].values", "must not be empty")
        if self.direction is not None:
            both = set(self.direction.credit) & set(self.direction.debit)
            _check(not both, "direction.debit", "must not share a value with credit")
            _check(bool(self.direction.credit and self.direction.debit), "direction", "needs a value for credit and one for debit")

    def needed(self) -> dict[str, str]:
        """Every column that the header must have, with the key that names it."""
        names = {column: f"columns.{key}" for key, column in msgspec.structs.asdict(self.columns).items()}
        if self.direction is not None:
            names.setdefault(self.direction.column, "direction.column")
        for index, category in enumerate(self.category):
            names.setdefault(category.column, f"category[{index}].column")
        return names

    def amount_parser(self, currency: Currency) -> Callable[[str], int]:
        """A function from an amount's text to minor units with sign. It raises ValueError with the rule that is broken."""
        whole = "[0-9]+"
        if self.grouping_separator:
            whole = f"[0-9]{{1,3}}(?:{re.escape(self.grouping_separator)}[0-9]{{3}})+|[0-9]+"
        pattern = re.compile(rf"([+-]?)({whole})(?:{re.escape(self.decimal_separator)}([0-9]+))?", re.ASCII)
        digits, grouping, factor = currency.digits, self.grouping_separator, 10**currency.digits
        example = f"1234{self.decimal_separator}50" if digits else "1234"

        def parse(text: str) -> int:
            match = pattern.fullmatch(text)
            if match is None or len(match[2]) > 24:
                raise ValueError(f"must be a number like {example}")
            sign, integer, fraction = match[1], match[2], match[3] or ""
            if len(fraction) > digits:
                raise ValueError(f"must have at most {digits} decimal places ({currency.code})")
            if grouping:
                integer = integer.replace(grouping, "")
            value: int = int(integer) * factor + (int(fraction.ljust(digits, "0")) if fraction else 0)
            if value > AMOUNT_MAX:
                raise ValueError(f"must not exceed {AMOUNT_MAX} minor units")
            return -value if sign == "-" else value

        return parse

    def date_parser(self) -> Callable[[str], int]:
        """A function from a date's text to seconds since 1970. It raises ValueError with the rule that is broken."""
        known: dict[str, int] = {}
        rule = f"must be a date like {_DAY.strftime(self.date_format)}"

        def parse(text: str) -> int:
            moment = known.get(text)
            if moment is not None:
                return moment
            try:
                when = dt.datetime.strptime(text, self.date_format)  # noqa: DTZ007 - a date without a zone is UTC, below
            except ValueError:
                raise ValueError(rule) from None
            if when.strftime(self.date_format) != text:  # strptime also takes 1 for 01, and would read 93011 as a date
                raise ValueError(rule)
            moment = int((when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)).timestamp())
            if not 0 < moment < MOMENTS_MAX:
                raise ValueError("must be from 1970-01-02 to 2261-12-31")
            if len(known) < 100_000:  # a date costs 5 microseconds to read, and a day has many lines
                known[text] = moment
            return moment

        return parse


def load_mapping(name: str) -> Mapping:
    """The mapping that the package ships under `name`, or the TOML file at that path (a name with a dot or a slash)."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        shipped = resources.files(__package__).joinpath("mappings", f"{name}.toml")
        if not shipped.is_file():
            raise Malformed(
                "mapping", f"{name} is not one of {', '.join(shipped_mappings())}; for a file of your own give its path, like ./{name}.toml"
            )
        data = shipped.read_bytes()
    else:
        path = Path(name)
        if not path.is_file():
            raise Malformed("mapping", f"there is no file {name}")
        with path.open("rb") as file:
            data = file.read(MAPPING_BYTES_MAX + 1)
    return parse_mapping(data, name)


def parse_mapping(data: bytes, name: str) -> Mapping:
    """The mapping in a TOML text. Malformed names the key."""
    if len(data) > MAPPING_BYTES_MAX:
        raise Malformed("mapping", f"{name} must be at most {MAPPING_BYTES_MAX} bytes")
    try:
        table: dict[str, Any] = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed("mapping", f"{name} is not TOML: {error}") from None
    try:
        return msgspec.convert(table, Mapping)
    except msgspec.ValidationError as error:
        key, rule = _key_and_rule(str(error))
        raise Malformed(f"mapping.{key}" if key else "mapping", f"{rule} (in {name})") from None


def shipped_mappings() -> list[str]:
    """Names of the mappings in the package."""
    return sorted(file.name[:-5] for file in resources.files(__package__).joinpath("mappings").iterdir() if file.name.endswith(".toml"))


def _check(holds: bool, key: str, rule: str) -> None:
    # msgspec turns a ValueError here into a ValidationError with the path of the struct behind it
    if not holds:
        raise ValueError(f"{key}: {rule}")


def _key_and_rule(message: str) -> tuple[str, str]:
    """msgspec's message, such as "Object contains unknown field `x` - at `$.columns`", as a key and a rule."""
    message, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    named = re.fullmatch(r"([a-z_]+(?:\[[0-9]+\])?(?:\.[a-z_]+)*): (.*)", message)
    if named is not None:
        key = named[1] if not path or named[1].startswith((path, "currency.")) else f"{path}.{named[1]}"
        return key, named[2]
    field = re.fullmatch(r"Object (missing required|contains unknown) field `([^`]*)`", message)
    if field is not None:
        return f"{path}.{field[2]}" if path else field[2], "is missing" if field[1] == "missing required" else "is not a key we know"
    return path, message


def _ascii_compatible(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
        return '0,\n;"'.encode(encoding) == b'0,\n;"'
    except (LookupError, UnicodeError, TypeError):
        return False


def _round_trip(date_format: str) -> bool:
    try:
        return dt.datetime.strptime(_DAY.strftime(date_format), date_format).date() == _DAY.date()  # noqa: DTZ007 - only whether it reads back
    except ValueError:
        return False
