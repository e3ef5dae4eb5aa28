"""One compute party of a session: its place in the ring, its shared randomness, its rounds, its ledger.

Key k_i is known to parties i−1 and i. Protocols are free functions that take the party first; all three
parties run the same functions in the same order, with shares of their own.

Today a party that deviates is found only where both holders of a share speak (R24). Security with abort can
be added behind these interfaces, callers unchanged: all messages of products leave through
`multiplication.reshare_runs` and `reshare_pair_runs`, which would keep what a later proof needs, and all
openings pass `opening.open_to_parties` and `open_to_buyer`, which would verify all products since the last
opening before anything is sent, and open only values so checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from mpc import prg
from mpc.link import Link
from mpc.manifest import Ledger, Manifest
from mpc.prg import OpenStream, Shape, Words, WordStream
from mpc.sharing import WORD, Shared
from records.errors import EvidenceError, InputError, PeerUnavailable

PAIR_KEY_BYTES = 32
FRAME_BYTES = 1 << 18
"""Measured best over TLS of 128 KiB to 1 MiB: a run of words and its masks stay in the cache."""
FRAMES_AHEAD = 8
"""A link must take so many frames, and one more, before the peer reads."""

Purpose: TypeAlias = Literal["zero", "random", "input", "reshare", "permutation", "mask", "tag"]
Produce: TypeAlias = Callable[[slice], None]
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
        produce: Produce | None = None,
    ) -> dict[int, Words]:
        """Take part in one round: send all, then wait for all. Every party calls it in every round.

        Messages cross as frames of `FRAME_BYTES`, the last one shorter; an empty message is one empty frame.
        A frame leaves as soon as it is produced, and frames are taken in while later ones go out, so that a
        link needs room for `FRAMES_AHEAD` of them however long the columns are. `produce` is called with
        each run of flat indices just before that run is sent: there the caller computes it, in place, in
        arrays that are contiguous.

        Returns: {sender: words of the announced shape}.

        Raises:
            EvidenceError: a peer sent a frame of another length than the step demands.
            PeerUnavailable: a peer is gone or past its deadline.
        """
        self.rounds += 1
        incoming = {sender: np.empty(shape, dtype) for sender, (shape, dtype) in receives.items()}
        outgoing = {to: np.ascontiguousarray(words).reshape(-1) for to, words in sends.items()}
        targets = {sender: words.reshape(-1) for sender, words in incoming.items()}
        sent = max(map(_frames, outgoing.values()), default=0)
        due = max(map(_frames, targets.values()), default=0)
        with _named(step):
            for frame in range(max(sent, due + FRAMES_AHEAD)):
                for to, words in outgoing.items():
                    if frame < _frames(words):
                        run = _run(words, frame)
                        if produce:
                            produce(run)
                        self._link.send(to, _wire_view(words[run]))
                arriving = frame - FRAMES_AHEAD
                for sender, words in targets.items():
                    if 0 <= arriving < _frames(words):
                        self._receive(sender, words[_run(words, arriving)])
        return incoming

    def _receive(self, sender: int, target: Words) -> None:
        frame = self._link.receive(sender)
        if len(frame) != target.nbytes:
            raise EvidenceError(
                f"party {sender} sent {len(frame)} bytes, {target.nbytes} were due; void the attempt"
            )
        target[:] = np.frombuffer(frame, dtype=target.dtype.newbyteorder("<"))

    def finish(self) -> None:
        """Return if the openings that happened are those that were accepted (R8).

        Raises:
            EvidenceError: one did not happen.
        """
        self.ledger.finish()


@contextmanager
def _named(step: str) -> Iterator[None]:
    """Say the step with what a link, or a frame, tells against a peer."""
    try:
        yield
    except (EvidenceError, PeerUnavailable) as fault:
        raise type(fault)(f"in the step `{step}`: {fault}") from fault


def _frames(words: Words) -> int:
    return max(1, -(-words.nbytes // FRAME_BYTES))


def _run(words: Words, frame: int) -> slice:
    """Return the indices of the words that cross in a frame."""
    length = FRAME_BYTES // words.itemsize
    return slice(frame * length, min((frame + 1) * length, words.size))


def _wire_view(words: Words) -> memoryview:
    return words.astype(words.dtype.newbyteorder("<"), copy=False).view(np.uint8).data
