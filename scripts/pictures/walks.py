"""Through every page, as people of the town go: what each walk pictures, and how it gets there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from playwright.async_api import expect

from counterfoil.commands.demo.telephones import HOLDERS
from counterfoil.moments import moment_text
from scripts.pictures.album import PATIENCE_MS, Album
from scripts.pictures.town import CLERK_PIN, CLERKS, PIN, SHOP, STAFF

expect.set_options(timeout=PATIENCE_MS)


async def everybody(album: Album) -> None:
    """What needs no log-in."""
    address = f"@{SHOP}"
    await album.open("public-front", "/")
    await album.open("public-proof", "/proof")
    await album.open("public-check", "/proof/check")
    await album.open("public-pay-link", f"/pay/{address}?amount=2.50&memo=mangoes")
    await album.open("public-poster", f"/pay/{address}/poster")
    async with album.part("public-check-done"):
        holder = album.town.holders[album.language]
        history = await album.town.call(holder, "GET", "/v1/history")
        payment = [entry["payment"] for entry in history["entries"] if entry["payment"]][-1]  # the log has long had it
        proof = await album.town.call(holder, "GET", f"/v1/payments/{payment}/proof")
        await album.page.goto(f"{album.town.base}/proof/check")
        await album.page.fill("#receipt", proof["proof"])
        await album.page.click("button[type=submit]")
        await expect(album.page.locator("#verdict")).to_be_focused()
        await album.take("public-check-done")
    async with album.part("public-receipt"):
        await album.open("public-receipt-ask", "/r")
        number = next(number for _, language, number in HOLDERS if language == album.language)
        texts = (await album.town.plain("GET", f"/simulator/texts?number={quote(number)}"))["texts"]
        code = next(found[0] for each in reversed(texts) if (found := re.search(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){2}", each["text"])))
        await album.page.goto(f"{album.town.base}/r/{code}")
        await expect(album.page.locator("#verdict")).to_be_visible()
        await album.take("public-receipt")
        await album.open("public-receipt-none", "/r/000000000000", status=404)
    await album.open("public-card", f"/t?{album.town.tap()}")
    await album.open("public-card-nothing", "/t")
    for name, ticket in zip(("public-ticket", "public-ticket-due"), album.town.tickets, strict=True):
        await album.open(name, f"/parking/{ticket}")
    async with album.part("public-nothing"):
        await album.page.goto(f"{album.town.base}/pay/nobody-here")
        await album.take("public-nothing")


async def staff(album: Album) -> None:
    """What a treasurer sees."""
    await album.open("staff-strangers", "/staff/sign-in")
    link = await album.town.call(STAFF, "POST", "/v1/staff/sign-in-links")
    await album.open("staff-sign-in", link["path"])
    await album.page.click("main form button")
    for name in ("", "accounts", "transfers", "proposals", "messages", "reports"):
        await album.open(f"staff-{name or 'overview'}", f"/staff/{name}".rstrip("/"))
    for name in ("accounts", "transfers"):
        async with album.part(f"staff-{name}-one"):
            await album.page.goto(f"{album.town.base}/staff/{name}")
            await album.page.locator(f"main a[href^='/staff/{name}/']").first.click()
            await album.take(f"staff-{name}-one")
    async with album.part("staff-announcement"):
        await album.page.goto(f"{album.town.base}/staff/proposals")
        await album.page.locator("main a[href^='/staff/announcements/']").first.click()
        await album.take("staff-announcement")


async def basic(album: Album) -> None:
    """The wallet without JavaScript."""
    page, number = album.page, album.town.key(album.town.holders[album.language])["number"]
    await album.open("basic-sign-in", "/basic/")
    await page.fill("input[name=number]", number)
    await page.fill("input[name=pin]", PIN)
    await page.click("form[action='/basic/sign-in'] button")
    await album.open("basic-home", "/basic/")
    await album.open("basic-history", "/basic/history")
    await album.open("basic-requests", "/basic/requests")
    await album.open("basic-pay", f"/basic/pay?to=%40{SHOP}&amount=2.50&memo=mangoes")
    async with album.part("basic-confirm"):
        await page.click("form[action='/basic/pay'] button")
        await expect(page.locator("input[name=pin]")).to_be_visible()
        await album.take("basic-confirm")
    async with album.part("basic-wrong"):
        await page.goto(f"{album.town.base}/basic/pay?to=%40nobody_at_all&amount=-1")
        await page.click("form[action='/basic/pay'] button")
        await expect(page.locator("[aria-invalid=true]").first).to_be_visible()
        await album.take("basic-wrong")
    async with album.part("basic-payment"):
        await page.goto(f"{album.town.base}/basic/history")
        await page.locator("a[href*='payments/']").first.click()
        await album.take("basic-payment")


async def attend(album: Album) -> None:
    """The telephone of whoever looks after a car park and pumps."""
    page, town = album.page, album.town
    await album.open("attend-pair", "/attend/")
    await page.fill("#code", await town.code_of_till())
    await page.click("form[action='/attend/pair'] button")
    async with album.part("attend-sign-in"):
        await expect(page.locator("#pin")).to_be_visible()
        await album.take("attend-sign-in")
    await page.select_option("#clerk", label=next(iter(CLERKS)))
    await page.fill("#pin", CLERK_PIN)
    await page.click("form[action='/attend/sign-in'] button")
    await album.open("attend-home", "/attend/")
    async with album.part("attend-car-park"):
        await page.locator("a[href^='/attend/car-parks/']").first.click()
        await album.take("attend-car-park")
        await page.fill("#plate", "!")
        await page.click("form[method=post]:has(#plate) button")
        await expect(page.locator("[aria-invalid=true]")).to_be_visible()
        await album.take("attend-car-park-wrong")
    for name, ticket in zip(("attend-stay", "attend-stay-due"), town.tickets, strict=True):
        await album.open(name, f"/attend/stays/{ticket}")
    async with album.part("attend-fill"):
        await album.open("attend-fill", f"/attend/fills/{town.fill}")
        await page.fill("#totaliser", "482203.25")
        await page.click("form:has(#totaliser) button")
        await expect(page.locator("[name=sure]")).to_have_count(1)
        await album.take("attend-fill-sure")
    async with album.part("attend-baskets"):
        await town.ring_up()
        await album.open("attend-baskets", "/attend/baskets")
        await page.locator("form:has([name=sale]) button").first.click()
        await expect(page.locator("#people")).to_be_visible()
        await album.take("attend-basket-new")
        await page.fill("#people", "2")
        await page.click("form:has(#people) button")
        await expect(page.locator(".qr")).to_have_count(2)
        await album.take("attend-basket")


async def welcome(album: Album) -> None:
    """Somebody new: from the first start to an account."""
    page, town = album.page, album.town
    await page.goto(f"{town.base}/wallet/")
    await album.screen("welcome", "/", "#app .low")
    for name in ("about", "join/device", "join/recover"):
        await album.screen(f"welcome-{name.replace('/', '-')}", f"/{name}")
    async with album.part("welcome-number"):
        await album.go("/", "#app .low")
        await page.locator(".low button, .low a").first.click()
        await expect(page.locator("input[name=number]")).to_be_visible()
        await album.take("welcome-number")
        await page.fill("input[name=number]", town.new_number())
        await page.click("form button:not([type=button])")
        await expect(page.locator("input[name=code]")).to_be_visible()
        await album.take("welcome-code")
        await page.fill("input[name=code]", await page.locator("strong.amount").inner_text())
        await page.click("form button:not([type=button])")
        await expect(page.locator("input[name=pin]")).to_be_visible()
        await album.take("welcome-name")
        await page.click("form button:not([type=button])")
        await expect(page.locator(".notice-bad")).to_be_visible()
        await album.take("welcome-name-missing")
        await page.fill("input[name=name]", {"ko": "김하늘", "fr": "Éloïse Noël"}.get(album.language, "Ada Field"))
        await page.fill("input[name=pin]", "2589")
        await page.click("form button:not([type=button])")
        await expect(page.locator(".stub").first).to_be_visible()
        await album.take("welcome-home")
        for name in ("activity", "messages", "notices", "ask"):
            await album.screen(f"welcome-{name}-empty", f"/{name}")


async def wallet(album: Album) -> None:
    """Somebody of the town: paying, being paid, and all the rest."""
    page, town = album.page, album.town
    await _borrow(album, town.holders[album.language])
    await album.screen("wallet-home", "/", ".stub")
    album.camera.cover()
    await album.screen("wallet-scan", "/scan", "#app video")
    await album.screen("wallet-pay", "/pay")
    await album.screen("wallet-pay-amount", f"/pay?to=@{SHOP}", ".pad")
    await album.screen("wallet-pay-nothing", "/pay?code=nothing")
    async with album.part("wallet-pay-slide"):
        await page.emulate_media(reduced_motion="no-preference")
        await album.go(f"/pay?to=@{SHOP}&amount=1.80&hold=1", ".slide")
        await album.take("wallet-pay-slide")
    await page.emulate_media(reduced_motion="reduce")
    async with album.part("wallet-pay-consent"):
        await album.go(f"/pay?to=@{SHOP}&amount=2.50&memo=mangoes", ".consent")
        await album.take("wallet-pay-consent")
        await page.locator(".consent button").click()
        await expect(page.locator(".outcome[data-state=done]")).to_be_visible()
        await album.take("wallet-paid")
        await page.locator("a[href^='#/payment/']").first.click()
        await expect(page.locator("main .stub")).to_be_visible()
        await album.take("wallet-payment")
    async with album.part("wallet-held"):
        await album.go(f"/pay?to=@{SHOP}&amount=1.80&hold=1", ".consent")
        await page.locator(".consent button").click()
        await expect(page.locator(".outcome[data-state=done]")).to_be_visible()
        await album.take("wallet-held")
    async with album.part("wallet-request"):
        await album.go("/", ".stub")
        await page.locator("a[href^='#/request/']").first.click()
        await album.take("wallet-request")
    month = moment_text(town.clock.now_ns())[:7]
    names = ("receive", "ask", "cash", "cash/in", "activity", "messages", "notices", "settings", "security", "devices", "about")
    for name in names:
        await album.screen(f"wallet-{name.replace('/', '-')}", f"/{name}")
    await album.screen("wallet-month", f"/month/{month}")
    async with album.part("wallet-receive-amount"):
        await album.go("/receive")
        await page.locator("main .low button").first.click()
        await expect(page.locator(".pad")).to_be_visible()
        await page.locator("input[name=amount]").fill("12345")
        await page.fill("input[name=memo]", "mangoes")
        await album.take("wallet-receive-amount")
        await page.click("form button:not([type=button])")
        await expect(page.locator(".qr svg")).to_be_visible()
        await album.take("wallet-receive-with")
    async with album.part("wallet-security-open"):
        await album.go("/security")
        for summary in await page.locator("details > summary").all():
            await summary.click()
        await album.take("wallet-security-open")
    async with album.part("wallet-watchers"):
        await album.screen("wallet-watchers-none", "/security/watchers")
        await album.go("/security/watchers/choose")
        await album.take("wallet-watchers-whom")
        await page.locator("[name=address]").fill(next(number for _, language, number in HOLDERS if language != album.language))
        await page.keyboard.press("Enter")
        await expect(page.locator(".stub .payee")).to_be_visible()
        await album.take("wallet-watchers-ask")
        await page.locator(".low form .button").click()
        await expect(page.locator("main .list li")).to_be_visible()
        await page.locator("main .list summary").click()
        await album.take("wallet-watchers-asked")
        await page.locator("main .list details .button").click()
        await expect(page.locator("main .list li")).to_have_count(0)
    async with album.part("wallet-cards"):
        await album.screen("wallet-cards-none", "/cards", "main > p.soft")
        await album.screen("wallet-cards-ask", f"/cards?{town.tap()}", "main .stub form")
        row = page.locator("main .list li")
        await page.locator("main .stub form .button").click()
        await expect(row).to_be_visible()
        await album.take("wallet-cards-added")
        await row.locator("form .button-danger").first.click()
        await expect(row.locator("strong.bad")).to_be_visible()
        await row.locator("summary").click()
        await album.take("wallet-cards-locked")
        await row.locator("details .button").click()
        await expect(row).to_have_count(0)
    async with album.part("wallet-thread"):
        account = (await town.call(town.holders[album.language], "POST", "/v1/resolve", {"address": f"@{SHOP}"}))["account"]
        await album.go(f"/thread/{account}")
        await album.take("wallet-thread")
        await page.locator(".talk-flag").first.click()
        await expect(page.locator("fieldset.reasons")).to_be_visible()
        await album.take("wallet-report")
        await page.locator(".talk-flag").first.click()
        scheme = page.locator("a[href^='#/thread/']", has_text="Halyard")
        await album.go("/messages")
        await scheme.first.click()
        await expect(page.locator(".notice").last).to_be_visible()
        await album.take("wallet-thread-scheme")
    async with album.part("wallet-thread-blocked"):
        await album.go(f"/thread/{account}")
        block = page.locator("p.center button.link")
        await block.click()
        await expect(page.locator("main .notice").first).to_be_visible()
        await album.take("wallet-thread-blocked")
        await block.click()
        await expect(page.locator("main .notice").first).to_be_hidden()
    async with album.part("wallet-messages-new"):
        await album.go("/messages")
        await page.locator(".bar button").last.click()
        await expect(page.locator("input[name=address]")).to_be_visible()
        await album.take("wallet-messages-new")
    async with album.part("wallet-payment-proven"):
        await album.go("/activity")
        rows = page.locator("a[href^='#/payment/']")
        await rows.nth(min(3, await rows.count() - 1)).click()
        await page.locator("main .button:not(.low .button)").first.click()
        await expect(page.locator("ol.steps")).to_be_visible()
        await album.take("wallet-payment-proven")
    async with album.part("wallet-offline"):
        await page.context.set_offline(True)
        await album.go("/", ".stub")
        await expect(page.locator(".strip .icon")).to_be_visible()
        await album.take("wallet-offline")
        await album.go(f"/pay?account={account}&amount=1.20", ".consent")
        await album.take("wallet-offline-consent")
        await page.locator(".consent button").click()
        await expect(page.locator(".outcome[data-state=kept]")).to_be_visible()
        await album.take("wallet-offline-kept")
        await album.go("/", ".stub")
        await album.take("wallet-offline-home")
    await page.context.set_offline(False)


async def merchant(album: Album) -> None:
    """The owner of a stall: what only merchants have in their wallet."""
    page = album.page
    await _borrow(album, SHOP)
    await album.screen("merchant-home", "/", ".stub")
    await album.screen("merchant-settings", "/settings")
    await album.screen("merchant-tills", "/tills")
    async with album.part("merchant-tills-open"):
        for summary in await page.locator("details > summary").all():
            await summary.click()
        await album.take("merchant-tills-open")
        field = page.locator("details[open] > form input").first
        await field.fill("Counter 1")
        await field.press("Enter")
        await expect(page.locator(".qr svg")).to_be_visible()
        await album.take("merchant-tills-pairing")
    async with album.part("merchant-payment"):
        await album.go("/activity")
        await page.locator("a[href^='#/payment/']").first.click()
        await album.take("merchant-payment")


async def till(album: Album) -> None:
    """A stall's counter: paired, a clerk signed in, sales until they are paid, and the day."""
    page, town = album.page, album.town
    clerk = next(iter(CLERKS))
    made = await town.call(SHOP, "POST", "/v1/tills", {"id": town.new_id(), "name": f"Till {town.new_number()[-3:]}"})
    await page.goto(f"{town.base}/till/")
    await album.screen("till-pair", "/pair")
    await page.goto("about:blank")
    await page.goto(f"{town.base}{made['link']}")
    await page.locator("form .button-wide").click()
    await expect(page.locator(".people .row").first).to_be_visible()
    await album.take("till-people")
    await page.locator(".people .row", has_text=clerk).first.click()
    await album.take("till-pin")
    await page.fill("#pin", CLERK_PIN)
    await page.keyboard.press("Enter")
    await expect(page.locator(".clerk-name")).to_be_visible()
    await album.take("till-sell")
    async with album.part("till-charge"):
        await _key_in(album, "2.50")
        await album.take("till-amount")
        await page.click(".charge-row .charge")
        await expect(page.locator(".till-qr[data-code] svg")).to_be_visible()
        await album.take("till-charge")
        await town.pay(town.holders[album.language], await page.locator(".till-qr[data-code]").get_attribute("data-code") or "")
        await expect(page.locator(".paid")).to_be_visible()
        await album.take("till-paid")
        await page.locator(".paid-end .button").first.click()
    async with album.part("till-basket"):
        await _goods_side(album)
        for place in (0, 1, 2, 0, 4, 2):
            await page.locator(".grid button").nth(place).click()
        await album.take("till-basket")
        if await page.locator(".sides").is_visible():
            await page.click(".sides button:first-child")
            await album.take("till-basket-lines")
        await page.locator(".lines .row").first.click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        await album.take("till-line")
        await page.keyboard.press("Escape")
        await page.locator(".charge-row .button").first.click()  # set aside, not charged
        await expect(page.locator(".till-qr[data-code] svg")).to_be_visible()
        await album.take("till-hold")
        await page.locator(".charge-end .button").last.click()
        await expect(page.locator(".waiting")).to_be_visible()
        await album.take("till-sell-waiting")
    for name in ("sales", "day", "goods", "settings"):
        await album.screen(f"till-{name}", f"/{name}")
    async with album.part("till-goods-one"):
        await album.go("/goods")
        await page.locator(".goods-row .row").first.click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        await album.take("till-goods-one")
        await page.keyboard.press("Escape")
    async with album.part("till-day-close"):
        await album.go("/day")
        await page.locator("main > .button-wide").click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        await album.take("till-day-close")
        await page.keyboard.press("Escape")
    async with album.part("till-sale"):
        await album.go("/sales")
        await page.locator("a[href^='#/sales/']:has(.good)").first.click()
        await album.take("till-sale")
        slip = page.locator(".sale-actions .button-quiet").first
        await slip.click()
        await expect(page.locator("dialog[open] .qr svg")).to_be_visible()
        address = await page.locator("dialog[open] a.button").get_attribute("href") or ""
        await album.take("till-slip")
        await page.keyboard.press("Escape")
        await page.locator(".sale-actions .button-danger").click()
        await expect(page.locator("dialog[open] #amount")).to_be_visible()
        await album.take("till-refund")
        await page.locator("dialog[open] .button-danger").click()
        await expect(page.locator("dialog[open] #pin")).to_be_visible()
        await album.take("till-refund-pin")
        await page.keyboard.press("Escape")
        other = await page.context.new_page()
        await other.goto(address)
        await other.screenshot(path=album.path("till-slip-printed"))
        await other.close()
    async with album.part("till-offline"):
        await album.go("/", ".sell")
        await page.context.set_offline(True)
        await _key_in(album, "1.20")
        await page.click(".charge-row .charge")
        await expect(page.locator(".till-qr svg")).to_be_visible()
        await expect(page.locator(".strip .icon")).to_be_visible()
        await album.take("till-offline")
    await page.context.set_offline(False)


async def telephone(album: Album) -> None:
    """The simple telephone: from the code that is dialled to the text that follows a payment."""
    page = album.page
    number = next(number for _, language, number in HOLDERS if language == album.language)
    await album.open("telephone", f"/simulator?number={quote(number)}")
    async with album.part("telephone-paid"):
        await page.click("[data-does=green]")
        await page.click("[data-does=green]")
        await expect(page.locator("[data-state=running]")).to_be_visible()
        await expect(page.locator("[data-state=menu]")).to_be_visible()
        await _send(album, "00")  # whatever was left open
        await album.take("telephone-menu")
        for typed in ("1", f"@{SHOP}", "1.00"):
            await _send(album, typed)
        await album.take("telephone-confirm")
        await album.page.locator(".telephone").first.evaluate("(telephone) => telephone.scrollIntoView()")
        await _send(album, PIN, then="last")
        await expect(page.locator(".texts li:not(.soft)").first).to_contain_text(re.compile("1[.,]00"))
        await album.take("telephone-paid")


async def _send(album: Album, typed: str, *, then: str = "menu") -> None:
    """Types on the telephone, and waits for what comes back."""
    await album.page.fill(".typed", typed)
    await album.page.click("[data-does=green]")
    await expect(album.page.locator("[data-state=running]")).to_be_visible()
    await expect(album.page.locator(f"[data-state={then}]")).to_be_visible()


async def _borrow(album: Album, name: str) -> None:
    """Opens the wallet of somebody of the town."""
    key = album.town.key(name)
    await album.page.goto(f"{album.town.base}/wallet/#/borrow?device={key['device']}&seed={key['seed']}")
    await expect(album.page.locator(".stub").first).to_be_visible()
    await album.calm()


async def _key_in(album: Album, amount: str) -> None:
    page = album.page
    await expect(page.locator(".sell")).to_be_visible()
    if await page.locator(".sides").is_visible():
        await page.click(".sides button:first-child")
    for key in amount:
        if key == ".":  # the keypad shows the language's own
            await page.keyboard.press(key)
        else:
            await page.click(f".keypad-sell button:text-is('{key}')")


async def _goods_side(album: Album) -> None:
    page = album.page
    await expect(page.locator(".sell")).to_be_visible()
    if await page.locator(".sides").is_visible():
        await page.click(".sides button:last-child")
    await expect(page.locator(".grid button").first).to_be_visible()


WALKS: dict[str, Callable[[Album], Awaitable[None]]] = {
    "welcome": welcome,
    "wallet": wallet,
    "merchant": merchant,
    "till": till,
    "basic": basic,
    "attend": attend,
    "staff": staff,
    "public": everybody,
    "telephone": telephone,
}
"""Each with a device of its own, by how the names of its pictures begin."""
