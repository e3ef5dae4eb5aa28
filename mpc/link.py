"""The seam between protocols and transport: what a party asks of its channels, and a counter around it.

Implementations live in `sandbox/link`: memory, gRPC, TLS. Nothing in `mpc` opens a socket.
"""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """One party's channels to the other two: ordered, reliable, authenticated.

    A frame is bytes, or a contiguous memoryview of them (format `B`) that the link must not keep.
    `send` must not wait for the peer to receive: in a round all three send first and receive then.
    """

    @property
    def party(self) -> int:
        """The index of this party: 0, 1 or 2."""
        ...

    def send(self, to: int, frame: bytes | memoryview) -> None:
        """Send one frame to party `to`.

        Raises:
            PeerUnavailable: the peer is gone.
        """
        ...

    def receive(self, sender: int) -> bytes | memoryview:
        """Wait for the next frame of party `sender`.

        Raises:
            PeerUnavailable: the deadline passed, or the peer is gone.
        """
        ...


class CountingLink:
    """A link that counts what this party sends and receives. `Party.rounds` counts the rounds."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.frames_sent = 0
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def party(self) -> int:
        """The index of this party: 0, 1 or 2."""
        return self._link.party

    def send(self, to: int, frame: bytes | memoryview) -> None:
        """Send one frame and count it.

        Raises:
            PeerUnavailable: the peer is gone.
        """
        self._link.send(to, frame)
        self.frames_sent += 1
        self.bytes_sent += len(frame)

    def receive(self, sender: int) -> bytes | memoryview:
        """Wait for the next frame and count it.

        Raises:
            PeerUnavailable: the deadline passed, or the peer is gone.
        """
        frame = self._link.receive(sender)
        self.bytes_received += len(frame)
        return frame
