"""Receipts: what a holder can prove by themselves, and every way in which one can be wrong."""

from __future__ import annotations

import base64
import itertools
import json
import struct
from pathlib import Path

import pytest

from counterfoil_verify.policy import Policy
from counterfoil_verify.receipt import _from_base45, _parse, check_receipt, open_receipt
from counterfoil_verify.report import Refuted, Report
from tests.verifier.maker import POLICY, WITNESSES, Maker, Signer, base45
from tests.verifier.town import Town

policy = Policy.parse(POLICY.encode())


@pytest.fixture(scope="module")
def town() -> Town:
    return Town().live()


def entries_of(town: Maker, account: bytes) -> list[tuple[int, int]]:
    """(index, role) of every payment that an account saw, in order."""
    return [
        (index, role)
        for index, entry in enumerate(town.entries)
        for role in (1, 2)
        if entry.type <= 3 and entry.payloads[role - 1][3:19] == account
    ]


def sentence(report: Report) -> str:
    assert report.exit_code == 1, report.text()
    assert json.loads(report.json())["fields"] == {}, "nothing of a false receipt may be taken for true"
    return report.refuted[0]


def test_both_forms_of_a_receipt_prove_the_same(town: Town) -> None:
    index, role = entries_of(town, town.amina.id)[1]
    text, packed = (check_receipt(data, policy) for data in (town.receipt(index, role), town.packed(index, role)))
    assert text.exit_code == 0
    assert text == packed
    assert text.fields["amount"] == 1_000
    assert text.fields["direction"] == "out"
    assert text.fields["account"] == town.amina.id.hex()
    assert text.fields["counterparty"] == town.bayo.id.hex()
    assert text.fields["balance"] == 39_000
    assert text.fields["index"] == index
    assert "no earlier receipt was given" in text.noticed[0]


def test_every_receipt_of_an_account_continues_the_one_before(town: Town) -> None:
    """All events: done, held, captured, released, expired, in and out, with fees of payer and payee."""
    continued, with_balance = 0, 0
    for account in (town.amina, town.bayo, town.shop, town.agent, town.bank):
        mine = entries_of(town, account.id)
        for (before, old_role), (index, role) in itertools.pairwise(mine):
            report = check_receipt(town.receipt(index, role), policy, town.receipt(before, old_role))
            assert report.exit_code == 0, report.text()
            continued += any("nothing was hidden" in each for each in report.proved)
            with_balance += any("the balance adds up" in each for each in report.proved)
    assert continued == with_balance > 30


@pytest.mark.parametrize("type", [4, 6, 10])
def test_receipts_of_keys_freezes_and_accounts_are_told_too(town: Town, type: int) -> None:
    index = [index for index, entry in enumerate(town.entries) if entry.type == type][-1]
    report = check_receipt(town.receipt(index), policy)
    assert report.exit_code == 0
    assert report.fields["entry"] == {4: "key", 6: "freeze", 10: "account"}[type]
    assert report.fields["seq"] > 0


@pytest.mark.parametrize("packed", [False, True])
def test_every_byte_of_a_receipt_counts(town: Town, packed: bool) -> None:
    index, role = entries_of(town, town.amina.id)[2]
    good = town.packed(index, role) if packed else town.receipt(index, role)
    before = check_receipt(good, policy)
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << at % 7
        after = check_receipt(bytes(changed), policy)
        named = set(after.fields.get("witnesses", {})) != set(before.fields["witnesses"])  # one cosignature is now nobody's
        assert after.exit_code == 1 or named, (at, good[max(at - 20, 0) : at + 20])
    for wrong in (good + b"x", good[:-1], good + good, good[: len(good) // 2], b""):
        assert check_receipt(wrong, policy).exit_code == 1


def test_an_opening_of_another_entry_is_not_in_the_log_there(town: Town) -> None:
    good, other = town.receipt(20).split(b"\n"), town.receipt(21).split(b"\n")
    good[1] = other[1]
    assert "does not lead to the root" in sentence(check_receipt(b"\n".join(good), policy))


def test_a_changed_amount_is_another_entry(town: Town) -> None:
    index, role = entries_of(town, town.amina.id)[2]
    entry = town.entries[index]
    payload = entry.payloads[role - 1]
    entry.payloads[role - 1] = payload[:84] + struct.pack(">Q", 999_999) + payload[92:]
    forged = town.entries[index].opening(role)
    entry.payloads[role - 1] = payload
    lines = town.receipt(index, role).split(b"\n")
    lines[1] = b"extra " + base64.b64encode(forged)
    assert "does not lead to the root" in sentence(check_receipt(b"\n".join(lines), policy))


def test_a_receipt_without_quorum_or_of_another_log(town: Town) -> None:
    size = len(town.entries)
    assert "no quorum" in sentence(check_receipt(town.receipt(20, note=town.head(size, witnesses=WITNESSES[:3])), policy))
    fork = Town(log=Signer("log.example.org/other", 1))
    assert sentence(check_receipt(fork.receipt(14), policy))


def test_colluding_witnesses_need_to_be_a_quorum(town: Town) -> None:
    """Two histories of one size: with three dishonest witnesses of five, two more have to sign either; with fewer, one has no quorum."""
    fork = Town().live()
    fork.entries = list(town.entries)
    fork.entries[-1] = Maker().entries[0]
    size = len(fork.entries)
    few = fork.receipt(10, note=fork.head(size, witnesses=WITNESSES[:3]))
    assert "no quorum" in sentence(check_receipt(few, policy))
    enough = fork.receipt(10, note=fork.head(size, witnesses=WITNESSES[:4]))
    assert check_receipt(enough, policy).exit_code == 0, "with a quorum of liars a fork passes, until two of its heads meet"
    report = check_receipt(town.receipt(14), policy, enough)
    assert "the log was forked" in sentence(report)


def test_a_hidden_debit_shows_as_a_gap_or_as_another_chain() -> None:
    town = Town()
    town.pay(1_000)
    before = len(town.entries) - 1
    kept = (town.amina.seq, town.amina.prev, town.amina.balance)
    town.pay(2_000)  # the holder is never told of this one
    town.pay(3_000)
    shown = check_receipt(town.receipt(before + 2), policy, town.receipt(before))
    assert shown.exit_code == 0
    assert any("entries between them were not shown" in each for each in shown.noticed)

    town.amina.seq, town.amina.prev, town.amina.balance = kept[0], kept[1], kept[2] - 2_000
    town.pay(3_000)  # numbered as if there had been none between
    hidden = check_receipt(town.receipt(len(town.entries) - 1), policy, town.receipt(before))
    assert "the balance does not add up" in sentence(hidden)
    town.amina.seq, town.amina.prev, town.amina.balance = kept[0], bytes(32), kept[2]
    town.pay(3_000)
    assert "continues another chain than yours" in sentence(
        check_receipt(town.receipt(len(town.entries) - 1), policy, town.receipt(before))
    )
    twice = check_receipt(town.receipt(len(town.entries) - 1), policy, town.receipt(before + 1))
    assert "do not stand in one chain" in sentence(twice)


def test_an_entry_dated_before_the_one_that_it_follows() -> None:
    town = Town()
    town.pay(1_000)
    town.tick(-5)
    town.pay(1_000)
    size = len(town.entries)
    assert "the time goes backwards" in sentence(check_receipt(town.receipt(size - 1), policy, town.receipt(size - 2)))


def test_what_was_not_checked_is_said(town: Town) -> None:
    mine, others = entries_of(town, town.amina.id), entries_of(town, town.shop.id)
    other = check_receipt(town.receipt(*mine[3]), policy, town.receipt(*next(each for each in others if each not in mine)))
    assert other.exit_code == 2
    newer = check_receipt(town.receipt(*mine[3]), policy, town.receipt(*mine[4]))
    assert any("given as earlier is not" in each for each in newer.noticed)
    bound = next(index for index, entry in enumerate(town.entries) if entry.type == 4 and entry.payloads[0][1:17] == town.amina.id)
    first = check_receipt(town.receipt(*mine[0]), policy, town.receipt(bound))
    assert any("nothing was hidden" in each for each in first.proved)
    assert any("has no balance" in each for each in first.noticed)


def test_wrong_clocks_are_told(town: Town) -> None:
    note = town.head(len(town.entries), clocks={2: 3 * 3_600})
    report = check_receipt(town.receipt(14, note=note), policy)
    assert report.exit_code == 0
    assert any("w3 by +10" in each for each in report.noticed)


def test_containers_of_others(trust: Path) -> None:
    """Their tails are no checkpoints: what they accept, we read up to there; what they refuse, we refuse for the container."""
    given = json.loads((trust / "transparency-dev-formats/tlog-proof.json").read_text())
    for case in given["accept"]:
        if "extra_b64" not in case:
            continue  # a receipt of ours always opens something
        extra, index, hashes, note = _parse(case["text"].encode())
        assert (index, len(hashes), note.decode()) == (case["index"], len(case["hashes_b64"]), case["tail"])
        assert extra == base64.b64decode(case["extra_b64"])
    for case in given["reject"]:
        with pytest.raises(Refuted):
            open_receipt(case["text"].encode(), policy)


@pytest.mark.parametrize(
    "text", [b"", b"0", b"G", b"::::", b":::", b"GGX", base45(b"\2" + bytes(200)), base45(bytes(3)), b"abc", "é".encode()]
)
def test_what_is_no_packed_receipt(text: bytes) -> None:
    assert check_receipt(b"CF1:" + text, policy).exit_code == 1


def test_base45_is_that_of_the_rfc() -> None:
    for plain, encoded in ((b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581"), (b"ietf!", "QED8WEX0")):
        assert _from_base45(encoded) == plain
        assert base45(plain).decode() == encoded


def test_receipts_are_small(town: Town) -> None:
    assert len(town.packed(14)) < 2_953, "one QR code"
    assert len(town.receipt(14)) < 3_000
