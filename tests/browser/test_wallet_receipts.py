"""Receipts on the phone: fetched when witnessed, checked there and offline, and what contradicts is an alarm that stays."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from counterfoil.ids import id_text
from counterfoil.payments.acknowledgement import Acknowledger, verify
from counterfoil.payments.orders import OrderKind, decode
from counterfoil.payments.types import Acknowledgement
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.published import PublishedLog
from counterfoil.web.values import base64_text, parse_base64
from tests.browser.engine import Phone, phone
from tests.payments.publish.logbook import KEY
from tests.scheme import Person
from tests.web.logged import LoggedSite, logged

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def log(tmp_path: Path) -> AsyncIterator[LoggedSite]:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "operator.ed25519").write_bytes(bytes(KEY))  # one key signs acknowledgements and heads, as in every scheme
    async with logged(tmp_path) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def rose(browser: Browser, log: LoggedSite) -> AsyncIterator[Phone]:
    async with phone(browser, log) as found:
        await found.enrol(funds=50_000)
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def shop(log: LoggedSite) -> Person:
    return await log.scheme.customer("Shop")


async def paid(found: Phone, payee: Person, amount: int = 100) -> str:
    order = await found.pay(payee, amount)
    await found.is_now("done")
    return order


async def receipt_of(found: Phone, payment: str) -> dict[str, Any]:
    result: dict[str, Any] = await found.run("w.receipt(given)", payment)
    return result


async def alone(found: Phone) -> None:
    """From now on the wallet asks for nothing by itself, not even half a second after a payment, and what it has asked for is answered."""
    await found.run(
        """const { refresh } = await import('/static/wallet/sync.js');
        w.stop();
        w.refresh = async () => {};
        await refresh(w);"""  # after all that have begun, or wait for one that has
    )


def head_of(log: LoggedSite) -> Checkpoint:
    note = PublishedLog(log.book.folder / "log").witnessed()
    assert note is not None
    return Checkpoint.parse(note.text)


async def test_a_receipt_comes_when_it_is_witnessed_and_is_checked_without_a_network(rose: Phone, log: LoggedSite, shop: Person) -> None:
    payment = await paid(rose, shop)
    assert (await receipt_of(rose, payment))["state"] == "waiting"
    assert (await rose.run("w.checkReceipt(given)", payment))["steps"][0]["code"] == "receipt.not_yet"
    assert await rose.run("w.shareReceipt(given)", payment) is None
    log.settle()
    found = await receipt_of(rose, payment)
    assert (found["state"], found["verdict"]["outcome"], found["verdict"]["code"]) == ("witnessed", "proven", "proven")
    await rose.page.route("**/v1/**", lambda route: route.abort())
    await rose.page.route("**/log/**", lambda route: route.abort())
    steps = await rose.run("return (await w.checkReceipt(given)).steps.map(({ name, state }) => [name, state])", payment)
    assert steps == [
        [name, "proven"] for name in ("receipt", "policy", "log", "witnesses", "opening", "inclusion", "content", "acknowledgement", "head")
    ]
    file = await rose.run("const file = await w.shareReceipt(given); return [file.name, await file.text()];", payment)
    assert file[0] == f"{payment.replace('-', '')}.tlog-proof"
    assert file[1].startswith("c2sp.org/tlog-proof@v1\n")
    assert await rose.run("w.problem") is None


async def test_the_newest_head_seen_is_named_in_the_next_order_and_follows_the_log(rose: Phone, log: LoggedSite, shop: Person) -> None:
    for _ in range(3):
        payment = await paid(rose, shop)
        log.settle()
        await receipt_of(rose, payment)
        head = await rose.run("return { size: String(w.head.size), root: w.head.root }")
        assert head == {"size": str(head_of(log).size), "root": base64_text(head_of(log).root)}
        await paid(rose, shop)
        order = decode(parse_base64(await rose.run("w.outgoing[0].order"), "order"))
        assert (order.checkpoint_size, order.checkpoint_root) == (head_of(log).size, head_of(log).root)
        assert order.payer_last > 0
    assert await rose.run("w.problem") is None
    last = await rose.run("String(w.payerLast)")
    await rose.open()
    assert await rose.run("String(w.payerLast)") == last


async def test_asking_for_a_proof_that_is_not_there_yet_changes_nothing(rose: Phone, log: LoggedSite, shop: Person) -> None:
    """Every few seconds, for each payment: a write to the disk and a new picture each time would wear out a phone."""
    payment = await paid(rose, shop)
    await alone(rose)
    told = await rose.run(
        """const { fetchReceipt } = await import('/static/wallet/receipts.js');
        await fetchReceipt(w, given);
        const before = w.told;
        const found = await fetchReceipt(w, given);
        return [found.state, w.told - before];""",
        payment,
    )
    assert told == ["waiting", 0]


async def test_proofs_of_the_newest_payments_come_by_themselves(rose: Phone, log: LoggedSite, shop: Person) -> None:
    payments = [await paid(rose, shop, amount) for amount in (100, 200, 300)]
    log.settle()
    await rose.run("await w.refresh()")
    for payment in payments:
        await rose.run("await until(async () => (await w.database.get('receipts', given))?.proof)", payment)


async def test_a_receipt_that_contradicts_the_operators_word_is_an_alarm(rose: Phone, log: LoggedSite, shop: Person) -> None:
    """The receipt of one payment under the name of another: each is true, and together they are not."""
    first, second = await paid(rose, shop, 100), await paid(rose, shop, 200)
    log.settle()
    other = (await receipt_of(rose, first))["proof"]

    async def swap(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"proof": other})

    await alone(rose)
    await rose.page.route(f"**/v1/payments/{second}/proof", swap)
    await rose.run("w.database.delete('receipts', given)", second)
    found = await receipt_of(rose, second)
    assert (found["verdict"]["outcome"], found["verdict"]["code"]) == ("refuted", "receipt.contradicts")
    assert await rose.run("w.problem") == "receipt_contradicts"
    await rose.open()
    assert await rose.run("w.problem") == "receipt_contradicts"
    await rose.page.unroute_all(behavior="wait")


async def test_somebody_elses_receipt_under_the_name_of_a_payment_is_an_alarm(rose: Phone, log: LoggedSite, shop: Person) -> None:
    """The operator's word is right, and it is the word about another payment."""
    first, second = await paid(rose, shop, 100), await paid(rose, shop, 100)
    await alone(rose)
    await rose.run("await w.database.delete('receipts', given)", second)

    true = await rose.run("w.call('GET', `/v1/payments/${given}`)", first)
    await rose.page.route(f"**/v1/payments/{second}", lambda route: route.fulfill(json=true))
    assert (await receipt_of(rose, second))["acknowledged"] is False
    assert await rose.run("w.problem") == "acknowledgement_wrong"


async def test_what_the_operator_signs_for_the_holder_and_for_the_log_must_be_the_same(rose: Phone, log: LoggedSite, shop: Person) -> None:
    """It signs another balance than it has in its log; and it proves another payment where it has signed nothing."""
    first, second = await paid(rose, shop, 100), await paid(rose, shop, 200)
    log.settle()
    other = (await receipt_of(rose, first))["proof"]
    said = await rose.run("w.call('GET', `/v1/payments/${given}`)", second)
    acknowledger = Acknowledger(origin=log.services.config.origin, key=KEY)
    lie = acknowledger.sign(
        order_hash=parse_base64(said["order_hash"], "order_hash"), account=int(said["account"].replace("-", ""), 16),
        amount=said["amount"], fee=said["fee"], balance=said["balance"] + 1, completed_at=verify(
            Acknowledgement(*(parse_base64(said["acknowledgement"][name], name) for name in ("statement", "signature", "key"))),
            key=bytes(KEY.verify_key),
        ).completed_at,
    )  # fmt: skip
    signed = {"statement": base64_text(lie.statement), "signature": base64_text(lie.signature), "key": base64_text(lie.key)}
    lying = [said | {"balance": said["balance"] + 1, "acknowledgement": signed}]
    await alone(rose)
    await rose.page.route(f"**/v1/payments/{second}", lambda route: route.fulfill(json=lying[0]))
    await rose.run("w.database.delete('receipts', given)", second)
    found = await receipt_of(rose, second)
    assert (found["acknowledged"], found["verdict"]["code"]) == (True, "receipt.contradicts")
    assert await rose.run("w.problem") == "receipt_contradicts"
    await rose.run("await w.database.clear('alarms'); await w.database.delete('receipts', given); await w.reload();", second)
    lying[0] = said | {"acknowledgement": None}

    async def swap(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"proof": other})

    await rose.page.route(f"**/v1/payments/{second}/proof", swap)
    assert (await receipt_of(rose, second))["verdict"]["code"] == "receipt.contradicts"
    assert sorted(await rose.run("w.alarms.map(({ code }) => code)")) == ["acknowledgement_wrong", "receipt_contradicts"]


async def test_a_log_under_another_key_than_the_operators_proves_nothing(browser: Browser, tmp_path: Path) -> None:
    async with logged(tmp_path) as log, phone(browser, log) as found:  # its operator signs receipts with a key of its own
        await found.enrol(funds=1_000)
        payment = await paid(found, await log.scheme.customer("Shop"))
        log.settle()
        assert (await receipt_of(found, payment))["verdict"]["code"] == "receipt.contradicts"
        assert await found.run("w.problem") == "receipt_contradicts"


async def test_what_was_proven_and_signed_is_not_lost_to_a_later_answer(rose: Phone, log: LoggedSite, shop: Person) -> None:
    """Another tab asked before the log had it, and hears late; the server forgets its own word about a hold that has ended."""
    payment = await paid(rose, shop)
    other = await rose.another_tab()
    await alone(other)
    held: list[tuple[Route, Any]] = []

    async def late(route: Route) -> None:
        held.append((route, await route.fetch()))

    await other.page.route(f"**/v1/payments/{payment}/proof", late)
    await other.run("globalThis.late = w.receipt(given);", payment)
    while not held:
        await asyncio.sleep(0.02)
    log.settle()
    assert (await receipt_of(rose, payment))["proof"]
    await held[0][0].fulfill(response=held[0][1])
    assert await other.run("return (await late).state") == "witnessed"
    assert await rose.run("return (await w.database.get('receipts', given)).proof.length > 0", payment) is True
    hold = await rose.run(
        "return (await w.keep({ kind: 'hold', payee: { account: given, name: 'Shop' }, amount: 500, maxFee: 100, timeoutS: 3600 })).id",
        id_text(shop.account),
    )
    await rose.is_now("done")  # and what the operator has signed is kept: an event may tell of the hold before its answer does
    await rose.run("await until(() => w.holds.length === 1)")
    held_receipt = await log.services.payments.receipt(int(hold.replace("-", ""), 16), shop.account)
    await shop.answer(OrderKind.CAPTURE, held_receipt, 300)

    async def forgets(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"acknowledgement": None, "amount": 1})

    await rose.page.route(f"**/v1/payments/{hold}", forgets)
    await rose.run("await w.refresh(); await until(() => w.holds.length === 0)")
    kept = await rose.run("return (await w.database.get('receipts', given)).receipt", hold)
    assert (kept["state"], kept["amount"], kept["acknowledgement"] is None) == ("captured", 500, False)


async def test_a_forged_receipt_is_refuted_and_asked_for_again(rose: Phone, log: LoggedSite, shop: Person) -> None:
    payment = await paid(rose, shop)
    await alone(rose)
    log.settle()

    async def forge(route: Route) -> None:
        answer = await route.fetch()
        told = await answer.json()
        lines = told["proof"].split("\n")
        at = next(number for number, line in enumerate(lines) if line.startswith("index ")) + 1
        lines[at] = lines[at + 1]
        await route.fulfill(response=answer, json=told | {"proof": "\n".join(lines)})

    await rose.page.route("**/v1/payments/*/proof", forge)
    found = await receipt_of(rose, payment)
    assert (found["verdict"]["outcome"], found["proof"]) == ("refuted", None)
    await rose.page.unroute_all(behavior="wait")
    assert (await receipt_of(rose, payment))["verdict"]["outcome"] == "proven"


async def test_a_log_that_does_not_continue_what_was_seen_is_an_alarm(rose: Phone, log: LoggedSite, shop: Person) -> None:
    payment = await paid(rose, shop)
    await alone(rose)
    log.settle()
    await receipt_of(rose, payment)
    root = base64_text(hashlib.sha256(b"another log").digest())
    await rose.run("await w.remember({ head: { ...w.head, root: given } })", root)  # what an honest phone saw of another log
    await rose.run("await w.database.delete('receipts', given)", payment)
    log.settle()
    await rose.run("await w.database.delete('receipts', given); await w.receipt(given)", payment)
    assert await rose.run("w.problem") == "log_forked"
    steps = await rose.run("return (await w.checkReceipt(given)).steps.at(-1)", payment)
    assert (steps["name"], steps["state"]) == ("head", "refuted")
    assert await rose.run("w.head.root") == root, "what was seen first is kept: it is evidence"
    await rose.open()
    assert await rose.run("w.alarms.map(({ code }) => code)") == ["log_forked"]


async def test_a_log_whose_files_cannot_be_had_changes_nothing(rose: Phone, log: LoggedSite, shop: Person) -> None:
    payment = await paid(rose, shop)
    log.settle()
    await receipt_of(rose, payment)
    seen = await rose.run("w.head.root")
    later = await paid(rose, shop)
    await alone(rose)
    log.settle()
    await rose.page.route("**/log/tile/**", lambda route: route.abort())
    await receipt_of(rose, later)
    assert await rose.run("return [w.problem, w.head.root]") == [None, seen]
    await rose.page.route("**/log/checkpoint", lambda route: route.fulfill(body="no head of a log", content_type="text/plain"))
    assert (await rose.run("w.checkReceipt(given)", later))["outcome"] == "proven"
    await rose.page.unroute_all(behavior="wait")
    # This tab has not heard of the head that another one has seen: an older one does not take its place.
    await rose.run("await w.checkReceipt(given[0]); w.head = null; await w.checkReceipt(given[1]);", [later, payment])
    assert await rose.run("return String((await w.database.get('self', 'head')).size)") == str(head_of(log).size)


async def test_other_witnesses_are_an_alarm_until_the_holder_agrees(rose: Phone, log: LoggedSite) -> None:
    async def other(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace("quorum five", "quorum none"))

    await rose.page.route("**/log/policy", other)
    before = await rose.run("w.scheme.policy")
    assert "quorum five" in before
    await rose.run("await (await import('/static/wallet/sync.js')).refreshScheme(w)")
    assert await rose.run("return [w.problem, w.scheme.policy]") == ["policy_changed", before]
    told = await rose.run("globalThis.told = await w.newPolicy(); return [told.before.needed, told.after.needed, told.after.names.length]")
    assert told == [4, 0, 5]
    await rose.run("await w.acceptPolicy(told.policy)")
    assert await rose.run("return [w.problem, w.scheme.policy.includes('quorum none')]") == [None, True]
