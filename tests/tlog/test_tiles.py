"""Tiles: other people's logs read, every proof between their sizes, and what is missing or cut short."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.tlog.checkpoint import open_checkpoint
from counterfoil.tlog.edge import Edge
from counterfoil.tlog.merkle import Frontier, leaf_hash, root_of, verify_consistency, verify_inclusion
from counterfoil.tlog.note import VerifierKey
from counterfoil.tlog.tiles import TileReader, decode_bundle, encode_bundle, entries_path, index_path, tile_path, width_at
from tests.tlog.test_merkle import LEAVES, consistency_path, inclusion_path

ENTRIES = [str(number).encode() for number in range(3_001)]


def files_of(*sizes: int) -> dict[str, bytes]:
    """The tree's files after publishing at each of `sizes`."""
    files: dict[str, bytes] = {}
    edge = Edge(0, [], [], Frontier())
    for size in sizes:
        for entry in ENTRIES[edge.size : size]:
            edge.append(entry)
        files.update(edge.files())
        edge.close()
    return files


def reader_of(files: dict[str, bytes], *, keep: int = 0) -> TileReader:
    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return TileReader(read, keep=keep)


def folder_reader(folder: Path) -> TileReader:
    return TileReader(lambda path: (folder / path).read_bytes())


def test_paths_and_tiles_are_those_of_c2sp(trust: Path) -> None:
    examples = json.loads((trust / "c2sp/examples.json").read_text())
    for case in examples["tile_index_paths"]:
        assert index_path(case["index"]) == case["path"]
    for case in examples["tile_sets"]:
        for tiles in case["tiles"]:
            assert width_at(tiles["level"], tiles["full"] - 1, case["tree_size"]) == 256 or not tiles["full"]
            assert width_at(tiles["level"], tiles["full"], case["tree_size"]) == tiles["partial_width"]
            assert width_at(tiles["level"], tiles["full"] + 1, case["tree_size"]) == 0
        assert width_at(len(case["tiles"]), 0, case["tree_size"]) == 0
    assert (tile_path(0, 0), tile_path(1, 999, 1), entries_path(1_000)) == ("tile/0/000", "tile/1/999.p/1", "tile/entries/x001/000")


def test_the_log_of_tessera_is_read_and_every_proof_in_it_holds(trust: Path) -> None:
    key = VerifierKey.parse((trust / "tessera/vkey.txt").read_text().strip())
    reader = folder_reader(trust / "tessera/log")
    heads = [open_checkpoint((trust / f"tessera/log/checkpoint.{size}").read_bytes(), key)[0] for size in range(16)]
    for head in heads:
        assert reader.root(head.size) == head.root
        hashes = reader.leaf_hashes(0, head.size, head.size)
        assert [leaf_hash(entry) for entry in reader.entries(0, head.size, head.size)] == hashes
        for index in range(head.size):
            proof = reader.inclusion_proof(index, head.size)
            verify_inclusion(index=index, size=head.size, leaf_hash=hashes[index], proof=proof, root=head.root)
        for old in heads[: head.size]:
            proof = reader.consistency_proof(old.size, head.size)
            verify_consistency(old_size=old.size, new_size=head.size, proof=proof, old_root=old.root, new_root=head.root)
            assert reader.root(old.size, within=head.size) == old.root


def test_the_interoperability_log_is_read_and_its_proofs_are_ours(trust: Path) -> None:
    folder = trust / "counterfoil-interop"
    vectors = json.loads((folder / "proofs.json").read_text())
    key = VerifierKey.parse(vectors["vkey"])
    new, old = (open_checkpoint((folder / name).read_bytes(), key)[0] for name in ("checkpoint", "checkpoint.300"))
    reader = folder_reader(folder)
    assert (new.size, old.size) == (700, 300)
    assert (reader.root(700), reader.root(300, within=700)) == (new.root, old.root)
    entries = reader.entries(0, 700, 700)
    assert [leaf_hash(entry) for entry in entries] == reader.leaf_hashes(0, 700, 700)
    assert reader.entries(250, 520, 700) == entries[250:520]
    assert len(vectors["incl"]) == 5
    for case in vectors["incl"]:
        proof = reader.inclusion_proof(case["index"], 700)
        assert [base64.b64encode(each).decode() for each in proof] == case["proof"]
        verify_inclusion(index=case["index"], size=700, leaf_hash=base64.b64decode(case["leaf"]), proof=proof, root=new.root)
    proof = reader.consistency_proof(300, 700)
    assert [base64.b64encode(each).decode() for each in proof] == vectors["cons"]["proof"]
    verify_consistency(old_size=300, new_size=700, proof=proof, old_root=old.root, new_root=new.root)
    edge = Edge(0, [], [], Frontier())
    for entry in entries:
        edge.append(entry)
    written = dict(edge.files())
    assert written == {path: (folder / path).read_bytes() for path in written}
    assert len(written) == 7


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=5, unique=True).map(sorted), where=st.integers(0), old=st.integers(0))
def test_roots_and_proofs_from_tiles_are_those_of_the_recursive_definition(sizes: list[int], where: int, old: int) -> None:
    files, size = files_of(*sizes), sizes[-1]
    reader = reader_of(files, keep=4)
    assert reader.root(size) == root_of(LEAVES[:size])
    assert reader.inclusion_proof(where % size, size) == inclusion_path(LEAVES[:size], where % size)
    before = 1 + old % size
    assert reader.consistency_proof(before, size) == consistency_path(LEAVES[:size], before)
    assert reader.root(before, within=size) == root_of(LEAVES[:before])
    for each in sizes:  # what was published serves as long as its files are there
        assert reader.root(each) == root_of(LEAVES[:each])
    assert Frontier(size, reader.peaks(size)).root() == root_of(LEAVES[:size])
    again = Edge.read(reader, size)
    again.append(b"more")
    assert again.frontier.root() == root_of([*LEAVES[:size], leaf_hash(b"more")])
    assert {path for path, _ in files_of(size, size + 1).items()} - set(files_of(size)) == {path for path, _ in again.files()}


def test_the_files_do_not_depend_on_when_they_were_published() -> None:
    at_once = files_of(700)
    in_steps = files_of(1, 255, 256, 257, 511, 512, 600, 700)
    assert {path: in_steps[path] for path in at_once} == at_once
    assert all(path in at_once or ".p/" in path for path in in_steps)


def test_three_levels_grow_as_they_should() -> None:
    """65,537 entries of one kind: the third level's first hash stands for 65,536 of them."""
    edge = Edge(0, [], [], Frontier())
    for _ in range(65_537):
        edge.append(b"x")
    files = dict(edge.files())
    assert sorted(path for path in files if path.startswith(("tile/1", "tile/2"))) == ["tile/1/000", "tile/2/000.p/1"]
    assert files["tile/0/256.p/1"] == leaf_hash(b"x")
    assert files["tile/2/000.p/1"] == root_of([files["tile/1/000"][at : at + 32] for at in range(0, 8192, 32)])
    assert reader_of(files).root(65_537) == edge.frontier.root()
    edge.close()
    edge.append(b"x")
    assert sorted(path for path, _ in edge.files()) == ["tile/0/256.p/2", "tile/entries/256.p/2"]


def test_where_the_partial_file_is_gone_the_full_one_serves() -> None:
    files = {path: data for path, data in files_of(200, 600).items() if "/000.p/" not in path or "/1/" in path}
    reader = reader_of(files)
    assert reader.root(200) == root_of(LEAVES[:200])
    assert reader.entries(0, 200, 200) == ENTRIES[:200]


def test_missing_and_cut_files_are_noticed() -> None:
    files = files_of(300)
    for path, data in files.items():
        for changed in (None, data[:-1], data + b"\0", b""):
            reader = reader_of(
                {each: found for each, found in files.items() if each != path} | ({} if changed is None else {path: changed})
            )
            with pytest.raises(FileNotFoundError if changed is None else Malformed):
                read_all(reader, 300)


def read_all(reader: TileReader, size: int) -> None:
    reader.leaf_hashes(0, size, size)
    reader.entries(0, size, size)
    reader.root(size)


def test_bundles_are_read_to_the_last_byte() -> None:
    entries = [b"", b"a", b"b" * 65_535]
    assert decode_bundle(encode_bundle(entries)) == entries
    for data in (b"\0", b"\0\1", encode_bundle(entries)[:-1], encode_bundle(entries) + b"\0"):
        with pytest.raises(Malformed):
            decode_bundle(data)
