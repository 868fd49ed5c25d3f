"""Small plots as SVG: lines over a logarithmic or even axis, in the colours of our pages, readable by day and by night.

The picture brings its own ground and follows the reader's preference, since a page's own style does not reach into an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 140, 52, 48
TICKS = 5
STROKES = ("", "7 4", "2 4", "10 4 2 4", "1 3")
"""Lines differ in their stroke, too: colour is never the only sign."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.soft { fill: var(--soft); }
.title { font-weight: 600; font-size: 15px; }
.ground { fill: var(--paper); }
.grid { stroke: var(--line); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg { --paper: #fbfaf6; --ink: #1f1e1a; --soft: #625e53; --line: #d9d3c4;
  --a: #0a5b54; --b: #7a4d00; --c: #a3211b; --d: #625e53; --e: #17633a; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #161714; --ink: #eceade; --soft: #a9a596; --line: #3a3b33;
    --a: #7fd1c4; --b: #e6b566; --c: #ff9c8f; --d: #a9a596; --e: #7fd09b; }
}
"""

Points = Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """`words` says what is measured and in what; `logarithmic` puts ten times as much one step further."""

    words: str
    logarithmic: bool = False


class _Scale:
    """From a value to a place, and which values to write beside the axis."""

    def __init__(self, values: Sequence[float], *, logarithmic: bool, low: float, high: float) -> None:
        self.logarithmic = logarithmic
        if logarithmic:
            self._first: float = math.floor(math.log10(min(values)))
            self._last: float = math.ceil(math.log10(max(values)))
            self._last = max(self._last, self._first + 1)
            self.ticks = [10.0**power for power in range(int(self._first), int(self._last) + 1)]
        else:
            step = _step(max(values) or 1.0)
            count = max(1, math.ceil(max(values) / step - 1e-9))
            self._first, self._last = 0.0, count * step
            self.ticks = [number * step for number in range(count + 1)]
        self._low, self._high = low, high

    def place(self, value: float) -> float:
        at = math.log10(value) if self.logarithmic else value
        return round(self._low + (at - self._first) / (self._last - self._first) * (self._high - self._low), 1)


def lines(title: str, series: Mapping[str, Points], *, x: Axis, y: Axis) -> str:
    """The whole picture. Every series has points, none of them negative; on a logarithmic axis none is 0."""
    assert series
    assert all(series.values()), list(series)
    assert len(series) <= len(STROKES), len(series)
    every = [point for points in series.values() for point in points]
    across = _Scale([at for at, _ in every], logarithmic=x.logarithmic, low=LEFT, high=WIDTH - RIGHT)
    up = _Scale([value for _, value in every], logarithmic=y.logarithmic, low=HEIGHT - BOTTOM, high=TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="16" y="24">{escape(title)}</text>',
        f'<text class="soft" x="16" y="42">{escape(y.words)}</text>',
        *(_row(value, up.place(value)) for value in up.ticks),
        *(_text(across.place(value), HEIGHT - BOTTOM + 20, short(value), "middle") for value in across.ticks),
        f'<text class="soft" x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(x.words)}</text>',
    ]
    labels = _apart({name: up.place(points[-1][1]) for name, points in series.items()})
    for (name, points), colour, stroke in zip(series.items(), "abcde", STROKES, strict=False):
        parts += _line(name, points, across.place, up.place, colour=colour, stroke=stroke, label=labels[name])
    return "\n".join([*parts, "</svg>", ""])


def short(value: float) -> str:
    """10,000,000 as 10M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _row(value: float, at: float) -> str:
    return f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>' + _text(LEFT - 8, at + 4, short(value), "end")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text class="soft" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(
    name: str,
    points: Points,
    across: Callable[[float], float],
    up: Callable[[float], float],
    *,
    colour: str,
    stroke: str,
    label: float,
) -> list[str]:
    places = [(across(at), up(value)) for at, value in points]
    path = " ".join(f"{a},{b}" for a, b in places)
    dashes = f' stroke-dasharray="{stroke}"' if stroke else ""
    dots = [f'<circle cx="{a}" cy="{b}" r="3" style="fill: var(--{colour})"/>' for a, b in places] if len(places) <= 12 else []
    return [
        f'<polyline class="line" style="stroke: var(--{colour})"{dashes} points="{path}"/>',
        *dots,
        f'<text x="{places[-1][0] + 8}" y="{label + 4}" style="fill: var(--{colour})">{escape(name)}</text>',
    ]


def _apart(places: dict[str, float], least: float = 16.0) -> dict[str, float]:
    """The same places, moved so far that no label stands on another."""
    moved: dict[str, float] = {}
    for name, at in sorted(places.items(), key=lambda item: item[1]):
        below = max(moved.values(), default=-math.inf)
        moved[name] = max(at, below + least)
    over = max(moved.values()) - (HEIGHT - BOTTOM)
    return {name: at - max(0.0, over) for name, at in moved.items()}


def _step(largest: float) -> float:
    """1, 2 or 5 times a power of ten, so that some five of them reach `largest`."""
    rough = largest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough - 1e-12)


BAR, GAP, NAMES = 14, 24, 230
"""Thickness of a bar, from one to the next, and room for the names."""


def bars(title: str, values: Mapping[str, tuple[float, float, float]], *, words: str) -> str:
    """A bar for each name as long as the second of its numbers, the median, and a thin line from the first to the third, the range."""
    assert values
    scale = _Scale([largest for _, _, largest in values.values()], logarithmic=False, low=NAMES, high=WIDTH - 24)
    height = TOP + len(values) * GAP + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="16" y="24">{escape(title)}</text>',
        f'<text class="soft" x="16" y="42">{escape(words)}</text>',
    ]
    bottom = height - BOTTOM + 4
    for tick in scale.ticks:
        at = scale.place(tick)
        parts += [f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{bottom}"/>', _text(at, bottom + 18, short(tick), "middle")]
    for number, (name, (least, median, most)) in enumerate(values.items()):
        y = TOP + 4 + number * GAP
        middle = y + BAR / 2
        parts += [
            f'<text x="{NAMES - 10}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{NAMES}" y="{y}" width="{round(scale.place(median) - NAMES, 1)}" height="{BAR}" style="fill: var(--a)"/>',
            f'<line x1="{scale.place(least)}" x2="{scale.place(most)}" y1="{middle}" y2="{middle}" style="stroke: var(--c)" stroke-width="2"/>',
        ]
    return "\n".join([*parts, "</svg>", ""])
