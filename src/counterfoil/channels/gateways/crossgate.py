"""crossgate: a GET with a query; the answer is text that begins with CON or END. Pure.

`ussd_string` is everything that was typed in the session so far, with `*` between.
Source: docs.vas.crossgatesolutions.co.ke/ussd, read in 2026; not tried with a live account.
"""

from __future__ import annotations

from counterfoil.channels.gateways import africastalking
from counterfoil.channels.gateways.forms import Asked, Heard, check_call, fields_of, number_of, session_of, typed_of
from counterfoil.channels.ussd.types import Hop

screen, ended, refusal = africastalking.screen, africastalking.ended, africastalking.refusal


def read(asked: Asked) -> Heard:
    check_call(asked, "GET")
    fields = fields_of(asked.query, "query")
    return Hop(
        gateway=asked.gateway,
        session=session_of(fields, "session_id"),
        number=number_of(fields, "msisdn"),
        typed=typed_of(fields, "ussd_string", default=""),
        whole=True,
    )
