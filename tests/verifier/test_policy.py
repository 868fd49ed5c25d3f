"""Policies: their grammar, their quorums, and what heads they let pass."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from counterfoil_verify.policy import Policy, odd_clocks
from counterfoil_verify.report import Refuted, Unchecked
from tests.verifier.maker import LOG, ORIGIN, POLICY, WITNESSES, Maker, Signer


def translated(text: str) -> str:
    """Sigsum's own syntax has bare keys in hex; C2SP wants vkeys. Each name gets a key of its own, the same key the same."""
    lines = []
    for line in text.split("\n"):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words[:1] == ["log"] and len(words) > 1:
            words[1] = Signer("log" + words[1][:8], 1, words[1]).vkey if len(words[1]) == 64 else words[1]
        if words[:1] == ["witness"] and len(words) > 2:
            words[2] = Signer("w" + words[2][:8], 4, words[2]).vkey if len(words[2]) == 64 else words[2]
        lines.append(" ".join(words))
    return "\n".join(lines)


def test_quorums_of_sigsum(trust: Path) -> None:
    given, asked = json.loads((trust / "sigsum-go/policy.json").read_text()), 0
    for case in given["valid"]:
        policy = Policy.parse(translated(case["policy"]).encode())
        assert (len(policy.logs), len(policy.witnesses)) == (case["logs"], case["witnesses"])
        for question in case["quorum_cases"]:
            assert policy.satisfied(set(question["witnesses"])) == question["sufficient"], question
            asked += 1
    assert asked == 23


def test_policies_of_others_that_are_none(trust: Path) -> None:
    wrong = [case["policy"] for case in json.loads((trust / "sigsum-go/policy.json").read_text())["invalid"]]
    others = json.loads((trust / "transparency-dev-formats/policy.json").read_text())
    wrong += [case["policy"] for case in others["reject"]] + [case["policy"] for case in others["accept"]]
    assert len(wrong) == 13 + 6 + 5
    for text in wrong:
        with pytest.raises(Unchecked):
            Policy.parse(translated(text).encode())


W = [f"witness w{n} {witness.vkey}" for n, witness in enumerate(WITNESSES)]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "no quorum"),
        ([*W, "quorum w0", "quorum w1"], "line 7"),
        ([W[0], "group g 2 w0", "quorum g"], "threshold"),
        ([W[0], "group g 0 w0", "quorum g"], "threshold"),
        ([W[0], "group g any w0 w0", "quorum g"], "member"),
        ([*W, "group g any w0", "group k any w0 w1", "quorum k"], "member"),
        ([*W, "group none any w0", "quorum w0"], "taken"),
        ([W[0].replace("w0", "g"), W[0], "quorum g"], "twice"),
        ([f"log {WITNESSES[0].vkey}", "quorum none"], "type"),
        ([f"witness w {LOG.vkey}", "quorum w"], "type"),
        ([W[0] + " u extra", "quorum w0"], "line 1"),
        (["quorum none\r"], "control"),
        (["witness w a+00000000+" + "A" * 44, "quorum w"], "line 1"),
    ],
)
def test_a_wrong_policy_is_named_with_its_line(lines: list[str], why: str) -> None:
    with pytest.raises(Unchecked, match=why):
        Policy.parse("\n".join(lines).encode())


def test_names_are_octets_and_white_space_is_free() -> None:
    key = WITNESSES[0].vkey.encode()
    policy = Policy.parse(
        b"  # note\n\twitness  \xe2\x84\xaa\t" + key + b"  \n witness K " + WITNESSES[1].vkey.encode() + b"\nquorum K\n\n"
    )
    assert not policy.satisfied({b"\xe2\x84\xaa".decode()})
    assert policy.satisfied({"K"})


policy = Policy.parse(POLICY.encode())


def test_four_of_five_are_enough_and_three_are_not() -> None:
    maker = Maker()
    assert policy.head(maker.head(1, witnesses=WITNESSES[:4])).times.keys() == {"w1", "w2", "w3", "w4"}
    with pytest.raises(Refuted, match="no quorum: only w1, w2, w3"):
        policy.head(maker.head(1, witnesses=WITNESSES[:3]))


def test_a_witness_cannot_count_twice_and_a_stranger_not_at_all() -> None:
    maker = Maker()
    with pytest.raises(Refuted, match="no quorum"):
        policy.head(maker.head(1, witnesses=[*WITNESSES[:3], WITNESSES[0]]))
    with pytest.raises(Refuted, match="no quorum"):
        policy.head(maker.head(1, witnesses=[*WITNESSES[:3], Signer("witness4.example", 4, "another")]))
    assert policy.head(maker.head(1, witnesses=[*WITNESSES, Signer("auditor", 4)])).strangers == ["auditor"]


def test_wrong_origin_wrong_key_and_no_log_signature() -> None:
    with pytest.raises(Refuted, match="not signed by the key that the policy has"):
        policy.head(Maker(log=Signer(ORIGIN, 1, "another")).head(1))
    note = Maker().head(1)
    with pytest.raises(Refuted, match="not signed by the key"):
        policy.head(b"\n".join(line for line in note.split(b"\n") if not line.startswith(f"— {ORIGIN} ".encode())))
    text = note.split(b"\n\n")[0].replace(ORIGIN.encode(), b"log.example.org/other") + b"\n"
    with pytest.raises(Refuted, match="no log of the policy has this origin"):
        policy.head(text + b"\n" + LOG.line(text).encode())


@pytest.mark.parametrize("extra", [b"extension\n", b" ", b"\n"])
def test_a_checkpoint_has_three_lines_and_nothing_else(extra: bytes) -> None:
    text = Maker().head(1).split(b"\n\n")[0] + b"\n" + extra
    signed = text + b"\n" + (LOG.line(text) + "".join(w.line(text, 5) for w in WITNESSES)).encode()
    with pytest.raises(Refuted):
        policy.head(signed)


def test_clocks_that_are_wrong_by_hours_are_named_and_move_no_time() -> None:
    head = policy.head(Maker().head(1, 1_800_000_000, clocks={1: 7_200}))
    assert odd_clocks(head) == "clocks of witnesses are wrong at size 1: w2 by +7198 s"
    assert head.known_by == 1_800_000_004
    assert head.known_at == 1_800_000_002
    early = policy.head(Maker().head(1, 1_800_000_000, clocks={0: -86_400}))
    assert early.known_by == 1_800_000_003
    assert early.known_at == 1_800_000_001
    assert odd_clocks(policy.head(Maker().head(1))) is None
