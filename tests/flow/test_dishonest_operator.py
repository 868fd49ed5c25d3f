"""The dishonest operator, in eleven ways: for each of them who notices, with which program, and what it says.

The cheats themselves, and what is expected of every program, are in `cheats`; docs/explanation/dishonest-operator.md is made
of what the programs said.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.flow.cheats import CHEATS, Cheat
from tests.flow.dishonest_page import PAGE, page
from tests.flow.forgery import believed
from tests.flow.means import COMPLAIN, published
from tests.flow.stage import AUDIT, LOG, VERIFY, Books, run

pytestmark = pytest.mark.slow

TITLES = (
    "Hide a debit", "Swap a key", "Rewrite an amount", "Drop an entry", "Fork the log", "Acknowledge and not log", "Credit from nothing",
    "Back-date", "Replay an order", "Delay", "Use somebody's PIN",
)  # fmt: skip
UNNOTICED = {
    "The key is bound as if Ana had lost her device and recovered her account: her own is revoked.",
    "The issue is logged and published as it should be, and nobody paid the money into the trust account.",
    "For two hours nothing is published and no witness is asked.",
    "2,000 go to Mallory, and the entry says that Kofi confirmed it with his PIN.",
    "The same to the shop, which is not told of it.",
}
"""What no program refuses: people have to look. Every other way must be noticed by a program."""


class Play:
    """The honest scheme, and each cheat played once."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._played: dict[str, Cheat] = {}

    def cheat(self, play: Callable[[Books], Cheat]) -> Cheat:
        if play.__name__ not in self._played:
            self._played[play.__name__] = play(self.books)
        return self._played[play.__name__]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    books = Books(tmp_path_factory.mktemp("operator"))
    asyncio.run(books.fill())
    yield Play(books)
    books.town.close()


def test_the_operators_tools_make_the_true_log_byte_for_byte(play: Play) -> None:
    """Otherwise a forged log could be refused for a mistake of the forger's."""
    books = play.books
    assert [sealed.entry for sealed in books.sealed] == books.entries
    with published(books, "nothing-changed", books.history, after=2) as forged:
        assert forged.log.head.root == books.head.root
        assert run(LOG, forged.folder).code == 0
        assert run(AUDIT, forged.folder).code == 0


@pytest.mark.parametrize(("cheat", "title"), list(zip(CHEATS, TITLES, strict=True)), ids=[cheat.__name__ for cheat in CHEATS])
def test_what_the_operator_does_and_who_notices(play: Play, cheat: Callable[[Books], Cheat], title: str) -> None:
    """Each look asserts exit codes and sentences by itself, on the forged and on the honest log."""
    found = play.cheat(cheat)
    assert found.title == title
    assert found.ways
    for way in found.ways:
        noticed = any(look.noticed == "yes" for look in way.looks)
        assert noticed is (way.how not in UNNOTICED), way.how
        if not noticed:
            assert any(look.noticed == "read" for look in way.looks) or "trust account" in way.how, way.how


def test_a_complaint_before_the_time_is_over_does_not_stand(play: Play) -> None:
    """The control of the complaint: within its 60 s an operator is not late."""
    books = play.books
    folder = books.root / "too-early"
    shutil.copytree(books.root / "day-before", folder / "log" / "public")
    shutil.copy(books.folder / "policy", folder)
    books.make_wallet(folder)
    early = run((*COMPLAIN, books.payment(3), "--out", "3.complaint"), folder)
    assert early.code == 1
    assert "until then the operator is in time" in early.text
    complaint = json.loads((books.folder / "3.complaint").read_text()) if (books.folder / "3.complaint").exists() else None
    if complaint is None:
        assert run((*COMPLAIN, books.payment(3), "--out", "3.complaint"), books.folder).code == 0
        complaint = json.loads((books.folder / "3.complaint").read_text())
    complaint["checkpoint"] = (folder / "log/public/witnessed").read_text()
    (folder / "3.complaint").write_text(json.dumps(complaint))
    ran = run((VERIFY, "complaint", "3.complaint", "--policy", "policy"), folder)
    assert (ran.code, "the time was not over" in ran.text) == (1, True), ran.text


def test_one_witness_too_few_is_no_quorum(play: Play) -> None:
    """The heads that holders are shown in these cheats are believed for their cosignatures alone."""
    head = play.books.heads[-1]
    assert believed(head)
    one, *rest = head.signatures
    assert believed(type(head)(head.text, (one, *rest[:4])))
    assert not believed(type(head)(head.text, (one, *rest[:3])))


def test_the_page_is_what_the_programs_said(play: Play) -> None:
    assert PAGE.read_text("utf-8") == page([play.cheat(cheat) for cheat in CHEATS]), "run make docs, and look at what changed"
