"""Frames between the nodes of one attempt, by peer name: the seam, and its form within one process."""

from __future__ import annotations

import queue
from collections.abc import Collection
from typing import Protocol

from records.errors import PeerUnavailable, UnknownObject


class Mesh(Protocol):
    """Ordered, reliable frames to and from each peer of one channel; for one worker thread."""

    def send(self, peer: str, frame: bytes | memoryview) -> None:
        """Hand a frame over; may wait for room.

        Raises:
            UnknownObject: not a peer of this channel.
            PeerUnavailable: the peer is gone, or takes nothing.
        """

    def receive(self, peer: str) -> bytes | memoryview:
        """Return the next frame from `peer`; it is the caller's, and read-only.

        Raises:
            UnknownObject: not a peer of this channel.
            PeerUnavailable: none came in time, or the peer is gone.
        """

    def close(self) -> None:
        """End the channel after what was sent has been delivered.

        Raises:
            PeerUnavailable: it could not be delivered.
        """

    def abort(self) -> None:
        """End the channel at once; peers see it broken. Safe to call at any time."""


class MemoryMesh:
    """A mesh within one process; see `memory_meshes`."""

    def __init__(
        self,
        incoming: dict[str, queue.SimpleQueue[bytes | None]],
        outgoing: dict[str, queue.SimpleQueue[bytes | None]],
        timeout_s: float,
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._timeout_s = timeout_s

    def send(self, peer: str, frame: bytes | memoryview) -> None:
        """Hand a frame over; see `Mesh`."""
        if peer not in self._outgoing:
            raise UnknownObject(f"`{peer}` is not a peer of this channel")
        self._outgoing[peer].put(bytes(frame))

    def receive(self, peer: str) -> bytes:
        """Return the next frame; see `Mesh`."""
        if peer not in self._incoming:
            raise UnknownObject(f"`{peer}` is not a peer of this channel")
        try:
            frame = self._incoming[peer].get(timeout=self._timeout_s)
        except queue.Empty:
            raise PeerUnavailable(f"`{peer}` sent nothing for {self._timeout_s:g} s") from None
        if frame is None:
            self._incoming[peer].put(None)
            raise PeerUnavailable(f"`{peer}` has left the channel")
        return frame

    def close(self) -> None:
        """End the channel; see `Mesh`."""
        for outgoing in self._outgoing.values():
            outgoing.put(None)

    def abort(self) -> None:
        """End the channel; see `Mesh`."""
        self.close()


def memory_meshes(parties: Collection[str], timeout_s: float) -> dict[str, MemoryMesh]:
    """Return one mesh for each of `parties`, connected with each other."""
    pairs: dict[tuple[str, str], queue.SimpleQueue[bytes | None]] = {
        (sender, receiver): queue.SimpleQueue()
        for sender in parties
        for receiver in parties
        if sender != receiver
    }
    return {
        party: MemoryMesh(
            {sender: pipe for (sender, receiver), pipe in pairs.items() if receiver == party},
            {receiver: pipe for (sender, receiver), pipe in pairs.items() if sender == party},
            timeout_s,
        )
        for party in parties
    }
