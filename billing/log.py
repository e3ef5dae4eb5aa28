"""The append-only log: leaves, the hashes of their complete subtrees, and its checkpoints.

Every function takes an open connection within a transaction and neither begins nor commits. Appending
is serialised by who writes (SQLite's BEGIN IMMEDIATE, the fence of the exchange); two appends at once
meet at the primary key, and the second fails as a whole.

The table of checkpoints also serves a node that follows the log of the exchange.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from billing import merkle
from billing.notes import Checkpoint
from billing.tables import log_checkpoint, log_leaf, log_node
from records.errors import EvidenceError, LimitExceeded, UnknownObject

MAX_LEAF_BYTES = 65_535
"""What an entry of a C2SP tile can hold."""

ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a log that is right holds."""

    size: int
    root: bytes
    checkpoints: int


def append(conn: Connection, leaf: bytes) -> int:
    """Write `leaf` at the end and return its index, from 0.

    Raises:
        LimitExceeded: the leaf is larger than 65,535 bytes.
    """
    if len(leaf) > MAX_LEAF_BYTES:
        raise LimitExceeded("a leaf of the log is at most 65,535 bytes; log a digest instead")
    index = size(conn)
    nodes = merkle.completed(index, merkle.leaf_hash(leaf), _stored_nodes(conn))
    conn.execute(insert(log_leaf).values(leaf_index=index, leaf=leaf))
    conn.execute(
        insert(log_node),
        [{"level": level, "node_index": at, "hash": node} for level, at, node in nodes],
    )
    return index


def size(conn: Connection) -> int:
    """Return the number of leaves."""
    last = conn.execute(select(func.max(log_leaf.c.leaf_index))).scalar()
    return 0 if last is None else int(last) + 1


def leaves(conn: Connection, begin: int, end: int) -> Iterator[bytes]:
    """Yield the leaves from index `begin` up to, without, `end`."""
    query = (
        select(log_leaf.c.leaf)
        .where(log_leaf.c.leaf_index >= begin, log_leaf.c.leaf_index < end)
        .order_by(log_leaf.c.leaf_index)
    )
    return iter(conn.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}).scalars())


def root(conn: Connection, tree_size: int) -> bytes:
    """Return the root over the first `tree_size` leaves.

    Raises:
        UnknownObject: the log is shorter.
    """
    return merkle.root(_require_size(conn, tree_size), _stored_nodes(conn))


def inclusion(conn: Connection, index: int, tree_size: int) -> list[bytes]:
    """Return the proof that the leaf at `index` is in the tree of `tree_size`.

    Raises:
        UnknownObject: no such leaf, or the log is shorter.
    """
    return merkle.inclusion_proof(index, _require_size(conn, tree_size), _stored_nodes(conn))


def consistency(conn: Connection, old_size: int, new_size: int) -> list[bytes]:
    """Return the proof that the tree of `new_size` begins with the one of `old_size`.

    Raises:
        UnknownObject: the old size is above the new one, or the log is shorter.
    """
    return merkle.consistency_proof(old_size, _require_size(conn, new_size), _stored_nodes(conn))


def record_checkpoint(conn: Connection, checkpoint: Checkpoint) -> None:
    """Write down (origin, size, root), once and for ever; do so before it is signed (R6).

    Raises:
        EvidenceError: another root is recorded for this size, that is, the log forked.
    """
    columns = log_checkpoint.c
    recorded = conn.execute(
        select(columns.root).where(columns.origin == checkpoint.origin, columns.size == checkpoint.size)
    ).scalar()
    if recorded is None:
        row = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root}
        conn.execute(insert(log_checkpoint).values(row))
    elif recorded != checkpoint.root:
        raise EvidenceError(
            f"the log `{checkpoint.origin}` has two roots for the size {checkpoint.size}; keep both notes"
        )


def latest(conn: Connection, origin: str) -> Checkpoint | None:
    """Return the recorded checkpoint of the largest size, if there is one."""
    columns = log_checkpoint.c
    row = conn.execute(
        select(columns.size, columns.root)
        .where(columns.origin == origin)
        .order_by(columns.size.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Checkpoint(origin, row.size, row.root)


def follow(conn: Connection, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
    """Record a checkpoint of another's log that stands in one history with the latest recorded one.

    `proof` leads from the smaller of the two sizes to the larger: tokens may arrive out of order. The
    first checkpoint is taken on trust. The caller has verified the signature (`notes.open_checkpoint`).

    Raises:
        EvidenceError: the proof does not hold, or the size is recorded with another root (R6).
    """
    known = latest(conn, checkpoint.origin)
    if known is not None:
        old, new = sorted((known, checkpoint), key=lambda item: item.size)
        merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)
    record_checkpoint(conn, checkpoint)


def check(conn: Connection, origin: str) -> LogReport:
    """Hash the whole log again and compare each stored node and each checkpoint of `origin`.

    Raises:
        EvidenceError: a leaf, a node or a checkpoint does not agree.
    """
    log_size = size(conn)
    _check_counts(conn, log_size)
    hashes = map(merkle.leaf_hash, leaves(conn, 0, log_size))
    _check_level(0, hashes, _level(conn, 0))
    for level in range(1, log_size.bit_length()):
        below = _level(conn, level - 1)
        # A pair that lacks its right half has no parent yet: `zip` leaves it out.
        _check_level(level, map(merkle.node_hash, below, below), _level(conn, level))
    columns = log_checkpoint.c
    recorded = conn.execute(select(columns.size, columns.root).where(columns.origin == origin)).all()
    for checkpoint_size, checkpoint_root in recorded:
        if checkpoint_size > log_size or root(conn, checkpoint_size) != checkpoint_root:
            raise EvidenceError(f"the log does not lead to its checkpoint of size {checkpoint_size}")
    return LogReport(log_size, root(conn, log_size), len(recorded))


def _check_counts(conn: Connection, log_size: int) -> None:
    """Demand that no leaf and no complete subtree is missing, and none is there too many."""
    stored_leaves = conn.execute(select(func.count()).select_from(log_leaf)).scalar_one()
    per_level = select(log_node.c.level, func.count(), func.max(log_node.c.node_index)).group_by(
        log_node.c.level
    )
    stored = {level: (count, last + 1) for level, count, last in conn.execute(per_level)}
    expected = {level: (log_size >> level, log_size >> level) for level in range(log_size.bit_length())}
    if stored_leaves != log_size or stored != expected:
        raise EvidenceError("leaves or nodes of the log are missing, or too many")


def _check_level(level: int, computed: Iterator[bytes], stored: Iterator[bytes]) -> None:
    for index, (expected, found) in enumerate(zip(computed, stored, strict=True)):
        if expected != found:
            raise EvidenceError(
                f"the log's node {index} on level {level} is not the hash of what is under it"
            )


def _level(conn: Connection, level: int) -> Iterator[bytes]:
    query = select(log_node.c.hash).where(log_node.c.level == level).order_by(log_node.c.node_index)
    return iter(conn.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}).scalars())


def _stored_nodes(conn: Connection) -> merkle.NodeAt:
    def node_at(level: int, index: int) -> bytes:
        query = select(log_node.c.hash).where(log_node.c.level == level, log_node.c.node_index == index)
        return bytes(conn.execute(query).scalar_one())

    return node_at


def _require_size(conn: Connection, tree_size: int) -> int:
    if not 0 <= tree_size <= size(conn):
        raise UnknownObject("the log has no tree of this size yet")
    return tree_size
