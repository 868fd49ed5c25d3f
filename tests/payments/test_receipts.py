"""Final receipts: for those whom a payment concerns, once a witnessed head covers it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from counterfoil.errors import Malformed, PaymentNotFound, Unavailable, UnknownFormat
from counterfoil.payments.openings import EXPORT_HEADER, Openings, export_openings
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipts import ProofState, Receipts, ReceiptStatus
from counterfoil.payments.views import AuditView, HolderView, KeyView
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.entry import EntryType, Opening, Role, Views, encode_entry
from counterfoil.tlog.merkle import leaf_hash, verify_inclusion
from counterfoil.tlog.note import Note
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.published import PublishedLog
from tests.payments.publish.logbook import Logbook
from tests.scheme import opened


def receipts_in(folder: Path) -> Receipts:
    return Receipts(folder / "log/openings.sqlite", PublishedLog(folder / "log"))


def witness(book: Logbook) -> None:
    """Stands in for the quorum, which is not what is tested here: the newest head becomes the witnessed one."""
    note = PublishedLog(book.folder / "log").checkpoint()
    assert note is not None
    book.log.keep_witnessed(note)


def verified(proof: TlogProof | None) -> Opening:
    """What the proof's opening says, after the proof was checked against its own checkpoint."""
    assert proof is not None
    again = TlogProof.decode(proof.encode())
    assert again == proof
    assert proof.extra is not None
    checkpoint = Checkpoint.parse(Note.parse(proof.checkpoint).text)
    opening = Opening.decode(proof.extra)
    verify_inclusion(index=proof.index, size=checkpoint.size, leaf_hash=opening.leaf_hash(), proof=proof.hashes, root=checkpoint.root)
    return opening


async def test_a_receipt_waits_is_logged_and_is_witnessed(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee, other = await scheme.customer(funds=100_000), await scheme.customer("Bob"), await scheme.customer("Eve")
        paid = await payer.pay(payee, 20_000)
        receipts, payment = receipts_in(tmp_path), paid.payment.id
        assert receipts.status(payment, payer.account) == ReceiptStatus(ProofState.WAITING, None), "there is no log yet"
        assert receipts.proof(payment, payer.account) is None
        assert receipts.chain(payer.account) == []
        with Logbook.of(scheme) as book:
            book.publisher.step()
            assert receipts.status(payment, payer.account) == ReceiptStatus(ProofState.WAITING, None), "kept, but not signed"
            book.publish()
            status = receipts.status(payment, payer.account)
            assert status.state is ProofState.LOGGED
            assert receipts.proof(payment, payer.account) is None
            witness(book)
            assert receipts.status(payment, payee.account) == ReceiptStatus(ProofState.WITNESSED, status.index)
            for person, role, balance, fee in ((payer, Role.PAYER, 79_980, -20), (payee, Role.PAYEE, 20_000, 0)):
                proof = receipts.proof(payment, person.account)
                opening = verified(proof)
                assert proof is not None
                assert (opening.role, opening.type, proof.index) == (role, EntryType.TRANSFER, status.index)
                view = HolderView.decode(opening.payload)
                assert (view.account, view.balance, view.fee, view.payment) == (person.account, balance, fee, payment)
                assert view.order_hash == paid.payment.order_hash
                assert view.time == paid.completed_at
            for stranger in (other.account, 840 << 16 | 20):  # who only earned the fee has no receipt of it
                with pytest.raises(PaymentNotFound):
                    receipts.proof(payment, stranger)
                with pytest.raises(PaymentNotFound):
                    receipts.status(payment, stranger)
            for _ in range(3):  # the log grows on beyond the witnessed head
                for _ in range(100):
                    await payer.pay(payee, 1)
                book.publish()
            assert verified(receipts.proof(payment, payer.account)).role is Role.PAYER
            newest = await payer.pay(payee, 5)
            book.publish()
            assert receipts.status(newest.payment.id, payer.account).state is ProofState.LOGGED
            assert receipts.proof(newest.payment.id, payer.account) is None, "the witnessed head is older"
            witness(book)
            assert verified(receipts.proof(newest.payment.id, payer.account)).type is EntryType.TRANSFER
        receipts.close()


async def test_a_holds_receipt_is_of_its_beginning(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, agent = await scheme.customer(funds=100_000), await scheme.agent()
        hold = await payer.hold(agent, 1_000)
        taken = await agent.answer(OrderKind.CAPTURE, hold, 1_000)
        with Logbook.of(scheme) as book:
            book.publish()
            witness(book)
            receipts = receipts_in(tmp_path)
            assert HolderView.decode(verified(receipts.proof(hold.payment.id, payer.account)).payload).event == 1
            assert HolderView.decode(verified(receipts.proof(taken.payment.id, payer.account)).payload).event == 2
            receipts.close()


async def test_a_holder_gets_the_whole_chain(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer(funds=100_000), await scheme.customer("Bob")
        for _ in range(5):
            await payer.pay(payee, 10)
        with Logbook.of(scheme) as book:
            book.publish()
            witness(book)
            receipts = receipts_in(tmp_path)
            indexes = receipts.chain(payer.account)
            assert len(indexes) == 1 + 1 + 1 + 5  # opened, key, money in, payments
            assert receipts.chain(payer.account, limit=3) == indexes[:3]
            assert receipts.chain(payer.account, before=indexes[2], limit=3) == indexes[3:6]
            prev = bytes(32)
            for seq, index in enumerate(reversed(indexes), 1):
                opening = verified(receipts.entry_proof(index, payer.account))
                seq_and_prev = seq.to_bytes(8) + prev
                assert seq_and_prev in opening.payload
                prev = opening.leaf_hash()
            key = verified(receipts.entry_proof(indexes[-2], payer.account))
            assert KeyView.decode(key.payload).device == payer.device
            with pytest.raises(PaymentNotFound):
                receipts.entry_proof(indexes[-2], payee.account)
            with pytest.raises(PaymentNotFound):
                receipts.entry_proof(10_000, payer.account)
            receipts.close()


async def test_auditors_get_every_opening(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer = await scheme.customer(funds=100_000)
        with Logbook.of(scheme) as book:
            size = book.publish()
            file = io.BytesIO()
            assert export_openings(book.openings, file) == size
            data = file.getvalue()
            assert data.startswith(EXPORT_HEADER)
            at = len(EXPORT_HEADER)
            leaves: list[bytes] = []
            while at < len(data):
                length = int.from_bytes(data[at : at + 4])
                record, at = data[at + 4 : at + 4 + length], at + 4 + length
                assert int.from_bytes(record[:8]) == len(leaves)
                kind, salts = EntryType(record[8]), tuple(record[9 + 32 * n : 41 + 32 * n] for n in range(4))
                length = int.from_bytes(record[137:141])
                audit, public = record[141 : 141 + length], record[141 + length :]
                payer_view, payee_view = audit, b""
                if kind <= EntryType.REDEEM:
                    assert AuditView.decode(audit).encode() == audit
                    views = book.openings.views(book.entries()[len(leaves)])
                    assert views is not None
                    payer_view, payee_view = views.payloads[:2]
                again = Views(salts, (payer_view, payee_view, audit, public))  # type: ignore[arg-type]
                leaves.append(leaf_hash(encode_entry(kind, again.commitment())))
            assert leaves == book.log.reader.leaf_hashes(0, size, size)
            for first in (0, 1, size):
                part = io.BytesIO()
                assert export_openings(book.openings, part, first, size=size) == size - first
                assert data.endswith(part.getvalue().removeprefix(EXPORT_HEADER))
            with pytest.raises(Malformed):
                export_openings(book.openings, io.BytesIO(), size + 1)
            assert payer.balance() == 100_000


async def test_an_erased_day_cannot_be_opened_any_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        payer, payee = await scheme.customer(funds=100_000), await scheme.customer("Bob")
        paid = await payer.pay(payee, 10)
        with Logbook.of(scheme) as book:
            book.publish()
            witness(book)
            book.openings._db.execute("DELETE FROM days")
            receipts = receipts_in(tmp_path)
            with pytest.raises(Unavailable, match="erased"):
                receipts.proof(paid.payment.id, payer.account)
            with pytest.raises(Unavailable, match="erased"):
                export_openings(book.openings, io.BytesIO())
            receipts.close()


def test_only_a_file_of_openings_is_opened(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Openings.reading(tmp_path / "openings.sqlite")
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one\n" * 40)
    for way in (Openings.reading, Openings.writing):
        with pytest.raises(UnknownFormat):
            way(tmp_path / "text")
    openings = Openings.writing(tmp_path / "openings.sqlite")
    assert (tmp_path / "openings.sqlite").stat().st_mode & 0o777 == 0o600
    openings._db.execute("PRAGMA user_version = 2")
    openings.close()
    with pytest.raises(UnknownFormat, match="version 1"):
        Openings.reading(tmp_path / "openings.sqlite")
    with Openings.writing(tmp_path / "other.sqlite") as other:
        assert (other.size, other.rules(), other.frozen(), other.heads([1]), other.keys(1)) == (0, None, {}, {}, [])


def test_a_file_that_is_just_being_made_lets_payments_wait(tmp_path: Path) -> None:
    (tmp_path / "openings.sqlite").touch()
    receipts = Receipts(tmp_path / "openings.sqlite", PublishedLog(tmp_path))
    assert receipts.status(1, 2).state == ProofState.WAITING
