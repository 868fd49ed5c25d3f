"""The operator's proof: the log follows from ledger and store to the last byte, and whatever was changed afterwards is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from counterfoil.ids import new_id
from counterfoil.ledger.sqlite_follow import SqliteFollower
from counterfoil.parties.types import Limits
from counterfoil.payments import forms
from counterfoil.payments.openings import Openings
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.publish.rebuild import Rebuild, Rebuilt
from counterfoil.store.reader import StoreReader
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.published import PublishedLog
from tests.payments.publish.logbook import Logbook
from tests.payments.test_batches import finished, form_for
from tests.scheme import Scheme, opened


async def trade(scheme: Scheme) -> None:
    payer, shop = await scheme.customer(funds=100_000), await scheme.merchant(funds=50_000)
    await payer.pay(shop, 20_000)
    await shop.answer(OrderKind.CAPTURE, await payer.hold(shop, 5_000), 3_000)
    file = f"to,amount,memo\n{payer.address},12.50,November\n"
    form = form_for(shop, file)
    await scheme.services.batches.create(shop.sign(forms.encode(form)), file)
    await finished(scheme, form.id, shop)
    staff = scheme.services.parties.staff
    await staff.freeze(freeze := new_id(scheme.clock), payer.party, reason="lost", by=scheme.supervisors[0])
    await staff.unfreeze(freeze, reason="found", by=scheme.supervisors[0])
    await staff.change_tier(payer.party, "identity_seen", reason="papers", by=scheme.supervisors[0])


async def test_every_entry_is_made_anew_byte_for_byte(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        await trade(scheme)
        with Logbook.of(scheme) as book:
            size = book.publish()
            await trade(scheme)
            assert book.rebuild() == type(book.rebuild())(size), "what is not published yet does not matter"
            assert book.publish() > size
            assert book.rebuild().difference is None


_TAMPERED = {
    "ledger: an amount": ("ledger", "UPDATE events SET amount = amount + 1 WHERE code = 1", "legs is"),
    "ledger: an account": (
        "ledger",
        "UPDATE events SET credit_account = (SELECT max(number) FROM accounts) WHERE code = 1",
        "",
    ),
    "ledger: a balance": ("ledger", "UPDATE events SET debit_debits_posted = debit_debits_posted - 1 WHERE code = 1", "accounts is"),
    "ledger: an event is gone": ("ledger", "DELETE FROM events WHERE code = 2", ""),
    "ledger: a time": ("ledger", "UPDATE events SET timestamp = timestamp - 1 WHERE code = 8", "ledger's event"),
    "ledger: an account's flags": ("ledger", "UPDATE accounts SET flags = 8 WHERE code = 10", "flags is 10, and by ledger and store 8"),
    "store: an order": ("store", "UPDATE payments SET order_bytes = x'00' WHERE kind = 1", "order is"),
    "store: an amount that people are shown": ("store", "UPDATE payments SET amount = amount + 1 WHERE kind = 1", "the store says amount"),
    "store: a payee that people are shown": ("store", "UPDATE payments SET payee = payer WHERE kind = 1", "the store says payee"),
    "store: an amount that staff decided": ("store", "UPDATE payments SET amount = amount + 1 WHERE kind = 7", "the store says amount"),
    "store: a memo": ("store", "UPDATE payments SET memo = 'rent' WHERE kind = 2", "the store says memo"),
    "store: a signature": ("store", "UPDATE payments SET signature = zeroblob(64) WHERE kind = 3", "signature is"),
    "store: who signed": ("store", "UPDATE payments SET device = x'00000000000000000000000000000001' WHERE kind = 2", "device is"),
    "store: an order is gone": ("store", "DELETE FROM payments WHERE kind = 2", "kind is"),
    "store: a batch": ("store", "UPDATE payment_batches SET order_bytes = x'00'", "document is"),
    "store: a key": ("store", "UPDATE devices SET public_key = randomblob(32)", "public_key is"),
    "store: a device is gone": ("store", "DELETE FROM devices", ""),
    "store: a tier": ("store", "UPDATE party_events SET facts = replace(facts, 'identity_seen', 'number_only')", "tier is"),
    "store: a reason": ("store", "UPDATE freezes SET reason = 'none'", "reason_hash is"),
    "store: an event is gone": ("store", "DELETE FROM party_events WHERE kind = 'frozen'", ""),
    "store: an event is added": (
        "store",
        "UPDATE party_events SET kind = 'closed' WHERE kind = 'own_limits_set' OR kind = 'recovery_started'",
        "is missing",
    ),
    "openings: a payload": ("log/openings", "UPDATE entries SET audit = CAST(x'02' || substr(audit, 2) AS BLOB) WHERE type = 1 AND hex(audit) LIKE '01%'", "event is"),
    "openings: a public part": ("log/openings", "UPDATE entries SET public = x'7b7d' WHERE type = 2", "public part"),
    "openings: an entry is gone": ("log/openings", "DELETE FROM entries WHERE type = 6", "was not kept"),
    "openings: a day's key": ("log/openings", "UPDATE days SET key = zeroblob(32)", "the log has other bytes"),
    "openings: a day's key is gone": ("log/openings", "DELETE FROM days", "erased"),
    "openings: the rules": ("log/openings", "UPDATE entries SET public = x'7b7d' WHERE type = 5", "the log has other bytes"),
    "openings: a head": ("log/openings", "UPDATE heads SET seq = seq + 1", "newest entry"),
    "openings: the order": (
        "log/openings",
        "UPDATE entries SET source = (SELECT source FROM entries e WHERE e.type = 2) WHERE type = 1",
        "where the ledger has",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", _TAMPERED)
async def test_whatever_was_changed_afterwards_is_found(tmp_path: Path, what: str) -> None:
    file, statement, words = _TAMPERED[what]
    async with opened(tmp_path) as scheme:
        await trade(scheme)
        person = await scheme.customer("Bob")
        limits = scheme.services.parties.staff.set_own_limits
        await limits(person.party, Limits(per_day=1_000))
        with Logbook.of(scheme) as book:
            book.publish()
            assert book.rebuild().difference is None
    with sqlite3.connect(tmp_path / f"{file}.sqlite") as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        assert db.execute(statement).rowcount > 0
    db.close()
    difference = rebuild(tmp_path).difference
    assert difference is not None
    assert words in difference, difference


def rebuild(folder: Path) -> Rebuilt:
    """As `counterfoil check` does it, while no publisher runs."""
    published = PublishedLog(folder / "log")
    note = published.checkpoint()
    assert note is not None
    with (
        Openings.reading(folder / "log/openings.sqlite") as openings,
        SqliteFollower.open(folder / "ledger.sqlite") as ledger,
        StoreReader(f"sqlite:///{folder}/store.sqlite") as store,
    ):
        size = Checkpoint.parse(note.text).size
        return Rebuild(openings=openings, ledger=ledger, store=store, asset="USD", log=published.reader, signed=size).run()


async def test_a_changed_file_of_the_log_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as scheme:
        await trade(scheme)
        with Logbook.of(scheme) as book:
            size = book.publish()
    assert rebuild(tmp_path) == Rebuilt(size)
    (bundle,) = (tmp_path / "log/public/tile/entries/000.p").iterdir()
    data = bytearray(bundle.read_bytes())
    data[36 * 7 + 20] ^= 1
    bundle.write_bytes(data)
    assert rebuild(tmp_path) == Rebuilt(7, "entry 7: the log has other bytes than follow from ledger, store and salts")
