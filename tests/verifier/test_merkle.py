"""Merkle proofs against the vectors of others and against the definition."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import pytest

from counterfoil_verify.log import Files, bundles, tile
from counterfoil_verify.merkle import EMPTY_ROOT, Frontier, check_inclusion, leaf_hash, node_hash
from counterfoil_verify.policy import Policy
from counterfoil_verify.report import Refuted
from tests.verifier.maker import path_of, root_of


def test_hashes_are_those_of_rfc_6962(trust: Path) -> None:
    cases = json.loads((trust / "transparency-dev-merkle/hashes.json").read_text())["cases"]
    for case in cases:
        found = {
            "empty tree": lambda case: EMPTY_ROOT,
            "leaf": lambda case: leaf_hash(case["data_utf8"].encode()),
            "node": lambda case: node_hash(case["left_utf8"].encode(), case["right_utf8"].encode()),
        }[case["what"]](case)
        assert found.hex() == case["want"], case


def test_inclusion_proofs_of_others(trust: Path) -> None:
    files = sorted((trust / "transparency-dev-merkle/inclusion").rglob("*.json"))
    assert len(files) == 98
    for file in files:
        case = json.loads(file.read_text())
        proof = [base64.b64decode(each) for each in case["proof"] or []]
        root, leaf = base64.b64decode(case["root"] or ""), base64.b64decode(case["leafHash"] or "")
        try:
            check_inclusion(index=case["leafIdx"], size=case["treeSize"], leaf=leaf, proof=proof, root=root)
        except Refuted:
            assert case["wantErr"], file
        else:
            assert not case["wantErr"], file


def test_frontier_has_the_root_of_the_definition_at_every_size() -> None:
    leaves, frontier = [leaf_hash(bytes([n])) for n in range(70)], Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size, leaf in enumerate(leaves, 1):
        frontier.append(leaf)
        assert frontier.root() == root_of(leaves[:size])


def test_every_proof_of_the_definition_holds_and_no_changed_one() -> None:
    dice = random.Random(1)
    for size in (1, 2, 3, 7, 8, 9, 33):
        leaves = [leaf_hash(bytes([n])) for n in range(size)]
        root = root_of(leaves)
        for index in range(size):
            proof = path_of(index, leaves)
            check_inclusion(index=index, size=size, leaf=leaves[index], proof=proof, root=root)
            for wrong in ([*proof, bytes(32)], proof[:-1], [bytes(32), *proof[1:]]):
                if wrong != proof:
                    with pytest.raises(Refuted):
                        check_inclusion(index=index, size=size, leaf=leaves[index], proof=wrong, root=root)
            other = dice.randrange(size)
            if other != index:
                with pytest.raises(Refuted):
                    check_inclusion(index=other, size=size, leaf=leaves[index], proof=proof, root=root)


def test_interop_log_gives_its_tiles_roots_and_proofs(trust: Path) -> None:
    folder = trust / "counterfoil-interop"
    proofs, files = json.loads((folder / "proofs.json").read_text()), Files(str(folder))
    policy = Policy.parse(f"log {proofs['vkey']}\nquorum none\n".encode())
    roots = {head.size: head.root for name in ("checkpoint", "checkpoint.300") for head in [policy.head((folder / name).read_bytes())]}
    frontier, leaves = Frontier(), list[bytes]()
    for number, (_, entries) in enumerate(bundles(files, 700)):
        hashes = [leaf_hash(entry) for entry in entries]
        assert tile(files, "0", number, len(hashes))[1] == b"".join(hashes)
        for leaf in hashes:
            leaves.append(leaf)
            frontier.append(leaf)
            assert roots.get(frontier.size, frontier.root()) == frontier.root()
    assert frontier.size == 700
    for case in proofs["incl"]:
        proof = [base64.b64decode(each) for each in case["proof"]]
        check_inclusion(index=case["index"], size=700, leaf=leaves[case["index"]], proof=proof, root=roots[700])
        assert base64.b64decode(case["leaf"]) == leaves[case["index"]]


def test_tessera_log_gives_its_tiles_and_every_root(trust: Path) -> None:
    folder = trust / "tessera"
    policy = Policy.parse(f"log {(folder / 'vkey.txt').read_text().strip()}\nquorum none\n".encode())
    files, frontier = Files(str(folder / "log")), Frontier()
    heads = {size: policy.head((folder / f"log/checkpoint.{size}").read_bytes()) for size in range(16)}
    assert heads[0].root == frontier.root()
    ((_, entries),) = bundles(files, 15)
    for size, entry in enumerate(entries, 1):
        frontier.append(leaf_hash(entry))
        assert (heads[size].size, heads[size].root) == (size, frontier.root())
        assert tile(files, "0", 0, size)[1] == b"".join(leaf_hash(each) for each in entries[:size])


def test_tile_paths_are_those_of_c2sp(trust: Path, tmp_path: Path) -> None:
    (case,) = json.loads((trust / "c2sp/examples.json").read_text())["tile_index_paths"]
    path = tmp_path / "tile/2" / case["path"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 8192)
    assert tile(Files(str(tmp_path)), "2", case["index"], 256)[0] == f"tile/2/{case['path']}"
