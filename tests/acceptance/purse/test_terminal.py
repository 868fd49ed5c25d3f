"""What a terminal decides without a network: each reason alone, the order of reasons, and the table after a tear."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from counterfoil.acceptance.purse import messages
from counterfoil.acceptance.purse.messages import Certificate, Payment, Receipt, Selected, State
from counterfoil.acceptance.purse.signatures import Algorithm, PrivateKey
from counterfoil.acceptance.purse.terminal import (
    LIFE_MAX_S,
    Decision,
    History,
    Intent,
    Reason,
    after_tear,
    refuse_certificate,
    refuse_payment,
    refuse_receipt,
)
from tests.acceptance.purse.purses import CARD_ID, CARD_KEYS, CEILING, DAY, ISSUER, MAX_TX, NOW, OTHER_TILL, TILL, certificate, rules, terms

STRANGER = PrivateKey(Algorithm.P256_DER, b"\x07" * 32)
CTR, CUM = 5, 500
NONCE = b"nonce-of-16-byte"


def selected(**other: Any) -> Selected:
    given = dict(algorithm=Algorithm.P256_DER, state=State.ACTIVE, card_id=CARD_ID, epoch=1, ctr=CTR, cum=CUM, ceiling=CEILING)
    return Selected(**(given | other))  # type: ignore[arg-type]


ASKED = Payment(amount=200, currency="USD", terminal_id=TILL, nonce=NONCE)
INTENT = Intent(card_id=CARD_ID, epoch=1, ctr=CTR, payment=ASKED)


def receipt(key: PrivateKey = CARD_KEYS[Algorithm.P256_DER], **other: Any) -> Receipt:
    given = dict(
        algorithm=Algorithm.P256_DER, card_id=CARD_ID, epoch=1, ctr=CTR + 1, cum=CUM + 200, amount=200, currency="USD", terminal_id=TILL,
        nonce=NONCE,
    )  # fmt: skip
    return messages.sign_receipt(messages.Body(**(given | other)), key)  # type: ignore[arg-type]


def test_a_good_card_is_taken() -> None:
    assert refuse_certificate(certificate(), selected(), rules(), NOW) is None
    assert refuse_payment(200, certificate(), selected(), History(), rules()) is None
    assert refuse_receipt(receipt(), INTENT, certificate(), History()) is None


@pytest.mark.parametrize(
    ("reason", "certified", "shown", "known", "now_s"),
    [
        (Reason.NOT_ACTIVE, certificate(), selected(state=State.BLOCKED), rules(), NOW),
        (Reason.NOT_ACTIVE, certificate(), selected(state=State.EMPTY), rules(), NOW),
        (Reason.UNKNOWN_ISSUER, certificate(), selected(), rules(issuers={}), NOW),
        (Reason.WRONG_CERTIFICATE_SIGNATURE, Certificate(terms(ceiling=CEILING + 1), certificate().signature), selected(), rules(), NOW),
        (Reason.WRONG_CERTIFICATE_SIGNATURE, messages.sign_certificate(terms(), PrivateKey(Algorithm.ED25519, bytes(32))), selected(), rules(), NOW),
        (Reason.OTHER_CERTIFICATE, certificate(), selected(card_id=bytes(16)), rules(), NOW),
        (Reason.OTHER_CERTIFICATE, certificate(), selected(epoch=2), rules(), NOW),
        (Reason.OTHER_CERTIFICATE, certificate(), selected(algorithm=Algorithm.P256_RAW), rules(), NOW),
        (Reason.OTHER_CERTIFICATE, certificate(), selected(ceiling=CEILING + 1), rules(), NOW),
        (Reason.NOT_YET_VALID, certificate(), selected(), rules(), NOW - DAY - 1),
        (None, certificate(), selected(), rules(), NOW - DAY),
        (None, certificate(), selected(), rules(), NOW + 13 * DAY - 1),
        (Reason.EXPIRED, certificate(), selected(), rules(), NOW + 13 * DAY),
        (None, certificate(not_before=NOW, not_after=NOW + LIFE_MAX_S), selected(), rules(), NOW),
        (Reason.LIFE_TOO_LONG, certificate(not_before=NOW, not_after=NOW + LIFE_MAX_S + 1), selected(), rules(), NOW),
        (None, certificate(), selected(), rules(certificate_age_max_s=DAY), NOW),
        (Reason.TOO_OLD, certificate(), selected(), rules(certificate_age_max_s=DAY - 1), NOW),
        (Reason.BLOCKED, certificate(block=True), selected(), rules(), NOW),
        (Reason.DENIED, certificate(), selected(), rules(denied={CARD_ID: 1}), NOW),
        (Reason.DENIED, certificate(), selected(), rules(denied={CARD_ID: 7}), NOW),
        (None, certificate(epoch=2), selected(epoch=2), rules(denied={CARD_ID: 1, bytes(16): 9}), NOW),
        (Reason.OTHER_CURRENCY, certificate(currency="KRW"), selected(), rules(), NOW),
    ],
)  # fmt: skip
def test_a_certificate_is_refused_with_the_first_reason(
    reason: Reason | None, certified: Certificate, shown: Selected, known: Any, now_s: int
) -> None:
    assert refuse_certificate(certified, shown, known, now_s) is reason


@pytest.mark.parametrize(
    ("reason", "amount", "shown", "history", "known"),
    [
        (None, MAX_TX, selected(), History(), rules()),
        (Reason.ABOVE_CARD_MAXIMUM, MAX_TX + 1, selected(), History(), rules()),
        (None, 200, selected(), History(), rules(floor_limit=200)),
        (Reason.ABOVE_FLOOR_LIMIT, 201, selected(), History(), rules(floor_limit=200)),
        (None, 200, selected(), History(day_amount=800), rules(day_amount_max=1_000)),
        (Reason.ABOVE_DAY_AMOUNT, 201, selected(), History(day_amount=800), rules(day_amount_max=1_000)),
        (None, 200, selected(), History(offline_count=2), rules(offline_count_max=3)),
        (Reason.TOO_MANY_OFFLINE, 200, selected(), History(offline_count=3), rules(offline_count_max=3)),
        (None, 200, selected(cum=CEILING - 200), History(), rules()),
        (Reason.ABOVE_CEILING, 201, selected(cum=CEILING - 200), History(), rules()),
        (None, 200, selected(ctr=999, cum=999), History(), rules()),
        (Reason.COUNTER_USED_UP, 200, selected(ctr=1_000, cum=1_000), History(), rules()),
    ],
)
def test_a_payment_is_refused_with_the_first_reason(
    reason: Reason | None, amount: int, shown: Selected, history: History, known: Any
) -> None:
    assert refuse_payment(amount, certificate(), shown, history, known) is reason


@pytest.mark.parametrize(
    ("reason", "got"),
    [
        (Reason.OTHER_PAYMENT, receipt(card_id=b"another-card-id!")),
        (Reason.OTHER_PAYMENT, receipt(amount=199)),
        (Reason.OTHER_PAYMENT, receipt(currency="KRW")),
        (Reason.OTHER_PAYMENT, receipt(terminal_id=OTHER_TILL)),
        (Reason.OTHER_PAYMENT, receipt(nonce=bytes(16))),
        (Reason.OTHER_EPOCH, receipt(epoch=2)),
        (Reason.WRONG_RECEIPT_SIGNATURE, receipt(STRANGER)),
        (Reason.WRONG_RECEIPT_SIGNATURE, Receipt(receipt().body, receipt(cum=CUM + 201).signature)),
        (Reason.ABOVE_CEILING, receipt(cum=CEILING + 1)),
        (None, receipt(cum=CEILING)),
        (Reason.COUNTER_USED_UP, receipt(ctr=1_001, cum=2_000)),
        (Reason.COUNTER_NOT_NEW, receipt(ctr=CTR)),
        (None, receipt(ctr=CTR + 2, cum=CUM + 300)),
    ],
)
def test_a_receipt_is_refused_with_the_first_reason(reason: Reason | None, got: Receipt) -> None:
    assert refuse_receipt(got, INTENT, certificate(), History()) is reason


def test_a_receipt_above_the_cards_maximum_or_of_another_epoch_than_intended_is_refused() -> None:
    assert refuse_receipt(receipt(), INTENT, certificate(max_tx=199), History()) is Reason.ABOVE_CARD_MAXIMUM
    assert refuse_receipt(receipt(epoch=2), INTENT, certificate(epoch=2), History()) is Reason.OTHER_EPOCH


def test_a_receipt_that_contradicts_a_known_one_hands_out_no_goods() -> None:
    twin = receipt(nonce=bytes(16))
    assert refuse_receipt(receipt(), INTENT, certificate(), History(receipts=[twin])) is Reason.CONTRADICTS
    before = receipt(ctr=CTR, cum=CUM, nonce=bytes(16))
    assert refuse_receipt(receipt(), INTENT, certificate(), History(receipts=[before, receipt()])) is None


OURS, OTHERS = receipt(), receipt(terminal_id=OTHER_TILL, nonce=bytes(16))
BEFORE = receipt(ctr=CTR, cum=CUM, nonce=bytes(16))
BEYOND = receipt(ctr=CTR + 2, cum=CUM + 400, nonce=bytes(16))
NEXT = dict(ctr=CTR + 1, cum=CUM + 200)


@pytest.mark.parametrize(
    ("decision", "shown", "last"),
    [
        (Decision.PENDING, None, None),
        (Decision.PENDING, None, OURS),
        (Decision.OTHER_CARD, selected(card_id=bytes(16)), None),
        (Decision.OTHER_CARD, selected(card_id=bytes(16)), OURS),
        # the card has not gone on
        (Decision.PAY_AGAIN, selected(), BEFORE),
        (Decision.ASK_AGAIN, selected(), None),
        (Decision.NEVER_PAID, selected(state=State.BLOCKED), BEFORE),
        (Decision.NEVER_PAID, selected(epoch=2), BEFORE),
        # the card has gone on by one
        (Decision.ACCEPT, selected(**NEXT), OURS),
        (Decision.ACCEPT, selected(**NEXT, state=State.BLOCKED), OURS),
        (Decision.ACCEPT, selected(**NEXT, epoch=2), OURS),
        (Decision.NEVER_PAID, selected(**NEXT), OTHERS),
        (Decision.ASK_AGAIN, selected(**NEXT), None),
        # the card has gone on by more
        (Decision.UNRESOLVED, selected(ctr=CTR + 2, cum=CUM + 400), BEYOND),
        (Decision.ASK_AGAIN, selected(ctr=CTR + 2, cum=CUM + 400), None),
        # the card went back
        (Decision.FELL_BACK, selected(ctr=CTR - 1), None),
        (Decision.FELL_BACK, selected(ctr=CTR - 1), receipt(ctr=CTR - 1, nonce=bytes(16))),
        # SELECT is not signed, and a receipt is
        (Decision.ACCEPT, selected(), OURS),
        (Decision.ACCEPT, selected(ctr=CTR - 1), OURS),
        (Decision.ACCEPT, selected(ctr=CTR + 2, cum=CUM + 400), OURS),
        (Decision.UNRESOLVED, selected(), OTHERS),
        (Decision.UNRESOLVED, selected(**NEXT), BEFORE),
        (Decision.UNRESOLVED, selected(**NEXT), Receipt(OTHERS.body, OURS.signature)),
        (Decision.UNRESOLVED, selected(**NEXT), receipt(STRANGER)),
        (Decision.UNRESOLVED, selected(**NEXT), receipt(amount=100)),
    ],
)
def test_the_table_after_a_tear(decision: Decision, shown: Selected | None, last: Receipt | None) -> None:
    assert after_tear(INTENT, certificate(), shown, last) is decision


def test_a_card_that_never_paid_has_nothing_to_show_and_is_asked_again() -> None:
    fresh = msgspec.structs.replace(INTENT, ctr=0)
    assert after_tear(fresh, certificate(), selected(ctr=0, cum=0), None) is Decision.PAY_AGAIN
    assert after_tear(fresh, certificate(), selected(ctr=1, cum=200), None) is Decision.ASK_AGAIN
    assert after_tear(fresh, certificate(), selected(ctr=1, cum=200), receipt(ctr=1, cum=200)) is Decision.ACCEPT


def test_the_certificate_of_a_torn_payment_may_have_been_renewed() -> None:
    """The key is the same; the receipt is judged by the certificate that was shown before it."""
    assert after_tear(INTENT, certificate(), selected(**NEXT, epoch=2), OURS) is Decision.ACCEPT
    assert refuse_receipt(OURS, INTENT, certificate(), History()) is None


def test_reasons_are_stable() -> None:
    assert all(reason == reason.name.lower() for reason in Reason)
    assert all(decision == decision.name.lower() for decision in Decision)
    assert msgspec.json.encode(Reason.CONTRADICTS) == b'"contradicts"'
    assert ISSUER.algorithm is Algorithm.ED25519
