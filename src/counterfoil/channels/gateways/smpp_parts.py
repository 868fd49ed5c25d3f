"""Texts that come in parts, put together in whatever order they come. Pure: time arrives as an argument.

A text is kept until whoever asked says `done`, or for an hour. Its parts that come again after that are known by their content,
so that a text is told once; the same reference with other content is another text, since phones count only to 255.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable

from counterfoil.channels.gateways.smpp_pdu import Part

KEPT_NS = 3_600 * 1_000_000_000
"""An hour."""
TEXTS_MAX = 10_000
"""Texts of which something is kept; beyond, the oldest is forgotten."""
PARTS_MAX = 16
"""Parts of one text: nobody types a command of more than 2,000 characters."""


class _Text:
    """What is there of one text. `told`: it was handed on, and only hashes are left."""

    __slots__ = ("at", "parts", "told", "total")

    def __init__(self, total: int, at: int) -> None:
        self.total = total
        self.at = at
        self.parts: dict[int, bytes] = {}
        self.told: dict[int, bytes] = {}


class Parts:
    """The texts of one gateway."""

    def __init__(self) -> None:
        self._texts: OrderedDict[Hashable, _Text] = OrderedDict()

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, key: Hashable, part: Part, content: bytes, now_ns: int) -> bytes | None:
        """The whole content when this was what it lacked; None while parts are missing, b"" when it was told before.

        `key` says whose text it is: its sender, its receiver and its reference.
        """
        self._forget(now_ns)
        text = self._texts.get(key)
        if text is not None and text.told.get(part.number) == _hash(content) and text.total == part.total:
            return b""
        if text is None or text.told or text.total != part.total or text.parts.get(part.number, content) != content:
            text = self._texts[key] = _Text(part.total, now_ns)
            self._texts.move_to_end(key)
        text.parts[part.number] = content
        if len(text.parts) < text.total:
            return None
        return b"".join(text.parts[number] for number in range(1, text.total + 1))

    def done(self, key: Hashable) -> None:
        """The whole text is kept elsewhere: only what tells a repeat stays here."""
        text = self._texts.get(key)
        if text is not None:
            text.told = {number: _hash(content) for number, content in text.parts.items()}
            text.parts = {}

    def _forget(self, now_ns: int) -> None:
        while self._texts:
            oldest = next(iter(self._texts.values()))
            if len(self._texts) < TEXTS_MAX and oldest.at > now_ns - KEPT_NS:
                return
            self._texts.popitem(last=False)


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
