"""Random histories on every engine, beside the naive model: equal answers, equal books, equal feed, and no money made."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.ledger.check import check
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import (
    U128_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    ChangeEvent,
    QueryFilter,
    Transfer,
)
from tests.ledger.model import SECOND, Model, agree, has

STEPS = 40
CLOCK_START = 1_000_000_000_000_000_000

# Few accounts, small amounts. Accounts 1 to 6 exist from the start, 7 and 8 perhaps, 9 never.
ACCOUNTS = [
    Account(id=1, ledger=1, code=1),
    Account(id=2, ledger=1, code=2, flags=2 | 8),
    Account(id=3, ledger=1, code=1, flags=4, user_data_64=5),
    Account(id=4, ledger=1, code=2, flags=8),
    Account(id=5, ledger=2, code=1, user_data_128=5),
    Account(id=6, ledger=2, code=1, flags=2 | 8, user_data_32=5),
]
FUNDING = [
    Transfer(id=1, debit_account_id=1, credit_account_id=2, amount=50, ledger=1, code=1),
    Transfer(id=2, debit_account_id=3, credit_account_id=4, amount=50, ledger=1, code=1),
]
FIELDS = [
    "amount", "timeout", "user_data_128", "user_data_64", "user_data_32", "debit_account_id", "credit_account_id", "ledger", "code", "pending_id",
]  # fmt: skip


class Choices:
    """Fair choices from a seed: Hypothesis' own are bent towards simple and repeated ones, and no history would get far.

    Hypothesis decides which steps a history has, and shrinks those; what is in an event follows from its seed.
    """

    def __init__(self, seed: bytes) -> None:
        self.random = random.Random(seed)

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)


events = st.binary(min_size=4, max_size=4)
new_accounts = st.binary(min_size=4, max_size=4)
steps = (
    st.none()  # nothing: so that a history of a fixed length can shrink
    | st.lists(events, min_size=1, max_size=6).map(lambda batch: ("transfers", batch))
    | st.lists(events, min_size=1, max_size=6).map(lambda batch: ("transfers", batch))
    | st.lists(events, min_size=1, max_size=6).map(lambda batch: ("transfers", batch))
    | st.lists(new_accounts, min_size=1, max_size=3).map(lambda batch: ("accounts", batch))
    | st.sampled_from([1, SECOND, SECOND - 2, 2 * SECOND, -SECOND, -3 * SECOND, 4_000_000_000 * SECOND]).map(lambda step: ("clock", step))
    | st.sampled_from([-2, -1, 0, 1]).map(lambda step: ("expiry", step))  # next to the nanosecond of the next expiry
    | st.just(("release", 0))
)
bounds = st.sampled_from([0, 0, 1, 3, 9, 30])  # counted in events; resolved to a timestamp of the history
account_filters = st.builds(
    AccountFilter,
    account_id=st.sampled_from([1, 2, 3, 4, 6, 9, 0, U128_MAX]),
    limit=st.sampled_from([8189, 100, 3, 1, 0, 10_000]),
    flags=st.integers(0, 8),
    user_data_128=st.sampled_from([0, 0, 5]),
    user_data_64=st.sampled_from([0, 0, 5]),
    code=st.sampled_from([0, 0, 1, 2]),
    timestamp_min=bounds,
    timestamp_max=bounds,
)
query_filters = st.builds(
    QueryFilter,
    limit=st.sampled_from([8189, 100, 3, 1, 0, 10_000]),
    flags=st.sampled_from([0, 1, 0, 1, 2]),
    user_data_128=st.sampled_from([0, 0, 5]),
    user_data_64=st.sampled_from([0, 0, 5]),
    user_data_32=st.sampled_from([0, 0, 5]),
    ledger=st.sampled_from([0, 0, 1, 2]),
    code=st.sampled_from([0, 0, 1, 2]),
    timestamp_min=bounds,
    timestamp_max=bounds,
)


HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
GIVEN = {
    "history": st.lists(steps, min_size=STEPS, max_size=STEPS),
    "account_questions": st.lists(account_filters, min_size=1, max_size=6),
    "questions": st.lists(query_filters, min_size=1, max_size=6),
    "page": st.integers(1, 5),
}


@pytest.mark.parametrize("new_engine", ["memory", "sqlite"], indirect=True)
@settings(max_examples=2 * settings().max_examples, suppress_health_check=HEALTH)
@given(**GIVEN)
def test_histories_agree_with_the_model(new_engine: Callable[[], Engine], **drawn: Any) -> None:
    play(new_engine(), **drawn)


@pytest.mark.parametrize("new_engine", ["postgres"], indirect=True)
@settings(max_examples=max(10, settings().max_examples // 4), suppress_health_check=HEALTH)  # a server answers in milliseconds
@given(**GIVEN)
def test_histories_of_a_server_agree_with_the_model(new_engine: Callable[[], Engine], **drawn: Any) -> None:
    play(new_engine(), **drawn)


def play(engine: Engine, history: list[Any], account_questions: list[AccountFilter], questions: list[QueryFilter], page: int) -> None:
    both = Both(engine)
    try:
        both.create_accounts(ACCOUNTS)
        both.create_transfers(FUNDING)
        for step in history:
            if step:
                both.take(*step)
        both.ask(account_questions, questions)
        both.read_feed(page)
        report = check(both.engine, page_size=page)
        assert report.passed, report.findings
    finally:
        both.engine.close()


class Both:
    """An engine and the model, which are told the same and must answer the same."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.model = Model()
        self.now = CLOCK_START
        self.id_last = 2  # funding takes the first two
        self.asked = list(FUNDING)
        self.fed = 0  # timestamp of the last event of the feed that was compared

    def take(self, kind: str, what: Any) -> None:
        if kind == "clock":
            self.now += what if self.now + what < 6_000_000_000 * SECOND else 0
        elif kind == "expiry":
            self.now = max(self.now, self.expiry_next() + what)
        elif kind == "release":
            assert self.engine.expire_pending_transfers(self.now) == self.model.release(self.now)
        elif kind == "accounts":
            self.create_accounts([self.new_account(Choices(data)) for data in what])
        else:
            self.create_transfers([self.new_transfer(Choices(data)) for data in what])
        self.compare_books()

    def expiry_next(self) -> int:
        waiting = [t for t in self.model.transfers() if t.timeout in (1, 2, 3) and self.model.fate(t) == "pending"]
        return min((t.timestamp + t.timeout * SECOND for t in waiting), default=0)

    def new_account(self, choices: Choices) -> Account:
        pick = choices.pick
        return Account(
            id=pick(7, 8, 7, 8, 1, 2, 0, U128_MAX),
            ledger=pick(1, 1, 1, 2, 0),
            code=pick(1, 1, 2, 0),
            flags=pick(0, 1, 8, 9, 1, 2, 6, 32, 16, 64),
            user_data_64=pick(0, 0, 5),
            credits_posted=pick(0, 0, 0, 1),
        )

    def new_transfer(self, choices: Choices) -> Transfer:
        """A transfer that means something at this point of the history, and now and then one that does not."""
        pick = choices.pick
        transfer: Transfer
        linked = pick(0, 0, 0, 0, 0, 1)
        odd = pick(*[""] * 40, *FIELDS, *["again"] * 3, "timestamp")
        if pick(False, False, False, True):
            transfer = self.asked[-1 - pick(*range(12)) % len(self.asked)]
        elif pick(False, False, True):
            waiting = [t.id for t in self.model.transfers() if has(t, "pending")][-4:] or [1]
            transfer = Transfer(
                id=self.id_last + 1,
                pending_id=pick(*waiting * 8, self.id_last, self.id_last + 1, U128_MAX),
                flags=linked | pick(*[4, 8] * 10, 12, 6, 24),
                amount=pick(0, U128_MAX, 0, U128_MAX, 1, 2, 3, 5, 100),
                user_data_128=pick(0, 0, 5),
            )
        else:
            flags = linked | pick(*[0, 2, 2] * 6, *[16, 32, 48, 18] * 2, 2 | 64, 2 | 128, 2 | 192, pick(64, 256, 512))
            debit_account_id = pick(*[1, 2, 3, 4, 2, 5, 6] * 3, 7, pick(8, 9, 0, U128_MAX))
            others = [1, 2, 3, 4] if debit_account_id < 5 else [5, 6]
            if debit_account_id in others:
                others.remove(debit_account_id)
            debit_account = self.model.account(debit_account_id)
            transfer = Transfer(
                id=self.id_last + 1,
                debit_account_id=debit_account_id,
                credit_account_id=pick(*others * 6, debit_account_id, pick(7, 8, 9, 0, U128_MAX, 1, 5)),
                amount=pick(*[1, 2, 3, 5, 10, 50, 0] * 3, 100, pick(20, U128_MAX, U128_MAX - 7)),
                flags=flags,
                timeout=pick(0, 1, 2, 3, pick(0, 2**32 - 1)) if flags & 2 else 0,
                ledger=debit_account.ledger if debit_account else 1,
                code=1,
                user_data_64=pick(0, 0, 5),
            )
        if odd == "again":
            transfer = msgspec.structs.replace(transfer, id=pick(*range(self.id_last + 1), U128_MAX))
        elif odd:
            greatest = {"timeout": 2**32, "user_data_32": 2**32, "ledger": 2**32, "user_data_64": 2**64, "code": 2**16}.get(odd, 2**128)
            values = ((getattr(transfer, odd) + 1) % greatest, max(0, getattr(transfer, odd) - 1), 0)
            transfer = msgspec.structs.replace(transfer, **{odd: pick(*values)})
        self.id_last = max(self.id_last, transfer.id % U128_MAX)
        self.asked.append(transfer)
        return transfer

    def create_accounts(self, accounts: list[Account]) -> None:
        results = self.engine.create_accounts(accounts, self.now)
        agree("accounts", [(r.status.name.lower(), r.timestamp) for r in results], self.model.create_accounts(accounts, self.now))

    def create_transfers(self, transfers: list[Transfer]) -> None:
        results = self.engine.create_transfers(transfers, self.now)
        agree("transfers", [(r.status.name.lower(), r.timestamp) for r in results], self.model.create_transfers(transfers, self.now))

    def compare_books(self) -> None:
        accounts = self.engine.lookup_accounts(range(10))
        by_id = {account.id: account for account in accounts}
        agree("account_now", [self.engine.account_now(number) for number in range(10)], [by_id.get(number) for number in range(10)])
        balances = {a.id: (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) for a in accounts}
        agree("balances_now", [self.engine.balances_now(number) for number in range(10)], [balances.get(number) for number in range(10)])
        assert self.engine.last_timestamp == self.model.time
        agree("books", accounts, sorted((self.model.view(account) for account in self.model.accounts), key=lambda a: a.id))
        for ledger in (1, 2):  # conservation: every amount was debited once and credited once
            members = [account for account in accounts if account.ledger == ledger]
            assert sum(a.debits_posted for a in members) == sum(a.credits_posted for a in members)
            assert sum(a.debits_pending for a in members) == sum(a.credits_pending for a in members)
        events = self.engine.get_change_events(timestamp_min=self.fed + 1, limit=1000)
        agree("feed", events, self.expected_feed(self.fed))
        self.fed = events[-1].timestamp if events else self.fed

    def expected_feed(self, after: int) -> list[ChangeEvent]:
        names = {"single_phase": 0, "pending": 1, "posted": 2, "voided": 3, "expired": 4}
        return [
            ChangeEvent(
                timestamp=fact.timestamp,
                type=names[fact.kind],  # type: ignore[arg-type]
                transfer=fact.transfer,
                debit_account=self.seen(fact.transfer.debit_account_id, fact.timestamp),
                credit_account=self.seen(fact.transfer.credit_account_id, fact.timestamp),
            )
            for fact in self.model.facts
            if fact.timestamp > after
        ]

    def seen(self, account_id: int, timestamp: int) -> Account:
        account = self.model.account(account_id)
        assert account
        return self.model.view(account, timestamp)

    def ask(self, account_questions: list[AccountFilter], questions: list[QueryFilter]) -> None:
        ids = range(self.id_last + 2)
        agree("lookup_transfers", self.engine.lookup_transfers(ids), sorted(self.model.transfers(), key=lambda t: t.id))
        for question in account_questions:
            filter = self.timed(question)  # noqa: A001
            facts = self.model.account_facts(filter)
            agree("get_account_transfers", self.engine.get_account_transfers(filter), [fact.transfer for fact in facts])
            account = self.model.account(filter.account_id)
            keeps = account is not None and has(account, "history")
            balances = [self.balance(filter.account_id, fact.timestamp) for fact in facts] if keeps else []
            agree("get_account_balances", self.engine.get_account_balances(filter), balances)
            if account is not None:
                self.ask_for_past_balance(account.id, filter.timestamp_max)
        for query in questions:
            timed = self.timed(query)
            agree("query_transfers", self.engine.query_transfers(timed), self.model.query(self.model.transfers(), timed))
            views = [self.model.view(account) for account in self.model.accounts]
            agree("query_accounts", self.engine.query_accounts(timed), self.model.query(views, timed))

    def ask_for_past_balance(self, account_id: int, timestamp: int) -> None:
        """At any moment, also between two events, and also of an account that keeps no history."""
        for moment in (timestamp, timestamp + 1, self.now):
            touching = [
                fact.timestamp
                for fact in self.model.facts
                if fact.timestamp <= moment and account_id in (fact.transfer.debit_account_id, fact.transfer.credit_account_id)
            ]
            sums = self.balance(account_id, moment)
            expected = msgspec.structs.replace(sums, timestamp=touching[-1] if touching else 0)
            agree("balance_at", self.engine.balance_at(account_id, moment), expected)

    def timed(self, question: Any) -> Any:
        """The question with its bounds, counted in events, as timestamps of this history."""
        times = [account.timestamp for account in self.model.accounts] + [fact.timestamp for fact in self.model.facts]
        at = {count: times[min(count, len(times)) - 1] if count else 0 for count in (question.timestamp_min, question.timestamp_max)}
        return msgspec.structs.replace(question, timestamp_min=at[question.timestamp_min], timestamp_max=at[question.timestamp_max])

    def balance(self, account_id: int, timestamp: int) -> AccountBalance:
        sums = self.model.sums(account_id, timestamp)
        return AccountBalance(timestamp, sums.debits_pending, sums.debits_posted, sums.credits_pending, sums.credits_posted)

    def read_feed(self, page: int) -> None:
        """The whole feed, read from the beginning in small pages, is the same."""
        events: list[ChangeEvent] = []
        while True:
            found = self.engine.get_change_events(timestamp_min=events[-1].timestamp + 1 if events else 0, limit=page)
            assert len(found) <= page
            if not found:
                break
            events += found
        agree("feed in pages", events, self.expected_feed(0))
        if events:
            assert self.engine.get_change_events(timestamp_min=0, timestamp_max=events[0].timestamp, limit=5) == events[:1]
        assert self.engine.get_change_events(timestamp_min=0, limit=0) == []
        assert self.engine.get_change_events(timestamp_min=9, timestamp_max=8, limit=5) == []
