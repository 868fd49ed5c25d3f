"""Carries a ledger's books from one engine to another, and proves that both hold the same.

    compare   reads both from the first record to the last: what the other has must be a true beginning of these books,
              else it is refused. Where it has them all, counts and hashes of both are equal: that is the proof
    copy      appends what is missing: accounts, events, refused ids, the ledger's time

Then it is compared anew. A copy that was interrupted, at whatever point, is a true beginning: it is gone on with. So is an
older state of these books, as an earlier move has left it behind. Nothing is ever deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import closing
from itertools import islice
from typing import Final, TypeVar

import msgspec

from counterfoil.errors import Conflict, Unavailable
from counterfoil.ledger import rules
from counterfoil.ledger.movable import Burnt, Missing, Movable, accounts_of, events_of
from counterfoil.ledger.types import BATCH_SIZE_MAX, Account, ChangeEvent, ChangeEventType, TransferFlags

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many records of it, and of how many (0 where that is not known)."""

ROUNDS_MAX: Final = 4
"""Comparisons in a row: servers may have released reservations by themselves since the last copy was made."""
PROGRESS_INTERVAL: Final = 1_000
"""Records between two words of progress while books are compared."""

_encode: Final = msgspec.json.Encoder().encode  # plain numbers, whatever an engine calls its flags and kinds
_LINKED: Final = int(TransferFlags.LINKED)
_EXPIRED: Final = ChangeEventType.TWO_PHASE_EXPIRED
_ELSEWHERE: Final = "Name an empty place, or bring back what was there."


class Books(msgspec.Struct, frozen=True):
    """What a ledger holds: equal books are equal here.

    Attributes:
        accounts, transfers, expiries, refused: how many. The feed has the transfers and the expiries.
        opened: SHA-256 (hex) of all accounts as they were opened, in order of time.
        balances: of all accounts as they stand.
        feed: of every event of the feed in order, with both accounts as they stood after it.
        refused_ids: of all ids that were refused for good, in order of time.
    """

    accounts: int
    transfers: int
    expiries: int
    refused: int
    opened: str
    balances: str
    feed: str
    refused_ids: str

    @property
    def records(self) -> int:
        return self.accounts + self.transfers + self.expiries + self.refused


class Comparison(msgspec.Struct, frozen=True):
    """A ledger beside the place where its books are to go.

    Attributes:
        here, there: what both hold.
        event_last: timestamp of the last event that is there, ns; 0 for none.
        missing: what is not there.
    """

    here: Books
    there: Books
    event_last: int
    missing: Missing

    @property
    def complete(self) -> bool:
        """Whether both hold the same, to the last record and balance."""
        return self.here == self.there


def carry(source: Movable, open_target: Callable[[], Movable], now: int, progress: Progress) -> tuple[Comparison, int]:
    """Copies until both hold the same. Returns the proof, and how many records were copied. `now`: ns since 1970.

    The target is opened anew for each comparison, and closed: what is proved is what was kept. Raises as `compare` does, and
    Unavailable when a server or a disk fails: run it again.
    """
    copied = 0
    for _ in range(ROUNDS_MAX):
        with closing(open_target()) as target:
            while target.foretold and source.expire_pending_transfers(now):
                pass  # as the source would at its next start: what is still open then may be an obstacle
            found = compare(source, target, progress)
            if found.complete:
                target.append_time(source.last_timestamp)
                return found, copied
            copy(source, target, found, progress)
            copied += found.here.records - found.there.records
    raise Unavailable("The ledger goes on changing while it is copied: something else writes to it. Nothing was switched.")


def compare(source: Movable, target: Movable, progress: Progress) -> Comparison:
    """Reads both whole. Changes nothing.

    Raises Conflict, naming the first difference, if the target has anything that is not the beginning of the source's
    books, or if it could not hold the rest.
    """
    here, there, missing = _Reader(source, progress), _Reader(target, None), Missing()
    _accounts_beside(here, there, missing)
    event_last = _events_beside(here, there, missing)
    _burnt_beside(here, there)
    found = Comparison(here=here.books(), there=there.books(), event_last=event_last, missing=missing)
    if not found.complete:
        if found.here.records == found.there.records:
            raise Conflict(f"The place to move to has all records of these books, and other balances. It is damaged. {_ELSEWHERE}")
        target.refuse(missing)
    return found


def copy(source: Movable, target: Movable, found: Comparison, progress: Progress) -> None:
    """Appends what `found` says is missing. Raises Conflict if the target answers otherwise than it must."""
    total, done = found.here.records - found.there.records, 0

    def note(records: Sized) -> None:
        nonlocal done
        done += len(records)
        progress("copied", done, total)

    target.begin(found.missing)
    for accounts in _batches(islice((opened for opened, _ in accounts_of(source)), found.there.accounts, None)):
        target.append_accounts(accounts)
        note(accounts)
    after = found.event_last + 1
    if target.foretold:
        for page in events_of(source, timestamp_min=after):
            target.foretell(page)
    for events in _whole_chains(events_of(source, timestamp_min=after)):
        target.append_events(events)
        note(events)
    for burnt in _batches(islice(source.burnt(), found.there.refused, None)):
        target.append_burnt(burnt)
        note(burnt)


class _Reader:
    """Counts and hashes a ledger's records as they are read."""

    def __init__(self, ledger: Movable, progress: Progress | None) -> None:
        self._ledger = ledger
        self._progress = progress
        self._counts = dict.fromkeys(("accounts", "transfers", "expiries", "refused"), 0)
        self._hashes = {name: hashlib.sha256() for name in ("opened", "balances", "feed", "refused_ids")}

    def accounts(self) -> Iterator[Account]:
        """As they were opened."""
        for opened, now in accounts_of(self._ledger):
            self._hashes["balances"].update(_encode(now))
            self._note("accounts", "opened", opened)
            yield opened

    def events(self) -> Iterator[ChangeEvent]:
        for page in events_of(self._ledger):
            for event in page:
                self._note("expiries" if event.type is _EXPIRED else "transfers", "feed", event)
                yield event

    def burnt(self) -> Iterator[Burnt]:
        for burnt in self._ledger.burnt():
            self._note("refused", "refused_ids", burnt)
            yield burnt

    def books(self) -> Books:
        return Books(**self._counts, **{name: made.hexdigest() for name, made in self._hashes.items()})  # type: ignore[arg-type]

    def _note(self, count: str, name: str, record: msgspec.Struct) -> None:
        self._counts[count] += 1
        self._hashes[name].update(_encode(record))
        if self._progress is not None and self._counts[count] % PROGRESS_INTERVAL == 0:
            self._progress(f"compared, {count}", self._counts[count], 0)


def _accounts_beside(here: _Reader, there: _Reader, missing: Missing) -> None:
    theirs = there.accounts()
    for account in here.accounts():
        missing.ledgers.add(account.ledger)
        if not _same("account", account, next(theirs, None)):
            missing.account_first = missing.account_first or account.timestamp
    _no_more("account", theirs)


def _events_beside(here: _Reader, there: _Reader, missing: Missing) -> int:
    """Returns the timestamp of the last event that is there."""
    theirs, last = there.events(), 0
    open_timed: dict[int, int] = {}
    for event in here.events():
        timed = event.type is ChangeEventType.TWO_PHASE_PENDING and event.transfer.timeout > 0
        if _same("event", event, next(theirs, None)):
            last = event.timestamp
        else:
            missing.event_first = missing.event_first or event.timestamp
            missing.event_last = event.timestamp
            missing.timed += timed
        if timed:
            open_timed[event.transfer.id] = rules.expires_at(event.transfer)
        elif event.type is _EXPIRED:
            del open_timed[event.transfer.id]
        elif event.transfer.pending_id:
            open_timed.pop(event.transfer.pending_id, None)
    _no_more("event", theirs)
    missing.open_timed, missing.open_until = len(open_timed), max(open_timed.values(), default=0)
    return last


def _burnt_beside(here: _Reader, there: _Reader) -> None:
    theirs = there.burnt()
    for burnt in here.burnt():
        _same("refused id", burnt, next(theirs, None))
    _no_more("refused id", theirs)


def _same(what: str, ours: Account | ChangeEvent | Burnt, theirs: Account | ChangeEvent | Burnt | None) -> bool:
    """Whether the other has this record; False at its end. Raises Conflict if it has another in this place."""
    if theirs is not None and ours != theirs:
        raise Conflict(
            f"The place to move to holds other books: its {what} at {theirs.timestamp} is not the one here at {ours.timestamp}. {_ELSEWHERE}"
        )
    return theirs is not None


def _no_more(what: str, theirs: Iterator[Account] | Iterator[ChangeEvent] | Iterator[Burnt]) -> None:
    further = next(theirs, None)
    if further is not None:
        raise Conflict(
            f"The place to move to holds more than these books: a further {what}, at {further.timestamp}. Something was written there"
            f" besides. {_ELSEWHERE}"
        )


def _batches(records: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(records)
    while batch := list(islice(rest, BATCH_SIZE_MAX)):
        yield batch


def _whole_chains(pages: Iterable[list[ChangeEvent]]) -> Iterator[list[ChangeEvent]]:
    """The events in batches of at most BATCH_SIZE_MAX, none of which ends inside of a chain."""
    held: list[ChangeEvent] = []
    for page in pages:
        held += page
        while size := _chain_end(held, min(len(held), BATCH_SIZE_MAX)):
            yield held[:size]
            held = held[size:]
    assert not held, held[0]  # a chain that was recorded has its end


def _chain_end(events: list[ChangeEvent], size: int) -> int:
    """The greatest number of events, up to `size`, after which no chain is open."""
    while size and events[size - 1].type is not _EXPIRED and events[size - 1].transfer.flags & _LINKED:
        size -= 1
    return size
