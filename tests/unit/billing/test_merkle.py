"""Proofs of all sizes up to 64 verify, nothing else does, and their cost is logarithmic."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import merkle
from records.errors import EvidenceError, UnknownObject
from tests.unit.billing.trees import Tree, defined_root

SIZES = 64
LEAVES = [f"leaf {number}".encode() for number in range(SIZES)]
TREE = Tree(LEAVES)
ROOTS = [defined_root(LEAVES[:size]) for size in range(SIZES + 1)]

sizes = st.integers(1, SIZES)


def test_the_root_of_every_size_is_the_one_that_the_definition_gives() -> None:
    assert [merkle.root(size, TREE.node_at) for size in range(SIZES + 1)] == ROOTS


def test_every_inclusion_proof_verifies() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, TREE.node_at)
            assert len(proof) <= (size - 1).bit_length()
            merkle.verify_inclusion(merkle.leaf_hash(LEAVES[index]), index, size, proof, ROOTS[size])


def test_every_consistency_proof_verifies() -> None:
    for old, new in itertools.combinations_with_replacement(range(SIZES + 1), 2):
        proof = merkle.consistency_proof(old, new, TREE.node_at)
        assert len(proof) <= new.bit_length() + 1
        merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


Tamper = Callable[[list[bytes]], list[bytes]]
TAMPERS: dict[str, Tamper] = {
    "flip": lambda proof: [*proof[:-1], bytes([proof[-1][0] ^ 1]) + proof[-1][1:]],
    "drop first": lambda proof: proof[1:],
    "drop last": lambda proof: proof[:-1],
    "append": lambda proof: [*proof, merkle.EMPTY_ROOT],
    "prepend": lambda proof: [merkle.EMPTY_ROOT, *proof],
    "short hash": lambda proof: [proof[0][:31], *proof[1:]],
    "empty": lambda _: [],
}
tampers = st.sampled_from(sorted(TAMPERS))


@given(sizes, st.data(), tampers)
def test_a_tampered_inclusion_proof_is_refused(size: int, data: st.DataObject, tamper: str) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, TREE.node_at)
    leaf = merkle.leaf_hash(LEAVES[index])
    merkle.verify_inclusion(leaf, index, size, proof, ROOTS[size])
    if proof:
        with pytest.raises(EvidenceError):
            merkle.verify_inclusion(leaf, index, size, TAMPERS[tamper](proof), ROOTS[size])


@given(sizes, st.data())
def test_an_inclusion_proof_shows_one_leaf_at_one_place_under_one_root(
    size: int, data: st.DataObject
) -> None:
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(-1, size))
    proof, leaf = merkle.inclusion_proof(index, size, TREE.node_at), merkle.leaf_hash(LEAVES[index])
    with pytest.raises(EvidenceError):
        merkle.verify_inclusion(merkle.leaf_hash(b"another leaf"), index, size, proof, ROOTS[size])
    with pytest.raises(EvidenceError):
        merkle.verify_inclusion(leaf, index, size, proof, ROOTS[size - 1])
    if other != index:
        with pytest.raises(EvidenceError):
            merkle.verify_inclusion(leaf, other, size, proof, ROOTS[size])


@given(sizes, sizes, tampers)
def test_a_tampered_consistency_proof_is_refused(one: int, other: int, tamper: str) -> None:
    old, new = sorted((one, other))
    proof = merkle.consistency_proof(old, new, TREE.node_at)
    merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)
    if proof:
        with pytest.raises(EvidenceError):
            merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], TAMPERS[tamper](proof))


@given(sizes, sizes, st.integers(0, SIZES - 1))
def test_a_log_that_was_rewritten_is_not_consistent(one: int, other: int, rewritten: int) -> None:
    old, new = sorted((one, other))
    changed = Tree([b"rewritten" if number == rewritten else leaf for number, leaf in enumerate(LEAVES)])
    proof = merkle.consistency_proof(old, new, changed.node_at)
    new_root = merkle.root(new, changed.node_at)
    if rewritten < old:
        with pytest.raises(EvidenceError):
            merkle.verify_consistency(old, new, ROOTS[old], new_root, proof)
    else:
        merkle.verify_consistency(old, new, ROOTS[old], new_root, proof)


def test_a_proof_is_as_deep_as_its_tree() -> None:
    """The path would lead to the root, were the size not looked at."""
    for claimed, true in (((0, 4), (0, 2)), ((1, 2), (3, 4))):
        leaf, proof = merkle.leaf_hash(LEAVES[true[0]]), merkle.inclusion_proof(*true, TREE.node_at)
        merkle.verify_inclusion(leaf, *true, proof, ROOTS[true[1]])
        with pytest.raises(EvidenceError):
            merkle.verify_inclusion(leaf, *claimed, proof, ROOTS[true[1]])
    proof = merkle.consistency_proof(2, 4, TREE.node_at)
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(2, 8, ROOTS[2], ROOTS[4], proof)
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(2, 4, ROOTS[2], ROOTS[8], merkle.consistency_proof(2, 8, TREE.node_at))


def test_a_proof_consists_of_hashes() -> None:
    with pytest.raises(EvidenceError, match="32 bytes"):
        merkle.verify_inclusion(merkle.leaf_hash(LEAVES[0]), 0, 2, [b"short"], ROOTS[2])
    with pytest.raises(EvidenceError, match="32 bytes"):
        merkle.verify_consistency(1, 2, ROOTS[1], ROOTS[2], [b"short"])


def test_the_empty_tree_is_consistent_with_all_and_no_other_root_is() -> None:
    merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, ROOTS[5], [])
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(0, 5, ROOTS[1], ROOTS[5], [])
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, ROOTS[5], [])
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(5, 5, ROOTS[5], ROOTS[4], [])
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(5, 4, ROOTS[5], ROOTS[4], [])


def test_a_node_does_not_pass_for_a_leaf() -> None:
    """The control drops the prefixes: the two children of a root are then a leaf with the same root."""

    def plain(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    root, forged_leaf = plain(plain(b"a") + plain(b"b")), plain(b"a") + plain(b"b")
    assert plain(forged_leaf) == root
    children = merkle.leaf_hash(LEAVES[0]) + merkle.leaf_hash(LEAVES[1])
    with pytest.raises(EvidenceError):
        merkle.verify_inclusion(merkle.leaf_hash(children), 0, 1, [], ROOTS[2])


def test_what_the_tree_does_not_hold_has_no_proof() -> None:
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(UnknownObject):
            merkle.inclusion_proof(index, size, TREE.node_at)
    with pytest.raises(UnknownObject):
        merkle.consistency_proof(6, 5, TREE.node_at)


def test_a_proof_looks_up_a_logarithmic_number_of_nodes() -> None:
    looked_up: list[tuple[int, int]] = []

    def node_at(level: int, index: int) -> bytes:
        looked_up.append((level, index))
        return bytes(32)

    size = 10_000_019
    merkle.inclusion_proof(1_234_567, size, node_at)
    merkle.consistency_proof(1_234_567, size, node_at)
    merkle.root(size, node_at)
    assert len(looked_up) <= 6 * size.bit_length()
