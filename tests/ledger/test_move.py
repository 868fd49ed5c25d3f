"""Books that were carried to another engine are the same books: they can be gone on with there, and be carried back."""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.errors import Conflict
from counterfoil.ledger import move
from counterfoil.ledger.check import check
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.movable import Movable
from counterfoil.ledger.move import Comparison
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from counterfoil.ledger.tigerbeetle_move import TigerBeetlePlace
from counterfoil.ledger.types import (
    U128_MAX,
    Account,
    AccountFilter,
    ChangeEventType,
    CreateAccountStatus,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
)
from tests import tigerbeetle
from tests.ledger import sqlite_file
from tests.ledger.model import SECOND, has
from tests.ledger.test_histories import (
    ACCOUNTS,
    CLOCK_START,
    FUNDING,
    HEALTH,
    Both,
    account_filters,
    query_filters,
    steps,
)
from tests.ledger.test_tigerbeetle import BothInTime, ServersModel
from tests.postgres import Cluster

_schemas = itertools.count()


def quiet(stage: str, done: int, total: int) -> None:
    return None


def carry(source: Callable[[], Movable], target: Callable[[], Movable], now: int = CLOCK_START) -> tuple[Comparison, int]:
    with closing(source()) as opened:
        return move.carry(opened, target, now, quiet)


def sqlite_at(path: Path) -> Callable[[], SqliteEngine]:
    return lambda: SqliteEngine.open(path)


def postgres_at(url: str) -> Callable[[], PostgresEngine]:
    schema = f"moved_{next(_schemas)}"
    return lambda: PostgresEngine.open(url, schema=schema)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few records make many batches."""
    monkeypatch.setattr(move, "BATCH_SIZE_MAX", 6)  # as long as the longest chain of a history


def begun(engine: Engine) -> Both:
    both = Both(engine)
    both.create_accounts(ACCOUNTS)
    both.create_transfers(FUNDING)
    return both


def played(both: Both, history: list[Any]) -> None:
    for step in history:
        if step:
            both.take(*step)


def moved(both: Both, source: Callable[[], Movable], target: Callable[[], Any]) -> None:
    """Moves what `both` plays on, and lets it go on there."""
    both.engine.close()
    found, _ = carry(source, target)
    assert found.here.transfers + found.here.expiries == len(both.model.facts)
    assert found.here.accounts == len(both.model.accounts)
    assert found.here.refused == len(both.model.burnt)
    both.engine, both.fed = target(), 0
    both.compare_books()


def history(seed: int, count: int, *, still: bool) -> list[Any]:
    """Steps as Hypothesis draws them, from a seed. `still`: the clock hardly moves, so that the servers' is ahead."""
    pick = random.Random(seed)

    def step() -> Any:
        kind = pick.choice(["transfers"] * 5 + ["accounts", "release"] + ([] if still else ["clock", "expiry"]))
        if kind == "clock":
            return kind, pick.choice([1, SECOND, SECOND - 2, 2 * SECOND, -SECOND])
        if kind == "expiry":
            return kind, pick.choice([-2, -1, 0, 1])
        return kind, [pick.randbytes(4) for _ in range(pick.randint(1, 6))] if kind != "release" else 0

    return [step() for _ in range(count)]


# From files to PostgreSQL and back


@settings(max_examples=max(3, settings().max_examples // 30), suppress_health_check=HEALTH)
@given(
    histories=st.lists(st.lists(steps, min_size=14, max_size=14), min_size=4, max_size=4),
    account_questions=st.lists(account_filters, min_size=1, max_size=4),
    questions=st.lists(query_filters, min_size=1, max_size=4),
    page=st.integers(1, 5),
)
def test_a_history_goes_on_wherever_its_books_are_moved(
    postgres: Cluster, tmp_path_factory: pytest.TempPathFactory, histories: list[list[Any]], page: int, **asked: Any
) -> None:
    folder = tmp_path_factory.mktemp("books")
    first, third = sqlite_at(folder / "first"), sqlite_at(folder / "third")
    second = postgres_at(postgres.url())
    ways: list[tuple[Callable[[], Movable], Callable[[], Movable]]] = [
        (first, second), (second, first), (first, third), (third, second),
    ]  # back to where older books of the same are, too  # fmt: skip
    both = begun(first())
    try:
        for steps_of_leg, (source, target) in zip(histories, ways, strict=True):
            played(both, steps_of_leg)
            moved(both, source, target)
            both.ask(**asked)
            both.read_feed(page)
            report = check(both.engine, page_size=page)
            assert report.passed, report.findings
    finally:
        both.engine.close()
    for name in ("first", "third"):
        sqlite_file.audit(folder / name)


def a_ledger(path: Path, seed: int, count: int = 30) -> Callable[[], SqliteEngine]:
    """A file with a random history in it."""
    both = begun(SqliteEngine.open(path))
    played(both, history(seed, count, still=False))
    both.engine.close()
    return sqlite_at(path)


class Killed(BaseException):
    """What SIGKILL would be: nothing after it is done by the one that it meets."""


class Dying:
    """A place whose writer is killed at its n-th write: before it, or after it."""

    def __init__(self, place: Movable, killing: Killing, *writes: str) -> None:
        self._place = place
        self._killing = killing
        self._writes = writes or ("begin", "foretell", "append_")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._place, name)
        return self._killing.around(found) if name.startswith(self._writes) else found


class Killing:
    def __init__(self, at: int, *, after: bool) -> None:
        self._left = at
        self._after = after
        self.met = False

    def around(self, write: Callable[..., None]) -> Callable[..., None]:
        def done(*arguments: Any) -> None:
            self._left -= 1
            if self._left == 0 and not self._after:
                self.met = True
                raise Killed
            write(*arguments)
            if self._left == 0:
                self.met = True
                raise Killed

        return done


def killed_at_every_write(source: Callable[[], Movable], new_target: Callable[[], Callable[[], Any]]) -> int:
    """Kills a move at each of its writes, and repeats it; returns how many there were."""
    for at in itertools.count(1):
        for after in (False, True):
            target, killing = new_target(), Killing(at, after=after)
            with contextlib.suppress(Killed):
                carry(source, lambda: Dying(target(), killing))  # type: ignore[arg-type,return-value]  # noqa: B023
            if not killing.met:
                return at - 1
            found, _ = carry(source, target)
            assert found.complete
    raise AssertionError


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_move_that_is_killed_at_any_write_is_gone_on_with(tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> None:
    numbers = itertools.count()
    source = a_ledger(tmp_path / "source", 5, count=40 if engine == "sqlite" else 20)
    url = request.getfixturevalue("postgres").url() if engine == "postgres" else ""
    writes = killed_at_every_write(source, lambda: postgres_at(url) if url else sqlite_at(tmp_path / f"target-{next(numbers)}"))
    assert writes > (8 if engine == "sqlite" else 5)


def test_what_is_moved_is_all_that_can_be_read(tmp_path: Path, postgres: Cluster) -> None:
    source = a_ledger(tmp_path / "source", 2, count=90)
    with closing(source()) as engine:
        books, time = sqlite_file.books(engine), engine.last_timestamp
        assert any(event.type is ChangeEventType.TWO_PHASE_EXPIRED for event in books[2])
    target = postgres_at(postgres.url())
    found, copied = carry(source, target)
    assert copied == found.here.records > 70
    assert found.here.refused > 0
    with closing(target()) as engine:
        assert sqlite_file.books(engine) == books
        assert engine.last_timestamp == time
    again, copied = carry(source, target)
    assert (again, copied) == (found, 0)
    with closing(source()) as engine:
        assert sqlite_file.books(engine) == books
    # What became of each reservation, and which are due, is known there too.
    pending = [t.id for t in books[1] if has(t, "pending")]
    voids = [Transfer(id=2**110 + number, pending_id=pending_id, flags=8) for number, pending_id in enumerate(pending)]
    with closing(source()) as one, closing(target()) as other:
        assert one.expire_pending_transfers(time) == other.expire_pending_transfers(time)
        answers = one.create_transfers(voids, time)
        assert {"CREATED", "PENDING_TRANSFER_ALREADY_POSTED", "PENDING_TRANSFER_EXPIRED"} <= {answer.status.name for answer in answers}
        assert other.create_transfers(voids, time) == answers
        assert sqlite_file.books(other) == sqlite_file.books(one)


def test_other_books_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    source, other = a_ledger(tmp_path / "source", 1), a_ledger(tmp_path / "other", 2)
    with closing(other()) as engine:
        books = sqlite_file.books(engine)
    for one, two in ((source, other), (other, source)):
        with pytest.raises(Conflict, match="The place to move to holds"):
            carry(one, two)
    with closing(other()) as engine:
        assert sqlite_file.books(engine) == books


def transfer(id: int, amount: int = 1, **fields: Any) -> Transfer:
    return Transfer(id=id, debit_account_id=1, credit_account_id=2, amount=amount, ledger=1, code=1, **fields)


@pytest.mark.parametrize("what", ["event", "refused id", "account"])
def test_older_books_are_gone_on_with_and_newer_ones_refused(tmp_path: Path, what: str) -> None:
    """Also where the only thing that is newer is an account, or an id that was refused."""
    source, target = a_ledger(tmp_path / "source", 3), sqlite_at(tmp_path / "target")
    carry(source, target)

    def grow(engine: Engine, id: int) -> None:
        if what == "account":
            [account] = engine.create_accounts([Account(id=id, ledger=1, code=1)], 0)
            assert account.status is CreateAccountStatus.CREATED
        else:
            asked = transfer(id) if what == "event" else msgspec.structs.replace(transfer(id), debit_account_id=77)  # nobody's
            [result] = engine.create_transfers([asked], 0)
            created = CreateTransferStatus.CREATED
            assert result.status is (created if what == "event" else CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND)

    with closing(source()) as engine:
        grow(engine, 2**100)
    _, copied = carry(source, target)
    assert copied == 1
    with closing(target()) as engine:
        grow(engine, 2**101)
    with pytest.raises(Conflict, match=f"further {what}"):
        carry(source, target)


def test_the_ledgers_time_is_moved_too(tmp_path: Path) -> None:
    """Refused events have used it up; a later event must not be given a time that somebody was told already."""
    source, target = a_ledger(tmp_path / "source", 3), sqlite_at(tmp_path / "target")
    with closing(source()) as engine:
        engine.expire_pending_transfers(engine.last_timestamp + 5 * SECOND)
        time = engine.last_timestamp + SECOND
        [result] = engine.create_transfers([msgspec.structs.replace(transfer(2**100), code=0)], time)
        assert (result.timestamp, result.status) == (time, CreateTransferStatus.CODE_MUST_NOT_BE_ZERO)
    carry(source, target)
    with closing(target()) as engine:
        assert engine.last_timestamp == time


def test_what_was_damaged_there_is_noticed(tmp_path: Path) -> None:
    source, target = a_ledger(tmp_path / "source", 4), sqlite_at(tmp_path / "target")
    carry(source, target)
    db = sqlite3.connect(tmp_path / "target")
    db.execute("UPDATE balances SET debits_posted = debits_posted + 1, flags = flags & ~6 WHERE account = 1")
    db.commit()
    db.close()
    with pytest.raises(Conflict, match="other balances"):
        carry(source, target)
    db = sqlite3.connect(tmp_path / "target")
    db.execute("UPDATE events SET user_data_32 = user_data_32 + 1 WHERE timestamp = (SELECT max(timestamp) FROM events WHERE kind = 0)")
    db.commit()
    db.close()
    with pytest.raises(Conflict, match="its event at"):
        carry(source, target)


def test_chains_are_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of some engines would refuse half of one."""
    monkeypatch.setattr(move, "BATCH_SIZE_MAX", 4)
    with closing(SqliteEngine.open(tmp_path / "source")) as engine:
        engine.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)], CLOCK_START)
        lengths = [1, 4, 3, 1, 2, 2, 4, 4, 1, 1, 3]
        ids = itertools.count(1)
        for length in lengths:
            engine.create_transfers([transfer(next(ids), flags=int(place < length - 1)) for place in range(length)], CLOCK_START)
        events = engine.get_change_events(timestamp_min=0, limit=1000)
        assert len(events) == sum(lengths)
        for size in (1, 2, 5, 100):
            pages = [events[start : start + size] for start in range(0, len(events), size)]
            batches = list(move._whole_chains(pages))
            assert [event for batch in batches for event in batch] == events
            assert all(0 < len(batch) <= 4 and not batch[-1].transfer.flags & 1 for batch in batches)


# To TigerBeetle and back


@pytest.fixture
def beetle() -> Iterator[tigerbeetle.Cluster]:
    """An empty cluster."""
    with tigerbeetle.cluster() as made:
        made.start()
        yield made


def place_at(server: tigerbeetle.Cluster) -> Callable[[], TigerBeetlePlace]:
    return lambda: TigerBeetlePlace.open(server.addresses, server.number)


def engine_at(server: tigerbeetle.Cluster) -> TigerBeetleEngine:
    return TigerBeetleEngine.open(server.addresses, server.number)


class Servers(BothInTime):
    """Goes on with what `both` has played, on a cluster."""

    def __init__(self, both: Both, engine: TigerBeetleEngine) -> None:
        self.engine = engine  # type: ignore[assignment]
        self.model = ServersModel()
        self.model.accounts, self.model.facts = both.model.accounts, list(both.model.facts)
        self.model.burnt, self.model.time = set(both.model.burnt), both.model.time
        self.id_last, self.asked, self.fed = both.id_last, both.asked, 0
        self.now = engine.last_timestamp
        self.learned = max((fact.timestamp for fact in both.model.facts), default=0)


def let_go(both: Both) -> None:
    """Nothing with a time-out is open afterwards."""
    while waiting := [t for t in both.model.transfers() if t.timeout and both.model.fate(t) == "pending"]:
        for pending in waiting:
            both.id_last += 1
            both.create_transfers([Transfer(id=both.id_last, pending_id=pending.id, flags=8)])
        both.compare_books()


def again(both: Both) -> None:
    """Whatever was asked before, and is asked again, is answered as the model does; so is a capture of everything that was reserved."""
    recorded = [msgspec.structs.replace(t, timestamp=0) for t in both.model.transfers()]
    both.create_transfers(recorded)
    both.create_transfers([msgspec.structs.replace(t, flags=t.flags & ~1) for t in recorded])
    for change in ({"amount": 77}, {"user_data_32": 9}, {"timeout": 5}, {"code": 9}, {"pending_id": 0}):
        both.create_transfers([msgspec.structs.replace(t, flags=t.flags & ~1, **change) for t in recorded])
    both.create_transfers(
        [Transfer(id=burnt, debit_account_id=1, credit_account_id=2, amount=1, ledger=1, code=1) for burnt in both.model.burnt]
    )
    for flags in (4, 8):
        for pending in [t for t in recorded if has(t, "pending")]:
            both.id_last += 1
            both.create_transfers([Transfer(id=both.id_last, pending_id=pending.id, flags=flags, amount=U128_MAX if flags == 4 else 0)])
    accounts = [msgspec.structs.replace(account, timestamp=0) for account in both.model.accounts]
    both.create_accounts(accounts)
    both.create_accounts([msgspec.structs.replace(account, flags=account.flags & ~1) for account in accounts])
    both.create_accounts([msgspec.structs.replace(account, flags=account.flags & ~1, user_data_64=77) for account in accounts])
    both.compare_books()


def back(both: Both, engine: Engine, burnt: set[int]) -> Both:
    """Goes on with what the servers have done, on another engine. `burnt`: ids that were refused before they had the ledger."""
    returned = Both(engine)
    returned.model.accounts, returned.model.facts = both.model.accounts, list(both.model.facts)
    returned.model.burnt, returned.model.time = burnt, engine.last_timestamp
    returned.id_last, returned.asked, returned.now = both.id_last, both.asked, engine.last_timestamp
    returned.compare_books()
    return returned


def everything(both: Both, seed: int) -> None:
    """All that can be asked."""
    pick = random.Random(seed)
    moments = [0, 0, 1, 3, 9, 30, 70]

    def bounds() -> dict[str, int]:
        return {"timestamp_min": pick.choice(moments), "timestamp_max": pick.choice(moments)}

    filters = [
        AccountFilter(account_id=account, limit=limit, flags=flags, code=pick.choice([0, 0, 1, 2]), **bounds())
        for account in (1, 2, 3, 4, 6)
        for flags in (3, 7, 1, 6)
        for limit in (1, 3, 8189)
    ]
    queries = [
        QueryFilter(limit=limit, flags=flags, ledger=pick.choice([0, 1, 2]), user_data_64=pick.choice([0, 5]), **bounds())
        for limit in (1, 3, 8189)
        for flags in (0, 1)
        for _ in range(4)
    ]
    both.ask(filters, queries)
    both.read_feed(3)
    report = check(both.engine, page_size=7)
    assert report.passed, report.findings


def test_a_history_goes_on_at_servers_and_back_and_there_again(
    tmp_path: Path, beetle: tigerbeetle.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move, "BATCH_SIZE_MAX", 7)
    seed = 2  # a history in which everything happens
    first, servers, third = sqlite_at(tmp_path / "first"), place_at(beetle), sqlite_at(tmp_path / "third")
    both = begun(first())
    played(both, history(seed, 90, still=False))
    both.now += 5 * SECOND
    both.take("release", 0)
    let_go(both)
    assert {fact.kind for fact in both.model.facts} == {"single_phase", "pending", "posted", "voided", "expired"}
    assert both.model.burnt
    for leg in range(2):
        both.engine.close()
        found, _ = carry(first, servers)
        assert (found.here.accounts, found.here.refused) == (len(both.model.accounts), len(both.model.burnt))
        at_servers, burnt = Servers(both, engine_at(beetle)), both.model.burnt
        try:
            again(at_servers)
            played(at_servers, history(seed + 10 + leg, 30, still=True))
            let_go(at_servers)
            everything(at_servers, seed)
        finally:
            at_servers.engine.close()
        carry(servers, first)
        both = back(at_servers, first(), burnt)
        both.now += SECOND // 1_000
        played(both, history(seed + 20 + leg, 30, still=True))
        let_go(both)
        everything(both, seed)
    both.engine.close()
    carry(first, servers)
    carry(servers, third)
    both = back(both, third(), both.model.burnt)
    everything(both, seed)
    both.engine.close()
    sqlite_file.audit(tmp_path / "third")


def test_a_move_to_servers_that_is_killed_after_every_write_is_gone_on_with(
    tmp_path: Path, beetle: tigerbeetle.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move, "BATCH_SIZE_MAX", 6)
    both = begun(SqliteEngine.open(tmp_path / "source"))
    played(both, history(3, 60, still=False))
    both.now += 5 * SECOND
    both.take("release", 0)
    let_go(both)
    both.engine.close()
    source, target = sqlite_at(tmp_path / "source"), place_at(beetle)
    records = ("append_accounts", "append_events", "append_burnt")
    for kills in range(100):
        # Of the records, the first write is killed when it is done, or the second before it is.
        killing = Killing(2 if kills > 1 and kills % 2 else 1, after=kills < 2 or not kills % 2)
        writes = (("begin",), ("foretell",))[kills] if kills < 2 else records
        with contextlib.suppress(Killed):
            carry(source, lambda: Dying(target(), killing, *writes))  # type: ignore[arg-type,return-value]  # noqa: B023
        if not killing.met:
            break
    assert 6 < kills < 99
    found, copied = carry(source, target)
    assert (found.complete, copied) == (True, 0)
    at_servers = Servers(both, engine_at(beetle))
    everything(at_servers, 3)
    again(at_servers)
    at_servers.engine.close()


def test_what_servers_cannot_take_is_said_before_anything_is_copied(tmp_path: Path, beetle: tigerbeetle.Cluster) -> None:
    source, target = sqlite_at(tmp_path / "source"), place_at(beetle)
    with closing(source()) as engine:
        engine.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)], CLOCK_START)
        engine.create_transfers([transfer(1, flags=2, timeout=4), transfer(2, flags=2, timeout=9), transfer(3, flags=2)], CLOCK_START)
    with pytest.raises(Conflict, match="2 are open: the last is over at 2001-09-09T01:46:49Z") as refused:
        carry(source, target, CLOCK_START)
    assert refused.value.facts["open_reservations"] == 2
    with closing(target()) as place:
        assert place.query_accounts(QueryFilter(limit=10)) == []
        assert place.last_timestamp == 0
    found, _ = carry(source, target, CLOCK_START + 10 * SECOND)  # both are over, and are released first
    assert (found.here.transfers, found.here.expiries) == (3, 2)
    with closing(sqlite_at(tmp_path / "other")()) as engine:
        engine.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)], CLOCK_START)
        engine.create_transfers([transfer(1)], 2**62)  # in the year 2116
    with pytest.raises(Conflict, match="other books"):
        carry(sqlite_at(tmp_path / "other"), target)


def test_servers_whose_clock_is_behind_are_refused(tmp_path: Path, beetle: tigerbeetle.Cluster) -> None:
    source = sqlite_at(tmp_path / "source")
    with closing(source()) as engine:
        engine.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)], 2**62)
        engine.create_transfers([transfer(1)], 2**62)
    with pytest.raises(Conflict, match="clock of the ledger's servers is behind"):
        carry(source, place_at(beetle))
    with closing(place_at(beetle)()) as place:
        assert place.last_timestamp == 0
