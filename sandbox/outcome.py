"""Do the nodes' signed outcomes of one attempt agree, with each other and with the accepted quote?

The exchange asks it before it books, every node before it hands out its key, the buyer before it opens. A
contradiction is evidence, never averaged away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from records.errors import EvidenceError
from records.job import Quote, SealedResult, opening_ledger


@dataclass(frozen=True, slots=True)
class AgreedOutcome:
    """What all nodes of an attempt signed alike."""

    verdict: Literal["sealed", "withheld"]
    cells: int


def agreed_outcome(quote: Quote, statements: Mapping[str, SealedResult]) -> AgreedOutcome:
    """Return the outcome that every node of `quote` signed.

    The compute parties signed the same digests of the frames between them, so that each can be held to
    what it sent (`mpc.transcript`). A sealed result has exactly the shares that its seats hold, both
    holders of a share signed the same salted digest of it (R5), and what was opened is what was accepted
    (R8).

    Raises:
        EvidenceError: a node is missing, or one of the above does not hold.
    """
    if set(statements) != set(quote.nodes):
        raise EvidenceError("the sealed results are not those of exactly the nodes of this job")
    documents = list(statements.values())
    seen = {(each.acceptance_digest, each.attempt, each.verdict, each.cells) for each in documents}
    if len(seen) != 1:
        raise EvidenceError(f"the nodes {_names(statements)} signed different outcomes of one attempt")
    _require_one_transcript(quote, statements)
    if documents[0].verdict == "sealed":
        _require_sealed_as_accepted(quote, statements)
    elif any(each.shares for each in documents):
        raise EvidenceError("a withheld result has no shares")
    return AgreedOutcome(documents[0].verdict, documents[0].cells)


def _require_sealed_as_accepted(quote: Quote, statements: Mapping[str, SealedResult]) -> None:
    held = shares_by_node(quote)
    accepted = opening_ledger(quote.openings)
    commitments: dict[int, set[str]] = {}
    for node, result in statements.items():
        if tuple(sorted(share.index for share in result.shares)) != held[node]:
            raise EvidenceError(f"`{node}` sealed other shares than its seat holds")
        if result.opening_ledger != (accepted if held[node] else ""):
            raise EvidenceError(f"`{node}` opened something else than was accepted")
        for share in result.shares:
            commitments.setdefault(share.index, set()).add(share.share_commitment)
    differing = sorted(index for index, values in commitments.items() if len(values) > 1)
    if differing:
        raise EvidenceError(f"the two holders of share {differing[0]} signed different digests of it")


def _require_one_transcript(quote: Quote, statements: Mapping[str, SealedResult]) -> None:
    seats = quote.compute_set
    sent = _digests(statements, "sent")
    received = {
        (sender, receiver): said for (receiver, sender), said in _digests(statements, "received").items()
    }
    due = {(sender, receiver) for sender in seats for receiver in seats if sender != receiver}
    if set(sent) != due or set(received) != due:
        raise EvidenceError("the transcripts are not those of the channels between the compute parties")
    for sender, receiver in sorted(due):
        if sent[sender, receiver] != received[sender, receiver]:
            raise EvidenceError(
                f"`{sender}` and `{receiver}` signed different frames from `{sender}` to `{receiver}`"
            )


def _digests(
    statements: Mapping[str, SealedResult], direction: str
) -> dict[tuple[str, str], list[tuple[int, int, str]]]:
    """Return what each node signed of its frames in one direction, by (node, peer)."""
    said: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for node, result in statements.items():
        for item in result.transcript:
            if item.direction == direction:
                said.setdefault((node, item.peer), []).append((item.frames, item.size_bytes, item.digest))
    return said


def shares_by_node(quote: Quote) -> dict[str, tuple[int, ...]]:
    """Return which shares each node of a job seals: seat i holds i and i + 1; a local result is one share."""
    held: dict[str, tuple[int, ...]] = dict.fromkeys(quote.nodes, ())
    if quote.technique == "local":
        return dict.fromkeys(quote.nodes, (0,))
    for seat, node in enumerate(quote.compute_set):
        held[node] = tuple(sorted((seat, (seat + 1) % 3)))
    return held


def _names(statements: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(statements))
