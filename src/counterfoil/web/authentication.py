"""Who is asking: a device by its signature over the request, or a merchant's server by its token."""

from __future__ import annotations

from counterfoil.clock import Clock
from counterfoil.errors import Forbidden, NotAuthenticated, PartyClosed, UnknownDevice, WrongSignature, WrongToken
from counterfoil.parties.keys import verify
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Tokens
from counterfoil.parties.types import ROLE_PERMISSIONS, Device, DeviceState, PartyKind, PartyState, Permission
from counterfoil.web import signatures
from counterfoil.web.access import Access, Principal
from counterfoil.web.guesses import Guesses
from counterfoil.web.incoming import Incoming


class Authenticator:
    """Verifies callers. Whoever guesses is slowed down (TooMany), by address and device, in bounded memory."""

    def __init__(self, *, parties: Parties, tokens: Tokens, clock: Clock, guesses: Guesses) -> None:
        self.parties = parties
        self.tokens = tokens
        self.clock = clock
        self.guesses = guesses

    async def caller(self, request: Incoming, access: Access) -> Principal:
        """Who is asking, when `access` lets them. The body must have been read: it is part of what is signed.

        Refusals in this order: NotAuthenticated (no credentials, or both kinds), TooMany, RequestTooOld, UnknownDevice,
        WrongSignature or WrongToken, PartyClosed, Forbidden.
        """
        token, signature = request.header("authorization"), request.header("signature")
        if (token is None) == (signature is None):
            raise NotAuthenticated(
                "send a signature of your device, or a token" if token is None else "send a signature or a token, not both"
            )
        principal = await (self._by_token(request, token) if token is not None else self._by_signature(request, signature or ""))
        request.party = principal.party
        check(principal, access)
        return principal

    async def _by_signature(self, request: Incoming, signature: str) -> Principal:
        claim = signatures.read(
            method=request.method,
            path=request.path,
            query=request.query,
            body=request.body,
            digest=request.header("content-digest"),
            signature_input=request.header("signature-input") or "",
            signature=signature,
            now_ns=self.clock.now_ns(),
        )
        key = f"{claim.device:032x}"
        self.guesses.check(request.counted_as, key)
        try:
            device = await self._verified(claim)
        except (UnknownDevice, WrongSignature) as refusal:
            self.guesses.count(request.counted_as, key, refusal)
            raise
        party = await self.parties.party(device.party)
        if party.state is not PartyState.OPEN:
            raise PartyClosed
        if party.kind is PartyKind.STAFF:
            roles = await self.parties.staff.roles(party.id)
            permissions = frozenset[Permission]().union(*(ROLE_PERMISSIONS[role] for role in roles))
            return Principal(party=party.id, kind=party.kind, device=device.id, permissions=permissions)
        holder = await self.parties.directory.holder_of_party(party.id)
        return Principal(party=party.id, kind=party.kind, account=holder.account, device=device.id)

    async def _verified(self, claim: signatures.SignedRequest) -> Device:
        device = await self.parties.directory.device(claim.device)
        if device is None or device.state is not DeviceState.ACTIVE:
            raise UnknownDevice
        if device.algorithm is not claim.algorithm or not verify(device.algorithm, device.public_key, claim.message, claim.signature):
            raise WrongSignature
        return device

    async def _by_token(self, request: Incoming, header: str) -> Principal:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated("the Authorization header must be Bearer and a token")
        self.guesses.check(request.counted_as, "")
        try:
            token = await self.tokens.check(text.strip())
        except WrongToken as refusal:
            self.guesses.count(request.counted_as, "", refusal)
            raise
        holder = await self.parties.directory.holder(token.account)
        assert holder is not None, token.account
        return Principal(party=token.party, kind=holder.kind, account=token.account, token=token.id, scopes=token.scopes)


def check(caller: Principal, access: Access) -> None:
    """Forbidden unless `access` lets `caller`."""
    if caller.token:
        if access.scope is None:
            raise Forbidden("a token cannot do this: a device has to sign it")
        if access.scope not in caller.scopes:
            raise Forbidden(f"the token does not have the scope {access.scope}", scope=access.scope)
    elif caller.kind is PartyKind.STAFF:
        if access.permission is None:
            raise Forbidden("this is for holders of an account")
        if access.permission not in caller.permissions:
            raise Forbidden("your role does not allow this", permission=access.permission)
    elif not access.device:
        raise Forbidden("this is for staff" if access.permission else "this is for a server with a token")
