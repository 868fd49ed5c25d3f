"""The reference card: takes a command, answers as section "Commands" of docs/reference/purse.md says. Pure apart from its memory.

    PAY: check -> next = {ctr + 1, cum + amount, body} -> memory.commit(next) -> sign -> memory.commit(signature) -> answer

No byte of a signature is made before the body is durable. A power cut before that leaves the card as it was; a cut after it leaves a
card whose GET LAST signs the kept body. The same PAY again (terminal and nonce of the last payment) is a repeat and gets the same
receipt, so that a terminal that was misled about the counter still moves the money once.

It is what a card of silicon is compared with, and what tests pay with. It is no safe: its key lies in the memory of a computer.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

import msgspec

from counterfoil.acceptance.purse.apdu import AID, Instruction, Refusal, Status, parse
from counterfoil.acceptance.purse.messages import (
    Body,
    Certificate,
    Payment,
    Receipt,
    Selected,
    State,
    Terms,
    decode_body,
    decode_certificate,
    decode_payment,
    encode_body,
    encode_certificate,
    encode_receipt,
    encode_selected,
    sign_receipt,
    verify_certificate,
)
from counterfoil.acceptance.purse.signatures import IssuerKey, PrivateKey
from counterfoil.errors import Malformed


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """All that a card keeps over a loss of power. `certificate`, `body` (of the last payment) and its `signature` are empty before there is one."""

    ctr: int = 0
    cum: int = 0
    certificate: bytes = b""
    body: bytes = b""
    signature: bytes = b""


class NotKept(Exception):
    """The memory could not be read, or it is not known whether it was written."""


class Memory(Protocol):
    """Keeps one `Kept`. After a failure nobody knows which of the two is there, until `load` says so."""

    def load(self) -> Kept:
        """What is kept, and is durable by the time that this returns: what was read can no longer vanish. NotKept otherwise."""

    def commit(self, kept: Kept) -> None:
        """Replaces it whole or not at all, durable on return. NotKept when that is not known."""


class Card:
    """One card in one reader. Not for two threads, and one memory is for one card."""

    def __init__(self, card_id: bytes, key: PrivateKey, issuer: IssuerKey, memory: Memory) -> None:
        """`card_id`: 16 bytes. `issuer`: whose certificates the card takes. Nothing is read before SELECT."""
        assert len(card_id) == 16, card_id
        self._card_id = card_id
        self._key = key
        self._issuer = issuer
        self._memory = memory
        self._kept: Kept | None = None

    def power_off(self) -> None:
        """What happens when the card leaves the field: it has to be selected anew, and then reads its memory."""
        self._kept = None

    def answer(self, command: bytes) -> bytes:
        """Data and status word for a command of any bytes. A refusal is a status word alone, and has changed nothing but for 6581."""
        try:
            instruction, data = parse(command)
            answered = self._selected_anew(data) if instruction is Instruction.SELECT else self._carried_out(instruction, data)
        except Refusal as refusal:
            return refusal.status.to_bytes(2)
        except NotKept:
            self.power_off()  # what is kept is not known here any more: SELECT reads it
            return Status.NOT_KEPT.to_bytes(2)
        return answered + Status.DONE.to_bytes(2)

    def _selected_anew(self, aid: bytes) -> bytes:
        self.power_off()
        if aid != AID:
            raise Refusal(Status.UNKNOWN_AID)
        kept = self._kept = self._memory.load()
        terms = _terms(kept)
        selected = Selected(
            algorithm=self._key.algorithm,
            state=_state(terms),
            card_id=self._card_id,
            epoch=terms.epoch if terms else 0,
            ctr=kept.ctr,
            cum=kept.cum,
            ceiling=terms.ceiling if terms else 0,
        )
        return encode_selected(selected)

    def _carried_out(self, instruction: Instruction, data: bytes) -> bytes:
        if data and instruction not in (Instruction.PAY, Instruction.PUT_CERT):
            raise Refusal(Status.WRONG_LENGTH)
        if self._kept is None:
            raise Refusal(Status.NOT_NOW)
        if instruction is Instruction.PAY:
            return self._pay(self._kept, data)
        if instruction is Instruction.PUT_CERT:
            return self._put_certificate(self._kept, data)
        if instruction is Instruction.GET_LAST:
            return self._last(self._kept)
        if instruction is Instruction.GET_CERT:
            return self._kept.certificate or _nothing()
        return self._kept.ctr.to_bytes(4) + self._kept.cum.to_bytes(8)

    def _pay(self, kept: Kept, data: bytes) -> bytes:
        terms = _terms(kept)
        if terms is None or terms.block:
            raise Refusal(Status.NOT_NOW)
        payment = _payment(data)
        if payment.currency != terms.currency:
            raise Refusal(Status.BAD_FIELD)
        last = decode_body(kept.body) if kept.body else None
        if last and (last.terminal_id, last.nonce) == (payment.terminal_id, payment.nonce):
            if (last.amount, last.currency) != (payment.amount, payment.currency):
                raise Refusal(Status.BAD_FIELD)
            return self._last(kept)
        if payment.amount > terms.max_tx or payment.amount > terms.ceiling - kept.cum or kept.ctr >= terms.max_ctr:
            raise Refusal(Status.ABOVE_LIMIT)
        # After this point, the payment must succeed, or it is not known whether it has.
        body = Body(
            algorithm=self._key.algorithm,
            card_id=self._card_id,
            epoch=terms.epoch,
            ctr=kept.ctr + 1,
            cum=kept.cum + payment.amount,
            amount=payment.amount,
            currency=payment.currency,
            terminal_id=payment.terminal_id,
            nonce=payment.nonce,
        )
        assert body.cum <= terms.ceiling, (body.cum, terms.ceiling)
        paid = msgspec.structs.replace(kept, ctr=body.ctr, cum=body.cum, body=encode_body(body), signature=b"")
        self._memory.commit(paid)
        self._kept = paid
        return self._last(paid)

    def _last(self, kept: Kept) -> bytes:
        """The receipt of the kept body, signed now unless it was before."""
        if not kept.body:
            _nothing()
        body = decode_body(kept.body)
        if kept.signature:
            return encode_receipt(Receipt(body, kept.signature))
        receipt = sign_receipt(body, self._key)
        # Kept so that the key signs each payment once, and nobody learns from asking often. A memory that fails here withholds no receipt:
        # whichever of the two is kept, its counter, sum and body are the same, and durable.
        signed = msgspec.structs.replace(kept, signature=receipt.signature)
        with contextlib.suppress(NotKept):
            self._memory.commit(signed)
        self._kept = signed
        return encode_receipt(receipt)

    def _put_certificate(self, kept: Kept, data: bytes) -> bytes:
        before = _terms(kept)
        if before and before.block:
            raise Refusal(Status.NOT_NOW)
        certificate = _certificate(data)
        terms = certificate.terms
        if (terms.card_id, terms.algorithm, terms.public_key) != (self._card_id, self._key.algorithm, self._key.public_key):
            raise Refusal(Status.BAD_FIELD)
        if before and (terms.currency != before.currency or terms.epoch <= before.epoch or terms.ceiling < before.ceiling):
            raise Refusal(Status.BAD_FIELD)
        if not verify_certificate(certificate, self._issuer):
            raise Refusal(Status.CERTIFICATE_REFUSED)
        renewed = msgspec.structs.replace(kept, certificate=encode_certificate(certificate))
        self._memory.commit(renewed)
        self._kept = renewed
        return b""


def _terms(kept: Kept) -> Terms | None:
    return decode_certificate(kept.certificate).terms if kept.certificate else None


def _state(terms: Terms | None) -> State:
    if terms is None:
        return State.EMPTY
    return State.BLOCKED if terms.block else State.ACTIVE


def _payment(data: bytes) -> Payment:
    try:
        return decode_payment(data)
    except Malformed as malformed:
        raise Refusal(_status_of(malformed, "payment")) from None


def _certificate(data: bytes) -> Certificate:
    try:
        return decode_certificate(data)
    except Malformed as malformed:
        raise Refusal(_status_of(malformed, "certificate")) from None


def _status_of(malformed: Malformed, whole: str) -> Status:
    """A wrong length when the whole is of no possible length, else a bad field."""
    return Status.WRONG_LENGTH if malformed.facts["field"] == whole else Status.BAD_FIELD


def _nothing() -> bytes:
    raise Refusal(Status.NOTHING_STORED)
