"""Policies: Sigsum's and transparency-dev's tables translated to C2SP's syntax, and who counts toward a quorum."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint, sign
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.note import COSIGNATURE, ED25519, Note, Signature, Signer, VerifierKey
from counterfoil.tlog.policy import Policy, PolicyWitness
from counterfoil.tlog.types import NotProven

LOG = Signer("example.org/log", SigningKey(bytes(32)))
WITNESSES = {f"w{number}": Signer(f"example.org/w{number}", SigningKey(bytes([number]) * 32), COSIGNATURE) for number in range(1, 6)}
TEXT = (
    f"log {LOG.vkey} https://log.example.org/\n"
    + "".join(f"witness {name} {signer.vkey} http://{name}.example.org/\n" for name, signer in WITNESSES.items())
    + "group four 4 w1 w2 w3 w4 w5\nquorum four\n"
)
POLICY = Policy.parse(TEXT)
HEAD = sign(Checkpoint("example.org/log", 10, bytes(range(32))), LOG)


def cosigned(*names: str, note: Note = HEAD) -> Note:
    return note.with_signatures(cosign(note.text, WITNESSES[name], 1_000 + number) for number, name in enumerate(names))


def translated(policy: str) -> str:
    """Sigsum's bare hex keys as vkeys of real points, the same for the same."""

    def vkey(match: re.Match[str]) -> str:
        signer = SigningKey(hashlib.sha256(match[0].encode()).digest())
        line = policy[policy.rfind("\n", 0, match.start()) + 1 : match.start()].split()
        return str(VerifierKey.of("a.example", bytes(signer.verify_key), ED25519 if line[0] == "log" else COSIGNATURE))

    return re.sub(r"\b[0-9a-f]{64}\b", vkey, policy)


def test_quorums_agree_with_sigsum(trust: Path) -> None:
    vectors = json.loads((trust / "sigsum-go/policy.json").read_text())
    questions = 0
    for case in vectors["valid"]:
        policy = Policy.parse(translated(case["policy"]))
        if "logs" in case:
            assert (len(policy.logs), len(policy.witnesses)) == (case["logs"], case["witnesses"])
        for question in case["quorum_cases"]:
            assert policy.reached_by(set(question["witnesses"])) == question["sufficient"], question
            questions += 1
    assert (len(vectors["valid"]), questions) == (2, 23)


def test_what_sigsum_refuses_is_refused(trust: Path) -> None:
    vectors = json.loads((trust / "sigsum-go/policy.json").read_text())
    assert len(vectors["invalid"]) == 13
    for case in vectors["invalid"]:
        with pytest.raises(Malformed):
            Policy.parse(translated(case["policy"]))
        if case["why"] != "no quorum" and "quorum" not in case["policy"]:
            with pytest.raises(Malformed):  # and not only for the missing quorum
                Policy.parse(translated(case["policy"]) + "quorum none\n")


def test_what_transparency_dev_refuses_is_refused_and_what_it_takes_loosely_too(trust: Path) -> None:
    vectors = json.loads((trust / "transparency-dev-formats/policy.json").read_text())
    assert (len(vectors["accept"]), len(vectors["reject"])) == (5, 6)
    for case in vectors["accept"] + vectors["reject"]:
        with pytest.raises(Malformed):
            Policy.parse(case["policy"])
    for case in vectors["reject"]:  # and not only for the type of its keys or a missing newline
        with pytest.raises(Malformed):
            Policy.parse(as_cosigners(case["policy"]) + "\n")


def test_thresholds_agree_with_transparency_dev(trust: Path) -> None:
    """Its policies as C2SP wants them: witnesses' keys of the cosigner's type, each key once, comments on lines of their own."""
    for case in json.loads((trust / "transparency-dev-formats/policy.json").read_text())["accept"]:
        policy = Policy.parse(as_cosigners(re.sub(r"#[^\n]*", "", case["policy"])))
        assert policy.groups["g1"].threshold == case["top_group_threshold"]


def as_cosigners(policy: str) -> str:
    def line(match: re.Match[str]) -> str:
        key = SigningKey(hashlib.sha256(match["name"].encode()).digest())
        return f"witness {match['name']} {VerifierKey.of('a.example', bytes(key.verify_key), COSIGNATURE)}"

    return re.sub(r"witness\s+(?P<name>\S+)\s+(\S+)", line, policy)


def test_a_policy_is_read_whole() -> None:
    assert POLICY.logs[0].key == LOG.vkey
    assert POLICY.logs[0].url == "https://log.example.org/"
    assert POLICY.witnesses["w3"] == PolicyWitness("w3", WITNESSES["w3"].vkey, "http://w3.example.org/")
    assert (POLICY.groups["four"].threshold, POLICY.groups["four"].members) == (4, ("w1", "w2", "w3", "w4", "w5"))
    spaced = TEXT.replace(" ", " \t ").replace("\n", " \n\t\n # a comment\n")
    assert Policy.parse(spaced) == POLICY


def test_four_of_five_make_the_quorum_whoever_they_are() -> None:
    for count in range(6):
        for names in itertools.permutations(WITNESSES, count) if count < 3 else itertools.combinations(WITNESSES, count):
            if count >= 4:
                quorum = POLICY.satisfied(cosigned(*names))
                assert (quorum.names, quorum.log, quorum.checkpoint.size) == (names, LOG.vkey, 10)
                assert quorum.times == {name: 1_000 + number for number, name in enumerate(names)}
            else:
                with pytest.raises(NotProven, match="quorum"):
                    POLICY.satisfied(cosigned(*names))


def test_a_witness_counts_once_however_often_it_signs() -> None:
    with pytest.raises(NotProven):
        POLICY.satisfied(cosigned("w1", "w1", "w1", "w2", "w3"))


def test_cosignatures_without_the_log_prove_nothing() -> None:
    note = cosigned(*WITNESSES)
    with pytest.raises(NotProven, match="has not signed"):
        POLICY.satisfied(Note(note.text, note.signatures[1:]))


def test_a_log_that_is_not_listed_proves_nothing() -> None:
    text = Checkpoint("example.org/other", 10, bytes(32)).text()
    with pytest.raises(NotProven, match="does not list"):
        POLICY.satisfied(cosigned(*WITNESSES, note=Note(text, (LOG.sign(text),))))


def test_a_wrong_cosignature_spoils_the_note_though_four_are_right() -> None:
    key = WITNESSES["w5"].vkey
    note = cosigned("w1", "w2", "w3", "w4").with_signatures([Signature(key.name, key.key_id, bytes(72))])
    with pytest.raises(Malformed):
        POLICY.satisfied(note)


def test_unknown_signers_do_not_count_and_do_not_harm() -> None:
    stranger = Signer("example.org/stranger", SigningKey(bytes([77]) * 32), COSIGNATURE)
    strange = cosign(HEAD.text, stranger, 1)
    with pytest.raises(NotProven):
        POLICY.satisfied(cosigned("w1", "w2", "w3").with_signatures([strange]))
    assert POLICY.satisfied(cosigned("w1", "w2", "w3", "w4").with_signatures([strange])).names == ("w1", "w2", "w3", "w4")


def test_a_policy_without_witnesses_asks_for_the_log_alone() -> None:
    policy = Policy.parse(f"log {LOG.vkey}\nquorum none\n")
    assert policy.satisfied(HEAD).names == ()
    with pytest.raises(NotProven):
        policy.satisfied(cosigned("w1", note=Note(HEAD.text, ())))


W1 = f"witness w1 {WITNESSES['w1'].vkey}\n"
W2 = f"witness w2 {WITNESSES['w2'].vkey}\n"
MALFORMED = {
    "nothing": "",
    "no newline at the end": TEXT[:-1],
    "carriage returns": TEXT.replace("\n", "\r\n"),
    "two quorums": TEXT + "quorum four\n",
    "quorum before its group": W1 + "quorum g\ngroup g all w1\n",
    "group without members": W1 + "group g 1\nquorum g\n",
    "threshold zero": W1 + "group g 0 w1\nquorum g\n",
    "threshold above members": W1 + "group g 2 w1\nquorum g\n",
    "threshold with a leading zero": W1 + "group g 01 w1\nquorum g\n",
    "threshold with a plus": W1 + "group g +1 w1\nquorum g\n",
    "group in itself": W1 + "group g 1 g\nquorum g\n",
    "group named as a witness": W1 + W2 + "group w1 1 w2\nquorum w1\n",
    "witness named none": W1.replace(" w1 ", " none ") + "quorum none\n",
    "log with a cosigner's key": f"log {WITNESSES['w1'].vkey}\nquorum none\n",
    "witness with a log's key": f"witness w1 {LOG.vkey}\nquorum w1\n",
    "one log under two names": f"log {LOG.vkey}\nlog {VerifierKey.of('b', LOG.vkey.public_key)}\nquorum none\n",
    "one witness under two names": W1 + f"witness w2 {VerifierKey.of('b', WITNESSES['w1'].vkey.public_key, COSIGNATURE)}\nquorum w1\n",
    "unknown keyword": TEXT + "mirror x\n",
    "capital keyword": W1 + "Quorum w1\n",
    "quorum with two names": W1 + W2 + "quorum w1 w2\n",
    "no-break space": W1 + "quorum\u00a0w1\n",
    "too large": "#" * 65_536 + "\n" + TEXT,
    "too many lines": "\n" * 1_001 + TEXT,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_policy_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        Policy.parse(MALFORMED[what])


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(Malformed, match=r"policy line 2: name: w9 is not defined"):
        Policy.parse(W1 + "quorum w9\n")
