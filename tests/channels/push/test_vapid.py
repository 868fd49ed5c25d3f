"""Who sends is signed as RFC 8292 says, for one push service and some hours."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature

from counterfoil.channels.push.encryption import private_key, public_point
from counterfoil.channels.push.vapid import LIFETIME_S, audience, authorization
from tests.channels.push.browser import vapid

KEY = private_key(b"\x07" * 32)
NOW_S = 1_795_000_000


def test_a_token_names_the_push_service_us_and_its_end() -> None:
    header = authorization("https://push.example/send/abc?d=1", contact="https://money.example", now_s=NOW_S, key=KEY)
    token = vapid(header)
    assert token.claims == {"aud": "https://push.example", "exp": NOW_S + LIFETIME_S, "sub": "https://money.example"}
    assert token.key == public_point(KEY)
    assert LIFETIME_S <= 86_400, "RFC 8292 §2"
    assert authorization("https://push.example/other", contact="https://money.example", now_s=NOW_S, key=KEY) == header


def test_a_token_that_was_changed_is_not_ours() -> None:
    header = authorization("https://push.example/send", contact="https://money.example", now_s=NOW_S, key=KEY)
    other = authorization("https://push.example/send", contact="https://money.example", now_s=NOW_S + 1, key=KEY)
    claims = header.split(".")[1]
    with pytest.raises(InvalidSignature):
        vapid(other.replace(other.split(".")[1], claims))


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://push.example/a", "https://push.example"),
        ("https://push.example:443/a", "https://push.example"),
        ("https://PUSH.example:8443/a", "https://push.example:8443"),
        ("http://127.0.0.1:5000/a", "http://127.0.0.1:5000"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443"),
    ],
)
def test_the_audience_is_the_origin(endpoint: str, origin: str) -> None:
    assert audience(endpoint) == origin
