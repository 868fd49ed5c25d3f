"""What the scheme says by text message: for each kind of notice its sentences, what they are filled with, and how urgent they are.

English stands here; `i18n/sms.*.po` has the other languages. A test fills every sentence with the worst that can be said:

    codes and security    one part: 160 characters of GSM-7, or 70 where a language's letters need UCS-2
    everything else       at most two: 306 characters of GSM-7, or 134

French keeps to the letters of GSM-7 (é è à ù, not ê ç î): one ç makes a text twice as dear. Typographers' marks are put as a
typewriter has them. A name that somebody chose stays as they write it where that costs no further part; else Latin letters lose
their accents, and only then is the end of the name left out, as much as the budget asks for. Where amounts of seventeen digits leave no
room even so, the fee is not told: it stands in the receipt. Nothing else is ever shortened.
"""

from __future__ import annotations

import enum
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from counterfoil.channels.sms import answers
from counterfoil.channels.sms.commands import Action
from counterfoil.channels.sms.encoding import measure, plain_marks, without_marks
from counterfoil.clock import NANOSECONDS
from counterfoil.i18n import Language
from counterfoil.money import Currency
from counterfoil.parties.codes import LIFETIME_S as CODE_LIFETIME_S

Values = Mapping[str, str | int]

NAME_SHOWN_MAX: Final = 30
"""Characters of a name in a text: enough to know somebody, too few to write a letter in another's voice."""
NAME_SHOWN_MIN: Final = 2
"""Characters of a name that are left whatever else there is to say."""
OTHER_LIFETIME_S: Final = 3 * 86_400
"""Seconds after which a text that could not be sent is of no use any more: what it says stands in the account's history."""


ANSWER_LIFETIME_S: Final = 600
"""Seconds in which the code in an answer to a text is of use (`received.DRAFT_S`)."""


PARKING_LIFETIME_S: Final = 600
"""Seconds after which a reminder of a car park (`acceptance.parking.reminders`) comes too late."""


class Rank(enum.IntEnum):
    """How urgent a text is: lower ones go first. The order of texts to one number is kept within a rank."""

    SECURITY = 0
    """Codes, and what an owner has to know at once. Never counted, never held back."""
    MONEY = 1
    OTHER = 2
    """All else: so many a day to one number."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of text.

    Attributes:
        say: its sentences, some of which may be left out, in one language.
        secret: it holds something that nobody else may read: the text is removed once it has left.
        lifetime_s: seconds after the notice was written in which it is of use.
        name: the value that is a name, which somebody chose.
    """

    say: Callable[[Speaker, Values], list[str]]
    rank: Rank
    secret: bool = False
    lifetime_s: int = OTHER_LIFETIME_S
    name: str = "name"

    @property
    def parts_max(self) -> int:
        """What the text may cost."""
        return 1 if self.rank is Rank.SECURITY else 2


class Speaker:
    """One language, one currency, one place's time. `text` puts a sentence into words."""

    def __init__(self, language: Language, currency: Currency, zone: tzinfo = UTC) -> None:
        self.language = language
        self.currency = currency
        self.zone = zone

    def text(self, sentence: str, /, **values: object) -> str:
        return self.language.text(sentence, **values)

    def money(self, amount: str | int) -> str:
        return self.language.money(int(amount), self.currency)

    def moment(self, nanoseconds: str | int) -> str:
        """Month, day and time where the scheme is: the same in every language. The year is the reader's own."""
        return datetime.fromtimestamp(int(nanoseconds) // NANOSECONDS, self.zone).strftime("%m-%d %H:%M")


def text_of(kind: str, values: Values, speaker: Speaker) -> str:
    """The whole text of a notice. A KeyError names a kind that is not known, or a value that is missing."""
    shape = KINDS[kind]

    def said(name: str, **other: int) -> str:
        filled = {**values, shape.name: name, **other} if shape.name in values else values
        return plain_marks(" ".join(shape.say(speaker, filled)))

    def parts(name: str) -> int:
        return measure(said(name))[2]

    name = _shown(str(values.get(shape.name, "")))
    plain = without_marks(name)
    if parts(plain) < parts(name):
        name = plain
    if parts(name) > shape.parts_max and len(name) > NAME_SHOWN_MIN:
        sizes = range(NAME_SHOWN_MIN, len(name))
        fitting = bisect_right(sizes, shape.parts_max, key=lambda size: parts(_cut(name, size)))
        name = _cut(name, sizes[max(0, fitting - 1)])
    return said(name) if parts(name) <= shape.parts_max else said(name, fee=0)


def _shown(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= NAME_SHOWN_MAX else _cut(name, NAME_SHOWN_MAX)


def _cut(name: str, size: int) -> str:
    """At most `size` characters, and not half a letter: neither marks without theirs nor the half of an emoji that is joined."""
    kept, rest = name[:size], name[size:]
    if rest and (unicodedata.combining(rest[0]) or rest[0] == "\u200d" or "\ufe00" <= rest[0] <= "\ufe0f"):
        kept = kept[:-1]
    return kept.rstrip("\u200d").rstrip() or name[:1]


def _only(sentence: str) -> Callable[[Speaker, Values], list[str]]:
    return lambda speaker, values: [speaker.text(sentence, **values)]


def _code(speaker: Speaker, values: Values) -> list[str]:
    return [speaker.text(_CODES[str(values["purpose"])], code=values["code"], minutes=values["minutes"])]


def _recovery_started(speaker: Speaker, values: Values) -> list[str]:
    sentence = N_("A new phone can pay from your account from %(time)s. If this was not you, stop it now.")
    return [speaker.text(sentence, time=speaker.moment(values["effective_at"]))]


def _pin_allowed(speaker: Speaker, values: Values) -> list[str]:
    if values["per_day"] == 0:
        return [speaker.text(N_("Nothing can be paid from your account by PIN any more."))]
    sentence = N_("%(amount)s %(currency)s a day can be paid from your account by PIN. If this was not you, call us.")
    return [speaker.text(sentence, amount=speaker.money(values["per_day"]), currency=speaker.currency.code)]


def _moved(sentence: str, *, with_fee: bool = True) -> Callable[[Speaker, Values], list[str]]:
    """What happened, the fee if there was one, the balance or what is left of it to spend, when, and the code by which to look it up."""

    def say(speaker: Speaker, values: Values) -> list[str]:
        what = speaker.text(sentence, name=values["name"], amount=speaker.money(values["amount"]), currency=speaker.currency.code)
        said = [what]
        if with_fee and values["fee"]:
            said.append(speaker.text(N_("Fee %(fee)s."), fee=speaker.money(values["fee"])))
        # A receipt shows the balance: what is left of it to spend is another number, and goes by another name.
        left = N_("To spend %(balance)s.") if values.get("held") else N_("Balance %(balance)s.")
        said.append(speaker.text(left, balance=speaker.money(values["balance"])))
        said.append(speaker.moment(values["at"]))
        if values["receipt_code"]:
            said.append(speaker.text(N_("Receipt %(code)s"), code=values["receipt_code"]))
        return said

    return say


def _seen(sentence: str) -> Callable[[Speaker, Values], list[str]]:
    """What a watcher is told of a movement: as its holder, without the other side and without the balance."""

    def say(speaker: Speaker, values: Values) -> list[str]:
        said = [speaker.text(sentence, name=values["name"], amount=speaker.money(values["amount"]), currency=speaker.currency.code)]
        if values["fee"]:
            said.append(speaker.text(N_("Fee %(fee)s."), fee=speaker.money(values["fee"])))
        said.append(speaker.moment(values["at"]))
        if values["receipt_code"]:
            said.append(speaker.text(N_("Receipt %(code)s"), code=values["receipt_code"]))
        return said

    return say


def _until(sentence: str) -> Callable[[Speaker, Values], list[str]]:
    return lambda speaker, values: [speaker.text(sentence, **{**values, "time": speaker.moment(values["until"])})]


def _watch_asked(speaker: Speaker, values: Values) -> list[str]:
    sentence = N_("%(name)s asks you to watch over their account: you would be told when money moves in it.")
    yes, no = (answers.word(each, speaker.language) for each in (Action.ACCEPT, Action.DECLINE))
    return [speaker.text(sentence, name=values["name"]), speaker.text(N_("Text %(yes)s or %(no)s."), yes=yes, no=no)]


def _asked(speaker: Speaker, values: Values) -> list[str]:
    if not values["amount"]:
        return [speaker.text(N_("You are asked for money by %(name)s. Pay only whom you know."), name=values["name"])]
    sentence = N_("You are asked for %(amount)s %(currency)s by %(name)s. Pay only whom you know.")
    return [speaker.text(sentence, name=values["name"], amount=speaker.money(values["amount"]), currency=speaker.currency.code)]


def _said(speaker: Speaker, values: Values) -> list[str]:
    """What the scheme's staff wrote, in the reader's language: as it is, up to 300 characters."""
    return [str(values["text"])]


def _written(speaker: Speaker, values: Values) -> list[str]:
    """What somebody wrote, cut by `channels.held` to what two parts hold."""
    return [said_by(speaker.language, str(values["name"]), str(values["text"]))]


def said_by(language: Language, name: str, text: str) -> str:
    """A person's message as a text. It begins with our word: else whoever is called like a bank would write as the bank."""
    return language.text(N_("Message from %(name)s: %(text)s"), name=name, text=text)


def _answer(speaker: Speaker, values: Values) -> list[str]:
    """What was answered to a text, in words already."""
    return [str(values["text"])]


def N_(sentence: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    """Marks a sentence for the catalogues. It is translated where it is said."""
    return sentence


_CODES: Final = {
    "enrol": N_("%(code)s is your code to open an account, for %(minutes)s minutes. Tell nobody."),
    "recover": N_("%(code)s is your code to recover your account, for %(minutes)s minutes. Tell nobody."),
    "number": N_("%(code)s is your code for your new number, for %(minutes)s minutes. Tell nobody."),
}

KINDS: Final[dict[str, Kind]] = {
    "code": Kind(_code, Rank.SECURITY, secret=True, lifetime_s=CODE_LIFETIME_S),
    "number_changed": Kind(_only(N_("Your account has left this number. If this was not you, call us.")), Rank.SECURITY),
    "device_added": Kind(_only(N_("A new phone can pay from your account. If this was not you, call us.")), Rank.SECURITY),
    "device_revoked": Kind(_only(N_("A phone can no longer pay from your account. If this was not you, call us.")), Rank.SECURITY),
    "recovery_started": Kind(_recovery_started, Rank.SECURITY),
    "recovery_done": Kind(_only(N_("Only your new phone can pay from your account now. If this was not you, call us.")), Rank.SECURITY),
    "recovery_cancelled": Kind(_only(N_("No new phone will be added to your account: this was stopped.")), Rank.SECURITY),
    "pin_allowed": Kind(_pin_allowed, Rank.SECURITY),
    "card_added": Kind(_only(N_("The card %(card)s can pay from your account. If this was not you, call us.")), Rank.SECURITY),
    "frozen": Kind(_only(N_("Your account is frozen: nothing can leave it. Call us.")), Rank.SECURITY),
    "unfrozen": Kind(_only(N_("Your account is no longer frozen.")), Rank.SECURITY),
    "closed": Kind(_only(N_("Your account is closed.")), Rank.SECURITY),
    "welcome": Kind(_only(N_("Welcome, %(name)s. Your account is open. Tell nobody your PIN, not even us.")), Rank.OTHER),
    "slip": Kind(_only(N_("%(shop)s: receipt for %(amount)s, %(link)s")), Rank.OTHER, name="shop"),
    "paid": Kind(_moved(N_("You paid %(name)s %(amount)s %(currency)s.")), Rank.MONEY),
    "received": Kind(_moved(N_("You received %(amount)s %(currency)s from %(name)s.")), Rank.MONEY),
    "cash_in": Kind(_moved(N_("Cash in at %(name)s: %(amount)s %(currency)s.")), Rank.MONEY),
    "cash_out": Kind(_moved(N_("Cash out at %(name)s: %(amount)s %(currency)s.")), Rank.MONEY),
    "held": Kind(_moved(N_("Set aside for %(name)s: %(amount)s %(currency)s.")), Rank.MONEY),
    "captured": Kind(_moved(N_("%(name)s took %(amount)s %(currency)s that was set aside.")), Rank.MONEY),
    "released": Kind(_moved(N_("No longer set aside for %(name)s: %(amount)s %(currency)s."), with_fee=False), Rank.MONEY),
    "refunded": Kind(_moved(N_("%(name)s gave you back %(amount)s %(currency)s."), with_fee=False), Rank.MONEY),
    "taken_back": Kind(_moved(N_("Payment by %(name)s taken back: %(amount)s %(currency)s."), with_fee=False), Rank.MONEY),
    "given_back": Kind(_moved(N_("Payment to %(name)s taken back: %(amount)s %(currency)s."), with_fee=False), Rank.MONEY),
    "request_received": Kind(_asked, Rank.MONEY),
    "parking_ends": Kind(
        _until(N_("What is set aside for parking at %(name)s is enough until %(time)s. Leave by then, or set more aside.")),
        Rank.MONEY,
        lifetime_s=PARKING_LIFETIME_S,
    ),
    "sim_changed": Kind(
        _until(N_("Your number has another SIM: until %(time)s your PIN can pay little. If this was not you, call us.")), Rank.SECURITY
    ),
    "watcher_taken_away": Kind(
        _until(N_("%(name)s watches over your account until %(time)s only. If this was not you, call us.")), Rank.MONEY
    ),
    "watch_taken_away": Kind(_until(N_("%(name)s no longer wants you to watch. You are told everything until %(time)s.")), Rank.MONEY),
    "sim_change_lifted": Kind(_only(N_("Your PIN can pay as before. If this was not you, call us.")), Rank.SECURITY),
    "number_released": Kind(_only(N_("Your account has no number any more. Call us to give it one.")), Rank.SECURITY),
    "watcher_chosen": Kind(_only(N_("%(name)s was asked to watch over your account. If this was not you, call us.")), Rank.MONEY),
    "watcher_accepted": Kind(_only(N_("%(name)s watches over your account from now on.")), Rank.SECURITY),
    "watcher_declined": Kind(_only(N_("%(name)s does not want to watch over your account.")), Rank.SECURITY),
    "watcher_left": Kind(_only(N_("%(name)s no longer watches over your account.")), Rank.SECURITY),
    "watcher_kept": Kind(_only(N_("%(name)s goes on watching over your account.")), Rank.SECURITY),
    "watch_asked": Kind(_watch_asked, Rank.MONEY),
    "watch_kept": Kind(_only(N_("%(name)s wants you to go on watching.")), Rank.SECURITY),
    "watch_ended": Kind(_only(N_("You no longer watch over the account of %(name)s.")), Rank.SECURITY),
    "watched_pin_set": Kind(_only(N_("%(name)s: the PIN was set anew.")), Rank.SECURITY),
    "watched_pin_allowed": Kind(_only(N_("%(name)s: what PINs may take was changed.")), Rank.SECURITY),
    "watched_own_limits_set": Kind(_only(N_("%(name)s: the limits of the account were changed.")), Rank.SECURITY),
    "watched_frozen": Kind(_only(N_("%(name)s: the account is frozen.")), Rank.SECURITY),
    "watched_unfrozen": Kind(_only(N_("%(name)s: the account is no longer frozen.")), Rank.SECURITY),
    "watched_number_changed": Kind(_only(N_("%(name)s: the account has another phone number.")), Rank.SECURITY),
    "watched_number_released": Kind(_only(N_("%(name)s: the account has no phone number any more.")), Rank.SECURITY),
    "watched_device_added": Kind(_only(N_("%(name)s: a new phone can pay from the account.")), Rank.SECURITY),
    "watched_device_revoked": Kind(_only(N_("%(name)s: a phone can no longer pay from the account.")), Rank.SECURITY),
    "watched_recovery_started": Kind(_only(N_("%(name)s: somebody asked for a new phone to pay from the account.")), Rank.SECURITY),
    "watched_recovery_done": Kind(_only(N_("%(name)s: only the new phone can pay from the account now.")), Rank.SECURITY),
    "watched_recovery_cancelled": Kind(_only(N_("%(name)s: no new phone will be added, this was stopped.")), Rank.SECURITY),
    "watched_sim_changed": Kind(_only(N_("%(name)s: another SIM, so PINs pay little for some days.")), Rank.SECURITY),
    "watched_sim_change_lifted": Kind(_only(N_("%(name)s: after the change of SIM, the PIN can pay as before.")), Rank.SECURITY),
    "watched_closed": Kind(_only(N_("%(name)s: the account is closed.")), Rank.SECURITY),
    "watched_paid": Kind(_seen(N_("%(name)s paid %(amount)s %(currency)s.")), Rank.MONEY),
    "watched_received": Kind(_seen(N_("%(name)s received %(amount)s %(currency)s.")), Rank.MONEY),
    "watched_held": Kind(_seen(N_("%(name)s set aside %(amount)s %(currency)s.")), Rank.MONEY),
    "watched_released": Kind(_seen(N_("%(name)s: %(amount)s %(currency)s no longer set aside.")), Rank.MONEY),
    "announcement": Kind(_said, Rank.OTHER),
    "announcement_security": Kind(_said, Rank.SECURITY),
    "message": Kind(_written, Rank.OTHER),
    "answer": Kind(_answer, Rank.MONEY),
    "answer_secret": Kind(_answer, Rank.MONEY, secret=True, lifetime_s=ANSWER_LIFETIME_S),
}
"""Every kind that is told by text. What a notice of a kind brings: see where it is written."""
