"""What a terminal without a network decides about a card: from what it was shown, and nothing else. Pure.

    SELECT, GET CERT   refuse_certificate, then refuse_payment
    keep the intent    durably: it names what is asked, and the card's counter before it was asked
    PAY                refuse_receipt; a receipt that passes is kept durably, and then the goods are handed out
    anything else      is unknown: tap again, SELECT, GET LAST, `after_tear`

None means: nothing speaks against it. A reason is the first that does, in the order in which `Reason` has them. What SELECT says
is not signed. It may stop a payment; only a receipt that passes `refuse_receipt` lets goods go.

Source: docs/reference/purse.md "The terminal".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from counterfoil.acceptance.purse import evidence
from counterfoil.acceptance.purse.messages import (
    Body,
    Certificate,
    Payment,
    Receipt,
    Selected,
    State,
    verify_certificate,
    verify_receipt,
)
from counterfoil.acceptance.purse.signatures import IssuerKey

LIFE_MAX_S = 30 * 24 * 3600
"""Seconds from not_before to not_after: what a lost key or a broken card can cost ends with the certificate."""


class Reason(enum.StrEnum):
    """Why not. The value is stable; the words for people are the terminal's."""

    # of a certificate
    NOT_ACTIVE = "not_active"
    """The card is empty or blocked."""
    UNKNOWN_ISSUER = "unknown_issuer"
    """The terminal has no key of this issuer."""
    WRONG_CERTIFICATE_SIGNATURE = "wrong_certificate_signature"
    OTHER_CERTIFICATE = "other_certificate"
    """The certificate is not the one that SELECT speaks of: card, epoch, algorithm or ceiling differ."""
    NOT_YET_VALID = "not_yet_valid"
    """The certificate begins later; or the terminal's clock is wrong."""
    EXPIRED = "expired"
    LIFE_TOO_LONG = "life_too_long"
    """The certificate is for longer than LIFE_MAX_S."""
    TOO_OLD = "too_old"
    """The certificate has not been renewed for longer than this terminal trusts."""
    BLOCKED = "blocked"
    """The certificate takes the card out of use."""
    DENIED = "denied"
    """The card is on the denylist, with this epoch or a later one."""
    OTHER_CURRENCY = "other_currency"
    """The card's money is not the terminal's."""
    # of an intended payment
    ABOVE_CARD_MAXIMUM = "above_card_maximum"
    """More than the card may pay at once (max_tx)."""
    ABOVE_FLOOR_LIMIT = "above_floor_limit"
    """More than this terminal takes without a network."""
    ABOVE_DAY_AMOUNT = "above_day_amount"
    """With what this card paid here today, more than this terminal takes from one card."""
    TOO_MANY_OFFLINE = "too_many_offline"
    """The card has paid here as often in a row without a network as this terminal takes."""
    ABOVE_CEILING = "above_ceiling"
    """More than is left on the card; of a receipt: the card spent more than it was given."""
    COUNTER_USED_UP = "counter_used_up"
    """The card has made all the payments that it may (max_ctr)."""
    # of a receipt
    OTHER_PAYMENT = "other_payment"
    """Card, terminal, nonce, amount or currency are not what was asked."""
    OTHER_EPOCH = "other_epoch"
    """The receipt was made under another certificate than the one shown."""
    WRONG_RECEIPT_SIGNATURE = "wrong_receipt_signature"
    COUNTER_NOT_NEW = "counter_not_new"
    """The counter is not above what the card itself named before it was asked."""
    CONTRADICTS = "contradicts"
    """Together with a receipt that the terminal has, this proves that the card spent twice: `evidence.find`."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal knows before a card comes.

    Attributes:
        terminal_id: 16 bytes.
        issuers: keys of issuers by key id.
        denied: by card_id the highest epoch that is refused. Lower ones are, too: a copied card may show an older certificate.
        floor_limit: minor units of one payment.
        day_amount_max: minor units of one card in a day, at this terminal.
        offline_count_max: payments of one card in a row, at this terminal, since it was last online.
        certificate_age_max_s: seconds since not_before.
    """

    terminal_id: bytes
    currency: str
    issuers: Mapping[bytes, IssuerKey]
    denied: Mapping[bytes, int]
    floor_limit: int
    day_amount_max: int
    offline_count_max: int
    certificate_age_max_s: int


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal remembers of one card.

    Attributes:
        day_amount: minor units that it accepted today, with what is pending.
        offline_count: payments that it accepted in a row without a network, with those pending.
        receipts: verified ones, not necessarily all or its own.
    """

    day_amount: int = 0
    offline_count: int = 0
    receipts: Sequence[Receipt] = ()


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal keeps durably before it sends PAY: without it a torn payment cannot be told from one of somebody else.

    `epoch` and `ctr` are what SELECT said before.
    """

    card_id: bytes
    epoch: int
    ctr: int
    payment: Payment


class Decision(enum.StrEnum):
    """What a terminal does when it has tapped again after an answer that did not come, or not whole."""

    ACCEPT = "accept"
    """GET LAST is the receipt of this payment: `refuse_receipt` has the last word."""
    PAY_AGAIN = "pay_again"
    """The card has not paid: send the same PAY, with the same nonce."""
    NEVER_PAID = "never_paid"
    """The card has not paid this, and cannot any more. Whoever still wants to begins anew, with a new nonce."""
    ASK_AGAIN = "ask_again"
    """The card has paid before, and GET LAST did not come or not whole: tap again. Nothing is decided on SELECT alone, which is not signed."""
    OTHER_CARD = "other_card"
    """Not the card that was asked; the payment stays pending."""
    FELL_BACK = "fell_back"
    """The card counts lower than before. No card that keeps the rules does; stays pending, and goes to the issuer."""
    UNRESOLVED = "unresolved"
    """The card has gone on by more than one payment, or contradicts itself; stays pending until the server knows its receipts."""
    PENDING = "pending"
    """The card did not come back. Unpaid, and pending: its receipt may still come by way of another terminal."""


def refuse_certificate(certificate: Certificate, selected: Selected, rules: Rules, now_s: int) -> Reason | None:
    """The first reason not to take payments under `certificate` at `now_s` (seconds since 1970)."""
    terms = certificate.terms
    if selected.state is not State.ACTIVE:
        return Reason.NOT_ACTIVE
    issuer = rules.issuers.get(terms.issuer_key_id)
    if issuer is None:
        return Reason.UNKNOWN_ISSUER
    if not verify_certificate(certificate, issuer):
        return Reason.WRONG_CERTIFICATE_SIGNATURE
    named = (terms.card_id, terms.epoch, terms.algorithm, terms.ceiling)
    if named != (selected.card_id, selected.epoch, selected.algorithm, selected.ceiling):
        return Reason.OTHER_CERTIFICATE
    checks = (
        (now_s < terms.not_before, Reason.NOT_YET_VALID),
        (now_s >= terms.not_after, Reason.EXPIRED),
        (terms.not_after - terms.not_before > LIFE_MAX_S, Reason.LIFE_TOO_LONG),
        (now_s - terms.not_before > rules.certificate_age_max_s, Reason.TOO_OLD),
        (terms.block, Reason.BLOCKED),
        (terms.epoch <= rules.denied.get(terms.card_id, 0), Reason.DENIED),
        (terms.currency != rules.currency, Reason.OTHER_CURRENCY),
    )
    return next((reason for wrong, reason in checks if wrong), None)


def refuse_payment(amount: int, certificate: Certificate, selected: Selected, history: History, rules: Rules) -> Reason | None:
    """The first reason not to ask for `amount` (minor units, 1 or more). `certificate` has passed `refuse_certificate`."""
    assert amount > 0, amount
    terms = certificate.terms
    checks = (
        (amount > terms.max_tx, Reason.ABOVE_CARD_MAXIMUM),
        (amount > rules.floor_limit, Reason.ABOVE_FLOOR_LIMIT),
        (history.day_amount + amount > rules.day_amount_max, Reason.ABOVE_DAY_AMOUNT),
        (history.offline_count >= rules.offline_count_max, Reason.TOO_MANY_OFFLINE),
        (selected.cum + amount > terms.ceiling, Reason.ABOVE_CEILING),
        (selected.ctr >= terms.max_ctr, Reason.COUNTER_USED_UP),
    )
    return next((reason for wrong, reason in checks if wrong), None)


def refuse_receipt(receipt: Receipt, intent: Intent, certificate: Certificate, history: History) -> Reason | None:
    """The first reason not to hand out goods for `receipt`. `certificate` passed `refuse_certificate` before the intent was kept.

    What is refused is kept and uploaded all the same: the card may have paid.
    """
    body, terms = receipt.body, certificate.terms
    if not _is_of(body, intent):
        return Reason.OTHER_PAYMENT
    if (body.epoch, intent.epoch) != (terms.epoch, terms.epoch):
        return Reason.OTHER_EPOCH
    if not verify_receipt(receipt, terms):
        return Reason.WRONG_RECEIPT_SIGNATURE
    if body.amount > terms.max_tx:
        return Reason.ABOVE_CARD_MAXIMUM
    if body.cum > terms.ceiling:
        return Reason.ABOVE_CEILING
    if body.ctr > terms.max_ctr:
        return Reason.COUNTER_USED_UP
    if body.ctr <= intent.ctr:
        return Reason.COUNTER_NOT_NEW
    if evidence.find(certificate, receipt, history.receipts):
        return Reason.CONTRADICTS
    return None


def after_tear(intent: Intent, certificate: Certificate, selected: Selected | None, last: Receipt | None) -> Decision:
    """What to do after a PAY whose outcome is not known, when the card was tapped again.

    `selected`, `last`: what SELECT and then GET LAST answered; None where no whole answer came. GET LAST is asked whatever SELECT says:
    a receipt is signed, and SELECT is not. Every error of the transport and the status 6581 lead here; nothing else does.
    """
    if selected is None:
        return Decision.PENDING
    if selected.card_id != intent.card_id:
        return Decision.OTHER_CARD
    if last is not None and not verify_receipt(last, certificate.terms):
        return Decision.UNRESOLVED
    if last is not None and _is_of(last.body, intent):
        return Decision.ACCEPT
    if last is not None and last.body.ctr != selected.ctr:
        return Decision.UNRESOLVED
    if selected.ctr < intent.ctr:
        return Decision.FELL_BACK
    if last is None and selected.ctr > 0:
        return Decision.ASK_AGAIN
    if selected.ctr == intent.ctr:
        # A new certificate came in between, or a block: the same PAY would be made under terms that nobody has looked at.
        unchanged = selected.state is State.ACTIVE and selected.epoch == intent.epoch
        return Decision.PAY_AGAIN if unchanged else Decision.NEVER_PAID
    assert last is not None, selected
    names_ours = (last.body.terminal_id, last.body.nonce) == (intent.payment.terminal_id, intent.payment.nonce)
    if selected.ctr == intent.ctr + 1 and not names_ours:
        return Decision.NEVER_PAID
    return Decision.UNRESOLVED


def _is_of(body: Body, intent: Intent) -> bool:
    """Whether the body is of the payment that was intended, on the card that was asked."""
    paid = Payment(amount=body.amount, currency=body.currency, terminal_id=body.terminal_id, nonce=body.nonce)
    return (body.card_id, paid) == (intent.card_id, intent.payment)
