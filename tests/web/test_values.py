"""How values look on the wire: whatever is written can be read, and nothing else can."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.ids import ID_MAX, id_text
from counterfoil.moments import moment_text
from counterfoil.web import values

ids = st.integers(1, ID_MAX)


@given(st.binary(max_size=200))
def test_base64_is_the_standards_without_padding(data: bytes) -> None:
    text = values.base64_text(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert values.parse_base64(text, "x") == data


@given(st.text(alphabet="AZaz09-_+/= \n\u00e9", max_size=12))
@example("A")
@example("AB")
@example("AA==")
def test_base64_has_one_text_for_each_value(text: str) -> None:
    try:
        data = values.parse_base64(text, "x")
    except Malformed as refusal:
        assert refusal.facts["field"] == "x"
    else:
        assert values.base64_text(data) == text


@given(ids)
def test_the_quick_uuid_is_the_slow_one(value: int) -> None:
    text = values.uuid_text(value)
    assert text == id_text(value)
    assert values.parse_uuid(text, "x") == value


@given(ids, st.integers(0, 36), st.sampled_from("_- +0gA\n"))
def test_a_uuid_in_any_other_form_is_refused(value: int, at: int, character: str) -> None:
    text = values.uuid_text(value)
    changed = text[:at] + character + text[at + 1 :]
    try:
        found = values.parse_uuid(changed, "x")
    except Malformed:
        return
    assert id_text(found) == changed


@given(st.integers(0, 2**63 - 1))
def test_a_moment_is_kept_to_the_microsecond(nanoseconds: int) -> None:
    text = moment_text(nanoseconds)
    assert text.endswith("Z")
    assert values.parse_moment(text, "x") == nanoseconds // 1_000 * 1_000


def test_a_known_moment() -> None:
    assert moment_text(1_795_000_000_123_456_789) == "2026-11-18T11:06:40.123456Z"
    assert values.parse_moment("2026-11-18T11:06:40Z", "x") == 1_795_000_000_000_000_000
    assert values.parse_moment("2026-11-18T11:06:40.5Z", "x") == 1_795_000_000_500_000_000


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-18", "2026-11-18T11:06:40", "2026-11-18T11:06:40+00:00", "2026-11-31T11:06:40Z", "2026-11-18t11:06:40z",
     "2026-11-18T24:00:00Z", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "2026-11-18T11:06:40.Z", "٢٠٢٦-11-18T11:06:40Z"],
)  # fmt: skip
def test_another_moment_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        values.parse_moment(text, "x")


@given(st.integers(1, 2**64))
def test_a_cursor_is_what_was_handed_out(position: int) -> None:
    assert values.parse_cursor(values.cursor_text(position), maximum=2**64) == position


def test_no_cursor_is_the_first_page_and_others_are_refused() -> None:
    assert values.parse_cursor(None) == 0
    for text in (values.cursor_text(0), values.cursor_text(101), values.base64_text(b"short"), "x", ""):
        with pytest.raises(Malformed):
            values.parse_cursor(text, maximum=100)
