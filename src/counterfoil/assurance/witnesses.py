"""Asks the policy's witnesses for cosignatures of the log's newest head, again and again, and publishes it when enough agree.

    every `interval_s`   newest head ──> each witness: old size, consistency proof, checkpoint
                         409: once more, from the size that the witness names
                         200: its cosignature is verified under the key that the policy pins, anything else ignored
    quorum reached       the head with all cosignatures so far is kept (`keep`); those who are late only count next time
    not reached          nothing is published, the log goes on, and `status` and `problem` say who was missing and why

A head that has not grown is cosigned anew, too: its time is what proves that something is still not in the log.
A witness that fails is asked less often, down to once a minute. Its clock is its own: a cosignature whose time is hours from
ours counts, and `status` says how far it is off. Source: C2SP tlog-witness v1.0.0, tlog-cosignature, tlog-policy.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import structlog

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import CounterfoilError, Malformed, Unavailable
from counterfoil.tlog import cosignature
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.note import Note, Signature
from counterfoil.tlog.policy import Policy, PolicyWitness
from counterfoil.tlog.published import PublishedLog
from counterfoil.tlog.types import NotProven

INTERVAL_S = 10.0
"""Seconds between two rounds."""
TIMEOUT_S = 5.0
"""Seconds that a witness has for a round, with all that it is asked in it."""
GRACE_S = 0.5
"""Seconds that the others still get once the quorum is reached."""
BACKOFF_S_MAX = 60.0
"""Seconds between two requests to a witness that fails, at most."""
SKEW_S_MAX = 60
"""Seconds that a witness's clock may be off before it is remarked upon."""
AHEAD_S_MAX = 7 * 24 * 3600
"""Seconds that a cosignature's time may be ahead of ours to count: one witness's far future would stand in the log's files for good."""
ATTEMPTS_MAX = 3
"""Requests to one witness in one round: the first, and after each 409 another."""
ANSWER_SIZE_MAX = 65_536
"""Bytes of an answer."""
WORDS_MAX = 200
"""Characters that are kept of what a witness says."""

Post = Callable[[str, bytes, float], Awaitable[tuple[int, bytes]]]
"""POSTs a body to an address within so many seconds: (status, body). Raises Unavailable when nobody answered. Follows no redirects."""

log = structlog.get_logger(__name__)
T = TypeVar("T")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n", re.ASCII)


class WitnessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with one witness.

    Attributes:
        name: of its key.
        url: where it is asked.
        size: entries of the newest head that it cosigned for us; 0 when none since we started.
        cosigned_at: its own clock at that cosignature, ns since 1970; None when none.
        asked_at: our clock when it was asked last; succeeded_at: when it cosigned last. ns since 1970; None when never.
        problem: why its newest request led to no cosignature, in a sentence; None when it did, or when it was never asked.
        skew_s: seconds that its clock was ahead of ours (negative: behind) at its newest cosignature.
        remark: what else is odd, in a sentence, though its cosignature counts; None when nothing is.
    """

    name: str
    url: str
    size: int = 0
    cosigned_at: int | None = None
    asked_at: int | None = None
    succeeded_at: int | None = None
    problem: str | None = None
    skew_s: int = 0
    remark: str | None = None


class _Failed(Exception):
    """Why a witness gave no cosignature."""


class _OurTrouble(_Failed):
    """The witness could not be asked, for a reason of our own."""


class _Peer:
    """One witness and what we remember of it."""

    def __init__(self, witness: PolicyWitness) -> None:
        self.witness = witness
        self.url = f"{witness.url.rstrip('/')}/add-checkpoint"
        self.size = 0  # the last that it cosigned, as far as we know; a wrong guess costs one 409
        self.failures = 0
        self.not_before = 0  # monotonic ns
        self.problem: str | None = None
        self.status = WitnessStatus(name=witness.key.name, url=witness.url)


class Witnesses:
    """`run()` must be running for anything to be asked.

    Args:
        policy: those of its witnesses that have a URL are asked; its quorum decides.
        newest: the newest head that the log signed, as a note with the log's signature alone; None while there is none.
        consistency: the proof between two sizes of the log, such as `consistency_of` makes.
        keep: publishes a note that reached the quorum.
        post: how requests leave.

    `newest` and `consistency` read files: they are called in a thread, one call at a time.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        newest: Callable[[], Note | None],
        consistency: Callable[[int, int], Sequence[bytes]],
        keep: Callable[[Note], Awaitable[None]],
        post: Post,
        clock: Clock,
        interval_s: float = INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self.policy = policy
        self._newest = newest
        self._consistency = consistency
        self._keep = keep
        self._post = post
        self._clock = clock
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._peers = [_Peer(witness) for witness in policy.witnesses.values() if witness.url]
        self._reading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._problem: str | None = None
        self._short_of = ""  # what the policy missed last

    @property
    def problem(self) -> str | None:
        """Why the newest round published nothing, in a sentence; None when it did, or before the first."""
        return self._problem

    def status(self) -> list[WitnessStatus]:
        """How it stands with each witness that is asked, in the policy's order."""
        return [peer.status for peer in self._peers]

    async def run(self) -> None:
        """A round every `interval_s`, until `stop()`. A log or disk that cannot be used for the moment ends a round, not the rounds."""
        while not self._stopping.is_set():
            begun = self._clock.monotonic_ns()
            stopping = asyncio.create_task(self._stopping.wait())
            round_ = asyncio.create_task(self.step())
            await asyncio.wait((stopping, round_), return_when=asyncio.FIRST_COMPLETED)
            if not round_.done():
                round_.cancel()
            try:
                await round_
            except asyncio.CancelledError:
                if not self._stopping.is_set():
                    raise
            except (CounterfoilError, NotProven, OSError) as error:
                self._say(f"the round did not come to its end: {error}")
            finally:
                stopping.cancel()
            spent_s = (self._clock.monotonic_ns() - begun) / NANOSECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._interval_s - spent_s)):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ends `run`; requests under way are broken off, and what they led to is learnt from a 409 next time."""
        self._stopping.set()

    async def step(self) -> Note | None:
        """One round: the note that reached the quorum and was kept; None, with `problem` saying why, when none did."""
        note = await self._read(self._newest)
        if note is None:
            self._say("the log has not signed a head yet")
            return None
        checkpoint = Checkpoint.parse(note.text)
        now = self._clock.monotonic_ns()
        found: dict[str, Signature] = {}
        tasks = {asyncio.create_task(self._ask(peer, note, checkpoint, found)) for peer in self._peers if peer.not_before <= now}
        try:
            kept = await self._collect(tasks, note, found)
            if tasks:
                await asyncio.wait(tasks)  # the late ones, so that we know what they did; each is bounded by its time-out
        finally:
            for task in tasks:
                task.cancel()
        for task in tasks:
            task.result()  # a bug in asking is not a witness's failure
        self._summarise(checkpoint, kept)
        return kept

    async def _collect(self, tasks: set[asyncio.Task[None]], note: Note, found: Mapping[str, Signature]) -> Note | None:
        """Waits until the quorum is reached and the others had their grace, then keeps the note; None when all have answered without."""
        waiting = tasks
        while True:
            if self._reaches(self._merged(note, found)):
                if waiting:
                    await asyncio.wait(waiting, timeout=self._grace_s)
                merged = self._merged(note, found)
                await self._keep(merged)
                return merged
            if not waiting:
                return None
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    def _merged(self, note: Note, found: Mapping[str, Signature]) -> Note:
        """The note with the cosignatures found so far, in the policy's order."""
        return note.with_signatures(found[name] for name in self.policy.witnesses if name in found)

    def _reaches(self, note: Note) -> bool:
        try:
            self.policy.satisfied(note)
        except NotProven as error:
            self._short_of = str(error)
            return False
        return True

    async def _ask(self, peer: _Peer, note: Note, checkpoint: Checkpoint, found: dict[str, Signature]) -> None:
        """Asks one witness; its cosignature goes into `found`, what became of it into its status. Never raises but for bugs."""
        asked_at = self._clock.now_ns()
        try:
            async with asyncio.timeout(self._timeout_s):
                signature, time_s = await self._cosignature(peer, note, checkpoint)
        except (_Failed, Unavailable, TimeoutError, OSError) as error:
            problem = f"no cosignature within {self._timeout_s:g} s" if type(error) is TimeoutError else str(error)
            if not isinstance(error, _OurTrouble):
                peer.failures += 1
            wait_s = min(self._interval_s * 2 ** min(peer.failures - 2, 16), BACKOFF_S_MAX) if peer.failures > 1 else 0.0
            peer.not_before = self._clock.monotonic_ns() + int(wait_s * 0.9 * NANOSECONDS)
            peer.status = msgspec.structs.replace(peer.status, asked_at=asked_at, problem=problem)
            if peer.failures <= 1:
                log.warning("witness_away", witness=peer.status.name, why=problem)
            return
        if peer.failures:
            log.warning("witness_back", witness=peer.status.name, failures=peer.failures)
        peer.failures, peer.not_before, peer.size = 0, 0, checkpoint.size
        found[peer.witness.name] = signature
        now = self._clock.now_ns()
        skew_s = time_s - now // NANOSECONDS
        peer.status = msgspec.structs.replace(
            peer.status,
            size=checkpoint.size,
            cosigned_at=time_s * NANOSECONDS,
            asked_at=asked_at,
            succeeded_at=now,
            problem=None,
            skew_s=skew_s,
            remark=skew_words(skew_s),
        )

    async def _cosignature(self, peer: _Peer, note: Note, checkpoint: Checkpoint) -> tuple[Signature, int]:
        """The witness's cosignature and its time. Raises _Failed in words, or what `post` raises."""
        for _ in range(ATTEMPTS_MAX):
            if peer.size > checkpoint.size:
                size, peer.size = peer.size, 0  # asked anew next time: what it says may have been wrong
                raise _Failed(f"it says that it cosigned {size} entries, and our newest head has {checkpoint.size}")
            proof = await self._proof(peer.size, checkpoint.size)
            status, body = await self._post(peer.url, request(peer.size, proof, note), self._timeout_s)
            if len(body) > ANSWER_SIZE_MAX:
                raise _Failed(f"it answered {status} with more than {ANSWER_SIZE_MAX} bytes")
            if status == 200:
                return self._verified(peer.witness, note, body)
            if status != 409:
                peer.size = 0 if status == 400 else peer.size
                raise _Failed(refusal_words(status, body))
            named = _SIZE.fullmatch(body)
            if named is None:
                raise _Failed("it answered 409 without the size that it cosigned last")
            if int(named[1]) == peer.size:
                raise _Failed(f"it refuses the size {peer.size}, and names the same one")
            peer.size = int(named[1])
        raise _Failed(f"it named another size {ATTEMPTS_MAX} times in a row")

    async def _proof(self, old_size: int, size: int) -> Sequence[bytes]:
        if old_size in (0, size):
            return ()
        try:
            return await self._read(functools.partial(self._consistency, old_size, size))
        except (OSError, CounterfoilError, NotProven) as error:
            raise _OurTrouble(f"it could not be asked: the files of our own log cannot be read ({error})") from error

    def _verified(self, witness: PolicyWitness, note: Note, body: bytes) -> tuple[Signature, int]:
        """The one line of the answer that this witness's own key made. Lines of keys that we do not pin for it are ignored."""
        try:
            answer = Note.parse(note.text + b"\n" + body)
        except Malformed as error:
            raise _Failed(f"its answer is not made of signature lines: {error.detail}") from None
        if answer.text != note.text:
            raise _Failed("its answer has empty lines")
        key = witness.key
        own = [signature for signature in answer.signatures if (signature.name, signature.key_id) == (key.name, key.key_id)]
        if not own:
            raise _Failed("its answer has no signature by the key that the policy names")
        try:
            time_s = cosignature.verify(key, note.text, own[0])
        except Malformed:
            raise _Failed("its cosignature is not valid") from None
        if time_s == 0:
            raise _Failed("its cosignature has no time")
        ahead_s = time_s - self._clock.now_ns() // NANOSECONDS
        if ahead_s > AHEAD_S_MAX:
            raise _Failed(f"its cosignature is not used: its clock is {ahead_s // 86_400} days ahead of ours")
        return own[0], time_s

    async def _read(self, read: Callable[[], T]) -> T:
        async with self._reading:
            return await asyncio.to_thread(read)

    def _summarise(self, checkpoint: Checkpoint, kept: Note | None) -> None:
        if kept is not None:
            if self._problem is not None:
                log.info("witnesses_agree", size=checkpoint.size)
            self._problem = None
            return
        missing = [f"{peer.status.name}: {peer.status.problem}" for peer in self._peers if peer.status.problem is not None]
        self._say("; ".join([f"the head of {checkpoint.size} entries is not witnessed: {self._short_of}", *missing]))

    def _say(self, problem: str) -> None:
        if self._problem is None:
            log.warning("witnesses_missing", why=problem)
        self._problem = problem


def consistency_of(published: PublishedLog) -> Callable[[int, int], Sequence[bytes]]:
    """Proofs from a log's published files. The log may grow meanwhile, and take away partial tiles that a larger head has filled."""

    def consistency(old_size: int, size: int) -> Sequence[bytes]:
        within = 0
        while True:
            newest = published.checkpoint()
            before, within = within, Checkpoint.parse(newest.text).size if newest is not None else size
            try:
                return published.reader.consistency_proof(old_size, size, within=within)
            except FileNotFoundError:
                if within == before:  # the log has not grown since the last try: something is missing
                    raise

    return consistency


def request(old_size: int, proof: Sequence[bytes], note: Note) -> bytes:
    """The body of `add-checkpoint`. Source: C2SP tlog-witness v1.0.0, "add-checkpoint"."""
    lines = [b"old %d\n" % old_size, *(base64.b64encode(node) + b"\n" for node in proof), b"\n"]
    return b"".join(lines) + note.encode()


def skew_words(skew_s: int) -> str | None:
    """What to say about a witness's clock, None when it is near ours."""
    if abs(skew_s) <= SKEW_S_MAX:
        return None
    minutes, seconds = divmod(abs(skew_s), 60)
    hours, minutes = divmod(minutes, 60)
    size = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
    return f"its clock is {size} {'ahead of' if skew_s > 0 else 'behind'} ours; the time in its cosignatures is its own"


def refusal_words(status: int, body: bytes) -> str:
    """A sentence about an answer that is no cosignature."""
    if 300 <= status < 400:
        return f"it answered {status}: a redirect, and those are not followed"
    first = body.decode("utf-8", "replace").strip().partition("\n")[0]
    said = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in first)[:WORDS_MAX]
    return f"it answered {status}: {said}" if said else f"it answered {status}"
