"""Words in the languages of people: catalogues in gettext's .po form beside this file, numbers by CLDR.

    pages.ko.po, pages.fr.po      the server's own pages
    errors.*.po, wallet.*.po ...  a catalogue for each place that speaks, `<domain>.<language>.po`

English stands in the sources themselves; a language is one .po file a domain. Tests keep every catalogue complete.
"""

from __future__ import annotations

import functools
import gettext
import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from counterfoil.clock import NANOSECONDS
from counterfoil.i18n.particles import filled
from counterfoil.money import Currency

SOURCE = "en"
PLURAL_RULES = {"0": "none", "n != 1": "one", "n > 1": "one_or_none"}
"""Names of the rules in catalogues' headers, for scripts, which read no C."""
HEADER_SIZE_MAX = 500
"""Characters of an Accept-Language header that are read."""
AMOUNTS_MAX = 4_096
"""Amounts that are remembered as they are written: one payment says the same ones on every screen."""
_RANGE = re.compile(r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*(?:\s*;\s*q=([01](?:\.[0-9]{1,3})?))?", re.ASCII)


class Language:
    """One language: its words, and how it writes amounts and moments."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = Locale.parse(code, sep="-")
        self.translations = _translations(code)

    @property
    def own_name(self) -> str:
        """What speakers call it: "한국어"."""
        return (self.locale.get_display_name(self.locale) or self.code).capitalize()

    def text(self, message: str, /, **values: object) -> str:
        """The message in this language, `%(name)s` filled in and Korean particles (see `particles`) chosen."""
        translated = self.translations.gettext(message)
        if values and "/" in translated and "{" in translated:
            return filled(translated, values)
        return translated % values if values else translated

    def whole(self, number: int) -> str:
        """A count, grouped as this language does."""
        return format_decimal(number, locale=self.locale)

    def money(self, amount: int, currency: Currency) -> str:
        """Minor units as major units without the currency's name: "1,250.00"."""
        return _money(amount, currency.digits, self.locale)

    def signed_money(self, amount: int, currency: Currency) -> str:
        """As `money`, with + or a true minus sign in front."""
        return {1: "+", 0: "", -1: "\u2212"}[(amount > 0) - (amount < 0)] + self.money(abs(amount), currency)

    @staticmethod
    def moment(nanoseconds: int) -> str:
        """Day and time in UTC, to the second: the same in every language (ISO 8601), since people compare them across."""
        return datetime.fromtimestamp(nanoseconds // NANOSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def catalogue_path(domain: str, code: str) -> Path:
    """Where the words of a domain stand in a language."""
    return Path(__file__).with_name(f"{domain}.{code}.po")


@functools.lru_cache(maxsize=AMOUNTS_MAX)
def _money(amount: int, digits: int, locale: Locale) -> str:
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(Decimal(amount).scaleb(-digits), format=pattern, locale=locale)


@functools.cache
def _translations(code: str) -> gettext.NullTranslations:
    """All domains together: a text that two of them say is the same in both (a test sees to it)."""
    translations = gettext.NullTranslations()
    for path in sorted(Path(__file__).parent.glob(f"*.{code}.po")):
        compiled = io.BytesIO()
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=Locale.parse(code, sep="-")))
        compiled.seek(0)
        domain = gettext.GNUTranslations(compiled)
        domain.add_fallback(translations)
        translations = domain
    return translations


@functools.cache
def catalogue_words(domain: str, code: str) -> dict[str, Any]:
    """A domain's words for scripts: the language, the name of its plural rule, and a text or the forms of a plural for each message.

    English is without texts: they stand in the scripts.
    """
    if code == SOURCE:
        return {"language": code, "plural": "one", "texts": {}}
    with catalogue_path(domain, code).open("rb") as file:
        catalogue = read_po(file, locale=Locale.parse(code, sep="-"))
    texts = {
        message.id[0] if isinstance(message.id, tuple) else message.id: list(message.string)
        if isinstance(message.string, tuple)
        else message.string
        for message in catalogue
        if message.id and message.string
    }
    return {"language": code, "plural": PLURAL_RULES[catalogue.plural_expr.strip("()")], "texts": texts}


def languages(codes: Sequence[str]) -> dict[str, Language]:
    """The languages that are offered and that we have words for, in the order given; English when there is none."""
    known = [code for code in codes if code == SOURCE or catalogue_path("pages", code).is_file()]
    return {code: Language(code) for code in known or [SOURCE]}


def negotiate(accept_language: str, offered: Mapping[str, Language]) -> Language:
    """The language that a browser likes best among those offered; the first one when it likes none. Source: RFC 9110 §12.5.4."""
    liked: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language[:HEADER_SIZE_MAX].split(",")):
        match = _RANGE.fullmatch(part.strip())
        if match is not None and (quality := float(match[2] or 1)) > 0:
            liked.append((-quality, place, match[1].lower()))
    for _, _, code in sorted(liked):
        if code in offered:
            return offered[code]
    return next(iter(offered.values()))
