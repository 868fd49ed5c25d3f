"""A price list is read as it stands, or every wrong line is named: nothing is guessed, and a cut file is no shorter list."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.goods.barcode import check_digit
from counterfoil.acceptance.goods.price_file import WRONG_LINES_MAX, read_price_file
from counterfoil.acceptance.goods.rules import GOODS_MAX, OFF_TILL
from counterfoil.errors import Malformed
from counterfoil.ids import id_text
from counterfoil.money import Currency

USD, WON = Currency("USD", 2, 840), Currency("KRW", 0, 410)
HEADER = "name,price,unit,barcode,department,tax,id\n"
SHOES = "Shoes,116.00,pair,4006381333931,Shoes,16,\n"


def refused(content: str | bytes, currency: Currency = USD) -> dict[str, Any]:
    with pytest.raises(Malformed) as caught:
        read_price_file(content if isinstance(content, bytes) else content.encode(), currency)
    assert caught.value.facts["field"] == "file"
    return caught.value.facts


def wrong(content: str, currency: Currency = USD) -> list[tuple[int, str]]:
    return [(each["line"], each["field"]) for each in refused(content, currency)["lines"]]


def test_a_line_becomes_goods_that_are_not_on_the_till() -> None:
    (wanted,) = read_price_file((HEADER + SHOES).encode(), USD).wanted
    goods = wanted.goods
    assert (wanted.line, goods.id, goods.name, goods.price, goods.unit) == (2, 0, "Shoes", 11_600, "pair")
    assert (goods.barcode, goods.department, goods.tax, goods.shown, goods.position) == ("4006381333931", "Shoes", 1600, False, OFF_TILL)


@pytest.mark.parametrize("content", [
    "\ufeff" + HEADER + SHOES,
    (HEADER + SHOES).replace("\n", "\r\n"),
    'id,"barcode",NAME,"price",tax,department,unit\n"",4006381333931,"Shoes",116,16.00,Shoes,pair\n',
])  # fmt: skip
def test_marks_line_ends_quotes_and_the_order_of_columns_change_nothing(content: str) -> None:
    assert read_price_file(content.encode(), USD) == read_price_file((HEADER + SHOES).encode(), USD)


def test_a_file_says_nothing_of_what_it_has_no_column_for() -> None:
    assert read_price_file(b"barcode,name,price\nA1,Hat,5\n", USD).fields == {"barcode", "name", "price"}


@pytest.mark.parametrize("size", range(1, len(HEADER + SHOES + SHOES)))
def test_a_file_that_was_cut_within_a_line_is_refused_at_every_byte(size: int) -> None:
    content = (HEADER + SHOES + SHOES.replace("4006381333931", "X1"))[:size]
    if content.endswith("\n") and content != HEADER:
        read_price_file(content.encode(), USD)
    else:
        refused(content)


@pytest.mark.parametrize("size", range(1, len("A1,Hat,125.50")))
def test_a_price_that_was_cut_is_not_a_lower_price(size: int) -> None:
    refused("barcode,name,price\n" + "A1,Hat,125.50"[:size])


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (",1,,A1,,,", "name"), ("Hat\u202e,1,,A1,,,", "name"), ("x" * 61 + ",1,,A1,,,", "name"),
        ("Hat,,,A1,,,", "price"), ("Hat,-1,,A1,,,", "price"), ("Hat,1.234,,A1,,,", "price"), ('Hat,"1,50",,A1,,,', "price"),
        ("Hat,1e3,,A1,,,", "price"), ("Hat,99999999999999999999,,A1,,,", "price"), ("Hat,٣,,A1,,,", "price"),
        ("Hat,1," + "x" * 17 + ",A1,,,", "unit"),
        ("Hat,1,,4006381333932,,,", "barcode"), ("Hat,1,,A 1,,,", "barcode"), ("Hat,1,,,,,", "barcode"),
        ("Hat,1,,A1," + "x" * 61 + ",,", "department"),
        ("Hat,1,,A1,,100,", "tax"), ("Hat,1,,A1,,5.125,", "tax"), ("Hat,1,,A1,,-1,", "tax"), ("Hat,1,,A1,,16%,", "tax"),
        ("Hat,1,,A1,,,7", "id"),
        ("Hat,1,,A1,,", "line"), ("Hat,1,,A1,,,,", "line"), ("", "line"), ('"Hat,1,,A1,,,', "line"), ('"Hat"x,1,,A1,,,', "line"),
        ("Hat,1,\r,A1,,,", "line"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_its_field(line: str, field: str) -> None:
    assert wrong(HEADER + SHOES + line + "\n") == [(3, field)]


def test_the_digits_of_the_currency_are_exact() -> None:
    assert read_price_file(b"name,price,barcode\nHat,1250,A1\n", WON).wanted[0].goods.price == 1250
    assert wrong("name,price,barcode\nHat,12.50,A1\n", WON) == [(2, "price")]


def test_two_lines_of_one_thing_are_refused_at_the_second() -> None:
    which = id_text(7 << 76)
    assert wrong(HEADER + SHOES + SHOES.replace("4006381333931", "04006381333931")) == [(3, "barcode")]
    assert wrong(HEADER + f"Hat,1,,,,,{which}\nCap,1,,,,,{which}\n") == [(3, "id")]


def test_fifty_wrong_lines_are_told_and_how_many_there_are() -> None:
    facts = refused(HEADER + "Hat,x,,A1,,,\n" * 60)
    assert (facts["wrong"], len(facts["lines"])) == (60, WRONG_LINES_MAX)
    assert facts["lines"][0] == {"line": 2, "field": "price", "rule": facts["lines"][0]["rule"]}


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", HEADER.encode(), b"name\nHat\n", b"name,price,colour\nHat,1,red\n",
    b"name,price,name\nHat,1,Hat\n", b"name;price;barcode\nHat;1;A1\n", b"name,price,barcode\nCaf\xe9,1,A1\n",
    "name,price,barcode\nHat,1,A1\n".encode("utf-16"),
])  # fmt: skip
def test_what_is_no_price_list_is_refused(content: bytes) -> None:
    refused(content)


def test_a_list_of_more_goods_than_a_shop_can_have_is_refused() -> None:
    lines = "".join(f"Hat,1,,H{number},,,\n" for number in range(GOODS_MAX))
    assert len(read_price_file((HEADER + lines).encode(), USD).wanted) == GOODS_MAX
    refused(HEADER + lines + SHOES)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (HEADER + text + "\n").encode("utf-8", "surrogatepass")))
def test_whatever_comes_is_read_or_refused(content: bytes) -> None:
    try:
        read_price_file(content, USD)
    except Malformed as error:
        assert error.facts["field"] == "file"


@given(
    st.lists(
        st.tuples(st.sampled_from(["Hat", 'The "Hat"', "Hat, blue", "모자"]), st.integers(0, 10**9), st.integers(0, 9_999)),
        min_size=1,
        max_size=20,
    )
)
def test_what_a_program_writes_is_what_is_read(rows: list[tuple[str, int, int]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["barcode", "name", "price", "tax"])
    barcodes = [f"{number:012}{check_digit(f'{number:012}')}" for number in range(1_000_000, 1_000_000 + len(rows))]
    for barcode, (name, price, tax) in zip(barcodes, rows, strict=True):
        writer.writerow([barcode, name, f"{price // 100}.{price % 100:02}", f"{tax // 100}.{tax % 100:02}"])
    found = [each.goods for each in read_price_file(file.getvalue().encode(), USD).wanted]
    assert [(each.name, each.price, each.tax) for each in found] == rows
