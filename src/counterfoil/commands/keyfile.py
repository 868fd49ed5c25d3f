"""A wallet's files: the key, and beside it the outbox of what was signed and has no answer yet, and the operator's words.

    FILE               JSON, mode 0600: the Ed25519 seed, whose it is, which server, and the operator's key that it trusts
    FILE.outbox        JSON, mode 0600: signed requests as they were or will be sent, the newest entry and log head seen
    FILE.words/<id>    JSON: the operator's acknowledgement of a payment, evidence until its receipt is there

An order is in the outbox, on the disk, before it is sent, and leaves it when its outcome is known. Whatever dies in
between, it is sent again with the same id, and happens once.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from nacl.signing import SigningKey

from counterfoil.commands import private_file
from counterfoil.commands.output import WrongUse
from counterfoil.errors import Unavailable
from counterfoil.payments.orders import EMPTY_LOG_ROOT
from counterfoil.web.values import base64_text, parse_base64

OUTBOX_MAX = 1_000
"""Requests that may wait in an outbox."""


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a wallet knows. Ids are UUID texts, keys base64url.

    Attributes:
        seed: the Ed25519 private key, 32 bytes.
        operator_key: the operator's public key, pinned when the wallet was made: receipts are checked against it.
        party: "" until the account has been opened: the key is on the disk before anybody hears of it.
        account: "" for members of staff, who hold no account.
    """

    server: str
    origin: str
    currency: str
    digits: int
    operator_key: str
    party: str
    account: str
    device: str
    seed: str
    name: str
    number: str = ""

    @property
    def signing_key(self) -> SigningKey:
        return SigningKey(parse_base64(self.seed, "seed"))

    @property
    def pinned_key(self) -> bytes:
        return parse_base64(self.operator_key, "operator_key")


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A request that has no answer yet: exactly as it is sent. `body` is JSON."""

    id: str
    what: str
    method: str
    path: str
    body: str


class Outbox(msgspec.Struct, kw_only=True):
    """What waits, and what was seen.

    Attributes:
        payer_last: ledger time (ns) of the newest entry of the account that this wallet has seen.
        checkpoint_size, checkpoint_root: the newest head of the log that it has checked; every order names it.
    """

    payer_last: int = 0
    checkpoint_size: int = 0
    checkpoint_root: str = base64_text(EMPTY_LOG_ROOT)
    waiting: list[Waiting] = []

    def see(self, size: int, root: bytes) -> None:
        self.checkpoint_size, self.checkpoint_root = size, base64_text(root)


def new_seed(random: bytes) -> str:
    """A private key from 32 random bytes, as it stands in a key file."""
    assert len(random) == 32, len(random)
    return base64_text(random)


def load(path: Path) -> KeyFile:
    """The key file at `path`. WrongUse when there is none, when others can read it, or when it is no key file."""
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise WrongUse(f"no key file {path} ({error.strerror}): make one with `counterfoil wallet create`, or name it with --key") from None
    if mode & 0o077:
        raise WrongUse(f"others can read the key file {path}: chmod 600 {path}")
    try:
        return msgspec.json.decode(data, type=KeyFile)
    except msgspec.MsgspecError as error:
        raise WrongUse(f"{path} is not a key file: {error}") from None


def save(path: Path, key: KeyFile) -> None:
    """Writes a new key file, whole or not at all. WrongUse when something is already there: a key is never written over."""
    if path.exists():
        raise WrongUse(f"{path} is already there: a key is never written over")
    path.parent.mkdir(parents=True, exist_ok=True)
    private_file.write(path, msgspec.json.format(msgspec.json.encode(key), indent=1) + b"\n")


def complete(path: Path, key: KeyFile) -> None:
    """Adds to a saved key file whose it is, once that is known. The private key stays the one that is there."""
    before = load(path)
    assert (before.seed, before.device, before.party) == (key.seed, key.device, ""), path
    private_file.write(path, msgspec.json.format(msgspec.json.encode(key), indent=1) + b"\n")


@contextmanager
def outbox(path: Path) -> Iterator[Outbox]:
    """The outbox of the key file at `path`, for this process alone; what is changed in it is kept when the block ends."""
    place = path.with_name(f"{path.name}.outbox")
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        box = _read_outbox(place)
        before = msgspec.json.encode(box)
        yield box
        if len(box.waiting) > OUTBOX_MAX:
            raise Unavailable(f"more than {OUTBOX_MAX} payments wait in {place}: send them first with `counterfoil wallet pay --resume`")
        if (after := msgspec.json.encode(box)) != before:
            private_file.write(place, after + b"\n")
    finally:
        os.close(lock)


def _read_outbox(place: Path) -> Outbox:
    try:
        return msgspec.json.decode(place.read_bytes(), type=Outbox)
    except FileNotFoundError:
        return Outbox()
    except msgspec.MsgspecError as error:
        raise WrongUse(f"{place} cannot be read ({error}): it holds payments without an answer, so do not delete it unseen") from None


def keep(path: Path, request: Waiting) -> None:
    """Puts a request into the outbox, on the disk on return."""
    with outbox(path) as box:
        box.waiting.append(request)


def settle(path: Path, id: str, *, payer_last: int = 0) -> None:
    """Takes a request whose outcome is known out of the outbox, and remembers the newest entry seen (ns)."""
    with outbox(path) as box:
        box.waiting = [request for request in box.waiting if request.id != id]
        box.payer_last = max(box.payer_last, payer_last)


def keep_word(path: Path, id: str, word: dict[str, str]) -> None:
    """Keeps the operator's acknowledgement of payment `id`: `statement` and `signature`, base64."""
    folder = path.with_name(f"{path.name}.words")
    folder.mkdir(mode=0o700, exist_ok=True)
    private_file.write(folder / id, msgspec.json.encode(word) + b"\n")


def has_word(path: Path, id: str) -> bool:
    """Whether an acknowledgement of payment `id` was kept: by whoever sent the order, and by nobody else."""
    return (path.with_name(f"{path.name}.words") / id).exists()


def load_word(path: Path, id: str) -> dict[str, str]:
    """The acknowledgement that was kept of payment `id`. WrongUse when there is none."""
    place = path.with_name(f"{path.name}.words") / id
    try:
        return msgspec.json.decode(place.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.MsgspecError):
        raise WrongUse(f"this wallet has kept no acknowledgement of {id}") from None


def public(key: KeyFile) -> dict[str, Any]:
    """What of a key file may be shown: everything but the private key."""
    return {name: value for name, value in msgspec.structs.asdict(key).items() if name != "seed"} | {
        "public_key": base64_text(bytes(key.signing_key.verify_key))
    }
