"""Infobip: JSON to an address of each session: POST start and response, PUT end, GET status; a JSON answer. Pure.

The first answer of a session must not close it: a screen that ends there is left for the next key, or the network's time-out.
Source: praekeltfoundation/vumi, vumi/transports/infobip (BSD), and its tests; not tried with a live account.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from counterfoil.channels.gateways.forms import JSON, Answer, Asked, Ended, Heard, IsItOpen, number_of, object_of, session_of, typed_of
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.errors import Malformed

METHODS = {"start": "POST", "response": "POST", "end": "PUT", "status": "GET"}
OK, NOT_UNDERSTOOD = 200, 400
UNKNOWN_SESSION = "Invalid USSD session"
_PATH = re.compile(r"/session/([^/]+)/([a-z]+)/?", re.ASCII)


def read(asked: Asked) -> Heard:
    match = _PATH.fullmatch(asked.rest)
    if match is None or match[2] not in METHODS:
        raise Malformed("path", f"must be the secret, /session/, the session's id, and one of {', '.join(f'/{name}' for name in METHODS)}")
    session, step = session_of({"session": match[1]}, "session"), match[2]
    if asked.method != METHODS[step]:
        raise Malformed("method", f"must be {METHODS[step]} for {step}")
    if step == "status":
        return IsItOpen(session, yes=_answer(sessionActive=True), no=refusal(UNKNOWN_SESSION))
    if step == "end":
        return Ended(session)
    fields = object_of(asked.body)
    begins = step == "start"
    typed = typed_of(fields, "text", default="" if begins else None)
    number = number_of(fields, "msisdn")
    return Hop(gateway=asked.gateway, session=session, number=number, typed="" if begins else typed, begins=begins)


def screen(hop: Hop, screen: Screen) -> Answer:
    return _answer(ussdMenu=screen.text, shouldClose=screen.ends and hop.begins is not True)


def ended(session: str) -> Answer:
    return _answer()


def refusal(words: str, *, session: str = "") -> Answer:
    return _answer(code=NOT_UNDERSTOOD, message=words)


def _answer(*, code: int = OK, message: str = "", **shown: Any) -> Answer:
    return Answer(msgspec.json.encode({**shown, "responseExitCode": code, "responseMessage": message}), JSON)
