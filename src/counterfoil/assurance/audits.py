"""The auditors' newest word: a head of this log, cosigned "audited to size N" under a key that the policy names.

An auditor's key stands in the policy as a witness without a URL, and in no group: it is asked for nothing, and counts for no
quorum. What the word means, the auditor's own program has decided (`counterfoil-verify audit`).
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from counterfoil.clock import NANOSECONDS
from counterfoil.errors import Malformed
from counterfoil.tlog import cosignature
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.known import IsHead
from counterfoil.tlog.note import NOTE_SIZE_MAX, Note
from counterfoil.tlog.policy import Policy, PolicyWitness


class Audited(msgspec.Struct, frozen=True):
    """An auditor's word: all rules held in every entry below `size`. `at` ns since 1970; `name` of the auditor's key."""

    size: int
    at: int
    name: str


def auditors(policy: Policy) -> list[PolicyWitness]:
    """Witnesses of the policy that no group and no quorum counts."""
    counted = {member for group in policy.groups.values() for member in group.members} | {policy.quorum}
    return [witness for name, witness in policy.witnesses.items() if name not in counted]


def verify(data: bytes, policy: Policy, is_head: IsHead) -> Audited:
    """What `data`, a cosigned head, says. Malformed when it is no head of this log, or no auditor of the policy has signed it."""
    if len(data) > NOTE_SIZE_MAX:
        raise Malformed("audited", f"must be at most {NOTE_SIZE_MAX} bytes")
    note = Note.parse(data)
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin not in {log.key.name for log in policy.logs} or not is_head(checkpoint.size, checkpoint.root):
        raise Malformed("audited", "is no head of this log")
    for auditor in auditors(policy):
        for signature in note.signatures:
            if auditor.key.matches(signature):
                time_s = cosignature.verify(auditor.key, note.text, signature)
                return Audited(checkpoint.size, time_s * NANOSECONDS, auditor.key.name)
    raise Malformed("audited", "is signed by no auditor of the policy: a witness line with the key, in no group, makes one")


class Audits:
    """The word in the file at `path`, looked at again whenever the file has changed."""

    def __init__(self, path: Path, policy: Policy, is_head: IsHead) -> None:
        self._path = path
        self._policy = policy
        self._is_head = is_head
        self._seen: tuple[int, int] | None = None
        self._newest: Audited | None = None

    def newest(self) -> Audited | None:
        """None while there is none, and for a file that does not verify."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        seen = status.st_mtime_ns, status.st_ino
        if seen != self._seen:
            try:
                self._newest = verify(self._path.read_bytes(), self._policy, self._is_head)
            except (Malformed, OSError):
                self._newest = None
            self._seen = seen
        return self._newest
