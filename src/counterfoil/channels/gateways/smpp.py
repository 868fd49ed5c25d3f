"""An operator's SMSC by SMPP 3.4: texts out with their receipts, texts in, and USSD, over one connection.

    run        connects, binds, reads; begins anew with growing pauses when the connection ends
    send       submit_sm for each part ──> the SMSC's id of the last part, whose receipt is the whole text's
    deliver_sm ──> receipt: `reported` · text: `received` · USSD: `answer`, then a submit_sm with the screen

Something that came in is acknowledged only when the callback has returned, so it is kept by then. When a callback fails for a
text or a receipt, the connection ends and the SMSC sends again whatever it has no acknowledgement of: at least once. Messages of
one sender are handled one after the other, those of different senders together. A text in parts is acknowledged when all
of it is kept. An SMSC that does not send the next part before is acknowledged after `part_s`; should this process die between
those two, the text is lost, as if it had never been sent.

Needs the extra `smpp`: this module is imported only where a gateway of this kind is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec
import structlog
from aiosmpplib import TON, SmppCommand, SmppCommandStatus

from counterfoil.channels.gateways import smpp_ussd
from counterfoil.channels.gateways.smpp_connection import Account, Connection, Waits
from counterfoil.channels.gateways.smpp_parts import PARTS_MAX, Parts
from counterfoil.channels.gateways.smpp_pdu import (
    RECEIPTED_MESSAGE_ID,
    USSD_SERVICE_OP,
    Delivered,
    Garbage,
    Pdu,
    part_of,
    read_delivered,
    receipt_of,
    text_of,
)
from counterfoil.channels.gateways.smpp_references import References
from counterfoil.channels.gateways.smpp_texts import ADDRESS_SIZE_MAX, check_taken, submit_of_screen, submits, words
from counterfoil.channels.sms.types import Doubt, Inbound, Outbound, Report
from counterfoil.channels.ussd.types import Hop, Screen
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Malformed, Refused, Unavailable
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.pin_brake import asked_from

log = structlog.get_logger(__name__)

WINDOW_MAX: Final = 10
"""Texts that wait for the SMSC's answer at a time: what most SMSCs allow."""
IN_HAND_MAX: Final = 200
"""Messages that came in and are not acknowledged; beyond, nothing more is read."""
SCREENS_MAX: Final = 50
"""USSD screens that do: they do not stand behind texts."""
PART_SIZE_MAX: Final = 1_000
"""Bytes of one part of a text."""
TEXT_SIZE_MAX: Final = 10_000
"""Bytes of a text in one message."""

_TRY_LATER, _NEVER_AGAIN = SmppCommandStatus.ESME_RX_T_APPN, SmppCommandStatus.ESME_RX_R_APPN


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to tell what came in. Each returns when it is kept. `answer` None: no USSD over this connection."""

    received: Callable[[Inbound], Awaitable[None]]
    reported: Callable[[Report], Awaitable[None]]
    answer: Callable[[Hop], Awaitable[Screen]] | None = None
    ended: Callable[[str, str], Awaitable[None]] | None = None


class Smpp:
    """A gateway of kind smpp. `run` in the background, until `stop`; `send` from anywhere."""

    def __init__(
        self,
        name: str,
        account: Account,
        heard: Heard,
        *,
        clock: Clock,
        region: str,
        sender: str = "",
        in_options: bool = False,
        waits: Waits | None = None,
    ) -> None:
        """`region`: whose numbers come without a country code. `in_options`: parts are told by sar options instead of headers."""
        self.name = name
        self.doubt = Doubt.NOTHING  # an SMSC knows neither our ids nor, without its own, how to be asked
        self._account = account
        self._heard = heard
        self._clock = clock
        self._region = region
        self._sender = sender
        self._in_options = in_options
        self._waits = waits or Waits()
        self._part_s = self._waits.part_s
        self._connection: Connection | None = None
        self._tried = asyncio.Event()
        self._failure: Refused | Unavailable | None = None
        self._stopping = asyncio.Event()
        self._opening: asyncio.Task[Connection] | None = None
        self._window = asyncio.Semaphore(WINDOW_MAX)
        self._screens = asyncio.Semaphore(SCREENS_MAX)
        self._references = References()
        self._parts = Parts()
        self._waiting_parts: dict[object, dict[int, tuple[Connection, int]]] = {}
        self._sequences = smpp_ussd.Sequences()
        self._in_hand = asyncio.Semaphore(IN_HAND_MAX)
        self._last_of: dict[str, asyncio.Task[None]] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()

    # Out

    async def send(self, text: Outbound) -> str:
        """Hands a text over; returns the SMSC's id of it, by which its receipt will come: of the last part, where it has several.

        The same text again is the same parts with the same reference: phones show it once where the first try arrived in half.
        Raises Unavailable and Refused as `sms.types.Gateway` says.
        """
        messages = submits(text, text.sender or self._sender, in_options=self._in_options)
        connection = await self._connected()
        reference = ""
        for message in messages:
            async with self._window:
                answer = await connection.request(message)
            check_taken(answer)
            reference = answer.body.partition(b"\x00")[0].decode("ascii", errors="replace")
        return self._references.sent(reference, text.id) if reference else ""

    async def _connected(self) -> Connection:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._waits.answer_s):
                await self._tried.wait()
        if self._connection is not None:
            return self._connection
        if isinstance(self._failure, Refused):
            raise Refused(self._failure.detail)
        raise Unavailable(self._failure.detail if self._failure else "the SMSC is not connected")

    # The connection

    async def run(self) -> None:
        """Keeps the connection until `stop`. What goes wrong there is never raised: it is logged, and told to whoever sends."""
        try:
            await self._run()
        finally:
            for task in self._handling | self._answering:
                task.cancel()

    async def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping.is_set():
            began = self._clock.monotonic_ns()
            try:
                await self._serve_once()
            except (Refused, Unavailable) as error:
                self._failure = error
                self._tried.set()
                if self._stopping.is_set():
                    break
                first, last = self._waits.pause_s, self._waits.pause_s_max
                if isinstance(error, Refused):
                    first, last = self._waits.refused_s, self._waits.refused_s_max
                lasted_s = (self._clock.monotonic_ns() - began) / NANOSECONDS
                pause_s = min(max(first, 0.0 if lasted_s > last else pause_s * 2), last)
                log.warning("smpp_disconnected", gateway=self.name, reason=error.detail, pause_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _serve_once(self) -> None:
        self._opening = asyncio.create_task(Connection.open(self._account, self._waits))
        try:
            connection = await self._opening
        except asyncio.CancelledError:
            if self._stopping.is_set():
                raise Unavailable("stopped") from None
            raise
        finally:
            self._opening = None
        if self._stopping.is_set():
            connection.abort("stopped")
        self._connection, self._failure = connection, None
        self._tried.set()
        log.info("smpp_bound", gateway=self.name)
        try:
            await connection.serve(lambda pdu: self._take(connection, pdu))
        finally:
            self._connection = None

    async def stop(self) -> None:
        """Lets what is in hand be kept and acknowledged, takes leave of the SMSC, and ends `run`. Safe to repeat."""
        self._stopping.set()
        if self._opening is not None:
            self._opening.cancel()
        if self._handling:
            await asyncio.wait(set(self._handling), timeout=self._waits.answer_s)
            await asyncio.sleep(0)  # their screens go out before the good-bye
        if self._connection is not None:
            await self._connection.unbind()
        self._tried.set()

    async def close(self) -> None:
        """As `stop`."""
        await self.stop()

    # In

    async def _take(self, connection: Connection, pdu: Pdu) -> None:
        """A deliver_sm: on with it as soon as the sender's last one is through."""
        try:
            message = read_delivered(pdu.body)
        except Garbage:
            log.warning("smpp_garbage", gateway=self.name, bytes=len(pdu.body))
            await connection.respond(pdu.sequence, _NEVER_AGAIN)
            return
        if self._stopping.is_set():
            return
        await self._in_hand.acquire()
        task = asyncio.create_task(self._handle(connection, pdu.sequence, message, self._last_of.get(message.source)))
        self._last_of[message.source] = task
        self._handling.add(task)
        task.add_done_callback(lambda done: self._handled(done, message.source))

    def _handled(self, task: asyncio.Task[None], source: str) -> None:
        self._handling.discard(task)
        if self._last_of.get(source) is task:
            del self._last_of[source]

    async def _handle(self, connection: Connection, sequence: int, message: Delivered, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await asyncio.wait([before])
            if connection.end:
                return
            if message.service_type == smpp_ussd.SERVICE_TYPE or USSD_SERVICE_OP in message.options:
                await self._dialogue(connection, sequence, message)
                return
            await self._text(connection, sequence, message)
        except Garbage:
            log.warning("smpp_garbage", gateway=self.name, bytes=len(message.content))
            await connection.respond(sequence, _NEVER_AGAIN)
        except Exception as error:
            self._log_failure("smpp_not_kept", error)
            connection.abort("what came in could not be kept")
        finally:
            self._in_hand.release()

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._beside_done)

    def _beside_done(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._log_failure("smpp_failed", error)

    def _log_failure(self, event: str, error: Exception) -> None:
        """Where it failed, without the words of the error: they may repeat what somebody wrote."""
        where = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-3:]]
        log.error(event, gateway=self.name, error=type(error).__name__, where=where)

    async def _text(self, connection: Connection, sequence: int, message: Delivered) -> None:
        """A receipt or a text: kept, then acknowledged."""
        if (receipt := receipt_of(message)) is not None:
            if receipt.id:
                reference = self._references.receipted(receipt.id)
                report = Report(gateway=self.name, id=self._references.text(reference), reference=reference, delivery=receipt.delivery)
                await self._heard.reported(report)
            else:
                log.warning("smpp_receipt_without_id", gateway=self.name)
            await connection.respond(sequence)
            return
        part, content = part_of(message)
        if len(content) > (PART_SIZE_MAX if part else TEXT_SIZE_MAX) or (part and part.total > PARTS_MAX):
            raise Garbage("the text is too long")
        if part is None:
            await self._keep(message, content)
            await connection.respond(sequence)
            return
        key = (message.source, message.destination, part.reference)
        whole = self._parts.add(key, part, content, self._clock.monotonic_ns())
        if whole is None:
            waiting = self._waiting_parts.setdefault(key, {})
            waiting[part.number] = (connection, sequence)
            asyncio.get_running_loop().call_later(self._part_s, self._acknowledge_later, key, part.number, connection, sequence)
            return
        if whole:
            await self._keep(message, whole)
            self._parts.done(key)
        for earlier, its_sequence in self._waiting_parts.pop(key, {}).values():
            await earlier.respond(its_sequence)
        await connection.respond(sequence)

    def _acknowledge_later(self, key: object, number: int, connection: Connection, sequence: int) -> None:
        """The other parts have not come: the SMSC may wait for this acknowledgement. From now on it is given at once."""
        waiting = self._waiting_parts.get(key, {})
        if waiting.get(number) != (connection, sequence):
            return
        del waiting[number]
        if not waiting:
            self._waiting_parts.pop(key, None)
        if not connection.end:
            self._part_s = 0.0
            self._beside(connection.respond(sequence))

    async def _keep(self, message: Delivered, content: bytes) -> None:
        text, number = text_of(content, message.data_coding), self._number(message)
        if text is None or number is None:
            log.info("smpp_not_a_text", gateway=self.name)  # binary, or from a name and not a telephone
            return
        reference = message.options.get(RECEIPTED_MESSAGE_ID, b"").rstrip(b"\x00").decode("ascii", errors="replace")
        await self._heard.received(Inbound(gateway=self.name, number=number, text=text, reference=reference))

    def _number(self, message: Delivered) -> str | None:
        """The sender in E.164; None for a name or a short number."""
        digits = message.source.removeprefix("+")
        if message.source_ton == TON.ALPHANUMERIC or not (digits.isascii() and digits.isdigit()):
            return None
        if message.source_ton == TON.INTERNATIONAL or message.source.startswith("+"):
            return f"+{digits}" if 7 <= len(digits) <= 15 else None
        for text in (digits, f"+{digits}"):
            with contextlib.suppress(Malformed):
                return parse_number(text, self._region)
        return None

    # USSD

    async def _dialogue(self, connection: Connection, sequence: int, message: Delivered) -> None:
        """A hop is answered by a screen. A failure is told to the network, which ends that session, and disturbs no other."""
        number = self._number(message)
        if self._heard.answer is None:
            await connection.respond(sequence, SmppCommandStatus.ESME_RINVSERTYP)
            return
        if number is None or len(message.destination) > ADDRESS_SIZE_MAX:
            raise Garbage("the source is no telephone, or the service no number")
        dialogue = smpp_ussd.read_dialogue(self.name, number, message)
        if dialogue.ends:
            self._sequences.forget(dialogue.session)
        try:
            if dialogue.ends and self._heard.ended is not None:
                await self._heard.ended(self.name, dialogue.session)
            mark = self._sequences.mark(dialogue) if dialogue.hop else None
            if dialogue.hop is None or mark is None:
                await connection.respond(sequence)
                return
            with asked_from("ussd", self.name):
                screen = await self._heard.answer(msgspec.structs.replace(dialogue.hop, mark=mark))
        except Exception as error:
            self._log_failure("smpp_ussd_failed", error)
            await connection.respond(sequence, _TRY_LATER)
            return
        await connection.respond(sequence)
        # Its answer is waited for elsewhere: the phone's next hop may be here before it.
        self._beside(self._show(connection, dialogue.session, message, screen))

    async def _show(self, connection: Connection, session: str, message: Delivered, screen: Screen) -> None:
        submit = submit_of_screen(message, screen)
        options = smpp_ussd.screen_options(message, ends=screen.ends)
        try:
            async with self._screens:
                answer = await connection.request(submit, options)
        except Unavailable as error:
            log.warning("smpp_screen_not_shown", gateway=self.name, reason=error.detail)
            return
        if answer.command == SmppCommand.SUBMIT_SM_RESP and not answer.status:
            self._sequences.shown(session)
        else:
            log.warning("smpp_screen_not_shown", gateway=self.name, reason=words(answer.status))
