from __future__ import annotations

import threading

import pytest

from mpc.link import CountingLink
from records.errors import PeerUnavailable
from sandbox.link.memory import memory_links


def test_frames_arrive_in_order_on_each_directed_pair() -> None:
    links = memory_links(1.0)
    links[0].send(1, b"first")
    links[2].send(1, b"other")
    links[0].send(1, memoryview(b"second"))
    assert [links[1].receive(0), links[1].receive(0), links[1].receive(2)] == [b"first", b"second", b"other"]
    assert [link.party for link in links] == [0, 1, 2]


def test_a_frame_is_a_copy() -> None:
    links = memory_links(1.0)
    buffer = bytearray(b"abc")
    links[0].send(1, memoryview(buffer))
    buffer[:] = b"xyz"
    assert links[1].receive(0) == b"abc"


def test_silence_ends_at_the_deadline() -> None:
    with pytest.raises(PeerUnavailable, match=r"nothing for 0\.01 s"):
        memory_links(0.01)[0].receive(1)


def test_closing_wakes_a_waiting_peer_after_what_was_sent() -> None:
    links = memory_links(20.0)
    outcome: list[object] = []

    def wait() -> None:
        outcome.append(links[1].receive(0))
        for _ in range(2):
            try:
                links[1].receive(0)
            except PeerUnavailable as error:
                outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    links[0].send(1, b"last words")
    links[0].close()
    links[0].close()
    thread.join()
    assert outcome[0] == b"last words"
    assert [type(error) for error in outcome[1:]] == [PeerUnavailable, PeerUnavailable]


def test_a_closed_link_neither_sends_nor_receives() -> None:
    link = memory_links(1.0)[0]
    link.close()
    with pytest.raises(PeerUnavailable):
        link.send(1, b"")
    with pytest.raises(PeerUnavailable):
        link.receive(1)


def test_a_counting_link_counts_frames_and_bytes() -> None:
    links = memory_links(1.0)
    sender, receiver = CountingLink(links[0]), CountingLink(links[1])
    sender.send(1, bytes(5))
    sender.send(1, bytes(3))
    receiver.receive(0)
    assert (sender.frames_sent, sender.bytes_sent, sender.bytes_received) == (2, 8, 0)
    assert (receiver.frames_sent, receiver.bytes_received) == (0, 5)
