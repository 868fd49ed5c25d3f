"""The demo's town: the same each time, sound to the last unit, and still the same after a restart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from counterfoil import app
from counterfoil.clock import SystemClock
from counterfoil.commands.demo.cast import Cast, id_of
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.fill import Filling
from counterfoil.commands.demo.run import MARK, callable_as, prepare, settled, terms_of
from counterfoil.commands.demo.town import MERCHANTS, Agent, Bank, Member, Merchant, Person, town
from counterfoil.commands.demo.trade import Trading
from counterfoil.commands.output import Output, WrongUse
from counterfoil.config import Config, load
from counterfoil.ledger.chart import AccountCode
from counterfoil.ledger.types import QueryFilter
from counterfoil.parties.numbers import handle_skeleton, parse_handle, parse_name, parse_number
from counterfoil.parties.types import ProposalState
from counterfoil.web.services import Services
from tests.commands.desk import run

SHORT = 60
"""Steps of the first day that are enough here."""


def config_of(folder: Path) -> Config:
    return load({}, data=str(folder), port=0, check_interval_s=0)


def balances(services: Services, cast: Cast) -> dict[str, tuple[int, int]]:
    """(balance, held) of everybody, by label; the scheme's fees too."""
    found = {}
    for actor in [*cast.people, *cast.merchants, *cast.agents, *cast.banks]:
        account = services.ledger.account_now(actor.account)
        assert account is not None
        found[actor.label] = (account.credits_posted - account.debits_posted, account.debits_pending)
    return found


async def filled(folder: Path, seed: str | None = None) -> tuple[dict[str, tuple[int, int]], dict[str, Any]]:
    """Fills a town and tells what everybody has."""
    mark = prepare(folder, seed)
    async with app.running(config_of(folder)) as services:
        cast = await settled(services, mark, SystemClock(), Output(as_json=False, progress=False))
        totals = {}
        for code in (AccountCode.ISSUANCE, AccountCode.FEES):
            account = (await services.ledger.query_accounts(QueryFilter(limit=1, code=code)))[0]
            totals[code.name] = abs(account.credits_posted - account.debits_posted)
        totals["waiting"] = len(await services.approvals.find_all(ProposalState.PROPOSED))
        totals["standing"] = len(await services.standing.of_account(cast.people[0].account))
        return balances(services, cast), totals


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfoil.commands.demo.fill.FIRST_DAY", SHORT)
    monkeypatch.setattr("counterfoil.commands.demo.fill.PEOPLE_WITH_PIN", 1)


async def test_the_same_seed_fills_the_same_town_and_its_books_add_up(tmp_path: Path, short: None) -> None:
    first, totals = await filled(tmp_path / "one")
    second, _ = await filled(tmp_path / "two")
    assert first == second
    assert len(first) == 238
    assert all(balance > 0 for label, (balance, _) in first.items() if label in {person.number for person in town().people})
    assert (
        totals["ISSUANCE"] == sum(bank.deposit for bank in town().banks) == sum(balance for balance, _ in first.values()) + totals["FEES"]
    )
    assert totals["FEES"] > 0
    assert (totals["waiting"], totals["standing"]) == (1, 1)
    for name in ("one", "two"):
        checked = run("check", "--data", tmp_path / name, "--json")
        assert (checked.code, checked.json["passed"]) == (0, True)


async def test_another_seed_is_another_town(tmp_path: Path, short: None) -> None:
    other = await filled(tmp_path / "other", "tidewater")
    assert set(other[0]) != {actor.label for actor in Cast.of(town(), "halyard").people}
    with pytest.raises(WrongUse, match="tidewater"):
        prepare(tmp_path / "other", "halyard")


async def test_a_second_start_goes_on_with_the_same_town(tmp_path: Path, short: None) -> None:
    before, _ = await filled(tmp_path)
    mark = prepare(tmp_path, None)
    assert mark.filled
    async with app.running(config_of(tmp_path)) as services:
        cast = await settled(services, mark, SystemClock(), Output(as_json=False, progress=False))
        assert balances(services, cast) == before
        trading = Trading(services, cast, terms_of(services), Dice("on and on"), SystemClock())
        for _ in range(80):
            await trading.step()
        after = balances(services, cast)
        fees = (await services.ledger.query_accounts(QueryFilter(limit=1, code=AccountCode.FEES)))[0].credits_posted
        assert after != before
        assert trading.refused < 20
        assert sum(balance for balance, _ in after.values()) + fees == sum(bank.deposit for bank in town().banks)
    assert run("check", "--data", tmp_path).code == 0


async def test_a_town_that_was_left_half_filled_is_filled_anew(tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Filling) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Filling, "_pay_wages", dies)
        with pytest.raises(RuntimeError, match="the power is gone"):
            await filled(tmp_path)
    assert b'"filled":false' in (tmp_path / MARK).read_bytes()
    again, _ = await filled(tmp_path)
    assert len(again) == 238
    assert run("check", "--data", tmp_path).code == 0


def test_commands_are_told_as_the_reader_can_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin")
    assert callable_as("counterfoil") == "counterfoil"
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(programs.parent)
    assert callable_as("counterfoil") == f"{programs.name}/counterfoil"
    other = tmp_path / "counterfoil"
    other.write_text("#!/bin/sh\n", "utf-8")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert callable_as("counterfoil") == f"{programs.name}/counterfoil", "another program of that name"


def test_everybody_has_a_name_a_number_and_a_handle_that_the_scheme_takes() -> None:
    place = town()
    assert (len(place.people), len(place.merchants), len(place.agents), len(place.banks)) == (200, 30, 6, 2)
    everybody: list[Person | Merchant | Agent | Bank | Member] = [
        *place.people,
        *place.merchants,
        *place.agents,
        *place.banks,
        *place.staff,
    ]
    handles = [each.handle for each in everybody if each.handle]
    assert [parse_handle(handle) for handle in handles] == handles
    assert len({handle_skeleton(handle) for handle in handles}) == len(handles)
    numbers = [person.number for person in place.people] + [agent.number for agent in place.agents]
    assert [parse_number(number, "GU") for number in numbers] == numbers
    assert len(set(numbers)) == len(numbers)
    assert all("55501" in number for number in numbers), "only numbers that belong to nobody"
    assert [parse_name(each.name) for each in everybody] == [each.name for each in everybody]
    kinds = {merchant.kind for merchant in MERCHANTS}
    assert {"department store", "car park", "fuel station", "market stall", "pharmacy", "school", "bakery", "transport"} <= kinds
    assert {person.language for person in place.people} == {"ko", "en", "fr", "ar", "sw"}


def test_ids_follow_from_the_seed_and_are_version_7() -> None:
    first = id_of("halyard", "party/x")
    assert first == id_of("halyard", "party/x")
    assert len({first, id_of("halyard", "party/y"), id_of("tidewater", "party/x")}) == 3
    assert first >> 76 & 0xF == 7
    assert first >> 62 & 0b11 == 0b10


def test_dice_fall_the_same_on_every_machine() -> None:
    dice = Dice("seed")
    assert [dice.below(1_000) for _ in range(5)] == [Dice("seed").below(1_000), *[dice_draw(n) for n in range(1, 5)]]
    assert sorted(dice.shuffled(range(10))) == list(range(10))
    assert {dice.weighted([("a", 1), ("b", 0)]) for _ in range(20)} == {"a"}
    assert {dice.between(1, 3) for _ in range(50)} == {1, 2, 3}


def dice_draw(number: int) -> int:
    """The `number`-th draw (from 0), made from the definition."""
    import hashlib

    return int.from_bytes(hashlib.sha256(b"seed" + number.to_bytes(8)).digest()[:16]) % 1_000
