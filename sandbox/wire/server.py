"""A party's server: mTLS, hard limits, and the gate before every handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from records.clock import Clock
from records.errors import NotPermitted, StateConflict
from sandbox.identity import Identity
from sandbox.ports import ExchangePort, NodePort
from sandbox.rpc.v1 import (
    exchange_service_pb2_grpc,
    link_service_pb2_grpc,
    node_service_pb2_grpc,
)
from sandbox.wire.interceptor import CallCheck, Interceptor, PeerCheck
from sandbox.wire.registry import Directory
from sandbox.wire.requests import MemoryNonces, NonceStore
from sandbox.wire.servicers import ExchangeServicer, NodeServicer

LOOPBACK: Final = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server gives to its peers; bytes, counts and seconds."""

    message_bytes: int = 4 << 20
    metadata_bytes: int = 16 << 10
    streams_per_connection: int = 64
    calls: int = 256
    keepalive_s: int = 60

    def options(self) -> list[tuple[str, int]]:
        """Return gRPC's channel arguments.

        Only `absolute_max_metadata_size` is a hard limit; `max_metadata_size` alone lets more pass.
        """
        return [
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", self.message_bytes),
            ("grpc.max_metadata_size", self.metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
            ("grpc.max_concurrent_streams", self.streams_per_connection),
            ("grpc.keepalive_time_ms", self.keepalive_s * 1000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.http2.max_ping_strikes", 2),
            # Without this a second process could take the same port and share its calls.
            ("grpc.so_reuseport", 0),
        ]


class WireServer:
    """A running server. `address` is `host:port` with the port that was chosen."""

    def __init__(self, server: aio.Server, address: str, credentials: _Credentials | None = None) -> None:
        self._server = server
        self._credentials = credentials
        self.address = address

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.address.rpartition(":")[2])

    def present(self, identity: Identity) -> None:
        """Use another certificate of the same party from the next handshake on.

        Raises:
            NotPermitted: an identity of another party.
            StateConflict: no certificate, or a listener that is not rotated.
        """
        if self._credentials is None or not identity.certificate:
            raise StateConflict("there is no certificate to show: restart, or enrol first")
        if identity.party != self._credentials.identity.party:
            raise NotPermitted(f"this server is `{self._credentials.identity.party}`'s")
        self._credentials.identity = identity

    async def stop(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, give running ones `grace_s` seconds, end."""
        await self._server.stop(grace_s)


async def serve(
    identity: Identity,
    directory: Directory,
    *,
    clock: Clock,
    node: NodePort | None = None,
    exchange: ExchangePort | None = None,
    link: link_service_pb2_grpc.LinkServiceServicer | None = None,
    nonces: NonceStore | None = None,
    address: str = LOOPBACK,
    limits: Limits | None = None,
) -> WireServer:
    """Start a server for whichever of the services are given, plus health checks; no reflection.

    Raises:
        StateConflict: the identity has no certificate yet, or the address is taken.
    """
    check = PeerCheck(identity.record.document, directory, nonces or MemoryNonces(clock), clock)
    server = build(check, limits or Limits())
    if node is not None:
        node_service_pb2_grpc.add_NodeServiceServicer_to_server(NodeServicer(node), server)
    if exchange is not None:
        exchange_service_pb2_grpc.add_ExchangeServiceServicer_to_server(ExchangeServicer(exchange), server)
    if link is not None:
        link_service_pb2_grpc.add_LinkServiceServicer_to_server(link, server)
    beat = health.HealthServicer()
    await beat.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(beat, server)
    credentials = _Credentials(identity)
    bound = bind(server, address, credentials.for_server())
    await server.start()
    return WireServer(server, bound, credentials)


def build(check: CallCheck, limits: Limits) -> aio.Server:
    """Return a server with the gate, the limits and nothing to serve yet."""
    return aio.server(
        interceptors=[Interceptor(check)],
        options=limits.options(),
        maximum_concurrent_rpcs=limits.calls,
    )


def bind(server: aio.Server, address: str, credentials: grpc.ServerCredentials) -> str:
    """Listen on `address`; return it with the port that was chosen.

    Raises:
        StateConflict: the address is taken or not ours.
    """
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise StateConflict(f"cannot listen on `{address}`: choose another address") from error
    return f"{address.rpartition(':')[0]}:{port}"


class _Credentials:
    """Asked by gRPC at every handshake, so that a rotated certificate needs no restart."""

    def __init__(self, identity: Identity) -> None:
        if not identity.certificate:
            raise StateConflict(f"`{identity.party}` has no certificate: enrol first")
        self.identity = identity
        self._shown = identity

    def for_server(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._changed,  # type: ignore[arg-type] # the stubs lack None: nothing changed
            require_client_authentication=True,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        # With a configuration at every handshake, gRPC 1.85 frees what a handshake beside it still uses,
        # and the process ends with a segmentation fault.
        if self.identity is self._shown:
            return None
        self._shown = self.identity
        return self._configuration()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        identity = self.identity
        return grpc.ssl_server_certificate_configuration(
            [(identity.tls_key_pem, identity.certificate)], root_certificates=identity.authority
        )
