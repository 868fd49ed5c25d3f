"""Kannel's smsbox by HTTP: one GET on its `sendsms` for each text, and its reports on the address that we gave it.

    GET URL?username=..&password=..&from=..&to=..&text=..&charset=UTF-8&coding=0|2&dlr-mask=31&dlr-url=..

smsbox cuts a long text into parts itself (`concatenation = true`), and asks the network for a report of the last part. What it
has accepted lies in bearerbox's store, and goes out after a restart, perhaps in another order and perhaps twice. So it is given the
next text to a number when it has reported the one before (see `sms.queue`).

What comes in is a POST on `post-url = .../in?id=%I` of the group `sms-service`: the body is the text, so that no address and no
log of addresses has it, and the number is the header X-Kannel-From.

Source: Kannel 1.4.5 User's Guide, "Using the SMS gateway box", tables of sendsms parameters and answers, "Delivery reports",
"Kannel POST"; gw/smsbox.c, obey_request and url_result_thread.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlencode

from counterfoil.channels.peers import Peers
from counterfoil.channels.sms.encoding import is_gsm7
from counterfoil.channels.sms.types import Called, Delivery, Doubt, Inbound, Outbound, Report
from counterfoil.errors import Malformed, Refused, Unavailable
from counterfoil.gateway_settings import SmsGateway
from counterfoil.ids import id_text, parse_id

ANSWER_S_MAX: Final = 10.0
"""Seconds. smsbox answers within a few milliseconds, unless it waits for bearerbox."""
DLR_MASK: Final = 31
"""Every report: 1 delivered, 2 failed, 4 queued by the network, 8 taken by it, 16 refused by it."""
_DELIVERIES: Final = {
    "1": Delivery.DELIVERED,
    "2": Delivery.FAILED,
    "4": Delivery.ON_ITS_WAY,
    "8": Delivery.ON_ITS_WAY,
    "16": Delivery.FAILED,
}
_CHARSETS: Final = {"utf-16be": "utf-16-be", "iso-8859-1": "latin-1"}
"""Those besides UTF-8 in which smsbox can be made to write."""
_NEVER: Final = (b"Not routable", b"Receiver number", b"Missing receiver")


class Kannel:
    """One smsbox. Implements `sms.types.Gateway`."""

    def __init__(self, settings: SmsGateway, peers: Peers) -> None:
        self.name = settings.name
        self.doubt = Doubt.REPORT if settings.callback else Doubt.NOTHING
        self._settings = settings
        self._peers = peers

    async def send(self, text: Outbound) -> str:
        """See `Gateway`. A wrong password is Unavailable: texts wait until the operator has put it right."""
        try:
            answer = await self._peers.ask("GET", f"{self._settings.url}?{self._query(text)}", ANSWER_S_MAX)
        except Unavailable as error:
            # Without the error's own words: the address may stand in them, and with it password, number and text.
            raise Unavailable(f"no answer: {type(error.__cause__ or error).__name__}", perhaps_taken=error.facts["perhaps_taken"]) from None
        if answer.status == 202:
            return ""
        if answer.status == 400 or answer.body.startswith(_NEVER):
            raise Refused(f"answered {answer.status}")
        raise Unavailable(f"answered {answer.status}", retry_after_s=answer.retry_after_s)

    async def close(self) -> None:
        """The connections are the peers', which whoever opened them closes."""

    def _query(self, text: Outbound) -> str:
        settings = self._settings
        values = {
            "username": settings.user,
            "password": settings.password,
            "to": text.number,
            "text": text.text,
            "charset": "UTF-8",
            "coding": "0" if is_gsm7(text.text) else "2",
        }
        if text.sender:
            values["from"] = text.sender
        if settings.callback:
            address = f"{settings.callback}/sms/{settings.name}/{settings.secret}/report?id={id_text(text.id)}&type=%d"
            values |= {"dlr-mask": str(DLR_MASK), "dlr-url": address}
        return urlencode(values)


def read_report(called: Called) -> Report:
    """The report behind a call of our `dlr-url`. Malformed for anything else."""
    values = _query(called.query)
    kind = values.get("type", [""])[-1]
    if kind not in _DELIVERIES:
        raise Malformed("type", "must be 1, 2, 4, 8 or 16")
    return Report(gateway=called.gateway, id=parse_id(values.get("id", [""])[-1]), delivery=_DELIVERIES[kind])


def read_text(called: Called) -> Inbound:
    """The text behind a call of our `post-url`; Malformed for anything else. What is no text, as a ringing tone, is an empty one.

    Malformed tells of wrong settings only: smsbox brings what is refused again and again, and a phone must not make it do that.
    """
    if called.method != "POST":
        raise Malformed("method", "must be POST, by a post-url: whatever logs addresses would have people's PINs")
    number = called.headers.get("x-kannel-from", "")
    if not number:
        raise Malformed("X-Kannel-From", "must be there: send-sender = true")
    text = _text(called.headers.get("content-type", ""), called.body)
    return Inbound(gateway=called.gateway, number=number, text=text, reference=_query(called.query).get("id", [""])[-1])


def _text(content_type: str, body: bytes) -> str:
    """The characters of a body. smsbox says UTF-8 or, with `mo-recode = false`, UTF-16BE; of binary messages application/octet-stream."""
    kind, _, charset = content_type.lower().replace(" ", "").replace('"', "").partition(";charset=")
    if kind != "text/plain":
        return ""
    return body.decode(_CHARSETS.get(charset, "utf-8"), errors="replace")


def _query(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=16)
    except ValueError:
        raise Malformed("query", "must have at most 16 fields") from None
