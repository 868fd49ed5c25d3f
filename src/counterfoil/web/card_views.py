"""Cards and taps as they look in JSON. Amounts in minor units."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.acceptance.cards.paying import Asked
from counterfoil.acceptance.cards.registry import CARDS_MAX, Card, CardState
from counterfoil.moments import moment_text
from counterfoil.web.values import Amount, AmountOrZero, Base64Url, Moment, PinText, UuidText, uuid_text

CipherText = Annotated[
    str,
    msgspec.Meta(
        max_length=32, description="who the card is, and its counter, encrypted", extra_json_schema={"pattern": "^[0-9A-Fa-f]{32}$"}
    ),
]
MacText = Annotated[str, msgspec.Meta(max_length=16, description="the card's MAC", extra_json_schema={"pattern": "^[0-9A-Fa-f]{16}$"})]
PROOF_COMMANDS = 2
"""Commands that a card answers to prove that it is there."""


class TapBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a card said when it was tapped: the two values of its address, https://.../t?e=...&c=..."""

    e: CipherText
    c: MacText


class CounterCardBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same, and the PIN that its holder types at the counter."""

    e: CipherText
    c: MacText
    pin: PinText


class CardView(msgspec.Struct, frozen=True):
    """A card. `label`: the end of its number, in which its holder knows it; `used_at`: when it was last tapped."""

    id: UuidText
    label: str
    state: CardState
    added_at: Moment
    used_at: Moment


class CardsView(msgspec.Struct, frozen=True):
    """Cards that pay from an account, or are locked, oldest first."""

    cards: Annotated[list[CardView], msgspec.Meta(description=f"at most {CARDS_MAX}")]


class LockedView(msgspec.Struct, frozen=True):
    """How many cards were open, and are locked now."""

    locked: int


class CardAskedView(msgspec.Struct, frozen=True):
    """What the payer reads before the PIN. `total`: amount and fee; the PIN has to come before `expires_at`.

    Attributes:
        tap: names this tap when the PIN follows.
        card: the end of the card's number.
        needs_proof: for this amount the card has to prove on a reader that it is there, before the PIN.
    """

    tap: UuidText
    card: str
    amount: Amount
    fee: AmountOrZero
    total: Amount
    needs_proof: bool
    expires_at: Moment


class CardAnswersBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the card has answered to the commands so far, each with its status word; none at first."""

    tap: UuidText
    answers: Annotated[list[Base64Url], msgspec.Meta(max_length=PROOF_COMMANDS)]


class CardCommandView(msgspec.Struct, frozen=True):
    """What the reader gives the card next; null once it has proved to be there."""

    command: Base64Url | None


class CardPinBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payer agrees: the `tap`, and the PIN, which is kept nowhere."""

    tap: UuidText
    pin: PinText


def card_view(card: Card) -> CardView:
    return CardView(uuid_text(card.id), card.label, card.state, moment_text(card.added_at), moment_text(card.used_at))


def asked_view(asked: Asked, amount: int, *, needs_proof: bool) -> CardAskedView:
    total, expires_at = amount + asked.fee, moment_text(asked.expires_at)
    return CardAskedView(uuid_text(asked.id), asked.card.label, amount, asked.fee, total, needs_proof, expires_at)
