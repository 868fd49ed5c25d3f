"""Whose will a payment was, and on which terms: a signed order, or a lawful exception; fee and limit by the rules in force."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from counterfoil_verify.book import AGENT, CUSTOMER, FEES, GRACE_NS, HOLDERS, MERCHANT, NS, ZERO32, Account, Book, Leg
from counterfoil_verify.payloads import sized
from counterfoil_verify.report import Refuted
from counterfoil_verify.rules import AMOUNT_MAX, Rules
from counterfoil_verify.spending import Calendar

HOUR_NS, LIFETIME_NS = 3_600 * NS, 7 * 86_400 * NS
ORDER, BATCH, STANDING = struct.Struct(">16s16sQQ16sQQQ32s32sB16sI"), struct.Struct(">16s16sIQQQ32s"), struct.Struct(">16s16sQQ16sQBI")
ORDER_SIZE_MAX = 1_024
PAY, HOLD, CAPTURE, RELEASE, REFUND, REVERSAL = 1, 2, 3, 4, 5, 6
PURCHASE, CASH_OUT = 2, 4
DEVICE, PIN, CARD, STAFF, MANDATE, TOKEN = range(1, 7)
BY_STAFF, BY_PAYEE, TO_SOMEBODY = frozenset((0, 6, 7, 8)), frozenset((CAPTURE, RELEASE)), frozenset((PAY, HOLD))
LINES_SKIPPED_MAX = 1_000
DAYS = {1: 1, 2: 7, 3: 28}


@dataclass(slots=True)
class Payment:
    """What is to be judged. `fees`: what the other legs did, by account. `hold`: what a capture or release ends."""

    entry: int
    kind: int
    way: int
    service: int
    id: bytes
    order_hash: bytes
    time: int
    leg: Leg
    fees: dict[bytes, int]
    hold: tuple[Any, ...]
    device: bytes
    signature: bytes
    order: bytes
    document: bytes


class Law:
    """Judges payments one after the other; raises Refuted."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.known: list[Rules] = []
        self.now: Rules | None = None
        self.asset, self.begins = "", b"counterfoil/order/v1"
        self.recent: dict[int, set[bytes]] = {}  # hour of expiry: ids of orders carried out that could be shown again
        self.mandates: dict[bytes, list[Any]] = {}  # hash of the document: lines, their sum, the last number, ids
        self.counts, self.sums = [0] * 7, [0] * 7  # payments, and how much they moved, by class

    def learn(self, rules: Rules) -> None:
        """A rules entry. The first is in force at once."""
        self.known.append(rules)
        if self.now is None:
            self.now, self.asset = rules, str(rules.content["asset"])
            zone = rules.content.get("time_zone")
            self.book.calendar = Calendar(str(zone)) if zone else None
            self.begins = b"counterfoil/order/v1" + sized(self.book.origin.encode()) + sized(self.asset.encode())

    def judge(self, it: Payment) -> None:
        """Whose will it was: an order signed by a key in force, or a lawful exception, counted by class."""
        leg, kind, way, accounts = it.leg, it.kind, it.way, self.book.accounts
        payer, payee = accounts[leg[1]], accounts[leg[2]]
        if way > TOKEN or (kind in BY_STAFF) != (way == 0 or way == STAFF) or (kind == 0) != (way == 0):
            raise Refuted("money moves without an order, or staff decide what only a holder can")
        self.counts[way] += 1
        self.sums[way] += leg[3]
        if kind == 0:
            return
        taking = kind in BY_PAYEE
        if taking and len(it.hold) < 5:
            raise Refuted("it captures or releases what is not a hold")
        if it.service != (it.hold[2] if taking else _service(kind, payer.code, payee.code)):
            raise Refuted(f"service {it.service} is not what these two accounts do with each other")
        if it.fees and any(accounts[name].code != FEES for name in it.fees if name not in leg[1:3]):
            raise Refuted("a fee goes to an account that is not the scheme's for fees")
        if way == STAFF:
            fees = [it.fees.get(name, 0) for name in leg[1:3]]
            if it.order or min(fees) < 0 or (any(fees) and kind != REVERSAL):
                raise Refuted("staff took a fee, or signed for a holder")
            return
        max_fee, expiry, rules_hash = self._order(it) if it.order or way in (DEVICE, MANDATE, TOKEN) else (AMOUNT_MAX, 0, ZERO32)
        signer = payee if taking else payer
        if self.book.frozen:
            self.book.check_freezes(leg[2] if taking else leg[1], it.time, incoming=False)
            if kind in TO_SOMEBODY:
                self.book.check_freezes(leg[2], it.time, incoming=True)
        if way == DEVICE:
            self._signed(signer, it, it.order)
            self._once(it.id, expiry, it.time)
        elif way == MANDATE:
            self._mandate(signer, it, max_fee)
        elif way == TOKEN and signer.code == CUSTOMER:
            raise Refuted("a customer does not pay by token")
        elif way in (PIN, CARD):
            self._unsigned(signer, it)
        self._terms(it, payer, payee, max_fee, rules_hash if way == DEVICE else ZERO32)
        self._second_word(it)

    def _order(self, it: Payment) -> tuple[int, int, bytes]:
        """(highest fee, expiry in ns, hash of the rules) of the order, which says exactly what was done."""
        begins, order = self.begins, it.order
        if not order.startswith(begins) or sha256(order).digest() != it.order_hash or len(order) > ORDER_SIZE_MAX:
            raise Refuted("its order is not an order to this scheme in its currency, or not the one it names")
        payer, payee, amount, max_fee, name, expiry, _, _, _, rules_hash, kind, reference, timeout = ORDER.unpack_from(order, len(begins))
        _, debit, credit, moved, pending, reserved_s, _, _, _ = it.leg
        if payer != debit or payee != credit or name != it.id or kind != it.kind or (amount != moved and kind != RELEASE):
            raise Refuted(f"the order says {amount} from {payer.hex()} to {payee.hex()}, and the entry moves {moved}, or other accounts")
        if (kind == HOLD and timeout != reserved_s) or (kind in BY_PAYEE and reference != pending):
            raise Refuted("the order is about another hold, or for another time")
        return max_fee, expiry * 10**6, rules_hash

    def _signed(self, signer: Account, it: Payment, message: bytes) -> None:
        """By a key that was bound to the account before, and not revoked, or only within the last minute."""
        key = signer.keys.get(it.device)
        if key is None:
            raise Refuted(f"no key of device {it.device.hex()} was bound to the account before: the debit is unsigned")
        if key[2] is not None and it.time > key[2] + GRACE_NS:
            raise Refuted(f"the key of device {it.device.hex()} was revoked before")
        if key[2] is not None and it.time < key[2] - GRACE_NS:
            raise Refuted("the payment stands after a revocation that is dated after it")
        self.book.signed(key[0], key[1], message, it.signature, "the holder's device")

    def _unsigned(self, payer: Account, it: Payment) -> None:
        """By PIN or card. Who has a key must have said on it how much a day PINs may take."""
        if it.kind not in TO_SOMEBODY:
            raise Refuted("a PIN or a card takes what only a key gives")
        allowed, words, calendar = 0, payer.pin_words, self.book.calendar
        if it.way == PIN:
            while len(words) > 1 and words[1][0] + GRACE_NS < it.time:
                del words[0]  # replaced before: payments on their way are over
            allowed = max((per_day for _, per_day in words), default=0)
            if calendar is not None and it.time >= payer.pin_day_end:
                payer.pin_day_end, payer.pin_spent = calendar.ends(it.time)[0], 0
            payer.pin_spent += it.leg[3] - min(it.fees.get(it.leg[1], 0), 0)
        if not any(key[2] is None and key[3] < it.time for key in payer.keys.values()):
            return
        if allowed == 0:
            raise Refuted("no key has signed, and the payer has a key of their own")
        if calendar is None:
            self.book.unchecked["payments by PIN whose day is not known: the rules name no time zone"] += 1
        elif payer.pin_spent > allowed:
            raise Refuted(f"PINs took {payer.pin_spent} in a day, and the payer's own key allows {allowed}")

    def _second_word(self, it: Payment) -> None:
        """A PIN is known to the operator too. So cash needs the agent's signature, and shops are asked for theirs, which are counted."""
        shops, leg = self.book.shops, it.leg
        if it.service == CASH_OUT and it.kind == PAY:
            raise Refuted("cash is paid for at once: the agent has not signed that it was handed over")
        if it.kind == PAY and it.way == PIN and it.service == PURCHASE:
            shops.paid(it.id, (leg[2], it.order_hash, leg[3], it.time), self.book.accounts)
        elif it.kind == CAPTURE and it.hold[5] == PIN:
            if it.service == CASH_OUT and it.way != DEVICE:
                raise Refuted("cash is taken out of what a PIN has set aside, and the agent's own key has not signed")
            shops.captured(leg[3], cash=it.service == CASH_OUT, signed=it.way == DEVICE)

    def _once(self, name: bytes, expiry: int, time: int) -> None:
        """The same order is never carried out twice: ids are remembered until their orders have expired."""
        if time > expiry + GRACE_NS or expiry > time + LIFETIME_NS + GRACE_NS:
            raise Refuted("the order had expired, or lives for too long")
        hour = expiry // HOUR_NS
        if hour not in self.recent:
            self.recent = {each: ids for each, ids in self.recent.items() if (each + 2) * HOUR_NS >= time} | {hour: set()}
        if name in self.recent[hour]:
            raise Refuted("the same order is carried out a second time")
        self.recent[hour].add(name)

    def _mandate(self, payer: Account, it: Payment, max_fee: int) -> None:
        """A line of a signed batch, or an occurrence of a signed standing order."""
        begins = sized(self.book.origin.encode()) + sized(self.asset.encode())
        batch, standing, document = b"counterfoil/batch/v1" + begins, b"counterfoil/standing-order/v1" + begins, it.document
        name = sha256(document).digest()
        if name not in self.mandates:
            self._signed(payer, it, document)
            self.mandates[name] = [0, 0, 0, set()]
        used = self.mandates[name]
        used[0], used[1] = used[0] + 1, used[1] + it.leg[3]
        if document.startswith(batch):
            by, mandate, count, total, most, _, _ = BATCH.unpack_from(document, len(batch))
            lawful = by == it.leg[1] and used[0] <= count and used[1] <= total and it.id[:6] == mandate[:6] and it.id not in used[3]
            used[3].add(it.id)
            if used[0] >= count:
                used[3].clear()
        elif document.startswith(standing):
            by, to, amount, most, mandate, first, every, count = STANDING.unpack_from(document, len(standing))
            numbers = range(used[2] + 1, used[2] + LINES_SKIPPED_MAX)
            number = next((n for n in numbers if sha256(b"counterfoil/leg/v1" + mandate + n.to_bytes(4)).digest()[:10] == it.id[6:]), 0)
            due = first * 10**6 + (number - 1) * DAYS.get(every, 0) * 86_400 * NS
            lawful = (by, to, amount) == it.leg[1:4] and 0 < number <= (count or number) and it.time >= due
            used[2] = number
        else:
            raise Refuted("what stands in for an order is neither a batch nor a standing order to this scheme")
        if not lawful or max_fee > most or it.kind != PAY:
            raise Refuted("the batch or standing order that was signed does not cover it")

    def _terms(self, it: Payment, payer: Account, payee: Account, max_fee: int, rules_hash: bytes) -> None:
        """Fee and limits by the rules in force. Documents only move forward, and never before their notice is over."""
        assert self.now is not None
        if rules_hash == self.now.hash:
            if problem := self._under(self.now, it, payer, payee, max_fee):
                raise Refuted(problem)
            return
        later = [rules for rules in self.known if rules.index >= self.now.index]
        if rules_hash != ZERO32:
            named = [rules for rules in self.known if rules.hash == rules_hash]
            later = [rules for rules in later if rules.hash == rules_hash]
            if not later:
                raise Refuted("the order names rules that were replaced" if named else "the order names rules that are not in the log")
        problem = "the order is under rules whose notice is not over"
        for rules in later:
            if rules.from_index is not None and rules.from_index <= it.entry:
                problem = self._under(rules, it, payer, payee, max_fee)
                if problem is None:
                    self.now = rules
                    return
        raise Refuted(str(problem))

    def _under(self, rules: Rules, it: Payment, payer: Account, payee: Account, max_fee: int) -> str | None:
        """What is wrong with the payment under `rules`, or None."""
        leg, kind, fees = it.leg, it.kind, it.fees
        taking = kind in BY_PAYEE
        charge, payee_pays = rules.fee(it.service, leg[3]) if kind != RELEASE else (0, False)
        if kind == CAPTURE:
            charge, payee_pays = (charge, True) if it.hold[3] else (min(charge, it.hold[4]), False)
        if charge > max_fee and payee_pays == taking:
            return f"the fee of {charge} is above the {max_fee} that the order allows"
        if kind == HOLD:
            charge = 0 if payee_pays else charge
            self.book.holds[leg[0]] = (*self.book.holds[leg[0]][:2], it.service, payee_pays, charge, it.way)
        paid = (-fees.get(leg[1], 0), -fees.get(leg[2], 0)) if fees else (0, 0)
        if paid != ((0, charge) if payee_pays else (charge, 0)):
            return f"the fee is {paid[0]} for the payer and {paid[1]} for the payee; by the tariff it is {charge}"
        problem = None if taking or payer.code not in HOLDERS else self._by_tier(self._limits, rules, it, payer)
        if problem is None and kind in TO_SOMEBODY and payee.code in HOLDERS:
            problem = self._by_tier(_room, rules, it, payee)
        return problem

    def _by_tier(self, check: Callable[..., str | None], rules: Rules, it: Payment, account: Account) -> str | None:
        """What `check` says by the limits of the account's tier, or of the one before it while payments are on their way."""
        of_tiers, problem = rules.content["limits"], None
        if account.tier and account.tier not in of_tiers:
            return f"the rules have no limits for the tier {account.tier}"
        for tier in (account.tier, account.former[0]):
            limits = of_tiers.get(tier)
            if limits is None:
                self.book.unchecked["payments from or to accounts without a tier: their limits are not known"] += 1
                return None
            problem = check(it, account, limits)
            if not problem or it.time > account.former[1] + GRACE_NS:
                break
        return problem

    def _limits(self, it: Payment, payer: Account, limits: dict[str, int]) -> str | None:
        """Which limit of a tier the payment passes, alone or with what left the account before; None for none."""
        amount, calendar = it.leg[3], self.book.calendar
        if amount > limits.get("per_payment", AMOUNT_MAX):
            return f"the payment of {amount} is above the limit of {limits['per_payment']} for one payment"
        if calendar is None:
            self.book.unchecked["payments whose limits of the day and month are not known: the rules name no time zone"] += 1
            return None
        return payer.spending.at(it.time, calendar).above(limits, payer.held)


def _room(it: Payment, payee: Account, limits: dict[str, int]) -> str | None:
    """Whether it lifts the payee above the most that a tier may hold; None for not.

    The operator looks before it pays, and what is on its way elsewhere may come first: so what counts is the least that the
    account had in the last minute. Refunds, reversals, captures and issues are not held back by it.
    """
    most, had = limits.get("balance_max", AMOUNT_MAX), min(payee.low, payee.low_before)
    if had + it.leg[3] <= most:
        return None
    return f"the payee had {had}, {it.leg[3]} come in, and {most} is the most that an account of the tier may hold"


@cache
def _service(kind: int, payer: int, payee: int) -> int:
    """1 transfer 2 purchase 3 cash-in 4 cash-out 5 disbursement 6 refund 7 internal."""
    if kind in (REFUND, REVERSAL):
        return 6
    if kind > REVERSAL:
        return 7
    if payee == MERCHANT:
        return 2
    if (payer, payee) in ((AGENT, CUSTOMER), (CUSTOMER, AGENT)):
        return 3 if payer == AGENT else 4
    return 1 if payer == CUSTOMER else 5 if payee == CUSTOMER else 7
