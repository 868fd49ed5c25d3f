"""How long a text is on the air: alphabet, units, parts. Pure.

    GSM-7      one part of 160 septets, or parts of 153; ^ { } \\ [ ~ ] | € and the form feed cost two
    UCS-2      one part of 70 units of 16 bits, or parts of 67; a character beyond U+FFFF costs two

One character outside GSM-7 makes the whole text UCS-2, and so more than twice as dear. A part never ends inside an extension
character or a surrogate pair: the unit that would be left over stays empty, and counts.

Source: 3GPP TS 23.038 V17.0.0 §6.2.1 (default alphabet) and §6.2.1.1 (extension table), TS 23.040 V17.3.0 §9.2.3.24.1
(concatenation: a header of six bytes in each part).
"""

from __future__ import annotations

import enum
import unicodedata
from typing import Final

GSM7_SINGLE: Final = 160
GSM7_PART: Final = 153
UCS2_SINGLE: Final = 70
UCS2_PART: Final = 67

DEFAULT: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet by its septets, 0 to 127. 0x1B, the escape to the extension table, is no character of its own."""
EXTENSION: Final = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
"""Characters that follow an escape, and their septets."""
ESCAPE: Final = 0x1B

_BASIC: Final = {character: septet for septet, character in enumerate(DEFAULT) if septet != ESCAPE}
_MARKS: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2015": "-",
        "\u2212": "-",
        "\u2026": "...",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u2007": " ",
        "\u200b": "",
        "\ufeff": "",
        **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", ""),
        "\t": " ",
    }
)
_LETTERS: Final = {
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "œ": "oe", "Œ": "OE", "ŋ": "ng",
    "Ŋ": "Ng", "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T", "ẞ": "SS", "ɓ": "b", "Ɓ": "B", "ɗ": "d", "Ɗ": "D", "ƙ": "k", "Ƙ": "K",
    "ƴ": "y", "Ƴ": "Y", "ɛ": "e", "Ɛ": "E", "ɔ": "o", "Ɔ": "O", "ʼ": "'", "ʻ": "'", "ə": "e", "Ə": "E",
}  # fmt: skip
"""Letters of Latin alphabets that Unicode does not take apart, as people write them where they have no others."""


class Alphabet(enum.StrEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


def measure(text: str) -> tuple[Alphabet, int, int]:
    """(alphabet, units, parts): septets or 16-bit units, empty ones at the ends of parts included. An empty text is one part."""
    if is_gsm7(text):
        units, parts = _packed([1 if character in _BASIC else 2 for character in text], GSM7_SINGLE, GSM7_PART)
        return Alphabet.GSM7, units, parts
    units, parts = _packed([2 if ord(character) > 0xFFFF else 1 for character in text], UCS2_SINGLE, UCS2_PART)
    return Alphabet.UCS2, units, parts


def is_gsm7(text: str) -> bool:
    """Whether every character is in the default alphabet or its extension table."""
    return all(character in _BASIC or character in EXTENSION for character in text)


def split(text: str) -> list[str]:
    """The text in the parts in which it is sent: joined they are the text, and there are as many as `measure` says."""
    alphabet, _, parts = measure(text)
    if parts == 1:
        return [text]
    room = GSM7_PART if alphabet is Alphabet.GSM7 else UCS2_PART
    found, part, used = [], "", 0
    for character in text:
        cost = _cost(character, alphabet)
        if used + cost > room:
            found.append(part)
            part, used = "", 0
        part += character
        used += cost
    return [*found, part]


def septets(text: str) -> bytes:
    """The text's septets, one in each byte. The caller has seen that it is GSM-7."""
    found = bytearray()
    for character in text:
        if character in _BASIC:
            found.append(_BASIC[character])
        else:
            found += bytes((ESCAPE, EXTENSION[character]))
    return bytes(found)


def plain_marks(text: str) -> str:
    """Typographers' quotation marks, dashes and spaces as a typewriter has them: they mean the same, and are in GSM-7.

    What turns the writing direction is left out: by it one text could be made to look like another.
    """
    return text.translate(_MARKS)


def without_marks(text: str) -> str:
    """Latin letters that GSM-7 lacks without their accents: ê is e, ł is l. Whatever has no such letter stays as it is."""
    found = []
    for character in unicodedata.normalize("NFC", plain_marks(text)):
        if character in _BASIC or character in EXTENSION:
            found.append(character)
        elif character in _LETTERS:
            found.append(_LETTERS[character])
        elif unicodedata.combining(character) and found and is_gsm7(found[-1]):
            continue  # a second mark, on a letter that has lost its first
        else:
            apart = unicodedata.normalize("NFKD", character)
            letters = "".join(each for each in apart if not unicodedata.combining(each))
            found.append(letters if letters and is_gsm7(letters) else character)
    return "".join(found)


def _cost(character: str, alphabet: Alphabet) -> int:
    if alphabet is Alphabet.GSM7:
        return 1 if character in _BASIC else 2
    return 2 if ord(character) > 0xFFFF else 1


def _packed(costs: list[int], single: int, part: int) -> tuple[int, int]:
    """(units, parts) when characters of these costs are put into parts in order, none over the edge of two."""
    total = sum(costs)
    if total <= single:
        return total, 1
    full, used = 0, 0
    for cost in costs:
        if used + cost > part:
            full, used = full + 1, 0
        used += cost
    return full * part + used, full + 1
