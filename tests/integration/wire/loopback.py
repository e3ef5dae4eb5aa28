"""Real parties on loopback: an authority, identities, a registry, servers, and small real ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from records.clock import utc_now
from records.document import Signed
from records.errors import StateConflict, UnknownObject
from records.parties import PartyRecord, Role
from sandbox.identity import Identity
from sandbox.ports import (
    AdmissionRequest,
    Blob,
    Caller,
    Catalogue,
    HoldRequest,
    JobEvent,
    JobView,
    LogProof,
    ReleasedResult,
    ReleaseRequest,
)
from sandbox.wire.certificates import Authority
from sandbox.wire.registry import Registry

ROLES: tuple[Role, ...] = ("provider", "notary", "buyer", "exchange", "regulator")
VIEW = JobView("j", "QUOTED", b"job", b"quote", b"", (b"a", b"b"), "why", 3)
RESULT = ReleasedResult(
    2, (Blob("alice", 1, 9, "sha256:00"),), (b"s",), (b"h",), (b"k",), b"token", (b"p",), (b"r",), (b"m",)
)


def make_identity(authority: Authority, party: str, role: Role) -> Identity:
    """Return an identity with a certificate."""
    bare = Identity.create(
        party, role, controller=f"{party} ltd", region="CN", environment="test", clock=utc_now
    )
    certificate = authority.issue(party, bare.keys.tls.public_key(), utc_now)
    return bare.with_certificate(certificate, authority.pem)


def caller_of(identity: Identity) -> Caller:
    """Return the caller that `identity` is to others."""
    return Caller(identity.party, identity.record.document.role)


@dataclass
class Town:
    """One party of each role, and all of them registered."""

    authority: Authority = field(default_factory=lambda: Authority.create("test authority", utc_now))
    parties: dict[str, Identity] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)

    def __post_init__(self) -> None:
        for role in ROLES:
            self.add(role, role)

    def add(self, party: str, role: Role) -> Identity:
        """Create, certify and register a party."""
        identity = make_identity(self.authority, party, role)
        self.parties[party] = identity
        self.registry.put(identity.record)
        return identity

    def record(self, party: str) -> PartyRecord:
        """Return a party's document."""
        signed: Signed[PartyRecord] = self.parties[party].record
        return signed.document


class EchoNode:
    """A node that answers with what it was asked, and remembers who asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Caller, tuple[object, ...]]] = []

    async def _note(self, name: str, caller: Caller, *arguments: object) -> bytes:
        self.calls.append((name, caller, arguments))
        return name.encode()

    async def admit(self, caller: Caller, request: AdmissionRequest) -> bytes:
        return await self._note("admit", caller, request)

    async def hold(self, caller: Caller, request: HoldRequest) -> bytes:
        return await self._note("hold", caller, request)

    async def void(self, caller: Caller, acceptance_digest: str) -> None:
        await self._note("void", caller, acceptance_digest)

    async def prepare(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        return await self._note("prepare", caller, acceptance_digest, attempt)

    async def execute(
        self, caller: Caller, acceptance_digest: str, attempt: int, keys: tuple[bytes, ...]
    ) -> bytes:
        return await self._note("execute", caller, acceptance_digest, attempt, keys)

    async def checkpoint_size(self, caller: Caller) -> int:
        await self._note("checkpoint_size", caller)
        return 7

    async def release(self, caller: Caller, request: ReleaseRequest) -> bytes:
        return await self._note("release", caller, request)

    async def destroy(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        return await self._note("destroy", caller, acceptance_digest, attempt)

    async def settle(self, caller: Caller, receipt: bytes) -> None:
        await self._note("settle", caller, receipt)

    async def compare_checkpoints(self, caller: Caller, checkpoint: str) -> str:
        await self._note("compare_checkpoints", caller, checkpoint)
        return f"mine after {checkpoint}"


class EchoExchange:
    """An exchange that keeps uploads, serves `blob`, and remembers what it was asked."""

    def __init__(self, blob: bytes = b"") -> None:
        self.calls: list[tuple[str, Caller, tuple[object, ...]]] = []
        self.blob = blob
        self.uploads: dict[tuple[str, int, int], bytearray] = {}

    def _note(self, name: str, caller: Caller, *arguments: object) -> bytes:
        self.calls.append((name, caller, arguments))
        return name.encode()

    async def rotate_key(self, caller: Caller, event: bytes, record: bytes) -> None:
        self._note("rotate_key", caller, event, record)

    async def register_product(self, caller: Caller, record: bytes) -> None:
        self._note("register_product", caller, record)

    async def join_collection(self, caller: Caller, membership: bytes) -> None:
        self._note("join_collection", caller, membership)

    async def catalogue(self, caller: Caller) -> Catalogue:
        self._note("catalogue", caller)
        return Catalogue((b"p1", b"p2"), (b"m",), (b"x", b"y", b"z"))

    async def submit(self, caller: Caller, job: bytes) -> str:
        self._note("submit", caller, job)
        return "j"

    async def job(self, caller: Caller, job_id: str) -> JobView:
        self._note("job", caller, job_id)
        if job_id != "j":
            raise UnknownObject("there is no such job")
        return VIEW

    async def jobs(self, caller: Caller) -> tuple[JobView, ...]:
        self._note("jobs", caller)
        return (VIEW, VIEW)

    async def accept(self, caller: Caller, job_id: str, acceptance: bytes) -> None:
        self._note("accept", caller, job_id, acceptance)

    async def cancel(self, caller: Caller, job_id: str, cancellation: bytes) -> None:
        self._note("cancel", caller, job_id, cancellation)

    async def watch(self, caller: Caller, job_id: str, after: int) -> AsyncIterator[JobEvent]:
        self._note("watch", caller, job_id, after)
        for sequence in range(after + 1, 4):
            yield JobEvent(sequence, "HELD", "2026-01-01T00:00:00.000Z")

    async def result(self, caller: Caller, job_id: str) -> ReleasedResult:
        self._note("result", caller, job_id)
        return RESULT

    async def fetch(
        self, caller: Caller, job_id: str, node: str, index: int, offset: int
    ) -> AsyncIterator[bytes]:
        self._note("fetch", caller, job_id, node, index, offset)
        yield self.blob[offset:]

    async def receipt(self, caller: Caller, job_id: str) -> bytes:
        return self._note("receipt", caller, job_id)

    async def statement(self, caller: Caller) -> bytes:
        return self._note("statement", caller)

    async def checkpoint(self, caller: Caller) -> str:
        return self._note("checkpoint", caller).decode()

    async def leaves(self, caller: Caller, start: int, count: int) -> tuple[bytes, ...]:
        self._note("leaves", caller, start, count)
        return tuple(b"%d" % index for index in range(start, start + count))

    async def consistency(self, caller: Caller, old_size: int, new_size: int) -> LogProof:
        self._note("consistency", caller, old_size, new_size)
        return LogProof((b"c" * 32,))

    async def inclusion(self, caller: Caller, index: int, size: int) -> LogProof:
        self._note("inclusion", caller, index, size)
        return LogProof((b"i" * 32, b"j" * 32))

    async def uploaded(self, caller: Caller, acceptance_digest: str, attempt: int, index: int) -> int:
        self._note("uploaded", caller, acceptance_digest, attempt, index)
        return len(self.uploads.get((acceptance_digest, attempt, index), b""))

    async def upload(
        self,
        caller: Caller,
        acceptance_digest: str,
        attempt: int,
        index: int,
        offset: int,
        chunks: AsyncIterator[bytes],
    ) -> int:
        self._note("upload", caller, acceptance_digest, attempt, index, offset)
        held = self.uploads.setdefault((acceptance_digest, attempt, index), bytearray())
        if offset != len(held):
            raise StateConflict("ask how much is held, and go on from there")
        async for chunk in chunks:
            held += chunk
        return len(held)
