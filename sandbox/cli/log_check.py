"""Hash the exchange's whole log again, and hold it against what was verified before.

1. the checkpoint is signed by the exchange's log key;
2. its root is the root over all leaves, fetched and hashed here;
3. the checkpoint that was verified here last stands in the same history: the log only grew.

What this does not show: that others are shown the same log (see `sandbox.receipt`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from billing import merkle, notes
from billing.notes import Checkpoint
from records.errors import EvidenceError
from records.keys import VerifyingKey
from sandbox.cli.folder import Member
from sandbox.keystore import read_private, write_private

LAST_VERIFIED = "log-checkpoint.note"
LEAVES_AT_ONCE = 500


class Frontier:
    """The complete subtrees of a growing Merkle tree (RFC 9162, 2.1): O(log n) hashes give its root."""

    def __init__(self) -> None:
        """Begin with the empty tree."""
        self.size = 0
        self._nodes: dict[tuple[int, int], bytes] = {}

    def append(self, leaf: bytes) -> None:
        """Add a leaf."""
        for level, index, node in merkle.completed(self.size, merkle.leaf_hash(leaf), self._at):
            self._nodes[level, index] = node
            # What is under a complete subtree is not asked for again.
            self._nodes.pop((level - 1, 2 * index), None)
            self._nodes.pop((level - 1, 2 * index + 1), None)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        return merkle.root(self.size, self._at)

    def _at(self, level: int, index: int) -> bytes:
        return self._nodes[level, index]


def verify(own: Member, show: Callable[[int, int], None]) -> tuple[Checkpoint, Checkpoint | None]:
    """Verify the log; return its checkpoint and the one verified before, which the new one replaces.

    `show(done, size)` hears of progress in leaves.

    Raises:
        SignatureInvalid: the checkpoint is not signed by the exchange's log key.
        EvidenceError: leaves, root and earlier checkpoint do not go together.
    """
    before = _last_verified(own)
    note = own.run(own.client.checkpoint(own.caller)).encode()
    now = _opened(own, note)
    if before is not None and before.size > now.size:
        raise EvidenceError(f"the log is shorter than the {before.size} leaves that were verified before")
    tree = Frontier()
    _check_root(tree, before)
    while tree.size < now.size:
        count = min(LEAVES_AT_ONCE, now.size - tree.size)
        leaves = own.run(own.client.leaves(own.caller, tree.size, count))
        if not 1 <= len(leaves) <= count:
            raise EvidenceError("the exchange does not show the leaves of its own checkpoint")
        for leaf in leaves:
            tree.append(leaf)
            _check_root(tree, before)
        show(tree.size, now.size)
    _check_root(tree, now)
    write_private(own.folder / LAST_VERIFIED, note)
    return now, before


def _check_root(tree: Frontier, checkpoint: Checkpoint | None) -> None:
    if checkpoint is not None and checkpoint.size == tree.size and checkpoint.root != tree.root():
        raise EvidenceError(f"the leaves do not lead to the checkpoint of size {tree.size}")


def _last_verified(own: Member) -> Checkpoint | None:
    path: Path = own.folder / LAST_VERIFIED
    return _opened(own, read_private(path)) if path.exists() else None


def _opened(own: Member, note: bytes) -> Checkpoint:
    record = own.exchange.document
    if record.log_key is None:
        raise EvidenceError("the exchange's record names no log key")
    return notes.open_checkpoint(note, record.environment, VerifyingKey.from_json(record.log_key))
