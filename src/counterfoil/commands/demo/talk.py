"""What the town says: people write to each other and to shops while it trades, in the languages they speak."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from counterfoil.clock import Clock
from counterfoil.commands.demo.cast import Actor, Cast, id_of
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.town import Merchant, Person
from counterfoil.errors import Refused, Unavailable
from counterfoil.ids import new_id
from counterfoil.web.services import Services

log = structlog.get_logger(__name__)

OPEN_MAX = 6
"""Conversations that go on at the same time."""
STEPS_A_LINE = 5
"""The town trades this many times while one line is written."""

Script = tuple[str, ...]
"""Lines by turns; whoever begins writes the first, third, ..."""

_PEOPLE: dict[str, tuple[Script, ...]] = {
    "en": (
        ("Are you at the harbour?", "Yes, by the ferry steps.", "Lunch at Anchor Café?", "Give me ten minutes."),
        ("Did the water bill come?", "Yesterday. I paid it.", "I'll send you half.", "No hurry."),
        ("Thanks for last night!", "Any time. You owe me a song."),
        ("The boat needs paint again.", "How much?", "About 40 for the tin.", "I'm in for half."),
    ),
    "ko": (
        ("점심 먹었어요?", "아직요. 서울식당 갈까요?", "좋아요, 12시 반에 봐요.", "네!"),
        ("어제 밥값 얼마였죠?", "둘이 24달러요.", "반 보낼게요.", "고마워요."),
        ("생선 샀어요?", "고등어 두 마리요.", "잘했어요. 저녁에 구워요."),
        ("엄마, 병원 다녀오셨어요?", "그래, 다 괜찮대.", "다행이에요. 약값 보내드릴게요."),
    ),
    "fr": (
        ("Tu passes à la boulangerie ?", "Oui, il te faut quelque chose ?", "Deux baguettes, merci !", "C’est noté."),
        ("Bien arrivé ?", "Oui, le ferry avait vingt minutes de retard.", "Comme toujours."),
        ("On fait le cadeau d’Élodie à deux ?", "Volontiers. Combien ?", "Quinze chacun ?", "Parfait, je t’envoie ça."),
    ),
    "ar": (("كيف حالك اليوم؟", "بخير والحمد لله.", "نلتقي في السوق؟", "إن شاء الله"), ("شكرا على الهدية", "العفو")),
    "sw": (("Habari za asubuhi?", "Nzuri sana, na wewe?", "Nzuri. Uko sokoni?", "Ndiyo, karibu."), ("Asante kwa jana", "Karibu sana")),
}
_SHOPS: dict[str, tuple[Script, ...]] = {
    "en": (
        ("Are you open on Sunday?", "Until noon, yes."),
        ("I left my umbrella, is it there?", "It is. I'll keep it for you.", "Thank you!"),
        ("Do you have it in blue?", "Two left. Shall I put one aside?", "Please do."),
    ),
    "ko": (
        ("오늘 몇 시까지 하세요?", "저녁 8시까지 해요."),
        ("예약할 수 있을까요? 네 명이요.", "네, 7시 괜찮으세요?", "좋아요. 감사합니다!"),
        ("영수증 다시 받을 수 있나요?", "지갑에서 결제를 누르면 보여요.", "아, 찾았어요."),
    ),
    "fr": (
        ("Vous êtes ouverts demain ?", "Oui, dès sept heures."),
        ("Je voudrais commander un gâteau pour samedi.", "Avec plaisir. Pour combien ?", "Huit personnes.", "C’est noté, merci."),
    ),
}


class Talking:
    """Writes the town's messages, one `step` at a time. With `id_seed`, ids follow from it; otherwise from clock and chance."""

    def __init__(self, services: Services, cast: Cast, dice: Dice, clock: Clock, *, id_seed: str = "") -> None:
        self.services = services
        self.cast = cast
        self.dice = dice
        self.clock = clock
        self.written = 0
        self._id_seed = id_seed
        self._open: deque[tuple[Actor, Actor, Script]] = deque()
        self._shops = [actor for actor in cast.merchants if isinstance(actor.who, Merchant) and actor.who.weight]

    async def run(self, pace: float) -> None:
        """About `pace` / `STEPS_A_LINE` lines a second, for ever; nothing at a pace of 0."""
        assert pace >= 0, pace
        if not pace:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(self.dice.between(500, 1_500) / 1_000 * STEPS_A_LINE / pace)
            await self.step()

    async def step(self) -> None:
        """One line is written, in a conversation that goes on or in a new one."""
        if not self._open or (len(self._open) < OPEN_MAX and self.dice.chance(30)):
            self._open.append(self._begin())
        writer, reader, script = self._open.popleft()
        try:
            await self._write(writer, reader, script[0])
        except Refused as refusal:  # the one of the two is frozen or closed by now, or whoever looks has blocked somebody
            log.debug("town_silent", code=refusal.code)
            return
        except Unavailable as error:
            log.info("town_waits", detail=error.detail)
            return
        if script[1:]:
            self._open.append((reader, writer, script[1:]))

    def _begin(self) -> tuple[Actor, Actor, Script]:
        person = self.dice.pick(self.cast.people)
        assert isinstance(person.who, Person)
        language = person.who.language
        if language in _SHOPS and self.dice.chance(40):
            return person, self.dice.pick(self._shops), self.dice.pick(_SHOPS[language])
        other = self.dice.pick([each for each in self._speakers(language) if each is not person])
        return person, other, self.dice.pick(_PEOPLE[language])

    def _speakers(self, language: str) -> Sequence[Actor]:
        return [actor for actor in self.cast.people if isinstance(actor.who, Person) and actor.who.language == language]

    async def _write(self, writer: Actor, reader: Actor, text: str) -> None:
        """Writes a line; who answers has read what came before."""
        talk = self.services.conversations
        await talk.read(writer.account, reader.account)
        await talk.send(id=self._new_id(), sender=writer.account, recipient=reader.account, text=text)
        self.written += 1

    def _new_id(self) -> int:
        return id_of(self._id_seed, f"message/{self.written}") if self._id_seed else new_id(self.clock)
