"""What commands print: aligned in every script, safe whatever others have written, one object with --json."""

from __future__ import annotations

import io
import json

import pytest

from counterfoil.commands.logs import REDACTED, redact
from counterfoil.commands.output import Answer, Failure, Output, pairs, plain, table, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("한빛", 4), ("e\u0301", 1), ("", 0), ("فاطمة", 5), ("\u2068فاطمة\u2069", 5), ("１", 2)],
)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, columns: int) -> None:
    assert width(text) == columns


def test_columns_stand_below_each_other_in_every_script() -> None:
    lines = table(("Name", "Amount"), [("한빛", "5"), ("Abcdef", "1,250")], right=("Amount",))
    assert lines == ["Name    Amount", "한빛         5", "Abcdef   1,250"]
    assert [width(line) for line in lines] == [14, 14, 14]
    assert pairs([("잔액", "1"), ("Fee", "2")]) == ["잔액  1", "Fee   2"]


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x07", "[31mred"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("two\nlines", "two lines"),
        ("\u2066x\u2069", "x"),
        ("\x9b2J", "2J"),
    ],
)
def test_what_others_wrote_cannot_drive_the_terminal(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


def test_a_right_to_left_name_is_isolated() -> None:
    assert plain("فاطمة 3") == "\u2068فاطمة 3\u2069"


def test_json_is_one_object_and_what_is_said_meanwhile_goes_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(as_json=True, stdout=out, stderr=err)
    output.line("listens")
    output.note("by the way")
    output.progress("reading", 1, 2)
    output.answer(Answer({"name": "한빛"}, ["for a person"]))
    assert json.loads(out.getvalue()) == {"name": "한빛"}
    assert err.getvalue() == "listens\ncounterfoil: by the way\n"


def test_a_failure_is_told_to_people_and_programs() -> None:
    out, err = io.StringIO(), io.StringIO()
    Output(as_json=True, stdout=out, stderr=err).failure(Failure("no\x1b money", code="poor", retry="never", facts={"amount": 3}))
    assert json.loads(out.getvalue()) == {"code": "poor", "detail": "no\x1b money", "retry": "never", "facts": {"amount": 3}}
    assert err.getvalue() == "counterfoil: no money\n"


def test_progress_is_shown_where_it_was_asked_for() -> None:
    err = io.StringIO()
    Output(as_json=False, stderr=err).progress("reading", 1, 2)
    assert err.getvalue() == ""
    Output(as_json=False, progress=True, stderr=err).progress("reading", 1, 2)
    assert err.getvalue() == "reading: 50 %\n"


@pytest.mark.parametrize(
    ("event", "logged"),
    [
        ({"pin": "2580"}, {"pin": REDACTED}),
        ({"code": "123456"}, {"code": REDACTED}),
        ({"code": "insufficient_funds"}, {"code": "insufficient_funds"}),
        ({"token": "abc", "Authorization": "Bearer x"}, {"token": REDACTED, "Authorization": REDACTED}),
        ({"event": "sent to +16715550107"}, {"event": "sent to …107"}),
        ({"ms": 12, "route": "/v1/quote"}, {"ms": 12, "route": "/v1/quote"}),
    ],
)
def test_logs_hold_no_secret_and_no_whole_number(event: dict[str, object], logged: dict[str, object]) -> None:
    assert redact(None, "info", event) == logged
