"""Receipts as text and packed: other people's containers, and nothing lost between the forms."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint, sign
from counterfoil.tlog.entry import EntryType, Opening, Role, Views, encode_entry
from counterfoil.tlog.merkle import leaf_hash, root_of, verify_inclusion
from counterfoil.tlog.note import COSIGNATURE, Note, Signature, VerifierKey
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.proof import HASHES_MAX, TlogProof, from_qr_text, pack, qr_text, unpack
from counterfoil.tlog.types import NotProven
from tests.tlog.test_merkle import inclusion_path
from tests.tlog.test_policy import LOG, POLICY, TEXT, WITNESSES, cosigned

VIEWS = Views.of(bytes(32), 5, payer=b"p" * 164, payee=b"q" * 164, audit=b"everything")
LEAVES = [leaf_hash(encode_entry(EntryType.TRANSFER, VIEWS.commitment() if index == 5 else bytes(32))) for index in range(21)]
NOTE = cosigned("w1", "w2", "w4", "w5", note=sign(Checkpoint(LOG.name, 21, root_of(LEAVES)), LOG))
PROOF = TlogProof(VIEWS.opening(EntryType.TRANSFER, Role.PAYER).encode(), 5, tuple(inclusion_path(LEAVES, 5)), NOTE.encode())


def test_containers_agree_with_transparency_dev(trust: Path) -> None:
    vectors = json.loads((trust / "transparency-dev-formats/tlog-proof.json").read_text())
    assert (len(vectors["accept"]), len(vectors["reject"])) == (3, 8)
    for case in vectors["accept"]:
        proof = TlogProof.decode(case["text"].encode())
        assert proof.encode() == case["text"].encode()
        extra = base64.b64decode(case["extra_b64"]) if "extra_b64" in case else None
        hashes = tuple(base64.b64decode(each) for each in case["hashes_b64"])
        assert proof == TlogProof(extra, case["index"], hashes, case["tail"].encode())
    for case in vectors["reject"]:
        with pytest.raises(Malformed):
            TlogProof.decode(case["text"].encode())


def test_proofs_of_sigsum_hold(trust: Path) -> None:
    """Its own syntax, the same parts: leaf, path, the log's signature and a witness's."""
    cases = json.loads((trust / "sigsum-go/proof.json").read_text())["cases"]
    assert len(cases) == 2
    cosignatures = 0
    for case in cases:
        lines = [line.partition("=") for line in case["proof"].splitlines() if line]
        values = {name: value for name, _, value in lines if name != "node_hash"}
        key_hash, leaf_signature = map(bytes.fromhex, values["leaf"].split(" "))
        assert key_hash == sha256(bytes.fromhex(case["submit_key"])).digest()
        leaf = sha256(bytes.fromhex(case["message_hex"])).digest() + leaf_signature + key_hash
        path = [bytes.fromhex(value) for name, _, value in lines if name == "node_hash"]
        size, root = int(values["size"]), bytes.fromhex(values["root_hash"])
        verify_inclusion(index=int(values["leaf_index"]), size=size, leaf_hash=leaf_hash(leaf), proof=path, root=root)
        log_key = bytes.fromhex(case["log_key"])
        origin = f"sigsum.org/v1/tree/{sha256(log_key).hexdigest()}"
        key = VerifierKey.of(origin, log_key)
        text = Checkpoint(origin, size, root).text()
        key.verify(text, bytes.fromhex(values["signature"]))
        if "cosignature" in values:
            _, time, signature = values["cosignature"].split(" ")
            witness = VerifierKey.of("witness", bytes.fromhex(case["witness_key"]), COSIGNATURE)
            assert witness.verify(text, int(time).to_bytes(8) + bytes.fromhex(signature)) == int(time)
            cosignatures += 1
    assert cosignatures == 1


def test_a_receipt_proves_its_entry_offline() -> None:
    proof = TlogProof.decode(PROOF.encode())
    assert proof == PROOF
    quorum = POLICY.satisfied(Note.parse(proof.checkpoint))
    assert proof.extra is not None
    opening = Opening.decode(proof.extra)
    head = quorum.checkpoint
    verify_inclusion(index=proof.index, size=head.size, leaf_hash=opening.leaf_hash(), proof=proof.hashes, root=head.root)
    assert opening.payload == b"p" * 164


TEXT_OF = PROOF.encode().decode()
MALFORMED = {
    "empty": "",
    "other version": TEXT_OF.replace("@v1", "@v2"),
    "no checkpoint": TEXT_OF.split("\n\n")[0] + "\n\n",
    "no empty line": TEXT_OF.replace("\n\n", "\n"),
    "index before extra": TEXT_OF.replace("index 5\n", "").replace("extra ", "index 5\nextra "),
    "two extras": TEXT_OF.replace("index 5", "extra AAAA\nindex 5"),
    "two indexes": TEXT_OF.replace("index 5", "index 5\nindex 5"),
    "index with a zero": TEXT_OF.replace("index 5", "index 05"),
    "index with a space": TEXT_OF.replace("index 5", "index 5 "),
    "index of 2^63": TEXT_OF.replace("index 5", f"index {2**63}"),
    "carriage returns": TEXT_OF.replace("\n", "\r\n"),
    "a space before a hash": TEXT_OF.replace("index 5\n", "index 5\n "),
    "64 hashes": TEXT_OF.replace("index 5\n", "index 5\n" + (base64.b64encode(bytes(32)).decode() + "\n") * HASHES_MAX),
    "a byte order mark": "\ufeff" + TEXT_OF,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_receipt_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        TlogProof.decode(MALFORMED[what].encode())


@pytest.mark.parametrize("extra", [None, b"x", b"y" * 900])
def test_a_receipt_survives_packing(extra: bytes | None) -> None:
    proof = TlogProof(extra, PROOF.index, PROOF.hashes, PROOF.checkpoint)
    assert unpack(from_qr_text(qr_text(pack(proof))), POLICY) == proof


def test_a_packed_receipt_fits_one_qr_code_at_2_28_entries() -> None:
    hashes = tuple(bytes([level]) * 32 for level in range(28))
    note = cosigned("w1", "w2", "w3", "w4", note=sign(Checkpoint(LOG.name, 2**28, bytes(range(32))), LOG))
    proof = TlogProof(PROOF.extra, 2**28 - 1, hashes, note.encode())
    assert len(qr_text(pack(proof))) < 4_296
    assert len(proof.encode()) < 3_000


def test_packing_leaves_out_what_it_cannot_carry() -> None:
    other = Note(NOTE.text, (Signature("example.org/x", b"abcd", b"short"), *NOTE.signatures))
    assert unpack(pack(TlogProof(None, 5, PROOF.hashes, other.encode())), POLICY).checkpoint == NOTE.encode()


def test_a_witness_that_the_policy_does_not_know_is_left_out_of_the_unpacked() -> None:
    four = Policy.parse("".join(line for line in TEXT.splitlines(True) if line.split()[1] != "w5").replace(" w5\n", "\n"))
    names = [each.name for each in Note.parse(unpack(pack(PROOF), four).checkpoint).signatures]
    assert names == [LOG.name, *(WITNESSES[name].name for name in ("w1", "w2", "w4"))]


def test_unpacking_needs_the_log_in_the_policy() -> None:
    with pytest.raises(NotProven):
        unpack(pack(PROOF), Policy.parse("quorum none\n"))


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_packed_receipt_is_noticed(position: int, bit: int) -> None:
    data = bytearray(pack(PROOF))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises((Malformed, NotProven)):
        check(bytes(data))


def check(packed: bytes) -> None:
    proof = unpack(packed, POLICY)
    head = POLICY.satisfied(Note.parse(proof.checkpoint)).checkpoint
    leaf = Opening.decode(proof.extra or b"").leaf_hash()
    verify_inclusion(index=proof.index, size=head.size, leaf_hash=leaf, proof=proof.hashes, root=head.root)


@pytest.mark.parametrize("cut", [1, 2, 63, 100, 300])
def test_a_packed_receipt_cut_short_or_with_more_is_refused(cut: int) -> None:
    data = pack(PROOF)
    for changed in (data[:-cut], data + b"\0" * cut):
        with pytest.raises(Malformed):
            unpack(changed, POLICY)


def test_base45_is_that_of_the_rfc() -> None:
    """Source: RFC 9285 §4.3, §4.4."""
    for data, text in ((b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581"), (b"ietf!", "QED8WEX0")):
        assert qr_text(data) == "CF1:" + text
        assert from_qr_text("CF1:" + text) == data


@pytest.mark.parametrize(
    "text", ["", "CF2:BB8", "BB8", "CF1:B", "CF1:BB8B", "CF1:GGW", "CF1::::", "CF1:::", "CF1:bb8", "CF1:BB8\n", "CF1:" + "0" * 4_293]
)
def test_what_is_no_qr_text_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        from_qr_text(text)


@given(st.binary(max_size=200))
def test_qr_text_says_what_was_packed(data: bytes) -> None:
    assert from_qr_text(qr_text(data)) == data


def test_a_log_without_the_origins_name_cannot_be_packed() -> None:
    stranger = Note(NOTE.text, (Signature("example.org/x", b"abcd", bytes(64)),))
    with pytest.raises(Malformed):
        pack(TlogProof(None, 5, PROOF.hashes, stranger.encode()))
