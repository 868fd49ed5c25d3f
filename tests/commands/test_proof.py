"""`counterfoil wallet proof` and `complain`: receipts from a real log, and what a wallet says to a log that lies."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from nacl.signing import SigningKey

from counterfoil.commands import keyfile, logs
from counterfoil.commands.output import Failure
from counterfoil.commands.proof import _check
from counterfoil.commands.wallet import Wallet
from counterfoil.folder import log_folder
from counterfoil.ids import id_text
from counterfoil.payments.orders import decode
from counterfoil.tlog.keys import COSIGNATURE, VerifierKey
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.published import PublishedLog
from counterfoil.web.values import base64_text, parse_base64
from tests.commands.desk import Desk
from tests.web.site import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """As everywhere, with a log that follows. Its policy asks no witness."""
    logs.configure(level=50)
    async with serving(tmp_path_factory.mktemp("scheme"), region="GU", publishing=True, witness_interval_s=1) as site:
        yield Desk(site, tmp_path_factory.mktemp("keys"))
    structlog.reset_defaults()


async def paid(desk: Desk, name: str, amount: str = "2.50") -> tuple[Path, str]:
    """Somebody who has just paid a shop: their key file, and the payment."""
    payer, shop = await desk.site.scheme.customer(funds=5_000), await desk.site.scheme.merchant()
    key = desk.key(payer, name)
    ran = await desk.wallet(key, "pay", shop.address, amount)
    assert ran.code == 0, ran
    return key, str(ran.json["id"])


async def test_the_newest_payment_gets_its_receipt_as_a_file(desk: Desk, tmp_path: Path) -> None:
    key, payment = await paid(desk, "newest")
    ran = await desk.wallet(key, "proof", "--out", str(tmp_path / "receipt"))
    assert ran.code == 0, ran
    assert (ran.json["id"], ran.json["state"], ran.json["amount"], ran.json["balance"]) == (payment, "witnessed", 250, 4_750)
    receipt = TlogProof.decode((tmp_path / "receipt").read_bytes())
    assert receipt.index == ran.json["index"]
    assert (tmp_path / "receipt").read_text("utf-8") == ran.json["proof"]


async def test_words_for_people(desk: Desk, tmp_path: Path) -> None:
    key, payment = await paid(desk, "words")
    ran = await desk.run("wallet", "proof", payment, "--out", tmp_path / "receipt", "--key", key)
    assert ran.code == 0, ran
    assert "Amount         2.50 USD paid" in ran.out
    assert "counterfoil-verify receipt" in ran.out


async def test_a_receipt_that_is_not_there_yet_is_exit_code_3(desk: Desk) -> None:
    key, payment = await paid(desk, "waiting")
    ran = await desk.wallet(key, "proof", payment, "--wait", "0")
    assert (ran.code, ran.json["proof"]) in ((3, None), (0, ran.json["proof"]))  # the log may have been quicker than the command
    other, _ = await paid(desk, "stranger")
    ran = await desk.wallet(other, "proof", payment)
    assert (ran.code, ran.json["code"]) == (1, "payment_not_found")


async def test_the_next_order_names_the_head_that_was_checked(desk: Desk, tmp_path: Path) -> None:
    key, _ = await paid(desk, "gossip")
    assert (await desk.wallet(key, "proof", "--out", str(tmp_path / "one"))).code == 0
    with keyfile.outbox(key) as box:
        seen = box.checkpoint_size, parse_base64(box.checkpoint_root, "root")
    assert seen[0] > 0
    shop = await desk.site.scheme.merchant()
    ran = await desk.wallet(key, "pay", shop.address, "1")
    assert ran.code == 0, ran
    kept = await desk.site.services.payments.find(int(ran.json["id"].replace("-", ""), 16))
    assert kept is not None
    order = decode(kept.order)
    assert (order.checkpoint_size, order.checkpoint_root) == seen
    assert (await desk.wallet(key, "proof", "--out", str(tmp_path / "two"))).code == 0
    with keyfile.outbox(key) as box:
        assert box.checkpoint_size > seen[0]


async def test_a_log_that_tells_two_stories_is_noticed(desk: Desk, tmp_path: Path) -> None:
    key, _ = await paid(desk, "fork")
    assert (await desk.wallet(key, "proof", "--out", str(tmp_path / "one"))).code == 0
    with keyfile.outbox(key) as box:
        box.see(box.checkpoint_size, bytes(32))  # as if another head had been shown before
    shop = await desk.site.scheme.merchant()
    ran = await desk.wallet(key, "pay", shop.address, "1")
    assert (ran.code, ran.json["code"]) == (1, "malformed")
    assert "never signed" in ran.json["detail"]
    ran = await desk.wallet(key, "proof", "--out", str(tmp_path / "two"))
    assert (ran.code, ran.json["code"]) == (1, "not_proven")
    assert not (tmp_path / "two").exists()


async def test_whatever_byte_of_the_receipt_is_changed_it_proves_nothing(desk: Desk, tmp_path: Path) -> None:
    key, payment = await paid(desk, "bytes")
    assert (await desk.wallet(key, "proof", "--out", str(tmp_path / "one"))).code == 0
    receipt = TlogProof.decode((tmp_path / "one").read_bytes())
    wallet = Wallet(key, None, desk.site.scheme.clock)
    assert receipt.extra is not None
    for at in range(0, len(receipt.extra), 7):
        changed = bytearray(receipt.extra)
        changed[at] ^= 1
        with pytest.raises(Failure, match="proves nothing"):
            _check(wallet, payment, TlogProof(bytes(changed), receipt.index, receipt.hashes, receipt.checkpoint), None)
    with pytest.raises(Failure, match="something else"):
        _check(wallet, id_text(1), receipt, None)
    with pytest.raises(Failure, match="opens nothing"):
        _check(wallet, payment, TlogProof(None, receipt.index, receipt.hashes, receipt.checkpoint), None)


async def test_a_receipt_that_contradicts_the_kept_acknowledgement_proves_nothing(desk: Desk, tmp_path: Path) -> None:
    key, payment = await paid(desk, "contradicted")
    _, other = await paid(desk, "other")
    keyfile.keep_word(key, payment, keyfile.load_word(desk.folder / "other.key", other))
    ran = await desk.wallet(key, "proof", payment, "--out", str(tmp_path / "one"))
    assert (ran.code, ran.json["code"]) == (1, "not_proven")
    assert "acknowledgement" in ran.json["detail"]
    assert not (tmp_path / "one").exists()


async def test_who_has_a_policy_asks_for_its_quorum(desk: Desk, tmp_path: Path) -> None:
    key, payment = await paid(desk, "policy")
    config = desk.site.services.config
    log = (log_folder(config) / "public" / "policy").read_text("utf-8")
    witness = VerifierKey.of("witness.example/w", bytes(SigningKey(bytes(32)).verify_key), COSIGNATURE)
    (tmp_path / "none").write_text(log, "utf-8")
    (tmp_path / "one").write_text(log.replace("quorum none", f"witness w {witness}\nquorum w"), "utf-8")
    (tmp_path / "nonsense").write_text("nonsense", "utf-8")
    assert (await desk.wallet(key, "proof", payment, "--policy", str(tmp_path / "none"), "--out", str(tmp_path / "r"))).code == 0
    ran = await desk.wallet(key, "proof", payment, "--policy", str(tmp_path / "one"), "--out", str(tmp_path / "r1"))
    assert (ran.code, ran.json["code"]) == (1, "not_proven")
    assert not (tmp_path / "r1").exists()
    ran = await desk.wallet(key, "proof", payment, "--policy", str(tmp_path / "nonsense"), "--out", str(tmp_path / "r2"))
    assert ran.code == 2


async def test_a_complaint_needs_an_acknowledgement_and_witnesses_whose_time_has_passed(desk: Desk, tmp_path: Path) -> None:
    key, payment = await paid(desk, "complaint")
    assert (await desk.wallet(key, "proof", "--out", str(tmp_path / "one"))).code == 0
    ran = await desk.wallet(key, "complain", payment, "--out", str(tmp_path / "complaint"))
    assert (ran.code, ran.json["code"]) == (1, "too_early")
    ran = await desk.wallet(key, "complain", id_text(1))
    assert ran.code == 2
    assert "no acknowledgement" in ran.err
    word = keyfile.load_word(key, payment)
    forged = bytearray(base64.b64decode(word["statement"]))
    forged[-1] ^= 1
    keyfile.keep_word(key, payment, word | {"statement": base64.b64encode(bytes(forged)).decode()})
    ran = await desk.wallet(key, "complain", payment)
    assert ran.code == 2
    assert "not signed by the operator" in ran.err
    assert not (tmp_path / "complaint").exists()


async def test_the_operator_hands_openings_to_an_auditor_while_the_server_runs(desk: Desk, tmp_path: Path) -> None:
    key, _ = await paid(desk, "openings")
    assert (await desk.wallet(key, "proof", "--out", str(tmp_path / "one"))).code == 0
    config = desk.site.services.config
    ran = await desk.run("openings", "--data", config.data, "--out", tmp_path / "openings", "--json")
    assert ran.code == 0, ran
    assert (tmp_path / "openings").read_bytes().startswith(b"counterfoil/openings/v1\n")
    assert (tmp_path / "openings").stat().st_mode & 0o077 == 0
    head = PublishedLog(log_folder(config)).checkpoint()
    assert head is not None
    assert 0 < ran.json["entries"] <= int(head.text.split(b"\n")[1])
    again = await desk.run("openings", "--data", config.data, "--out", tmp_path / "openings")
    assert (again.code, "already there" in again.err) == (2, True)
    none = await desk.run("openings", "--data", tmp_path, "--out", tmp_path / "other")
    assert none.code == 2
    far = await desk.run("openings", "--data", config.data, "--out", tmp_path / "other", "--first", "1000000000")
    assert far.code == 2
    assert not (tmp_path / "other").exists()


async def test_words_are_kept_as_they_came(tmp_path: Path) -> None:
    key = tmp_path / "some.key"
    keyfile.keep_word(key, "an-id", {"statement": base64_text(b"one"), "signature": "two"})
    assert json.loads((tmp_path / "some.key.words" / "an-id").read_text("utf-8")) == {"statement": base64_text(b"one"), "signature": "two"}
