"""What all attendant's pages share: who looks after things, why a form is shown again, and where an answer leads."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse

from counterfoil.acceptance.types import Clerk, Right, Till
from counterfoil.errors import Forbidden, Malformed, NotFound
from counterfoil.ids import parse_id

NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Attendant(msgspec.Struct, frozen=True):
    """Who looks after things, and at which till."""

    till: Till
    clerk: Clerk


class Wrong(msgspec.Struct, frozen=True):
    """Why a form is shown again: a sentence for a field ("" for the whole form), and what was typed."""

    field: str = ""
    sentence: str = ""
    typed: dict[str, str] = {}


def check_right(who: Attendant, right: Right) -> None:
    """Forbidden for a clerk who may not."""
    if right not in who.clerk.rights:
        raise Forbidden(f"this clerk does not have the right {right}", right=right)


def see(address: str) -> RedirectResponse:
    """The answer to a form that was done: look there."""
    return RedirectResponse(address, status_code=303, headers=NO_STORE)


def id_of(request: Request) -> int:
    """The id in the address; NotFound when it is none, as for any other wrong address."""
    try:
        return parse_id(request.path_params["id"], "id")
    except Malformed:
        raise NotFound from None
