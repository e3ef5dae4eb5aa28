"""Sealed shares at the exchange: appended where they end, read from anywhere, checked whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from records import canonical
from records.errors import EvidenceError, LimitExceeded, StateConflict
from records.job import SealedShare
from sandbox.exchange import blobs, jobs
from sandbox.store import Store
from tests.unit.sandbox.registered import ENVIRONMENT, NOW, identity, job

DATA = bytes(range(256)) * 5


def job_id(connection: Connection) -> str:
    key = identity("acme", "buyer").record.document.verifying_key
    return jobs.submit(connection, job().to_bytes(), key, ENVIRONMENT, NOW)


def share(data: bytes) -> SealedShare:
    digest = canonical.digest_bytes(data)
    return SealedShare(index=0, size=len(data), ciphertext_digest=digest, share_commitment="c")


def upload(connection: Connection, of: str, *chunks: bytes, node: str = "alice") -> None:
    for chunk in chunks:
        blobs.append(connection, of, 1, node, 0, blobs.size(connection, of, 1, node, 0), chunk)


def read(connection: Connection, of: str, offset: int, node: str = "alice") -> bytes:
    return b"".join(blobs.read(connection, of, 1, node, 0, offset))


@settings(deadline=None, max_examples=8)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(0, 300))
def test_what_came_in_chunks_is_read_from_anywhere(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], offset: int
) -> None:
    store = Store.in_folder(tmp_path_factory.mktemp("blobs"))
    with store.begin() as connection:
        of = job_id(connection)
        upload(connection, of, *chunks)
        assert read(connection, of, offset) == b"".join(chunks)[offset:]
    store.close()


def test_a_share_grows_at_its_end_only(connection: Connection) -> None:
    of = job_id(connection)
    upload(connection, of, b"abc")
    for offset in (0, 2, 4):
        with pytest.raises(StateConflict, match="ends at 3"):
            blobs.append(connection, of, 1, "alice", 0, offset, b"x")


def test_shares_of_other_nodes_attempts_and_places_are_apart(connection: Connection) -> None:
    of = job_id(connection)
    upload(connection, of, b"abc")
    upload(connection, of, b"xyz", node="bob")
    assert read(connection, of, 0) == b"abc"
    assert blobs.size(connection, of, 2, "alice", 0) == 0
    assert blobs.size(connection, of, 1, "alice", 1) == 0


def test_sizes_are_bounded(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    of = job_id(connection)
    with pytest.raises(LimitExceeded):
        upload(connection, of, bytes(blobs.CHUNK_BYTES + 1))
    monkeypatch.setattr(blobs, "MAX_BLOB_BYTES", 4)
    upload(connection, of, b"1234")
    with pytest.raises(LimitExceeded):
        upload(connection, of, b"5")


def test_an_empty_chunk_changes_nothing(connection: Connection) -> None:
    of = job_id(connection)
    upload(connection, of, b"ab", b"", b"cd")
    assert read(connection, of, 0) == b"abcd"


def test_the_bytes_are_those_that_the_node_signed_for(connection: Connection) -> None:
    of = job_id(connection)
    upload(connection, of, DATA[:700], DATA[700:])
    blobs.check(connection, of, 1, "alice", share(DATA))
    for other in (DATA[:-1], DATA + b"x", DATA[:-1] + b"x"):
        with pytest.raises(EvidenceError, match="`alice`"):
            blobs.check(connection, of, 1, "alice", share(other))
