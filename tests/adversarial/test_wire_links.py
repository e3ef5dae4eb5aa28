from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from records.clock import utc_now
from records.errors import NotPermitted, PeerUnavailable, StateConflict, UnknownObject
from sandbox.identity import Identity
from sandbox.link.grpc import METHOD, LinkServicer
from sandbox.link.mailbox import Inbox, Mailbox, MailboxLimits
from sandbox.link.streams import grpc_mesh
from sandbox.rpc.v1.link_service_pb2 import FrameChunk, SendFramesRequest
from sandbox.wire.connection import channel_credentials, channel_options
from sandbox.wire.server import serve
from tests.adversarial.wire_attacks import Outcome, outcome, signed
from tests.integration.wire.loopback import Town

CHANNEL = "digest/1"
OPEN = SendFramesRequest(channel=CHANNEL)
LIMITS = MailboxLimits(waiting_s=0.3, frame_bytes=1000, waiting_streams_per_peer=1)


class Target:
    """Alice's mailbox behind her server; Bob is the peer whose frames she expects."""

    def __init__(self, town: Town, mailbox: Mailbox, address: str) -> None:
        self.town = town
        self.mailbox = mailbox
        self.address = address

    async def send(self, sender: str, messages: Iterable[SendFramesRequest]) -> Outcome:
        """Send exactly these messages as `sender`, the first of them signed."""
        identity: Identity = self.town.parties[sender]
        bodies = [message.SerializeToString() for message in messages]
        metadata = aio.Metadata(*signed(identity, bodies[0], method=METHOD, audience="alice"))
        credentials = channel_credentials(identity)
        async with aio.secure_channel(self.address, credentials, channel_options("alice")) as channel:
            try:
                rpc: Any = channel.stream_unary(METHOD)
                return Outcome(grpc.StatusCode.OK, data=await rpc(iter(bodies), timeout=5, metadata=metadata))
            except aio.AioRpcError as error:
                return outcome(error)


@asynccontextmanager
async def target(limits: MailboxLimits = LIMITS) -> AsyncIterator[Target]:
    town, mailbox = Town(), Mailbox(limits)
    for name in ("alice", "bob", "mallory"):
        town.add(name, "provider")
    alice = town.parties["alice"]
    server = await serve(alice, town.registry, clock=utc_now, link=LinkServicer(mailbox))
    try:
        yield Target(town, mailbox, server.address)
    finally:
        await server.stop(0)


def chunk(sequence: int, payload: bytes = b"x", *, ends: bool = True) -> SendFramesRequest:
    return SendFramesRequest(chunk=FrameChunk(sequence=sequence, ends_frame=ends, payload=payload))


def end(frames: int) -> SendFramesRequest:
    return SendFramesRequest(frames_sent=frames)


def received(inbox: Inbox) -> list[bytes]:
    frames: list[bytes] = []
    try:
        while True:
            frames.append(bytes(inbox.get(0.05)))
    except PeerUnavailable:
        return frames


def test_the_honest_stream_arrives() -> None:
    async def scenario() -> None:
        async with target() as alice:
            inbox = alice.mailbox.open(CHANNEL, ["bob"])["bob"]
            messages = [OPEN, chunk(0, b"a", ends=False), chunk(1, b"b"), chunk(2, b""), end(2)]
            assert (await alice.send("bob", messages)).ok
            assert received(inbox) == [b"ab", b""]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([OPEN, chunk(0), chunk(2), end(2)], "evidence"),
        ([OPEN, chunk(0), chunk(0), end(2)], "evidence"),
        ([OPEN, chunk(1), end(1)], "evidence"),
        ([OPEN, chunk(0), end(2)], "evidence"),
        ([OPEN, chunk(0, ends=False), end(0)], "evidence"),
        ([OPEN, chunk(0), end(1), chunk(1)], "evidence"),
        ([OPEN, OPEN, end(0)], "evidence"),
        ([OPEN, chunk(0)], "peer-unavailable"),
        ([chunk(0), end(1)], "document-malformed"),
        ([OPEN, chunk(0, b"x" * 1001), end(1)], "limit-exceeded"),
        ([OPEN, chunk(0, b"x" * 600, ends=False), chunk(1, b"x" * 600), end(1)], "limit-exceeded"),
    ],
    ids=[
        "gap",
        "duplicate",
        "late-start",
        "fewer-than-said",
        "half-a-frame",
        "behind-the-end",
        "second-header",
        "cut",
        "no-header",
        "large-frame",
        "large-frame-in-parts",
    ],
)
def test_a_stream_that_is_not_whole_is_refused(messages: list[SendFramesRequest], code: str) -> None:
    async def scenario() -> None:
        async with target() as alice:
            inbox = alice.mailbox.open(CHANNEL, ["bob"])["bob"]
            assert (await alice.send("bob", messages)).code == code
            assert all(frame == b"x" for frame in received(inbox))

    asyncio.run(scenario())


def test_a_node_that_is_no_peer_of_the_channel_is_refused() -> None:
    async def scenario(peers: list[str]) -> Outcome:
        async with target() as alice:
            alice.mailbox.open(CHANNEL, peers)
            return await alice.send("mallory", [OPEN, chunk(0), end(1)])

    assert asyncio.run(scenario(["bob"])).code == "not-permitted"
    assert asyncio.run(scenario(["bob", "mallory"])).ok  # the control: as a peer she is heard


def test_a_buyer_sends_no_frames() -> None:
    async def scenario() -> None:
        async with target() as alice:
            alice.mailbox.open(CHANNEL, ["buyer"])
            assert (await alice.send("buyer", [OPEN, end(0)])).code == "not-permitted"

    asyncio.run(scenario())


def test_a_second_stream_of_a_peer_is_refused() -> None:
    async def scenario() -> None:
        async with target() as alice:
            inbox = alice.mailbox.open(CHANNEL, ["bob"])["bob"]
            assert (await alice.send("bob", [OPEN, chunk(0), end(1)])).ok
            assert (await alice.send("bob", [OPEN, chunk(0, b"y"), end(1)])).code == "state-conflict"
            assert received(inbox) == [b"x"]

    asyncio.run(scenario())


def test_a_channel_opens_once() -> None:
    mailbox = Mailbox()
    mailbox.open(CHANNEL, ["bob"])
    with pytest.raises(StateConflict):
        mailbox.open(CHANNEL, ["bob"])
    mailbox.close(CHANNEL)
    with pytest.raises(StateConflict):
        mailbox.open(CHANNEL, ["bob"])


def test_a_stream_waits_for_its_channel_but_not_for_ever() -> None:
    async def scenario() -> None:
        async with target() as alice:
            messages = [OPEN, chunk(0), end(1)]
            early = asyncio.create_task(alice.send("bob", messages))
            await asyncio.sleep(0.1)
            inbox = alice.mailbox.open(CHANNEL, ["bob"])["bob"]
            assert (await early).ok
            assert received(inbox) == [b"x"]
            alice.mailbox.close(CHANNEL)
            assert (await alice.send("bob", messages)).code == "state-conflict"
            never = [SendFramesRequest(channel="other"), *messages[1:]]
            assert (await alice.send("bob", never)).code == "object-unknown"

    asyncio.run(scenario())


def test_only_so_many_streams_of_a_peer_wait() -> None:
    async def scenario() -> None:
        async with target() as alice:
            first = asyncio.create_task(alice.send("bob", [OPEN, end(0)]))
            await asyncio.sleep(0.1)
            other = [SendFramesRequest(channel="other"), end(0)]
            assert (await alice.send("bob", other)).code == "limit-exceeded"
            assert (await first).code == "object-unknown"
            # The place is free again.
            assert (await alice.send("bob", other)).code == "object-unknown"

    asyncio.run(scenario())


def test_a_full_inbox_holds_the_sender_back() -> None:
    async def scenario() -> None:
        inbox = Inbox("bob", window_bytes=10)
        inbox.claim()
        await inbox.put(b"12345678")
        waiting = asyncio.create_task(inbox.put(b"90123"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert await asyncio.to_thread(inbox.get, 1) == b"12345678"
        await asyncio.wait_for(waiting, 1)
        assert await asyncio.to_thread(inbox.get, 1) == b"90123"
        # A frame larger than the window passes alone.
        await inbox.put(b"x" * 50)
        late = asyncio.create_task(inbox.put(b"y"))
        await asyncio.sleep(0.01)
        inbox.end()
        with pytest.raises(StateConflict):
            await late

    asyncio.run(scenario())


def test_a_peer_that_is_away_is_named() -> None:
    async def scenario() -> None:
        async with target(MailboxLimits()) as alice:
            peers = {"alice": (alice.address, alice.town.record("alice"))}
            mailbox = Mailbox()
            bob = grpc_mesh(mailbox, CHANNEL, alice.town.parties["bob"], peers, timeout_s=0.3)
            with pytest.raises(PeerUnavailable, match="alice"):
                await asyncio.to_thread(bob.receive, "alice")
            with pytest.raises(UnknownObject):
                bob.send("mallory", b"")
            with pytest.raises(UnknownObject):
                bob.receive("mallory")
            # Alice never opens her end: what is sent is not confirmed.
            bob.send("alice", b"frame")
            with pytest.raises(PeerUnavailable, match="alice"):
                await asyncio.to_thread(bob.close)
            bob.abort()

    asyncio.run(scenario())


def test_the_refusal_of_a_peer_reaches_the_sending_thread() -> None:
    async def scenario() -> None:
        async with target() as alice:
            alice.mailbox.open(CHANNEL, ["mallory"])
            peers = {"alice": (alice.address, alice.town.record("alice"))}
            bob = grpc_mesh(Mailbox(), CHANNEL, alice.town.parties["bob"], peers, timeout_s=5)

            def work() -> None:
                for _ in range(1000):
                    bob.send("alice", bytes(100_000))

            with pytest.raises(NotPermitted, match="not a peer"):
                await asyncio.to_thread(work)
            bob.abort()

    asyncio.run(scenario())


def test_an_aborted_mesh_wakes_the_other_end() -> None:
    async def scenario() -> None:
        async with target(MailboxLimits()) as alice:
            inbox = alice.mailbox.open(CHANNEL, ["bob"])["bob"]
            peers = {"alice": (alice.address, alice.town.record("alice"))}
            bob = grpc_mesh(Mailbox(), CHANNEL, alice.town.parties["bob"], peers, timeout_s=5)
            bob.send("alice", b"one")
            assert await asyncio.to_thread(inbox.get, 5) == b"one"
            bob.abort()
            with pytest.raises(PeerUnavailable, match="left"):
                await asyncio.to_thread(inbox.get, 5)

    asyncio.run(scenario())
