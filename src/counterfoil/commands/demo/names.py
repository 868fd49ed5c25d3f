"""Names of the town's people, in the scripts that they write them in. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from counterfoil.commands.demo.dice import Dice

_KOREAN = (
    "김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 류 홍",
    "민준 서연 도윤 지우 하준 서현 은우 하은 시우 수아 준서 지아 현우 예린 지훈 유나 건우 소율 태호 미경 영수 순자 정희 상철 은정",
)
_ENGLISH = (
    "Abbott Barlow Carver Dawson Ellery Foster Garland Hale Irving Jessop Keats Lowell Marsh Norwood Osborne Pike Quill Rowan Sayer Tate",
    "Alice Ben Clara Daniel Edith Frank Grace Henry Iris James Kate Liam Mabel Noah Olive Peter Rose Samuel Tess Victor Winifred Arthur",
)
_FRENCH = (
    "Aubert Bellamy Chevrier Delorme Étienne Fontaine Garnier Hébert Jourdain Lacroix Marchand Noël Perrin Rousseau Simonet Thévenet Vasseur",
    "Amélie Bastien Camille Denis Élodie François Gaëlle Hugo Inès Jules Léa Mathieu Noémie Olivier Pauline Rémi Sylvie Théo Zoé",
)
_ARABIC = (
    "الحداد النجار الخطيب المنصور السالم الفارسي البحري العطار الكاتب الصياد",
    "فاطمة يوسف ليلى عمر مريم خالد نور سامي هدى كريم",
)
_SWAHILI = (
    "Mwangi Odhiambo Kamau Njoroge Wekesa Mutua Omondi Barasa Kiprono Juma",
    "Amani Baraka Imani Jabari Neema Rehema Salma Subira Tumaini Zawadi",
)
LANGUAGES = (("ko", _KOREAN, 60), ("en", _ENGLISH, 60), ("fr", _FRENCH, 40), ("ar", _ARABIC, 20), ("sw", _SWAHILI, 20))
"""Language of each group, family and given names, and how many of 200 people belong to it."""


def people(dice: Dice) -> list[tuple[str, str]]:
    """(name, language) of 200 people, all names different, in an order that mixes the groups."""
    found = [(name, language) for language, names, count in LANGUAGES for name in _draw(dice, language, names, count)]
    return dice.shuffled(found)


def _draw(dice: Dice, language: str, names: tuple[str, str], count: int) -> Iterator[str]:
    families, given = names[0].split(), names[1].split()
    pairs = dice.shuffled([(family, first) for family in families for first in given])
    for family, first in pairs[:count]:
        yield f"{family}{first}" if language == "ko" else f"{first} {family}"
