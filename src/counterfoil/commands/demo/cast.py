"""The town's people with their keys and accounts. Keys and ids follow from the seed: whoever knows it can spend the money.

That is the point of a demo, and the reason why it only ever runs on a sandbox that it made itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
from nacl.signing import SigningKey

from counterfoil.commands.demo.town import Agent, Bank, Member, Merchant, Person, Town
from counterfoil.commands.signing import Signer, Terms
from counterfoil.parties import statements
from counterfoil.parties.context import NewKey
from counterfoil.parties.service import Parties
from counterfoil.parties.types import KeyAlgorithm

OPENING_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: the time in every id that follows from the seed."""


def id_of(seed: str, label: str) -> int:
    """A UUIDv7 that follows from the seed: the same `label` is the same id at every start."""
    digest = int.from_bytes(hashlib.sha256(f"{seed}/id/{label}".encode()).digest()[:10])
    return OPENING_MS << 80 | 0x7 << 76 | (digest >> 66 & 0xFFF) << 64 | 0b10 << 62 | (digest & (1 << 62) - 1)


def key_of(seed: str, label: str) -> SigningKey:
    return SigningKey(hashlib.sha256(f"{seed}/key/{label}".encode()).digest())


class Actor(msgspec.Struct, frozen=True):
    """Somebody of the town. `label` tells them apart and is the same at every start; `number` is E.164 or ""."""

    who: Person | Merchant | Agent | Bank | Member
    label: str
    party: int
    device: int
    key: SigningKey
    number: str
    signer: Signer | None = None

    def new_key(self, origin: str) -> NewKey:
        """The device's key, with the proof that it is theirs."""
        public_key = bytes(self.key.verify_key)
        statement = statements.enrol(
            origin=origin, number=self.number, device=self.device, algorithm=KeyAlgorithm.ED25519, public_key=public_key
        )
        possession = self.key.sign(statement).signature
        return NewKey(device=self.device, algorithm=KeyAlgorithm.ED25519, public_key=public_key, possession=possession, label="demo")

    @property
    def signs(self) -> Signer:
        assert self.signer is not None, f"{self.label} holds no account"
        return self.signer

    @property
    def account(self) -> int:
        return self.signs.account


class Cast(msgspec.Struct, frozen=True):
    """Everybody, by what they do."""

    people: list[Actor]
    merchants: list[Actor]
    agents: list[Actor]
    banks: list[Actor]
    staff: list[Actor]

    @classmethod
    def of(cls, town: Town, seed: str) -> Cast:
        """The town's people before they have accounts."""

        def actors(group: Iterable[Person | Merchant | Agent | Bank | Member]) -> list[Actor]:
            return [_actor(who, seed) for who in group]

        return cls(actors(town.people), actors(town.merchants), actors(town.agents), actors(town.banks), actors(town.staff))

    async def with_accounts(self, parties: Parties, terms: Terms) -> Cast:
        """The same, once everybody has opened an account."""

        async def equipped(actors: list[Actor]) -> list[Actor]:
            return [await _equipped(actor, parties, terms) for actor in actors]

        return Cast(
            await equipped(self.people),
            await equipped(self.merchants),
            await equipped(self.agents),
            await equipped(self.banks),
            self.staff,
        )

    def find(self, label: str) -> Actor:
        """The one with this label: a handle, or the number of who has none."""
        return next(
            actor for group in (self.people, self.merchants, self.agents, self.banks, self.staff) for actor in group if actor.label == label
        )


def _actor(who: Person | Merchant | Agent | Bank | Member, seed: str) -> Actor:
    number = getattr(who, "number", "")
    label = who.handle or number
    return Actor(who, label, id_of(seed, f"party/{label}"), id_of(seed, f"device/{label}"), key_of(seed, label), number)


async def _equipped(actor: Actor, parties: Parties, terms: Terms) -> Actor:
    holder = await parties.holder_of_party(actor.party)
    signer = Signer(terms=terms, account=holder.account, device=actor.device, key=actor.key)
    return msgspec.structs.replace(actor, signer=signer)
