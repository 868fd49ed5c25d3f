"""Which of several forms of an answer a caller wants. Source: RFC 9110 §12.5.1."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADER_SIZE_MAX = 500
"""Characters of an Accept header that are read."""
_RANGE = re.compile(r"([a-z0-9.+-]+|\*)/([a-z0-9.+-]+|\*)((?:\s*;\s*[^;,]*)*)", re.ASCII)
_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?", re.ASCII)


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The media type of `offered` that `accept` likes best; the first of them when it likes none, or all alike."""
    liked = {media_type: _quality(accept, media_type) for media_type in offered} if accept else {}
    best = max(liked.values(), default=0.0)
    return next((media_type for media_type in offered if best and liked[media_type] == best), offered[0])


def _quality(accept: str, media_type: str) -> float:
    """How much `accept` likes a media type, 0 to 1, by the most exact range that names it."""
    ranges = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    exactness, quality = -1, 0.0
    for part in accept[:HEADER_SIZE_MAX].lower().split(","):
        match = _RANGE.fullmatch(part.strip())
        name = f"{match[1]}/{match[2]}" if match else ""
        if match and name in ranges and ranges.index(name) > exactness:
            exactness, quality = ranges.index(name), _quality_of(match[3])
    return quality


def _quality_of(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q" and _QUALITY.fullmatch(value):
            return min(1.0, float(value))
    return 1.0
