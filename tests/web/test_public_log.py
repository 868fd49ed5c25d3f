"""What is read from a log's files: heads, totals and hours, a little at a time, and never more than they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.web.proof_views import CHART_HEIGHT, bars
from counterfoil.web.public_log import SLOT_S, SLOTS, PublicLog, Slot
from tests.browser.forge import LOG, WITNESSES, Entry, Signer, policy, sha

NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())


class Tree:
    """A public tree, written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = PublicLog(folder, SystemClock())
        (folder / "policy").write_text(policy())

    def head(self, size: int, times: Sequence[int] = ()) -> str:
        text = f"{LOG.name}\n{size}\n{base64.b64encode(bytes(32) if size else sha()).decode()}\n"
        return f"{text}\n{LOG.line(text)}" + "".join(w.line(text, time) for w, time in zip(WITNESSES, times, strict=False))

    def sign(self, size: int) -> None:
        (self.folder / "checkpoint").write_text(self.head(size))

    def witness(self, size: int, time_s: int) -> None:
        note = self.head(size, [time_s - 3, time_s, time_s - 2, time_s - 1])
        (self.folder / "witnessed").write_text(note)
        file = self.folder / "heads" / datetime.fromtimestamp(time_s, UTC).date().isoformat()
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as day:
            day.write(b"%d\n%s" % (len(note.encode()), note.encode()))

    def public(self, index: int, kind: int, amount: int) -> None:
        payload = json.dumps({"amount": amount, "asset": "USD", "at": 1, "payment": "00"}).encode()
        (self.folder / "public").mkdir(exist_ok=True)
        (self.folder / f"public/{index}").write_bytes(Entry(kind, [b"", b"", b"", payload]).opening(4))

    def slots(self, now_s: int) -> dict[int, tuple[int, bool | None]]:
        """Those that have something: place from the newest (0) backwards."""
        found = self.log.read(now_s=now_s).slots
        return {SLOTS - 1 - n: (slot.entries, slot.witnessed) for n, slot in enumerate(found) if slot.witnessed is not None}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_no_folder_no_head_and_an_empty_log_have_not_started(tmp_path: Path, tree: Tree) -> None:
    assert PublicLog(tmp_path / "nowhere", SystemClock()).read(now_s=NOON).newest is None
    assert tree.log.read(now_s=NOON).newest is None
    tree.sign(0)
    assert tree.log.read(now_s=NOON).newest is None


def test_totals_count_what_the_newest_head_covers_and_each_once(tree: Tree) -> None:
    tree.public(1, 2, 1_000)
    tree.public(3, 3, 300)
    tree.public(5, 2, 70)  # not signed yet
    tree.public(2, 6, 9_999)  # a freeze
    tree.sign(5)
    assert (tree.log.read(now_s=NOON).issued, tree.log.read(now_s=NOON).withdrawn) == (1_000, 300)
    tree.sign(6)
    assert (tree.log.read(now_s=NOON).issued, tree.log.read(now_s=NOON).withdrawn) == (1_070, 300)


def test_a_total_that_cannot_be_read_is_named_and_counted_when_it_can(tree: Tree) -> None:
    tree.public(1, 2, 1_000)
    tree.public(2, 2, 50)
    kept = (tree.folder / "public/2").read_bytes()
    tree.sign(3)
    for damaged in (b"", kept[:-1], kept[:98] + b"[]", kept[:98] + b'{"amount":null}'):
        (tree.folder / "public/2").write_bytes(damaged)
        with pytest.raises(Unavailable, match="public/2"):
            tree.log.read(now_s=NOON)
    (tree.folder / "public/2").write_bytes(kept)
    assert tree.log.read(now_s=NOON).issued == 1_050


def test_a_log_that_has_shrunk_is_told(tree: Tree) -> None:
    tree.sign(5)
    tree.log.read(now_s=NOON)
    tree.sign(4)
    with pytest.raises(Unavailable, match="shrunk from 5 to 4"):
        tree.log.read(now_s=NOON)


def test_hours_show_entries_where_they_were_witnessed_and_where_nobody_did(tree: Tree) -> None:
    tree.sign(100)
    tree.witness(10, NOON - 5 * SLOT_S)
    tree.witness(15, NOON - 5 * SLOT_S + 20)
    tree.witness(40, NOON - 2 * SLOT_S)
    tree.witness(40, NOON - 1 * SLOT_S)
    expected = {5: (15, True), 4: (0, False), 3: (0, False), 2: (25, True), 1: (0, True)}
    assert tree.slots(NOON) == expected
    tree.witness(100, NOON)
    assert tree.slots(NOON) == expected | {0: (60, True)}
    assert tree.slots(NOON) == expected | {0: (60, True)}
    assert len(tree.log._hours.heads) == 5  # nothing was read twice


def test_hours_move_on_over_midnight_and_remember_what_came_before(tree: Tree) -> None:
    midnight = NOON + 12 * 3_600
    tree.sign(100)
    tree.witness(10, midnight - SLOT_S)
    tree.witness(30, midnight)
    assert tree.slots(midnight) == {1: (10, True), 0: (20, True)}
    later = midnight + SLOTS * SLOT_S
    tree.witness(33, later)
    slots = tree.slots(later)
    assert slots[0] == (3, True)
    assert len(slots) == SLOTS
    assert {slots[place] for place in range(1, SLOTS)} == {(0, False)}


def test_a_head_that_is_still_being_written_waits_and_a_damaged_one_is_named(tree: Tree) -> None:
    tree.sign(100)
    tree.witness(10, NOON - SLOT_S)
    file = next((tree.folder / "heads").iterdir())
    kept = file.read_bytes()
    tree.witness(30, NOON)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert tree.slots(NOON)[1] == (10, True)
    file.write_bytes(whole)
    assert tree.slots(NOON)[0] == (20, True)
    for damaged in (whole[: len(kept)] + b"12x\n", whole[: len(kept)] + b"7\nabc\n\nxx\n"):
        fresh = PublicLog(tree.folder, SystemClock())
        file.write_bytes(damaged)
        with pytest.raises(Unavailable, match=f"heads/{file.name}"):
            fresh.read(now_s=NOON)


def test_a_witnessed_head_without_its_quorum_is_told(tree: Tree) -> None:
    tree.sign(9)
    (tree.folder / "witnessed").write_text(tree.head(9, [NOON] * 3))
    with pytest.raises(Unavailable, match="quorum"):
        tree.log.read(now_s=NOON)
    stranger = Signer(LOG.name, 1, seed="stranger")
    text = f"{LOG.name}\n9\n{'A' * 43}=\n"
    (tree.folder / "witnessed").write_text(f"{text}\n{stranger.line(text)}{''.join(w.line(text) for w in WITNESSES)}")
    with pytest.raises(Unavailable, match="not signed"):
        tree.log.read(now_s=NOON)


def test_bars_fill_the_picture_and_what_is_little_can_be_seen() -> None:
    slots = (Slot(0, 1_000_000, True), Slot(SLOT_S, 1, True), Slot(2 * SLOT_S, 0, False), Slot(3 * SLOT_S, 200_000, True))
    drawn = bars(slots, waiting=300_000)
    assert drawn[0].height == CHART_HEIGHT - 2
    assert drawn[1].height == 1.5
    assert drawn[2].height == 0
    assert [bar.waiting_height for bar in drawn[:3]] == [0, 0, 0]
    assert drawn[3].waiting_height == pytest.approx(0.3 * (CHART_HEIGHT - 2))
    assert drawn[3].waiting_y + drawn[3].waiting_height == pytest.approx(drawn[3].y)
    assert all(bar.y + bar.height == pytest.approx(CHART_HEIGHT) and bar.waiting_y >= 0 for bar in drawn)
    assert bars((Slot(0, 0, None),), waiting=0)[0].height == 0
