"""The reference card: every command, state and status word, and what holds whatever is sent to it in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from counterfoil.acceptance.purse import apdu, evidence, messages
from counterfoil.acceptance.purse.apdu import AID, Instruction, Status
from counterfoil.acceptance.purse.card import Card, Kept
from counterfoil.acceptance.purse.messages import Body, Payment, Receipt, State
from counterfoil.acceptance.purse.signatures import Algorithm, PrivateKey
from tests.acceptance.purse.purses import (
    CARD_ID,
    CEILING,
    MAX_TX,
    OTHER_TILL,
    TILL,
    InMemory,
    certificate,
    issued,
    make_card,
    pay,
    payment,
    put,
    select,
    send,
    terms,
)

PAYING = messages.encode_payment(payment(200))


def status(card: Card, instruction: Instruction, data: bytes = b"") -> int:
    answer = send(card, instruction, data)
    assert answer.status == Status.DONE or not answer.data
    return answer.status


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_life_of_a_card(algorithm: Algorithm) -> None:
    card = make_card(InMemory(), algorithm)
    empty = select(card)
    assert (empty.state, empty.epoch, empty.ctr, empty.cum, empty.ceiling) == (State.EMPTY, 0, 0, 0, 0)
    put(card, certificate(algorithm))
    assert send(card, Instruction.GET_CERT) == apdu.Answer(messages.encode_certificate(certificate(algorithm)), Status.DONE)
    asked = payment(200)
    receipt = pay(card, asked)
    assert receipt.body == Body(
        algorithm=algorithm, card_id=CARD_ID, epoch=1, ctr=1, cum=200, amount=200, currency="USD", terminal_id=TILL, nonce=asked.nonce
    )
    assert messages.verify_receipt(receipt, terms(algorithm))
    assert send(card, Instruction.GET_LAST) == apdu.Answer(messages.encode_receipt(receipt), Status.DONE)
    assert send(card, Instruction.GET_STATE) == apdu.Answer((1).to_bytes(4) + (200).to_bytes(8), Status.DONE)
    put(card, certificate(algorithm, epoch=2, ceiling=CEILING + 1))
    assert pay(card, payment(1)).body.epoch == 2
    put(card, certificate(algorithm, epoch=3, ceiling=CEILING + 1, block=True))
    blocked = select(card)
    assert (blocked.state, blocked.epoch, blocked.ctr, blocked.cum, blocked.ceiling) == (State.BLOCKED, 3, 2, 201, CEILING + 1)
    for refused, data in ((Instruction.PAY, PAYING), (Instruction.PUT_CERT, messages.encode_certificate(certificate(algorithm, epoch=4)))):
        assert status(card, refused, data) == Status.NOT_NOW
    assert {status(card, each) for each in (Instruction.GET_STATE, Instruction.GET_LAST, Instruction.GET_CERT)} == {Status.DONE}


def test_nothing_is_answered_before_select_and_nothing_is_stored_in_an_empty_card() -> None:
    card = make_card(InMemory())
    others = [each for each in Instruction if each is not Instruction.SELECT]
    certified = messages.encode_certificate(certificate())
    data = {Instruction.PAY: PAYING, Instruction.PUT_CERT: certified}
    assert {status(card, each, data.get(each, b"")) for each in others} == {Status.NOT_NOW}
    assert status(card, Instruction.SELECT, AID[:-1] + b"\x02") == Status.UNKNOWN_AID
    select(card)
    assert status(card, Instruction.GET_LAST) == status(card, Instruction.GET_CERT) == Status.NOTHING_STORED
    assert status(card, Instruction.PAY, PAYING) == Status.NOT_NOW
    assert status(card, Instruction.GET_STATE) == Status.DONE
    put(card, certificate())
    assert status(card, Instruction.GET_LAST) == Status.NOTHING_STORED
    assert status(card, Instruction.SELECT, AID + b"\x00") == Status.UNKNOWN_AID
    assert status(card, Instruction.GET_STATE) == Status.NOT_NOW


@pytest.mark.parametrize(
    ("answer", "command"),
    [
        ("6700", ""),
        ("6700", "803400"),
        ("6E00", "90320000"),
        ("6E00", "81300000"),
        ("6D00", "80A40400"),
        ("6D00", "00300000"),
        ("6D00", "80FF0000"),
        ("6A86", "80300100"),
        ("6A86", "80300001"),
        ("6A86", "00A40000"),
        ("6700", "8030000001"),
        ("6700", "80300000" + "01FF"),
        ("6700", "80300000" + "05"),
        ("6700", "80320000" + "2A" + "00" * 42),
        ("6700", "80320000" + "2B" + "00" * 42),
        ("6700", "80320000" + "2B" + "00" * 45),
        ("6700", "80320000" + "2B" + "00" * 43 + "01"),
        ("6700", "80320000" + "00" + "00" * 43),
        ("6700", "80380000"),
        ("6700", "80320000"),
        ("6A82", "00A40400"),
    ],
)
def test_commands_in_another_form(answer: str, command: str) -> None:
    card, memory = issued()
    before = memory.kept
    assert card.answer(bytes.fromhex(command)).hex().upper() == answer
    assert memory.kept == before


def test_le_may_be_left_out() -> None:
    card, _ = issued()
    for instruction, data in ((Instruction.SELECT, AID), (Instruction.GET_STATE, b""), (Instruction.PAY, PAYING)):
        assert card.answer(apdu.command(instruction, data)[:-1])[-2:] == b"\x90\x00"


def changed(**fields: Any) -> bytes:
    return messages.encode_payment(Payment(**(dict(amount=200, currency="USD", terminal_id=TILL, nonce=bytes(16)) | fields)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (Status.BAD_FIELD, changed(amount=0)),
        (Status.BAD_FIELD, changed(amount=2**63)),
        (Status.BAD_FIELD, changed(amount=2**64 - 1)),
        (Status.BAD_FIELD, changed(currency="KRW")),
        (Status.BAD_FIELD, changed(currency="usd")),
        (Status.ABOVE_LIMIT, changed(amount=MAX_TX + 1)),
        (Status.ABOVE_LIMIT, changed(amount=2**63 - 1)),
    ],
)
def test_a_payment_is_refused_and_changes_nothing(expected: Status, data: bytes) -> None:
    card, memory = issued()
    before = memory.kept
    assert status(card, Instruction.PAY, data) == expected
    assert memory.kept == before


def test_a_card_pays_to_its_ceiling_and_its_last_count_and_no_further() -> None:
    card, _ = issued(ceiling=500, max_ctr=3)
    assert pay(card, payment(499)).body.cum == 499
    assert status(card, Instruction.PAY, changed(amount=2)) == Status.ABOVE_LIMIT
    assert pay(card, payment(1)).body.cum == 500
    assert status(card, Instruction.PAY, changed(amount=1)) == Status.ABOVE_LIMIT
    put(card, certificate(epoch=2, ceiling=1_000, max_ctr=3))
    assert pay(card, payment(100)).body.ctr == 3
    assert status(card, Instruction.PAY, changed(amount=1)) == Status.ABOVE_LIMIT


def test_the_same_pay_again_is_the_same_payment() -> None:
    card, memory = issued()
    asked = payment(200)
    first = pay(card, asked)
    commits = len(memory.commits)
    assert pay(card, asked) == first
    card.power_off()
    select(card)
    assert pay(card, asked) == first
    assert len(memory.commits) == commits
    assert status(card, Instruction.PAY, changed(nonce=asked.nonce, amount=201)) == Status.BAD_FIELD
    assert pay(card, payment(200, OTHER_TILL, asked.nonce)).body.ctr == 2


def test_a_repeat_at_the_ceiling_still_gets_its_receipt() -> None:
    card, _ = issued(ceiling=200, max_ctr=1)
    asked = payment(200)
    assert pay(card, asked) == pay(card, asked)


STRANGER = PrivateKey(Algorithm.P256_DER, b"\x07" * 32)


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        (Status.DONE, dict(epoch=3)),
        (Status.DONE, dict(epoch=9, ceiling=CEILING + 5, max_tx=1, max_ctr=1)),
        (Status.BAD_FIELD, dict(epoch=2)),
        (Status.BAD_FIELD, dict(epoch=1)),
        (Status.BAD_FIELD, dict(epoch=3, ceiling=CEILING - 1)),
        (Status.BAD_FIELD, dict(epoch=3, currency="KRW")),
        (Status.BAD_FIELD, dict(epoch=3, card_id=bytes(16))),
        (Status.BAD_FIELD, dict(epoch=3, public_key=STRANGER.public_key)),
        (Status.BAD_FIELD, dict(epoch=3, algorithm=Algorithm.P256_RAW)),
        (Status.BAD_FIELD, dict(epoch=3, max_tx=0)),
        (Status.CERTIFICATE_REFUSED, dict(epoch=3, issuer_key_id=bytes(8))),
    ],
)
def test_a_certificate_is_taken_or_refused(expected: Status, change: dict[str, Any]) -> None:
    card, memory = issued(epoch=2)
    before = memory.kept
    assert status(card, Instruction.PUT_CERT, messages.encode_certificate(certificate(**change))) == expected
    assert (memory.kept == before) is (expected is not Status.DONE)


def test_a_certificate_that_the_issuer_did_not_sign_is_refused() -> None:
    card, _ = issued()
    forged = messages.Certificate(terms(epoch=2, ceiling=2 * CEILING), certificate(epoch=2).signature)
    assert status(card, Instruction.PUT_CERT, messages.encode_certificate(forged)) == Status.CERTIFICATE_REFUSED
    assert status(card, Instruction.PUT_CERT, messages.encode_certificate(certificate(epoch=2))[:-1]) == Status.BAD_FIELD
    assert status(card, Instruction.PUT_CERT, bytes(71)) == Status.WRONG_LENGTH


@pytest.mark.parametrize("instruction", [Instruction.PAY, Instruction.PUT_CERT])
def test_no_signature_leaves_when_the_memory_fails(instruction: Instruction) -> None:
    card, memory = issued()
    before = memory.kept
    memory.fails = True
    data = {Instruction.PAY: PAYING, Instruction.PUT_CERT: messages.encode_certificate(certificate(epoch=2))}[instruction]
    assert card.answer(apdu.command(instruction, data)) == b"\x65\x81"
    assert status(card, Instruction.GET_LAST) == Status.NOT_NOW, "what is kept is not known before SELECT"
    memory.fails = False
    assert select(card).ctr == 0
    assert memory.kept == before
    assert pay(card, payment(1)).body.ctr == 1


def test_a_memory_that_fails_after_the_payment_was_kept_withholds_no_receipt() -> None:
    card, memory = issued()
    pay(card, payment(200))
    memory.kept = Kept(ctr=1, cum=200, certificate=memory.kept.certificate, body=memory.kept.body)
    select(card)
    memory.fails = True
    answer = send(card, Instruction.GET_LAST)
    assert messages.verify_receipt(messages.decode_receipt(answer.data), terms())


def test_the_body_is_kept_before_anything_is_signed() -> None:
    card, memory = issued()
    receipt = pay(card, payment(200))
    kept, signed = memory.commits[-2:]
    assert (kept.ctr, kept.cum, kept.body, kept.signature) == (1, 200, messages.encode_body(receipt.body), b"")
    assert (signed.ctr, signed.cum, signed.body, signed.signature) == (1, 200, kept.body, receipt.signature)


@given(st.binary(max_size=300) | st.sampled_from(Instruction).flatmap(lambda i: st.binary(max_size=255).map(lambda d: apdu.command(i, d))))
def test_bytes_of_any_kind_get_an_answer_and_move_nothing(command: bytes) -> None:
    card, memory = issued()
    before = memory.kept
    answer = card.answer(command)
    assert int.from_bytes(answer[-2:]) in list(Status)
    if command[:4] != b"\x80\x32\x00\x00" or len(answer) == 2:
        assert memory.kept == before


class Life(RuleBasedStateMachine):
    """Commands in any order, with power cuts and a memory that fails, beside a list of payments kept by hand."""

    @initialize(algorithm=st.sampled_from(Algorithm))
    def begin(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.memory = InMemory()
        self.card = make_card(self.memory, algorithm)
        self.selected = False
        self.epoch, self.ceiling, self.blocked = 0, 0, False
        self.paid: list[Payment] = []
        self.receipts: list[Receipt] = []
        self.seen = (0, 0)

    @rule()
    def selects(self) -> None:
        shown = select(self.card)
        self.selected = True
        assert (shown.epoch, shown.ceiling) == (self.epoch, self.ceiling)
        assert shown.state is (State.EMPTY if not self.epoch else State.BLOCKED if self.blocked else State.ACTIVE)

    @rule()
    def loses_power(self) -> None:
        self.card.power_off()
        self.selected = False

    @rule(
        amount=st.integers(0, 700) | st.just(2**63 - 1),
        till=st.sampled_from([TILL, OTHER_TILL]),
        fails=st.sampled_from([False] * 5 + [True]),
    )
    def pays(self, amount: int, till: bytes, fails: bool) -> None:
        self.ask(payment(amount, till), fails)

    @precondition(lambda self: self.paid)
    @rule(fails=st.booleans())
    def pays_again(self, fails: bool) -> None:
        self.ask(self.paid[-1], fails)

    def ask(self, asked: Payment, fails: bool) -> None:
        self.memory.fails = fails
        answer = send(self.card, Instruction.PAY, messages.encode_payment(asked))
        self.memory.fails = False
        spent = sum(each.amount for each in self.paid)
        if not self.selected or not self.epoch or self.blocked:
            assert answer.status == Status.NOT_NOW
        elif asked.amount == 0:
            assert answer.status == Status.BAD_FIELD
        elif self.paid and asked == self.paid[-1]:
            assert messages.decode_receipt(answer.data).body == self.receipts[-1].body
        elif asked.amount > 500 or spent + asked.amount > self.ceiling or len(self.paid) >= 30:
            assert answer.status == Status.ABOVE_LIMIT
        elif fails:
            assert answer.status == Status.NOT_KEPT
            self.selected = False
        else:
            assert answer.status == Status.DONE
            self.paid.append(asked)
            self.receipts.append(messages.decode_receipt(answer.data))

    @rule(epoch_step=st.integers(-1, 2), ceiling_step=st.integers(-1, 900), block=st.sampled_from([False] * 9 + [True]))
    def is_certified(self, epoch_step: int, ceiling_step: int, block: bool) -> None:
        epoch, ceiling = max(1, self.epoch + epoch_step), max(1, self.ceiling + ceiling_step)
        new = certificate(self.algorithm, epoch=epoch, ceiling=ceiling, block=block, max_tx=500, max_ctr=30)
        answer = send(self.card, Instruction.PUT_CERT, messages.encode_certificate(new))
        if not self.selected or self.blocked:
            assert answer.status == Status.NOT_NOW
        elif epoch <= self.epoch or ceiling < self.ceiling:
            assert answer.status == Status.BAD_FIELD
        else:
            assert answer.status == Status.DONE
            self.epoch, self.ceiling, self.blocked = epoch, ceiling, block

    @precondition(lambda self: self.selected)
    @rule()
    def shows_the_last(self) -> None:
        answer = send(self.card, Instruction.GET_LAST)
        if self.receipts:
            assert answer.data == messages.encode_receipt(self.receipts[-1])
        else:
            assert answer.status == Status.NOTHING_STORED

    @invariant()
    def books_agree_and_never_fall(self) -> None:
        if not hasattr(self, "memory"):
            return
        kept = self.memory.kept
        assert (kept.ctr, kept.cum) == (len(self.paid), sum(each.amount for each in self.paid))
        assert self.seen <= (kept.ctr, kept.cum)
        assert self.seen[1] <= kept.cum <= self.ceiling
        self.seen = (kept.ctr, kept.cum)

    def teardown(self) -> None:
        if not hasattr(self, "receipts"):
            return
        assert sum(each.body.amount for each in self.receipts) == self.memory.kept.cum
        certified = terms(self.algorithm)
        for place, receipt in enumerate(self.receipts):
            assert messages.verify_receipt(receipt, certified)
            assert evidence.find(certificate(self.algorithm), receipt, self.receipts[:place]) is None


TestLife = Life.TestCase
