from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio

from records.errors import NotPermitted
from sandbox.ports import Caller
from sandbox.rpc.v1.node_service_pb2 import CompareCheckpointsRequest as Word
from sandbox.wire.interceptor import Context, Interceptor, caller
from tests.adversarial.wire_attacks import outcome

ARITIES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Check:
    """Lets by, or stops at one of its two steps, and counts."""

    def __init__(self, stops_at: str) -> None:
        self.stops_at = stops_at
        self.admitted = 0
        self.confirmed: list[bytes] = []

    def admit(self, method: str, context: Context) -> Caller:
        self.admitted += 1
        if self.stops_at == "admit" or (self.stops_at == "later" and self.admitted > 1):
            raise NotPermitted("stopped")
        return Caller("alice", "provider")

    async def confirm(self, method: str, context: Context, body: bytes) -> None:
        self.confirmed.append(body)
        if self.stops_at == "confirm":
            raise NotPermitted("stopped")


class Echo:
    """Four handlers that answer with the words they got, and say who sent them."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def _hear(self, request: Word) -> Word:
        self.heard.append(request.checkpoint)
        return Word(checkpoint=f"{caller().party}: {request.checkpoint}")

    async def unary_unary(self, request: Word, context: Context) -> Word:
        return self._hear(request)

    async def unary_stream(self, request: Word, context: Context) -> AsyncIterator[Word]:
        yield self._hear(request)

    async def stream_unary(self, requests: AsyncIterator[Word], context: Context) -> Word:
        return [self._hear(request) async for request in requests][-1]

    async def stream_stream(self, requests: AsyncIterator[Word], context: Context) -> AsyncIterator[Word]:
        async for request in requests:
            yield self._hear(request)

    def handlers(self) -> grpc.GenericRpcHandler:
        methods = {}
        for arity in ARITIES:
            make: Any = getattr(grpc, f"{arity}_rpc_method_handler")
            methods[arity] = make(getattr(self, arity), Word.FromString, Word.SerializeToString)
        return grpc.method_handlers_generic_handler("x.Echo", methods)


async def _call(address: str, arity: str, words: list[bytes]) -> list[bytes]:
    async with aio.insecure_channel(address) as channel:
        rpc: Any = getattr(channel, arity)(f"/x.Echo/{arity}")
        answer = rpc(iter(words) if arity.startswith("stream") else words[0], timeout=5)
        if arity.endswith("_stream"):
            return [data async for data in answer]
        return [await answer]


async def _run(arity: str, check: Check, echo: Echo, words: list[bytes]) -> list[bytes] | str:
    server = aio.server(interceptors=[Interceptor(check)])
    server.add_generic_rpc_handlers((echo.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        return await _call(f"127.0.0.1:{port}", arity, words)
    except aio.AioRpcError as error:
        return outcome(error).code
    finally:
        await server.stop(0)


WORD = Word(checkpoint="hello").SerializeToString()


@pytest.mark.parametrize("arity", ARITIES)
def test_every_arity_passes_the_gate_and_knows_its_caller(arity: str) -> None:
    check, echo = Check(""), Echo()
    answers = asyncio.run(_run(arity, check, echo, [WORD]))
    assert answers == [Word(checkpoint="alice: hello").SerializeToString()]
    assert check.confirmed == [WORD]


@pytest.mark.parametrize("step", ["admit", "confirm"])
@pytest.mark.parametrize("arity", ARITIES)
def test_no_arity_reaches_its_handler_when_the_gate_says_no(arity: str, step: str) -> None:
    check, echo = Check(step), Echo()
    assert asyncio.run(_run(arity, check, echo, [WORD])) == "not-permitted"
    assert echo.heard == []
    assert check.confirmed == ([WORD] if step == "confirm" else [])


@pytest.mark.parametrize("arity", ["unary_stream", "stream_unary", "stream_stream"])
def test_streams_are_admitted_again_for_every_message(arity: str) -> None:
    check, echo = Check("later"), Echo()
    assert asyncio.run(_run(arity, check, echo, [WORD, WORD])) == "not-permitted"
    assert len(echo.heard) == 1


@pytest.mark.parametrize("arity", ["stream_unary", "stream_stream"])
def test_a_stream_without_a_first_message_is_refused(arity: str) -> None:
    assert asyncio.run(_run(arity, Check(""), Echo(), [])) == "not-permitted"
