"""People of the town without a smartphone, and the gateway that their telephones call through: for the simulator.

They have an account, a PIN and some money, and no device that signs.
"""

from __future__ import annotations

import msgspec

from counterfoil.clock import Clock
from counterfoil.commands.demo.cast import Cast, id_of
from counterfoil.config import Config
from counterfoil.errors import PartyNotFound
from counterfoil.gateway_settings import SmsGateway, UssdGateway
from counterfoil.parties.service import NewParty
from counterfoil.parties.types import PartyKind
from counterfoil.payments.orders import OrderKind
from counterfoil.web.services import Services
from counterfoil.web.simulator import GATEWAY, KIND, Telephone, Telephones
from counterfoil.web.values import base64_text

SECRET_SIZE = 24
"""Bytes of the gateway's secret."""
OPENING, FEE_MAX = 15_000, 1_000
"""Minor units that each of them is given at first, and what that may cost the bank."""
HOLDERS = (
    ("Mabel Norwood", "en", "+13405550190"),
    ("이순자", "ko", "+13405550191"),
    ("Rémi Jourdain", "fr", "+13405550192"),
    ("Baraka Mutua", "en", "+13405550193"),
)
"""Name, language and number; numbers that nobody else in the town has."""


def with_gateway(config: Config, clock: Clock) -> Config:
    """The settings with the simulator's gateway, whose secret is new at each start, and one for texts. Those in the file stay."""
    if not config.sms:
        config = msgspec.structs.replace(config, sms=(SmsGateway(name="sandbox", kind="sandbox"),))
    if any(gateway.name == GATEWAY for gateway in config.ussd):
        return config
    gateway = UssdGateway(name=GATEWAY, kind=KIND, secret=base64_text(clock.random_bytes(SECRET_SIZE)))
    return msgspec.structs.replace(config, ussd=(*config.ussd, gateway))


async def settle(services: Services, cast: Cast, seed: str, clock: Clock, *, pin: str) -> Telephones:
    """Opens the accounts that are not there yet: a town that was made before gets them, too."""
    clerk = next(actor for actor in cast.staff if getattr(actor.who, "role", "") == "clerk")
    for name, language, number in HOLDERS:
        try:
            await services.parties.resolve(number)
        except PartyNotFound:
            spoken = language if language in services.config.languages else services.config.languages[0]
            new = NewParty(
                id=id_of(seed, f"party/{number}"), kind=PartyKind.CUSTOMER, name=name, language=spoken, number=number,
                tier="identity_verified", pin=pin,
            )  # fmt: skip
            await services.parties.enrolment.open_by_staff(new, by=clerk.party)
        holder = await services.parties.resolve(number)
        account = services.ledger.account_now(holder.account)
        if account is None or not account.credits_posted:
            order = cast.banks[0].signs.order(
                OrderKind.PAY, holder.account, OPENING, id=id_of(seed, f"opening/{number}"), now_ns=clock.now_ns(), max_fee=FEE_MAX
            )  # fmt: skip
            await services.payments.pay(order)
    return Telephones([Telephone(name, number, language) for name, language, number in HOLDERS], pin)
