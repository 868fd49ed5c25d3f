"""Complaints: one that stands, one that was answered, and those that are false."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from counterfoil_verify.complaint import check_complaint
from counterfoil_verify.policy import Policy
from tests.verifier.maker import LOG, NS, ORIGIN, POLICY, WITNESSES, Signer, sized
from tests.verifier.town import Town

policy = Policy.parse(POLICY.encode())


@pytest.fixture
def town() -> Town:
    town = Town()
    town.pay(1_000)
    return town


def complaint(town: Town, *, late_s: int = 61, index: int = -1, signer: Signer = LOG, origin: str = ORIGIN, **lies: Any) -> bytes:
    """About the payment that is entry `index`, under a head `late_s` after it."""
    view = town.entries[index].payloads[0]
    order_hash, account, time = view[52:84], view[3:19], town.entries[index].time
    amount, _, balance = struct.unpack_from(">QqQ", view, 84)
    fixed = order_hash + account + struct.pack(">QQQQI", amount, 0, lies.get("balance", balance), time, 60)
    statement = b"counterfoil/ack/v1" + sized(origin.encode()) + fixed
    note = lies.get("note") or town.head(lies.get("size", len(town.entries)), time // NS + late_s)
    signed = {"statement": b64(statement), "signature": b64(signer.secret.sign(statement).signature)}
    return json.dumps({"acknowledgement": signed, "checkpoint": note.decode(), "format": "counterfoil/complaint/v1"}).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_complaint_stands_and_says_what_is_authenticated(town: Town) -> None:
    report = check_complaint(complaint(town), policy)
    assert report.exit_code == 0, report.text()
    assert report.fields["account"] == town.amina.id.hex()
    assert report.fields["amount"] == 1_000
    assert report.fields["balance"] == 39_000


def test_a_receipt_of_the_same_payment_answers_it(town: Town) -> None:
    made = complaint(town)
    report = check_complaint(made, policy, town.receipt(len(town.entries) - 1))
    assert report.exit_code == 1
    assert "it was answered" in report.refuted[0]


def test_other_receipts_answer_nothing(town: Town) -> None:
    index = len(town.entries) - 1
    made = complaint(town)
    town.pay(1_000)
    for answer in (town.receipt(index, 2), town.receipt(index + 1), town.receipt(index - 1), town.receipt(0, 4), b"nothing"):
        report = check_complaint(made, policy, answer)
        assert report.exit_code == 0
        assert "given as an answer is none" in report.noticed[0]
    early = complaint(town, index=index, size=index)
    report = check_complaint(early, policy, town.receipt(index))
    assert report.exit_code == 0, "logged too late is not an answer"
    assert "stands after the size" in report.noticed[0]
    without = town.receipt(index, note=town.head(len(town.entries), witnesses=WITNESSES[:3]))
    assert "no quorum" in check_complaint(made, policy, without).noticed[0]
    assert check_complaint(complaint(town, index=index, balance=1), policy, town.receipt(index)).exit_code == 0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"late_s": 56}, "the time was not over"),
        ({"late_s": 59}, "the time was not over"),
        ({"signer": Signer(ORIGIN, 1, "another")}, "not signed by the operator"),
        ({"signer": WITNESSES[0]}, "not signed by the operator"),
        ({"origin": "log.example.org/other"}, "of another scheme"),
    ],
)
def test_false_complaints(town: Town, values: dict[str, Any], why: str) -> None:
    report = check_complaint(complaint(town, **values), policy)
    assert report.exit_code == 1
    assert why in report.refuted[0]


def test_three_late_witnesses_are_no_quorum_and_one_early_one_does_no_harm(town: Town) -> None:
    time = town.entries[-1].time // NS + 61
    size = len(town.entries)
    assert check_complaint(complaint(town, note=town.head(size, time, clocks={0: -60})), policy).exit_code == 0
    assert check_complaint(complaint(town, note=town.head(size, time, clocks={0: -60, 1: -60})), policy).exit_code == 1


def test_every_byte_of_a_complaint_counts(town: Town) -> None:
    made = complaint(town)
    for at in range(len(made)):
        changed = made[:at] + bytes([made[at] ^ 1 << at % 7]) + made[at + 1 :]
        report = check_complaint(changed, policy)
        assert report.exit_code == 1 or "4 witnesses" in report.proved[0], (at, made[at - 10 : at + 10])


@pytest.mark.parametrize(
    "data", [b"", b"[" * 100_000, b"[]", b"{}", b"null", b"\xff", b'{"format":"counterfoil/complaint/v1","acknowledgement":1}']
)
def test_what_is_no_complaint(data: bytes) -> None:
    assert "not in the form" in check_complaint(data, policy).refuted[0]
