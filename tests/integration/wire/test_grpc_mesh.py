from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from records.clock import utc_now
from records.errors import PeerUnavailable, UnknownObject
from sandbox.link.grpc import GrpcMesh, LinkServicer
from sandbox.link.mailbox import Mailbox, MailboxLimits
from sandbox.link.mesh import Mesh, memory_meshes
from sandbox.wire.server import WireServer, serve
from tests.integration.wire.loopback import Town

NODES = ("alice", "bob", "carol")


class LinkedTown:
    """Three nodes with mailboxes, each with a running server."""

    def __init__(self, limits: MailboxLimits | None = None) -> None:
        self.town = Town()
        for name in NODES:
            self.town.add(name, "provider")
        self.mailboxes = {name: Mailbox(limits) for name in NODES}
        self.servers: dict[str, WireServer] = {}

    async def start(self) -> None:
        for name in NODES:
            self.servers[name] = await serve(
                self.town.parties[name],
                self.town.registry,
                clock=utc_now,
                link=LinkServicer(self.mailboxes[name]),
            )

    def mesh(self, name: str, channel: str = "digest/1", timeout_s: float = 5.0) -> GrpcMesh:
        peers = {peer: (self.servers[peer].address, self.town.record(peer)) for peer in NODES if peer != name}
        return GrpcMesh(self.mailboxes[name], channel, self.town.parties[name], peers, timeout_s=timeout_s)

    async def stop(self) -> None:
        for server in self.servers.values():
            await server.stop(0)


def ring(make: Callable[[str], Mesh], frames: int, size: int) -> dict[str, list[bytes]]:
    """Let every node send to its next and receive from its previous, each on its own thread."""
    received: dict[str, list[bytes]] = {name: [] for name in NODES}
    failures: list[BaseException] = []

    def work(index: int) -> None:
        name, following, previous = NODES[index], NODES[(index + 1) % 3], NODES[index - 1]
        try:
            mesh = make(name)
            for number in range(frames):
                mesh.send(following, bytes([number % 251]) * size)
                received[name].append(mesh.receive(previous))
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


@pytest.mark.parametrize(("frames", "size"), [(200, 100), (3, 5_000_000), (2, 0), (4, 1 << 20)])
def test_frames_arrive_whole_and_in_order_over_grpc(frames: int, size: int) -> None:
    async def scenario() -> None:
        linked = LinkedTown()
        await linked.start()
        received = await asyncio.to_thread(ring, linked.mesh, frames, size)
        expected = [bytes([number % 251]) * size for number in range(frames)]
        assert all(received[name] == expected for name in NODES)
        await linked.stop()

    asyncio.run(scenario())


def test_the_mesh_in_memory_behaves_alike() -> None:
    meshes = memory_meshes(NODES, 1.0)
    received = ring(meshes.__getitem__, 50, 10)
    assert all(len(received[name]) == 50 for name in NODES)
    with pytest.raises(PeerUnavailable, match="left"):
        meshes["alice"].receive("bob")
    with pytest.raises(UnknownObject):
        meshes["alice"].send("mallory", b"")
