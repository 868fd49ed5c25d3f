"""What several cheats do: publish a forged history, rewrite one that was witnessed, show two; and what holders are left with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from counterfoil.ids import id_text
from counterfoil.payments.orders import encode
from counterfoil.payments.types import AuthorisationClass
from counterfoil.payments.views import AuditView
from counterfoil.tlog.entry import EntryType, Role
from counterfoil.tlog.note import Note
from tests.flow.forgery import Draft, Forged, History, Town, believed, movement
from tests.flow.stage import LATE_S, LOG, VERIFY, Books, Look, serve

RECEIPT = (VERIFY, "receipt", "3.tlog-proof", "--previous", "2.tlog-proof", "--policy", "policy")
OWN_RECEIPT = (VERIFY, "receipt", "2.tlog-proof", "--policy", "policy")
COMPLAIN = ("counterfoil", "wallet", "complain")
COMPLAINT = (VERIFY, "complaint", "3.complaint", "--answer", "3.tlog-proof", "--policy", "policy")
PAYEES_RECEIPT = (VERIFY, "receipt", "3-payee.tlog-proof", "--policy", "policy")
LOG_SEEN_BEFORE = (*LOG, "--state", "seen")
HOLDER, WALLET, AUDITOR, ANYBODY = "Ana's phone", "Ana's wallet", "auditor", "anybody"


@contextmanager
def published(books: Books, name: str, history: History, *, after: int) -> Iterator[Forged]:
    """A forged history, signed by the log and cosigned by five witnesses who have seen no other; with Ana's receipt of her third payment."""
    sealed = history.seal()
    with books.forging(name) as forged:
        head = books.publish(forged, sealed, after=after)
        assert believed(head)
        give_receipt(books, forged, head)
        yield forged


def rewritten(books: Books, forged: Forged, history: History) -> None:
    """A forged history that the witnesses refuse, under the heads that they signed for the true one."""
    head = books.publish(forged, history.seal(), after=0)
    assert not believed(head)
    shutil.copy(books.folder / "log/public/witnessed", forged.public)
    shutil.copytree(books.folder / "log/public/heads", forged.public / "heads")
    for number in (1, 2):
        shutil.copy(books.folder / f"{number}.tlog-proof", forged.folder)
    give_receipt(books, forged, head)


@contextmanager
def two_histories(books: Books, *, colluding: int) -> Iterator[tuple[Forged, Forged]]:
    """The true log and a second one with the same entries up to Ana's third payment, which goes to Mallory there.

    Of the honest witnesses all but the last hear of the true one first; with three who collude the last one hears of the other.
    """
    other, at = before_third(books)
    view = msgspec.structs.replace(forged_payment(books, 5_000), time=time_of(other, at))
    other.drafts[at:] = [Draft(EntryType.TRANSFER, view.time, view)]
    false, true = other.seal(), books.sealed[: books.sizes[2]]
    enough = colluding > 2
    name = f"fork-{colluding}"
    town = Town(books.root / name / "witnesses", books.clock, colluding=colluding)
    with books.forging(f"{name}-ben", town=town) as first, books.forging(f"{name}-mallory", town=town) as second:
        for number, size in enumerate(books.sizes[:2], 1):
            for forged in (first, second):
                forged.grow(books.sealed[:size], witnessed=forged is first)
                shutil.copy(books.folder / f"{number}.tlog-proof", forged.folder)
        head = first.grow(true, honest=town.honest[: -1 if enough else None])
        other_head = second.grow(false, honest=town.honest[-1:] if enough else town.honest)
        assert believed(head)
        assert believed(other_head) is enough
        first.receipt(len(true) - 1, Role.PAYEE, head, second.folder / "3-bens.tlog-proof")
        second.receipt(len(false) - 1, Role.PAYER, other_head, second.folder / "3.tlog-proof")
        second.receipt(len(false) - 1, Role.PAYEE, other_head, second.folder / "3-payee.tlog-proof")
        yield first, second
    town.close()


def give_receipt(books: Books, forged: Forged, head: Note) -> None:
    """Ana's receipt of her third payment, if it is logged; her wallet; what she saw the day before."""
    third = books.paid[2].payment.id
    for each in forged.sealed:
        if isinstance(each.view, AuditView) and each.view.payment == third:
            forged.receipt(each.index, Role.PAYER, head, forged.folder / "3.tlog-proof")
            forged.receipt(each.index, Role.PAYEE, head, forged.folder / "3-payee.tlog-proof")
            serve(forged.folder, id_text(third), forged.folder / "3.tlog-proof")
    books.make_wallet(forged.folder)
    books.see(forged.folder, 3)


def refused(books: Books, forged: Forged, *, status: int, says: str) -> Look:
    """What all five witnesses answer."""
    assert len(forged.verdicts) == 5
    assert len({verdict.status for verdict in forged.verdicts}) == 1
    return books.witness_look(forged.verdicts[0], status=status, says=says)


def write_complaint(books: Books, forged: Forged) -> None:
    """Ana's wallet writes her complaint about the third payment; on the honest log, too, where it will be answered."""
    assert books.clock.offset_s >= LATE_S
    if not (forged.folder / "ana.key").exists():
        books.make_wallet(forged.folder)
    books.look(forged, WALLET, *COMPLAIN, books.payment(3), "--out", "3.complaint", code=0, says="Written to", honest="Written to")


def complaint(books: Books, forged: Forged, says: str) -> Look:
    """What anybody hears of Ana's complaint, beside the operator's answer to it."""
    look = books.look(forged, ANYBODY, *COMPLAINT, code=0, says=says, honest_code=1, honest="it was answered")
    return look._replace(who="anybody, when Ana complains", runs=f"{' '.join(COMPLAIN)} ID, {look.runs}")


def wallet_proof(books: Books, number: int) -> tuple[str, ...]:
    return ("counterfoil", "wallet", "proof", books.payment(number), "--out", "fetched.tlog-proof")


def before_third(books: Books) -> tuple[History, int]:
    """A copy of the true history, and the place of Ana's third payment in it."""
    history = books.history.copy()
    return history, history.of_payment(books.paid[2].payment.id)


def time_of(history: History, at: int) -> int:
    return history.drafts[at].time


def payment_at(history: History, at: int) -> AuditView:
    view = history.drafts[at].view
    assert isinstance(view, AuditView)
    return view


def forged_payment(books: Books, amount: int) -> AuditView:
    """A payment from Ana to Mallory with an order as Ana would write it, and no signature."""
    history, at = before_third(books)
    ana, mallory = books.person("ana"), books.person("mallory")
    order = books.people["ana"].order(mallory, amount)
    view = movement(payment_at(history, at), payer=ana, payee=mallory, amount=amount, id=order.id, time=time_of(history, at) - 1)
    data = encode(order)
    return msgspec.structs.replace(view, order=data, order_hash=digest(data))


def repeated(view: AuditView, *, time: int, id: int, pending: Mapping[int, int]) -> AuditView:
    """The same movement again, later, under a new id and without an order; `pending`: what it resolves, by the transfers of the first time."""
    legs = [
        msgspec.structs.replace(leg, transfer=id if place == view.principal else id + 1 + place, pending=pending.get(leg.pending, 0))
        for place, leg in enumerate(view.legs)
    ]
    return msgspec.structs.replace(view, time=time, payment=id, legs=tuple(legs), order=b"", order_hash=bytes(32))


def pin(history: History) -> History:
    """The payment to Mallory without order and signature, as one by PIN has it."""
    for draft in history.drafts:
        if isinstance(draft.view, AuditView) and draft.view.signature == bytes(64):
            changed = {"authorisation": AuthorisationClass.PIN, "device": 0, "signature": b"", "order": b""}
            draft.view = msgspec.structs.replace(draft.view, **changed)
    return history


def signed_by_ana(books: Books, view: AuditView, order: bytes) -> AuditView:
    signature = books.people["ana"].key.sign(order).signature
    return msgspec.structs.replace(view, order=order, order_hash=digest(order), signature=signature)


def multiply(history: History, at: int, factor: int) -> None:
    view = payment_at(history, at)
    legs = tuple([msgspec.structs.replace(leg, amount=leg.amount * factor) for leg in view.legs])
    history.drafts[at].view = msgspec.structs.replace(view, legs=legs)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
