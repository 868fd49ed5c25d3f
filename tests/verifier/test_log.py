"""Whole logs: what an honest one proves, and the sentence for every way in which one can be wrong."""

from __future__ import annotations

import copy
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil_verify.log import Files, LogCheck
from counterfoil_verify.policy import Policy
from counterfoil_verify.report import Refuted, Report, Unchecked
from tests.verifier.maker import LIMITS, NS, POLICY, RULES, TARIFF, WITNESSES, Maker, Signer, write
from tests.verifier.town import Town

policy = Policy.parse(POLICY.encode())
DAY_S = 86_400


def check(folder: Path | str, state: Path | None = None) -> Report:
    report = Report()
    try:
        LogCheck(Files(str(folder)), policy, report, state).run()
    except Refuted as problem:
        report.refuted.append(str(problem))
    except Unchecked as problem:
        report.unchecked.append(str(problem))
    return report


@pytest.fixture(scope="module")
def town() -> Town:
    return Town().live()


@pytest.fixture(scope="module")
def published(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return town.publish(tmp_path_factory.mktemp("log"))


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(published, tmp_path / "log")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Maker, Path]:
    """Tiles of three levels' worth of edges: 700 entries, heads inside and at the end of tiles."""
    maker = Maker()
    for _ in range(699):
        maker.tick()
        maker.add(1, b"x", b"y", b"z")
    return maker, maker.publish(tmp_path_factory.mktemp("large"), [1, 255, 256, 257, 512, 600, 700])


def test_an_honest_log_is_proven(town: Town, published: Path) -> None:
    report = check(published)
    assert report.exit_code == 0, report.text()
    assert report.fields["size"] == len(town.entries)
    assert report.fields["totals"] == {"USD": {"issue": 1_000_000, "withdrawal": 1_234}}
    assert report.fields["heads"] == 3
    assert sum(report.fields["entries"].values()) == len(town.entries)
    assert report.fields["rules"][0]["in_force_from_entry"] == 0
    assert any("silent" in each for each in report.noticed)


def test_a_log_of_several_tiles_is_proven(large: tuple[Maker, Path]) -> None:
    report = check(large[1])
    assert report.exit_code == 0, report.text()
    assert report.fields["heads"] == 7


def test_a_log_over_http_is_proven_and_a_missing_file_is_not(published: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(published, tmp_path / "log")
    with served(folder) as url:
        report = check(url)
        assert report.exit_code == 0, report.text()
        assert report.fields["heads"] == 3
        (folder / "public/0").unlink()
        assert "public/0 is missing" in check(url).unchecked[0]
    assert check("http://127.0.0.1:1/").exit_code == 2


class served:  # noqa: N801
    """A folder behind a web server, as any other would serve it."""

    def __init__(self, folder: Path) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def files_of(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_every_byte_of_every_file_counts(step: int, tmp_path: Path) -> None:
    """One at a time. Noticed: refuted, not checked, or (a name that is now nobody's, the policy's copy) a new note."""
    folder = Town().publish(tmp_path / "log", [12, 16])
    honest = check(folder)
    assert honest.exit_code == 0, honest.text()
    changed = 0
    for path in files_of(folder):
        data = path.read_bytes()
        for at in range(0, len(data), step):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            report = check(folder)
            new = [each for each in report.noticed if each not in honest.noticed and "newest witness time" not in each]
            assert report.exit_code or new, (path, at)
            if not path.match("policy") and report.exit_code == 0:
                assert any("whom the policy does not know" in each for each in new), (path, at, new)
            changed += 1
        path.write_bytes(data)
    assert changed > 5_000 // step


def test_every_file_cut_short_or_with_trailing_bytes_is_noticed(folder: Path) -> None:
    for path in files_of(folder):
        data = path.read_bytes()
        for wrong in (data[:-1], data + b"x", data + b"\n", b""):
            path.write_bytes(wrong)
            report = check(folder)
            assert report.exit_code or any("another policy file" in each for each in report.noticed), (path, len(data), len(wrong))
        path.write_bytes(data)


def test_every_missing_file_is_named(folder: Path) -> None:
    size = len(list((folder / "public").iterdir()))
    assert size == 5
    last = f".p/{check(folder).fields['size']}"
    for path in files_of(folder):
        name = str(path.relative_to(folder))
        data = path.read_bytes()
        path.unlink()
        report = check(folder)
        if name.startswith(("witnessed", "checkpoint", "public/")) or name.endswith(last):
            assert report.exit_code == 2, name
            assert "missing" in report.unchecked[0], report.text()
            assert name.removesuffix(last) in report.unchecked[0]
        path.write_bytes(data)


def test_a_full_tile_serves_where_the_partial_one_was_removed(large: tuple[Maker, Path], tmp_path: Path) -> None:
    maker, published = large
    folder = shutil.copytree(published, tmp_path / "log")
    write(folder / "witnessed", maker.head(600))
    write(folder / "checkpoint", maker.head(600, witnesses=[]))
    for day in (folder / "heads").iterdir():
        day.unlink()
    write(folder / "heads/2026-09-21", b"%d\n" % len(maker.head(600)) + maker.head(600))
    maker.add(1)
    for _ in range(100):
        maker.add(1)
    maker._tiles(folder, 801)
    for path in [*folder.glob("tile/0/002.p"), *folder.glob("tile/entries/002.p")]:
        shutil.rmtree(path)
    report = check(folder)
    assert report.exit_code == 0, report.text()


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("tile/0/001", lambda data: data[:-32], "tile/0/001 is cut short"),
        ("tile/0/001", lambda data: data + bytes(32), "tile/0/001 has bytes after its end"),
        ("tile/1/000.p/2", lambda data: bytes(32) + data[32:], "tile/1/000 has other hashes"),
        ("tile/entries/001", lambda data: data[:-36], "tile/entries/001 is cut short: it holds 255 of 256"),
        ("tile/entries/001", lambda data: data + data[:36], "tile/entries/001 has bytes after its last entry"),
        ("tile/0/000.p/255", lambda data: data[:-1], "tile/0/000.p/255 is not the beginning"),
        ("tile/entries/000.p/1", lambda data: b"", "tile/entries/000.p/1 is not the beginning"),
        ("heads/2026-09-21", lambda data: data[:-7], "heads/2026-09-21 is cut short"),
        ("public/0", lambda data: data + b" ", "public/0 does not open its entry"),
    ],
)
def test_each_fault_has_its_sentence(large: tuple[Maker, Path], tmp_path: Path, name: str, change: object, sentence: str) -> None:
    folder = shutil.copytree(large[1], tmp_path / "log")
    assert callable(change)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    report = check(folder)
    assert report.exit_code == 1
    assert any(sentence in each for each in report.refuted), report.text()


def test_a_rewritten_entry_is_noticed_even_when_all_tiles_agree_with_it(town: Town, tmp_path: Path) -> None:
    """The operator signs anew; the heads of before stay with whoever saw them."""
    folder = town.publish(tmp_path / "log", [30, len(town.entries)])
    state = tmp_path / "state"
    assert check(folder, state).exit_code == 0
    liar = copy.deepcopy(town)
    liar.entries[20].payloads[2] += b"!"
    forged = liar.publish(tmp_path / "forged", [30, len(town.entries)])
    assert check(forged).exit_code == 0, "alone, with a quorum that colludes, it looks like a log"
    report = check(forged, state)
    assert report.exit_code == 1
    assert "a head seen on an earlier run" in report.refuted[0]
    shutil.copytree(folder / "heads", forged / "heads", dirs_exist_ok=True)
    report = check(forged)
    assert "rewritten, or forked" in report.refuted[0]
    assert "w1, w2, w3, w4, w5" in report.refuted[0], "who signed it is evidence"
    assert check(folder, state).exit_code == 1, "the state never forgets"
    assert len(state.read_text().splitlines()) == 2


def test_forks_by_a_minority_of_witnesses_have_no_quorum(town: Town, tmp_path: Path) -> None:
    size = len(town.entries)
    folder = town.publish(tmp_path / "log", notes=[town.head(size, witnesses=WITNESSES[:3])])
    assert "no quorum" in check(folder).refuted[0]
    heads = town.head(20, witnesses=WITNESSES[1:4])
    write(folder / "heads/2026-09-21", b"%d\n" % len(heads) + heads)
    write(folder / "witnessed", town.head(size))
    assert any("heads/2026-09-21: no quorum" in each for each in check(folder).refuted)


def test_a_log_that_shrank_and_an_old_checkpoint_served_as_new(town: Town, tmp_path: Path) -> None:
    size, state = len(town.entries), tmp_path / "state"
    assert check(town.publish(tmp_path / "new", [30, size]), state).exit_code == 0
    old = town.publish(tmp_path / "old", [20, 30])
    assert check(old).exit_code == 0
    report = check(old, state)
    assert report.exit_code == 1
    assert (
        f"an old checkpoint is served as new, or the log has shrunk: it shows 30 entries, and {size} were signed before"
        in report.refuted[0]
    )
    seconds = (town.entries[size - 1].time - town.entries[29].time) // NS
    assert f"it is {seconds} s older" in report.refuted[0]
    write(tmp_path / "new/checkpoint", town.head(30, witnesses=[]))
    assert "old checkpoint" in check(tmp_path / "new").refuted[0]
    write(tmp_path / "new/witnessed", town.head(20))
    report = check(tmp_path / "new")
    assert any("it has shrunk" in each for each in report.refuted), report.text()


def test_a_checkpoint_ahead_of_the_witnesses_is_checked_as_far_as_it_goes(town: Town, tmp_path: Path) -> None:
    folder = town.publish(tmp_path / "log", [20, 30])
    size = len(town.entries)
    town._tiles(folder, size)
    write(folder / "checkpoint", town.head(size, witnesses=[]))
    for index, entry in enumerate(town.entries):
        if entry.payloads[3]:
            write(folder / "public" / str(index), entry.opening(4))
    report = check(folder)
    assert report.exit_code == 0, report.text()
    assert (report.fields["size"], report.fields["log_size"]) == (30, size)


def test_wrong_key_and_wrong_origin(tmp_path: Path) -> None:
    other_key = Town(log=Signer("log.example.org/town", 1, "another")).publish(tmp_path / "key")
    assert "is not signed by the key" in check(other_key).refuted[0]
    folder = Town().publish(tmp_path / "origin")
    (folder / "witnessed").write_bytes((folder / "witnessed").read_bytes().replace(b"/town", b"/city"))
    assert "no log of the policy has this origin" in check(folder).refuted[0]


def test_heads_out_of_order_or_on_a_wrong_day(town: Town, tmp_path: Path) -> None:
    size = len(town.entries)
    swapped = town.publish(tmp_path / "swapped", notes=[town.head(30), town.head(20), town.head(size)])
    assert any("size 20 stands in the wrong place" in each for each in check(swapped).refuted)
    moved = town.publish(tmp_path / "moved")
    (moved / "heads/2026-09-21").rename(moved / "heads/2026-09-20")
    assert any("wrong place or day" in each for each in check(moved).refuted)


def test_clocks_of_witnesses_wrong_by_hours_are_reported(town: Town, tmp_path: Path) -> None:
    size = len(town.entries)
    clocks = {1: -5 * 3_600, 3: 7_200}
    report = check(town.publish(tmp_path / "log", notes=[town.head(30), town.head(size, clocks=clocks)]))
    assert report.exit_code == 0, report.text()
    (told,) = {each for each in report.noticed if "clocks" in each}
    assert "w2 by -18" in told
    assert "w4 by +72" in told


def test_signatures_of_strangers_are_ignored_and_told(town: Town, tmp_path: Path) -> None:
    note = town.head(len(town.entries), witnesses=[*WITNESSES, Signer("auditor.example", 4)])
    report = check(town.publish(tmp_path / "log", notes=[note]))
    assert report.exit_code == 0
    assert "ignored: a signature by auditor.example, whom the policy does not know" in report.noticed


def test_a_public_part_must_be_that_of_its_entry(folder: Path, town: Town) -> None:
    issue = next(index for index, entry in enumerate(town.entries) if entry.type == 2)
    (folder / f"public/{issue}").write_bytes(town.entries[issue].opening(3))
    assert f"public/{issue} does not open its entry" in check(folder).refuted
    (folder / f"public/{issue}").write_bytes((folder / "public/0").read_bytes())
    assert f"public/{issue} does not open its entry" in check(folder).refuted


@pytest.mark.parametrize(
    ("public", "why"),
    [
        (b"[1]", "public/1"),
        (b'{"amount":1, "asset":"USD"}', "canonical"),
        (b'{"amount":"x","asset":"USD"}', "public/1"),
        (b'{"asset":"USD"}', "public/1"),
        (b'{"amount":-5,"asset":"USD"}', "has no amount"),
        (b'{"amount":true,"asset":"USD"}', "has no amount"),
        (b"[" * 60_000, "public/1"),
    ],
)
def test_a_public_part_must_be_canonical_and_whole(tmp_path: Path, public: bytes, why: str) -> None:
    maker = Maker()
    maker.add(2, b"x", b"y", b"z", public)
    assert any(why in each for each in check(maker.publish(tmp_path / "log", [1, 2])).refuted)


def test_the_first_entry_is_the_rules(tmp_path: Path) -> None:
    maker = Maker()
    maker.entries.clear()
    maker.add(1)
    assert "the first entry is not the scheme's rules" in check(maker.publish(tmp_path / "log", [1])).refuted


def test_an_entry_of_an_unknown_type_or_version(tmp_path: Path) -> None:
    maker = Maker()
    maker.add(11)
    assert "entry 1 is not of a known version and type" in check(maker.publish(tmp_path / "log", [1, 2])).refuted


DEARER = RULES | {"tariff": {"lines": [TARIFF[0] | {"flat": 51}, *TARIFF[1:]]}}
CHEAPER = RULES | {"tariff": {"lines": TARIFF[:1]}, "limits": LIMITS | {"basic": {"per_payment": 60_000}, "more": {}}}


@pytest.mark.parametrize(
    ("rules", "tightens"),
    [
        (CHEAPER, []),
        (DEARER, ["fee of transfer"]),
        (RULES | {"limits": LIMITS | {"basic": {"per_payment": 49_999}}}, ["limits of basic"]),
        (RULES | {"limits": {"shop": LIMITS["shop"]}}, ["limits of basic"]),
        (RULES | {"limits": LIMITS | {"basic": LIMITS["basic"] | {"per_day": 1}}}, ["limits of basic"]),
        (RULES | {"tariff": {"lines": [*TARIFF, {"service": "refund", "flat": 1}]}}, ["fee of refund"]),
        (RULES | {"tariff": {"lines": [TARIFF[0], TARIFF[1] | {"paid_by": "payer"}, *TARIFF[2:]]}}, ["fee of purchase"]),
        (RULES | {"tariff": {"lines": [TARIFF[0] | {"bands": []}, *TARIFF[1:]]}}, ["fee of transfer"]),
        (RULES | {"tariff": {"lines": [TARIFF[0] | {"minimum": 1}, *TARIFF[1:]]}}, ["fee of transfer"]),
        (RULES | {"time_zone": "Asia/Seoul"}, ["time_zone"]),
        (RULES | {"currency": {"code": "USD", "digits": 0, "ledger": 840}}, ["currency"]),
    ],
)
def test_what_tightens_needs_notice_and_what_does_not_is_in_force_at_once(
    rules: dict[str, object], tightens: list[str], tmp_path: Path
) -> None:
    maker = Maker()
    maker.tick()
    index = maker.rules(rules)
    told = check(maker.publish(tmp_path / "log", [1, 2])).fields["rules"][index]
    assert told["in_force_from_entry"] == (None if tightens else index)
    assert told["notice"] == (f"tightens {', '.join(tightens)}: 30 days' notice" if tightens else "in force at once")
    assert told["covered"] == "2026-09-21 14:13:29 UTC", "when a quorum had seen it"


@pytest.mark.parametrize(("days", "in_force"), [(29.9, None), (30.1, 3)])
def test_notice_is_counted_between_times_of_witnesses(days: float, in_force: int | None, tmp_path: Path) -> None:
    """One wrong clock on either side moves nothing: all that counts is what a quorum says."""
    maker = Maker()
    maker.tick()
    maker.rules(DEARER)
    maker.tick()
    maker.add(1)
    covered = maker.head(3, clocks={0: -40 * DAY_S})
    maker.tick(days * DAY_S)
    maker.add(1)
    notes = [maker.head(1), covered, maker.head(4, clocks={4: 40 * DAY_S})]
    folder = maker.publish(tmp_path / "log", [1, 3, 4], notes)
    report = check(folder)
    assert report.exit_code == 0, report.text()
    assert report.fields["rules"][1]["in_force_from_entry"] == in_force


def test_a_state_file_of_something_else_is_not_overwritten(published: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("my diary\n")
    assert check(published, tmp_path / "state").exit_code == 2
    assert (tmp_path / "state").read_text() == "my diary\n"


def test_a_log_without_heads_is_not_wholly_checked(folder: Path) -> None:
    shutil.rmtree(folder / "heads")
    assert check(folder).exit_code == 2


def test_the_interop_log_is_whole_but_has_no_public_parts(trust: Path) -> None:
    import json

    vkey = json.loads((trust / "counterfoil-interop/proofs.json").read_text())["vkey"]
    report = Report()
    files = Files(str(trust / "counterfoil-interop"))
    files.read = lambda path, read=files.read: read("checkpoint" if path == "witnessed" else path)  # type: ignore[method-assign,misc]
    LogCheck(files, Policy.parse(f"log {vkey}\nquorum none\n".encode()), report).run()
    assert report.refuted == ["the first entry is not the scheme's rules"]
    assert len(report.unchecked) == 280 + 1
