"""Whoever of the town serves strangers: agents take the cash of anybody who asks, and answer a message.

So somebody who opens a wallet of their own has money in it a few seconds after they asked an agent for it.
"""

from __future__ import annotations

import asyncio

import structlog

from counterfoil.clock import Clock
from counterfoil.commands.demo.cast import Actor, Cast
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.trade import FLOAT_MIN
from counterfoil.errors import Refused, Unavailable
from counterfoil.ids import new_id, parse_id
from counterfoil.payments.forms import Purpose
from counterfoil.payments.hub import MESSAGE_RECEIVED, REQUEST_RECEIVED, Listener
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.requests import PaymentRequest, RequestState
from counterfoil.web.services import Services

log = structlog.get_logger(__name__)

COUNTING_MS = (800, 2_500)
"""Milliseconds that an agent needs to count cash, and anybody to write an answer."""
_ANSWERS = {
    "en": "Hello! Ask me for a cash-in in your wallet, and I pay it out to you at once.",
    "ko": "안녕하세요! 지갑에서 현금 입금을 요청하시면 바로 넣어 드려요.",
    "fr": "Bonjour ! Demandez-moi un dépôt dans votre portefeuille, et je le verse aussitôt.",
}


class Counter:
    """The town's agents at their counters."""

    def __init__(self, services: Services, cast: Cast, dice: Dice, clock: Clock) -> None:
        self.services = services
        self.cast = cast
        self.dice = dice
        self.clock = clock
        self._town = {actor.account for actor in (*cast.people, *cast.merchants, *cast.agents, *cast.banks)}

    async def run(self) -> None:
        """Serves for ever, each agent one customer after the other; first those who asked while nobody was there."""
        async with asyncio.TaskGroup() as group:
            for agent in self.cast.agents:
                group.create_task(self._serve(agent))

    async def _serve(self, agent: Actor) -> None:
        while True:
            listener = self.services.hub.subscribe(agent.account, (REQUEST_RECEIVED, MESSAGE_RECEIVED))
            try:
                for request in await self.services.requests.of_account(agent.account):
                    await self.answer(agent, request.id)
                await self._listen(agent, listener)
            except Unavailable as error:
                log.info("counter_waits", detail=error.detail)
                await asyncio.sleep(1)
            finally:
                listener.close()

    async def _listen(self, agent: Actor, listener: Listener) -> None:
        """Until there were more than the listener remembers: then the lists are looked through again."""
        while event := await listener.next():
            await asyncio.sleep(self.dice.between(*COUNTING_MS) / 1_000)
            if event.type == REQUEST_RECEIVED:
                await self.answer(agent, parse_id(event.ids["request"]))
            elif (stranger := parse_id(event.ids["from"])) not in self._town:
                await self._greet(agent, stranger)

    async def answer(self, agent: Actor, request_id: int) -> bool:
        """Pays a customer's cash in, once; False for what is no open request for that, or was refused."""
        request = await self.services.requests.find(request_id, agent.account)
        if request.state is not RequestState.OPEN or request.purpose is not Purpose.CASH_IN or request.payer != agent.account:
            return False
        try:
            await self._pay_in(agent, request)
        except Refused as refusal:  # above a limit of theirs, or somebody else was quicker
            log.debug("counter_refused", code=refusal.code)
            return False
        return True

    async def _pay_in(self, agent: Actor, request: PaymentRequest) -> None:
        assert request.amount is not None, "a cash-in has an amount"
        account = self.services.ledger.account_now(agent.account)
        assert account is not None, agent.label
        float_amount = account.credits_posted - account.debits_posted - account.debits_pending
        if float_amount < request.amount + FLOAT_MIN:
            await self._pay(self.dice.pick(self.cast.banks), agent.account, request.amount + 5 * FLOAT_MIN, memo="float")
        await self._pay(agent, request.payee, request.amount, reference=request.id)

    async def _pay(self, payer: Actor, payee: int, amount: int, *, reference: int = 0, memo: str = "") -> None:
        quote = await self.services.payments.quote(payer=payer.account, payee=payee, amount=amount, reference=reference)
        await self.services.payments.pay(
            payer.signs.order(
                OrderKind.PAY,
                payee,
                amount,
                id=new_id(self.clock),
                now_ns=self.clock.now_ns(),
                max_fee=quote.fee,
                reference=reference,
                memo=memo,
            )
        )

    async def _greet(self, agent: Actor, stranger: int) -> None:
        """Says how to get money, in the stranger's language, unless they have heard it already. The scheme itself reads no answers."""
        talk = self.services.conversations
        if stranger == talk.scheme_account:
            return
        await talk.read(agent.account, stranger)
        if any(message.sender == agent.account for message in await talk.messages(agent.account, stranger, limit=20)):
            return
        language = (await self.services.parties.holder(stranger)).language
        try:
            await talk.send(id=new_id(self.clock), sender=agent.account, recipient=stranger, text=_ANSWERS.get(language, _ANSWERS["en"]))
        except Refused as refusal:
            log.debug("counter_silent", code=refusal.code)
