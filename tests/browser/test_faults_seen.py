"""What people see when things go wrong: a wallet and the pages without scripts, each through one fault after the other.

Whatever happens, nothing is shown as done that is not, and it says what to do.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import segno
from playwright.async_api import Browser, FilePayload, Page, Route, expect

from counterfoil.acceptance import emv
from counterfoil.acceptance.emv_objects import checksum
from counterfoil.ids import new_id
from counterfoil.web.app import create_app
from counterfoil.web.server import listening
from tests.browser.device import PHONE, Camera, device
from tests.browser.test_basic import begin, signed_in
from tests.browser.wallets import enrol
from tests.payments.publish.logbook import KEY
from tests.scheme import Person, opened
from tests.web.site import PatientClock, Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "2580"
WRONG_CLOCK = "const now = Date.now; Date.now = () => now() - 3 * 3_600_000;"
NO_STORAGE = "IDBFactory.prototype.open = () => { throw new DOMException('denied', 'SecurityError'); };"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("seen")
    (folder / "keys").mkdir(mode=0o700)
    (folder / "keys" / "operator.ed25519").write_bytes(bytes(KEY))
    async with serving(folder) as found:
        yield found


class Holder:
    """Somebody with a wallet, and what stands on its screen."""

    def __init__(self, page: Page, account: int) -> None:
        self.page = page
        self.account = account
        self.posted: list[str] = []
        page.on("request", lambda request: self.posted.append(request.url) if request.url.endswith("/v1/payments") else None)

    async def go(self, path: str) -> None:
        await self.page.evaluate("(path) => { location.hash = path; }", path)

    async def agree(self, payee: Person, major: str) -> None:
        await self.go(f"/pay?to={payee.address.replace('+', '%2B')}&amount={major}")
        await self.page.locator(".consent button").click()

    async def comes_to(self, state: str, title: str) -> None:
        # The pauses between tries grow.
        await expect(self.page.locator(".outcome")).to_have_attribute("data-state", state, timeout=60_000)
        await expect(self.page.locator(".outcome h2")).to_have_text(title)

    async def shows_a_picture_of(self, text: str) -> None:
        """Gives the wallet a picture that has this code in it."""
        await self.go("/")
        await self.go("/scan")
        picture = io.BytesIO()
        segno.make_qr(text, encoding="utf-8").save(picture, kind="png", scale=5)
        file: FilePayload = {"name": "code.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        await self.page.locator("input[type=file]").set_input_files(file)


@asynccontextmanager
async def holding(browser: Browser, site: Site, number: str, *, script: str = "") -> AsyncIterator[Holder]:
    """Somebody who has opened an account on this phone, with 200.00 in it."""
    async with device(browser, size=PHONE, reduced_motion="reduce") as context:
        if script:
            await context.add_init_script(script)
        page = await context.new_page()
        await page.goto(f"http://localhost:{site.port}/wallet/")
        await enrol(page, number, "Rose")
        account = (await site.services.parties.resolve(number)).account
        bank = await site.scheme.institution("Bank", funds=30_000)
        await bank.pay(account, 20_000)
        await expect(page.locator(".balance .amount-large")).to_contain_text("200.00")
        yield Holder(page, account)


async def test_a_holder_without_a_camera_with_false_codes_a_frozen_account_and_a_lost_answer(
    seeing: tuple[Browser, Camera], site: Site
) -> None:
    shop = await site.scheme.merchant("Lighthouse Fuel")
    async with holding(seeing[0], site, "+254733100001") as rose:
        page, bad = rose.page, rose.page.locator("[role=alert]")

        # The camera is refused; codes come as pictures, and each says what is wrong with it.
        await rose.go("/scan")
        await expect(bad).to_contain_text("may not use the camera")
        mark = emv.scheme_mark(site.services.config.origin)
        asked = emv.Code(scheme=mark, account=shop.account, address=shop.address, name="Lighthouse Fuel", amount="12.50", currency="840", country="KE")  # fmt: skip
        signed = emv.write(asked, sign=lambda data: KEY.sign(data).signature)
        altered = signed.replace("540512.50", "540592.50")[:-4]
        for text, sentence in (
            ("https://example.org/menu", "This is not a payment code."),
            (signed.replace("540512.50", "540592.50"), "its checksum does not fit"),
            (altered + checksum(altered), "The signature in this code is wrong."),
            (emv.write(emv.Code(scheme=emv.scheme_mark("other.example/log"), account=1, name="X", currency="840", country="KE")),
             "This code belongs to another payment scheme."),
        ):  # fmt: skip
            await rose.shows_a_picture_of(text)
            await expect(bad).to_contain_text(sentence)
            await expect(page.locator(".consent")).to_have_count(0)
        await rose.shows_a_picture_of(
            emv.write(emv.Code(scheme=mark, account=shop.account, name="City Hospital", currency="840", country="KE"))
        )
        await page.locator("[name=amount]").fill("1.00")
        await page.locator("form .button").click()
        await expect(page.locator(".notice-bad")).to_contain_text("City Hospital")
        await expect(page.locator(".notice-bad")).to_contain_text("Lighthouse Fuel")
        assert rose.posted == []

        # The operator freezes the account: it says so, and nothing moves.
        staff, supervisor = site.services.parties.staff, site.scheme.supervisors[0]
        holder, freeze = await site.services.parties.holder(rose.account), new_id(site.scheme.clock)
        await staff.freeze(freeze, holder.party, reason="asked by the police", by=supervisor)
        await rose.agree(shop, "3.00")
        await rose.comes_to("refused", "Not paid")
        await expect(page.locator(".outcome")).to_contain_text("has frozen this account")
        await staff.unfreeze(freeze, reason="a mistake", by=site.scheme.supervisors[1])

        # The PIN is wrong, three times; then it is right.
        await rose.go("/security")
        await page.locator("summary").first.click()
        form = page.locator("details[open] form")
        await form.locator("[name=per_payment]").fill("50")
        for left in ("4", "3", "2"):
            await form.locator("[name=pin]").fill("1111")
            await form.locator("button").click()
            await expect(form.locator("[role=alert]")).to_contain_text(f"Attempts left: {left}.")
        await form.locator("[name=pin]").fill(PIN)
        await form.locator("button").click()
        await expect(page.locator("p.good")).to_contain_text("Your limits are set.")

        # The answer is lost: it is not known, and says so until it is.
        async def lose(route: Route) -> None:
            await route.fetch()
            await route.abort()

        await page.route("**/v1/payments", lose)
        await rose.agree(shop, "4.00")
        await rose.comes_to("unsure", "Not known yet")
        await expect(page.locator(".outcome")).to_contain_text("Do not pay again.")
        assert shop.balance() > 0  # it was carried out, but nobody here can know
        await page.unroute_all(behavior="wait")
        await rose.comes_to("done", "Paid")

        # Two tabs: what one takes back is gone in the other, and is never sent.
        other = await page.context.new_page()
        await other.goto(page.url)
        sent = len(rose.posted)
        await page.context.set_offline(True)
        await rose.agree(shop, "5.00")
        await rose.comes_to("kept", "Kept on this phone")
        await other.evaluate("(hash) => { location.hash = hash; }", page.url.partition("#")[2])
        await other.get_by_role("button", name="Take it back").click()
        await expect(page.locator(".empty")).to_contain_text("no longer on this phone")
        await page.context.set_offline(False)
        await rose.agree(shop, "6.00")
        await rose.comes_to("done", "Paid")
        assert len(rose.posted) == sent + 1


async def test_a_holder_whose_clock_is_wrong_whose_server_restarts_and_whose_storage_is_cleared(browser: Browser, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        clock = PatientClock()
        async with serving(tmp_path, clock) as before:
            rose = await stack.enter_async_context(holding(browser, before, "+254733100002", script=WRONG_CLOCK))
            shop, port, page = await before.scheme.merchant("Duka"), before.port, rose.page
            await expect(page.locator(".notice-bad")).to_contain_text("The clock of this phone is wrong.")
            await rose.go("/scan")
            await expect(page.locator("[role=alert]")).to_contain_text("There is no camera here.")
            await rose.agree(shop, "1.00")
            await rose.comes_to("done", "Paid")
            await rose.go(f"/pay?to={shop.address}&amount=2.00")
            await expect(page.locator(".consent button")).to_be_visible()
        await page.locator(".consent button").click()
        await expect(page.locator(".outcome")).to_be_visible()
        assert await page.locator(".outcome").get_attribute("data-state") in ("kept", "sending", "unsure")
        async with opened(tmp_path, clock) as scheme, listening(create_app(scheme.services), host="127.0.0.1", port=port):
            await expect(page.locator(".outcome")).to_have_attribute("data-state", "done", timeout=60_000)
            account = scheme.services.ledger.account_now(shop.account)
            assert account is not None
            # 3.00 less what the merchant pays for it
            assert account.credits_posted == 300

            # The browser clears what the wallet keeps: nothing can be agreed to, and the account can be had back.
            await rose.go(f"/pay?to={shop.address}&amount=2.00")
            await expect(page.locator(".consent button")).to_be_visible()
            sent = len(rose.posted)
            line = await page.context.new_cdp_session(page)
            origin = {"origin": f"http://localhost:{port}", "storageTypes": "indexeddb"}
            await line.send("Storage.clearDataForOrigin", origin)
            await page.locator(".consent button").click()
            await expect(page.locator(".consent [role=alert]")).to_contain_text("This browser keeps nothing here")
            await page.goto(f"http://localhost:{port}/wallet/")
            await page.reload()
            await expect(page.get_by_role("link", name="I have lost my phone")).to_be_visible()
            assert len(rose.posted) == sent

            async with device(browser, size=PHONE) as private:
                await private.add_init_script(NO_STORAGE)
                window = await private.new_page()
                await window.goto(f"http://localhost:{port}/wallet/")
                await expect(window.locator(".notice-bad")).to_contain_text("a private window, perhaps")


async def test_somebody_without_scripts_whose_cookie_is_lost_whose_pin_is_wrong_and_whose_server_restarts(
    browser: Browser, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(device(browser, size=PHONE, java_script_enabled=False))
        clock, served = PatientClock(), AsyncExitStack()
        before: Any = await served.enter_async_context(serving(tmp_path, clock))
        payer, payee = await before.scheme.simple_phone("Kofi", funds=10_000), await before.scheme.merchant("Duka")
        port = before.port

        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/basic/")
        await context.clear_cookies()
        await page.fill("#number", payer.address)
        await page.fill("#pin", PIN)
        await page.press("#pin", "Enter")
        await expect(page.locator("[role=alert]")).to_contain_text("has to keep a cookie")
        await page.close()

        page = await signed_in(context, before, payer)
        await begin(page, payee, "10", "rice")
        for left in ("4", "3", "2"):
            await page.fill("#pin", "1111")
            await page.press("#pin", "Enter")
            await expect(page.locator(".error")).to_contain_text(f"Tries left: {left}.")
        form = page.url
        await served.aclose()
        async with opened(tmp_path, clock) as scheme, listening(create_app(scheme.services), host="127.0.0.1", port=port):
            await page.fill("#pin", PIN)
            await page.press("#pin", "Enter")
            await expect(page.locator("[role=alert]")).to_contain_text("What you sent last was not done.")
            ledger = scheme.services.ledger
            account = ledger.account_now(payer.account)
            assert account is not None
            assert account.debits_posted == 0
            await page.fill("#number", payer.address)
            await page.fill("#pin", PIN)
            await page.press("#pin", "Enter")
            await expect(page.locator("h1")).to_have_text("Kofi")
            await page.goto(form)
            await expect(page.locator("[role=status]")).to_contain_text("Nothing was paid with it.")
            await begin(page, payee, "10", "rice")
            await page.fill("#pin", PIN)
            await page.press("#pin", "Enter")
            await expect(page.locator("h1")).to_have_text("Paid")
            await page.go_back()
            await page.reload()
            await expect(page.locator("h1")).to_have_text("Paid")
            account = ledger.account_now(payer.account)
            assert account is not None
            assert account.debits_posted == 1_000
