"""`counterfoil card make` as it is run: with a real card service, and virtual cards that are taken away when it suits nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from counterfoil.acceptance.cards.keys import BatchKeys, KeyNumber
from tests.commands.desk import run
from tests.pcscd import READER, Card, Insert, Remove, Run, bench

UID, OTHER = "04958caa5c5e80", "041d3c8a2d6b80"
HOST = "money.example.org"
APDUS = 31
"""That a new card is sent until it is finished."""


def command(folder: Path, *more: str) -> list[str]:
    return ["card", "make", "--data", str(folder), "--host", HOST, "--reader", READER, *more]


def is_whole(folder: Path, card: Card) -> bool:
    """Whether the keys in the card are those of the secret in the folder, and it says what they can read."""
    keys = BatchKeys((folder / "keys" / "cards.aes128").read_bytes())
    uid = bytes.fromhex(card.uid)
    file = bytes.fromhex(card.file)
    address = file[7 : 2 + file[1]].decode()
    return card.random_id and card.keys[:4] == [keys.of(number, uid).hex() for number in KeyNumber] and address.startswith(f"{HOST}/t?e=")


@pytest.mark.slow(1)
def test_cards_are_made_one_after_the_other_and_a_finished_one_stays(tmp_path: Path) -> None:
    steps: list[Insert | Remove | Run] = [
        Run(["card", "make", "--data", str(tmp_path)]),
        Insert(UID),
        Run(command(tmp_path, "--count", "2"), next=OTHER),
        Run(command(tmp_path, "--json")),
    ]
    ended = bench(steps)
    which, made, again = ended.done
    assert which.code == 3
    assert "which reader?" in which.err
    assert READER in which.err
    assert made.code == 0, made.err
    assert f"{UID} is finished" in made.out
    assert made.out.splitlines()[-2:] == [f"Made  {UID}", f"      {OTHER}"]
    assert json.loads(again.out) == {"host": HOST, "made": [OTHER]}
    assert [card.uid for card in ended.cards] == [UID, OTHER]
    assert all(is_whole(tmp_path, card) for card in ended.cards)
    assert ended.cards[0].keys[0] != ended.cards[1].keys[0]
    assert (tmp_path / "keys" / "cards.aes128").stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "keys" / "cards.aes128").read_bytes().hex()
    told = "".join(done.out + done.err for done in ended.done).lower()
    assert not any(key in told for card in ended.cards for key in (secret, *card.keys[:4]))


@pytest.mark.slow(1)
def test_a_card_that_is_taken_away_is_finished_when_it_comes_back(tmp_path: Path) -> None:
    """At the first APDU, in the middle of an authentication and of the keys, and around the two that cannot be done twice."""
    torn = [(0, False), (7, False), (APDUS // 2, True), (APDUS - 4, True), (APDUS - 1, True)]
    steps: list[Insert | Remove | Run] = [Insert(OTHER), Run(command(tmp_path))]
    for number, (at, heard) in enumerate(torn):
        uid = f"04{number:012x}"
        steps += [Insert(uid), Run(command(tmp_path), tear_at=at, heard=heard), Remove(), Insert(uid), Run(command(tmp_path))]
    ended = bench(steps)
    assert ended.done[0].apdus == APDUS
    for number, (at, _) in enumerate(torn):
        away, back = ended.done[1 + 2 * number : 3 + 2 * number]
        assert away.code == 3, (at, away)
        assert "Put the card back" in away.err
        assert back.code == 0, (at, back)
        assert back.out.split()[-1] == f"04{number:012x}"
    assert all(is_whole(tmp_path, card) for card in ended.cards)


@pytest.mark.slow(1)
def test_a_card_is_read_by_its_own_scheme_alone(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"

    def read(folder: Path) -> list[str]:
        return ["card", "read", "--data", str(folder), "--reader", READER, "--json"]

    steps: list[Insert | Remove | Run] = [Insert(UID), Run(command(theirs)), Run([*command(mine), "--json"])]
    ended = bench([*steps, Run(read(theirs)), Run(read(theirs)), Run(read(mine)), Run(read(theirs), tear_at=2)])
    made, refused, first, second, unread, torn = ended.done
    assert made.code == 0, made.err
    assert refused.code == 1
    assert json.loads(refused.out)["code"] == "card_refused"
    assert json.loads(refused.out)["facts"] == {"made": []}
    assert is_whole(theirs, ended.cards[0])
    once = json.loads(first.out)["counter"]
    assert json.loads(second.out) == {"card": UID, "counter": once + 1}
    assert (unread.code, json.loads(unread.out)["code"]) == (1, "card_refused")
    assert torn.code == 3


@pytest.mark.parametrize("host", ["", "a b", "example.org/x", "a" * 101])
def test_a_host_that_no_address_can_have_is_refused_before_a_card_is_asked_for(tmp_path: Path, host: str) -> None:
    done = run("card", "make", "--data", str(tmp_path), "--host", host)
    assert done.code == 2
    assert "--host" in done.err


def test_before_a_card_was_made_none_is_read_and_no_secret_is_made(tmp_path: Path) -> None:
    done = run("card", "read", "--data", str(tmp_path))
    assert done.code == 2
    assert "no card was made" in done.err
    assert not list(tmp_path.iterdir())


def test_bad_arguments_name_what_is_wrong(tmp_path: Path) -> None:
    for count in ("0", "1001", "-1"):
        done = run("card", "make", "--data", str(tmp_path), "--count", count)
        assert done.code == 2
        assert "--count must be 1 to 1000" in done.err
