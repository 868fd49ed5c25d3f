"""What we answer to texts, in the sender's language. Pure: English stands here, i18n/sms_commands.*.po has the others.

An answer is at most two parts (306 characters of GSM-7, or 134): a name gives way first, then the oldest lines of a list.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from counterfoil.channels.sms.commands import WORDS, Action
from counterfoil.channels.sms.encoding import measure, plain_marks
from counterfoil.i18n import Language

PARTS_MAX: Final = 2
NAME_SHOWN_MAX: Final = 24
NAME_SHOWN_MIN: Final = 3
"""Characters of a name in an answer."""
NOTE_SHOWN_MAX: Final = 30
"""Characters of a note that somebody else wrote: too few to write a letter in our name."""


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


PAY: Final = N_("Pay %(name)s %(amount)s, fee %(fee)s, in all %(total)s? Text back %(code)s and your PIN within 10 minutes.")
CASH: Final = N_("Cash %(amount)s at %(name)s, fee %(fee)s, in all %(total)s? Text back %(code)s and your PIN within 10 minutes.")
ASK: Final = N_("Ask %(name)s for %(amount)s? Text back %(code)s and your PIN within 10 minutes.")
CASH_IN: Final = N_("Ask %(name)s to take %(amount)s of cash from you? Text back %(code)s and your PIN within 10 minutes.")
JOIN: Final = N_("Welcome, %(name)s. Text back %(code)s and a PIN of your own, 4 to 8 digits, within 10 minutes. Then delete that text.")
NOTE: Final = N_("Their note: %(note)s")
ASKED: Final = N_("You have asked %(name)s for %(amount)s.")
DECLINED: Final = N_("You have said no to %(name)s.")
BALANCE: Final = N_("Balance %(balance)s.")
HELD: Final = N_("%(held)s of it is set aside.")
NOTHING_YET: Final = N_("Nothing has been paid yet.")
NOT_ASKED: Final = N_("Nobody is asking you for money now.")
LOCKED: Final = N_("Your account pays nobody now. To unlock it, text %(word)s or dial our menu.")
UNLOCK: Final = N_("Unlock your account, so that it pays again? Text back %(code)s and your PIN within 10 minutes.")
NOT_LOCKED: Final = N_("Your account is not locked.")
LANGUAGE: Final = N_("From now on we write to you in English.")
WHICH_LANGUAGE: Final = N_("Text %(word)s and one of %(codes)s.")
WITH_PIN: Final = N_("Text %(word)s and your PIN after it. Then delete that text.")
USAGE: Final = N_("Text %(word)s, a number and an amount.")
USAGE_JOIN: Final = N_("Text %(word)s and your name.")
NO_ACCOUNT: Final = N_("This number has no account. To open one, text %(word)s and your name.")
HAS_ACCOUNT: Final = N_("This number has an account already.")
NEW_PIN: Final = N_(
    "Another PIN? Text back %(code)s, your PIN and the new one of 4 to 8 digits, with spaces, within 10 minutes. Then delete that text."
)
EASY_NEW_PIN: Final = N_("This PIN is too easy to guess. Text back the code, your PIN and another new one.")
PIN_CHANGED: Final = N_("Your PIN is changed. Tell it to nobody.")
EASY_PIN: Final = N_("This PIN is too easy to guess. Begin again: text %(word)s and your name.")
BAD_NAME: Final = N_("This name cannot be used. Text %(word)s and your name.")
WRONG_CODE: Final = N_("This code is wrong or too old. Nothing was done: begin again.")
TOO_MANY_CODES: Final = N_("Too many wrong codes. Nothing can be begun by text for an hour.")
NOTHING_DONE: Final = N_("Nothing was done.")
UNKNOWN: Final = N_("We did not understand that. Text %(word)s to see what you can write.")
WATCH: Final = N_(
    "Ask %(name)s to watch? They would be told when money moves in your account, and how much. "
    "Text back %(code)s and your PIN within 10 minutes."
)
UNASK: Final = N_("No longer ask %(name)s to watch? Text back %(code)s and your PIN within 10 minutes.")
UNWATCH: Final = N_(
    "Take %(name)s away? They hear of it at once, and of all that happens for %(hours)s h more. "
    "Text back %(code)s and your PIN within 10 minutes."
)
ACCEPT: Final = N_(
    "Watch over the account of %(name)s? You would be told when money moves in it. Text back %(code)s and your PIN within 10 minutes."
)
LEAVE: Final = N_("Watch over the account of %(name)s no more? They hear of it. Text back %(code)s and your PIN within 10 minutes.")
UNASKED: Final = N_("%(name)s is no longer asked to watch.")
LEFT: Final = N_("You no longer watch over the account of %(name)s.")
WATCHES: Final = N_("%(name)s watches over you.")
WATCHES_UNTIL: Final = N_("%(name)s watches over you until %(time)s.")
IS_ASKED: Final = N_("%(name)s was asked to watch over you.")
YOU_WATCH: Final = N_("You watch over %(name)s.")
YOU_WATCH_UNTIL: Final = N_("You watch over %(name)s until %(time)s.")
ASKS_YOU: Final = N_("%(name)s asks you to watch.")
NO_WATCHERS: Final = N_("Nobody watches over you, and you watch over nobody.")
NOBODY_ASKS: Final = N_("Nobody is asking you to watch now.")
NOT_YOURSELF: Final = N_("Choose somebody else than yourself.")
USAGE_WATCH: Final = N_("Text %(word)s and the number of who is to watch over your account.")
WHICH_WATCHER: Final = N_("Text %(word)s and the number of somebody who watches over you.")
WHICH_WATCHED: Final = N_("Text %(word)s and the number of somebody over whom you watch.")
HELP: Final = N_(
    "%(pay)s number amount. %(ask)s number amount. %(cash)s agent amount. %(yes)s or %(no)s when asked. %(balance)s PIN. %(last)s PIN. "
    "%(lock)s PIN. %(unlock)s. %(pin)s changes it. %(watch)s number. %(watchers)s PIN. %(language)s."
)


def word(action: Action, language: Language) -> str:
    """The word that we tell people for an action, in their language; English where it has none of its own."""
    return WORDS[action].get(language.code, WORDS[action]["en"])[0]


def codes_of(offered: Sequence[str]) -> str:
    """How the languages that are offered are written in a text: "EN, KO, FR"."""
    return ", ".join(code.upper() for code in offered)


def help_text(language: Language) -> str:
    """Every command, in the words of the language."""
    shown = set(WORDS) - {Action.JOIN, Action.HELP, Action.UNWATCH, Action.ACCEPT, Action.DECLINE, Action.LEAVE}
    return language.text(HELP, **{action.value: word(action, language) for action in shown})


def named(say: Callable[[str], str], name: str) -> str:
    """A sentence with a name in it, which is cut as far as the sentence needs the room."""
    shown = " ".join(name.split())[:NAME_SHOWN_MAX].rstrip()
    while len(shown) > NAME_SHOWN_MIN and parts(say(shown)) > PARTS_MAX:
        shown = shown[:-1].rstrip()
    return plain_marks(say(shown))


def noted(text: str, note: str, language: Language) -> str:
    """A text and the note of whoever asks, which is left out where there is no room for it."""
    plain = "".join(each for each in " ".join(note.split()) if unicodedata.category(each)[0] != "C")
    shown = plain if len(plain) <= NOTE_SHOWN_MAX else f"{plain[: NOTE_SHOWN_MAX - 3].rstrip()}..."
    whole = f"{text} {plain_marks(language.text(NOTE, note=shown))}"
    return whole if shown and parts(whole) <= PARTS_MAX else text


def listed(lines: Sequence[str]) -> str:
    """Lines under each other, as many of the first as fit."""
    kept = list(lines)
    while len(kept) > 1 and parts("\n".join(kept)) > PARTS_MAX:
        kept.pop()
    return plain_marks("\n".join(kept))


def parts(text: str) -> int:
    """Parts of a text as it is sent."""
    return measure(plain_marks(text))[2]
