"""A TigerBeetle cluster as the place to which a ledger's books are moved, or from which.

Records are imported with the timestamps that they have had; see `tigerbeetle_imports` for what is added to them. An
imported record must be later than all of its kind that are there, and earlier than the servers' own time. So the order is:
the accounts of what is added, all accounts, all time-outs, all transfers. Whatever was sent before is sent again without harm.

The servers go on releasing reservations by themselves: books on a cluster may grow by expiries while they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import msgspec

from counterfoil import errors
from counterfoil.ledger import tigerbeetle_imports as imports
from counterfoil.ledger import tigerbeetle_records as records
from counterfoil.ledger.movable import Burnt, Missing
from counterfoil.ledger.tigerbeetle_client import Session, connector
from counterfoil.ledger.tigerbeetle_reads import Reads
from counterfoil.ledger.tigerbeetle_records import Operation
from counterfoil.ledger.tigerbeetle_start import Mark, first_answer
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    ChangeEvent,
    ChangeEventType,
    CreateAccountStatus,
    CreateTransferStatus,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
)
from counterfoil.moments import moment_text

T = TypeVar("T")

DEADLINE_S: Final = 60.0
"""Of a request: nobody else waits for it."""
START_DEADLINE_S: Final = 30.0

_ACCOUNT_DONE: Final = frozenset({int(CreateAccountStatus.CREATED), int(CreateAccountStatus.EXISTS)})
_DONE: Final = frozenset({int(CreateTransferStatus.CREATED), int(CreateTransferStatus.EXISTS)})
_REFUSED_FOR_GOOD: Final = frozenset({int(CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND), int(CreateTransferStatus.ID_ALREADY_FAILED)})


class TigerBeetlePlace:
    """Implements `movable.Movable`."""

    foretold: ClassVar[bool] = True

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reads = Reads(session)
        self._event_first = 0
        self._note_next = 0

    @classmethod
    def open(cls, addresses: str, cluster: int, *, mark: Path | None = None) -> TigerBeetlePlace:
        """Connects as `TigerBeetleEngine.open` does, and raises what it raises. `mark`: of books that are there."""
        kept = None if mark is None else Mark.open(mark, cluster)
        session = first_answer(connector(addresses, cluster, raw=True), addresses, cluster, START_DEADLINE_S)
        session.deadline_s = DEADLINE_S
        place = cls(session)
        if kept is not None and place._reads.newest_recorded() < kept.last:
            session.close()
            raise errors.Conflict(
                "The ledger's servers know less than was acknowledged: it seems that they were restored from an old backup, or that this is "
                "another cluster. Restore the newest state."
            )
        return place

    def close(self) -> None:
        self._session.close()

    # What is there

    @property
    def last_timestamp(self) -> int:
        """Of the newest record, ns: what else the servers may have given out, nobody has seen."""
        newest = self._reads.newest_recorded()
        while page := self.get_change_events(timestamp_min=newest + 1, limit=BATCH_SIZE_MAX):  # expiries
            newest = page[-1].timestamp
        return newest

    def expire_pending_transfers(self, now: int) -> int:
        """0: the servers do it by themselves."""
        return 0

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        return self._reads.query_accounts(filter)

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        return self._reads.balance_at(account_id, timestamp)

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        return self._reads.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)

    def burnt(self) -> Iterator[Burnt]:
        """Those that were moved here: the servers do not tell which others they have refused."""
        after = 0
        while True:
            asked = AccountFilter(account_id=imports.NOTES[1].id, limit=BATCH_SIZE_MAX, timestamp_min=after)
            page = self._ask(Operation.GET_ACCOUNT_TRANSFERS, records.encode_account_filter(asked, asked.limit), records.decode_transfers)
            yield from (Burnt(note.user_data_64, note.user_data_128) for note in page)
            if len(page) < BATCH_SIZE_MAX:
                return
            after = page[-1].timestamp + 1

    # What it cannot hold

    def refuse(self, missing: Missing) -> None:
        if missing.open_timed:
            raise errors.Conflict(
                f"TigerBeetle takes no reservation that has a time-out, and {missing.open_timed:,} are open: the last is over at "
                f"{moment_text(missing.open_until)[:19]}Z. Have them captured or released, or wait until then; then run this again.",
                open_reservations=missing.open_timed,
                until=moment_text(missing.open_until),
            )
        if imports.NOTES_LEDGER in missing.ledgers:
            raise errors.Conflict(f"TigerBeetle cannot take ledger {imports.NOTES_LEDGER}: its number is needed for what is added there.")
        reply = self._session.ask(Operation.LOOKUP_ACCOUNTS, records.encode_ids([imports.NOBODY]), lambda reply: reply)
        newest = max(missing.event_last, missing.account_first)
        if 0 < reply.timestamp <= newest:
            raise errors.Conflict(
                f"The clock of the ledger's servers is behind: it says {moment_text(reply.timestamp)[:19]}Z, and the newest event to be moved "
                f"happened at {moment_text(newest)[:19]}Z. Set it, or wait."
            )

    # What it takes

    def begin(self, missing: Missing) -> None:
        self._event_first = missing.event_first
        there = self._ask(
            Operation.LOOKUP_ACCOUNTS, records.encode_ids([note.id for note in imports.NOTES]), records.decode_accounts
        )  # all three or none
        if not there:
            first = self._newest_account() + 1
            accounts = [_at(note, first + index) for index, note in enumerate(imports.NOTES)]
            last = first + len(accounts) - 1
            if (missing.account_first and last >= missing.account_first) or self._moved_between(first, last):
                raise _crowded()
            self.append_accounts(accounts)

    def append_accounts(self, accounts: Sequence[Account]) -> None:
        statuses = self._create(Operation.CREATE_ACCOUNTS, records.encode_imported_accounts(accounts))
        for account, status in zip(accounts, statuses, strict=True):
            if status not in _ACCOUNT_DONE:
                raise _not_taken(f"account {account.id}, opened at {account.timestamp}", records.ACCOUNT_STATUS[status].name)

    def foretell(self, events: Sequence[ChangeEvent]) -> None:
        """Notes the time-outs, which are read with the reservations."""
        timed = [event.transfer for event in events if event.type is ChangeEventType.TWO_PHASE_PENDING and event.transfer.timeout]
        if not timed:
            return
        known = {note.id for note in self._reads.lookup_raw([imports.timeout_id(t.id) for t in timed])}
        timed = [t for t in timed if imports.timeout_id(t.id) not in known]
        first = self._note_next or max(self._newest_transfer(), self._newest_note_account()) + 1
        last = first + len(timed) - 1
        # Where accounts were opened in that time, and no transfer can have it, there are few of them: the notes come after.
        while timed and (taken := self._opened_between(first, last)):
            first = taken + 1
            last = first + len(timed) - 1
        if last >= self._event_first:
            raise _crowded()
        self._note_next = last + 1
        self._import([imports.timeout_note(t, first + index) for index, t in enumerate(timed)])

    def append_events(self, events: Sequence[ChangeEvent]) -> None:
        self._import([imports.as_imported(event) for event in events])

    def append_burnt(self, burnt: Sequence[Burnt]) -> None:
        """Lets the ids fail here, too, and then notes them."""
        probes = [
            Transfer(id=each.id, debit_account_id=imports.NOBODY, credit_account_id=imports.NOTES[2].id, ledger=1, code=1) for each in burnt
        ]
        for each, status in zip(burnt, self._create(Operation.CREATE_TRANSFERS, records.encode_transfers(probes)), strict=True):
            if status not in _REFUSED_FOR_GOOD:
                raise _not_taken(f"id {each.id}, refused at {each.timestamp}", records.TRANSFER_STATUS[status].name)
        notes = [imports.refused_note(each.id, each.timestamp) for each in burnt]
        for each, status in zip(burnt, self._create(Operation.CREATE_TRANSFERS, records.encode_transfers(notes)), strict=True):
            if status not in _DONE:
                raise _not_taken(f"note of id {each.id}", records.TRANSFER_STATUS[status].name)

    def append_time(self, timestamp: int) -> None:
        """Nothing: the servers' time is later than all that was imported."""

    def _import(self, transfers: Sequence[Transfer]) -> None:
        if not transfers:
            return
        statuses = self._create(Operation.CREATE_TRANSFERS, records.encode_imported_transfers(transfers))
        for transfer, status in zip(transfers, statuses, strict=True):
            if status not in _DONE:
                raise _not_taken(f"transfer {transfer.id}, of {transfer.timestamp}", records.TRANSFER_STATUS[status].name)

    def _create(self, operation: Operation, data: bytes) -> Sequence[int]:
        return self._session.ask(operation, data, lambda reply: records.decode_results(reply.data)[1])

    def _ask(self, operation: Operation, data: bytes, decode: Callable[[bytes], T]) -> T:
        return self._reads.ask(operation, data, decode)

    def _newest_account(self) -> int:
        return max((a.timestamp for a in self._accounts(QueryFilter(limit=1, flags=QueryFilterFlags.REVERSED))), default=0)

    def _newest_transfer(self) -> int:
        asked = records.encode_query_filter(QueryFilter(limit=1, flags=QueryFilterFlags.REVERSED), 1)
        return max((t.timestamp for t in self._ask(Operation.QUERY_TRANSFERS, asked, records.decode_transfers)), default=0)

    def _newest_note_account(self) -> int:
        asked = records.encode_ids([note.id for note in imports.NOTES])
        return max(account.timestamp for account in self._ask(Operation.LOOKUP_ACCOUNTS, asked, records.decode_accounts))

    def _opened_between(self, first: int, last: int) -> int:
        """When the last account was opened from `first` to `last`; 0 for none."""
        asked = QueryFilter(limit=1, flags=QueryFilterFlags.REVERSED, timestamp_min=first, timestamp_max=last)
        return max((a.timestamp for a in self._accounts(asked)), default=0)

    def _accounts(self, filter: QueryFilter) -> list[Account]:
        return self._ask(Operation.QUERY_ACCOUNTS, records.encode_query_filter(filter, filter.limit), records.decode_accounts)

    def _moved_between(self, first: int, last: int) -> bool:
        """Whether a transfer happened from `first` to `last`."""
        asked = records.encode_query_filter(QueryFilter(limit=1, timestamp_min=first, timestamp_max=last), 1)
        return bool(self._ask(Operation.QUERY_TRANSFERS, asked, records.decode_transfers))


def _at(account: Account, timestamp: int) -> Account:
    return msgspec.structs.replace(account, timestamp=timestamp)


def _crowded() -> errors.Conflict:
    return errors.Conflict("There is no time left between the books that this cluster has and what happened since. Name a new cluster.")


def _not_taken(what: str, status: str) -> errors.Conflict:
    return errors.Conflict(f"The ledger's servers do not take {what}: {status.lower()}. Nothing was switched. Name a new cluster.")
