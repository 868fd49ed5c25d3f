"""Fills an empty scheme with the town, through the same services and signatures as everybody else: no shortcut into a table.

    staff -> banks, agents, merchants, people open accounts -> money is issued by two persons -> banks fund agents and employers
          -> people pay cash in, both sides sign -> wages by batch -> standing orders -> a first day of trade

Ids and keys follow from the seed. A town that was left half filled is filled anew from the beginning (see `run`).
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from counterfoil.clock import Clock
from counterfoil.commands.demo.cast import Actor, Cast, id_of
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.talk import Talking
from counterfoil.commands.demo.town import Agent, Bank, Member, Person, town
from counterfoil.commands.demo.trade import Trading
from counterfoil.commands.signing import Terms
from counterfoil.errors import Unavailable
from counterfoil.ids import id_text
from counterfoil.money import format_amount
from counterfoil.parties.service import NewParty
from counterfoil.parties.types import PartyKind, ProposalState, StaffRole
from counterfoil.payments.batches import BatchState
from counterfoil.payments.forms import Batch, Every, RequestToPay, StandingOrder
from counterfoil.payments.orders import OrderKind
from counterfoil.web.services import Services

PIN = "2580"
"""Everybody's PIN: it is a demo, and nobody has to guess."""
PEOPLE_WITH_PIN = 12
"""The first so many people have a PIN. Hashing one costs 20 ms on purpose, and a demo should start quickly."""
FIRST_DAY = 250
"""Things that happen on the town's first day."""
FIRST_WORDS = 60
"""Messages that people have written by then."""
WAGE_FEE_MAX = 5
DAY_MS, HOUR_MS = 86_400_000, 3_600_000

Progress = Callable[[str, int, int], None]


class Filling:
    """Fills one town, once."""

    def __init__(self, services: Services, seed: str, clock: Clock, progress: Progress) -> None:
        self.services = services
        self.seed = seed
        self.clock = clock
        self.progress = progress
        self.dice = Dice(f"{seed}/fill")
        rules = services.payments.rules
        self.terms = Terms(rules.origin, rules.currency.code, rules.hash)
        self.cast = Cast.of(town(seed), seed)
        self.clerk = self._staff("clerk")

    async def fill(self) -> Cast:
        """The town, filled. The same seed gives the same people, ids, keys and balances."""
        await self._open_staff()
        await self._open_accounts()
        self.cast = await self.cast.with_accounts(self.services.parties, self.terms)
        await self._issue()
        await self._fund()
        await self._pay_cash_in()
        await self._pay_wages()
        await self._order_standing_orders()
        await self._first_day()
        await self._first_words()
        await self._read_messages()
        return self.cast

    def _staff(self, role: str) -> Actor:
        return next(actor for actor in self.cast.staff if isinstance(actor.who, Member) and actor.who.role == role)

    async def _open_staff(self) -> None:
        administrator = self._staff("administrator")
        enrolment = self.services.parties.enrolment
        await enrolment.open_first_staff(self._new_party(administrator, PartyKind.STAFF, roles=frozenset({StaffRole.ADMINISTRATOR})))
        for actor in self.cast.staff:
            assert isinstance(actor.who, Member)
            if actor is not administrator:
                new = self._new_party(actor, PartyKind.STAFF, roles=frozenset({StaffRole(actor.who.role)}))
                await enrolment.open_by_staff(new, by=administrator.party)

    async def _open_accounts(self) -> None:
        cast = self.cast
        groups = (
            (cast.banks, PartyKind.INSTITUTION),
            (cast.agents, PartyKind.AGENT),
            (cast.merchants, PartyKind.MERCHANT),
            (cast.people, PartyKind.CUSTOMER),
        )
        openings = [self._open(actor, kind, number) for actors, kind in groups for number, actor in enumerate(actors)]
        await self._all("opening accounts", openings)

    async def _open(self, actor: Actor, kind: PartyKind, number: int) -> None:
        tier, pin = None, None
        if kind is PartyKind.CUSTOMER:
            assert isinstance(actor.who, Person)
            tier = "identity_verified" if actor.who.employer else "identity_seen"
            pin = PIN if number < PEOPLE_WITH_PIN else None
        await self.services.parties.enrolment.open_by_staff(self._new_party(actor, kind, tier=tier, pin=pin), by=self.clerk.party)

    def _new_party(
        self, actor: Actor, kind: PartyKind, *, tier: str | None = None, pin: str | None = None, roles: frozenset[StaffRole] = frozenset()
    ) -> NewParty:
        spoken = getattr(actor.who, "language", "")
        languages = self.services.config.languages
        return NewParty(
            id=actor.party,
            kind=kind,
            name=actor.who.name,
            language=spoken if spoken in languages else languages[0],
            number=actor.number or None,
            handle=actor.who.handle or None,
            tier=tier,
            pin=pin,
            key=actor.new_key(self.services.config.origin),
            roles=roles,
        )

    async def _issue(self) -> None:
        """Two treasurers put money into circulation; a third proposal waits for whoever looks at the staff page."""
        first, second = [actor for actor in self.cast.staff if isinstance(actor.who, Member) and actor.who.role == "treasurer"]
        approvals = self.services.approvals
        for bank in self.cast.banks:
            assert isinstance(bank.who, Bank)
            payload = msgspec.json.encode({"account": id_text(bank.account), "amount": bank.who.deposit})
            reason = f"Opening deposit of {bank.who.name}, bank statement of 1 January"
            proposal = await approvals.propose(id_of(self.seed, f"issue/{bank.label}"), "issue", payload, reason=reason, by=first.party)
            done = await approvals.approve(proposal.id, by=second.party)
            assert done.state is ProposalState.EXECUTED, done.outcome
        payload = msgspec.json.encode({"account": id_text(self.cast.banks[1].account), "amount": 5_000_000})
        waiting = id_of(self.seed, "issue/waiting")
        await approvals.propose(waiting, "issue", payload, reason="Deposit for the market days, statement to follow", by=second.party)

    async def _fund(self) -> None:
        """Banks give agents their float and employers the wages of three months."""
        banks, payments = self.cast.banks, []
        for number, agent in enumerate(self.cast.agents):
            assert isinstance(agent.who, Agent)
            payments.append(self._pay(banks[number % 2], agent, agent.who.float_amount, "float"))
        for number, label in enumerate(self._employers()):
            total = sum(wage for _, wage in self._wages(label))
            payments.append(self._pay(banks[number % 2], self.cast.find(label), 3 * total, "payroll credit"))
        await self._all("funding agents and employers", payments)

    def _employers(self) -> list[str]:
        return sorted({person.who.employer for person in self.cast.people if isinstance(person.who, Person) and person.who.employer})

    def _wages(self, employer: str) -> list[tuple[str, int]]:
        """(number, minor units) of everybody whom `employer` pays."""
        people = [actor.who for actor in self.cast.people if isinstance(actor.who, Person)]
        return [(person.number, person.wage) for person in people if person.employer == employer]

    async def _pay(self, payer: Actor, payee: Actor, amount: int, memo: str) -> None:
        order = payer.signs.order(
            OrderKind.PAY,
            payee.account,
            amount,
            id=id_of(self.seed, f"pay/{payer.label}/{payee.label}/{memo}"),
            now_ns=self.clock.now_ns(),
            max_fee=0,
            memo=memo,
        )
        await self.services.payments.pay(order)

    async def _pay_cash_in(self) -> None:
        """Each customer signs for the cash, the agent signs for the money."""
        agents = self.cast.agents
        await self._all(
            "paying cash in", [self._cash_in(person, agents[number % len(agents)]) for number, person in enumerate(self.cast.people)]
        )

    async def _cash_in(self, person: Actor, agent: Actor) -> None:
        assert isinstance(person.who, Person)
        request_id = id_of(self.seed, f"cash-in/request/{person.label}")
        form = RequestToPay(
            origin=self.terms.origin,
            asset=self.terms.asset,
            payee=person.account,
            payer=agent.account,
            amount=person.who.opening,
            id=request_id,
            expiry_ms=self.clock.now_ns() // 1_000_000 + DAY_MS,
            purpose=1,
            memo="",
        )
        await self.services.requests.create(person.signs.form(form))
        order = agent.signs.order(
            OrderKind.PAY,
            person.account,
            person.who.opening,
            id=id_of(self.seed, f"cash-in/{person.label}"),
            now_ns=self.clock.now_ns(),
            max_fee=0,
            reference=request_id,
        )
        await self.services.payments.pay(order)

    async def _pay_wages(self) -> None:
        for label in self._employers():
            employer, currency = self.cast.find(label), self.services.config.currency
            lines = self._wages(label)
            file = io.StringIO()
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("to", "amount", "memo"), *((number, format_amount(wage, currency), "wages") for number, wage in lines)])
            batch_id = id_of(self.seed, f"wages/{label}")
            form = Batch(
                origin=self.terms.origin,
                asset=self.terms.asset,
                payer=employer.account,
                id=batch_id,
                count=len(lines),
                total=sum(wage for _, wage in lines),
                max_fee=WAGE_FEE_MAX,
                expiry_ms=self.clock.now_ns() // 1_000_000 + DAY_MS,
                lines_hash=hashlib.sha256(file.getvalue().encode()).digest(),
                memo="wages",
            )
            await self.services.batches.create(employer.signs.form(form), file.getvalue())
            while (await self.services.batches.status(batch_id, employer.account)).state is BatchState.RUNNING:  # noqa: ASYNC110 - a batch tells its state when asked
                await asyncio.sleep(0.01)

    async def _order_standing_orders(self) -> None:
        """Every tenth person pays school or water each month; the first of them in an hour."""
        payees = [self.cast.find(label) for label in ("halyard_school", "halyard_water", "ecole_alizes")]
        now_ms = self.clock.now_ns() // 1_000_000
        orders = []
        for number, person in enumerate(self.cast.people[::10]):
            form = StandingOrder(
                origin=self.terms.origin,
                asset=self.terms.asset,
                payer=person.account,
                payee=payees[number % len(payees)].account,
                amount=self.dice.between(8, 30) * 100,
                max_fee=0,
                id=id_of(self.seed, f"standing/{person.label}"),
                first_at_ms=now_ms + number * DAY_MS + HOUR_MS,
                every=Every.MONTH,
                count_max=12,
                memo="",
            )
            orders.append(self.services.standing.create(person.signs.form(form)))
        await self._all("signing standing orders", orders)

    async def _first_day(self) -> None:
        """One after the other, so that what people can afford does not depend on who is quicker."""
        trading = Trading(self.services, self.cast, self.terms, Dice(f"{self.seed}/first-day"), self.clock, id_seed=self.seed)
        for done in range(FIRST_DAY):
            await trading.step()
            if done % 50 == 0:
                self.progress("the first day", done, FIRST_DAY)
        self.progress("the first day", FIRST_DAY, FIRST_DAY)

    async def _first_words(self) -> None:
        talking = Talking(self.services, self.cast, Dice(f"{self.seed}/first-words"), self.clock, id_seed=self.seed)
        for _ in range(FIRST_WORDS):
            await talking.step()
        self.progress("the first words", FIRST_WORDS, FIRST_WORDS)

    async def _read_messages(self) -> None:
        """Everybody has read what was sent to them so far, so that a new code stands out on the page of messages."""
        notices = self.services.parties.notices
        while waiting := await notices.waiting():
            await notices.delivered(*(notice.id for notice in waiting))

    async def _all(self, stage: str, work: Iterable[Awaitable[object]]) -> None:
        """All of it at once: it shares commits, and no amount depends on the order."""
        waiting = list(work)
        self.progress(stage, 0, len(waiting))
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise Unavailable(f"the town could not be filled: {outcome}") from outcome
        self.progress(stage, len(waiting), len(waiting))
