"""sendexa: JSON by POST, and a JSON answer. Pure.

`timestamp` is the hop's own: it tells a repeat from the same input typed a second time.
Source: docs.sendexa.co/ussd, read in 2026; not tried with a live account.
"""

from __future__ import annotations

import msgspec

from counterfoil.channels.gateways.forms import (
    JSON,
    Answer,
    Asked,
    Heard,
    check_call,
    number_of,
    object_of,
    one_of,
    session_of,
    text_of,
    typed_of,
)
from counterfoil.channels.ussd.types import Hop, Screen

MARK_SIZE_MAX = 64


def read(asked: Asked) -> Heard:
    check_call(asked, "POST")
    fields = object_of(asked.body)
    begins = one_of(fields, "type", ("new", "continue")) == "new"
    typed = typed_of(fields, "input", default="" if begins else None)
    return Hop(
        gateway=asked.gateway,
        session=session_of(fields, "sessionId"),
        number=number_of(fields, "phone"),
        typed="" if begins else typed,
        begins=begins,
        mark=text_of(fields, "timestamp", size_max=MARK_SIZE_MAX, default=""),
    )


def screen(hop: Hop, screen: Screen) -> Answer:
    return _answer(screen.text, ends=screen.ends)


def ended(session: str) -> Answer:
    return _answer("", ends=True)


def refusal(words: str, *, session: str = "") -> Answer:
    return _answer(words, ends=True)


def _answer(text: str, *, ends: bool) -> Answer:
    return Answer(msgspec.json.encode({"message": text, "shouldClose": ends}), JSON)
