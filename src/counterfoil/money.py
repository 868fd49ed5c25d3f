"""Money: an `int` of minor units and a currency. Never negative, never a float, never a bool.

Direction is which account is debited, not a sign. Adding two currencies is an error.
"""

from __future__ import annotations

import re

import msgspec

from counterfoil.errors import Malformed

AMOUNT_MAX = 2**63 - 1
"""The largest amount of one movement and of one balance, in minor units (the liability tree's bound)."""


class Currency(msgspec.Struct, frozen=True):
    """A currency of the scheme.

    Attributes:
        code: ISO 4217 alphabetic code, 3 capital letters.
        digits: decimal places of the major unit, 0 to 4. 2 means that 1.00 is 100 minor units.
        ledger: the ledger's number for it, 1 to 2^32-1; ISO 4217 numeric by custom.
    """

    code: str
    digits: int
    ledger: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z]{3}", self.code):
            raise Malformed("currency.code", "must be three capital letters")
        if type(self.digits) is not int or not 0 <= self.digits <= 4:
            raise Malformed("currency.digits", "must be 0 to 4")
        if type(self.ledger) is not int or not 0 < self.ledger < 2**32:
            raise Malformed("currency.ledger", "must be 1 to 4294967295")


def check_amount(amount: object, field: str = "amount", *, minimum: int = 1) -> int:
    """`amount` itself when it is a whole number of minor units from `minimum` to 2^63-1; else Malformed, naming `field`."""
    if type(amount) is not int:
        raise Malformed(field, "must be a whole number of minor units")
    if not minimum <= amount <= AMOUNT_MAX:
        raise Malformed(field, f"must be from {minimum} to {AMOUNT_MAX}")
    return amount


def parse_amount(text: str, currency: Currency, field: str = "amount") -> int:
    """Minor units of a decimal text in major units, such as "12.50". No sign, no exponent, no grouping.

    More decimal places than the currency has are refused, not rounded.
    """
    match = re.fullmatch(r"([0-9]{1,19})(?:\.([0-9]{1,4}))?", text, re.ASCII)
    if match is None or len(match[2] or "") > currency.digits:
        raise Malformed(field, f"must be a number with at most {currency.digits} decimal places, like {format_amount(1250, currency)}")
    return check_amount(int(match[1] + (match[2] or "").ljust(currency.digits, "0")), field, minimum=0)


def format_amount(amount: int, currency: Currency) -> str:
    """Major units as plain ASCII text, such as "12.50": for machines and command lines. Screens use CLDR formats."""
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    if currency.digits == 0:
        return f"{sign}{amount}"
    whole, part = divmod(amount, 10**currency.digits)
    return f"{sign}{whole}.{part:0{currency.digits}}"
