"""What every USSD gateway asks, and what it is answered, whatever its own form."""

from __future__ import annotations

import msgspec

SESSION_SIZE_MAX = 128
"""Characters of a gateway's own name for a session."""
CHOICE_SIZE_MAX = 2
"""Characters of a choice: "8", "00"."""
TYPED_SIZE_MAX = 1_024
"""Characters that are looked at of what somebody typed."""


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One screen's answer, on its way from a phone: whoever dialled typed something, or has just dialled.

    Attributes:
        gateway: the gateway's name in the settings.
        session: the gateway's own name for the session; sessions of two gateways never meet.
        number: E.164: whose phone it is, by the word of the network.
        typed: what was typed on this screen; "" on dialling. With `whole`, all that was typed in this session so far, with `*`
            between, as gateways of Africa's Talking's kind send it.
        begins: True on dialling, False later, None where the gateway does not say.
        mark: what tells a repeat of this hop from a second one with the same input, such as the gateway's time of it; "" where
            the gateway sends nothing of the kind.
    """

    gateway: str
    session: str
    number: str
    typed: str
    whole: bool = False
    begins: bool | None = None
    mark: str = ""

    def __repr__(self) -> str:
        """For logs and traces: what is typed may be a PIN."""
        return f"Hop(gateway={self.gateway!r}, session={self.session!r})"


class Screen(msgspec.Struct, frozen=True):
    """What the phone shows next. `ends`: the session is over, and nothing can be typed."""

    text: str
    ends: bool
