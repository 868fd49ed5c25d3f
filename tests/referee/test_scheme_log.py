"""Go's own log code reads the log of a real scheme, written by the real publisher: heads, entries, receipts, and what was tampered with."""

from __future__ import annotations

import asyncio
import base64
import shutil
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipts import Receipts
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.entry import EntryType, Opening
from counterfoil.tlog.keys import COSIGNATURE, Signer
from counterfoil.tlog.log import Log
from counterfoil.tlog.note import Note
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.published import PublishedLog
from counterfoil.tlog.tiles import decode_bundle
from tests.payments.publish.logbook import KEY, ORIGIN, Logbook
from tests.referee.conftest import Referee
from tests.scheme import opened

pytestmark = pytest.mark.timeout(900)  # the first build on a busy machine

LOG_KEY = Signer(ORIGIN, KEY).vkey
WITNESSES = [Signer(f"witness.example/{number}", SigningKey(bytes([number]) * 32), COSIGNATURE) for number in range(5)]
KEYS = (LOG_KEY, *(witness.vkey for witness in WITNESSES))
QUORUM = 4


class Town(msgspec.Struct, frozen=True):
    """What a scheme has published, and what it gave to a holder.

    Attributes:
        public: the public tree.
        before: the same at an earlier head.
        receipts: of payments of every kind, as files.
    """

    public: Path
    before: Path
    receipts: list[Path]


def witness(book: Logbook, time_s: int, away: int) -> None:
    """The newest head, cosigned by all witnesses but one."""
    note = PublishedLog(book.folder / "log").checkpoint()
    assert note is not None
    present = [each for number, each in enumerate(WITNESSES) if number != away]
    book.log.keep_witnessed(note.with_signatures(cosign(note.text, each, time_s) for each in present))


async def live(folder: Path) -> Town:
    """A scheme lives a little: payments, a hold captured and one released, a refund, withdrawals, over 256 entries."""
    async with opened(folder / "scheme") as scheme:
        payer, payee = await scheme.customer(funds=100_000), await scheme.merchant()
        log, ids = folder / "scheme/log", []
        with Logbook.of(scheme) as book:
            for number in range(4):
                paid = await payer.pay(payee, 500)
                held, dropped = await payer.hold(payee, 300), await payer.hold(payee, 200)
                captured = await payee.answer(OrderKind.CAPTURE, held, 250)
                released = await payee.answer(OrderKind.RELEASE, dropped, 200)
                refunded = await payee.answer(OrderKind.REFUND, paid, 100)
                ids += [each.payment.id for each in (paid, held, captured, released, refunded)]
                for _ in range(60):
                    await payer.pay(payee, 1)
                book.publish()
                witness(book, 1_790_294_400 + 10 * number, away=number)
                if number == 1:
                    shutil.copytree(log / "public", folder / "before")
            book.check_laws()
        receipts, files = Receipts(log / "openings.sqlite", PublishedLog(log)), []
        for payment in ids:
            for person in (payer, payee):
                proof = receipts.proof(payment, person.account)
                assert proof is not None
                files.append(folder / f"{payment:032x}-{person.account:x}.tlog-proof")
                files[-1].write_bytes(proof.encode())
        for index in receipts.chain(payer.account, limit=1_000):  # its key and the opening of the account, too
            proof = receipts.entry_proof(index, payer.account)
            assert proof is not None
            files.append(folder / f"{index}.tlog-proof")
            files[-1].write_bytes(proof.encode())
        receipts.close()
    return Town(log / "public", folder / "before", files)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return asyncio.run(live(tmp_path_factory.mktemp("town")))


def head(public: Path) -> Checkpoint:
    return Checkpoint.parse(Note.parse((public / "checkpoint").read_bytes()).text)


def test_go_accepts_the_log_of_a_scheme(referee: Referee, town: Town) -> None:
    size = head(town.public).size
    assert size > 256
    verdict = referee.log(town.public, *KEYS, heads=[town.before / "checkpoint", town.before / "witnessed"], quorum=QUORUM)
    assert verdict.by is None, verdict
    root = base64.b64encode(head(town.public).root).decode()
    assert f"checkpoint  {size} entries, root {root}, signed by {ORIGIN}\n" in verdict.said
    assert f"entries     {size}, each the one that its tile names" in verdict.said
    assert "heads       7, all continued by this one" in verdict.said  # four of the day, `witnessed`, and two of before
    assert referee.log(town.public, *KEYS, quorum=QUORUM + 1).by == "quorum"


def test_go_accepts_the_receipts_of_a_scheme(referee: Referee, town: Town) -> None:
    kinds = set()
    assert len(town.receipts) > 50
    for file in town.receipts:
        proof = TlogProof.decode(file.read_bytes())
        verdict = referee.receipt(file, *KEYS, quorum=QUORUM)
        assert verdict.by is None, (file, verdict)
        assert proof.extra is not None
        opening = Opening.decode(proof.extra)
        kinds.add(opening.type)
        entry = bytes.fromhex(verdict.said.splitlines()[1])
        assert entry == opening.entry()
        bundle = next(
            path for path in (f"{proof.index // 256:03d}", f"{proof.index // 256:03d}.p") if (town.public / "tile/entries" / path).exists()
        )
        place = town.public / "tile/entries" / bundle
        data = place.read_bytes() if place.is_file() else max(place.iterdir(), key=lambda path: int(path.name)).read_bytes()
        assert decode_bundle(data)[proof.index % 256] == entry, "the receipt is of the entry that is published"
    assert kinds == {EntryType.TRANSFER, EntryType.KEY, EntryType.ACCOUNT}


def test_go_refuses_a_scheme_that_rewrites_an_amount(referee: Referee, town: Town, tmp_path: Path) -> None:
    """The payload of a receipt, one bit at a time over all its fields: nothing in it can be other than what was logged."""
    file = next(each for each in town.receipts if len(TlogProof.decode(each.read_bytes()).extra or b"") == 98 + 164)
    proof, other = TlogProof.decode(file.read_bytes()), tmp_path / "receipt"
    assert proof.extra is not None
    for at in range(98, len(proof.extra)):
        opening = bytearray(proof.extra)
        opening[at] ^= 1 << at % 8
        other.write_bytes(TlogProof(bytes(opening), proof.index, proof.hashes, proof.checkpoint).encode())
        assert referee.receipt(other, *KEYS, quorum=QUORUM).by == "tlog.CheckRecord", at


def test_go_refuses_one_bit_in_any_file_of_a_scheme(referee: Referee, town: Town, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(town.public, tmp_path / "log"))
    places = [
        "checkpoint",
        "witnessed",
        *(str(path.relative_to(copy)) for folder in ("heads", "tile") for path in (copy / folder).rglob("*") if path.is_file()),
    ]
    assert {place.split("/")[1] for place in places if place.startswith("tile")} == {"0", "1", "entries"}
    for place in places:
        whole = (copy / place).read_bytes()
        for at in (5, len(whole) // 2, len(whole) - 20):
            data = bytearray(whole)
            data[at] ^= 2
            (copy / place).write_bytes(data)
            verdict = referee.log(copy, *KEYS, quorum=QUORUM)
            expected = {"note.Open"}
            if place.startswith("heads"):
                expected = {"note.Open", "heads"}
            elif place.startswith("tile"):
                expected = {"tlog.RecordHash", "bundle"} if "entries" in place else {"tlog.TileHashReader"}
            assert verdict.by in expected, (place, at, verdict)
        (copy / place).write_bytes(whole)
    assert referee.log(copy, *KEYS, quorum=QUORUM).by is None


def test_go_refuses_a_scheme_that_goes_back(referee: Referee, town: Town) -> None:
    later = town.public / "checkpoint"
    verdict = referee.log(town.before, *KEYS, heads=[later], quorum=QUORUM)
    assert verdict.by == "tlog.ProveTree"
    assert f"from {head(town.public).size} entries to {head(town.before).size}" in verdict.what


def test_go_refuses_a_scheme_that_drops_an_entry(referee: Referee, town: Town, tmp_path: Path) -> None:
    """The operator, with his own key, writes the whole log anew without entry 20: it is right in itself, and who kept a head knows."""
    published = PublishedLog(town.public.parent)
    size = head(town.public).size
    entries = published.reader.entries(0, size, size)
    with Log.open(tmp_path, Signer(ORIGIN, KEY)) as log:
        log.append(entries[:20] + entries[21:] + [entries[20]])
        log.publish()
    assert referee.log(tmp_path / "public", LOG_KEY).by is None
    verdict = referee.log(tmp_path / "public", *KEYS, heads=[town.before / "witnessed"])
    assert verdict.by == "tlog.CheckTree"
    assert "invalid transparency proof" in verdict.said
