"""A day of a car park, a fuel station and a department store, while network and power fail: at night all books agree to the unit.

This one is small. `python -m tests.simulation.day` lives a whole one: 2,000 cars, 600 fills and 5,000 baskets.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.simulation.day.town import Size, Town

SMALL = Size(cars=40, fills=12, baskets=90, kills=3)


@pytest.mark.slow(minutes=0.5)
async def test_at_night_the_books_of_devices_shops_customers_and_ledger_agree(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    town = Town(tmp_path / "data", SMALL, seed)
    await town.live()
    print(town.weather.counts, town.books)
    assert town.weather.counts["killed"] == SMALL.kills
    assert town.weather.counts["lost"] > 20, "too little failed to say anything"
    assert town.weather.counts["died"] > 1
    assert town.car_park.sales > SMALL.cars * 0.8
    assert town.station.sales == SMALL.fills
    assert town.store.sales > SMALL.baskets * 0.8
