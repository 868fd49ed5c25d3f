"""Entries, views and openings: byte for byte, and nothing that opens to something else."""

from __future__ import annotations

import contextlib
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.tlog.entry import (
    ENTRY_SIZE,
    OPENING_SIZE_MAX,
    PAYLOAD_SIZE_MAX,
    ROLES,
    EntryType,
    Opening,
    Role,
    Views,
    decode_entry,
    encode_entry,
    salt,
    view_commit,
)

DAY_KEY = bytes(range(32))
VIEWS = Views.of(DAY_KEY, 7, payer=b"payer", payee=b"payee", audit=b"audit", public=b"")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_the_commitment_is_that_of_the_specification() -> None:
    """Spelled out with nothing but SHA-256 and HMAC."""
    leaves = []
    for role, payload in enumerate((b"payer", b"payee", b"audit", b""), 1):
        salt = hmac.new(DAY_KEY, (7).to_bytes(8, "big") + bytes([role]), "sha256").digest()
        leaves.append(sha256(b"\0" + sha256(b"counterfoil/view/v1" + bytes([role]) + salt + payload)))
    left, right = sha256(b"\1" + leaves[0] + leaves[1]), sha256(b"\1" + leaves[2] + leaves[3])
    commitment = sha256(b"\1" + left + right)
    assert VIEWS.commitment() == commitment
    assert encode_entry(EntryType.TRANSFER, commitment) == b"\1\1" + commitment
    assert VIEWS.opening(EntryType.TRANSFER, Role.PAYEE).encode() == b"\1\2" + VIEWS.salts[1] + leaves[0] + right + b"payee"
    assert VIEWS.opening(EntryType.TRANSFER, Role.AUDIT).encode() == b"\1\3" + VIEWS.salts[2] + leaves[3] + left + b"audit"
    assert VIEWS.opening(EntryType.TRANSFER, Role.PUBLIC).leaf_hash() == sha256(b"\0\1\1" + commitment)


def test_salts_differ_by_day_index_and_role() -> None:
    salts = {salt(key, index, role) for key in (DAY_KEY, bytes(32)) for index in (0, 1, 2**63) for role in ROLES}
    assert len(salts) == 24


def test_the_same_payload_in_another_role_or_under_another_salt_is_another_commitment() -> None:
    commits = {view_commit(role, salt, b"x") for role in ROLES for salt in (bytes(32), bytes([1]) * 32)}
    assert len(commits) == 8


@given(
    type=st.sampled_from(EntryType),
    role=st.sampled_from(ROLES),
    payloads=st.tuples(*[st.binary(max_size=40)] * 4),
    index=st.integers(0, 2**64 - 1),
)
def test_every_opening_opens_its_entry(type: EntryType, role: Role, payloads: tuple[bytes, bytes, bytes, bytes], index: int) -> None:
    payer, payee, audit, public = payloads
    views = Views.of(DAY_KEY, index, payer=payer, payee=payee, audit=audit, public=public)
    entry = encode_entry(type, views.commitment())
    opening = views.opening(type, role)
    assert opening.payload == payloads[role - 1]
    assert opening.entry() == entry
    assert Opening.decode(opening.encode()) == opening
    assert decode_entry(entry) == (type, views.commitment())


@given(role=st.sampled_from(ROLES), position=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_of_an_opening_opens_nothing(role: Role, position: int, bit: int) -> None:
    entry = encode_entry(EntryType.ISSUE, VIEWS.commitment())
    data = bytearray(VIEWS.opening(EntryType.ISSUE, role).encode())
    data[position % len(data)] ^= 1 << bit
    with contextlib.suppress(Malformed):
        assert Opening.decode(bytes(data)).entry() != entry


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(ENTRY_SIZE),
        b"\1\1" + bytes(31),
        b"\1\1" + bytes(33),
        b"\2\1" + bytes(32),
        b"\1\0" + bytes(32),
        b"\1\x0b" + bytes(32),
    ],
)
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_entry(data)


@pytest.mark.parametrize(
    "data", [b"", b"\1\1" + bytes(95), b"\1\0" + bytes(96), b"\1\5" + bytes(96), b"\0\1" + bytes(96), b"\x0b\1" + bytes(96)]
)
def test_what_is_no_opening_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Opening.decode(data)


def test_the_largest_opening_is_accepted_and_one_byte_more_is_not() -> None:
    data = b"\5\4" + bytes(96) + bytes(PAYLOAD_SIZE_MAX)
    assert len(data) == OPENING_SIZE_MAX
    assert len(Opening.decode(data).payload) == PAYLOAD_SIZE_MAX
    with pytest.raises(Malformed):
        Opening.decode(data + b"\0")
