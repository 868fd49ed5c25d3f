"""Codes that prove a phone number: six digits by SMS, ten minutes, five attempts, used once."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Malformed, TooMany, WrongCode
from counterfoil.ids import new_id
from counterfoil.parties.journal import send_sms
from counterfoil.parties.tables import codes
from counterfoil.store.database import Store

LIFETIME_S = 600
ATTEMPTS_MAX = 5
SENT_MAX = 5
"""Codes that go to one number within `SENT_WITHIN_S`."""
SENT_WITHIN_S = 3600
PURPOSES = ("enrol", "recover", "number")


class SentCode(msgspec.Struct, frozen=True):
    """A code is on its way to `number` (E.164). `code` itself is told in a sandbox only. `expires_at` in ns."""

    expires_at: int
    code: str | None = None
    number: str = ""


class Codes:
    """Sends and checks codes. `sandbox` tells them to the caller, too: never with real money."""

    def __init__(self, store: Store, clock: Clock, *, sandbox: bool) -> None:
        self.store = store
        self.clock = clock
        self.sandbox = sandbox

    async def send(self, number: str, purpose: str) -> SentCode:
        """Sends a new code to `number` (E.164); codes sent before for the same purpose end. Refuses with TooMany.

        `purpose`: "enrol", "recover" or "number". Says nothing about whether somebody has this number.
        """
        if purpose not in PURPOSES:
            raise Malformed("purpose", f"must be one of {', '.join(PURPOSES)}")
        now = self.clock.now_ns()
        code = f"{int.from_bytes(self.clock.random_bytes(8)) % 1_000_000:06}"
        code_id, expires_at = new_id(self.clock), now + LIFETIME_S * NANOSECONDS

        def write(connection: Connection) -> None:
            recent = select(func.count()).where(codes.c.number == number, codes.c.created_at > now - SENT_WITHIN_S * NANOSECONDS)
            if connection.execute(recent).scalar_one() >= SENT_MAX:
                raise TooMany("Too many codes were sent to this number. Try again in an hour.", retry_after_s=SENT_WITHIN_S)
            same = (codes.c.number == number, codes.c.purpose == purpose, codes.c.used_at.is_(None))
            connection.execute(update(codes).where(*same).values(attempts_left=0))
            connection.execute(
                insert(codes),
                {
                    "id": code_id,
                    "number": number,
                    "purpose": purpose,
                    "hash": _hash(code_id, code),
                    "attempts_left": ATTEMPTS_MAX,
                    "created_at": now,
                    "expires_at": expires_at,
                },
            )
            send_sms(connection, self.clock, number, "code", code=code, purpose=purpose, minutes=LIFETIME_S // 60)

        await self.store.write(write)
        return SentCode(expires_at, code if self.sandbox else None, number)

    async def check(self, number: str, purpose: str, code: str) -> int:
        """The id of the code that was sent, when `code` is right: `use` it up with what it was for. WrongCode otherwise.

        Each call uses up one of five attempts, before looking, and for good.
        """
        now = self.clock.now_ns()

        def write(connection: Connection) -> tuple[int, bytes] | None:
            query = select(codes.c.id, codes.c.hash).where(
                codes.c.number == number,
                codes.c.purpose == purpose,
                codes.c.used_at.is_(None),
                codes.c.attempts_left > 0,
                codes.c.expires_at > now,
            )
            row = connection.execute(query.order_by(codes.c.created_at.desc()).limit(1)).one_or_none()
            if row is None:
                return None
            connection.execute(update(codes).where(codes.c.id == row.id).values(attempts_left=codes.c.attempts_left - 1))
            return row.id, bytes(row.hash)

        found = await self.store.write(write)
        if found is None or not hmac.compare_digest(_hash(found[0], code), found[1]):
            raise WrongCode
        return found[0]


def use(connection: Connection, code_id: int, now: int) -> None:
    """Uses a checked code up, in the transaction of what it was for. WrongCode when somebody else was quicker."""
    if connection.execute(update(codes).where(codes.c.id == code_id, codes.c.used_at.is_(None)).values(used_at=now)).rowcount != 1:
        raise WrongCode


def _hash(code_id: int, code: str) -> bytes:
    return hashlib.sha256(b"counterfoil/code/v1" + code_id.to_bytes(16) + code.encode(errors="replace")).digest()
