"""What names a stay besides its ticket: a plate, or a card that was tapped at the gate."""

from __future__ import annotations

import unicodedata
from typing import Final

from sqlalchemy import Connection

from counterfoil.acceptance.cards.ntag424 import Tap
from counterfoil.acceptance.cards.paying import TAP_LIFETIME_S
from counterfoil.acceptance.cards.registry import CardState, card_of, take
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import CardLocked, Malformed
from counterfoil.ids import id_text

PLATE_SIZE_MIN: Final = 2
PLATE_SIZE_MAX: Final = 12
_PLATE: Final = "plate "


def of_plate(plate: str) -> str:
    """The mark of a plate: its letters and digits alone, of any script, capitals. Malformed for what has fewer than 2 or more than 12."""
    text = "".join(character for character in unicodedata.normalize("NFKC", plate).upper() if character.isalnum())
    if not PLATE_SIZE_MIN <= len(text) <= PLATE_SIZE_MAX:
        raise Malformed("plate", f"must have {PLATE_SIZE_MIN} to {PLATE_SIZE_MAX} letters and digits")
    return _PLATE + text


def plate_of(mark: str | None) -> str | None:
    return mark.removeprefix(_PLATE) if mark is not None and mark.startswith(_PLATE) else None


def of_tap(connection: Connection, tap: Tap, now: int, *, again: bool = False) -> str:
    """The mark of a card; the tap is taken in the caller's transaction. CardUnknown, CardLocked, TapUsed.

    `again`: the newest tap may come once more for five minutes, as from a gate that has not heard the answer.
    """
    card = card_of(connection, tap)
    if card.state is not CardState.ACTIVE:
        raise CardLocked
    if not (again and card.counter == tap.counter and now < card.used_at + TAP_LIFETIME_S * NANOSECONDS):
        take(connection, card, tap, now)
    return id_text(card.id)
