"""A node's data channel under attack: alice listens, bob is the peer whose frames she expects."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.link import tls
from sandbox.link.frames import HEADER, Kind, Wire
from sandbox.link.mailbox import Inbox, Mailbox, MailboxLimits
from sandbox.link.tls import TlsListener, TlsStream
from tests.integration.wire.loopback import Town

CHANNEL = "digest/1"
LIMITS = MailboxLimits(waiting_s=0.3, frame_bytes=100_000, waiting_streams_per_peer=1)
TIMEOUT_S = 5.0


@dataclass
class Target:
    """Alice's listener and mailbox, and everybody she has heard of."""

    town: Town
    mailbox: Mailbox
    port: int
    sockets: list[socket.socket] = field(default_factory=list)

    def inbox(self, peer: str = "bob", channel: str = CHANNEL) -> Inbox:
        return self.mailbox.open(channel, [peer])[peer]

    def dial(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
        self.sockets.append(connection)
        return connection

    def stream(
        self,
        sender: str | Identity = "bob",
        channel: str = CHANNEL,
        *,
        port: int = 0,
        expected: PartyRecord | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> TlsStream:
        """Return a stream to alice, or to whatever listens at `port`; not yet used."""
        identity = self.town.parties[sender] if isinstance(sender, str) else sender
        connection = socket.create_connection(("127.0.0.1", port or self.port), TIMEOUT_S)
        return TlsStream(connection, identity, expected or self.town.record("alice"), channel, timeout_s)

    def wire(self, sender: str = "bob", channel: str = CHANNEL) -> Wire:
        """Return an accepted connection, on which anything can be written."""
        context = tls.context(self.town.parties[sender], server=False)
        connection = context.wrap_socket(self.dial(), server_hostname="alice")
        self.sockets.append(connection)
        wire = Wire(connection, "alice", TIMEOUT_S, TIMEOUT_S)
        assert wire.read(0)[0] == Kind.READY
        wire.write(HEADER.pack(Kind.HELLO, len(channel), 0) + channel.encode())
        assert wire.read(10_000)[0] == Kind.ACCEPTED
        return wire

    def stranger(self, context: ssl.SSLContext) -> bytes:
        """Connect with a TLS context of one's own making, name the channel, and return what alice answers."""
        context.load_verify_locations(cadata=self.town.authority.pem.decode())
        try:
            with context.wrap_socket(self.dial(), server_hostname="alice") as connection:
                connection.sendall(HEADER.pack(Kind.HELLO, len(CHANNEL), 0) + CHANNEL.encode())
                assert connection.recv(HEADER.size)[:1] in (b"", bytes([Kind.READY]))
                return connection.recv(HEADER.size)
        except OSError:
            return b""


@contextmanager
def listening(limits: MailboxLimits = LIMITS) -> Iterator[Target]:
    """Let alice listen on an event loop of her own thread."""
    town, mailbox = Town(), Mailbox(limits)
    for name in ("alice", "bob", "mallory"):
        town.add(name, "provider")
    with loop_thread() as loop, _listener(town.parties["alice"], town, mailbox, loop) as port:
        target = Target(town, mailbox, port)
        try:
            yield target
        finally:
            for connection in target.sockets:
                connection.close()


@contextmanager
def impostor(target: Target, identity: Identity) -> Iterator[int]:
    """Let somebody else listen as if he were alice; yield his port."""
    mailbox = Mailbox(LIMITS)
    mailbox.open(CHANNEL, ["bob"])
    with loop_thread() as loop, _listener(identity, target.town, mailbox, loop) as port:
        yield port


@contextmanager
def relay(port: int, change: Callable[[int, bytes], bytes]) -> Iterator[int]:
    """Relay one connection to `port`; `change` sees (bytes passed before, data) of the way there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = threading.Thread(target=_relay, args=(server, port, change), daemon=True)
        worker.start()
        yield server.getsockname()[1]
        worker.join(TIMEOUT_S)


def _relay(server: socket.socket, port: int, change: Callable[[int, bytes], bytes]) -> None:
    near, _ = server.accept()
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=_copy, args=(far, near, lambda _, data: data), daemon=True)
        back.start()
        _copy(near, far, change)
        with suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)
        back.join(TIMEOUT_S)


def _copy(source: socket.socket, sink: socket.socket, change: Callable[[int, bytes], bytes]) -> None:
    passed = 0
    try:
        while data := source.recv(1 << 16):
            sink.sendall(change(passed, data))
            passed += len(data)
    except OSError:
        return  # one end has had enough


@contextmanager
def loop_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _listener(
    identity: Identity, town: Town, mailbox: Mailbox, loop: asyncio.AbstractEventLoop
) -> Iterator[int]:
    async def start() -> TlsListener:
        listener = TlsListener(identity, town.registry, mailbox, TIMEOUT_S)
        await listener.start("127.0.0.1")
        return listener

    listener = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield listener.port
    finally:
        asyncio.run_coroutine_threadsafe(listener.stop(), loop).result()
