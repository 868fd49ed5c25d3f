"""What a text comes to: for the holder of its number, and for somebody whose number has no account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Connection

from counterfoil.channels.consent import ASKED_FOR_S, Draft, Problem
from counterfoil.channels.movements import amount_of, latest
from counterfoil.channels.sms import answers
from counterfoil.channels.sms.answering import PROBLEM, Answering, Reply
from counterfoil.channels.sms.commands import Action, Command
from counterfoil.channels.sms.encoding import plain_marks
from counterfoil.channels.sms.received import DraftKind
from counterfoil.channels.sms.watching import Watching
from counterfoil.clock import NANOSECONDS
from counterfoil.errors import AccountFrozen, AlreadyTaken, CounterfoilError, Malformed, Refused, Unavailable
from counterfoil.i18n import Language
from counterfoil.ids import id_text, new_id
from counterfoil.parties.journal import send_sms
from counterfoil.parties.notices import reached_by_text_only
from counterfoil.parties.numbers import parse_name, parse_pin
from counterfoil.parties.types import Freeze, PartyKind
from counterfoil.payments import forms, orders
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.requests import PaymentRequest
from counterfoil.payments.types import Receipt

LOCK_REASON: Final = "locked by its holder, by text"
UNLOCK_REASON: Final = "unlocked by its holder, by text"


class Stranger(Answering):
    """Somebody whose number has no account."""

    async def answered(self, command: Command) -> Reply:
        if command.action is Action.JOIN:
            return await self.join(command)
        if command.action is Action.CONFIRM:
            return await self.joined(command)
        if command.action is Action.UNKNOWN:
            return Reply(self.say(answers.NO_ACCOUNT, word=self.word(Action.JOIN)), Action.UNKNOWN)
        return self.problem(answers.NO_ACCOUNT, word=self.word(Action.JOIN))

    async def join(self, command: Command) -> Reply:
        if not command.name:
            return self.problem(answers.USAGE_JOIN, word=self.word(Action.JOIN))
        try:
            name = parse_name(command.name)
        except Malformed:
            return self.problem(answers.BAD_NAME, word=self.word(Action.JOIN))
        body = msgspec.json.encode([name, self.language.code])
        return await self.question(
            DraftKind.JOIN, body, lambda code: answers.named(lambda shown: self.say(answers.JOIN, name=shown, code=code), name)
        )

    async def joined(self, command: Command) -> Reply:
        waiting = await self.agreed(command)
        if waiting is None or waiting.kind is not DraftKind.JOIN:
            return self.problem(answers.WRONG_CODE)
        name, code = msgspec.json.decode(waiting.body, type=tuple[str, str])
        self.language = Language(code)
        try:
            parse_pin(command.pin)
        except Malformed:
            return self.problem(answers.EASY_PIN, word=self.word(Action.JOIN))
        try:
            await self.house.parties.enrolment.open_by_number(number=self.number, name=name, language=code, pin=command.pin, channel="sms")
        except AlreadyTaken:
            return self.problem(answers.HAS_ACCOUNT)
        return Reply(kind=Action.JOIN)  # the welcome is a notice of its own


class Sender(Watching):
    """The holder of the number that a text came from."""

    async def answered(self, command: Command) -> Reply:
        do = {
            Action.BALANCE: self.balance,
            Action.PAY: self.pay,
            Action.CASH: self.pay,
            Action.ASK: self.ask,
            Action.YES: self.yes,
            Action.NO: self.no,
            Action.LAST: self.last,
            Action.LOCK: self.lock,
            Action.UNLOCK: self.unlock,
            Action.PIN: self.new_pin,
            Action.CONFIRM: self.confirm,
            Action.LANGUAGE: self.speak,
            Action.WATCH: self.watch,
            Action.UNWATCH: self.unwatch,
            Action.WATCHERS: self.watchers,
            Action.ACCEPT: self.accept,
            Action.DECLINE: self.decline,
            Action.LEAVE: self.leave,
        }.get(command.action)
        if do is None:
            return self.fixed(command)
        try:
            return await do(command)
        except Problem as problem:
            return Reply(plain_marks(problem.sentence), PROBLEM)
        except Refused as refusal:
            return self.refused(refusal)

    def refused(self, refusal: CounterfoilError) -> Reply:
        return Reply(plain_marks(f"{self.consent.sentence(refusal)} {self.say(answers.NOTHING_DONE)}"), PROBLEM)

    def fixed(self, command: Command) -> Reply:
        if command.action is Action.HELP:
            return Reply(plain_marks(answers.help_text(self.language)), Action.HELP)
        if command.action is Action.JOIN:
            return self.problem(answers.HAS_ACCOUNT)
        return self.unknown()

    # What is in the account: on a PIN

    async def balance(self, command: Command) -> Reply:
        if not command.pin:
            return self.problem(answers.WITH_PIN, word=self.word(command.action))
        await self.house.parties.pins.check(self.holder.party, command.pin)
        account = self.house.ledger.account_now(self.holder.account)
        if account is None:
            raise Unavailable("the ledger does not know this account yet")
        said = [self.say(answers.BALANCE, balance=self.consent.money(account.credits_posted - account.debits_posted))]
        if account.debits_pending:
            said.append(self.say(answers.HELD, held=self.consent.money(account.debits_pending)))
        return Reply(" ".join(said), Action.BALANCE)

    async def last(self, command: Command) -> Reply:
        if not command.pin:
            return self.problem(answers.WITH_PIN, word=self.word(command.action))
        await self.house.parties.pins.check(self.holder.party, command.pin)
        lines = []
        for movement in await latest(self.house.history, self.holder.account):
            at = datetime.fromtimestamp(movement.at // NANOSECONDS, UTC).astimezone(self.house.zone)
            amount = amount_of(movement, self.language, self.house.config.currency)
            lines.append(f"{at:%m-%d} {amount} {(await self.consent.name(movement.counterparty))[:12]}")
        return Reply(answers.listed(lines) if lines else self.say(answers.NOTHING_YET), Action.LAST)

    # What does something: on a code and a PIN

    async def pay(self, command: Command) -> Reply:
        if not command.address or not command.amount:
            return self.problem(answers.USAGE, word=self.word(command.action))
        draft = await self.consent.draft(to=command.address, amount=command.amount, memo=command.note)
        if command.action is Action.CASH and draft.kind is not OrderKind.HOLD:
            return self.problem(answers.USAGE, word=self.word(command.action))
        return await self.asked_to_agree(draft)

    async def yes(self, command: Command) -> Reply:
        request = await self.newest_request()
        if request is None:
            return self.problem(answers.NOT_ASKED)
        return await self.asked_to_agree(await self.consent.draft_for(request, command.amount))

    async def no(self, command: Command) -> Reply:
        """Moves nothing and shows nothing but the name that the request's own notice has told."""
        request = await self.newest_request()
        if request is None:
            return self.problem(answers.NOT_ASKED)
        await self.house.requests.decline(request.id, self.holder.account)
        name = await self.consent.name(request.payee)
        return Reply(answers.named(lambda shown: self.say(answers.DECLINED, name=shown), name), Action.NO)

    async def newest_request(self) -> PaymentRequest | None:
        return next(iter(await self.consent.open_requests()), None)

    async def asked_to_agree(self, draft: Draft) -> Reply:
        sentence = answers.CASH if draft.kind is OrderKind.HOLD else answers.PAY
        money = self.consent.money
        amounts = {"amount": money(draft.amount), "fee": money(draft.fee), "total": money(draft.total)}

        def say(code: str) -> str:
            question = answers.named(lambda shown: self.say(sentence, name=shown, code=code, **amounts), draft.payee_name)
            return answers.noted(question, draft.memo, self.language) if draft.reference else question

        return await self.question(DraftKind.PAY, orders.encode(self.consent.order(draft)), say, id=draft.id)

    async def ask(self, command: Command) -> Reply:
        """A request to pay; to an agent, the customer's half of a cash in."""
        if not command.address or not command.amount:
            return self.problem(answers.USAGE, word=self.word(command.action))
        payer, amount = await self.consent.payee(command.address), self.consent.amount(command.amount)
        memo = self.consent.memo(command.note)
        cash_in = payer.kind is PartyKind.AGENT and self.holder.kind is PartyKind.CUSTOMER
        rules, now_ms = self.house.payments.rules, self.house.clock.now_ns() // 1_000_000
        form = forms.RequestToPay(
            origin=rules.origin, asset=rules.currency.code, payee=self.holder.account, payer=payer.account, amount=amount,
            id=new_id(self.house.clock), expiry_ms=now_ms + ASKED_FOR_S * 1_000,
            purpose=forms.Purpose.CASH_IN if cash_in else forms.Purpose.PAY, memo=memo,
        )  # fmt: skip
        sentence = answers.CASH_IN if cash_in else answers.ASK

        def say(code: str) -> str:
            return answers.named(lambda shown: self.say(sentence, name=shown, code=code, amount=self.consent.money(amount)), payer.name)

        return await self.question(DraftKind.ASK, forms.encode(form), say, id=form.id)

    async def confirm(self, command: Command) -> Reply:
        """Does what was asked, once: a repeat of this text finds the same order again."""
        waiting = await self.agreed(command)
        if waiting is None:
            return self.problem(answers.WRONG_CODE)
        if waiting.kind is DraftKind.JOIN:
            return Reply(kind=Action.JOIN)  # a repeat of what opened this account: the welcome has told it
        if command.new_pin and waiting.kind is not DraftKind.PIN:
            return self.unknown()
        if waiting.kind is DraftKind.ASK:
            form = forms.decode(waiting.body, forms.RequestToPay)
            if form.payee != self.holder.account:
                return self.problem(answers.WRONG_CODE)  # the number has changed hands since
            await self.house.parties.pins.check(self.holder.party, command.pin)
            await self.house.requests.create_under_mandate(form)
            name, amount = await self.consent.name(form.payer), self.consent.money(form.amount)
            return Reply(answers.named(lambda shown: self.say(answers.ASKED, name=shown, amount=amount), name), Action.ASK)
        if waiting.kind is DraftKind.PIN:
            return await self.change_pin(command, asked_at_pin=int.from_bytes(waiting.body))
        if waiting.kind is DraftKind.UNLOCK:
            return await self.unlocked(command)
        if waiting.kind is DraftKind.WATCH:
            return await self.agreed_to_watch(waiting, command.pin)
        order = orders.decode(waiting.body)
        if order.payer != self.holder.account:
            return self.problem(answers.WRONG_CODE)
        receipt = await self.house.payments.pay_by_pin(order, command.pin)
        return Reply(kind=Action.CONFIRM, first=self.receipt(receipt, await self.consent.name(receipt.payment.payee)))

    def receipt(self, receipt: Receipt, name: str) -> Callable[[Connection], None]:
        """Tells a payer who has a device, too, by text: those without one are told of all their money (`money.MoneyTexts`)."""
        payment, house, number, party = receipt.payment, self.house, self.number, self.holder.party
        kind = "held" if payment.kind is OrderKind.HOLD else "paid"
        fee = payment.fee if payment.fee_paid_by is PaidBy.PAYER else 0

        def write(connection: Connection) -> None:
            if payment.payer not in reached_by_text_only(connection, [payment.payer]):
                send_sms(
                    connection, house.clock, number, kind, party=party, name=name, amount=payment.amount, fee=fee,
                    balance=receipt.available, held=receipt.balance - receipt.available, at=receipt.completed_at,
                    payment=id_text(payment.id), account=id_text(payment.payer),
                )  # fmt: skip

        return write

    async def lock(self, command: Command) -> Reply:
        """Nothing can leave the account until it is unlocked on the menu or by staff. The notice of it is the answer."""
        if not command.pin:
            return self.problem(answers.WITH_PIN, word=self.word(command.action))
        house, party = self.house, self.holder.party
        await house.parties.pins.check(party, command.pin)
        if self.own_freezes():
            return Reply(self.say(answers.LOCKED, word=self.word(Action.UNLOCK)), Action.LOCK)
        await house.parties.staff.freeze(new_id(house.clock), party, reason=LOCK_REASON, by=party)
        return Reply(kind=Action.LOCK)

    async def unlock(self, command: Command) -> Reply:
        if not self.own_freezes():
            return self.problem(AccountFrozen.sentence() if self.holder.freezes else answers.NOT_LOCKED)
        return await self.question(DraftKind.UNLOCK, b"", lambda code: self.say(answers.UNLOCK, code=code))

    async def unlocked(self, command: Command) -> Reply:
        """The notice of it is the answer."""
        await self.house.parties.pins.check(self.holder.party, command.pin)
        for freeze in self.own_freezes():
            await self.house.parties.staff.unfreeze(freeze.id, reason=UNLOCK_REASON, by=self.holder.party)
        return Reply(kind=Action.UNLOCK)

    def own_freezes(self) -> list[Freeze]:
        """What the holder locked and nobody has unlocked since."""
        now, party = self.house.clock.now_ns(), self.holder.party
        return [each for each in self.holder.freezes if each.by == party and (each.expires_at is None or each.expires_at > now)]

    async def new_pin(self, command: Command) -> Reply:
        set_at = await self.house.parties.pins.set_at(self.holder.party)
        return await self.question(DraftKind.PIN, set_at.to_bytes(8), lambda code: self.say(answers.NEW_PIN, code=code))

    async def change_pin(self, command: Command, *, asked_at_pin: int) -> Reply:
        """`asked_at_pin`: when (ns) the PIN was set that was to be changed. A repeat of what was broken off finds the new one set."""
        pins, party = self.house.parties.pins, self.holder.party
        try:
            parse_pin(command.new_pin)
        except Malformed:
            return self.problem(answers.EASY_NEW_PIN)
        if await pins.set_at(party) != asked_at_pin:
            await pins.check(party, command.new_pin)
        else:
            await pins.change(party, command.pin, command.new_pin)
        return Reply(self.say(answers.PIN_CHANGED), Action.PIN)

    async def speak(self, command: Command) -> Reply:
        if command.language not in self.house.offered:
            return self.problem(answers.WHICH_LANGUAGE, word=self.word(Action.LANGUAGE), codes=answers.codes_of(self.house.offered))
        await self.house.parties.enrolment.set_language(self.holder.party, command.language)
        self.language = Language(command.language)
        return Reply(self.say(answers.LANGUAGE), Action.LANGUAGE)
