"""The wallet on the command line, against a real server over HTTP."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from counterfoil.commands import keyfile
from counterfoil.commands.keyfile import Outbox
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.payments.orders import decode
from counterfoil.web.values import parse_base64
from tests.commands.desk import Cutting, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


def outbox(key: Path) -> Outbox:
    with keyfile.outbox(key) as box:
        return msgspec.structs.replace(box, waiting=list(box.waiting))


async def test_a_wallet_is_made_filled_by_an_agent_pays_and_keeps_proof(desk: Desk) -> None:
    agent = await desk.site.scheme.agent("Kiosk", funds=50_000)
    shop = await desk.site.scheme.merchant("Neema's Fruit")
    kiosk, rose = desk.key(agent, "kiosk"), desk.folder / "rose.key"
    made = await desk.wallet(
        rose, "create", "--number", "+13405550111", "--name", "로즈 Hale", "--pin", "2580", "--handle", "rose_h", server=desk.server
    )
    assert made.code == 0, made
    assert rose.stat().st_mode & 0o777 == 0o600
    assert "seed" not in made.out

    asked = await desk.wallet(rose, "cash-in", "20", "--agent", agent.address)
    assert (await desk.wallet(kiosk, "accept", asked.json["id"])).code == 0
    paid = await desk.wallet(rose, "pay", shop.address, "2.50", "--memo", "망고")
    assert paid.code == 0, paid
    assert paid.json["verified"] is True
    assert paid.json["balance"] == 1_750
    assert shop.balance() == 2_500 // 10 - 1  # half a percent is the merchant's
    assert outbox(rose).waiting == []

    history = await desk.wallet(rose, "history")
    assert [(entry["change"], entry["memo"]) for entry in history.json["entries"]] == [(-250, "망고"), (2_000, "")]
    receipt = await desk.wallet(rose, "receipt", paid.json["id"])
    assert (receipt.code, receipt.json["verified"], receipt.json["acknowledgement"]) == (0, True, paid.json["acknowledgement"])
    shown = await desk.run("wallet", "pay", shop.address, "1", "--key", rose)
    assert "signed by the operator" in shown.out
    assert "Balance  16.50 USD" in shown.out


async def test_the_newest_entry_seen_is_named_in_the_next_order(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    key = desk.key(payer, "payer_last")
    first = await desk.wallet(key, "pay", payee.address, "1")
    second = await desk.wallet(key, "pay", payee.address, "1")
    completed_at = int.from_bytes(parse_base64(first.json["acknowledgement"]["statement"], "")[-12:-4])
    assert completed_at > 0
    payment = await desk.site.services.payments.find(parse_id(second.json["id"]))
    assert payment is not None
    assert decode(payment.order).payer_last == completed_at


@pytest.mark.parametrize("passes_on", [True, False], ids=["the answer is lost", "the order is lost"])
async def test_a_payment_without_an_answer_is_kept_and_happens_once(desk: Desk, passes_on: bool) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    key = desk.key(payer, f"cut_{passes_on}")
    async with Cutting(desk.site.port, passes_on=passes_on) as server:
        cut = await desk.wallet(key, "pay", payee.address, "3", server=server)
    assert cut.code == 3, cut
    assert cut.json["retry"] == "same_id"
    assert payee.balance() == (300 if passes_on else 0)
    waiting = outbox(key).waiting
    assert [request.id for request in waiting] == [cut.json["facts"]["id"]]

    resumed = await desk.wallet(key, "pay", "--resume")
    assert resumed.code == 0, resumed
    assert [(each["id"], each["outcome"], each["verified"]) for each in resumed.json["resumed"]] == [(waiting[0].id, "done", True)]
    assert (payer.balance(), payee.balance()) == (700, 300)
    assert (await desk.wallet(key, "pay", "--resume")).json == {"resumed": []}
    assert (payer.balance(), payee.balance()) == (700, 300)


async def test_being_turned_away_says_nothing_of_a_payment_that_was_sent_before(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    key, other = desk.key(payer, "turned_away"), desk.folder / "turned_away_2.key"
    async with Cutting(desk.site.port, passes_on=True) as server:
        assert (await desk.wallet(key, "pay", payee.address, "3", server=server)).code == 3
    assert (await desk.wallet(key, "devices", "--add", str(other))).code == 0
    assert (await desk.wallet(other, "devices", "--revoke", keyfile.load(key).device)).code == 0
    resumed = await desk.wallet(key, "pay", "--resume")
    assert (resumed.code, [each["outcome"] for each in resumed.json["resumed"]]) == (3, ["unknown"])
    assert len(outbox(key).waiting) == 1
    assert (payer.balance(), payee.balance()) == (700, 300)


async def test_the_order_is_on_the_disk_before_it_is_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    key, seen = desk.key(payer, "before"), []
    sent = desk.site.services.payments.pay

    async def pay(*arguments: object) -> object:
        seen.append(msgspec.json.decode((desk.folder / "before.key.outbox").read_bytes(), type=Outbox).waiting)
        return await sent(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.site.services.payments, "pay", pay)
    paid = await desk.wallet(key, "pay", payee.address, "1")
    assert [request.id for request in seen[0]] == [paid.json["id"]]


async def test_a_refusal_says_why_leaves_the_outbox_and_ends_with_1(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=100), await desk.site.scheme.customer()
    key = desk.key(payer, "poor")
    refused = await desk.wallet(key, "pay", payee.address, "3")
    assert (refused.code, refused.json["code"], refused.json["retry"]) == (1, "insufficient_funds", "change")
    assert "not enough money" in refused.err
    assert "Traceback" not in refused.err
    assert outbox(key).waiting == []
    assert (await desk.wallet(key, "pay", "@nobody_here", "1")).json["code"] == "party_not_found"


async def test_hold_capture_release_and_refund(desk: Desk) -> None:
    payer, pump = await desk.site.scheme.customer(funds=10_000), await desk.site.scheme.merchant("Pump", funds=1_000)
    driver, till = desk.key(payer, "driver"), desk.key(pump, "till")
    held = await desk.wallet(driver, "hold", pump.address, "60", "--minutes", "30")
    assert (held.json["state"], held.json["available"]) == ("held", 4_000)
    captured = await desk.wallet(till, "capture", held.json["id"], "--amount", "41.50")
    assert captured.code == 0, captured
    assert (payer.balance(), payer.available()) == (5_850, 5_850)
    assert (await desk.wallet(driver, "receipt", held.json["id"])).json["state"] == "captured"
    assert (await desk.wallet(till, "refund", captured.json["id"], "--amount", "1.50")).code == 0
    assert payer.balance() == 6_000
    above = await desk.wallet(till, "refund", captured.json["id"])
    assert (above.code, above.json["code"]) == (1, "above_original")

    again = await desk.wallet(driver, "hold", pump.address, "5")
    assert (await desk.wallet(till, "release", again.json["id"])).code == 0
    assert payer.available() == 6_000
    late = await desk.wallet(till, "capture", again.json["id"])
    assert (late.code, late.json["code"]) == (1, "hold_not_open")


async def test_cash_out_is_set_aside_and_taken_by_the_agent(desk: Desk) -> None:
    customer, agent = await desk.site.scheme.customer(funds=10_000), await desk.site.scheme.agent("Till")
    out = await desk.wallet(desk.key(customer, "out"), "cash-out", "50", "--agent", agent.address)
    assert customer.available() < 5_000
    assert (await desk.wallet(desk.key(agent, "out_agent"), "capture", out.json["id"])).code == 0
    assert agent.balance() == 5_000


async def test_requests_are_answered_declined_and_taken_back(desk: Desk) -> None:
    asker, payer = await desk.site.scheme.customer("Asker"), await desk.site.scheme.customer("Payer", funds=5_000)
    mine, theirs = desk.key(asker, "asker"), desk.key(payer, "answerer")
    asked = await desk.wallet(mine, "request", "12.50", "--from", payer.address, "--memo", "table 4")
    assert [each["id"] for each in (await desk.wallet(theirs, "requests")).json["requests"]] == [asked.json["id"]]
    paid = await desk.wallet(theirs, "pay", "--request", asked.json["id"])
    assert (paid.code, paid.json["reference"], paid.json["memo"]) == (0, asked.json["id"], "table 4")
    assert asker.balance() == 1_250

    open_amount = await desk.wallet(mine, "request")
    assert (await desk.wallet(theirs, "accept", open_amount.json["id"])).code == 2
    assert (await desk.wallet(theirs, "accept", open_amount.json["id"], "--amount", "2")).code == 0
    declined = await desk.wallet(mine, "request", "1", "--from", payer.address)
    assert (await desk.wallet(theirs, "decline", declined.json["id"])).json["state"] == "declined"
    assert (await desk.wallet(theirs, "accept", declined.json["id"])).json["code"] == "not_in_this_state"
    taken_back = await desk.wallet(mine, "request", "1", "--from", payer.address)
    assert (await desk.wallet(mine, "cancel", taken_back.json["id"])).json["state"] == "cancelled"
    assert asker.balance() == 1_450


async def test_wages_are_paid_by_batch_with_a_result_for_each_line(desk: Desk, tmp_path: Path) -> None:
    employer, worker = await desk.site.scheme.merchant("Yard", funds=100_000), await desk.site.scheme.customer()
    key, file = desk.key(employer, "yard"), tmp_path / "wages.csv"
    file.write_text(f"to,amount,memo\n{worker.address},300.00,May\n@nobody_here,1.00,\n", "utf-8")
    taken = await desk.wallet(key, "batch", str(file), "--memo", "wages")
    assert taken.code == 0, taken
    while (status := await desk.wallet(key, "batch", "--status", taken.json["id"])).json["state"] != "done":
        pass
    assert status.code == 1  # one line was refused
    assert [line["outcome"] for line in status.json["lines"]] == ["completed", "party_not_found"]
    assert worker.balance() == 30_000


async def test_a_standing_order_is_made_listed_and_ended(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=5_000), await desk.site.scheme.merchant("School")
    key = desk.key(payer, "standing")
    made = await desk.wallet(key, "standing", payee.address, "25", "--every", "month", "--count", "10")
    assert made.code == 0, made
    assert (await desk.wallet(key, "standing", "--cancel", made.json["id"])).json["state"] == "cancelled"
    assert [each["id"] for each in (await desk.wallet(key, "standing")).json["standing_orders"]] == [made.json["id"]]


async def test_a_second_device_signs_and_a_revoked_one_does_not(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    first, second = desk.key(payer, "first"), desk.folder / "second.key"
    assert (await desk.wallet(first, "devices", "--add", str(second))).code == 0
    assert (await desk.wallet(second, "pay", payee.address, "1")).json["verified"] is True
    old = keyfile.load(first).device
    assert (await desk.wallet(second, "devices", "--revoke", old)).code == 0
    refused = await desk.wallet(first, "balance")
    assert (refused.code, refused.json["code"]) == (1, "unknown_device")


async def test_a_receipt_that_the_pinned_key_did_not_sign_is_no_receipt(desk: Desk) -> None:
    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    paid = await desk.wallet(desk.key(payer, "honest"), "pay", payee.address, "1")
    other = desk.key(payer, "other_operator", operator_key="A" * 43)
    shown = await desk.wallet(other, "receipt", paid.json["id"])
    assert (shown.code, shown.json["verified"]) == (1, False)
    impostor = await desk.wallet(other, "pay", payee.address, "1")
    assert (impostor.code, payee.balance()) == (2, 100)
    assert "is not the scheme that this wallet was made for" in impostor.err


@pytest.mark.parametrize("field", ["balance", "amount", "fee", "account", "order_hash"])
async def test_a_receipt_that_says_other_than_what_was_signed_is_not_verified(desk: Desk, field: str) -> None:
    from counterfoil.clock import SystemClock
    from counterfoil.commands.wallet import Wallet

    payer, payee = await desk.site.scheme.customer(funds=1_000), await desk.site.scheme.customer()
    key = desk.key(payer, f"altered_{field}")
    paid = (await desk.wallet(key, "pay", payee.address, "1")).json
    wallet = Wallet(key, None, SystemClock())
    assert wallet.receipt(paid)["verified"] is True
    altered = paid[field] + 1 if isinstance(paid[field], int) else "A" * 43 if field == "order_hash" else id_text(payee.account)
    assert wallet.receipt(paid | {field: altered})["verified"] is False
    assert wallet.receipt(paid, order=b"another order")["verified"] is False


@pytest.mark.parametrize(
    "argv",
    [
        ("pay", "+16715550100", "ten"),
        ("pay", "+16715550100", "0"),
        ("pay", "+16715550100", "-1"),
        ("pay", "+16715550100", "1.001"),
        ("pay", "+16715550100"),
        ("pay", "--request", "not-an-id"),
        ("hold", "+16715550100", "1", "--minutes", "0"),
        ("request", "1", "--days", "91"),
        ("capture", "not-an-id"),
        ("batch",),
        ("standing", "+16715550100"),
        ("balance", "--server", "ftp://example.org"),
    ],
)
async def test_wrong_use_ends_with_2_and_says_what_is_right(desk: Desk, argv: tuple[str, ...]) -> None:
    person = await desk.site.scheme.customer("Anybody")
    services = desk.site.services
    key = desk.key(person, f"wrong_{new_id(services.clock)}")
    if "+16715550100" in argv:
        argv = tuple(person.address if argument == "+16715550100" else argument for argument in argv)
    ran = await desk.run("wallet", *argv, "--key", key)
    assert ran.code == 2, ran
    assert "Traceback" not in ran.err
    assert len(ran.err.strip()) > 20


async def test_a_key_file_that_others_can_read_is_refused(desk: Desk) -> None:
    key = desk.key(await desk.site.scheme.customer(), "open_key")
    key.chmod(0o644)
    ran = await desk.run("wallet", "balance", "--key", key)
    assert ran.code == 2
    assert f"chmod 600 {key}" in ran.err


async def test_a_key_is_never_written_over(desk: Desk) -> None:
    key = desk.key(await desk.site.scheme.customer(), "kept")
    before = key.read_bytes()
    ran = await desk.wallet(key, "create", "--number", "+13405550112", "--name", "X", "--pin", "2580", server=desk.server)
    assert ran.code == 2
    assert key.read_bytes() == before


async def test_an_account_whose_opening_was_not_answered_is_opened_once_with_the_same_key(desk: Desk) -> None:
    path = desk.folder / "lost.key"
    argv = ("create", "--number", "+13405550113", "--name", "Lost", "--pin", "2580")
    async with Cutting(desk.site.port, passes_on=True, path="/v1/accounts") as server:
        assert (await desk.wallet(path, *argv, server=server)).code == 3
    key = keyfile.load(path)
    assert key.party == ""
    assert (await desk.wallet(path, "balance")).code == 2
    made = await desk.wallet(path, *argv, server=desk.server)
    assert made.code == 0, made
    assert (keyfile.load(path).seed, keyfile.load(path).party) == (key.seed, made.json["party"])
    assert (await desk.wallet(path, "balance", server=desk.server)).json["name"] == "Lost"


async def test_an_account_that_was_refused_leaves_no_key(desk: Desk) -> None:
    path = desk.folder / "refused.key"
    taken = await desk.site.scheme.customer()
    ran = await desk.wallet(path, "create", "--number", taken.address, "--name", "Thief", "--pin", "2580", server=desk.server)
    assert (ran.code, ran.json["code"]) == (1, "already_taken")
    assert not path.exists()
    weak = await desk.wallet(path, "create", "--number", "+13405550114", "--name", "X", "--pin", "1234", server=desk.server)
    assert (weak.code, path.exists()) == (1, False)


async def test_a_server_that_is_not_there_is_unavailable(desk: Desk) -> None:
    key = desk.key(await desk.site.scheme.customer(), "no_server")
    ran = await desk.wallet(key, "balance", server="http://127.0.0.1:9")
    assert (ran.code, ran.json["code"], ran.json["retry"]) == (3, "unavailable", "same_id")
