"""The address that a card says when it is tapped, as an NDEF message: https://HOST/t?e=<32 digits>&c=<16 digits>. Pure.

A telephone that nobody taught anything opens it in a browser; a terminal takes the two values out of it. The card itself
fills them in, each time anew, so what is written are zeros.

Source: NFC Forum URI record type 1.0; the layout of the values is `ntag424.read_message`'s.
"""

from __future__ import annotations

import re

from counterfoil.errors import Malformed

PATH = "/t"

HOST_SIZE_MAX = 100
"""Characters of a host and its path: with the two values it fits into the file of 256 bytes."""

_BEFORE = f"{PATH}?e="
_MAC = "&c="
_E_DIGITS, _C_DIGITS = 32, 16
_HEXADECIMAL = re.compile(rf"[0-9A-Fa-f]{{{_E_DIGITS + _C_DIGITS}}}")
_RECORD = b"\xd1\x01"  # one whole short record of a well-known type
_URI_HTTPS = b"\x55\x04"


def message(host: str) -> tuple[bytes, int, int]:
    """The card's NDEF message for `host`, and where in the file the two values begin. Malformed for what is no host."""
    if not 0 < len(host) <= HOST_SIZE_MAX or not host.isascii() or set(host) & set(" ?#/\\@%&=") or not host.isprintable():
        raise Malformed("host", f"must be a host name of at most {HOST_SIZE_MAX} characters")
    before = host + _BEFORE
    text = (before + "0" * _E_DIGITS + _MAC + "0" * _C_DIGITS).encode()
    payload = _URI_HTTPS[1:] + text
    e_at = 2 + len(_RECORD) + 1 + len(_URI_HTTPS) + len(before)
    return _RECORD + bytes((len(payload),)) + _URI_HTTPS[:1] + payload, e_at, e_at + _E_DIGITS + len(_MAC)


def values(ndef: bytes) -> tuple[str, str] | None:
    """`e` and `c` of the message that a card was read with; None when it is none of this layout."""
    head, end = ndef[:5], _E_DIGITS + len(_MAC) + _C_DIGITS
    if head[:2] != _RECORD or head[3:] != _URI_HTTPS or len(ndef) != 4 + head[2] or len(ndef) < 5 + end:
        return None
    tail = ndef[-end:].decode("ascii", "replace")
    e, mac, c = tail[:_E_DIGITS], tail[_E_DIGITS:-_C_DIGITS], tail[-_C_DIGITS:]
    return (e, c) if mac == _MAC else None


def has_form(e: str, c: str) -> bool:
    """Whether two values look like a card's. Whether a card has said them only `BatchKeys.read` tells."""
    return len(e) == _E_DIGITS and _HEXADECIMAL.fullmatch(e + c) is not None
