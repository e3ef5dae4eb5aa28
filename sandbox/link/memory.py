"""Three connected links in one process, for tests and the local cluster."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import TypeAlias

from records.errors import PeerUnavailable

Channel: TypeAlias = "queue.SimpleQueue[bytes | None]"
"""Frames of one directed pair, in order; `None` says that the sender is gone."""


class MemoryLink:
    """One party's end of three connected in-memory links."""

    def __init__(self, party: int, channels: Mapping[tuple[int, int], Channel], timeout_s: float) -> None:
        self._party = party
        self._outgoing = {to: channel for (sender, to), channel in channels.items() if sender == party}
        self._incoming = {sender: channel for (sender, to), channel in channels.items() if to == party}
        self._timeout_s = timeout_s
        self._gone: set[int] = set()
        self._closed = False

    @property
    def party(self) -> int:
        """The index of this party: 0, 1 or 2."""
        return self._party

    def send(self, to: int, frame: bytes | memoryview) -> None:
        """Queue a copy of the frame for party `to`; never waits.

        Raises:
            PeerUnavailable: this link is closed.
        """
        if self._closed:
            raise PeerUnavailable(f"the link of party {self._party} is closed; start a new attempt")
        self._outgoing[to].put(bytes(frame))

    def receive(self, sender: int) -> bytes:
        """Wait for the next frame of party `sender`.

        Raises:
            PeerUnavailable: nothing came within the time limit, or either end is closed.
        """
        if self._closed or sender in self._gone:
            raise PeerUnavailable(f"the link to party {sender} is closed; start a new attempt")
        try:
            frame = self._incoming[sender].get(timeout=self._timeout_s)
        except queue.Empty:
            raise PeerUnavailable(
                f"party {sender} sent nothing for {self._timeout_s:g} s; start a new attempt"
            ) from None
        if frame is None:
            self._gone.add(sender)
            raise PeerUnavailable(f"party {sender} closed its link; start a new attempt")
        return frame

    def close(self) -> None:
        """Close this end and wake the peers that wait for it; frames already sent still arrive."""
        if self._closed:
            return
        self._closed = True
        for channel in (*self._outgoing.values(), *self._incoming.values()):
            channel.put(None)


def memory_links(timeout_s: float) -> tuple[MemoryLink, MemoryLink, MemoryLink]:
    """Return the links of parties 0, 1 and 2, connected; a receive waits at most `timeout_s`."""
    channels: dict[tuple[int, int], Channel] = {
        (sender, to): queue.SimpleQueue() for sender in range(3) for to in range(3) if sender != to
    }
    return (
        MemoryLink(0, channels, timeout_s),
        MemoryLink(1, channels, timeout_s),
        MemoryLink(2, channels, timeout_s),
    )
