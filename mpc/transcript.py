"""Accountability: hash chains over the frames of a session, and audit by replay.

`RecordingLink` chains what a party sends to and receives from each peer; the caller signs the `heads`. Both
ends of a channel must sign the same head (`compare`), so neither can later claim other frames. A party is
then audited by whoever is given its pair keys, its inputs and the frames it received: it has no other
randomness, so `replay` runs its code again, and every frame it sent must come out as signed.

An audit reads one party's view, which tells nothing about the others' values unless a second view is
read beside it. It finds a party that computed something else; it cannot find two that agreed on a false
story, nor false inputs (R24).

SHA-256, because the sender itself must not find a second frame with the same digest: a keyed checksum such
as GMAC, though faster, is forged by whoever knows its key. Hashing runs at some 1.6 GB/s a core, in the
thread that sends and receives, so recording is the caller's choice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from mpc.link import Link
from mpc.manifest import Manifest
from mpc.party import PairKeys, Party, Produce
from mpc.prg import Shape, Words
from records.errors import EvidenceError, PeerUnavailable, UsufructError

T = TypeVar("T")
Direction: TypeAlias = Literal["sent", "received"]
DIGEST_BYTES = 32


class Chain:
    """The running digest of one channel: h_n = SHA-256(h_{n−1} ‖ n ‖ length ‖ frame), h_0 = 0."""

    def __init__(self) -> None:
        self.links: list[bytes] = []
        self.size_bytes = 0

    @property
    def head(self) -> bytes:
        """The digest of all frames so far."""
        return self.links[-1] if self.links else bytes(DIGEST_BYTES)

    def extend(self, frame: bytes | memoryview) -> bytes:
        """Add a frame and return the new head."""
        place = len(self.links).to_bytes(8, "little") + len(frame).to_bytes(8, "little")
        digest = hashlib.sha256(self.head + place)
        digest.update(frame)
        self.links.append(digest.digest())
        self.size_bytes += len(frame)
        return self.links[-1]


@dataclass(frozen=True, slots=True)
class Head:
    """What a party signs for one channel: so many frames with so many bytes lead to `digest`."""

    peer: int
    direction: Direction
    frames: int
    size_bytes: int
    digest: bytes


class RecordingLink:
    """A link that chains the digests of its frames, and keeps received frames where an audit needs them."""

    def __init__(self, link: Link, *, keep_received: bool = False) -> None:
        self._link = link
        peers = [peer for peer in range(3) if peer != link.party]
        self._chains: dict[tuple[int, Direction], Chain] = {
            (peer, direction): Chain() for peer in peers for direction in ("sent", "received")
        }
        self._received: dict[int, list[bytes]] | None = (
            {peer: [] for peer in peers} if keep_received else None
        )

    @property
    def party(self) -> int:
        """The index of this party: 0, 1 or 2."""
        return self._link.party

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads of the four channels, for the caller to sign."""
        return tuple(
            Head(peer, direction, len(chain.links), chain.size_bytes, chain.head)
            for (peer, direction), chain in sorted(self._chains.items())
        )

    @property
    def recording(self) -> Recording:
        """What this party hands to an auditor beside its keys and inputs.

        Raises:
            EvidenceError: the received frames were not kept.
        """
        if self._received is None:
            raise EvidenceError("the received frames of this session were not kept; no replay is possible")
        sent = {peer: tuple(self._chains[peer, "sent"].links) for peer in self._received}
        return Recording({peer: tuple(frames) for peer, frames in self._received.items()}, sent)

    def send(self, to: int, frame: bytes | memoryview) -> None:
        """Send one frame and chain it.

        Raises:
            PeerUnavailable: the peer is gone.
        """
        self._chains[to, "sent"].extend(frame)
        self._link.send(to, frame)

    def receive(self, sender: int) -> bytes | memoryview:
        """Wait for the next frame and chain it.

        Raises:
            PeerUnavailable: the deadline passed, or the peer is gone.
        """
        frame = self._link.receive(sender)
        self._chains[sender, "received"].extend(frame)
        if self._received is not None:
            self._received[sender].append(bytes(frame))
        return frame


@dataclass(frozen=True, slots=True, repr=False)
class Recording:
    """The frames a party received from each peer, and the links of its chains of sent frames.

    The links only say where a difference lies. What convicts is the signed head.
    """

    received: Mapping[int, Sequence[bytes]]
    sent_links: Mapping[int, Sequence[bytes]]

    def __repr__(self) -> str:
        return "Recording(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Audit:
    """What an auditor is given about party `index`: its pair keys, its manifest, its recording, its heads."""

    index: int
    keys: PairKeys
    manifest: Manifest
    recording: Recording
    signed: Sequence[Head]

    def __repr__(self) -> str:
        return f"Audit(index={self.index})"

    def head(self, peer: int, direction: Direction) -> Head:
        """Return the signed head of one channel.

        Raises:
            EvidenceError: the party signed none, or more than one.
        """
        return _head(self.signed, self.index, peer, direction)


@dataclass(frozen=True, slots=True)
class Replayed(Generic[T]):
    """How a replayed session ended for the party: with a result, or with the error that stopped it."""

    result: T | None
    error: UsufructError | None


def compare(heads: Mapping[int, Sequence[Head]]) -> None:
    """Hold the signed heads of all parties together: what one sent, the other received.

    Raises:
        EvidenceError: two parties signed different things about one channel; one of them lies.
    """
    for sender in range(3):
        for receiver in {0, 1, 2} - {sender}:
            sent = _head(heads[sender], sender, receiver, "sent")
            received = _head(heads[receiver], receiver, sender, "received")
            if replace(sent, peer=sender, direction="received") != received:
                raise EvidenceError(
                    f"parties {sender} and {receiver} signed different frames from {sender} to {receiver}"
                )


def replay(audit: Audit, program: Callable[[Party], T]) -> Replayed[T]:
    """Run the party's program on what it received; return how it ended if it sent what it signed.

    `program` closes over the party's inputs, as it did in the session. A session that was cut short is
    replayed up to where the party stopped receiving.

    Raises:
        EvidenceError: the party signed other frames than it kept, or sent a frame that does not follow
            from its keys, inputs and received frames; the text names the step and the peer.
    """
    for peer, frames in audit.recording.received.items():
        chain = Chain()
        for frame in frames:
            chain.extend(frame)
        if chain.head != audit.head(peer, "received").digest:
            raise EvidenceError(
                f"the frames that party {audit.index} kept of party {peer} are not those it signed"
            )
    link = _ReplayLink(audit)
    try:
        ended = Replayed(program(_AuditedParty(link, audit)), None)
    except UsufructError as error:
        ended = Replayed(None, error)
    link.finish()
    return ended


class _ReplayLink:
    """Plays back received frames, and holds sent ones against what was signed."""

    def __init__(self, audit: Audit) -> None:
        self.party = audit.index
        self.step = "start"
        self._audit = audit
        self._due = {peer: list(frames) for peer, frames in audit.recording.received.items()}
        self._read = dict.fromkeys(self._due, 0)
        self._sent = {peer: Chain() for peer in self._due}
        self._deviation = ""

    def send(self, to: int, frame: bytes | memoryview) -> None:
        chain = self._sent[to]
        place = len(chain.links)
        links = self._audit.recording.sent_links[to]
        if chain.extend(frame) not in links[place : place + 1]:
            self._deviation = (
                f"what party {self.party} sent party {to} in the step `{self.step}` (frame {place}) does not "
                "follow from its keys, inputs and received frames"
            )
            raise EvidenceError(self._deviation)

    def receive(self, sender: int) -> bytes:
        place = self._read[sender]
        if place >= len(self._due[sender]):
            raise PeerUnavailable(f"party {self.party} received nothing more of party {sender}")
        self._read[sender] = place + 1
        return self._due[sender][place]

    def finish(self) -> None:
        if self._deviation:
            raise EvidenceError(self._deviation)
        for peer, chain in self._sent.items():
            if chain.head != self._audit.head(peer, "sent").digest:
                raise EvidenceError(f"party {self.party} signed more frames to party {peer} than follow")
            if self._read[peer] != len(self._due[peer]):
                raise EvidenceError(f"party {self.party} took in more frames of party {peer} than follow")


class _AuditedParty(Party):
    """A party that tells its link the step it is in."""

    def __init__(self, link: _ReplayLink, audit: Audit) -> None:
        super().__init__(audit.index, link, audit.keys, audit.manifest)
        self._replay = link

    def exchange(
        self,
        step: str,
        sends: Mapping[int, Words],
        receives: Mapping[int, tuple[Shape, np.dtype[Any]]],
        produce: Produce | None = None,
    ) -> dict[int, Words]:
        self._replay.step = step
        return super().exchange(step, sends, receives, produce)


def _head(heads: Sequence[Head], party: int, peer: int, direction: Direction) -> Head:
    found = [head for head in heads if head.peer == peer and head.direction == direction]
    if len(found) != 1:
        raise EvidenceError(f"party {party} did not sign one head for its channel with party {peer}")
    return found[0]
