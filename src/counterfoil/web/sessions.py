"""Who of the staff is looking at the pages: a link that works once, then a cookie that ends by itself.

A member of staff asks for a link with their device's signature; whoever opens it has the cookie. Both are random, kept
as hashes, in memory only: a restart signs everybody out. The pages show and change nothing, so a cookie is enough.
"""

from __future__ import annotations

import hashlib

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import TooMany
from counterfoil.web.values import base64_text

LINK_LIFETIME_S = 300
SESSION_LIFETIME_S = 3_600
KEPT_MAX = 1_000
"""Links, and sessions, at one time."""


class _Grant(msgspec.Struct, frozen=True):
    party: int
    expires_at: int


class StaffSessions:
    """Links and sessions of one server process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: dict[bytes, _Grant] = {}
        self._sessions: dict[bytes, _Grant] = {}

    def invite(self, party: int) -> str:
        """A token that signs `party` in once within LINK_LIFETIME_S. The caller has checked who that is."""
        return self._grant(self._links, party, LINK_LIFETIME_S)

    def redeem(self, token: str) -> str | None:
        """A session for a token of `invite`, which is used up by this. None when it is not known, used or too old."""
        grant = self._links.pop(_hash(token), None)
        if grant is None or grant.expires_at <= self._clock.now_ns():
            return None
        return self._grant(self._sessions, grant.party, SESSION_LIFETIME_S)

    def party(self, session: str) -> int | None:
        """Whose session it is; None when there is none, or no longer."""
        grant = self._sessions.get(_hash(session))
        return None if grant is None or grant.expires_at <= self._clock.now_ns() else grant.party

    def end(self, session: str) -> None:
        """Signs out. A repeat changes nothing."""
        self._sessions.pop(_hash(session), None)

    def _grant(self, grants: dict[bytes, _Grant], party: int, lifetime_s: int) -> str:
        now = self._clock.now_ns()
        for key in [key for key, grant in grants.items() if grant.expires_at <= now]:
            del grants[key]
        if len(grants) >= KEPT_MAX:
            raise TooMany
        secret = base64_text(self._clock.random_bytes(32))
        grants[_hash(secret)] = _Grant(party, now + lifetime_s * NANOSECONDS)
        return secret


def _hash(secret: str) -> bytes:
    """Looked up by hash, so that the time a look-up takes says nothing about a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
