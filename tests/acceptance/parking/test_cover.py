"""Until when a stay is covered, against looking at every single minute."""

from __future__ import annotations

import random

import pytest

from counterfoil.acceptance.parking.cover import AHEAD_MINUTES_MAX, MINUTE_NS, covered_until
from counterfoil.acceptance.parking.tariff import Band, Tariff, fee


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_first_moment_at_which_something_would_be_due(seed: int) -> None:
    chance = random.Random(seed)
    bands = tuple(Band(chance.randint(1, 90), chance.choice((0, 50, 200))) for _ in range(chance.randint(1, 3)))
    tariff = Tariff(free_minutes=chance.choice((0, 10)), bands=bands, day_cap=chance.choice((None, 600)))
    entered_at = chance.randrange(10**18)
    start = entered_at + chance.randrange(300 * MINUTE_NS)
    settled = chance.choice((0, 100, 700))
    held = [(chance.randint(1, 900), start + chance.randint(-50, 2_000) * MINUTE_NS + chance.choice((0, 1))) for _ in range(3)]

    def due(at: int) -> bool:
        return fee(tariff, entered_at, at) > settled + sum(amount for amount, until in held if until > at)

    moments = {start, *(until for _, until in held)} | {entered_at + minute * MINUTE_NS for minute in range(5_000)}
    expected = next((at for at in sorted(moments) if at >= start and due(at)), None)
    found = covered_until(lambda at: fee(tariff, entered_at, at), entered_at=entered_at, start=start, settled=settled, held=held)
    assert found == expected or (expected is None and (found is None or found >= entered_at + 5_000 * MINUTE_NS))


def test_where_nothing_ever_costs_more_there_is_no_end() -> None:
    free = Tariff(bands=(Band(60, 0),))
    assert covered_until(lambda at: fee(free, 0, at), entered_at=0, start=5, settled=0, held=[]) is None
    assert covered_until(lambda at: at // MINUTE_NS > AHEAD_MINUTES_MAX, entered_at=0, start=0, settled=0, held=[]) is None
