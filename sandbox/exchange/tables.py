"""The exchange's tables. Bodies are signed envelopes; nothing here holds a row or a result in the clear."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

from sandbox.lifecycle import State

metadata = MetaData()

_STATES = ", ".join(f"'{state}'" for state in State)

party = Table(
    "party",
    metadata,
    Column("party", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("role", String, nullable=False),
    Column("tls_key", String, nullable=False, index=True),
    Column("record", LargeBinary, nullable=False),
    Column("key_event", LargeBinary),
    Column("status", String, nullable=False),
    CheckConstraint("status IN ('active', 'superseded', 'revoked')", name="status_known"),
)

invitation = Table(
    "invitation",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("party", String, nullable=False),
    Column("role", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("record_digest", String),
)

product = Table(
    "product",
    metadata,
    Column("product", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("record_digest", String, nullable=False, unique=True),
    Column("record", LargeBinary, nullable=False),
)

collection_member = Table(
    "collection_member",
    metadata,
    Column("collection", String, primary_key=True),
    Column("product", String, primary_key=True),
    Column("membership", LargeBinary, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("buyer", String, nullable=False, index=True),
    Column("idempotency_key", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    CheckConstraint(f"state IN ({_STATES})", name="state_known"),
    Column("job", LargeBinary, nullable=False),
    Column("quote", LargeBinary),
    Column("acceptance", LargeBinary),
    Column("acceptance_digest", String, unique=True),
    Column("cancellation", LargeBinary),
    Column("stop_order", LargeBinary),
    Column("attempt", Integer, nullable=False),
    Column("reasons", LargeBinary, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("created_at", String, nullable=False),
    Index("job_idempotency", "buyer", "idempotency_key", unique=True),
)

job_event = Table(
    "job_event",
    metadata,
    Column("job_id", String, ForeignKey("job.job_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("at", String, nullable=False),
)

job_document = Table(
    "job_document",
    metadata,
    Column("job_id", String, ForeignKey("job.job_id"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("party", String, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
)

sealed_chunk = Table(
    "sealed_chunk",
    metadata,
    Column("job_id", String, ForeignKey("job.job_id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("node", String, primary_key=True),
    Column("share_index", Integer, primary_key=True),
    Column("chunk_offset", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("job_id", String, ForeignKey("job.job_id"), primary_key=True),
    Column("acceptance_digest", String, nullable=False, unique=True),
    Column("attempt", Integer, nullable=False),
    Column("cells", BigInteger, nullable=False),
    Column("compute_ms", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

log_field = Table(
    "log_field",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("name", String, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
"""Openings of the commitments in the log. Erasing rows here erases the facts; the leaf stays (R19)."""
