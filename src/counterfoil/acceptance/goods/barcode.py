"""Barcodes of goods: numbers of the GS1 system with a check digit, and a shop's own codes.

A GTIN is the same number with 8, 12, 13 or 14 digits: zeros in front change nothing. Scanners disagree on how many they send,
so each number is kept in one form. Source: GS1 General Specifications §3.3 and §7.9.
"""

from __future__ import annotations

import re
from typing import Final

from counterfoil.errors import Malformed

BARCODE_SIZE_MAX: Final = 20
_GTIN_SIZES = (8, 12, 13, 14)
_OWN = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)


def parse_barcode(text: str, field: str = "barcode") -> str:
    """A barcode in the form that is kept: "" for none, a GTIN, or 1 to 20 letters and digits of the shop's own.

    8, 12, 13 or 14 digits are a GTIN and need the right check digit: kept with 13 digits, or 8 or 14 where it has no other form.
    Malformed for everything else.
    """
    text = text.strip(" \t\r\n")
    if not text:
        return ""
    if not _OWN.fullmatch(text):
        raise Malformed(field, f"must be a GTIN, or 1 to {BARCODE_SIZE_MAX} letters and digits without accents")
    if not text.isdigit() or len(text) not in _GTIN_SIZES:
        return text
    if check_digit(text[:-1]) != int(text[-1]):
        raise Malformed(field, "must have the right check digit")
    number = text.zfill(14)
    return number.removeprefix("000000") if number.startswith("000000") else number.removeprefix("0")


def check_digit(digits: str) -> int:
    """The digit that makes a GTIN of all its other `digits`."""
    return -sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(digits))) % 10
