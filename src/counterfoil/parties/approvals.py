"""What two members of staff must want: one proposes with a reason, another approves, and it happens exactly once.

    proposed -> approved -> executed | failed
             -> rejected | expired

Approval is durable before anything is done, and what is done carries the proposal's own id, so that after a crash in
between it is simply done again: the executor answers a repeat as it answered the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog
from sqlalchemy import Connection, Row, insert, select, update

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import IdReused, Malformed, NeedsSecondPerson, NotFound, NotInThisState, Refused, Unavailable
from counterfoil.ids import ID_MAX, id_text
from counterfoil.parties.context import check_reason
from counterfoil.parties.journal import record
from counterfoil.parties.staff import require
from counterfoil.parties.tables import proposals
from counterfoil.parties.types import Permission, Proposal, ProposalState
from counterfoil.store.database import Store

log = structlog.get_logger(__name__)

LIFETIME_S = 7 * 24 * 3600
"""Seconds that a proposal waits for a second person."""
PAYLOAD_SIZE_MAX = 16_384
"""Bytes of a payload."""
RESUMED_MAX = 1_000

Executor = Callable[[Proposal], Awaitable[object]]
"""Does what was approved, once for each `proposal.id` however often it is called; raises Refused when it cannot be done."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of proposal: who may propose, who may approve, how it is checked when proposed and how it is done."""

    propose: Permission
    approve: Permission
    execute: Executor
    check: Callable[[str, bytes], Awaitable[object]] | None = None


REVERSAL = (Permission.PROPOSE_REVERSAL, Permission.APPROVE_REVERSAL)
CIRCULATION = (Permission.PROPOSE_CIRCULATION, Permission.APPROVE_CIRCULATION)
ANNOUNCEMENT = (Permission.PROPOSE_ANNOUNCEMENT, Permission.APPROVE_ANNOUNCEMENT)


class Approvals:
    """Proposals and what becomes of them. `kinds`: what can be proposed; whoever knows how to do it hands it in."""

    def __init__(self, store: Store, clock: Clock, kinds: Mapping[str, Kind]) -> None:
        self.store = store
        self.clock = clock
        self.kinds = kinds
        self._executing: dict[int, asyncio.Task[Proposal]] = {}

    async def propose(self, proposal_id: int, kind: str, payload: bytes, *, reason: str, by: int) -> Proposal:
        """Proposes; `proposal_id` is made by the caller, and a repeat answers the same proposal.

        Refusals in this order: Malformed, Forbidden, what the kind's own check refuses, IdReused.
        """
        reason, rule = check_reason(reason), self._kind(kind)
        if not 0 < proposal_id <= ID_MAX:
            raise Malformed("id", "must be an id")
        if len(payload) > PAYLOAD_SIZE_MAX:
            raise Malformed("payload", f"must be at most {PAYLOAD_SIZE_MAX} bytes")
        try:
            msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed("payload", f"must be JSON: {error}") from error
        await self.store.read(lambda connection: require(connection, by, rule.propose))
        known = await self.find(proposal_id)
        if known is None and rule.check is not None:
            await rule.check(kind, payload)
        now = self.clock.now_ns()

        def write(connection: Connection) -> Proposal:
            known = _find(connection, proposal_id)
            if known is not None:
                if (known.kind, known.payload, known.reason, known.proposer) != (kind, payload, reason, by):
                    raise IdReused
                return known
            proposal = Proposal(
                id=proposal_id, kind=kind, payload=payload, reason=reason, proposer=by, state=ProposalState.PROPOSED,
                created_at=now, expires_at=now + LIFETIME_S * NANOSECONDS,
            )  # fmt: skip
            connection.execute(insert(proposals), msgspec.structs.asdict(proposal))
            record(connection, self.clock, by, "proposed", by=by, proposal=id_text(proposal_id), proposed=kind, reason=reason)
            return proposal

        return await self.store.write(write)

    async def approve(self, proposal_id: int, *, by: int) -> Proposal:
        """Approves and does it. Returns the proposal executed, or failed with what refused it; a repeat answers the same.

        Refusals in this order: NotFound, NeedsSecondPerson (one's own), Forbidden, NotInThisState (rejected, expired, or
        approved by somebody else). Unavailable: approved, the outcome is not known; it is taken up again.
        """
        proposal = await self._decide(proposal_id, ProposalState.APPROVED, by=by)
        return proposal if proposal.state is not ProposalState.APPROVED else await self._execute(proposal)

    async def reject(self, proposal_id: int, *, by: int) -> Proposal:
        """Rejects. The proposer may take back their own. A repeat answers the same. Refusals as for `approve`."""
        return await self._decide(proposal_id, ProposalState.REJECTED, by=by)

    async def resume(self) -> int:
        """Does what was approved and not done when the last process ended; expires what is too old. Returns how many were done."""
        now = self.clock.now_ns()
        expired = update(proposals).where(proposals.c.state == ProposalState.PROPOSED, proposals.c.expires_at <= now)
        await self.store.write(lambda connection: connection.execute(expired.values(state=ProposalState.EXPIRED)).rowcount)
        done = 0
        for proposal in await self.find_all(ProposalState.APPROVED, limit=RESUMED_MAX):
            try:
                await self._execute(proposal)
                done += 1
            except Unavailable as error:
                log.warning("proposal_waits", proposal=id_text(proposal.id), error=error.detail)
        return done

    async def find(self, proposal_id: int) -> Proposal | None:
        """The proposal, or None."""
        return await self.store.read(lambda connection: _find(connection, proposal_id))

    async def find_all(self, state: ProposalState | None = None, *, limit: int = 100) -> list[Proposal]:
        """Proposals in one state, or all; newest first, but those to be done oldest first."""
        query = select(proposals).limit(limit)
        if state is not None:
            query = query.where(proposals.c.state == state)
        query = query.order_by(proposals.c.created_at if state is ProposalState.APPROVED else proposals.c.created_at.desc())
        return await self.store.read(lambda connection: [_proposal_of(row) for row in connection.execute(query)])

    def _kind(self, kind: str) -> Kind:
        rule = self.kinds.get(kind)
        if rule is None:
            raise Malformed("kind", f"must be one of {', '.join(sorted(self.kinds))}")
        return rule

    async def _decide(self, proposal_id: int, state: ProposalState, *, by: int) -> Proposal:
        now = self.clock.now_ns()

        def write(connection: Connection) -> Proposal:
            proposal = _find(connection, proposal_id)
            if proposal is None:
                raise NotFound("there is no such proposal")
            approving = state is ProposalState.APPROVED
            if proposal.proposer == by and approving:
                raise NeedsSecondPerson
            rule = self._kind(proposal.kind)
            require(connection, by, rule.propose if proposal.proposer == by else rule.approve)
            same = (ProposalState.APPROVED, ProposalState.EXECUTED, ProposalState.FAILED) if approving else (ProposalState.REJECTED,)
            if proposal.state in same and proposal.decided_by == (None if proposal.proposer == by else by):
                return proposal
            if proposal.state is not ProposalState.PROPOSED or proposal.expires_at <= now:
                raise NotInThisState(state=proposal.state)
            decided = {"state": state, "decided_by": None if proposal.proposer == by else by, "decided_at": now}
            connection.execute(update(proposals).where(proposals.c.id == proposal_id).values(decided))
            record(connection, self.clock, by, state, by=by, proposal=id_text(proposal_id), proposed=proposal.kind)
            found = _find(connection, proposal_id)
            assert found is not None
            return found

        return await self.store.write(write)

    async def _execute(self, proposal: Proposal) -> Proposal:
        """One execution at a time for each proposal, carried through even if the caller goes away."""
        task = self._executing.get(proposal.id)
        if task is None:
            task = self._executing[proposal.id] = asyncio.create_task(self._execute_once(proposal))
            task.add_done_callback(lambda _: self._executing.pop(proposal.id))
        return await asyncio.shield(task)

    async def _execute_once(self, proposal: Proposal) -> Proposal:
        assert proposal.state is ProposalState.APPROVED, proposal.state
        assert proposal.decided_by not in (None, proposal.proposer), proposal.decided_by
        try:
            await self._kind(proposal.kind).execute(proposal)
            state, outcome = ProposalState.EXECUTED, "done"
        except Refused as refusal:
            state, outcome = ProposalState.FAILED, f"{refusal.code}: {refusal.detail}"

        def write(connection: Connection) -> Proposal:
            approved = update(proposals).where(proposals.c.id == proposal.id, proposals.c.state == ProposalState.APPROVED)
            connection.execute(approved.values(state=state, outcome=outcome))
            found = _find(connection, proposal.id)
            assert found is not None
            return found

        return await self.store.write(write)


def _find(connection: Connection, proposal_id: int) -> Proposal | None:
    row = connection.execute(select(proposals).where(proposals.c.id == proposal_id)).one_or_none()
    return None if row is None else _proposal_of(row)


def _proposal_of(row: Row[tuple[object, ...]]) -> Proposal:
    return Proposal(
        id=row.id,
        kind=row.kind,
        payload=bytes(row.payload),
        reason=row.reason,
        proposer=row.proposer,
        state=ProposalState(row.state),
        created_at=row.created_at,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        outcome=row.outcome,
    )
