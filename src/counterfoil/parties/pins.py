"""PINs: argon2id, counted before they are checked, and as slow for an address that nobody has.

An attempt is written down first and forgiven afterwards, so that many guesses at once, or a crash between, win nothing.
After five wrong ones the PIN is locked for 15 minutes, and twice as long after each further one, up to a day.

Anybody can type anybody's number on a page, or send a text in anybody's name. Such tries are counted by themselves: whoever makes
them locks pages and texts, and not the telephone that the number belongs to. And no right PIN by telephone gives them new tries.
PINs are never logged and never leave this module.

Source: RFC 9106 §4 (parameters: OWASP's second choice for argon2id, 19 MiB and 2 passes: about 20 ms).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import PinLocked, TooMany, Unavailable, WrongPin
from counterfoil.parties.journal import record
from counterfoil.parties.numbers import parse_pin
from counterfoil.parties.pin_brake import WRONG_LATELY_S, PinBrake, place
from counterfoil.parties.tables import pin_attempts, pins
from counterfoil.store.database import Store

T = TypeVar("T")

ATTEMPTS_MAX = 5
"""Wrong PINs before the first lock."""
LOCK_S_MIN, LOCK_S_MAX = 15 * 60, 24 * 3600
THREADS_MAX = 2
WAITING_MAX = 64
"""PINs that may wait to be checked; beyond it callers hear TooMany at once."""
PIN_SIZE_CHECKED_MAX = 64
"""Characters of a PIN that are looked at: more cannot be right."""
FORGOTTEN_AFTER_S = 7 * 24 * 3600
"""Attempts without a PIN behind them, and those by strangers, are kept this long after the last one."""
BY_ANYBODY = frozenset({"web", "sms"})
"""Channels on which whoever types somebody's number has not shown that it is theirs."""


class Pins:
    """Sets and checks PINs. `hasher` is only for tests that want to be quick."""

    def __init__(self, store: Store, clock: Clock, *, hasher: PasswordHasher | None = None) -> None:
        self.store = store
        self.clock = clock
        self.brake = PinBrake(clock)
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS_MAX, "pin")
        self._waiting = 0
        self._closed = False
        self._nobodys_hash = self._hasher.hash(clock.random_bytes(16).hex())

    async def check(self, party: int | None, pin: str, *, address: str = "") -> None:
        """Returns when `pin` is the party's. Refuses with PinLocked (`locked_until`, ns), WrongPin (`attempts_left`), or TooMany.

        With `party` None (nobody has this `address`) everything is done as for a person, and WrongPin is the answer.
        """
        with self._place_in_line():  # before the attempt is counted: what is counted is looked at
            await self._check(party, pin, address)

    async def _check(self, party: int | None, pin: str, address: str) -> None:
        now, asked_from = self.clock.now_ns(), place()
        person = party if party is not None else _id_of(f"nobody {address}")
        subject = _by_anybody(person) if party is not None and asked_from and asked_from.channel in BY_ANYBODY else person
        pin = pin[:PIN_SIZE_CHECKED_MAX] if pin.isascii() else ""
        held = asked_from is not None and self.brake.holds(asked_from, person)
        wrong_since = now - WRONG_LATELY_S * NANOSECONDS if held else now
        begun: tuple[str | None, int] | PinLocked | None = None
        try:
            begun = await self.store.write_together(_begin_attempts, _Attempt(subject, person, now, wrong_since))
        finally:
            if held and asked_from is not None and not isinstance(begun, tuple):
                self.brake.not_looked_at(asked_from)
        if begun is None:
            raise self.brake.refusal()
        if isinstance(begun, PinLocked):
            raise begun
        known_hash, wrong_count = begun
        right = await self._in_thread(_matches, self._hasher, known_hash or self._nobodys_hash, pin)
        if not right or known_hash is None:
            if asked_from:
                self.brake.was_wrong(asked_from)
            raise WrongPin(attempts_left=max(ATTEMPTS_MAX - wrong_count, 0))
        await self.store.write_together(_were_right, _Right(subject, person, now))
        if asked_from:
            self.brake.was_right(asked_from, person)

    async def hashed(self, pin: str) -> str:
        """The hash to keep of a new PIN. Refuses (Malformed) one that is not 4 to 8 digits, or too easy to guess."""
        pin = parse_pin(pin)
        with self._place_in_line():
            return await self._in_thread(self._hasher.hash, pin)

    async def change(self, party: int, old: str, new: str) -> None:
        """Sets a new PIN on the word of the old one."""
        await self.check(party, old)
        await self.set(party, new, by=party)

    async def set(self, party: int, pin: str, *, by: int | None) -> None:
        """Sets a PIN on another's word that the caller has checked: a device's signature, a member of staff. Unlocks."""
        hash_, now = await self.hashed(pin), self.clock.now_ns()

        def write(connection: Connection) -> None:
            keep_pin(connection, party, hash_, now)
            record(connection, self.clock, party, "pin_set", by=by)

        await self.store.write(write)

    async def set_at(self, party: int) -> int:
        """When (ns) the party's PIN was set last; 0 when there is none."""
        query = select(pins.c.set_at).where(pins.c.party == party)
        return await self.store.read(lambda connection: connection.execute(query).scalar_one_or_none()) or 0

    async def forget_old_attempts(self) -> int:
        """Removes what guesses at nobody's PIN have left behind; returns how many."""
        before = self.clock.now_ns() - FORGOTTEN_AFTER_S * NANOSECONDS
        known = select(pins.c.party)
        statement = delete(pin_attempts).where(pin_attempts.c.last_at < before, pin_attempts.c.subject.not_in(known))
        return await self.store.write(lambda connection: connection.execute(statement).rowcount)

    def close(self) -> None:
        """Lets go of the threads; from now on every answer is Unavailable. Safe to repeat."""
        self._closed = True
        self._threads.shutdown(wait=True)

    @contextmanager
    def _place_in_line(self) -> Iterator[None]:
        """One of WAITING_MAX, until the end of it. Refuses with TooMany when there is none, with Unavailable when the server stops."""
        self._check_open()
        if self._waiting >= WAITING_MAX:
            raise TooMany
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the server is stopping")

    async def _in_thread(self, fn: Callable[..., T], *arguments: object) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *arguments)


def keep_pin(connection: Connection, party: int, hash_: str, now: int) -> None:
    """Writes a PIN's hash and forgives what was wrong before."""
    values = {"hash": hash_, "set_at": now}
    if connection.execute(update(pins).where(pins.c.party == party).values(values)).rowcount == 0:
        connection.execute(insert(pins), values | {"party": party})
    forgive(connection, party)


def forgive(connection: Connection, party: int) -> None:
    """Forgets what was wrong before, on whatever channel: the PIN can be tried again at once. Safe to repeat."""
    for subject in (party, _by_anybody(party)):
        connection.execute(_FORGIVE, {"this": subject})


def _by_anybody(party: int) -> int:
    """Under which what is tried at the party's PIN on the channels `BY_ANYBODY` is counted."""
    return _id_of(f"by anybody {party}")


def _id_of(words: str) -> int:
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:16])


def locked_until(connection: Connection, subjects: Collection[int], now: int) -> dict[int, int]:
    """Until when (ns) the PINs of those of `subjects` are locked that are locked `now`."""
    query = select(pin_attempts.c.subject, pin_attempts.c.locked_until)
    query = query.where(pin_attempts.c.subject.in_(list(subjects)), pin_attempts.c.locked_until > now)
    return {row.subject: row.locked_until for row in connection.execute(query)}


class _Attempt(NamedTuple):
    """One that begins, counted under `subject`, at the PIN of `party`. `now`, `wrong_since`: ns."""

    subject: int
    party: int
    now: int
    wrong_since: int


def _begin_attempts(connection: Connection, batch: list[_Attempt]) -> list[tuple[str | None, int] | PinLocked | None]:
    """Counts each attempt as wrong; answers the PIN's hash and the count.

    Counts nothing, and answers PinLocked; or None when the last one was wrong and came after `wrong_since`.
    """
    return [_begin_attempt(connection, *attempt) for attempt in batch]


def _begin_attempt(
    connection: Connection, subject: int, party: int, now: int, wrong_since: int
) -> tuple[str | None, int] | PinLocked | None:
    row = connection.execute(_ATTEMPTS, {"this": subject}).one_or_none()
    if row is None:
        connection.execute(_ADD, {"subject": subject, "wrong_count": 0, "locked_until": 0, "last_at": now})
    elif row.locked_until > now:
        return PinLocked(locked_until=row.locked_until)
    elif row.wrong_count and row.last_at > wrong_since:
        return None
    wrong_count = 1 if row is None else row.wrong_count + 1
    lock_s = min(LOCK_S_MIN << min(wrong_count - ATTEMPTS_MAX, 20), LOCK_S_MAX) if wrong_count >= ATTEMPTS_MAX else 0
    values = {"wrong_count": wrong_count, "locked_until": now + lock_s * NANOSECONDS if lock_s else 0, "last_at": now}
    connection.execute(_COUNT, values | {"this": subject})
    return connection.execute(_HASH, {"this": party}).scalar_one_or_none(), wrong_count


class _Right(NamedTuple):
    """A right PIN of `party`, whose attempt was counted under `subject`, at `now` (ns)."""

    subject: int
    party: int
    now: int


def _were_right(connection: Connection, batch: list[_Right]) -> list[None]:
    """Forgives what was counted. The party's own row says when its PIN was used last, on whatever channel."""
    for subject, party, now in batch:
        connection.execute(_FORGIVE, {"this": subject})
        if subject == party:
            continue
        row = connection.execute(_ATTEMPTS, {"this": party}).one_or_none()
        if row is None:
            connection.execute(_ADD, {"subject": party, "wrong_count": 0, "locked_until": 0, "last_at": now})
        elif not row.wrong_count:
            connection.execute(_USED, {"this": party, "last_at": now})
    return [None] * len(batch)


def _matches(hasher: PasswordHasher, hash_: str, pin: str) -> bool:
    try:
        return hasher.verify(hash_, pin)
    except VerifyMismatchError:
        return False


_THIS = pin_attempts.c.subject == bindparam("this")
_ATTEMPTS = select(pin_attempts).where(_THIS)
_ADD = insert(pin_attempts)
_COUNT = update(pin_attempts).where(_THIS).values({name: bindparam(name) for name in ("wrong_count", "locked_until", "last_at")})
_FORGIVE = update(pin_attempts).where(_THIS).values(wrong_count=0, locked_until=0)
_USED = update(pin_attempts).where(_THIS).values(last_at=bindparam("last_at"))
_HASH = select(pins.c.hash).where(pins.c.party == bindparam("this"))
