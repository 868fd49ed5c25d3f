"""The look is what docs/reference/look.md says: its colours, their contrasts, its parts; and it stands in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from counterfoil.web.apps import PAPER, PAPER_DARK
from tests.web.site import Site

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/counterfoil/web/static"
PAGE = (ROOT / "docs/reference/look.md").read_text("utf-8")
GROUND = (STATIC / "look/ground.css").read_text("utf-8")
LOOK = (STATIC / "look/look.css").read_text("utf-8")
COLOURS = re.findall(r"^\| `--(\w+)` \|[^|]*\| `(#\w+)` \|([^|]*)\| `(#\w+)` \|([^|]*)\|$", PAGE, re.MULTILINE)
"""Name, light, its contrasts, dark, its contrasts."""
WORDS_MIN, AMOUNTS_MIN = 4.5, 7.0
"""Contrasts. Source: WCAG 2.2 §1.4.3, §1.4.6."""


def tokens(css: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", css))


def themes() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The colours of light, of dark where the phone says so, and of dark that a person has chosen."""
    light, rest = GROUND.split("@media screen and (prefers-color-scheme: dark)")
    dark, chosen = rest.split(':root[data-theme="dark"]')
    return tokens(light), tokens(dark), tokens(chosen)


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, "relative luminance"."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_page_names_every_colour_as_it_is() -> None:
    light, dark, chosen = themes()
    assert light == {name: value for name, value, *_ in COLOURS}
    assert dark == chosen == {name: value for name, _, _, value, _ in COLOURS}
    assert (light["paper"], dark["paper"]) == (PAPER, PAPER_DARK)


@pytest.mark.parametrize(("name", "light", "light_says", "dark", "dark_says"), COLOURS)
def test_a_colours_contrasts_are_what_the_page_says(name: str, light: str, light_says: str, dark: str, dark_says: str) -> None:
    for colours, colour, says in zip(themes(), (light, dark), (light_says, dark_says), strict=False):
        found = [contrast(colour, colours[ground]) for ground in ("paper", "stub")]
        assert says.strip() in ("", " / ".join(f"{each:.1f}" for each in found)), (name, found)
        if name in ("ink", "soft", "mark", "good", "wait", "bad"):
            assert min(found) >= WORDS_MIN, (name, found)
    if name == "ink":
        assert contrast(light, themes()[0]["paper"]) >= AMOUNTS_MIN


def test_the_parts_that_the_page_names_are_there() -> None:
    table = PAGE.partition("## Parts")[2].partition("## ")[0]
    named = set(re.findall(r"`(?:<\w+ class=\")?\.?([a-z][\w-]*)", table))
    named -= {"main", "label", "strong", "dialog", "icon", "aria-describedby", "aria-pressed", "hr"}
    named |= {"notice-good", "notice-wait", "notice-bad", "tear"}
    named -= {"good", "wait", "bad"}
    missing = {name for name in named if not re.search(rf"\.{name}(?![\w-])", LOOK + GROUND)}
    assert len(named) > 30
    assert not missing


def test_colours_are_named_in_one_place() -> None:
    on_paper = "pay/pay.css"  # posters and slips are printed: black on white
    for path in sorted(STATIC.rglob("*.css")):
        if path.name != "ground.css" and path.relative_to(STATIC).as_posix() != on_paper:
            assert not tokens(path.read_text("utf-8")), path


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_asks_once_for_its_style(site: Site) -> None:
    for address in ("/static/look/look.css", "/static/pages.css"):
        style = (await site.call(None, "GET", address)).text
        assert "@import" not in style
        assert style.count("--paper:") == 3, "light, dark, and dark that was chosen"
    assert (await site.call(None, "GET", "/static/look/ground.css")).status_code == 404
