"""Barcodes: one number has one form, and a mistyped one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.goods.barcode import check_digit, parse_barcode
from counterfoil.errors import Malformed


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("4006381333931", "4006381333931"),
        (" 4006381333931\r\n", "4006381333931"),
        ("04006381333931", "4006381333931"),
        ("036000291452", "0036000291452"),
        ("0036000291452", "0036000291452"),
        ("96385074", "96385074"),
        ("00000096385074", "96385074"),
        ("10614141000415", "10614141000415"),
        ("A-1".replace("-", ""), "A1"), ("1", "1"), ("00042", "00042"), ("x" * 20, "x" * 20),
        ("", ""), ("  ", ""),
    ],
)  # fmt: skip
def test_a_barcode_has_one_form(text: str, kept: str) -> None:
    assert parse_barcode(text) == kept
    assert parse_barcode(kept) == kept


@pytest.mark.parametrize("text", ["4006381333932", "96385075", "036000291453", "10614141000416", "x" * 21, "a b", "é", "٣", "A-1"])
def test_what_is_no_barcode_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="barcode"):
        parse_barcode(text)


@given(st.sampled_from([7, 11, 12, 13]), st.data())
def test_one_wrong_digit_never_passes(size: int, data: st.DataObject) -> None:
    digits = data.draw(st.text("0123456789", min_size=size, max_size=size))
    number = digits + str(check_digit(digits))
    place = data.draw(st.integers(0, size))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    parse_barcode(number)
    with pytest.raises(Malformed):
        parse_barcode(number[:place] + wrong + number[place + 1 :])
