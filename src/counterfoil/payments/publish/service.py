"""The publisher: gives everything that ledger and parties have committed its place in the log, once, in an order that stays.

    ledger's feed ── a page up to a committed point ──┐
                                                      ├─ merged ─ built ─ kept on the disk ─ appended to the log ─ signed by it
    parties' journal ── all that came until then ─────┘

The ledger is read first and the parties after it, so whatever a movement depends on (a key, an account) is there when the
movement is. What was given its place is kept before the log hears of it; a log that was signed less far after a crash gets
the same bytes again. One publisher per log, in a process of its own or beside the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from counterfoil.clock import Clock
from counterfoil.ledger.types import Account, ChangeEvent
from counterfoil.parties.changes import KINDS, PartyChange, read_changes
from counterfoil.payments.openings import KeptEntry, Openings, Position
from counterfoil.payments.publish.build import Builder, public_opening
from counterfoil.payments.publish.chains import Chains
from counterfoil.payments.publish.facts import Facts, read_orders
from counterfoil.payments.publish.steps import Group, Rules, Step, grouped, merged
from counterfoil.tlog.entry import encode_entry
from counterfoil.tlog.merkle import leaf_hash

T = TypeVar("T")

PAGE_SIZE_MAX: Final = 2_048
"""Ledger events, and rows of the parties' journal, in one page."""


class LedgerFeed(Protocol):
    """What is read of the ledger: an engine has it, and so has whoever follows its file."""

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]: ...

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]: ...


class StoreReading(Protocol):
    """What is read of the store."""

    def read(self, fn: Callable[[Connection], T]) -> T: ...


class LogHead(Protocol):
    @property
    def size(self) -> int: ...


class LeafReader(Protocol):
    def leaf_hashes(self, begin: int, end: int, size: int) -> Sequence[bytes]: ...


class LogWriter(Protocol):
    """What is asked of the log; `tlog.log.Log` has it."""

    @property
    def appended(self) -> int: ...

    @property
    def head(self) -> LogHead: ...

    @property
    def reader(self) -> LeafReader: ...

    def append(self, entries: Sequence[bytes], public: Mapping[int, bytes] | None = None) -> object: ...

    def publish(self) -> object: ...


class LogMismatch(Exception):
    """The log and its openings do not belong together: nothing more is published until somebody has looked. The message says why."""


def _no_op(step: str) -> None: ...


class Publisher:
    """Follows one scheme. `start` comes first; then `step` and `publish` as often as one likes, by one caller.

    Raises Unavailable when ledger, store or openings do not answer: nothing of the page happened, try again.
    """

    def __init__(
        self,
        *,
        openings: Openings,
        log: LogWriter,
        ledger: LedgerFeed,
        store: StoreReading,
        rules: Callable[[], bytes],
        asset: str,
        clock: Clock,
        page_size: int = PAGE_SIZE_MAX,
        on_step: Callable[[str], None] = _no_op,
    ) -> None:
        """`rules()`: the rules document in force. `asset`: ISO 4217 code. `on_step` hears the name of each step before it is taken."""
        assert page_size > 32, "a page holds more than one chain"
        self._openings = openings
        self._log = log
        self._ledger = ledger
        self._store = store
        self._rules = rules
        self._asset = asset
        self._clock = clock
        self._page_size = page_size
        self._on_step = on_step
        self._day_keys: dict[int, bytes] = {}
        self._new_days: dict[int, bytes] = {}
        self._chains = Chains(openings)
        self._position = Position()
        self._published_rules: bytes | None = None
        self._next_index = 0
        self._current = False
        self.behind = False
        """Whether the last page was full: there is more to publish at once."""

    def start(self) -> None:
        """Gives the log what it had not signed when the last publisher ended. Raises LogMismatch when it is another log."""
        signed, kept = self._log.head.size, self._openings.size
        if signed > kept:
            raise LogMismatch(f"the log has {signed} signed entries, and only {kept} of them can be opened: restore openings.sqlite")
        if signed:
            self._check_last(signed - 1)
        self._go_on()

    def step(self) -> int:
        """Publishes one page into the log's memory, and all that is needed to open it onto the disk; returns how many entries.

        0: there was nothing new.
        """
        if not self._current:
            self._go_on()
        self._current = False  # until the end is reached
        added = self._step()
        self._current = True
        return added

    def publish(self) -> bool:
        """Signs what was appended. True when there is a new head."""
        if self.unsigned == 0:
            return False
        self._on_step("publish")
        self._log.publish()
        return True

    @property
    def unsigned(self) -> int:
        """Entries appended that no head covers yet."""
        return self._log.appended - self._log.head.size

    # Parts

    def _go_on(self) -> None:
        """From what is on the disk, whatever became of the last page: it was kept whole or not at all, and the log may lack it."""
        self._chains = Chains(self._openings)
        self._position = self._openings.position
        self._published_rules = self._openings.rules()
        self._next_index = self._openings.size
        self._day_keys.clear()
        self._new_days.clear()
        while self._log.appended < self._next_index:
            page = self._openings.entries(self._log.appended, self._page_size)
            rebuilt = [self._rebuilt(entry) for entry in page]
            public = {entry.index: opening for entry, (_, opening) in zip(page, rebuilt, strict=True) if opening}
            self._append(page[0].index, [data for data, _ in rebuilt], public)
        self._current = True

    def _step(self) -> int:
        self._on_step("read")
        steps, facts, position = self._read()
        if not steps and position == self._position:
            return 0
        self._chains.load(_accounts(steps))
        builder = Builder(self._chains, self._day_key, asset=self._asset, next_index=self._next_index)
        rows = [row for step in steps for row in builder.build(step, facts)]
        self._on_step("keep")
        self._openings.keep(rows, self._chains.take_changed(), self._chains, self._new_days, position)
        self._position, self._next_index = position, builder.next_index
        self._new_days = {}
        if steps and isinstance(steps[0], Rules):
            self._published_rules = steps[0].document
        if rows:
            self._append(rows[0].index, [row.entry for row in rows], {row.index: row.opening for row in rows if row.opening})
        return len(rows)

    def _append(self, first: int, entries: Sequence[bytes], public: Mapping[int, bytes]) -> None:
        self._on_step("append")
        assert self._log.appended == first, (self._log.appended, first)
        self._log.append(entries, public)

    def _read(self) -> tuple[list[Step], Facts, Position]:
        """What is new, in order, what it refers to, and the position after it."""
        events = self._ledger.get_change_events(timestamp_min=self._position.ledger + 1, limit=self._page_size)
        groups = grouped(events, complete=len(events) < self._page_size)
        after = self._position.parties
        changes = self._store.read(lambda connection: read_changes(connection, after=after, limit=self._page_size))
        if len(changes) == self._page_size:  # there are more: a movement waits for those that may concern it
            groups = [group for group in groups if group.at <= changes[-1].at]
        self.behind = len(events) == self._page_size or len(changes) == self._page_size
        position = Position(groups[-1].at if groups else self._position.ledger, changes[-1].number if changes else self._position.parties)
        known = [change for change in changes if change.kind in KINDS]
        facts = read_facts([*groups, *known], self._store, self._ledger)
        steps = merged(groups, known, facts.orders)
        rules = self._rules()
        if rules != self._published_rules:
            steps.insert(0, Rules(rules, self._clock.now_ns()))
        return steps, facts, position

    def _day_key(self, day: int) -> bytes:
        key = self._day_keys.get(day) or self._openings.day_key(day)
        if key is None:
            key = self._new_days[day] = self._clock.random_bytes(32)
        self._day_keys[day] = key
        return key

    def _check_last(self, index: int) -> None:
        entry = self._openings.entry(index)
        assert entry is not None, index
        if leaf_hash(self._rebuilt(entry)[0]) != self._log.reader.leaf_hashes(index, index + 1, index + 1)[0]:
            raise LogMismatch(f"the log's entry {index} is not the one that was kept: another log, or an older openings.sqlite")

    def _rebuilt(self, entry: KeptEntry) -> tuple[bytes, bytes]:
        """The entry, and the opening of its public part, from what was kept."""
        views = self._openings.views(entry)
        if views is None:
            raise LogMismatch(f"the key that opens entry {entry.index} was erased before the entry was signed")
        return encode_entry(entry.type, views.commitment()), public_opening(entry.type, views)


def read_facts(steps: Sequence[Step], store: StoreReading, ledger: LedgerFeed) -> Facts:
    """What `steps` refer to. Kept before the ledger was asked, so whatever has moved is there."""
    payments = {step.payment for step in steps if isinstance(step, Group)} - {0}
    orders = store.read(lambda connection: read_orders(connection, payments)) if payments else {}
    wanted = {account for step in steps if isinstance(step, PartyChange) for account in step.accounts}
    ids = sorted(wanted)
    found: dict[int, Account] = {}
    for start in range(0, len(ids), PAGE_SIZE_MAX):
        found |= {account.id: account for account in ledger.lookup_accounts(ids[start : start + PAGE_SIZE_MAX])}
    return Facts(orders, found)


def _accounts(steps: Sequence[Step]) -> set[int]:
    """All accounts whose chains the steps may move on."""
    accounts: set[int] = set()
    for step in steps:
        if isinstance(step, Group):
            for event in step.events:
                accounts.add(event.debit_account.id)
                accounts.add(event.credit_account.id)
        elif isinstance(step, PartyChange):
            accounts.update(step.accounts)
    return accounts
