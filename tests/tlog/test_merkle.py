"""Trees and proofs: other people's vectors, the recursive definition, and every flipped bit."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import Malformed
from counterfoil.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, root_of, split, verify_consistency, verify_inclusion
from counterfoil.tlog.types import NotProven

SIZES = range(1, 71)
LEAVES = [leaf_hash(str(number).encode()) for number in range(3_000)]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 §2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*inclusion_path(leaves[:k], index), root_of(leaves[k:])]
    return [*inclusion_path(leaves[k:], index - k), root_of(leaves[:k])]


def consistency_path(leaves: Sequence[bytes], old: int, whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 §2.1.2, word for word."""
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*consistency_path(leaves[:k], old, whole), root_of(leaves[k:])]
    return [*consistency_path(leaves[k:], old - k, False), root_of(leaves[:k])]


def cases(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(str(path.relative_to(folder)), json.loads(path.read_text())) for path in sorted(folder.rglob("*.json"))]


def hashes(texts: Sequence[str] | None) -> list[bytes]:
    return [base64.b64decode(text) for text in texts or ()]


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data) ^ (1 << bit % (len(data) * 8))).to_bytes(len(data))


def test_hashes_are_those_of_transparency_dev(trust: Path) -> None:
    tests = json.loads((trust / "transparency-dev-merkle/hashes.json").read_text())["cases"]
    computed = {
        "empty tree": lambda case: EMPTY_ROOT,
        "leaf": lambda case: leaf_hash(case["data_utf8"].encode()),
        "node": lambda case: node_hash(case["left_utf8"].encode(), case["right_utf8"].encode()),
    }
    assert len(tests) == 4
    for case in tests:
        assert computed[case["what"]](case).hex() == case["want"], case


def test_inclusion_agrees_with_transparency_dev(trust: Path) -> None:
    tests = cases(trust / "transparency-dev-merkle/inclusion")
    assert len(tests) == 98
    for name, case in tests:
        arguments = dict(index=case["leafIdx"], size=case["treeSize"], proof=hashes(case["proof"]))
        holds = proves(verify_inclusion, **arguments, leaf_hash=base64.b64decode(case["leafHash"]), root=base64.b64decode(case["root"]))
        assert holds == (not case["wantErr"]), name


def test_consistency_agrees_with_transparency_dev(trust: Path) -> None:
    tests = cases(trust / "transparency-dev-merkle/consistency")
    assert len(tests) == 98
    for name, case in tests:
        arguments = dict(old_size=case["size1"], new_size=case["size2"], proof=hashes(case["proof"]))
        holds = proves(verify_consistency, **arguments, old_root=base64.b64decode(case["root1"]), new_root=base64.b64decode(case["root2"]))
        short = len(base64.b64decode(case["root1"])) != 32
        assert name == "additional/sizes-are-equal-one-and-proof-is-empty.json" or not short or case["wantErr"], name
        assert holds == (not case["wantErr"] and not short), name


def proves(verify: Any, **arguments: Any) -> bool:
    try:
        verify(**arguments)
    except NotProven:
        return False
    return True


def test_frontier_agrees_with_the_recursive_definition() -> None:
    frontier = Frontier()
    for size in range(300):
        assert frontier.size == size
        assert frontier.root() == root_of(LEAVES[:size])
        again = Frontier.decode(frontier.encode())
        again.append(LEAVES[size])
        frontier.append(LEAVES[size])
        assert (again.size, again.root()) == (frontier.size, frontier.root())


def test_a_copy_of_a_frontier_grows_on_its_own() -> None:
    frontier = Frontier(1, [LEAVES[0]])
    copy = frontier.copy()
    copy.append(LEAVES[1])
    assert frontier.root() == LEAVES[0]
    assert copy.root() == node_hash(LEAVES[0], LEAVES[1])


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(9), (1).to_bytes(8), (3).to_bytes(8) + bytes(32), (1).to_bytes(8) + bytes(33)])
def test_what_is_no_frontier_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Frontier.decode(data)


def test_every_inclusion_proof_of_small_trees_holds_and_no_other() -> None:
    for size in SIZES:
        root = root_of(LEAVES[:size])
        for index in range(size):
            proof = inclusion_path(LEAVES[:size], index)
            verify_inclusion(index=index, size=size, leaf_hash=LEAVES[index], proof=proof, root=root)
            wrong: list[dict[str, Any]] = [
                dict(leaf_hash=LEAVES[index + 1]),
                dict(root=flipped(root, index)),
                dict(index=index + 1),
                dict(index=index - 1),
                dict(proof=[*proof, root]),
                dict(proof=proof[:-1]) if proof else dict(index=size),
                dict(proof=[proof[0][:-1], *proof[1:]]) if proof else dict(leaf_hash=b""),
            ]
            for change in wrong:
                arguments = dict(index=index, size=size, leaf_hash=LEAVES[index], proof=proof, root=root) | change
                assert not proves(verify_inclusion, **arguments), (size, index, change)


def test_every_consistency_proof_of_small_trees_holds_and_no_other() -> None:
    for size in SIZES:
        new = root_of(LEAVES[:size])
        for old in range(1, size + 1):
            proof = consistency_path(LEAVES[:size], old)
            sound: dict[str, Any] = dict(old_size=old, new_size=size, proof=proof, old_root=root_of(LEAVES[:old]), new_root=new)
            verify_consistency(**sound)
            wrong: list[dict[str, Any]] = [
                dict(old_root=flipped(sound["old_root"], old)),
                dict(new_root=flipped(new, old)),
                dict(proof=[*proof, new]),
                dict(old_size=size + 1),
            ]
            if proof:
                wrong += [
                    dict(proof=proof[:-1]),
                    dict(proof=[]),
                    dict(proof=[b"", *proof[1:]]),
                    dict(old_root=new, new_root=sound["old_root"]),
                ]
            for change in wrong:
                assert not proves(verify_consistency, **(sound | change)), (old, size, change)


def test_the_empty_tree_is_the_beginning_of_every_tree_and_has_one_root() -> None:
    verify_consistency(old_size=0, new_size=5, proof=[], old_root=EMPTY_ROOT, new_root=LEAVES[0])
    verify_consistency(old_size=0, new_size=0, proof=[], old_root=EMPTY_ROOT, new_root=EMPTY_ROOT)
    assert not proves(verify_consistency, old_size=0, new_size=5, proof=[], old_root=LEAVES[1], new_root=LEAVES[0])
    assert not proves(verify_consistency, old_size=0, new_size=0, proof=[], old_root=LEAVES[1], new_root=LEAVES[1])
    assert not proves(verify_consistency, old_size=0, new_size=5, proof=[LEAVES[2]], old_root=EMPTY_ROOT, new_root=LEAVES[0])
    assert not proves(verify_consistency, old_size=-1, new_size=5, proof=[], old_root=EMPTY_ROOT, new_root=LEAVES[0])


@given(size=st.integers(1, 3_000), where=st.integers(0), bit=st.integers(0, 255), which=st.integers(0))
def test_one_flipped_bit_of_an_inclusion_proof_is_noticed(size: int, where: int, bit: int, which: int) -> None:
    index = where % size
    proof, root = inclusion_path(LEAVES[:size], index), root_of(LEAVES[:size])
    verify_inclusion(index=index, size=size, leaf_hash=LEAVES[index], proof=proof, root=root)
    parts = [LEAVES[index], root, *proof]
    parts[which % len(parts)] = flipped(parts[which % len(parts)], bit)
    assert not proves(verify_inclusion, index=index, size=size, leaf_hash=parts[0], root=parts[1], proof=parts[2:])


@given(size=st.integers(2, 3_000), where=st.integers(0), bit=st.integers(0, 255), which=st.integers(0))
def test_one_flipped_bit_of_a_consistency_proof_is_noticed(size: int, where: int, bit: int, which: int) -> None:
    old = 1 + where % (size - 1)
    proof, old_root, new_root = consistency_path(LEAVES[:size], old), root_of(LEAVES[:old]), root_of(LEAVES[:size])
    verify_consistency(old_size=old, new_size=size, proof=proof, old_root=old_root, new_root=new_root)
    parts = [old_root, new_root, *proof]
    parts[which % len(parts)] = flipped(parts[which % len(parts)], bit)
    assert not proves(verify_consistency, old_size=old, new_size=size, old_root=parts[0], new_root=parts[1], proof=parts[2:])


def test_other_sizes_do_not_hold_where_the_path_tells() -> None:
    """An inclusion proof binds the size only where another size has another path: the root signed with its size binds it always."""
    proof = inclusion_path(LEAVES[:8], 3)
    for size in (1, 2, 3, 4, 9, 16, 17, 2**63):
        assert not proves(verify_inclusion, index=3, size=size, leaf_hash=LEAVES[3], proof=proof, root=root_of(LEAVES[:8])), size
