"""A new device and an old one meet: the new one shows a QR code, the old one reads it, and both sign.

    new device                        server                              old device
    shows device, key, label  ─────────────── QR ───────────────────────> reads it, asks its holder
                                      <── POST /v1/device-links/{device} ─ "I am party P"
    GET /v1/device-links/{device} ──> party P, its name
    POST .../possession ────────────> signature over add-device
                                      <── POST /v1/device-links/{device} ─ fetches it
                                      <── POST /v1/devices ─────────────── both signatures

What a new device signs names the party, whom it cannot know before: that is all that passes here, in memory, for ten
minutes. The device's id is random and only in the QR code; whoever can read it could at most offer their own account.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.errors import Conflict, NotFound, TooMany
from counterfoil.parties.service import Parties
from counterfoil.web.access import HOLDER, PUBLIC, Principal
from counterfoil.web.endpoint import Endpoint
from counterfoil.web.values import Signature, UuidText, parse_signature, uuid_text

LIFETIME_S = 600
MEETINGS_MAX = 1_000
"""Meetings at a time, on one server."""
MEETINGS_PER_PARTY_MAX = 3
"""Meetings at a time of one holder: nobody can fill the house alone."""


class MeetingView(msgspec.Struct, frozen=True):
    """Two devices that meet. `possession`: the new device's signature over `counterfoil/add-device/v1`, once it has sent it."""

    party: UuidText
    name: str
    possession: Signature | None


class PossessionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The new device's signature, with its new key."""

    possession: Signature


class _Meeting(msgspec.Struct):
    party: int
    name: str
    ends_at: int
    possession: str | None = None


class LinkEndpoints:
    """Where two devices of one holder meet. Forgets everything when the server stops: the devices begin anew."""

    def __init__(self, *, parties: Parties, clock: Clock) -> None:
        self.parties = parties
        self.clock = clock
        self._meetings: OrderedDict[int, _Meeting] = OrderedDict()

    def endpoints(self) -> list[Endpoint]:
        path = "/v1/device-links/{device}"
        return [
            Endpoint("POST", path, self.meet, access=HOLDER, errors=(Conflict, TooMany), tag="people"),
            Endpoint("GET", path, self.meeting, access=PUBLIC, errors=(NotFound,), tag="people"),
            Endpoint("POST", f"{path}/possession", self.prove, access=PUBLIC, errors=(NotFound, Conflict), status=204, tag="people"),
        ]

    async def meet(self, caller: Principal, device: int) -> MeetingView:
        """Tell a new device whose it will be, and hear its signature once it is there. A repeat answers how it stands.

        A holder meets at most three devices at a time; with a fourth their own oldest meeting ends.
        """
        self._forget_old()
        found = self._meetings.get(device)
        if found is None:
            holder = await self.parties.holder(caller.account)
            found = self._meetings.get(device) or self._begin(device, caller.party, holder.name)
        if found.party != caller.party:
            raise Conflict("this device is being linked to another account")
        return _view(found)

    async def meeting(self, device: int) -> MeetingView:
        """For the new device: whose it will be; not found until the old one has read its code."""
        return _view(self._find(device))

    async def prove(self, device: int, body: PossessionBody) -> None:
        """For the new device: its signature over `counterfoil/add-device/v1`. A repeat changes nothing."""
        parse_signature(body.possession, "possession")
        found = self._find(device)
        if found.possession not in (None, body.possession):
            raise Conflict("this device has already signed")
        found.possession = body.possession

    def _begin(self, device: int, party: int, name: str) -> _Meeting:
        theirs = [each for each, meeting in self._meetings.items() if meeting.party == party]
        if len(theirs) >= MEETINGS_PER_PARTY_MAX:
            del self._meetings[theirs[0]]
        if len(self._meetings) >= MEETINGS_MAX:
            raise TooMany(retry_after_s=LIFETIME_S)
        found = _Meeting(party, name, self.clock.monotonic_ns() + LIFETIME_S * NANOSECONDS)
        self._meetings[device] = found
        return found

    def _find(self, device: int) -> _Meeting:
        self._forget_old()
        if (found := self._meetings.get(device)) is None:
            raise NotFound("nobody has read this device's code yet")
        return found

    def _forget_old(self) -> None:
        now = self.clock.monotonic_ns()
        while self._meetings and next(iter(self._meetings.values())).ends_at <= now:
            self._meetings.popitem(last=False)


def _view(meeting: _Meeting) -> MeetingView:
    return MeetingView(uuid_text(meeting.party), meeting.name, meeting.possession)
