"""Base64, decimals and lines in the one spelling that the log's text formats allow. Pure.

A value has exactly one spelling here: other base64 of the same bytes (bits left over, missing padding, white space) and
other digits of the same number (leading zeros, signs) are refused, so that no two different files say the same.
"""

from __future__ import annotations

import base64
import binascii
import re

from counterfoil.errors import Malformed

SIZE_MAX = 2**63 - 1
"""Highest tree size and time (s) in a text format. Source: C2SP tlog-cosignature v1; Go's int64."""

_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")


def base64_text(data: bytes) -> str:
    """Standard base64 with padding. Source: RFC 4648 §4."""
    return base64.b64encode(data).decode()


def parse_base64(text: str, field: str) -> bytes:
    """The bytes behind `text`; Malformed, naming `field`, unless `text` is exactly what `base64_text` makes of them."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(field, "must be base64 (RFC 4648 section 4)") from None
    if base64.b64encode(data).decode() != text:
        raise Malformed(field, "must be canonical base64: padded, unused bits zero")
    return data


def parse_hash(text: str, field: str) -> bytes:
    """A SHA-256 hash in base64: 32 bytes, else Malformed."""
    data = parse_base64(text, field)
    if len(data) != 32:
        raise Malformed(field, "must be 32 bytes in base64")
    return data


def parse_decimal(text: str, field: str, *, maximum: int = SIZE_MAX) -> int:
    """A number from 0 to `maximum` in ASCII digits without leading zeros; else Malformed."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0"):
        raise Malformed(field, "must be a decimal number without sign or leading zeros")
    if len(text) > 20 or (value := int(text)) > maximum:
        raise Malformed(field, f"must be at most {maximum}")
    return value


def decode_utf8(data: bytes, field: str) -> str:
    """`data` as text without control characters (below U+0020) other than newline; else Malformed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Malformed(field, "must be UTF-8") from None
    if _CONTROL.search(data):
        raise Malformed(field, "must not contain control characters other than newline")
    return text
