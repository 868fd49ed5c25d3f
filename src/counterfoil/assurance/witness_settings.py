"""The small file that a witness runs from: who it is, where it listens, and which logs it watches.

    name = "witness.example.org/ours"       its name in every cosignature; never changes
    host = "127.0.0.1"                      address to listen on; loopback unless a reverse proxy stands in front
    port = 8490                             TCP port; 0 takes a free one and prints it
    data = "witness-data"                   folder of its memory: what it cosigned
    key = "witness-data/witness.ed25519"    its private key, 32 bytes, for the owner's eyes only
    logs = ["money.example.org/log+..."]    the keys (vkey) of the logs, each named as its log's origin

`data` and `key` are relative to the file's own folder. A name that is not one of these is an error.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec
from nacl.signing import SigningKey

from counterfoil.assurance.witness import remember
from counterfoil.clock import Clock
from counterfoil.errors import Malformed, Unavailable
from counterfoil.tlog.note import Signer, VerifierKey

LOG_ALGORITHM = 0x01
"""Ed25519 of a log. Source: C2SP signed-note, "Signature types"."""
COSIGNATURE_ALGORITHM = 0x04
"""Ed25519 of a witness, with a time. Source: C2SP tlog-cosignature."""
LOGS_MAX = 1_000
NAME_SIZE_MAX = 255
"""Bytes of a name in UTF-8."""
KEY_SIZE = 32


class WitnessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says; fields as in the module's drawing."""

    name: str
    host: str = "127.0.0.1"
    port: int = 8490
    data: str = "witness-data"
    key: str = "witness-data/witness.ed25519"
    logs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (
            not 0 < len(self.name.encode()) <= NAME_SIZE_MAX
            or not self.name.isprintable()
            or any(c.isspace() or c == "+" for c in self.name)
        ):
            raise Malformed("name", f"must be 1 to {NAME_SIZE_MAX} bytes without spaces or plus signs")
        if not self.host:
            raise Malformed("host", "must be an address to listen on")
        if not 0 <= self.port <= 65_535:
            raise Malformed("port", "must be 0 to 65535")
        if not self.data:
            raise Malformed("data", "must name a folder")
        if not self.key:
            raise Malformed("key", "must name a file")
        if len(self.logs) > LOGS_MAX:
            raise Malformed("logs", f"must be at most {LOGS_MAX}")
        if len(set(self.logs)) != len(self.logs):
            raise Malformed("logs", "names a key twice")
        _ = self.log_keys

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        """The keys of the logs. Raises Malformed naming the entry."""
        keys = []
        for number, text in enumerate(self.logs):
            try:
                key = VerifierKey.parse(text)
            except Malformed as error:
                raise Malformed(f"logs[{number}]", error.facts["rule"]) from None
            if key.algorithm != LOG_ALGORITHM:
                raise Malformed(f"logs[{number}]", "must be the Ed25519 key of a log (type 1)")
            keys.append(key)
        return tuple(keys)


def load(path: Path) -> WitnessSettings:
    """The settings in the file at `path`, with `data` and `key` relative to the file made whole.

    Raises Malformed naming the file, the name and the rule.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        settings = msgspec.convert(values, WitnessSettings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Malformed(str(path), f"not a TOML file in UTF-8: {error}") from None
    except msgspec.ValidationError as error:
        raise Malformed(str(path), str(error)) from None
    except Malformed as error:
        raise Malformed(f"{path}: {error.facts['field']}", error.facts["rule"]) from None
    except OSError as error:
        raise Malformed(str(path), f"cannot be read: {error.strerror}") from None
    folder = path.parent
    return msgspec.structs.replace(settings, data=str(folder / settings.data), key=str(folder / settings.key))


def render(settings: WitnessSettings) -> str:
    """The file that `load` reads, with a word on each line that needs one."""
    logs = "".join(f"    {_quoted(log)},\n" for log in settings.logs)
    return f"""\
# A witness: run it with `counterfoil witness` and the name of this file.
name = {_quoted(settings.name)}  # in every cosignature; never change it
host = {_quoted(settings.host)}
port = {settings.port}
data = {_quoted(settings.data)}  # its memory: keep it as long as the key, and never put an older copy back
key = {_quoted(settings.key)}  # private: copy it nowhere where a second witness could run from it
# The keys of the logs that it watches, as their operators publish them.
logs = [
{logs}]
"""


def _quoted(text: str) -> str:
    """A TOML basic string. JSON escapes the same characters in the same way, but for DEL."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def create(path: Path, settings: WitnessSettings, clock: Clock) -> Signer:
    """Writes a fresh settings file, with its key and an empty memory. Raises Malformed when one of them is there already."""
    text = render(settings)
    whole = msgspec.structs.replace(settings, data=str(path.parent / settings.data), key=str(path.parent / settings.key))
    for taken in (path, Path(whole.key)):
        if taken.exists():
            raise Malformed(str(taken), "is already there: nothing is written over")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return signer_of(whole, clock)
    except BaseException:
        path.unlink()
        raise


def signer_of(settings: WitnessSettings, clock: Clock) -> Signer:
    """The witness's key; where there is none yet, an empty memory and then a key, so that no key is ever without its memory.

    Raises Malformed for a file that is no key or that others can read, Unavailable when it cannot be read or written.
    """
    path = Path(settings.key)
    try:
        if not path.exists():
            remember(Path(settings.data))
            _make_key(path, clock)
        mode, seed = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise Unavailable(f"the key {path} cannot be used: {error.strerror}") from error
    if mode & 0o077:
        raise Malformed("key", f"others can read {path}: chmod 600 {path}")
    if len(seed) != KEY_SIZE:
        raise Malformed("key", f"{path} is not a key: {KEY_SIZE} bytes")
    return Signer(settings.name, SigningKey(seed), COSIGNATURE_ALGORITHM)


def _make_key(path: Path, clock: Clock) -> None:
    """A new key, whole or not at all, and on the disk before anybody hears of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(clock.random_bytes(KEY_SIZE))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # unlike a rename it never takes the place of a key that another process has just made
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
