"""How long a text is on the air: the alphabet as the standard prints it, laws of parts, and marks as a typewriter has them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.sms.encoding import (
    DEFAULT,
    EXTENSION,
    GSM7_PART,
    GSM7_SINGLE,
    UCS2_PART,
    UCS2_SINGLE,
    Alphabet,
    is_gsm7,
    measure,
    plain_marks,
    septets,
    split,
    without_marks,
)

BASIC = [character for character in DEFAULT if character != "\x1b"]
gsm_texts = st.text(st.sampled_from([*BASIC, *EXTENSION]), max_size=700)
any_texts = st.text(max_size=400)

STANDARD = {
    0x00: "COMMERCIAL AT", 0x01: "POUND SIGN", 0x02: "DOLLAR SIGN", 0x03: "YEN SIGN", 0x04: "LATIN SMALL LETTER E WITH GRAVE",
    0x05: "LATIN SMALL LETTER E WITH ACUTE", 0x06: "LATIN SMALL LETTER U WITH GRAVE", 0x07: "LATIN SMALL LETTER I WITH GRAVE",
    0x08: "LATIN SMALL LETTER O WITH GRAVE", 0x09: "LATIN CAPITAL LETTER C WITH CEDILLA", 0x0B: "LATIN CAPITAL LETTER O WITH STROKE",
    0x0C: "LATIN SMALL LETTER O WITH STROKE", 0x0E: "LATIN CAPITAL LETTER A WITH RING ABOVE", 0x0F: "LATIN SMALL LETTER A WITH RING ABOVE",
    0x10: "GREEK CAPITAL LETTER DELTA", 0x11: "LOW LINE", 0x12: "GREEK CAPITAL LETTER PHI", 0x13: "GREEK CAPITAL LETTER GAMMA",
    0x14: "GREEK CAPITAL LETTER LAMDA", 0x15: "GREEK CAPITAL LETTER OMEGA", 0x16: "GREEK CAPITAL LETTER PI",
    0x17: "GREEK CAPITAL LETTER PSI", 0x18: "GREEK CAPITAL LETTER SIGMA", 0x19: "GREEK CAPITAL LETTER THETA", 0x1A: "GREEK CAPITAL LETTER XI",
    0x1C: "LATIN CAPITAL LETTER AE", 0x1D: "LATIN SMALL LETTER AE", 0x1E: "LATIN SMALL LETTER SHARP S",
    0x1F: "LATIN CAPITAL LETTER E WITH ACUTE", 0x24: "CURRENCY SIGN", 0x40: "INVERTED EXCLAMATION MARK",
    0x5B: "LATIN CAPITAL LETTER A WITH DIAERESIS", 0x5C: "LATIN CAPITAL LETTER O WITH DIAERESIS",
    0x5D: "LATIN CAPITAL LETTER N WITH TILDE", 0x5E: "LATIN CAPITAL LETTER U WITH DIAERESIS", 0x5F: "SECTION SIGN",
    0x60: "INVERTED QUESTION MARK", 0x7B: "LATIN SMALL LETTER A WITH DIAERESIS", 0x7C: "LATIN SMALL LETTER O WITH DIAERESIS",
    0x7D: "LATIN SMALL LETTER N WITH TILDE", 0x7E: "LATIN SMALL LETTER U WITH DIAERESIS", 0x7F: "LATIN SMALL LETTER A WITH GRAVE",
}  # fmt: skip
"""3GPP TS 23.038 §6.2.1, wherever a septet is not the same character in ASCII."""


def test_the_alphabet_is_the_standards() -> None:
    assert len(DEFAULT) == len(set(DEFAULT)) == 128
    for septet, character in enumerate(DEFAULT):
        if septet in STANDARD:
            assert unicodedata.name(character) == STANDARD[septet], hex(septet)
        elif septet != 0x1B:
            assert ord(character) == septet, hex(septet)
    assert not set(EXTENSION) & set(DEFAULT)
    assert len(set(EXTENSION.values())) == len(EXTENSION) == 10


@pytest.mark.parametrize(
    ("text", "alphabet", "units", "parts"),
    [
        ("", Alphabet.GSM7, 0, 1),
        ("a" * 160, Alphabet.GSM7, 160, 1),
        ("a" * 161, Alphabet.GSM7, 161, 2),
        ("a" * 306, Alphabet.GSM7, 306, 2),
        ("a" * 307, Alphabet.GSM7, 307, 3),
        ("€" * 80, Alphabet.GSM7, 160, 1),
        ("€" * 81, Alphabet.GSM7, 153 + 10, 2),
        ("€" * 152, Alphabet.GSM7, 153 + 152, 2),
        ("a" * 152 + "€" + "a" * 20, Alphabet.GSM7, 153 + 22, 2),
        ("하" * 70, Alphabet.UCS2, 70, 1),
        ("하" * 71, Alphabet.UCS2, 71, 2),
        ("하" * 134, Alphabet.UCS2, 134, 2),
        ("하" * 135, Alphabet.UCS2, 135, 3),
        ("a" * 159 + "ê", Alphabet.UCS2, 160, 3),
        ("😀" * 35, Alphabet.UCS2, 70, 1),
        ("😀" * 36, Alphabet.UCS2, 67 + 6, 2),
        ("`", Alphabet.UCS2, 1, 1),
        ("\x1b", Alphabet.UCS2, 1, 1),
    ],
)
def test_a_text_is_measured(text: str, alphabet: Alphabet, units: int, parts: int) -> None:
    assert measure(text) == (alphabet, units, parts)


@given(any_texts | gsm_texts)
def test_parts_are_the_text_and_each_fits_and_ends_on_a_whole_character(text: str) -> None:
    alphabet, units, parts = measure(text)
    found = split(text)
    assert "".join(found) == text
    assert len(found) == parts
    single, room = (GSM7_SINGLE, GSM7_PART) if alphabet is Alphabet.GSM7 else (UCS2_SINGLE, UCS2_PART)
    sizes = [len(septets(part)) if alphabet is Alphabet.GSM7 else len(part.encode("utf-16-be", "surrogatepass")) // 2 for part in found]
    assert all(size <= (single if parts == 1 else room) for size in sizes)
    assert units == sizes[-1] + room * (parts - 1)
    assert all(size >= room - 1 for size in sizes[:-1]), "no part is shorter than the next character forces"


@given(any_texts)
def test_one_character_outside_makes_it_ucs2_and_nothing_else_does(text: str) -> None:
    assert is_gsm7(text) == (measure(text)[0] is Alphabet.GSM7) == all(character in BASIC or character in EXTENSION for character in text)


@given(gsm_texts)
def test_septets_read_back_to_the_text(text: str) -> None:
    back, escaped = "", False
    by_septet = {septet: character for character, septet in EXTENSION.items()}
    for septet in septets(text):
        assert septet < 128
        if septet == 0x1B and not escaped:
            escaped = True
            continue
        back += by_septet[septet] if escaped else DEFAULT[septet]
        escaped = False
    assert back == text


@given(any_texts)
def test_leaving_marks_out_never_costs_an_alphabet_and_repeats_to_the_same(text: str) -> None:
    plain = without_marks(text)
    assert without_marks(plain) == plain
    assert not is_gsm7(text) or plain == text.replace("\t", " ")
    assert plain_marks(plain_marks(text)) == plain_marks(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ngũgĩ wa Thiong’o", "Ngugi wa Thiong'o"),
        ("Łódź, œuvre, Ñandú", "Lodz, oeuvre, Ñandu"),
        ("François à Orléans", "Francois à Orléans"),
        ("e\u0301te\u0301", "été"),
        ("Ẹ̀bùn Ọlá", "Ebùn Ola"),
        ("“Oui” … 1\u202f250", '"Oui" ... 1 250'),
        ("하은", "하은"),
        ("Зоя", "Зоя"),
    ],
)
def test_letters_that_the_alphabet_lacks_lose_their_accents_and_others_stay(text: str, plain: str) -> None:
    assert without_marks(text) == plain
