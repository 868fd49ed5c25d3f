"""Changes of SIM: an operator tells us, staff write them down, a device or two members of staff lift what they do."""

from __future__ import annotations

from typing import Annotated

import msgspec

from counterfoil.errors import Forbidden, IdReused, NotFound, NotInThisState, PartyNotFound, UnknownDevice
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.parties.approvals import Approvals
from counterfoil.parties.service import Parties
from counterfoil.parties.sim_changes import KIND, LiftPayload, SimChange
from counterfoil.parties.tokens import Scope
from counterfoil.parties.types import PartyKind, Permission
from counterfoil.web.access import HOLDER, Principal, server, staff
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import Moment, Text, UuidText, parse_uuid, uuid_text

Reason = Annotated[str, msgspec.Meta(max_length=500, description="3 to 500 characters; kept for good")]


class SimChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number whose SIM was changed, and what is known of it."""

    number: Text
    reason: Reason


class SimChangeView(msgspec.Struct, frozen=True):
    """A change of SIM that stands: payments by PIN are held back until `until`. `source`: who told us."""

    source: str
    at: Moment
    until: Moment


class SimLiftBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let PINs take as much as before, because the holder was seen. `id` is made by the caller; another member of staff approves it."""

    id: UuidText
    party: UuidText
    reason: Reason


class SimLiftView(msgspec.Struct, frozen=True):
    """The proposal: another member of staff approves it at /v1/staff/proposals."""

    proposal: UuidText


class NumberReleaseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the number is another person's."""

    reason: Reason


class SimChangeEndpoints:
    """Changes of SIM."""

    def __init__(self, *, parties: Parties, approvals: Approvals) -> None:
        self.parties = parties
        self.approvals = approvals
        self.sim_changes = parties.sim_changes

    def endpoints(self) -> list[Endpoint]:
        recover, tag = staff(Permission.RECOVER), "staff"
        return [
            Endpoint("POST", "/v1/sim-changes", self.tell, access=server(Scope.SIM_CHANGES_WRITE), status=204, tag="people"),
            Endpoint("GET", "/v1/sim-changes/mine", self.mine, access=HOLDER, errors=(NotFound,), tag="people"),
            Endpoint("POST", "/v1/sim-changes/mine/lift", self.lift, access=HOLDER, errors=(UnknownDevice,), status=204, tag="people"),
            Endpoint("POST", "/v1/staff/sim-changes", self.tell_by_staff, access=recover, errors=(NotFound,), status=201, tag=tag),
            Endpoint("GET", "/v1/staff/parties/{id}/sim-change", self.standing, access=staff(Permission.READ), errors=(NotFound,), tag=tag),
            Endpoint(
                "POST",
                "/v1/staff/sim-changes/lift",
                self.propose_lift,
                access=recover,
                errors=(NotInThisState, IdReused),
                status=201,
                tag=tag,
            ),
            Endpoint(
                "POST",
                "/v1/staff/parties/{id}/release-number",
                self.release_number,
                access=staff(Permission.CLOSE_PARTY),
                errors=(PartyNotFound, NotInThisState),
                status=204,
                tag=tag,
            ),
        ]

    async def tell(self, caller: Principal, body: SimChangeBody) -> None:
        """Tell that the SIM of a number was changed: for the network's operator. Whether somebody has the number is not answered."""
        if caller.kind is not PartyKind.INSTITUTION:
            raise Forbidden("this is for institutions")
        await self.sim_changes.tell(body.number, source="operator", reason=body.reason, by=caller.party)

    async def mine(self, caller: Principal) -> SimChangeView:
        """The change of SIM that holds back payments by PIN from the caller's account."""
        return await self._view(caller.party)

    async def lift(self, caller: Principal) -> None:
        """Say that the change of SIM was one's own, on a device that could sign before it. A repeat changes nothing."""
        await self.sim_changes.lift(caller.party, device=caller.device)

    async def tell_by_staff(self, caller: Principal, body: SimChangeBody) -> SimChangeView:
        """Write down that the SIM of a number was changed, on the word of who calls or comes. A repeat within a day answers the same."""
        return _view(await self.sim_changes.tell_by_staff(body.number, reason=body.reason, by=caller.party))

    async def standing(self, caller: Principal, id: int) -> SimChangeView:
        """The change of SIM that holds back payments by PIN from a party's accounts."""
        return await self._view(id)

    async def propose_lift(self, caller: Principal, body: SimLiftBody) -> SimLiftView:
        """Propose to lift what a change of SIM does, having seen the holder. Another member of staff approves it. A repeat answers the same."""
        payload = msgspec.json.encode(LiftPayload(id_text(parse_uuid(body.party, "party"))))
        proposal = await self.approvals.propose(parse_uuid(body.id, "id"), KIND, payload, reason=body.reason, by=caller.party)
        return SimLiftView(uuid_text(proposal.id))

    async def release_number(self, caller: Principal, id: int, body: NumberReleaseBody) -> None:
        """Take the number away from an account unused for 180 days: the network has given it to somebody else. A repeat changes nothing."""
        await self.sim_changes.release_number(id, reason=body.reason, by=caller.party)

    async def _view(self, party: int) -> SimChangeView:
        found = await self.sim_changes.standing(party)
        if found is None:
            raise NotFound("no change of SIM stands")
        return _view(found)


def _view(change: SimChange) -> SimChangeView:
    return SimChangeView(change.source, moment_text(change.at), moment_text(change.until))
