"""The only two ways to reveal a shared value (R8); both ask the ledger before anything is sent."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np

from mpc.multiplication import reshare
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import Arithmetic, reconstruct, to_bytes
from records.errors import EvidenceError

DIGEST_BYTES = 32


def open_to_parties(party: Party, x: Arithmetic, opening_id: str) -> Words:
    """Reveal x to the three parties, as words of its ring.

    Party i lacks x_{i−1}: party i−1 sends it, and party i+1, its other holder, sends its SHA-256.
    A party learns x and nothing else: with its own two shares, x determines the third.

    Raises:
        EvidenceError: the manifest does not have this opening now, or the two holders differ.
    """
    party.ledger.post(opening_id, "parties", x.shape)
    received = party.exchange(
        f"open {opening_id}",
        {party.next: x.own, party.previous: _digest(x.next)},
        {party.previous: (x.shape, x.dtype), party.next: ((DIGEST_BYTES,), np.dtype(np.uint8))},
    )
    missing, digest = received[party.previous], received[party.next]
    if not hmac.compare_digest(to_bytes(digest), to_bytes(_digest(missing))):
        raise EvidenceError(
            f"parties {party.previous} and {party.next} hold different shares at the opening `{opening_id}`; "
            "void the attempt"
        )
    return reconstruct(x.own, x.next, missing)


def open_to_buyer(party: Party, x: Arithmetic, opening_id: str) -> tuple[bytes, bytes]:
    """Return this party's two shares of x for the caller to seal to the buyer: little-endian, C order.

    Nothing goes to the buyer from here. The parties refresh the shares first: the buyer will see all
    three, and shares as a protocol leaves them can tell more than their sum.

    Raises:
        EvidenceError: the manifest does not have this opening now.
    """
    party.ledger.post(opening_id, "buyer", x.shape)
    fresh = reshare(party, Arithmetic, x.own, f"open {opening_id}")
    return to_bytes(fresh.own), to_bytes(fresh.next)


def _digest(words: Words) -> Words:
    return np.frombuffer(hashlib.sha256(to_bytes(words)).digest(), dtype=np.uint8)
