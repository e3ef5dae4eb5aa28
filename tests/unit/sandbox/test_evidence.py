"""The nodes' outcomes of one attempt agree in everything, or there is evidence against one of them."""

from __future__ import annotations

from typing import Any

import pytest

from records import clock
from records.document import Signed
from records.errors import EvidenceError
from records.job import SealedResult, SealedShare
from sandbox.exchange.evidence import agreed_outcome
from tests.unit.sandbox.registered import ENVIRONMENT, NOW, identity


def statement(node: str, *shares: tuple[int, str], **changes: Any) -> Signed[SealedResult]:
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "acceptance_digest": "a",
        "attempt": 1,
        "node": node,
        "verdict": "sealed",
        "cells": 9,
        "release_key_digest": "k",
        "opening_ledger": "opened" if shares else "",
        "shares": tuple(
            SealedShare(index=index, size=1, ciphertext_digest=node, share_commitment=commitment)
            for index, commitment in shares
        ),
        "issued_at": clock.to_text(NOW),
    }
    return SealedResult(**fields | changes).sign(identity(node).signer)


def agreeing() -> dict[str, Signed[SealedResult]]:
    return {
        "alice": statement("alice", (0, "c0"), (1, "c1")),
        "bob": statement("bob", (1, "c1"), (2, "c2")),
        "carol": statement("carol"),
        "notary": statement("notary", (2, "c2"), (0, "c0")),
    }


def test_what_all_nodes_signed_is_the_outcome() -> None:
    outcome = agreed_outcome(agreeing())
    assert (outcome.verdict, outcome.cells) == ("sealed", 9)


def test_all_nodes_may_agree_to_withhold() -> None:
    nodes = {name: statement(name, verdict="withheld", cells=0) for name in ("alice", "bob")}
    assert agreed_outcome(nodes).verdict == "withheld"


@pytest.mark.parametrize("node", ["alice", "carol"])
@pytest.mark.parametrize(
    "changes", [{"cells": 8}, {"verdict": "withheld"}, {"attempt": 2}, {"acceptance_digest": "b"}]
)
def test_one_node_that_says_otherwise_is_evidence(node: str, changes: dict[str, Any]) -> None:
    nodes = agreeing()
    nodes[node] = nodes[node].document.model_copy(update=changes).sign(identity(node).signer)
    with pytest.raises(EvidenceError, match="`alice`, `bob`, `carol`, `notary`"):
        agreed_outcome(nodes)


def test_two_holders_of_a_share_commit_to_one() -> None:
    with pytest.raises(EvidenceError, match="share 1"):
        agreed_outcome(agreeing() | {"alice": statement("alice", (0, "c0"), (1, "other"))})


def test_compute_parties_opened_the_same() -> None:
    changed = statement("alice", (0, "c0"), (1, "c1"), opening_ledger="more")
    with pytest.raises(EvidenceError, match="opening"):
        agreed_outcome(agreeing() | {"alice": changed})


def test_nobody_has_said_anything() -> None:
    with pytest.raises(EvidenceError):
        agreed_outcome({})
