"""Where frames of other nodes wait for the worker threads of this one.

Theory of operation. The server's event loop calls `accept` for each incoming stream. Of a gRPC stream it
then calls `Inbox.put` for each frame; a data channel it hands over by `Inbox.attach`. A worker thread calls
`open` for its channel, then `Inbox.get`, which reads a data channel itself. A stream whose channel is not
open yet is not read: its bytes wait at the sender, by flow control, and cost this process nothing. A full
inbox is not read either. So no peer can fill this node's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from records.errors import LimitExceeded, NotPermitted, PeerUnavailable, StateConflict, UnknownObject

REMEMBERED_CHANNELS: Final = 1024
"""So many closed channels are known as such; a stream for an older one waits and then fails."""


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """Bytes, counts and seconds that peers may take up.

    `window_bytes` is what one peer may send ahead of its receiver. In a round in which all send before
    they receive, no party may send more than this to one peer, or both wait for ever (until timeout).
    """

    window_bytes: int = 256 << 20
    frame_bytes: int = 256 << 20
    waiting_streams_per_peer: int = 16
    waiting_s: float = 60.0


class Reader(Protocol):
    """Frames that come by a connection of their own; `receive` and `finish` on the worker thread."""

    def receive(self) -> memoryview:
        """Return the next frame, or raise `PeerUnavailable` in time."""

    def finish(self) -> None:
        """Confirm to the sender that all its frames came."""

    def break_off(self) -> None:
        """End the connection at once; call from any thread."""


class Inbox:
    """Frames of one sender in one channel, in order: by `put` on the event loop, or by a `Reader`."""

    def __init__(self, sender: str, window_bytes: int) -> None:
        self._sender = sender
        self._window_bytes = window_bytes
        self._frames: deque[bytes] = deque()
        self._held_bytes = 0
        self._claimed = False
        self._ended = False
        self._changed = threading.Condition()
        self._room: _Signal | None = None
        self._reader: Reader | None = None

    def claim(self) -> None:
        """Bind the inbox to one stream and to the running event loop.

        Raises:
            StateConflict: another stream has it; attempts are never resumed (R4).
        """
        with self._changed:
            if self._claimed:
                raise StateConflict("this channel had its stream: a retry is a new attempt")
            self._claimed = True
            self._room = _Signal()

    async def put(self, frame: bytes) -> None:
        """Append a frame as soon as there is room for it.

        Raises:
            StateConflict: the channel was closed.
        """
        while True:
            with self._changed:
                room = self._room
                if self._ended or room is None:
                    raise StateConflict("the receiver closed the channel")
                if not self._frames or self._held_bytes + len(frame) <= self._window_bytes:
                    self._frames.append(frame)
                    self._held_bytes += len(frame)
                    self._changed.notify()
                    return
                room.clear()
            await room.wait()

    def attach(self, reader: Reader) -> None:
        """Let the worker thread read the sender's frames itself.

        Raises:
            StateConflict: the channel was closed.
        """
        with self._changed:
            if self._ended:
                raise StateConflict("the receiver closed the channel")
            self._reader = reader
            self._changed.notify_all()

    def get(self, timeout_s: float) -> bytes | memoryview:
        """Return the next frame.

        Raises:
            EvidenceError: a data channel brought something else.
            PeerUnavailable: none came within `timeout_s` (a reader has its own), or the stream ended.
        """
        with self._changed:
            ready = self._changed.wait_for(lambda: self._frames or self._ended or self._reader, timeout_s)
            if not ready:
                raise PeerUnavailable(f"`{self._sender}` sent nothing for {timeout_s:g} s")
            reader = self._reader
            if not self._frames and reader is None:
                raise PeerUnavailable(f"`{self._sender}` has left the channel")
        if reader is not None:
            return reader.receive()
        with self._changed:
            frame = self._frames.popleft()
            self._held_bytes -= len(frame)
            if self._room is not None:
                self._room.set()
            return frame

    def finish(self) -> None:
        """Confirm a data channel's frames to their sender; gRPC's server does it for its streams.

        Raises:
            EvidenceError: the sender's count differs.
            PeerUnavailable: the sender is gone, or does not end.
        """
        if self._reader is not None:
            self._reader.finish()

    def end(self) -> None:
        """Say that nothing more comes; what gRPC has brought can still be read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            if self._room is not None:
                self._room.set()
            if self._reader is not None:
                self._reader.break_off()


class Mailbox:
    """All inboxes of a node process, by channel and sender."""

    def __init__(self, limits: MailboxLimits | None = None) -> None:
        self.limits = limits or MailboxLimits()
        self._channels: dict[str, dict[str, Inbox]] = {}
        self._closed: deque[str] = deque(maxlen=REMEMBERED_CHANNELS)
        self._waiting: dict[str, list[_Signal]] = {}
        self._streams: Counter[str] = Counter()
        self._lock = threading.Lock()

    def open(self, channel: str, peers: Collection[str]) -> dict[str, Inbox]:
        """Open `channel` for frames of `peers`; call from any thread.

        Raises:
            StateConflict: it is or was open; attempts are never resumed (R4).
        """
        with self._lock:
            if channel in self._channels or channel in self._closed:
                raise StateConflict("this channel was opened before: a retry is a new attempt")
            inboxes = {peer: Inbox(peer, self.limits.window_bytes) for peer in peers}
            self._channels[channel] = inboxes
            for signal in self._waiting.pop(channel, ()):
                signal.set()
            return inboxes

    def close(self, channel: str) -> None:
        """Forget `channel` and its frames; call from any thread, at any time."""
        with self._lock:
            inboxes = self._channels.pop(channel, {})
            if inboxes:
                self._closed.append(channel)
        for inbox in inboxes.values():
            inbox.end()

    async def accept(self, sender: str, channel: str) -> Inbox:
        """Return the claimed inbox for a stream of `sender`, once this side has opened the channel.

        Raises:
            UnknownObject: it was not opened in time.
            NotPermitted: `sender` is not a peer of this channel.
            StateConflict: the sender's second stream, or the channel is closed again.
            LimitExceeded: too many streams of this sender wait.
        """
        signal = _Signal()
        with self._lock:
            if channel in self._closed:
                raise StateConflict("the receiver closed the channel")
            inboxes = self._channels.get(channel)
            if inboxes is None:
                if self._streams[sender] >= self.limits.waiting_streams_per_peer:
                    raise LimitExceeded("too many streams wait for a channel")
                self._streams[sender] += 1
                self._waiting.setdefault(channel, []).append(signal)
        if inboxes is None:
            inboxes = await self._opened(sender, channel, signal)
        inbox = inboxes.get(sender)
        if inbox is None:
            raise NotPermitted("not a peer of this channel")
        inbox.claim()
        return inbox

    async def _opened(self, sender: str, channel: str, signal: _Signal) -> dict[str, Inbox]:
        try:
            await asyncio.wait_for(signal.wait(), self.limits.waiting_s)
        except TimeoutError:
            raise UnknownObject("this channel was not opened in time") from None
        finally:
            with self._lock:
                self._streams[sender] -= 1
                waiting = self._waiting.get(channel, [])
                if signal in waiting:
                    waiting.remove(signal)
                if not waiting:
                    self._waiting.pop(channel, None)
        with self._lock:
            inboxes = self._channels.get(channel)
        if inboxes is None:
            raise StateConflict("the receiver closed the channel")
        return inboxes


class _Signal:
    """An event that any thread may set and the loop that made it awaits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        # A closed loop refuses: its server is gone, and nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    def clear(self) -> None:
        self._event.clear()

    async def wait(self) -> None:
        await self._event.wait()
