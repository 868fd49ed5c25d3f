"""What an auditor's word is worth: only a head of this log, under a key that the policy names for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from counterfoil.assurance.audits import Audited, Audits, auditors, verify
from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.keys import COSIGNATURE, Signer
from counterfoil.tlog.note import Note
from counterfoil.tlog.policy import Policy

ORIGIN = "audited.example/log"
LOG = Signer(ORIGIN, SigningKey(b"l" * 32))
WITNESS = Signer("witness.example/w", SigningKey(b"w" * 32), COSIGNATURE)
AUDITOR = Signer("auditor.example/a", SigningKey(b"a" * 32), COSIGNATURE)
POLICY = Policy.parse(f"log {LOG.vkey}\nwitness w {WITNESS.vkey} http://127.0.0.1:1\nwitness a {AUDITOR.vkey}\ngroup g 1 w\nquorum g\n")
HEAD = Checkpoint(ORIGIN, 7, b"r" * 32)


def is_head(size: int, root: bytes) -> bool:
    return (size, root) == (7, b"r" * 32)


def word(head: Checkpoint = HEAD, signer: Signer = AUDITOR) -> bytes:
    return Note(head.text(), (cosign(head.text(), signer, 1_795_000_000),)).encode()


def test_an_auditor_is_a_witness_that_no_quorum_counts() -> None:
    assert [auditor.key.name for auditor in auditors(POLICY)] == ["auditor.example/a"]
    alone = Policy.parse(f"log {LOG.vkey}\nwitness w {WITNESS.vkey}\nquorum w\n")
    assert auditors(alone) == []


def test_a_cosigned_head_of_the_log_is_the_auditors_word() -> None:
    assert verify(word(), POLICY, is_head) == Audited(7, 1_795_000_000 * 10**9, "auditor.example/a")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (word(Checkpoint(ORIGIN, 8, b"r" * 32)), "no head"),
        (word(Checkpoint(ORIGIN, 7, b"s" * 32)), "no head"),
        (word(Checkpoint("other.example/log", 7, b"r" * 32)), "no head"),
        (word(signer=WITNESS), "no auditor"),
        (word(signer=Signer("auditor.example/a", SigningKey(b"x" * 32), COSIGNATURE)), "no auditor"),
        (b"nonsense", "empty line"),
    ],
)
def test_anything_else_is_not(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        verify(data, POLICY, is_head)


def test_every_changed_byte_is_noticed() -> None:
    data = word()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(Malformed):
            verify(bytes(changed), POLICY, is_head)


def test_the_file_is_looked_at_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "audited"
    audits = Audits(path, POLICY, is_head)
    assert audits.newest() is None
    path.write_bytes(word())
    assert audits.newest() == audits.newest() == Audited(7, 1_795_000_000 * 10**9, "auditor.example/a")
    path.write_bytes(b"nonsense")
    os.utime(path, ns=(1, 1))
    assert audits.newest() is None
    path.unlink()
    assert audits.newest() is None
