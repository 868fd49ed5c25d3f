"""Three shops of the day, each with its own book of what was sold, and the people who come to them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from counterfoil.acceptance import emv
from counterfoil.clock import SystemClock
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.pairing import Caller
from counterfoil.ids import id_text, new_id
from counterfoil.payments.orders import OrderKind
from tests.scheme import Person
from tests.simulation.day.weather import House, Weather, Wire
from tests.web.site import signed_body

HOLD_S = 24 * 3600
CLERK_PIN = "7412"


class Driver:
    """Somebody with a wallet, and with a book of their own: what they have paid, and what came back."""

    def __init__(self, person: Person, funds: int) -> None:
        self.person = person
        self.expected = funds

    def pay(self, wire: Wire, sale: dict[str, Any]) -> int:
        """Pays what a sale's code asks for, or sets it aside; returns the amount. The order is the same however often it is sent."""
        code = emv.read(sale["code"])
        assert isinstance(code, emv.Code)
        assert code.amount is not None
        amount = emv.minor(code.amount, 2)
        kind: dict[str, Any] = {"kind": OrderKind.HOLD, "timeout_s": HOLD_S} if code.hold else {}
        body = json.dumps(signed_body(self.person.sign(self.person.order(code.account, amount, reference=code.request, **kind)))).encode()
        receipt = wire.until_done("POST", "/v1/payments", body=body)
        assert receipt["amount"] == amount, receipt
        if not code.hold:
            self.expected -= amount
        return amount


class Shop:
    """A merchant with clerks, and a till.

    Attributes:
        taken, refunded: the devices' own book, minor units.
    """

    def __init__(self, owner: Person, house: House, weather: Weather, clock: SystemClock, *, clerks: Sequence[str], token: str) -> None:
        self.owner = owner
        self.clock = clock
        self.weather = weather
        self.wire = Wire(house, weather, clock)
        self.token = token
        self.clerks = clerks
        self.taken = self.refunded = self.sales = self.refunds = 0
        self.closed: dict[str, Any] = {}

    def fresh(self) -> str:
        return id_text(new_id(self.clock))

    def caller(self, wire: Wire | None = None) -> Caller:
        return Caller(wire or self.wire, self.token)

    def ask(self, caller: Caller, method: str, path: str, body: Any = None) -> Any:
        """As the till, until there is an answer."""
        return caller.until_answered(lambda: caller.call(method, path, body), say=_nobody_listens, pause=_nothing)

    def signed_in(self, clerk: str, wire: Wire | None = None) -> Caller:
        caller = self.caller(wire)
        caller.session = str(self.ask(caller, "POST", "/v1/till/sign-in", {"clerk": clerk, "pin": CLERK_PIN})["session"])
        return caller

    def close_day(self) -> None:
        """Whoever closes the shop in the evening adds up."""
        self.closed = self.ask(self.signed_in(self.clerks[0]), "POST", "/v1/till/day/close", {"id": self.fresh()})


class Goods:
    """What a department store sells: names, departments, tax in hundredths of a percent, prices."""

    def __init__(self, seed: int) -> None:
        drawn = random.Random(seed)
        departments = (("Bread", 0), ("Shirt", 1_600), ("Pan", 1_600), ("Book", 800), ("Toy", 1_600))
        self.all = [
            {"name": f"{name} {number}", "department": f"{name}s", "tax": rate, "price": drawn.randint(20, 900)}
            for name, rate in departments
            for number in range(8)
        ]

    def basket(self, drawn: random.Random) -> list[dict[str, Any]]:
        return [one | {"quantity": drawn.randint(1, 3)} for one in drawn.sample(self.all, drawn.randint(1, 6))]


class CheckOut:
    """A till of the store. What it rings up is in its book before it is sent; it dies, begins anew, and goes on."""

    def __init__(self, shop: Shop, clerk: str, goods: Goods, house: House, weather: Weather) -> None:
        self.shop = shop
        self.clerk = clerk
        self.goods = goods
        self.wire = Wire(house, weather, shop.clock)
        self.random = random.Random(weather.random.getrandbits(32))
        self.till = shop.signed_in(self.clerk, self.wire)

    def serve(self, customer: Driver, *, pays: bool, brings_back: bool) -> None:
        """One basket, from ringing it up to the slip; some leave it, and some bring things back."""
        lines = self.goods.basket(self.random)
        amount = sum(line["price"] * line["quantity"] for line in lines)
        sale = {"id": self.shop.fresh(), "lines": lines, "amount": amount, "made_at": self._now()}
        rung = self._ask("POST", "/v1/till/sales", sale)
        if not pays:
            ended = self._ask("POST", f"/v1/till/sales/{sale['id']}/cancel")
            assert ended["state"] == "cancelled", ended
            return
        customer.pay(self.wire, rung)
        paid = self._ask("GET", f"/v1/till/sales/{sale['id']}")
        assert (paid["state"], paid["amount"]) == ("paid", amount), paid
        self.shop.taken, self.shop.sales = self.shop.taken + amount, self.shop.sales + 1
        if brings_back:
            place = self.random.randrange(len(lines))
            back = {"id": self.shop.fresh(), "lines": [{"line": place, "quantity": 1}]}
            given = self._ask("POST", f"/v1/till/sales/{sale['id']}/refunds", back)
            assert given["refunded"] == lines[place]["price"], given
            self.shop.refunded, self.shop.refunds = self.shop.refunded + lines[place]["price"], self.shop.refunds + 1
            customer.expected += lines[place]["price"]

    def _now(self) -> str:
        return str(self._ask("GET", "/v1/till")["now"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Whatever dies meanwhile: the till's book is on its disk, so that it sends the same again."""
        while True:
            try:
                return self.shop.ask(self.till, method, path, body)
            except ServerRefused as no:
                if no.code != "not_authenticated":
                    raise
                self.till = self.shop.signed_in(self.clerk, self.wire)  # nobody has stood here for half an hour


def _nobody_listens(words: str) -> None:
    pass


def _nothing() -> None:
    pass
