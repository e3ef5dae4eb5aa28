"""Attacks on the wire. Each says whether it worked, with the defence on or, as its control, off."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import grpc
from grpc import aio

from records.clock import utc_now
from sandbox.identity import Identity
from sandbox.ports import Caller
from sandbox.rpc.v1 import exchange_service_pb2 as ex
from sandbox.rpc.v1 import exchange_service_pb2_grpc, node_service_pb2_grpc
from sandbox.rpc.v1 import node_service_pb2 as nd
from sandbox.wire import errors, requests
from sandbox.wire.authorisation import path
from sandbox.wire.certificates import Authority
from sandbox.wire.connection import channel_options
from sandbox.wire.interceptor import Context, Interceptor, PeerCheck
from sandbox.wire.registry import Registry
from sandbox.wire.requests import MemoryNonces, NonceStore
from sandbox.wire.server import Limits
from sandbox.wire.servicers import ExchangeServicer, NodeServicer
from tests.integration.wire.loopback import EchoExchange, EchoNode, Town, make_identity

ADMIT = path("NodeService/AdmitJob")
COMPARE = path("NodeService/CompareCheckpoints")
UPLOAD = path("ExchangeService/UploadShare")

Metadata = tuple[tuple[str, str | bytes], ...]


class OpenCheck:
    """A gate that stands open: the control."""

    def admit(self, method: str, context: Context) -> Caller:
        return Caller("anyone", "exchange")

    async def confirm(self, method: str, context: Context, body: bytes) -> None:
        return


class ForgetfulNonces:
    """Remembers nothing: the control of replay."""

    async def spend(self, party: str, nonce: str, issued_at: datetime, expires_at: datetime) -> None:
        return


@dataclass
class Target:
    """A server under attack: a provider's node, or an exchange, with what may be switched off."""

    town: Town = field(default_factory=Town)
    defended: bool = True
    registry: Registry | None = None
    nonces: NonceStore | None = None
    limits: Limits = field(default_factory=Limits)
    client_certificates: bool = True
    role: str = "provider"
    interceptor: aio.ServerInterceptor | None = None
    node: EchoNode = field(default_factory=EchoNode)
    exchange: EchoExchange = field(default_factory=EchoExchange)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Run the server; yield its address."""
        identity = self.town.parties[self.role]
        check = (
            PeerCheck(
                identity.record.document,
                self.registry or self.town.registry,
                self.nonces or MemoryNonces(utc_now),
                utc_now,
            )
            if self.defended
            else OpenCheck()
        )
        interceptor = self.interceptor or Interceptor(check)
        server = aio.server(interceptors=[interceptor], options=self.limits.options())
        node_service_pb2_grpc.add_NodeServiceServicer_to_server(NodeServicer(self.node), server)
        exchange_service_pb2_grpc.add_ExchangeServiceServicer_to_server(
            ExchangeServicer(self.exchange), server
        )
        pair = (identity.tls_key_pem, identity.certificate)
        credentials = grpc.ssl_server_credentials(
            [pair],
            root_certificates=identity.authority if self.client_certificates else None,
            require_client_auth=self.client_certificates,
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


@dataclass
class Outcome:
    """What a raw call came to: bytes, or a status with our code."""

    status: grpc.StatusCode
    code: str = ""
    text: str = ""
    data: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status is grpc.StatusCode.OK


async def call(
    address: str,
    identity: Identity | None,
    *,
    authority: bytes,
    method: str = ADMIT,
    body: bytes = b"",
    metadata: Metadata = (),
    timeout_s: float | None = 5,
    server_name: str = "provider",
    compression: grpc.Compression | None = None,
) -> Outcome:
    """Make one unary call with exactly these bytes and metadata."""
    pair = (identity.tls_key_pem, identity.certificate) if identity else (None, None)
    credentials = grpc.ssl_channel_credentials(authority, *pair)
    # The attacker's own client has no limits.
    ours = [option for option in channel_options(server_name) if "max_" not in option[0]]
    arguments = [*ours, ("grpc.max_send_message_length", -1)]
    async with aio.secure_channel(address, credentials, arguments, compression=compression) as channel:
        try:
            rpc: Any = channel.unary_unary(method)
            return Outcome(
                grpc.StatusCode.OK, data=await rpc(body, timeout=timeout_s, metadata=aio.Metadata(*metadata))
            )
        except aio.AioRpcError as error:
            return outcome(error)


def outcome(error: aio.AioRpcError) -> Outcome:
    """Return status, code and text of a failed call."""
    for key, value in error.trailing_metadata() or ():
        if key == errors.METADATA_KEY and isinstance(value, bytes):
            failure = errors.Failure.from_bytes(value)
            return Outcome(error.code(), failure.code, failure.text)
    return Outcome(error.code(), "", error.details() or "")


def signed(
    identity: Identity,
    body: bytes = b"",
    *,
    method: str = ADMIT,
    audience: str = "provider",
    clock: Callable[[], datetime] = utc_now,
) -> Metadata:
    """Return the metadata of a request that `identity` signs."""
    envelope = requests.sign(
        identity.record.document, identity.signer, method=method, audience=audience, body=body, clock=clock
    )
    return ((requests.METADATA_KEY, envelope),)


def expect_no_connection(found: Outcome) -> bool:
    """Return whether the attack worked; what blocks it is the handshake."""
    if not found.ok and found.status is not grpc.StatusCode.UNAVAILABLE:
        raise AssertionError(f"blocked, but by {found.status}: {found.text}")
    return found.ok


def expect(found: Outcome, code: str) -> bool:
    """Return whether the attack worked; a block for another reason than `code` is an error of the test."""
    if not found.ok and found.code != code:
        raise AssertionError(f"blocked, but by {found.code or found.status}: {found.text}")
    return found.ok


async def stranger_certificate(defended: bool) -> bool:
    """A certificate by another authority, with the name and key role of the exchange."""
    target = Target(defended=defended, client_certificates=defended)
    fake = make_identity(Authority.create("test authority", utc_now), "exchange", "exchange")
    async with target.running() as address:
        found = await call(address, fake, authority=target.town.authority.pem, metadata=signed(fake))
    return expect_no_connection(found)


async def no_certificate(defended: bool) -> bool:
    """No client certificate at all, with a request signed by the real exchange."""
    target = Target(defended=defended, client_certificates=defended)
    async with target.running() as address:
        metadata = signed(target.town.parties["exchange"])
        found = await call(address, None, authority=target.town.authority.pem, metadata=metadata)
    return expect_no_connection(found)


async def server_of_another_authority(defended: bool) -> bool:
    """A man in the middle shows a certificate of his own authority."""
    target = Target(defended=False, client_certificates=False)
    trusted = Authority.create("test authority", utc_now).pem if defended else target.town.authority.pem
    async with target.running() as address:
        found = await call(address, None, authority=trusted)
    return expect_no_connection(found)


async def server_of_another_party(defended: bool) -> bool:
    """Another registered party answers in the place of the expected one."""
    target = Target(defended=False)
    expected = "notary" if defended else "provider"
    async with target.running() as address:
        found = await call(
            address,
            target.town.parties["exchange"],
            authority=target.town.authority.pem,
            server_name=expected,
        )
    return expect_no_connection(found)


async def wrong_role(defended: bool) -> bool:
    """A registered buyer, with a good certificate and signature, calls a node."""
    target = Target(defended=defended)
    buyer = target.town.parties["buyer"]
    async with target.running() as address:
        found = await call(address, buyer, authority=target.town.authority.pem, metadata=signed(buyer))
    return expect(found, "not-permitted")


async def certified_but_not_registered(defended: bool) -> bool:
    """The authority's certificate for the exchange's own name, but a key that no record names."""
    target = Target(defended=defended)
    fake = make_identity(target.town.authority, "exchange", "exchange")
    async with target.running() as address:
        found = await call(address, fake, authority=target.town.authority.pem, metadata=signed(fake))
    return expect(found, "not-permitted")


async def revoked(defended: bool) -> bool:
    """A party goes on after its registration was revoked."""
    target = Target()
    exchange = target.town.parties["exchange"]
    if defended:
        target.town.registry.revoke("exchange")
    async with target.running() as address:
        found = await call(address, exchange, authority=target.town.authority.pem, metadata=signed(exchange))
    return expect(found, "not-permitted")


async def rotated_away(defended: bool) -> bool:
    """The thief of an old key goes on after its owner rotated."""
    target = Target()
    old = target.town.parties["exchange"]
    if defended:
        _, new = old.rotate(utc_now)
        target.town.registry.put(new.record)
    async with target.running() as address:
        found = await call(address, old, authority=target.town.authority.pem, metadata=signed(old))
    return expect(found, "not-permitted")


async def unsigned(defended: bool) -> bool:
    """The right connection, but nobody signed the request."""
    target = Target(defended=defended)
    async with target.running() as address:
        found = await call(address, target.town.parties["exchange"], authority=target.town.authority.pem)
    return expect(found, "signature-invalid")


async def signed_by_another(defended: bool) -> bool:
    """The right connection, with a request that another registered party signed."""
    target = Target(defended=defended)
    metadata = signed(target.town.parties["notary"])
    async with target.running() as address:
        found = await call(
            address,
            target.town.parties["exchange"],
            authority=target.town.authority.pem,
            metadata=metadata,
        )
    return expect(found, "signature-invalid")


async def two_requests_in_one(defended: bool) -> bool:
    """Two signed requests in one call, of which two readers may each see another."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    metadata = (*signed(exchange), *signed(exchange))
    async with target.running() as address:
        found = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
    return expect(found, "signature-invalid")


async def replayed(defended: bool) -> bool:
    """The same signed request a second time."""
    target = Target(nonces=None if defended else ForgetfulNonces())
    exchange = target.town.parties["exchange"]
    async with target.running() as address:
        metadata = signed(exchange)
        first = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
        again = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
    if not first.ok:
        raise AssertionError("the honest call failed")
    return expect(again, "request-replayed")


async def replayed_after_restart(defended: bool) -> bool:
    """The same signed request, to a server that restarted in between with its nonces in memory."""
    town = Town()
    exchange = town.parties["exchange"]
    metadata = signed(exchange, clock=lambda: utc_now() - timedelta(seconds=5))
    target = Target(town=town, nonces=None if defended else ForgetfulNonces())
    async with target.running() as address:
        found = await call(address, exchange, authority=town.authority.pem, metadata=metadata)
    return expect(found, "request-expired")


async def expired(defended: bool) -> bool:
    """A signed request two minutes old."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    metadata = signed(exchange, clock=lambda: utc_now() - timedelta(minutes=2))
    async with target.running() as address:
        found = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
    return expect(found, "request-expired")


async def from_the_future(defended: bool) -> bool:
    """A request dated ahead, to be kept and used later."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    metadata = signed(exchange, clock=lambda: utc_now() + timedelta(minutes=2))
    async with target.running() as address:
        found = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
    return expect(found, "request-expired")


async def addressed_to_another(defended: bool) -> bool:
    """A request that was signed for one node, sent on to another."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            metadata=signed(exchange, audience="notary"),
        )
    return expect(found, "not-permitted")


async def signed_for_another_method(defended: bool) -> bool:
    """A request that was signed for `VoidHold`, sent to `AdmitJob`."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    metadata = signed(exchange, method=path("NodeService/VoidHold"))
    async with target.running() as address:
        found = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
    return expect(found, "not-permitted")


async def changed_body(defended: bool) -> bool:
    """The signature of one request over the bytes of another."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    honest = nd.AdmitJobRequest(job=b"one").SerializeToString()
    changed = nd.AdmitJobRequest(job=b"two").SerializeToString()
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            body=changed,
            metadata=signed(exchange, honest),
        )
    return expect(found, "not-permitted")


async def no_deadline(defended: bool) -> bool:
    """A call that never ends by itself."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            metadata=signed(exchange),
            timeout_s=None,
        )
    return expect(found, "limit-exceeded")


async def endless_deadline(defended: bool) -> bool:
    """A deadline of a day."""
    target = Target(defended=defended)
    exchange = target.town.parties["exchange"]
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            metadata=signed(exchange),
            timeout_s=86_400,
        )
    return expect(found, "limit-exceeded")


async def oversized_message(defended: bool) -> bool:
    """Eight mebibytes in one message."""
    target = Target(limits=Limits() if defended else Limits(message_bytes=64 << 20))
    exchange = target.town.parties["exchange"]
    body = nd.AdmitJobRequest(job=bytes(8 << 20)).SerializeToString()
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            body=body,
            metadata=signed(exchange, body),
        )
    if not found.ok and found.status is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise AssertionError(f"blocked, but by {found.status}")
    return found.ok


async def compressed_bomb(defended: bool) -> bool:
    """Sixteen mebibytes of zeros that travel as sixteen kibibytes."""
    target = Target(limits=Limits() if defended else Limits(message_bytes=32 << 20))
    exchange = target.town.parties["exchange"]
    body = nd.AdmitJobRequest(job=bytes(16 << 20)).SerializeToString()
    if len(gzip.compress(body, 1)) > 1 << 20:
        raise AssertionError("the bomb is no bomb")
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            body=body,
            metadata=signed(exchange, body),
            compression=grpc.Compression.Gzip,
        )
    if not found.ok and found.status is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise AssertionError(f"blocked, but by {found.status}")
    return found.ok


async def oversized_metadata(defended: bool) -> bool:
    """Thirty-two kibibytes of metadata."""
    target = Target(limits=Limits() if defended else Limits(metadata_bytes=256 << 10))
    exchange = target.town.parties["exchange"]
    async with target.running() as address:
        metadata = (*signed(exchange), ("padding", "x" * (32 << 10)))
        found = await call(address, exchange, authority=target.town.authority.pem, metadata=metadata)
    if not found.ok and found.status not in {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }:
        raise AssertionError(f"blocked, but by {found.status}")
    return found.ok


async def unknown_method(defended: bool) -> bool:
    """A method that the table does not name; its control is one that it names."""
    target = Target()
    exchange = target.town.parties["exchange"]
    method = path("NodeService/Backdoor") if defended else ADMIT
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            method=method,
            metadata=signed(exchange, method=method),
        )
    return expect(found, "not-permitted")


async def garbage(defended: bool) -> bool:
    """Signed bytes that are no message; their control is a message."""
    target = Target()
    exchange = target.town.parties["exchange"]
    body = b"\xff\xff\xff" if defended else b""
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            body=body,
            metadata=signed(exchange, body),
        )
    return expect(found, "document-malformed")


async def unknown_field(defended: bool) -> bool:
    """A field that this version does not know, carried along unseen."""
    target = Target()
    exchange = target.town.parties["exchange"]
    body = nd.AdmitJobRequest(job=b"j").SerializeToString() + (b"\xfa\x01\x03abc" if defended else b"")
    async with target.running() as address:
        found = await call(
            address,
            exchange,
            authority=target.town.authority.pem,
            body=body,
            metadata=signed(exchange, body),
        )
    return expect(found, "document-malformed")


class UnaryOnlyInterceptor(aio.ServerInterceptor):
    """The trap: a gate that knows one arity, and lets the others by."""

    def __init__(self, gate: Interceptor, open_gate: Interceptor) -> None:
        self._gate = gate
        self._open_gate = open_gate

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        handler = await continuation(handler_call_details)
        gate = self._gate if handler is not None and handler.unary_unary else self._open_gate
        return await gate.intercept_service(continuation, handler_call_details)


async def stream_past_the_gate(defended: bool) -> bool:
    """A buyer uploads a sealed share in a node's place, by the arity that a careless gate forgets."""
    town = Town()
    check = PeerCheck(town.record("exchange"), town.registry, MemoryNonces(utc_now), utc_now)
    gate = Interceptor(check)
    trap = None if defended else UnaryOnlyInterceptor(gate, Interceptor(OpenCheck()))
    target = Target(town=town, role="exchange", interceptor=trap or gate)
    buyer = town.parties["buyer"]
    header = ex.UploadShareRequest(header=ex.ShareHeader(acceptance_digest="d", attempt=1))
    bodies = [header.SerializeToString(), ex.UploadShareRequest(chunk=b"forged").SerializeToString()]
    metadata = signed(buyer, bodies[0], method=UPLOAD, audience="exchange")
    credentials = grpc.ssl_channel_credentials(town.authority.pem, buyer.tls_key_pem, buyer.certificate)
    async with (
        target.running() as address,
        aio.secure_channel(address, credentials, channel_options("exchange")) as channel,
    ):
        try:
            rpc: Any = channel.stream_unary(UPLOAD)
            await rpc(iter(bodies), timeout=5, metadata=aio.Metadata(*metadata))
        except aio.AioRpcError as error:
            return expect(outcome(error), "not-permitted")
    return bytes(target.exchange.uploads["d", 1, 0]) == b"forged"


ATTACKS: dict[str, Callable[[bool], Coroutine[Any, Any, bool]]] = {
    attack.__name__: attack
    for attack in (
        stranger_certificate,
        no_certificate,
        server_of_another_authority,
        server_of_another_party,
        wrong_role,
        certified_but_not_registered,
        revoked,
        rotated_away,
        unsigned,
        signed_by_another,
        two_requests_in_one,
        replayed,
        replayed_after_restart,
        expired,
        from_the_future,
        addressed_to_another,
        signed_for_another_method,
        changed_body,
        no_deadline,
        endless_deadline,
        oversized_message,
        compressed_bomb,
        oversized_metadata,
        unknown_method,
        garbage,
        unknown_field,
        stream_past_the_gate,
    )
}
"""Name → attack(defended) → whether it worked."""
