"""When a node hands out its release key: the checks of R6, one by one.

1. the token is the pinned exchange's, of this environment, and not expired;
2. it names an acceptance this node agreed to, and the attempt this node sealed;
3. its sealed digests are those that the nodes signed, this node's own among them, and the outcomes agree;
4. its charge is what this node computes from the terms and the cells, and within the quote;
5. its checkpoint is signed by the pinned log key, its entry stands in that tree and speaks of this release;
6. the checkpoint extends the last one this node stored;
7. the other nodes of the job have seen no other history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from billing import merkle, notes
from billing.notes import Checkpoint
from billing.tariff import ExchangeFees
from records import canonical, clock, commitments
from records.errors import EvidenceError, RequestExpired
from records.job import Quote, ReleaseToken, SealedResult
from records.keys import VerifyingKey
from sandbox.derivation import Derived, metered_charge
from sandbox.outcome import agreed_outcome
from sandbox.ports import Caller, ExchangePort, NodePort, ReleaseRequest
from sandbox.receipt import ExchangeKeys


def check_token(
    request: ReleaseRequest,
    keys: ExchangeKeys,
    quote: Quote,
    derived: Derived,
    node_keys: Mapping[str, VerifyingKey],
    now: datetime,
) -> ReleaseToken:
    """Do steps 1 to 5 but for the node's own rows; return the token.

    Raises:
        SignatureInvalid, EvidenceError, RequestExpired: one of them fails.
    """
    # (1)
    token = ReleaseToken.verified(request.token, keys.signing, keys.environment).document
    if clock.from_text(token.expires_at) <= now:
        raise RequestExpired("the release token has expired; no key is handed out after that")
    # (3)
    results = _signed_results(request, token, keys.environment, node_keys)
    outcome = agreed_outcome(quote, results)
    if (outcome.verdict, outcome.cells) != ("sealed", token.cells):
        raise EvidenceError("the nodes signed another outcome than the token charges for")
    # (4)
    fees = ExchangeFees(quote.fee_basis_points, quote.tax_basis_points)
    if token.charge != metered_charge(derived, token.cells, fees, withheld=False):
        raise EvidenceError("the charge in the token is not what the terms and the released cells come to")
    if token.charge.total_minor > quote.charge.total_minor:
        raise EvidenceError("the charge in the token exceeds the accepted quote")
    # (5)
    checkpoint = open_checkpoint(token.checkpoint, keys)
    merkle.verify_inclusion(
        merkle.leaf_hash(request.leaf), token.log_index, checkpoint.size, request.inclusion, checkpoint.root
    )
    _check_leaf(request, token)
    return token


def _signed_results(
    request: ReleaseRequest, token: ReleaseToken, environment: str, node_keys: Mapping[str, VerifyingKey]
) -> dict[str, SealedResult]:
    """Return the nodes' results behind a token, each by its own node and the one that the token names."""
    named = {item.node: item.statement_digest for item in token.sealed}
    results: dict[str, SealedResult] = {}
    for envelope in request.statements:
        name = SealedResult.unverified(envelope).document.node
        if name not in named or name not in node_keys:
            raise EvidenceError(f"`{name}` is no node of this job")
        signed = SealedResult.verified(envelope, node_keys[name], environment)
        result = signed.document
        if signed.digest != named[name]:
            raise EvidenceError(f"the token names another sealed result than `{name}` signed")
        if (result.acceptance_digest, result.attempt) != (token.acceptance_digest, token.attempt):
            raise EvidenceError(f"the sealed result of `{name}` belongs to another attempt")
        results[name] = result
    if set(results) != set(named):
        raise EvidenceError("the token names results that did not come with it")
    return results


def _check_leaf(request: ReleaseRequest, token: ReleaseToken) -> None:
    """Check that the leaf speaks of this release: a token without its own entry is worth nothing."""
    leaf = canonical.decode(request.leaf)
    opened = commitments.decode(request.opened)
    if not isinstance(leaf, dict):
        raise EvidenceError("the entry of the log is not an object of commitments")
    commitments.check({name: str(value) for name, value in leaf.items()}, opened)
    wanted = {
        "event": "release",
        "job": token.job_id,
        "acceptance": token.acceptance_digest,
        "attempt": token.attempt,
        "cells": token.cells,
        "charge": {"currency": token.charge.currency, "total_minor": token.charge.total_minor},
    }
    if {name: opening.value for name, opening in opened.items()} != wanted:
        raise EvidenceError("the entry of the log is not that of this release")


def open_checkpoint(note: str, keys: ExchangeKeys) -> Checkpoint:
    """Return the checkpoint of a note signed by the pinned log key."""
    return notes.open_checkpoint(note.encode(), keys.environment, keys.log)


def check_history(known: str, request: ReleaseRequest, token: ReleaseToken, keys: ExchangeKeys) -> None:
    """Do step 6: what this node knew of the log and the token's checkpoint are one history.

    Raises:
        EvidenceError: they are not: a fork, or a log that was rolled back.
        RequestExpired: the proof was made before this node's last checkpoint.
    """
    if not known:
        return
    old, new = open_checkpoint(known, keys), open_checkpoint(token.checkpoint, keys)
    if request.known_size != old.size:
        # Another job's release came in between, and this node knows more of the log by now.
        raise RequestExpired("the proof starts from an older checkpoint than this node's last; ask again")
    _verify_one_history(old, new, request.consistency)


async def compare_with_peers(
    token: ReleaseToken,
    keys: ExchangeKeys,
    peers: Mapping[str, NodePort],
    caller: Caller,
    exchange: Callable[[], ExchangePort],
) -> None:
    """Do step 7: ask every other node of the job what it saw, and have the exchange prove it is one log.

    Raises:
        EvidenceError: a peer holds a checkpoint of another history; both notes are the proof of a fork.
        PeerUnavailable: a peer is silent; without its word no key is handed out.
    """
    mine = open_checkpoint(token.checkpoint, keys)
    for name, peer in peers.items():
        note = await peer.compare_checkpoints(caller, token.checkpoint)
        if not note:
            continue
        theirs = open_checkpoint(note, keys)
        if theirs.size == mine.size:
            proof: tuple[bytes, ...] = ()
        else:
            low, high = sorted((theirs.size, mine.size))
            proof = (await exchange().consistency(caller, low, high)).hashes
        try:
            _verify_one_history(theirs, mine, proof)
        except EvidenceError as fork:
            raise EvidenceError(f"`{name}` has seen another history of the log: {fork}") from fork


def _verify_one_history(a: Checkpoint, b: Checkpoint, proof: tuple[bytes, ...]) -> None:
    old, new = sorted((a, b), key=lambda checkpoint: checkpoint.size)
    merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)
