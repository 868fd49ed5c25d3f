"""A gateway that takes texts as JSON over HTTP: the plain form that most aggregators, or thirty lines before them, can speak.

    POST URL                                         Authorization: Bearer PASSWORD
    {"id": "018f...", "to": "+254...", "from": "...", "text": "...", "report_url": "https://.../sms/NAME/SECRET/report"}

`id` is the same whenever a text is sent again: whoever knows it answers as before and sends nothing. "from" and "report_url" are
left out where the settings say nothing of them. The answer's status says what became of it:

    200 to 299               taken; the body may be {"reference": "..."}, at most 128 characters
    400, 404, 410, 413, 422  never: such as a number that is none
    anything else            not now, or not known: it is sent again later, after Retry-After (seconds) where the answer has it

Reports come as POST to `report_url`: {"id": "018f..."} or {"reference": "..."}, with "state": "on_its_way", "delivered" or "failed".
Texts that come in come as POST to .../in: {"from": "+254...", "text": "...", "reference": "..."}; the same reference is the same text.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from counterfoil.channels.peers import Peers
from counterfoil.channels.sms.queue import REFERENCE_SIZE_MAX
from counterfoil.channels.sms.types import Called, Delivery, Doubt, Inbound, Outbound, Report
from counterfoil.errors import Malformed, Refused, Unavailable
from counterfoil.gateway_settings import SmsGateway
from counterfoil.ids import id_text, parse_id

ANSWER_S_MAX: Final = 15.0
NEVER: Final = (400, 404, 410, 413, 422)
NOT_KNOWN: Final = (500, 502, 504)
"""It may have been taken before something broke, behind a proxy most of all."""


class _Taken(msgspec.Struct):
    reference: str = ""


class _Report(msgspec.Struct):
    state: Literal["on_its_way", "delivered", "failed"]
    id: str = ""
    reference: str = ""


class _Text(msgspec.Struct):
    number: str = msgspec.field(name="from")
    text: str
    reference: str = ""


class HttpSms:
    """One such gateway. Implements `sms.types.Gateway`."""

    def __init__(self, settings: SmsGateway, peers: Peers) -> None:
        self.name = settings.name
        self.doubt = Doubt.ASK
        self._settings = settings
        self._peers = peers

    async def send(self, text: Outbound) -> str:
        """See `Gateway`. A wrong token is Unavailable: texts wait until the operator has put it right."""
        settings = self._settings
        form = {"id": id_text(text.id), "to": text.number, "text": text.text}
        if text.sender:
            form["from"] = text.sender
        if settings.callback:
            form["report_url"] = f"{settings.callback}/sms/{settings.name}/{settings.secret}/report"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {settings.password}"}
        answer = await self._peers.ask("POST", settings.url, ANSWER_S_MAX, body=msgspec.json.encode(form), headers=headers)
        if answer.status in NEVER:
            raise Refused(f"answered {answer.status}")
        if not 200 <= answer.status < 300:
            perhaps = answer.status in NOT_KNOWN
            raise Unavailable(f"answered {answer.status}", retry_after_s=answer.retry_after_s, perhaps_taken=perhaps)
        try:
            return msgspec.json.decode(answer.body, type=_Taken).reference[:REFERENCE_SIZE_MAX]
        except (msgspec.DecodeError, UnicodeDecodeError):  # taken, without a word that we understand
            return ""

    async def close(self) -> None:
        """The connections are the peers', which whoever opened them closes."""


def read_report(called: Called) -> Report:
    """The report behind a call of our `report_url`. Malformed for anything else."""
    try:
        said = msgspec.json.decode(called.body, type=_Report)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("body", 'must be {"id": or "reference": "...", "state": "on_its_way", "delivered" or "failed"}') from None
    if not said.id and not said.reference:
        raise Malformed("id", "or reference must be there")
    ours = parse_id(said.id) if said.id else None
    return Report(gateway=called.gateway, id=ours, reference=said.reference[:REFERENCE_SIZE_MAX], delivery=Delivery(said.state))


def read_text(called: Called) -> Inbound:
    """The text behind a call of ours for what comes in. Malformed for anything else."""
    try:
        said = msgspec.json.decode(called.body, type=_Text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("body", 'must be {"from": "+254...", "text": "...", "reference": "..."}') from None
    return Inbound(gateway=called.gateway, number=said.number, text=said.text, reference=said.reference[:REFERENCE_SIZE_MAX])
