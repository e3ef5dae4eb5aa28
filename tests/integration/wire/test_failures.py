from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from records.clock import utc_now
from records.errors import (
    NotPermitted,
    PeerUnavailable,
    Reason,
    RefusedError,
    StateConflict,
    UsufructError,
)
from sandbox.ports import Caller, JobEvent
from sandbox.wire.authorisation import HEALTH_CHECK
from sandbox.wire.connection import channel_credentials, channel_options
from sandbox.wire.errors import CATALOGUE
from sandbox.wire.exchange_client import ExchangeClient
from sandbox.wire.node_client import NodeClient
from sandbox.wire.server import serve
from sandbox.wire.transfer import deliver
from tests.integration.wire.cutting_proxy import CuttingProxy
from tests.integration.wire.loopback import EchoExchange, EchoNode, Town, caller_of, make_identity

REASON = Reason("alice", "min_units", "3", "10", "group more coarsely")


class FailingNode(EchoNode):
    """Raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def void(self, caller: Caller, acceptance_digest: str) -> None:
        raise self.error


def test_every_error_of_the_tree_reaches_the_client_as_itself() -> None:
    async def scenario() -> None:
        town, node = Town(), FailingNode(KeyError())
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=node)
        exchange = town.parties["exchange"]
        client = NodeClient(server.address, exchange, town.record("provider"))
        for kind in CATALOGUE:
            node.error = kind((REASON,)) if issubclass(kind, RefusedError) else kind("what to do")
            with pytest.raises(kind) as raised:
                await client.void(caller_of(exchange), "d")
            assert type(raised.value) is kind
            assert str(raised.value) == str(node.error)
            if isinstance(raised.value, RefusedError):
                assert raised.value.reasons == (REASON,)
        await client.close()
        await server.stop(0)

    asyncio.run(scenario())


def test_a_fault_of_the_server_shows_nothing_but_an_incident(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        town, node = Town(), FailingNode(ValueError("patient 4711 has diabetes"))
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=node)
        exchange = town.parties["exchange"]
        client = NodeClient(server.address, exchange, town.record("provider"))
        with pytest.raises(UsufructError, match="incident") as raised:
            await client.void(caller_of(exchange), "d")
        assert type(raised.value) is UsufructError
        assert "4711" not in str(raised.value)
        await client.close()
        await server.stop(0)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scenario())
    assert "4711" not in caplog.text
    assert "ValueError" in caplog.text


def test_a_silent_peer_is_named() -> None:
    class SleepingNode(EchoNode):
        async def void(self, caller: Caller, acceptance_digest: str) -> None:
            await asyncio.sleep(60)

    async def scenario() -> None:
        town = Town()
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=SleepingNode())
        exchange = town.parties["exchange"]
        client = NodeClient(server.address, exchange, town.record("provider"), deadline_s=0.3)
        with pytest.raises(PeerUnavailable, match="provider"):
            await client.void(caller_of(exchange), "d")
        await server.stop(0)
        with pytest.raises(PeerUnavailable, match="provider"):
            await client.void(caller_of(exchange), "d")
        await client.close()

    asyncio.run(scenario())


def test_a_call_is_repeated_until_the_peer_is_up() -> None:
    async def scenario() -> None:
        town, node = Town(), EchoNode()
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=node)
        address = server.address
        await server.stop(0)
        exchange = town.parties["exchange"]
        client = NodeClient(address, exchange, town.record("provider"))
        pending = asyncio.create_task(client.checkpoint_size(caller_of(exchange)))
        await asyncio.sleep(0.2)
        server = await serve(
            town.parties["provider"], town.registry, clock=utc_now, node=node, address=address
        )
        assert await pending == 7
        await client.close()
        await server.stop(0)

    asyncio.run(scenario())


def test_a_client_calls_as_nobody_else() -> None:
    async def scenario() -> None:
        town = Town()
        client = NodeClient("127.0.0.1:1", town.parties["exchange"], town.record("provider"))
        with pytest.raises(NotPermitted, match="only"):
            await client.void(Caller("notary", "notary"), "d")

    asyncio.run(scenario())


def test_an_upload_that_is_cut_is_resumed_where_it_stood() -> None:
    async def scenario() -> None:
        town, echo = Town(), EchoExchange()
        server = await serve(town.parties["exchange"], town.registry, clock=utc_now, exchange=echo)
        provider = town.parties["provider"]
        data = bytes(range(251)) * 20_000
        proxy = CuttingProxy(server.address, cuts=(2_000_000, 2_000_000))
        async with proxy.running() as address:
            client = ExchangeClient(address, provider, town.record("exchange"))
            await deliver(client, caller_of(provider), "d", 1, 0, data)
            await client.close()
        assert bytes(echo.uploads["d", 1, 0]) == data
        offsets = [arguments[3] for name, _, arguments in echo.calls if name == "upload"]
        assert offsets[0] == 0
        assert len(offsets) >= 3
        assert all(offset > 0 for offset in offsets[1:])  # type: ignore[operator]
        await server.stop(0)

    asyncio.run(scenario())


def test_an_upload_at_the_wrong_offset_changes_nothing() -> None:
    async def once() -> AsyncIterator[bytes]:
        yield b"late"

    async def scenario() -> None:
        town, echo = Town(), EchoExchange()
        server = await serve(town.parties["exchange"], town.registry, clock=utc_now, exchange=echo)
        provider = town.parties["provider"]
        client = ExchangeClient(server.address, provider, town.record("exchange"))
        with pytest.raises(StateConflict):
            await client.upload(caller_of(provider), "d", 1, 0, 99, once())
        assert await client.uploaded(caller_of(provider), "d", 1, 0) == 0
        await client.close()
        await server.stop(0)

    asyncio.run(scenario())


def test_a_fetch_that_is_cut_goes_on_behind_the_last_byte() -> None:
    class Cut(EchoExchange):
        """Sends a part, then nothing more; the next call goes on."""

        async def fetch(
            self, caller: Caller, job_id: str, node: str, index: int, offset: int
        ) -> AsyncIterator[bytes]:
            self._note("fetch", caller, job_id, node, index, offset)
            yield self.blob[offset : offset + 1000]
            if offset + 1000 < len(self.blob):
                raise PeerUnavailable("the store is away")

    async def scenario() -> None:
        town, echo = Town(), Cut(blob=bytes(range(250)) * 10)
        server = await serve(town.parties["exchange"], town.registry, clock=utc_now, exchange=echo)
        buyer = town.parties["buyer"]
        client = ExchangeClient(server.address, buyer, town.record("exchange"))
        fetched = b"".join([chunk async for chunk in client.fetch(caller_of(buyer), "j", "alice", 0, 0)])
        assert fetched == echo.blob
        assert [arguments[3] for _, _, arguments in echo.calls] == [0, 1000, 2000]
        await client.close()
        await server.stop(0)

    asyncio.run(scenario())


class EndlessExchange(EchoExchange):
    """A job that makes a step whenever it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.step = asyncio.Event()

    async def watch(self, caller: Caller, job_id: str, after: int) -> AsyncIterator[JobEvent]:
        while True:
            after += 1
            yield JobEvent(after, "HELD", "2026-01-01T00:00:00.000Z")
            await self.step.wait()
            self.step.clear()


def test_revocation_ends_a_running_stream() -> None:
    async def scenario() -> None:
        town, exchange = Town(), EndlessExchange()
        server = await serve(town.parties["exchange"], town.registry, clock=utc_now, exchange=exchange)
        buyer = town.parties["buyer"]
        client = ExchangeClient(server.address, buyer, town.record("exchange"))
        events = client.watch(caller_of(buyer), "j", 0)
        assert (await anext(events)).sequence == 1
        exchange.step.set()
        assert (await anext(events)).sequence == 2
        town.registry.revoke("buyer")
        exchange.step.set()
        with pytest.raises(NotPermitted):
            await anext(events)
        await client.close()
        await server.stop(0)

    asyncio.run(scenario())


def test_a_key_rotates_while_both_ends_run() -> None:
    async def scenario() -> None:
        town, echo = Town(), EchoNode()
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=echo)
        old = town.parties["exchange"]
        me = caller_of(old)
        client = NodeClient(server.address, old, town.record("provider"))
        assert await client.checkpoint_size(me) == 7
        # (1) The client rotates: on the open connection its old key is worth nothing any more.
        _, bare = old.rotate(utc_now)
        town.registry.put(bare.record)
        with pytest.raises(NotPermitted):
            await client.checkpoint_size(me)
        new = bare.with_certificate(
            town.authority.issue("exchange", bare.keys.tls.public_key(), utc_now), town.authority.pem
        )
        renewed = NodeClient(server.address, new, town.record("provider"))
        assert await renewed.checkpoint_size(me) == 7
        # (2) The server rotates: the next handshake shows the new certificate.
        _, bare = town.parties["provider"].rotate(utc_now)
        certificate = town.authority.issue("provider", bare.keys.tls.public_key(), utc_now)
        server.present(bare.with_certificate(certificate, town.authority.pem))
        await renewed.close()
        assert await renewed.checkpoint_size(me) == 7
        await client.close()
        await renewed.close()
        await server.stop(0)

    asyncio.run(scenario())


def test_a_server_presents_the_identity_it_serves_and_no_other() -> None:
    async def scenario() -> None:
        town = Town()
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=EchoNode())
        with pytest.raises(NotPermitted):
            server.present(town.parties["notary"])
        with pytest.raises(StateConflict, match="listen"):
            await serve(town.parties["notary"], town.registry, clock=utc_now, address=server.address)
        await server.stop(0)

    asyncio.run(scenario())


def test_health_is_answered_to_registered_parties_alone() -> None:
    async def scenario() -> None:
        town = Town()
        server = await serve(town.parties["provider"], town.registry, clock=utc_now, node=EchoNode())
        stranger = make_identity(town.authority, "stranger", "buyer")
        answers: list[object] = []
        for identity in (town.parties["regulator"], stranger):
            credentials = channel_credentials(identity)
            async with aio.secure_channel(
                server.address, credentials, channel_options("provider")
            ) as channel:
                rpc: Any = channel.unary_unary(HEALTH_CHECK)
                try:
                    data = await rpc(b"", timeout=5)
                    answers.append(health_pb2.HealthCheckResponse.FromString(data).status)
                except aio.AioRpcError as error:
                    answers.append(error.code().name)
        assert answers == [health_pb2.HealthCheckResponse.SERVING, "PERMISSION_DENIED"]
        await server.stop(0)

    asyncio.run(scenario())
