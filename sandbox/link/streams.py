"""A mesh between nodes: a mailbox for what comes, and one stream to each peer it speaks to.

A stream that breaks is not resumed (R4): both ends get `PeerUnavailable`, and the retry is a new attempt.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol, TypeAlias

from records.clock import Clock, utc_now
from records.errors import PeerUnavailable, UnknownObject
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.link.grpc import GrpcStream, find_data_port
from sandbox.link.mailbox import Mailbox
from sandbox.link.tls import TlsStream

CONNECT_S: Final = 5.0

logger = logging.getLogger(__name__)


class Stream(Protocol):
    """Frames to one peer, from the worker thread of an attempt; `cancel` from any thread."""

    def send(self, frame: memoryview) -> None:
        """Hand a frame over, waiting for room; the caller may change it afterwards.

        Raises:
            PeerUnavailable: the peer is gone, or takes nothing.
            UsufructError: the peer refuses the stream.
        """

    def end(self) -> None:
        """Say that nothing more comes."""

    def settle(self) -> None:
        """Wait until the peer has confirmed all frames.

        Raises:
            EvidenceError: it confirms another number.
            PeerUnavailable: it does not.
        """

    def cancel(self) -> None:
        """End the stream at once; the peer sees it broken."""


Connect: TypeAlias = Callable[[str], Stream]
"""Opens the stream to a peer, by its name."""


class StreamMesh:
    """One node's end of a channel. Implements `Mesh`; `timeout_s` bounds every wait for a peer."""

    def __init__(
        self, mailbox: Mailbox, channel: str, peers: Collection[str], connect: Connect, timeout_s: float
    ) -> None:
        self._mailbox = mailbox
        self._channel = channel
        self._connect = connect
        self._timeout_s = timeout_s
        self._inboxes = mailbox.open(channel, peers)
        self._streams: dict[str, Stream] = {}
        self._aborted = False

    def send(self, peer: str, frame: bytes | memoryview) -> None:
        """Hand a frame over, waiting for room; see `Mesh`."""
        # Connected only with the first frame: a pair that never speaks must not keep a peer from closing.
        stream = self._streams.get(peer) or self._open(peer)
        view = memoryview(frame)
        # An empty array cannot be cast.
        stream.send(view.cast("B") if view.nbytes else memoryview(b""))

    def receive(self, peer: str) -> bytes | memoryview:
        """Return the next frame from `peer`; see `Mesh`."""
        if peer not in self._inboxes:
            raise UnknownObject(f"`{peer}` is not a peer of this channel")
        return self._inboxes[peer].get(self._timeout_s)

    def close(self) -> None:
        """Wait until the peers have what was sent, then end the channel; see `Mesh`."""
        try:
            for stream in self._streams.values():
                stream.end()
            for inbox in self._inboxes.values():
                inbox.finish()
            for stream in self._streams.values():
                stream.settle()
        finally:
            self.abort()

    def abort(self) -> None:
        """End the channel at once; see `Mesh`."""
        self._aborted = True
        for stream in list(self._streams.values()):
            stream.cancel()
        self._mailbox.close(self._channel)

    def _open(self, peer: str) -> Stream:
        if peer not in self._inboxes:
            raise UnknownObject(f"`{peer}` is not a peer of this channel")
        stream = self._streams[peer] = self._connect(peer)
        if self._aborted:
            # Whoever aborted while this was connecting did not see the stream.
            stream.cancel()
            raise PeerUnavailable(f"the channel to `{peer}` is closed")
        return stream


def grpc_mesh(
    mailbox: Mailbox,
    channel: str,
    identity: Identity,
    peers: Mapping[str, tuple[str, PartyRecord]],
    *,
    timeout_s: float,
    clock: Clock = utc_now,
) -> StreamMesh:
    """Open a channel whose every stream is gRPC's; `peers` gives the address and the record of each."""

    def connect(peer: str) -> Stream:
        return GrpcStream(channel, identity, peers[peer][0], peer, timeout_s, clock)

    return StreamMesh(mailbox, channel, peers, connect, timeout_s)


def negotiated_mesh(
    mailbox: Mailbox,
    channel: str,
    identity: Identity,
    peers: Mapping[str, tuple[str, PartyRecord]],
    *,
    timeout_s: float,
    clock: Clock = utc_now,
) -> StreamMesh:
    """Open a channel that uses a peer's TLS data channel where it has one that can be reached, else gRPC.

    The choice is made per directed pair, by its sender; a data channel whose end is not the peer is an
    error and no reason to fall back.
    """

    def connect(peer: str) -> Stream:
        address, record = peers[peer]
        port = find_data_port(identity, address, peer, timeout_s, clock)
        host = address.rpartition(":")[0].strip("[]")
        if port:
            try:
                connection = socket.create_connection((host, port), CONNECT_S)
            except OSError:
                logger.warning("data channel not reachable, using gRPC", extra={"peer": peer})
            else:
                return TlsStream(connection, identity, record, channel, timeout_s)
        return GrpcStream(channel, identity, address, peer, timeout_s, clock)

    return StreamMesh(mailbox, channel, peers, connect, timeout_s)
