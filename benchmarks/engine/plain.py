"""The data channel without TLS, for comparison with peers that are measured without it. Benchmarks only."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from sandbox.link.frames import FrameReader, FrameWriter, Wire
from sandbox.link.tls import LIFETIME_S, WINDOW_BYTES


class PlainMesh:
    """A mesh over TCP between processes that trust each other and the network."""

    def __init__(
        self, name: str, listening: socket.socket, addresses: Mapping[str, tuple[str, int]], timeout_s: float
    ) -> None:
        """Connect to all of `addresses`, and take a connection from each."""
        self._writers: dict[str, FrameWriter] = {}
        self._readers: dict[str, FrameReader] = {}
        for peer, address in addresses.items():
            connection = socket.create_connection(address, timeout_s)
            wire = _wire(connection, peer, timeout_s)
            wire.write(name.ljust(16).encode())
            self._writers[peer] = FrameWriter(wire, WINDOW_BYTES)
        for _ in addresses:
            connection, _ = listening.accept()
            peer = connection.recv(16, socket.MSG_WAITALL).decode().strip()
            self._readers[peer] = FrameReader(_wire(connection, peer, timeout_s), WINDOW_BYTES, lambda: None)

    def send(self, peer: str, frame: bytes | memoryview) -> None:
        """Hand a frame over; see `Mesh`."""
        self._writers[peer].send(memoryview(frame))

    def receive(self, peer: str) -> bytes | memoryview:
        """Return the next frame; see `Mesh`."""
        return self._readers[peer].receive()

    def close(self) -> None:
        """End the channel; see `Mesh`."""
        for writer in self._writers.values():
            writer.end()
        for reader in self._readers.values():
            reader.finish()
        for writer in self._writers.values():
            writer.settle()
        self.abort()

    def abort(self) -> None:
        """End the channel at once; see `Mesh`."""
        for writer in self._writers.values():
            writer.cancel()
        for reader in self._readers.values():
            reader.break_off()


def _wire(connection: socket.socket, peer: str, timeout_s: float) -> Wire:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Wire(connection, peer, timeout_s, LIFETIME_S)
