"""Who takes part: registered parties with their keys, products, collections, and changes of keys."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import JsonValue

from records.document import Document, Part
from records.keys import VerifyingKey

Role = Literal["provider", "notary", "buyer", "exchange", "regulator"]


class PartyRecord(Document):
    """A party's own statement of who it is, signed with its own signing key and logged (R1, R2).

    `controller` is the beneficial controller; `affiliates` are controllers it belongs with.
    `tls_key` is the SHA-256 of the public key in its certificate; `sealing_key` (hex, ML-KEM-768
    then X25519) is where results are sealed to; `address` is where a node listens.
    """

    kind: ClassVar[str] = "party"
    party: str
    role: Role
    controller: str
    affiliates: tuple[str, ...] = ()
    region: str
    signing_key: str
    tls_key: str
    sealing_key: str | None = None
    log_key: str | None = None
    address: str | None = None
    version: int
    issued_at: str

    @property
    def verifying_key(self) -> VerifyingKey:
        """The key that signs this party's documents."""
        return VerifyingKey.from_json(self.signing_key)


class KeyEvent(Document):
    """A change of keys, signed with the OLD signing key; a leaf in the log.

    It carries both signing keys, so that whoever pinned the old one can follow to the new one (R1), over
    several changes.
    """

    kind: ClassVar[str] = "key-event"
    party: str
    event: Literal["rotate", "revoke"]
    former_key: str
    new_key: str | None
    record_digest: str | None
    reason: str
    issued_at: str


class ColumnRecord(Part):
    """A column of a product: its name and its SQL type."""

    name: str
    type: str


class ProductRecord(Document):
    """A registered version of a table whose use is on offer, signed by its provider.

    `snapshot` is a commitment HMAC(salt kept by the node, digest of the content) (R16); `terms` is the
    whole policy in its canonical form.
    """

    kind: ClassVar[str] = "product"
    product: str
    provider: str
    version: int
    lineage: str
    columns: tuple[ColumnRecord, ...]
    snapshot: str
    terms: dict[str, JsonValue]
    terms_digest: str
    issued_at: str


class CollectionMembership(Document):
    """A provider's signature that its product belongs to a collection of this schema."""

    kind: ClassVar[str] = "collection-membership"
    collection: str
    product: str
    provider: str
    columns: tuple[ColumnRecord, ...]
    issued_at: str
