"""Frames by mTLS gRPC: the way that always works, and where a peer says whether it has a faster one.

Sending is gRPC's synchronous API, whose own thread takes chunks from a bounded queue: a peer that does not
read stops the sender. Receiving is the node's server, which hands frames to its `Mailbox`.
"""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import grpc

from records.clock import Clock, utc_now
from records.errors import (
    EvidenceError,
    LimitExceeded,
    MalformedDocument,
    PeerUnavailable,
    RequestExpired,
    UsufructError,
)
from sandbox.identity import Identity
from sandbox.link.mailbox import Mailbox
from sandbox.rpc.v1 import link_service_pb2 as pb
from sandbox.rpc.v1.link_service_pb2_grpc import LinkServiceServicer
from sandbox.wire import errors
from sandbox.wire.authorisation import RULES, path
from sandbox.wire.connection import channel_credentials, channel_options, request_metadata
from sandbox.wire.interceptor import Context, caller

METHOD: Final = path("LinkService/SendFrames")
FIND_DATA_PORT: Final = path("LinkService/FindDataPort")
MAX_PORT: Final = 65535
CHUNK_BYTES: Final = 1 << 20
QUEUE_BYTES: Final = 16 << 20


class LinkServicer(LinkServiceServicer):
    """Receives the streams of other nodes into a mailbox; `data_port` is that of the data channel, or 0."""

    def __init__(self, mailbox: Mailbox, data_port: int = 0) -> None:
        self._mailbox = mailbox
        self._data_port = data_port

    async def FindDataPort(
        self, request: pb.FindDataPortRequest, context: Context
    ) -> pb.FindDataPortResponse:
        return pb.FindDataPortResponse(port=self._data_port)

    async def SendFrames(
        self, request_iterator: AsyncIterator[pb.SendFramesRequest], context: Context
    ) -> pb.SendFramesResponse:
        first = await anext(request_iterator)
        if first.WhichOneof("part") != "channel":
            raise MalformedDocument("a stream of frames begins with its channel")
        inbox = await self._mailbox.accept(caller().party, first.channel)
        received = 0
        try:
            async for frame in _joined(request_iterator, self._mailbox.limits.frame_bytes):
                await inbox.put(frame)
                received += 1
        finally:
            inbox.end()
        return pb.SendFramesResponse(frames=received)


async def _joined(messages: AsyncIterator[pb.SendFramesRequest], frame_bytes: int) -> AsyncIterator[bytes]:
    """Yield whole frames, after checking that no chunk is missing, repeated or behind the end."""
    parts: list[bytes] = []
    held = sequence = frames = 0
    async for message in messages:
        if message.WhichOneof("part") == "frames_sent":
            if parts or message.frames_sent != frames or await anext(messages, None) is not None:
                raise EvidenceError("the stream does not end where it says")
            return
        chunk = message.chunk
        if message.WhichOneof("part") != "chunk" or chunk.sequence != sequence:
            raise EvidenceError("a chunk of the stream is missing or repeated")
        sequence += 1
        held += len(chunk.payload)
        if held > frame_bytes:
            raise LimitExceeded(f"a frame is larger than {frame_bytes} bytes")
        parts.append(chunk.payload)
        if chunk.ends_frame:
            yield b"".join(parts)
            parts, held, frames = [], 0, frames + 1
    raise PeerUnavailable("the stream was cut")


def find_data_port(
    identity: Identity, address: str, peer: str, timeout_s: float, clock: Clock = utc_now
) -> int:
    """Ask `peer` for the port of its data channel; 0 if it has none. Waits for a peer that is starting.

    Raises:
        EvidenceError: the answer is no port.
        PeerUnavailable: no answer within `timeout_s`.
        UsufructError: what the peer raised.
    """
    request = pb.FindDataPortRequest()
    metadata = request_metadata(identity, FIND_DATA_PORT, peer, request.SerializeToString(), clock)
    with grpc.secure_channel(address, channel_credentials(identity), channel_options(peer)) as channel:
        call: Any = channel.unary_unary(
            FIND_DATA_PORT, pb.FindDataPortRequest.SerializeToString, pb.FindDataPortResponse.FromString
        )
        limit_s = min(timeout_s, RULES[FIND_DATA_PORT].deadline_s)
        try:
            answer = call(request, timeout=limit_s, metadata=tuple(metadata), wait_for_ready=True)
        except grpc.RpcError as error:
            raise _fault(error, peer) from None
    port = int(answer.port)
    if port > MAX_PORT:
        raise EvidenceError(f"`{peer}` names a data port that is none")
    return port


class GrpcStream:
    """The stream to one peer: filled by a worker thread, emptied by gRPC's. See `Stream`."""

    def __init__(
        self,
        channel: str,
        identity: Identity,
        address: str,
        peer: str,
        timeout_s: float,
        clock: Clock = utc_now,
    ) -> None:
        self._peer = peer
        self._timeout_s = timeout_s
        self._queue: deque[pb.SendFramesRequest] = deque()
        self._queued_bytes = 0
        self._sequence = 0
        self._frames = 0
        self._ended = False
        self._done = False
        self._changed = threading.Condition()
        first = pb.SendFramesRequest(channel=channel)
        metadata = request_metadata(identity, METHOD, peer, first.SerializeToString(), clock)
        self._queue.append(first)
        self._grpc = grpc.secure_channel(address, channel_credentials(identity), channel_options(peer))
        call: Any = self._grpc.stream_unary(
            METHOD, pb.SendFramesRequest.SerializeToString, pb.SendFramesResponse.FromString
        )
        self._call: Any = call.future(
            self._messages(), timeout=RULES[METHOD].deadline_s, metadata=tuple(metadata), wait_for_ready=True
        )
        self._call.add_done_callback(self._finish)

    def send(self, frame: memoryview) -> None:
        """Queue a copy of a frame, waiting for room; see `Stream`."""
        for start in range(0, max(len(frame), 1), CHUNK_BYTES):
            payload = bytes(frame[start : start + CHUNK_BYTES])
            chunk = pb.FrameChunk(
                sequence=self._sequence, ends_frame=start + CHUNK_BYTES >= len(frame), payload=payload
            )
            self._sequence += 1
            self._put(pb.SendFramesRequest(chunk=chunk), len(payload))
        self._frames += 1

    def end(self) -> None:
        """Say that nothing more comes; see `Stream`."""
        self._put(pb.SendFramesRequest(frames_sent=self._frames), 0)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until the peer has confirmed all frames; see `Stream`."""
        try:
            confirmed = self._call.result(timeout=self._timeout_s).frames
        except grpc.FutureTimeoutError:
            raise PeerUnavailable(f"`{self._peer}` did not take all frames in time") from None
        except (grpc.RpcError, grpc.FutureCancelledError):
            raise self._failure() from None
        if confirmed != self._frames:
            raise EvidenceError(f"`{self._peer}` confirms another number of frames than were sent")

    def cancel(self) -> None:
        """End the stream at once; see `Stream`."""
        self._call.cancel()
        self._grpc.close()

    def _put(self, message: pb.SendFramesRequest, size: int) -> None:
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._done or self._queued_bytes + size <= QUEUE_BYTES, self._timeout_s
            )
            if self._done:
                raise self._failure()
            if not ready:
                raise PeerUnavailable(f"`{self._peer}` took nothing for {self._timeout_s:g} s")
            self._queue.append(message)
            self._queued_bytes += size
            self._changed.notify_all()

    def _messages(self) -> Iterator[pb.SendFramesRequest]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended or self._done)
                if not self._queue or self._done:
                    return
                message = self._queue.popleft()
                self._queued_bytes -= len(message.chunk.payload)
                self._changed.notify_all()
            yield message

    def _finish(self, _: object) -> None:
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _failure(self) -> Exception:
        if self._call.cancelled():
            return PeerUnavailable(f"the channel to `{self._peer}` is closed")
        failure = self._call.exception(timeout=0)
        if failure is None:
            return EvidenceError(f"`{self._peer}` confirmed the stream before it ended")
        return _fault(failure, self._peer)


def _fault(error: grpc.RpcError, peer: str) -> UsufructError:
    """Return what a peer raised; one that was restarted while it was asked is a peer that was gone."""
    fault = errors.rebuild(error, peer)
    if isinstance(fault, RequestExpired):
        return PeerUnavailable(f"`{peer}` was restarted while it was asked")
    return fault
