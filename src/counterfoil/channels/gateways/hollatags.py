"""hollatags: a GET with a query, or with the same fields as its body; the answer is JSON with the same names. Pure.

`session_operation` says begin, continue or end; with begin, `session_msg` is the code that was dialled.
Source: docs.hollatags.com/ussd/inbound and /faq/ussd-shared, read in 2026; not tried with a live account.
"""

from __future__ import annotations

import msgspec

from counterfoil.channels.gateways.forms import (
    JSON,
    Answer,
    Asked,
    Ended,
    Heard,
    check_call,
    fields_of,
    number_of,
    one_of,
    session_of,
    typed_of,
)
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.errors import Malformed

OPERATIONS = ("begin", "continue", "end")
INPUT_WANTED, NOTIFY_AND_END = 1, 4
TEXT_SIZE_MAX = 160
"""Characters of a screen, line ends included."""


def read(asked: Asked) -> Heard:
    check_call(asked, "GET")
    if asked.query and asked.body:
        raise Malformed("body", "must be empty, since there is a query")
    fields = fields_of(asked.body, "body") if asked.body else fields_of(asked.query, "query")
    session = session_of(fields, "session_id")
    operation = one_of(fields, "session_operation", OPERATIONS)
    if operation == "end":
        return Ended(session)
    begins = operation == "begin"
    typed = typed_of(fields, "session_msg", default="" if begins else None)
    number = number_of(fields, "session_msisdn")
    return Hop(gateway=asked.gateway, session=session, number=number, typed="" if begins else typed, begins=begins)


def screen(hop: Hop, screen: Screen) -> Answer:
    return _answer(hop.session, screen.text, ends=screen.ends)


def ended(session: str) -> Answer:
    return _answer(session, "", ends=True)


def refusal(words: str, *, session: str = "") -> Answer:
    return _answer(session, words, ends=True)


def _answer(session: str, text: str, *, ends: bool) -> Answer:
    lines = text.replace("\n", "\r\n")
    answer = {
        "session_operation": "end" if ends else "continue",
        "session_type": NOTIFY_AND_END if ends else INPUT_WANTED,
        "session_id": session,
        "session_msg": lines if len(lines) <= TEXT_SIZE_MAX else text,
    }
    return Answer(msgspec.json.encode(answer), JSON)
