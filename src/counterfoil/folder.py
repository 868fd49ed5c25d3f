"""What lies where in a scheme's data folder, who may hold it, and the operator's key.

lock                    held by the one process that writes
counterfoil.toml        settings (see `config`)
keys/operator.ed25519   signs acknowledgements and the log's heads
keys/cards.aes128       what the keys of every card follow from; made when the first card is
keys/push.p256          says to push services who sends (VAPID); made when the first device asks for its public half
ledger.sqlite           the ledger, unless the settings name a server for it
store.sqlite            people and orders, unless the settings name a server for them
ledger.newest           of a ledger on TigerBeetle: the newest moment that was acknowledged
policy                  C2SP tlog-policy: which witnesses are asked, and how many of them must agree
serving/                sockets on which workers reach the one that holds the folder (see `serving.places`)
log/public/             the log as everybody may read it
log/openings.sqlite     what opens its entries: for holders and auditors only
log/cosigned            the newest head that enough witnesses cosigned, on its way to the publisher
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nacl.signing import SigningKey

from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.errors import Unavailable

_CARDS = "cards.aes128"


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Holds the folder for this process alone. Raises Unavailable while another process has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"{folder} is in use by another process") from None
        yield
    finally:
        os.close(descriptor)


def operator_key(folder: Path, clock: Clock) -> SigningKey:
    """The operator's signing key, made at the first start: 32 bytes in DATA/keys/operator.ed25519, for the owner's eyes only."""
    return SigningKey(_kept_secret(folder, "operator.ed25519", clock))


def push_secret(folder: Path, clock: Clock) -> bytes:
    """What the operator's key for Web Push follows from, made when it is first asked for: 32 bytes in DATA/keys/push.p256.

    Subscriptions are bound to it: when it is lost, nobody is woken until their wallet subscribes anew.
    """
    return _kept_secret(folder, "push.p256", clock)


def card_secret(folder: Path, clock: Clock) -> bytes:
    """What the keys of the scheme's cards follow from, made when it is first asked for: 16 bytes in DATA/keys/cards.aes128.

    When it is lost, no card is known any more, and none can be changed; whoever has it can make copies of all.
    """
    return _kept_secret(folder, _CARDS, clock, size=16)


def found_card_secret(folder: Path) -> bytes | None:
    """The same, where a card was made already; else None."""
    path = folder / "keys" / _CARDS
    return path.read_bytes() if path.is_file() else None


def _kept_secret(folder: Path, name: str, clock: Clock, *, size: int = 32) -> bytes:
    """`size` random bytes in DATA/keys, for the owner's eyes only; made once."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = keys / name
    if not path.exists():
        draft = keys / f"{name}.draft"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(clock.random_bytes(size))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        folder_descriptor = os.open(keys, os.O_RDONLY)
        try:
            os.fsync(folder_descriptor)  # the name must last as long as the first receipt that it signs
        finally:
            os.close(folder_descriptor)
    return path.read_bytes()


def store_url(config: Config) -> str:
    """Where the general database is. May have a password in it: for those who connect, not for logs."""
    return config.store or f"sqlite:///{store_path(config).absolute()}"


def store_path(config: Config) -> Path:
    """The file of the general database where the settings name no server."""
    return config.folder / "store.sqlite"


def ledger_path(config: Config) -> Path:
    """The file of the ledger where the settings name no server."""
    return config.folder / "ledger.sqlite"


def newest_path(config: Config) -> Path:
    return config.folder / "ledger.newest"


def log_folder(config: Config) -> Path:
    return config.folder / "log"


def openings_path(config: Config) -> Path:
    return log_folder(config) / "openings.sqlite"


def policy_path(config: Config) -> Path:
    return config.folder / "policy"


def audited_path(config: Config) -> Path:
    return config.folder / "audited"


class Cosigned:
    """Hands a witnessed head from the server, which asks the witnesses, to the publisher, which alone writes the log.

    A later head replaces an earlier one that was not taken yet. What a crash loses, the next round brings again.
    """

    def __init__(self, config: Config) -> None:
        self._path = log_folder(config) / "cosigned"

    def put(self, note: bytes) -> None:
        """Raises Unavailable when the folder cannot be written to: the next round tries again."""
        draft = self._path.with_suffix(".draft")
        try:
            draft.write_bytes(note)
            draft.replace(self._path)
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error.strerror}") from error

    def take(self) -> bytes | None:
        """The head that was put last, once; None when there is none."""
        taken = self._path.with_suffix(".taken")
        try:
            self._path.replace(taken)
        except FileNotFoundError:
            return None
        return taken.read_bytes()
