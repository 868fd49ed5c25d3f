"""The wallet's engine against a real server: whatever the network does, an order is carried out once, and nothing is called done
that the operator has not signed."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nacl.signing import SigningKey
from playwright.async_api import Browser, Page, Request, Route

from counterfoil.ids import id_text
from counterfoil.payments.orders import OrderKind
from counterfoil.web.app import create_app
from counterfoil.web.server import listening
from counterfoil.web.values import base64_text
from tests.browser.engine import Phone, phone
from tests.scheme import Person, opened
from tests.web.site import PatientClock, Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE_HOUR_MS = 3_600_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serving(tmp_path_factory.mktemp("engine"), recovery_delay_s=0) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: Site) -> Person:
    return await site.scheme.customer("Shop")


class Numbers:
    """Phone numbers that nobody has yet."""

    def __init__(self) -> None:
        self.last = 720_000_000

    def fresh(self) -> str:
        self.last += 1
        return f"+254{self.last}"


numbers = Numbers()


@pytest_asyncio.fixture(loop_scope="module")
async def rose(browser: Browser, site: Site) -> AsyncIterator[Phone]:
    """A phone with an account and 500.00 in it."""
    site.wait(7_200)
    async with phone(browser, site) as found:
        await found.enrol(number=numbers.fresh(), funds=50_000)
        yield found


def payments_posted(page: Page, path: str = "/v1/payments") -> list[Request]:
    """What a page posts to this path, from now on."""
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if request.method == "POST" and path in request.url else None)
    return found


async def balance_of(found: Phone) -> int:
    return (await found.person()).balance()


# Paying


async def test_what_is_kept_is_sent_and_done_when_the_operator_has_signed_it(rose: Phone, shop: Person) -> None:
    before = shop.balance()
    order = await rose.pay(shop, 1_250, memo="rice")
    await rose.is_now("done")
    assert shop.balance() == before + 1_250
    done = await rose.run("w.outgoing[0]")
    assert (done["id"], done["tries"], done["receipt"]["id"]) == (order, 1, order)
    await rose.run("await until(() => w.entries[0]?.payment === given)", order)
    assert await rose.run("w.account.balance") == 48_750
    receipt = await rose.run("w.receipt(given)", order)
    assert (receipt["acknowledged"], receipt["state"], receipt["proof"]) == (True, "waiting", None)
    assert receipt["receipt"]["memo"] == "rice"
    assert await rose.run("w.identity.key.extractable") is False
    assert await rose.run("w.problem") is None


async def test_a_reloaded_wallet_shows_what_was_known_without_a_network(rose: Phone, shop: Person) -> None:
    await rose.pay(shop, 100)
    await rose.is_now("done")
    await rose.run("await until(() => w.entries.length === 2 && w.account.balance === 49_900)")
    age = await rose.run("w.accountAt")
    await rose.page.route("**/v1/**", lambda route: route.abort())
    await rose.open()
    known = await rose.run("return { account: w.account, at: w.accountAt, entries: w.entries.length, outgoing: w.outgoing[0].state }")
    assert (known["account"]["balance"], known["entries"], known["outgoing"]) == (49_900, 2, "done")
    assert known["at"] >= age
    await rose.run("await w.refresh()")
    assert await rose.run("w.offline") is True


async def test_money_that_comes_in_is_told_without_asking(rose: Phone, site: Site) -> None:
    friend = await site.scheme.customer("Daniel", funds=1_000)
    await rose.run("await w.followEvents(); await until(() => w.api.reached && w.entries.length === 1)")
    await rose.page.wait_for_timeout(500)
    await rose.run(
        "globalThis.came = new Promise((resolve) => w.addEventListener('received', (event) => resolve(event.detail), { once: true }));"
    )
    payee = await rose.person()
    await friend.pay(payee, 700, memo="lunch")
    began = await rose.page.evaluate("performance.now()")
    came = await rose.run("came")
    assert (came["amount"], came["name"]) == (700, "Daniel")
    assert await rose.page.evaluate("performance.now()") - began < 5_000
    assert await rose.run("w.account.balance") == 50_700


async def test_what_was_shown_as_done_is_written_when_the_page_goes_at_once(rose: Phone, shop: Person) -> None:
    """It is drawn first and written behind that. Whoever closes the wallet at that sight has it in writing all the same."""
    order = await rose.pay(shop, 300)
    async with rose.page.expect_navigation():
        await rose.run("await until(() => w.outgoing[0].state === 'done'); setTimeout(() => location.reload());")
    await rose.open()
    kept = "return [w.outgoing[0].state, w.payerLast > 0n, (await w.database.get('receipts', given)).receipt.amount]"
    assert await rose.run(kept, order) == ["done", True, 300]


async def test_what_only_brings_the_phone_up_to_date_waits_while_the_holder_does(rose: Phone, shop: Person) -> None:
    asked: list[str] = []
    rose.page.on("request", lambda request: asked.append(request.url.rpartition("/v1")[2]))
    await rose.run("w.calmAt = performance.now() + 3_600_000; void w.refresh();")
    await rose.pay(shop, 100)
    await rose.is_now("done")
    assert "/payments" in asked
    assert "/accounts/me" not in asked
    waits = "const { calm } = await import('/static/wallet/sync.js'); w.calmAt = performance.now() + 300; await calm(w);"
    assert await rose.run(f"{waits} return w.calmAt - performance.now()") <= 0


async def test_a_refusal_is_told_with_its_reason_and_moves_nothing(rose: Phone, shop: Person) -> None:
    await rose.run("await (await import('/static/phone/words.js')).use({ language: 'ko', plural: 'none', texts: {} })")
    await rose.pay(shop, 60_000)
    await rose.is_now("refused")
    refusal = await rose.run("w.outgoing[0].refusal")
    assert refusal["code"] in ("insufficient_funds", "limit_exceeded")
    assert refusal["title"].endswith("요.")
    assert await balance_of(rose) == 50_000


# The network goes


async def test_an_order_made_offline_is_kept_and_done_once_when_the_network_is_back(rose: Phone, shop: Person) -> None:
    posted, before = payments_posted(rose.page), shop.balance()
    await rose.run("await w.followEvents()")
    await rose.offline()
    await rose.pay(shop, 300)
    await rose.stays("kept")
    assert posted == []
    assert await rose.run("w.outgoing[0].left") is False
    await rose.offline(False)
    await rose.is_now("done")
    assert (len(posted), shop.balance()) == (1, before + 300)
    assert await rose.run("return [w.offline, await w.withdraw(w.outgoing[0].id)]") == [False, False]


async def test_what_never_left_the_phone_can_be_withdrawn(rose: Phone, shop: Person) -> None:
    posted = payments_posted(rose.page)
    await rose.offline()
    order = await rose.pay(shop, 300)
    await rose.is_now("kept")
    assert await rose.run("w.withdraw(given)", order) is True
    assert await rose.run("return [w.outgoing.length, await w.withdraw(given)]", order) == [0, False]
    await rose.offline(False)
    await rose.run("await w.outbox.send({ now: true })")
    await rose.open()
    await rose.run("await (await w.theOutbox()).send({ now: true })")
    assert posted == []
    assert await balance_of(rose) == 50_000


async def test_a_lost_answer_leaves_it_unsure_and_the_repeat_finds_it_done_once(rose: Phone, shop: Person) -> None:
    before, bodies = shop.balance(), []

    async def lose(route: Route) -> None:
        bodies.append(route.request.post_data)
        answer = await route.fetch()  # the server has done it
        assert answer.status == 200
        if len(bodies) <= 2:
            await route.abort("connectionreset")
        else:
            await route.fulfill(response=answer)

    await rose.page.route("**/v1/payments", lose)
    order = await rose.pay(shop, 400)
    await rose.is_now("unsure")
    assert shop.balance() == before + 400
    assert await rose.run("w.withdraw(given)", order) is False
    await rose.is_now("done")
    assert len(bodies) == 3
    assert len(set(bodies)) == 1, "the same bytes each time"
    assert shop.balance() == before + 400


@pytest.mark.parametrize("status", [500, 502, 503, 429, 200])
async def test_what_is_no_answer_of_ours_leaves_it_unsure(rose: Phone, shop: Person, status: int) -> None:
    before, tries = shop.balance(), []

    async def stranger(route: Route) -> None:
        tries.append(route)
        if len(tries) > 1:
            await route.continue_()
        elif status == 429:
            problem = {"code": "too_many", "title": "", "detail": "", "status": 429, "retry": "later", "facts": {}}
            await route.fulfill(status=status, json=problem, content_type="application/problem+json")
        else:
            await route.fulfill(status=status, body="<h1>Please sign in to this network</h1>", content_type="text/html")

    await rose.page.route("**/v1/payments", stranger)
    await rose.pay(shop, 200)
    await rose.is_now("unsure")
    assert shop.balance() == before
    await rose.is_now("done")
    assert shop.balance() == before + 200


async def test_being_turned_away_at_the_door_after_a_lost_answer_is_no_refusal(rose: Phone, shop: Person) -> None:
    tries = 0

    async def door(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await route.fetch()
            await route.abort()
        elif tries == 2:
            problem = {"code": "unknown_device", "title": "", "detail": "", "status": 401, "retry": "never", "facts": {}}
            await route.fulfill(status=401, json=problem, content_type="application/problem+json")
        else:
            await route.continue_()

    await rose.page.route("**/v1/payments", door)
    await rose.pay(shop, 200)
    await rose.run("await until(() => w.outgoing[0].tries === 2 && w.outgoing[0].state === 'unsure')")
    await rose.is_now("done")


async def test_an_answer_that_never_comes_does_not_stop_the_wallet(rose: Phone, shop: Person) -> None:
    """The tab is closed while an order is on its way: the next one finds out."""
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)
        await route.fetch()

    await rose.page.route("**/v1/payments", hold)
    before = shop.balance()
    await rose.pay(shop, 200)
    await rose.is_now("sending")
    await rose.run("await until(() => w.outgoing[0].left)")
    tab = await rose.context.new_page()
    await rose.page.close()
    rose.page = tab
    await rose.open()
    assert await rose.run("w.outgoing[0].state") == "sending"
    await rose.run("await w.followEvents()")
    await rose.is_now("done")
    assert shop.balance() == before + 200


# Tabs and devices


async def test_two_tabs_send_an_order_once_and_both_show_it(rose: Phone, shop: Person) -> None:
    other, before = await rose.another_tab(), shop.balance()
    posted = [*payments_posted(rose.page)], payments_posted(rose.page), payments_posted(other.page)
    for tab in (rose, other):
        await tab.run("await w.followEvents()")
    await rose.offline()
    await rose.pay(shop, 250)
    await other.pay(shop, 50)
    for tab in (rose, other):
        await tab.run("await until(() => w.outgoing.filter(({ state }) => state === 'kept').length === 2)")
    await rose.offline(False)
    for tab in (rose, other):
        await tab.run("await until(() => w.outgoing.every(({ state }) => state === 'done'))")
        assert await tab.run("w.outgoing.length") == 2
    assert shop.balance() == before + 300
    assert len(posted[1]) + len(posted[2]) == 2
    assert other.errors == []


async def test_an_order_withdrawn_in_one_tab_is_not_sent_by_the_other(rose: Phone, shop: Person) -> None:
    other, before = await rose.another_tab(), shop.balance()
    await other.run("await w.theOutbox();")
    await rose.offline()
    order = await rose.pay(shop, 250)
    await other.run("await until(() => w.outgoing.length === 1)")
    assert await other.run("w.withdraw(given)", order) is True
    await rose.run("await until(() => w.outgoing.length === 0)")
    await rose.offline(False)
    for tab in (rose, other):
        await tab.run("await (await w.theOutbox()).send({ now: true })")
    assert shop.balance() == before


async def test_a_second_phone_is_linked_by_its_code_and_both_can_pay(browser: Browser, site: Site, rose: Phone, shop: Person) -> None:
    before = shop.balance()
    async with phone(browser, site) as second:
        text = await second.run(
            "const link = await w.linkDevice('Tablet'); globalThis.linked = link.wait(); linked.catch(() => {}); return link.text"
        )
        assert text.startswith("CFD1:")
        assert (await rose.run("w.readDevice(given)", text))["label"] == "Tablet"
        device = await rose.run("w.approveDevice(given)", text)
        assert (device["label"], device["state"], device["algorithm"]) == ("Tablet", "active", "es256")
        identity = await second.run("const { account, device, name } = await linked; return { account, device, name }")
        assert identity["account"] == await rose.run("w.identity.account")
        assert identity["device"] == device["id"]
        await rose.pay(shop, 100)
        await second.pay(shop, 50)
        for each in (rose, second):
            await each.is_now("done")
            await each.run("await w.refresh(); await until(() => w.entries.length === 3 && w.account.balance === 49_850)")
        assert shop.balance() == before + 150
        assert await rose.run("return (await w.devices()).length") == 2
        await rose.run("await w.revokeDevice(given)", device["id"])
        await second.run("await w.refresh(); await until(() => w.problem === 'unknown_device')")
        await second.pay(shop, 50)
        await second.is_now("refused")
        assert await second.run("w.outgoing[0].refusal.code") == "unknown_device"


async def test_another_code_is_no_new_phone(rose: Phone) -> None:
    elsewhere = {"origin": "other.example/log", "device": id_text(1), "algorithm": "es256", "public_key": "AA", "label": "Phone"}
    asked = payments_posted(rose.page, "/v1/device-links/")
    for text in ("CFD1:", "CFD1:e30", "hello", "CFD1:%%%", "00020101", "CFD1:" + base64_text(json.dumps(elsewhere).encode())):
        for how in ("readDevice", "approveDevice"):
            said = await rose.run(f"try {{ await w.{how}(given); return ''; }} catch (error) {{ return error.name; }}", text)
            assert said == "RangeError", (how, text)
    assert asked == []


async def test_a_lost_phone_is_replaced_after_the_delay(browser: Browser, site: Site, rose: Phone, shop: Person) -> None:
    number = await rose.run("w.identity.number")
    async with phone(browser, site) as fresh:
        await fresh.run(
            "const s = await w.sendCode(given, 'recover'); await w.recover({ number: s.number, code: s.code, pin: '2580' });", number
        )
        assert await fresh.run("return [w.identity, w.recovery.state, await w.finishRecovery()]") == [None, "waiting", False]
        await site.services.parties.recoveries.complete_due()
        assert await fresh.run("w.finishRecovery()") is True
        assert await fresh.run("w.identity.account") == await rose.run("w.identity.account")
        await fresh.pay(shop, 50)
        await fresh.is_now("done")


async def test_a_sandbox_lends_a_key_that_no_request_carries(browser: Browser, site: Site, shop: Person) -> None:
    lender = await site.scheme.customer("Noah", funds=1_000)
    seed = base64_text(bytes(lender.key))
    async with phone(browser, site) as found:
        asked: list[str] = []
        found.page.on("request", lambda request: asked.append(f"{request.url} {request.post_data or ''} {json.dumps(request.headers)}"))
        await found.run("await w.importSandboxKey(given)", f"http://localhost/wallet/#/borrow?device={id_text(lender.device)}&seed={seed}")
        assert await found.run("return [w.identity.name, w.account.balance, w.identity.key.extractable]") == ["Noah", 1_000, False]
        await found.pay(shop, 100)
        await found.is_now("done")
        assert asked
        assert not any(seed in each for each in asked)


# The server, the clock, the storage


async def test_the_server_may_start_anew_in_the_middle(browser: Browser, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        clock = PatientClock()
        async with serving(tmp_path, clock) as before:
            found = await stack.enter_async_context(phone(browser, before))
            await found.enrol(funds=10_000)
            payee = await before.scheme.customer()
            await found.run("await w.followEvents()")
            port = before.port
        await found.pay(payee, 700)
        await found.run("await until(() => w.offline)")
        assert await found.run("['kept', 'unsure', 'sending'].includes(w.outgoing[0].state)")
        async with opened(tmp_path, clock) as scheme, listening(create_app(scheme.services), host="127.0.0.1", port=port):
            await found.run("await w.outbox.send({ now: true })")
            await found.is_now("done")
            found_account = scheme.services.ledger.account_now(payee.account)
            assert found_account is not None
            assert found_account.credits_posted == 700


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_wrong_by_an_hour_is_set_right(browser: Browser, site: Site, shop: Person, hours: int) -> None:
    script = f"const now = Date.now; Date.now = () => now() + {hours * ONE_HOUR_MS};"
    async with phone(browser, site, script=script) as found:
        await found.enrol(number=numbers.fresh(), funds=1_000)
        assert await found.run("w.problem") == "clock_wrong"
        await found.pay(shop, 100)
        await found.is_now("done")
        now_ms = site.services.clock.now_ns() / 1e6
        assert abs(await found.run("w.outgoing[0].at") - now_ms) < 30_000
        await found.open()
        assert abs(await found.run("w.api.now()") - site.services.clock.now_ns() / 1e6) < 30_000, "remembered"


async def test_where_nothing_can_be_kept_nothing_is_signed(browser: Browser, site: Site) -> None:
    script = "IDBFactory.prototype.open = () => { throw new DOMException('denied', 'SecurityError'); };"
    async with phone(browser, site, script=script) as found:
        posted: list[str] = []
        found.page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        assert await found.run("w.problem") == "storage_unavailable"
        said = await found.run(
            "try { await w.enrol({ number: '+254712000000', code: '1', name: 'A', pin: '2580' }); } catch (error) { return [error.name, error.code]; }"
        )
        assert said == ["StorageError", "unavailable"]
        assert posted == []


async def test_a_full_phone_sends_nothing_that_it_could_not_keep(rose: Phone, shop: Person) -> None:
    posted = payments_posted(rose.page)
    await rose.run("IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); };")
    said = await rose.run(
        "try { await w.keep({ payee: { account: given, name: 'Shop' }, amount: 1, maxFee: 0 }); } catch (error) { return [error.name, error.code]; }",
        id_text(shop.account),
    )
    assert said == ["StorageError", "full"]
    await rose.page.wait_for_timeout(300)
    assert posted == []
    assert await balance_of(rose) == 50_000


# The operator's word


def _statement(receipt: dict[str, Any]) -> bytearray:
    text = receipt["acknowledgement"]["statement"]
    return bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def forge(receipt: dict[str, Any], how: str) -> dict[str, Any]:
    """A receipt that is not the operator's word about this order."""
    word = receipt["acknowledgement"]
    statement = _statement(receipt)
    other = SigningKey.generate()
    if how == "signature":
        word["signature"] = ("B" if word["signature"][0] == "A" else "A") + word["signature"][1:]
    elif how == "statement":
        statement[-1] ^= 1
        word["statement"] = base64_text(bytes(statement))
    elif how == "key":
        word["signature"], word["key"] = base64_text(other.sign(bytes(statement)).signature), base64_text(bytes(other.verify_key))
    elif how == "amount":
        receipt["amount"] += 1
    elif how == "balance":
        receipt["balance"] += 1
    elif how == "account":
        receipt["account"] = receipt["payee"]
    elif how == "none":
        receipt["acknowledgement"] = None
    elif how == "no hash":
        del receipt["order_hash"]
    elif how == "no number":
        receipt["balance"] = None
    return receipt


@pytest.mark.parametrize(
    "how", ["signature", "statement", "key", "amount", "balance", "account", "none", "no hash", "no number", "another order"]
)
async def test_what_the_operator_has_not_signed_is_never_shown_as_done(rose: Phone, shop: Person, how: str) -> None:
    other: dict[str, Any] = {}
    if how == "another order":
        await rose.pay(shop, 100)
        await rose.is_now("done")
        other = await rose.run("w.outgoing[0].receipt")

    async def lie(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=other or forge(await answer.json(), how))

    await rose.page.route("**/v1/payments", lie)
    await rose.pay(shop, 100)
    await rose.run("await until(() => w.problem === 'acknowledgement_wrong')")
    await rose.stays("unsure")
    assert await rose.run("w.outgoing[0].receipt") is None
    await rose.page.unroute_all(behavior="wait")
    await rose.run("await w.outbox.send({ now: true })")
    await rose.is_now("done")
    await rose.open()
    assert await rose.run("w.problem") == "acknowledgement_wrong", "an alarm stays"


async def test_another_scheme_under_the_same_address_is_an_alarm_and_gets_no_order(rose: Phone, shop: Person) -> None:
    async def other(route: Route) -> None:
        answer = await route.fetch()
        key = base64_text(bytes(SigningKey.generate().verify_key))
        await route.fulfill(response=answer, json=await answer.json() | {"operator_key": key})

    await rose.page.route("**/v1/scheme", other)
    await rose.run("await (await import('/static/wallet/sync.js')).refreshScheme(w)")
    assert await rose.run("w.problem") == "other_scheme"
    said = await rose.run(
        "try { await w.keep({ payee: { account: given, name: '' }, amount: 1, maxFee: 0 }); } catch (error) { return error.message; }",
        id_text(shop.account),
    )
    assert "not the scheme" in said


# Expiry

LATER = "const now = Date.now; const later = Number(sessionStorage.later ?? 0); Date.now = () => now() + later;"


async def later(found: Phone, hours: int) -> None:
    """Lets time pass for the phone, which is opened anew."""
    await found.page.evaluate("(ms) => { sessionStorage.later = String(ms); }", hours * ONE_HOUR_MS)
    await found.open()


@pytest_asyncio.fixture(loop_scope="module")
async def sleeper(browser: Browser, tmp_path: Path) -> AsyncIterator[tuple[Phone, Site, Person]]:
    """A phone and a scheme of its own, on which hours can pass."""
    async with serving(tmp_path) as own, phone(browser, own, script=LATER) as found:
        await found.enrol(funds=10_000)
        yield found, own, await own.scheme.customer()


@pytest.mark.parametrize("carried_out", [True, False])
async def test_after_its_expiry_the_server_says_what_became_of_an_order(sleeper: tuple[Phone, Site, Person], carried_out: bool) -> None:
    found, own, payee = sleeper

    async def lose(route: Route) -> None:
        if carried_out:
            await route.fetch()
        await route.abort()

    await found.page.route("**/v1/payments", lose)
    await found.pay(payee, 500)
    await found.is_now("unsure")
    own.scheme.clock.offset_s += 25 * 3600
    await later(found, 25)
    await found.page.unroute_all(behavior="wait")
    posted = payments_posted(found.page)
    await found.run("await (await w.theOutbox()).send({ now: true })")
    await found.is_now("done" if carried_out else "refused")
    assert posted == [], "it is asked for, never sent again"
    if not carried_out:
        assert await found.run("w.outgoing[0].refusal.code") == "order_expired"
    assert payee.balance() == (500 if carried_out else 0)


async def test_an_order_that_expired_before_it_left_is_never_sent(sleeper: tuple[Phone, Site, Person]) -> None:
    found, own, payee = sleeper
    await found.page.route("**/v1/**", lambda route: route.abort())
    await found.run("await w.refresh()")
    await found.pay(payee, 500)
    await found.stays("kept")
    own.scheme.clock.offset_s += 25 * 3600
    await later(found, 25)
    await found.page.unroute_all(behavior="wait")
    posted = payments_posted(found.page)
    await found.run("await (await w.theOutbox()).send({ now: true })")
    await found.is_now("refused")
    assert (posted, payee.balance()) == ([], 0)


# What others do


async def test_holds_are_shown_with_their_end_and_taken_or_given_back(browser: Browser, site: Site, rose: Phone) -> None:
    station = await site.scheme.customer("Station")
    await rose.run(
        "const h = await w.keep({ kind: 'hold', payee: { account: given, name: 'Station' }, amount: 6000, maxFee: 100, timeoutS: 3600 });",
        id_text(station.account),
    )
    await rose.is_now("done")
    await rose.run("await until(() => w.holds.length === 1 && w.account.available === 44_000)")
    hold = await rose.run("w.holds[0]")
    assert (hold["amount"], hold["counterparty_name"], hold["state"]) == (6_000, "Station", "held")
    assert hold["expires_at"] == hold["held_until"]
    receipt = await site.services.payments.receipt(int(hold["id"].replace("-", ""), 16), station.account)
    await station.answer(OrderKind.CAPTURE, receipt, 4_000)
    await rose.run("await w.refresh(); await until(() => w.holds.length === 0)")
    assert await rose.run("return [w.account.balance, w.account.available]") == [46_000, 46_000]


async def test_somebody_who_was_paid_takes_releases_and_refunds_by_signed_orders(rose: Phone, site: Site) -> None:
    friend, me = await site.scheme.customer("Daniel", funds=10_000), await rose.person()
    first, second = await friend.hold(me, 3_000), await friend.hold(me, 2_000)
    paid = await friend.pay(me, 1_000)
    await rose.run("await w.refresh(); await until(() => w.holds.length === 2)")
    ids = {"first": id_text(first.payment.id), "second": id_text(second.payment.id), "paid": id_text(paid.payment.id)}
    await rose.run("const hold = w.holds.find(({ id }) => id === given.first); await w.capture(hold, 2_500);", ids)
    await rose.is_now("done")
    await rose.run("const hold = w.holds.find(({ id }) => id === given.second); await w.release(hold);", ids)
    await rose.is_now("done")
    await rose.run("const { receipt } = await w.receipt(given.paid); await w.refund(receipt, 400, 'too much');", ids)
    await rose.is_now("done")
    assert friend.balance() == friend.available() == 10_000 - 2_500 - 1_000 + 400
    await rose.run("await w.refresh(); await until(() => w.holds.length === 0)")
    assert await balance_of(rose) == 50_000 + 2_500 + 1_000 - 400


async def test_a_request_is_asked_answered_and_ended(browser: Browser, site: Site, rose: Phone) -> None:
    async with phone(browser, site) as other:
        await other.enrol("Daniel", number=numbers.fresh(), funds=1_000)
        payer = await other.run("w.identity.account")
        asked = await rose.run("w.ask({ payer: given, amount: 600, memo: 'lunch' })", payer)
        await other.run("await w.refresh(); await until(() => w.requests[0]?.state === 'open')")
        request = await other.run("w.requests[0]")
        assert (request["id"], request["amount"], request["memo"]) == (asked["id"], 600, "lunch")
        wish = {"payee": {"account": request["payee"], "name": "Rose"}, "amount": 600, "maxFee": 0, "reference": request["id"]}
        await other.run("await w.keep(given)", wish)
        await other.is_now("done")
        await rose.run("await w.refresh(); await until(() => w.requests[0].state === 'paid')")
        second = await rose.run("w.ask({ payer: given, amount: 100 })", payer)
        assert (await other.run("w.decline(given)", second["id"]))["state"] == "declined"
        third = await rose.run("w.ask({ memo: 'for anyone' })")
        assert (await rose.run("w.cancel(given)", third["id"]))["state"] == "cancelled"


async def test_whom_and_how_much_is_known_without_a_network_once_it_was_asked(rose: Phone, site: Site) -> None:
    friend = await site.scheme.customer("Daniel")
    assert (await rose.run("w.resolve(given)", friend.address))["name"] == "Daniel"
    await rose.pay(friend, 100)
    await rose.is_now("done")
    await rose.run("await until(() => w.contacts[0].name === 'Daniel')")
    online = await rose.run("w.quote({ account: given, amount: 20_000 })", id_text(friend.account))
    await rose.offline()
    offline = await rose.run("w.quote({ account: given, amount: 20_000 })", id_text(friend.account))
    assert (online.pop("offline"), offline.pop("offline")) == (False, True)
    assert offline["fee"] == online["fee"] > 0
    assert (offline["total"], offline["payee_name"]) == (online["total"], "Daniel")
    said = await rose.run("try { await w.resolve('+254700000001'); } catch (error) { return error.name; }")
    assert said == "Unreachable"


# History


async def test_the_history_is_complete_whatever_was_missed_and_older_entries_come_on_demand(rose: Phone, site: Site) -> None:
    friend, me = await site.scheme.customer("Daniel", funds=700_000), await rose.person()
    for amount in range(1, 131):
        await friend.pay(me, amount)
    await rose.run("await w.refresh()")
    assert await rose.run("w.entries.slice(0, 130).map(({ change }) => change)") == list(range(130, 0, -1))
    assert await rose.run("return [w.entries.length, w.older]") == [131, None]
    # What the server does not go on from is not its history: nothing is joined to it.
    await rose.run(
        """const none = { ...w.entries[0], at: '2020-01-01T00:00:00.000000Z' };
        await w.database.clear('entries');
        await w.database.put('entries', `${none.at} ${none.transfer}`, none);
        await w.reload();
        await w.refresh();"""
    )
    assert await rose.run("return [w.entries.length, (await w.database.all('entries')).length]") == [131, 131]
    for amount in range(1_000, 1_450):
        await friend.pay(me, amount)
    pages = 0

    async def breaks(route: Route) -> None:
        nonlocal pages
        pages += 1
        await (route.abort() if pages == 4 else route.continue_())

    await rose.page.route("**/v1/history**", breaks)
    await rose.run("await w.refresh()")
    assert await rose.run("w.entries.length") == 131, "a part that does not meet what is known is not shown"
    await rose.page.unroute_all(behavior="wait")
    await rose.run("await w.refresh()")
    assert await rose.run("w.entries.length") == 500
    await rose.open()
    expected = [*range(1_449, 999, -1), *range(130, 0, -1)]
    assert await rose.run("w.entries.map(({ change }) => change)") == expected[:500]
    assert await rose.run("w.moreEntries()") is True
    assert await rose.run("w.moreEntries()") is False
    assert await rose.run("w.entries.map(({ change }) => change)") == [*expected, 50_000]
    assert await rose.run("new Set(w.entries.map(({ transfer }) => transfer)).size") == 581


# The account


async def test_settings_limits_and_locks_reach_the_server(rose: Phone, shop: Person) -> None:
    await rose.run("await w.setTheme('dark'); await w.setHideBalance(true); await w.set({ sound: false });")
    await rose.run("await w.setLimits({ per_payment: 500 }, '2580')")
    assert await rose.run("w.account.limits.per_payment") == 500
    await rose.pay(shop, 600)
    await rose.is_now("refused")
    await rose.run("await w.lock()")
    assert await rose.run("w.account.freezes.length") == 1
    await rose.pay(shop, 100)
    await rose.is_now("refused")
    assert await rose.run("w.outgoing[0].refusal.code") == "account_frozen"
    said = await rose.run("try { await w.unlock('1111'); } catch (error) { return [error.code, error.retry]; }")
    assert said == ["wrong_pin", "change"]
    await rose.run("await w.unlock('2580')")
    assert await rose.run("w.account.freezes") == []
    await rose.run("await w.changePin('2580', '135790')")
    await rose.open()
    assert await rose.run("return [w.settings.theme, w.settings.hideBalance, w.settings.sound]") == ["dark", True, False]


async def test_everything_can_be_carried_out_and_the_phone_be_left_empty(rose: Phone, shop: Person) -> None:
    order = await rose.pay(shop, 100)
    await rose.is_now("done")
    await rose.run("globalThis.shares = []; globalThis.blob = await w.exportAll((share) => shares.push(share));")
    everything = json.loads(await rose.run("blob.text()"))
    assert everything["account"]["balance"] == 49_900
    assert [entry["change"] for entry in everything["entries"]] == [-100, 50_000]
    assert everything["receipts"][order]["receipt"]["id"] == order
    assert len(everything["devices"]) == 1
    shares = await rose.run("shares")
    assert (shares[0], shares[-1], shares) == (0, 1, sorted(shares))
    await rose.offline()
    await rose.pay(shop, 100)
    assert await rose.run("try { await w.forget(); } catch (error) { return error.name; }") == "RangeError"
    await rose.run("await w.withdraw(w.outgoing[0].id); await w.forget();")
    await rose.offline(False)
    await rose.open()
    assert await rose.run("return [w.identity, w.account, w.entries.length, w.outgoing.length]") == [None, None, 0, 0]


async def test_a_lost_answer_to_opening_an_account_opens_one_account(browser: Browser, site: Site) -> None:
    site.wait(7_200)
    async with phone(browser, site) as found:
        lost = 0

        async def lose(route: Route) -> None:
            nonlocal lost
            lost += 1
            await route.fetch()
            await route.abort()

        await found.page.route("**/v1/accounts", lose)
        number = numbers.fresh()
        who = await found.run("return { ...(await w.sendCode(given, 'enrol')), name: 'Rose', pin: '2580' }", number)
        assert await found.run("try { await w.enrol(given); } catch (error) { return error.name; }", who) == "Unreachable"
        assert lost == 2
        await found.open()
        assert await found.run("w.identity") is None
        await found.page.unroute_all(behavior="wait")
        await found.run("await w.enrol(given)", who)
        assert await found.run("return (await w.devices()).length") == 1
