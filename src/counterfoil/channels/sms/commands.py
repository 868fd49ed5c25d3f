"""What people write to us by text, taken apart. Pure.

A command is a word and what belongs to it, in any of our languages, whatever the holder's own is:

    PAY 0712 345 678 200 rice      송금 010-1234-5678 200      PAYER @ana 12,50

Forgiving: capitals, more spaces, full-width digits, dots and exclamation marks at the end, a decimal comma, the currency's code at
the amount, a number typed in groups. Two groups of digits alone, `4821 2580`, are the answer to a question: its code and the PIN.
What cannot be understood is `Action.UNKNOWN`; nothing is guessed. Nothing here is ever logged: a PIN may stand anywhere.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from typing import Final

import msgspec

from counterfoil.errors import Malformed
from counterfoil.parties.numbers import MERCHANT_CODE_SIZE, PIN_SIZE_MAX, PIN_SIZE_MIN, parse_number

TEXT_SIZE_MAX: Final = 640
"""Characters of a text that are looked at: four parts. What is longer is no command."""
NUMBER_GROUPS_MAX: Final = 6
"""Groups in which a number is typed."""
CODE_SIZE: Final = 4


class Action(enum.StrEnum):
    """What is asked for."""

    BALANCE = "balance"
    PAY = "pay"
    ASK = "ask"
    YES = "yes"
    NO = "no"
    CASH = "cash"
    LAST = "last"
    LOCK = "lock"
    UNLOCK = "unlock"
    WATCH = "watch"
    UNWATCH = "unwatch"
    WATCHERS = "watchers"
    ACCEPT = "accept"
    DECLINE = "decline"
    LEAVE = "leave"
    JOIN = "join"
    PIN = "pin"
    LANGUAGE = "language"
    HELP = "help"
    CONFIRM = "confirm"
    UNKNOWN = "unknown"


WORDS: Final[dict[Action, dict[str, tuple[str, ...]]]] = {
    Action.BALANCE: {"en": ("BAL", "BALANCE"), "ko": ("잔액",), "fr": ("SOLDE",)},
    Action.PAY: {"en": ("PAY", "SEND"), "ko": ("송금", "보내기", "지불"), "fr": ("PAYER", "PAYE", "ENVOYER")},
    Action.ASK: {"en": ("ASK", "REQ", "REQUEST"), "ko": ("요청",), "fr": ("DEMANDER", "DEMANDE")},
    Action.YES: {"en": ("YES", "Y"), "ko": ("네", "예"), "fr": ("OUI",)},
    Action.NO: {"en": ("NO", "N"), "ko": ("아니요", "아니오", "아뇨"), "fr": ("NON",)},
    Action.CASH: {"en": ("CASH", "WITHDRAW"), "ko": ("출금", "현금"), "fr": ("RETRAIT", "RETIRER")},
    Action.LAST: {"en": ("LAST", "HISTORY"), "ko": ("내역",), "fr": ("DERNIERS", "HISTORIQUE")},
    Action.LOCK: {"en": ("LOCK",), "ko": ("잠금",), "fr": ("BLOQUER", "VERROUILLER")},
    Action.UNLOCK: {"en": ("UNLOCK",), "ko": ("잠금해제", "해제"), "fr": ("DEBLOQUER", "DEVERROUILLER")},
    Action.WATCH: {"en": ("WATCH",), "ko": ("지킴이부탁",), "fr": ("VEILLEUR",)},
    Action.UNWATCH: {"en": ("UNWATCH",), "ko": ("지킴이빼기",), "fr": ("SANSVEILLEUR",)},
    Action.WATCHERS: {"en": ("WATCHERS",), "ko": ("지킴이",), "fr": ("VEILLEURS",)},
    Action.ACCEPT: {"en": ("ACCEPT", "AGREE"), "ko": ("수락",), "fr": ("ACCEPTER", "ACCEPTE")},
    Action.DECLINE: {"en": ("DECLINE",), "ko": ("거절",), "fr": ("REFUSER", "REFUSE")},
    Action.LEAVE: {"en": ("LEAVE",), "ko": ("지킴이그만",), "fr": ("QUITTER",)},
    Action.JOIN: {"en": ("JOIN", "REGISTER"), "ko": ("가입",), "fr": ("INSCRIRE", "INSCRIPTION")},
    Action.PIN: {"en": ("PIN",), "ko": ("비밀번호", "핀"), "fr": ("PIN",)},
    Action.LANGUAGE: {"en": ("LANG", "LANGUAGE"), "ko": ("언어",), "fr": ("LANGUE",)},
    Action.HELP: {"en": ("HELP", "?"), "ko": ("도움말", "도움"), "fr": ("AIDE",)},
}
"""The words of each action in each language: the first is the one that we tell people; all are understood by everybody."""
LANGUAGES: Final[dict[str, tuple[str, ...]]] = {
    "en": ("EN", "ENGLISH", "ANGLAIS", "영어"),
    "ko": ("KO", "KOREAN", "COREEN", "한국어"),
    "fr": ("FR", "FRENCH", "FRANCAIS", "프랑스어"),
}
"""Names of languages beside their codes."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One text, understood. What was not given is "".

    Attributes:
        spoken: the language of the command's word; "" for groups of digits, and for what is not understood.
        address: whom it is about, as typed: a number without spaces, `@handle` or a merchant's code.
        amount: as typed, with "." for a comma that can only be a decimal one.
        note: the rest of a payment. name: of somebody new. language: the code of the one that is wished for.
        code, pin: of an answer to our question, or a PIN alone. new_pin: the third group of such an answer.
    """

    action: Action
    spoken: str = ""
    address: str = ""
    amount: str = ""
    note: str = ""
    name: str = ""
    language: str = ""
    code: str = ""
    pin: str = ""
    new_pin: str = ""

    def __repr__(self) -> str:
        """For logs and traces: no PIN, and nothing of what was written."""
        return f"Command({self.action.value})"


def parse(text: str, *, region: str, currency: str) -> Command:
    """What a text asks for. `region`: of numbers without country code, such as "KE"; `currency`: the code that may stand at amounts."""
    if len(text) > TEXT_SIZE_MAX:
        return Command(action=Action.UNKNOWN)
    words = _tidy(text).split()
    if not words:
        return Command(action=Action.UNKNOWN)
    if len(words) in (2, 3) and _is_code(words[0]) and all(_is_pin(word) for word in words[1:]):
        return Command(action=Action.CONFIRM, code=words[0], pin=words[1], new_pin="".join(words[2:]))
    first, rest = words[0], words[1:]
    action, spoken = _MEANT.get(_key(first), (Action.UNKNOWN, ""))
    if action in (Action.PAY, Action.ASK, Action.CASH):
        address, rest = _address(rest, region)
        rest = [word for word in rest if _key(word) != currency]
        amount = _amount(rest[0], currency) if rest and address else ""
        return Command(action=action, spoken=spoken, address=address, amount=amount, note=" ".join(rest[1:]) if amount else "")
    if action in (Action.WATCH, Action.UNWATCH, Action.ACCEPT, Action.DECLINE, Action.LEAVE):
        return Command(action=action, spoken=spoken, address=_address(rest, region)[0])
    if action in (Action.BALANCE, Action.LAST, Action.PIN, Action.LOCK, Action.WATCHERS):
        return Command(action=action, spoken=spoken, pin=rest[0] if len(rest) == 1 and _is_pin(rest[0]) else "")
    if action is Action.YES:
        return Command(action=action, spoken=spoken, amount=_amount(rest[0], currency) if rest else "")
    if action is Action.JOIN:
        return Command(action=action, spoken=spoken, name=" ".join(rest))
    if action is Action.LANGUAGE:
        return Command(action=action, spoken=spoken, language=_language(rest[0]) if rest else "")
    if action is Action.NO and rest:
        return Command(action=Action.UNKNOWN)  # "no thank you": somebody speaks to a person
    return Command(action=action, spoken=spoken)


def _tidy(text: str) -> str:
    """In NFKC, so that full-width digits and letters are plain ones; the invisible marks around pasted numbers are gone."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(each for each in plain if unicodedata.category(each) != "Cf").strip(' \t\r\n.!,;:"“”«»')


def _key(word: str) -> str:
    """A word as the tables have it: capitals, no accents, nothing at its ends."""
    plain = unicodedata.normalize("NFD", word.upper())
    letters = "".join(each for each in plain if not unicodedata.combining(each))
    return unicodedata.normalize("NFC", letters).strip(".,;:!") or word


_MEANT: Final = {
    _key(word): (action, code) for action, spoken in WORDS.items() for code, words in reversed(spoken.items()) for word in words
}
_NAMED: Final = {_key(word): code for code, words in LANGUAGES.items() for word in words}


def _language(word: str) -> str:
    """The code of a language that is named, or of any that is called by its two or three letters."""
    return _NAMED.get(_key(word), word.lower() if re.fullmatch(r"[A-Za-z]{2,3}", word, re.ASCII) else "")


def _is_code(word: str) -> bool:
    return re.fullmatch(rf"[0-9]{{{CODE_SIZE}}}", word, re.ASCII) is not None


def _is_pin(word: str) -> bool:
    return re.fullmatch(rf"[0-9]{{{PIN_SIZE_MIN},{PIN_SIZE_MAX}}}", word, re.ASCII) is not None


def _address(words: list[str], region: str) -> tuple[str, list[str]]:
    """Whom it is about, and what follows. "" where nothing can be one.

    The first word alone where it is a handle, a code's seven digits or a whole number; else as few words as make a number together.
    """
    if not words:
        return "", []
    first = words[0]
    if first.startswith("@") or re.fullmatch(rf"[0-9]{{{MERCHANT_CODE_SIZE}}}", first, re.ASCII):
        return first, words[1:]
    for size in range(1, min(len(words), NUMBER_GROUPS_MAX) + 1):
        together = "".join(words[:size])
        if not re.fullmatch(r"[+0-9()./\-\u2010-\u2015]{1,32}", together):
            break
        try:
            parse_number(together, region)
        except Malformed:
            continue
        return together, words[size:]
    return first, words[1:]  # as typed, to be told that nobody has it


def _amount(word: str, currency: str) -> str:
    """An amount as typed, without the currency's code, and with a point for a comma before one or two digits."""
    amount = _key(word).removeprefix(currency).removesuffix(currency).removesuffix("원").strip()
    return re.sub(r"^([0-9]+),([0-9]{1,2})$", r"\1.\2", amount)
