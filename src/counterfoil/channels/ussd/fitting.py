"""What fits a phone's screen: 160 septets of GSM-7 or 80 units of UCS-2, and pages for what does not. Pure.

    text, then what can be chosen, then     9 More     unless it is the last page
                                            0 Back     unless nothing is behind it

Latin letters that GSM-7 lacks lose their accents, so that one ê does not make a screen of 160 into one of 80.

Source: GSM 04.80 §4 and 3GPP TS 23.038 §5 (160 octets, which hold 182 septets).
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from counterfoil.channels.sms.encoding import is_gsm7, plain_marks, septets, without_marks

SEPTETS_MAX = 160
"""Of one screen in GSM-7: networks carry 182, but some operators and gateways pass on no more than 160."""
UNITS_MAX = 80
"""Of one screen in UCS-2: 16 bits each."""
PIECES_MAX = 2_048
"""Lines that are remembered as they were measured: most of a screen is the same for everybody."""
NAME_SHOWN_MAX = 20
"""Characters of a name, an emoji counts two; a longer one ends in an ellipsis."""


def fits(text: str) -> bool:
    """Whether a text is one screen at most."""
    if is_gsm7(text):
        return len(septets(text)) <= SEPTETS_MAX
    return _units(text) <= UNITS_MAX


def writable(text: str) -> str:
    """The text as phones show it: without accents where that saves half a screen, else with plain quotation marks and spaces."""
    plain = without_marks(text)
    return plain if is_gsm7(plain) else plain_marks(text)


def cut(name: str, length_max: int = NAME_SHOWN_MAX) -> str:
    """A name or a note on one line, of at most `length_max` characters."""
    name = " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in name).split())
    if _units(name) <= length_max:
        return name
    while _units(name) >= length_max:
        name = name[:-1]
    return name.rstrip() + "…"


def pages(lines: Sequence[str], *, more: str, back: str) -> list[str]:
    """The lines on as few screens as hold them in this order, at least one. `more`, `back`: the lines at the end, "" for none.

    A line that is too long for a screen is broken between words, and a word between characters.
    """
    last = [_piece(back)] if back else []
    foot = [_piece(more), *last]
    pieces = [_piece(line) for text in lines for line in text.split("\n") if line]
    if _fit([*pieces, *last]):
        return [_written([*pieces, *last])]
    found: list[list[_Piece]] = [[]]
    for part in itertools.chain.from_iterable(_broken(piece, foot) for piece in pieces):
        if found[-1] and not _fit([*found[-1], part, *foot]):
            found.append([])
        found[-1].append(part)
    if len(found) > 1 and _fit([*found[-2], *found[-1], *last]):  # without `more` the last page has more room
        found[-2:] = [found[-2] + found[-1]]
    return [_written([*page, *(last if number == len(found) else foot)]) for number, page in enumerate(found, 1)]


class _Piece(NamedTuple):
    """A text in both alphabets, measured once. `small` None: it is not to be had in GSM-7."""

    small: str | None
    septets: int
    wide: str
    units: int


@functools.lru_cache(maxsize=PIECES_MAX)
def _piece(text: str) -> _Piece:
    small, wide = without_marks(text), plain_marks(text)
    if is_gsm7(small):
        return _Piece(small, len(septets(small)), wide, _units(wide))
    return _Piece(None, 0, wide, _units(wide))


def _fit(pieces: Sequence[_Piece]) -> bool:
    """Whether these are one screen at most, with one character between each two."""
    between = len(pieces) - 1
    if all(piece.small is not None for piece in pieces):
        return sum(piece.septets for piece in pieces) + between <= SEPTETS_MAX
    return sum(piece.units for piece in pieces) + between <= UNITS_MAX


def _written(pieces: Sequence[_Piece], between: str = "\n") -> str:
    small = [piece.small for piece in pieces if piece.small is not None]
    return between.join(small if len(small) == len(pieces) else [piece.wide for piece in pieces])


def _broken(line: _Piece, foot: Sequence[_Piece]) -> list[_Piece]:
    """The line in pieces, each of which has room on a screen with `foot`."""
    if _fit([line, *foot]):
        return [line]
    found: list[list[_Piece]] = [[]]
    for word in map(_piece, line.wide.split(" ")):
        parts = [word] if _fit([word, *foot]) else _halved(word, foot)
        for part in parts:
            if found[-1] and (len(parts) > 1 or not _fit([*found[-1], part, *foot])):
                found.append([])
            found[-1].append(part)
    return [_piece(_written(words, " ")) for words in found]


def _halved(word: _Piece, foot: Sequence[_Piece]) -> list[_Piece]:
    if len(word.wide) == 1 or _fit([word, *foot]):
        return [word]
    middle = len(word.wide) // 2
    return [*_halved(_piece(word.wide[:middle]), foot), *_halved(_piece(word.wide[middle:]), foot)]


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
