"""The Merkle tree against the published reference tree of certificate-transparency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import pytest

from billing import merkle
from tests.unit.billing.trees import Tree


class Inclusion(TypedDict):
    index: int
    size: int
    proof: list[str]


class Consistency(TypedDict):
    old: int
    new: int
    proof: list[str]


class Vectors(TypedDict):
    source: str
    leaves: list[str]
    roots: list[str]
    inclusion: list[Inclusion]
    consistency: list[Consistency]


VECTORS: Vectors = json.loads(Path(__file__).with_name("merkle_rfc9162.json").read_text())
TREE = Tree([bytes.fromhex(leaf) for leaf in VECTORS["leaves"]])


@pytest.mark.parametrize("size", range(9))
def test_the_root_of_every_size(size: int) -> None:
    assert merkle.root(size, TREE.node_at).hex() == VECTORS["roots"][size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"])
def test_inclusion_proofs(vector: Inclusion) -> None:
    index, size = vector["index"], vector["size"]
    proof = [bytes.fromhex(item) for item in vector["proof"]]
    assert merkle.inclusion_proof(index, size, TREE.node_at) == proof
    leaf = merkle.leaf_hash(bytes.fromhex(VECTORS["leaves"][index]))
    merkle.verify_inclusion(leaf, index, size, proof, bytes.fromhex(VECTORS["roots"][size]))


@pytest.mark.parametrize("vector", VECTORS["consistency"])
def test_consistency_proofs(vector: Consistency) -> None:
    old, new = vector["old"], vector["new"]
    proof = [bytes.fromhex(item) for item in vector["proof"]]
    assert merkle.consistency_proof(old, new, TREE.node_at) == proof
    old_root, new_root = (bytes.fromhex(VECTORS["roots"][size]) for size in (old, new))
    merkle.verify_consistency(old, new, old_root, new_root, proof)
