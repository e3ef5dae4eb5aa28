"""What the parties ask of each other: the seam between the product and its transports.

`NodePort` is what an exchange (and, for checkpoints, another node) asks of a node; `ExchangePort` is what
buyers and nodes ask of the exchange. The classes in `sandbox.node` and `sandbox.exchange` implement
them; `sandbox.wire` carries them over mTLS gRPC; a local cluster hands the objects over directly.
Documents cross as signed envelopes (bytes): whoever receives one verifies it, and never takes the
carrier's word for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated peer of a call: its registered name and role."""

    party: str
    role: str


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A job with the signed records it refers to: parties, products, collection memberships.

    `key_events` lead from keys that a node may have pinned to those of the party records (R1).
    """

    job: bytes
    party_records: tuple[bytes, ...]
    product_records: tuple[bytes, ...]
    memberships: tuple[bytes, ...]
    key_events: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A quote with the buyer's acceptance of it."""

    quote: bytes
    acceptance: bytes


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A release token with the proofs a node needs to check its place in the log.

    `leaf` and `inclusion` prove the token's entry, of which `opened` (canonical JSON {field: {salt, value}})
    opens what binds it to this release; `consistency` leads from the checkpoint of size
    `known_size`, the last that the node stored, to the token's.
    """

    token: bytes
    leaf: bytes
    inclusion: tuple[bytes, ...]
    known_size: int
    consistency: tuple[bytes, ...]
    statements: tuple[bytes, ...]
    opened: bytes


class NodePort(Protocol):
    """A node, as the exchange and its peers see it. Every method may be called again after a crash."""

    async def admit(self, caller: Caller, request: AdmissionRequest) -> bytes:
        """Return the node's signed `Admission`: permit, or refuse with all reasons."""

    async def hold(self, caller: Caller, request: HoldRequest) -> bytes:
        """Derive the plan again, check everything, reserve uses and budgets; return a signed `Hold`."""

    async def void(self, caller: Caller, acceptance_digest: str) -> None:
        """Give back what is held, if the attempt has not started."""

    async def prepare(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        """Destroy earlier release keys, draw fresh ones, return signed `AttemptKeys`."""

    async def execute(
        self, caller: Caller, acceptance_digest: str, attempt: int, keys: tuple[bytes, ...]
    ) -> bytes:
        """Run the node's part of the attempt with all nodes' `AttemptKeys`; return its `SealedResult`."""

    async def checkpoint_size(self, caller: Caller) -> int:
        """Return the size of the last checkpoint that this node stored."""

    async def release(self, caller: Caller, request: ReleaseRequest) -> bytes:
        """Check the token, journal, hand out the key as a signed `KeyHandout`."""

    async def destroy(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        """Destroy the key if it was never handed out; return a signed `VoidStatement`."""

    async def settle(self, caller: Caller, receipt: bytes) -> None:
        """Take the node's own receipt."""

    async def compare_checkpoints(self, caller: Caller, checkpoint: str) -> str:
        """Return the last signed checkpoint this node stored; called by other nodes (R6)."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as its buyer may see it. Envelopes are empty where there is none yet."""

    job_id: str
    state: str
    job: bytes
    quote: bytes
    acceptance: bytes
    admissions: tuple[bytes, ...]
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One step of a job: its number, the state reached, when (RFC 3339)."""

    sequence: int
    state: str
    at: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Signed records of products, memberships of collections, and parties with their changes of keys."""

    products: tuple[bytes, ...]
    memberships: tuple[bytes, ...]
    parties: tuple[bytes, ...]
    key_events: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Blob:
    """One sealed share as the exchange keeps it: whose, which, how long, its digest."""

    node: str
    index: int
    size: int
    ciphertext_digest: str


@dataclass(frozen=True, slots=True)
class ReleasedResult:
    """All that a buyer needs to open a result: blobs to fetch, nodes' statements, keys, the token.

    The records are those that the job was quoted on, whatever the catalogue shows by now.
    """

    attempt: int
    blobs: tuple[Blob, ...]
    statements: tuple[bytes, ...]
    handouts: tuple[bytes, ...]
    attempt_keys: tuple[bytes, ...]
    token: bytes
    party_records: tuple[bytes, ...]
    product_records: tuple[bytes, ...]
    memberships: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LogProof:
    """Hashes of an inclusion or consistency proof (RFC 9162)."""

    hashes: tuple[bytes, ...]


class ExchangePort(Protocol):
    """The exchange, as buyers and nodes see it."""

    async def rotate_key(self, caller: Caller, event: bytes, record: bytes) -> None:
        """Replace the caller's keys: `event` is signed with the old key, `record` with the new one."""

    async def register_product(self, caller: Caller, record: bytes) -> None:
        """Add a product, or a new version of it."""

    async def join_collection(self, caller: Caller, membership: bytes) -> None:
        """Propose a collection (its first member) or join it."""

    async def catalogue(self, caller: Caller) -> Catalogue:
        """Return what is registered, newest version of each."""

    async def submit(self, caller: Caller, job: bytes) -> str:
        """Store a job under its idempotency key; return its id. Repeating the same job is safe."""

    async def job(self, caller: Caller, job_id: str) -> JobView:
        """Return one of the caller's jobs."""

    async def jobs(self, caller: Caller) -> tuple[JobView, ...]:
        """Return the caller's jobs, newest first."""

    async def accept(self, caller: Caller, job_id: str, acceptance: bytes) -> None:
        """Accept the job's quote."""

    async def cancel(self, caller: Caller, job_id: str, cancellation: bytes) -> None:
        """Stop the job, if it is not yet METERED."""

    def watch(self, caller: Caller, job_id: str, after: int) -> AsyncIterator[JobEvent]:
        """Yield the job's steps after number `after`, as they happen, until it is terminal."""

    async def result(self, caller: Caller, job_id: str) -> ReleasedResult:
        """Return what opens a released result."""

    def fetch(self, caller: Caller, job_id: str, node: str, index: int, offset: int) -> AsyncIterator[bytes]:
        """Yield the bytes of one sealed share from `offset` on."""

    async def receipt(self, caller: Caller, job_id: str) -> bytes:
        """Return the caller's signed receipt of a job."""

    async def statement(self, caller: Caller) -> bytes:
        """Return the caller's account as canonical JSON: balances and postings."""

    async def checkpoint(self, caller: Caller) -> str:
        """Return the newest signed checkpoint of the log."""

    async def leaves(self, caller: Caller, start: int, count: int) -> tuple[bytes, ...]:
        """Return up to `count` leaves of the log from index `start`."""

    async def consistency(self, caller: Caller, old_size: int, new_size: int) -> LogProof:
        """Return the proof that the tree of `new_size` extends that of `old_size`."""

    async def inclusion(self, caller: Caller, index: int, size: int) -> LogProof:
        """Return the proof that leaf `index` is in the tree of `size`."""

    async def uploaded(self, caller: Caller, acceptance_digest: str, attempt: int, index: int) -> int:
        """Return how many bytes of the caller's sealed share the exchange already holds."""

    async def upload(
        self,
        caller: Caller,
        acceptance_digest: str,
        attempt: int,
        index: int,
        offset: int,
        chunks: AsyncIterator[bytes],
    ) -> int:
        """Append to the caller's sealed share from `offset` on; return the size now held."""
