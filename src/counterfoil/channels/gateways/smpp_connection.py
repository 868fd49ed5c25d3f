"""One connection to an SMSC, from bind to its end: what we ask is matched with what it answers, and silence is noticed.

    Connection.open ── bind_transceiver ──> serve: reads until the end ──> raises Unavailable with the reason
                                             │ answers go to whoever waits in `request`
                                             └ deliver_sm goes to `take`, and is answered by `respond` whenever that is right

Requests and answers are made by aiosmpplib. Its own client is not used: it handles one message at a time, so that a screen that
waits for its answer would wait for itself; it puts parts of two senders' texts together; and it may write a late
acknowledgement to the next connection, where the number is another message's. Nothing of it that logs is used either.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiosmpplib import (
    BindTransceiver,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SmppCommand,
    SmppCommandStatus,
    SmppMessage,
    Unbind,
    UnbindResp,
)

from counterfoil.channels.gateways.smpp_pdu import HEADER, PDU_SIZE_MAX, Pdu
from counterfoil.channels.gateways.smpp_texts import words
from counterfoil.errors import Malformed, Refused, Unavailable

PORTS: Final = {"smpp": 2775, "smpps": 3550}
SEQUENCE_MAX: Final = 0x7FFFFFFF
LEAVE_S: Final = 2.0
"""Seconds that we wait for the SMSC to say good-bye."""
RESPONSE: Final = 0x80000000
"""What a command's answer has more in its number."""

_NEVER_BINDS = frozenset({SmppCommandStatus.ESME_RINVPASWD, SmppCommandStatus.ESME_RINVSYSID, SmppCommandStatus.ESME_RINVSYSTYP})


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Where the SMSC is, and who we are there."""

    host: str
    port: int
    user: str
    password: str
    system_type: str = ""
    secure: bool = False
    """By TLS, with a certificate that the machine's authorities know."""

    @classmethod
    def at(cls, url: str, *, user: str, password: str, system_type: str = "") -> Account:
        """`url` is like "smpp://192.0.2.7:2775", or "smpps://..." for TLS. Raises Malformed, naming the setting."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise Malformed("sms.url", "must be like smpp://192.0.2.7:2775") from None
        if parts.scheme not in PORTS or not parts.hostname or port == 0:
            raise Malformed("sms.url", "must be like smpp://192.0.2.7:2775")
        return cls(
            host=parts.hostname,
            port=port or PORTS[parts.scheme],
            user=user,
            password=password,
            system_type=system_type,
            secure=parts.scheme == "smpps",
        )

    def __post_init__(self) -> None:
        """SMPP has no room for more. Raises Malformed, naming the setting."""
        for name, size_max in (("user", 15), ("password", 8), ("system_type", 12)):
            value = getattr(self, name)
            if not (value.isascii() and len(value) <= size_max and value.isprintable()):
                raise Malformed(f"sms.{name}", f"must be at most {size_max} printable ASCII characters by SMPP")

    def __repr__(self) -> str:
        """For logs and traces: without the password."""
        return f"Account({self.host!r}, {self.port}, user={self.user!r})"


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds.

    Attributes:
        answer_s: for the answer to anything that we ask, the bind included.
        quiet_s: of silence before we ask whether the SMSC is still there.
        pause_s, pause_s_max: between two connections; doubled from one to the next, while none lasts as long as the longest.
        refused_s, refused_s_max: the same after a wrong password: SMSCs lock out who tries too often.
        part_s: that a part of a text is left unacknowledged for the others to come; an SMSC that sends nothing more before
            it is acknowledged would wait for ever.
    """

    answer_s: float = 30.0
    quiet_s: float = 30.0
    pause_s: float = 1.0
    pause_s_max: float = 60.0
    refused_s: float = 60.0
    refused_s_max: float = 900.0
    part_s: float = 3.0


class Connection:
    """One bound connection. `serve` has to run for `request` to be answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waits: Waits) -> None:
        self._reader = reader
        self._writer = writer
        self._waits = waits
        self._waiting: dict[int, asyncio.Future[Pdu]] = {}
        self._sequence = 0
        self._heard = asyncio.Event()
        self.end = ""
        """Why it is over; "" while it is not."""

    @classmethod
    async def open(cls, account: Account, waits: Waits) -> Connection:
        """Connects and binds as a transceiver. Raises Refused for a wrong user or password, Unavailable for anything else."""
        try:
            async with asyncio.timeout(waits.answer_s):
                tls = ssl.create_default_context() if account.secure else None
                reader, writer = await asyncio.open_connection(account.host, account.port, ssl=tls)
        except TimeoutError:
            raise Unavailable(f"the SMSC cannot be reached within {waits.answer_s:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(f"the SMSC's certificate is not good: {error.verify_message}") from None
        except (OSError, UnicodeError) as error:  # a name of a form that none can have is no OSError
            raise Unavailable(f"the SMSC cannot be reached: {getattr(error, 'strerror', '') or type(error).__name__}") from None
        connection = cls(reader, writer, waits)
        try:
            await connection._bind(account)
        except BaseException:
            connection.abort("it could not be bound")
            await connection._closed()
            raise
        return connection

    async def _bind(self, account: Account) -> None:
        sequence = self._next()
        bind = BindTransceiver(sequence_num=sequence, system_id=account.user, password=account.password, system_type=account.system_type)
        try:
            async with asyncio.timeout(self._waits.answer_s):
                await self._write(bind.pdu())
                answer = await self._read()
        except TimeoutError:
            raise Unavailable(f"the SMSC has not answered the bind within {self._waits.answer_s:g} s") from None
        if answer.command not in (SmppCommand.BIND_TRANSCEIVER_RESP, SmppCommand.GENERIC_NACK) or answer.sequence != sequence:
            raise Unavailable("the SMSC answered the bind with something else")
        if answer.status in _NEVER_BINDS:
            raise Refused(f"the SMSC does not know this user, password or system type: {words(answer.status)}")
        if answer.status or answer.command != SmppCommand.BIND_TRANSCEIVER_RESP:
            raise Unavailable(f"the SMSC does not bind us now: {words(answer.status)}")

    async def request(self, message: SmppMessage, options: bytes = b"") -> Pdu:
        """The SMSC's answer, whatever its status. `options` go behind the message's own.

        Raises Unavailable when there is none: the connection broke or `answer_s` went by. The SMSC may have heard it.
        """
        self._refuse_ended()
        sequence = message.sequence_num = self._next()
        answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = answer
        try:
            async with asyncio.timeout(self._waits.answer_s):
                await self._write(_with_options(message.pdu(), options))
                return await answer
        except TimeoutError:
            raise Unavailable(f"the SMSC has not answered within {self._waits.answer_s:g} s") from None
        finally:
            del self._waiting[sequence]
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # looked at, even if the connection ended while we still wrote

    async def respond(self, sequence: int, status: int = SmppCommandStatus.ESME_ROK) -> None:
        """Answers a deliver_sm of this connection. Nothing is sent when it is over: on another the number means another message."""
        if self.end:
            return
        try:
            async with asyncio.timeout(self._waits.answer_s):
                await self._write(DeliverSmResp(sequence, SmppCommandStatus(status)).pdu())
        except TimeoutError:
            self.abort("the SMSC reads nothing")
        except Unavailable as error:
            self.abort(error.detail)

    async def serve(self, take: Callable[[Pdu], Awaitable[None]]) -> None:
        """Reads until the connection ends; each deliver_sm is `take`n. Always raises Unavailable, with the reason."""
        keeper = asyncio.create_task(self._keep())
        try:
            while True:
                pdu = await self._read()
                self._heard.set()
                if pdu.command == SmppCommand.DELIVER_SM:
                    await take(pdu)
                else:
                    await self._handle(pdu)
        except Unavailable as error:
            self.abort(error.detail)
            raise Unavailable(self.end) from None
        finally:
            self.abort("stopped")
            keeper.cancel()
            await asyncio.wait([keeper])
            await self._closed()

    async def unbind(self) -> None:
        """Takes leave in order, where the SMSC still answers."""
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.request(Unbind())
        self.abort("stopped")

    def abort(self, reason: str) -> None:
        """Ends it at once: whoever waits hears Unavailable, and what is unacknowledged comes again. A repeat changes nothing."""
        if self.end:
            return
        self.end = reason
        self._writer.transport.abort()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable(f"the connection to the SMSC ended: {reason}"))

    async def _closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _handle(self, pdu: Pdu) -> None:
        """Answers of the SMSC, and what it asks besides deliver_sm."""
        if pdu.command & RESPONSE:
            answer = self._waiting.get(pdu.sequence)
            if answer is not None and not answer.done():
                answer.set_result(pdu)
        elif pdu.command == SmppCommand.ENQUIRE_LINK:
            await self._write(EnquireLinkResp(pdu.sequence).pdu())
        elif pdu.command == SmppCommand.UNBIND:
            await self._write(UnbindResp(pdu.sequence).pdu())
            raise Unavailable("the SMSC has unbound us")
        elif pdu.command != SmppCommand.ALERT_NOTIFICATION:  # the one that is never answered
            await self._write(GenericNack(pdu.sequence, SmppCommandStatus.ESME_RINVCMDID).pdu())

    async def _keep(self) -> None:
        """Asks after `quiet_s` of silence whether the SMSC is there; ends the connection when it does not say so."""
        while True:
            self._heard.clear()
            try:
                async with asyncio.timeout(self._waits.quiet_s):
                    await self._heard.wait()
            except TimeoutError:
                try:
                    await self.request(EnquireLink())
                except Unavailable as error:
                    self.abort(error.detail)
                    return

    async def _read(self) -> Pdu:
        try:
            size, command, status, sequence = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            if not HEADER.size <= size <= PDU_SIZE_MAX:
                raise Unavailable("the SMSC sent a message of an impossible size")
            return Pdu(command, status, sequence, await self._reader.readexactly(size - HEADER.size))
        except asyncio.IncompleteReadError:
            raise Unavailable(self.end or "the SMSC closed the connection") from None
        except OSError as error:
            raise Unavailable(self.end or f"the connection broke: {error.strerror or type(error).__name__}") from None

    async def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Unavailable(self.end or f"the connection broke: {error.strerror or type(error).__name__}") from None

    def _refuse_ended(self) -> None:
        if self.end:
            raise Unavailable(f"the connection to the SMSC ended: {self.end}")

    def _next(self) -> int:
        self._sequence = self._sequence % SEQUENCE_MAX + 1
        return self._sequence


def _with_options(pdu: bytes, options: bytes) -> bytes:
    return HEADER.pack(len(pdu) + len(options), *HEADER.unpack_from(pdu)[1:]) + pdu[HEADER.size :] + options
