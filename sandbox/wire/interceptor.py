"""The gate that every call passes before any handler runs, whatever its arity.

Theory of operation. gRPC hands the interceptor a handler of one of four arities. Each is replaced by one
that (1) admits the peer before a single message is read, (2) confirms the signed request against the exact
bytes of the first message, (3) parses strictly, (4) runs the handler with `caller()` set, (5) admits the peer
again for every further message of a stream, so that revocation ends long calls too, and (6) turns
whatever is raised into an entry of the error catalogue. A method without a handler is denied, and a fifth
arity cannot pass: what is not one of the four has no wrapper.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from records.clock import Clock
from records.errors import MalformedDocument, NotPermitted
from records.parties import PartyRecord
from sandbox.ports import Caller
from sandbox.wire import authorisation, errors, requests
from sandbox.wire.certificates import certificate_key_digest
from sandbox.wire.messages import require_known_fields
from sandbox.wire.registry import Directory
from sandbox.wire.requests import NonceStore

Context = aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_CALLER: ContextVar[Caller] = ContextVar("usufruct-caller")


def caller() -> Caller:
    """Return who is calling; for use inside handlers."""
    return _CALLER.get()


class CallCheck(Protocol):
    """Decides about calls: once from the connection, once from the first message."""

    def admit(self, method: str, context: Context) -> Caller:
        """Return who calls, if that peer may call `method`. Asked again for every message of a stream."""

    async def confirm(self, method: str, context: Context, body: bytes) -> None:
        """Return if the peer means this call, with these bytes, now."""


class PeerCheck:
    """Registered TLS key, role in the table, deadline, signed request: the check of all mTLS listeners."""

    def __init__(self, callee: PartyRecord, directory: Directory, nonces: NonceStore, clock: Clock) -> None:
        self._callee = callee
        self._directory = directory
        self._nonces = nonces
        self._clock = clock

    def admit(self, method: str, context: Context) -> Caller:
        """Return the registered party behind this connection; see `CallCheck`."""
        peer = self._peer(context)
        rule = authorisation.check_role(method, peer)
        authorisation.check_deadline(rule, context.time_remaining())
        return Caller(peer.party, peer.role)

    async def confirm(self, method: str, context: Context, body: bytes) -> None:
        """Check the signed request; see `CallCheck`."""
        peer = self._peer(context)
        if authorisation.check_role(method, peer).signed:
            await requests.check(
                _single_metadata(context, requests.METADATA_KEY),
                peer,
                method=method,
                callee=self._callee,
                body=body,
                nonces=self._nonces,
                clock=self._clock,
            )

    def _peer(self, context: Context) -> PartyRecord:
        certificates = list(context.auth_context().get("x509_pem_cert", ()))
        if len(certificates) != 1:
            raise NotPermitted("connect with a client certificate")
        return self._directory.by_tls_key(_key_digest(certificates[0]))


class Interceptor(aio.ServerInterceptor):
    """Puts a `CallCheck` before every handler of a server."""

    def __init__(self, check: CallCheck) -> None:
        self._check = check

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the handler with the gate before it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(_deny)
        method, replies = handler_call_details.method, handler.response_serializer
        parse = handler.request_deserializer
        if handler.unary_unary:
            gate = _Gate(self._check, method, handler.unary_unary, parse)
            return grpc.unary_unary_rpc_method_handler(gate.unary_unary, None, replies)
        if handler.unary_stream:
            gate = _Gate(self._check, method, handler.unary_stream, parse)
            return grpc.unary_stream_rpc_method_handler(gate.unary_stream, None, replies)
        if handler.stream_unary:
            gate = _Gate(self._check, method, handler.stream_unary, parse)
            return grpc.stream_unary_rpc_method_handler(gate.stream_unary, None, replies)
        gate = _Gate(self._check, method, handler.stream_stream, parse)
        return grpc.stream_stream_rpc_method_handler(gate.stream_stream, None, replies)


class _Gate:
    """One handler with the gate before it; requests arrive here as bytes.

    The types of a handler's two sides differ for every method, so they are `Any` here and nowhere else.
    """

    def __init__(self, check: CallCheck, method: str, behaviour: Any, deserialize: Any) -> None:
        self._check = check
        self._method = method
        self._behaviour = behaviour
        self._deserialize = deserialize

    async def unary_unary(self, body: bytes, context: Context) -> Any:
        try:
            request = await self._open(body, context)
            return await self._behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - nothing foreign may cross the wire
            return await self._abort(error, context)

    async def unary_stream(self, body: bytes, context: Context) -> AsyncIterator[Any]:
        try:
            request = await self._open(body, context)
            async with aclosing(self._behaviour(request, context)) as replies:
                async for reply in replies:
                    self._check.admit(self._method, context)
                    yield reply
        except Exception as error:  # noqa: BLE001 - as above
            await self._abort(error, context)

    async def stream_unary(self, bodies: AsyncIterator[bytes], context: Context) -> Any:
        try:
            requests_in = await self._open_stream(bodies, context)
            return await self._behaviour(requests_in, context)
        except Exception as error:  # noqa: BLE001 - as above
            return await self._abort(error, context)

    async def stream_stream(self, bodies: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        try:
            requests_in = await self._open_stream(bodies, context)
            async with aclosing(self._behaviour(requests_in, context)) as replies:
                async for reply in replies:
                    self._check.admit(self._method, context)
                    yield reply
        except Exception as error:  # noqa: BLE001 - as above
            await self._abort(error, context)

    async def _open(self, body: bytes, context: Context) -> Any:
        _CALLER.set(self._check.admit(self._method, context))
        await self._check.confirm(self._method, context, body)
        return self._parse(body)

    async def _open_stream(self, bodies: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        _CALLER.set(self._check.admit(self._method, context))
        first = await anext(bodies, None)
        if first is None:
            raise NotPermitted("a stream begins with the message that its signature covers")
        await self._check.confirm(self._method, context, first)
        return self._rest(self._parse(first), bodies, context)

    async def _rest(self, first: Any, bodies: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        yield first
        async for body in bodies:
            self._check.admit(self._method, context)
            yield self._parse(body)

    def _parse(self, body: bytes) -> Any:
        try:
            message = self._deserialize(body)
        except DecodeError as error:
            raise MalformedDocument("not a message of this method") from error
        require_known_fields(message)
        return message

    async def _abort(self, error: Exception, context: Context) -> Any:
        if isinstance(error, aio.AbortError):
            raise error
        await errors.abort(context, errors.describe(error, self._method))


async def _deny(body: bytes, context: Context) -> bytes:
    return await errors.abort(context, errors.describe(NotPermitted("this method does not exist here"), ""))


def _single_metadata(context: Context, key: str) -> bytes | None:
    values = [value for name, value in context.invocation_metadata() or () if name == key]
    return values[0] if len(values) == 1 and isinstance(values[0], bytes) else None


@lru_cache(maxsize=1024)
def _key_digest(certificate_pem: bytes) -> str:
    return certificate_key_digest(certificate_pem)
