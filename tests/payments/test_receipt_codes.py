"""Receipt codes: what they are made of, what mistypings they notice, and what can be looked up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.payments.receipt_codes import ALPHABET, Coded, belongs, code_key, parse_code, proof_of, receipt_code, shown
from tests.scheme import opened

KEY = code_key(bytes(range(32)))
IDS = st.integers(1, 2**128 - 1)
CODES = st.builds(receipt_code, st.just(KEY), IDS, IDS)


def test_a_code_is_what_the_documentation_says() -> None:
    """Computed here from the words of docs/reference/log.md, not by the module."""
    import hashlib
    import hmac

    payment, account = 0x0192F0C1_2233_7455_8677_8899AABBCCDD, 0x0192F0C1_0000_7000_8000_000000000007
    ids = payment.to_bytes(16) + account.to_bytes(16)
    proof = hmac.new(KEY, b"counterfoil/receipt-code/v1" + ids, "sha256").digest()
    bits = f"{int.from_bytes(hashlib.pbkdf2_hmac('sha256', proof, ids, 1024)):0256b}"[:55]
    values = [int(bits[at : at + 5], 2) for at in range(0, 55, 5)]
    assert proof_of(KEY, payment, account) == proof
    assert receipt_code(KEY, payment, account)[:11] == "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[each] for each in values)


@given(CODES)
def test_a_code_is_read_however_it_is_typed(code: str) -> None:
    full_width = "".join(chr(ord(each) + 0xFEE0) for each in code)
    for typed in (
        code,
        shown(code),
        code.lower(),
        f" {shown(code)} ",
        full_width,
        code.replace("0", "o").replace("1", "l"),
        " ".join(code),
    ):
        assert parse_code(typed) == code


@given(CODES, st.integers(0, 11), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(code: str, place: int, other: str) -> None:
    typed = code[:place] + other + code[place + 1 :]
    if typed == code:
        assert parse_code(typed) == code
    else:
        with pytest.raises(Malformed):
            parse_code(typed)


@given(CODES, st.integers(0, 11), st.integers(0, 11))
def test_two_exchanged_characters_are_noticed(code: str, one: int, two: int) -> None:
    typed = list(code)
    typed[one], typed[two] = typed[two], typed[one]
    if "".join(typed) != code:
        with pytest.raises(Malformed):
            parse_code("".join(typed))


@pytest.mark.parametrize("typed", ["", "K7QM", "K7QM-2XRD-9FABC", "K7QM-2XRD-9FA*", "U" * 12, "0" * 41, "가" * 12, "0" * 500])
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(Malformed):
        parse_code(typed)


@given(IDS, IDS, IDS)
def test_a_code_belongs_to_one_payment_one_account_and_its_proof(payment: int, account: int, other: int) -> None:
    code, proof = receipt_code(KEY, payment, account), proof_of(KEY, payment, account)
    assert belongs(code, Coded(payment, account, proof))
    if other != payment:
        assert not belongs(code, Coded(other, account, proof))
    if other != account:
        assert not belongs(code, Coded(payment, other, proof))
        assert receipt_code(KEY, payment, other) != code
    assert not belongs(code, Coded(payment, account, bytes(32)))
    assert receipt_code(code_key(bytes(32)), payment, account) != code


async def test_a_code_that_was_told_is_found_and_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        codes, store = scheme.services.receipt_codes, scheme.services.store
        told = await store.write(lambda connection: codes.tell(connection, 5, 7))
        assert await store.write(lambda connection: codes.tell(connection, 5, 7)) == told
        (found,) = await codes.find(parse_code(told))
        assert (found.payment, found.account) == (5, 7)
        assert belongs(parse_code(told), found)
        other = await store.write(lambda connection: codes.tell(connection, 5, 8))
        assert other != told
        assert await codes.find(receipt_code(KEY, 5, 9)) == []
