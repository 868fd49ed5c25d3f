"""Every error as a problem document: application/problem+json, for machines and people. Source: RFC 9457.

    {"type": "/problems/insufficient_funds", "title": "There is not enough money ...", "status": 422, "detail": "...",
     "code": "insufficient_funds", "retry": "change", "facts": {"amount": 500}, "request_id": "..."}

`type` is a stable address that leads to the description of the class; `title` is the class's sentence, in the language that
the caller's Accept-Language likes best and English without one; `detail` is this case's, in English, for developers; `retry`
says what to do next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec

from counterfoil.errors import CounterfoilError, NotAuthenticated, Retry, TooMany, Unavailable
from counterfoil.i18n import SOURCE, Language, languages, negotiate
from counterfoil.ids import ID_MAX, id_text

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
"""Seconds after which a caller who was told Unavailable may ask again."""

Header = tuple[bytes, bytes]


class Problem(msgspec.Struct, frozen=True):
    """An error, as RFC 9457 has it, with this API's own members.

    Attributes:
        type: stable address of the description of this kind of error.
        title: one sentence for a person in their language, the same for every error of the kind.
        status: the HTTP status.
        detail: one sentence in English about this case.
        code: the kind of error for a program; never changes.
        retry: never: it will be refused again; change: change what it names and use a new id; later: try later with a new
            id; same_id: the outcome is not known, repeat exactly the same request.
        facts: what a program wants to know: names, bounds, amounts.
        request_id: names this answer in the operator's log.
    """

    type: Annotated[str, msgspec.Meta(pattern="^/problems/[a-z_]+$")]
    title: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str
    code: Annotated[str, msgspec.Meta(pattern="^[a-z_]+$")]
    retry: Retry
    request_id: str
    facts: dict[str, Any]


_encoder = msgspec.json.Encoder(enc_hook=str)


class Titles:
    """The languages in which errors are told: those of the settings that there is a catalogue for."""

    def __init__(self, codes: Sequence[str]) -> None:
        self._offered = languages((SOURCE, *codes))  # English first: for callers who say nothing

    def language(self, headers: list[Header]) -> Language:
        """The language that the caller's headers ask for."""
        for name, value in headers:
            if name == b"accept-language":
                return negotiate(value.decode("latin-1"), self._offered)
        return self._offered[SOURCE]


def problem_of(error: CounterfoilError, request_id: str, language: Language | None = None) -> Problem:
    return Problem(
        type=f"/problems/{error.code}",
        title=error.sentence() if language is None else language.text(error.sentence()),
        status=error.status,
        detail=error.detail,
        code=error.code,
        retry=error.retry,
        request_id=request_id,
        facts={name: _plain(value) for name, value in error.facts.items()},
    )


def render(error: CounterfoilError, request_id: str, language: Language | None = None) -> tuple[int, list[Header], bytes]:
    """Status, headers and body of the answer; its title in `language`, or English."""
    body = _encoder.encode(problem_of(error, request_id, language))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if language is not None:
        headers.append((b"content-language", language.code.encode()))
    if isinstance(error, NotAuthenticated):
        headers.append((b"www-authenticate", b'Signature realm="counterfoil", Bearer realm="counterfoil"'))
    if isinstance(error, (TooMany, Unavailable)):
        headers.append((b"retry-after", str(error.facts.get("retry_after_s", RETRY_AFTER_S)).encode()))
    if "allow" in error.facts:
        headers.append((b"allow", ", ".join(error.facts["allow"]).encode()))
    return error.status, headers, body


def _plain(value: Any) -> Any:
    """Facts may hold 128-bit ids, which JSON's readers cannot."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return id_text(value) if 0 < value <= ID_MAX else str(value)
    return value


def classes(root: type[CounterfoilError] = CounterfoilError) -> Iterator[type[CounterfoilError]]:
    """Every class of error below `root`, parents first."""
    for cls in root.__subclasses__():
        yield cls
        yield from classes(cls)
