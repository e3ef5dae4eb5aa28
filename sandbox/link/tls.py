"""The data channel: frames by TLS 1.3 over TCP, one connection per directed pair and attempt.

Theory of operation. A node listens beside its gRPC server and tells peers the port there. The sender of a
pair connects. Both ends demand a certificate of their authority, and before any frame crosses compare
the hash of its key with the peer's record: a certificate of another party does not do. The sender's first
message names channel and attempt; the receiver waits until it has opened them itself (`Mailbox.accept`),
accepts, and its worker thread reads the frames. What is not accepted is refused with the reason.

`ssl` reads private keys from files only: here from a memory file without a name (Linux). No key touches a
disk; where there is no such file there is no data channel, and gRPC serves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final, TypeVar

from records.errors import EvidenceError, NotPermitted, PeerUnavailable, StateConflict, UsufructError
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.link.frames import HEADER, FrameReader, FrameWriter, Kind, Wire
from sandbox.link.mailbox import Mailbox
from sandbox.wire import errors
from sandbox.wire.authorisation import RULES, check_role, path
from sandbox.wire.certificates import certificate_key_digest
from sandbox.wire.registry import Directory

AVAILABLE: Final = hasattr(os, "memfd_create")
PROTOCOL: Final = "usufruct-link/1"
METHOD: Final = path("LinkService/SendFrames")
LIFETIME_S: Final = RULES[METHOD].deadline_s
HANDSHAKE_S: Final = 10.0
HANDSHAKES: Final = 32
"""So many strangers may be in their handshake at once; others wait in the listener's queue."""
CHANNEL_BYTES: Final = 512
WINDOW_BYTES: Final = 256 << 20

T = TypeVar("T")
logger = logging.getLogger(__name__)


def context(identity: Identity, *, server: bool) -> ssl.SSLContext:
    """Return a TLS 1.3 context that shows the identity's certificate and demands one of its authority.

    Raises:
        StateConflict: the identity has no certificate yet.
    """
    if not identity.certificate:
        raise StateConflict(f"`{identity.party}` has no certificate: enrol first")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=identity.authority.decode())
    made.set_alpn_protocols([PROTOCOL])
    if server:
        # No session is ever resumed, and tickets would be the only bytes that flow back unasked.
        made.num_tickets = 0
    file = os.memfd_create("usufruct-tls")
    try:
        os.write(file, identity.certificate + identity.tls_key_pem)
        made.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return made


def peer_key(connection: ssl.SSLSocket) -> str:
    """Return `sha256:<hex>` of the public key in the peer's certificate, as party records name it.

    Raises:
        MalformedDocument: a key of another kind than ECDSA.
        NotPermitted: the peer shows no certificate, or speaks another protocol.
    """
    certificate = connection.getpeercert(binary_form=True)
    if certificate is None or connection.selected_alpn_protocol() != PROTOCOL:
        raise NotPermitted(f"a data channel has a client certificate and speaks {PROTOCOL}")
    return certificate_key_digest(ssl.DER_cert_to_PEM_cert(certificate).encode())


class TlsStream:
    """The stream to one peer by its data channel; see `Stream`. The first `send` shakes hands."""

    def __init__(
        self,
        connection: socket.socket,
        identity: Identity,
        peer: PartyRecord,
        channel: str,
        timeout_s: float,
    ) -> None:
        """`connection` is connected to the port that `peer` told; `channel` names job and attempt."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(timeout_s)
        self._connection = context(identity, server=False).wrap_socket(
            connection, server_hostname=peer.party, do_handshake_on_connect=False
        )
        self._peer = peer
        self._channel = channel
        self._wire = Wire(self._connection, peer.party, timeout_s, LIFETIME_S)
        self._writer = FrameWriter(self._wire, WINDOW_BYTES)
        self._accepted = False

    def send(self, frame: memoryview) -> None:
        """Hand a frame over; see `Stream`.

        Raises:
            NotPermitted: the other end is not the peer, or does not take us for a peer.
        """
        if not self._accepted:
            self._introduce()
        self._writer.send(frame)

    def end(self) -> None:
        """Say that nothing more comes; see `Stream`."""
        self._writer.end()

    def settle(self) -> None:
        """Wait until the peer has confirmed all frames; see `Stream`."""
        self._writer.settle()

    def cancel(self) -> None:
        """End the stream at once; see `Stream`."""
        self._writer.cancel()

    def _introduce(self) -> None:
        name = self._peer.party
        try:
            self._connection.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise NotPermitted(
                f"what answers at the data port of `{name}` has no certificate of it"
            ) from error
        except OSError as error:
            raise PeerUnavailable(f"`{name}` does not complete the handshake") from error
        if peer_key(self._connection) != self._peer.tls_key:
            raise NotPermitted(f"what answers at the data port of `{name}` has not its registered key")
        try:
            ready, _, _ = self._wire.read(0)
        except PeerUnavailable as left:
            # In TLS 1.3 a server judges our certificate after our part of the handshake is done.
            if isinstance(left.__cause__, ssl.SSLError):
                raise NotPermitted(f"`{name}` does not accept the certificate of this node") from left
            raise
        channel = self._channel.encode()
        self._wire.write(HEADER.pack(Kind.HELLO, len(channel), 0) + channel)
        kind, _, payload = self._wire.read(errors.MAX_ERROR_BYTES)
        if kind == Kind.REFUSED:
            raise errors.Failure.from_bytes(bytes(payload)).to_exception(name)
        if (ready, kind) != (Kind.READY, Kind.ACCEPTED):
            raise EvidenceError(f"`{name}` answers something else than whether it accepts")
        self._accepted = True


class TlsListener:
    """Takes data channels of registered nodes into a mailbox; all but the frames on the event loop."""

    def __init__(self, identity: Identity, directory: Directory, mailbox: Mailbox, timeout_s: float) -> None:
        """`timeout_s` bounds every wait for a peer's next frame."""
        self._identity = identity
        self._directory = directory
        self._mailbox = mailbox
        self._timeout_s = timeout_s
        self._shaking = asyncio.Semaphore(HANDSHAKES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""
        return int(self._socket.getsockname()[1]) if self._socket else 0

    async def start(self, host: str, port: int = 0) -> None:
        """Listen on `host`; port 0 takes a free one.

        Raises:
            StateConflict: the address is taken or not ours.
        """
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise StateConflict(f"cannot listen on `{host}:{port}`: choose another port") from error
        self._socket.settimeout(0)
        self._spawn(self._accept(context(self._identity, server=True), self._socket))

    async def stop(self) -> None:
        """Take no more; channels that run go on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, tls: ssl.SSLContext, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._shaking.acquire()
            connection, _ = await loop.sock_accept(listening)
            self._spawn(self._welcome(tls, connection))

    async def _welcome(self, tls: ssl.SSLContext, raw: socket.socket) -> None:
        connection = raw
        try:
            try:
                raw.settimeout(0)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
                async with asyncio.timeout(HANDSHAKE_S):
                    await _retried(connection, connection.do_handshake)
                    await _send(connection, HEADER.pack(Kind.READY, 0, 0))
                    channel = await _hello(connection)
            finally:
                self._shaking.release()
            await self._take(connection, channel)
        except (OSError, UsufructError) as error:
            # A stranger, or one that left: nobody waits for an answer.
            logger.warning("data channel failed", extra={"fault": type(error).__name__})
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _take(self, connection: ssl.SSLSocket, channel: str) -> None:
        try:
            key = peer_key(connection)
            sender = self._admitted(key).party
            inbox = await self._mailbox.accept(sender, channel)
        except UsufructError as error:
            refusal = errors.describe(error, METHOD).to_bytes()
            await _send(connection, HEADER.pack(Kind.REFUSED, len(refusal), 0) + refusal)
            raise
        await _send(connection, HEADER.pack(Kind.ACCEPTED, 0, 0))
        wire = Wire(connection, sender, self._timeout_s, LIFETIME_S)
        limit_bytes = self._mailbox.limits.frame_bytes
        inbox.attach(FrameReader(wire, limit_bytes, lambda: self._admitted(key)))

    def _admitted(self, key: str) -> PartyRecord:
        peer = self._directory.by_tls_key(key)
        check_role(METHOD, peer)
        return peer


async def _hello(connection: ssl.SSLSocket) -> str:
    header = await _exactly(connection, HEADER.size)
    kind, size, number = HEADER.unpack(header)
    if kind != Kind.HELLO or number != 0 or not 0 < size <= CHANNEL_BYTES:
        raise EvidenceError("a data channel begins with the name of its channel")
    try:
        return (await _exactly(connection, size)).decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("the name of a channel is text") from error


async def _exactly(connection: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        received = await _retried(connection, partial(connection.recv, size - len(data)))
        if not received:
            raise PeerUnavailable("a data channel was cut before it began")
        data += received
    return data


async def _send(connection: ssl.SSLSocket, message: bytes) -> None:
    # A few bytes on a connection that has carried nothing yet: one record, sent whole.
    await _retried(connection, partial(connection.send, message))


async def _retried(connection: ssl.SSLSocket, act: Callable[[], T]) -> T:
    """Call `act` until the connection need not wait for the peer."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return act()
        except ssl.SSLWantReadError:
            watch, forget = loop.add_reader, loop.remove_reader
        except ssl.SSLWantWriteError:
            watch, forget = loop.add_writer, loop.remove_writer
        ready = loop.create_future()
        watch(connection, ready.set_result, None)
        try:
            await ready
        finally:
            forget(connection)
