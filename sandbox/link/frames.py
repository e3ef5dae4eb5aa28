"""Frames over one connected socket, as the TLS data channel carries them.

    kind (1 byte) ‖ zeros (3) ‖ payload bytes (4) ‖ number (8), big-endian; then the payload

The receiver says READY, the sender's HELLO names the channel, and the receiver answers ACCEPTED or REFUSED.
Then come FRAMEs, numbered from 0, and one END with their number, which the receiver answers by CONFIRMED. A
connection without END was cut. Frames flow one way only, so no two threads write and read one socket at once.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import numpy as np

from records.errors import EvidenceError, LimitExceeded, PeerUnavailable, UsufructError

HEADER: Final = struct.Struct(">B3xIQ")
RECORD_BYTES: Final = 1 << 14
"""What TLS encrypts at once (RFC 8446, 5.1)."""
RECORDS_PER_KEY: Final = 1 << 24
"""AES-GCM stays within its margin for 2^24.5 records of one key (RFC 8446, 5.5)."""
CHUNK_BYTES: Final = 1 << 18
"""What is written at once. A chunk that found no room must be tried again as a whole, with the same bytes."""


class Kind(IntEnum):
    """What a header announces."""

    READY = 0
    HELLO = 1
    ACCEPTED = 2
    REFUSED = 3
    FRAME = 4
    END = 5
    CONFIRMED = 6


class Wire:
    """A connected socket to `peer`. Every wait ends after `timeout_s` without progress, and at `deadline`."""

    def __init__(self, connection: socket.socket, peer: str, timeout_s: float, lifetime_s: float) -> None:
        self.peer = peer
        self.timeout_s = timeout_s
        self.connection = connection
        self._deadline = time.monotonic() + lifetime_s
        connection.settimeout(timeout_s)
        # Closed when no thread holds this any more: a number must not be given anew under a reader.
        weakref.finalize(self, connection.close)

    def read(self, limit_bytes: int) -> tuple[int, int, memoryview]:
        """Return kind, number and payload of the next message.

        Raises:
            EvidenceError: it announces more than `limit_bytes`.
            PeerUnavailable: nothing came in time, or the peer is gone.
        """
        header = bytearray(HEADER.size)
        self._fill(memoryview(header))
        kind, size, number = HEADER.unpack(header)
        if size > limit_bytes:
            raise EvidenceError(f"`{self.peer}` announces a frame larger than {limit_bytes} bytes")
        payload = np.empty(size, dtype=np.uint8).data if size else memoryview(b"")
        self._fill(payload)
        return kind, number, payload.toreadonly()

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`, waiting for room.

        Raises:
            PeerUnavailable: the peer takes nothing, or is gone.
        """
        view = memoryview(data)
        while view:
            self._check_deadline()
            try:
                view = view[self.connection.send(view[:CHUNK_BYTES]) :]
            except TimeoutError:
                raise PeerUnavailable(f"`{self.peer}` took nothing for {self.timeout_s:g} s") from None
            except OSError as error:
                raise self._left() from error

    def write_now(self, data: bytes | memoryview) -> memoryview:
        """Write what finds room at once; return the rest, which must be written next, unchanged.

        Raises:
            PeerUnavailable: the peer is gone.
        """
        view = memoryview(data)
        self.connection.settimeout(0)
        try:
            while view:
                view = view[self.connection.send(view[:CHUNK_BYTES]) :]
        except (ssl.SSLWantWriteError, BlockingIOError):
            pass  # full: the rest waits for the writer's thread
        except OSError as error:
            raise self._left() from error
        finally:
            self.connection.settimeout(self.timeout_s)
        return view

    def break_off(self) -> None:
        """End the connection at once, at both ends; call from any thread, at any time."""
        try:
            # `SSLSocket.shutdown` would forget its TLS state, and a write under way go out in the clear.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
        except OSError:
            return  # the peer was faster

    def _fill(self, view: memoryview) -> None:
        filled = 0
        while filled < len(view):
            try:
                received = self.connection.recv_into(view[filled:])
            except TimeoutError:
                raise PeerUnavailable(f"`{self.peer}` sent nothing for {self.timeout_s:g} s") from None
            except OSError as error:
                raise self._left() from error
            if not received:
                raise self._left()
            filled += received
            self._check_deadline()

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise PeerUnavailable(f"the channel with `{self.peer}` is past its time")

    def _left(self) -> PeerUnavailable:
        return PeerUnavailable(f"`{self.peer}` has left the channel")


class FrameReader:
    """Reads a peer's frames on the thread that needs them.

    `admit` is asked for every frame, so that revocation ends a running channel.
    """

    def __init__(self, wire: Wire, frame_bytes: int, admit: Callable[[], object]) -> None:
        self._wire = wire
        self._frame_bytes = frame_bytes
        self._admit = admit
        self._frames = 0

    def receive(self) -> memoryview:
        """Return the next frame.

        Raises:
            EvidenceError: the peer sends something else than the next frame.
            NotPermitted: the peer's key is no longer registered.
            PeerUnavailable: nothing came in time, or the peer is gone.
        """
        kind, number, payload = self._wire.read(self._frame_bytes)
        self._admit()
        if kind != Kind.FRAME or number != self._frames:
            raise EvidenceError(f"a frame of `{self._wire.peer}` is missing, repeated or not asked for")
        self._frames += 1
        return payload

    def finish(self) -> None:
        """Confirm that all frames came, once the peer says so.

        Raises:
            EvidenceError: there are more frames than were received, or fewer than the peer says.
            PeerUnavailable: the peer is gone, or does not end.
        """
        kind, number, payload = self._wire.read(self._frame_bytes)
        if kind != Kind.END or number != self._frames or payload:
            raise EvidenceError(f"the stream of `{self._wire.peer}` does not end where it should")
        self._wire.write(HEADER.pack(Kind.CONFIRMED, 0, self._frames))

    def break_off(self) -> None:
        """End the connection at once; call from any thread."""
        self._wire.break_off()


class FrameWriter:
    """Writes frames to a peer: what finds room on the caller's thread, the rest on one of its own.

    At most `window_bytes` wait, or one frame: then `send` waits too.
    """

    def __init__(self, wire: Wire, window_bytes: int) -> None:
        self._wire = wire
        self._window_bytes = window_bytes
        self._frames = 0
        self._records = 0
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._failure: UsufructError | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def send(self, frame: memoryview) -> None:
        """Hand a frame over; it may change after this.

        Raises:
            LimitExceeded: the connection's key has served its time.
            PeerUnavailable: the peer is gone, or takes nothing.
        """
        self._records += 1 + len(frame) // RECORD_BYTES
        if self._records > RECORDS_PER_KEY:
            raise LimitExceeded("a channel carries no more under one key; split the job")
        header = HEADER.pack(Kind.FRAME, len(frame), self._frames)
        self._frames += 1
        # Header and a small frame are one record, one packet.
        first = header + bytes(frame[: RECORD_BYTES - len(header)])
        self._put(first, frame[RECORD_BYTES - len(header) :])

    def end(self) -> None:
        """Say that nothing more comes; see `send`."""
        self._put(HEADER.pack(Kind.END, 0, self._frames), memoryview(b""))

    def settle(self) -> None:
        """Wait until the peer has confirmed all frames; call `end` before.

        Raises:
            EvidenceError: it confirms something else.
            PeerUnavailable: it does not.
        """
        with self._changed:
            # The thread below gives up in time, and says so.
            self._changed.wait_for(lambda: not self._queue or self._failure)
            self._check()
        kind, number, _ = self._wire.read(0)
        if kind != Kind.CONFIRMED or number != self._frames:
            raise EvidenceError(f"`{self._wire.peer}` confirms another number of frames than were sent")

    def cancel(self) -> None:
        """End the connection at once; call from any thread."""
        self._fail(PeerUnavailable(f"the channel to `{self._wire.peer}` is closed"))
        self._wire.break_off()

    def _put(self, first: bytes, rest: memoryview) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._has_room(len(rest)))
            self._check()
            idle = not self._queue
        if idle:
            # With nothing queued the thread below sleeps, and the socket is this thread's alone.
            first_left = self._wire.write_now(first)
            rest = self._wire.write_now(rest) if not first_left else rest
            waiting = (bytes(first_left), bytes(rest))
        else:
            waiting = (first, bytes(rest))
        if any(waiting):
            self._enqueue(waiting)

    def _enqueue(self, waiting: tuple[bytes, ...]) -> None:
        with self._changed:
            for data in filter(None, waiting):
                self._queue.append(data)
                self._queued_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="frame-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return not self._queue or self._queued_bytes + size <= self._window_bytes

    def _fail(self, failure: UsufructError) -> None:
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._failure)
                if self._failure is not None:
                    return
                data = self._queue[0]
            try:
                self._wire.write(data)
            except UsufructError as failure:
                self._fail(failure)
                return
            with self._changed:
                self._queue.popleft()
                self._queued_bytes -= len(data)
                self._changed.notify_all()
