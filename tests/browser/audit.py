"""What a page must be for everybody: usable with a screen reader (axe-core), and tidy on the screen that it is on.

    await audit(page)                                    # no violation of any rule of axe-core
    await tidy(page)                                     # nothing too wide, cut off, or too small to touch
    await tidy(page, catalogue="wallet", names=["Rose"]) # and no English left on a page in another language

Both look at what is shown now: call them for every state of a page that matters, such as an open dialog.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from babel.messages.pofile import read_po
from playwright.async_api import Page

from tests.browser.tools import tool

TARGET_MIN = 48
"""CSS pixels that what is touched is high and wide. Source: Material Design; WCAG 2.2 §2.5.8 asks for 24, §2.5.5 for 44."""

CATALOGUES = Path(__file__).parents[2] / "src/counterfoil/i18n"
WORD = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2,}(?![A-Za-z0-9])")
"""A word of a language. What has digits in it is a part of a code: of a receipt's, a key's, a card's."""


async def audit(page: Page, *, without: Mapping[str, str] | None = None) -> None:
    """Asserts that axe-core finds no violation on the page as it is.

    `without`: rules that are not asked, each with the reason.
    """
    assert all((without or {}).values()), "each exception has a reason"
    if not await page.evaluate("'axe' in globalThis"):
        await page.evaluate(_axe())
    rules = {rule: {"enabled": False} for rule in without or {}}
    found = await page.evaluate("(rules) => axe.run(document, { resultTypes: ['violations'], rules })", rules)
    lines = [line for violation in found["violations"] for line in _violation(violation)]
    assert not lines, "\n".join([f"axe-core on {page.url}:", *lines])


@functools.cache
def _axe() -> str:
    return tool("axe-core/axe.min.js").read_text("utf-8")


def _violation(violation: dict[str, Any]) -> Iterable[str]:
    yield f"{violation['id']} ({violation['impact']}): {violation['help']}"
    for node in violation["nodes"]:
        yield f"  {node['target'][0]}  {node['html'][:150]}"
        reasons = [check["message"] for check in (*node["any"], *node["all"], *node["none"])]
        yield from (f"    {reason}" for reason in reasons[:2])


async def tidy(
    page: Page,
    *,
    catalogue: str | None = None,
    names: Iterable[str] = (),
    small: Mapping[str, str] | None = None,
    cut: Mapping[str, str] | None = None,
) -> None:
    """Asserts that nothing on the page is wider than the screen, cut off, or too small to touch.

    Args:
        catalogue: the page's domain; then no word of its English texts may be left on a page in another language.
        names: what people and places are called, in whatever language.
        small: selectors of what may be smaller than TARGET_MIN, each with the reason.
        cut: selectors of what may be cut off, each with the reason.
    """
    exceptions = {**(small or {}), **(cut or {})}
    assert all(exceptions.values()), "each exception has a reason"
    given = {"target": TARGET_MIN, "small": [*(small or {})], "cut": [*(cut or {})]}
    lines: list[str] = await page.evaluate(LOOK, given)
    if catalogue is not None and not (await page.evaluate("document.documentElement.lang")).startswith("en"):
        lines += english(await page.evaluate(TEXTS), catalogue, names)
    assert not lines, "\n".join([f"not tidy on {page.url}, {page.viewport_size}:", *lines])


def english(texts: list[list[str]], catalogue: str, names: Iterable[str]) -> list[str]:
    """Those of the texts ([text, where]) that have a word of the catalogue's English sources left in them."""
    words = _english_words(catalogue)
    found = []
    for text, where in texts:
        rest = text
        for name in sorted(names, key=len, reverse=True):
            rest = rest.replace(name, " ")
        rest = re.sub(r"\S+@\S+|@\S+|https?:\S+|\S+\.\S*[a-z]{2}\S*", " ", rest)  # addresses
        # Capitals alone are an abbreviation, the same in every language (PIN, QR), or a part of a code that can be any (C6AS-W8DC-DR47).
        left = [word for word in WORD.findall(rest) if word.lower() in words and not word.isupper()]
        if left:
            found.append(f"English left ({' '.join(left)}): {text[:80]!r} in {where}")
    return found


@functools.cache
def _english_words(domain: str) -> frozenset[str]:
    """Words of the English sources, without those that the translation keeps."""
    found: set[str] = set()
    for path in CATALOGUES.glob(f"{domain}.ko.po"):
        with path.open("rb") as file:
            for message in read_po(file):
                sources = message.id if isinstance(message.id, tuple | list) else (message.id,)
                targets = message.string if isinstance(message.string, tuple | list) else (message.string,)
                kept = {word.lower() for target in targets for word in re.findall(r"[A-Za-z]{2,}", _without_fields(target or ""))}
                found |= {word.lower() for source in sources for word in re.findall(r"[A-Za-z]{2,}", _without_fields(source))} - kept
    assert found, f"no catalogue {domain}.ko.po"
    return frozenset(found)


def _without_fields(text: str) -> str:
    return re.sub(r"%\(\w+\)s|\{[^}]*\}|<[^>]*>", " ", text)


SHOWN = """
  const styleOf = (element) => getComputedStyle(element);
  const isShown = (element) => {
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
    const box = element.getBoundingClientRect();
    if (box.width <= 1 || box.height <= 1) return false;  // only for screen readers
    for (let at = element; at; at = at.parentElement) {
      const style = styleOf(at);
      if (style.clipPath === 'inset(50%)' || style.clip === 'rect(0px, 0px, 0px, 0px)') return false;
    }
    return true;
  };
  const nameOf = (element) => {
    const classes = [...element.classList].map((name) => `.${name}`).join('');
    const text = (element.getAttribute('aria-label') || element.textContent || '').trim().replace(/\\s+/g, ' ').slice(0, 40);
    return `${element.localName}${element.id ? `#${element.id}` : ''}${classes} "${text}"`;
  };
"""

LOOK = (
    "({ target, small, cut }) => {"
    + SHOWN
    + """
  const found = [];
  const root = document.scrollingElement;
  const width = document.documentElement.clientWidth;
  const all = [...document.body.querySelectorAll('*')].filter(isShown);
  const scrolls = (element) => {
    for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) {
      if (['auto', 'scroll', 'hidden', 'clip'].includes(styleOf(at).overflowX)) return true;
    }
    return false;
  };
  if (root.scrollWidth > width) {
    found.push(`wider than the screen by ${root.scrollWidth - width} pixels`);
    const wide = all.filter((element) => element.getBoundingClientRect().right > width + 0.5 && !scrolls(element));
    for (const element of wide.slice(-5)) found.push(`  ${nameOf(element)} ends at ${element.getBoundingClientRect().right}`);
  }
  const excepted = (element, selectors) => selectors.some((selector) => element.closest(selector));
  for (const element of all) {
    if (element.closest('svg') || excepted(element, cut)) continue;
    const style = styleOf(element);
    const ownText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const clips = (axis) => ['hidden', 'clip'].includes(axis);
    const isControl = element.matches('button, [role=button], [role=tab], .button, .chip, .tabs *');
    const tooWide = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
    const tooHigh = element.scrollHeight > element.clientHeight + 1 && element.clientHeight > 0;
    if (ownText && tooWide && (clips(style.overflowX) || isControl)) found.push(`cut off: ${nameOf(element)}`);
    else if (ownText && tooHigh && clips(style.overflowY)) found.push(`cut off below: ${nameOf(element)}`);
    if (element.matches('input:not([type=checkbox], [type=radio], [type=range], [type=file])') && element.value && tooWide
        && document.activeElement !== element) {
      found.push(`more in it than it shows: ${nameOf(element)} ${element.value}`);
    }
  }
  const touched = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button], [role=tab], [role=switch], '
    + '[role=checkbox], [role=option], [role=slider], [tabindex="0"]';
  for (const element of all) {
    if (!element.matches(touched) || excepted(element, small) || element.disabled) continue;
    const label = element.matches('input') ? element.closest('label') : null;
    const boxes = [element, label].filter(Boolean).map((each) => each.getBoundingClientRect());
    const high = Math.max(...boxes.map((box) => box.height));
    const wide = Math.max(...boxes.map((box) => box.width));
    // A link within a sentence is as high as its line: WCAG 2.2, 2.5.8, "Inline".
    const inSentence = element.matches('a[href]') && styleOf(element).display === 'inline'
      && [...element.parentElement.childNodes].some((node) => node.nodeType === 3 && node.data.trim().length > 1);
    if (!inSentence && (high < target - 0.5 || wide < target - 0.5)) {
      found.push(`too small to touch, ${Math.round(wide)}x${Math.round(high)}: ${nameOf(element)}`);
    }
  }
  return found;
}"""
)

TEXTS = (
    "() => {"
    + SHOWN
    + """
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    const text = node.data.trim();
    if (!text || parent.closest('script, style, template, [lang]:not(html), [translate=no], code, pre, bdi')) continue;
    if (parent.checkVisibility({ visibilityProperty: true })) found.push([text, nameOf(parent)]);
  }
  for (const element of document.querySelectorAll('[aria-label], [placeholder], [title], [alt], [aria-description]')) {
    if (!element.checkVisibility({ visibilityProperty: true })) continue;
    for (const name of ['aria-label', 'placeholder', 'title', 'alt', 'aria-description']) {
      if (element.getAttribute(name)) found.push([element.getAttribute(name), `${name} of ${nameOf(element)}`]);
    }
  }
  found.push([document.title, 'title']);
  return found;
}"""
)
