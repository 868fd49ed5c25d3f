"""Signing in to the staff pages: the device asks, by its signature, for a link that works once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import TooMany
from counterfoil.moments import moment_text
from counterfoil.parties.types import Permission
from counterfoil.web.access import Principal, staff
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.sessions import LINK_LIFETIME_S, StaffSessions
from counterfoil.web.values import Moment

SIGN_IN_PATH = "/staff/sign-in"


class SignInLinkView(msgspec.Struct, frozen=True):
    """A link to the staff pages. `path` is to be put behind the server's address, and works once."""

    path: Annotated[str, msgspec.Meta(max_length=256)]
    expires_at: Moment


class SignInEndpoints:
    """One endpoint, for members of staff."""

    def __init__(self, *, sessions: StaffSessions, clock: Clock) -> None:
        self.sessions = sessions
        self.clock = clock

    def endpoints(self) -> list[Endpoint]:
        read = staff(Permission.READ)
        return [Endpoint("POST", "/v1/staff/sign-in-links", self.link, access=read, errors=(TooMany,), status=201, tag="staff")]

    async def link(self, caller: Principal) -> SignInLinkView:
        """A link to the staff pages that works once, within five minutes."""
        expires_at = moment_text(self.clock.now_ns() + LINK_LIFETIME_S * NANOSECONDS)
        return SignInLinkView(sign_in_path(self.sessions.invite(caller.party)), expires_at)


def sign_in_path(token: str) -> str:
    """The page on which `token` signs its member of staff in."""
    return f"{SIGN_IN_PATH}?{urlencode({'token': token})}"
