"""Lives a whole day and prints what its books say: python -m tests.simulation.day [--cars 2000] [--fills 600] [--baskets 5000] [--kills 40]."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.simulation.day.town import Size, Town


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.day", description=__doc__)
    for name, default in (("cars", 2_000), ("fills", 600), ("baskets", 5_000), ("kills", 40)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parsed = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder, "data"), Size(parsed.cars, parsed.fills, parsed.baskets, parsed.kills), parsed.seed)
        asyncio.run(town.live())
    print(f"seed {parsed.seed}, {time.monotonic() - began:.0f} s")
    print(", ".join(f"{what} {count:,}" for what, count in sorted(town.weather.counts.items())))
    for book in town.books:
        print(", ".join(f"{name} {value:,}" if isinstance(value, int) else str(value) for name, value in book.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
