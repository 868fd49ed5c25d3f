"""Whom to believe: the logs, the witnesses and the quorum of a policy file. Source: C2SP tlog-policy (C2SP/C2SP@5ba5ee8)."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field

from counterfoil_verify.note import COSIGNER, LOG, Key, Note, from_base64
from counterfoil_verify.report import Refuted, Unchecked

KEYWORDS = ("all", "any", "none")
CLOCK_SPREAD_S = 300
"""Cosignatures of one head that lie further apart are reported."""


@dataclass(frozen=True)
class Head:
    """A checkpoint with those who signed it.

    Attributes:
        times: seconds, by the policy's name of each witness whose cosignature fits.
        known_by: the time by which a quorum had seen it. known_at: the latest time at which a quorum (still) signed it.
            Both hold whatever the clocks of the others say; None under a policy without witnesses.
        strangers: names in signature lines that no key of the policy fits.
    """

    origin: str
    size: int
    root: bytes
    log: Key
    times: dict[str, int]
    known_by: int | None
    known_at: int | None
    strangers: list[str]
    note: bytes


@dataclass
class Policy:
    logs: list[Key] = field(default_factory=list)
    witnesses: dict[str, Key] = field(default_factory=dict)
    groups: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    quorum: str = ""
    source: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """Unchecked, naming the line, when `data` is not a policy: without one nothing can be checked."""
        policy, used = cls(source=data), set[str]()
        if re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data):
            raise Unchecked("the policy has control characters")
        for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
            words = [word for word in re.split(r"[ \t]+", line) if word]
            if words and not words[0].startswith("#"):
                try:
                    policy._line(words, used)
                except (Refuted, ValueError) as problem:
                    raise Unchecked(f"line {number} of the policy: {problem}") from None
        if not policy.quorum:
            raise Unchecked("the policy has no quorum line")
        return policy

    def _line(self, words: list[str], used: set[str]) -> None:
        kind, count = words[0], len(words)
        if kind == "log" and count in (2, 3):
            self.logs.append(self._key(words[1], LOG, self.logs))
        elif kind == "witness" and count in (3, 4):
            key = self._key(words[2], COSIGNER, list(self.witnesses.values()))
            self.witnesses[self._new(words[1])] = key
        elif kind == "group" and count >= 4:
            members = words[3:]
            if used & set(members) or len(set(members)) < len(members) or any(not self._defined(name) for name in members):
                raise ValueError("a member of the group is not defined, or is a member already")
            if not re.fullmatch(r"all|any|[1-9][0-9]{0,8}", words[2], re.ASCII):
                raise ValueError("the threshold must be all, any or a number")
            needed = {"all": len(members), "any": 1}.get(words[2]) or int(words[2])
            if needed > len(members):
                raise ValueError("the threshold is above the number of members")
            used.update(members)
            self.groups[self._new(words[1])] = (needed, members)
        elif kind == "quorum" and count == 2 and not self.quorum:
            if words[1] != "none" and not self._defined(words[1]):
                raise ValueError(f"{words[1]} is not defined")
            self.quorum = words[1]
        else:
            raise ValueError("is not a log, witness, group or (one) quorum line")

    @staticmethod
    def _key(text: str, type: int, others: list[Key]) -> Key:
        key = Key.parse(text)
        if key.type != type or key.public in [other.public for other in others]:
            raise ValueError("the key is of the wrong type, or listed twice")
        return key

    def _defined(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def _new(self, name: str) -> str:
        if name in KEYWORDS or self._defined(name):
            raise ValueError(f"the name {name} is taken")
        return name

    def satisfied(self, names: Set[str], goal: str = "") -> bool:
        """Whether these witnesses are a quorum."""
        goal = goal or self.quorum
        if goal in self.groups:
            needed, members = self.groups[goal]
            return sum(self.satisfied(names, member) for member in members) >= needed
        return goal == "none" or goal in names

    def head(self, data: bytes, *, quorum: bool = True) -> Head:
        """The checkpoint in `data`, signed by a log of the policy and (`quorum`) cosigned by a quorum; else Refuted."""
        note = Note.parse(data)
        lines = note.text.decode().split("\n")
        if len(lines) != 4 or lines[3] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII):
            raise Refuted("a checkpoint must be origin, size and root, and nothing else")
        origin, size, root = lines[0], int(lines[1]), from_base64(lines[2], "the root of a checkpoint")
        if len(root) != 32 or not origin:
            raise Refuted("a checkpoint must have an origin and a root of 32 bytes")
        log = next((key for key in self.logs if key.name == origin), None)
        if log is None:
            raise Refuted(f"the checkpoint is of {origin!r}: no log of the policy has this origin")
        keys = {key: name for name, key in self.witnesses.items()}
        found = note.verified([log, *keys])
        if log not in found:
            raise Refuted(f"the checkpoint is not signed by the key that the policy has for {origin}")
        times = {keys[key]: time for key, time in found.items() if key in keys}
        if quorum and not self.satisfied(times.keys()):
            raise Refuted(f"no quorum: only {', '.join(times) or 'nobody'} of the witnesses cosigned, and the policy wants {self.quorum}")
        known = {(key.name, key.id) for key in (log, *keys)}
        by = (time for time in sorted(times.values()) if self.satisfied({name for name in times if times[name] <= time}))
        at = (time for time in sorted(times.values(), reverse=True) if self.satisfied({name for name in times if times[name] >= time}))
        strangers = [name for name, ident, _ in note.signatures if (name, ident) not in known]
        return Head(origin, size, root, log, times, next(by, None), next(at, None), strangers, data)


def odd_clocks(head: Head) -> str | None:
    """A sentence about witnesses whose clocks disagree by more than CLOCK_SPREAD_S."""
    if not head.times or max(head.times.values()) - min(head.times.values()) <= CLOCK_SPREAD_S:
        return None
    middle = sorted(head.times.values())[len(head.times) // 2]
    odd = [f"{name} by {time - middle:+d} s" for name, time in head.times.items() if abs(time - middle) > CLOCK_SPREAD_S]
    return f"clocks of witnesses are wrong at size {head.size}: {', '.join(odd) or 'all disagree'}"
