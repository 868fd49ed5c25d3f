"""The ledger on a TigerBeetle cluster: the rules run there, replicated, and every batch is one request.

Ids, codes, flags and statuses are TigerBeetle's, so nothing is translated. What the servers have answered is on the disks of
a majority of them. Their clock gives the timestamps: the caller's `now` is not sent.

One process writes, and mirrors all accounts in its memory (`tigerbeetle_mirror`). Between two of its batches only the servers
themselves can have changed anything: they release what has expired. Such times between batches, gaps, are read from the feed
at the next pulse when something was due in them, and the accounts that stand there are read anew. So is what another process
may have written, against the rules, or an earlier request of ours whose answer was lost.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Final

import structlog

from counterfoil import errors
from counterfoil.ledger import rules
from counterfoil.ledger import tigerbeetle_records as records
from counterfoil.ledger.tigerbeetle_client import Reply, Session, connector
from counterfoil.ledger.tigerbeetle_mirror import Ahead, Mirror, Sums
from counterfoil.ledger.tigerbeetle_reads import Reads
from counterfoil.ledger.tigerbeetle_records import CHANGE_EVENTS_MAX, Operation
from counterfoil.ledger.tigerbeetle_repeats import Repeats
from counterfoil.ledger.tigerbeetle_start import Mark, first_answer
from counterfoil.ledger.types import (
    BATCH_SIZE_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    ChangeEvent,
    ChangeEventType,
    CreateAccountResult,
    CreateAccountStatus,
    CreateTransferResult,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
)

log = structlog.get_logger()

DEADLINE_S: Final = 5.0
"""A request's time. More than a cluster needs to go on after it has lost a server: 1.2 s were measured."""
START_DEADLINE_S: Final = 30.0
"""For the first answer: a busy machine's servers took 19 s to start."""
GAPS_READ_MAX: Final = 64
"""Requests for gaps in one pulse."""
GAPS_JOINED_EVENTS_MAX: Final = 64
"""Gaps with at most as many events of ours between two of them are read in one request."""
MARK_INTERVAL_PULSES: Final = 8

_CREATED: Final = int(CreateTransferStatus.CREATED)
_TRANSFER_EXISTS: Final = int(CreateTransferStatus.EXISTS)
_ACCOUNT_EXISTS: Final = int(CreateAccountStatus.EXISTS)
assert int(CreateAccountStatus.CREATED) == _CREATED

_Gap = tuple[int, int]
"""First and last timestamp, both inclusive."""


class _Batch:
    """Transfers on their way."""

    def __init__(self, transfers: Sequence[Transfer]) -> None:
        self.transfers = transfers
        self.ahead: Ahead | None = None


class TigerBeetleEngine:
    """A ledger on a cluster. Implements `engine.Engine`.

    Raises Unavailable when the servers do not answer in time: what was asked may be done or not; ask again with the same ids.
    """

    waits: ClassVar[bool] = True

    def __init__(self, session: Session, mark: Mark | None) -> None:
        self._session = session
        self._mark = mark
        self._reads = Reads(session)
        self._repeats = Repeats(self._reads)
        self._mirror = Mirror()
        self._last_timestamp = 0
        self._recorded = 0  # timestamp of the newest account or transfer that was acknowledged
        self._seen = 0  # up to here the mirror knows everything, but for the gaps
        self._gaps: deque[_Gap] = deque()
        self._due: dict[int, int] = {}  # reservations made here and not known to be resolved: when their time is over
        self._due_order: list[tuple[int, int]] = []  # the same as a heap: (when, id), resolved ones as well
        self._restless = False  # there may be reservations of which we do not know, so every gap is read
        self._stale: tuple[set[int], list[int]] = (set(), [])  # accounts, and resolving transfers, that still have to be read anew
        self._pulses = 0

    @classmethod
    def open(
        cls,
        addresses: str,
        cluster: int,
        *,
        deadline_s: float = DEADLINE_S,
        start_deadline_s: float = START_DEADLINE_S,
        mark: Path | None = None,
        last_known: int = 0,
        raw: bool = True,
    ) -> TigerBeetleEngine:
        """Connects to the cluster of that number at `addresses` ("10.0.0.1:3000,10.0.0.2:3000"), and reads all its accounts.

        `mark`: a file in which the newest acknowledged moment is kept, made when there is none. `last_known`: timestamp of an
        account or transfer (ns) that must be there; both are how books from an old backup are noticed.
        `raw`: without it the stock client is used: for tests, and to measure.

        Raises Unavailable when nobody answers; UnknownFormat when client and servers do not fit each other; Conflict when the
        books are older than what was acknowledged, or those of another cluster than before; Malformed for a cluster out of range.
        """
        if not 0 <= cluster < 2**128:
            raise errors.Malformed("cluster", "must be 0 to 2^128-1")
        kept = None if mark is None else Mark.open(mark, cluster)
        session = first_answer(connector(addresses, cluster, raw=raw), addresses, cluster, start_deadline_s)
        try:
            engine = cls(session, kept)
            with session.alone():
                engine._load(max(last_known, 0 if kept is None else kept.last))
        except BaseException:
            session.close()
            raise
        session.deadline_s = deadline_s
        log.info("tigerbeetle_open", client=session.kind, accounts=len(engine._mirror), last_timestamp=engine._last_timestamp)
        return engine

    def close(self) -> None:
        self._session.close()
        if self._mark is not None:
            self._mark.keep(self._recorded)

    @property
    def client(self) -> str:
        """How the servers are asked: "raw" or "stock"."""
        return self._session.kind

    # Quick

    @property
    def last_timestamp(self) -> int:
        """The last one given out, ns; refused events use one up, too. 0 before the first event."""
        return self._last_timestamp

    def account_now(self, id: int) -> Account | None:
        return self._mirror.account(id)

    def balances_now(self, id: int) -> tuple[int, int, int, int] | None:
        return self._mirror.balances(id)

    def account_code(self, id: int) -> int:
        return self._mirror.code(id)

    # Writes

    def create_transfers(self, transfers: Sequence[Transfer], now: int) -> list[CreateTransferResult]:
        assert len(transfers) <= BATCH_SIZE_MAX, len(transfers)
        if not transfers:
            return []
        encoded = records.encode_transfers(transfers)
        batch = _Batch(transfers)
        with self._session.alone():
            self._read_stale()
            return self._session.ask(
                Operation.CREATE_TRANSFERS, encoded, partial(self._transfers_answered, batch), partial(self._work_ahead, batch)
            )

    def create_accounts(self, accounts: Sequence[Account], now: int) -> list[CreateAccountResult]:
        assert len(accounts) <= BATCH_SIZE_MAX, len(accounts)
        if not accounts:
            return []
        encoded = records.encode_accounts(accounts)
        with self._session.alone():
            self._read_stale()
            return self._session.ask(Operation.CREATE_ACCOUNTS, encoded, partial(self._accounts_answered, accounts))

    def expire_pending_transfers(self, now: int) -> int:
        """Takes in what the servers have released by themselves, and keeps the mark. Returns how many releases it found."""
        with self._session.alone():
            self._read_stale()
            expired = self._learn()
        self._pulses += 1
        if self._mark is not None and self._pulses % MARK_INTERVAL_PULSES == 0:
            self._mark.keep(self._recorded)
        return min(expired, BATCH_SIZE_MAX - 1)

    def _work_ahead(self, batch: _Batch) -> None:
        """While the servers work."""
        batch.ahead = self._mirror.ahead(batch.transfers)

    def _transfers_answered(self, batch: _Batch, reply: Reply) -> list[CreateTransferResult]:
        """Takes a batch in; the mirror stands as the servers do when this returns. Also called for an answer that comes late."""
        transfers, ahead = batch.transfers, batch.ahead
        timestamps, statuses = records.decode_results(reply.data)
        assert len(statuses) == len(transfers), (len(statuses), len(transfers))
        assert ahead is not None
        for index in ahead.timed:
            if statuses[index] == _CREATED:
                when = timestamps[index] + transfers[index].timeout * rules.NANOSECONDS_PER_SECOND
                self._due[transfers[index].id] = when
                heapq.heappush(self._due_order, (when, transfers[index].id))
        self._note_batch(timestamps, statuses, _TRANSFER_EXISTS, reply.timestamp)
        all_created = statuses.count(_CREATED) == len(statuses)
        if not all_created or not self._mirror.take(ahead):
            self._take_created([transfer for transfer, status in zip(transfers, statuses, strict=True) if status == _CREATED])
        self._last_timestamp = max(self._last_timestamp, self._seen)
        results = records.transfer_results(timestamps, statuses)
        return results if all_created else self._repeats.transfers(transfers, results)

    def _take_created(self, created: Sequence[Transfer]) -> None:
        sums, unplain = self._mirror.moved(created)
        if not unplain:
            self._mirror.show(sums)
            return
        for transfer in unplain:
            self._due.pop(transfer.pending_id, None)
        self._note_stale(unplain)
        try:
            self._read_stale(sums)
        except errors.Unavailable:
            self._note_stale(created)  # nothing of the batch is shown until all of it is
            raise

    def _accounts_answered(self, accounts: Sequence[Account], reply: Reply) -> list[CreateAccountResult]:
        timestamps, statuses = records.decode_results(reply.data)
        assert len(statuses) == len(accounts), (len(statuses), len(accounts))
        self._note_batch(timestamps, statuses, _ACCOUNT_EXISTS, reply.timestamp)
        created = [account.id for account, status in zip(accounts, statuses, strict=True) if status in (_CREATED, _ACCOUNT_EXISTS)]
        self._stale[0].update(account_id for account_id in created if account_id not in self._mirror)
        self._read_stale()
        self._last_timestamp = max(self._last_timestamp, self._seen)
        return self._repeats.accounts(accounts, records.account_results(timestamps, statuses))

    def _note_batch(self, timestamps: array[int], statuses: array[int], exists: int, answered: int) -> None:
        """Notes the times that a batch took up, and the gap before it. `answered`: the request's own time, 0 where it is not known."""
        count = len(statuses)
        own = next((index for index, status in enumerate(statuses) if status != exists), None)
        batch = answered if own is None else timestamps[own] + count - 1 - own
        if not batch:
            return  # repeats only, and the stock client does not tell: the gap goes on
        newest = next((index for index in range(count - 1, -1, -1) if statuses[index] == _CREATED), None)
        if newest is not None:
            self._recorded = max(self._recorded, timestamps[newest])
        first, last = self._seen + 1, batch - count
        if first <= last and (self._restless or self._session.lost or self._due_next() <= last):
            self._gaps.append((first, last))
        assert batch >= self._seen, (batch, self._seen)
        self._seen = batch

    def _due_next(self) -> int:
        """When the next reservation made here is due, ns; TIMESTAMP_MAX for never. Stays in the past until its release was seen."""
        order = self._due_order
        while order and order[0][1] not in self._due:
            heapq.heappop(order)
        return order[0][0] if order else TIMESTAMP_MAX

    # What the servers did by themselves

    def _learn(self) -> int:
        """Reads the gaps and whatever came after the last batch; the accounts that stand there are read anew."""
        expired = 0
        for _ in range(GAPS_READ_MAX):
            if not self._gaps:
                break
            parts = self._gaps_joined()
            events = self._reads.get_change_events(timestamp_min=parts[0][0], timestamp_max=parts[-1][1], limit=CHANGE_EVENTS_MAX)
            expired += self._take_in([e for e in events if any(first <= e.timestamp <= last for first, last in parts)])
            for _ in parts:
                self._gaps.popleft()
            if len(events) == CHANGE_EVENTS_MAX and events[-1].timestamp < parts[-1][1]:  # a restart after long: go on from there
                self._gaps.appendleft((events[-1].timestamp + 1, parts[-1][1]))
        seen = self._seen
        while True:
            asked = records.encode_change_events_filter(timestamp_min=seen + 1, timestamp_max=0, limit=CHANGE_EVENTS_MAX)
            reply = self._session.ask(Operation.GET_CHANGE_EVENTS, asked, lambda reply: reply)
            events = records.decode_change_events(reply.data)
            expired += self._take_in(events)
            seen = events[-1].timestamp if events else seen
            if len(events) < CHANGE_EVENTS_MAX:
                break
        self._read_stale()
        self._last_timestamp = max(self._last_timestamp, seen)
        self._seen = max(seen, reply.timestamp)
        return expired

    def _gaps_joined(self) -> list[_Gap]:
        """The first gap, and those after it that are worth no request of their own."""
        parts = [self._gaps[0]]
        for before, after in pairwise(list(self._gaps)[:GAPS_READ_MAX]):
            if after[0] - before[1] - 1 > GAPS_JOINED_EVENTS_MAX:
                break
            parts.append(after)
        return parts

    def _take_in(self, events: Sequence[ChangeEvent]) -> int:
        """Notes which accounts the events touched; returns how many are expiries."""
        expired = 0
        for event in events:
            self._stale[0].update((event.debit_account.id, event.credit_account.id))
            if event.type is ChangeEventType.TWO_PHASE_EXPIRED:
                expired += 1
                self._due.pop(event.transfer.id, None)
        if expired < len(events):
            log.warning("tigerbeetle_events_of_others", events=len(events) - expired, last=events[-1].timestamp)
        return expired

    def _note_stale(self, transfers: Sequence[Transfer]) -> None:
        accounts, resolving = self._stale
        accounts.update(account_id for t in transfers for account_id in (t.debit_account_id, t.credit_account_id))
        resolving += [t.id for t in transfers if t.pending_id]

    def _read_stale(self, sums: Sums | None = None) -> None:
        """Reads anew what has to be, and shows it together with the `sums` of a batch. Nothing is forgotten if that fails."""
        accounts, resolving = self._stale
        if not accounts and not resolving:
            return
        ids = set(accounts)
        for part in _parts(resolving):
            for resolved in self._reads.lookup_transfers(part):
                ids |= {resolved.debit_account_id, resolved.credit_account_id}
        ids.discard(0)
        found = [account for part in _parts(list(ids)) for account in self._reads.lookup_accounts(part)]
        self._mirror.put(found, sums)
        self._stale = (set(), [])

    def _load(self, known: int) -> None:
        """Reads all accounts. Raises Conflict if nothing is recorded at `known` (ns) or later."""
        self._recorded = self._seen = self._last_timestamp = self._reads.newest_recorded()
        if self._recorded < known:
            raise errors.Conflict(
                f"The ledger's servers know nothing after {self._recorded}, but {known} was acknowledged: it seems that they were restored "
                "from an old backup, or that this is another cluster. Restore the newest state."
            )
        after = 0
        while page := self._reads.query_accounts(QueryFilter(limit=BATCH_SIZE_MAX, timestamp_min=after)):
            self._mirror.put(page)
            after = page[-1].timestamp + 1
        self._restless = self._mirror.may_change_by_itself()
        self._learn()
        if self._recorded:
            self._last_timestamp = max(self._last_timestamp, self._seen)  # refused events have used up times of which nothing is recorded

    # Reads

    def balance_at(self, account_id: int, timestamp: int) -> AccountBalance:
        """The balances right after the account's last event (expiries, too) up to `timestamp`, ns, inclusive; zeros before it."""
        return self._reads.balance_at(account_id, timestamp)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        return self._reads.lookup_accounts(ids)

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        assert len(ids) <= BATCH_SIZE_MAX, len(ids)
        return self._reads.lookup_transfers(ids)

    def get_account_transfers(self, filter: AccountFilter) -> list[Transfer]:
        return self._reads.get_account_transfers(filter)

    def get_account_balances(self, filter: AccountFilter) -> list[AccountBalance]:
        return self._reads.get_account_balances(filter)

    def query_accounts(self, filter: QueryFilter) -> list[Account]:
        return self._reads.query_accounts(filter)

    def query_transfers(self, filter: QueryFilter) -> list[Transfer]:
        return self._reads.query_transfers(filter)

    def get_change_events(self, *, timestamp_min: int, timestamp_max: int = 0, limit: int) -> list[ChangeEvent]:
        return self._reads.get_change_events(timestamp_min=timestamp_min, timestamp_max=timestamp_max, limit=limit)


def _parts(ids: Collection[int]) -> list[list[int]]:
    listed = list(ids)
    return [listed[start : start + BATCH_SIZE_MAX] for start in range(0, len(listed), BATCH_SIZE_MAX)]
