"""The back office: who takes part, what two persons decide, freezes and tiers, the books."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.clock import Clock
from counterfoil.errors import (
    AboveOriginal,
    AlreadyTaken,
    IdReused,
    Malformed,
    NeedsSecondPerson,
    NotFound,
    NotInThisState,
    PartyNotFound,
    PaymentNotFound,
    PaymentRefused,
    WrongSignature,
)
from counterfoil.ledger.chart import AccountCode, TransferCode
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import Account, QueryFilter, QueryFilterFlags, Transfer, TransferFlags
from counterfoil.moments import moment_text
from counterfoil.money import AMOUNT_MAX
from counterfoil.parties.approvals import Approvals
from counterfoil.parties.enrolment import NewParty
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Freeze, Party, PartyKind, PartyState, Permission, Proposal, ProposalState, StaffRole
from counterfoil.web.access import Principal, staff
from counterfoil.web.api.account import FreezeView, LimitsView, freeze_view, limits_view
from counterfoil.web.api.people import DeviceView, KeyBody, device_view
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import (
    Amount,
    AmountOrZero,
    Cursor,
    Moment,
    PinText,
    Text,
    UuidText,
    cursor_text,
    parse_cursor,
    parse_uuid,
    uuid_text,
)

PAGE_SIZE_MAX = 200
Reason = Annotated[str, msgspec.Meta(max_length=500, description="3 to 500 characters; kept for good")]


class OpenPartyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is to take part. `id` is made by the caller; the key signs `counterfoil/enrol/v1`."""

    id: UuidText
    kind: PartyKind
    name: Text
    language: Text
    number: Text | None = None
    handle: Text | None = None
    tier: Text | None = None
    pin: PinText | None = None
    key: KeyBody | None = None
    roles: Annotated[list[StaffRole], msgspec.Meta(max_length=8)] = []


class PartyView(msgspec.Struct, frozen=True):
    """A party as staff see it."""

    id: UuidText
    kind: PartyKind
    name: str
    number: str | None
    handle: str | None
    merchant_code: str | None
    tier: str
    language: str
    state: PartyState
    created_at: Moment
    account: UuidText | None
    balance: AmountOrZero | None
    limits: LimitsView | None
    freezes: list[FreezeView]
    devices: list[DeviceView]
    roles: list[StaffRole]


class PartyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A phone number, @handle or merchant code."""

    address: Text


class CirculationPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For `issue` and `withdrawal`: an institution's or agent's account."""

    account: UuidText
    amount: Amount


class ReversalPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For `reversal`: the payment or capture to take back."""

    payment: UuidText


class ProposalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that two persons must want. `id` is made by the caller. One of the two particulars, as `kind` needs it."""

    id: UuidText
    kind: Annotated[str, msgspec.Meta(pattern="^(issue|withdrawal|reversal)$")]
    reason: Reason
    circulation: CirculationPayload | None = None
    reversal: ReversalPayload | None = None


class ProposalView(msgspec.Struct, frozen=True):
    """A proposal. `outcome`: what came of it."""

    id: UuidText
    kind: str
    payload: str
    reason: str
    proposer: UuidText
    state: ProposalState
    created_at: Moment
    expires_at: Moment
    decided_by: UuidText | None
    decided_at: Moment | None
    outcome: str


class ProposalsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only those in one state, or all."""

    state: ProposalState | None = None


class ProposalsView(msgspec.Struct, frozen=True):
    """The newest 100."""

    proposals: list[ProposalView]


class FreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop a party, or one of its accounts. `id` is made by the caller; without `lifetime_s` it lasts until it is lifted."""

    id: UuidText
    party: UuidText
    reason: Reason
    lifetime_s: Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)] | None = None
    account: UuidText | None = None
    incoming: bool = False


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class TierBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another tier, and why."""

    tier: Text
    reason: Reason


class ResetPinBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new PIN for somebody who stands at the counter."""

    pin: PinText


class BooksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: `cursor` from the page before, newest first."""

    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_SIZE_MAX)] = 50


class AccountLine(msgspec.Struct, frozen=True):
    """An account of the ledger, with whose it is. Amounts in minor units."""

    id: UuidText
    code: str
    holder: str | None
    party: UuidText | None
    debits_posted: AmountOrZero
    credits_posted: AmountOrZero
    debits_pending: AmountOrZero
    credits_pending: AmountOrZero
    created_at: Moment


class AccountsView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    accounts: list[AccountLine]
    next: Cursor | None


class TransferLine(msgspec.Struct, frozen=True):
    """A transfer of the ledger."""

    id: UuidText
    debit_account: UuidText
    credit_account: UuidText
    amount: AmountOrZero
    code: str
    flags: list[str]
    payment: UuidText | None
    at: Moment


class TransfersView(msgspec.Struct, frozen=True):
    """A page. `next` is the cursor of the following page; null at the end."""

    transfers: list[TransferLine]
    next: Cursor | None


class StaffEndpoints:
    """The back office."""

    def __init__(self, *, parties: Parties, approvals: Approvals, ledger: Ledger, clock: Clock, currency_ledger: int) -> None:
        self.parties = parties
        self.approvals = approvals
        self.ledger = ledger
        self.clock = clock
        self.currency_ledger = currency_ledger

    def endpoints(self) -> list[Endpoint]:
        read, freeze, tag = staff(Permission.READ), staff(Permission.FREEZE), "staff"
        open_errors = (AlreadyTaken, IdReused, WrongSignature)
        propose = (IdReused, PartyNotFound, PaymentNotFound, PaymentRefused, AboveOriginal)
        decide = (NeedsSecondPerson, NotFound, NotInThisState)
        party = (PartyNotFound,)
        return [
            Endpoint("POST", "/v1/staff/parties", self.open_party, access=read, errors=open_errors, status=201, tag=tag),
            Endpoint("GET", "/v1/staff/parties", self.find_party, access=read, errors=party, tag=tag),
            Endpoint("GET", "/v1/staff/parties/{id}", self.party, access=read, errors=party, tag=tag),
            Endpoint("POST", "/v1/staff/parties/{id}/tier", self.change_tier, access=staff(Permission.CHANGE_TIER), errors=party, tag=tag),
            Endpoint(
                "POST", "/v1/staff/parties/{id}/pin", self.reset_pin, access=staff(Permission.RECOVER), errors=party, status=204, tag=tag
            ),
            Endpoint(
                "POST",
                "/v1/staff/parties/{id}/close",
                self.close_party,
                access=staff(Permission.CLOSE_PARTY),
                errors=(*party, NotInThisState),
                tag=tag,
            ),
            Endpoint("POST", "/v1/staff/freezes", self.freeze, access=freeze, errors=(*party, IdReused), status=201, tag=tag),
            Endpoint("POST", "/v1/staff/freezes/{id}/lift", self.unfreeze, access=freeze, status=204, tag=tag),
            Endpoint("POST", "/v1/staff/proposals", self.propose, access=read, errors=propose, status=201, tag=tag),
            Endpoint("GET", "/v1/staff/proposals", self.proposals, access=read, tag=tag),
            Endpoint("GET", "/v1/staff/proposals/{id}", self.proposal, access=read, tag=tag),
            Endpoint("POST", "/v1/staff/proposals/{id}/approve", self.approve, access=read, errors=decide, tag=tag),
            Endpoint("POST", "/v1/staff/proposals/{id}/reject", self.reject, access=read, errors=decide, tag=tag),
            Endpoint("GET", "/v1/staff/accounts", self.accounts, access=read, tag=tag),
            Endpoint("GET", "/v1/staff/transfers", self.transfers, access=read, tag=tag),
        ]

    # People

    async def open_party(self, caller: Principal, body: OpenPartyBody) -> PartyView:
        """Open a merchant, agent, institution, member of staff, or a customer at the counter. A repeat answers the same party."""
        new = NewParty(
            id=parse_uuid(body.id, "id"),
            kind=body.kind,
            name=body.name,
            language=body.language,
            number=body.number,
            handle=body.handle,
            tier=body.tier,
            pin=body.pin,
            key=body.key.key() if body.key else None,
            roles=frozenset(body.roles),
        )
        return await self._party(await self.parties.enrolment.open_by_staff(new, by=caller.party))

    async def find_party(self, caller: Principal, query: PartyQuery) -> PartyView:
        """A party by number, handle or merchant code."""
        return await self._party(await self.parties.party((await self.parties.resolve(query.address)).party))

    async def party(self, caller: Principal, id: int) -> PartyView:
        """A party by its id."""
        return await self._party(await self.parties.party(id))

    async def change_tier(self, caller: Principal, id: int, body: TierBody) -> PartyView:
        """Move a party to another tier of its kind, from the next payment on."""
        await self.parties.staff.change_tier(id, body.tier, reason=body.reason, by=caller.party)
        return await self._party(await self.parties.party(id))

    async def reset_pin(self, caller: Principal, id: int, body: ResetPinBody) -> None:
        """Set a new PIN for somebody whom a member of staff has seen. Unlocks."""
        party = await self.parties.party(id)
        if party.kind is PartyKind.STAFF:
            raise Malformed("id", "must not be a member of staff")
        await self.parties.pins.set(party.id, body.pin, by=caller.party)

    async def close_party(self, caller: Principal, id: int, body: ReasonBody) -> PartyView:
        """Close a party whose accounts are empty, for good."""
        return await self._party(await self.parties.staff.close(id, reason=body.reason, by=caller.party))

    async def freeze(self, caller: Principal, body: FreezeBody) -> FreezeView:
        """Stop a party's accounts, or one of them, from the next payment on. A repeat answers the same."""
        frozen: Freeze = await self.parties.staff.freeze(
            parse_uuid(body.id, "id"),
            parse_uuid(body.party, "party"),
            reason=body.reason,
            by=caller.party,
            lifetime_s=body.lifetime_s,
            account=parse_uuid(body.account, "account") if body.account else None,
            incoming=body.incoming,
        )
        return freeze_view(frozen)

    async def unfreeze(self, caller: Principal, id: int, body: ReasonBody) -> None:
        """Lift a freeze. A repeat changes nothing."""
        await self.parties.staff.unfreeze(id, reason=body.reason, by=caller.party)

    # What two persons decide

    async def propose(self, caller: Principal, body: ProposalBody) -> ProposalView:
        """Propose an issue, a withdrawal or a reversal. Another member of staff approves it. A repeat answers the same."""
        particulars = body.reversal if body.kind == "reversal" else body.circulation
        if particulars is None or (body.reversal is not None and body.circulation is not None):
            raise Malformed("reversal" if body.kind == "reversal" else "circulation", f"alone is needed for {body.kind}")
        payload = msgspec.json.encode(particulars)
        return _proposal(await self.approvals.propose(parse_uuid(body.id, "id"), body.kind, payload, reason=body.reason, by=caller.party))

    async def proposals(self, caller: Principal, query: ProposalsQuery) -> ProposalsView:
        """The newest proposals."""
        return ProposalsView([_proposal(each) for each in await self.approvals.find_all(query.state)])

    async def proposal(self, caller: Principal, id: int) -> ProposalView:
        """One proposal."""
        found = await self.approvals.find(id)
        if found is None:
            raise NotFound("there is no proposal with this id")
        return _proposal(found)

    async def approve(self, caller: Principal, id: int) -> ProposalView:
        """Approve, and do it. Never one's own proposal. A repeat answers the same; `state` failed: `outcome` says why."""
        return _proposal(await self.approvals.approve(id, by=caller.party))

    async def reject(self, caller: Principal, id: int) -> ProposalView:
        """Reject; the proposer may take back their own. A repeat answers the same."""
        return _proposal(await self.approvals.reject(id, by=caller.party))

    # The books

    async def accounts(self, caller: Principal, query: BooksQuery) -> AccountsView:
        """The ledger's accounts, newest first."""
        found = await self.ledger.query_accounts(self._filter(query))
        lines = [await self._account_line(account) for account in found]
        return AccountsView(lines, cursor_text(found[-1].timestamp) if len(found) == query.limit else None)

    async def transfers(self, caller: Principal, query: BooksQuery) -> TransfersView:
        """The ledger's transfers, newest first."""
        found = await self.ledger.query_transfers(self._filter(query))
        lines = [_transfer_line(transfer) for transfer in found]
        return TransfersView(lines, cursor_text(found[-1].timestamp) if len(found) == query.limit else None)

    def _filter(self, query: BooksQuery) -> QueryFilter:
        before = parse_cursor(query.cursor, maximum=AMOUNT_MAX)
        # A bound of 0 would be none: before the first moment there is nothing, and 1 ns is before everything.
        return QueryFilter(
            limit=query.limit,
            flags=QueryFilterFlags.REVERSED,
            ledger=self.currency_ledger,
            timestamp_max=max(before - 1, 1) if before else 0,
        )

    async def _account_line(self, account: Account) -> AccountLine:
        holder = await self.parties.directory.holder(account.id)
        return AccountLine(
            id=uuid_text(account.id),
            code=AccountCode(account.code).name.lower(),
            holder=holder.name if holder else None,
            party=uuid_text(holder.party) if holder else None,
            debits_posted=account.debits_posted,
            credits_posted=account.credits_posted,
            debits_pending=account.debits_pending,
            credits_pending=account.credits_pending,
            created_at=moment_text(account.timestamp),
        )

    async def _party(self, party: Party) -> PartyView:
        holder = None if party.kind is PartyKind.STAFF else await self.parties.holder_of_party(party.id)
        account = self.ledger.account_now(holder.account) if holder else None
        roles = await self.parties.staff.roles(party.id) if party.kind is PartyKind.STAFF else frozenset()
        return PartyView(
            id=uuid_text(party.id),
            kind=party.kind,
            name=party.name,
            number=party.number,
            handle=party.handle,
            merchant_code=party.merchant_code,
            tier=party.tier,
            language=party.language,
            state=party.state,
            created_at=moment_text(party.created_at),
            account=uuid_text(holder.account) if holder else None,
            balance=account.credits_posted - account.debits_posted if account else None,
            limits=limits_view(holder) if holder else None,
            freezes=[freeze_view(freeze) for freeze in holder.freezes] if holder else [],
            devices=[device_view(device) for device in await self.parties.devices.of(party.id)],
            roles=sorted(roles),
        )


def _proposal(proposal: Proposal) -> ProposalView:
    return ProposalView(
        id=uuid_text(proposal.id),
        kind=proposal.kind,
        payload=proposal.payload.decode(),
        reason=proposal.reason,
        proposer=uuid_text(proposal.proposer),
        state=proposal.state,
        created_at=moment_text(proposal.created_at),
        expires_at=moment_text(proposal.expires_at),
        decided_by=uuid_text(proposal.decided_by) if proposal.decided_by else None,
        decided_at=moment_text(proposal.decided_at) if proposal.decided_at else None,
        outcome=proposal.outcome,
    )


def _transfer_line(transfer: Transfer) -> TransferLine:
    return TransferLine(
        id=uuid_text(transfer.id),
        debit_account=uuid_text(transfer.debit_account_id),
        credit_account=uuid_text(transfer.credit_account_id),
        amount=transfer.amount,
        code=TransferCode(transfer.code).name.lower(),
        flags=[flag.name.lower() for flag in TransferFlags if flag.name and transfer.flags & flag],
        payment=uuid_text(transfer.user_data_128) if transfer.user_data_128 else None,
        at=moment_text(transfer.timestamp),
    )
