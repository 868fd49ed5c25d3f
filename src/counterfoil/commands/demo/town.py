"""Who lives in the town of Halyard, what they own and what they do, as values that follow from a seed. Pure.

Halyard is a harbour on an island that does not exist. Its phone numbers are from the ranges that the North American plan
keeps for fiction (555-0100 to 555-0199), so that no message of a demo can ever reach anybody.
"""

from __future__ import annotations

import enum
import unicodedata

import msgspec

from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.names import people

NAME = "Halyard"
SEED = "halyard"
REGION = "GU"
HANDLE_SIZE_MAX = 20
_AREAS = ("+1671555", "+1670555", "+1340555")


class Trade(enum.StrEnum):
    """How people pay at a merchant."""

    COUNTER = "counter"
    """At once."""
    PUMP = "pump"
    """Money is set aside first, then taken for what was filled."""
    BILL = "bill"
    """The merchant asks, the customer answers."""


class Merchant(msgspec.Struct, frozen=True):
    """A shop. Prices in minor units, from the cheapest to the dearest basket; `weight` is how many people go there."""

    name: str
    handle: str
    kind: str
    trade: Trade
    price_min: int
    price_max: int
    weight: int


class Person(msgspec.Struct, frozen=True):
    """A customer. `opening` is the cash that they pay in at first, minor units; `employer` the handle of who pays wages, or ""."""

    name: str
    language: str
    number: str
    handle: str
    opening: int
    employer: str
    wage: int


class Agent(msgspec.Struct, frozen=True):
    name: str
    handle: str
    number: str
    float_amount: int


class Bank(msgspec.Struct, frozen=True):
    """An institution; `deposit` is the money issued to it, minor units."""

    name: str
    handle: str
    deposit: int


class Member(msgspec.Struct, frozen=True):
    """A member of staff; `role` as in `StaffRole`."""

    name: str
    handle: str
    role: str


class Town(msgspec.Struct, frozen=True):
    people: tuple[Person, ...]
    merchants: tuple[Merchant, ...]
    agents: tuple[Agent, ...]
    banks: tuple[Bank, ...]
    staff: tuple[Member, ...]


EMPLOYERS = (("hanbit_yard", 45), ("halyard_council", 35))
"""Handle of each employer and how many people it pays."""

_COUNTER, _PUMP, _BILL = Trade.COUNTER, Trade.PUMP, Trade.BILL
MERCHANTS = (
    Merchant("Marchand & Fils", "marchand", "department store", _COUNTER, 1_500, 24_000, 8),
    Merchant("한빛백화점", "hanbit_store", "department store", _COUNTER, 1_200, 18_000, 7),
    Merchant("Quay Street Car Park", "quay_park", "car park", _COUNTER, 150, 1_200, 6),
    Merchant("Cathedral Car Park", "cathedral_park", "car park", _COUNTER, 100, 900, 4),
    Merchant("Lighthouse Fuel", "lighthouse_fuel", "fuel station", _PUMP, 1_000, 7_000, 6),
    Merchant("Baraka Petrol", "baraka_petrol", "fuel station", _PUMP, 800, 6_000, 5),
    Merchant("동부주유소", "dongbu_fuel", "fuel station", _PUMP, 1_000, 6_500, 4),
    Merchant("Neema's Fruit", "neema_fruit", "market stall", _COUNTER, 80, 900, 10),
    Merchant("Étal des Simonet", "simonet_etal", "market stall", _COUNTER, 120, 1_400, 8),
    Merchant("생선가게 순자네", "sunja_fish", "market stall", _COUNTER, 300, 2_400, 9),
    Merchant("عطارة السوق", "souk_spice", "market stall", _COUNTER, 100, 1_100, 6),
    Merchant("Tumaini Vegetables", "tumaini_veg", "market stall", _COUNTER, 60, 700, 9),
    Merchant("Rice & Beans, Row 4", "row4_rice", "market stall", _COUNTER, 200, 1_500, 7),
    Merchant("Pharmacie du Port", "pharmacie_port", "pharmacy", _COUNTER, 250, 4_500, 5),
    Merchant("새봄약국", "saebom_pharm", "pharmacy", _COUNTER, 250, 4_000, 4),
    Merchant("Halyard Primary School", "halyard_school", "school", _BILL, 2_000, 9_000, 3),
    Merchant("École des Alizés", "ecole_alizes", "school", _BILL, 2_500, 9_500, 2),
    Merchant("Boulangerie Fontaine", "fontaine_pain", "bakery", _COUNTER, 90, 800, 10),
    Merchant("Marsh's Bread", "marsh_bread", "bakery", _COUNTER, 90, 700, 8),
    Merchant("Island Bus", "island_bus", "transport", _COUNTER, 80, 350, 12),
    Merchant("Harbour Ferry", "harbour_ferry", "transport", _COUNTER, 200, 1_800, 6),
    Merchant("Zawadi Moto Taxi", "zawadi_moto", "transport", _COUNTER, 150, 900, 7),
    Merchant("Halyard Water & Light", "halyard_water", "utility", _BILL, 900, 6_000, 4),
    Merchant("Anchor Café", "anchor_cafe", "café", _COUNTER, 150, 1_600, 8),
    Merchant("서울식당", "seoul_table", "restaurant", _COUNTER, 600, 5_000, 6),
    Merchant("Pike's Hardware", "pike_hardware", "hardware", _COUNTER, 300, 8_000, 3),
    Merchant("Barber on Mast Lane", "mast_barber", "barber", _COUNTER, 500, 1_800, 3),
    Merchant("Clinique Sainte-Claire", "sainte_claire", "clinic", _BILL, 1_500, 9_000, 2),
    Merchant("한빛조선", "hanbit_yard", "shipyard", _COUNTER, 5_000, 30_000, 0),
    Merchant("Halyard Town Council", "halyard_council", "council", _BILL, 500, 3_000, 1),
)
_AGENTS = (
    ("Kiosk at the Ferry Steps", "kiosk_ferry"),
    ("Mutua Phones & Cash", "mutua_cash"),
    ("편의점 나루", "naru_mart"),
    ("Tabac de la Place", "tabac_place"),
    ("دكان البحري", "bahri_shop"),
    ("Hilltop Store", "hilltop_store"),
)
_BANKS = (("Harbour Savings Bank", "harbour_bank", 60_000_000), ("나루은행", "naru_bank", 40_000_000))
_STAFF = (
    ("Winifred Osborne", "osborne", "treasurer"),
    ("정미경", "jeong", "treasurer"),
    ("Olivier Garnier", "garnier", "supervisor"),
    ("Imani Wekesa", "wekesa", "clerk"),
    ("Victor Hale", "hale", "administrator"),
    ("هدى الكاتب", "katib", "auditor"),
)


def town(seed: str = SEED) -> Town:
    """The town of `seed`: 200 people, 30 merchants, 6 agents, 2 banks, 6 members of staff."""
    dice = Dice(f"{seed}/town")
    numbers = iter([f"{area}{line:04}" for area in _AREAS for line in range(100, 200)])
    agents = tuple(Agent(name, handle, next(numbers), 1_400_000 + 100_000 * dice.below(5)) for name, handle in _AGENTS)
    employers = [handle for handle, count in EMPLOYERS for _ in range(count)]
    handles: set[str] = set()
    persons = []
    for index, (name, language) in enumerate(people(dice)):
        employer = employers[index] if index < len(employers) else ""
        persons.append(
            Person(
                name=name,
                language=language,
                number=next(numbers),
                handle=_handle(name, handles),
                opening=dice.between(40, 400) * 100,
                employer=employer,
                wage=dice.between(220, 780) * 100 if employer else 0,
            )
        )
    return Town(
        people=tuple(persons),
        merchants=MERCHANTS,
        agents=agents,
        banks=tuple(Bank(*bank) for bank in _BANKS),
        staff=tuple(Member(*member) for member in _STAFF),
    )


def _handle(name: str, taken: set[str]) -> str:
    """first_last in plain letters where the name has any, else "": nobody needs a handle."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    handle = "_".join(plain.split())
    if not handle or handle in taken or len(handle) > HANDLE_SIZE_MAX:
        return ""
    taken.add(handle)
    return handle
