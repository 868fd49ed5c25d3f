"""The operator's own check: every byte of every published file, and every file that is missing or too much."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.tlog.check import FAULTS_MAX, FolderReport, verify_folder
from counterfoil.tlog.keys import VerifierKey
from counterfoil.tlog.log import Log
from counterfoil.tlog.note import Note
from counterfoil.tlog.published import records
from tests.tlog import logs
from tests.tlog.logs import POLICY, SIGNER


def check(folder: Path, *, policy: str | None = POLICY) -> FolderReport:
    return verify_folder(folder / "public", key=SIGNER.vkey, policy=policy)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    logs.make(folder, 2, 7, 8)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    logs.make(folder, 100, 520, 777)
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "public").rglob("*") if path.is_file())


def test_an_untouched_log_has_no_fault(small: Path, large: Path) -> None:
    report = check(small)
    assert report == FolderReport(8, tiles=1, bundles=1, partials=4, publics=2, heads=3, faults=(), unchecked=())
    report = check(large)
    assert report == FolderReport(777, tiles=5, bundles=4, partials=1, publics=11, heads=3, faults=(), unchecked=())


def test_without_a_policy_the_report_says_what_it_could_not_check(small: Path) -> None:
    report = check(small, policy=None)
    assert report.faults == ()
    assert report.unchecked == ("cosignatures: no policy was given",)


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_byte_of_every_file_is_noticed(small: Path, every: int) -> None:
    flipped = 0
    for path in files(small):
        data = path.read_bytes()
        for at in range(0, len(data), every):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            assert check(small).faults, (path, at)
            flipped += 1
        path.write_bytes(data)
    assert flipped > 3_000 // every
    assert check(small).faults == ()


def test_flipped_bytes_of_full_tiles_and_bundles_are_noticed(large: Path) -> None:
    for path in files(large):
        if "tile" in path.parts:
            data = path.read_bytes()
            for at in range(0, len(data), 1_511):
                path.write_bytes(data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :])
                assert check(large).faults, (path, at)
            path.write_bytes(data)
    assert check(large).faults == ()


def test_missing_cut_and_longer_files_are_noticed(small: Path) -> None:
    for path in files(small):
        data, name = path.read_bytes(), path.relative_to(small / "public").as_posix()
        for changed in (data[:-1], data[: len(data) // 2], b"", data + b"\0", data + b"\n", data + data):
            path.write_bytes(changed)
            assert check(small).faults or is_whole_heads(name, changed), (name, len(changed))
        path.unlink()
        # Nobody needs the partial files of earlier sizes or a copy of the policy; a day's heads are missed where they are witnessed.
        may_be_missing = name == "policy" or name.endswith((".p/2", ".p/7")) or name == "heads/2026-09-24"
        assert bool(check(small).faults) != may_be_missing, name
        path.write_bytes(data)
    assert check(small).faults == ()


def is_whole_heads(name: str, data: bytes) -> bool:
    """Whole heads missing at the end of an earlier day's file: no other file tells how many there were."""
    if name != "heads/2026-09-24" or not data:
        return False
    try:
        return len(list(records(data))) == 1
    except Malformed:
        return False


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "tile/0/000.p/9",
        "tile/0/001",
        "tile/3/000",
        "tile/0/000.p/0",
        "tile/0/000.p/05",
        "public/1",
        "public/8",
        "public/05",
        "heads/today",
        "heads/2026-09-26",
    ],
)
def test_a_file_too_much_is_noticed(small: Path, name: str) -> None:
    path = small / "public" / name
    path.write_bytes(b"x") if path.parent.is_dir() else shutil.copytree(small / "public/tile/0", path.parent)
    assert check(small).faults
    path.unlink() if path.is_file() else shutil.rmtree(path.parent)


def test_another_key_another_origin_and_an_older_head_are_noticed(small: Path, tmp_path: Path) -> None:
    other = VerifierKey.of(SIGNER.name, bytes(SigningKey(bytes([5]) * 32).verify_key))
    assert verify_folder(small / "public", key=other).faults
    renamed = VerifierKey.of("example.org/other", SIGNER.vkey.public_key)
    assert verify_folder(small / "public", key=renamed).faults
    folder = tmp_path / "log"
    shutil.copytree(small, folder)
    older = (folder / "public/heads/2026-09-24").read_bytes()
    size, _, rest = older.partition(b"\n")
    old = Note.parse(rest[: int(size)])
    (folder / "public/checkpoint").write_bytes(Note(old.text, old.signatures[:1]).encode())
    faults = check(folder).faults
    assert any("does not have the root" in fault for fault in faults), faults


def test_a_head_below_the_quorum_or_with_a_strangers_signature_is_noticed(small: Path, tmp_path: Path) -> None:
    path = small / "public/witnessed"
    data = path.read_bytes()
    note = Note.parse(data)
    for signatures in (note.signatures[:2], (*note.signatures, note.signatures[1])):
        path.write_bytes(Note(note.text, signatures).encode())
        assert any(fault.startswith("witnessed") for fault in check(small).faults)
    path.write_bytes(data)
    assert check(small).faults == ()


def test_a_report_ends_at_a_hundred_faults(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(small, folder)
    for number in range(FAULTS_MAX + 20):
        (folder / f"public/junk{number}").write_bytes(b"")
    assert len(check(folder).faults) == FAULTS_MAX


def test_an_empty_folder_is_a_fault_and_an_empty_log_is_none(tmp_path: Path) -> None:
    assert check(tmp_path).faults == ("checkpoint: is missing",)
    Log.open(tmp_path, SIGNER).close()
    assert check(tmp_path).faults == ()
