"""Amounts: what goes in comes out, and what is not an amount is refused by name."""

from __future__ import annotations

import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX, Currency, check_amount, format_amount, parse_amount

amounts = st.integers(0, AMOUNT_MAX)
currencies = st.integers(0, 4).map(lambda digits: Currency(code="XTS", digits=digits, ledger=963))

SHILLING = Currency(code="KES", digits=2, ledger=404)
WON = Currency(code="KRW", digits=0, ledger=410)
DINAR = Currency(code="KWD", digits=3, ledger=414)


@given(amounts, currencies)
def test_what_is_formatted_is_read_back(amount: int, currency: Currency) -> None:
    assert parse_amount(format_amount(amount, currency), currency) == amount


@given(amounts, currencies)
def test_the_text_means_the_amount_in_major_units(amount: int, currency: Currency) -> None:
    text = format_amount(amount, currency)
    with decimal.localcontext(prec=40):
        assert decimal.Decimal(text) * 10**currency.digits == amount
    assert len(text.partition(".")[2]) == currency.digits


@given(amounts.filter(bool), currencies)
def test_a_difference_below_zero_keeps_its_sign(amount: int, currency: Currency) -> None:
    assert format_amount(-amount, currency) == "-" + format_amount(amount, currency)


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("12.50", SHILLING, 1250),
        ("12.5", SHILLING, 1250),
        ("12", SHILLING, 1200),
        ("0.01", SHILLING, 1),
        ("0", SHILLING, 0),
        ("007", SHILLING, 700),
        ("12", WON, 12),
        ("1.234", DINAR, 1234),
        ("92233720368547758.07", SHILLING, AMOUNT_MAX),
        ("9223372036854775807", WON, AMOUNT_MAX),
    ],
)
def test_reads_major_units(text: str, currency: Currency, amount: int) -> None:
    assert parse_amount(text, currency) == amount


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("", SHILLING),
        (".", SHILLING),
        (".5", SHILLING),
        ("5.", SHILLING),
        ("1.234", SHILLING),
        ("1.230", SHILLING),
        ("12.0", WON),
        ("1.2.3", SHILLING),
        ("-1", SHILLING),
        ("+1", SHILLING),
        ("1e3", SHILLING),
        ("0x10", SHILLING),
        ("1_000", SHILLING),
        ("1,000", SHILLING),
        ("1,50", SHILLING),
        ("1 000", SHILLING),
        (" 1", SHILLING),
        ("1\n", SHILLING),
        ("\x001", SHILLING),
        ("NaN", SHILLING),
        ("Infinity", SHILLING),
        ("\uff11\uff12", SHILLING),  # full-width digits
        ("\u0661\u0662", SHILLING),  # Arabic-Indic digits
        ("\u0967", SHILLING),  # Devanagari digit
        ("\u00b2", SHILLING),  # superscript two
        ("KES 5", SHILLING),
        ("9" * 10_000, SHILLING),
        ("92233720368547758.08", SHILLING),
        ("9223372036854775808", WON),
    ],
)
def test_refuses_what_is_not_an_amount_of_the_currency(text: str, currency: Currency) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_amount(text, currency, "fee")
    assert refusal.value.facts["field"] == "fee"


@given(st.text(max_size=30), currencies)
def test_any_text_is_an_amount_in_range_or_refused(text: str, currency: Currency) -> None:
    try:
        amount = parse_amount(text, currency)
    except Malformed:
        return
    assert 0 <= amount <= AMOUNT_MAX
    assert text.isascii()


def test_accepts_the_whole_range_and_nothing_beside_it() -> None:
    assert check_amount(1) == 1
    assert check_amount(AMOUNT_MAX) == 2**63 - 1
    assert check_amount(0, minimum=0) == 0
    for amount in (0, -1, AMOUNT_MAX + 1, 10**100):
        with pytest.raises(Malformed, match=r"^amount: must be from 1 to 9223372036854775807$"):
            check_amount(amount)
    with pytest.raises(Malformed, match=r"^amount: must be from 0"):
        check_amount(-1, minimum=0)


@pytest.mark.parametrize("amount", [True, False, 1.0, 5.5, float("nan"), "5", b"5", None, [5], {}, decimal.Decimal(5), 5j])
def test_refuses_every_other_type(amount: object) -> None:
    with pytest.raises(Malformed, match=r"^fee: must be a whole number of minor units$"):
        check_amount(amount, "fee")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("code", ["", "usd", "US", "USDT", "US1", "USD\n", "\u00c9UR"]),
        ("digits", [-1, 5, True, 2.0]),
        ("ledger", [0, -1, 2**32, True, 840.0]),
    ],
)
def test_a_currency_outside_its_bounds_is_refused(field: str, values: list[object]) -> None:
    good = {"code": "USD", "digits": 2, "ledger": 840}
    for value in values:
        with pytest.raises(Malformed) as refusal:
            Currency(**(good | {field: value}))  # type: ignore[arg-type]
        assert refusal.value.facts["field"] == f"currency.{field}", value


def test_a_currency_at_its_bounds_stands() -> None:
    assert Currency(code="USD", digits=0, ledger=1).digits == 0
    assert Currency(code="USD", digits=4, ledger=2**32 - 1).ledger == 2**32 - 1
