"""A writer killed at any moment: every acknowledged row is there, and no transaction is half there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

from sqlalchemy import Column, Integer, MetaData, Table, select

from counterfoil.store.database import Store

WRITER = """
import asyncio, sys
from sqlalchemy import Column, Integer, MetaData, Table, insert
from counterfoil.store.database import Store

pairs = Table("pairs", MetaData(), Column("id", Integer, primary_key=True), Column("half", Integer, primary_key=True))

def both(connection, items):
    connection.execute(insert(pairs), [{"id": i, "half": 1} for i in items])
    connection.execute(insert(pairs), [{"id": i, "half": 2} for i in items])
    return items

async def main(url, start):
    store = Store.open(url)
    run = asyncio.create_task(store.run())
    async def client(n):
        while True:
            done = await store.write_together(both, n)
            sys.stdout.write(f"{done}\\n"); sys.stdout.flush()
            n += 20
    await asyncio.gather(run, *(client(start + n) for n in range(20)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

metadata = MetaData()
pairs = Table("pairs", metadata, Column("id", Integer, primary_key=True), Column("half", Integer, primary_key=True))


def test_killed_at_random_moments_keeps_every_acknowledged_row_and_no_half(empty_url: str) -> None:
    url = empty_url
    store = Store.open(url)
    with store.writing() as connection:
        metadata.create_all(connection)
    store.close()
    moments = random.Random(7)
    acknowledged: set[int] = set()
    for round_ in range(8 if url.startswith("sqlite") else 3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, url, str(1 + round_ * 1_000_000)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        while not (first := child.stdout.readline()).strip().isdigit():  # what it logs comes first
            assert child.poll() is None
        time.sleep(moments.random() * 0.15)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        lines = (first + rest).split("\n")
        acknowledged |= {int(line) for line in lines[:-1]}  # the last piece may be cut
        store = Store.open(url)
        with store.writing() as connection:
            rows = {(row.id, row.half) for row in connection.execute(select(pairs))}
        store.close()
        stored = {number for number, half in rows if half == 1}
        assert stored == {number for number, half in rows if half == 2}
        assert acknowledged <= stored, sorted(acknowledged - stored)[:5]
    assert len(acknowledged) > 100
