"""The nodes' outcomes of one attempt agree with each other and with the quote, or there is evidence."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from records import clock
from records.errors import EvidenceError
from records.job import ChannelDigest, OpeningRecord, Quote, SealedResult, SealedShare, opening_ledger
from sandbox.outcome import agreed_outcome, shares_by_node
from tests.unit.sandbox.registered import ENVIRONMENT, NOW, job, quote

OPENINGS = (
    OpeningRecord(opening_id="released-size", receivers="parties", shape=(2,)),
    OpeningRecord(opening_id="result", receivers="buyer", shape=(4, 3)),
)
LEDGER = opening_ledger(OPENINGS)
SEATS = ("alice", "bob", "notary")


def accepted(**changes: Any) -> Quote:
    fields: dict[str, Any] = {
        "technique": "secret-sharing",
        "nodes": ("alice", "bob", "carol", "notary"),
        "compute_set": SEATS,
        "openings": OPENINGS,
    }
    return quote(job(), **fields | changes).document


def statement(node: str, *shares: tuple[int, str], **changes: Any) -> SealedResult:
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "acceptance_digest": "a",
        "attempt": 1,
        "node": node,
        "verdict": "sealed",
        "cells": 9,
        "release_key_digest": "k",
        "opening_ledger": LEDGER if shares else "",
        "shares": tuple(
            SealedShare(index=index, size=1, ciphertext_digest=node, share_commitment=commitment)
            for index, commitment in shares
        ),
        "transcript": transcript(node),
        "issued_at": clock.to_text(NOW),
    }
    return SealedResult(**fields | changes)


def transcript(node: str) -> tuple[ChannelDigest, ...]:
    """Return what an honest seat signs: frames from x to y have the digest `xy`."""
    said = []
    for peer in (seat for seat in SEATS if node in SEATS and seat != node):
        said.append(digest_of(peer, "sent", node + peer))
        said.append(digest_of(peer, "received", peer + node))
    return tuple(said)


def digest_of(peer: str, direction: Literal["sent", "received"], digest: str) -> ChannelDigest:
    return ChannelDigest(peer=peer, direction=direction, frames=3, size_bytes=24, digest=digest)


def agreeing() -> dict[str, SealedResult]:
    return {
        "alice": statement("alice", (0, "c0"), (1, "c1")),
        "bob": statement("bob", (1, "c1"), (2, "c2")),
        "carol": statement("carol"),
        "notary": statement("notary", (2, "c2"), (0, "c0")),
    }


@pytest.mark.parametrize("verdict", ["sealed", "withheld"])
@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("field", ["frames", "size_bytes", "digest", "peer"])
def test_seats_that_signed_different_frames_are_evidence(verdict: str, index: int, field: str) -> None:
    nodes = agreeing()
    if verdict == "withheld":
        nodes = {name: statement(name, verdict="withheld", cells=0) for name in nodes}
    said = list(nodes["bob"].transcript)
    changed = {"frames": 4, "size_bytes": 25, "digest": "other", "peer": "carol"}
    said[index] = said[index].model_copy(update={field: changed[field]})
    nodes["bob"] = nodes["bob"].model_copy(update={"transcript": tuple(said)})
    with pytest.raises(EvidenceError, match=r"frames|transcripts"):
        agreed_outcome(accepted(), nodes)


def test_a_seat_that_signed_no_transcript_is_evidence() -> None:
    nodes = agreeing()
    nodes["bob"] = nodes["bob"].model_copy(update={"transcript": ()})
    with pytest.raises(EvidenceError, match="transcripts"):
        agreed_outcome(accepted(), nodes)


def test_what_all_nodes_signed_is_the_outcome() -> None:
    outcome = agreed_outcome(accepted(), agreeing())
    assert (outcome.verdict, outcome.cells) == ("sealed", 9)


def test_all_nodes_may_agree_to_withhold() -> None:
    nodes = {name: statement(name, verdict="withheld", cells=0) for name in agreeing()}
    assert agreed_outcome(accepted(), nodes).verdict == "withheld"


def test_a_withheld_result_leaves_no_shares() -> None:
    nodes = {name: statement(name, verdict="withheld", cells=0) for name in agreeing()}
    nodes["alice"] = statement("alice", (0, "c0"), (1, "c1"), verdict="withheld", cells=0)
    with pytest.raises(EvidenceError, match="no shares"):
        agreed_outcome(accepted(), nodes)


@pytest.mark.parametrize("node", ["alice", "carol"])
@pytest.mark.parametrize(
    "changes", [{"cells": 8}, {"verdict": "withheld"}, {"attempt": 2}, {"acceptance_digest": "b"}]
)
def test_one_node_that_says_otherwise_is_evidence(node: str, changes: dict[str, Any]) -> None:
    nodes = agreeing()
    nodes[node] = nodes[node].model_copy(update=changes)
    with pytest.raises(EvidenceError, match="`alice`, `bob`, `carol`, `notary`"):
        agreed_outcome(accepted(), nodes)


def test_two_holders_of_a_share_commit_to_one() -> None:
    with pytest.raises(EvidenceError, match="share 1"):
        agreed_outcome(accepted(), agreeing() | {"alice": statement("alice", (0, "c0"), (1, "other"))})


@pytest.mark.parametrize("shares", [((0, "c0"),), ((0, "c0"), (2, "c2")), ()])
def test_a_seat_seals_exactly_its_shares(shares: tuple[tuple[int, str], ...]) -> None:
    with pytest.raises(EvidenceError, match="other shares"):
        agreed_outcome(accepted(), agreeing() | {"alice": statement("alice", *shares)})


def test_a_node_without_a_seat_seals_nothing() -> None:
    with pytest.raises(EvidenceError, match="other shares"):
        agreed_outcome(accepted(), agreeing() | {"carol": statement("carol", (0, "c0"))})


def test_every_seat_opened_what_was_accepted() -> None:
    nodes = {name: item.model_copy(update={"opening_ledger": "more"}) for name, item in agreeing().items()}
    with pytest.raises(EvidenceError, match="opened"):
        agreed_outcome(accepted(), nodes)


@pytest.mark.parametrize("missing", ["alice", "carol"])
def test_every_node_has_spoken(missing: str) -> None:
    nodes = {name: item for name, item in agreeing().items() if name != missing}
    with pytest.raises(EvidenceError, match="exactly the nodes"):
        agreed_outcome(accepted(), nodes)


def test_a_local_result_is_one_share_of_its_one_node() -> None:
    assert shares_by_node(accepted(technique="local", nodes=("alice",), compute_set=())) == {"alice": (0,)}
