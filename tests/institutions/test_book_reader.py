"""Untidy files: each is read as it is meant, or refused naming file, line, column and rule."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from counterfoil.errors import Malformed
from counterfoil.institutions.book.mapping import load_mapping, parse_mapping
from counterfoil.institutions.book.reader import LINE_BYTES_MAX, Book, read_book
from counterfoil.institutions.book.types import Counter
from counterfoil.money import Currency

DOLLAR = Currency("USD", 2, 840)
PLAIN = load_mapping("plain")
HEADER = b"transaction,account,date,amount,balance,category\n"
Write = Callable[..., Path]


def read(path: Path) -> Book:
    return read_book(path, PLAIN, DOLLAR)


def test_the_shipped_example_is_read() -> None:
    from importlib import resources

    with resources.as_file(resources.files("counterfoil.institutions.book") / "examples" / "village-bank.csv") as path:
        book = read(path)
    assert (book.transactions, book.accounts) == (15, ["A-001", "A-002", "A-003", "A-004"])
    first, *_ = book.lines("A-002")
    assert (first.number, first.amount, first.balance, first.counter) == (3, 120_000, 120_000, Counter.BANKS)


TIDY = HEADER + b"1,A,2026-01-05,5.00,5.00,cash\n2,A,2026-01-06,-1.50,3.50,\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + TIDY,
        TIDY.replace(b"\n", b"\r\n"),
        TIDY.replace(b"\n2", b"\n\n  \n2") + b"\n",
        TIDY.replace(b"5.00,5.00", b'"5.00" , 5.00'.replace(b'" ,', b'",')),
        TIDY.replace(b"5.00,5.00", b"+5,5.0"),
        TIDY.replace(b"2026-01-05", b" 2026-01-05 "),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "quotes", "fewer decimals", "spaces"],
)
def test_untidy_files_that_mean_the_same_are_read_the_same(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "book.csv"
    path.write_bytes(data)
    lines = read(path).lines("A")
    assert [(line.amount, line.balance) for line in lines] == [(500, 500), (-150, 350)]


GOOD = "1,A,2026-01-05,5.00,5.00,cash\n"
BAD_LINES = [
    ("2,A,2026-01-06,1.00,6.00\n", "", "must have 6 columns"),
    ("2,A,2026-01-06,1.00,6.00,cash,\n", "", "must have 6 columns"),
    ("2,A,06.01.2026,1.00,6.00,cash\n", "date", "must be a date like 2001-02-03"),
    ("2,A,2026-02-30,1.00,6.00,cash\n", "date", "must be a date"),
    ("2,A,2026-2-3,1.00,6.00,cash\n", "date", "must be a date"),
    ("2,A,1969-12-31,1.00,6.00,cash\n", "date", "must be from 1970-01-02"),
    ("2,A,2262-05-01,1.00,6.00,cash\n", "date", "must be from 1970-01-02 to 2261"),
    ("2,A,2026-01-06,1.001,6.00,cash\n", "amount", "must have at most 2 decimal places"),
    ("2,A,2026-01-06,1.00,6.000,cash\n", "balance", "must have at most 2 decimal places"),
    ('2,A,2026-01-06,"1,00",6.00,cash\n', "amount", "must be a number like 1234.50"),
    ("2,A,2026-01-06,1e2,6.00,cash\n", "amount", "must be a number"),
    ("2,A,2026-01-06,١.00,6.00,cash\n", "amount", "must be a number"),
    ("2,A,2026-01-06,,6.00,cash\n", "amount", "must be a number"),
    ("2,A,2026-01-06,NaN,6.00,cash\n", "amount", "must be a number"),
    ("2,A,2026-01-06,--1,6.00,cash\n", "amount", "must be a number"),
    ("2,A,2026-01-06,1.00,92233720368547758.08,cash\n", "balance", "must not exceed 9223372036854775807 minor units"),
    (f"2,A,2026-01-06,1.00,{'9' * 5000},cash\n", "balance", "must be a number"),
    ("2,,2026-01-06,1.00,6.00,cash\n", "account", "must be 1 to 128 printable characters"),
    (" ,A,2026-01-06,1.00,6.00,cash\n", "transaction", "must be 1 to 128 printable characters"),
    (f"2,{'A' * 129},2026-01-06,1.00,6.00,cash\n", "account", "must be 1 to 128"),
    ("2,A\0,2026-01-06,1.00,6.00,cash\n", "account", "printable"),
    ("2,A\N{RIGHT-TO-LEFT OVERRIDE}B,2026-01-06,1.00,6.00,cash\n", "account", "printable"),
    ("1,A,2026-01-06,1.00,6.00,cash\n", "transaction", "repeats the transaction number of line 2 of the same account A"),
    ('2,A,2026-01-06,1.00,6.00,"cash\n3,A,2026-01-07,1.00,7.00,cash"\n', "", "has a quote that is not closed on the same line"),
    ('2,A,2026-01-06,1.00,6.00,"cash\n', "", "is not well-formed"),
    ('2,A,2026-01-06,1.00,6.00,"ca"sh\n', "", "is not well-formed"),
    ("2,A,2026-01-06,1.00,6.00,ca\rsh\n", "", "carriage return"),
    ("2,A,2026-01-06,1.00,6.00," + "x" * LINE_BYTES_MAX + "\n", "", "must be at most 65536 bytes"),
    ("2,A,2026-01-06,1.00,6.00,cash", "", "the file was cut here"),
    ("2,A,2026-01-06,1.00,6.00,cash\r", "", "the file was cut here"),
]


@pytest.mark.parametrize(("bad", "column", "rule"), BAD_LINES)
def test_a_bad_line_is_refused_with_file_line_column_and_rule(write_plain: Write, bad: str, column: str, rule: str) -> None:
    path = write_plain(GOOD + bad)
    with pytest.raises(Malformed) as caught:
        read(path)
    assert caught.value.facts["file"] == "book.csv"
    assert caught.value.facts["line"] == 3
    assert caught.value.facts["column"] == column
    assert rule in caught.value.facts["rule"]
    assert "book.csv line 3" in caught.value.detail


@pytest.mark.parametrize(
    ("data", "line", "rule"),
    [
        (b"", 1, "the file is empty"),
        (b"\n\n", 1, "the file is empty"),
        (HEADER, 1, "must have a line after the header"),
        (HEADER[:-1], 1, "the file was cut here"),
        (HEADER[:20], 1, "the file was cut here"),
        (b"transaction,account,day,amount,balance,category\n" + GOOD.encode(), 1, "is missing (mapping.columns.date)"),
        (b"transaction,account,date,amount,balance\n", 1, "is missing (mapping.category[0].column)"),
        (b"transaction,account,date,amount,balance,category,amount\n", 1, "is named twice"),
        (HEADER + GOOD.encode() + b"2,A\xff,2026-01-06,1.00,6.00,cash\n", 3, "must be utf-8: byte 4 of the line is not"),
        (("\ufeff" + HEADER.decode() + GOOD).encode("utf-16-le"), 1, "is UTF-16"),
    ],
)
def test_a_bad_file_is_refused_at_its_line(tmp_path: Path, data: bytes, line: int, rule: str) -> None:
    path = tmp_path / "book.csv"
    path.write_bytes(data)
    with pytest.raises(Malformed) as caught:
        read(path)
    assert caught.value.facts["line"] == line
    assert rule in caught.value.facts["rule"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="there is no file"):
        read(tmp_path / "none.csv")


def test_the_same_transaction_number_in_two_accounts_is_two_transactions(write_plain: Write) -> None:
    book = read(write_plain(GOOD + GOOD.replace(",A,", ",B,")))
    assert book.lines("A")[0].key != book.lines("B")[0].key


def test_a_direction_column_gives_the_sign_and_must_be_known(tmp_path: Path) -> None:
    mapping = load_mapping("pkdd99")
    header = b'"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"\r\n'
    path = tmp_path / "trans.asc"

    def amounts(*rows: bytes) -> list[tuple[int, int]]:
        path.write_bytes(header + b"".join(row + b"\r\n" for row in rows))
        return [(line.amount, line.counter) for line in read_book(path, mapping, DOLLAR).lines("7")]

    credit, debit = b'1;7;930101;"PRIJEM";"VKLAD";9.00;9.00;"";;', b'2;7;930102;"VYBER";"VYBER";2.00;7.00;" ";;'
    assert amounts(credit, debit) == [(900, Counter.CASH), (-200, Counter.CASH)]
    charge, interest = b'3;7;930103;"VYDAJ";"VYBER";1.00;6.00;"SLUZBY";;', b'4;7;930104;"PRIJEM";"";1.00;7.00;"UROK";;'
    transfer = b'5;7;930105;"PRIJEM";"PREVOD Z UCTU";1.00;8.00;"DUCHOD";"YZ";"62457513"'
    assert [counter for _, counter in amounts(charge, interest, transfer)] == [Counter.OTHER, Counter.INTEREST, Counter.BANKS]
    with pytest.raises(Malformed, match=r"trans.asc line 3 column type: must be one of PRIJEM, VYDAJ, VYBER"):
        amounts(credit, debit.replace(b'"VYBER";"VYBER"', b'"VYBRE";"VYBER"'))
    with pytest.raises(Malformed, match=r"line 3 column amount: must not be negative: type gives the direction"):
        amounts(credit, debit.replace(b"2.00", b"-2.00"))


def test_every_cut_inside_a_line_points_at_that_line(write_plain: Write, tmp_path: Path) -> None:
    whole = write_plain("".join(f"{n},A,2026-01-{n:02},1.00,{n}.00,cash\n" for n in range(1, 28))).read_bytes()
    cut_file = tmp_path / "cut.csv"
    for length in range(1, len(whole)):
        cut_file.write_bytes(whole[:length])
        if whole[:length].endswith(b"\n") and whole[:length] != HEADER:
            assert read(cut_file).transactions == whole[:length].count(b"\n") - 1  # a whole, shorter book: nobody can tell
            continue
        with pytest.raises(Malformed) as caught:
            read(cut_file)
        assert caught.value.facts["line"] == max(1, whole[:length].count(b"\n") + (whole[length - 1] != 0x0A))


def test_the_real_book_cut_at_random_bytes_points_at_the_line(pkdd99: Path, tmp_path: Path) -> None:
    whole = pkdd99.read_bytes()
    mapping = load_mapping("pkdd99")
    randomness = random.Random(99)
    cut_file = tmp_path / "cut.asc"
    for _ in range(5):
        length = randomness.randrange(200, len(whole) // 10)
        if whole[length - 1] == 0x0A:
            length -= 1
        cut_file.write_bytes(whole[:length])
        with pytest.raises(Malformed) as caught:
            read_book(cut_file, mapping, DOLLAR)
        assert caught.value.facts["line"] == whole[:length].count(b"\n") + 1


def test_a_file_sorted_by_date_names_the_account_where_it_goes_back(tmp_path: Path) -> None:
    mapping = parse_mapping(
        b'book = "sorted"\nsorted_by_date = true\n[columns]\ntransaction="transaction"\naccount="account"\ndate="date"\namount="amount"\nbalance="balance"\n',
        "sorted",
    )
    path = tmp_path / "book.csv"
    rows = [f"{n},{'AB'[n % 2]},2026-01-{n:02},1.00,{(n + 1) // 2}.00,\n" for n in range(1, 10)]
    path.write_bytes(HEADER + "".join(rows).encode())
    assert read_book(path, mapping, DOLLAR).out_of_date_order == {}
    rows[4] = rows[4].replace("2026-01-05", "2026-03-05")
    path.write_bytes(HEADER + "".join(rows).encode())
    ((account, difference),) = read_book(path, mapping, DOLLAR).out_of_date_order.items()
    assert (account, difference.line, difference.date, difference.reason) == ("B", 6, "2026-03-05", "date")


def test_a_million_lines_take_no_more_than_sixty_bytes_each() -> None:
    import tracemalloc

    from counterfoil.institutions.book.types import Line

    book = Book("b", DOLLAR)
    tracemalloc.start()
    for n in range(100_000):
        book.add(str(n % 500), Line(n, 1_700_000_000 + n, n, n, 0, b"0123456789"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 100_000 < 60


def test_reading_shows_progress(pkdd99: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    read_book(pkdd99, load_mapping("pkdd99"), DOLLAR, progress=lambda *step: seen.append(step))
    size = pkdd99.stat().st_size
    assert len(seen) >= 3
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1] == ("reading", size, size)
