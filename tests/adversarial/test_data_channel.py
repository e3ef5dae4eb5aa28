from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from records.clock import utc_now
from records.errors import (
    EvidenceError,
    LimitExceeded,
    NotPermitted,
    PeerUnavailable,
    StateConflict,
    UnknownObject,
    UsufructError,
)
from sandbox.link import frames, tls
from sandbox.link.frames import HEADER, FrameReader, FrameWriter, Kind, Wire
from sandbox.link.mailbox import Inbox, MailboxLimits
from sandbox.link.streams import StreamMesh
from sandbox.link.tls import TlsStream
from sandbox.wire.certificates import Authority
from tests.adversarial.data_channel import CHANNEL, TIMEOUT_S, impostor, listening, relay
from tests.integration.wire.loopback import make_identity


def frame(number: int, payload: bytes = b"x") -> bytes:
    return HEADER.pack(Kind.FRAME, len(payload), number) + payload


def end(number: int) -> bytes:
    return HEADER.pack(Kind.END, 0, number)


def receive(inbox: Inbox, count: int) -> None:
    for _ in range(count):
        assert bytes(inbox.get(TIMEOUT_S)) == b"x"


def pass_on(stream: TlsStream, inbox: Inbox) -> None:
    for _ in range(50):
        stream.send(memoryview(PAYLOAD))
        assert bytes(inbox.get(1.0)) == PAYLOAD


def repeatedly(act: Callable[[], object]) -> None:
    for _ in range(100):
        act()


def test_the_honest_stream_arrives_and_is_confirmed() -> None:
    with listening() as alice:
        inbox, stream = alice.inbox(), alice.stream()
        for payload in (b"one", b"", bytes(90_000)):
            stream.send(memoryview(payload))
        assert [bytes(inbox.get(TIMEOUT_S)) for _ in range(3)] == [b"one", b"", bytes(90_000)]
        stream.end()
        inbox.finish()
        stream.settle()
        stream.cancel()


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (frame(1), EvidenceError),
        (frame(0) + frame(0), EvidenceError),
        (frame(0) + frame(2), EvidenceError),
        (HEADER.pack(Kind.ACCEPTED, 0, 0), EvidenceError),
        (HEADER.pack(77, 0, 0), EvidenceError),
        (HEADER.pack(Kind.FRAME, 100_001, 0), EvidenceError),
        (end(0), EvidenceError),
        (frame(0)[:-1], PeerUnavailable),
        (HEADER.pack(Kind.FRAME, 5, 0)[:7], PeerUnavailable),
    ],
    ids=["late", "repeated", "gap", "answer", "unknown", "large", "early-end", "cut", "cut-header"],
)
def test_what_is_not_the_next_frame_is_refused(sent: bytes, error: type[UsufructError]) -> None:
    with listening() as alice:
        inbox, wire = alice.inbox(), alice.wire()
        wire.write(sent)
        wire.break_off()
        with pytest.raises(error, match="bob"):
            receive(inbox, 2)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (end(2), EvidenceError),
        (end(0), EvidenceError),
        (frame(1), EvidenceError),
        (HEADER.pack(Kind.END, 1, 1) + b"x", EvidenceError),
        (b"", PeerUnavailable),
    ],
    ids=["more-than-came", "fewer", "behind-the-protocol", "with-payload", "cut"],
)
def test_a_stream_ends_where_both_ends_say(sent: bytes, error: type[UsufructError]) -> None:
    with listening() as alice:
        inbox, wire = alice.inbox(), alice.wire()
        wire.write(frame(0) + sent)
        wire.break_off()
        assert bytes(inbox.get(TIMEOUT_S)) == b"x"
        with pytest.raises(error, match="bob"):
            inbox.finish()


def test_a_certificate_of_another_authority_opens_nothing() -> None:
    with listening() as alice:
        inbox = alice.inbox()
        foreign = make_identity(Authority.create("other", utc_now), "bob", "provider")
        own_trust = foreign.with_certificate(foreign.certificate, alice.town.authority.pem)
        with pytest.raises(NotPermitted, match="does not accept"):
            alice.stream(own_trust).send(memoryview(b"x"))
        # And the other way round: bob does not talk to a listener of another authority.
        with impostor(alice, foreign) as port, pytest.raises(NotPermitted, match="no certificate of it"):
            alice.stream(port=port).send(memoryview(b"x"))
        with pytest.raises(PeerUnavailable):
            inbox.get(0.05)


def test_a_key_that_no_record_names_opens_nothing_whatever_its_certificate_says() -> None:
    with listening() as alice:
        alice.inbox()
        deceived = make_identity(alice.town.authority, "bob", "provider")  # a second key in bob's name
        with pytest.raises(NotPermitted, match="not registered"):
            alice.stream(deceived).send(memoryview(b"x"))
        false_alice = make_identity(alice.town.authority, "alice", "provider")
        with impostor(alice, false_alice) as port:
            with pytest.raises(NotPermitted, match="not its registered key"):
                alice.stream(port=port).send(memoryview(b"x"))
            # The control: to whoever takes that key for alice's, it answers.
            alice.stream(port=port, expected=false_alice.record.document).send(memoryview(b"x"))


def test_the_certificate_of_another_party_does_not_do() -> None:
    with listening() as alice:
        alice.inbox("bob")
        with pytest.raises(NotPermitted, match="not a peer"):
            alice.stream("mallory").send(memoryview(b"x"))
        mallory = alice.town.parties["mallory"]
        with impostor(alice, mallory) as port, pytest.raises(NotPermitted, match="no certificate of it"):
            alice.stream(port=port).send(memoryview(b"x"))
        # The control: as a peer of the channel she is heard.
        inbox = alice.inbox("mallory", "digest/2")
        alice.stream("mallory", "digest/2").send(memoryview(b"x"))
        assert bytes(inbox.get(TIMEOUT_S)) == b"x"


def test_a_buyer_sends_no_frames() -> None:
    with listening() as alice:
        alice.inbox("buyer")
        with pytest.raises(NotPermitted, match="buyer"):
            alice.stream("buyer").send(memoryview(b"x"))


def test_without_certificate_current_protocol_or_tls_nothing_is_answered() -> None:
    with listening() as alice:
        alice.inbox()
        bob = alice.town.parties["bob"]
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.set_alpn_protocols([tls.PROTOCOL])
        assert alice.stranger(bare) == b""
        old = tls.context(bob, server=False)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert alice.stranger(old) == b""
        other = tls.context(bob, server=False)
        other.set_alpn_protocols(["h2"])
        assert alice.stranger(other)[:1] in (b"", bytes([Kind.REFUSED]))
        plain = alice.dial()
        plain.sendall(frame(0))
        with suppress(ConnectionResetError):
            assert plain.recv(1 << 10)[:1] != bytes([Kind.ACCEPTED])
        assert alice.stranger(tls.context(bob, server=False))[:1] == bytes([Kind.ACCEPTED])  # the control


@pytest.mark.parametrize(
    "hello",
    [
        HEADER.pack(Kind.HELLO, 0, 0),
        HEADER.pack(Kind.HELLO, 513, 0) + bytes(513),
        HEADER.pack(Kind.HELLO, 4, 1) + b"name",
        HEADER.pack(Kind.HELLO, 2, 0) + b"\xff\xff",
        frame(0),
    ],
    ids=["nameless", "long", "numbered", "no-text", "frame"],
)
def test_a_connection_that_names_no_channel_is_closed(hello: bytes) -> None:
    with listening() as alice:
        context = tls.context(alice.town.parties["bob"], server=False)
        with context.wrap_socket(alice.dial(), server_hostname="alice") as connection:
            assert connection.recv(HEADER.size)[:1] == bytes([Kind.READY])
            connection.sendall(hello)
            assert connection.recv(1) == b""


def test_a_channel_that_is_not_open_is_waited_for_but_not_for_ever() -> None:
    with listening() as alice:
        opening = threading.Timer(0.1, alice.inbox)
        opening.start()
        alice.stream().send(memoryview(b"x"))
        opening.join()
        with pytest.raises(UnknownObject):
            alice.stream(channel="digest/2").send(memoryview(b"x"))
        alice.mailbox.close(CHANNEL)
        with pytest.raises(StateConflict):
            alice.stream().send(memoryview(b"x"))


def test_a_second_stream_of_a_peer_is_refused() -> None:
    with listening() as alice:
        inbox, first = alice.inbox(), alice.stream()
        first.send(memoryview(b"x"))
        with pytest.raises(StateConflict):
            alice.stream().send(memoryview(b"y"))
        assert bytes(inbox.get(TIMEOUT_S)) == b"x"


def test_a_revoked_key_ends_a_running_channel() -> None:
    with listening() as alice:
        inbox, stream = alice.inbox(), alice.stream()
        stream.send(memoryview(b"x"))
        assert bytes(inbox.get(TIMEOUT_S)) == b"x"
        stream.send(memoryview(b"y"))
        alice.town.registry.revoke("bob")
        with pytest.raises(NotPermitted, match="not registered"):
            inbox.get(TIMEOUT_S)


def test_strangers_in_their_handshake_keep_nobody_out() -> None:
    with listening() as alice:
        for _ in range(tls.HANDSHAKES - 1):
            alice.dial()
        alice.inbox()
        alice.stream().send(memoryview(b"x"))


PAYLOAD = bytes(range(256)) * 200


def flip(passed: int, data: bytes) -> bytes:
    # Behind the handshake: the frame alone is longer than 20,000 bytes.
    return data if passed < 20_000 else bytes([data[0] ^ 1]) + data[1:]


def drop(passed: int, data: bytes) -> bytes:
    return data if passed < 20_000 else data[1:]


def repeat(passed: int, data: bytes) -> bytes:
    return data if passed < 20_000 else data + data


def cut(passed: int, data: bytes) -> bytes:
    if passed < 20_000:
        return data
    raise OSError("cut")


@pytest.mark.parametrize("change", [flip, drop, repeat, cut])
def test_what_the_network_changes_never_arrives(change: Callable[[int, bytes], bytes]) -> None:
    with listening() as alice, relay(alice.port, change) as port:
        inbox, stream = alice.inbox(), alice.stream(port=port)
        with pytest.raises(PeerUnavailable):
            pass_on(stream, inbox)
        stream.cancel()
        alice.mailbox.close(CHANNEL)


def test_what_the_network_leaves_alone_arrives() -> None:
    with listening() as alice, relay(alice.port, lambda _, data: data) as port:
        inbox, stream = alice.inbox(), alice.stream(port=port)
        pass_on(stream, inbox)
        stream.cancel()
        alice.mailbox.close(CHANNEL)


@pytest.mark.parametrize("by", ["sender", "receiver"])
def test_an_aborted_mesh_breaks_at_both_ends_at_once(by: str) -> None:
    with listening(MailboxLimits()) as alice:
        inbox = alice.inbox()
        mesh = StreamMesh(
            type(alice.mailbox)(), CHANNEL, ["alice"], lambda _: alice.stream(timeout_s=30), timeout_s=30
        )
        mesh.send("alice", b"x")
        assert bytes(inbox.get(30)) == b"x"
        abort = mesh.abort if by == "sender" else lambda: alice.mailbox.close(CHANNEL)
        threading.Timer(0.1, abort).start()
        started = time.monotonic()
        with pytest.raises(PeerUnavailable, match="bob"):
            inbox.get(30)
        with pytest.raises(PeerUnavailable, match="alice"):
            repeatedly(lambda: mesh.send("alice", bytes(1 << 20)))
        assert time.monotonic() - started < 5
        mesh.abort()


def test_a_peer_that_takes_nothing_holds_the_sender_back_and_is_named() -> None:
    with listening(MailboxLimits()) as alice:
        alice.inbox()
        stream = alice.stream(timeout_s=0.3)
        stream._writer._window_bytes = 1 << 20
        with pytest.raises(PeerUnavailable, match="`alice` took nothing"):
            repeatedly(lambda: stream.send(memoryview(bytes(1 << 20))))
        stream.cancel()


def test_a_sender_that_waits_for_room_is_woken_by_an_abort() -> None:
    with listening(MailboxLimits()) as alice:
        alice.inbox()
        stream = alice.stream(timeout_s=30)
        stream._writer._window_bytes = 1 << 20
        threading.Timer(0.2, stream.cancel).start()
        started = time.monotonic()
        with pytest.raises(PeerUnavailable, match="alice"):
            repeatedly(lambda: stream.send(memoryview(bytes(1 << 20))))
        assert time.monotonic() - started < 5


def test_a_frame_may_change_once_it_is_sent() -> None:
    near, far = socket.socketpair()
    writer = FrameWriter(Wire(near, "bob", TIMEOUT_S, TIMEOUT_S), 1 << 30)
    reader = FrameReader(Wire(far, "alice", TIMEOUT_S, TIMEOUT_S), 1 << 30, lambda: None)
    data = bytearray(b"a" * (8 << 20))
    writer.send(memoryview(data))
    data[:] = bytes(8 << 20)
    assert bytes(reader.receive()) == b"a" * (8 << 20)
    writer.cancel()


def test_a_peer_that_trickles_is_cut_off_at_the_deadline() -> None:
    near, far = socket.socketpair()
    wire = Wire(far, "bob", timeout_s=TIMEOUT_S, lifetime_s=0.3)

    def trickle() -> None:
        try:
            for _ in range(100):
                near.send(b"\0")
                time.sleep(0.05)
        except OSError:
            return

    with near:
        sender = threading.Thread(target=trickle)
        sender.start()
        with pytest.raises(PeerUnavailable, match="past its time"):
            repeatedly(lambda: wire.read(1 << 20))
        wire.break_off()
        sender.join()


def test_a_key_serves_for_so_many_records_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RECORDS_PER_KEY", 3)
    near, far = socket.socketpair()
    writer = FrameWriter(Wire(near, "bob", TIMEOUT_S, TIMEOUT_S), 1 << 20)
    for _ in range(3):
        writer.send(memoryview(b"x"))
    with pytest.raises(LimitExceeded, match="one key"):
        writer.send(memoryview(b"x"))
    writer.cancel()
    far.close()


def test_the_private_key_touches_no_disk_and_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as alice:
        loaded: list[str] = []
        original = ssl.SSLContext.load_cert_chain

        def spy(self: ssl.SSLContext, path: str) -> None:
            loaded.append(os.readlink(path))
            original(self, path)

        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
        before = len(os.listdir("/proc/self/fd"))
        tls.context(alice.town.parties["bob"], server=True)
        assert [path.startswith("/memfd:") for path in loaded] == [True]
        assert len(os.listdir("/proc/self/fd")) == before
