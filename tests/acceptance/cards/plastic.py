"""A card in somebody's hand, made with a scheme's own keys."""

from __future__ import annotations

import itertools

from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.folder import card_secret
from tests.acceptance.cards.tag import Tag
from tests.acceptance.cards.test_personalise import make, tapped
from tests.scheme import Scheme

uids = itertools.count(1)


class Plastic:
    """One that nobody has, so far."""

    def __init__(self, scheme: Scheme) -> None:
        self.tag = Tag(b"\x04" + next(uids).to_bytes(6))
        make(self.tag, BatchKeys(card_secret(scheme.services.config.folder, scheme.clock)))

    def tap(self) -> dict[str, str]:
        """What it says now: another word each time."""
        e, c = tapped(self.tag)
        return {"e": e, "c": c}

    @property
    def label(self) -> str:
        """The end of its number, as its holder sees it."""
        return self.tag.uid[-2:].hex().upper()
