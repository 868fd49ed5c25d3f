"""Two persons, exactly once, whatever crashes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from counterfoil.errors import Forbidden, IdReused, InsufficientFunds, Malformed, NeedsSecondPerson, NotFound, NotInThisState, Unavailable
from counterfoil.parties.approvals import CIRCULATION, LIFETIME_S, REVERSAL, Approvals, Kind
from counterfoil.parties.types import Party, Proposal, ProposalState, StaffRole
from tests.parties.conftest import Scheme

PAYLOAD = b'{"account":"x","amount":5}'


class Mint:
    """An executor with a memory, as the ledger has: what carries the same id happens once."""

    def __init__(self) -> None:
        self.made: dict[int, bytes] = {}
        self.calls = 0
        self.failure: Exception | None = None
        self.gate: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, proposal: Proposal) -> None:
        self.calls += 1
        if self.gate is not None:
            await self.gate()
        if self.failure is not None:
            raise self.failure
        self.made.setdefault(proposal.id, proposal.payload)


async def refuse_large(kind: str, payload: bytes) -> None:
    if len(payload) > 1_000:
        raise Malformed("payload.amount", f"too much for {kind}")


def approvals_of(scheme: Scheme, mint: Mint) -> Approvals:
    kinds = {
        "issue": Kind(propose=CIRCULATION[0], approve=CIRCULATION[1], execute=mint, check=refuse_large),
        "reversal": Kind(propose=REVERSAL[0], approve=REVERSAL[1], execute=mint),
    }
    return Approvals(scheme.store, scheme.clock, kinds)


async def office(scheme: Scheme) -> tuple[Party, Party, Party, Mint, Approvals]:
    administrator, supervisor = await scheme.team()
    treasurer = await scheme.staff(StaffRole.TREASURER, by=administrator.id)
    mint = Mint()
    return administrator, supervisor, treasurer, mint, approvals_of(scheme, mint)


async def test_a_second_person_approves_and_it_happens_once(scheme: Scheme) -> None:
    _, supervisor, treasurer, mint, approvals = await office(scheme)
    number = scheme.new_id()
    proposal = await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    assert (proposal.state, proposal.decided_by) == (ProposalState.PROPOSED, None)
    assert mint.calls == 0
    for _ in range(3):
        done = await approvals.approve(number, by=supervisor.id)
        assert (done.state, done.decided_by, done.outcome) == (ProposalState.EXECUTED, supervisor.id, "done")
    assert (mint.made, mint.calls) == ({number: PAYLOAD}, 1)
    assert [proposal.id for proposal in await approvals.find_all()] == [number]


async def test_nobody_approves_their_own(scheme: Scheme) -> None:
    _, _, treasurer, mint, approvals = await office(scheme)
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    with pytest.raises(NeedsSecondPerson):
        await approvals.approve(number, by=treasurer.id)
    assert mint.calls == 0
    taken_back = await approvals.reject(number, by=treasurer.id)
    assert taken_back.state is ProposalState.REJECTED
    assert await approvals.reject(number, by=treasurer.id) == taken_back


async def test_only_with_the_permission(scheme: Scheme) -> None:
    administrator, supervisor, treasurer, mint, approvals = await office(scheme)
    customer = await scheme.customer(scheme.phone())
    for by in (administrator.id, supervisor.id, customer.party, 77):
        with pytest.raises(Forbidden):
            await approvals.propose(scheme.new_id(), "issue", PAYLOAD, reason="float of the new agent", by=by)
    number = scheme.new_id()
    await approvals.propose(number, "reversal", PAYLOAD, reason="sent to the wrong one", by=supervisor.id)
    for by in (administrator.id, treasurer.id, customer.party, 77):
        with pytest.raises(Forbidden):
            await approvals.approve(number, by=by)
        with pytest.raises(Forbidden):
            await approvals.reject(number, by=by)
    assert mint.calls == 0


async def test_a_proposal_is_checked_when_it_is_made(scheme: Scheme) -> None:
    _, _, treasurer, _, approvals = await office(scheme)
    bad: list[tuple[str, bytes, str, str]] = [
        ("print", PAYLOAD, "float of the new agent", "kind"),
        ("issue", b"{", "float of the new agent", "payload"),
        ("issue", b"\xff", "float of the new agent", "payload"),
        ("issue", b" " * 20_000, "float of the new agent", "payload"),
        ("issue", b'"' + b"x" * 1_000 + b'"', "float of the new agent", "payload.amount"),
        ("issue", PAYLOAD, " ", "reason"),
    ]
    for kind, payload, reason, field in bad:
        with pytest.raises(Malformed) as caught:
            await approvals.propose(scheme.new_id(), kind, payload, reason=reason, by=treasurer.id)
        assert caught.value.facts["field"] == field
    with pytest.raises(Malformed):
        await approvals.propose(0, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    assert await approvals.find_all() == []


async def test_a_repeat_is_the_same_proposal_and_another_content_is_refused(scheme: Scheme) -> None:
    _, _, treasurer, _, approvals = await office(scheme)
    number = scheme.new_id()
    first = await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    assert await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id) == first
    with pytest.raises(IdReused):
        await approvals.propose(number, "issue", b"{}", reason="float of the new agent", by=treasurer.id)


async def test_what_is_decided_stays_decided(scheme: Scheme) -> None:
    administrator, supervisor, treasurer, mint, approvals = await office(scheme)
    second = await scheme.staff(StaffRole.SUPERVISOR, by=administrator.id)
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    await approvals.reject(number, by=supervisor.id)
    for by in (supervisor.id, second.id):
        with pytest.raises(NotInThisState):
            await approvals.approve(number, by=by)
    assert mint.calls == 0
    with pytest.raises(NotFound):
        await approvals.approve(77, by=supervisor.id)


async def test_a_proposal_expires(scheme: Scheme) -> None:
    _, supervisor, treasurer, mint, approvals = await office(scheme)
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    scheme.clock.pass_seconds(LIFETIME_S + 1)
    with pytest.raises(NotInThisState):
        await approvals.approve(number, by=supervisor.id)
    assert await approvals.resume() == 0
    expired = await approvals.find(number)
    assert expired is not None
    assert expired.state is ProposalState.EXPIRED
    assert mint.calls == 0


async def test_what_the_executor_refuses_has_failed_and_says_why(scheme: Scheme) -> None:
    _, supervisor, treasurer, mint, approvals = await office(scheme)
    mint.failure = InsufficientFunds()
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    for _ in range(2):
        failed = await approvals.approve(number, by=supervisor.id)
        assert failed.state is ProposalState.FAILED
        assert failed.outcome.startswith("insufficient_funds: ")
    assert mint.calls == 1


async def test_an_unknown_outcome_is_taken_up_again_after_a_restart(scheme: Scheme) -> None:
    _, supervisor, treasurer, mint, approvals = await office(scheme)
    mint.failure = Unavailable()
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    with pytest.raises(Unavailable):
        await approvals.approve(number, by=supervisor.id)
    assert await approvals.resume() == 0
    mint.failure = None
    after_restart = approvals_of(scheme, mint)
    assert await after_restart.resume() == 1
    assert await after_restart.resume() == 0
    done = await after_restart.find(number)
    assert done is not None
    assert done.state is ProposalState.EXECUTED
    assert mint.made == {number: PAYLOAD}


async def test_a_caller_who_goes_away_and_a_second_click_change_nothing(scheme: Scheme) -> None:
    _, supervisor, treasurer, mint, approvals = await office(scheme)
    opened = asyncio.Event()
    mint.gate = opened.wait
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    first = asyncio.create_task(approvals.approve(number, by=supervisor.id))
    while not mint.calls:
        await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(approvals.approve(number, by=supervisor.id))
    resumed = asyncio.create_task(approvals.resume())
    await asyncio.sleep(0.02)
    opened.set()
    assert (await second).state is ProposalState.EXECUTED
    await resumed
    assert (mint.calls, list(mint.made)) == (1, [number])


async def test_two_who_approve_at_once_are_one_approval(scheme: Scheme) -> None:
    administrator, supervisor, treasurer, mint, approvals = await office(scheme)
    second = await scheme.staff(StaffRole.SUPERVISOR, by=administrator.id)
    number = scheme.new_id()
    await approvals.propose(number, "issue", PAYLOAD, reason="float of the new agent", by=treasurer.id)
    outcomes = await asyncio.gather(*(approvals.approve(number, by=by) for by in (supervisor.id, second.id)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NotInThisState", "Proposal"]
    assert mint.calls == 1
