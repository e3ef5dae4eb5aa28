"""One party process: `python -m benchmarks.engine.party`, told what to do by JSON lines on stdin.

    {"do": "setup", "transport": "tls" | "tcp", "party": 0, …}   → {"port": …}
    {"do": "connect", "ports": [3 ports]}                        → {}
    {"do": "calibrate"}                                          → {"round_s", "exchange_s"}
    {"do": "prepare", "operation": NAME, "count": n}             → {}
    {"do": "run"}                                                → {"seconds", "rounds", "bytes", …}

Keys come through the pipe, never as arguments. The end of stdin ends the process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.engine.operations import OPERATIONS, Place, Problem
from benchmarks.engine.plain import PlainMesh
from mpc.link import CountingLink
from mpc.manifest import Manifest, Opening
from mpc.opening import open_to_parties
from mpc.party import PairKeys, Party
from records.document import Signed
from records.parties import PartyRecord
from sandbox.identity import Identity, PrivateKeys
from sandbox.link.mailbox import Mailbox
from sandbox.link.mesh import Mesh
from sandbox.link.streams import Stream, StreamMesh
from sandbox.link.tls import TlsListener, TlsStream
from sandbox.node.computation import SeatLink
from sandbox.stopwatch import Stopwatch
from sandbox.wire.registry import Registry

TIMEOUT_S: Final = 300.0
HOST: Final = "127.0.0.1"
CHANNEL: Final = "benchmark/1"
FRAME_BYTES: Final = 1 << 18
FRAMES_AHEAD: Final = 8
SMALL_ROUNDS: Final = 500
LARGE_FRAMES: Final = 128
RESULT: Final = Opening("result", "parties", None)


class Seat:
    """This process as party `index` of three, connected to the other two."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._index: int = setup["party"]
        self._names: tuple[str, ...] = tuple(setup["names"])
        self._keys = PairKeys(*(bytes.fromhex(key) for key in setup["pair_keys"]))
        self._setup = setup
        self._mailbox = Mailbox()
        self._folder = tempfile.TemporaryDirectory(prefix="usufruct-bench-")
        self._problem: Problem | None = None
        if setup["transport"] == "tls":
            self._identity = Identity(
                _record(setup["records"][self._index]),
                PrivateKeys.from_json(setup["keys"]),
                setup["certificate"].encode(),
                setup["authority"].encode(),
            )
            self.port = _listen(self._identity, [_record(text) for text in setup["records"]], self._mailbox)
        else:
            self._listening = socket.create_server((HOST, 0))
            self.port = self._listening.getsockname()[1]

    def connect(self, ports: list[int]) -> None:
        """Open the channel to the other two."""
        peers = {
            name: (HOST, port)
            for name, port in zip(self._names, ports, strict=True)
            if name != self._names[self._index]
        }
        self._link = SeatLink(self._mesh(peers), self._names, self._index, Stopwatch())
        self._barrier()

    def calibrate(self) -> dict[str, float]:
        """Rotate along the ring: 8 bytes at a time, then 256 KiB a frame with eight under way."""
        to, sender = (self._index + 2) % 3, (self._index + 1) % 3
        self._barrier()
        started = time.perf_counter()
        for _ in range(SMALL_ROUNDS):
            self._link.send(to, bytes(8))
            self._link.receive(sender)
        round_s = (time.perf_counter() - started) / SMALL_ROUNDS
        frame = memoryview(np.zeros(FRAME_BYTES, dtype=np.uint8).data)
        self._barrier()
        started = time.perf_counter()
        for number in range(LARGE_FRAMES + FRAMES_AHEAD):
            if number < LARGE_FRAMES:
                self._link.send(to, frame)
            if number >= FRAMES_AHEAD:
                self._link.receive(sender)
        bytes_s = (time.perf_counter() - started) / (LARGE_FRAMES * FRAME_BYTES)
        return {"round_s": round_s, "byte_s": bytes_s}

    def prepare(self, operation: str, count: int) -> None:
        """Pose a problem; from here on, peaks of memory are its own."""
        self._problem = None
        self._problem = OPERATIONS[operation].pose(Place(self._index, count, Path(self._folder.name)))
        # Linux forgets the peak so far (proc(5)).
        Path("/proc/self/clear_refs").write_text("5")

    def run(self) -> dict[str, Any]:
        """Solve the problem once, timed from a barrier, and check the result."""
        assert self._problem is not None
        counting = CountingLink(self._link)
        party = Party(self._index, counting, self._keys, Manifest((*self._problem.openings, RESULT)))
        self._barrier()
        cpu_s = time.process_time()
        started = time.perf_counter()
        result = self._problem.run(party)
        seconds = time.perf_counter() - started
        cpu_s = time.process_time() - cpu_s
        done = {"seconds": seconds, "cpu_s": cpu_s, "rounds": party.rounds, "bytes": counting.bytes_sent}
        peak_mib = _peak_mib()
        opened = open_to_parties(party, result, RESULT.id)
        party.finish()
        return {
            **done,
            "peak_mib": peak_mib,
            "verified": bool(np.array_equal(opened, self._problem.expected)),
        }

    def _mesh(self, peers: dict[str, tuple[str, int]]) -> Mesh:
        own = self._names[self._index]
        if self._setup["transport"] == "tcp":
            return PlainMesh(own, self._listening, peers, TIMEOUT_S)
        records = {
            name: _record(text) for name, text in zip(self._names, self._setup["records"], strict=True)
        }

        def connect(peer: str) -> Stream:
            connection = socket.create_connection(peers[peer])
            return TlsStream(connection, self._identity, records[peer].document, CHANNEL, TIMEOUT_S)

        return StreamMesh(self._mailbox, CHANNEL, peers, connect, TIMEOUT_S)

    def _barrier(self) -> None:
        others = [index for index in range(3) if index != self._index]
        for _ in range(2):
            for other in others:
                self._link.send(other, b"barrier")
            for other in others:
                self._link.receive(other)


def main() -> None:
    """Obey until stdin ends."""
    seat: Seat | None = None
    for line in sys.stdin:
        command = json.loads(line)
        match command.pop("do"):
            case "setup":
                seat = Seat(command)
                answer: dict[str, Any] = {"port": seat.port}
            case "connect" if seat:
                seat.connect(**command)
                answer = {}
            case "calibrate" if seat:
                answer = seat.calibrate()
            case "prepare" if seat:
                seat.prepare(**command)
                answer = {}
            case "run" if seat:
                answer = seat.run()
            case unknown:
                raise SystemExit(f"`{unknown}` is no command here")
        print(json.dumps(answer), flush=True)


def _record(text: str) -> Signed[PartyRecord]:
    claimed = PartyRecord.unverified(text.encode())
    return PartyRecord.verified(text.encode(), claimed.document.verifying_key, claimed.document.environment)


def _listen(identity: Identity, records: list[Signed[PartyRecord]], mailbox: Mailbox) -> int:
    """Take data channels on an event loop of its own thread, as a node does; return the port."""
    listener = TlsListener(identity, Registry(records), mailbox, TIMEOUT_S)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(listener.start(HOST), loop).result()
    return listener.port


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
