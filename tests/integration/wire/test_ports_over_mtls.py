from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from records.clock import utc_now
from sandbox.ports import (
    AdmissionRequest,
    Catalogue,
    ExchangePort,
    HoldRequest,
    JobEvent,
    LogProof,
    NodePort,
    ReleaseRequest,
)
from sandbox.wire.exchange_client import ExchangeClient
from sandbox.wire.node_client import NodeClient
from sandbox.wire.server import serve
from sandbox.wire.transfer import CHUNK_BYTES, deliver
from tests.integration.wire.loopback import RESULT, VIEW, EchoExchange, EchoNode, Town, caller_of


def test_every_method_of_a_node_arrives_as_it_was_sent() -> None:
    async def scenario() -> None:
        town, echo = Town(), EchoNode()
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=echo)
        exchange, notary = town.parties["exchange"], town.parties["notary"]
        node: NodePort = (client := NodeClient(server.address, exchange, town.record("provider")))
        peer = NodeClient(server.address, notary, town.record("provider"))
        me = caller_of(exchange)
        admission = AdmissionRequest(b"job", (b"p", b"q"), (b"r",), ())
        release = ReleaseRequest(b"t", b"leaf", (b"i",), 4, (b"c", b"d"), (b"s",), b"o")

        assert await node.admit(me, admission) == b"admit"
        assert await node.hold(me, HoldRequest(b"q", b"a")) == b"hold"
        await node.void(me, "digest")
        assert await node.prepare(me, "digest", 1) == b"prepare"
        assert await node.execute(me, "digest", 1, (b"k1", b"k2", b"")) == b"execute"
        assert await node.checkpoint_size(me) == 7
        assert await node.release(me, release) == b"release"
        assert await node.destroy(me, "digest", 1) == b"destroy"
        await node.settle(me, b"receipt")
        assert await peer.compare_checkpoints(caller_of(notary), "theirs") == "mine after theirs"

        assert echo.calls == [
            ("admit", me, (admission,)),
            ("hold", me, (HoldRequest(b"q", b"a"),)),
            ("void", me, ("digest",)),
            ("prepare", me, ("digest", 1)),
            ("execute", me, ("digest", 1, (b"k1", b"k2", b""))),
            ("checkpoint_size", me, ()),
            ("release", me, (release,)),
            ("destroy", me, ("digest", 1)),
            ("settle", me, (b"receipt",)),
            ("compare_checkpoints", caller_of(notary), ("theirs",)),
        ]
        await client.close()
        await peer.close()
        await server.stop(0)

    asyncio.run(scenario())


def test_every_method_of_an_exchange_arrives_as_it_was_sent() -> None:
    async def scenario() -> None:
        town, echo = Town(), EchoExchange(blob=bytes(range(256)) * 5000)
        server = await serve(town.parties["exchange"], town.registry, clock=utc_now, exchange=echo)
        record = town.record("exchange")
        buyer = ExchangeClient(server.address, town.parties["buyer"], record)
        provider = ExchangeClient(server.address, town.parties["provider"], record)
        ports: tuple[ExchangePort, ExchangePort] = (buyer, provider)
        me, node = caller_of(town.parties["buyer"]), caller_of(town.parties["provider"])

        await buyer.rotate_key(me, b"e", b"r")
        await provider.register_product(node, b"r")
        await provider.join_collection(node, b"m")
        assert await buyer.catalogue(me) == Catalogue((b"p1", b"p2"), (b"m",), (b"x", b"y", b"z"))
        assert await buyer.submit(me, b"job") == "j"
        assert await buyer.job(me, "j") == VIEW
        assert await buyer.jobs(me) == (VIEW, VIEW)
        await buyer.accept(me, "j", b"a")
        await buyer.cancel(me, "j", b"c")
        assert [event async for event in buyer.watch(me, "j", 1)] == [
            JobEvent(sequence, "HELD", "2026-01-01T00:00:00.000Z") for sequence in (2, 3)
        ]
        assert await buyer.result(me, "j") == RESULT
        fetched = [chunk async for chunk in buyer.fetch(me, "j", "alice", 1, 10)]
        assert b"".join(fetched) == echo.blob[10:]
        assert max(map(len, fetched)) <= CHUNK_BYTES
        assert await buyer.receipt(me, "j") == b"receipt"
        assert await provider.statement(node) == b"statement"
        assert await buyer.checkpoint(me) == "checkpoint"
        assert await buyer.leaves(me, 3, 2) == (b"3", b"4")
        assert await buyer.consistency(me, 1, 2) == LogProof((b"c" * 32,))
        assert await buyer.inclusion(me, 1, 2) == LogProof((b"i" * 32, b"j" * 32))
        assert await provider.uploaded(node, "d", 1, 0) == 0
        assert await provider.upload(node, "d", 1, 0, 0, _chunks(b"abc", b"", b"x" * 3_000_000)) == 3_000_003
        await deliver(ports[1], node, "d", 1, 1, b"y" * 1_500_000)
        assert bytes(echo.uploads["d", 1, 1]) == b"y" * 1_500_000

        assert {caller for _, caller, _ in echo.calls} == {me, node}
        await buyer.close()
        await provider.close()
        await server.stop(0)

    asyncio.run(scenario())


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
