"""A whole life with a simple phone: everything by dialling a code, in three languages and by two kinds of gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterfoil.i18n import Language
from counterfoil.payments.forms import Purpose
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.requests import RequestState
from tests.channels.ussd.phone import Phone
from tests.scheme import Person, opened

PIN, NEW_PIN = "2580", "13579"


@pytest.mark.asyncio
@pytest.mark.parametrize(("place", "code", "whole"), [("1", "en", True), ("2", "ko", False), ("3", "fr", True)])
async def test_a_life_by_ussd_alone_ends_in_the_right_balances(tmp_path: Path, place: str, code: str, whole: bool) -> None:
    words = Language(code)
    async with opened(tmp_path / "scheme", languages=("en", "ko", "fr")) as scheme:
        services = scheme.services
        agent = await scheme.agent(funds=100_000)
        shop = await scheme.merchant("Corner shop")
        rose = await scheme.customer("Rose Wanjiru")
        await services.parties.enrolment.set_handle(rose.party, "rose_w")
        shop_code = (await services.parties.party(shop.party)).merchant_code
        agent_code = (await services.parties.party(agent.party)).merchant_code
        assert shop_code is not None
        assert agent_code is not None
        phone = Phone(services.ussd, "+254700000123", whole=whole)

        # An account: language, name, PIN twice
        await phone.dial()
        assert "한국어" in phone.screen.text
        opened_with = await phone.type(place, "1", "Ama Mensah", PIN, PIN)
        assert "Ama Mensah" in opened_with
        assert phone.number in opened_with
        holder = await services.parties.resolve(phone.number)
        assert (holder.name, holder.language, holder.tier, holder.pin_per_day) == ("Ama Mensah", code, "number_only", None)
        ama = Person(scheme, party=holder.party, account=holder.account, device=0, key=rose.key, address=phone.number)

        # Cash in: the customer asks, the agent answers
        assert "200" in await phone.go("3", "1", agent_code, "200", PIN)
        assert phone.screen.ends
        [asked] = await services.requests.of_account(agent.account)
        assert (asked.purpose, asked.amount, asked.payee, asked.state) == (Purpose.CASH_IN, 20_000, holder.account, RequestState.OPEN)
        await agent.pay(ama.account, 20_000, reference=asked.id)
        assert ama.balance() == 20_000

        # To a name, and to a number
        assert "Rose Wanjiru" in await phone.go("1", "rose_w" if code == "en" else "@rose_w", "30")
        assert "30" in await phone.type(PIN)
        assert phone.screen.ends
        await phone.go("1", rose.address, "5", PIN)
        assert (rose.balance(), ama.balance()) == (3_500, 16_500)

        # A merchant by code
        assert "Corner shop" in await phone.go("2", shop_code, "12.50" if code != "fr" else "12,50")
        await phone.type(PIN)
        assert shop.balance() == 1_250 - 6  # the merchant's fee

        # Requests: one is paid, one is declined, for one the payer says how much
        first = await rose.ask(ama, 700)
        second = await rose.ask(ama, 999_00)
        third = await rose.ask(ama, 0)
        listed = await phone.go("4", PIN)
        assert "999" in listed
        assert listed.index("1 Rose") < listed.index("2 Rose") < listed.index("3 Rose")
        await phone.type("2", "2")
        await phone.type("2", "1", PIN)
        await phone.go("4", PIN, "1", "1", "3", PIN)
        states = {each: (await services.requests.find(each, ama.account)).state for each in (first, second, third)}
        assert states == {first: RequestState.PAID, second: RequestState.DECLINED, third: RequestState.PAID}
        assert rose.balance() == 3_500 + 700 + 300

        # Cash out: set aside for the agent, who takes it when handing over the cash
        await phone.go("3", "2", agent_code, "40", PIN)
        assert phone.screen.ends
        assert ama.available() == ama.balance() - 4_040
        [entry] = await services.history.page(ama.account, limit=1)
        assert entry.payment is not None
        held = await services.payments.receipt(entry.payment.id, agent.account)
        await agent.answer(OrderKind.CAPTURE, held, 4_000)
        left = 20_000 - 3_000 - 500 - 1_250 - 700 - 300 - 4_040
        assert ama.balance() == ama.available() == left

        # What there is
        money = f"{words.money(left, services.config.currency)} USD".replace("\u202f", " ")
        assert money in await phone.go("5", PIN)
        await phone.type("0", "6")
        while "9 " in phone.screen.text:
            await phone.type("9")
        latest = "\n".join(phone.seen[-6:])
        amount = words.money(4_040, services.config.currency)
        assert f"-{amount} Agent" in latest
        assert f"(-{amount})" not in latest
        assert "Corner shop" in latest
        assert "Rose Wanjiru" in latest

        # PIN, language, lock
        await phone.go("7", "1", PIN, NEW_PIN, NEW_PIN)
        await phone.go("5", PIN)
        assert money not in phone.screen.text
        assert money in await phone.type(NEW_PIN)
        other = "2" if code == "en" else "1"
        await phone.go("7", "2", other)
        assert (await services.parties.resolve(phone.number)).language == ("ko" if other == "2" else "en")
        await phone.go("7", "3", NEW_PIN)
        assert phone.screen.ends
        await phone.go("1", rose.address, "1", NEW_PIN)
        assert phone.screen.ends
        assert ama.balance() == left
        await phone.go("7", "3", NEW_PIN)
        await phone.go("1", rose.address, "1", NEW_PIN)
        assert (ama.balance(), rose.balance()) == (left - 100, 4_600)
        assert await phone.go("8")
        assert services.ledger.account_now(agent.account) is not None
        assert ama.balance() + rose.balance() + shop.balance() + agent.balance() == 100_000 - 6 - 40
