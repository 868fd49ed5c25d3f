"""How much of a message a text carries. What is held, and until when, is in test_announcements.py and test_reports.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.held import PARTS_MAX, shortened
from counterfoil.channels.sms.encoding import measure, plain_marks
from counterfoil.channels.sms.texts import Speaker, text_of
from counterfoil.i18n import Language
from counterfoil.money import Currency

ENGLISH = Language("en")


@pytest.mark.parametrize(
    ("sender", "text", "said"),
    [
        ("Rose", "Lunch?", "Lunch?"),
        ("Rose", "x" * 287, "x" * 287),
        ("Rose", "x" * 288, "x" * 284 + "..."),
        ("Rose", "é" * 1_000, "é" * 284 + "..."),
        ("하은", "가" * 117, "가" * 117),
        ("하은", "가" * 118, "가" * 114 + "..."),
        ("Rose", "“Yes” — no", '"Yes" - no'),
        ("R" * 60, "x" * 261, "x" * 261),
    ],
)
def test_a_long_message_ends_with_dots_where_two_parts_end(sender: str, text: str, said: str) -> None:
    assert shortened(sender, text, ENGLISH) == said


@pytest.mark.parametrize("code", ["en", "ko", "fr"])
@given(sender=st.text(min_size=1, max_size=40), text=st.text(max_size=400))
def test_a_text_never_costs_more_than_two_parts(code: str, sender: str, text: str) -> None:
    said = shortened(sender, text, Language(code))
    sent = text_of("message", {"name": sender, "text": said}, Speaker(Language(code), Currency("USD", 2, 840)))
    assert measure(sent)[2] <= PARTS_MAX
    whole = plain_marks(" ".join(text.split()))
    assert said == whole or (said.endswith("...") and whole.startswith(said[:-3]))
