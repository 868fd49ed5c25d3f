"""The wallet's engine on a phone without screens: an empty page of a real server, on which a test drives `Wallet` itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Route

from counterfoil.ids import id_text
from tests.browser.device import put_away
from tests.scheme import Person
from tests.web.site import Site

OPEN = """async () => {
  const { Wallet } = await import('/static/wallet/wallet.js');
  globalThis.w = await Wallet.open();
  globalThis.until = async (holds, what) => {
    const end = performance.now() + 15_000;
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`never: ${what ?? holds} ${JSON.stringify(told(), (_, value) => typeof value === 'bigint' ? String(value) : value)}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };
  globalThis.told = () => ({ states: w.outgoing.map(({ state, refusal, tries }) => [state, refusal?.code ?? null, tries]), problem: w.problem, offline: w.offline });
  const written = async () => (await w.database.get('outbox', w.outgoing[0].id))?.state;
  globalThis.is = (state) => until(async () => w.outgoing[0]?.state === state && (state !== 'done' || (await written()) === state), state);
}"""


class Phone:
    """One browser with its own storage. `run` evaluates JavaScript in which `w` is its wallet."""

    def __init__(self, site: Site, context: BrowserContext, page: Page) -> None:
        self.site = site
        self.context = context
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def run(self, code: str, argument: Any = None) -> Any:
        """`code` is an expression, or statements with a return, of an async function that gets `given`."""
        body = code if "return" in code or ";" in code else f"return {code}"
        return await self.page.evaluate(f"async (given) => {{ {body} }}", argument)

    async def open(self) -> None:
        """Loads the empty page, anew, and opens the wallet there."""
        await self.page.goto(f"http://localhost:{self.site.port}/engine")
        await self.page.evaluate(OPEN)

    async def open_offline(self) -> None:
        """Opens the wallet anew in the same page, from the phone alone."""
        await self.run("globalThis.w = await w.constructor.open();")

    async def another_tab(self) -> Phone:
        tab = Phone(self.site, self.context, await self.context.new_page())
        await tab.open()
        return tab

    async def enrol(self, name: str = "Rose", *, number: str = "0712345678", funds: int = 0) -> Person:
        """Opens an account on this phone; a person whom others can pay."""
        await self.run(
            "const s = await w.sendCode(given.number, 'enrol'); await w.enrol({ number: s.number, code: s.code, name: given.name, pin: '2580' });",
            {"number": number, "name": name},
        )
        person = await self.person()
        if funds:
            staff, supervisor = self.site.services.parties.staff, self.site.scheme.supervisors[0]
            await staff.change_tier(person.party, "identity_verified", reason="seen at the counter", by=supervisor)
            await self.site.scheme.fund(person, funds)
            await self.run("await w.refresh()")
        return person

    async def person(self) -> Person:
        """Whose phone this is, as far as others have to do with them."""
        account = int(str(await self.run("w.identity.account")).replace("-", ""), 16)
        holder = await self.site.services.parties.holder(account)
        key: Any = None
        return Person(self.site.scheme, party=holder.party, account=account, device=0, key=key, address=holder.number or "")

    async def pay(self, payee: Person, amount: int, *, memo: str = "") -> str:
        """Signs and keeps an order, without waiting for what becomes of it; its id."""
        return str(
            await self.run(
                "return (await w.keep({ payee: { account: given.to, name: 'Shop' }, amount: given.amount, maxFee: 100, memo: given.memo })).id",
                {"to": id_text(payee.account), "amount": amount, "memo": memo},
            )
        )

    async def is_now(self, state: str) -> None:
        """Waits until the newest order is in this state; done: and that is written, which follows the drawing."""
        await self.run("await is(given);", state)

    async def stays(self, state: str, ms: int = 600) -> None:
        """Checks that the newest order is in this state, and still is after a while."""
        await self.is_now(state)
        await self.page.wait_for_timeout(ms)
        assert await self.run("w.outgoing[0].state") == state

    async def offline(self, off: bool = True) -> None:
        await self.context.set_offline(off)


async def empty(route: Route) -> None:
    await route.fulfill(body="<!doctype html><title>engine</title>", content_type="text/html")


@asynccontextmanager
async def phone(browser: Browser, site: Site, *, script: str = "", **options: Any) -> AsyncIterator[Phone]:
    """A phone with an open wallet and no account. `script` runs in every page before anything of ours."""
    context = await browser.new_context(locale="en-GB", **options)
    await context.route("**/engine", empty)
    if script:
        await context.add_init_script(script)
    try:
        found = Phone(site, context, await context.new_page())
        await found.open()
        yield found
        assert found.errors == []
    finally:
        await put_away(context)
