"""The import into a real ledger: complete, repeatable, resumable, and exactly what the old system stated."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from counterfoil.clock import SystemClock
from counterfoil.errors import Conflict, Malformed
from counterfoil.institutions.book import booking, entries
from counterfoil.institutions.book.entries import account_id, book_id, counter_accounts, transfer_id
from counterfoil.institutions.book.mapping import load_mapping
from counterfoil.institutions.book.reader import read_book
from counterfoil.institutions.book.service import import_book
from counterfoil.institutions.book.types import BookReport, Reason
from counterfoil.ledger.chart import AccountCode, Chart, TransferCode
from counterfoil.ledger.check import check
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.ledger.types import BATCH_SIZE_MAX, AccountFilter, AccountFlags, QueryFilter, Transfer
from counterfoil.money import Currency

DOLLAR = Currency("USD", 2, 840)
PLAIN = load_mapping("plain")
CZK = 203
Write = Callable[..., Path]


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Ledger]:
    """A ledger whose writer runs."""
    ledger = Ledger(engine, Chart(), SystemClock())
    writer = asyncio.create_task(ledger.run())
    await asyncio.sleep(0)  # the writer has started, even where the body fails at once
    try:
        yield ledger
    finally:
        await ledger.stop()
        await writer


async def import_plain(engine: Engine, path: Path, tolerance: int = 0, currency: Currency = DOLLAR) -> BookReport:
    async with running(engine) as ledger:
        return await import_book(ledger, path, PLAIN, tolerance=tolerance, currency=currency)


def feed(engine: Engine) -> list[Transfer]:
    """Every transfer in order of booking."""
    transfers: list[Transfer] = []
    after = 1
    while page := engine.get_change_events(timestamp_min=after, limit=BATCH_SIZE_MAX):
        transfers += [event.transfer for event in page]
        after = page[-1].timestamp + 1
    return transfers


def digest(engine: Engine) -> str:
    """A digest of all that was booked, in order, except when."""
    timeless = [msgspec.structs.replace(transfer, timestamp=0) for transfer in feed(engine)]
    return hashlib.sha256(msgspec.json.encode([[str(value) for value in msgspec.structs.astuple(t)] for t in timeless])).hexdigest()


def balance_of(engine: Engine, id: int) -> int:
    (account,) = engine.lookup_accounts([id])
    return account.credits_posted - account.debits_posted


EXAMPLE = Path(entries.__file__).parent / "examples" / "village-bank.csv"


async def test_the_shipped_example_is_imported_as_it_says() -> None:
    engine = MemoryEngine()
    report = await import_plain(engine, EXAMPLE, tolerance=2)
    assert report.to_json() == {
        "accounts": 4,
        "transactions": 15,
        "exact": 1,
        "rounded": 3,
        "rounding_entries": 3,
        "rounding_net": 1,
        "failed": [],
        "closing_total": 37_960 + 75_310 + 8_460 + 4_500,
    }
    assert report.exit_code == 0
    assert [(r.account, r.entries, r.net) for r in report.roundings] == [("A-001", 1, 2), ("A-002", 1, -2), ("A-003", 1, 1)]
    assert balance_of(engine, account_id("plain", "A-002")) == 75_310
    rounding = next(a for a in counter_accounts("plain", DOLLAR) if a.code == AccountCode.ROUNDING)
    assert balance_of(engine, rounding.id) == -1


async def test_event_time_is_kept_apart_from_booking_time() -> None:
    engine = MemoryEngine()
    started = time.time_ns()
    await import_plain(engine, EXAMPLE, tolerance=2)
    first, *_ = feed(engine)
    assert first.user_data_64 == 1_767_571_200 * 10**9  # 2026-01-05T00:00:00Z
    assert first.id >> 80 == 1_767_571_200_000
    assert first.timestamp >= started
    (rounding, *_) = [t for t in feed(engine) if t.code == TransferCode.IMPORT_ROUNDING]
    assert rounding.user_data_128 in {t.id for t in feed(engine) if t.code == TransferCode.IMPORT}


async def test_only_an_account_that_was_overdrawn_may_be() -> None:
    engine = MemoryEngine()
    await import_plain(engine, EXAMPLE, tolerance=2)
    accounts = engine.query_accounts(QueryFilter(limit=100, user_data_128=book_id("plain"), code=AccountCode.IMPORT_BOOK))
    limited = {a.id: bool(a.flags & AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS) for a in accounts}
    assert limited == {account_id("plain", f"A-00{n}"): n != 3 for n in (1, 2, 3, 4)}
    assert all(a.flags & AccountFlags.HISTORY for a in accounts)


async def test_rounding_never_takes_an_account_below_zero(write_plain: Write) -> None:
    """The last withdrawal is 0.02 more than there is, and the old system stated zero."""
    path = write_plain("1,A,2026-01-05,5.00,5.03,\n2,A,2026-01-06,-5.05,0.00,\n3,B,2026-01-05,5.00,4.98,\n4,B,2026-01-06,-4.98,0.00,\n")
    engine = MemoryEngine()
    report = await import_plain(engine, path, tolerance=3)
    assert (report.failed, report.rounded, report.rounding_entries, report.closing_total) == ((), 2, 3, 0)


async def test_a_line_of_zero_is_a_transfer_of_zero(write_plain: Write) -> None:
    engine = MemoryEngine()
    report = await import_plain(engine, write_plain("1,A,2026-01-05,0.00,0.00,interest\n2,A,2026-01-06,5.00,5.00,\n"))
    assert report.exact == 1
    assert [t.amount for t in feed(engine)] == [0, 500]


async def test_an_account_that_does_not_fit_is_left_out_whole_and_the_others_are_booked(write_plain: Write) -> None:
    path = write_plain("1,A,2026-01-05,5.00,5.00,\n2,B,2026-01-05,7.00,7.00,\n3,B,2026-01-06,1.00,9.00,\n4,A,2026-01-06,1.00,6.00,\n")
    engine = MemoryEngine()
    report = await import_plain(engine, path)
    assert report.exit_code == 1
    assert (report.accounts, report.exact, report.closing_total) == (2, 1, 600)
    (failed,) = report.to_json()["failed"]
    assert failed == {
        "account": "B",
        "line": 4,
        "date": "2026-01-06",
        "stated": 900,
        "computed": 800,
        "reason": "balance",
        "detail": "the stated balance does not follow from the balance before and the amount",
    }
    assert engine.lookup_accounts([account_id("plain", "B")]) == []
    assert len(feed(engine)) == 2


async def test_a_file_that_is_refused_books_nothing(write_plain: Write) -> None:
    engine = MemoryEngine()
    with pytest.raises(Malformed, match="line 3"):
        await import_plain(engine, write_plain("1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-06,1.0"))
    assert feed(engine) == []
    assert engine.query_accounts(QueryFilter(limit=10)) == []


@pytest.mark.parametrize("tolerance", [-1, True, 0.1, "1", 2**63])
async def test_a_wrong_tolerance_is_refused(tolerance: int) -> None:
    with pytest.raises(Malformed, match="tolerance"):
        await import_plain(MemoryEngine(), EXAMPLE, tolerance=tolerance)


async def test_a_second_run_books_nothing_and_reports_the_same() -> None:
    engine = MemoryEngine()
    one = await import_plain(engine, EXAMPLE, tolerance=2)
    before = feed(engine)
    two = await import_plain(engine, EXAMPLE, tolerance=2)
    assert one == two
    assert feed(engine) == before


async def test_a_book_that_has_grown_is_continued(write_plain: Write) -> None:
    engine = MemoryEngine()
    await import_plain(engine, write_plain("1,A,2026-01-05,5.00,5.00,\n"))
    report = await import_plain(engine, write_plain("1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-06,1.00,6.00,\n3,B,2026-01-06,1.00,1.00,\n"))
    assert (report.exit_code, report.exact, report.closing_total) == (0, 2, 700)
    assert balance_of(engine, account_id("plain", "A")) == 600


@pytest.mark.parametrize(
    ("rows", "line", "detail"),
    [
        pytest.param("1,A,2026-01-05,6.00,6.00,\n2,A,2026-01-06,1.00,7.00,\n", 2, "other entries", id="another amount"),
        pytest.param("1,A,2026-01-05,5.00,5.00,\n9,A,2026-01-06,1.00,6.00,\n", 3, "other entries", id="another transaction number"),
        pytest.param("1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-07,1.00,6.00,\n", 3, "other entries", id="another date"),
        pytest.param("1,A,2026-01-05,5.00,5.00,\n", 2, "other entries", id="a line fewer"),
        pytest.param("1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-06,1.00,6.00,cash\n", 3, "other entries", id="another category"),
        pytest.param(
            "1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-06,1.00,6.00,\n3,A,2026-01-07,-9.00,-3.00,\n", 2, "different_flags", id="an overdraft"
        ),
    ],
)
async def test_an_account_that_reads_differently_than_it_was_booked_is_a_conflict(
    write_plain: Write, rows: str, line: int, detail: str
) -> None:
    engine = MemoryEngine()
    await import_plain(engine, write_plain("1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-06,1.00,6.00,\n"))
    before = feed(engine)
    report = await import_plain(engine, write_plain(rows))
    (failed,) = report.failed
    assert (failed.account, failed.line, failed.reason) == ("A", line, Reason.CONFLICT)
    assert detail in failed.detail
    assert report.closing_total == 0
    assert feed(engine) == before


async def test_a_books_name_taken_in_another_currency_is_refused() -> None:
    engine = MemoryEngine()
    await import_plain(engine, EXAMPLE, tolerance=2)
    with pytest.raises(Conflict, match="plain"):
        await import_plain(engine, EXAMPLE, tolerance=2, currency=Currency("EUR", 2, 978))


async def test_an_account_with_more_lines_than_a_chain_is_booked_in_several(write_plain: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "CHAIN_SIZE_MAX", 7)
    monkeypatch.setattr(booking, "GROUP_SIZE_MAX", 7)
    rows = [f"{n},{'ABC'[n % 3]},2026-01-{1 + n // 10:02},1.00,{n // 3 + 1}.00,\n" for n in range(100)]
    engine = MemoryEngine()
    report = await import_plain(engine, write_plain("".join(rows)))
    assert (report.exact, report.closing_total) == (3, 10_000)
    assert len(feed(engine)) == 100


async def test_a_transfer_that_the_ledger_refuses_leaves_its_account_out_whole(write_plain: Write) -> None:
    path = write_plain("1,A,2026-01-05,5.00,5.00,\n2,A,2026-01-06,1.00,6.00,\n3,A,2026-01-07,1.00,7.00,\n4,B,2026-01-05,7.00,7.00,\n")
    taken = transfer_id(read_book(path, PLAIN, DOLLAR).lines("A")[1])
    engine = MemoryEngine()
    cash, banks, *_ = counter_accounts("elsewhere", DOLLAR)
    engine.create_accounts([cash, banks], 1)
    engine.create_transfers([Transfer(taken, cash.id, banks.id, 1, ledger=DOLLAR.ledger, code=TransferCode.IMPORT)], 2)
    report = await import_plain(engine, path)
    (failed,) = report.failed
    assert (failed.account, failed.line, failed.stated, failed.computed, failed.reason) == ("A", 3, 600, 600, Reason.CONFLICT)
    assert "exists_with_different" in failed.detail
    assert balance_of(engine, account_id("plain", "A")) == 0
    assert (report.exact, report.closing_total, len(feed(engine))) == (1, 700, 2)


async def test_progress_is_shown_and_a_run_that_is_stopped_there_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking, "GROUP_SIZE_MAX", 5)
    stopped, whole = MemoryEngine(), MemoryEngine()
    await import_plain(whole, EXAMPLE, tolerance=2)
    seen: list[tuple[str, int, int]] = []

    def stop_at_the_second_group(stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total))
        if stage == "booking" and done > 4:
            raise KeyboardInterrupt

    async with running(stopped) as ledger:
        with pytest.raises(KeyboardInterrupt):
            await import_book(ledger, EXAMPLE, PLAIN, tolerance=2, currency=DOLLAR, progress=stop_at_the_second_group)
    assert [stage for stage, *_ in seen] == ["reading", "reconciling", "reconciling", "booking", "booking"]
    assert 0 < len(feed(stopped)) < len(feed(whole))
    await import_plain(stopped, EXAMPLE, tolerance=2)
    assert digest(stopped) == digest(whole)


async def test_an_account_with_more_lines_than_the_ledger_answers_at_once_is_compared_in_pages(
    write_plain: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booking, "BATCH_SIZE_MAX", 3)
    rows = [f"{n},A,2026-01-{n + 1:02},1.00,{n + 1}.00,\n" for n in range(9)]
    engine = MemoryEngine()
    await import_plain(engine, write_plain("".join(rows[:7])))
    report = await import_plain(engine, write_plain("".join(rows)))
    assert (report.exact, report.closing_total, len(feed(engine))) == (1, 900, 9)


async def test_a_date_that_breaks_only_the_order_of_the_file_is_named(write_plain: Write) -> None:
    """The last line of A is moved to a later day: A alone still fits, but the file was sorted."""
    rows = ["1,A,2026-01-05,5.00,5.00,", "2,A,2026-03-06,1.00,6.00,", "3,B,2026-01-07,1.00,1.00,", "4,B,2026-01-08,1.00,2.00,", ""]
    mapping = msgspec.structs.replace(PLAIN, sorted_by_date=True)
    async with running(MemoryEngine()) as ledger:
        report = await import_book(ledger, write_plain("\n".join(rows)), mapping, tolerance=0, currency=DOLLAR)
    (failed,) = report.failed
    assert (failed.account, failed.line, failed.date, failed.reason) == ("A", 3, "2026-03-06", Reason.DATE)
    assert (report.exact, report.closing_total) == (1, 200)


# The real book


async def test_the_real_book_imports_whole_twice_the_same_and_stands_where_the_old_system_did(pkdd99: Path, tmp_path: Path) -> None:
    mapping = load_mapping("pkdd99")
    engine = SqliteEngine.open(tmp_path / "ledger.sqlite")
    started = time.monotonic()
    async with running(engine) as ledger:
        report = await import_book(ledger, pkdd99, mapping, tolerance=10, currency=DOLLAR)
    assert time.monotonic() - started < 60
    assert (report.accounts, report.transactions, report.failed) == (1229, 46_997, ())
    assert (report.exact, report.rounded, report.rounding_entries, report.rounding_net) == (411, 818, 2031, -4270)
    assert report.closing_total == closing_total_of(pkdd99)

    before = digest(engine)
    async with running(engine) as ledger:
        assert await import_book(ledger, pkdd99, mapping, tolerance=10, currency=DOLLAR) == report
        assert digest(engine) == before
        await check_every_stated_balance(ledger, pkdd99)
    audited = check(engine)
    assert audited.passed, audited.findings
    assert audited.transfers == 46_997 + 2031
    assert [totals.ledger for totals in audited.ledgers] == [CZK]
    engine.close()


def first_days(path: Path, count: int) -> list[bytes]:
    """The header and at least `count` lines, to the end of a day: in the middle of one, some accounts would not fit."""
    rows = path.read_bytes().splitlines(keepends=True)
    while rows[count].split(b";")[2] == rows[count + 1].split(b";")[2]:
        count += 1
    return rows[: count + 1]


def closing_total_of(path: Path) -> int:
    """The sum of the accounts' last balances, without the product: sum of a line's amounts, then the nearest stated balance of the last day."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    total = Decimal(0)
    by_account: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_account.setdefault(row["account_id"], []).append(row)
    for lines in by_account.values():
        last_day = [row for row in lines if row["date"] == max(r["date"] for r in lines)]
        earlier = [row for row in lines if row not in last_day]
        summed = sum((Decimal(r["amount"]) * (1 if r["type"] == "PRIJEM" else -1) for r in lines), Decimal(0))
        nearest = min((Decimal(row["balance"]) for row in last_day), key=lambda b: abs(b - summed))
        assert abs(nearest - summed) <= Decimal("0.10") * (len(earlier) + len(last_day))
        total += nearest
    return int(total * 100)


async def check_every_stated_balance(ledger: Ledger, path: Path) -> None:
    """The ledger's own history of each account has every balance that the old system stated."""
    book = read_book(path, load_mapping("pkdd99"), DOLLAR)
    for account in book.accounts[::10]:
        own = account_id("pkdd99", account)
        everything = AccountFilter(account_id=own, limit=BATCH_SIZE_MAX)
        transfers = await ledger.get_account_transfers(everything)
        balances = await ledger.get_account_balances(everything)
        after: dict[int, int] = {}  # the balance after a line is that after its last transfer
        for transfer, balance in zip(transfers, balances, strict=True):
            assert transfer.timestamp == balance.timestamp
            after[transfer.user_data_128] = balance.credits_posted - balance.debits_posted
        assert sorted(after.values()) == sorted(line.balance for line in book.lines(account))


CHILD = """
import asyncio, sys
from pathlib import Path
from counterfoil.institutions.book import booking
booking.GROUP_SIZE_MAX = 300  # more commits, so more places to be killed between them
from counterfoil.clock import SystemClock
from counterfoil.institutions.book.mapping import load_mapping
from counterfoil.institutions.book.service import import_book
from counterfoil.ledger.chart import Chart
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.sqlite import SqliteEngine
from counterfoil.money import Currency

async def main():
    engine = SqliteEngine.open(Path(sys.argv[2]))
    ledger = Ledger(engine, Chart(), SystemClock())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger.run())
        report = await import_book(
            ledger, Path(sys.argv[1]), load_mapping("pkdd99"), tolerance=10, currency=Currency("USD", 2, 840),
            progress=lambda stage, done, total: print(stage, done, total, flush=True),
        )
        await ledger.stop()
    engine.close()
    print("done", report.closing_total, report.exit_code, flush=True)

asyncio.run(main())
"""


def run_and_kill(book: Path, ledger: Path, kill_after: tuple[str, int] | None, delay: float) -> str:
    """Runs the import in a process of its own, and kills it `delay` seconds after it came that far. Returns its last line."""
    command = [sys.executable, "-c", CHILD, str(book), str(ledger)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    last = ""
    for row in child.stdout:
        last = row.strip()
        stage, done, *_ = last.split()
        if kill_after is not None and stage == kill_after[0] and int(done) >= kill_after[1]:
            time.sleep(delay)
            os.kill(child.pid, signal.SIGKILL)
            break
    child.stdout.close()
    child.wait()
    return last


async def test_killed_anywhere_and_run_again_it_ends_in_the_same_books(pkdd99: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.asc"
    part.write_bytes(b"".join(first_days(pkdd99, 15_000)))
    whole = MemoryEngine()
    async with running(whole) as ledger:
        report = await import_book(ledger, part, load_mapping("pkdd99"), tolerance=10, currency=DOLLAR)
    assert report.exit_code == 0

    seed = random.randrange(2**32)
    randomness = random.Random(seed)
    moments = [("reading", 0), ("reconciling", 0), *(("booking", step * 2_300 + randomness.randrange(2_000)) for step in range(6))]
    seen = []
    for moment in moments:
        run_and_kill(part, tmp_path / "ledger.sqlite", moment, randomness.random() * 0.02)
        engine = SqliteEngine.open(tmp_path / "ledger.sqlite")
        booked = feed(engine)
        engine.close()
        seen.append(len(booked))
        transfers_of: dict[int, int] = {}
        for transfer in booked:
            own = transfer.credit_account_id if transfer.debit_account_id in COUNTERS else transfer.debit_account_id
            transfers_of[own] = transfers_of.get(own, 0) + 1
        for account, count in transfers_of.items():  # an account that is there at all is there whole
            assert count == len(whole.get_account_transfers(AccountFilter(account_id=account, limit=BATCH_SIZE_MAX)))
    assert seen == sorted(seen)
    assert len({count for count in seen if 0 < count < len(feed(whole))}) >= 3, (seed, seen)  # it was really killed in the middle
    last = run_and_kill(part, tmp_path / "ledger.sqlite", None, 0)
    assert last == f"done {report.closing_total} {report.exit_code}"
    engine = SqliteEngine.open(tmp_path / "ledger.sqlite")
    assert digest(engine) == digest(whole)
    assert check(engine).passed
    engine.close()


COUNTERS = {account.id for account in counter_accounts("pkdd99", Currency("CZK", 2, CZK))}


@pytest.mark.parametrize("kind", ["amount", "balance", "type", "date"])
async def test_a_line_of_the_real_file_that_was_altered_is_named(pkdd99: Path, tmp_path: Path, kind: str) -> None:
    """The text itself is altered, at ten lines far apart. Each is named by line and account, and only those accounts are left out."""
    randomness = random.Random(f"file {kind}")
    rows = first_days(pkdd99, 20_000)
    accounts: dict[int, bytes] = {}
    while len(accounts) < 10:
        number = randomness.randrange(2, len(rows))
        fields = rows[number - 1].split(b";")
        if fields[1] in accounts.values() or number - 1 in accounts or number + 1 in accounts:
            continue
        if kind == "date":
            fields[2] = b"950101"  # beyond the end of the file
        elif kind == "type":
            fields[3] = b'"VYDAJ"' if fields[3] == b'"PRIJEM"' else b'"PRIJEM"'
        else:
            at = {"amount": 5, "balance": 6}[kind]
            fields[at] = str(Decimal(fields[at].decode()) + randomness.choice([-1, 1, 10, 300])).encode()
            if fields[5].startswith(b"-"):
                continue
        rows[number - 1] = b";".join(fields)
        accounts[number] = fields[1]
    path = tmp_path / "altered.asc"
    path.write_bytes(b"".join(rows))
    engine = MemoryEngine()
    async with running(engine) as ledger:
        report = await import_book(ledger, path, load_mapping("pkdd99"), tolerance=10, currency=DOLLAR)
    assert report.exit_code == 1
    assert {d.line: d.account.encode() for d in report.failed} == accounts
    assert report.exact + report.rounded == report.accounts - 10
