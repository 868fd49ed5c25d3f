"""Signatures of webhooks: against the standard's own example, and against a verifier written from its text alone."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from counterfoil.channels.signatures import secret_key, secret_text, sign
from counterfoil.errors import Malformed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver does it. Shares no code with the sender."""
    content = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    wanted = base64.b64encode(hmac.new(base64.b64decode(secret.split("_", 1)[1]), content, hashlib.sha256).digest()).decode()
    signatures = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(signature, wanted) for version, signature in signatures)


def test_the_standards_example_comes_out_as_it_should() -> None:
    headers = sign([SECRET], message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_give_two_signatures_and_each_verifies_alone() -> None:
    other = secret_text(bytes(range(32)))
    headers = sign([other, SECRET], message_id="a", timestamp_s=5, body=b"{}")
    assert headers["webhook-signature"].count("v1,") == 2
    assert verify(SECRET, headers, b"{}")
    assert verify(other, headers, b"{}")
    assert not verify(secret_text(bytes(32)), headers, b"{}")


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp", "body"])
def test_nothing_signed_can_be_changed(change: str) -> None:
    headers = sign([SECRET], message_id="a", timestamp_s=5, body=b"{}")
    body = b"{ }" if change == "body" else b"{}"
    assert not verify(SECRET, headers | ({} if change == "body" else {change: "6"}), body)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "whsec_" + "QUJD" * 22]
)
def test_a_secret_in_another_form_is_refused(secret: str) -> None:
    with pytest.raises(Malformed):
        secret_key(secret)


def test_an_id_with_a_full_stop_is_never_signed() -> None:
    with pytest.raises(AssertionError):
        sign([SECRET], message_id="a.5", timestamp_s=5, body=b"{}")
