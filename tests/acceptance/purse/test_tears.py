"""Power lost at every step of the memory, answers cut at every byte: after a new tap, till and card have the same books."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.acceptance.purse import apdu, evidence, messages
from counterfoil.acceptance.purse.apdu import Instruction
from counterfoil.acceptance.purse.card import Card, Kept, NotKept
from counterfoil.acceptance.purse.memory import FileMemory
from counterfoil.acceptance.purse.messages import Receipt
from counterfoil.acceptance.purse.signatures import Algorithm
from counterfoil.acceptance.purse.terminal import Decision
from tests.acceptance.purse.purses import OTHER_TILL, TILL, InMemory, Till, Torn, certificate, issued, make_card, pay, payment, put, select

STEPS = ("write", "fsync", "rename", "fsync folder", "done")
RETAPS_MAX = 3


class NoPower(BaseException):
    """The field is gone: nothing of the card's program runs any more."""


class Disk:
    """A card's file, and a moment at which the power goes. What was not synced by then may or may not be there afterwards."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "card"
        self.memory = FileMemory(self.path, self.step)
        self.steps: list[str] = []
        self.goes_at: int | None = None
        self.refuses: str | None = None
        self.unsynced_is_lost = False
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        """Syncs, and remembers what is on the medium from now on: bytes of a file, or which name of the folder is which file."""
        self._fsync(descriptor)
        place = Path(f"/proc/self/fd/{descriptor}").resolve()
        if place == self.path.parent:
            self._names = {each.name: each.stat().st_ino for each in place.iterdir()}
        elif place.parent == self.path.parent:
            self._contents[place.stat().st_ino] = place.read_bytes()

    def lose_unsynced(self) -> None:
        for each in self.path.parent.iterdir():
            each.unlink()
        for name, number in self._names.items():
            (self.path.parent / name).write_bytes(self._contents.get(number, b""))

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.refuses:
            raise OSError(28, "No space left on device")
        if self.goes_at is not None and len(self.steps) > self.goes_at:
            self.goes_at = None
            if self.unsynced_is_lost:
                self.lose_unsynced()
            raise NoPower

    def plug(self) -> Callable[[bytes], bytes]:
        """A new tap of the same card: Torn when the power goes."""
        card = make_card(FileMemory(self.path, self.step))

        def tap(command: bytes) -> bytes:
            try:
                return card.answer(command)
            except NoPower:
                card.power_off()
                raise Torn from None

        return tap

    @property
    def kept(self) -> Kept:
        return FileMemory(self.path).load()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path, monkeypatch)
    disk.memory.issue()
    card = make_card(disk.memory)
    select(card)
    put(card, certificate())
    pay(card, payment(100, OTHER_TILL))
    disk.steps.clear()
    return disk


def settle(till: Till, tap: Callable[[], Callable[[bytes], bytes]]) -> None:
    for _ in range(RETAPS_MAX):
        if till.intent is None:
            return
        try:
            till.retap(tap())
        except Torn:
            continue
    assert till.intent is None, till.decision


PAYING_STEPS = [*STEPS, *STEPS]
"""The body is kept, then the signature."""


def test_a_payment_takes_these_steps(disk: Disk) -> None:
    Till().start(disk.plug(), 250)
    assert disk.steps == PAYING_STEPS


@pytest.mark.parametrize("unsynced_is_lost", [False, True])
@pytest.mark.parametrize("goes_at", range(len(PAYING_STEPS)))
def test_power_lost_before_and_after_every_step_leaves_one_payment(disk: Disk, goes_at: int, unsynced_is_lost: bool) -> None:
    till = Till()
    disk.goes_at, disk.unsynced_is_lost = goes_at, unsynced_is_lost
    with pytest.raises(Torn):
        till.start(disk.plug(), 250)
    settle(till, disk.plug)
    kept_before_it_went = goes_at >= 4 or (goes_at == 3 and not unsynced_is_lost)
    assert till.decision is (Decision.ACCEPT if kept_before_it_went else Decision.PAY_AGAIN)
    assert [each.body.amount for each in till.accepted] == [250]
    assert (disk.kept.ctr, disk.kept.cum) == (2, 350)
    assert till.accepted[0].body.ctr == 2


@pytest.mark.parametrize("unsynced_is_lost", [False, True])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(range(len(PAYING_STEPS)), repeat=2)))
def test_power_lost_twice_leaves_one_payment(disk: Disk, first: int, second: int, unsynced_is_lost: bool) -> None:
    till = Till()
    disk.goes_at, disk.unsynced_is_lost = first, unsynced_is_lost
    with pytest.raises(Torn):
        till.start(disk.plug(), 250)
    disk.steps.clear()
    disk.goes_at = second
    settle(till, disk.plug)
    assert len(till.accepted) == 1
    assert (disk.kept.ctr, disk.kept.cum) == (2, 350)


@pytest.mark.parametrize("unsynced_is_lost", [False, True])
@pytest.mark.parametrize("goes_at", range(len(STEPS)))
def test_power_lost_while_a_certificate_is_stored_leaves_the_old_or_the_new(disk: Disk, goes_at: int, unsynced_is_lost: bool) -> None:
    tap = disk.plug()
    tap(apdu.command(Instruction.SELECT, apdu.AID))
    disk.goes_at, disk.unsynced_is_lost = goes_at, unsynced_is_lost
    with pytest.raises(Torn):
        tap(apdu.command(Instruction.PUT_CERT, messages.encode_certificate(certificate(epoch=2))))
    assert disk.kept.certificate in (messages.encode_certificate(certificate()), messages.encode_certificate(certificate(epoch=2)))
    assert (disk.kept.ctr, disk.kept.cum) == (1, 100)
    Till().start(disk.plug(), 250)


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_refuses_a_step_is_heard_of_and_loses_nothing(disk: Disk, step: str) -> None:
    till, disk.refuses = Till(), step
    with pytest.raises(Torn, match="0x6581"):
        till.start(disk.plug(), 250)
    disk.refuses = None
    settle(till, disk.plug)
    assert (disk.kept.ctr, disk.kept.cum, len(till.accepted)) == (2, 350, 1)


class Cut:
    """A reader that loses the field while one answer is on its way."""

    def __init__(self, card: Card, command: int, size: int) -> None:
        self.card, self.command, self.size, self.commands = card, command, size, 0

    def __call__(self, command: bytes) -> bytes:
        answer = self.card.answer(command)
        self.commands += 1
        if self.commands - 1 == self.command and self.size < len(answer):
            self.card.power_off()
            return answer[: self.size]
        return answer


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("command", range(4))
def test_answers_cut_at_every_byte_leave_one_payment(algorithm: Algorithm, command: int) -> None:
    """SELECT, GET LAST, GET CERT and PAY of the first tap, then SELECT, GET LAST of the second."""
    for size in range(160):
        card, memory = issued(algorithm)
        pay(card, payment(100, OTHER_TILL))
        till = Till()
        try:
            till.start(Cut(card, command, size), 250)
        except Torn:
            if till.intent is None:
                assert memory.kept.ctr == 1, "nothing was asked"
                continue
            for second in range(2):
                if till.intent is not None:
                    till.retap(Cut(card, second, size))
                    assert till.decision in (Decision.PENDING, Decision.ASK_AGAIN, Decision.ACCEPT)
        settle(till, lambda card=card: card.answer)  # type: ignore[misc]
        assert (memory.kept.ctr, memory.kept.cum, len(till.accepted)) == (2, 350, 1)
        assert till.accepted[0].body.cum == 350


faults = st.sampled_from(["none", "none", "lost command", "lost answer", "memory fails", "cut"])


@settings(max_examples=150)
@given(st.data())
def test_any_history_of_tears_between_two_tills_is_judged_as_it_happened(data: st.DataObject) -> None:
    """Tills that are left in the middle, a card that pays elsewhere meanwhile, a certificate that is renewed: no till is ever told wrong."""
    card, memory = issued()
    tills = {TILL: Till(TILL), OTHER_TILL: Till(OTHER_TILL)}
    epoch = 1

    def tap(command: bytes) -> bytes:
        fault = data.draw(faults)
        if fault == "lost command":
            raise Torn
        memory.fails = fault == "memory fails"
        answer = card.answer(command)
        memory.fails = False
        if fault == "lost answer":
            raise Torn
        return answer[: data.draw(st.integers(0, 200)) % len(answer)] if fault == "cut" else answer

    for _ in range(data.draw(st.integers(1, 12))):
        card.power_off()
        till = tills[data.draw(st.sampled_from([TILL, OTHER_TILL]))]
        if data.draw(st.integers(0, 9)) == 0:
            epoch += 1
            select(card)
            put(card, certificate(epoch=epoch))
            continue
        asked = till.intent
        try:
            if asked is None:
                till.start(tap, data.draw(st.integers(1, 300)))
            else:
                till.decision = None
                till.retap(tap)
        except Torn:
            pass
        if asked is not None:
            paid = asked.payment.nonce in {messages.decode_body(each.body).nonce for each in memory.commits if each.body}
            assert not (till.decision is Decision.NEVER_PAID and paid)
            assert not (till.decision is Decision.ACCEPT and not paid)
            assert till.decision not in (Decision.FELL_BACK, Decision.OTHER_CARD)
    agree(card, memory, list(tills.values()))


def agree(card: Card, memory: InMemory, tills: list[Till]) -> None:
    """After a last tap at each till: each of the card's payments once, known to somebody, accepted by nobody else than who was paid."""
    card.power_off()
    for till in tills:
        if till.intent:
            till.retap(card.answer)
    bodies = {each.body: messages.decode_body(each.body) for each in memory.commits if each.body}
    assert [each.ctr for each in bodies.values()] == list(range(1, memory.kept.ctr + 1))
    assert sum(each.amount for each in bodies.values()) == memory.kept.cum
    assert len({each.nonce for each in bodies.values()}) == len(bodies), "no payment was made twice"
    seen: list[Receipt] = [receipt for till in tills for receipt in till.seen]
    assert {messages.encode_body(each.body) for each in seen} == set(bodies), "each was read by some till"
    for till in tills:
        ours = {each.nonce for each in bodies.values() if each.terminal_id == till.rules.terminal_id}
        accepted = [each.body.nonce for each in till.accepted]
        pending = {till.intent.payment.nonce} if till.intent else set()
        assert len(accepted) == len(set(accepted))
        assert set(accepted) <= ours <= set(accepted) | pending
    for one, other in itertools.combinations(seen, 2):
        assert evidence.find(certificate(), one, [other]) is None


def test_a_file_that_is_missing_damaged_or_of_another_is_never_a_new_card(tmp_path: Path) -> None:
    path = tmp_path / "card"
    memory = FileMemory(path)
    with pytest.raises(NotKept, match="cannot be read"):
        memory.load()
    memory.issue()
    with pytest.raises(NotKept, match="there already"):
        memory.issue()
    card = make_card(memory)
    select(card)
    put(card, certificate())
    pay(card, payment(5))
    good = path.read_bytes()
    for bit in range(8 * len(good)):
        path.write_bytes((int.from_bytes(good) ^ 1 << bit).to_bytes(len(good)))
        with pytest.raises(NotKept, match="damaged"):
            memory.load()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(NotKept, match="damaged"):
            memory.load()
    assert make_card(memory).answer(apdu.command(Instruction.SELECT, apdu.AID)) == b"\x65\x81"
    path.write_bytes(good)
    assert select(make_card(memory)).ctr == 1


def test_what_was_signed_is_never_taken_back_by_a_later_loss_of_power(disk: Disk) -> None:
    """The program dies between rename and sync, and the disk fills up: what GET LAST signs then has to be durable by having been read."""
    till = Till()
    disk.goes_at = STEPS.index("fsync folder")
    with pytest.raises(Torn):
        till.start(disk.plug(), 250)
    disk.refuses = "write"
    settle(till, disk.plug)
    assert till.accepted[0].body.ctr == 2
    disk.lose_unsynced()
    disk.refuses = None
    assert (disk.kept.ctr, disk.kept.cum) == (2, 350)
