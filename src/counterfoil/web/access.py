"""Who may call what: the caller, as the endpoints see them, and the conditions of an endpoint."""

from __future__ import annotations

import msgspec

from counterfoil.parties.tokens import Scope
from counterfoil.parties.types import PartyKind, Permission


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking, verified.

    Attributes:
        party: whose device or token it is.
        account: their account; 0 for staff, who hold none.
        device: the device that signed the request; 0 for a token.
        token: the token; 0 for a device.
        scopes: of the token.
        permissions: of a member of staff.
    """

    party: int
    kind: PartyKind
    account: int = 0
    device: int = 0
    token: int = 0
    scopes: frozenset[Scope] = frozenset()
    permissions: frozenset[Permission] = frozenset()


class Access(msgspec.Struct, frozen=True):
    """The condition for calling an endpoint.

    Attributes:
        device: a device of somebody who holds an account.
        scope: or a token with this scope.
        permission: a device of a member of staff who may do this.
    """

    device: bool = False
    scope: Scope | None = None
    permission: Permission | None = None

    @property
    def protected(self) -> bool:
        return self.device or self.scope is not None or self.permission is not None


PUBLIC = Access()
HOLDER = Access(device=True)


def holder_or(scope: Scope) -> Access:
    """A device of the holder, or a token of theirs with `scope`."""
    return Access(device=True, scope=scope)


def server(scope: Scope) -> Access:
    """A token only: what a merchant's server does without a person."""
    return Access(scope=scope)


def staff(permission: Permission) -> Access:
    """A member of staff who may do this."""
    return Access(permission=permission)
