"""Every text in every language, filled with the worst that can be said, fits its budget; nothing but names leaves GSM-7."""

from __future__ import annotations

import ast
import itertools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import counterfoil
from counterfoil.channels.sms.encoding import Alphabet, is_gsm7, measure, plain_marks
from counterfoil.channels.sms.texts import KINDS, NAME_SHOWN_MAX, NAME_SHOWN_MIN, Kind, Rank, Speaker, Values, text_of
from counterfoil.i18n import Language
from counterfoil.money import AMOUNT_MAX, Currency
from counterfoil.parties.journal import WATCHED
from counterfoil.parties.numbers import NAME_LENGTH_MAX

SOURCES = Path(counterfoil.__file__).parent
LANGUAGES = ("en", "ko", "fr")
CURRENCIES = (Currency("USD", 2, 840), Currency("KRW", 0, 410))
AT = 1_795_285_800_123_456_789
LINK = "https://money.counterfoil.example.org/r/" + "W" * 40
WORST: dict[str, str | int] = {
    "code": "888888", "minutes": 10, "effective_at": AT, "per_day": AMOUNT_MAX, "amount": AMOUNT_MAX, "fee": AMOUNT_MAX,
    "balance": AMOUNT_MAX, "at": AT, "receipt_code": "WWWW-WWWW-WWWW", "link": LINK, "label": "W" * 60, "until": AT, "reason": "W" * 400,
    "card": "WWWW",
}  # fmt: skip
NAMES = (
    "W" * NAME_LENGTH_MAX,
    "하" * NAME_LENGTH_MAX,
    "Ê" * NAME_LENGTH_MAX,
    "€" * NAME_LENGTH_MAX,
    "😀" * NAME_LENGTH_MAX,
    "Ж" * NAME_LENGTH_MAX,
    "i",
)
FREE = frozenset({"answer", "answer_secret", "announcement", "announcement_security", "message"})
"""Kinds whose words somebody else has chosen and measured: those of answers to texts, of staff, of people."""
SAID = sorted(set(KINDS) - FREE)


def filled(kind: str, name: str, **other: str | int) -> dict[str, str | int]:
    values = WORST | {"name": name, "shop": name, "purpose": "recover"} | other
    return values | {"amount": "92,233,720,368,547,758.07 USD"} if kind == "slip" else values


def speakers() -> Iterator[Speaker]:
    for code in LANGUAGES:
        for currency in CURRENCIES:
            yield Speaker(Language(code), currency, ZoneInfo("Africa/Nairobi"))


@pytest.mark.parametrize("kind", SAID)
def test_the_worst_that_can_be_said_fits_the_budget(kind: str) -> None:
    for speaker in speakers():
        for name in NAMES:
            for purpose in ("enrol", "recover", "number") if kind == "code" else ("enrol",):
                for held in (0, 1):
                    text = text_of(kind, filled(kind, name, purpose=purpose, held=held), speaker)
                    assert measure(text)[2] <= KINDS[kind].parts_max, (speaker.language.code, text)


@pytest.mark.parametrize("kind", SAID)
def test_english_and_french_leave_gsm7_only_for_a_name(kind: str) -> None:
    for speaker in speakers():
        if speaker.language.code != "ko":
            text = text_of(kind, filled(kind, "Ama", held=1), speaker)
            assert is_gsm7(text), {character for character in text if not is_gsm7(character)}


@pytest.mark.parametrize("kind", [kind for kind in SAID if KINDS[kind].rank is Rank.MONEY])
def test_everyday_amounts_leave_room_for_the_whole_name(kind: str) -> None:
    everyday = {"amount": 99_999_999, "fee": 99_999, "balance": 999_999_999, "held": 1}
    for code in LANGUAGES:
        for name in ("W" * (NAME_SHOWN_MAX - 5), "하" * 20):
            assert name in text_of(kind, filled(kind, name, **everyday), Speaker(Language(code), CURRENCIES[0]))


def test_codes_and_security_are_one_part_and_all_else_two() -> None:
    for name, kind in KINDS.items():
        assert kind.parts_max == (1 if kind.rank is Rank.SECURITY else 2), name
    assert KINDS["code"].secret
    assert KINDS["code"].lifetime_s == 600


def test_what_a_payment_says() -> None:
    values: Values = {"name": "Ama", "amount": 125_000, "fee": 150, "balance": 1_000, "at": AT, "receipt_code": "K7QM-2XRD-9FAB"}
    said = {code: text_of("paid", values, Speaker(Language(code), CURRENCIES[0], ZoneInfo("Africa/Nairobi"))) for code in LANGUAGES}
    assert said == {
        "en": "You paid Ama 1,250.00 USD. Fee 1.50. Balance 10.00. 11-21 21:30 Receipt K7QM-2XRD-9FAB",
        "fr": "Vous avez payé 1 250,00 USD à Ama. Frais 1,50. Solde 10,00. 11-21 21:30 Preuve K7QM-2XRD-9FAB",
        "ko": "Ama님에게 1,250.00 USD를 보냈어요. 수수료 1.50. 잔액 10.00. 11-21 21:30 영수증 K7QM-2XRD-9FAB",
    }
    held = {code: text_of("held", {**values, "held": 1}, Speaker(Language(code), CURRENCIES[0])) for code in LANGUAGES}
    assert ["To spend 10.00." in held["en"], "Reste 10,00." in held["fr"], "쓸 수 있는 돈 10.00." in held["ko"]] == [True] * 3
    without = text_of("paid", {**values, "fee": 0, "receipt_code": ""}, Speaker(Language("en"), CURRENCIES[0]))
    assert without == "You paid Ama 1,250.00 USD. Balance 10.00. 11-21 18:30"


def test_an_accent_stays_where_it_costs_no_part_and_goes_where_it_does() -> None:
    english = Speaker(Language("en"), CURRENCIES[0])
    assert text_of("request_received", {"name": "Zoë Ngũgĩ", "amount": 0}, english).startswith("You are asked for money by Zoë Ngũgĩ.")
    values: Values = {"name": "Zoë Ngũgĩ", "amount": 5_000, "fee": 0, "balance": 1_000, "at": AT, "receipt_code": "K7QM-2XRD-9FAB"}
    text = text_of("paid", values, english)
    assert text.startswith("You paid Zoe Ngugi 50.00")
    assert measure(text)[::2] == (Alphabet.GSM7, 1)
    assert text_of("paid", {**values, "name": "하은"}, english).startswith("You paid 하은 50.00")


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=NAME_LENGTH_MAX).filter(lambda name: any(unicodedata.category(c)[0] in "LN" for c in name)))
def test_no_name_breaks_a_budget_or_is_lost(name: str) -> None:
    for code in LANGUAGES:
        text = text_of("paid", filled("paid", name), Speaker(Language(code), CURRENCIES[0]))
        assert measure(text)[2] <= 2
        assert "\n" not in text
        start = plain_marks(" ".join(name.split()))[:1]
        assert len(text) > NAME_SHOWN_MIN
        assert not start.isascii() or start in text


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("kind", ["received", "request_received", "message"])
def test_what_a_stranger_can_cause_does_not_begin_with_the_strangers_words(code: str, kind: str) -> None:
    """Else somebody who is called "Your balance is 900.00 USD." writes under the scheme's name."""
    values = {**WORST, "name": "Your balance is 900.00 USD.", "amount": 1, "text": "Call 0700123456"}
    said = text_of(kind, values, Speaker(Language(code), CURRENCIES[0]))
    assert said.index("Your balance") > 5
    if kind != "message":
        assert said.replace(",", ".").index("0.01") < said.index("Your balance"), said


def test_nobody_turns_the_writing_direction_of_a_text() -> None:
    said = text_of("message", {"name": "Ama", "text": "\u202eknab eht\u2066\u2069"}, Speaker(Language("en"), CURRENCIES[0]))
    assert said == "Message from Ama: knab eht"
    assert is_gsm7(said)


def test_a_name_is_not_cut_within_a_letter() -> None:
    english = Speaker(Language("en"), CURRENCIES[0])
    family = "👩\u200d👩\u200d👧"
    for length in range(NAME_SHOWN_MAX - 8, NAME_SHOWN_MAX + 1):
        text = text_of("welcome", {"name": "W" * length + family + "e\u0301" * 9}, english)
        assert "\u200d." not in text
        assert not any(unicodedata.combining(after) and before in ", ." for before, after in itertools.pairwise(text))


# Every kind that anybody writes


def literals() -> Iterator[tuple[str, str]]:
    """Each kind of notice that the sources write by its literal name, and where."""
    place = {"send_sms": 3, "tell_everywhere": 3, "tell_nearest": 3}
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in place:
                argument = node.args[place[node.func.id]] if len(node.args) > place[node.func.id] else None
                for each in ast.walk(argument) if argument is not None else ():
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        yield each.value, f"{path.relative_to(SOURCES)}:{node.lineno}"


def test_every_kind_that_the_house_writes_has_its_text() -> None:
    written = dict(literals())
    assert {"code", "welcome", "slip", "frozen", "device_added", "recovery_started", "request_received"} <= set(written)
    missing = {kind: where for kind, where in written.items() if kind not in KINDS}
    assert not missing, missing
    assert not {f"watched_{kind}" for kind in WATCHED} - set(KINDS)


def test_a_kind_says_nothing_without_its_values() -> None:
    assert isinstance(KINDS["paid"], Kind)
    with pytest.raises(KeyError):
        text_of("paid", {"name": "Ama"}, Speaker(Language("en"), CURRENCIES[0]))
    with pytest.raises(KeyError):
        text_of("nothing_of_the_kind", {}, Speaker(Language("en"), CURRENCIES[0]))
