"""The auditor: recomputes every balance from the movements, and proves that no money was made or lost.

It shares no code with `rules`: what they should have done is worked out a second time here, from the feed of any engine.
The feed is read in pages, so memory grows with the accounts and the open reservations, not with the transfers.

    the feed      timestamps rise strictly; each event moves what its kind says; a pending transfer is resolved once, in
                  time, for at most its amount; no limit is passed; nothing but voids and expiries touch a closed account;
                  both accounts stand afterwards as the event says
    the accounts  each stands at what the feed adds up to
    the ledgers   debits equal credits, pending and posted
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    Account,
    AccountFlags,
    ChangeEvent,
    ChangeEventType,
    QueryFilter,
    Transfer,
    TransferFlags,
)

FINDINGS_MAX = 1_000
"""Findings that a report keeps. More are counted."""

_CLOSED: Final = int(AccountFlags.CLOSED)
_LIMITS: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_DEBITS_LIMIT: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_PENDING: Final = int(TransferFlags.PENDING)
_POST: Final = int(TransferFlags.POST_PENDING_TRANSFER)
_VOID: Final = int(TransferFlags.VOID_PENDING_TRANSFER)
_KINDS: Final = _PENDING | _POST | _VOID
_CLOSING_DEBIT: Final = int(TransferFlags.CLOSING_DEBIT)
_CLOSING_CREDIT: Final = int(TransferFlags.CLOSING_CREDIT)
_FLAGS_OF_TYPE: Final = {
    ChangeEventType.SINGLE_PHASE: 0,
    ChangeEventType.TWO_PHASE_PENDING: _PENDING,
    ChangeEventType.TWO_PHASE_POSTED: _POST,
    ChangeEventType.TWO_PHASE_VOIDED: _VOID,
    ChangeEventType.TWO_PHASE_EXPIRED: _PENDING,
}


class Finding(msgspec.Struct, frozen=True):
    """Something that should not be. Ids are 0 where they do not apply.

    Attributes:
        text: what is wrong, with the numbers.
        timestamp: of the event or record, ns.
    """

    text: str
    ledger: int
    account_id: int = 0
    transfer_id: int = 0
    timestamp: int = 0


class LedgerTotals(msgspec.Struct, frozen=True):
    """The sums of the accounts' balances as the engine keeps them, in minor units."""

    ledger: int
    accounts: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


class Report(msgspec.Struct, frozen=True):
    """What an audit saw.

    Attributes:
        transfers: recorded ones: single, pending, posts and voids.
        expiries: pending transfers that were released by their timeout.
        pending: those still open.
        timestamp: of the last event, ns.
        findings: the first FINDINGS_MAX of `findings_count`.
    """

    accounts: int
    transfers: int
    expiries: int
    pending: int
    timestamp: int
    ledgers: list[LedgerTotals]
    findings: list[Finding]
    findings_count: int

    @property
    def passed(self) -> bool:
        return self.findings_count == 0


class _Tally:
    """An account as the feed adds up."""

    __slots__ = (
        "ledger",
        "code",
        "flags",
        "timestamp",
        "debits_pending",
        "debits_posted",
        "credits_pending",
        "credits_posted",
        "closed_by",
        "difference",
        "seen",
    )

    def __init__(self, account: Account) -> None:
        self.ledger = account.ledger
        self.code = account.code
        self.flags = int(account.flags) & ~_CLOSED
        self.timestamp = account.timestamp
        self.debits_pending = 0
        self.debits_posted = 0
        self.credits_pending = 0
        self.credits_posted = 0
        self.closed_by = 0  # id of the closing transfer
        self.difference: list[int] = []  # what events show beyond it, once they do
        self.seen = False  # among the engine's accounts

    def balances(self) -> tuple[int, int, int, int]:
        return (self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted)


class Audited(Protocol):
    """What is asked of an engine; fields and answers as there."""

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]: ...

    def query_accounts(self, filter: QueryFilter) -> list[Account]: ...


def check(engine: Audited, *, on_page: Callable[[int], None] | None = None, page_size: int = BATCH_SIZE_MAX) -> Report:
    """Audits everything in one go. `on_page` hears how many events and accounts have been read."""
    auditor = Auditor(engine, page_size=page_size)
    while auditor.step():
        if on_page:
            on_page(auditor.read)
    return auditor.report()


class Auditor:
    """An audit in steps, each one page long, so that a server can go on working between them.

    Transfers may be made between two steps, but not during one: the auditor catches up with the feed before it holds
    any account to it.
    """

    def __init__(self, engine: Audited, *, page_size: int = BATCH_SIZE_MAX, findings_max: int = FINDINGS_MAX) -> None:
        assert 0 < page_size <= BATCH_SIZE_MAX, page_size
        self.read = 0
        self._engine = engine
        self._page_size = page_size
        self._findings_max = findings_max
        self._findings: list[Finding] = []
        self._findings_count = 0
        self._tallies: dict[int, _Tally] = {}
        self._open: dict[int, Transfer] = {}
        self._timestamp = 0
        self._transfers = 0
        self._expiries = 0
        self._accounts = 0
        self._account_timestamp = 0
        self._accounts_by_ledger: dict[int, int] = {}
        # What the engine keeps beyond what the feed adds up to, by ledger: the four sums.
        self._differences: dict[int, list[int]] = {}
        self._feed_read = False

    def step(self) -> bool:
        """Reads one page. False when everything has been read."""
        if not self._feed_read:
            self._feed_read = not self._read_feed_page()
            return True
        while self._read_feed_page():
            pass
        if self._read_accounts_page():
            return True
        self._finish()
        return False

    def report(self) -> Report:
        """The report, once `step` has answered False."""
        return Report(
            accounts=self._accounts,
            transfers=self._transfers,
            expiries=self._expiries,
            pending=len(self._open),
            timestamp=self._timestamp,
            ledgers=self._totals(),
            findings=list(self._findings),
            findings_count=self._findings_count,
        )

    def _read_feed_page(self) -> bool:
        """True if the page was full: there may be more."""
        before = self._timestamp
        events = self._engine.get_change_events(timestamp_min=self._timestamp + 1, limit=self._page_size)
        for event in events:
            self._audit(event)
        self.read += len(events)
        # A feed that goes back must not make the audit go round in circles.
        return len(events) == self._page_size and self._timestamp > before

    def _audit(self, event: ChangeEvent) -> None:
        if event.timestamp <= self._timestamp:
            self._found(event, f"the timestamp does not rise: it follows {self._timestamp}")
        self._timestamp = max(self._timestamp, event.timestamp)
        if event.type == ChangeEventType.TWO_PHASE_EXPIRED:
            self._expiries += 1
        else:
            self._transfers += 1
        debit_account, credit_account = self._tally(event, event.debit_account), self._tally(event, event.credit_account)
        self._audit_form(event)
        self._audit_closed(event, debit_account, credit_account)
        self._move(event, debit_account, credit_account)
        self._audit_after(event, event.debit_account, debit_account)
        self._audit_after(event, event.credit_account, credit_account)

    def _audit_form(self, event: ChangeEvent) -> None:
        """What can be told from the event alone."""
        transfer, debit_account, credit_account = event.transfer, event.debit_account, event.credit_account
        if (transfer.debit_account_id, transfer.credit_account_id) != (debit_account.id, credit_account.id):
            self._found(event, f"it moves between {transfer.debit_account_id} and {transfer.credit_account_id}, not the accounts given")
        if transfer.amount < 0:
            self._found(event, f"its amount is {transfer.amount}")
        if debit_account.id == credit_account.id:
            self._found(event, "it debits and credits the same account")
        if not transfer.ledger == debit_account.ledger == credit_account.ledger:
            self._found(event, f"it crosses ledgers: {debit_account.ledger} to {credit_account.ledger} in {transfer.ledger}")
        if transfer.flags & _KINDS != _FLAGS_OF_TYPE[event.type]:
            self._found(event, f"flags {int(transfer.flags)} do not make it {event.type.name}")
        if event.type != ChangeEventType.TWO_PHASE_EXPIRED and transfer.timestamp != event.timestamp:
            self._found(event, f"the transfer has another timestamp: {transfer.timestamp}")
        if max(debit_account.timestamp, credit_account.timestamp) >= event.timestamp:
            self._found(event, "it is older than one of its accounts")

    def _audit_closed(self, event: ChangeEvent, debit_account: _Tally, credit_account: _Tally) -> None:
        if event.type in (ChangeEventType.TWO_PHASE_VOIDED, ChangeEventType.TWO_PHASE_EXPIRED):
            return
        if debit_account.closed_by or credit_account.closed_by:
            self._found(event, f"it moves money of an account that transfer {debit_account.closed_by or credit_account.closed_by} closed")

    def _move(self, event: ChangeEvent, debit_account: _Tally, credit_account: _Tally) -> None:
        """Adds the event to both tallies."""
        transfer = event.transfer
        if event.type == ChangeEventType.SINGLE_PHASE:
            debit_account.debits_posted += transfer.amount
            credit_account.credits_posted += transfer.amount
        elif event.type == ChangeEventType.TWO_PHASE_PENDING:
            debit_account.debits_pending += transfer.amount
            credit_account.credits_pending += transfer.amount
            self._open[transfer.id] = transfer
            if transfer.flags & _CLOSING_DEBIT:
                debit_account.closed_by = transfer.id
            if transfer.flags & _CLOSING_CREDIT:
                credit_account.closed_by = transfer.id
        else:
            self._resolve(event, debit_account, credit_account)

    def _resolve(self, event: ChangeEvent, debit_account: _Tally, credit_account: _Tally) -> None:
        """A post, void or expiry: ends an open pending transfer, which only one of them can do."""
        transfer = event.transfer
        expired = event.type == ChangeEventType.TWO_PHASE_EXPIRED
        pending = self._open.pop(transfer.id if expired else transfer.pending_id, None)
        if pending is None:
            self._found(event, f"no pending transfer {transfer.pending_id or transfer.id} is open: it is resolved twice, or was never made")
            return
        debit_account.debits_pending -= pending.amount
        credit_account.credits_pending -= pending.amount
        if event.type == ChangeEventType.TWO_PHASE_POSTED:
            debit_account.debits_posted += transfer.amount
            credit_account.credits_posted += transfer.amount
        else:
            for tally in (debit_account, credit_account):
                tally.closed_by = 0 if tally.closed_by == pending.id else tally.closed_by

        accounts = (transfer.debit_account_id, transfer.credit_account_id)
        if accounts != (pending.debit_account_id, pending.credit_account_id):
            self._found(event, f"its accounts are not those of pending transfer {pending.id}")
        if transfer.amount > pending.amount or (transfer.amount < pending.amount and event.type != ChangeEventType.TWO_PHASE_POSTED):
            self._found(event, f"it resolves {transfer.amount} of {pending.amount} reserved")
        expires_at = pending.timestamp + pending.timeout * 1_000_000_000 if pending.timeout else None
        if expired and (expires_at is None or event.timestamp < expires_at):
            self._found(event, "it expires too early")
        if not expired and expires_at is not None and event.timestamp >= expires_at:
            self._found(event, f"it resolves pending transfer {pending.id} after its expiry")

    def _audit_after(self, event: ChangeEvent, account: Account, tally: _Tally) -> None:
        """The account as the event shows it, against what the feed adds up to."""
        shown, expected = _balances(account), tally.balances()
        if shown != expected:
            difference = [ours - theirs for ours, theirs in zip(shown, expected, strict=True)]
            if difference != tally.difference:  # told once, not for every later event of the account
                tally.difference = difference
                self._found(event, f"balances after it are {shown}, but add up to {expected}", account.id)
        if bool(account.flags & _CLOSED) != bool(tally.closed_by):
            self._found(event, f"flags after it are {int(account.flags)}, closed by {tally.closed_by}", account.id)
        if (account.ledger, account.code, account.flags & ~_CLOSED, account.timestamp) != (
            tally.ledger,
            tally.code,
            tally.flags,
            tally.timestamp,
        ):
            self._found(event, "the account's ledger, code, flags or timestamp changed", account.id)
        if tally.flags & _LIMITS:
            spent, had = tally.debits_pending + tally.debits_posted, tally.credits_posted
            if not tally.flags & _DEBITS_LIMIT:
                spent, had = tally.credits_pending + tally.credits_posted, tally.debits_posted
            if spent > had:
                self._found(event, f"the account's limit is passed: {spent} of {had}", account.id)

    def _tally(self, event: ChangeEvent, account: Account) -> _Tally:
        tally = self._tallies.get(account.id)
        if tally is None:
            self._tallies[account.id] = tally = _Tally(account)
        return tally

    def _read_accounts_page(self) -> bool:
        """Holds a page of the engine's accounts to the feed. True if the page was full: there may be more."""
        before = self._account_timestamp
        accounts = self._engine.query_accounts(QueryFilter(limit=self._page_size, timestamp_min=self._account_timestamp + 1))
        for account in accounts:
            self._audit_account(account)
        self.read += len(accounts)
        return len(accounts) == self._page_size and self._account_timestamp > before

    def _audit_account(self, account: Account) -> None:
        if account.timestamp <= self._account_timestamp:
            self._found_account(account, f"the timestamp does not rise: it follows {self._account_timestamp}")
        self._account_timestamp = max(self._account_timestamp, account.timestamp)
        self._accounts += 1
        self._accounts_by_ledger[account.ledger] = self._accounts_by_ledger.get(account.ledger, 0) + 1
        tally = self._tallies.get(account.id)
        expected = tally.balances() if tally else (0, 0, 0, 0)
        kept = _balances(account)
        if kept != expected:
            self._found_account(account, f"balances are {kept}, but add up to {expected}")
            differences = self._differences.setdefault(account.ledger, [0, 0, 0, 0])
            for index in range(4):
                differences[index] += kept[index] - expected[index]
        if tally:
            tally.seen = True
            if bool(account.flags & _CLOSED) != bool(tally.closed_by):
                self._found_account(account, f"flags are {int(account.flags)}, closed by {tally.closed_by}")
            if (account.ledger, account.code, account.flags & ~_CLOSED) != (tally.ledger, tally.code, tally.flags):
                self._found_account(account, "its ledger, code or flags are not those of its transfers")

    def _finish(self) -> None:
        for account_id, tally in self._tallies.items():
            if not tally.seen:
                self._keep(Finding("transfers move it, but the engine has no such account", tally.ledger, account_id))
        for totals in self._totals():
            for kind in ("pending", "posted"):
                debits, credits_ = getattr(totals, f"debits_{kind}"), getattr(totals, f"credits_{kind}")
                if debits != credits_:
                    self._keep(Finding(f"{kind} debits are {debits}, credits {credits_}: money was made or lost", totals.ledger))

    def _totals(self) -> list[LedgerTotals]:
        """What the engine keeps: what the feed adds up to, and the differences found."""
        sums = {ledger: [0, 0, 0, 0] for ledger in self._accounts_by_ledger}
        for tally in self._tallies.values():
            of_ledger = sums.setdefault(tally.ledger, [0, 0, 0, 0])
            for index, balance in enumerate(tally.balances()):
                of_ledger[index] += balance
        for ledger, differences in self._differences.items():
            for index, difference in enumerate(differences):
                sums[ledger][index] += difference
        return [LedgerTotals(ledger, self._accounts_by_ledger.get(ledger, 0), *sums[ledger]) for ledger in sorted(sums)]

    def _found(self, event: ChangeEvent, text: str, account_id: int = 0) -> None:
        self._keep(Finding(text, event.transfer.ledger, account_id, event.transfer.id, event.timestamp))

    def _found_account(self, account: Account, text: str) -> None:
        self._keep(Finding(text, account.ledger, account.id, 0, account.timestamp))

    def _keep(self, finding: Finding) -> None:
        self._findings_count += 1
        if len(self._findings) < self._findings_max:
            self._findings.append(finding)


def _balances(account: Account) -> tuple[int, int, int, int]:
    return (account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted)
