"""The log's own chapter of the API: who gets which proof, in which form, and how the log stands for everybody."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from counterfoil.assurance.audits import Audited
from counterfoil.assurance.witnesses import WitnessStatus
from counterfoil.clock import NANOSECONDS
from counterfoil.ids import id_text
from counterfoil.moments import moment_text
from counterfoil.payments.orders import OrderKind
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.proof import TlogProof, from_qr_text, unpack
from counterfoil.web.values import base64_text, parse_moment
from tests.browser.forge import WITNESSES
from tests.payments.publish.logbook import ORIGIN
from tests.scheme import Person
from tests.web.logged import LoggedSite, logged, policy
from tests.web.site import problem, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
PEOPLE: dict[str, Person] = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with logged(tmp_path_factory.mktemp("scheme")) as served:
        PEOPLE["payer"] = await served.scheme.customer("Rose", funds=100_000)
        PEOPLE["payee"] = await served.scheme.customer("Joon")
        PEOPLE["shop"] = await served.scheme.merchant()
        yield served


async def paid(site: LoggedSite, amount: int = 1_250) -> str:
    receipt = await PEOPLE["payer"].pay(PEOPLE["payee"], amount)
    return id_text(receipt.payment.id)


async def test_a_proof_waits_is_logged_and_is_witnessed(site: LoggedSite) -> None:
    payer = PEOPLE["payer"]
    paid_id = await paid(site)
    path = f"/v1/payments/{paid_id}/proof"
    waiting = await site.ok(payer, "GET", path)
    assert waiting == {"id": paid_id, "account": id_text(payer.account), "state": "waiting", "index": None, "proof": None, "qr": None}
    for form in ("text/plain", "image/svg+xml"):
        refused = await site.refused(payer, "GET", path, headers={"Accept": form})
        assert (refused["code"], refused["status"], refused["retry"]) == ("proof_not_ready", 404, "later")
    size = site.publish()
    found = await site.ok(payer, "GET", path)
    assert (found["state"], found["proof"]) == ("logged", None)
    assert 0 < found["index"] < size
    site.witness()
    proven = await site.ok(payer, "GET", path)
    assert (proven["state"], proven["index"]) == ("witnessed", found["index"])
    assert f"\nindex {found['index']}\n" in proven["proof"]


async def test_text_file_and_qr_code_are_the_same_receipt(site: LoggedSite) -> None:
    paid_id, payee = await paid(site), PEOPLE["payee"]
    site.settle()
    path = f"/v1/payments/{paid_id}/proof"
    view = await site.ok(payee, "GET", path)
    file = await site.call(payee, "GET", path, headers={"Accept": "text/plain"})
    assert file.headers["content-type"] == "text/plain; charset=utf-8"
    assert file.headers["content-disposition"] == f'attachment; filename="{paid_id.replace("-", "")}.tlog-proof"'
    assert file.headers["vary"] == "Accept"
    assert file.text == view["proof"]
    assert len(file.content) < 3_000
    proof = TlogProof.decode(file.content)
    assert unpack(from_qr_text(view["qr"]), Policy.parse(policy())) == proof
    image = await site.call(payee, "GET", path, headers={"Accept": "image/svg+xml, text/plain;q=0.5"})
    assert image.headers["content-type"] == "image/svg+xml"
    assert image.text.startswith("<svg ")
    assert "script" not in image.text


async def test_each_side_gets_its_own_opening_and_nobody_else_gets_any(site: LoggedSite) -> None:
    paid_id = await paid(site, 777)
    site.settle()
    path = f"/v1/payments/{paid_id}/proof"
    openings = []
    for person in (PEOPLE["payer"], PEOPLE["payee"]):
        proof = TlogProof.decode((await site.call(person, "GET", path, headers={"Accept": "text/plain"})).content)
        assert proof.extra is not None
        openings.append(proof.extra)
        assert person.account.to_bytes(16) == proof.extra[98 + 3 : 98 + 19]
    assert openings[0] != openings[1]
    assert (await site.refused(PEOPLE["shop"], "GET", path))["code"] == "payment_not_found"
    assert (await site.refused(None, "GET", path))["code"] == "not_authenticated"
    assert (await site.refused(PEOPLE["payer"], "GET", "/v1/payments/00000000-0000-7000-8000-000000000001/proof"))["status"] == 404


async def test_a_merchants_server_gets_its_proofs_by_token(site: LoggedSite) -> None:
    shop = PEOPLE["shop"]
    receipt = await PEOPLE["payer"].pay(shop, 500)
    site.settle()
    path = f"/v1/payments/{id_text(receipt.payment.id)}/proof"
    assert (await site.ok(await site.token(shop, "payments:read"), "GET", path))["state"] == "witnessed"
    assert (await site.refused(await site.token(shop, "holds:write"), "GET", path))["code"] == "forbidden"


async def test_the_log_tells_its_heads_its_witnesses_and_its_totals(site: LoggedSite) -> None:
    site.publish()
    site.witness(WITNESSES[:4])
    await paid(site)
    size = site.publish()
    site.statuses = [WitnessStatus(name="w", url="https://w/", size=3, cosigned_at=5_000_000_000, problem="it was away")]
    site.audit = Audited(size=2, at=7_000_000_000, name="auditor.example")
    site.pass_by()
    log = await site.ok(None, "GET", "/v1/log")
    assert log["origin"] == ORIGIN
    assert (log["newest"]["size"], log["witnessed"]["size"]) == (size, size - 1)
    assert log["newest"]["checkpoint"].encode() == (site.book.folder / "log/public/checkpoint").read_bytes()
    assert log["witnessed"]["checkpoint"].encode() == (site.book.folder / "log/public/witnessed").read_bytes()
    assert log["newest"]["root"] == base64_text(base64.b64decode(log["newest"]["checkpoint"].split("\n")[2]))
    assert [each["name"] for each in log["cosignatures"]] == [witness.name for witness in WITNESSES[:4]]
    assert abs(site.now_s - parse_moment(log["cosignatures"][0]["at"], "at") // NANOSECONDS) < 5
    assert log["witnesses"] == [
        {"name": "w", "url": "https://w/", "size": 3, "cosigned_at": moment_text(5_000_000_000), "asked_at": None, "problem": "it was away"}
    ]
    assert log["audit"] == {"size": 2, "at": moment_text(7_000_000_000), "name": "auditor.example"}
    issued = sum(view.legs[view.principal].amount for view in site.book.movements() if view.kind == OrderKind.ISSUE)
    assert (log["issued"], log["withdrawn"]) == (issued, 0)
    assert issued > 100_000


async def test_a_scheme_without_a_log_says_so_and_lets_proofs_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        log = await site.ok(None, "GET", "/v1/log")
        assert log["newest"] is log["witnessed"] is log["audit"] is None
        assert (log["issued"], log["withdrawn"], log["cosignatures"], log["witnesses"]) == (0, 0, [], [])
        payer, payee = await site.scheme.customer(funds=1_000), await site.scheme.customer()
        paid_id = id_text((await payer.pay(payee, 5)).payment.id)
        assert (await site.ok(payer, "GET", f"/v1/payments/{paid_id}/proof"))["state"] == "waiting"


async def test_a_damaged_file_of_the_log_is_named(site: LoggedSite) -> None:
    file = site.book.folder / "log/public/witnessed"
    kept = file.read_bytes()
    try:
        for damaged in (kept[:-3], b"", kept.replace(b"\n\xe2\x80\x94", b"\n-", 1), kept.replace(b"+", b"/", 1), b"\xff"):
            file.write_bytes(damaged)
            site.pass_by()
            answer = await site.call(None, "GET", "/v1/log")
            assert problem(answer)["code"] == "unavailable"
            assert "witnessed" in problem(answer)["detail"]
    finally:
        file.write_bytes(kept)
        site.pass_by()
    assert (await site.ok(None, "GET", "/v1/log"))["witnessed"] is not None


async def test_metrics_tell_how_far_the_log_and_its_witnesses_are(site: LoggedSite) -> None:
    payer, payee = await site.scheme.customer(funds=500), await site.scheme.customer()
    await payer.pay(payee, 100)
    size = site.settle()
    await payer.pay(payee, 100)
    more = site.publish()
    lines = (await site.call(None, "GET", "/metrics")).text.splitlines()
    assert f"counterfoil_log_entries {float(more)}" in lines
    assert f"counterfoil_log_witnessed_entries {float(size)}" in lines
    site.settle()
