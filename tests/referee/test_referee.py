"""Go's own log code accepts what we publish, and refuses each way to tamper with it: no implementation is its own referee."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import Checkpoint, sign
from counterfoil.tlog.entry import EntryType, Role
from counterfoil.tlog.keys import Signer, VerifierKey
from counterfoil.tlog.log import Log, PublishedLog
from counterfoil.tlog.merkle import EMPTY_ROOT
from counterfoil.tlog.note import Note
from counterfoil.tlog.proof import TlogProof
from counterfoil.tlog.tiles import DATA_SIZE_MAX, entries_path, tile_path
from tests.referee.build import DISTRIBUTION, gofmt
from tests.referee.conftest import Referee
from tests.tlog import logs
from tests.tlog.logs import ORIGIN, SIGNER, WITNESSES, append, head_note, views, witnessed

pytestmark = pytest.mark.timeout(900)  # the first build on a busy machine

KEY = SIGNER.vkey
KEYS = (KEY, *(witness.vkey for witness in WITNESSES))
SIZES = (0, 1, 255, 256, 257, 700)
"""Of the log `small`, each published and witnessed."""
LARGE = 70_000
"""Entries of a log with tiles on three levels."""


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 700 entries, and beside it what was published at each of SIZES."""
    folder = tmp_path_factory.mktemp("small")
    with Log.open(folder, SIGNER) as log:
        for size in SIZES:
            append(log, size)
            log.publish()
            if size:
                log.keep_witnessed(witnessed(head_note(log), logs.MIDNIGHT_S + size))
            shutil.copytree(folder / "public", folder / f"at/{size}")
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of LARGE entries of every length, grown in two steps; `old` is its first checkpoint."""
    folder = tmp_path_factory.mktemp("large")
    entries = [hashlib.sha256(b"%d" % index).digest()[: 1 + index % 32] for index in range(LARGE)]
    entries[300] = bytes(DATA_SIZE_MAX)
    with Log.open(folder, SIGNER) as log:
        log.append(entries[:65_000])
        log.publish()
        shutil.copy(folder / "public/checkpoint", folder / "old")
        log.append(entries[65_000:])
        log.publish()
    return folder


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """The public tree of `small`, to tamper with."""
    return Path(shutil.copytree(small / "public", tmp_path / "log"))


def test_the_referee_is_the_patched_one(toolchain: Path) -> None:
    """1.27.3 carries the fix of CVE-2026-56865; what it does is tested below with tampered tiles."""
    assert importlib.metadata.version(DISTRIBUTION) == "1.27.3"
    assert (toolchain / "VERSION").read_text().startswith("go1.27.3\n")


def test_the_program_is_formatted_as_go_does(toolchain: Path) -> None:
    assert gofmt(toolchain) == ""


# Accepted


@pytest.mark.parametrize("size", SIZES)
def test_go_accepts_the_log_at_every_size(referee: Referee, small: Path, size: int) -> None:
    verdict = referee.log(small / f"at/{size}", *KEYS)
    assert verdict.by is None, verdict
    root = PublishedLog(small).reader.root(size)
    assert f"{size} entries, root {base64.b64encode(root).decode()}, signed by {ORIGIN}" in verdict.said
    proven = {0: 0, 1: 1, 255: 128, 256: 129, 257: 129, 700: 101}[size]  # every second or seventh, and the last
    assert f"entries     {size}, each the one that its tile names; {proven} proven" in verdict.said


def test_go_accepts_every_earlier_head_of_the_log(referee: Referee, small: Path) -> None:
    old = [small / f"at/{size}/{name}" for size in SIZES for name in ("checkpoint", "witnessed") if size or name == "checkpoint"]
    verdict = referee.log(small / "public", *KEYS, heads=old)
    assert verdict.by is None, verdict
    published = len(list(PublishedLog(small).heads())) + 1  # and `witnessed`
    assert f"heads       {len(old) + published}, all continued" in verdict.said


def test_go_accepts_a_log_with_tiles_on_three_levels(referee: Referee, large: Path) -> None:
    assert {path.name for path in (large / "public/tile").iterdir()} == {"0", "1", "2", "entries"}
    verdict = referee.log(large / "public", KEY, heads=[large / "old"])
    assert verdict.by is None, verdict
    assert "heads       1, all continued" in verdict.said


def test_go_accepts_our_proof_of_every_record(referee: Referee, small: Path, tmp_path: Path) -> None:
    reader, file = PublishedLog(small).reader, tmp_path / "receipt"
    for size in SIZES[1:]:
        checkpoint = (small / f"at/{size}/witnessed").read_bytes()
        for index in sorted({0, 1, 2, 127, 254, 255, 256, 257, 299, 511, 512, 640, 698, 699, size - 1, size // 2}):
            if index >= size:
                continue
            kind, found = views(index)
            for role in Role:
                proof = TlogProof(
                    found.opening(kind, role).encode(), index, tuple(reader.inclusion_proof(index, size, within=700)), checkpoint
                )
                file.write_bytes(proof.encode())
                verdict = referee.receipt(file, *KEYS)
                assert verdict.by is None, (size, index, verdict)
                assert verdict.said.startswith(f"entry {index} of {size}, ")
                assert verdict.said.endswith(f"{logs.entry(index).hex()}\n")


def test_go_accepts_our_proof_that_the_log_only_grew(referee: Referee, small: Path, tmp_path: Path) -> None:
    reader, file = PublishedLog(small).reader, tmp_path / "proof"
    for new in SIZES[1:]:
        for old in (size for size in SIZES[1:] if size <= new):
            hashes = reader.consistency_proof(old, new, within=700)
            file.write_text("".join(base64.b64encode(each).decode() + "\n" for each in hashes))
            verdict = referee.growth(small / f"at/{old}/checkpoint", small / f"at/{new}/checkpoint", file, KEY)
            assert (verdict.by, verdict.said) == (None, f"the tree of {new} entries continues that of {old}\n"), (old, new)
            if hashes:
                file.write_text("".join(base64.b64encode(each).decode() + "\n" for each in hashes[1:]))
                assert referee.growth(small / f"at/{old}/checkpoint", small / f"at/{new}/checkpoint", file, KEY).by == "tlog.CheckTree"


# One bit


def published_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted((folder / "tile").rglob("*")) if path.is_file())


def test_go_refuses_one_bit_in_any_tile_or_bundle(referee: Referee, copy: Path) -> None:
    """In partial ones of older heads, too: those are read for the heads that the folder keeps."""
    seen = set()
    for path in published_files(copy):
        whole = path.read_bytes()
        name = path.relative_to(copy).as_posix()
        kind = "entries" if "/entries/" in name else "tile"
        seen.add(name)
        # First and last byte, and some between; of a bundle not the lengths, which have a test of their own.
        places = [at for at in sorted({0, 2, 31, 32, len(whole) // 2, len(whole) - 32, len(whole) - 1}) if at < len(whole)]
        for at in places:
            if kind == "entries" and at % 36 < 2:
                continue
            flip(path, at, at % 8)
            verdict = referee.log(copy, KEY)
            assert verdict.by == ("tlog.RecordHash" if kind == "entries" else "tlog.TileHashReader"), (name, at, verdict)
            assert verdict.what == (f"entry {_bundle_start(name) + at // 36}" if kind == "entries" else "tiles")
            path.write_bytes(whole)
    assert seen == {
        tile_path(0, 0), tile_path(0, 1), tile_path(0, 2, 188), tile_path(1, 0, 1), tile_path(1, 0, 2),
        entries_path(0), entries_path(1), entries_path(2, 188),
    }  # fmt: skip
    assert referee.log(copy, *KEYS).by is None


def _bundle_start(name: str) -> int:
    return 256 * int(name.split("/")[2].removesuffix(".p"))


@pytest.mark.parametrize(
    "path",
    [tile_path(0, 0), tile_path(0, 255), tile_path(0, 273, 112), tile_path(1, 0), tile_path(1, 1, 17), tile_path(2, 0, 1)],
)
def test_go_refuses_one_bit_in_a_tile_of_each_level(referee: Referee, large: Path, path: str) -> None:
    file = large / "public" / path
    whole = file.read_bytes()
    try:
        for at in (0, len(whole) - 1):
            flip(file, at, 7)
            verdict = referee.log(large / "public", KEY)
            assert (verdict.by, verdict.what) == ("tlog.TileHashReader", "tiles")
            assert "downloaded inconsistent tile" in verdict.said
            file.write_bytes(whole)
    finally:
        file.write_bytes(whole)


def test_go_refuses_one_bit_in_any_byte_of_a_small_log(referee: Referee, tmp_path: Path) -> None:
    """Every byte of checkpoint, tile and bundle of a log of two entries, and of the other heads as many as it takes to meet every part.

    Go reads a signature's base64 leniently: of the bits of its last character that say nothing, a flipped one is accepted.
    """
    with Log.open(tmp_path, SIGNER) as log:
        append(log, 2)
        log.publish()
        log.keep_witnessed(witnessed(head_note(log), logs.MIDNIGHT_S))
    public = tmp_path / "public"
    refused: dict[str, set[str | None]] = {}
    spared = []
    (day,) = (path.name for path in (public / "heads").iterdir())
    for name in ("checkpoint", "witnessed", f"heads/{day}", tile_path(0, 0, 2), entries_path(0, 2)):
        whole = (public / name).read_bytes()
        step = {"witnessed": 5, f"heads/{day}": 7}.get(name, 1)
        for at in range(0, len(whole), step):
            flip(public / name, at)
            verdict = referee.log(public, *KEYS)
            if verdict.by is None:
                spared.append((name, at))
            refused.setdefault(name.split("/")[0] if "heads" in name else name, set()).add(verdict.by)
            (public / name).write_bytes(whole)
    for name, at in spared:
        assert same_signatures(public / name, at), (name, at)
    signatures = {"note.Open", None} if spared else {"note.Open"}
    assert refused["checkpoint"] <= signatures
    assert refused["witnessed"] <= {*signatures, "quorum", "heads"}
    assert refused["heads"] <= {*signatures, "quorum", "heads"}
    assert refused[tile_path(0, 0, 2)] == {"tlog.TileHashReader"}
    assert refused[entries_path(0, 2)] == {"tlog.RecordHash", "bundle"}


def same_signatures(path: Path, at: int) -> bool:
    """Whether the flip at that place is in the last character of a signature, of which base64 uses no bit that changed."""
    data = path.read_bytes()
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    start = data.rfind(b"\n", 0, at) + 1
    lines = [each[start : each.find(b"\n", start)] for each in (data, changed)]
    return lines[0] != lines[1] and lines[0].startswith("— ".encode()) and len({base64.b64decode(each.split()[-1]) for each in lines}) == 1


def test_go_is_more_lenient_than_we_are_in_bits_that_say_nothing(referee: Referee, copy: Path) -> None:
    """The last character of a signature has two bits that base64 does not use. Go does not look at them; we want them zero."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    text = (copy / "checkpoint").read_text()
    assert text.endswith("=\n")
    other = text[:-3] + letters[letters.index(text[-3]) + 1] + "=\n"
    (copy / "checkpoint").write_text(other)
    assert referee.log(copy, KEY).by is None
    with pytest.raises(Malformed, match="signature"):
        Note.parse(other.encode())


def test_go_refuses_each_signature_that_is_not_right(referee: Referee, copy: Path) -> None:
    whole = (copy / "witnessed").read_bytes()
    note = Note.parse(whole)
    assert len(note.signatures) == 3
    for place in range(3):
        for at in (0, 8, 40, -1):
            signatures = list(note.signatures)
            raw = bytearray(signatures[place].signature)
            raw[at] ^= 4
            signatures[place] = type(signatures[place])(signatures[place].name, signatures[place].key_id, bytes(raw))
            (copy / "witnessed").write_bytes(Note(note.text, tuple(signatures)).encode())
            verdict = referee.log(copy, *KEYS)
            assert verdict.by == "note.Open"
            assert f"invalid signature for key {signatures[place].name}" in verdict.said
    (copy / "witnessed").write_bytes(Note(note.text, note.signatures[:2]).encode())
    assert referee.log(copy, *KEYS).by == "quorum"
    assert referee.log(copy, *KEYS, quorum=1).by is None
    (copy / "witnessed").write_bytes(Note(note.text, note.signatures[1:]).encode())
    assert referee.log(copy, *KEYS, quorum=1).by == "note.Open", "witnesses without the log"


# Whole lies


def _other_size(copy: Path, _: Path) -> None:
    head = Checkpoint.parse(Note.parse((copy / "checkpoint").read_bytes()).text)
    (copy / "checkpoint").write_bytes(sign(Checkpoint(ORIGIN, 257, head.root), SIGNER).encode())


def _other_root(copy: Path, _: Path) -> None:
    (copy / "checkpoint").write_bytes(sign(Checkpoint(ORIGIN, 700, EMPTY_ROOT), SIGNER).encode())


def _other_origin(copy: Path, _: Path) -> None:
    head = Checkpoint.parse(Note.parse((copy / "checkpoint").read_bytes()).text)
    other = Checkpoint("example.org/other", head.size, head.root)
    note = Note(other.text(), (SIGNER.sign(other.text()),))
    (copy / "checkpoint").write_bytes(note.encode())


def _other_key(copy: Path, _: Path) -> None:
    head = Checkpoint.parse(Note.parse((copy / "checkpoint").read_bytes()).text)
    (copy / "checkpoint").write_bytes(sign(head, Signer(ORIGIN, SigningKey(b"x" * 32))).encode())


def _unsigned(copy: Path, _: Path) -> None:
    (copy / "checkpoint").write_bytes((copy / "checkpoint").read_bytes().split(b"\n\n")[0] + b"\n\n")


def _more_lines(copy: Path, _: Path) -> None:
    text = Note.parse((copy / "checkpoint").read_bytes()).text + b"and more\n"
    (copy / "checkpoint").write_bytes(Note(text, (SIGNER.sign(text),)).encode())


def _more_bytes(copy: Path, _: Path) -> None:
    with (copy / "checkpoint").open("ab") as file:
        file.write(b"\n")


def _set_back(copy: Path, small: Path) -> None:
    (copy / "checkpoint").write_bytes((small / "at/257/checkpoint").read_bytes())


def _two_entries_swapped(copy: Path, _: Path) -> None:
    data = (copy / entries_path(1)).read_bytes()
    (copy / entries_path(1)).write_bytes(data[36:72] + data[:36] + data[72:])


def _entry_and_its_tile(copy: Path, _: Path) -> None:
    entry = b"\x01\x01" + bytes(32)
    data = (copy / entries_path(1)).read_bytes()
    (copy / entries_path(1)).write_bytes(b"\x00\x22" + entry + data[36:])
    tile = (copy / tile_path(0, 1)).read_bytes()
    (copy / tile_path(0, 1)).write_bytes(hashlib.sha256(b"\x00" + entry).digest() + tile[32:])


def _two_tiles_swapped(copy: Path, _: Path) -> None:
    first, second = copy / tile_path(0, 0), copy / tile_path(0, 1)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def _entry_dropped(copy: Path, _: Path) -> None:
    path = copy / entries_path(2, 188)
    path.write_bytes(path.read_bytes()[:-36])


def _entry_added(copy: Path, _: Path) -> None:
    path = copy / entries_path(2, 188)
    path.write_bytes(path.read_bytes() + path.read_bytes()[:36])


def _tile_cut(copy: Path, _: Path) -> None:
    path = copy / tile_path(0, 1)
    path.write_bytes(path.read_bytes()[:-1])


def _tile_longer(copy: Path, _: Path) -> None:
    path = copy / tile_path(1, 0, 2)
    path.write_bytes(path.read_bytes() + bytes(32))


def _tile_gone(copy: Path, _: Path) -> None:
    (copy / tile_path(0, 1)).unlink()


@pytest.mark.parametrize(
    ("lie", "by", "words"),
    [
        (_other_size, "tlog.TileHashReader", "downloaded inconsistent tile"),
        (_other_root, "tlog.TileHashReader", "downloaded inconsistent tile"),
        (_other_origin, "tlog.ParseTree", "malformed tree note"),
        (_other_key, "note.Open", "note has no verifiable signatures"),
        (_unsigned, "note.Open", "malformed note"),
        (_more_lines, "lines", "a head has 3 lines, not 4"),
        (_more_bytes, "note.Open", "malformed note"),
        (_set_back, "tlog.ProveTree", "from 700 entries to 257"),
        (_two_entries_swapped, "tlog.RecordHash", "entry 256"),
        (_entry_and_its_tile, "tlog.TileHashReader", "downloaded inconsistent tile"),
        (_two_tiles_swapped, "tlog.TileHashReader", "downloaded inconsistent tile"),
        (_entry_dropped, "bundle", "entry 699"),
        (_entry_added, "bundle", "bytes after its last entry"),
        (_tile_cut, "tlog.TileHashReader", "bad result slice"),
        (_tile_longer, "tlog.TileHashReader", "bad result slice"),
        (_tile_gone, "unreadable", "tile/0/001"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_go_refuses(referee: Referee, small: Path, copy: Path, lie: Callable[[Path, Path], None], by: str, words: str) -> None:
    lie(copy, small)
    verdict = referee.log(copy, *KEYS)
    assert verdict.by == by, verdict
    assert words in verdict.said


def test_go_refuses_an_empty_tree_that_is_not_empty(referee: Referee, small: Path, tmp_path: Path) -> None:
    text = f"{ORIGIN}\n0\n{base64.b64encode(bytes(32)).decode()}\n".encode()  # by hand: a Checkpoint of ours cannot say it
    (tmp_path / "checkpoint").write_bytes(Note(text, (SIGNER.sign(text),)).encode())
    assert referee.log(tmp_path, KEY).by == "tlog.TreeHash"
    assert referee.log(small / "public", KEY, heads=[tmp_path / "checkpoint"]).by == "tlog.TreeHash"


def test_go_refuses_wrong_keys(referee: Referee, copy: Path) -> None:
    other = VerifierKey.of(ORIGIN, bytes(SigningKey(b"y" * 32).verify_key))
    renamed = VerifierKey.of("example.org/other", KEY.public_key)
    assert referee.log(copy, other).by == "note.Open"
    assert referee.log(copy, renamed).by == "note.Open"
    assert referee.log(copy, str(KEY).replace(ORIGIN, "example.org/other")).by == "note.NewVerifier"
    stranger = Signer("example.org/w1", SigningKey(b"z" * 32), WITNESSES[0].vkey.algorithm)
    assert referee.log(copy, KEY, stranger.vkey).by == "quorum"


def test_go_refuses_the_head_of_a_fork(referee: Referee, small: Path, tmp_path: Path) -> None:
    """Two logs by one key that part after 256 entries, each right in itself: one head of the other gives them away."""
    fork = tmp_path / "fork"
    with Log.open(fork, SIGNER) as log:
        append(log, 256)
        log.publish()
        shutil.copy(fork / "public/checkpoint", tmp_path / "common")
        for size in (257, 700, 900):
            append(log, size, b"another story")
            log.publish()
            shutil.copy(fork / "public/checkpoint", tmp_path / f"{size}")
    assert referee.log(fork / "public", KEY).by is None
    assert referee.log(small / "public", *KEYS, heads=[tmp_path / "common"]).by is None
    for size in (257, 700):
        verdict = referee.log(small / "public", *KEYS, heads=[tmp_path / f"{size}"])
        assert verdict.by == "tlog.CheckTree"
        assert "invalid transparency proof" in verdict.said
        assert f"from {size} entries to 700" in verdict.what
        assert referee.log(fork / "public", KEY, heads=[small / f"at/{size}/checkpoint"]).by == "tlog.CheckTree"
    assert referee.log(small / "public", *KEYS, heads=[tmp_path / "900"]).by == "tlog.ProveTree"


def test_go_refuses_a_log_that_shrank(referee: Referee, small: Path) -> None:
    verdict = referee.log(small / "at/257", *KEYS, heads=[small / "at/700/checkpoint"])
    assert verdict.by == "tlog.ProveTree"
    assert "from 700 entries to 257" in verdict.what


def test_go_refuses_every_receipt_that_is_not_right(referee: Referee, small: Path, tmp_path: Path) -> None:
    reader, file, index = PublishedLog(small).reader, tmp_path / "receipt", 300
    kind, found = views(index)
    assert kind is EntryType.RULES
    good = TlogProof(
        found.opening(kind, Role.PUBLIC).encode(),
        index,
        tuple(reader.inclusion_proof(index, 700)),
        (small / "public/witnessed").read_bytes(),
    )

    def judge(proof: TlogProof) -> str | None:
        file.write_bytes(proof.encode())
        return referee.receipt(file, *KEYS).by

    assert judge(good) is None
    assert good.extra is not None
    for at in range(len(good.extra)):  # type, role, salt, sibling, uncle and payload alike
        opening = bytearray(good.extra)
        opening[at] ^= 1
        assert judge(TlogProof(bytes(opening), index, good.hashes, good.checkpoint)) in ("tlog.CheckRecord", "receipt"), at
    for place in range(len(good.hashes)):
        hashes = list(good.hashes)
        hashes[place] = bytes(32)
        assert judge(TlogProof(good.extra, index, tuple(hashes), good.checkpoint)) == "tlog.CheckRecord", place
    assert judge(TlogProof(good.extra, index + 1, good.hashes, good.checkpoint)) == "tlog.CheckRecord"
    assert judge(TlogProof(good.extra, 700, good.hashes, good.checkpoint)) == "tlog.CheckRecord"
    assert judge(TlogProof(good.extra, index, good.hashes[:-1], good.checkpoint)) == "tlog.CheckRecord"
    assert judge(TlogProof(good.extra, index, good.hashes, (small / "at/257/witnessed").read_bytes())) == "tlog.CheckRecord"
    assert judge(TlogProof(good.extra, index, good.hashes, (small / "public/checkpoint").read_bytes())) == "quorum"
    assert judge(TlogProof(None, index, good.hashes, good.checkpoint)) == "receipt"


# Vectors that others hold


def test_go_accepts_the_vectors_of_the_entry_format(referee: Referee, vectors: Path, tmp_path: Path) -> None:
    folder = vectors / "vectors/trust/counterfoil-interop"
    proofs = json.loads((folder / "proofs.json").read_text())
    key = proofs["vkey"]
    assert referee.log(folder, key, heads=[folder / "checkpoint.300"]).by is None
    file = tmp_path / "proof"
    for each in proofs["incl"]:
        index, bundle = each["index"], each["index"] // 256
        path = folder / entries_path(bundle, 188 if bundle == 2 else 256)
        entry = path.read_bytes()[36 * (index % 256) :][2:36]
        assert hashlib.sha256(b"\x00" + entry).digest() == base64.b64decode(each["leaf"])
        hashes = tuple(map(base64.b64decode, each["proof"]))
        file.write_bytes(TlogProof(None, index, hashes, (folder / "checkpoint").read_bytes()).encode())
        assert referee.receipt(file, key, entry=entry).by is None, index
        assert referee.receipt(file, key, entry=entry[:-1] + b"x").by == "tlog.CheckRecord"
    growth = proofs["cons"]
    assert growth["m"] == 300
    file.write_text("\n".join(growth["proof"]))
    assert referee.growth(folder / "checkpoint.300", folder / "checkpoint", file, key).by is None
    assert referee.growth(folder / "checkpoint", folder / "checkpoint.300", file, key).by == "tlog.CheckTree"
    for path in published_files(folder):
        tampered = Path(shutil.copytree(folder, tmp_path / "tampered", dirs_exist_ok=True))
        name = path.relative_to(folder).as_posix()
        flip(tampered / name, 33)
        assert referee.log(tampered, key).by == ("tlog.RecordHash" if "entries" in name else "tlog.TileHashReader"), name
        shutil.rmtree(tampered)
