"""Mapping files: the shipped ones load, a wrong one names its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterfoil.errors import Malformed
from counterfoil.institutions.book.mapping import MAPPING_BYTES_MAX, load_mapping, parse_mapping, shipped_mappings
from counterfoil.money import Currency

DOLLAR = Currency("USD", 2, 840)
COLUMNS = '\n[columns]\ntransaction = "t"\naccount = "a"\ndate = "d"\namount = "m"\nbalance = "b"\n'


def test_the_shipped_mappings_load() -> None:
    assert shipped_mappings() == ["pkdd99", "plain"]
    assert load_mapping("plain").currency is None
    assert load_mapping("pkdd99").currency == Currency("CZK", 2, 203)


def test_a_mapping_of_ones_own_is_loaded_by_path(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text('book = "ours"' + COLUMNS)
    assert load_mapping(str(path)).book == "ours"


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ('book = "x"', "mapping.columns", "is missing"),
        (COLUMNS, "mapping.book", "is missing"),
        ('book = "x"' + COLUMNS.replace('date = "d"\n', ""), "mapping.columns.date", "is missing"),
        ('book = "x"' + COLUMNS + 'fee = "f"\n', "mapping.columns.fee", "is not a key we know"),
        ('book = "x"\ndelimeter = ";"' + COLUMNS, "mapping.delimeter", "is not a key we know"),
        ('book = "X y"' + COLUMNS, "mapping.book", "must be 1 to 64"),
        ('book = "x"\ndelimiter = ";;"' + COLUMNS, "mapping.delimiter", "must be one ASCII character"),
        ('book = "x"\ndelimiter = "5"' + COLUMNS, "mapping.delimiter", "must not be part of a number"),
        ('book = "x"\nquote = ","' + COLUMNS, "mapping.quote", "must differ from delimiter"),
        ('book = "x"\ngrouping_separator = "."' + COLUMNS, "mapping.grouping_separator", "must differ from decimal_separator"),
        ('book = "x"\ngrouping_separator = "--"' + COLUMNS, "mapping.grouping_separator", "must be one character"),
        ('book = "x"\nencoding = "klingon"' + COLUMNS, "mapping.encoding", "must be a known encoding"),
        ('book = "x"\nencoding = "utf-16"' + COLUMNS, "mapping.encoding", "must be a known encoding"),
        ('book = "x"\ndate_format = "%Y-%m"' + COLUMNS, "mapping.date_format", "must give day, month and year"),
        ('book = "x"\ndate_format = "%Q"' + COLUMNS, "mapping.date_format", "must give day, month and year"),
        ('book = "x"\nsorted_by_date = 1' + COLUMNS, "mapping.sorted_by_date", "Expected `bool`"),
        ('book = "x"' + COLUMNS + '[currency]\ncode = "usd"\ndigits = 2\nledger = 840\n', "currency.code", "must be three capital letters"),
        ('book = "x"' + COLUMNS + '[currency]\ncode = "USD"\ndigits = "2"\nledger = 840\n', "mapping.currency.digits", "Expected `int`"),
        (
            'book = "x"' + COLUMNS + '[direction]\ncolumn = "s"\ncredit = ["C"]\ndebit = ["C"]\n',
            "mapping.direction.debit",
            "must not share",
        ),
        ('book = "x"' + COLUMNS + '[direction]\ncolumn = "s"\ncredit = ["C"]\ndebit = []\n', "mapping.direction", "needs a value"),
        (
            'book = "x"' + COLUMNS + '[[category]]\ncounter = "gold"\ncolumn = "k"\nvalues = ["x"]\n',
            "mapping.category[0].counter",
            "must be cash, banks",
        ),
        (
            'book = "x"' + COLUMNS + '[[category]]\ncounter = "cash"\ncolumn = "k"\nvalues = []\n',
            "mapping.category[0].values",
            "must not be empty",
        ),
        ('book = "x"' + COLUMNS + '[[category]]\ncounter = "cash"\nvalues = ["x"]\n', "mapping.category[0].column", "is missing"),
        ("book = ", "mapping", "is not TOML"),
        ("#" * (MAPPING_BYTES_MAX + 1), "mapping", "must be at most"),
    ],
)
def test_a_wrong_mapping_names_the_key(text: str, field: str, rule: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_mapping(text.encode(), "ours.toml")
    assert caught.value.facts["field"] == field
    assert rule in caught.value.facts["rule"]


def test_an_unknown_name_lists_the_shipped_mappings() -> None:
    with pytest.raises(Malformed, match="nothere is not one of pkdd99, plain"):
        load_mapping("nothere")
    with pytest.raises(Malformed, match="there is no file"):
        load_mapping("./nothere.toml")


@pytest.mark.parametrize(
    ("decimal", "grouping", "text", "amount"),
    [
        (".", "", "1234.5", 123_450),
        (",", "", "-0,07", -7),
        (",", ".", "1.234.567,89", 123_456_789),
        (",", " ", "12 345", 1_234_500),
        (".", "'", "1'000.00", 100_000),
        (".", ",", "1000.00", 100_000),
    ],
)
def test_amounts_are_read_with_the_mappings_separators(decimal: str, grouping: str, text: str, amount: int) -> None:
    mapping = parse_mapping(
        f'book = "x"\ndelimiter = ";"\ndecimal_separator = "{decimal}"\ngrouping_separator = "{grouping}"{COLUMNS}'.encode(), "x"
    )
    assert mapping.amount_parser(DOLLAR)(text) == amount


@pytest.mark.parametrize("text", ["1.23.456,00", "12.34,00", ".5", "5,", "1 000,00", "0x10", "1_000", "1,2,3", "٣"])
def test_amounts_that_are_grouped_wrongly_are_refused(text: str) -> None:
    mapping = parse_mapping(f'book = "x"\ndelimiter = ";"\ndecimal_separator = ","\ngrouping_separator = "."{COLUMNS}'.encode(), "x")
    with pytest.raises(ValueError, match="must be a number like 1234,50"):
        mapping.amount_parser(DOLLAR)(text)


def test_a_currency_without_decimals_takes_none() -> None:
    parse = parse_mapping(('book = "x"' + COLUMNS).encode(), "x").amount_parser(Currency("KRW", 0, 410))
    assert parse("1200") == 1200
    with pytest.raises(ValueError, match="at most 0 decimal places"):
        parse("1200.0")


def test_dates_may_have_a_time_of_day_and_a_zone() -> None:
    parse = parse_mapping(('book = "x"\ndate_format = "%Y-%m-%dT%H:%M:%S%z"' + COLUMNS).encode(), "x").date_parser()
    assert parse("2026-01-05T09:00:00+0900") == 1_767_571_200
    assert parse("2026-01-05T00:00:00+0000") == 1_767_571_200
