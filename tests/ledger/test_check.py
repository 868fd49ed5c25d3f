"""The auditor finds what was changed behind the ledger's back, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from counterfoil.ledger.check import FINDINGS_MAX, Auditor, LedgerTotals, Report, check
from counterfoil.ledger.engine import Engine
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.types import Account, AccountFlags, ChangeEvent, ChangeEventType, QueryFilter, Transfer, TransferFlags

NOW = 1_000_000_000_000_000_000
SECOND = 1_000_000_000
PENDING, POST, VOID = TransferFlags.PENDING, TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER


def keep_books(engine: Engine) -> None:
    """A little of everything. Account 2 has a limit; 3 is closed for a while by transfer 7, which expires."""
    limited = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.HISTORY
    accounts = [
        Account(id=1, ledger=1, code=1),
        Account(id=2, ledger=1, code=2, flags=limited),
        Account(id=3, ledger=1, code=2),
        Account(id=4, ledger=2, code=1),
        Account(id=5, ledger=2, code=1),
        Account(id=6, ledger=2, code=1),
    ]
    assert all(result.status.name == "CREATED" for result in engine.create_accounts(accounts, NOW))

    def transfer(id: int, debit: int, credit: int, amount: int, *, flags: int = 0, timeout: int = 0, ledger: int = 1) -> Transfer:
        return Transfer(id, debit, credit, amount, flags=flags, timeout=timeout, ledger=ledger, code=1)

    batch = [
        transfer(1, 1, 2, 100),
        transfer(2, 2, 3, 40, flags=PENDING),
        transfer(3, 2, 3, 30, flags=PENDING),
        transfer(4, 2, 3, 20, flags=PENDING, timeout=5),
        Transfer(5, amount=25, pending_id=2, flags=POST),
        Transfer(6, pending_id=3, flags=VOID),
        transfer(7, 3, 1, 0, flags=PENDING | TransferFlags.CLOSING_DEBIT, timeout=5),
        transfer(8, 4, 5, 2**127, ledger=2),
    ]
    assert all(result.status.name == "CREATED" for result in engine.create_transfers(batch, NOW))
    [result] = engine.create_transfers([transfer(9, 3, 2, 5)], NOW + 9 * SECOND)
    assert result.status.name == "CREATED"


def test_books_that_are_right_pass_with_their_totals(engine: Engine) -> None:
    keep_books(engine)
    report = check(engine)
    assert report.passed, report.findings
    assert (report.accounts, report.transfers, report.expiries, report.pending) == (6, 9, 2, 0)
    assert report.ledgers == [LedgerTotals(1, 3, 0, 130, 0, 130), LedgerTotals(2, 3, 0, 2**127, 0, 2**127)]


def test_empty_books_pass(engine: Engine) -> None:
    assert check(engine) == Report(0, 0, 0, 0, 0, [], [], 0)


@pytest.mark.parametrize("page_size", [1, 2, 3, 11, 12])
def test_page_size_does_not_matter(engine: Engine, page_size: int) -> None:
    keep_books(engine)
    assert check(engine, page_size=page_size) == check(engine)


def test_progress_is_told(engine: Engine) -> None:
    keep_books(engine)
    pages: list[int] = []
    check(engine, on_page=pages.append, page_size=4)
    assert pages == sorted(pages)
    assert pages[-1] >= 12


def test_audit_keeps_up_with_a_ledger_that_goes_on_working(engine: Engine) -> None:
    keep_books(engine)
    auditor = Auditor(engine, page_size=2)
    number = 100
    while auditor.step():
        number += 1
        if number < 120:
            engine.create_accounts([Account(id=number, ledger=1, code=1)], NOW)
            engine.create_transfers(
                [Transfer(number, 1, 3, 7, ledger=1, code=1), Transfer(number + 100, 3, number, 1, ledger=1, code=1)], NOW
            )
    report = auditor.report()
    assert report.passed, report.findings
    assert report.accounts > 20
    assert report.ledgers[0].debits_posted == 130 + (report.transfers - 9) // 2 * 8


@pytest.mark.parametrize("balance", ["debits_pending", "debits_posted", "credits_pending", "credits_posted"])
@pytest.mark.parametrize("account_id", [2, 6])
def test_balance_that_was_changed_is_found(balance: str, account_id: int) -> None:
    engine = MemoryEngine()
    keep_books(engine)
    account = engine._books.accounts[account_id]
    setattr(account, balance, getattr(account, balance) + 1)
    report = check(engine)
    ledger = 1 if account_id == 2 else 2
    assert [(finding.ledger, finding.account_id) for finding in report.findings] == [(ledger, account_id), (ledger, 0)]
    assert "money was made or lost" in report.findings[1].text
    totals = report.ledgers[ledger - 1]
    assert abs(totals.debits_posted - totals.credits_posted) + abs(totals.debits_pending - totals.credits_pending) == 1


def test_two_balances_changed_so_that_the_sums_agree_are_found() -> None:
    engine = MemoryEngine()
    keep_books(engine)
    engine._books.accounts[1].credits_posted += 5
    engine._books.accounts[3].debits_posted += 5
    assert [finding.account_id for finding in check(engine).findings] == [1, 3]


def test_account_that_was_reopened_is_found() -> None:
    engine = MemoryEngine()
    keep_books(engine)
    engine.create_transfers([Transfer(50, 3, 1, 0, flags=PENDING | TransferFlags.CLOSING_DEBIT, ledger=1, code=1)], NOW)
    assert check(engine).passed
    engine._books.accounts[3].flags = 0
    [finding] = check(engine).findings
    assert finding.account_id == 3
    assert "closed by 50" in finding.text


class Tampered(MemoryEngine):
    """An engine whose feed somebody has altered."""

    def __init__(self, alter: Callable[[ChangeEvent], list[ChangeEvent]]) -> None:
        super().__init__()
        self.alter = alter

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        events = super().get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)
        return [altered for event in events for altered in self.alter(event)]


def altered(transfer_id: int, type: ChangeEventType | None = None, **fields: object) -> Callable[[ChangeEvent], list[ChangeEvent]]:
    """An alteration of one event: fields of the event, or `transfer__field`, `debit_account__field`."""

    def alter(event: ChangeEvent) -> list[ChangeEvent]:
        expiry = event.type == ChangeEventType.TWO_PHASE_EXPIRED
        if event.transfer.id != transfer_id or expiry != (type == ChangeEventType.TWO_PHASE_EXPIRED):
            return [event]
        changes: dict[str, object] = {}
        for name, value in fields.items():
            part, _, field = name.partition("__")
            whole = changes.get(part, getattr(event, part))
            changes[part] = msgspec.structs.replace(whole, **{field: value}) if field else value  # type: ignore[type-var]
        return [msgspec.structs.replace(event, **changes)]

    return alter


def without(transfer_id: int) -> Callable[[ChangeEvent], list[ChangeEvent]]:
    return lambda event: [] if event.transfer.id == transfer_id else [event]


EXPIRED = ChangeEventType.TWO_PHASE_EXPIRED


@pytest.mark.parametrize(
    ("alter", "transfer_id", "text"),
    [
        (altered(1, transfer__amount=99), 1, "balances after it"),
        (altered(1, debit_account__debits_posted=99), 1, "balances after it"),
        (altered(1, credit_account__credits_posted=99), 1, "balances after it"),
        (altered(1, transfer__amount=-100), 1, "its amount is -100"),
        (altered(1, transfer__debit_account_id=3), 1, "not the accounts given"),
        (altered(1, transfer__ledger=2), 1, "crosses ledgers"),
        (altered(1, transfer__flags=2), 1, "do not make it SINGLE_PHASE"),
        (altered(1, transfer__timestamp=7), 1, "another timestamp"),
        (altered(1, timestamp=NOW - 8, transfer__timestamp=NOW - 8), 1, "older than one of its accounts"),
        (altered(2, timestamp=7), 2, "does not rise"),
        (altered(5, transfer__amount=41), 5, "it resolves 41 of 40 reserved"),
        (altered(6, transfer__amount=29), 6, "it resolves 29 of 30 reserved"),
        (altered(6, transfer__pending_id=2), 6, "resolved twice, or was never made"),
        (altered(6, transfer__pending_id=99), 6, "resolved twice, or was never made"),
        (altered(6, transfer__debit_account_id=1), 6, "not those of pending transfer 3"),
        (altered(4, EXPIRED, timestamp=NOW + 1), 4, "expires too early"),
        (altered(2, transfer__timeout=1, transfer__timestamp=NOW - 2 * SECOND), 5, "after its expiry"),
        (altered(7, credit_account__flags=32), 7, "flags after it"),
        (altered(7, debit_account__flags=0), 7, "flags after it"),
        (altered(9, debit_account__code=9), 9, "ledger, code, flags or timestamp changed"),
        (altered(9, debit_account__flags=2), 9, "ledger, code, flags or timestamp changed"),
        (without(1), 2, "limit is passed: 40 of 0"),
        (without(3), 6, "resolved twice, or was never made"),
        (lambda event: [event, event] if event.transfer.id == 8 else [event], 8, "does not rise"),
        (lambda event: [] if event.type == EXPIRED and event.transfer.id == 7 else [event], 9, "transfer 7 closed"),
        (without(8), 0, "balances are (0, 170141183460469231731687303715884105728, 0, 0), but add up to (0, 0, 0, 0)"),
    ],
)  # fmt: skip
def test_altered_feed_is_found(alter: Callable[[ChangeEvent], list[ChangeEvent]], transfer_id: int, text: str) -> None:
    engine = Tampered(alter)
    keep_books(engine)
    report = check(engine)
    assert any(finding.transfer_id == transfer_id and text in finding.text for finding in report.findings), report.findings
    assert not report.passed


def test_lost_account_is_found() -> None:
    class Forgetful(MemoryEngine):
        def query_accounts(self, filter: QueryFilter) -> list[Account]:
            return [account for account in super().query_accounts(filter) if account.id != 5]

    engine = Forgetful()
    keep_books(engine)
    assert [(finding.account_id, finding.text) for finding in check(engine).findings] == [
        (5, "transfers move it, but the engine has no such account")
    ]


def test_wrong_balance_is_told_once_for_an_account_not_at_every_later_transfer() -> None:
    engine = Tampered(altered(1, transfer__amount=99))
    keep_books(engine)
    engine.create_transfers([Transfer(number, 1, 2, 1, ledger=1, code=1) for number in range(100, 200)], NOW)
    assert check(engine).findings_count == 4  # both accounts in the feed, and both as they are kept


def test_findings_beyond_the_most_are_counted() -> None:
    engine = Tampered(lambda event: [msgspec.structs.replace(event, type=ChangeEventType.TWO_PHASE_PENDING)])
    engine.create_accounts([Account(id=1, ledger=1, code=1), Account(id=2, ledger=1, code=1)], NOW)
    engine.create_transfers([Transfer(number, 1, 2, 1, ledger=1, code=1) for number in range(1, FINDINGS_MAX + 50)], NOW)
    report = check(engine)
    assert len(report.findings) == FINDINGS_MAX
    assert report.findings_count > FINDINGS_MAX
