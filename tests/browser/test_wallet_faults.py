"""The wallet's engine when something breaks in the middle: answers that lie or are somebody else's, storage that fills up, tabs
that come between each other, clocks that jump. What is not known stays not known, and what is known is not lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from counterfoil.payments.acknowledgement import Acknowledger
from counterfoil.web.values import base64_text, parse_base64
from tests.browser.conftest import serve_static
from tests.browser.engine import Phone, phone
from tests.browser.forge import root_of, sha
from tests.browser.test_wallet_engine import LATER, later, numbers, payments_posted
from tests.payments.publish.logbook import KEY
from tests.scheme import Person
from tests.web.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "keys").mkdir(mode=0o700)
    (folder / "keys" / "operator.ed25519").write_bytes(bytes(KEY))
    async with serving(folder, recovery_delay_s=0) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(site: Site) -> Person:
    return await site.scheme.customer("Shop")


@pytest_asyncio.fixture(loop_scope="module")
async def rose(browser: Browser, site: Site) -> AsyncIterator[Phone]:
    """A phone with an account and 500.00 in it."""
    site.wait(7_200)
    async with phone(browser, site) as found:
        await found.enrol(number=numbers.fresh(), funds=50_000)
        yield found


def refusal(code: str, status: int, retry: str = "never") -> dict[str, Any]:
    problem = {"code": code, "title": "", "detail": "", "status": status, "retry": retry, "facts": {}}
    return {"status": status, "body": json.dumps(problem), "content_type": "application/problem+json"}


# The operator's word


@pytest.mark.parametrize("what", ["amount", "account", "scheme", "fee"])
async def test_a_well_signed_word_that_is_about_something_else_is_an_alarm(rose: Phone, shop: Person, site: Site, what: str) -> None:
    """The operator signs what it should not. A smaller amount is not this payment, nor is what it tells the payee, or says in
    another scheme; a fee above the agreed one is evidence."""
    origin = site.services.config.origin
    acknowledger = Acknowledger(origin=f"x{origin[1:]}" if what == "scheme" else origin, key=KEY)

    async def lie(route: Route) -> None:
        answer = await route.fetch()
        receipt = await answer.json()
        receipt |= {"amount": {"amount": 99}, "fee": {"fee": 101, "fee_paid_by": "payer"}}.get(what, {})
        said = acknowledger.sign(
            order_hash=parse_base64(receipt["order_hash"], "order_hash"),
            account=shop.account if what == "account" else int(receipt["account"].replace("-", ""), 16),
            amount=receipt["amount"],
            fee=receipt["fee"],
            balance=receipt["balance"],
            completed_at=site.services.ledger.last_timestamp,
        )
        receipt["acknowledgement"] |= {"statement": base64_text(said.statement), "signature": base64_text(said.signature)}
        await route.fulfill(response=answer, json=receipt)

    await rose.page.route("**/v1/payments", lie)
    await rose.pay(shop, 100)
    if what == "fee":
        await rose.is_now("done")
        assert await rose.run("w.problem") == "fee_above_agreed"
    else:
        await rose.run("await until(() => w.problem === 'acknowledgement_wrong')")
        await rose.stays("unsure")


@pytest.mark.parametrize("carried_out", [True, False])
async def test_after_a_lost_answer_a_refusal_counts_only_where_nothing_was_carried_out(
    rose: Phone, shop: Person, carried_out: bool
) -> None:
    """Another server may say no to what ours has done: it is asked for the payment itself."""
    before, tries = shop.balance(), 0

    async def refuse(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries == 1 and carried_out:
            await route.fetch()
        await (route.abort() if tries == 1 else route.fulfill(**refusal("party_not_found", 404, "change")))

    await rose.page.route("**/v1/payments", refuse)
    await rose.pay(shop, 100)
    await rose.is_now("unsure")
    await rose.run("await w.outbox.send({ now: true }); await until(() => ['done', 'refused'].includes(w.outgoing[0].state))")
    assert await rose.run("w.outgoing[0].state") == ("done" if carried_out else "refused")
    assert shop.balance() == before + (100 if carried_out else 0)
    if not carried_out:
        assert await rose.run("w.outgoing[0].refusal.code") == "party_not_found"


async def test_what_another_scheme_says_under_our_address_changes_nothing_and_it_gets_no_order(rose: Phone, shop: Person) -> None:
    """A portal's JSON is nobody's word; another key is, and then not even what was kept before leaves the phone."""
    await rose.page.route("**/v1/scheme", lambda route: route.fulfill(json={}))
    said = await rose.run("try { await (await import('/static/wallet/sync.js')).refreshScheme(w); } catch (error) { return error.name; }")
    assert (said, await rose.run("w.problem")) == ("Unreachable", None)
    assert await rose.run("w.api.setClock(NaN); return Number.isFinite(w.api.now())") is True
    await rose.page.unroute_all(behavior="wait")
    posted = payments_posted(rose.page)
    await rose.offline()
    await rose.pay(shop, 100)
    await rose.is_now("kept")
    await rose.run("await w.alarm('other_scheme', {})")
    await rose.offline(False)
    await rose.run("await w.outbox.send({ now: true })")
    await rose.stays("kept")
    assert posted == []


# Storage


async def test_a_phone_that_gets_full_in_the_middle_says_so_and_goes_on_when_there_is_room(rose: Phone, shop: Person) -> None:
    before, lies = shop.balance(), True
    await rose.run("globalThis.StorageError = (await import('/static/phone/database.js')).StorageError;")

    async def full(yes: bool) -> None:
        """Every transaction that writes fails as Chromium fails it, which no test can bring about: it has room for small ones."""
        no = "w.database.transact = () => Promise.reject(new StorageError('full', null));"
        await rose.run(no if yes else "delete w.database.transact;")

    async def fills_up(route: Route) -> None:
        answer = await route.fetch()
        await full(True)
        receipt = await answer.json()
        await route.fulfill(response=answer, json=receipt | {"amount": 1} if lies else receipt)

    await rose.page.route("**/v1/payments", fills_up)
    posted = payments_posted(rose.page)
    await rose.pay(shop, 100)
    await rose.run("await until(() => w.alarms.length === 1)")  # shown, though it cannot be kept
    await rose.run("await until(() => w.problem === 'storage_full')")
    assert await rose.run("w.outgoing[0].state") == "sending"
    sent = len(posted)
    await rose.run("await w.outbox.send({ now: true })")
    assert len(posted) == sent, "what cannot be written down is not sent"
    lies = False
    await full(False)
    await rose.run("await w.outbox.send({ now: true })")
    assert await rose.run("return [w.outgoing[0].state, w.problem]") == ["done", "storage_full"]
    assert await rose.run("await w.reload(); return w.outgoing[0].state") == "sending", "what could not be kept is asked for again"
    assert len(posted) < 6, "ever longer pauses"
    await full(False)
    await rose.page.unroute_all(behavior="wait")
    await rose.run("await w.outbox.send({ now: true }); await w.refresh();")
    assert await rose.run("return [w.outgoing[0].state, w.trouble]") == ["done", None]
    assert shop.balance() == before + 100


async def test_one_order_that_breaks_does_not_keep_back_the_others(rose: Phone, shop: Person) -> None:
    before = shop.balance()
    await rose.offline()
    first = await rose.pay(shop, 100)
    await rose.run("await new Promise((resolve) => setTimeout(resolve, 5));")  # ids are in the order of time
    await rose.pay(shop, 200)
    await rose.run(
        """const { update } = w.database;
        w.database.update = function (store, key, change) { if (key === given) throw new Error('broken'); return update.call(this, store, key, change); };""",
        first,
    )
    await rose.offline(False)
    await rose.run("await w.outbox.send({ now: true }); await until(() => w.outgoing[0].state === 'done')")
    assert await rose.run("w.outgoing[1].state") == "kept"
    assert shop.balance() == before + 200


# Tabs


@pytest.mark.parametrize("state", ["kept", "sending"])
async def test_what_another_tab_did_takes_no_new_order_off_the_screen(rose: Phone, shop: Person, state: str) -> None:
    """An order is signed while everything is read from the phone again."""
    if state == "kept":
        await rose.offline()
    else:
        await rose.page.route("**/v1/payments", lambda route: None)  # no answer
    await rose.run(
        """const all = w.database.all.bind(w.database);
        const orders = new Promise((resolve) => { globalThis.read = resolve; });
        const held = new Promise((resolve) => { globalThis.free = resolve; });
        w.database.all = async (store) => {
          const found = await all(store);
          if (store === 'outbox') read();
          if (store === 'entries') await held;
          return found;
        };
        globalThis.reloading = w.reload();
        await orders;"""
    )
    await rose.pay(shop, 100)
    assert await rose.run("free(); await reloading; return w.outgoing.map(({ state }) => state)") == [state]


async def test_an_account_that_was_taken_off_the_phone_does_not_come_back_with_a_late_answer(rose: Phone) -> None:
    other = await rose.another_tab()
    held: list[Route] = []
    await other.page.route("**/v1/accounts/me", lambda route: held.append(route))
    # The other tab has not heard of it yet: its channel is slow.
    await other.run("w.channel.onmessage = null; globalThis.late = w.refresh();")
    while not held:
        await asyncio.sleep(0.02)
    await rose.run("await w.forget()")
    await held[0].continue_()
    await other.run("await late")
    assert await other.run("return [await w.database.get('self', 'identity') ?? null, w.identity]") == [None, None]
    assert await rose.run("(await w.database.all('entries')).length") == 0


async def test_an_order_that_another_tab_has_just_signed_is_not_forgotten(rose: Phone, shop: Person) -> None:
    await rose.run("await import('/static/wallet/holder.js');")
    await rose.offline()
    await rose.pay(shop, 100)
    await rose.run("w.database.all = async () => [];")  # what this tab saw a moment before
    assert await rose.run("try { await w.forget(); } catch (error) { return error.name; }") == "RangeError"
    await rose.open_offline()
    assert await rose.run("return [w.outgoing.length, w.identity.name]") == [1, "Rose"]


async def test_a_phone_has_one_account_and_what_is_begun_beside_a_recovery_does_not_lose_its_key(
    browser: Browser, site: Site, rose: Phone
) -> None:
    number = await rose.run("w.identity.number")
    for begin in ("w.enrol({ number: given, code: '1', name: 'A', pin: '2580' })", "w.recover({ number: given, code: '1', pin: '2580' })"):
        assert await rose.run(f"try {{ await {begin}; }} catch (error) {{ return error.name; }}", number) == "RangeError"
    assert await rose.run("try { await w.linkDevice(); } catch (error) { return error.name; }") == "RangeError"
    async with phone(browser, site) as fresh:
        await fresh.run(
            "const s = await w.sendCode(given, 'recover'); await w.recover({ number: s.number, code: s.code, pin: '2580' });", number
        )
        said = await fresh.run(
            "try { await w.enrol({ number: given, code: '0000', name: 'A', pin: '2580' }); } catch (error) { return error.code; }",
            numbers.fresh(),
        )
        assert said == "wrong_code"
        await site.services.parties.recoveries.complete_due()
        await fresh.open()
        assert await fresh.run("w.finishRecovery()") is True
        assert await fresh.run("w.identity.account") == await rose.run("w.identity.account")


# Time


@pytest.mark.parametrize("hours", [25, 72])
async def test_a_clock_that_jumps_or_a_closed_door_after_the_expiry_settles_nothing(browser: Browser, tmp_path: Path, hours: int) -> None:
    """72: only the phone's clock says so, and the order is sent. 25: it is over, but nobody may ask: it stays not known."""
    async with serving(tmp_path) as own, phone(browser, own, script=LATER) as found:
        await found.enrol(funds=10_000)
        payee = await own.scheme.customer()

        async def lose(route: Route) -> None:
            if hours == 25:
                await route.fetch()
            await route.abort()

        await found.page.route("**/v1/payments", lose)
        order = await found.pay(payee, 500)
        await found.is_now("unsure")
        await later(found, hours)
        await found.page.unroute_all(behavior="wait")
        if hours == 25:
            own.scheme.clock.offset_s += hours * 3600
            await found.page.route(f"**/v1/payments/{order}", lambda route: route.fulfill(**refusal("party_closed", 403)))
            await found.run("await (await w.theOutbox()).send({ now: true })")
            await found.stays("unsure")
            await found.page.unroute_all(behavior="wait")
        await found.run("await (await w.theOutbox()).send({ now: true })")
        await found.is_now("done")
        assert payee.balance() == 500


# Events


async def test_a_portal_that_answers_for_the_line_of_events_is_no_line(rose: Phone) -> None:
    asked = 0

    async def portal(route: Route) -> None:
        nonlocal asked
        asked += 1
        await route.fulfill(body="<h1>Please sign in to this network</h1>", content_type="text/html")

    await rose.page.route("**/v1/events*", portal)
    await rose.run(
        """const { follow } = await import('/static/phone/events.js');
        globalThis.heard = [];
        void follow({ api: w.api, signal: (globalThis.end = new AbortController()).signal, onEvent: (event) => heard.push(event.type) });"""
    )
    while asked < 2:
        await asyncio.sleep(0.05)
    assert await rose.run("end.abort(); return heard") == []


# The log


GROWTH = """async ({ roots, size }) => {
  const { consistencyProof, isConsistent } = await import('/static/wallet/heads.js');
  const { fromHex } = await import('/static/phone/bytes.js');
  const root = (begin, end) => fromHex(roots[`${begin}-${end}`]);
  const bad = (hash) => Uint8Array.from(hash, (byte, at) => (at === 7 ? byte ^ 1 : byte));
  const wrong = [];
  let checked = 0;
  for (let young = 2; young <= size; young++) {
    for (let old = 1; old < young; old++) {
      const proof = await consistencyProof(old, young, async (begin, end) => root(begin, end));
      const [before, after] = [root(0, old), root(0, young)];
      if (!(await isConsistent(old, young, proof, before, after))) wrong.push(['grown', old, young]);
      const lies = [[proof, bad(before), after], [proof, before, bad(after)], [[...proof, after], before, after], [proof.slice(1), before, after], [[], before, after]];
      for (let at = 0; at < proof.length; at++) lies.push([proof.map((hash, place) => (place === at ? bad(hash) : hash)), before, after]);
      for (const [steps, one, other] of lies) {
        checked += 1;
        if (await isConsistent(old, young, steps, one, other)) wrong.push(['rewritten', old, young]);
      }
    }
  }
  return { wrong, checked };
}"""


async def test_a_log_that_has_grown_is_told_from_one_that_was_rewritten(browser: Browser) -> None:
    size = 17
    leaves = [sha(b"\0", number.to_bytes(8)) for number in range(size)]
    roots = {f"{begin}-{end}": root_of(leaves[begin:end]).hex() for end in range(1, size + 1) for begin in range(end)}
    context = await browser.new_context()
    page = await context.new_page()
    await serve_static(page)
    found = await page.evaluate(GROWTH, {"roots": roots, "size": size})
    await context.close()
    assert found["wrong"] == []
    assert found["checked"] > 1_000
