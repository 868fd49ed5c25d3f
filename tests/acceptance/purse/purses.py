"""Cards, an issuer and a till to pay at, for the tests of the purse: real cards on real memories, over a reader that tears."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from counterfoil.acceptance.purse import apdu, messages, terminal
from counterfoil.acceptance.purse.apdu import Instruction, Status
from counterfoil.acceptance.purse.card import Card, Kept, Memory, NotKept
from counterfoil.acceptance.purse.messages import Certificate, Payment, Receipt, Selected, Terms
from counterfoil.acceptance.purse.signatures import Algorithm, IssuerKey, PrivateKey
from counterfoil.acceptance.purse.terminal import Decision, History, Intent, Rules
from counterfoil.errors import Malformed

ISSUER = PrivateKey(Algorithm.ED25519, bytes(range(32)))
ISSUER_KEY = IssuerKey(ISSUER.algorithm, ISSUER.public_key)
CARD_KEYS = {algorithm: PrivateKey(algorithm, bytes([algorithm]) * 32) for algorithm in Algorithm}
CARD_ID = b"card-id-16-bytes"
TILL, OTHER_TILL = b"till-of-amina-01", b"till-of-biram-02"
NOW = 1_795_280_000
DAY = 24 * 3600
CEILING, MAX_TX = 10_000, 3_000


def terms(
    algorithm: Algorithm = Algorithm.P256_DER, *, epoch: int = 1, ceiling: int = CEILING, block: bool = False, **other: object
) -> Terms:
    given = dict(
        algorithm=algorithm,
        issuer_algorithm=ISSUER_KEY.algorithm,
        issuer_key_id=ISSUER_KEY.key_id,
        card_id=CARD_ID,
        epoch=epoch,
        currency="USD",
        block=block,
        ceiling=ceiling,
        max_tx=MAX_TX,
        max_ctr=1_000,
        not_before=NOW - DAY,
        not_after=NOW + 13 * DAY,
        public_key=CARD_KEYS[algorithm].public_key,
    )
    return Terms(**(given | other))  # type: ignore[arg-type]


def certificate(algorithm: Algorithm = Algorithm.P256_DER, **other: object) -> Certificate:
    return messages.sign_certificate(terms(algorithm, **other), ISSUER)  # type: ignore[arg-type]


def rules(**other: object) -> Rules:
    given = dict(
        terminal_id=TILL,
        currency="USD",
        issuers={ISSUER_KEY.key_id: ISSUER_KEY},
        denied={},
        floor_limit=5_000,
        day_amount_max=50_000,
        offline_count_max=100,
        certificate_age_max_s=20 * DAY,
    )
    return Rules(**(given | other))  # type: ignore[arg-type]


class InMemory:
    """Keeps what a card keeps, and every commit before, so that tests know what really happened."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.commits: list[Kept] = []
        self.fails = False

    def load(self) -> Kept:
        return self.kept

    def commit(self, kept: Kept) -> None:
        if self.fails:
            raise NotKept("worn out")
        self.kept = kept
        self.commits.append(kept)


def make_card(memory: Memory, algorithm: Algorithm = Algorithm.P256_DER) -> Card:
    return Card(CARD_ID, CARD_KEYS[algorithm], ISSUER_KEY, memory)


def issued(algorithm: Algorithm = Algorithm.P256_DER, **other: object) -> tuple[Card, InMemory]:
    """A selected card with a certificate."""
    memory = InMemory()
    card = make_card(memory, algorithm)
    select(card)
    put(card, certificate(algorithm, **other))
    return card, memory


def send(card: Card, instruction: Instruction, data: bytes = b"") -> apdu.Answer:
    return apdu.parse_answer(card.answer(apdu.command(instruction, data)))


def select(card: Card) -> Selected:
    answer = send(card, Instruction.SELECT, apdu.AID)
    assert answer.status == Status.DONE, hex(answer.status)
    return messages.decode_selected(answer.data)


def put(card: Card, new: Certificate) -> None:
    answer = send(card, Instruction.PUT_CERT, messages.encode_certificate(new))
    assert answer == apdu.Answer(b"", Status.DONE), hex(answer.status)


_nonces = itertools.count(1)


def payment(amount: int, terminal_id: bytes = TILL, nonce: bytes | None = None, currency: str = "USD") -> Payment:
    """With a nonce that was never used before, unless one is given."""
    return Payment(amount=amount, currency=currency, terminal_id=terminal_id, nonce=nonce or next(_nonces).to_bytes(16))


def pay(card: Card, asked: Payment) -> Receipt:
    answer = send(card, Instruction.PAY, messages.encode_payment(asked))
    assert answer.status == Status.DONE, hex(answer.status)
    return messages.decode_receipt(answer.data)


class Torn(Exception):
    """No whole answer came."""


Tap = Callable[[bytes], bytes]
"""A card in the field: command to answer, or Torn."""


class Till:
    """A terminal as docs/reference/purse.md has it, with its books. One payment at a time: `start`, then `retap` until it is settled."""

    def __init__(self, terminal_id: bytes = TILL) -> None:
        self.rules = rules(terminal_id=terminal_id)
        self.intent: Intent | None = None
        self.certificate: Certificate | None = None
        self.accepted: list[Receipt] = []
        self.seen: list[Receipt] = []
        """Whatever GET LAST answered, for the server."""
        self.decision: Decision | None = None

    def start(self, tap: Tap, amount: int) -> None:
        """Raises Torn when the outcome is not known; then `intent` stands unless nothing was asked yet."""
        assert self.intent is None
        selected = messages.decode_selected(_done(tap, Instruction.SELECT, apdu.AID))
        if selected.ctr:
            self._keep(messages.decode_receipt(_done(tap, Instruction.GET_LAST)))
        shown = messages.decode_certificate(_done(tap, Instruction.GET_CERT))
        assert terminal.refuse_certificate(shown, selected, self.rules, NOW) is None
        assert terminal.refuse_payment(amount, shown, selected, History(), self.rules) is None
        self.certificate = shown
        asked = payment(amount, self.rules.terminal_id)
        self.intent = Intent(card_id=selected.card_id, epoch=selected.epoch, ctr=selected.ctr, payment=asked)
        self._ask(tap)

    def retap(self, tap: Tap) -> None:
        """One more tap for what is pending."""
        assert self.intent
        assert self.certificate
        selected = last = None
        try:
            selected = messages.decode_selected(_done(tap, Instruction.SELECT, apdu.AID))
            if selected.ctr:
                last = messages.decode_receipt(_done(tap, Instruction.GET_LAST))
                self._keep(last)
        except Torn:
            pass
        self.decision = terminal.after_tear(self.intent, self.certificate, selected, last)
        if self.decision is Decision.ACCEPT:
            assert last
            self._accept(last)
        elif self.decision is Decision.PAY_AGAIN:
            self._ask(tap)
        elif self.decision is Decision.NEVER_PAID:
            self.intent = None

    def _ask(self, tap: Tap) -> None:
        assert self.intent
        self._accept(messages.decode_receipt(_done(tap, Instruction.PAY, messages.encode_payment(self.intent.payment))))

    def _accept(self, receipt: Receipt) -> None:
        assert self.intent
        assert self.certificate
        assert terminal.refuse_receipt(receipt, self.intent, self.certificate, History(receipts=self.seen)) is None
        self.accepted.append(receipt)
        self._keep(receipt)
        self.intent = None

    def _keep(self, receipt: Receipt) -> None:
        if receipt not in self.seen:
            self.seen.append(receipt)


def _done(tap: Tap, instruction: Instruction, data: bytes = b"") -> bytes:
    """The answer's data. Whatever is no whole answer of success is Torn, as docs/reference/purse.md asks."""
    try:
        answer = apdu.parse_answer(tap(apdu.command(instruction, data)))
        if answer.status == Status.DONE:
            {
                Instruction.SELECT: messages.decode_selected,
                Instruction.GET_CERT: messages.decode_certificate,
            }.get(instruction, messages.decode_receipt)(answer.data)
            return answer.data
    except Malformed as malformed:
        raise Torn from malformed
    raise Torn(hex(answer.status))
