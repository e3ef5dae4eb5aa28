"""The log proves what it holds, and neither forks nor forgets without being found out."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, StaticPool, create_engine, text

from billing import log, merkle, notes
from billing.notes import Checkpoint
from billing.tables import metadata
from records.errors import EvidenceError, LimitExceeded, UnknownObject
from records.keys import ED25519, Signer, VerifyingKey
from tests.unit.billing.trees import Tree, defined_root

ORIGIN = "exchange.example/log"
LEAVES = [f"leaf {number}".encode() for number in range(13)]


def fill(conn: Connection, leaves: list[bytes]) -> None:
    for leaf in leaves:
        log.append(conn, leaf)


def head(conn: Connection, size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, log.root(conn, size))


@given(st.lists(st.binary(max_size=40), max_size=40), st.data())
def test_every_proof_of_the_stored_tree_verifies(leaves: list[bytes], data: st.DataObject) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.begin() as conn:
        assert [log.append(conn, leaf) for leaf in leaves] == list(range(len(leaves)))
        new = data.draw(st.integers(0, len(leaves)))
        old = data.draw(st.integers(0, new))
        new_root = log.root(conn, new)
        assert new_root == defined_root(leaves[:new])
        merkle.verify_consistency(old, new, log.root(conn, old), new_root, log.consistency(conn, old, new))
        for index in range(new):
            proof = log.inclusion(conn, index, new)
            merkle.verify_inclusion(merkle.leaf_hash(leaves[index]), index, new, proof, new_root)
        assert log.check(conn, ORIGIN).size == len(leaves)
    engine.dispose()


def test_an_append_stores_one_leaf_and_the_subtrees_that_it_completes(conn: Connection) -> None:
    fill(conn, LEAVES)
    stored = {
        (level, index): node
        for level, index, node in conn.execute(text("SELECT level, node_index, hash FROM log_node"))
    }
    assert stored == Tree(LEAVES).nodes
    assert list(log.leaves(conn, 3, 6)) == LEAVES[3:6]


def test_a_leaf_is_at_most_what_a_tile_can_hold(conn: Connection) -> None:
    assert log.append(conn, bytes(65_535)) == 0
    with pytest.raises(LimitExceeded):
        log.append(conn, bytes(65_536))
    assert log.size(conn) == 1


def test_what_the_log_does_not_hold_has_no_root_and_no_proof(conn: Connection) -> None:
    fill(conn, LEAVES)
    with pytest.raises(UnknownObject):
        log.root(conn, 14)
    with pytest.raises(UnknownObject):
        log.inclusion(conn, 3, 14)
    with pytest.raises(UnknownObject):
        log.inclusion(conn, 13, 13)
    with pytest.raises(UnknownObject):
        log.consistency(conn, 3, 14)
    with pytest.raises(UnknownObject):
        log.consistency(conn, 4, 3)


def test_a_second_root_for_one_size_is_refused(conn: Connection) -> None:
    """The control signs both at once: each note verifies alone, only the recorded row tells them apart."""
    private = Ed25519PrivateKey.generate()
    signer = Signer(VerifyingKey(ED25519, private.public_key().public_bytes_raw()), private.sign)
    honest, forked = Checkpoint(ORIGIN, 5, bytes(32)), Checkpoint(ORIGIN, 5, b"\1" * 32)
    for checkpoint in (honest, forked):
        note = notes.sign_checkpoint(checkpoint, signer).to_bytes()
        assert notes.open_checkpoint(note, ORIGIN, signer.key) == checkpoint
    log.record_checkpoint(conn, honest)
    log.record_checkpoint(conn, honest)
    with pytest.raises(EvidenceError, match="two roots"):
        log.record_checkpoint(conn, forked)
    log.record_checkpoint(conn, Checkpoint("exchange.example/other", 5, b"\1" * 32))


def test_the_latest_checkpoint_is_the_one_of_the_largest_size(conn: Connection) -> None:
    fill(conn, LEAVES)
    assert log.latest(conn, ORIGIN) is None
    for size in (4, 9, 7):
        log.record_checkpoint(conn, head(conn, size))
    assert log.latest(conn, ORIGIN) == head(conn, 9)


def test_a_follower_takes_what_extends_its_checkpoint_in_any_order(conn: Connection) -> None:
    tree = Tree(LEAVES)

    def checkpoint(size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, merkle.root(size, tree.node_at))

    log.follow(conn, checkpoint(4), [])
    log.follow(conn, checkpoint(9), merkle.consistency_proof(4, 9, tree.node_at))
    log.follow(conn, checkpoint(7), merkle.consistency_proof(7, 9, tree.node_at))
    log.follow(conn, checkpoint(9), [])
    assert log.latest(conn, ORIGIN) == checkpoint(9)


@pytest.mark.parametrize("size", [3, 7, 11])
def test_a_follower_refuses_a_fork_that_is_consistent_in_itself(conn: Connection, size: int) -> None:
    """The control is a follower with no memory, which takes the fork's checkpoint on trust."""
    honest, fork = Tree(LEAVES), Tree([b"rewritten", *LEAVES[1:]])
    forked = Checkpoint(ORIGIN, size, merkle.root(size, fork.node_at))
    proof = merkle.consistency_proof(min(size, 7), max(size, 7), fork.node_at)
    with conn.begin_nested() as forgetful:
        log.follow(conn, forked, proof)
        forgetful.rollback()
    log.follow(conn, Checkpoint(ORIGIN, 7, merkle.root(7, honest.node_at)), [])
    with pytest.raises(EvidenceError):
        log.follow(conn, forked, proof)


def test_a_log_that_is_right_says_so(conn: Connection) -> None:
    fill(conn, LEAVES)
    for size in (0, 5, 13):
        log.record_checkpoint(conn, head(conn, size))
    assert log.check(conn, ORIGIN) == log.LogReport(size=13, root=defined_root(LEAVES), checkpoints=3)


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE log_leaf SET leaf = x'00' WHERE leaf_index = 3",
        "UPDATE log_node SET hash = zeroblob(32) WHERE level = 0 AND node_index = 12",
        "UPDATE log_node SET hash = zeroblob(32) WHERE level = 2 AND node_index = 1",
        "UPDATE log_node SET hash = zeroblob(32) WHERE level = 3 AND node_index = 0",
        "UPDATE log_checkpoint SET root = zeroblob(32) WHERE size = 5",
        "UPDATE log_checkpoint SET size = 14 WHERE size = 13",
        "DELETE FROM log_leaf WHERE leaf_index = 12",
        "DELETE FROM log_leaf WHERE leaf_index = 4",
        "DELETE FROM log_node WHERE level = 1 AND node_index = 2",
        "DELETE FROM log_node WHERE level = 3",
        "INSERT INTO log_node (level, node_index, hash) VALUES (4, 0, zeroblob(32))",
        "UPDATE log_node SET node_index = 9 WHERE level = 1 AND node_index = 5",
    ],
)
def test_a_rewritten_log_is_found(conn: Connection, forgery: str) -> None:
    fill(conn, LEAVES)
    for size in (5, 13):
        log.record_checkpoint(conn, head(conn, size))
    conn.execute(text(forgery))
    with pytest.raises(EvidenceError):
        log.check(conn, ORIGIN)


def test_a_log_rebuilt_from_other_leaves_does_not_lead_to_its_checkpoints(conn: Connection) -> None:
    fill(conn, LEAVES)
    log.record_checkpoint(conn, head(conn, 5))
    conn.execute(text("DELETE FROM log_leaf"))
    conn.execute(text("DELETE FROM log_node"))
    fill(conn, [b"rewritten", *LEAVES[1:]])
    with pytest.raises(EvidenceError, match="checkpoint of size 5"):
        log.check(conn, ORIGIN)
