"""The documents of one job, in the order in which they come to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from records import canonical
from records.document import Document, Part
from records.errors import Reason

Technique = Literal["local", "secret-sharing"]


class ReasonRecord(Part):
    """A `records.errors.Reason` as it stands in documents."""

    provider: str
    clause: str
    wanted: str
    limit: str
    remedy: str

    @classmethod
    def of(cls, reason: Reason) -> ReasonRecord:
        """Return the record of `reason`."""
        return cls(**reason.to_json())

    def reason(self) -> Reason:
        """Return the inner form."""
        return Reason(self.provider, self.clause, self.wanted, self.limit, self.remedy)


class RecordPin(Part):
    """A product or party at one registered version: its name and the digest of its record."""

    name: str
    record_digest: str


class WrappedKey(Part):
    """The key of sealed parameters under one party's sealing key: base64 of an HPKE ciphertext."""

    party: str
    wrapped: str


class SealedParameters(Part):
    """The literals of a query for its providers and its buyer alone; see `sandbox.parameters`."""

    commitment: str
    ciphertext: str
    keys: tuple[WrappedKey, ...]


class Job(Document):
    """One signed request of a buyer.

    Literals may be personal data: `query` has placeholders, and `parameters` what they stand for, sealed.
    `collections` (sorted) and `products` are all that the query reads: members of these collections, and
    products that it names itself.
    """

    kind: ClassVar[str] = "job"
    job_id: str
    buyer: str
    idempotency_key: str
    query: str
    parameters: SealedParameters | None = None
    collections: tuple[str, ...]
    products: tuple[RecordPin, ...]
    purpose: str
    technique: Literal["auto", "local", "secret-sharing"]
    epsilon: str | None
    max_groups: int
    max_price_minor: int | None
    result_key: str
    issued_at: str
    expires_at: str


class Admission(Document):
    """A node's own decision about a job (R18: a monotone sequence and a salted digest of its budgets)."""

    kind: ClassVar[str] = "admission"
    job_digest: str
    node: str
    effect: Literal["permit", "refuse"]
    reasons: tuple[ReasonRecord, ...]
    plan_digest: str | None
    sequence: int
    state_digest: str
    issued_at: str


class Charge(Part):
    """Money owed for one job: lines by party, fee and tax; they sum to the total."""

    currency: str
    total_minor: int
    split: dict[str, int]


class OpeningRecord(Part):
    """One opening of the accepted manifest (R8): what is opened, to whom, in which shape."""

    opening_id: str
    receivers: Literal["parties", "buyer"]
    shape: tuple[int, ...]


class Quote(Document):
    """A signed, expiring price for one job, with all that a buyer agrees to by accepting it (R3)."""

    kind: ClassVar[str] = "quote"
    job_digest: str
    plan_digest: str
    technique: Technique
    nodes: tuple[str, ...]
    compute_set: tuple[str, ...]
    party_records: tuple[RecordPin, ...]
    assumption: str
    limits: tuple[str, ...]
    leaks: tuple[str, ...]
    fee_basis_points: int
    tax_basis_points: int
    openings: tuple[OpeningRecord, ...]
    epsilon: str | None
    half_width: str | None
    charge: Charge
    compute_ms: int
    rounds: int
    wire_bytes: int
    seconds: str
    result_key: str
    issued_at: str
    expires_at: str


def opening_ledger(openings: Sequence[OpeningRecord]) -> str:
    """Return the digest of an opening ledger, as a sealed result states it (R8)."""
    return canonical.digest([opening.to_json() for opening in openings])


class Acceptance(Document):
    """The buyer's signature over the digest of a quote; a node runs one acceptance once (R3, R4)."""

    kind: ClassVar[str] = "acceptance"
    quote_digest: str
    job_digest: str
    buyer: str
    issued_at: str
    expires_at: str


class Cancellation(Document):
    """The buyer's order to stop its job; possible until METERED."""

    kind: ClassVar[str] = "cancellation"
    job_id: str
    buyer: str
    issued_at: str


class Hold(Document):
    """A node's promise: uses are reserved for this acceptance until `expires_at`."""

    kind: ClassVar[str] = "hold"
    acceptance_digest: str
    node: str
    expires_at: str
    sequence: int
    state_digest: str
    issued_at: str


class AttemptKeys(Document):
    """A node's fresh public keys for one numbered attempt (R3, R4).

    `link_key`: X25519 for the keys of links and common randomness. `release_key`: HPKE, under which the
    node's part of every sealing key is wrapped (R5). By signing, the node says that the release keys of
    earlier attempts are destroyed.
    """

    kind: ClassVar[str] = "attempt-keys"
    acceptance_digest: str
    attempt: int
    node: str
    link_key: str
    release_key: str
    issued_at: str


class SealedShare(Part):
    """What a node says of one sealed share: H(ciphertext), its size, and a salted H(share)."""

    index: int
    size: int
    ciphertext_digest: str
    share_commitment: str


class ChannelDigest(Part):
    """What a compute party says of its frames to or from another: so many lead to this chained digest."""

    peer: str
    direction: Literal["sent", "received"]
    frames: int
    size_bytes: int
    digest: str


class SealedResult(Document):
    """A node's signed outcome of an attempt, persisted before it speaks (R5)."""

    kind: ClassVar[str] = "sealed-result"
    acceptance_digest: str
    attempt: int
    node: str
    verdict: Literal["sealed", "withheld"]
    cells: int
    release_key_digest: str
    opening_ledger: str
    shares: tuple[SealedShare, ...]
    transcript: tuple[ChannelDigest, ...] = ()
    issued_at: str


class NodeStatement(Part):
    """A node with the digest of its sealed result."""

    node: str
    statement_digest: str


class Usage(Document):
    """What a job used and what it is charged, signed by the exchange when it is booked.

    `compute_ms` is of the declared cost model, `cells` are those shown: the bill is a function of what the
    buyer may see (R13).
    """

    kind: ClassVar[str] = "usage"
    job_id: str
    acceptance_digest: str
    attempt: int
    verdict: Literal["released", "withheld"]
    cells: int
    compute_ms: int
    wire_bytes: int
    charge: Charge
    issued_at: str


class ReleaseToken(Document):
    """The exchange's word that the charge is booked and logged: against it, nodes hand out keys (R6)."""

    kind: ClassVar[str] = "release-token"
    job_id: str
    acceptance_digest: str
    attempt: int
    sealed: tuple[NodeStatement, ...]
    cells: int
    charge: Charge
    log_index: int
    checkpoint: str
    issued_at: str
    expires_at: str


class KeyHandout(Document):
    """A node's release key for one attempt, given against a token. Worthless without the buyer's own key."""

    kind: ClassVar[str] = "key-handout"
    token_digest: str
    attempt: int
    node: str
    release_private_key: str
    issued_at: str


class VoidStatement(Document):
    """'Key destroyed, never handed out': the only ground on which a booked charge is reversed (R7)."""

    kind: ClassVar[str] = "void-statement"
    acceptance_digest: str
    attempt: int
    node: str
    issued_at: str


class OpenedField(Part):
    """A field of a log leaf with the salt that opens it."""

    salt: str
    value_json: str


class Receipt(Document):
    """An account of one event in the log for one recipient, checkable offline with public keys alone."""

    kind: ClassVar[str] = "receipt"
    recipient: str
    job_id: str
    leaf: str
    log_index: int
    checkpoint: str
    inclusion: tuple[str, ...]
    fields: dict[str, OpenedField]
    token: str | None
    log_key: str
    signing_key: str
    assumption: str
    limits: tuple[str, ...]
    issued_at: str
