"""Reads and plays the conformance table: `conformance.txt`, in a notation that an accountant can read.

A table is a list of scenarios. `== A sentence` begins one, on empty books; `#` begins a comment. One line is one event
or one look at the books:

    account  A1 history                       = created
    transfer T1 A1 > A2 40 pending timeout=5  = created
    post     T2 T1 30                         = created
    void     T3 T1                            = pending_transfer_already_posted
    balances A1  0 30 0 0                     the four: debits pending and posted, credits pending and posted; then `closed`
    recorded T2  A1 > A2 30 pending_id=T1     the fields named, as the ledger keeps them
    missing  T3                               no such transfer
    expired  T1                               released, and no longer to be posted
    clock    +5s | -5s | T1 expires -1ns      moves the machine's clock
    release  1                                the pulse, and how many pending transfers it released

Lines of one kind that follow each other are one batch; an empty line ends it. A1 is account 1, T1 transfer 1. `max` is
2^128-1, `all` the same, `max-3` three less. Fields that are not named have a plain value: ledger=1 code=1, amount 0;
of a post or void everything is inherited. What is right of `=` is the status, in words. `a before b` says that both
refusals apply and `a` comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from counterfoil.ledger.engine import Engine
from counterfoil.ledger.types import (
    U128_MAX,
    Account,
    AccountFlags,
    ChangeEventType,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)

CLOCK_START = 1_000_000_000_000_000_000
UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class Line(msgspec.Struct, frozen=True):
    """One line of a table: a verb, its words, and what is expected of it."""

    number: int
    verb: str
    words: list[str]
    expected: str
    before: str


class Scenario(msgspec.Struct, frozen=True):
    title: str
    lines: list[Line]  # a line with the verb "" ends a batch


def read_scenarios(path: Path) -> list[Scenario]:
    scenarios: list[Scenario] = []
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        text = text.partition("#")[0].strip()
        if text.startswith("== "):
            scenarios.append(Scenario(text[3:], []))
        elif scenarios:
            asked, _, expected = text.partition(" = ")
            verb, *words = asked.split() or [""]
            status, _, before = expected.strip().partition(" before ")
            scenarios[-1].lines.append(Line(number, verb, words, status.strip(), before.strip()))
    return scenarios


def play(scenario: Scenario, engine: Engine) -> None:
    """Plays a scenario on empty books; an assertion names the line that went another way."""
    player = _Player(engine)
    for batch in _batches(scenario.lines):
        player.step(batch)


def _batches(lines: list[Line]) -> Iterator[list[Line]]:
    """Events of one kind that follow each other, together; every other line alone."""
    batch: list[Line] = []
    for line in lines:
        kind = _kind(line.verb)
        if batch and (kind is None or kind != _kind(batch[-1].verb)):
            yield batch
            batch = []
        if kind is not None:
            batch.append(line)
        elif line.verb:
            yield [line]
    if batch:
        yield batch


def _kind(verb: str) -> str | None:
    return {"account": "account", "transfer": "transfer", "post": "transfer", "void": "transfer"}.get(verb)


class _Player:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = CLOCK_START
        self.timestamp_last = 0

    def step(self, batch: list[Line]) -> None:
        kind = _kind(batch[0].verb)
        if kind == "account":
            self.create_accounts(batch)
        elif kind == "transfer":
            self.create_transfers(batch)
        else:
            looks = {
                "balances": self.balances,
                "recorded": self.recorded,
                "missing": self.missing,
                "expired": self.expired,
                "release": self.release,
                "clock": self.move_clock,
            }
            looks[batch[0].verb](batch[0])

    def create_accounts(self, batch: list[Line]) -> None:
        accounts = [read_account(line.words) for line in batch]
        results = self.engine.create_accounts(accounts, self.now)
        assert len(results) == len(batch)
        for line, account, result in zip(batch, accounts, results, strict=True):
            assert result.status is CreateAccountStatus[line.expected.upper()], (line.number, result.status.name)
            if result.status in (CreateAccountStatus.CREATED, CreateAccountStatus.EXISTS):
                found = self.engine.lookup_accounts([account.id])  # none, if it was an earlier event of a broken chain
                assert not found or found[0].timestamp == result.timestamp, line.number
        self.check_timestamps([r.timestamp for r in results if r.status is not CreateAccountStatus.EXISTS])

    def create_transfers(self, batch: list[Line]) -> None:
        transfers = [read_transfer(line) for line in batch]
        results = self.engine.create_transfers(transfers, self.now)
        assert len(results) == len(batch)
        for line, transfer, result in zip(batch, transfers, results, strict=True):
            assert result.status is CreateTransferStatus[line.expected.upper()], (line.number, result.status.name)
            found = self.engine.lookup_transfers([transfer.id])
            if result.status is CreateTransferStatus.CREATED:
                assert [t.timestamp for t in found] == [result.timestamp], line.number
            if result.status is CreateTransferStatus.EXISTS and found:  # it may have been an earlier leg of a broken chain
                assert found[0].timestamp == result.timestamp, line.number
        self.check_timestamps([r.timestamp for r in results if r.status is not CreateTransferStatus.EXISTS])

    def check_timestamps(self, timestamps: list[int]) -> None:
        """Every event uses one up, so they rise, and never start before the ones of earlier batches."""
        assert timestamps == sorted(set(timestamps)), timestamps
        assert not timestamps or timestamps[0] > self.timestamp_last, (timestamps[0], self.timestamp_last)
        if timestamps:
            self.timestamp_last = timestamps[-1]

    def balances(self, line: Line) -> None:
        [account] = self.engine.lookup_accounts([read_number(line.words[0])])
        four = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted]
        assert four == [read_number(word) for word in line.words[1:5]], (line.number, four)
        assert bool(account.flags & AccountFlags.CLOSED) == (line.words[5:] == ["closed"]), (line.number, account.flags)

    def recorded(self, line: Line) -> None:
        id_word, *words = line.words
        [transfer] = self.engine.lookup_transfers([read_number(id_word)])
        for field, value in _fields(words, TransferFlags).items():
            assert getattr(transfer, field) == value, (line.number, field, getattr(transfer, field))

    def missing(self, line: Line) -> None:
        assert self.engine.lookup_transfers([read_number(line.words[0])]) == [], line.number

    def expired(self, line: Line) -> None:
        events = self.engine.get_change_events(timestamp_min=0, limit=1000)
        found = [e for e in events if e.type == ChangeEventType.TWO_PHASE_EXPIRED and e.transfer.id == read_number(line.words[0])]
        assert len(found) == 1, (line.number, len(found))
        assert found[0].timestamp > found[0].transfer.timestamp + found[0].transfer.timeout * UNITS_NS["s"], line.number

    def release(self, line: Line) -> None:
        assert self.engine.expire_pending_transfers(self.now) == int(line.words[0]), line.number

    def move_clock(self, line: Line) -> None:
        if line.words[0].startswith("T"):
            [transfer] = self.engine.lookup_transfers([read_number(line.words[0])])
            assert line.words[1] == "expires", line.number
            self.now = transfer.timestamp + transfer.timeout * UNITS_NS["s"]
        for word in line.words:
            step = re.fullmatch(r"([+-]\d+)(s|ms|us|ns)", word)
            if step:
                self.now += int(step[1]) * UNITS_NS[step[2]]


def read_account(words: list[str]) -> Account:
    return Account(**{"ledger": 1, "code": 1, "id": read_number(words[0]), **_fields(words[1:], AccountFlags)})


def read_transfer(line: Line) -> Transfer:
    fields: dict[str, int] = {"id": read_number(line.words[0])}
    words = line.words[1:]
    if line.verb == "transfer":
        fields |= {"ledger": 1, "code": 1}
    else:
        flag = TransferFlags.POST_PENDING_TRANSFER if line.verb == "post" else TransferFlags.VOID_PENDING_TRANSFER
        fields |= {"pending_id": read_number(words.pop(0)), "flags": flag}
    named = _fields(words, TransferFlags)
    named["flags"] = named.get("flags", 0) | fields.get("flags", 0)
    return Transfer(**(fields | named))


def _fields(words: list[str], flags: type[AccountFlags] | type[TransferFlags]) -> dict[str, int]:
    """`A1 > A2`, a bare amount, `field=value`, and names of flags, in any order."""
    fields: dict[str, int] = {}
    names = {flag.name.lower(): int(flag) for flag in flags if flag.name}
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if word == ">":
            fields |= {"debit_account_id": read_number(words[index - 1]), "credit_account_id": read_number(words[index + 1])}
        elif value:
            fields[name] = read_number(value) | (fields.get("flags", 0) if name == "flags" else 0)
        elif word in names:
            fields["flags"] = fields.get("flags", 0) | names[word]
        elif ">" not in (words[index - 1 : index] + words[index + 1 : index + 2]):
            fields["amount"] = read_number(word)
    return fields


def read_number(word: str) -> int:
    """`A3` and `T3` are 3, `max` and `all` 2^128-1, `max-3` three less."""
    number = re.fullmatch(r"(max|all)(?:-(\d+))?|[AT]?(\d+)", word)
    assert number, word
    return U128_MAX - int(number[2] or 0) if number[1] else int(number[3])
