"""A naive ledger that checks the real ones: it shares no code with `ledger.rules`, and is written the other way round.

It keeps only facts (what was recorded, what expired) and asks them every question anew: a balance is a sum over all
facts, an account is closed while a closing transfer is open, a chain is tried on a copy of the facts. Slow, and plain
to see. Written from the specification's words rather than from the rules' text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from counterfoil.ledger.types import Account, AccountFilter, QueryFilter, Transfer

GREATEST = 2**128 - 1
SECOND = 10**9
ANSWER_MAX = 8189

ACCOUNT_FLAGS = {"linked": 1, "debits_limited": 2, "credits_limited": 4, "history": 8, "closed": 32}
TRANSFER_FLAGS = {
    "linked": 1, "pending": 2, "post": 4, "void": 8,
    "balancing_debit": 16, "balancing_credit": 32, "closing_debit": 64, "closing_credit": 128,
}  # fmt: skip
BURNING = {
    "debit_account_not_found", "credit_account_not_found", "pending_transfer_not_found", "debit_account_already_closed",
    "credit_account_already_closed", "exceeds_credits", "exceeds_debits",
}  # fmt: skip
COMPARED = ["debit_account_id", "credit_account_id", "amount", "user_data_128", "user_data_64", "user_data_32", "ledger", "code"]


@dataclass(frozen=True)
class Fact:
    """Something that happened to two accounts: `reserved` and `posted` are what it added to both, in minor units."""

    timestamp: int
    kind: str  # single_phase, pending, posted, voided, expired
    transfer: Transfer
    reserved: int
    posted: int


@dataclass(frozen=True)
class Sums:
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


def has(record: Transfer | Account, *names: str) -> bool:
    """Whether any of the named flags is set."""
    flags = TRANSFER_FLAGS if isinstance(record, Transfer) else ACCOUNT_FLAGS
    return any((record.flags // flags[name]) % 2 == 1 for name in names)


class Model:
    def __init__(self) -> None:
        self.accounts: list[Account] = []
        self.facts: list[Fact] = []
        self.burnt: set[int] = set()
        self.time = 0

    # Questions to the facts.

    def account(self, account_id: int) -> Account | None:
        return next((account for account in self.accounts if account.id == account_id), None)

    def transfer(self, transfer_id: int) -> Transfer | None:
        return next((t for t in self.transfers() if t.id == transfer_id), None)

    def transfers(self) -> list[Transfer]:
        return [fact.transfer for fact in self.facts if fact.kind != "expired"]

    def fate(self, pending: Transfer) -> str:
        """What became of a pending transfer: pending, posted, voided, expired."""
        for fact in self.facts:
            if fact.kind in ("posted", "voided") and fact.transfer.pending_id == pending.id:
                return fact.kind
            if fact.kind == "expired" and fact.transfer.id == pending.id:
                return "expired"
        return "pending"

    def sums(self, account_id: int, until: int = 2**63) -> Sums:
        before = [fact for fact in self.facts if fact.timestamp <= until]
        debited = [fact for fact in before if fact.transfer.debit_account_id == account_id]
        credited = [fact for fact in before if fact.transfer.credit_account_id == account_id]
        return Sums(
            sum(fact.reserved for fact in debited),
            sum(fact.posted for fact in debited),
            sum(fact.reserved for fact in credited),
            sum(fact.posted for fact in credited),
        )

    def closed(self, account: Account, until: int = 2**63) -> bool:
        """Closed from the start, or while a closing transfer waits for its void or expiry."""
        if has(account, "closed"):
            return True
        open_ones: dict[int, Transfer] = {}
        for fact in self.facts:
            if fact.timestamp > until:
                break
            if fact.kind == "pending":
                open_ones[fact.transfer.id] = fact.transfer
            elif fact.kind != "single_phase":
                open_ones.pop(fact.transfer.id if fact.kind == "expired" else fact.transfer.pending_id)
        return any(
            (has(t, "closing_debit") and t.debit_account_id == account.id)
            or (has(t, "closing_credit") and t.credit_account_id == account.id)
            for t in open_ones.values()
        )

    def view(self, account: Account, until: int = 2**63) -> Account:
        """The account as it should be read at that time."""
        sums = self.sums(account.id, until)
        flags = account.flags if has(account, "closed") or not self.closed(account, until) else account.flags + ACCOUNT_FLAGS["closed"]
        return msgspec.structs.replace(
            account,
            flags=flags,
            debits_pending=sums.debits_pending,
            debits_posted=sums.debits_posted,
            credits_pending=sums.credits_pending,
            credits_posted=sums.credits_posted,
        )

    # Events.

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[tuple[str, int]]:
        return self._batch(accounts, now, self._create_account)

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[tuple[str, int]]:
        self.release(now)
        return self._batch(transfers, now, self._create_transfer)

    def release(self, now: int) -> int:
        """Lets go of what is due now, oldest expiry first. Each gets a timestamp of its own, after now."""
        due = self._due(max(self.time, now))[:ANSWER_MAX]
        for pending in due:
            self.time = max(self.time, now) + 1
            self.facts.append(Fact(self.time, "expired", pending, -pending.amount, 0))
        return len(due)

    def _due(self, time: int) -> list[Transfer]:
        waiting = [t for t in self.transfers() if has(t, "pending") and t.timeout and self.fate(t) == "pending"]
        due = [t for t in waiting if t.timestamp + t.timeout * SECOND <= time]
        return sorted(due, key=lambda t: (t.timestamp + t.timeout * SECOND, t.timestamp))

    def _batch(self, events: Sequence, now: int, create) -> list[tuple[str, int]]:  # type: ignore[no-untyped-def]
        """Cuts a batch into chains, and tries each on a copy of the books."""
        if not events:
            return []
        first = max(now - len(events), self.time) + 1
        self.time = first + len(events) - 1
        answers: list[tuple[str, int]] = []
        for chain in _chains(events):
            start = first + len(answers)
            accounts, facts = list(self.accounts), list(self.facts)
            chain_answers: list[tuple[str, int]] = []
            for place, event in enumerate(chain):
                if place == len(chain) - 1 and has(event, "linked"):
                    answer = ("linked_event_chain_open", start + place)
                elif any(status != "created" for status, _ in chain_answers):
                    answer = ("linked_event_failed", start + place)
                elif event.timestamp:
                    answer = ("timestamp_must_be_zero", start + place)
                else:
                    answer = create(event, start + place)
                chain_answers.append(answer)
            if any(status != "created" for status, _ in chain_answers):
                self.accounts, self.facts = accounts, facts
                chain_answers = [
                    ("linked_event_failed", start + place) if status == "created" else (status, timestamp)
                    for place, (status, timestamp) in enumerate(chain_answers)
                ]
            for event, (status, _) in zip(chain, chain_answers, strict=True):
                if isinstance(event, Transfer) and status in BURNING:
                    self.burnt.add(event.id)
            answers += chain_answers
        return answers

    def _create_account(self, account: Account, at: int) -> tuple[str, int]:
        known = self.account(account.id)
        if account.reserved:
            return "reserved_field", at
        if account.flags & ~sum(ACCOUNT_FLAGS.values()):
            return "reserved_flag", at
        if account.id in (0, GREATEST):
            return "id_must_not_be_zero" if account.id == 0 else "id_must_not_be_int_max", at
        if known:
            known = self.view(known)
            for field in ("flags", "user_data_128", "user_data_64", "user_data_32", "ledger", "code"):
                if getattr(account, field) != getattr(known, field):
                    return f"exists_with_different_{field}", at
            return "exists", known.timestamp
        if has(account, "debits_limited") and has(account, "credits_limited"):
            return "flags_are_mutually_exclusive", at
        for field in ("debits_pending", "debits_posted", "credits_pending", "credits_posted"):
            if getattr(account, field):
                return f"{field}_must_be_zero", at
        for field in ("ledger", "code"):
            if not getattr(account, field):
                return f"{field}_must_not_be_zero", at
        self.accounts = [*self.accounts, msgspec.structs.replace(account, timestamp=at)]
        return "created", at

    def _create_transfer(self, asked: Transfer, at: int) -> tuple[str, int]:
        for applies, status in self._refusals(asked, at):
            if applies:
                known = self.transfer(asked.id)
                return status, known.timestamp if status == "exists" and known else at
        self.facts = [*self.facts, self._fact(asked, at)]
        return "created", at

    def _refusals(self, t: Transfer, at: int) -> Iterator[tuple[bool, str]]:
        """Every reason to say no, most important first; each may count on those before it not to apply."""
        yield t.flags > 255, "reserved_flag"
        yield t.id == 0, "id_must_not_be_zero"
        yield t.id == GREATEST, "id_must_not_be_int_max"
        yield from self._repeats(t)
        yield t.id in self.burnt, "id_already_failed"
        yield from self._refusals_of_resolution(t, at) if has(t, "post", "void") else self._refusals_of_transfer(t, at)

    def _repeats(self, t: Transfer) -> Iterator[tuple[bool, str]]:
        known = self.transfer(t.id)
        if not known:
            return
        for field in ("flags", "pending_id", "timeout"):
            yield getattr(t, field) != getattr(known, field), f"exists_with_different_{field}"
        meant = self._inherited(t)
        for field in COMPARED:
            if field == "amount" and has(t, "balancing_debit", "balancing_credit"):
                yield meant.amount < known.amount, "exists_with_different_amount"
            else:
                yield getattr(meant, field) != getattr(known, field), f"exists_with_different_{field}"
        yield True, "exists"

    def _inherited(self, t: Transfer) -> Transfer:
        """What a post or void means, once the pending transfer has filled in what it leaves out."""
        if not has(t, "post", "void"):
            return t
        pending = self.transfer(t.pending_id)
        assert pending
        left_out = {field: getattr(pending, field) for field in COMPARED if field != "amount" and not getattr(t, field)}
        if t.amount == (0 if has(t, "void") else GREATEST):
            left_out["amount"] = pending.amount
        return msgspec.structs.replace(t, **left_out)

    def _refusals_of_transfer(self, t: Transfer, at: int) -> Iterator[tuple[bool, str]]:
        for side in ("debit", "credit"):
            yield getattr(t, f"{side}_account_id") == 0, f"{side}_account_id_must_not_be_zero"
            yield getattr(t, f"{side}_account_id") == GREATEST, f"{side}_account_id_must_not_be_int_max"
        yield t.debit_account_id == t.credit_account_id, "accounts_must_be_different"
        yield t.pending_id > 0, "pending_id_must_be_zero"
        yield t.timeout > 0 and not has(t, "pending"), "timeout_reserved_for_pending_transfer"
        yield has(t, "closing_debit", "closing_credit") and not has(t, "pending"), "closing_transfer_must_be_pending"
        yield t.ledger == 0, "ledger_must_not_be_zero"
        yield t.code == 0, "code_must_not_be_zero"
        debit, credit = self.account(t.debit_account_id), self.account(t.credit_account_id)
        if not debit or not credit:
            yield True, "credit_account_not_found" if debit else "debit_account_not_found"
            return
        yield debit.ledger != credit.ledger, "accounts_must_have_the_same_ledger"
        yield t.ledger != credit.ledger, "transfer_must_have_the_same_ledger_as_accounts"
        yield self.closed(debit), "debit_account_already_closed"
        yield self.closed(credit), "credit_account_already_closed"
        amount, of_debit, of_credit = self._amount(t), self.sums(debit.id), self.sums(credit.id)
        if has(t, "pending"):
            yield of_debit.debits_pending + amount > GREATEST, "overflows_debits_pending"
            yield of_credit.credits_pending + amount > GREATEST, "overflows_credits_pending"
        yield of_debit.debits_posted + amount > GREATEST, "overflows_debits_posted"
        yield of_credit.credits_posted + amount > GREATEST, "overflows_credits_posted"
        yield of_debit.debits_pending + of_debit.debits_posted + amount > GREATEST, "overflows_debits"
        yield of_credit.credits_pending + of_credit.credits_posted + amount > GREATEST, "overflows_credits"
        yield at + t.timeout * SECOND >= 2**63, "overflows_timeout"
        after = replace(of_debit, debits_posted=of_debit.debits_posted + amount)
        yield has(debit, "debits_limited") and after.debits_pending + after.debits_posted > after.credits_posted, "exceeds_credits"
        after = replace(of_credit, credits_posted=of_credit.credits_posted + amount)
        yield has(credit, "credits_limited") and after.credits_pending + after.credits_posted > after.debits_posted, "exceeds_debits"

    def _refusals_of_resolution(self, t: Transfer, at: int) -> Iterator[tuple[bool, str]]:
        alone = {"linked", "post"} if has(t, "post") else {"linked", "void"}
        yield has(t, *(set(TRANSFER_FLAGS) - alone)), "flags_are_mutually_exclusive"
        yield t.pending_id == 0, "pending_id_must_not_be_zero"
        yield t.pending_id == GREATEST, "pending_id_must_not_be_int_max"
        yield t.pending_id == t.id, "pending_id_must_be_different"
        yield t.timeout > 0, "timeout_reserved_for_pending_transfer"
        pending = self.transfer(t.pending_id)
        if not pending:
            yield True, "pending_transfer_not_found"
            return
        yield not has(pending, "pending"), "pending_transfer_not_pending"
        meant = self._inherited(t)
        for field in ("debit_account_id", "credit_account_id", "ledger", "code"):
            yield getattr(meant, field) != getattr(pending, field), f"pending_transfer_has_different_{field}"
        yield meant.amount > pending.amount, "exceeds_pending_transfer_amount"
        yield has(t, "void") and meant.amount != pending.amount, "pending_transfer_has_different_amount"
        fate = self.fate(pending)
        yield fate in ("posted", "voided"), f"pending_transfer_already_{fate}"
        late = pending.timeout > 0 and at >= pending.timestamp + pending.timeout * SECOND
        yield fate == "expired" or late, "pending_transfer_expired"
        if not has(t, "void"):
            for side in ("debit", "credit"):
                account = self.account(getattr(pending, f"{side}_account_id"))
                assert account
                yield self.closed(account), f"{side}_account_already_closed"

    def _amount(self, t: Transfer) -> int:
        """A balancing transfer's amount is a ceiling: the least of it and what each balanced side has left."""
        ceilings = [t.amount]
        if has(t, "balancing_debit"):
            of_debit = self.sums(t.debit_account_id)
            ceilings.append(of_debit.credits_posted - of_debit.debits_posted - of_debit.debits_pending)
        if has(t, "balancing_credit"):
            of_credit = self.sums(t.credit_account_id)
            ceilings.append(of_credit.debits_posted - of_credit.credits_posted - of_credit.credits_pending)
        return max(0, min(ceilings))

    def _fact(self, t: Transfer, at: int) -> Fact:
        if has(t, "post", "void"):
            pending = self.transfer(t.pending_id)
            assert pending
            recorded = msgspec.structs.replace(self._inherited(t), timestamp=at)
            kind = "posted" if has(t, "post") else "voided"
            return Fact(at, kind, recorded, -pending.amount, recorded.amount if kind == "posted" else 0)
        recorded = msgspec.structs.replace(t, amount=self._amount(t), timestamp=at)
        if has(t, "pending"):
            return Fact(at, "pending", recorded, recorded.amount, 0)
        return Fact(at, "single_phase", recorded, 0, recorded.amount)

    # What the queries should answer.

    def account_facts(self, filter: AccountFilter) -> list[Fact]:
        sides = filter.flags & 3
        if filter.account_id in (0, GREATEST) or not sides or filter.flags > 7 or not _sound(filter):
            return []
        found = [
            fact
            for fact in self.facts
            if fact.kind != "expired"
            and (
                (sides & 1 and fact.transfer.debit_account_id == filter.account_id)
                or (sides & 2 and fact.transfer.credit_account_id == filter.account_id)
            )
            and _agrees(fact.transfer, filter, ("user_data_128", "user_data_64", "user_data_32", "code"))
        ]
        return (found[::-1] if filter.flags & 4 else found)[: filter.limit]

    def query(self, records: Sequence[Transfer] | Sequence[Account], filter: QueryFilter) -> list[Transfer | Account]:
        if filter.flags > 1 or not _sound(filter):
            return []
        found = [r for r in records if _agrees(r, filter, ("user_data_128", "user_data_64", "user_data_32", "ledger", "code"))]
        return (found[::-1] if filter.flags else found)[: filter.limit]


def _chains(events: Sequence) -> list[list]:
    chains: list[list] = [[]]
    for event in events:
        chains[-1].append(event)
        if not has(event, "linked"):
            chains.append([])
    return [chain for chain in chains if chain]


def _sound(filter: AccountFilter | QueryFilter) -> bool:
    return filter.limit > 0 and (filter.timestamp_max == 0 or filter.timestamp_min <= filter.timestamp_max)


def _agrees(record: Transfer | Account, filter: AccountFilter | QueryFilter, fields: Sequence[str]) -> bool:
    in_time = record.timestamp >= filter.timestamp_min and (filter.timestamp_max == 0 or record.timestamp <= filter.timestamp_max)
    return in_time and all(getattr(filter, field) in (0, getattr(record, field)) for field in fields)


def agree(what: str, got: Any, expected: Any) -> None:
    """Fails with the first difference. Here and not in a test, where pytest would compare long lists at length for every try."""
    place = ""
    if got != expected and isinstance(got, list) and isinstance(expected, list):
        first = next((i for i, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]), min(len(got), len(expected)))
        place = f", entry {first} of {len(expected)}"
        got, expected = got[first : first + 1], expected[first : first + 1]
    assert got == expected, f"{what}{place}: got {got}, expected {expected}"
