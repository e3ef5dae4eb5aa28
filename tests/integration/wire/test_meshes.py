from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping

import pytest

from records.clock import utc_now
from records.errors import EvidenceError, PeerUnavailable, UnknownObject
from sandbox.link.grpc import GrpcStream, LinkServicer
from sandbox.link.mailbox import Mailbox, MailboxLimits
from sandbox.link.mesh import Mesh, memory_meshes
from sandbox.link.streams import StreamMesh, grpc_mesh, negotiated_mesh
from sandbox.link.tls import TlsListener, TlsStream
from sandbox.wire.server import WireServer, serve
from tests.integration.wire.loopback import Town

NODES = ("alice", "bob", "carol")
EVERYONE = frozenset(NODES)


class LinkedTown:
    """Three nodes with mailboxes, each with a running server; those in `listening` have a data channel."""

    def __init__(self, listening: frozenset[str], limits: MailboxLimits | None = None) -> None:
        self.town = Town()
        for name in NODES:
            self.town.add(name, "provider")
        self.mailboxes = {name: Mailbox(limits) for name in NODES}
        self.servers: dict[str, WireServer] = {}
        self.listeners: dict[str, TlsListener] = {}
        self.servicers: dict[str, LinkServicer] = {}
        self._listening = listening

    async def start(self) -> None:
        for name in NODES:
            identity, mailbox = self.town.parties[name], self.mailboxes[name]
            self.listeners[name] = TlsListener(identity, self.town.registry, mailbox, 5.0)
            if name in self._listening:
                await self.listeners[name].start("127.0.0.1")
            self.servicers[name] = LinkServicer(mailbox, self.listeners[name].port)
            self.servers[name] = await serve(
                identity, self.town.registry, clock=utc_now, link=self.servicers[name]
            )

    def mesh(
        self, name: str, channel: str = "digest/1", timeout_s: float = 5.0, *, negotiated: bool = True
    ) -> StreamMesh:
        peers = {peer: (self.servers[peer].address, self.town.record(peer)) for peer in NODES if peer != name}
        make = negotiated_mesh if negotiated else grpc_mesh
        return make(self.mailboxes[name], channel, self.town.parties[name], peers, timeout_s=timeout_s)

    async def stop(self) -> None:
        for name in NODES:
            await self.servers[name].stop(0)
            await self.listeners[name].stop()


def run(work: Callable[[LinkedTown], None], listening: frozenset[str] = EVERYONE) -> None:
    """Do `work` in a thread of its own while the town serves."""

    async def scenario() -> None:
        linked = LinkedTown(listening)
        await linked.start()
        try:
            await asyncio.to_thread(work, linked)
        finally:
            await linked.stop()

    asyncio.run(scenario())


def ring(meshes: Mapping[str, Mesh], frames: int, size: int) -> dict[str, list[bytes]]:
    """Let every node send to its next and receive from its previous, each on its own thread."""
    received: dict[str, list[bytes]] = {name: [] for name in NODES}
    failures: list[BaseException] = []

    def work(index: int) -> None:
        name, following, previous = NODES[index], NODES[(index + 1) % 3], NODES[index - 1]
        try:
            mesh = meshes[name]
            for number in range(frames):
                mesh.send(following, bytes([number % 251]) * size)
                received[name].append(bytes(mesh.receive(previous)))
            mesh.close()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if failures:
        raise failures[0]
    return received


def meshes_of(linked: LinkedTown, *, negotiated: bool = True) -> dict[str, StreamMesh]:
    return {name: linked.mesh(name, negotiated=negotiated) for name in NODES}


def carriers(meshes: Mapping[str, StreamMesh]) -> dict[str, set[type]]:
    """Return by what kind of stream each node sends."""
    return {name: {type(stream) for stream in mesh._streams.values()} for name, mesh in meshes.items()}


@pytest.mark.parametrize(
    ("frames", "size"), [(200, 100), (3, 5_000_000), (2, 0), (4, 1 << 20), (2, 40_000_000)]
)
@pytest.mark.parametrize("negotiated", [True, False], ids=["data-channel", "grpc"])
def test_frames_arrive_whole_and_in_order(frames: int, size: int, negotiated: bool) -> None:
    def work(linked: LinkedTown) -> None:
        meshes = meshes_of(linked, negotiated=negotiated)
        received = ring(meshes, frames, size)
        assert all(received[name] == [bytes([n % 251]) * size for n in range(frames)] for name in NODES)
        kind = TlsStream if negotiated else GrpcStream
        assert carriers(meshes) == {name: {kind} for name in NODES}

    run(work)


def test_a_peer_without_a_data_channel_gets_its_frames_by_grpc() -> None:
    def work(linked: LinkedTown) -> None:
        meshes = meshes_of(linked)
        assert all(len(frames) == 5 for frames in ring(meshes, 5, 1000).values())
        assert carriers(meshes) == {"alice": {GrpcStream}, "bob": {TlsStream}, "carol": {TlsStream}}

    run(work, frozenset({"alice", "carol"}))


def test_a_data_port_behind_a_firewall_is_replaced_by_grpc() -> None:
    def work(linked: LinkedTown) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
            linked.servicers["bob"]._data_port = closed.getsockname()[1]
            meshes = meshes_of(linked)
            assert all(len(frames) == 5 for frames in ring(meshes, 5, 1000).values())
            assert carriers(meshes)["alice"] == {GrpcStream}

    run(work)


def test_a_peer_that_names_a_port_that_is_none_is_refused() -> None:
    def work(linked: LinkedTown) -> None:
        linked.servicers["bob"]._data_port = 65536
        mesh = linked.mesh("alice")
        with pytest.raises(EvidenceError, match="bob"):
            mesh.send("bob", b"x")
        mesh.abort()

    run(work)


def test_the_mesh_in_memory_behaves_alike() -> None:
    meshes = memory_meshes(NODES, 1.0)
    received = ring(meshes, 50, 10)
    assert all(len(received[name]) == 50 for name in NODES)
    with pytest.raises(PeerUnavailable, match="left"):
        meshes["alice"].receive("bob")
    with pytest.raises(UnknownObject):
        meshes["alice"].send("mallory", b"")
