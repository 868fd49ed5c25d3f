"""The purse's bytes: one encoding for each meaning, nothing else is read, and no changed bit passes for what was signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.purse import evidence, messages
from counterfoil.acceptance.purse.messages import Body, Certificate, Payment, Receipt, Selected, State
from counterfoil.acceptance.purse.signatures import Algorithm, IssuerKey, PrivateKey, check_public_key, verify
from counterfoil.errors import Malformed
from counterfoil.money import AMOUNT_MAX
from tests.acceptance.purse.purses import CARD_ID, CARD_KEYS, ISSUER, ISSUER_KEY, NOW, TILL, certificate, terms

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
algorithms = st.sampled_from(Algorithm)
ids = st.binary(min_size=16, max_size=16)
counts = st.integers(1, 2**32 - 1)
amounts = st.integers(1, AMOUNT_MAX)
codes = st.from_regex(r"[A-Z]{3}", fullmatch=True)


def body(**other: Any) -> Body:
    given = dict(
        algorithm=Algorithm.P256_DER,
        card_id=CARD_ID,
        epoch=1,
        ctr=2,
        cum=700,
        amount=200,
        currency="USD",
        terminal_id=TILL,
        nonce=bytes(16),
    )
    return Body(**(given | other))  # type: ignore[arg-type]


@st.composite
def certificates(draw: st.DrawFn) -> Certificate:
    issuer = PrivateKey(draw(algorithms), draw(st.binary(min_size=31, max_size=31)) + b"\x01")
    not_before = draw(st.integers(0, 2**62))
    return messages.sign_certificate(
        terms(
            draw(algorithms),
            issuer_algorithm=issuer.algorithm,
            issuer_key_id=IssuerKey(issuer.algorithm, issuer.public_key).key_id,
            card_id=draw(ids),
            epoch=draw(counts),
            currency=draw(codes),
            block=draw(st.booleans()),
            ceiling=draw(amounts),
            max_tx=draw(amounts),
            max_ctr=draw(counts),
            not_before=not_before,
            not_after=draw(st.integers(not_before + 1, 2**63 - 1)),
        ),
        issuer,
    )


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    ctr = draw(counts)
    before = draw(st.integers(ctr - 1, AMOUNT_MAX - 1)) if ctr > 1 else 0
    amount = draw(st.integers(1, AMOUNT_MAX - before))
    return body(
        algorithm=draw(algorithms), card_id=draw(ids), epoch=draw(counts), ctr=ctr, cum=before + amount, amount=amount,
        currency=draw(codes), terminal_id=draw(ids), nonce=draw(ids),
    )  # fmt: skip


@st.composite
def selections(draw: st.DrawFn) -> Selected:
    state = draw(st.sampled_from(State))
    if state is State.EMPTY:
        return Selected(algorithm=draw(algorithms), state=state, card_id=draw(ids), epoch=0, ctr=0, cum=0, ceiling=0)
    ctr = draw(st.integers(0, 2**32 - 1))
    cum = draw(st.integers(ctr, AMOUNT_MAX)) if ctr else 0
    ceiling = draw(st.integers(max(cum, 1), AMOUNT_MAX))
    return Selected(algorithm=draw(algorithms), state=state, card_id=draw(ids), epoch=draw(counts), ctr=ctr, cum=cum, ceiling=ceiling)


@given(certificates())
def test_a_certificate_comes_back_as_it_was_signed(signed: Certificate) -> None:
    data = messages.encode_certificate(signed)
    assert len(data) <= messages.CERTIFICATE_SIZE_MAX
    assert messages.decode_certificate(data) == signed


@given(bodies())
def test_a_receipt_comes_back_as_it_was_signed(paid: Body) -> None:
    receipt = messages.sign_receipt(paid, CARD_KEYS[paid.algorithm])
    data = messages.encode_receipt(receipt)
    assert messages.BODY_SIZE < len(data) <= messages.RECEIPT_SIZE_MAX
    assert messages.decode_receipt(data) == receipt


@given(selections())
def test_what_select_answers_comes_back(selected: Selected) -> None:
    assert messages.decode_selected(messages.encode_selected(selected)) == selected


@given(amounts, codes, ids, ids)
def test_what_pay_carries_comes_back(amount: int, currency: str, terminal_id: bytes, nonce: bytes) -> None:
    asked = Payment(amount=amount, currency=currency, terminal_id=terminal_id, nonce=nonce)
    assert messages.decode_payment(messages.encode_payment(asked)) == asked


Codec = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]
CODECS: dict[str, Codec] = {
    "certificate": (messages.decode_certificate, messages.encode_certificate),
    "receipt": (messages.decode_receipt, messages.encode_receipt),
    "selected": (messages.decode_selected, messages.encode_selected),
    "payment": (messages.decode_payment, messages.encode_payment),
    "evidence": (evidence.decode, evidence.encode),
}


@pytest.mark.parametrize("what", CODECS)
@given(data=st.data())
def test_what_is_read_is_written_alike(what: str, data: st.DataObject) -> None:
    decode, encode = CODECS[what]
    valid = example_of(what)
    at = data.draw(st.integers(0, len(valid)))
    raw = valid[:at] + data.draw(st.binary(max_size=3)) + valid[at + data.draw(st.integers(0, 3)) :]
    try:
        meaning = decode(raw)
    except Malformed:
        return
    assert encode(meaning) == raw


def example_of(what: str, algorithm: Algorithm = Algorithm.P256_DER) -> bytes:
    paid = messages.sign_receipt(body(algorithm=algorithm), CARD_KEYS[algorithm])
    again = messages.sign_receipt(body(algorithm=algorithm, nonce=b"\xff" * 16), CARD_KEYS[algorithm])
    return {
        "certificate": messages.encode_certificate(certificate(algorithm)),
        "receipt": messages.encode_receipt(paid),
        "selected": messages.encode_selected(
            Selected(algorithm=algorithm, state=State.ACTIVE, card_id=CARD_ID, epoch=1, ctr=2, cum=700, ceiling=1000)
        ),
        "payment": messages.encode_payment(Payment(amount=200, currency="USD", terminal_id=TILL, nonce=bytes(16))),
        "evidence": evidence.encode(evidence.Evidence(certificate(algorithm), paid, again)),
    }[what]


@pytest.mark.parametrize("what", CODECS)
def test_every_changed_byte_is_refused_or_changes_the_meaning(what: str) -> None:
    valid, (decode, _) = example_of(what), CODECS[what]
    meaning = decode(valid)
    for at in range(len(valid)):
        for value in {0, 1, 0x20, 0x7F, 0x80, 0xFF, valid[at] ^ 1, valid[at] ^ 0x20, valid[at] ^ 0x80} - {valid[at]}:
            try:
                changed = decode(valid[:at] + bytes([value]) + valid[at + 1 :])
            except Malformed:
                continue
            assert changed != meaning, (at, value)


@pytest.mark.parametrize("what", CODECS)
def test_what_is_cut_or_goes_on_is_refused(what: str) -> None:
    for algorithm in Algorithm:
        valid, (decode, _) = example_of(what, algorithm), CODECS[what]
        for wrong in [*(valid[:size] for size in range(len(valid))), valid + b"\x00"]:
            with pytest.raises(Malformed):
                decode(wrong)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_no_changed_bit_passes_for_what_was_signed(algorithm: Algorithm) -> None:
    issuer = CARD_KEYS[algorithm]
    key = IssuerKey(issuer.algorithm, issuer.public_key)
    signed = messages.sign_certificate(terms(algorithm, issuer_algorithm=key.algorithm, issuer_key_id=key.key_id), issuer)
    receipt = messages.sign_receipt(body(algorithm=algorithm), CARD_KEYS[algorithm])
    assert messages.verify_certificate(signed, key)
    assert messages.verify_receipt(receipt, signed.terms)
    for changed in changed_bits(messages.encode_certificate(signed), messages.decode_certificate):
        assert not messages.verify_certificate(changed, key), changed
    for changed in changed_bits(messages.encode_receipt(receipt), messages.decode_receipt):
        assert not messages.verify_receipt(changed, signed.terms), changed


def changed_bits(valid: bytes, decode: Callable[[bytes], Any]) -> list[Any]:
    """What can still be read of `valid` with one bit changed."""
    readable = []
    for bit in range(8 * len(valid)):
        changed = (int.from_bytes(valid) ^ 1 << bit).to_bytes(len(valid))
        try:
            readable.append(decode(changed))
        except Malformed:
            continue
    assert readable
    return readable


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("flags", (34, b"\x02")),
        ("flags", (34, b"\x81")),
        ("version", (0, b"\x02")),
        ("alg", (1, b"\x00")),
        ("alg", (1, b"\x04")),
        ("issuer_alg", (2, b"\x04")),
        ("epoch", (27, bytes(4))),
        ("currency", (31, b"usd")),
        ("currency", (31, b"US1")),
        ("currency", (31, b"\xc3\xa9A")),
        ("ceiling", (35, bytes(8))),
        ("ceiling", (35, b"\x80" + bytes(7))),
        ("max_tx", (43, bytes(8))),
        ("max_ctr", (51, bytes(4))),
        ("not_after", (63, (NOW - 86400).to_bytes(8))),
        ("not_after", (63, b"\xff" * 8)),
        ("key_len", (71, b"\xff")),
        ("public_key", (72, b"\x04")),
        ("public_key", (72, b"\x02" + b"\xff" * 32)),
        ("signature", (105, b"")),
    ],
)
def test_a_certificate_that_no_issuer_signs_is_refused_by_its_field(field: str, wrong: tuple[int, bytes]) -> None:
    at, value = wrong
    valid = messages.encode_certificate(certificate())
    with pytest.raises(Malformed) as refused:
        messages.decode_certificate(valid[:at] + value + valid[at + len(value) :] if value else valid[:at])
    assert refused.value.facts["field"] == f"certificate.{field}"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("epoch", dict(epoch=0)),
        ("ctr", dict(ctr=0)),
        ("amount", dict(amount=0)),
        ("amount", dict(amount=AMOUNT_MAX + 1, cum=AMOUNT_MAX)),
        ("cum", dict(cum=AMOUNT_MAX + 1)),
        ("cum", dict(cum=199)),
        ("cum", dict(cum=200)),
        ("cum", dict(ctr=1)),
        ("currency", dict(currency="us$")),
    ],
)
def test_a_receipt_that_no_card_signs_is_refused_by_its_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as refused:
        messages.decode_body(messages.encode_body(body(**change)))
    assert refused.value.facts["field"] == f"receipt.{field}"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("epoch", dict(state=State.EMPTY)),
        ("epoch", dict(epoch=0)),
        ("epoch", dict(ceiling=0)),
        ("ceiling", dict(ceiling=2**63)),
        ("cum", dict(cum=1001)),
        ("cum", dict(cum=1)),
        ("cum", dict(cum=0)),
        ("cum", dict(ctr=0)),
    ],
)
def test_a_card_that_contradicts_itself_is_refused_by_the_field(field: str, change: dict[str, Any]) -> None:
    selected = messages.decode_selected(example_of("selected"))
    with pytest.raises(Malformed) as refused:
        messages.decode_selected(messages.encode_selected(msgspec.structs.replace(selected, **change)))
    assert refused.value.facts["field"] == f"selected.{field}"


def test_a_certificate_names_the_issuers_key() -> None:
    other = PrivateKey(Algorithm.ED25519, bytes(32))
    other_key = IssuerKey(other.algorithm, other.public_key)
    assert messages.verify_certificate(certificate(), ISSUER_KEY)
    assert not messages.verify_certificate(certificate(), other_key)
    assert not messages.verify_certificate(certificate(issuer_key_id=bytes(8)), ISSUER_KEY)
    assert not messages.verify_certificate(messages.sign_certificate(terms(), other), ISSUER_KEY)


def test_a_certificate_and_a_receipt_are_never_taken_for_each_other() -> None:
    data = messages.encode_body(body(algorithm=Algorithm.ED25519))
    key = CARD_KEYS[Algorithm.ED25519]
    assert verify(
        key.algorithm, key.public_key, b"COUNTERFOIL-PAY1" + data, messages.sign_receipt(messages.decode_body(data), key).signature
    )
    assert not verify(key.algorithm, key.public_key, b"COUNTERFOIL-CRT1" + data, key.sign(b"COUNTERFOIL-PAY1" + data))
    assert not messages.verify_receipt(Receipt(messages.decode_body(data), key.sign(data)), terms(Algorithm.ED25519))
    assert not messages.verify_certificate(Certificate(terms(), ISSUER.sign(messages.encode_terms(terms()))), ISSUER_KEY)


def test_the_other_form_of_an_ecdsa_signature_is_the_same_payment() -> None:
    receipt = messages.sign_receipt(body(), CARD_KEYS[Algorithm.P256_DER])
    r, s = decode_dss_signature(receipt.signature)
    twin = messages.decode_receipt(messages.encode_body(receipt.body) + encode_dss_signature(r, P256_ORDER - s))
    assert twin != receipt
    assert messages.verify_receipt(twin, terms())
    assert evidence.contradiction(receipt.body, twin.body) is None
    assert evidence.find(certificate(), receipt, [twin]) is None


@pytest.mark.parametrize(
    "der",
    [
        encode_dss_signature(0, 1),
        encode_dss_signature(1, 2**256),
        bytes.fromhex("3007020200010201 01".replace(" ", "")),  # r with a zero before it
        bytes.fromhex("308106020101020101"),  # a length in two bytes
        bytes.fromhex("3006020101020101 00".replace(" ", "")),
        bytes.fromhex("30060201ff020101"),  # negative
        b"",
    ],
)
def test_numbers_in_another_der_are_no_signature(der: bytes) -> None:
    with pytest.raises(Malformed, match=r"receipt\.signature"):
        messages.decode_receipt(messages.encode_body(body()) + der)
    assert not verify(Algorithm.P256_DER, CARD_KEYS[Algorithm.P256_DER].public_key, b"", der)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        (Algorithm.ED25519, bytes(32)),
        (Algorithm.ED25519, bytes(31)),
        (Algorithm.ED25519, b"\x01" + bytes(31)),
        (Algorithm.P256_RAW, b"\x05" + bytes(32)),
        (Algorithm.P256_RAW, b"\x00"),
        (Algorithm.P256_DER, b"\x02" + (2**256 - 1).to_bytes(32)),
    ],
)
def test_an_odd_key_is_not_certified(algorithm: Algorithm, key: bytes) -> None:
    with pytest.raises(Malformed):
        check_public_key(algorithm, key, "key")


@pytest.mark.parametrize("secret", [bytes(32), P256_ORDER.to_bytes(32), bytes(31)])
def test_an_odd_secret_is_no_key(secret: bytes) -> None:
    with pytest.raises(Malformed):
        PrivateKey(Algorithm.P256_DER, secret)
