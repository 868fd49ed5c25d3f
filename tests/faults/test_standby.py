"""PostgreSQL with a standby, as the how-to sets it up: the primary dies, the standby takes over, and no acknowledged payment is lost."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from counterfoil import errors
from counterfoil.ledger.check import check
from counterfoil.ledger.postgres import PostgresEngine
from counterfoil.ledger.postgres_connection import Connection
from tests.faults.paying import WAIT_S_MAX, Payer, insisted, now, open_accounts, transfers
from tests.postgres import Cluster, cluster

pytestmark = pytest.mark.slow(minutes=0.2)


def named(*servers: Cluster) -> str:
    """All of them in one URL: whichever can be written is taken."""
    hosts = ",".join(quote(str(server.socket_folder), safe="") for server in servers)
    return f"postgresql://postgres@/test_1?host={hosts}&connect_timeout=5"


END_WRITERS = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name LIKE 'counterfoil-ledger-%'"


def wait_for(server: Cluster, query: str, expected: str) -> None:
    until = time.monotonic() + WAIT_S_MAX
    while server.sql(query) != expected:
        assert time.monotonic() < until, query
        time.sleep(0.05)


def test_a_standby_takes_over_and_the_old_primary_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(durable=True) as primary:
        primary.new_database()
        with cluster(durable=True, copied_from=primary) as standby:
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)'")
            primary.sql("SELECT pg_reload_conf()")
            wait_for(primary, "SELECT sync_state FROM pg_stat_replication", "quorum")
            engine = PostgresEngine.open(named(primary, standby), lease_timeout_s=60)
            open_accounts(engine)
            payer = Payer(engine)
            payer.start()
            payer.wait_for_more()
            monkeypatch.setattr(Connection, "deadline_s", 2)
            primary.kill()
            payer.wait_until_unavailable()
            standby.sql("SELECT pg_promote()")
            payer.wait_for_more()
            payer.end()
            payer.check()
            assert check(engine).passed

            # The old primary comes back, and is found first. It has no standby that would confirm, so it acknowledges nothing.
            primary.start()
            assert primary.sql("SELECT pg_is_in_recovery()") == "f"
            alone = PostgresEngine.open(primary.url("test_1"), lease_timeout_s=1)
            with pytest.raises(errors.Unavailable):
                alone.create_transfers(transfers(10**9, 1), now())
            alone.close()
            monkeypatch.setattr(Connection, "deadline_s", 60)
            for server in (primary, standby):
                server.sql(END_WRITERS)
            with pytest.raises(errors.Unavailable):
                engine.create_transfers(transfers(payer.acknowledged + 1, 5), now())
            with pytest.raises(errors.Unavailable, match="lost what was acknowledged"):
                engine.create_transfers(transfers(payer.acknowledged + 1, 5), now())
            primary.stop()
            results = insisted(lambda: engine.create_transfers(transfers(payer.acknowledged + 1, 5), now()))
            assert {result.status.name for result in results} == {"CREATED"}
            assert engine.balances_now(2) == (0, 0, 0, payer.acknowledged + 5)
            engine.close()
