"""A statement as a file for paper: every line, and the balances around them.

The fonts are those that every reader has. Helvetica for what Windows-1252 has; for all else of a text one of three, the first that has
all of it: a Korean one (Hangul, Hanja, Greek, Cyrillic), a Japanese one (before the Korean one where there is kana), a Chinese
one (every Han character of GBK, traditional ones too). A character that none has, of Arabic or Indic scripts for example, is
shown as its code point, [U+1F382]: nothing is dropped. Source: ISO 32000-1 §9.6.2.2 (standard fonts), §9.7.5.2 (Adobe-Korea1,
Adobe-Japan1, Adobe-GB1).
"""

from __future__ import annotations

import functools
import io
import unicodedata
from collections.abc import Iterator

import msgspec
from reportlab.lib.colors import Color
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from counterfoil.payments.statement import Line, Statement, Step
from counterfoil.web.statement_words import Words, one_line
from counterfoil.web.values import uuid_text

LATIN, BOLD = "Helvetica", "Helvetica-Bold"
KOREAN, JAPANESE, CHINESE = "HYGothic-Medium", "HeiseiKakuGo-W5", "STSong-Light"
ENCODINGS = {KOREAN: "cp949", JAPANESE: "cp932", CHINESE: "gbk"}
"""Each font of the East with an encoding all of whose characters it has, in the order in which they are tried."""
for _font in ENCODINGS:
    pdfmetrics.registerFont(UnicodeCIDFont(_font))
_WIDTH, _HEIGHT = A4
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, _WIDTH - 46.0, _HEIGHT - 50.0, 62.0
_INK, _SOFT, _LINE, _MARK = Color(0.11, 0.14, 0.15), Color(0.35, 0.40, 0.41), Color(0.80, 0.80, 0.76), Color(0.04, 0.36, 0.36)
_SIZE, _SMALL, _LEADING = 8.5, 6.0, 11.0
_WHAT, _WITH, _IN, _OUT = _LEFT + 84, _LEFT + 172, _RIGHT - 128, _RIGHT - 66
"""Where columns begin (date, what, with) or end (in, out, balance), in points."""
_VALUE, _HEAD_LEADING = _WHAT + 24, 13.0


class _Row(msgspec.Struct, frozen=True):
    """A line as it is drawn: texts already broken into lines."""

    date: str
    what: list[str]
    with_: list[str]
    payment: str
    incoming: str
    outgoing: str
    balance: str

    @property
    def height(self) -> float:
        return _LEADING * max(len(self.what), len(self.with_), 1) + (7 if self.payment else 0) + 6


def pdf_file(statement: Statement, words: Words) -> bytes:
    """The statement as PDF, A4. Same input, same bytes. Plain computing: some 20 ms a page."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=1, lang=words.language.code)
    title = words.title(statement)
    canvas.setTitle(title)
    canvas.setAuthor(words.about.scheme)
    canvas.setCreator("Counterfoil")
    head = [(name, wrapped(one_line(value), _RIGHT - _VALUE)) for name, value in words.head(statement)]
    pages = list(_pages(statement, words, first_top=_TOP - 61 - _HEAD_LEADING * sum(len(parts) for _, parts in head)))
    for number, rows in enumerate(pages, 1):
        top = _draw_head(canvas, words, title, head) if number == 1 else _TOP
        _draw_rows(canvas, words, rows, top)
        _draw_foot(canvas, words, number, len(pages))
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _pages(statement: Statement, words: Words, *, first_top: float) -> Iterator[list[_Row]]:
    """The rows, page by page: at least one page, none without a row but an empty month's."""
    page: list[_Row] = []
    left = first_top - _BOTTOM - 22
    for line in statement.lines:
        row = _row(line, words)
        if row.height > left and page:
            yield page
            page, left = [], _TOP - _BOTTOM - 22
        page.append(row)
        left -= row.height
    yield page


def _row(line: Line, words: Words) -> _Row:
    what = wrapped(words.kind(line), _WITH - _WHAT - 8)
    if line.step is not Step.MOVED and line.set_aside:
        what.append(words.money(abs(line.set_aside)))
    texts = (one_line(line.counterparty), one_line(line.memo))
    with_ = [part for text in texts if text for part in wrapped(text, _IN - 56 - _WITH)]
    return _Row(
        date=f"{words.day(line.at)} {words.time(line.at)}",
        what=what,
        with_=with_,
        payment=uuid_text(line.payment) if line.payment else "",
        incoming=words.money(line.incoming) if line.incoming else "",
        outgoing=words.money(line.outgoing) if line.outgoing else "",
        balance=words.money(line.balance),
    )


def _draw_head(canvas: Canvas, words: Words, title: str, head: list[tuple[str, list[str]]]) -> float:
    """Title and head; answers where the rows begin."""
    canvas.setFillColor(_MARK)
    draw(canvas, _LEFT, _TOP, one_line(words.about.scheme), size=9, bold=True)
    canvas.setFillColor(_INK)
    draw(canvas, _LEFT, _TOP - 26, title, size=18, bold=True)
    y = _TOP - 52
    for name, parts in head:
        canvas.setFillColor(_SOFT)
        draw(canvas, _LEFT, y, name)
        canvas.setFillColor(_INK)
        for part in parts:
            draw(canvas, _VALUE, y, part)
            y -= _HEAD_LEADING
    top: float = y - 9
    return top


def _draw_rows(canvas: Canvas, words: Words, rows: list[_Row], top: float) -> None:
    y = top - 10
    canvas.setFillColor(_SOFT)
    for x, text in ((_LEFT, words.date), (_WHAT, words.what), (_WITH, words.with_)):
        draw(canvas, x, y, text, bold=True)
    for x, text in ((_IN, words.incoming), (_OUT, words.outgoing), (_RIGHT, words.balance)):
        draw_right(canvas, x, y, text, bold=True)
    canvas.setStrokeColor(_INK)
    canvas.setLineWidth(0.8)
    canvas.line(_LEFT, y - 5, _RIGHT, y - 5)
    y -= 12
    if not rows:
        canvas.setFillColor(_INK)
        draw(canvas, _LEFT, y - _SIZE, words.empty())
    canvas.setStrokeColor(_LINE)
    canvas.setLineWidth(0.4)
    for row in rows:
        base = y - _SIZE
        canvas.setFillColor(_INK)
        draw(canvas, _LEFT, base, row.date, size=7.5)
        for x, parts in ((_WHAT, row.what), (_WITH, row.with_)):
            for number, part in enumerate(parts):
                draw(canvas, x, base - number * _LEADING, part)
        for x, text in ((_IN, row.incoming), (_OUT, row.outgoing), (_RIGHT, row.balance)):
            draw_right(canvas, x, base, text)
        if row.payment:
            canvas.setFillColor(_SOFT)
            draw(canvas, _WITH, y - row.height + 8, row.payment, size=_SMALL)
        y -= row.height
        canvas.line(_LEFT, y + 2, _RIGHT, y + 2)


def _draw_foot(canvas: Canvas, words: Words, number: int, pages: int) -> None:
    canvas.setFillColor(_SOFT)
    page = words.page(number, pages)
    draw_right(canvas, _RIGHT, _BOTTOM - 24, page, size=7.5)
    room = _RIGHT - _LEFT - 90
    for line, part in enumerate(wrapped(words.proof(), room, size=7.5)):
        draw(canvas, _LEFT, _BOTTOM - 24 - line * 9.5, part, size=7.5)


# Texts in several fonts


def runs(text: str, *, bold: bool = False) -> list[tuple[str, str]]:
    """`text` in pieces, each with the font that has all of it. What no font has is there as its code point."""
    latin = BOLD if bold else LATIN
    if text.isascii() and text.isprintable():
        return [(latin, text)] if text else []
    eastern = _common_font(text)
    found: list[tuple[str, str]] = []
    for character in text:
        fonts, shown = _shown(character)
        font = (eastern or fonts[0]) if fonts else latin
        if found and (found[-1][0] == font or shown == " "):
            found[-1] = (found[-1][0], found[-1][1] + shown)
        else:
            found.append((font, shown))
    return found


def _common_font(text: str) -> str | None:
    """The font of the East in which a text looks of one piece; None when no font has all of it."""
    needed = [fonts for character in text if (fonts := _shown(character)[0])]
    has_kana = any("\u3041" <= character <= "\u30ff" for character in text)
    order = sorted(ENCODINGS, key=lambda font: has_kana and font != JAPANESE)
    return next((font for font in order if all(font in fonts for fonts in needed)), None)


@functools.lru_cache(maxsize=8_192)
def _shown(character: str) -> tuple[tuple[str, ...], str]:
    """The fonts of the East that have a character, none where Helvetica does; and what is drawn for it."""
    if unicodedata.category(character) == "Zs":
        return (), " "  # of whatever width: French groups digits by a narrow one
    if _has(character, "cp1252"):
        return (), character
    fonts = tuple(font for font, encoding in ENCODINGS.items() if _has(character, encoding))
    return fonts, character if fonts else f"[U+{ord(character):04X}]"


def _has(character: str, encoding: str) -> bool:
    try:
        return character.isprintable() and bool(character.encode(encoding))
    except UnicodeEncodeError:
        return False


def width(text: str, *, size: float = _SIZE, bold: bool = False) -> float:
    """Points that `text` takes."""
    return float(sum(pdfmetrics.stringWidth(part, font, size) for font, part in runs(text, bold=bold)))


def wrapped(text: str, room: float, *, size: float = _SIZE) -> list[str]:
    """`text` in lines of at most `room` points: broken at spaces, and within a word that is longer than a line."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if width(candidate, size=size) <= room:
            line = candidate
            continue
        if line:
            lines.append(line)
        line = ""
        for character in word:
            if line and width(line + character, size=size) > room:
                lines.append(line)
                line = ""
            line += character
    return [*lines, line] if line else lines


def draw(canvas: Canvas, x: float, y: float, text: str, *, size: float = _SIZE, bold: bool = False) -> None:
    """`text` from `x` to the right."""
    for font, part in runs(text, bold=bold):
        canvas.setFont(font, size)
        canvas.drawString(x, y, part)
        x += pdfmetrics.stringWidth(part, font, size)


def draw_right(canvas: Canvas, x: float, y: float, text: str, *, size: float = _SIZE, bold: bool = False) -> None:
    """`text` that ends at `x`."""
    draw(canvas, x - width(text, size=size, bold=bold), y, text, size=size, bold=bold)
