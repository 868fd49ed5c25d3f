"""What a USSD gateway's callback is, before and after its own form; and the checks that all forms share. Pure.

    Asked ── form.read ──> Hop, Ended, IsItOpen (or Malformed, naming field and rule)
    Answer <── form.screen, form.ended, form.refusal

Each module beside this one that has these four functions is a `Form`.
"""

from __future__ import annotations

import re
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from counterfoil.channels.ussd.types import SESSION_SIZE_MAX, TYPED_SIZE_MAX, Hop, Screen
from counterfoil.errors import Malformed

FIELDS_MAX = 64
"""Fields of a query or a form."""
FIELD_SIZE_MAX = 4_096
"""Characters of a field that is not looked at further."""
PLAIN, JSON = "text/plain; charset=utf-8", "application/json"
_NUMBER = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})", re.ASCII)
_SESSION = re.compile(rf"[!-~]{{1,{SESSION_SIZE_MAX}}}", re.ASCII)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's request, as it came.

    Attributes:
        gateway: the gateway's name in the settings.
        rest: what follows the secret in the path, such as "" or "/session/17/start".
        query: without "?".
    """

    gateway: str
    method: str
    rest: str = ""
    query: str = ""
    body: bytes = b""

    def __repr__(self) -> str:
        """For logs and traces: all the rest may hold a PIN."""
        return f"Asked(gateway={self.gateway!r}, method={self.method!r})"


class Ended(msgspec.Struct, frozen=True):
    """The gateway tells that a session is over, whoever ended it."""

    session: str


class IsItOpen(msgspec.Struct, frozen=True):
    """The gateway asks whether a session goes on. `yes` and `no` are the two answers."""

    session: str
    yes: Answer
    no: Answer


class Answer(msgspec.Struct, frozen=True):
    """What the gateway hears, with status 200: with any other, gateways show their own words or none."""

    body: bytes
    media_type: str

    def __repr__(self) -> str:
        """For logs and traces: a screen has names and balances."""
        return f"Answer({len(self.body)} bytes)"


Heard = Hop | Ended | IsItOpen


class Form(Protocol):
    """One kind of gateway. A module is one."""

    def read(self, asked: Asked) -> Heard:
        """What the request says. Raises Malformed, naming the field and the rule and never what was typed."""
        ...

    def screen(self, hop: Hop, screen: Screen) -> Answer:
        """The screen, as this gateway takes it."""
        ...

    def ended(self, session: str) -> Answer:
        """The thanks for being told of an end."""
        ...

    def refusal(self, words: str, *, session: str = "") -> Answer:
        """An end in words, for a request that was not understood or cannot be answered now."""
        ...


# Fields


def check_call(asked: Asked, method: str, *, rest: str = "") -> None:
    """Malformed for another method, or another path behind the secret."""
    if asked.method != method:
        raise Malformed("method", f"must be {method}")
    if asked.rest.rstrip("/") != rest:
        raise Malformed("path", "must end with the secret")


def fields_of(text: bytes | str, field: str) -> dict[str, str]:
    """The fields of a query or a form, each once. Source: WHATWG URL, application/x-www-form-urlencoded."""
    try:
        plain = text.decode("ascii") if isinstance(text, bytes) else text
        pairs = parse_qsl(plain, keep_blank_values=True, strict_parsing=bool(plain), errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:  # UnicodeDecodeError, too
        raise Malformed(field, "must be name=value pairs in UTF-8, joined by &") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed(field, "must have each name once")
    return found


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Names that we do not know are the gateway's own affair."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("body", "must be JSON") from None
    if not isinstance(found, dict):
        raise Malformed("body", "must be an object")
    return found


def text_of(fields: dict[str, Any], name: str, *, size_max: int = FIELD_SIZE_MAX, default: str | None = None) -> str:
    """A text of at most `size_max` characters. `default` stands for one that is not there or null; without it, that is refused."""
    value = fields.get(name)
    if value is None:
        if default is None:
            raise Malformed(name, "is missing")
        return default
    if not isinstance(value, str):
        raise Malformed(name, "must be a text")
    if len(value) > size_max:
        raise Malformed(name, f"must be at most {size_max} characters")
    return value


def typed_of(fields: dict[str, Any], name: str, *, default: str | None = None) -> str:
    """What was typed: any characters but those that nobody types."""
    typed = text_of(fields, name, size_max=TYPED_SIZE_MAX, default=default)
    if re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", typed):
        raise Malformed(name, "must not contain control characters")
    return typed


def session_of(fields: dict[str, Any], name: str) -> str:
    """The gateway's own name for the session: visible ASCII."""
    session = text_of(fields, name)
    if not _SESSION.fullmatch(session):
        raise Malformed(name, f"must be 1 to {SESSION_SIZE_MAX} visible ASCII characters")
    return session


def number_of(fields: dict[str, Any], name: str) -> str:
    """Whose phone it is, with + in front: gateways send country codes, with or without it."""
    match = _NUMBER.fullmatch(text_of(fields, name))
    if match is None:
        raise Malformed(name, "must be a phone number with its country code, 7 to 15 digits")
    return f"+{match[1]}"


def one_of(fields: dict[str, Any], name: str, values: tuple[str, ...]) -> str:
    value = text_of(fields, name)
    if value not in values:
        raise Malformed(name, f"must be {' or '.join(values)}")
    return value
