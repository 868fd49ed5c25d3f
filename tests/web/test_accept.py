"""What a caller's Accept header asks for."""

from __future__ import annotations

import pytest

from counterfoil.web.accept import preferred

OFFERED = ("application/json", "text/plain", "image/svg+xml")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/plain", "text/plain"),
        ("TEXT/PLAIN; charset=utf-8", "text/plain"),
        ("text/*", "text/plain"),
        ("image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/svg+xml"),
        ("text/plain;q=0.5, application/json;q=0.4", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("*/*;q=0.9, application/json;q=0", "text/plain"),
        ("application/json;q=0, */*;q=0, image/*", "image/svg+xml"),
        ("text/html", "application/json"),
        ("text/plain;q=2", "text/plain"),
        (";;,q=/,text/plain", "text/plain"),
        ("x" * 600 + ",text/plain", "application/json"),
    ],
)
def test_the_form_that_is_liked_best_is_chosen(accept: str | None, chosen: str) -> None:
    assert preferred(accept, OFFERED) == chosen
