"""Sealed shares on their way from nodes to the buyer: bytes the exchange cannot read, resumable both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, func, insert, select

from records.errors import EvidenceError, LimitExceeded, StateConflict
from records.job import SealedShare
from sandbox.exchange.tables import sealed_chunk

CHUNK_BYTES = 1 << 20
MAX_BLOB_BYTES = 4 << 30


def size(connection: Connection, job_id: str, attempt: int, node: str, index: int) -> int:
    """Return how many bytes of a sealed share are here."""
    total = connection.execute(
        select(func.sum(func.length(sealed_chunk.c.data))).where(*_is(job_id, attempt, node, index))
    ).scalar_one()
    return int(total or 0)


def append(
    connection: Connection, job_id: str, attempt: int, node: str, index: int, offset: int, data: bytes
) -> int:
    """Add bytes at `offset`, which must be where the share ends; return its new size.

    Raises:
        StateConflict: `offset` is not the present size: ask for it and go on from there.
        LimitExceeded: the share would be too large.
    """
    present = size(connection, job_id, attempt, node, index)
    if offset != present:
        raise StateConflict(f"the share ends at {present}: go on from there")
    if not data:
        return present
    if present + len(data) > MAX_BLOB_BYTES or len(data) > CHUNK_BYTES:
        raise LimitExceeded("a chunk is at most 1 MiB, a sealed share at most 4 GiB")
    connection.execute(
        insert(sealed_chunk).values(
            job_id=job_id, attempt=attempt, node=node, share_index=index, chunk_offset=offset, data=data
        )
    )
    return present + len(data)


def read(
    connection: Connection, job_id: str, attempt: int, node: str, index: int, offset: int
) -> Iterator[bytes]:
    """Yield the bytes of a share from `offset` on, a stored chunk at a time."""
    rows = connection.execute(
        select(sealed_chunk.c.chunk_offset, sealed_chunk.c.data)
        .where(*_is(job_id, attempt, node, index))
        .where(sealed_chunk.c.chunk_offset + func.length(sealed_chunk.c.data) > offset)
        .order_by(sealed_chunk.c.chunk_offset)
    )
    for row in rows:
        yield row.data[max(0, offset - row.chunk_offset) :]


def check(connection: Connection, job_id: str, attempt: int, node: str, share: SealedShare) -> None:
    """Return if the stored bytes are those the node signed for.

    Raises:
        EvidenceError: another length or digest: a substituted share.
    """
    state = hashlib.sha256()
    length = 0
    for chunk in read(connection, job_id, attempt, node, share.index, 0):
        state.update(chunk)
        length += len(chunk)
    if length != share.size or f"sha256:{state.hexdigest()}" != share.ciphertext_digest:
        raise EvidenceError(f"the sealed share {share.index} of `{node}` is not what the node signed")


def _is(job_id: str, attempt: int, node: str, index: int) -> tuple[ColumnElement[bool], ...]:
    columns = sealed_chunk.c
    return (
        columns.job_id == job_id,
        columns.attempt == attempt,
        columns.node == node,
        columns.share_index == index,
    )
