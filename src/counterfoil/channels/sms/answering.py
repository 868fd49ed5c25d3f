"""How a text is answered: what strangers and holders have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from counterfoil.channels.look_ups import LookUps
from counterfoil.channels.sms import answers, received
from counterfoil.channels.sms.commands import Action, Command
from counterfoil.channels.sms.encoding import plain_marks
from counterfoil.channels.sms.received import DraftKind, Waiting
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.i18n import Language
from counterfoil.ids import new_id
from counterfoil.ledger.service import Ledger
from counterfoil.parties.service import Parties
from counterfoil.payments.history import History
from counterfoil.payments.requests import Requests
from counterfoil.payments.service import Payments
from counterfoil.store.database import Store

PROBLEM: Final = "problem"
"""What an answer is counted as that says what is wrong."""


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What answering needs. `look_ups`: None for no bound; `offered`: languages that we speak, the first one to whom we do not know."""

    config: Config
    store: Store
    parties: Parties
    payments: Payments
    requests: Requests
    ledger: Ledger
    history: History
    clock: Clock
    zone: ZoneInfo
    look_ups: LookUps | None
    offered: Sequence[str]


class Reply(msgspec.Struct, frozen=True):
    """One answer. `text` "" for none. `kind`: what the text is counted as. `secret`: there is a one-time code in it.

    `first` is written in the transaction of the answer.
    """

    text: str = ""
    kind: str = ""
    secret: bool = False
    first: Callable[[Connection], None] | None = None


class Answering:
    """What strangers and holders have in common."""

    def __init__(self, house: House, number: str, language: Language) -> None:
        self.house = house
        self.number = number
        self.language = language

    def say(self, sentence: str, **values: str) -> str:
        return plain_marks(self.language.text(sentence, **values))

    def word(self, action: Action) -> str:
        return answers.word(action, self.language)

    def problem(self, sentence: str, **values: str) -> Reply:
        return Reply(self.say(sentence, **values), PROBLEM)

    def unknown(self) -> Reply:
        return Reply(self.say(answers.UNKNOWN, word=self.word(Action.HELP)), Action.UNKNOWN)

    async def question(self, kind: DraftKind, body: bytes, say: Callable[[str], str], *, id: int = 0) -> Reply:
        """Asks for code and PIN. `say` puts the code into words; it is kept with what is to be done, in one transaction."""
        house, number = self.house, self.number
        now = house.clock.now_ns()
        if await house.store.read(lambda connection: received.wrong_codes(connection, number, now)) >= received.WRONG_PER_HOUR_MAX:
            return self.problem(answers.TOO_MANY_CODES)
        code = f"{int.from_bytes(house.clock.random_bytes(8)) % 10_000:04}"

        def keep(connection: Connection) -> None:
            received.draft(connection, id=id or new_id(house.clock), number=number, kind=kind, code=code, body=body, now=now)

        return Reply(say(code), kind, secret=True, first=keep)

    async def agreed(self, command: Command) -> Waiting | None:
        """What the sender agrees to, if the code is right."""
        now, number = self.house.clock.now_ns(), self.number
        return await self.house.store.write(lambda connection: received.answer(connection, number=number, code=command.code, now=now))
