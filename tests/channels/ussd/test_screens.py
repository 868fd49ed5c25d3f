"""Every screen in every language, with the worst that can stand in it, fits a phone; and what does not fit one goes on the next."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.sms.encoding import is_gsm7
from counterfoil.channels.ussd import screens
from counterfoil.channels.ussd.fitting import NAME_SHOWN_MAX, SEPTETS_MAX, UNITS_MAX, cut, fits, pages, writable
from counterfoil.channels.ussd.flows import Flows
from counterfoil.channels.ussd.screens import CAME, CHOICES_MAX, SCREENS
from counterfoil.i18n import SOURCE, Language, catalogue_path
from counterfoil.money import AMOUNT_MAX, Currency

LANGUAGES = (SOURCE, *sorted(path.name.split(".")[1] for path in catalogue_path("ussd", "ko").parent.glob("ussd.*.po")))
MOST = Currency(code="UZS", digits=4, ledger=860)
NAMES = {"latin": "Wm" * 30, "hangul": "김수한무거북이와두루미" * 5, "emoji": "🐢" * 30}


def worst(code: str, name: str, amount: int, currency: Currency) -> dict[str, str]:
    """A value for everything that screens are filled with."""
    language = Language(code)
    money = f"{language.money(amount, currency)} {currency.code}"
    line = f"12/31 ({language.money(amount, currency)}) {cut(name)}"
    amounts = dict.fromkeys(("amount", "fee", "total", "balance", "held", "available", "received", "due"), money)
    return amounts | {
        "name": cut(name), "scheme": cut(name), "currency": currency.code, "number": "+254712345678901", "memo": cut(name * 9, 30),
        "time": "12/31 23:59", "hours": "720", "card": "WWWW", "lines": "\n".join([line] * 5), "sentence": language.text("There is not enough money in the account for this payment and its fee."),
    }  # fmt: skip


def shown(name: str, code: str, values: dict[str, str], word: str = "") -> list[str]:
    """The pages of a screen, as the service makes them."""
    language, sheet = Language(code), SCREENS[name]
    watch = f"{values['name']} ({language.text(screens.UNTIL, time='12/31 23:59')})"
    lists = {
        "request": [f"{language.text(screens.PARKING, name=values['name'])}"] * 3
        + [f"{values['name']} {values['amount']}"] * (CHOICES_MAX - 3),
        "(my_watcher)": [watch] * 3,
        "(watched)": [watch] * CHOICES_MAX,
        "(card)": [language.text(screens.LOCKED, card="WWWW")] * 5,
    }
    listed = lists.get(sheet.lists, ["English", "한국어", "Français"])
    labels = listed if sheet.lists else [language.text(label) for label, _ in sheet.choices]
    back = f"0 {language.text(screens.BACK)}" if sheet.back and not sheet.ends else ""
    lines = [word, language.text(sheet.text, **values), *(f"{number} {label}" for number, label in enumerate(labels, 1))]
    return pages(lines, more=f"9 {language.text(screens.MORE)}", back=back)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_screen_fits_with_the_worst_that_can_stand_in_it(code: str) -> None:
    for name, who in itertools.product(SCREENS, NAMES.values()):
        made = shown(name, code, worst(code, who, AMOUNT_MAX, MOST), Language(code).text(screens.NOT_UNDERSTOOD))
        assert all(fits(page) for page in made), made
        assert len(made) <= (2 * CHOICES_MAX + 1 if SCREENS[name].lists else 6), made
        assert all(page.strip() for page in made)


@pytest.mark.parametrize("code", LANGUAGES)
def test_with_a_common_name_and_amount_a_screen_is_one_page_or_two(code: str) -> None:
    currency = Currency(code="USD", digits=2, ledger=840)
    values = worst(code, {"ko": "김하은", "en": "Rose Wanjiru"}.get(code, "Amélie Garçon"), 12_550, currency) | {
        "scheme": "Counterfoil",
        "memo": "Rent",
    }
    for name, sheet in SCREENS.items():
        made = shown(name, code, values)
        assert len(made) <= (4 if name in ("requests", "watched", "latest", "help") else 1 if name == "menu" else 2), made
        if sheet.reads and name not in ("lock", "confirm_in", "confirm_cash", "confirm_hold"):
            assert len(made) == 1, made


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_is_agreed_to_is_read_before_the_pin_is_asked_for(code: str) -> None:
    values = worst(code, NAMES["hangul"], AMOUNT_MAX, MOST) | {"fee": "7.77 FEE"}
    for name in ("confirm_pay", "confirm_cash", "confirm_hold"):
        made = shown(name, code, values)
        prompt = writable(Language(code).text(SCREENS[name].text, **values).split("\n")[-1])
        text = "\n".join(made)
        assert text.index(writable(values["name"])) < text.index("7.77 FEE") < text.index(prompt)
        assert prompt in made[-1]


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_latin_language_stays_in_the_small_alphabet(code: str) -> None:
    if code == "ko":
        return
    for name in SCREENS:
        if name not in ("welcome", "language"):
            made = shown(name, code, worst(code, "Rose", 12_550, MOST))
            assert all(is_gsm7(page) for page in made), made


def test_every_screen_leads_somewhere() -> None:
    actions = {
        "(continue)", "(outcome)", "(answer)", "(ask)", "(decline)", "(speak)", "(my_watcher)", "(watched)", "(keep)", "(agree)", "(refuse)",
        "(leave)", "(card)", "(lock_card)", "(unlock_card)", "(park)",
    }  # fmt: skip
    for name, sheet in SCREENS.items():
        aims = [goes for _, goes in sheet.choices] + ([sheet.lists] if sheet.lists else [])
        assert len(sheet.choices) <= CHOICES_MAX, name
        assert all(aim in SCREENS or aim in actions for aim in aims), (name, aims)
        assert sheet.back in SCREENS or sheet.back in ("", CAME), name
        assert bool(sheet.choices) + bool(sheet.lists) + bool(sheet.reads) <= 1, name
        assert not (sheet.ends and (aims or sheet.reads)), name


def test_every_screen_that_goes_on_can_be_shown_again() -> None:
    """What was not understood is answered with the same screen, so its values do not come from the flow alone."""
    for name, sheet in SCREENS.items():
        needs = set(re.findall(r"%\((\w+)\)s", sheet.text)) - {"scheme"}
        assert sheet.ends or not needs or hasattr(Flows, f"_fill_{name}"), (name, needs)


def test_the_budget_is_that_of_the_network() -> None:
    assert (SEPTETS_MAX, UNITS_MAX) == (160, 80)
    assert fits("a" * 160)
    assert not fits("a" * 161)
    assert fits("€" * 80)
    assert not fits("€" * 81)
    assert fits("가" * 80)
    assert not fits("가" * 81)
    assert fits("🐢" * 40)
    assert not fits("🐢" * 41)


def test_one_accent_does_not_halve_a_screen() -> None:
    text = "Vous n’êtes pas reçu : " + "a" * 130
    assert not is_gsm7(text)
    assert is_gsm7(writable(text))
    assert fits(writable(text))
    assert writable("김하은’s “x”") == '김하은\'s "x"'


def test_a_long_name_ends_in_an_ellipsis_and_stays_on_its_line() -> None:
    assert cut("Rose") == "Rose"
    assert cut("a" * NAME_SHOWN_MAX) == "a" * NAME_SHOWN_MAX
    assert cut("🐢" * 11) == "🐢" * 9 + "…"
    assert cut("a" * 21) == "a" * 19 + "…"
    assert cut("Fee\n0.00\u2028\x07x") == "Fee 0.00 x"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=120).map(lambda text: " ".join(text.split())), max_size=12))
def test_pages_hold_everything_in_its_order_and_each_fits(lines: list[str]) -> None:
    made = pages(lines, more="9 More", back="0 Back")
    assert all(fits(page) for page in made)
    assert all(page.endswith("9 More\n0 Back") for page in made[:-1])
    assert made[-1].endswith("0 Back")
    said = "".join(re.sub(r"(\A|\n)(9 More\n)?0 Back\Z", "", page) for page in made)
    squeeze = re.compile(r"\s")
    # Pages are written each in its own alphabet, so letters are compared without their accents.
    assert squeeze.sub("", "".join(map(writable, said))) == squeeze.sub("", "".join(map(writable, "".join(lines))))
