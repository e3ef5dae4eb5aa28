"""A Merkle tree in memory, and the definition of RFC 9162 (section 2.1.1) written out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from billing import merkle


class Tree:
    """Stores the hash of every complete subtree, as the log does."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self.nodes: dict[tuple[int, int], bytes] = {}
        for index, leaf in enumerate(leaves):
            for level, at, node in merkle.completed(index, merkle.leaf_hash(leaf), self.node_at):
                self.nodes[level, at] = node

    def node_at(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """Return MTH(leaves), by recursion over all of them."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return hashlib.sha256(b"\1" + defined_root(leaves[:left]) + defined_root(leaves[left:])).digest()
