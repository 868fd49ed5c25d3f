"""What an answer of the server means for the sale that is under way, and the words for it. Pure.

ring up ──> TAP ──> PIN ──> paid
             │       ├──> PIN again   the PIN, not the card, was refused
             │       ├──> TAP again   this tap pays nothing; another one, or another card, can
             └───────┴──> LOOK        the sale itself has ended: the server says how
at any step  STOP: the sale cannot be paid here; it is taken back
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final


class Then(enum.Enum):
    """What comes next after a no."""

    PIN = "the PIN, for the same tap"
    TAP = "a card"
    LOOK = "the sale is looked at"
    STOP = "the sale is taken back"
    END = "nothing: the clerk was told that it was paid"


PAID: Final = frozenset({"paid", "held", "captured", "released", "refunded_part", "refunded"})
"""States of a sale whose money moved, whatever was done with it since."""
OPEN: Final = "open"
CLERK: Final = frozenset({"not_authenticated", "forbidden"})
"""It is the clerk who may not: another signs in, and the same is asked again."""

_NO: Final[Mapping[str, tuple[str, Then]]] = {
    # the PIN
    "pin_locked": ("The PIN of this card's holder is locked after too many wrong ones. Another card can pay.", Then.TAP),
    "too_many": ("Too many PINs are being tried. Wait a little, and type it again.", Then.PIN),
    "malformed": ("That cannot be a PIN: it has 4 to 8 digits.", Then.PIN),
    # the tap
    "tap_used": ("This tap of the card was used before. Take the card away, and hold it to the reader again.", Then.TAP),
    "order_expired": ("Too much time has passed since the card was held to the reader. Hold it there again.", Then.TAP),
    "fee_above_maximum": ("The fee has changed. Hold the card to the reader again, and read the new one.", Then.TAP),
    "not_found": ("The server does not know this tap. Hold the card to the reader again.", Then.TAP),
    "id_reused": ("The server knows this tap for something else. Hold the card to the reader again.", Then.TAP),
    "id_already_failed": ("This tap was refused before. Hold the card to the reader again.", Then.TAP),
    # the card and its holder
    "card_unknown": ("This is no card of this scheme, or it belongs to nobody yet. Another card can pay.", Then.TAP),
    "card_not_here": ("This amount needs the card itself on the reader. Hold it there again, and leave it until you are asked.", Then.TAP),
    "card_locked": ("This card is locked. Its holder can open it with the own device. Another card can pay.", Then.TAP),
    "pin_not_allowed": (
        "The holder of this card pays with the own device, and has not allowed PINs there. Another card can pay.",
        Then.TAP,
    ),
    "insufficient_funds": ("There is not enough money in the account of this card. Another card can pay.", Then.TAP),
    "limit_exceeded": ("This is above what the holder of this card may pay by PIN. Another card can pay.", Then.TAP),
    "account_frozen": ("An account is frozen: that of this card, or the shop's. Another card can be tried.", Then.TAP),
    "recovery_waiting": ("The account of this card pays only little while a recovery waits. Another card can pay.", Then.TAP),
    "same_payer_and_payee": ("This card pays from the shop's own account. Another card can pay.", Then.TAP),
    # the sale
    "not_in_this_state": ("Nobody can pay this sale any more.", Then.LOOK),
    "payee_cannot_receive": ("The shop's account can take no money at the moment.", Then.STOP),
    "payee_limit_exceeded": ("The shop's account cannot hold that much.", Then.STOP),
    "party_closed": ("An account was closed: that of this card, or the shop's. Another card can be tried.", Then.TAP),
}


def after_no(code: str, facts: Mapping[str, Any], detail: str) -> tuple[str, Then]:
    """The words for a refusal of a tap or its payment, and what comes next. `detail` is told where we have no words of our own.

    Whatever comes next, no sale is paid twice: the server takes one payment for it.
    """
    if code == "wrong_pin":
        left = facts.get("attempts_left")
        tries = "" if not isinstance(left, int) else " No try is left." if left == 0 else f" {left} {'try' if left == 1 else 'tries'} left."
        return f"The PIN is not right.{tries}", Then.TAP if left == 0 else Then.PIN
    return _NO.get(code, (f"Not paid: {detail}", Then.TAP))


def is_pin(text: str) -> bool:
    """Whether it could be one: what cannot is not sent, so that it costs no try."""
    return 4 <= len(text) <= 8 and text.isascii() and text.isdigit()
