"""Notes, keys and signatures against the vectors of others."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from counterfoil_verify.keys import ED25519, P256, check_key, verify
from counterfoil_verify.note import COSIGNER, LOG, Key, Note, cosigned, ed25519, ed25519_key
from counterfoil_verify.policy import Policy
from counterfoil_verify.report import Refuted
from tests.verifier.maker import Signer

TEXT = b"log\n1\nroot\n"


def load(trust: Path, name: str) -> Any:
    return json.loads((trust / name).read_text("utf-8"))


def test_notes_and_keys_of_go(trust: Path) -> None:
    given = load(trust, "golang-mod/note.json")
    assert len(given["cases"]) == 15
    for case in given["cases"]:
        data = case["note"].encode() if "note" in case else base64.b64decode(case["note_b64"])
        keys = [Key.parse(text) for text in case["vkeys"]]
        try:
            found = Note.parse(data).verified(keys)
        except Refuted:
            assert not case["accept"], case["name"]
        else:
            assert bool(found) == case["accept"], case["name"]
            assert {key.name for key in found} == set(case.get("verified", ())), case["name"]
    for case in given["vkeys"]:
        if case["accept"]:
            assert Key.parse(case["vkey"]).type == LOG
        else:
            with pytest.raises(Refuted):
                Key.parse(case["vkey"])
    base = given["vkey_mutations"]["base"]
    wrong = {base[start:end] for start in range(len(base)) for end in range(start, len(base) + 1)} - {base}
    wrong |= {base[:at] + chr(ord(base[at]) + 1) + base[at + 1 :] for at in range(len(base))}
    for text in wrong:
        with pytest.raises(Refuted):
            Key.parse(text)


def test_note_and_checkpoints_of_c2sp_and_of_the_go_checksum_database(trust: Path) -> None:
    example = load(trust, "c2sp/examples.json")["signed_note"]
    assert Note.parse(example["note"].encode()).verified([Key.parse(example["vkey"])])
    real = load(trust, "sum-golang-org/checkpoints.json")
    for case in real["cases"]:
        assert Note.parse(case["checkpoint"].encode()).verified([Key.parse(real["vkey"])])
        with pytest.raises(Refuted, match="no log of the policy has this origin"):
            Policy.parse(f"log {real['vkey']}\nquorum none\n".encode()).head(case["checkpoint"].encode())


def test_keys_of_others(trust: Path) -> None:
    for case in load(trust, "transparency-dev-formats/vkeys.json")["cases"]:
        good = case["accept"] and case.get("strict_accept", True) and case.get("type") in (LOG, COSIGNER)
        try:
            assert Key.parse(case["vkey"]).type == case["type"]
        except Refuted:
            assert not good, case
        else:
            assert good, case


def test_cosignatures_of_others(trust: Path) -> None:
    given = load(trust, "sigsum-go/cosignature.json")
    data = b"\x04" + bytes.fromhex(given["public_key_hex"])
    name = given["witness_name"]
    key = Key(name, _id(name, data), COSIGNER, data[1:])
    for case in given["lines"]:
        note = given["checkpoint_body"].encode() + b"\n" + case["line"].encode()
        try:
            found = Note.parse(note).verified([key])
        except Refuted:
            assert not case["valid"], case
        else:
            assert (found == {key: case.get("timestamp")}) == case["valid"], case


def _id(name: str, data: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + data).digest()[:4]


def test_checkpoint_bodies_of_others_that_a_strict_parser_refuses(trust: Path) -> None:
    for case in load(trust, "transparency-dev-formats/checkpoint-body.json")["cases"]:
        assert not case["strict_accept"], "the table has only such cases"
        origin = case["body"].split("\n")[0] or "x"
        log = Signer(origin, 1)
        policy = Policy.parse(f"log {log.vkey}\nquorum none\n".encode())
        with pytest.raises(Refuted):
            policy.head(case["body"].encode() + b"\n" + log.line(case["body"].encode()).encode())


def test_ed25519_of_wycheproof(trust: Path) -> None:
    for group in load(trust, "wycheproof/ed25519_test.json")["testGroups"]:
        key = ed25519_key(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            good = ed25519(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert good == (case["result"] == "valid"), case


def test_odd_points_of_cctv_are_never_keys(trust: Path) -> None:
    """Keys of small order and non-canonical ones are refused, and what is left is accepted only where libsodium does."""
    cases, accepted = json.loads((trust / "cctv-ed25519/ed25519vectors.json").read_text()), 0
    assert len(cases) == 914
    for case in cases:
        key, signature, flags = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"]), set(case["flags"] or ())
        try:
            good = ed25519(ed25519_key(key), case["msg"].encode(), signature)
        except Refuted:
            continue
        accepted += good
        assert not flags & {"low_order_A", "low_order_component_A", "non_canonical_A"}, case
        if flags & {"low_order_R", "non_canonical_R"}:
            assert not good, case
    assert accepted < 44


def test_p256_of_wycheproof(trust: Path) -> None:
    checked = 0
    for group in load(trust, "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json")["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["uncompressed"])
        check_key(P256, key)
        for case in group["tests"]:
            good = verify(P256, key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert good == (case["result"] == "valid"), case
            checked += 1
    assert checked == 262


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [(P256, bytes(65)), (P256, b"\x04" + bytes(63)), (3, bytes(32)), (ED25519, bytes(32)), (ED25519, b"\x01" + bytes(31))],
)
def test_odd_keys_are_never_bound(algorithm: int, key: bytes) -> None:
    with pytest.raises(Refuted):
        check_key(algorithm, key)


@pytest.mark.parametrize("wrong", [b"", b"\n\n", b"text\n", b"text\n\n", b"\xff\n\n", b"a\x01b\n\n", b"text\n\n- name AAAAAAAA\n"])
def test_what_is_no_note_is_refused(wrong: bytes) -> None:
    with pytest.raises(Refuted):
        Note.parse(wrong)


def test_base64_must_be_the_standard_encoding() -> None:
    line = Signer("a", 1).line(TEXT)
    good = TEXT + b"\n" + line.encode()
    assert Note.parse(good).verified([Key.parse(Signer("a", 1).vkey)])
    encoded = line.split()[2]
    loose = encoded[:-2] + chr(ord(encoded[-2]) + 1) + "=" if encoded.endswith("=") and encoded[-2] != "=" else encoded + "===="
    with pytest.raises(Refuted):
        Note.parse(TEXT + f"\n— a {loose}\n".encode())


def test_a_cosignature_with_a_time_beyond_63_bits_is_refused() -> None:
    witness = Signer("w", COSIGNER)
    value = witness.id + (2**63).to_bytes(8) + witness.secret.sign(cosigned(TEXT, 2**63)).signature
    with pytest.raises(Refuted):
        Note.parse(TEXT + f"\n— w {base64.b64encode(value).decode()}\n".encode()).verified([Key.parse(witness.vkey)])
