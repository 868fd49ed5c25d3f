"""Which movements and requests are news for a sleeping phone, and the text message that says each where nobody was heard of. Pure."""

from __future__ import annotations

import msgspec

from counterfoil.channels.sms.money import IN, values_of
from counterfoil.ids import id_text
from counterfoil.payments.events import AccountEvent
from counterfoil.payments.requests import PaymentRequest


class News(msgspec.Struct, frozen=True):
    """Something to be told, once for each party.

    Attributes:
        account: whose news it is; `counterparty`: the account on the other side.
        cause: names what happened; the same whoever looks at it, and whenever.
        kind: of the text message that says it where no device is heard of.
        values: of that text, without the other side's name.
    """

    account: int
    counterparty: int
    cause: str
    kind: str
    values: dict[str, str | int]


def of_event(event: AccountEvent) -> News | None:
    """The news in a movement: money that came in. None for all else."""
    kind = None if event.outgoing else IN.get(event.type)
    if kind is None:
        return None
    cause = f"event {id_text(event.account)} {event.timestamp}"
    return News(event.account, event.counterparty, cause, kind, values_of(event, None))


def of_request(request: PaymentRequest) -> News | None:
    """The news in a new request, None when it asks nobody in particular."""
    if request.payer is None:
        return None
    return News(request.payer, request.payee, f"request {id_text(request.id)}", "request_received", {"amount": request.amount or 0})
