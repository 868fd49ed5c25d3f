"""Servers that are cut off the network: nobody refuses, nobody answers. What was acknowledged is there once, and it goes on."""

from __future__ import annotations

import contextlib
import time

import psycopg
import pytest

from counterfoil import errors
from counterfoil.ledger.check import check
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection
from counterfoil.ledger.tigerbeetle import TigerBeetleEngine
from tests import postgres, tigerbeetle
from tests.faults.networks import network
from tests.faults.paying import WAIT_S_MAX, Payer, insisted, now, open_accounts, transfers, until_unavailable

pytestmark = pytest.mark.slow(minutes=1)


def test_three_tigerbeetle_servers_of_which_one_then_two_are_cut_off() -> None:
    tigerbeetle.server_program()
    with (
        network(4) as (here, *machines),
        tigerbeetle.cluster(replicas=3, hosts=[machine.address for machine in machines]) as servers,
    ):
        starting = [machine.begin(servers.start, replica) for replica, machine in enumerate(machines)]
        for started in starting:
            started.result()
        engine = here.call(TigerBeetleEngine.open, servers.addresses, servers.number, deadline_s=1.0, start_deadline_s=120)
        here.call(open_accounts, engine)
        payer = Payer(engine)
        here.call(payer.start)
        payer.wait_for_more()
        for machine in machines:  # one of them leads
            machine.cut()
            payer.wait_for_more()
            machine.heal()
            payer.wait_for_more()

        for machine in machines[1:]:
            machine.cut()  # no majority is left
        until_unavailable(lambda: here.call(engine.lookup_transfers, [1]))
        began = time.monotonic()
        with pytest.raises(errors.Unavailable, match="same id"):
            here.call(engine.expire_pending_transfers, 0)
        assert time.monotonic() - began < 60  # a deadline of a second, and again that for the one before it, on a busy machine
        machines[1].heal()
        payer.wait_for_more()
        machines[2].heal()

        here.cut()
        payer.wait_until_unavailable()
        assert engine.balances_now(2) is not None  # as of the last batch that was answered
        here.heal()
        payer.wait_for_more()
        payer.end()
        here.call(payer.check)
        engine.close()


def test_postgres_is_cut_off_in_the_middle_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    with network(2) as (here, machine), contextlib.ExitStack() as stack:
        made = postgres.cluster(access="host all all 10.77.0.0/24 trust\n", listen_addresses="*")
        server = machine.call(stack.enter_context, made)
        beside = server.new_database()
        database = beside.split("/")[3].partition("?")[0]
        url = f"postgresql://postgres@{machine.address}/{database}?connect_timeout=2"
        engine = here.call(PostgresEngine.open, url, lease_timeout_s=60)
        here.call(open_accounts, engine)
        here.call(engine.create_transfers, transfers(1, 5), now())  # its statement is prepared
        monkeypatch.setattr(Connection, "deadline_s", 2)

        # It has the batch, and is held up: nobody hears that it was done.
        with psycopg.connect(beside) as holding, psycopg.connect(beside, autocommit=True) as looking:
            holding.execute("LOCK TABLE ledger.events")
            answer = here.begin(engine.create_transfers, transfers(6, 5), now())
            _wait_for(looking, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            machine.cut()
            assert isinstance(answer.exception(WAIT_S_MAX), errors.Unavailable)
            holding.rollback()
            _wait_for(looking, "SELECT count(*) FROM ledger.events WHERE id = '00000000-0000-0000-0000-00000000000a'")
        machine.heal()
        results = insisted(lambda: here.call(engine.create_transfers, transfers(6, 5), now()))
        assert [result.status.name for result in results] == ["EXISTS"] * 5

        # Nothing of it has come, but the system keeps it, and may send it later.
        machine.cut()
        with pytest.raises(errors.Unavailable):
            here.call(engine.create_transfers, transfers(11, 5), now())
        assert engine.balances_now(2) == (0, 0, 0, 10)
        machine.heal()
        results = insisted(lambda: here.call(engine.create_transfers, transfers(11, 5), now()))
        assert {result.status.name for result in results} in ({"CREATED"}, {"EXISTS"})
        assert engine.balances_now(2) == (0, 0, 0, 15)

        payer = Payer(engine)
        here.call(payer.start)
        for _ in range(2):
            payer.wait_for_more()
            machine.cut()
            payer.wait_until_unavailable()
            machine.heal()
        payer.wait_for_more()
        payer.end()
        here.call(payer.check)
        assert here.call(check, engine).passed
        engine.close()


def _wait_for(sql: psycopg.Connection, query: str) -> None:
    until = time.monotonic() + WAIT_S_MAX
    while sql.execute(query.encode()).fetchone() == (0,):
        assert time.monotonic() < until, query
        time.sleep(0.01)
