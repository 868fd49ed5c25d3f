"""What tests of the log share: keys, entries with and without public parts, and a log that lived a little."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from nacl.signing import SigningKey

from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.entry import EntryType, Role, Views, encode_entry
from counterfoil.tlog.files import no_step
from counterfoil.tlog.keys import COSIGNATURE, Signature, Signer
from counterfoil.tlog.log import Log
from counterfoil.tlog.note import Note

ORIGIN = "example.org/log"
LOG_KEY = SigningKey(bytes(32))
WITNESSES = [Signer(f"example.org/w{number}", SigningKey(bytes([number]) * 32), COSIGNATURE) for number in (1, 2)]
MIDNIGHT_S = 1_790_294_400
"""2026-09-25T00:00:00Z."""


class RecordingSigner(Signer):
    """The log's key; remembers every checkpoint that it ever signed."""

    def __init__(self) -> None:
        super().__init__(ORIGIN, LOG_KEY)
        self.signed: list[Checkpoint] = []

    def sign(self, text: bytes) -> Signature:
        self.signed.append(Checkpoint.parse(text))
        return super().sign(text)


SIGNER = Signer(ORIGIN, LOG_KEY)
POLICY = (
    f"log {SIGNER.vkey}\n"
    + "".join(f"witness w{n} {each.vkey}\n" for n, each in enumerate(WITNESSES))
    + "group both all w0 w1\nquorum both\n"
)


def is_public(index: int) -> bool:
    """Which entries have a public part: a few of the first, then every hundredth."""
    return index % (5 if index < 20 else 100) == 0


@cache
def views(index: int, flavour: bytes = b"") -> tuple[EntryType, Views]:
    """Entry `index`: a rules entry with a public part, or a transfer."""
    if is_public(index):
        return EntryType.RULES, Views.of(bytes(32), index, public=b'{"rule":%d}' % index + flavour)
    return EntryType.TRANSFER, Views.of(bytes(32), index, payer=b"a", payee=b"b", audit=b"c" + flavour)


@cache
def entry(index: int, flavour: bytes = b"") -> bytes:
    kind, found = views(index, flavour)
    return encode_entry(kind, found.commitment())


def append(log: Log, size: int, flavour: bytes = b"") -> None:
    """Appends what is missing up to `size`."""
    indexes = range(log.appended, size)
    public = {index: views(index, flavour)[1].opening(EntryType.RULES, Role.PUBLIC).encode() for index in indexes if is_public(index)}
    assert log.append([entry(index, flavour) for index in indexes], public) == indexes


def witnessed(note: Note, time_s: int) -> Note:
    return note.with_signatures(cosign(note.text, witness, time_s) for witness in WITNESSES)


def head_note(log: Log) -> Note:
    text = log.head.text()
    return Note(text, (SIGNER.sign(text),))


def make(folder: Path, *sizes: int, on_step: Callable[[str], None] = no_step) -> None:
    """A log published and witnessed at each of `sizes`, the last two on two days."""
    with Log.open(folder, SIGNER, on_step=on_step) as log:
        log.keep_policy(POLICY)
        for number, size in enumerate(sizes):
            append(log, size)
            log.publish()
            log.keep_witnessed(witnessed(head_note(log), MIDNIGHT_S - 10 * (len(sizes) - 1 - number)))


def tree(folder: Path) -> dict[str, bytes]:
    """Every published file and the head, by path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "tidied"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
