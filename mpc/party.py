"""One compute party of a session: its place in the ring, its shared randomness, its rounds, its ledger.

Key k_i is known to parties i−1 and i. Protocols are free functions that take the party first; all three
parties run the same functions in the same order, with shares of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from mpc import prg
from mpc.link import Link
from mpc.manifest import Ledger, Manifest
from mpc.prg import OpenStream, Shape, Words, WordStream
from mpc.sharing import WORD, Shared, from_bytes, to_bytes
from records.errors import EvidenceError, InputError

PAIR_KEY_BYTES = 32

Purpose: TypeAlias = Literal["zero", "random", "input", "reshare", "permutation", "mask"]
S = TypeVar("S", bound=Shared)


@dataclass(frozen=True, slots=True, repr=False)
class PairKeys:
    """The keys that a party shares with each neighbour; fresh for every attempt (R3)."""

    with_previous: bytes
    with_next: bytes

    def __post_init__(self) -> None:
        if {len(self.with_previous), len(self.with_next)} != {PAIR_KEY_BYTES}:
            raise InputError(f"a pair key has {PAIR_KEY_BYTES} bytes; agree on keys anew")
        if self.with_previous == self.with_next:
            raise InputError("the two pair keys of a party are equal; agree on keys anew")

    def __repr__(self) -> str:
        return "PairKeys(…)"


class Party:
    """Party `index` of three, for one session."""

    def __init__(
        self,
        index: int,
        link: Link,
        keys: PairKeys,
        manifest: Manifest,
        *,
        open_stream: OpenStream = prg.open_stream,
    ) -> None:
        if index not in (0, 1, 2) or link.party != index:
            raise InputError("a party is 0, 1 or 2, and its link belongs to it")
        self.index = index
        self.previous = (index + 2) % 3
        self.next = (index + 1) % 3
        self.ledger = Ledger(manifest)
        self.rounds = 0
        self._link = link
        self._keys = {self.previous: keys.with_previous, self.next: keys.with_next}
        self._open_stream = open_stream
        self._streams: dict[tuple[int, Purpose], WordStream] = {}

    def stream(self, neighbour: int, purpose: Purpose) -> WordStream:
        """Return the words that only this party and a neighbour know; both must draw in one order."""
        if (neighbour, purpose) not in self._streams:
            self._streams[neighbour, purpose] = self._open_stream(self._keys[neighbour], purpose)
        return self._streams[neighbour, purpose]

    def positions_bytes(self) -> dict[tuple[int, Purpose], int]:
        """Return how many bytes were drawn of each stream, by (neighbour, purpose)."""
        return {key: stream.position_bytes for key, stream in self._streams.items()}

    def zero_share(self, kind: type[S], shape: Shape, dtype: np.dtype[Any] = WORD) -> Words:
        """Return a_i = F(k_i) − F(k_{i+1}): uniform, and the three sum to zero. No message."""
        with_previous = self.stream(self.previous, "zero").words(shape, dtype)
        with_next = self.stream(self.next, "zero").words(shape, dtype)
        words: Words = kind.subtract(with_previous, with_next)
        return words

    def random_sharing(self, kind: type[S], shape: Shape, dtype: np.dtype[Any] = WORD) -> S:
        """Return shares of uniform words that no party knows. No message."""
        with_previous = self.stream(self.previous, "random").words(shape, dtype)
        with_next = self.stream(self.next, "random").words(shape, dtype)
        return kind(with_previous, with_next)

    def exchange(
        self,
        step: str,
        sends: Mapping[int, Words],
        receives: Mapping[int, tuple[Shape, np.dtype[Any]]],
    ) -> dict[int, Words]:
        """Take part in one round: send all, then wait for all. Every party calls it in every round.

        Returns: {sender: words of the announced shape}.

        Raises:
            EvidenceError: a peer sent a frame of another length than the step demands.
            PeerUnavailable: a peer is gone or past its deadline.
        """
        self.rounds += 1
        for to, words in sends.items():
            self._link.send(to, to_bytes(words))
        received: dict[int, Words] = {}
        for sender, (shape, dtype) in receives.items():
            frame = self._link.receive(sender)
            due_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            if len(frame) != due_bytes:
                raise EvidenceError(
                    f"party {sender} sent {len(frame)} bytes in the step `{step}`, {due_bytes} were due; "
                    "void the attempt"
                )
            received[sender] = from_bytes(frame, shape, dtype)
        return received

    def finish(self) -> None:
        """Return if the openings that happened are those that were accepted (R8).

        Raises:
            EvidenceError: one did not happen.
        """
        self.ledger.finish()
