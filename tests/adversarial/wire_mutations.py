"""A man in the middle of the data channels of a small joint job: he changes one TLS record of one channel.

Three parties multiply and open over six channels of the shipped kind, `TlsStream` to `TlsListener`. Every
channel runs through a relay that knows where records begin.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

from mpc.manifest import Manifest, Opening
from mpc.multiplication import multiply, share_input
from mpc.opening import open_to_parties
from mpc.party import PairKeys, Party
from mpc.sharing import decode
from records.errors import UsufructError
from sandbox.link.mailbox import Mailbox
from sandbox.link.streams import StreamMesh
from sandbox.link.tls import TlsListener, TlsStream
from tests.adversarial.data_channel import loop_thread
from tests.integration.wire.loopback import Town
from tests.unit.mpc.three_parties import KEYS

NODES = ("alice", "bob", "carol")
PAIRS = tuple((sender, to) for sender in range(3) for to in range(3) if sender != to)
OPENED = Manifest((Opening("product", "parties", (2,)),))
RIGHT = [15, -12]
TIMEOUT_S = 3.0
FIRST_FRAME = 4
"""Three records of the handshake and one that names the channel come before."""
TLS_HEADER_BYTES = 5
TLS_APPLICATION_DATA = 23

Pair = tuple[int, int]
Mutation = Callable[[Sequence[bytes]], list[bytes]]
"""The records so far, the attacked one last → what is passed on in its place."""


def flipped(records: Sequence[bytes]) -> list[bytes]:
    return [_changed(records[-1], records[-1][-1] ^ 1)]


def plus_one(records: Sequence[bytes]) -> list[bytes]:
    return [_changed(records[-1], (records[-1][-1] + 1) % 256)]


def zeroed(records: Sequence[bytes]) -> list[bytes]:
    header, body = records[-1][:TLS_HEADER_BYTES], records[-1][TLS_HEADER_BYTES:]
    return [header + bytes(len(body))]


def dropped(records: Sequence[bytes]) -> list[bytes]:
    return []


def replayed(records: Sequence[bytes]) -> list[bytes]:
    return [records[-1], records[-1]]


def replaced_by_an_earlier_one(records: Sequence[bytes]) -> list[bytes]:
    return [records[-2]]


def reordered(records: Sequence[bytes]) -> list[bytes]:
    """Hold the record back; the relay passes it on behind the next."""
    return []


def truncated(records: Sequence[bytes]) -> list[bytes]:
    body = records[-1][TLS_HEADER_BYTES:-1]
    return [records[-1][:3] + len(body).to_bytes(2, "big") + body]


def oversized(records: Sequence[bytes]) -> list[bytes]:
    body = records[-1][TLS_HEADER_BYTES:] + bytes(1)
    return [records[-1][:3] + len(body).to_bytes(2, "big") + body]


MUTATIONS: tuple[Mutation, ...] = (
    flipped, plus_one, zeroed, dropped, replayed, replaced_by_an_earlier_one, reordered, truncated, oversized,
)  # fmt: skip


def _changed(record: bytes, last: int) -> bytes:
    return record[:-1] + bytes([last])


@dataclass
class Middle:
    """What the man in the middle does: `mutate` record `record` of the channel of `pair`; None: nothing."""

    pair: Pair | None = None
    record: int = 0
    mutate: Mutation | None = None
    passed: dict[Pair, int] = field(default_factory=dict)
    """How many records of application data each channel carried."""


@contextmanager
def relay(port: int, pair: Pair, middle: Middle) -> Iterator[int]:
    """Relay one connection to `port`, record by record on the way there; yield the relay's own port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT_S)
        thread = threading.Thread(target=_relay, args=(server, port, pair, middle))
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def _relay(server: socket.socket, port: int, pair: Pair, middle: Middle) -> None:
    try:
        near, _ = server.accept()
    except TimeoutError:
        return  # a pair that never spoke
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_copy, args=(far, near))
        back.start()
        with suppress(OSError):  # one end has had enough
            _copy_records(near, far, pair, middle)
        for end in (near, far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join()


def _copy_records(near: socket.socket, far: socket.socket, pair: Pair, middle: Middle) -> None:
    records: list[bytes] = []
    held = b""
    while header := _exactly(near, TLS_HEADER_BYTES):
        record = header + _exactly(near, int.from_bytes(header[3:], "big"))
        passed, held = [record, held], b""
        if header[0] == TLS_APPLICATION_DATA:
            records.append(record)
            middle.passed[pair] = len(records)
            if middle.mutate and pair == middle.pair and len(records) == middle.record + 1:
                passed = middle.mutate(records)
                held = record if middle.mutate is reordered else b""
        far.sendall(b"".join(passed))


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := source.recv(size - len(data))):
        data += more
    return data


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)


class MeshLink:
    """A party's channels as `mpc.link.Link` wants them."""

    def __init__(self, mesh: StreamMesh, party: int) -> None:
        self._mesh = mesh
        self.party = party

    def send(self, to: int, frame: bytes | memoryview) -> None:
        self._mesh.send(NODES[to], frame)

    def receive(self, sender: int) -> bytes | memoryview:
        return self._mesh.receive(NODES[sender])


class Town3:
    """Three nodes that listen; `run` lets them do the job under a man in the middle."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._town = Town()
        self._numbers = count()
        for name in NODES:
            self._town.add(name, "provider")
        self._mailboxes = [Mailbox() for _ in NODES]
        self._listeners = [
            TlsListener(self._town.parties[name], self._town.registry, mailbox, TIMEOUT_S)
            for name, mailbox in zip(NODES, self._mailboxes, strict=True)
        ]
        for listener in self._listeners:
            asyncio.run_coroutine_threadsafe(listener.start("127.0.0.1"), loop).result()

    def stop(self) -> None:
        for listener in self._listeners:
            asyncio.run_coroutine_threadsafe(listener.stop(), self._loop).result()

    def run(self, middle: Middle) -> list[list[int] | UsufructError]:
        """Return what each party opened, or the error that stopped it."""
        channel = f"job/{next(self._numbers)}"
        ends: dict[int, list[int] | UsufructError] = {}

        def work(index: int, mesh: StreamMesh) -> None:
            try:
                keys = PairKeys(KEYS[index], KEYS[(index + 1) % 3])
                ends[index] = job(Party(index, MeshLink(mesh, index), keys, OPENED))
                mesh.close()
            except UsufructError as error:
                ends[index] = error
                mesh.abort()

        with ExitStack() as stack:
            ports = {
                pair: stack.enter_context(relay(self._listeners[pair[1]].port, pair, middle))
                for pair in PAIRS
            }
            meshes = [self._mesh(index, channel, ports) for index in range(3)]
            threads = [threading.Thread(target=work, args=(i, mesh)) for i, mesh in enumerate(meshes)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return [ends[index] for index in range(3)]

    def _mesh(self, index: int, channel: str, ports: dict[Pair, int]) -> StreamMesh:
        def connect(peer: str) -> TlsStream:
            connection = socket.create_connection(("127.0.0.1", ports[index, NODES.index(peer)]))
            identity = self._town.parties[NODES[index]]
            return TlsStream(connection, identity, self._town.record(peer), channel, TIMEOUT_S)

        peers = [name for name in NODES if name != NODES[index]]
        return StreamMesh(self._mailboxes[index], channel, peers, connect, TIMEOUT_S)


def job(party: Party) -> list[int]:
    """Multiply a column of alice by one of bob, and open the product."""
    x = share_input(party, [3, 4] if party.index == 0 else None, 0, (2,))
    y = share_input(party, [5, -3] if party.index == 1 else None, 1, (2,))
    opened = decode(open_to_parties(party, multiply(party, x, y), "product"))
    party.finish()
    return [int(value) for value in opened]


@contextmanager
def town3() -> Iterator[Town3]:
    with loop_thread() as loop:
        town = Town3(loop)
        try:
            yield town
        finally:
            town.stop()
