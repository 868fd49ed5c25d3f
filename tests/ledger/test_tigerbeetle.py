"""The tigerbeetle engine on a real server, raw and stock: the conformance table, random histories, its mirror, feed and past balances.

The server's clock cannot be set, so rows of the table that set it are waited for, or left out where nobody could wait:
`UNPLAYABLE` says which. Many books share one server: each has numbers of its own (`Corner`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil import errors
from counterfoil.ledger.check import check
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    U128_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    CreateAccountResult,
    CreateTransferResult,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
    TransferFlags,
)
from tests.ledger import notation
from tests.ledger.model import Fact, Model, agree
from tests.ledger.test_histories import ACCOUNTS, FUNDING, STEPS, Both, Choices, account_filters, query_filters, steps
from tests.tigerbeetle import Cluster, cluster

pytestmark = pytest.mark.slow(minutes=0.7)

CREATED = CreateTransferStatus.CREATED
PENDING, POST, VOID = (int(TransferFlags[name]) for name in ("PENDING", "POST_PENDING_TRANSFER", "VOID_PENDING_TRANSFER"))
HISTORY = int(AccountFlags.HISTORY)

SCENARIOS = notation.read_scenarios(Path(__file__).with_name("conformance.txt"))
CLOCK_STEP_S_MAX = 10
UNPLAYABLE = {
    "A pending transfer expires by itself, never early, and posting is refused from that nanosecond": "to the nanosecond",
    "One nanosecond before, it can still be posted": "to the nanosecond",
    "At that nanosecond it is expired, though the books still show the reservation": "to the nanosecond",
    "Without a timeout, it never expires": "127 years",
    "Time never goes back inside the ledger, whatever the machine's clock does": "a clock that goes back",
    "A timeout must end before the year 2262": "127 years",
    "Sums stay below 2^128": "127 years",
}
"""Scenarios that are played only up to a line which sets the clock, and where it would have to go from there."""


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def engines(server: Cluster) -> Iterator[dict[str, TigerBeetleEngine]]:
    raw = TigerBeetleEngine.open(server.addresses, server.number)
    stock = TigerBeetleEngine.open(server.addresses, server.number, raw=False)
    assert (raw.client, stock.client) == ("raw", "stock")
    yield {"raw": raw, "stock": stock}
    raw.close()
    stock.close()


@pytest.fixture(scope="module", params=["raw", "stock"])
def new_books(request: pytest.FixtureRequest, engines: dict[str, TigerBeetleEngine]) -> Callable[[], Corner]:
    """Makes empty books, anew each time it is called."""
    return lambda: Corner(engines[request.param])


@pytest.fixture
def books(new_books: Callable[[], Corner]) -> Corner:
    return new_books()


class Corner:
    """A part of a ledger that looks like all of it: ids are shifted, and what was before it began is left out.

    Everything else goes through as it is; `TigerBeetleEngine` itself is what answers.
    """

    waits: ClassVar[bool] = True
    _corners = 0

    def __init__(self, engine: TigerBeetleEngine) -> None:
        Corner._corners += 1
        self.engine = engine
        self.base = Corner._corners << 40
        engine.expire_pending_transfers(0)  # the other engine's events are not ours
        self.start = engine.last_timestamp

    def there(self, id: int) -> int:
        return id if id in (0, U128_MAX) else id - self.base if id >> 127 else id + self.base

    def here(self, id: int) -> int:
        return id if id in (0, U128_MAX) else id + self.base if id >> 127 else id - self.base

    def ours(self, id: int) -> bool:
        return self.base <= (U128_MAX - id if id >> 127 else id) < self.base + (1 << 40)

    def transfer(self, t: Transfer, number: Callable[[int], int]) -> Transfer:
        return msgspec.structs.replace(
            t,
            id=number(t.id),
            debit_account_id=number(t.debit_account_id),
            credit_account_id=number(t.credit_account_id),
            pending_id=number(t.pending_id),
        )

    def transfers(self, found: Sequence[Transfer]) -> list[Transfer]:
        return [self.transfer(t, self.here) for t in found]

    def accounts(self, found: Sequence[Account]) -> list[Account]:
        return [msgspec.structs.replace(a, id=self.here(a.id)) for a in found]

    @property
    def last_timestamp(self) -> int:
        return self.engine.last_timestamp

    def account_now(self, id: int) -> Account | None:
        account = self.engine.account_now(self.there(id))
        return account and self.accounts([account])[0]

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        return self.engine.balances_now(self.there(id))

    def account_code(self, id: int) -> int:
        return self.engine.account_code(self.there(id))

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        return self.engine.balance_at(self.there(account_id), timestamp)

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        return self.engine.create_accounts([msgspec.structs.replace(a, id=self.there(a.id)) for a in accounts], now)

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        return self.engine.create_transfers([self.transfer(t, self.there) for t in transfers], now)

    def expire_pending_transfers(self, now: int) -> int:
        return self.engine.expire_pending_transfers(now)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        return self.accounts(self.engine.lookup_accounts([self.there(number) for number in ids]))

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        return self.transfers(self.engine.lookup_transfers([self.there(number) for number in ids]))

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        return self.transfers(self.engine.get_account_transfers(msgspec.structs.replace(filter, account_id=self.there(filter.account_id))))

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        return self.engine.get_account_balances(msgspec.structs.replace(filter, account_id=self.there(filter.account_id)))

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        return self.accounts(self.engine.query_accounts(self.since(filter)))

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        return self.transfers(self.engine.query_transfers(self.since(filter)))

    def since(self, filter: QueryFilter) -> QueryFilter:
        return msgspec.structs.replace(filter, timestamp_min=max(filter.timestamp_min, self.start + 1))

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        found: list[ChangeEvent] = []
        while len(found) < limit:
            timestamp_min = max(timestamp_min, self.start + 1)
            page = self.engine.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)
            for event in page:
                if self.ours(event.transfer.id):
                    [debit, credit], [transfer] = (
                        self.accounts([event.debit_account, event.credit_account]),
                        self.transfers([event.transfer]),
                    )
                    found.append(msgspec.structs.replace(event, transfer=transfer, debit_account=debit, credit_account=credit))
            if len(page) < limit:
                break
            timestamp_min = page[-1].timestamp + 1
        return found[:limit]

    def close(self) -> None:
        """The engine is everybody's."""


# The conformance table


class Player(notation._Player):
    """Waits where the table sets the clock."""

    def __init__(self, corner: Corner) -> None:
        super().__init__(corner)
        self.released = 0

    def move_clock(self, line: notation.Line) -> None:
        time.sleep(clock_step(line) or 0)

    def release(self, line: notation.Line) -> None:
        """Until as many more have been released, and the engine has heard of it."""
        self.released += int(line.words[0])
        while len(expired := expiries(self.engine)) < self.released:
            time.sleep(0.02)
        assert len(expired) == self.released, line.number
        self.engine.expire_pending_transfers(0)


def expiries(books: Any) -> list[ChangeEvent]:
    return [e for e in books.get_change_events(timestamp_min=0, limit=1000) if e.type is ChangeEventType.TWO_PHASE_EXPIRED]


def clock_step(line: notation.Line) -> int | None:
    """Seconds to wait for a `clock` line; None where nobody could."""
    step = re.fullmatch(r"\+(\d+)s", line.words[0])
    return int(step[1]) if step and len(line.words) == 1 and int(step[1]) <= CLOCK_STEP_S_MAX else None


def playable(scenario: notation.Scenario) -> list[notation.Line]:
    """Its lines up to the first that cannot be waited for."""
    lines: list[notation.Line] = []
    for line in scenario.lines:
        if line.verb == "clock" and clock_step(line) is None:
            break
        lines.append(line)
    return lines


def play(lines: list[notation.Line], corner: Corner) -> None:
    player = Player(corner)
    for batch in notation._batches(lines):
        player.step(batch)


@pytest.fixture(scope="module")
def played(new_books: Callable[[], Corner]) -> Iterator[dict[str, Future[None]]]:
    """All scenarios, beside each other: most of their time is waiting for reservations to expire."""
    with ThreadPoolExecutor(16) as pool:
        waiting = sorted(SCENARIOS, key=lambda scenario: -sum(clock_step(line) or 0 for line in scenario.lines if line.verb == "clock"))
        futures: dict[str, Future[None]] = {}
        for scenario in waiting:
            corner = new_books()
            lines = playable(scenario)
            if corner.engine.client == "stock":  # its accounts have no reserved field
                lines = [line for line in lines if not any(word.startswith("reserved=") for word in line.words)]
            futures[scenario.title] = pool.submit(play, lines, corner)
        yield futures


@pytest.mark.parametrize("title", [scenario.title for scenario in SCENARIOS])
def test_books_follow_the_table(title: str, played: dict[str, Future[None]]) -> None:
    played[title].result()


def test_the_rows_that_cannot_run_are_known() -> None:
    assert {scenario.title for scenario in SCENARIOS if playable(scenario) != scenario.lines} == set(UNPLAYABLE)


# Random histories


class ServersModel(Model):
    """The model, whose reservations are released when the servers say so, and not before they are due."""

    def release(self, now: int) -> int:
        return 0

    def expired(self, event: ChangeEvent) -> None:
        pending = self.transfer(event.transfer.id)
        assert pending is not None
        assert self.fate(pending) == "pending", event
        assert pending.timeout, event
        assert event.timestamp >= pending.timestamp + pending.timeout * 10**9, event
        place = sum(fact.timestamp < event.timestamp for fact in self.facts)
        self.facts.insert(place, Fact(event.timestamp, "expired", pending, -pending.amount, 0))
        self.time = max(self.time, event.timestamp)


class BothInTime(Both):
    """An engine and the model, whose clock is the servers': it is told of each batch when the servers did it."""

    engine: Corner
    model: ServersModel

    def __init__(self, corner: Corner) -> None:
        super().__init__(corner)
        self.model = ServersModel()
        self.learned = corner.start

    def take(self, kind: str, what: Any) -> None:
        if kind == "release":
            self.engine.expire_pending_transfers(0)
        elif kind == "accounts":
            self.create_accounts([self.new_account(Choices(data)) for data in what])
        elif kind == "transfers":
            self.create_transfers([self.new_transfer(Choices(data)) for data in what])
        self.compare_books()

    def create_accounts(self, accounts: list[Account]) -> None:
        results = self.engine.create_accounts(accounts, 0)
        self.now = self.engine.last_timestamp
        self.learn(until=self.now)
        agree("accounts", [(r.status.name.lower(), r.timestamp) for r in results], self.model.create_accounts(accounts, self.now))

    def create_transfers(self, transfers: list[Transfer]) -> None:
        results = self.engine.create_transfers(transfers, 0)
        self.now = self.engine.last_timestamp
        self.learn(until=self.now)
        agree("transfers", [(r.status.name.lower(), r.timestamp) for r in results], self.model.create_transfers(transfers, self.now))

    def learn(self, *, until: int = 0) -> int:
        """Tells the model of new expiries, and returns how many there were."""
        events = self.engine.get_change_events(timestamp_min=self.learned + 1, timestamp_max=until, limit=BATCH_SIZE_MAX)
        expired = [event for event in events if event.type is ChangeEventType.TWO_PHASE_EXPIRED]
        for event in expired:
            self.model.expired(event)
        self.learned = max([self.learned, *(event.timestamp for event in events)])
        return len(expired)

    def compare_books(self) -> None:
        while True:
            self.learn()
            self.engine.expire_pending_transfers(0)
            accounts = self.engine.lookup_accounts(range(10))
            mirrored = [self.engine.account_now(number) for number in range(10)]
            balances = [self.engine.balances_now(number) for number in range(10)]
            codes = [self.engine.account_code(number) for number in range(10)]
            if not self.learn():
                break  # nothing was released meanwhile
        agree("books", accounts, sorted((self.model.view(account) for account in self.model.accounts), key=lambda a: a.id))
        by_id = {account.id: account for account in accounts}
        agree("account_now", mirrored, [by_id.get(number) for number in range(10)])
        fours = {a.id: (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) for a in accounts}
        agree("balances_now", balances, [fours.get(number) for number in range(10)])
        agree("account_code", codes, [by_id[number].code if number in by_id else 0 for number in range(10)])
        events = self.engine.get_change_events(timestamp_min=self.fed + 1, timestamp_max=self.learned, limit=BATCH_SIZE_MAX)
        agree("feed", events, self.expected_feed(self.fed))
        self.fed = self.learned

    def ask_for_past_balance(self, account_id: int, timestamp: int) -> None:
        facts = self.model.facts
        self.model.facts = [fact for fact in facts if fact.kind != "expired" or fact.transfer.amount]  # see Reads.balance_at
        super().ask_for_past_balance(account_id, timestamp)
        self.model.facts = facts


@settings(
    max_examples=max(2, settings().max_examples // 10),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(
    history=st.lists(steps, min_size=STEPS, max_size=STEPS),
    account_questions=st.lists(account_filters, min_size=1, max_size=4),
    questions=st.lists(query_filters, min_size=1, max_size=4),
)
def test_histories_agree_with_the_model(
    new_books: Callable[[], Corner], history: list[Any], account_questions: list[AccountFilter], questions: list[QueryFilter]
) -> None:
    both = BothInTime(new_books())
    both.create_accounts(ACCOUNTS)
    both.create_transfers(FUNDING)
    for step in history:
        if step:
            both.take(*step)
    both.ask(account_questions, questions)
    report = check(both.engine, page_size=50)
    assert report.passed, report.findings


# What is this engine's own


def accounts_of(books: Corner, *ids: int, flags: int = HISTORY) -> None:
    results = books.create_accounts([Account(id=number, ledger=1, code=10, flags=flags) for number in ids], 0)
    assert {result.status.name for result in results} == {"CREATED"}


def move(id: int, debit: int, credit: int, amount: int, **fields: int) -> Transfer:
    return Transfer(id=id, debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1, **fields)


def until_released(books: Any, count: int) -> list[ChangeEvent]:
    while len(found := expiries(books)) < count:
        time.sleep(0.02)
    return found


def test_the_mirror_learns_what_was_released_between_two_batches_and_what_the_last_batch_left(books: Corner) -> None:
    accounts_of(books, 1, 2)
    books.create_transfers([move(1, 1, 2, 5, flags=PENDING, timeout=1), move(2, 1, 2, 7, flags=PENDING, timeout=2)], 0)
    assert books.balances_now(1) == (12, 0, 0, 0)
    until_released(books, 1)
    books.create_transfers([move(3, 1, 2, 100)], 0)  # the first release is in a gap now
    until_released(books, 2)
    before = books.last_timestamp
    assert books.expire_pending_transfers(0) >= 2  # those of other books on this server count as well
    assert books.balances_now(1) == (0, 100, 0, 0)
    assert books.balances_now(2) == (0, 0, 0, 100)
    assert books.last_timestamp >= expiries(books)[1].timestamp > before  # so that whoever waits for changes hears of it


def test_a_balance_of_the_past_knows_of_expiries(books: Corner) -> None:
    accounts_of(books, 1, 2, flags=0)  # also without a history
    books.create_transfers([move(1, 1, 2, 50), move(2, 1, 2, 5, flags=PENDING, timeout=1), move(3, 1, 2, 7, flags=PENDING)], 0)
    books.create_transfers([move(4, 1, 2, 9, flags=PENDING, timeout=1000), Transfer(id=5, pending_id=4, flags=VOID)], 0)
    [expiry] = until_released(books, 1)
    last = books.lookup_transfers([5])[0].timestamp
    assert books.balance_at(1, expiry.timestamp - 1) == AccountBalance(last, 12, 50, 0, 0)
    assert books.balance_at(1, expiry.timestamp) == AccountBalance(expiry.timestamp, 7, 50, 0, 0)
    assert books.balance_at(2, expiry.timestamp + 10**18) == AccountBalance(expiry.timestamp, 0, 0, 7, 50)
    books.create_transfers([move(6, 1, 2, 1)], 0)
    now = books.last_timestamp
    assert books.balance_at(1, now) == AccountBalance(now, 7, 51, 0, 0)
    assert books.balance_at(1, expiry.timestamp) == AccountBalance(expiry.timestamp, 7, 50, 0, 0)
    assert books.balance_at(1, 0) == books.balance_at(9, now) == AccountBalance(0, 0, 0, 0, 0)


def test_one_batch_may_do_everything_at_once_and_is_shown_whole(books: Corner) -> None:
    accounts_of(books, 1, 2, 3)
    batch = [
        move(1, 1, 2, 10),
        move(2, 1, 2, 20, flags=PENDING),
        Transfer(id=3, debit_account_id=1, credit_account_id=2, pending_id=2, flags=POST, amount=15),
        move(4, 2, 3, 1000, flags=int(TransferFlags.BALANCING_DEBIT)),
        move(5, 1, 3, 2, flags=PENDING),
        move(6, 1, 1, 1),
        move(7, 3, 1, 0, flags=PENDING | int(TransferFlags.CLOSING_DEBIT)),
        move(8, 3, 1, 1),
    ]
    results = books.create_transfers(batch, 0)
    assert [r.status.name for r in results[5:]] == ["ACCOUNTS_MUST_BE_DIFFERENT", "CREATED", "DEBIT_ACCOUNT_ALREADY_CLOSED"]
    assert books.balances_now(1) == (2, 25, 0, 0)
    assert books.balances_now(2) == (0, 25, 0, 25)
    assert books.balances_now(3) == (0, 0, 2, 25)
    closed = books.account_now(3)
    assert closed is not None
    assert closed.flags == HISTORY | AccountFlags.CLOSED
    assert [books.account_now(number) for number in (1, 2, 3)] == books.lookup_accounts([1, 2, 3])
    timestamps = [r.timestamp for r in results]
    assert timestamps == list(range(timestamps[0], timestamps[0] + 8))
    assert books.last_timestamp == timestamps[-1]


def test_a_post_or_void_that_names_its_accounts_moves_what_was_reserved(books: Corner) -> None:
    accounts_of(books, 1, 2)
    books.create_transfers([move(1, 1, 2, 10, flags=PENDING), move(2, 1, 2, 20, flags=PENDING)], 0)
    books.create_transfers([move(3, 1, 2, 4, flags=POST, pending_id=1)], 0)
    assert books.balances_now(1) == (20, 4, 0, 0)
    books.create_transfers([move(4, 1, 2, 20, flags=VOID, pending_id=2)], 0)
    assert books.balances_now(2) == (0, 0, 0, 4)


def test_a_batch_whose_rest_cannot_be_read_is_not_shown_in_part(books: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts_of(books, 1, 2, 3)
    books.create_transfers([move(1, 1, 2, 10, flags=PENDING)], 0)
    batch = [move(2, 1, 3, 5), Transfer(id=3, pending_id=1, flags=POST, amount=U128_MAX)]

    def lost(ids: Sequence[int]) -> list[Transfer]:
        raise errors.Unavailable

    monkeypatch.setattr(books.engine._reads, "lookup_transfers", lost)
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            books.create_transfers(batch, 0)
        assert [books.balances_now(number) for number in (1, 2, 3)] == [(10, 0, 0, 0), (0, 0, 10, 0), (0, 0, 0, 0)]
    monkeypatch.undo()
    assert [r.status.name for r in books.create_transfers(batch, 0)] == ["EXISTS", "EXISTS"]
    assert [books.balances_now(number) for number in (1, 2, 3)] == [(0, 15, 0, 0), (0, 0, 0, 10), (0, 0, 0, 5)]


def test_balances_beyond_64_bits_are_mirrored_too(books: Corner) -> None:
    accounts_of(books, 1, 2)
    books.create_transfers([move(1, 1, 2, 2**64 - 1), move(2, 1, 2, 2**100, flags=PENDING)], 0)
    books.create_transfers([move(3, 1, 2, 3)], 0)
    assert books.balances_now(1) == (2**100, 2**64 + 2, 0, 0)
    books.create_transfers([Transfer(id=4, pending_id=2, flags=VOID), move(5, 2, 1, 2**64)], 0)
    assert books.balances_now(1) == (0, 2**64 + 2, 0, 2**64)
    assert [books.account_now(number) for number in (1, 2)] == books.lookup_accounts([1, 2])


def test_the_largest_batch_and_the_longest_answers_go_through(books: Corner) -> None:
    ids = range(1, BATCH_SIZE_MAX + 1)
    assert {r.status.name for r in books.create_accounts([Account(id=number, ledger=1, code=10) for number in ids], 0)} == {"CREATED"}
    results = books.create_transfers([move(n, n, n % BATCH_SIZE_MAX + 1, n) for n in ids], 0)
    assert {r.status for r in results} == {CREATED}
    assert [account.debits_posted for account in books.lookup_accounts(list(ids))] == list(ids)
    assert [books.balances_now(number) for number in (1, 2)] == [(0, 1, 0, BATCH_SIZE_MAX), (0, 2, 0, 1)]
    events = books.get_change_events(timestamp_min=0, limit=BATCH_SIZE_MAX)  # three replies
    assert [event.transfer.id for event in events] == list(ids)
    assert len(books.get_change_events(timestamp_min=0, limit=3_000)) == 3_000


def test_whoever_opens_a_ledger_finds_all_of_it_and_hears_of_what_expires_then(server: Cluster, new_books: Callable[[], Corner]) -> None:
    books = new_books()
    accounts_of(books, 1, 2)
    books.create_accounts([Account(id=3, ledger=1, code=11, user_data_128=2**127, user_data_64=6, user_data_32=7)], 0)
    books.create_transfers([move(1, 1, 2, 5, flags=PENDING, timeout=2), move(2, 1, 2, 6)], 0)
    newest = books.last_timestamp
    books.create_transfers([move(3, 1, 1, 1)], 0)  # refused: nothing of it is recorded, but its time
    again = TigerBeetleEngine.open(server.addresses, server.number, raw=books.engine.client == "raw", last_known=newest)
    try:
        if again.client == "raw":
            assert again.last_timestamp >= books.last_timestamp
        other = Corner(again)
        other.base, other.start = books.base, books.start
        assert [other.account_now(number) for number in (1, 2, 3)] == books.lookup_accounts([1, 2, 3])
        again.create_accounts([Account(id=other.there(4), ledger=1, code=10)], 0)
        until_released(other, 1)
        again.create_accounts([Account(id=other.there(5), ledger=1, code=10)], 0)  # it is in a gap
        again.expire_pending_transfers(0)
        assert other.balances_now(1) == (0, 6, 0, 0)
    finally:
        again.close()


def test_what_another_process_writes_against_the_rules_is_taken_in(server: Cluster, books: Corner) -> None:
    accounts_of(books, 1, 2)
    with_other = TigerBeetleEngine.open(server.addresses, server.number)
    try:
        with_other.create_accounts([Account(id=books.there(3), ledger=1, code=10)], 0)
        with_other.create_transfers([books.transfer(move(1, 1, 3, 5), books.there)], 0)
    finally:
        with_other.close()
    assert books.balances_now(1) == (0, 0, 0, 0)
    books.expire_pending_transfers(0)
    assert books.balances_now(1) == (0, 5, 0, 0)
    assert books.balances_now(3) == (0, 0, 0, 5)
