"""What is understood of what people write, and that nothing they can write is anything but understood or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.sms import answers
from counterfoil.channels.sms.answers import PARTS_MAX, codes_of, help_text, listed, named, parts, word
from counterfoil.channels.sms.commands import LANGUAGES, TEXT_SIZE_MAX, WORDS, Action, Command, parse
from counterfoil.channels.sms.encoding import is_gsm7
from counterfoil.i18n import Language

UNDERSTOOD = [
    ("BAL", Command(action=Action.BALANCE, spoken="en")),
    ("  bal.  ", Command(action=Action.BALANCE, spoken="en")),
    ("BAL 2580", Command(action=Action.BALANCE, spoken="en", pin="2580")),
    ("Solde 2580", Command(action=Action.BALANCE, spoken="fr", pin="2580")),
    ("잔액 2580", Command(action=Action.BALANCE, spoken="ko", pin="2580")),
    ("bal 258", Command(action=Action.BALANCE, spoken="en")),
    ("bal 123456789", Command(action=Action.BALANCE, spoken="en")),
    ("PAY 0712345678 200", Command(action=Action.PAY, spoken="en", address="0712345678", amount="200")),
    ("pay 0712 345 678 200 for rice", Command(action=Action.PAY, spoken="en", address="0712345678", amount="200", note="for rice")),
    ("Pay +254 712-345-678 KES 20", Command(action=Action.PAY, spoken="en", address="+254712-345-678", amount="20")),
    ("send @ana 200kes", Command(action=Action.PAY, spoken="en", address="@ana", amount="200")),
    ("payer @ana 12,50", Command(action=Action.PAY, spoken="fr", address="@ana", amount="12.50")),
    ("PAYÉ @ana 1,250", Command(action=Action.PAY, spoken="fr", address="@ana", amount="1,250")),
    ("송금 0712345678 5,000원 점심", Command(action=Action.PAY, spoken="ko", address="0712345678", amount="5,000", note="점심")),
    ("ＰＡＹ　０７１２３４５６７８　２００", Command(action=Action.PAY, spoken="en", address="0712345678", amount="200")),
    ("pay \u202a+254712345678\u202c 9", Command(action=Action.PAY, spoken="en", address="+254712345678", amount="9")),
    ("pay 1000009 5", Command(action=Action.PAY, spoken="en", address="1000009", amount="5")),
    ("pay", Command(action=Action.PAY, spoken="en")),
    ("pay 0712345678", Command(action=Action.PAY, spoken="en", address="0712345678")),
    ("ask 0712345678 30", Command(action=Action.ASK, spoken="en", address="0712345678", amount="30")),
    ("retrait 1000009 100", Command(action=Action.CASH, spoken="fr", address="1000009", amount="100")),
    ("yes", Command(action=Action.YES, spoken="en")),
    ("Oui 50", Command(action=Action.YES, spoken="fr", amount="50")),
    ("네", Command(action=Action.YES, spoken="ko")),
    ("No!", Command(action=Action.NO, spoken="en")),
    ("no thank you", Command(action=Action.UNKNOWN)),
    ("4821 2580", Command(action=Action.CONFIRM, code="4821", pin="2580")),
    ("４８２１　２５８０", Command(action=Action.CONFIRM, code="4821", pin="2580")),
    ("4821 2580 13579", Command(action=Action.CONFIRM, code="4821", pin="2580", new_pin="13579")),
    ("4821 2580 135", Command(action=Action.UNKNOWN)),
    ("4821 2580 13579 1", Command(action=Action.UNKNOWN)),
    ("débloquer", Command(action=Action.UNLOCK, spoken="fr")),
    ("4821 25", Command(action=Action.UNKNOWN)),
    ("48212580", Command(action=Action.UNKNOWN)),
    ("JOIN Ama Mensah", Command(action=Action.JOIN, spoken="en", name="Ama Mensah")),
    ("가입 김하은", Command(action=Action.JOIN, spoken="ko", name="김하은")),
    ("lang français", Command(action=Action.LANGUAGE, spoken="en", language="fr")),
    ("언어 한국어", Command(action=Action.LANGUAGE, spoken="ko", language="ko")),
    ("LANG xx", Command(action=Action.LANGUAGE, spoken="en", language="xx")),
    ("LANG klingonese", Command(action=Action.LANGUAGE, spoken="en")),
    ("Watch 0712 345 678", Command(action=Action.WATCH, spoken="en", address="0712345678")),
    ("veilleur @ana", Command(action=Action.WATCH, spoken="fr", address="@ana")),
    ("지킴이빼기 010-1234-5678", Command(action=Action.UNWATCH, spoken="ko", address="010-1234-5678")),
    ("UNWATCH", Command(action=Action.UNWATCH, spoken="en")),
    ("WATCHERS 2580", Command(action=Action.WATCHERS, spoken="en", pin="2580")),
    ("지킴이 2580", Command(action=Action.WATCHERS, spoken="ko", pin="2580")),
    ("Accepte.", Command(action=Action.ACCEPT, spoken="fr")),
    ("수락", Command(action=Action.ACCEPT, spoken="ko")),
    ("DECLINE +254712345678", Command(action=Action.DECLINE, spoken="en", address="+254712345678")),
    ("quitter 1234567", Command(action=Action.LEAVE, spoken="fr", address="1234567")),
    ("?", Command(action=Action.HELP, spoken="en")),
    ("AIDE", Command(action=Action.HELP, spoken="fr")),
    ("", Command(action=Action.UNKNOWN)),
    (" . ", Command(action=Action.UNKNOWN)),
    ("Hello, how are you?", Command(action=Action.UNKNOWN)),
    ("pay" + " 1" * TEXT_SIZE_MAX, Command(action=Action.UNKNOWN)),
]


def understood(text: str) -> Command:
    return parse(text, region="KE", currency="KES")


@pytest.mark.parametrize(("text", "command"), UNDERSTOOD)
def test_what_people_write_is_understood(text: str, command: Command) -> None:
    assert understood(text) == command


def test_no_word_means_two_things_and_each_is_understood() -> None:
    meant: dict[str, Action] = {}
    for action, spoken in WORDS.items():
        assert set(spoken) == set(LANGUAGES)
        for words in spoken.values():
            for each in words:
                assert meant.setdefault(each, action) is action, each
                for written in (each, each.lower(), f" {each}. "):
                    assert understood(written).action is action, written


@given(st.text(max_size=200))
def test_nothing_that_can_be_written_is_too_much(text: str) -> None:
    command = understood(text)
    assert command.action in Action
    assert repr(command) == f"Command({command.action.value})"


@given(st.sampled_from([each for words in WORDS.values() for spoken in words.values() for each in spoken]), st.text(max_size=60))
def test_whatever_stands_behind_a_word_is_no_more_than_that(first: str, rest: str) -> None:
    command = understood(f"{first} {rest}")
    written = " ".join(rest.split())
    for part in (command.pin, command.code):
        assert part == "" or (part.isascii() and part.isdigit() and 4 <= len(part) <= 8)
    assert len(command.note) + len(command.name) <= 4 * len(written) + 4


@given(st.integers(0, 9_999), st.integers(1_000, 99_999_999))
def test_two_groups_of_digits_are_an_answer_and_nothing_else(code: int, pin: int) -> None:
    command = understood(f"{code:04} {pin}")
    assert (command.action, command.code, command.pin) == (Action.CONFIRM, f"{code:04}", str(pin))


# What is answered

SENTENCES = {name: text for name, text in vars(answers).items() if name.isupper() and isinstance(text, str)}
WORST = {"amount": "999 999 999,99 KES", "fee": "9 999 999,99 KES", "total": "999 999 999,99 KES", "balance": "999 999 999,99 KES",
         "held": "999 999 999,99 KES", "code": "0000", "codes": codes_of(["en", "ko", "fr"]), "word": "DEVERROUILLER", "note": "W" * 30,
         "hours": "720", "time": "12-31 23:59"}  # fmt: skip


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_answer_is_two_parts_at_most_whatever_is_said(code: str) -> None:
    language = Language(code)
    assert parts(help_text(language)) <= PARTS_MAX
    assert len(SENTENCES) > 20
    for name, sentence in SENTENCES.items():
        if sentence is answers.HELP:
            continue
        for who in ("Ama", "Ñ" * 100, "김하은" * 30, "A\u0301" * 50):
            said = named(lambda shown, sentence=sentence: language.text(sentence, **WORST, name=shown), who)  # type: ignore[misc]
            assert parts(said) <= PARTS_MAX, (name, said)
            assert "%(" not in said
            assert "{" not in said
        if code != "ko":
            plain = named(lambda shown, sentence=sentence: language.text(sentence, **WORST, name=shown), "Ama")  # type: ignore[misc]
            assert is_gsm7(plain), plain


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_word_that_people_are_told_is_the_one_that_is_understood(code: str) -> None:
    for action in WORDS:
        assert understood(word(action, Language(code))).action is action


def test_a_long_list_loses_its_oldest_lines() -> None:
    assert listed(["a", "b"]) == "a\nb"
    kept = listed([f"07-22 -999,999.99 {n} {'Ж' * 20}" for n in range(9)])
    assert kept.startswith("07-22 -999,999.99 0")
    assert parts(kept) <= PARTS_MAX
