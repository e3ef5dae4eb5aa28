"""The physical limit of a protocol on this machine: its rounds and bytes between two threads on plain TCP."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loopback:
    """What one round trip and one byte take."""

    round_trip_s: float
    byte_s: float

    def seconds(self, rounds: int, size_bytes: int) -> float:
        """Return what `rounds` one after the other and `size_bytes` take with no computation at all."""
        return rounds * self.round_trip_s + size_bytes * self.byte_s


def measure(pings: int = 2000, volume: int = 64 << 20) -> Loopback:
    """Measure loopback by `pings` round trips of one byte, then by `volume` bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    with client, peer:
        for end in (client, peer):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        echo = threading.Thread(target=_echo, args=(peer, pings))
        echo.start()
        started = time.perf_counter()
        for _ in range(pings):
            client.sendall(b"x")
            client.recv(1)
        round_trip_s = (time.perf_counter() - started) / pings
        echo.join()
        sink = threading.Thread(target=_drain, args=(peer, volume))
        sink.start()
        started = time.perf_counter()
        client.sendall(bytes(volume))
        sink.join()
        return Loopback(round_trip_s, (time.perf_counter() - started) / volume)


def _echo(end: socket.socket, count: int) -> None:
    for _ in range(count):
        end.sendall(end.recv(1))


def _drain(end: socket.socket, volume: int) -> None:
    while volume:
        volume -= len(end.recv(min(volume, 1 << 20)))
