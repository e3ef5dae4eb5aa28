"""Do the nodes' signed outcomes of one attempt agree? A contradiction is evidence, never averaged away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from records.document import Signed
from records.errors import EvidenceError
from records.job import SealedResult


@dataclass(frozen=True, slots=True)
class AgreedOutcome:
    """What all nodes of an attempt signed alike."""

    verdict: Literal["sealed", "withheld"]
    cells: int


def agreed_outcome(statements: Mapping[str, Signed[SealedResult]]) -> AgreedOutcome:
    """Return the outcome that every node signed.

    Both holders of a share must have signed the same salted digest of it (R5).

    Raises:
        EvidenceError: verdicts, cells or openings differ between nodes, or two holders differ about a share.
    """
    documents = [signed.document for signed in statements.values()]
    if not documents:
        raise EvidenceError("no node has signed an outcome")
    seen = {(each.acceptance_digest, each.attempt, each.verdict, each.cells) for each in documents}
    if len(seen) != 1:
        raise EvidenceError(f"the nodes {_names(statements)} signed different outcomes of one attempt")
    # Nodes that only put rows in hold no shares, and open nothing.
    computing = [each for each in documents if each.shares or each.opening_ledger]
    if len({each.opening_ledger for each in computing}) > 1:
        raise EvidenceError("the compute parties signed different opening ledgers")
    commitments: dict[int, set[str]] = {}
    for each in documents:
        for share in each.shares:
            commitments.setdefault(share.index, set()).add(share.share_commitment)
    differing = sorted(index for index, values in commitments.items() if len(values) > 1)
    if differing:
        raise EvidenceError(f"the two holders of share {differing[0]} signed different digests of it")
    return AgreedOutcome(documents[0].verdict, documents[0].cells)


def _names(statements: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(statements))
