"""One party's calls to one other: mTLS channel, signed requests, deadlines, bounded retries.

The channel accepts only a certificate that the authority issued for the *name* of the expected party; names
are given to keys by the exchange's registry. An authority that deceives could put itself between: what
crosses is therefore signed or sealed end to end, and never trusted for having come by this channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from records.clock import Clock, utc_now
from records.errors import NotPermitted, StateConflict
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.ports import Caller
from sandbox.wire import authorisation, errors, requests
from sandbox.wire.messages import parse

M = TypeVar("M", bound=Message)

ATTEMPTS: Final = 5
FIRST_BACKOFF_S: Final = 0.1

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    # A repeated call is signed anew; the transport's own retries would repeat a nonce.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the time that one attempt to connect may take, TLS handshake included.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 60_000),
)


def channel_credentials(identity: Identity) -> grpc.ChannelCredentials:
    """Return mTLS credentials that trust the identity's authority alone.

    Raises:
        StateConflict: the identity has no certificate yet.
    """
    if not identity.certificate:
        raise StateConflict(f"`{identity.party}` has no certificate: enrol first")
    return grpc.ssl_channel_credentials(identity.authority, identity.tls_key_pem, identity.certificate)


def channel_options(party: str) -> list[tuple[str, str | int]]:
    """Return channel arguments that demand a certificate for the name of `party`."""
    return [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", party)]


class Connection:
    """Calls `peer` at `address` as `identity`. Belongs to the event loop of its first call."""

    def __init__(
        self,
        address: str,
        identity: Identity,
        peer: PartyRecord,
        *,
        clock: Clock = utc_now,
        deadline_s: float | None = None,
    ) -> None:
        self._address = address
        self._identity = identity
        self._clock = clock
        self._deadline_s = deadline_s
        self._opened: aio.Channel | None = None
        self.peer = peer.party

    async def unary(self, caller: Caller, method: str, request: Message, reply: type[M]) -> M:
        """Call `Service/Method`; repeat while the peer cannot be reached, each time signed anew.

        Raises:
            PeerUnavailable: no answer within the deadline, or not reachable.
            UsufructError: what the peer raised.
        """
        body, full = request.SerializeToString(), authorisation.path(method)
        for attempt in range(ATTEMPTS):
            try:
                deadline_s, metadata = self._sign(caller, full, body)
                call: aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel().unary_unary(full)
                return parse(reply, await call(body, timeout=deadline_s, metadata=metadata))
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt == ATTEMPTS - 1:
                    raise errors.rebuild(error, self.peer) from None
            await asyncio.sleep(FIRST_BACKOFF_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def stream(self, caller: Caller, method: str, request: Message, reply: type[M]) -> AsyncIterator[M]:
        """Call a method that answers with a stream; see `unary`. Never repeated: callers resume."""
        body, full = request.SerializeToString(), authorisation.path(method)
        deadline_s, metadata = self._sign(caller, full, body)
        method_call: aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel().unary_stream(full)
        call = method_call(body, timeout=deadline_s, metadata=metadata)
        try:
            async for data in call:
                yield parse(reply, data)
        except aio.AioRpcError as error:
            raise errors.rebuild(error, self.peer) from None
        finally:
            call.cancel()

    async def upload(
        self, caller: Caller, method: str, first: Message, rest: AsyncIterator[Message], reply: type[M]
    ) -> M:
        """Call a method that takes a stream, of which the request signature covers `first`; see `unary`."""
        body, full = first.SerializeToString(), authorisation.path(method)

        async def bodies() -> AsyncIterator[bytes]:
            yield body
            async for message in rest:
                yield message.SerializeToString()

        deadline_s, metadata = self._sign(caller, full, body)
        try:
            call: aio.StreamUnaryMultiCallable[bytes, bytes] = self._channel().stream_unary(full)
            return parse(reply, await call(bodies(), timeout=deadline_s, metadata=metadata))
        except aio.AioRpcError as error:
            raise errors.rebuild(error, self.peer) from None

    async def close(self) -> None:
        """Close the channel; a later call opens a new one."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    def _channel(self) -> aio.Channel:
        # Opened by the first call: gRPC binds a channel to the event loop in which it is made.
        if self._opened is None:
            self._opened = aio.secure_channel(
                self._address, channel_credentials(self._identity), options=channel_options(self.peer)
            )
        return self._opened

    def _sign(self, caller: Caller, method: str, body: bytes) -> tuple[float, aio.Metadata]:
        record = self._identity.record.document
        if caller != Caller(record.party, record.role):
            raise NotPermitted(f"this connection calls as `{record.party}` only")
        limit_s = authorisation.RULES[method].deadline_s
        return (
            limit_s if self._deadline_s is None else min(limit_s, self._deadline_s),
            request_metadata(self._identity, method, self.peer, body, self._clock),
        )


def request_metadata(
    identity: Identity, method: str, audience: str, body: bytes, clock: Clock
) -> aio.Metadata:
    """Return the metadata of one signed call; `method` is the full path, `body` the first message."""
    envelope = requests.sign(
        identity.record.document, identity.signer, method=method, audience=audience, body=body, clock=clock
    )
    return aio.Metadata((requests.METADATA_KEY, envelope))
