"""Simple phones that live a life (`life.Way`): by dialling a code, or by texts, through whatever carries either."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Protocol
from urllib.parse import quote_from_bytes

from smpp34 import SubmitSmEvent

from counterfoil.channels.gateways.smpp_pdu import text_of
from counterfoil.channels.sms.commands import WORDS, Action
from counterfoil.channels.sms.encoding import is_gsm7, septets
from counterfoil.channels.ussd.fitting import writable
from counterfoil.channels.ussd.repeats import LATE_S
from counterfoil.channels.ussd.screens import ASK
from tests.channels.gateways.smsc import Smsc, eventually, option
from tests.flow.life import NUMBER, Town
from tests.kannel import SENDER, Kannel
from tests.web.test_callbacks import Phone

PLACES = {"en": "1", "ko": "2", "fr": "3"}
"""Of the languages on the first screen."""
QUESTION = re.compile(r"(?<![0-9.,])([0-9]{4})(?![0-9]|[.,][0-9])")


class Dialling(Protocol):
    """What carries the screens. Each returns (what is shown, whether it ends)."""

    async def dial(self) -> tuple[str, bool]: ...

    async def type(self, text: str) -> tuple[str, bool]: ...


class Dialled:
    """Somebody who dials a code for everything. `line` makes a phone for one session."""

    def __init__(self, town: Town, line: Callable[[], Dialling], *, told: Callable[[], Awaitable[list[str]]]) -> None:
        self.town = town
        self._line = line
        self._phone: Dialling
        self._told = told
        self.shown = ""
        self.ends = False

    async def _go(self, *typed: str) -> str:
        """A new session, in which all this is typed; the screen that is shown then."""
        self._phone = self._line()
        self.shown, self.ends = await self._phone.dial()
        if self.ends:  # a payment took long: whoever dials again is told first what became of it
            self._phone = self._line()
            self.shown, self.ends = await self._phone.dial()
        return await self._type(*typed)

    async def _type(self, *typed: str) -> str:
        """A gateway that numbers no hops may seem to repeat what is typed twice within LATE_S. Then the same screen stays: who sees it
        takes more time, and types again."""
        for each in typed:
            assert not self.ends, f"{each!r} typed after {self.shown!r}"
            before = self.shown
            self.shown, self.ends = await self._phone.type(each)
            if self.shown == before:
                self.town.site.wait(LATE_S)
                self.shown, self.ends = await self._phone.type(each)
            assert self.shown != before, f"{each!r} typed in vain: {before}"
        return self.shown

    async def _choose(self, words: str) -> str:
        """Looks for a line through all pages, and chooses it."""
        while (found := re.search(rf"^([1-8]) {re.escape(writable(words))}", self.shown, re.MULTILINE)) is None:
            assert "\n9 " in self.shown, (words, self.shown)
            await self._type("9")
        return await self._type(found[1])

    async def _agree(self, shows: str, pin: str) -> str:
        """Reads the whole screen, and agrees."""
        read = self.shown
        while "\n9 " in self.shown:
            read += await self._type("9")
        assert shows in read, read
        await self._type(pin)
        assert self.ends, self.shown
        return self.shown

    async def join(self, name: str, pin: str) -> str:
        shown = await self._go(PLACES[self.town.language.code], "1", name, pin, pin)
        assert name in shown
        return shown

    async def bring_cash(self, agent: str, amount: int, pin: str) -> str:
        await self._go("3", "1", agent, self.town.typed(amount))
        return await self._agree("Kiosk", pin)

    async def send(self, to: str, amount: int, pin: str, *, shows: str) -> str:
        await self._go("1", to.removeprefix("@"), self.town.typed(amount))
        return await self._agree(shows, pin)

    async def buy(self, code: str, amount: int, pin: str, *, shows: str) -> str:
        await self._go("2", code, self.town.typed(amount))
        return await self._agree(shows, pin)

    async def ask(self, whom: str, amount: int, pin: str, *, shows: str) -> str:
        await self._go("4", pin)
        await self._choose(self.town.language.text(ASK))
        assert shows in await self._type(whom)
        assert self.town.money(amount) in await self._type(self.town.typed(amount))
        await self._type("1")
        assert self.ends
        return self.shown

    async def accept(self, who: str, amount: int, pin: str, *, is_open: bool = False) -> str:
        await self._go("4", pin)
        await self._choose(who)
        await self._type("1", *([self.town.typed(amount)] if is_open else []))
        return await self._agree(self.town.money(amount), pin)

    async def decline(self, who: str, amount: int, pin: str) -> str:
        await self._go("4", pin)
        await self._choose(f"{who} {self.town.money(amount)}")
        return await self._type("2")

    async def fetch_cash(self, agent: str, amount: int, pin: str, *, shows: str) -> str:
        await self._go("3", "2", agent, self.town.typed(amount))
        return await self._agree(shows, pin)

    async def balance(self, pin: str) -> str:
        return await self._go("5", pin)

    async def latest(self, pin: str) -> str:
        read = await self._go("6", pin)
        while "\n9 " in self.shown:
            read += await self._type("9")
        return read

    async def change_pin(self, old: str, new: str) -> str:
        return await self._go("7", "1", old, new, new)

    async def lock(self, pin: str) -> str:
        return await self._go("7", "3", pin)

    async def fail_to_send(self, to: str, amount: int, pin: str) -> str:
        return await self.send(to, amount, pin, shows="Rose Wanjiru")

    async def unlock(self, pin: str) -> str:
        return await self._go("7", "3", pin)

    async def told(self) -> list[str]:
        return await self._told()


class Texting(Protocol):
    """What carries the texts."""

    async def write(self, text: str) -> None: ...

    def texts(self) -> list[str]: ...


class Texted:
    """Somebody who writes texts for everything."""

    def __init__(self, town: Town, line: Texting) -> None:
        self.town = town
        self._line = line
        self._pin = WORDS[Action.PIN][town.language.code][0]
        """As she and the scheme call it."""

    async def write(self, action: Action, *words: str, shows: str = "", code: bool = False) -> str:
        """Writes a command in her language; the text that answers it, if one is waited for by what it `shows`."""
        return await self._say(" ".join((WORDS[action][self.town.language.code][0], *words)), shows, code=code)

    async def _say(self, text: str, shows: str, *, code: bool = False) -> str:
        """`code`: what is waited for has one, and is no other text that came meanwhile."""
        before, found = len(self._line.texts()), list[str]()
        await self._line.write(text)

        def is_told() -> bool:
            found[:] = [each for each in self._line.texts()[before:] if shows in each and (not code or QUESTION.search(each))]
            return bool(found)

        if shows:
            await self.town.until(is_told)
        return found[0] if found else ""

    async def _agree(self, pins: str, action: Action, *words: str, shows: tuple[str, ...] = (), then: str = "") -> str:
        """Writes a command, reads the question, and texts back its code."""
        question = await self.write(action, *words, shows=self._pin, code=True)
        assert all(each in question for each in shows), question
        code = QUESTION.search(question)
        assert code is not None, question
        return await self._say(f"{code[1]} {pins}", then)

    async def join(self, name: str, pin: str) -> str:
        return await self._agree(pin, Action.JOIN, name, shows=(name,), then=name)

    async def bring_cash(self, agent: str, amount: int, pin: str) -> str:
        return await self._agree(pin, Action.ASK, agent, self.town.typed(amount), shows=("Kiosk", self.town.money(amount)), then="Kiosk")

    async def send(self, to: str, amount: int, pin: str, *, shows: str) -> str:
        terms = (shows, self.town.money(amount))
        return await self._agree(pin, Action.PAY, to, self.town.typed(amount), shows=terms, then=shows)

    async def buy(self, code: str, amount: int, pin: str, *, shows: str) -> str:
        return await self.send(code, amount, pin, shows=shows)

    async def ask(self, whom: str, amount: int, pin: str, *, shows: str) -> str:
        terms = (shows, self.town.money(amount))
        return await self._agree(pin, Action.ASK, whom, self.town.typed(amount), shows=terms, then=shows)

    async def accept(self, who: str, amount: int, pin: str, *, is_open: bool = False) -> str:
        given = [self.town.typed(amount)] if is_open else []
        return await self._agree(pin, Action.YES, *given, shows=(who, self.town.money(amount)), then=who)

    async def decline(self, who: str, amount: int, pin: str) -> str:
        return await self.write(Action.NO, shows=who)

    async def fetch_cash(self, agent: str, amount: int, pin: str, *, shows: str) -> str:
        terms = (shows, self.town.money(amount))
        return await self._agree(pin, Action.CASH, agent, self.town.typed(amount), shows=terms, then=shows)

    async def balance(self, pin: str) -> str:
        return await self.write(Action.BALANCE, pin, shows=self.town.money(self.town.ama.balance()))

    async def latest(self, pin: str) -> str:
        return await self.write(Action.LAST, pin, shows=self.town.money(4_040))

    async def change_pin(self, old: str, new: str) -> str:
        return await self._agree(f"{old} {new}", Action.PIN, then=self._pin)

    async def lock(self, pin: str) -> str:
        return await self.write(Action.LOCK, pin)

    async def fail_to_send(self, to: str, amount: int, pin: str) -> str:
        return await self.write(Action.PAY, to, self.town.typed(amount), shows=self.town.money(amount))

    async def unlock(self, pin: str) -> str:
        return await self._agree(pin, Action.UNLOCK)

    async def told(self) -> list[str]:
        return self._line.texts()


# What carries it

_sessions = itertools.count(1)


def dialled_at(town: Town, kind: str) -> Dialled:
    """Through the real callback of a gateway of that kind; what is told by text stands in the sandbox."""

    async def told() -> list[str]:
        return [each.text for each in reversed(await town.services.sms.to_number(NUMBER))]

    return Dialled(town, lambda: Phone(town.site, kind, NUMBER, f"life-{next(_sessions)}"), told=told)


class SmscLine:
    """One phone in the network of an SMSC: its screens, and its texts."""

    SERVICE, SESSION_INFO = 0x0501, 0x1383

    def __init__(self, smsc: Smsc) -> None:
        self.smsc = smsc
        self._session = 0
        self._sequence = 0

    async def dial(self) -> tuple[str, bool]:
        self._session, self._sequence = self._session % 255 + 1, 0
        return await self._hop("*384#")

    async def type(self, text: str) -> tuple[str, bool]:
        self._sequence += 1
        return await self._hop(text)

    async def _hop(self, text: str) -> tuple[str, bool]:
        info = bytes([self._session, self._sequence << 1])
        options = [option(self.SERVICE, b"\x12" if self._sequence else b"\x01"), option(self.SESSION_INFO, info)]
        before = len(self._screens())
        assert await self.smsc.say(bytes(septets(text)), source_addr=NUMBER[1:], service_type="USSD", tlvs=options) == 0
        await eventually(lambda: len(self._screens()) > before)
        event = self._screens()[-1]
        ends = next(each.value for each in event.tlvs if each.tag == self.SERVICE) == b"\x11"
        return text_of(event.short_message, event.data_coding) or "", ends

    async def write(self, text: str) -> None:
        content, coding = (bytes(septets(text)), 0) if is_gsm7(text) else (text.encode("utf-16-be"), 8)
        assert await self.smsc.say(content, source_addr=NUMBER[1:], data_coding=coding) == 0

    def texts(self) -> list[str]:
        """Those that are whole."""
        return whole(self._parts())

    def _parts(self) -> Iterator[tuple[int, int, str]]:
        for event in self.smsc.submits:
            if event.service_type == "USSD" or f"+{event.destination_addr}" != NUMBER:
                continue
            _, _, _, reference, parts, _ = event.short_message[:6] if event.esm_class & 0x40 else (0, 0, 0, 0, 1, 0)
            content = event.short_message[6:] if parts > 1 else event.short_message
            yield reference, parts, text_of(content, event.data_coding) or ""

    async def told(self) -> list[str]:
        return self.texts()

    def _screens(self) -> list[SubmitSmEvent]:
        return [each for each in self.smsc.submits if each.service_type == "USSD"]


class KannelLine:
    """One phone in the network of Kannel's fake SMSC, on whose line to bearerbox it speaks as well."""

    def __init__(self, kannel: Kannel) -> None:
        self.kannel = kannel
        self._is_there = asyncio.Event()
        self._to_bearerbox: asyncio.StreamWriter
        self._copying: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[KannelLine]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            self.kannel.start_network(through=server.sockets[0].getsockname()[1])
            await self._is_there.wait()
            yield self
        finally:
            server.close()
            for task in self._copying:
                task.cancel()
            await asyncio.gather(*self._copying, return_exceptions=True)
            await server.wait_closed()

    async def _connect(self, phones: asyncio.StreamReader, to_phones: asyncio.StreamWriter) -> None:
        bearerbox, self._to_bearerbox = await asyncio.open_connection("127.0.0.1", self.kannel.network_port)
        self._copying |= {asyncio.create_task(_copy(phones, self._to_bearerbox)), asyncio.create_task(_copy(bearerbox, to_phones))}
        self._is_there.set()

    async def write(self, text: str) -> None:
        content = f"text {text}" if text.isascii() else f"ucs2 {quote_from_bytes(text.encode('utf-16-be'))}"
        self._to_bearerbox.write(f"{NUMBER} {SENDER} {content}\n".encode())

    def texts(self) -> list[str]:
        return whole((each.reference, each.parts, each.text) for each in self.kannel.shown() if each.number == NUMBER)


def whole(parts: Iterable[tuple[int, int, str]]) -> list[str]:
    """The texts of one phone, in the order in which they became whole. A part: reference, how many there are, words; others come between."""
    found: list[str] = []
    begun: dict[int, list[str]] = {}
    for reference, count, words in parts:
        if count == 1:
            found.append(words)
            continue
        begun.setdefault(reference, []).append(words)
        if len(begun[reference]) == count:
            found.append("".join(begun.pop(reference)))
    return found


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
