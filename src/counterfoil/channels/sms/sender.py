"""Takes over notices and gives them to gateways: at least once, urgent ones first, in order to each number within a rank.

    the first gateway of the settings that works      up to 16 texts at a time, at its rate
    one that does not answer                          rests 1, 2, 4 ... 60 seconds, then is tried with one text; the next of the
                                                      settings takes over meanwhile

What is promised. A notice becomes one row of our table, once, whatever dies whenever: it is written in the transaction that takes
the notice out of the outbox. A row is given to gateways at least once, always under the same id, until one has said that it took
it and that is written down. That it is about to be given is written down before: where the process dies in between, or the answer
is lost, the text is in doubt, and for `queue.UNSURE_S` nobody else gets it.

    the gateway knows ids      it is given it again at once, and sends nothing twice
    its reports name our ids   one is waited for: then the text is sent; without one it is given again
    neither, or a code         it is given again at once, and a phone may show it twice

Texts about money carry time and receipt code, so people see that two are one.

A refusal is final only when it is of the text: the gateway has taken another one since. Where it refuses everything, such as for
a wrong password, texts wait as if it did not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from sqlalchemy import Connection

from counterfoil.channels.sms import queue
from counterfoil.channels.sms.queue import UNSURE_S, Codes, Given, Message, State, Taken
from counterfoil.channels.sms.texts import KINDS, Speaker
from counterfoil.channels.sms.types import Doubt, Gateway, Outbound
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Refused, Unavailable
from counterfoil.ids import id_text
from counterfoil.store.database import Store

WINDOW_MAX = 16
"""Texts on their way to one gateway at a time."""
SCHEDULE_S = (2, 5, 15, 60, 300)
"""Seconds before a text that no gateway took is tried again; the last one is repeated, until the text is too old."""
REST_S_MAX = 60.0
"""Seconds that a gateway rests at most, unless it asks for more."""
REST_ASKED_S_MAX = 900.0
"""Seconds that a gateway may ask for."""
PACE_S = 0.5
"""Seconds between two looks for new notices."""
COUNT_INTERVAL_S = 10.0
"""Seconds between two counts of what waits."""
PRUNE_INTERVAL_S = 3_600.0
RETRY_S = 1.0
"""Seconds before trying again after trouble with the store."""
STOP_S_MAX = 5.0
"""Seconds that `stop` leaves to texts under way; beyond, they are broken off and given again after the next start."""

log = structlog.get_logger(__name__)


class Way:
    """One gateway, how it is doing, and what it was given since the process began."""

    def __init__(self, gateway: Gateway, clock: Clock, *, sender: str, rate_per_s: int, part_cost: int, shown: bool) -> None:
        """`shown`: a sandbox's, whose texts stay in the table to be looked at."""
        self.gateway = gateway
        self.sender = sender
        self.part_cost = part_cost
        self.shown = shown
        self.under_way = 0
        self.sent = 0
        self.parts = 0
        self.cost = 0
        self.trouble = 0
        self._clock = clock
        self._interval_ns = NANOSECONDS // rate_per_s
        self._window = max(1, min(WINDOW_MAX, 2 * rate_per_s))
        self._failures = 0
        self._rests_until = 0
        self._failed_at = 0
        self._free_at = 0

    @property
    def name(self) -> str:
        return self.gateway.name

    @property
    def rests_s(self) -> float:
        """Seconds until it is tried again; 0 when it may be now."""
        return max(0, self._rests_until - self._clock.monotonic_ns()) / NANOSECONDS

    @property
    def room(self) -> int:
        """How many texts it may be given now. One that failed last is asked with one."""
        return (1 if self._failures else self._window) - self.under_way

    async def pace(self) -> None:
        """Waits for this gateway's next free moment: never more in a second than its rate."""
        now = self._clock.monotonic_ns()
        mine = max(now, self._free_at)
        self._free_at = mine + self._interval_ns
        if mine > now:
            await asyncio.sleep((mine - now) / NANOSECONDS)

    def worked(self, parts: int) -> None:
        self._failures, self._rests_until = 0, 0
        self.sent += 1
        self.parts += parts
        self.cost += parts * self.part_cost

    def failed(self, asked_s: float, began_at: int) -> None:
        """`began_at`: monotonic time of the attempt. Those that were under way together fail as one: the rest does not grow with them."""
        self.trouble += 1
        if began_at < self._failed_at:
            return
        rest_s = max(min(REST_S_MAX, 2.0 ** min(self._failures, 10)), min(asked_s, REST_ASKED_S_MAX))
        self._failures += 1
        self._failed_at = self._clock.monotonic_ns()
        self._rests_until = self._failed_at + int(rest_s * NANOSECONDS)


class Sender:
    """`run()` must be running for anything to be sent. Without ways it does nothing: notices wait in their outbox."""

    def __init__(self, *, store: Store, clock: Clock, ways: Sequence[Way], speaker: Callable[[str], Speaker], codes: Codes) -> None:
        """`speaker` answers a language's code, or "", with who says it."""
        self.store = store
        self.clock = clock
        self.ways = tuple(ways)
        self.speaker = speaker
        self.codes = codes
        self.waiting = 0
        self.ended = dict.fromkeys((State.FAILED, State.EXPIRED, State.CAPPED), 0)
        self._refused: dict[int, int] = {}  # text: how many the gateway that refused it first had taken by then
        self._lanes: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._counted_at = self._pruned_at = 0

    async def run(self) -> None:
        """Sends until `stop()`. A bug here ends it with the bug."""
        if not self.ways:
            return
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    await self.take_over()
                    await self._begin(group)
                    await self._tidy()
                except Unavailable as error:
                    log.warning("sms_wait", error=str(error))
                    await self._sleep(RETRY_S)
                    continue
                await self._sleep(PACE_S)
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=STOP_S_MAX)
                for task in late:
                    task.cancel()

    def stop(self) -> None:
        """Ends `run`, which first lets texts under way come to their end for some seconds."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """There is something new in the outbox: no need to wait for the next look."""
        self._wake.set()

    async def take_over(self) -> int:
        """Makes texts of the notices that wait; returns how many. Each transaction takes over some of them, whole."""
        count = 0
        while await self.store.read(queue.is_anything_new):
            taken = await self.store.write(lambda connection: queue.take_over(connection, self.speaker, self.codes, self.clock.now_ns()))
            capped = sum(message.state is State.CAPPED for message in taken)
            self.ended[State.CAPPED] += capped
            self.waiting += len(taken) - capped
            count += len(taken)
        return count

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """As many texts as the first gateway that does not rest has room for."""
        way = next((way for way in self.ways if not way.rests_s), None)
        if way is None or way.room <= 0:
            return
        now = self.clock.now_ns()
        resting = frozenset(way.name for way in self.ways if way.rests_s)
        reporting = [way.name for way in self.ways if way.gateway.doubt is Doubt.REPORT]
        look = partial(queue.due, now=now, without=frozenset(self._lanes), limit=way.room, resting=resting, reporting=reporting)
        for message in await self.store.read_long(look):
            first = self._bound_to(message, now) or way
            if first.room <= 0:
                continue
            self._lanes.add(message.lane)
            first.under_way += 1
            task = group.create_task(self._attempt(first, message))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, way=first, message=message))

    def _bound_to(self, message: Message, now: int) -> Way | None:
        """The one way that may be given this text, where there is such."""
        return next((way for way in self.ways if way.name == message.gateway), None) if message.is_bound(now) else None

    def _ended(self, task: asyncio.Task[None], way: Way, message: Message) -> None:
        self._tasks.discard(task)
        self._lanes.discard(message.lane)
        way.under_way -= 1
        self._wake.set()

    async def _attempt(self, first: Way, message: Message) -> None:
        """Gives one text to `first`, and to those after it while they answer no, and writes down what came of it."""
        tried, reasons, refusals = 0, list[str](), list[Way]()
        ways = [first] if self._bound_to(message, self.clock.now_ns()) else self.ways[self.ways.index(first) :]
        for way in ways:
            if way is not first and way.rests_s:
                continue
            await way.pace()
            if way.rests_s:
                continue  # it failed while this text waited for its turn
            if message.expires_at <= self.clock.now_ns():
                break
            if not await self._is_to_be_given(way, message):
                return
            tried, began_at = tried + 1, self.clock.monotonic_ns()
            try:
                reference = await self._give(way, message)
            except Refused as error:
                refusals.append(way)
                reasons.append(f"{way.name}: {error.detail}")
            except Unavailable as error:
                way.failed(float(error.facts.get("retry_after_s") or 0), began_at)
                reasons.append(f"{way.name}: {error.detail}")
                log.warning("sms_gateway_rests", gateway=way.name, seconds=round(way.rests_s, 1), error=error.detail)
                if self._is_in_doubt(way, message, perhaps_taken=bool(error.facts.get("perhaps_taken"))):
                    await self._put_off(message, way, attempts=tried, reason="; ".join(reasons), in_doubt=True)
                    return
            else:
                way.worked(message.parts)
                cost = message.parts * way.part_cost
                taken = Taken(message.id, way.name, reference, cost, tried, self.clock.now_ns(), way.shown)
                await self._leave(message, partial(queue.sent, taken=taken))
                return
        if not tried:
            return  # the next look finds it again, or that it is too old
        reason = "; ".join(reasons)
        if len(refusals) == tried and self._is_believed(message, refusals[0]):
            log.warning("sms_refused", message=id_text(message.id), error=reason)
            self.ended[State.FAILED] += 1
            await self._leave(message, partial(queue.failed, id=message.id, attempts=tried, reason=reason))
            return
        await self._put_off(message, first, attempts=tried, reason=reason, in_doubt=False)

    async def _is_to_be_given(self, way: Way, message: Message) -> bool:
        """Writes down that `way` is given the text now, where that is of use later. False: not now, or a report has ended its waiting."""
        if way.gateway.doubt is Doubt.NOTHING or _is_secret(message):
            return True
        now = self.clock.now_ns()
        after_s = UNSURE_S if way.gateway.doubt is Doubt.REPORT else 0
        given = Given(message.id, way.name, now, now + after_s * NANOSECONDS)
        try:
            return await self.store.write_together(queue.giving, given)
        except Unavailable as error:
            log.warning("sms_wait", error=str(error))
            await asyncio.sleep(RETRY_S)
            return False

    def _is_in_doubt(self, way: Way, message: Message, *, perhaps_taken: bool) -> bool:
        """Whether a text that `way` may have, since now or since before, is left to it; not when it has been for long enough."""
        if way.gateway.doubt is Doubt.NOTHING or _is_secret(message):
            return False
        if message.sent_at is None or message.gateway != way.name:
            return perhaps_taken
        return message.is_bound(self.clock.now_ns())

    async def _put_off(self, message: Message, way: Way, *, attempts: int, reason: str, in_doubt: bool) -> None:
        """Until the next attempt. For a report that is to come from `way`, there is time as long as the doubt lasts."""
        delay_s = SCHEDULE_S[min(message.attempts, len(SCHEDULE_S) - 1)]
        if in_doubt:
            delay_s = UNSURE_S if way.gateway.doubt is Doubt.REPORT else min(delay_s, UNSURE_S)
        again_at = self.clock.now_ns() + delay_s * NANOSECONDS
        await self._write_down(
            partial(queue.tried, id=message.id, attempts=attempts, next_attempt_at=again_at, reason=reason, in_doubt=in_doubt)
        )

    async def _give(self, way: Way, message: Message) -> str:
        try:
            return await way.gateway.send(Outbound(id=message.id, number=message.number, sender=way.sender, text=message.text))
        except (Refused, Unavailable):
            raise
        except Exception as error:
            # A bug in one gateway's module holds up neither the other gateways nor anybody's payments.
            # Where it happened, without the error's own words: a number or a text may stand in them.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("sms_gateway_failed", gateway=way.name, error=type(error).__name__, where=where)  # noqa: TRY400
            raise Unavailable(f"failed: {type(error).__name__}") from None

    def _is_believed(self, message: Message, way: Way) -> bool:
        """Whether a refusal is of the text, and not of us: when the gateway has taken another text since it refused this one first.

        With a wrong password everything is refused, and waits until the operator has put it right.
        """
        before = self._refused.setdefault(message.id, way.sent)
        return way.sent > before

    async def _leave(self, message: Message, fn: Callable[[Connection], None]) -> None:
        await self._write_down(fn)
        self._refused.pop(message.id, None)
        self.waiting = max(0, self.waiting - 1)

    async def _write_down(self, fn: Callable[[Connection], None]) -> None:
        """Until the store has it: what a gateway took must not be sent again because nobody wrote it down."""
        while True:
            try:
                return await self.store.write(fn)
            except Unavailable as error:
                log.warning("sms_not_recorded", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _tidy(self) -> None:
        """Gives up what is too old, counts what waits, and forgets what is long past."""
        now, moment = self.clock.now_ns(), self.clock.monotonic_ns()
        if await self.store.read(partial(queue.is_anything_old, now=now)):
            count = await self.store.write(partial(queue.expire, now=now))
            self.ended[State.EXPIRED] += count
            self.waiting = max(0, self.waiting - count)
        if moment - self._counted_at > COUNT_INTERVAL_S * NANOSECONDS:
            self._counted_at = moment
            self.waiting = await self.store.read(queue.waiting)
        if moment - self._pruned_at > PRUNE_INTERVAL_S * NANOSECONDS and not await self.store.write(partial(queue.prune, now=now)):
            self._pruned_at = moment

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until somebody wakes us."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()


def _is_secret(message: Message) -> bool:
    shape = KINDS.get(message.kind)
    return shape is None or shape.secret
