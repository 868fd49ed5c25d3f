"""Africa's Talking: a form by POST; the answer is text that begins with CON or END. Pure.

`text` is everything that was typed in the session so far, with `*` between. The notice of a session's end comes to the same
address and has all of that again, the PIN included: only its session and its status are looked at.
Source: developers.africastalking.com/docs/ussd/overview, read in 2026; not tried with a live account.
"""

from __future__ import annotations

from counterfoil.channels.gateways.forms import (
    PLAIN,
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

STATUSES = ("Success", "Incomplete", "Failed")
_ONLY_AT_THE_END = "durationInMillis"


def read(asked: Asked) -> Heard:
    check_call(asked, "POST")
    fields = fields_of(asked.body, "body")
    session = session_of(fields, "sessionId")
    if "text" not in fields and ("status" in fields or _ONLY_AT_THE_END in fields):
        one_of(fields, "status", STATUSES)
        return Ended(session)
    return Hop(gateway=asked.gateway, session=session, number=number_of(fields, "phoneNumber"), typed=typed_of(fields, "text"), whole=True)


def screen(hop: Hop, screen: Screen) -> Answer:
    return _answer("END" if screen.ends else "CON", screen.text)


def ended(session: str) -> Answer:
    return Answer(b"", PLAIN)


def refusal(words: str, *, session: str = "") -> Answer:
    return _answer("END", words)


def _answer(verb: str, text: str) -> Answer:
    return Answer(f"{verb} {text}".encode(), PLAIN)
