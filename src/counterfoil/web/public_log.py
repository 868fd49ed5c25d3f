"""What the log's public tree says, read as anybody could read it: heads, who cosigned, totals, the last hours.

The files are the source (see docs/reference/log.md); nothing private is asked. Reading goes on where the last one ended, so
that a page costs the new part only. A file that is not there yet says nothing; one that is in no known form says so.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Malformed, Unavailable
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.cosignature import time_of
from counterfoil.tlog.entry import EntryType, Opening
from counterfoil.tlog.note import Note
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.types import NotProven

SLOT_S = 600
SLOTS = 36
"""Six hours, ten minutes each."""
STATE_AGE_MAX_S = 1
"""Seconds for which what was read is told again: however many ask, the files are read once."""
_LENGTH_SIZE_MAX = 7
"""Digits of a note's length in a day's file."""


class Head(msgspec.Struct, frozen=True):
    """A checkpoint and the text of its note."""

    checkpoint: Checkpoint
    text: str


class Cosigned(msgspec.Struct, frozen=True):
    """A witness of the policy that cosigned, and when by its own clock, s since 1970."""

    name: str
    time_s: int


class Slot(msgspec.Struct, frozen=True):
    """Ten minutes: `entries` that became witnessed in it. `witnessed`: whether any head was; None before the log's first."""

    start_s: int
    entries: int
    witnessed: bool | None


class LogState(msgspec.Struct, frozen=True):
    """What the public tree says.

    Attributes:
        newest: the head that the log signed last; None for a log without entries, which has not started.
        witnessed: the newest head under the policy's quorum; None before the first.
        cosigned: who signed it, in the policy's order.
        policy: its text; "" where there is none.
        witnesses: key names in the policy.
        issued, withdrawn: totals of the public entries below the newest head, minor units.
        slots: the last hours, oldest first; the last one is still running.
    """

    newest: Head | None = None
    witnessed: Head | None = None
    cosigned: tuple[Cosigned, ...] = ()
    policy: str = ""
    witnesses: tuple[str, ...] = ()
    issued: int = 0
    withdrawn: int = 0
    slots: tuple[Slot, ...] = ()

    @property
    def waiting(self) -> int:
        """Entries that the log has signed and the witnesses have not yet."""
        return (self.newest.checkpoint.size if self.newest else 0) - (self.witnessed.checkpoint.size if self.witnessed else 0)


class PublicLog:
    """The public tree in `folder`, which need not be there yet."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self._lock = asyncio.Lock()
        self._state = LogState()
        self._read_at: int | None = None
        self._totals = _Totals(folder / "public")
        self._hours = _Hours(folder / "heads")

    async def state(self) -> LogState:
        """What the tree says, at most STATE_AGE_MAX_S old. Raises Unavailable, naming the file, when one is not what it must be."""
        async with self._lock:
            now = self.clock.monotonic_ns()
            if self._read_at is None or now - self._read_at >= STATE_AGE_MAX_S * NANOSECONDS:
                self._state = await asyncio.to_thread(self.read, now_s=self.clock.now_ns() // NANOSECONDS)
                self._read_at = now
            return self._state

    def read(self, *, now_s: int) -> LogState:
        """The state at `now_s` (s since 1970), as `state`; one call at a time."""
        newest, witnessed = self._head("checkpoint"), self._head("witnessed")
        text = self._text("policy") or ""
        try:
            policy = Policy.parse(text) if text else None
            cosigned = _cosigned(policy, witnessed) if policy and witnessed else ()
        except (Malformed, NotProven) as error:
            raise Unavailable(f"the log's policy or witnessed head is not in order: {error}") from None
        if newest is None or newest.checkpoint.size == 0:
            return LogState(policy=text)
        issued, withdrawn = self._totals.up_to(newest.checkpoint.size)
        return LogState(
            newest=newest,
            witnessed=witnessed,
            cosigned=cosigned,
            policy=text,
            witnesses=tuple(witness.key.name for witness in policy.witnesses.values()) if policy else (),
            issued=issued,
            withdrawn=withdrawn,
            slots=self._hours.slots(now_s=now_s),
        )

    def _head(self, name: str) -> Head | None:
        if (text := self._text(name)) is None:
            return None
        try:
            return Head(Checkpoint.parse(Note.parse(text.encode()).text), text)
        except Malformed as error:
            raise Unavailable(f"the log's file {name} is not in order: {error}") from None

    def _text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_bytes().decode()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise Unavailable(f"the log's file {name} is not in UTF-8") from None


def _cosigned(policy: Policy, head: Head) -> tuple[Cosigned, ...]:
    times = policy.satisfied(Note.parse(head.text.encode())).times
    return tuple(Cosigned(policy.witnesses[name].key.name, time_s) for name, time_s in times.items())


class _Totals:
    """What was issued and withdrawn, from the public parts; each is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = 0
        self.sums = {EntryType.ISSUE: 0, EntryType.REDEEM: 0}

    def up_to(self, size: int) -> tuple[int, int]:
        """Totals of the entries below `size`. Raises Unavailable for a log that has shrunk."""
        if size < self.size:
            raise Unavailable(f"the log has shrunk from {self.size} to {size} entries")
        if size > self.size:
            added = dict.fromkeys(self.sums, 0)
            for path in self.folder.iterdir() if self.folder.is_dir() else ():
                if path.name.isdigit() and self.size <= int(path.name) < size:
                    self._add(path, added)
            self.sums = {kind: total + added[kind] for kind, total in self.sums.items()}
            self.size = size
        return self.sums[EntryType.ISSUE], self.sums[EntryType.REDEEM]

    def _add(self, path: Path, sums: dict[EntryType, int]) -> None:
        try:
            opening = Opening.decode(path.read_bytes())
            if opening.type in sums:
                sums[opening.type] += int(json.loads(opening.payload)["amount"])
        except (Malformed, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"the log's file public/{path.name} is not in order: {error}") from None


class _Hours:
    """The witnessed heads of the last hours, from the days' files; what was read is not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heads: deque[tuple[int, int]] = deque()
        """(time of the newest cosignature, size), rising."""
        self.before = 0
        """Size before the first of `heads`."""
        self.began = False
        """Whether there were heads before the first of `heads`."""
        self._read: dict[str, int] = {}

    def slots(self, *, now_s: int) -> tuple[Slot, ...]:
        end = now_s // SLOT_S + 1
        first = (end - SLOTS) * SLOT_S
        self._follow(now_s, first)
        while self.heads and self.heads[0][0] < first:
            _, self.before = self.heads.popleft()
            self.began = True
        entries, size, seen = [0] * SLOTS, self.before, [False] * SLOTS
        for time_s, next_size in self.heads:
            place = min(max(0, (time_s - first) // SLOT_S), SLOTS - 1)
            entries[place] += max(0, next_size - size)
            seen[place] = True
            size = max(size, next_size)
        result, began = [], self.began
        for place in range(SLOTS):
            began = began or seen[place]
            running = place == SLOTS - 1 and not seen[place]  # its first head may be still to come
            result.append(Slot(first + place * SLOT_S, entries[place], None if running or not began else seen[place]))
        return tuple(result)

    def _follow(self, now_s: int, first_s: int) -> None:
        today = datetime.fromtimestamp(now_s, UTC).date()
        wanted = [(today + timedelta(days=days)).isoformat() for days in (-1, 0, 1)]  # clocks of witnesses may be ahead
        for day in wanted:
            path = self.folder / day
            if not path.is_file():
                continue
            with path.open("rb") as file:
                file.seek(self._read.get(day, 0))
                data = file.read()
            at = 0
            while (found := _next_note(data, at, path.name)) is not None:
                note, at = found
                times = [time_s for signature in note.signatures[1:] if (time_s := time_of(signature)) is not None]
                if times:
                    self.heads.append((max(times), Checkpoint.parse(note.text).size))
            self._read[day] = self._read.get(day, 0) + at
        self._read = {day: at for day, at in self._read.items() if day in wanted}


def _next_note(data: bytes, at: int, name: str) -> tuple[Note, int] | None:
    """The note at `at` and where the next begins; None at the end, and for one that is still being written."""
    line = data.find(b"\n", at)
    if line < 0:
        return None
    length = int(data[at:line]) if line - at <= _LENGTH_SIZE_MAX and data[at:line].isdigit() else -1
    end = line + 1 + length
    if end > len(data):
        return None
    try:
        return Note.parse(data[line + 1 : max(end, line + 1)]), end
    except Malformed as error:
        raise Unavailable(f"the log's file heads/{name} is not in order: {error}") from None
