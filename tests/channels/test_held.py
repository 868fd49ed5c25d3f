"""How much of a message a text carries. What is held, and until when, is in test_announcements.py and test_reports.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.held import PARTS_MAX, shortened
from counterfoil.channels.sms.encoding import measure, plain_marks


@pytest.mark.parametrize(
    ("sender", "text", "said"),
    [
        ("Rose", "Lunch?", "Lunch?"),
        ("Rose", "x" * 300, "x" * 300),
        ("Rose", "x" * 301, "x" * 297 + "..."),
        ("Rose", "é" * 1_000, "é" * 297 + "..."),
        ("하은", "가" * 130, "가" * 130),
        ("하은", "가" * 131, "가" * 127 + "..."),
        ("Rose", "“Yes” — no", '"Yes" - no'),
        ("R" * 60, "x" * 274, "x" * 274),
    ],
)
def test_a_long_message_ends_with_dots_where_two_parts_end(sender: str, text: str, said: str) -> None:
    assert shortened(sender, text) == said


@given(sender=st.text(min_size=1, max_size=40), text=st.text(max_size=400))
def test_a_text_never_costs_more_than_two_parts(sender: str, text: str) -> None:
    said = shortened(sender, text)
    assert measure(plain_marks(f"{sender[:30]}: {said}"))[2] <= PARTS_MAX
    whole = plain_marks(" ".join(text.split()))
    assert said == whole or (said.endswith("...") and whole.startswith(said[:-3]))
