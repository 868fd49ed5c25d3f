"""Forms that browsers post to the pages."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from counterfoil.errors import Forbidden, TooLarge

FORM_SIZE_MAX = 4_096
"""Bytes of a posted form."""


def check_same_site(request: Request) -> None:
    """Forbidden when another site's page made the browser send this. Source: W3C Fetch Metadata."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden


async def posted(request: Request) -> dict[str, str]:
    """The fields of a posted form of at most FORM_SIZE_MAX bytes, each once."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_SIZE_MAX:
            raise TooLarge(size_max=FORM_SIZE_MAX)
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
