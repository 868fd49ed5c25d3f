"""Commands by text: what comes in is understood, done once, and answered by one text at most.

    BAL 2580                     ──>  the balance
    PAY 0712345678 200           ──>  "Pay Ama 200.00, fee 1.00, in all 201.00? Text back 4821 and your PIN ..."
    4821 2580                    ──>  paid, by the very order that was shown

A text can be sent in anybody's name. So nothing that moves money, asks for it or shows what is in an account happens on a
text alone: it takes the holder's PIN, and for all that does something a code of one try that only the number's owner is sent.
PINs are counted by `parties.pins`, and a text acts for its own number only. Nothing of what was written is kept or logged.

The same text twice, by the gateway's own reference, or word by word within a minute where it gives none, is done and answered
once. A text that was broken off is taken up by its repeat: the order that was drafted is the same, so it pays once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection

from counterfoil.channels.look_ups import LookUps
from counterfoil.channels.sms import received
from counterfoil.channels.sms.answering import PROBLEM, House, Reply
from counterfoil.channels.sms.commands import Action, Command, parse
from counterfoil.channels.sms.received import Begun
from counterfoil.channels.sms.replying import Sender, Stranger
from counterfoil.channels.sms.types import Inbound
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.config import Config
from counterfoil.errors import Malformed, PartyNotFound
from counterfoil.i18n import Language, languages
from counterfoil.ids import new_id
from counterfoil.ledger.service import Ledger
from counterfoil.parties.journal import send_sms
from counterfoil.parties.numbers import masked_number, parse_number
from counterfoil.parties.pin_brake import asked_from
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Holder, PartyState
from counterfoil.payments.history import History
from counterfoil.payments.requests import Requests
from counterfoil.payments.service import Payments
from counterfoil.store.database import Store

log = structlog.get_logger(__name__)

PER_MINUTE_MAX: Final = 20
"""Texts of one number that are looked at in a minute; the others are not answered."""
PER_HOUR_MAX: Final = 100
"""The same in an hour: each is answered at our cost."""
PROBLEMS_PER_HOUR_MAX: Final = 10
"""Answers of one number in an hour that say what is wrong: a machine that answers ours is left alone after these."""
SAME_S: Final = 60
"""Seconds in which the same words of the same number, from a gateway without references, are the same text."""
REMEMBERED_MAX: Final = 20_000
"""Numbers remembered for both."""
PRUNE_S: Final = 3_600
SILENT: Final = "silent"


class Inbox:
    """Texts that come in, from all gateways."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        parties: Parties,
        payments: Payments,
        requests: Requests,
        ledger: Ledger,
        history: History,
        clock: Clock,
        look_ups: LookUps | None = None,
    ) -> None:
        self._house = House(
            config=config, store=store, parties=parties, payments=payments, requests=requests, ledger=ledger, history=history,
            clock=clock, zone=ZoneInfo(config.time_zone), look_ups=look_ups, offered=list(languages(config.languages)),
        )  # fmt: skip
        self._region = config.region
        self._store = store
        self._clock = clock
        self._seen = _Seen(clock)
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._pruned_at = 0

    async def receive(self, text: Inbound) -> None:
        """Takes one text: done and answered on return. Raises Unavailable where it is to be sent again; a repeat does no harm.

        What comes from no phone number, or from one that writes too much, is dropped without an answer.
        """
        number = self._number(text.number)
        if number is None:
            log.info("text_without_number", gateway=text.gateway)
            return
        lock, users = self._turns.get(number, (asyncio.Lock(), 0))
        self._turns[number] = (lock, users + 1)
        try:
            async with lock:
                await self._receive(text, number)
        finally:
            lock, users = self._turns.pop(number)
            if users > 1:
                self._turns[number] = (lock, users - 1)

    async def _receive(self, text: Inbound, number: str) -> None:
        mark = self._seen.mark(text, number)
        if self._seen.is_too_much(number) or (not text.reference and self._seen.is_repeat(number, mark)):
            log.info("text_dropped", gateway=text.gateway, number=masked_number(number))
            return
        command = parse(text.text, region=self._region, currency=self._house.config.currency.code)
        received_id, begun = await self._begin(text, number, command)
        if begun is Begun.DONE:
            return
        with asked_from("sms", text.gateway):
            reply, party = await self._answered(command, number)
        await self._store.write(lambda connection: self._end(connection, received_id, number, party, reply))
        if not text.reference:
            self._seen.keep(number, mark)

    def _number(self, text: str) -> str | None:
        """E.164; gateways write it with or without the +."""
        for spelled in (text if text.startswith("+") else f"+{text}", text):
            try:
                return parse_number(spelled, self._region)
            except Malformed:
                continue
        return None

    async def _begin(self, text: Inbound, number: str, command: Command) -> tuple[int, Begun]:
        now, fresh = self._clock.now_ns(), new_id(self._clock)
        prunes = now - self._pruned_at > PRUNE_S * NANOSECONDS

        def begin(connection: Connection) -> tuple[int, Begun]:
            if prunes:
                received.prune(connection, now)
            return received.begin(
                connection, id=fresh, gateway=text.gateway[:32], reference=text.reference[:128], number=number, kind=command.action,
                now=now,
            )  # fmt: skip

        found = await self._store.write(begin)
        if prunes:
            self._pruned_at = now
        return found

    def _end(self, connection: Connection, id: int, number: str, party: int | None, reply: Reply) -> None:
        """The answer, in the transaction that says that the text was answered."""
        now, kind = self._clock.now_ns(), reply.kind
        if kind == PROBLEM and received.count(connection, number, PROBLEM, now - received.HOUR_NS) >= PROBLEMS_PER_HOUR_MAX:
            kind = SILENT
        if kind == Action.UNKNOWN and received.count(connection, number, Action.UNKNOWN, now - received.HOUR_NS):
            kind = SILENT
        if not received.end(connection, id, kind, now) or kind == SILENT:
            return
        if reply.first is not None:
            reply.first(connection)
        if reply.text:
            send_sms(connection, self._clock, number, "answer_secret" if reply.secret else "answer", party=party, text=reply.text)

    async def _answered(self, command: Command, number: str) -> tuple[Reply, int | None]:
        """What the text comes to, and whose number it is. Raises Unavailable where nobody knows."""
        try:
            holder: Holder | None = await self._house.parties.resolve(number)
        except PartyNotFound:
            holder = None
        if holder is None or holder.state is not PartyState.OPEN:
            spoken = command.spoken if command.spoken in self._house.offered else self._house.offered[0]
            return await Stranger(self._house, number, Language(spoken)).answered(command), None
        return await Sender(self._house, number, holder).answered(command), holder.party


class _Seen:
    """How much each number writes, and what it wrote last: in memory only, under a key that ends with the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = clock.random_bytes(32)
        self._times: OrderedDict[str, list[int]] = OrderedDict()
        self._last: OrderedDict[str, tuple[bytes, int]] = OrderedDict()

    def mark(self, text: Inbound, number: str) -> bytes:
        return hmac.digest(self._key, f"{text.gateway}\0{number}\0{text.text}".encode(errors="replace"), hashlib.sha256)

    def is_too_much(self, number: str) -> bool:
        """Counts one text of a number; True when it was one too many."""
        now = self._clock.monotonic_ns()
        times = [at for at in self._times.pop(number, []) if now - at < 3_600 * NANOSECONDS]
        this_minute = sum(now - at < 60 * NANOSECONDS for at in times)
        too_much = this_minute >= PER_MINUTE_MAX or len(times) >= PER_HOUR_MAX
        self._times[number] = times if too_much else [*times, now]
        while len(self._times) > REMEMBERED_MAX:
            self._times.popitem(last=False)
        return too_much

    def is_repeat(self, number: str, mark: bytes) -> bool:
        kept, at = self._last.get(number, (b"", 0))
        return hmac.compare_digest(kept, mark) and self._clock.monotonic_ns() - at < SAME_S * NANOSECONDS

    def keep(self, number: str, mark: bytes) -> None:
        """Remembers a text that was answered. One that was not may come again."""
        self._last[number] = (mark, self._clock.monotonic_ns())
        self._last.move_to_end(number)
        while len(self._last) > REMEMBERED_MAX:
            self._last.popitem(last=False)
