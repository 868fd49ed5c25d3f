"""The policy: which logs and witnesses somebody trusts, and how many witnesses make a checkpoint count. Pure apart from crypto.

    log <vkey> [<url>]                          Ed25519 (0x01); the key's name is the log's origin
    witness <name> <vkey> [<url>]               Ed25519 cosignature (0x04)
    group <name> all|any|<k> <member>...        members are witnesses and groups of earlier lines, each in one group only
    quorum <name>|none                          exactly one

Source: C2SP tlog-policy v1; names `all` and `any` are refused besides `none`, as other implementations do.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.keys import COSIGNATURE, ED25519, VerifierKey
from counterfoil.tlog.note import Note
from counterfoil.tlog.text import parse_decimal
from counterfoil.tlog.types import NotProven

POLICY_SIZE_MAX = 64 * 1024
"""Characters of a policy."""
LINES_MAX = 1_000
NONE = "none"
_KEYWORDS = frozenset({NONE, "all", "any"})


class PolicyLog(msgspec.Struct, frozen=True):
    """A log that is trusted to sign; `url` may be empty."""

    key: VerifierKey
    url: str


class PolicyWitness(msgspec.Struct, frozen=True):
    """A witness, under the policy's own name for it; `url` is its submission prefix and may be empty."""

    name: str
    key: VerifierKey
    url: str


class Group(msgspec.Struct, frozen=True):
    """Counts as having witnessed when `threshold` of its `members` (witnesses and groups) have."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Quorum(msgspec.Struct, frozen=True):
    """What a note has been shown to be: `checkpoint`, signed by `log`, cosigned by the witnesses of `times` (name -> seconds)."""

    checkpoint: Checkpoint
    log: VerifierKey
    times: dict[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """The policy's names of the witnesses that cosigned, in the policy's order."""
        return tuple(self.times)


class Policy(msgspec.Struct, frozen=True):
    """A parsed policy. Names are the policy's own; keys carry their key names."""

    logs: tuple[PolicyLog, ...]
    witnesses: dict[str, PolicyWitness]
    groups: dict[str, Group]
    quorum: str

    @classmethod
    def parse(cls, text: str) -> Policy:
        """The policy in `text`; Malformed, naming the line, for anything else."""
        return _Parser().parse(text)

    def satisfied(self, note: Note) -> Quorum:
        """What `note` proves under this policy: signed by a listed log of its origin, cosigned by a quorum.

        NotProven when the log is not listed, has not signed, or the quorum is not reached. Malformed when the note is not a
        checkpoint, or when the signature of a known log or of any known witness in it is wrong.
        """
        checkpoint = Checkpoint.parse(note.text)
        logs = [log.key for log in self.logs if log.key.name == checkpoint.origin]
        if not logs:
            raise NotProven(f"the policy does not list the log {checkpoint.origin}")
        by_key = {witness.key: name for name, witness in self.witnesses.items()}
        signed = dict(note.verified_by([*logs, *by_key]))
        signers = [key for key in logs if key in signed]
        if not signers:
            raise NotProven(f"the log {checkpoint.origin} has not signed this checkpoint")
        times = {name: int.from_bytes(signed[key].signature[:8]) for key, name in by_key.items() if key in signed}
        if not self.reached_by(times.keys()):
            who = ", ".join(times) or "nobody"
            raise NotProven(f"the quorum {self.quorum} is not reached: cosigned by {who}")
        return Quorum(checkpoint, signers[0], times)

    def reached_by(self, names: AbstractSet[str]) -> bool:
        """Whether the witnesses `names` make the quorum."""
        return self.quorum == NONE or self._witnessed(self.quorum, names)

    def _witnessed(self, name: str, names: AbstractSet[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in names
        return sum(self._witnessed(member, names) for member in group.members) >= group.threshold


class _Parser:
    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: dict[str, PolicyWitness] = {}
        self.groups: dict[str, Group] = {}
        self.members: set[str] = set()
        self.quorum: str | None = None

    def parse(self, text: str) -> Policy:
        if len(text) > POLICY_SIZE_MAX:
            raise Malformed("policy", f"must be at most {POLICY_SIZE_MAX} characters")
        if any((ord(each) < 0x20 and each not in "\t\n") or each == "\x7f" for each in text):
            raise Malformed("policy", "must not contain control characters other than tab and newline")
        lines = text.split("\n")
        if lines.pop():
            raise Malformed("policy", "must end with a newline")
        if len(lines) > LINES_MAX:
            raise Malformed("policy", f"must be at most {LINES_MAX} lines")
        for number, line in enumerate(lines, 1):
            words = [word for word in line.replace("\t", " ").split(" ") if word]
            if words and not words[0].startswith("#"):
                try:
                    self.line(words)
                except Malformed as error:
                    raise Malformed(f"policy line {number}", error.detail) from None
        if self.quorum is None:
            raise Malformed("policy", "must have a quorum line")
        return Policy(tuple(self.logs), self.witnesses, self.groups, self.quorum)

    def line(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self.log(_key(vkey, ED25519), "".join(url))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self.witness(name, _key(vkey, COSIGNATURE), "".join(url))
            case ["group", name, threshold, _, *_]:
                self.group(name, threshold, tuple(words[3:]))
            case ["quorum", name]:
                self.quorum_line(name)
            case _:
                raise Malformed("line", "must be a log, witness, group or quorum line in the form of C2SP tlog-policy")

    def log(self, key: VerifierKey, url: str) -> None:
        if any(log.key.public_key == key.public_key for log in self.logs):
            raise Malformed("log", "this public key is already listed")
        self.logs.append(PolicyLog(key, url))

    def witness(self, name: str, key: VerifierKey, url: str) -> None:
        self.check_new(name)
        if any(witness.key.public_key == key.public_key for witness in self.witnesses.values()):
            raise Malformed("witness", "this public key is already listed")
        self.witnesses[name] = PolicyWitness(name, key, url)

    def group(self, name: str, threshold: str, members: tuple[str, ...]) -> None:
        self.check_new(name)
        for member in members:
            self.check_known(member)
            if member in self.members:
                raise Malformed("group", f"{member} is already a member")
            self.members.add(member)
        needed = {"all": len(members), "any": 1}.get(threshold) or parse_decimal(threshold, "group threshold")
        if not 1 <= needed <= len(members):
            raise Malformed("group threshold", f"must be 1 to {len(members)}, the number of members")
        self.groups[name] = Group(name, needed, members)

    def quorum_line(self, name: str) -> None:
        if self.quorum is not None:
            raise Malformed("quorum", "must be given once")
        if name != NONE:
            self.check_known(name)
        self.quorum = name

    def check_new(self, name: str) -> None:
        if name in _KEYWORDS:
            raise Malformed("name", f"{name} has a meaning of its own")
        if name in self.witnesses or name in self.groups:
            raise Malformed("name", f"{name} is already defined")

    def check_known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise Malformed("name", f"{name} is not defined on an earlier line")


def _key(vkey: str, algorithm: int) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.algorithm != algorithm:
        raise Malformed("vkey.algorithm", f"must be {algorithm} here")
    return key
