"""Who of the holders is signed in to the pages without scripts, and what they are about to pay.

In memory only, and short: after ten minutes without a page, or an hour in all, somebody else may have the phone. A restart
signs everybody out. Names of sessions are random and kept as hashes; the PIN is not kept at all.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from counterfoil.channels.consent import Draft
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import TooMany
from counterfoil.web.values import base64_text

IDLE_S_MAX = 600
LIFETIME_S_MAX = 3_600
SESSIONS_MAX = 10_000
"""At one time; some 2 kB each."""
DRAFTS_MAX = 5
"""Payments that were begun in one session; the oldest is forgotten first."""


class Session(msgspec.Struct, kw_only=True):
    """Somebody who has signed in.

    Attributes:
        token: hidden in every form, so that no other site can send one.
        told: one sentence for the next page; `problems`: sentences for its fields, by name; `filled`: what was typed in them.
        drafts: payments begun, by id.
    """

    party: int
    account: int
    name: str
    token: str
    begun_at: int
    seen_at: int
    told: str = ""
    problems: dict[str, str] = {}
    filled: dict[str, str] = {}
    drafts: dict[int, Draft] = {}

    def begin(self, draft: Draft) -> None:
        """Keeps a payment until it is agreed to."""
        if len(self.drafts) >= DRAFTS_MAX:
            del self.drafts[next(iter(self.drafts))]
        self.drafts[draft.id] = draft

    def take_told(self) -> tuple[str, dict[str, str], dict[str, str]]:
        """What the next page says, once: sentence, problems, what was typed."""
        said = self.told, self.problems, self.filled
        self.told, self.problems, self.filled = "", {}, {}
        return said

    def sent(self, token: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "surrogatepass"))


class HolderSessions:
    """The sessions of one server process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def begin(self, *, party: int, account: int, name: str) -> str:
        """A session for somebody whose PIN was right; its secret name. TooMany when there are too many at once."""
        now = self._clock.now_ns()
        if len(self._sessions) >= SESSIONS_MAX:
            for key in [key for key, session in self._sessions.items() if _is_over(session, now)]:
                del self._sessions[key]
        if len(self._sessions) >= SESSIONS_MAX:
            raise TooMany
        secret = base64_text(self._clock.random_bytes(32))
        token = base64_text(self._clock.random_bytes(12))
        self._sessions[_hash(secret)] = Session(party=party, account=account, name=name, token=token, begun_at=now, seen_at=now)
        return secret

    def find(self, secret: str) -> Session | None:
        """The session, which has been seen now; None when there is none, or no longer."""
        key, now = _hash(secret), self._clock.now_ns()
        session = self._sessions.get(key)
        if session is None:
            return None
        if _is_over(session, now):
            del self._sessions[key]
            return None
        session.seen_at = now
        return session

    def end(self, secret: str) -> None:
        """Signs out. A repeat changes nothing."""
        self._sessions.pop(_hash(secret), None)


def _is_over(session: Session, now: int) -> bool:
    return now - session.seen_at > IDLE_S_MAX * NANOSECONDS or now - session.begun_at > LIFETIME_S_MAX * NANOSECONDS


def _hash(secret: str) -> bytes:
    """Looked up by hash, so that the time a look-up takes says nothing about a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
