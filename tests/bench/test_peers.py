"""The peers are what they say: the procedure keeps its promises, and what is installed for them is pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from bench import peers, peers_environment
from bench.measure import Options
from bench.peers_environment import NotInstalledError, split
from bench.peers_procedure import FUNDS, Procedure
from bench.town import Town
from counterfoil.ledger.postgres import PostgresEngine
from tests.postgres import Cluster

ROOT = Path(__file__).resolve().parents[2]
LOCK = peers_environment.LOCK.read_text("utf-8")
WANTED = peers_environment.LOCK.with_suffix(".in").read_text("utf-8")


def test_everything_for_the_peers_is_pinned_and_names_no_place() -> None:
    entries = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    wrong = [
        line for line in entries if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
    ]
    assert wrong == []
    locked = set(re.findall(r"^(\S+)==", LOCK, re.MULTILINE))
    wanted = {re.split(r"[<>=\[ #]", line)[0] for line in WANTED.splitlines() if line and not line.startswith("#")}
    assert wanted <= locked


def test_only_what_has_no_wheel_is_built() -> None:
    ready, built = split(LOCK)
    assert re.findall(r"^(\S+)==", built, re.MULTILINE) == ["django-hordak"]
    assert "setuptools==" in ready
    assert "django-hordak" not in ready
    assert ready.count("--hash") + built.count("--hash") == LOCK.count("--hash")


def test_nothing_of_the_peers_is_a_dependency_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert not re.search("django|hordak", str(project["project"]) + str(project["dependency-groups"]))


def test_offline_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_environment, "FOLDER", tmp_path / "peers")
    monkeypatch.setattr(peers_environment, "STAMP", tmp_path / "peers" / "installed")
    with pytest.raises(NotInstalledError, match="--offline"):
        peers_environment.python(offline=True)
    assert not (tmp_path / "peers").exists()


@pytest.fixture
def procedure(postgres: Cluster) -> Procedure:
    return Procedure(postgres, people=20)


def test_the_procedure_pays_once_and_nobody_spends_what_they_do_not_have(procedure: Procedure, postgres: Cluster) -> None:
    def pay(wanted: int, payer: int, payee: int, amount: int) -> str:
        return postgres.sql(f"SELECT pay({wanted}, {payer}, {payee}, {amount})", procedure._database)

    def balances() -> list[int]:
        return [
            int(each) for each in postgres.sql("SELECT balance FROM account WHERE id IN (1, 2) ORDER BY id", procedure._database).split()
        ]

    assert pay(1, 1, 2, 300) == "paid"
    assert pay(1, 1, 2, 300) == "exists"
    assert balances() == [FUNDS - 300, FUNDS + 300]
    assert pay(2, 1, 2, FUNDS) == "refused"
    assert balances() == [FUNDS - 300, FUNDS + 300]
    assert pay(2, 2, 1, FUNDS + 300) == "paid"
    assert balances() == [2 * FUNDS, 0]


@pytest.mark.parametrize("hot", [False, True])
def test_many_clients_of_the_procedure_make_no_money(procedure: Procedure, postgres: Cluster, hot: bool) -> None:
    for _ in range(2):  # ids are not used twice
        found = procedure.run(400, 4, hot=hot)
        assert found.rate > 0
        assert 0 < found.p50_ms <= found.p99_ms
    procedure.prove()
    said = postgres.sql("SELECT count(*), count(*) FILTER (WHERE payee = 0), min(amount), max(amount) FROM transfer", procedure._database)
    paid, to_the_shop, least, most = map(int, said.split("|"))
    assert 700 < paid < 800, "some are refused, some are repeats"
    assert (to_the_shop > 250) is hot
    assert 100 <= least <= most < 400, "what is above the balance is refused"


def test_each_candidate_on_the_server_pays_and_says_how_long_it_takes(postgres: Cluster) -> None:
    counts = peers.Counts(Options(quick=True))
    town = Town(PostgresEngine.open(postgres.new_database()), accounts=counts.people)
    candidates = peers._procedure(Procedure(postgres, people=counts.people), counts) | peers._ledger("peers.ledger", town, counts)
    try:
        found = {name: run() for name, run in candidates.items()}
    finally:
        town.engine.close()
    clients = (8, counts.clients)
    assert set(found) == {f"peers.{name}" for n in clients for name in (f"procedure.{n}", f"procedure.{n}.hot", f"ledger.{n}")}
    assert all(each.rate > 0 for each in found.values())
    assert all((each.p99_ms > 0) is ("procedure" in name) for name, each in found.items())
