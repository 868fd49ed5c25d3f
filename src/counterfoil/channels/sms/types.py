"""What every SMS gateway is given, and what comes back from it, whatever its own form."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """One text to one number, which a gateway may send in several parts.

    Attributes:
        id: the message's own id: the same at each try, and in the gateway's reports.
        number: E.164.
        sender: what the phone shows as the sender; "" for the gateway's own.
        text: any characters; `sms.encoding` says which alphabet they need and how many parts they are.
    """

    id: int
    number: str
    sender: str
    text: str

    def __repr__(self) -> str:
        """For logs and traces: neither what is said nor to whom."""
        return f"Outbound(id={self.id:032x})"


class Delivery(enum.StrEnum):
    """What a gateway reports of a text that it took."""

    ON_ITS_WAY = "on_its_way"
    """The network has it, the phone not yet."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """It never will be: no such number, expired, rejected."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery report. `id` is the message's, where the gateway gives it back; otherwise `reference` is the gateway's own."""

    gateway: str
    id: int | None = None
    reference: str = ""
    delivery: Delivery


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's call of one of our addresses, as it came.

    Attributes:
        gateway: its name in the settings.
        query: without "?".
        headers: names in small letters; of one that came twice the last.
    """

    gateway: str
    method: str = "POST"
    query: str = ""
    headers: dict[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        """For logs and traces: all the rest may hold a PIN."""
        return f"Called(gateway={self.gateway!r}, method={self.method!r})"


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A text that came in. `reference` is the gateway's own id of it, by which a repeat is known; "" where it has none."""

    gateway: str
    number: str
    text: str
    reference: str = ""

    def __repr__(self) -> str:
        """For logs and traces: it may hold a PIN."""
        return f"Inbound(gateway={self.gateway!r}, reference={self.reference!r})"


class Doubt(enum.Enum):
    """What helps where nobody knows whether a gateway took a text: the process died, or the answer was lost."""

    NOTHING = enum.auto()
    """The text is given to whichever gateway works, and a phone may show it twice."""
    ASK = enum.auto()
    """The same gateway is given it again under the same id, which it knows."""
    REPORT = enum.auto()
    """Its reports name the text's id: one will come if it has it."""


class Gateway(Protocol):
    """A way to send texts. One connection or client, opened when it is first used, until `close`.

    `doubt`: see `Doubt`.
    """

    name: str
    doubt: Doubt

    async def send(self, text: Outbound) -> str:
        """Hands a text over; returns the gateway's own reference for it, "" where it has none.

        Raises Unavailable when it cannot be taken now: try again later (`retry_after_s` among the facts where the gateway asks for a
        pause; `perhaps_taken` True where it is not known whether it was taken). Raises Refused when it never will be taken: a wrong
        number, a wrong password.
        """
        ...

    async def close(self) -> None:
        """Ends the connection. Safe to repeat."""
        ...
