"""Under which number, handle, code and name people are known. Pure: each function gives the one normal form, or Malformed.

An address is what somebody types to say whom to pay: a phone number, `@handle`, or a merchant's code.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata

import phonenumbers

from counterfoil.errors import Malformed

NUMBER_SIZE_MAX = 32
"""Characters of a phone number as it is typed."""
NAME_LENGTH_MAX = 100
"""Characters (code points, NFC) of a display name."""
MARKS_MAX = 4
"""Combining marks in a row: more than any script needs, less than it takes to scribble over the neighbours."""
MERCHANT_CODE_SIZE = 7
"""Digits: six and a check digit."""
NUMBERS_MAX = 8_192
"""Numbers whose E.164 form is remembered, some 2 MB: the phones that are busy now."""
PIN_SIZE_MIN, PIN_SIZE_MAX = 4, 8

RESERVED_HANDLES = frozenset(
    "admin administrator agent bank cash counterfoil customer deposit fee fees founder help hall info issuance judge merchant "  # noqa: SIM905
    "money nobody official operator owner pay payment payments police refund root scheme security service settlement staff "
    "support system treasury trust wallet withdraw witness".split()
)
_ALLOWED_FORMAT_CHARACTERS = frozenset("\u200c\u200d")  # Persian and Indic scripts and joined emoji need them
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # fillers: letters by category, nothing by look
_SKELETON = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "_": None})


@functools.lru_cache(maxsize=NUMBERS_MAX)
def parse_number(text: str, region: str, field: str = "number") -> str:
    """The E.164 form ("+254712345678") of a phone number. One without country code is read as one of `region`, such as "KE"."""
    if not 0 < len(text) <= NUMBER_SIZE_MAX or re.search(r"[^0-9+()./ \-\u00a0\u2010-\u2015]", text):
        raise Malformed(field, "must be a phone number: digits, with + and the country code in front")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise Malformed(field, "must be a phone number: digits, with + and the country code in front") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise Malformed(field, "is not a number that exists in its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def masked_number(number: str) -> str:
    """The number as it may stand in a log: its last three digits."""
    return f"…{number[-3:]}"


def parse_handle(text: str, field: str = "handle") -> str:
    """The normal form of a handle, without the @: lower case, 3 to 20 of a-z, 0-9 and _, not only digits, not reserved."""
    handle = text.removeprefix("@").lower()
    if not re.fullmatch(r"[a-z0-9_]{3,20}", handle, re.ASCII):
        raise Malformed(field, "must be 3 to 20 letters a-z, digits or underscores")
    if not re.search(r"[a-z]", handle):
        raise Malformed(field, "must have at least one letter")
    if handle_skeleton(handle) in _RESERVED_SKELETONS:
        raise Malformed(field, "is reserved")
    return handle


def handle_skeleton(handle: str) -> str:
    """What is left of a handle once lookalikes are made equal (0 o, 1 l i, 5 s, rn m, vv w, no _). Must be unique, too."""
    return handle.translate(_SKELETON).replace("rn", "m").replace("vv", "w")


def parse_merchant_code(text: str, field: str = "merchant_code") -> str:
    """The 7 digits of a merchant code. A mistyped digit, or two neighbours exchanged, is refused by the check digit."""
    code = text.replace(" ", "").replace("-", "")
    if not re.fullmatch(rf"[0-9]{{{MERCHANT_CODE_SIZE}}}", code, re.ASCII):
        raise Malformed(field, f"must be {MERCHANT_CODE_SIZE} digits")
    if check_digit(code[:-1]) != code[-1]:
        raise Malformed(field, "has a digit that is not right")
    return code


def merchant_code(number: int) -> str:
    """The code of the `number`-th merchant, 100,000 to 999,999."""
    assert 100_000 <= number <= 999_999, number
    return f"{number}{check_digit(str(number))}"


def check_digit(digits: str) -> str:
    """Damm's check digit: finds every single wrong digit and every exchange of neighbours. Source: H. M. Damm, 2004."""
    state = 0
    for digit in digits:
        state = _DAMM[state][int(digit)]
    return str(state)


_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)
_RESERVED_SKELETONS = frozenset(handle_skeleton(word) for word in RESERVED_HANDLES)


def parse_address(text: str, region: str, field: str = "address") -> tuple[str, str]:
    """("handle" | "merchant_code" | "number", normal form) of what somebody typed.

    Seven digits whose check digit is right are a merchant's code; a phone number of seven digits needs its country code.
    """
    text = text.strip()
    if text.startswith("@"):
        return "handle", parse_handle(text, field)
    if re.fullmatch(r"[0-9]{7}", text, re.ASCII) and check_digit(text[:-1]) == text[-1]:
        return "merchant_code", text
    return "number", parse_number(text, region, field)


def parse_name(text: str, field: str = "name") -> str:
    """A display name in NFC, spaces trimmed: any script, emoji and right-to-left text, 1 to 100 characters.

    Refused: control characters, characters that turn the writing direction (they can make one name look like another),
    invisible fillers, lone surrogates, more than four combining marks in a row, and names with nothing to see.
    """
    if len(text) > 4 * NAME_LENGTH_MAX:  # before any work on it
        raise Malformed(field, f"must be at most {NAME_LENGTH_MAX} characters")
    marks, visible = 0, False
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs", "Co", "Zl", "Zp") or character in _INVISIBLE:
            raise Malformed(field, "must not contain control or invisible characters")
        if category == "Cf" and character not in _ALLOWED_FORMAT_CHARACTERS and not "\U000e0020" <= character <= "\U000e007f":
            raise Malformed(field, "must not contain control or invisible characters")
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > MARKS_MAX:
            raise Malformed(field, f"must not have more than {MARKS_MAX} marks on one letter")
        visible |= category[0] in "LNPS"
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not visible or not name:
        raise Malformed(field, "must have something to read")
    if len(name) > NAME_LENGTH_MAX:
        raise Malformed(field, f"must be at most {NAME_LENGTH_MAX} characters")
    return name


def parse_pin(text: str, field: str = "pin") -> str:
    """A PIN that may be set: 4 to 8 digits, neither all the same nor a run such as 1234 or 4321."""
    if not re.fullmatch(rf"[0-9]{{{PIN_SIZE_MIN},{PIN_SIZE_MAX}}}", text, re.ASCII):
        raise Malformed(field, f"must be {PIN_SIZE_MIN} to {PIN_SIZE_MAX} digits")
    steps = {(int(b) - int(a)) % 10 for a, b in itertools.pairwise(text)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        raise Malformed(field, "is too easy to guess")
    return text
