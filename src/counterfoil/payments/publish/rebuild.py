"""The operator's proof that log and ledger agree: every entry made anew from ledger and store, and compared byte for byte.

Of what the publisher kept only the order of the entries, the salts' keys and the rules documents are taken as they are; every
payload is recomputed. Pages are read one after another, so memory grows with the accounts, not with the history.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from typing import Final, Protocol

import msgspec

from counterfoil.errors import Malformed
from counterfoil.parties.changes import KINDS, PartyChange, read_changes
from counterfoil.payments import records
from counterfoil.payments.openings import KeptEntry, Openings, Position
from counterfoil.payments.orders import OrderKind, decode
from counterfoil.payments.publish.build import Builder, Row
from counterfoil.payments.publish.chains import Chains, Nothing
from counterfoil.payments.publish.facts import Facts
from counterfoil.payments.publish.service import PAGE_SIZE_MAX, LedgerFeed, StoreReading, read_facts
from counterfoil.payments.publish.steps import Group, Rules, Step, grouped, source_of
from counterfoil.payments.types import Payment
from counterfoil.payments.views import MOVEMENTS, AccountView, AuditView, FreezeView, KeyView
from counterfoil.tlog.entry import EntryType

_DECODERS: Final[dict[int, Callable[[bytes], msgspec.Struct]]] = {EntryType.KEY: KeyView.decode, EntryType.FREEZE: FreezeView.decode}
_ORDERED: Final = ("id", "kind", "payer", "payee", "amount", "reference", "timeout_s", "memo")
"""Columns of a payment that repeat what its order says."""
_STAFF: Final = (OrderKind.REVERSAL, OrderKind.ISSUE, OrderKind.WITHDRAWAL)
_STEPS: Final = 512
"""Steps whose facts are read together."""
_UNREADABLE: Final = (LookupError, ValueError, TypeError, AttributeError, AssertionError, struct.error, msgspec.DecodeError)
"""What becomes of rows that somebody has changed into something that no program of ours writes."""


class EntryReader(Protocol):
    """The log's files; `tlog.tiles.TileReader` has it."""

    def entries(self, begin: int, end: int, size: int) -> Sequence[bytes]: ...


class Rebuilt(msgspec.Struct, frozen=True):
    """What came of it: `entries` were the same, then the first difference, if any, in words."""

    entries: int
    difference: str | None = None


class _Different(Exception):
    """The first difference."""


class Rebuild:
    """One comparison. `log` and `signed`: the log's files and how many entries its newest head covers; None compares with what was kept."""

    def __init__(
        self,
        *,
        openings: Openings,
        ledger: LedgerFeed,
        store: StoreReading,
        asset: str,
        log: EntryReader | None = None,
        signed: int = 0,
        on_page: Callable[[int], None] = lambda entries: None,
    ) -> None:
        """`on_page` hears how many entries were compared so far."""
        self._openings = openings
        self._ledger = ledger
        self._store = store
        self._log = log
        self._signed = signed
        self._on_page = on_page
        self._same = 0
        self._chains = Chains(Nothing(), heads_max=0)
        self._builder = Builder(self._chains, self._day_key, asset=asset, next_index=0)

    def run(self) -> Rebuilt:
        """Compares everything up to what was published when it began."""
        position, size = self._openings.position, self._openings.size
        groups, changes = self._groups(position.ledger), self._changes(position.parties)
        if size < self._signed:
            return Rebuilt(0, f"the log has {self._signed} signed entries, and only {size} can be opened")
        try:
            kept = self._by_step(size)
            while chunk := list(islice(kept, _STEPS)):
                self._compare(chunk, groups, changes)
                self._on_page(self._same)
            self._compare_rest(groups, changes, position)
        except _Different as difference:
            return Rebuilt(self._same, str(difference))
        except _UNREADABLE as error:
            return Rebuilt(self._same, f"entry {self._same}: what it says cannot be read any more: {type(error).__name__}: {error}")
        return Rebuilt(self._same)

    # What there is

    def _groups(self, until: int) -> Iterator[Group]:
        after = 0
        while True:
            events = self._ledger.get_change_events(timestamp_min=after + 1, timestamp_max=until, limit=PAGE_SIZE_MAX) if until else []
            groups = grouped(events, complete=len(events) < PAGE_SIZE_MAX)
            yield from groups
            if len(events) < PAGE_SIZE_MAX:
                return
            after = groups[-1].at

    def _changes(self, until: int) -> Iterator[PartyChange]:
        after = 0
        while True:
            page = self._store.read(partial(read_changes, after=after, limit=PAGE_SIZE_MAX))
            for change in page:
                if change.number > until:
                    return
                if change.kind in KINDS:
                    yield change
            if len(page) < PAGE_SIZE_MAX:
                return
            after = page[-1].number

    def _by_step(self, size: int) -> Iterator[list[KeptEntry]]:
        """What was kept, the entries of one step together."""
        for source, entries in groupby(self._entries(size), key=lambda entry: entry.source):
            if source == source_of(Rules(b"", 0)):
                yield from ([entry] for entry in entries)
            else:
                yield list(entries)

    def _entries(self, size: int) -> Iterator[KeptEntry]:
        index = 0
        while index < size:
            page = self._openings.entries(index, min(PAGE_SIZE_MAX, size - index))
            for entry in page:
                if entry.index != index:
                    raise _Different(f"entry {index}: was not kept")
                yield entry
                index += 1

    def _day_key(self, day: int) -> bytes:
        key = self._openings.day_key(day)
        if key is None:
            raise _Different(f"entry {self._builder.next_index}: the key of its day was erased")
        return key

    # Comparing

    def _compare(self, chunk: list[list[KeptEntry]], groups: Iterator[Group], changes: Iterator[PartyChange]) -> None:
        expected: list[tuple[Step, list[KeptEntry]]] = []
        for entries in chunk:
            expected += self._steps_of(entries, groups, changes)
        steps = [step for step, _ in expected]
        facts, kept = read_facts(steps, self._store, self._ledger), self._records(steps)
        for step, entries in expected:
            self._compare_step(step, facts, entries)
            if isinstance(step, Group) and step.payment in kept:
                self._check_record(step, kept[step.payment])

    def _records(self, steps: Sequence[Step]) -> dict[int, Payment]:
        ids = [step.payment for step in steps if isinstance(step, Group)]
        return self._store.read(partial(records.find_many, ids=ids)) if ids else {}

    def _check_record(self, group: Group, kept: Payment) -> None:
        """What people are shown of a payment stands in columns of its own: they must say what the order says."""
        wrong: list[str] = []
        if kept.order:
            wrong = [name for name in _ORDERED if getattr(kept, name) != getattr(decode(kept.order), name)]
        elif kept.kind in _STAFF and kept.amount not in {event.transfer.amount for event in group.events}:
            wrong = ["amount"]  # staff's decision: the ledger alone says how much
        if wrong:
            told = ", ".join(f"{name} {getattr(kept, name)}" for name in wrong)
            raise _Different(f"payment {kept.id:032x}: the store says {told}, and its order or the ledger something else")

    def _steps_of(
        self, entries: list[KeptEntry], groups: Iterator[Group], changes: Iterator[PartyChange]
    ) -> Iterator[tuple[Step, list[KeptEntry]]]:
        first = entries[0]
        if first.source == b"R":
            yield Rules(first.public, first.time), entries
        elif first.source[:1] == b"L":
            group = next(groups, None)
            if group is None or source_of(group) != first.source:
                at = int.from_bytes(first.source[1:])
                found = "nothing more" if group is None else f"an event at {group.events[0].timestamp}"
                raise _Different(f"entry {first.index}: is of the ledger's event at {at}, where the ledger has {found}")
            yield group, entries
        else:
            for change in changes:
                if source_of(change) == first.source:
                    yield change, entries
                    return
                yield change, []  # what concerns no account has no entry
            raise _Different(f"entry {first.index}: is of a change of a party that the store does not have at this place")

    def _compare_step(self, step: Step, facts: Facts, kept: list[KeptEntry]) -> None:
        index = self._builder.next_index
        rows = self._builder.build(step, facts)
        in_log: Sequence[bytes] = ()
        if self._log is not None and index < self._signed:
            in_log = self._log.entries(index, min(index + len(rows), self._signed), self._signed)
        for place, (row, entry) in enumerate(zip(rows, kept, strict=False)):
            self._compare_entry(row, entry, in_log[place] if place < len(in_log) else row.entry)
            self._same += 1
        if len(rows) > len(kept):
            raise _Different(f"entry {rows[len(kept)].index}: is missing: {_named(step)}")
        if len(kept) > len(rows):
            raise _Different(f"entry {kept[len(rows)].index}: follows from nothing: {_named(step)}")

    def _compare_entry(self, row: Row, kept: KeptEntry, in_log: bytes) -> None:
        for name in ("type", "time", "payment", "accounts"):
            if (ours := getattr(row, name)) != (theirs := getattr(kept, name)):
                raise _Different(f"entry {row.index}: {name} is {theirs}, and by ledger and store {ours}")
        if row.audit != kept.audit:
            raise _Different(f"entry {row.index}: {_fields(row.type, kept.audit, row.audit)}")
        if row.public != kept.public:
            raise _Different(f"entry {row.index}: public part is {kept.public!r}, and by ledger and store {row.public!r}")
        if row.entry != in_log:
            raise _Different(f"entry {row.index}: the log has other bytes than follow from ledger, store and salts")

    def _compare_rest(self, groups: Iterator[Group], changes: Iterator[PartyChange], position: Position) -> None:
        """Nothing is left, and the chains stand where the publisher goes on from."""
        for group in groups:
            raise _Different(f"entry {self._builder.next_index}: is missing: {_named(group)}")
        rest = list(changes)
        facts = read_facts(rest, self._store, self._ledger)
        for change in rest:
            self._compare_step(change, facts, [])
        for account, ours in self._chains.all_heads().items():
            if self._openings.heads([account]).get(account) != ours:
                raise _Different(f"account {account:032x}: its newest entry is not the one that follows from the entries")


def _named(step: Step) -> str:
    if isinstance(step, Group):
        return f"payment {step.payment:032x}, ledger's event at {step.events[0].timestamp}"
    if isinstance(step, PartyChange):
        return f"a party was {step.kind.replace('_', ' ')}, event {step.id:032x}"
    return "a rules document"


def _fields(type: EntryType, theirs: bytes, ours: bytes) -> str:
    """Which fields of two payloads differ."""
    decode = AuditView.decode if type in MOVEMENTS else _DECODERS.get(type, AccountView.decode)
    try:
        before, after = decode(theirs), decode(ours)
    except Malformed:
        return "its payload is not in the form of its type"
    names = [name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    return "; ".join(f"{name} is {getattr(before, name)}, and by ledger and store {getattr(after, name)}" for name in names)
