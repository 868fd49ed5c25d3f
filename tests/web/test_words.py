"""Every text that a person can see is there in every language, fits where it stands, and reads well: the catalogues, all domains."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from counterfoil.i18n import PLURAL_RULES, Language, catalogue_path, catalogue_words
from counterfoil.i18n.particles import filled, particle
from counterfoil.web.apps import without_comments
from counterfoil.web.problems import classes
from tests.web.site import Site

I18N = Path(catalogue_path("errors", "ko")).parent
WEB = I18N.parent / "web"
STATIC = WEB / "static"
CODES = sorted(path.name.split(".")[1] for path in I18N.glob("pages.*.po"))
DOMAINS = sorted({path.name.split(".")[0] for path in I18N.glob("*.po")})
SCRIPTS = ("wallet", "till")
"""Domains whose texts stand in scripts of that folder."""
SERVED = {
    "pages": (
        "templates/*.html",
        "apps.py",
        "pages.py",
        "staff_views.py",
        "message_views.py",
        "proof_views.py",
        "proof_words.py",
        "page_words.py",
        "receipt_pages.py",
    ),
    "basic": ("templates/basic/*.html", "basic.py", "basic_views.py", "../channels/consent.py"),
    "attend": ("templates/attend/*.html", "attend.py", "attend_baskets.py", "attend_views.py"),
    "slips": ("templates/pay/*.html", "till_pages.py"),
    "statements": ("statement_words.py",),
    "sms": ("../channels/sms/texts*.py",),
    "sms_commands": ("../channels/sms/answers.py",),
    "ussd": ("../channels/ussd/*.py",),
    "simulator": ("templates/simulator/*.html", "simulator.py", "callbacks.py"),
}
"""Domains whose texts the server says itself, and where they stand."""
KEYWORDS = {"_": None, "N_": None, "text": None}
SHORT_MAX = 14
"""Width of a button's or a tab's text; a Hangul counts 2."""

_STRING = r"""(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
_CALL = re.compile(rf"(?<![\w.$])(?P<function>t(?:\.short)?|n)\(\s*(?P<first>{_STRING})(?:\s*,\s*(?P<second>{_STRING}))?")
_NO_LITERAL = re.compile(r"(?<![\w.$])(?:t(?:\.short)?|n)\((?!\s*['\"])")
_PARTICLE = re.compile(r"\{([가-힣]+)/([가-힣]+)\}")


def catalogue(domain: str, code: str) -> Catalog:
    with catalogue_path(domain, code).open("rb") as file:
        return read_po(file, locale=code)


def texts(domain: str, code: str) -> dict[str, list[str]]:
    """The translations of each message: one, or one for each form of a plural."""
    found = {}
    for message in catalogue(domain, code):
        if message.id:
            name = message.id if isinstance(message.id, str) else message.id[0]
            found[name] = [message.string] if isinstance(message.string, str) else list(message.string or ())
    return found


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s", text))


def calls(app: str) -> Iterator[tuple[str, list[str]]]:
    """Each use of a text in an app's scripts: by which function, and its literals."""
    for path in sorted((STATIC / app).rglob("*.js")):
        for match in _CALL.finditer(path.read_text("utf-8")):
            literals = [match["first"], match["second"]] if match["function"] == "n" else [match["first"]]
            yield match["function"], [str(ast.literal_eval(literal)) for literal in literals if literal]


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


# Catalogues


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_catalogue_is_whole(domain: str, code: str) -> None:
    found = catalogue(domain, code)
    assert found.plural_expr.strip("()") in PLURAL_RULES
    for message in found:
        if not message.id:
            continue
        assert not message.fuzzy, message.id
        forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
        assert len(forms) == (found.num_plurals if message.pluralizable else 1), message.id
        assert not list(message.check(found)), message.id
        for form in forms:
            assert form, message.id
            ids = [message.id] if isinstance(message.id, str) else list(message.id)
            asked = set[str]().union(*map(placeholders, ids))
            # "one message" may leave its number out.
            assert placeholders(form) == asked or (message.pluralizable and placeholders(form) == asked - {"%(count)s"}), message.id
            assert code == "ko" or not _PARTICLE.search(form), message.id
            for closed, opened in _PARTICLE.findall(form):
                assert f"{closed}/{opened}" in PARTICLES, message.id


PARTICLES = (
    "을/를",
    "이/가",
    "은/는",
    "과/와",
    "으로/로",
    "아/야",
    "이/",
    "이에요/예요",
    "이나/나",
    "이라고/라고",
    "이었어요/였어요",
    "이면/면",
)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_language_has_the_same_texts(domain: str) -> None:
    first, *others = [set(texts(domain, code)) for code in CODES]
    for other in others:
        assert first == other, first ^ other


@pytest.mark.parametrize("code", CODES)
def test_a_text_is_translated_alike_wherever_it_stands(code: str) -> None:
    by_text: dict[str, dict[tuple[str, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for domain in DOMAINS:
        for message, forms in texts(domain, code).items():
            by_text[message][tuple(forms)].append(domain)
    unlike = {message: dict(found) for message, found in by_text.items() if len(found) > 1}
    assert not unlike, unlike


@pytest.mark.parametrize("domain", DOMAINS)
def test_french_marks_stay_with_their_words(domain: str) -> None:
    for message, forms in texts(domain, "fr").items():
        for form in forms:
            assert not re.search(r" (?:[:;?!»]|%%)|« |'", form), f"{message}: a space before : ; ? ! » and after « does not break; ’ not '"


@pytest.mark.parametrize("domain", DOMAINS)
def test_korean_speaks_in_one_manner(domain: str) -> None:
    for message, forms in texts(domain, "ko").items():
        for form in forms:
            assert not re.search(r"니다(?![가-힣])", form), f"{message}: 해요체, not 합니다체"


def test_every_error_has_its_sentence_in_the_catalogue() -> None:
    sentences = {error.sentence() for error in classes()}
    assert len(sentences) > 40
    assert set(texts("errors", "ko")) == sentences


# The server's own pages


def said(domain: str) -> set[str]:
    """Every text that the server's sources of a domain can say."""
    found = set[str]()
    for pattern in SERVED[domain]:
        for path in sorted(WEB.glob(pattern)):
            method = "jinja2" if path.suffix == ".html" else "python"
            found |= {str(message) for _, message, _, _ in extract_from_file(method, path, keywords=KEYWORDS)}
    return found


@pytest.mark.parametrize("domain", SERVED)
def test_the_texts_of_the_servers_pages_are_in_its_catalogue_and_no_others(domain: str) -> None:
    used = said(domain)
    assert len(used) > 20
    assert used == set(texts(domain, "ko")), used ^ set(texts(domain, "ko"))


def test_every_catalogue_is_held_against_what_is_said() -> None:
    assert set(DOMAINS) == {*SERVED, *SCRIPTS, "errors"}


# Scripts


@pytest.mark.parametrize("app", SCRIPTS)
def test_the_texts_of_an_apps_scripts_are_in_its_catalogue_and_no_others(app: str) -> None:
    used = {literals[0] for _, literals in calls(app)}
    assert len(used) > 50
    assert used == set(texts(app, "ko")), used ^ set(texts(app, "ko"))


@pytest.mark.parametrize("app", SCRIPTS)
def test_a_text_in_a_script_is_a_literal(app: str) -> None:
    for path in sorted((STATIC / app).rglob("*.js")):
        code = without_comments(path.read_text("utf-8"))
        found = _NO_LITERAL.search(code)
        assert found is None, f"{path.name}: {code[found.start() : found.start() + 60]}"


@pytest.mark.parametrize("app", SCRIPTS)
def test_a_plural_has_both_its_english_forms(app: str) -> None:
    for function, literals in calls(app):
        assert function != "n" or len(literals) == 2, literals


@pytest.mark.parametrize("app", SCRIPTS)
def test_what_stands_on_a_button_fits_in_every_language(app: str) -> None:
    short = {literals[0] for function, literals in calls(app) if function == "t.short"}
    assert short
    for message in short:
        for text in (message, *(form for code in CODES for form in texts(app, code)[message])):
            assert width(text) <= SHORT_MAX, (message, text, width(text))


@pytest.mark.parametrize("app", SCRIPTS)
@pytest.mark.parametrize("code", CODES)
def test_no_text_is_much_longer_than_in_english(app: str, code: str) -> None:
    for message, forms in texts(app, code).items():
        for form in forms:
            assert len(form) <= 2.2 * len(message) + 12, (message, form)


def test_words_for_scripts_carry_their_plural_rule_and_every_form() -> None:
    words = catalogue_words("wallet", "ko")
    assert (words["language"], words["plural"]) == ("ko", "none")
    assert catalogue_words("wallet", "fr")["plural"] == "one_or_none"
    assert catalogue_words("wallet", "en") == {"language": "en", "plural": "one", "texts": {}}
    plurals = {message.id[0] for message in catalogue("wallet", "ko") if message.pluralizable}
    assert plurals
    assert {message for message, text in words["texts"].items() if isinstance(text, list)} == plurals


# Particles

SOUNDS = [
    ("사과", "을/를", "를"),
    ("귤", "을/를", "을"),
    ("서울", "으로/로", "로"),
    ("부산", "으로/로", "으로"),
    ("제주", "으로/로", "로"),
    ("3", "을/를", "을"),
    ("2", "을/를", "를"),
    ("1", "으로/로", "로"),
    ("6", "으로/로", "으로"),
    ("10", "이/가", "이"),
    ("1,000", "이/가", "이"),
    ("12.50", "이/가", "이"),
    ("12.52", "이/가", "가"),
    ("1000000000000", "이/가", "가"),
    ("010-1234-5678", "으로/로", "로"),
    ("Rose", "을/를", "를"),
    ("Noah", "이/가", "가"),
    ("Tom", "을/를", "을"),
    ("Daniel", "으로/로", "로"),
    ("Daniel", "을/를", "을"),
    ("Mark", "을/를", "를"),
    ("Rick", "을/를", "을"),
    ("Bob", "과/와", "과"),
    ("Robert", "은/는", "는"),
    ("Kim", "은/는", "은"),
    ("Étang", "이/가", "이"),
    ("André", "이/가", "가"),
    ("ATM", "을/를", "을"),
    ("USD", "이/가", "가"),
    ("URL", "으로/로", "로"),
    ("12.50 USD", "을/를", "를"),
    ("50%", "을/를", "를"),
    ("하은(엄마)", "이/가", "가"),
    ("“귤”", "을/를", "을"),
    ("하은 ", "아/야", "아"),
    ("Зоя", "을/를", "을(를)"),
    ("李", "이/가", "이(가)"),
    ("", "을/를", "을(를)"),
]


@pytest.mark.parametrize(("before", "pair", "chosen"), SOUNDS)
def test_a_particle_follows_the_last_sound(before: str, pair: str, chosen: str) -> None:
    closed, opened = pair.split("/")
    assert particle(before, closed, opened) == chosen


def test_particles_are_chosen_after_what_is_filled_in_and_nowhere_else() -> None:
    said = "%(name)s{을/를} %(place)s{으로/로} 100%% 보내요"
    assert filled(said, {"name": "귤", "place": "서울"}) == "귤을 서울로 100% 보내요"
    assert filled("%(name)s{이/가}", {"name": "{을/를}"}) == "{을/를}이"
    with pytest.raises(KeyError, match="place"):
        filled(said, {"name": "귤"})


# Errors, localised


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("accept", "code"), [(None, "en"), ("en", "en"), ("ko-KR,en;q=0.5", "ko"), ("fr", "fr"), ("xx", "en"), ("ko;q=0,fr", "fr")]
)
async def test_an_errors_title_is_in_the_callers_language(site: Site, accept: str | None, code: str) -> None:
    sentences = {
        "not_authenticated": "We could not tell who is asking.",
        "malformed": "The request is not in the form we expect.",
        "unsupported_format": "The body is in a format that we do not read here.",
        "not_found": "There is no such thing, or it is not yours to see.",
    }
    headers = {} if accept is None else {"Accept-Language": accept}
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/v1/accounts/me", None),
        ("POST", "/v1/payments", {}),
        ("POST", "/v1/payments", b""),
        ("GET", "/v1/nothing", None),
    ]
    for (method, path, body), expected in zip(asked, sentences, strict=True):
        answer = await site.call(None, method, path, body, headers=headers)
        problem = answer.json()
        assert problem["code"] == expected
        assert problem["title"] == Language(code).text(sentences[expected]), problem
        assert answer.headers["content-language"] == code
        assert code == "en" or problem["title"] != sentences[expected]
        assert problem["detail"].isascii()
