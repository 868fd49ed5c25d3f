"""Notes and keys: Go's and C2SP's tables, and what a strict parser refuses."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.tlog.note import COSIGNATURE, ED25519, NOTE_SIZE_MAX, Note, Signature, Signer, VerifierKey
from counterfoil.tlog.types import NotProven

SIGNER = Signer("example.org/log", SigningKey(bytes(32)))
TEXT = "one\n\ntwo — €\n".encode()
NOTE = Note(TEXT, (SIGNER.sign(TEXT),))
LINE = SIGNER.sign(TEXT).line()


def go(trust: Path) -> Any:
    return json.loads((trust / "golang-mod/note.json").read_text())


def refusal(data: bytes, *keys: VerifierKey) -> str | None:
    """Why a note is not accepted with these keys, or None when it is."""
    try:
        Note.parse(data).verified_by(keys)
    except (Malformed, NotProven) as error:
        return str(error)
    return None


def test_notes_agree_with_go(trust: Path) -> None:
    tests = go(trust)["cases"]
    assert len(tests) == 15
    for case in tests:
        data = base64.b64decode(case["note_b64"]) if "note_b64" in case else case["note"].encode()
        keys = [VerifierKey.parse(text) for text in case["vkeys"]]
        assert (refusal(data, *keys) is None) == case["accept"], case["name"]
        if case["accept"]:
            note = Note.parse(data)
            assert note.encode() == data
            verified = [key.name for key, _ in note.verified_by(keys)]
            assert verified == case["verified"], case["name"]
            if "unverified" in case:
                assert [each.name for each in note.signatures if each.name not in verified] == case["unverified"]


def test_keys_agree_with_go_and_transparency_dev(trust: Path) -> None:
    tests = go(trust)["vkeys"] + json.loads((trust / "transparency-dev-formats/vkeys.json").read_text())["cases"]
    assert len(tests) == 12
    for case in tests:
        accept = case.get("strict_accept", case["accept"])
        try:
            key = VerifierKey.parse(case["vkey"])
        except Malformed:
            assert not accept, case
            continue
        assert accept, case
        assert str(key) == case["vkey"]
        assert key.algorithm == case.get("type", ED25519)


def test_no_part_and_no_change_of_a_key_is_a_key(trust: Path) -> None:
    base = go(trust)["vkey_mutations"]["base"]
    assert str(VerifierKey.parse(base)) == base
    parts = [base[begin:end] for begin in range(len(base)) for end in range(begin, len(base) + 1) if base[begin:end] != base]
    changed = [base[:at] + chr(ord(base[at]) + 1) + base[at + 1 :] for at in range(len(base))]
    for text in parts + changed + [base + "\n", " " + base, base + "=", base.replace("c74f20a3", "C74F20A3")]:
        with pytest.raises(Malformed):
            VerifierKey.parse(text)


def test_the_note_of_the_c2sp_specification_is_accepted(trust: Path) -> None:
    case = json.loads((trust / "c2sp/examples.json").read_text())["signed_note"]
    assert refusal(case["note"].encode(), VerifierKey.parse(case["vkey"])) is None
    assert refusal(case["note"].replace("example message", "example Message").encode(), VerifierKey.parse(case["vkey"])) is not None


def test_a_note_is_what_it_was() -> None:
    assert Note.parse(NOTE.encode()) == NOTE
    assert NOTE.verified_by([SIGNER.vkey]) == [(SIGNER.vkey, NOTE.signatures[0])]
    assert VerifierKey.parse(str(SIGNER.vkey)) == SIGNER.vkey


MALFORMED = {
    "empty": b"",
    "no text": LINE,
    "no empty line": TEXT.replace(b"\n\n", b"\n") + LINE,
    "carriage return": NOTE.encode().replace(b"one\n", b"one\r\n"),
    "tab": NOTE.encode().replace(b"one", b"one\t"),
    "not UTF-8": b"\xff" + NOTE.encode(),
    "surrogate": b"\xed\xa0\x80" + NOTE.encode(),
    "two newlines at the end": NOTE.encode() + b"\n",
    "a line after the signatures": NOTE.encode() + b"more\n",
    "a line between the signatures": NOTE.encode() + b"more\n" + LINE,
    "hyphen in place of the dash": NOTE.encode().replace("\n— ".encode(), b"\n- "),
    "two spaces": NOTE.encode().replace("\n— ".encode(), "\n—  ".encode()),
    "no-break space after the dash": NOTE.encode().replace("\n— ".encode(), "\n—\u00a0".encode()),
    "plus in a name": TEXT + b"\n" + LINE.replace(b"example.org", b"example+org"),
    "no-break space in a name": TEXT + b"\n" + LINE.replace(b"example.org", "example\u00a0org".encode()),
    "empty name": TEXT + b"\n" + LINE.replace(b"example.org/log", b""),
    "trailing space": TEXT + b"\n" + LINE[:-1] + b" \n",
    "no base64": TEXT + "\n— example.org/log \n".encode(),
    "key id and nothing more": TEXT + "\n— example.org/log AAAAAA==\n".encode(),
    "base64 with unused bits set": TEXT + "\n— example.org/log AAAAAAB=\n".encode(),
    "base64 without padding": TEXT + LINE.replace(b"=", b""),
    "URL base64": TEXT + "\n— example.org/log AAAA_-AA\n".encode(),
    "too large": b"x" * NOTE_SIZE_MAX + NOTE.encode(),
    "101 signatures": TEXT + b"\n" + LINE * 101,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_note_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        Note.parse(MALFORMED[what])


def test_a_hundred_signatures_are_not_too_many() -> None:
    assert refusal(TEXT + b"\n" + LINE * 100, SIGNER.vkey) is None


def test_unknown_signatures_are_ignored_by_name_and_by_id() -> None:
    line = SIGNER.sign(TEXT)
    others = [
        Signature("example.org/other", line.key_id, bytes(64)),
        Signature(line.name, b"\0\0\0\0", bytes(64)),
        Signature("example.org/new-algorithm", b"\0\0\0\1", b"x"),
    ]
    note = Note(TEXT, (*others, line))
    assert note.verified_by([SIGNER.vkey]) == [(SIGNER.vkey, line)]
    with pytest.raises(NotProven):
        Note(TEXT, tuple(others)).verified_by([SIGNER.vkey])
    with pytest.raises(NotProven):
        NOTE.verified_by([])


def test_a_wrong_signature_by_a_known_key_spoils_the_note_wherever_it_stands() -> None:
    right = SIGNER.sign(TEXT)
    wrong = Signature(right.name, right.key_id, bytes(64))
    for signatures in ((right, wrong), (wrong, right), (wrong,)):
        with pytest.raises(Malformed):
            Note(TEXT, signatures).verified_by([SIGNER.vkey])


def test_a_signature_of_another_length_by_a_known_key_spoils_the_note() -> None:
    right = SIGNER.sign(TEXT)
    for signature in (right.signature + b"\0", right.signature[:-1], right.signature + TEXT):
        with pytest.raises(Malformed):
            Note(TEXT, (Signature(right.name, right.key_id, signature),)).verified_by([SIGNER.vkey])


def test_a_plain_signature_is_no_cosignature() -> None:
    witness = Signer("example.org/log", SigningKey(bytes(32)), COSIGNATURE)
    assert witness.vkey.key_id != SIGNER.vkey.key_id
    stolen = Signature(witness.name, witness.vkey.key_id, bytes(8) + SIGNER.sign(TEXT).signature)
    with pytest.raises(Malformed):
        Note(TEXT, (stolen,)).verified_by([witness.vkey])
    with pytest.raises(NotProven):
        NOTE.verified_by([witness.vkey])


def test_an_acknowledgement_is_never_a_note() -> None:
    """The operator's key signs both: an acknowledgement has a control character where a note may have none."""
    with pytest.raises(Malformed):
        Note.parse(b"counterfoil/ack/v1" + (255).to_bytes(2) + b"x" * 255 + b"\n\n" + LINE)


@given(position=st.integers(0), bit=st.integers(0, 7))
@example(position=0, bit=0)
def test_one_flipped_bit_of_a_note_is_noticed(position: int, bit: int) -> None:
    data = bytearray(NOTE.encode())
    data[position % len(data)] ^= 1 << bit
    assert refusal(bytes(data), SIGNER.vkey) is not None


@given(st.binary(max_size=300))
@example(NOTE.encode())
def test_parsing_takes_all_or_refuses(data: bytes) -> None:
    try:
        note = Note.parse(data)
    except Malformed:
        return
    assert note.encode() == data


def test_signatures_agree_with_wycheproof(trust: Path) -> None:
    groups = json.loads((trust / "wycheproof/ed25519_test.json").read_text())["testGroups"]
    tests = [(VerifierKey.of("a", bytes.fromhex(group["publicKey"]["pk"])), test) for group in groups for test in group["tests"]]
    assert len(tests) == 151
    for key, test in tests:
        accepted = accepts(key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
        assert accepted == (test["result"] == "valid"), test


def test_odd_keys_are_refused_and_what_is_accepted_others_accept(trust: Path) -> None:
    tests = json.loads((trust / "cctv-ed25519/ed25519vectors.json").read_text())
    assert len(tests) == 914
    accepted = refused = 0
    for test in tests:
        public_key, message, signature = bytes.fromhex(test["key"]), test["msg"].encode(), bytes.fromhex(test["sig"])
        try:
            key = VerifierKey.of("a", public_key)
        except Malformed:
            refused += 1
            continue
        assert not {"low_order_A", "low_order_component_A", "non_canonical_A"} & set(test["flags"] or ()), test
        if accepts(key, message, signature):
            accepted += 1
            try:
                Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
            except InvalidSignature:
                pytest.fail(f"we accept what OpenSSL refuses: {test}")
    assert accepted
    assert refused


def accepts(key: VerifierKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(message, signature)
    except Malformed:
        return False
    return True
