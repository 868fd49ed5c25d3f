"""Korean particles in translations: {을/를} after a word, by what a reader hears last. Pure. As static/phone/words.js.

    사과{을/를} -> 사과를    귤{을/를} -> 귤을    서울{으로/로} -> 서울로    3{을/를} -> 3을    Rose{을/를} -> Rose를

Hangul says it by its last consonant, digits by their Korean reading, Latin letters as Koreans read names: capitals one by
one, the rest by its last letters. Where nobody can say, both stand there: 을(를).

Source: Unicode 15 §3.12 (Hangul syllables); 한글 맞춤법 (2017-12) for 으로 after ㄹ.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

TOKEN = re.compile(r"%\((?P<name>\w+)\)s|(?P<percent>%%)|\{(?P<closed>[가-힣]+)/(?P<open>[가-힣]+)\}")
_AFTER = re.compile(r"[\s\"'’”»)\]}〉》」』.,!?…:;]+\Z")
_DIGITS = ("x", "ㄹ", "", "x", "", "", "x", "ㄹ", "ㄹ", "")
"""What 영, 일, 이, 삼, 사, 오, 육, 칠, 팔, 구 end in: nothing, ㄹ, or another consonant."""
_LETTERS = {"L": "ㄹ", "R": "ㄹ", "M": "x", "N": "x"}
_CAPITALS_MAX = 5


def filled(text: str, values: Mapping[str, object]) -> str:
    """`text` with %(name)s filled in and particles chosen. A KeyError names a value that is missing."""
    out, at = "", 0
    for token in TOKEN.finditer(text):
        out += text[at : token.start()]
        at = token.end()
        if token["percent"]:
            out += "%"
        elif token["name"]:
            out += str(values[token["name"]])
        else:
            out += particle(out, token["closed"], token["open"])
    return out + text[at:]


def particle(before: str, closed: str, opened: str) -> str:
    """`closed` after a consonant, `opened` after a vowel; 으로 gives way after ㄹ, too."""
    sound = _last_sound(before)
    if sound is None:
        return f"{closed}({opened})"
    return opened if sound == "" or (sound == "ㄹ" and closed.startswith("으")) else closed


def _last_sound(text: str) -> str | None:
    words = _AFTER.sub("", text).split()
    word = words[-1] if words else ""
    last = word[-1:]
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return "" if final == 0 else "ㄹ" if final == 8 else "x"
    if last.isascii() and last.isdigit():
        return _digits(word)
    if last == "%":
        return ""
    latin = re.search(r"[A-Za-zÀ-ɏ]+\Z", word)
    return _latin(latin[0]) if latin else None


def _digits(word: str) -> str:
    tail = re.search(r"(?P<before>[.,:/-])?(?P<digits>[0-9]+)\Z", re.sub(r",(?=[0-9]{3}(?![0-9]))", "", word))
    assert tail is not None, word
    zeros = re.search(r"[1-9](?P<zeros>0+)\Z", tail["digits"])
    if zeros is None or (tail["before"] or "") in (".", ":", "/", "-"):
        return _DIGITS[int(tail["digits"][-1])]
    return "" if 12 <= len(zeros["zeros"]) < 16 else "x"  # 십, 백, 천, 만, 억 and 경 are closed, 조 is open


def _latin(word: str) -> str:
    if word == word.upper() and len(word) <= _CAPITALS_MAX:
        return _LETTERS.get(word[-1], "")
    plain = "".join(each for each in unicodedata.normalize("NFD", word.lower()) if not "\u0300" <= each <= "\u036f")
    if plain.endswith("l"):
        return "ㄹ"
    return "x" if re.search(r"[mn]\Z|ng\Z|(\A|[^aeiouy])[aeiou](ck|[bckpt])\Z", plain) else ""
