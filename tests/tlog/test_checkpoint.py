"""Checkpoints and cosignatures: real ones of other logs, and each way in which they can be wrong."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint, open_checkpoint, sign
from counterfoil.tlog.cosignature import cosign, time_of, verify
from counterfoil.tlog.merkle import EMPTY_ROOT
from counterfoil.tlog.note import COSIGNATURE, Note, Signature, Signer, VerifierKey
from counterfoil.tlog.types import NotProven

ROOT = bytes(range(32))
SIGNER = Signer("example.org/log", SigningKey(bytes(32)))
WITNESS = Signer("example.org/w1", SigningKey(bytes([1]) * 32), COSIGNATURE)
HEAD = Checkpoint("example.org/log", 10, ROOT)
B64 = base64.b64encode(ROOT).decode()


def test_a_checkpoint_is_what_it_was() -> None:
    assert HEAD.text() == f"example.org/log\n10\n{B64}\n".encode()
    assert Checkpoint.parse(HEAD.text()) == HEAD
    assert open_checkpoint(sign(HEAD, SIGNER).encode(), SIGNER.vkey) == (HEAD, sign(HEAD, SIGNER))


def test_bodies_agree_with_transparency_dev_where_it_is_strict(trust: Path) -> None:
    tests = json.loads((trust / "transparency-dev-formats/checkpoint-body.json").read_text())["cases"]
    assert len(tests) == 12
    for case in tests:
        assert not case["strict_accept"]
        with pytest.raises(Malformed):
            Checkpoint.parse(case["body"].encode())


def test_real_checkpoints_of_the_go_checksum_database_are_accepted(trust: Path) -> None:
    vectors = json.loads((trust / "sum-golang-org/checkpoints.json").read_text())
    key = VerifierKey.parse(vectors["vkey"])
    assert len(vectors["cases"]) == 2
    for case in vectors["cases"]:
        checkpoint, _ = open_checkpoint(case["checkpoint"].encode(), key, "go.sum database tree")
        assert checkpoint.size == case["size"]
        with pytest.raises(NotProven, match=r"is of go\.sum database tree, not of sum\.golang\.org"):
            open_checkpoint(case["checkpoint"].encode(), key)


def test_checkpoints_of_tessera_are_accepted(trust: Path) -> None:
    key = VerifierKey.parse((trust / "tessera/vkey.txt").read_text().strip())
    for size in range(16):
        checkpoint, note = open_checkpoint((trust / f"tessera/log/checkpoint.{size}").read_bytes(), key)
        assert (checkpoint.size, note.text) == (size, checkpoint.text())


def test_checkpoint_of_sigsum_and_its_changes(trust: Path) -> None:
    vectors = json.loads((trust / "sigsum-go/checkpoint.json").read_text())
    body = vectors["body"].encode()
    origin = body.split(b"\n")[0].decode()
    key = VerifierKey.of(origin, bytes.fromhex(vectors["public_key_hex"]))
    data = vectors["checkpoint"].encode()
    assert open_checkpoint(data, key)[0].text() == body
    line = Note.parse(data).signatures[0]

    def with_line(text: bytes, identifier: bytes, signature: bytes) -> bytes:
        return Note(text, (Signature(line.name, identifier, signature),)).encode()

    flip = bytes([1])
    changes = [
        with_line(b"x" + body, line.key_id, line.signature),
        with_line(body, bytes([line.key_id[0] ^ 1]) + line.key_id[1:], line.signature),
        with_line(body.replace(b"\n10\n", b"\n11\n"), line.key_id, line.signature),
        with_line(body.replace(b"HA5H", b"HA5I"), line.key_id, line.signature),
        with_line(body, line.key_id, line.signature[:-1] + bytes([line.signature[-1] ^ flip[0]])),
    ]
    assert len(changes) == len(vectors["invalid_changes"])
    for changed in changes:
        with pytest.raises((Malformed, NotProven)):
            open_checkpoint(changed, key)
    for case in vectors["extra_signatures"]:
        lines = "\n".join(case["signature_lines"]) + "\n"
        # Sigsum takes the three bytes of "DEAD" for an unknown signature; C2SP wants four of key id and more.
        accept = case["accept"] and " DEAD\n" not in lines
        try:
            open_checkpoint(body + b"\n" + lines.encode(), key)
            assert accept, case
        except (Malformed, NotProven):
            assert not accept, case


MALFORMED = {
    "empty": b"",
    "two lines": b"a\n1\n",
    "no newline at the end": HEAD.text()[:-1],
    "extension line": HEAD.text() + b"more\n",
    "empty extension line": HEAD.text() + b"\n",
    "empty origin": f"\n10\n{B64}\n".encode(),
    "origin of 256 bytes": f"{'x' * 256}\n10\n{B64}\n".encode(),
    "tab in the origin": f"a\tb\n10\n{B64}\n".encode(),
    "leading zero": f"a\n010\n{B64}\n".encode(),
    "plus": f"a\n+10\n{B64}\n".encode(),
    "minus": f"a\n-10\n{B64}\n".encode(),
    "no size": f"a\n\n{B64}\n".encode(),
    "space before size": f"a\n 10\n{B64}\n".encode(),
    "size with underscore": f"a\n1_0\n{B64}\n".encode(),
    "other digits": f"a\n١٠\n{B64}\n".encode(),
    "superscript digit": f"a\n²\n{B64}\n".encode(),
    "size of 2^63": f"a\n{2**63}\n{B64}\n".encode(),
    "31 bytes": f"a\n1\n{base64.b64encode(bytes(31)).decode()}\n".encode(),
    "33 bytes": f"a\n1\n{base64.b64encode(bytes(33)).decode()}\n".encode(),
    "base64 without padding": f"a\n1\n{B64[:-1]}\n".encode(),
    "unused bits": f"a\n1\n{B64[:-2]}9=\n".encode(),
    "space after root": f"a\n1\n{B64} \n".encode(),
    "empty log with another root": f"a\n0\n{B64}\n".encode(),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_checkpoint_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        Checkpoint.parse(MALFORMED[what])


def test_the_largest_size_and_origin_are_accepted() -> None:
    for head in (Checkpoint("x" * 255, 2**63 - 1, ROOT), Checkpoint("a b", 0, EMPTY_ROOT)):
        assert Checkpoint.parse(head.text()) == head


def test_another_origin_key_or_nobody_is_refused() -> None:
    data = sign(HEAD, SIGNER).encode()
    other_key = VerifierKey.of(SIGNER.name, bytes(SigningKey(bytes([9]) * 32).verify_key))
    with pytest.raises(NotProven):
        open_checkpoint(data, other_key)
    with pytest.raises(NotProven):
        open_checkpoint(data, WITNESS.vkey)
    with pytest.raises(NotProven):
        open_checkpoint(sign(Checkpoint("example.org/other", 10, ROOT), SIGNER).encode(), SIGNER.vkey)


@given(st.binary(max_size=120))
def test_parsing_takes_all_or_refuses(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert Checkpoint.parse(data).text() == data


# Cosignatures


def test_cosignature_lines_agree_with_sigsum(trust: Path) -> None:
    vectors = json.loads((trust / "sigsum-go/cosignature.json").read_text())
    key = VerifierKey.of(vectors["witness_name"], bytes.fromhex(vectors["public_key_hex"]), COSIGNATURE)
    text = vectors["checkpoint_body"].encode()
    assert len(vectors["lines"]) == 4
    for case in vectors["lines"]:
        signature = Signature.parse(case["line"].removesuffix("\n"))
        if case["valid"]:
            assert verify(key, text, signature) == time_of(signature) == case["timestamp"]
        else:
            with pytest.raises(Malformed):
                verify(key, text, signature)


def test_a_time_above_the_limit_is_refused(trust: Path) -> None:
    """Sigsum's line carries a space too many for C2SP; its signature is read on its own."""
    case = json.loads((trust / "sigsum-go/cosignature.json").read_text())["parse"]
    data = base64.b64decode(case["line"].split(" ")[-1])
    assert int.from_bytes(bytes.fromhex(case["timestamp_hex"])) > 2**63 - 1
    signature = Signature(WITNESS.name, WITNESS.vkey.key_id, bytes.fromhex(case["timestamp_hex"]) + data[-64:])
    assert time_of(signature) is None
    with pytest.raises(Malformed, match="above"):
        verify(WITNESS.vkey, HEAD.text(), signature)


def test_times_agree_with_transparency_dev(trust: Path) -> None:
    tests = json.loads((trust / "transparency-dev-formats/cosignature-timestamp.json").read_text())["cases"]
    assert len(tests) == 3
    for case in tests:
        try:
            time_s = time_of(Signature.parse(f"— a {case['base64']}"))
        except Malformed:
            time_s = None
        assert time_s == case.get("timestamp"), case
        assert (time_s is not None) == case["accept"]


@pytest.mark.parametrize("time_s", [0, 1, 1_790_000_000, 2**63 - 1])
def test_a_cosignature_is_over_text_and_time(time_s: int) -> None:
    signature = cosign(HEAD.text(), WITNESS, time_s)
    assert verify(WITNESS.vkey, HEAD.text(), signature) == time_s
    moved = Signature(signature.name, signature.key_id, (time_s ^ 1).to_bytes(8) + signature.signature[8:])
    with pytest.raises(Malformed):
        verify(WITNESS.vkey, HEAD.text(), moved)
    with pytest.raises(Malformed):
        verify(WITNESS.vkey, Checkpoint(HEAD.origin, 11, ROOT).text(), signature)


def test_a_log_key_cosigns_nothing_and_a_witness_key_signs_no_log() -> None:
    with pytest.raises(AssertionError):
        cosign(HEAD.text(), SIGNER, 1)
    with pytest.raises(AssertionError):
        sign(HEAD, WITNESS)
    with pytest.raises(Malformed):
        verify(SIGNER.vkey, HEAD.text(), SIGNER.sign(HEAD.text()))
