"""Proof that a card spent twice: a card that was set back is found, whoever looks, and an honest one never is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.acceptance.purse import evidence, messages
from counterfoil.acceptance.purse.evidence import Contradiction, Evidence
from counterfoil.acceptance.purse.messages import Body, Receipt
from counterfoil.acceptance.purse.signatures import Algorithm, IssuerKey, PrivateKey
from counterfoil.errors import Malformed
from tests.acceptance.purse.purses import (
    CARD_KEYS,
    ISSUER,
    ISSUER_KEY,
    NOW,
    OTHER_TILL,
    certificate,
    issued,
    make_card,
    pay,
    payment,
    put,
    select,
    terms,
)

amounts = st.lists(st.integers(1, 500), min_size=1, max_size=5)


def proved(certified: messages.Certificate, receipts: list[Receipt]) -> set[Contradiction]:
    """What all pairs of receipts prove to somebody who is given nothing but bytes and the issuer's key."""
    found = set()
    for one, other in itertools.combinations(receipts, 2):
        if pair := evidence.find(certified, one, [other]):
            kind = evidence.verify(evidence.decode(evidence.encode(pair)), ISSUER_KEY)
            assert kind is not None
            found.add(kind)
    return found


@given(st.sampled_from(Algorithm), amounts, amounts, st.data())
def test_a_card_that_was_set_back_proves_it_with_its_own_receipts(
    algorithm: Algorithm, first: list[int], second: list[int], data: st.DataObject
) -> None:
    card, memory = issued(algorithm)
    states, receipts = [memory.kept], []
    for amount in first:
        receipts.append(pay(card, payment(amount)))
        states.append(memory.kept)
    memory.kept = states[data.draw(st.integers(0, len(first) - 1))]
    broken = make_card(memory, algorithm)
    select(broken)
    again = [pay(broken, payment(amount, OTHER_TILL)) for amount in second]
    assert proved(certificate(algorithm), receipts) == proved(certificate(algorithm), again) == set()
    assert Contradiction.SAME_COUNTER in proved(certificate(algorithm), receipts + again)


@given(amounts, st.lists(st.integers(1, 3), max_size=4))
def test_an_honest_card_yields_no_evidence_whatever_is_renewed_and_repeated(paid: list[int], renewals: list[int]) -> None:
    card, _ = issued()
    receipts, epoch = [], 1
    for place, amount in enumerate(paid):
        for _ in range(renewals[place] if place < len(renewals) else 0):
            epoch += 1
            put(card, certificate(epoch=epoch, ceiling=10_000 + epoch))
        asked = payment(amount)
        receipts += [pay(card, asked), pay(card, asked)]
    assert proved(certificate(), receipts) == set()


def body(ctr: int, cum: int, amount: int, epoch: int = 1, nonce: int = 0) -> Body:
    return Body(
        algorithm=Algorithm.P256_DER, card_id=terms().card_id, epoch=epoch, ctr=ctr, cum=cum, amount=amount, currency="USD",
        terminal_id=OTHER_TILL, nonce=nonce.to_bytes(16),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (body(1, 10, 10), body(1, 10, 10), None),
        (body(1, 10, 10), body(1, 10, 10, nonce=1), Contradiction.SAME_COUNTER),
        (body(1, 10, 10), body(1, 11, 11), Contradiction.SAME_COUNTER),
        (body(1, 10, 10), body(2, 15, 5), None),
        (body(1, 10, 10), body(2, 14, 5), Contradiction.BROKEN_SUM),
        (body(1, 10, 10), body(2, 16, 5), Contradiction.BROKEN_SUM),  # the sum is too high for the next payment: there are two first ones
        (body(1, 10, 10), body(3, 16, 5), None),
        (body(1, 10, 10), body(3, 15, 5), Contradiction.BROKEN_SUM),  # one payment lies between, and moved nothing
        (body(1, 10, 10), body(3, 900, 5), None),
        (body(1, 10, 10, epoch=2), body(2, 15, 5, epoch=2), None),
        (body(1, 10, 10, epoch=2), body(2, 15, 5, epoch=1), Contradiction.EPOCH_FELL),
        (body(1, 10, 10, epoch=1), body(2, 15, 5, epoch=7), None),
    ],
)
def test_two_receipts_go_together_or_name_the_rule_that_they_break(one: Body, other: Body, kind: Contradiction | None) -> None:
    assert evidence.contradiction(one, other) is evidence.contradiction(other, one) is kind


def signed(one: Body, other: Body) -> Evidence:
    key = CARD_KEYS[Algorithm.P256_DER]
    found = evidence.find(certificate(), messages.sign_receipt(one, key), [messages.sign_receipt(other, key)])
    assert found
    return found


def test_evidence_is_the_same_whoever_of_the_two_finds_it() -> None:
    one, other = body(1, 10, 10), body(1, 10, 10, nonce=1)
    assert evidence.encode(signed(one, other)) == evidence.encode(signed(other, one))
    assert len(evidence.encode(signed(one, other))) <= evidence.EVIDENCE_SIZE_MAX


def test_evidence_holds_when_the_certificate_is_of_another_epoch_expired_or_blocks() -> None:
    found = signed(body(1, 10, 10), body(1, 10, 10, nonce=1))
    for certified in (certificate(epoch=9), certificate(not_before=1, not_after=2), certificate(block=True), certificate(not_before=NOW * 2, not_after=NOW * 3)):  # fmt: skip
        assert evidence.verify(Evidence(certified, found.first, found.second), ISSUER_KEY) is Contradiction.SAME_COUNTER


def test_evidence_proves_nothing_without_the_issuer_the_card_or_a_contradiction() -> None:
    found = signed(body(1, 10, 10), body(1, 10, 10, nonce=1))
    stranger = PrivateKey(Algorithm.P256_DER, b"\x07" * 32)
    forged = messages.sign_receipt(found.second.body, stranger)
    assert evidence.verify(found, ISSUER_KEY) is Contradiction.SAME_COUNTER
    assert evidence.verify(found, IssuerKey(stranger.algorithm, stranger.public_key)) is None
    assert evidence.verify(Evidence(found.certificate, found.first, forged), ISSUER_KEY) is None
    assert evidence.verify(Evidence(found.certificate, messages.sign_receipt(found.first.body, stranger), found.second), ISSUER_KEY) is None
    others = messages.sign_certificate(terms(card_id=b"another-card-id!"), ISSUER)
    assert evidence.verify(Evidence(others, found.first, found.second), ISSUER_KEY) is None
    unsigned = messages.Certificate(terms(public_key=stranger.public_key), found.certificate.signature)
    assert evidence.verify(Evidence(unsigned, messages.sign_receipt(found.first.body, stranger), forged), ISSUER_KEY) is None
    honest = messages.sign_receipt(body(2, 15, 5), CARD_KEYS[Algorithm.P256_DER])
    assert evidence.verify(Evidence(found.certificate, found.first, honest), ISSUER_KEY) is None


def test_no_changed_bit_leaves_a_proof() -> None:
    valid = evidence.encode(signed(body(1, 10, 10), body(1, 10, 10, nonce=1)))
    for bit in range(8 * len(valid)):
        try:
            changed = evidence.decode((int.from_bytes(valid) ^ 1 << bit).to_bytes(len(valid)))
        except Malformed:
            continue
        assert evidence.verify(changed, ISSUER_KEY) is None, bit


def test_one_receipt_twice_and_receipts_in_disorder_are_no_evidence() -> None:
    found = signed(body(1, 10, 10), body(1, 10, 10, nonce=1))
    for first, second in ((found.first, found.first), (found.second, found.first)):
        with pytest.raises(Malformed, match="order"):
            evidence.decode(evidence.encode(Evidence(found.certificate, first, second)))
