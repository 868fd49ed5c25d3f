"""Watchers by text: asking somebody to watch, taking them away, and what those say who are asked.

What begins or ends watching takes a code and the PIN, as a text can be sent in anybody's name; what only shows takes the PIN. No to
somebody who asks is done at once: nothing was told yet, and the asker hears of it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from counterfoil.channels.consent import Consent
from counterfoil.channels.sms import answers
from counterfoil.channels.sms.answering import Answering, House, Reply
from counterfoil.channels.sms.commands import Action, Command
from counterfoil.channels.sms.received import DraftKind, Waiting
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Forbidden
from counterfoil.i18n import Language
from counterfoil.ids import id_text, parse_id
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.parties.watchers import Watcher, WatcherState


class Deed(enum.StrEnum):
    """What is agreed to."""

    ASK = "ask"
    TAKE_AWAY = "take_away"
    ACCEPT = "accept"
    LEAVE = "leave"


class Agreed(msgspec.Struct, frozen=True):
    """What waits for code and PIN of `party`. `id`: of the account that is to watch (ASK), else of the watcher; `name` as it was shown."""

    party: str
    deed: Deed
    id: str
    name: str


class Watching(Answering):
    """The part of `replying.Sender` that is about watchers."""

    def __init__(self, house: House, number: str, holder: Holder) -> None:
        super().__init__(house, number, Language(holder.language))
        self.holder = holder
        self.consent = Consent(
            payments=house.payments, requests=house.requests, config=house.config, language=self.language, account=holder.account,
            look_ups=house.look_ups,
        )  # fmt: skip

    # Those who watch over the sender

    async def watch(self, command: Command) -> Reply:
        """Asks somebody to watch, or keeps who was taken away."""
        if self.holder.kind is not PartyKind.CUSTOMER:
            raise Forbidden
        if not command.address:
            return self.problem(answers.USAGE_WATCH, word=self.word(command.action))
        found = await self.consent.payee(command.address)
        if found.party == self.holder.party:
            return self.problem(answers.NOT_YOURSELF)
        known = _of(await self.house.parties.watchers.of(self.holder.party), found.party)
        if known is not None and known.until is None:
            return Reply(self._line(known, mine=True), Action.WATCH)
        return await self._question(answers.WATCH, Deed.ASK, found.account, found.name)

    async def unwatch(self, command: Command) -> Reply:
        """Takes a watcher away; the only one where none is named."""
        mine = [each for each in await self.house.parties.watchers.of(self.holder.party) if each.until is None]
        watcher = await self._meant(mine, command, of="watcher")
        if watcher is None:
            return self.problem(answers.WHICH_WATCHER, word=self.word(command.action))
        sentence = answers.UNASK if watcher.state is WatcherState.ASKED else answers.UNWATCH
        return await self._question(sentence, Deed.TAKE_AWAY, watcher.id, watcher.watcher_name)

    async def watchers(self, command: Command) -> Reply:
        """Who watches over the sender, and over whom the sender watches."""
        if not command.pin:
            return self.problem(answers.WITH_PIN, word=self.word(command.action))
        watchers, party = self.house.parties.watchers, self.holder.party
        await self.house.parties.pins.check(party, command.pin)
        mine, others = await watchers.of(party), await watchers.watched_by(party)
        others.sort(key=lambda each: each.state is not WatcherState.ASKED)
        lines = [*(self._line(each, mine=True) for each in mine), *(self._line(each, mine=False) for each in others)]
        return Reply(answers.listed(lines) if lines else self.say(answers.NO_WATCHERS), Action.WATCHERS)

    # Those over whom the sender watches

    async def accept(self, command: Command) -> Reply:
        """Says yes to whoever asked last, or to the one who is named."""
        asked = await self._asked(command)
        if asked is None:
            return self.problem(answers.NOBODY_ASKS)
        return await self._question(answers.ACCEPT, Deed.ACCEPT, asked.id, asked.name)

    async def decline(self, command: Command) -> Reply:
        """Says no, at once."""
        asked = await self._asked(command)
        if asked is None:
            return self.problem(answers.NOBODY_ASKS)
        await self.house.parties.watchers.decline(asked.id, watcher=self.holder.party)
        return Reply(answers.named(lambda shown: self.say(answers.DECLINED, name=shown), asked.name), Action.DECLINE)

    async def leave(self, command: Command) -> Reply:
        """Ends the watching over somebody; the only one where none is named."""
        watched = [each for each in await self._watched() if each.state is WatcherState.WATCHING]
        watcher = await self._meant(watched, command, of="party")
        if watcher is None:
            return self.problem(answers.WHICH_WATCHED, word=self.word(command.action))
        return await self._question(answers.LEAVE, Deed.LEAVE, watcher.id, watcher.name)

    # On code and PIN

    async def agreed_to_watch(self, waiting: Waiting, pin: str) -> Reply:
        """Does what was asked; a repeat of this text changes nothing. Where a notice tells the sender of it, that is the answer."""
        house, party, agreed = self.house, self.holder.party, msgspec.json.decode(waiting.body, type=Agreed)
        if agreed.party != id_text(party):
            return self.problem(answers.WRONG_CODE)  # the number has changed hands since
        await house.parties.pins.check(party, pin)
        watchers, number = house.parties.watchers, parse_id(agreed.id)
        sentence = ""
        if agreed.deed is Deed.ASK:
            await watchers.ask(party, await house.parties.holder(number), by=party)
        elif agreed.deed is Deed.TAKE_AWAY:
            taken = await watchers.take_away(number, party=party, by=party)
            sentence = answers.UNASKED if taken.state is WatcherState.ENDED else ""
        elif agreed.deed is Deed.ACCEPT:
            await watchers.accept(number, watcher=party)
            sentence = answers.YOU_WATCH
        else:
            await watchers.leave(number, watcher=party)
            sentence = answers.LEFT
        said = answers.named(lambda shown: self.say(sentence, name=shown), agreed.name) if sentence else ""
        return Reply(said, Action.CONFIRM)

    # Parts

    async def _question(self, sentence: str, deed: Deed, number: int, name: str) -> Reply:
        hours = str(-(-self.house.parties.watchers.notice_s // 3_600))

        def say(code: str) -> str:
            return answers.named(lambda shown: self.say(sentence, name=shown, code=code, hours=hours), name)

        return await self.question(
            DraftKind.WATCH, msgspec.json.encode(Agreed(id_text(self.holder.party), deed, id_text(number), name)), say
        )

    async def _watched(self) -> list[Watcher]:
        return await self.house.parties.watchers.watched_by(self.holder.party)

    async def _asked(self, command: Command) -> Watcher | None:
        """Who asks the sender: the one who is named, else the last one."""
        asked = [each for each in await self._watched() if each.state is WatcherState.ASKED]
        if command.address:
            return _of(asked, (await self.consent.payee(command.address)).party, of="party")
        return asked[-1] if asked else None

    async def _meant(self, found: Sequence[Watcher], command: Command, *, of: str) -> Watcher | None:
        if command.address:
            return _of(found, (await self.consent.payee(command.address)).party, of=of)
        return found[0] if len(found) == 1 else None

    def _line(self, watcher: Watcher, *, mine: bool) -> str:
        name, until = watcher.watcher_name if mine else watcher.name, ""
        if watcher.state is WatcherState.ASKED:
            sentence = answers.IS_ASKED if mine else answers.ASKS_YOU
        elif watcher.until is None:
            sentence = answers.WATCHES if mine else answers.YOU_WATCH
        else:
            sentence = answers.WATCHES_UNTIL if mine else answers.YOU_WATCH_UNTIL
            until = f"{datetime.fromtimestamp(watcher.until // NANOSECONDS, UTC).astimezone(self.house.zone):%m-%d %H:%M}"
        return answers.named(lambda shown: self.say(sentence, name=shown, time=until), name)


def _of(found: Sequence[Watcher], party: int, *, of: str = "watcher") -> Watcher | None:
    """The one of this party: as who watches, or (`of` "party") as whose account it is."""
    return next((each for each in found if getattr(each, of) == party), None)
