"""Enrolment: how a party with nothing but an invitation comes by its certificate.

The exchange hands out an invitation file: its address, its authority's certificate, and a token for one
name and one role. The new party draws its keys at home, signs its record, and sends token, record and
certificate request over TLS that trusts that authority alone. The desk checks that the three agree, has the
record registered, and issues a certificate for the key that the record names. The token is used up by
the first record; the same record may come again, because an answer can be lost.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from pydantic import Field

from records import canonical
from records import clock as clocks
from records.clock import Clock
from records.document import Part, Signed
from records.errors import MalformedDocument, NotPermitted, RequestExpired, SignatureInvalid, StateConflict
from records.ids import require_name
from records.parties import PartyRecord, Role
from sandbox.wire.certificates import Authority, certificate_digest, public_key_digest, requested_key
from sandbox.wire.registry import Directory

TOKEN_BYTES: Final = 32


class Invitation(Part):
    """The file that an exchange hands to a new party; whoever holds it may enrol under this name.

    `authority` is the authority's certificate (PEM): pinning it whole needs no trust in the first
    connection. `authority_digest` is what two people compare over the telephone.
    """

    environment: str
    exchange: str
    address: str
    authority: str
    party: str
    role: Role
    token: str = Field(repr=False)
    expires_at: str

    @property
    def authority_digest(self) -> str:
        """`sha256:…` over the authority's certificate."""
        return certificate_digest(self.authority.encode())

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of the file."""
        return canonical.encode(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> Invitation:
        """Parse an invitation file.

        Raises:
            MalformedDocument: not an invitation.
        """
        try:
            return cls.model_validate_json(canonical.encode(canonical.decode(data)))
        except ValueError:
            # Never the cause: it quotes the token.
            raise MalformedDocument("not an invitation") from None


@dataclass(frozen=True, slots=True)
class InvitationEntry:
    """What the exchange keeps of an invitation: never the token, only its hash."""

    token_hash: str
    party: str
    role: Role
    expires_at: datetime


class InvitationStore(Protocol):
    """Keeps invitations. Each method is one transaction."""

    async def add(self, entry: InvitationEntry) -> None:
        """Store a new invitation."""

    async def find(self, token_hash: str) -> InvitationEntry | None:
        """Return the invitation of this token, used or not."""

    async def use(self, token_hash: str, record_digest: str) -> None:
        """Bind the token to a record; again for the same record is no second use.

        Raises:
            NotPermitted: it is bound to another record.
        """


class MemoryInvitations:
    """Invitations of one process."""

    def __init__(self) -> None:
        self._entries: dict[str, InvitationEntry] = {}
        self._used: dict[str, str] = {}

    async def add(self, entry: InvitationEntry) -> None:
        """Store a new invitation."""
        self._entries[entry.token_hash] = entry

    async def find(self, token_hash: str) -> InvitationEntry | None:
        """Return the invitation of this token; see `InvitationStore`."""
        return self._entries.get(token_hash)

    async def use(self, token_hash: str, record_digest: str) -> None:
        """Bind the token to a record; see `InvitationStore`."""
        if self._used.setdefault(token_hash, record_digest) != record_digest:
            raise NotPermitted("this invitation was used: ask for a new one")


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a party gets: its certificate and the authority's (PEM), and the exchange's signed record."""

    certificate: bytes
    authority: bytes
    exchange_record: bytes


class EnrolmentPort(Protocol):
    """What an enrolling party asks of an exchange."""

    async def enrol(self, token: str, record: bytes, signing_request: bytes) -> Enrolled:
        """Register the record that the token was made for; return its certificate."""

    async def renew(self, record: bytes, signing_request: bytes) -> Enrolled:
        """Return a fresh certificate for a record that is registered."""


class EnrolmentDesk:
    """Checks enrolments and issues certificates; `register` stores and logs a new party's record."""

    def __init__(
        self,
        authority: Authority,
        exchange_record: Signed[PartyRecord],
        invitations: InvitationStore,
        directory: Directory,
        register: Callable[[Signed[PartyRecord]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._authority = authority
        self._exchange_record = exchange_record
        self._invitations = invitations
        self._directory = directory
        self._register = register
        self._clock = clock

    async def invite(self, party: str, role: Role, address: str, validity: timedelta) -> Invitation:
        """Store a fresh token for `party` and return the file that carries it; `address` is the desk's."""
        exchange = self._exchange_record.document
        if role == "exchange" or require_name(party, "a party") == exchange.party:
            raise NotPermitted("an exchange invites neither another nor itself")
        token = secrets.token_hex(TOKEN_BYTES)
        expires = self._clock() + validity
        await self._invitations.add(InvitationEntry(_token_hash(token), party, role, expires))
        return Invitation(
            environment=exchange.environment,
            exchange=exchange.party,
            address=address,
            authority=self._authority.pem.decode(),
            party=party,
            role=role,
            token=token,
            expires_at=clocks.to_text(expires),
        )

    async def enrol(self, token: str, record: bytes, signing_request: bytes) -> Enrolled:
        """Check token, record and request against each other; register; issue. See `EnrolmentPort`.

        Raises:
            NotPermitted: an unknown or used token, or one for another name or role.
            RequestExpired: the invitation is past its time.
            SignatureInvalid: record or request are not signed by the keys that they name.
        """
        # (1) The token stands for one name and one role, for a while.
        token_hash = _token_hash(token)
        entry = await self._invitations.find(token_hash)
        if entry is None:
            raise NotPermitted("this invitation is not known here")
        if entry.expires_at <= self._clock():
            raise RequestExpired("this invitation is past its time: ask for a new one")
        # (2) The record is the party's own and says what the token allows.
        signed = self._verified(record)
        if (signed.document.party, signed.document.role) != (entry.party, entry.role):
            raise NotPermitted("this invitation is for another name or role")
        # (3) The request is by the TLS key of that record.
        certificate = self._issue(signed.document, signing_request)
        # (4) One token, one record. Registering the same record again changes nothing.
        await self._invitations.use(token_hash, signed.digest)
        await self._register(signed)
        return self._enrolled(certificate)

    async def renew(self, record: bytes, signing_request: bytes) -> Enrolled:
        """Issue a certificate for the record as it is registered. See `EnrolmentPort`.

        No secret is needed: the certificate only restates what the registry says, and serves nobody
        but the holder of the key.

        Raises:
            UnknownObject: no such party.
            StateConflict: another record of this party is registered.
        """
        signed = self._verified(record)
        if self._directory.by_name(signed.document.party) != signed.document:
            raise StateConflict("another record of this party is registered: rotate first")
        return self._enrolled(self._issue(signed.document, signing_request))

    def _verified(self, record: bytes) -> Signed[PartyRecord]:
        stated = PartyRecord.unverified(record).document
        environment = self._exchange_record.document.environment
        return PartyRecord.verified(record, stated.verifying_key, environment)

    def _issue(self, record: PartyRecord, signing_request: bytes) -> bytes:
        key = requested_key(signing_request)
        if public_key_digest(key) != record.tls_key:
            raise SignatureInvalid("the certificate request is not by the TLS key of the record")
        return self._authority.issue(record.party, key, self._clock)

    def _enrolled(self, certificate: bytes) -> Enrolled:
        return Enrolled(certificate, self._authority.pem, self._exchange_record.to_bytes())


def _token_hash(token: str) -> str:
    # A token is 256 random bits: a plain hash is enough, and the look-up by it gives nothing away.
    return hashlib.sha256(b"usufruct/invitation/v1" + bytes(1) + token.encode()).hexdigest()
