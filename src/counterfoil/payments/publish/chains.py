"""Where each account's chain stands, which keys are in force, what is frozen: the publisher's memory between two entries.

What a page needs is loaded from `Kept`; what it changes is collected in `changed` until it is kept together with the page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

HEADS_MAX = 200_000
"""Heads remembered between two pages; some 250 bytes each."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The newest entry of an account: its `seq`, leaf hash and index in the log, and the account's balance after it (minor units)."""

    seq: int
    leaf: bytes
    index: int
    balance: int


class FrozenAccounts(msgspec.Struct, frozen=True):
    """What one freeze stops, until `expires_at` (ns, 0 for no end)."""

    accounts: tuple[int, ...]
    expires_at: int


class Kept(Protocol):
    """Where chains are kept."""

    def heads(self, accounts: Collection[int]) -> Mapping[int, Head]:
        """The heads of those accounts that have one."""
        ...

    def keys(self, account: int) -> Collection[int]:
        """Devices whose keys are in force for the account, in the order in which they were bound."""
        ...

    def frozen(self) -> Mapping[int, FrozenAccounts]:
        """Freezes that were not lifted, by id."""
        ...


class Nothing:
    """For chains that begin with the log's first entry."""

    def heads(self, accounts: Collection[int]) -> Mapping[int, Head]:
        return {}

    def keys(self, account: int) -> Collection[int]:
        return ()

    def frozen(self) -> Mapping[int, FrozenAccounts]:
        return {}


class Changed(msgspec.Struct):
    """What a page changed. `keys` and `frozen`: the new state of each account, or freeze (None: lifted), that changed."""

    heads: set[int] = msgspec.field(default_factory=set)
    keys: dict[int, list[int]] = {}
    frozen: dict[int, FrozenAccounts | None] = {}


class Chains:
    """All accounts' chains. With `heads_max` 0 nothing is ever forgotten: for chains that are kept nowhere."""

    def __init__(self, kept: Kept, *, heads_max: int = HEADS_MAX) -> None:
        self.changed = Changed()
        self._kept = kept
        self._heads_max = heads_max
        self._heads: dict[int, Head] = {}
        self._keys: dict[int, list[int]] = {}
        self._frozen = dict(kept.frozen())

    def load(self, accounts: Collection[int]) -> None:
        """Makes the heads of `accounts` known in one go. Only between two pages: it may forget others."""
        assert not self.changed.heads, "what has changed is kept first"
        if self._heads_max and len(self._heads) + len(accounts) > self._heads_max:
            self._heads.clear()
        missing = [account for account in accounts if account not in self._heads]
        if missing:
            self._heads.update(self._kept.heads(missing))

    def head(self, account: int) -> Head | None:
        found = self._heads.get(account)
        if found is None:
            found = self._kept.heads([account]).get(account)
            if found is not None:
                self._heads[account] = found
        return found

    def set_head(self, account: int, head: Head) -> None:
        self._heads[account] = head
        self.changed.heads.add(account)

    def all_heads(self) -> Mapping[int, Head]:
        """Every head that is remembered; all there are where nothing is ever forgotten."""
        return self._heads

    def keys(self, account: int) -> list[int]:
        """Devices whose keys are in force, in the order in which they were bound."""
        found = self._keys.get(account)
        if found is None:
            found = self._keys[account] = list(self._kept.keys(account))
        return found

    def bind(self, account: int, device: int) -> None:
        self.keys(account).append(device)
        self.changed.keys[account] = self.keys(account)

    def revoke(self, account: int, device: int) -> None:
        self.keys(account).remove(device)
        self.changed.keys[account] = self.keys(account)

    def freeze(self, freeze: int, accounts: tuple[int, ...], expires_at: int) -> None:
        self._frozen[freeze] = self.changed.frozen[freeze] = FrozenAccounts(accounts, expires_at)

    def unfreeze(self, freeze: int) -> None:
        self._frozen.pop(freeze, None)
        self.changed.frozen[freeze] = None

    def frozen_at(self, at: int) -> set[int]:
        """Accounts that at least one freeze stops at `at`, ns."""
        in_force = (freeze for freeze in self._frozen.values() if not freeze.expires_at or freeze.expires_at > at)
        return {account for freeze in in_force for account in freeze.accounts}

    def take_changed(self) -> Changed:
        """What has changed since the last call."""
        changed, self.changed = self.changed, Changed()
        if self._heads_max:
            self._keys.clear()
        return changed
