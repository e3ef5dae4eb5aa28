"""A node's tables: pins, products, holds, attempts with their release keys, what it last saw of the log."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

pin = Table(
    "pin",
    metadata,
    Column("party", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("role", String),
    Column("source", String, nullable=False),
    CheckConstraint("source IN ('configured', 'first-use', 'rotated')", name="source_known"),
)

node_product = Table(
    "node_product",
    metadata,
    Column("product", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("record_digest", String, nullable=False, unique=True),
    Column("record", LargeBinary, nullable=False),
    Column("snapshot_salt", LargeBinary, nullable=False),
    Column("snapshot_digest", String, nullable=False),
)

admission = Table(
    "admission",
    metadata,
    Column("job_digest", String, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("admission", LargeBinary, nullable=False),
)

counter = Table(
    "counter",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

agreed = Table(
    "agreed",
    metadata,
    Column("acceptance_digest", String, primary_key=True),
    Column("job_digest", String, nullable=False, unique=True),
    Column("job_id", String, nullable=False),
    Column("quote", LargeBinary, nullable=False),
    Column("acceptance", LargeBinary, nullable=False),
    Column("hold", LargeBinary, nullable=False),
    Column("status", String, nullable=False),
    CheckConstraint("status IN ('held', 'consumed', 'void')", name="status_known"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("acceptance_digest", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("status", String, nullable=False),
    CheckConstraint(
        "status IN ('prepared', 'started', 'sealed', 'withheld', 'handed-out', 'destroyed')",
        name="status_known",
    ),
    Column("release_private", LargeBinary),
    Column("keys", LargeBinary, nullable=False),
    Column("result", LargeBinary),
    Column("handout", LargeBinary),
    Column("void_statement", LargeBinary),
)

sealed_blob = Table(
    "sealed_blob",
    metadata,
    Column("acceptance_digest", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("share_index", Integer, primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
)

seen_checkpoint = Table(
    "seen_checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True),
    Column("note", String, nullable=False),
)

receipt = Table(
    "receipt",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("receipt", LargeBinary, nullable=False),
)
