"""Enrolment over the wire: a listener of its own, and the new party's calls to it.

The server shows its certificate and asks for none; what it answers to is the token. The client trusts the
authority of its invitation alone, and the exchange's name.
"""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import time
from collections import deque
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from records.document import Signed
from records.errors import EvidenceError, InputError, LimitExceeded, NotPermitted, StateConflict
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.ports import Caller
from sandbox.rpc.v1 import enrolment_service_pb2 as pb
from sandbox.rpc.v1 import enrolment_service_pb2_grpc
from sandbox.wire import errors
from sandbox.wire.authorisation import RULES, check_deadline, path
from sandbox.wire.certificates import certificate_key_digest, signing_request
from sandbox.wire.connection import channel_options
from sandbox.wire.enrolment import EnrolmentPort, Invitation
from sandbox.wire.interceptor import Context
from sandbox.wire.messages import parse
from sandbox.wire.server import LOOPBACK, Limits, WireServer, bind, build

ENROL: Final = path("EnrolmentService/EnrolParty")
RENEW: Final = path("EnrolmentService/RenewCertificate")
LIMITS: Final = Limits(message_bytes=64 << 10, streams_per_connection=4, calls=16)
FAILURES_PER_MINUTE: Final = 10
"""By all callers together: addresses are cheap, and nobody enrols by the dozen with wrong tokens."""

M = TypeVar("M", bound=Message)


class StrangerCheck:
    """The check of the enrolment listener: its two methods, with a deadline; callers have no name yet."""

    def admit(self, method: str, context: Context) -> Caller:
        """Return the nameless caller; see `CallCheck`."""
        if method not in {ENROL, RENEW}:
            raise NotPermitted("this method does not exist here")
        check_deadline(RULES[method], context.time_remaining())
        return Caller("", "")

    async def confirm(self, method: str, context: Context, body: bytes) -> None:
        """Leave it to the desk: token, record and request are signed or secret in themselves."""


class EnrolmentServicer(enrolment_service_pb2_grpc.EnrolmentServiceServicer):
    """Offers an `EnrolmentPort`, and slows down who guesses."""

    def __init__(self, port: EnrolmentPort, *, failures_per_minute: int = FAILURES_PER_MINUTE) -> None:
        self._port = port
        self._failures: deque[float] = deque(maxlen=failures_per_minute)

    async def EnrolParty(self, request: pb.EnrolPartyRequest, context: Context) -> pb.EnrolPartyResponse:
        self._require_patience()
        try:
            enrolled = await self._port.enrol(request.token, request.record, request.signing_request)
        except InputError:
            self._failures.append(time.monotonic())
            raise
        return pb.EnrolPartyResponse(
            certificate=enrolled.certificate,
            authority=enrolled.authority,
            exchange_record=enrolled.exchange_record,
        )

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest, context: Context
    ) -> pb.RenewCertificateResponse:
        enrolled = await self._port.renew(request.record, request.signing_request)
        return pb.RenewCertificateResponse(
            certificate=enrolled.certificate,
            authority=enrolled.authority,
            exchange_record=enrolled.exchange_record,
        )

    def _require_patience(self) -> None:
        full = len(self._failures) == self._failures.maxlen
        if full and time.monotonic() - self._failures[0] < 60:
            raise LimitExceeded("too many failed enrolments: try again in a minute")


async def serve_enrolment(
    identity: Identity,
    port: EnrolmentPort,
    *,
    address: str = LOOPBACK,
    failures_per_minute: int = FAILURES_PER_MINUTE,
) -> WireServer:
    """Start the listener for parties without a certificate.

    Raises:
        StateConflict: the identity has no certificate itself, or the address is taken.
    """
    if not identity.certificate:
        raise StateConflict(f"`{identity.party}` has no certificate")
    server = build(StrangerCheck(), LIMITS)
    servicer = EnrolmentServicer(port, failures_per_minute=failures_per_minute)
    enrolment_service_pb2_grpc.add_EnrolmentServiceServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials([(identity.tls_key_pem, identity.certificate)])
    bound = bind(server, address, credentials)
    await server.start()
    return WireServer(server, bound)


async def enrol(invitation: Invitation, identity: Identity) -> tuple[Identity, Signed[PartyRecord]]:
    """Enrol `identity` with an invitation; return it with its certificate, and the exchange's record.

    Raises:
        NotPermitted: the invitation is for another party, or the desk refuses.
        EvidenceError: the answer is not what was asked for.
    """
    record = identity.record.document
    if (record.party, record.role, record.environment) != (
        invitation.party,
        invitation.role,
        invitation.environment,
    ):
        raise NotPermitted("the invitation is for another party, role or environment")
    request = pb.EnrolPartyRequest(
        token=invitation.token,
        record=identity.record.to_bytes(),
        signing_request=signing_request(record.party, identity.keys.tls),
    )
    authority = invitation.authority.encode()
    reply = await _call(
        invitation.address, authority, invitation.exchange, ENROL, request, pb.EnrolPartyResponse
    )
    return _accepted(identity, reply, authority, invitation.exchange)


async def renew(address: str, identity: Identity, exchange: str) -> tuple[Identity, Signed[PartyRecord]]:
    """Fetch a certificate for an identity whose record is registered, after rotation or before expiry.

    Raises:
        StateConflict: another record is registered.
        EvidenceError: the answer is not what was asked for.
    """
    request = pb.RenewCertificateRequest(
        record=identity.record.to_bytes(),
        signing_request=signing_request(identity.party, identity.keys.tls),
    )
    reply = await _call(address, identity.authority, exchange, RENEW, request, pb.RenewCertificateResponse)
    return _accepted(identity, reply, identity.authority, exchange)


async def _call(
    address: str, authority: bytes, exchange: str, method: str, request: Message, reply: type[M]
) -> M:
    credentials = grpc.ssl_channel_credentials(authority)
    async with aio.secure_channel(address, credentials, options=channel_options(exchange)) as channel:
        call: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            data = await call(request.SerializeToString(), timeout=RULES[method].deadline_s)
        except aio.AioRpcError as error:
            raise errors.rebuild(error, exchange) from None
        return parse(reply, data)


def _accepted(
    identity: Identity,
    reply: pb.EnrolPartyResponse | pb.RenewCertificateResponse,
    authority: bytes,
    exchange: str,
) -> tuple[Identity, Signed[PartyRecord]]:
    stated = PartyRecord.unverified(reply.exchange_record).document
    record = PartyRecord.verified(reply.exchange_record, stated.verifying_key, identity.environment)
    if (record.document.party, record.document.role) != (exchange, "exchange"):
        raise EvidenceError("the answer is not by the exchange of the invitation")
    if reply.authority != authority or (
        certificate_key_digest(reply.certificate) != identity.record.document.tls_key
    ):
        raise EvidenceError("the certificate is not for our key, or by another authority")
    return identity.with_certificate(reply.certificate, authority), record
