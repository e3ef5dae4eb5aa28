"""The Merkle tree of RFC 9162 (section 2.1), as pure functions.

A leaf is hashed with the prefix 0x00 and a node with 0x01, so that no node passes for a leaf. Who
stores the tree hands in `NodeAt`, which returns the hash of the complete subtree over the leaves
[index · 2^level, (index + 1) · 2^level); a root or a proof then costs O(log n) such look-ups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from records.errors import EvidenceError, UnknownObject

NodeAt = Callable[[int, int], bytes]
"""(level, index) → hash of a complete subtree. Level 0 holds the hashes of the leaves."""

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ leaf)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def completed(index: int, leaf: bytes, node_at: NodeAt) -> Iterator[tuple[int, int, bytes]]:
    """Yield (level, index, hash) of each subtree that the leaf at `index`, of hash `leaf`, completes."""
    level, subtree = 0, leaf
    yield level, index, subtree
    while index & 1:
        subtree = node_hash(node_at(level, index - 1), subtree)
        level, index = level + 1, index >> 1
        yield level, index, subtree


def root(size: int, node_at: NodeAt) -> bytes:
    """Return the root over the first `size` leaves (section 2.1.1)."""
    return _subtree(0, size, node_at) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node_at: NodeAt) -> list[bytes]:
    """Return PATH(index, D[size]), from the leaf up (section 2.1.3.1).

    Raises:
        UnknownObject: no leaf `index` in a tree of `size`.
    """
    if not 0 <= index < size:
        raise UnknownObject("no such leaf in a tree of this size")
    proof: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _left_size(end - begin)
        if index < middle:
            proof.append(_subtree(middle, end, node_at))
            end = middle
        else:
            proof.append(_subtree(begin, middle, node_at))
            begin = middle
    return proof[::-1]


def consistency_proof(old_size: int, new_size: int, node_at: NodeAt) -> list[bytes]:
    """Return PROOF(old, D[new]) (section 2.1.4.1); empty for an empty or an equal old tree.

    Raises:
        UnknownObject: the old tree is larger than the new one.
    """
    if not 0 <= old_size <= new_size:
        raise UnknownObject("a consistency proof leads from a smaller tree to a larger one")
    proof: list[bytes] = []
    begin, end = 0, new_size
    while 0 < old_size < end:
        middle = begin + _left_size(end - begin)
        if old_size <= middle:
            proof.append(_subtree(middle, end, node_at))
            end = middle
        else:
            proof.append(_subtree(begin, middle, node_at))
            begin = middle
    if begin > 0:
        # The old tree's last subtree: where it is the whole old tree, its root is known already.
        proof.append(_subtree(begin, end, node_at))
    return proof[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> None:
    """Return if the leaf of hash `leaf` stands at `index` under `expected_root` (section 2.1.3.2).

    Raises:
        EvidenceError: the proof does not show it.
    """
    if not 0 <= index < size:
        raise EvidenceError("the inclusion proof names a leaf outside of the tree")
    _require_hashes(leaf, expected_root, *proof)
    computed = leaf
    for sibling, is_left in _climb(index, size - 1, proof):
        computed = node_hash(sibling, computed) if is_left else node_hash(computed, sibling)
    if computed != expected_root:
        raise EvidenceError("the inclusion proof does not lead to the root")


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the tree under `new_root` begins with the one under `old_root` (section 2.1.4.2).

    Raises:
        EvidenceError: the proof does not show it: the log was rewritten, or the proof is wrong.
    """
    if not 0 <= old_size <= new_size:
        raise EvidenceError("the consistency proof does not lead to a larger tree")
    _require_hashes(old_root, new_root, *proof)
    if old_size in (0, new_size):
        same_root = old_size != new_size or old_root == new_root
        if proof or not same_root or (old_size == 0 and old_root != EMPTY_ROOT):
            raise EvidenceError("the roots are not consistent")
        return
    trailing_zeros = (old_size & -old_size).bit_length() - 1
    if old_size == 1 << trailing_zeros:
        proof = (old_root, *proof)
    if not proof:
        raise EvidenceError("the consistency proof is too short")
    old_computed = new_computed = proof[0]
    # The first hash is the last complete subtree of the old tree; the levels below are in both trees.
    node, last = (old_size - 1) >> trailing_zeros, (new_size - 1) >> trailing_zeros
    for sibling, is_left in _climb(node, last, proof[1:]):
        if is_left:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
        else:
            new_computed = node_hash(new_computed, sibling)
    if old_computed != old_root or new_computed != new_root:
        raise EvidenceError("the consistency proof does not lead to both roots")


def _climb(node: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each sibling of a proof with whether it stands on the left, from `node` up to the root.

    `last` is the index of the rightmost node on the level of `node`: a node there without a right
    sibling rises until it has a left one.
    """
    for sibling in proof:
        if last == 0:
            raise EvidenceError("the proof is too long")
        is_left = bool(node & 1) or node == last
        yield sibling, is_left
        while is_left and not node & 1 and node:
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last:
        raise EvidenceError("the proof is too short")


def _left_size(size: int) -> int:
    """Return the largest power of two below `size` (≥ 2): how many leaves go left."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(begin: int, end: int, node_at: NodeAt) -> bytes:
    """Return MTH(D[begin:end]) of a range that RFC 9162 splits off: complete, or at the right edge."""
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node_at(level, begin >> level)
    middle = begin + _left_size(size)
    return node_hash(_subtree(begin, middle, node_at), _subtree(middle, end, node_at))


def _require_hashes(*hashes: bytes) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise EvidenceError("a proof consists of hashes of 32 bytes")
