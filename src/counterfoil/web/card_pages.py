"""The page that a telephone opens when a payment card is held to it: what this is, and where it goes.

    /t?e=...&c=...      what the card says (see `acceptance.cards.address`)

It looks at the form of the two values and at nothing else: the tap is not taken, and nobody learns whose card it is, or whether
anybody's. Its link hands them to the wallet behind the #, which no browser sends anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from counterfoil.acceptance.cards.address import PATH, has_form

WALLET = "/wallet/#/cards"

Render = Callable[..., Response]


def is_card(path: str) -> bool:
    """Whether an address belongs to this page."""
    return path == PATH


class CardPages:
    """The route, for `web.pages`, which renders it."""

    def __init__(self, *, render: Render) -> None:
        self._render = render

    def routes(self) -> list[BaseRoute]:
        return [Route(PATH, self.tapped)]

    async def tapped(self, request: Request) -> Response:
        """The same page for every card; without the link where the values cannot be a card's."""
        e, c = (request.query_params.get(name, "") for name in ("e", "c"))
        link = f"{WALLET}?e={e}&c={c}" if has_form(e, c) else ""
        return self._render(request, "card.html", link=link, wallet=WALLET, home="/")
