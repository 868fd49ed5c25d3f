"""Everything that a till needs, put together."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from counterfoil.acceptance.baskets.rounds import BasketRounds
from counterfoil.acceptance.baskets.service import Baskets
from counterfoil.acceptance.cards.paying import CardPayments
from counterfoil.acceptance.cards.registry import Cards
from counterfoil.acceptance.clerks import Clerks
from counterfoil.acceptance.codes import Codes
from counterfoil.acceptance.days import Days
from counterfoil.acceptance.fuel.fills import Fills
from counterfoil.acceptance.fuel.pumps import Pumps
from counterfoil.acceptance.goods.catalogue import Catalogue
from counterfoil.acceptance.goods.price_list import PriceLists
from counterfoil.acceptance.parking.parks import CarParks
from counterfoil.acceptance.parking.reminders import Reminders
from counterfoil.acceptance.parking.stays import Stays
from counterfoil.acceptance.sales import Sales
from counterfoil.acceptance.tills import Tills
from counterfoil.clock import Clock
from counterfoil.config import Config
from counterfoil.folder import found_card_secret
from counterfoil.ledger.service import Ledger
from counterfoil.parties.service import Parties
from counterfoil.parties.tokens import Tokens
from counterfoil.payments.history import History
from counterfoil.payments.hub import Hub, Told
from counterfoil.payments.requests import Requests
from counterfoil.payments.service import Payments
from counterfoil.store.database import Store

SHOP_CHANGED = "shop.changed"
"""What the shop's tills are told when its clerks, goods or tills have changed."""


class Acceptance:
    """Tills, clerks, goods, sales, days and codes of all merchants of a scheme, the cards that pay there, car parks and pumps. `sign` is Ed25519 with the operator's key."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        ledger: Ledger,
        parties: Parties,
        tokens: Tokens,
        payments: Payments,
        requests: Requests,
        history: History,
        hub: Hub,
        clock: Clock,
        sign: Callable[[bytes], bytes],
    ) -> None:
        zone = ZoneInfo(config.time_zone)

        def tell(account: int) -> None:
            hub.publish(account, Told(SHOP_CHANGED, clock.now_ns(), {}))

        self.tills = Tills(store=store, tokens=tokens, clock=clock, sandbox=config.sandbox, tell=tell)
        self.clerks = Clerks(store=store, pins=parties.pins, clock=clock, tell=tell)
        self.catalogue = Catalogue(store=store, clock=clock, tell=tell)
        self.price_lists = PriceLists(store=store, clock=clock, currency=config.currency, tell=tell)
        self.sales = Sales(
            store=store, parties=parties, payments=payments, requests=requests, hub=hub, clock=clock, zone=zone, region=config.region
        )
        self.cards = Cards(store=store, pins=parties.pins, clock=clock, secret=lambda: found_card_secret(config.folder))
        self.card_payments = CardPayments(
            cards=self.cards, sales=self.sales, payments=payments, clock=clock, unproved_max=config.card_unproved_max
        )
        self.car_parks = CarParks(store=store, clock=clock)
        self.stays = Stays(sales=self.sales, cards=self.cards)
        self.reminders = Reminders(self.stays)
        self.pumps = Pumps(store=store, clock=clock)
        self.fills = Fills(sales=self.sales)
        self.baskets = Baskets(sales=self.sales, tills=self.tills)
        self.basket_rounds = BasketRounds(self.baskets)
        self.days = Days(store=store, ledger=ledger, history=history, sales=self.sales, clerks=self.clerks, clock=clock, zone=zone)
        self.codes = Codes(origin=config.origin, currency=config.currency, region=config.region, sign=sign)
