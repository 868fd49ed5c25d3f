"""Statements as files: every character there, every line there, and nothing in them that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from counterfoil.clock import NANOSECONDS
from counterfoil.i18n import Language
from counterfoil.ledger.chart import TransferCode
from counterfoil.money import Currency
from counterfoil.payments.months import span_of
from counterfoil.payments.statement import Line, Statement, Step
from counterfoil.web.statement_csv import csv_file, harmless
from counterfoil.web.statement_pdf import (
    BOLD,
    CHINESE,
    ENCODINGS,
    JAPANESE,
    KOREAN,
    LATIN,
    pdf_file,
    runs,
    width,
    wrapped,
)
from counterfoil.web.statement_words import About, Words, one_line

ZONE = ZoneInfo("Africa/Nairobi")
SPAN = span_of("2026-11", ZONE)
NAMES = {
    "Latin": "Épicerie du Marché – Zoë & Åsa “œuf” €",
    "Korean": "한가람 시장 꿻뷁 金",
    "Cyrillic, Greek, kana": "Привет Ωmega すし",
    "Japanese": "渡辺 さくら 峠ｶﾅ",
    "Chinese": "陈伟 北京饺子馆",
    "Chinese, traditional": "臺灣豐澤園 喺度",
    "all of the East": "한글 渡辺さくら 陈伟",
    "Arabic": "شكرا",
    "emoji": "👩‍👩‍👧 🎂",
    "Devanagari": "नमस्ते",
    "Khmer": "ភាសាខ្មែរ",
    "control": "a\x00b\tc\u200bd\u202ee",
    "long": "w" * 400,
    "empty": "",
}


def words(code: str = "en", *, digits: int = 2, **changes: str) -> Words:
    about = About(
        scheme="하늘 Pay",
        origin="counterfoil.localhost/log",
        currency=Currency(code="USD", digits=digits, ledger=840),
        zone=ZONE,
        holder="김하은",
        number="+254712000002",
        account="01a200d8-ed44-7ad7-9783-443e4bd01d7b",
        made_at=SPAN.start + 20 * 86_400 * NANOSECONDS,
    )
    return Words(Language(code), msgspec.structs.replace(about, **changes))


def line(amount: int, balance: int, **changes: object) -> Line:
    values: dict[str, object] = {
        "at": SPAN.start + 3_600 * NANOSECONDS,
        "code": TransferCode.PAYMENT,
        "step": Step.MOVED,
        "counterparty": "Rose",
        "memo": "",
        "incoming": max(amount, 0),
        "outgoing": max(-amount, 0),
        "set_aside": 0,
        "balance": balance,
        "payment": 7,
    }
    return Line(**(values | changes))  # type: ignore[arg-type]


def statement(*lines: Line, opening: int = 1_000) -> Statement:
    incoming, outgoing = sum(each.incoming for each in lines), sum(each.outgoing for each in lines)
    return Statement(SPAN, SPAN.end - 1, opening, opening + incoming - outgoing, incoming, outgoing, list(lines))


def rows(data: bytes) -> list[list[str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    text = data.decode("utf-8-sig")
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def pages(data: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]


def bare(text: str) -> str:
    """Without blanks: where a reader sees them depends on the reader."""
    return re.sub(r"\s", "", text)


def test_a_csv_has_every_line_between_the_two_balances() -> None:
    found = rows(csv_file(statement(line(500, 1_500, memo="lunch"), line(-250, 1_250), opening=1_000), words()))
    assert found[0] == ["Date", "What", "With", "Memo", "In", "Out", "Balance", "Set aside", "Currency", "Payment"]
    payment = "00000000-0000-0000-0000-000000000007"
    assert found[1:] == [
        ["2026-11-01 00:00:00", "Opening balance", "", "", "", "", "10.00", "", "USD", ""],
        ["2026-11-01 01:00:00", "Payment", "Rose", "lunch", "5.00", "", "15.00", "", "USD", payment],
        ["2026-11-01 01:00:00", "Payment", "Rose", "", "", "2.50", "12.50", "", "USD", payment],
        ["2026-11-30 23:59:59", "Closing balance", "", "", "", "", "12.50", "", "USD", ""],
    ]


def test_a_csv_of_held_money_moves_no_balance() -> None:
    held = line(0, 1_000, code=TransferCode.HOLD, step=Step.SET_ASIDE, set_aside=300)
    given_back = line(0, 1_000, code=TransferCode.HOLD, step=Step.GIVEN_BACK, set_aside=-300)
    found = rows(csv_file(statement(held, given_back), words()))
    assert [(row[1], row[4], row[5], row[6], row[7]) for row in found[2:4]] == [
        ("Set aside", "", "", "10.00", "3.00"),
        ("No longer set aside", "", "", "10.00", "-3.00"),
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", " =1", "\n@x", "＝1", "＋1", "－1", "＠x", "=cmd|'/c calc'!A0"])
def test_what_looks_like_a_formula_is_a_text(text: str) -> None:
    assert harmless(text)[0] == "'"
    (row,) = (row for row in rows(csv_file(statement(line(1, 1_001, counterparty=text, memo=text)), words())) if "Payment" in row[1:2])
    assert row[2] == row[3] == f"'{one_line(text)}"


@settings(max_examples=200, deadline=None)
@given(st.text(), st.text())
def test_a_csv_has_ten_fields_a_line_whatever_people_are_called(name: str, memo: str) -> None:
    found = rows(csv_file(statement(line(1, 1_001, counterparty=name, memo=memo)), words()))
    assert [len(row) for row in found] == [10] * 4
    assert all(not field or field[0] not in "=+@\t\r" for field in found[2][2:4])


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("code", ["en", "ko", "fr"])
def test_a_pdf_shows_names_in_any_script_and_drops_no_character(name: str, code: str) -> None:
    data = pdf_file(statement(line(500, 1_500, counterparty=name, memo=name)), words(code, holder=name))
    (text,) = pages(data)
    shown = bare("".join(part for _, part in runs(one_line(name))))
    assert bare(text).count(shown) >= 3 if shown else "15" in text


def test_a_character_that_no_font_has_is_shown_as_its_number() -> None:
    assert runs("a🎂b") == [(LATIN, "a[U+1F382]b")]
    assert runs("é한€") == [(LATIN, "é"), (KOREAN, "한"), (LATIN, "€")]
    assert runs("1\u202f250", bold=True) == [(BOLD, "1 250")]
    assert runs("거래 내역") == [(KOREAN, "거래 내역")]
    assert runs("\u200d\u00ad\u0627") == [(LATIN, "[U+200D][U+00AD][U+0627]")]


def test_a_name_is_drawn_in_one_font_of_the_east() -> None:
    assert runs("李明博 金") == [(KOREAN, "李明博 金")]
    assert runs("渡辺 Ken") == [(JAPANESE, "渡辺 "), (LATIN, "Ken")]
    assert runs("東京すし") == [(JAPANESE, "東京すし")]
    assert runs("陈伟") == [(CHINESE, "陈伟")]
    assert runs("喺度") == [(CHINESE, "喺度")]
    assert runs("한陈") == [(KOREAN, "한"), (CHINESE, "陈")], "no font has both"
    assert runs("Привет Ω") == [(KOREAN, "Привет Ω")]


FONTS = ENCODINGS | {LATIN: "cp1252"}


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(st.characters(min_codepoint=0x3000, max_codepoint=0xD7FF)))
def test_what_is_drawn_can_be_drawn_and_loses_nothing(text: str) -> None:
    for font, part in runs(text):
        assert part.encode(FONTS[font])
    shown = "".join(part for _, part in runs(text))
    back = re.sub(r"\[U\+([0-9A-F]{4,6})\]", lambda match: chr(int(match[1], 16)), shown)
    assert re.sub(r"[\s\u1680]", " ", back) == re.sub(r"[\s\u1680]", " ", text) or "[U+" in text


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1), st.floats(min_value=60, max_value=400))
def test_a_text_is_broken_into_lines_that_fit_and_keeps_all_of_it(text: str, room: float) -> None:
    text = one_line(text)
    lines = wrapped(text, room)
    assert bare("".join(lines)) == bare(text)
    assert all(width(each) <= room or len(each) == 1 for each in lines)


def test_a_pdf_of_many_lines_numbers_its_pages_and_has_each_line_once() -> None:
    lines, balance = [], 1_000
    for number in range(120):
        balance += number
        lines.append(line(number, balance, memo=f"memo {number:03} " + "and so on " * (number % 7)))
    found = pages(pdf_file(statement(*lines), words()))
    assert len(found) > 3
    for number, text in enumerate(found, 1):
        assert f"Page {number} of {len(found)}" in text
        assert "provesnothing" in bare(text)
        assert "Balance" in text
    assert re.findall(r"memo (\d{3})", "\n".join(found)) == [f"{number:03}" for number in range(120)]


def test_no_line_runs_into_the_foot_of_its_page() -> None:
    lines, balance = [], 1_000
    for number in range(90):
        balance += number
        lines.append(line(number, balance, memo="and so on " * (number % 11)))
    heights: list[float] = []

    def look(text: str, _: object, matrix: list[float], *others: object) -> None:
        if "00000000-0000" in text:
            heights.append(matrix[5])

    found = PdfReader(io.BytesIO(pdf_file(statement(*lines), words()))).pages
    for page in found:
        page.extract_text(visitor_text=look)
    assert len(heights) == 90
    assert min(heights) > 62, "the foot is below"
    assert sum(height < 170 for height in heights) >= len(found) - 1, "pages are filled"


def test_the_head_says_whose_when_and_how_much() -> None:
    (text,) = pages(pdf_file(statement(line(500, 1_500)), words()))
    for expected in (
        "Statement, November 2026", "+254712000002", "01a200d8-ed44-7ad7-9783-443e4bd01d7b", "counterfoil.localhost/log",
        "Nov 1, 2026 – Nov 30, 2026 (Africa/Nairobi)", "Nov 21, 2026 00:00", "10.00 USD", "5.00 USD", "0.00 USD", "15.00 USD",
    ):  # fmt: skip
        assert expected in text, expected
    for korean in ("김하은", "하늘"):
        assert korean in bare(text)


def test_a_month_in_which_nothing_happened_is_a_page_that_says_so() -> None:
    (text,) = pages(pdf_file(statement(), words()))
    assert "Nothing happened in this month." in text


def test_the_same_statement_is_the_same_file() -> None:
    same = statement(line(500, 1_500, counterparty="김하은"))
    assert pdf_file(same, words("ko")) == pdf_file(same, words("ko"))


def test_a_currency_without_decimal_places_has_none() -> None:
    found = rows(csv_file(statement(line(500, 1_500)), words(digits=0)))
    assert (found[2][4], found[2][6]) == ("500", "1500")
    (text,) = pages(pdf_file(statement(line(500, 1_500)), words("ko", digits=0)))
    assert "1,500" in text


def test_every_kind_of_movement_has_a_name_in_every_language() -> None:
    for code in ("en", "ko", "fr"):
        names = [words(code).kind(line(1, 1, code=kind, step=step)) for kind in TransferCode for step in Step]
        assert all(names)
        assert len({words(code).kind(line(1, 1, code=kind)) for kind in TransferCode}) == len(TransferCode)
